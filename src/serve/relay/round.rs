//! One attempt at one queue entry: recipients here get it, the others go out to the desks; reports back, settlement.
//!
//! Receives a due entry; hands on jobs, `Op::Settle`, and one log line per recipient. What was delivered is settled at once,
//! the rest together at the end, with at most one bounce. A round that is cut settles what was delivered and leaves the rest
//! due as it was.

use super::Relay;
use super::desk::{Destination, Job, Place, push};
use super::detour::{detour_of, known_detour};
use super::here::{Filed, file};
use super::policy::sts_policy;
use crate::limits::*;
use crate::mail::bounce::{Delay, Failure, How, Reason, Success, tells_delay, tells_failure, tells_success};
use crate::mail::retry::{Schedule, age};
use crate::mail::route::{Blocked, Exchange, Looked, Own, literal_address, route_domain};
use crate::mail::tls_policy::{Demands, Security};
use crate::net::{DnsTrouble, Mx};
use crate::serve::notice::{News, Subject, write_notice};
use crate::serve::queue::UnderWay;
use crate::serve::{RoutePolicy, Site};
use crate::store::{Op, Outcome, QueueEntry, QueueRecipient, Settle, Trouble};
use crate::wire::address::{Address, Domain, ReversePath};
use crate::wire::date::Timestamp;
use crate::wire::smtp::RcptParameters;
use crate::wire::smtp::client::cut;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What the jobs of one round share.
pub(super) struct Round {
    pub entry: QueueEntry,
    pub site: Arc<Site>,
}

/// What became of one recipient in this round.
pub(super) struct Report {
    /// Index into the entry's recipients.
    pub recipient: usize,
    pub fate: Fate,
    /// The server asked last, when one was.
    pub host: Option<String>,
    /// The server has taken over the reports that were asked for (RFC 3461 section 5.2.1).
    pub will_report: bool,
    /// Held until it is settled.
    #[expect(dead_code, reason = "it counts by being there")]
    pub unsettled: Option<Unsettled>,
}

/// The three ends of an attempt.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Delivered(Reason),
    Permanent(Reason),
    Temporary(Reason),
}

/// Counts a delivery that is not settled yet, and keeps its message under way.
pub(super) struct Unsettled {
    relay: Rc<Relay>,
    #[expect(dead_code, reason = "it counts by being there")]
    under_way: UnderWay,
}

impl Unsettled {
    pub fn new(relay: &Rc<Relay>, under_way: &UnderWay) -> Unsettled {
        relay.unsettled.set(relay.unsettled.get() + 1);
        Unsettled { relay: relay.clone(), under_way: under_way.clone() }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.relay.unsettled.set(self.relay.unsettled.get().saturating_sub(1));
        self.relay.changed.notify(usize::MAX);
    }
}

/// Runs a round to its end; early when its jobs are cut because the node stops, or given up because the message was held or
/// taken out meanwhile. Returns whether anybody waits for another round.
pub(super) async fn run_round(relay: &Rc<Relay>, entry: QueueEntry) -> bool {
    let round = Rc::new(Round { entry, site: relay.context.site() });
    let filed = file(relay, &round.site, &round.entry).await;
    let mut open = round.entry.recipients.len().saturating_sub(filed.done.len());
    if open == 0 {
        return false;
    }
    let (reports, inbox) = smol::channel::unbounded();
    deal(relay, &round, &filed, reports);
    let mut waiting: Vec<Report> = Vec::new();
    while open > 0 {
        let Ok(report) = inbox.recv().await else { break };
        let mut news = vec![report];
        while let Ok(more) = inbox.try_recv() {
            news.push(more);
        }
        open = open.saturating_sub(news.len());
        let (delivered, others): (Vec<_>, Vec<_>) =
            news.into_iter().partition(|report| matches!(report.fate, Fate::Delivered(_)));
        waiting.extend(others);
        if open > 0 && !delivered.is_empty() {
            settle(relay, &round, &delivered, round.entry.due).await;
        } else {
            waiting.extend(delivered);
        }
    }
    if open == 0 {
        let wait = next_wait(relay, &round, &waiting);
        let next_due = relay.now().plus(wait);
        settle(relay, &round, &waiting, next_due).await;
        let put_off = |report: &&Report| matches!(report.fate, Fate::Temporary(_));
        let by_network = |report: &Report| matches!(report.fate, Fate::Temporary(Reason::Unreachable(_)));
        let mut waits = waiting.iter().filter(put_off).peekable();
        relay.note_end(round.entry.id, waits.peek().is_some() && waits.all(by_network));
    } else if !waiting.is_empty() && !relay.context.stopping.is_set() {
        settle(relay, &round, &waiting, round.entry.due).await;
    }
    open > 0 || waiting.iter().any(|report| matches!(report.fate, Fate::Temporary(_)))
}

