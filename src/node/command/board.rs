//! The arguments of commands for boards that run nothing else.

use argh::{ArgsInfo, FromArgs};

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
