//! Whether the tables agree with each other: for tests after every walk, and for an owner who doubts.
//!
//! Receives a snapshot; hands on sentences about what is wrong. It repairs nothing. [`Snapshot::check`] reads every row and
//! opens every seal, but reads no body; [`Snapshot::check_body`] reads one body, a chunk at a time.

use super::Trouble;
use super::body::BodyRow;
use super::facts::decode_facts;
use super::pieces::PAGE_PIECE_BYTES;
use super::snapshot::{Pieces, Snapshot};
use super::tables::*;
use crate::mail::message::*;
use redb::{ReadableTable, ReadableTableMetadata};
use std::collections::HashMap;

/// Findings after which the search ends: more of them help nobody.
const FINDINGS_MAX: usize = 20;

impl Snapshot {
    /// Compares all tables with each other and opens every seal. Takes as long as reading all rows; returns at most 20
    /// findings, none when the store is sound.
    pub fn check(&self) -> Result<Vec<String>, Trouble> {
        let mut check = Check { snapshot: self, meta: self.meta()?, findings: Vec::new(), refs: HashMap::new() };
        check.mailboxes()?;
        check.queue()?;
        check.bodies()?;
        check.parts_of_bodies()?;
        check.small_tables()?;
        check.findings.truncate(FINDINGS_MAX);
        Ok(check.findings)
    }

    /// Reads a body from its first byte to its last, a chunk at a time: every chunk's checksum, that of the whole, and its
    /// length. Page over all bodies with [`Snapshot::bodies`]. The error is a sentence for the owner.
    pub fn check_body(&self, body: BodyId) -> Result<(), String> {
        let read = || -> Result<bool, Trouble> {
            let row = self.body_row(&BODIES, body, BodyRow::decode)?;
            let mut stored = Pieces::new(self.table(PIECES)?, body, &row);
            let mut crc = crc32fast::Hasher::new();
            let (mut bytes, mut at) = (0, 0);
            let mut inflated = Vec::new();
            for (number, chunk) in row.chunks.iter().enumerate() {
                let next = at + u64::from(chunk.stored);
                inflated.clear();
                self.inflate((body, number), chunk, &stored.read(at..next)?, &mut inflated)?;
                crc.update(&inflated);
                bytes += inflated.len() as u64;
                at = next;
            }
            Ok((bytes, crc.finalize()) == (row.bytes, row.crc))
        };
        match read() {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(format!("body {} is not the message that arrived: its checksum or length differs", body.0))
            }
            Err(Trouble::Failed(sentence)) => Err(sentence),
            Err(trouble) => Err(format!("body {} cannot be read: {trouble:?}", body.0)),
        }
    }
}

struct Check<'a> {
    snapshot: &'a Snapshot,
    meta: Meta,
    findings: Vec<String>,
    /// How often each body is referred to, and how long it is said to be.
    refs: HashMap<u64, (u32, u64)>,
}

