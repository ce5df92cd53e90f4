//! What can be asked of the store, in a form that can be kept and asked again, and the bodies that come in with it.

use hauspost::mail::access::{Access, Rights};
use hauspost::mail::collecting::CollectingChange;
use hauspost::mail::credential::Verifier;
use hauspost::mail::index::{BodyIndex, MessageIdHash};
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::address::Address;
use hauspost::wire::date::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;

/// A body; copies of a message share it.
pub struct Body {
    pub bytes: Vec<u8>,
    /// What the store must say its envelope is.
    pub envelope: Vec<u8>,
    /// What else is known of it: which message it is, which it answers, what SEARCH may find.
    pub message_id: Option<MessageIdHash>,
    pub references: Vec<MessageIdHash>,
    pub signature: Vec<u8>,
    /// 0: not known yet. Which threads there must be is tested beside the store's code; here they must last.
    pub id: AtomicU64,
    pub thread: AtomicU64,
    /// Its bytes end with those of this one, and it is in the same thread.
    pub base: Option<Arc<Body>>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "body {} of {} bytes", self.id.load(Ordering::SeqCst), self.bytes.len())
    }
}

impl Body {
    pub fn new(bytes: Vec<u8>, names: [u64; 3]) -> Arc<Body> {
        let envelope = format!("({:08x} {})", mark_of(&bytes), bytes.len()).into_bytes();
        // Some of them fall together where the store keeps them.
        let [message_id, references @ ..] = names.map(|name| (name > 0).then_some(MessageIdHash(name << 14)));
        let references = references.into_iter().flatten().collect();
        let signature = envelope.repeat(bytes.len() % 7);
        let (id, thread) = Default::default();
        Arc::new(Body { bytes, envelope, message_id, references, signature, id, thread, base: None })
    }

    /// The same message behind more header fields.
    pub fn behind(base: &Arc<Body>, head: &[u8]) -> Arc<Body> {
        let Body { envelope, message_id, references, .. } = &**base;
        let bytes = [head, &base.bytes].concat();
        let (envelope, references) = (envelope.clone(), references.clone());
        let (id, thread, signature) = Default::default();
        Arc::new(Body {
            bytes,
            envelope,
            message_id: *message_id,
            references,
            signature,
            id,
            thread,
            base: Some(base.clone()),
        })
    }

    pub fn index(&self) -> BodyIndex {
        BodyIndex {
            envelope: self.envelope.clone(),
            message_id: self.message_id,
            references: self.references.clone(),
            signature: self.signature.clone(),
            ..BodyIndex::default()
        }
    }
}

/// A number that tells bodies apart; not the store's checksum.
fn mark_of(bytes: &[u8]) -> u32 {
    bytes.chunks(61).fold(0x811c_9dc5, |hash: u32, piece| {
        piece.iter().take(4).fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
    })
}

/// A change as it is asked of the model and of the store.
#[derive(Clone, Debug)]
pub enum Change {
    Deliver {
        body: Arc<Body>,
        targets: Vec<Target>,
        internal_date: Timestamp,
        now: Timestamp,
    },
    Append(Appended),
    Copy(Copy),
    CopyWithin {
        copy: Copy,
        rights: Rights,
    },
    SetFlags(SetFlags),
    Expunge(Expunge),
    Create {
        name: String,
        special_use: Option<SpecialUse>,
    },
    Rename {
        from: String,
        to: String,
    },
    Delete {
        name: String,
    },
    Subscribe {
        name: String,
        subscribed: bool,
    },
    SetSpecialUse {
        name: String,
        special_use: Option<SpecialUse>,
    },
    SetMetadata(SetMetadata),
    Enqueue(Submission),
    /// Deliver or Enqueue, and a small notice.
    Told {
        change: Box<Change>,
        notice: (Arc<Body>, NoticeTo),
        now: Timestamp,
    },
    Settle(Settlement),
    Hold(u64),
    Release {
        entry: u64,
        due: Timestamp,
    },
    Retry {
        entry: Option<u64>,
        due: Timestamp,
    },
    RetryThese {
        entries: Vec<u64>,
        due: Timestamp,
    },
    Remove {
        entry: u64,
        notice: Option<(Arc<Body>, NoticeTo)>,
        now: Timestamp,
    },
    NoteTime(Timestamp),
    SetCredential(Credential),
    RemoveCredential(String),
    AddDevice(Credential),
    SetDeviceAccess {
        name: String,
        access: Access,
    },
    SetDevicePassword {
        name: String,
        verifier: Verifier,
        quick_hash: [u8; 32],
    },
    SetDeviceRights {
        name: String,
        mailbox: MailboxId,
        change: RightsChange,
        rights: Rights,
    },
    SetDeviceCollecting {
        name: String,
        change: CollectingChange,
        forget_readable: bool,
    },
    Discard {
        from: MailboxId,
        uids: Vec<Uid>,
        to: SpecialUse,
        now: Timestamp,
    },
    SetSetting {
        key: String,
        value: Option<Vec<u8>>,
    },
    MakeSetting {
        key: String,
        value: Vec<u8>,
    },
}

