//! Password checks for every protocol: one place, bounded, delayed after failures.
//!
//! Receives a login and a password as a protocol got them; hands on who it is. Not SASL (that is `wire::sasl`) and not a
//! list of accounts: there is one owner. What always holds:
//!
//! - A password that was right before and still is, is welcome at once, whatever its network has done: nobody can lock
//!   the owner's phone out.
//! - A network that has tried several different wrong passwords waits longer and longer. The same wrong password again
//!   (a device that still has the old one) counts once and costs no hash.
//! - Unknown logins cost the same hash as known ones.
//! - Hashing is done by one thread, so it takes at most one core however many ask.

use crate::limits::*;
use crate::mail::credential::Verifier;
use crate::net::Net;
use crate::serve::admission::Network;
use crate::serve::{Context, Site};
use crate::store::Trouble;
use crate::wire::date::Timestamp;
use ring::hmac;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Remembers recent successes (keyed hashes, so that phones that reconnect cost nothing) and failures per network.
/// Nothing of it survives a restart.
#[derive(Default)]
pub struct Logins {
    key: OnceLock<hmac::Key>,
    memory: Mutex<Memory>,
    hashing: OnceLock<smol::channel::Sender<Check>>,
    in_flight: AtomicUsize,
}

/// The answer to a login attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Who it is: the owner's canonical login.
    Welcome(String),
    /// Wrong login or password. The delay has already been served.
    Wrong,
    /// The store could not be asked, or the node is stopping; may work later.
    Unavailable,
}

impl Logins {
    /// Checks a password. `login` is the owner's login, its local part, or any of the owner's addresses, in any case.
    /// Waits after failures of the same network before it answers, at most [`LOGIN_DELAY_MILLIS_MAX`]. Cancel-safe: an
    /// attempt that is given up half-way counts as failed.
    pub async fn check(&self, context: &Context, peer: IpAddr, login: &str, password: &str) -> Verdict {
        let site = context.site();
        let owner = site.login.clone();
        let credential = match context.store.read(move |snapshot| snapshot.credential(&owner)).await {
            Ok(Some(credential)) => credential,
            Ok(None) => {
                log::warn!("event=login-impossible reason=\"no password has been set\"");
                return Verdict::Wrong;
            }
            Err(trouble) => return unavailable(&trouble),
        };
        let Some(tag) = self.tag(&context.net, &credential.verifier, login, password) else {
            return Verdict::Unavailable;
        };
        let clock = context.net.clock();
        if self.memory().is_known_success(&tag, clock.now()) {
            return Verdict::Welcome(site.login.clone());
        }
        let network = Network::of(peer, LOGIN_IPV4_PREFIX_BITS);
        let attempt = self.memory().begin_attempt(network, &tag, clock.now());
        if !attempt.wait.is_zero() {
            let waited = async {
                clock.sleep(attempt.wait).await;
                true
            };
            let stopped = async {
                context.stopping.asked().await;
                false
            };
            if !smol::future::or(waited, stopped).await {
                return Verdict::Unavailable;
            }
        }
        let right = match attempt.repeated {
            true => Some(false),
            false => self.hash(credential.verifier, password).await,
        };
        match right {
            Some(right) if right && is_owner(&site, login) => {
                self.memory().succeeded(network, tag, clock.now());
                log::info!("event=login peer={peer} login={login:?}");
                Verdict::Welcome(site.login.clone())
            }
            Some(_) => {
                self.memory().failed(network, &tag);
                log::info!("event=login-refused peer={peer} login={login:?} waited_ms={}", attempt.wait.as_millis());
                Verdict::Wrong
            }
            None => Verdict::Unavailable,
        }
    }

