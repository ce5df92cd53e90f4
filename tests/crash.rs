//! Pulled plugs: long random walks over everything the store does are cut at every write and every flush, with whatever
//! may be left of what was not flushed, and the cuts are cut again while the store recovers and works on.
//!
//! What must hold after each: every acknowledged change is there, none that was not acknowledged is half there, changes in
//! flight are there in the order of the writer, no number is given twice, [`Snapshot::check`] finds nothing, and bodies
//! are there byte for byte.
//!
//! `HAUSPOST_CRASH_SEED` begins elsewhere, `HAUSPOST_CRASH_WALK` does only one walk of a seed, `HAUSPOST_CRASH_MINUTES`
//! goes on with new walks for so long.

mod walk;

use hauspost::store::*;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use walk::*;

/// Walks of an ordinary run, one of each manner; each has a thousand events and more.
const WALKS: u64 = 6;
/// Fewer distinct cuts than this are no proof.
const CUTS_MIN: usize = 10_000;
/// Asks for a walk, of so many times some changes at once.
const STEPS: usize = 60;
/// Subsets of what was not flushed that are tried at each event.
const SUBSETS: usize = 2;
/// One of so many cuts is gone on from, and cut again there.
const GONE_ON_FROM: usize = 150;
/// How deep cuts of cuts go.
const DEPTH_MAX: usize = 3;

/// A way to run the store: the number of the walk decides.
#[derive(Clone, Copy)]
struct Manner {
    sizes: &'static [usize],
    cache_bytes: usize,
    checkpoint_after: Duration,
}

const LONG: Duration = Duration::from_secs(300);

const MANNERS: [Manner; 6] = [
    Manner { sizes: &[200, 2_000], cache_bytes: 1 << 20, checkpoint_after: LONG },
    // Batches that the ring refuses.
    Manner { sizes: &[200, 9_000], cache_bytes: 1 << 20, checkpoint_after: LONG },
    // A checkpoint whenever the writer rests.
    Manner { sizes: &[200, 2_000], cache_bytes: 1 << 20, checkpoint_after: Duration::ZERO },
    // redb writes pages long before their checkpoint.
    Manner { sizes: &[200, 6_000], cache_bytes: 16 << 10, checkpoint_after: LONG },
    // Staged bodies.
    Manner { sizes: &[300, 300, 1_000, 260_000], cache_bytes: 1 << 20, checkpoint_after: LONG },
    Manner { sizes: &[100, 100, 100, 180_000], cache_bytes: 64 << 10, checkpoint_after: Duration::from_millis(1) },
];

impl Manner {
    /// A ring this small wraps every few changes.
    fn open(&self, disk: &MemoryDisk) -> Result<Store, String> {
        let Manner { cache_bytes, checkpoint_after, .. } = *self;
        let options = Options { ring_bytes: 64 << 10, cache_bytes, checkpoint_after, ..Options::new("") };
        Store::open_on(Arc::new(disk.clone()), options).map_err(|trouble| format!("it does not open: {trouble:?}"))
    }
}

/// A state that the store has passed through.
struct Mark {
    /// Events of the disk when the change that leads here was asked for, and when it was acknowledged.
    asked: usize,
    acknowledged: usize,
    model: Arc<Model>,
}

/// A walk that was gone to its end, with all that happened to the disk.
struct Recorded {
    disk: MemoryDisk,
    marks: Vec<Mark>,
}

/// Opens what is on the disk and walks. `known`: what must be there; `None` for an empty disk.
fn record(
    disk: MemoryDisk,
    known: Option<&Model>,
    manner: &Manner,
    mut chance: Chance,
    steps: usize,
) -> Result<Recorded, String> {
    let mut store = manner.open(&disk)?;
    let model = known.map_or_else(|| Model::of_new(&store), Model::clone);
    let acknowledged = if known.is_some() { 0 } else { disk.events() };
    let mut marks = vec![Mark { asked: 0, acknowledged, model: Arc::new(model.clone()) }];
    let closes = chance.below(steps.max(2));
    let mut walk = Walk::new(chance, model, manner.sizes);
    for step in 0..steps {
        let (asked, mut states) = (disk.events(), Vec::new());
        let count = if walk.chance.below(3) == 0 { 2 + walk.chance.below(5) } else { 1 };
        walk.step(&store, count, &mut states)?;
        let acknowledged = disk.events();
        marks.extend(states.into_iter().map(|model| Mark { asked, acknowledged, model }));
        if step == closes {
            walk.give_up_arriving();
            store.close().map_err(|trouble| format!("it does not close: {trouble:?}"))?;
            store = manner.open(&disk)?;
        }
    }
    walk.give_up_arriving();
    store.close().map_err(|trouble| format!("it does not close: {trouble:?}"))?;
    Ok(Recorded { disk, marks })
}

/// What survives of the pieces that were not flushed, in the order of writing.
fn subset(chance: &mut Chance, pieces: usize) -> Vec<bool> {
    let at = chance.below(pieces + 1);
    let odds = 1 + chance.below(7);
    let kind = chance.below(9);
    let mut survives = |index| match kind {
        0 => false,
        1 => true,
        2 => index < at,
        3 => index >= at,
        4 => index == at,
        5 => index != at,
        _ => chance.below(8) < odds,
    };
    (0..pieces).map(&mut survives).collect()
}

