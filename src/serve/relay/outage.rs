//! Whether the network was gone, and who waits for it.
//!
//! Receives which servers and names could not be reached, which could, and which entries were put off for that; hands on who is
//! tried at once when the network is back. Knows it is back by the kernel (a link, a route), by a name that is answered for
//! again, or by a connection that comes about after several servers in a row were out of reach. Entries that a server has
//! answered are none of its business. Times are readings of the steady clock.

use crate::limits::*;
use crate::mail::message::QueueId;
use crate::wire::address::Domain;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

#[derive(Default)]
pub(super) struct Outage {
    waiting: HashMap<QueueId, Wait>,
    /// A name that was not answered for.
    name: Option<Domain>,
    /// Servers out of reach since one was reached, as many as matter.
    servers: HashSet<IpAddr>,
    /// There was no way to any network, or no answer of a name server, since a server was reached.
    is_certain: bool,
    /// When the kernel or a name is listened to again, and for how long it is not after that.
    deaf_until: Duration,
    deaf_for: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// For its turn, or for the network.
    ForNetwork,
    /// It was brought forward already: if it waits again, its own server may be the trouble.
    BroughtForward,
}

impl Outage {
    /// An entry was put off because nothing could be reached.
    pub fn put_off(&mut self, entry: QueueId) {
        if self.waiting.len() < RELAY_OUTAGE_ENTRIES_MAX {
            self.waiting.entry(entry).or_insert(Wait::ForNetwork);
        }
    }

    /// An entry does not wait for the network any more. Returns to listening closely when it was brought forward for that.
    pub fn decided(&mut self, entry: QueueId) {
        if self.waiting.remove(&entry) == Some(Wait::BroughtForward) {
            self.deaf_for = Duration::ZERO;
        }
    }

    /// A name that is worth asking about again.
    pub fn name(&self) -> Option<&Domain> {
        self.name.as_ref().filter(|_| !self.waiting.is_empty())
    }

    /// Name servers gave no answer.
    pub fn name_unanswered(&mut self, name: &Domain) {
        self.is_certain = true;
        self.name.get_or_insert_with(|| name.clone());
    }

    /// A server was out of reach. `no_way`: so was everything.
    pub fn server_unreachable(&mut self, server: IpAddr, no_way: bool) {
        self.is_certain |= no_way;
        if self.servers.len() < RELAY_OUTAGE_SERVERS {
            self.servers.insert(server);
        }
    }

    /// A server was reached. Returns who is tried at once, if that means that the network is back.
    pub fn server_reached(&mut self) -> Vec<QueueId> {
        let was_out = self.is_certain || self.servers.len() >= RELAY_OUTAGE_SERVERS;
        self.servers.clear();
        self.is_certain = false;
        if was_out { self.bring_forward(|wait| wait == Wait::ForNetwork) } else { Vec::new() }
    }

    /// The kernel has told of a link or a route, or a name is answered for again. Returns who is tried at once.
    pub fn network_may_be_back(&mut self, now: Duration) -> Vec<QueueId> {
        let was_out = self.is_certain || !self.servers.is_empty();
        if !was_out || now < self.deaf_until || self.waiting.is_empty() {
            return Vec::new();
        }
        let (first, longest) = (RELAY_OUTAGE_DEAF_SECONDS, RELAY_OUTAGE_DEAF_SECONDS_MAX);
        self.deaf_for = (self.deaf_for * 2).clamp(Duration::from_secs(first), Duration::from_secs(longest));
        self.deaf_until = now + self.deaf_for;
        self.servers.clear();
        self.is_certain = false;
        self.bring_forward(|_| true)
    }

    /// For how long signs are passed over.
    pub fn deaf_for(&self, now: Duration) -> Duration {
        self.deaf_until.saturating_sub(now)
    }

    fn bring_forward(&mut self, which: impl Fn(Wait) -> bool) -> Vec<QueueId> {
        self.name = None;
        let brought = self.waiting.iter_mut().filter(|(_, wait)| which(**wait));
        brought
            .map(|(entry, wait)| {
                *wait = Wait::BroughtForward;
                *entry
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn sorted(mut entries: Vec<QueueId>) -> Vec<u64> {
        entries.sort();
        entries.into_iter().map(|entry| entry.0).collect()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn one_dead_server_is_no_outage() {
        let mut outage = Outage::default();
        outage.put_off(QueueId(1));
        for _ in 0..10 {
            outage.server_unreachable(server(1), false);
        }
        assert!(outage.server_reached().is_empty());
        for n in 0..9 {
            outage.server_unreachable(server(n), false);
        }
        outage.put_off(QueueId(2));
        assert_eq!(sorted(outage.server_reached()), [1, 2]);
        // Those that wait again are left to their schedule, however often others are reached.
        for n in 0..9 {
            outage.server_unreachable(server(n), false);
        }
        outage.put_off(QueueId(1));
        outage.put_off(QueueId(3));
        assert_eq!(sorted(outage.server_reached()), [3]);
    }

    #[test]
    fn no_way_at_all_is_certain() {
        let mut outage = Outage::default();
        outage.put_off(QueueId(1));
        outage.server_unreachable(server(1), true);
        assert_eq!(sorted(outage.server_reached()), [1]);
        outage.decided(QueueId(1));
        assert!(outage.server_reached().is_empty());
        let name = Domain::new("far.example");
        outage.name_unanswered(&name);
        assert_eq!(outage.name(), None, "nobody waits");
        outage.put_off(QueueId(2));
        assert_eq!(outage.name(), Some(&name));
        assert_eq!(sorted(outage.network_may_be_back(seconds(100))), [2]);
        assert_eq!(outage.name(), None);
    }

    #[test]
    fn a_kernel_that_talks_much_is_listened_to_less() {
        let mut outage = Outage::default();
        outage.put_off(QueueId(1));
        assert!(outage.network_may_be_back(seconds(0)).is_empty(), "nothing was out of reach");
        let mut brought = Vec::new();
        for now in 0..7200 {
            outage.server_unreachable(server(1), false);
            if !outage.network_may_be_back(seconds(now)).is_empty() {
                brought.push(now);
            }
        }
        assert_eq!(brought, [0, 30, 90, 210, 450, 930, 1890, 3810]);
        assert_eq!(outage.deaf_for(seconds(3811)), seconds(3599));
        outage.decided(QueueId(1));
        outage.put_off(QueueId(1));
        outage.server_unreachable(server(1), false);
        assert!(!outage.network_may_be_back(seconds(8000)).is_empty());
        outage.server_unreachable(server(1), false);
        assert!(!outage.network_may_be_back(seconds(8030)).is_empty(), "it helped, so it is listened to closely again");
    }
}
