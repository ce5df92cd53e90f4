//! Questions to DNS, asked through hickory-resolver without its usual runtime.
//!
//! The resolver is built at the first question, so that a node that only receives mail never pays for it. Its
//! background tasks live on an executor of their own that whoever asks drives while waiting for the answer: there is no
//! extra thread, it works from any number of executors at once, and nothing runs while nobody asks. A change of
//! `/etc/resolv.conf` (a new DHCP lease) is noticed at the next question.
//!
//! Not here: which MX is tried first, and whether an address may be connected to.

use super::{DnsTrouble, Mx};
use crate::limits::{DNS_ATTEMPTS, DNS_CACHE_ANSWERS, DNS_RECORDS_MAX, DNS_TIMEOUT_SECONDS};
use crate::wire::address::Domain;
use hickory_resolver::Resolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, Spawn, Time};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use smol::{Async, Executor, Timer};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

const SYSTEM_CONFIG: &str = "/etc/resolv.conf";

/// Asks DNS. Shared by all sessions.
pub(super) struct Dns {
    /// Asked instead of the servers of the system.
    server: Option<SocketAddr>,
    background: Arc<Executor<'static>>,
    built: Mutex<Option<Built>>,
}

struct Built {
    resolver: Resolver<OnSmol>,
    /// When the system's configuration was written that this resolver follows.
    config_of: Option<SystemTime>,
}

impl Dns {
    pub(super) fn new(server: Option<SocketAddr>) -> Dns {
        Dns { server, background: Arc::new(Executor::new()), built: Mutex::new(None) }
    }

    pub(super) async fn mx(&self, domain: &Domain) -> Result<Vec<Mx>, DnsTrouble> {
        let records = self.ask(domain, RecordType::MX).await?;
        Ok(records
            .into_iter()
            .filter_map(|record| match record {
                RData::MX(mx) => Some(Mx { preference: mx.preference, exchange: host_name(&mx.exchange)? }),
                _ => None,
            })
            .collect())
    }

    /// IPv4 first: most home lines have a better name there.
    pub(super) async fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, DnsTrouble> {
        let (v4, v6) = futures_lite::future::zip(
            self.ask(host, RecordType::A), //
            self.ask(host, RecordType::AAAA),
        )
        .await;
        let both = |answer: &Result<Vec<RData>, DnsTrouble>| -> Vec<IpAddr> {
            let records = answer.iter().flatten();
            records.filter_map(RData::ip_addr).collect()
        };
        let found: Vec<IpAddr> = [both(&v4), both(&v6)].concat();
        if !found.is_empty() {
            return Ok(found);
        }
        match (v4, v6) {
            // One answered "nothing" and the other not at all: there may be an address.
            (Err(trouble @ DnsTrouble::Temporary(_)), _) | (_, Err(trouble @ DnsTrouble::Temporary(_))) => Err(trouble),
            (Err(trouble), _) | (_, Err(trouble)) => Err(trouble),
            (Ok(_), Ok(_)) => Ok(Vec::new()),
        }
    }

    async fn ask(&self, name: &Domain, kind: RecordType) -> Result<Vec<RData>, DnsTrouble> {
        // A name that DNS cannot hold is a name that is not there.
        let mut name = Name::from_utf8(name.as_str()).map_err(|_| DnsTrouble::NoSuchName)?;
        name.set_fqdn(true);
        let resolver = self.resolver().map_err(DnsTrouble::Temporary)?;
        let answer = self.background.run(resolver.lookup(name, kind)).await;
        read_answer(answer)
    }

    fn resolver(&self) -> Result<Resolver<OnSmol>, String> {
        let config_of = match self.server {
            Some(_) => None,
            None => std::fs::metadata(SYSTEM_CONFIG).and_then(|file| file.modified()).ok(),
        };
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = built.as_ref().filter(|built| built.config_of == config_of) {
            return Ok(built.resolver.clone());
        }
        let resolver = self.build().map_err(|error| error.to_string())?;
        *built = Some(Built { resolver: resolver.clone(), config_of });
        Ok(resolver)
    }

