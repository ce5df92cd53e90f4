//! The texts of a message, folded while the message streams by, for its signature.
//!
//! Receives what the scanner has found and the same bytes that the scanner was given; hands on the signature. Follows two
//! bytes behind the scanner, because a line end may still turn out to belong to a boundary. Must always hold: what is read
//! here are the stretches that SEARCH reads ([`crate::mail::search::stretches`]), through the same [`StretchDecoder`].

use super::part_of;
use super::signature::Trigrams;
use crate::limits::FETCH_HEADER_BYTES_MAX;
use crate::mail::text::StretchDecoder;
use crate::wire::mime::scan::{Open, ScannedPart};
use std::ops::Range;

/// Raw bytes decoded at once: keeps what is worked on in the nearest cache.
const PIECE_BYTES: usize = 4 << 10;
/// It is asked each time so many bytes, as a power of two, have gone by whether there are too many trigrams.
const ASKED_EVERY_BITS: u32 = 16;

/// Reads the texts of one message. Memory: 8 KiB for trigrams, [`PIECE_BYTES`] a few times, and one header field.
pub struct Texts {
    /// `None` when there were too many, or a header was too long: the signature will be empty.
    trigrams: Option<Trigrams>,
    /// The part at hand, and what is read of it: its header first, then its body if that is text.
    part: usize,
    decoder: StretchDecoder,
    in_body: bool,
    /// The next byte of the message to be read.
    next: u64,
    /// Bytes that the scanner has not decided about yet, and where the first of them stands in the message.
    held: Vec<u8>,
    held_from: u64,
    folded: String,
}

impl Texts {
    /// Begins a message.
    pub fn new() -> Texts {
        Texts {
            trigrams: Some(Trigrams::new()),
            part: 0,
            decoder: StretchDecoder::header(),
            in_body: false,
            next: 0,
            held: Vec::new(),
            held_from: 0,
            folded: String::new(),
        }
    }

    /// Takes bytes that the scanner has taken: `open` is its innermost part, and what stands before `settled` will not
    /// change its place any more.
    pub fn push(&mut self, parts: &[ScannedPart], open: Open, settled: u64, bytes: &[u8]) {
        if self.trigrams.is_some() {
            self.read(parts, Some(open), settled, bytes);
            self.hold(settled, bytes);
        }
    }

    /// Ends the message; `parts` are all of its parts.
    pub fn finish(mut self, parts: &[ScannedPart]) -> Vec<u8> {
        self.read(parts, None, u64::MAX, &[]);
        self.trigrams.map(|trigrams| trigrams.signature()).unwrap_or_default()
    }

    /// Reads all stretches as far as they are settled.
    fn read(&mut self, parts: &[ScannedPart], open: Option<Open>, settled: u64, bytes: &[u8]) {
        while let Some(part) = parts.get(self.part) {
            let open = open.filter(|open| open.part == self.part);
            if !self.in_body {
                let ends = open.is_none_or(|open| !open.in_header);
                let (start, end) = (part.header_start, if ends { part.body_start } else { settled });
                // SEARCH HEADER looks no further: it must find here what it finds there.
                if end.saturating_sub(start) > FETCH_HEADER_BYTES_MAX {
                    self.trigrams = None;
                }
                self.stretch(start..end, bytes, ends);
                if !ends || self.trigrams.is_none() {
                    return;
                }
                let part = part_of(parts, self.part, part);
                if part.kind.is_searched() {
                    self.decoder = StretchDecoder::text(part.encoding, &part.charset);
                    self.in_body = true;
                }
            }
            if self.in_body {
                let ends = open.is_none();
                self.stretch(part.body_start..if ends { part.body_end } else { settled }, bytes, ends);
                if !ends || self.trigrams.is_none() {
                    return;
                }
                self.in_body = false;
            }
            self.part += 1;
            self.decoder = StretchDecoder::header();
        }
    }

