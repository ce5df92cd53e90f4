//! The arguments of `hauspost routes`.

use crate::node::control::client::{self, Whereabouts};
use crate::node::failure::{Exit, Failure};
use crate::node::routes::RoutesOrder;
use crate::node::values::parse_domain;
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// See which mail goes through the smarthost because others refuse this line, and have the direct way tried again.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "routes",
    note = "Works while the server runs and while it does not. What is learned by relay.route = \"auto\" runs out by itself.",
    example = "{command_name} list --data /var/lib/hauspost",
    error_code(0, "everything was done"),
    error_code(1, "nothing has been learned about the domain"),
    error_code(64, "the arguments are wrong"),
    error_code(71, "the system refused something"),
    error_code(74, "the store failed, or another process has it open and does not answer"),
    error_code(78, "the configuration is wrong")
)]
pub struct Routes {
    #[argh(subcommand)]
    command: RoutesCommand,
}

#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand)]
enum RoutesCommand {
    List(List),
    Reset(Reset),
}

/// List what has been learned, why and for how long, and how mail to each destination went last.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "list")]
struct List {
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

/// Forget what has been learned: the direct way is tried again.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "reset")]
struct Reset {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// about everybody
    #[argh(switch)]
    all: bool,
    /// a domain, or the name of a mail server, as in the list
    #[argh(positional, arg_name = "DOMAIN")]
    domain: Option<String>,
}

/// Carries out `hauspost routes`.
pub fn run(arguments: &Routes) -> Result<(), Failure> {
    let usage = |sentence: String| Failure::new(Exit::Usage, sentence);
    let (data, config, order) = match &arguments.command {
        RoutesCommand::List(List { data, config, json }) => (data, config, RoutesOrder::List { json: *json }),
        RoutesCommand::Reset(Reset { data, config, all, domain }) => {
            let order = match (domain, all) {
                (None, true) => RoutesOrder::ResetAll,
                (Some(domain), false) => match parse_domain(domain) {
                    Some(domain) => RoutesOrder::Reset(domain),
                    None => return Err(usage(format!("{domain:?} is no domain"))),
                },
                _ => return Err(usage("say a domain, or --all".into())),
            };
            (data, config, order)
        }
    };
    client::run(Whereabouts { data, config: config.as_deref() }, order.to_words())
}
