//! A session at rest: how long it waits for its client, and what keeps its connection open meanwhile.
//!
//! A client that waits to be told of news (IDLE, RFC 2177; NOTIFY, RFC 5465) says nothing for hours. Routers and mobile networks
//! forget a connection over which nothing goes, and news that come afterwards reach nobody. So such a client is told now and then
//! that the server is still there, and is not sent away for its silence. What always holds:
//!
//! - This is said at the multiples of its interval on the steady clock: all sessions of a device, and of all devices, at the same
//!   moment, so that ten of them wake a phone's radio once, and this program too.
//! - From one word to the next, whatever it was, never more than the interval passes. So it is said, too, when there were news
//!   shortly before: left out then, the silence would last nearly two intervals, and where one session of a device is told, the
//!   others cost no more.
//! - A client that is gone is found: what it does not acknowledge makes its connection fail, after about a quarter of an hour
//!   with Linux; what it does not take, after [`IMAP_WRITE_SECONDS_MAX`].
//!
//! Nothing is said to others, and they are sent away after [`IMAP_IDLE_SECONDS_MAX`].
//!
//! [`IMAP_WRITE_SECONDS_MAX`]: crate::limits::IMAP_WRITE_SECONDS_MAX

use super::{Session, Woken};
use crate::limits::{IMAP_APPEND_SECONDS_MAX, IMAP_IDLE_SECONDS_MAX};
use crate::wire::imap::{Code, Status, response};
use std::time::Duration;

/// Since when a session rests. All on the steady clock.
pub(super) struct Rest {
    /// When what the client has said last had been answered.
    since: Duration,
    /// When it is told next that the server is still there.
    word_at: Option<Duration>,
}

impl Rest {
    pub fn new(since: Duration) -> Rest {
        Rest { since, word_at: None }
    }
}

/// The first multiple of `every` after `now`.
fn next_multiple(now: Duration, every: Duration) -> Duration {
    let passed = now.as_nanos() % every.as_nanos().max(1);
    (now + every).saturating_sub(Duration::from_nanos(u64::try_from(passed).unwrap_or(0)))
}

impl Session {
    /// Until when the client may be silent now, and what it means when it was.
    pub(super) fn rest_until(&mut self) -> (Duration, Woken) {
        if self.arriving.is_some() {
            return (self.rest.since + Duration::from_secs(IMAP_APPEND_SECONDS_MAX), Woken::TooLate);
        }
        if self.login.is_none() {
            return (self.login_until, Woken::TooLate);
        }
        match self.site.imap_keepalive.filter(|_| self.notified.waits(self.idling)) {
            Some(every) => {
                // Once fixed it stays: what happens just then must not put it off for a whole interval.
                let now = self.context.net.clock().steady();
                (*self.rest.word_at.get_or_insert_with(|| next_multiple(now, every)), Woken::Quiet)
            }
            None => (self.rest.since + Duration::from_secs(IMAP_IDLE_SECONDS_MAX), Woken::TooLate),
        }
    }

    pub(super) fn say_still_here(&mut self) {
        self.rest.word_at = None;
        response::untagged(&mut self.line.out, Status::Ok, Code::None, "Still here");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_due_at_multiples() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        assert_eq!(next_multiple(Duration::ZERO, minutes(24)), minutes(24));
        assert_eq!(next_multiple(minutes(23), minutes(24)), minutes(24));
        assert_eq!(next_multiple(minutes(24), minutes(24)), minutes(48));
        assert_eq!(next_multiple(minutes(24) + Duration::from_nanos(1), minutes(24)), minutes(48));
        let year = minutes(365 * 24 * 60 * 100) + Duration::from_nanos(7);
        assert_eq!(next_multiple(year, minutes(1)), minutes(365 * 24 * 60 * 100 + 1));
    }
}