    /// A keyed hash of the attempt: equal exactly when verifier, login and password are. A new password of the owner
    /// makes every earlier tag void. `None` when the system has no random bytes for the key.
    fn tag(&self, net: &Net, verifier: &Verifier, login: &str, password: &str) -> Option<Tag> {
        let key = match self.key.get() {
            Some(key) => key,
            None => {
                let secret = net.random::<32>().inspect_err(|e| log::error!("event=no-random error={e}")).ok()?;
                self.key.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, &secret))
            }
        };
        let mut signing = hmac::Context::with_key(key);
        signing.update(&verifier.stored_key);
        signing.update(login.to_lowercase().as_bytes());
        signing.update(b"\0");
        signing.update(password.as_bytes());
        let mut tag = [0u8; 32];
        tag.copy_from_slice(signing.sign().as_ref());
        Some(tag)
    }

    /// Has the hashing thread compare; `None` when there is no such thread (any more).
    async fn hash(&self, verifier: Verifier, password: &str) -> Option<bool> {
        let hashing = match self.hashing.get() {
            Some(hashing) => hashing,
            None => {
                let started = start_hashing_thread()?;
                self.hashing.get_or_init(|| started)
            }
        };
        let _counted = InFlight::new(&self.in_flight);
        let (answer, answered) = smol::channel::bounded(1);
        hashing.send(Check { verifier, password: password.into(), answer }).await.ok()?;
        answered.recv().await.ok()
    }

    /// Checks that wait for the hashing thread; 0 means that no answer is under way. A check counts itself out only when
    /// its session has the answer in hand.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(trouble: &Trouble) -> Verdict {
    log::error!("event=login-unavailable trouble={trouble:?}");
    Verdict::Unavailable
}

/// Whether a login name means the owner.
fn is_owner(site: &Site, login: &str) -> bool {
    let login = login.to_lowercase();
    let canonical = site.login.to_lowercase();
    let local = canonical.split_once('@').map_or(canonical.as_str(), |(local, _)| local);
    login == canonical
        || login == local
        || site.addresses.iter().any(|address| address.to_string().to_lowercase() == login)
}

