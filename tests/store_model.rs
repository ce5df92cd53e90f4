//! The store beside a plain model of it: random changes, with reopening and power cuts in between, must leave both the
//! same; and a long walk is cut at every write and every flush.

use hauspost::mail::index::BodyIndex;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::address::{Address, Domain, ReversePath};
use hauspost::wire::date::Timestamp;
use smol::future::block_on;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Numbers that repeat with their seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// A ring this small wraps every few changes; a batch that is larger than its eighth goes into the redb file.
fn options() -> Options {
    Options { ring_bytes: 64 << 10, cache_bytes: 1 << 20, ..Options::new("") }
}

fn open(disk: &MemoryDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), options()).expect("the store opens")
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    system: u8,
    keywords: BTreeSet<String>,
    bytes: Vec<u8>,
    modseq: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Box_ {
    validity: u32,
    next: u32,
    modseq: u64,
    messages: BTreeMap<u32, Message>,
    /// (modseq, UID)
    expunged: BTreeSet<(u64, u32)>,
}

/// What the store should be, in the plainest form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    boxes: BTreeMap<String, Box_>,
    queue: BTreeMap<u64, (Vec<String>, i64, Vec<u8>)>,
}

/// What the store says it is, in the same form; modseqs of mailboxes are the store's.
fn observe(store: &Store) -> Model {
    let observed = block_on(store.read(|snapshot| {
        let body = |id, bytes| snapshot.body_range(id, 0..bytes);
        let mut model = Model::default();
        for mailbox in snapshot.mailboxes()? {
            let changes = snapshot.changes_since(mailbox.id, ModSeq(0))?;
            assert_eq!(changes.mailbox.as_ref(), Some(&mailbox));
            assert_eq!(changes.changed.len(), mailbox.messages as usize);
            let mut messages = BTreeMap::new();
            for row in snapshot.messages(mailbox.id, Uid(1), Uid(u32::MAX), usize::MAX)? {
                let named = |(bit, _): &(usize, &String)| row.keywords >> bit & 1 == 1;
                let keywords = mailbox.keywords.iter().enumerate().filter(named).map(|(_, name)| name.clone());
                let message = Message {
                    system: row.flags.0,
                    keywords: keywords.collect(),
                    bytes: body(row.body, row.bytes)?,
                    modseq: row.modseq.0,
                };
                messages.insert(row.uid.0, message);
            }
            let mut expunged = BTreeSet::new();
            for uid in changes.expunged {
                // The modseq of an expunge is where it disappears from the changes.
                let gone = |since: u64| -> Result<bool, Trouble> {
                    Ok(!snapshot.changes_since(mailbox.id, ModSeq(since))?.expunged.contains(&uid))
                };
                let (mut low, mut high) = (0, mailbox.highest_modseq.0);
                while low + 1 < high {
                    let middle = (low + high) / 2;
                    if gone(middle)? { high = middle } else { low = middle }
                }
                expunged.insert((high, uid.0));
            }
            let state = Box_ {
                validity: mailbox.uid_validity.0,
                next: mailbox.uid_next.0,
                modseq: mailbox.highest_modseq.0,
                messages,
                expunged,
            };
            model.boxes.insert(mailbox.name, state);
        }
        for entry in snapshot.queue(QueueId(0), usize::MAX)? {
            let waiting = entry.recipients.iter().map(|recipient| recipient.address.local.clone()).collect();
            model.queue.insert(entry.id.0, (waiting, entry.due.0, body(entry.body, entry.bytes)?));
        }
        Ok(model)
    }));
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
    observed.expect("readable")
}

/// A walk of random changes, done to the store and to the model.
struct Walk {
    chance: Chance,
    model: Model,
    next_queue: u64,
    /// Sizes of bodies: mostly small.
    sizes: &'static [usize],
}

const KEYWORDS: [&str; 5] = ["$Forwarded", "$Junk", "a", "B", "c"];

impl Walk {
    fn new(seed: u64, store: &Store, sizes: &'static [usize]) -> Walk {
        Walk {
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            model: observe(store),
            next_queue: 1,
            sizes,
        }
    }

    fn id(&self, store: &Store, name: &str) -> MailboxId {
        let name = name.to_owned();
        block_on(store.read(move |snapshot| snapshot.mailbox_named(&name))).expect("readable").expect("there").id
    }

    fn any_box(&mut self) -> String {
        let index = self.chance.below(self.model.boxes.len());
        self.model.boxes.keys().nth(index).expect("there are some").clone()
    }

