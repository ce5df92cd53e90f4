//! The journal of a damaged store: which of its batches can be read.
//!
//! Receives the file; hands on whole batches by their numbers. The ring itself reads only what follows what the tables
//! have; here the tables may know nothing, so every block is tried as the start of a batch.

use super::super::ring::{BLOCK_BYTES, FRAME_BYTES, Frame, read_frame_header};
use super::source::Source;
use std::collections::BTreeMap;

/// Where the whole batches lie.
#[derive(Default)]
pub struct Batches {
    /// Of the store that most of them are of.
    pub store: Option<u64>,
    /// Number to place of the frame.
    frames: BTreeMap<u64, (u64, Frame)>,
}

impl Batches {
    /// Tries every block.
    pub fn find(source: &Source) -> Batches {
        let mut stores: BTreeMap<u64, BTreeMap<u64, (u64, Frame)>> = BTreeMap::new();
        let mut at = 0;
        while at + BLOCK_BYTES <= source.bytes() {
            let length = whole_frame(source, at).map(|frame| {
                stores.entry(frame.store).or_default().insert(frame.number, (at, frame));
                (FRAME_BYTES as u64 + u64::from(frame.payload_bytes)).next_multiple_of(BLOCK_BYTES)
            });
            at += length.unwrap_or(BLOCK_BYTES);
        }
        let most = stores.into_iter().max_by_key(|(_, frames)| frames.len());
        most.map_or_else(Batches::default, |(store, frames)| Batches { store: Some(store), frames })
    }

    /// Numbers of the batches from this one on, ascending.
    pub fn numbers(&self, from: u64) -> impl Iterator<Item = u64> {
        self.frames.range(from..).map(|(number, _)| *number)
    }

    /// What is in a batch.
    pub fn payload(&self, source: &Source, number: u64) -> Option<Vec<u8>> {
        let (at, frame) = self.frames.get(&number)?;
        Some(source.read(at + FRAME_BYTES as u64, frame.payload_bytes as usize))
    }
}

fn whole_frame(source: &Source, at: u64) -> Option<Frame> {
    let header = source.read(at, FRAME_BYTES);
    let frame = read_frame_header(header.first_chunk()?)?;
    let end = at + FRAME_BYTES as u64 + u64::from(frame.payload_bytes);
    if end > source.bytes() {
        return None;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(header.get(8..)?);
    crc.update(&source.read(at + FRAME_BYTES as u64, frame.payload_bytes as usize));
    (crc.finalize() == frame.crc).then_some(frame)
}