/// Routes every recipient elsewhere, by its gateway or else by its domain, and lays the jobs on the desks.
fn deal(relay: &Rc<Relay>, round: &Rc<Round>, filed: &Filed, reports: smol::channel::Sender<Report>) {
    for (recipient, blocked) in &filed.blocked {
        block(blocked, &[*recipient], None, &reports);
    }
    let mut by_name: Vec<(Place, Vec<usize>)> = Vec::new();
    let mut by_domain: BTreeMap<&Domain, Vec<usize>> = BTreeMap::new();
    for (at, recipient) in round.entry.recipients.iter().enumerate().filter(|(at, _)| !filed.has(*at)) {
        match named_place(round, &recipient.address) {
            None => by_domain.entry(&recipient.address.domain).or_default().push(at),
            Some(place) => match by_name.iter_mut().find(|(known, _)| *known == place) {
                Some((_, recipients)) => recipients.push(at),
                None => by_name.push((place, vec![at])),
            },
        }
    }
    for (place, recipients) in by_name {
        lay(relay, round, named(round, place), recipients, &reports);
    }
    for (domain, recipients) in by_domain {
        if let Some(place) = known_detour(relay, &round.site, domain) {
            lay(relay, round, named(round, place), recipients, &reports);
            continue;
        }
        let (relay, round, domain, reports) = (relay.clone(), round.clone(), domain.clone(), reports.clone());
        let spawner = relay.clone();
        spawner.spawn(async move {
            match route(&relay, &round, &domain).await {
                Ok(destination) => {
                    let detour = detour_of(&relay, &round.site, &destination.place).map(|place| named(&round, place));
                    lay(&relay, &round, detour.unwrap_or(destination), recipients, &reports);
                }
                Err(blocked) => block(&blocked, &recipients, None, &reports),
            }
        });
    }
}

/// The server that the owner has named for a recipient: a gateway, or a smarthost.
fn named_place(round: &Round, recipient: &Address) -> Option<Place> {
    if let Some(gateway) = round.site.book.gateway(recipient) {
        return Some(Place::Gateway(gateway.clone()));
    }
    let policy = &round.site.relay;
    let sender = match &round.entry.reverse_path {
        ReversePath::Null => None,
        ReversePath::Address(address) => Some(&address.domain),
    };
    let smarthost = policy.smarthost_for(sender, &recipient.domain).or(match policy.route {
        RoutePolicy::Smarthost => policy.smarthost.as_ref(),
        RoutePolicy::Direct | RoutePolicy::Auto => None,
    });
    smarthost.map(|smarthost| Place::Smarthost(smarthost.clone()))
}

pub(super) fn lay(
    relay: &Rc<Relay>,
    round: &Rc<Round>,
    to: Destination,
    all: Vec<usize>,
    reports: &smol::channel::Sender<Report>,
) {
    for recipients in all.chunks(RELAY_RECIPIENTS_PER_TRANSACTION) {
        let job = Job { round: round.clone(), recipients: recipients.to_vec(), reports: reports.clone(), order: 0 };
        push(relay, to.clone(), job);
    }
}

/// Reports the same end for some recipients who were not brought to any server.
pub(super) fn block(
    blocked: &Blocked,
    recipients: &[usize],
    host: Option<&str>,
    reports: &smol::channel::Sender<Report>,
) {
    for &recipient in recipients {
        let fate = match blocked {
            Blocked::Never(answer) => Fate::Permanent(Reason::Answered(answer.clone())),
            Blocked::Later(reason) => Fate::Temporary(reason.clone()),
        };
        // A round that has ended needs no reports.
        let _ = reports.try_send(Report {
            recipient,
            fate,
            host: host.map(str::to_owned),
            will_report: false,
            unsettled: None,
        });
    }
}

