//! The journal: a preallocated ring of 4 KiB blocks that is overwritten in place.
//!
//! Receives batches of records; hands them back after a crash, in order and each once. It knows no record and never
//! decides when a checkpoint is due. What must always hold:
//!
//! - a batch starts on a fresh block, lies in one piece and is written by one write and one flush;
//! - a block that holds acknowledged records is not written again before [`Ring::forget`] said they are redundant;
//! - batches carry consecutive numbers, so that a missing one cannot pass for the end.
//!
//! A frame: magic, CRC-32 of all that follows, store id, batch number, payload bytes, zero; then the payload, then
//! zeros up to the block's end. The store id is random, so that a message cannot carry a frame in.

use crate::limits::RING_ROWS_MAX;
use redb::StorageBackend;
use std::io;

/// The unit in which the ring is written, and in which it may tear.
pub const BLOCK_BYTES: u64 = 4096;
/// The shortest ring in bytes that takes a batch, see [`Ring::batch_bytes_max`].
pub const RING_BYTES_MIN: u64 = 8 * BLOCK_BYTES;
/// Bytes of a frame before its payload.
pub const FRAME_BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"HPj1";
/// How much is read at once when the ring is searched.
const SEARCH_BYTES: usize = 256 << 10;
/// How far a search goes that only looks for one damaged batch; no batch is longer than [`Ring::batch_bytes_max`].
const SHORT_SEARCH_BYTES: u64 = 2 << 20;

/// A batch being filled. Begins with room for its header so that it is written as it lies.
pub struct Batch {
    bytes: Vec<u8>,
    /// Rows that its records change by the list.
    rows: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch { bytes: vec![0; FRAME_BYTES], rows: 0 }
    }
    /// Where records are appended.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
    /// Says how many rows a record changes that tells of them in a few bytes.
    pub fn count_rows(&mut self, rows: usize) {
        self.rows += rows;
    }
    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= FRAME_BYTES
    }
    /// Bytes it takes in the ring: whole blocks.
    fn ring_bytes(&self) -> u64 {
        (self.bytes.len() as u64).next_multiple_of(BLOCK_BYTES)
    }
    /// Begins again; keeps a modest buffer.
    pub fn clear(&mut self) {
        self.bytes.truncate(FRAME_BYTES);
        self.bytes.shrink_to(64 << 10);
        self.rows = 0;
    }
}

/// Where a batch goes, and where the next one would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset of the batch in bytes.
    at: u64,
    /// Offset of the batch after it in bytes; stored with the changes of this batch.
    pub next: u64,
    /// Bytes of the ring that it takes, with what is skipped at the ring's end.
    cost: u64,
}

/// The open ring.
pub struct Ring {
    file: Box<dyn StorageBackend>,
    bytes: u64,
    store: u64,
    next: u64,
    used: u64,
    /// Rows counted in the batches that are still needed.
    rows: usize,
}

impl Ring {
    /// The ring of that store. `next` is the position that the store keeps: the batch to be written or read next lies
    /// there, or at 0 when it did not fit.
    pub fn new(file: Box<dyn StorageBackend>, store: u64, next: u64) -> io::Result<Ring> {
        let bytes = file.len()? / BLOCK_BYTES * BLOCK_BYTES;
        Ok(Ring { file, bytes, store, next: next.min(bytes), used: 0, rows: 0 })
    }

    /// Longest batch in bytes: an eighth, so that a checkpoint at half full comes in time.
    pub fn batch_bytes_max(&self) -> u64 {
        (self.bytes / 8).min(SHORT_SEARCH_BYTES / 2)
    }

    /// Where the batch would go; `None` when it is too long, or would cover records that are still needed.
    pub fn place(&self, batch: &Batch) -> Option<Place> {
        let length = batch.ring_bytes();
        if length > self.batch_bytes_max() {
            return None;
        }
        let skipped = if self.next + length > self.bytes { self.bytes - self.next } else { 0 };
        let at = if skipped > 0 || self.next == self.bytes { 0 } else { self.next };
        let cost = skipped + length;
        (self.used + cost <= self.bytes).then_some(Place { at, next: at + length, cost })
    }

    /// Writes the batch, durably. After an error nothing is known of it.
    pub fn write(&mut self, batch: &mut Batch, place: Place, number: u64) -> io::Result<()> {
        let payload_bytes = (batch.bytes.len() - FRAME_BYTES) as u32;
        let rest =
            [&self.store.to_le_bytes()[..], &number.to_le_bytes(), &payload_bytes.to_le_bytes(), &[0; 4]].concat();
        let mut crc = crc32fast::Hasher::new();
        crc.update(&rest);
        crc.update(batch.bytes.get(FRAME_BYTES..).unwrap_or_default());
        let header = [&MAGIC[..], &crc.finalize().to_le_bytes(), &rest].concat();
        for (to, from) in batch.bytes.iter_mut().zip(header) {
            *to = from;
        }
        batch.bytes.resize(batch.ring_bytes() as usize, 0);
        self.file.write(place.at, &batch.bytes)?;
        self.file.sync_data()?;
        self.next = place.next;
        self.used += place.cost;
        self.rows += batch.rows;
        Ok(())
    }

