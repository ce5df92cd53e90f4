//! One attempt at one queue entry: recipients out to the desks, reports back, settlement.
//!
//! Receives a due entry; hands on jobs, `Op::Settle`, and one log line per recipient. What was delivered is settled at once,
//! the rest together at the end, with at most one bounce. A round that is cut settles what was delivered and leaves the rest
//! due as it was.

use super::Relay;
use super::desk::{Destination, Job, push};
use crate::limits::*;
use crate::mail::addressbook::Gateway;
use crate::mail::bounce::{Bounce, Failure, Reason, Returned, encode_bounce};
use crate::mail::message::{BodyId, Flags, INBOX};
use crate::mail::retry::{Schedule, age};
use crate::mail::route::{Blocked, Exchange, Looked, Own, literal_address, route_domain};
use crate::mail::srs;
use crate::net::DnsTrouble;
use crate::serve::srs::read_srs;
use crate::serve::{Intake, Site};
use crate::store::{NewBody, NoticeTo, Op, Outcome, Outgoing, QueueEntry, Recipient, Settle, Store, Target, Trouble};
use crate::wire::address::{Address, Domain, ReversePath};
use crate::wire::date::Timestamp;
use crate::wire::smtp::client::cut;
use crate::wire::smtp::{Body, MailParameters};
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

/// Counts a delivery that is not settled yet.
pub(super) struct Unsettled(Rc<Relay>);

impl Unsettled {
    pub fn new(relay: &Rc<Relay>) -> Unsettled {
        relay.unsettled.set(relay.unsettled.get() + 1);
        Unsettled(relay.clone())
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.0.unsettled.set(self.0.unsettled.get().saturating_sub(1));
        self.0.changed.notify(usize::MAX);
    }
}

/// Runs a round to its end; early only when its jobs are cut because the node stops. Returns whether anybody waits for
/// another round.
pub(super) async fn run_round(relay: &Rc<Relay>, entry: QueueEntry) -> bool {
    let round = Rc::new(Round { entry, site: relay.context.site() });
    let (reports, inbox) = smol::channel::unbounded();
    deal(relay, &round, reports);
    let mut open = round.entry.recipients.len();
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
    }
    open > 0 || waiting.iter().any(|report| matches!(report.fate, Fate::Temporary(_)))
}

/// Routes every recipient, by its gateway or else by its domain, and lays the jobs on the desks.
fn deal(relay: &Rc<Relay>, round: &Rc<Round>, reports: smol::channel::Sender<Report>) {
    let mut by_gateway: Vec<(&Gateway, Vec<usize>)> = Vec::new();
    let mut by_domain: BTreeMap<&Domain, Vec<usize>> = BTreeMap::new();
    for (at, recipient) in round.entry.recipients.iter().enumerate() {
        match round.site.book.gateway(&recipient.address) {
            None => by_domain.entry(&recipient.address.domain).or_default().push(at),
            Some(gateway) => match by_gateway.iter_mut().find(|(known, _)| *known == gateway) {
                Some((_, recipients)) => recipients.push(at),
                None => by_gateway.push((gateway, vec![at])),
            },
        }
    }
    for (gateway, recipients) in by_gateway {
        lay(relay, round, Destination::Gateway(gateway.clone()), recipients, &reports);
    }
    if let Some(smarthost) = &round.site.relay.smarthost {
        let destination = Destination::Smarthost(smarthost.host.clone(), smarthost.port);
        let all = by_domain.into_values().flatten().collect();
        return lay(relay, round, destination, all, &reports);
    }
    for (domain, recipients) in by_domain {
        let (relay, round, domain, reports) = (relay.clone(), round.clone(), domain.clone(), reports.clone());
        let spawner = relay.clone();
        spawner.spawn(async move {
            match route(&relay, &round.site, &domain).await {
                Ok(destination) => lay(&relay, &round, destination, recipients, &reports),
                Err(blocked) => block(&blocked, &recipients, None, &reports),
            }
        });
    }
}

