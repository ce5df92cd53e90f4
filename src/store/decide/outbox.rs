//! Outbox: the mailbox that shows the queue, one message for each entry.
//!
//! Receives entries as they come, change and go; hands on the steps that let the mailbox follow, in the same Op. A message that
//! waits for its first attempt has the bytes that are sent. Once there is something to say, a *derived* body says it in front
//! of them, which costs a few hundred bytes whatever the message's size. A message that goes from here by the hand of the owner
//! takes its entry along. What must always hold: nothing else ever comes into the mailbox, and nothing that is damaged in it
//! keeps mail from being sent.

use super::super::body::store_plain;
use super::super::facts::{decode_facts, encode_facts};
use super::super::step::Step;
use super::super::*;
use super::*;
use crate::mail::outbox::{Waiting, encode_head};
use crate::order;
use std::collections::HashMap;

/// The name of the mailbox.
pub const OUTBOX_NAME: &str = "Outbox";
/// What may be set and cleared there; the other flags are ours.
const SETTABLE: SystemFlags = SystemFlags(SystemFlags::SEEN.0 | SystemFlags::DELETED.0);

/// The header fields by which Outbox says how an entry is; nothing when there is nothing to say.
pub fn outbox_head(entry: &QueueEntry) -> Vec<u8> {
    encode_head(&waiting(entry))
}

fn waiting(entry: &QueueEntry) -> Waiting<'_> {
    let QueueEntry { queued, due, held, recipients, .. } = entry;
    let recipients = recipients.iter().map(|one| (&one.address, one.attempts, &one.last_reply[..])).collect();
    Waiting { queued: *queued, due: *due, held: *held, recipients }
}

/// Refuses what the owner may not do with the mailbox.
pub fn refuse_outbox(mailbox: &Mailbox, why: &'static str) -> Result<(), Trouble> {
    if mailbox.special_use == Some(SpecialUse::Outbox) { Err(Trouble::Refused(why)) } else { Ok(()) }
}

/// Nothing is made below Outbox.
pub fn check_not_inside(name: &str) -> Result<(), Trouble> {
    match name.strip_prefix(OUTBOX_NAME) {
        Some(rest) if rest.starts_with('/') => Err(Trouble::Refused("there can be no mailboxes inside Outbox")),
        _ => Ok(()),
    }
}

impl Draft<'_, '_> {
    /// `None`: it is damaged, or not there.
    fn outbox(&mut self) -> Option<MailboxId> {
        let id = self.id_of(OUTBOX_NAME).ok().flatten()?;
        let is_ours = self.mailbox(id).ok()?.special_use == Some(SpecialUse::Outbox);
        is_ours.then_some(id)
    }

    /// Whether it is that one.
    pub(super) fn is_outbox(&mut self, id: MailboxId) -> Result<bool, Trouble> {
        Ok(self.mailbox(id)?.special_use == Some(SpecialUse::Outbox))
    }

    /// Shows an entry as it is now, in the place of the message that has shown it. Returns the one that does.
    pub(super) fn show(&mut self, entry: &QueueEntry, before: Option<Uid>) -> Result<Option<Uid>, Trouble> {
        let Some(outbox) = self.outbox() else { return Ok(before) };
        let Some((body, bytes)) = self.shown_body(entry) else { return Ok(before) };
        let old = before.and_then(|uid| self.tables.message(outbox, uid).ok().flatten());
        // A client that has marked it and not yet expunged it finds its mark again.
        let mut flags = old.as_ref().map_or(SystemFlags::SEEN, |row| SystemFlags(row.flags.0 & SETTABLE.0));
        if waiting(entry).is_in_trouble() {
            flags = flags.union(SystemFlags::FLAGGED);
        }
        let (uid, modseq) = (self.take_uids(outbox, 1)?, self.next_modseq(outbox)?);
        let (internal_date, saved) = (entry.queued, entry.queued);
        let form = Form::UNKNOWN;
        let row = MessageRow { uid, modseq, flags, keywords: 0, internal_date, saved, bytes, form, body };
        self.steps.push(Step::Place { mailbox: outbox, row });
        if let Some(old) = old {
            self.remove_row(outbox, old.uid)?;
        }
        Ok(Some(uid))
    }

