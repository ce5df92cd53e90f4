//! Character sets of mail into UTF-8.
//!
//! Names are looked up as browsers do (the Encoding Standard), which reads what mail software really writes: `latin1`
//! as windows-1252, `ks_c_5601-1987` as EUC-KR. Never fails: what cannot be read becomes U+FFFD.

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, WINDOWS_1252};
use std::borrow::Cow;

/// The encoding behind a charset name; `None` when the name is unknown. A language suffix (RFC 2231 section 5) is
/// passed over.
pub fn encoding(charset: &[u8]) -> Option<&'static Encoding> {
    let name = charset.split(|&b| b == b'*').next().unwrap_or(charset);
    Encoding::for_label_no_replacement(name)
}

/// Whether bytes mean something only behind the escapes before them: pieces that begin and end in ASCII cannot be joined, because
/// an escape right behind another counts as a fault (Encoding Standard section 12.2.1).
pub fn has_states(charset: &[u8]) -> bool {
    encoding(charset) == Some(ISO_2022_JP)
}

/// Text of a named charset as UTF-8. Unknown names, and `us-ascii` that is not, are guessed: see [`guess`].
pub fn decode<'a>(charset: &[u8], text: &'a [u8]) -> Cow<'a, str> {
    match encoding(charset) {
        // The Encoding Standard takes us-ascii for windows-1252; mail that says so and has other bytes mostly is UTF-8.
        Some(encoding) if !charset.eq_ignore_ascii_case(b"us-ascii") => encoding.decode_without_bom_handling(text).0,
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

/// The encoding to decode a text body with, piece by piece: that of its charset parameter, or UTF-8.
pub fn body_encoding(charset: &[u8]) -> &'static Encoding {
    match encoding(charset) {
        Some(encoding) if !charset.eq_ignore_ascii_case(b"us-ascii") => encoding,
        _ => UTF_8,
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
        assert_eq!(body_encoding(b""), UTF_8);
    }
}
