//! A real process that is killed while it delivers: what it said it has is there, once, when the store opens again.
//!
//! The child is this test binary itself, started with the folder in its environment; it says `ack NAME` on its output
//! after each durable change. The parent kills it after some of them, opens the folder, and compares.

use hauspost::mail::index::BodyIndex;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::address::{Address, ReversePath};
use hauspost::wire::date::Timestamp;
use smol::future::block_on;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const FOLDER: &str = "HAUSPOST_KILL_FOLDER";
const ROUND: &str = "HAUSPOST_KILL_ROUND";
const ROUNDS: usize = 200;
/// After so many a new folder is begun: what is there is read whole after most of them.
const ROUNDS_OF_A_FOLDER: usize = 25;
/// Senders of the child, so that batches have several members.
const SENDERS: usize = 3;

fn options(folder: &Path) -> Options {
    // A small ring and frequent checkpoints: each round crosses several.
    Options { ring_bytes: 256 << 10, ..Options::new(folder) }
}

/// The message of that name: every seventeenth is large and does not compress, so that it is staged.
fn message(name: &str) -> Vec<u8> {
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let bytes = if state % 17 == 0 { 400_000 } else { (state >> 8) % 9_000 };
    let mut out = format!("Message-ID: <{name}@x>\r\n\r\n").into_bytes();
    while out.len() < bytes as usize {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.push(state as u8);
    }
    out
}

/// What the child does until it is killed.
#[test]
#[ignore = "runs as the child of the other test"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let round = std::env::var(ROUND).unwrap_or_default();
    let store = Store::open(options(Path::new(&folder))).expect("the store opens after a kill");
    let output = Arc::new(Mutex::new(std::io::stdout()));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (store, output, round) = (store.clone(), output.clone(), round.clone());
            std::thread::spawn(move || {
                for number in 0.. {
                    let name = format!("r{round}s{sender}n{number}");
                    block_on(deliver(&store, &message(&name)));
                    if number % 3 == 2 {
                        block_on(change_others(&store, &name));
                    }
                    let mut output = output.lock().expect("unpoisoned");
                    output.write_all(format!("ack {name}\n").as_bytes()).expect("the parent reads");
                    output.flush().expect("the parent reads");
                }
            })
        })
        .collect();
    for sender in senders {
        let _ = sender.join();
    }
}

async fn deliver(store: &Store, bytes: &[u8]) {
    let mut writer = store.body_writer();
    for piece in bytes.chunks(3_000) {
        writer.write(piece).await.expect("taken in");
    }
    let body = writer.finish(BodyIndex::default()).await.expect("a body");
    let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
    let deliver = Deliver { body, targets, internal_date: Timestamp(1), now: Timestamp(1) };
    store.apply(Op::Deliver(deliver)).await.expect("delivered");
}

/// What else goes on meanwhile. It leaves the messages of INBOX as they are, but for their flags; what it came to is found by
/// [`Snapshot::check`], and by the owner's name of the last of them.
async fn change_others(store: &Store, name: &str) {
    let newest = |snapshot: &Snapshot| Ok(snapshot.mailbox(INBOX)?.map_or(1, |mailbox| mailbox.uid_next.0 - 1));
    let newest = store.read(newest).await.expect("readable");
    let uids = vec![Uid(newest), Uid(newest.saturating_sub(1).max(1))];
    let archive = store.read(|snapshot| snapshot.mailbox_named("Archive")).await.expect("readable").expect("there").id;
    let flags = Flags { system: SystemFlags::SEEN, keywords: vec!["k".to_owned()] };
    let (change, unchanged_since) = (FlagChange::Add, None);
    let recipients = vec!["x@far.example".parse::<Address>().expect("an address").into()];
    let mut writer = store.body_writer();
    writer.write(&message(name)).await.expect("taken in");
    let enqueue = Enqueue {
        body: writer.finish(BodyIndex::default()).await.expect("a body"),
        outgoing: vec![Outgoing {
            reverse_path: ReversePath::Null,
            parameters: Default::default(),
            recipients,
            signatures: Vec::new(),
            not_before: Timestamp(1),
        }],
        copies: vec![Target { mailbox: archive, flags: Flags::default() }],
        sent: None,
        now: Timestamp(1),
    };
    let copy = Copy { from: INBOX, uids: uids.clone(), to: archive, remove: false, now: Timestamp(1) };
    let expunge = Expunge { mailbox: archive, which: Expungeable::Deleted };
    let deleted = Flags { system: SystemFlags::DELETED, keywords: Vec::new() };
    let all = (1..=newest).map(Uid).collect();
    let delete = SetFlags { mailbox: archive, uids: all, change, flags: deleted, unchanged_since };
    let Ok(Done::Enqueued(entries)) = store.apply(Op::Enqueue(enqueue)).await else { panic!("not enqueued") };
    let entry = entries[0];
    for op in [
        Op::SetFlags(SetFlags { mailbox: INBOX, uids, change, flags, unchanged_since }),
        Op::Copy(copy),
        Op::Hold { entry },
        Op::SetFlags(delete),
        Op::Expunge(expunge),
        Op::RemoveQueueEntry { entry, notice: None, now: Timestamp(1) },
        Op::SetSetting { key: "last".to_owned(), value: Some(name.as_bytes().to_vec()) },
    ] {
        store.apply(op).await.expect("applied");
    }
}

/// Names of the messages that are there, and how often.
fn names(store: &Store) -> HashMap<String, usize> {
    let mut names = HashMap::new();
    let all = |snapshot: &Snapshot| snapshot.messages(INBOX, Uid(1), Uid(u32::MAX), usize::MAX);
    for row in block_on(store.read(all)).expect("readable") {
        let bytes = block_on(store.read(move |snapshot| snapshot.body_range(row.body, 0..u64::MAX))).expect("readable");
        let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let name = line.trim_start_matches("Message-ID: <").trim_end_matches("@x>").to_owned();
        assert!(bytes == message(&name), "the message {name} is whole");
        *names.entry(name).or_default() += 1;
    }
    names
}

/// A killed process loses nothing that it has written, flushed or not, so that memory does as well as a disk.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

#[test]
fn what_a_killed_process_acknowledged_is_there_once() {
    let mut folder = folder();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let age = round % ROUNDS_OF_A_FOLDER;
        if age == 0 {
            (folder, acknowledged) = (self::folder(), Vec::new());
        }
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("a child");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let enough = 3 + round * 7 % 60;
        let mut heard = 0;
        let mut lines = output.lines().map_while(Result::ok);
        for line in lines.by_ref() {
            // The harness may have begun a line before the child's first word.
            if let Some((_, name)) = line.split_once("ack ") {
                acknowledged.push(name.to_owned());
                heard += 1;
                if heard == enough {
                    // SIGKILL: nothing is flushed, nothing is closed.
                    child.kill().expect("killed");
                }
            }
        }
        let status = child.wait().expect("gone");
        assert!(heard >= enough && !status.success(), "round {round}: {heard} of {enough}, {status}");
        if age % 3 == 1 {
            // The next child finds what the kill left, not what a close did.
            continue;
        }
        let store = Store::open(options(folder.path())).expect("the store opens after a kill");
        let there = names(&store);
        for name in &acknowledged {
            assert_eq!(there.get(name), Some(&1), "round {round}: {name}");
        }
        assert!(there.values().all(|&count| count == 1), "round {round}: nothing is there twice");
        // One more per sender may have been on its way.
        assert!(there.len() <= acknowledged.len() + (age + 1) * SENDERS);
        assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()), "round {round}");
        store.close().expect("closed");
    }
}
