//! One consistent view of everything, and the two threads that look at it.
//!
//! Receives short closures; hands on what they return. It changes nothing. What must always hold: a read transaction
//! lives only while its closure runs, because pages cannot be reused while one is open.

use super::body::*;
use super::by_body::ByBody;
use super::code::Malformed;
use super::damage::{caught, damaged, damaged_row, guarded, lost};
use super::facts::{decode_facts, decode_finished, decode_header_place};
use super::pieces::Pieces;
use super::tables::*;
use super::{Changes, Credential, DEVICE_LOGIN, QueueEntry, Shared, Trouble, closed};
use crate::limits::BODY_READ_BYTES;
use crate::mail::index::{BodyIndex, Finished};
use crate::mail::message::*;
use crate::mail::view::Span;
use crate::order;
use crate::wire::date::Timestamp;
use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, TableHandle, Value};
use std::cell::{Cell, OnceCell, RefCell};
use std::ops::{Bound, Range};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// What a reader thread is asked.
pub type Question = Box<dyn FnOnce(Result<&Snapshot, Trouble>) + Send>;

/// Answers questions until nobody can ask any more.
pub fn run_reader(shared: &Arc<Shared>, questions: &smol::channel::Receiver<Question>) {
    let mut inflater = Inflater::default();
    while let Ok(question) = questions.recv_blocking() {
        // In this order: the writer may hold the first while it opens the database again.
        let committed = shared.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let database = shared.database.read().unwrap_or_else(PoisonError::into_inner);
        // redb panics on damaged pages, and once it has, on its poisoned locks: that costs an answer, never the thread that
        // all others wait for.
        let snapshot = guarded(|| {
            let txn = database.as_ref().ok_or_else(closed)?.begin_read()?;
            Ok(Snapshot {
                txn,
                shared: shared.clone(),
                messages: OnceCell::new(),
                bodies: OnceCell::new(),
                facts: OnceCell::new(),
                pieces: OnceCell::new(),
                signatures: OnceCell::new(),
                inflater: RefCell::new(std::mem::take(&mut inflater)),
                compressed: RefCell::default(),
                read_bytes: Cell::new(0),
            })
        });
        drop(committed);
        if caught(|| question(snapshot.as_ref().map_err(Trouble::clone))).is_none() {
            log::error!("event=question-panicked");
        }
        if let Ok(snapshot) = &snapshot {
            shared.read_bytes.fetch_add(snapshot.read_bytes.get(), Ordering::Relaxed);
        }
        inflater =
            caught(|| snapshot.map(|snapshot| snapshot.inflater.into_inner()).ok()).flatten().unwrap_or_default();
    }
}

/// A table, opened when it is first asked for.
fn opened<T>(kept: &OnceCell<T>, open: impl FnOnce() -> Result<T, Trouble>) -> Result<&T, Trouble> {
    match kept.get() {
        Some(table) => Ok(table),
        None => {
            let table = open()?;
            Ok(kept.get_or_init(|| table))
        }
    }
}

/// One consistent view of everything, on a reader thread.
pub struct Snapshot {
    txn: ReadTransaction,
    pub(super) shared: Arc<Shared>,
    // What a page of FETCH or of SEARCH looks into for every message: opening a table costs as much as finding a row.
    messages: OnceCell<ReadOnlyTable<u64, &'static MessageBytes>>,
    bodies: OnceCell<ByBody>,
    facts: OnceCell<ByBody>,
    pieces: OnceCell<ReadOnlyTable<(u64, u32), &'static [u8]>>,
    signatures: OnceCell<ByBody>,
    inflater: RefCell<Inflater>,
    /// The chunk that is being read, as it lies.
    compressed: RefCell<Vec<u8>>,
    /// Bytes of rows of facts and pieces that were read.
    read_bytes: Cell<usize>,
}

