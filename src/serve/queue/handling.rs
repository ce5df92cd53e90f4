//! What the relay and those who change its queue tell each other, across threads.
//!
//! Receives from the relay which messages are being sent at this moment; from the others that what failed a moment ago shall be
//! tried all the same. Everything that lasts is in the store: after a restart nothing is under way, and nothing is left alone.
//!
//! What must always hold: nothing is being sent of a message while somebody keeps it from that. And the relay says that a message is
//! under way before it looks whether it may still be sent, whoever holds it looks whether it is under way after it is held: so one of
//! them sees the other.

use crate::mail::message::QueueId;
use event_listener::Event;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by the relay and everybody who changes its queue.
#[derive(Default)]
pub struct Handling {
    afresh: AtomicBool,
    /// Messages that are in somebody's hands; the others are not there. Bounded by the connections of the relay,
    /// [`crate::limits::RELAY_UNSETTLED_MAX`] and [`crate::limits::QUEUE_CHANGES_AT_ONCE`].
    hands: Mutex<HashMap<QueueId, Hands>>,
    /// Rings when one leaves them.
    freed: Event,
    /// Messages that the relay has in a round, and whether somebody has asked for another since it began. At most
    /// [`crate::limits::RELAY_ENTRIES_TAKEN_MAX`].
    rounds: Mutex<HashMap<QueueId, bool>>,
}

/// How many hands are on a message.
#[derive(Default)]
struct Hands {
    /// Transactions under way, and deliveries that are not settled yet.
    sending: usize,
    /// Those who keep it from being sent.
    keeping: usize,
}

impl Handling {
    /// Somebody wants a message to be tried now: the relay shall forget what has failed lately, and an attempt that has begun already
    /// is not the one that is wanted. To be said before the message becomes due.
    pub fn ask_now(&self, id: QueueId) {
        self.afresh.store(true, Ordering::Release);
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = rounds.get_mut(&id) {
            *asked = true;
        }
    }

    /// The relay begins an attempt at a message.
    pub fn begin_round(&self, id: QueueId) {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner).insert(id, false);
    }

    /// The attempt has ended. Returns whether [`Handling::ask_now`] was said since it began.
    pub fn end_round(&self, id: QueueId) -> bool {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner).remove(&id).unwrap_or_default()
    }

    /// Whether [`Handling::ask_now`] was said since the last time.
    pub fn take_afresh(&self) -> bool {
        self.afresh.swap(false, Ordering::AcqRel)
    }

    /// A message is about to be sent to some of its recipients, until the last clone of what is returned is dropped. Waits while
    /// somebody keeps it from that. Cancel-safe.
    pub async fn begin(self: &Arc<Self>, id: QueueId) -> UnderWay {
        loop {
            let freed = self.freed.listen();
            {
                let mut all = self.lock();
                let hands = all.entry(id).or_default();
                if hands.keeping == 0 {
                    hands.sending += 1;
                    return UnderWay { handling: self.clone(), id };
                }
            }
            freed.await;
        }
    }

    /// Keeps a message from being sent until what is returned is dropped; what of it is being sent goes on.
    pub fn keep(self: &Arc<Self>, id: QueueId) -> Kept {
        self.lock().entry(id).or_default().keeping += 1;
        Kept { handling: self.clone(), id }
    }

    /// Whether a message is being sent.
    pub fn is_under_way(&self, id: QueueId) -> bool {
        self.lock().get(&id).is_some_and(|hands| hands.sending > 0)
    }

    fn free(&self, id: QueueId, change: impl FnOnce(&mut Hands)) {
        let mut all = self.lock();
        if let Some(hands) = all.get_mut(&id) {
            change(hands);
            if hands.sending == 0 && hands.keeping == 0 {
                all.remove(&id);
            }
        }
        drop(all);
        self.freed.notify(usize::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, Hands>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that is being sent.
pub struct UnderWay {
    handling: Arc<Handling>,
    id: QueueId,
}

impl Clone for UnderWay {
    fn clone(&self) -> UnderWay {
        self.handling.lock().entry(self.id).or_default().sending += 1;
        UnderWay { handling: self.handling.clone(), id: self.id }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.handling.free(self.id, |hands| hands.sending = hands.sending.saturating_sub(1));
    }
}

/// A message that is kept from being sent.
pub struct Kept {
    handling: Arc<Handling>,
    id: QueueId,
}

impl Kept {
    /// Returns when nothing of it is being sent (any more). Cancel-safe.
    pub async fn rested(&self) {
        loop {
            let freed = self.handling.freed.listen();
            if !self.handling.is_under_way(self.id) {
                return;
            }
            freed.await;
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.handling.free(self.id, |hands| hands.keeping = hands.keeping.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, poll_once};

    #[test]
    fn who_keeps_a_message_waits_for_all_that_is_being_sent_and_nothing_begins() {
        let handling = Arc::new(Handling::default());
        let first = block_on(handling.begin(QueueId(1)));
        let second = first.clone();
        let kept = handling.keep(QueueId(1));
        let mut rested = Box::pin(kept.rested());
        let mut third = Box::pin(handling.begin(QueueId(1)));
        let other = block_on(handling.begin(QueueId(2)));
        drop(first);
        assert!(handling.is_under_way(QueueId(1)) && block_on(poll_once(&mut rested)).is_none());
        drop(second);
        assert!(block_on(poll_once(&mut rested)).is_some() && block_on(poll_once(&mut third)).is_none());
        drop(rested);
        drop(kept);
        let third = block_on(poll_once(&mut third)).unwrap();
        assert!(handling.is_under_way(QueueId(1)) && handling.is_under_way(QueueId(2)));
        drop((third, other));
        assert!(handling.lock().is_empty());
    }

    #[test]
    fn what_is_asked_is_heard_once() {
        let handling = Handling::default();
        assert!(!handling.take_afresh());
        handling.ask_now(QueueId(1));
        assert!(handling.take_afresh() && !handling.take_afresh());
        // What was asked before the attempt began is answered by it.
        handling.begin_round(QueueId(1));
        assert!(!handling.end_round(QueueId(1)));
        handling.begin_round(QueueId(1));
        handling.ask_now(QueueId(2));
        handling.ask_now(QueueId(1));
        assert!(handling.end_round(QueueId(1)) && !handling.end_round(QueueId(1)));
        assert!(handling.rounds.lock().unwrap().is_empty());
    }
}
