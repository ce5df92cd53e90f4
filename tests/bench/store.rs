//! What the store costs on this disk: `cargo bench --bench store`. One line per figure: name, value, unit, goal.
//!
//! Works in a fresh folder below TMPDIR; bytes and flushes are counted where the store hands them to the disk.

use hauspost::mail::index::BodyIndex;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::date::Timestamp;
use smol::future::block_on;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    println!("{:<48} {:>12} {:<12} goal", "figure", "value", "unit");
    let baseline = resident_kib();
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FileDisk::new(folder.path()).expect("a free folder"));
    let options = Options::new(folder.path());
    let store = Store::open_on(disk.clone(), options.clone()).expect("a store");
    block_on(store.read(Snapshot::mailboxes)).expect("readable");
    let mebibytes = |kib: u64| kib as f64 / 1024.0;
    figure("memory of an empty store", mebibytes(resident_kib().saturating_sub(baseline)), "MiB", "<= 4");

    deliveries(&store, &disk);
    flags(&store, &disk);
    large_body(&store);
    fill(&store, 120_000);
    many(&store);
    rows(&store);
    compactness(&store, folder.path());
    open_killed(folder.path());
    store.close().expect("closed");
    drop((store, disk));

    let disk = Arc::new(FileDisk::new(folder.path()).expect("a free folder"));
    let start = Instant::now();
    let store = Store::open_on(disk, options).expect("a store");
    let count = block_on(store.read(|snapshot| Ok(snapshot.mailbox(INBOX)?.map(|inbox| inbox.messages))));
    figure("open after a clean close", millis(start), "ms", "<= 50");
    assert!(count.expect("readable").is_some_and(|messages| messages >= 100_000));
    search_first(&store);
    store.close().expect("closed");
}

fn figure(name: &str, value: f64, unit: &str, goal: &str) {
    println!("{name:<48} {value:>12.2} {unit:<12} {goal}");
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A message of that size whose text compresses about as mail does: words in no order.
fn message(bytes: usize, seed: u64) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "the", "house", "post", "arrives", "while", "nobody", "Antwort", "auf", "deine", "Frage", "meeting",
        "tomorrow", "invoice", "please", "find", "attached", "regards", "Grüße", "between", "windows", "river",
        "number", "again", "quarter",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = format!(
        "Return-Path: <sender{seed}@far.example>\r\nReceived: from mx.far.example by home.example; \
         Tue, 3 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{:x}@far.example>\r\nFrom: Sender {seed} \
         <sender{seed}@far.example>\r\nTo: me@home.example\r\nSubject: Message number {seed}\r\n\r\n",
        random(&mut state)
    )
    .into_bytes();
    while out.len() < bytes {
        let number = random(&mut state);
        out.extend_from_slice(WORDS[number as usize % WORDS.len()].as_bytes());
        out.extend_from_slice(match number >> 32 & 15 {
            0 => b"\r\n".as_slice(),
            1 => b", ",
            _ => b" ",
        });
        if number >> 40 & 15 == 0 {
            out.extend_from_slice(format!("{number:x} ").as_bytes());
        }
    }
    out.truncate(bytes);
    out
}

/// An index of the size that a plain message has.
fn index() -> BodyIndex {
    BodyIndex {
        envelope: vec![b'e'; 280],
        body_structure: vec![b's'; 110],
        body: vec![b'b'; 80],
        parts: vec![Default::default()],
        sent_seconds: Some(1_790_000_000),
        ..BodyIndex::default()
    }
}

async fn deliver(store: &Store, bytes: &[u8]) {
    let mut writer = store.body_writer();
    writer.write(bytes).await.expect("taken in");
    let body = writer.finish(index()).await.expect("a body");
    let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
    let (internal_date, now) = (Timestamp(1_790_000_000_000), Timestamp(1_790_000_000_000));
    store.apply(Op::Deliver(Deliver { body, targets, internal_date, now })).await.expect("delivered");
}

