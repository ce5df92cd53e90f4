//! Desks: for each destination the work that waits, and how many connections work on it.
//!
//! Receives jobs; hands them to connections in order. Starts connections within the bounds; knows nothing of SMTP.
//!
//! A connection that does not come about in a moment ([`RELAY_QUICK_MILLISECONDS`]) leaves its place among those that are opened
//! to the next, and goes on trying among the slow, of whom there is a bounded number: so dead servers, however many, do not stand
//! before one that lives. The next is always for the message that came last.

use super::Relay;
use super::look::{DomainHash, domain_of};
use super::round::{Report, Round};
use super::session::Session;
use super::walk::attempt;
use crate::limits::*;
use crate::mail::addressbook::Gateway;
use crate::mail::route::Exchange;
use crate::mail::tls_policy::Demands;
use crate::serve::Smarthost;
use event_listener::Event;
use smol::future::FutureExt;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Where jobs can share a connection: the same place, and the same that TLS must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    pub place: Place,
    pub demands: Demands,
}

/// Where mail goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A smarthost.
    Smarthost(Arc<Smarthost>),
    /// A server inside.
    Gateway(Gateway),
    /// The same MX hosts, whatever the domain.
    Exchanges(Vec<Exchange>),
    /// An address literal.
    Address(IpAddr),
}

impl Place {
    /// The owner has named the server: it may stand in the house, and what it says about us is about our settings.
    pub fn is_named(&self) -> bool {
        matches!(self, Place::Smarthost(_) | Place::Gateway(_))
    }
}

/// One message for some recipients who share a destination.
pub(super) struct Job {
    pub round: Rc<Round>,
    /// Indices into the entry's recipients, at most [`RELAY_RECIPIENTS_PER_TRANSACTION`].
    pub recipients: Vec<usize>,
    /// Dropped without a report, the recipients were not tried.
    pub reports: smol::channel::Sender<Report>,
    /// Which came later; set when it is laid on a desk.
    pub order: u64,
}

#[derive(Default)]
struct Desk {
    jobs: VecDeque<Job>,
    connections: usize,
    /// Connections that wait for a job or are about to take one.
    idle: usize,
    /// Connections that stand.
    standing: usize,
}

#[derive(Default)]
pub(super) struct Desks {
    desks: HashMap<Destination, Desk>,
    connections: usize,
    /// Connections that are being opened, and may come about in a moment.
    opening: usize,
    /// Connections that are long in coming, the longest first.
    slow: BTreeMap<u64, Rc<SlowOpening>>,
    next_order: u64,
}

/// A connection that is long in coming.
pub(super) struct SlowOpening {
    /// The domain it is for, when others of it have to wait.
    domain: Option<DomainHash>,
    given_up: Cell<bool>,
    bell: Event,
}

impl Desks {
    /// Connections of all desks.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Connections that are long in coming.
    pub fn slow(&self) -> usize {
        self.slow.len()
    }

    /// Domains whose servers let us hang.
    pub fn slow_domains(&self) -> impl Iterator<Item = DomainHash> {
        self.slow.values().filter_map(|slow| slow.domain)
    }

    /// Drops all jobs that wait.
    pub fn clear(&mut self) {
        self.desks.values_mut().for_each(|desk| desk.jobs.clear());
    }

    /// The next destination that gets a connection: those with none first, then the one whose message has just come. As long as
    /// nobody knows whether a server can be reached, one connection tries.
    fn hire(&mut self) -> Option<Destination> {
        if self.connections >= RELAY_CONNECTIONS_MAX || self.opening >= RELAY_OPENING_MAX {
            return None;
        }
        let connections_max = |desk: &Desk| if desk.standing > 0 { RELAY_CONNECTIONS_PER_DESTINATION } else { 1 };
        let wanting = self
            .desks
            .iter_mut()
            .filter(|(_, desk)| desk.jobs.len() > desk.idle && desk.connections < connections_max(desk));
        let rank = |desk: &Desk| (desk.connections == 0, desk.jobs.back().map(|job| (job.is_new(), job.order)));
        let (destination, desk) = wanting.max_by_key(|(_, desk)| rank(desk))?;
        desk.connections += 1;
        desk.idle += 1;
        self.connections += 1;
        self.opening += 1;
        Some(destination.clone())
    }

