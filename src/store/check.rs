//! Whether the tables agree with each other: for tests after every walk, and for an owner who doubts.
//!
//! Receives a snapshot; hands on sentences about what is wrong. It repairs nothing. [`Snapshot::check`] reads every row and
//! opens every seal, but reads no body; [`Snapshot::check_body`] reads one body, a chunk at a time.

use super::body::BodyRow;
use super::decide::OUTBOX_NAME;
use super::facts::decode_facts;
use super::metadata::annotated_mailbox;
use super::pieces::PAGE_PIECE_BYTES;
use super::pieces::Pieces;
use super::snapshot::Snapshot;
use super::tables::*;
use super::{QueueEntry, Trouble};
use crate::mail::message::*;
use redb::{ReadableTable, ReadableTableMetadata};
use std::collections::HashMap;

/// Findings after which the search ends: more of them help nobody.
const FINDINGS_MAX: usize = 20;

impl Snapshot {
    /// Compares all tables with each other and opens every seal. Takes as long as reading all rows; returns at most 20
    /// findings, none when the store is sound.
    pub fn check(&self) -> Result<Vec<String>, Trouble> {
        let (meta, outbox) = (self.meta()?, self.mailbox_named(OUTBOX_NAME)?.map(|mailbox| mailbox.id));
        let mut check = Check { snapshot: self, meta, outbox, findings: Vec::new(), refs: HashMap::new() };
        check.mailboxes()?;
        check.queue()?;
        check.derived_bodies()?;
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
            let row = self.body_row(body, BodyRow::decode)?;
            let mut stored = Pieces::new(self.pieces_table()?, body, &row);
            let mut crc = crc32fast::Hasher::new();
            let (mut bytes, mut at) = (0, 0);
            let (mut inflated, mut compressed) = (Vec::new(), Vec::new());
            for (number, chunk) in row.chunks.iter().enumerate() {
                let next = at + u64::from(chunk.stored);
                inflated.clear();
                compressed.clear();
                stored.read(at..next, &mut compressed)?;
                self.inflate((body, number), chunk, &compressed, &mut inflated)?;
                if chunk.may_lie() && !chunk.is_stored_as(&compressed) {
                    return Ok(false);
                }
                crc.update(&inflated);
                bytes += inflated.len() as u64;
                at = next;
            }
            // What a derived body ends with is read as a body of its own.
            let wanted = if row.base.is_some() { row.own_bytes() } else { row.bytes };
            Ok((bytes, crc.finalize()) == (wanted, row.crc))
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
    /// The mailbox that shows the queue.
    outbox: Option<MailboxId>,
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
            let special_use = state.mailbox.special_use;
            let others = states.iter().filter(|other| other.mailbox.special_use == special_use).count();
            self.expect(special_use.is_none() || others == 1, || {
                format!("not only mailbox {name:?} is {special_use:?}")
            });
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
        let mut expunged = 0;
        for row in self.snapshot.table(EXPUNGED)?.range(remembered)? {
            let key = row?.0.value();
            expunged += 1;
            let (modseq, uid) = (change_modseq(key), key_uid(key as u64));
            let within = modseq > told.expunged_floor && modseq <= told.highest_modseq && uid < told.uid_next;
            let sound = within && messages.get(message_key(told.id, uid))?.is_none();
            self.expect(sound, || format!("an expunge of {:?} cannot have happened: {uid:?} at {modseq:?}", told.name));
        }
        let remembered = state.expunged;
        self.expect(expunged == remembered, || {
            format!("{remembered} expunges of {:?} are counted, {expunged} are there", told.name)
        });
        Ok(())
    }

    fn queue(&mut self) -> Result<(), Trouble> {
        let due = self.snapshot.table(DUE)?;
        let (mut waiting, mut entries) = (0, 0);
        for row in self.snapshot.table(QUEUE.table)?.iter()? {
            let (id, bytes) = row?;
            let id = id.value();
            let entry = QUEUE.decode(&id, bytes.value(), |row| decode_queue_entry(QueueId(id), row));
            let Some(entry) = self.found(entry)? else { continue };
            self.refer(entry.body, entry.bytes);
            self.shown(&entry)?;
            entries += 1;
            waiting += u64::from(!entry.held);
            let found = due.get(due_key(entry.due, entry.id))?.is_some();
            self.expect(found != entry.held, || format!("queue entry {id} is held and due, or neither"));
            self.expect(id < self.meta.queue, || format!("queue entry {id} has an id that would be given again"));
        }
        let there = due.len()?;
        self.expect(there == waiting, || format!("{waiting} queue entries wait, {there} are due"));
        let outbox = self.outbox.map(|id| self.snapshot.mailbox(id)).transpose()?.flatten();
        let is_ours = outbox.as_ref().is_some_and(|outbox| outbox.special_use == Some(SpecialUse::Outbox));
        self.expect(is_ours, || "there is no Outbox".into());
        let messages = outbox.map_or(0, |outbox| outbox.messages);
        self.expect(messages == entries, || format!("{entries} queue entries are there, Outbox shows {messages}"));
        Ok(())
    }

