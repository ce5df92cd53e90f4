//! Writes the items of one FETCH response (RFC 3501 section 7.4.2).
//!
//! A [`FetchRow`] only remembers whether an item was written; the bytes go to the `out` given at each call, so the driver
//! may send `out` away in the middle of a row, between the head of a literal and its bytes too.

use super::command::{BinarySection, BodySection, Partial, SectionText};
use super::flag::SystemFlags;
use super::object_id::ObjectId;
use super::out::Out;
use super::response::{push_flags, push_literal_head, push_number, push_string, push_text};
use crate::wire::date::Timestamp;

/// One `* n FETCH (...)` under construction.
#[derive(Clone)]
#[must_use = "a row must be ended"]
pub struct FetchRow {
    items: u32,
}

impl FetchRow {
    /// `* n FETCH (`, or `* uid UIDFETCH (` (RFC 9586 section 3.3).
    pub fn begin(out: &mut Out, sequence_number: u32, uid: u32) -> FetchRow {
        let (number, word) = match out.dialect.uid_only {
            true => (uid, &b" UIDFETCH ("[..]),
            false => (sequence_number, &b" FETCH ("[..]),
        };
        out.extend_from_slice(b"* ");
        push_number(out, u64::from(number));
        out.extend_from_slice(word);
        FetchRow { items: 0 }
    }

    /// `)` and the end of the line.
    pub fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b")\r\n");
    }

    /// `UID n`
    pub fn uid(&mut self, out: &mut Vec<u8>, uid: u32) {
        self.item(out, b"UID ");
        push_number(out, u64::from(uid));
    }

    /// `FLAGS (...)`: bit n of `keyword_bits` is `keywords[n]`.
    pub fn flags(
        &mut self,
        out: &mut Vec<u8>,
        system: SystemFlags,
        keywords: &[String],
        keyword_bits: u64,
        recent: bool,
    ) {
        self.item(out, b"FLAGS ");
        push_flags(out, system, keywords, keyword_bits, recent);
    }

    /// `MODSEQ (n)`
    pub fn modseq(&mut self, out: &mut Vec<u8>, modseq: u64) {
        self.item(out, b"MODSEQ (");
        push_number(out, modseq);
        out.push(b')');
    }

    /// `EMAILID (id)`
    pub fn email_id(&mut self, out: &mut Vec<u8>, id: ObjectId) {
        self.object_id(out, b"EMAILID (", id);
    }

    /// `THREADID (id)`
    pub fn thread_id(&mut self, out: &mut Vec<u8>, id: ObjectId) {
        self.object_id(out, b"THREADID (", id);
    }

    fn object_id(&mut self, out: &mut Vec<u8>, name: &[u8], id: ObjectId) {
        self.item(out, name);
        id.push(out);
        out.push(b')');
    }

    /// `SAVEDATE "..."`, in UTC.
    pub fn save_date(&mut self, out: &mut Vec<u8>, date: Timestamp) {
        self.item(out, b"SAVEDATE ");
        super::datetime::push_date_time(out, date);
    }

    /// `PREVIEW "..."`; without a text NIL (RFC 8970 section 3.2).
    pub fn preview(&mut self, out: &mut Out, text: Option<&str>) {
        self.item(out, b"PREVIEW ");
        match text {
            Some(text) => push_text(out, text),
            None => out.extend_from_slice(b"NIL"),
        }
    }

    /// `INTERNALDATE "..."`, in UTC.
    pub fn internal_date(&mut self, out: &mut Vec<u8>, date: Timestamp) {
        self.item(out, b"INTERNALDATE ");
        super::datetime::push_date_time(out, date);
    }

    /// `RFC822.SIZE n`
    pub fn size(&mut self, out: &mut Vec<u8>, bytes: u64) {
        self.item(out, b"RFC822.SIZE ");
        push_number(out, bytes);
    }

    /// `ENVELOPE (...)`, given as finished bytes.
    pub fn envelope(&mut self, out: &mut Vec<u8>, finished: &[u8]) {
        self.item(out, b"ENVELOPE ");
        out.extend_from_slice(finished);
    }

    /// `BODY (...)`, given as finished bytes.
    pub fn body(&mut self, out: &mut Vec<u8>, finished: &[u8]) {
        self.item(out, b"BODY ");
        out.extend_from_slice(finished);
    }

    /// `BODYSTRUCTURE (...)`, given as finished bytes.
    pub fn body_structure(&mut self, out: &mut Vec<u8>, finished: &[u8]) {
        self.item(out, b"BODYSTRUCTURE ");
        out.extend_from_slice(finished);
    }

    /// `name {n}` and CRLF: the driver appends exactly n bytes next. `name` is `RFC822`, `RFC822.HEADER`, `RFC822.TEXT` or
    /// what [`push_section_name`] made.
    pub fn literal(&mut self, out: &mut Vec<u8>, name: &[u8], bytes: u64) {
        self.item(out, name);
        out.push(b' ');
        push_literal_head(out, bytes);
    }

    /// `name ~{n}` and CRLF: bytes of any value come next (`literal8`, RFC 3516 section 7).
    pub fn literal8(&mut self, out: &mut Vec<u8>, name: &[u8], bytes: u64) {
        self.item(out, name);
        out.extend_from_slice(b" ~");
        push_literal_head(out, bytes);
    }

    /// `name n`
    pub fn number(&mut self, out: &mut Vec<u8>, name: &[u8], number: u64) {
        self.item(out, name);
        out.push(b' ');
        push_number(out, number);
    }

    /// Nothing was written into it: it must not be ended like that (RFC 3501 section 9, `msg-att`).
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// `name NIL`: the section is not there.
    pub fn nil(&mut self, out: &mut Vec<u8>, name: &[u8]) {
        self.item(out, name);
        out.extend_from_slice(b" NIL");
    }

    fn item(&mut self, out: &mut Vec<u8>, name: &[u8]) {
        if self.items > 0 {
            out.push(b' ');
        }
        self.items += 1;
        out.extend_from_slice(name);
    }
}

