//! MTA-STS (RFC 8461): finds the policies of domains, fetches them, keeps them.
//!
//! Receives domains; hands on policies. What a policy says and when it is fetched anew is decided in `mail::sts`. What always
//! holds: a policy that was fetched is in the store before the mail that waited for it goes out, so that nobody can make us
//! forget it by making us start again; one domain is asked about once at a time, and nobody waits for another's.

use super::Relay;
use super::policy::tell_fetch;
use crate::limits::*;
use crate::mail::route::{Blocked, Looked, order_addresses};
use crate::mail::sts::{Kept, Mode, Policy, Step, decide, parse_policy, parse_records};
use crate::mail::tls_policy::{StsPolicy, TlsFailure, TlsResult};
use crate::net::{DnsTrouble, HttpsRequest, HttpsTrouble};
use crate::serve::Site;
use crate::store::Op;
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use crate::wire::http::client::Method;
use smol::lock::{Mutex, Semaphore};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Where policies are kept among the settings: this, then the domain.
const SETTING: &str = "sts/";
/// What is fetched (RFC 8461 section 3.2).
const TARGET: &str = "/.well-known/mta-sts.txt";

/// The policies of domains, and what was heard of them lately.
pub(super) struct Policies {
    /// All that the store has, and mode `none` too.
    kept: RefCell<HashMap<Domain, Kept>>,
    /// Whether `kept` has been read from the store.
    is_read: Cell<bool>,
    reading: Mutex<()>,
    /// Until when, by the steady clock, a domain is not asked about again.
    looked: RefCell<HashMap<Domain, Duration>>,
    /// Who asks about a domain holds its lock.
    asking: RefCell<HashMap<Domain, Rc<Mutex<()>>>>,
    fetches: Semaphore,
}

impl Default for Policies {
    fn default() -> Policies {
        Policies {
            kept: RefCell::default(),
            is_read: Cell::new(false),
            reading: Mutex::new(()),
            looked: RefCell::default(),
            asking: RefCell::default(),
            fetches: Semaphore::new(STS_FETCHES_MAX),
        }
    }
}

impl Policies {
    /// The policy of a domain as it is known now, whether it asks for anything or not.
    pub fn known(&self, domain: &Domain, now: Timestamp) -> Option<Policy> {
        let kept = self.kept.borrow();
        kept.get(domain).filter(|kept| kept.holds(now)).map(|kept| kept.policy.clone())
    }

    fn is_fresh(&self, domain: &Domain, steady: Duration) -> bool {
        self.looked.borrow().get(domain).is_some_and(|until| *until > steady)
    }

    fn note_look(&self, domain: &Domain, steady: Duration, seconds: u64) {
        let mut looked = self.looked.borrow_mut();
        if looked.len() >= STS_LOOKS_MAX {
            looked.retain(|_, until| *until > steady);
        }
        // Full of fresh ones, it forgets them: that costs questions, nothing else.
        if looked.len() >= STS_LOOKS_MAX {
            looked.clear();
        }
        looked.insert(domain.clone(), steady + Duration::from_secs(seconds));
    }

    /// The lock of a domain; those that nobody holds any more are dropped.
    fn lock_of(&self, domain: &Domain) -> Rc<Mutex<()>> {
        let mut asking = self.asking.borrow_mut();
        asking.retain(|_, lock| Rc::strong_count(lock) > 1);
        asking.entry(domain.clone()).or_default().clone()
    }
}

/// The policy that mail to a domain is under (RFC 8461 section 5.1).
pub(super) async fn find(relay: &Rc<Relay>, site: &Site, domain: &Domain) -> Option<Arc<StsPolicy>> {
    let policies = &relay.policies;
    let clock = relay.context.net.clock();
    if !policies.is_fresh(domain, clock.steady()) {
        read_kept(relay).await;
        let lock = policies.lock_of(domain);
        let _turn = lock.lock().await;
        // Whoever had the lock before has asked already.
        if !policies.is_fresh(domain, clock.steady()) {
            look(relay, site, domain).await;
        }
    }
    let now = relay.now();
    let mut kept = policies.kept.borrow_mut();
    let kept = kept.get_mut(domain).filter(|kept| kept.holds(now))?;
    kept.used = now;
    kept.policy.demand().map(Arc::new)
}

