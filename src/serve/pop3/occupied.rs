//! Which device has its maildrop open, and when it came last.
//!
//! RFC 1939 section 4 wants a lock on the maildrop. Here it is kept between the sessions of one device: two of them would fetch
//! everything twice and delete what the other has not seen yet. Other devices, IMAP and the owner's own password, which several
//! programs may share, are kept from nothing: each session has a snapshot.
//!
//! The lock ends with its session. A session whose client has vanished without a word holds it for [`POP3_SILENT_SECONDS`]: then
//! another login of the device takes it over, and the session before ends without deleting anything, as any that is cut off. Before
//! that the newcomer gets [IN-USE]. What must always hold: a session that has been put out deletes nothing.

use crate::limits::{DEVICES_MAX, POP3_LOGIN_DELAY_SECONDS_MAX, POP3_SILENT_SECONDS};
use event_listener::Event;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// All maildrops of devices that are open or were lately. Nothing of it survives a restart.
#[derive(Default)]
pub struct Maildrops {
    devices: Arc<Mutex<HashMap<String, Device>>>,
}

#[derive(Default)]
struct Device {
    holder: Option<Holder>,
    /// When its last session began.
    last_login: Option<Duration>,
}

struct Holder {
    /// When its client last said something, or took something.
    heard: Duration,
    /// Its deletions are under way: it is not put out any more.
    updating: bool,
    /// Rings when it is put out; also tells this session from all others.
    put_out: Arc<Event>,
}

/// Why a device does not get its maildrop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occupied {
    /// A session of it is at work.
    InUse,
    /// It came so many seconds too early.
    TooSoon(u64),
}

/// An open maildrop; it is free again when this is dropped.
pub(super) struct Held {
    devices: Arc<Mutex<HashMap<String, Device>>>,
    name: String,
    put_out: Arc<Event>,
}

impl Maildrops {
    /// Opens the maildrop of a device. `now` is that of the steady clock.
    pub(super) fn enter(&self, device: &str, delay_seconds: u32, now: Duration) -> Result<Held, Occupied> {
        let mut devices = lock(&self.devices);
        forget_some(&mut devices, now);
        let name = device.to_lowercase();
        let known = devices.entry(name.clone()).or_default();
        if let Some(last) = known.last_login {
            let left = Duration::from_secs(delay_seconds.into()).saturating_sub(now.saturating_sub(last));
            if !left.is_zero() {
                return Err(Occupied::TooSoon(left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)));
            }
        }
        if let Some(holder) = &known.holder {
            let silent = now.saturating_sub(holder.heard) >= Duration::from_secs(POP3_SILENT_SECONDS);
            if holder.updating || !silent {
                return Err(Occupied::InUse);
            }
            holder.put_out.notify(usize::MAX);
        }
        let put_out = Arc::new(Event::new());
        known.holder = Some(Holder { heard: now, updating: false, put_out: put_out.clone() });
        Ok(Held { devices: self.devices.clone(), name, put_out })
    }
}

impl Held {
    /// The session has begun: the time to the next one counts from here.
    pub(super) fn begun(&self, now: Duration) {
        if let Some(device) = lock(&self.devices).get_mut(&self.name) {
            device.last_login = Some(now);
        }
    }

    /// The client has said something, or taken something.
    pub(super) fn heard(&self, now: Duration) {
        self.with_own(|holder| holder.heard = now);
    }

    /// Deletions begin; whether they may: the session has not been put out, and is not from here on.
    pub(super) fn begin_update(&self) -> bool {
        self.with_own(|holder| holder.updating = true).is_some()
    }

    /// Returns once another session of the device has taken the maildrop over. Cancel-safe.
    pub(super) async fn put_out(&self) {
        loop {
            let listener = self.put_out.listen();
            if self.with_own(|_| ()).is_none() {
                return;
            }
            listener.await;
        }
    }

    fn with_own<T>(&self, change: impl FnOnce(&mut Holder) -> T) -> Option<T> {
        let mut devices = lock(&self.devices);
        let holder = devices.get_mut(&self.name).and_then(|device| device.holder.as_mut());
        holder.filter(|holder| Arc::ptr_eq(&holder.put_out, &self.put_out)).map(change)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(device) = lock(&self.devices).get_mut(&self.name) {
            device.holder.take_if(|holder| Arc::ptr_eq(&holder.put_out, &self.put_out));
        }
    }
}

/// Devices come and go by name: what is of no use any more goes before there are many.
fn forget_some(devices: &mut HashMap<String, Device>, now: Duration) {
    if devices.len() >= DEVICES_MAX {
        let longest = Duration::from_secs(POP3_LOGIN_DELAY_SECONDS_MAX.into());
        let counts = |last: Duration| now.saturating_sub(last) < longest;
        devices.retain(|_, device| device.holder.is_some() || device.last_login.is_some_and(counts));
    }
}

fn lock(devices: &Mutex<HashMap<String, Device>>) -> MutexGuard<'_, HashMap<String, Device>> {
    devices.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, poll_once};

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn a_silent_session_is_put_out_and_deletes_nothing() {
        let maildrops = Maildrops::default();
        let first = maildrops.enter("Phone", 0, at(0)).expect("free");
        assert_eq!(maildrops.enter("phone", 0, at(1)).err(), Some(Occupied::InUse));
        assert!(maildrops.enter("tablet", 0, at(1)).is_ok(), "another device");
        first.heard(at(10));
        assert_eq!(maildrops.enter("phone", 0, at(9 + POP3_SILENT_SECONDS)).err(), Some(Occupied::InUse));
        assert!(block_on(poll_once(first.put_out())).is_none());
        let second = maildrops.enter("phone", 0, at(10 + POP3_SILENT_SECONDS)).expect("taken over");
        assert!(block_on(poll_once(first.put_out())).is_some() && !first.begin_update());
        drop(first);
        assert_eq!(maildrops.enter("phone", 0, at(11 + POP3_SILENT_SECONDS)).err(), Some(Occupied::InUse));
        assert!(second.begin_update());
        assert_eq!(maildrops.enter("phone", 0, at(10_000)).err(), Some(Occupied::InUse), "it deletes");
        drop(second);
        assert!(maildrops.enter("phone", 0, at(10_001)).is_ok());
    }

    #[test]
    fn a_login_too_soon_is_told_how_long_to_wait() {
        let maildrops = Maildrops::default();
        let held = maildrops.enter("phone", 60, at(0)).expect("free");
        held.begun(at(0));
        drop(held);
        assert_eq!(maildrops.enter("phone", 60, at(20)).err(), Some(Occupied::TooSoon(40)));
        assert!(maildrops.enter("phone", 60, at(60)).is_ok());
        for number in 0..10 * DEVICES_MAX {
            drop(maildrops.enter(&format!("d{number}"), 0, at(100)));
        }
        assert!(lock(&maildrops.devices).len() <= DEVICES_MAX + 1);
    }
}
