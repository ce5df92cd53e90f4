//! What was gathered becomes a new store.
//!
//! Receives rows; hands on a store on another disk and what was lost. Everything is written through the ordinary steps, so
//! that counters, references, names and times agree by construction; in transactions of bounded size. What must always
//! hold: ids, UIDs and modseqs stay as they were; a number that may have been given is not given again; a message is there
//! whole or not at all.

use super::super::apply::Tables;
use super::super::body::{BodyRow, Deflaters};
use super::super::decide::restore_outbox;
use super::super::disk::{Disk, Part};
use super::super::facts::encode_facts;
use super::super::metadata::annotated_mailbox;
use super::super::open::{begin, open_redb, random_id};
use super::super::step::{BodyRows, Step};
use super::super::tables::*;
use super::super::{Options, Trouble};
use super::gather::Gathered;
use super::pages::Shape;
use super::pieces::read_chunks;
use super::source::Source;
use super::{Lost, Partial};
use crate::limits::{SALVAGE_MODSEQS_SKIPPED, SALVAGE_TRANSACTION_STEPS, SALVAGE_UIDS_SKIPPED};
use crate::mail::index::BodyIndex;
use crate::mail::message::*;
use crate::order;
use redb::{Database, Durability, ReadableTable};
use std::collections::{BTreeMap, BTreeSet};

/// The new store while it is written.
pub struct Rebuild<'a> {
    /// The damaged file.
    pub source: &'a Source,
    /// What is left of the old one.
    pub gathered: Gathered,
    database: Database,
    meta: Meta,
    /// Bodies that are known of and cannot be read whole. They stand in the new store as long as it is written, empty, so
    /// that the journal may still move and delete what refers to them.
    broken: BTreeSet<BodyId>,
    /// Mailboxes that lost something, or may have: phones have to compare all they know of them.
    pub doubted: BTreeSet<MailboxId>,
    /// For bodies that are cut anew.
    pub deflaters: Deflaters,
    /// Bodies that end with another, as Outbox shows them: they are not written, but made anew.
    pub derived: BTreeSet<BodyId>,
    /// Bodies that the journal brings.
    pub in_journal: BTreeSet<BodyId>,
    /// Queue entries that the journal takes out.
    pub unqueued: BTreeSet<QueueId>,
    /// What cannot be had again.
    pub lost: Vec<Lost>,
    /// What the owner should know besides.
    pub notes: Vec<String>,
    uid_validity: u32,
}