    /// Everything written so far is redundant.
    pub fn forget(&mut self) {
        self.used = 0;
        self.rows = 0;
    }

    /// Position of the next batch in bytes.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Whether a checkpoint is due: half of the ring is in use, or replaying it would take long.
    pub fn wants_checkpoint(&self) -> bool {
        self.used >= self.bytes / 2 || self.rows >= RING_ROWS_MAX
    }

    /// The payload of the batch with that number, if it is the next and whole. Moves on behind it.
    pub fn read_next(&mut self, number: u64) -> io::Result<Option<Vec<u8>>> {
        for at in [self.next, 0] {
            if let Some((found, payload)) = self.read_frame(at)?
                && found == number
            {
                let length = ((FRAME_BYTES + payload.len()) as u64).next_multiple_of(BLOCK_BYTES);
                self.used += length + if at < self.next { self.bytes - self.next } else { 0 };
                self.next = at + length;
                return Ok(Some(payload));
            }
        }
        Ok(None)
    }

    /// Number and payload of the frame at that offset, if there is a whole one of this store.
    fn read_frame(&self, at: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut header = [0u8; FRAME_BYTES];
        if at + BLOCK_BYTES > self.bytes {
            return Ok(None);
        }
        self.file.read(at, &mut header)?;
        let Some((crc, number, payload_bytes)) = parse_header(&header, self.store) else { return Ok(None) };
        if at + FRAME_BYTES as u64 + u64::from(payload_bytes) > self.bytes {
            return Ok(None);
        }
        let mut payload = vec![0; payload_bytes as usize];
        self.file.read(at + FRAME_BYTES as u64, &mut payload)?;
        let mut actual = crc32fast::Hasher::new();
        actual.update(header.get(8..).unwrap_or_default());
        actual.update(&payload);
        Ok((actual.finalize() == crc).then_some((number, payload)))
    }

    /// Searches for a whole batch with that number or a later one: when the next one could not be read, it was
    /// damaged. `whole` searches the whole ring, otherwise as far as one damaged batch can reach.
    pub fn find_later(&self, number: u64, whole: bool) -> io::Result<Option<u64>> {
        if whole {
            return self.search(0, self.bytes, number);
        }
        let end = (self.next + SHORT_SEARCH_BYTES).min(self.bytes);
        match self.search(self.next, end, number)? {
            None if end == self.bytes => self.search(0, SHORT_SEARCH_BYTES.min(self.bytes), number),
            found => Ok(found),
        }
    }

    fn search(&self, from: u64, to: u64, number: u64) -> io::Result<Option<u64>> {
        let mut piece = Vec::new();
        let mut at = from;
        while at < to {
            piece.resize(usize::try_from(to - at).unwrap_or(SEARCH_BYTES).min(SEARCH_BYTES), 0);
            self.file.read(at, &mut piece)?;
            for (index, block) in piece.chunks(BLOCK_BYTES as usize).enumerate() {
                let header = block.first_chunk::<FRAME_BYTES>();
                if header
                    .and_then(|header| parse_header(header, self.store))
                    .is_some_and(|(_, found, _)| found >= number)
                    && let Some((found, _)) = self.read_frame(at + index as u64 * BLOCK_BYTES)?
                {
                    return Ok(Some(found));
                }
            }
            at += piece.len() as u64;
        }
        Ok(None)
    }
}

/// CRC, number and payload bytes of a header of that store.
fn parse_header(header: &[u8; FRAME_BYTES], store: u64) -> Option<(u32, u64, u32)> {
    let frame = read_frame_header(header)?;
    (frame.store == store).then_some((frame.crc, frame.number, frame.payload_bytes))
}

/// What the header of a frame says; the checksum decides whether there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Of all that follows it.
    pub crc: u32,
    /// Id of the store.
    pub store: u64,
    /// Number of the batch.
    pub number: u64,
    /// Length of the payload in bytes.
    pub payload_bytes: u32,
}

