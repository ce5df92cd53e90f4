//! Adds and removes rows of a table, many at once.
//!
//! One by one, each goes down the tree for itself and rebuilds a page, or the branch above one that empties; those that lie close together
//! are put into the pages or cut out of them at once, which costs a third as much.

use redb::{CursorError, Key, StorageError, Table, Value};
use std::borrow::Borrow;
use std::ops::Bound;

/// So few are not worth looking at what lies between them, or beside them.
const TOGETHER_MIN: usize = 8;

/// Adds these rows, or replaces those that are there. Their keys should ascend: what does not costs more.
pub fn put<'v, K, V>(
    table: &mut Table<'_, K, V>,
    mut rows: impl ExactSizeIterator<Item = (K, V::SelfType<'v>)>,
) -> Result<(), StorageError>
where
    K: Key + for<'k> Value<SelfType<'k> = K> + Borrow<K> + Copy + 'static,
    V: Value + 'static,
{
    let mut next = rows.next();
    while rows.len() >= TOGETHER_MIN
        && let Some((first, _)) = &next
    {
        let mut cursor = table.lower_bound_mut(Bound::Included(*first))?;
        while let Some((key, value)) = &next {
            match cursor.insert_before(*key, value) {
                Ok(()) => next = rows.next(),
                Err(CursorError::Storage(error)) => return Err(error),
                // A row of this key is there, or one that lies between.
                Err(_) => break,
            }
        }
        cursor.close()?;
        if let Some((key, value)) = next {
            table.insert(key, value)?;
            next = rows.next();
        }
    }
    if let Some((key, _)) = &next {
        own(table, *key)?;
    }
    for (key, value) in next.into_iter().chain(rows) {
        table.insert(key, value)?;
    }
    Ok(())
}

/// Makes the page on which a row of this key lies, or would lie, one that the transaction may change: it is copied as it is. A row that is
/// added to a page of earlier transactions has redb build that page anew, row by row.
pub fn own<K, V>(table: &mut Table<'_, K, V>, key: K) -> Result<(), StorageError>
where
    K: Key + for<'k> Value<SelfType<'k> = K> + Borrow<K> + 'static,
    V: Value + 'static,
{
    table.get_mut(key).map(drop)
}

/// Removes these keys, which ascend; those that are not there are passed over. `is_close` says of two neighbours among them whether it
/// is worth looking at what may lie between.
pub fn cut<K, V>(table: &mut Table<'_, K, V>, keys: &[K], is_close: impl Fn(K, K) -> bool) -> Result<(), StorageError>
where
    K: Key + for<'k> Value<SelfType<'k> = K> + Borrow<K> + Ord + Copy + 'static,
    V: Value + 'static,
{
    for run in keys.chunk_by(|one, other| is_close(*one, *other)) {
        match run {
            [first, .., last] if run.len() >= TOGETHER_MIN => {
                table.retain_in(*first..=*last, |key, _| run.binary_search(&key).is_err())?;
            }
            _ => {
                for key in run {
                    table.remove(*key)?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::BodyIndex;
    use crate::mail::message::{BodyId, Flags, INBOX, Uid};
    use crate::store::{Copy, Deliver, Op, Store, Target};
    use crate::wire::date::Timestamp;
    use proptest::prelude::*;
    use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
    use smol::future::block_on;
    use std::collections::{BTreeMap, BTreeSet};

    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("table");

    fn database() -> redb::Database {
        let memory = redb::backends::InMemoryBackend::new();
        redb::Builder::new().create_with_backend(memory).expect("a database")
    }

    /// More than is put at once, and all of it as one by one would have made it.
    #[test]
    fn thousands_are_copied_and_moved_in_their_order() {
        let store = Store::in_memory().expect("a store");
        for number in 0..5 {
            let mut writer = store.body_writer();
            block_on(writer.write(format!("Subject: {number}\r\n\r\n").as_bytes())).expect("taken in");
            let index = BodyIndex { envelope: b"(NIL)".to_vec(), ..BodyIndex::default() };
            let body = block_on(writer.finish(index)).expect("a body");
            let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
            let deliver = Deliver { body, targets, internal_date: Timestamp(1), now: Timestamp(2) };
            block_on(store.apply(Op::Deliver(deliver))).expect("delivered");
        }
        let archive =
            block_on(store.read(|snapshot| snapshot.mailbox_named("Archive"))).expect("read").expect("there").id;
        let rows = |mailbox| {
            block_on(store.read(move |snapshot| snapshot.messages(mailbox, Uid(1), Uid(u32::MAX), usize::MAX)))
                .expect("read")
        };
        let copy = |to, remove| {
            let uids = rows(INBOX).iter().map(|row| row.uid).collect();
            block_on(store.apply(Op::Copy(Copy { from: INBOX, uids, to, remove, now: Timestamp(7) }))).expect("copied");
        };
        (0..9).for_each(|_| copy(INBOX, false));
        copy(archive, true);
        let found = rows(archive);
        assert_eq!((rows(INBOX).len(), found.len()), (0, 5 << 9));
        assert!(found.iter().map(|row| row.uid.0).eq(1..=5 << 9));
        let bodies: Vec<BodyId> = found.iter().map(|row| row.body).collect();
        assert!(bodies.chunks(5).all(|five| five == &bodies[..5]), "in the order that they had");
        assert_eq!(block_on(store.read(|snapshot| snapshot.check())), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn what_is_put_is_there(
            there in prop::collection::btree_set(0..4_000u64, 0..900),
            runs in prop::collection::vec((0..4_000u64, 0..300usize, 1..4usize, any::<bool>()), 0..4),
        ) {
            let database = database();
            let txn = database.begin_write().expect("a transaction");
            let mut table = txn.open_table(TABLE).expect("a table");
            let mut wanted: BTreeMap<u64, Vec<u8>> = there.iter().map(|key| (*key, vec![7; *key as usize % 700])).collect();
            for (key, value) in &wanted {
                table.insert(key, &value[..]).expect("inserted");
            }
            for (number, (first, count, step, falls)) in runs.into_iter().enumerate() {
                let keys = (first..).step_by(step).take(count);
                let mut rows: Vec<_> = keys.map(|key| (key, vec![number as u8; key as usize % 300])).collect();
                if falls {
                    rows.reverse();
                }
                put(&mut table, rows.iter().map(|(key, value)| (*key, &value[..]))).expect("put");
                wanted.extend(rows);
            }
            let found: BTreeMap<_, _> =
                table.iter().expect("rows").map(|row| row.expect("a row")).map(|(key, value)| (key.value(), value.value().to_vec())).collect();
            prop_assert_eq!(table.len().expect("counted"), wanted.len() as u64);
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn exactly_these_go(there in prop::collection::btree_set(0..4_000u64, 0..900), gone in prop::collection::btree_set(0..4_000u64, 0..900)) {
            let database = database();
            let txn = database.begin_write().expect("a transaction");
            let mut table = txn.open_table(TABLE).expect("a table");
            for key in &there {
                table.insert(key, &vec![7; *key as usize % 700][..]).expect("inserted");
            }
            let keys: Vec<u64> = gone.iter().copied().collect();
            cut(&mut table, &keys, |one, other| other - one <= 4).expect("cut");
            let left: BTreeSet<u64> = table.iter().expect("rows").map(|row| row.expect("a row").0.value()).collect();
            prop_assert_eq!(left, &there - &gone);
        }
    }
}