/// A server that the owner has named.
pub(super) fn named(round: &Round, place: Place) -> Destination {
    Destination { place, demands: Demands { require_tls: requires_tls(&round.entry), ..Demands::default() } }
}

/// Of a message without a sender nobody could be told, so it goes as it can (RFC 8689 section 5).
fn requires_tls(entry: &QueueEntry) -> bool {
    entry.parameters.require_tls && entry.reverse_path != ReversePath::Null
}

async fn route(relay: &Rc<Relay>, round: &Round, domain: &Domain) -> Result<Destination, Blocked> {
    let site = &round.site;
    if let Some(literal) = literal_address(domain) {
        return literal.map(|ip| named(round, Place::Address(ip)));
    }
    let tls_optional = round.entry.parameters.tls_optional && !requires_tls(&round.entry);
    let mut demands = Demands { require_tls: requires_tls(&round.entry), tls_optional, ..Demands::default() };
    let looked = match relay.look_up(domain, relay.context.net.mx_secured(domain)).await {
        Ok(answer) => {
            demands.mx = answer.security;
            demands.names = vec![domain.clone(), answer.name];
            demands.names.dedup();
            let exchange = |mx: Mx| Exchange { preference: mx.preference, host: mx.exchange };
            Looked::Found(answer.found.into_iter().map(exchange).collect())
        }
        Err(DnsTrouble::NoSuchName) => Looked::NoSuchName,
        Err(DnsTrouble::Temporary(why)) => Looked::Temporary(why),
    };
    let own = Own { hostname: &site.hostname, domains: &site.domains };
    let exchanges = route_domain(domain, looked, own)?;
    if tls_optional {
        demands = Demands { tls_optional, ..Demands::default() };
    } else {
        demands.sts = sts_policy(relay, site, domain).await;
    }
    if demands.mx == Security::Insecure && demands.sts.is_none() && !demands.require_tls {
        // Nothing depends on the domain: others with the same hosts share their connections.
        demands.names.clear();
    }
    Ok(Destination { place: Place::Exchanges(exchanges), demands })
}

fn schedule(site: &Site) -> Schedule<'_> {
    Schedule { retry_after: &site.relay.retry_after, give_up_after: site.relay.give_up_after }
}

/// The wait until the next attempt, by the recipient who has had the fewest. One attempt is made when it is time to say that
/// delivery takes long, so that nobody hears of it hours later.
fn next_wait(relay: &Relay, round: &Round, reports: &[Report]) -> Duration {
    let waiting = reports.iter().filter(|report| matches!(report.fate, Fate::Temporary(_)));
    let attempts = waiting.filter_map(|report| round.entry.recipients.get(report.recipient)).map(|r| r.attempts).min();
    let wait = schedule(&round.site).wait(attempts.unwrap_or(0).saturating_add(1), relay.random());
    let age = age(round.entry.queued, relay.context.net.clock().now(), relay.now());
    let tells = !round.entry.delay_told && round.entry.reverse_path != ReversePath::Null;
    let until_told = round.site.relay.delay_notice_after.filter(|_| tells).and_then(|after| after.checked_sub(age));
    until_told.map_or(wait, |left| wait.min(left.max(Duration::from_secs(RELAY_RETRY_SECONDS_MIN))))
}

/// Makes the reports durable, however long the store is in trouble; the entry is nobody else's meanwhile.
async fn settle(relay: &Rc<Relay>, round: &Round, reports: &[Report], next_due: Timestamp) {
    let age = age(round.entry.queued, relay.context.net.clock().now(), relay.now());
    let mut outcomes: Vec<(Address, Outcome)> = Vec::with_capacity(reports.len());
    let mut news = News::default();
    for report in reports {
        let Some(recipient) = round.entry.recipients.get(report.recipient) else { continue };
        let over = schedule(&round.site).is_over(age, recipient.attempts.saturating_add(1));
        let outcome = match &report.fate {
            Fate::Delivered(_) => Outcome::Delivered,
            Fate::Permanent(_) => Outcome::Failed,
            Fate::Temporary(_) if over => Outcome::Failed,
            Fate::Temporary(reason) => Outcome::Deferred(cut(&reason.to_string(), 512).to_owned()),
        };
        note(&mut news, recipient, report, (outcome == Outcome::Failed).then_some(age));
        if matches!(outcome, Outcome::Deferred(_)) && is_late(round, recipient, age) {
            news.delays.extend(delay(round, recipient, report));
        }
        log_outcome(round, report, &outcome, &recipient.address, age);
        outcomes.push((recipient.address.clone(), outcome));
    }
    loop {
        match apply(relay, round, &outcomes, &news, next_due).await {
            Ok(()) => return,
            Err(Trouble::NotFound) => {
                log::info!("event=settled-entry-gone queue={}", round.entry.id.0);
                return;
            }
            Err(trouble) => log::error!("event=settle-failed queue={} trouble={trouble:?}", round.entry.id.0),
        }
        relay.context.net.clock().sleep(Duration::from_secs(RELAY_STORE_RETRY_SECONDS)).await;
    }
}

