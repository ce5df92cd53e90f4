//! The store beside a plain model of it: random changes, with reopening and power cuts at rest in between, must leave
//! both the same. `tests/crash.rs` cuts the power while changes are under way.

mod walk;

use hauspost::store::*;
use std::sync::Arc;
use walk::*;

/// Of each of the two walks. `HAUSPOST_MODEL_STEPS` asks for more.
const STEPS: u64 = 50_000;
/// Steps after which mailboxes, counters and queue are compared, and everything.
const SURFACE_STEPS: u64 = 200;
const WHOLE_STEPS: u64 = 2_000;

/// A ring this small wraps every few changes; a batch that is larger than its eighth goes into the redb file.
fn options() -> Options {
    Options { ring_bytes: 64 << 10, cache_bytes: 1 << 20, ..Options::new("") }
}

fn open(disk: &MemoryDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), options()).expect("the store opens")
}

fn walk_for_long(seed: u64, steps: u64, sizes: &'static [usize]) {
    let mut disk = MemoryDisk::remembering();
    let mut store = open(&disk);
    let mut walk = Walk::new(Chance::new(seed), Model::of_new(&store), sizes);
    let mut done = 0;
    let mut round = 0;
    while done < steps {
        let at = format!("HAUSPOST_MODEL_SEED={seed}, step {done}");
        let mut states = Vec::new();
        let count = if walk.chance.below(4) == 0 { 1 + walk.chance.below(5) } else { 1 };
        walk.step(&store, count, &mut states).unwrap_or_else(|difference| panic!("{at}: {difference}"));
        done += count as u64;
        let mut depth = None;
        match walk.chance.below(400) {
            0 => {
                walk.give_up_arriving();
                store.close().expect("closed");
                store = open(&disk);
                depth = Some(Depth::Whole);
            }
            1 => {
                // The power goes while the store is at rest; what was not synced is lost or not.
                walk.give_up_arriving();
                disk = disk.cut(disk.events(), || walk.chance.next() & 2 == 0);
                disk.remember();
                store = open(&disk);
                depth = Some(Depth::Whole);
            }
            _ => {}
        }
        if done / SURFACE_STEPS > round {
            round = done / SURFACE_STEPS;
            depth = depth.or(Some(if done % WHOLE_STEPS < SURFACE_STEPS { Depth::Whole } else { Depth::Surface }));
        }
        if let Some(depth) = depth {
            assert_eq!(difference(&store, &Arc::new(walk.model.clone()), depth), None, "{at}");
        }
    }
    assert_eq!(difference(&store, &Arc::new(walk.model.clone()), Depth::Whole), None, "seed {seed}, at the end");
    store.close().expect("closed");
}

#[test]
fn the_store_and_a_plain_model_agree() {
    let (seed, steps) = (seed_or("HAUSPOST_MODEL_SEED", 1), seed_or("HAUSPOST_MODEL_STEPS", STEPS));
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| walk_for_long(seed, steps, &[100, 100, 3_000, 20_000]));
        scope.spawn(|| walk_for_long(seed + 1, steps, &[100, 300, 1_000, 200_000]));
    });
    say(&format!("store_model: {} steps, {:.1} s", 2 * steps, start.elapsed().as_secs_f32()));
}