fn counts(disk: &FileDisk) -> (DiskCounts, DiskCounts) {
    (disk.counts(Part::Database), disk.counts(Part::Journal))
}

/// Prints what was written since `before`, per change.
fn written(name: &str, disk: &FileDisk, before: (DiskCounts, DiskCounts), changes: u64, goals: [&str; 3]) {
    let (database, journal) = (disk.counts(Part::Database).since(before.0), disk.counts(Part::Journal).since(before.1));
    let each = |count: u64| count as f64 / changes as f64;
    figure(&format!("{name}: written"), each(database.bytes + journal.bytes) / 1024.0, "KiB/change", goals[0]);
    figure(&format!("{name}: of it journal"), each(journal.bytes) / 1024.0, "KiB/change", "");
    figure(&format!("{name}: flushes of the journal"), each(journal.syncs), "/change", goals[1]);
    figure(&format!("{name}: flushes of the database"), each(database.syncs), "/change", goals[2]);
}

fn deliveries(store: &Store, disk: &FileDisk) {
    let before = counts(disk);
    const COUNT: u64 = 5_000;
    let messages: Vec<_> = (0..64).map(|seed| message(4_000, seed)).collect();
    let start = Instant::now();
    for number in 0..COUNT {
        block_on(deliver(store, &messages[number as usize % messages.len()]));
    }
    figure("deliveries of 4 KB, one at a time", COUNT as f64 / start.elapsed().as_secs_f64(), "/s", "");
    written("delivery of 4 KB", disk, before, COUNT, ["<= 14", "1", "~0"]);
}

fn flags(store: &Store, disk: &FileDisk) {
    let before = counts(disk);
    const COUNT: u64 = 2_000;
    let start = Instant::now();
    for number in 0..COUNT {
        let set = SetFlags {
            mailbox: INBOX,
            uids: vec![Uid(1 + (number * 7919 % 5_000) as u32)],
            change: if number % 2 == 0 { FlagChange::Add } else { FlagChange::Remove },
            flags: Flags { system: SystemFlags::FLAGGED, keywords: Vec::new() },
            unchanged_since: None,
        };
        // Every other one finds nothing to clear and is not a change.
        block_on(store.apply(Op::SetFlags(set))).expect("set");
    }
    figure("flag changes, one at a time", COUNT as f64 / 2.0 / start.elapsed().as_secs_f64(), "/s", "");
    written("flag change", disk, before, COUNT / 2, ["<= 9", "1", "~0"]);
}

fn large_body(store: &Store) {
    let mut state = 7;
    let piece: Vec<u8> = (0..1 << 20)
        .map(|_| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[random(&mut state) as usize % 64])
        .collect();
    let before = resident_kib();
    let mut peak = before;
    let start = Instant::now();
    block_on(async {
        let mut writer = store.body_writer();
        for _ in 0..25 {
            for bytes in piece.chunks(4096) {
                writer.write(bytes).await.expect("taken in");
            }
            peak = peak.max(resident_kib());
        }
        let body = writer.finish(index()).await.expect("a body");
        let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
        let deliver = Deliver { body, targets, internal_date: Timestamp(0), now: Timestamp(0) };
        store.apply(Op::Deliver(deliver)).await.expect("delivered");
        peak = peak.max(resident_kib());
    });
    figure("delivery of 25 MiB", millis(start), "ms", "");
    figure("delivery of 25 MiB: memory grows by", (peak - before) as f64 / 1024.0, "MiB", "<= 5");
}

