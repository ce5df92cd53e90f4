//! The arguments of `hauspost queue`.

use crate::node::control::client::{self, Whereabouts};
use crate::node::failure::{Exit, Failure};
use crate::node::queue::{QueueOrder, Which, parse_ids};
use crate::serve::queue::Change;
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// See the mail that waits to be sent, and say what becomes of it.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "queue",
    note = "Works while the server runs and while it does not. ID is the number in the log (queue=12), in the server's reply \
            when it took the message (Queued as 12), and in the list.",
    example = "{command_name} list --data /var/lib/hauspost",
    error_code(0, "everything was done"),
    error_code(1, "a message is not in the queue (any more), or cannot be tried because it is held"),
    error_code(64, "the arguments are wrong"),
    error_code(69, "too many commands are running"),
    error_code(71, "the system refused something"),
    error_code(74, "the store failed, or another process has it open and does not answer"),
    error_code(78, "the configuration is wrong")
)]
pub struct Queue {
    #[argh(subcommand)]
    command: QueueCommand,
}

#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand)]
enum QueueCommand {
    List(List),
    Show(Show),
    Retry(Retry),
    Hold(Hold),
    Release(Release),
    Remove(Remove),
    Bounce(Bounce),
}

/// List all mail that waits: to whom, why, and when it is tried next.
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

/// Show everything about one message that waits.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "show")]
struct Show {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// its number
    #[argh(positional, arg_name = "ID")]
    id: String,
}

/// Try to send messages now, not when their time comes.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "retry")]
struct Retry {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// all messages that an attempt has failed for
    #[argh(switch)]
    all: bool,
    /// their numbers
    #[argh(positional, arg_name = "ID")]
    ids: Vec<String>,
}

/// Keep messages from being sent until they are released.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "hold",
    note = "They never time out while they are held. A recipient to whom a message is being sent at this moment may still \
            get it."
)]
struct Hold {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// all messages
    #[argh(switch)]
    all: bool,
    /// their numbers
    #[argh(positional, arg_name = "ID")]
    ids: Vec<String>,
}

/// Let held messages go on: at once, or at the time that their sender asked for.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "release")]
struct Release {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// all messages that are held
    #[argh(switch)]
    all: bool,
    /// their numbers
    #[argh(positional, arg_name = "ID")]
    ids: Vec<String>,
}

/// Take messages out of the queue. Nobody is told; copies in the mailboxes stay.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "remove")]
struct Remove {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// their numbers
    #[argh(positional, arg_name = "ID")]
    ids: Vec<String>,
}

/// Give messages up now: they go back to whoever wrote them.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "bounce")]
struct Bounce {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// their numbers
    #[argh(positional, arg_name = "ID")]
    ids: Vec<String>,
}

/// Carries out `hauspost queue`.
pub fn run(arguments: &Queue) -> Result<(), Failure> {
    let usage = |sentence: String| Failure::new(Exit::Usage, sentence);
    let some = |ids: &[String], all: bool| match (ids, all) {
        ([], true) => Ok(Which::All),
        ([], false) => Err(usage("say which messages: their numbers".into())),
        (_, true) => Err(usage("say --all or some numbers, not both".into())),
        (ids, false) => Ok(Which::These(parse_ids(ids)?)),
    };
    let change = |change: Change, ids: &[String], all: bool| Ok(QueueOrder::Change(change, some(ids, all)?));
    let (data, config, order) = match &arguments.command {
        QueueCommand::List(List { data, config, json }) => (data, config, QueueOrder::List { json: *json }),
        QueueCommand::Show(Show { data, config, id }) => match parse_ids(std::slice::from_ref(id))?.as_slice() {
            [id] => (data, config, QueueOrder::Show(*id)),
            _ => return Err(usage("one message at a time".into())),
        },
        QueueCommand::Retry(Retry { data, config, ids, all }) => (data, config, change(Change::Retry, ids, *all)?),
        QueueCommand::Hold(Hold { data, config, ids, all }) => (data, config, change(Change::Hold, ids, *all)?),
        QueueCommand::Release(Release { data, config, ids, all }) => {
            (data, config, change(Change::Release, ids, *all)?)
        }
        QueueCommand::Remove(Remove { data, config, ids }) => (data, config, change(Change::Remove, ids, false)?),
        QueueCommand::Bounce(Bounce { data, config, ids }) => (data, config, change(Change::Bounce, ids, false)?),
    };
    client::run(Whereabouts { data, config: config.as_deref() }, order.to_words())
}
