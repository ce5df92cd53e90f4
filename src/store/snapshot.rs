//! One consistent view of everything, and the two threads that look at it.
//!
//! Receives short closures; hands on what they return. It changes nothing. What must always hold: a read transaction
//! lives only while its closure runs, because pages cannot be reused while one is open.

use super::body::*;
use super::tables::*;
use super::{Changes, Credential, QueueEntry, Shared, Trouble, closed};
use crate::limits::BODY_CHUNK_BYTES;
use crate::mail::index::BodyIndex;
use crate::mail::message::*;
use crate::wire::date::Timestamp;
use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, Value};
use std::cell::RefCell;
use std::ops::{Bound, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

/// What a reader thread is asked.
pub type Question = Box<dyn FnOnce(Result<&Snapshot, Trouble>) + Send>;

/// Answers questions until nobody can ask any more.
pub fn run_reader(shared: &Arc<Shared>, questions: &smol::channel::Receiver<Question>) {
    let mut inflater = Inflater::default();
    while let Ok(question) = questions.recv_blocking() {
        let database = shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let snapshot = match database.as_ref().map(ReadableDatabase::begin_read) {
            None => Err(closed()),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(txn)) => Ok(Snapshot { txn, inflater: RefCell::new(std::mem::take(&mut inflater)) }),
        };
        // A question that panics loses its answer, not the thread that all others wait for.
        if catch_unwind(AssertUnwindSafe(|| question(snapshot.as_ref().map_err(Trouble::clone)))).is_err() {
            log::error!("event=question-panicked");
        }
        if let Ok(snapshot) = snapshot {
            inflater = snapshot.inflater.into_inner();
        }
    }
}

/// One consistent view of everything, on a reader thread.
pub struct Snapshot {
    txn: ReadTransaction,
    inflater: RefCell<Inflater>,
}

