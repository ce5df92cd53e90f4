//! Servers and names that could not be used a moment ago, so that a hundred messages do not each wait for the same dead server;
//! they are left alone for longer and longer.
//!
//! Receives failures; hands back the reason while it is fresh. Never says anything about a message.

use crate::limits::{RELAY_BACKOFF_FORGOTTEN_SECONDS, RELAY_BACKOFF_KEPT_MAX};
use crate::mail::bounce::Reason;
use crate::mail::tls_policy::HostTls;
use crate::wire::address::Domain;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Times are readings of the steady clock.
#[derive(Default)]
pub(super) struct Backoff {
    troubles: HashMap<Whose, Trouble>,
    no_chunks: HashSet<SocketAddr>,
}

/// Whose trouble it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// An address, and what TLS there had to be when that alone was the trouble: others may go there all the same.
    Server(SocketAddr, Option<HostTls>),
    /// A name that name servers say nothing about.
    Name(Domain),
}

struct Trouble {
    until: Duration,
    times: u32,
    reason: Reason,
}

/// How long somebody is left alone: at first, and at most. The wait doubles with every time.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// Leaves it alone for a while. Full of fresh ones, it forgets them all: that costs attempts, nothing else.
    pub fn add(&mut self, whose: Whose, waits: Waits, reason: Reason, now: Duration) {
        let forgotten = Duration::from_secs(RELAY_BACKOFF_FORGOTTEN_SECONDS);
        if self.troubles.len() >= RELAY_BACKOFF_KEPT_MAX {
            self.troubles.retain(|_, trouble| trouble.until > now);
        }
        if self.troubles.len() >= RELAY_BACKOFF_KEPT_MAX {
            self.troubles.clear();
        }
        let before = self.troubles.get(&whose).filter(|trouble| trouble.until + forgotten > now);
        let times = before.map_or(0, |trouble| trouble.times.saturating_add(1));
        let wait = waits.first.saturating_mul(2u32.saturating_pow(times)).min(waits.longest);
        self.troubles.insert(whose, Trouble { until: now + wait, times, reason });
    }

    /// The server works: whatever was wrong with it is over.
    pub fn works(&mut self, address: SocketAddr) {
        self.troubles.retain(|whose, _| !matches!(whose, Whose::Server(troubled, _) if *troubled == address));
    }

    /// The name is answered for again.
    pub fn answers(&mut self, name: &Domain) {
        self.troubles.remove(&Whose::Name(name.clone()));
    }

    /// Leaves nobody alone any more.
    pub fn forget(&mut self) {
        self.troubles.clear();
    }

    /// The network is back: nothing that was learned without it counts.
    pub fn network_is_back(&mut self) {
        self.troubles.retain(|_, trouble| !matches!(trouble.reason, Reason::Unreachable(_)));
    }

    /// The server there offers CHUNKING and does not know it.
    pub fn note_no_chunks(&mut self, address: SocketAddr) {
        if self.no_chunks.len() >= RELAY_BACKOFF_KEPT_MAX {
            self.no_chunks.clear();
        }
        self.no_chunks.insert(address);
    }

    /// Whether [`Backoff::note_no_chunks`] was said of it.
    pub fn knows_no_chunks(&self, address: SocketAddr) -> bool {
        self.no_chunks.contains(&address)
    }

    /// Why the address is left alone now, when it is.
    pub fn reason(&self, address: SocketAddr, tls: &HostTls, now: Duration) -> Option<&Reason> {
        let any = self.fresh(&Whose::Server(address, None), now);
        any.or_else(|| self.fresh(&Whose::Server(address, Some(tls.clone())), now))
    }

    /// Why nobody is asked about the name now, when that is so.
    pub fn name_reason(&self, name: &Domain, now: Duration) -> Option<&Reason> {
        self.fresh(&Whose::Name(name.clone()), now)
    }

    fn fresh(&self, whose: &Whose, now: Duration) -> Option<&Reason> {
        self.troubles.get(whose).filter(|trouble| trouble.until > now).map(|trouble| &trouble.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: HostTls = HostTls::Opportunistic;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn server(port: u16) -> (SocketAddr, Whose) {
        let address = SocketAddr::from(([192, 0, 2, 1], port));
        (address, Whose::Server(address, None))
    }

    #[test]
    fn reasons_fade_and_memory_is_bounded() {
        let mut backoff = Backoff::default();
        let waits = Waits { first: seconds(30), longest: seconds(100) };
        let refused = Reason::Happened("refused".into());
        let ((first, whose), (second, _)) = (server(25), server(26));
        backoff.add(whose, waits, refused.clone(), seconds(0));
        assert_eq!(backoff.reason(first, &ANY, seconds(29)), Some(&refused));
        assert_eq!(backoff.reason(first, &ANY, seconds(30)), None);
        assert_eq!(backoff.reason(second, &ANY, seconds(0)), None);
        backoff.add(Whose::Server(second, Some(HostTls::Verified)), waits, refused.clone(), seconds(0));
        assert_eq!(backoff.reason(second, &ANY, seconds(0)), None);
        assert_eq!(backoff.reason(second, &HostTls::Verified, seconds(0)), Some(&refused));
        for n in 0..5000 {
            backoff.add(server(n).1, waits, refused.clone(), seconds(1));
        }
        assert!(backoff.troubles.len() <= RELAY_BACKOFF_KEPT_MAX);
        assert_eq!(backoff.reason(server(4999).0, &ANY, seconds(2)), Some(&refused));
        backoff.forget();
        assert_eq!(backoff.reason(server(4999).0, &ANY, seconds(2)), None);
    }

    #[test]
    fn waits_grow_until_it_works_or_is_long_ago() {
        let mut backoff = Backoff::default();
        let waits = Waits { first: seconds(10), longest: seconds(60) };
        let gone = Reason::Unreachable("gone".into());
        let (address, whose) = server(25);
        let mut now = 0;
        for wait in [10, 20, 40, 60, 60] {
            backoff.add(whose.clone(), waits, gone.clone(), seconds(now));
            assert!(backoff.reason(address, &ANY, seconds(now + wait - 1)).is_some(), "{wait}");
            now += wait;
            assert!(backoff.reason(address, &ANY, seconds(now)).is_none(), "{wait}");
        }
        backoff.works(address);
        backoff.add(whose.clone(), waits, gone.clone(), seconds(now));
        assert!(backoff.reason(address, &ANY, seconds(now + 10)).is_none());
        now += 11 + RELAY_BACKOFF_FORGOTTEN_SECONDS;
        backoff.add(whose.clone(), waits, gone.clone(), seconds(now));
        assert!(backoff.reason(address, &ANY, seconds(now + 10)).is_none());
        let name = Domain::new("far.example");
        backoff.add(Whose::Name(name.clone()), waits, gone.clone(), seconds(now));
        backoff.add(whose, waits, Reason::Happened("no TLS".into()), seconds(now));
        assert!(backoff.name_reason(&name, seconds(now)).is_some());
        backoff.network_is_back();
        assert!(backoff.name_reason(&name, seconds(now)).is_none());
        assert!(
            backoff.reason(address, &ANY, seconds(now)).is_some(),
            "it answered, so it was no matter of the network"
        );
    }
}
