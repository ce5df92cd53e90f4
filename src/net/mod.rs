//! The network and the clock: TCP with deadlines, TLS, DNS; and an in-memory twin of all of it for tests.
//!
//! Receives names, addresses and bytes; hands on streams and answers. Never knows a protocol or the store.
//! Everything that waits has a bound on the wait; everything that waits can be dropped.

mod change;
mod clock;
mod dane;
mod dns;
mod https;
pub mod mdns;
mod stream;
pub mod tls;
pub mod twin;

pub use change::NetworkChanges;
pub use clock::{Clock, VIRTUAL_START, VirtualClock};
pub use dane::associate;
pub use dns::reverse_name;
pub use https::{HttpsRequest, HttpsTrouble};
pub use stream::{Stream, TlsFacts};

use crate::mail::tls_policy::{Security, Tlsa};
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use dns::Dns;
use ring::rand::{SecureRandom, SystemRandom};
use smol::Async;
use socket2::{Domain as SocketDomain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The world as a session sees it: cheap to clone, `Send + Sync`. Real, or a twin in memory.
#[derive(Clone)]
pub struct Net {
    clock: Clock,
    world: World,
}

#[derive(Clone)]
enum World {
    System(Arc<System>),
    Twin(Arc<twin::Twin>),
}

struct System {
    dns: Dns,
    random: SystemRandom,
}

impl Net {
    /// The real one. `dns`: ask this server instead of those of the system. Opens nothing yet.
    pub fn system(dns: Option<SocketAddr>) -> io::Result<Net> {
        Net::over(Dns::new(dns))
    }

    fn over(dns: Dns) -> io::Result<Net> {
        let random = SystemRandom::new();
        // Fails now rather than in the middle of a session on a system without a random source.
        random.fill(&mut [0u8; 1]).map_err(|_| no_randomness())?;
        let world = World::System(Arc::new(System { dns, random }));
        Ok(Net { clock: Clock::system(), world })
    }

    /// The real one, with answers proved by DNSSEC where the way to the name servers carries it. `root_keys`: DNSKEY records of
    /// a private root, as in a zone file.
    ///
    /// # Errors
    /// A sentence for the owner: the keys cannot be read, or the system gives no random numbers.
    pub fn validating(dns: Option<SocketAddr>, root_keys: Option<&str>) -> Result<Net, String> {
        Net::over(Dns::validating(dns, root_keys)?).map_err(|error| error.to_string())
    }

    /// Takes note that it is this late at least, whatever the clock says: signatures in DNS are judged by the later of the two.
    pub fn has_passed(&self, latest: Timestamp) {
        if let World::System(_) = &self.world {
            Dns::has_passed(u64::try_from(latest.seconds()).unwrap_or(0));
        }
    }

    /// The clock of this world.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Makes the stream of a connection that a listener took.
    ///
    /// # Errors
    /// The connection is gone already.
    pub fn accepted(&self, socket: Async<TcpStream>) -> io::Result<Stream> {
        Stream::over_tcp(socket, self.clock.clone())
    }

    /// Opens a TCP connection.
    ///
    /// # Errors
    /// As the system gives them; [`io::ErrorKind::TimedOut`] after `wait`.
    pub async fn connect(&self, to: SocketAddr, wait: Duration) -> io::Result<Stream> {
        self.connect_from(None, to, wait).await
    }

    /// Opens a TCP connection from an address of this machine; `None`: the system chooses.
    ///
    /// # Errors
    /// As [`Net::connect`]; [`io::ErrorKind::AddrNotAvailable`] when the address is not this machine's any more.
    pub async fn connect_from(&self, source: Option<IpAddr>, to: SocketAddr, wait: Duration) -> io::Result<Stream> {
        match (&self.world, source) {
            (World::System(_), None) => {
                let connecting = Async::<TcpStream>::connect(to);
                let socket = self.clock.within(wait, connecting).await.ok_or(io::ErrorKind::TimedOut)??;
                Stream::over_tcp(socket, self.clock.clone())
            }
            (World::System(_), Some(source)) => {
                let socket = begin_connecting(source, to)?;
                let connected = async {
                    socket.writable().await?;
                    socket.get_ref().take_error()?.map_or(Ok(()), Err)
                };
                self.clock.within(wait, connected).await.ok_or(io::ErrorKind::TimedOut)??;
                Stream::over_tcp(socket, self.clock.clone())
            }
            (World::Twin(twin), source) => twin.connect(source, to, wait).await,
        }
    }

    /// Whether an address is one of this machine's own.
    pub fn is_own(&self, address: IpAddr) -> bool {
        match &self.world {
            World::System(_) => is_own_address(address),
            World::Twin(_) => address.is_loopback(),
        }
    }

    /// MX records of a domain, unsorted. An empty list is an answer: there are none.
    ///
    /// # Errors
    /// See [`DnsTrouble`]. Takes at most [`crate::limits::DNS_ANSWER_SECONDS_MAX`].
    pub async fn mx(&self, domain: &Domain) -> Result<Vec<Mx>, DnsTrouble> {
        match &self.world {
            World::System(system) => system.dns.mx(domain).await,
            World::Twin(twin) => twin.mx(domain),
        }
    }

    /// IPv4 and IPv6 addresses of a host, IPv4 first. An empty list is an answer. A host that is an IP address
    /// already (without brackets) is its own answer.
    ///
    /// # Errors
    /// See [`DnsTrouble`]. Takes at most [`crate::limits::DNS_ANSWER_SECONDS_MAX`].
    pub async fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, DnsTrouble> {
        if let Ok(address) = host.as_str().parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        match &self.world {
            World::System(system) => system.dns.addresses(host).await,
            World::Twin(twin) => twin.addresses(host),
        }
    }

    /// As [`Net::mx`], and how sure the answer is.
    ///
    /// # Errors
    /// Also when the answer is bogus: that is none.
    pub async fn mx_secured(&self, domain: &Domain) -> Result<Secured<Mx>, DnsTrouble> {
        match &self.world {
            World::System(system) => system.dns.mx_secured(domain).await,
            World::Twin(twin) => twin.mx_secured(domain),
        }
    }

    /// As [`Net::addresses`], and how sure the answer is.
    ///
    /// # Errors
    /// Also when the answer is bogus: that is none.
    pub async fn addresses_secured(&self, host: &Domain) -> Result<Secured<IpAddr>, DnsTrouble> {
        if let Ok(address) = host.as_str().parse::<IpAddr>() {
            return Ok(Secured::unproved(host, vec![address]));
        }
        match &self.world {
            World::System(system) => system.dns.addresses_secured(host).await,
            World::Twin(twin) => twin.addresses_secured(host),
        }
    }

    /// TLSA records for TCP on this port of a host, and how sure the answer is.
    ///
    /// # Errors
    /// See [`DnsTrouble`]; also when the answer is bogus.
    pub async fn tlsa(&self, base: &Domain, port: u16) -> Result<Secured<Tlsa>, DnsTrouble> {
        match &self.world {
            World::System(system) => system.dns.tlsa(base, port).await,
            World::Twin(twin) => twin.tlsa(base, port),
        }
    }

    /// TXT records of a name, each with its strings joined (RFC 7208 section 3.3). An empty list is an answer.
    ///
    /// # Errors
    /// See [`DnsTrouble`]. Takes at most [`crate::limits::DNS_ANSWER_SECONDS_MAX`].
    pub async fn texts(&self, name: &Domain) -> Result<Vec<Vec<u8>>, DnsTrouble> {
        match &self.world {
            World::System(system) => system.dns.texts(name).await,
            World::Twin(twin) => twin.texts(name),
        }
    }

    /// Tells when the network may be back, from now on.
    pub fn changes(&self) -> NetworkChanges {
        match &self.world {
            World::System(_) => NetworkChanges::of_kernel(),
            World::Twin(twin) => twin.changes(),
        }
    }

    /// What DNS has said is asked anew.
    pub fn forget_names(&self) {
        match &self.world {
            World::System(system) => system.dns.forget(),
            // Remembers nothing.
            World::Twin(_) => {}
        }
    }

    /// SRV records of a name, unsorted. An empty list is an answer.
    ///
    /// # Errors
    /// See [`DnsTrouble`]. Takes at most [`crate::limits::DNS_ANSWER_SECONDS_MAX`].
    pub async fn srv(&self, name: &Domain) -> Result<Vec<Srv>, DnsTrouble> {
        match &self.world {
            World::System(system) => system.dns.srv(name).await,
            World::Twin(twin) => twin.srv(name),
        }
    }

    /// The names of an address (PTR records). An empty list is an answer.
    ///
    /// # Errors
    /// See [`DnsTrouble`]. Takes at most [`crate::limits::DNS_ANSWER_SECONDS_MAX`].
    pub async fn names(&self, address: IpAddr) -> Result<Vec<Domain>, DnsTrouble> {
        match &self.world {
            World::System(system) => system.dns.names(address).await,
            World::Twin(twin) => twin.names(address),
        }
    }

    /// Random bytes: from the system, or seeded in the twin.
    ///
    /// # Errors
    /// The system has no random source (any more).
    pub fn random<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut bytes = [0u8; N];
        match &self.world {
            World::System(system) => system.random.fill(&mut bytes).map_err(|_| no_randomness())?,
            World::Twin(twin) => twin.fill(&mut bytes),
        }
        Ok(bytes)
    }
}

