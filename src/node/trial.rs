//! `hauspost try`: a whole node on loopback, without any configuration, to be tried and thrown away.
//!
//! Everything a real node does, it does in the same way; only addresses, ports and names are made up.

use crate::limits::DKIM_KEYS_MAX;
use crate::mail::dkim::Algorithm;
use crate::net::Net;
use crate::node::certificates::Certificates;
use crate::node::command::Try;
use crate::node::configuration;
use crate::node::control;
use crate::node::failure::{Exit, Failure};
use crate::node::folder::Folder;
use crate::node::owner;
use crate::node::production::open_store;
use crate::node::settings::{PORTS, Settings};
use crate::node::signing_keys::{find_keys, make_key};
use crate::node::site::{make_net, make_site};
use crate::node::sockets::{self, Sockets};
use crate::node::supervise::{self, Node, Read};
use crate::node::values::{parse_address, parse_domain};
use crate::serve::{Site, SmarthostSecurity};
use crate::wire::address::Domain;
use async_signal::Signals;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The owner of a trial node.
const ADDRESS: &str = "me@home.test";
/// Its name in greetings.
const HOSTNAME: &str = "home.test";
/// Sessions at once, all from one peer: whoever tries may try hard.
const SESSIONS: u64 = 4_000;

/// Runs a trial node until a signal ends it.
pub fn run(arguments: &Try) -> Result<(), Failure> {
    let mut settings = settings()?;
    if let Some(relay) = &arguments.relay {
        settings.relay.server.host = relay.host.clone();
        settings.relay.server.port = u64::from(relay.port);
        settings.relay.server.security = SmarthostSecurity::Plain;
    }
    if let Some(file) = &arguments.ca_file {
        let absolute = std::path::absolute(file);
        settings.relay.server.ca_file =
            absolute.map_err(|e| Failure::new(Exit::Usage, format!("{}: {e}", file.display())))?;
    }
    settings.dns_server = arguments.dns;
    settings.trust_anchor_file = arguments.trust_anchor.clone().unwrap_or_default();
    let net = make_net(&settings, Path::new(""))?;
    let given = arguments.password.clone().or_else(|| std::env::var("HAUSPOST_PASSWORD").ok());
    let password = match &given {
        Some(password) => password.clone(),
        None => owner::generate_password(&net)?,
    };
    owner::check_password(&password)?;
    let sockets = bind(arguments.port_base)?;
    // Before the folder is made: whatever ends the trial from here on, the folder goes with it.
    let signals = supervise::listen_to_signals()?;
    let folder = match &arguments.data {
        Some(path) => Folder::take(path)?,
        None => {
            let random = net.random::<8>().map_err(|e| Failure::new(Exit::System, format!("no random bytes: {e}")))?;
            Folder::make_temporary(u64::from_le_bytes(random))?
        }
    };
    let outcome = run_in(arguments, &settings, net, &folder, &password, given.is_some(), (sockets, signals));
    if arguments.data.is_none() {
        std::fs::remove_dir_all(&folder.0).map_err(|e| {
            Failure::new(Exit::System, format!("cannot remove the temporary folder {}: {e}", folder.0.display()))
        })?;
    }
    outcome
}

fn run_in(
    arguments: &Try,
    settings: &Settings,
    net: Net,
    folder: &Folder,
    password: &str,
    password_given: bool,
    (sockets, signals): (Sockets, Signals),
) -> Result<(), Failure> {
    if folder.configuration().exists() {
        let sentence =
            format!("{} belongs to a node made by `hauspost init`: use `hauspost serve`", folder.0.display());
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let store = open_store(settings, folder)?;
    let certificates = Certificates::of_this_machine(folder);
    let prepared = (|| {
        let settings = with_signing_keys(settings, folder, &net)?;
        let reload = {
            let (settings, folder, net) = (settings.clone(), folder.clone(), net.clone());
            let ports = (arguments.mx_port, arguments.https_port);
            move || make_trial_site(&settings, &folder, &net, ports).map(|site| Read { site, watched: Vec::new() })
        };
        let site = smol::block_on(certificates.complete(&store, &net, reload()?.site))?;
        let address = site.addresses.first().cloned().ok_or_else(|| Failure::new(Exit::System, "no address"))?;
        smol::block_on(async {
            owner::set_password(&store, &net, &site.login, password).await?;
            owner::welcome(&store, &net, &site.hostname, &address, WELCOME).await
        })?;
        Ok((site, reload))
    })();
    let (site, reload) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => {
            let _ = store.close();
            return Err(failure);
        }
    };
    let context = supervise::make_context(store, net, site);
    let node = Node {
        context,
        sockets,
        control: control::socket::make_for(folder),
        sessions_max: sockets::sessions_max(),
        reload: Box::new(reload),
        watched: Vec::new(),
        certificates,
        signals,
        watchdog: None,
        mdns_name: None,
        // Closing the window must not leave a node behind that nobody sees.
        ends_with_terminal: std::io::stdin().is_terminal(),
    };
    let shown = if password_given { None } else { Some(password) };
    supervise::run(node, || tell(arguments, folder, shown))
}

/// With the keys of the folder; a new folder gets one of the kind that is made at once.
fn with_signing_keys(settings: &Settings, folder: &Folder, net: &Net) -> Result<Settings, Failure> {
    if find_keys(&folder.0)?.is_empty() {
        make_key(folder, "try1", Algorithm::Ed25519, net)?;
    }
    let dkim_keys = find_keys(&folder.0)?.into_iter().take(DKIM_KEYS_MAX).collect();
    Ok(Settings { dkim_keys, ..settings.clone() })
}

