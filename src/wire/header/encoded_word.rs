//! Words outside ASCII in header fields (RFC 2047), decoded to UTF-8.

use crate::limits::ENCODED_WORD_BYTES_MAX;
use crate::wire::charset;
use crate::wire::mime::TransferEncoding;
use crate::wire::mime::decode::decode;

/// Text of an unstructured field, or of a phrase or comment, as people read it: unfolded, encoded words decoded. What is
/// not a well-formed encoded word stays as it is. Bytes outside ASCII count as UTF-8 if they are, else windows-1252.
pub fn decode_text(value: &[u8]) -> String {
    let value = super::unfold(value);
    let mut text = String::with_capacity(value.len());
    let mut rest = value.as_slice();
    // The last word's charset and the bytes not turned into text yet: a character may be cut between two words.
    let mut pending: Option<(&[u8], Vec<u8>)> = None;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (plain, from) = rest.split_at(start);
        let Some((word, after)) = parse_word(from) else {
            flush(&mut pending, &mut text);
            text.push_str(&charset::guess(rest.get(..start + 2).unwrap_or(rest)));
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        // RFC 2047 section 6.2: white space between encoded words is not shown.
        let joined = pending.is_some() && plain.iter().all(u8::is_ascii_whitespace);
        if !joined {
            flush(&mut pending, &mut text);
            text.push_str(&charset::guess(plain));
        }
        match &mut pending {
            Some((charset, bytes)) if charset.eq_ignore_ascii_case(word.charset) && !charset::has_states(charset) => {
                bytes.extend(word.decoded());
            }
            _ => {
                flush(&mut pending, &mut text);
                pending = Some((word.charset, word.decoded()));
            }
        }
        rest = after;
    }
    flush(&mut pending, &mut text);
    text.push_str(&charset::guess(rest));
    text
}

fn flush(pending: &mut Option<(&[u8], Vec<u8>)>, text: &mut String) {
    if let Some((charset, bytes)) = pending.take() {
        text.push_str(&charset::decode(charset, &bytes));
    }
}

struct Word<'a> {
    charset: &'a [u8],
    quoted: bool,
    text: &'a [u8],
}

impl Word<'_> {
    fn decoded(&self) -> Vec<u8> {
        if !self.quoted {
            return decode(TransferEncoding::Base64, self.text);
        }
        // RFC 2047 section 4.2: as quoted-printable, with `_` for the space.
        let text: Vec<u8> = self.text.iter().map(|&byte| if byte == b'_' { b' ' } else { byte }).collect();
        let end = text.trim_ascii_end().len();
        let (text, spaces) = text.split_at(end);
        [&decode(TransferEncoding::QuotedPrintable, text), spaces].concat()
    }
}

/// `=?charset?encoding?encoded-text?=` at the start of `text`, and what follows it. The charset may be unknown, then its
/// text is guessed; spaces inside the encoded text are taken, because much software writes them.
fn parse_word(text: &[u8]) -> Option<(Word<'_>, &[u8])> {
    let rest = text.strip_prefix(b"=?")?;
    let (charset, rest) = rest.split_at(memchr::memchr(b'?', rest)?);
    if charset.is_empty() || !charset.is_ascii() || charset.contains(&b' ') {
        return None;
    }
    let quoted = match rest.get(1..3)? {
        b"Q?" | b"q?" => true,
        b"B?" | b"b?" => false,
        _ => return None,
    };
    let rest = rest.get(3..)?;
    let end = memchr::memmem::find(rest.get(..ENCODED_WORD_BYTES_MAX).unwrap_or(rest), b"?=")?;
    let (text, rest) = rest.split_at(end);
    Some((Word { charset, quoted, text }, rest.get(2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 2047 section 8.
        for (coded, shown) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"),
            (
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
                "If you can read this you understand the example.",
            ),
        ] {
            assert_eq!(decode_text(coded.as_bytes()), shown);
        }
    }

    #[test]
    fn words_as_software_writes_them() {
        assert_eq!(decode_text("=?utf-8?b?w4M=?= =?UTF-8?Q?=C3?= =?utf-8?q?=A9?=".as_bytes()), "Ãé");
        assert_eq!(decode_text(b"x=?utf-8?q?a b?=y"), "xa by");
        // RFC 2047 section 5: in a charset with escapes each word begins and ends in ASCII.
        assert_eq!(decode_text(b"=?iso-2022-jp?B?GyRCRnwbKEI=?= =?ISO-2022-JP?B?GyRCS1wbKEI=?="), "日本");
        assert_eq!(decode_text(b"=?utf-7?Q?M+APw-ll?= =?UTF-7?Q?er_+AP?="), "Müller ");
        assert_eq!(decode_text(b"=?utf-8?q?end_?="), "end ");
        assert_eq!(decode_text("roh: grüße".as_bytes()), "roh: grüße");
        assert_eq!(decode_text(b"latin: \xfc"), "latin: ü");
        assert_eq!(decode_text(b"=?NONE?B?VEVTVA=?="), "TEST");
        for plain in ["=?", "=?utf-8?q?never ends", "=?utf-8?x?abc?=", "a =? b", "=??q?a?="] {
            assert_eq!(decode_text(plain.as_bytes()), plain);
        }
        assert_eq!(decode_text(b"=?=?utf-8?q?a?="), "=?a");
    }
}
