//! The store through its own doors: every Op, bodies of every size, bells, reopening.

use hauspost::mail::index::BodyIndex;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::address::{Address, Domain, ReversePath};
use hauspost::wire::date::Timestamp;
use hauspost::wire::smtp::{MailParameters, Notify, RcptParameters};
use smol::future::block_on;
use std::sync::Arc;

fn body(store: &Store, bytes: &[u8]) -> NewBody {
    let mut writer = store.body_writer();
    for piece in bytes.chunks(10_000) {
        block_on(writer.write(piece)).expect("taken in");
    }
    block_on(writer.finish(BodyIndex { envelope: b"(NIL)".to_vec(), ..BodyIndex::default() })).expect("a body")
}

fn target(mailbox: MailboxId, keywords: &[&str]) -> Target {
    let keywords = keywords.iter().map(|name| name.to_string()).collect();
    Target { mailbox, flags: Flags { system: SystemFlags::default(), keywords } }
}

fn deliver(store: &Store, bytes: &[u8], targets: Vec<Target>) -> Result<Done, Trouble> {
    let body = body(store, bytes);
    block_on(store.apply(Op::Deliver(Deliver { body, targets, internal_date: Timestamp(5), now: Timestamp(6) })))
}

fn whole(store: &Store, body: BodyId) -> Vec<u8> {
    block_on(store.read(move |snapshot| snapshot.body_range(body, 0..u64::MAX))).expect("readable")
}

fn rows(store: &Store, mailbox: MailboxId) -> Vec<MessageRow> {
    block_on(store.read(move |snapshot| snapshot.messages(mailbox, Uid(1), Uid(u32::MAX), usize::MAX))).expect("rows")
}

fn mailbox(store: &Store, name: &str) -> Option<Mailbox> {
    let name = name.to_owned();
    block_on(store.read(move |snapshot| snapshot.mailbox_named(&name))).expect("readable")
}

/// Text that compresses, differently everywhere.
fn text(bytes: usize) -> Vec<u8> {
    let mut out = b"From: a@example.org\r\nSubject: x\r\n\r\n".to_vec();
    let mut state = bytes as u32;
    while out.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.extend_from_slice(format!("line {} of the text\r\n", state >> 12).as_bytes());
    }
    out.truncate(bytes);
    out
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Reading more than the cache holds brings one checkpoint and one commit, and reading on brings none until something changes.
#[test]
fn much_reading_settles_the_store_once() {
    let store = Store::in_memory().expect("a store");
    let bodies: Vec<_> = (0..48u64).map(|_| deliver(&store, &noise(100_000), vec![target(INBOX, &[])])).collect();
    assert!(bodies.iter().all(Result::is_ok));
    let read_all = || {
        let ids: Vec<_> = rows(&store, INBOX).iter().map(|row| row.body).collect();
        ids.into_iter().for_each(|id| assert!(!whole(&store, id).is_empty()));
        // Whatever the writer was told to do is done before it answers the second of these, which change nothing.
        for _ in 0..2 {
            let nothing = Op::Expunge(Expunge { mailbox: MailboxId(9_999), which: Expungeable::Deleted });
            assert_eq!(block_on(store.apply(nothing)), Err(Trouble::NotFound));
        }
        store.written().syncs
    };
    let before = store.written().syncs;
    let settled = read_all();
    assert!(settled >= before + 2, "{before} flushes before, {settled} after");
    assert_eq!((read_all(), read_all()), (settled, settled));
    deliver(&store, b"Subject: new\r\n\r\n", vec![target(INBOX, &[])]).expect("delivered");
    let delivered = store.written().syncs;
    assert_eq!(delivered, settled + 1);
    assert!(read_all() > delivered);
}

#[test]
fn a_new_store_has_its_first_mailboxes() {
    let store = Store::in_memory().expect("a store");
    let all = block_on(store.read(Snapshot::mailboxes)).expect("readable");
    let names: Vec<_> = all.iter().map(|mailbox| &mailbox.name[..]).collect();
    assert_eq!(names, ["INBOX", "Archive", "Drafts", "Junk", "Outbox", "Sent", "Trash"]);
    assert!(all.iter().all(|mailbox| mailbox.subscribed && mailbox.uid_next == Uid(1)));
    assert_eq!(all[0].id, INBOX);
    let mut validities: Vec<_> = all.iter().map(|mailbox| mailbox.uid_validity).collect();
    validities.dedup();
    assert_eq!(validities.len(), 7, "each its own UIDVALIDITY");
}

