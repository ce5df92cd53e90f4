//! Tables that most changes leave alone.
//!
//! Receives a table's definition; hands on the table, opened when it is first asked for. To open and close one costs about as
//! much as to change a row of it, in every batch.

use super::super::{Trouble, closed};
use redb::{Key, Table, TableDefinition, Value, WriteTransaction};
use std::cell::OnceCell;

/// A table that is opened, and made if it is not there, when it is needed.
pub struct Rare<'t, K: Key + 'static, V: Value + 'static> {
    txn: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    opened: OnceCell<Table<'t, K, V>>,
}

impl<'t, K: Key + 'static, V: Value + 'static> Rare<'t, K, V> {
    pub fn new(txn: &'t WriteTransaction, definition: TableDefinition<'static, K, V>) -> Rare<'t, K, V> {
        Rare { txn, definition, opened: OnceCell::new() }
    }

    /// The table, to look into.
    pub fn read(&self) -> Result<&Table<'t, K, V>, Trouble> {
        if let Some(table) = self.opened.get() {
            return Ok(table);
        }
        let table = self.txn.open_table(self.definition)?;
        Ok(self.opened.get_or_init(|| table))
    }

    /// The table, to change.
    pub fn write(&mut self) -> Result<&mut Table<'t, K, V>, Trouble> {
        self.read()?;
        self.opened.get_mut().ok_or_else(closed)
    }
}
