//! Reports about TLS (RFC 8460): who wants them, and what is counted for them.
//!
//! Receives TXT records and what became of sessions; hands on where reports go and a day's counts, as values and as rows.
//! How a report reads is in [`report`]. A session is a connection, however many messages it carries. What always holds: a day
//! fits a setting of the store, whatever other servers make of it; what has no room any more is not counted, and no count is
//! made up.

pub mod report;

use crate::limits::*;
use crate::mail::tls_policy::{PolicyKind, TlsResult};
use crate::wire::address::{Address, Domain};
use crate::wire::date::Timestamp;
use crate::wire::smtp::client::cut;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

/// Where reports are handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By mail.
    Mail(Address),
    /// By POST.
    Web {
        /// The server.
        host: Domain,
        /// Its port, when it is not the usual one.
        port: Option<u16>,
        /// Path and query, beginning with `/`, nothing but visible ASCII.
        target: String,
    },
}

/// Reads the TXT records of `_smtp._tls.DOMAIN` (RFC 8460 section 3): where the domain wants its reports, at most
/// [`TLSRPT_PLACES_MAX`]; empty when it wants none. Places of other kinds are passed over.
pub fn parse_records(records: &[Vec<u8>]) -> Vec<Place> {
    let mut found = records.iter().filter_map(|record| {
        let rest = record.strip_prefix(b"v=TLSRPTv1")?;
        rest.trim_ascii_start().first().filter(|byte| **byte == b';').map(|_| rest)
    });
    let (Some(record), None) = (found.next(), found.next()) else { return Vec::new() };
    let Some(text) = std::str::from_utf8(record).ok().filter(|text| text.is_ascii()) else { return Vec::new() };
    let rua = text.split(';').find_map(|field| field.trim().strip_prefix("rua="));
    rua.map_or(Vec::new(), |places| {
        places.split(',').filter_map(|place| parse_place(place.trim())).take(TLSRPT_PLACES_MAX).collect()
    })
}

fn parse_place(uri: &str) -> Option<Place> {
    let (scheme, rest) = uri.split_once(':')?;
    if scheme.eq_ignore_ascii_case("mailto") {
        let address = decode_percent(rest.split(['?', '!']).next()?)?;
        return address.parse().ok().map(Place::Mail);
    }
    let rest = rest.strip_prefix("//").filter(|_| scheme.eq_ignore_ascii_case("https"))?;
    let rest = rest.split('#').next()?;
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0)?)),
        None => (authority, None),
    };
    let is_name = host.parse::<IpAddr>().is_err();
    let host = Domain::parse(host).ok().filter(|_| is_name)?;
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    target.bytes().all(|byte| byte.is_ascii_graphic()).then_some(Place::Web { host, port, target })
}

/// RFC 3986 section 2.1.
fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok().filter(|two| !two.starts_with('+'))?;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The policy by which sessions were judged (RFC 8460 section 4.4, `policy`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it is.
    pub kind: PolicyKind,
    /// Whose it is: the recipients' domain, or the TLSA base domain.
    pub domain: Domain,
    /// Its lines or records.
    pub lines: Vec<String>,
    /// The MX patterns of an MTA-STS policy.
    pub mx: Vec<String>,
}

/// What was wrong with a session (RFC 8460 section 4.4, `failure-details`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of it.
    pub result: TlsResult,
    /// The MX host, when it came to one.
    pub host: Option<Domain>,
    /// What was connected to, when it came to that.
    pub address: Option<IpAddr>,
    /// What was connected from, when others know this machine by it.
    pub local: Option<IpAddr>,
    /// In words, one line.
    pub text: String,
}

/// Sessions under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The policy.
    pub policy: Policy,
    /// Sessions as the policy wants them.
    pub successes: u64,
    /// Others.
    pub failures: u64,
    /// What was wrong with those, and with how many; at most [`TLSRPT_DETAILS_MAX`] kinds.
    pub details: Vec<(Failure, u64)>,
}

/// The counts of one UTC day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// Days since 1970-01-01.
    pub number: i64,
    /// By the recipients' domain.
    pub domains: BTreeMap<Domain, Vec<Tally>>,
}

const DAY_SECONDS: i64 = 86_400;

impl Day {
    /// The day of this time, with nothing in it.
    pub fn of(now: Timestamp) -> Day {
        Day { number: now.seconds().div_euclid(DAY_SECONDS), domains: BTreeMap::new() }
    }

    /// Its first moment.
    pub fn begins(&self) -> Timestamp {
        Timestamp(self.number.saturating_mul(DAY_SECONDS * 1000))
    }