    /// The entry goes.
    pub(super) fn unshow(&mut self, entry: &QueueEntry) -> Result<(), Trouble> {
        if let (Some(outbox), Some(uid)) = (self.outbox(), entry.outbox)
            && let Ok(Some(row)) = self.tables.message(outbox, uid)
        {
            self.remove_row(outbox, row.uid)?;
        }
        Ok(())
    }

    fn remove_row(&mut self, mailbox: MailboxId, uid: Uid) -> Result<(), Trouble> {
        let modseq = self.next_modseq(mailbox)?;
        self.steps.push(Step::Expunge { mailbox, modseq, uids: vec![uid] });
        Ok(())
    }

    /// The body by which an entry is shown, and its size; `None` when the one it is made of cannot be read.
    fn shown_body(&mut self, entry: &QueueEntry) -> Option<(BodyId, u64)> {
        let head = outbox_head(entry);
        let base = self.rows_of_body(entry.body)?;
        if head.is_empty() {
            return Some((entry.body, base.0.bytes));
        }
        let (BodyRow { bytes, thread, .. }, facts) = base;
        let facts = decode_facts(&facts).ok()?.behind(head.len() as u64);
        let mut stored = Vec::with_capacity(head.len() + 5);
        let chunk = store_plain(&head, &mut stored);
        let (id, bytes, stored_bytes) = (BodyId(self.next_body), bytes + head.len() as u64, stored.len() as u64);
        let first_piece = first_piece(self.page_used, stored_bytes);
        self.next_body += 1;
        self.page_used = used_after(self.page_used, first_piece, stored_bytes);
        let (thread_keys, chunks, base) = (Vec::new(), vec![chunk], Some(entry.body));
        let row = BodyRow { refs: 0, bytes, crc: chunk.crc, thread, thread_keys, first_piece, chunks, base };
        let rows = BodyRows { body: row.encode(), facts: encode_facts(&facts), signature: Vec::new() };
        self.steps.push(Step::Body { id, rows, stored });
        Some((id, bytes))
    }

    /// The row of a body and that of its facts, in the tables or among the steps.
    fn rows_of_body(&self, id: BodyId) -> Option<(BodyRow, Vec<u8>)> {
        let admitted = self.steps.iter().find_map(|step| match step {
            Step::Body { id: new, rows, .. } | Step::StagedBody { id: new, rows } if *new == id => Some(rows),
            _ => None,
        });
        let (row, facts) = match admitted {
            Some(rows) => (BodyRow::decode(&rows.body).ok()?, rows.facts.clone()),
            None => {
                let row = BODIES.get(&self.tables.bodies, &id.0, BodyRow::decode).ok().flatten()?;
                (row, FACTS.get(&self.tables.facts, &id.0, |facts| Ok(facts.to_vec())).ok().flatten()?)
            }
        };
        row.base.is_none().then_some((row, facts))
    }

    /// The original of a body that Outbox shows, and its size.
    fn original(&self, row: &MessageRow) -> Result<(BodyId, u64), Trouble> {
        self.tables.check_body(row.body)?;
        let shown = BODIES.get(&self.tables.bodies, &row.body.0, BodyRow::decode)?.ok_or(Trouble::NotFound)?;
        let Some(base) = shown.base else { return Ok((row.body, row.bytes)) };
        self.tables.check_body(base)?;
        Ok((base, row.bytes.saturating_sub(shown.own_bytes())))
    }

