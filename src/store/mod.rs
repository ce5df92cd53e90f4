//! What is remembered: one redb file behind a journal.
//!
//! Receives changes as [`Op`]s and bodies as streams; hands on snapshots, bytes and bells. Never knows a protocol,
//! never touches the network.
//!
//! An Op goes `writer` -> `decide` (checks, chooses UIDs and modseqs) -> `step` (what was decided) -> `apply` (into the
//! tables, in a redb transaction that is not yet durable) -> `ring` (one write, one flush) -> commit -> bells ->
//! answer, which mail gets before the commit. A question goes to one of two reader threads and sees a `snapshot` of what was
//! committed, in which rows of bodies are found `by_body`, one beside the other. `maps` remembers which UIDs a
//! mailbox had, so that opening it again reads only what has changed. A body goes
//! through `intake` into chunks (`body`), which lie in `pieces`; its `facts` and its place among the `threads` are decided
//! when it is admitted. Every row ends with a `seal`, and what does not open is `damage`. `open` brings all of it back; `disk` and
//! `memory` are what it lies on.
//!
//! The queue is shown by a mailbox, Outbox: each entry by one message, which comes, changes and goes in the Ops that make, change
//! and take out the entry (`decide`). What it says of an entry that waits lies in front of a body that is there already: a
//! *derived* body is its own few bytes and a reference.
//!
//! # Half-done states, and what a restart does with them
//!
//! | the power goes while | on the disk is | a restart |
//! | --- | --- | --- |
//! | the store is made | a draft without its name | makes it anew |
//! | the first journal is made | tables that say *closed*, no journal | makes the journal |
//! | the first batch after a clean close waits for its mark | *closed*, perhaps an empty batch in the journal | takes it for what it is |
//! | a batch is decided and applied | nothing | nothing: nobody was told |
//! | a batch is written to the ring | a torn batch at the end | ends there: nobody was told |
//! | a batch is flushed, not yet committed or answered | the whole batch | applies it: it may count twice for a sender that was not told and sends again |
//! | batches wait for their checkpoint | the last checkpoint, and whole batches | applies them in order, each once, by their numbers |
//! | a checkpoint is written | the one before, or the new one | as above, from whichever it is |
//! | a large body arrives | perhaps pieces under a *staged* mark | frees them |
//! | an Op admits a large body | either the checkpoint before, or the one with body and Op | frees the pieces, or has the message |
//! | the store is closed | *closed* or not yet | nothing, or as above |
//! | the journal is lost, or another's, while the tables do not say *closed* | acknowledged changes are nowhere | says so and opens nothing |
//! | names of mailboxes are brought into Normalization Form C | some in the old form | goes on with the others |
//! | a store of an older format is migrated | the old one, whole | migrates it from the beginning |
//! | a store of a version without Outbox gets one | the old one, whole, or all of it | makes it from the beginning, or has it |
//! | the disk refuses all writes | what it had | opens for reading, see below |
//! | the journal is damaged before its end | a batch behind one that cannot be read | says so and opens nothing |
//!
//! A write or flush that fails while the store runs is treated like a power cut: the database is closed, opened again
//! from the disk with the journal replayed, and the batch in hand is answered by what was found there.
//!
//! Opening has to write. Where the disk refuses that, because the card has turned read-only or others have filled the disk to
//! the last byte, the same files are opened through an `overlay` that keeps the replayed journal in memory: everything
//! acknowledged can be read, changes fail, and opening is tried again when a change comes, and now and then. So too at the
//! start.

mod apply;
mod bell;
mod body;
mod by_body;
mod check;
mod code;
mod compact;
mod damage;
mod decide;
mod disk;
mod facts;
mod form;
mod inspect;
mod intake;
mod maps;
mod memory;
mod metadata;
mod migrate;
mod names;
mod op;
mod open;
mod overlay;
mod pieces;
mod ring;
mod salvage;
mod seal;
mod snapshot;
mod space;
mod step;
mod tables;
mod threads;
mod writer;

pub use bell::Bell;
pub use compact::{Compacted, compact};
pub use damage::is_guarded;
pub use decide::{OUTBOX_NAME, TOO_MANY_ENTRIES, mailbox_name, outbox_head};
pub use disk::{Disk, DiskCounts, FileDisk, Part};
pub use inspect::{Inspected, inspect};
pub use intake::{BodyWriter, NewBody};
pub use memory::{MemoryDisk, Replay};
pub use metadata::annotated;
pub use op::*;
pub use overlay::{Overlay, ReadOnlyDisk};
pub use salvage::{Lost, Partial, Salvaged, salvage};
pub use snapshot::Snapshot;
pub use space::Space;
pub use tables::FORMAT;

