//! What is decided once about a body, when it arrives, and kept with it.

mod envelope;
pub mod global;
mod preview;
mod references;
pub mod signature;
mod structure;
#[cfg(test)]
mod tests;
mod text;
mod texts;

pub use crate::wire::mime::TransferEncoding;
pub use preview::preview;

use crate::wire::date::parse_date_time;
use crate::wire::mime::fact::Fact;
use crate::wire::mime::scan::{ScannedPart, Scanner, Shape};
use texts::Texts;

/// The facts of a body that FETCH serves without reading the body.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BodyIndex {
    /// The finished IMAP `envelope` (RFC 3501 section 7.4.2), parentheses included.
    pub envelope: Vec<u8>,
    /// The finished IMAP `body` with extension data (BODYSTRUCTURE), parentheses included.
    pub body_structure: Vec<u8>,
    /// The finished IMAP `body` without extension data (BODY), parentheses included.
    pub body: Vec<u8>,
    /// Every MIME part, depth first; `parts[0]` is the message itself.
    pub parts: Vec<Part>,
    /// Seconds since the epoch of the Date field, when it could be read (SENTSINCE, SORT DATE).
    pub sent_seconds: Option<i64>,
    /// Zone of the Date field in minutes east of UTC: the SENT keys compare the writer's own day. 0 without a date.
    pub sent_zone_minutes: i16,
    /// Of the Message-ID field, when there is one.
    pub message_id: Option<MessageIdHash>,
    /// Of the messages that this one answers: References in its order, then what In-Reply-To adds; each once, at most
    /// [`crate::limits::REFERENCES_MAX`]: the first and the last ones.
    pub references: Vec<MessageIdHash>,
    /// The same for THREAD, exactly as RFC 5256 section 3 wants it: the ids of References as they stand, or else the first one of
    /// In-Reply-To. The last is the message that this one answers.
    pub ancestors: Vec<MessageIdHash>,
    /// The first words of its text (RFC 8970), see [`mod@preview`]; empty when it has none. `None` in rows from before it was kept.
    pub preview: Option<String>,
    /// Which trigrams its decoded, case-folded text may have, for SEARCH; empty: any. See [`signature::may_contain`].
    pub signature: Vec<u8>,
    /// A header of the message or of a part of it has bytes above 127. Not kept with the facts: see
    /// [`crate::mail::message::Form`].
    pub beyond_ascii: bool,
}

/// Those facts that FETCH tells as they are kept: see the fields of [`BodyIndex`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// [`BodyIndex::envelope`].
    pub envelope: Vec<u8>,
    /// [`BodyIndex::body_structure`].
    pub body_structure: Vec<u8>,
    /// [`BodyIndex::body`].
    pub body: Vec<u8>,
}

impl BodyIndex {
    /// Takes those facts out.
    pub fn take_finished(&mut self) -> Finished {
        let BodyIndex { envelope, body_structure, body, .. } = self;
        let [envelope, body_structure, body] = [envelope, body_structure, body].map(std::mem::take);
        Finished { envelope, body_structure, body }
    }

    /// The facts of the same message behind so many bytes of more header fields, which say nothing that facts are made of. The
    /// signature is gone: it does not know them.
    pub fn behind(mut self, head: u64) -> BodyIndex {
        for (at, part) in self.parts.iter_mut().enumerate() {
            if at > 0 {
                part.header_start = part.header_start.saturating_add(head);
            }
            part.body_start = part.body_start.saturating_add(head);
            part.body_end = part.body_end.saturating_add(head);
        }
        self.signature.clear();
        self
    }

    /// Whether it was made when [`PartKind::OtherMessage`] was not told from other leaves, and has some: its parts do not name all text.
    /// May say so of one that names all.
    pub fn lacks_texts(&self) -> bool {
        const SHOWN: &[u8] = b"(\"message\" \"";
        let shown = self.body_structure.windows(SHOWN.len()).filter(|found| found.eq_ignore_ascii_case(SHOWN)).count();
        let messages = self.parts.iter().filter(|part| part.kind.holds_message()).count();
        shown > messages && self.parts.iter().all(|part| part.kind != PartKind::OtherMessage)
    }

    /// The parts but for those inside a `message/global`, whose headers are free to be in UTF-8 and are nobody's to change.
    pub fn parts_outside_global(&self) -> impl Iterator<Item = &Part> {
        let mut next = 0;
        let outside = move |(at, part): &(usize, &Part)| {
            let is_outside = *at >= next;
            if is_outside && part.kind == PartKind::GlobalMessage {
                next = at + 1 + part.descendants as usize;
            }
            is_outside
        };
        self.parts.iter().enumerate().filter(outside).map(|(_, part)| part)
    }

    /// Whether a signature of the version before may say wrongly that something is not in the message: it lacks texts, or UTF-7 was
    /// read as if it were ASCII. May say so of one that was read as now. Words in UTF-7 in fields of which nothing is known here are
    /// passed over.
    pub fn was_read_otherwise(&self) -> bool {
        const WORD: &[u8] = b"utf-7?";
        let has_words = self.envelope.windows(WORD.len()).any(|found| found.eq_ignore_ascii_case(WORD));
        let is_utf7 = |part: &Part| ["utf-7", "utf7"].iter().any(|name| part.charset.contains(name));
        has_words || self.parts.iter().any(is_utf7) || self.lacks_texts()
    }
}

/// The first 64 bits of the SHA-256 of a Message-ID without its angle brackets: enough to find the messages of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageIdHash(pub u64);