    /// COPY and MOVE out of Outbox: what arrives are the messages as they are sent. MOVE takes them back.
    pub(super) fn copy_out(&mut self, copy: Copy) -> Result<Done, Trouble> {
        let Copy { from, uids, to, remove, now } = copy;
        let uid_validity = self.mailbox(to)?.uid_validity;
        let is_drafts = self.mailbox(to)?.special_use == Some(SpecialUse::Drafts);
        let mut pairs = Vec::new();
        for uid in ascending(uids) {
            let Some(row) = self.tables.message(from, uid)? else { continue };
            let (body, bytes) = self.original(&row)?;
            let seen = SystemFlags(row.flags.0 & SystemFlags::SEEN.0);
            let system = if is_drafts { seen.union(SystemFlags::DRAFT) } else { seen };
            let target = Target { mailbox: to, flags: Flags { system, keywords: Vec::new() } };
            let placed = self.place(&target, (body, bytes, Form::UNKNOWN), row.internal_date, now)?;
            pairs.push((uid, placed.uid));
        }
        if pairs.is_empty() {
            return Ok(Done::Copied { uid_validity, pairs });
        }
        if remove {
            self.take_back(from, pairs.iter().map(|(uid, _)| *uid).collect())?;
        }
        self.steps.push(Step::Time(now));
        Ok(Done::Copied { uid_validity, pairs })
    }

    /// Messages go from Outbox by the hand of the owner, and are not sent. Returns the modseq of it.
    pub(super) fn take_back(&mut self, outbox: MailboxId, uids: Vec<Uid>) -> Result<ModSeq, Trouble> {
        let modseq = self.next_modseq(outbox)?;
        let mut entries = Vec::new();
        for row in self.tables.queue.read()?.iter()? {
            let (id, bytes) = row?;
            let id = QueueId(id.value());
            // One that cannot be read is not sent either.
            let entry = QUEUE.decode(&id.0, bytes.value(), |row| decode_queue_entry(id, row));
            entries.extend(entry.ok().filter(|entry| entry.outbox.is_some_and(|uid| uids.binary_search(&uid).is_ok())));
        }
        self.steps.push(Step::Expunge { mailbox: outbox, modseq, uids });
        for entry in entries {
            self.drop_sent_copy(&entry)?;
            self.steps.push(Step::Unqueue(entry.id));
        }
        Ok(modseq)
    }

    /// The copy that the owner kept of what has reached nobody.
    pub(super) fn drop_sent_copy(&mut self, entry: &QueueEntry) -> Result<(), Trouble> {
        if let Some((mailbox, uid)) = entry.sent_copy
            && let Ok(Some(row)) = self.tables.message(mailbox, uid)
            && row.body == entry.body
        {
            self.remove_row(mailbox, uid)?;
        }
        Ok(())
    }

    /// The flags that a row of Outbox gets when it is asked for some.
    pub(super) fn settable(row: &MessageRow, asked: SystemFlags) -> SystemFlags {
        SystemFlags(row.flags.0 & !SETTABLE.0 | asked.0 & SETTABLE.0)
    }
}

