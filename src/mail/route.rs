//! Where mail for a domain goes: hosts in order, addresses in order, or why nowhere (RFC 5321 section 5, RFC 7505).
//!
//! Receives what DNS answered and a random number; hands on what to try. Asks nobody, connects to nothing, and knows no
//! smarthost: with one there is nothing to decide. A name that is this node itself is never handed on.

use crate::limits::RELAY_HOSTS_MAX;
use crate::mail::bounce::Reason;
use crate::order;
use crate::wire::address::Domain;
use crate::wire::smtp::client::{Answer, Status};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What DNS said to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked<T> {
    /// These records; none is an answer too.
    Found(Vec<T>),
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// No answer; the text says why.
    Temporary(String),
}

/// A host that takes mail for a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exchange {
    /// Lowest is tried first.
    pub preference: u16,
    /// Its name.
    pub host: Domain,
}

/// Why mail cannot go anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// For good.
    Never(Answer),
    /// For now.
    Later(Reason),
}

/// The names by which this node is known in mail transactions (RFC 5321 section 5.1).
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// Its host name.
    pub hostname: &'a Domain,
    /// Domains it receives for.
    pub domains: &'a [Domain],
}

impl Own<'_> {
    fn is(&self, host: &Domain) -> bool {
        host == self.hostname || self.domains.contains(host)
    }
}

/// The hosts for a domain, best first, equals by name: the same answer gives the same list. At least one.
pub fn route_domain(domain: &Domain, looked: Looked<Exchange>, own: Own<'_>) -> Result<Vec<Exchange>, Blocked> {
    let mut exchanges = match looked {
        Looked::NoSuchName => {
            let text = format!("the domain {domain} does not exist");
            return Err(Blocked::Never(Answer::ours(550, Status(5, 1, 2), text)));
        }
        Looked::Temporary(why) => {
            return Err(Blocked::Later(Reason::Unreachable(format!(
                "the name servers of {domain} gave no answer: {why}"
            ))));
        }
        // RFC 5321 section 5.1: the domain itself is its implicit MX.
        Looked::Found(none) if none.is_empty() => vec![Exchange { preference: 0, host: domain.clone() }],
        Looked::Found(exchanges) => exchanges,
    };
    exchanges.retain(|exchange| !matches!(exchange.host.as_str(), "" | "."));
    if exchanges.is_empty() {
        let text = format!("the domain {domain} takes no mail (null MX)");
        return Err(Blocked::Never(Answer::ours(556, Status(5, 1, 10), text)));
    }
    order::sort(&mut exchanges);
    exchanges.dedup();
    if let Some(own_preference) = exchanges.iter().filter(|e| own.is(&e.host)).map(|e| e.preference).min() {
        exchanges.retain(|exchange| exchange.preference < own_preference);
    }
    if exchanges.is_empty() {
        let text = format!("mail for {domain} would come back here: its MX is this server");
        return Err(Blocked::Never(Answer::ours(554, Status(5, 4, 6), text)));
    }
    Ok(exchanges)
}

/// The order in which the hosts are tried this time: by preference, equals at random ("MUST randomize them to spread the
/// load", RFC 5321 section 5.1). At most [`RELAY_HOSTS_MAX`].
pub fn order_hosts(exchanges: &[Exchange], random: u64) -> Vec<Domain> {
    let mut keyed: Vec<_> = exchanges
        .iter()
        .enumerate()
        .map(|(at, exchange)| (exchange.preference, mix(random, u64::try_from(at).unwrap_or(0)), &exchange.host))
        .collect();
    order::sort(&mut keyed);
    keyed.into_iter().take(RELAY_HOSTS_MAX).map(|(_, _, host)| host.clone()).collect()
}

