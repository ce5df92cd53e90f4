//! Who this node takes mail for, and what becomes of it.
//!
//! Made from the configuration; receives addresses and the time, hands on where mail for them goes, or why nowhere. Knows no
//! store: that a mailbox is there is somebody else's business.
//!
//! What always holds: an address is looked up as it is, then without its tag, then by its domain; local parts are compared
//! without regard to case. Mail that is taken for an address goes at least one way, and no chain of addresses leads in
//! circles.

use crate::limits::FORWARD_TARGETS_MAX;
use crate::wire::address::{Address, Domain, ReversePath};
use crate::wire::date::Timestamp;
use std::collections::HashMap;

/// The addresses of this node.
#[derive(Clone, Debug, Default)]
pub struct AddressBook {
    entries: HashMap<(String, Domain), Entry>,
    domains: HashMap<Domain, Others>,
    /// Characters that part a tag from the address it belongs to (`me+shop`).
    separators: String,
    /// A tag that is the name of a mailbox leads there.
    tag_mailboxes: bool,
    blocked: Vec<SenderPattern>,
}

/// What becomes of mail to one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// From this moment on it is not taken any more.
    pub until: Option<Timestamp>,
    /// Delivered here.
    pub place: Option<Place>,
    /// Sent on to these; those of ours go their own ways.
    pub forward: Vec<Address>,
    /// Handed to a server inside.
    pub gateway: Option<Gateway>,
}

/// A mailbox of the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// INBOX.
    Inbox,
    /// The mailbox of this name; made when it is missing.
    Named(String),
    /// The mailbox that has the name of this tag, if there is one; otherwise INBOX. Strangers choose tags, so none is made.
    Tagged(String),
}

/// What becomes of mail to the other addresses of a domain of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// There are none.
    #[default]
    Unknown,
    /// As if for this address of ours.
    CatchAll(Address),
    /// Handed to a server inside.
    Gateway(Gateway),
}

/// A server that takes mail from this one, in the house or next to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How it speaks TLS.
    pub tls: GatewayTls,
    /// It is asked about a recipient before mail for them is taken.
    pub verify: bool,
}

/// How a gateway speaks TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GatewayTls {
    /// STARTTLS when it is offered, whatever the certificate (RFC 7435).
    #[default]
    IfOffered,
    /// None.
    Plain,
    /// STARTTLS required, certificate verified.
    StartTls,
    /// TLS from the first byte, certificate verified.
    Implicit,
}

/// Senders whose mail is not wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderPattern {
    /// Of bounces: `<>`.
    Null,
    /// One address.
    Address(Address),
    /// Everybody at a domain.
    Domain(Domain),
    /// Everybody at the domains below this one: `*.domain`.
    Below(Domain),
}

/// Why mail is not taken for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The domain is not ours.
    Elsewhere,
    /// Nobody has this address.
    Unknown,
    /// Its time is over.
    Expired,
}

/// Where one message goes, over all of its recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Mailboxes here, each once.
    pub places: Vec<Place>,
    /// Addresses elsewhere, each once, with the recipient whose mail is sent on to them.
    pub forwards: Vec<(Address, Address)>,
    /// Addresses whose mail goes on as it came, each once: to a gateway, or where the owner sends it.
    pub onward: Vec<Address>,
}

