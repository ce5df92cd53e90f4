//! Undoing the transfer encodings of RFC 2045 section 6, piece by piece.
//!
//! Receives encoded bytes in any cut, appends decoded bytes. Always decodes as much as it can and tells at the end
//! whether the input was sound: SEARCH takes what it gets, BINARY must refuse (RFC 3516 section 4.3). Holds a few bytes.

use super::TransferEncoding;
use crate::limits::QUOTED_PRINTABLE_SPACE_BYTES_MAX;

/// Decodes one body. The result does not depend on how the body is cut.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    sound: bool,
}

#[derive(Clone, Debug)]
enum State {
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

impl Decoder {
    /// Begins a body.
    pub fn new(encoding: TransferEncoding) -> Decoder {
        let state = match encoding {
            TransferEncoding::Identity => State::Identity,
            TransferEncoding::Base64 => State::Base64(Base64::default()),
            TransferEncoding::QuotedPrintable => State::QuotedPrintable(QuotedPrintable::default()),
        };
        Decoder { state, sound: true }
    }

    /// Takes encoded bytes, appends what they decode to: never more than `bytes.len()` plus a few held back.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.sound &= match &mut self.state {
            State::Identity => {
                out.extend_from_slice(bytes);
                true
            }
            State::Base64(state) => state.push(bytes, out),
            State::QuotedPrintable(state) => state.push(bytes, out),
        };
    }

    /// Ends the body; appends what was held back. Returns whether all of it was soundly encoded.
    pub fn finish(mut self, out: &mut Vec<u8>) -> bool {
        self.sound
            & match &mut self.state {
                State::Identity => true,
                State::Base64(state) => state.finish(),
                State::QuotedPrintable(state) => state.finish(out),
            }
    }
}

/// Decodes a whole body at once, as far as it goes.
pub fn decode(encoding: TransferEncoding, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut decoder = Decoder::new(encoding);
    decoder.push(bytes, &mut out);
    decoder.finish(&mut out);
    out
}

/// RFC 2045 section 6.8. Bytes outside the alphabet are passed over; white space is sound, others are not. Padding
/// ends a group; what follows it begins a new one, because some software joins encoded pieces.
#[derive(Clone, Debug, Default)]
struct Base64 {
    /// Bits of the group so far, and how many characters they came from (0..=3).
    bits: u32,
    count: u8,
    /// Padding characters still wanted.
    padding: u8,
}

const SPACE: u8 = 64;
const PAD: u8 = 65;
const FOREIGN: u8 = 66;

/// Value of each byte in the base64 alphabet, or one of the three classes above.
static BASE64_VALUES: [u8; 256] = base64_values();

const fn base64_values() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [FOREIGN; 256];
    let mut index = 0;
    while index < alphabet.len() {
        table[alphabet[index] as usize] = index as u8;
        index += 1;
    }
    table[b' ' as usize] = SPACE;
    table[b'\t' as usize] = SPACE;
    table[b'\r' as usize] = SPACE;
    table[b'\n' as usize] = SPACE;
    table[b'=' as usize] = PAD;
    table
}

impl Base64 {
    fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let value = |byte: u8| BASE64_VALUES[usize::from(byte)];
        let mut sound = true;
        while !bytes.is_empty() {
            if self.count == 0 && self.padding == 0 {
                bytes = whole_groups(bytes, out);
            }
            let Some((&byte, rest)) = bytes.split_first() else { break };
            bytes = rest;
            match value(byte) {
                SPACE => {}
                FOREIGN => sound = false,
                PAD if self.padding > 0 => self.padding -= 1,
                PAD => {
                    sound &= self.count >= 2;
                    self.padding = 3u8.saturating_sub(self.count);
                    self.end_group(out);
                }
                bits => {
                    sound &= self.padding == 0;
                    self.padding = 0;
                    self.bits = self.bits << 6 | u32::from(bits);
                    self.count += 1;
                    if self.count == 4 {
                        let [_, a, b, c] = self.bits.to_be_bytes();
                        out.extend_from_slice(&[a, b, c]);
                        (self.bits, self.count) = (0, 0);
                    }
                }
            }
        }
        sound
    }

    /// Appends the whole bytes of an unfinished group.
    fn end_group(&mut self, out: &mut Vec<u8>) {
        let [_, a, b, _] = (self.bits << (6 * (4 - u32::from(self.count)))).to_be_bytes();
        match self.count {
            2 => out.push(a),
            3 => out.extend_from_slice(&[a, b]),
            _ => {}
        }
        (self.bits, self.count) = (0, 0);
    }

    /// A body that ends inside a group was cut off: the group gives nothing.
    fn finish(&mut self) -> bool {
        self.count == 0 && self.padding == 0
    }
}

