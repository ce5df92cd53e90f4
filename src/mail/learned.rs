//! What has been learned about which way mail gets through from this line: directly, or only through the smarthost.
//!
//! Receives what happened at other servers, and `now`; hands on whether a domain's mail goes round by the smarthost. What always
//! holds: a lesson ends by itself; what cannot be told from the network being down counts only once the smarthost has been
//! reached; one dead destination says nothing about others.

use crate::limits::*;
use crate::order;
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use crate::wire::smtp::client::cut;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

/// One thing learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// When.
    pub since: Timestamp,
    /// Then it counts no more.
    pub until: Timestamp,
    /// In plain words, or what the server said. No line breaks, at most [`ROUTES_REASON_BYTES_MAX`].
    pub why: String,
    /// The smarthost has been reached since: the network was not simply down.
    is_confirmed: bool,
}

impl Lesson {
    fn new(why: &str, seconds: u64, is_confirmed: bool, now: Timestamp) -> Lesson {
        let plain: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let why = cut(&plain, ROUTES_REASON_BYTES_MAX).to_owned();
        Lesson { since: now, until: now.plus(Duration::from_secs(seconds)), why, is_confirmed }
    }

    fn counts(&self, now: Timestamp) -> bool {
        // A clock that was set back far would make it last for ever.
        self.until > now && self.until.since(now) <= Duration::from_secs(ROUTES_LEARNED_SECONDS)
    }
}

/// All that has been learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The line gets through to nobody.
    all: Option<Lesson>,
    /// By domain of recipients, or by name of a mail server; at most [`ROUTES_LEARNED_MAX`].
    names: BTreeMap<Domain, Lesson>,
    line: Line,
}

/// How connections have gone lately, whatever for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    /// Networks that could not be reached, with the domain that the mail was for; at most [`ROUTES_UNREACHED_MAX`].
    unreached: Vec<(Domain, Network, Timestamp)>,
}

/// A network as large as one operator's: the first half of an IPv4 address, the first 32 bits of an IPv6 address.
type Network = [u8; 5];

fn network(ip: IpAddr) -> Network {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            [4, a, b, 0, 0]
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.octets();
            [a, b, c, d, 6]
        }
    }
}

impl Line {
    /// Whether so much was in vain that the line must be to blame: several networks of several domains.
    fn seems_blocked(&self, now: Timestamp) -> bool {
        let fresh = self.unreached.iter().filter(|(.., at)| is_fresh(*at, now));
        let (mut domains, mut networks) = (Vec::new(), Vec::new());
        for (domain, network, _) in fresh {
            domains.push(domain);
            networks.push(network);
        }
        order::sort(&mut domains);
        domains.dedup();
        order::sort(&mut networks);
        networks.dedup();
        domains.len() >= ROUTES_BLOCKED_DOMAINS && networks.len() >= ROUTES_BLOCKED_NETWORKS
    }

    /// Whether this domain was unreachable some minutes ago already.
    fn was_unreached(&self, domain: &Domain, now: Timestamp) -> bool {
        let earlier =
            |at: &Timestamp| is_fresh(*at, now) && now.since(*at) >= Duration::from_secs(ROUTES_TWICE_SECONDS);
        self.unreached.iter().any(|(of, _, at)| of == domain && earlier(at))
    }

    fn add(&mut self, domain: &Domain, addresses: &[IpAddr], now: Timestamp) {
        self.unreached.retain(|(.., at)| is_fresh(*at, now));
        for network in addresses.iter().map(|ip| network(*ip)) {
            if self.unreached.iter().any(|(of, known, _)| of == domain && *known == network) {
                continue;
            }
            if self.unreached.len() >= ROUTES_UNREACHED_MAX {
                self.unreached.remove(0);
            }
            self.unreached.push((domain.clone(), network, now));
        }
    }
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now.since(at) <= Duration::from_secs(ROUTES_UNREACHED_SECONDS)
}

/// Said of a line that gets through to nobody.
pub const LINE_BLOCKED: &str = "your line seems to block port 25: no other mail server can be reached from it";

impl Learned {
    /// Whether mail for this domain goes round. When the lesson about all has ended, whoever asks first tries the direct way
    /// for all others; `name` may be that of a mail server too.
    pub fn goes_round(&mut self, name: &Domain, now: Timestamp) -> bool {
        if self.names.get(name).is_some_and(|lesson| lesson.counts(now)) {
            return true;
        }
        match &mut self.all {
            Some(all) if all.counts(now) => true,
            Some(all) => {
                all.until = now.plus(Duration::from_secs(ROUTES_TRIAL_SECONDS));
                false
            }
            None => false,
        }
    }

    /// Whether the mail server of this name refuses mail from our address.
    pub fn is_refused_by(&self, host: &Domain, now: Timestamp) -> bool {
        self.names.get(host).is_some_and(|lesson| lesson.counts(now))
    }