/// An address that was looked up.
enum Found<'a> {
    Entry(&'a Entry),
    Others(&'a Gateway),
}

impl AddressBook {
    /// A book without addresses.
    pub fn new(separators: &str, tag_mailboxes: bool, blocked: Vec<SenderPattern>) -> AddressBook {
        AddressBook { separators: separators.to_owned(), tag_mailboxes, blocked, ..AddressBook::default() }
    }

    /// Makes a domain ours; what is said last counts.
    pub fn add_domain(&mut self, domain: Domain, others: Others) {
        self.domains.insert(domain, others);
    }

    /// Adds an address of a domain of ours; what is said last counts.
    pub fn add(&mut self, address: &Address, entry: Entry) {
        self.entries.insert(key(address), entry);
    }

    /// Whether mail for the domain comes to this node.
    pub fn has_domain(&self, domain: &Domain) -> bool {
        self.domains.contains_key(domain)
    }

    /// Whether the domain is ours, and not one that a gateway has whole.
    pub fn is_own_domain(&self, domain: &Domain) -> bool {
        self.domains.get(domain).is_some_and(|others| !matches!(others, Others::Gateway(_)))
    }

    /// Whether an address means the owner: mail for it does not go inside.
    pub fn is_own(&self, address: &Address) -> bool {
        matches!(self.find(address), Ok((Found::Entry(entry), _)) if entry.gateway.is_none() && !entry.is_refused())
    }

    /// Whether mail for one address can go the way of another.
    pub fn leads_to(&self, from: &Address, to: &Address) -> bool {
        let Some((wanted, _)) = self.named(to) else { return false };
        let mut seen: Vec<&Entry> = Vec::new();
        let mut ahead = vec![from];
        while let Some(address) = ahead.pop() {
            let Ok((Found::Entry(entry), _)) = self.find(address) else { continue };
            if std::ptr::eq(entry, wanted) {
                return true;
            }
            if !seen.iter().any(|known| std::ptr::eq(*known, entry)) {
                seen.push(entry);
                ahead.extend(&entry.forward);
            }
        }
        false
    }

    /// The server inside that has this address.
    pub fn gateway(&self, address: &Address) -> Option<&Gateway> {
        match self.find(address).ok()? {
            (Found::Others(gateway), _) => Some(gateway),
            (Found::Entry(entry), _) => entry.gateway.as_ref(),
        }
    }

    /// Whether mail for the address goes on to other servers, elsewhere or inside, in time or not.
    pub fn is_sent_on(&self, address: &Address) -> bool {
        let mut ways = Ways::default();
        let taken = self.resolve(address, Timestamp(i64::MIN), &mut ways);
        taken.is_ok() && (!ways.forwards.is_empty() || !ways.onward.is_empty())
    }

    /// Whether mail from this sender is not wanted by this recipient. Postmaster wants all of it (RFC 5321 section 4.5.1).
    pub fn is_blocked(&self, sender: &ReversePath, recipient: &Address) -> bool {
        !is_postmaster(recipient) && self.blocked.iter().any(|pattern| pattern.fits(sender))
    }

    /// Adds the ways of mail for a recipient.
    ///
    /// # Errors
    /// *No*: nothing was added.
    pub fn resolve(&self, recipient: &Address, now: Timestamp, ways: &mut Ways) -> Result<(), Refusal> {
        self.follow(recipient, (recipient, ""), now, &mut Vec::new(), ways)
    }

    /// Goes one step. `first`: where the walk began; `seen`: the entries visited; none is visited twice, or circles would never end.
    fn follow<'a>(
        &'a self,
        recipient: &Address,
        (first, first_tag): (&Address, &str),
        now: Timestamp,
        seen: &mut Vec<&'a Entry>,
        ways: &mut Ways,
    ) -> Result<(), Refusal> {
        let (entry, tag) = match self.find(recipient)? {
            (Found::Others(_), _) => {
                ways.add_onward(recipient);
                return Ok(());
            }
            (Found::Entry(entry), tag) => (entry, if tag.is_empty() { first_tag } else { tag }),
        };
        if entry.is_refused() || seen.iter().any(|known| std::ptr::eq(*known, entry)) {
            return Err(Refusal::Unknown);
        }
        if entry.until.is_some_and(|until| now >= until) {
            return Err(Refusal::Expired);
        }
        let mut answer = Err(Refusal::Unknown);
        if entry.gateway.is_some() {
            ways.add_onward(recipient);
            answer = Ok(());
        }
        if let Some(place) = &entry.place {
            let place = match place {
                Place::Inbox if self.tag_mailboxes && !tag.is_empty() => Place::Tagged(tag.to_owned()),
                place => place.clone(),
            };
            add(&mut ways.places, place, PartialEq::eq);
            answer = Ok(());
        }
        seen.push(entry);
        for target in entry.forward.iter().take(FORWARD_TARGETS_MAX) {
            let went = match self.follow(target, (first, tag), now, seen, ways) {
                Err(Refusal::Elsewhere) => {
                    let forward = (target.clone(), first.clone());
                    add(&mut ways.forwards, forward, |a, b| a.0.same_as(&b.0));
                    Ok(())
                }
                other => other,
            };
            answer = answer.or(went);
        }
        answer
    }

    /// Looks an address up, and tells its tag.
    fn find<'a, 'b>(&'a self, address: &'b Address) -> Result<(Found<'a>, &'b str), Refusal> {
        let others = self.domains.get(&address.domain).ok_or(Refusal::Elsewhere)?;
        if let Some((entry, tag)) = self.named(address) {
            let is_routed = entry.gateway.is_some() && is_route(tag);
            return if is_routed { Err(Refusal::Unknown) } else { Ok((Found::Entry(entry), tag)) };
        }
        match others {
            Others::Gateway(_) if is_route(&address.local) => Err(Refusal::Unknown),
            Others::Gateway(gateway) => Ok((Found::Others(gateway), "")),
            Others::CatchAll(own) => {
                self.named(own).map(|(entry, _)| (Found::Entry(entry), "")).ok_or(Refusal::Unknown)
            }
            Others::Unknown => Err(Refusal::Unknown),
        }
    }

    /// The entry of an address, or of what stands before its tag: the longest that has one.
    fn named<'a, 'b>(&'a self, address: &'b Address) -> Option<(&'a Entry, &'b str)> {
        let entry = |local: &str| self.entries.get(&(local.to_lowercase(), address.domain.clone()));
        if let Some(entry) = entry(&address.local) {
            return Some((entry, ""));
        }
        let mut parted = address.local.rmatch_indices(|c| self.separators.contains(c));
        parted.find_map(|(at, separator)| {
            let (base, rest) = address.local.split_at_checked(at)?;
            entry(base).map(|entry| (entry, rest.get(separator.len()..).unwrap_or_default()))
        })
    }
}

