//! The clock a session sees: the system's, or a virtual one that a test moves.
//!
//! Two readings that must not be confused: the wall clock ([`Clock::now`]) may be wrong and may jump; the steady clock
//! ([`Clock::steady`]) only goes forward. Every wait is measured on the steady clock, so that setting the wall clock
//! neither hurries nor stalls a session.

use crate::limits::ALARM_EARLY_SECONDS_MAX;
use crate::wire::date::Timestamp;
use smol::Timer;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a virtual clock starts: 2026-11-21 12:00:00 UTC.
pub const VIRTUAL_START: Timestamp = Timestamp(1_795_262_400_000);

/// Tells the time and waits. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    System(Instant),
    Virtual(Arc<VirtualClock>),
}

impl Clock {
    /// The system's clock; its steady reading starts at zero now.
    pub fn system() -> Clock {
        Clock(Kind::System(Instant::now()))
    }

    /// A clock that stands still until the test that holds the other handle moves it.
    pub fn moved_by(hand: Arc<VirtualClock>) -> Clock {
        Clock(Kind::Virtual(hand))
    }

    /// The wall clock now. On a board without a battery it may lie.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System(_) => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
                Err(before) => Timestamp(-i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX)),
            },
            Kind::Virtual(hand) => hand.now(),
        }
    }

    /// Time since this clock was made; never goes back, not affected by changes of the wall clock.
    pub fn steady(&self) -> Duration {
        match &self.0 {
            Kind::System(start) => start.elapsed(),
            Kind::Virtual(hand) => hand.steady(),
        }
    }

    /// Waits; not affected by changes of the wall clock. Cancel-safe.
    pub async fn sleep(&self, wait: Duration) {
        let deadline = self.steady().saturating_add(wait);
        let mut alarm = Alarm::default();
        poll_fn(|task| alarm.poll(self, deadline, task)).await
    }

    /// The future's output, or `None` when it takes longer than `wait`. The future is polled first, so one that is
    /// ready wins even with a wait of zero, and costs no timer.
    pub async fn within<T>(&self, wait: Duration, work: impl Future<Output = T>) -> Option<T> {
        let deadline = self.steady().saturating_add(wait);
        let mut alarm = Alarm::default();
        let mut work = std::pin::pin!(work);
        poll_fn(|task| match work.as_mut().poll(task) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => alarm.poll(self, deadline, task).map(|()| None),
        })
        .await
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::System(_) => f.write_str("Clock::system"),
            Kind::Virtual(hand) => write!(f, "Clock at {}", hand.now().0),
        }
    }
}