fn lay(
    relay: &Rc<Relay>,
    round: &Rc<Round>,
    to: Destination,
    all: Vec<usize>,
    reports: &smol::channel::Sender<Report>,
) {
    for recipients in all.chunks(RELAY_RECIPIENTS_PER_TRANSACTION) {
        let job = Job { round: round.clone(), recipients: recipients.to_vec(), reports: reports.clone() };
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
            Blocked::Later(why) => Fate::Temporary(Reason::Happened(why.clone())),
        };
        // A round that has ended needs no reports.
        let _ = reports.try_send(Report { recipient, fate, host: host.map(str::to_owned), unsettled: None });
    }
}

async fn route(relay: &Relay, site: &Site, domain: &Domain) -> Result<Destination, Blocked> {
    if let Some(literal) = literal_address(domain) {
        return literal.map(Destination::Address);
    }
    let _turn = relay.lookups.acquire().await;
    let looked = match relay.context.net.mx(domain).await {
        Ok(records) => {
            let exchange = |mx: crate::net::Mx| Exchange { preference: mx.preference, host: mx.exchange };
            Looked::Found(records.into_iter().map(exchange).collect())
        }
        Err(DnsTrouble::NoSuchName) => Looked::NoSuchName,
        Err(DnsTrouble::Temporary(why)) => Looked::Temporary(why),
    };
    let own = Own { hostname: &site.hostname, domains: &site.domains };
    route_domain(domain, looked, own).map(Destination::Exchanges)
}

fn schedule(site: &Site) -> Schedule<'_> {
    Schedule { retry_after: &site.relay.retry_after, give_up_after: site.relay.give_up_after }
}

/// The wait until the next attempt, by the recipient who has had the fewest.
fn next_wait(relay: &Relay, round: &Round, reports: &[Report]) -> Duration {
    let waiting = reports.iter().filter(|report| matches!(report.fate, Fate::Temporary(_)));
    let attempts = waiting.filter_map(|report| round.entry.recipients.get(report.recipient)).map(|r| r.attempts).min();
    schedule(&round.site).wait(attempts.unwrap_or(0).saturating_add(1), relay.random())
}