    /// The first moment that is not its own any more.
    pub fn ends(&self) -> Timestamp {
        Timestamp(self.number.saturating_add(1).saturating_mul(DAY_SECONDS * 1000))
    }

    /// Counts a session with a host of this domain. `false`: there is no room for it.
    pub fn count(&mut self, domain: &Domain, policy: Policy, failure: Option<Failure>) -> bool {
        let successes = u64::from(failure.is_none());
        let details = failure.into_iter().map(|failure| (one_line(failure), 1)).collect::<Vec<_>>();
        self.add(domain, Tally { policy, successes, failures: 1 - successes, details })
    }

    /// Adds the counts of another part of the same day.
    pub fn merge(&mut self, other: Day) {
        for (domain, tallies) in other.domains {
            for tally in tallies {
                self.add(&domain, tally);
            }
        }
    }

    fn add(&mut self, domain: &Domain, more: Tally) -> bool {
        let known = self.domains.get(domain).and_then(|all| all.iter().position(|one| one.policy == more.policy));
        let Some(at) = known else {
            let all = self.domains.get(domain).map_or(0, Vec::len);
            let room = more.room().saturating_add(domain.as_str().len());
            if all >= TLSRPT_POLICIES_MAX || self.room().saturating_add(room) > TLSRPT_DAY_BYTES_MAX {
                return false;
            }
            self.domains.entry(domain.clone()).or_default().push(more);
            return true;
        };
        let room_taken = if more.details.is_empty() { 0 } else { self.room() };
        let mut room = TLSRPT_DAY_BYTES_MAX.saturating_sub(room_taken);
        let Some(tally) = self.domains.get_mut(domain).and_then(|all| all.get_mut(at)) else { return false };
        tally.successes = tally.successes.saturating_add(more.successes);
        tally.failures = tally.failures.saturating_add(more.failures);
        for (failure, sessions) in more.details {
            let needs = room_of(&failure);
            let full = tally.details.len() >= TLSRPT_DETAILS_MAX || needs > room;
            match tally.details.iter_mut().find(|(known, _)| *known == failure) {
                Some((_, count)) => *count = count.saturating_add(sessions),
                // The sum stays right; its parts are only as many as there is room for.
                None if full => {}
                None => {
                    room = room.saturating_sub(needs);
                    tally.details.push((failure, sessions));
                }
            }
        }
        true
    }

    /// About as many bytes as [`Day::encode`] gives, never fewer.
    fn room(&self) -> usize {
        let domain = |(domain, all): (&Domain, &Vec<Tally>)| {
            domain.as_str().len() + 8 + all.iter().map(Tally::room).sum::<usize>()
        };
        self.domains.iter().map(domain).sum::<usize>() + 32
    }

    /// As a value of the store: a line for each thing, its kind first.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("day {}\n", self.number);
        for (domain, tallies) in &self.domains {
            let _ = writeln!(text, "D {domain}");
            for Tally { policy, successes, failures, details } in tallies {
                let _ = writeln!(text, "P {} {} {successes} {failures}", policy.kind.as_str(), policy.domain);
                for (kind, lines) in [("L", &policy.lines), ("M", &policy.mx)] {
                    for line in lines {
                        let _ = writeln!(text, "{kind} {line}");
                    }
                }
                for (Failure { result, host, address, local, text: why }, sessions) in details {
                    let host = host.as_ref().map_or("-", Domain::as_str);
                    let [address, local] = [address, local].map(|ip| ip.map_or("-".to_owned(), |ip| ip.to_string()));
                    let _ = writeln!(text, "F {} {sessions} {host} {address} {local} {why}", result.as_str());
                }
            }
        }
        text.into_bytes()
    }

    /// Reads [`Day::encode`]. `None`: this is something else.
    pub fn decode(value: &[u8]) -> Option<Day> {
        let mut lines = std::str::from_utf8(value).ok()?.lines();
        let number = lines.next()?.strip_prefix("day ")?.parse().ok()?;
        let mut day = Day { number, domains: BTreeMap::new() };
        let mut domain = None;
        for line in lines {
            let (kind, rest) = line.split_once(' ')?;
            if kind == "D" {
                let parsed = Domain::parse(rest).ok()?;
                day.domains.insert(parsed.clone(), Vec::new());
                domain = Some(parsed);
                continue;
            }
            let tallies = day.domains.get_mut(domain.as_ref()?)?;
            if kind == "P" {
                tallies.push(decode_tally(rest)?);
                continue;
            }
            let tally = tallies.last_mut()?;
            match kind {
                "L" => tally.policy.lines.push(rest.to_owned()),
                "M" => tally.policy.mx.push(rest.to_owned()),
                "F" => tally.details.push(decode_failure(rest)?),
                _ => return None,
            }
        }
        Some(day)
    }
}

