//! The arguments of `hauspost selftest`.

use crate::node::control::client::ask_running;
use crate::node::failure::Failure;
use crate::node::selftest::WORD;
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Let the running server deliver a message to itself, read it back by IMAP and POP3, and take it away.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "selftest",
    note = "The message goes over the server's own ports on this machine. It is in INBOX for a moment, where devices may see it. \
            For that long there is a device hauspost-selftest, whose password nobody is told.",
    example = "{command_name} --data /var/lib/hauspost",
    error_code(0, "the message came in and was read"),
    error_code(1, "it was not, or the server does not run"),
    error_code(64, "the arguments are wrong"),
    error_code(69, "a self-test runs already"),
    error_code(71, "the system refused something"),
    error_code(74, "the store failed, or the server does not answer")
)]
pub struct SelftestArguments {
    /// data folder
    #[argh(option)]
    data: PathBuf,
}

/// Carries out `hauspost selftest`.
pub fn run(arguments: &SelftestArguments) -> Result<(), Failure> {
    ask_running(&arguments.data, vec![WORD.to_owned()])
}
