//! All rows that can still be read.
//!
//! Receives a damaged file; hands on rows in memory, and where pieces of bodies lie. Rows found from the root, every page
//! with the right checksum, are certain. Where a table has damage, rows found by searching the file are taken as well, when
//! their seals fit and no other table says that they are old. What must always hold: what the owner deleted comes back only
//! where nothing is left that knows of it; a password or a setting is never taken from a page that nobody points to, because
//! such a page may hold anything, even what a stranger has sent.

use super::super::body::BodyRow;
use super::super::facts::decode_facts;
use super::super::seal::open_seal;
use super::super::tables::*;
use super::super::{Credential, OUTBOX_NAME, QueueEntry};
use super::pages::{Known, Shape, sweep, walk};
use super::pieces::Pieces;
use super::roots::{self, Found, Tables};
use super::source::Source;
use crate::mail::message::*;
use crate::order;
use std::collections::{BTreeMap, BTreeSet};

/// The tables that salvage reads; what the others hold is made anew.
pub const SHAPES: [fn() -> Shape; 12] = [
    || Shape::of(&META.table),
    || Shape::of(&MAILBOXES.table),
    || Shape::of(&NAMES),
    || Shape::of(&MESSAGES),
    || Shape::of(&CHANGES),
    || Shape::of(&EXPUNGED),
    || Shape::of(&BODIES.table),
    || Shape::of(&PIECES),
    || Shape::of(&QUEUE.table),
    || Shape::of(&DUE),
    || Shape::of(&CREDENTIALS.table),
    || Shape::of(&SETTINGS.table),
];

/// What came of one table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Condition {
    /// Every page is as it was, so that what is not in it never was, or was deleted.
    pub whole: bool,
    /// Rows it had, when that is known.
    pub expected: Option<u64>,
    /// Rows found from the root.
    pub certain: u64,
}

/// Everything that was found.
pub struct Gathered {
    /// How the roots were found.
    pub found: Found,
    /// Of each table by its name.
    pub conditions: BTreeMap<&'static str, Condition>,
    /// The format of the file, when it is not the one that is read here.
    pub other_format: Option<u32>,
    /// The counters; `None` when they are lost.
    pub meta: Option<Meta>,
    /// Mailboxes, and whether their rows are the last ones.
    pub mailboxes: BTreeMap<MailboxId, (MailboxState, bool)>,
    /// Names of mailboxes, by their own table.
    pub names: BTreeMap<MailboxId, String>,
    /// By [`message_key`].
    pub messages: BTreeMap<u64, MessageRow>,
    /// Keys of messages that were there, as far as known, with their modseqs; read only when messages are missing.
    pub changes: BTreeSet<u128>,
    /// What is remembered of expunged messages.
    pub expunged: BTreeSet<u128>,
    /// Keys of messages that were expunged.
    pub gone: BTreeSet<u64>,
    /// Bodies.
    pub bodies: BTreeMap<BodyId, BodyRow>,
    /// Where their pieces lie.
    pub pieces: Pieces,
    /// Queue entries.
    pub queue: BTreeMap<QueueId, QueueEntry>,
    /// When queue entries are due, by their own table.
    pub due: BTreeSet<u128>,
    /// By login.
    pub credentials: BTreeMap<String, Credential>,
    /// By key.
    pub settings: BTreeMap<String, Vec<u8>>,
    /// The mailbox that shows the queue.
    pub outbox: Option<MailboxId>,
    known: Known,
    tables: Tables,
}

impl Gathered {
    /// Reads everything. `store`: the id of the store when the journal knows it.
    pub fn read(source: &Source, store: Option<u64>) -> Gathered {
        let mut known = Known::new(source);
        let (tables, found) = roots::find(source, &mut known, store);
        let mut all = Gathered {
            found,
            conditions: BTreeMap::new(),
            other_format: None,
            meta: None,
            mailboxes: BTreeMap::new(),
            names: BTreeMap::new(),
            messages: BTreeMap::new(),
            changes: BTreeSet::new(),
            expunged: BTreeSet::new(),
            gone: BTreeSet::new(),
            bodies: BTreeMap::new(),
            pieces: Pieces::default(),
            queue: BTreeMap::new(),
            due: BTreeSet::new(),
            credentials: BTreeMap::new(),
            settings: BTreeMap::new(),
            outbox: None,
            known,
            tables: Tables::new(),
        };
        all.walk_tables(source, &tables);
        all.tables = tables;
        all.sweep_rows(source);
        all.sweep_pieces(source);
        all.outbox = all.find_outbox();
        all
    }

