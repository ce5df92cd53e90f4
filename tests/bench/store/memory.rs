//! What a large mailbox and a large body cost in memory, and what a kill costs. Each is measured in a process of its own
//! that runs one of [`PARTS`]: peaks are the kernel's (VmHWM), and a kill is a kill.

use crate::mail::{admit, at_once, base64_letter, deliver, fill, flag, index, text};
use crate::place::Place;
use crate::table::{Goal, figure, head};
use hauspost::limits::{FETCH_PIECE_BYTES, RING_BYTES, SEARCH_PAGE_ROWS, STORE_CACHE_BYTES, STORE_PAGE_MESSAGES};
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::date::Timestamp;
use smol::future::block_on;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const MESSAGES: u64 = 100_000;
const BIG_BYTES: u64 = 50_000_000;
const MIB: f64 = 1024.0;

type Part = fn(&Path);

/// The name that makes a process of this program run the part.
const PARTS: [(&str, Part); 8] = [
    ("load", load),
    ("reopen", reopen),
    ("large", large),
    ("kill-flags", |folder| kill(folder, "single flag changes", flag_one)),
    ("kill-deliveries", |folder| kill(folder, "deliveries of 1.5 KB", deliver_one)),
    ("kill-batches", |folder| kill(folder, "64 writers of tiny messages", deliver_tiny)),
    ("kill-pages", |folder| kill(folder, "flags of 1,000 messages each", flag_page)),
    ("kill-moves", |folder| kill(folder, "moves of 1,000 messages each", move_many)),
];

/// Runs the part of that name in this process, if there is one.
pub fn is_part(arguments: &[String]) -> bool {
    let [name, folder] = arguments else { return false };
    let part = PARTS.iter().find(|(part, _)| part == name);
    if let Some((_, part)) = part {
        part(Path::new(folder));
    }
    part.is_some()
}

pub fn run(place: &Place) {
    head(&format!("{MESSAGES} messages of 1.5 KB in one mailbox, each line or two in a process of its own"));
    let folder = place.folder("many");
    let part = |name: &str| {
        let program = std::env::current_exe().expect("this program");
        Command::new(program).arg(name).arg(&folder).status().expect("started")
    };
    part("load");
    for (name, _) in PARTS.iter().filter(|(name, _)| name.starts_with("kill")) {
        part(name);
        part("reopen");
    }
    part("large");
}

fn open(folder: &Path) -> Store {
    Store::open(Options::new(folder)).expect("a store")
}

/// A line of /proc/self/status, in MiB.
fn status(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect(field);
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / MIB
}

fn load(folder: &Path) {
    let store = open(folder);
    figure("resident with an empty store, the bench itself included", status("VmRSS"), "MiB", Goal::None);
    let start = Instant::now();
    fill(&store, MESSAGES);
    figure("deliveries by 32 writers", MESSAGES as f64 / start.elapsed().as_secs_f64(), "/s", Goal::None);
    figure("resident after the deliveries, peak", status("VmHWM"), "MiB", Goal::AtMost(24.0));
    const ROUNDS: u32 = 20;
    let start = Instant::now();
    let (mut rows, mut flagged) = (0u64, 0u64);
    for _ in 0..ROUNDS {
        let mut next = Some(Uid(1));
        while let Some(first) = next {
            let page =
                block_on(store.read(move |snapshot| snapshot.messages(INBOX, first, Uid(u32::MAX), SEARCH_PAGE_ROWS)));
            let page = page.expect("readable");
            flagged += page.iter().filter(|row| row.flags.contains(SystemFlags::FLAGGED)).count() as u64;
            rows += page.len() as u64;
            next = page.last().and_then(|row| row.uid.0.checked_add(1)).map(Uid);
        }
    }
    assert_eq!((rows, flagged), (MESSAGES * u64::from(ROUNDS), 0));
    let seconds = start.elapsed().as_secs_f64();
    figure("(uid, flags) rows read in pages", rows as f64 / seconds / 1e6, "million/s", Goal::AtLeast(3.0));
    figure("resident after loading and reading, peak", status("VmHWM"), "MiB", Goal::AtMost(24.0));
    store.close().expect("closed");
}

/// Changes until the journal is as full as it gets before a checkpoint, then the process kills itself.
fn kill(folder: &Path, name: &str, change: fn(&Store, u64)) {
    let disk = Arc::new(FileDisk::new(folder).expect("a free folder"));
    let store = Store::open_on(disk.clone(), Options::new(folder)).expect("a store");
    let checkpoints = || disk.counts(hauspost::store::Part::Database).syncs;
    let mut number = 0;
    let mut next = || {
        change(&store, number);
        number += 1;
    };
    // To the first checkpoint, then to the second: so many changes lie between two, when all are alike.
    let mut period = 0;
    for _ in 0..2 {
        let before = checkpoints();
        period = 0;
        while checkpoints() == before {
            next();
            period += 1;
        }
        // Answered when the checkpoint is done.
        next();
    }
    let in_journal = || disk.counts(hauspost::store::Part::Journal).bytes;
    let (before, journal, start) = (checkpoints(), in_journal(), Instant::now());
    let (mut changes, mut longest) = (0, 0);
    while changes + 3 < period && in_journal() - journal + 2 * longest < RING_BYTES / 2 {
        let bytes = in_journal();
        next();
        longest = longest.max(in_journal() - bytes);
        changes += 1;
    }
    assert_eq!(checkpoints(), before, "all of it is in the journal only");
    let journal = in_journal() - journal;
    println!(
        "killed with {:.2} MiB in the journal: {} times {name}, which took {:.0} ms",
        journal as f64 / MIB / 1024.0,
        changes + 1,
        millis(start)
    );
    let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
}

