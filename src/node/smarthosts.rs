//! How mail leaves, as the configuration file says it: the smarthost under `[relay]`, those in tables that the owner names
//! (`[smarthost."work"]`), and the route.
//!
//! Receives settings; hands on what contradicts itself in them and where, or the servers themselves, their passwords read.

use crate::mail::scope::{DomainPattern, Scope};
use crate::net::{Net, tls};
use crate::node::directory::{Contradiction, TableKey, row, wrong};
use crate::node::failure::{Exit, Failure};
use crate::node::settings::{Settings, Slot};
use crate::node::values::parse_host;
use crate::serve::{RoutePolicy, Smarthost, SmarthostSecurity, Sources};
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Size of a file of certificates in bytes: a whole system's bundle has about as much.
const PEM_BYTES_MAX: u64 = 512 << 10;
/// Size of a password file in bytes, of which the first line is read.
const PASSWORD_FILE_BYTES_MAX: u64 = 4096;

/// One `[smarthost."..."]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmarthostTable {
    /// Its name.
    pub written: String,
    /// Which mail goes there.
    pub scope: Scope,
    /// The server.
    pub server: ServerKeys,
}

/// What is said of a smarthost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKeys {
    /// `host`
    pub host: String,
    /// `port`; 0: the usual one.
    pub port: u64,
    /// `security`
    pub security: SmarthostSecurity,
    /// `login`; empty: none.
    pub login: String,
    /// `password_file`
    pub password_file: PathBuf,
    /// `ca_file`; empty: none of its own.
    pub ca_file: PathBuf,
}

const WORK: &str = r#"smarthost."work""#;

