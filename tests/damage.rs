//! Damaged files, thousands of them: bits that flipped, sectors that are gone, blocks that are at the wrong place or as they
//! were long ago, in both files, closed or cut off.
//!
//! What must hold: the store refuses to open with a sentence, or whatever it shows is right, or the question is answered
//! with an error. Damage is never shown as mail, flags or envelope, and nobody waits for ever. A block as it was long ago
//! may show messages as they once were, but no message that never was.
//!
//! `HAUSPOST_DAMAGE_SEED` and `HAUSPOST_DAMAGE_CASES` ask for others and for more.

mod walk;

use hauspost::mail::index::BodyIndex;
use hauspost::mail::message::*;
use hauspost::store::*;
use smol::future::block_on;
use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use walk::*;

const CASES: u64 = 6_000;
/// Of one process.
const CASES_PER_PROCESS: u64 = 250;
/// Processes that redb may end: one in five thousand cases or so.
const ENDED_MAX: u64 = 3;
/// Where the cases of this process begin.
const FROM: &str = "HAUSPOST_DAMAGE_FROM";
const SIGABRT: i32 = 6;
const BLOCK_BYTES: usize = 4096;
/// One case takes some milliseconds: what takes longer than this hangs.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Facts of a row that must never be others: modseq, flags, keywords, dates, body.
type Facts = (u64, u8, u64, i64, i64, u64);

/// A store at some time, and all that was ever in it.
struct Past {
    /// Closed, and cut off with batches in its journal.
    disks: [MemoryDisk; 2],
    /// The files as they were earlier.
    earlier: [MemoryDisk; 2],
    ever: HashSet<(MailboxId, Uid, Facts)>,
    now: HashSet<(MailboxId, Uid, Facts)>,
    bodies: HashMap<u64, Arc<Body>>,
}

fn options() -> Options {
    Options { ring_bytes: 64 << 10, cache_bytes: 1 << 20, ..Options::new("") }
}

fn open(disk: &MemoryDisk) -> Result<Store, Trouble> {
    Store::open_on(Arc::new(disk.clone()), options())
}

fn rows(model: &Model) -> impl Iterator<Item = ((MailboxId, Uid, Facts), &Arc<Body>)> {
    let messages = model.folders.iter().flat_map(|(id, folder)| folder.messages.iter().map(move |row| (*id, row)));
    messages.map(|(id, (uid, message))| {
        let Message { modseq, flags, keywords, internal_date, saved, body } = message;
        let body_id = body.id.load(Ordering::SeqCst);
        let facts = (*modseq, *flags, *keywords, internal_date.0, saved.0, body_id);
        ((MailboxId(id), Uid(*uid), facts), body)
    })
}

impl Past {
    fn new(seed: u64) -> Past {
        let disk = MemoryDisk::remembering();
        let mut store = open(&disk).expect("a store");
        let mut walk = Walk::new(Chance::new(seed), Model::of_new(&store), &[300, 300, 3_000, 40_000]);
        let mut states = Vec::new();
        let mut earlier = Vec::new();
        for _ in 0..3 {
            for _ in 0..60 {
                walk.step(&store, 1, &mut states).expect("a step");
            }
            store.close().expect("closed");
            earlier.push(disk.copy());
            store = open(&disk).expect("opens");
        }
        let cut = disk.cut(disk.events(), || false);
        let before = open(&cut).expect("opens");
        assert_eq!(difference(&before, &Arc::new(walk.model.clone()), Depth::Whole), None);
        // The changes of the last walk stay in the journal alone.
        for _ in 0..4 {
            walk.step(&store, 1, &mut states).expect("a step");
        }
        let cut = disk.cut(disk.events(), || false);
        walk.give_up_arriving();
        store.close().expect("closed");
        let (mut ever, mut bodies) = (HashSet::new(), HashMap::new());
        for (row, body) in states.iter().flat_map(|model| rows(model)) {
            ever.insert(row);
            bodies.insert(row.2.5, body.clone());
        }
        bodies.extend(
            states
                .iter()
                .flat_map(|model| model.queue.values())
                .map(|entry| (entry.body.id.load(Ordering::SeqCst), entry.body.clone())),
        );
        let now = rows(&walk.model).map(|(row, _)| row).collect();
        let [first, second, _] = <[MemoryDisk; 3]>::try_from(earlier).expect("three");
        Past { disks: [disk.copy(), cut], earlier: [first, second], ever, now, bodies }
    }

