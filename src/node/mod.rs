//! The program: configuration, listeners, supervision, command line.
//!
//! Receives arguments, files and signals; hands accepted connections to `serve`. Never speaks a protocol.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`command`], [`manual`] | reads the arguments; the manual page and completions made of them |
//! | [`trial`], [`setup`], [`production`], [`password`] | `try`, `init`, `serve`, `password` |
//! | [`check`], [`rescue`], [`compact`] | `check`, `check --salvage`, `compact` |
//! | [`dns`], [`signing_keys`] | `dns`, `dkim` |
//! | [`control`], [`queue`], [`devices`], [`qr_code`], [`tls`], [`routes`], [`status`], [`selftest`] | the control socket, and the commands that come over it |
//! | [`clock`], [`update`] | `clock`, `update` |
//! | [`settings`], [`blank`], [`directory`], [`configuration`], [`values`], [`units`] | the configuration file and its keys |
//! | [`site`], [`folder`], [`owner`], [`certificates`] | what a node consists of before it runs |
//! | [`sockets`], [`privilege`] | what is done with root's rights, and giving them up |
//! | [`supervise`], [`accept`], [`cores`], [`watch`], [`watchdog`] | a running node, from first connection to last |
//! | [`log`], [`failure`] | what it tells its owner |

pub mod accept;
mod blank;
pub mod certificates;
pub mod check;
pub mod clock;
pub mod command;
pub mod compact;
pub mod configuration;
pub mod control;
pub mod cores;
pub mod devices;
pub mod directory;
pub mod dns;
pub mod failure;
pub mod folder;
pub mod log;
pub mod manual;
pub mod owner;
pub mod password;
mod ports;
pub mod privilege;
pub mod production;
pub mod qr_code;
pub mod queue;
pub mod rescue;
pub mod routes;
pub mod selftest;
pub mod settings;
pub mod setup;
pub mod signing_keys;
pub mod site;
pub mod smarthosts;
pub mod sockets;
pub mod status;
pub mod supervise;
pub mod tls;
pub mod trial;
pub mod units;
pub mod update;
pub mod values;
pub mod watch;
pub mod watchdog;

use std::process::ExitCode;

/// Runs the command line; returns the exit code.
pub fn main() -> ExitCode {
    end_on_panic();
    match command::run(std::env::args_os().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("hauspost: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// A panic is a bug: the process ends, and what started it starts it again, rather than that a part of it is silently gone.
/// Only what the store catches, redb on a damaged page, costs no more than what was asked.
fn end_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        if !crate::store::is_guarded() {
            std::process::abort();
        }
    }));
}