/// A socket that is bound and on its way.
fn begin_connecting(source: IpAddr, to: SocketAddr) -> io::Result<Async<TcpStream>> {
    let socket = Socket::new(SocketDomain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => {}
        Err(error) => return Err(error),
    }
    Async::new_nonblocking(socket.into())
}

/// Whether an address is one of this machine's own: nothing else can be bound to. Sends nothing.
pub fn is_own_address(address: IpAddr) -> bool {
    std::net::UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

fn no_randomness() -> io::Error {
    io::Error::other("the system gives no random numbers")
}

/// One MX record (RFC 5321 section 5.1). The null MX (RFC 7505) has an empty exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Lowest is tried first.
    pub preference: u16,
    /// The host, without a final dot.
    pub exchange: Domain,
}

/// What DNS answered, and how sure that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured<T> {
    /// The records; none is an answer too.
    pub found: Vec<T>,
    /// The name they were found at: the one asked for, or what it is an alias of.
    pub name: Domain,
    /// Of the whole chain from the name asked for to the records.
    pub security: Security,
    /// Of its first step: what is said at the name asked for itself.
    pub first: Security,
}

impl<T> Secured<T> {
    /// An answer that anybody can have written.
    pub fn unproved(name: &Domain, found: Vec<T>) -> Secured<T> {
        Secured { found, name: name.clone(), security: Security::Insecure, first: Security::Insecure }
    }