impl Snapshot {
    pub(super) fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<K, V>,
    ) -> Result<ReadOnlyTable<K, V>, Trouble> {
        Ok(self.txn.open_table(definition)?)
    }

    /// All mailboxes ordered by name, INBOX first.
    pub fn mailboxes(&self) -> Result<Vec<Mailbox>, Trouble> {
        let mut all = Vec::new();
        for row in self.table(MAILBOXES)?.range::<u32>(..)? {
            let (id, bytes) = row?;
            all.push(MailboxState::decode(MailboxId(id.value()), bytes.value())?.mailbox);
        }
        all.sort_by(|a, b| (a.id != INBOX, &a.name).cmp(&(b.id != INBOX, &b.name)));
        Ok(all)
    }
    /// By name (`INBOX` in any case).
    pub fn mailbox_named(&self, name: &str) -> Result<Option<Mailbox>, Trouble> {
        let Ok(name) = super::decide::mailbox_name(name) else { return Ok(None) };
        match self.table(NAMES)?.get(&name[..])? {
            Some(id) => self.mailbox(MailboxId(id.value())),
            None => Ok(None),
        }
    }
    /// By id.
    pub fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, Trouble> {
        Ok(super::apply::read_mailbox(&self.table(MAILBOXES)?, id)?.map(|state| state.mailbox))
    }
    /// All UIDs of a mailbox, ascending.
    pub fn uids(&self, mailbox: MailboxId) -> Result<Vec<Uid>, Trouble> {
        self.uids_from(mailbox, Uid(0))
    }
    /// The UIDs of a mailbox from `first` on, ascending.
    pub fn uids_from(&self, mailbox: MailboxId, first: Uid) -> Result<Vec<Uid>, Trouble> {
        let these = message_key(mailbox, first)..=message_key(mailbox, Uid(u32::MAX));
        self.table(MESSAGES)?.range(these)?.map(|row| Ok(key_uid(row?.0.value()))).collect()
    }
    /// Rows with first <= UID <= last, ascending, at most `limit` of them.
    pub fn messages(
        &self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
        limit: usize,
    ) -> Result<Vec<MessageRow>, Trouble> {
        if first > last {
            return Ok(Vec::new());
        }
        let asked = message_key(mailbox, first)..=message_key(mailbox, last);
        let rows = self.table(MESSAGES)?.range(asked)?.take(limit);
        rows.map(|row| {
            let (key, bytes) = row?;
            Ok(decode_message(key_uid(key.value()), bytes.value())?)
        })
        .collect()
    }
    /// One row.
    pub fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<MessageRow>, Trouble> {
        let row = self.table(MESSAGES)?.get(message_key(mailbox, uid))?;
        row.map(|bytes| decode_message(uid, bytes.value())).transpose().map_err(Trouble::from)
    }
    /// What happened to a mailbox after `seen`.
    pub fn changes_since(&self, mailbox: MailboxId, seen: ModSeq) -> Result<Changes, Trouble> {
        self.changes_page(mailbox, seen, usize::MAX)
    }
    /// The first of what happened to a mailbox after `seen`: the changes of one modseq are never parted, and none follow once
    /// there are `rows_max` of them; [`Changes::up_to`] says where to go on.
    pub fn changes_page(&self, mailbox: MailboxId, seen: ModSeq, rows_max: usize) -> Result<Changes, Trouble> {
        let (mut changed, mut expunged) = (Vec::new(), Vec::new());
        let Some(state) = self.mailbox(mailbox)? else {
            return Ok(Changes { changed, expunged, up_to: seen, forgotten: false, mailbox: None });
        };
        let forgotten = seen < state.expunged_floor;
        let mut up_to = state.highest_modseq;
        if seen < state.highest_modseq {
            let after = change_key(mailbox, ModSeq(seen.0 + 1), Uid(0));
            let messages = self.table(MESSAGES)?;
            for row in self.table(CHANGES)?.range(after..=change_key(mailbox, up_to, Uid(u32::MAX)))? {
                let key = row?.0.value();
                let (modseq, uid) = (change_modseq(key), key_uid(key as u64));
                if changed.len() >= rows_max && changed.last().is_some_and(|row: &MessageRow| row.modseq < modseq) {
                    up_to = ModSeq(modseq.0 - 1);
                    break;
                }
                if let Some(bytes) = messages.get(message_key(mailbox, uid))? {
                    changed.push(decode_message(uid, bytes.value())?);
                }
            }
            for row in self.table(EXPUNGED)?.range(after..=change_key(mailbox, up_to, Uid(u32::MAX)))? {
                expunged.push(key_uid(row?.0.value() as u64));
            }
        }
        changed.sort_unstable_by_key(|row| row.uid);
        expunged.sort_unstable();
        Ok(Changes { changed, expunged, up_to, forgotten, mailbox: Some(state) })
    }

    fn with_body<T>(
        &self,
        body: BodyId,
        read: impl FnOnce(&[u8]) -> Result<T, super::code::Malformed>,
    ) -> Result<T, Trouble> {
        let row = self.table(BODIES)?.get(body.0)?.ok_or(Trouble::NotFound)?;
        Ok(read(row.value())?)
    }
    /// The facts of a body.
    pub fn body_index(&self, body: BodyId) -> Result<BodyIndex, Trouble> {
        self.with_body(body, decode_row_index)
    }
    /// Size of a body in bytes.
    pub fn body_bytes(&self, body: BodyId) -> Result<u64, Trouble> {
        self.with_body(body, decode_size)
    }
    /// Bytes of a body, range cut to what is there. Ask for pieces of at most 64 KiB. Chunks are read whole, so that
    /// ranges that follow each other are best long.
    pub fn body_range(&self, body: BodyId, range: Range<u64>) -> Result<Vec<u8>, Trouble> {
        let chunks = self.with_body(body, decode_chunks)?;
        let mut stored = Pieces::new(self.table(PIECES)?, body, stored_bytes(&chunks));
        let mut out = Vec::new();
        let (mut at, mut stored_at) = (0u64, 0u64);
        for chunk in &chunks {
            let (next, stored_next) = (at + u64::from(chunk.bytes), stored_at + u64::from(chunk.stored));
            if at >= range.end {
                break;
            }
            if next > range.start {
                let compressed = stored.read(stored_at..stored_next)?;
                let before = out.len();
                self.inflater.borrow_mut().inflate(chunk, &compressed, &mut out)?;
                if next > range.end {
                    out.truncate(out.len() - (next - range.end) as usize);
                }
                if at < range.start {
                    out.drain(before..before + (range.start - at) as usize);
                }
            }
            (at, stored_at) = (next, stored_next);
        }
        Ok(out)
    }

    /// One queue entry.
    pub fn queue_entry(&self, id: QueueId) -> Result<Option<QueueEntry>, Trouble> {
        let row = self.table(QUEUE)?.get(id.0)?;
        row.map(|row| decode_queue_entry(id, row.value())).transpose().map_err(Trouble::from)
    }
    /// When each queue entry is due, soonest first, from the one behind `after` on, at most `limit`. Reads no entry, so
    /// that whoever looks for work can pass over what is under way at little cost.
    pub fn queue_order(
        &self,
        after: Option<(Timestamp, QueueId)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, QueueId)>, Trouble> {
        let due = self.table(DUE)?;
        let from = after.map_or(Bound::Unbounded, |(due, id)| Bound::Excluded(due_key(due, id)));
        let rows = due.range((from, Bound::Unbounded))?.take(limit);
        rows.map(|row| Ok(due_parts(row?.0.value()))).collect()
    }
    /// All queue entries with id greater than `after`, at most `limit`.
    pub fn queue(&self, after: QueueId, limit: usize) -> Result<Vec<QueueEntry>, Trouble> {
        let table = self.table(QUEUE)?;
        let rows = table.range(after.0.saturating_add(1)..)?.take(limit);
        rows.map(|row| {
            let (id, bytes) = row?;
            Ok(decode_queue_entry(QueueId(id.value()), bytes.value())?)
        })
        .collect()
    }
    /// A login's credential, by login name (compared without regard to case).
    pub fn credential(&self, login: &str) -> Result<Option<Credential>, Trouble> {
        let row = self.table(CREDENTIALS)?.get(&login.to_lowercase()[..])?;
        row.map(|bytes| decode_credential(bytes.value())).transpose().map_err(Trouble::from)
    }
    /// A setting's value.
    pub fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(self.table(SETTINGS)?.get(key)?.map(|value| value.value().to_vec()))
    }
    /// The latest wall clock time any Op has carried: the clock guard's floor.
    pub fn latest_time(&self) -> Result<Timestamp, Trouble> {
        Ok(self.meta()?.latest_time)
    }

    pub(super) fn meta(&self) -> Result<Meta, Trouble> {
        let row = self.table(META)?.get(0)?.ok_or(super::code::Malformed)?;
        Ok(Meta::decode(row.value())?)
    }
}

