//! A day of mail in less than a minute: a whole node in memory, with everybody who talks to it, and a clock that jumps from one thing to
//! do to the next. Mail comes in, is sent, greylisted, refused, kept waiting by a server that is down for hours, read, filed, deleted,
//! fetched by POP3; passwords are guessed, connections lost; a certificate is renewed.
//!
//! Then nothing may be left over: no message that was acknowledged is missing, none is in the queue, the store is sound, sessions,
//! sleepers, threads and descriptors are as many as before; and the card was written as seldom as was promised.
//! The talk is that of `tests/dialogues`, made for each round. For hours of real time there is `tests/bench/soak`.

#[path = "dialogues/mod.rs"]
#[allow(dead_code)] // the dialogues use the rest of it
mod talk;

use hauspost::node::certificates::{Certificates, put_in_force};
use hauspost::node::folder::Folder;
use hauspost::serve::Site;
use hauspost::store::{Disk, DiskCounts, MemoryDisk, Part};
use hauspost::wire::date::Timestamp;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;
use talk::script::{self, Mode};
use talk::world::World;

const HOURS: usize = 24;
/// Rounds of an hour; between two of them time passes.
const ROUNDS: usize = 6;
const ARRIVING: usize = 3;
const MESSAGE_LINES: usize = 54;
/// From hour to hour while the server of one domain is down.
const DOWN: std::ops::Range<usize> = 6..12;
/// Notices that mail is late arrive then, and would be what POP3 gets.
const NOTICES: std::ops::Range<usize> = 9..14;
/// Of the talk before what went wrong.
const SHOWN_LINES: usize = 40;
const RENEWED_AFTER: Duration = Duration::from_secs(8 * 3600);
/// A change is one batch of the journal and one flush (README, "The store alone"). More than one, for what is not counted as a change here:
/// attempts at the server that is down, notices, certificates, and checkpoints, which are two flushes each and come often in a journal as
/// small as this one.
const FLUSHES_OF_A_CHANGE_MAX: f64 = 1.1;
/// What one change writes, checkpoints included; 6.9 KiB a message of 4 KB and 5.5 a flag, by the README.
const WRITTEN_OF_A_CHANGE_KIB_MAX: f64 = 6.9;

/// What has been done so far, and must have come of it.
#[derive(Default)]
struct Tally {
    /// In INBOX since it was emptied.
    here: usize,
    arrived: usize,
    sent: usize,
    /// By the servers of the world, in the end.
    taken: [usize; 3],
    bounced: usize,
    /// Ops that were waited for.
    changes: usize,
    number: usize,
}

/// What may not grow.
#[derive(Debug, PartialEq)]
struct Gauges {
    sessions: usize,
    sleepers: usize,
    threads: usize,
    descriptors: usize,
}

impl Gauges {
    fn read(world: &World) -> Gauges {
        let entries = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
        Gauges {
            sessions: world.sessions(),
            sleepers: world.twin.hand().sleepers(),
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
        }
    }
}

#[test]
fn a_day_of_mail_leaves_nothing_behind() {
    let mut world = World::off(Mode::Whole, MemoryDisk::new()).expect("a world");
    world.start().and_then(|()| world.make_owner()).expect("a node");
    for domain in ["up", "grey", "down", "no"] {
        play(&mut world, &format!("dns {domain}.example MX 10 mx.{domain}.example\nmx mx.{domain}.example up"));
    }
    play(&mut world, "mx mx.no.example replies RCPT \"550 5.1.1 nobody\"");
    let (_certificates, until) = keep_certificates(&world);
    let (mut tally, mut early) = (Tally::default(), None);
    let before = counts(&world);
    for hour in 0..HOURS {
        play(&mut world, if DOWN.contains(&hour) { "mx mx.down.example down" } else { "mx mx.down.example up" });
        for round in 0..ROUNDS {
            let text = tell_round(&mut tally, hour, round);
            play(&mut world, &text);
        }
        let gauges = Gauges::read(&world);
        match &early {
            // The first hours warm up: threads start with their first work.
            None if hour == 1 => early = Some(gauges),
            Some(early) if !DOWN.contains(&hour) && hour > DOWN.end + 3 => {
                assert_eq!(&gauges, early, "after hour {hour}")
            }
            _ => {}
        }
    }
    let written = counts(&world).since(before);
    assert!(valid(&world).1 > until, "the certificate was not renewed");
    settle_accounts(&mut world, &tally, written);
}

/// The node has certificates of its own, and looks after them; the clock goes on to some hours before one is due. Until when they are
/// valid is returned, too.
fn keep_certificates(world: &World) -> (smol::Task<()>, Timestamp) {
    let context = world.context().expect("a node");
    let certificates = Certificates::new(&Folder(world.folder().to_owned()), Vec::new());
    let bare = Site { tls: None, ..Site::clone(&context.site()) };
    let complete = certificates.complete(&context.store, &context.net, bare);
    put_in_force(&context, world.wait_for(complete).expect("an answer").expect("certificates"));
    let (from, until) = valid(world);
    let due = until.0 - i64::try_from(until.since(from).as_millis()).expect("a time") / 3;
    world.twin.hand().set_wall(Timestamp(due - i64::try_from(RENEWED_AFTER.as_millis()).expect("a time")));
    (world.executor.spawn(certificates.look_after(context)), until)
}

