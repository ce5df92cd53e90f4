//! Bells: tell sessions that something durable changed, never what.
//!
//! Nothing is queued per session; a bell is a counter and an event shared by all who watch the same thing, so a
//! thousand changes cost one wake. A ring while nobody waits is remembered by the counter.

use super::Watched;
use event_listener::{Event, Listener};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What all bells of one watched thing hang on.
#[derive(Default)]
struct Rope {
    /// Rings so far.
    rings: AtomicU64,
    event: Event,
}

/// All ropes that somebody holds.
#[derive(Default)]
pub struct Bells {
    ropes: Mutex<HashMap<Watched, Weak<Rope>>>,
}

impl Bells {
    /// A bell on the rope of that thing.
    pub fn hang(self: &Arc<Self>, of: Watched) -> Bell {
        let mut ropes = self.ropes.lock().unwrap_or_else(PoisonError::into_inner);
        let rope = ropes.get(&of).and_then(Weak::upgrade).unwrap_or_else(|| {
            let rope = Arc::new(Rope::default());
            ropes.insert(of, Arc::downgrade(&rope));
            rope
        });
        let heard = rope.rings.load(Ordering::SeqCst);
        Bell { of, rope, heard, bells: self.clone() }
    }

    /// Rings every bell: what changed is not known.
    pub fn ring_all(&self) {
        let hung: Vec<Watched> = self.ropes.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        hung.into_iter().for_each(|of| self.ring(of));
    }

    /// Rings all bells of that thing, and those of all mailboxes when it belongs to them.
    pub fn ring(&self, of: Watched) {
        self.ring_rope(of);
        if matches!(of, Watched::Mailbox(_) | Watched::MailboxList | Watched::Metadata) {
            self.ring_rope(Watched::Mailboxes);
        }
    }

    fn ring_rope(&self, of: Watched) {
        let rope = self.ropes.lock().unwrap_or_else(PoisonError::into_inner).get(&of).and_then(Weak::upgrade);
        if let Some(rope) = rope {
            rope.rings.fetch_add(1, Ordering::SeqCst);
            rope.event.notify(usize::MAX);
        }
    }
}

/// Wakes its holder after durable changes. A ring while nobody waits is remembered: the next wait returns at once.
pub struct Bell {
    of: Watched,
    rope: Arc<Rope>,
    heard: u64,
    bells: Arc<Bells>,
}

impl Bell {
    /// Returns when something changed since the bell was made or since the last return. Cancel-safe.
    pub async fn rung(&mut self) {
        loop {
            let listener = self.rope.event.listen();
            if self.take_ring() {
                return;
            }
            listener.await;
        }
    }

    /// Blocks the thread until the bell rings; for tests and tools.
    pub fn wait(&mut self) {
        loop {
            let listener = self.rope.event.listen();
            if self.take_ring() {
                return;
            }
            listener.wait();
        }
    }

    /// Whether it rang since the last return; forgets the ring.
    pub fn take_ring(&mut self) -> bool {
        let rings = self.rope.rings.load(Ordering::SeqCst);
        std::mem::replace(&mut self.heard, rings) != rings
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let mut ropes = self.bells.ropes.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock nobody can take the rope from the map, so a count of one is this bell alone.
        if Arc::strong_count(&self.rope) == 1 {
            ropes.remove(&self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::{INBOX, MailboxId};
    use smol::future::{block_on, poll_once};

    #[test]
    fn a_ring_is_remembered_once() {
        let bells = Arc::new(Bells::default());
        let mut bell = bells.hang(Watched::Mailbox(INBOX));
        assert!(block_on(poll_once(bell.rung())).is_none());
        bells.ring(Watched::Mailbox(INBOX));
        bells.ring(Watched::Mailbox(INBOX));
        bells.ring(Watched::Mailbox(MailboxId(9)));
        assert!(block_on(poll_once(bell.rung())).is_some());
        assert!(block_on(poll_once(bell.rung())).is_none(), "two rings are one return");
    }

    #[test]
    fn one_bell_hears_of_all_mailboxes() {
        let bells = Arc::new(Bells::default());
        let mut bell = bells.hang(Watched::Mailboxes);
        bells.ring(Watched::Queue);
        assert!(!bell.take_ring());
        for of in [Watched::Mailbox(MailboxId(9)), Watched::MailboxList, Watched::Metadata] {
            bells.ring(of);
            assert!(bell.take_ring(), "{of:?}");
        }
    }

    #[test]
    fn a_cancelled_wait_loses_nothing() {
        let bells = Arc::new(Bells::default());
        let mut bell = bells.hang(Watched::Queue);
        {
            let wait = bell.rung();
            smol::pin!(wait);
            assert!(block_on(poll_once(&mut wait)).is_none());
            bells.ring(Watched::Queue);
        }
        assert!(block_on(poll_once(bell.rung())).is_some());
    }

    #[test]
    fn everybody_wakes_and_unused_ropes_go() {
        let bells = Arc::new(Bells::default());
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let mut bell = bells.hang(Watched::MailboxList);
                std::thread::spawn(move || bell.wait())
            })
            .collect();
        bells.ring(Watched::MailboxList);
        for thread in waiting {
            thread.join().expect("the waiter returns");
        }
        assert!(bells.ropes.lock().expect("unpoisoned").is_empty());
    }
}