    fn build(&self) -> Result<Resolver<OnSmol>, NetError> {
        let provider = OnSmol { background: self.background.clone() };
        let mut builder = match self.server {
            None => Resolver::builder(provider)?,
            Some(server) => {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                config.connections.iter_mut().for_each(|connection| connection.port = server.port());
                Resolver::builder_with_config(ResolverConfig::from_name_servers(vec![config]), provider)
            }
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.cache_size = DNS_CACHE_ANSWERS;
        options.timeout = Duration::from_secs(DNS_TIMEOUT_SECONDS);
        options.attempts = DNS_ATTEMPTS;
        builder.build()
    }
}

fn read_answer(answer: Result<Lookup, NetError>) -> Result<Vec<RData>, DnsTrouble> {
    match answer {
        Ok(lookup) => Ok(lookup.answers().iter().take(DNS_RECORDS_MAX).map(|record| record.data.clone()).collect()),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NXDomain => Err(DnsTrouble::NoSuchName),
            ResponseCode::NoError => Ok(Vec::new()),
            other => Err(DnsTrouble::Temporary(other.to_string())),
        },
        Err(error) => Err(DnsTrouble::Temporary(error.to_string())),
    }
}

/// A name as mail uses it, without the final dot; the root (null MX, RFC 7505) is empty. `None` for names that no host
/// can have (RFC 1123 section 2.1): what DNS says is as hostile as any other input.
fn host_name(name: &Name) -> Option<Domain> {
    let text = name.to_ascii();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    plain.then(|| Domain::new(text))
}

/// What hickory needs of a runtime, from smol.
#[derive(Clone)]
struct OnSmol {
    background: Arc<Executor<'static>>,
}

impl RuntimeProvider for OnSmol {
    type Handle = OnSmol;
    type Timer = SmolTime;
    type Udp = Udp;
    type Tcp = Tcp;

    fn create_handle(&self) -> OnSmol {
        self.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _bind: Option<SocketAddr>,
        wait: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Tcp>>>> {
        let wait = wait.unwrap_or(Duration::from_secs(DNS_TIMEOUT_SECONDS));
        Box::pin(async move { SmolTime::timeout(wait, Async::<TcpStream>::connect(server)).await?.map(Tcp) })
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        _server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Udp>>>> {
        Box::pin(async move { Async::<UdpSocket>::bind(local).map(Udp) })
    }
}

impl Spawn for OnSmol {
    fn spawn_bg(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        self.background.spawn(future).detach();
    }
}

struct SmolTime;

/// A boxed future, as the trait's `async fn` is once its macro has been at it.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Time for SmolTime {
    fn delay_for<'a>(wait: Duration) -> Boxed<'a, ()> {
        Box::pin(async move {
            Timer::after(wait).await;
        })
    }

    fn timeout<'a, F: 'static + Future + Send + 'a>(wait: Duration, work: F) -> Boxed<'a, io::Result<F::Output>> {
        let late = async move {
            Timer::after(wait).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        Box::pin(futures_lite::future::or(async { Ok(work.await) }, late))
    }
}

struct Udp(Async<UdpSocket>);

impl DnsUdpSocket for Udp {
    type Time = SmolTime;

    fn poll_recv_from(&self, task: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            match self.0.get_ref().recv_from(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.0.poll_readable(task))?,
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_send_to(&self, task: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        loop {
            match self.0.get_ref().send_to(bytes, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.0.poll_writable(task))?,
                done => return Poll::Ready(done),
            }
        }
    }
}

struct Tcp(Async<TcpStream>);

impl DnsTcpStream for Tcp {
    type Time = SmolTime;
}

impl smol::io::AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(task, buffer)
    }
}

impl smol::io::AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }
    fn poll_close(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(task)
    }
}