    fn any_uids(&mut self, name: &str) -> Vec<u32> {
        let next = self.model.boxes[name].next as usize;
        (0..1 + self.chance.below(6)).map(|_| 1 + self.chance.below(next) as u32).collect()
    }

    fn flags(&mut self) -> (u8, BTreeSet<String>) {
        let keywords = (0..self.chance.below(3)).map(|_| KEYWORDS[self.chance.below(5)].to_owned()).collect();
        (self.chance.below(32) as u8, keywords)
    }

    fn body(&mut self, store: &Store) -> (Vec<u8>, NewBody) {
        let size = self.sizes[self.chance.below(self.sizes.len())];
        let mut bytes = b"Subject: x\r\n\r\n".to_vec();
        let count = self.chance.below(size + 1);
        bytes.extend(self.chance.bytes(count));
        let mut writer = store.body_writer();
        block_on(writer.write(&bytes)).expect("taken in");
        let body = block_on(writer.finish(BodyIndex::default())).expect("a body");
        (bytes, body)
    }

    fn step(&mut self, store: &Store) {
        match self.chance.below(20) {
            0..=5 => self.deliver(store),
            6..=9 => self.set_flags(store),
            10 | 11 => self.copy(store),
            12..=14 => self.expunge(store),
            15 | 16 => self.mailbox(store),
            17 => self.enqueue(store),
            18 => self.settle(store),
            _ => drop(self.body(store)),
        }
    }

    fn deliver(&mut self, store: &Store) {
        let names: Vec<String> = (0..1 + self.chance.below(2)).map(|_| self.any_box()).collect();
        let (bytes, body) = self.body(store);
        let mut targets = Vec::new();
        for name in &names {
            let (system, keywords) = self.flags();
            let flags = Flags { system: SystemFlags(system), keywords: keywords.iter().cloned().collect() };
            targets.push(Target { mailbox: self.id(store, name), flags });
            let state = self.model.boxes.get_mut(name).expect("there");
            state.modseq += 1;
            let message = Message { system, keywords, bytes: bytes.clone(), modseq: state.modseq };
            state.messages.insert(state.next, message);
            state.next += 1;
        }
        let deliver = Deliver { body, targets, internal_date: Timestamp(1), now: Timestamp(2) };
        block_on(store.apply(Op::Deliver(deliver))).expect("delivered");
    }

    fn set_flags(&mut self, store: &Store) {
        let name = self.any_box();
        let uids = self.any_uids(&name);
        let (system, keywords) = self.flags();
        let change = [FlagChange::Add, FlagChange::Remove, FlagChange::Replace][self.chance.below(3)];
        let limit = self.model.boxes[&name].modseq + 1;
        let unchanged_since = (self.chance.below(3) == 0).then(|| self.chance.below(limit as usize) as u64);
        let set = SetFlags {
            mailbox: self.id(store, &name),
            uids: uids.iter().copied().map(Uid).collect(),
            change,
            flags: Flags { system: SystemFlags(system), keywords: keywords.iter().cloned().collect() },
            unchanged_since: unchanged_since.map(ModSeq),
        };
        let state = self.model.boxes.get_mut(&name).expect("there");
        let (mut changed, mut modified) = (BTreeSet::new(), BTreeSet::new());
        for uid in uids {
            let Some(message) = state.messages.get_mut(&uid) else { continue };
            if unchanged_since.is_some_and(|since| message.modseq > since && !changed.contains(&uid)) {
                modified.insert(uid);
                continue;
            }
            let before = message.clone();
            match change {
                FlagChange::Add => {
                    message.system |= system;
                    message.keywords.extend(keywords.clone());
                }
                FlagChange::Remove => {
                    message.system &= !system;
                    message.keywords = &message.keywords - &keywords;
                }
                FlagChange::Replace => (message.system, message.keywords) = (system, keywords.clone()),
            }
            if *message != before {
                message.modseq = state.modseq + 1;
                changed.insert(uid);
            }
        }
        state.modseq += u64::from(!changed.is_empty());
        let done = block_on(store.apply(Op::SetFlags(set))).expect("set");
        let Done::FlagsSet { changed: told, modified: refused, mailbox } = done else { panic!("{done:?}") };
        assert!(told.iter().map(|row| row.uid.0).eq(changed));
        assert!(refused.iter().map(|uid| uid.0).eq(modified));
        assert_eq!(mailbox.highest_modseq.0, self.model.boxes[&name].modseq);
    }

