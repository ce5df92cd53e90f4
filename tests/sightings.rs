//! What the owner is told of the last use of devices, over weeks, and what it costs the card.

use hauspost::mail::access::Access;
use hauspost::mail::credential::Verifier;
use hauspost::net::twin::Twin;
use hauspost::node::{configuration, site, supervise};
use hauspost::serve::{Context, devices};
use hauspost::store::{Credential, MemoryDisk, Op, Options, Store};
use smol::block_on;
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Hours ago, network, program.
type Told = (u64, String, String);

struct Node {
    twin: Arc<Twin>,
    disk: Arc<MemoryDisk>,
    folder: tempfile::TempDir,
    context: Context,
}

impl Node {
    fn start(twin: Arc<Twin>, disk: Arc<MemoryDisk>, folder: tempfile::TempDir) -> Node {
        let store = Store::open_on(disk.clone(), Options { reopen_after: Duration::ZERO, ..Options::new("") }).unwrap();
        let text = "hostname = \"mail.home.test\"\naddresses = [\"me@home.test\"]\ndomains = [\"home.test\"]\n";
        let settings = configuration::parse("test", text).unwrap();
        let site = site::make_site(&settings, folder.path(), &twin.net()).unwrap();
        let context = supervise::make_context(store, twin.net(), site);
        Node { twin, disk, folder, context }
    }

    /// As by a signal, or without writing down anything.
    fn restart(self, in_good_order: bool) -> Node {
        let Node { twin, disk, folder, context } = self;
        if in_good_order {
            block_on(context.logins.sightings.keep(&context, true)).unwrap();
        }
        context.store.close().unwrap();
        Node::start(twin, disk, folder)
    }

    fn add(&self, name: &str) {
        let owner = Verifier::new("owner", [1; 16], 4096);
        let now = self.twin.clock().now();
        let device = Credential::of_device(name, name, &owner, now, Access::owner());
        block_on(self.context.store.apply(Op::AddDevice(device))).unwrap();
    }

    fn log_in(&self, name: &str, peer: &str) {
        let (peer, now) = (peer.parse().unwrap(), self.twin.clock().now());
        self.context.logins.sightings.note(name, peer, now);
    }

    /// An hour goes by. Whether something was written.
    fn pass(&self) -> bool {
        self.twin.hand().advance(HOUR);
        let before = self.context.store.written().syncs;
        block_on(self.context.logins.sightings.keep(&self.context, false)).unwrap();
        self.context.store.written().syncs > before
    }

    fn list(&self) -> Vec<(String, Option<Told>)> {
        let now = self.twin.clock().now();
        let all = block_on(devices::list(&self.context)).unwrap();
        let told = all.into_iter().map(|(device, sighting)| {
            let seen = sighting.map(|seen| (now.since(seen.at).as_secs() / 3600, seen.network(), seen.program));
            (device.name, seen)
        });
        told.collect()
    }
}

fn new() -> Node {
    Node::start(Twin::new(3), Arc::new(MemoryDisk::new()), tempfile::tempdir().unwrap())
}

#[test]
fn logins_write_once_a_day() {
    let node = new();
    node.add("phone");
    node.add("tablet");
    let mut written = Vec::new();
    for hour in 0..24 * 14 {
        for _ in 0..20 {
            node.log_in("phone", "192.168.1.9");
        }
        if hour % 5 == 0 {
            node.log_in("tablet", "198.51.100.7");
        }
        if node.pass() {
            written.push(hour);
        }
    }
    assert!(written.windows(2).all(|pair| pair[1] - pair[0] >= 24), "{written:?}");
    assert_eq!(written.len(), 14);
    // Nobody there: nothing to write.
    assert!((0..100).all(|_| !node.pass()));
}

#[test]
fn it_is_known_after_a_restart() {
    let node = new();
    node.add("phone");
    node.add("Tablet");
    assert_eq!(node.list(), [("phone".to_owned(), None), ("Tablet".to_owned(), None)]);
    node.log_in("phone", "192.168.1.9");
    node.context.logins.sightings.note_program("phone", "Mail", "17");
    node.pass();
    let seen = |hours, network: &str| Some((hours, network.to_owned(), "Mail 17".to_owned()));
    let node = node.restart(false);
    assert_eq!(node.list()[0].1, seen(1, "192.168.1.0/24"));
    // A day that is not yet there is lost with the power, and kept otherwise.
    node.pass();
    node.log_in("phone", "2001:db8:1:2:3::4");
    assert!(!node.pass());
    assert_eq!(node.list()[0].1, seen(1, "2001:db8:1:2::/64"));
    let node = node.restart(false);
    assert_eq!(node.list()[0].1, seen(3, "192.168.1.0/24"));
    node.log_in("phone", "2001:db8:1:2:3::4");
    let node = node.restart(true);
    assert_eq!(node.list()[0].1, seen(0, "2001:db8:1:2::/64"));
    assert_eq!(node.list()[1].1, None);
}

#[test]
fn a_new_device_is_not_the_old_one_of_that_name() {
    let node = new();
    node.add("phone");
    node.log_in("phone", "192.168.1.9");
    node.pass();
    block_on(devices::remove(&node.context, "Phone")).unwrap();
    node.add("phone");
    assert_eq!(node.list(), [("phone".to_owned(), None)]);
    let node = node.restart(true);
    node.log_in("phone", "10.0.0.9");
    assert_eq!(node.list()[0].1, Some((0, "10.0.0.0/24".to_owned(), String::new())));
}
