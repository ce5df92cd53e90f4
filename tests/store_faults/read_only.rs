//! Disks that refuse all writes: what was acknowledged can be read, and changes work again by themselves.

use super::*;

fn flag(store: &Store, uids: &[u32]) -> Result<Done, Trouble> {
    let flags = Flags { system: SystemFlags::SEEN, keywords: Vec::new() };
    let uids = uids.iter().copied().map(Uid).collect();
    let (change, unchanged_since) = (FlagChange::Add, None);
    block_on(store.apply(Op::SetFlags(SetFlags { mailbox: INBOX, uids, change, flags, unchanged_since })))
}

fn sound(store: &Store) {
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
}

/// What was acknowledged could not be read until the disk was well.
#[test]
fn mail_is_read_from_a_disk_that_refuses_writes() {
    for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::StorageFull, ErrorKind::Other] {
        let disk = MemoryDisk::new();
        let store = Store::open_on(Arc::new(disk.clone()), options()).expect("a store");
        for n in 0..60 {
            deliver(&store, &noise(n, if n % 20 == 0 { 300_000 } else { 700 })).expect("delivered");
        }
        flag(&store, &[1, 2, 60]).expect("flagged");
        let before = contents(&store);
        let mut bell = store.bell(Watched::Mailbox(INBOX));
        disk.fail_after(0, kind);
        for _ in 0..3 {
            let trouble = deliver(&store, b"refused").expect_err("the disk refuses");
            assert!(matches!(trouble, Trouble::Full | Trouble::Failed(_)), "{trouble:?}");
            assert!(flag(&store, &[3]).is_err());
            assert_eq!(contents(&store), before);
            sound(&store);
        }
        let unseen = block_on(store.read(|snapshot| snapshot.mailbox(INBOX))).expect("readable").expect("there").unseen;
        assert_eq!(unseen, 57);
        // Nobody asks for a change.
        disk.heal();
        block_on(bell.rung());
        assert_eq!(contents(&store), before);
        deliver(&store, b"later").expect("well again");
        assert_eq!(contents(&store).len(), 61);
        sound(&store);
        store.close().expect("closed");
        let store = Store::open_on(Arc::new(disk), options()).expect("opens again");
        assert_eq!((contents(&store).len(), &contents(&store)[..60]), (61, &before[..]));
    }
}

#[test]
fn a_store_is_opened_for_reading_where_nothing_can_be_written() {
    let disk = cut_with_journal();
    disk.fail_after(0, ErrorKind::ReadOnlyFilesystem);
    let store = Store::open_on(Arc::new(disk.clone()), options()).expect("opens for reading");
    assert_eq!(contents(&store).len(), 4);
    sound(&store);
    assert!(matches!(deliver(&store, b"x"), Err(Trouble::Failed(_))));
    disk.heal();
    deliver(&store, b"x").expect("well again");
    assert_eq!(contents(&store).len(), 5);
    sound(&store);
    // There is nothing to read where there was never a store.
    let empty = MemoryDisk::new();
    empty.fail_after(0, ErrorKind::ReadOnlyFilesystem);
    assert!(Store::open_on(Arc::new(empty), options()).is_err());
}

/// The journal is never more than half full for long: all of that fits what is kept in memory.
#[test]
fn a_long_journal_is_replayed_in_memory() {
    let disk = MemoryDisk::new();
    let options = Options { reopen_after: Duration::ZERO, checkpoint_after: Duration::MAX / 4, ..Options::new("") };
    let store = Store::open_on(Arc::new(disk.clone()), options).expect("a store");
    let count = 1_500;
    for n in 0..count {
        deliver(&store, &noise(n, 1_000)).expect("delivered");
    }
    disk.fail_after(0, ErrorKind::ReadOnlyFilesystem);
    deliver(&store, b"refused").expect_err("the disk refuses");
    assert_eq!(contents(&store).len() as u64, count);
    sound(&store);
}
