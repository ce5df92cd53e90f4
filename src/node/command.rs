//! The command line.

mod board;
mod device;
mod dns;
mod queue;
mod routes;
mod selftest;
mod status;
mod tls;

pub use board::{Clock, Update};
pub use dns::{Dkim, Dns, Format};

use crate::node::failure::{Exit, Failure};
use crate::node::site::read_signing_keys;
use crate::node::trial::HostPort;
use crate::node::values::{LEVELS_EXPECTED, parse_level};
use crate::node::{
    check, clock, compact, configuration, manual, password, privilege, production, rescue, setup, signing_keys, trial,
    update,
};
use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};
use log::LevelFilter;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A mail server of one's own: receives, sends, and serves your mail over IMAP and POP3.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    note = "Start with `{command_name} try`: it needs no configuration and touches nothing.",
    error_code(
        1,
        "`check` found damage, `check --salvage` could not save everything, a message or device named is not there, \
         `dns --check` or `selftest` found something wrong, or `update` refused an update"
    ),
    error_code(64, "the arguments are wrong"),
    error_code(69, "a port is in use"),
    error_code(71, "the system refused something"),
    error_code(73, "something would be overwritten or cannot be made"),
    error_code(74, "the store failed, or another process has it open"),
    error_code(78, "the configuration or a certificate is wrong")
)]
struct Hauspost {
    /// print the version
    #[argh(switch)]
    version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand)]
enum Command {
    Try(Try),
    Init(Init),
    Serve(Serve),
    Password(Password),
    Config(Config),
    Check(Check),
    Compact(Compact),
    Device(device::DeviceArguments),
    Tls(tls::TlsArguments),
    Status(status::StatusArguments),
    Selftest(selftest::SelftestArguments),
    Queue(queue::Queue),
    Routes(routes::Routes),
    Dns(Dns),
    Dkim(Dkim),
    Clock(Clock),
    Update(Update),
    Manual(Manual),
    Completion(Completion),
}

/// Run a whole mail server on this machine only (127.0.0.1 and ::1), to try it out.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "try",
    note = "Ports are the base plus the usual ones: 25 SMTP, 110 POP3, 143 IMAP, 465 and 587 submission, 443 HTTPS, 993 \
            IMAPS, 995 POP3S. The password may also come from the environment, as HAUSPOST_PASSWORD.",
    example = "{command_name} --data ~/hauspost-trial --port-base 43000"
)]
pub struct Try {
    /// folder to keep the mail in; without it, a temporary one that is removed at the end
    #[argh(option)]
    pub data: Option<PathBuf>,
    /// number that is added to every port, 42000 by default
    #[argh(option, default = "42_000")]
    pub port_base: u16,
    /// password for the login "me"; without it, one is made up
    #[argh(option)]
    pub password: Option<String>,
    /// host:port of a server that takes all outgoing mail, without TLS
    #[argh(option)]
    pub relay: Option<HostPort>,
    /// ip:port of the DNS server to ask
    #[argh(option)]
    pub dns: Option<SocketAddr>,
    /// error, warn, info, debug or off; warn by default
    #[argh(option, from_str_fn(read_level))]
    pub log_level: Option<LevelFilter>,
    /// port of other servers' MX, for tests
    #[argh(option, default = "25", hidden_help)]
    pub mx_port: u16,
    /// port of web servers with policies and for reports, for tests
    #[argh(option, default = "443", hidden_help)]
    pub https_port: u16,
    /// certificates that other servers are believed by too, for tests
    #[argh(option, hidden_help)]
    pub ca_file: Option<PathBuf>,
    /// file of the keys of a private DNS root, for tests
    #[argh(option, hidden_help)]
    pub trust_anchor: Option<PathBuf>,
}

/// Make the data folder of a new mail server, with configuration, password and certificate.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "init",
    example = "{command_name} --data /var/lib/hauspost --hostname mail.example.org --address me@example.org"
)]
pub struct Init {
    /// folder to make; it must be new or empty
    #[argh(option)]
    pub data: PathBuf,
    /// name of this machine in the world
    #[argh(option)]
    pub hostname: String,
    /// your address
    #[argh(option)]
    pub address: String,
    /// user to run as, when `serve` is started by root
    #[argh(option, default = "String::new()")]
    pub user: String,
    /// read the password from the first line of stdin instead of making one up
    #[argh(switch)]
    pub password_stdin: bool,
}

