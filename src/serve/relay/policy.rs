//! What TLS to other servers must be, found out; and what became of it, told.
//!
//! Receives domains and hosts; hands on what `mail::tls_policy` decides about them. Every attempt at TLS, whether it went well
//! or not, comes by [`tell`] once.

use super::desk::Destination;
use super::{Relay, sts};
use crate::mail::tls_policy::{HostTls, StsPolicy, TlsFailure, TlsaAnswer, policy_kind};
use crate::net::{DnsTrouble, Secured};
use crate::serve::Site;
use crate::wire::address::Domain;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// What became of TLS with one server (RFC 8460 section 4.3); `Ok`: the session is as its policy wants it.
#[expect(dead_code, reason = "reports will want all of it")]
pub(super) struct TlsAttempt<'a> {
    /// The recipient's domain for which the connection was made; it may serve others after that.
    pub domain: &'a Domain,
    /// The policies of the domain stand in it.
    pub destination: &'a Destination,
    /// The MX host.
    pub host: &'a Domain,
    /// What of the host was connected to; `None`: it did not come to that.
    pub address: Option<SocketAddr>,
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