/// Fetches policies anew before they run out, and forgets those that have. Without end.
pub(super) async fn keep_fresh(relay: Rc<Relay>) {
    let mut tried: HashMap<Domain, Duration> = HashMap::new();
    loop {
        relay.context.net.clock().sleep(Duration::from_secs(STS_SWEEP_SECONDS)).await;
        read_kept(&relay).await;
        let (now, steady) = (relay.now(), relay.context.net.clock().steady());
        let ended = |(domain, kept): (&Domain, &Kept)| (!kept.holds(now)).then(|| domain.clone());
        let gone: Vec<Domain> = relay.policies.kept.borrow().iter().filter_map(ended).collect();
        for domain in gone {
            forget(&relay, &domain).await;
        }
        tried.retain(|_, at| steady.saturating_sub(*at) < Duration::from_secs(STS_REFRESH_AGAIN_SECONDS));
        let wants = |(domain, kept): (&Domain, &Kept)| {
            let wants = kept.refresh() <= now && kept.in_use(now) && !tried.contains_key(domain);
            wants.then(|| (domain.clone(), kept.id.clone()))
        };
        let due: Vec<(Domain, String)> = relay.policies.kept.borrow().iter().filter_map(wants).collect();
        for (domain, id) in due {
            tried.insert(domain.clone(), steady);
            let lock = relay.policies.lock_of(&domain);
            let _turn = lock.lock().await;
            let site = relay.context.site();
            let id = ask_id(&relay, &domain).await.unwrap_or(id);
            fetch(&relay, &site, &domain, id).await;
        }
    }
}

/// Reads what the store has. While it cannot be read, nothing is known, and nothing that is fetched is lost.
async fn read_kept(relay: &Relay) {
    let policies = &relay.policies;
    if policies.is_read.get() {
        return;
    }
    let _turn = policies.reading.lock().await;
    if policies.is_read.get() {
        return;
    }
    let rows = match relay.context.store.read(|snapshot| snapshot.settings_under(SETTING, STS_DOMAINS_MAX)).await {
        Ok(rows) => rows,
        Err(trouble) => return log::error!("event=sts-policies-unreadable trouble={trouble:?}"),
    };
    let mut kept = policies.kept.borrow_mut();
    for (key, value) in rows {
        let Some(domain) = key.strip_prefix(SETTING).and_then(|name| Domain::parse(name).ok()) else { continue };
        if let Some(row) = Kept::decode(&value) {
            kept.entry(domain).or_insert(row);
        }
    }
    policies.is_read.set(true);
}

/// Asks DNS about a domain's policy, and fetches it when that is needed. Whoever calls has the domain's lock.
async fn look(relay: &Rc<Relay>, site: &Site, domain: &Domain) {
    let clock = relay.context.net.clock();
    let id = ask_id(relay, domain).await;
    let step = decide(relay.policies.kept.borrow().get(domain), id.as_deref(), relay.now());
    let fetched = match (step, id) {
        (Step::Apply, _) | (_, None) => true,
        (Step::Fetch, Some(id)) => fetch(relay, site, domain, id).await,
        (Step::Refresh, Some(id)) => {
            let (relay, site, domain) = (relay.clone(), relay.context.site(), domain.clone());
            relay.clone().spawn(async move {
                let lock = relay.policies.lock_of(&domain);
                let _turn = lock.lock().await;
                let still_old = |kept: &Kept| kept.refresh() <= relay.now();
                if relay.policies.kept.borrow().get(&domain).is_some_and(still_old) {
                    fetch(&relay, &site, &domain, id).await;
                }
            });
            true
        }
    };
    let seconds = if fetched { STS_LOOK_SECONDS } else { STS_FETCH_AGAIN_SECONDS };
    relay.policies.note_look(domain, clock.steady(), seconds);
}

/// The id of a domain's policy. No answer is as good as none: what is kept holds (RFC 8461 section 3.3).
async fn ask_id(relay: &Relay, domain: &Domain) -> Option<String> {
    let name = Domain::parse(&format!("mta-sts.{domain}")).ok().map(|_| Domain::new(&format!("_mta-sts.{domain}")))?;
    let net = &relay.context.net;
    parse_records(&relay.lookups.run(net.clock(), net.texts(&name)).await?.ok()?)
}

