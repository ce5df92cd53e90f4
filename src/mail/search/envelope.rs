//! What SEARCH, SORT and THREAD read in a finished ENVELOPE: subject and addresses, without touching the message.
//!
//! Receives an ENVELOPE as [`crate::mail::index`] wrote it; hands on whether a field contains a string, or its value. Not a parser of
//! messages. Whatever the bytes are, it ends: what is no ENVELOPE contains nothing.

use crate::mail::text::fold;
use crate::wire::header::encoded_word::decode_text;

/// A field, by its place in the ENVELOPE (RFC 3501 section 7.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeField {
    /// The subject.
    Subject = 1,
    /// Its authors.
    From = 2,
    /// Its recipients.
    To = 5,
    /// Who gets a copy.
    Cc = 6,
    /// Who gets a copy that others do not see.
    Bcc = 7,
}

impl EnvelopeField {
    /// This field alone.
    pub fn alone(self) -> &'static [EnvelopeField] {
        match self {
            EnvelopeField::Subject => &[EnvelopeField::Subject],
            EnvelopeField::From => &[EnvelopeField::From],
            EnvelopeField::To => &[EnvelopeField::To],
            EnvelopeField::Cc => &[EnvelopeField::Cc],
            EnvelopeField::Bcc => &[EnvelopeField::Bcc],
        }
    }
}

/// Whether that field of a finished ENVELOPE contains the folded needle.
pub fn envelope_contains(envelope: &[u8], field: EnvelopeField, needle: &str) -> bool {
    envelope_text(envelope, field).is_some_and(|text| text.contains(needle))
}

/// The folded text of that field of a finished ENVELOPE; `None` without one.
pub fn envelope_text(envelope: &[u8], field: EnvelopeField) -> Option<String> {
    let mut value = envelope_field(envelope, field as usize)?;
    match field {
        EnvelopeField::Subject => value.first_text().map(|raw| fold(&decode_text(&raw))),
        _ => value.addresses().map(|text| fold(&text)),
    }
}

/// The subject of a finished ENVELOPE as people read it; `None` without one.
pub fn envelope_subject(envelope: &[u8]) -> Option<String> {
    let raw = envelope_field(envelope, EnvelopeField::Subject as usize)?.first_text()?;
    Some(decode_text(&raw))
}

/// The parts of an address (RFC 3501 section 7.4.2), as they stand in the message; `None` for NIL. A group begins with one
/// that has a mailbox, its name, and no host.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EnvelopeAddress {
    /// `addr-name`
    pub name: Option<Vec<u8>>,
    /// `addr-mailbox`
    pub mailbox: Option<Vec<u8>>,
    /// `addr-host`
    pub host: Option<Vec<u8>>,
}

/// The first address in that field of a finished ENVELOPE; `None` without one.
pub fn first_address(envelope: &[u8], field: EnvelopeField) -> Option<EnvelopeAddress> {
    let mut tokens = envelope_field(envelope, field as usize)?;
    let (Token::Open, Token::Open) = (tokens.next()?, tokens.next()?) else { return None };
    let name = tokens.nstring()?;
    tokens.skip()?;
    Some(EnvelopeAddress { name, mailbox: tokens.nstring()?, host: tokens.nstring()? })
}

/// The tokens of one field of a finished ENVELOPE (RFC 3501 section 7.4.2).
fn envelope_field(envelope: &[u8], number: usize) -> Option<Tokens<'_>> {
    let mut tokens = Tokens { rest: envelope.strip_prefix(b"(")? };
    for _ in 0..number {
        tokens.skip()?;
    }
    Some(tokens)
}

enum Token<'a> {
    Open,
    Close,
    Nil,
    /// The content of a quoted string with its backslashes, or of a literal without any.
    Text(&'a [u8], bool),
}

struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_ascii_start();
        let (first, rest) = self.rest.split_first()?;
        match first {
            b'(' | b')' => {
                self.rest = rest;
                Some(if *first == b'(' { Token::Open } else { Token::Close })
            }
            b'"' => {
                let mut escaped = false;
                let end = rest.iter().position(|byte| {
                    let ends = *byte == b'"' && !escaped;
                    escaped = *byte == b'\\' && !escaped;
                    ends
                })?;
                self.rest = rest.get(end + 1..)?;
                Some(Token::Text(rest.get(..end)?, true))
            }
            b'{' => {
                let end = rest.iter().position(|byte| *byte == b'}')?;
                let bytes: usize = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
                let from = rest.get(end + 3..)?;
                self.rest = from.get(bytes..)?;
                Some(Token::Text(from.get(..bytes)?, false))
            }
            _ => {
                let end = self.rest.iter().position(|byte| matches!(byte, b' ' | b'(' | b')'));
                self.rest = self.rest.get(end.unwrap_or(self.rest.len())..)?;
                Some(Token::Nil)
            }
        }
    }

    /// Passes over one value, which may be a list.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0u32;
        loop {
            match self.next()? {
                Token::Open => depth += 1,
                Token::Close => depth = depth.checked_sub(1)?,
                Token::Nil | Token::Text(..) => {}
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn first_text(&mut self) -> Option<Vec<u8>> {
        self.nstring()?
    }

    /// One string, or NIL.
    fn nstring(&mut self) -> Option<Option<Vec<u8>>> {
        match self.next()? {
            Token::Text(text, quoted) => Some(Some(unquoted(text, quoted))),
            Token::Nil => Some(None),
            _ => None,
        }
    }

    /// The addresses of a field as a person writes them: `Name <mailbox@host>, ...`.
    fn addresses(&mut self) -> Option<String> {
        let Token::Open = self.next()? else { return None };
        let mut text = String::new();
        while let Token::Open = self.next()? {
            let mut four: [Vec<u8>; 4] = Default::default();
            for slot in &mut four {
                if let Token::Text(value, quoted) = self.next()? {
                    *slot = unquoted(value, quoted);
                }
            }
            let Token::Close = self.next()? else { return None };
            let [name, _, mailbox, host] = &four;
            if !text.is_empty() {
                text.push_str(", ");
            }
            if !name.is_empty() {
                text.push_str(&decode_text(name));
                text.push(' ');
            }
            match host.is_empty() {
                true => text.push_str(&decode_text(mailbox)),
                false => text.push_str(&format!("<{}@{}>", decode_text(mailbox), decode_text(host))),
            }
        }
        Some(text)
    }
}

fn unquoted(text: &[u8], quoted: bool) -> Vec<u8> {
    if !quoted || !text.contains(&b'\\') {
        return text.to_vec();
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut escaped = false;
    for byte in text {
        if *byte == b'\\' && !escaped {
            escaped = true;
        } else {
            plain.push(*byte);
            escaped = false;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_subject_is_as_people_read_it() {
        let subject = |subject: &str| envelope_subject(format!("(NIL {subject} NIL)").as_bytes());
        assert_eq!(subject("\"=?utf-8?q?Gr=C3=BC=C3=9Fe?= \\\"x\\\"\"").as_deref(), Some("Grüße \"x\""));
        assert_eq!(subject("{3}\r\nabc").as_deref(), Some("abc"));
        assert_eq!((subject("NIL"), envelope_subject(b"")), (None, None));
    }

    #[test]
    fn the_first_address_in_parts() {
        let envelope =
            b"(NIL NIL ((\"=?utf-8?q?A?=\" \"@r\" \"a\" {3}\r\nb.c)(NIL NIL \"d\" \"e\")) NIL NIL NIL NIL NIL NIL NIL)";
        let address = first_address(envelope, EnvelopeField::From).unwrap();
        let text = |part: Option<Vec<u8>>| part.map(|part| String::from_utf8(part).unwrap());
        assert_eq!(text(address.name).as_deref(), Some("=?utf-8?q?A?="));
        assert_eq!((text(address.mailbox).as_deref(), text(address.host).as_deref()), (Some("a"), Some("b.c")));
        assert_eq!(first_address(envelope, EnvelopeField::Cc), None);
        assert_eq!(first_address(b"(NIL NIL ((NIL", EnvelopeField::From), None);
    }

    proptest! {
        #[test]
        fn any_envelope_is_read_or_passed_over(envelope in "[ -~]{0,60}", field in 0usize..10) {
            let bytes = format!("({envelope}");
            if let Some(mut tokens) = envelope_field(bytes.as_bytes(), field) {
                let _ = tokens.addresses();
            }
            envelope_contains(bytes.as_bytes(), EnvelopeField::Subject, "x");
            envelope_subject(bytes.as_bytes());
            first_address(bytes.as_bytes(), EnvelopeField::From);
        }
    }
}