/// The addresses of one host in the order to try, IPv6 and IPv4 in turn so that one broken family costs one attempt; those
/// of this house and machine are left out unless `private_targets`.
pub fn order_addresses(host: &str, looked: Looked<IpAddr>, private_targets: bool) -> Result<Vec<IpAddr>, Blocked> {
    let found = match looked {
        Looked::Temporary(why) => {
            return Err(Blocked::Later(Reason::Unreachable(format!("no address of {host} could be found: {why}"))));
        }
        Looked::NoSuchName => Vec::new(),
        Looked::Found(found) => found.iter().map(IpAddr::to_canonical).collect(),
    };
    if found.is_empty() {
        let text = format!("the mail server {host} has no address");
        return Err(Blocked::Never(Answer::ours(550, Status(5, 4, 4), text)));
    }
    let reach = |ip: &&IpAddr| private_targets || reach_of(**ip) == Reach::World;
    let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().filter(reach).partition(|ip| ip.is_ipv6());
    let mut ordered = Vec::with_capacity(v6.len() + v4.len());
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        let before = ordered.len();
        ordered.extend(v6.next());
        ordered.extend(v4.next());
        if ordered.len() == before {
            break;
        }
    }
    if !ordered.is_empty() {
        return Ok(ordered);
    }
    // A router that answers for everything gives private addresses and may stop doing so; the address of this very machine
    // or of nothing stands in the DNS on purpose.
    if found.iter().any(|ip| reach_of(*ip) == Reach::Private) {
        return Err(Blocked::Later(Reason::Unreachable(format!(
            "the name servers gave only private addresses for {host}"
        ))));
    }
    let text = format!("the mail server {host} has no address that mail can be sent to");
    Err(Blocked::Never(Answer::ours(554, Status(5, 4, 6), text)))
}

/// The address in an address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3); `None` when the
/// domain is a name, an error when it is a literal that cannot be read.
pub fn literal_address(domain: &Domain) -> Option<Result<IpAddr, Blocked>> {
    let inner = domain.as_str().strip_prefix('[')?.strip_suffix(']')?;
    let read = match inner.strip_prefix("ipv6:") {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    let text = format!("{domain} is no address that mail can be sent to");
    Some(read.ok_or_else(|| Blocked::Never(Answer::ours(550, Status(5, 1, 2), text))))
}

/// Whether an address is this machine's own or of the inside of some network.
pub fn is_private(ip: IpAddr) -> bool {
    reach_of(ip) != Reach::World
}

/// Whether others know this address as the same host.
pub fn is_in_the_world(ip: IpAddr) -> bool {
    reach_of(ip) == Reach::World
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Any host in the world, as far as the address tells.
    World,
    /// A host on the inside of some network.
    Private,
    /// This machine, many machines, or none.
    Nowhere,
}

fn reach_of(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            if a == 0 || a >= 240 || v4.is_loopback() || v4.is_multicast() {
                Reach::Nowhere
            } else if v4.is_private() || v4.is_link_local() || (a == 100 && (64..128).contains(&b)) {
                Reach::Private
            } else {
                Reach::World
            }
        }
        IpAddr::V6(v6) => {
            if v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() {
                Reach::Nowhere
            } else if v6.is_unique_local() || v6.is_unicast_link_local() {
                Reach::Private
            } else {
                Reach::World
            }
        }
    }
}

