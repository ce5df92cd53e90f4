//! The changes the store can make, and their answers.
//!
//! Ops are commands; an Op checks everything before its first write.

use super::NewBody;
use crate::mail::access::{Access, Rights};
use crate::mail::collecting::{Collecting, CollectingChange};
use crate::mail::credential::Verifier;
use crate::mail::message::*;
use crate::wire::address::{Address, ReversePath};
use crate::wire::date::Timestamp;
use crate::wire::smtp::{MailParameters, RcptParameters};

pub use crate::wire::imap::acl::RightsChange;
pub use crate::wire::smtp::Recipient;

/// One change. Each is durable as a whole or not there at all.
pub enum Op {
    /// A new message into one or more mailboxes.
    Deliver(Deliver),
    /// APPEND of any number of messages, and REPLACE.
    Append(Append),
    /// COPY or MOVE.
    Copy(Copy),
    /// The same for a login that may not set every flag in the target: the others stay behind (RFC 4314 section 4).
    CopyWithin {
        /// What goes where.
        copy: Copy,
        /// The rights on the target.
        rights: Rights,
    },
    /// STORE.
    SetFlags(SetFlags),
    /// EXPUNGE, UID EXPUNGE, POP3 QUIT.
    Expunge(Expunge),
    /// POP3 QUIT of a device whose deletions are kept: these messages (missing ones are passed over) go to the mailbox with that
    /// use, which is made when there is none. In that mailbox itself they are expunged.
    Discard {
        /// From this mailbox
        from: MailboxId,
        /// these messages.
        uids: Vec<Uid>,
        /// Trash or Archive.
        to: SpecialUse,
        /// Wall clock.
        now: Timestamp,
    },
    /// What was found out of messages whose form was not known. Those that are gone are passed over.
    NoteForms {
        /// The mailbox.
        mailbox: MailboxId,
        /// The messages.
        forms: Vec<(Uid, Form)>,
    },
    /// CREATE; missing parents are made too.
    CreateMailbox {
        /// UTF-8 name, levels parted by `/`.
        name: String,
        /// RFC 6154.
        special_use: Option<SpecialUse>,
    },
    /// RENAME with all children; renaming INBOX moves its messages (RFC 3501 section 6.3.5).
    RenameMailbox {
        /// Old name.
        from: String,
        /// New name.
        to: String,
    },
    /// DELETE. INBOX is refused; a mailbox with children is refused.
    DeleteMailbox {
        /// Name.
        name: String,
    },
    /// Marks a mailbox for a special use, or no longer. Refused while another mailbox has that use.
    SetSpecialUse {
        /// Name.
        name: String,
        /// RFC 6154.
        special_use: Option<SpecialUse>,
    },
    /// SETMETADATA: all of it or nothing.
    SetMetadata(SetMetadata),
    /// SUBSCRIBE and UNSUBSCRIBE.
    Subscribe {
        /// Name.
        name: String,
        /// On or off.
        subscribed: bool,
    },
    /// A message into the queue: for other servers, or for addresses here when it is held.
    Enqueue(Enqueue),
    /// A change and what somebody is told about it, both or neither.
    Told {
        /// Deliver or Enqueue.
        change: Box<Op>,
        /// The notice; small enough to be held in memory.
        notice: NewBody,
        /// Whom it goes to.
        to: NoticeTo,
        /// Wall clock.
        now: Timestamp,
    },
    /// What came of a delivery attempt.
    Settle(Settle),
    /// Keeps a queue entry from being tried until it is released; its attempts stay counted. Held again, nothing changes.
    Hold {
        /// The entry.
        entry: QueueId,
    },
    /// Lets a held entry go on. One that is not held is left as it is.
    Release {
        /// The entry.
        entry: QueueId,
        /// When it is tried.
        due: Timestamp,
    },
    /// Another time for the next attempt. Held entries are left as they are.
    Retry {
        /// The entry; `None`: all.
        entry: Option<QueueId>,
        /// When it is tried.
        due: Timestamp,
    },
    /// The same for some entries, in one change. Those that are gone or held are passed over.
    RetryThese {
        /// The entries.
        entries: Vec<QueueId>,
        /// When they are tried.
        due: Timestamp,
    },
    /// Takes an entry out of the queue, whether held or not. Told to nobody it is as if it had been deleted from Outbox: the
    /// owner's copy of what has reached nobody goes too.
    RemoveQueueEntry {
        /// The entry.
        entry: QueueId,
        /// What somebody is told about it, in the same Op.
        notice: Option<(NewBody, NoticeTo)>,
        /// Wall clock.
        now: Timestamp,
    },
    /// The wall clock was there, and is believed: for the clock guard, when nothing else has said so for long.
    NoteTime {
        /// Wall clock.
        now: Timestamp,
    },
    /// Makes or replaces the credential of that login.
    SetCredential(Credential),
    /// Removes a login.
    RemoveCredential {
        /// Login name.
        login: String,
    },
    /// A new device. Refused when there is one of that name.
    AddDevice(Credential),
    /// Other rights for a device.
    SetDeviceAccess {
        /// Its name.
        name: String,
        /// All that it may do from now on. Rules about mailboxes that are not there are left out.
        access: Access,
    },
    /// Another password for a device; the old one opens nothing any more. It is not kept readable.
    SetDevicePassword {
        /// Its name.
        name: String,
        /// Hashed with the salt and the iterations of the owner's, see [`Credential::of_device`].
        verifier: Verifier,
        /// See [`Device::quick_hash`].
        quick_hash: [u8; 32],
    },
    /// Another way for a device to collect its mail by POP3.
    SetDeviceCollecting {
        /// Its name.
        name: String,
        /// What is to be otherwise. The mailbox must be there, and not be Outbox.
        change: CollectingChange,
        /// Its password is not kept readable any more.
        forget_readable: bool,
    },
    /// Other rights for a device on one mailbox and what is below it (SETACL, RFC 4314 section 3.1).
    SetDeviceRights {
        /// Its name.
        name: String,
        /// The mailbox.
        mailbox: MailboxId,
        /// How.
        change: RightsChange,
        /// What.
        rights: Rights,
    },
    /// Keeps a small value under a key that has none: of two that make a secret at the same moment, one is kept.
    MakeSetting {
        /// Key.
        key: String,
        /// Value.
        value: Vec<u8>,
    },
    /// Keeps a small value (at most 64 KiB) under a key.
    SetSetting {
        /// Key.
        key: String,
        /// Value; `None` removes it.
        value: Option<Vec<u8>>,
    },
}

