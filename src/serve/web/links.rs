//! Links that open the page of a device, once.
//!
//! Receives what a page has to show; hands it on to whoever comes with the link first. A link (`/d/SECRET`) is used up by its first
//! opening, which leads on to a page with a secret of its own (`/p/SECRET`): that one is known to nobody but whose browser was led there, and
//! to nobody by the code on the terminal. Addresses bind nothing here: a phone changes between IPv4, IPv6 and its mobile network while it
//! loads a page and what belongs to it.
//!
//! What always holds: links lie in memory alone; one that has had its time is gone, and its password is wiped, whether anybody asks or
//! not; secrets are compared in constant time; whoever asks for too many wrong ones is not looked at.

use crate::limits::*;
use crate::net::Clock;
use crate::serve::admission::Network;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event_listener::Event;
use rustls_pki_types::CertificateDer;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What the page of a device is made of.
#[derive(Clone)]
pub struct Offer {
    /// The name of the device.
    pub device: String,
    /// Its password, wiped when nobody has it any more; `None`: it gets a new one when the link is opened, so that a link that nobody opens
    /// changes nothing.
    pub password: Option<Zeroizing<String>>,
    /// What devices have to trust; `None`: they trust the server's certificate already.
    pub authority: Option<CertificateDer<'static>>,
}

/// A secret of a link or a page.
type Secret = Zeroizing<[u8; WEB_LINK_BYTES]>;

/// The links of a node.
#[derive(Default)]
pub struct Links {
    shelf: Mutex<Shelf>,
    changed: Event,
}

#[derive(Default)]
struct Shelf {
    /// The oldest first; at most [`WEB_LINKS_MAX`].
    links: Vec<Link>,
    /// Wrong links by network: how many, and when the last one.
    wrong: HashMap<Network, (u32, Duration)>,
}

struct Link {
    secret: Secret,
    page: Secret,
    is_used: bool,
    until: Duration,
    offer: Offer,
}

/// What there is at the end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A page with this secret, for this device; `is_ready`: it has a password to show.
    Page {
        /// As it stands in the address of the page.
        secret: String,
        /// Its name.
        device: String,
        /// Else [`Links::fulfil`] makes it so.
        is_ready: bool,
    },
    /// Nothing any more: it was opened before.
    Used,
    /// Nothing.
    Wrong,
    /// It was not looked.
    TooMany,
}

/// What there is of a page.
pub enum Look {
    /// Here it is, and so long it stays.
    Offer {
        /// What it shows; a copy for this one answer.
        offer: Box<Offer>,
        /// From now on.
        stays: Duration,
    },
    /// Nothing.
    Wrong,
    /// It was not looked.
    TooMany,
}

impl Links {
    /// Makes a link for a device, and ends all others for it. Returns its secret as it stands in the link. `random` is for this link alone.
    pub fn make(&self, offer: Offer, random: Zeroizing<[u8; 2 * WEB_LINK_BYTES]>, now: Duration) -> String {
        let (mut secret, mut page) = (Secret::default(), Secret::default());
        let (first, second) = random.split_at(WEB_LINK_BYTES);
        secret.copy_from_slice(first);
        page.copy_from_slice(second);
        let text = URL_SAFE_NO_PAD.encode(*secret);
        let until = now.saturating_add(Duration::from_secs(WEB_LINK_SECONDS));
        let mut shelf = self.shelf();
        shelf.links.retain(|link| !link.offer.device.eq_ignore_ascii_case(&offer.device));
        if shelf.links.len() >= WEB_LINKS_MAX {
            shelf.links.remove(0);
        }
        shelf.links.push(Link { secret, page, is_used: false, until, offer });
        drop(shelf);
        self.changed.notify(usize::MAX);
        text
    }

    /// Ends the links for a device.
    pub fn forget(&self, device: &str) {
        self.shelf().links.retain(|link| !link.offer.device.eq_ignore_ascii_case(device));
    }

    /// Opens a link; not for good when only its head `only_head`.
    pub fn open(&self, text: &str, peer: IpAddr, now: Duration, only_head: bool) -> Opening {
        let mut shelf = self.shelf();
        let Some(network) = shelf.admit(peer, now) else { return Opening::TooMany };
        match shelf.find(text, |link| &link.secret, now) {
            Some(link) if link.is_used => Opening::Used,
            Some(link) => {
                link.is_used = !only_head;
                Opening::Page {
                    secret: URL_SAFE_NO_PAD.encode(*link.page),
                    device: link.offer.device.clone(),
                    is_ready: link.offer.password.is_some(),
                }
            }
            None => {
                shelf.note_wrong(network, peer, now);
                Opening::Wrong
            }
        }
    }