fn make_trial_site(settings: &Settings, folder: &Folder, net: &Net, ports: (u16, u16)) -> Result<Site, Failure> {
    let mut site = make_site(settings, &folder.0, net)?;
    site.relay.private_targets = true;
    site.relay.same_machine_targets = true;
    (site.relay.mx_port, site.relay.https_port) = ports;
    // Its own name is known to no DNS.
    site.entrances.host = "localhost".to_owned();
    Ok(site)
}

/// What a trial node has instead of a configuration file.
pub fn settings() -> Result<Settings, Failure> {
    let mut settings = configuration::defaults()?;
    settings.hostname = Domain::new(HOSTNAME);
    settings.addresses = parse_address(ADDRESS).into_iter().collect();
    settings.plaintext_login_on_loopback = true;
    (settings.tls_cert, settings.tls_key) = (PathBuf::new(), PathBuf::new());
    settings.sessions = SESSIONS;
    settings.sessions_per_peer = SESSIONS;
    Ok(settings)
}

/// All services on both loopback addresses. A machine without `::1` gets the others.
fn bind(port_base: u16) -> Result<Sockets, Failure> {
    let mut sockets = Sockets::default();
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        for port in PORTS {
            let number = port_base.checked_add(port.number).ok_or_else(|| {
                let sentence = format!("--port-base {port_base} is too high: the last port would be above 65535");
                Failure::new(Exit::Usage, sentence)
            })?;
            let address = SocketAddr::new(ip, number);
            match sockets::bind(port, address, true) {
                Ok(bound) => sockets.take(port, Ok(bound))?,
                Err(e) if ip.is_ipv6() && sockets::is_without_family(&e) => {
                    log::warn!("event=no-ipv6-loopback reason={:?}", e.to_string());
                    return Ok(sockets);
                }
                Err(e) => {
                    let failure = sockets::cannot_listen(port, address, &e);
                    let other = if port_base < 50_000 { port_base + 1_000 } else { port_base - 1_000 };
                    let hint =
                        format!("{}; choose other ports, for example with --port-base {other}", failure.sentence);
                    sockets.take(port, Err(Failure::new(failure.exit, hint)))?;
                }
            }
        }
    }
    Ok(sockets)
}

/// Tells the person in front of it what to do now. A closed stdout is no reason to stop.
fn tell(arguments: &Try, folder: &Folder, password: Option<&str>) {
    let port = |number: u16| arguments.port_base.saturating_add(number);
    let data = folder.0.display();
    let kept = if arguments.data.is_some() { "" } else { " (removed at the end)" };
    let shown = password.unwrap_or("the one you gave");
    let in_url = password.unwrap_or("PASSWORD");
    let text = format!(
        "\
Hauspost {version} is running, for this machine only. Ctrl-C ends it.

  login        me  (or {ADDRESS})
  password     {shown}
  IMAP         localhost, port {imaps} with TLS, or {imap} without
  POP3         localhost, port {pop3s} with TLS, or {pop3} without
  sending      localhost, port {submissions} with TLS, or {submission} without
  certificate  {certificate} (the server's own: trust it)
  mail is in   {data}{kept}

Send a message in, as another mail server would:
  swaks --server 127.0.0.1:{mx} --from friend@far.example --to {ADDRESS}

Read the newest message:
  curl --user 'me:{in_url}' 'imap://127.0.0.1:{imap}/INBOX;MAILINDEX=*'

Set a mail program up by a page with a password of its own:
  hauspost device add phone --data {data}

See what waits to be sent:
  hauspost queue list --data {data}
",
        version = env!("CARGO_PKG_VERSION"),
        certificate = folder.certificate().display(),
        mx = port(25),
        imap = port(143),
        imaps = port(993),
        pop3 = port(110),
        pop3s = port(995),
        submission = port(587),
        submissions = port(465),
    );
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

const WELCOME: &str = "\
This message lies in your own mail server, on your own machine.

What you can do now:

- Add an account to your mail program with the settings that the terminal shows.
  The certificate is the server's own, so the program will ask once whether to trust it.
- Send yourself a message: me@home.test is your address, and me+anything@home.test too.
- Mark this message on one device and watch it change on another.

Nobody else can reach it: it listens on this machine only, and home.test is a name that cannot be answered to.
When you want the real thing, for your own domain:

    hauspost init --data DIR --hostname mail.example.org --address me@example.org
    hauspost serve --data DIR
";

/// `HOST:PORT`, with brackets around an IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::str::FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPort, String> {
        let wrong = || "expected HOST:PORT, like 127.0.0.1:2525".to_string();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let known = host.parse::<IpAddr>().is_ok() || (bare.is_none() && parse_domain(host).is_some());
        let port = port.parse().ok().filter(|port| *port > 0);
        port.filter(|_| known).map(|port| HostPort { host: host.to_string(), port }).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_ports() {
        let read = |text: &str| text.parse::<HostPort>().ok().map(|read| (read.host, read.port));
        assert_eq!(read("127.0.0.1:2525"), Some(("127.0.0.1".into(), 2525)));
        assert_eq!(read("[::1]:25"), Some(("::1".into(), 25)));
        assert_eq!(read("smtp.example.org:587"), Some(("smtp.example.org".into(), 587)));
        for text in ["", "host", "host:", "host:0", "host:70000", ":25", "[host]:25", "a b:25"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_port_base_too_high_is_refused() {
        assert_eq!(bind(65_000).err().unwrap().exit, Exit::Usage);
    }
}
