//! Disks without room: mail is refused and nothing else, and it comes in again when there is room.

use super::*;

/// Takes mail until it is refused; returns how much came in.
fn fill(store: &Store, seed: u64, bytes: usize) -> u64 {
    for n in 0.. {
        match deliver(store, &noise(seed + n, if n % 5 == 0 { 15 * bytes } else { bytes })) {
            Ok(_) => {}
            Err(Trouble::Full) => return n,
            Err(other) => panic!("{other:?}"),
        }
    }
    0
}

fn enqueue(store: &Store) -> Result<Done, Trouble> {
    let recipient = "x@far.example".parse::<hauspost::wire::address::Address>().expect("an address");
    let enqueue = Enqueue {
        body: body(store, b"queued")?,
        outgoing: vec![Outgoing {
            reverse_path: hauspost::wire::address::ReversePath::Null,
            parameters: Default::default(),
            recipients: vec![recipient.into()],
            signatures: Vec::new(),
            not_before: Timestamp(1),
        }],
        copies: Vec::new(),
        sent: None,
        now: Timestamp(1),
    };
    block_on(store.apply(Op::Enqueue(enqueue)))
}

/// Everything that must go on inside the reserve.
fn work_on_a_full_disk(store: &Store, messages: u64) {
    assert_eq!(contents(store).len() as u64, messages, "everything can be read");
    let uids = block_on(store.read(|snapshot| snapshot.uids_from(INBOX, Uid(1)))).expect("readable");
    let change = |op| block_on(store.apply(op)).unwrap_or_else(|trouble| panic!("on a full disk: {trouble:?}"));
    let flags = Flags { system: SystemFlags::SEEN, keywords: vec!["a".to_owned()] };
    for change_flags in [FlagChange::Add, FlagChange::Remove] {
        let (flags, unchanged_since) = (flags.clone(), None);
        change(Op::SetFlags(SetFlags {
            mailbox: INBOX,
            uids: uids.clone(),
            change: change_flags,
            flags,
            unchanged_since,
        }));
    }
    change(Op::CreateMailbox { name: "Old".to_owned(), special_use: None });
    change(Op::DeleteMailbox { name: "Old".to_owned() });
    let outcomes = vec![("x@far.example".parse().expect("an address"), Outcome::Deferred("451 later".to_owned()))];
    let (next_due, notice, now) = (Timestamp(9), None, Timestamp(9));
    let (file, forward) = Default::default();
    let (entry, delay_told) = (QueueId(1), false);
    change(Op::Settle(Settle { entry, outcomes, next_due, file, forward, notice, delay_told, now }));
    change(Op::Expunge(Expunge { mailbox: INBOX, which: Expungeable::These(uids[..10].to_vec()) }));
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
}

const RESERVE_BYTES: u64 = 2 << 20;

#[test]
fn a_full_disk_refuses_mail_and_nothing_else() {
    const CAPACITY_BYTES: u64 = 12 << 20;
    let disk = MemoryDisk::with_capacity(CAPACITY_BYTES);
    let options = Options { reserve_bytes: RESERVE_BYTES, ..options() };
    let store = Store::open_on(Arc::new(disk.clone()), options.clone()).expect("a store");
    enqueue(&store).expect("there is room");
    let messages = fill(&store, 0, 20_000);
    assert!(messages > 40, "{messages}");
    assert!(matches!(enqueue(&store), Err(Trouble::Full)));
    work_on_a_full_disk(&store, messages);
    disk.set_capacity(2 * CAPACITY_BYTES);
    let more = fill(&store, 1_000, 20_000);
    assert!(more > 40, "{more} more when there is room");
    store.close().expect("closed");
    let store = Store::open_on(Arc::new(disk), options).expect("opens again");
    assert_eq!(contents(&store).len() as u64, messages - 10 + more);
}

/// Throws away every second message of INBOX, or the older half. Returns how many.
fn throw_half_away(store: &Store, every_second: bool) -> u64 {
    let uids = block_on(store.read(|snapshot| snapshot.uids_from(INBOX, Uid(1)))).expect("readable");
    let is_thrown = |at: usize| if every_second { at % 2 == 1 } else { at < uids.len() / 2 };
    let thrown: Vec<Uid> = (0..).zip(&uids).filter(|(at, _)| is_thrown(*at)).map(|(_, uid)| *uid).collect();
    let (count, which) = (thrown.len() as u64, Expungeable::These(thrown));
    block_on(store.apply(Op::Expunge(Expunge { mailbox: INBOX, which }))).expect("expunged");
    count
}

