//! How the writer waits: for the next job, and for a batch to become as large as the one before it.
//!
//! Receives the channel of jobs; hands them on. It looks into none of them.

use super::Job;
use crate::limits::{BATCH_GATHERS_FOR, BATCH_REMEMBERED_FOR};
use smol::channel::Receiver;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// A batch that is being collected.
pub struct Gathering {
    /// Changes that are likely to come: as many as there were in the batch before.
    pub expected: usize,
    pub until: Instant,
}

impl Gathering {
    pub fn after((changes, at): (usize, Instant)) -> Gathering {
        let now = Instant::now();
        let expected = if now.duration_since(at) < BATCH_REMEMBERED_FOR { changes } else { 0 };
        Gathering { expected, until: now + BATCH_GATHERS_FOR }
    }

    /// What waits, or, while there are fewer than expected, what comes.
    pub fn next(&self, jobs: &Receiver<Job>, changes: usize) -> Option<Job> {
        match jobs.try_recv() {
            Err(_) if changes < self.expected => match receive(jobs, Some(self.until)) {
                Received::Job(job) => Some(job),
                Received::TimedOut | Received::Closed => None,
            },
            waiting => waiting.ok(),
        }
    }
}

/// What came of waiting.
pub enum Received {
    Job(Job),
    TimedOut,
    Closed,
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next job, or the deadline.
pub fn receive(jobs: &Receiver<Job>, deadline: Option<Instant>) -> Received {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut next = pin!(jobs.recv());
    loop {
        if let Poll::Ready(job) = next.as_mut().poll(&mut Context::from_waker(&waker)) {
            return job.map_or(Received::Closed, Received::Job);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => return Received::TimedOut,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}
