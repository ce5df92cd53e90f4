//! Disks that fail, fill up, or come back damaged: what was acknowledged stays, what failed is said to have failed, and
//! the store works on as soon as the disk does.

#[path = "store_faults/full.rs"]
mod full;
#[path = "store_faults/read_only.rs"]
mod read_only;
mod walk;

use hauspost::mail::index::BodyIndex;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::date::Timestamp;
use proptest::prelude::*;
use redb::StorageBackend;
use smol::future::block_on;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use walk::*;

fn options() -> Options {
    Options { ring_bytes: 64 << 10, cache_bytes: 1 << 20, reopen_after: Duration::ZERO, ..Options::new("") }
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn body(store: &Store, bytes: &[u8]) -> Result<NewBody, Trouble> {
    let mut writer = store.body_writer();
    block_on(writer.write(bytes))?;
    block_on(writer.finish(BodyIndex::default()))
}

fn admit(store: &Store, body: NewBody) -> Result<Done, Trouble> {
    let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
    block_on(store.apply(Op::Deliver(Deliver { body, targets, internal_date: Timestamp(1), now: Timestamp(1) })))
}

fn deliver(store: &Store, bytes: &[u8]) -> Result<Done, Trouble> {
    admit(store, body(store, bytes)?)
}

/// The first bytes of all messages in INBOX, which tell them apart.
fn contents(store: &Store) -> Vec<Vec<u8>> {
    let read = |snapshot: &Snapshot| {
        let rows = snapshot.messages(INBOX, Uid(1), Uid(u32::MAX), usize::MAX)?;
        rows.iter().map(|row| snapshot.body_range(row.body, 0..row.bytes)).collect()
    };
    block_on(store.read(read)).expect("readable")
}

/// How a disk fails.
#[derive(Clone, Copy, Debug)]
struct Fault {
    kind: ErrorKind,
    lasts: bool,
    /// What a failed flush was to keep is partly gone.
    loses: bool,
}

/// Changes of one walk.
const WALK_STEPS: usize = 40;
const WALK_SIZES: &[usize] = &[300, 300, 3_000, 3_000, 200_000];

/// The disk fails at one write or flush of a walk, and is well again after the first failure that was told, or the third.
/// Returns whether the walk came so far.
fn fail_at(successes: u64, seed: u64, fault: Fault, new: &MemoryDisk, model: &Model) -> Result<bool, String> {
    let disk = new.copy();
    if fault.loses {
        disk.remember();
        disk.lose_with_failed_syncs(successes);
    }
    let store = Store::open_on(Arc::new(disk.clone()), options()).map_err(|trouble| format!("{trouble:?}"))?;
    let mut walk = Walk::new(Chance::new(seed), model.clone(), WALK_SIZES);
    let fail = if fault.lasts { MemoryDisk::fail_after } else { MemoryDisk::fail_once };
    fail(&disk, successes, fault.kind);
    let mut failures = 0;
    for step in 0..WALK_STEPS {
        let count = if step % 4 == 0 { 3 } else { 1 };
        let was_well = disk.is_well();
        failures += walk.step_on_failing(&store, count, || disk.heal())?;
        if was_well && !disk.is_well() && !fault.lasts {
            // Failed once: nobody was asked to do anything, and everything can be read.
            let difference = difference(&store, &Arc::new(walk.model.clone()), Depth::Whole);
            difference.map_or(Ok(()), |difference| Err(format!("step {step}: {difference}")))?;
        }
    }
    let came_so_far = !disk.is_well();
    disk.heal();
    let model = Arc::new(walk.model.clone());
    walk.give_up_arriving();
    difference_healed(&store, &model).map_or(Ok(()), |difference| Err(format!("at the end: {difference}")))?;
    store.close().map_err(|trouble| format!("closing: {trouble:?}"))?;
    let store = Store::open_on(Arc::new(disk), options()).map_err(|trouble| format!("reopening: {trouble:?}"))?;
    difference(&store, &model, Depth::Whole).map_or(Ok(()), |difference| Err(format!("reopened: {difference}")))?;
    Ok(came_so_far || failures > 0)
}

/// Every write and flush of a walk fails once.
fn fail_everywhere(fault: Fault) {
    let (seed, start) = (seed_or("HAUSPOST_FAULT_SEED", 1), Instant::now());
    let new = MemoryDisk::new();
    let store = Store::open_on(Arc::new(new.clone()), options()).expect("a store");
    let model = Model::of_new(&store);
    store.close().expect("closed");
    let mut successes = 0;
    while fail_at(successes, seed, fault, &new, &model)
        .unwrap_or_else(|difference| panic!("HAUSPOST_FAULT_SEED={seed}, {fault:?} after {successes}: {difference}"))
    {
        successes += 1;
    }
    say(&format!("store_faults: {successes} places, {fault:?}, {:.1} s", start.elapsed().as_secs_f32()));
    assert!(successes > 100, "the walk has that many writes");
}

#[test]
fn a_disk_that_fails_once_anywhere_costs_nothing_acknowledged() {
    fail_everywhere(Fault { kind: ErrorKind::Other, lasts: false, loses: false });
    fail_everywhere(Fault { kind: ErrorKind::Other, lasts: false, loses: true });
}

#[test]
fn a_disk_that_fails_for_a_while_costs_nothing_acknowledged() {
    fail_everywhere(Fault { kind: ErrorKind::Other, lasts: true, loses: true });
}

#[test]
fn a_disk_that_is_full_once_anywhere_costs_nothing_acknowledged() {
    fail_everywhere(Fault { kind: ErrorKind::StorageFull, lasts: false, loses: false });
}

#[test]
fn a_disk_that_is_full_for_a_while_costs_nothing_acknowledged() {
    fail_everywhere(Fault { kind: ErrorKind::StorageFull, lasts: true, loses: false });
}

#[test]
fn a_body_staged_before_the_disk_failed_is_not_believed() {
    let disk = MemoryDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
    let staged = body(&store, &noise(1, 400_000)).expect("staged");
    disk.fail_after(0, ErrorKind::Other);
    deliver(&store, b"x").expect_err("the disk fails");
    disk.heal();
    deliver(&store, b"y").expect("the store has opened again");
    assert!(matches!(admit(&store, staged), Err(Trouble::Failed(_))));
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
}

#[test]
fn a_store_whose_disk_stays_broken_says_so_and_recovers_later() {
    let disk = MemoryDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
    deliver(&store, b"kept").expect("delivered");
    disk.fail_after(0, ErrorKind::Other);
    for _ in 0..3 {
        assert!(matches!(deliver(&store, b"x"), Err(Trouble::Failed(_))));
    }
    disk.heal();
    deliver(&store, b"later").expect("well again");
    assert_eq!(contents(&store), [b"kept".to_vec(), b"later".to_vec()]);
    // A reader counts its answer out only after it has given it: what counts is what is left when all threads have ended.
    store.close().expect("closed");
    assert_eq!(store.in_flight(), 0);
}

/// What was said to have failed and is found when the disk is well again is news like any other; nobody was told of it.
#[test]
fn what_a_later_reopening_finds_rings_the_bells() {
    let disk = MemoryDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
    deliver(&store, b"first").expect("delivered");
    let mut bell = store.bell(Watched::Mailbox(INBOX));
    // The record reaches the disk, its flush fails, and so does the reopening.
    disk.fail_after(1, ErrorKind::Other);
    deliver(&store, b"found").expect_err("the disk fails");
    disk.heal();
    let setting = Op::SetSetting { key: "k".into(), value: None };
    block_on(store.apply(setting)).expect("well again");
    assert_eq!(contents(&store), [b"first".to_vec(), b"found".to_vec()]);
    assert!(bell.take_ring());
}

/// A disk with a few messages in its journal, as a power cut leaves it.
fn cut_with_journal() -> MemoryDisk {
    let disk = MemoryDisk::remembering();
    let store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
    for n in 0..4 {
        deliver(&store, &noise(n, 2_000)).expect("delivered");
    }
    disk.cut(disk.events(), || false)
}

fn refusal(disk: MemoryDisk) -> String {
    match Store::open_on(Arc::new(disk), options()) {
        Ok(_) => panic!("opened"),
        Err(Trouble::Failed(sentence)) => sentence,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_journal_is_reported_and_its_tail_is_not() {
    let disk = cut_with_journal();
    // The first block says that the store was opened.
    disk.damage(Part::Journal, 4 * 4096 + 100);
    let store = Store::open_on(Arc::new(disk), options()).expect("a torn tail is the end");
    assert_eq!(contents(&store).len(), 3);
    let disk = cut_with_journal();
    disk.damage(Part::Journal, 2 * 4096 + 100);
    for _ in 0..2 {
        let sentence = refusal(disk.clone());
        assert!(sentence.contains("journal is damaged"), "{sentence}");
    }
}

/// From a clean close to the first checkpoint after it the tables said *closed*: a journal that got lost in between, with
/// all that was acknowledged since, was made anew without a word.
#[test]
fn a_journal_that_is_lost_or_replaced_is_noticed_at_any_time() {
    for closed_before in [false, true] {
        let disk = MemoryDisk::remembering();
        let mut store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
        if closed_before {
            deliver(&store, b"before").expect("delivered");
            store.close().expect("closed");
            store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
        }
        deliver(&store, b"acknowledged").expect("delivered");
        let cut = disk.cut(disk.events(), || false);
        let lost = MemoryDisk::new();
        let file = lost.draft(Part::Database, 0).expect("a draft");
        file.write(0, &cut.bytes(Part::Database)).expect("written");
        lost.publish(Part::Database).expect("published");
        assert!(refusal(lost).contains("`journal` is missing"));
        let empty = cut.copy();
        empty.overwrite(Part::Journal, 0, &vec![0; cut.bytes(Part::Journal).len()]);
        let foreign = cut.copy();
        foreign.overwrite(Part::Journal, 0, &cut_with_journal().bytes(Part::Journal));
        for replaced in [empty, foreign] {
            assert!(refusal(replaced).contains("not the one of this store"));
        }
        let store = Store::open_on(Arc::new(cut), options()).expect("opens");
        assert_eq!(contents(&store).last(), Some(&b"acknowledged".to_vec()));
    }
}

#[test]
fn expunges_are_forgotten_in_order_and_the_floor_says_so() {
    let store = Store::in_memory().expect("a store");
    deliver(&store, b"x").expect("delivered");
    // Copies of copies: 32,768 messages of one body.
    for power in 0..15 {
        let uids = (1..=1 << power).map(Uid).collect();
        let copy = Copy { from: INBOX, uids, to: INBOX, remove: false, now: Timestamp(1) };
        block_on(store.apply(Op::Copy(copy))).expect("copied");
    }
    let inbox = || block_on(store.read(|snapshot| snapshot.mailbox(INBOX))).expect("readable").expect("there");
    let mut seen = Vec::new();
    for first in (1..30_000).step_by(5_000) {
        let which = Expungeable::These((first..first + 5_000).map(Uid).collect());
        block_on(store.apply(Op::Expunge(Expunge { mailbox: INBOX, which }))).expect("expunged");
        seen.push(inbox().highest_modseq);
    }
    assert_eq!((inbox().messages, inbox().expunged_floor), (2_768, seen[1]));
    for (round, modseq) in seen.iter().copied().enumerate() {
        let changes = block_on(store.read(move |snapshot| snapshot.changes_since(INBOX, modseq))).expect("readable");
        assert_eq!(changes.forgotten, round < 1, "round {round}");
        if !changes.forgotten {
            assert_eq!(changes.expunged.len(), (5 - round) * 5_000);
        }
    }
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_bytes_in_any_pieces_come_back(
        header in prop::collection::vec(any::<u8>(), 0..2_000),
        seed: u64,
        bytes in 0usize..150_000,
        repeat in 1usize..40,
        cuts in prop::collection::vec(1usize..50_000, 1..6),
        from in 0u64..200_000,
    ) {
        let store = Store::in_memory().expect("a store");
        let mut sent = [&header[..], b"\r\n\r\n"].concat();
        let noise = noise(seed, bytes / repeat + 1);
        for _ in 0..repeat {
            sent.extend_from_slice(&noise);
        }
        let mut writer = store.body_writer();
        let mut rest = &sent[..];
        for cut in cuts.iter().cycle() {
            let (piece, later) = rest.split_at(rest.len().min(*cut));
            block_on(writer.write(piece)).expect("taken in");
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let body = block_on(writer.finish(BodyIndex::default())).expect("a body");
        prop_assert_eq!(body.bytes(), sent.len() as u64);
        admit(&store, body).expect("delivered");
        prop_assert!(contents(&store) == [sent.clone()]);
        let piece = block_on(store.read(move |snapshot| {
            let row = snapshot.message(INBOX, Uid(1))?.ok_or(Trouble::NotFound)?;
            snapshot.body_range(row.body, from..from + 1_000)
        })).expect("readable");
        let (from, end) = ((from as usize).min(sent.len()), (from as usize + 1_000).min(sent.len()));
        prop_assert!(piece == sent[from..end]);
    }
}

/// A disk on which redb panics, once, where the writer reads the database next: as it does on some damaged pages.
struct Treacherous {
    disk: MemoryDisk,
    armed: Arc<AtomicBool>,
}

#[derive(Debug)]
struct TreacherousFile {
    file: Box<dyn StorageBackend>,
    armed: Arc<AtomicBool>,
}

impl Disk for Treacherous {
    fn open(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>> {
        let armed = self.armed.clone();
        Ok(self.disk.open(part)?.map(|file| Box::new(TreacherousFile { file, armed }) as Box<dyn StorageBackend>))
    }
    fn draft(&self, part: Part, bytes: u64) -> io::Result<Box<dyn StorageBackend>> {
        self.disk.draft(part, bytes)
    }
    fn publish(&self, part: Part) -> io::Result<()> {
        self.disk.publish(part)
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
    fn counts(&self, part: Part) -> DiskCounts {
        self.disk.counts(part)
    }
}

impl StorageBackend for TreacherousFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let writes = std::thread::current().name() == Some("store-writer");
        assert!(!writes || !self.armed.swap(false, Ordering::SeqCst), "redb believed a damaged page");
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}

/// The writer's thread ended, and everybody who changed anything waited for it for ever.
#[test]
fn a_panic_inside_redb_is_a_batch_that_failed() {
    let disk = MemoryDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
    for n in 0..40 {
        deliver(&store, &noise(n, 3_000)).expect("delivered");
    }
    let before = contents(&store);
    store.close().expect("closed");
    drop(store);
    let armed = Arc::new(AtomicBool::new(false));
    let treacherous = Treacherous { disk: disk.clone(), armed: armed.clone() };
    let store = Store::open_on(Arc::new(treacherous), Options { cache_bytes: 0, ..options() }).expect("opens");
    armed.store(true, Ordering::SeqCst);
    let expunge = || {
        let which = Expungeable::These((1..=20).map(Uid).collect());
        block_on(store.apply(Op::Expunge(Expunge { mailbox: INBOX, which })))
    };
    assert!(matches!(expunge(), Err(Trouble::Failed(_))));
    assert!(!armed.load(Ordering::SeqCst), "the writer has read");
    assert_eq!(contents(&store), before);
    expunge().expect("the store has opened again");
    assert_eq!(contents(&store), before[20..]);
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
    store.close().expect("closed");
    let store = Store::open_on(Arc::new(disk), options()).expect("opens");
    assert_eq!(contents(&store), before[20..]);
}

/// A session took a body that could not be read for a message that somebody had expunged.
#[test]
fn a_damaged_body_is_damage_and_its_message_can_be_deleted() {
    let disk = MemoryDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
    let noisy = noise(3, 9_000);
    for message in [&b"first"[..], &noisy, b"last"] {
        deliver(&store, message).expect("delivered");
    }
    store.close().expect("closed");
    drop(store);
    let at = disk.bytes(Part::Database).windows(64).position(|window| window == &noisy[1_000..1_064]).expect("there");
    disk.damage(Part::Database, at);
    let store = Store::open_on(Arc::new(disk), options()).expect("redb does not see it");
    let second =
        block_on(store.read(|snapshot| snapshot.message(INBOX, Uid(2)))).expect("readable").expect("there").body;
    for _ in 0..2 {
        let read = block_on(store.read(move |snapshot| snapshot.body_range(second, 0..100)));
        assert!(matches!(read, Err(Trouble::Failed(sentence)) if sentence.contains("damaged")));
    }
    let checked = block_on(store.read(move |snapshot| Ok(snapshot.check_body(second)))).expect("asked");
    assert!(checked.is_err_and(|sentence| sentence.contains("body 2")));
    let sound = block_on(store.read(|snapshot| Ok(snapshot.check_body(BodyId(1))))).expect("asked");
    assert_eq!(sound, Ok(()));
    let which = Expungeable::These(vec![Uid(2)]);
    block_on(store.apply(Op::Expunge(Expunge { mailbox: INBOX, which }))).expect("expunged");
    assert_eq!(contents(&store), [b"first".to_vec(), b"last".to_vec()]);
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
}
