//! Stores on cards that fail: whatever is destroyed, what can be read comes back as it was, and what is lost is said.

#[path = "salvage/bad_disk.rs"]
mod bad_disk;

use bad_disk::BadDisk;
use hauspost::mail::credential::Verifier;
use hauspost::mail::index::Indexer;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::address::{Address, Domain, ReversePath};
use hauspost::wire::date::Timestamp;
use smol::future::block_on;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;
const NOW_SECONDS: u64 = 1_800_000_000;

fn options() -> Options {
    Options { ring_bytes: 512 << 10, cache_bytes: 1 << 20, ..Options::new("") }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 8) % end
    }
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// The flags and keywords of a message at some time.
type Marks = (u8, BTreeSet<String>);

/// One message as it was, at all times.
struct Kept {
    bytes: Vec<u8>,
    marks: BTreeSet<Marks>,
}

/// A store and all that ever was in it.
struct Past {
    disk: MemoryDisk,
    /// By mailbox and UID; those deleted since as well.
    ever: BTreeMap<(u32, u32), Kept>,
    /// What is there at the end.
    now: BTreeSet<(u32, u32)>,
    mailboxes: BTreeMap<u32, Mailbox>,
    queue: usize,
}

struct Making {
    store: Store,
    random: Random,
    ever: BTreeMap<(u32, u32), Kept>,
}

fn apply(store: &Store, op: Op) -> Done {
    block_on(store.apply(op)).expect("applied")
}

fn body(store: &Store, bytes: &[u8]) -> NewBody {
    let mut writer = store.body_writer();
    let mut indexer = Indexer::new();
    indexer.push(bytes);
    block_on(writer.write(bytes)).expect("taken in");
    block_on(writer.finish(indexer.finish())).expect("a body")
}

fn named(mailbox: &Mailbox, bits: u64) -> BTreeSet<String> {
    (0..64).filter(|bit| bits >> bit & 1 == 1).map(|bit| mailbox.keywords[bit].clone()).collect()
}

/// Every message that is there.
fn everything(store: &Store) -> Vec<(Mailbox, MessageRow)> {
    let read = |snapshot: &Snapshot| {
        let mut all = Vec::new();
        for mailbox in snapshot.mailboxes()? {
            let rows = snapshot.messages(mailbox.id, Uid(1), Uid(u32::MAX), usize::MAX)?;
            all.extend(rows.into_iter().map(|row| (mailbox.clone(), row)));
        }
        Ok(all)
    };
    block_on(store.read(read)).expect("readable")
}

fn whole(store: &Store, body: BodyId) -> Vec<u8> {
    block_on(store.read(move |snapshot| snapshot.body_range(body, 0..u64::MAX))).expect("readable")
}

impl Making {
    fn text(&mut self, bytes: usize) -> Vec<u8> {
        let number = self.random.next();
        let mut text = format!("From: a{number}@example.org\r\nSubject: message {number}\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@example.org>\r\n\r\n")
            .into_bytes();
        while text.len() < bytes {
            let line = format!("{:x} and {:x} are two numbers\r\n", self.random.next(), self.random.below(1000));
            text.extend_from_slice(line.as_bytes());
        }
        text
    }

    fn deliver(&mut self, mailboxes: &[MailboxId], bytes: &[u8], keywords: &[&str]) {
        let keywords: Vec<String> = keywords.iter().map(|name| name.to_string()).collect();
        let flags = Flags { system: SystemFlags::default(), keywords };
        let targets = mailboxes.iter().map(|mailbox| Target { mailbox: *mailbox, flags: flags.clone() }).collect();
        let body = body(&self.store, bytes);
        let deliver = Deliver { body, targets, internal_date: Timestamp(5), now: Timestamp(6) };
        apply(&self.store, Op::Deliver(deliver));
    }

    /// Remembers how everything is now.
    fn remember(&mut self) {
        for (mailbox, row) in everything(&self.store) {
            let store = &self.store;
            let key = (mailbox.id.0, row.uid.0);
            let kept = self.ever.entry(key);
            let kept = kept.or_insert_with(|| Kept { bytes: whole(store, row.body), marks: BTreeSet::new() });
            kept.marks.insert((row.flags.0, named(&mailbox, row.keywords)));
        }
    }

    fn uids(&mut self, mailbox: MailboxId, one_in: u64) -> Vec<Uid> {
        let all = block_on(self.store.read(move |snapshot| snapshot.uids_from(mailbox, Uid(1)))).expect("readable");
        all.into_iter().filter(|_| self.random.below(one_in) == 0).collect()
    }