    /// Reads what was not read yet of a stretch of the message.
    fn stretch(&mut self, stretch: Range<u64>, bytes: &[u8], last: bool) {
        let held = std::mem::take(&mut self.held);
        self.next = self.next.max(stretch.start);
        let before = self.next;
        let bytes_from = self.held_from + held.len() as u64;
        for (from, source) in [(self.held_from, &held[..]), (bytes_from, bytes)] {
            let at = |offset: u64| (offset.saturating_sub(from) as usize).min(source.len());
            let found = source.get(at(self.next)..at(stretch.end)).unwrap_or_default();
            self.next += found.len() as u64;
            found.chunks(PIECE_BYTES).for_each(|piece| self.fold(piece));
        }
        self.held = held;
        if (before ^ self.next) >> ASKED_EVERY_BITS != 0 && self.trigrams.as_ref().is_some_and(Trigrams::are_too_many) {
            self.trigrams = None;
        }
        if last && let Some(trigrams) = &mut self.trigrams {
            self.folded.clear();
            std::mem::replace(&mut self.decoder, StretchDecoder::header()).finish(&mut self.folded);
            trigrams.add(&self.folded);
            trigrams.end_stretch();
        }
    }

    fn fold(&mut self, piece: &[u8]) {
        let Some(trigrams) = &mut self.trigrams else { return };
        self.folded.clear();
        self.decoder.decode(piece, &mut self.folded);
        trigrams.add(&self.folded);
    }

