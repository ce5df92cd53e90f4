//! What a client is told while a command takes long: how far it is (RFC 9585).
//!
//! Receives the work of a command as a future; hands on its result, and says `* OK [INPROGRESS ...]` now and then until it is
//! there. Nothing is said before [`PROGRESS_FIRST_SECONDS`], nor more often than every [`PROGRESS_SECONDS`].

use super::line::Line;
use crate::limits::{PROGRESS_FIRST_SECONDS, PROGRESS_SECONDS};
use crate::net::Clock;
use crate::wire::imap::command::Tag;
use crate::wire::imap::{Code, Status, response};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How far one command is.
pub(super) struct Progress {
    clock: Clock,
    tag: Tag,
    done: Arc<AtomicU64>,
    /// What `done` will be in the end; `None` when the command counts nothing.
    goal: Option<u64>,
    /// When something is said next, on the steady clock.
    due: Duration,
}

impl Progress {
    /// A command that begins now.
    pub fn new(clock: Clock, tag: &Tag, goal: Option<u64>) -> Progress {
        let due = clock.steady() + Duration::from_secs(PROGRESS_FIRST_SECONDS);
        Progress { clock, tag: tag.clone(), done: Arc::default(), goal, due }
    }

    /// What the work counts up as it goes on.
    pub fn done(&self) -> Arc<AtomicU64> {
        self.done.clone()
    }

    /// Waits for a part of the command's work.
    pub async fn during<T>(&mut self, line: &mut Line, work: impl Future<Output = T>) -> io::Result<T> {
        let mut work = pin!(work);
        loop {
            let wait = self.due.saturating_sub(self.clock.steady());
            if let Some(result) = self.clock.within(wait, work.as_mut()).await {
                return Ok(result);
            }
            // Never more than the goal, whatever came in meanwhile.
            let done = self.goal.map(|goal| self.done.load(Ordering::Relaxed).min(goal));
            let code = Code::InProgress { tag: self.tag.as_str(), done, goal: self.goal };
            response::untagged(&mut line.out, Status::Ok, code, "Still working");
            line.flush().await?;
            self.due = self.clock.steady() + Duration::from_secs(PROGRESS_SECONDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::twin::Twin;
    use crate::wire::imap::{Conversation, Out, Step, Terms};
    use smol::channel::bounded;
    use std::net::SocketAddr;

    fn tag() -> Tag {
        let terms =
            Terms { tls: true, starttls: false, plaintext_login: true, channel_binding: false, append_bytes_max: 1 };
        match Conversation::new(terms).step(&mut &b"A001 NOOP\r\n"[..], &mut Out::default()) {
            Step::Command { tag, .. } => tag,
            other => panic!("{other:?}"),
        }
    }

    /// What is said while work takes so many seconds and counts one a second, and how it ends.
    fn said(goal: Option<u64>, seconds: u64) -> (String, u64) {
        let twin = Twin::new(1);
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (ours, mut theirs) = twin.pair(at(1), at(143));
        let (mut line, mut progress) = (Line::new(ours), Progress::new(twin.clock(), &tag(), goal));
        let (hand, done) = (twin.hand().clone(), progress.done());
        let (tell, told) = bounded(1);
        smol::block_on(async {
            let ticking = async {
                for _ in 0..seconds {
                    hand.advance(Duration::from_secs(1));
                    done.fetch_add(1, Ordering::Relaxed);
                    for _ in 0..10 {
                        smol::future::yield_now().await;
                    }
                }
                tell.send(seconds).await
            };
            let working = progress.during(&mut line, async { told.recv().await.unwrap() });
            let (result, _) = smol::future::zip(working, ticking).await;
            line.close().await;
            let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = theirs.read(&mut buffer, Duration::from_secs(1)).await {
                text.extend_from_slice(&buffer[..read]);
            }
            (String::from_utf8(text).unwrap(), result.unwrap())
        })
    }

    #[test]
    fn what_is_done_soon_says_nothing() {
        assert_eq!(said(Some(100), PROGRESS_FIRST_SECONDS - 1), (String::new(), PROGRESS_FIRST_SECONDS - 1));
    }

    #[test]
    fn what_takes_long_says_how_far_it_is() {
        let line = |state: &str| format!("* OK [INPROGRESS (\"A001\" {state})] Still working\r\n");
        let all = [line("5 20"), line("15 20"), line("20 20")].concat();
        assert_eq!(said(Some(20), 30), (all, 30));
        assert_eq!(said(None, 10).0, line("NIL NIL"));
    }
}
