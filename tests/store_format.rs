//! The format of the store: older ones are migrated whole or not at all, newer ones are refused, damage is told from mail.

use hauspost::mail::index::Indexer;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::address::ReversePath;
use hauspost::wire::date::Timestamp;
use redb::ReadableTable;
use smol::future::block_on;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

fn options() -> Options {
    Options { ring_bytes: 1 << 20, cache_bytes: 1 << 20, ..Options::new("") }
}

fn open(disk: &MemoryDisk) -> Result<Store, Trouble> {
    Store::open_on(Arc::new(disk.clone()), options())
}

fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::DeflateDecoder::new(bytes).read_to_end(&mut out).expect("a whole fixture");
    out
}

/// A store as the program of format 1 left it when it was killed: several mailboxes, flags, keywords, copies, expunges, a
/// large body, a queue, credentials, and a journal that was not yet checkpointed.
fn format_1() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let files = [
        (Part::Database, inflate(include_bytes!("stores/format-1.redb.deflate"))),
        (Part::Journal, inflate(include_bytes!("stores/format-1.journal.deflate"))),
    ];
    for (part, bytes) in files {
        let file = disk.draft(part, bytes.len() as u64).expect("a draft");
        file.write(0, &bytes).expect("written");
        file.sync_data().expect("synced");
        disk.publish(part).expect("published");
    }
    disk.remember();
    disk
}

/// What the program of format 1 said of it.
const FORMAT_1: &str = include_str!("stores/format-1.txt");

/// What a store says of everything in it, in words that do not change with the types of the program.
fn told(store: &Store) -> String {
    let tell = |snapshot: &Snapshot| {
        let mut out = String::new();
        let crc = |body, bytes| Ok::<_, Trouble>(crc32fast::hash(&snapshot.body_range(body, 0..bytes)?));
        for m in snapshot.mailboxes()? {
            if m.name == OUTBOX_NAME {
                // It shows the queue, and older stores have none.
                continue;
            }
            let numbers = [m.id.0, m.uid_validity.0, m.uid_next.0, m.messages, m.unseen, m.deleted];
            let (modseq, floor) = (m.highest_modseq.0, m.expunged_floor.0);
            out += &format!("mailbox {:?} {numbers:?} {} {modseq} {floor} {} ", m.name, m.bytes, m.subscribed);
            out += &format!("{:?} {:?}\n", m.special_use, m.keywords);
            for row in snapshot.messages(m.id, Uid(1), Uid(u32::MAX), usize::MAX)? {
                let numbers = [row.modseq.0, row.flags.0.into(), row.keywords, row.bytes, row.body.0];
                let times = [row.internal_date.0, row.saved.0];
                out += &format!("message {} {numbers:?} {times:?} {:08x}\n", row.uid.0, crc(row.body, row.bytes)?);
            }
            out += &format!("expunged {:?}\n", snapshot.changes_since(m.id, ModSeq(0))?.expunged);
        }
        for entry in snapshot.queue(QueueId(0), 100)? {
            let path = match &entry.reverse_path {
                ReversePath::Null => String::new(),
                ReversePath::Address(address) => address.to_string(),
            };
            let crc = crc(entry.body, entry.bytes)?;
            out += &format!(
                "queue {} {} {path:?} {} {} {crc:08x}\n",
                entry.id.0, entry.body.0, entry.queued.0, entry.due.0
            );
            for r in &entry.recipients {
                out += &format!("recipient {} {} {:?}\n", r.address, r.attempts, r.last_reply);
            }
        }
        out += &format!("due {:?}\n", snapshot.queue_order(None, 100)?);
        for login in ["me", "phone"] {
            let Some(credential) = snapshot.credential(login)? else { continue };
            let verifier = credential.verifier;
            out += &format!("credential {} {} {:?}\n", credential.login, verifier.iterations, verifier.stored_key);
        }
        out += &format!("setting {:?} time {}\n", snapshot.setting("k")?, snapshot.latest_time()?.0);
        Ok(out)
    };
    block_on(store.read(tell)).expect("readable")
}

/// Everything that can be wrong with a store.
fn findings(store: &Store) -> Vec<String> {
    let find = |snapshot: &Snapshot| {
        let mut findings = snapshot.check()?;
        let bodies = snapshot.bodies(BodyId(0), usize::MAX)?;
        findings.extend(bodies.into_iter().filter_map(|body| snapshot.check_body(body).err()));
        Ok(findings)
    };
    block_on(store.read(find)).expect("readable")
}