/// The answer to an [`Op`], of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Of Deliver: one per target, in order.
    Delivered(Vec<Delivered>),
    /// Of Append.
    Appended {
        /// UIDVALIDITY of the mailbox.
        uid_validity: UidValidity,
        /// One per message, in order.
        uids: Vec<Uid>,
    },
    /// Of Copy.
    Copied {
        /// UIDVALIDITY of the target.
        uid_validity: UidValidity,
        /// (source UID, new UID) of each message that was still there, ascending.
        pairs: Vec<(Uid, Uid)>,
    },
    /// Of SetFlags.
    FlagsSet {
        /// Rows as they are now, of the messages that were changed.
        changed: Vec<MessageRow>,
        /// The modseqs that these rows had before, in their order.
        before: Vec<ModSeq>,
        /// UIDs refused because of `unchanged_since`.
        modified: Vec<Uid>,
        /// The mailbox (its keyword names may have grown).
        mailbox: Mailbox,
    },
    /// Of Expunge: UIDs that went, ascending, and the modseq of it.
    Expunged {
        /// UIDs.
        uids: Vec<Uid>,
        /// The mailbox's modseq afterwards.
        modseq: ModSeq,
    },
    /// Of CreateMailbox.
    Created(MailboxId),
    /// Of SetMetadata.
    MetadataSet {
        /// Name of the mailbox that had the special use until now.
        use_lost_by: Option<String>,
    },
    /// Of Enqueue: one per outgoing, in order.
    Enqueued(Vec<QueueId>),
    /// Of everything else.
    Applied,
}

/// See [`Op::Deliver`].
pub struct Deliver {
    /// The finished body.
    pub body: NewBody,
    /// Where it goes; at least one.
    pub targets: Vec<Target>,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// Wall clock, for SAVEDATE and the clock guard.
    pub now: Timestamp,
}

/// See [`Op::Append`].
pub struct Append {
    /// Where to.
    pub mailbox: MailboxId,
    /// At least one. However many of them are large: they are there together or not at all.
    pub messages: Vec<NewMessage>,
    /// REPLACE: the message that goes; it must be there. From Outbox it goes as by EXPUNGE.
    pub replaced: Option<(MailboxId, Uid)>,
    /// Messages of the mailbox that give way to the new ones; missing ones are passed over.
    pub superseded: Vec<Uid>,
    /// Wall clock, for SAVEDATE and the clock guard.
    pub now: Timestamp,
}