    /// Outbox shows the entry, with its own body or with one that ends with it.
    fn shown(&mut self, entry: &QueueEntry) -> Result<(), Trouble> {
        let row = match (self.outbox, entry.outbox) {
            (Some(outbox), Some(uid)) => self.snapshot.message(outbox, uid).map(|row| row.map(|row| row.body)),
            _ => Ok(None),
        };
        let body = self.found(row)?.flatten();
        let base = match body.filter(|body| *body != entry.body) {
            Some(body) => {
                self.found(self.snapshot.body_row(body, |row| BodyRow::decode(row).map(|row| row.base)))?.flatten()
            }
            None => body,
        };
        let (id, uid) = (entry.id.0, entry.outbox);
        self.expect(base == Some(entry.body), || format!("queue entry {id} is not shown by {uid:?} of Outbox"));
        Ok(())
    }

    /// Bodies that end with another: it is there, is as long as it must be, and is older.
    fn derived_bodies(&mut self) -> Result<(), Trouble> {
        let bodies = self.snapshot.table(BODIES.table)?;
        for row in bodies.iter()? {
            let (id, bytes) = row?;
            let id = id.value();
            // A row that cannot be read is found with the others.
            let Ok(BodyRow { bytes, base: Some(base), chunks, .. }) =
                BODIES.decode(&id, bytes.value(), BodyRow::decode)
            else {
                continue;
            };
            let own: u64 = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
            self.refer(base, bytes.saturating_sub(own));
            let is_plain = BODIES
                .get(&bodies, &base.0, BodyRow::decode)
                .is_ok_and(|row| row.is_some_and(|row| row.base.is_none()));
            self.expect(is_plain && base.0 < id && own > 0, || {
                format!("body {id} ends with body {}, which cannot be", base.0)
            });
        }
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
            // A derived body is longer than its chunks by what it ends with, see above.
            let size = if row.base.is_some() { row.bytes } else { row.own_bytes() };
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
            let sound =
                index.is_some() && own.is_none_or(|own| row.base.is_some() || row.thread_keys.first() == Some(&own));
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
        let mailboxes = self.snapshot.table(MAILBOXES.table)?;
        for row in self.snapshot.table(SETTINGS.table)?.iter()? {
            let (key, bytes) = row?;
            let key = key.value();
            let read = SETTINGS.decode(&key, bytes.value(), |_| Ok(()));
            self.found(read)?;
            if let Some(mailbox) = annotated_mailbox(key) {
                let there = mailboxes.get(mailbox.0)?.is_some();
                self.expect(there, || format!("{key:?} annotates a mailbox that is not there"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::apply::Tables;
    use super::super::facts::encode_facts;
    use super::super::open::{self, begin};
    use super::super::*;
    use super::*;
    use crate::mail::index::{Indexer, MessageIdHash};
    use crate::wire::address::{Address, Domain, ReversePath};
    use smol::future::block_on;

    fn options() -> Options {
        Options { ring_bytes: 64 << 10, ..Options::new("") }
    }

    /// A closed store with a row in every table: three messages and one expunged, a copy, a queue entry.
    fn fixture() -> MemoryDisk {
        let disk = MemoryDisk::new();
        let store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
        let apply = |op| block_on(store.apply(op)).expect("applied");
        let body = |id: &str| {
            let text = format!("Message-ID: <{id}@example>\r\nReferences: <root@example>\r\n\r\nsome words {id}\r\n");
            let (mut writer, mut indexer) = (store.body_writer(), Indexer::new());
            indexer.push(text.as_bytes());
            block_on(writer.write(text.as_bytes())).expect("taken in");
            block_on(writer.finish(indexer.finish())).expect("a body")
        };
        let now = Timestamp(5);
        for id in ["a", "b", "c"] {
            let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
            apply(Op::Deliver(Deliver { body: body(id), targets, internal_date: now, now }));
        }
        apply(Op::Copy(Copy { from: INBOX, uids: vec![Uid(1)], to: MailboxId(2), remove: false, now }));
        let which = Expungeable::These(vec![Uid(3)]);
        apply(Op::Expunge(Expunge { mailbox: INBOX, which }));
        let address = Address { local: "x".into(), domain: Domain::new("far.example") };
        let outgoing = vec![Outgoing {
            reverse_path: ReversePath::Null,
            parameters: Default::default(),
            recipients: vec![address.into()],
            signatures: Vec::new(),
            not_before: now,
        }];
        apply(Op::Enqueue(Enqueue { body: body("d"), outgoing, copies: Vec::new(), sent: None, now }));
        let outcomes =
            vec![(Address { local: "x".into(), domain: Domain::new("far.example") }, Outcome::Deferred("451".into()))];
        let (next_due, notice, delay_told) = (Timestamp(9), None, false);
        let (file, forward) = (Vec::new(), Vec::new());
        let entry = QueueId(1);
        apply(Op::Settle(Settle { entry, outcomes, next_due, file, forward, notice, delay_told, now }));
        store.close().expect("closed");
        disk
    }

    /// What is found once somebody has changed the tables, rightly sealed.
    fn findings(disk: &MemoryDisk, change: &dyn Fn(&mut Tables<'_>)) -> Vec<String> {
        let disk = disk.copy();
        let opened = open::open(&disk, &options()).expect("opens");
        let txn = begin(&opened.database, redb::Durability::Immediate).expect("a transaction");
        change(&mut Tables::open(&txn).expect("tables"));
        txn.commit().expect("committed");
        opened.database.close().expect("closed");
        inspect(Arc::new(disk), |_, _| {}).expect("looked at").findings
    }

    type Change = (&'static str, &'static dyn Fn(&mut Tables<'_>));

    fn edit_body(tables: &mut Tables<'_>, id: u64, edit: impl Fn(&mut BodyRow)) {
        let mut row = BODIES.get(&tables.bodies, &1, BodyRow::decode).expect("readable").expect("there");
        edit(&mut row);
        BODIES.insert(&mut tables.bodies, &id, row.encode()).expect("changed");
    }

    fn edit_message(tables: &mut Tables<'_>, uid: u32, edit: impl Fn(&mut MessageRow)) {
        let mut row = tables.message(INBOX, Uid(1)).expect("readable").expect("there");
        edit(&mut row);
        let key = message_key(INBOX, Uid(uid));
        tables.messages.insert(key, &encode_message(key, &row)).expect("changed");
    }

    fn edit_mailbox(tables: &mut Tables<'_>, edit: impl Fn(&mut Mailbox)) {
        let mut state = tables.mailbox(MailboxId(4)).expect("there");
        edit(&mut state.mailbox);
        tables.save(&state).expect("changed");
    }

    fn edit_entry(tables: &mut Tables<'_>, id: u64, edit: impl Fn(&mut QueueEntry)) {
        let mut entry = tables.queue_entry(QueueId(1)).expect("readable").expect("there");
        edit(&mut entry);
        QUEUE.insert(tables.queue.write().expect("opened"), &id, encode_queue_entry(&entry)).expect("changed");
    }

    fn edit_facts(tables: &mut Tables<'_>, id: u64, own: u64) {
        let mut index = FACTS.get(&tables.facts, &1, decode_facts).expect("readable").expect("there");
        index.message_id = Some(MessageIdHash(own));
        FACTS.insert(&mut tables.facts, &id, encode_facts(&index)).expect("changed");
    }

    /// Of a table of keys: the first goes.
    fn drop_first<K: redb::Key + 'static, V: redb::Value + 'static>(table: &mut redb::Table<'_, K, V>) {
        assert!(table.pop_first().expect("readable").is_some(), "the fixture has a row");
    }

    const CHANGES_FOUND: &[Change] = &[
        ("a name goes", &|t| drop_first(&mut t.names)),
        ("a name comes", &|t| drop(t.names.insert("X", 4).expect("changed"))),
        ("a name leads elsewhere", &|t| drop(t.names.insert("Junk", 5).expect("changed"))),
        ("a mailbox goes", &|t| drop(t.mailboxes.remove(4).expect("changed"))),
        ("a mailbox comes", &|t| edit_mailbox(t, |mailbox| mailbox.id = MailboxId(7 + 50))),
        ("a mailbox counts wrongly", &|t| edit_mailbox(t, |mailbox| mailbox.unseen = 1)),
        ("two mailboxes have one use", &|t| edit_mailbox(t, |mailbox| mailbox.special_use = Some(SpecialUse::Sent))),
        ("a message goes", &|t| drop_first(&mut t.messages)),
        ("a message comes", &|t| edit_message(t, 3, |_| {})),
        ("a message is seen", &|t| edit_message(t, 1, |row| row.flags = SystemFlags::SEEN)),
        ("a message has a keyword", &|t| edit_message(t, 1, |row| row.keywords = 1)),
        ("a message shows another body", &|t| edit_message(t, 1, |row| row.body = BodyId(2))),
        ("a change goes", &|t| drop_first(&mut t.changes)),
        ("a change comes", &|t| drop(t.changes.insert(change_key(INBOX, ModSeq(2), Uid(2)), ()).expect("changed"))),
        ("an expunge goes", &|t| drop_first(t.expunged.write().expect("opened"))),
        ("an expunge comes", &|t| {
            drop(t.expunged.write().expect("opened").insert(change_key(INBOX, ModSeq(2), Uid(3)), ()).expect("changed"))
        }),
        ("an expunge of no mailbox comes instead", &|t| {
            drop_first(t.expunged.write().expect("opened"));
            t.expunged
                .write()
                .expect("opened")
                .insert(change_key(MailboxId(99), ModSeq(2), Uid(3)), ())
                .expect("changed");
        }),
        ("a change of no mailbox comes instead", &|t| {
            drop_first(&mut t.changes);
            t.changes.insert(change_key(MailboxId(99), ModSeq(2), Uid(3)), ()).expect("changed");
        }),
        ("a body goes", &|t| drop_first(&mut t.bodies)),
        ("a body comes", &|t| edit_body(t, 3, |_| {})),
        ("a body counts wrongly", &|t| edit_body(t, 1, |row| row.refs = 7)),
        ("a body has another checksum", &|t| edit_body(t, 1, |row| row.crc ^= 1)),
        ("a body is in another thread", &|t| edit_body(t, 1, |row| row.thread = ThreadId(2))),
        ("facts go", &|t| drop_first(&mut t.facts)),
        ("facts come", &|t| edit_facts(t, 3, 7)),
        ("facts change", &|t| edit_facts(t, 1, 7)),
        ("a signature of no body comes", &|t| SIGNATURES.insert(&mut t.signatures, &3, vec![1]).expect("changed")),
        ("a thread goes", &|t| drop_first(&mut t.threads)),
        ("a thread comes", &|t| drop(t.threads.insert((1, 1), &encode_thread((1, 1), ThreadId(1))).expect("changed"))),
        ("a thread changes", &|t| {
            let key = t.threads.pop_first().expect("readable").expect("there").0.value();
            t.threads.insert(key, &encode_thread(key, ThreadId(9))).expect("changed");
        }),
        ("a piece goes", &|t| drop_first(&mut t.pieces)),
        ("a piece comes", &|t| drop(t.pieces.insert((3, 0), &[1u8][..]).expect("changed"))),
        ("a piece changes", &|t| {
            let mut piece = t.pieces.get((1, 0)).expect("readable").expect("there").value().to_vec();
            piece[9] ^= 1;
            t.pieces.insert((1, 0), &piece[..]).expect("changed");
        }),
        ("an entry goes", &|t| drop_first(t.queue.write().expect("opened"))),
        ("an entry comes", &|t| edit_entry(t, 2, |_| {})),
        ("an entry shows another body", &|t| edit_entry(t, 1, |entry| entry.body = BodyId(1))),
        ("an entry is not shown", &|t| edit_entry(t, 1, |entry| entry.outbox = None)),
        ("an entry is shown by another message", &|t| edit_entry(t, 1, |entry| entry.outbox = Some(Uid(7)))),
        ("a body ends with another", &|t| edit_body(t, 4, |row| row.base = Some(BodyId(1)))),
        ("an entry is held", &|t| edit_entry(t, 1, |entry| entry.held = true)),
        ("what is due goes", &|t| drop_first(t.due.write().expect("opened"))),
        ("what is due comes", &|t| {
            drop(t.due.write().expect("opened").insert(due_key(Timestamp(1), QueueId(1)), ()).expect("changed"))
        }),
        ("numbers are given again", &|t| {
            let meta = META.get(&t.meta, &0, Meta::decode).expect("readable").expect("there");
            t.save_meta(&Meta { body: 2, ..meta }).expect("changed");
        }),
    ];

    #[test]
    fn whatever_is_lost_added_or_changed_is_found() {
        let disk = fixture();
        assert_eq!(findings(&disk, &|_| {}), Vec::<String>::new());
        let unfound = CHANGES_FOUND.iter().filter(|(_, change)| findings(&disk, change).is_empty());
        assert_eq!(unfound.map(|(what, _)| *what).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
