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
    /// The body it shows.
    pub body: BodyId,
}