/// A message of an [`Append`].
pub struct NewMessage {
    /// The finished body.
    pub body: NewBody,
    /// Its first flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
}

/// A place in a mailbox for a new message.
#[derive(Clone, Debug)]
pub struct Target {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its first flags.
    pub flags: Flags,
}

/// Where a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The UID it got.
    pub uid: Uid,
}

/// See [`Op::Copy`].
#[derive(Clone, Debug)]
pub struct Copy {
    /// From this mailbox
    pub from: MailboxId,
    /// these messages (missing ones are passed over)
    pub uids: Vec<Uid>,
    /// to this mailbox,
    pub to: MailboxId,
    /// and they leave the first one (MOVE).
    pub remove: bool,
    /// Wall clock.
    pub now: Timestamp,
}

/// See [`Op::SetFlags`].
#[derive(Clone, Debug)]
pub struct SetFlags {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The messages; missing ones are passed over.
    pub uids: Vec<Uid>,
    /// How.
    pub change: FlagChange,
    /// What.
    pub flags: Flags,
    /// RFC 7162 section 3.1.3: only messages whose modseq is at most this.
    pub unchanged_since: Option<ModSeq>,
}

/// FLAGS, +FLAGS, -FLAGS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagChange {
    /// Set exactly these.
    Replace,
    /// Set these too.
    Add,
    /// Clear these.
    Remove,
    /// Of the flags that these rights allow to change, set exactly these (RFC 4314 section 4).
    ReplaceWithin(Rights),
}

/// See [`Op::Expunge`].
#[derive(Clone, Debug)]
pub struct Expunge {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Which messages.
    pub which: Expungeable,
}

/// Which messages an [`Expunge`] takes.
#[derive(Clone, Debug)]
pub enum Expungeable {
    /// All that carry `\Deleted`.
    Deleted,
    /// Those of these that carry `\Deleted` (UID EXPUNGE).
    DeletedAmong(Vec<Uid>),
    /// These, whatever their flags (POP3).
    These(Vec<Uid>),
}

/// See [`Op::SetMetadata`].
#[derive(Clone, Debug)]
pub struct SetMetadata {
    /// The mailbox; `None`: the server.
    pub mailbox: Option<MailboxId>,
    /// Names in lower case, each with its value; `None` removes it. At most [`crate::limits::METADATA_VALUE_BYTES_MAX`] bytes each.
    pub entries: Vec<(String, Option<Vec<u8>>)>,
    /// The mailbox gets this use, or none; the mailbox that had it loses it.
    pub special_use: Option<Option<SpecialUse>>,
}

/// See [`Op::Enqueue`].
pub struct Enqueue {
    /// The finished body.
    pub body: NewBody,
    /// Where it goes, one queue entry each; at least one.
    pub outgoing: Vec<Outgoing>,
    /// Copies for the owner, in the same Op.
    pub copies: Vec<Target>,
    /// The copy that the owner keeps of what is sent: one more, which goes with the entry when it is the only one and is taken back
    /// before anybody has got it (see [`QueueEntry::sent_copy`]).
    pub sent: Option<Target>,
    /// Wall clock.
    pub now: Timestamp,
}

/// What an [`Enqueue`] makes a queue entry of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Who gets the bounce.
    pub reverse_path: ReversePath,
    /// What else MAIL said.
    pub parameters: MailParameters,
    /// At least one.
    pub recipients: Vec<Recipient>,
    /// See [`QueueEntry::signatures`].
    pub signatures: Vec<u8>,
    /// Not tried before this time.
    pub not_before: Timestamp,
}

/// One message waiting for its time, or for other servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its id.
    pub id: QueueId,
    /// Its body.
    pub body: BodyId,
    /// Size of the body in bytes.
    pub bytes: u64,
    /// Who gets the bounce.
    pub reverse_path: ReversePath,
    /// What else MAIL said.
    pub parameters: MailParameters,
    /// Those still waiting (settled ones are gone).
    pub recipients: Vec<QueueRecipient>,
    /// When it was accepted.
    pub queued: Timestamp,
    /// When it is tried next, or would be if it were not held.
    pub due: Timestamp,
    /// The owner holds it back: it is never due.
    pub held: bool,
    /// Header fields that go out ahead of the body: signatures (RFC 6376), each with its line end.
    pub signatures: Vec<u8>,
    /// The sender has been told that delivery takes long.
    pub delay_told: bool,
    /// The message in Outbox that shows it.
    pub outbox: Option<Uid>,
    /// The copy in Sent that goes with it when it is taken back before anybody has got it.
    pub sent_copy: Option<(MailboxId, Uid)>,
}