fn reopen(folder: &Path) {
    let before = status("VmRSS");
    let start = Instant::now();
    let store = open(folder);
    figure("    opening it again", millis(start), "ms", Goal::AtMost(1000.0));
    figure("    memory for it, peak", status("VmHWM") - before, "MiB", Goal::None);
    store.close().expect("closed");
}

/// A message that is there, in no order, and whether it is flagged now.
fn flag_one(store: &Store, number: u64) {
    block_on(flag(store, vec![Uid(1 + (number * 7919 % MESSAGES) as u32)], (number / MESSAGES).is_multiple_of(2)));
}

fn deliver_one(store: &Store, number: u64) {
    block_on(deliver(store, &text(1_500, MESSAGES + number)));
}

/// Full batches of as many and as small rows as there can be.
fn deliver_tiny(store: &Store, _: u64) {
    at_once(64, 64, async |_| deliver(store, b"Subject: x\r\n\r\nx\r\n").await);
}

/// What one STORE does at once; the pages scatter over the mailbox.
fn flag_page(store: &Store, number: u64) {
    static SET: AtomicU64 = AtomicU64::new(0);
    let uids = (0..STORE_PAGE_MESSAGES as u64).map(|at| Uid(1 + ((number * 7 + at * 97) % MESSAGES) as u32)).collect();
    // Set and cleared in turn, so that every message of the page changes.
    let keyword = format!("k{}", SET.fetch_add(1, Ordering::Relaxed) % 2);
    let flags = Flags { system: SystemFlags::default(), keywords: vec![keyword] };
    let set = SetFlags { mailbox: INBOX, uids, change: FlagChange::Replace, flags, unchanged_since: None };
    block_on(store.apply(Op::SetFlags(set))).expect("set");
}

/// A client that drags many messages to and fro.
fn move_many(store: &Store, number: u64) {
    let (from, to) = if number.is_multiple_of(2) { (INBOX, MailboxId(6)) } else { (MailboxId(6), INBOX) };
    let uids = block_on(store.read(move |snapshot| snapshot.uids_from(from, Uid(1)))).expect("readable");
    let uids = uids.into_iter().take(1_000).collect();
    let copy = Copy { from, uids, to, remove: true, now: Timestamp(1) };
    block_on(store.apply(Op::Copy(copy))).expect("moved");
}

/// A body of 50 MB comes in as a session brings it and goes out as one takes it; the second time redb's cache is full
/// before it begins, and only what the body itself needs is seen.
fn large(folder: &Path) {
    let store = open(folder);
    let mut state = 7;
    let piece: Vec<u8> = (0..1 << 20).map(|_| base64_letter(&mut state)).collect();
    let in_the_first = format!("    resident memory grows by, redb's cache of {} MiB too", STORE_CACHE_BYTES >> 20);
    for (round, grows, goal) in
        [("50 MB", &in_the_first[..], Goal::None), ("50 MB again", "    resident memory grows by", Goal::AtMost(2.0))]
    {
        // What every session has done before.
        deliver_one(&store, 1);
        let (before, start) = (resident_from_here(), Instant::now());
        block_on(large_in(&store, &piece));
        figure(&format!("{round} in"), millis(start), "ms", Goal::None);
        figure(grows, status("VmHWM") - before, "MiB", goal);
        let (before, start) = (resident_from_here(), Instant::now());
        large_out(&store, &piece);
        figure(&format!("{round} out"), millis(start), "ms", Goal::None);
        figure(grows, status("VmHWM") - before, "MiB", goal);
    }
    store.close().expect("closed");
}

async fn large_in(store: &Store, piece: &[u8]) {
    let mut writer = store.body_writer();
    let mut left = BIG_BYTES as usize;
    while left > 0 {
        for bytes in piece[..left.min(piece.len())].chunks(4096) {
            writer.write(bytes).await.expect("taken in");
        }
        left = left.saturating_sub(piece.len());
    }
    admit(store, writer.finish(index(b"Subject: large\r\n\r\n")).await.expect("a body")).await;
}

fn large_out(store: &Store, piece: &[u8]) {
    let last = block_on(store.read(|snapshot| {
        let uid = snapshot.mailbox(INBOX)?.map_or(Uid(0), |inbox| Uid(inbox.uid_next.0 - 1));
        snapshot.message(INBOX, uid)
    }));
    let last = last.expect("readable").expect("there");
    assert_eq!(last.bytes, BIG_BYTES);
    let mut at = 0;
    while at < BIG_BYTES {
        let bytes = block_on(store.read(move |snapshot| snapshot.body_range(last.body, at..at + FETCH_PIECE_BYTES)));
        let bytes = bytes.expect("readable");
        assert_eq!(bytes[0], piece[at as usize % piece.len()]);
        at += bytes.len() as u64;
    }
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// What is resident now, in MiB; from here on VmHWM is the peak (proc_pid_clear_refs(5)).
fn resident_from_here() -> f64 {
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux lets a process forget its peak");
    status("VmRSS")
}