/// Makes Outbox show the queue, whatever was there before: for stores that come from an older version or out of a salvage.
/// Returns whether anything was changed.
pub fn restore_outbox(tables: &mut Tables<'_>, meta: &mut Meta) -> Result<bool, Trouble> {
    let made = make_outbox(tables, meta)?;
    let mut draft = Draft::new(tables, meta, 0);
    let Some(outbox) = draft.outbox() else { return Ok(made) };
    let mut rows: HashMap<Uid, MessageRow> = HashMap::new();
    for row in tables.messages.range(message_key(outbox, Uid(0))..=message_key(outbox, Uid(u32::MAX)))? {
        let (key, bytes) = row?;
        let row = read_message(key.value(), bytes.value());
        rows.extend(row.ok().map(|row| (row.uid, row)));
    }
    for row in tables.queue.read()?.iter()? {
        let (id, bytes) = row?;
        let id = QueueId(id.value());
        let Ok(entry) = QUEUE.decode(&id.0, bytes.value(), |row| decode_queue_entry(id, row)) else { continue };
        let shown = entry.outbox.and_then(|uid| rows.get(&uid));
        let wanted = (entry.body, outbox_head(&entry).is_empty());
        if shown.is_some_and(|row| draft.original(row).is_ok_and(|(body, _)| (body, row.body == body) == wanted)) {
            rows.remove(&entry.outbox.unwrap_or(Uid(0)));
            continue;
        }
        // What is there under its number is another's, or gone with the others below.
        let shown = draft.show(&QueueEntry { outbox: None, ..entry.clone() }, None)?;
        draft.steps.push(Step::Queue(QueueEntry { outbox: shown, ..entry }));
    }
    let mut stray: Vec<Uid> = rows.into_keys().collect();
    if !stray.is_empty() {
        order::sort(&mut stray);
        let modseq = draft.next_modseq(outbox)?;
        draft.steps.push(Step::Expunge { mailbox: outbox, modseq, uids: stray });
    }
    let steps = draft.steps;
    for step in &steps {
        tables.apply(step, meta, &mut Vec::new())?;
    }
    Ok(made || !steps.is_empty())
}

/// Whether there is an Outbox that is ours.
pub fn has_outbox(tables: &Tables<'_>) -> Result<bool, Trouble> {
    let Some(id) = tables.mailbox_id(OUTBOX_NAME)? else { return Ok(false) };
    Ok(tables.mailbox(id)?.mailbox.special_use == Some(SpecialUse::Outbox))
}

