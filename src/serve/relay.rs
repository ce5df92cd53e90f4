//! Outbound mail: takes due entries of the queue and brings them to other servers, or tells whoever wrote. Mail that was held
//! for addresses here comes this way too, into their mailboxes.
//!
//! Receives the bell of the queue and the passing of time; hands on messages to other servers, and for each attempt one or
//! more `Op::Settle`. Decides nothing about mail itself: where it goes, when again and what a bounce says is decided in
//! `mail`, what is said to a server in `wire`.
//!
//! One attempt at one entry is a [`round`]: its recipients here get it at once; the others are routed by domain and laid on
//! the desk of their destination; a few connections per destination work the desks off; what became of each recipient comes
//! back to the round, which settles it. What always holds: an entry is in at most one round; an entry stays due in the store until its round has
//! settled all of it, so that whatever is cut (power, shutdown) is tried again and counts as no attempt; a delivery is
//! settled at once, and at most [`RELAY_UNSETTLED_MAX`] of them wait for the card, so that a power cut can duplicate no more.

mod ask;
mod backoff;
mod desk;
mod detour;
mod here;
mod look;
mod network;
mod outage;
mod policy;
mod round;
mod session;
mod sts;
mod tally;
mod turns;
mod walk;

use crate::limits::*;
use crate::mail::bounce::Reason;
use crate::mail::message::QueueId;
use crate::mail::retry::QueueClock;
use crate::net::DnsTrouble;
use crate::serve::{Context, RoutePolicy};
use crate::store::{Bell, Op, QueueEntry, Trouble, Watched};
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
pub use ask::ask;
use backoff::{Backoff, Waits, Whose};
use desk::Desks;
use event_listener::Event;
use look::{DomainHash, Known, Looking, Ways, domain_of};
use outage::Outage;
use smol::LocalExecutor;
use smol::future::{FutureExt, pending};
use smol::lock::Semaphore;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;
use turns::Turns;

/// Relays until `context.stopping` is set; then finishes or cuts what is under way and ends within
/// [`RELAY_STOP_SECONDS`] or a little more. Dropped, it cuts everything; nothing is lost by that.
pub async fn run_relay(context: Context) {
    let executor = Rc::new(LocalExecutor::new());
    // Without the store nothing is due either; the clock is then believed as it is.
    let latest = context.store.read(|snapshot| snapshot.latest_time()).await.unwrap_or_else(|trouble| {
        log::error!("event=queue-time-unknown trouble={trouble:?}");
        Timestamp::default()
    });
    context.net.has_passed(latest);
    if let Err(trouble) = context.destinations.read(&context).await {
        log::error!("event=routes-unknown trouble={trouble:?}");
    }
    let clock = QueueClock::new(context.net.clock().now(), context.net.clock().steady(), latest);
    let relay = Rc::new(Relay {
        context,
        tasks: Rc::downgrade(&executor),
        clock: RefCell::new(clock),
        rounds: RefCell::default(),
        desks: RefCell::default(),
        backoff: RefCell::default(),
        lookups: Turns::new(RELAY_LOOKUPS_MAX, RELAY_LOOKUPS_SLOW_MAX),
        working: Semaphore::new(RELAY_WORKING_MAX),
        working_slowly: Semaphore::new(RELAY_WORKING_SLOWLY_MAX),
        known: RefCell::default(),
        outage: RefCell::default(),
        brought_forward: smol::channel::unbounded(),
        lost_name: Event::new(),
        policies: sts::Policies::default(),
        tallies: tally::Tallies::default(),
        unsettled: Cell::new(0),
        look_again: Cell::new(false),
        changed: Event::new(),
    });
    network::watch(&relay);
    relay.spawn(sts::keep_fresh(relay.clone()));
    relay.spawn(tally::run_reports(relay.clone()));
    executor.run(relay.work()).await;
}

/// What rounds and connections share. Lives on one thread.
struct Relay {
    context: Context,
    /// Weak: tasks hold the relay, and the executor holds the tasks.
    tasks: Weak<LocalExecutor<'static>>,
    clock: RefCell<QueueClock>,
    rounds: RefCell<HashMap<QueueId, Taken>>,
    desks: RefCell<Desks>,
    backoff: RefCell<Backoff>,
    lookups: Turns,
    /// Places for connections that transfer messages.
    working: Semaphore,
    /// More, for those that take long.
    working_slowly: Semaphore,
    /// What the last look knows of entries that it passed over.
    known: RefCell<Known>,
    outage: RefCell<Outage>,
    /// Entries that are due at once because the network is back.
    brought_forward: (smol::channel::Sender<Vec<QueueId>>, smol::channel::Receiver<Vec<QueueId>>),
    /// Rings when a name is not answered for.
    lost_name: Event,
    policies: sts::Policies,
    tallies: tally::Tallies,
    unsettled: Cell<usize>,
    /// An entry has become due later in a way that the last look did not see.
    look_again: Cell<bool>,
    /// Rings when a round ends, a desk gets work, a connection ends or a delivery is settled.
    changed: Event,
}

