//! Whether an SPF record lets an address send (RFC 7208), asked of DNS: a record that is written differently may say the same.
//!
//! Receives the record and an address; hands on the result. Macros and `exists` are passed over: nobody needs them for one
//! machine, and what they match depends on the message.

use crate::limits::SPF_LOOKUPS_MAX;
use crate::net::{DnsTrouble, Net};
use crate::wire::address::Domain;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// What a record says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may send.
    Pass,
    /// It may not, or nothing is said of it.
    NotPass,
    /// The record is broken, with a sentence.
    Broken(String),
    /// DNS did not say, with a sentence.
    Unknown(String),
}

/// The records of a name that are SPF (RFC 7208 section 4.5).
pub fn records_among(texts: &[Vec<u8>]) -> Vec<String> {
    let texts = texts.iter().map(|text| String::from_utf8_lossy(text).into_owned());
    texts.filter(|text| text.split(' ').next().is_some_and(|first| first.eq_ignore_ascii_case("v=spf1"))).collect()
}

/// The mechanism that names one address.
pub fn mechanism(address: IpAddr) -> String {
    match address {
        IpAddr::V4(ip) => format!("ip4:{ip}"),
        IpAddr::V6(ip) => format!("ip6:{ip}"),
    }
}

/// Whether it lets everybody send.
pub fn is_open(record: &str) -> bool {
    record.split_whitespace().any(|term| term.eq_ignore_ascii_case("+all") || term.eq_ignore_ascii_case("all"))
}

/// Whether it says that others, whom it does not list itself, may send.
pub fn refers(record: &str) -> bool {
    let terms = record.split_whitespace().map(|term| term.trim_start_matches('+').to_ascii_lowercase());
    terms.into_iter().any(|term| ["include:", "redirect=", "exists:"].iter().any(|start| term.starts_with(start)))
}

/// What a record of a domain says of an address. `lookups`: questions left.
pub fn evaluate<'a>(
    net: &'a Net,
    domain: &'a Domain,
    record: &'a str,
    address: IpAddr,
    lookups: &'a mut u32,
) -> Pin<Box<dyn Future<Output = Outcome> + 'a>> {
    Box::pin(async move {
        let mut redirect = None;
        for term in record.split_whitespace().skip(1) {
            if let Some((name, value)) = term.split_once('=') {
                if name.eq_ignore_ascii_case("redirect") {
                    redirect = Some(value);
                }
                continue;
            }
            let passes = !term.starts_with(['-', '~', '?']);
            let bare = term.trim_start_matches(['+', '-', '~', '?']).to_ascii_lowercase();
            match matches(net, domain, &bare, address, lookups).await {
                Ok(true) if passes => return Outcome::Pass,
                Ok(true) => return Outcome::NotPass,
                Ok(false) => {}
                Err(outcome) => return outcome,
            }
        }
        match redirect {
            Some(to) => ask(net, &Domain::new(to), address, lookups).await,
            None => Outcome::NotPass,
        }
    })
}

/// The result of the SPF record of another domain.
async fn ask(net: &Net, domain: &Domain, address: IpAddr, lookups: &mut u32) -> Outcome {
    if let Err(outcome) = take_lookup(lookups) {
        return outcome;
    }
    let texts = match net.texts(domain).await {
        Ok(texts) => texts,
        Err(DnsTrouble::NoSuchName) => Vec::new(),
        Err(DnsTrouble::Temporary(why)) => return Outcome::Unknown(format!("{domain}: {why}")),
    };
    match records_among(&texts).as_slice() {
        [record] => evaluate(net, domain, record, address, lookups).await,
        [] => Outcome::Broken(format!("it refers to {domain}, which has no SPF record")),
        _ => Outcome::Broken(format!("it refers to {domain}, which has several SPF records")),
    }
}

/// RFC 7208 section 4.6.4.
fn take_lookup(lookups: &mut u32) -> Result<(), Outcome> {
    *lookups = lookups.checked_sub(1).ok_or_else(|| {
        Outcome::Broken(format!("it makes receivers ask DNS more than {SPF_LOOKUPS_MAX} times, which they do not do"))
    })?;
    Ok(())
}