/// Every key of `[smarthost."..."]`, in the order of the sample.
pub const SMARTHOST_KEYS: &[TableKey<SmarthostTable>] = &[
    row(
        WORK,
        "host",
        r#""smtp.work.example""#,
        "Some mail goes out through a server of its own, whatever relay.route says. The name of the table is yours.",
        Slot::Text(|t| &mut t.server.host),
    ),
    row(
        WORK,
        "sender_domains",
        r#"["work.example"]"#,
        "Mail that you send from addresses at these domains; \"*.work.example\" means all below it.",
        Slot::Patterns(|t| &mut t.scope.sender_domains),
    ),
    row(
        WORK,
        "recipient_domains",
        r#"["partner.example", "*.partner.example"]"#,
        "Mail to these domains. This counts before sender_domains, of this table or another.",
        Slot::Patterns(|t| &mut t.scope.recipient_domains),
    ),
    row(
        WORK,
        "security",
        r#""starttls""#,
        "As under [relay]. The port is 465 for \"tls\", 587 for \"starttls\" and 25 for \"plain\" unless it is given.",
        Slot::Security(|t| &mut t.server.security),
    ),
    row(WORK, "port", "587", "Its port.", Slot::Count(|t| &mut t.server.port, 1, 65_535)),
    row(WORK, "login", r#""me""#, "Login at that server.", Slot::Text(|t| &mut t.server.login)),
    row(
        WORK,
        "password_file",
        r#""work-password""#,
        "A file that holds the password for it, readable by nobody else.",
        Slot::Path(|t| &mut t.server.password_file),
    ),
    row(
        WORK,
        "ca_file",
        r#""work-ca.pem""#,
        "Certificates of authorities that are believed for this server alone, besides those of relay.ca_file.",
        Slot::Path(|t| &mut t.server.ca_file),
    ),
];

impl SmarthostTable {
    /// A table without keys.
    pub fn new(written: &str) -> SmarthostTable {
        let (host, login) = (String::new(), String::new());
        let security = SmarthostSecurity::Implicit;
        let (password_file, ca_file) = (PathBuf::new(), PathBuf::new());
        let server = ServerKeys { host, port: 0, security, login, password_file, ca_file };
        SmarthostTable { written: written.to_owned(), scope: Scope::default(), server }
    }
}

impl ServerKeys {
    fn port(&self) -> u16 {
        let usual = match self.security {
            SmarthostSecurity::Implicit => 465,
            SmarthostSecurity::StartTls => 587,
            SmarthostSecurity::Plain => 25,
        };
        u16::try_from(self.port).ok().filter(|port| *port > 0).unwrap_or(usual)
    }

    /// The key that is wrong, and how.
    fn trouble(&self) -> Option<(&'static str, String)> {
        let has_password = !self.password_file.as_os_str().is_empty();
        if parse_host(&self.host).is_none_or(|(_, port)| port.is_some()) {
            return Some(("host", format!("{:?} is no name of a server; its port has a key of its own", self.host)));
        }
        if self.login.is_empty() == has_password {
            return Some(("login", "a login needs password_file, and the other way round".into()));
        }
        if self.security != SmarthostSecurity::Plain {
            return None;
        }
        if has_password {
            return Some(("security", "a password is not sent without TLS".into()));
        }
        let address: Option<IpAddr> = self.host.trim_matches(['[', ']']).parse().ok();
        if address.is_some_and(|address| !crate::mail::route::is_private(address)) {
            return Some(("security", format!("{} is in no network of yours; TLS is needed to it", self.host)));
        }
        None
    }
}

/// What contradicts itself about how mail leaves.
pub fn check(settings: &Settings) -> Result<(), Contradiction> {
    let relay = &settings.relay;
    let default = &relay.server;
    if default.host.is_empty() {
        let has_password = !default.password_file.as_os_str().is_empty();
        if default.login.is_empty() == has_password {
            return wrong(&["relay", "login"], "a login needs relay.password_file, and the other way round");
        }
        if has_password && default.security == SmarthostSecurity::Plain {
            return wrong(&["relay", "security"], "a password is not sent without TLS");
        }
    } else if let Some((key, trouble)) = default.trouble() {
        return wrong(&["relay", key], trouble.replace("password_file", "relay.password_file"));
    }
    if relay.route == Some(RoutePolicy::Smarthost) && default.host.is_empty() {
        return wrong(&["relay", "route"], "there is no relay.host that all mail could go through");
    }
    let families = |is_one: fn(&IpAddr) -> bool| relay.source_address.iter().filter(|ip| is_one(ip)).count();
    if families(IpAddr::is_ipv4) > 1 || families(IpAddr::is_ipv6) > 1 {
        return wrong(&["relay", "source_address"], "at most one IPv4 and one IPv6 address");
    }
    settings.smarthosts.iter().enumerate().try_for_each(|(at, table)| check_table(settings, at, table))
}

fn check_table(settings: &Settings, at: usize, table: &SmarthostTable) -> Result<(), Contradiction> {
    let SmarthostTable { written, scope, server } = table;
    let path = |key| ["smarthost", written.as_str(), key];
    if server.host.is_empty() {
        return wrong(&["smarthost", written], "it has no host");
    }
    if let Some((key, trouble)) = server.trouble() {
        return wrong(&path(key), trouble);
    }
    if scope.recipient_domains.is_empty() && scope.sender_domains.is_empty() {
        return wrong(
            &["smarthost", written],
            "no mail goes there: recipient_domains or sender_domains say which does, and relay.host takes all other mail",
        );
    }
    let above = settings.smarthosts.get(..at).unwrap_or_default();
    type List = fn(&Scope) -> &[DomainPattern];
    let lists: [(&str, List); 2] =
        [("recipient_domains", |scope| &scope.recipient_domains), ("sender_domains", |scope| &scope.sender_domains)];
    for (key, of) in lists {
        for (at, pattern) in of(scope).iter().enumerate() {
            if of(scope).iter().take(at).any(|other| other == pattern) {
                return wrong(&path(key), format!("{pattern} stands there twice"));
            }
            if let Some(other) = above.iter().find(|other| of(&other.scope).contains(pattern)) {
                return wrong(&path(key), format!("{pattern} has the smarthost {:?} already", other.written));
            }
        }
    }
    Ok(())
}

/// The smarthosts of these settings: the one for all mail, and those for some.
pub struct Smarthosts {
    /// `[relay]`
    pub default: Option<Arc<Smarthost>>,
    /// `[smarthost."..."]`
    pub scoped: Vec<(Scope, Arc<Smarthost>)>,
}

/// Reads what belongs to the smarthosts from their files. `trusted`: TLS towards servers without authorities of their own.
pub fn make_smarthosts(
    settings: &Settings,
    base: &Path,
    net: &Net,
    trusted: &Arc<rustls::ClientConfig>,
) -> Result<Smarthosts, Failure> {
    let make = |name: &str, keys: &ServerKeys, own_ca: Option<&Path>| -> Result<Arc<Smarthost>, Failure> {
        let tls = match own_ca {
            None => trusted.clone(),
            Some(own_ca) => read_trust(&[&settings.relay.server.ca_file, own_ca], base, net)?,
        };
        Ok(Arc::new(Smarthost {
            name: name.to_owned(),
            host: keys.host.clone(),
            port: keys.port(),
            security: keys.security,
            login: read_login(keys, base)?,
            tls,
        }))
    };
    let default = &settings.relay.server;
    let default = if default.host.is_empty() { None } else { Some(make("", default, None)?) };
    let mut scoped = Vec::new();
    for SmarthostTable { written, scope, server } in &settings.smarthosts {
        let own_ca = Some(server.ca_file.as_path()).filter(|path| !path.as_os_str().is_empty());
        scoped.push((scope.clone(), make(written, server, own_ca)?));
    }
    Ok(Smarthosts { default, scoped })
}

/// Where mail goes that is in the scope of no smarthost.
pub fn route_policy(settings: &Settings) -> RoutePolicy {
    let usual = if settings.relay.server.host.is_empty() { RoutePolicy::Direct } else { RoutePolicy::Smarthost };
    settings.relay.route.unwrap_or(usual)
}

/// Where connections go out from.
///
/// # Errors
/// The machine has no such address (now).
pub fn make_sources(settings: &Settings) -> Result<Sources, Failure> {
    let mut sources = Sources::default();
    for address in &settings.relay.source_address {
        if !crate::net::is_own_address(*address) {
            let sentence = format!("relay.source_address: {address} is no address of this machine");
            return Err(Failure::new(Exit::Configuration, sentence));
        }
        match address {
            IpAddr::V4(v4) => sources.v4 = Some(*v4),
            IpAddr::V6(v6) => sources.v6 = Some(*v6),
        }
    }
    Ok(sources)
}

/// TLS towards servers that must prove who they are: to the public authorities, or to those in these files. Empty names are
/// passed over.
pub fn read_trust(ca_files: &[&Path], base: &Path, net: &Net) -> Result<Arc<rustls::ClientConfig>, Failure> {
    let mut pem = Vec::new();
    let mut named = Vec::new();
    for file in ca_files.iter().filter(|file| !file.as_os_str().is_empty()) {
        let path = base.join(file);
        pem.extend(read_bounded(&path, PEM_BYTES_MAX)?);
        pem.push(b'\n');
        named.push(path.display().to_string());
    }
    let extra = (!named.is_empty()).then_some(pem.as_slice());
    tls::client_verified(extra, net.clock()).map_err(|trouble| match named.is_empty() {
        true => Failure::new(Exit::System, format!("TLS: {trouble}")),
        false => Failure::new(Exit::Configuration, format!("{}: {trouble}", named.join(" and "))),
    })
}

fn read_login(keys: &ServerKeys, base: &Path) -> Result<Option<(String, String)>, Failure> {
    if keys.login.is_empty() {
        return Ok(None);
    }
    let path = base.join(&keys.password_file);
    let shown = path.display();
    let wrong = |what: &str| Failure::new(Exit::Configuration, format!("{shown} {what}"));
    let bytes = read_bounded(&path, PASSWORD_FILE_BYTES_MAX)?;
    let mode = std::fs::metadata(&path).map_or(0, |facts| facts.permissions().mode());
    if mode & 0o007 != 0 {
        return Err(wrong(&format!("can be read by everybody on this machine; say: chmod 600 {shown}")));
    }
    if mode & 0o070 != 0 {
        log::warn!("event=password-file-shared file=\"{shown}\" hint=\"others of its group can read it: chmod 600\"");
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text"))?;
    match text.lines().next().unwrap_or("") {
        "" => Err(wrong("has no password on its first line")),
        password => Ok(Some((keys.login.clone(), password.to_string()))),
    }
}

/// Reads a file, or as much of it as may be.
pub fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max).read_to_end(&mut bytes))
        .map_err(|e| Failure::new(Exit::Configuration, format!("cannot read {}: {e}", path.display())))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::configuration::parse;

    const START: &str = "hostname = \"mail.example.org\"\naddresses = [\"me@example.org\"]\n";

    fn refused(text: &str) -> String {
        parse("h.toml", &format!("{START}{text}")).expect_err("wrong").sentence
    }

    #[test]
    fn values_are_read() {
        let text = format!(
            "{START}[relay]\nhost = \"smtp.isp.example\"\nroute = \"auto\"\nhello = \"line.isp.example\"\n\
             source_address = [\"192.0.2.5\", \"2001:db8::5\"]\n[smarthost.\"work\"]\nhost = \"smtp.work.example\"\n\
             security = \"starttls\"\nsender_domains = [\"work.example\", \"*.work.example\"]\n"
        );
        let settings = parse("x", &text).expect("readable");
        assert_eq!(route_policy(&settings), RoutePolicy::Auto);
        assert_eq!(settings.relay.hello.as_ref().map(|name| name.as_str()), Some("line.isp.example"));
        let [work] = &settings.smarthosts[..] else { panic!("one") };
        assert_eq!((work.server.port(), work.scope.sender_domains.len()), (587, 2));
    }

    #[test]
    fn a_host_alone_takes_all_mail_as_ever() {
        let route = |text: &str| route_policy(&parse("x", &format!("{START}{text}")).expect("readable"));
        assert_eq!(route(""), RoutePolicy::Direct);
        assert_eq!(route("[relay]\nhost = \"smtp.isp.example\"\n"), RoutePolicy::Smarthost);
        assert_eq!(route("[relay]\nroute = \"auto\"\n"), RoutePolicy::Auto, "as direct, until there is a host");
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_line() {
        const TABLE: &str = "[smarthost.\"w\"]\nhost = \"a.example\"\nrecipient_domains = [\"b.example\"]\n";
        for (text, wanted) in [
            ("[relay]\nroute = \"around\"\n", "h.toml:4: relay.route: expected \"direct\""),
            ("[relay]\nroute = \"smarthost\"\n", "h.toml:4: relay.route: there is no relay.host"),
            ("[relay]\nhost = \"a.example:25\"\n", "h.toml:4: relay.host: \"a.example:25\" is no name of a server"),
            ("[relay]\nhost = \"a.example\"\nlogin = \"me\"\n", "h.toml:5: relay.login: a login needs"),
            ("[relay]\nhost = \"192.0.2.1\"\nsecurity = \"plain\"\n", "h.toml:5: relay.security: 192.0.2.1 is in no"),
            ("[relay]\nsource_address = [\"here\"]\n", "h.toml:4: relay.source_address: expected a list"),
            (
                "[relay]\nsource_address = [\"192.0.2.1\", \"192.0.2.2\"]\n",
                "h.toml:4: relay.source_address: at most one IPv4",
            ),
            ("[relay]\nhello = \"me@home\"\n", "h.toml:4: relay.hello: expected a host name"),
            ("[smarthost.\"w\"]\nport = 25\n", "h.toml:3: smarthost.w: it has no host"),
            ("[smarthost.\"w\"]\nhost = \"a.example\"\n", "h.toml:3: smarthost.w: no mail goes there"),
            ("[smarthost.\"w\"]\nlogon = \"a\"\n", "h.toml:4: unknown key logon; do you mean login?"),
            ("[smarthost]\nw = 5\n", "h.toml:4: smarthost.w: expected a table"),
            (
                "[smarthost.\"w\"]\nhost = \"a.example\"\nrecipient_domains = [\"b..c\"]\n",
                "h.toml:5: smarthost.w.recipient_domains: expected a list of domains",
            ),
            (
                "[smarthost.\"w\"]\nhost = \"a.example\"\nrecipient_domains = [\"b\", \"b\"]\n",
                "h.toml:5: smarthost.w.recipient_domains: b stands there twice",
            ),
            (&format!("{TABLE}password_file = \"x\"\n"), "h.toml:3: smarthost.w.login: a login needs"),
            (
                &format!("{TABLE}security = \"plain\"\nlogin = \"m\"\npassword_file = \"x\"\n"),
                "h.toml:6: smarthost.w.security: a",
            ),
            (
                &format!("{TABLE}{}", TABLE.replace("\"w\"", "\"v\"")),
                "h.toml:5: smarthost.w.recipient_domains: b.example has the smarthost \"v\" already",
            ),
        ] {
            let sentence = refused(text);
            assert!(sentence.starts_with(wanted), "{text}\n{sentence}");
        }
    }

    #[test]
    fn a_password_is_read_from_a_file_that_nobody_else_reads() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        std::fs::write(&file, "secret\nmore\n").expect("written");
        let mut table = SmarthostTable::new("w");
        table.server.login = "me".into();
        table.server.password_file = "password".into();
        let read = |mode: u32| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
            read_login(&table.server, folder.path())
        };
        assert_eq!(read(0o600).expect("read"), Some(("me".to_owned(), "secret".to_owned())));
        assert!(read(0o640).is_ok(), "a group may be meant");
        let refused = read(0o644).expect_err("everybody");
        assert!(refused.sentence.contains("chmod 600") && !refused.sentence.contains("secret"));
    }
}
