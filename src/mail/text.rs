//! What a person reads of a message, folded: header fields and text parts as UTF-8 in which letters of either case are the
//! same bytes, so that searching is a plain comparison.
//!
//! Receives raw header blocks and the raw bytes of text parts in pieces of any size; hands on folded text. Never finds
//! fault: what cannot be decoded is taken as it is. Must always hold: the folded text does not depend on how the bytes
//! were cut.

use crate::mail::casemap::casemap_char;
use crate::wire::charset::BodyDecoder;
use crate::wire::header::encoded_word::decode_text;
use crate::wire::header::fields;
use crate::wire::mime::TransferEncoding;
use crate::wire::mime::decode::Decoder;

/// Appends `text` so that what i;unicode-casemap (RFC 5051, RFC 5255 section 4.2) takes for the same becomes the same bytes, and
/// nothing else does: letters of either case, composed or not, in compatible forms.
pub fn fold_into(text: &str, folded: &mut String) {
    if text.is_ascii() {
        return push_capitals(text, folded);
    }
    for c in text.chars() {
        match c.is_ascii() {
            true => folded.push(c.to_ascii_uppercase()),
            false => folded.extend(casemap_char(c)),
        }
    }
}

/// Appends text of ASCII in capitals, eight letters at a time: where the program is to be small the compiler takes them one by one, at
/// four times the instructions.
fn push_capitals(text: &str, folded: &mut String) {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let mut capitals = [0; 64];
    for piece in text.as_bytes().chunks(capitals.len()) {
        capitals[..piece.len()].copy_from_slice(piece);
        for eight in capitals.as_chunks_mut::<8>().0 {
            let letters = u64::from_le_bytes(*eight);
            // In a sum the upper bit says that the letter has reached the bound; nothing is carried into the next letter.
            let (from_a, beyond_z) = (letters + EACH * u64::from(128 - b'a'), letters + EACH * u64::from(127 - b'z'));
            let small = from_a & !beyond_z & (EACH * 128);
            *eight = (letters ^ (small >> 2)).to_le_bytes();
        }
        folded.push_str(std::str::from_utf8(&capitals[..piece.len()]).unwrap_or_default());
    }
}

/// `text`, folded. See [`fold_into`].
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// A header block folded, one field a line: unfolded (RFC 5322 section 2.2.3), encoded words decoded (RFC 2047).
pub fn fold_header_into(header: &[u8], folded: &mut String) {
    for field in fields(header) {
        fold_into(&decode_text(field.raw.trim_ascii_end()), folded);
        folded.push('\n');
    }
}

/// Decodes one header block or the body of one text part, piece by piece, into folded text.
pub enum StretchDecoder {
    /// See [`HeaderDecoder`].
    Header(HeaderDecoder),
    /// See [`TextDecoder`].
    Text(TextDecoder),
}

impl StretchDecoder {
    /// Begins a header block.
    pub fn header() -> StretchDecoder {
        StretchDecoder::Header(HeaderDecoder::default())
    }

    /// Begins the body of a part of this transfer encoding and charset.
    pub fn text(encoding: TransferEncoding, charset: &str) -> StretchDecoder {
        StretchDecoder::Text(TextDecoder::new(encoding, charset))
    }

    /// Takes the next bytes and appends to `folded` what they make known.
    pub fn decode(&mut self, raw: &[u8], folded: &mut String) {
        match self {
            StretchDecoder::Header(header) => header.decode(raw, folded),
            StretchDecoder::Text(text) => text.decode(raw, folded),
        }
    }

    /// Ends the block or body: appends what was held back.
    pub fn finish(self, folded: &mut String) {
        match self {
            StretchDecoder::Header(header) => header.finish(folded),
            StretchDecoder::Text(text) => text.finish(folded),
        }
    }
}

/// Folds a header block as [`fold_header_into`] does, field by field; holds the field at hand.
#[derive(Default)]
pub struct HeaderDecoder {
    held: Vec<u8>,
    /// Held bytes in which no end of a field was found.
    searched: usize,
}

impl HeaderDecoder {
    /// Takes the next bytes of the block and appends the fields that end in them to `folded`.
    pub fn decode(&mut self, raw: &[u8], folded: &mut String) {
        self.held.extend_from_slice(raw);
        let mut end = 0;
        for line_end in memchr::memchr_iter(b'\n', self.held.get(self.searched..).unwrap_or_default()) {
            match self.held.get(self.searched + line_end + 1) {
                // Only the next byte tells whether the field goes on.
                None | Some(b' ' | b'\t') => {}
                Some(_) => end = self.searched + line_end + 1,
            }
        }
        fold_header_into(self.held.get(..end).unwrap_or_default(), folded);
        self.held.drain(..end);
        self.searched = self.held.len() - usize::from(self.held.ends_with(b"\n"));
    }

    /// Ends the block: appends its last field.
    pub fn finish(self, folded: &mut String) {
        fold_header_into(&self.held, folded);
    }
}

/// Decodes the body of one text part, piece by piece, into folded text, or into text as it was written.
pub struct TextDecoder {
    folds: bool,
    transfer: Decoder,
    charset: BodyDecoder,
    bytes: Vec<u8>,
    text: String,
}

impl TextDecoder {
    /// Begins a part of this transfer encoding and charset (empty or unknown: UTF-8).
    pub fn new(encoding: TransferEncoding, charset: &str) -> TextDecoder {
        TextDecoder {
            folds: true,
            transfer: Decoder::new(encoding),
            charset: BodyDecoder::new(charset.as_bytes()),
            bytes: Vec::new(),
            text: String::new(),
        }
    }