    /// A server has refused mail because of our address: from now on mail for the domain, and for all others that have this
    /// server, goes round.
    pub fn refused(&mut self, domain: &Domain, host: &Domain, why: &str, now: Timestamp) {
        let lesson = Lesson::new(why, ROUTES_LEARNED_SECONDS, true, now);
        for name in [domain, host] {
            self.learn(name, lesson.clone(), now);
        }
    }

    /// No server of a domain could be reached, at these addresses. Returns whether its mail goes round now; and whether the
    /// line seems to be to blame.
    pub fn unreached(&mut self, domain: &Domain, addresses: &[IpAddr], now: Timestamp) -> (bool, bool) {
        let again = self.line.was_unreached(domain, now);
        self.line.add(domain, addresses, now);
        let is_blocked = self.line.seems_blocked(now);
        if is_blocked || self.all.is_some() {
            let is_confirmed = self.all.as_ref().is_some_and(|all| all.is_confirmed);
            if !addresses.is_empty() || self.all.is_none() {
                self.all = Some(Lesson::new(LINE_BLOCKED, ROUTES_ALL_SECONDS, is_confirmed, now));
            }
            return (true, is_blocked);
        }
        if again {
            let why = "no mail server of the domain could be reached twice";
            self.learn(domain, Lesson::new(why, ROUTES_ALL_SECONDS, false, now), now);
        }
        (self.names.get(domain).is_some_and(|lesson| lesson.counts(now)), false)
    }

    /// Some server has answered on port 25. Returns whether that changed anything worth keeping.
    pub fn reached(&mut self) -> bool {
        self.line = Line::default();
        self.all.take().is_some_and(|all| all.is_confirmed)
    }

    /// The smarthost has answered, or could not be reached. Returns whether that changed anything worth keeping.
    pub fn smarthost_reached(&mut self, reached: bool) -> bool {
        let doubtful = |lesson: &Lesson| !lesson.is_confirmed;
        let any = self.all.iter().chain(self.names.values()).any(doubtful);
        if !any {
            return false;
        }
        if !reached {
            // The network is down, which is nobody's policy.
            self.all.take_if(|all| doubtful(all));
            self.names.retain(|_, lesson| lesson.is_confirmed);
            self.line = Line::default();
            return false;
        }
        self.all.iter_mut().chain(self.names.values_mut()).for_each(|lesson| lesson.is_confirmed = true);
        true
    }

    /// Forgets what has been learned about a domain or mail server. Returns whether there was anything.
    pub fn forget(&mut self, name: &Domain) -> bool {
        self.names.remove(name).is_some()
    }

    /// Forgets everything. Returns how many lessons that were.
    pub fn forget_all(&mut self) -> usize {
        let count = self.names.len() + usize::from(self.all.is_some());
        *self = Learned::default();
        count
    }

    /// What counts now: about all, then by name.
    pub fn lessons(&self, now: Timestamp) -> impl Iterator<Item = (Option<&Domain>, &Lesson)> {
        let all = self.all.iter().map(|lesson| (None, lesson));
        let names = self.names.iter().map(|(name, lesson)| (Some(name), lesson));
        all.chain(names).filter(move |(_, lesson)| lesson.counts(now))
    }

    fn learn(&mut self, name: &Domain, lesson: Lesson, now: Timestamp) {
        self.names.retain(|_, known| known.counts(now));
        if self.names.len() >= ROUTES_LEARNED_MAX && !self.names.contains_key(name) {
            let soonest = self.names.iter().min_by_key(|(_, known)| known.until).map(|(name, _)| name.clone());
            soonest.and_then(|soonest| self.names.remove(&soonest));
        }
        self.names.insert(name.clone(), lesson);
    }