/// All cuts made so far, by what was cut and what was left.
#[derive(Default)]
struct Tally {
    distinct: Mutex<HashSet<u64>>,
    of_cuts: AtomicU64,
}

fn hash_of(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// One tree of cuts: a walk, cuts of it, cuts of what followed those.
struct Tree<'a> {
    manner: Manner,
    chance: Chance,
    tally: &'a Tally,
}

impl Tree<'_> {
    /// Cuts at every event, `subsets` times. `trail` tells this recording from all others.
    fn cut_everywhere(&mut self, recorded: &Recorded, subsets: usize, trail: u64, depth: usize) -> Result<(), String> {
        let mut replay = recorded.disk.replay();
        loop {
            for _ in 0..subsets {
                let grain = self.chance.pick(&[512, 512, 4096, 4096, usize::MAX]);
                let pieces = replay.pieces(grain);
                let survives = subset(&mut self.chance, pieces);
                let all_or_none = survives.windows(2).all(|two| two[0] == two[1]);
                let grain_counts = if all_or_none { 0 } else { grain };
                let cut = hash_of((trail, replay.at(), grain_counts, survives.first(), &survives));
                if !self.tally.distinct.lock().expect("unpoisoned").insert(cut) {
                    continue;
                }
                let mut pieces = survives.iter().copied();
                let survivor = replay.survivor(grain, || pieces.next() == Some(true));
                self.check(recorded, replay.at(), &survivor, cut, depth).map_err(|difference| {
                    let left = survives.iter().filter(|survives| **survives).count();
                    format!(
                        "cut at event {} of {}, {left} of {} pieces of {grain} bytes survive:\n{difference}",
                        replay.at(),
                        recorded.disk.events(),
                        survives.len()
                    )
                })?;
            }
            if !replay.forward() {
                return Ok(());
            }
        }
    }

    /// Opens what a cut has left, and sometimes goes on from there.
    fn check(
        &mut self,
        recorded: &Recorded,
        events: usize,
        survivor: &MemoryDisk,
        trail: u64,
        depth: usize,
    ) -> Result<(), String> {
        let untouched = survivor.copy();
        let store = self.manner.open(survivor)?;
        let marks = &recorded.marks;
        let Some(acknowledged) = marks.iter().rposition(|mark| mark.acknowledged <= events) else {
            // The power went while the store was made: nothing was ever there.
            let model = Arc::new(Model::of_new(&store));
            return difference(&store, &model, Depth::Whole).map_or(Ok(()), Err);
        };
        let possible = marks.iter().skip(acknowledged);
        let mut differences = Vec::new();
        let mut found = None;
        for mark in possible.take_while(|mark| mark.acknowledged <= events || mark.asked < events) {
            match difference(&store, &mark.model, Depth::Whole) {
                None => {
                    found = Some(&mark.model);
                    break;
                }
                Some(difference) => differences.push(difference),
            }
        }
        let found = found.ok_or_else(|| format!("after {acknowledged} changes: {}", differences.join("\nor ")))?;
        drop(store);
        if depth < DEPTH_MAX && self.chance.below(GONE_ON_FROM) == 0 {
            self.tally.of_cuts.fetch_add(1, Ordering::Relaxed);
            untouched.remember();
            let chance = Chance::new(self.chance.next());
            let steps = self.chance.below(3);
            let next = record(untouched, Some(found), &self.manner, chance, steps)
                .map_err(|difference| format!("going on from it: {difference}"))?;
            self.cut_everywhere(&next, 1, trail, depth + 1)?;
        }
        Ok(())
    }
}

fn walk_and_cut(seed: u64, number: u64, tally: &Tally) {
    let manner = MANNERS[(number % MANNERS.len() as u64) as usize];
    let mut chance = Chance::new(hash_of((seed, number)));
    let walked = Chance::new(chance.next());
    let result = record(MemoryDisk::remembering(), None, &manner, walked, STEPS).and_then(|recorded| {
        let mut tree = Tree { manner, chance, tally };
        tree.cut_everywhere(&recorded, SUBSETS, number, 0)
    });
    if let Err(difference) = result {
        panic!("HAUSPOST_CRASH_SEED={seed} HAUSPOST_CRASH_WALK={number}: {difference}");
    }
}

#[test]
fn walks_cut_at_every_write_and_flush_lose_nothing() {
    let start = Instant::now();
    let seed = seed_or("HAUSPOST_CRASH_SEED", 1);
    let long = Duration::from_secs(60 * seed_or("HAUSPOST_CRASH_MINUTES", 0));
    let only = std::env::var("HAUSPOST_CRASH_WALK").ok().and_then(|text| text.parse().ok());
    let tally = Tally::default();
    let next = AtomicU64::new(only.unwrap_or(0));
    let end = only.map_or(WALKS, |walk| walk + 1);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end && (only.is_some() || start.elapsed() >= long) {
                        break;
                    }
                    walk_and_cut(seed, number, &tally);
                }
            });
        }
    });
    let cuts = tally.distinct.lock().expect("unpoisoned").len();
    say(&format!(
        "crash: {cuts} distinct cuts of {} walks, {} gone on from and cut again, {:.1} s",
        next.load(Ordering::Relaxed) - 2,
        tally.of_cuts.load(Ordering::Relaxed),
        start.elapsed().as_secs_f32()
    ));
    assert!(only.is_some() || cuts >= CUTS_MIN, "only {cuts} cuts");
}
