//! From two files to an open database: the first one, and every later one with its journal replayed.
//!
//! Receives a disk; hands on the database, the ring and the counters, or a sentence for the owner. What must always
//! hold: nothing that was acknowledged is skipped, and nothing is applied twice.

use super::apply::Tables;
use super::code::{Decoder, Malformed};
use super::damage::{damaged, damaged_row, guarded, lost};
use super::decide::{OUTBOX_NAME, has_outbox, restore_outbox};
use super::disk::{Disk, Part};
use super::migrate::{OLD_FORMAT, decode_meta, migrate};
use super::overlay::Overlay;
use super::ring::{Batch, RING_BYTES_MIN, Ring};
use super::step::Step;
use super::tables::{FORMAT, META, Meta};
use super::{Options, Trouble};
use crate::limits::READING_BYTES_MAX;
use crate::mail::message::{INBOX, MailboxId, SpecialUse, UidValidity};
use redb::{Database, Durability, ReadableDatabase, StorageBackend, WriteTransaction};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// An open store, before its threads start.
pub struct Opened {
    pub database: Database,
    pub ring: Ring,
    pub meta: Meta,
}

/// Opens what is on the disk, or makes it. Replays the journal and frees what was staged and never admitted.
pub fn open(disk: &dyn Disk, options: &Options) -> Result<Opened, Trouble> {
    match disk.open(Part::Database)? {
        Some(file) => load(file, disk, options),
        None => load(make(disk, options)?, disk, options),
    }
}

/// Opens what must be on the disk: a store whose disk failed is never begun anew.
pub fn reopen(disk: &dyn Disk, options: &Options) -> Result<Opened, Trouble> {
    let file = disk.open(Part::Database)?;
    load(file.ok_or_else(|| Trouble::Failed("the file `hauspost.redb` has gone".into()))?, disk, options)
}

/// Opens what is on the disk and writes nothing to it: what the journal changes stays in memory. Nothing goes into its ring.
pub fn open_to_read(disk: &Arc<dyn Disk>, options: &Options) -> Result<Opened, Trouble> {
    reopen(&Overlay::new(disk.clone(), READING_BYTES_MAX), options)
}

fn load(file: Box<dyn StorageBackend>, disk: &dyn Disk, options: &Options) -> Result<Opened, Trouble> {
    let database = open_redb(file, options)?;
    let mut meta = read_meta(&database)?;
    let mut ring = open_ring(disk, options, &meta)?;
    let mut replayed = 0;
    if meta.format == OLD_FORMAT {
        migrate(&database, &mut ring, &mut meta)?;
    } else {
        let was_closed = meta.closed;
        replayed = replay(&database, &mut ring, &mut meta)?;
        check_end(&ring, &meta, replayed > 0 || !was_closed)?;
        if !was_closed && replayed == 0 && ring.find_later(0, true)?.is_none() {
            return Err(Trouble::Failed(
                "the file `journal` is not the one of this store: the last changes are in that".into(),
            ));
        }
    }
    let txn = begin(&database, Durability::None)?;
    let mut tables = Tables::open(&txn)?;
    tables.make_rare()?;
    let unstaged = tables.unstage_all(&mut meta)?;
    let shows_queue = show_queue(&mut tables, &mut meta)?;
    if unstaged > 0 || shows_queue {
        tables.save_meta(&meta)?;
    }
    drop(tables);
    txn.commit()?;
    if replayed > 0 || unstaged > 0 || shows_queue {
        log::info!("event=store-recovered batches={replayed} unfinished_bodies={unstaged}");
        checkpoint(&database, &mut ring)?;
    }
    Ok(Opened { database, ring, meta })
}