#[derive(Clone, Debug)]
pub struct Submission {
    pub body: Arc<Body>,
    pub outgoing: Vec<Outgoing>,
    pub copies: Vec<Target>,
    pub sent: Option<Target>,
    pub now: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Settlement {
    pub entry: u64,
    pub outcomes: Vec<(Address, Outcome)>,
    pub next_due: Timestamp,
    pub file: Vec<Target>,
    pub forward: Vec<Outgoing>,
    pub notice: Option<(Arc<Body>, NoticeTo)>,
    pub now: Timestamp,
}

/// See [`Append`].
#[derive(Clone, Debug)]
pub struct Appended {
    pub mailbox: MailboxId,
    pub messages: Vec<(Arc<Body>, Flags, Timestamp)>,
    pub replaced: Option<(MailboxId, Uid)>,
    pub superseded: Vec<Uid>,
    pub now: Timestamp,
}

impl Change {
    /// The bodies that come in with it.
    pub fn bodies(&self) -> Vec<&Arc<Body>> {
        match self {
            Change::Deliver { body, .. } => vec![body],
            Change::Append(Appended { messages, .. }) => messages.iter().map(|(body, ..)| body).collect(),
            Change::Enqueue(submission) => vec![&submission.body],
            Change::Told { change, notice: (body, _), .. } => [change.bodies(), vec![body]].concat(),
            Change::Settle(Settlement { notice, .. }) | Change::Remove { notice, .. } => {
                notice.iter().map(|(body, _)| body).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What the store is asked. `bodies` have been taken in, in the order of [`Change::bodies`].
    pub fn op(&self, bodies: &mut vec::IntoIter<NewBody>) -> Op {
        let mut body = |what: &str| bodies.next().unwrap_or_else(|| panic!("{what} has a body"));
        match self.clone() {
            Change::Deliver { targets, internal_date, now, .. } => {
                Op::Deliver(Deliver { body: body("a message"), targets, internal_date, now })
            }
            Change::Append(Appended { mailbox, messages, replaced, superseded, now }) => {
                let message = |(_, flags, internal_date)| NewMessage { body: body("a message"), flags, internal_date };
                let messages = messages.into_iter().map(message).collect();
                Op::Append(Append { mailbox, messages, replaced, superseded, now })
            }
            Change::Told { change, notice: (_, to), now } => {
                let change = Box::new(change.op(bodies));
                let notice = bodies.next().expect("a notice has a body");
                Op::Told { change, notice, to, now }
            }
            Change::Copy(copy) => Op::Copy(copy),
            Change::CopyWithin { copy, rights } => Op::CopyWithin { copy, rights },
            Change::SetFlags(set) => Op::SetFlags(set),
            Change::Expunge(expunge) => Op::Expunge(expunge),
            Change::Create { name, special_use } => Op::CreateMailbox { name, special_use },
            Change::Rename { from, to } => Op::RenameMailbox { from, to },
            Change::Delete { name } => Op::DeleteMailbox { name },
            Change::Subscribe { name, subscribed } => Op::Subscribe { name, subscribed },
            Change::SetSpecialUse { name, special_use } => Op::SetSpecialUse { name, special_use },
            Change::SetMetadata(set) => Op::SetMetadata(set),
            Change::Enqueue(Submission { outgoing, copies, sent, now, .. }) => {
                Op::Enqueue(Enqueue { body: body("a submission"), outgoing, copies, sent, now })
            }
            Change::Settle(Settlement { entry, outcomes, next_due, file, forward, notice, now }) => {
                let notice = notice.map(|(_, to)| (body("a notice"), to));
                let delay_told = false;
                let entry = QueueId(entry);
                Op::Settle(Settle { entry, outcomes, next_due, file, forward, notice, delay_told, now })
            }
            Change::Hold(entry) => Op::Hold { entry: QueueId(entry) },
            Change::Release { entry, due } => Op::Release { entry: QueueId(entry), due },
            Change::Retry { entry, due } => Op::Retry { entry: entry.map(QueueId), due },
            Change::RetryThese { entries, due } => {
                Op::RetryThese { entries: entries.into_iter().map(QueueId).collect(), due }
            }
            Change::Remove { entry, notice, now } => {
                let notice = notice.map(|(_, to)| (body("a notice"), to));
                Op::RemoveQueueEntry { entry: QueueId(entry), notice, now }
            }
            Change::NoteTime(now) => Op::NoteTime { now },
            Change::SetCredential(credential) => Op::SetCredential(credential),
            Change::RemoveCredential(login) => Op::RemoveCredential { login },
            Change::AddDevice(credential) => Op::AddDevice(credential),
            Change::SetDeviceAccess { name, access } => Op::SetDeviceAccess { name, access },
            Change::SetDevicePassword { name, verifier, quick_hash } => {
                Op::SetDevicePassword { name, verifier, quick_hash }
            }
            Change::SetDeviceRights { name, mailbox, change, rights } => {
                Op::SetDeviceRights { name, mailbox, change, rights }
            }
            Change::SetDeviceCollecting { name, change, forget_readable } => {
                Op::SetDeviceCollecting { name, change, forget_readable }
            }
            Change::Discard { from, uids, to, now } => Op::Discard { from, uids, to, now },
            Change::SetSetting { key, value } => Op::SetSetting { key, value },
            Change::MakeSetting { key, value } => Op::MakeSetting { key, value },
        }
    }
}
