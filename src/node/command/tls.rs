//! The arguments of `hauspost tls`.

use crate::limits::CERTIFICATE_FILE_BYTES_MAX;
use crate::node::control::client::{self, Whereabouts};
use crate::node::failure::{Exit, Failure};
use crate::node::smarthosts::read_bounded;
use crate::node::tls::{Form, TlsOrder};
use argh::{ArgsInfo, FromArgs};
use std::path::{Path, PathBuf};

/// Show the certificates of the server, or bring one that others trust.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "tls",
    note = "Works while the server runs and while it does not. The server makes a certificate of its own and renews it; devices that \
            trust its authority, ca.pem in the data folder, never ask. Sessions that run keep the certificate that they began with.",
    example = "{command_name} show --data /var/lib/hauspost",
    example = "{command_name} import --cert fullchain.pem --key privkey.pem --data /var/lib/hauspost",
    error_code(0, "everything was done"),
    error_code(1, "there is no such certificate"),
    error_code(64, "the arguments are wrong"),
    error_code(69, "too many commands are running"),
    error_code(71, "the system refused something"),
    error_code(74, "the store failed, or another process has it open and does not answer"),
    error_code(78, "the certificate or the configuration is wrong")
)]
pub struct TlsArguments {
    #[argh(subcommand)]
    command: TlsCommand,
}

#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand)]
enum TlsCommand {
    Show(Show),
    Import(Import),
    Remove(Remove),
}

/// Show names, validity, fingerprints and TLSA records of all certificates.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "show")]
struct Show {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// for programs: one JSON array
    #[argh(switch)]
    json: bool,
    /// the authority that devices may trust, as PEM
    #[argh(switch)]
    ca: bool,
}

/// Bring a certificate that others trust. It is shown to those who ask for one of its names.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(
    subcommand,
    name = "import",
    note = "Both files are PEM: the certificate with its chain, and its key as PKCS #8, PKCS #1 or SEC 1, without a passphrase. A \
            certificate for the same first name is replaced."
)]
struct Import {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// file with the certificate and its chain
    #[argh(option)]
    cert: PathBuf,
    /// file with its private key
    #[argh(option)]
    key: PathBuf,
}

/// Remove a certificate that was brought: the server shows its own again.
#[derive(ArgsInfo, FromArgs, Debug)]
#[argh(subcommand, name = "remove")]
struct Remove {
    /// data folder
    #[argh(option)]
    data: PathBuf,
    /// configuration file that `serve` is given, when it is not in the data folder
    #[argh(option)]
    config: Option<PathBuf>,
    /// the name that `show` gives it
    #[argh(positional, arg_name = "NAME")]
    name: String,
}

/// Carries out `hauspost tls`.
pub fn run(arguments: &TlsArguments) -> Result<(), Failure> {
    let (data, config, order) = match &arguments.command {
        TlsCommand::Show(Show { data, config, json, ca }) => {
            let form = match (json, ca) {
                (true, true) => return Err(Failure::new(Exit::Usage, "choose one of --json and --ca")),
                (true, false) => Form::Json,
                (false, true) => Form::Authorities,
                (false, false) => Form::Text,
            };
            (data, config, TlsOrder::Show(form))
        }
        TlsCommand::Import(Import { data, config, cert, key }) => {
            (data, config, TlsOrder::Import(read(cert)?, read(key)?))
        }
        TlsCommand::Remove(Remove { data, config, name }) => (data, config, TlsOrder::Remove(name.clone())),
    };
    client::run(Whereabouts { data, config: config.as_deref() }, order.to_words())
}

/// Read by whoever gives the command: the node may not be able to.
fn read(path: &Path) -> Result<String, Failure> {
    let wrong = || Failure::new(Exit::Configuration, format!("{} is no PEM file", path.display()));
    String::from_utf8(read_bounded(path, CERTIFICATE_FILE_BYTES_MAX)?).map_err(|_| wrong())
}