/// `BODY[section]<first>` as the answer names it: never PEEK, the partial without its count (RFC 3501 section 7.4.2).
/// Make it once per command, not once per message.
pub fn push_section_name(out: &mut Vec<u8>, section: &BodySection) {
    out.extend_from_slice(b"BODY[");
    push_path(out, &section.path);
    let (word, names) = match &section.text {
        SectionText::Whole => ("", None),
        SectionText::Header => ("HEADER", None),
        SectionText::HeaderFields(names) => ("HEADER.FIELDS", Some(names)),
        SectionText::HeaderFieldsNot(names) => ("HEADER.FIELDS.NOT", Some(names)),
        SectionText::Text => ("TEXT", None),
        SectionText::Mime => ("MIME", None),
    };
    if !section.path.is_empty() && !word.is_empty() {
        out.push(b'.');
    }
    out.extend_from_slice(word.as_bytes());
    if let Some(names) = names {
        for (at, name) in names.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b" (" } else { b" " });
            push_field_name(out, name);
        }
        out.push(b')');
    }
    out.push(b']');
    push_origin(out, section.partial);
}

/// `BINARY[part]<first>` as the answer names it.
pub fn push_binary_name(out: &mut Vec<u8>, section: &BinarySection) {
    out.extend_from_slice(b"BINARY[");
    push_path(out, &section.path);
    out.push(b']');
    push_origin(out, section.partial);
}

/// `BINARY.SIZE[part]`
pub fn push_binary_size_name(out: &mut Vec<u8>, path: &[u32]) {
    out.extend_from_slice(b"BINARY.SIZE[");
    push_path(out, path);
    out.push(b']');
}

fn push_path(out: &mut Vec<u8>, path: &[u32]) {
    for (at, part) in path.iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        push_number(out, u64::from(*part));
    }
}

fn push_origin(out: &mut Vec<u8>, partial: Option<Partial>) {
    if let Some(partial) = partial {
        out.push(b'<');
        push_number(out, partial.first);
        out.push(b'>');
    }
}

/// A field name bare when it is an atom, as clients expect, else as a string.
fn push_field_name(out: &mut Vec<u8>, name: &str) {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b"-_.!#$&'+,/:;<=>?@^`|~".contains(&b);
    match !name.is_empty() && name.bytes().all(bare) {
        true => out.extend_from_slice(name.as_bytes()),
        false => push_string(out, name.as_bytes()),
    }
}