    /// Whether every step is proved.
    pub fn is_secure(&self) -> bool {
        self.security == Security::Secure
    }

    /// Where the TLSA records of a host with these addresses may be, in order (RFC 7672 section 2.2.2).
    pub fn tlsa_bases(&self, host: &Domain) -> Vec<Domain> {
        match (self.security, self.first) {
            (Security::Secure, _) if self.name != *host => vec![self.name.clone(), host.clone()],
            (Security::Secure, _) | (_, Security::Secure) => vec![host.clone()],
            (Security::Insecure, Security::Insecure) => Vec::new(),
        }
    }
}

/// One SRV record (RFC 2782). Without the service the target is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lowest is tried first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, without a final dot.
    pub target: Domain,
}

/// Why DNS gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsTrouble {
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// No server answered in time, or it failed: worth another try later.
    Temporary(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn goes_out_from_the_address_it_is_told() {
        let net = Net::system(None).unwrap();
        let (listener, second) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), Ipv4Addr::new(127, 0, 0, 2));
        let to = listener.local_addr().unwrap();
        let wait = Duration::from_secs(5);
        let stream = smol::block_on(net.connect_from(Some(second.into()), to, wait)).unwrap();
        assert_eq!((stream.local().ip(), stream.peer()), (IpAddr::V4(second), to));
        assert_eq!(listener.accept().unwrap().1.ip(), IpAddr::V4(second));
        drop(listener);
        let refused = smol::block_on(net.connect_from(Some(second.into()), to, wait)).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let foreign = smol::block_on(net.connect_from(Some([192, 0, 2, 1].into()), to, wait)).err().unwrap();
        assert_eq!(foreign.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(net.is_own(second.into()) && !net.is_own([192, 0, 2, 1].into()));
    }
}
