//! The world in memory: pipes instead of TCP, scripted DNS, a clock that stands still, seeded randomness.
//!
//! Everything that happens is caused by the test, so that on one thread a run repeats exactly. Real TLS runs over the
//! pipes. Bounded as the real world is: a writer whose reader does not read waits.

use super::clock::{Clock, VirtualClock};
use super::dns::BOGUS;
use super::stream::{Socket, Stream};
use super::{DnsTrouble, Mx, Net, NetworkChanges, Secured, Srv, World};
use crate::limits::{DNS_ALIASES_MAX, TWIN_PIPE_BYTES};
use crate::mail::tls_policy::{Security, Tlsa};
use crate::wire::address::Domain;
use event_listener::Event;
use smol::io::{AsyncRead, AsyncWrite};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A world in memory. The test holds it and arranges things; sessions see it as a [`Net`].
pub struct Twin {
    hand: Arc<VirtualClock>,
    changed: Arc<Event>,
    inner: Mutex<Inner>,
}

struct Inner {
    random: u64,
    next_port: u16,
    node_pipe_bytes: usize,
    places: HashMap<SocketAddr, Place>,
    mx: HashMap<Domain, Vec<Mx>>,
    addresses: HashMap<Domain, Vec<IpAddr>>,
    texts: HashMap<Domain, Vec<Vec<u8>>>,
    tlsa: HashMap<Domain, Vec<Tlsa>>,
    aliases: HashMap<Domain, Domain>,
    zones: HashMap<Domain, Zone>,
    srv: HashMap<Domain, Vec<Srv>>,
    names: HashMap<IpAddr, Vec<Domain>>,
    trouble: HashMap<Domain, DnsTrouble>,
}

/// How a part of the DNS is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Its answers are proved.
    Secure,
    /// It is not signed: what every name is that was never mentioned.
    Insecure,
    /// Its signatures are wrong: whoever looks at them gets no answer.
    Bogus,
}

/// What is found at an address.
enum Place {
    Listening(smol::channel::Sender<Stream>),
    /// Packets vanish: connecting takes until the caller's patience ends.
    Silent,
}

impl Twin {
    /// A world with nothing in it. The same seed gives the same randomness.
    pub fn new(seed: u64) -> Arc<Twin> {
        let inner = Inner {
            random: seed,
            next_port: 49152,
            node_pipe_bytes: TWIN_PIPE_BYTES,
            places: HashMap::new(),
            mx: HashMap::new(),
            addresses: HashMap::new(),
            texts: HashMap::new(),
            tlsa: HashMap::new(),
            aliases: HashMap::new(),
            zones: HashMap::new(),
            srv: HashMap::new(),
            names: HashMap::new(),
            trouble: HashMap::new(),
        };
        Arc::new(Twin { hand: VirtualClock::new(), changed: Arc::default(), inner: Mutex::new(inner) })
    }

    /// The world as sessions see it.
    pub fn net(self: &Arc<Twin>) -> Net {
        Net { clock: self.clock(), world: World::Twin(self.clone()) }
    }

    /// The clock as sessions see it.
    pub fn clock(&self) -> Clock {
        Clock::moved_by(self.hand.clone())
    }

    /// The hand that moves the clock.
    pub fn hand(&self) -> &Arc<VirtualClock> {
        &self.hand
    }

    /// Of what the node sends, new connections hold this many bytes under way, at least 1: so each of its writes is a
    /// partial one. The other direction stays wide; if both were narrow, two ends that write at once would wait for each
    /// other for ever, as over no real network.
    pub fn set_node_pipe_bytes(&self, bytes: usize) {
        self.inner().node_pipe_bytes = bytes.max(1);
    }

    /// A link comes up, or a route.
    pub fn network_changes(&self) {
        self.changed.notify(usize::MAX);
    }

    pub(super) fn changes(&self) -> NetworkChanges {
        NetworkChanges::told(&self.changed)
    }