#[test]
fn a_message_comes_back_as_it_went_in() {
    let store = Store::in_memory().expect("a store");
    for bytes in [0, 1, 4_000, 32_767, 32_768, 32_769, 100_000, 1_000_000, 5_000_000] {
        let sent = text(bytes);
        let done = deliver(&store, &sent, vec![target(INBOX, &[])]).expect("delivered");
        let Done::Delivered(places) = done else { panic!("{done:?}") };
        let uid = places[0].uid;
        let row = block_on(store.read(move |snapshot| snapshot.message(INBOX, uid))).expect("readable").expect("there");
        assert_eq!(row.bytes as usize, bytes);
        assert!(whole(&store, row.body) == sent, "{bytes} bytes");
        for start in [0usize, 1, 30_000, 32_768, 99_999, 999_990] {
            let range = start as u64..start as u64 + 40_000;
            let piece = block_on(store.read(move |snapshot| snapshot.body_range(row.body, range))).expect("readable");
            let end = (start + 40_000).min(bytes);
            assert!(piece == sent.get(start.min(bytes)..end).unwrap_or_default(), "{bytes} bytes from {start}");
        }
        let index = block_on(store.read(move |snapshot| snapshot.body_index(row.body))).expect("readable");
        assert_eq!(index.envelope, b"(NIL)");
    }
    store.close().expect("closed");
    assert!(matches!(deliver(&store, b"", vec![]), Err(Trouble::Failed(_))), "closed is closed");
}

/// Base64 of what is compressed already lies apart from the text around it, in blocks of its own.
#[test]
fn a_picture_comes_back_as_it_went_in() {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let store = Store::in_memory().expect("a store");
    let letters = BASE64_STANDARD.encode(noise(150_000));
    let picture: Vec<u8> = letters.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect();
    let sent = [&text(3_000)[..], b"\r\n\r\n", &picture, b"\r\n--and--\r\n", &text(40_000), &picture].concat();
    deliver(&store, &sent, vec![target(INBOX, &[])]).expect("delivered");
    let body = rows(&store, INBOX)[0].body;
    assert!(whole(&store, body) == sent);
    for start in (0..sent.len()).step_by(29_989) {
        let range = start as u64..start as u64 + 5_000;
        let piece = block_on(store.read(move |snapshot| snapshot.body_range(body, range))).expect("readable");
        assert!(piece == sent[start..(start + 5_000).min(sent.len())], "from {start}");
    }
    // As a session that compresses sends it: any client can read it.
    let (mut stream, mut at) = (Vec::new(), 0);
    while at < sent.len() as u64 {
        let read = move |snapshot: &Snapshot| {
            let (mut out, mut deflated) = (Vec::new(), Vec::new());
            let read = snapshot.read_body(body, at..u64::MAX, &mut out, Some(&mut deflated))?;
            Ok((read, out, deflated))
        };
        let (read, out, deflated) = block_on(store.read(read)).expect("readable");
        let mut plain_from = 0;
        for place in deflated {
            hauspost::wire::deflate::push_stored(&mut stream, &out[plain_from..place.start]);
            stream.extend_from_slice(&out[place.clone()]);
            plain_from = place.end;
        }
        hauspost::wire::deflate::push_stored(&mut stream, &out[plain_from..]);
        at += read;
    }
    assert!(stream.len() < sent.len() * 4 / 5, "{} of {}", stream.len(), sent.len());
    let mut inflated = Vec::with_capacity(sent.len() + 1);
    let mut decompress = flate2::Decompress::new(false);
    decompress.decompress_vec(&stream, &mut inflated, flate2::FlushDecompress::None).expect("a stream");
    assert!(inflated == sent);
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
    assert_eq!(block_on(store.read(move |snapshot| Ok(snapshot.check_body(body)))), Ok(Ok(())));
}

