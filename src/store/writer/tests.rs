//! The writer alone, without the store around it.

use super::super::MemoryDisk;
use super::super::open::Opened;
use super::*;
use crate::limits::BATCH_REMEMBERED_FOR;
use smol::future::{block_on, poll_once};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, RwLock};
use std::time::Duration;

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
        committing: Mutex::default(),
        maps: Default::default(),
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

/// Ten senders, each of which waits for its answer, shared a flush two by two.
#[test]
fn a_batch_waits_for_as_many_as_came_with_the_last_one() {
    let (changes, jobs) = smol::channel::bounded(4);
    let pulse = || Job::Pulse(smol::channel::bounded(1).0);
    let now = Instant::now();
    let forgotten = now.checked_sub(BATCH_REMEMBERED_FOR).expect("the clock of this machine is older");
    for (last, expected) in [((1, now), 1), ((3, now), 3), ((3, forgotten), 0)] {
        let gathering = Gathering { until: now + Duration::from_secs(60), ..Gathering::after(last) };
        assert_eq!(gathering.expected, expected);
        assert!(gathering.next(&jobs, expected).is_none(), "{last:?}: as many are enough when nobody waits");
        changes.try_send(pulse()).expect("room");
        assert!(gathering.next(&jobs, expected + 5).is_some(), "{last:?}: who waits goes along");
    }
    let gathering = Gathering { expected: 2, until: now + Duration::from_secs(60) };
    std::thread::scope(|scope| {
        let late = scope.spawn(|| gathering.next(&jobs, 1).is_some());
        std::thread::sleep(Duration::from_millis(5));
        changes.try_send(pulse()).expect("room");
        assert!(late.join().expect("no panic"), "it is waited for");
    });
    assert!(Gathering { expected: 2, until: now }.next(&jobs, 1).is_none(), "not for ever");
}
