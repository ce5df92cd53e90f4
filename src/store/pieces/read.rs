//! The compressed bytes of a body, read from the rows that they lie in.
//!
//! Receives the table of pieces and what the row of the body says; hands on bytes, in order. A piece that is not there is damage.

use super::super::Trouble;
use super::super::body::BodyRow;
use super::super::damage::damaged_row;
use crate::mail::message::BodyId;
use redb::ReadOnlyTable;
use std::ops::Range;

/// Compressed bytes of a body, read in order; the piece read last is kept for the chunk that begins in it.
pub struct Pieces<'a> {
    table: &'a ReadOnlyTable<(u64, u32), &'static [u8]>,
    body: BodyId,
    ranges: std::iter::Peekable<Box<dyn Iterator<Item = (u32, Range<u64>)>>>,
    /// Bytes of the rows that were looked up.
    pub row_bytes: usize,
}

impl<'a> Pieces<'a> {
    pub fn new(table: &'a ReadOnlyTable<(u64, u32), &'static [u8]>, body: BodyId, row: &BodyRow) -> Pieces<'a> {
        let ranges: Box<dyn Iterator<Item = _>> = Box::new(row.pieces());
        Pieces { table, body, ranges: ranges.peekable(), row_bytes: 0 }
    }

    /// Appends these. Each range begins at or behind the end of the one before.
    pub fn read(&mut self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Trouble> {
        while let Some((number, piece)) = self.ranges.peek().cloned() {
            if piece.start >= range.end {
                break;
            }
            if piece.end > range.start {
                // The body is there: a piece that is not has been lost, which is another thing than an expunged message.
                let damage = || damaged_row("pieces", (self.body.0, number));
                let row = self.table.get((self.body.0, number))?.ok_or_else(damage)?;
                let from = range.start.saturating_sub(piece.start) as usize;
                let to = (range.end.min(piece.end) - piece.start) as usize;
                self.row_bytes += row.value().len();
                out.extend_from_slice(row.value().get(from..to).ok_or_else(damage)?);
            }
            if piece.end > range.end {
                break;
            }
            self.ranges.next();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::ThreadId;
    use crate::store::body::Chunk;
    use crate::store::tables::PIECES;
    use redb::ReadableDatabase;

    /// Sessions took the lost piece for a message that somebody had expunged, and nothing was logged.
    #[test]
    fn a_lost_piece_is_damage() {
        let database =
            redb::Builder::new().create_with_backend(redb::backends::InMemoryBackend::new()).expect("a database");
        let txn = database.begin_write().expect("a transaction");
        txn.open_table(PIECES).expect("a table").insert((1, 0), &[7u8; 16_340][..]).expect("a piece");
        txn.commit().expect("committed");
        let txn = database.begin_read().expect("a transaction");
        let chunk = Chunk { bytes: 30_000, stored: 30_000, crc: 0, stored_crc: None };
        let row = BodyRow {
            refs: 1,
            bytes: 30_000,
            crc: 0,
            thread: ThreadId(1),
            thread_keys: Vec::new(),
            first_piece: 0,
            chunks: vec![chunk],
            base: None,
        };
        let table = txn.open_table(PIECES).expect("a table");
        let mut pieces = Pieces::new(&table, BodyId(1), &row);
        let mut out = Vec::new();
        assert_eq!(pieces.read(0..10_000, &mut out), Ok(()));
        assert_eq!(out, vec![7; 10_000]);
        assert!(matches!(pieces.read(10_000..20_000, &mut out), Err(Trouble::Failed(_))));
    }
}
