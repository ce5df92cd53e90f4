//! The store in its plainest form: what every change must come to, without a disk, a table or a thread.
//!
//! It knows every number that the store gives out beforehand, except the ids of bodies: those it learns, and then holds
//! the store to them.

mod append;
mod devices;
mod metadata;
mod outbox;

use super::change::*;
use hauspost::limits::EXPUNGED_PER_MAILBOX_MAX;
use hauspost::mail::access::Rights;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::address::ReversePath;
use hauspost::wire::date::Timestamp;
use hauspost::wire::smtp::MailParameters;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Message {
    pub modseq: u64,
    pub flags: u8,
    pub keywords: u64,
    pub internal_date: Timestamp,
    pub saved: Timestamp,
    pub body: Arc<Body>,
}

#[derive(Clone, Debug)]
pub struct Folder {
    pub name: String,
    pub validity: u32,
    pub uid_next: u32,
    pub modseq: u64,
    pub subscribed: bool,
    pub special_use: Option<SpecialUse>,
    pub keywords: Vec<String>,
    pub floor: u64,
    pub messages: BTreeMap<u32, Message>,
    /// (modseq, UID)
    pub expunged: BTreeSet<(u64, u32)>,
}

#[derive(Clone, Debug)]
pub struct Waiting {
    pub body: Arc<Body>,
    pub reverse_path: ReversePath,
    pub parameters: MailParameters,
    pub recipients: Vec<QueueRecipient>,
    pub queued: Timestamp,
    pub due: Timestamp,
    pub held: bool,
    pub outbox: u32,
    pub sent_copy: Option<(u32, u32)>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub folders: BTreeMap<u32, Folder>,
    pub queue: BTreeMap<u64, Waiting>,
    /// By lower-case login.
    pub credentials: BTreeMap<String, Credential>,
    pub settings: BTreeMap<String, Vec<u8>>,
    pub metadata: metadata::Metadata,
    pub latest_time: Timestamp,
    pub next_mailbox: u32,
    pub next_validity: u32,
    pub next_queue: u64,
    /// No body that comes may get one of the ids up to this.
    pub body_max: u64,
}

/// What the store must answer.
#[derive(Clone, Debug)]
pub enum Answer {
    Done(Done),
    FlagsSet { changed: Vec<Uid>, modified: Vec<Uid>, mailbox: u32, modseq: u64 },
    No(Refusal),
}

#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    NotFound,
    Exists,
    Refused,
}

impl Answer {
    pub fn is(&self, told: &Result<Done, Trouble>) -> bool {
        match (self, told) {
            (Answer::Done(wanted), Ok(done)) => wanted == done,
            (
                Answer::FlagsSet { changed, modified, mailbox, modseq },
                Ok(Done::FlagsSet { changed: rows, modified: refused, mailbox: state, .. }),
            ) => {
                rows.iter().map(|row| row.uid).eq(changed.iter().copied())
                    && modified == refused
                    && (state.id.0, state.highest_modseq.0) == (*mailbox, *modseq)
            }
            (Answer::No(refusal), Err(trouble)) => matches!(
                (refusal, trouble),
                (Refusal::NotFound, Trouble::NotFound)
                    | (Refusal::Exists, Trouble::Exists)
                    | (Refusal::Refused, Trouble::Refused(_))
            ),
            _ => false,
        }
    }
}

fn ascending(uids: &[Uid]) -> Vec<u32> {
    uids.iter().map(|uid| uid.0).collect::<BTreeSet<_>>().into_iter().collect()
}

const DELETED: u8 = SystemFlags::DELETED.0;
/// What may be set in Outbox.
const SETTABLE: u8 = SystemFlags::SEEN.0 | DELETED;
const INSIDE_OUTBOX: &str = "Outbox/";

impl Folder {
    pub fn new(name: String, validity: u32, special_use: Option<SpecialUse>) -> Folder {
        Folder {
            name,
            validity,
            uid_next: 1,
            modseq: 1,
            subscribed: false,
            special_use,
            keywords: Vec::new(),
            floor: 0,
            messages: BTreeMap::new(),
            expunged: BTreeSet::new(),
        }
    }