    /// Two ends of a new connection to the node: the one that connected from `from`, and the node's own on `to`.
    pub fn pair(&self, from: SocketAddr, to: SocketAddr) -> (Stream, Stream) {
        let node_pipe_bytes = self.inner().node_pipe_bytes;
        self.streams(Pipe::pair(TWIN_PIPE_BYTES, node_pipe_bytes), from, to)
    }

    fn streams(&self, (near, far): (Pipe, Pipe), from: SocketAddr, to: SocketAddr) -> (Stream, Stream) {
        let near = Stream::over(Socket::Memory(near), self.clock(), to, from);
        (near, Stream::over(Socket::Memory(far), self.clock(), from, to))
    }

    /// Listens on an address: whoever connects to it comes out of the channel. Replaces what was there.
    pub fn listen(&self, on: SocketAddr) -> smol::channel::Receiver<Stream> {
        let (sender, receiver) = smol::channel::unbounded();
        self.inner().places.insert(on, Place::Listening(sender));
        receiver
    }

    /// From now on connections to this address are refused, as they are to every address never mentioned.
    pub fn refuse(&self, on: SocketAddr) {
        self.inner().places.remove(&on);
    }

    /// From now on packets to this address vanish.
    pub fn swallow(&self, on: SocketAddr) {
        self.inner().places.insert(on, Place::Silent);
    }

    /// Adds an MX record.
    pub fn add_mx(&self, domain: &Domain, preference: u16, exchange: &Domain) {
        let record = Mx { preference, exchange: exchange.clone() };
        self.inner().mx.entry(domain.clone()).or_default().push(record);
    }

    /// Adds an address record.
    pub fn add_address(&self, host: &Domain, address: IpAddr) {
        self.inner().addresses.entry(host.clone()).or_default().push(address);
    }

    /// Adds a TXT record.
    pub fn add_text(&self, name: &Domain, text: &[u8]) {
        self.inner().texts.entry(name.clone()).or_default().push(text.to_vec());
    }

    /// Removes the TXT records of a name.
    pub fn remove_texts(&self, name: &Domain) {
        self.inner().texts.remove(name);
    }

    /// Adds a TLSA record; the name is that of the service, `_25._tcp.mx.far.example`.
    pub fn add_tlsa(&self, service: &Domain, record: Tlsa) {
        self.inner().tlsa.entry(service.clone()).or_default().push(record);
    }

    /// Makes a name an alias of another (CNAME).
    pub fn add_alias(&self, name: &Domain, of: &Domain) {
        self.inner().aliases.insert(name.clone(), of.clone());
    }

    /// How this name and all below it are signed, down to the next one that is named.
    pub fn set_zone(&self, top: &Domain, zone: Zone) {
        self.inner().zones.insert(top.clone(), zone);
    }

    /// Adds an SRV record.
    pub fn add_srv(&self, name: &Domain, record: Srv) {
        self.inner().srv.entry(name.clone()).or_default().push(record);
    }

    /// Adds a name of an address.
    pub fn add_name(&self, address: IpAddr, name: &Domain) {
        self.inner().names.entry(address).or_default().push(name.clone());
    }

    /// Takes away all that DNS says of a name.
    pub fn forget(&self, name: &Domain) {
        let mut inner = self.inner();
        inner.mx.remove(name);
        inner.addresses.remove(name);
        inner.texts.remove(name);
        inner.srv.remove(name);
    }

    /// Every question about this name fails in this way; `None` ends it.
    pub fn set_trouble(&self, name: &Domain, trouble: Option<DnsTrouble>) {
        match trouble {
            Some(trouble) => self.inner().trouble.insert(name.clone(), trouble),
            None => self.inner().trouble.remove(name),
        };
    }