/// splitmix64: spreads one random number over many.
fn mix(seed: u64, at: u64) -> u64 {
    let mut z = seed.wrapping_add(at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(preference: u16, host: &str) -> Exchange {
        Exchange { preference, host: Domain::new(host) }
    }

    fn routed(records: &[(u16, &str)]) -> Result<Vec<Exchange>, Blocked> {
        let found = records.iter().map(|&(preference, host)| mx(preference, host)).collect();
        route_with(Looked::Found(found))
    }

    fn route_with(looked: Looked<Exchange>) -> Result<Vec<Exchange>, Blocked> {
        let own = Own { hostname: &Domain::new("mail.home.example"), domains: &[Domain::new("home.example")] };
        route_domain(&Domain::new("far.example"), looked, own)
    }

    fn never(blocked: Result<Vec<impl std::fmt::Debug>, Blocked>) -> (u16, String) {
        match blocked {
            Err(Blocked::Never(answer)) => (answer.code, answer.status.unwrap().to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn by_preference_and_implicit() {
        assert_eq!(routed(&[(20, "b"), (10, "c"), (10, "a")]).unwrap(), [mx(10, "a"), mx(10, "c"), mx(20, "b")]);
        assert_eq!(routed(&[]).unwrap(), [mx(0, "far.example")]);
    }

    #[test]
    fn nowhere() {
        assert_eq!(never(routed(&[(0, "")])), (556, "5.1.10".into()));
        assert_eq!(never(routed(&[(0, ".")])), (556, "5.1.10".into()));
        assert_eq!(never(route_with(Looked::NoSuchName)), (550, "5.1.2".into()));
        assert!(matches!(route_with(Looked::Temporary("timeout".into())), Err(Blocked::Later(_))));
    }

    #[test]
    fn loops_are_cut() {
        assert_eq!(routed(&[(5, "a"), (10, "mail.home.example"), (10, "b"), (20, "c")]).unwrap(), [mx(5, "a")]);
        assert_eq!(never(routed(&[(10, "home.example"), (20, "c")])), (554, "5.4.6".into()));
        let own = Own { hostname: &Domain::new("mail.home.example"), domains: &[Domain::new("home.example")] };
        let implicit = route_domain(&Domain::new("home.example"), Looked::Found(vec![]), own);
        assert_eq!(never(implicit), (554, "5.4.6".into()));
    }

    #[test]
    fn equals_change_places_and_preferences_do_not() {
        let exchanges = routed(&[(10, "a"), (10, "b"), (20, "c"), (20, "d")]).unwrap();
        let orders: std::collections::BTreeSet<Vec<String>> = (0..64)
            .map(|random| order_hosts(&exchanges, random).iter().map(|host| host.to_string()).collect())
            .collect();
        assert_eq!(orders.len(), 4);
        assert!(orders.iter().all(|order| ["a", "b"].contains(&&order[0][..]) && ["c", "d"].contains(&&order[2][..])));
        let many: Vec<Exchange> = (0..100).map(|n| mx(10, &format!("h{n}"))).collect();
        assert_eq!(order_hosts(&many, 7).len(), RELAY_HOSTS_MAX);
    }

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let found = ips(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3"]);
        let ordered = order_addresses("mx", Looked::Found(found), false).unwrap();
        assert_eq!(ordered, ips(&["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]));
    }

    #[test]
    fn inside_addresses_are_no_targets() {
        let inside = ["127.0.0.1", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1", "224.0.0.1", "255.255.255.255"];
        for ip in inside {
            assert_eq!(never(order_addresses("mx", Looked::Found(ips(&[ip])), false)), (554, "5.4.6".into()), "{ip}");
        }
        for ip in ["10.0.0.1", "192.168.1.1", "172.16.3.4", "169.254.0.1", "100.64.0.1", "fe80::1", "fd00::1"] {
            let blocked = order_addresses("mx", Looked::Found(ips(&[ip])), false);
            assert!(matches!(blocked, Err(Blocked::Later(_))), "{ip}");
        }
        let mixed = order_addresses("mx", Looked::Found(ips(&["127.0.0.1", "192.0.2.1"])), false);
        assert_eq!(mixed.unwrap(), ips(&["192.0.2.1"]));
        assert_eq!(order_addresses("mx", Looked::Found(ips(&["127.0.0.1"])), true).unwrap(), ips(&["127.0.0.1"]));
        assert_eq!(never(order_addresses("mx", Looked::NoSuchName, false)), (550, "5.4.4".into()));
        assert!(matches!(order_addresses("mx", Looked::Temporary("x".into()), false), Err(Blocked::Later(_))));
    }

    #[test]
    fn literals() {
        let read = |text: &str| literal_address(&Domain::new(text));
        assert_eq!(read("[192.0.2.7]"), Some(Ok("192.0.2.7".parse().unwrap())));
        assert_eq!(read("[IPv6:2001:db8::7]"), Some(Ok("2001:db8::7".parse().unwrap())));
        assert!(matches!(read("[nonsense]"), Some(Err(Blocked::Never(_)))));
        assert_eq!(read("far.example"), None);
    }
}
