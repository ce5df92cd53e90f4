//! Reports about TLS (RFC 8460): sessions are counted as they come, and the day after the counts go to whoever wants them.
//!
//! Receives what became of TLS with servers; hands on messages for the queue and requests to web servers. What always holds:
//! nobody gets a report about nothing, or one that they did not ask for; a report is sent whatever is wrong with TLS, is not
//! itself counted, and nobody here hears of one that could not be delivered. Counts are in memory and go to the store now and
//! then: a power cut costs the last hour's.

use super::Relay;
use crate::limits::*;
use crate::mail::route::{Looked, order_addresses};
use crate::mail::tlsrpt::report::{MEDIA_TYPE, Report};
use crate::mail::tlsrpt::{Day, Failure, Place, Policy, parse_records};
use crate::net::{DnsTrouble, HttpsRequest};
use crate::serve::{Intake, Site, sign_message};
use crate::store::{Enqueue, Op, Outgoing, Recipient, Trouble};
use crate::wire::address::{Address, Domain, ReversePath};
use crate::wire::date::Timestamp;
use crate::wire::http::client::Method;
use crate::wire::smtp::MailParameters;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Where days are kept among the settings: this, then the number of the day.
const SETTING: &str = "tlsrpt/";

/// The counts of today, and of days whose reports are not all sent.
#[derive(Default)]
pub(super) struct Tallies {
    days: RefCell<BTreeMap<i64, Day>>,
    /// Days that the store does not have as they are.
    changed: RefCell<BTreeSet<i64>>,
    is_read: Cell<bool>,
}

impl Tallies {
    /// Counts a session.
    pub fn count(&self, now: Timestamp, domain: &Domain, policy: Policy, failure: Option<Failure>) {
        let mut days = self.days.borrow_mut();
        let new = Day::of(now);
        let number = new.number;
        while days.len() > TLSRPT_DAYS_MAX
            && let Some((oldest, _)) = days.pop_first()
        {
            self.changed.borrow_mut().insert(oldest);
        }
        if days.entry(number).or_insert(new).count(domain, policy, failure) {
            self.changed.borrow_mut().insert(number);
        } else {
            log::debug!("event=tls-not-counted domain={:?} reason=\"too many today\"", domain.as_str());
        }
    }
}

/// Keeps the counts and sends the reports, without end.
pub(super) async fn run_reports(relay: Rc<Relay>) {
    let clock = relay.context.net.clock();
    // RFC 8460 section 4.1: not all the world's reports arrive at midnight. Each host has its own time, after a restart too.
    let hostname = relay.context.site().hostname.to_string();
    let mixed = hostname.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let delay = Duration::from_secs(mixed % TLSRPT_DELAY_SECONDS_MAX);
    let mut saved = clock.steady();
    // When a day is tried again some of whose reports could not be sent, and the wait before that.
    let mut again: BTreeMap<i64, (Duration, Duration)> = BTreeMap::new();
    loop {
        clock.sleep(Duration::from_secs(TLSRPT_LOOK_SECONDS)).await;
        if !read_days(&relay).await {
            continue;
        }
        let now = relay.now();
        // A clock that was set back or has lost the time says nothing about which day is over.
        let behind = now.since(clock.now());
        if behind < Duration::from_secs(CLOCK_BEHIND_SECONDS_MAX) {
            let steady = clock.steady();
            let due = |day: &&Day| {
                day.ends().plus(delay) <= now && again.get(&day.number).is_none_or(|(at, _)| *at <= steady)
            };
            let due: Vec<Day> = relay.tallies.days.borrow().values().filter(due).cloned().collect();
            for day in due {
                let number = day.number;
                if close(&relay, day, now).await {
                    again.remove(&number);
                } else {
                    let first = Duration::from_secs(TLSRPT_LOOK_SECONDS);
                    let wait = again.get(&number).map_or(first, |(_, wait)| *wait * 2);
                    again.insert(number, (steady + wait, wait));
                }
            }
        }
        if clock.steady().saturating_sub(saved) >= Duration::from_secs(TLSRPT_SAVE_SECONDS) {
            save(&relay).await;
            saved = clock.steady();
        }
    }
}

/// Writes what has changed. Also when the node stops.
pub(super) async fn save(relay: &Relay) {
    // Without what the store has, a day would be written over.
    if relay.tallies.changed.borrow().is_empty() || !read_days(relay).await {
        return;
    }
    let numbers = std::mem::take(&mut *relay.tallies.changed.borrow_mut());
    for number in numbers {
        let value = relay.tallies.days.borrow().get(&number).map(Day::encode);
        if let Err(trouble) = write(relay, number, value).await {
            log::error!("event=tls-counts-not-written trouble={trouble:?}");
            relay.tallies.changed.borrow_mut().insert(number);
        }
    }
}

async fn write(relay: &Relay, number: i64, value: Option<Vec<u8>>) -> Result<(), Trouble> {
    relay.context.store.apply(Op::SetSetting { key: format!("{SETTING}{number}"), value }).await.map(|_| ())
}

/// Adds what the store has to what has been counted since the start; whether that is done.
async fn read_days(relay: &Relay) -> bool {
    if relay.tallies.is_read.get() {
        return true;
    }
    let rows = match relay.context.store.read(|snapshot| snapshot.settings_under(SETTING, TLSRPT_DAYS_MAX)).await {
        Ok(rows) => rows,
        Err(trouble) => {
            log::error!("event=tls-counts-unreadable trouble={trouble:?}");
            return false;
        }
    };
    // Whoever was here meanwhile has added them.
    if relay.tallies.is_read.replace(true) {
        return true;
    }
    let mut days = relay.tallies.days.borrow_mut();
    for day in rows.iter().filter_map(|(_, value)| Day::decode(value)) {
        match days.get_mut(&day.number) {
            Some(same) => same.merge(day),
            None => drop(days.insert(day.number, day)),
        }
    }
    true
}

