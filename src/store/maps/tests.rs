//! Maps against the rows that they stand for.

use super::*;
use crate::mail::index::BodyIndex;
use crate::mail::message::{Flags, INBOX};
use crate::store::{Deliver, Expunge, Expungeable, Op, Store, Target};
use crate::wire::date::Timestamp;
use smol::future::block_on;

fn known(mailbox: u32, modseq: u64, uids: &[u32]) -> Known {
    let map = UidMap::new(uids.iter().copied().map(Uid));
    Known { mailbox: MailboxId(mailbox), modseq: ModSeq(modseq), uid_next: Uid(100), map }
}

#[test]
fn what_is_newest_and_small_is_kept() {
    let maps = Maps::default();
    let at = |mailbox| maps.find(MailboxId(mailbox)).map(|known| known.modseq.0);
    maps.keep(known(1, 8, &[1, 3]));
    maps.keep(known(1, 7, &[1, 3, 4]));
    assert_eq!(at(1), Some(8), "an older snapshot was read more slowly");
    for mailbox in 2..=UID_MAPS_MAX as u32 + 1 {
        maps.keep(known(mailbox, 1, &[9]));
    }
    assert_eq!((at(1), at(2)), (None, Some(1)), "the one kept first has made room");
    let torn: Vec<u32> = (0..=UID_MAP_RUNS_MAX as u32).map(|number| 1 + 2 * number).collect();
    maps.keep(known(2, 2, &torn));
    assert_eq!(at(2), None, "too large, and what was known before is older");
    maps.clear();
    assert_eq!(at(3), None);
}

/// What is in memory is made different from the rows, to see which of them is looked at.
#[test]
fn a_mailbox_that_was_opened_is_brought_up_to_date() {
    let store = Store::in_memory().expect("a store");
    let deliver = || {
        let mut writer = store.body_writer();
        block_on(writer.write(b"Subject: x\r\n\r\ny\r\n")).expect("taken in");
        let index = BodyIndex { envelope: b"(NIL)".to_vec(), ..BodyIndex::default() };
        let body = block_on(writer.finish(index)).expect("a body");
        let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
        let deliver = Deliver { body, targets, internal_date: Timestamp(1), now: Timestamp(2) };
        block_on(store.apply(Op::Deliver(deliver))).expect("delivered");
    };
    let expunge = |uids: &[u32]| {
        let which = Expungeable::These(uids.iter().copied().map(Uid).collect());
        block_on(store.apply(Op::Expunge(Expunge { mailbox: INBOX, which }))).expect("expunged");
    };
    let uids = || -> Vec<u32> {
        let map = block_on(store.read(|snapshot| snapshot.uid_map(INBOX))).expect("a map");
        map.uids().map(|uid| uid.0).collect()
    };
    let replace = |uids: &[u32]| {
        let map = UidMap::new(uids.iter().copied().map(Uid));
        let known = store.front.shared.maps.find(INBOX).expect("known");
        store.front.shared.maps.keep(Known { map, ..known });
    };
    assert_eq!(uids(), []);
    (0..9).for_each(|_| deliver());
    assert_eq!(uids(), [1, 2, 3, 4, 5, 6, 7, 8, 9], "without gaps");
    expunge(&[2, 3, 7]);
    assert_eq!(uids(), [1, 4, 5, 6, 8, 9]);
    replace(&[11, 12, 13, 14, 15, 16]);
    assert_eq!(uids(), [11, 12, 13, 14, 15, 16], "known: nothing is read");
    replace(&[1, 4, 5]);
    assert_eq!(uids(), [1, 4, 5, 6, 8, 9], "not believed");
    replace(&[1, 3, 4, 5, 6, 9]);
    expunge(&[9, 1]);
    deliver();
    assert_eq!(uids(), [3, 4, 5, 6, 10], "brought up to date");
    let missing = block_on(store.read(|snapshot| snapshot.uid_map(MailboxId(77))));
    assert_eq!(missing, Err(Trouble::NotFound));
}
