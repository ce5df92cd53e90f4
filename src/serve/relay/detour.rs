//! Going round by the smarthost where others do not take mail from this line.
//!
//! Receives what came of connections; hands on whether the recipients left go round in the same round. What is learned by that is
//! decided in `mail::learned`, and kept by [`Destinations`](crate::serve::Destinations).

use super::Relay;
use super::desk::{Destination, Job, Place};
use super::round::{lay, named};
use super::session::{NoSession, Session};
use crate::mail::bounce::Reason;
use crate::mail::learned::LINE_BLOCKED;
use crate::serve::{RoutePolicy, Site, Smarthost};
use crate::wire::address::Domain;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// What came of the servers of a destination, as far as it says something about our line.
#[derive(Default)]
pub(super) struct Signs {
    /// The server that has refused because of our address, and its words.
    pub refused: Option<(String, String)>,
    /// Addresses that could not be connected to.
    unreached: Vec<IpAddr>,
    /// Some server has answered.
    reached: bool,
}

/// The smarthost that mail goes round by, when that is the policy.
fn way_round(site: &Site) -> Option<&Arc<Smarthost>> {
    site.relay.smarthost.as_ref().filter(|_| site.relay.route == RoutePolicy::Auto)
}

/// Whether recipients may go round instead of to this place.
pub(super) fn may_go_round(site: &Site, place: &Place) -> bool {
    !place.is_named() && way_round(site).is_some()
}

/// The smarthost for a domain whose mail goes round already.
pub(super) fn known_detour(relay: &Relay, site: &Site, domain: &Domain) -> Option<Place> {
    let smarthost = way_round(site)?;
    let now = relay.now();
    let goes_round = relay.context.destinations.learned(|learned| learned.goes_round(domain, now));
    goes_round.then(|| Place::Smarthost(smarthost.clone()))
}

/// The same for a place one of whose servers is known to refuse us.
pub(super) fn detour_of(relay: &Relay, site: &Site, place: &Place) -> Option<Place> {
    let (Some(smarthost), Place::Exchanges(exchanges)) = (way_round(site), place) else { return None };
    let now = relay.now();
    let destinations = &relay.context.destinations;
    let refused = destinations.learned(|learned| exchanges.iter().any(|mx| learned.is_refused_by(&mx.host, now)));
    refused.then(|| Place::Smarthost(smarthost.clone()))
}

impl Signs {
    /// Takes note of what came of a connection.
    pub fn heard(
        &mut self,
        relay: &Rc<Relay>,
        destination: &Destination,
        address: IpAddr,
        opened: &Result<Session, NoSession>,
    ) {
        let destinations = &relay.context.destinations;
        let is_unreached = matches!(opened, Err(NoSession { is_unreached: true, .. }));
        let changed = match &destination.place {
            Place::Smarthost(_) if opened.is_ok() => destinations.learned(|learned| learned.smarthost_reached(true)),
            Place::Smarthost(_) if is_unreached => destinations.learned(|learned| learned.smarthost_reached(false)),
            Place::Exchanges(_) | Place::Address(_) if is_unreached => {
                self.unreached.push(address);
                false
            }
            Place::Exchanges(_) | Place::Address(_) => {
                let is_answered = matches!(
                    opened,
                    Ok(_) | Err(NoSession { reason: Reason::Answered(_), .. } | NoSession { tls: Some(_), .. })
                );
                self.reached |= is_answered;
                is_answered && destinations.learned(|learned| learned.reached())
            }
            Place::Smarthost(_) | Place::Gateway(_) => false,
        };
        if changed {
            keep(relay);
        }
    }

    /// Lets the recipients that are left go round, if they shall. `Err`: they stay, and whether the line seems to be to blame.
    pub fn go_round(
        &self,
        relay: &Rc<Relay>,
        (destination, domain): (&Destination, &Domain),
        job: &Job,
        left: &[usize],
    ) -> Result<(), bool> {
        let site = &job.round.site;
        if destination.place.is_named() {
            return Err(false);
        }
        let (goes_round, is_blocked) = self.conclude(relay, site, domain);
        let Some(smarthost) = way_round(site).filter(|_| goes_round) else { return Err(is_blocked) };
        let (queue, host) = (job.round.entry.id.0, &smarthost.host);
        log::info!("event=goes-round queue={queue} domain={:?} smarthost={host:?}", domain.as_str());
        lay(relay, &job.round, named(&job.round, Place::Smarthost(smarthost.clone())), left.to_vec(), &job.reports);
        Ok(())
    }

    /// Whether mail for the domain goes round now, and whether the line seems to be to blame.
    fn conclude(&self, relay: &Rc<Relay>, site: &Site, domain: &Domain) -> (bool, bool) {
        let (now, destinations) = (relay.now(), &relay.context.destinations);
        if let Some((host, why)) = self.refused.as_ref().filter(|_| way_round(site).is_some()) {
            destinations.learned(|learned| learned.refused(domain, &Domain::new(host), why, now));
            log::info!("event=address-refused domain={:?} host={host:?} reason={why:?}", domain.as_str());
            keep(relay);
            return (true, false);
        }
        if self.reached {
            return (false, false);
        }
        let (goes_round, is_blocked) = destinations.learned(|learned| learned.unreached(domain, &self.unreached, now));
        if is_blocked {
            log::warn!("event=line-blocked hint=\"no other mail server can be reached on port 25\"");
        }
        (goes_round, is_blocked)
    }
}

/// What is said of a destination that cannot be reached when the line seems to be to blame.
pub(super) fn blame_line(reason: Reason) -> Reason {
    match reason {
        Reason::Happened(text) | Reason::Unreachable(text) => Reason::LineBlocked(format!("{text}; {LINE_BLOCKED}")),
        other => other,
    }
}

/// Makes what was learned durable. When that fails it counts all the same, until the node stops.
fn keep(relay: &Rc<Relay>) {
    let context = relay.context.clone();
    relay.spawn(async move {
        if let Err(trouble) = context.destinations.write(&context).await {
            log::error!("event=routes-not-kept trouble={trouble:?}");
        }
    });
}
