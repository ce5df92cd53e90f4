//! BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2).

use super::envelope;
use super::text::{write_nstring, write_string};
use crate::wire::mime::content::{self, ContentType, Parameter};
use crate::wire::mime::fact::Fact;
use crate::wire::mime::scan::{ScannedPart, Shape};

/// A multipart without parts still has to show one (RFC 3501: `1*body`).
const NO_PART: &[u8] = b"(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)";
const NO_PART_EXTENDED: &[u8] = b"(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)";

/// Appends the `body` of a message; `extended` with the extension data that BODYSTRUCTURE adds.
pub fn write(parts: &[ScannedPart], extended: bool, out: &mut Vec<u8>) {
    Writer { parts, extended, out }.part(0);
}

/// Whether a leaf of this type has a line count.
pub fn is_text(content: &ContentType) -> bool {
    content.main.eq_ignore_ascii_case(b"text")
}

/// The encoding of a part: only MIME messages have one.
pub fn encoding(parts: &[ScannedPart], at: usize) -> Option<Vec<u8>> {
    let part = parts.get(at).filter(|part| is_mime(parts, part))?;
    part.facts.all(Fact::Encoding).find_map(content::parse_encoding)
}

/// Content fields count in parts of a multipart, and in messages with MIME-Version or Content-Type.
fn is_mime(parts: &[ScannedPart], part: &ScannedPart) -> bool {
    let in_multipart = part.parent.and_then(|parent| parts.get(parent)).is_some_and(|p| p.shape == Shape::Multipart);
    in_multipart || [Fact::MimeVersion, Fact::ContentType].iter().any(|fact| part.facts.first(*fact).is_some())
}

struct Writer<'a> {
    parts: &'a [ScannedPart],
    extended: bool,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Writes one part and returns the index of the one after it and its descendants. Recursion is bounded by
    /// [`crate::limits::MIME_DEPTH_MAX`], which the scanner keeps.
    fn part(&mut self, at: usize) -> usize {
        let parts = self.parts;
        let Some(part) = parts.get(at) else { return at + 1 };
        let after = at + 1 + part.descendants;
        self.out.push(b'(');
        if part.shape == Shape::Multipart {
            self.multipart(at, part, after);
        } else {
            self.single(at, part);
        }
        self.out.push(b')');
        after
    }

    fn multipart(&mut self, at: usize, part: &ScannedPart, after: usize) {
        if part.descendants == 0 {
            self.raw(if self.extended { NO_PART_EXTENDED } else { NO_PART });
        }
        let mut child = at + 1;
        while child < after {
            child = self.part(child);
        }
        let content = part.content.as_ref();
        self.raw(b" ");
        let sub = content.and_then(|content| content.sub.as_deref()).filter(|sub| !sub.is_empty());
        write_string(sub.unwrap_or(b"x-unknown"), self.out);
        if self.extended {
            self.raw(b" ");
            self.parameters(content.map_or(&[], |content| &content.parameters));
            self.extension(part, true);
        }
    }

    fn single(&mut self, at: usize, part: &ScannedPart) {
        let (main, sub, parameters, text) = self.kind(part);
        write_string(main, self.out);
        self.raw(b" ");
        write_string(sub, self.out);
        self.raw(b" ");
        if text && !parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"charset")) {
            let charset = (b"charset".to_vec(), b"us-ascii".to_vec());
            self.parameters(&[parameters, &[charset]].concat());
        } else {
            self.parameters(parameters);
        }
        let mime = is_mime(self.parts, part);
        let fact = |fact: Fact| part.facts.first(fact).filter(|_| mime);
        for value in [fact(Fact::ContentId), fact(Fact::Description)] {
            self.raw(b" ");
            write_nstring(value, self.out);
        }
        self.raw(b" ");
        write_string(encoding(self.parts, at).as_deref().unwrap_or(b"7bit"), self.out);
        self.number(part.body_end.saturating_sub(part.body_start));
        if part.shape == Shape::Message {
            self.raw(b" ");
            let child = self.parts.get(at + 1);
            envelope::write(&child.map(|child| child.facts.clone()).unwrap_or_default(), self.out);
            self.raw(b" ");
            self.part(at + 1);
        }
        if text || part.shape == Shape::Message {
            self.number(part.lines);
        }
        if self.extended {
            self.raw(b" ");
            write_nstring(fact(Fact::Md5), self.out);
            self.extension(part, mime);
        }
    }

    /// Type, subtype, parameters, and whether it is text.
    fn kind<'p>(&self, part: &'p ScannedPart) -> (&'p [u8], &'p [u8], &'p [Parameter], bool) {
        match (&part.content, part.shape) {
            (_, Shape::Unread) => (b"application", b"octet-stream", &[], false),
            (content, Shape::Message) => {
                let is_global = content.as_ref().is_some_and(ContentType::is_global_message);
                let parameters = content.as_ref().map_or(&[][..], |content| &content.parameters);
                (b"message", if is_global { b"global" } else { b"rfc822" }, parameters, false)
            }
            (None, _) => (b"text", b"plain", &[], true),
            (Some(content), _) => {
                let text = is_text(content);
                let default: &[u8] = if text { b"plain" } else { b"unknown" };
                let sub = content.sub.as_deref().filter(|sub| !sub.is_empty()).unwrap_or(default);
                (&content.main, sub, &content.parameters, text)
            }
        }
    }

    /// Disposition, language, location: what single parts and multiparts have in common.
    fn extension(&mut self, part: &ScannedPart, mime: bool) {
        let fact = |fact: Fact| part.facts.first(fact).filter(|_| mime);
        self.raw(b" ");
        match fact(Fact::Disposition).and_then(content::parse_disposition) {
            Some((kind, parameters)) => {
                self.raw(b"(");
                write_string(&kind, self.out);
                self.raw(b" ");
                self.parameters(&parameters);
                self.raw(b")");
            }
            None => self.raw(b"NIL"),
        }
        self.raw(b" ");
        let languages = fact(Fact::Language).map(content::parse_languages).unwrap_or_default();
        if languages.is_empty() {
            self.raw(b"NIL");
        } else {
            self.strings(languages.iter().map(Vec::as_slice));
        }
        self.raw(b" ");
        write_nstring(fact(Fact::Location), self.out);
    }

    fn parameters(&mut self, parameters: &[Parameter]) {
        if parameters.is_empty() {
            self.raw(b"NIL");
        } else {
            self.strings(parameters.iter().flat_map(|(name, value)| [name.as_slice(), value.as_slice()]));
        }
    }

    fn strings<'p>(&mut self, strings: impl Iterator<Item = &'p [u8]>) {
        for (index, string) in strings.enumerate() {
            self.raw(if index == 0 { b"(" } else { b" " });
            write_string(string, self.out);
        }
        self.raw(b")");
    }

    fn number(&mut self, number: u64) {
        self.raw(format!(" {number}").as_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}
