//! Bodies on their way into the new store.
//!
//! Receives bodies as they can be read; writes those that are whole. A body whose row is lost is read as one stream and cut
//! anew. Facts and signature are decided again from the bytes: that is cheaper than to believe what lies beside them.

use super::super::Trouble;
use super::super::apply::Tables;
use super::super::body::{BodyRow, Chunk};
use super::super::pieces::{STAGED_PIECE_BYTES, first_piece, pieces};
use super::super::step::Step;
use super::super::tables::*;
use super::super::threads::{Threaded, thread_of};
use super::pieces::{ReadChunk, Unchunked, read_chunks};
use super::rebuild::{Rebuild, rows_of};
use crate::limits::{BODY_HELD_BYTES_MAX, SALVAGE_TRANSACTION_BYTES};
use crate::mail::index::Indexer;
use crate::mail::message::*;
use std::collections::{BTreeMap, BTreeSet};

impl Rebuild<'_> {
    /// The bodies of all messages and queue entries, with their sizes, in the order in which they came. Something stands
    /// for those that cannot be read.
    pub fn write_bodies(
        &mut self,
        wanted: BTreeMap<BodyId, u64>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Trouble> {
        let all = wanted.len() as u64;
        let mut done = 0;
        let mut wanted = wanted.into_iter().peekable();
        while wanted.peek().is_some() {
            self.write(|rebuild, tables, meta| {
                let mut bytes = 0;
                while let Some((id, size)) = wanted.next_if(|_| bytes < SALVAGE_TRANSACTION_BYTES) {
                    bytes += match rebuild.write_body(id, size, tables, meta)? {
                        Some(bytes) => bytes,
                        None => rebuild.write_broken(id, tables, meta)?,
                    };
                    done += 1;
                }
                Ok(())
            })?;
            progress(done, all);
        }
        Ok(())
    }

    /// Returns how many bytes were written; `None` when the body cannot be read whole.
    fn write_body(
        &self,
        id: BodyId,
        size: u64,
        tables: &mut Tables<'_>,
        meta: &mut Meta,
    ) -> Result<Option<u64>, Trouble> {
        let mut copy = BodyCopy::new(id);
        let row = self.gathered.bodies.get(&id);
        let is_whole = match row {
            Some(row) => self.copy_chunks(&mut copy, row, tables, meta)? && copy.is(row),
            None => self.copy_stream(&mut copy, size, tables, meta)?,
        };
        if !is_whole {
            tables.unstage(id, meta)?;
            return Ok(None);
        }
        copy.finish(row, tables, meta).map(Some)
    }

    fn copy_chunks(
        &self,
        copy: &mut BodyCopy,
        row: &BodyRow,
        tables: &mut Tables<'_>,
        meta: &mut Meta,
    ) -> Result<bool, Trouble> {
        for (chunk, read) in read_chunks(self.source, &self.gathered.pieces, copy.id, row) {
            let Some(ReadChunk { stored, bytes }) = read else { return Ok(false) };
            copy.push(*chunk, &stored, &bytes, tables, meta)?;
        }
        Ok(true)
    }

    /// A body whose row is lost, as long as the message's row says.
    fn copy_stream(
        &self,
        copy: &mut BodyCopy,
        size: u64,
        tables: &mut Tables<'_>,
        meta: &mut Meta,
    ) -> Result<bool, Trouble> {
        let mut stream = Unchunked::new(self.source, &self.gathered.pieces, copy.id);
        loop {
            let Ok(bytes) = stream.next_chunk() else { return Ok(false) };
            if bytes.is_empty() || copy.bytes > size {
                // An empty message has no pieces, and neither has one that is lost.
                return Ok(copy.bytes == size && size > 0);
            }
            let mut stored = Vec::new();
            let chunk = self.deflaters.deflate(&bytes, &mut stored);
            copy.push(chunk, &stored, &bytes, tables, meta)?;
        }
    }

    /// Whole bodies that nothing shows, nor the journal speaks of, because rows of messages are lost: they get a mailbox of their own.
    pub fn place_strays(&mut self, strays: BTreeSet<BodyId>) -> Result<(), Trouble> {
        let mut strays = strays.into_iter().peekable();
        let (mut mailbox, mut uid) = (None, 0);
        while strays.peek().is_some() {
            self.write(|rebuild, tables, meta| {
                let mut bytes = 0;
                while let Some(body) = strays.next_if(|_| bytes < SALVAGE_TRANSACTION_BYTES) {
                    let size = rebuild.gathered.bodies.get(&body).map_or(0, |row| row.bytes);
                    if rebuild.in_journal.contains(&body) {
                        continue;
                    }
                    let Some(written) = rebuild.write_body(body, size, tables, meta)? else { continue };
                    bytes += written;
                    let mailbox = match mailbox {
                        Some(mailbox) => mailbox,
                        None => *mailbox.insert(rebuild.make_mailbox(MailboxId(meta.mailbox), tables, meta)?),
                    };
                    uid += 1;
                    let row = stray_row(Uid(uid), body, size, meta);
                    tables.apply(&Step::Place { mailbox, row }, meta, &mut Vec::new())?;
                }
                Ok(())
            })?;
        }
        if let Some(MailboxId(id)) = mailbox {
            self.notes.push(format!(
                "{uid} messages are whole, but where they were is lost: they are in the mailbox \"Recovered-{id}\"; some of \
                 them may have been deleted before"
            ));
        }
        Ok(())
    }
}

