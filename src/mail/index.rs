//! What is decided once about a body, when it arrives, and kept with it.

pub use crate::wire::mime::TransferEncoding;

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
}

/// Where one MIME part lies. Offsets are bytes from the start of the message.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Part {
    /// How many parts, directly following in [`BodyIndex::parts`], are inside this one (at any depth).
    pub descendants: u32,
    /// What kind it is, as far as section numbers and decoding need it.
    pub kind: PartKind,
    /// Content-Transfer-Encoding.
    pub encoding: TransferEncoding,
    /// The charset parameter of text parts, lower case.
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
}

/// Makes the [`BodyIndex`] of a message in one pass over its bytes, however they are cut.
#[derive(Debug, Default)]
pub struct Indexer {
    bytes: u64,
}

impl Indexer {
    /// Begins a message.
    pub fn new() -> Indexer {
        Indexer::default()
    }
    /// Takes the next bytes, any number of them.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
    }
    /// Ends the message.
    pub fn finish(self) -> BodyIndex {
        let part = Part { kind: PartKind::Text, body_end: self.bytes, ..Part::default() };
        BodyIndex {
            envelope: b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)".to_vec(),
            body_structure: b"(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)".to_vec(),
            body: b"(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)".to_vec(),
            parts: vec![part],
            ..BodyIndex::default()
        }
    }
}
