//! Admission: who may open a session, so that neither one peer nor many can take all memory and descriptors.
//!
//! Receives the peer of an accepted connection; hands on a [`Ticket`] that the session keeps while it lives, or a
//! refusal that is worth another try later. Not a judge of content or credentials. What always holds:
//!
//! - The counts are exactly the tickets alive, whatever way a session ends; those turned out and not gone yet are few.
//! - When a service is full, whoever has been there longest without having shown to be worth its place ([`Seat::keep`]: a
//!   login, a whole message) makes room. So connections that are opened and left lying keep nobody out, and nobody who is at
//!   work is turned out.

use crate::limits::{ADMISSION_IPV4_PREFIX_BITS, ADMISSION_LEAVING_MAX};
use crate::serve::{AdmissionLimits, Service};
use event_listener::Event;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Counts sessions. Cheap to clone; shared by all listeners.
#[derive(Clone)]
pub struct Admission {
    counts: Arc<Mutex<Counts>>,
    /// Sessions of all services together: each holds a file descriptor.
    sessions_max: usize,
}

#[derive(Default)]
struct Counts {
    all: usize,
    per_service: HashMap<Service, usize>,
    /// Bounded: entries at zero are removed, so there are never more than sessions.
    per_peer: HashMap<(Service, Network), usize>,
    /// Those who may be turned out, in the order they came.
    guests: HashMap<Service, BTreeMap<u64, Arc<Exit>>>,
    next_number: u64,
    /// Those who were turned out and have not gone yet; they are in no count but that of their peer.
    leaving: usize,
}

/// How a session learns that it has been turned out.
#[derive(Default)]
struct Exit {
    shown: AtomicBool,
    event: Event,
}

/// A session's hold on its place. The default has none and can lose none.
#[derive(Clone, Default)]
pub struct Seat(Option<Hold>);

#[derive(Clone)]
struct Hold {
    counts: Arc<Mutex<Counts>>,
    service: Service,
    number: u64,
    exit: Arc<Exit>,
}

impl Seat {
    /// From now on this session is not turned out.
    pub fn keep(&self) {
        if let Some(Hold { counts, service, number, .. }) = &self.0
            && let Some(guests) = lock(counts).guests.get_mut(service)
        {
            guests.remove(number);
        }
    }

    /// Returns when the session has been turned out. Cancel-safe.
    pub async fn turned_out(&self) {
        let Some(Hold { exit, .. }) = &self.0 else { return std::future::pending().await };
        loop {
            let listener = exit.event.listen();
            if exit.shown.load(Ordering::Acquire) {
                return;
            }
            listener.await;
        }
    }
}

/// Why a connection is not taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The whole node has as many sessions as it has descriptors for.
    Full,
    /// The service has as many as it may.
    ServiceFull,
    /// The peer's network has as many as it may.
    PeerFull,
    /// The peer's network goes on guessing passwords.
    Guessing,
}

/// A place for one session, given back when dropped.
pub struct Ticket {
    counts: Arc<Mutex<Counts>>,
    service: Service,
    network: Network,
    number: u64,
    exit: Arc<Exit>,
}

/// A range of addresses as the owner writes it: `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    prefix_bits: u32,
}

impl std::str::FromStr for AddressRange {
    type Err = ();

    fn from_str(text: &str) -> Result<AddressRange, ()> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let first = address.parse::<IpAddr>().map_err(|_| ())?.to_canonical();
        let width = if first.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.map_or(Ok(width), str::parse).map_err(|_| ())?;
        if prefix_bits <= width { Ok(AddressRange { first, prefix_bits }) } else { Err(()) }
    }
}

impl AddressRange {
    /// Whether an address is in it. An IPv4-mapped IPv6 address is the IPv4 address it stands for.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shifted = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()).checked_shr(32 - self.prefix_bits.min(32)).unwrap_or(0),
            IpAddr::V6(v6) => v6.to_bits().checked_shr(128 - self.prefix_bits.min(128)).unwrap_or(0),
        };
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && shifted(address) == shifted(self.first)
    }
}

