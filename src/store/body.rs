//! Bodies as they lie in the tables: chunks, and the row that finds them.
//!
//! A body is cut into *chunks* of at most [`BODY_CHUNK_BYTES`], each raw DEFLATE that ends on a byte boundary, refers
//! to nothing before its start and carries no final-block bit. Chunks lie end to end and are stored in *pieces* that
//! fill redb's pages (see [`super::pieces`]): where a piece ends has nothing to do with where a chunk ends. What must always hold: bytes out
//! are exactly the bytes in, and every chunk that is read is checked against its CRC-32.

use super::code::*;
use super::facts::{put_hashes, read_hashes};
use super::pieces::pieces;
use super::tables::{VERSION, versioned};
use crate::limits::{BODY_BASE64_BYTES_MIN, BODY_CHUNK_BYTES, BODY_PLAIN_HEADER_BYTES_MAX};
use crate::mail::index::MessageIdHash;
use crate::mail::message::{BodyId, ThreadId};
use crate::wire::deflate::{find_stretch, is_even, push_base64, push_stored, read_base64};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::ops::Range;
use std::sync::{Mutex, PoisonError, TryLockError};

/// One self-contained part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes of the message in it.
    pub bytes: u32,
    /// Bytes it takes compressed.
    pub stored: u32,
    /// CRC-32 of the message bytes.
    pub crc: u32,
    /// CRC-32 of the compressed bytes, of a chunk without NUL: such a chunk may be sent as it lies, because every protocol can
    /// carry its bytes. `None`: it has NUL, or is of a time when that was not noted.
    pub stored_crc: Option<u32>,
}

/// Added to [`Chunk::stored`] in a row when [`Chunk::stored_crc`] follows: above all lengths there can be.
const HAS_STORED_CRC: u32 = 1 << 16;
const _: () = assert!(BODY_CHUNK_BYTES + 5 < HAS_STORED_CRC as usize);

impl Chunk {
    /// What is to be remembered of a chunk and its compressed form.
    pub fn new(bytes: &[u8], stored: &[u8]) -> Chunk {
        let stored_crc = memchr::memchr(0, bytes).is_none().then(|| crc32fast::hash(stored));
        Chunk { bytes: bytes.len() as u32, stored: stored.len() as u32, crc: crc32fast::hash(bytes), stored_crc }
    }

    /// Whether it may be sent as it lies.
    pub fn may_lie(&self) -> bool {
        self.stored_crc.is_some()
    }

    /// Whether these bytes of it are those of [`store_header`].
    pub fn is_plain_header(&self, stored: &[u8]) -> bool {
        self.bytes as usize <= BODY_PLAIN_HEADER_BYTES_MAX && self.plain(stored).is_some()
    }

    /// Its message bytes, if it is kept as it is.
    fn plain<'a>(&self, stored: &'a [u8]) -> Option<&'a [u8]> {
        let (head, bytes) = stored.split_first_chunk::<5>()?;
        let ([low, high, ..], is_whole) = (self.bytes.to_le_bytes(), bytes.len() == self.bytes as usize);
        (is_whole && *head == [0, low, high, !low, !high]).then_some(bytes)
    }

    /// Whether these are the compressed bytes of a chunk that may be sent as it lies.
    pub fn is_stored_as(&self, compressed: &[u8]) -> bool {
        self.stored as usize == compressed.len() && self.stored_crc == Some(crc32fast::hash(compressed))
    }
}

/// What the store keeps of a body beside its pieces, its facts and its signature: what reading, freeing and finding its
/// thread need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRow {
    /// Messages and queue entries that show it.
    pub refs: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32 of the whole.
    pub crc: u32,
    /// Its thread.
    pub thread: ThreadId,
    /// Hashes under which it stands in the table of threads; at most two, see [`super::threads`].
    pub thread_keys: Vec<MessageIdHash>,
    /// How it lies in pieces, see [`super::pieces`]; 0: staged.
    pub first_piece: u32,
    /// In order.
    pub chunks: Vec<Chunk>,
    /// The body is *derived*: its own chunks are only a head, and the bytes of this body, which is not derived itself, follow
    /// them. `crc` is that of the head.
    pub base: Option<BodyId>,
}

/// Where the four bytes of `refs` begin, so that they can be changed in place: behind the version.
const REFS_AT: usize = 1;

