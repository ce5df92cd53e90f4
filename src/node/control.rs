//! The control socket: how commands like `hauspost queue` reach a running node, and what carries them out.
//!
//! Receives the words of a command; hands on text and an exit code. Not a protocol for the network: the socket `control`
//! in the data folder is for the node's user and root alone, and what another program on the machine sends never gets so far.
//!
//! A client connects, sends one [`frame::Request`] and reads [`frame::Piece`]s until the last one, which carries the exit
//! code. Where no node runs, the same command is carried out by the client itself on the store, which it locks meanwhile: what a
//! command does is written once, and it can never be done by both at once.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`frame`] | the bytes that go over the socket |
//! | [`socket`] | makes it, finds it, removes it |
//! | [`listener`] | the node's side: who may speak, how many, how long |
//! | [`client`] | the command's side, with or without a running node |
//! | [`answer`] | where a command's text goes: over the socket in pieces, or to the terminal |
//! | [`wording`] | times, sizes and names as people read them, harmless to a terminal |
//!
//! # How a command is added
//!
//! 1. Its arguments: a subcommand in `src/node/command.rs` or beside `src/node/command/queue.rs`, with `--data` and `--config`.
//! 2. Its words: a type like [`QueueOrder`](crate::node::queue::QueueOrder) with `to_words` and `from_words`, the inverse of
//!    each other. The words are what two builds of the program have in common: change them with care.
//! 3. What it does: `async fn carry_out(errand, words, answer) -> Result<(), Failure>` in a module of `node` that has the text, on
//!    a module of `serve` that has the deed. Long lists go into the [`answer`] page by page. A failure is the sentence and
//!    the exit code that the client ends with.
//! 4. A line in [`carry_out`] below, and [`client::run`] from `command::run`.

pub mod answer;
pub mod client;
pub mod frame;
pub mod listener;
pub mod socket;
pub mod wording;

use crate::node::certificates::Certificates;
use crate::node::failure::{Exit, Failure};
use crate::node::{devices, queue, routes, selftest, status, tls};
use crate::serve::{Admission, Context};
use answer::Answer;
use frame::Request;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// What a command works with.
pub struct Errand {
    /// The node, or what would be one.
    pub context: Context,
    /// The node that runs: what is due is tried. Without it, that waits for the next start.
    pub running: Option<Running>,
    /// Minutes east of UTC, where whoever asks lives.
    pub zone_minutes: i16,
}

/// What a running node has beside its context.
#[derive(Clone)]
pub struct Running {
    /// Its certificates.
    pub certificates: Certificates,
    /// Its services, by name, and where they listen.
    pub listeners: Rc<[(&'static str, SocketAddr)]>,
    /// Services that it does without, by name, and why.
    pub missing: Rc<[(&'static str, String)]>,
    /// Its sessions.
    pub admission: Admission,
    /// When it started, on the steady clock.
    pub started: Duration,
}

/// Carries out a command by its words.
pub async fn carry_out(errand: &Errand, request: &Request, answer: &mut Answer) -> Result<(), Failure> {
    let mut words = request.words.iter().map(String::as_str);
    let command = words.next().unwrap_or_default();
    let words: Vec<&str> = words.collect();
    match command {
        "queue" => queue::carry_out(errand, &words, answer).await,
        "tls" => tls::carry_out(errand, &words, answer).await,
        "status" => status::carry_out(errand, &words, answer).await,
        "device" => devices::carry_out(errand, &words, answer).await,
        "routes" => routes::carry_out(errand, &words, answer).await,
        selftest::WORD => selftest::carry_out(errand, &words, answer).await,
        // The program on the disk may be newer than the node that runs.
        other => Err(Failure::new(
            Exit::Usage,
            format!("the node that runs does not know the command {other:?}: restart it"),
        )),
    }
}