/// A mailbox of that name that the owner has made is kept under another; an empty one is taken.
fn make_outbox(tables: &mut Tables<'_>, meta: &mut Meta) -> Result<bool, Trouble> {
    let mut steps = Vec::new();
    let mut names = Vec::new();
    let mut there = None;
    for row in tables.mailboxes.iter()? {
        let (id, bytes) = row?;
        let id = MailboxId(id.value());
        let state = MAILBOXES.decode(&id.0, bytes.value(), |row| MailboxState::decode(id, row))?;
        let mailbox = state.mailbox;
        if mailbox.special_use == Some(SpecialUse::Outbox) && mailbox.name != OUTBOX_NAME {
            steps.push(Step::SpecialUse { id, special_use: None });
        }
        names.push((id, mailbox.name.clone()));
        if mailbox.name == OUTBOX_NAME {
            there = Some(mailbox);
        }
    }
    let special_use = Some(SpecialUse::Outbox);
    let inside = format!("{OUTBOX_NAME}/");
    match there {
        Some(mailbox) if mailbox.special_use == special_use => {}
        Some(mailbox) if mailbox.messages == 0 && !names.iter().any(|(_, name)| name.starts_with(&inside)) => {
            steps.push(Step::SpecialUse { id: mailbox.id, special_use });
        }
        there => {
            if there.is_some() {
                let is_taken = |name: &String| names.iter().any(|(_, other)| other == name);
                let free = (1..).map(|number| format!("{OUTBOX_NAME}-{number}")).find(|name| !is_taken(name));
                let free = free.ok_or(Trouble::Exists)?;
                log::warn!(
                    "event=mailbox-renamed from={OUTBOX_NAME:?} to={free:?} reason=\"Outbox shows what waits to be sent\""
                );
                for (id, name) in &names {
                    if name == OUTBOX_NAME || name.starts_with(&inside) {
                        let name = format!("{free}{}", name.get(OUTBOX_NAME.len()..).unwrap_or_default());
                        steps.push(Step::Rename { id: *id, name });
                    }
                }
            }
            let (id, uid_validity) = (MailboxId(meta.mailbox), UidValidity(meta.uid_validity));
            let name = OUTBOX_NAME.to_owned();
            steps.push(Step::Create { id, name, uid_validity, special_use, subscribed: true });
        }
    }
    for step in &steps {
        tables.apply(step, meta, &mut Vec::new())?;
    }
    Ok(!steps.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::super::open::{self, begin};
    use super::*;
    use crate::mail::index::Indexer;
    use crate::wire::address::{Address, Domain, ReversePath};
    use redb::Durability;
    use smol::future::block_on;

    fn options() -> Options {
        Options { ring_bytes: 64 << 10, ..Options::new("") }
    }

    fn open(disk: &MemoryDisk) -> Store {
        Store::open_on(Arc::new(disk.clone()), options()).expect("a store")
    }

    fn body(store: &Store, text: &[u8]) -> NewBody {
        let (mut writer, mut indexer) = (store.body_writer(), Indexer::new());
        indexer.push(text);
        block_on(writer.write(text)).expect("taken in");
        block_on(writer.finish(indexer.finish())).expect("a body")
    }

    fn address() -> Address {
        Address { local: "x".into(), domain: Domain::new("far.example") }
    }

    fn settle(id: u64, outcome: Outcome) -> Op {
        let (entry, outcomes, next_due) = (QueueId(id), vec![(address(), outcome)], Timestamp(9));
        let (file, forward, notice, delay_told, now) = (Vec::new(), Vec::new(), None, false, Timestamp(8));
        Op::Settle(Settle { entry, outcomes, next_due, file, forward, notice, delay_told, now })
    }

    /// Two entries, one of which was tried.
    fn fixture() -> MemoryDisk {
        let disk = MemoryDisk::new();
        let store = open(&disk);
        for _ in 0..2 {
            let outgoing = vec![Outgoing {
                reverse_path: ReversePath::Null,
                parameters: Default::default(),
                recipients: vec![address().into()],
                signatures: Vec::new(),
                not_before: Timestamp(5),
            }];
            let (copies, sent, now) = (Vec::new(), None, Timestamp(5));
            let body = body(&store, b"Subject: x\r\n\r\ntext\r\n");
            block_on(store.apply(Op::Enqueue(Enqueue { body, outgoing, copies, sent, now }))).expect("queued");
        }
        block_on(store.apply(settle(2, Outcome::Deferred("451 later".into())))).expect("settled");
        store.close().expect("closed");
        disk
    }

    fn change(disk: &MemoryDisk, change: impl FnOnce(&mut Tables<'_>)) {
        let opened = open::open(disk, &options()).expect("opens");
        let txn = begin(&opened.database, Durability::Immediate).expect("a transaction");
        change(&mut Tables::open(&txn).expect("tables"));
        txn.commit().expect("committed");
        opened.database.close().expect("closed");
    }

    fn names(store: &Store) -> Vec<String> {
        let mailboxes = block_on(store.read(Snapshot::mailboxes)).expect("readable");
        mailboxes.into_iter().map(|mailbox| mailbox.name).collect()
    }

    fn is_sound(store: &Store) -> Result<Vec<String>, Trouble> {
        block_on(store.read(Snapshot::check))
    }

    /// An owner's own mailbox of that name keeps its messages, under another name, with all that is inside.
    #[test]
    fn a_mailbox_that_has_the_name_is_kept() {
        let disk = fixture();
        change(&disk, |tables| {
            // As an older version has left it: the messages in it are the owner's.
            let id = tables.mailbox_id(OUTBOX_NAME).expect("readable").expect("there");
            let mut meta = META.get(&tables.meta, &0, Meta::decode).expect("readable").expect("there");
            let (inside, name) = (MailboxId(meta.mailbox), format!("{OUTBOX_NAME}/2025"));
            let (uid_validity, special_use, subscribed) = (UidValidity(meta.uid_validity), None, true);
            for step in [
                Step::SpecialUse { id, special_use },
                Step::Create { id: inside, name, uid_validity, special_use, subscribed },
            ] {
                tables.apply(&step, &mut meta, &mut Vec::new()).expect("applied");
            }
            tables.save_meta(&meta).expect("saved");
            for number in 1..=2 {
                let entry = tables.queue_entry(QueueId(number)).expect("readable").expect("there");
                let row = encode_queue_entry(&QueueEntry { outbox: None, ..entry });
                QUEUE.insert(tables.queue.write().expect("opened"), &number, row).expect("changed");
            }
        });
        let store = open(&disk);
        assert_eq!(is_sound(&store), Ok(Vec::new()));
        let wanted = ["Outbox", "Outbox-1", "Outbox-1/2025"].map(str::to_owned);
        assert!(wanted.iter().all(|name| names(&store).contains(name)), "{:?}", names(&store));
        let count = |name: &'static str| {
            let mailbox = block_on(store.read(move |snapshot| snapshot.mailbox_named(name))).expect("readable");
            mailbox.map(|mailbox| (mailbox.messages, mailbox.subscribed))
        };
        assert_eq!([count("Outbox"), count("Outbox-1")], [Some((2, true)); 2]);
    }

    #[test]
    fn an_empty_mailbox_that_has_the_name_is_taken() {
        let disk = MemoryDisk::new();
        open(&disk).close().expect("closed");
        let validity = |store: &Store| {
            block_on(store.read(|snapshot| snapshot.mailbox_named(OUTBOX_NAME)))
                .expect("readable")
                .map(|outbox| outbox.uid_validity)
        };
        change(&disk, |tables| {
            let id = tables.mailbox_id(OUTBOX_NAME).expect("readable").expect("there");
            let mut meta = META.get(&tables.meta, &0, Meta::decode).expect("readable").expect("there");
            tables.apply(&Step::SpecialUse { id, special_use: None }, &mut meta, &mut Vec::new()).expect("applied");
        });
        let (first, store) = (open(&disk.copy()), open(&disk));
        assert_eq!((names(&store).len(), validity(&store)), (7, validity(&first)));
        assert_eq!(is_sound(&store), Ok(Vec::new()));
    }

    /// Mail must go out, and nobody get it twice, whatever is damaged of what only shows it.
    #[test]
    fn damage_in_outbox_keeps_no_mail_from_being_sent() {
        let damages: [&dyn Fn(&mut Tables<'_>); 4] = [
            &|tables| {
                tables.names.insert(OUTBOX_NAME, 4).expect("changed");
            },
            &|tables| {
                let id = tables.mailbox_id(OUTBOX_NAME).expect("readable").expect("there");
                tables.mailboxes.insert(id.0, &b"damaged"[..]).expect("changed");
            },
            &|tables| {
                let id = tables.mailbox_id(OUTBOX_NAME).expect("readable").expect("there");
                for uid in 1..4 {
                    let key = message_key(id, Uid(uid));
                    let Some(mut row) = tables.messages.get(key).expect("readable").map(|row| *row.value()) else {
                        continue;
                    };
                    row[9] ^= 1;
                    tables.messages.insert(key, &row).expect("changed");
                }
            },
            &|tables| {
                for body in 1..4u64 {
                    tables.facts.insert(body, &b"damaged"[..]).expect("changed");
                }
            },
        ];
        for (number, damage) in damages.iter().enumerate() {
            let disk = fixture();
            change(&disk, |tables| damage(tables));
            let store = open(&disk);
            for op in [
                settle(1, Outcome::Deferred("452 full".into())),
                settle(1, Outcome::Delivered),
                Op::Hold { entry: QueueId(2) },
                Op::Release { entry: QueueId(2), due: Timestamp(77) },
                settle(2, Outcome::Failed),
            ] {
                let done = block_on(store.apply(op));
                assert_eq!(done, Ok(Done::Applied), "damage {number}");
            }
            let queue = block_on(store.read(|snapshot| snapshot.queue(QueueId(0), 9)));
            assert_eq!(queue, Ok(Vec::new()), "damage {number}");
        }
    }
}