/// Compressed bytes of a body, read in order; the piece read last is kept for the chunk that begins in it.
struct Pieces {
    table: ReadOnlyTable<(u64, u32), &'static [u8]>,
    body: BodyId,
    ranges: std::iter::Peekable<Box<dyn Iterator<Item = (u32, Range<u64>)>>>,
}

impl Pieces {
    fn new(table: ReadOnlyTable<(u64, u32), &'static [u8]>, body: BodyId, stored: u64) -> Pieces {
        let ranges: Box<dyn Iterator<Item = _>> = Box::new(pieces(stored));
        Pieces { table, body, ranges: ranges.peekable() }
    }

    /// Each range begins at or behind the end of the one before.
    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, Trouble> {
        let mut out = Vec::with_capacity(((range.end - range.start) as usize).min(BODY_CHUNK_BYTES + 5));
        while let Some((number, piece)) = self.ranges.peek().cloned() {
            if piece.start >= range.end {
                break;
            }
            if piece.end > range.start {
                // The body is there: a piece that is not has been lost, which is another thing than an expunged message.
                let row = self.table.get((self.body.0, number))?.ok_or(super::code::Malformed)?;
                let from = range.start.saturating_sub(piece.start) as usize;
                let to = (range.end.min(piece.end) - piece.start) as usize;
                out.extend_from_slice(row.value().get(from..to).ok_or(super::code::Malformed)?);
            }
            if piece.end > range.end {
                break;
            }
            self.ranges.next();
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions took the lost piece for a message that somebody had expunged, and nothing was logged.
    #[test]
    fn a_lost_piece_is_damage() {
        let database =
            redb::Builder::new().create_with_backend(redb::backends::InMemoryBackend::new()).expect("a database");
        let txn = database.begin_write().expect("a transaction");
        txn.open_table(PIECES).expect("a table").insert((1, 0), &[7u8; 16_340][..]).expect("a piece");
        txn.commit().expect("committed");
        let txn = database.begin_read().expect("a transaction");
        let mut pieces = Pieces::new(txn.open_table(PIECES).expect("a table"), BodyId(1), 30_000);
        assert_eq!(pieces.read(0..10_000), Ok(vec![7; 10_000]));
        assert!(matches!(pieces.read(10_000..20_000), Err(Trouble::Failed(_))));
    }
}