/// What of a report the sender wants to know (RFC 3461 section 5.2). `failed`: for good, at this age.
fn note(news: &mut News, recipient: &QueueRecipient, report: &Report, failed: Option<Duration>) {
    let RcptParameters { notify, original } = &recipient.parameters;
    match (&report.fate, failed) {
        (Fate::Permanent(reason) | Fate::Temporary(reason), Some(age)) if tells_failure(*notify) => {
            news.failures.push(Failure {
                recipient: recipient.address.clone(),
                original: original.clone(),
                host: report.host.clone(),
                reason: reason.clone(),
                gave_up_after: matches!(report.fate, Fate::Temporary(_)).then_some(age),
            });
        }
        (Fate::Delivered(Reason::Answered(answer)), _) if tells_success(*notify) && !report.will_report => {
            let host = report.host.clone().unwrap_or_default();
            news.successes.push(Success {
                recipient: recipient.address.clone(),
                original: original.clone(),
                how: How::Relayed(host, answer.clone()),
            });
        }
        _ => {}
    }
}

/// Whether the sender is told now that a recipient still waits: once per message, and after as many attempts as belong to the
/// time, so that a clock that jumps does not bring it early.
fn is_late(round: &Round, recipient: &QueueRecipient, age: Duration) -> bool {
    let Round { entry, site } = round;
    let Some(give_up_after) = site.relay.delay_notice_after else { return false };
    let patience = Schedule { give_up_after, ..schedule(site) };
    !entry.delay_told
        && entry.reverse_path != ReversePath::Null
        && tells_delay(recipient.parameters.notify)
        && patience.is_over(age, recipient.attempts.saturating_add(1))
}

fn delay(round: &Round, recipient: &QueueRecipient, report: &Report) -> Option<Delay> {
    let Fate::Temporary(reason) = &report.fate else { return None };
    Some(Delay {
        recipient: recipient.address.clone(),
        original: recipient.parameters.original.clone(),
        host: report.host.clone(),
        reason: reason.clone(),
        until: round.entry.queued.plus(round.site.relay.give_up_after),
    })
}

fn log_outcome(round: &Round, report: &Report, outcome: &Outcome, recipient: &Address, age: Duration) {
    let (event, reason) = match (&report.fate, outcome) {
        (Fate::Delivered(reason), _) => ("delivered", reason),
        (Fate::Permanent(reason), _) => ("refused", reason),
        (Fate::Temporary(reason), Outcome::Failed) => ("given-up", reason),
        (Fate::Temporary(reason), _) => ("deferred", reason),
    };
    let host = report.host.as_deref().unwrap_or("-");
    log::info!(
        "event={event} queue={} to={:?} host={host:?} delay_ms={} reply={:?}",
        round.entry.id.0,
        recipient.to_string(),
        age.as_millis(),
        reason.to_string()
    );
}

async fn apply(
    relay: &Relay,
    round: &Round,
    outcomes: &[(Address, Outcome)],
    news: &News,
    next_due: Timestamp,
) -> Result<(), Trouble> {
    let now = relay.now();
    let notice = write_notice(&relay.context, &round.site, &Subject::of(&round.entry), news, now).await?;
    let (entry, outcomes, file, forward) = (round.entry.id, outcomes.to_vec(), Vec::new(), Vec::new());
    let settle = Settle { entry, outcomes, next_due, file, forward, notice, delay_told: !news.delays.is_empty(), now };
    relay.context.store.apply(Op::Settle(settle)).await.map(|_| ())
}
