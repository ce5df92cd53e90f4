//! The writer alone, without the store around it.

use super::super::MemoryDisk;
use super::super::open::Opened;
use super::*;
use smol::future::{block_on, poll_once};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, RwLock};

/// A change that came in behind the close was kept in the channel, and who had sent it waited for ever.
#[test]
fn a_change_behind_the_close_is_answered() {
    let options = Options { ring_bytes: 64 << 10, ..Options::new("") };
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let Opened { database, ring, meta } = open::open(disk.as_ref(), &options).expect("a store");
    let shared = Arc::new(Shared {
        database: RwLock::new(Some(database)),
        bells: Arc::default(),
        deflaters: Default::default(),
        given_back: Mutex::default(),
        in_flight: AtomicUsize::new(0),
        read_bytes: AtomicUsize::new(0),
        disk: std::panic::AssertUnwindSafe(disk.clone()),
        reserve_bytes: options.reserve_bytes,
    });
    let (changes, jobs) = smol::channel::bounded(4);
    let (closing, closed) = smol::channel::bounded(1);
    changes.try_send(Job::Close(closing)).expect("room");
    let (answer, answered) = smol::channel::bounded(1);
    let op = Box::new(Op::Subscribe { name: "INBOX".into(), subscribed: true });
    let flight = InFlight::new(&shared);
    changes.try_send(Job::Apply(ApplyJob { op, answer, flight })).expect("room");
    Writer::new(shared, disk, options, jobs, (Ok(ring), meta)).run();
    assert_eq!(closed.try_recv().ok(), Some(Ok(())));
    assert!(block_on(poll_once(answered.recv())).is_some(), "nobody waits for ever");
}