impl Ways {
    /// Adds an address whose mail goes on as it came.
    pub fn add_onward(&mut self, address: &Address) {
        add(&mut self.onward, address.clone(), Address::same_as);
    }
}

impl Entry {
    /// Delivered to INBOX.
    pub fn inbox() -> Entry {
        Entry { place: Some(Place::Inbox), ..Entry::default() }
    }

    /// Another name of an address of ours.
    pub fn alias_of(own: &Address) -> Entry {
        Entry { forward: vec![own.clone()], ..Entry::default() }
    }

    /// An address that takes nothing, though others of its domain do.
    pub fn refused() -> Entry {
        Entry::default()
    }

    fn is_refused(&self) -> bool {
        self.place.is_none() && self.forward.is_empty() && self.gateway.is_none()
    }
}

impl SenderPattern {
    fn fits(&self, sender: &ReversePath) -> bool {
        match (self, sender) {
            (SenderPattern::Null, ReversePath::Null) => true,
            (SenderPattern::Address(pattern), ReversePath::Address(sender)) => pattern.same_as(sender),
            (SenderPattern::Domain(pattern), ReversePath::Address(sender)) => *pattern == sender.domain,
            (SenderPattern::Below(pattern), ReversePath::Address(sender)) => {
                let above = sender.domain.as_str().strip_suffix(pattern.as_str());
                above.is_some_and(|labels| labels.ends_with('.'))
            }
            _ => false,
        }
    }
}

/// Whether the address is the one that everybody must be able to write to.
pub fn is_postmaster(address: &Address) -> bool {
    address.local.eq_ignore_ascii_case("postmaster")
}

/// Whether some servers would read a way to elsewhere in this. One inside would go it for strangers, because they come from us.
fn is_route(local: &str) -> bool {
    local.contains(['@', '%', '!'])
}

fn key(address: &Address) -> (String, Domain) {
    (address.local.to_lowercase(), address.domain.clone())
}