#[test]
fn everything_is_there_after_reopening() {
    let disk = Arc::new(MemoryDisk::new());
    let options = Options { ring_bytes: 1 << 20, ..Options::new("") };
    let store = Store::open_on(disk.clone(), options.clone()).expect("a store");
    deliver(&store, &text(5_000), vec![target(INBOX, &["$Forwarded"]), target(MailboxId(2), &[])]).expect("delivered");
    let before = rows(&store, INBOX);
    store.close().expect("closed");
    let store = Store::open_on(disk, options).expect("a store");
    assert_eq!(rows(&store, INBOX), before);
    assert_eq!(rows(&store, MailboxId(2))[0].body, before[0].body, "two mailboxes, one body");
    assert_eq!(whole(&store, before[0].body), text(5_000));
    assert_eq!(block_on(store.read(Snapshot::latest_time)), Ok(Timestamp(6)));
}

#[test]
fn a_queue_entry_lives_until_all_its_recipients_are_settled() {
    let store = Store::in_memory().expect("a store");
    let address = |local: &str| Address { local: local.into(), domain: Domain::new("far.example") };
    let enqueue = Enqueue {
        body: body(&store, &text(3_000)),
        outgoing: vec![Outgoing {
            reverse_path: ReversePath::Address(address("me")),
            parameters: Default::default(),
            recipients: vec![address("A").into(), address("b").into()],
            signatures: Vec::new(),
            not_before: Timestamp(100),
        }],
        copies: vec![target(MailboxId(3), &[])],
        sent: None,
        now: Timestamp(90),
    };
    let done = block_on(store.apply(Op::Enqueue(enqueue))).expect("queued");
    let Done::Enqueued(ids) = done else { panic!("{done:?}") };
    let id = ids[0];
    let order = |after| block_on(store.read(move |snapshot| snapshot.queue_order(after, 10))).expect("readable");
    assert_eq!(order(None), [(Timestamp(100), id)]);
    assert_eq!(order(Some((Timestamp(99), QueueId(u64::MAX)))), [(Timestamp(100), id)]);
    assert_eq!(order(Some((Timestamp(100), id))), []);
    let settle = |outcomes, next_due, notice| {
        let settle = Settle {
            entry: id,
            outcomes,
            next_due: Timestamp(next_due),
            file: Vec::new(),
            forward: Vec::new(),
            notice,
            delay_told: false,
            now: Timestamp(110),
        };
        block_on(store.apply(Op::Settle(settle)))
    };
    let later = (address("B"), Outcome::Deferred("451 later\r\nplease".into()));
    settle(vec![(address("a"), Outcome::Delivered), later], 200, None).expect("settled");
    assert_eq!(order(None), [(Timestamp(200), id)]);
    let entry = block_on(store.read(move |snapshot| snapshot.queue_entry(id))).expect("readable").expect("there");
    assert_eq!(entry.recipients.len(), 1);
    assert_eq!((entry.recipients[0].attempts, &entry.recipients[0].last_reply[..]), (1, "451 later  please"));
    let notice = Some((body(&store, b"Subject: failed\r\n\r\n"), NoticeTo::Owner(target(INBOX, &[]))));
    settle(vec![(address("b"), Outcome::Failed)], 300, notice).expect("settled");
    assert_eq!(order(None), []);
    assert_eq!(rows(&store, INBOX).len(), 1);
    assert_eq!(settle(vec![], 1, None), Err(Trouble::NotFound));
    let copy = rows(&store, MailboxId(3)).remove(0);
    assert_eq!(whole(&store, copy.body), text(3_000), "the copy keeps the body");
    block_on(store.apply(Op::DeleteMailbox { name: "Sent".into() })).expect("deleted");
    let gone = block_on(store.read(move |snapshot| snapshot.body_bytes(copy.body)));
    assert_eq!(gone, Err(Trouble::NotFound), "nothing refers to it any more");
}

