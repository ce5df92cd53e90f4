//! A look into the queue for what can be begun now.
//!
//! Receives what is under way; hands on due entries and when the next one is due: those that have just come first, the newest
//! before the others, then soonest due first. A domain that has many entries under way, or whose servers let us hang, is passed
//! over, so that a thousand messages to a slow server do not stand before one to another. Entries that were passed over
//! once are known, and cost a look nothing but their place in the order.

use crate::limits::*;
use crate::mail::message::QueueId;
use crate::store::{QueueEntry, Snapshot, Trouble};
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What is under way, and what time it is.
pub(super) struct Looking {
    pub now: Timestamp,
    pub taken: HashSet<QueueId>,
    /// Entries that there is room for, beside those that have just come.
    pub room: usize,
    /// `None`: all mail goes one way, and domains do not matter.
    pub ways: Option<Ways>,
    pub known: Known,
}

/// What is known of domains.
#[derive(Default)]
pub(super) struct Ways {
    /// Entries under way.
    pub under_way: HashMap<DomainHash, usize>,
    /// They let us hang.
    pub slow: HashSet<DomainHash>,
}

/// What stands for a domain: two that share it share their fate for a while, no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DomainHash(u64);

impl DomainHash {
    pub fn of(domain: &Domain) -> DomainHash {
        let mut hasher = DefaultHasher::new();
        domain.as_str().hash(&mut hasher);
        DomainHash(hasher.finish())
    }
}

/// The domains of entries that were passed over, at most [`RELAY_PASSED_OVER_KNOWN_MAX`].
pub(super) type Known = HashMap<QueueId, DomainHash>;

/// What was found.
pub(super) struct Found {
    /// Entries that were not tried yet, the newest first, at most [`RELAY_LOOK_NEW_ENTRIES`].
    pub new: Vec<QueueEntry>,
    /// The others, at most [`RELAY_LOOK_ENTRIES`] and the room there is.
    pub entries: Vec<QueueEntry>,
    /// There may be more that is due.
    pub more: bool,
    /// When the first entry becomes due that is not yet.
    pub next_due: Option<Timestamp>,
    /// Entries that are due but have to wait for others to their domain.
    pub passed_over: usize,
    pub known: Known,
}

impl Looking {
    /// Looks, on a reader thread.
    pub fn look(mut self, snapshot: &Snapshot) -> Result<Found, Trouble> {
        let new = self.look_for_new(snapshot)?;
        let mut found =
            Found { new, entries: Vec::new(), more: false, next_due: None, passed_over: 0, known: Known::new() };
        if self.room > 0 {
            self.look_for_due(snapshot, &mut found)?;
        }
        found.known = self.known;
        Ok(found)
    }

    /// Those that became due last and were not tried yet.
    fn look_for_new(&mut self, snapshot: &Snapshot) -> Result<Vec<QueueEntry>, Trouble> {
        let mut new = Vec::new();
        for (due, id) in snapshot.queue_newest(self.now, RELAY_LOOK_NEWEST)? {
            if new.len() >= RELAY_LOOK_NEW_ENTRIES {
                break;
            }
            if self.taken.contains(&id) || self.is_closed(id) {
                continue;
            }
            let Ok(entry) = snapshot.queue_entry_due(due, id) else { continue };
            let is_new = entry.recipients.iter().all(|recipient| recipient.attempts == 0);
            if is_new && self.admit(&entry) {
                self.taken.insert(id);
                new.push(entry);
            }
        }
        Ok(new)
    }

    fn look_for_due(&mut self, snapshot: &Snapshot, found: &mut Found) -> Result<(), Trouble> {
        let mut after = None;
        loop {
            let page = snapshot.queue_order(after, RELAY_LOOK_PAGE)?;
            after = page.last().copied();
            for &(due, id) in &page {
                if due > self.now {
                    found.next_due = Some(due);
                    return Ok(());
                }
                if self.taken.contains(&id) {
                    continue;
                }
                if self.is_closed(id) {
                    found.passed_over += 1;
                    continue;
                }
                if found.entries.len() >= RELAY_LOOK_ENTRIES.min(self.room) {
                    found.more = true;
                    return Ok(());
                }
                // An entry that cannot be read is said in the log by the store, and must not keep the others waiting.
                let Ok(entry) = snapshot.queue_entry_due(due, id) else { continue };
                if self.admit(&entry) { found.entries.push(entry) } else { found.passed_over += 1 }
            }
            if page.len() < RELAY_LOOK_PAGE {
                return Ok(());
            }
        }
    }

    /// Whether it is known that the entry has to wait.
    fn is_closed(&self, id: QueueId) -> bool {
        let (Some(ways), Some(domain)) = (&self.ways, self.known.get(&id)) else { return false };
        ways.is_closed(*domain)
    }

    fn admit(&mut self, entry: &QueueEntry) -> bool {
        let (Some(ways), Some(domain)) = (&mut self.ways, domain_of(entry)) else { return true };
        if ways.is_closed(domain) {
            if self.known.len() < RELAY_PASSED_OVER_KNOWN_MAX {
                self.known.insert(entry.id, domain);
            }
            return false;
        }
        self.known.remove(&entry.id);
        *ways.under_way.entry(domain).or_default() += 1;
        true
    }
}

impl Ways {
    fn is_closed(&self, domain: DomainHash) -> bool {
        let under_way = self.under_way.get(&domain).copied().unwrap_or(0);
        self.slow.contains(&domain) || under_way >= RELAY_ENTRIES_PER_DOMAIN
    }
}

/// The domain an entry counts for: that of its first recipient.
pub(super) fn domain_of(entry: &QueueEntry) -> Option<DomainHash> {
    entry.recipients.first().map(|recipient| DomainHash::of(&recipient.address.domain))
}
