//! What is remembered: one redb file behind a journal.
//!
//! Receives changes as [`Op`]s and bodies as streams; hands on snapshots, bytes and bells. Never knows a protocol,
//! never touches the network.

mod op;

pub use op::*;

use crate::limits;
use crate::mail::index::BodyIndex;
use crate::mail::message::*;
use crate::wire::date::Timestamp;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// Why the store could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// *No*: the mailbox, message or entry named is not there (any more).
    NotFound,
    /// *No*: a mailbox of that name exists.
    Exists,
    /// *No*: the change is not allowed (INBOX cannot be deleted, a name is bad, too many keywords, ...).
    Refused(&'static str),
    /// *Ours*: no room; may work later. SMTP 452, IMAP [OVERQUOTA]/[UNAVAILABLE].
    Full,
    /// *Ours*: the disk or the store failed; the log has the cause; may work later.
    Failed(String),
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder; made (0700) when it is not there. Holds `hauspost.redb`, `journal`, `lock`.
    pub dir: PathBuf,
    /// Journal size in bytes, default [`crate::limits::RING_BYTES`].
    pub ring_bytes: u64,
    /// redb cache in bytes, default [`crate::limits::STORE_CACHE_BYTES`].
    pub cache_bytes: usize,
    /// Longest time a change waits for its checkpoint.
    pub checkpoint_after: Duration,
}

impl Options {
    /// The defaults, in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            ring_bytes: limits::RING_BYTES,
            cache_bytes: limits::STORE_CACHE_BYTES,
            checkpoint_after: limits::CHECKPOINT_AFTER,
        }
    }
}

/// The open store: cheap to clone, usable from any thread, any executor.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens or makes the store, replays the journal, starts the writer and the two readers. Blocking.
    /// Errors are sentences for the owner (locked by another process, newer format, damaged journal, ...).
    pub fn open(_options: Options) -> Result<Store, Trouble> {
        unimplemented!()
    }
    /// A store that lives in memory and ends with the last clone: for tests and dialogues.
    pub fn in_memory() -> Result<Store, Trouble> {
        unimplemented!()
    }
    /// Applies everything waiting, checkpoints, stops the threads. Blocking. Later calls fail with `Failed`.
    pub fn close(&self) -> Result<(), Trouble> {
        unimplemented!()
    }
    /// Sends one change to the writer; resolves when it is durable (after its fdatasync).
    pub async fn apply(&self, _op: Op) -> Result<Done, Trouble> {
        unimplemented!()
    }
    /// Runs a short closure on a reader thread over a consistent snapshot. Return owned rows, page long walks.
    pub async fn read<T: Send + 'static>(
        &self,
        _ask: impl FnOnce(&Snapshot) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        unimplemented!()
    }
    /// A writer for one new body. Dropping it unfinished gives back what it staged.
    pub fn body_writer(&self) -> BodyWriter {
        unimplemented!()
    }
    /// A bell that rings after each durable change of what it watches.
    pub fn bell(&self, _of: Watched) -> Bell {
        unimplemented!()
    }
    /// Changes and reads submitted and not yet answered; 0 means that the store is at rest.
    pub fn in_flight(&self) -> usize {
        unimplemented!()
    }
}

/// What a [`Bell`] rings for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watched {
    /// Anything in one mailbox: new, changed, expunged messages.
    Mailbox(MailboxId),
    /// The list of mailboxes: created, renamed, deleted, subscribed.
    MailboxList,
    /// The relay queue.
    Queue,
}

/// Wakes its holder after durable changes. A ring while nobody waits is remembered: the next wait returns at once.
pub struct Bell {}

impl Bell {
    /// Returns when something changed since the bell was made or since the last return. Cancel-safe.
    pub async fn rung(&mut self) {
        unimplemented!()
    }
}

/// One consistent view of everything, on a reader thread.
pub struct Snapshot {}