fn add<T>(list: &mut Vec<T>, item: T, same: impl Fn(&T, &T) -> bool) {
    if !list.iter().any(|known| same(known, &item)) {
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn address(text: &str) -> Address {
        text.parse().expect("an address")
    }

    fn gateway(host: &str) -> Gateway {
        Gateway { host: host.into(), port: 25, tls: GatewayTls::IfOffered, verify: false }
    }

    fn forwards(targets: &[&str]) -> Entry {
        Entry { forward: targets.iter().map(|target| address(target)).collect(), ..Entry::default() }
    }

    fn book() -> AddressBook {
        let blocked = vec![
            SenderPattern::Address(address("eve@far.example")),
            SenderPattern::Domain(Domain::new("spam.example")),
            SenderPattern::Below(Domain::new("spam.test")),
        ];
        let mut book = AddressBook::new("+", false, blocked);
        book.add_domain(Domain::new("home.example"), Others::Unknown);
        book.add_domain(Domain::new("all.example"), Others::CatchAll(address("me@home.example")));
        book.add_domain(Domain::new("inside.example"), Others::Gateway(gateway("10.0.0.1")));
        book.add(&address("Me@home.example"), Entry::inbox());
        book.add(&address("shop@home.example"), Entry { place: Some(Place::Named("Shop".into())), ..Entry::default() });
        book.add(&address("info@home.example"), Entry::alias_of(&address("shop@home.example")));
        book.add(&address("sales@all.example"), Entry::refused());
        book.add(&address("tmp@home.example"), Entry { until: Some(NOW), ..Entry::inbox() });
        book.add(&address("kid@home.example"), Entry { gateway: Some(gateway("10.0.0.2")), ..Entry::default() });
        book.add(&address("boss@inside.example"), Entry::inbox());
        let club =
            Entry { place: Some(Place::Inbox), ..forwards(&["a@far.example", "B@far.example", "kid@home.example"]) };
        book.add(&address("club@home.example"), club);
        book
    }

    fn ways(book: &AddressBook, recipients: &[&str], now: Timestamp) -> Result<Ways, Refusal> {
        let mut ways = Ways::default();
        recipients.iter().try_for_each(|text| book.resolve(&address(text), now, &mut ways))?;
        Ok(ways)
    }

    fn places(recipients: &[&str]) -> Vec<Place> {
        let ways = ways(&book(), recipients, NOW).expect("taken");
        assert_eq!((ways.forwards.len(), ways.onward.len()), (0, 0));
        ways.places
    }

    fn refused(recipient: &str) -> Refusal {
        ways(&book(), &[recipient], NOW).expect_err("refused")
    }

    #[test]
    fn own_addresses_in_any_case_and_with_tags() {
        for own in ["me@home.example", "ME@HOME.example", "me+tag@home.example", "me+a+b@home.example", "x@all.example"]
        {
            assert_eq!(places(&[own]), [Place::Inbox], "{own}");
            assert!(book().is_own(&address(own)), "{own}");
        }
        assert_eq!(places(&["shop+x@home.example", "info@home.example"]), [Place::Named("Shop".into())]);
        assert_eq!(places(&["me@home.example", "shop@home.example"]).len(), 2);
    }

    #[test]
    fn what_is_not_taken() {
        for unknown in
            ["you@home.example", "+me@home.example", "sales@all.example", "Sales+x@all.example", "m@home.example"]
        {
            assert_eq!(refused(unknown), Refusal::Unknown, "{unknown}");
            assert!(!book().is_own(&address(unknown)), "{unknown}");
        }
        assert_eq!(refused("me@far.example"), Refusal::Elsewhere);
        assert_eq!(refused("tmp@home.example"), Refusal::Expired);
        let before = Timestamp(NOW.0 - 1);
        assert_eq!(ways(&book(), &["tmp+a@home.example"], before).map(|ways| ways.places), Ok(vec![Place::Inbox]));
    }

    #[test]
    fn forwards_and_gateways() {
        let club = ways(&book(), &["club@home.example", "me@home.example"], NOW).expect("taken");
        assert_eq!(club.places, [Place::Inbox]);
        let of = address("club@home.example");
        assert_eq!(club.forwards, [(address("a@far.example"), of.clone()), (address("B@far.example"), of)]);
        assert_eq!(club.onward, [address("kid@home.example")]);
        assert!(book().is_sent_on(&address("club+x@home.example")) && !book().is_sent_on(&address("me@home.example")));
        assert!(book().is_sent_on(&address("kid@home.example")) && !book().is_sent_on(&address("nobody@home.example")));
        let inside =
            ways(&book(), &["kid+x@home.example", "ann@inside.example", "boss@inside.example"], NOW).expect("taken");
        assert_eq!(inside.onward, [address("kid+x@home.example"), address("ann@inside.example")]);
        assert_eq!(inside.places, [Place::Inbox]);
        let book = book();
        assert_eq!(book.gateway(&address("kid+x@home.example")).map(|g| g.host.as_str()), Some("10.0.0.2"));
        assert_eq!(book.gateway(&address("ann@inside.example")).map(|g| g.host.as_str()), Some("10.0.0.1"));
        assert_eq!(book.gateway(&address("boss@inside.example")), None);
        for route in
            ["ada%far.example@inside.example", "far.example!ada@inside.example", "\"ada@far.example\"@inside.example"]
        {
            assert_eq!((refused(route), book.gateway(&address(route))), (Refusal::Unknown, None));
        }
        assert_eq!(book.gateway(&address("me@home.example")), None);
        assert!(!book.is_own(&address("kid@home.example")) && !book.is_own(&address("ann@inside.example")));
        assert!(book.is_own(&address("club@home.example")) && book.is_own(&address("boss@inside.example")));
        assert!(book.has_domain(&Domain::new("inside.example")) && !book.is_own_domain(&Domain::new("inside.example")));
    }

    #[test]
    fn circles_lead_nowhere() {
        let mut book = book();
        book.add(&address("one@home.example"), forwards(&["two@home.example"]));
        book.add(&address("two@home.example"), forwards(&["one@home.example", "one+x@home.example"]));
        assert_eq!(ways(&book, &["one@home.example"], NOW), Err(Refusal::Unknown));
        book.add(&address("two@home.example"), forwards(&["one@home.example", "me@home.example", "tmp@home.example"]));
        assert_eq!(ways(&book, &["one@home.example"], NOW).map(|ways| ways.places), Ok(vec![Place::Inbox]));
        for (from, to, leads) in
            [("one", "one", true), ("one", "me", true), ("me", "one", false), ("two", "one+x", true)]
        {
            let [from, to] = [from, to].map(|local| address(&format!("{local}@home.example")));
            assert_eq!(book.leads_to(&from, &to), leads, "{from} {to}");
        }
        book.add(&address("old@home.example"), Entry::alias_of(&address("tmp@home.example")));
        assert_eq!(ways(&book, &["old@home.example"], NOW), Err(Refusal::Expired));
    }

    #[test]
    fn tags_lead_to_mailboxes_when_asked_for() {
        let mut book = AddressBook::new("+-", true, Vec::new());
        book.add_domain(Domain::new("home.example"), Others::Unknown);
        book.add(&address("my-name@home.example"), Entry::inbox());
        book.add(&address("info@home.example"), Entry::alias_of(&address("my-name@home.example")));
        for (recipient, place) in [
            ("my-name@home.example", Place::Inbox),
            ("my-name-Shop@home.example", Place::Tagged("Shop".into())),
            ("my-name+shop-2@home.example", Place::Tagged("shop-2".into())),
            ("info+shop@home.example", Place::Tagged("shop".into())),
            ("my-name+@home.example", Place::Inbox),
        ] {
            assert_eq!(ways(&book, &[recipient], NOW).map(|ways| ways.places), Ok(vec![place]), "{recipient}");
        }
        assert_eq!(ways(&book, &["my@home.example"], NOW), Err(Refusal::Unknown));
    }

    #[test]
    fn unwanted_senders() {
        let (book, me) = (book(), address("me@home.example"));
        let from = |text: &str| ReversePath::Address(address(text));
        for blocked in ["Eve@far.example", "anybody@spam.example", "x@a.spam.test", "x@a.b.spam.test"] {
            assert!(book.is_blocked(&from(blocked), &me), "{blocked}");
            assert!(!book.is_blocked(&from(blocked), &address("Postmaster@home.example")), "{blocked}");
        }
        for wanted in ["ada@far.example", "x@a.spam.example", "x@spam.test", "x@nospam.test", "x@notspam.example"] {
            assert!(!book.is_blocked(&from(wanted), &me), "{wanted}");
        }
        assert!(!book.is_blocked(&ReversePath::Null, &me));
        assert!(AddressBook::new("", false, vec![SenderPattern::Null]).is_blocked(&ReversePath::Null, &me));
    }

    proptest! {
        #[test]
        fn every_answer_is_a_way_or_a_refusal(locals in proptest::collection::vec("[a-c]{1}(\\+[a-c])?", 1..4), arrows in proptest::collection::vec((0..4usize, 0..5usize), 0..8)) {
            let mut book = AddressBook::new("+", true, Vec::new());
            book.add_domain(Domain::new("home.example"), Others::CatchAll(address("a@home.example")));
            let names = ["a", "b", "c", "d"].map(|local| address(&format!("{local}@home.example")));
            for (from, to) in arrows {
                let mut entry = book.entries.get(&key(&names[from])).cloned().unwrap_or_default();
                match names.get(to) {
                    Some(target) => entry.forward.push(target.clone()),
                    None => entry.forward.push(address("x@far.example")),
                }
                book.add(&names[from], entry);
            }
            let mut ways = Ways::default();
            for local in locals {
                let before = ways.clone();
                let answer = book.resolve(&address(&format!("{local}@home.example")), NOW, &mut ways);
                prop_assert!(answer.is_ok() || before == ways);
                prop_assert!(answer.is_err() || !ways.forwards.is_empty());
            }
        }
    }
}