use crate::limits;
use crate::mail::message::*;
use crate::wire::date::Timestamp;
use bell::Bells;
use redb::Database;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Poll;
use std::thread::{Builder, JoinHandle};
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
    /// *Ours*: no room; may work later. SMTP 452, IMAP `OVERQUOTA` or `UNAVAILABLE`.
    Full,
    /// *Ours*: the disk or the store failed; the log has the cause; may work later.
    Failed(String),
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder; made (0700) when it is not there. Holds `hauspost.redb`, `journal`, `lock`.
    pub dir: PathBuf,
    /// Journal size in bytes when it is made, default [`crate::limits::RING_BYTES`]; one that is there keeps its size.
    pub ring_bytes: u64,
    /// redb cache in bytes, default [`crate::limits::STORE_CACHE_BYTES`].
    pub cache_bytes: usize,
    /// Longest time a change waits for its checkpoint.
    pub checkpoint_after: Duration,
    /// Shortest time between two attempts to open a store anew that can only be read, default
    /// [`crate::limits::REOPEN_AFTER`].
    pub reopen_after: Duration,
    /// Free bytes of the disk below which nothing new is taken in, default [`crate::limits::DISK_RESERVE_BYTES`].
    pub reserve_bytes: u64,
}

impl Options {
    /// The defaults, in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            ring_bytes: limits::RING_BYTES,
            cache_bytes: limits::STORE_CACHE_BYTES,
            checkpoint_after: limits::CHECKPOINT_AFTER,
            reopen_after: limits::REOPEN_AFTER,
            reserve_bytes: limits::DISK_RESERVE_BYTES,
        }
    }
}

/// The open store: cheap to clone, usable from any thread, any executor. Dropping the last clone closes it in the
/// background; [`Store::close`] waits for that.
#[derive(Clone)]
pub struct Store {
    front: Arc<Front>,
}