    fn some_change(&mut self, mailboxes: &[MailboxId]) {
        let from = mailboxes[self.random.below(mailboxes.len() as u64) as usize];
        let to = mailboxes[self.random.below(mailboxes.len() as u64) as usize];
        let uids = self.uids(from, 12);
        let now = Timestamp(7);
        match self.random.below(5) {
            0 | 1 => {
                let system = SystemFlags(1 << self.random.below(4));
                let keywords = vec![format!("word{}", self.random.below(6))];
                let flags = Flags { system, keywords };
                let (mailbox, change) = (from, FlagChange::Add);
                apply(&self.store, Op::SetFlags(SetFlags { mailbox, uids, change, flags, unchanged_since: None }));
            }
            2 if from != to => {
                let uids = uids.into_iter().take(5).collect();
                apply(&self.store, Op::Copy(Copy { from, to, uids, remove: false, now }));
            }
            3 if from != to => {
                apply(&self.store, Op::Copy(Copy { from, to, uids, remove: true, now }));
            }
            _ => {
                self.remember();
                let which = Expungeable::These(uids.into_iter().take(3).collect());
                apply(&self.store, Op::Expunge(Expunge { mailbox: from, which }));
            }
        }
        self.remember();
    }
}

/// A store with history. `unclean`: its last changes are only in the journal.
fn past(messages: usize, unclean: bool) -> Past {
    let disk = MemoryDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
    let mut making = Making { store, random: Random(0x5eed_1234_5678), ever: BTreeMap::new() };
    for name in ["Work", "Work/Old", "Family"] {
        apply(&making.store, Op::CreateMailbox { name: name.into(), special_use: None });
    }
    let mailboxes: Vec<MailboxId> = [1, 6, 8, 9, 10].map(MailboxId).to_vec();
    for number in 0..messages {
        let size = [300, 900, 2_500, 7_000][making.random.below(4) as usize];
        let text = making.text(size);
        let to = mailboxes[number % mailboxes.len()];
        making.deliver(&[to], &text, &[&format!("word{}", number % 5)]);
        if number % 20 == 19 {
            making.some_change(&mailboxes);
        }
        if number == messages / 2 {
            let large = [making.text(500), making.random.bytes(400_000)].concat();
            making.deliver(&[INBOX, MailboxId(8)], &large, &[]);
        }
    }
    for name in ["friend", "other"] {
        let text = making.text(1_000);
        let enqueue = Enqueue {
            body: body(&making.store, &text),
            outgoing: vec![Outgoing {
                reverse_path: ReversePath::Null,
                parameters: Default::default(),
                recipients: vec![Address { local: name.into(), domain: Domain::new("far.example") }.into()],
                signatures: Vec::new(),
                not_before: Timestamp(9),
            }],
            copies: vec![Target { mailbox: MailboxId(3), flags: Flags::default() }],
            sent: None,
            now: Timestamp(9),
        };
        apply(&making.store, Op::Enqueue(enqueue));
    }
    // One of them was tried.
    let outcomes = vec![(
        Address { local: "other".into(), domain: Domain::new("far.example") },
        Outcome::Deferred("451 later".into()),
    )];
    let (entry, next_due, now) = (QueueId(2), Timestamp(900), Timestamp(10));
    let (file, forward, notice, delay_told) = (Vec::new(), Vec::new(), None, false);
    apply(&making.store, Op::Settle(Settle { entry, outcomes, next_due, file, forward, notice, delay_told, now }));
    let verifier = Verifier::new("secret", [7; 16], 4);
    apply(&making.store, Op::SetCredential(Credential { login: "me".into(), verifier, device: None }));
    apply(&making.store, Op::SetSetting { key: "color".into(), value: Some(b"blue".to_vec()) });
    making.remember();
    // Outbox shows the queue, which is counted by itself.
    let all = everything(&making.store).into_iter().filter(|(mailbox, _)| mailbox.name != OUTBOX_NAME);
    let now = all.map(|(mailbox, row)| (mailbox.id.0, row.uid.0)).collect();
    let all = block_on(making.store.read(Snapshot::mailboxes)).expect("readable");
    let image = copy(&disk);
    let image = if unclean {
        image
    } else {
        making.store.close().expect("closed");
        copy(&disk)
    };
    let mailboxes = all.into_iter().map(|mailbox| (mailbox.id.0, mailbox)).collect();
    Past { disk: image, ever: making.ever, now, mailboxes, queue: 2 }
}

