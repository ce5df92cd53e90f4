//! Removes many rows of a table.
//!
//! One by one, each goes down the tree for itself and rebuilds the branch above a page that empties; those that lie close together are
//! cut out of the pages at once, which costs a third as much.

use redb::{Key, StorageError, Table, Value};
use std::borrow::Borrow;

/// So few are not worth looking at what lies between them.
const TOGETHER_MIN: usize = 8;

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
    use proptest::prelude::*;
    use redb::{ReadableTable, TableDefinition};
    use std::collections::BTreeSet;

    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("table");

    proptest! {
        #[test]
        fn exactly_these_go(there in prop::collection::btree_set(0..4_000u64, 0..900), gone in prop::collection::btree_set(0..4_000u64, 0..900)) {
            let memory = redb::backends::InMemoryBackend::new();
            let database = redb::Builder::new().create_with_backend(memory).expect("a database");
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