/// A message of 25 MB that waits for days was to be written once.
#[test]
fn what_outbox_says_of_a_large_message_costs_little() {
    let disk = Arc::new(MemoryDisk::new());
    let store = Store::open_on(disk.clone(), Options::new("")).expect("a store");
    let address = || Address { local: "a".into(), domain: Domain::new("far.example") };
    let content = [&text(300)[..], &noise(6 << 20)].concat();
    let outgoing = Outgoing {
        reverse_path: ReversePath::Null,
        parameters: Default::default(),
        recipients: vec![address().into()],
        signatures: Vec::new(),
        not_before: Timestamp(90),
    };
    let (outgoing, copies, now) = (vec![outgoing], Vec::new(), Timestamp(90));
    let sent = Some(target(MailboxId(3), &[]));
    let enqueue = Enqueue { body: body(&store, &content), outgoing, copies, sent, now };
    block_on(store.apply(Op::Enqueue(enqueue))).expect("queued");
    let outbox = mailbox(&store, OUTBOX_NAME).expect("there").id;
    let first = rows(&store, outbox).remove(0);
    assert_eq!((first.body, first.bytes), (rows(&store, MailboxId(3))[0].body, content.len() as u64));
    let written = || disk.counts(Part::Database).bytes + disk.counts(Part::Journal).bytes;
    let before = written();
    for attempt in 1..=5 {
        let outcomes = vec![(address(), Outcome::Deferred(format!("451 not the {attempt}. time")))];
        let (entry, next_due, now) = (QueueId(1), Timestamp(90 + attempt), Timestamp(90 + attempt));
        let (file, forward, notice, delay_told) = (Vec::new(), Vec::new(), None, false);
        let settle = Settle { entry, outcomes, next_due, file, forward, notice, delay_told, now };
        block_on(store.apply(Op::Settle(settle))).expect("settled");
    }
    let row = rows(&store, outbox).remove(0);
    let shown = whole(&store, row.body);
    assert!(shown.ends_with(&content) && shown.starts_with(b"Hauspost-Status: waiting; next attempt"), "the head");
    assert_eq!(row.bytes, shown.len() as u64);
    assert_eq!(block_on(store.read(move |snapshot| snapshot.body_thread(row.body))), Ok(ThreadId(first.body.0)));
    store.close().expect("closed");
    assert!(written() - before < 300 << 10, "{} bytes", written() - before);
    let store = Store::open_on(disk, Options::new("")).expect("a store");
    assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
    let bodies = move |snapshot: &Snapshot| snapshot.bodies(BodyId(0), 10);
    assert_eq!(block_on(store.read(bodies)).expect("readable").len(), 2, "one, and what is said of it");
    let which = Expungeable::These(vec![row.uid]);
    block_on(store.apply(Op::Expunge(Expunge { mailbox: outbox, which }))).expect("taken back");
    assert_eq!(block_on(store.read(bodies)), Ok(Vec::new()), "nothing refers to it any more, in Sent neither");
    assert_eq!(block_on(store.read(|snapshot| snapshot.queue(QueueId(0), 9))), Ok(Vec::new()));
    assert_eq!(rows(&store, MailboxId(3)), []);
}

/// Bodies of one Op share pages: each has to find its own bytes again.
#[test]
fn a_change_and_what_is_told_about_it_are_both_there() {
    let disk = Arc::new(MemoryDisk::new());
    let options = Options { ring_bytes: 1 << 20, ..Options::new("") };
    let store = Store::open_on(disk.clone(), options.clone()).expect("a store");
    let told = |message: NewBody, notice: NewBody, mailbox| {
        let (internal_date, now) = (Timestamp(5), Timestamp(6));
        let targets = vec![target(mailbox, &[])];
        let change = Box::new(Op::Deliver(Deliver { body: message, targets, internal_date, now }));
        block_on(store.apply(Op::Told { change, notice, to: NoticeTo::Owner(target(MailboxId(2), &[])), now }))
    };
    let sizes = [(3_000, 700), (17, 100), (60_000, 3_000), (1 << 20, 2_000), (900, 16_000), (0, 1)];
    for (message, notice) in sizes {
        let done = told(body(&store, &noise(message)), body(&store, &text(notice)), INBOX).expect("applied");
        assert!(matches!(done, Done::Delivered(_)));
    }
    assert_eq!(told(body(&store, b"x"), body(&store, b"y"), MailboxId(999)), Err(Trouble::NotFound));
    let large = || body(&store, &noise(1 << 20));
    assert_eq!(told(large(), large(), MailboxId(999)), Err(Trouble::NotFound));
    let check = |store: &Store| {
        let (messages, notices) = (rows(store, INBOX), rows(store, MailboxId(2)));
        assert_eq!((messages.len(), notices.len()), (sizes.len(), sizes.len()));
        for (at, (message, notice)) in sizes.into_iter().enumerate() {
            assert!(whole(store, messages[at].body) == noise(message), "message {at}");
            assert!(whole(store, notices[at].body) == text(notice), "notice {at}");
        }
    };
    check(&store);
    store.close().expect("closed");
    check(&Store::open_on(disk, options).expect("a store"));
}

