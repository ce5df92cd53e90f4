//! The header fields that ENVELOPE, BODYSTRUCTURE and threads are made of, picked out while a header streams by.
//!
//! Holds one field at a time and the values worth keeping, both bounded; fields of no interest cost no memory.

use crate::limits::{MIME_FACTS_BYTES_MAX, MIME_FIELD_BYTES_MAX};
use crate::wire::header::Field;

/// A field worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Date
    Date,
    /// Subject
    Subject,
    /// From
    From,
    /// Sender
    Sender,
    /// Reply-To
    ReplyTo,
    /// To
    To,
    /// Cc
    Cc,
    /// Bcc
    Bcc,
    /// In-Reply-To
    InReplyTo,
    /// Message-ID
    MessageId,
    /// References
    References,
    /// MIME-Version
    MimeVersion,
    /// Content-Type
    ContentType,
    /// Content-Transfer-Encoding
    Encoding,
    /// Content-ID
    ContentId,
    /// Content-Description
    Description,
    /// Content-Disposition
    Disposition,
    /// Content-MD5
    Md5,
    /// Content-Language
    Language,
    /// Content-Location
    Location,
}

const NAMES: [(&[u8], Fact); 20] = [
    (b"Date", Fact::Date),
    (b"Subject", Fact::Subject),
    (b"From", Fact::From),
    (b"Sender", Fact::Sender),
    (b"Reply-To", Fact::ReplyTo),
    (b"To", Fact::To),
    (b"Cc", Fact::Cc),
    (b"Bcc", Fact::Bcc),
    (b"In-Reply-To", Fact::InReplyTo),
    (b"Message-ID", Fact::MessageId),
    (b"References", Fact::References),
    (b"MIME-Version", Fact::MimeVersion),
    (b"Content-Type", Fact::ContentType),
    (b"Content-Transfer-Encoding", Fact::Encoding),
    (b"Content-ID", Fact::ContentId),
    (b"Content-Description", Fact::Description),
    (b"Content-Disposition", Fact::Disposition),
    (b"Content-MD5", Fact::Md5),
    (b"Content-Language", Fact::Language),
    (b"Content-Location", Fact::Location),
];

/// Longer than any name above with some white space before its colon.
const NAME_BYTES_MAX: usize = 64;

impl Fact {
    fn named(name: &[u8]) -> Option<Fact> {
        NAMES.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, fact)| *fact)
    }

    /// Whether it is of use only in the header of a message, for its ENVELOPE and its thread.
    fn of_envelope(self) -> bool {
        use Fact::*;
        matches!(self, Date | Subject | From | Sender | ReplyTo | To | Cc | Bcc | InReplyTo | MessageId | References)
    }
}

/// The kept fields of one header, in their order, unfolded.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Facts {
    values: Vec<(Fact, Box<[u8]>)>,
}

impl Facts {
    /// The values of all fields of that name.
    pub fn all(&self, fact: Fact) -> impl Iterator<Item = &[u8]> {
        self.values.iter().filter(move |(own, _)| *own == fact).map(|(_, value)| &value[..])
    }
    /// The value of the first field of that name.
    pub fn first(&self, fact: Fact) -> Option<&[u8]> {
        self.all(fact).next()
    }
    /// The value of the last field of that name.
    pub fn last(&self, fact: Fact) -> Option<&[u8]> {
        self.all(fact).last()
    }
}

/// The field that is being read.
#[derive(Debug, Default)]
pub struct FieldBuffer {
    bytes: Vec<u8>,
    interest: Interest,
    kept_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Interest {
    /// The name is not complete.
    #[default]
    Open,
    Keep(Fact),
    Pass,
}

impl FieldBuffer {
    /// Takes the next bytes of the field, line ends included. Those beyond [`MIME_FIELD_BYTES_MAX`] are dropped.
    pub fn push(&mut self, piece: &[u8]) {
        if self.interest == Interest::Pass {
            return;
        }
        let room = MIME_FIELD_BYTES_MAX.saturating_sub(self.bytes.len()).min(piece.len());
        self.bytes.extend_from_slice(piece.get(..room).unwrap_or(piece));
        if self.interest == Interest::Open {
            let end = self.bytes.iter().position(|byte| matches!(byte, b':' | b'\n'));
            let name = match end {
                Some(end) => self.bytes.get(..end).unwrap_or_default(),
                None if self.bytes.len() > NAME_BYTES_MAX => b"",
                None => return,
            };
            self.interest = Fact::named(name.trim_ascii_end()).map_or(Interest::Pass, Interest::Keep);
            if self.interest == Interest::Pass {
                self.bytes.clear();
            }
        }
    }

    /// Ends the field and keeps its value if it is of interest; `enveloped`: the header is that of a message.
    pub fn end(&mut self, enveloped: bool, facts: &mut Facts) {
        if let Interest::Keep(fact) = self.interest {
            let field = Field::parse(&self.bytes);
            let room = MIME_FACTS_BYTES_MAX.saturating_sub(self.kept_bytes);
            if (enveloped || !fact.of_envelope()) && field.value.len() <= room && self.bytes.contains(&b':') {
                let value = field.unfolded().into_boxed_slice();
                self.kept_bytes += value.len() + std::mem::size_of::<(Fact, Box<[u8]>)>();
                facts.values.push((fact, value));
            }
        }
        self.bytes.clear();
        self.interest = Interest::Open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts_of(fields: &[&[u8]], enveloped: bool) -> Facts {
        let (mut buffer, mut facts) = (FieldBuffer::default(), Facts::default());
        for field in fields {
            field.iter().for_each(|byte| buffer.push(&[*byte]));
            buffer.end(enveloped, &mut facts);
        }
        facts
    }

    #[test]
    fn fields_of_interest_are_kept_unfolded() {
        let fields: [&[u8]; 4] =
            [b"Received: by somebody\r\n", b"SUBJECT : a\r\n b\r\n", b"subject:c", b"Content-ID:  <x>\r\n"];
        let facts = facts_of(&fields, true);
        assert_eq!(facts.all(Fact::Subject).collect::<Vec<_>>(), [&b"a b"[..], b"c"]);
        assert_eq!((facts.first(Fact::Subject), facts.last(Fact::Subject)), (Some(&b"a b"[..]), Some(&b"c"[..])));
        assert_eq!(facts.first(Fact::ContentId), Some(&b"<x>"[..]));
        assert_eq!(facts_of(&fields, false).values.len(), 1);
        assert_eq!(facts_of(&[b"Subject\r\n"], true), Facts::default());
    }

    #[test]
    fn memory_is_bounded() {
        let mut field = b"Subject: ".to_vec();
        field.resize(2 * MIME_FIELD_BYTES_MAX, b'x');
        let (mut buffer, mut facts) = (FieldBuffer::default(), Facts::default());
        for _ in 0..20 {
            buffer.push(&field);
            buffer.end(true, &mut facts);
        }
        assert!(facts.values.iter().map(|(_, value)| value.len()).sum::<usize>() <= MIME_FACTS_BYTES_MAX);
        assert_eq!(facts.first(Fact::Subject).map(<[u8]>::len), Some(MIME_FIELD_BYTES_MAX - 9));
    }
}
