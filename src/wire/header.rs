//! Header blocks: fields, folding, selection (RFC 5322 section 2.2).
//!
//! Receives the bytes of a header block, with LF or CRLF line ends, with or without the empty line that ends it; hands
//! on fields as they stand. Never refuses a block: a line without a colon is a field whose name is the whole line.

pub mod address_list;
pub mod cursor;
pub mod encoded_word;

/// One field, with its continuation lines. All slices are of the block itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Everything from the first byte of the name to the end of its last line, line end included.
    pub raw: &'a [u8],
    /// The name, without white space before the colon.
    pub name: &'a [u8],
    /// What follows the colon, still folded, without white space at the start and without the last line end.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Reads one field from its lines.
    pub fn parse(raw: &'a [u8]) -> Field<'a> {
        let text = raw.strip_suffix(b"\n").unwrap_or(raw);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let first_line = memchr::memchr(b'\n', text).unwrap_or(text.len());
        match memchr::memchr(b':', text.get(..first_line).unwrap_or(text)) {
            Some(colon) => {
                let (name, value) = text.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                Field { raw, name: name.trim_ascii_end(), value: value.trim_ascii_start() }
            }
            None => Field { raw, name: text, value: b"" },
        }
    }

    /// Whether the field has this name (compared without regard to case).
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value on one line, see [`unfold`].
    pub fn unfolded(&self) -> Vec<u8> {
        unfold(self.value)
    }
}

/// The fields of a block, in order, up to the empty line.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Walks through the fields of a header block.
pub fn fields(block: &[u8]) -> Fields<'_> {
    Fields { rest: block }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;
    fn next(&mut self) -> Option<Field<'a>> {
        Some(Field::parse(self.next_raw()?))
    }
}

impl<'a> Fields<'a> {
    /// The lines of the next field.
    fn next_raw(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() || self.is_at_end() {
            return None;
        }
        let continues = |end: &usize| !matches!(self.rest.get(end + 1), Some(b' ' | b'\t'));
        let end = memchr::memchr_iter(b'\n', self.rest).find(continues).map_or(self.rest.len(), |end| end + 1);
        let (raw, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(raw)
    }

    /// Whether the empty line is next.
    fn is_at_end(&self) -> bool {
        self.rest.starts_with(b"\n") || self.rest.starts_with(b"\r\n")
    }
}

/// The first field of that name (compared without regard to case).
pub fn find<'a>(block: &'a [u8], name: &[u8]) -> Option<Field<'a>> {
    fields(block).find(|field| field.is(name))
}

/// A value on one line: line ends are taken out, the white space that began the continuation stays (RFC 5322 section
/// 2.2.3). NUL, which IMAP cannot carry, becomes 0x80.
pub fn unfold(value: &[u8]) -> Vec<u8> {
    if memchr::memchr2(b'\n', 0, value).is_none() {
        return value.strip_suffix(b"\r").unwrap_or(value).to_vec();
    }
    let lines = value.split(|&byte| byte == b'\n');
    let mut text = Vec::with_capacity(value.len());
    for line in lines {
        text.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    }
    text.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = 0x80);
    text
}

/// Appends the fields that IMAP's HEADER.FIELDS asks for (`wanted` true: those named; false: all others), exactly as
/// they stand, and the empty line that always ends the answer (RFC 3501 section 6.4.5). Whether the block has one, too.
pub fn select(block: &[u8], names: &[Vec<u8>], wanted: bool, out: &mut Vec<u8>) -> bool {
    // Most fields are told from a name by their first letters, and need not be taken apart.
    let has_name = |raw: &[u8], name: &[u8]| {
        raw.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) && Field::parse(raw).is(name)
    };
    let mut fields = fields(block);
    while let Some(raw) = fields.next_raw() {
        if names.iter().any(|name| has_name(raw, name)) == wanted {
            out.extend_from_slice(raw);
            if !raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    fields.is_at_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] =
        b"From: a@b\r\nSubject : one\r\n  two\r\nno colon here\r\nTo:\r\n c@d,\n\te@f\r\nsubject:again\r\n\r\nBody: no\r\n";

    #[test]
    fn fields_are_found_as_they_stand() {
        let names: Vec<&[u8]> = fields(BLOCK).map(|field| field.name).collect();
        assert_eq!(names, [&b"From"[..], b"Subject", b"no colon here", b"To", b"subject"]);
        let subject = find(BLOCK, b"SUBJECT").unwrap();
        assert_eq!((subject.value, subject.unfolded()), (&b"one\r\n  two"[..], b"one  two".to_vec()));
        assert_eq!(subject.raw, b"Subject : one\r\n  two\r\n");
        assert_eq!(find(BLOCK, b"to").unwrap().unfolded(), b"c@d,\te@f");
        assert_eq!(find(BLOCK, b"body"), None);
    }

    #[test]
    fn selection_keeps_every_byte_and_ends_with_an_empty_line() {
        let chosen = |names: &[&str], wanted| {
            let mut out = Vec::new();
            let names: Vec<_> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            assert!(select(BLOCK, &names, wanted, &mut out));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(chosen(&["subject", "From"], true), "From: a@b\r\nSubject : one\r\n  two\r\nsubject:again\r\n\r\n");
        assert_eq!(chosen(&["subject", "From"], false), "no colon here\r\nTo:\r\n c@d,\n\te@f\r\n\r\n");
        assert_eq!(chosen(&["x"], true), "\r\n");
        assert_eq!(chosen(&["Subj", "Subject :", "To:", "From: a@b", ""], true), "\r\n");
        assert!(!select(b"A: b\r\n", &[], true, &mut Vec::new()));
    }

    #[test]
    fn odd_blocks_are_read_too() {
        assert_eq!(fields(b"").count(), 0);
        assert_eq!(fields(b"\nA: b\n").count(), 0);
        let last = fields(b" leading: space\nA: b").last().unwrap();
        assert_eq!((last.name, last.value, last.raw), (&b"A"[..], &b"b"[..], &b"A: b"[..]));
        assert_eq!(unfold(b"a\0b"), b"a\x80b");
        assert_eq!([unfold(b"a\rb\r"), unfold(b"\r\n b\r")], [&b"a\rb"[..], b" b"]);
    }
}
