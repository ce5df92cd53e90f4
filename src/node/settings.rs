//! What the configuration file says: every key once, with its type, default and documentation.
//!
//! From [`KEYS`] the file is read and the sample is printed, so that neither can know a key that the other lacks.
//! Not the configuration as sessions see it: that is [`crate::serve::Site`], made from this.

use crate::limits::IMAP_KEEPALIVE_SECONDS_MAX;
use crate::mail::addressbook::{GatewayTls, SenderPattern};
use crate::mail::scope::DomainPattern;
use crate::node::directory::Directory;
use crate::node::failure::{Exit, Failure};
pub use crate::node::ports::{PORTS, Port};
use crate::node::smarthosts::{ServerKeys, SmarthostTable};
use crate::serve::{AddressRange, RoutePolicy, SmarthostSecurity};
use crate::wire::address::{Address, Domain};
use crate::wire::date::Timestamp;
use log::LevelFilter;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The values of all keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `hostname`
    pub hostname: Domain,
    /// `addresses`, at least one once checked.
    pub addresses: Vec<Address>,
    /// `domains`; empty: those of the addresses.
    pub domains: Vec<Domain>,
    /// `tag_separators`
    pub tag_separators: String,
    /// `tag_mailboxes`
    pub tag_mailboxes: bool,
    /// `block_senders`
    pub block_senders: Vec<SenderPattern>,
    /// `user`; empty: stay who we are.
    pub user: String,
    /// `group`; empty: the user's own.
    pub group: String,
    /// `sent_copy`
    pub sent_copy: bool,
    /// `undo_send`
    pub undo_send: Duration,
    /// `submission_shows_client`
    pub submission_shows_client: bool,
    /// `plaintext_login_on_loopback`
    pub plaintext_login_on_loopback: bool,
    /// `mdns_name`
    pub mdns_name: Option<Domain>,
    /// `watchdog`; empty: none.
    pub watchdog: PathBuf,
    /// `channel_binding`
    pub channel_binding: bool,
    /// `owner_login`
    pub owner_login: bool,
    /// `log_level`
    pub log_level: LevelFilter,
    /// `dns_server`
    pub dns_server: Option<SocketAddr>,
    /// `dnssec`
    pub dnssec: bool,
    /// `trust_anchor_file`; empty: the keys of the world's root.
    pub trust_anchor_file: PathBuf,
    /// `listen.*`
    pub listen: Listen,
    /// `tls.cert`
    pub tls_cert: PathBuf,
    /// `tls.key`
    pub tls_key: PathBuf,
    /// `dkim.keys`
    pub dkim_keys: Vec<PathBuf>,
    /// `limits.message_bytes_max`
    pub message_bytes_max: u64,
    /// `limits.sessions`
    pub sessions: u64,
    /// `limits.sessions_per_peer`
    pub sessions_per_peer: u64,
    /// `imap.keepalive`; zero: none.
    pub imap_keepalive: Duration,
    /// `relay.*`
    pub relay: Relay,
    /// `store.checkpoint_after`
    pub checkpoint_after: Duration,
    /// `store.cache_bytes`
    pub cache_bytes: u64,
    /// `store.journal_bytes`
    pub journal_bytes: u64,
    /// `[smarthost."..."]`, in the order of the file's names.
    pub smarthosts: Vec<SmarthostTable>,
    /// The tables that the owner names: `[aliases]`, `[address."..."]`, `[domain."..."]`.
    pub directory: Directory,
}

/// `listen.*`: where each service listens.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Listen {
    /// `listen.mx`
    pub mx: Vec<SocketAddr>,
    /// `listen.submission`
    pub submission: Vec<SocketAddr>,
    /// `listen.submissions`
    pub submissions: Vec<SocketAddr>,
    /// `listen.imap`
    pub imap: Vec<SocketAddr>,
    /// `listen.imaps`
    pub imaps: Vec<SocketAddr>,
    /// `listen.pop3`
    pub pop3: Vec<SocketAddr>,
    /// `listen.pop3s`
    pub pop3s: Vec<SocketAddr>,
    /// `listen.https`
    pub https: Vec<SocketAddr>,
    /// `listen.proxy_from`
    pub proxy_from: Vec<AddressRange>,
}