    fn copy(&mut self, store: &Store) {
        let (from, to) = (self.any_box(), self.any_box());
        let uids: BTreeSet<u32> = self.any_uids(&from).into_iter().collect();
        let remove = self.chance.below(2) == 0;
        let copy = Copy {
            from: self.id(store, &from),
            uids: uids.iter().copied().map(Uid).collect(),
            to: self.id(store, &to),
            remove,
            now: Timestamp(3),
        };
        let there: Vec<(u32, Message)> = self.model.boxes[&from]
            .messages
            .iter()
            .filter(|(uid, _)| uids.contains(uid))
            .map(|(a, b)| (*a, b.clone()))
            .collect();
        let mut pairs = Vec::new();
        if !there.is_empty() {
            let target = self.model.boxes.get_mut(&to).expect("there");
            target.modseq += 1;
            for (uid, message) in &there {
                pairs.push((Uid(*uid), Uid(target.next)));
                target.messages.insert(target.next, Message { modseq: target.modseq, ..message.clone() });
                target.next += 1;
            }
            if remove {
                self.model.boxes.get_mut(&from).expect("there").remove(there.iter().map(|(uid, _)| *uid));
            }
        }
        let done = block_on(store.apply(Op::Copy(copy))).expect("copied");
        assert!(matches!(done, Done::Copied { pairs: told, .. } if told == pairs));
    }

    fn expunge(&mut self, store: &Store) {
        let name = self.any_box();
        let among = self.any_uids(&name);
        let listed = among.iter().copied().map(Uid).collect();
        let state = self.model.boxes.get_mut(&name).expect("there");
        let deleted = |message: &Message| message.system & SystemFlags::DELETED.0 != 0;
        let is_there = |uid: &u32| state.messages.contains_key(uid);
        let (which, gone): (_, BTreeSet<u32>) = match self.chance.below(4) {
            0 => (
                Expungeable::Deleted,
                state.messages.iter().filter(|(_, message)| deleted(message)).map(|(uid, _)| *uid).collect(),
            ),
            1 => (
                Expungeable::DeletedAmong(listed),
                among.into_iter().filter(|uid| state.messages.get(uid).is_some_and(deleted)).collect(),
            ),
            _ => (Expungeable::These(listed), among.into_iter().filter(is_there).collect()),
        };
        if !gone.is_empty() {
            state.remove(gone.iter().copied());
        }
        let modseq = state.modseq;
        let mailbox = self.id(store, &name);
        let done = block_on(store.apply(Op::Expunge(Expunge { mailbox, which }))).expect("expunged");
        let uids = gone.into_iter().map(Uid).collect();
        assert_eq!(done, Done::Expunged { uids, modseq: ModSeq(modseq) });
    }

    fn mailbox(&mut self, store: &Store) {
        let name = self.any_box();
        let new = format!("{}{}", ["", "p/", "p/q/"][self.chance.below(3)], self.chance.below(8));
        let op = match self.chance.below(3) {
            0 => Op::CreateMailbox { name: new, special_use: None },
            1 => Op::RenameMailbox { from: name, to: new },
            _ => Op::DeleteMailbox { name },
        };
        // Names are checked by dialogue tests; here it matters that what happened lasts, so the model believes it.
        if block_on(store.apply(op)).is_ok() {
            let before = std::mem::take(&mut self.model);
            self.model = observe(store);
            let known: BTreeSet<u32> = before.boxes.values().map(|state| state.validity).collect();
            let now: BTreeSet<u32> = self.model.boxes.values().map(|state| state.validity).collect();
            assert_eq!(now.len(), self.model.boxes.len(), "no UIDVALIDITY twice");
            assert!((&now - &known).iter().all(|new| known.iter().all(|old| old < new)), "a new one is the highest");
        }
    }

    fn enqueue(&mut self, store: &Store) {
        let (bytes, body) = self.body(store);
        let waiting = ["x".to_owned(), "y".to_owned()];
        let address = |local: &String| Address { local: local.clone(), domain: Domain::new("far.example") };
        let enqueue = Enqueue {
            body,
            reverse_path: ReversePath::Null,
            parameters: Default::default(),
            recipients: waiting.iter().map(address).map(Recipient::from).collect(),
            copies: Vec::new(),
            not_before: Timestamp(10),
            now: Timestamp(4),
        };
        assert_eq!(block_on(store.apply(Op::Enqueue(enqueue))), Ok(Done::Enqueued(QueueId(self.next_queue))));
        self.model.queue.insert(self.next_queue, (waiting.to_vec(), 10, bytes));
        self.next_queue += 1;
    }