/// An entry in a round, as far as the next look needs to know.
struct Taken {
    recipients: usize,
    domain: Option<DomainHash>,
}

/// How long, and for what, the relay pauses.
struct Pause {
    wait: Duration,
    /// New entries are not worth a look before this has passed.
    deaf: Duration,
}

impl Relay {
    async fn work(self: &Rc<Self>) {
        let mut bell = self.context.store.bell(Watched::Queue);
        while !self.context.stopping.is_set() {
            match self.take_due().await {
                Ok(Some(pause)) => self.pause(&mut bell, pause).await,
                Ok(None) => {}
                Err(trouble) => {
                    log::error!("event=queue-unreadable trouble={trouble:?}");
                    let wait = Duration::from_secs(RELAY_STORE_RETRY_SECONDS);
                    self.pause(&mut bell, Pause { wait, deaf: wait }).await;
                }
            }
        }
        self.finish().await;
    }

    /// Waits for work, for room for work that waits, or for the end.
    async fn pause(&self, bell: &mut Bell, pause: Pause) {
        let (full, full_for_new) = (self.is_full(), self.is_full_for_new());
        let changed = async {
            loop {
                let changed = self.changed.listen();
                if self.look_again.take() || (full && self.has_room()) || (full_for_new && self.has_room_for_new()) {
                    return;
                }
                changed.await;
            }
        };
        let clock = self.context.net.clock();
        let rung = async {
            // Without room there is no use in looking, whatever the bell says.
            if full_for_new {
                pending::<()>().await;
            }
            if !pause.deaf.is_zero() {
                clock.sleep(pause.deaf).await;
            }
            bell.rung().await;
        };
        changed.or(rung).or(clock.sleep(pause.wait)).or(self.context.stopping.asked()).await;
    }

    /// Entries under way that do not hang, and recipients.
    fn room_used(&self) -> (usize, usize) {
        let rounds = self.rounds.borrow();
        let hanging = self.desks.borrow().slow() + self.lookups.slow();
        (rounds.len().saturating_sub(hanging), rounds.values().map(|taken| taken.recipients).sum())
    }

    /// Entries that there is room for.
    fn room(&self) -> usize {
        let (entries, recipients) = self.room_used();
        if recipients >= RELAY_RECIPIENTS_TAKEN_MAX { 0 } else { RELAY_ENTRIES_TAKEN_MAX.saturating_sub(entries) }
    }

    fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Enough room again to be worth a look.
    fn has_room(&self) -> bool {
        let (entries, recipients) = self.room_used();
        entries <= RELAY_ENTRIES_TAKEN_MAX / 4 * 3 && recipients <= RELAY_RECIPIENTS_TAKEN_MAX / 4 * 3
    }

    /// Some places are kept for entries that have just come.
    fn is_full_for_new(&self) -> bool {
        let (entries, recipients) = self.room_used();
        entries >= RELAY_ENTRIES_TAKEN_MAX + RELAY_NEW_ENTRIES_RESERVED
            || recipients >= RELAY_RECIPIENTS_TAKEN_MAX + RELAY_NEW_ENTRIES_RESERVED
    }

    fn has_room_for_new(&self) -> bool {
        let (entries, recipients) = self.room_used();
        entries + RELAY_OPENING_MAX <= RELAY_ENTRIES_TAKEN_MAX + RELAY_NEW_ENTRIES_RESERVED
            && recipients < RELAY_RECIPIENTS_TAKEN_MAX + RELAY_NEW_ENTRIES_RESERVED
    }

    /// Begins a round for each entry that is due, as far as there is room. `None`: there may be more now.
    async fn take_due(self: &Rc<Self>) -> Result<Option<Pause>, Trouble> {
        self.look_again.set(false);
        self.heed_owner();
        let looking = self.looking();
        let found = self.context.store.read(move |snapshot| looking.look(snapshot)).await?;
        self.heed_owner();
        self.known.replace(found.known);
        let now = self.now();
        for entry in found.new {
            if self.is_full_for_new() {
                break;
            }
            self.begin(entry);
        }
        for entry in found.entries {
            if self.is_full() {
                break;
            }
            self.begin(entry);
        }
        if found.more && !self.is_full() {
            return Ok(None);
        }
        let longest = Duration::from_secs(RELAY_LOOK_AGAIN_SECONDS);
        let wait = found.next_due.map_or(longest, |due| due.since(now).min(longest));
        let gap = if found.passed_over > RELAY_PASSED_OVER_MAX { RELAY_LOOK_GAP_MILLISECONDS } else { 0 };
        Ok(Some(Pause { wait, deaf: Duration::from_millis(gap) }))
    }

