//! Finds the parts of a message in one pass (RFC 2046 section 5.1, RFC 5322 section 2.1).
//!
//! Receives the bytes of a message in any cut; hands on the tree of its parts: where headers and bodies begin and end,
//! lines, and the values of the fields that ENVELOPE and BODYSTRUCTURE are made of. Holds the line that is being decided
//! and those values, both bounded; never a body. The result does not depend on the cut. Malformed messages are read as
//! Dovecot reads them, because that is what clients have been tried with.

use super::TransferEncoding;
use super::content::{self, ContentType};
use super::fact::{Fact, Facts, FieldBuffer};
use crate::limits::{MIME_BOUNDARY_BYTES_MAX, MIME_DEPTH_MAX, MIME_PARTS_MAX};

/// One part, as found. Parts stand in the order of their headers, a part before those inside it.
#[derive(Debug, Default)]
pub struct ScannedPart {
    /// Index of the part this one is inside of; the message itself has none.
    pub parent: Option<usize>,
    /// How many parts, directly following, are inside this one.
    pub descendants: usize,
    /// What may be inside of it.
    pub shape: Shape,
    /// Its Content-Type. `None` when it has none, or when it is not a MIME message: then it is `text/plain`, or
    /// `message/rfc822` in a digest (RFC 2046 section 5.1.5).
    pub content: Option<ContentType>,
    /// The values of its fields.
    pub facts: Facts,
    /// First byte of its header.
    pub header_start: u64,
    /// First byte after the empty line that ends its header.
    pub body_start: u64,
    /// First byte after its body: the line end before a boundary belongs to the boundary.
    pub body_end: u64,
    /// Line ends in the body.
    pub lines: u64,
}

/// What may be inside a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Shape {
    /// Nothing.
    #[default]
    Leaf,
    /// Parts between boundaries. There may be none.
    Multipart,
    /// One message.
    Message,
    /// It would be one of the above, but the bound on depth or number is reached: its inside is not looked at.
    Unread,
}

/// The innermost part that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its index in [`Scanner::parts`].
    pub part: usize,
    /// Its header has not ended either.
    pub in_header: bool,
}

/// A boundary that may end or begin parts.
#[derive(Debug)]
struct Boundary {
    /// Index of its multipart in [`Scanner::open`].
    owner: usize,
    text: Vec<u8>,
}

/// A boundary met at the start of a line.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// Index in [`Scanner::boundaries`], and its owner.
    index: usize,
    owner: usize,
    /// Its length with the hyphens around it.
    bytes: usize,
    /// Two hyphens follow it: no more parts.
    closing: bool,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a line of a header.
    HeaderStart,
    /// Inside a line of a header.
    HeaderLine,
    /// At the start of a line of a body in which a boundary may stand.
    BodyStart,
    /// Inside such a line.
    BodyLine,
    /// Behind a boundary, on its line; then a part begins, or else an epilogue.
    BoundaryLine { part_follows: bool },
    /// In a body that nothing but the end of the message can end.
    Rest,
}

/// Bytes at the start of a line that decide what it is: two hyphens, a boundary, two hyphens.
const HEAD_BYTES: usize = MIME_BOUNDARY_BYTES_MAX + 4;

/// Reads one message.
#[derive(Debug)]
pub struct Scanner {
    parts: Vec<ScannedPart>,
    /// Indices of the parts that are open: the message, ..., the innermost.
    open: Vec<usize>,
    boundaries: Vec<Boundary>,
    place: Place,
    /// The start of a line that was cut before it could be decided; at most [`HEAD_BYTES`].
    head: Vec<u8>,
    /// The message has ended: what stands in `head` is all there is.
    ended: bool,
    /// Bytes and line ends before the next byte.
    position: u64,
    lines: u64,
    /// At the start of a line: length of the line end before it that a boundary would take along.
    line_end: u64,
    /// The last byte read.
    last: u8,
    /// A header has had bytes above 127, outside of `message/global`.
    beyond_ascii: bool,
    field: FieldBuffer,
    line_marks: memchr::memmem::Finder<'static>,
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner::new()
    }
}

impl Scanner {
    /// Stands before the first byte of a message.
    pub fn new() -> Scanner {
        let mut scanner = Scanner {
            parts: Vec::new(),
            open: Vec::new(),
            boundaries: Vec::new(),
            place: Place::HeaderStart,
            head: Vec::new(),
            ended: false,
            position: 0,
            lines: 0,
            line_end: 0,
            last: b'\n',
            beyond_ascii: false,
            field: FieldBuffer::default(),
            line_marks: memchr::memmem::Finder::new(b"\n--"),
        };
        scanner.begin_part(0);
        scanner
    }

