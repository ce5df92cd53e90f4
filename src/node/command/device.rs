//! The arguments of `hauspost device`.

use crate::node::control::client::{self, Whereabouts};
use crate::node::devices::{DeviceOrder, Wanted, check_wanted};
use crate::node::failure::Failure;
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Give phones and programs passwords of their own, and say what each may do.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "device",
    note = "Works while the server runs and while it does not. A device logs in with your own login or address and its own \
            password. Take the password away when the device is lost: everything else goes on as before.",
    example = "{command_name} add phone --data /var/lib/hauspost",
    error_code(0, "everything was done"),
    error_code(1, "there is no such device or mailbox, or there is one already"),
    error_code(64, "the arguments are wrong"),
    error_code(69, "too many commands are running"),
    error_code(71, "the system refused something"),
    error_code(74, "the store failed, or another process has it open and does not answer"),
    error_code(78, "the configuration is wrong")
)]
pub struct DeviceArguments {
    #[argh(subcommand)]
    command: DeviceCommand,
}

#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand)]
enum DeviceCommand {
    Add(Add),
    List(List),
    Rights(RightsOf),
    Remove(Remove),
}

/// Add a device. Its password is made up and shown once.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "add",
    note = "The rights are all, or some of read (look at mail, change nothing), mail (everything but sending) and send, with \
            commas between them.",
    example = "{command_name} kitchen-tablet --rights read --mailbox INBOX --mailbox Recipes --data /var/lib/hauspost"
)]
struct Add {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// what it may do: all by default
    #[argh(option, default = "String::from(\"all\")")]
    rights: String,
    /// only this mailbox and what is below it; may be said several times
    #[argh(option)]
    mailbox: Vec<String>,
    /// its name: letters, digits, hyphens, underscores, dots
    #[argh(positional, arg_name = "NAME")]
    name: String,
}

/// List all devices and what they may do.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "list")]
struct List {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// for programs: one JSON array
    #[argh(switch)]
    json: bool,
}

/// Give a device other rights instead of those that it has. It keeps its password.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "rights")]
struct RightsOf {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// what it may do: all, or some of read, mail and send with commas between them
    #[argh(option)]
    rights: String,
    /// only this mailbox and what is below it; may be said several times
    #[argh(option)]
    mailbox: Vec<String>,
    /// its name
    #[argh(positional, arg_name = "NAME")]
    name: String,
}

/// Remove a device: its password opens nothing any more, and its sessions end.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "remove")]
struct Remove {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// its name
    #[argh(positional, arg_name = "NAME")]
    name: String,
}

/// Carries out `hauspost device`.
pub fn run(arguments: &DeviceArguments) -> Result<(), Failure> {
    let wanted = |rights: &str, mailboxes: &[String]| {
        let wanted = Wanted { rights: rights.to_owned(), mailboxes: mailboxes.to_vec() };
        check_wanted(&wanted).map(|_| wanted)
    };
    let (data, config, order) = match &arguments.command {
        DeviceCommand::Add(Add { data, config, rights, mailbox, name }) => {
            (data, config, DeviceOrder::Add(name.clone(), wanted(rights, mailbox)?))
        }
        DeviceCommand::List(List { data, config, json }) => (data, config, DeviceOrder::List { json: *json }),
        DeviceCommand::Rights(RightsOf { data, config, rights, mailbox, name }) => {
            (data, config, DeviceOrder::Rights(name.clone(), wanted(rights, mailbox)?))
        }
        DeviceCommand::Remove(Remove { data, config, name }) => (data, config, DeviceOrder::Remove(name.clone())),
    };
    client::run(Whereabouts { data, config: config.as_deref() }, order.to_words())
}