/// Addresses that count as one peer, by the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of a peer: an IPv6 /64, which is what one household gets, or an IPv4 network with a prefix of that many
    /// bits. An IPv4-mapped IPv6 address is the IPv4 address it stands for.
    pub fn of(peer: IpAddr, ipv4_prefix_bits: u32) -> Network {
        match peer.to_canonical() {
            IpAddr::V4(v4) => {
                let host_bits = 32u32.saturating_sub(ipv4_prefix_bits);
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                Network(IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask)))
            }
            IpAddr::V6(v6) => Network(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))),
        }
    }

    /// Its first address.
    pub fn first(self) -> IpAddr {
        self.0
    }
}

impl Admission {
    /// Nobody there yet. `sessions_max`: of all services together.
    pub fn new(sessions_max: usize) -> Admission {
        Admission { counts: Arc::default(), sessions_max }
    }

    /// Takes a place, or says why there is none.
    pub fn admit(&self, service: Service, peer: IpAddr, limits: AdmissionLimits) -> Result<Ticket, Refusal> {
        self.admit_as(service, Network::of(peer, ADMISSION_IPV4_PREFIX_BITS), limits)
    }

    /// Takes a place for a connection of a front: whose it is, is not known before [`Ticket::pass_on`].
    pub fn admit_front(&self, service: Service, front: IpAddr, limits: AdmissionLimits) -> Result<Ticket, Refusal> {
        let of_service = AdmissionLimits { sessions_per_peer: usize::MAX, ..limits };
        self.admit_as(service, Network::of(front, ADMISSION_IPV4_PREFIX_BITS), of_service)
    }

    fn admit_as(&self, service: Service, network: Network, limits: AdmissionLimits) -> Result<Ticket, Refusal> {
        let mut counts = lock(&self.counts);
        if counts.per_peer.get(&(service, network)).copied().unwrap_or(0) >= limits.sessions_per_peer {
            return Err(Refusal::PeerFull);
        }
        if counts.all >= self.sessions_max && !counts.turn_one_out(service, self.leaving_max()) {
            return Err(Refusal::Full);
        }
        let service_full = counts.per_service.get(&service).copied().unwrap_or(0) >= limits.sessions_per_service;
        if service_full && !counts.turn_one_out(service, self.leaving_max()) {
            return Err(Refusal::ServiceFull);
        }
        counts.all += 1;
        *counts.per_service.entry(service).or_default() += 1;
        *counts.per_peer.entry((service, network)).or_default() += 1;
        let (number, exit) = (counts.next_number, Arc::<Exit>::default());
        counts.next_number += 1;
        counts.guests.entry(service).or_default().insert(number, exit.clone());
        Ok(Ticket { counts: self.counts.clone(), service, network, number, exit })
    }

    /// How many may have been turned out and not be gone yet: their descriptors are above the sessions' own.
    fn leaving_max(&self) -> usize {
        ADMISSION_LEAVING_MAX.min(self.sessions_max / 8)
    }

    /// Whether somebody was turned out and has not gone yet.
    pub fn is_anyone_leaving(&self) -> bool {
        lock(&self.counts).leaving > 0
    }

    /// Sessions of all services now.
    pub fn sessions(&self) -> usize {
        lock(&self.counts).all
    }
}

impl Counts {
    /// Turns out who has been there longest without having shown to be worth it. False: there is nobody, or too many have not
    /// gone yet.
    fn turn_one_out(&mut self, service: Service, leaving_max: usize) -> bool {
        if self.leaving >= leaving_max {
            return false;
        }
        let Some((_, exit)) = self.guests.get_mut(&service).and_then(BTreeMap::pop_first) else { return false };
        self.leaving += 1;
        self.all = self.all.saturating_sub(1);
        give_back(&mut self.per_service, service);
        exit.shown.store(true, Ordering::Release);
        exit.event.notify(usize::MAX);
        true
    }
}

impl Ticket {
    /// The hold that its session has on the place.
    pub fn seat(&self) -> Seat {
        let (counts, exit) = (self.counts.clone(), self.exit.clone());
        Seat(Some(Hold { counts, service: self.service, number: self.number, exit }))
    }

