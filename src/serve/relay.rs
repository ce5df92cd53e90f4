//! Outbound mail: takes due entries of the queue and brings them to other servers, or back to the owner.
//!
//! Receives the bell of the queue and the passing of time; hands on messages to other servers, and for each attempt one or
//! more `Op::Settle`. Decides nothing about mail itself: where it goes, when again and what a bounce says is decided in
//! `mail`, what is said to a server in `wire`.
//!
//! One attempt at one entry is a [`round`]: its recipients are routed by domain and laid on the desk of their destination;
//! a few connections per destination work the desks off; what became of each recipient comes back to the round, which
//! settles it. What always holds: an entry is in at most one round; an entry stays due in the store until its round has
//! settled all of it, so that whatever is cut (power, shutdown) is tried again and counts as no attempt; a delivery is
//! settled at once, and at most [`RELAY_UNSETTLED_MAX`] of them wait for the card, so that a power cut can duplicate no more.

mod backoff;
mod desk;
mod round;
mod session;
mod walk;

use crate::limits::*;
use crate::mail::message::QueueId;
use crate::mail::retry::QueueClock;
use crate::serve::Context;
use crate::store::{Bell, QueueEntry, Trouble, Watched};
use crate::wire::date::Timestamp;
use backoff::Backoff;
use desk::Desks;
use event_listener::Event;
use smol::LocalExecutor;
use smol::future::{FutureExt, pending};
use smol::lock::Semaphore;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};
use std::time::Duration;

/// Relays until `context.stopping` is set; then finishes or cuts what is under way and ends within
/// [`RELAY_STOP_SECONDS`] or a little more. Dropped, it cuts everything; nothing is lost by that.
pub async fn run_relay(context: Context) {
    let executor = Rc::new(LocalExecutor::new());
    let latest = context.store.read(|snapshot| snapshot.latest_time()).await.unwrap_or_default();
    let clock = QueueClock::new(context.net.clock().now(), context.net.clock().steady(), latest);
    let relay = Rc::new(Relay {
        context,
        tasks: Rc::downgrade(&executor),
        clock: RefCell::new(clock),
        rounds: RefCell::default(),
        desks: RefCell::default(),
        backoff: RefCell::default(),
        lookups: Semaphore::new(RELAY_LOOKUPS_MAX),
        unsettled: Cell::new(0),
        look_again: Cell::new(false),
        changed: Event::new(),
    });
    executor.run(relay.work()).await;
}

/// What rounds and connections share. Lives on one thread.
struct Relay {
    context: Context,
    /// Weak: tasks hold the relay, and the executor holds the tasks.
    tasks: Weak<LocalExecutor<'static>>,
    clock: RefCell<QueueClock>,
    /// Entries in a round, with the number of their recipients.
    rounds: RefCell<HashMap<QueueId, usize>>,
    desks: RefCell<Desks>,
    backoff: RefCell<Backoff>,
    lookups: Semaphore,
    unsettled: Cell<usize>,
    /// An entry has become due later in a way that the last look did not see.
    look_again: Cell<bool>,
    /// Rings when a round ends, a desk gets work, a connection ends or a delivery is settled.
    changed: Event,
}

impl Relay {
    async fn work(self: &Rc<Self>) {
        let mut bell = self.context.store.bell(Watched::Queue);
        while !self.context.stopping.is_set() {
            let wait = match self.take_due().await {
                Ok(wait) => wait,
                Err(trouble) => {
                    log::error!("event=queue_unreadable trouble={trouble:?}");
                    Duration::from_secs(RELAY_STORE_RETRY_SECONDS)
                }
            };
            if !wait.is_zero() {
                self.pause(&mut bell, wait).await;
            }
        }
        self.finish().await;
    }

    /// Waits for work, for room for work that waits, or for the end.
    async fn pause(&self, bell: &mut Bell, wait: Duration) {
        let full = self.is_full();
        let changed = async {
            loop {
                let changed = self.changed.listen();
                if self.look_again.take() || (full && !self.is_full()) {
                    return;
                }
                changed.await;
            }
        };
        // Without room there is no use in looking, whatever the bell says.
        let rung = async { if full { pending().await } else { bell.rung().await } };
        let due = self.context.net.clock().sleep(wait);
        changed.or(rung).or(due).or(self.context.stopping.asked()).await;
    }

    fn is_full(&self) -> bool {
        let rounds = self.rounds.borrow();
        let recipients: usize = rounds.values().sum();
        rounds.len() >= RELAY_ENTRIES_TAKEN_MAX || recipients >= RELAY_RECIPIENTS_TAKEN_MAX
    }

    /// Begins a round for each entry that is due, as far as there is room. Returns how long nothing more is due; zero when
    /// there may be more now.
    async fn take_due(self: &Rc<Self>) -> Result<Duration, Trouble> {
        let taken: HashSet<QueueId> = self.rounds.borrow().keys().copied().collect();
        let limit = taken.len() + RELAY_SCAN_ENTRIES;
        self.look_again.set(false);
        // Entries in a round are still due in the store; those that are not due yet tell when to look again.
        let look = move |snapshot: &crate::store::Snapshot| {
            let mut soonest = snapshot.queue_due(Timestamp(i64::MAX), limit)?;
            soonest.retain(|entry| !taken.contains(&entry.id));
            Ok(soonest)
        };
        let soonest = self.context.store.read(look).await?;
        let now = self.now();
        let mut next = Duration::from_secs(RELAY_LOOK_AGAIN_SECONDS);
        let all_due = soonest.len() >= RELAY_SCAN_ENTRIES && soonest.iter().all(|entry| entry.due <= now);
        for entry in soonest {
            if entry.due > now {
                return Ok(next.min(entry.due.since(now)));
            }
            if self.is_full() {
                return Ok(next);
            }
            self.begin(entry);
        }
        if all_due {
            next = Duration::ZERO;
        }
        Ok(next)
    }

    fn begin(self: &Rc<Self>, entry: QueueEntry) {
        self.rounds.borrow_mut().insert(entry.id, entry.recipients.len());
        let relay = self.clone();
        self.spawn(async move {
            let id = entry.id;
            let waits_again = round::run_round(&relay, entry).await;
            relay.rounds.borrow_mut().remove(&id);
            // The bell of its settlement may have rung while the entry still counted as taken.
            relay.look_again.set(relay.look_again.get() || waits_again);
            relay.changed.notify(usize::MAX);
        });
    }

    /// The node stops: nothing new is begun, what is under way gets [`RELAY_STOP_SECONDS`], then it is cut.
    async fn finish(&self) {
        self.desks.borrow_mut().clear();
        self.changed.notify(usize::MAX);
        let done = async {
            while !self.rounds.borrow().is_empty() || self.desks.borrow().connections() > 0 {
                let changed = self.changed.listen();
                if !self.rounds.borrow().is_empty() || self.desks.borrow().connections() > 0 {
                    changed.await;
                }
            }
        };
        let patience = Duration::from_secs(RELAY_STOP_SECONDS);
        if self.context.net.clock().within(patience, done).await.is_none() {
            log::info!("event=relay_cut rounds={}", self.rounds.borrow().len());
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        if let Some(tasks) = self.tasks.upgrade() {
            tasks.spawn(task).detach();
        }
    }

    /// The queue's time.
    fn now(&self) -> Timestamp {
        let clock = self.context.net.clock();
        self.clock.borrow_mut().now(clock.now(), clock.steady())
    }

    /// A random number for orders and waits, where being guessed does no harm.
    fn random(&self) -> u64 {
        self.context.net.random::<8>().map_or(0, u64::from_le_bytes)
    }
}