/// A store of a version that had no Outbox gets one. Returns whether it did.
fn show_queue(tables: &mut Tables<'_>, meta: &mut Meta) -> Result<bool, Trouble> {
    match has_outbox(tables) {
        Ok(false) => restore_outbox(tables, meta),
        Ok(true) => Ok(false),
        // Damage is for whoever reads it.
        Err(Trouble::Failed(_)) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

/// A redb database over that file, with an explicit cache.
pub fn open_redb(file: Box<dyn StorageBackend>, options: &Options) -> Result<Database, Trouble> {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder.set_repair_callback(|_| log::warn!("event=store-repair detail=\"the file is read as a whole\""));
    Ok(builder.create_with_backend(Backend(file))?)
}

/// Opens and closes the database with every page verified: what is damaged is an error here, and a panic elsewhere.
pub fn open_verified(file: Box<dyn StorageBackend>, options: &Options) -> Result<(), Trouble> {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes).set_check_integrity_on_open(true);
    guarded(|| Ok(builder.create_with_backend(Backend(file))?.close()?))
}

/// A random number that no other store has.
pub fn random_id() -> Result<u64, Trouble> {
    let mut random = [0u8; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
        .map_err(|_| Trouble::Failed("the system has no random numbers".into()))?;
    Ok(u64::from_le_bytes(random))
}

/// [`redb::Builder::create_with_backend`] wants a type of its own.
#[derive(Debug)]
struct Backend(Box<dyn StorageBackend>);

impl StorageBackend for Backend {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
    fn close(&self) -> std::io::Result<()> {
        self.0.close()
    }
}

/// A write transaction. Immediate ones save redb's allocator state, so that reopening after a crash reads no more
/// than that.
pub fn begin(database: &Database, durability: Durability) -> Result<WriteTransaction, Trouble> {
    let mut txn = database.begin_write()?;
    txn.set_quick_repair(matches!(durability, Durability::Immediate));
    txn.set_durability(durability).map_err(|error| Trouble::Failed(error.to_string()))?;
    Ok(txn)
}

/// Says durably that the store is open, once after each clean close: from here on the journal must be there. An empty batch
/// in it shows that it is the one that belongs to these tables.
pub fn mark_open(database: &Database, ring: &mut Ring, meta: &mut Meta) -> Result<(), Trouble> {
    let mut mark = Batch::new();
    let place = ring.place(&mark).ok_or_else(|| Trouble::Failed("the file `journal` is too short".into()))?;
    ring.write(&mut mark, place, meta.batch)?;
    let marked = Meta { batch: meta.batch + 1, position: place.next, closed: false, ..meta.clone() };
    let txn = begin(database, Durability::Immediate)?;
    Tables::open(&txn)?.save_meta(&marked)?;
    txn.commit()?;
    ring.forget();
    *meta = marked;
    Ok(())
}

/// Makes everything committed so far durable in the redb file; the ring is redundant then.
pub fn checkpoint(database: &Database, ring: &mut Ring) -> Result<(), Trouble> {
    begin(database, Durability::Immediate)?.commit()?;
    ring.forget();
    Ok(())
}

/// Leaves nothing in redb's write buffer. Behind a checkpoint, redb frees the pages that it gave up by a second commit, which is
/// not durable and stays in the buffer; while anything does, each page that a reader does not find in the full cache makes redb
/// look through the 131 parts of the buffer for something to write out, which is half of the time of listing a mailbox by header
/// fields. A commit of nothing has nothing to free.
pub fn settle(database: &Database) -> Result<(), Trouble> {
    Ok(begin(database, Durability::Immediate)?.commit()?)
}

fn read_meta(database: &Database) -> Result<Meta, Trouble> {
    let txn = database.begin_read()?;
    let row = txn.open_table(META.table)?.get(0)?;
    let row = row.ok_or_else(|| lost("the row of the store itself"))?;
    let format = Meta::decode_format(row.value()).map_err(|Malformed| damaged_row("meta", 0))?;
    if format > FORMAT {
        return Err(Trouble::Failed(format!(
            "this store was written by a newer version (format {format}, this program knows up to {FORMAT})"
        )));
    }
    match format {
        OLD_FORMAT => decode_meta(row.value()).map_err(|Malformed| damaged_row("meta", 0)),
        _ => META.decode(&0, row.value(), Meta::decode),
    }
}

/// The ring that belongs to these tables. It may be missing, or too short for any batch, only when none can be in it.
fn open_ring(disk: &dyn Disk, options: &Options, meta: &Meta) -> Result<Ring, Trouble> {
    if let Some(file) = disk.open(Part::Journal)?
        && (!meta.closed || file.len()? >= RING_BYTES_MIN)
    {
        return Ok(Ring::new(file, meta.store, meta.position)?);
    }
    if !meta.closed {
        return Err(Trouble::Failed("the file `journal` is missing: the last changes are in it".into()));
    }
    let file = disk.draft(Part::Journal, options.ring_bytes)?;
    disk.publish(Part::Journal)?;
    Ok(Ring::new(file, meta.store, 0)?)
}

/// Applies the batches that the tables do not have yet. Returns how many there were.
fn replay(database: &Database, ring: &mut Ring, meta: &mut Meta) -> Result<u64, Trouble> {
    let mut replayed = 0;
    while let Some(payload) = ring.read_next(meta.batch)? {
        let txn = begin(database, Durability::None)?;
        let mut tables = Tables::open(&txn)?;
        apply_batch(&payload, &mut tables, meta, |decoder, _, _| Ok(Step::decode(decoder)))?;
        meta.position = ring.position();
        tables.save_meta(meta)?;
        drop(tables);
        txn.commit()?;
        replayed += 1;
    }
    Ok(replayed)
}

/// Applies one batch of the journal. `read` reads its next step.
pub fn apply_batch(
    payload: &[u8],
    tables: &mut Tables<'_>,
    meta: &mut Meta,
    mut read: impl FnMut(&mut Decoder<'_>, &Tables<'_>, &Meta) -> Result<Result<Step, Malformed>, Trouble>,
) -> Result<(), Trouble> {
    let mut decoder = Decoder::new(payload);
    while !decoder.is_empty() {
        let step = read(&mut decoder, tables, meta)?;
        let step = step.map_err(|Malformed| damaged(format_args!("batch {} of the journal", meta.batch)))?;
        // The step was decided on these tables: a mailbox that is not in them has been lost.
        tables.apply(&step, meta, &mut Vec::new()).map_err(|trouble| match trouble {
            Trouble::NotFound => lost(format_args!("a mailbox of batch {} of the journal", meta.batch)),
            trouble => trouble,
        })?;
    }
    meta.batch += 1;
    meta.closed = false;
    Ok(())
}

/// Makes sure that the journal ends where reading it ended. `whole`: looks everywhere, otherwise as far as one damaged
/// batch can reach.
pub fn check_end(ring: &Ring, meta: &Meta, whole: bool) -> Result<(), Trouble> {
    match ring.find_later(meta.batch, whole)? {
        None => Ok(()),
        Some(later) => Err(Trouble::Failed(format!(
            "the journal is damaged: batch {} cannot be read, but batch {later} behind it can. Changes that were \
             acknowledged are missing; nothing was changed",
            meta.batch
        ))),
    }
}

/// Makes a store with its first mailboxes. It gets its name only when it is complete.
fn make(disk: &dyn Disk, options: &Options) -> Result<Box<dyn StorageBackend>, Trouble> {
    if disk.open(Part::Journal)?.is_some() {
        return Err(Trouble::Failed("there is a file `journal` but no `hauspost.redb` to it".into()));
    }
    let database = open_redb(disk.draft(Part::Database, 0)?, options)?;
    let store = random_id()?;
    let mut meta = Meta { store, closed: true, uid_validity: first_uid_validity(store), ..Meta::default() };
    let txn = begin(&database, Durability::Immediate)?;
    let mut tables = Tables::open(&txn)?;
    let first = [
        ("INBOX", None),
        ("Drafts", Some(SpecialUse::Drafts)),
        ("Sent", Some(SpecialUse::Sent)),
        ("Junk", Some(SpecialUse::Junk)),
        ("Trash", Some(SpecialUse::Trash)),
        ("Archive", Some(SpecialUse::Archive)),
        (OUTBOX_NAME, Some(SpecialUse::Outbox)),
    ];
    for (id, (name, special_use)) in (INBOX.0..).zip(first) {
        let uid_validity = UidValidity(meta.uid_validity);
        let (id, name) = (MailboxId(id), name.to_owned());
        let step = Step::Create { id, name, uid_validity, special_use, subscribed: true };
        tables.apply(&step, &mut meta, &mut Vec::new())?;
    }
    tables.save_meta(&meta)?;
    drop(tables);
    txn.commit()?;
    database.close()?;
    disk.publish(Part::Database)?;
    disk.open(Part::Database)?.ok_or_else(|| Trouble::Failed("the new store is not there".into()))
}

/// RFC 3501 section 2.3.1.1 suggests the time, so that a store made anew does not repeat the numbers of the one
/// before. A clock that was never set would: then chance decides, below all real times.
fn first_uid_validity(random: u64) -> u32 {
    const YEAR_2020_SECONDS: u64 = 1_577_836_800;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seconds = if seconds < YEAR_2020_SECONDS { 1 + random % (YEAR_2020_SECONDS - 1) } else { seconds };
    u32::try_from(seconds).unwrap_or(u32::MAX / 2)
}
