//! What is remembered of logins, in bounded tables: what was right, from where, and who has been wrong how often.
//!
//! Receives attempts with the time on the steady clock; hands on how long each must wait, or that it is refused. An attempt
//! counts as failed from its beginning until it has succeeded, so that attempts side by side gain nothing.

use crate::limits::*;
use crate::serve::admission::Network;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// A keyed hash of login, password and verifier.
pub(super) type Tag = [u8; 32];

/// Who makes an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// What failures are counted by.
    network: Network,
    /// What the owner is known by: narrower, so that a neighbour of the owner has no part in it.
    address: Network,
    /// A keyed hash of the login.
    name: u64,
}

impl Caller {
    pub(super) fn new(peer: IpAddr, name: u64) -> Caller {
        let (network, address) =
            (Network::of(peer, LOGIN_IPV4_PREFIX_BITS), Network::of(peer, ADMISSION_IPV4_PREFIX_BITS));
        Caller { network, address, name }
    }
}

/// What an attempt may do.
pub(super) struct Attempt {
    /// To be served before the answer; `None`: refused without a look.
    pub wait: Option<Duration>,
    /// The same wrong password as before: no need to hash it again.
    pub repeated: bool,
    /// How many attempts have been refused without a look, for the log.
    pub refusals: u32,
}

#[derive(Default)]
pub(super) struct Memory {
    successes: Vec<(Tag, Duration)>,
    /// Where the owner has logged in from, and when last.
    known: HashMap<Network, Duration>,
    networks: HashMap<Network, Failures>,
    /// Failures of one login, from all unknown addresses.
    names: HashMap<u64, Lane>,
    /// Attempts whose turn would have come too late, for the log.
    too_late: u32,
}

/// Of one network.
#[derive(Default)]
struct Failures {
    /// Different passwords.
    passwords: Lane,
    /// SCRAM proofs, all of one password perhaps.
    proofs: Lane,
    refusals: u32,
    /// The last different passwords.
    tried: [Tried; 4],
}

/// Attempts that wait for each other.
#[derive(Clone, Copy, Default)]
struct Lane {
    /// Failures.
    count: u32,
    last: Duration,
    /// When those who wait will all have been served.
    turn: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Password,
    Proof,
}

/// One of the last passwords of a network.
#[derive(Clone, Copy, Default)]
struct Tried {
    /// The beginning of its tag, enough to know it again; 0 stands for none.
    mark: u64,
    /// It has been found wrong. While that is open, the same attempt on another connection is not judged by it: a phone
    /// opens several at once.
    wrong: bool,
}

const FORGIVEN: Duration = Duration::from_secs(LOGIN_FAILURES_SECONDS);
const WAIT_MAX: Duration = Duration::from_millis(LOGIN_DELAY_MILLIS_MAX);

impl Memory {
    /// Whether this password was right before; then its address is known. From elsewhere only as long as the network has not been
    /// refused too often: every look is a guess as well. Takes the same time wherever in the list it is.
    pub(super) fn is_known_success(&mut self, caller: &Caller, tag: &Tag, now: Duration) -> bool {
        let lifetime = Duration::from_secs(LOGIN_SUCCESS_SECONDS);
        self.successes.retain(|(_, used)| now.saturating_sub(*used) <= lifetime);
        let mut found = subtle::Choice::from(0);
        for (known, used) in &mut self.successes {
            let same = known.ct_eq(tag);
            if same.into() {
                *used = now;
            }
            found |= same;
        }
        found &= subtle::Choice::from(u8::from(self.is_heard(caller, now)));
        if found.into() {
            self.know(caller.address, now);
        }
        found.into()
    }

    /// The same of a password that is right and was looked up at no cost.
    pub(super) fn is_welcome_at_once(&mut self, caller: &Caller, now: Duration) -> bool {
        let heard = self.is_heard(caller, now);
        if heard {
            self.know(caller.address, now);
        }
        heard
    }

    /// Whether a right password is looked at without a turn: not when the network was refused too often and the address is unknown.
    fn is_heard(&self, caller: &Caller, now: Duration) -> bool {
        let failures = self.networks.get(&caller.network);
        let tired = failures
            .is_some_and(|failures| failures.refusals >= LOGIN_REFUSALS_MAX && !failures.passwords.is_forgiven(now));
        !tired || self.is_known(caller.address, now)
    }