/// Counts one check, as long as it lives.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn new(gauge: &'a AtomicUsize) -> InFlight<'a> {
        gauge.fetch_add(1, Ordering::AcqRel);
        InFlight(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One comparison for the hashing thread.
struct Check {
    verifier: Verifier,
    password: String,
    answer: smol::channel::Sender<bool>,
}

/// Ends when the [`Logins`] that hold its sender are gone.
fn start_hashing_thread() -> Option<smol::channel::Sender<Check>> {
    let (sender, checks) = smol::channel::bounded::<Check>(LOGIN_CHECKS_WAITING_MAX);
    let work = move || {
        while let Ok(check) = checks.recv_blocking() {
            // Nobody waits any more when the session has gone meanwhile: that is fine.
            let _ = check.answer.try_send(check.verifier.matches(&check.password));
        }
    };
    let started = std::thread::Builder::new().name("hauspost-hash".into()).spawn(work);
    started.inspect_err(|e| log::error!("event=no-hashing-thread error={e}")).ok().map(|_| sender)
}

type Tag = [u8; 32];

#[derive(Default)]
struct Memory {
    successes: Vec<(Tag, Timestamp)>,
    failures: HashMap<Network, Failures>,
}

struct Failures {
    count: u32,
    last: Timestamp,
    /// The last different attempts.
    tried: [Tried; 4],
}

/// One of the last attempts of a network.
#[derive(Clone, Copy, Default)]
struct Tried {
    /// The beginning of its tag, enough to know it again; 0 stands for no attempt.
    mark: u64,
    /// It has been found wrong. While that is open, the same attempt on another connection is not judged by it: a phone
    /// opens several at once.
    wrong: bool,
}

struct Attempt {
    /// To be served before the answer.
    wait: Duration,
    /// The same wrong password as before: no need to hash it again.
    repeated: bool,
}

impl Memory {
    /// Whether this attempt was right before. Takes the same time wherever in the list the tag is.
    fn is_known_success(&mut self, tag: &Tag, now: Timestamp) -> bool {
        let lifetime = Duration::from_secs(LOGIN_SUCCESS_SECONDS);
        self.successes.retain(|(_, used)| now.since(*used) <= lifetime);
        let mut found = subtle::Choice::from(0);
        for (known, used) in &mut self.successes {
            let same = known.ct_eq(tag);
            if same.into() {
                *used = now;
            }
            found |= same;
        }
        found.into()
    }

    /// Counts an attempt as failed until it has succeeded, so that attempts side by side gain nothing.
    fn begin_attempt(&mut self, network: Network, tag: &Tag, now: Timestamp) -> Attempt {
        let forgiven = Duration::from_secs(LOGIN_FAILURES_SECONDS);
        if self.failures.len() >= LOGIN_NETWORKS_MAX && !self.failures.contains_key(&network) {
            self.failures.retain(|_, failures| now.since(failures.last) <= forgiven);
            if self.failures.len() >= LOGIN_NETWORKS_MAX {
                let oldest =
                    self.failures.iter().min_by_key(|(_, failures)| failures.last).map(|(network, _)| *network);
                oldest.map(|oldest| self.failures.remove(&oldest));
            }
        }
        let fresh = Failures { count: 0, last: now, tried: Default::default() };
        let failures = self.failures.entry(network).or_insert(fresh);
        if now.since(failures.last) > forgiven {
            *failures = Failures { count: 0, last: now, tried: Default::default() };
        }
        let mark = mark(tag);
        let before = failures.tried.iter().find(|tried| tried.mark == mark).copied();
        let mut wait = delay(failures.count);
        failures.last = now;
        match before {
            // The same attempt is being judged on another connection, which has waited for both.
            Some(Tried { wrong: false, .. }) => wait = delay(failures.count.saturating_sub(1)),
            Some(_) => {}
            None => {
                failures.count = failures.count.saturating_add(1);
                failures.tried.rotate_right(1);
                failures.tried[0] = Tried { mark, wrong: false };
            }
        }
        Attempt { wait, repeated: before.is_some_and(|tried| tried.wrong) }
    }

    fn failed(&mut self, network: Network, tag: &Tag) {
        if let Some(failures) = self.failures.get_mut(&network) {
            let mark = mark(tag);
            failures.tried.iter_mut().filter(|tried| tried.mark == mark).for_each(|tried| tried.wrong = true);
        }
    }

    fn succeeded(&mut self, network: Network, tag: Tag, now: Timestamp) {
        if let Some(failures) = self.failures.get_mut(&network) {
            let mark = mark(&tag);
            if let Some(tried) = failures.tried.iter_mut().find(|tried| tried.mark == mark) {
                *tried = Tried::default();
                failures.count = failures.count.saturating_sub(1);
            }
            if failures.count == 0 {
                self.failures.remove(&network);
            }
        }
        if self.successes.iter().any(|(known, _)| known == &tag) {
            return;
        }
        if self.successes.len() >= LOGIN_SUCCESSES_MAX
            && let Some(oldest) = (0..self.successes.len()).min_by_key(|&at| self.successes[at].1)
        {
            self.successes.swap_remove(oldest);
        }
        self.successes.push((tag, now));
    }
}

/// The first eight bytes of a tag, never 0.
fn mark(tag: &Tag) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *tag;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
}