/// The thread of each message in a mailbox, by UID.
fn threads(store: &Store, mailbox: MailboxId) -> BTreeMap<u32, u64> {
    let read = move |snapshot: &Snapshot| {
        let rows = snapshot.messages(mailbox, Uid(1), Uid(u32::MAX), usize::MAX)?;
        rows.iter().map(|row| Ok((row.uid.0, snapshot.body_thread(row.body)?.0))).collect()
    };
    block_on(store.read(read)).expect("readable")
}

fn body(store: &Store, bytes: &[u8]) -> NewBody {
    let (mut writer, mut indexer) = (store.body_writer(), Indexer::new());
    indexer.push(bytes);
    block_on(writer.write(bytes)).expect("taken in");
    block_on(writer.finish(indexer.finish())).expect("a body")
}

fn deliver(store: &Store, bytes: &[u8]) -> Result<Done, Trouble> {
    let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
    let (internal_date, now) = (Timestamp(1), Timestamp(1));
    block_on(store.apply(Op::Deliver(Deliver { body: body(store, bytes), targets, internal_date, now })))
}

#[test]
fn a_store_of_format_1_is_migrated_and_says_the_same() {
    let disk = format_1();
    let store = open(&disk).expect("migrated");
    assert_eq!(told(&store), FORMAT_1);
    assert_eq!(findings(&store), Vec::<String>::new());
    let outbox = block_on(store.read(|snapshot| snapshot.mailbox_named(OUTBOX_NAME))).expect("readable").expect("made");
    let queue = block_on(store.read(|snapshot| snapshot.queue(QueueId(0), 100))).expect("readable");
    assert_eq!((outbox.messages as usize, outbox.special_use), (queue.len(), Some(SpecialUse::Outbox)));
    assert!(outbox.messages > 0 && outbox.subscribed);
    deliver(&store, b"Subject: new\r\n\r\n").expect("and works on");
    let more = told(&store);
    store.close().expect("closed");
    let store = open(&disk).expect("opens again");
    assert_eq!(told(&store), more);
    assert_eq!(findings(&store), Vec::<String>::new());
}

#[test]
fn a_migration_cut_at_every_write_and_flush_leaves_one_or_the_other() {
    let disk = format_1();
    let first = disk.events();
    drop(open(&disk).expect("migrated"));
    let mut state = 1u64;
    for events in first..=disk.events() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (mode, mut chance) = (state >> 33, state);
        let survivor = disk.cut(events, || {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            mode % 3 == 1 || (mode % 3 == 2 && chance >> 40 & 1 == 0)
        });
        let store = open(&survivor).expect("opens");
        assert_eq!(told(&store), FORMAT_1, "cut at event {events} of {first}..{}", disk.events());
        assert_eq!(findings(&store), Vec::<String>::new(), "cut at event {events}");
    }
    assert!(disk.events() - first > 20, "{} events", disk.events() - first);
}

/// Half a migration must not become durable because the program ended in good order.
#[test]
fn a_migration_that_fails_leaves_the_old_store() {
    let successes = |successes| {
        let disk = format_1();
        disk.fail_after(successes, std::io::ErrorKind::StorageFull);
        // Migrated in memory at most, to be read.
        let failed = open(&disk).map_or(true, |store| {
            assert_eq!(told(&store), FORMAT_1, "read after {successes} successes");
            let failed = block_on(store.apply(Op::SetSetting { key: "no".into(), value: None })).is_err();
            let _ = store.close();
            failed
        });
        disk.heal();
        let store = open(&disk).expect("opens when there is room");
        assert_eq!(told(&store), FORMAT_1, "after {successes} successes");
        assert_eq!(findings(&store), Vec::<String>::new(), "after {successes} successes");
        failed
    };
    assert!((0..).take_while(|count| successes(*count)).count() > 20);
}

#[test]
fn a_journal_of_format_1_that_is_damaged_is_refused_before_anything_changes() {
    let disk = format_1();
    let journal = disk.bytes(Part::Journal);
    let is_batch = |block: &usize| journal[block * 4096..].starts_with(b"HPj1");
    let batch = (0..journal.len() / 4096).filter(is_batch).nth_back(1).expect("several batches");
    disk.damage(Part::Journal, batch * 4096 + 40);
    for _ in 0..2 {
        let Err(Trouble::Failed(sentence)) = open(&disk) else { panic!("opened") };
        assert!(sentence.contains("journal is damaged"), "{sentence}");
    }
    disk.damage(Part::Journal, batch * 4096 + 40);
    assert_eq!(told(&open(&disk).expect("undamaged again")), FORMAT_1);
}

