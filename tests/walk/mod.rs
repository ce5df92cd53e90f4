//! Random walks over everything the store can do, beside a [`Model`] of it. Shared by the tests of crashes, of faults and
//! of the model itself.
#![allow(dead_code)] // each of them uses its part

pub mod change;
pub mod compare;
mod devices;
pub mod model;

pub use change::*;
pub use compare::*;
use hauspost::mail::credential::Verifier;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::address::{Address, Domain, ReversePath};
use hauspost::wire::date::Timestamp;
use hauspost::wire::smtp::{Body as BodyKind, Hold, MailParameters, Notify, RcptParameters};
pub use model::*;
use smol::future::block_on;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

/// Numbers that repeat with their seed.
#[derive(Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        chance.next();
        chance
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count + 8);
        while out.len() < count {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(count);
        out
    }
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// A seed from the environment, or the one that every run has.
pub fn seed_or(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Says it even where the test runner keeps what passes to itself.
pub fn say(line: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

const KEYWORDS: [&str; 6] = ["$Forwarded", "$Junk", "a", "A", "B", "c"];
/// Two of them are the same device.
const DEVICES: [&str; 4] = ["phone", "Phone", "tablet", "old"];
const LOGINS: [&str; 3] = ["me", "Me", "you"];
const SETTINGS: [&str; 3] = ["greylist", "dkim", "x"];
const LOCALS: [&str; 4] = ["x", "y", "Y", "z"];
/// Messages beyond which more are taken away than come.
const MESSAGES_MANY: usize = 120;

impl Model {
    /// The model of a store that was just made.
    pub fn of_new(store: &Store) -> Model {
        let mut model = Model { next_queue: 1, ..Model::default() };
        for mailbox in block_on(store.read(Snapshot::mailboxes)).expect("readable") {
            model.next_mailbox = model.next_mailbox.max(mailbox.id.0 + 1);
            model.next_validity = model.next_validity.max(mailbox.uid_validity.0 + 1);
            let folder = Folder {
                subscribed: mailbox.subscribed,
                ..Folder::new(mailbox.name, mailbox.uid_validity.0, mailbox.special_use)
            };
            model.folders.insert(mailbox.id.0, folder);
        }
        assert_eq!(model.folders.len(), 7, "a new store");
        model
    }

    fn messages(&self) -> usize {
        self.folders.values().map(|folder| folder.messages.len()).sum()
    }

    /// All bodies that are there, by id.
    fn bodies(&self) -> impl Iterator<Item = &Arc<Body>> {
        let messages = self.folders.values().flat_map(|folder| folder.messages.values().map(|message| &message.body));
        messages.chain(self.queue.values().map(|entry| &entry.body))
    }
}

/// Takes a body in; pieces of a size that fits nothing.
pub async fn take_in(store: &Store, body: &Body) -> Result<NewBody, Trouble> {
    let mut writer = store.body_writer();
    for piece in body.bytes.chunks(10_007) {
        writer.write(piece).await?;
    }
    writer.finish(body.index()).await
}

/// Does all of them at once: each is polled in order, until all are done.
async fn all_at_once<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Some(Box::pin(future)), None)).collect();
    poll_fn(move |context| {
        for (future, output) in &mut running {
            let polled = future.as_mut().map(|future| Pin::as_mut(future).poll(context));
            if let Some(Poll::Ready(value)) = polled {
                (*future, *output) = (None, Some(value));
            }
        }
        if running.iter().any(|(_, output)| output.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(running.iter_mut().filter_map(|(_, output)| output.take()).collect())
    })
    .await
}

/// A body that arrives while other things happen.
struct Arriving {
    body: Arc<Body>,
    writer: BodyWriter,
    at: usize,
    /// [`Model::body_max`] when it began.
    floor: u64,
}

/// What the store answered.
#[derive(Debug)]
pub struct Told {
    pub change: Change,
    pub wanted: Answer,
    /// After it.
    pub model: Arc<Model>,
    pub result: Result<Done, Trouble>,
}