/// What the callers' side of a store holds: with it go the channels, and with them the threads.
struct Front {
    shared: Arc<Shared>,
    changes: smol::channel::Sender<writer::Job>,
    questions: smol::channel::Sender<snapshot::Question>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What callers, writer and readers share.
struct Shared {
    /// `None` while it is reopened, when that failed, and once the store is closed.
    database: RwLock<Option<Database>>,
    bells: Arc<Bells>,
    deflaters: body::Deflaters,
    /// Staged bodies whose marks were dropped, and which opening of the database had set them.
    given_back: Mutex<Vec<(BodyId, u64)>>,
    in_flight: AtomicUsize,
    /// Held by the writer while something is answered that a snapshot would not show yet.
    committing: Mutex<()>,
    maps: maps::Maps,
    /// Bytes of rows of bodies that were read since redb has something in its write buffer.
    read_bytes: AtomicUsize,
    /// A disk says nothing but how full it is here: half-done changes of it do not matter.
    disk: AssertUnwindSafe<Arc<dyn Disk>>,
    /// See [`Options::reserve_bytes`].
    reserve_bytes: u64,
}

/// Counts as in flight until dropped, which is after the answer was given.
struct InFlight(Arc<Shared>);

impl InFlight {
    fn new(shared: &Arc<Shared>) -> InFlight {
        shared.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(shared.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

fn closed() -> Trouble {
    Trouble::Failed("the store is not open".into())
}

impl Store {
    /// Opens or makes the store, replays the journal, starts the writer and the two readers. Blocking. A store on a disk that
    /// refuses all writes is opened for reading; changes fail until the disk is well.
    /// Errors are sentences for the owner (locked by another process, newer format, damaged journal, ...).
    pub fn open(options: Options) -> Result<Store, Trouble> {
        let disk = FileDisk::new(&options.dir).map_err(Trouble::Failed)?;
        Store::open_on(Arc::new(disk), options)
    }

    /// A store that lives in memory and ends with the last clone: for tests and dialogues.
    pub fn in_memory() -> Result<Store, Trouble> {
        let options = Options { ring_bytes: limits::RING_BYTES / 8, ..Options::new("") };
        Store::open_on(Arc::new(MemoryDisk::new()), options)
    }

    /// Opens or makes the store on that disk; `options.dir` is not looked at.
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Store, Trouble> {
        let opened = damage::guarded(|| open::open(disk.as_ref(), &options));
        let (database, ring, meta) = match opened {
            Ok(open::Opened { database, ring, meta }) => (database, Ok(ring), meta),
            Err(trouble) => {
                let Ok(readable) = damage::guarded(|| open::open_to_read(&disk, &options)) else { return Err(trouble) };
                log::error!("event=store-read-only cause={trouble:?}");
                (readable.database, Err(trouble), readable.meta)
            }
        };
        let writes = ring.is_ok();
        let shared = Arc::new(Shared {
            database: RwLock::new(Some(database)),
            bells: Arc::default(),
            deflaters: body::Deflaters::default(),
            given_back: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            committing: Mutex::default(),
            maps: maps::Maps::default(),
            read_bytes: AtomicUsize::new(0),
            disk: AssertUnwindSafe(disk.clone()),
            reserve_bytes: options.reserve_bytes,
        });
        let (changes, jobs) = smol::channel::bounded(limits::STORE_CHANGES_WAITING_MAX);
        let (questions, asked) = smol::channel::bounded(limits::STORE_READS_WAITING_MAX);
        let writer = writer::Writer::new(shared.clone(), disk, options, jobs, (ring, meta));
        let mut threads = vec![Builder::new().name("store-writer".into()).spawn(|| writer.run())?];
        for number in 0..limits::STORE_READERS {
            let (shared, asked) = (shared.clone(), asked.clone());
            let reader = Builder::new().name(format!("store-reader-{number}"));
            threads.push(reader.spawn(move || snapshot::run_reader(&shared, &asked))?);
        }
        let threads = Mutex::new(threads);
        let store = Store { front: Arc::new(Front { shared, changes, questions, threads }) };
        if writes {
            store.normalize_names();
        }
        Ok(store)
    }

    /// Applies everything waiting, checkpoints, stops the threads. Blocking. Later calls fail with `Failed`.
    pub fn close(&self) -> Result<(), Trouble> {
        let (answer, answered) = smol::channel::bounded(1);
        let result = match self.front.changes.send_blocking(writer::Job::Close(answer)) {
            Ok(()) => answered.recv_blocking().unwrap_or_else(|_| Err(closed())),
            Err(_) => Err(closed()),
        };
        self.front.questions.close();
        let threads = std::mem::take(&mut *self.front.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
        result
    }

    /// Sends one change to the writer; resolves when it is durable (after its fdatasync). A change once sent happens
    /// even if the future is dropped.
    pub async fn apply(&self, op: Op) -> Result<Done, Trouble> {
        let flight = InFlight::new(&self.front.shared);
        let (answer, answered) = smol::channel::bounded(1);
        let job = writer::Job::Apply(writer::ApplyJob { op: Box::new(op), answer, flight });
        self.front.changes.send(job).await.map_err(|_| closed())?;
        in_turn(answered.recv()).await.unwrap_or_else(|_| Err(closed()))
    }

    /// Resolves once the writer has come to it: it lives, and is not held up by the disk. Writes nothing.
    pub async fn pulse(&self) -> Result<(), Trouble> {
        let (answer, answered) = smol::channel::bounded(1);
        self.front.changes.send(writer::Job::Pulse(answer)).await.map_err(|_| closed())?;
        answered.recv().await.map_err(|_| closed())
    }

    /// Runs a short closure on a reader thread over a consistent snapshot. Return owned rows, page long walks.
    /// The snapshot has everything that was answered before.
    pub async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Snapshot) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let flight = InFlight::new(&self.front.shared);
        let (answer, answered) = smol::channel::bounded(1);
        let question: snapshot::Question = Box::new(move |snapshot| {
            let _ = answer.try_send(snapshot.and_then(ask));
            drop(flight);
        });
        self.front.questions.send(question).await.map_err(|_| closed())?;
        let answer = in_turn(answered.recv()).await;
        self.settle_for_readers();
        answer.unwrap_or_else(|_| Err(Trouble::Failed("the question was not answered".into())))
    }

    /// Once more has been read than redb's cache holds, reading is worth a checkpoint and a commit: see `open::settle`.
    fn settle_for_readers(&self) {
        let read_bytes = &self.front.shared.read_bytes;
        if read_bytes.load(Ordering::Relaxed) >= limits::STORE_CACHE_BYTES {
            read_bytes.store(0, Ordering::Relaxed);
            let _ = self.front.changes.try_send(writer::Job::Settle);
        }
    }

    /// What the store takes of its disk, and what it can still take in.
    pub async fn space(&self) -> Result<Space, Trouble> {
        let shared = self.front.shared.clone();
        self.read(move |snapshot| space::read_space(snapshot, &**shared.disk, shared.reserve_bytes)).await
    }

    /// What was written to the disk since the store was opened.
    pub fn written(&self) -> DiskCounts {
        let (database, journal) = (Part::Database, Part::Journal);
        let (database, journal) = (self.front.shared.disk.counts(database), self.front.shared.disk.counts(journal));
        DiskCounts {
            writes: database.writes + journal.writes,
            bytes: database.bytes + journal.bytes,
            syncs: database.syncs + journal.syncs,
        }
    }

    /// A writer for one new body. Dropping it unfinished gives back what it staged.
    pub fn body_writer(&self) -> BodyWriter {
        BodyWriter::new(self.front.clone())
    }

    /// A bell that rings after each durable change of what it watches.
    pub fn bell(&self, of: Watched) -> Bell {
        self.front.shared.bells.hang(of)
    }

    /// Changes and reads submitted and not yet answered; 0 means that the store is at rest.
    pub fn in_flight(&self) -> usize {
        self.front.shared.in_flight.load(Ordering::SeqCst)
    }
}

/// Waits for an answer. One that is there at once is taken at the next turn all the same: whoever asks and asks lets others
/// in between, and each question is a turn whatever the threads of the store do.
async fn in_turn<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    let (mut is_first, mut early) = (true, None);
    poll_fn(|task| match early.take() {
        Some(answer) => Poll::Ready(answer),
        None => match (answer.as_mut().poll(task), std::mem::take(&mut is_first)) {
            (Poll::Ready(answer), true) => {
                early = Some(answer);
                task.waker().wake_by_ref();
                Poll::Pending
            }
            (polled, _) => polled,
        },
    })
    .await
}

/// What a [`Bell`] rings for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watched {
    /// Anything in one mailbox: new, changed, expunged messages.
    Mailbox(MailboxId),
    /// The list of mailboxes: created, renamed, deleted, subscribed.
    MailboxList,
    /// Annotations of mailboxes and of the server.
    Metadata,
    /// All of the above: anything in any mailbox, their list, their annotations.
    Mailboxes,
    /// The relay queue.
    Queue,
    /// Who may log in, and what they may do.
    Logins,
}

/// The answer to [`Snapshot::changes_since`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Rows that are new or changed, ascending by UID.
    pub changed: Vec<MessageRow>,
    /// UIDs expunged, ascending. Complete unless `forgotten`.
    pub expunged: Vec<Uid>,
    /// Everything up to this modseq is in here. Below `highest_modseq` of the mailbox when there was more than asked for.
    pub up_to: ModSeq,
    /// `seen` lies below the floor: compare [`Snapshot::uid_map`] to find what has gone.
    pub forgotten: bool,
    /// The mailbox as it is now (highest_modseq is the new `seen`); `None` when it was deleted.
    pub mailbox: Option<Mailbox>,
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Trouble::Full,
            _ => Trouble::Failed(error.to_string()),
        }
    }
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Trouble {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::Corrupted(what) => damage::damaged(what),
            error => Trouble::Failed(error.to_string()),
        }
    }
}

impl From<redb::StorageError> for Trouble {
    fn from(error: redb::StorageError) -> Trouble {
        redb::Error::from(error).into()
    }
}

impl From<redb::TableError> for Trouble {
    fn from(error: redb::TableError) -> Trouble {
        redb::Error::from(error).into()
    }
}

impl From<redb::TransactionError> for Trouble {
    fn from(error: redb::TransactionError) -> Trouble {
        redb::Error::from(error).into()
    }
}

impl From<redb::CommitError> for Trouble {
    fn from(error: redb::CommitError) -> Trouble {
        redb::Error::from(error).into()
    }
}

impl From<redb::DatabaseError> for Trouble {
    fn from(error: redb::DatabaseError) -> Trouble {
        redb::Error::from(error).into()
    }
}
