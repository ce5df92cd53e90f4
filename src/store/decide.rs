//! Ops into steps: everything is checked and everything is decided here, before the first write.
//!
//! Receives an Op and the tables as the Ops before it left them; hands on steps and the answer, or why not. It
//! changes nothing: a refusal leaves no trace.

mod append;
mod devices;
mod maildrop;
mod metadata;
mod outbox;
mod queue;
mod within;

use super::apply::{Tables, read_mailbox};
use super::body::{BodyRow, stored_bytes};
use super::intake::{NewBody, Source, Staged};
use super::pieces::{first_piece, used_after};
use super::step::{BodyRows, Step};
use super::tables::*;
use super::threads::{Threaded, thread_of};
use super::*;
use crate::limits::*;
use crate::mail::index::MessageIdHash;
pub use metadata::TOO_MANY_ENTRIES;
pub use outbox::{OUTBOX_NAME, has_outbox, outbox_head, restore_outbox};
use outbox::{check_not_inside, refuse_outbox};
use redb::{ReadableTable, ReadableTableMetadata};
use within::replaced_within;

/// What an Op came to.
pub struct Decision {
    /// To be applied, in order. None: nothing changes.
    pub steps: Vec<Step>,
    /// The answer, once the steps are durable.
    pub done: Done,
    /// The marks of staged bodies that the steps admit: kept once they are durable.
    pub staged: Vec<Staged>,
}

/// Decides one Op. `epoch`: which opening of the database this is; bodies staged in an earlier one are gone.
pub fn decide(op: Op, tables: &Tables<'_>, meta: &Meta, epoch: u64) -> Result<Decision, Trouble> {
    let mut draft = Draft::new(tables, meta, epoch);
    let done = draft.run(op, meta)?;
    Ok(Decision { steps: draft.steps, done, staged: draft.staged })
}

fn check_key(key: &str) -> Result<(), Trouble> {
    if key.is_empty() || key.len() > SETTING_KEY_BYTES_MAX {
        return Err(Trouble::Refused("the name is empty or too long"));
    }
    Ok(())
}