impl Listen {
    /// The addresses of all services.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.services().iter().flat_map(|(_, addresses)| addresses.iter().map(SocketAddr::ip)).collect()
    }

    /// The services with their key names, whether TLS comes first, the port the world knows, and their addresses.
    pub fn services(&self) -> [(Port, &[SocketAddr]); 8] {
        let [mx, submission, submissions, imap, imaps, pop3, pop3s, https] = PORTS;
        [
            (mx, &self.mx),
            (submission, &self.submission),
            (submissions, &self.submissions),
            (imap, &self.imap),
            (imaps, &self.imaps),
            (pop3, &self.pop3),
            (pop3s, &self.pop3s),
            (https, &self.https),
        ]
    }
}

/// `relay.*`: how mail leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// `relay.host` and what belongs to it; without a host: direct to the MX of each domain. Its `ca_file` is for all servers.
    pub server: ServerKeys,
    /// `relay.route`; `None`: through the host if there is one.
    pub route: Option<RoutePolicy>,
    /// `relay.hello`; `None`: the hostname.
    pub hello: Option<Domain>,
    /// `relay.source_address`
    pub source_address: Vec<IpAddr>,
    /// `relay.private_targets`
    pub private_targets: bool,
    /// `relay.tls_reports`
    pub tls_reports: bool,
    /// `relay.retry_after`
    pub retry_after: Vec<Duration>,
    /// `relay.give_up_after`
    pub give_up_after: Duration,
    /// `relay.delay_notice_after`; zero: never.
    pub delay_notice_after: Duration,
}

/// One key of the file.
pub struct Key<S: 'static = Settings> {
    /// Its name with its table: `relay.host`.
    pub name: &'static str,
    /// Its default as TOML; for a required key an example.
    pub default: &'static str,
    /// It must be given.
    pub required: bool,
    /// A change of it needs a restart; all others come into force with SIGHUP.
    pub needs_restart: bool,
    /// What it does, for the owner. Lines of at most 110 letters.
    pub doc: &'static str,
    /// Its type, and where its value goes.
    pub slot: Slot<S>,
}

/// A host, with a port when one is named.
pub type GatewayHost = (String, Option<u16>);

/// The type of a key, with the place of its value.
pub enum Slot<S: 'static = Settings> {
    /// A host or domain name.
    Domain(fn(&mut S) -> &mut Domain),
    /// A list of domain names.
    Domains(fn(&mut S) -> &mut Vec<Domain>),
    /// A list of mail addresses.
    Addresses(fn(&mut S) -> &mut Vec<Address>),
    /// Text without control characters; may be empty.
    Text(fn(&mut S) -> &mut String),
    /// A file name; relative ones start at the folder of the configuration file.
    Path(fn(&mut S) -> &mut PathBuf),
    /// A list of file names, as [`Slot::Path`].
    Paths(fn(&mut S) -> &mut Vec<PathBuf>),
    /// A list of `address:port`.
    Sockets(fn(&mut S) -> &mut Vec<SocketAddr>),
    /// A list of addresses and ranges of them.
    Ranges(fn(&mut S) -> &mut Vec<AddressRange>),
    /// `address:port`, or nothing.
    Socket(fn(&mut S) -> &mut Option<SocketAddr>),
    /// `true` or `false`.
    Switch(fn(&mut S) -> &mut bool),
    /// A whole number from a range.
    Count(fn(&mut S) -> &mut u64, u64, u64),
    /// A size in bytes from a range.
    Size(fn(&mut S) -> &mut u64, u64, u64),
    /// A duration in seconds from a range.
    Wait(fn(&mut S) -> &mut Duration, u64, u64),
    /// A list of durations, at least one.
    Waits(fn(&mut S) -> &mut Vec<Duration>),
    /// A host name, or none.
    Name(fn(&mut S) -> &mut Option<Domain>),
    /// A list of domains, with or without a star.
    Patterns(fn(&mut S) -> &mut Vec<DomainPattern>),
    /// A list of IP addresses.
    Ips(fn(&mut S) -> &mut Vec<IpAddr>),
    /// Which way mail goes, or nothing.
    Route(fn(&mut S) -> &mut Option<RoutePolicy>),
    /// How a smarthost speaks TLS.
    Security(fn(&mut S) -> &mut SmarthostSecurity),
    /// How much is logged.
    Level(fn(&mut S) -> &mut LevelFilter),
    /// Characters that part a tag from an address.
    Separators(fn(&mut S) -> &mut String),
    /// A list of senders that are not wanted.
    Senders(fn(&mut S) -> &mut Vec<SenderPattern>),
    /// A list of addresses anywhere, tags and all.
    Recipients(fn(&mut S) -> &mut Vec<Address>),
    /// One address, or none.
    Recipient(fn(&mut S) -> &mut Option<Address>),
    /// The name of a mailbox.
    Mailbox(fn(&mut S) -> &mut Option<String>),
    /// The end of a day.
    Day(fn(&mut S) -> &mut Option<Timestamp>),
    /// `host` or `host:port`.
    Host(fn(&mut S) -> &mut Option<GatewayHost>),
    /// How a gateway speaks TLS.
    GatewayTls(fn(&mut S) -> &mut GatewayTls),
}

