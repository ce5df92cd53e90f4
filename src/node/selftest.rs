//! `hauspost selftest`: the running node writes to itself and reads it back.
//!
//! Receives the words of the command; hands on text. The conversations are those of `serve::selftest`.

use crate::limits::SELFTEST_SECONDS_MAX;
use crate::node::control::answer::Answer;
use crate::node::control::{Errand, Running};
use crate::node::failure::{Exit, Failure};
use crate::node::owner::in_store;
use crate::node::ports::PORTS;
use crate::node::watchdog::near;
use crate::serve::devices::NotDone;
use crate::serve::selftest::{Place, Selftest};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The word of the command, as it goes over the control socket.
pub const WORD: &str = "selftest";

/// One at a time: they have one login.
static RUNS: AtomicBool = AtomicBool::new(false);

/// That a test runs, until it is dropped.
struct Turn;

impl Turn {
    fn take() -> Option<Turn> {
        (!RUNS.swap(true, Ordering::AcqRel)).then_some(Turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        RUNS.store(false, Ordering::Release);
    }
}

/// Carries out what the words say.
pub async fn carry_out(errand: &Errand, words: &[&str], answer: &mut Answer) -> Result<(), Failure> {
    if !words.is_empty() {
        return Err(Failure::new(Exit::Usage, "the node that runs does not know this command: restart it"));
    }
    let running = errand.running.as_ref().ok_or_else(|| findings("the server does not run"))?;
    let _turn =
        Turn::take().ok_or_else(|| Failure::new(Exit::InUse, "a self-test runs already: wait until it has ended"))?;
    let test = Selftest::begin(&errand.context).await.map_err(|e| match e {
        NotDone::NoOwner => findings("nobody can log in: the owner has no password yet, see hauspost password"),
        NotDone::NoMailbox(name) => findings(format!("there is no mailbox {name:?}")),
        NotDone::Trouble(trouble) => in_store(&trouble),
    })?;
    let limit = Duration::from_secs(SELFTEST_SECONDS_MAX);
    let done = errand.context.net.clock().within(limit, go(&test, running, answer)).await;
    let late = || findings(format!("the server did not come to the end of it within {SELFTEST_SECONDS_MAX} seconds"));
    let done = done.unwrap_or_else(|| Err(late()));
    let ended = test.end().await.map_err(|e| in_store(&e));
    done.and(ended)?;
    answer.say("The server delivers mail and gives it back.\n").await
}

async fn go(test: &Selftest<'_>, running: &Running, answer: &mut Answer) -> Result<(), Failure> {
    let mx = place(running, &["mx"]).ok_or_else(|| findings("nothing listens for mail from elsewhere (mx)"))?;
    let imap = place(running, &["imaps", "imap"]).ok_or_else(|| findings("nothing listens for IMAP"))?;
    let pop3 = place(running, &["pop3s", "pop3"]);
    test.deliver(mx).await.map_err(|e| findings(format!("SMTP at {}: {e}", mx.address)))?;
    answer.say(&format!("SMTP  {}  took a message\n", mx.address)).await?;
    let by_imap = |e| findings(format!("IMAP at {}: {e}", imap.address));
    let uid = test.read_by_imap(imap).await.map_err(by_imap)?;
    answer.say(&format!("IMAP  {}  gave it back\n", imap.address)).await?;
    let by_pop3 = match pop3 {
        None => answer.say("POP3  is turned off\n").await,
        Some(pop3) => match test.read_by_pop3(pop3).await {
            Ok(()) => answer.say(&format!("POP3  {}  gave it back\n", pop3.address)).await,
            Err(e) => Err(findings(format!("POP3 at {}: {e}", pop3.address))),
        },
    };
    test.take_away(imap, uid).await.map_err(by_imap)?;
    by_pop3
}

fn findings(sentence: impl Into<String>) -> Failure {
    Failure::new(Exit::Findings, sentence)
}

/// Where the first of these services that there are is reached from here.
fn place(running: &Running, names: &[&str]) -> Option<Place> {
    let listener = |name: &&str| running.listeners.iter().find(|(known, _)| known == name);
    let (name, address) = names.iter().find_map(listener)?;
    let port = PORTS.iter().find(|port| port.name == *name)?;
    Some(Place { address: near(*address), implicit_tls: port.implicit_tls })
}
