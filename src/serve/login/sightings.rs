//! When each device was here last, from where, and as what program.
//!
//! Receives logins of devices; hands on what the owner is shown. It decides nothing. What always holds: a login costs no write. What is
//! known goes to the card together, once a day at most, and when a device has been here for the first time; and once more when the node
//! ends. A power cut costs what that day has brought.

use crate::limits::{
    CLIENT_NAME_CHARACTERS_MAX, SIGHTING_IPV4_PREFIX_BITS, SIGHTINGS_LOOK_SECONDS, SIGHTINGS_STALE_SECONDS,
};
use crate::order;
use crate::serve::{Context, Network};
use crate::store::{Credential, Device, Op, Trouble};
use crate::wire::date::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The setting that keeps them: a line for each, `NAME MILLISECONDS ADDRESS PROGRAM`.
const SETTING: &str = "devices/seen";

/// One device's last visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// The first address of the network that it came from, see [`Sighting::network`].
    pub from: IpAddr,
    /// What it has said of itself (RFC 2971), one line of at most [`CLIENT_NAME_CHARACTERS_MAX`] characters; empty: nothing yet.
    pub program: String,
}

impl Sighting {
    /// The network: an IPv4 one of 256 addresses or an IPv6 /64. No address, which would be kept of somebody's whereabouts.
    pub fn network(&self) -> String {
        let bits = if self.from.is_ipv4() { SIGHTING_IPV4_PREFIX_BITS } else { 64 };
        format!("{}/{bits}", self.from)
    }

    /// It was at home: in a private network, or in the IPv6 network of one of these addresses of this machine.
    pub fn is_at_home(&self, own: &[IpAddr]) -> bool {
        match self.from {
            IpAddr::V4(from) => from.is_private() || from.is_loopback() || from.is_link_local(),
            IpAddr::V6(from) => {
                let is_near = from.is_unique_local() || from.is_unicast_link_local() || from.segments()[..4] == [0; 4];
                is_near || own.iter().any(|own| network(*own) == self.from)
            }
        }
    }
}

fn network(peer: IpAddr) -> IpAddr {
    Network::of(peer, SIGHTING_IPV4_PREFIX_BITS).first()
}

/// By the names of devices in lower case.
type Seen = BTreeMap<String, Sighting>;

/// What this run has seen.
#[derive(Default)]
pub struct Sightings(Mutex<Seen>);

impl Sightings {
    /// A device has logged in. What it said of itself before is remembered.
    pub fn note(&self, device: &str, peer: IpAddr, now: Timestamp) {
        let mut seen = self.seen();
        let sighting = seen.entry(device.to_lowercase());
        let sighting = sighting.or_insert_with(|| Sighting { at: now, from: network(peer), program: String::new() });
        (sighting.at, sighting.from) = (now, network(peer));
    }

    /// A device that has logged in says what program it is: fields of IMAP's ID.
    pub fn note_program(&self, device: &str, name: &str, version: &str) {
        let program: String = format!("{} {}", one_line(name), one_line(version));
        let program: String = program.trim().chars().take(CLIENT_NAME_CHARACTERS_MAX).collect();
        if let Some(sighting) = self.seen().get_mut(&device.to_lowercase()).filter(|_| !program.is_empty()) {
            sighting.program = program;
        }
    }

