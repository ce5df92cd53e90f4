//! What a person reads: header values and text parts decoded to UTF-8 and folded, so that searching them is a plain
//! comparison of bytes.
//!
//! Receives raw header values and the raw bytes of text parts in pieces of any size; hands on folded text. Never finds
//! fault: what cannot be decoded is taken as it is. Must always hold: [`fold`] of a needle and of the text that
//! contains it fold alike wherever pieces were cut.

use crate::mail::index::TransferEncoding;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, WINDOWS_1252};

/// Base64 as found in mail: padding missing or not, stray bits ignored.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Appends `text` so that letters of either case, and the sharp s and its capital form, become the same bytes.
pub fn fold_into(text: &str, folded: &mut String) {
    if text.is_ascii() {
        let start = folded.len();
        folded.push_str(text);
        if let Some(added) = folded.get_mut(start..) {
            added.make_ascii_lowercase();
        }
        return;
    }
    for c in text.chars() {
        if c.is_ascii() {
            folded.push(c.to_ascii_lowercase());
        } else {
            // Upper and then lower: unites the final sigma with the other one, and `ß` with `SS`.
            folded.extend(c.to_uppercase().flat_map(char::to_lowercase));
        }
    }
}

/// `text`, folded. See [`fold_into`].
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// A header value or a whole header as text: unfolded (RFC 5322 section 2.2.3), encoded words decoded (RFC 2047), bytes that
/// are not UTF-8 taken as windows-1252.
pub fn decode_header(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut after_word = false;
    while let Some(at) = find(rest, b"=?") {
        let (before, from) = rest.split_at(at);
        match split_encoded_word(from) {
            Some((word, after)) => {
                // White space between two encoded words is not part of the text (RFC 2047 section 6.2).
                if !(after_word && before.trim_ascii().is_empty()) {
                    push_unfolded(before, &mut text);
                }
                word.push_decoded(&mut text);
                (rest, after_word) = (after, true);
            }
            None => {
                let (taken, after) = rest.split_at(at + 2);
                push_unfolded(taken, &mut text);
                (rest, after_word) = (after, false);
            }
        }
    }
    push_unfolded(rest, &mut text);
    text
}

/// Appends bytes as text, without the line ends of folding. A line end that folds nothing becomes a line feed.
fn push_unfolded(raw: &[u8], text: &mut String) {
    for (at, line) in raw.split(|byte| *byte == b'\n').enumerate() {
        if at > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
            text.push('\n');
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(utf8) => text.push_str(utf8),
            Err(_) => text.push_str(&WINDOWS_1252.decode_without_bom_handling(line).0),
        }
    }
}

struct EncodedWord<'a> {
    charset: &'a [u8],
    base64: bool,
    payload: &'a [u8],
}

/// Splits `=?charset?B?payload?=` off the front.
fn split_encoded_word(from: &[u8]) -> Option<(EncodedWord<'_>, &[u8])> {
    let inner = from.strip_prefix(b"=?")?;
    let (charset, inner) = split_once(inner, b'?')?;
    let (encoding, inner) = split_once(inner, b'?')?;
    let end = find(inner, b"?=")?;
    let (payload, after) = (inner.get(..end)?, inner.get(end + 2..)?);
    let base64 = match encoding {
        b"B" | b"b" => true,
        b"Q" | b"q" => false,
        _ => return None,
    };
    if charset.is_empty() || charset.iter().chain(payload).any(|byte| matches!(byte, b'\r' | b'\n')) {
        return None;
    }
    // RFC 2231 section 5: a language may follow the charset.
    let charset = charset.split(|byte| *byte == b'*').next().unwrap_or_default();
    Some((EncodedWord { charset, base64, payload }, after))
}

impl EncodedWord<'_> {
    fn push_decoded(&self, text: &mut String) {
        let bytes = if self.base64 {
            let digits: Vec<u8> = self.payload.iter().copied().filter(|byte| is_base64(*byte)).collect();
            let whole = digits.len() - usize::from(digits.len() % 4 == 1);
            LENIENT.decode(digits.get(..whole).unwrap_or_default()).unwrap_or_default()
        } else {
            decode_q(self.payload)
        };
        let encoding = Encoding::for_label(self.charset).unwrap_or(UTF_8);
        let (decoded, broken) = encoding.decode_without_bom_handling(&bytes);
        match broken && encoding == UTF_8 {
            true => text.push_str(&WINDOWS_1252.decode_without_bom_handling(&bytes).0),
            false => text.push_str(&decoded),
        }
    }
}

