//! When mail is tried again, and when it is given up (RFC 5321 section 4.5.4.1).
//!
//! Receives the schedule, counts of attempts, times and a random number; hands on waits and verdicts. Reads no clock.
//!
//! The clock of a board without a battery starts in 1970 and jumps when the network tells it the time. So waiting is
//! measured on a [`QueueClock`], which never goes back, and giving up asks for attempts as well as for time: neither a jump
//! forward nor one back, and no long time without power, loses mail that was hardly tried.

use crate::limits::RELAY_RETRY_SECONDS_MIN;
use crate::wire::date::Timestamp;
use std::time::Duration;

/// Waits between attempts, and the end of patience.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// The wait after the first attempt, after the second, ...; the last repeats.
    pub retry_after: &'a [Duration],
    /// Given up when this old.
    pub give_up_after: Duration,
}

impl Schedule<'_> {
    /// The wait after `attempts` attempts, the last one included; a tenth more or less by `random`, so that messages that
    /// failed together do not come back together. At least [`RELAY_RETRY_SECONDS_MIN`].
    pub fn wait(&self, attempts: u32, random: u64) -> Duration {
        let permille = u32::try_from(random % 201).unwrap_or(100) + 900;
        let exact = self.exact_wait(attempts);
        exact
            .checked_mul(permille)
            .map_or(exact, |scaled| scaled / 1000)
            .max(Duration::from_secs(RELAY_RETRY_SECONDS_MIN))
    }

    /// Whether a message is given up after an attempt that failed. `age`: since it was accepted, see [`age`].
    pub fn is_over(&self, age: Duration, attempts: u32) -> bool {
        age >= self.give_up_after && attempts >= self.attempts_min()
    }

    /// Attempts that are made whatever the clock says: those of the schedule's steps that fit in its time, and of those by which
    /// the last step repeats so many that half the time is spent.
    fn attempts_min(&self) -> u32 {
        let mut attempts = 1;
        let mut spent = Duration::ZERO;
        for wait in self.retry_after {
            spent = spent.saturating_add(*wait);
            if spent > self.give_up_after {
                return attempts;
            }
            attempts += 1;
        }
        let half = (self.give_up_after / 2).saturating_sub(spent);
        let last = self.exact_wait(u32::MAX).max(Duration::from_secs(RELAY_RETRY_SECONDS_MIN));
        attempts.saturating_add(u32::try_from(half.as_secs() / last.as_secs().max(1)).unwrap_or(u32::MAX))
    }

    fn exact_wait(&self, attempts: u32) -> Duration {
        let at = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let step = self.retry_after.get(at).or(self.retry_after.last());
        step.copied().unwrap_or(Duration::from_secs(1800))
    }
}

/// How long ago a message was accepted, by the wall clock; or by the queue's while the wall clock is behind that time, be
/// it that it is wrong now or that it was wrong then, so that no message waits until the wall clock has caught up.
pub fn age(queued: Timestamp, wall: Timestamp, queue: Timestamp) -> Duration {
    if wall < queued { queue.since(queued) } else { wall.since(queued) }
}

/// The time by which the queue lives: it goes on at the pace of the steady clock, follows the wall clock forward and never
/// back, and never starts before what the store remembers.
#[derive(Clone, Copy, Debug)]
pub struct QueueClock {
    steady: Duration,
    now: Timestamp,
}

impl QueueClock {
    /// `latest`: the latest time the store remembers.
    pub fn new(wall: Timestamp, steady: Duration, latest: Timestamp) -> QueueClock {
        QueueClock { steady, now: wall.max(latest) }
    }
    /// The queue's time, given what both clocks read now.
    pub fn now(&mut self, wall: Timestamp, steady: Duration) -> Timestamp {
        self.now = self.now.plus(steady.saturating_sub(self.steady)).max(wall);
        self.steady = steady;
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const STEPS: [Duration; 3] = [Duration::from_secs(300), Duration::from_secs(900), Duration::from_secs(3600)];

    fn schedule() -> Schedule<'static> {
        Schedule { retry_after: &STEPS, give_up_after: Duration::from_secs(5 * 86400) }
    }

    #[test]
    fn steps_then_the_last_repeats() {
        let exact = 100;
        let waits: Vec<u64> = (1..=5).map(|n| schedule().wait(n, exact).as_secs()).collect();
        assert_eq!(waits, [300, 900, 3600, 3600, 3600]);
        assert_eq!(schedule().wait(0, exact).as_secs(), 300);
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        for random in 0..1000 {
            let wait = schedule().wait(1, random * 7919);
            assert!((Duration::from_secs(270)..=Duration::from_secs(330)).contains(&wait), "{wait:?}");
        }
        assert_ne!(schedule().wait(1, 0), schedule().wait(1, 200));
        let none = Schedule { retry_after: &[], give_up_after: MINUTE };
        assert_eq!(none.wait(3, 100), 30 * MINUTE);
        let zero = Schedule { retry_after: &[Duration::ZERO], give_up_after: MINUTE };
        assert_eq!(zero.wait(1, 0).as_secs(), RELAY_RETRY_SECONDS_MIN);
    }

    #[test]
    fn giving_up_takes_time_and_attempts() {
        let days = |n: u32| n * 1440 * MINUTE;
        assert!(!schedule().is_over(days(4), 100));
        assert!(schedule().is_over(days(5), 100));
        assert!(!schedule().is_over(days(20_000), 1), "a jump from 1970 gives nothing up");
        assert!(!schedule().is_over(days(20_000), 61), "it was tried for half the time at least");
        assert!(schedule().is_over(days(20_000), 62));
        let short = Schedule { retry_after: &STEPS, give_up_after: MINUTE };
        assert!(short.is_over(MINUTE, 1), "a time shorter than the first step still ends");
    }

    #[test]
    fn the_queue_clock_never_goes_back() {
        let at = |minutes: i64| Timestamp(minutes * 60_000);
        let mut clock = QueueClock::new(at(10), Duration::ZERO, at(0));
        assert_eq!(clock.now(at(12), 2 * MINUTE), at(12));
        assert_eq!(clock.now(at(5), 2 * MINUTE), at(12), "a jump back stands still");
        assert_eq!(clock.now(at(6), 3 * MINUTE), at(13), "and goes on");
        assert_eq!(clock.now(at(50), 4 * MINUTE), at(50), "a jump forward is followed");
        let mut board = QueueClock::new(at(0), Duration::ZERO, at(1_000_000));
        assert_eq!(board.now(at(3), 3 * MINUTE), at(1_000_003));
        assert_eq!(board.now(at(1_000_020), 4 * MINUTE), at(1_000_020));
    }
}