#[test]
fn a_store_of_a_newer_format_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { ring_bytes: 64 << 10, ..Options::new(folder.path()) };
    Store::open(options.clone()).expect("a store").close().expect("closed");
    let database = redb::Database::open(folder.path().join("hauspost.redb")).expect("a redb file");
    let txn = database.begin_write().expect("a transaction");
    {
        let mut meta = txn.open_table(redb::TableDefinition::<u8, &[u8]>::new("meta")).expect("the table");
        let row = meta.get(0).expect("readable").expect("there").value().to_vec();
        assert_eq!(row[..4], 2u32.to_le_bytes());
        meta.insert(0, &[&3u32.to_le_bytes()[..], b"what nobody knows yet"].concat()[..]).expect("inserted");
    }
    txn.commit().expect("committed");
    drop(database);
    let Err(Trouble::Failed(sentence)) = Store::open(options) else { panic!("opened") };
    assert_eq!(sentence, "this store was written by a newer version (format 3, this program knows up to 2)");
}

/// A message that names itself and what it answers.
fn message(id: &str, references: &[&str]) -> Vec<u8> {
    let references: Vec<String> = references.iter().map(|id| format!("<{id}@x.example>")).collect();
    format!("Message-ID: <{id}@x.example>\r\nReferences: {}\r\n\r\ntext\r\n", references.join(" ")).into_bytes()
}

#[test]
fn messages_that_answer_each_other_are_one_thread_whatever_comes_first() {
    let store = open(&MemoryDisk::new()).expect("a store");
    for (id, references) in [("a", &[][..]), ("c", &["r", "b"]), ("b", &["r"]), ("r", &[]), ("d", &["a"]), ("a", &[])] {
        deliver(&store, &message(id, references)).expect("delivered");
    }
    let found = threads(&store, INBOX);
    let joined = |uids: &[u32]| uids.iter().all(|uid| found[uid] == found[&uids[0]]);
    assert!(joined(&[1, 5, 6]) && joined(&[2, 3, 4]) && found[&1] != found[&2], "{found:?}");
    assert_eq!(found[&1], 1, "a thread has the name of its first body");
    let expunge = Expunge { mailbox: INBOX, which: Expungeable::These([1, 5, 6].map(Uid).to_vec()) };
    block_on(store.apply(Op::Expunge(expunge))).expect("expunged");
    assert_eq!(findings(&store), Vec::<String>::new());
    deliver(&store, &message("e", &["a"])).expect("delivered");
    assert_eq!(threads(&store, INBOX)[&7], 7, "nobody of the old thread is there");
}

/// Whatever bit of the file flips, what is read is what was written, or said to be damaged.
#[test]
fn a_flipped_bit_is_never_handed_out() {
    let disk = MemoryDisk::remembering();
    let store = open(&disk).expect("a store");
    for n in 0..30u32 {
        deliver(&store, &message(&format!("m{n}"), &["root"])).expect("delivered");
    }
    let setting = Op::SetSetting { key: "k".into(), value: Some(vec![5; 100]) };
    block_on(store.apply(setting)).expect("set");
    let before = told(&store);
    store.close().expect("closed");
    drop(store);
    let bytes = disk.bytes(Part::Database);
    // Most of a new file is empty.
    let full: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes[at / 4096 * 4096..][..4096].iter().any(|b| *b != 0)).collect();
    let (mut state, mut found, mut refused) = (9u64, 0, 0);
    for _ in 0..400 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let damaged = disk.cut(usize::MAX, || true);
        let at = full[(state >> 20) as usize % full.len()];
        damaged.damage(Part::Database, at);
        // redb believes its own pages: on some damage it refuses the file, or panics.
        let opened = std::panic::catch_unwind(|| open(&damaged));
        let Ok(Ok(store)) = opened else {
            refused += 1;
            continue;
        };
        let read = std::panic::catch_unwind(|| told(&store));
        match read {
            // A key that flipped can hide its row; nothing is ever shown that was not written.
            Ok(read) => read.lines().for_each(|line| {
                assert!(
                    line.starts_with("setting None") || before.lines().any(|known| known == line),
                    "byte {at}: {line}"
                );
            }),
            Err(_) => found += 1,
        }
    }
    assert!(found > 0, "{found} found, {refused} refused");
}