impl Check<'_> {
    fn expect(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds && self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding());
        }
    }

    /// What was read; what is damaged is a finding.
    fn found<T>(&mut self, read: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(Trouble::Failed(sentence)) if self.findings.len() < FINDINGS_MAX => {
                self.findings.push(sentence);
                Ok(None)
            }
            Err(Trouble::Failed(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    fn refer(&mut self, body: BodyId, bytes: u64) {
        let (refs, told) = self.refs.entry(body.0).or_insert((0, bytes));
        *refs += 1;
        let same = *told == bytes;
        self.expect(same, || format!("body {} is said to have several lengths", body.0));
    }

    fn mailboxes(&mut self) -> Result<(), Trouble> {
        let names = self.snapshot.table(NAMES)?;
        let mut states = Vec::new();
        for row in self.snapshot.table(MAILBOXES.table)?.iter()? {
            let (id, bytes) = row?;
            let id = id.value();
            let state = MAILBOXES.decode(&id, bytes.value(), |row| MailboxState::decode(MailboxId(id), row));
            states.extend(self.found(state)?);
        }
        self.expect(names.len()? == states.len() as u64, || "mailboxes and their names differ in number".into());
        let (mut messages, mut expunged) = (0, 0);
        for state in &states {
            let Mailbox { id, name, uid_validity, .. } = &state.mailbox;
            let named = names.get(&name[..])?.map(|id| id.value());
            self.expect(named == Some(id.0), || format!("mailbox {name:?} is not found by its name"));
            let used = id.0 < self.meta.mailbox && uid_validity.0 < self.meta.uid_validity;
            self.expect(used, || format!("mailbox {name:?} has an id or UIDVALIDITY that would be given again"));
            messages += u64::from(state.mailbox.messages);
            expunged += u64::from(state.expunged);
            self.mailbox(state)?;
        }
        let lengths = [self.snapshot.table(MESSAGES)?.len()?, self.snapshot.table(CHANGES)?.len()?];
        self.expect(lengths == [messages; 2], || format!("{messages} messages are counted, {lengths:?} are there"));
        let length = self.snapshot.table(EXPUNGED)?.len()?;
        self.expect(length == expunged, || format!("{expunged} expunges are counted, {length} are there"));
        Ok(())
    }

    fn mailbox(&mut self, state: &MailboxState) -> Result<(), Trouble> {
        let told = &state.mailbox;
        let changes = self.snapshot.table(CHANGES)?;
        let mut counted = Mailbox { messages: 0, unseen: 0, deleted: 0, bytes: 0, ..told.clone() };
        let all = message_key(told.id, Uid(0))..=message_key(told.id, Uid(u32::MAX));
        for row in self.snapshot.table(MESSAGES)?.range(all)? {
            let (key, bytes) = row?;
            let Some(row) = self.found(read_message(key.value(), bytes.value()))? else { continue };
            counted.messages += 1;
            counted.bytes += row.bytes;
            counted.unseen += u32::from(!row.flags.contains(SystemFlags::SEEN));
            counted.deleted += u32::from(row.flags.contains(SystemFlags::DELETED));
            self.refer(row.body, row.bytes);
            let indexed = changes.get(change_key(told.id, row.modseq, row.uid))?.is_some();
            let named = row.keywords.checked_shr(told.keywords.len() as u32).unwrap_or(0) == 0;
            let sound = indexed && named && row.uid < told.uid_next && row.modseq <= told.highest_modseq;
            self.expect(sound, || {
                format!("message {:?} of {:?} does not fit its mailbox: {row:?}", row.uid, told.name)
            });
        }
        self.expect(&counted == told, || format!("counted {counted:?}, told {told:?}"));
        let remembered = change_key(told.id, ModSeq(0), Uid(0))..=change_key(told.id, ModSeq(u64::MAX), Uid(u32::MAX));
        let messages = self.snapshot.table(MESSAGES)?;
        for row in self.snapshot.table(EXPUNGED)?.range(remembered)? {
            let key = row?.0.value();
            let (modseq, uid) = (change_modseq(key), key_uid(key as u64));
            let within = modseq > told.expunged_floor && modseq <= told.highest_modseq && uid < told.uid_next;
            let sound = within && messages.get(message_key(told.id, uid))?.is_none();
            self.expect(sound, || format!("an expunge of {:?} cannot have happened: {uid:?} at {modseq:?}", told.name));
        }
        Ok(())
    }

    fn queue(&mut self) -> Result<(), Trouble> {
        let due = self.snapshot.table(DUE)?;
        let mut waiting = 0;
        for row in self.snapshot.table(QUEUE.table)?.iter()? {
            let (id, bytes) = row?;
            let id = id.value();
            let entry = QUEUE.decode(&id, bytes.value(), |row| decode_queue_entry(QueueId(id), row));
            let Some(entry) = self.found(entry)? else { continue };
            self.refer(entry.body, entry.bytes);
            waiting += u64::from(!entry.held);
            let found = due.get(due_key(entry.due, entry.id))?.is_some();
            self.expect(found != entry.held, || format!("queue entry {id} is held and due, or neither"));
            self.expect(id < self.meta.queue, || format!("queue entry {id} has an id that would be given again"));
        }
        let there = due.len()?;
        self.expect(there == waiting, || format!("{waiting} queue entries wait, {there} are due"));
        Ok(())
    }

    fn bodies(&mut self) -> Result<(), Trouble> {
        let pieces = self.snapshot.table(PIECES)?;
        let bodies = self.snapshot.table(BODIES.table)?;
        let mut wanted = 0;
        for row in bodies.iter()? {
            let (id, bytes) = row?;
            let id = id.value();
            let Some(row) = self.found(BODIES.decode(&id, bytes.value(), BodyRow::decode))? else { continue };
            let (found, told) = self.refs.remove(&id).unwrap_or((0, row.bytes));
            let refs = row.refs;
            self.expect(refs == found, || format!("body {id} counts {refs} references, {found} are there"));
            let size: u64 = row.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
            self.expect(row.bytes == size && told == size, || format!("body {id} is not as long as its chunks"));
            let sound = id < self.meta.body && row.thread.0 < self.meta.body && row.first_piece <= PAGE_PIECE_BYTES;
            self.expect(sound, || format!("body {id} is not one that could have come: {row:?}"));
            for (number, range) in row.pieces() {
                wanted += 1;
                let length = pieces.get((id, number))?.map(|piece| piece.value().len() as u64);
                self.expect(length == Some(range.end - range.start), || {
                    format!("piece {number} of body {id}: {length:?}")
                });
            }
        }
        let lost: Vec<u64> = self.refs.keys().copied().take(FINDINGS_MAX).collect();
        self.expect(lost.is_empty(), || format!("bodies that are referred to are missing: {lost:?}"));
        for row in self.snapshot.table(STAGED)?.iter()? {
            let body = row?.0.value();
            wanted += pieces.range((body, 0)..=(body, u32::MAX))?.count() as u64;
            let admitted = bodies.get(body)?.is_some();
            self.expect(!admitted, || format!("body {body} is staged and admitted"));
        }
        let there = pieces.len()?;
        self.expect(there == wanted, || format!("{there} pieces are there, {wanted} belong to a body"));
        Ok(())
    }

    /// Facts, signatures and thread keys: exactly those of the bodies that are there.
    fn parts_of_bodies(&mut self) -> Result<(), Trouble> {
        let facts = self.snapshot.table(FACTS.table)?;
        let bodies = self.snapshot.table(BODIES.table)?;
        let threads = self.snapshot.table(THREADS)?;
        let mut keys = 0;
        for row in bodies.iter()? {
            let (id, bytes) = row?;
            let id = id.value();
            // A row that cannot be read is known by now.
            let Ok(row) = BODIES.decode(&id, bytes.value(), BodyRow::decode) else { continue };
            let read = FACTS.get(&facts, &id, decode_facts);
            let Some(index) = self.found(read)? else { continue };
            let own = index.as_ref().and_then(|index| index.message_id);
            let sound = index.is_some() && own.is_none_or(|own| row.thread_keys.first() == Some(&own));
            self.expect(sound, || format!("body {id} has no facts, or others than its thread"));
            keys += row.thread_keys.len() as u64;
            for hash in &row.thread_keys {
                let key = thread_place(*hash, BodyId(id));
                let thread = threads.get(key)?.map(|bytes| read_thread(key, bytes.value())).transpose();
                let thread = self.found(thread)?.flatten();
                self.expect(thread == Some(row.thread), || format!("body {id} is not found by its thread"));
            }
        }
        let lengths = (facts.len()?, bodies.len()?);
        self.expect(lengths.0 == lengths.1, || format!("facts and bodies differ in number: {lengths:?}"));
        let there = threads.len()?;
        self.expect(there == keys, || format!("{there} keys of threads are there, {keys} belong to a body"));
        for row in self.snapshot.table(SIGNATURES.table)?.iter()? {
            let (id, bytes) = row?;
            let id = id.value();
            let read = SIGNATURES.decode(&id, bytes.value(), |row| Ok(!row.is_empty()));
            let sound = self.found(read)?.unwrap_or(true) && bodies.get(id)?.is_some();
            self.expect(sound, || format!("a signature is empty or belongs to no body: {id}"));
        }
        Ok(())
    }

    fn small_tables(&mut self) -> Result<(), Trouble> {
        for row in self.snapshot.table(CREDENTIALS.table)?.iter()? {
            let (key, bytes) = row?;
            let key = key.value();
            let Some(credential) = self.found(CREDENTIALS.decode(&key, bytes.value(), decode_credential))? else {
                continue;
            };
            let found = credential.login.to_lowercase() == key;
            self.expect(found, || format!("the credential of {:?} is not found by its login", credential.login));
        }
        for row in self.snapshot.table(SETTINGS.table)?.iter()? {
            let (key, bytes) = row?;
            let read = SETTINGS.decode(&key.value(), bytes.value(), |_| Ok(()));
            self.found(read)?;
        }
        Ok(())
    }
}
