//! A look into the queue for what can be begun now.
//!
//! Receives what is under way; hands on due entries, soonest first, and when the next one is due. A domain that has many
//! entries under way is passed over, so that a thousand messages to a slow server do not stand before one to another.

use crate::limits::*;
use crate::mail::message::QueueId;
use crate::store::{QueueEntry, Snapshot, Trouble};
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use std::collections::{HashMap, HashSet};

/// What is under way, and what time it is.
pub(super) struct Looking {
    pub now: Timestamp,
    pub taken: HashSet<QueueId>,
    /// Entries under way per domain; `None`: all mail goes one way, and domains do not matter.
    pub domains: Option<HashMap<Domain, usize>>,
}

/// What was found.
pub(super) struct Found {
    /// At most [`RELAY_LOOK_ENTRIES`].
    pub entries: Vec<QueueEntry>,
    /// There may be more that is due.
    pub more: bool,
    /// When the first entry becomes due that is not yet.
    pub next_due: Option<Timestamp>,
    /// Entries that are due but have to wait for others to their domain.
    pub passed_over: usize,
}

impl Looking {
    /// Looks, on a reader thread.
    pub fn look(mut self, snapshot: &Snapshot) -> Result<Found, Trouble> {
        let mut found = Found { entries: Vec::new(), more: false, next_due: None, passed_over: 0 };
        let mut after = None;
        loop {
            let page = snapshot.queue_order(after, RELAY_LOOK_PAGE)?;
            after = page.last().copied();
            for &(due, id) in &page {
                if due > self.now {
                    found.next_due = Some(due);
                    return Ok(found);
                }
                if self.taken.contains(&id) {
                    continue;
                }
                if found.entries.len() >= RELAY_LOOK_ENTRIES {
                    found.more = true;
                    return Ok(found);
                }
                // An entry that cannot be read is said in the log by the store, and must not keep the others waiting.
                let Ok(entry) = snapshot.queue_entry_due(due, id) else { continue };
                if self.admit(&entry) { found.entries.push(entry) } else { found.passed_over += 1 }
            }
            if page.len() < RELAY_LOOK_PAGE {
                return Ok(found);
            }
        }
    }

    fn admit(&mut self, entry: &QueueEntry) -> bool {
        let (Some(domains), Some(domain)) = (&mut self.domains, domain_of(entry)) else { return true };
        let under_way = domains.entry(domain.clone()).or_default();
        *under_way += 1;
        *under_way <= RELAY_ENTRIES_PER_DOMAIN
    }
}

/// The domain an entry counts for: that of its first recipient.
pub(super) fn domain_of(entry: &QueueEntry) -> Option<&Domain> {
    entry.recipients.first().map(|recipient| &recipient.address.domain)
}
