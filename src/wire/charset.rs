//! Character sets of mail into UTF-8.
//!
//! Names are looked up as browsers do (the Encoding Standard), which reads what mail software really writes: `latin1`
//! as windows-1252, `ks_c_5601-1987` as EUC-KR; and UTF-7, which browsers do not read any more. Never fails: what cannot be read
//! becomes U+FFFD.

mod utf7;

use encoding_rs::{CoderResult, Encoding, ISO_2022_JP, UTF_8, WINDOWS_1252};
use std::borrow::Cow;
use utf7::Utf7;

use utf7::is_utf7;

/// Bytes converted at once: bounds the buffer between charset and what takes its text.
const PIECE_BYTES: usize = 16 << 10;

/// The encoding behind a charset name; `None` when the name is unknown, or UTF-7. A language suffix (RFC 2231 section 5) is
/// passed over.
pub fn encoding(charset: &[u8]) -> Option<&'static Encoding> {
    Encoding::for_label_no_replacement(without_language(charset))
}

fn without_language(charset: &[u8]) -> &[u8] {
    charset.split(|&b| b == b'*').next().unwrap_or(charset)
}

/// Whether bytes mean something only behind the escapes before them: pieces that begin and end in ASCII cannot be joined, because
/// an escape right behind another counts as a fault (Encoding Standard section 12.2.1).
pub fn has_states(charset: &[u8]) -> bool {
    encoding(charset) == Some(ISO_2022_JP) || is_utf7(without_language(charset))
}

/// Text of a named charset as UTF-8. Unknown names, and `us-ascii` that is not, are guessed: see [`guess`].
pub fn decode<'a>(charset: &[u8], text: &'a [u8]) -> Cow<'a, str> {
    match encoding(charset) {
        // The Encoding Standard takes us-ascii for windows-1252; mail that says so and has other bytes mostly is UTF-8.
        Some(encoding) if !charset.eq_ignore_ascii_case(b"us-ascii") => encoding.decode_without_bom_handling(text).0,
        None if is_utf7(without_language(charset)) => {
            let (mut decoder, mut decoded) = (Utf7::default(), String::with_capacity(text.len()));
            decoder.decode(text, &mut decoded);
            decoder.finish(&mut decoded);
            Cow::Owned(decoded)
        }
        _ => guess(text),
    }
}

/// Text whose charset nobody named: UTF-8 if it is valid, else windows-1252.
pub fn guess(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(text).0,
    }
}

/// Decodes a text body piece by piece: by its charset parameter, or as UTF-8 when that is unknown.
pub struct BodyDecoder(Charset);

enum Charset {
    Known(encoding_rs::Decoder),
    Utf7(Utf7),
}

impl BodyDecoder {
    /// Begins a body of that charset.
    pub fn new(charset: &[u8]) -> BodyDecoder {
        if is_utf7(without_language(charset)) {
            return BodyDecoder(Charset::Utf7(Utf7::default()));
        }
        let encoding = match encoding(charset) {
            Some(encoding) if !charset.eq_ignore_ascii_case(b"us-ascii") => encoding,
            _ => UTF_8,
        };
        BodyDecoder(Charset::Known(encoding.new_decoder_without_bom_handling()))
    }

    /// Decodes the next bytes and hands their text to `take`, piece by piece, each by way of `text`; `last` ends the body.
    pub fn decode(&mut self, bytes: &[u8], last: bool, text: &mut String, mut take: impl FnMut(&str)) {
        let decoder = match &mut self.0 {
            Charset::Known(decoder) => decoder,
            Charset::Utf7(decoder) => {
                for piece in bytes.chunks(PIECE_BYTES) {
                    text.clear();
                    decoder.decode(piece, text);
                    take(text);
                }
                if last {
                    text.clear();
                    decoder.finish(text);
                    take(text);
                }
                return;
            }
        };
        // ASCII between whole characters is the common case. A UTF-8 decoder that holds part of a character says so here.
        if decoder.encoding() == UTF_8
            && decoder.latin1_byte_compatible_up_to(bytes) == Some(bytes.len())
            && let Ok(ascii) = std::str::from_utf8(bytes)
            && !last
        {
            return take(ascii);
        }
        let mut rest = bytes;
        loop {
            text.clear();
            text.reserve(PIECE_BYTES.min(3 * rest.len()) + 16);
            let (result, read, _) = decoder.decode_to_string(rest, text, last);
            take(text);
            rest = rest.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_mail_and_their_text() {
        assert_eq!(decode(b"ISO-8859-1", b"gr\xfc\xdfe"), "grüße");
        assert_eq!(decode(b"utf-8*de", "grüße".as_bytes()), "grüße");
        assert_eq!(decode(b"iso-2022-jp", b"\x1b$B%F%9%H\x1b(B"), "テスト");
        assert_eq!(decode(b"koi8-r", b"\xd4\xc5\xd3\xd4"), "тест");
        assert_eq!(decode(b"us-ascii", "é".as_bytes()), "é");
        assert_eq!(decode(b"x-unheard-of", b"\xe9"), "é");
        assert_eq!(decode(b"utf-8", b"a\xffb"), "a\u{fffd}b");
        assert_eq!(decode(b"UTF-7*de", b"gr+APwA3w-e"), "grüße");
        assert!(has_states(b"unicode-1-1-utf-7") && !has_states(b"utf-8"));
        let (mut body, mut text) = (BodyDecoder::new(b""), String::new());
        let mut all = String::new();
        body.decode("grü".as_bytes(), true, &mut text, |piece| all.push_str(piece));
        assert_eq!(all, "grü");
    }
}