/// Whether a mechanism, in small letters and without its sign, matches (RFC 7208 section 5).
async fn matches(net: &Net, domain: &Domain, term: &str, address: IpAddr, lookups: &mut u32) -> Result<bool, Outcome> {
    let broken = || Outcome::Broken(format!("{term:?} is no mechanism of SPF"));
    let (name, rest) = term.split_at(term.find([':', '/']).unwrap_or(term.len()));
    let (argument, lengths) = match rest.strip_prefix(':') {
        // The colons of IPv6 are not those of a mechanism.
        Some(argument) => argument.split_at(argument.find('/').unwrap_or(argument.len())),
        None => ("", rest),
    };
    if argument.contains('%') {
        return Ok(false);
    }
    let of = if argument.is_empty() { domain.clone() } else { Domain::new(argument) };
    match name {
        "all" => Ok(true),
        "ip4" | "ip6" => {
            let network: IpAddr = argument.parse().map_err(|_| broken())?;
            let length = match lengths.strip_prefix('/') {
                None => None,
                Some(digits) => Some(digits.parse().map_err(|_| broken())?),
            };
            Ok(is_within(address, network, length))
        }
        "a" | "mx" => {
            take_lookup(lookups)?;
            let (v4, v6) = prefix_lengths(lengths).ok_or_else(broken)?;
            let length = if address.is_ipv4() { v4 } else { v6 };
            let hosts = match name {
                "a" => vec![of],
                _ => known(&of, net.mx(&of).await)?.into_iter().map(|mx| mx.exchange).collect(),
            };
            for host in hosts {
                let found = known(&host, net.addresses(&host).await)?;
                if found.into_iter().any(|network| is_within(address, network, length)) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        "include" => match ask(net, &of, address, lookups).await {
            Outcome::Pass => Ok(true),
            Outcome::NotPass => Ok(false),
            other => Err(other),
        },
        "exists" | "ptr" => Ok(false),
        _ => Err(broken()),
    }
}

fn known<T>(name: &Domain, answer: Result<Vec<T>, DnsTrouble>) -> Result<Vec<T>, Outcome> {
    match answer {
        Ok(found) => Ok(found),
        Err(DnsTrouble::NoSuchName) => Ok(Vec::new()),
        Err(DnsTrouble::Temporary(why)) => Err(Outcome::Unknown(format!("{name}: {why}"))),
    }
}

/// `/24`, `//64`, `/24//64`, or nothing.
fn prefix_lengths(text: &str) -> Option<(Option<u32>, Option<u32>)> {
    let (v4, v6) = text.split_once("//").map_or((text, None), |(v4, v6)| (v4, Some(v6)));
    let read = |digits: &str| digits.parse().ok();
    let v4 = match v4.strip_prefix('/') {
        Some(digits) => Some(read(digits)?),
        None if v4.is_empty() => None,
        None => return None,
    };
    let v6 = match v6 {
        Some(digits) => Some(read(digits)?),
        None => None,
    };
    Some((v4, v6))
}

fn is_within(address: IpAddr, network: IpAddr, length: Option<u32>) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let ((address, width), (network, other)) = (bits(address), bits(network));
    let ignored = width - length.unwrap_or(width).min(width);
    width == other && address.checked_shr(ignored).unwrap_or(0) == network.checked_shr(ignored).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::twin::Twin;

    fn says(record: &str, address: &str) -> Outcome {
        let twin = Twin::new(1);
        let name = Domain::new;
        twin.add_mx(&name("home.example"), 10, &name("mail.home.example"));
        twin.add_address(&name("mail.home.example"), "192.0.2.1".parse().unwrap());
        twin.add_address(&name("mail.home.example"), "2001:db8::1".parse().unwrap());
        twin.add_address(&name("home.example"), "192.0.2.80".parse().unwrap());
        twin.add_text(&name("_spf.provider.example"), b"v=spf1 ip4:198.51.100.0/24 -all");
        twin.add_text(&name("two.example"), b"v=spf1 -all");
        twin.add_text(&name("two.example"), b"v=spf1 mx -all");
        twin.add_text(&name("loop.example"), b"v=spf1 include:loop.example -all");
        let mut lookups = SPF_LOOKUPS_MAX;
        let domain = name("home.example");
        smol::block_on(evaluate(&twin.net(), &domain, record, address.parse().unwrap(), &mut lookups))
    }

    #[test]
    fn records_are_judged_by_what_they_say() {
        for record in [
            "v=spf1 mx -all",
            "v=spf1 +mx ~all",
            "v=spf1 MX -ALL",
            "v=spf1 a:mail.home.example -all",
            "v=spf1 ip4:192.0.2.1 -all",
            "v=spf1 ip4:192.0.2.0/24 -all",
            "v=spf1 a/24 -all",
            "v=spf1 include:_spf.provider.example exists:%{i}.x.example mx -all",
            "v=spf1 all",
        ] {
            assert_eq!(says(record, "192.0.2.1"), Outcome::Pass, "{record}");
        }
        for record in [
            "v=spf1 -all",
            "v=spf1 a -all",
            "v=spf1 -mx all",
            "v=spf1",
            "v=spf1 ip4:192.0.2.2/32 ?all",
            "v=spf1 ~mx +all",
        ] {
            assert_eq!(says(record, "192.0.2.1"), Outcome::NotPass, "{record}");
        }
        assert_eq!(says("v=spf1 mx/32//64 -all", "2001:db8::2"), Outcome::Pass);
        assert_eq!(says("v=spf1 mx -all", "2001:db8::2"), Outcome::NotPass);
        assert_eq!(says("v=spf1 ip6:2001:db8::/32 -all", "2001:db8:1::2"), Outcome::Pass);
        assert_eq!(says("v=spf1 ip4:0.0.0.0/0 -all", "192.0.2.1"), Outcome::Pass);
        assert_eq!(says("v=spf1 redirect=_spf.provider.example", "198.51.100.7"), Outcome::Pass);
        for record in [
            "v=spf1 ip4:x -all",
            "v=spf1 mix -all",
            "v=spf1 include:two.example",
            "v=spf1 include:none.example",
            "v=spf1 include:loop.example",
        ] {
            assert!(matches!(says(record, "203.0.113.1"), Outcome::Broken(_)), "{record}");
        }
    }

    #[test]
    fn records_are_found_among_others() {
        let texts: Vec<Vec<u8>> =
            ["v=spf10 mx", "v=spf1", "google-site", "V=SPF1 mx"].iter().map(|text| text.as_bytes().to_vec()).collect();
        assert_eq!(records_among(&texts), ["v=spf1", "V=SPF1 mx"]);
        assert!(is_open("v=spf1 mx +all") && is_open("v=spf1 all") && !is_open("v=spf1 mx ~all"));
        assert!(refers("v=spf1 include:x -all") && refers("v=spf1 redirect=x") && !refers("v=spf1 mx -all"));
    }
}
