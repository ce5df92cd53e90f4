//! Rows that belong to bodies, and how often bodies are referred to.

use super::together::{cut, own, put};
use super::{Tables, lost};
use crate::mail::message::BodyId;
use crate::order;
use crate::store::Trouble;
use crate::store::body::{BodyRow, change_refs};
use crate::store::code::Malformed;
use crate::store::damage::damaged_row;
use crate::store::pieces::PAGE_BYTES;
use crate::store::step::BodyRows;
use crate::store::tables::*;
use redb::{ReadableTable, Table};

/// No more bodies than so many at once: what is known of each is held meanwhile, some hundred bytes.
const TOGETHER_MAX: usize = 1000;
/// Bodies that may lie between two that go together.
const BETWEEN_MAX: u64 = 4;

impl Tables<'_> {
    /// The rows of a new body, or in the place of those it has.
    pub fn insert_body(&mut self, id: BodyId, rows: &BodyRows) -> Result<BodyRow, Trouble> {
        let BodyRows { body, facts, signature } = rows;
        let row = BodyRow::decode(body).map_err(|Malformed| damaged_row("bodies", id.0))?;
        add(&BODIES, &mut self.bodies, id, body)?;
        add(&FACTS, &mut self.facts, id, facts)?;
        if !signature.is_empty() {
            add(&SIGNATURES, &mut self.signatures, id, signature)?;
        }
        for hash in &row.thread_keys {
            let key = thread_place(*hash, id);
            put(&mut self.threads, std::iter::once((key, &encode_thread(key, row.thread))))?;
        }
        Ok(row)
    }

    /// Refers once more to a body.
    pub(super) fn refer(&mut self, body: BodyId) -> Result<(), Trouble> {
        let changed = BODIES.get(&self.bodies, &body.0, |row| change_refs(row, 1))?;
        let changed = changed.flatten().ok_or_else(|| lost_body(body))?;
        BODIES.insert(&mut self.bodies, &body.0, changed)
    }

    /// Refers once less to each of these bodies; at nothing one goes with all that belongs to it.
    pub(super) fn release(&mut self, bodies: &[BodyId], meta: &mut Meta) -> Result<(), Trouble> {
        for some in bodies.chunks(TOGETHER_MAX) {
            let mut gone = Vec::new();
            for body in some {
                let mut next = Some(*body);
                while let Some(body) = next {
                    next = self.release_one(body, &mut gone)?;
                }
            }
            gone.iter().for_each(|(_, row)| meta.give_room(row.stored_bytes()));
            self.remove_rows(gone)?;
        }
        Ok(())
    }

    /// Returns what a body that nothing refers to any more ends with. A body that cannot be read stays behind: who deletes a damaged
    /// message is rid of it.
    fn release_one(&mut self, body: BodyId, gone: &mut Vec<(u64, BodyRow)>) -> Result<Option<BodyId>, Trouble> {
        let changed = BODIES.get(&self.bodies, &body.0, |row| match change_refs(row, -1)? {
            Some(changed) => Ok(Ok(changed)),
            None => BodyRow::decode(row).map(Err),
        });
        match changed {
            Ok(Some(Ok(changed))) => BODIES.insert(&mut self.bodies, &body.0, changed).map(|()| None),
            Ok(Some(Err(row))) => {
                self.bodies.remove(body.0)?;
                // It is older, so that no chain of rows, however made, comes back to where it began.
                let base = row.base.filter(|base| *base < body);
                gone.push((body.0, row));
                Ok(base)
            }
            Ok(None) | Err(Trouble::Failed(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Removes what belongs to bodies whose own rows are gone.
    fn remove_rows(&mut self, mut gone: Vec<(u64, BodyRow)>) -> Result<(), Trouble> {
        order::sort_by_key(&mut gone, |(id, _)| *id);
        for (id, row) in &gone {
            for hash in &row.thread_keys {
                self.threads.remove(thread_place(*hash, BodyId(*id)))?;
            }
        }
        let ids: Vec<u64> = gone.iter().map(|(id, _)| *id).collect();
        cut(&mut self.facts, &ids, |one, other| other - one <= BETWEEN_MAX)?;
        cut(&mut self.signatures, &ids, |one, other| other - one <= BETWEEN_MAX)?;
        let pieces = gone.iter().flat_map(|(id, row)| row.pieces().map(|(number, _)| (*id, number)));
        cut(&mut self.pieces, &pieces.collect::<Vec<_>>(), |(one, _), (other, _)| other - one <= BETWEEN_MAX)?;
        Ok(())
    }

    /// Makes sure that a body can be referred to once more.
    pub fn check_body(&self, body: BodyId) -> Result<(), Trouble> {
        let found = BODIES.get(&self.bodies, &body.0, |row| BodyRow::decode(row).map(|_| ()))?;
        found.ok_or_else(|| lost_body(body))
    }

    /// Pieces of a body that arrives, under a staged mark.
    pub fn stage(&mut self, body: BodyId, pieces: &[(u32, Vec<u8>)], meta: &mut Meta) -> Result<(), Trouble> {
        // Held bodies that come now lie behind them, in pages of their own.
        meta.page_used = PAGE_BYTES;
        self.staged.write()?.insert(body.0, ())?;
        for (number, piece) in pieces {
            self.pieces.insert((body.0, *number), &piece[..])?;
            meta.use_room(piece.len() as u64);
        }
        Ok(())
    }

    /// Frees what was staged of a body that nobody will admit.
    pub fn unstage(&mut self, body: BodyId, meta: &mut Meta) -> Result<(), Trouble> {
        if self.staged.write()?.remove(body.0)?.is_some() {
            for row in self.pieces.extract_from_if((body.0, 0)..=(body.0, u32::MAX), |_, _| true)? {
                meta.give_room(row?.1.value().len() as u64);
            }
        }
        Ok(())
    }

    /// Frees everything that is still marked staged. Returns how many bodies that were.
    pub fn unstage_all(&mut self, meta: &mut Meta) -> Result<usize, Trouble> {
        let staged =
            self.staged.read()?.iter()?.map(|row| row.map(|row| row.0.value())).collect::<Result<Vec<_>, _>>()?;
        for body in &staged {
            self.unstage(BodyId(*body), meta)?;
        }
        Ok(staged.len())
    }
}

/// A row of a new body.
fn add(sealed: &Sealed<u64>, table: &mut Table<'_, u64, &'static [u8]>, id: BodyId, row: &[u8]) -> Result<(), Trouble> {
    own(table, id.0)?;
    sealed.insert(table, &id.0, row.to_vec())
}

fn lost_body(body: BodyId) -> Trouble {
    lost(format_args!("body {}", body.0))
}
