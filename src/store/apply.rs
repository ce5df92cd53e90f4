//! Steps into tables: the only place that changes them.
//!
//! Receives decided steps, from an Op or from the journal; hands on what to ring. It decides nothing: the same steps
//! on the same tables give the same tables. What must always hold: counters of a mailbox agree with its rows; a body
//! has as many references as rows that show it and bodies that end with it; an error leaves a transaction that must be given up.

mod bodies;
mod rare;
mod together;

use super::damage::{damaged_row, lost};
use super::metadata::{METADATA_KEYS, metadata_keys};
use super::pieces::used_after;
use super::step::Step;
use super::tables::*;
use super::{QueueEntry, Trouble, Watched};
use crate::limits::EXPUNGED_PER_MAILBOX_MAX;
use crate::mail::message::*;
use crate::order;
use crate::wire::date::Timestamp;
use rare::Rare;
use redb::{ReadableTable, Table, WriteTransaction};
use together::{cut, put};

/// Messages that may lie between two that go together, see [`cut()`].
const MESSAGES_BETWEEN_MAX: u64 = 16;
/// Modseqs, or UIDs of one modseq, that may lie between two changes that go together.
const CHANGES_BETWEEN_MAX: u128 = 16;

/// Rows that are held while they are copied: 170 KB.
const COPIED_AT_ONCE: usize = 1000;