fn fill(store: &Store, messages: u64) {
    let start = Instant::now();
    let pool: Vec<_> = (0..64).map(|seed| message(1_500, seed)).collect();
    let workers: Vec<_> = (0..8u64)
        .map(|worker| {
            let (store, pool) = (store.clone(), pool.clone());
            std::thread::spawn(move || {
                for number in 0..messages / 8 {
                    block_on(deliver(&store, &pool[(number + worker * 5) as usize % pool.len()]));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("delivered");
    }
    figure("deliveries of 1.5 KB, eight at a time", messages as f64 / start.elapsed().as_secs_f64(), "/s", "");
}

/// What a client does to ten thousand messages at once.
fn many(store: &Store) {
    let uids: Vec<Uid> = (10_001..=20_000).map(Uid).collect();
    let flags = Flags { system: SystemFlags::SEEN, keywords: Vec::new() };
    let (change, unchanged_since) = (FlagChange::Add, None);
    let start = Instant::now();
    let set = SetFlags { mailbox: INBOX, uids: uids.clone(), change, flags, unchanged_since };
    block_on(store.apply(Op::SetFlags(set))).expect("set");
    figure("flags of 10,000 messages in one Op", millis(start), "ms", "");
    let start = Instant::now();
    let copy = Copy { from: INBOX, uids: uids.clone(), to: MailboxId(6), remove: true, now: Timestamp(1) };
    block_on(store.apply(Op::Copy(copy))).expect("moved");
    figure("10,000 messages moved in one Op", millis(start), "ms", "");
    let start = Instant::now();
    let which = Expungeable::These((20_001..=30_000).map(Uid).collect());
    block_on(store.apply(Op::Expunge(Expunge { mailbox: INBOX, which }))).expect("expunged");
    figure("10,000 messages expunged in one Op", millis(start), "ms", "");
}

fn rows(store: &Store) {
    let start = Instant::now();
    const ROUNDS: u32 = 5;
    let mut count = 0;
    for _ in 0..ROUNDS {
        let rows = block_on(store.read(|snapshot| snapshot.messages(INBOX, Uid(1), Uid(u32::MAX), usize::MAX)));
        count += rows.expect("readable").len();
    }
    figure("message rows read", count as f64 / start.elapsed().as_secs_f64() / 1e6, "million/s", ">= 1");
    let start = Instant::now();
    for _ in 0..1_000 {
        block_on(store.read(|snapshot| snapshot.mailbox(INBOX))).expect("readable");
    }
    figure("one question", millis(start), "µs", "");
}

/// What the file takes for the messages in it. The bodies repeat, but each was compressed and stored for itself.
fn compactness(store: &Store, folder: &std::path::Path) {
    use std::os::unix::fs::MetadataExt;
    let inbox = block_on(store.read(|snapshot| snapshot.mailbox(INBOX))).expect("readable").expect("there");
    let blocks = std::fs::metadata(folder.join("hauspost.redb")).expect("facts").blocks();
    figure("file of the messages, of their size", blocks as f64 * 512.0 / inbox.bytes as f64, "", "<= 1.5");
}

/// Opens a copy of the files as they are now, which is what a killed process leaves: the journal has to be replayed.
fn open_killed(folder: &std::path::Path) {
    let copy = tempfile::tempdir_in(folder.parent().expect("a folder above")).expect("a folder");
    for name in ["hauspost.redb", "journal"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).expect("copied");
    }
    let start = Instant::now();
    let store = Store::open(Options::new(copy.path())).expect("opens after a kill");
    figure("open after a kill, with replay", millis(start), "ms", "<= 1000");
    store.close().expect("closed");
}

/// What a first look at a mailbox costs: all rows after opening, and fifty bodies.
fn search_first(store: &Store) {
    let start = Instant::now();
    let rows = block_on(store.read(|snapshot| snapshot.messages(INBOX, Uid(1), Uid(u32::MAX), usize::MAX)));
    let rows = rows.expect("readable");
    figure("first walk over all rows", millis(start), "ms", "");
    let start = Instant::now();
    for row in rows.iter().rev().take(50) {
        let body = row.body;
        block_on(store.read(move |snapshot| snapshot.body_range(body, 0..65_536))).expect("readable");
    }
    figure("a body of 1.5 KB", millis(start) / 50.0 * 1000.0, "µs", "");
}