    /// As the store shows it.
    pub fn mailbox(&self, id: u32) -> Mailbox {
        let count = |is: fn(&Message) -> bool| self.messages.values().filter(|message| is(message)).count() as u32;
        Mailbox {
            id: MailboxId(id),
            name: self.name.clone(),
            uid_validity: UidValidity(self.validity),
            uid_next: Uid(self.uid_next),
            highest_modseq: ModSeq(self.modseq),
            messages: self.messages.len() as u32,
            unseen: count(|message| message.flags & SystemFlags::SEEN.0 == 0),
            deleted: count(|message| message.flags & DELETED != 0),
            bytes: self.messages.values().map(|message| message.body.bytes.len() as u64).sum(),
            subscribed: self.subscribed,
            special_use: self.special_use,
            keywords: self.keywords.clone(),
            expunged_floor: ModSeq(self.floor),
        }
    }

    fn bits(&mut self, names: &[String]) -> u64 {
        names.iter().fold(0, |bits, name| {
            let known = self.keywords.iter().position(|keyword| keyword.eq_ignore_ascii_case(name));
            let bit = known.unwrap_or_else(|| {
                self.keywords.push(name.clone());
                self.keywords.len() - 1
            });
            bits | 1 << bit
        })
    }

    fn place(&mut self, message: Message) -> u32 {
        let uid = self.uid_next;
        self.messages.insert(uid, message);
        self.uid_next += 1;
        uid
    }

    /// Removes messages with one modseq, and remembers so many of those that are gone as the store does.
    fn expunge(&mut self, uids: &[u32]) {
        self.modseq += 1;
        for uid in uids {
            self.messages.remove(uid);
            self.expunged.insert((self.modseq, *uid));
        }
        if self.expunged.len() > EXPUNGED_PER_MAILBOX_MAX as usize {
            let surplus = self.expunged.len() - EXPUNGED_PER_MAILBOX_MAX as usize / 4 * 3;
            self.floor = self.expunged.iter().nth(surplus - 1).map_or(0, |(modseq, _)| *modseq);
            self.expunged = self.expunged.split_off(&(self.floor + 1, 0));
        }
    }
}

impl Model {
    pub fn id_of(&self, name: &str) -> Option<u32> {
        self.folders.iter().find(|(_, folder)| folder.name == name).map(|(id, _)| *id)
    }

    /// Does the change, or leaves everything as it is.
    pub fn apply(&mut self, change: &Change) -> Answer {
        let before = match change {
            // These touch several things before they know whether they may.
            Change::Deliver { .. }
            | Change::Append(_)
            | Change::Enqueue(_)
            | Change::Told { .. }
            | Change::Settle(_)
            | Change::Rename { .. }
            | Change::Remove { .. } => Some(self.clone()),
            _ => None,
        };
        self.attempt(change).unwrap_or_else(|refusal| {
            if let Some(before) = before {
                *self = before;
            }
            Answer::No(refusal)
        })
    }