/// How long an attempt waits after `failures` others.
fn delay(failures: u32) -> Duration {
    match failures.checked_sub(LOGIN_FAILURES_FREE) {
        None => Duration::ZERO,
        Some(over) => {
            let millis = LOGIN_DELAY_MILLIS_FIRST.saturating_mul(1u64.checked_shl(over).unwrap_or(u64::MAX));
            Duration::from_millis(millis.min(LOGIN_DELAY_MILLIS_MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn network(text: &str) -> Network {
        Network::of(text.parse().expect("an address"), LOGIN_IPV4_PREFIX_BITS)
    }

    #[test]
    fn different_wrong_passwords_wait_longer_and_longer() {
        let mut memory = Memory::default();
        let here = network("192.0.2.7");
        let waits: Vec<u128> =
            (1..=10).map(|n| memory.begin_attempt(here, &[n; 32], at(n.into())).wait.as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
        assert!(memory.begin_attempt(network("192.0.3.7"), &[1; 32], at(11)).wait.is_zero(), "another network");
        assert_eq!(memory.begin_attempt(network("192.0.2.99"), &[50; 32], at(12)).wait.as_millis(), 15000);
        let later = at(12 + LOGIN_FAILURES_SECONDS as i64 + 1);
        assert!(memory.begin_attempt(here, &[51; 32], later).wait.is_zero(), "forgiven");
        assert_eq!(delay(u32::MAX).as_millis(), u128::from(LOGIN_DELAY_MILLIS_MAX));
    }

    #[test]
    fn a_device_with_the_old_password_counts_once() {
        let mut memory = Memory::default();
        let here = network("2001:db8::1");
        for n in 0..100 {
            let attempt = memory.begin_attempt(network("2001:db8::2"), &[7; 32], at(n));
            assert!(attempt.wait.is_zero());
            assert_eq!(attempt.repeated, n > 0);
            memory.failed(here, &[7; 32]);
        }
        assert!(memory.begin_attempt(here, &[8; 32], at(100)).wait.is_zero());
        assert_eq!(memory.failures.len(), 1);
        assert_ne!(network("2001:db8:0:1::1"), here);
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn a_phone_that_opens_many_connections_at_once_is_let_in_by_all_of_them() {
        let mut memory = Memory::default();
        let here = network("192.0.2.7");
        for _ in 0..20 {
            let attempt = memory.begin_attempt(here, &[9; 32], at(0));
            assert!(attempt.wait.is_zero() && !attempt.repeated);
        }
        for _ in 0..20 {
            memory.succeeded(here, [9; 32], at(0));
        }
        assert!(memory.failures.is_empty());
        assert_eq!(memory.successes.iter().filter(|(tag, _)| *tag == [9; 32]).count(), 1);
    }

    #[test]
    fn success_is_known_again_until_it_expires() {
        let mut memory = Memory::default();
        let here = network("192.0.2.7");
        memory.begin_attempt(here, &[1; 32], at(0));
        memory.begin_attempt(here, &[2; 32], at(0));
        memory.succeeded(here, [2; 32], at(0));
        assert!(!memory.is_known_success(&[1; 32], at(1)));
        assert!(memory.is_known_success(&[2; 32], at(1)));
        assert_eq!(memory.failures[&here].count, 1, "the other failure still counts");
        assert!(!memory.begin_attempt(here, &[2; 32], at(1)).repeated, "a right password is not known as a wrong one");
        assert!(!memory.is_known_success(&[2; 32], at(2 + LOGIN_SUCCESS_SECONDS as i64)));
    }

    #[test]
    fn both_tables_are_bounded() {
        let mut memory = Memory::default();
        for n in 0..LOGIN_NETWORKS_MAX as u32 + 100 {
            let peer = IpAddr::from((n << 8).to_be_bytes());
            memory.begin_attempt(Network::of(peer, LOGIN_IPV4_PREFIX_BITS), &[1; 32], at(n.into()));
        }
        assert!(memory.failures.len() <= LOGIN_NETWORKS_MAX);
        for n in 0..=255 {
            memory.succeeded(network("192.0.2.7"), [n; 32], at(n.into()));
        }
        assert_eq!(memory.successes.len(), LOGIN_SUCCESSES_MAX);
        assert!(memory.is_known_success(&[255; 32], at(256)));
    }

    #[test]
    fn the_hashing_thread_tells_right_from_wrong() {
        let logins = Logins::default();
        let verifier = Verifier::new("right", [3; 16], 4096);
        let ask = |password: &'static str| smol::future::block_on(logins.hash(verifier.clone(), password));
        assert_eq!(ask("right"), Some(true));
        assert_eq!(ask("wrong"), Some(false));
    }
}