    /// The page with this secret has this password to show; `None`: there is none, and its link can be opened once more.
    pub fn fulfil(&self, page: &str, password: Option<Zeroizing<String>>, now: Duration) {
        if let Some(link) = self.shelf().find(page, |link| &link.page, now) {
            link.is_used = password.is_some();
            link.offer.password = password;
        }
    }

    /// Looks for the page with this secret, whose link was opened.
    pub fn look(&self, text: &str, peer: IpAddr, now: Duration) -> Look {
        let mut shelf = self.shelf();
        let Some(network) = shelf.admit(peer, now) else { return Look::TooMany };
        match shelf.find(text, |link| &link.page, now).filter(|link| link.is_used) {
            Some(link) => Look::Offer { offer: Box::new(link.offer.clone()), stays: link.until.saturating_sub(now) },
            None => {
                shelf.note_wrong(network, peer, now);
                Look::Wrong
            }
        }
    }

    /// Wipes each link when its time has come, until it is dropped.
    pub async fn look_after(&self, clock: &Clock) {
        loop {
            let changed = self.changed.listen();
            let now = clock.steady();
            let next = self.shelf().wipe(now);
            let due = async {
                match next {
                    Some(at) => clock.sleep(at.saturating_sub(now)).await,
                    None => smol::future::pending().await,
                }
            };
            smol::future::or(due, changed).await;
        }
    }

    /// Every change is complete before anything can fail.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Shelf {
    /// Drops what has had its time; when the next one has.
    fn wipe(&mut self, now: Duration) -> Option<Duration> {
        self.links.retain(|link| link.until > now);
        self.links.iter().map(|link| link.until).min()
    }

    /// All links are compared, whichever it is.
    fn find(&mut self, text: &str, secret_of: fn(&Link) -> &Secret, now: Duration) -> Option<&mut Link> {
        self.wipe(now);
        let mut given = Secret::default();
        let is_one = matches!(URL_SAFE_NO_PAD.decode_slice(text, &mut *given), Ok(WEB_LINK_BYTES));
        let fits = |link: &Link| bool::from(secret_of(link)[..].ct_eq(&given[..])) && is_one;
        let found: Vec<bool> = self.links.iter().map(fits).collect();
        let at = found.iter().position(|fits| *fits)?;
        self.links.get_mut(at)
    }

    /// The network of whoever asks; `None`: it has asked for too many wrong links.
    fn admit(&mut self, peer: IpAddr, now: Duration) -> Option<Network> {
        let forgiven = Duration::from_secs(WEB_WRONG_LINKS_SECONDS);
        self.wrong.retain(|_, (_, last)| now.saturating_sub(*last) < forgiven);
        let network = Network::of(peer, ADMISSION_IPV4_PREFIX_BITS);
        let is_wild = self.wrong.get(&network).is_some_and(|(count, _)| *count >= WEB_WRONG_LINKS_MAX);
        (!is_wild).then_some(network)
    }