/// Decodes groups of four from the start of `bytes` as long as nothing but the alphabet stands there; returns the rest.
fn whole_groups<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut groups = bytes.chunks_exact(4);
    let mut used = 0;
    for group in &mut groups {
        let &[a, b, c, d] = group else { break };
        let [a, b, c, d] = [a, b, c, d].map(|byte| BASE64_VALUES[usize::from(byte)]);
        if (a | b | c | d) >= 64 {
            break;
        }
        let bits = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
        let [_, x, y, z] = bits.to_be_bytes();
        out.extend_from_slice(&[x, y, z]);
        used += 4;
    }
    bytes.get(used..).unwrap_or_default()
}

/// RFC 2045 section 6.7. `=` that begins no valid sequence stands for itself and is unsound.
#[derive(Clone, Debug, Default)]
struct QuotedPrintable {
    /// White space that counts only if something other than a line end follows, and the CR of a line end.
    spaces: Vec<u8>,
    /// Bytes since an `=` whose meaning is open: `=`, `=X`, or `=` and white space.
    escape: Vec<u8>,
}

impl QuotedPrintable {
    fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let mut sound = true;
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            if !self.escape.is_empty() {
                sound &= self.escaped(byte, out);
                continue;
            }
            match byte {
                b'=' => {
                    out.append(&mut self.spaces);
                    self.escape.push(byte);
                }
                b' ' | b'\t' | b'\r' => self.space(byte, out),
                b'\n' => {
                    // Rule 3: white space at the end of a line was added on the way.
                    let crlf = self.spaces.last() == Some(&b'\r');
                    self.spaces.clear();
                    out.extend_from_slice(if crlf { b"\r\n" } else { b"\n" });
                }
                _ => {
                    out.append(&mut self.spaces);
                    out.push(byte);
                    let plain = |b: &u8| matches!(b, b'=' | b' ' | b'\t' | b'\r' | b'\n');
                    let run = bytes.iter().position(plain).unwrap_or(bytes.len());
                    let (text, rest) = bytes.split_at(run);
                    out.extend_from_slice(text);
                    bytes = rest;
                }
            }
        }
        sound
    }

    /// One byte after an `=`. Returns false when it turns out that the `=` began nothing.
    fn escaped(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        match (self.escape.as_slice(), byte) {
            ([b'='], _) if byte.is_ascii_hexdigit() => self.escape.push(byte),
            ([b'=', high], _) if high.is_ascii_hexdigit() && byte.is_ascii_hexdigit() => {
                out.push(nibble(*high) << 4 | nibble(byte));
                self.escape.clear();
            }
            // Rule 5: a soft line break; white space after the `=` was added on the way.
            ([b'='] | [b'=', b' ' | b'\t' | b'\r', ..], b'\n') => self.escape.clear(),
            ([b'='] | [b'=', b' ' | b'\t' | b'\r', ..], b' ' | b'\t' | b'\r')
                if self.escape.len() < QUOTED_PRINTABLE_SPACE_BYTES_MAX =>
            {
                self.escape.push(byte)
            }
            _ => {
                out.append(&mut self.escape);
                self.push(&[byte], out);
                return false;
            }
        }
        true
    }

    fn space(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.spaces.len() >= QUOTED_PRINTABLE_SPACE_BYTES_MAX || self.spaces.last() == Some(&b'\r') {
            out.append(&mut self.spaces);
        }
        self.spaces.push(byte);
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        // `=` at the very end is the soft line break of a last line without line end.
        let sound = matches!(self.escape.as_slice(), [] | [b'='] | [b'=', b' ' | b'\t' | b'\r', ..]);
        if !sound {
            out.append(&mut self.escape);
        }
        sound
    }
}