/// Many bodies that lie side by side go together: what lies between them and is still wanted stays.
#[test]
fn expunging_many_leaves_what_others_show() {
    let store = Store::in_memory().expect("a store");
    let other = mailbox(&store, "Archive").expect("Archive").id;
    let bytes = |number: usize| text(300 + 977 * number);
    let arriving = noise(600_000);
    let mut writer = store.body_writer();
    for number in 0..40 {
        if number == 20 {
            // Its pieces are on the disk, under a number between the others.
            block_on(writer.write(&arriving)).expect("taken in");
        }
        let everywhere =
            if number % 5 == 3 { vec![target(INBOX, &[]), target(other, &[])] } else { vec![target(INBOX, &[])] };
        deliver(&store, &bytes(number), everywhere).expect("delivered");
    }
    // Twice in the mailbox that is emptied.
    let twice = Copy { from: INBOX, uids: vec![Uid(1), Uid(2)], to: INBOX, remove: false, now: Timestamp(7) };
    block_on(store.apply(Op::Copy(twice))).expect("copied");
    let expunge = |uids: Vec<Uid>| Op::Expunge(Expunge { mailbox: INBOX, which: Expungeable::These(uids) });
    let all = rows(&store, INBOX).iter().map(|row| row.uid).collect();
    block_on(store.apply(expunge(all))).expect("expunged");
    let body =
        block_on(writer.finish(BodyIndex { envelope: b"(NIL)".to_vec(), ..BodyIndex::default() })).expect("a body");
    let targets = vec![target(INBOX, &[])];
    let late = Op::Deliver(Deliver { body, targets, internal_date: Timestamp(8), now: Timestamp(9) });
    block_on(store.apply(late)).expect("delivered");
    let [late] = &rows(&store, INBOX)[..] else { panic!("one message") };
    assert!(whole(&store, late.body) == arriving, "what arrived meanwhile is whole");
    let kept: Vec<Vec<u8>> = rows(&store, other).iter().map(|row| whole(&store, row.body)).collect();
    assert!(
        kept == (0..40).filter(|number| number % 5 == 3).map(bytes).collect::<Vec<_>>(),
        "and what another mailbox shows"
    );
    let bodies = block_on(store.read(|snapshot| snapshot.bodies(BodyId(0), 100))).expect("bodies");
    assert_eq!(bodies.len(), 9, "the rest is gone");
    assert_eq!(block_on(store.read(|snapshot| snapshot.check())), Ok(vec![]), "with all that belonged to it");
}