fn make_disk(database: &[u8], journal: &[u8]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (part, bytes) in [(Part::Database, database), (Part::Journal, journal)] {
        disk.draft(part, 0).expect("a draft").write(0, bytes).expect("written");
        disk.publish(part).expect("published");
    }
    disk
}

fn copy(disk: &MemoryDisk) -> MemoryDisk {
    make_disk(&disk.bytes(Part::Database), &disk.bytes(Part::Journal))
}

/// How much of a store came back.
#[derive(Clone, Copy, Default)]
struct Measured {
    /// Messages that are in their place.
    in_place: usize,
    /// Messages that are there at all.
    anywhere: usize,
    all: usize,
    queue: usize,
    /// A mailbox took the place of Outbox.
    moved_outbox: bool,
}

/// Salvages and checks all that must hold whatever the damage.
fn salvage_and_check(past: &Past, damaged: &dyn Disk, below: &MemoryDisk, what: &str) -> Measured {
    let before = (below.bytes(Part::Database), below.bytes(Part::Journal));
    let out = MemoryDisk::new();
    let mut partials = 0;
    let salvaged = salvage(damaged, &out, NOW_SECONDS, &mut |_, _| {}, &mut |_| {
        partials += 1;
        Ok(())
    });
    let salvaged = salvaged.unwrap_or_else(|trouble| panic!("{what}: {trouble:?}"));
    assert!(before == (below.bytes(Part::Database), below.bytes(Part::Journal)), "{what}: changed");
    let inspected = inspect(Arc::new(out.clone()), |_, _| {}).expect("a store");
    assert_eq!(inspected.findings, Vec::<String>::new(), "{what}");
    let store = Store::open_on(Arc::new(out), options()).expect("opens");
    let names = block_on(store.read(Snapshot::mailboxes)).expect("readable").into_iter().map(|mailbox| mailbox.name);
    let moved_outbox = names.into_iter().any(|name| name.starts_with("Outbox-"));
    let mut measured =
        Measured { moved_outbox, all: past.now.len(), queue: inspected.queue as usize, ..Measured::default() };
    let mut there = BTreeSet::new();
    let mut contents: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    // What Outbox shows of the queue may be said anew; where the queue is lost, too, it is another's, `Outbox-1`.
    for (mailbox, row) in everything(&store).into_iter().filter(|(mailbox, _)| !mailbox.name.starts_with(OUTBOX_NAME)) {
        let bytes = whole(&store, row.body);
        let own = past.mailboxes.get(&mailbox.id.0).filter(|_| !mailbox.name.starts_with("Recovered"));
        if let Some(own) = own {
            assert_eq!(mailbox.name, own.name, "{what}");
            let kept = past.ever.get(&(mailbox.id.0, row.uid.0));
            let kept = kept.unwrap_or_else(|| panic!("{what}: {:?} of {} never was", row.uid, mailbox.name));
            assert!(kept.bytes == bytes, "{what}: {:?} of {} has other bytes", row.uid, mailbox.name);
            if mailbox.uid_validity == own.uid_validity {
                // The name of a keyword may be lost with the batch or row that gave it.
                let (flags, keywords) = (row.flags.0, named(&mailbox, row.keywords));
                let fits = |(then, words): &Marks| *then == flags && words.is_superset(&keywords);
                let is_known = kept.marks.iter().any(fits);
                assert!(is_known, "{what}: {:?} of {} has {flags} {keywords:?}", row.uid, mailbox.name);
                assert!(mailbox.uid_next >= own.uid_next, "{what}: UIDs of {} are given again", mailbox.name);
            }
            there.insert((mailbox.id.0, row.uid.0));
        }
        *contents.entry(bytes).or_default() += 1;
    }
    let named: BTreeSet<(u32, u32)> =
        salvaged.lost.iter().filter_map(|lost| lost.message).map(|(mailbox, uid)| (mailbox.0, uid.0)).collect();
    let mut unnamed = 0;
    for key in &past.now {
        measured.in_place += usize::from(there.contains(key));
        let count = contents.get_mut(&past.ever[key].bytes).filter(|count| **count > 0);
        if let Some(count) = count {
            *count -= 1;
            measured.anywhere += 1;
        }
        unnamed += usize::from(!there.contains(key) && !named.contains(key));
    }
    let told = !salvaged.lost.is_empty() || !salvaged.notes.is_empty();
    assert!(measured.queue == past.queue || told, "{what}: queue entries are missing and nothing was said");
    if unnamed > 0 {
        let told = salvaged.lost.iter().any(|lost| lost.message.is_none()) || !salvaged.notes.is_empty();
        assert!(told, "{what}: {unnamed} messages are missing and nothing was said: {salvaged:?}");
    }
    measured
}