    /// Counts a password.
    pub(super) fn begin_password(&mut self, caller: &Caller, tag: &Tag, now: Duration) -> Attempt {
        if let Some(refused) = self.refuse(caller, now) {
            return refused;
        }
        let mark = mark(tag);
        let failures = self.failures(caller.network, now);
        let (delay, turn) = (delay(failures.passwords.count), failures.passwords.turn);
        match failures.tried.iter().find(|tried| tried.mark == mark) {
            // The same attempt is being judged on another connection, which has waited for both.
            Some(Tried { wrong: false, .. }) => {
                Attempt { wait: Some(turn.saturating_sub(now).min(WAIT_MAX)), repeated: false, refusals: 0 }
            }
            Some(_) => Attempt { wait: Some(delay), repeated: true, refusals: 0 },
            None => {
                let attempt = self.take_turns(caller, Kind::Password, delay, now);
                if attempt.wait.is_some() {
                    let tried = &mut self.failures(caller.network, now).tried;
                    tried.rotate_right(1);
                    tried[0] = Tried { mark, wrong: false };
                }
                attempt
            }
        }
    }

    /// Counts a SCRAM proof.
    pub(super) fn begin_proof(&mut self, caller: &Caller, now: Duration) -> Attempt {
        let failures = self.failures(caller.network, now);
        let delay = delay(failures.passwords.count.saturating_add(failures.proofs.count));
        self.take_turns(caller, Kind::Proof, delay, now)
    }

    /// The refusal of a network that has tried too much, if it has.
    pub(super) fn refuse(&mut self, caller: &Caller, now: Duration) -> Option<Attempt> {
        let known = self.is_known(caller.address, now);
        let failures = self.networks.get_mut(&caller.network).filter(|_| !known)?;
        if failures.passwords.count < LOGIN_FAILURES_MAX || failures.passwords.is_forgiven(now) {
            return None;
        }
        failures.refusals = failures.refusals.saturating_add(1);
        Some(Attempt { wait: None, repeated: false, refusals: failures.refusals })
    }

    /// Whether a network is not to be greeted.
    pub(super) fn turns_away(&self, peer: IpAddr, now: Duration) -> bool {
        let caller = Caller::new(peer, 0);
        let stubborn = self.networks.get(&caller.network).is_some_and(|failures| {
            failures.refusals >= LOGIN_REFUSALS_MAX
                && failures.passwords.count >= LOGIN_FAILURES_MAX
                && !failures.passwords.is_forgiven(now)
        });
        stubborn && !self.is_known(caller.address, now)
    }

    /// A password was wrong.
    pub(super) fn failed(&mut self, caller: &Caller, tag: &Tag) {
        if let Some(failures) = self.networks.get_mut(&caller.network) {
            let mark = mark(tag);
            failures.tried.iter_mut().filter(|tried| tried.mark == mark).for_each(|tried| tried.wrong = true);
        }
    }

    /// An attempt was right after all: with a password that had this tag, or by a proof.
    pub(super) fn succeeded(&mut self, caller: &Caller, tag: Option<Tag>, now: Duration) {
        self.uncount(caller, tag.as_ref(), now);
        let Some(tag) = tag.filter(|tag| self.successes.iter().all(|(known, _)| known != tag)) else { return };
        if self.successes.len() >= LOGIN_SUCCESSES_MAX
            && let Some(oldest) = (0..self.successes.len()).min_by_key(|&at| self.successes[at].1)
        {
            self.successes.swap_remove(oldest);
        }
        self.successes.push((tag, now));
    }

    /// The same, and nothing needs to be remembered of the password.
    pub(super) fn uncount(&mut self, caller: &Caller, tag: Option<&Tag>, now: Duration) {
        self.know(caller.address, now);
        let mut counted = false;
        if let Some(failures) = self.networks.get_mut(&caller.network) {
            match tag.map(mark) {
                None => {
                    counted = true;
                    failures.proofs.count = failures.proofs.count.saturating_sub(1);
                }
                Some(mark) => {
                    if let Some(tried) = failures.tried.iter_mut().find(|tried| tried.mark == mark) {
                        counted = true;
                        *tried = Tried::default();
                        failures.passwords.count = failures.passwords.count.saturating_sub(1);
                    }
                }
            }
            if failures.passwords.count == 0 && failures.proofs.count == 0 {
                self.networks.remove(&caller.network);
            }
        }
        if let Some(guesses) = self.names.get_mut(&caller.name).filter(|_| counted) {
            guesses.count = guesses.count.saturating_sub(1);
        }
    }

