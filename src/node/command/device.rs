//! The arguments of `hauspost device`.

use crate::limits::POP3_LOGIN_DELAY_SECONDS_MAX;
use crate::mail::collecting::OnDelete;
use crate::node::command::print;
use crate::node::control::client::{self, Whereabouts};
use crate::node::devices::{DeviceOrder, LINK_LABEL, Wanted, check_wanted};
use crate::node::failure::{Exit, Failure};
use crate::node::qr_code;
use crate::serve::devices::CollectingWish;
use argh::{ArgsInfo, FromArgs};
use std::io::IsTerminal;
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
    Pop3(Pop3),
    Link(Link),
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
    /// let it use APOP of POP3: its password is kept readable then
    #[argh(switch)]
    apop: bool,
    /// draw the link as a QR code although stdout is no terminal
    #[argh(switch)]
    qr: bool,
    /// its name: letters, digits, hyphens, underscores, dots
    #[argh(positional, arg_name = "NAME")]
    name: String,
}

/// List all devices: what they may do, when they were used last, from where, by which program.
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

/// Say how a device collects its mail by POP3; what is not said stays as it is.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "pop3",
    note = "A device sees INBOX and what it deletes is gone, unless you say otherwise here.",
    example = "{command_name} old-phone --on-delete trash --data /var/lib/hauspost",
    example = "{command_name} scanner --mailbox Scans --login-delay 60 --data /var/lib/hauspost"
)]
struct Pop3 {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// the mailbox that it sees
    #[argh(option)]
    mailbox: Option<String>,
    /// what becomes of what it deletes: delete, trash or archive
    #[argh(option)]
    on_delete: Option<String>,
    /// seconds from one session to the next, up to 86400; 0: as often as it likes
    #[argh(option)]
    login_delay: Option<u32>,
    /// no APOP any more: its password is not kept readable
    #[argh(switch)]
    no_apop: bool,
    /// its name
    #[argh(positional, arg_name = "NAME")]
    name: String,
}

/// Make a link that sets a device up, while the server runs. The device gets a new password when the link is opened.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "link",
    note = "The link opens once, within 15 minutes. On a terminal it is shown as a QR code too: scan it with the phone. The page \
            that opens has the settings for every mail program and a password that nobody else is shown. A link that \
            nobody opens changes nothing. A device that may use APOP loses that with its old password.",
    example = "{command_name} phone --data /var/lib/hauspost"
)]
struct Link {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// draw the link as a QR code although stdout is no terminal
    #[argh(switch)]
    qr: bool,
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

/// What the options mean.
fn wish(pop3: &Pop3) -> Result<CollectingWish, Failure> {
    let refuse = |sentence: &str| Err(Failure::new(Exit::Usage, sentence));
    let on_delete = match pop3.on_delete.as_deref().map(OnDelete::parse) {
        Some(None) => return refuse("--on-delete is delete, trash or archive"),
        known => known.flatten(),
    };
    let (login_delay_seconds, forget_readable) = (pop3.login_delay, pop3.no_apop);
    let wish = CollectingWish { mailbox: pop3.mailbox.clone(), on_delete, login_delay_seconds, forget_readable };
    if wish == CollectingWish::default() {
        return refuse("say what is to change: --mailbox, --on-delete, --login-delay or --no-apop");
    }
    if login_delay_seconds.is_some_and(|seconds| seconds > POP3_LOGIN_DELAY_SECONDS_MAX) {
        return refuse("the login delay is at most 86400 seconds");
    }
    Ok(wish)
}

/// Carries out `hauspost device`.
pub fn run(arguments: &DeviceArguments) -> Result<(), Failure> {
    let wanted = |rights: &str, mailboxes: &[String]| {
        let wanted = Wanted { rights: rights.to_owned(), mailboxes: mailboxes.to_vec() };
        check_wanted(&wanted).map(|_| wanted)
    };
    let mut draws = false;
    let (data, config, order) = match &arguments.command {
        DeviceCommand::Add(Add { data, config, rights, mailbox, apop, name, qr }) => {
            draws = *qr || std::io::stdout().is_terminal();
            let order = DeviceOrder::Add { name: name.clone(), wanted: wanted(rights, mailbox)?, apop: *apop };
            (data, config, order)
        }
        DeviceCommand::Pop3(pop3) => (&pop3.data, &pop3.config, DeviceOrder::Pop3(pop3.name.clone(), wish(pop3)?)),
        DeviceCommand::List(List { data, config, json }) => (data, config, DeviceOrder::List { json: *json }),
        DeviceCommand::Rights(RightsOf { data, config, rights, mailbox, name }) => {
            (data, config, DeviceOrder::Rights(name.clone(), wanted(rights, mailbox)?))
        }
        DeviceCommand::Link(Link { data, config, name, qr }) => {
            draws = *qr || std::io::stdout().is_terminal();
            (data, config, DeviceOrder::Link(name.clone()))
        }
        DeviceCommand::Remove(Remove { data, config, name }) => (data, config, DeviceOrder::Remove(name.clone())),
    };
    let said = client::run_and_keep(Whereabouts { data, config: config.as_deref() }, order.to_words())?;
    let link = said.lines().find_map(|line| line.strip_prefix(LINK_LABEL));
    match link.and_then(qr_code::draw).filter(|_| draws) {
        Some(code) => print(&format!("\n{code}")),
        None => Ok(()),
    }
}