impl<'a> Rebuild<'a> {
    /// Begins a store on that disk, without a name.
    pub fn new(source: &'a Source, gathered: Gathered, disk: &dyn Disk, now_seconds: u64) -> Result<Self, Trouble> {
        let options = Options::new("");
        let database = open_redb(disk.draft(Part::Database, 0)?, &options)?;
        let found = gathered.meta.clone().unwrap_or_default();
        // What is not known of the counters is read off what is there.
        let highest = |numbers: &mut dyn Iterator<Item = u64>| numbers.max().map_or(1, |highest| highest + 1);
        let skip = if gathered.meta.is_some() { 0 } else { u64::from(SALVAGE_UIDS_SKIPPED) };
        let bodies = highest(&mut gathered.bodies.keys().map(|id| id.0));
        let queue = highest(&mut gathered.queue.keys().map(|id| id.0));
        let mailboxes = highest(&mut gathered.mailboxes.keys().map(|id| u64::from(id.0)));
        let given = gathered.mailboxes.values().map(|(state, _)| state.mailbox.uid_validity.0).max().unwrap_or(0);
        let now = u32::try_from(now_seconds).unwrap_or(u32::MAX / 2);
        let meta = Meta {
            format: FORMAT,
            store: random_id()?,
            body: found.body.max(bodies + skip),
            queue: found.queue.max(queue + skip),
            mailbox: found.mailbox.max(u32::try_from(mailboxes).unwrap_or(u32::MAX)),
            uid_validity: found.uid_validity.max(given.saturating_add(1)),
            latest_time: found.latest_time,
            closed: true,
            ..Meta::default()
        };
        let uid_validity = meta.uid_validity.max(now);
        let derived = order::set(gathered.bodies.iter().filter(|(_, row)| row.base.is_some()).map(|(id, _)| *id));
        Ok(Rebuild {
            source,
            gathered,
            database,
            meta,
            uid_validity,
            derived,
            broken: BTreeSet::new(),
            doubted: BTreeSet::new(),
            deflaters: Deflaters::default(),
            in_journal: BTreeSet::new(),
            unqueued: BTreeSet::new(),
            lost: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Changes the new store in one transaction.
    pub fn write<T>(
        &mut self,
        change: impl FnOnce(&mut Rebuild<'a>, &mut Tables<'_>, &mut Meta) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let mut meta = self.meta.clone();
        let txn = begin(&self.database, Durability::Immediate)?;
        let mut tables = Tables::open(&txn)?;
        let result = change(self, &mut tables, &mut meta)?;
        tables.save_meta(&meta)?;
        drop(tables);
        txn.commit()?;
        self.meta = meta;
        Ok(result)
    }

    /// Applies steps, a bounded number in each transaction.
    fn apply_all(&mut self, steps: impl Iterator<Item = Step>) -> Result<(), Trouble> {
        let mut steps = steps.peekable();
        while steps.peek().is_some() {
            self.write(|_, tables, meta| {
                for step in steps.by_ref().take(SALVAGE_TRANSACTION_STEPS) {
                    tables.apply(&step, meta, &mut Vec::new())?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A UIDVALIDITY that no mailbox has had.
    pub fn next_uid_validity(&mut self) -> UidValidity {
        let next = UidValidity(self.uid_validity);
        self.uid_validity = self.uid_validity.saturating_add(1);
        next
    }

    /// Mailboxes as they were; those that are only known by their names or messages with a new UIDVALIDITY.
    pub fn write_mailboxes(&mut self) -> Result<(), Trouble> {
        let named = self.gathered.names.keys().copied();
        let with_mail = self.gathered.messages.keys().map(|key| MailboxId((key >> 32) as u32));
        let mut ids = order::set(named.chain(with_mail));
        ids.extend(self.gathered.mailboxes.keys());
        ids.insert(INBOX);
        let mut steps = Vec::new();
        let mut taken = BTreeSet::new();
        for id in ids {
            let known = self.gathered.mailboxes.get(&id).map(|(state, _)| state.mailbox.clone());
            let named = self.gathered.names.get(&id).cloned().or(known.as_ref().map(|known| known.name.clone()));
            let name = self.free_name(id, named, &mut taken);
            let is_known = known.is_some();
            let mailbox = known.unwrap_or_else(|| Mailbox::new(id, "", self.next_uid_validity()));
            if !is_known {
                self.doubted.insert(id);
                self.lost.push(Lost::other(format!(
                    "what was known of mailbox {name:?} (subscription, names of keywords, UIDVALIDITY); devices will read \
                     it anew"
                )));
            }
            let Mailbox { uid_validity, mut special_use, subscribed, keywords, .. } = mailbox;
            if self.gathered.outbox == Some(id) {
                special_use = Some(SpecialUse::Outbox);
            }
            steps.push(Step::Create { id, name, uid_validity, special_use, subscribed });
            steps.extend(keywords.into_iter().map(|name| Step::Keyword { mailbox: id, name }));
        }
        self.apply_all(steps.into_iter())
    }

    fn free_name(&self, id: MailboxId, known: Option<String>, taken: &mut BTreeSet<String>) -> String {
        let own = format!("Recovered-{}", id.0);
        let name = if id == INBOX { "INBOX".to_owned() } else { known.unwrap_or_else(|| own.clone()) };
        let free = if taken.contains(&name) || (id != INBOX && name == "INBOX") { own } else { name };
        taken.insert(free.clone());
        free
    }

    /// Lets something stand for a body that cannot be read.
    pub fn write_broken(&mut self, id: BodyId, tables: &mut Tables<'_>, meta: &mut Meta) -> Result<u64, Trouble> {
        self.broken.insert(id);
        let row = BodyRow {
            refs: 0,
            bytes: 0,
            crc: 0,
            thread: ThreadId(id.0),
            thread_keys: Vec::new(),
            first_piece: 0,
            chunks: Vec::new(),
            base: None,
        };
        let rows = rows_of(&row, &BodyIndex::default());
        tables.apply(&Step::StagedBody { id, rows }, meta, &mut Vec::new())?;
        meta.body = meta.body.max(id.0 + 1);
        Ok(1)
    }

    /// Everything that refers to bodies and mailboxes, and what stands alone.
    pub fn write_rows(&mut self) -> Result<(), Trouble> {
        let count = |state: &MailboxState| u32::try_from(state.mailbox.keywords.len()).unwrap_or(u32::MAX);
        let keywords = order::map(self.gathered.mailboxes.iter().map(|(id, (state, _))| (*id, count(state))));
        let messages: Vec<Step> = self
            .gathered
            .messages
            .iter()
            .filter(|(_, row)| !self.derived.contains(&row.body))
            .map(|(key, row)| {
                let mailbox = MailboxId((key >> 32) as u32);
                let named = keywords.get(&mailbox).map_or(0, |count| known_bits(*count));
                Step::Place { mailbox, row: MessageRow { keywords: row.keywords & named, ..row.clone() } }
            })
            .collect();
        self.apply_all(messages.into_iter())?;
        let queue: Vec<Step> = self.gathered.queue.values().cloned().map(Step::Queue).collect();
        let credentials = self.gathered.credentials.values().cloned().map(Step::SetCredential);
        let names = self.gathered.names.keys().chain(self.gathered.mailboxes.keys()).copied();
        let with_mail = self.gathered.messages.keys().map(|key| MailboxId((key >> 32) as u32));
        let mailboxes = order::set(names.chain(with_mail).chain([INBOX]));
        // Annotations of a mailbox that is lost would become those of another that gets its id.
        let belongs = |key: &str| annotated_mailbox(key).is_none_or(|mailbox| mailboxes.contains(&mailbox));
        let settings = self.gathered.settings.iter().filter(|(key, _)| belongs(key));
        let settings = settings.map(|(key, value)| Step::Setting { key: key.clone(), value: Some(value.clone()) });
        let rest: Vec<Step> = queue.into_iter().chain(credentials).chain(settings).collect();
        self.apply_all(rest.into_iter())?;
        self.write_counters()
    }

    /// What mailboxes remember beyond their messages, as it was before the journal.
    fn write_counters(&mut self) -> Result<(), Trouble> {
        let remembered = self.gathered.whole(Shape::of(&EXPUNGED));
        if !remembered {
            self.doubted.extend(self.gathered.mailboxes.keys());
        }
        self.write(|rebuild, tables, _| {
            for (id, (old, is_certain)) in &rebuild.gathered.mailboxes {
                let mut state = tables.mailbox(*id)?;
                let mailbox = &mut state.mailbox;
                mailbox.uid_next = mailbox.uid_next.max(old.mailbox.uid_next);
                mailbox.highest_modseq = mailbox.highest_modseq.max(old.mailbox.highest_modseq);
                mailbox.expunged_floor = old.mailbox.expunged_floor;
                if !is_certain {
                    rebuild.doubted.insert(*id);
                }
                tables.save(&state)?;
            }
            if !remembered {
                return Ok(());
            }
            let mut counts: BTreeMap<MailboxId, u32> = BTreeMap::new();
            for key in &rebuild.gathered.expunged {
                let id = MailboxId((key >> 96) as u32);
                if rebuild.gathered.mailboxes.contains_key(&id) {
                    tables.expunged.write()?.insert(*key, ())?;
                    *counts.entry(id).or_default() += 1;
                }
            }
            for (id, expunged) in counts {
                let state = MailboxState { expunged, ..tables.mailbox(id)? };
                tables.save(&state)?;
            }
            Ok(())
        })
    }

    /// Takes out what refers to bodies that cannot be read, and says what it was. What can be read of them goes to `partial`.
    pub fn drop_broken(&mut self, partial: &mut dyn FnMut(&Partial) -> Result<(), Trouble>) -> Result<(), Trouble> {
        let broken = std::mem::take(&mut self.broken);
        if broken.is_empty() {
            return Ok(());
        }
        let envelopes = self.gathered.envelopes(self.source, &broken);
        self.write(|rebuild, tables, meta| {
            let mut places: BTreeMap<MailboxId, Vec<(Uid, BodyId)>> = BTreeMap::new();
            for row in tables.messages.iter()? {
                let (key, bytes) = row?;
                let row = read_message(key.value(), bytes.value())?;
                if broken.contains(&row.body) {
                    let id = MailboxId((key.value() >> 32) as u32);
                    places.entry(id).or_default().push((row.uid, row.body));
                }
            }
            for (id, messages) in places {
                let mailbox = tables.mailbox(id)?.mailbox;
                for (uid, body) in &messages {
                    let envelope = envelopes.get(body).cloned().unwrap_or_default();
                    let readable = rebuild.partial(&mailbox, *uid, *body, envelope);
                    if !readable.bytes.is_empty() {
                        partial(&readable)?;
                    }
                    rebuild.lost.push(Lost::message(id, *uid, &mailbox.name, readable.describe()));
                }
                let uids = messages.into_iter().map(|(uid, _)| uid).collect();
                let step = Step::Expunge { mailbox: id, modseq: ModSeq(mailbox.highest_modseq.0 + 1), uids };
                tables.apply(&step, meta, &mut Vec::new())?;
            }
            let mut entries = Vec::new();
            for row in tables.queue.read()?.iter()? {
                let (id, bytes) = row?;
                let id = QueueId(id.value());
                let entry = QUEUE.decode(&id.0, bytes.value(), |row| decode_queue_entry(id, row))?;
                if broken.contains(&entry.body) {
                    entries.push(entry);
                }
            }
            for entry in entries {
                let to: Vec<String> = entry.recipients.iter().map(|waiting| waiting.address.to_string()).collect();
                rebuild.lost.push(Lost::other(format!("a message that waited to be sent to {}", to.join(", "))));
                tables.apply(&Step::Unqueue(entry.id), meta, &mut Vec::new())?;
            }
            Ok(())
        })
    }

    /// What can be read of a message.
    fn partial(&self, mailbox: &Mailbox, uid: Uid, id: BodyId, envelope: Vec<u8>) -> Partial {
        let mut partial =
            Partial { mailbox: mailbox.name.clone(), uid, bytes: Vec::new(), has_header: false, envelope };
        if let Some(row) = self.gathered.bodies.get(&id) {
            for (number, (_, read)) in read_chunks(self.source, &self.gathered.pieces, id, row).enumerate() {
                if let Some(read) = read {
                    partial.has_header |= number == 0;
                    partial.bytes.extend_from_slice(&read.bytes);
                }
            }
        }
        partial
    }

    /// Makes a mailbox for what lost its own, with a UIDVALIDITY that no other has had.
    pub fn make_mailbox(
        &mut self,
        id: MailboxId,
        tables: &mut Tables<'_>,
        meta: &mut Meta,
    ) -> Result<MailboxId, Trouble> {
        let name = format!("Recovered-{}", id.0);
        let uid_validity = self.next_uid_validity();
        let step = Step::Create { id, name, uid_validity, special_use: None, subscribed: true };
        tables.apply(&step, meta, &mut Vec::new())?;
        self.doubted.insert(id);
        Ok(id)
    }

    /// Moves the counters of doubted mailboxes on, so that no number is given twice, and lets devices compare all of them.
    pub fn finish(&mut self, is_certain: bool) -> Result<(), Trouble> {
        // Messages of it were left out, without a trace.
        self.doubted.extend(self.gathered.outbox.filter(|_| !self.derived.is_empty()));
        let doubted = self.doubted.clone();
        self.write(|_, tables, meta| {
            let ids = tables.mailboxes.iter()?.map(|row| row.map(|row| MailboxId(row.0.value())));
            for id in ids.collect::<Result<Vec<_>, _>>()? {
                let mut state = tables.mailbox(id)?;
                if is_certain && !doubted.contains(&id) {
                    continue;
                }
                let mailbox = &mut state.mailbox;
                mailbox.uid_next = Uid(mailbox.uid_next.0.saturating_add(SALVAGE_UIDS_SKIPPED));
                mailbox.highest_modseq.0 += SALVAGE_MODSEQS_SKIPPED;
                mailbox.expunged_floor = mailbox.highest_modseq;
                state.expunged = 0;
                let all = change_key(id, ModSeq(0), Uid(0))..=change_key(id, ModSeq(u64::MAX), Uid(u32::MAX));
                for row in tables.expunged.write()?.extract_from_if(all, |_, ()| true)? {
                    row?;
                }
                tables.save(&state)?;
            }
            (meta.closed, meta.room_bytes) = (true, 0);
            Ok(())
        })
    }

    /// Lets Outbox show the queue, with numbers behind all that were given.
    pub fn show_queue(&mut self) -> Result<(), Trouble> {
        self.write(|_, tables, meta| restore_outbox(tables, meta).map(|_| ()))
    }

    /// Gives the store its name.
    pub fn publish(self, disk: &dyn Disk) -> Result<(Vec<Lost>, Vec<String>), Trouble> {
        self.database.close()?;
        disk.publish(Part::Database)?;
        Ok((self.lost, self.notes))
    }
}

/// The bits of that many keywords.
pub fn known_bits(keywords: u32) -> u64 {
    1u64.checked_shl(keywords).map_or(u64::MAX, |bit| bit - 1)
}

pub fn rows_of(row: &BodyRow, index: &BodyIndex) -> BodyRows {
    BodyRows { body: row.encode(), facts: encode_facts(index), signature: index.signature.clone() }
}
