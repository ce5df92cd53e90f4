//! Several IMAP sessions on one store, and beside each a model of what its client believes: random commands, alone, pipelined
//! and from all sides at once, with connections lost and QRESYNC returns. Every response is read strictly and judged by what
//! may be said then; what a client believes must be what the store holds as soon as it has been told everything.
//!
//! A seed gives the same run every time. `HAUSPOST_STRESS_SEED` runs one seed, `HAUSPOST_STRESS_STEPS` says how many commands
//! in all; what fails is shown with its seed and the last lines of every client.

#[path = "imap_stress/belief.rs"]
mod belief;
#[path = "imap_stress/choice.rs"]
mod choice;
#[path = "imap_stress/client.rs"]
mod client;
#[path = "imap_stress/doing.rs"]
mod doing;
#[path = "imap_stress/exact.rs"]
mod exact;
mod imap_session;
#[path = "imap_stress/kept.rs"]
mod kept;
#[path = "imap_stress/order.rs"]
mod order;
#[path = "imap_stress/response.rs"]
mod response;
#[path = "imap_stress/run.rs"]
mod run;
#[path = "imap_stress/truth.rs"]
mod truth;
#[path = "imap_stress/watch.rs"]
mod watch;

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Commands in all, when nothing else is asked for.
const STEPS: u64 = 60_000;
/// Commands of one seed. Each seed has a store and sessions of its own.
const STEPS_OF_SEED: u64 = 5_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn what_clients_believe_is_what_the_store_holds() {
    let steps = number("HAUSPOST_STRESS_STEPS").unwrap_or(STEPS);
    let (first, seeds) = match number("HAUSPOST_STRESS_SEED") {
        Some(seed) => (seed, 1),
        None => (1, steps.div_ceil(STEPS_OF_SEED)),
    };
    let began = Instant::now();
    let (next, done, failed) = (AtomicU64::new(first), AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds as usize);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || failed.lock().is_ok_and(|failed| !failed.is_empty()) {
                        break;
                    }
                    match run::run(seed, STEPS_OF_SEED.min(steps)) {
                        Ok(steps) => drop(done.fetch_add(steps, Ordering::Relaxed)),
                        Err(report) => failed.lock().expect("no panic").push(format!("seed {seed}: {report}")),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "HAUSPOST_STRESS_SEED repeats it.\n{}", failed.join("\n\n"));
    let line = format!("imap_stress: {} steps, {:.1} s\n", done.into_inner(), began.elapsed().as_secs_f32());
    let _ = std::io::stderr().write_all(line.as_bytes());
}