impl Snapshot {
    /// All mailboxes ordered by name, INBOX first.
    pub fn mailboxes(&self) -> Result<Vec<Mailbox>, Trouble> {
        unimplemented!()
    }
    /// By name (`INBOX` in any case).
    pub fn mailbox_named(&self, _name: &str) -> Result<Option<Mailbox>, Trouble> {
        unimplemented!()
    }
    /// By id.
    pub fn mailbox(&self, _id: MailboxId) -> Result<Option<Mailbox>, Trouble> {
        unimplemented!()
    }
    /// All UIDs of a mailbox, ascending.
    pub fn uids(&self, _mailbox: MailboxId) -> Result<Vec<Uid>, Trouble> {
        unimplemented!()
    }
    /// Rows with first <= UID <= last, ascending, at most `limit` of them.
    pub fn messages(
        &self,
        _mailbox: MailboxId,
        _first: Uid,
        _last: Uid,
        _limit: usize,
    ) -> Result<Vec<MessageRow>, Trouble> {
        unimplemented!()
    }
    /// One row.
    pub fn message(&self, _mailbox: MailboxId, _uid: Uid) -> Result<Option<MessageRow>, Trouble> {
        unimplemented!()
    }
    /// What happened to a mailbox after `seen`.
    pub fn changes_since(&self, _mailbox: MailboxId, _seen: ModSeq) -> Result<Changes, Trouble> {
        unimplemented!()
    }
    /// The facts of a body.
    pub fn body_index(&self, _body: BodyId) -> Result<BodyIndex, Trouble> {
        unimplemented!()
    }
    /// Size of a body in bytes.
    pub fn body_bytes(&self, _body: BodyId) -> Result<u64, Trouble> {
        unimplemented!()
    }
    /// Bytes of a body, range cut to what is there. Ask for pieces of at most 64 KiB.
    pub fn body_range(&self, _body: BodyId, _range: Range<u64>) -> Result<Vec<u8>, Trouble> {
        unimplemented!()
    }
    /// Queue entries with something due at or before `now`, soonest first, at most `limit`.
    pub fn queue_due(&self, _now: Timestamp, _limit: usize) -> Result<Vec<QueueEntry>, Trouble> {
        unimplemented!()
    }
    /// When the next queue entry becomes due.
    pub fn queue_next_due(&self) -> Result<Option<Timestamp>, Trouble> {
        unimplemented!()
    }
    /// All queue entries with id greater than `after`, at most `limit`.
    pub fn queue(&self, _after: QueueId, _limit: usize) -> Result<Vec<QueueEntry>, Trouble> {
        unimplemented!()
    }
    /// A login's credential, by login name (compared without regard to case).
    pub fn credential(&self, _login: &str) -> Result<Option<Credential>, Trouble> {
        unimplemented!()
    }
    /// A setting's value.
    pub fn setting(&self, _key: &str) -> Result<Option<Vec<u8>>, Trouble> {
        unimplemented!()
    }
    /// The latest wall clock time any Op has carried: the clock guard's floor.
    pub fn latest_time(&self) -> Result<Timestamp, Trouble> {
        unimplemented!()
    }
}

/// The answer to [`Snapshot::changes_since`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Rows that are new or changed, ascending by UID.
    pub changed: Vec<MessageRow>,
    /// UIDs expunged, ascending. Complete unless `forgotten`.
    pub expunged: Vec<Uid>,
    /// `seen` lies below the floor: compare [`Snapshot::uids`] to find what has gone.
    pub forgotten: bool,
    /// The mailbox as it is now (highest_modseq is the new `seen`); `None` when it was deleted.
    pub mailbox: Option<Mailbox>,
}

/// Takes a body in, piece by piece: cuts, compresses, checksums, stages what is large.
pub struct BodyWriter {}

impl BodyWriter {
    /// Appends bytes of any kind and number.
    pub async fn write(&mut self, _bytes: &[u8]) -> Result<(), Trouble> {
        unimplemented!()
    }
    /// Ends the body. The result goes into an [`Op`]; dropping it gives the body up.
    pub async fn finish(self, _index: BodyIndex) -> Result<NewBody, Trouble> {
        unimplemented!()
    }
}

/// A finished body that no Op has taken yet.
pub struct NewBody {}