#[test]
fn mailboxes_are_made_renamed_and_deleted() {
    let store = Store::in_memory().expect("a store");
    let create = |name: &str| block_on(store.apply(Op::CreateMailbox { name: name.into(), special_use: None }));
    let rename = |from: &str, to: &str| block_on(store.apply(Op::RenameMailbox { from: from.into(), to: to.into() }));
    let delete = |name: &str| block_on(store.apply(Op::DeleteMailbox { name: name.into() }));
    create("a/b/c").expect("created with its parents");
    assert!(mailbox(&store, "a/b").is_some());
    assert_eq!(create("inbox"), Err(Trouble::Exists));
    assert!(matches!(delete("a/b"), Err(Trouble::Refused(_))), "there is a mailbox inside");
    assert!(matches!(delete("INBOX"), Err(Trouble::Refused(_))));
    assert_eq!(delete("nothing"), Err(Trouble::NotFound));
    let before = mailbox(&store, "a/b/c").expect("there");
    assert!(matches!(rename("a", "a/d"), Err(Trouble::Refused(_))));
    rename("a", "new/a").expect("renamed");
    let after = mailbox(&store, "new/a/b/c").expect("moved along");
    assert_eq!((after.id, after.uid_validity), (before.id, before.uid_validity));
    assert!(mailbox(&store, "a").is_none() && mailbox(&store, "new").is_some());
    delete("new/a/b/c").expect("deleted");
    create("new/a/b/c").expect("made again");
    let again = mailbox(&store, "new/a/b/c").expect("there");
    assert!(again.uid_validity > before.uid_validity && again.id != before.id);

    deliver(&store, b"x", vec![target(INBOX, &["k"])]).expect("delivered");
    deliver(&store, b"y", vec![target(INBOX, &[])]).expect("delivered");
    rename("INBOX", "old").expect("RFC 3501 section 6.3.5");
    let (inbox, old) = (mailbox(&store, "INBOX").expect("stays"), mailbox(&store, "old").expect("made"));
    assert_eq!((inbox.messages, inbox.uid_next, old.messages), (0, Uid(3), 2));
    assert_eq!(old.keywords, ["k"]);
    assert_eq!(rows(&store, old.id)[0].keywords, 1);
    let changes = block_on(store.read(|snapshot| snapshot.changes_since(INBOX, ModSeq(0)))).expect("readable");
    assert_eq!(changes.expunged, [Uid(1), Uid(2)]);
}