/// RFC 2047 section 4.2.
fn decode_q(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len());
    let mut rest = payload;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, hex_pair(after)) {
            (b'_', _) => bytes.push(b' '),
            (b'=', Some(value)) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => bytes.push(*byte),
        }
    }
    bytes
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..position)?, bytes.get(position + 1..)?))
}

/// The position of `needle` in `bytes`.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| byte == first)?;
        if bytes.get(at + 1..)?.starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Decodes the body of one text part, piece by piece, into folded text.
pub struct TextDecoder {
    encoding: TransferEncoding,
    charset: Decoder,
    /// Nothing of the charset needs converting while the bytes are ASCII.
    ascii_is_ascii: bool,
    /// The end of the last piece that cannot be decoded alone: part of a base64 quantum or of a quoted-printable line.
    held: Vec<u8>,
    decoded: Vec<u8>,
    text: String,
}

impl TextDecoder {
    /// Begins a part of this transfer encoding and charset (empty or unknown: UTF-8).
    pub fn new(encoding: TransferEncoding, charset: &str) -> TextDecoder {
        let charset = Encoding::for_label(charset.as_bytes()).unwrap_or(UTF_8);
        TextDecoder {
            encoding,
            ascii_is_ascii: charset.is_ascii_compatible(),
            charset: charset.new_decoder_without_bom_handling(),
            held: Vec::new(),
            decoded: Vec::new(),
            text: String::new(),
        }
    }

    /// Decodes the next bytes and appends them to `folded`; `last` ends the part.
    pub fn decode(&mut self, raw: &[u8], last: bool, folded: &mut String) {
        self.decoded.clear();
        match self.encoding {
            TransferEncoding::Identity => return self.convert_raw(raw, last, folded),
            TransferEncoding::Base64 => self.decode_base64(raw, last),
            TransferEncoding::QuotedPrintable => self.decode_quoted_printable(raw, last),
        }
        let decoded = std::mem::take(&mut self.decoded);
        self.convert_raw(&decoded, last, folded);
        self.decoded = decoded;
    }

    fn decode_base64(&mut self, raw: &[u8], last: bool) {
        self.held.extend(raw.iter().copied().filter(|byte| is_base64(*byte)));
        let rest = self.held.len() % 4;
        let usable = match (last, rest) {
            (true, 1) => self.held.len() - 1,
            (true, _) => self.held.len(),
            (false, _) => self.held.len() - rest,
        };
        let _ = LENIENT.decode_vec(self.held.get(..usable).unwrap_or_default(), &mut self.decoded);
        self.held.drain(..usable);
    }

    /// RFC 2045 section 6.7. Spaces at line ends are left in: they do no harm to a search.
    fn decode_quoted_printable(&mut self, raw: &[u8], last: bool) {
        let held = std::mem::take(&mut self.held);
        let joined;
        let mut rest = if held.is_empty() {
            raw
        } else {
            joined = [&held[..], raw].concat();
            &joined[..]
        };
        while let Some(at) = rest.iter().position(|byte| *byte == b'=') {
            let (before, from) = rest.split_at(at);
            self.decoded.extend_from_slice(before);
            let after = from.get(1..).unwrap_or_default();
            if after.len() < 2 && !last {
                self.held.extend_from_slice(from);
                return;
            }
            rest = match (hex_pair(after), after) {
                (Some(value), _) => {
                    self.decoded.push(value);
                    after.get(2..).unwrap_or_default()
                }
                (None, [b'\r', b'\n', after @ ..] | [b'\n', after @ ..]) => after,
                (None, _) => {
                    self.decoded.push(b'=');
                    after
                }
            };
        }
        self.decoded.extend_from_slice(rest);
    }

