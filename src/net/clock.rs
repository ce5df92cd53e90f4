//! The clock a session sees: the system's, or a virtual one that a test moves.

use crate::wire::date::Timestamp;
use std::time::Duration;

/// Tells the time and waits. Cheap to clone.
#[derive(Clone)]
pub struct Clock {}

impl Clock {
    /// The wall clock now.
    pub fn now(&self) -> Timestamp {
        unimplemented!()
    }
    /// Waits; not affected by changes of the wall clock.
    pub async fn sleep(&self, _wait: Duration) {
        unimplemented!()
    }
}