    /// What is to be kept, one line per lesson: `NAME SINCE UNTIL WHY`, with `*` for all.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::new();
        let all = self.all.iter().map(|lesson| ("*", lesson));
        let names = self.names.iter().map(|(name, lesson)| (name.as_str(), lesson));
        for (name, lesson) in all.chain(names).filter(|(_, lesson)| lesson.is_confirmed) {
            let _ = writeln!(text, "{name} {} {} {}", lesson.since.0, lesson.until.0, lesson.why);
        }
        text.into_bytes()
    }

    /// Reads what was kept; what cannot be read is left out, and learned again when it matters.
    pub fn decode(bytes: &[u8]) -> Learned {
        let mut learned = Learned::default();
        for line in String::from_utf8_lossy(bytes).lines().take(ROUTES_LEARNED_MAX + 1) {
            let mut words = line.splitn(4, ' ');
            let (Some(name), Some(since), Some(until), Some(why)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let (Ok(since), Ok(until)) = (since.parse(), until.parse()) else { continue };
            let lesson =
                Lesson { since: Timestamp(since), until: Timestamp(until), why: why.to_owned(), is_confirmed: true };
            match name {
                "*" => learned.all = Some(lesson),
                name => drop(learned.names.insert(Domain::new(name), lesson)),
            }
        }
        learned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> Domain {
        Domain::new(name)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_refusal_counts_for_the_domain_and_its_server_and_ends() {
        let mut learned = Learned::default();
        learned.refused(&domain("far.example"), &domain("mx.far.example"), "554 no\r\ndynamic", at(0));
        assert!(learned.goes_round(&domain("far.example"), at(1)));
        assert!(learned.is_refused_by(&domain("mx.far.example"), at(1)));
        assert!(!learned.goes_round(&domain("near.example"), at(1)));
        assert!(!learned.goes_round(&domain("far.example"), at(ROUTES_LEARNED_SECONDS)));
        let kept = Learned::decode(&learned.encode());
        assert_eq!(kept, learned);
        assert_eq!(kept.lessons(at(1)).next().map(|(_, lesson)| lesson.why.as_str()), Some("554 no  dynamic"));
        assert!(
            !kept.clone().goes_round(&domain("far.example"), Timestamp(0)),
            "a clock set back keeps nothing for ever"
        );
        assert!(learned.forget(&domain("far.example")) && !learned.goes_round(&domain("far.example"), at(1)));
        assert_eq!(learned.forget_all(), 1);
    }

    #[test]
    fn one_dead_destination_is_not_the_line() {
        let mut learned = Learned::default();
        let google = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "2001:db9::1"].map(ip);
        assert_eq!(learned.unreached(&domain("far.example"), &google, at(0)), (false, false));
        assert_eq!(learned.unreached(&domain("far.example"), &google, at(1)), (false, false), "at once is not again");
        assert!(!learned.goes_round(&domain("near.example"), at(2)));
        let later = at(ROUTES_TWICE_SECONDS);
        assert_eq!(learned.unreached(&domain("far.example"), &google, later), (true, false), "it alone goes round");
        assert!(!learned.goes_round(&domain("near.example"), later));
        assert_eq!(learned.encode(), b"", "nothing is kept before the smarthost was reached");
        learned.smarthost_reached(false);
        assert!(!learned.goes_round(&domain("far.example"), later), "the network was down");
    }

    #[test]
    fn several_destinations_in_several_networks_are_the_line() {
        let mut learned = Learned::default();
        assert_eq!(learned.unreached(&domain("a.example"), &[ip("192.0.2.1")], at(0)), (false, false));
        assert_eq!(learned.unreached(&domain("b.example"), &[ip("192.0.2.9")], at(1)), (false, false), "one network");
        assert_eq!(learned.unreached(&domain("c.example"), &[ip("198.51.100.1")], at(2)), (false, false));
        let mut clear = learned.clone();
        assert!(!clear.reached(), "nothing was kept");
        assert_eq!(clear.unreached(&domain("d.example"), &[ip("203.0.113.1")], at(3)), (false, false));
        assert_eq!(learned.unreached(&domain("d.example"), &[ip("203.0.113.1")], at(3)), (true, true));
        assert!(learned.goes_round(&domain("else.example"), at(4)));
        assert!(learned.smarthost_reached(true) && !learned.smarthost_reached(true));
        assert_eq!(Learned::decode(&learned.encode()).lessons(at(4)).count(), 1);
    }

    #[test]
    fn when_the_lesson_about_all_ends_one_message_tries() {
        let mut learned = Learned::default();
        for (name, address) in [("a.example", "192.0.2.1"), ("b.example", "198.51.100.1"), ("c.example", "203.0.113.1")]
        {
            learned.unreached(&domain(name), &[ip(address)], at(0));
        }
        learned.smarthost_reached(true);
        let over = at(ROUTES_ALL_SECONDS);
        assert!(!learned.goes_round(&domain("x.example"), over), "the first tries");
        assert!(learned.goes_round(&domain("y.example"), over), "the others go on as they did");
        let mut worse = learned.clone();
        assert!(worse.unreached(&domain("x.example"), &[ip("192.0.2.7")], over).0);
        assert!(worse.goes_round(&domain("x.example"), over.plus(Duration::from_secs(ROUTES_TRIAL_SECONDS))));
        assert!(learned.reached(), "it worked, which is to be kept");
        assert!(!learned.goes_round(&domain("y.example"), over));
    }

    #[test]
    fn everything_is_bounded() {
        let mut learned = Learned::default();
        for n in 0..2 * ROUTES_LEARNED_MAX {
            let name = domain(&format!("d{n}.example"));
            learned.refused(&name, &name, &"long ".repeat(500), at(0));
            learned.unreached(&name, &[IpAddr::from([10, u8::try_from(n % 256).expect("small"), 0, 1])], at(0));
        }
        assert!(learned.names.len() <= ROUTES_LEARNED_MAX && learned.line.unreached.len() <= ROUTES_UNREACHED_MAX);
        learned.smarthost_reached(true);
        assert!(learned.encode().len() < 60_000);
        assert_eq!(Learned::decode(b"nonsense\n\xff 1 2\nx y z w\n"), Learned::default());
    }
}