/// From when until when the certificate is valid that is shown now.
fn valid(world: &World) -> (Timestamp, Timestamp) {
    let site = world.context().expect("a node").site();
    let all = site.tls.as_ref().expect("TLS").facts();
    let facts = all.first().expect("a certificate");
    (facts.from, facts.until)
}

/// One round: what everybody says, and what they are answered.
fn tell_round(tally: &mut Tally, hour: usize, round: usize) -> String {
    let mut text = String::new();
    arrive(tally, &mut text);
    send(tally, &mut text, round);
    if round == 1 && !NOTICES.contains(&hour) {
        fetch_by_pop3(tally, &mut text);
    }
    read_and_file(tally, &mut text, round);
    disturb(&mut text, hour, round);
    if round == ROUNDS - 1 {
        empty(tally, &mut text);
    }
    text.push_str("drop A\nat +10m\n");
    text
}

fn say(text: &mut String, client: &str, line: &str, answer: &str) {
    let _ = writeln!(text, "{client}> {line}\n{client}< {answer}");
}

/// A message of about 4 KB that does not compress better than mail does.
fn message(tally: &mut Tally, from: &str, kind: &str) -> String {
    tally.number += 1;
    let mut text = format!("From: {from}\\r\\nSubject: soak {}\\r\\nX-Soak: {kind}\\r\\n\\r\\n", tally.number);
    let mut state = (tally.number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..MESSAGE_LINES {
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let _ = write!(text, "{:05x} ", state & 0xf_ffff);
        }
        text.push_str("\\r\\n");
    }
    text
}

fn arrive(tally: &mut Tally, text: &mut String) {
    text.push_str("open A imap login\n");
    say(text, "A", "a SELECT INBOX", "...");
    text.push_str("A< a OK *\nA> b IDLE\nA< + *\nopen S smtp from 203.0.113.7\nS< 220 *\n");
    say(text, "S", "EHLO mx.far.example", "...");
    text.push_str("S< 250 *\n");
    for _ in 0..ARRIVING {
        say(text, "S", "MAIL FROM:<a@far.example>", "250 *");
        say(text, "S", "RCPT TO:<me@home.test>", "250 *");
        say(text, "S", "DATA", "354 *");
        let _ = writeln!(text, "S>> {}.\\r\\n\nS< 250 *\nA< ...\nA< * * EXISTS", message(tally, "a@far.example", "in"));
    }
    say(text, "S", "QUIT", "221 *");
    text.push_str("drop S\n");
    (tally.here, tally.arrived, tally.changes) =
        (tally.here + ARRIVING, tally.arrived + ARRIVING, tally.changes + ARRIVING);
}

/// To a server that takes it, one that does so at the second attempt, one that is down at times, one that refuses.
fn send(tally: &mut Tally, text: &mut String, round: usize) {
    let (domain, attempts) = match round % 4 {
        0 => ("up", 1),
        1 => ("grey", 2),
        2 => ("down", 1),
        _ => ("no", 1),
    };
    if domain == "grey" {
        text.push_str("mx mx.grey.example replies RCPT \"451 4.7.1 later\" once\n");
    }
    text.push_str("open U submission login\n");
    say(text, "U", "MAIL FROM:<me@home.test>", "250 *");
    say(text, "U", &format!("RCPT TO:<bob@{domain}.example>"), "250 *");
    say(text, "U", "DATA", "354 *");
    let _ = writeln!(text, "U>> {}.\\r\\n", message(tally, "me@home.test", "out"));
    text.push_str("U< 250 *\n");
    say(text, "U", "QUIT", "221 *");
    text.push_str("drop U\n");
    match tally.taken.get_mut(round % 4) {
        Some(taken) => *taken += 1,
        None => tally.bounced += 1,
    }
    (tally.sent, tally.changes) = (tally.sent + 1, tally.changes + 1 + attempts);
}

fn fetch_by_pop3(tally: &mut Tally, text: &mut String) {
    text.push_str("open P pop3 login\n");
    say(text, "P", "RETR 1", "+OK*");
    text.push_str("P< ...\nP< .\n");
    say(text, "P", "DELE 1", "+OK*");
    say(text, "P", "QUIT", "+OK*");
    text.push_str("drop P\n");
    (tally.here, tally.changes) = (tally.here - 1, tally.changes + 1);
}

