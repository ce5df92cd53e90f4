//! The arguments of `hauspost status`.

use crate::node::control::client::{self, Whereabouts};
use crate::node::failure::Failure;
use crate::node::status::StatusOrder;
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Show how the server is: listeners, certificate, devices, mailboxes, queue, the card, the last update, troubles.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "status",
    note = "Works while the server runs and while it does not.",
    example = "{command_name} --data /var/lib/hauspost",
    error_code(0, "it was shown"),
    error_code(64, "the arguments are wrong"),
    error_code(69, "too many commands are running"),
    error_code(71, "the system refused something"),
    error_code(74, "the store failed, or another process has it open and does not answer"),
    error_code(78, "the configuration is wrong")
)]
pub struct StatusArguments {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// for programs: one JSON object
    #[argh(switch)]
    json: bool,
}

/// Carries out `hauspost status`.
pub fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    let at = Whereabouts { data: &arguments.data, config: arguments.config.as_deref() };
    client::run(at, StatusOrder { json: arguments.json }.to_words())
}
