//! `hauspost init`: from nothing to a data folder that `hauspost serve` runs in. Overwrites nothing.

use crate::net::Net;
use crate::node::certificates::Certificates;
use crate::node::command::Init;
use crate::node::configuration::{self, sample};
use crate::node::failure::{Exit, Failure};
use crate::node::folder::{Folder, write_new_file};
use crate::node::owner;
use crate::node::password;
use crate::node::privilege;
use crate::node::production::open_store;
use crate::node::settings::Settings;
use crate::node::signing_keys::{FIRST_KEYS, as_setting, make_key};
use crate::node::site::make_site;
use crate::node::values::{parse_address, parse_domain};
use std::io::Write;

/// Makes the folder with all that belongs in it, and says what to do next.
pub fn run(arguments: &Init) -> Result<(), Failure> {
    let usage = |sentence: String| Failure::new(Exit::Usage, sentence);
    let hostname = parse_domain(&arguments.hostname)
        .filter(|name| name.as_str().contains('.'))
        .ok_or_else(|| usage(format!("{:?} is not a host name like mail.example.org", arguments.hostname)))?;
    let address = parse_address(&arguments.address)
        .ok_or_else(|| usage(format!("{:?} is not an address like me@example.org", arguments.address)))?;
    let identity = match arguments.user.as_str() {
        "" => None,
        user => Some(privilege::find_identity(user, "")?),
    };
    let mut given =
        vec![("hostname", quote(hostname.as_str())), ("addresses", format!("[{}]", quote(&address.to_string())))];
    given.push(("dkim.keys", as_setting(FIRST_KEYS.iter().map(|(selector, _)| *selector))));
    if !arguments.user.is_empty() {
        given.push(("user", quote(&arguments.user)));
    }
    let text = sample(&given);
    let settings = configuration::parse("the new configuration", &text)?;
    let net = Net::system(None).map_err(|e| Failure::new(Exit::System, format!("the network: {e}")))?;
    let password =
        if arguments.password_stdin { password::read_from_stdin()? } else { owner::generate_password(&net)? };
    owner::check_password(&password)?;

    let folder = Folder::take(&arguments.data)?;
    refuse_if_used(&folder)?;
    fill(&folder, &settings, &net, &password)?;
    // The configuration is what makes the folder a node, so it comes last.
    write_new_file(&folder.configuration(), text.as_bytes(), 0o600)?;
    if let Some(identity) = identity.filter(|_| privilege::is_root()) {
        privilege::hand_over(&folder, &identity)?;
    }
    tell(arguments, &folder, &settings, &password);
    Ok(())
}

fn refuse_if_used(folder: &Folder) -> Result<(), Failure> {
    let path = folder.0.display();
    let entry = folder.first_entry();
    match entry.map_err(|e| Failure::new(Exit::CannotCreate, format!("cannot read {path}: {e}")))? {
        Some(name) => Err(Failure::new(
            Exit::CannotCreate,
            format!("{path} is not empty (it has {name:?} in it): nothing was changed"),
        )),
        None => Ok(()),
    }
}

fn fill(folder: &Folder, settings: &Settings, net: &Net, password: &str) -> Result<(), Failure> {
    for (selector, algorithm) in FIRST_KEYS {
        make_key(folder, selector, algorithm, net)?;
    }
    let login = settings.login()?;
    let Some(address) = settings.addresses.first() else {
        return Err(Failure::new(Exit::Configuration, "addresses: at least one address is needed"));
    };
    let store = open_store(settings, folder)?;
    let certificates = Certificates::new(folder, settings.listen.addresses());
    let filled = smol::block_on(async {
        let site = make_site(settings, &folder.0, net)?;
        certificates.complete(&store, net, site).await?;
        owner::set_password(&store, net, &login, password).await?;
        owner::welcome(&store, net, &settings.hostname, address, WELCOME).await
    });
    filled.and(store.close().map_err(|e| owner::in_store(&e)))
}

fn tell(arguments: &Init, folder: &Folder, settings: &Settings, password: &str) {
    let address = settings.addresses.first().map(ToString::to_string).unwrap_or_default();
    let domain = settings.local_domains().first().map(ToString::to_string).unwrap_or_default();
    let data = folder.0.display();
    let shown = if arguments.password_stdin { "the one you gave" } else { password };
    let once = if arguments.password_stdin { "" } else { "  (shown only now)" };
    let text = format!(
        "\
{data} is ready.

  login          {address}
  password       {shown}{once}
  configuration  {configuration}

What is left to do:
  1. In the DNS of {domain}: what `hauspost dns --data {data}` prints. With --check it tells whether that is there.
  2. Most home lines cannot send to port 25: set [relay] to your provider's server.
  3. hauspost serve --data {data}
",
        configuration = folder.configuration().display(),
    );
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A TOML basic string. What comes here has passed the grammar of names and addresses, so only these two need care.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

const WELCOME: &str = "\
Your mail server works: this message lies in it, and you are reading it.

What to do next:

- Add the account to your other devices: login is your address, IMAP on port 993 and sending on port 465, both with TLS.
- Write to yourself from another mail service, to see that mail from outside comes in.
- Write back, to see that mail goes out. If it does not, your line blocks port 25: set [relay] in hauspost.toml
  to your provider's server, and let the running node read it again (SIGHUP).
- The certificate is the server's own: tell your devices to trust ca.pem in the data folder, and they never ask again. Or
  bring one that others trust: hauspost tls import.
";
