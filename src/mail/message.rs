//! The nouns of a mailbox: ids, flags, rows. Shared by `store`, which keeps them, and `serve`, which shows them.

use crate::wire::date::Timestamp;
pub use crate::wire::imap::{Flags, SpecialUse, SystemFlags};

/// Names a mailbox for the life of the store; never reused. IMAP OBJECTID derives from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxId(pub u32);

/// INBOX always has this id.
pub const INBOX: MailboxId = MailboxId(1);

/// RFC 3501 section 2.3.1.1. Strictly ascending in a mailbox, never reused. 1..=u32::MAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub u32);

/// RFC 3501 section 2.3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UidValidity(pub u32);

/// RFC 7162: per mailbox, strictly increasing with every change. 63 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ModSeq(pub u64);

/// Names a body (the bytes of a message with what was decided about them); copies share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyId(pub u64);

/// Names a thread of messages that answer each other: the id of the first body of it that came (RFC 8474 section 5.2).
/// Decided once when a body comes; it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub u64);

/// Names one entry of the relay queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// One mailbox as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its id.
    pub id: MailboxId,
    /// UTF-8, levels parted by `/`, `INBOX` in capitals.
    pub name: String,
    /// See [`UidValidity`].
    pub uid_validity: UidValidity,
    /// The UID that the next message will get.
    pub uid_next: Uid,
    /// The modseq of the last change.
    pub highest_modseq: ModSeq,
    /// Number of messages.
    pub messages: u32,
    /// Number of messages without `\Seen`.
    pub unseen: u32,
    /// Number of messages with `\Deleted`.
    pub deleted: u32,
    /// Sum of RFC822.SIZE in bytes.
    pub bytes: u64,
    /// In the LSUB list.
    pub subscribed: bool,
    /// RFC 6154.
    pub special_use: Option<SpecialUse>,
    /// Names behind the keyword bits of [`MessageRow::keywords`]: bit n is `keywords[n]`. At most 64.
    pub keywords: Vec<String>,
    /// QRESYNC: expunges at or below this modseq are no longer remembered (RFC 7162 section 3.2.5.2).
    pub expunged_floor: ModSeq,
}

impl Mailbox {
    /// A mailbox that has just been made, subscribed and empty.
    pub fn new(id: MailboxId, name: &str, uid_validity: UidValidity) -> Mailbox {
        Mailbox {
            id,
            name: name.to_owned(),
            uid_validity,
            uid_next: Uid(1),
            highest_modseq: ModSeq(1),
            messages: 0,
            unseen: 0,
            deleted: 0,
            bytes: 0,
            subscribed: true,
            special_use: None,
            keywords: Vec::new(),
            expunged_floor: ModSeq(0),
        }
    }
}

/// What POP3 has to know of every message of a maildrop before it sends any: octets that are added at its end, and whether it can
/// be sent as it is. Decided when the body comes; unknown of messages that came before it was kept, or by some rarer way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Form(u8);

impl Form {
    /// Nobody has looked yet.
    pub const UNKNOWN: Form = Form(0);

    const KNOWN: u8 = 0x80;
    const BEYOND_ASCII: u8 = 0x04;
    const MISSING: u8 = 0x03;

    /// Of a message that ends with these bytes; two of them are enough. `beyond_ascii`: a header in it has bytes above 127.
    pub fn new(end: &[u8], beyond_ascii: bool) -> Form {
        let missing = match end {
            [] | [.., b'\r', b'\n'] => 0,
            [.., b'\r'] => 1,
            _ => 2,
        };
        Form(Form::KNOWN | if beyond_ascii { Form::BEYOND_ASCII } else { 0 } | missing)
    }

    /// From what is kept; what cannot be one is unknown.
    pub fn from_bits(bits: u8) -> Form {
        let fits = bits & Form::KNOWN != 0 && bits & !(Form::KNOWN | Form::BEYOND_ASCII | Form::MISSING) == 0;
        if fits && bits & Form::MISSING < 3 { Form(bits) } else { Form::UNKNOWN }
    }

    /// To be kept.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether anybody has looked.
    pub fn is_known(self) -> bool {
        self != Form::UNKNOWN
    }

    /// Octets that are added so that it ends with CRLF (RFC 1939 section 3: the last line of an answer ends like the others): 0 to 2.
    pub fn missing_bytes(self) -> u64 {
        u64::from(self.0 & Form::MISSING)
    }

    /// Whether a header in it has bytes above 127.
    pub fn is_beyond_ascii(self) -> bool {
        self.0 & Form::BEYOND_ASCII != 0
    }
}

/// What a mailbox knows of one message: small and hot. The body's own facts are in [`crate::mail::index::BodyIndex`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Its UID.
    pub uid: Uid,
    /// Modseq of its last change.
    pub modseq: ModSeq,
    /// System flags.
    pub flags: SystemFlags,
    /// Keyword bits, see [`Mailbox::keywords`].
    pub keywords: u64,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// When it came into this mailbox (SAVEDATE).
    pub saved: Timestamp,
    /// RFC822.SIZE in bytes.
    pub bytes: u64,
    /// See [`Form`].
    pub form: Form,
    /// The body it shows.
    pub body: BodyId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_return_and_say_what_is_missing() {
        let ends: [(&[u8], u64); 6] = [(b"", 0), (b"\r\n", 0), (b"\n", 2), (b"a\n", 2), (b"a\r", 1), (b"a", 2)];
        for (end, missing) in ends {
            for beyond in [false, true] {
                let form = Form::new(end, beyond);
                assert_eq!((form.is_known(), form.missing_bytes(), form.is_beyond_ascii()), (true, missing, beyond));
                assert_eq!(Form::from_bits(form.bits()), form);
            }
        }
        assert_eq!([0, 3, 0x83, 0x88, 0xff].map(Form::from_bits), [Form::UNKNOWN; 5]);
    }
}
