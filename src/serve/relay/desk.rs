//! Desks: for each destination the work that waits, and how many connections work on it.
//!
//! Receives jobs; hands them to connections in order. Starts connections within the bounds; knows nothing of SMTP.

use super::Relay;
use super::round::{Report, Round};
use super::session::Session;
use super::walk::attempt;
use crate::limits::*;
use crate::mail::addressbook::Gateway;
use crate::mail::route::Exchange;
use crate::mail::tls_policy::Demands;
use crate::serve::Smarthost;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
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
}

#[derive(Default)]
struct Desk {
    jobs: VecDeque<Job>,
    connections: usize,
    /// Connections that wait for a job or are about to take one.
    idle: usize,
}

#[derive(Default)]
pub(super) struct Desks {
    desks: HashMap<Destination, Desk>,
    connections: usize,
}

impl Desks {
    /// Connections of all desks.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Drops all jobs that wait.
    pub fn clear(&mut self) {
        self.desks.values_mut().for_each(|desk| desk.jobs.clear());
    }

    /// The next destination that gets a connection: one with work for it, those with none first.
    fn hire(&mut self) -> Option<Destination> {
        if self.connections >= RELAY_CONNECTIONS_MAX {
            return None;
        }
        let wanting = self
            .desks
            .iter_mut()
            .filter(|(_, desk)| desk.jobs.len() > desk.idle && desk.connections < RELAY_CONNECTIONS_PER_DESTINATION);
        let (destination, desk) = wanting.min_by_key(|(_, desk)| desk.connections)?;
        desk.connections += 1;
        desk.idle += 1;
        self.connections += 1;
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
}

/// Lays a job on its desk.
pub(super) fn push(relay: &Rc<Relay>, destination: Destination, job: Job) {
    if relay.context.stopping.is_set() {
        return;
    }
    relay.desks.borrow_mut().desks.entry(destination).or_default().jobs.push_back(job);
    relay.changed.notify(usize::MAX);
    staff(relay);
}

/// Starts the connections that there is work and room for.
fn staff(relay: &Rc<Relay>) {
    while !relay.context.stopping.is_set() && relay.tasks.strong_count() > 0 {
        let Some(destination) = relay.desks.borrow_mut().hire() else { return };
        let connection = Connection { relay: relay.clone(), destination, is_idle: Cell::new(true) };
        relay.spawn(connection.work());
    }
}

/// One connection's place, given up when dropped, also when cut.
struct Connection {
    relay: Rc<Relay>,
    destination: Destination,
    /// Counted in [`Desk::idle`].
    is_idle: Cell<bool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.set_idle(false);
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
            attempt(&self.relay, &self.destination, &mut session, &job).await;
            jobs_done += 1;
            if jobs_done >= RELAY_MESSAGES_PER_CONNECTION {
                break;
            }
        }
        if let Some(session) = session {
            session.quit().await;
        }
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