fn check_damaged(past: &Past, damaged: &MemoryDisk, what: &str) -> Measured {
    salvage_and_check(past, damaged, damaged, what)
}

fn all_is_there(past: &Past, measured: Measured, what: &str) {
    assert_eq!((measured.in_place, measured.queue), (past.now.len(), past.queue), "{what}");
}

#[test]
fn a_sound_store_comes_out_as_it_was() {
    for unclean in [false, true] {
        let past = past(200, unclean);
        let out = MemoryDisk::new();
        let salvaged = salvage(&past.disk, &out, NOW_SECONDS, &mut |_, _| {}, &mut |_| Ok(())).expect("salvaged");
        assert_eq!(salvaged.lost, [], "unclean: {unclean}");
        let [old, new] =
            [past.disk.clone(), out].map(|disk| Store::open_on(Arc::new(copy(&disk)), options()).expect("opens"));
        // What Outbox says of a message is said anew, in a message of its own.
        type Rows = Vec<(Mailbox, MessageRow)>;
        let parted =
            |store| -> (Rows, Rows) { everything(store).into_iter().partition(|(one, _)| one.name == OUTBOX_NAME) };
        let ((shown_then, mut expected), (shown, found)) = (parted(&old), parted(&new));
        let read = |store, rows: Rows| rows.into_iter().map(|(_, row)| whole(store, row.body)).collect::<Vec<_>>();
        let shown = read(&new, shown);
        assert!(shown == read(&old, shown_then) && shown[1].starts_with(b"Hauspost-Status: waiting; next attempt"));
        if unclean {
            // Its last changes might have been lost without a trace, so numbers are left out.
            for ((expected, _), (found, _)) in expected.iter_mut().zip(&found) {
                assert!(found.uid_next > expected.uid_next && found.highest_modseq > expected.highest_modseq);
                expected.uid_next = found.uid_next;
                (expected.highest_modseq, expected.expunged_floor) = (found.highest_modseq, found.expunged_floor);
            }
        }
        assert_eq!(found, expected, "mailboxes with all their counters, and messages");
        let queue = |store: &Store| {
            let entries = block_on(store.read(|snapshot| snapshot.queue(QueueId(0), 100))).expect("readable");
            entries.into_iter().map(|entry| QueueEntry { outbox: None, ..entry }).collect::<Vec<_>>()
        };
        assert_eq!(queue(&new), queue(&old));
        let rest = |snapshot: &Snapshot| Ok((snapshot.credential("me")?, snapshot.setting("color")?));
        assert_eq!(block_on(new.read(rest)), block_on(old.read(rest)));
        let index = |store: &Store, body| block_on(store.read(move |snapshot| snapshot.body_index(body)));
        for (_, row) in everything(&old).into_iter().take(20) {
            assert_eq!(index(&new, row.body), index(&old, row.body));
        }
    }
}

#[test]
fn any_page_may_be_lost() {
    let mut sum = (0.0, 0.0, 0);
    for unclean in [false, true] {
        let past = past(250, unclean);
        let journal = past.disk.bytes(Part::Journal);
        let database = past.disk.bytes(Part::Database);
        let pages = database.len() / PAGE_BYTES;
        let mut random = Random(99);
        let step = (pages / 155).max(1);
        for page in (0..pages).step_by(step) {
            let mut damaged = database.clone();
            let place = &mut damaged[page * PAGE_BYTES..(page + 1) * PAGE_BYTES];
            let kind = random.below(3);
            match kind {
                0 => place.fill(0),
                1 => place.copy_from_slice(&random.bytes(PAGE_BYTES)),
                // One sector.
                _ => place[512 * 3..512 * 4].copy_from_slice(&random.bytes(512)),
            }
            let what = format!("page {page} of {pages}, kind {kind}, unclean {unclean}");
            let measured = check_damaged(&past, &make_disk(&damaged, &journal), &what);
            assert!(measured.anywhere + 16 >= measured.all, "{what}: {} of {}", measured.anywhere, measured.all);
            sum.0 += measured.in_place as f64 / measured.all as f64;
            sum.1 += measured.anywhere as f64 / measured.all as f64;
            sum.2 += 1;
        }
    }
    let count = f64::from(sum.2);
    println!("{} pages: {:.5} in place, {:.5} anywhere", sum.2, sum.0 / count, sum.1 / count);
    assert!(sum.0 / count > 0.99);
}