/// A walk of random changes.
pub struct Walk {
    pub chance: Chance,
    pub model: Model,
    /// Largest bodies of the kinds to choose from, in bytes.
    sizes: &'static [usize],
    arriving: Option<Arriving>,
}

impl Walk {
    pub fn new(chance: Chance, mut model: Model, sizes: &'static [usize]) -> Walk {
        let ids = model.bodies().map(|body| body.id.load(Ordering::SeqCst));
        model.body_max = ids.chain([model.body_max]).max().unwrap_or(0);
        Walk { chance, model, sizes, arriving: None }
    }

    /// The store is about to be closed, or was: what was arriving is given up.
    pub fn give_up_arriving(&mut self) {
        self.arriving = None;
    }

    /// Asks for `count` changes at once; the store must do them in this order and answer as the model does. `states` gets
    /// the model after each of them.
    pub fn step(&mut self, store: &Store, count: usize, states: &mut Vec<Arc<Model>>) -> Result<(), String> {
        let floor = self.floor();
        let told = self.ask(store, count).map_err(|trouble| format!("a body was not taken in: {trouble:?}"))?;
        for Told { change, wanted, model, result } in told {
            if !wanted.is(&result) {
                return Err(format!("{change:?}\nwas answered {result:?}\nwanted was {wanted:?}"));
            }
            states.push(model);
        }
        self.learn_bodies(store, floor)
    }

    /// The same on a disk that fails: an answer may be that it failed, and then the change may be there or not; the
    /// others are there. Returns how many failed.
    pub fn step_on_failing(&mut self, store: &Store, count: usize, heal: impl Fn()) -> Result<usize, String> {
        let before = self.model.clone();
        let told = self.ask(store, count);
        let has_failed = |told: &Told| matches!(told.result, Err(Trouble::Failed(_) | Trouble::Full));
        let told = match told {
            Ok(told) if !told.iter().any(has_failed) => {
                let answered_wrong = told.iter().find(|told| !told.wanted.is(&told.result));
                return answered_wrong.map_or(Ok(0), |told| Err(format!("{:?}: {:?}", told.change, told.result)));
            }
            told => told,
        };
        self.arriving = None;
        self.model = before;
        let Ok(told) = told else { return Ok(1) };
        let failed: Vec<usize> = (0..told.len()).filter(|index| has_failed(&told[*index])).collect();
        heal();
        let mut differences = Vec::new();
        for there in 0..1u32 << failed.len() {
            let mut model = self.model.clone();
            let mut is_possible = true;
            for (index, Told { change, result, .. }) in told.iter().enumerate() {
                match failed.iter().position(|failed| *failed == index) {
                    Some(bit) if there >> bit & 1 == 0 => {}
                    Some(_) => drop(model.apply(change)),
                    None => is_possible &= model.apply(change).is(result),
                }
            }
            let difference = is_possible.then(|| difference_healed(store, &Arc::new(model.clone())));
            match difference {
                Some(None) => {
                    self.model = Walk::new(self.chance.clone(), model, self.sizes).model;
                    return Ok(failed.len());
                }
                difference => differences.extend(difference.flatten()),
            }
        }
        Err(format!("{told:?}\n{}", differences.join("\nor ")))
    }

    /// Bodies up to this id were there before.
    fn floor(&self) -> u64 {
        self.arriving.as_ref().map_or(self.model.body_max, |arriving| arriving.floor)
    }

    fn ask(&mut self, store: &Store, count: usize) -> Result<Vec<Told>, Trouble> {
        let mut asked = Vec::new();
        for _ in 0..count {
            let (change, mut bodies) = match block_on(self.arrive(store))? {
                Some((arrived, body)) => (self.deliver(arrived), vec![body]),
                None => (self.change(), Vec::new()),
            };
            for content in change.bodies().into_iter().skip(bodies.len()) {
                bodies.push(block_on(take_in(store, content))?);
            }
            let wanted = self.model.apply(&change);
            asked.push((change, bodies.into_iter(), wanted, Arc::new(self.model.clone())));
        }
        let futures = asked.iter_mut().map(|(change, bodies, ..)| store.apply(change.op(bodies))).collect();
        let results = block_on(all_at_once(futures));
        let told = asked.into_iter().zip(results);
        Ok(told.map(|((change, _, wanted, model), result)| Told { change, wanted, model, result }).collect())
    }