impl Tally {
    fn room(&self) -> usize {
        let texts = self.policy.lines.iter().chain(&self.policy.mx).map(|line| line.len() + 3).sum::<usize>();
        let details = self.details.iter().map(|(failure, _)| room_of(failure)).sum::<usize>();
        self.policy.domain.as_str().len() + 64 + texts + details
    }
}

fn room_of(failure: &Failure) -> usize {
    failure.host.as_ref().map_or(1, |host| host.as_str().len()) + failure.text.len() + 144
}

fn decode_tally(text: &str) -> Option<Tally> {
    let mut words = text.split(' ');
    let kind = words.next()?;
    let kinds = [PolicyKind::Tlsa, PolicyKind::Sts, PolicyKind::NoPolicyFound];
    let kind = kinds.into_iter().find(|known| known.as_str() == kind)?;
    let policy = Policy { kind, domain: Domain::parse(words.next()?).ok()?, lines: Vec::new(), mx: Vec::new() };
    let (successes, failures) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Tally { policy, successes, failures, details: Vec::new() })
}

fn decode_failure(text: &str) -> Option<(Failure, u64)> {
    let mut words = text.splitn(6, ' ');
    let result = words.next()?;
    let result = RESULTS.into_iter().find(|known| known.as_str() == result)?;
    let sessions = words.next()?.parse().ok()?;
    let host = Some(words.next()?).filter(|host| *host != "-").and_then(|host| Domain::parse(host).ok());
    let ip = |word: &str| word.parse().ok();
    let (address, local) = (ip(words.next()?), ip(words.next()?));
    Some((Failure { result, host, address, local, text: words.next()?.to_owned() }, sessions))
}

/// All there are.
const RESULTS: [TlsResult; 11] = [
    TlsResult::StarttlsNotSupported,
    TlsResult::CertificateHostMismatch,
    TlsResult::CertificateExpired,
    TlsResult::CertificateNotTrusted,
    TlsResult::ValidationFailure,
    TlsResult::TlsaInvalid,
    TlsResult::DnssecInvalid,
    TlsResult::DaneRequired,
    TlsResult::StsPolicyFetchError,
    TlsResult::StsPolicyInvalid,
    TlsResult::StsWebpkiInvalid,
];