#[test]
fn an_outbox_is_known_by_its_name() {
    let past = past(100, false);
    let (mut database, journal) = (past.disk.bytes(Part::Database), past.disk.bytes(Part::Journal));
    // Every row of the mailbox, the last one and those of before; not its name in the table of names, which has no length there.
    let row = [&[OUTBOX_NAME.len() as u8], OUTBOX_NAME.as_bytes()].concat();
    let places: Vec<usize> = (0..database.len() - row.len()).filter(|at| database[*at..].starts_with(&row)).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| database[at + 1] ^= 1);
    let damaged = make_disk(&database, &journal);
    let out = MemoryDisk::new();
    let salvaged = salvage(&damaged, &out, NOW_SECONDS, &mut |_, _| {}, &mut |_| Ok(())).expect("salvaged");
    let told = |lost: &Lost| lost.sentence.contains("what was known of mailbox \"Outbox\"");
    assert!(salvaged.lost.iter().any(told), "{:?}", salvaged.lost);
    let store = Store::open_on(Arc::new(out), options()).expect("opens");
    let outbox =
        block_on(store.read(|snapshot| snapshot.mailbox_named(OUTBOX_NAME))).expect("readable").expect("there");
    assert_eq!((outbox.special_use, outbox.messages as usize), (Some(SpecialUse::Outbox), past.queue));
    let what = "the row of Outbox is lost";
    let measured = check_damaged(&past, &damaged, what);
    assert!(!measured.moved_outbox);
    all_is_there(&past, measured, what);
}

#[test]
fn the_header_may_be_lost() {
    for unclean in [false, true] {
        let past = past(200, unclean);
        let mut database = past.disk.bytes(Part::Database);
        database[..PAGE_BYTES].fill(0xff);
        let damaged = make_disk(&database, &past.disk.bytes(Part::Journal));
        let what = format!("no header, unclean {unclean}");
        all_is_there(&past, check_damaged(&past, &damaged, &what), &what);
    }
}

#[test]
fn the_end_of_the_file_may_be_lost() {
    let past = past(200, true);
    let database = past.disk.bytes(Part::Database);
    let journal = past.disk.bytes(Part::Journal);
    for tenth in (0..10).rev() {
        let length = database.len() * tenth / 10 + 1234 * usize::from(tenth > 0);
        let what = format!("{length} of {} bytes", database.len());
        let measured = check_damaged(&past, &make_disk(&database[..length], &journal), &what);
        println!("{what}: {} of {} in place, {} anywhere", measured.in_place, measured.all, measured.anywhere);
    }
}

#[test]
fn the_journal_may_be_damaged() {
    let past = past(200, true);
    let database = past.disk.bytes(Part::Database);
    let journal = past.disk.bytes(Part::Journal);
    let mut random = Random(5);
    for _ in 0..12 {
        let mut damaged = journal.clone();
        let page = random.below((journal.len() / PAGE_BYTES) as u64) as usize;
        damaged[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].fill(0);
        let what = format!("journal page {page}");
        let measured = check_damaged(&past, &make_disk(&database, &damaged), &what);
        assert!(measured.in_place + 60 >= measured.all, "{what}: {} of {}", measured.in_place, measured.all);
    }
    let what = "no journal";
    check_damaged(&past, &make_disk(&database, &[]), what);
    let what = "noise for a journal";
    check_damaged(&past, &make_disk(&database, &random.bytes(journal.len())), what);
}

#[test]
fn many_pages_may_be_lost() {
    let past = past(300, true);
    let database = past.disk.bytes(Part::Database);
    let journal = past.disk.bytes(Part::Journal);
    for seed in 1..25 {
        let mut random = Random(seed * 7919);
        let mut damaged = database.clone();
        let share = [50, 20, 5, 2][seed as usize % 4];
        for page in damaged.chunks_mut(PAGE_BYTES) {
            if random.below(share) == 0 {
                page.copy_from_slice(&random.bytes(page.len()));
            }
        }
        let what = format!("one page in {share}, seed {seed}");
        let measured = check_damaged(&past, &make_disk(&damaged, &journal), &what);
        println!("{what}: {} of {} in place, {} anywhere", measured.in_place, measured.all, measured.anywhere);
    }
}