    /// Takes a turn among those of the network, and, from an unknown address, among all that mean this login. Refused when it
    /// would come too late.
    fn take_turns(&mut self, caller: &Caller, kind: Kind, delay: Duration, now: Duration) -> Attempt {
        let known = self.is_known(caller.address, now);
        let of_network = self.failures(caller.network, now).lane(kind).turn.max(now) + delay;
        let guesses = self.guesses(caller.name, now);
        let of_name = match !known && guesses.count >= LOGIN_NAME_FAILURES_FREE {
            true => guesses.turn.max(now) + Duration::from_millis(LOGIN_NAME_TURN_MILLIS),
            false => now,
        };
        let wait = of_network.max(of_name).saturating_sub(now);
        if wait > WAIT_MAX {
            self.too_late = self.too_late.saturating_add(1);
            let failures = self.failures(caller.network, now);
            failures.refusals = failures.refusals.saturating_add(1);
            return Attempt { wait: None, repeated: false, refusals: self.too_late };
        }
        if !known {
            guesses.add(now, of_name);
        }
        self.failures(caller.network, now).lane(kind).add(now, of_network);
        Attempt { wait: Some(wait), repeated: false, refusals: 0 }
    }

    fn is_known(&self, address: Network, now: Duration) -> bool {
        let lifetime = Duration::from_secs(LOGIN_KNOWN_ADDRESS_SECONDS);
        self.known.get(&address).is_some_and(|used| now.saturating_sub(*used) <= lifetime)
    }

    fn know(&mut self, address: Network, now: Duration) {
        make_room(&mut self.known, &address, LOGIN_KNOWN_ADDRESSES_MAX, |used| *used);
        self.known.insert(address, now);
    }

    /// Of this network, forgiven if they are old.
    fn failures(&mut self, network: Network, now: Duration) -> &mut Failures {
        let last = |failures: &Failures| failures.passwords.last.max(failures.proofs.last);
        make_room(&mut self.networks, &network, LOGIN_NETWORKS_MAX, last);
        let failures = self.networks.entry(network).or_default();
        if failures.passwords.is_forgiven(now) {
            *failures = Failures { proofs: failures.proofs, ..Failures::default() };
            failures.passwords.last = now;
        }
        if failures.proofs.is_forgiven(now) {
            failures.proofs = Lane { last: now, ..Lane::default() };
        }
        failures
    }

    fn guesses(&mut self, name: u64, now: Duration) -> &mut Lane {
        // The most guessed at is kept: a flood of made-up names must not wipe out what is counted of the owner's.
        make_room(&mut self.names, &name, LOGIN_NAMES_MAX, |guesses| (guesses.count, guesses.last));
        let guesses = self.names.entry(name).or_default();
        if guesses.is_forgiven(now) {
            *guesses = Lane { last: now, ..Lane::default() };
        }
        guesses
    }
}

impl Failures {
    fn lane(&mut self, kind: Kind) -> &mut Lane {
        match kind {
            Kind::Password => &mut self.passwords,
            Kind::Proof => &mut self.proofs,
        }
    }
}

impl Lane {
    fn is_forgiven(&self, now: Duration) -> bool {
        now.saturating_sub(self.last) > FORGIVEN
    }

    fn add(&mut self, now: Duration, turn: Duration) {
        *self = Lane { count: self.count.saturating_add(1), last: now, turn };
    }
}