    /// A device is no more.
    pub fn forget(&self, device: &str) {
        self.seen().remove(&device.to_lowercase());
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The devices with their last visits, as far as they are known, in order of their names.
    ///
    /// # Errors
    /// What the store says.
    pub async fn of_devices(&self, context: &Context) -> Result<Vec<(Device, Option<Sighting>)>, Trouble> {
        let (devices, kept) = read(context).await?;
        let mut all = self.with(kept);
        let with_sighting = |device: Device| {
            // Not of another device that had the name before.
            let sighting = all.remove(&device.name.to_lowercase()).filter(|sighting| sighting.at >= device.made);
            (device, sighting)
        };
        Ok(devices.into_iter().map(with_sighting).collect())
    }

    /// What is kept, and what this run has seen since.
    fn with(&self, mut kept: Seen) -> Seen {
        for (name, seen) in self.seen().iter() {
            match kept.get_mut(name) {
                // A clock that is behind does not make it older.
                Some(known) => {
                    known.at = known.at.max(seen.at);
                    known.from = seen.from;
                    if !seen.program.is_empty() {
                        known.program.clone_from(&seen.program);
                    }
                }
                None => {
                    kept.insert(name.clone(), seen.clone());
                }
            }
        }
        kept
    }

    /// Writes down what is known: if a device was never here before, if it is a day since the last time, or, `at_the_end`, if there is
    /// anything new.
    ///
    /// # Errors
    /// What the store says.
    pub async fn keep(&self, context: &Context, at_the_end: bool) -> Result<(), Trouble> {
        if self.seen().is_empty() {
            return Ok(());
        }
        let (devices, kept) = read(context).await?;
        let mut all = self.with(kept.clone());
        all.retain(|name, _| devices.iter().any(|device| device.name.eq_ignore_ascii_case(name)));
        let newest = |seen: &Seen| seen.values().map(|sighting| sighting.at).max().unwrap_or(Timestamp(0));
        let is_stale = newest(&all).since(newest(&kept)) >= Duration::from_secs(SIGHTINGS_STALE_SECONDS);
        let is_first = all.keys().any(|name| !kept.contains_key(name));
        if is_first || is_stale || at_the_end && all != kept {
            let value = Some(encode(&all).into_bytes());
            context.store.apply(Op::SetSetting { key: SETTING.to_owned(), value }).await?;
        }
        Ok(())
    }
}

/// Keeps what is seen until the node ends.
pub async fn run_sightings(context: Context) {
    loop {
        let waited = async {
            context.net.clock().sleep(Duration::from_secs(SIGHTINGS_LOOK_SECONDS)).await;
            false
        };
        let stopped = async {
            context.stopping.asked().await;
            true
        };
        let at_the_end = smol::future::or(waited, stopped).await;
        if let Err(trouble) = context.logins.sightings.keep(&context, at_the_end).await {
            log::error!("event=sightings-not-kept trouble={trouble:?}");
        }
        if at_the_end {
            return;
        }
    }
}

async fn read(context: &Context) -> Result<(Vec<Device>, Seen), Trouble> {
    let read = context.store.read(|snapshot| Ok((snapshot.devices()?, snapshot.setting(SETTING)?)));
    let (devices, kept) = read.await?;
    let devices = devices.into_iter().filter_map(|Credential { device, .. }| device).collect();
    Ok((devices, decode(&String::from_utf8_lossy(&kept.unwrap_or_default()))))
}

fn encode(seen: &Seen) -> String {
    let mut text = String::new();
    for (name, Sighting { at, from, program }) in seen {
        let _ = writeln!(text, "{name} {} {from} {program}", at.0);
    }
    text
}

/// A line that cannot be read is left out: the device shows itself again.
fn decode(text: &str) -> Seen {
    let line = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let (name, at, from) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let program = words.next().unwrap_or_default().to_owned();
        Some((name.to_owned(), Sighting { at: Timestamp(at), from, program }))
    };
    order::map(text.lines().filter_map(line))
}

fn one_line(text: &str) -> String {
    let characters = text.chars().take(CLIENT_NAME_CHARACTERS_MAX).filter(|c| !c.is_control());
    characters.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_device_is_told_by_network_and_program() {
        let sightings = Sightings::default();
        sightings.note_program("phone", "nobody has logged in", "");
        sightings.note("Phone", ip("::ffff:198.51.100.77"), Timestamp(5));
        sightings.note_program("phone", "Evil\r\nMail\u{1b}[2J", "1");
        sightings.note("phone", ip("198.51.100.78"), Timestamp(7));
        sightings.note("tablet", ip("2001:db8:1:2::9"), Timestamp(-6));
        sightings.note_program("tablet", &"x".repeat(500), "2");
        let seen = sightings.with(Seen::new());
        let phone = &seen["phone"];
        assert_eq!((phone.at, phone.network().as_str()), (Timestamp(7), "198.51.100.0/24"));
        assert_eq!(phone.program, "EvilMail[2J 1");
        assert_eq!(seen["tablet"].network(), "2001:db8:1:2::/64");
        assert_eq!(seen["tablet"].program.chars().count(), CLIENT_NAME_CHARACTERS_MAX);
        assert_eq!(decode(&encode(&seen)), seen);
        assert_eq!(decode("phone x\n\nphone 5 nowhere\na 5 ::\n").len(), 1);
        sightings.forget("PHONE");
        assert!(!sightings.with(Seen::new()).contains_key("phone"));
    }

    #[test]
    fn what_is_kept_and_what_is_new_go_together() {
        let sightings = Sightings::default();
        sightings.note("phone", ip("192.168.1.9"), Timestamp(3));
        let kept = decode("phone 9 203.0.113.0 Mail 1\ntablet 2 203.0.113.0 \n");
        let all = sightings.with(kept.clone());
        let wanted = Sighting { at: Timestamp(9), from: ip("192.168.1.0"), program: "Mail 1".into() };
        assert_eq!((&all["phone"], &all["tablet"]), (&wanted, &kept["tablet"]));
    }

    #[test]
    fn home_is_where_the_node_is() {
        let own = [ip("192.168.1.2"), ip("2001:db8:1:2::1")];
        let at = |peer| Sighting { at: Timestamp(0), from: network(ip(peer)), program: String::new() }.is_at_home(&own);
        for peer in ["10.1.2.3", "127.0.0.1", "::1", "fd00::9", "fe80::9", "2001:db8:1:2:ffff::9", "::ffff:192.168.7.7"]
        {
            assert!(at(peer), "{peer}");
        }
        for peer in ["198.51.100.7", "2001:db8:1:3::9", "::ffff:198.51.100.7"] {
            assert!(!at(peer), "{peer}");
        }
    }
}