    /// The place is the client's on whose behalf a front connected, or there is none for it.
    pub fn pass_on(&mut self, client: IpAddr, limits: AdmissionLimits) -> Result<(), Refusal> {
        let network = Network::of(client, ADMISSION_IPV4_PREFIX_BITS);
        let mut counts = lock(&self.counts);
        if counts.per_peer.get(&(self.service, network)).copied().unwrap_or(0) >= limits.sessions_per_peer {
            return Err(Refusal::PeerFull);
        }
        give_back(&mut counts.per_peer, (self.service, self.network));
        *counts.per_peer.entry((self.service, network)).or_default() += 1;
        drop(counts);
        self.network = network;
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if self.exit.shown.load(Ordering::Acquire) {
            counts.leaving = counts.leaving.saturating_sub(1);
        } else {
            counts.all = counts.all.saturating_sub(1);
            give_back(&mut counts.per_service, self.service);
        }
        if let Some(guests) = counts.guests.get_mut(&self.service) {
            guests.remove(&self.number);
        }
        give_back(&mut counts.per_peer, (self.service, self.network));
    }
}

impl Refusal {
    /// What to tell the peer before closing: temporary, in the words of its protocol.
    pub fn line(self, service: Service) -> &'static [u8] {
        match (service, self) {
            // RFC 5321 section 3.1 and 3.8: 421 instead of a greeting; RFC 3463: 4.7.0 policy, 4.3.2 not accepting now.
            (Service::Mx | Service::Submission, Refusal::PeerFull) => {
                b"421 4.7.0 Too many connections from your network, try again later\r\n"
            }
            (Service::Mx | Service::Submission, Refusal::Guessing) => {
                b"421 4.7.0 Too many failed logins from your network, try again later\r\n"
            }
            (Service::Imap, Refusal::Guessing) => b"* BYE [UNAVAILABLE] Too many failed logins, try again later\r\n",
            (Service::Pop3, Refusal::Guessing) => b"-ERR [SYS/TEMP] Too many failed logins, try again later\r\n",
            (Service::Mx | Service::Submission, _) => b"421 4.3.2 Too many connections, try again later\r\n",
            // RFC 3501 section 7.1.5: BYE instead of a greeting; RFC 5530: UNAVAILABLE is temporary.
            (Service::Imap, _) => b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n",
            // Before TLS there are no words.
            (Service::Web, _) => b"",
            // RFC 3206 section 4: SYS/TEMP is temporary and no fault of the login.
            (Service::Pop3, _) => b"-ERR [SYS/TEMP] Too many connections, try again later\r\n",
        }
    }
}