impl BodyRow {
    /// As row bytes.
    pub fn encode(&self) -> Vec<u8> {
        let BodyRow { refs, bytes, crc, thread, thread_keys, first_piece, chunks, base } = self;
        let mut out = vec![VERSION];
        out.extend_from_slice(&refs.to_le_bytes());
        put_varint(&mut out, *bytes);
        out.extend_from_slice(&crc.to_le_bytes());
        put_varint(&mut out, thread.0);
        put_hashes(&mut out, thread_keys);
        put_varint(&mut out, (*first_piece).into());
        put_varint(&mut out, chunks.len() as u64);
        for chunk in chunks {
            let mark = chunk.stored_crc.map_or(0, |_| HAS_STORED_CRC);
            put_varint(&mut out, chunk.bytes.into());
            put_varint(&mut out, (chunk.stored | mark).into());
            out.extend_from_slice(&chunk.crc.to_le_bytes());
            chunk.stored_crc.iter().for_each(|crc| out.extend_from_slice(&crc.to_le_bytes()));
        }
        if let Some(base) = base {
            put_varint(&mut out, base.0);
        }
        out
    }

    /// From row bytes.
    pub fn decode(bytes: &[u8]) -> Result<BodyRow, Malformed> {
        let mut decoder = versioned(bytes)?;
        Ok(BodyRow {
            refs: decoder.u32()?,
            bytes: decoder.varint()?,
            crc: decoder.u32()?,
            thread: ThreadId(decoder.varint()?),
            thread_keys: read_hashes(&mut decoder)?,
            first_piece: decoder.varint32()?,
            chunks: read_chunks(&mut decoder)?,
            base: if decoder.is_empty() { None } else { Some(BodyId(decoder.varint()?)) },
        })
    }

    /// Bytes of its own chunks: all of it, or its head when it is derived.
    pub fn own_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum()
    }

    /// Its compressed size in bytes.
    pub fn stored_bytes(&self) -> u64 {
        stored_bytes(&self.chunks)
    }

    /// How it lies in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = (u32, Range<u64>)> + use<> {
        pieces(self.first_piece, self.stored_bytes())
    }
}

/// Compressed size of these chunks in bytes.
pub fn stored_bytes(chunks: &[Chunk]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.stored)).sum()
}

/// Only the size of a body row.
pub fn decode_size(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut decoder = versioned(bytes)?;
    decoder.u32()?;
    decoder.varint()
}

/// The chunks of a body row, of every format.
pub fn read_chunks(decoder: &mut Decoder<'_>) -> Result<Vec<Chunk>, Malformed> {
    (0..decoder.count()?)
        .map(|_| {
            let (bytes, stored, crc) = (decoder.varint32()?, decoder.varint32()?, decoder.u32()?);
            let stored_crc = if stored & HAS_STORED_CRC == 0 { None } else { Some(decoder.u32()?) };
            let chunk = Chunk { bytes, stored: stored & !HAS_STORED_CRC, crc, stored_crc };
            let longest = BODY_CHUNK_BYTES as u32;
            if chunk.bytes > longest || chunk.stored > longest + 5 { Err(Malformed) } else { Ok(chunk) }
        })
        .collect()
}

/// The body row with its count of references changed by `change`; `None` when nothing refers to it any more.
pub fn change_refs(row: &[u8], change: i32) -> Result<Option<Vec<u8>>, Malformed> {
    let refs = versioned(row)?.u32()?.checked_add_signed(change).ok_or(Malformed)?;
    if refs == 0 {
        return Ok(None);
    }
    let mut changed = row.to_vec();
    let place = changed.get_mut(REFS_AT..REFS_AT + 4).ok_or(Malformed)?;
    place.copy_from_slice(&refs.to_le_bytes());
    Ok(Some(changed))
}

/// First byte after the header's empty line, if it is there (RFC 5322 section 2.1; bare LF as well).
pub fn header_end(bytes: &[u8]) -> Option<usize> {
    let empty_line = |at: usize| match bytes.get(at..) {
        Some([b'\n', ..]) => Some(at + 1),
        Some([b'\r', b'\n', ..]) => Some(at + 2),
        _ => None,
    };
    empty_line(0).or_else(|| memchr::memchr_iter(b'\n', bytes).find_map(|at| empty_line(at + 1)))
}

/// Appends one chunk as it is: a stored block (RFC 1951 section 3.2.4). At most [`BODY_CHUNK_BYTES`] in, 5 bytes more out.
pub fn store_plain(bytes: &[u8], out: &mut Vec<u8>) -> Chunk {
    let before = out.len();
    push_stored(out, bytes);
    Chunk::new(bytes, out.get(before..).unwrap_or_default())
}

/// The same of a header, at most [`BODY_PLAIN_HEADER_BYTES_MAX`]: never sent as it lies, because a session that compresses
/// makes less of it.
pub fn store_header(bytes: &[u8], out: &mut Vec<u8>) -> Chunk {
    Chunk { stored_crc: None, ..store_plain(bytes, out) }
}