/// Run the mail server in a data folder.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "serve",
    note = "SIGHUP reads configuration and certificate again. SIGTERM ends it within five seconds."
)]
pub struct Serve {
    /// data folder that `init` made
    #[argh(option)]
    pub data: PathBuf,
    /// configuration file; hauspost.toml in the data folder by default
    #[argh(option)]
    pub config: Option<PathBuf>,
    /// error, warn, info, debug or off, whatever the configuration says
    #[argh(option, from_str_fn(read_level))]
    pub log_level: Option<LevelFilter>,
    /// keep root's rights although it is dangerous
    #[argh(switch)]
    pub stay_root: bool,
}

/// Give the owner of a data folder a new password, while the server is not running.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "password")]
pub struct Password {
    /// data folder that `init` made
    #[argh(option)]
    pub data: PathBuf,
    /// read the password from the first line of stdin instead of making one up
    #[argh(switch)]
    pub stdin: bool,
}

/// Print the documented sample configuration, or check a configuration file.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "config")]
pub struct Config {
    /// configuration file to check
    #[argh(option)]
    pub check: Option<PathBuf>,
}

/// Look whether everything in a data folder is as it was written, while the server is not running. Changes nothing.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "check",
    note = "Reads every page, every row and every message. With --salvage it copies whatever can still be read into a new \
            folder and lists what is lost; the damaged folder stays as it is. Make a copy of a failing card first, if you \
            can: reading wears it out.",
    example = "{command_name} --data /var/lib/hauspost --salvage /mnt/new/hauspost",
    error_code(0, "everything is sound, or everything was saved"),
    error_code(1, "there is damage, or something is lost"),
    error_code(74, "it cannot be looked at: another process uses it, or there is no store")
)]
pub struct Check {
    /// data folder to look at
    #[argh(option)]
    pub data: PathBuf,
    /// folder for what can be saved; it must be new or empty
    #[argh(option)]
    pub salvage: Option<PathBuf>,
}

/// Give the space of deleted mail back to the disk, while the server is not running.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "compact",
    note = "New mail uses the space of deleted mail anyway: this is for disks that others need. It may be interrupted at \
            any time."
)]
pub struct Compact {
    /// data folder
    #[argh(option)]
    pub data: PathBuf,
}

/// Print the manual page, for man.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "manual", example = "{command_name} | man -l -")]
pub struct Manual {}

/// Print a script that makes a shell complete these commands.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "completion",
    example = "{command_name} bash > /usr/share/bash-completion/completions/hauspost"
)]
pub struct Completion {
    /// bash, zsh or fish
    #[argh(positional, arg_name = "SHELL", from_str_fn(read_shell))]
    pub shell: Shell,
}

/// A shell that can complete commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

fn read_shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("expected bash, zsh or fish".to_owned()),
    }
}

/// What argh knows of the command line.
pub fn described() -> CommandInfoWithArgs {
    Hauspost::get_args_info()
}

fn read_level(text: &str) -> Result<LevelFilter, String> {
    parse_level(text).ok_or_else(|| format!("expected {LEVELS_EXPECTED}"))
}

/// Reads the arguments (the first is the program's name) and does what they say.
pub fn run(arguments: Vec<std::ffi::OsString>) -> Result<(), Failure> {
    match read_arguments(arguments)? {
        Asked::Text(text) => print(&text),
        Asked::Command(command) => {
            prepare(level_of(&command));
            carry_out(command)
        }
    }
}

/// How much a command logs, as long as no configuration says otherwise.
fn level_of(command: &Command) -> LevelFilter {
    match command {
        Command::Try(arguments) => arguments.log_level.unwrap_or(LevelFilter::Warn),
        Command::Serve(arguments) => arguments.log_level.unwrap_or(LevelFilter::Info),
        // What is found is said in the end, and not twice.
        Command::Check(_) => LevelFilter::Off,
        // What it finds it says itself.
        Command::Dns(_) => LevelFilter::Error,
        Command::Clock(_) => LevelFilter::Info,
        _ => LevelFilter::Warn,
    }
}