    /// A damaged copy. Returns whether what it shows may be old.
    fn damaged(&self, chance: &mut Chance) -> (MemoryDisk, bool, String) {
        let which = chance.below(2);
        let disk = self.disks[which].copy();
        let part = if chance.below(4) == 0 { Part::Journal } else { Part::Database };
        let bytes = disk.bytes(part);
        // Where something is: most of a new file is empty.
        let full: Vec<usize> = (0..bytes.len() / BLOCK_BYTES)
            .filter(|block| bytes[block * BLOCK_BYTES..][..BLOCK_BYTES].iter().any(|byte| *byte != 0))
            .collect();
        let block = chance.pick(&full) * BLOCK_BYTES;
        let within = chance.below(BLOCK_BYTES);
        let old = self.earlier[chance.below(2)].bytes(part);
        let kind = chance.below(8);
        match kind {
            0..=3 => {
                let flipped = bytes[block + within] ^ 1 << chance.below(8);
                disk.overwrite(part, block + within, &[flipped]);
            }
            4 => disk.overwrite(part, block + within / 512 * 512, &[0; 512]),
            5 => disk.overwrite(part, block, &[0; BLOCK_BYTES]),
            6 => {
                let other = chance.pick(&full) * BLOCK_BYTES;
                disk.overwrite(part, block, &bytes[other..other + BLOCK_BYTES]);
            }
            _ => {
                let end = chance.pick(&[512, 2048, BLOCK_BYTES]);
                disk.overwrite(part, block, old.get(block..block + end).unwrap_or_default());
            }
        }
        // A last batch that is gone looks like one that was never written whole.
        let is_end = part == Part::Journal && last_batch(&bytes) == Some(block);
        (disk, kind > 5 || is_end, format!("kind {kind} in {part:?} of disk {which} at {}", block + within))
    }

    /// What is shown of mail that is not mail.
    fn wrong(&self, store: &Store, may_be_old: bool) -> Option<String> {
        let right = if may_be_old { &self.ever } else { &self.now };
        let mailboxes = block_on(store.read(Snapshot::mailboxes)).unwrap_or_default();
        for mailbox in mailboxes.into_iter().map(|mailbox| mailbox.id) {
            let uids = block_on(store.read(move |snapshot| snapshot.uids_from(mailbox, Uid(1)))).unwrap_or_default();
            for uid in uids {
                let read = block_on(store.read(move |snapshot| snapshot.message(mailbox, uid)));
                let Ok(Some(row)) = read else { continue };
                let MessageRow { modseq, flags, keywords, internal_date, saved, body, .. } = row;
                let facts = (modseq.0, flags.0, keywords, internal_date.0, saved.0, body.0);
                if !right.contains(&(mailbox, uid, facts)) {
                    return Some(format!("{mailbox:?} {row:?}"));
                }
            }
        }
        for (id, body) in &self.bodies {
            let id = BodyId(*id);
            let bytes = block_on(store.read(move |snapshot| snapshot.body_range(id, 0..u64::MAX)));
            if bytes.is_ok_and(|bytes| bytes != body.bytes) {
                return Some(format!("{id:?} has other bytes"));
            }
            let index = block_on(store.read(move |snapshot| snapshot.body_index(id)));
            if index.is_ok_and(|index| index != BodyIndex { signature: Vec::new(), ..body.index() }) {
                return Some(format!("{id:?} has other facts"));
            }
        }
        None
    }