    fn settle(&mut self, store: &Store) {
        let index = self.chance.below(self.model.queue.len());
        let Some((&id, entry)) = self.model.queue.iter_mut().nth(index) else { return };
        let gone = entry.0.pop().expect("waiting");
        entry.1 += 5;
        let settle = Settle {
            entry: QueueId(id),
            outcomes: vec![(Address { local: gone, domain: Domain::new("far.example") }, Outcome::Delivered)],
            next_due: Timestamp(entry.1),
            notice: None,
            now: Timestamp(5),
        };
        if entry.0.is_empty() {
            self.model.queue.remove(&id);
        }
        block_on(store.apply(Op::Settle(settle))).expect("settled");
    }
}

impl Box_ {
    fn remove(&mut self, uids: impl Iterator<Item = u32>) {
        self.modseq += 1;
        for uid in uids {
            self.messages.remove(&uid);
            self.expunged.insert((self.modseq, uid));
        }
    }
}

#[test]
fn the_store_and_a_plain_model_agree() {
    for seed in 1..=12 {
        let mut disk = MemoryDisk::remembering();
        let mut store = open(&disk);
        let mut walk = Walk::new(seed, &store, &[100, 100, 3_000, 20_000, 200_000]);
        for step in 0..120 {
            walk.step(&store);
            match walk.chance.below(40) {
                0 => {
                    store.close().expect("closed");
                    store = open(&disk);
                }
                1 => {
                    // The power goes while the store is at rest; what was not synced is lost or not.
                    let events = disk.events();
                    disk = disk.cut(events, || walk.chance.next() & 1 == 0);
                    store = open(&disk);
                }
                _ => {}
            }
            if step % 10 == 0 {
                assert_eq!(observe(&store), walk.model, "seed {seed}, step {step}");
            }
        }
        assert_eq!(observe(&store), walk.model, "seed {seed}");
    }
}

/// Every state of a walk, and how far the disk was when it was acknowledged.
fn walk_remembered(seed: u64, sizes: &'static [usize], steps: usize) -> (MemoryDisk, Vec<(usize, Model)>) {
    let disk = MemoryDisk::remembering();
    let store = open(&disk);
    let mut walk = Walk::new(seed, &store, sizes);
    let mut states = vec![(disk.events(), walk.model.clone())];
    for step in 0..steps {
        walk.step(&store);
        states.push((disk.events(), walk.model.clone()));
        if step == steps / 2 {
            store.close().expect("closed");
            return_to(&mut walk, &mut states, &disk, steps / 2);
            break;
        }
    }
    (disk, states)
}

/// The second half of a walk, after a close.
fn return_to(walk: &mut Walk, states: &mut Vec<(usize, Model)>, disk: &MemoryDisk, steps: usize) {
    let store = open(disk);
    states.push((disk.events(), walk.model.clone()));
    for _ in 0..steps {
        walk.step(&store);
        states.push((disk.events(), walk.model.clone()));
    }
    store.close().expect("closed");
}

/// Cuts the walk at every event and checks what comes back.
fn cut_everywhere(seed: u64, sizes: &'static [usize], steps: usize) -> usize {
    let (disk, states) = walk_remembered(seed, sizes, steps);
    let mut chance = Chance(seed | 1);
    let first = states[0].0;
    let mut cuts = 0;
    for events in first..=disk.events() {
        // Nothing unsynced survives, everything, or some.
        let mode = chance.below(3);
        let survivor = disk.cut(events, || mode == 1 || (mode == 2 && chance.next() & 1 == 0));
        let store = open(&survivor);
        let found = observe(&store);
        let acknowledged = states.iter().rposition(|(at, _)| *at <= events).expect("the first one");
        let possible = &states[acknowledged..states.len().min(acknowledged + 2)];
        assert!(
            possible.iter().any(|(_, model)| *model == found),
            "seed {seed}: cut at event {events} of {}, after {acknowledged} changes",
            disk.events()
        );
        if cuts % 10 == 0 {
            store.close().expect("closed");
            assert_eq!(observe(&open(&survivor)), found, "and once more");
        }
        cuts += 1;
    }
    cuts
}

#[test]
fn a_walk_cut_at_every_write_and_flush_loses_nothing() {
    let cuts = cut_everywhere(5, &[200, 2_000], 90) + cut_everywhere(6, &[200, 9_000], 40);
    assert!(cuts > 200, "{cuts} cuts");
}

#[test]
fn staged_bodies_survive_cuts_whole_or_not_at_all() {
    let cuts = cut_everywhere(7, &[300, 300_000], 14);
    assert!(cuts > 100, "{cuts} cuts");
}