/// Other servers have a say in the text.
fn one_line(failure: Failure) -> Failure {
    let text: String = failure.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Failure { text: cut(text.trim(), TLSRPT_REASON_BYTES_MAX).trim_end().to_owned(), ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places(text: &str) -> Vec<Place> {
        parse_records(&[text.as_bytes().to_vec()])
    }

    fn web(host: &str, port: Option<u16>, target: &str) -> Place {
        Place::Web { host: Domain::new(host), port, target: target.to_owned() }
    }

    #[test]
    fn the_record() {
        let mail = |address: &str| Place::Mail(address.parse().unwrap());
        // The examples of section 3.1.
        assert_eq!(places("v=TLSRPTv1;rua=mailto:reports@example.com"), [mail("reports@example.com")]);
        let example = "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt";
        assert_eq!(places(example), [web("reporting.example.com", None, "/v1/tlsrpt")]);
        assert_eq!(
            places("v=TLSRPTv1 ; x=y; rua=mailto:a%2Bb@example.com?subject=x , HTTPS://r.example:8443?q=1#f,ftp://x ;"),
            [mail("a+b@example.com"), web("r.example", Some(8443), "/?q=1")]
        );
        for none in [
            "v=TLSRPTv1",
            "v=TLSRPTv1;",
            "v=TLSRPTv2; rua=mailto:a@example.com",
            " v=TLSRPTv1; rua=mailto:a@example.com",
            "v=TLSRPTv1; rua=http://example.com/",
            "v=TLSRPTv1; rua=https://user@example.com/",
            "v=TLSRPTv1; rua=https://192.0.2.1/",
            "v=TLSRPTv1; rua=https://[::1]/",
            "v=TLSRPTv1; rua=https://example.com:0/",
            "v=TLSRPTv1; rua=https://example.com/a b",
            "v=TLSRPTv1; rua=mailto:nobody",
            "v=TLSRPTv1; rua=mailto:a%0d%0ab@example.com",
            "v=TLSRPTv1; rua=mailto:a%+1@example.com",
        ] {
            assert_eq!(places(none), [], "{none}");
        }
        let record = b"v=TLSRPTv1; rua=mailto:a@example.com".to_vec();
        assert_eq!(parse_records(&[b"v=spf1 -all".to_vec(), record.clone()]).len(), 1);
        assert_eq!(parse_records(&[record.clone(), record]), [], "two are none");
        let many = format!("v=TLSRPTv1; rua={}", vec!["mailto:a@example.com"; 50].join(","));
        assert_eq!(places(&many).len(), TLSRPT_PLACES_MAX);
    }

    fn policy(kind: PolicyKind) -> Policy {
        let lines = vec!["version: STSv1".to_owned(), "mode: testing".to_owned()];
        Policy { kind, domain: Domain::new("far.example"), lines, mx: vec!["*.far.example".to_owned()] }
    }

    fn failure(text: &str) -> Option<Failure> {
        let (host, address) = (Some(Domain::new("mx.far.example")), Some("2001:db8::1".parse().unwrap()));
        let local = text.starts_with('i').then(|| "192.0.2.1".parse().unwrap());
        Some(Failure { result: TlsResult::CertificateExpired, host, address, local, text: text.to_owned() })
    }

    #[test]
    fn counted_kept_and_added_up() {
        let far = Domain::new("far.example");
        let mut day = Day::of(Timestamp(1_795_262_400_000));
        assert_eq!((day.begins().0, day.ends().0), (1_795_219_200_000, 1_795_305_600_000));
        assert!(day.count(&far, policy(PolicyKind::Sts), None));
        assert!(day.count(&far, policy(PolicyKind::Sts), failure("it is\r\nold")));
        assert!(day.count(&far, policy(PolicyKind::Sts), failure("it is  old")));
        assert!(day.count(&far, policy(PolicyKind::Sts), failure("")));
        assert!(day.count(&far, policy(PolicyKind::NoPolicyFound), None));
        let read = Day::decode(&day.encode()).unwrap();
        assert_eq!(read, day);
        let tally = &day.domains[&far][0];
        assert_eq!((tally.successes, tally.failures, tally.details[0].1, tally.details.len()), (1, 3, 2, 2));
        day.merge(read);
        let tally = &day.domains[&far][0];
        assert_eq!((tally.successes, tally.failures, tally.details[0].1, tally.details.len()), (2, 6, 4, 2));
        assert_eq!(Day::of(Timestamp(-1)).number, -1);
        for bad in
            [&b""[..], b"day x\n", b"day 1\nP sts x 1 1\n", b"day 1\nD x.example\nL y\n", b"day 1\nZ y\n", b"\xff"]
        {
            assert_eq!(Day::decode(bad), None);
        }
    }

    #[test]
    fn a_day_has_an_end() {
        let mut day = Day::of(Timestamp(0));
        for n in 0..2_000 {
            let domain = Domain::new(&format!("d{}.example", n / 3));
            let long = "x".repeat(500);
            day.count(&domain, policy(PolicyKind::Sts), failure(&format!("{n} {long}")));
        }
        let bytes = day.encode().len();
        assert!((TLSRPT_DAY_BYTES_MAX / 2..=TLSRPT_DAY_BYTES_MAX).contains(&bytes), "{bytes}");
        const { assert!(TLSRPT_DAY_BYTES_MAX <= SETTING_BYTES_MAX) };
        let mut day = Day::of(Timestamp(0));
        let far = Domain::new("far.example");
        for n in 0..100 {
            assert!(day.count(&far, policy(PolicyKind::Sts), failure(&n.to_string())));
        }
        let tally = &day.domains[&far][0];
        assert_eq!((tally.failures, tally.details.len()), (100, TLSRPT_DETAILS_MAX));
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_parsers(bytes in prop::collection::vec(any::<u8>(), 0..200), uri in "\\PC{0,60}") {
            let _ = Day::decode(&bytes);
            let _ = parse_records(std::slice::from_ref(&bytes));
            for place in places(&format!("v=TLSRPTv1; rua={uri}")) {
                if let Place::Web { target, .. } = place {
                    prop_assert!(target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic()));
                }
            }
        }

        #[test]
        fn any_reason_survives(text in "\\PC{0,300}") {
            let mut day = Day::of(Timestamp(0));
            day.count(&Domain::new("far.example"), policy(PolicyKind::Tlsa), failure(&text));
            prop_assert_eq!(Day::decode(&day.encode()), Some(day));
        }
    }
}
