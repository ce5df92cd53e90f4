//! The arguments of `hauspost dns` and `hauspost dkim`.

use crate::mail::dkim::Algorithm;
use argh::{ArgsInfo, FromArgs};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Print what DNS has to say for mail of your domains to come and go, or compare it with what DNS says.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "dns",
    note = "It changes nothing, here or in DNS, and works while the server runs. With --check it asks DNS, and the exit code \
            tells scripts whether all is right.",
    example = "{command_name} --data /var/lib/hauspost --address 203.0.113.5",
    example = "{command_name} --data /var/lib/hauspost --check",
    error_code(0, "with --check: what mail needs is there and nothing is wrong"),
    error_code(1, "with --check: something that mail needs is missing, or something is wrong")
)]
pub struct Dns {
    /// data folder that `init` made
    #[argh(option)]
    pub data: PathBuf,
    /// configuration file; hauspost.toml in the data folder by default
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// public address of this machine or its line; may be given several times. Without it, those that its interfaces have
    #[argh(option)]
    pub address: Vec<IpAddr>,
    /// zone (for a zone file) or table (for the forms of a provider); both by default
    #[argh(option, from_str_fn(read_format))]
    pub format: Option<Format>,
    /// ask DNS, and say record by record what is right, missing or different
    #[argh(switch)]
    pub check: bool,
    /// ip:port of the DNS server to ask
    #[argh(option)]
    pub dns: Option<SocketAddr>,
    /// print JSON, for scripts
    #[argh(switch)]
    pub json: bool,
}

/// How the records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A snippet for a zone file.
    Zone,
    /// A table for forms.
    Table,
}

/// Make a key that signs your mail (DKIM), or list those that are there.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "dkim",
    note = "A new key signs nothing until it stands in the configuration. First put its record into DNS.",
    example = "{command_name} --data /var/lib/hauspost --new rsa2"
)]
pub struct Dkim {
    /// data folder that `init` made
    #[argh(option)]
    pub data: PathBuf,
    /// configuration file; hauspost.toml in the data folder by default
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// make a key of this name: small letters, digits and hyphens
    #[argh(option)]
    pub new: Option<String>,
    /// rsa, which all others understand (the default), or ed25519, which is small and which some understand
    #[argh(option, long = "type", from_str_fn(read_kind))]
    pub kind: Option<Algorithm>,
}

fn read_format(text: &str) -> Result<Format, String> {
    match text {
        "zone" => Ok(Format::Zone),
        "table" => Ok(Format::Table),
        _ => Err("expected zone or table".to_owned()),
    }
}

fn read_kind(text: &str) -> Result<Algorithm, String> {
    let known = [Algorithm::Rsa, Algorithm::Ed25519].into_iter().find(|algorithm| algorithm.name() == text);
    known.ok_or_else(|| "expected rsa or ed25519".to_owned())
}