    fn attempt(&mut self, change: &Change) -> Result<Answer, Refusal> {
        let applied = Ok(Answer::Done(Done::Applied));
        match change {
            Change::Deliver { body, targets, internal_date, now } => {
                let placed = targets.iter().map(|target| self.place(target, body, *internal_date, *now));
                let placed = placed.collect::<Result<_, _>>()?;
                self.time(*now);
                Ok(Answer::Done(Done::Delivered(placed)))
            }
            Change::Append(append) => self.append(append),
            Change::Copy(copy) => self.copy(copy),
            Change::CopyWithin { copy, rights } => self.copy_within(copy, *rights),
            Change::SetFlags(set) => self.set_flags(set),
            Change::Expunge(expunge) => self.expunge(expunge),
            Change::Create { name, special_use } => {
                if self.id_of(name).is_some() {
                    return Err(Refusal::Exists);
                }
                if name.starts_with(INSIDE_OUTBOX) || self.has_special_use(*special_use) {
                    return Err(Refusal::Refused);
                }
                self.create_parents(name);
                Ok(Answer::Done(Done::Created(MailboxId(self.create(name, *special_use)))))
            }
            Change::Rename { from, to } => self.rename(from, to),
            Change::Delete { name } => {
                let id = self.id_of(name).ok_or(Refusal::NotFound)?;
                let inside = format!("{name}/");
                if id == INBOX.0
                    || id == self.outbox()
                    || self.folders.values().any(|folder| folder.name.starts_with(&inside))
                {
                    return Err(Refusal::Refused);
                }
                self.folders.remove(&id);
                self.metadata.retain(|(of, _), _| *of != id);
                self.forget_rights(id);
                applied
            }
            Change::Subscribe { name, subscribed } => {
                let id = self.id_of(name).ok_or(Refusal::NotFound)?;
                self.folder(id)?.subscribed = *subscribed;
                applied
            }
            Change::SetSpecialUse { name, special_use } => {
                let id = self.id_of(name).ok_or(Refusal::NotFound)?;
                if self.folder(id)?.special_use != *special_use {
                    if id == INBOX.0 || id == self.outbox() || self.has_special_use(*special_use) {
                        return Err(Refusal::Refused);
                    }
                    self.folder(id)?.special_use = *special_use;
                }
                applied
            }
            Change::SetMetadata(set) => self.set_metadata(set),
            Change::Enqueue(submission) => self.enqueue(submission),
            Change::Told { change, notice, now } => {
                let answer = self.attempt(change)?;
                self.notice(Some(notice), *now)?;
                Ok(answer)
            }
            Change::Settle(settlement) => self.settle(settlement),
            Change::Hold(id) => self.reschedule(*id, |entry| entry.held = true),
            Change::Release { entry, due } => self.reschedule(*entry, |entry| {
                if entry.held {
                    (entry.held, entry.due) = (false, *due);
                }
            }),
            Change::Retry { entry: Some(entry), due } => self.reschedule(*entry, |entry| {
                if !entry.held {
                    entry.due = *due;
                }
            }),
            Change::Retry { entry: None, due } => {
                self.queue.values_mut().filter(|entry| !entry.held).for_each(|entry| entry.due = *due);
                applied
            }
            Change::RetryThese { entries, due } => {
                let these = self.queue.iter_mut().filter(|(id, entry)| entries.contains(id) && !entry.held);
                these.for_each(|(_, entry)| entry.due = *due);
                applied
            }
            Change::Remove { entry, notice, now } => {
                let entry = self.queue.remove(entry).ok_or(Refusal::NotFound)?;
                self.unshow(&entry);
                if notice.is_none() {
                    self.drop_sent_copy(&entry);
                }
                self.notice(notice.as_ref(), *now)
            }
            Change::NoteTime(now) => {
                self.time(*now);
                applied
            }
            Change::SetCredential(credential) => {
                self.credentials.insert(credential.login.to_lowercase(), credential.clone());
                applied
            }
            Change::RemoveCredential(login) => {
                self.credentials.remove(&login.to_lowercase()).ok_or(Refusal::NotFound)?;
                applied
            }
            Change::Discard { from, uids, to, now } => self.discard(*from, uids, *to, *now),
            Change::SetSetting { key, value } => {
                match value {
                    Some(value) => self.settings.insert(key.clone(), value.clone()),
                    None => self.settings.remove(key),
                };
                applied
            }
            Change::MakeSetting { key, value } => {
                self.settings.entry(key.clone()).or_insert_with(|| value.clone());
                applied
            }
            of_a_device => self.change_device(of_a_device),
        }
    }

    fn folder(&mut self, id: u32) -> Result<&mut Folder, Refusal> {
        self.folders.get_mut(&id).ok_or(Refusal::NotFound)
    }

    fn entry(&mut self, id: u64) -> Result<&mut Waiting, Refusal> {
        self.queue.get_mut(&id).ok_or(Refusal::NotFound)
    }

    fn has_special_use(&self, special_use: Option<SpecialUse>) -> bool {
        special_use.is_some() && self.folders.values().any(|folder| folder.special_use == special_use)
    }

    fn notice(&mut self, notice: Option<&(Arc<Body>, NoticeTo)>, now: Timestamp) -> Result<Answer, Refusal> {
        match notice {
            Some((body, NoticeTo::Owner(target))) => drop(self.place(target, body, now, now)?),
            Some((body, NoticeTo::Sender(outgoing))) => drop(self.queue(outgoing, body, now, None)),
            None => {}
        }
        self.time(now);
        Ok(Answer::Done(Done::Applied))
    }

    fn time(&mut self, now: Timestamp) {
        self.latest_time = self.latest_time.max(now);
    }