/// Makes the reports durable, however long the store is in trouble; the entry is nobody else's meanwhile.
async fn settle(relay: &Rc<Relay>, round: &Round, reports: &[Report], next_due: Timestamp) {
    let age = age(round.entry.queued, relay.context.net.clock().now(), relay.now());
    let mut outcomes: Vec<(Address, Outcome)> = Vec::with_capacity(reports.len());
    let mut failures: Vec<Failure> = Vec::new();
    for report in reports {
        let Some(recipient) = round.entry.recipients.get(report.recipient) else { continue };
        let over = schedule(&round.site).is_over(age, recipient.attempts.saturating_add(1));
        let failed = |reason: &Reason, gave_up_after| Failure {
            recipient: recipient.address.clone(),
            original: recipient.parameters.original.clone(),
            host: report.host.clone(),
            reason: reason.clone(),
            gave_up_after,
        };
        let outcome = match &report.fate {
            Fate::Delivered(_) => Outcome::Delivered,
            Fate::Permanent(reason) => {
                failures.push(failed(reason, None));
                Outcome::Failed
            }
            Fate::Temporary(reason) if over => {
                failures.push(failed(reason, Some(age)));
                Outcome::Failed
            }
            Fate::Temporary(reason) => Outcome::Deferred(cut(&reason.to_string(), 512).to_owned()),
        };
        log_outcome(round, report, &outcome, &recipient.address, age);
        outcomes.push((recipient.address.clone(), outcome));
    }
    loop {
        match apply(relay, round, &outcomes, &failures, next_due).await {
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
    failures: &[Failure],
    next_due: Timestamp,
) -> Result<(), Trouble> {
    let notice = notice(relay, round, failures).await?;
    let now = relay.now();
    let settle = Settle { entry: round.entry.id, outcomes: outcomes.to_vec(), next_due, notice, now };
    relay.context.store.apply(Op::Settle(settle)).await.map(|_| ())
}

/// The bounce, when there is something to say and somebody to say it to: a message with the null reverse path is a bounce
/// itself, and nobody waits for an answer to it (RFC 5321 section 6.1).
async fn notice(relay: &Relay, round: &Round, failures: &[Failure]) -> Result<Option<(NewBody, NoticeTo)>, Trouble> {
    let entry = &round.entry;
    let to = match &entry.reverse_path {
        _ if failures.is_empty() => return Ok(None),
        ReversePath::Address(address) => who_wrote(relay, round, address).await?,
        ReversePath::Null => None,
    };
    let Some(to) = to else {
        log::warn!("event=discarded queue={} failures={} reason=\"no sender to tell\"", entry.id.0, failures.len());
        return Ok(None);
    };
    let header = read_header(&relay.context.store, entry.body).await;
    let bounce = Bounce {
        hostname: &round.site.hostname,
        to: &to,
        queue: Some(entry.id),
        envelope_id: entry.parameters.envelope_id.as_deref(),
        queued: entry.queued,
        now: relay.now(),
        random: relay.context.net.random::<16>().map_err(|error| Trouble::Failed(error.to_string()))?,
        failures,
        successes: &[],
        returned: Returned::Header(&header),
    };
    let mut intake = Intake::new(&relay.context.store);
    intake.write(&encode_bounce(&bounce)).await?;
    let body = intake.finish().await?;
    Ok(Some((body, notice_to(relay, &round.site, to))))
}

/// Who is told: the sender, or whom it stands for when we have rewritten it.
async fn who_wrote(relay: &Relay, round: &Round, sender: &Address) -> Result<Option<Address>, Trouble> {
    if !srs::is_rewritten(&sender.local) || !round.site.book.has_domain(&sender.domain) {
        return Ok(Some(sender.clone()));
    }
    // A server inside may have rewritten it instead.
    let restored = read_srs(&relay.context).await?.restore(&sender.local, round.entry.queued);
    Ok(restored.ok().or_else(|| round.site.book.gateway(sender).map(|_| sender.clone())))
}

/// The owner's bounces go into INBOX. Those of others, whose mail is forwarded or handed on, are sent to them.
fn notice_to(relay: &Relay, site: &Site, to: Address) -> NoticeTo {
    if site.book.is_own_domain(&to.domain) || site.book.is_own(&to) {
        return NoticeTo::Owner(Target { mailbox: INBOX, flags: Flags::default() });
    }
    // A bounce has the null reverse path (RFC 5321 section 4.5.5) and is 8-bit text.
    let parameters = MailParameters { body: Body::EightBitMime, ..MailParameters::default() };
    let (reverse_path, recipients, not_before) = (ReversePath::Null, vec![Recipient::from(to)], relay.now());
    NoticeTo::Sender(Outgoing { reverse_path, parameters, recipients, not_before })
}

/// The beginning of a message that could not be delivered, for its bounce. Without it the bounce says less; but it is sent, for
/// a message whose body is damaged must not vanish in silence.
async fn read_header(store: &Store, body: BodyId) -> Vec<u8> {
    let bytes = u64::try_from(BOUNCE_HEADER_BYTES).unwrap_or(0);
    store.read(move |snapshot| snapshot.body_range(body, 0..bytes)).await.unwrap_or_else(|trouble| {
        log::error!("event=body-unreadable body={} trouble={trouble:?}", body.0);
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round whose message could not be read asked for its header again and again: the owner was never told that the
    /// message was not delivered. When it could not be found, the entry was even taken for settled and tried at once again.
    #[test]
    fn a_bounce_is_made_of_what_can_be_read() {
        let store = Store::in_memory().expect("a store");
        assert_eq!(smol::block_on(read_header(&store, BodyId(999))), Vec::<u8>::new());
        store.close().expect("closed");
    }
}