/// Reads a header of any store.
pub fn read_frame_header(header: &[u8; FRAME_BYTES]) -> Option<Frame> {
    let mut decoder = super::code::Decoder::new(header);
    let magic: [u8; 4] = decoder.array().ok()?;
    let crc = decoder.u32().ok()?;
    let store = decoder.u64().ok()?;
    let number = decoder.u64().ok()?;
    let payload_bytes = decoder.u32().ok()?;
    (magic == MAGIC).then_some(Frame { crc, store, number, payload_bytes })
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Disk, Part};
    use super::super::memory::MemoryDisk;
    use super::*;

    const RING: u64 = 64 << 10;

    fn disk() -> MemoryDisk {
        let disk = MemoryDisk::remembering();
        disk.draft(Part::Journal, RING).expect("a draft");
        disk.publish(Part::Journal).expect("published");
        disk
    }

    fn open(disk: &MemoryDisk, next: u64) -> Ring {
        Ring::new(disk.open(Part::Journal).expect("readable").expect("there"), 77, next).expect("a ring")
    }

    fn batch(bytes: usize, fill: u8) -> Batch {
        let mut batch = Batch::new();
        batch.payload().resize(FRAME_BYTES + bytes, fill);
        batch
    }

    /// Writes one batch where the ring wants it.
    fn write(ring: &mut Ring, number: u64, bytes: usize) -> bool {
        let mut batch = batch(bytes, number as u8);
        match ring.place(&batch) {
            Some(place) => ring.write(&mut batch, place, number).map(|()| true).expect("written"),
            None => false,
        }
    }

    #[test]
    fn batches_return_in_order_and_end_where_they_end() {
        let disk = disk();
        let mut ring = open(&disk, 0);
        for number in 5..9 {
            assert!(write(&mut ring, number, 5000));
        }
        assert_eq!(ring.position(), 4 * 2 * BLOCK_BYTES);
        let mut again = open(&disk, 0);
        for number in 5..9u64 {
            assert_eq!(again.read_next(number).expect("readable"), Some(vec![number as u8; 5000]));
        }
        assert_eq!(again.read_next(9).expect("readable"), None);
        assert_eq!(again.find_later(9, true).expect("readable"), None);
        assert_eq!(again.position(), ring.position());
    }

    #[test]
    fn a_full_ring_refuses_until_it_is_told_to_forget_and_then_wraps() {
        let disk = disk();
        let mut ring = open(&disk, 0);
        let mut number = 1;
        while write(&mut ring, number, 8000) {
            number += 1;
        }
        assert_eq!(number, 9, "eight batches of two blocks");
        assert!(ring.wants_checkpoint());
        ring.forget();
        assert!(write(&mut ring, 9, 8000), "over the first");
        let mut again = open(&disk, RING);
        assert_eq!(again.read_next(9).expect("readable"), Some(vec![9; 8000]), "found at the beginning");
        assert_eq!(again.position(), 2 * BLOCK_BYTES);
    }

    /// Two thousand moves of a large mailbox fit half of the ring, and took a minute to replay.
    #[test]
    fn many_rows_in_few_bytes_want_a_checkpoint_too() {
        let disk = disk();
        let mut ring = open(&disk, 0);
        let mut batch = batch(100, 0);
        batch.count_rows(RING_ROWS_MAX - 1);
        let place = ring.place(&batch).expect("room");
        ring.write(&mut batch, place, 1).expect("written");
        assert!(!ring.wants_checkpoint());
        batch.clear();
        batch.count_rows(1);
        let place = ring.place(&batch).expect("room");
        ring.write(&mut batch, place, 2).expect("written");
        assert!(ring.wants_checkpoint());
        ring.forget();
        assert!(!ring.wants_checkpoint());
    }

    #[test]
    fn a_batch_that_does_not_fit_before_the_end_goes_to_the_beginning() {
        let disk = disk();
        let mut ring = open(&disk, RING - BLOCK_BYTES);
        assert!(write(&mut ring, 1, 8000));
        assert_eq!(ring.position(), 2 * BLOCK_BYTES);
        assert_eq!(open(&disk, RING - BLOCK_BYTES).read_next(1).expect("readable"), Some(vec![1; 8000]));
        assert!(ring.place(&batch(9000, 0)).is_none(), "longer than an eighth of the ring");
    }

    #[test]
    fn a_torn_tail_is_the_end_and_damage_in_the_middle_is_found() {
        let disk = disk();
        let mut ring = open(&disk, 0);
        for number in 1..4 {
            assert!(write(&mut ring, number, 6000));
        }
        disk.damage(Part::Journal, (5 * BLOCK_BYTES) as usize);
        let mut torn = open(&disk, 0);
        assert!(torn.read_next(1).expect("readable").is_some() && torn.read_next(2).expect("readable").is_some());
        assert_eq!(torn.read_next(3).expect("readable"), None);
        assert_eq!(torn.find_later(3, true).expect("readable"), None, "a tail");
        disk.damage(Part::Journal, (2 * BLOCK_BYTES) as usize);
        disk.damage(Part::Journal, (5 * BLOCK_BYTES) as usize);
        for whole in [false, true] {
            let mut damaged = open(&disk, 0);
            assert!(damaged.read_next(1).expect("readable").is_some());
            assert_eq!(damaged.read_next(2).expect("readable"), None);
            assert_eq!(damaged.find_later(2, whole).expect("readable"), Some(3), "not a tail");
        }
    }

    #[test]
    fn frames_of_another_store_are_not_seen() {
        let disk = disk();
        assert!(write(&mut open(&disk, 0), 1, 100));
        let file = disk.open(Part::Journal).expect("readable").expect("there");
        let mut other = Ring::new(file, 78, 0).expect("a ring");
        assert_eq!(other.read_next(1).expect("readable"), None);
        assert_eq!(other.find_later(1, true).expect("readable"), None);
    }
}