/// Another device looks at what is new, marks it, keeps a draft.
fn read_and_file(tally: &mut Tally, text: &mut String, round: usize) {
    text.push_str("open B imap login\n");
    let commands = [
        ("SELECT INBOX", 0),
        ("FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)", 0),
        ("FETCH * (BODY[])", 1),
        ("STORE * +FLAGS (\\Flagged)", 1),
        ("COPY 1 Archive", 1),
        ("STATUS Archive (MESSAGES)", 0),
    ];
    for (command, changes) in commands {
        say(text, "B", &format!("c {command}"), "...");
        text.push_str("B< c OK *\n");
        tally.changes += changes;
    }
    if round.is_multiple_of(2) {
        text.push_str(
            "B> d APPEND Drafts {40+}\\r\\nSubject: a draft\\r\\n\\r\\nnot finished yet..\\r\\n\nB< ...\nB< d OK *\n",
        );
        tally.changes += 1;
    }
    text.push_str("B> e LOGOUT\nB< ...\nB< e OK *\ndrop B\n");
}

/// Passwords are guessed, and connections lost in the middle of everything.
fn disturb(text: &mut String, hour: usize, round: usize) {
    let guesser = 1 + (hour * ROUNDS + round) % 250;
    let _ =
        writeln!(text, "open G submission from 127.0.0.{guesser}\nG< 220 *\nG> EHLO guess.example\nG< ...\nG< 250 *");
    let _ = writeln!(text, "G> AUTH PLAIN AG1lQGhvbWUudGVzdAB3cm9uZw==\ndrop G");
    text.push_str("open C smtp from 203.0.113.9\nC< 220 *\nC> EHLO c.example\nC< ...\nC< 250 *\n");
    say(text, "C", "MAIL FROM:<c@far.example>", "250 *");
    say(text, "C", "RCPT TO:<me@home.test>", "250 *");
    say(text, "C", "DATA", "354 *");
    text.push_str("C> Subject: never ended\ndrop C\nopen C imap login\nC> c APPEND INBOX {100000+}\ndrop C\n");
}

/// All that was acknowledged is there; then it is deleted.
fn empty(tally: &mut Tally, text: &mut String) {
    text.push_str("open B imap login\nB> f SELECT INBOX\nB< ...\nB< f OK *\nB> g SEARCH RETURN (COUNT) HEADER X-Soak in\nB< ...\n");
    let _ = writeln!(text, "B< * ESEARCH (TAG \"g\") COUNT {}\nB< g OK *", tally.here);
    for command in ["STORE 1:* +FLAGS.SILENT (\\Deleted)", "EXPUNGE"] {
        let _ = writeln!(text, "B> h {command}\nB< ...\nB< h OK *");
    }
    for mailbox in ["Archive", "Drafts", "Sent"] {
        let _ = writeln!(
            text,
            "B> i SELECT {mailbox}\nB< ...\nB< i OK *\nB> j STORE 1:* +FLAGS.SILENT (\\Deleted)\nB< ...\nB< j OK *"
        );
        text.push_str("B> k EXPUNGE\nB< ...\nB< k OK *\n");
    }
    text.push_str("B> l LOGOUT\nB< ...\nB< l OK *\ndrop B\n");
    (tally.here, tally.changes) = (0, tally.changes + 8);
}

/// Carries out steps of a dialogue, one a line.
fn play(world: &mut World, text: &str) {
    let script = script::parse(&format!("# A round.\n{text}")).unwrap_or_else(|(line, why)| {
        panic!("line {line}, {:?}: {why}", text.lines().nth(line.saturating_sub(2)));
    });
    for step in &script.steps {
        if let Err(why) = world.carry_out(step, Path::new("")) {
            let mishap = world.mishap(step, why);
            // All but the text of messages.
            let said: Vec<&str> = mishap.transcript.lines().filter(|line| line.len() < 64).collect();
            let tail = said.len().saturating_sub(SHOWN_LINES);
            panic!("{}: {}\n{}", mishap.step, mishap.why, said[tail..].join("\n"));
        }
    }
}

fn counts(world: &World) -> DiskCounts {
    let (database, journal) = (world.disk.counts(Part::Database), world.disk.counts(Part::Journal));
    DiskCounts {
        writes: database.writes + journal.writes,
        bytes: database.bytes + journal.bytes,
        syncs: database.syncs + journal.syncs,
    }
}

fn settle_accounts(world: &mut World, tally: &Tally, written: DiskCounts) {
    let changes = tally.changes as f64;
    let (flushes, kib) = (written.syncs as f64 / changes, written.bytes as f64 / 1024.0 / changes);
    println!(
        "{} arrived, {} sent, {} changes: {flushes:.3} flushes and {kib:.2} KiB each",
        tally.arrived, tally.sent, tally.changes
    );
    play(world, "queue is empty");
    for (host, taken) in ["up", "grey", "down"].iter().zip(tally.taken) {
        play(world, &format!("mx mx.{host}.example received {taken} messages"));
    }
    let store = world.context().expect("a node").store;
    let findings = world.wait_for(store.read(|snapshot| snapshot.check())).expect("an answer").expect("a check");
    assert_eq!(findings, Vec::<String>::new());
    assert!(flushes <= FLUSHES_OF_A_CHANGE_MAX, "{flushes} flushes a change");
    assert!(kib <= WRITTEN_OF_A_CHANGE_KIB_MAX, "{kib} KiB a change");
}