#[test]
fn a_place_that_cannot_be_read_costs_what_was_there() {
    let past = past(200, false);
    let pages = (past.disk.bytes(Part::Database).len() / PAGE_BYTES) as u64;
    let mut random = Random(17);
    for round in 0..15 {
        let bad: BTreeSet<u64> = (0..=round / 5).map(|_| random.below(pages)).collect();
        let what = format!("pages {bad:?} cannot be read");
        let disk = BadDisk { disk: past.disk.clone(), bad: Arc::new(bad) };
        let inspected = inspect(Arc::new(BadDisk { disk: past.disk.clone(), bad: disk.bad.clone() }), |_, _| {});
        let measured = salvage_and_check(&past, &disk, &past.disk, &what);
        let is_lossy = measured.in_place < measured.all;
        assert!(!is_lossy || !inspected.expect("a store").findings.is_empty(), "{what}: not found by looking");
        assert!(measured.anywhere + 60 >= measured.all, "{what}: {} of {}", measured.anywhere, measured.all);
    }
}

#[test]
fn noise_is_no_store() {
    let mut random = Random(3);
    for _ in 0..20 {
        let length = random.below(600_000) as usize;
        let disk = make_disk(&random.bytes(length), &random.bytes(100_000));
        let out = MemoryDisk::new();
        salvage(&disk, &out, NOW_SECONDS, &mut |_, _| {}, &mut |_| Ok(())).expect("an empty store");
        assert_eq!(inspect(Arc::new(out), |_, _| {}).expect("a store").messages, 0);
    }
    assert!(salvage(&MemoryDisk::new(), &MemoryDisk::new(), NOW_SECONDS, &mut |_, _| {}, &mut |_| Ok(())).is_err());
}

#[test]
fn looking_changes_nothing_and_finds_damage() {
    for unclean in [false, true] {
        let past = past(100, unclean);
        let (database, journal) = (past.disk.bytes(Part::Database), past.disk.bytes(Part::Journal));
        let inspected = inspect(Arc::new(past.disk.clone()), |_, _| {}).expect("a store");
        assert_eq!(inspected.findings, Vec::<String>::new());
        assert_eq!(inspected.messages as usize, past.now.len() + past.queue);
        assert_eq!(inspected.queue as usize, past.queue);
        assert!(database == past.disk.bytes(Part::Database) && journal == past.disk.bytes(Part::Journal), "changed");
        let mut found = 0;
        let pages = database.len() / PAGE_BYTES;
        for page in (0..pages).step_by((pages / 40).max(1)) {
            let mut damaged = database.clone();
            damaged[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].fill(0);
            let inspected = inspect(Arc::new(make_disk(&damaged, &journal)), |_, _| {}).expect("a store");
            found += usize::from(!inspected.findings.is_empty());
        }
        assert!(found > 5, "{found} findings");
        for length in [0, 1, 100, PAGE_BYTES, database.len() / 2, database.len() - 1] {
            let inspected = inspect(Arc::new(make_disk(&database[..length], &journal)), |_, _| {}).expect("a store");
            assert!(!inspected.findings.is_empty(), "{length} bytes");
        }
    }
}

#[test]
fn a_cut_while_compacting_loses_nothing() {
    let past = past(150, true);
    let disk = copy(&past.disk);
    {
        let store = Store::open_on(Arc::new(disk.clone()), options()).expect("opens");
        let uids = block_on(store.read(|snapshot| snapshot.uids_from(INBOX, Uid(1)))).expect("readable");
        let which = Expungeable::These(uids);
        apply(&store, Op::Expunge(Expunge { mailbox: INBOX, which }));
        store.close().expect("closed");
    }
    let all = |disk: &MemoryDisk| {
        let store = Store::open_on(Arc::new(disk.clone()), options()).expect("opens");
        let all = everything(&store);
        assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
        all
    };
    let expected = all(&copy(&disk));
    disk.remember();
    let before = disk.events();
    let same: Arc<dyn Disk> = Arc::new(disk.clone());
    let compacted = compact(&same, &options()).expect("compacted");
    assert!(compacted.after < compacted.before, "{compacted:?}");
    assert_eq!(all(&copy(&disk)), expected);
    let mut random = Random(11);
    for events in (before..disk.events()).step_by(7) {
        let cut = disk.cut(events, || random.below(2) == 0);
        assert_eq!(all(&cut), expected, "cut after {events} events");
    }
}
