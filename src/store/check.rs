//! Whether the tables agree with each other: for tests after every walk, and for an owner who doubts.
//!
//! Receives a snapshot; hands on sentences about what is wrong. It repairs nothing. It reads every row, but no body.

use super::Trouble;
use super::body::{decode_chunks, decode_refs, decode_size, pieces, stored_bytes};
use super::snapshot::Snapshot;
use super::tables::*;
use crate::mail::message::*;
use redb::{ReadableTable, ReadableTableMetadata};
use std::collections::HashMap;

/// Findings after which the search ends: more of them help nobody.
const FINDINGS_MAX: usize = 20;

impl Snapshot {
    /// Compares all tables with each other. Takes as long as reading all rows; returns at most 20 findings, none when
    /// the store is sound.
    pub fn check(&self) -> Result<Vec<String>, Trouble> {
        let mut check = Check { snapshot: self, findings: Vec::new(), refs: HashMap::new() };
        check.mailboxes()?;
        check.queue()?;
        check.bodies()?;
        check.findings.truncate(FINDINGS_MAX);
        Ok(check.findings)
    }
}

struct Check<'a> {
    snapshot: &'a Snapshot,
    findings: Vec<String>,
    /// How often each body is referred to.
    refs: HashMap<u64, u32>,
}

impl Check<'_> {
    fn expect(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds && self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding());
        }
    }

    fn mailboxes(&mut self) -> Result<(), Trouble> {
        let meta = self.snapshot.meta()?;
        let names = self.snapshot.table(NAMES)?;
        let mut states = Vec::new();
        for row in self.snapshot.table(MAILBOXES)?.iter()? {
            let (id, bytes) = row?;
            states.push(MailboxState::decode(MailboxId(id.value()), bytes.value())?);
        }
        self.expect(names.len()? == states.len() as u64, || "mailboxes and their names differ in number".into());
        let (mut messages, mut expunged) = (0, 0);
        for state in &states {
            let Mailbox { id, name, uid_validity, .. } = &state.mailbox;
            let named = names.get(&name[..])?.map(|id| id.value());
            self.expect(named == Some(id.0), || format!("mailbox {name:?} is not found by its name"));
            let used = id.0 < meta.mailbox && uid_validity.0 < meta.uid_validity;
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
            let row = decode_message(key_uid(key.value()), bytes.value())?;
            counted.messages += 1;
            counted.bytes += row.bytes;
            counted.unseen += u32::from(!row.flags.contains(SystemFlags::SEEN));
            counted.deleted += u32::from(row.flags.contains(SystemFlags::DELETED));
            *self.refs.entry(row.body.0).or_default() += 1;
            let indexed = changes.get(change_key(told.id, row.modseq, row.uid))?.is_some();
            let named = row.keywords.checked_shr(told.keywords.len() as u32).unwrap_or(0) == 0;
            let sound = indexed && named && row.uid < told.uid_next && row.modseq <= told.highest_modseq;
            self.expect(sound, || {
                format!("message {:?} of {:?} does not fit its mailbox: {row:?}", row.uid, told.name)
            });
        }
        self.expect(&counted == told, || format!("counted {counted:?}, told {told:?}"));
        let remembered = change_key(told.id, ModSeq(0), Uid(0))..=change_key(told.id, ModSeq(u64::MAX), Uid(u32::MAX));
        for row in self.snapshot.table(EXPUNGED)?.range(remembered)? {
            let modseq = change_modseq(row?.0.value());
            let sound = modseq > told.expunged_floor && modseq <= told.highest_modseq;
            self.expect(sound, || format!("an expunge of {:?} lies outside its memory: {modseq:?}", told.name));
        }
        Ok(())
    }

    fn queue(&mut self) -> Result<(), Trouble> {
        let due = self.snapshot.table(DUE)?;
        let queue = self.snapshot.table(QUEUE)?;
        self.expect(due.len()? == queue.len()?, || "queue and due times differ in number".into());
        for row in queue.iter()? {
            let (id, bytes) = row?;
            let entry = decode_queue_entry(QueueId(id.value()), bytes.value())?;
            *self.refs.entry(entry.body.0).or_default() += 1;
            let found = due.get(due_key(entry.due, entry.id))?.is_some();
            self.expect(found, || format!("queue entry {:?} has no due time", entry.id));
        }
        Ok(())
    }

    fn bodies(&mut self) -> Result<(), Trouble> {
        let table = self.snapshot.table(PIECES)?;
        let mut wanted = 0;
        for row in self.snapshot.table(BODIES)?.iter()? {
            let (id, bytes) = row?;
            let (id, bytes) = (id.value(), bytes.value());
            let refs = decode_refs(bytes)?;
            let found = self.refs.remove(&id).unwrap_or(0);
            self.expect(refs == found, || format!("body {id} counts {refs} references, {found} are there"));
            let chunks = decode_chunks(bytes)?;
            let size: u64 = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
            self.expect(decode_size(bytes)? == size, || format!("body {id} is not as long as its chunks"));
            for (number, range) in pieces(stored_bytes(&chunks)) {
                wanted += 1;
                let length = table.get((id, number))?.map(|piece| piece.value().len() as u64);
                self.expect(length == Some(range.end - range.start), || {
                    format!("piece {number} of body {id}: {length:?}")
                });
            }
        }
        let lost: Vec<u64> = self.refs.keys().copied().collect();
        self.expect(lost.is_empty(), || format!("bodies that are referred to are missing: {lost:?}"));
        for row in self.snapshot.table(STAGED)?.iter()? {
            let body = row?.0.value();
            wanted += table.range((body, 0)..=(body, u32::MAX))?.count() as u64;
        }
        let there = table.len()?;
        self.expect(there == wanted, || format!("{there} pieces are there, {wanted} belong to a body"));
        Ok(())
    }
}
