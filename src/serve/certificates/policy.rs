//! When a certificate or an authority is made anew, and when the owner hears of it. Pure: times and facts in, decisions out.

use crate::limits::{AUTHORITY_ANNOUNCED_DAYS, AUTHORITY_OVERLAP_DAYS};
use crate::net::tls::{Authority, CertificateFacts, Names};
use crate::wire::date::Timestamp;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// A clock that says less was never set: 2026-11-01.
const CLOCK_EARLIEST: Timestamp = Timestamp(1_793_491_200_000);

/// Days before its end when the owner hears that a certificate of theirs must be replaced.
const WARNINGS: [u32; 3] = [1, 7, 30];

/// The time by which certificates are made: the clock's, or on a board whose clock has not been set yet the latest that the store
/// has seen. A clock that is ahead is believed: what it made is made again when it goes back.
pub fn believed(clock: Timestamp, latest: Timestamp) -> Timestamp {
    if clock < CLOCK_EARLIEST { latest.max(CLOCK_EARLIEST) } else { clock }
}

/// Whether a certificate that this authority has made no longer does: for other names, of another authority, not valid now, or with
/// less than a third of its time left.
pub fn is_due(certificate: &CertificateFacts, authority: &Authority, names: &Names, now: Timestamp) -> bool {
    let wanted = names.hosts.iter().filter(|host| authority.may_name(host)).cloned();
    let addresses = names.addresses.iter().filter(|address| authority.may_address(**address));
    let wanted: Vec<String> = wanted.chain(addresses.map(ToString::to_string)).collect();
    let (whole, left) = (certificate.until.since(certificate.from), certificate.until.since(now));
    // One that ends with its authority cannot be made to last longer.
    let ends_with_it = certificate.until >= authority.facts().until;
    certificate.issuer != authority.facts().subject
        || wanted.iter().any(|name| !certificate.names.contains(name))
        || certificate.names.iter().any(|name| !wanted.contains(name))
        || now < certificate.from
        || (left < whole / 3 && !ends_with_it)
}

/// What is to be done about the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Stay,
    /// One that comes after it is made and announced.
    Announce,
    /// The announced one takes its place.
    Take,
}

/// An authority is followed by another one when its end comes near, or when the node has names that it may not vouch for. Devices have
/// [`AUTHORITY_ANNOUNCED_DAYS`] to get to know it.
pub fn turn(current: &Authority, next: Option<&Authority>, names: &Names, now: Timestamp) -> Turn {
    let left = current.facts().until.since(now);
    match next {
        None if left < DAY * AUTHORITY_OVERLAP_DAYS || !current.may_vouch_for(names) => Turn::Announce,
        None => Turn::Stay,
        // Its certificate is back-dated by some days: that is how long ago it was made, and a little.
        Some(next) if now.since(next.facts().from) >= DAY * AUTHORITY_ANNOUNCED_DAYS => Turn::Take,
        // There is nothing left that the one in force is good for.
        Some(_) if left < DAY || !names.hosts.iter().any(|host| current.may_name(host)) => Turn::Take,
        Some(_) => Turn::Stay,
    }
}

/// How many days before the end of a certificate the owner is to be told now; `told` is what was said last.
pub fn warning(until: Timestamp, told: Option<u32>, now: Timestamp) -> Option<u32> {
    let due = WARNINGS.into_iter().find(|days| until < now.plus(DAY * *days))?;
    told.is_none_or(|told| due < told).then_some(due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::VIRTUAL_START;

    fn names(hosts: &[&str]) -> Names {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        Names { domains: hosts.clone(), hosts, addresses: vec!["192.168.0.9".parse().unwrap()] }
    }

    fn later(days: u32) -> Timestamp {
        VIRTUAL_START.plus(DAY * days)
    }

    #[test]
    fn a_clock_that_was_never_set_is_not_believed() {
        assert_eq!(believed(Timestamp(0), Timestamp(0)), CLOCK_EARLIEST);
        assert_eq!(believed(Timestamp(0), later(9)), later(9));
        assert_eq!(believed(later(1), later(9)), later(1));
    }

    #[test]
    fn a_certificate_is_made_anew_well_before_its_end_and_for_other_names() {
        let own = names(&["mail.home.test"]);
        let authority = Authority::make(&own, [1; 16], VIRTUAL_START).unwrap();
        let issued = authority.issue(&own, None, [2; 16], VIRTUAL_START).unwrap();
        let facts = issued.facts().unwrap();
        let due = |names: &Names, now| is_due(&facts, &authority, names, now);
        assert!(!due(&own, VIRTUAL_START) && !due(&own, later(250)));
        assert!(due(&own, later(260)) && due(&own, later(500)));
        // The clock was wrong when it was made.
        assert!(due(&own, Timestamp(VIRTUAL_START.0 - 86_400_000 * 8)));
        // What the authority may not name does not count; what it may does.
        assert!(!due(&names(&["mail.home.test", "other.test"]), VIRTUAL_START));
        assert!(due(&names(&["mail.home.test", "smtp.mail.home.test"]), VIRTUAL_START));
        assert!(due(&Names { addresses: Vec::new(), ..own.clone() }, VIRTUAL_START));
        let other = Authority::make(&own, [3; 16], VIRTUAL_START).unwrap();
        assert!(is_due(&facts, &other, &own, VIRTUAL_START));
        // At the end of the authority nothing lasts longer, however often it is made.
        let last = authority.issue(&own, None, [2; 16], later(3500)).unwrap();
        assert!(!is_due(&last.facts().unwrap(), &authority, &own, later(3640)));
    }

    #[test]
    fn an_authority_is_followed_in_good_time() {
        let own = names(&["mail.home.test"]);
        let current = Authority::make(&own, [1; 16], VIRTUAL_START).unwrap();
        assert_eq!(turn(&current, None, &own, later(2900)), Turn::Stay);
        assert_eq!(turn(&current, None, &own, later(3000)), Turn::Announce);
        assert_eq!(turn(&current, None, &names(&["other.test"]), VIRTUAL_START), Turn::Announce);
        let next = Authority::make(&own, [2; 16], later(3000)).unwrap();
        assert_eq!(turn(&current, Some(&next), &own, later(3000)), Turn::Stay);
        assert_eq!(turn(&current, Some(&next), &own, later(3100)), Turn::Take);
        // A node that was off for years does not wait.
        assert_eq!(turn(&current, Some(&next), &own, later(3660)), Turn::Take);
    }

    #[test]
    fn the_owner_is_warned_three_times() {
        let until = later(100);
        assert_eq!(warning(until, None, later(60)), None);
        assert_eq!(warning(until, None, later(71)), Some(30));
        assert_eq!(warning(until, Some(30), later(80)), None);
        assert_eq!(warning(until, Some(30), later(94)), Some(7));
        assert_eq!(warning(until, Some(7), later(100)), Some(1));
        assert_eq!(warning(until, Some(1), later(101)), None);
        // A node that was off says it once.
        assert_eq!(warning(until, None, later(200)), Some(1));
    }
}
