//! Pieces of bodies in a damaged file, and bodies read from them.
//!
//! Receives where pieces lie; hands on the chunks of a body, each checked. Pieces have no seals, but the chunks in them have
//! checksums: a piece that was found by searching is tried, and believed when a chunk made of it is right.

use super::super::body::{BodyRow, Chunk, Inflater};
use super::super::code::{Decoder, Malformed};
use super::source::Source;
use crate::limits::BODY_CHUNK_BYTES;
use crate::mail::message::BodyId;
use flate2::{Decompress, FlushDecompress};
use std::collections::BTreeMap;
use std::ops::Range;

/// Places of one piece that are remembered; copies of it that are older are mostly the same.
const PLACES_MAX: usize = 4;
/// Ways to put one chunk together that are tried.
const TRIES_MAX: usize = 64;

/// Where a piece lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    body: u64,
    number: u32,
    /// Found by searching: nothing says that it is right. Certain ones come first.
    is_guess: bool,
    /// Offset in bytes.
    at: u64,
    /// In bytes.
    length: u64,
}

/// Where pieces lie.
#[derive(Default)]
pub struct Pieces {
    /// Sorted.
    places: Vec<Place>,
}

fn read_key(key: &[u8]) -> Option<(u64, u32)> {
    let mut decoder = Decoder::new(key);
    let key = (decoder.u64().ok()?, decoder.u32().ok()?);
    decoder.is_empty().then_some(key)
}

impl Pieces {
    /// A piece that the tree has.
    pub fn found(&mut self, key: &[u8], length: usize, at: u64) -> Option<()> {
        let (body, number) = read_key(key)?;
        self.places.push(Place { body, number, is_guess: false, at, length: length as u64 });
        Some(())
    }

    /// A piece that a search found. Only what is wanted, in the length it must have, is remembered.
    pub fn consider(&mut self, wanted: &BTreeMap<(u64, u32), u64>, key: &[u8], length: u64, at: u64) {
        if let Some((body, number)) = read_key(key)
            && wanted.get(&(body, number)) == Some(&length)
        {
            self.places.push(Place { body, number, is_guess: true, at, length });
        }
    }

    /// To be called when places were added.
    pub fn sort(&mut self) {
        self.places.sort_unstable();
    }

    /// Whether a place of that piece is known.
    pub fn has(&self, body: BodyId, number: u32) -> bool {
        !self.of(body, number).is_empty()
    }

    fn of(&self, body: BodyId, number: u32) -> &[Place] {
        let first = self.places.partition_point(|place| (place.body, place.number) < (body.0, number));
        let rest = self.places.get(first..).unwrap_or_default();
        let same = |place: &&Place| (place.body, place.number) == (body.0, number);
        rest.get(..rest.iter().take(PLACES_MAX).take_while(same).count()).unwrap_or_default()
    }

    /// All ways in which these bytes of a body's compressed whole can be put together, likely ones first.
    fn ways(&self, source: &Source, body: BodyId, row: &BodyRow, range: &Range<u64>) -> Vec<Vec<u8>> {
        let mut ways = vec![Vec::new()];
        let touched = row.pieces().skip_while(|(_, piece)| piece.end <= range.start);
        for (number, piece) in touched.take_while(|(_, piece)| piece.start < range.end) {
            let (from, to) = (range.start.max(piece.start), range.end.min(piece.end));
            let mut parts: Vec<Vec<u8>> = Vec::new();
            for Place { at, length, .. } in self.of(body, number) {
                if *length == piece.end - piece.start {
                    let part = source.read(at + (from - piece.start), usize::try_from(to - from).unwrap_or(0));
                    if !parts.contains(&part) {
                        parts.push(part);
                    }
                }
            }
            ways = ways.iter().flat_map(|way| parts.iter().map(|part| [&way[..], part].concat())).collect();
            ways.truncate(TRIES_MAX);
        }
        ways
    }
}

/// One chunk of a body: its compressed bytes and those of the message.
pub struct ReadChunk {
    /// As it lies in the store.
    pub stored: Vec<u8>,
    /// The message's bytes.
    pub bytes: Vec<u8>,
}

/// Reads the chunks of a body one after the other; `None` stands for one that is lost.
pub fn read_chunks<'a>(
    source: &'a Source,
    pieces: &'a Pieces,
    id: BodyId,
    row: &'a BodyRow,
) -> impl Iterator<Item = (&'a Chunk, Option<ReadChunk>)> {
    let mut inflater = Inflater::default();
    let mut at = 0;
    row.chunks.iter().map(move |chunk| {
        let range = at..at + u64::from(chunk.stored);
        at = range.end;
        let read = pieces.ways(source, id, row, &range).into_iter().find_map(|stored| {
            let mut bytes = Vec::new();
            inflater.inflate(chunk, &stored, &mut bytes).ok()?;
            Some(ReadChunk { stored, bytes })
        });
        (chunk, read)
    })
}

/// A body whose row is lost: its compressed bytes are one stream, whatever its chunks were. Only pieces that are certain
/// are used, because nothing but their pages' checksums says that they are right.
pub struct Unchunked<'a> {
    source: &'a Source,
    pieces: &'a Pieces,
    body: BodyId,
    number: u32,
    decompress: Decompress,
    /// Compressed bytes that wait.
    waiting: Vec<u8>,
}

impl<'a> Unchunked<'a> {
    /// Begins with the first piece.
    pub fn new(source: &'a Source, pieces: &'a Pieces, body: BodyId) -> Unchunked<'a> {
        let decompress = Decompress::new(false);
        Unchunked { source, pieces, body, number: 0, decompress, waiting: Vec::new() }
    }

    /// The message's next bytes, as many as a chunk has but for the last; nothing at the end.
    pub fn next_chunk(&mut self) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::with_capacity(BODY_CHUNK_BYTES);
        while out.len() < out.capacity() {
            let (taken, made) = (self.decompress.total_in(), out.len());
            let flush = FlushDecompress::None;
            self.decompress.decompress_vec(&self.waiting, &mut out, flush).map_err(|_| Malformed)?;
            let taken = usize::try_from(self.decompress.total_in() - taken).map_err(|_| Malformed)?;
            self.waiting.drain(..taken.min(self.waiting.len()));
            if taken == 0 && out.len() == made && !self.next_piece() {
                break;
            }
        }
        if out.is_empty() && !self.waiting.is_empty() { Err(Malformed) } else { Ok(out) }
    }

    fn next_piece(&mut self) -> bool {
        let place = self.pieces.of(self.body, self.number).first().filter(|place| !place.is_guess);
        let Some(place) = place else { return false };
        let piece = self.source.read(place.at, usize::try_from(place.length).unwrap_or(0));
        self.waiting.extend_from_slice(&piece);
        self.number += 1;
        true
    }
}
