//! UTF-7 (RFC 2152), which old Outlook wrote and the Encoding Standard has banned. Decoded only to be read and searched.
//!
//! Receives bytes in any cut; hands on text. Never finds fault: bytes outside ASCII and surrogates that are alone become U+FFFD,
//! bits that are left over are dropped. Must always hold: the text does not depend on the cut.

/// What names of UTF-7 mail has: that of the RFC, its aliases at IANA, and two of old software.
const NAMES: [&str; 6] = ["utf-7", "unicode-1-1-utf-7", "csunicode11utf7", "csutf7", "utf7", "x-unicode-2-0-utf-7"];

/// Whether a charset of that name is UTF-7.
pub fn is_utf7(name: &[u8]) -> bool {
    NAMES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Decodes one text.
#[derive(Clone, Debug, Default)]
pub struct Utf7 {
    shift: Shift,
    /// Bits of base64 that are no UTF-16 unit yet, the last ones read lowest, and how many: fewer than 16.
    bits: u32,
    bit_count: u32,
    /// A surrogate whose other half is to come.
    high: Option<u16>,
}

/// Between ASCII and base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Shift {
    #[default]
    Out,
    /// Right behind the `+`.
    Begun,
    In,
}

impl Utf7 {
    /// Takes the next bytes and appends what they say.
    pub fn decode(&mut self, bytes: &[u8], text: &mut String) {
        bytes.iter().for_each(|byte| self.push(*byte, text));
    }

    /// Ends the text.
    pub fn finish(&mut self, text: &mut String) {
        if self.shift == Shift::Begun {
            text.push('+');
        }
        self.leave(text);
    }

    fn push(&mut self, byte: u8, text: &mut String) {
        if self.shift == Shift::Out {
            match byte {
                b'+' => self.shift = Shift::Begun,
                _ => push_byte(byte, text),
            }
            return;
        }
        if let Some(value) = base64_value(byte) {
            self.shift = Shift::In;
            self.bits = self.bits << 6 | value;
            self.bit_count += 6;
            if let Some(left) = self.bit_count.checked_sub(16) {
                self.push_unit((self.bits >> left) as u16, text);
                (self.bits, self.bit_count) = (self.bits & ((1 << left) - 1), left);
            }
            return;
        }
        // `+-` is a plus sign, and so is one that no base64 follows; the `-` that ends base64 is not text.
        let begun = self.shift == Shift::Begun;
        self.leave(text);
        match (begun, byte) {
            (true, b'-') => text.push('+'),
            (false, b'-') => {}
            (true, _) => {
                text.push('+');
                self.push(byte, text);
            }
            (false, _) => self.push(byte, text),
        }
    }

    fn push_unit(&mut self, unit: u16, text: &mut String) {
        let pair = self.high.take().map(|high| [high, unit]);
        if let Some(pair) = pair {
            if let Some(Ok(c)) = char::decode_utf16(pair).next() {
                text.push(c);
                return;
            }
            text.push(char::REPLACEMENT_CHARACTER);
        }
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => text.push(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    /// Back to ASCII.
    fn leave(&mut self, text: &mut String) {
        if self.high.is_some() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        *self = Utf7::default();
    }
}

fn push_byte(byte: u8, text: &mut String) {
    text.push(if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER });
}

fn base64_value(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(bytes: &[u8], piece: usize) -> String {
        let (mut decoder, mut text) = (Utf7::default(), String::new());
        bytes.chunks(piece).for_each(|piece| decoder.decode(piece, &mut text));
        decoder.finish(&mut text);
        text
    }

    /// As RFC 2152 has it, with everything but letters and digits in base64.
    fn encoded(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let (mut bits, mut count, mut inside) = (0u64, 0, false);
        let digit = |value: u64| (0..=255u8).find(|byte| base64_value(*byte) == Some(value as u32)).unwrap();
        for c in text.chars() {
            if c.is_ascii_alphanumeric() {
                if inside {
                    out.extend((count > 0).then(|| digit(bits << (6 - count) & 63)));
                    out.push(b'-');
                    (bits, count, inside) = (0, 0, false);
                }
                out.push(c as u8);
                continue;
            }
            if !inside {
                out.push(b'+');
                inside = true;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                bits = bits << 16 | u64::from(*unit);
                count += 16;
                while count >= 6 {
                    count -= 6;
                    out.push(digit(bits >> count & 63));
                }
                bits &= (1 << count) - 1;
            }
        }
        out.extend((inside && count > 0).then(|| digit(bits << (6 - count) & 63)));
        out
    }

    #[test]
    fn the_examples_of_the_rfc_and_what_is_broken() {
        for (coded, shown) in [
            // RFC 2152, "Examples".
            ("A+ImIDkQ.", "A≢Α."),
            ("Hi Mom -+Jjo--!", "Hi Mom -☺-!"),
            ("+ZeVnLIqe-", "日本語"),
            ("Item 3 is +AKM-1.", "Item 3 is £1."),
            ("1 +- 1 = 2+-", "1 + 1 = 2+"),
            ("Lage+ADs- +ACI-wir", "Lage; \"wir"),
            ("+2D3eAA-x", "\u{1f600}x"),
            // A shift ends at any other byte, and at the end.
            ("gr+APwA3w e", "grüß e"),
            ("gr+APw", "grü"),
            ("+", "+"),
            ("a+ b+", "a+ b+"),
            // Halves of pairs, bits left over, bytes that are none of it.
            ("+2D0-a+3gA-b", "\u{fffd}a\u{fffd}b"),
            ("+2D0A/A-", "\u{fffd}ü"),
            ("+2D3YPd4A-", "\u{fffd}\u{1f600}"),
            ("+A-+AA-+AAA-x", "\0x"),
            ("ü", "\u{fffd}\u{fffd}"),
            ("+APwü", "ü\u{fffd}\u{fffd}"),
        ] {
            for piece in [1, 2, 3, 100] {
                assert_eq!(decoded(coded.as_bytes(), piece), shown, "{coded}");
            }
        }
        assert!(is_utf7(b"UTF-7") && is_utf7(b"unicode-1-1-UTF-7") && !is_utf7(b"utf-8") && !is_utf7(b""));
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(text in "(\\PC|[a+/ -]){0,40}") {
            prop_assert_eq!(decoded(&encoded(&text), 7), text);
        }

        #[test]
        fn any_bytes_decode_alike_in_any_pieces(bytes in "[-+/A-D23dD8 ü]{0,40}", piece in 1usize..9) {
            prop_assert_eq!(decoded(bytes.as_bytes(), piece), decoded(bytes.as_bytes(), 100));
        }
    }
}