/// The first part of these bytes that is base64 and better kept by [`store_base64`] than compressed.
pub fn find_base64(bytes: &[u8]) -> Option<Range<usize>> {
    let stretch = find_stretch(bytes, BODY_BASE64_BYTES_MIN)?;
    is_even(bytes.get(stretch.clone())?).then_some(stretch)
}

/// Appends one chunk of base64; `None`, and nothing appended, when it is none. At most [`BODY_CHUNK_BYTES`] in, less out.
pub fn store_base64(bytes: &[u8], out: &mut Vec<u8>) -> Option<Chunk> {
    let before = out.len();
    push_base64(out, bytes).then(|| Chunk::new(bytes, out.get(before..).unwrap_or_default()))
}

/// What the compressor tries. 6, the usual, makes mail 1% smaller, and is a seventh of the time slower.
const LEVEL: u32 = 3;

/// Two compressors for the whole store, made when first used: each takes about 300 KiB.
#[derive(Default)]
pub struct Deflaters {
    both: [Mutex<Option<Box<Deflater>>>; 2],
}

struct Deflater {
    compress: Compress,
    out: Vec<u8>,
}

impl Deflaters {
    /// Compresses one chunk and appends it. At most [`BODY_CHUNK_BYTES`] in, at most 5 bytes more out.
    pub fn deflate(&self, bytes: &[u8], out: &mut Vec<u8>) -> Chunk {
        let [first, second] = &self.both;
        let mut slot = match first.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => second.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let deflater = slot.get_or_insert_with(|| {
            Box::new(Deflater { compress: Compress::new(Compression::new(LEVEL), false), out: Vec::new() })
        });
        if !deflater.deflate(bytes) || deflater.out.len() > bytes.len() + 5 {
            return store_plain(bytes, out);
        }
        out.extend_from_slice(&deflater.out);
        Chunk::new(bytes, &deflater.out)
    }

    /// Gives the memory back; called when the store has been quiet.
    pub fn release(&self) {
        for slot in &self.both {
            if let Ok(mut slot) = slot.try_lock() {
                *slot = None;
            }
        }
    }
}

impl Deflater {
    /// Whether `out` now holds all of it.
    fn deflate(&mut self, bytes: &[u8]) -> bool {
        self.compress.reset();
        self.out.clear();
        // More than the worst case, so that one call does it.
        self.out.reserve(bytes.len() + bytes.len() / 8 + 256);
        let status = self.compress.compress_vec(bytes, &mut self.out, FlushCompress::Sync);
        status.is_ok() && self.compress.total_in() == bytes.len() as u64 && self.out.len() < self.out.capacity()
    }
}

/// More room than one symbol can fill: zlib takes its fast way only while there is that much, and the end of each chunk would be
/// read bit by bit. Headers cost a tenth fewer instructions with it.
const ROOM_BEHIND_BYTES: usize = 320;

/// Decompresses chunks; made when first used.
#[derive(Default)]
pub struct Inflater {
    decompress: Option<Decompress>,
}

impl Inflater {
    /// Appends the message bytes of one chunk, checked. After an error `out` may hold bytes that are not the chunk's.
    pub fn inflate(&mut self, chunk: &Chunk, stored: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let (before, bytes) = (out.len(), chunk.bytes as usize);
        if let Some(plain) = chunk.plain(stored) {
            out.extend_from_slice(plain);
        } else if !read_base64(stored, bytes, out) {
            self.decompress(stored, bytes, out)?;
        }
        let read = out.get(before..).unwrap_or_default();
        if read.len() == bytes && crc32fast::hash(read) == chunk.crc { Ok(()) } else { Err(Malformed) }
    }

