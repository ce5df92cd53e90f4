//! The configuration as sessions see it: checked, complete, immutable.

use crate::limits::{WEB_SESSIONS_MAX, WEB_SESSIONS_PER_PEER_MAX};
use crate::mail::addressbook::AddressBook;
use crate::mail::dkim::Key;
use crate::mail::scope::{Scope, choose};
use crate::mail::setup::{Security, Server, Servers};
use crate::serve::AddressRange;
use crate::wire::address::{Address, Domain};
use crate::wire::sasl::ChannelBindings;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// One node's configuration. A reload makes a new one; running sessions keep theirs.
#[derive(Clone)]
pub struct Site {
    /// Name in greetings, EHLO and Received.
    pub hostname: Domain,
    /// Domains of the owner's addresses.
    pub domains: Vec<Domain>,
    /// The owner's addresses (the first is the main one).
    pub addresses: Vec<Address>,
    /// Who mail is taken for, and what becomes of it: those addresses, aliases, forwards, gateways.
    pub book: AddressBook,
    /// Logins of the owner: the full address and its local part are both accepted.
    pub login: String,
    /// Largest message taken, in bytes (SIZE, APPENDLIMIT).
    pub message_bytes_max: u64,
    /// TLS for all listeners; `None` announces no STARTTLS.
    pub tls: Option<Arc<crate::net::tls::ServerTls>>,
    /// It is from what the store keeps, and not from files.
    pub keeps_certificates: bool,
    /// Login without TLS is allowed when the peer is on loopback.
    pub plaintext_login_on_loopback: bool,
    /// Logins can be bound to their TLS channel.
    pub channel_binding: bool,
    /// The owner's own password opens mail; if not, only those of devices do.
    pub owner_login: bool,
    /// File a copy of submitted mail in Sent.
    pub sent_copy: bool,
    /// How long what the owner sends waits in Outbox before it is tried.
    pub undo_send: Duration,
    /// Name the owner's device in the Received field of what it sends.
    pub submission_shows_client: bool,
    /// What signs the mail that leaves (DKIM), at most [`crate::limits::DKIM_KEYS_MAX`]; empty: it is not signed.
    pub signing_keys: Arc<[Key]>,
    /// How often an IMAP session that waits for news hears that it is still connected; `None`: never, and it ends like any other
    /// that is silent.
    pub imap_keepalive: Option<Duration>,
    /// How mail leaves.
    pub relay: RelayPolicy,
    /// Sessions at once.
    pub admission: AdmissionLimits,
    /// Where connections come from that begin with a PROXY header, which says whose they are.
    pub proxy_from: Vec<AddressRange>,
    /// Where devices find it.
    pub entrances: Entrances,
}

/// Where devices find the services of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entrances {
    /// The name that they use.
    pub host: String,
    /// The ports of services, by their keys under `[listen]`: those that were opened, once the node runs; what is turned off has none.
    pub ports: Vec<(&'static str, u16)>,
}

impl Entrances {
    /// The port of a service.
    pub fn port(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(known, _)| *known == name).map(|(_, port)| *port)
    }

    /// What mail programs are told: of each service the way with TLS from the start, else the one with STARTTLS.
    pub fn servers(&self) -> Servers {
        let find = |name: &str, security: Security| {
            let host = Domain::new(&self.host);
            self.port(name).map(|port| Server { host, port, security })
        };
        let either = |tls, starttls| find(tls, Security::Implicit).or_else(|| find(starttls, Security::StartTls));
        Servers {
            imap: either("imaps", "imap"),
            pop3: either("pop3s", "pop3"),
            submission: either("submissions", "submission"),
        }
    }

    /// Where a page is: `https://mail.example.org/d/x`, without the port that a browser takes anyway. `None`: there are no pages.
    pub fn url(&self, path: &str) -> Option<String> {
        match self.port("https")? {
            443 => Some(format!("https://{}{path}", self.host)),
            port => Some(format!("https://{}:{port}{path}", self.host)),
        }
    }
}

impl Site {
    /// Whether connections from this address begin with a PROXY header.
    pub fn is_front(&self, peer: IpAddr) -> bool {
        self.proxy_from.iter().any(|range| range.contains(peer))
    }

    /// What a login on this connection can be bound to.
    pub fn bindings_of(&self, stream: &crate::net::Stream) -> ChannelBindings {
        if self.channel_binding { stream.channel_bindings() } else { ChannelBindings::default() }
    }

    /// Whether login without TLS is allowed for this peer.
    pub fn plaintext_login(&self, peer: IpAddr) -> bool {
        self.plaintext_login_on_loopback && peer.to_canonical().is_loopback()
    }
}