/// TLS judges certificates by the same clock as everything else.
impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
        let seconds = u64::try_from(self.now().seconds()).ok()?;
        Some(rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A deadline that is moved at every call and almost never rings.
///
/// Kept by its owner between calls: as long as the system timer that is armed rings no later than the deadline asked
/// for, and not much earlier, it is left alone, and when it rings too early it is armed again. A session that reads a
/// thousand commands in a minute with half an hour of patience each so touches the reactor's timers once, not a thousand
/// times; and one that waits for long is not woken in vain for a deadline that it had before.
#[derive(Default)]
pub(super) struct Alarm {
    timer: Option<Timer>,
    sleeper: Option<Sleeper>,
    armed_for: Duration,
}

impl Alarm {
    /// Ready once the clock's steady reading has reached `deadline`; else wakes the task then (or before).
    pub(super) fn poll(&mut self, clock: &Clock, deadline: Duration, task: &mut Context<'_>) -> Poll<()> {
        match &clock.0 {
            Kind::System(start) => self.poll_system(*start, deadline, task),
            Kind::Virtual(hand) => {
                if hand.steady() >= deadline {
                    self.sleeper = None;
                    return Poll::Ready(());
                }
                self.sleeper = None;
                self.sleeper = Some(Sleeper::new(hand.clone(), deadline, task.waker().clone()));
                Poll::Pending
            }
        }
    }

    fn poll_system(&mut self, start: Instant, deadline: Duration, task: &mut Context<'_>) -> Poll<()> {
        loop {
            if start.elapsed() >= deadline {
                return Poll::Ready(());
            }
            let at = start.checked_add(deadline);
            let timer = match (&mut self.timer, at) {
                (Some(timer), _) if timer.will_fire() && is_near(self.armed_for, deadline) => timer,
                (timer, Some(at)) => {
                    self.armed_for = deadline;
                    match timer {
                        Some(timer) => timer.set_at(at),
                        None => *timer = Some(Timer::at(at)),
                    }
                    match timer {
                        Some(timer) => timer,
                        None => return Poll::Pending,
                    }
                }
                // Further away than the clock can count: never.
                (_, None) => return Poll::Pending,
            };
            if Pin::new(timer).poll(task).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Forgets a virtual sleeper, so that a test's next step is a deadline somebody still waits for. The system's timer
    /// stays armed on purpose.
    pub(super) fn stand_down(&mut self) {
        self.sleeper = None;
    }
}

/// Whether a timer that rings then may stay for this deadline.
fn is_near(armed_for: Duration, deadline: Duration) -> bool {
    armed_for <= deadline && deadline - armed_for <= Duration::from_secs(ALARM_EARLY_SECONDS_MAX)
}

/// The hand of a virtual clock: held by a test, which alone moves it.
pub struct VirtualClock(Mutex<Dial>);

struct Dial {
    steady: Duration,
    wall_at_zero: Timestamp,
    next_sleeper: u64,
    /// Ordered by deadline, then by who came first.
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

impl VirtualClock {
    /// Stands at [`VIRTUAL_START`].
    pub fn new() -> Arc<VirtualClock> {
        let dial =
            Dial { steady: Duration::ZERO, wall_at_zero: VIRTUAL_START, next_sleeper: 0, sleepers: BTreeMap::new() };
        Arc::new(VirtualClock(Mutex::new(dial)))
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        let dial = self.dial();
        dial.wall_at_zero.plus(dial.steady)
    }

    /// The steady clock.
    pub fn steady(&self) -> Duration {
        self.dial().steady
    }

    /// Sets the wall clock, as NTP or an owner would; waits are not affected.
    pub fn set_wall(&self, now: Timestamp) {
        let mut dial = self.dial();
        let steady = i64::try_from(dial.steady.as_millis()).unwrap_or(i64::MAX);
        dial.wall_at_zero = Timestamp(now.0.saturating_sub(steady));
    }

    /// When the next sleeper wants to be woken, on the steady clock.
    pub fn next_sleeper(&self) -> Option<Duration> {
        self.dial().sleepers.keys().next().map(|(at, _)| *at)
    }

    /// How many wait for a time to come.
    pub fn sleepers(&self) -> usize {
        self.dial().sleepers.len()
    }

    /// Moves forward by `wait` and wakes all whose time has come, in the order of their deadlines.
    pub fn advance(&self, wait: Duration) {
        let to = self.steady().saturating_add(wait);
        self.advance_to(to);
    }

    /// Moves forward to a reading of the steady clock (never back) and wakes all whose time has come, in order.
    pub fn advance_to(&self, to: Duration) {
        let due: Vec<Waker> = {
            let mut dial = self.dial();
            dial.steady = dial.steady.max(to);
            let first_later = (dial.steady.saturating_add(Duration::from_nanos(1)), 0);
            let later = dial.sleepers.split_off(&first_later);
            std::mem::replace(&mut dial.sleepers, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    fn dial(&self) -> MutexGuard<'_, Dial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a virtual clock's list of sleepers, given up when dropped.
struct Sleeper {
    hand: Arc<VirtualClock>,
    key: (Duration, u64),
}

impl Sleeper {
    fn new(hand: Arc<VirtualClock>, deadline: Duration, waker: Waker) -> Sleeper {
        let key = {
            let mut dial = hand.dial();
            dial.next_sleeper += 1;
            let key = (deadline, dial.next_sleeper);
            dial.sleepers.insert(key, waker);
            key
        };
        Sleeper { hand, key }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _woken_or_not = self.hand.dial().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn sleepers_wake_in_the_order_of_their_deadlines() {
        let hand = VirtualClock::new();
        let clock = Clock::moved_by(hand.clone());
        let woken = RefCell::new(Vec::new());
        let executor = smol::LocalExecutor::new();
        let mut tasks = Vec::new();
        for seconds in [30u64, 10, 20] {
            let (clock, woken) = (clock.clone(), &woken);
            tasks.push(executor.spawn(async move {
                clock.sleep(Duration::from_secs(seconds)).await;
                woken.borrow_mut().push((seconds, clock.now()));
            }));
        }
        while executor.try_tick() {}
        assert_eq!(hand.next_sleeper(), Some(Duration::from_secs(10)));
        hand.advance(Duration::from_secs(9));
        while executor.try_tick() {}
        assert!(woken.borrow().is_empty());
        hand.advance(Duration::from_secs(11));
        while executor.try_tick() {}
        let at = VIRTUAL_START.plus(Duration::from_secs(20));
        assert_eq!(*woken.borrow(), [(10, at), (20, at)]);
        drop(tasks);
        while executor.try_tick() {}
        assert_eq!(hand.next_sleeper(), None);
    }

    #[test]
    fn setting_the_wall_clock_does_not_hurry_sleepers() {
        let hand = VirtualClock::new();
        let clock = Clock::moved_by(hand.clone());
        let mut sleep = std::pin::pin!(clock.sleep(Duration::from_secs(60)));
        assert!(smol::block_on(smol::future::poll_once(&mut sleep)).is_none());
        hand.set_wall(Timestamp(0));
        assert_eq!(clock.now(), Timestamp(0));
        assert!(smol::block_on(smol::future::poll_once(&mut sleep)).is_none());
        hand.advance(Duration::from_secs(60));
        assert!(smol::block_on(smol::future::poll_once(&mut sleep)).is_some());
        assert_eq!(clock.now(), Timestamp(60_000));
    }

    #[test]
    fn ready_work_beats_a_deadline_of_zero() {
        let clock = Clock::moved_by(VirtualClock::new());
        assert_eq!(smol::block_on(clock.within(Duration::ZERO, async { 7 })), Some(7));
        let never = std::future::pending::<()>();
        assert_eq!(smol::block_on(clock.within(Duration::ZERO, never)), None);
    }

    #[test]
    fn a_timer_that_is_left_armed_rings_a_little_early_at_most() {
        let seconds = Duration::from_secs;
        assert!(is_near(seconds(100), seconds(100)) && is_near(seconds(100), seconds(160)));
        assert!(!is_near(seconds(100), seconds(161)) && !is_near(seconds(101), seconds(100)));
    }

    #[test]
    fn an_endless_wait_on_the_system_clock_is_no_error() {
        let clock = Clock::system();
        let mut sleep = std::pin::pin!(clock.sleep(Duration::MAX));
        assert!(smol::block_on(smol::future::poll_once(&mut sleep)).is_none());
        let passed = smol::block_on(clock.within(Duration::from_millis(1), sleep));
        assert_eq!(passed, None);
    }
}