    pub(super) async fn connect(&self, source: Option<IpAddr>, to: SocketAddr, wait: Duration) -> io::Result<Stream> {
        let (listener, from, node_pipe_bytes) = {
            let mut inner = self.inner();
            inner.next_port = inner.next_port.checked_add(1).unwrap_or(49152);
            let source = source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            let from = SocketAddr::new(source, inner.next_port);
            match inner.places.get(&to) {
                Some(Place::Listening(sender)) => (Some(sender.clone()), from, inner.node_pipe_bytes),
                Some(Place::Silent) => (None, from, 0),
                None => return Err(io::ErrorKind::ConnectionRefused.into()),
            }
        };
        let Some(listener) = listener else {
            self.clock().sleep(wait).await;
            return Err(io::ErrorKind::TimedOut.into());
        };
        let (near, far) = self.streams(Pipe::pair(node_pipe_bytes, TWIN_PIPE_BYTES), from, to);
        listener.try_send(far).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(near)
    }

    pub(super) fn mx(&self, domain: &Domain) -> Result<Vec<Mx>, DnsTrouble> {
        let inner = self.inner();
        Ok(inner.find(domain, &inner.mx)?.found)
    }

    pub(super) fn mx_secured(&self, domain: &Domain) -> Result<Secured<Mx>, DnsTrouble> {
        let inner = self.inner();
        inner.proved(inner.find(domain, &inner.mx), domain)
    }

    pub(super) fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, DnsTrouble> {
        let inner = self.inner();
        Ok(inner.find(host, &inner.addresses)?.found)
    }

    pub(super) fn addresses_secured(&self, host: &Domain) -> Result<Secured<IpAddr>, DnsTrouble> {
        let inner = self.inner();
        inner.proved(inner.find(host, &inner.addresses), host)
    }

    pub(super) fn tlsa(&self, base: &Domain, port: u16) -> Result<Secured<Tlsa>, DnsTrouble> {
        let inner = self.inner();
        let service = Domain::new(&format!("_{port}._tcp.{base}"));
        inner.proved(inner.find(&service, &inner.tlsa), &service)
    }

    pub(super) fn texts(&self, name: &Domain) -> Result<Vec<Vec<u8>>, DnsTrouble> {
        let inner = self.inner();
        Ok(inner.find(name, &inner.texts)?.found)
    }

    pub(super) fn srv(&self, name: &Domain) -> Result<Vec<Srv>, DnsTrouble> {
        let inner = self.inner();
        Ok(inner.find(name, &inner.srv)?.found)
    }

    pub(super) fn names(&self, address: IpAddr) -> Result<Vec<Domain>, DnsTrouble> {
        self.inner().names.get(&address).cloned().ok_or(DnsTrouble::NoSuchName)
    }

