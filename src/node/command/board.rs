//! The arguments of commands for boards that run nothing else.

use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Put another version of the whole system beside the one that runs on a board; the next start tries it.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "update",
    note = "For the image for boards; elsewhere updates come as packages. The update has to be signed with the key that the image was \
            made with. The system that runs stays as it is: the new one is tried once, and stays only if it delivers a message to \
            itself and reads it by IMAP and POP3 within two minutes. Otherwise the board comes back by itself.",
    example = "{command_name} --stdin < hauspost.update",
    error_code(0, "the next start tries it"),
    error_code(1, "the update is refused, and nothing is changed"),
    error_code(64, "the arguments are wrong"),
    error_code(71, "only root may do this"),
    error_code(78, "this system takes no updates this way")
)]
pub struct Update {
    /// take it even if it is not newer than what runs
    #[argh(switch)]
    pub older: bool,
    /// folder that stands for the root of the system, for tests
    #[argh(option, hidden_help)]
    pub root: Option<PathBuf>,
    /// read the update from stdin
    #[argh(switch)]
    pub stdin: bool,
    /// the update
    #[argh(positional, arg_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Ask time servers how far this machine's clock is off.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "clock",
    note = "For boards without a battery, on systems without another program for it. The middle answer of up to four counts.",
    example = "{command_name} --set 0.debian.pool.ntp.org 192.168.1.1",
    error_code(0, "the time is known"),
    error_code(1, "no server told the time"),
    error_code(71, "the clock cannot be set")
)]
pub struct Clock {
    /// set the clock, which needs root
    #[argh(switch)]
    pub set: bool,
    /// names or addresses of time servers
    #[argh(positional, arg_name = "SERVER")]
    pub servers: Vec<String>,
}