    fn copy(&mut self, copy: &Copy) -> Result<Answer, Refusal> {
        let uid_validity = UidValidity(self.folder(copy.to.0)?.validity);
        if copy.to.0 == self.outbox() {
            return Err(Refusal::Refused);
        }
        let from = self.folder(copy.from.0)?.clone();
        if copy.from.0 == self.outbox() {
            return self.copy_out(copy, &from, uid_validity);
        }
        let there: Vec<u32> = ascending(&copy.uids).into_iter().filter(|uid| from.messages.contains_key(uid)).collect();
        let mut pairs = Vec::new();
        if !there.is_empty() {
            let target = self.folder(copy.to.0)?;
            let used = there.iter().fold(0, |used, uid| used | from.messages[uid].keywords);
            let names = |bits: u64| {
                let named = from.keywords.iter().enumerate().filter(move |(bit, _)| bits >> bit & 1 == 1);
                named.map(|(_, name)| name.clone()).collect::<Vec<_>>()
            };
            target.bits(&names(used));
            target.modseq += 1;
            for uid in &there {
                let message = from.messages[uid].clone();
                let (keywords, modseq, saved) = (target.bits(&names(message.keywords)), target.modseq, copy.now);
                pairs.push((Uid(*uid), Uid(target.place(Message { keywords, modseq, saved, ..message }))));
            }
            if copy.remove {
                self.folder(copy.from.0)?.expunge(&there);
            }
            self.time(copy.now);
        }
        Ok(Answer::Done(Done::Copied { uid_validity, pairs }))
    }

