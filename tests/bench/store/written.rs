//! What changes cost the disk: bytes and flushes each, with 20,000 messages present, checkpoints included.

use crate::card::Card;
use crate::mail::{admit, at_once, body, deliver, fill, flag, picture, text};
use crate::place::{Place, Written};
use crate::table::{Goal, figure, head};
use hauspost::mail::message::Uid;
use hauspost::store::*;
use smol::future::block_on;
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub const PRESENT: u64 = 20_000;
/// Checkpoints that belong to one figure.
const CHECKPOINTS: u64 = 4;
/// Changes of 64 writers.
const AT_ONCE: u64 = 8_000;
const KIB: f64 = 1024.0;

pub fn run(place: &Place) {
    head(&format!("Written for each change, {PRESENT} messages present; {}", place.says()));
    let folder = place.folder("written");
    let disk = Arc::new(FileDisk::new(&folder).expect("a free folder"));
    let store = Store::open_on(disk.clone(), Options::new(&folder)).expect("a store");
    fill(&store, PRESENT);
    let at = At { place, disk: &disk };
    // No two messages are the same.
    let first = std::cell::Cell::new(1 << 32);
    let one = |make: fn(usize, u64) -> Vec<u8>, bytes: usize| {
        let first = first.replace(first.get() << 1);
        move |store: &Store, number| block_on(deliver(store, &make(bytes, first + number)))
    };
    at.each("one delivery of 8 KB", [24.0, 1.05], &store, one(text, 8_192));
    at.each("one delivery of 8 KB that hardly compresses", [24.0, 1.05], &store, one(picture, 8_192));
    at.each("one delivery of 4 KB", [14.0, 1.05], &store, one(text, 4_000));
    at.each("one flag change", [9.0, 1.05], &store, |store, number| {
        // All messages that were there in no order, each set and the next time cleared.
        let uid = 1 + number * 7919 % PRESENT;
        block_on(flag(store, vec![Uid(uid as u32)], (number / PRESENT).is_multiple_of(2)));
    });
    let free = "8 KB deliveries by 64 writers, a flush takes no time: flushes";
    at.many(free, Goal::None, async |number| deliver(&store, &text(8_192, (2 << 40) + number)).await);
    store.close().expect("closed");
    at_once_on_a_card(place);
}

/// Writers share a flush when there is one to wait for.
fn at_once_on_a_card(place: &Place) {
    let folder = place.folder("card");
    let disk = Arc::new(Card(FileDisk::new(&folder).expect("a free folder")));
    let store = Store::open_on(disk.clone(), Options::new(&folder)).expect("a store");
    fill(&store, PRESENT);
    let at = At { place, disk: &disk.0 };
    // Made before: on a busy machine, compressing them would be what writers wait for.
    let bodies: Vec<_> = (0..AT_ONCE).map(|number| block_on(body(&store, &text(8_192, (1 << 40) + number)))).collect();
    let bodies = Mutex::new(bodies);
    at.many("8 KB deliveries by 64 writers, a flush takes 2 ms: flushes", Goal::AtMost(0.1), async |_| {
        let body = bodies.lock().expect("unpoisoned").pop().expect("one for each");
        admit(&store, body).await;
    });
    at.many("flag changes by 64 writers, a flush takes 2 ms: flushes", Goal::AtMost(0.1), async |number| {
        flag(&store, vec![Uid(1 + number as u32)], true).await;
    });
    store.close().expect("closed");
}

struct At<'a> {
    place: &'a Place,
    disk: &'a FileDisk,
}

impl At<'_> {
    /// One change after the other, from the end of one checkpoint to the end of a later one. Goals: KiB, flushes.
    fn each(&self, name: &str, goals: [f64; 2], store: &Store, change: impl Fn(&Store, u64)) {
        let mut number = 0;
        let mut to_checkpoint = |checkpoints: u64| {
            let syncs = || self.disk.counts(Part::Database).syncs;
            for _ in 0..checkpoints {
                let before = syncs();
                while syncs() == before {
                    change(store, number);
                    number += 1;
                }
                // Answered when the checkpoint is done.
                change(store, number);
                number += 1;
            }
            (self.place.written(self.disk), self.disk.counts(Part::Journal).bytes, number)
        };
        let before = to_checkpoint(1);
        let start = Instant::now();
        let after = to_checkpoint(CHECKPOINTS);
        let (seconds, changes) = (start.elapsed().as_secs_f64(), (after.2 - before.2) as f64);
        let written = after.0.since(before.0);
        figure(&format!("{name}: written"), written.bytes as f64 / changes / KIB, "KiB", Goal::AtMost(goals[0]));
        figure("    of it journal", (after.1 - before.1) as f64 / changes / KIB, "KiB", Goal::None);
        figure("    flushes", written.flushes as f64 / changes, "", Goal::AtMost(goals[1]));
        figure("    a second", changes / seconds, "changes/s", Goal::None);
    }

    fn many(&self, name: &str, goal: Goal, change: impl AsyncFn(u64) + Sync) {
        let before = self.place.written(self.disk);
        let start = Instant::now();
        at_once(64, AT_ONCE, change);
        let seconds = start.elapsed().as_secs_f64();
        // What the last checkpoint left in memory stays there: it is a part of few.
        let written = self.place.written(self.disk).since(before);
        figure(name, written.flushes as f64 / AT_ONCE as f64, "", goal);
        figure("    written", written.bytes as f64 / AT_ONCE as f64 / KIB, "KiB", Goal::None);
        figure("    a second", AT_ONCE as f64 / seconds, "changes/s", Goal::None);
    }
}

/// Prints the figures of something that has no checkpoints.
pub fn plain(name: &str, written: Written, changes: u64, seconds: f64) {
    let each = |count: u64| count as f64 / changes as f64;
    figure(&format!("{name}: written"), each(written.bytes) / KIB, "KiB", Goal::None);
    figure("    flushes", each(written.flushes), "", Goal::None);
    figure("    a second", changes as f64 / seconds, "changes/s", Goal::None);
}
