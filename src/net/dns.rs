//! Questions to DNS, asked through hickory-resolver without its usual runtime.
//!
//! The resolver is built at the first question, so that a node that only receives mail never pays for it. Its
//! background tasks live on an executor of their own that whoever asks drives while waiting for the answer: there is no
//! extra thread, it works from any number of executors at once, and nothing runs while nobody asks. A change of
//! `/etc/resolv.conf` (a new DHCP lease) is noticed at the next question.
//!
//! Not here: which MX is tried first, and whether an address may be connected to. Whether answers are proved: [`secured`].

mod secured;

use super::{DnsTrouble, Mx, Srv};
use crate::limits::{DNS_ANSWER_SECONDS_MAX, DNS_ATTEMPTS, DNS_CACHE_ANSWERS, DNS_RECORDS_MAX, DNS_TIMEOUT_SECONDS};
use crate::wire::address::Domain;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, Spawn, Time};
use hickory_resolver::net::{DnsError, NetError, RetryDnsHandle};
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType, rdata};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{NameServerPool, PoolContext, Resolver, TlsConfig};
pub(super) use secured::BOGUS;
use secured::Validation;
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
    timeout: Duration,
    background: Arc<Executor<'static>>,
    built: Mutex<Option<Built>>,
    validation: Validation,
}

struct Built {
    resolver: Resolver<OnSmol>,
    /// When the system's configuration was written that this resolver follows.
    config_of: Option<SystemTime>,
}

/// Asks, and proves what is answered.
type Prover = DnssecDnsHandle<RetryDnsHandle<NameServerPool<OnSmol>>>;

impl Dns {
    /// Takes note that it is this late at least, in seconds since 1970: signatures are judged by that.
    pub(super) fn has_passed(seconds: u64) {
        secured::has_passed(seconds);
    }

    pub(super) fn new(server: Option<SocketAddr>) -> Dns {
        let timeout = Duration::from_secs(DNS_TIMEOUT_SECONDS);
        let (background, built) = (Arc::new(Executor::new()), Mutex::new(None));
        Dns { server, timeout, background, built, validation: Validation::off() }
    }

    /// Proves answers by DNSSEC where it can; `root_keys`: by these instead of those of the world (DNSKEY records as in a zone
    /// file). An error says what is wrong with the keys.
    pub(super) fn validating(server: Option<SocketAddr>, root_keys: Option<&str>) -> Result<Dns, String> {
        Ok(Dns { validation: Validation::on(root_keys)?, ..Dns::new(server) })
    }

    pub(super) async fn mx(&self, domain: &Domain) -> Result<Vec<Mx>, DnsTrouble> {
        let answers = self.ask(domain, RecordType::MX).await?;
        let records = answers.iter().filter_map(|record| if let RData::MX(mx) = record { Some(mx) } else { None });
        let name = |mx: &rdata::MX| Some(Mx { preference: mx.preference, exchange: host_name(&mx.exchange)? });
        let found: Vec<Mx> = records.clone().filter_map(name).collect();
        // RFC 5321 section 5.1: the domain itself stands in only for a domain without any MX record.
        if found.is_empty() && records.count() > 0 {
            return Err(DnsTrouble::Temporary("its MX records name no host".to_owned()));
        }
        Ok(found)
    }

