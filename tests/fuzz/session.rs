//! A whole IMAP session, with its store, and a client that says anything: what `walks::imap` does for the conversation alone.
//!
//! The store stays for some walks, so that there is mail to ask for. What must hold: nothing panics, what is said is framed as
//! responses are, a session whose client has gone ends, and the store is at rest then.

use crate::imap_session::{Chance, Node, OWNER, PASSWORD, read_now, write_now};
use std::cell::RefCell;
use std::time::Duration;

/// Walks on one store.
const WALKS_PER_NODE: u32 = 200;
/// Messages of a store that the next walk still gets.
const MESSAGES_MAX: u32 = 500;
/// COPY of all into the same mailbox doubles it: an input that says so more often takes minutes, and finds nothing in them.
const COPIES_MAX: usize = 5;
/// Of the journal.
const RING_BYTES: u64 = 1 << 20;
/// What is under way to a client that reads slowly.
const NARROW_PIPE_BYTES: usize = 61;
/// Longer than any wait of a session.
const LONG: Duration = Duration::from_secs(3_600);
/// More logins than a fuzzer's input has.
const GUESSES_MAX: usize = 1_000;
/// More than the largest answer to a fuzzer's input.
const SAID_BYTES_MAX: usize = 64 << 20;

thread_local! {
    static NODE: RefCell<Option<(Node, u32)>> = const { RefCell::new(None) };
}

/// The IMAP session, from the greeting on; mostly after login.
pub fn imap_session(data: &[u8]) {
    let (seed, input) = data.split_at(data.len().min(4));
    if input.windows(4).filter(|word| word.eq_ignore_ascii_case(b"COPY")).count() > COPIES_MAX {
        return;
    }
    let seed = seed.iter().fold(1, |seed, byte| seed << 8 | u64::from(*byte));
    NODE.with_borrow_mut(|place| {
        let (mut node, walks) = match place.take() {
            Some((node, walks)) if walks < WALKS_PER_NODE => (node, walks + 1),
            _ => (Node::new(7, RING_BYTES), 0),
        };
        walk(&mut node, &mut Chance::new(seed), input);
        // COPY into the same mailbox doubles it, and so does the next walk.
        let mailboxes = node.read(|snapshot| snapshot.mailboxes()).expect("readable");
        let messages: u32 = mailboxes.iter().map(|mailbox| mailbox.messages).sum();
        *place = (messages <= MESSAGES_MAX).then_some((node, walks));
    });
}

fn walk(node: &mut Node, chance: &mut Chance, input: &[u8]) {
    let pipe_bytes = if chance.once_in(4) { NARROW_PIPE_BYTES } else { 1 << 16 };
    let (mut stream, session, _) = node.connect(pipe_bytes);
    let mut first = Vec::new();
    if !chance.once_in(8) {
        first.extend_from_slice(format!("in LOGIN {OWNER} {PASSWORD}\r\n").as_bytes());
    }
    if chance.once_in(2) {
        first.extend_from_slice(b"in SELECT INBOX\r\n");
    }
    let mut said = Vec::new();
    let mut rest = input;
    let mut next = first.as_slice();
    loop {
        let taken = next.is_empty() || write_now(&mut stream, next);
        listen(node, &mut stream, &mut said);
        if rest.is_empty() || !taken {
            break;
        }
        let count = if chance.once_in(2) { rest.len().min(30_000) } else { (1 + chance.below(60)).min(rest.len()) };
        (next, rest) = rest.split_at(count);
    }
    drop(stream);
    node.settle();
    // One that guesses passwords is made to wait after each.
    for _ in 0..GUESSES_MAX {
        if session.is_finished() {
            break;
        }
        node.twin.hand().advance(LONG);
        node.settle();
    }
    assert!(session.is_finished(), "a session whose client has gone ends");
    let is_odd = |word: &[u8]| input.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    if !is_odd(b"COMPRESS") && !is_odd(b"STARTTLS") {
        check_frames(&said);
    }
}

/// Reads all that the session says.
fn listen(node: &Node, stream: &mut hauspost::net::Stream, said: &mut Vec<u8>) {
    let mut buffer = [0u8; 8192];
    loop {
        node.settle();
        let mut any = false;
        while let Some(Ok(read @ 1..)) = read_now(stream, &mut buffer) {
            any = true;
            said.extend_from_slice(&buffer[..read]);
            assert!(said.len() < SAID_BYTES_MAX, "no answer without end");
        }
        if !any {
            return;
        }
    }
}

/// Lines with literals in them; each response begins with `*`, `+` or a tag.
fn check_frames(mut said: &[u8]) {
    while !said.is_empty() {
        let begins = |text: &[u8]| said.starts_with(text);
        if !(begins(b"* ") || begins(b"+ ")) {
            let words: Vec<&[u8]> = said.splitn(3, |byte| *byte == b' ').collect();
            let is_tagged = matches!(words.as_slice(), [_, b"OK" | b"NO" | b"BAD", _]);
            assert!(is_tagged, "{}", said[..said.len().min(200)].escape_ascii());
        }
        loop {
            let Some(end) = said.windows(2).position(|pair| pair == b"\r\n") else { return };
            let line = &said[..end];
            assert!(!line.contains(&b'\n') && !line.contains(&0), "{}", line.escape_ascii());
            let literal = line.strip_suffix(b"}").and_then(|line| {
                let digits = line.iter().rposition(|byte| *byte == b'{')?;
                std::str::from_utf8(&line[digits + 1..]).ok()?.parse::<usize>().ok()
            });
            said = &said[end + 2..];
            match literal {
                Some(length) if length > said.len() => return,
                Some(length) => said = &said[length..],
                None => break,
            }
        }
    }
}