    fn try_one(&self, seed: u64, number: u64, refused: &AtomicU64) -> Result<(), String> {
        let mut chance = Chance::new(seed.wrapping_mul(1 << 20) + number);
        let (disk, may_be_old, what) = self.damaged(&mut chance);
        let store = match open(&disk) {
            Ok(store) => store,
            Err(Trouble::Failed(_)) => {
                refused.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err(other) => return Err(format!("{what}: opening: {other:?}")),
        };
        if let Some(wrong) = self.wrong(&store, may_be_old) {
            return Err(format!("{what}: {wrong}"));
        }
        // Changes may fail, but not hang, and not make mail of damage.
        let which = Expungeable::Deleted;
        let _ = block_on(store.apply(Op::Expunge(Expunge { mailbox: INBOX, which })));
        let _ = block_on(store.apply(Op::DeleteMailbox { name: "Archive".to_owned() }));
        let _ = block_on(store.read(Snapshot::check));
        let _ = store.close();
        Ok(())
    }
}

/// Where the batch lies that was written last: its frame has the highest number.
fn last_batch(journal: &[u8]) -> Option<usize> {
    let frames = (0..journal.len()).step_by(BLOCK_BYTES).filter(|at| journal[*at..].starts_with(b"HPj1"));
    frames.max_by_key(|at| journal[at + 16..at + 24].try_into().map(u64::from_le_bytes).ok())
}

/// The cases, a part of them at a time in a process of its own: redb can panic once more while it cleans up behind a panic, which
/// nothing can catch, and then the process ends, as the server would. Nothing wrong has been shown then; but it must be rare.
#[test]
fn damage_is_never_shown_as_mail() {
    let start = Instant::now();
    let (seed, cases) = (seed_or("HAUSPOST_DAMAGE_SEED", 1), seed_or("HAUSPOST_DAMAGE_CASES", CASES));
    if let Ok(from) = std::env::var(FROM) {
        let from = from.parse().expect("a number");
        return try_some(seed, from, cases);
    }
    let mut ended = 0;
    for from in (0..cases).step_by(CASES_PER_PROCESS as usize) {
        let process = Command::new(std::env::current_exe().expect("this program"))
            .args(["damage_is_never_shown_as_mail", "--exact", "--nocapture"])
            .env(FROM, from.to_string())
            // Panics are expected here by the hundred, and to write where each came from takes longer than all the rest.
            .env("RUST_BACKTRACE", "0")
            .env("HAUSPOST_DAMAGE_CASES", CASES_PER_PROCESS.min(cases - from).to_string())
            .output()
            .expect("started");
        let said = String::from_utf8_lossy(&process.stderr);
        match process.status.signal() {
            Some(SIGABRT) if said.contains("redb") && said.contains("non-unwinding panic") => ended += 1,
            _ => assert!(process.status.success(), "HAUSPOST_DAMAGE_SEED={seed}, cases from {from}:\n{said}"),
        }
    }
    say(&format!("damage: {cases} cases, {ended} processes ended by redb, {:.1} s", start.elapsed().as_secs_f32()));
    assert!(ended <= ENDED_MAX, "HAUSPOST_DAMAGE_SEED={seed}: redb ended {ended} processes");
}

/// Tries so many cases.
fn try_some(seed: u64, from: u64, cases: u64) {
    let past = Arc::new(Past::new(seed));
    let (next, refused) = (Arc::new(AtomicU64::new(from)), Arc::new(AtomicU64::new(0)));
    let (done, results) = channel();
    for _ in 0..2 {
        let (past, next, refused, done) = (past.clone(), next.clone(), refused.clone(), done.clone());
        std::thread::spawn(move || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let tried = std::panic::AssertUnwindSafe(|| past.try_one(seed, number, &refused));
                let result = std::panic::catch_unwind(tried).unwrap_or_else(|_| Err("it panics".to_owned()));
                if number >= from + cases || done.send((number, result)).is_err() {
                    break;
                }
            }
        });
    }
    drop(done);
    let mut wrong = Vec::new();
    for _ in 0..cases {
        match results.recv_timeout(WATCHDOG) {
            Ok((number, Err(what))) => wrong.push(format!("case {number}: {what}")),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => panic!("HAUSPOST_DAMAGE_SEED={seed}: a case hangs"),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let refused = refused.load(Ordering::Relaxed);
    say(&format!("damage: {cases} cases from {from}, {refused} refused, {} wrong", wrong.len()));
    wrong.truncate(20);
    assert!(wrong.is_empty(), "HAUSPOST_DAMAGE_SEED={seed}:\n{}", wrong.join("\n"));
}