fn carry_out(command: Command) -> Result<(), Failure> {
    match command {
        Command::Try(arguments) => trial::run(&arguments),
        Command::Init(arguments) => setup::run(&arguments),
        Command::Serve(arguments) => production::run(&arguments),
        Command::Password(arguments) => password::run(&arguments),
        Command::Config(Config { check: None }) => print(&configuration::sample(&[])),
        Command::Config(Config { check: Some(path) }) => {
            let settings = configuration::read_file(&path)?;
            read_signing_keys(&settings, path.parent().unwrap_or(Path::new("")))?;
            print(&format!("{}: all is well\n", path.display()))
        }
        Command::Check(arguments) => match &arguments.salvage {
            None => check::run(&arguments.data),
            Some(out) => rescue::run(&arguments.data, out),
        },
        Command::Compact(arguments) => compact::run(&arguments.data),
        Command::Routes(arguments) => routes::run(&arguments),
        Command::Device(arguments) => device::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Selftest(arguments) => selftest::run(&arguments),
        Command::Tls(arguments) => tls::run(&arguments),
        Command::Manual(Manual {}) => print(&manual::manual()),
        Command::Completion(arguments) => print(&manual::completion(arguments.shell)),
        Command::Queue(arguments) => queue::run(&arguments),
        Command::Dns(arguments) => super::dns::run(&arguments),
        Command::Dkim(arguments) => signing_keys::run(&arguments),
        Command::Clock(arguments) => clock::run(&arguments),
        Command::Update(arguments) => update::run(&arguments),
    }
}

enum Asked {
    Text(String),
    Command(Command),
}

fn read_arguments(arguments: Vec<std::ffi::OsString>) -> Result<Asked, Failure> {
    let usage = |sentence: String| Failure::new(Exit::Usage, sentence);
    let arguments: Vec<String> = arguments
        .into_iter()
        .skip(1)
        .map(|argument| argument.into_string().map_err(|odd| usage(format!("argument {odd:?} is not UTF-8"))))
        .collect::<Result<_, _>>()?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match Hauspost::from_args(&["hauspost"], &arguments) {
        Ok(Hauspost { version: true, .. }) => Ok(Asked::Text(format!("hauspost {}\n", env!("CARGO_PKG_VERSION")))),
        Ok(Hauspost { command: Some(command), .. }) => Ok(Asked::Command(command)),
        Ok(Hauspost { command: None, .. }) => Err(usage(
            "say what to do: try, init, serve, password, config, check, compact, status, selftest, device, tls, queue, routes, dns, dkim, clock, update, manual, completion, or --help"
                .into(),
        )),
        Err(early) if early.status.is_ok() => Ok(Asked::Text(format!("{}\n", early.output.trim_end()))),
        Err(early) => {
            let sentence = early.output.split_whitespace().collect::<Vec<_>>().join(" ");
            Err(usage(sentence.replace(" Run hauspost", "; run hauspost")))
        }
    }
}

fn prepare(level: LevelFilter) {
    privilege::close_new_files();
    super::log::start(level);
    privilege::renounce_new_privileges();
}

/// Prints to stdout; nobody reading to the end is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::System, format!("cannot write to stdout: {e}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Asked, Failure> {
        read_arguments(line.split(' ').map(Into::into).collect())
    }

    fn refused(line: &str) -> String {
        let failure = read(line).err().unwrap();
        assert_eq!(failure.exit, Exit::Usage);
        failure.sentence
    }

    #[test]
    fn try_has_defaults_for_everything() {
        let Ok(Asked::Command(Command::Try(arguments))) = read("hauspost try") else { panic!() };
        assert_eq!((arguments.port_base, arguments.mx_port), (42_000, 25));
        assert!(arguments.data.is_none() && arguments.password.is_none() && arguments.relay.is_none());
    }

    #[test]
    fn options_are_read() {
        let line =
            "hauspost try --data d --port-base 1000 --password p --relay [::1]:26 --dns 127.0.0.1:53 --log-level off";
        let Ok(Asked::Command(Command::Try(arguments))) = read(line) else { panic!() };
        assert_eq!(arguments.relay, Some(HostPort { host: "::1".into(), port: 26 }));
        assert_eq!(arguments.dns, Some("127.0.0.1:53".parse().unwrap()));
        assert_eq!(arguments.log_level, Some(LevelFilter::Off));
    }

    #[test]
    fn what_is_wrong_is_one_sentence() {
        for line in [
            "hauspost",
            "hauspost fly",
            "hauspost try --port-base 70000",
            "hauspost try --relay x",
            "hauspost serve",
            "hauspost try --log-level loud",
            "hauspost init --data d",
        ] {
            let sentence = refused(line);
            assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence}");
        }
    }

    #[test]
    fn help_and_version_are_answers() {
        let Ok(Asked::Text(version)) = read("hauspost --version") else { panic!() };
        assert_eq!(version, format!("hauspost {}\n", env!("CARGO_PKG_VERSION")));
        for line in [
            "hauspost --help",
            "hauspost try --help",
            "hauspost queue --help",
            "hauspost queue retry --help",
            "hauspost device add --help",
        ] {
            let Ok(Asked::Text(help)) = read(line) else { panic!("{line}") };
            assert!(help.contains("Usage: hauspost") && !help.contains("mx-port"));
        }
    }
}