    /// Keeps what is not settled.
    fn hold(&mut self, settled: u64, bytes: &[u8]) {
        let settled_bytes = settled.saturating_sub(self.held_from) as usize;
        self.held_from += settled_bytes as u64;
        match settled_bytes.checked_sub(self.held.len()) {
            Some(of_new) => {
                self.held.clear();
                self.held.extend_from_slice(bytes.get(of_new..).unwrap_or_default());
            }
            None => {
                self.held.drain(..settled_bytes);
                self.held.extend_from_slice(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::FETCH_HEADER_BYTES_MAX;
    use crate::mail::index::signature::may_contain;
    use crate::mail::index::{BodyIndex, Indexer};
    use crate::mail::search::{Stretch, stretches};
    use crate::mail::text::fold;
    use proptest::prelude::*;

    fn index(message: &[u8], cut: usize) -> BodyIndex {
        let mut indexer = Indexer::new();
        message.chunks(cut).for_each(|piece| indexer.push(piece));
        indexer.finish()
    }

    /// What SEARCH reads of a message, stretch by stretch.
    fn texts(message: &[u8], index: &BodyIndex) -> Vec<String> {
        let read = |stretch: &Stretch| {
            let mut decoder = stretch.decoder(index);
            let mut folded = String::new();
            decoder.decode(&message[stretch.bytes.start as usize..stretch.bytes.end as usize], &mut folded);
            decoder.finish(&mut folded);
            folded
        };
        stretches(index).iter().map(read).collect()
    }

    fn allows_all_of(message: &[u8]) -> bool {
        let whole = index(message, message.len().max(1));
        let allowed = |text: &String| text.as_bytes().windows(3).all(|trigram| may_contain(&whole.signature, trigram));
        [1, 2, 3, 7, 61, 300].iter().all(|cut| index(message, *cut).signature == whole.signature)
            && texts(message, &whole).iter().all(allowed)
    }

    #[test]
    fn texts_are_read_as_search_reads_them() {
        let message = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n aus Zanzibar\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n--a\r\n\r\nPlain\r\nTEXT\r\n--a\r\n\
            Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            sof=\r\nt Gr=C3=BC=\r\n=C3=9Fe=20=\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nX-Inner: koi\r\n\
            Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n8NLJ\r\n18XU\r\n--a\r\n\
            Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: zimmermann\r\n--a\r\n\
            Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nUXVva2th\r\n--a--\r\nepilogue\r\n";
        assert!(allows_all_of(message.as_bytes()));
        let signature = index(message.as_bytes(), 10).signature;
        for there in [
            "grüße aus zanzibar",
            "PLAIN\r\ntext",
            "soft grüße ",
            "Привет",
            "X-INNER: koi",
            "application/pdf",
            "zimmermann",
        ] {
            assert!(may_contain(&signature, fold(there).as_bytes()), "{there}");
        }
        for absent in ["preamble", "epilogue", "quokka", "text\r\n--a", "uxvva"] {
            assert!(!may_contain(&signature, fold(absent).as_bytes()), "{absent}");
        }
    }

    #[test]
    fn too_much_text_leaves_no_signature() {
        let header = |bytes: u64| format!("Subject: {}\r\n\r\n", "x".repeat(bytes as usize - 13));
        assert!(!index(header(FETCH_HEADER_BYTES_MAX).as_bytes(), 4096).signature.is_empty());
        assert!(index(header(FETCH_HEADER_BYTES_MAX + 1).as_bytes(), 4096).signature.is_empty());
        let many = |count: u32| (0..count).filter_map(|n| char::from_u32(0x4e00 + n)).collect::<String>();
        assert!(!index(format!("\r\n{}", many(2000)).as_bytes(), 4096).signature.is_empty());
        assert!(index(format!("\r\n{0}{0}{0}{0}", many(20_000)).as_bytes(), 4096).signature.is_empty());
    }

    /// A line of a body, with its end.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let text = |line: &'static str| line.prop_map(String::into_bytes);
        let line = prop_oneof![
            text("(--(a|b|ab)(--)?[ -]{0,2})?"),
            text("[A-Za-z0-9+/]{4,24}={0,2}"),
            text("[A-Za-züßΣ日 ]{0,9}(=[0-9A-F]{2}){0,3}[ =]?"),
            text("[-a-zA-Z: \r\0\x1b$(]{0,9}"),
            proptest::collection::vec(any::<u8>(), 0..20),
        ];
        (line, prop_oneof![6 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("")])
            .prop_map(|(line, end)| [&line, end.as_bytes()].concat())
    }

    /// A part, or a message, of well-formed and ill-formed pieces.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        let field = "((Subject|X-a|To): (=\\?(utf-8|koi8-r)\\?(q|b)\\?[=A-Za-z0-9]{0,9}\\?= ?){0,2}[a-zA-Zé ]{0,8}(\r\n|\n)(\t[a-zé]{1,3}\r\n)?)?";
        let charset = "(; charset=(utf-8|utf-7|iso-2022-jp|utf-16|koi8-r|x-none|us-ascii|gb18030|shift_jis))?";
        let encoding = "(Content-Transfer-Encoding: (base64|quoted-printable|8bit|x)\r\n)?";
        let lines = proptest::collection::vec(line(), 0..6);
        let leaf = (field, charset, encoding, "(text/plain|text/html|text|a/b|message/global|message/x)", lines)
            .prop_map(|(field, charset, encoding, kind, lines)| {
                let header = format!("{field}Content-Type: {kind}{charset}\r\n{encoding}\r\n");
                [header.into_bytes(), lines.concat()].concat()
            });
        let blank = prop_oneof![9 => Just("\r\n"), 1 => Just("")];
        leaf.prop_recursive(3, 12, 4, move |part| {
            (
                field,
                "(multipart/(mixed|digest)|message/rfc822)",
                "(a|b|ab)",
                blank.clone(),
                proptest::collection::vec(part, 0..4),
            )
                .prop_map(|(field, kind, boundary, blank, parts)| {
                    let mut made = format!("{field}Content-Type: {kind}; boundary={boundary}\r\n{blank}").into_bytes();
                    for part in parts {
                        if kind != "message/rfc822" {
                            made.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
                        }
                        made.extend_from_slice(&part);
                    }
                    made.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
                    made
                })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn whatever_search_finds_is_allowed(message in part()) {
            prop_assert!(allows_all_of(&message));
        }
    }
}
