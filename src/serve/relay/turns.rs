//! Turns for work that may hang: name servers that do not answer.
//!
//! Receives work; hands back what came of it. A few are at it at once, and whoever takes longer than
//! [`RELAY_QUICK_MILLISECONDS`] gives its turn to the next and goes on among the slow, of whom there is a bounded number too. The
//! next is who came last: old work that piles up, all of it for servers that are dead, does not stand before new work.
//! What always holds: a turn that is given to somebody who has gone away is passed on.

use crate::limits::RELAY_QUICK_MILLISECONDS;
use crate::net::Clock;
use event_listener::Event;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

pub(super) struct Turns {
    quick_max: usize,
    slow_max: usize,
    quick: Cell<usize>,
    slow: Cell<usize>,
    /// The one who came last at the end.
    waiting: RefCell<Vec<Weak<Waiter>>>,
}

struct Waiter {
    has_turn: Cell<bool>,
    bell: Event,
}

impl Turns {
    /// For so many who are quick, and so many who are slow.
    pub fn new(quick_max: usize, slow_max: usize) -> Turns {
        Turns { quick_max, slow_max, quick: Cell::new(0), slow: Cell::new(0), waiting: RefCell::default() }
    }

    /// Those who take long.
    pub fn slow(&self) -> usize {
        self.slow.get()
    }

    /// Does the work when it is its turn. `None`: it took long, as too many others do, and was given up.
    pub async fn run<T>(&self, clock: &Clock, work: impl Future<Output = T>) -> Option<T> {
        let turn = self.take().await;
        let mut work = pin!(work);
        let quick = Duration::from_millis(RELAY_QUICK_MILLISECONDS);
        if let Some(done) = clock.within(quick, work.as_mut()).await {
            return Some(done);
        }
        drop(turn);
        let _slow = Slow::enter(self)?;
        Some(work.await)
    }

    async fn take(&self) -> Turn<'_> {
        if self.quick.get() < self.quick_max {
            self.quick.set(self.quick.get() + 1);
            return Turn(self);
        }
        let waiting =
            Waiting { turns: self, waiter: Rc::new(Waiter { has_turn: Cell::new(false), bell: Event::new() }) };
        self.waiting.borrow_mut().push(Rc::downgrade(&waiting.waiter));
        loop {
            let rung = waiting.waiter.bell.listen();
            if waiting.waiter.has_turn.take() {
                return Turn(self);
            }
            rung.await;
        }
    }

    fn pass_on(&self) {
        loop {
            let Some(next) = self.waiting.borrow_mut().pop() else { break };
            if let Some(next) = next.upgrade() {
                next.has_turn.set(true);
                next.bell.notify(1);
                return;
            }
        }
        self.quick.set(self.quick.get().saturating_sub(1));
    }
}

struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

struct Waiting<'a> {
    turns: &'a Turns,
    waiter: Rc<Waiter>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.waiter.has_turn.take() {
            self.turns.pass_on();
        }
    }
}

struct Slow<'a>(&'a Turns);

impl Slow<'_> {
    fn enter(turns: &Turns) -> Option<Slow<'_>> {
        let slow = turns.slow.get();
        (slow < turns.slow_max).then(|| {
            turns.slow.set(slow + 1);
            Slow(turns)
        })
    }
}

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        self.0.slow.set(self.0.slow.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::VirtualClock;
    use smol::LocalExecutor;
    use smol::future::{pending, ready};

    #[test]
    fn the_last_comes_first_and_who_hangs_makes_room() {
        let hand = VirtualClock::new();
        let clock = Clock::moved_by(hand.clone());
        let turns = Turns::new(2, 3);
        let done = RefCell::new(Vec::new());
        let executor = LocalExecutor::new();
        let mut tasks = Vec::new();
        for n in 0..8 {
            let (turns, clock, done) = (&turns, clock.clone(), &done);
            tasks.push(executor.spawn(async move {
                let came = match n {
                    7 => turns.run(&clock, ready(())).await,
                    _ => turns.run(&clock, pending()).await,
                };
                done.borrow_mut().push((n, came.is_some()));
            }));
        }
        let run = || while executor.try_tick() {};
        run();
        assert_eq!((turns.quick.get(), turns.slow()), (2, 0));
        assert!(done.borrow().is_empty());
        hand.advance(Duration::from_millis(RELAY_QUICK_MILLISECONDS));
        run();
        assert_eq!(*done.borrow(), [(7, true)], "the newest is done as soon as somebody hangs");
        assert_eq!(turns.slow(), 2);
        // One who waits goes away; its turn is not lost.
        drop(tasks.remove(5));
        run();
        for _ in 0..2 {
            hand.advance(Duration::from_millis(RELAY_QUICK_MILLISECONDS));
            run();
        }
        assert_eq!(turns.slow(), 3);
        assert_eq!(done.borrow().iter().filter(|(_, came)| !came).count(), 3, "{done:?}");
        tasks.clear();
        run();
        assert_eq!((turns.quick.get(), turns.slow()), (0, 0));
    }
}