    /// The same, for text that is to be shown: letters stay as they are.
    pub fn unfolded(encoding: TransferEncoding, charset: &str) -> TextDecoder {
        TextDecoder { folds: false, ..TextDecoder::new(encoding, charset) }
    }

    /// Decodes the next bytes of the part and appends them to `folded`.
    pub fn decode(&mut self, raw: &[u8], folded: &mut String) {
        self.bytes.clear();
        self.transfer.push(raw, &mut self.bytes);
        self.convert(false, folded);
    }

    /// Ends the part: appends what was held back.
    pub fn finish(mut self, folded: &mut String) {
        self.bytes.clear();
        let transfer = std::mem::replace(&mut self.transfer, Decoder::new(TransferEncoding::Identity));
        transfer.finish(&mut self.bytes);
        self.convert(true, folded);
    }

    fn convert(&mut self, last: bool, folded: &mut String) {
        let add = if self.folds { fold_into } else { |text: &str, out: &mut String| out.push_str(text) };
        self.charset.decode(&self.bytes, last, &mut self.text, |text| add(text, folded));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::casemap::casemap;
    use proptest::prelude::*;

    #[test]
    fn folding_unites_cases() {
        assert_eq!(fold("GRÜSSE Straße ΣΊΣΥΦΟΣ"), fold("grüsse straße σίσυφος"));
        assert_eq!(fold("Hello"), fold("hELLO"));
        assert_eq!(fold("E\u{301}ａ\u{1c8}"), fold("éA\u{1c7}"));
    }

    #[test]
    fn ascii_is_folded_as_ascii_has_it() {
        let all: String = (0..128u8).map(char::from).collect();
        for at in 0..128 {
            for text in [&all[at..], &all[..at], &all[at / 2..at]] {
                assert_eq!(fold(text), text.to_ascii_uppercase());
            }
        }
    }

    #[test]
    fn folding_keeps_apart_what_the_collation_keeps_apart() {
        // Letters that appear only when a form is taken apart stay in the case that they have there (RFC 5051 section 2).
        for (one, other) in [("ä", "a"), ("ß", "ss"), ("ß", "ẞ"), ("ﬁ", "fi"), ("\u{1c90}", "\u{10d0}"), ("a\0", "a")]
        {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn a_header_is_folded_field_by_field() {
        let mut folded = String::new();
        fold_header_into(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n AN\r\nX-A: M\xdcnchen\r\n\r\nbody", &mut folded);
        assert_eq!(folded, fold("subject: grüße an\nx-a: münchen\n"));
    }

    proptest! {
        #[test]
        fn what_is_the_same_to_the_collation_and_nothing_else_is_the_same_folded(one in "[aAªäÄßẞsSςσΣǆǅǄﬁＡé\u{301}\u{1f80}\u{1f88}]{0,2}", other in "[aAªäÄßẞsSςσΣǆǅǄﬁＡé\u{301}\u{1f80}\u{1f88}]{0,2}") {
            prop_assert_eq!(casemap(&one) == casemap(&other), fold(&one) == fold(&other));
        }
    }

    fn decode_in_pieces(encoding: TransferEncoding, charset: &str, raw: &[u8], piece: usize) -> String {
        let mut decoder = TextDecoder::new(encoding, charset);
        let mut folded = String::new();
        raw.chunks(piece).for_each(|bytes| decoder.decode(bytes, &mut folded));
        decoder.finish(&mut folded);
        folded
    }

    #[test]
    fn parts_are_decoded_however_they_are_cut() {
        use TransferEncoding::*;
        for (encoding, charset, raw, text) in [
            (Identity, "", "Grüße 日本 OK".as_bytes(), "grüße 日本 ok"),
            (Identity, "iso-8859-1", b"M\xdcNCHEN", "münchen"),
            (Identity, "shift_jis", b"\x93\xfa\x96\x7b", "日本"),
            (Identity, "iso-2022-jp", b"\x1b$BF|K\\\x1b(B x", "日本 x"),
            (QuotedPrintable, "utf-8", b"Gr=C3=BC=\r\n=C3=9Fe =3D", "grüße ="),
            (Base64, "utf-8", b"R3LD\r\nvMOf ZQ==", "grüße"),
            (Base64, "utf-16le", b"RwByAPwA", "grü"),
            (QuotedPrintable, "utf-7", b"gr+APw=\r\nA3w-e =2BACI-", "grüße \""),
        ] {
            for piece in [1, 2, 3, 5, 1000] {
                assert_eq!(decode_in_pieces(encoding, charset, raw, piece), fold(text), "{charset} {piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_header_is_folded_alike_in_any_pieces(
            // No line is empty: that would end the block.
            block in "([a-c=?:ü ]{1,5}\r?\n[ \t]?){0,20}[a-c ]{0,3}",
            piece in 1usize..20,
        ) {
            let (mut decoder, mut folded, mut whole) = (StretchDecoder::header(), String::new(), String::new());
            block.as_bytes().chunks(piece).for_each(|piece| decoder.decode(piece, &mut folded));
            decoder.finish(&mut folded);
            fold_header_into(block.as_bytes(), &mut whole);
            prop_assert_eq!(folded, whole);
        }

        #[test]
        fn any_bytes_decode_alike_in_any_pieces(
            raw in proptest::collection::vec(any::<u8>(), 0..80),
            piece in 1usize..9,
            which in 0usize..3,
            charset in 0usize..6,
        ) {
            use TransferEncoding::*;
            let encoding = [Identity, Base64, QuotedPrintable][which];
            let charset = ["", "utf-8", "iso-2022-jp", "gb18030", "utf-16", "utf-7"][charset];
            let whole = decode_in_pieces(encoding, charset, &raw, 1000);
            prop_assert_eq!(decode_in_pieces(encoding, charset, &raw, piece), whole);
        }
    }
}