/// Fetches a policy and keeps it; whether there is one now. What was kept stays when there is not.
async fn fetch(relay: &Rc<Relay>, site: &Site, domain: &Domain, id: String) -> bool {
    let wait = Duration::from_secs(STS_FETCH_SECONDS_MAX);
    let late = || Err(failure(TlsResult::StsPolicyFetchError, "it took too long".to_owned()));
    let asking = Box::pin(async {
        let _turn = relay.policies.fetches.acquire().await;
        ask_policy(relay, site, domain).await
    });
    match relay.context.net.clock().within(wait, asking).await.unwrap_or_else(late) {
        Ok(policy) => {
            let now = relay.now();
            log::info!("event=sts-policy-fetched domain={:?} id={id} mode={}", domain.as_str(), policy.mode.name());
            keep(relay, domain, Kept { id, fetched: now, used: now, policy }).await;
            true
        }
        Err(failure) => {
            let known = relay.policies.known(domain, relay.now());
            let still = known.as_ref().map_or("-", |policy| policy.mode.name());
            log::warn!(
                "event=sts-policy-not-fetched domain={:?} result={} reason={:?} in_force={still}",
                domain.as_str(),
                failure.result.as_str(),
                failure.text
            );
            // RFC 8461 section 6: not where the policy in force is none.
            if known.is_none_or(|policy| policy.mode != Mode::None) {
                tell_fetch(relay, domain, &failure);
            }
            false
        }
    }
}

async fn ask_policy(relay: &Relay, site: &Site, domain: &Domain) -> Result<Policy, TlsFailure> {
    let host = Domain::new(&format!("mta-sts.{domain}"));
    let no_fetch = |text: String| failure(TlsResult::StsPolicyFetchError, text);
    let net = &relay.context.net;
    let looked = match relay.look_up(&host, net.addresses(&host)).await {
        Ok(found) => Looked::Found(found),
        Err(DnsTrouble::NoSuchName) => Looked::NoSuchName,
        Err(DnsTrouble::Temporary(why)) => Looked::Temporary(why),
    };
    let addresses = order_addresses(host.as_str(), looked, site.relay.private_targets).map_err(|blocked| {
        no_fetch(match blocked {
            Blocked::Never(_) => format!("the web server {host} has no address that can be connected to"),
            Blocked::Later(reason) => reason.to_string(),
        })
    })?;
    let request = HttpsRequest {
        host: &host,
        port: site.relay.https_port,
        target: TARGET,
        method: Method::Get,
        content_bytes_max: STS_POLICY_BYTES_MAX,
    };
    let answer = relay.context.net.https(&request, &addresses, &site.relay.tls_verified).await;
    let answer = answer.map_err(|trouble| match trouble {
        HttpsTrouble::Certificate(text) => failure(TlsResult::StsWebpkiInvalid, text),
        HttpsTrouble::Other(text) => no_fetch(text),
    })?;
    // Redirects are not followed (RFC 8461 section 3.3).
    if answer.status != 200 {
        return Err(no_fetch(format!("the web server {host} answered {} instead of 200", answer.status)));
    }
    match answer.media_type.as_deref() {
        Some("text/plain") => {}
        other => {
            let what = crate::wire::smtp::client::cut(other.unwrap_or("nothing"), 60);
            return Err(no_fetch(format!("the web server {host} sent {what:?} instead of text/plain")));
        }
    }
    parse_policy(&answer.content).map_err(|why| failure(TlsResult::StsPolicyInvalid, why.to_owned()))
}

fn failure(result: TlsResult, text: String) -> TlsFailure {
    TlsFailure { result, text }
}

/// Keeps a policy, in the store too. Of too many the one that ends first goes.
async fn keep(relay: &Relay, domain: &Domain, kept: Kept) {
    let first_to_end = {
        let all = relay.policies.kept.borrow();
        let others = all.iter().filter(|(other, _)| *other != domain);
        let first = others.min_by_key(|(_, kept)| kept.ends()).map(|(other, _)| other.clone());
        first.filter(|_| all.len() >= STS_DOMAINS_MAX && !all.contains_key(domain))
    };
    if let Some(other) = first_to_end {
        forget(relay, &other).await;
    }
    let value = kept.encode();
    relay.policies.kept.borrow_mut().insert(domain.clone(), kept);
    write(relay, domain, Some(value)).await;
}

async fn forget(relay: &Relay, domain: &Domain) {
    relay.policies.kept.borrow_mut().remove(domain);
    write(relay, domain, None).await;
}

async fn write(relay: &Relay, domain: &Domain, value: Option<Vec<u8>>) {
    let key = format!("{SETTING}{domain}");
    if let Err(trouble) = relay.context.store.apply(Op::SetSetting { key, value }).await {
        log::error!("event=sts-policy-not-written domain={:?} trouble={trouble:?}", domain.as_str());
    }
}