fn nibble(digit: u8) -> u8 {
    char::from(digit).to_digit(16).map_or(0, |value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::TransferEncoding::*;
    use super::*;

    /// Decodes whole and byte by byte, which must agree.
    fn decoded(encoding: TransferEncoding, text: &[u8]) -> (Vec<u8>, bool) {
        let mut whole = Vec::new();
        let mut decoder = Decoder::new(encoding);
        decoder.push(text, &mut whole);
        let sound = decoder.finish(&mut whole);
        let mut pieces = Vec::new();
        let mut decoder = Decoder::new(encoding);
        text.iter().for_each(|byte| decoder.push(&[*byte], &mut pieces));
        assert_eq!((decoder.finish(&mut pieces), &pieces), (sound, &whole));
        (whole, sound)
    }

    #[test]
    fn base64_as_the_rfc_has_it() {
        assert_eq!(decoded(Base64, b"SGVsbG8gV29ybGQ="), (b"Hello World".to_vec(), true));
        assert_eq!(decoded(Base64, b"SGVs\r\nbG8g\r\nV29ybGQh\r\n"), (b"Hello World!".to_vec(), true));
        assert_eq!(decoded(Base64, b"SGVsbG8gV29yb\r\nA==\r\n"), (b"Hello Worl".to_vec(), true));
        assert_eq!(decoded(Base64, b""), (b"".to_vec(), true));
    }

    #[test]
    fn base64_that_is_broken_gives_what_it_can() {
        assert_eq!(decoded(Base64, b"SGVs!bG8="), (b"Hello".to_vec(), false));
        assert_eq!(decoded(Base64, b"SGVsbG"), (b"Hel".to_vec(), false));
        assert_eq!(decoded(Base64, b"SGVsbG8=SGVsbG8="), (b"HelloHello".to_vec(), true));
        assert_eq!(decoded(Base64, b"SA=SGVs"), (b"HHel".to_vec(), false));
        assert_eq!(decoded(Base64, b"===="), (b"".to_vec(), false));
    }

    #[test]
    fn quoted_printable_as_the_rfc_has_it() {
        let text = b"Now's the time =\r\nfor all folk to come=20\r\n to the aid  \t\r\nof 1=3D1";
        let plain = b"Now's the time for all folk to come \r\n to the aid\r\nof 1=1";
        assert_eq!(decoded(QuotedPrintable, text), (plain.to_vec(), true));
        assert_eq!(decoded(QuotedPrintable, b"soft=  \t\r\nbreak="), (b"softbreak".to_vec(), true));
        assert_eq!(decoded(QuotedPrintable, b"a=c3=a9\nb"), ("aé\nb".as_bytes().to_vec(), true));
    }

    #[test]
    fn quoted_printable_that_is_broken_stands_for_itself() {
        assert_eq!(decoded(QuotedPrintable, b"a=ZZ b=4 c==41"), (b"a=ZZ b=4 c=A".to_vec(), false));
        assert_eq!(decoded(QuotedPrintable, b"a=4"), (b"a=4".to_vec(), false));
        assert_eq!(decoded(QuotedPrintable, b"a\rb \rc"), (b"a\rb \rc".to_vec(), true));
        let spaces = vec![b' '; 3 * QUOTED_PRINTABLE_SPACE_BYTES_MAX];
        let (out, sound) = decoded(QuotedPrintable, &[b"=", &spaces[..], b"x"].concat());
        assert_eq!((out.len(), sound), (spaces.len() + 2, false));
    }
}
