//! `hauspost clock`: asks servers for the time, and sets this machine's clock by them. For boards without a battery, on systems
//! that have no other program for it.
//!
//! A process of its own, as root, that asks and ends: it keeps nothing, and the node needs no right to set clocks.

use crate::limits::{CLOCK_ANSWER_SECONDS_MAX, CLOCK_SERVERS_MAX, CLOCK_TOLERANCE_MILLISECONDS};
use crate::net::Net;
use crate::node::command::{Clock, print};
use crate::node::failure::{Exit, Failure};
use crate::order;
use crate::wire::date::Timestamp;
use crate::wire::ntp::{PACKET_BYTES, behind_milliseconds, encode_question, parse_answer};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

const PORT: u16 = 123;
/// Whatever our own clock says: it is not 1970 any more, and until 2106 that is enough to know the era by.
const EARLIEST: Timestamp = Timestamp(0);

/// Asks, and sets the clock if that is wanted and it is off.
pub fn run(arguments: &Clock) -> Result<(), Failure> {
    let net = Net::system(None).map_err(|e| Failure::new(Exit::System, format!("the network: {e}")))?;
    let mut found = Vec::new();
    for server in arguments.servers.iter().flat_map(|name| addresses_of(name)).take(CLOCK_SERVERS_MAX) {
        match ask(&net, server) {
            Ok(behind) => found.push(behind),
            Err(e) => log::info!("event=no-time server={server} reason={:?}", e.to_string()),
        }
    }
    let behind = median(found)
        .ok_or_else(|| Failure::new(Exit::Findings, "no server told the time; the log level info says why"))?;
    if arguments.set && behind.abs() >= CLOCK_TOLERANCE_MILLISECONDS {
        set_clock(Timestamp(net.clock().now().0.saturating_add(behind)))?;
        return print(&format!("the clock was {} and is set\n", wording(behind)));
    }
    print(&format!("the clock is {}\n", wording(behind)))
}

fn wording(behind: i64) -> String {
    let direction = if behind < 0 { "fast" } else { "slow" };
    format!("{}.{:03} s {direction}", behind.unsigned_abs() / 1000, behind.unsigned_abs() % 1000)
}

/// A name stands for all its addresses, `host:port` for another port than NTP's.
fn addresses_of(name: &str) -> Vec<SocketAddr> {
    let found = name.to_socket_addrs().or_else(|_| (name, PORT).to_socket_addrs());
    match found {
        Ok(found) => found.collect(),
        Err(e) => {
            log::info!("event=no-time server={name} reason={:?}", e.to_string());
            Vec::new()
        }
    }
}

/// How far the clock is behind the server's, in milliseconds.
fn ask(net: &Net, server: SocketAddr) -> io::Result<i64> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    // Only this server's packets come in.
    socket.connect(server)?;
    let nonce = u64::from_be_bytes(net.random()?);
    let asked = net.clock().now();
    socket.send(&encode_question(nonce))?;
    let deadline = Instant::now() + Duration::from_secs(CLOCK_ANSWER_SECONDS_MAX);
    let mut packet = [0; PACKET_BYTES];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut packet)?;
        let got = net.clock().now();
        match parse_answer(&packet[..length], nonce, EARLIEST) {
            Ok(times) => return Ok(behind_milliseconds(times, asked, got)),
            // Somebody else's packet: the answer may still come.
            Err(useless) => log::debug!("event=useless-time server={server} reason={useless:?}"),
        }
    }
}

/// The middle one: with three servers or more a single liar does not count.
fn median(mut found: Vec<i64>) -> Option<i64> {
    order::sort(&mut found);
    found.get(found.len() / 2).copied()
}

fn set_clock(now: Timestamp) -> Result<(), Failure> {
    let time = TimeSpec::from_duration(Duration::from_millis(u64::try_from(now.0).unwrap_or(0)));
    clock_settime(ClockId::CLOCK_REALTIME, time)
        .map_err(|e| Failure::new(Exit::System, format!("cannot set the clock: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A server on loopback whose clock is an hour ahead, and which first sends what is no answer.
    fn server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut question = [0; PACKET_BYTES];
            let (_, peer) = socket.recv_from(&mut question).unwrap();
            socket.send_to(b"noise", peer).unwrap();
            let now = crate::net::Clock::system().now().0 / 1000 + 3600 + 2_208_988_800;
            let stamp = (now as u64) << 32;
            let mut answer = [0; PACKET_BYTES];
            (answer[0], answer[1]) = (0b00_100_100, 1);
            answer[24..32].copy_from_slice(&question[40..48]);
            answer[32..40].copy_from_slice(&stamp.to_be_bytes());
            answer[40..48].copy_from_slice(&stamp.to_be_bytes());
            socket.send_to(&answer, peer).unwrap();
        });
        address
    }

    #[test]
    fn a_server_is_asked_and_noise_is_passed_over() {
        let net = Net::system(None).unwrap();
        let behind = ask(&net, server()).unwrap();
        assert!((behind - 3_600_000).abs() < 5_000, "{behind}");
    }

    #[test]
    fn one_liar_among_three_does_not_count() {
        assert_eq!(median(vec![5, -90_000_000, 7]), Some(5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn what_is_told_has_a_direction() {
        assert_eq!(wording(1_250), "1.250 s slow");
        assert_eq!(wording(-40), "0.040 s fast");
    }
}