/// One recipient of a queue entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRecipient {
    /// Whom.
    pub address: Address,
    /// What else RCPT said.
    pub parameters: RcptParameters,
    /// Attempts so far.
    pub attempts: u32,
    /// When the last of them ended.
    pub last_attempt: Option<Timestamp>,
    /// The last reply or reason, one line, at most 512 bytes; empty before the first attempt.
    pub last_reply: String,
}

/// A recipient that was not tried yet.
impl From<Recipient> for QueueRecipient {
    fn from(recipient: Recipient) -> QueueRecipient {
        let Recipient { address, parameters } = recipient;
        QueueRecipient { address, parameters, attempts: 0, last_attempt: None, last_reply: String::new() }
    }
}

/// See [`Op::Settle`]. The message's body is shared with what becomes of it.
pub struct Settle {
    /// The entry.
    pub entry: QueueId,
    /// Outcome per recipient address; recipients not named keep waiting as they are.
    pub outcomes: Vec<(Address, Outcome)>,
    /// When the rest is tried again.
    pub next_due: Timestamp,
    /// Mailboxes that the message is placed in.
    pub file: Vec<Target>,
    /// Entries that are made of the message.
    pub forward: Vec<Outgoing>,
    /// A bounce, in the same Op.
    pub notice: Option<(NewBody, NoticeTo)>,
    /// The notice says that delivery takes long, which is said once.
    pub delay_told: bool,
    /// Wall clock.
    pub now: Timestamp,
}

/// Where a notice goes.
#[derive(Clone, Debug)]
pub enum NoticeTo {
    /// Into a mailbox of the owner.
    Owner(Target),
    /// To whoever wrote, elsewhere.
    Sender(Outgoing),
}

/// What came of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next server has it.
    Delivered,
    /// Given up; the notice says why.
    Failed,
    /// Later again, because of this reply.
    Deferred(String),
}

/// A login and its SCRAM-SHA-256 verifier (RFC 5803); never the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Login name.
    pub login: String,
    /// The verifier.
    pub verifier: Verifier,
    /// Set when this is not the owner but a device of theirs; the login is [`Credential::device_login`] then.
    pub device: Option<Device>,
}

/// What is kept of a device beside its verifier.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// As the owner wrote it; see [`crate::mail::access::is_device_name`]. Two that differ in case alone are the same.
    pub name: String,
    /// [`Verifier::quick_hash`] of its password with the salt of the verifier.
    pub quick_hash: [u8; 32],
    /// When it was added.
    pub made: Timestamp,
    /// What it may do.
    pub access: Access,
    /// How it collects mail by POP3.
    pub collecting: Collecting,
    /// Its password itself, where the owner has allowed that: APOP cannot do without. Never shown.
    pub readable: Option<String>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({:?}, {:?})", self.name, self.access)
    }
}

impl Credential {
    /// The login under which a device is kept. No login of a person looks like this: theirs have no space.
    pub fn device_login(name: &str) -> String {
        format!("{DEVICE_LOGIN}{name}")
    }

    /// A device with a password of at least 100 random bits. It is hashed with the salt and the iterations of the owner's, although
    /// such a password needs no slow hash: a login by SCRAM is told these before it has proved anything, so that under one name all
    /// passwords are tried that were hashed alike.
    pub fn of_device(name: &str, password: &str, owner: &Verifier, made: Timestamp, access: Access) -> Credential {
        let quick_hash = Verifier::quick_hash(password, &owner.salt);
        Credential {
            login: Credential::device_login(name),
            verifier: Verifier::new(password, owner.salt, owner.iterations),
            device: Some(Device {
                name: name.to_owned(),
                quick_hash,
                made,
                access,
                collecting: Collecting::default(),
                readable: None,
            }),
        }
    }
}

/// What the logins of devices begin with, see [`Credential::device_login`].
pub const DEVICE_LOGIN: &str = "device ";
