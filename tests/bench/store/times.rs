//! How long things take, and what an empty store weighs. Times are this machine's: they compare, they do not repeat.

use crate::mail::{admit, base64_letter, fill, index, text};
use crate::place::Place;
use crate::table::{Goal, figure, head};
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::date::Timestamp;
use smol::future::block_on;
use std::path::Path;
use std::time::Instant;

pub fn run(place: &Place) {
    head("Times");
    let folder = place.folder("times");
    let store = Store::open(Options::new(&folder)).expect("a store");
    large_body(&store);
    let start = Instant::now();
    fill(&store, 120_000);
    figure("deliveries of 1.5 KB by 32 writers", 120_000.0 / start.elapsed().as_secs_f64(), "/s", Goal::None);
    many(&store);
    questions(&store);
    store.close().expect("closed");
    let start = Instant::now();
    let store = Store::open(Options::new(&folder)).expect("a store");
    let count = block_on(store.read(|snapshot| Ok(snapshot.mailbox(INBOX)?.map(|inbox| inbox.messages))));
    figure("open after a clean close", millis(start), "ms", Goal::AtMost(50.0));
    assert!(count.expect("readable").is_some_and(|messages| messages >= 100_000));
    first_look(&store);
    store.close().expect("closed");
    first_start(&place.folder("first"));
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

fn first_start(folder: &Path) {
    let start = Instant::now();
    let store = Store::open(Options::new(folder)).expect("a store");
    figure("a store and its journal made", millis(start), "ms", Goal::None);
    store.close().expect("closed");
}

fn large_body(store: &Store) {
    let mut state = 7;
    let piece: Vec<u8> = (0..1 << 20).map(|_| base64_letter(&mut state)).collect();
    let start = Instant::now();
    block_on(async {
        let mut writer = store.body_writer();
        for bytes in std::iter::repeat_n(&piece, 25).flat_map(|piece| piece.chunks(4096)) {
            writer.write(bytes).await.expect("taken in");
        }
        admit(store, writer.finish(index(&text(100, 1))).await.expect("a body")).await;
    });
    figure("delivery of 25 MiB", millis(start), "ms", Goal::None);
}

/// What a client does to ten thousand messages at once.
fn many(store: &Store) {
    let uids: Vec<Uid> = (10_001..=20_000).map(Uid).collect();
    let flags = Flags { system: SystemFlags::SEEN, keywords: Vec::new() };
    let (change, unchanged_since) = (FlagChange::Add, None);
    let start = Instant::now();
    let set = SetFlags { mailbox: INBOX, uids: uids.clone(), change, flags, unchanged_since };
    block_on(store.apply(Op::SetFlags(set))).expect("set");
    figure("flags of 10,000 messages in one Op", millis(start), "ms", Goal::None);
    let start = Instant::now();
    let copy = Copy { from: INBOX, uids, to: MailboxId(6), remove: true, now: Timestamp(1) };
    block_on(store.apply(Op::Copy(copy))).expect("moved");
    figure("10,000 messages moved in one Op", millis(start), "ms", Goal::None);
    let start = Instant::now();
    let which = Expungeable::These((20_001..=30_000).map(Uid).collect());
    block_on(store.apply(Op::Expunge(Expunge { mailbox: INBOX, which }))).expect("expunged");
    figure("10,000 messages expunged in one Op", millis(start), "ms", Goal::None);
}

fn questions(store: &Store) {
    const COUNT: u32 = 1_000;
    let start = Instant::now();
    for _ in 0..COUNT {
        block_on(store.read(|snapshot| snapshot.mailbox(INBOX))).expect("readable");
    }
    figure("one question", millis(start) * 1000.0 / f64::from(COUNT), "µs", Goal::None);
}

/// What a first look at a mailbox costs: all rows after opening, and fifty bodies.
fn first_look(store: &Store) {
    let start = Instant::now();
    let rows = block_on(store.read(|snapshot| snapshot.messages(INBOX, Uid(1), Uid(u32::MAX), usize::MAX)));
    let rows = rows.expect("readable");
    figure("first walk over all rows", millis(start), "ms", Goal::None);
    const COUNT: usize = 50;
    let start = Instant::now();
    for body in rows.iter().rev().take(COUNT).map(|row| row.body) {
        block_on(store.read(move |snapshot| snapshot.body_range(body, 0..65_536))).expect("readable");
    }
    figure("a body of 1.5 KB", millis(start) / COUNT as f64 * 1000.0, "µs", Goal::None);
}
