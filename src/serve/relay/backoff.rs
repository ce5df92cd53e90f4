//! Addresses that could not be used a moment ago, so that a hundred messages do not each wait for the same dead server.
//!
//! Receives failures; hands back the reason while it is fresh. Never says anything about a message.

use crate::limits::RELAY_BACKOFF_ADDRESSES;
use crate::mail::bounce::Reason;
use crate::mail::tls_policy::HostTls;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Times are readings of the steady clock.
#[derive(Default)]
pub(super) struct Backoff {
    until: HashMap<Way, (Duration, Reason)>,
    no_chunks: HashSet<SocketAddr>,
}

/// An address, and what TLS there had to be when that alone was the trouble: others may go there all the same.
type Way = (SocketAddr, Option<HostTls>);

impl Backoff {
    /// Leaves the address alone until then. Full of fresh ones, it forgets them all: that costs attempts, nothing else.
    pub fn add(&mut self, way: Way, until: Duration, reason: Reason, now: Duration) {
        if self.until.len() >= RELAY_BACKOFF_ADDRESSES {
            self.until.retain(|_, (until, _)| *until > now);
        }
        if self.until.len() >= RELAY_BACKOFF_ADDRESSES {
            self.until.clear();
        }
        self.until.insert(way, (until, reason));
    }

    /// Leaves no address alone any more.
    pub fn forget(&mut self) {
        self.until.clear();
    }

    /// The server there offers CHUNKING and does not know it.
    pub fn note_no_chunks(&mut self, address: SocketAddr) {
        if self.no_chunks.len() >= RELAY_BACKOFF_ADDRESSES {
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
        let fresh = |way| self.until.get(&way).filter(|(until, _)| *until > now).map(|(_, reason)| reason);
        fresh((address, None)).or_else(|| fresh((address, Some(tls.clone()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fade_and_memory_is_bounded() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::default();
        let address = |n: u16| SocketAddr::from(([192, 0, 2, 1], n));
        let refused = Reason::Happened("refused".into());
        let any = HostTls::Opportunistic;
        backoff.add((address(25), None), seconds(30), refused.clone(), seconds(0));
        assert_eq!(backoff.reason(address(25), &any, seconds(29)), Some(&refused));
        assert_eq!(backoff.reason(address(25), &any, seconds(30)), None);
        assert_eq!(backoff.reason(address(26), &any, seconds(0)), None);
        backoff.add((address(26), Some(HostTls::Verified)), seconds(30), refused.clone(), seconds(0));
        assert_eq!(backoff.reason(address(26), &any, seconds(0)), None);
        assert_eq!(backoff.reason(address(26), &HostTls::Verified, seconds(0)), Some(&refused));
        for n in 0..2000 {
            backoff.add((address(n), None), seconds(100), refused.clone(), seconds(1));
        }
        assert!(backoff.until.len() <= RELAY_BACKOFF_ADDRESSES);
        assert_eq!(backoff.reason(address(1999), &any, seconds(2)), Some(&refused));
        backoff.forget();
        assert_eq!(backoff.reason(address(1999), &any, seconds(2)), None);
    }
}