    /// Whether a table is as it was.
    pub fn whole(&self, shape: Shape) -> bool {
        self.condition(shape).whole
    }

    /// Finds [`Gathered::outbox`]. Of a mailbox of which nothing is left but the name of Outbox it is certain only if each message
    /// in it shows one of the queue: stores of before there was an Outbox may have one of that name with mail in it.
    fn find_outbox(&self) -> Option<MailboxId> {
        let is_outbox = |state: &MailboxState| state.mailbox.special_use == Some(SpecialUse::Outbox);
        if let Some((id, _)) = self.mailboxes.iter().find(|(_, (state, _))| is_outbox(state)) {
            return Some(*id);
        }
        let (id, _) = self.names.iter().find(|(id, name)| *name == OUTBOX_NAME && !self.mailboxes.contains_key(id))?;
        let waiting = order::set(self.queue.values().map(|entry| entry.body));
        let is_derived = |id: &BodyId| self.bodies.get(id).is_some_and(|body| body.base.is_some());
        let mut rows = self.messages.range(message_key(*id, Uid(0))..=message_key(*id, Uid(u32::MAX)));
        rows.all(|(_, row)| waiting.contains(&row.body) || is_derived(&row.body)).then_some(*id)
    }

    /// What came of a table.
    pub fn condition(&self, shape: Shape) -> Condition {
        self.conditions.get(shape.name).copied().unwrap_or_default()
    }

    /// The envelopes of these bodies, as far as their facts can be read.
    pub fn envelopes(&self, source: &Source, ids: &BTreeSet<BodyId>) -> BTreeMap<BodyId, Vec<u8>> {
        let mut envelopes = BTreeMap::new();
        let shape = Shape::of(&FACTS.table);
        if let Some((Some(root), _)) = self.tables.get(shape.name) {
            walk(source, *root, shape, &mut Known::new(source), |key, value, _| {
                let id = key.try_into().map(|key| BodyId(u64::from_le_bytes(key)));
                let facts = open_seal(FACTS.tag, key, value).and_then(decode_facts);
                if let (Ok(id), Ok(facts)) = (id, facts)
                    && ids.contains(&id)
                {
                    envelopes.insert(id, facts.envelope);
                }
            });
        }
        envelopes
    }

    fn walk_table(&mut self, source: &Source, tables: &Tables, shape: Shape, take: Take) {
        let mut condition = Condition::default();
        let mut known = std::mem::replace(&mut self.known, Known::none());
        if let Some((root, rows)) = tables.get(shape.name) {
            let mut taken = 0;
            let walked = root.map(|root| {
                walk(source, root, shape, &mut known, |key, value, at| {
                    taken += u64::from(take(self, key, value, at).is_some());
                })
            });
            let damaged = walked.is_some_and(|walked| walked.damaged > 0);
            // An older state is not what the table last was.
            let whole = !damaged && taken == *rows && self.found != Found::Older;
            condition = Condition { whole, expected: Some(*rows), certain: taken };
        }
        self.known = known;
        self.conditions.insert(shape.name, condition);
    }