    /// Whether a destination has work and no connection, because there are too many.
    fn is_crowded(&self) -> bool {
        self.connections >= RELAY_CONNECTIONS_MAX
            && self.desks.values().any(|desk| desk.connections == 0 && !desk.jobs.is_empty())
    }

    fn dismiss(&mut self, destination: &Destination) {
        self.connections = self.connections.saturating_sub(1);
        if let Some(desk) = self.desks.get_mut(destination) {
            desk.connections = desk.connections.saturating_sub(1);
            if desk.connections == 0 && desk.jobs.is_empty() {
                self.desks.remove(destination);
            }
        }
    }

    /// A connection is long in coming. Of too many the one that takes longest is given up.
    fn go_slow(&mut self, domain: Option<DomainHash>) -> (u64, Rc<SlowOpening>) {
        if self.slow.len() >= RELAY_OPENING_SLOW_MAX
            && let Some((_, longest)) = self.slow.first_key_value()
        {
            longest.given_up.set(true);
            longest.bell.notify(1);
        }
        self.next_order += 1;
        let slow = Rc::new(SlowOpening { domain, given_up: Cell::new(false), bell: Event::new() });
        self.slow.insert(self.next_order, slow.clone());
        (self.next_order, slow)
    }
}

impl Job {
    /// It was not tried yet.
    fn is_new(&self) -> bool {
        self.round.entry.recipients.iter().all(|recipient| recipient.attempts == 0)
    }

    /// It is all that its round does, which can be taken up later as if nothing had happened.
    fn is_alone(&self) -> bool {
        let recipients = &self.round.entry.recipients;
        self.recipients.len() == recipients.len()
    }

    /// The domain that its entry counts for.
    fn domain(&self) -> Option<DomainHash> {
        domain_of(&self.round.entry)
    }
}

/// Lays a job on its desk.
pub(super) fn push(relay: &Rc<Relay>, destination: Destination, mut job: Job) {
    if relay.context.stopping.is_set() {
        return;
    }
    {
        let mut desks = relay.desks.borrow_mut();
        desks.next_order += 1;
        job.order = desks.next_order;
        desks.desks.entry(destination).or_default().jobs.push_back(job);
    }
    relay.changed.notify(usize::MAX);
    staff(relay);
}

/// Starts the connections that there is work and room for.
fn staff(relay: &Rc<Relay>) {
    while !relay.context.stopping.is_set() && relay.tasks.strong_count() > 0 {
        let Some(destination) = relay.desks.borrow_mut().hire() else { return };
        let (relay_kept, stage) = (relay.clone(), RefCell::new(Stage::Opening));
        let connection = Connection { relay: relay_kept, destination, is_idle: Cell::new(true), stage };
        relay.spawn(connection.work());
    }
}

/// Where a connection stands.
enum Stage {
    Opening,
    /// Its number among the slow.
    Slow(u64),
    Standing,
}

/// Others were waiting, and the connection took longest.
pub(super) struct GivenUp;

/// One connection's place, given up when dropped, also when cut.
pub(super) struct Connection {
    relay: Rc<Relay>,
    destination: Destination,
    /// Counted in [`Desk::idle`].
    is_idle: Cell<bool>,
    stage: RefCell<Stage>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.set_idle(false);
        self.set_stage(None);
        self.relay.desks.borrow_mut().dismiss(&self.destination);
        self.relay.changed.notify(usize::MAX);
        staff(&self.relay);
    }
}

impl Connection {
    async fn work(self) {
        let mut session: Option<Session> = None;
        let mut jobs_done = 0;
        while let Some(job) = self.next_job(session.is_some()).await {
            attempt(&self.relay, &self, &self.destination, (&mut session, &job)).await;
            jobs_done += 1;
            if jobs_done >= RELAY_MESSAGES_PER_CONNECTION {
                break;
            }
        }
        if let Some(session) = session {
            session.quit().await;
        }
    }