const YEAR_SECONDS: u64 = 365 * 86_400;

pub(super) const fn key<S>(name: &'static str, default: &'static str, doc: &'static str, slot: Slot<S>) -> Key<S> {
    Key { name, default, required: false, needs_restart: false, doc, slot }
}

const fn required(name: &'static str, example: &'static str, doc: &'static str, slot: Slot) -> Key {
    Key { name, default: example, required: true, needs_restart: false, doc, slot }
}

const fn at_start(name: &'static str, default: &'static str, doc: &'static str, slot: Slot) -> Key {
    Key { name, default, required: false, needs_restart: true, doc, slot }
}

/// Every key, in the order of the sample; the keys of one table stand together, those of no table first.
pub const KEYS: &[Key] = &[
    required(
        "hostname",
        r#""mail.example.org""#,
        "The name of this machine in the world, as the MX record of your domain says it.",
        Slot::Domain(|s| &mut s.hostname),
    ),
    required(
        "addresses",
        r#"["me@example.org"]"#,
        "Your addresses. The first is the main one: it is your login, and postmaster's mail goes there.\n\
         Mail to me+anything@example.org arrives too. Aliases and more stand at the end of this file.",
        Slot::Addresses(|s| &mut s.addresses),
    ),
    key(
        "domains",
        "[]",
        "Domains this node receives mail for, besides those with tables of their own at the end of this file.\n\
         Empty: the domains of your addresses.",
        Slot::Domains(|s| &mut s.domains),
    ),
    key(
        "tag_separators",
        r#""+""#,
        "Characters that part a tag from your address: with \"+-\", mail to me-shop@example.org arrives too.\n\
         Empty: none do.",
        Slot::Separators(|s| &mut s.tag_separators),
    ),
    key(
        "tag_mailboxes",
        "false",
        "Put mail to me+shop@example.org into the mailbox shop, if you have one; capitals do not matter.",
        Slot::Switch(|s| &mut s.tag_mailboxes),
    ),
    key(
        "block_senders",
        "[]",
        "Senders whose mail is refused: \"x@y.example\" is one address, \"y.example\" everybody there, \"*.y.example\"\n\
         everybody at the domains below it, \"<>\" refuses all bounces. Mail to postmaster is never refused.",
        Slot::Senders(|s| &mut s.block_senders),
    ),
    at_start(
        "user",
        r#""""#,
        "The user to run as. Needed when started by root: the ports are opened first, then all rights are given up.",
        Slot::Text(|s| &mut s.user),
    ),
    at_start("group", r#""""#, "The group to run as. Empty: the user's own group.", Slot::Text(|s| &mut s.group)),
    key(
        "sent_copy",
        "true",
        "Put a copy of everything you send into the folder Sent, as part of sending it. A mail program that saves one\n\
         itself makes no second one.",
        Slot::Switch(|s| &mut s.sent_copy),
    ),
    key(
        "undo_send",
        r#""0s""#,
        "Let what you send wait so long in the folder Outbox, from where you can delete it or move it to Drafts. \"10s\"\n\
         leaves time for a second thought; at most an hour.",
        Slot::Wait(|s| &mut s.undo_send, 0, 3_600),
    ),
    key(
        "submission_shows_client",
        "false",
        "Write the name and address of your device into what you send (its Received field). Off, because where you were\n\
         when you wrote is nobody's business.",
        Slot::Switch(|s| &mut s.submission_shows_client),
    ),
    key(
        "plaintext_login_on_loopback",
        "false",
        "Let programs on this machine log in without TLS.",
        Slot::Switch(|s| &mut s.plaintext_login_on_loopback),
    ),
    key(
        "channel_binding",
        "false",
        "Offer SCRAM-SHA-256-PLUS, which binds a login to its TLS connection, so that nobody in between can use it\n\
         even with a certificate that is believed. Off, because some programs (Debian's mutt and neomutt) choose it\n\
         as soon as it is offered and then cannot do it.",
        Slot::Switch(|s| &mut s.channel_binding),
    ),
    key(
        "owner_login",
        "true",
        "Let the owner's own password open the mail. With false, only the passwords that `hauspost device add` makes\n\
         do: each can be taken away alone, and has no more rights than its device needs.",
        Slot::Switch(|s| &mut s.owner_login),
    ),
    at_start(
        "mdns_name",
        r#""""#,
        "Answer in the home network who asks for this name by multicast DNS: \"hauspost.local\". Empty: leave that to\n\
         the system.",
        Slot::Name(|s| &mut s.mdns_name),
    ),
    at_start(
        "watchdog",
        r#""""#,
        "The board's watchdog, \"/dev/watchdog\": fed as long as the store and the listeners answer, so that the\n\
         board starts again when the server hangs or dies. Empty: none. Only where nothing else feeds it.",
        Slot::Path(|s| &mut s.watchdog),
    ),
    key(
        "log_level",
        r#""info""#,
        "How much is logged: \"error\", \"warn\", \"info\", \"debug\" or \"off\".",
        Slot::Level(|s| &mut s.log_level),
    ),
    at_start(
        "dns_server",
        r#""""#,
        "Ask this DNS server (\"192.0.2.53:53\"). Empty: those of the system.",
        Slot::Socket(|s| &mut s.dns_server),
    ),
    at_start(
        "dnssec",
        "true",
        "Check the signatures of the DNS, and by them the servers that mail goes to (DANE). Where the router or the\n\
         servers asked lose the signatures, this is found out and mail goes without, as with false.",
        Slot::Switch(|s| &mut s.dnssec),
    ),
    at_start(
        "trust_anchor_file",
        r#""""#,
        "Keys of a private DNS root (a file of DNSKEY records). Empty: the root of the world.",
        Slot::Path(|s| &mut s.trust_anchor_file),
    ),
    at_start(
        "listen.mx",
        r#"["[::]:25"]"#,
        "Mail from other servers. In all lists here: \"[::]:25\" means every address of this machine, IPv4 too;\n\
         an empty list turns the service off. Sockets passed by systemd under these names replace the lists.",
        Slot::Sockets(|s| &mut s.listen.mx),
    ),
    at_start(
        "listen.submission",
        r#"["[::]:587"]"#,
        "Mail from your own devices, with STARTTLS.",
        Slot::Sockets(|s| &mut s.listen.submission),
    ),
    at_start(
        "listen.submissions",
        r#"["[::]:465"]"#,
        "Mail from your own devices, with TLS from the start.",
        Slot::Sockets(|s| &mut s.listen.submissions),
    ),
    at_start("listen.imap", r#"["[::]:143"]"#, "IMAP with STARTTLS.", Slot::Sockets(|s| &mut s.listen.imap)),
    at_start(
        "listen.imaps",
        r#"["[::]:993"]"#,
        "IMAP with TLS from the start.",
        Slot::Sockets(|s| &mut s.listen.imaps),
    ),
    at_start("listen.pop3", r#"["[::]:110"]"#, "POP3 with STLS.", Slot::Sockets(|s| &mut s.listen.pop3)),
    at_start(
        "listen.pop3s",
        r#"["[::]:995"]"#,
        "POP3 with TLS from the start.",
        Slot::Sockets(|s| &mut s.listen.pop3s),
    ),
    at_start(
        "listen.https",
        r#"["[::]:443"]"#,
        "Pages that set a phone up (`hauspost device add`), and the settings that mail programs look for by\n\
         themselves. When another program has this port, the node does everything else and says so.",
        Slot::Sockets(|s| &mut s.listen.https),
    ),
    key(
        "listen.proxy_from",
        "[]",
        "Addresses and ranges ([\"192.0.2.1\", \"10.0.0.0/8\"]) of fronts whose connections begin with a PROXY header\n\
         (haproxy's protocol, versions 1 and 2) that says whose they are. From there it is required, from everywhere\n\
         else refused.",
        Slot::Ranges(|s| &mut s.listen.proxy_from),
    ),
    key(
        "tls.cert",
        r#""cert.pem""#,
        "Certificate chain in PEM form, beside this file unless the path is absolute. It is read again when it\n\
         changes. Where neither it nor its key is there, the node has the certificates that `hauspost tls import`\n\
         brought in, and makes its own.",
        Slot::Path(|s| &mut s.tls_cert),
    ),
    key("tls.key", r#""key.pem""#, "Its private key in PEM form.", Slot::Path(|s| &mut s.tls_key)),
    key(
        "dkim.keys",
        "[]",
        "The private keys that sign what you send, so that others can tell it from forgeries (DKIM). `hauspost dkim`\n\
         makes keys: the one in dkim-NAME.pem is called NAME in DNS (its selector), and `hauspost dns` prints what\n\
         DNS has to say about it. Empty: your mail is not signed.",
        Slot::Paths(|s| &mut s.dkim_keys),
    ),
    key(
        "limits.message_bytes_max",
        r#""50MB""#,
        "The largest message that is taken.",
        Slot::Size(|s| &mut s.message_bytes_max, 64 << 10, 2 << 30),
    ),
    key("limits.sessions", "300", "Connections at once, per service.", Slot::Count(|s| &mut s.sessions, 1, 10_000)),
    key(
        "limits.sessions_per_peer",
        "50",
        "Connections at once from one IPv4 address or one IPv6 /64 network, per service.",
        Slot::Count(|s| &mut s.sessions_per_peer, 1, 10_000),
    ),
    key(
        "imap.keepalive",
        r#""24m""#,
        "A mail program that waits for news (IDLE) is told so often that it is still connected, all of them at the same\n\
         moment, or its router would forget the connection; 1 to 29 minutes. Less where news stop coming after some\n\
         silence. \"0s\": nothing is said, and whoever says nothing for 30 minutes is disconnected.",
        Slot::Wait(|s| &mut s.imap_keepalive, 0, IMAP_KEEPALIVE_SECONDS_MAX),
    ),
    key(
        "relay.host",
        r#""""#,
        "Send all mail through this server, usually your provider's. Empty: directly to each domain's own server.",
        Slot::Text(|s| &mut s.relay.server.host),
    ),
    key(
        "relay.route",
        r#""""#,
        "\"smarthost\": all mail goes through relay.host; \"direct\": to each domain's own server; \"auto\": directly, but\n\
         through relay.host where others do not take mail from your line, which is found out and remembered (see\n\
         `hauspost routes`). Empty: \"smarthost\" if there is a host, else \"direct\".",
        Slot::Route(|s| &mut s.relay.route),
    ),
    key("relay.port", "465", "Its port.", Slot::Count(|s| &mut s.relay.server.port, 1, 65_535)),
    key(
        "relay.security",
        r#""tls""#,
        "\"tls\" from the start (port 465), \"starttls\" (port 587), or \"plain\" in a network you trust entirely.",
        Slot::Security(|s| &mut s.relay.server.security),
    ),
    key(
        "relay.login",
        r#""""#,
        "Login at that server. Empty: none is needed.",
        Slot::Text(|s| &mut s.relay.server.login),
    ),
    key(
        "relay.password_file",
        r#""""#,
        "A file that holds the password for it, on one line, readable by nobody else.",
        Slot::Path(|s| &mut s.relay.server.password_file),
    ),
    key(
        "relay.ca_file",
        r#""""#,
        "Certificates of authorities of your own in PEM form, believed besides the public ones wherever the certificate\n\
         of another server has to be good.",
        Slot::Path(|s| &mut s.relay.server.ca_file),
    ),
    key(
        "relay.hello",
        r#""""#,
        "The name to greet other servers with (EHLO): best the one that the DNS gives for your line's address.\n\
         Empty: hostname.",
        Slot::Name(|s| &mut s.relay.hello),
    ),
    key(
        "relay.private_targets",
        "false",
        "Send to servers to which the DNS gives addresses inside a network (192.168.0.5) or on this machine.\n\
         Off: they are mistakes or traps. Smarthosts and gateways may be anywhere.",
        Slot::Switch(|s| &mut s.relay.private_targets),
    ),
    key(
        "relay.source_address",
        "[]",
        "Addresses of this machine to send from, one IPv4 and one IPv6 at most: [\"192.0.2.5\", \"2001:db8::5\"].\n\
         A kind that is not named goes out from where the system chooses.",
        Slot::Ips(|s| &mut s.relay.source_address),
    ),
    key(
        "relay.tls_reports",
        "true",
        "Once a day tell the domains that ask for it how often TLS with their servers went well and how often not\n\
         (RFC 8460). The report names no message and no address of yours but postmaster.",
        Slot::Switch(|s| &mut s.relay.tls_reports),
    ),
    key(
        "relay.retry_after",
        r#"["5m", "15m", "30m", "1h", "2h", "4h"]"#,
        "Waits between attempts; the last one repeats.",
        Slot::Waits(|s| &mut s.relay.retry_after),
    ),
    key(
        "relay.give_up_after",
        r#""5d""#,
        "Mail that could not be delivered for so long comes back to you.",
        Slot::Wait(|s| &mut s.relay.give_up_after, 60, YEAR_SECONDS),
    ),
    key(
        "relay.delay_notice_after",
        r#""4h""#,
        "You are told once of mail that still waits after so long; it goes on being tried. \"0s\": you are not told.",
        Slot::Wait(|s| &mut s.relay.delay_notice_after, 0, YEAR_SECONDS),
    ),
    at_start(
        "store.checkpoint_after",
        r#""5m""#,
        "Changes are safe in the journal at once; after this long they are moved to their place in the database.",
        Slot::Wait(|s| &mut s.checkpoint_after, 1, 86_400),
    ),
    at_start(
        "store.cache_bytes",
        r#""4MiB""#,
        "Memory for the database's pages.",
        Slot::Size(|s| &mut s.cache_bytes, 1 << 20, 1 << 30),
    ),
    at_start(
        "store.journal_bytes",
        r#""16MiB""#,
        "Size of the journal. It is made once with the store and keeps the size it has.",
        Slot::Size(|s| &mut s.journal_bytes, 1 << 20, 1 << 30),
    ),
];

impl Settings {
    /// The owner's login: the main address in lower case.
    pub fn login(&self) -> Result<String, Failure> {
        let main = self.addresses.first().map(|address| address.to_string().to_lowercase());
        main.ok_or_else(|| Failure::new(Exit::Configuration, "addresses: at least one address is needed"))
    }

    /// The domains whose addresses are the owner's: those given, or those of the addresses; and those that have tables.
    pub fn local_domains(&self) -> Vec<Domain> {
        let mut domains = self.domains.clone();
        let mut add = |domain: &Domain| {
            if !domains.contains(domain) {
                domains.push(domain.clone());
            }
        };
        if self.domains.is_empty() {
            self.addresses.iter().for_each(|address| add(&address.domain));
            self.directory.address_domains().for_each(&mut add);
        }
        self.directory.own_domains().for_each(&mut add);
        domains
    }
}