/// How mail leaves the node.
#[derive(Clone)]
pub struct RelayPolicy {
    /// For mail that is in the scope of no smarthost.
    pub route: RoutePolicy,
    /// The smarthost for all mail, and the one that [`RoutePolicy::Auto`] goes round by.
    pub smarthost: Option<Arc<Smarthost>>,
    /// Smarthosts for some mail, whatever the route.
    pub scoped: Vec<(Scope, Arc<Smarthost>)>,
    /// Our name in EHLO.
    pub hello: Domain,
    /// Where connections go out from.
    pub source: Sources,
    /// Addresses found in DNS that are loopback or private are connected to.
    pub private_targets: bool,
    /// What listens on this very machine is another server, not this one (`try` and tests only).
    pub same_machine_targets: bool,
    /// Port of other servers' MX, 25 in the world.
    pub mx_port: u16,
    /// Port of web servers that serve policies and take reports, 443 in the world.
    pub https_port: u16,
    /// TLS as a client, verified.
    pub tls_verified: Arc<rustls::ClientConfig>,
    /// TLS as a client, opportunistic (RFC 7435): any certificate.
    pub tls_any: Arc<rustls::ClientConfig>,
    /// Tell domains that ask for it how TLS with their servers went (RFC 8460).
    pub tls_reports: bool,
    /// Waits between attempts; the last repeats.
    pub retry_after: Vec<Duration>,
    /// Bounced after this long.
    pub give_up_after: Duration,
    /// The sender is told of a delay after this long; `None`: never.
    pub delay_notice_after: Option<Duration>,
}

impl RelayPolicy {
    /// The smarthost in whose scope mail from this sender's domain to this recipient's is.
    pub fn smarthost_for(&self, sender: Option<&Domain>, recipient: &Domain) -> Option<&Arc<Smarthost>> {
        let at = choose(self.scoped.iter().map(|(scope, _)| scope), sender, recipient)?;
        self.scoped.get(at).map(|(_, smarthost)| smarthost)
    }
}

/// Which way mail goes that is in the scope of no smarthost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoutePolicy {
    /// To the MX of each domain.
    #[default]
    Direct,
    /// Through the smarthost for all mail.
    Smarthost,
    /// To the MX of each domain, and through the smarthost where those do not take mail from our address.
    Auto,
}

/// Where connections to other servers go out from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// For IPv4; `None`: the system chooses.
    pub v4: Option<Ipv4Addr>,
    /// For IPv6; `None`: the system chooses.
    pub v6: Option<Ipv6Addr>,
}

impl Sources {
    /// The one for a server at this address.
    pub fn towards(self, peer: IpAddr) -> Option<IpAddr> {
        match peer.to_canonical() {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }
}

/// A server that takes outgoing mail.
#[derive(Clone)]
pub struct Smarthost {
    /// Its name in the configuration; empty for the one under `[relay]`.
    pub name: String,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How it speaks TLS.
    pub security: SmarthostSecurity,
    /// Login and password, when it wants them.
    pub login: Option<(String, String)>,
    /// TLS towards it, verified.
    pub tls: Arc<rustls::ClientConfig>,
}

/// Two are the same when the same connection can serve both.
impl PartialEq for Smarthost {
    fn eq(&self, other: &Smarthost) -> bool {
        (&self.host, self.port, self.security, &self.login) == (&other.host, other.port, other.security, &other.login)
            && Arc::ptr_eq(&self.tls, &other.tls)
    }
}

impl Eq for Smarthost {}

impl Hash for Smarthost {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.host, self.port).hash(state);
    }
}

/// Without the password.
impl fmt::Debug for Smarthost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smarthost({}:{} {:?})", self.host, self.port, self.security)
    }
}

/// How a smarthost speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmarthostSecurity {
    /// TLS from the first byte (465), certificate verified.
    Implicit,
    /// STARTTLS required, certificate verified.
    StartTls,
    /// Plain: only towards loopback or an explicitly trusted network.
    Plain,
}

/// Bounds on sessions at once.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Per service.
    pub sessions_per_service: usize,
    /// Per service and peer network (IPv4 /32, IPv6 /64).
    pub sessions_per_peer: usize,
}

impl AdmissionLimits {
    /// The same for one service: of the pages nobody needs as many as of mail, and a flood of those takes no descriptors from it.
    pub fn of(self, service: Service) -> AdmissionLimits {
        match service {
            Service::Web => AdmissionLimits {
                sessions_per_service: self.sessions_per_service.min(WEB_SESSIONS_MAX),
                sessions_per_peer: self.sessions_per_peer.min(WEB_SESSIONS_PER_PEER_MAX),
            },
            _ => self,
        }
    }
}

/// The services of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Mail from other servers (port 25).
    Mx,
    /// Mail from the owner's devices (465, 587).
    Submission,
    /// IMAP (143, 993).
    Imap,
    /// POP3 (110, 995).
    Pop3,
    /// Pages that set devices up (443).
    Web,
}

impl Service {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Service::Mx => "mx",
            Service::Submission => "submission",
            Service::Imap => "imap",
            Service::Pop3 => "pop3",
            Service::Web => "https",
        }
    }
}
