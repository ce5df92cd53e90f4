//! The addresses of this machine that the world can reach, as its interfaces have them.

use crate::limits::INTERFACE_FILE_BYTES_MAX;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where Linux lists its IPv6 addresses with their flags.
const INET6: &str = "/proc/net/if_inet6";
/// RFC 8981: an address that changes every day. `linux/if_addr.h`
const TEMPORARY: u8 = 0x01;
/// RFC 4862 section 5.5.4: about to go.
const DEPRECATED: u8 = 0x20;

/// Those of all interfaces, IPv4 first; none of a private network, none that changes every day.
pub fn global_addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let all = getifaddrs().into_iter().flatten().filter_map(|interface| interface.address);
    found.extend(all.filter_map(|address| address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()))));
    let mut text = String::new();
    // Without the list there are no such interfaces, or this is no Linux; --address says them then.
    let read = File::open(INET6).and_then(|file| file.take(INTERFACE_FILE_BYTES_MAX).read_to_string(&mut text));
    found.extend(read.map(|_| lasting(&text)).unwrap_or_default().into_iter().map(IpAddr::V6));
    found.retain(is_global);
    found.dedup();
    found
}

/// Those of all interfaces, whatever they are good for.
pub fn own_addresses() -> Vec<IpAddr> {
    let all = getifaddrs().into_iter().flatten().filter_map(|interface| interface.address);
    let of = |address: SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    all.filter_map(of).collect()
}

/// `ADDRESS INDEX PREFIX SCOPE FLAGS NAME`, all but the name in hexadecimal.
fn lasting(text: &str) -> Vec<Ipv6Addr> {
    let read = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, _, flags, _] = words.as_slice() else { return None };
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let address = u128::from_str_radix(address, 16).ok()?;
        (flags & (TEMPORARY | DEPRECATED) == 0).then(|| Ipv6Addr::from(address))
    };
    text.lines().filter_map(read).collect()
}

fn is_global(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            // RFC 6598: behind the provider's own address translation.
            let is_shared = a == 100 && (64..128).contains(&b);
            let is_special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation();
            !(is_shared || is_special || ip.is_unspecified() || ip.is_broadcast() || *ip >= Ipv4Addr::new(224, 0, 0, 0))
        }
        // RFC 4291 section 2.5.4: what is given out so far.
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000 && ip.segments()[..2] != [0x2001, 0x0db8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_and_can_be_reached() {
        let text = "20010db8000000000000000000000001 02 40 00 80     eth0\n\
                    20010db8000000000000000000000002 02 40 00 01     eth0\n\
                    20010db8000000000000000000000003 02 40 00 20     eth0\nnonsense\n";
        assert_eq!(lasting(text), ["2001:db8::1".parse::<Ipv6Addr>().unwrap()]);
        for (address, wanted) in [
            ("9.9.9.9", true),
            ("192.168.1.2", false),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("224.0.0.1", false),
            ("2620:fe::fe", true),
            ("fe80::1", false),
            ("fd00::1", false),
            ("2001:db8::1", false),
            ("::1", false),
        ] {
            assert_eq!(is_global(&address.parse().unwrap()), wanted, "{address}");
        }
        global_addresses();
        assert!(own_addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