/// All tables in one write transaction. Those that a delivery leaves alone are opened when they are needed.
pub struct Tables<'t> {
    pub meta: Table<'t, u8, &'static [u8]>,
    pub mailboxes: Table<'t, u32, &'static [u8]>,
    pub names: Table<'t, &'static str, u32>,
    pub messages: Table<'t, u64, &'static MessageBytes>,
    pub changes: Table<'t, u128, ()>,
    pub expunged: Rare<'t, u128, ()>,
    pub bodies: Table<'t, u64, &'static [u8]>,
    pub facts: Table<'t, u64, &'static [u8]>,
    pub signatures: Table<'t, u64, &'static [u8]>,
    pub threads: Table<'t, (u64, u64), &'static ThreadBytes>,
    pub pieces: Table<'t, (u64, u32), &'static [u8]>,
    pub staged: Rare<'t, u64, ()>,
    pub queue: Rare<'t, u64, &'static [u8]>,
    pub due: Rare<'t, u128, ()>,
    pub credentials: Rare<'t, &'static str, &'static [u8]>,
    pub settings: Rare<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    /// Opens the tables, making those that are not there and not rare.
    pub fn open(txn: &'t WriteTransaction) -> Result<Tables<'t>, Trouble> {
        Ok(Tables {
            meta: txn.open_table(META.table)?,
            mailboxes: txn.open_table(MAILBOXES.table)?,
            names: txn.open_table(NAMES)?,
            messages: txn.open_table(MESSAGES)?,
            changes: txn.open_table(CHANGES)?,
            expunged: Rare::new(txn, EXPUNGED),
            bodies: txn.open_table(BODIES.table)?,
            facts: txn.open_table(FACTS.table)?,
            signatures: txn.open_table(SIGNATURES.table)?,
            threads: txn.open_table(THREADS)?,
            pieces: txn.open_table(PIECES)?,
            staged: Rare::new(txn, STAGED),
            queue: Rare::new(txn, QUEUE.table),
            due: Rare::new(txn, DUE),
            credentials: Rare::new(txn, CREDENTIALS.table),
            settings: Rare::new(txn, SETTINGS.table),
        })
    }

    /// Makes the rare tables too, for who reads the store.
    pub fn make_rare(&self) -> Result<(), Trouble> {
        let Tables { expunged, staged, queue, due, credentials, settings, .. } = self;
        expunged.read()?;
        staged.read()?;
        queue.read()?;
        due.read()?;
        credentials.read()?;
        settings.read()?;
        Ok(())
    }

    /// A mailbox that must be there.
    pub fn mailbox(&self, id: MailboxId) -> Result<MailboxState, Trouble> {
        read_mailbox(&self.mailboxes, id)?.ok_or(Trouble::NotFound)
    }

    /// Keeps a mailbox.
    pub fn save(&mut self, state: &MailboxState) -> Result<(), Trouble> {
        MAILBOXES.insert(&mut self.mailboxes, &state.mailbox.id.0, state.encode())
    }

    /// The id of the mailbox of that name.
    pub fn mailbox_id(&self, name: &str) -> Result<Option<MailboxId>, Trouble> {
        let Some(id) = self.names.get(name)?.map(|id| MailboxId(id.value())) else { return Ok(None) };
        let named = read_mailbox(&self.mailboxes, id)?.is_some_and(|state| state.mailbox.name == name);
        if named { Ok(Some(id)) } else { Err(damaged_row("names", name)) }
    }

    /// One queue entry.
    pub fn queue_entry(&self, id: QueueId) -> Result<Option<QueueEntry>, Trouble> {
        QUEUE.get(self.queue.read()?, &id.0, |row| decode_queue_entry(id, row))
    }

    /// Keeps the counters.
    pub fn save_meta(&mut self, meta: &Meta) -> Result<(), Trouble> {
        META.insert(&mut self.meta, &0, meta.encode())
    }

    /// One message row.
    pub fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<MessageRow>, Trouble> {
        let key = message_key(mailbox, uid);
        self.messages.get(key)?.map(|bytes| read_message(key, bytes.value())).transpose()
    }

    /// Applies one step, moves the counters of `meta` past what it used, and notes what is to be rung.
    pub fn apply(&mut self, step: &Step, meta: &mut Meta, rung: &mut Vec<Watched>) -> Result<(), Trouble> {
        match step {
            Step::Body { id, rows, stored } => {
                meta.body = meta.body.max(id.0 + 1);
                let body = self.insert_body(*id, rows)?;
                for (number, range) in body.pieces() {
                    let piece = stored.get(range.start as usize..range.end as usize).unwrap_or_default();
                    self.pieces.insert((id.0, number), piece)?;
                }
                meta.page_used = used_after(meta.page_used, body.first_piece, body.stored_bytes());
                meta.use_room(body.stored_bytes());
                if let Some(base) = body.base {
                    self.refer(base)?;
                }
            }
            Step::StagedBody { id, rows } => {
                self.staged.write()?.remove(id.0)?;
                self.insert_body(*id, rows)?;
            }
            Step::Place { mailbox, row } => {
                self.apply_place(*mailbox, row, rung)?;
                self.refer(row.body)?;
            }
            Step::Keyword { mailbox, name } => {
                let mut state = self.mailbox(*mailbox)?;
                state.mailbox.keywords.push(name.clone());
                self.save(&state)?;
            }
            Step::Flags { mailbox, modseq, rows } => self.apply_flags(*mailbox, *modseq, rows, rung)?,
            Step::Forms { mailbox, rows } => self.apply_forms(*mailbox, rows)?,
            Step::Expunge { mailbox, modseq, uids } => {
                let bodies = self.remove_messages(*mailbox, *modseq, uids, rung)?;
                self.release(&bodies, meta)?;
            }
            Step::Copy { from, to, uids, first, modseq, saved } => {
                for body in self.copy_messages(*from, *to, uids, (*first, *modseq, *saved), rung)? {
                    self.refer(body)?;
                }
            }
            Step::Move { from, to, uids, first, modseq, saved, removed } => {
                // The references move along.
                self.copy_messages(*from, *to, uids, (*first, *modseq, *saved), rung)?;
                self.remove_messages(*from, *removed, uids, rung)?;
            }
            Step::Time(time) => meta.latest_time = meta.latest_time.max(*time),
            step => self.apply_rare(step, meta, rung)?,
        }
        Ok(())
    }

    /// The steps that are not about messages.
    fn apply_rare(&mut self, step: &Step, meta: &mut Meta, rung: &mut Vec<Watched>) -> Result<(), Trouble> {
        match step {
            Step::Create { id, name, uid_validity, special_use, subscribed } => {
                meta.mailbox = meta.mailbox.max(id.0 + 1);
                meta.uid_validity = meta.uid_validity.max(uid_validity.0.saturating_add(1));
                self.apply_create(*id, name, *uid_validity, (*special_use, *subscribed))?;
                rung.push(Watched::MailboxList);
            }
            Step::Rename { id, name } => {
                let mut state = self.mailbox(*id)?;
                // A chain of renames may have given the old name to another one already.
                let own = self.names.get(&state.mailbox.name[..])?.is_some_and(|owner| owner.value() == id.0);
                if own {
                    self.names.remove(&state.mailbox.name[..])?;
                }
                self.names.insert(&name[..], id.0)?;
                state.mailbox.name.clone_from(name);
                self.save(&state)?;
                rung.push(Watched::MailboxList);
            }
            Step::Delete { id } => {
                let bodies = self.apply_delete(*id, rung)?;
                self.release(&bodies, meta)?;
            }
            Step::SpecialUse { id, special_use } => {
                let mut state = self.mailbox(*id)?;
                state.mailbox.special_use = *special_use;
                self.save(&state)?;
                rung.push(Watched::MailboxList);
            }
            Step::Subscribe { id, subscribed } => {
                let mut state = self.mailbox(*id)?;
                state.mailbox.subscribed = *subscribed;
                self.save(&state)?;
                rung.push(Watched::MailboxList);
            }
            Step::Queue(entry) => self.apply_queue(entry, meta, rung)?,
            Step::Unqueue(id) => {
                if let Some(entry) = self.remove_queue_entry(*id)? {
                    self.release(&[entry.body], meta)?;
                }
                rung.push(Watched::Queue);
            }
            Step::Schedule { id, due, held } => {
                let entry = self.queue_entry(*id)?.ok_or_else(|| lost(format_args!("queue entry {}", id.0)))?;
                self.apply_queue(&QueueEntry { due: *due, held: *held, ..entry }, meta, rung)?;
            }
            Step::SetCredential(credential) => {
                let key = credential.login.to_lowercase();
                CREDENTIALS.insert(self.credentials.write()?, &&key[..], encode_credential(credential))?;
                rung.push(Watched::Logins);
            }
            Step::RemoveCredential(login) => {
                self.credentials.write()?.remove(&login.to_lowercase()[..])?;
                rung.push(Watched::Logins);
            }
            Step::Setting { key, value: Some(value) } => {
                SETTINGS.insert(self.settings.write()?, &&key[..], value.clone())?;
                rung.extend(key.starts_with(METADATA_KEYS).then_some(Watched::Metadata));
            }
            Step::Setting { key, value: None } => {
                self.settings.write()?.remove(&key[..])?;
                rung.extend(key.starts_with(METADATA_KEYS).then_some(Watched::Metadata));
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_create(
        &mut self,
        id: MailboxId,
        name: &str,
        uid_validity: UidValidity,
        (special_use, subscribed): (Option<SpecialUse>, bool),
    ) -> Result<(), Trouble> {
        let mailbox = Mailbox { special_use, subscribed, ..Mailbox::new(id, name, uid_validity) };
        self.names.insert(name, id.0)?;
        self.save(&MailboxState { mailbox, expunged: 0 })
    }

    fn insert_messages(&mut self, state: &mut MailboxState, rows: &[MessageRow]) -> Result<(), Trouble> {
        let mailbox = &mut state.mailbox;
        let messages: Vec<(u64, MessageBytes)> = rows
            .iter()
            .map(|row| {
                let key = message_key(mailbox.id, row.uid);
                (key, encode_message(key, row))
            })
            .collect();
        put(&mut self.messages, messages.iter().map(|(key, row)| (*key, row)))?;
        put(&mut self.changes, rows.iter().map(|row| (change_key(mailbox.id, row.modseq, row.uid), ())))?;
        for row in rows {
            mailbox.uid_next = mailbox.uid_next.max(Uid(row.uid.0.saturating_add(1)));
            count(mailbox, row);
        }
        Ok(())
    }

    /// Removes keys of changes that later ones have superseded.
    fn remove_changes(&mut self, mut keys: Vec<u128>) -> Result<(), Trouble> {
        order::sort(&mut keys);
        let is_close = |one: u128, other: u128| match change_modseq(other).0.saturating_sub(change_modseq(one).0) {
            0 => other - one <= CHANGES_BETWEEN_MAX,
            modseqs => u128::from(modseqs) <= CHANGES_BETWEEN_MAX,
        };
        Ok(cut(&mut self.changes, &keys, is_close)?)
    }

    fn apply_place(&mut self, mailbox: MailboxId, row: &MessageRow, rung: &mut Vec<Watched>) -> Result<(), Trouble> {
        let mut state = self.mailbox(mailbox)?;
        self.insert_messages(&mut state, std::slice::from_ref(row))?;
        self.save(&state)?;
        rung.push(Watched::Mailbox(mailbox));
        Ok(())
    }

    fn apply_flags(
        &mut self,
        mailbox: MailboxId,
        modseq: ModSeq,
        rows: &[(Uid, SystemFlags, u64)],
        rung: &mut Vec<Watched>,
    ) -> Result<(), Trouble> {
        let mut state = self.mailbox(mailbox)?;
        let mut superseded = Vec::with_capacity(rows.len());
        for (uid, flags, keywords) in rows {
            let key = message_key(mailbox, *uid);
            let mut place = self.messages.get_mut(key)?.ok_or_else(|| lost_message(mailbox, *uid))?;
            let old = read_message(key, place.value())?;
            let row = MessageRow { modseq, flags: *flags, keywords: *keywords, ..old };
            place.insert(&encode_message(key, &row))?;
            uncount(&mut state.mailbox, &old);
            count(&mut state.mailbox, &row);
            superseded.push(change_key(mailbox, old.modseq, *uid));
        }
        self.remove_changes(superseded)?;
        put(&mut self.changes, rows.iter().map(|(uid, ..)| (change_key(mailbox, modseq, *uid), ())))?;
        self.save(&state)?;
        rung.push(Watched::Mailbox(mailbox));
        Ok(())
    }

    fn apply_forms(&mut self, mailbox: MailboxId, rows: &[(Uid, Form)]) -> Result<(), Trouble> {
        for (uid, form) in rows {
            let row = self.message(mailbox, *uid)?.ok_or_else(|| lost_message(mailbox, *uid))?;
            let key = message_key(mailbox, *uid);
            self.messages.insert(key, &encode_message(key, &MessageRow { form: *form, ..row }))?;
        }
        Ok(())
    }

    /// Removes messages and remembers them as expunged. Returns their bodies, whose references the caller settles.
    fn remove_messages(
        &mut self,
        mailbox: MailboxId,
        modseq: ModSeq,
        uids: &[Uid],
        rung: &mut Vec<Watched>,
    ) -> Result<Vec<BodyId>, Trouble> {
        let mut state = self.mailbox(mailbox)?;
        let mut bodies = Vec::with_capacity(uids.len());
        let mut superseded = Vec::with_capacity(uids.len());
        for uid in uids {
            let row = self.message(mailbox, *uid)?.ok_or_else(|| lost_message(mailbox, *uid))?;
            uncount(&mut state.mailbox, &row);
            superseded.push(change_key(mailbox, row.modseq, *uid));
            bodies.push(row.body);
        }
        let keys: Vec<u64> = uids.iter().map(|uid| message_key(mailbox, *uid)).collect();
        cut(&mut self.messages, &keys, |one, other| other - one <= MESSAGES_BETWEEN_MAX)?;
        self.remove_changes(superseded)?;
        put(self.expunged.write()?, uids.iter().map(|uid| (change_key(mailbox, modseq, *uid), ())))?;
        state.expunged += uids.len() as u32;
        state.mailbox.highest_modseq = state.mailbox.highest_modseq.max(modseq);
        self.forget_expunged(&mut state)?;
        self.save(&state)?;
        rung.push(Watched::Mailbox(mailbox));
        Ok(bodies)
    }

    /// Keeps the memory of expunges bounded: the oldest go, and the floor says up to where.
    fn forget_expunged(&mut self, state: &mut MailboxState) -> Result<(), Trouble> {
        if state.expunged <= EXPUNGED_PER_MAILBOX_MAX {
            return Ok(());
        }
        let id = state.mailbox.id;
        let all = change_key(id, ModSeq(0), Uid(0))..=change_key(id, ModSeq(u64::MAX), Uid(u32::MAX));
        // Down to three quarters, so that this is rare.
        let surplus = state.expunged - EXPUNGED_PER_MAILBOX_MAX / 4 * 3;
        if let Some(last) = self.expunged.read()?.range(all.clone())?.nth(surplus as usize - 1) {
            state.mailbox.expunged_floor = change_modseq(last?.0.value());
        }
        // All of the floor's modseq go: half of an expunge is not remembered.
        let floor = change_key(id, state.mailbox.expunged_floor, Uid(u32::MAX));
        for row in self.expunged.write()?.extract_from_if(*all.start()..=floor, |_, ()| true)? {
            row?;
            state.expunged -= 1;
        }
        Ok(())
    }

    /// Copies messages; returns their bodies, whose references the caller settles.
    fn copy_messages(
        &mut self,
        from: MailboxId,
        to: MailboxId,
        uids: &[Uid],
        (first, modseq, saved): (Uid, ModSeq, Option<Timestamp>),
        rung: &mut Vec<Watched>,
    ) -> Result<Vec<BodyId>, Trouble> {
        let names = self.mailbox(from)?.mailbox.keywords;
        let mut state = self.mailbox(to)?;
        let mut bodies = Vec::with_capacity(uids.len());
        let mut news = first.0..;
        for uids in uids.chunks(COPIED_AT_ONCE) {
            let mut rows = Vec::with_capacity(uids.len());
            for (uid, new) in uids.iter().zip(news.by_ref()) {
                let row = self.message(from, *uid)?.ok_or_else(|| lost_message(from, *uid))?;
                let keywords = translate_keywords(row.keywords, &names, &state.mailbox.keywords);
                rows.push(MessageRow { uid: Uid(new), modseq, keywords, saved: saved.unwrap_or(row.saved), ..row });
            }
            bodies.extend(rows.iter().map(|row| row.body));
            self.insert_messages(&mut state, &rows)?;
        }
        self.save(&state)?;
        rung.push(Watched::Mailbox(to));
        Ok(bodies)
    }

    /// Removes a mailbox with its messages and annotations. Returns their bodies, whose references the caller settles.
    fn apply_delete(&mut self, id: MailboxId, rung: &mut Vec<Watched>) -> Result<Vec<BodyId>, Trouble> {
        let state = self.mailbox(id)?;
        let mut bodies = Vec::new();
        let messages = message_key(id, Uid(0))..=message_key(id, Uid(u32::MAX));
        for row in self.messages.extract_from_if(messages, |_, _| true)? {
            let (key, bytes) = row?;
            // One that cannot be read goes too, and leaves its body behind.
            bodies.extend(read_message(key.value(), bytes.value()).ok().map(|row| row.body));
        }
        for table in [&mut self.changes, self.expunged.write()?] {
            let all = change_key(id, ModSeq(0), Uid(0))..=change_key(id, ModSeq(u64::MAX), Uid(u32::MAX));
            for row in table.extract_from_if(all, |_, ()| true)? {
                row?;
            }
        }
        let keys = format!("{}/", metadata_keys(Some(id)));
        // `0` is what follows `/`.
        let behind = format!("{}0", metadata_keys(Some(id)));
        for row in self.settings.write()?.extract_from_if(&keys[..]..&behind[..], |_, _| true)? {
            row?;
        }
        self.names.remove(&state.mailbox.name[..])?;
        self.mailboxes.remove(id.0)?;
        rung.extend([Watched::MailboxList, Watched::Mailbox(id)]);
        Ok(bodies)
    }

    fn apply_queue(&mut self, entry: &QueueEntry, meta: &mut Meta, rung: &mut Vec<Watched>) -> Result<(), Trouble> {
        meta.queue = meta.queue.max(entry.id.0 + 1);
        if self.remove_queue_entry(entry.id)?.is_none() {
            self.refer(entry.body)?;
        }
        QUEUE.insert(self.queue.write()?, &entry.id.0, encode_queue_entry(entry))?;
        if !entry.held {
            self.due.write()?.insert(due_key(entry.due, entry.id), ())?;
        }
        rung.push(Watched::Queue);
        Ok(())
    }

    fn remove_queue_entry(&mut self, id: QueueId) -> Result<Option<QueueEntry>, Trouble> {
        let Some(entry) = self.queue_entry(id)? else { return Ok(None) };
        self.queue.write()?.remove(id.0)?;
        if !entry.held {
            self.due.write()?.remove(due_key(entry.due, id))?;
        }
        Ok(Some(entry))
    }
}

/// A mailbox, in a snapshot or in the writer.
pub fn read_mailbox(
    table: &impl ReadableTable<u32, &'static [u8]>,
    id: MailboxId,
) -> Result<Option<MailboxState>, Trouble> {
    MAILBOXES.get(table, &id.0, |row| MailboxState::decode(id, row))
}

/// What a step refers to must be there: the step was decided on these tables.
fn lost_message(mailbox: MailboxId, uid: Uid) -> Trouble {
    lost(format_args!("message {} of mailbox {}", uid.0, mailbox.0))
}

/// Brings a row into the counters.
fn count(mailbox: &mut Mailbox, row: &MessageRow) {
    mailbox.highest_modseq = mailbox.highest_modseq.max(row.modseq);
    mailbox.messages += 1;
    mailbox.bytes += row.bytes;
    mailbox.unseen += u32::from(!row.flags.contains(SystemFlags::SEEN));
    mailbox.deleted += u32::from(row.flags.contains(SystemFlags::DELETED));
}

/// Takes a row out of the counters.
fn uncount(mailbox: &mut Mailbox, row: &MessageRow) {
    mailbox.messages = mailbox.messages.saturating_sub(1);
    mailbox.bytes = mailbox.bytes.saturating_sub(row.bytes);
    mailbox.unseen = mailbox.unseen.saturating_sub(u32::from(!row.flags.contains(SystemFlags::SEEN)));
    mailbox.deleted = mailbox.deleted.saturating_sub(u32::from(row.flags.contains(SystemFlags::DELETED)));
}

/// The same keywords in another mailbox; names it does not know are left out.
fn translate_keywords(bits: u64, from: &[String], to: &[String]) -> u64 {
    let mut out = 0;
    for (bit, name) in (0..u64::BITS).zip(from) {
        if bits >> bit & 1 == 1
            && let Some((place, _)) = (0..u64::BITS).zip(to).find(|(_, other)| other.eq_ignore_ascii_case(name))
        {
            out |= 1 << place;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_keep_their_names_in_another_mailbox() {
        let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let (from, to) = (names(&["a", "B", "c"]), names(&["x", "b", "A"]));
        assert_eq!(translate_keywords(0b011, &from, &to), 0b110);
        assert_eq!(translate_keywords(0b100, &from, &to), 0, "unknown there");
    }
}
