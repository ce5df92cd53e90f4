//! The configuration as sessions see it: checked, complete, immutable.

use crate::mail::addressbook::AddressBook;
use crate::mail::dkim::Key;
use crate::serve::AddressRange;
use crate::wire::address::{Address, Domain};
use crate::wire::sasl::ChannelBindings;
use std::net::IpAddr;
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
    /// Login without TLS is allowed when the peer is on loopback.
    pub plaintext_login_on_loopback: bool,
    /// Logins can be bound to their TLS channel.
    pub channel_binding: bool,
    /// File a copy of submitted mail in Sent.
    pub sent_copy: bool,
    /// Name the owner's device in the Received field of what it sends.
    pub submission_shows_client: bool,
    /// What signs the mail that leaves (DKIM), at most [`crate::limits::DKIM_KEYS_MAX`]; empty: it is not signed.
    pub signing_keys: Arc<[Key]>,
    /// How mail leaves.
    pub relay: RelayPolicy,
    /// Sessions at once.
    pub admission: AdmissionLimits,
    /// Where connections come from that begin with a PROXY header, which says whose they are.
    pub proxy_from: Vec<AddressRange>,
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
    /// Everything goes through this server; `None`: direct to the MX of each domain.
    pub smarthost: Option<Smarthost>,
    /// Addresses found in DNS that are loopback or private are connected to (`try` and tests only).
    pub private_targets: bool,
    /// Port of other servers' MX, 25 in the world.
    pub mx_port: u16,
    /// Port of web servers that serve policies and take reports, 443 in the world.
    pub https_port: u16,
    /// TLS as a client, verified.
    pub tls_verified: Arc<rustls::ClientConfig>,
    /// TLS as a client, opportunistic (RFC 7435): any certificate.
    pub tls_any: Arc<rustls::ClientConfig>,
    /// Waits between attempts; the last repeats.
    pub retry_after: Vec<Duration>,
    /// Bounced after this long.
    pub give_up_after: Duration,
}

/// A server that takes all outgoing mail.
#[derive(Clone)]
pub struct Smarthost {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How it speaks TLS.
    pub security: SmarthostSecurity,
    /// Login and password, when it wants them.
    pub login: Option<(String, String)>,
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
}

impl Service {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Service::Mx => "mx",
            Service::Submission => "submission",
            Service::Imap => "imap",
            Service::Pop3 => "pop3",
        }
    }
}