/// Sends the reports of a day that is over; those that could not be sent stay for the next time, for a while. Whether none
/// stays.
async fn close(relay: &Rc<Relay>, mut day: Day, now: Timestamp) -> bool {
    let site = relay.context.site();
    let domains: Vec<Domain> = day.domains.keys().cloned().collect();
    let given_up = day.ends().plus(Duration::from_secs(TLSRPT_GIVE_UP_SECONDS)) <= now;
    let before = day.domains.len();
    for domain in domains {
        if !site.relay.tls_reports || given_up || report(relay, &site, &day, &domain, now).await {
            day.domains.remove(&domain);
        }
    }
    if day.domains.len() == before && before > 0 {
        return false;
    }
    let (number, empty) = (day.number, day.domains.is_empty());
    {
        let mut days = relay.tallies.days.borrow_mut();
        if empty {
            drop(days.remove(&number))
        } else {
            drop(days.insert(number, day))
        }
        relay.tallies.changed.borrow_mut().insert(number);
    }
    save(relay).await;
    empty
}

/// Sends the report about one domain where it wants it; whether that is settled.
async fn report(relay: &Relay, site: &Site, day: &Day, domain: &Domain, now: Timestamp) -> bool {
    let records = match relay.context.net.texts(&Domain::new(&format!("_smtp._tls.{domain}"))).await {
        Ok(records) => records,
        Err(DnsTrouble::NoSuchName) => return true,
        Err(DnsTrouble::Temporary(_)) => return false,
    };
    let places = parse_records(&records);
    let Some(main) = site.addresses.first().filter(|_| !places.is_empty()) else { return true };
    let contact = Address { local: "postmaster".to_owned(), domain: main.domain.clone() };
    let report = Report { contact: &contact, domain, day };
    let packed = match report.pack() {
        Ok(packed) => packed,
        Err(error) => {
            log::error!("event=tls-report-not-packed reason={:?}", error.to_string());
            return true;
        }
    };
    let mut sent = false;
    let mail: Vec<&Address> =
        places.iter().filter_map(|place| if let Place::Mail(address) = place { Some(address) } else { None }).collect();
    if !mail.is_empty() {
        match enqueue(relay, site, &report.encode_message(&mail, &packed, now), &mail, now).await {
            Ok(()) => sent = true,
            Err(trouble) => log::error!("event=tls-report-not-queued trouble={trouble:?}"),
        }
    }
    for place in &places {
        if let Place::Web { host, port, target } = place {
            match post(relay, site, (host, *port, target), &packed).await {
                Ok(()) => sent = true,
                Err(why) => log::info!("event=tls-report-not-taken domain={:?} reason={why:?}", domain.as_str()),
            }
        }
    }
    if sent {
        log::info!("event=tls-report-sent domain={:?} day={}", domain.as_str(), day.number);
    }
    sent
}

/// Lays a report into the queue: with the null reverse path, so that nobody is told of it, and marked to go whatever is wrong
/// with TLS.
async fn enqueue(relay: &Relay, site: &Site, message: &[u8], to: &[&Address], now: Timestamp) -> Result<(), Trouble> {
    let mut intake = Intake::new(&relay.context.store);
    intake.write(message).await?;
    let body = intake.finish().await?;
    let outgoing = Outgoing {
        reverse_path: ReversePath::Null,
        parameters: MailParameters { tls_optional: true, ..MailParameters::default() },
        recipients: to.iter().map(|address| Recipient::from((*address).clone())).collect(),
        signatures: sign_message(&relay.context, site, message).await,
        not_before: now,
    };
    let enqueue = Enqueue { body, outgoing: vec![outgoing], copies: Vec::new(), sent: None, now };
    relay.context.store.apply(Op::Enqueue(enqueue)).await.map(|_| ())
}

/// Hands a report in at a web server (RFC 8460 section 5.4).
async fn post(
    relay: &Relay,
    site: &Site,
    (host, port, target): (&Domain, Option<u16>, &str),
    packed: &[u8],
) -> Result<(), String> {
    let looked = match relay.context.net.addresses(host).await {
        Ok(found) => Looked::Found(found),
        Err(DnsTrouble::NoSuchName) => Looked::NoSuchName,
        Err(DnsTrouble::Temporary(why)) => Looked::Temporary(why),
    };
    let addresses = order_addresses(host.as_str(), looked, site.relay.private_targets)
        .map_err(|_| format!("the web server {host} has no address that can be connected to"))?;
    let request = HttpsRequest {
        host,
        port: port.unwrap_or(site.relay.https_port),
        target,
        method: Method::Post { media_type: MEDIA_TYPE, content: packed },
        content_bytes_max: 0,
    };
    // RFC 8460 section 3 allows any certificate: a web server that is set up wrong is to hear of its mail server all the same.
    let answer = relay.context.net.https(&request, &addresses, &site.relay.tls_any).await;
    match answer.map_err(|trouble| trouble.to_string())?.status {
        200..=299 => Ok(()),
        status => Err(format!("the web server {host} answered {status}")),
    }
}