    /// IPv4 first: most home lines have a better name there.
    pub(super) async fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, DnsTrouble> {
        let (v4, v6) = smol::future::zip(
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

    pub(super) async fn texts(&self, name: &Domain) -> Result<Vec<Vec<u8>>, DnsTrouble> {
        let answers = self.ask(name, RecordType::TXT).await?;
        let texts = answers.iter().filter_map(|record| if let RData::TXT(txt) = record { Some(txt) } else { None });
        Ok(texts.map(|txt| txt.txt_data.concat()).collect())
    }

    pub(super) async fn srv(&self, name: &Domain) -> Result<Vec<Srv>, DnsTrouble> {
        let answers = self.ask(name, RecordType::SRV).await?;
        let records = answers.iter().filter_map(|record| if let RData::SRV(srv) = record { Some(srv) } else { None });
        let read = |srv: &rdata::SRV| {
            let rdata::SRV { priority, weight, port, .. } = *srv;
            Some(Srv { priority, weight, port, target: host_name(&srv.target)? })
        };
        Ok(records.filter_map(read).collect())
    }

    pub(super) async fn names(&self, address: IpAddr) -> Result<Vec<Domain>, DnsTrouble> {
        let answers = self.ask(&reverse_name(address), RecordType::PTR).await?;
        let records = answers.iter().filter_map(|record| if let RData::PTR(ptr) = record { Some(ptr) } else { None });
        Ok(records.filter_map(|ptr| host_name(&ptr.0)).collect())
    }

    async fn ask(&self, name: &Domain, kind: RecordType) -> Result<Vec<RData>, DnsTrouble> {
        // A name that DNS cannot hold is a name that is not there.
        let mut name = Name::from_utf8(name.as_str()).map_err(|_| DnsTrouble::NoSuchName)?;
        name.set_fqdn(true);
        let resolver = self.resolver().map_err(DnsTrouble::Temporary)?;
        read_answer(self.ask_by(&resolver, name, kind).await)
    }

    async fn ask_by(&self, resolver: &Resolver<OnSmol>, name: Name, kind: RecordType) -> Result<Lookup, NetError> {
        self.in_time(resolver.lookup(name, kind)).await
    }

    async fn in_time<T>(&self, asking: impl Future<Output = Result<T, NetError>>) -> Result<T, NetError> {
        let asking = self.background.run(asking);
        let late = async {
            Timer::after(Duration::from_secs(DNS_ANSWER_SECONDS_MAX)).await;
            Err(NetError::Timeout)
        };
        smol::future::or(asking, late).await
    }

    /// When the system's configuration was written, where it counts.
    fn config_of(&self) -> Option<SystemTime> {
        match self.server {
            Some(_) => None,
            None => std::fs::metadata(SYSTEM_CONFIG).and_then(|file| file.modified()).ok(),
        }
    }

    /// Drops the resolver with all that it remembers; questions that are under way keep it until they are answered.
    pub(super) fn forget(&self) {
        *self.built.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn resolver(&self) -> Result<Resolver<OnSmol>, String> {
        let config_of = self.config_of();
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = built.as_ref().filter(|built| built.config_of == config_of) {
            return Ok(built.resolver.clone());
        }
        let resolver = self.build(None).map_err(|error| error.to_string())?;
        *built = Some(Built { resolver: resolver.clone(), config_of });
        Ok(resolver)
    }

    /// `prove_by`: the keys of the root by which answers are proved.
    fn build(&self, prove_by: Option<&Arc<TrustAnchors>>) -> Result<Resolver<OnSmol>, NetError> {
        let (config, options) = self.configuration()?;
        let provider = OnSmol { background: self.background.clone() };
        let mut builder = Resolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        if let Some(anchors) = prove_by {
            builder = builder.with_trust_anchor(anchors.clone());
        }
        builder.build()
    }

    /// What proves answers underneath a resolver, for a closer look at one of them.
    fn prover(&self, prove_by: &Arc<TrustAnchors>) -> Result<Prover, NetError> {
        let (config, options) = self.configuration()?;
        let provider = OnSmol { background: self.background.clone() };
        let servers = config.name_servers().to_vec();
        let pool =
            NameServerPool::from_config(servers, Arc::new(PoolContext::new(options, TlsConfig::new()?)), provider);
        Ok(DnssecDnsHandle::with_trust_anchor(RetryDnsHandle::new(pool, DNS_ATTEMPTS), prove_by.clone()))
    }

    fn configuration(&self) -> Result<(ResolverConfig, ResolverOpts), NetError> {
        let (config, mut options) = match self.server {
            None => read_system_conf()?,
            Some(server) => {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                config.connections.iter_mut().for_each(|connection| connection.port = server.port());
                (ResolverConfig::from_name_servers(vec![config]), ResolverOpts::default())
            }
        };
        options.cache_size = DNS_CACHE_ANSWERS;
        options.timeout = self.timeout;
        options.attempts = DNS_ATTEMPTS;
        Ok((config, options))
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

/// The name under which the names of an address stand (RFC 1035 section 3.5, RFC 3596 section 2.5).
pub fn reverse_name(address: IpAddr) -> Domain {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            Domain::new(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"))
        }
        IpAddr::V6(ip) => {
            let digits = ip.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let labels: String = digits.map(|digit| format!("{digit:x}.")).collect();
            Domain::new(&format!("{labels}ip6.arpa"))
        }
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

    fn current_time() -> u64 {
        secured::time_seconds()
    }

    fn timeout<'a, F: 'static + Future + Send + 'a>(wait: Duration, work: F) -> Boxed<'a, io::Result<F::Output>> {
        let late = async move {
            Timer::after(wait).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        Box::pin(smol::future::or(async { Ok(work.await) }, late))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    /// A DNS server on loopback, over UDP and TCP, that knows a few names under `.test`, stays silent for `silent.test`,
    /// and tells all of `long.test` over TCP only.
    fn serve_names() -> SocketAddr {
        // A port that is free for both, however many tests run.
        let both = (0..100).find_map(|_| {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            Some((UdpSocket::bind(tcp.local_addr().ok()?).ok()?, tcp))
        });
        let (udp, tcp) = both.unwrap();
        let address = udp.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut question = [0u8; 512];
            while let Ok((length, from)) = udp.recv_from(&mut question) {
                if let Some(answer) = answer(&question[..length], false) {
                    udp.send_to(&answer, from).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                // RFC 1035 section 4.2.2: each message has its length in front.
                let mut length = [0u8; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut question = vec![0u8; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut question).unwrap();
                    let Some(answer) = answer(&question, true) else { break };
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    stream.write_all(&[&length[..], &answer].concat()).unwrap();
                }
            }
        });
        address
    }

    /// RFC 1035 section 4.1, as little of it as answering one question takes.
    fn answer(question: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let (mut labels, mut at) = (Vec::new(), 12);
        while question[at] != 0 {
            let length = usize::from(question[at]);
            labels.push(String::from_utf8(question[at + 1..at + 1 + length].to_vec()).unwrap().to_lowercase());
            at += 1 + length;
        }
        let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
        let name = |text: &str| -> Vec<u8> {
            let labels = text.split('.').filter(|label| !label.is_empty());
            let mut out: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
            out.push(0);
            out
        };
        let mx = |preference: u8, host: &str| [vec![0, preference], name(host)].concat();
        let (code, records) = match (labels.join(".").as_str(), kind) {
            ("silent.test", _) => return None,
            ("broken.test", _) => (2, vec![]),
            ("long.test", 15) if over_tcp => (0, (0..60).map(|number| mx(number, "mx.long.test")).collect()),
            ("long.test", 15) => (0, vec![]),
            ("far.test", 15) => (0, vec![mx(10, "mx1.far.test"), mx(20, "MX2.far.test"), mx(30, "b d.test")]),
            ("_imaps._tcp.far.test", 33) => (0, vec![[vec![0, 0, 0, 1, 3, 225], name("mail.far.test")].concat()]),
            ("_pop3._tcp.far.test", 33) => (0, vec![vec![0; 7]]),
            ("1.2.0.192.in-addr.arpa", 12) => (0, vec![name("mx1.far.test"), name("b d.test")]),
            ("odd.test", 15) => (0, vec![mx(10, "b d.test")]),
            ("null.test", 15) => (0, vec![mx(0, "")]),
            ("mx1.far.test", 1) => (0, vec![vec![192, 0, 2, 1]]),
            ("mx1.far.test", 28) => (0, vec![[vec![0x20, 0x01, 0x0d, 0xb8], vec![0; 11], vec![1]].concat()]),
            ("half.test", 1) => (0, vec![vec![192, 0, 2, 2]]),
            ("half.test", _) => (2, vec![]),
            ("far.test" | "mx1.far.test", _) => (0, vec![]),
            _ => (3, vec![]),
        };
        let mut out = question[..2].to_vec();
        let truncated = !over_tcp && labels.join(".") == "long.test";
        out.extend([0x81 | if truncated { 2 } else { 0 }, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        out.extend(&question[12..at + 5]);
        for data in records {
            out.extend([0xc0, 12]);
            out.extend(kind.to_be_bytes());
            out.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            out.extend(data);
        }
        Some(out)
    }

    fn ask_loopback() -> Dns {
        Dns { timeout: Duration::from_millis(300), ..Dns::new(Some(serve_names())) }
    }

    #[test]
    fn finds_mx_records_and_leaves_out_names_no_host_can_have() {
        let dns = ask_loopback();
        let found = smol::block_on(dns.mx(&Domain::new("far.test"))).unwrap();
        let mx = |preference, host: &str| Mx { preference, exchange: Domain::new(host) };
        assert_eq!(found, [mx(10, "mx1.far.test"), mx(20, "mx2.far.test")]);
        assert_eq!(smol::block_on(dns.mx(&Domain::new("null.test"))), Ok(vec![mx(0, "")]));
        let odd = smol::block_on(dns.mx(&Domain::new("odd.test")));
        assert!(matches!(odd, Err(DnsTrouble::Temporary(_))), "not: there are none");
    }

    #[test]
    fn asks_over_tcp_when_the_answer_is_too_long_for_udp() {
        let found = smol::block_on(ask_loopback().mx(&Domain::new("long.test"))).unwrap();
        assert_eq!(found.len(), 60);
    }

    #[test]
    fn finds_addresses_of_both_kinds() {
        let dns = ask_loopback();
        let found = smol::block_on(dns.addresses(&Domain::new("mx1.far.test"))).unwrap();
        assert_eq!(found, ["192.0.2.1".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
        let half = smol::block_on(dns.addresses(&Domain::new("half.test")));
        assert_eq!(half, Ok(vec!["192.0.2.2".parse().unwrap()]));
    }

    #[test]
    fn finds_services_and_the_names_of_addresses() {
        let dns = ask_loopback();
        let found = smol::block_on(dns.srv(&Domain::new("_imaps._tcp.far.test"))).unwrap();
        assert_eq!(found, [Srv { priority: 0, weight: 1, port: 993, target: Domain::new("mail.far.test") }]);
        let none = smol::block_on(dns.srv(&Domain::new("_pop3._tcp.far.test"))).unwrap();
        assert_eq!(none, [Srv { priority: 0, weight: 0, port: 0, target: Domain::new("") }]);
        let names = smol::block_on(dns.names("192.0.2.1".parse().unwrap()));
        assert_eq!(names, Ok(vec![Domain::new("mx1.far.test")]));
        let v6 = reverse_name("2001:db8::1".parse().unwrap());
        assert!(v6.as_str().starts_with("1.0.0.0.") && v6.as_str().ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"), "{v6}");
    }

    #[test]
    fn tells_no_such_name_from_no_records_from_trouble() {
        let dns = ask_loopback();
        let ask = |name: &str| smol::block_on(dns.mx(&Domain::new(name)));
        assert_eq!(ask("nowhere.test"), Err(DnsTrouble::NoSuchName));
        assert_eq!(ask("mx1.far.test"), Ok(vec![]));
        assert_eq!(ask("x".repeat(64).as_str()), Err(DnsTrouble::NoSuchName));
        assert!(matches!(ask("broken.test"), Err(DnsTrouble::Temporary(_))));
        assert!(matches!(ask("silent.test"), Err(DnsTrouble::Temporary(_))));
        assert_eq!(smol::block_on(dns.addresses(&Domain::new("far.test"))), Ok(vec![]));
        assert!(matches!(smol::block_on(dns.addresses(&Domain::new("broken.test"))), Err(DnsTrouble::Temporary(_))));
    }

    /// Many a router loses signatures: then answers are taken as they are.
    #[test]
    fn without_signatures_on_the_way_nothing_is_proved_and_everything_is_found() {
        let server = serve_names();
        let dns = Dns { timeout: Duration::from_millis(300), ..Dns::validating(Some(server), None).unwrap() };
        let found = smol::block_on(dns.mx_secured(&Domain::new("far.test"))).unwrap();
        assert_eq!((found.found.len(), found.is_secure()), (2, false));
        let found = smol::block_on(dns.addresses_secured(&Domain::new("mx1.far.test"))).unwrap();
        assert_eq!((found.found.len(), found.is_secure()), (2, false));
        assert!(found.tlsa_bases(&Domain::new("mx1.far.test")).is_empty());
        let none = smol::block_on(dns.tlsa(&Domain::new("mx1.far.test"), 25)).unwrap();
        assert!(none.found.is_empty());
        assert_eq!(smol::block_on(dns.mx_secured(&Domain::new("nowhere.test"))), Err(DnsTrouble::NoSuchName));
    }

    #[test]
    fn serves_several_threads_at_once() {
        let dns = ask_loopback();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for name in ["far.test", "silent.test", "far.test"] {
                        let found = smol::block_on(dns.mx(&Domain::new(name)));
                        assert_eq!(found.is_ok(), name == "far.test", "{name} {found:?}");
                    }
                });
            }
        });
    }
}