/// Where one MIME part lies. Offsets are bytes from the start of the message.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Part {
    /// How many parts, directly following in [`BodyIndex::parts`], are inside this one (at any depth).
    pub descendants: u32,
    /// What kind it is, as far as section numbers and decoding need it.
    pub kind: PartKind,
    /// Content-Transfer-Encoding.
    pub encoding: TransferEncoding,
    /// The charset parameter of parts that SEARCH reads, lower case.
    pub charset: String,
    /// First byte of its header.
    pub header_start: u64,
    /// First byte after its header and the empty line.
    pub body_start: u64,
    /// First byte after its body.
    pub body_end: u64,
}

/// The kinds of parts that IMAP sections tell apart (RFC 3501 section 6.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PartKind {
    /// Anything without parts of its own and not `text/*`.
    #[default]
    Leaf,
    /// `text/plain` and other text that is not HTML.
    Text,
    /// `text/html`.
    Html,
    /// `multipart/*`.
    Multipart,
    /// `message/rfc822`: its one child is the inner message.
    Message,
    /// Any other `message/*`: reports on deliveries (RFC 3464), pointers to messages and pieces of them (RFC 2046 section 5.2),
    /// `message/global` that is encoded or arrived before its inside was looked at. Text that SEARCH reads; no message that has
    /// parts, and no text that a person reads first.
    OtherMessage,
    /// `message/global` (RFC 6532 section 3.7): its one child is the inner message. It may be encoded on its way, as a whole.
    GlobalMessage,
}

impl PartKind {
    /// Whether its one child is a message.
    pub fn holds_message(self) -> bool {
        matches!(self, PartKind::Message | PartKind::GlobalMessage)
    }

    /// Whether BODY and TEXT keys of SEARCH look into its body.
    pub fn is_searched(self) -> bool {
        matches!(self, PartKind::Text | PartKind::Html | PartKind::OtherMessage)
    }
}

/// Makes the [`BodyIndex`] of a message in one pass over its bytes, however they are cut. Memory is bounded by
/// [`crate::limits::MIME_PARTS_MAX`], [`crate::limits::MIME_FACTS_BYTES_MAX`] and [`crate::limits::PREVIEW_READ_BYTES`], whatever the
/// message.
pub struct Indexer {
    scanner: Scanner,
    texts: Texts,
    head: preview::Head,
}

impl Default for Indexer {
    fn default() -> Indexer {
        Indexer::new()
    }
}

impl Indexer {
    /// Begins a message.
    pub fn new() -> Indexer {
        Indexer { scanner: Scanner::new(), texts: Texts::new(), head: preview::Head::default() }
    }

    /// Takes the next bytes, any number of them.
    pub fn push(&mut self, bytes: &[u8]) {
        self.scanner.push(bytes);
        self.head.push(bytes);
        self.texts.push(self.scanner.parts(), self.scanner.open(), self.scanner.settled(), bytes);
    }

    /// Ends the message.
    pub fn finish(self) -> BodyIndex {
        let beyond_ascii = self.scanner.header_beyond_ascii();
        let parts = self.scanner.finish();
        let facts = parts.first().map(|part| part.facts.clone()).unwrap_or_default();
        let sent = facts.last(Fact::Date).and_then(parse_date_time);
        let message_id = references::message_id(&facts);
        let mut index = BodyIndex {
            message_id,
            beyond_ascii,
            references: references::references(&facts, message_id),
            ancestors: references::ancestors(&facts),
            signature: self.texts.finish(&parts),
            sent_seconds: sent.map(|date| date.seconds),
            sent_zone_minutes: sent.map_or(0, |date| date.zone_minutes),
            ..BodyIndex::default()
        };
        envelope::write(&facts, &mut index.envelope);
        structure::write(&parts, true, &mut index.body_structure);
        structure::write(&parts, false, &mut index.body);
        index.parts = (0..parts.len()).filter_map(|at| Some(part_of(&parts, at, parts.get(at)?))).collect();
        index.preview = Some(self.head.preview(&index.parts));
        index
    }
}

/// Whether a header names a transfer encoding that cannot be undone here. `in_multipart`: it is that of a part of a multipart, where
/// the field counts even without MIME-Version.
pub fn names_unknown_encoding(header: &[u8], in_multipart: bool) -> bool {
    let mut scanner = Scanner::new();
    if in_multipart {
        scanner.push(b"MIME-Version: 1.0\r\n");
    }
    scanner.push(header);
    let named = structure::encoding(&scanner.finish(), 0);
    named.is_some_and(|token| !TransferEncoding::is_known(&token))
}

fn part_of(parts: &[ScannedPart], at: usize, part: &ScannedPart) -> Part {
    let kind = match part.shape {
        Shape::Multipart => PartKind::Multipart,
        Shape::Message => match &part.content {
            Some(content) if content.is_global_message() => PartKind::GlobalMessage,
            _ => PartKind::Message,
        },
        Shape::Unread => PartKind::Leaf,
        Shape::Leaf => match &part.content {
            None => PartKind::Text,
            Some(content) if content.is(b"text", b"html") => PartKind::Html,
            Some(content) if structure::is_text(content) => PartKind::Text,
            Some(content) if content.main.eq_ignore_ascii_case(b"message") => PartKind::OtherMessage,
            Some(_) => PartKind::Leaf,
        },
    };
    let charset = part.content.as_ref().and_then(|content| content.parameter(b"charset")).unwrap_or_default();
    Part {
        descendants: u32::try_from(part.descendants).unwrap_or(u32::MAX),
        kind,
        encoding: structure::encoding(parts, at)
            .map_or(TransferEncoding::Identity, |token| TransferEncoding::named(&token)),
        charset: match kind.is_searched() {
            true => String::from_utf8_lossy(charset).to_ascii_lowercase(),
            false => String::new(),
        },
        header_start: part.header_start,
        body_start: part.body_start,
        body_end: part.body_end,
    }
}