    /// Opens a session for a job. One that is long in coming makes room for others, and when many are, for good. `None`: none of the servers
    /// could be used.
    pub async fn open(
        &self,
        job: &Job,
        opening: impl Future<Output = Option<Session>>,
    ) -> Result<Option<Session>, GivenUp> {
        if !matches!(*self.stage.borrow(), Stage::Opening) {
            self.set_stage(Some(Stage::Opening));
        }
        let clock = self.relay.context.net.clock();
        let mut opening = pin!(opening);
        let quick = Duration::from_millis(RELAY_QUICK_MILLISECONDS);
        let opened = match clock.within(quick, opening.as_mut()).await {
            Some(session) => Ok(session),
            None => {
                let slow = self.go_slow(job);
                let given_up = async {
                    loop {
                        let rung = slow.bell.listen();
                        if slow.given_up.get() {
                            return Err(GivenUp);
                        }
                        rung.await;
                    }
                };
                async { Ok(opening.await) }.or(given_up).await
            }
        };
        if let Ok(Some(_)) = opened {
            self.set_stage(Some(Stage::Standing));
            staff(&self.relay);
        }
        opened
    }

    /// What waits for the same servers is put back into the queue, and its domain is passed over until this is decided.
    fn go_slow(&self, job: &Job) -> Rc<SlowOpening> {
        let domain = job.domain().filter(|_| !self.destination.place.is_named());
        self.set_stage(None);
        let mut put_back = VecDeque::new();
        let slow = {
            let mut desks = self.relay.desks.borrow_mut();
            let (number, slow) = desks.go_slow(domain);
            self.stage.replace(Stage::Slow(number));
            if let (Some(_), Some(desk)) = (domain, desks.desks.get_mut(&self.destination))
                && desk.standing == 0
            {
                let (alone, kept) =
                    desk.jobs.drain(..).partition(|waiting| waiting.is_alone() && waiting.domain() == domain);
                (put_back, desk.jobs) = (alone, kept);
            }
            slow
        };
        drop(put_back);
        self.relay.changed.notify(usize::MAX);
        staff(&self.relay);
        slow
    }

    /// `None`: it is on its way from one to another, and counts as nothing.
    fn set_stage(&self, stage: Option<Stage>) {
        let mut desks = self.relay.desks.borrow_mut();
        let left = self.stage.replace(Stage::Slow(0));
        match left {
            Stage::Opening => desks.opening = desks.opening.saturating_sub(1),
            // Those who were passed over because of it are looked at again.
            Stage::Slow(number) => {
                if desks.slow.remove(&number).is_some() {
                    self.relay.look_again.set(true);
                }
            }
            Stage::Standing => {
                if let Some(desk) = desks.desks.get_mut(&self.destination) {
                    desk.standing = desk.standing.saturating_sub(1);
                }
            }
        }
        let Some(stage) = stage else { return };
        match stage {
            Stage::Opening => desks.opening += 1,
            Stage::Standing => {
                if let Some(desk) = desks.desks.get_mut(&self.destination) {
                    desk.standing += 1;
                }
            }
            Stage::Slow(_) => {}
        }
        self.stage.replace(stage);
        self.relay.changed.notify(usize::MAX);
    }

    /// The next job; waits a little for one when there is a session to use. `None`: no more work here.
    async fn next_job(&self, linger: bool) -> Option<Job> {
        self.set_idle(true);
        let clock = self.relay.context.net.clock();
        let patience = clock.steady() + Duration::from_secs(RELAY_LINGER_SECONDS);
        let job = loop {
            let changed = self.relay.changed.listen();
            if self.relay.context.stopping.is_set() {
                break None;
            }
            // So many deliveries wait for the store that it must be in trouble; their rounds go on trying.
            if self.relay.unsettled.get() >= RELAY_UNSETTLED_MAX {
                changed.await;
                continue;
            }
            let job = self.pop();
            let left = patience.saturating_sub(clock.steady());
            if job.is_some() || !linger || left.is_zero() || self.relay.desks.borrow().is_crowded() {
                break job;
            }
            clock.within(left, changed).await;
        };
        self.set_idle(false);
        job
    }

    fn pop(&self) -> Option<Job> {
        self.relay.desks.borrow_mut().desks.get_mut(&self.destination)?.jobs.pop_front()
    }

    fn set_idle(&self, idle: bool) {
        if let Some(desk) = self.relay.desks.borrow_mut().desks.get_mut(&self.destination) {
            match (self.is_idle.replace(idle), idle) {
                (false, true) => desk.idle += 1,
                (true, false) => desk.idle = desk.idle.saturating_sub(1),
                _ => {}
            }
        }
    }
}
