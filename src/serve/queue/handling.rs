//! What the relay and those who change its queue tell each other, across threads.
//!
//! Receives from the relay which messages are being sent at this moment; from the others that what failed a moment ago shall be
//! tried all the same. Everything that lasts is in the store: after a restart nothing is under way, and nothing is left alone.
//!
//! What must always hold: the relay says that a message is under way before it looks whether it may still be sent, and
//! whoever holds it looks whether it is under way after it is held. So one of them sees the other.

use crate::mail::message::QueueId;
use event_listener::Event;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by the relay and everybody who changes its queue.
#[derive(Default)]
pub struct Handling {
    afresh: AtomicBool,
    /// Transactions under way, and deliveries that are not settled yet. Bounded by the connections of the relay and
    /// [`crate::limits::RELAY_UNSETTLED_MAX`].
    under_way: Mutex<HashMap<QueueId, usize>>,
    ended: Event,
}

impl Handling {
    /// The relay shall forget what has failed lately, because somebody wants it to try now. To be said before entries become due.
    pub fn ask_afresh(&self) {
        self.afresh.store(true, Ordering::Release);
    }

    /// Whether [`Handling::ask_afresh`] was said since the last time.
    pub fn take_afresh(&self) -> bool {
        self.afresh.swap(false, Ordering::AcqRel)
    }

    /// A message is about to be sent to some of its recipients, until the last clone of what is returned is dropped.
    pub fn begin(self: &Arc<Self>, id: QueueId) -> UnderWay {
        *self.lock().entry(id).or_default() += 1;
        UnderWay { handling: self.clone(), id }
    }

    /// Whether a message is being sent.
    pub fn is_under_way(&self, id: QueueId) -> bool {
        self.lock().contains_key(&id)
    }

    /// Returns when it is not (any more). Cancel-safe.
    pub async fn rested(&self, id: QueueId) {
        loop {
            let ended = self.ended.listen();
            if !self.is_under_way(id) {
                return;
            }
            ended.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that is being sent.
pub struct UnderWay {
    handling: Arc<Handling>,
    id: QueueId,
}

impl Clone for UnderWay {
    fn clone(&self) -> UnderWay {
        self.handling.begin(self.id)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = self.handling.lock();
        if let Some(count) = all.get_mut(&self.id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(&self.id);
            }
        }
        drop(all);
        self.handling.ended.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, poll_once};

    #[test]
    fn a_message_is_under_way_until_its_last_part_has_ended() {
        let handling = Arc::new(Handling::default());
        let first = handling.begin(QueueId(1));
        let second = first.clone();
        let mut rested = std::pin::pin!(handling.rested(QueueId(1)));
        block_on(handling.rested(QueueId(2)));
        drop(first);
        assert!(handling.is_under_way(QueueId(1)) && block_on(poll_once(&mut rested)).is_none());
        drop(second);
        assert!(!handling.is_under_way(QueueId(1)) && block_on(poll_once(&mut rested)).is_some());
    }

    #[test]
    fn what_is_asked_is_heard_once() {
        let handling = Handling::default();
        assert!(!handling.take_afresh());
        handling.ask_afresh();
        assert!(handling.take_afresh() && !handling.take_afresh());
    }
}
