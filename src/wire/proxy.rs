//! The header that a front (a load balancer, a tunnel) writes before the bytes of the connection it passes on: the PROXY
//! protocol of haproxy, versions 1 and 2 (proxy-protocol.txt, 2020/03/05).
//!
//! Receives the first bytes of a connection; hands on whose it is, or how many more bytes to read. Reading exactly as many as
//! [`look`] asks for never takes a byte of what comes after the header. Not who may send one: that is the caller's to know,
//! because whoever may can be anybody.

use crate::limits::PROXY_V2_BYTES_MAX;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The connection of this client, made to this address.
    Client {
        /// Whose.
        client: SocketAddr,
        /// To where.
        server: SocketAddr,
    },
    /// The front's own connection (a health check), or one of which it cannot say whose.
    Front,
}

/// What is to be done with the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Read this many more bytes, or fewer, and look again.
    More(usize),
    /// All of them are the header.
    Done(Header),
}

/// It is no header of either version, or it breaks its rules: close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

const V1_BEGINNING: &[u8] = b"PROXY ";
/// Of the longest line, with CRLF (section 2.1).
const V1_BYTES_MAX: usize = 107;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;

/// Looks at the first bytes of a connection.
///
/// # Errors
/// As soon as they cannot be the beginning of a header.
pub fn look(bytes: &[u8]) -> Result<Look, Malformed> {
    // The shortest header is longer than this, so that it is no part of what follows.
    if bytes.is_empty() {
        return Ok(Look::More(V2_SIGNATURE.len()));
    }
    let agrees = |with: &[u8]| bytes.iter().zip(with).all(|(byte, wanted)| byte == wanted);
    if agrees(V2_SIGNATURE) {
        return look_v2(bytes);
    }
    match agrees(V1_BEGINNING) {
        true => look_v1(bytes),
        false => Err(Malformed),
    }
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` and CRLF.
fn look_v1(bytes: &[u8]) -> Result<Look, Malformed> {
    // From there on byte by byte.
    if bytes.len() < V2_SIGNATURE.len() {
        return Ok(Look::More(V2_SIGNATURE.len() - bytes.len()));
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        let may_go_on = bytes.len() < V1_BYTES_MAX && !bytes.contains(&b'\n');
        return if may_go_on { Ok(Look::More(1)) } else { Err(Malformed) };
    };
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err(Malformed);
    }
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().ok_or(Malformed)?;
    // What follows UNKNOWN means nothing (section 2.1).
    if family == "UNKNOWN" {
        return Ok(Look::Done(Header::Front));
    }
    let mut word = || words.next().ok_or(Malformed);
    let (from, to, from_port, to_port) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(Malformed);
    }
    let address = |text: &str| -> Result<IpAddr, Malformed> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Malformed),
            "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    };
    let client = SocketAddr::new(address(from)?, parse_port(from_port)?);
    let server = SocketAddr::new(address(to)?, parse_port(to_port)?);
    Ok(Look::Done(Header::Client { client, server }))
}

/// Decimal, without leading zeros or signs.
fn parse_port(text: &str) -> Result<u16, Malformed> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Malformed)
}

/// Signature, version and command, family and protocol, length; then addresses, then what else the front wants to tell, which
/// is passed over.
fn look_v2(bytes: &[u8]) -> Result<Look, Malformed> {
    let Some((fixed, rest)) = bytes.split_at_checked(V2_FIXED_BYTES) else {
        return Ok(Look::More(V2_FIXED_BYTES - bytes.len()));
    };
    let &[.., command, family, high, low] = fixed else { return Err(Malformed) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > PROXY_V2_BYTES_MAX {
        return Err(Malformed);
    }
    if rest.len() < length {
        return Ok(Look::More(length - rest.len()));
    }
    let header = match (command, family) {
        (0x20, _) => Header::Front,
        (0x21, 0x11) => {
            let (addresses, _) = rest.split_first_chunk::<12>().ok_or(Malformed)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
            client_of(Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into(), ports)
        }
        (0x21, 0x21) => {
            let (from, after) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
            let (to, after) = after.split_first_chunk::<16>().ok_or(Malformed)?;
            let (ports, _) = after.split_first_chunk::<4>().ok_or(Malformed)?;
            client_of(Ipv6Addr::from(*from).into(), Ipv6Addr::from(*to).into(), *ports)
        }
        // UNSPEC, datagrams, Unix sockets: allowed, and of no address that we could use (section 2.2).
        (0x21, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Header::Front,
        _ => return Err(Malformed),
    };
    Ok(Look::Done(header))
}

fn client_of(from: IpAddr, to: IpAddr, [a, b, c, d]: [u8; 4]) -> Header {
    Header::Client {
        client: SocketAddr::new(from, u16::from_be_bytes([a, b])),
        server: SocketAddr::new(to, u16::from_be_bytes([c, d])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes of a connection that begins with these bytes, and how many of them are left for what follows.
    fn read(bytes: &[u8]) -> Result<(Header, usize), Malformed> {
        let mut taken = 0;
        loop {
            match look(&bytes[..taken])? {
                Look::Done(header) => return Ok((header, bytes.len() - taken)),
                Look::More(more) if taken + more <= bytes.len() => taken += more,
                Look::More(_) => return Err(Malformed),
            }
        }
    }

    fn client(client: &str, server: &str) -> Header {
        Header::Client { client: client.parse().unwrap(), server: server.parse().unwrap() }
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        [V2_SIGNATURE, &[command, family][..], &length, payload].concat()
    }

    #[test]
    fn version_1() {
        let four = client("192.0.2.1:56324", "198.51.100.1:443");
        assert_eq!(read(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nEHLO x\r\n"), Ok((four, 8)));
        let six = client("[2001:db8::1]:1", "[2001:db8::2]:25");
        assert_eq!(read(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n"), Ok((six, 0)));
        assert_eq!(read(b"PROXY UNKNOWN\r\nx"), Ok((Header::Front, 1)));
        assert_eq!(read(b"PROXY UNKNOWN ffff::1 what ever 1 2\r\n"), Ok((Header::Front, 0)));
        for line in [
            "PROXY\r\n",
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
            "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n",
            "EHLO far.example.\r\n",
            "PROXY UNKNOWN \r x\r\n",
        ] {
            assert_eq!(read(line.as_bytes()), Err(Malformed), "{line}");
        }
        let endless = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX));
        assert_eq!(look(&endless.as_bytes()[..V1_BYTES_MAX]), Err(Malformed));
    }

    #[test]
    fn version_2() {
        let addresses = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187];
        let four = client("192.0.2.1:56324", "198.51.100.1:443");
        assert_eq!(read(&v2(0x21, 0x11, &addresses)), Ok((four, 0)));
        let with_more = [&addresses[..], &[4, 0, 2, 0, 0]].concat();
        assert_eq!(read(&[&v2(0x21, 0x11, &with_more)[..], b"\x16\x03"].concat()), Ok((four, 2)));
        let six: Vec<u8> = (0..32).chain([0, 1, 0, 2]).collect();
        let said = client("[1:203:405:607:809:a0b:c0d:e0f]:1", "[1011:1213:1415:1617:1819:1a1b:1c1d:1e1f]:2");
        assert_eq!(read(&v2(0x21, 0x21, &six)), Ok((said, 0)));
        for (command, family) in [(0x20, 0), (0x20, 0x11), (0x21, 0), (0x21, 0x12), (0x21, 0x31)] {
            assert_eq!(read(&v2(command, family, &[])), Ok((Header::Front, 0)));
        }
        for (command, family, bytes) in [
            (0x21, 0x11, 11),
            (0x21, 0x21, 35),
            (0x11, 0x11, 12),
            (0x22, 0x11, 12),
            (0x21, 0x41, 99),
            (0x20, 0, PROXY_V2_BYTES_MAX + 1),
        ] {
            assert_eq!(read(&v2(command, family, &vec![0; bytes])), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn nothing_behind_a_header_is_taken(rest in proptest::collection::vec(any::<u8>(), 0..40), port in any::<u16>(), six in any::<bool>()) {
            let family = if six { "TCP6 ::1 ::2" } else { "TCP4 127.0.0.1 127.0.0.2" };
            let line = format!("PROXY {family} {port} 25\r\n");
            let (_, left) = read(&[line.as_bytes(), &rest].concat()).unwrap();
            prop_assert_eq!(left, rest.len());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), v2 in any::<bool>()) {
            let beginning = if v2 { &V2_SIGNATURE[..] } else { V1_BEGINNING };
            let _ = read(&bytes);
            let _ = read(&[beginning, &bytes].concat());
        }
    }
}