/// A body on its way into the new store.
struct BodyCopy {
    id: BodyId,
    indexer: Indexer,
    crc: crc32fast::Hasher,
    bytes: u64,
    chunks: Vec<Chunk>,
    /// Compressed bytes that are not yet in a piece.
    stored: Vec<u8>,
    /// Pieces that are.
    staged: u32,
}

impl BodyCopy {
    fn new(id: BodyId) -> BodyCopy {
        let (indexer, crc) = (Indexer::new(), crc32fast::Hasher::new());
        BodyCopy { id, indexer, crc, bytes: 0, chunks: Vec::new(), stored: Vec::new(), staged: 0 }
    }

    /// Takes the next chunk; of a long body all but the end goes into pieces at once.
    fn push(
        &mut self,
        chunk: Chunk,
        stored: &[u8],
        bytes: &[u8],
        tables: &mut Tables<'_>,
        meta: &mut Meta,
    ) -> Result<(), Trouble> {
        self.indexer.push(bytes);
        self.crc.update(bytes);
        self.bytes += bytes.len() as u64;
        self.chunks.push(chunk);
        self.stored.extend_from_slice(stored);
        let piece = STAGED_PIECE_BYTES as usize;
        while self.stored.len() > if self.staged > 0 { 2 * piece } else { BODY_HELD_BYTES_MAX } {
            let rest = self.stored.split_off(piece);
            tables.stage(self.id, &[(self.staged, std::mem::replace(&mut self.stored, rest))], meta)?;
            self.staged += 1;
        }
        Ok(())
    }

    /// Whether it is what the row says.
    fn is(&self, row: &BodyRow) -> bool {
        self.bytes == row.bytes && self.crc.clone().finalize() == row.crc
    }

    /// Writes the rows. Without its old row its thread is decided anew. Returns its compressed size in bytes, and one more.
    fn finish(self, row: Option<&BodyRow>, tables: &mut Tables<'_>, meta: &mut Meta) -> Result<u64, Trouble> {
        let BodyCopy { id, indexer, crc, bytes, chunks, stored, staged } = self;
        let index = indexer.finish();
        let threaded = match row {
            Some(row) => Threaded { thread: row.thread, keys: row.thread_keys.clone() },
            None => thread_of(id, index.message_id, &index.references, |hash| find_thread(&tables.threads, hash, id))?,
        };
        let stored_bytes = u64::from(staged) * STAGED_PIECE_BYTES + stored.len() as u64;
        let first_piece = if staged == 0 { first_piece(meta.page_used, stored_bytes) } else { 0 };
        let Threaded { thread, keys: thread_keys } = threaded;
        let row = BodyRow { refs: 0, bytes, crc: crc.finalize(), thread, thread_keys, first_piece, chunks, base: None };
        let rows = rows_of(&row, &index);
        let step = if staged == 0 {
            Step::Body { id, rows, stored }
        } else {
            let at = u64::from(staged) * STAGED_PIECE_BYTES;
            let rest: Vec<(u32, Vec<u8>)> = pieces(0, stored_bytes)
                .skip(staged as usize)
                .map(|(number, range)| {
                    let piece = stored.get((range.start - at) as usize..(range.end - at) as usize);
                    (number, piece.unwrap_or_default().to_vec())
                })
                .collect();
            tables.stage(id, &rest, meta)?;
            Step::StagedBody { id, rows }
        };
        tables.apply(&step, meta, &mut Vec::new())?;
        meta.body = meta.body.max(id.0 + 1);
        Ok(stored_bytes + 1)
    }
}

fn stray_row(uid: Uid, body: BodyId, bytes: u64, meta: &Meta) -> MessageRow {
    MessageRow {
        uid,
        modseq: ModSeq(2),
        flags: SystemFlags::default(),
        keywords: 0,
        internal_date: meta.latest_time,
        saved: meta.latest_time,
        bytes,
        form: Form::UNKNOWN,
        body,
    }
}
