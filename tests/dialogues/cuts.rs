//! A dialogue whose power is cut at each single write: what was answered before must come true after, wherever the cut was.
//!
//! The part above `cut anywhere` runs once, with its disk remembering. Then for each event of the disk: what a cut there leaves,
//! in a world that is set up as the first one was, whose servers have what they had received by then; and the part below.

use super::script::{Mode, Script, Step, What};
use super::world::{Mishap, Outcome, World};
use hauspost::store::{MemoryDisk, Snapshot};
use std::path::Path;
use std::time::Duration;

const SECTOR_BYTES: usize = 512;
/// Longer than any message waits.
const LONG: Duration = Duration::from_secs(7 * 86_400);
/// Subsets of what was not synced that are tried at each event: none of it, all of it, and some by chance.
const SUBSETS: usize = 8;
/// Fewer events than this are no proof: a write and a sync for each change.
const EVENTS_MIN: usize = 6;

pub fn run(script: &Script, at: usize, mail: &Path) -> Result<(), Box<Mishap>> {
    let nowhere =
        |why: String| Box::new(Mishap { line: 0, step: "cut anywhere".into(), why, transcript: String::new() });
    let (above, below) = (&script.steps[..at], &script.steps[at + 1..]);
    let mut world = World::off(Mode::Whole, MemoryDisk::remembering()).map_err(nowhere)?;
    world.start().and_then(|()| world.make_owner()).map_err(nowhere)?;
    world.disk.remember();
    let mut answered = 0;
    for step in above {
        world.carry_out(step, mail).map_err(|why| world.mishap(step, why))?;
        // What the owner does by a command is answered when it returns.
        let changes = |words: &[String]| !matches!(words.first().map(String::as_str), Some("is" | "has"));
        if matches!(&step.what, What::Expect { .. }) || matches!(&step.what, What::Queue(words) if changes(words)) {
            answered = world.disk.events();
        }
    }
    let mut replay = world.disk.replay();
    if world.disk.events() < EVENTS_MIN {
        return Err(nowhere(format!("only {} writes", world.disk.events())));
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    loop {
        for subset in 0..SUBSETS {
            let mut survives = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                subset == 1 || (subset > 1 && random >> 63 == 1)
            };
            let disk = replay.survivor(SECTOR_BYTES, &mut survives);
            let mut after = again(&world, above, disk, replay.at(), mail).map_err(nowhere)?;
            let cut = |step: &Step, why: String, after: &World| {
                let mut mishap = after.mishap(step, why);
                mishap.step = format!("{} (cut after write {} of {})", step.text, replay.at(), world.disk.events());
                mishap
            };
            if replay.at() >= answered {
                for step in below {
                    after.carry_out(step, mail).map_err(|why| cut(step, why, &after))?;
                }
            }
            rest(&mut after).map_err(|why| cut(&script.steps[at], why, &after))?;
            // Without anything that was not synced, all are the same.
            if replay.pieces(SECTOR_BYTES) == 0 {
                break;
            }
        }
        if !replay.forward() {
            return Ok(());
        }
    }
}

/// The world as it was, with what the disk has, and started.
fn again(before: &World, above: &[Step], disk: MemoryDisk, events: usize, mail: &Path) -> Result<World, String> {
    let mut world = World::off(Mode::Whole, disk)?;
    for step in above {
        let sets_up = match &step.what {
            What::Dns(_) | What::Set(_) => true,
            What::Mx(words) => !matches!(words.get(1).map(String::as_str), Some("received" | "heard")),
            What::Web(words) => !matches!(words.get(1).map(String::as_str), Some("asked" | "received" | "lacks")),
            _ => false,
        };
        if sets_up {
            world.carry_out(step, mail)?;
        }
    }
    for (host, remote) in &before.remotes {
        if let Some(same) = world.remotes.get(host) {
            let received = &remote.rules.borrow().received;
            let by_then = received.iter().filter(|mail| mail.at_event <= events).cloned();
            same.rules.borrow_mut().received.extend(by_then);
        }
    }
    world.start()?;
    world.make_owner()?;
    Ok(world)
}

/// Whatever had been answered: nothing waits for ever, and the store is whole.
fn rest(world: &mut World) -> Outcome {
    world.advance(LONG)?;
    world.check_queue(&["is".to_owned(), "empty".to_owned()])?;
    let store = world.context()?.store;
    let found = world.wait_for(store.read(Snapshot::check))?.map_err(|trouble| format!("{trouble:?}"))?;
    if found.is_empty() { Ok(()) } else { Err(format!("the store is damaged: {found:?}")) }
}