#[test]
fn keywords_are_named_once_and_bounded() {
    let store = Store::in_memory().expect("a store");
    let names: Vec<String> = (0..64).map(|n| format!("k{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    deliver(&store, b"x", vec![target(INBOX, &names)]).expect("delivered");
    deliver(&store, b"x", vec![target(INBOX, &["K5"])]).expect("known in any case");
    let refused = deliver(&store, b"x", vec![target(INBOX, &["one more"])]);
    assert!(matches!(refused, Err(Trouble::Refused(_))));
    assert_eq!(rows(&store, INBOX).iter().map(|row| row.keywords).collect::<Vec<_>>(), [u64::MAX, 1 << 5]);
    assert_eq!(mailbox(&store, "INBOX").expect("there").uid_next, Uid(3), "a refusal leaves no trace");
}

#[test]
fn mail_that_was_answered_for_can_be_seen() {
    let store = Store::in_memory().expect("a store");
    for there in 1..300 {
        deliver(&store, b"x", vec![target(INBOX, &[])]).expect("delivered");
        assert_eq!(mailbox(&store, "INBOX").map(|inbox| inbox.messages), Some(there));
    }
}

/// To mail it comes soon after.
#[test]
fn a_bell_rings_with_the_answer() {
    let store = Store::in_memory().expect("a store");
    let mut inbox = store.bell(Watched::Mailbox(INBOX));
    let mut list = store.bell(Watched::MailboxList);
    deliver(&store, b"x", vec![target(INBOX, &[])]).expect("delivered");
    inbox.wait();
    assert!(!inbox.take_ring() && !list.take_ring());
    let flags = Flags { system: SystemFlags::SEEN, keywords: Vec::new() };
    let seen = SetFlags { mailbox: INBOX, uids: vec![Uid(1)], change: FlagChange::Add, flags, unchanged_since: None };
    block_on(store.apply(Op::SetFlags(seen))).expect("applied");
    assert!(inbox.take_ring() && !list.take_ring());
    block_on(store.apply(Op::Subscribe { name: "Junk".into(), subscribed: false })).expect("applied");
    assert!(!inbox.take_ring() && list.take_ring());
}

#[test]
fn a_full_disk_refuses_mail_and_nothing_else() {
    let disk = Arc::new(MemoryDisk::new());
    let store = Store::open_on(disk.clone(), Options { ring_bytes: 1 << 20, ..Options::new("") }).expect("a store");
    deliver(&store, b"x", vec![target(INBOX, &[])]).expect("delivered");
    disk.set_free_bytes(1 << 20);
    assert_eq!(deliver(&store, b"y", vec![target(INBOX, &[])]), Err(Trouble::Full));
    let mut writer = store.body_writer();
    assert_eq!(block_on(writer.write(&noise(400_000))), Err(Trouble::Full), "staging");
    let expunge = Expunge { mailbox: INBOX, which: Expungeable::These(vec![Uid(1)]) };
    let done = block_on(store.apply(Op::Expunge(expunge))).expect("the owner can make room");
    assert!(matches!(done, Done::Expunged { uids, .. } if uids == [Uid(1)]));
    disk.set_free_bytes(1 << 40);
    deliver(&store, b"y", vec![target(INBOX, &[])]).expect("delivered");
}

#[test]
fn the_queue_is_held_released_retried_and_emptied() {
    let store = Store::in_memory().expect("a store");
    let mut bell = store.bell(Watched::Queue);
    let address = |local: &str| Address { local: local.into(), domain: Domain::new("far.example") };
    let enqueue = |due| {
        let parameters = MailParameters { envelope_id: Some("id".into()), require_tls: true, ..Default::default() };
        let original = Some("rfc822;a@far.example".to_owned());
        let told = RcptParameters { notify: Notify::DELAY, original };
        let recipients = vec![Recipient { address: address("a"), parameters: told }, address("b").into()];
        let (body, reverse_path) = (body(&store, b"Subject: x\r\n\r\n"), ReversePath::Null);
        let (copies, now) = (vec![target(MailboxId(3), &[])], Timestamp(1));
        let not_before = Timestamp(due);
        let outgoing = vec![Outgoing { reverse_path, parameters, recipients, signatures: Vec::new(), not_before }];
        let done =
            block_on(store.apply(Op::Enqueue(Enqueue { body, outgoing, copies, sent: None, now }))).expect("queued");
        let Done::Enqueued(ids) = done else { panic!("{done:?}") };
        ids[0]
    };
    let (one, two) = (enqueue(10), enqueue(20));
    let order = || {
        let order = block_on(store.read(|snapshot| snapshot.queue_order(None, 10))).expect("readable");
        assert_eq!(block_on(store.read(Snapshot::check)), Ok(Vec::new()));
        order.into_iter().map(|(due, id)| (due.0, id)).collect::<Vec<_>>()
    };
    let entry = |id| block_on(store.read(move |snapshot| snapshot.queue_entry(id))).expect("readable").expect("there");
    let mut apply = |op| {
        bell.take_ring();
        (block_on(store.apply(op)), bell.take_ring())
    };
    let applied = Ok(Done::Applied);
    let later = vec![(address("a"), Outcome::Deferred("451 later".into()))];
    let (file, forward, notice) = Default::default();
    let settle = Settle {
        entry: one,
        outcomes: later,
        next_due: Timestamp(30),
        file,
        forward,
        notice,
        delay_told: true,
        now: Timestamp(7),
    };
    assert_eq!(apply(Op::Settle(settle)), (applied.clone(), true));
    assert_eq!(apply(Op::Hold { entry: one }), (applied.clone(), true));
    assert_eq!(order(), [(20, two)]);
    assert_eq!(apply(Op::Retry { entry: None, due: Timestamp(5) }), (applied.clone(), true));
    assert_eq!(order(), [(5, two)], "what is held stays held");
    assert_eq!(apply(Op::Retry { entry: Some(one), due: Timestamp(5) }), (applied.clone(), false));
    let held = entry(one);
    assert_eq!((held.held, held.due, held.recipients[0].attempts), (true, Timestamp(30), 1));
    assert_eq!((held.recipients[0].last_attempt, held.recipients[1].last_attempt), (Some(Timestamp(7)), None));
    assert_eq!(apply(Op::Release { entry: one, due: Timestamp(4) }), (applied.clone(), true));
    assert_eq!(order(), [(4, one), (5, two)]);
    assert_eq!(apply(Op::Retry { entry: Some(two), due: Timestamp(3) }), (applied.clone(), true));
    let told = entry(two);
    assert_eq!(told.parameters.envelope_id.as_deref(), Some("id"));
    assert!(told.parameters.require_tls && told.recipients[0].parameters.notify == Notify::DELAY);
    let notice = Some((body(&store, b"Subject: removed\r\n\r\n"), NoticeTo::Owner(target(INBOX, &[]))));
    let now = Timestamp(9);
    assert_eq!(apply(Op::RemoveQueueEntry { entry: two, notice, now }), (applied.clone(), true));
    assert_eq!(apply(Op::RemoveQueueEntry { entry: two, notice: None, now }), (Err(Trouble::NotFound), false));
    assert_eq!(order(), [(4, one)]);
    assert_eq!((rows(&store, INBOX).len(), rows(&store, MailboxId(3)).len()), (1, 2), "a notice, and the copies stay");
    assert_eq!(apply(Op::NoteTime { now: Timestamp(99) }), (applied, false));
    assert_eq!(block_on(store.read(Snapshot::latest_time)), Ok(Timestamp(99)));
}

#[test]
fn a_special_use_is_given_once_and_taken_back() {
    let store = Store::in_memory().expect("a store");
    let mut list = store.bell(Watched::MailboxList);
    let set = |name: &str, special_use| block_on(store.apply(Op::SetSpecialUse { name: name.into(), special_use }));
    assert!(matches!(set("Trash", Some(SpecialUse::Junk)), Err(Trouble::Refused(_))), "Junk has it");
    assert!(matches!(set("INBOX", Some(SpecialUse::Junk)), Err(Trouble::Refused(_))));
    assert_eq!(set("nothing", None), Err(Trouble::NotFound));
    set("Junk", None).expect("taken back");
    set("Trash", Some(SpecialUse::Junk)).expect("given");
    assert!(list.take_ring());
    assert_eq!(mailbox(&store, "Junk").expect("there").special_use, None);
    assert_eq!(mailbox(&store, "Trash").expect("there").special_use, Some(SpecialUse::Junk));
}

/// A start costs one checkpoint, and only when something changes.
#[test]
fn opening_wears_the_card_once() {
    let disk = MemoryDisk::new();
    let options = Options { ring_bytes: 64 << 10, ..Options::new("") };
    let open = || Store::open_on(Arc::new(disk.clone()), options.clone()).expect("a store");
    open().close().expect("closed");
    let syncs = || disk.counts(Part::Database).syncs;
    let store = open();
    let before = syncs();
    assert!(rows(&store, INBOX).is_empty());
    assert_eq!(syncs(), before, "nothing has changed");
    deliver(&store, b"first", vec![target(INBOX, &[])]).expect("delivered");
    assert!(syncs() > before);
    // Among the first the file grows, which is a flush as well.
    for _ in 0..2 {
        deliver(&store, b"more", vec![target(INBOX, &[])]).expect("delivered");
    }
    let marked = syncs();
    for _ in 0..4 {
        deliver(&store, b"more", vec![target(INBOX, &[])]).expect("delivered");
    }
    assert_eq!(syncs(), marked);
}

#[test]
fn a_lost_or_locked_file_gets_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { ring_bytes: 64 << 10, ..Options::new(folder.path().join("store")) };
    let sentence = |result: Result<Store, Trouble>| match result {
        Err(Trouble::Failed(sentence)) => sentence,
        _ => panic!("opened"),
    };
    let store = Store::open(options.clone()).expect("a store");
    deliver(&store, b"x", vec![target(INBOX, &[])]).expect("delivered");
    assert!(sentence(Store::open(options.clone())).contains("in use by another process"));
    store.close().expect("closed");
    drop(store);
    let (database, journal) = (options.dir.join("hauspost.redb"), options.dir.join("journal"));
    std::fs::remove_file(&journal).expect("removed");
    for count in 1..3 {
        let store = Store::open(options.clone()).expect("after a close the journal is redundant");
        assert_eq!(rows(&store, INBOX).len(), count);
        deliver(&store, b"y", vec![target(INBOX, &[])]).expect("there is a journal again");
        store.close().expect("closed");
        drop(store);
        std::fs::write(&journal, b"").expect("cut off");
    }
    std::fs::remove_file(&database).expect("removed");
    assert!(sentence(Store::open(options)).contains("no `hauspost.redb`"));
}