    fn note_wrong(&mut self, network: Network, peer: IpAddr, now: Duration) {
        if self.wrong.len() >= WEB_WRONG_LINK_NETWORKS_MAX
            && !self.wrong.contains_key(&network)
            && let Some(silent) = self.wrong.iter().min_by_key(|(_, (_, last))| *last).map(|(network, _)| *network)
        {
            self.wrong.remove(&silent);
        }
        let (count, last) = self.wrong.entry(network).or_insert((0, now));
        (*count, *last) = (*count + 1, now);
        if *count == WEB_WRONG_LINKS_MAX {
            log::warn!("event=wrong-links peer={peer} count={count}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::twin::Twin;

    const PHONE: &str = "192.0.2.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn make(links: &Links, device: &str, seed: u8, now: Duration) -> String {
        let password = Zeroizing::new(format!("password of {device}"));
        let offer = Offer { device: device.to_owned(), password: Some(password), authority: None };
        let mut random = Zeroizing::new([seed; 2 * WEB_LINK_BYTES]);
        random[0] = 0;
        links.make(offer, random, now)
    }

    fn page(links: &Links, link: &str, now: Duration) -> String {
        match links.open(link, ip(PHONE), now, false) {
            Opening::Page { secret, is_ready: true, .. } => secret,
            other => panic!("{other:?}"),
        }
    }

    fn sees(links: &Links, page: &str, now: Duration) -> Option<String> {
        match links.look(page, ip(PHONE), now) {
            Look::Offer { offer, .. } => Some(offer.device),
            _ => None,
        }
    }

    #[test]
    fn a_link_opens_once_and_its_page_stays_for_its_time() {
        let links = Links::default();
        let link = make(&links, "phone", 1, at(0));
        assert_eq!(link.len(), 22);
        // Whoever looks at the head alone uses nothing up, and gets no page by it.
        let Opening::Page { secret: unopened, .. } = links.open(&link, ip(PHONE), at(1), true) else { panic!() };
        assert_eq!(sees(&links, &unopened, at(1)), None);
        let page = page(&links, &link, at(2));
        assert_ne!(page, link);
        assert_eq!(links.open(&link, ip(PHONE), at(3), false), Opening::Used);
        assert_eq!(sees(&links, &link, at(3)), None);
        assert_eq!(sees(&links, &page, at(WEB_LINK_SECONDS - 1)).as_deref(), Some("phone"));
        assert_eq!(sees(&links, &page, at(WEB_LINK_SECONDS)), None);
        assert!(links.shelf().links.is_empty());
        assert_eq!(links.open(&link, ip(PHONE), at(WEB_LINK_SECONDS), false), Opening::Wrong);
    }

    #[test]
    fn a_new_link_ends_the_old_one_of_the_device() {
        let links = Links::default();
        let old = make(&links, "phone", 1, at(0));
        let other = make(&links, "tablet", 2, at(0));
        let new = make(&links, "PHONE", 3, at(1));
        assert_eq!(links.open(&old, ip(PHONE), at(1), false), Opening::Wrong);
        page(&links, &other, at(1));
        links.forget("phone");
        assert_eq!(links.open(&new, ip(PHONE), at(1), false), Opening::Wrong);
        let many: Vec<_> = (0..9).map(|n| make(&links, &format!("d{n}"), 10 + n, at(2))).collect();
        assert_eq!(links.shelf().links.len(), WEB_LINKS_MAX);
        assert_eq!(links.open(&many[0], ip(PHONE), at(2), false), Opening::Wrong);
    }

    #[test]
    fn a_network_that_guesses_is_not_looked_at() {
        let links = Links::default();
        let link = make(&links, "phone", 1, at(0));
        for text in
            ["", "x", "AAAAAAAAAAAAAAAAAAAAAA", &"A".repeat(23), "ä"].iter().cycle().take(WEB_WRONG_LINKS_MAX as usize)
        {
            assert_eq!(links.open(text, ip(PHONE), at(1), false), Opening::Wrong);
        }
        assert_eq!(links.open(&link, ip(PHONE), at(1), false), Opening::TooMany);
        assert!(matches!(links.look("x", ip(PHONE), at(1)), Look::TooMany));
        assert!(matches!(links.open(&link, ip("192.0.2.2"), at(1), true), Opening::Page { .. }));
        assert!(matches!(links.open(&link, ip(PHONE), at(1 + WEB_WRONG_LINKS_SECONDS), true), Opening::Wrong));
        for n in 0..2 * WEB_WRONG_LINK_NETWORKS_MAX as u32 {
            links.open("x", IpAddr::from(n.to_be_bytes()), at(2), false);
        }
        assert_eq!(links.shelf().wrong.len(), WEB_WRONG_LINK_NETWORKS_MAX);
    }

    #[test]
    fn a_page_without_a_password_gets_one_when_it_is_opened() {
        let links = Links::default();
        let offer = Offer { device: "phone".into(), password: None, authority: None };
        let link = links.make(offer, Zeroizing::new([7; 2 * WEB_LINK_BYTES]), at(0));
        let open = || match links.open(&link, ip(PHONE), at(1), false) {
            Opening::Page { secret, is_ready: false, .. } => secret,
            other => panic!("{other:?}"),
        };
        let page = open();
        links.fulfil(&page, None, at(1));
        assert_eq!(open(), page);
        links.fulfil(&page, Some(Zeroizing::new("new".into())), at(2));
        assert!(
            matches!(links.look(&page, ip(PHONE), at(3)), Look::Offer { offer, .. } if offer.password.as_deref().map(String::as_str) == Some("new"))
        );
    }

    #[test]
    fn links_are_wiped_in_time_without_being_asked_for() {
        let (twin, links) = (Twin::new(1), Links::default());
        let clock = twin.clock();
        let mut after = Box::pin(links.look_after(&clock));
        let mut step = || assert!(smol::block_on(smol::future::poll_once(&mut after)).is_none());
        step();
        make(&links, "phone", 1, clock.steady());
        step();
        twin.hand().advance(at(WEB_LINK_SECONDS - 1));
        step();
        assert_eq!(links.shelf().links.len(), 1);
        twin.hand().advance(at(1));
        step();
        assert!(links.shelf().links.is_empty());
    }
}