    fn walk_tables(&mut self, source: &Source, tables: &Tables) {
        let walks: [(Shape, Take); 12] = [
            (Shape::of(&META.table), |all, key, value, _| {
                all.other_format = Meta::decode_format(value).ok().filter(|format| *format != FORMAT);
                all.meta = Some(read_meta(key, value)?);
                Some(())
            }),
            (Shape::of(&MAILBOXES.table), |all, key, value, _| {
                let state = read_state(key, value)?;
                all.mailboxes.insert(state.mailbox.id, (state, true));
                Some(())
            }),
            (Shape::of(&NAMES), |all, key, value, _| {
                let id = MailboxId(u32::from_le_bytes(value.try_into().ok()?));
                all.names.insert(id, std::str::from_utf8(key).ok()?.to_owned());
                Some(())
            }),
            (Shape::of(&CHANGES), |all, key, _, _| {
                all.changes.insert(u128::from_le_bytes(key.try_into().ok()?));
                Some(())
            }),
            (Shape::of(&EXPUNGED), |all, key, _, _| {
                let key = u128::from_le_bytes(key.try_into().ok()?);
                all.gone.insert(changed_message(key));
                all.expunged.insert(key);
                Some(())
            }),
            (Shape::of(&MESSAGES), |all, key, value, _| {
                let (key, row) = read_row(key, value)?;
                all.messages.insert(key, row);
                Some(())
            }),
            (Shape::of(&BODIES.table), |all, key, value, _| {
                let (id, row) = read_body(key, value)?;
                all.bodies.insert(id, row);
                Some(())
            }),
            (Shape::of(&PIECES), |all, key, value, at| all.pieces.found(key, value.len(), at)),
            (Shape::of(&DUE), |all, key, _, _| {
                all.due.insert(u128::from_le_bytes(key.try_into().ok()?));
                Some(())
            }),
            (Shape::of(&QUEUE.table), |all, key, value, _| {
                let entry = read_entry(key, value)?;
                all.queue.insert(entry.id, entry);
                Some(())
            }),
            (Shape::of(&CREDENTIALS.table), |all, key, value, _| {
                let credential = decode_credential(open_seal(CREDENTIALS.tag, key, value).ok()?).ok()?;
                all.credentials.insert(std::str::from_utf8(key).ok()?.to_owned(), credential);
                Some(())
            }),
            (Shape::of(&SETTINGS.table), |all, key, value, _| {
                let value = open_seal(SETTINGS.tag, key, value).ok()?.to_vec();
                all.settings.insert(std::str::from_utf8(key).ok()?.to_owned(), value);
                Some(())
            }),
        ];
        for (shape, take) in walks {
            self.walk_table(source, tables, shape, take);
        }
    }

    /// Searches the file for rows of the tables that have damage.
    fn sweep_rows(&mut self, source: &Source) {
        let all: [(Shape, Consider); 5] = [
            (Shape::of(&META.table), Gathered::consider_meta),
            (Shape::of(&MAILBOXES.table), Gathered::consider_mailbox),
            (Shape::of(&MESSAGES), Gathered::consider_message),
            (Shape::of(&BODIES.table), Gathered::consider_body),
            (Shape::of(&QUEUE.table), Gathered::consider_entry),
        ];
        let (shapes, consider): (Vec<_>, Vec<_>) = all.into_iter().filter(|(shape, _)| !self.whole(*shape)).unzip();
        if shapes.is_empty() {
            return;
        }
        let known = std::mem::replace(&mut self.known, Known::none());
        sweep(source, &known, &shapes, |which, key, value, _| {
            if let Some(consider) = consider.get(which) {
                consider(self, key, value);
            }
        });
        self.known = known;
    }

    fn consider_meta(&mut self, key: &[u8], value: &[u8]) {
        if let Some(meta) = read_meta(key, value)
            && self.condition(Shape::of(&META.table)).certain == 0
            && self.meta.as_ref().is_none_or(|other| other.batch < meta.batch)
        {
            self.meta = Some(meta);
        }
    }

    fn consider_mailbox(&mut self, key: &[u8], value: &[u8]) {
        let Some(state) = read_state(key, value) else { return };
        let id = state.mailbox.id;
        if self.whole(Shape::of(&NAMES)) && !self.names.contains_key(&id) {
            return;
        }
        let age = |state: &MailboxState| (state.mailbox.highest_modseq, state.mailbox.uid_next);
        // In an older state, what was certain then may be outdated; otherwise it is the last word.
        let found_older = self.found == Found::Older;
        match self.mailboxes.get(&id) {
            Some((other, certain)) if (*certain && !found_older) || age(other) >= age(&state) => {}
            _ => {
                self.mailboxes.insert(id, (state, false));
            }
        }
    }

    fn consider_message(&mut self, key: &[u8], value: &[u8]) {
        let Some((key, row)) = read_row(key, value) else { return };
        let mailbox = MailboxId((key >> 32) as u32);
        let is_last = self.changes.contains(&change_key(mailbox, row.modseq, row.uid));
        let was_deleted = (self.whole(Shape::of(&CHANGES)) && !is_last)
            || (self.whole(Shape::of(&NAMES)) && !self.names.contains_key(&mailbox))
            || (self.whole(Shape::of(&BODIES.table)) && !self.bodies.contains_key(&row.body))
            || self.gone.contains(&key);
        if was_deleted {
            return;
        }
        let other = self.messages.get(&key);
        let newer = other.is_none_or(|other| is_last || other.modseq < row.modseq);
        let other_is_last =
            other.is_some_and(|other| self.changes.contains(&change_key(mailbox, other.modseq, other.uid)));
        if newer && (is_last || !other_is_last || self.found == Found::Older) {
            self.messages.insert(key, row);
        }
    }