    /// The ids that new bodies got: none that any body had before.
    fn learn_bodies(&mut self, store: &Store, floor: u64) -> Result<(), String> {
        let mut fresh = Vec::new();
        let is_fresh = |body: &Arc<Body>| body.id.load(Ordering::SeqCst) == 0;
        for (id, folder) in &self.model.folders {
            let rows = folder.messages.iter().map(|(uid, message)| (uid, &message.body));
            for (uid, body) in rows.filter(|(_, body)| is_fresh(body)) {
                fresh.push((body.clone(), Some((MailboxId(*id), Uid(*uid))), QueueId(0)));
            }
        }
        for (id, entry) in self.model.queue.iter().filter(|(_, entry)| is_fresh(&entry.body)) {
            fresh.push((entry.body.clone(), None, QueueId(*id)));
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = fresh.iter().map(|(_, message, entry)| (*message, *entry)).collect();
        let read = move |snapshot: &Snapshot| {
            let id = |(message, entry)| match message {
                Some((mailbox, uid)) => Ok(snapshot.message(mailbox, uid)?.map(|row| row.body)),
                None => Ok(snapshot.queue_entry(entry)?.map(|entry| entry.body)),
            };
            places.into_iter().map(id).collect::<Result<Vec<_>, Trouble>>()
        };
        let ids = block_on(store.read(read)).map_err(|trouble| format!("it cannot be read: {trouble:?}"))?;
        for ((body, ..), id) in fresh.iter().zip(ids) {
            let id = id.ok_or_else(|| format!("{body:?} is not there"))?;
            if id.0 <= floor || body.id(id) != id.0 {
                return Err(format!("{body:?} has the id {id:?}; ids up to {floor} were given before"));
            }
            self.model.body_max = self.model.body_max.max(id.0);
        }
        Ok(())
    }

    /// Lets a body that was begun in an earlier step arrive a little more, or begins one. Returns it when it is whole.
    async fn arrive(&mut self, store: &Store) -> Result<Option<(Arc<Body>, NewBody)>, Trouble> {
        let Some(arriving) = &mut self.arriving else {
            if self.chance.below(12) == 0 {
                let (body, writer, floor) = (self.body(), store.body_writer(), self.model.body_max);
                self.arriving = Some(Arriving { body, writer, at: 0, floor });
            }
            return Ok(None);
        };
        let rest = &arriving.body.bytes[arriving.at..];
        let piece = &rest[..rest.len().min(1 + self.chance.below(arriving.body.bytes.len()))];
        arriving.writer.write(piece).await?;
        arriving.at += piece.len();
        let is_whole = arriving.at == arriving.body.bytes.len();
        match (is_whole, self.chance.below(4)) {
            // The sender hung up half-way.
            (false, 0) => self.arriving = None,
            (true, kind) => {
                if let Some(Arriving { body, writer, .. }) = self.arriving.take() {
                    let new = writer.finish(body.index()).await?;
                    // At the last moment it was refused.
                    return Ok((kind > 0).then_some((body, new)));
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn body(&mut self) -> Arc<Body> {
        let most = self.chance.pick(self.sizes);
        self.body_of(most)
    }

    fn body_of(&mut self, most: usize) -> Arc<Body> {
        let count = self.chance.below(most + 1);
        let mut bytes = b"Subject: x\r\n\r\n".to_vec();
        bytes.extend(self.chance.bytes(count));
        // Half of it compresses.
        if self.chance.below(2) == 0 {
            let end = bytes.len();
            bytes[end / 2..].fill(b'x');
        }
        Body::new(bytes, [0; 3].map(|_: u64| self.chance.below(12) as u64))
    }

    fn folder_id(&mut self) -> MailboxId {
        let index = self.chance.below(self.model.folders.len() + 3);
        // INBOX most often; sometimes one that is not there.
        let id = self.model.folders.keys().nth(index).copied().unwrap_or(INBOX.0);
        MailboxId(if self.chance.below(50) == 0 { id + 1000 } else { id })
    }

    fn folder_name(&mut self) -> String {
        let id = self.folder_id();
        self.model.folders.get(&id.0).map_or_else(|| "not there".to_owned(), |folder| folder.name.clone())
    }

    fn new_name(&mut self) -> String {
        let parent = match self.chance.below(4) {
            0 => "p/".to_owned(),
            1 => "p/q/".to_owned(),
            2 => format!("{}/", self.folder_name()),
            _ => String::new(),
        };
        // Not deeper than the store allows.
        let parent = if parent.matches('/').count() > 5 { "" } else { &parent };
        format!("{parent}{}", self.chance.below(8))
    }

    fn uids(&mut self, mailbox: MailboxId) -> Vec<Uid> {
        let next = self.model.folders.get(&mailbox.0).map_or(1, |folder| folder.uid_next) as usize;
        let there: Vec<u32> = self
            .model
            .folders
            .get(&mailbox.0)
            .map(|folder| folder.messages.keys().copied().collect())
            .unwrap_or_default();
        let count = 1 + self.chance.below(5);
        let any = |_| match there.is_empty() || self.chance.below(4) == 0 {
            true => Uid(1 + self.chance.below(next) as u32),
            false => Uid(self.chance.pick(&there)),
        };
        (0..count).map(any).collect()
    }

    fn flags(&mut self) -> Flags {
        let keywords = (0..self.chance.below(3)).map(|_| self.chance.pick(&KEYWORDS).to_owned()).collect();
        Flags { system: SystemFlags(self.chance.below(32) as u8), keywords }
    }

    fn target(&mut self) -> Target {
        Target { mailbox: self.folder_id(), flags: self.flags() }
    }

    fn time(&mut self) -> Timestamp {
        Timestamp(1_700_000_000_000 + self.chance.below(1 << 30) as i64)
    }

    fn address(&mut self) -> Address {
        Address { local: self.chance.pick(&LOCALS).to_owned(), domain: Domain::new("far.example") }
    }

    /// Any change, from those that may follow the model as it is.
    fn change(&mut self) -> Change {
        let crowded = self.model.messages() > MESSAGES_MANY;
        match self.chance.below(40) {
            0..=6 if !crowded => {
                let body = self.body();
                self.deliver(body)
            }
            7..=9 if !crowded => self.append(),
            10..=15 => self.set_flags(),
            16..=19 if !crowded => self.copy(),
            0..=24 => self.expunge(),
            25..=28 => self.change_mailboxes(),
            29..=31 if self.model.queue.len() < 12 => self.enqueue(),
            29..=33 => self.settle(),
            34..=36 => self.change_queue(),
            _ => self.change_settings(),
        }
    }

    /// Several messages at once, however large, in the place of others or not.
    fn append(&mut self) -> Change {
        let mailbox = self.folder_id();
        let messages = (0..1 + self.chance.below(3)).map(|_| (self.body(), self.target().flags, self.time())).collect();
        let from = self.folder_id();
        let replaced = match self.chance.below(2) {
            0 => self.uids(from).first().map(|uid| (from, *uid)),
            _ => None,
        };
        let superseded = if self.chance.below(3) == 0 { self.uids(mailbox) } else { Vec::new() };
        Change::Append(Appended { mailbox, messages, replaced, superseded, now: self.time() })
    }

    fn deliver(&mut self, body: Arc<Body>) -> Change {
        let targets = (0..1 + self.chance.below(2)).map(|_| self.target()).collect();
        let change = Change::Deliver { body, targets, internal_date: self.time(), now: self.time() };
        self.perhaps_told(change)
    }

    /// The change, sometimes with what somebody is told of it.
    fn perhaps_told(&mut self, change: Change) -> Change {
        let to = match self.chance.below(6) {
            0 => NoticeTo::Owner(self.target()),
            1 => NoticeTo::Sender(self.outgoing()),
            _ => return change,
        };
        // A notice is small.
        let most = self.sizes.iter().min().copied().unwrap_or(0);
        Change::Told { change: Box::new(change), notice: (self.body_of(most), to), now: self.time() }
    }

    fn copy(&mut self) -> Change {
        let (from, to, now) = (self.folder_id(), self.folder_id(), self.time());
        let copy = Copy { from, uids: self.uids(from), to, remove: self.chance.below(2) == 0, now };
        match self.chance.below(4) {
            0 => Change::CopyWithin { copy, rights: self.rights() },
            _ => Change::Copy(copy),
        }
    }

    fn set_flags(&mut self) -> Change {
        let mailbox = self.folder_id();
        let limit = self.model.folders.get(&mailbox.0).map_or(1, |folder| folder.modseq) as usize + 1;
        let unchanged_since = (self.chance.below(3) == 0).then(|| ModSeq(self.chance.below(limit) as u64));
        let within = FlagChange::ReplaceWithin(self.rights());
        let change = self.chance.pick(&[FlagChange::Add, FlagChange::Remove, FlagChange::Replace, within]);
        Change::SetFlags(SetFlags { mailbox, uids: self.uids(mailbox), change, flags: self.flags(), unchanged_since })
    }

    fn expunge(&mut self) -> Change {
        let mailbox = self.folder_id();
        let which = match self.chance.below(4) {
            0 => Expungeable::Deleted,
            1 => Expungeable::DeletedAmong(self.uids(mailbox)),
            _ => Expungeable::These(self.uids(mailbox)),
        };
        Change::Expunge(Expunge { mailbox, which })
    }

    fn special_use(&mut self) -> Option<SpecialUse> {
        self.chance.pick(&[None, None, Some(SpecialUse::Archive), Some(SpecialUse::Trash)])
    }

    fn change_mailboxes(&mut self) -> Change {
        let many = self.model.folders.len() > 20;
        match self.chance.below(12) {
            9.. => self.set_metadata(),
            0..=2 if !many => Change::Create { name: self.new_name(), special_use: self.special_use() },
            3 | 4 if !many => Change::Rename { from: self.folder_name(), to: self.new_name() },
            5 => Change::Subscribe { name: self.folder_name(), subscribed: self.chance.below(2) == 0 },
            6 => Change::SetSpecialUse { name: self.folder_name(), special_use: self.special_use() },
            _ => Change::Delete { name: self.folder_name() },
        }
    }

    fn set_metadata(&mut self) -> Change {
        let mailbox = (self.chance.below(5) > 0).then(|| self.folder_id());
        let entries = (0..self.chance.below(3)).map(|_| {
            let entry = self.chance.pick(&["/private/comment", "/shared/comment", "/shared/vendor/a/b"]).to_owned();
            let bytes = self.chance.below(300);
            (entry, (self.chance.below(3) > 0).then(|| self.chance.bytes(bytes)))
        });
        let entries = entries.collect();
        let special_use = (mailbox.is_some() && self.chance.below(4) == 0).then(|| self.special_use());
        Change::SetMetadata(SetMetadata { mailbox, entries, special_use })
    }

    fn enqueue(&mut self) -> Change {
        let outgoing = (0..1 + self.chance.below(2)).map(|_| self.outgoing()).collect();
        let copies = (0..self.chance.below(2)).map(|_| self.target()).collect();
        let sent = (self.chance.below(3) > 0).then(|| self.target());
        let change = Change::Enqueue(Submission { body: self.body(), outgoing, copies, sent, now: self.time() });
        self.perhaps_told(change)
    }

    fn outgoing(&mut self) -> Outgoing {
        let reverse_path = match self.chance.below(3) {
            0 => ReversePath::Null,
            _ => ReversePath::Address(self.address()),
        };
        let recipients = (0..1 + self.chance.below(3)).map(|_| {
            let original = (self.chance.below(3) == 0).then(|| format!("rfc822;{}", self.address()));
            let notify = self.chance.pick(&[Notify::default(), Notify::NEVER, Notify::SUCCESS]);
            Recipient { address: self.address(), parameters: RcptParameters { notify, original } }
        });
        let recipients = recipients.collect();
        let parameters = MailParameters {
            envelope_id: (self.chance.below(3) == 0).then(|| format!("id {}", self.chance.below(1000))),
            return_full: self.chance.pick(&[None, Some(true), Some(false)]),
            smtp_utf8: self.chance.below(4) == 0,
            body: self.chance.pick(&[BodyKind::SevenBit, BodyKind::EightBitMime]),
            require_tls: self.chance.below(4) == 0,
            tls_optional: self.chance.below(4) == 0,
            hold: self.chance.pick(&[None, None, Some(Hold::Until(Timestamp(1_700_000_000_000)))]),
        };
        // Mostly there is nothing to wait for.
        let not_before = if self.chance.below(3) == 0 { self.time() } else { Timestamp(1_700_000_000_000) };
        Outgoing { reverse_path, parameters, recipients, signatures: Vec::new(), not_before }
    }

    /// An entry; sometimes one that is not there.
    fn entry(&mut self) -> u64 {
        let index = self.chance.below(self.model.queue.len() + 1);
        self.model.queue.keys().nth(index).copied().unwrap_or(self.model.next_queue + 5)
    }

    fn notice(&mut self) -> Option<(Arc<Body>, NoticeTo)> {
        match self.chance.below(6) {
            0 => Some((self.body(), NoticeTo::Owner(self.target()))),
            1 => Some((self.body(), NoticeTo::Sender(self.outgoing()))),
            _ => None,
        }
    }

    fn change_queue(&mut self) -> Change {
        let entry = self.entry();
        match self.chance.below(8) {
            0 | 1 => Change::Hold(entry),
            2 | 3 => Change::Release { entry, due: self.time() },
            4 => Change::Retry { entry: Some(entry), due: self.time() },
            5 => Change::Retry { entry: None, due: self.time() },
            6 => Change::RetryThese { entries: vec![entry, self.entry(), self.entry()], due: self.time() },
            _ => Change::Remove { entry, notice: self.notice(), now: self.time() },
        }
    }

    fn settle(&mut self) -> Change {
        let entry = self.entry();
        let mut outcomes = Vec::new();
        for _ in 0..1 + self.chance.below(3) {
            let outcome = match self.chance.below(4) {
                0 => Outcome::Failed,
                1 => Outcome::Deferred(format!("451 later {}", self.chance.below(1000))),
                _ => Outcome::Delivered,
            };
            outcomes.push((self.address(), outcome));
        }
        // Sometimes it is found to be for here, or to be sent on.
        let mut some = || [0, 0, 0, 1, 2][self.chance.below(5)];
        let counts = (some(), some());
        let file = (0..counts.0).map(|_| self.target()).collect();
        let forward = (0..counts.1).map(|_| self.outgoing()).collect();
        let (next_due, notice, now) = (self.time(), self.notice(), self.time());
        Change::Settle(Settlement { entry, outcomes, next_due, file, forward, notice, now })
    }

    fn change_settings(&mut self) -> Change {
        let login = self.chance.pick(&LOGINS).to_owned();
        match self.chance.below(9) {
            6.. => self.change_devices(),
            0 => Change::RemoveCredential(login),
            5 => Change::NoteTime(self.time()),
            1 | 2 => {
                let salt: [u8; 16] = self.chance.bytes(16).try_into().expect("sixteen");
                let stored_key: [u8; 32] = self.chance.bytes(32).try_into().expect("thirty-two");
                let verifier = Verifier { salt, iterations: 4096, stored_key, server_key: stored_key };
                Change::SetCredential(Credential { login, verifier, device: None })
            }
            3 => {
                let value = self.chance.bytes(32);
                Change::MakeSetting { key: self.chance.pick(&SETTINGS).to_owned(), value }
            }
            _ => {
                let bytes = self.chance.below(300);
                let value = (self.chance.below(4) > 0).then(|| self.chance.bytes(bytes));
                Change::SetSetting { key: self.chance.pick(&SETTINGS).to_owned(), value }
            }
        }
    }
}
