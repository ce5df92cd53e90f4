//! What TLS to other servers must be, found out; and what became of it, told.
//!
//! Receives domains and hosts; hands on what `mail::tls_policy` decides about them. Every attempt at TLS, whether it went well
//! or not, comes by [`tell`] once.

use super::desk::Destination;
use super::{Relay, sts};
use crate::mail::route::{is_in_the_world, literal_address};
use crate::mail::tls_policy::{HostTls, PolicyKind, StsPolicy, TlsFailure, TlsResult, Tlsa, TlsaAnswer, policy_kind};
use crate::mail::tlsrpt;
use crate::net::{DnsTrouble, Secured};
use crate::serve::Site;
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// What became of TLS with one server (RFC 8460 section 4.3); `Ok`: the session is as its policy wants it.
pub(super) struct TlsAttempt<'a> {
    /// The recipient's domain for which the connection was made; it may serve others after that.
    pub domain: &'a Domain,
    /// The policies of the domain stand in it.
    pub destination: &'a Destination,
    /// The MX host.
    pub host: &'a Domain,
    /// What of the host was connected to; `None`: it did not come to that.
    pub address: Option<SocketAddr>,
    /// What was connected from.
    pub local: Option<IpAddr>,
    /// What was asked for; `None`: a policy kept the host from being used at all.
    pub tls: Option<&'a HostTls>,
    pub result: Result<(), &'a TlsFailure>,
}

/// The MTA-STS policy of a domain, from memory or fetched; `None` when it has none, or none that can be had (RFC 8461 section
/// 5.1). Asked once per round and domain, before connections are shared out; whoever waits here holds up that domain alone.
pub(super) async fn sts_policy(relay: &Rc<Relay>, site: &Site, domain: &Domain) -> Option<Arc<StsPolicy>> {
    sts::find(relay, site, domain).await
}

/// Takes note of what became of TLS with a server.
pub(super) fn tell(relay: &Relay, attempt: &TlsAttempt<'_>) {
    count(relay, attempt);
    let policy = attempt.tls.map_or("-", |tls| policy_kind(&attempt.destination.demands, tls).as_str());
    let outcome = match attempt.result {
        Ok(()) => format!("ok ({policy})"),
        Err(failure) => format!("{} ({policy}): {}", failure.result.as_str(), failure.text),
    };
    relay.context.destinations.note(attempt.domain, relay.now(), |seen| seen.tls = Some(outcome));
    let Err(failure) = attempt.result else { return };
    log::info!(
        "event=tls-failed domain={:?} host={:?} policy={policy} result={} reason={:?}",
        attempt.domain.as_str(),
        attempt.host.as_str(),
        failure.result.as_str(),
        failure.text
    );
}

/// Counts the session for the report to its domain. Servers that the owner has named get none, nor do reports themselves count
/// (RFC 8460 section 3).
fn count(relay: &Relay, attempt: &TlsAttempt<'_>) {
    let Destination { place, demands } = attempt.destination;
    let domain = attempt.domain;
    if place.is_named() || demands.tls_optional || literal_address(domain).is_some() || domain.as_str().is_empty() {
        return;
    }
    let now = relay.now();
    let policy = policy_of(relay, attempt, now);
    let failed = |failure: &TlsFailure| tlsrpt::Failure {
        result: failure.result,
        host: Some(attempt.host.clone()),
        address: attempt.address.map(|address| address.ip()),
        // An address inside tells the other side nothing, and this side is told from others by it alone.
        local: attempt.local.filter(|local| is_in_the_world(*local)),
        text: failure.text.clone(),
    };
    let failure = match attempt.result {
        Err(failure) => Some(failed(failure)),
        // In testing mode this alone tells that the policy lacks the host (RFC 8461 section 5).
        Ok(())
            if demands
                .sts
                .as_ref()
                .is_some_and(|policy| attempt.tls == Some(&HostTls::Tested) && !policy.names(attempt.host)) =>
        {
            let text = "the policy does not name the host".to_owned();
            Some(failed(&TlsFailure { result: TlsResult::ValidationFailure, text }))
        }
        Ok(()) => None,
    };
    count_session(relay, domain, policy, failure, now);
}

/// Counts that the policy of a domain could not be fetched (RFC 8461 section 6).
pub(super) fn tell_fetch(relay: &Relay, domain: &Domain, failure: &TlsFailure) {
    let now = relay.now();
    let (result, text) = (failure.result, failure.text.clone());
    let failure = tlsrpt::Failure { result, host: None, address: None, local: None, text };
    count_session(relay, domain, sts_of(relay, domain, now), Some(failure), now);
}

fn count_session(
    relay: &Relay,
    domain: &Domain,
    policy: tlsrpt::Policy,
    failure: Option<tlsrpt::Failure>,
    now: Timestamp,
) {
    if relay.context.site().relay.tls_reports {
        relay.tallies.count(now, domain, policy, failure);
    }
}

/// The policy that a report names for a session (RFC 8460 section 4.4).
fn policy_of(relay: &Relay, attempt: &TlsAttempt<'_>, now: Timestamp) -> tlsrpt::Policy {
    let tlsa = |domain: &Domain, records: &[Tlsa]| {
        let lines = records.iter().map(Tlsa::to_string).collect();
        tlsrpt::Policy { kind: PolicyKind::Tlsa, domain: domain.clone(), lines, mx: Vec::new() }
    };
    let by_dns = |failure: &&TlsFailure| matches!(failure.result, TlsResult::DnssecInvalid | TlsResult::TlsaInvalid);
    match attempt.tls {
        Some(HostTls::Dane(dane)) => tlsa(&dane.base, &dane.records),
        Some(HostTls::Encrypted(records)) => tlsa(attempt.host, records),
        None if attempt.result.err().as_ref().is_some_and(by_dns) => tlsa(attempt.host, &[]),
        _ if attempt.destination.demands.sts.is_some() => sts_of(relay, attempt.domain, now),
        _ => {
            let (kind, domain) = (PolicyKind::NoPolicyFound, attempt.domain.clone());
            tlsrpt::Policy { kind, domain, lines: Vec::new(), mx: Vec::new() }
        }
    }
}

/// The MTA-STS policy of a domain as reports show it; empty when none was ever had.
fn sts_of(relay: &Relay, domain: &Domain, now: Timestamp) -> tlsrpt::Policy {
    let known = relay.policies.known(domain, now);
    let (lines, mx) = known.map_or_else(Default::default, |policy| (policy.lines(), policy.mx));
    tlsrpt::Policy { kind: PolicyKind::Sts, domain: domain.clone(), lines, mx }
}

/// The TLSA records of a host, of which the addresses have been found (RFC 7672 section 2.2).
pub(super) async fn find_tlsa(relay: &Relay, host: &Domain, port: u16, addresses: &Secured<IpAddr>) -> TlsaAnswer {
    for base in addresses.tlsa_bases(host) {
        match relay.context.net.tlsa(&base, port).await {
            Ok(answer) if answer.is_secure() && !answer.found.is_empty() => {
                return TlsaAnswer::Found { base, records: answer.found };
            }
            // None, or none that is secure: the next name is tried.
            Ok(_) | Err(DnsTrouble::NoSuchName) => {}
            Err(DnsTrouble::Temporary(why)) => return TlsaAnswer::Failed(why),
        }
    }
    TlsaAnswer::None
}