    fn consider_body(&mut self, key: &[u8], value: &[u8]) {
        if let Some((id, row)) = read_body(key, value) {
            // But for its count of references, the row of a body never changes.
            self.bodies.entry(id).or_insert(row);
        }
    }

    fn consider_entry(&mut self, key: &[u8], value: &[u8]) {
        // What was relayed must not be relayed again: an entry counts only while it is known to be due.
        if let Some(entry) = read_entry(key, value)
            && self.due.contains(&due_key(entry.due, entry.id))
        {
            self.queue.entry(entry.id).or_insert(entry);
        }
    }

    /// Searches the file for pieces of bodies that are missing.
    fn sweep_pieces(&mut self, source: &Source) {
        self.pieces.sort();
        if self.whole(Shape::of(&PIECES)) {
            return;
        }
        let mut wanted: BTreeMap<(u64, u32), u64> = BTreeMap::new();
        for (id, row) in &self.bodies {
            for (number, range) in row.pieces() {
                if !self.pieces.has(*id, number) {
                    wanted.insert((id.0, number), range.end - range.start);
                }
            }
        }
        let pieces = &mut self.pieces;
        sweep(source, &self.known, &[Shape::of(&PIECES)], |_, key, value, at| {
            pieces.consider(&wanted, key, value.len() as u64, at);
        });
        self.pieces.sort();
    }
}

/// Looks at what a search found.
type Consider = fn(&mut Gathered, &[u8], &[u8]);
/// No counter comes near it in a thousand years. A row that has more was made by somebody, to make sums overflow.
const NUMBER_MAX: u64 = 1 << 56;
/// Longer than any message: they are counted together.
const SIZE_MAX: u64 = 1 << 32;
/// No store has had so many mailboxes.
const MAILBOX_MAX: u32 = 1 << 30;

/// Takes a certain row; `None` when it cannot be read.
type Take = fn(&mut Gathered, &[u8], &[u8], u64) -> Option<()>;

/// The [`message_key`] in a [`change_key`].
pub fn changed_message(key: u128) -> u64 {
    message_key(MailboxId((key >> 96) as u32), key_uid(key as u64))
}

/// The counters of the store, of this format.
pub fn read_meta(key: &[u8], value: &[u8]) -> Option<Meta> {
    let meta = Meta::decode(open_seal(META.tag, key, value).ok()?).ok()?;
    let fits = meta.batch.max(meta.body).max(meta.queue) < NUMBER_MAX && meta.mailbox < MAILBOX_MAX;
    (fits && key == [0]).then_some(meta)
}

fn read_state(key: &[u8], value: &[u8]) -> Option<MailboxState> {
    let id = MailboxId(u32::from_le_bytes(key.try_into().ok()?));
    let state = MailboxState::decode(id, open_seal(MAILBOXES.tag, key, value).ok()?).ok()?;
    let Mailbox { highest_modseq, expunged_floor, bytes, .. } = &state.mailbox;
    let fits = highest_modseq.0.max(expunged_floor.0).max(*bytes) < NUMBER_MAX && id.0 < MAILBOX_MAX;
    fits.then_some(state)
}

fn read_row(key: &[u8], value: &[u8]) -> Option<(u64, MessageRow)> {
    // Before anything that would log damage: most of what a search finds is none.
    open_seal(MESSAGES_TAG, key, value).ok()?;
    let key = u64::from_le_bytes(key.try_into().ok()?);
    let row = read_message(key, value.try_into().ok()?).ok()?;
    let fits = row.modseq.0.max(row.body.0) < NUMBER_MAX && row.bytes < SIZE_MAX && key >> 32 < u64::from(MAILBOX_MAX);
    fits.then_some((key, row))
}

fn read_body(key: &[u8], value: &[u8]) -> Option<(BodyId, BodyRow)> {
    let row = BodyRow::decode(open_seal(BODIES.tag, key, value).ok()?).ok()?;
    let id = BodyId(u64::from_le_bytes(key.try_into().ok()?));
    (id.0.max(row.thread.0) < NUMBER_MAX && row.bytes < SIZE_MAX).then_some((id, row))
}

fn read_entry(key: &[u8], value: &[u8]) -> Option<QueueEntry> {
    let id = QueueId(u64::from_le_bytes(key.try_into().ok()?));
    let entry = decode_queue_entry(id, open_seal(QUEUE.tag, key, value).ok()?).ok()?;
    (id.0.max(entry.body.0) < NUMBER_MAX).then_some(entry)
}
