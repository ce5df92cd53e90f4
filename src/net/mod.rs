//! The network and the clock: TCP with deadlines, TLS, DNS; and an in-memory twin of all of it for tests.
//!
//! Receives names, addresses and bytes; hands on streams and answers. Never knows a protocol or the store.

mod clock;

pub use clock::Clock;

use crate::wire::address::Domain;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The world as a session sees it: cheap to clone, `Send + Sync`. Real, or a twin in memory.
#[derive(Clone)]
pub struct Net {}

impl Net {
    /// The real one. `dns`: ask this server instead of those of the system.
    pub fn system(_dns: Option<SocketAddr>) -> io::Result<Net> {
        unimplemented!()
    }
    /// The clock of this world.
    pub fn clock(&self) -> &Clock {
        unimplemented!()
    }
    /// Opens a TCP connection.
    pub async fn connect(&self, _to: SocketAddr, _wait: Duration) -> io::Result<Stream> {
        unimplemented!()
    }
    /// MX records of a domain, unsorted. An empty list is an answer: there are none.
    pub async fn mx(&self, _domain: &Domain) -> Result<Vec<Mx>, DnsTrouble> {
        unimplemented!()
    }
    /// IPv4 and IPv6 addresses of a host. An empty list is an answer.
    pub async fn addresses(&self, _host: &Domain) -> Result<Vec<IpAddr>, DnsTrouble> {
        unimplemented!()
    }
    /// Random bytes: from the system, or seeded in the twin.
    pub fn random<const N: usize>(&self) -> io::Result<[u8; N]> {
        unimplemented!()
    }
}

/// One MX record (RFC 5321 section 5.1). The null MX (RFC 7505) has an empty exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Lowest is tried first.
    pub preference: u16,
    /// The host, without a final dot.
    pub exchange: Domain,
}

/// Why DNS gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsTrouble {
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// No server answered in time, or it failed: worth another try later.
    Temporary(String),
}

/// A byte stream with deadlines: TCP or memory, plain or TLS. Owned by one session.
///
/// Reads are cancel-safe: a dropped read has taken nothing. Waits are given per call; a call that takes longer fails
/// with [`io::ErrorKind::TimedOut`].
pub struct Stream {}

impl Stream {
    /// Reads at least one byte, or 0 at the end of the stream.
    pub async fn read(&mut self, _buffer: &mut [u8], _wait: Duration) -> io::Result<usize> {
        unimplemented!()
    }
    /// Writes and flushes everything.
    pub async fn write_all(&mut self, _bytes: &[u8], _wait: Duration) -> io::Result<()> {
        unimplemented!()
    }
    /// Ends the sending side (TLS close_notify, then FIN).
    pub async fn close(&mut self, _wait: Duration) -> io::Result<()> {
        unimplemented!()
    }
    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        unimplemented!()
    }
    /// This end.
    pub fn local(&self) -> SocketAddr {
        unimplemented!()
    }
    /// Speaks TLS from here on as the server. Bytes that the peer sent before belong to the caller, who must have refused
    /// or dropped them (RFC 3207 section 4.2).
    pub async fn accept_tls(self, _config: Arc<rustls::ServerConfig>, _wait: Duration) -> io::Result<Stream> {
        unimplemented!()
    }
    /// Speaks TLS from here on as a client of `host`.
    pub async fn start_tls(
        self,
        _config: Arc<rustls::ClientConfig>,
        _host: &str,
        _wait: Duration,
    ) -> io::Result<Stream> {
        unimplemented!()
    }
    /// What TLS agreed on; `None` while plain.
    pub fn tls(&self) -> Option<TlsFacts> {
        unimplemented!()
    }
}

/// What TLS agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`
    pub version: &'static str,
    /// `TLS13_CHACHA20_POLY1305_SHA256`
    pub cipher: String,
    /// Name the client asked for.
    pub server_name: Option<String>,
}