/// The file does not become shorter, and new mail was refused for ever.
#[test]
fn mail_thrown_away_on_a_full_disk_makes_room_for_mail() {
    const BYTES: usize = 20_000;
    let disk = MemoryDisk::with_capacity(12 << 20);
    let options = Options { reserve_bytes: 2 * RESERVE_BYTES, ..options() };
    let mut store = Store::open_on(Arc::new(disk.clone()), options.clone()).expect("a store");
    enqueue(&store).expect("there is room");
    let mut messages = fill(&store, 0, BYTES);
    assert_eq!(fill(&store, 500, BYTES), 0);
    for round in 1..=6 {
        let thrown = throw_half_away(&store, round % 2 == 0);
        messages -= thrown;
        if round % 3 == 0 {
            store.close().expect("closed");
            store = Store::open_on(Arc::new(disk.clone()), options.clone()).expect("opens again");
        }
        let more = fill(&store, 1_000 * round, BYTES);
        assert!(more >= thrown * 3 / 4, "{more} after {thrown} were thrown away");
        assert!(disk.free_bytes().expect("known") >= RESERVE_BYTES, "half of the reserve is left");
        messages += more;
        work_on_a_full_disk(&store, messages);
        messages -= 10;
    }
    // Others take the room: behind what is deleted there is less than half of the reserve.
    let taken = (12 << 20) - disk.free_bytes().expect("known");
    disk.set_capacity(taken + RESERVE_BYTES - 4096);
    throw_half_away(&store, false);
    assert_eq!(fill(&store, 9_000, BYTES), 0);
}

/// A real file system of 96 MiB, unmounted and gone with the value.
struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    /// `None` where there is no right or no device for it.
    fn new() -> Option<Mounted> {
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("image");
        std::fs::File::create(&image).and_then(|file| file.set_len(96 << 20)).expect("an image");
        let point = folder.path().join("mounted");
        std::fs::create_dir(&point).expect("a folder");
        let runs = |program: &str, arguments: &[&std::ffi::OsStr]| {
            let output = std::process::Command::new(program).args(arguments).output();
            output.is_ok_and(|output| output.status.success())
        };
        let made = runs("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_os_str()]);
        let mounted = made && runs("mount", &["-o".as_ref(), "loop".as_ref(), image.as_os_str(), point.as_os_str()]);
        mounted.then_some(Mounted { folder })
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("mounted")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.path()).status();
    }
}

#[test]
fn a_real_file_system_that_is_full_refuses_mail_and_nothing_else() {
    let Some(mounted) = Mounted::new() else {
        say("store_faults: a small file system cannot be mounted here; the test of one was not run");
        assert!(!nix::unistd::geteuid().is_root(), "root can mount one");
        return;
    };
    let store = mounted.path().join("store");
    let options =
        Options { reserve_bytes: 8 << 20, ring_bytes: 1 << 20, reopen_after: Duration::ZERO, ..Options::new(store) };
    let store = Store::open(options.clone()).expect("a store");
    enqueue(&store).expect("there is room");
    let filler = mounted.path().join("filler");
    std::fs::write(&filler, vec![1; 40 << 20]).expect("somebody else takes room");
    let messages = fill(&store, 0, 100_000);
    assert!(messages > 50, "{messages}");
    work_on_a_full_disk(&store, messages);
    std::fs::remove_file(&filler).expect("somebody else makes room");
    let more = fill(&store, 1_000, 100_000);
    assert!(more > 50, "{more} more when there is room");
    // The last byte is taken, by somebody else: what fails says so, and nothing is lost.
    let rest = std::fs::File::create(&filler).expect("a file");
    let piece = vec![1; 64 << 10];
    while std::io::Write::write_all(&mut &rest, &piece).is_ok() {}
    let set = |value: u8| Op::SetSetting { key: "x".to_owned(), value: Some(vec![value; 60_000]) };
    let results: Vec<_> = (0..60).map(|value| block_on(store.apply(set(value)))).collect();
    drop(rest);
    std::fs::remove_file(&filler).expect("room again");
    let known = results.iter().rposition(Result::is_ok);
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    assert!(refused.clone().all(|trouble| matches!(trouble, Trouble::Full | Trouble::Failed(_))), "{results:?}");
    block_on(store.apply(set(99))).expect("well again");
    assert_eq!(contents(&store).len() as u64, messages - 10 + more);
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
    say(&format!(
        "store_faults: {} messages on 96 MiB, last change on the full disk that worked: {known:?}",
        messages + more
    ));
    store.close().expect("closed");
    drop(store);
    let store = Store::open(options).expect("opens again");
    assert_eq!(contents(&store).len() as u64, messages - 10 + more);
    store.close().expect("closed");
    drop(store);
}