    fn set_flags(&mut self, set: &SetFlags) -> Result<Answer, Refusal> {
        let is_outbox = set.mailbox.0 == self.outbox();
        let mut set = set.clone();
        if is_outbox {
            set.flags.keywords.clear();
        }
        let folder = self.folder(set.mailbox.0)?;
        let mut named = folder.clone();
        named.messages.clear();
        let asked = match set.change {
            FlagChange::Remove => {
                let is_known = |name: &&String| named.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(name));
                let known: Vec<String> = set.flags.keywords.iter().filter(is_known).cloned().collect();
                named.bits(&known)
            }
            _ => named.bits(&set.flags.keywords),
        };
        let (mut changed, mut modified) = (Vec::new(), Vec::new());
        let modseq = folder.modseq + 1;
        for uid in ascending(&set.uids) {
            let Some(message) = folder.messages.get_mut(&uid) else { continue };
            if set.unchanged_since.is_some_and(|since| message.modseq > since.0) {
                modified.push(Uid(uid));
                continue;
            }
            let system = set.flags.system.0;
            let new = match set.change {
                FlagChange::Replace => (system, asked),
                FlagChange::Add => (message.flags | system, message.keywords | asked),
                FlagChange::Remove => (message.flags & !system, message.keywords & !asked),
                FlagChange::ReplaceWithin(rights) => {
                    let may = rights.system_flags().0;
                    let keywords = if rights.contains(Rights::WRITE) { asked } else { message.keywords };
                    (message.flags & !may | system & may, keywords)
                }
            };
            let new = match is_outbox {
                true => (message.flags & !SETTABLE | new.0 & SETTABLE, new.1),
                false => new,
            };
            if new != (message.flags, message.keywords) {
                (message.flags, message.keywords) = new;
                message.modseq = modseq;
                changed.push(Uid(uid));
            }
        }
        if !changed.is_empty() {
            folder.modseq = modseq;
            folder.keywords = named.keywords;
        }
        Ok(Answer::FlagsSet { changed, modified, mailbox: set.mailbox.0, modseq: folder.modseq })
    }

    fn expunge(&mut self, expunge: &Expunge) -> Result<Answer, Refusal> {
        let folder = self.folder(expunge.mailbox.0)?;
        let is_deleted = |uid: &u32| folder.messages.get(uid).is_some_and(|message| message.flags & DELETED != 0);
        let uids: Vec<u32> = match &expunge.which {
            Expungeable::Deleted => folder.messages.keys().copied().filter(is_deleted).collect(),
            Expungeable::DeletedAmong(uids) => ascending(uids).into_iter().filter(is_deleted).collect(),
            Expungeable::These(uids) => {
                ascending(uids).into_iter().filter(|uid| folder.messages.contains_key(uid)).collect()
            }
        };
        if !uids.is_empty() {
            match expunge.mailbox.0 == self.outbox() {
                true => self.take_back(&uids),
                false => self.folder(expunge.mailbox.0)?.expunge(&uids),
            }
        }
        let modseq = ModSeq(self.folder(expunge.mailbox.0)?.modseq);
        let uids = uids.into_iter().map(Uid).collect();
        Ok(Answer::Done(Done::Expunged { uids, modseq }))
    }

    fn create(&mut self, name: &str, special_use: Option<SpecialUse>) -> u32 {
        let id = self.next_mailbox;
        self.folders.insert(id, Folder::new(name.to_owned(), self.next_validity, special_use));
        self.next_mailbox += 1;
        self.next_validity += 1;
        id
    }

    fn create_parents(&mut self, name: &str) {
        for (end, _) in name.match_indices('/') {
            if self.id_of(&name[..end]).is_none() {
                self.create(&name[..end], None);
            }
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<Answer, Refusal> {
        let id = self.id_of(from).ok_or(Refusal::NotFound)?;
        if self.id_of(to).is_some() {
            return Err(Refusal::Exists);
        }
        if id == self.outbox() || to.starts_with(INSIDE_OUTBOX) {
            return Err(Refusal::Refused);
        }
        let inside = format!("{from}/");
        if id != INBOX.0 && to.starts_with(&inside) {
            return Err(Refusal::Refused);
        }
        self.create_parents(to);
        let rights = self.all_rights_on(id);
        if id == INBOX.0 {
            let new = self.create(to, None);
            self.copy_metadata(id, new);
            self.keep_rights(new, rights);
            let inbox = self.folder(id)?;
            let (keywords, messages) = (inbox.keywords.clone(), inbox.messages.clone());
            if !messages.is_empty() {
                inbox.expunge(&messages.keys().copied().collect::<Vec<_>>());
            }
            let folder = self.folder(new)?;
            folder.keywords = keywords;
            folder.modseq += u64::from(!messages.is_empty());
            for message in messages.into_values() {
                folder.place(Message { modseq: 2, ..message });
            }
        } else {
            for folder in self.folders.values_mut() {
                if folder.name == from {
                    folder.name = to.to_owned();
                } else if let Some(rest) = folder.name.strip_prefix(&inside) {
                    folder.name = format!("{to}/{rest}");
                }
            }
            self.keep_rights(id, rights);
        }
        Ok(Answer::Done(Done::Applied))
    }

    fn enqueue(&mut self, submission: &Submission) -> Result<Answer, Refusal> {
        let Submission { body, outgoing, copies, sent, now } = submission;
        for target in copies {
            self.place(target, body, *now, *now)?;
        }
        let sent = sent.as_ref().map(|target| self.place(target, body, *now, *now)).transpose()?;
        let sent = sent.filter(|_| outgoing.len() == 1 && copies.is_empty());
        let sent = sent.map(|placed| (placed.mailbox.0, placed.uid.0));
        let entries = outgoing.iter().map(|outgoing| self.queue(outgoing, body, *now, sent)).collect();
        self.time(*now);
        Ok(Answer::Done(Done::Enqueued(entries)))
    }

    fn queue(
        &mut self,
        outgoing: &Outgoing,
        body: &Arc<Body>,
        queued: Timestamp,
        sent_copy: Option<(u32, u32)>,
    ) -> QueueId {
        let Outgoing { reverse_path, parameters, recipients, signatures: _, not_before: due } = outgoing.clone();
        let recipients = recipients.into_iter().map(|Recipient { address, parameters }| {
            let (attempts, last_attempt, last_reply) = Default::default();
            QueueRecipient { address, parameters, attempts, last_attempt, last_reply }
        });
        let (id, body, recipients, held) = (self.next_queue, body.clone(), recipients.collect(), false);
        let outbox = 0;
        let waiting = Waiting { body, reverse_path, parameters, recipients, queued, due, held, outbox, sent_copy };
        self.queue.insert(id, waiting);
        self.show(id);
        self.next_queue += 1;
        QueueId(id)
    }

    fn settle(&mut self, settlement: &Settlement) -> Result<Answer, Refusal> {
        let Settlement { entry: id, outcomes, next_due, file, forward, notice, now } = settlement;
        let before = self.entry(*id)?.clone();
        let entry = self.entry(*id)?;
        if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Delivered) {
            entry.sent_copy = None;
        }
        for (address, outcome) in outcomes {
            match outcome {
                Outcome::Delivered | Outcome::Failed => entry.recipients.retain(|one| !one.address.same_as(address)),
                Outcome::Deferred(reply) => {
                    for one in entry.recipients.iter_mut().filter(|one| one.address.same_as(address)) {
                        one.attempts += 1;
                        one.last_attempt = Some(*now);
                        one.last_reply.clone_from(reply);
                    }
                }
            }
        }
        entry.due = *next_due;
        let body = entry.body.clone();
        let is_over = entry.recipients.is_empty();
        for target in file {
            self.place(target, &body, *now, *now)?;
        }
        for outgoing in forward {
            self.queue(outgoing, &body, *now, None);
        }
        if is_over {
            self.queue.remove(id);
            self.unshow(&before);
        } else {
            self.reshow(*id, &before);
        }
        self.notice(notice.as_ref(), *now)
    }
}