/// A checked mailbox name: levels not empty, no control characters, `INBOX` in capitals, within bounds.
pub fn mailbox_name(name: &str) -> Result<String, Trouble> {
    if name.len() > MAILBOX_NAME_BYTES_MAX || name.split('/').count() > MAILBOX_DEPTH_MAX {
        return Err(Trouble::Refused("the mailbox name is too long or too deep"));
    }
    if name.split('/').any(str::is_empty) || name.chars().any(char::is_control) {
        return Err(Trouble::Refused("the mailbox name is not well formed"));
    }
    // RFC 9051 section 5.1: INBOX in any case is INBOX.
    let (first, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    if first.eq_ignore_ascii_case("INBOX") { Ok(format!("INBOX{rest}")) } else { Ok(name.to_owned()) }
}

/// Ascending, each once.
fn ascending(mut uids: Vec<Uid>) -> Vec<Uid> {
    uids.sort_unstable();
    uids.dedup();
    uids
}

/// A decision being made: what it has used up of names and numbers so far.
struct Draft<'a, 't> {
    tables: &'a Tables<'t>,
    epoch: u64,
    next_mailbox: u32,
    next_uid_validity: u32,
    next_body: u64,
    /// See [`Meta::page_used`].
    page_used: u32,
    next_queue: u64,
    /// Mailboxes as the steps so far will leave them, as far as it matters here.
    mailboxes: Vec<Mailbox>,
    steps: Vec<Step>,
    staged: Vec<Staged>,
    /// The threads of the bodies admitted so far, by what finds them.
    threads: Vec<(MessageIdHash, ThreadId)>,
}

impl<'a, 't> Draft<'a, 't> {
    fn new(tables: &'a Tables<'t>, meta: &Meta, epoch: u64) -> Draft<'a, 't> {
        Draft {
            tables,
            epoch,
            next_mailbox: meta.mailbox,
            next_uid_validity: meta.uid_validity,
            next_body: meta.body,
            page_used: meta.page_used,
            next_queue: meta.queue,
            mailboxes: Vec::new(),
            steps: Vec::new(),
            staged: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// Decides an Op, after those it is made of.
    fn run(&mut self, op: Op, meta: &Meta) -> Result<Done, Trouble> {
        Ok(match op {
            Op::Deliver(deliver) => self.deliver(deliver)?,
            Op::Append(append) => self.append(append)?,
            Op::Copy(copy) => self.copy(copy)?,
            Op::CopyWithin { copy, rights } => self.copy_within(copy, rights)?,
            Op::SetFlags(set) => self.set_flags(set)?,
            Op::Expunge(expunge) => self.expunge(expunge)?,
            Op::Discard { from, uids, to, now } => self.discard(from, uids, to, now)?,
            Op::NoteForms { mailbox, forms } => self.note_forms(mailbox, forms)?,
            Op::CreateMailbox { name, special_use } => self.create_mailbox(&name, special_use)?,
            Op::RenameMailbox { from, to } => self.rename_mailbox(&from, &to)?,
            Op::DeleteMailbox { name } => self.delete_mailbox(&name)?,
            Op::Subscribe { name, subscribed } => {
                let id = self.id_of(&mailbox_name(&name)?)?.ok_or(Trouble::NotFound)?;
                if self.tables.mailbox(id)?.mailbox.subscribed != subscribed {
                    self.steps.push(Step::Subscribe { id, subscribed });
                }
                Done::Applied
            }
            Op::SetSpecialUse { name, special_use } => self.set_special_use(&name, special_use)?,
            Op::SetMetadata(set) => self.set_metadata(set)?,
            Op::Enqueue(enqueue) => self.enqueue(enqueue)?,
            Op::Told { change, notice, to, now } => {
                let done = self.run(*change, meta)?;
                self.notice(Some((notice, to)), now)?;
                done
            }
            Op::Settle(settle) => self.settle(settle)?,
            Op::Hold { entry } => self.hold(entry)?,
            Op::Release { entry, due } => self.release(entry, due)?,
            Op::Retry { entry, due } => self.retry(entry, due)?,
            Op::RetryThese { entries, due } => self.retry_these(&entries, due)?,
            Op::RemoveQueueEntry { entry, notice, now } => self.remove_queue_entry(entry, notice, now)?,
            Op::NoteTime { now } => {
                if now > meta.latest_time {
                    self.steps.push(Step::Time(now));
                }
                Done::Applied
            }
            Op::SetCredential(credential) => self.set_credential(credential)?,
            Op::RemoveCredential { login } => self.remove_credential(login)?,
            Op::AddDevice(credential) => self.add_device(credential)?,
            Op::SetDeviceAccess { name, access } => self.set_device_access(&name, access)?,
            Op::SetDevicePassword { name, verifier, quick_hash: hash } => {
                self.set_device_password(&name, verifier, hash)?
            }
            Op::SetDeviceCollecting { name, change, forget_readable } => {
                self.set_device_collecting(&name, change, forget_readable)?
            }
            Op::SetDeviceRights { name, mailbox, change, rights } => {
                self.set_device_rights(&name, mailbox, change, rights)?
            }
            Op::SetSetting { key, value } => self.set_setting(key, value)?,
            Op::MakeSetting { key, .. } if self.tables.settings.read()?.get(&key[..])?.is_some() => Done::Applied,
            Op::MakeSetting { key, value } => self.set_setting(key, Some(value))?,
        })
    }

    /// The mailbox as the steps so far will leave it.
    fn mailbox(&mut self, id: MailboxId) -> Result<&mut Mailbox, Trouble> {
        let index = match self.mailboxes.iter().position(|mailbox| mailbox.id == id) {
            Some(index) => index,
            None => {
                self.mailboxes.push(self.tables.mailbox(id)?.mailbox);
                self.mailboxes.len() - 1
            }
        };
        self.mailboxes.get_mut(index).ok_or(Trouble::NotFound)
    }

    fn id_of(&self, name: &str) -> Result<Option<MailboxId>, Trouble> {
        self.tables.mailbox_id(name)
    }

    fn next_modseq(&mut self, id: MailboxId) -> Result<ModSeq, Trouble> {
        let mailbox = self.mailbox(id)?;
        mailbox.highest_modseq.0 += 1;
        Ok(mailbox.highest_modseq)
    }

    /// Takes `count` UIDs and returns the first.
    fn take_uids(&mut self, id: MailboxId, count: usize) -> Result<Uid, Trouble> {
        let mailbox = self.mailbox(id)?;
        let first = mailbox.uid_next;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let next = first.0.checked_add(count).ok_or(Trouble::Refused("the mailbox has no UIDs left"))?;
        mailbox.uid_next = Uid(next);
        Ok(first)
    }

    /// The bits of these keywords; new ones get names.
    fn keyword_bits(&mut self, id: MailboxId, names: &[String]) -> Result<u64, Trouble> {
        let mut bits = 0;
        for name in names {
            let mailbox = self.mailbox(id)?;
            let known = mailbox.keywords.iter().position(|keyword| keyword.eq_ignore_ascii_case(name));
            let bit = match known {
                Some(bit) => bit,
                None if mailbox.keywords.len() >= KEYWORDS_PER_MAILBOX_MAX => {
                    return Err(Trouble::Refused("too many different keywords in this mailbox"));
                }
                None if name.is_empty()
                    || name.len() > KEYWORD_BYTES_MAX
                    || !name.chars().all(|c| c.is_ascii_graphic()) =>
                {
                    return Err(Trouble::Refused("the keyword is not well formed"));
                }
                None => {
                    mailbox.keywords.push(name.clone());
                    let bit = mailbox.keywords.len() - 1;
                    self.steps.push(Step::Keyword { mailbox: id, name: name.clone() });
                    bit
                }
            };
            bits |= 1 << bit;
        }
        Ok(bits)
    }

    /// Admits a body; returns its id, size in bytes and form.
    fn admit(&mut self, body: NewBody) -> Result<(BodyId, u64, Form), Trouble> {
        let NewBody { bytes, form, crc, chunks, message_id, references, facts, signature, source } = body;
        let stored_in_all = stored_bytes(&chunks);
        let (id, first_piece) = match &source {
            Source::Held(_) => (BodyId(self.next_body), first_piece(self.page_used, stored_in_all)),
            Source::Staged(staged) if staged.epoch() != self.epoch => {
                return Err(Trouble::Failed("the disk failed after the body had arrived".into()));
            }
            Source::Staged(staged) => (staged.body(), 0),
        };
        let known = |hash| match self.threads.iter().find(|(new, _)| *new == hash) {
            Some((_, thread)) => Ok(Some(*thread)),
            None => find_thread(&self.tables.threads, hash, BodyId(self.next_body)),
        };
        let Threaded { thread, keys: mut thread_keys } = thread_of(id, message_id, &references, known)?;
        self.threads.extend(thread_keys.iter().map(|hash| (*hash, thread)));
        // A place keeps only a part of the hash: who looks for it can find two Message-IDs with the same one.
        thread_keys.dedup_by_key(|hash| thread_place(*hash, id));
        let body = BodyRow { refs: 0, bytes, crc, thread, thread_keys, first_piece, chunks, base: None }.encode();
        let rows = BodyRows { body, facts, signature };
        match source {
            Source::Held(stored) => {
                self.next_body += 1;
                self.page_used = used_after(self.page_used, first_piece, stored_in_all);
                self.steps.push(Step::Body { id, rows, stored });
            }
            Source::Staged(staged) => {
                self.steps.push(Step::StagedBody { id, rows });
                self.staged.push(staged);
            }
        }
        Ok((id, bytes, form))
    }

    fn place(
        &mut self,
        target: &Target,
        (body, bytes, form): (BodyId, u64, Form),
        internal_date: Timestamp,
        saved: Timestamp,
    ) -> Result<Delivered, Trouble> {
        let id = target.mailbox;
        refuse_outbox(self.mailbox(id)?, "what is sent comes into Outbox, and nothing else does")?;
        let keywords = self.keyword_bits(id, &target.flags.keywords)?;
        let uid = self.take_uids(id, 1)?;
        let modseq = self.next_modseq(id)?;
        let flags = target.flags.system;
        let row = MessageRow { uid, modseq, flags, keywords, internal_date, saved, bytes, form, body };
        self.steps.push(Step::Place { mailbox: id, row });
        Ok(Delivered { mailbox: id, uid_validity: self.mailbox(id)?.uid_validity, uid })
    }

    fn deliver(&mut self, deliver: Deliver) -> Result<Done, Trouble> {
        let Deliver { body, targets, internal_date, now } = deliver;
        if targets.is_empty() {
            return Err(Trouble::Refused("a message needs a mailbox"));
        }
        let body = self.admit(body)?;
        let places = targets.iter().map(|target| self.place(target, body, internal_date, now));
        let places = places.collect::<Result<_, _>>()?;
        self.steps.push(Step::Time(now));
        Ok(Done::Delivered(places))
    }

    fn copy(&mut self, copy: Copy) -> Result<Done, Trouble> {
        refuse_outbox(self.mailbox(copy.to)?, "what is sent comes into Outbox, and nothing else does")?;
        if self.is_outbox(copy.from)? {
            return self.copy_out(copy);
        }
        let Copy { from, uids, to, remove, now } = copy;
        let names = self.mailbox(from)?.keywords.clone();
        let uid_validity = self.mailbox(to)?.uid_validity;
        let mut there = Vec::new();
        let mut used = 0;
        for uid in ascending(uids) {
            if let Some(row) = self.tables.message(from, uid)? {
                if !remove {
                    self.tables.check_body(row.body)?;
                }
                there.push(uid);
                used |= row.keywords;
            }
        }
        if there.is_empty() {
            return Ok(Done::Copied { uid_validity, pairs: Vec::new() });
        }
        let used: Vec<String> =
            (0..u64::BITS).zip(names).filter(|(bit, _)| used >> bit & 1 == 1).map(|(_, name)| name).collect();
        self.keyword_bits(to, &used)?;
        let first = self.take_uids(to, there.len())?;
        let modseq = self.next_modseq(to)?;
        let pairs = there.iter().copied().zip((first.0..).map(Uid)).collect();
        let saved = Some(now);
        let step = if remove {
            let removed = self.next_modseq(from)?;
            Step::Move { from, to, uids: there, first, modseq, saved, removed }
        } else {
            Step::Copy { from, to, uids: there, first, modseq, saved }
        };
        self.steps.push(step);
        self.steps.push(Step::Time(now));
        Ok(Done::Copied { uid_validity, pairs })
    }

    fn set_flags(&mut self, set: SetFlags) -> Result<Done, Trouble> {
        let SetFlags { mailbox: id, uids, change, mut flags, unchanged_since } = set;
        let is_outbox = self.is_outbox(id)?;
        if is_outbox {
            flags.keywords.clear();
        }
        let asked = match change {
            FlagChange::Remove => {
                // Nobody needs a name for a keyword that is only cleared.
                let known = self.mailbox(id)?.keywords.clone();
                let is_asked = |name: &&String| flags.keywords.iter().any(|asked| asked.eq_ignore_ascii_case(name));
                let known: Vec<String> = known.iter().filter(is_asked).cloned().collect();
                self.keyword_bits(id, &known)?
            }
            _ => self.keyword_bits(id, &flags.keywords)?,
        };
        let (mut changed, mut modified) = (Vec::new(), Vec::new());
        for uid in ascending(uids) {
            let Some(row) = self.tables.message(id, uid)? else { continue };
            if unchanged_since.is_some_and(|since| row.modseq > since) {
                modified.push(uid);
                continue;
            }
            let system = flags.system.0;
            let (new, keywords) = match change {
                FlagChange::Replace => (system, asked),
                FlagChange::Add => (row.flags.0 | system, row.keywords | asked),
                FlagChange::Remove => (row.flags.0 & !system, row.keywords & !asked),
                FlagChange::ReplaceWithin(rights) => replaced_within(rights, &row, system, asked),
            };
            let new = if is_outbox { Self::settable(&row, SystemFlags(new)).0 } else { new };
            if (new, keywords) != (row.flags.0, row.keywords) {
                changed.push(MessageRow { flags: SystemFlags(new), keywords, ..row });
            }
        }
        if changed.is_empty() {
            self.steps.clear();
            let mailbox = self.tables.mailbox(id)?.mailbox;
            return Ok(Done::FlagsSet { changed, before: Vec::new(), modified, mailbox });
        }
        let before = changed.iter().map(|row| row.modseq).collect();
        let modseq = self.next_modseq(id)?;
        for row in &mut changed {
            row.modseq = modseq;
        }
        let rows = changed.iter().map(|row| (row.uid, row.flags, row.keywords)).collect();
        self.steps.push(Step::Flags { mailbox: id, modseq, rows });
        // The counters in it are read again once the steps are applied.
        Ok(Done::FlagsSet { changed, before, modified, mailbox: self.mailbox(id)?.clone() })
    }

    fn expunge(&mut self, expunge: Expunge) -> Result<Done, Trouble> {
        let Expunge { mailbox: id, which } = expunge;
        let tables = self.tables;
        let deleted = self.mailbox(id)?.deleted as usize;
        let is_deleted = |row: &MessageRow| row.flags.contains(SystemFlags::DELETED);
        let mut uids = Vec::new();
        match which {
            Expungeable::Deleted => {
                let all = message_key(id, Uid(0))..=message_key(id, Uid(u32::MAX));
                let mut rows = tables.messages.range(all)?;
                while uids.len() < deleted
                    && let Some(row) = rows.next()
                {
                    let (key, bytes) = row?;
                    let row = read_message(key.value(), bytes.value())?;
                    if is_deleted(&row) {
                        uids.push(row.uid);
                    }
                }
            }
            Expungeable::DeletedAmong(asked) => {
                for uid in ascending(asked) {
                    if tables.message(id, uid)?.is_some_and(|row| is_deleted(&row)) {
                        uids.push(uid);
                    }
                }
            }
            Expungeable::These(asked) => {
                for uid in ascending(asked) {
                    if tables.message(id, uid)?.is_some() {
                        uids.push(uid);
                    }
                }
            }
        }
        if uids.is_empty() {
            return Ok(Done::Expunged { uids, modseq: self.mailbox(id)?.highest_modseq });
        }
        if self.is_outbox(id)? {
            let modseq = self.take_back(id, uids.clone())?;
            return Ok(Done::Expunged { uids, modseq });
        }
        let modseq = self.next_modseq(id)?;
        self.steps.push(Step::Expunge { mailbox: id, modseq, uids: uids.clone() });
        Ok(Done::Expunged { uids, modseq })
    }

    fn create_mailbox(&mut self, name: &str, special_use: Option<SpecialUse>) -> Result<Done, Trouble> {
        let name = mailbox_name(name)?;
        if self.id_of(&name)?.is_some() {
            return Err(Trouble::Exists);
        }
        check_not_inside(&name)?;
        self.check_special_use(special_use)?;
        self.create_parents(&name)?;
        let id = self.create(name, special_use)?;
        Ok(Done::Created(id))
    }

    /// No two mailboxes have the same special use.
    fn check_special_use(&self, special_use: Option<SpecialUse>) -> Result<(), Trouble> {
        match special_use {
            Some(special_use) if self.mailbox_with_use(special_use)?.is_some() => {
                Err(Trouble::Refused("another mailbox has that special use"))
            }
            _ => Ok(()),
        }
    }

    fn mailbox_with_use(&self, special_use: SpecialUse) -> Result<Option<Mailbox>, Trouble> {
        for row in self.tables.mailboxes.iter()? {
            let (id, bytes) = row?;
            let id = id.value();
            let state = MAILBOXES.decode(&id, bytes.value(), |row| MailboxState::decode(MailboxId(id), row))?;
            if state.mailbox.special_use == Some(special_use) {
                return Ok(Some(state.mailbox));
            }
        }
        Ok(None)
    }

    fn set_special_use(&mut self, name: &str, special_use: Option<SpecialUse>) -> Result<Done, Trouble> {
        let id = self.id_of(&mailbox_name(name)?)?.ok_or(Trouble::NotFound)?;
        if self.tables.mailbox(id)?.mailbox.special_use == special_use {
            return Ok(Done::Applied);
        }
        if id == INBOX || special_use == Some(SpecialUse::Outbox) || self.is_outbox(id)? {
            return Err(Trouble::Refused("INBOX and Outbox have uses of their own"));
        }
        self.check_special_use(special_use)?;
        self.steps.push(Step::SpecialUse { id, special_use });
        Ok(Done::Applied)
    }

    /// RFC 9051 section 6.3.4: superior names are made with the mailbox.
    fn create_parents(&mut self, name: &str) -> Result<(), Trouble> {
        for (end, _) in name.match_indices('/') {
            let parent = name.get(..end).unwrap_or_default();
            if self.id_of(parent)?.is_none() {
                self.create(parent.to_owned(), None)?;
            }
        }
        Ok(())
    }

    fn create(&mut self, name: String, special_use: Option<SpecialUse>) -> Result<MailboxId, Trouble> {
        if self.tables.mailboxes.len()? + self.steps.len() as u64 >= MAILBOXES_MAX {
            return Err(Trouble::Refused("too many mailboxes"));
        }
        let (id, uid_validity) = (MailboxId(self.next_mailbox), UidValidity(self.next_uid_validity));
        self.next_mailbox = self.next_mailbox.checked_add(1).ok_or(Trouble::Refused("no mailbox ids left"))?;
        self.next_uid_validity =
            self.next_uid_validity.checked_add(1).ok_or(Trouble::Refused("no UIDVALIDITY left"))?;
        self.steps.push(Step::Create { id, name, uid_validity, special_use, subscribed: false });
        Ok(id)
    }

    fn rename_mailbox(&mut self, from: &str, to: &str) -> Result<Done, Trouble> {
        let (from, to) = (mailbox_name(from)?, mailbox_name(to)?);
        let id = self.id_of(&from)?.ok_or(Trouble::NotFound)?;
        if self.id_of(&to)?.is_some() {
            return Err(Trouble::Exists);
        }
        refuse_outbox(self.mailbox(id)?, "Outbox cannot be renamed")?;
        check_not_inside(&to)?;
        let inside = format!("{from}/");
        if id == INBOX {
            self.create_parents(&to)?;
            return self.move_inbox(to);
        }
        if to.starts_with(&inside) {
            return Err(Trouble::Refused("a mailbox cannot move into itself"));
        }
        self.create_parents(&to)?;
        self.keep_rights(id, &from, id, &to)?;
        self.steps.push(Step::Rename { id, name: to.clone() });
        for (child, name) in self.children(&inside)? {
            let name = mailbox_name(&format!("{to}/{}", name.get(inside.len()..).unwrap_or_default()))?;
            if self.id_of(&name)?.is_some() {
                return Err(Trouble::Exists);
            }
            self.steps.push(Step::Rename { id: child, name });
        }
        Ok(Done::Applied)
    }

    /// All mailboxes whose name begins with `inside`, which ends with `/`.
    fn children(&self, inside: &str) -> Result<Vec<(MailboxId, String)>, Trouble> {
        let mut out = Vec::new();
        for row in self.tables.names.range(inside..)? {
            let (name, id) = row?;
            if !name.value().starts_with(inside) {
                break;
            }
            out.push((MailboxId(id.value()), name.value().to_owned()));
        }
        Ok(out)
    }

    /// RFC 3501 section 6.3.5: renaming INBOX moves its messages, and INBOX stays.
    fn move_inbox(&mut self, to: String) -> Result<Done, Trouble> {
        let new = self.create(to.clone(), None)?;
        self.keep_rights(INBOX, "INBOX", new, &to)?;
        for name in self.mailbox(INBOX)?.keywords.clone() {
            self.steps.push(Step::Keyword { mailbox: new, name });
        }
        self.copy_metadata(INBOX, new)?;
        let mut uids = Vec::new();
        for row in self.tables.messages.range(message_key(INBOX, Uid(0))..=message_key(INBOX, Uid(u32::MAX)))? {
            uids.push(key_uid(row?.0.value()));
        }
        if !uids.is_empty() {
            let removed = self.next_modseq(INBOX)?;
            let modseq = ModSeq(2);
            self.steps.push(Step::Move { from: INBOX, to: new, uids, first: Uid(1), modseq, saved: None, removed });
        }
        Ok(Done::Applied)
    }

    fn delete_mailbox(&mut self, name: &str) -> Result<Done, Trouble> {
        let name = mailbox_name(name)?;
        let id = self.id_of(&name)?.ok_or(Trouble::NotFound)?;
        if id == INBOX {
            return Err(Trouble::Refused("INBOX cannot be deleted"));
        }
        refuse_outbox(self.mailbox(id)?, "Outbox cannot be deleted")?;
        if !self.children(&format!("{name}/"))?.is_empty() {
            return Err(Trouble::Refused("the mailbox has mailboxes inside"));
        }
        self.forget_rights(id)?;
        self.steps.push(Step::Delete { id });
        Ok(Done::Applied)
    }

    fn set_setting(&mut self, key: String, value: Option<Vec<u8>>) -> Result<Done, Trouble> {
        check_key(&key)?;
        if value.as_ref().is_some_and(|value| value.len() > SETTING_BYTES_MAX) {
            return Err(Trouble::Refused("the value is too long"));
        }
        self.steps.push(Step::Setting { key, value });
        Ok(Done::Applied)
    }
}

/// The mailbox in the answer, as the applied steps left it.
pub fn complete(done: &mut Done, tables: &Tables<'_>) -> Result<(), Trouble> {
    if let Done::FlagsSet { mailbox, .. } = done
        && let Some(state) = read_mailbox(&tables.mailboxes, mailbox.id)?
    {
        *mailbox = state.mailbox;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailbox_names_are_checked() {
        assert_eq!(mailbox_name("inbox"), Ok("INBOX".into()));
        assert_eq!(mailbox_name("iNbOx/Sub"), Ok("INBOX/Sub".into()));
        assert_eq!(mailbox_name("Inboxes"), Ok("Inboxes".into()));
        for bad in ["", "/", "a//b", "/a", "a/", "a\nb", &"x".repeat(600), &vec!["a"; 17].join("/")] {
            assert!(matches!(mailbox_name(bad), Err(Trouble::Refused(_))), "{bad:?}");
        }
    }
}