impl Snapshot {
    pub(super) fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<K, V>,
    ) -> Result<ReadOnlyTable<K, V>, Trouble> {
        Ok(self.txn.open_table(definition)?)
    }

    fn messages_table(&self) -> Result<&ReadOnlyTable<u64, &'static MessageBytes>, Trouble> {
        opened(&self.messages, || self.table(MESSAGES))
    }
    pub(super) fn pieces_table(&self) -> Result<&ReadOnlyTable<(u64, u32), &'static [u8]>, Trouble> {
        opened(&self.pieces, || self.table(PIECES))
    }
    /// The row of a body in one of the tables that are kept open, if it is there.
    fn row_of<T>(
        &self,
        body: BodyId,
        (kept, table): (&OnceCell<ByBody>, &Sealed<u64>),
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Trouble> {
        let rows = opened(kept, || self.table(table.table).map(ByBody::new))?;
        rows.get(body.0)?.map(|row| table.decode(&body.0, row.value(), decode)).transpose()
    }

    /// All mailboxes ordered by name, INBOX first.
    pub fn mailboxes(&self) -> Result<Vec<Mailbox>, Trouble> {
        let mut all = Vec::new();
        for row in self.table(MAILBOXES.table)?.range::<u32>(..)? {
            let (id, bytes) = row?;
            let id = id.value();
            let state = MAILBOXES.decode(&id, bytes.value(), |row| MailboxState::decode(MailboxId(id), row))?;
            all.push(state.mailbox);
        }
        order::sort_by(&mut all, |a, b| (a.id != INBOX, &a.name).cmp(&(b.id != INBOX, &b.name)));
        Ok(all)
    }
    /// By name (`INBOX` in any case).
    pub fn mailbox_named(&self, name: &str) -> Result<Option<Mailbox>, Trouble> {
        let Ok(name) = super::decide::mailbox_name(name) else { return Ok(None) };
        let Some(id) = self.table(NAMES)?.get(&name[..])? else { return Ok(None) };
        match self.mailbox(MailboxId(id.value()))? {
            Some(mailbox) if mailbox.name == name => Ok(Some(mailbox)),
            _ => Err(damaged_row("names", name)),
        }
    }
    /// By id.
    pub fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, Trouble> {
        Ok(super::apply::read_mailbox(&self.table(MAILBOXES.table)?, id)?.map(|state| state.mailbox))
    }
    /// The UIDs of a mailbox from `first` on, ascending.
    pub fn uids_from(&self, mailbox: MailboxId, first: Uid) -> Result<Vec<Uid>, Trouble> {
        let these = message_key(mailbox, first)..=message_key(mailbox, Uid(u32::MAX));
        self.messages_table()?.range(these)?.map(|row| Ok(key_uid(row?.0.value()))).collect()
    }
    /// The lowest and the highest UID of a mailbox.
    pub(super) fn ends(&self, mailbox: MailboxId) -> Result<Option<Span>, Trouble> {
        let mut rows =
            self.messages_table()?.range(message_key(mailbox, Uid(0))..=message_key(mailbox, Uid(u32::MAX)))?;
        let Some(first) = rows.next() else { return Ok(None) };
        let first = key_uid(first?.0.value());
        let last = rows.next_back().map_or(Ok(first), |row| row.map(|row| key_uid(row.0.value())))?;
        Ok(Some((first.0, last.0)))
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
        self.rows(mailbox, first, last)?.take(limit).collect()
    }
    /// The same, one after the other; first must not be above last.
    pub fn rows(
        &self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
    ) -> Result<impl Iterator<Item = Result<MessageRow, Trouble>>, Trouble> {
        let rows = self.messages_table()?.range(message_key(mailbox, first)..=message_key(mailbox, last))?;
        Ok(rows.map(|row| {
            let (key, bytes) = row?;
            read_message(key.value(), bytes.value())
        }))
    }
    /// One row.
    pub fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<MessageRow>, Trouble> {
        let key = message_key(mailbox, uid);
        self.messages_table()?.get(key)?.map(|bytes| read_message(key, bytes.value())).transpose()
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
            let messages = self.messages_table()?;
            for row in self.table(CHANGES)?.range(after..=change_key(mailbox, up_to, Uid(u32::MAX)))? {
                let key = row?.0.value();
                let (modseq, uid) = (change_modseq(key), key_uid(key as u64));
                if changed.len() >= rows_max && changed.last().is_some_and(|row: &MessageRow| row.modseq < modseq) {
                    up_to = ModSeq(modseq.0 - 1);
                    break;
                }
                let place = message_key(mailbox, uid);
                let row = messages.get(place)?.map(|bytes| read_message(place, bytes.value())).transpose()?;
                // A key alone has no seal: the row it speaks of is the judge.
                changed.push(row.filter(|row| row.modseq == modseq).ok_or_else(|| damaged_row("changes", key))?);
            }
            for row in self.table(EXPUNGED)?.range(after..=change_key(mailbox, up_to, Uid(u32::MAX)))? {
                let key = row?.0.value();
                let uid = key_uid(key as u64);
                if uid >= state.uid_next || messages.get(message_key(mailbox, uid))?.is_some() {
                    return Err(damaged_row("expunged", key));
                }
                expunged.push(uid);
            }
        }
        changed.sort_unstable_by_key(|row| row.uid);
        expunged.sort_unstable();
        Ok(Changes { changed, expunged, up_to, forgotten, mailbox: Some(state) })
    }

    /// What finds the bytes of a body; `NotFound` when the body is not there. What lacks only a part of its rows is damaged.
    pub(super) fn body_row<T>(
        &self,
        body: BodyId,
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<T, Trouble> {
        self.row_of(body, (&self.bodies, &BODIES), decode)?.ok_or_else(|| self.lacks(&BODIES, body))
    }

    fn facts_row<T>(&self, body: BodyId, decode: impl FnOnce(&[u8]) -> Result<T, Malformed>) -> Result<T, Trouble> {
        let counted = |row: &[u8]| {
            self.count_read(row.len());
            decode(row)
        };
        self.row_of(body, (&self.facts, &FACTS), counted)?.ok_or_else(|| self.lacks(&FACTS, body))
    }

    fn count_read(&self, bytes: usize) {
        self.read_bytes.set(self.read_bytes.get() + bytes);
    }

    /// What it means that a body has no row there.
    fn lacks(&self, table: &Sealed<u64>, body: BodyId) -> Trouble {
        let has_row = |table: &Sealed<u64>| Ok::<_, Trouble>(self.table(table.table)?.get(body.0)?.is_some());
        let has_others = || Ok(has_row(&BODIES)? || has_row(&FACTS)?);
        match has_others() {
            Ok(true) => lost(format_args!("the row of body {} in table `{}`", body.0, table.table.name())),
            Ok(false) => Trouble::NotFound,
            Err(trouble) => trouble,
        }
    }
    /// The facts of a body, without its signature.
    pub fn body_index(&self, body: BodyId) -> Result<BodyIndex, Trouble> {
        self.facts_row(body, decode_facts)
    }
    /// Of the facts of a body, what FETCH tells as it is kept.
    pub fn body_finished(&self, body: BodyId) -> Result<Finished, Trouble> {
        self.facts_row(body, decode_finished)
    }
    /// Appends the header of a message with its empty line, if it lies in the first chunk of the body, and says whether it does:
    /// then nothing else had to be read. If not, see [`Snapshot::body_header`].
    pub fn read_header(&self, body: BodyId, out: &mut Vec<u8>) -> Result<bool, Trouble> {
        let before = out.len();
        self.read_first_chunk(body, out)?;
        let end = header_end(out.get(before..).unwrap_or_default());
        out.truncate(before + end.unwrap_or_default());
        Ok(end.is_some())
    }
    /// Appends the first chunk of a body: of most messages the header alone.
    pub fn read_first_chunk(&self, body: BodyId, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let row = self.body_row(body, BodyRow::decode)?;
        let first = row.chunks.first().map_or(0, |chunk| chunk.bytes);
        self.read_own((body, &row), 0..first.into(), out, None).map(drop)
    }
    /// Where the header of a message lies in its body, without the rest of its facts.
    pub fn body_header(&self, body: BodyId) -> Result<Range<u64>, Trouble> {
        self.facts_row(body, decode_header_place)
    }
    /// The signature of a body for SEARCH; empty when it has none, and when the body is not there.
    pub fn body_signature(&self, body: BodyId) -> Result<Vec<u8>, Trouble> {
        let signature = self.row_of(body, (&self.signatures, &SIGNATURES), |row| Ok(row.to_vec()))?;
        Ok(signature.unwrap_or_default())
    }
    /// The thread of a body.
    pub fn body_thread(&self, body: BodyId) -> Result<ThreadId, Trouble> {
        self.body_row(body, |row| BodyRow::decode(row).map(|row| row.thread))
    }
    /// Size of a body in bytes.
    pub fn body_bytes(&self, body: BodyId) -> Result<u64, Trouble> {
        self.body_row(body, decode_size)
    }
    /// The ids of all bodies greater than `after`, ascending, at most `limit`.
    pub fn bodies(&self, after: BodyId, limit: usize) -> Result<Vec<BodyId>, Trouble> {
        let table = self.table(BODIES.table)?;
        let rows = table.range(after.0.saturating_add(1)..)?.take(limit);
        rows.map(|row| Ok(BodyId(row?.0.value()))).collect()
    }
    /// Bytes of a body, range cut to what is there. Ask for pieces of at most 64 KiB. Chunks are read whole, so that
    /// ranges that follow each other are best long.
    pub fn body_range(&self, body: BodyId, range: Range<u64>) -> Result<Vec<u8>, Trouble> {
        let mut out = Vec::new();
        let mut at = range.start;
        loop {
            let read = self.read_body(body, at..range.end, &mut out, None)?;
            at += read;
            if read == 0 || at >= range.end {
                return Ok(out);
            }
        }
    }

    /// Appends bytes of a body and says how many of its bytes these are: all of the range, or up to the end of the chunk with
    /// which they are [`BODY_READ_BYTES`] or more. With `deflated`, chunks that are wanted whole and have no NUL are appended
    /// as they lie, and their places in `out` noted there: raw DEFLATE that ends on a byte boundary, refers to nothing before
    /// it and carries no final-block bit.
    pub fn read_body(
        &self,
        body: BodyId,
        range: Range<u64>,
        out: &mut Vec<u8>,
        mut deflated: Option<&mut Vec<Range<usize>>>,
    ) -> Result<u64, Trouble> {
        let row = self.body_row(body, BodyRow::decode)?;
        let Some(base) = row.base else { return self.read_own((body, &row), range, out, deflated) };
        let head = row.own_bytes();
        let own = range.start..range.end.min(head);
        let mut read = self.read_own((body, &row), own.clone(), out, deflated.as_deref_mut())?;
        if range.end > head && own.start + read >= own.end {
            let behind = self.base_row(base)?;
            let range = range.start.saturating_sub(head)..range.end - head;
            read += self.read_own((base, &behind), range, out, deflated)?;
        }
        Ok(read)
    }

    /// The row of the body that a derived one ends with.
    pub(super) fn base_row(&self, base: BodyId) -> Result<BodyRow, Trouble> {
        match self.body_row(base, BodyRow::decode) {
            Ok(row) if row.base.is_none() => Ok(row),
            Ok(_) | Err(Trouble::NotFound) => Err(lost(format_args!("body {}, with which another ends", base.0))),
            Err(trouble) => Err(trouble),
        }
    }

    /// The same of a body's own chunks.
    fn read_own(
        &self,
        (body, row): (BodyId, &BodyRow),
        range: Range<u64>,
        out: &mut Vec<u8>,
        mut deflated: Option<&mut Vec<Range<usize>>>,
    ) -> Result<u64, Trouble> {
        let mut stored = Pieces::new(self.pieces_table()?, body, row);
        let (mut at, mut stored_at, mut read) = (0u64, 0u64, 0);
        for (number, chunk) in row.chunks.iter().enumerate() {
            let (next, stored_next) = (at + u64::from(chunk.bytes), stored_at + u64::from(chunk.stored));
            if at >= range.end || read >= BODY_READ_BYTES {
                break;
            }
            if next > range.start {
                let before = out.len();
                let whole = range.start <= at && next <= range.end;
                match deflated.as_deref_mut().filter(|_| whole && chunk.may_lie()) {
                    Some(deflated) => {
                        stored.read(stored_at..stored_next, out)?;
                        let compressed = out.get(before..).unwrap_or_default();
                        if !chunk.is_stored_as(compressed) {
                            return Err(damaged(format_args!("chunk {number} of body {} cannot be read", body.0)));
                        }
                        deflated.push(before..out.len());
                    }
                    None => {
                        let mut compressed = self.compressed.borrow_mut();
                        compressed.clear();
                        stored.read(stored_at..stored_next, &mut compressed)?;
                        self.inflate((body, number), chunk, &compressed, out)?;
                        if next > range.end {
                            out.truncate(out.len() - (next - range.end) as usize);
                        }
                        if at < range.start {
                            out.drain(before..before + (range.start - at) as usize);
                        }
                        // Of a time when it was not noted whether a chunk has NUL.
                        if let Some(deflated) = deflated.as_deref_mut()
                            && whole
                            && !chunk.is_plain_header(&compressed)
                            && memchr::memchr(0, out.get(before..).unwrap_or_default()).is_none()
                        {
                            out.truncate(before);
                            out.extend_from_slice(&compressed);
                            deflated.push(before..out.len());
                        }
                    }
                }
                read += next.min(range.end) - at.max(range.start);
            }
            (at, stored_at) = (next, stored_next);
        }
        self.count_read(stored.row_bytes);
        Ok(read)
    }

    /// Appends the message bytes of a chunk of that body, checked.
    pub(super) fn inflate(
        &self,
        (body, number): (BodyId, usize),
        chunk: &Chunk,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        let inflated = self.inflater.borrow_mut().inflate(chunk, stored, out);
        inflated.map_err(|Malformed| damaged(format_args!("chunk {number} of body {} cannot be read", body.0)))
    }

    /// One queue entry.
    pub fn queue_entry(&self, id: QueueId) -> Result<Option<QueueEntry>, Trouble> {
        QUEUE.get(&self.table(QUEUE.table)?, &id.0, |row| decode_queue_entry(id, row))
    }
    /// The entry that [`Snapshot::queue_order`] of this snapshot names: it is not held, and due at that time.
    pub fn queue_entry_due(&self, due: Timestamp, id: QueueId) -> Result<QueueEntry, Trouble> {
        let entry = self.queue_entry(id)?.filter(|entry| entry.due == due && !entry.held);
        entry.ok_or_else(|| damaged_row("due", (due, id)))
    }
    /// When each queue entry that is not held is due, soonest first, from the one behind `after` on, at most `limit`. Reads no entry, so
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
    /// The ids of all queue entries greater than `after`, at most `limit`. Reads no entry.
    pub fn queue_ids(&self, after: QueueId, limit: usize) -> Result<Vec<QueueId>, Trouble> {
        let table = self.table(QUEUE.table)?;
        let rows = table.range(after.0.saturating_add(1)..)?.take(limit);
        rows.map(|row| Ok(QueueId(row?.0.value()))).collect()
    }
    /// The entries that became due last, by `now`, the latest first, at most `limit`; held ones are not among them.
    pub fn queue_newest(&self, now: Timestamp, limit: usize) -> Result<Vec<(Timestamp, QueueId)>, Trouble> {
        let due = self.table(DUE)?;
        let rows = due.range(..=due_key(now, QueueId(u64::MAX)))?.rev().take(limit);
        rows.map(|row| Ok(due_parts(row?.0.value()))).collect()
    }
    /// All queue entries with id greater than `after`, at most `limit`.
    pub fn queue(&self, after: QueueId, limit: usize) -> Result<Vec<QueueEntry>, Trouble> {
        let table = self.table(QUEUE.table)?;
        let rows = table.range(after.0.saturating_add(1)..)?.take(limit);
        rows.map(|row| {
            let (id, bytes) = row?;
            let id = id.value();
            QUEUE.decode(&id, bytes.value(), |row| decode_queue_entry(QueueId(id), row))
        })
        .collect()
    }
    /// A login's credential, by login name (compared without regard to case).
    pub fn credential(&self, login: &str) -> Result<Option<Credential>, Trouble> {
        CREDENTIALS.get(&self.table(CREDENTIALS.table)?, &&login.to_lowercase()[..], decode_credential)
    }
    /// A device by its name (compared without regard to case).
    pub fn device(&self, name: &str) -> Result<Option<Credential>, Trouble> {
        let found = self.credential(&Credential::device_login(name))?;
        Ok(found.filter(|credential| credential.device.is_some()))
    }
    /// All devices by name; those whose rows are damaged are left out, so that they keep nobody else from logging in.
    pub fn devices(&self) -> Result<Vec<Credential>, Trouble> {
        let mut found = Vec::new();
        for row in self.table(CREDENTIALS.table)?.range(DEVICE_LOGIN..)? {
            let (login, bytes) = row?;
            let login = login.value();
            if !login.starts_with(DEVICE_LOGIN) {
                break;
            }
            let credential = CREDENTIALS.decode(&login, bytes.value(), decode_credential);
            found.extend(credential.ok().filter(|credential| credential.device.is_some()));
        }
        Ok(found)
    }
    /// A setting's value.
    pub fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, Trouble> {
        SETTINGS.get(&self.table(SETTINGS.table)?, &key, |value| Ok(value.to_vec()))
    }
    /// The settings whose keys begin with this, at most `limit`, by key; those that are damaged are left out.
    pub fn settings_under(&self, prefix: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
        let table = self.table(SETTINGS.table)?;
        let mut found = Vec::new();
        for row in table.range(prefix..)? {
            let (key, bytes) = row?;
            let key = key.value();
            if found.len() >= limit || !key.starts_with(prefix) {
                break;
            }
            if let Ok(value) = SETTINGS.decode(&key, bytes.value(), |value| Ok(value.to_vec())) {
                found.push((key.to_owned(), value));
            }
        }
        Ok(found)
    }
    /// The latest wall clock time any Op has carried: the clock guard's floor.
    pub fn latest_time(&self) -> Result<Timestamp, Trouble> {
        Ok(self.meta()?.latest_time)
    }

    /// Which store this is, by chance: part of ids that must not come again in another (RFC 8474 section 5.1).
    pub fn store_id(&self) -> Result<u32, Trouble> {
        Ok(self.meta()?.store as u32)
    }

    pub(super) fn meta(&self) -> Result<Meta, Trouble> {
        META.get(&self.table(META.table)?, &0, Meta::decode)?.ok_or_else(|| lost("the row of the store itself"))
    }
}
