//! The clock of a dialogue's world: moves from one moment at which somebody wants to be woken to the next.

use super::world::{Outcome, World};
use std::time::Duration;

/// Sleepers woken in one `at`: more means that something wakes itself all the time.
const WAKEUPS_MAX: usize = 200_000;

impl World {
    /// Moves the clock, stopping wherever somebody wants to be woken.
    pub fn advance(&mut self, wait: Duration) -> Outcome {
        self.settle()?;
        let hand = self.twin.hand().clone();
        let target = hand.steady() + wait;
        for _ in 0..WAKEUPS_MAX {
            match hand.next_sleeper() {
                Some(at) if at <= target => hand.advance_to(at),
                _ => {
                    hand.advance_to(target);
                    return self.settle();
                }
            }
            self.settle()?;
        }
        Err("something wakes itself all the time".to_owned())
    }
}