    /// Somebody wants what is due to be tried now, whatever has failed a moment ago.
    fn heed_owner(&self) {
        if self.context.handling.take_afresh() {
            self.backoff.borrow_mut().forget();
            self.context.net.forget_names();
        }
    }

    fn looking(&self) -> Looking {
        let rounds = self.rounds.borrow();
        let mut ways = Ways { slow: self.desks.borrow().slow_domains().collect(), ..Ways::default() };
        for domain in rounds.values().filter_map(|taken| taken.domain) {
            *ways.under_way.entry(domain).or_default() += 1;
        }
        let one_way = self.context.site().relay.route == RoutePolicy::Smarthost;
        Looking {
            now: self.now(),
            taken: rounds.keys().copied().collect(),
            room: self.room(),
            ways: (!one_way).then_some(ways),
            known: self.known.take(),
        }
    }

    /// Asks name servers about a name, when it is its turn and they have not just failed to answer for it.
    async fn look_up<T>(
        &self,
        name: &Domain,
        asking: impl Future<Output = Result<T, DnsTrouble>>,
    ) -> Result<T, DnsTrouble> {
        let clock = self.context.net.clock();
        if let Some(reason) = self.backoff.borrow().name_reason(name, clock.steady()) {
            return Err(DnsTrouble::Temporary(reason.to_string()));
        }
        let answer = self.lookups.run(clock, asking).await;
        let answer =
            answer.unwrap_or_else(|| Err(DnsTrouble::Temporary("too many name servers are slow at once".to_owned())));
        match &answer {
            Err(DnsTrouble::Temporary(why)) => {
                let site = self.context.site();
                let longest = site.relay.retry_after.first().copied().unwrap_or(Duration::MAX) / 2;
                let longest = longest.min(Duration::from_secs(RELAY_BACKOFF_SECONDS_MAX));
                let waits = Waits { first: Duration::from_secs(RELAY_BACKOFF_SECONDS).min(longest), longest };
                let (whose, reason) = (Whose::Name(name.clone()), Reason::Unreachable(why.clone()));
                self.backoff.borrow_mut().add(whose, waits, reason, clock.steady());
                self.name_unanswered(name);
            }
            Ok(_) | Err(DnsTrouble::NoSuchName) => self.backoff.borrow_mut().answers(name),
        }
        answer
    }

    fn begin(self: &Rc<Self>, entry: QueueEntry) {
        let taken = Taken { recipients: entry.recipients.len(), domain: domain_of(&entry) };
        self.rounds.borrow_mut().insert(entry.id, taken);
        self.context.handling.begin_round(entry.id);
        let relay = self.clone();
        self.spawn(async move {
            let id = entry.id;
            let waits_again = round::run_round(&relay, entry).await;
            if relay.context.handling.end_round(id) && waits_again {
                relay.try_again(id).await;
            }
            relay.end(id, waits_again);
        });
    }

    /// Somebody wanted the entry to be tried now while a round of it had begun already, perhaps without asking any server.
    async fn try_again(&self, id: QueueId) {
        self.context.handling.ask_now(id);
        match self.context.store.apply(Op::Retry { entry: Some(id), due: self.now() }).await {
            Ok(_) | Err(Trouble::NotFound) => {}
            Err(trouble) => log::error!("event=not-tried-again queue={} trouble={trouble:?}", id.0),
        }
    }

    fn end(&self, id: QueueId, waits_again: bool) {
        let mut rounds = self.rounds.borrow_mut();
        let ended = rounds.remove(&id);
        let domain = ended.and_then(|taken| taken.domain);
        let left = rounds.values().filter(|taken| taken.domain == domain).count();
        // Its own bell may have rung while it still counted as taken; and entries to a domain that was crowded may wait.
        if waits_again || left == RELAY_ENTRIES_PER_DOMAIN / 2 {
            self.look_again.set(true);
        }
        self.changed.notify(usize::MAX);
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
            log::info!("event=relay-cut rounds={}", self.rounds.borrow().len());
        }
        let patience = Duration::from_secs(RELAY_LAST_WORDS_SECONDS);
        if self.context.net.clock().within(patience, tally::save(self)).await.is_none() {
            log::warn!("event=tls-counts-not-written reason=\"the store takes too long\"");
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