    /// Appends what a compressor made `stored` of: at least `bytes` bytes, and no more than fit behind them.
    fn decompress(&mut self, stored: &[u8], bytes: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let decompress = self.decompress.get_or_insert_with(|| Decompress::new(false));
        decompress.reset(false);
        out.reserve(bytes + ROOM_BEHIND_BYTES);
        let whole = out.len() + bytes;
        while out.len() < whole {
            let (consumed, length) = (decompress.total_in() as usize, out.len());
            let rest = stored.get(consumed..).ok_or(Malformed)?;
            decompress.decompress_vec(rest, out, FlushDecompress::None).map_err(|_| Malformed)?;
            if out.len() == length && decompress.total_in() as usize == consumed {
                return Err(Malformed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_return_and_count() {
        let chunk = Chunk { bytes: 9, stored: 8, crc: 7, stored_crc: Some(6) };
        let thread_keys = vec![MessageIdHash(u64::MAX), MessageIdHash(5)];
        let (thread, first_piece) = (ThreadId(1 << 40), 4076);
        let row = BodyRow {
            refs: 1,
            bytes: 18,
            crc: 6,
            thread,
            thread_keys,
            first_piece,
            chunks: vec![chunk, Chunk { stored_crc: None, ..chunk }],
            base: None,
        };
        let bytes = row.encode();
        assert_eq!(decode_size(&bytes), Ok(18));
        assert_eq!(BodyRow::decode(&bytes), Ok(row.clone()));
        let derived = BodyRow { base: Some(BodyId(1 << 35)), ..row.clone() };
        assert_eq!(BodyRow::decode(&derived.encode()), Ok(derived));
        let two = change_refs(&bytes, 1).expect("well formed").expect("still there");
        assert_eq!(two, BodyRow { refs: 2, ..row }.encode());
        assert_eq!(change_refs(&two, -2), Ok(None));
        assert_eq!(change_refs(&two, -3), Err(Malformed));
    }

    #[test]
    fn a_header_ends_at_its_first_empty_line() {
        assert_eq!(header_end(b"A: b\r\n\r\nbody\r\n\r\n"), Some(8));
        assert_eq!(header_end(b"A: b\n\nbody"), Some(6));
        assert_eq!(header_end(b"A: b\r\n c\r\n"), None);
        assert_eq!(header_end(b""), None);
        assert_eq!([header_end(b"\nA: b\n\n"), header_end(b"\r\nA: b")], [Some(1), Some(2)], "no field at all");
    }

    #[test]
    fn a_damaged_chunk_is_not_believed() {
        let text = b"the same the same the same the same".repeat(20);
        let lines = b"R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7UXVva2thMTIzNDU2\r\n".repeat(20);
        let (mut compressed, mut plain, mut coded) = (Vec::new(), Vec::new(), Vec::new());
        let ways = [
            (&text, Deflaters::default().deflate(&text, &mut compressed), compressed),
            (&text, store_plain(&text, &mut plain), plain),
            (&lines, store_base64(&lines, &mut coded).expect("base64"), coded),
        ];
        for (bytes, chunk, stored) in &ways {
            let mut out = b"before".to_vec();
            assert_eq!(Inflater::default().inflate(chunk, stored, &mut out), Ok(()));
            assert_eq!(out, [b"before", &bytes[..]].concat());
            for at in 0..stored.len() - 5 {
                let mut damaged = stored.clone();
                damaged[at] ^= 4;
                let mut out = Vec::new();
                let read = Inflater::default().inflate(chunk, &damaged, &mut out);
                assert!(read.is_err() || out == **bytes, "byte {at} of {}", stored.len());
            }
            let other = [Chunk { crc: !chunk.crc, ..*chunk }, Chunk { bytes: chunk.bytes - 1, ..*chunk }];
            for chunk in other {
                assert_eq!(Inflater::default().inflate(&chunk, stored, &mut Vec::new()), Err(Malformed));
            }
        }
    }

    #[test]
    fn a_short_header_is_kept_as_it_is() {
        let header = b"Subject: the same the same the same the same\r\n".repeat(20);
        let mut stored = Vec::new();
        let chunk = store_header(&header, &mut stored);
        assert!(chunk.is_plain_header(&stored) && !chunk.may_lie());
        let mut out = b"before".to_vec();
        assert_eq!(Inflater::default().inflate(&chunk, &stored, &mut out), Ok(()));
        assert_eq!(out, [&b"before"[..], &header].concat());
        for at in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[at] ^= 4;
            assert!(Inflater::default().inflate(&chunk, &damaged, &mut Vec::new()).is_err(), "byte {at}");
        }
        stored.clear();
        let chunk = Deflaters::default().deflate(&header, &mut stored);
        assert!(!chunk.is_plain_header(&stored) && chunk.may_lie());
    }

    proptest! {
        #[test]
        fn chunks_return_and_can_be_spliced(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 1..5)) {
            let deflaters = Deflaters::default();
            let mut stored = Vec::new();
            for piece in &pieces {
                let before = stored.len();
                let chunk = deflaters.deflate(piece, &mut stored);
                let mut out = Vec::new();
                prop_assert_eq!(Inflater::default().inflate(&chunk, &stored[before..], &mut out), Ok(()));
                prop_assert_eq!(&out, piece);
                prop_assert!(chunk.stored as usize <= piece.len() + 5);
            }
            let whole: Vec<u8> = pieces.concat();
            let mut out = Vec::with_capacity(whole.len() + 1);
            Decompress::new(false).decompress_vec(&stored, &mut out, FlushDecompress::None).expect("one stream");
            prop_assert_eq!(out, whole);
        }

        #[test]
        fn damaged_rows_are_survived(bytes: Vec<u8>) {
            let _ = BodyRow::decode(&bytes);
            let _ = decode_size(&bytes);
            let _ = change_refs(&bytes, 1);
        }
    }
}
