//! Sessions at rest: how often a hundred of them wake the program while nothing happens, and that news are told to those
//! concerned and to nobody else.
//!
//! Time is virtual and everything is counted: whoever wants to be woken is in the clock's list.

mod imap_session;

use hauspost::net::Stream;
use imap_session::{Node, OWNER, PASSWORD, read_now, write_now};
use smol::Task;
use std::time::Duration;

const SESSIONS: usize = 100;
const RING_BYTES: u64 = 1 << 20;
const PIPE_BYTES: usize = 64 << 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Sends some lines and lets everything happen; returns what was said.
fn talk(node: &Node, stream: &mut Stream, lines: &str) -> String {
    assert!(lines.is_empty() || write_now(stream, lines.as_bytes()));
    node.settle();
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    while let Some(Ok(read @ 1..)) = read_now(stream, &mut buffer) {
        said.extend_from_slice(&buffer[..read]);
        node.settle();
    }
    String::from_utf8(said).expect("text")
}

/// Sessions that began at different times and idle: one in ten in INBOX, the others elsewhere; one in seven after NOTIFY
/// instead of IDLE.
fn at_rest(node: &mut Node) -> Vec<(Stream, Task<()>)> {
    let mut sessions = Vec::new();
    for i in 0..SESSIONS {
        let (mut stream, session, _) = node.connect(PIPE_BYTES);
        let mailbox = ["INBOX", "Sent", "Drafts", "Trash", "Junk", "Archive"][if i % 10 == 0 { 0 } else { 1 + i % 5 }];
        let waits = match i % 7 {
            6 => "c NOTIFY SET (selected (MessageNew MessageExpunge))\r\n",
            _ => "c IDLE\r\n",
        };
        let said = talk(node, &mut stream, &format!("a LOGIN {OWNER} {PASSWORD}\r\nb SELECT {mailbox}\r\n"));
        assert!(said.contains("\r\nb OK "), "{said}");
        let said = talk(node, &mut stream, waits);
        assert!(said.starts_with("+ ") || said.starts_with("c OK "), "{said}");
        sessions.push((stream, session));
        node.twin.hand().advance(Duration::from_millis(7_300));
        node.settle();
    }
    sessions
}

/// All moments until then at which somebody is woken.
fn moments_until(node: &Node, end: Duration) -> Vec<Duration> {
    let mut moments = Vec::new();
    while let Some(at) = node.twin.hand().next_sleeper().filter(|at| *at <= end) {
        moments.push(at);
        node.twin.hand().advance_to(at);
        node.settle();
    }
    node.twin.hand().advance_to(end);
    node.settle();
    moments
}

#[test]
fn a_hundred_sessions_wake_the_program_once_in_24_minutes() {
    let mut node = Node::new(1, RING_BYTES);
    let mut sessions = at_rest(&mut node);
    assert!(node.twin.hand().steady() < 24 * MINUTE);
    let moments = moments_until(&node, 10 * 60 * MINUTE);
    assert_eq!(moments, (1..=25).map(|count| count * 24 * MINUTE).collect::<Vec<_>>());
    for (stream, _) in &mut sessions {
        assert_eq!(talk(&node, stream, ""), "* OK Still here\r\n".repeat(25));
    }
}

#[test]
fn news_reach_those_concerned_and_put_no_word_off() {
    let mut node = Node::new(2, RING_BYTES);
    let mut sessions = at_rest(&mut node);
    moments_until(&node, 40 * MINUTE);
    for (stream, _) in &mut sessions {
        assert_eq!(talk(&node, stream, ""), "* OK Still here\r\n");
    }
    let (mut other, _session, _) = node.connect(PIPE_BYTES);
    let append = "b APPEND INBOX {16+}\r\nSubject: a\r\n\r\nb\r\n\r\nc LOGOUT\r\n";
    let said = talk(&node, &mut other, &format!("a LOGIN {OWNER} {PASSWORD}\r\n{append}"));
    assert!(said.contains("\r\nb OK "), "{said}");
    for (i, (stream, _)) in sessions.iter_mut().enumerate() {
        assert_eq!(talk(&node, stream, ""), if i % 10 == 0 { "* 1 EXISTS\r\n" } else { "" }, "session {i}");
    }
    assert_eq!(moments_until(&node, 60 * MINUTE), [48 * MINUTE]);
    for (stream, _) in &mut sessions {
        assert_eq!(talk(&node, stream, ""), "* OK Still here\r\n");
    }
}
