//! What is known of the places that mail goes to: which of them are written to through the smarthost, and how the last attempt went.
//!
//! Receives what the relay has seen; hands on which way mail goes, and the whole for whoever looks. What is learned is decided by
//! [`mail::learned`](crate::mail::learned) and kept in one small row of the store, written when it changes; how attempts went is
//! forgotten with the process.

use crate::limits::ROUTES_SEEN_MAX;
use crate::mail::learned::Learned;
use crate::order;
use crate::serve::Context;
use crate::store::{Op, Trouble};
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Name of the row among the settings.
const SETTING: &str = "relay.routes";

/// Shared by the relay and whoever looks.
#[derive(Default)]
pub struct Destinations {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    learned: Learned,
    is_read: bool,
    seen: HashMap<Domain, Seen>,
}

/// How mail to a domain went last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// By which way, in words: `directly to mx.far.example`.
    pub way: String,
    /// What became of TLS, in words, when it came to that.
    pub tls: Option<String>,
    /// Why the last attempt failed; `None`: it did not.
    pub trouble: Option<String>,
}

impl Destinations {
    /// Reads what was kept, once.
    pub async fn read(&self, context: &Context) -> Result<(), Trouble> {
        if self.known().is_read {
            return Ok(());
        }
        let kept = context.store.read(|snapshot| snapshot.setting(SETTING)).await?;
        let mut known = self.known();
        if !known.is_read {
            known.learned = kept.map_or_else(Learned::default, |bytes| Learned::decode(&bytes));
            known.is_read = true;
        }
        Ok(())
    }

    /// Keeps what is learned now.
    pub async fn write(&self, context: &Context) -> Result<(), Trouble> {
        let bytes = self.known().learned.encode();
        let value = (!bytes.is_empty()).then_some(bytes);
        context.store.apply(Op::SetSetting { key: SETTING.into(), value }).await.map(|_| ())
    }

    /// Asks or changes what is learned.
    pub fn learned<T>(&self, ask: impl FnOnce(&mut Learned) -> T) -> T {
        ask(&mut self.known().learned)
    }

    /// Takes note of how mail to a domain went. Only so many are kept, those of the latest attempts.
    pub fn note(&self, domain: &Domain, at: Timestamp, note: impl FnOnce(&mut Seen)) {
        let mut known = self.known();
        if known.seen.len() >= ROUTES_SEEN_MAX && !known.seen.contains_key(domain) {
            let oldest = known.seen.iter().min_by_key(|(_, seen)| seen.at).map(|(domain, _)| domain.clone());
            oldest.and_then(|oldest| known.seen.remove(&oldest));
        }
        let seen = known.seen.entry(domain.clone()).or_default();
        seen.at = at;
        note(seen);
    }

    /// How mail went to all domains that are known, by their names.
    pub fn seen(&self) -> Vec<(Domain, Seen)> {
        let mut all: Vec<_> = self.known().seen.iter().map(|(domain, seen)| (domain.clone(), seen.clone())).collect();
        order::sort_by(&mut all, |(a, _), (b, _)| a.cmp(b));
        all
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let destinations = Destinations::default();
        for n in 0..2 * ROUTES_SEEN_MAX {
            let name = Domain::new(&format!("d{n}.example"));
            let at = Timestamp(i64::try_from(n).expect("small"));
            destinations.note(&name, at, |seen| seen.way = "directly".into());
        }
        let seen = destinations.seen();
        assert_eq!(seen.len(), ROUTES_SEEN_MAX);
        assert!(seen.iter().all(|(_, seen)| seen.at.0 >= i64::try_from(ROUTES_SEEN_MAX).expect("small")));
    }
}