    fn convert_raw(&mut self, bytes: &[u8], last: bool, folded: &mut String) {
        // Between characters of a stateless charset, ASCII needs no conversion. A multi-byte character that was cut is
        // finished by the decoder, so this shortcut is only taken when the decoder holds nothing: UTF-8 says so.
        if self.ascii_is_ascii
            && self.charset.encoding() == UTF_8
            && bytes.is_ascii()
            && self.charset.latin1_byte_compatible_up_to(bytes) == Some(bytes.len())
            && let Ok(ascii) = std::str::from_utf8(bytes)
        {
            return fold_into(ascii, folded);
        }
        let mut rest = bytes;
        loop {
            self.text.clear();
            let room =
                self.charset.max_utf8_buffer_length(rest.len().min(TEXT_PIECE_BYTES)).unwrap_or(TEXT_PIECE_BYTES);
            self.text.reserve(room.max(16));
            let (result, read, _) = self.charset.decode_to_string(rest, &mut self.text, last);
            fold_into(&self.text, folded);
            rest = rest.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}

/// Bytes converted at once: bounds the buffer between charset and folding.
const TEXT_PIECE_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn folding_unites_cases() {
        assert_eq!(fold("GRÜSSE Straße ΣΊΣΥΦΟΣ"), fold("grüße strasse σίσυφος"));
        assert_eq!(fold("Hello"), "hello");
        assert_ne!(fold("ä"), fold("a"));
    }

    #[test]
    fn header_values_are_unfolded_and_their_words_decoded() {
        for (raw, text) in [
            (&b"=?utf-8?q?Gr=C3=BC=C3=9Fe?="[..], "Grüße"),
            (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b_c?= d", "ab c d"),
            (b"=?ISO-8859-1?Q?a?=\r\n  =?ISO-8859-1?Q?b?=", "ab"),
            (b"a\r\n b\r\nc", "a b\nc"),
            (b"=?utf-8*de?B?w6Q?= x", "ä x"),
            (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
            (b"=?x?Q?y", "=?x?Q?y"),
            (b"=? =?utf-8?q?z?=", "=? z"),
            (b"M\xfcnchen", "München"),
            ("München".as_bytes(), "München"),
            (b"=?utf-8?Q?M=FCnchen?=", "München"),
            (b"", ""),
        ] {
            assert_eq!(decode_header(raw), text, "{}", raw.escape_ascii());
        }
    }

    fn decode_in_pieces(encoding: TransferEncoding, charset: &str, raw: &[u8], piece: usize) -> String {
        let mut decoder = TextDecoder::new(encoding, charset);
        let mut folded = String::new();
        for bytes in raw.chunks(piece) {
            decoder.decode(bytes, false, &mut folded);
        }
        decoder.decode(b"", true, &mut folded);
        folded
    }

    #[test]
    fn parts_are_decoded_however_they_are_cut() {
        use TransferEncoding::*;
        for (encoding, charset, raw, text) in [
            (Identity, "", "Grüße 日本 OK".as_bytes(), "grüsse 日本 ok"),
            (Identity, "iso-8859-1", b"M\xdcNCHEN", "münchen"),
            (Identity, "shift_jis", b"\x93\xfa\x96\x7b", "日本"),
            (Identity, "iso-2022-jp", b"\x1b$BF|K\\\x1b(B x", "日本 x"),
            (QuotedPrintable, "utf-8", b"Gr=C3=BC=\r\n=C3=9Fe =3D =zz=", "grüsse = =zz="),
            (Base64, "utf-8", b"R3LD\r\nvMOf ZQ==", "grüsse"),
            (Base64, "utf-8", b"R3LDvMOfZQ", "grüsse"),
            (Base64, "utf-16le", b"RwByAPwA", "grü"),
        ] {
            for piece in [1, 2, 3, 5, 1000] {
                assert_eq!(decode_in_pieces(encoding, charset, raw, piece), text, "{charset} {piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_alike_in_any_pieces(raw in proptest::collection::vec(any::<u8>(), 0..80), piece in 1usize..9, which in 0usize..3, charset in 0usize..5) {
            let encoding = [TransferEncoding::Identity, TransferEncoding::Base64, TransferEncoding::QuotedPrintable][which];
            let charset = ["", "utf-8", "iso-2022-jp", "gb18030", "utf-16"][charset];
            let whole = decode_in_pieces(encoding, charset, &raw, 1000);
            prop_assert_eq!(decode_in_pieces(encoding, charset, &raw, piece), whole);
            let _ = decode_header(&raw);
        }
    }
}