/// Removes the least of a full table, unless the key is in it.
fn make_room<K: Copy + Eq + Hash, V, O: Ord>(table: &mut HashMap<K, V>, key: &K, max: usize, worth: impl Fn(&V) -> O) {
    if table.len() >= max && !table.contains_key(key) {
        let least = table.iter().min_by_key(|(_, value)| worth(value)).map(|(key, _)| *key);
        least.map(|least| table.remove(&least));
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

    const OWNER: u64 = 1;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn from(peer: &str) -> Caller {
        Caller::new(peer.parse().expect("an address"), OWNER)
    }

    fn guess(memory: &mut Memory, caller: &Caller, n: u8, now: Duration) -> Option<u128> {
        let wait = memory.begin_password(caller, &[n; 32], now).wait;
        memory.failed(caller, &[n; 32]);
        wait.map(|wait| wait.as_millis())
    }

    #[test]
    fn different_wrong_passwords_wait_longer_and_longer_and_are_refused_in_the_end() {
        let mut memory = Memory::default();
        let here = from("192.0.2.7");
        let waits: Vec<_> = (1..=12).map(|n| guess(&mut memory, &here, n, at(60 * u64::from(n)))).collect();
        let wanted = [0, 0, 0, 500, 1000, 2000, 4000, 8000, 15000, 15000].map(Some);
        assert_eq!(waits, [&wanted[..], &[None, None]].concat());
        assert_eq!(guess(&mut memory, &from("192.0.3.7"), 1, at(721)), Some(0), "another network");
        assert_eq!(guess(&mut memory, &from("192.0.2.99"), 50, at(722)), None, "the same network");
        assert!(!memory.turns_away("192.0.2.7".parse().unwrap(), at(723)));
        (0..20).for_each(|n| assert_eq!(guess(&mut memory, &here, n, at(724)), None));
        assert!(memory.turns_away("192.0.2.7".parse().unwrap(), at(725)));
        let later = at(600 + LOGIN_FAILURES_SECONDS + 1);
        assert!(!memory.turns_away("192.0.2.7".parse().unwrap(), later));
        assert_eq!(guess(&mut memory, &here, 51, later), Some(0), "forgiven");
        assert_eq!(delay(u32::MAX).as_millis(), u128::from(LOGIN_DELAY_MILLIS_MAX));
    }

    #[test]
    fn attempts_side_by_side_gain_nothing() {
        let mut memory = Memory::default();
        let here = from("192.0.2.7");
        let waits: Vec<_> = (1..=12).map(|n| guess(&mut memory, &here, n, at(1))).collect();
        let wanted = [0, 0, 0, 500, 1500, 3500, 7500].map(Some);
        assert_eq!(waits, [&wanted[..], &[None; 5]].concat());
    }

    #[test]
    fn the_owners_address_is_delayed_but_never_refused() {
        let mut memory = Memory::default();
        let home = from("192.0.2.7");
        memory.succeeded(&home, Some([99; 32]), at(0));
        for n in 1..=200 {
            assert!(guess(&mut memory, &home, n, at(60 * u64::from(n))).is_some(), "{n}");
        }
        assert!(!memory.turns_away("192.0.2.7".parse().unwrap(), at(12_001)));
        assert_eq!(guess(&mut memory, &from("192.0.2.8"), 250, at(12_001)), None, "the neighbour is refused");
        assert!(memory.is_known_success(&home, &[99; 32], at(12_002)));
        let forgotten = at(12_003 + LOGIN_KNOWN_ADDRESS_SECONDS);
        assert!(!memory.is_known(home.address, forgotten));
    }

    #[test]
    fn a_device_with_the_old_password_counts_once() {
        let mut memory = Memory::default();
        let here = from("2001:db8::1");
        for n in 0..100 {
            let attempt = memory.begin_password(&from("2001:db8::2"), &[7; 32], at(n));
            assert!(attempt.wait.is_some_and(|wait| wait.is_zero()));
            assert_eq!(attempt.repeated, n > 0);
            memory.failed(&here, &[7; 32]);
        }
        assert_eq!(guess(&mut memory, &here, 8, at(100)), Some(0));
        assert_eq!(memory.networks.len(), 1);
        assert_ne!(from("2001:db8:0:1::1").network, here.network);
        assert_eq!(from("::ffff:192.0.2.1").network, from("192.0.2.2").network);
        assert_ne!(from("::ffff:192.0.2.1").address, from("192.0.2.2").address);
    }

    #[test]
    fn proofs_make_proofs_wait_and_nothing_else() {
        let mut memory = Memory::default();
        let here = from("192.0.2.7");
        for n in 0..19 {
            let wait = memory.begin_proof(&here, at(20 * n)).wait.expect("never refused");
            assert_eq!(wait.is_zero(), n < 3, "{n}");
        }
        assert_eq!(memory.begin_proof(&here, at(400)).wait, Some(at(15)));
        assert!(memory.begin_proof(&here, at(400)).wait.is_none(), "not two at once any more");
        assert_eq!(
            guess(&mut memory, &here, 1, at(401)),
            Some(5000),
            "the login is guessed at, but this network is not blamed"
        );
        assert!(!memory.turns_away("192.0.2.7".parse().unwrap(), at(402)));
        memory.succeeded(&here, None, at(403));
        assert_eq!(guess(&mut memory, &here, 2, at(404)), Some(0), "known now");
    }

    #[test]
    fn a_login_guessed_at_from_many_networks_is_guessed_at_slowly() {
        let mut memory = Memory::default();
        let home = from("198.51.100.1");
        memory.succeeded(&home, Some([99; 32]), at(0));
        let everywhere = |n: u8| Caller::new(IpAddr::from([10, n, 0, 1]), OWNER);
        let waits: Vec<_> = (0..25).map(|n| guess(&mut memory, &everywhere(n), n, at(1))).collect();
        assert!(waits[..20].iter().all(|wait| *wait == Some(0)));
        assert_eq!(waits[20..], [Some(5000), Some(10_000), Some(15_000), None, None]);
        assert_eq!(guess(&mut memory, &home, 77, at(1)), Some(0), "home does not take turns with them");
        let other = Caller { name: 2, ..everywhere(200) };
        assert_eq!(guess(&mut memory, &other, 1, at(1)), Some(0), "another login");
        assert_eq!(guess(&mut memory, &everywhere(30), 1, at(17)), Some(5000), "later");
    }

    #[test]
    fn a_remembered_password_is_no_way_around_the_turns() {
        let mut memory = Memory::default();
        memory.succeeded(&from("198.51.100.1"), Some([99; 32]), at(0));
        let everywhere = |n: u8| Caller::new(IpAddr::from([10, n, 0, 1]), OWNER);
        let crowd = (0..30).filter(|n| guess(&mut memory, &everywhere(*n), *n, at(1)).is_some()).count();
        assert!(crowd < 30, "somebody keeps all turns taken");
        let stranger = from("203.0.113.1");
        for n in 0..LOGIN_REFUSALS_MAX as u8 {
            assert!(!memory.is_known_success(&stranger, &[100 + n; 32], at(1)));
            assert_eq!(guess(&mut memory, &stranger, 100 + n, at(1)), None, "all turns are taken");
        }
        assert!(!memory.is_known_success(&stranger, &[99; 32], at(1)), "guessed often enough");
        assert!(memory.is_known_success(&from("203.0.114.1"), &[99; 32], at(1)), "the owner, from somewhere else");
        assert!(memory.is_known_success(&stranger, &[99; 32], at(2 + LOGIN_FAILURES_SECONDS)), "forgiven");
    }

    #[test]
    fn a_phone_that_opens_many_connections_at_once_is_let_in_by_all_of_them() {
        let mut memory = Memory::default();
        let here = from("192.0.2.7");
        for _ in 0..20 {
            let attempt = memory.begin_password(&here, &[9; 32], at(0));
            assert!(attempt.wait.is_some_and(|wait| wait.is_zero()) && !attempt.repeated);
        }
        for _ in 0..20 {
            memory.succeeded(&here, Some([9; 32]), at(0));
        }
        assert!(memory.networks.is_empty());
        assert_eq!(memory.names[&OWNER].count, 0);
        assert_eq!(memory.successes.iter().filter(|(tag, _)| *tag == [9; 32]).count(), 1);
    }

    #[test]
    fn success_is_known_again_until_it_expires() {
        let mut memory = Memory::default();
        let here = from("192.0.2.7");
        guess(&mut memory, &here, 1, at(0));
        memory.begin_password(&here, &[2; 32], at(0));
        memory.succeeded(&here, Some([2; 32]), at(0));
        assert!(!memory.is_known_success(&here, &[1; 32], at(1)));
        assert!(memory.is_known_success(&from("203.0.113.1"), &[2; 32], at(1)), "from anywhere");
        assert!(memory.is_known(from("203.0.113.1").address, at(1)));
        assert_eq!(memory.networks[&here.network].passwords.count, 1, "the other failure still counts");
        assert!(
            !memory.begin_password(&here, &[2; 32], at(1)).repeated,
            "a right password is not known as a wrong one"
        );
        assert!(!memory.is_known_success(&here, &[2; 32], at(2 + LOGIN_SUCCESS_SECONDS)));
    }

    #[test]
    fn all_tables_are_bounded() {
        let mut memory = Memory::default();
        for n in 0..LOGIN_NETWORKS_MAX as u32 + 100 {
            let caller = Caller::new(IpAddr::from((n << 8).to_be_bytes()), n.into());
            memory.begin_password(&caller, &[1; 32], at(n.into()));
            memory.know(caller.address, at(n.into()));
        }
        assert_eq!(memory.networks.len(), LOGIN_NETWORKS_MAX);
        assert_eq!(memory.names.len(), LOGIN_NAMES_MAX);
        assert_eq!(memory.known.len(), LOGIN_KNOWN_ADDRESSES_MAX);
        for n in 0..=255 {
            memory.succeeded(&from("192.0.2.7"), Some([n; 32]), at(n.into()));
        }
        assert_eq!(memory.successes.len(), LOGIN_SUCCESSES_MAX);
        assert!(memory.is_known_success(&from("192.0.2.7"), &[255; 32], at(256)));
    }
}