/// The counts stay true even when a thread has died holding the lock: every change is complete before anything can fail.
fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn give_back<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AdmissionLimits = AdmissionLimits { sessions_per_service: 3, sessions_per_peer: 2 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_network_cannot_take_everything() {
        let admission = Admission::new(10);
        let kept = |service, peer| {
            let ticket = admission.admit(service, ip(peer), LIMITS)?;
            ticket.seat().keep();
            Ok::<_, Refusal>(ticket)
        };
        let a = kept(Service::Imap, "2001:db8::1").unwrap();
        let _b = kept(Service::Imap, "2001:db8::2").unwrap();
        assert_eq!(admission.admit(Service::Imap, ip("2001:db8::3"), LIMITS).err(), Some(Refusal::PeerFull));
        let _other_service = admission.admit(Service::Mx, ip("2001:db8::3"), LIMITS).unwrap();
        let _other_network = kept(Service::Imap, "2001:db8:0:1::1").unwrap();
        assert_eq!(admission.admit(Service::Imap, ip("192.0.2.1"), LIMITS).err(), Some(Refusal::ServiceFull));
        drop(a);
        admission.admit(Service::Imap, ip("2001:db8::3"), LIMITS).unwrap();
    }

    #[test]
    fn the_node_as_a_whole_is_bounded() {
        let admission = Admission::new(1);
        let _ticket = admission.admit(Service::Mx, ip("192.0.2.1"), LIMITS).unwrap();
        // Of another service nobody is turned out.
        assert_eq!(admission.admit(Service::Pop3, ip("192.0.2.2"), LIMITS).err(), Some(Refusal::Full));
    }

    #[test]
    fn a_mapped_address_is_the_address_it_stands_for() {
        let network = |text| Network::of(ip(text), ADMISSION_IPV4_PREFIX_BITS);
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn who_does_nothing_makes_room_for_others() {
        let admission = Admission::new(1000);
        let admit = |n: u8| admission.admit(Service::Imap, IpAddr::from([192, 0, 2, n]), LIMITS);
        let is_out = |ticket: &Ticket| {
            let seat = ticket.seat();
            smol::block_on(smol::future::poll_once(seat.turned_out())).is_some()
        };
        let (worker, idle, new) = (admit(1).unwrap(), admit(2).unwrap(), admit(3).unwrap());
        worker.seat().keep();
        let next = admit(4).unwrap();
        assert_eq!([&worker, &idle, &new, &next].map(is_out), [false, true, false, false]);
        assert_eq!(admission.sessions(), 3);
        drop(idle);
        assert_eq!(admission.sessions(), 3);
        new.seat().keep();
        next.seat().keep();
        assert_eq!(admit(5).err(), Some(Refusal::ServiceFull), "all are at work");
        drop(worker);
        // Those who are slow to go are not many.
        let mut slow: Vec<Ticket> = (0..=ADMISSION_LEAVING_MAX as u8).map(|n| admit(100 + n).unwrap()).collect();
        assert_eq!(admit(200).err(), Some(Refusal::ServiceFull));
        slow.remove(0);
        admit(200).unwrap();
        drop((slow, new, next));
        let counts = lock(&admission.counts);
        assert!(counts.all == 0 && counts.leaving == 0 && counts.guests.values().all(BTreeMap::is_empty));
    }

    #[test]
    fn a_front_brings_many_peers() {
        let admission = Admission::new(10);
        let front = |client: &str| {
            let mut ticket = admission.admit_front(Service::Mx, ip("10.0.0.1"), LIMITS)?;
            ticket.pass_on(ip(client), LIMITS)?;
            Ok(ticket)
        };
        let _a = front("192.0.2.1").unwrap();
        let b = front("192.0.2.1").unwrap();
        assert_eq!(front("192.0.2.1").err(), Some(Refusal::PeerFull));
        let _c = front("192.0.2.2").unwrap();
        drop(b);
        let _d = front("192.0.2.1").unwrap();
        assert_eq!(lock(&admission.counts).per_peer.len(), 2);
    }

    #[test]
    fn ranges_of_addresses() {
        let contains = |range: &str, address: &str| range.parse::<AddressRange>().unwrap().contains(ip(address));
        for (range, inside, outside) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("10.0.0.0/8", "::ffff:10.9.8.7", "11.0.0.1"),
            ("10.1.2.3/8", "10.9.8.7", "::a09:807"),
            ("2001:db8::/32", "2001:db8:f::1", "2001:db9::1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("0.0.0.0/0", "192.0.2.1", "::1"),
            ("::/0", "::1", "192.0.2.1"),
        ] {
            assert!(contains(range, inside) && !contains(range, outside), "{range}");
        }
        for text in ["", "192.0.2.1/33", "192.0.2/24", "::/129", "10.0.0.0/", "10.0.0.0/x", "example.org"] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn dropped_tickets_leave_nothing() {
        let admission = Admission::new(10);
        let tickets: Vec<_> =
            (1..4).map(|n| admission.admit(Service::Mx, IpAddr::from([192, 0, 2, n]), LIMITS).unwrap()).collect();
        assert_eq!(admission.sessions(), 3);
        drop(tickets);
        let counts = lock(&admission.counts);
        assert!(counts.all == 0 && counts.per_service.is_empty() && counts.per_peer.is_empty());
    }

    #[test]
    fn refusals_are_temporary_and_one_line() {
        for refusal in [Refusal::Full, Refusal::ServiceFull, Refusal::PeerFull, Refusal::Guessing] {
            for (service, start) in [
                (Service::Mx, "421 4."),
                (Service::Submission, "421 4."),
                (Service::Imap, "* BYE ["),
                (Service::Pop3, "-ERR [SYS/TEMP] "),
            ] {
                let line = std::str::from_utf8(refusal.line(service)).unwrap();
                assert!(line.starts_with(start) && line.ends_with("\r\n") && line.matches('\n').count() == 1);
            }
        }
    }
}
