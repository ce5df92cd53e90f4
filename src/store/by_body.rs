//! One table whose keys are bodies, as a snapshot reads it: mostly in their order.
//!
//! Receives a body; hands on its row. A mailbox is listed and searched message by message, and most messages came in the order of
//! their bodies: the row that is wanted next lies beside the last one, and stepping there costs a third of coming down from the root.

use super::Trouble;
use redb::{AccessGuard, Range, ReadOnlyTable};
use std::cell::Cell;

/// Steps that are taken rather than coming down anew, over rows of other mailboxes, of what was sent meanwhile. So few hardly ever lead
/// over a page on which the row itself does not lie, and which might be damaged.
const STEPS_MAX: u64 = 4;

/// See [`self`].
pub struct ByBody {
    table: ReadOnlyTable<u64, &'static [u8]>,
    /// What was asked for last; the rows, if any, go on behind it.
    last: Cell<u64>,
    rows: Cell<Option<Range<'static, u64, &'static [u8]>>>,
}

impl ByBody {
    /// Nothing is read.
    pub fn new(table: ReadOnlyTable<u64, &'static [u8]>) -> ByBody {
        ByBody { table, last: Cell::new(u64::MAX), rows: Cell::new(None) }
    }

    /// The row of that body, if it is there.
    pub fn get(&self, body: u64) -> Result<Option<AccessGuard<'static, &'static [u8]>>, Trouble> {
        let before = self.last.replace(body);
        // What goes wrong on the way leaves no rows to go on with.
        let rows = self.rows.take();
        if body == before {
            self.rows.set(rows);
            return Ok(self.table.get(body)?);
        }
        if body < before || body - before > STEPS_MAX {
            return Ok(self.table.get(body)?);
        }
        let mut rows = match rows {
            Some(rows) => rows,
            None => self.table.range(body..)?,
        };
        for row in rows.by_ref().take(STEPS_MAX as usize) {
            match row {
                Ok((key, value)) if key.value() == body => {
                    self.rows.set(Some(rows));
                    return Ok(Some(value));
                }
                Ok((key, _)) if key.value() < body => {}
                _ => break,
            }
        }
        Ok(self.table.get(body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redb::{Database, ReadableDatabase, TableDefinition, backends::InMemoryBackend};
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn in_whatever_order_they_are_asked_for_rows_are_those_of_the_table(
            there: BTreeSet<u8>,
            asked in prop::collection::vec((any::<u8>(), 0u8..12), 0..12),
        ) {
            const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
            let database = Database::builder().create_with_backend(InMemoryBackend::new()).expect("made");
            let txn = database.begin_write().expect("begun");
            let mut table = txn.open_table(TABLE).expect("opened");
            for key in &there {
                // So long that they lie in several pages.
                table.insert(u64::from(*key), &[*key; 100][..]).expect("inserted");
            }
            drop(table);
            txn.commit().expect("committed");
            let by_body = ByBody::new(database.begin_read().expect("begun").open_table(TABLE).expect("opened"));
            // Runs from anywhere, each row twice now and then.
            for body in asked.iter().flat_map(|(first, count)| (0..*count).map(|n| first.saturating_add(n - n % 5 / 4))) {
                let row = by_body.get(body.into()).expect("read").map(|row| row.value().to_vec());
                prop_assert_eq!(row, there.contains(&body).then(|| vec![body; 100]));
            }
        }
    }
}