    /// Takes the next bytes, any number of them.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !self.head.is_empty() && !bytes.is_empty() {
            let room = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
            let (room_bytes, _) = bytes.split_at(room);
            let taken = memchr::memchr(b'\n', room_bytes).map_or(room, |end| end + 1);
            let (piece, rest) = bytes.split_at(taken);
            self.head.extend_from_slice(piece);
            bytes = rest;
            let head = std::mem::take(&mut self.head);
            let used = self.scan(&head);
            self.keep_head(head, used);
        }
        let used = self.scan(bytes);
        if used < bytes.len() {
            self.head.extend_from_slice(bytes.get(used..).unwrap_or_default());
        }
    }

    /// The parts found so far. Where a part ends is known when it is not open any more.
    pub fn parts(&self) -> &[ScannedPart] {
        &self.parts
    }

    /// The innermost open part.
    pub fn open(&self) -> Open {
        let in_header = matches!(self.place, Place::HeaderStart | Place::HeaderLine);
        Open { part: self.open.last().copied().unwrap_or_default(), in_header }
    }

    /// Offset before which no byte changes its part any more: a line end may still turn out to be that of a boundary.
    pub fn settled(&self) -> u64 {
        self.position.saturating_sub(2)
    }

    /// Whether a header read so far has bytes above 127. Those of a `message/global` inside are what its type promises.
    pub fn header_beyond_ascii(&self) -> bool {
        self.beyond_ascii || self.place == Place::HeaderStart && !self.head.is_ascii() && !self.is_in_global()
    }

    fn is_in_global(&self) -> bool {
        let mut open = self.open.iter().filter_map(|index| self.parts.get(*index)?.content.as_ref());
        open.any(ContentType::is_global_message)
    }

    /// Ends the message.
    pub fn finish(mut self) -> Vec<ScannedPart> {
        self.ended = true;
        let head = std::mem::take(&mut self.head);
        self.scan(&head);
        if matches!(self.place, Place::HeaderStart | Place::HeaderLine) {
            self.end_header(HeaderEnd::Message, self.position, self.lines);
        }
        self.close(0, self.position, self.lines);
        self.parts
    }

    /// Puts back what was not used of a head, without giving up its memory.
    fn keep_head(&mut self, mut head: Vec<u8>, used: usize) {
        head.drain(..used.min(head.len()));
        self.head = head;
    }

    /// Reads as far as it can decide; returns how many bytes it used.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let step = match self.place {
                Place::HeaderStart => self.header_start(rest),
                Place::HeaderLine => Some(self.header_line(rest)),
                Place::BodyStart => self.body_start(rest),
                Place::BodyLine => Some(self.body_line(rest)),
                Place::BoundaryLine { part_follows } => Some(self.boundary_line(rest, part_follows)),
                Place::Rest => {
                    self.lines += memchr::memchr_iter(b'\n', rest).count() as u64;
                    Some(rest.len())
                }
            };
            let Some(step) = step else { break };
            if let Some(last) = step.checked_sub(1).and_then(|last| rest.get(last)) {
                self.last = *last;
            }
            self.position += step as u64;
            used += step;
        }
        used
    }

    /// The start of a header line: the empty line, a boundary, a continuation or a new field. `None` asks for more.
    fn header_start(&mut self, rest: &[u8]) -> Option<usize> {
        let end = match rest {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            [b'\r'] if !self.ended => return None,
            [b'-', ..] => {
                if let Some(found) = self.boundary_at(rest)? {
                    return Some(self.header_cut(found));
                }
                0
            }
            _ => 0,
        };
        if end > 0 {
            self.lines += 1;
            self.end_header(HeaderEnd::EmptyLine, self.position + end as u64, self.lines);
            return Some(end);
        }
        if !matches!(rest, [b' ' | b'\t', ..]) {
            self.end_field();
        }
        self.place = Place::HeaderLine;
        Some(0)
    }

    /// A boundary stands where the header goes on: it takes the line end before it along.
    fn header_cut(&mut self, found: Found) -> usize {
        let (end, lines) = self.before_line_end();
        let line_end = self.line_end;
        self.end_header(HeaderEnd::Boundary, end, lines);
        if self.boundaries.is_empty() {
            // This was the last part that is told apart.
            return 0;
        }
        self.line_end = line_end;
        self.pass_boundary(found)
    }

    fn header_line(&mut self, rest: &[u8]) -> usize {
        let end = memchr::memchr(b'\n', rest);
        let length = end.map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or(rest);
        self.field.push(line);
        self.beyond_ascii = self.beyond_ascii || !line.is_ascii() && !self.is_in_global();
        if let Some(end) = end {
            self.end_line(rest, end);
            self.place = Place::HeaderStart;
        }
        length
    }

    /// The start of a body line. `None` asks for more.
    fn body_start(&mut self, rest: &[u8]) -> Option<usize> {
        if let Some(found) = self.boundary_at(rest)? {
            return Some(self.pass_boundary(found));
        }
        self.place = Place::BodyLine;
        Some(0)
    }

    /// Goes to the next line that begins with two hyphens, or may turn out to.
    fn body_line(&mut self, rest: &[u8]) -> usize {
        let found = self.line_marks.find(rest).or_else(|| match rest {
            [.., b'\n'] => Some(rest.len() - 1),
            [.., b'\n', b'-'] => Some(rest.len() - 2),
            _ => None,
        });
        let Some(end) = found else {
            self.lines += memchr::memchr_iter(b'\n', rest).count() as u64;
            return rest.len();
        };
        let before = rest.get(..end).unwrap_or_default();
        self.lines += memchr::memchr_iter(b'\n', before).count() as u64;
        self.end_line(rest, end);
        self.place = Place::BodyStart;
        end + 1
    }

    /// Goes to the end of a boundary's line (white space may follow it, and software writes other things there).
    fn boundary_line(&mut self, rest: &[u8], part_follows: bool) -> usize {
        let Some(end) = memchr::memchr(b'\n', rest) else { return rest.len() };
        self.lines += 1;
        self.line_end = 0;
        if part_follows {
            self.begin_part(self.position + end as u64 + 1);
        } else {
            self.enter_body();
        }
        end + 1
    }

    /// Counts the line end at `rest[end]` and remembers how long it is.
    fn end_line(&mut self, rest: &[u8], end: usize) {
        let before = end.checked_sub(1).and_then(|before| rest.get(before)).copied().unwrap_or(self.last);
        self.lines += 1;
        self.line_end = if before == b'\r' { 2 } else { 1 };
    }

    /// Where the line before this one ends without its line end, and the line ends up to there.
    fn before_line_end(&self) -> (u64, u64) {
        (self.position.saturating_sub(self.line_end), self.lines.saturating_sub(u64::from(self.line_end > 0)))
    }

    /// The boundary that begins `rest`. Outer `None`: more bytes are needed to tell.
    fn boundary_at(&self, rest: &[u8]) -> Option<Option<Found>> {
        let end_of_line = memchr::memchr(b'\n', rest.get(..HEAD_BYTES).unwrap_or(rest));
        let decided = rest.len() >= HEAD_BYTES || self.ended || end_of_line.is_some();
        match rest {
            _ if self.boundaries.is_empty() => Some(None),
            [b'-', b'-', text @ ..] if decided => {
                let line = text.get(..end_of_line.map_or(text.len(), |end| end - 2)).unwrap_or(text);
                Some(self.boundary_of(line))
            }
            [b'-'] | [b'-', b'-', ..] if !decided => None,
            _ => Some(None),
        }
    }

    /// The boundary that a line (without its hyphens) begins with; the rest of the line does not matter (RFC 2046
    /// section 5.1.1). A boundary that is the whole line counts first, then the longest, then the innermost.
    fn boundary_of(&self, line: &[u8]) -> Option<Found> {
        let mut best: Option<(usize, &Boundary)> = None;
        for (index, boundary) in self.boundaries.iter().enumerate().rev() {
            let Some(after) = line.strip_prefix(boundary.text.as_slice()) else { continue };
            let longer = best.is_none_or(|(_, best)| best.text.len() < boundary.text.len());
            if longer {
                best = Some((index, boundary));
            }
            if matches!(after.trim_ascii_end(), b"" | b"--") {
                best = Some((index, boundary));
                break;
            }
        }
        best.map(|(index, boundary)| {
            let length = boundary.text.len();
            let closing = line.get(length..).is_some_and(|after| after.starts_with(b"--"));
            Found { index, owner: boundary.owner, bytes: 2 + length + if closing { 2 } else { 0 }, closing }
        })
    }

    /// Ends the parts that a boundary ends. Returns the bytes of the boundary itself.
    fn pass_boundary(&mut self, found: Found) -> usize {
        let (end, lines) = self.before_line_end();
        self.close(found.owner + 1, end, lines);
        self.boundaries.truncate(if found.closing { found.index } else { found.index + 1 });
        self.place = Place::BoundaryLine { part_follows: !found.closing };
        found.bytes
    }

    /// Closes the open parts from `first` on.
    fn close(&mut self, first: usize, end: u64, lines: u64) {
        let count = self.parts.len();
        for index in self.open.drain(first.min(self.open.len())..) {
            if let Some(part) = self.parts.get_mut(index) {
                part.body_end = end.max(part.body_start);
                part.lines = lines.saturating_sub(part.lines);
                part.descendants = count - index - 1;
            }
        }
    }

    fn begin_part(&mut self, header_start: u64) {
        let parent = self.open.last().copied();
        self.open.push(self.parts.len());
        self.parts.push(ScannedPart { parent, header_start, ..ScannedPart::default() });
        self.place = Place::HeaderStart;
        self.line_end = 0;
    }

    fn end_field(&mut self) {
        let enveloped = match self.current().and_then(|part| part.parent) {
            Some(parent) => self.parts.get(parent).is_some_and(|parent| parent.shape == Shape::Message),
            None => true,
        };
        let Some(&index) = self.open.last() else { return };
        let Some(part) = self.parts.get_mut(index) else { return };
        self.field.end(enveloped, &mut part.facts);
    }

    fn current(&self) -> Option<&ScannedPart> {
        self.parts.get(*self.open.last()?)
    }

    /// The header of the innermost part ends and its body begins at `start`, with `lines` line ends before it.
    fn end_header(&mut self, by: HeaderEnd, start: u64, lines: u64) {
        self.end_field();
        let depth = self.open.len();
        let Some(&index) = self.open.last() else { return };
        let in_digest = self
            .current()
            .and_then(|part| self.parts.get(part.parent?))
            .is_some_and(|parent| parent.content.as_ref().is_some_and(|content| content.is(b"multipart", b"digest")));
        let crowded = depth >= MIME_DEPTH_MAX || self.parts.len() >= MIME_PARTS_MAX;
        let Some(part) = self.parts.get_mut(index) else { return };
        part.body_start = start;
        // Until the part is closed this holds the line ends before its body.
        part.lines = lines;
        let typed = part.facts.first(Fact::ContentType).map(ContentType::parse);
        let message = typed.as_ref().map_or(in_digest, |content| {
            content.is(b"message", b"rfc822") || content.is_global_message() && is_identity(&part.facts)
        });
        let boundary = typed.as_ref().filter(|content| content.main.eq_ignore_ascii_case(b"multipart"));
        let boundary = boundary.map(|content| content.parameter(b"boundary").map(<[u8]>::to_vec));
        part.shape = match (message, &boundary) {
            (true, _) | (_, Some(Some(_))) if crowded => Shape::Unread,
            (true, _) => Shape::Message,
            (false, Some(Some(_))) => Shape::Multipart,
            (false, _) => Shape::Leaf,
        };
        // RFC 2045 section 5.2: a Content-Type that makes no sense counts as none. A multipart without a boundary is
        // shown as the text it is.
        part.content = typed.filter(|content| !content.main.is_empty() && boundary != Some(None));
        let boundary = boundary.flatten();
        self.line_end = 0;
        match part.shape {
            Shape::Message => {
                self.begin_part(start);
                if by != HeaderEnd::EmptyLine {
                    self.end_header(by, start, lines);
                }
                return;
            }
            Shape::Multipart if by == HeaderEnd::EmptyLine => {
                if let Some(mut text) = boundary {
                    text.truncate(MIME_BOUNDARY_BYTES_MAX);
                    self.boundaries.push(Boundary { owner: depth - 1, text });
                }
            }
            _ => {}
        }
        self.enter_body();
    }

    fn enter_body(&mut self) {
        // Beyond the bound on their number no parts are told apart any more.
        if self.parts.len() >= MIME_PARTS_MAX {
            self.boundaries.clear();
        }
        self.place = if self.boundaries.is_empty() { Place::Rest } else { Place::BodyStart };
    }
}

/// Whether a part is not encoded: `message/global` may be (RFC 6532 section 3.5), and then its inside is not looked at.
fn is_identity(facts: &Facts) -> bool {
    let declared = facts.all(Fact::Encoding).find_map(content::parse_encoding);
    declared.is_none_or(|token| {
        TransferEncoding::is_known(&token) && TransferEncoding::named(&token) == TransferEncoding::Identity
    })
}

/// What ended a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeaderEnd {
    EmptyLine,
    Boundary,
    Message,
}