    /// SplitMix64: good enough to be different, and the same every time.
    pub(super) fn fill(&self, bytes: &mut [u8]) {
        let mut inner = self.inner();
        for chunk in bytes.chunks_mut(8) {
            inner.random = inner.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = inner.random;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            chunk.iter_mut().zip(mixed.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn known(&self, name: &Domain) -> Result<(), DnsTrouble> {
        match self.trouble.get(name) {
            Some(trouble) => Err(trouble.clone()),
            None if self.mx.contains_key(name)
                || self.addresses.contains_key(name)
                || self.texts.contains_key(name)
                || self.tlsa.contains_key(name)
                || self.aliases.contains_key(name)
                || self.srv.contains_key(name) =>
            {
                Ok(())
            }
            None => Err(DnsTrouble::NoSuchName),
        }
    }

    /// The records of a name, or of what it is an alias of.
    fn find<T: Clone>(&self, name: &Domain, among: &HashMap<Domain, Vec<T>>) -> Result<Secured<T>, DnsTrouble> {
        let first = self.security(name);
        let (mut name, mut security) = (name, first);
        for _ in 0..DNS_ALIASES_MAX {
            self.known(name)?;
            let Some(of) = self.aliases.get(name) else { break };
            name = of;
            if self.security(name) == Security::Insecure {
                security = Security::Insecure;
            }
        }
        Ok(Secured { found: among.get(name).cloned().unwrap_or_default(), name: name.clone(), security, first })
    }

    /// What a resolver that checks signatures makes of it.
    fn proved<T>(&self, found: Result<Secured<T>, DnsTrouble>, asked: &Domain) -> Result<Secured<T>, DnsTrouble> {
        let reached = found.as_ref().map_or(asked, |found| &found.name);
        if [asked, reached].iter().any(|name| self.zone(name) == Zone::Bogus) {
            return Err(DnsTrouble::Temporary(BOGUS.to_owned()));
        }
        found
    }

    fn security(&self, name: &Domain) -> Security {
        if self.zone(name) == Zone::Secure { Security::Secure } else { Security::Insecure }
    }

    fn zone(&self, name: &Domain) -> Zone {
        let mut rest = Some(name.as_str());
        while let Some(name) = rest {
            if let Some(zone) = self.zones.get(&Domain::new(name)) {
                return *zone;
            }
            rest = name.split_once('.').map(|(_, parent)| parent);
        }
        Zone::Insecure
    }
}

/// One end of a connection in memory. Dropped, it is closed like a socket: the other end reads what was sent, then
/// the end of the stream, and cannot write any more.
pub(super) struct Pipe {
    incoming: Arc<Mutex<Lane>>,
    outgoing: Arc<Mutex<Lane>>,
}

/// The bytes that go one way.
#[derive(Default)]
struct Lane {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    /// Nothing more will be written.
    ended: bool,
    /// Nobody will read any more.
    deaf: bool,
    /// The connection was cut: what was on its way is lost.
    cut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Pipe {
    /// Two ends; the first can have so many bytes under way, the second so many.
    fn pair(near_bytes_max: usize, far_bytes_max: usize) -> (Pipe, Pipe) {
        let lane = |bytes_max| Arc::new(Mutex::new(Lane { bytes_max, ..Lane::default() }));
        let (to, fro) = (lane(near_bytes_max), lane(far_bytes_max));
        (Pipe { incoming: fro.clone(), outgoing: to.clone() }, Pipe { incoming: to, outgoing: fro })
    }

    /// Cuts the connection: both ends get [`io::ErrorKind::ConnectionReset`], bytes under way are lost.
    pub(super) fn cut(&self) {
        for lane in [&self.incoming, &self.outgoing] {
            let mut lane = hold(lane);
            lane.cut = true;
            lane.bytes.clear();
            lane.wake();
        }
    }
}

fn hold(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut lane = hold(&self.incoming);
        if lane.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if lane.bytes.is_empty() && !lane.ended && !buffer.is_empty() {
            lane.reader = Some(task.waker().clone());
            return Poll::Pending;
        }
        let taken = io::Read::read(&mut lane.bytes, buffer)?;
        lane.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(taken))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut lane = hold(&self.outgoing);
        if lane.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if lane.ended || lane.deaf {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = lane.bytes_max.saturating_sub(lane.bytes.len());
        if room == 0 && !bytes.is_empty() {
            lane.writer = Some(task.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.get(..room).unwrap_or(bytes);
        lane.bytes.extend(taken);
        lane.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut lane = hold(&self.outgoing);
        lane.ended = true;
        lane.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut outgoing = hold(&self.outgoing);
        outgoing.ended = true;
        outgoing.wake();
        drop(outgoing);
        let mut incoming = hold(&self.incoming);
        incoming.deaf = true;
        incoming.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    const WAIT: Duration = Duration::from_secs(10);

    fn ends() -> (SocketAddr, SocketAddr) {
        (SocketAddr::from((Ipv4Addr::LOCALHOST, 50000)), SocketAddr::from((Ipv4Addr::LOCALHOST, 25)))
    }

    #[test]
    fn a_full_pipe_holds_the_writer_until_the_reader_reads() {
        let twin = Twin::new(1);
        let (mut near, mut far) = twin.pair(ends().0, ends().1);
        let sent: Vec<u8> = (0..TWIN_PIPE_BYTES * 3).map(|n| n as u8).collect();
        let read = async {
            let (mut got, mut buffer) = (Vec::<u8>::new(), [0u8; 1000]);
            loop {
                match far.read(&mut buffer, WAIT).await.unwrap() {
                    0 => return got,
                    read => got.extend(&buffer[..read]),
                }
            }
        };
        let write = async {
            near.write_all(&sent, WAIT).await.unwrap();
            near.close(WAIT).await.unwrap();
        };
        let (got, ()) = smol::block_on(smol::future::zip(read, write));
        assert!(got == sent);
    }

    #[test]
    fn waits_end_when_the_clock_is_moved_and_a_dropped_read_takes_nothing() {
        let twin = Twin::new(1);
        let (mut near, mut far) = twin.pair(ends().0, ends().1);
        let mut buffer = [0u8; 10];
        {
            let mut read = std::pin::pin!(far.read(&mut buffer, WAIT));
            assert!(smol::block_on(smol::future::poll_once(&mut read)).is_none());
            twin.hand().advance(WAIT);
            let late = smol::block_on(smol::future::poll_once(&mut read)).unwrap();
            assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        smol::block_on(near.write_all(b"kept", WAIT)).unwrap();
        drop(far.read(&mut buffer, WAIT));
        assert_eq!(smol::block_on(far.read(&mut buffer, WAIT)).unwrap(), 4);
        assert_eq!(&buffer[..4], b"kept");
    }

    #[test]
    fn a_dropped_end_is_an_end_and_an_aborted_one_a_reset() {
        let twin = Twin::new(1);
        let mut buffer = [0u8; 10];
        let (mut near, mut far) = twin.pair(ends().0, ends().1);
        smol::block_on(near.write_all(b"last", WAIT)).unwrap();
        drop(near);
        assert_eq!(smol::block_on(far.read(&mut buffer, WAIT)).unwrap(), 4);
        assert_eq!(smol::block_on(far.read(&mut buffer, WAIT)).unwrap(), 0);
        assert_eq!(smol::block_on(far.write_all(b"x", WAIT)).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let (near, mut far) = twin.pair(ends().0, ends().1);
        near.abort();
        assert_eq!(smol::block_on(far.read(&mut buffer, WAIT)).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn connects_to_who_listens_and_to_nobody_else() {
        let twin = Twin::new(1);
        let net = twin.net();
        let at = SocketAddr::from((Ipv6Addr::LOCALHOST, 25));
        let refused = smol::block_on(net.connect(at, WAIT)).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let incoming = twin.listen(at);
        let near = smol::block_on(net.connect(at, WAIT)).unwrap();
        let far = incoming.try_recv().unwrap();
        assert_eq!((near.peer(), far.local(), near.local()), (at, at, far.peer()));
        twin.swallow(at);
        let mut connecting = std::pin::pin!(net.connect(at, WAIT));
        assert!(smol::block_on(smol::future::poll_once(&mut connecting)).is_none());
        twin.hand().advance(WAIT);
        assert_eq!(smol::block_on(connecting).err().unwrap().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn answers_dns_as_told() {
        let twin = Twin::new(1);
        let net = twin.net();
        let (domain, host) = (Domain::new("far.example"), Domain::new("mx.far.example"));
        assert_eq!(smol::block_on(net.mx(&domain)), Err(DnsTrouble::NoSuchName));
        twin.add_mx(&domain, 10, &host);
        twin.add_address(&host, "192.0.2.1".parse().unwrap());
        assert_eq!(smol::block_on(net.mx(&domain)), Ok(vec![Mx { preference: 10, exchange: host.clone() }]));
        assert_eq!(smol::block_on(net.addresses(&domain)), Ok(vec![]));
        assert_eq!(smol::block_on(net.addresses(&host)), Ok(vec!["192.0.2.1".parse().unwrap()]));
        assert_eq!(smol::block_on(net.addresses(&Domain::new("::1"))), Ok(vec!["::1".parse().unwrap()]));
        twin.set_trouble(&host, Some(DnsTrouble::Temporary("SERVFAIL".into())));
        assert!(matches!(smol::block_on(net.addresses(&host)), Err(DnsTrouble::Temporary(_))));
    }

    #[test]
    fn the_same_seed_gives_the_same_randomness() {
        let draw = |seed| Twin::new(seed).net().random::<20>().unwrap();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
