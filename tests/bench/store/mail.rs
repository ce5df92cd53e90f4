//! What goes into the stores of the bench, and the ways it gets there.

use hauspost::mail::index::{BodyIndex, Indexer};
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::date::Timestamp;
use smol::future::block_on;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

pub fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A header of its own for every number. As with mail that people get, three of five messages answer those before them.
fn header(number: u64) -> (Vec<u8>, u64) {
    const THREAD: u64 = 8;
    let id = |number: u64| {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        format!("<{:016x}.{number}@far.example>", random(&mut state))
    };
    let mut out = format!(
        "Return-Path: <sender@far.example>\r\nReceived: from mx.far.example by home.example; \
         Tue, 3 Nov 2026 10:00:00 +0000\r\nMessage-ID: {}\r\nFrom: Sender {number} <sender@far.example>\r\n\
         To: me@home.example\r\nSubject: Message number {number}\r\n",
        id(number)
    );
    let place = number % (THREAD + THREAD / 2);
    if place < THREAD && place > 0 {
        let answered: Vec<_> = (number - place..number).map(id).collect();
        out.push_str(&format!("In-Reply-To: {}\r\nReferences: {}\r\n", id(number - 1), answered.join("\r\n ")));
    }
    out.push_str("\r\n");
    (out.into_bytes(), number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
}

/// A message of that size whose text compresses about as mail does: words in no order.
pub fn text(bytes: usize, number: u64) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "the", "house", "post", "arrives", "while", "nobody", "Antwort", "auf", "deine", "Frage", "meeting",
        "tomorrow", "invoice", "please", "find", "attached", "regards", "Grüße", "between", "windows", "river",
        "number", "again", "quarter",
    ];
    let (mut out, mut state) = header(number);
    while out.len() < bytes {
        let chance = random(&mut state);
        out.extend_from_slice(WORDS[chance as usize % WORDS.len()].as_bytes());
        out.extend_from_slice(match chance >> 32 & 15 {
            0 => b"\r\n".as_slice(),
            1 => b", ",
            _ => b" ",
        });
        if chance >> 40 & 15 == 0 {
            out.extend_from_slice(format!("{chance:x} ").as_bytes());
        }
    }
    out.truncate(bytes);
    out
}

/// A message of that size in base64 of what does not compress: only a quarter can be gained.
pub fn picture(bytes: usize, number: u64) -> Vec<u8> {
    let (mut out, mut state) = header(number);
    while out.len() < bytes {
        out.extend((0..76).map(|_| base64_letter(&mut state)));
        out.extend_from_slice(b"\r\n");
    }
    out.truncate(bytes);
    out
}

pub fn base64_letter(state: &mut u64) -> u8 {
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[random(state) as usize % 64]
}

/// What the product keeps of a message beside its bytes.
pub fn index(bytes: &[u8]) -> BodyIndex {
    let mut indexer = Indexer::new();
    indexer.push(bytes);
    indexer.finish()
}

/// Takes it in, with all that is known of it.
pub async fn body(store: &Store, bytes: &[u8]) -> NewBody {
    let mut writer = store.body_writer();
    for piece in bytes.chunks(4096) {
        writer.write(piece).await.expect("taken in");
    }
    writer.finish(index(bytes)).await.expect("a body")
}

/// Delivers it into INBOX.
pub async fn deliver(store: &Store, bytes: &[u8]) {
    admit(store, body(store, bytes).await).await;
}

pub async fn admit(store: &Store, body: NewBody) {
    let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
    let deliver = Deliver { body, targets, internal_date: NOW, now: NOW };
    store.apply(Op::Deliver(deliver)).await.expect("delivered");
}

/// Sets or clears `\Flagged`; every call that finds it otherwise is a change.
pub async fn flag(store: &Store, uids: Vec<Uid>, set: bool) {
    let change = if set { FlagChange::Add } else { FlagChange::Remove };
    let flags = Flags { system: SystemFlags::FLAGGED, keywords: Vec::new() };
    let set = SetFlags { mailbox: INBOX, uids, change, flags, unchanged_since: None };
    match store.apply(Op::SetFlags(set)).await {
        Ok(Done::FlagsSet { changed, .. }) => assert!(!changed.is_empty(), "a change that changes nothing"),
        other => panic!("flags: {other:?}"),
    }
}

/// `count` changes by `writers` at once, on two threads as the sessions of the product: each takes the next number when its
/// change is durable.
pub fn at_once(writers: usize, count: u64, change: impl AsyncFn(u64) + Sync) {
    const THREADS: usize = 2;
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (next, change) = (&next, &change);
            scope.spawn(move || {
                let executor = smol::LocalExecutor::new();
                let tasks: Vec<_> = (thread..writers)
                    .step_by(THREADS)
                    .map(|_| {
                        executor.spawn(async move {
                            loop {
                                let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                                if number >= count {
                                    break;
                                }
                                change(number).await;
                            }
                        })
                    })
                    .collect();
                block_on(executor.run(async {
                    for task in tasks {
                        task.await;
                    }
                }));
            });
        }
    });
}

/// Fills INBOX with messages of 1.5 KB until there are that many.
pub fn fill(store: &Store, messages: u64) {
    let there = block_on(store.read(|snapshot| snapshot.mailbox(INBOX))).expect("readable").expect("there").messages;
    at_once(32, messages.saturating_sub(there.into()), async |number| deliver(store, &text(1_500, number)).await);
}
