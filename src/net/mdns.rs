//! Answers in the home network whoever asks for this machine by its name there ([`crate::wire::mdns`]).
//!
//! Listens by IPv4 on every interface and tells the addresses of the one that a question came in by. Who is not in one of its networks
//! gets no answer (RFC 6762 section 11), and everybody together one in a second at most (section 6).

use crate::limits::{MDNS_PACKET_BYTES_MAX, MDNS_PAUSE_SECONDS};
use crate::net::{Clock, NetworkChanges};
use crate::wire::mdns::{GROUP, PORT, encode_answer, parse_question};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{SockaddrStorage, setsockopt, sockopt};
use smol::Async;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Hops: answers stay on the link whatever it says, and 255 is what some ask for (section 11).
const HOPS: u32 = 255;

/// One interface: where it is, how large its network is, all its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Interface {
    v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    addresses: Vec<IpAddr>,
}

/// Answers until it is dropped. Nothing that comes in ends it; a port that is taken is said in the log.
pub async fn answer_for(name: &str, clock: &Clock, mut changes: NetworkChanges) {
    let socket = match open() {
        Ok(socket) => socket,
        Err(error) => return log::warn!("event=name-not-answered name={name} reason={:?}", error.to_string()),
    };
    log::info!("event=answering name={name}");
    let mut packet = [0; MDNS_PACKET_BYTES_MAX];
    let pause = Duration::from_secs(MDNS_PAUSE_SECONDS);
    let mut answered = None;
    join(&socket);
    loop {
        let heard = async { Some(socket.recv_from(&mut packet).await) };
        let changed = async {
            changes.next().await;
            None
        };
        let Some(heard) = smol::future::or(heard, changed).await else {
            join(&socket);
            continue;
        };
        let Ok((length, peer)) = heard else {
            clock.sleep(pause).await;
            continue;
        };
        let now = clock.steady();
        if answered.is_some_and(|at: Duration| now.saturating_sub(at) < pause) {
            continue;
        }
        let Some((from, to, answer)) = answer(&packet[..length], peer, name, &interfaces()) else { continue };
        answered = Some(now);
        if let Err(error) = send(&socket, from, to, &answer).await {
            log::debug!("event=name-not-told peer={peer} reason={:?}", error.to_string());
        }
    }
}

fn open() -> io::Result<Async<UdpSocket>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Other programs of this machine may listen too.
    socket.set_reuse_address(true)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    socket.set_multicast_ttl_v4(HOPS)?;
    socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))))?;
    socket.set_nonblocking(true)?;
    Async::new_nonblocking(socket.into())
}

/// Joins on every interface that has come up since; joining again is refused and changes nothing.
fn join(socket: &Async<UdpSocket>) {
    for (address, _) in interfaces().iter().flat_map(|interface| &interface.v4) {
        let _ = socket.get_ref().join_multicast_v4(&GROUP, address);
    }
}

async fn send(socket: &Async<UdpSocket>, from: Ipv4Addr, to: SocketAddr, answer: &[u8]) -> io::Result<()> {
    socket2::SockRef::from(socket.get_ref()).set_multicast_if_v4(&from)?;
    socket.send_to(answer, to).await.map(drop)
}

/// What is said, to whom, and by which interface.
fn answer(
    packet: &[u8],
    peer: SocketAddr,
    name: &str,
    interfaces: &[Interface],
) -> Option<(Ipv4Addr, SocketAddr, Vec<u8>)> {
    let IpAddr::V4(asking) = peer.ip() else { return None };
    let is_near = |(address, mask): &&(Ipv4Addr, Ipv4Addr)| {
        address.to_bits() & mask.to_bits() == asking.to_bits() & mask.to_bits()
    };
    let (interface, (from, _)) =
        interfaces.iter().find_map(|interface| Some((interface, interface.v4.iter().find(is_near)?)))?;
    let question = parse_question(packet, name, peer.port())?;
    Some((*from, question.destination(peer), encode_answer(&question, name, &interface.addresses)?))
}

/// The interfaces of this machine that are up and are no loopback.
fn interfaces() -> Vec<Interface> {
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in getifaddrs().into_iter().flatten() {
        if !entry.flags.contains(InterfaceFlags::IFF_UP) || entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let v4 = |address: Option<SockaddrStorage>| Some(address?.as_sockaddr_in()?.ip());
        let v6 = entry.address.and_then(|address| Some(address.as_sockaddr_in6()?.ip()));
        let interface = found.entry(entry.interface_name).or_default();
        if let (Some(address), Some(mask)) = (v4(entry.address), v4(entry.netmask)) {
            interface.v4.push((address, mask));
            interface.addresses.push(address.into());
        }
        // An address of the link alone means nothing without the name of the asker's own interface.
        interface.addresses.extend(v6.filter(|ip| !ip.is_unicast_link_local()).map(IpAddr::from));
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "hauspost.local";
    const QUESTION: &[u8] =
        b"\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08hauspost\x05local\x00\x00\x01\x00\x01";

    fn interface(address: &str) -> Interface {
        let v4 = address.parse().unwrap();
        Interface { v4: vec![(v4, Ipv4Addr::new(255, 255, 255, 0))], addresses: vec![v4.into()] }
    }

    #[test]
    fn the_answer_names_the_interface_that_the_question_came_in_by() {
        let both = [interface("192.168.1.7"), interface("10.0.0.7")];
        let (from, to, bytes) = answer(QUESTION, "10.0.0.3:5353".parse().unwrap(), NAME, &both).unwrap();
        assert_eq!(from, Ipv4Addr::new(10, 0, 0, 7));
        assert_eq!(to, SocketAddr::from((GROUP, PORT)));
        assert!(bytes.ends_with(&[10, 0, 0, 7]));
    }

    #[test]
    fn who_is_not_in_the_house_gets_no_answer() {
        let one = [interface("192.168.1.7")];
        assert!(answer(QUESTION, "192.168.2.3:5353".parse().unwrap(), NAME, &one).is_none());
        assert!(answer(QUESTION, "[fd00::3]:5353".parse().unwrap(), NAME, &one).is_none());
    }
}
