//! Bodies as they lie in the tables: chunks, pieces, and what was decided about the whole.
//!
//! A body is cut into *chunks* of at most [`BODY_CHUNK_BYTES`], each raw DEFLATE that ends on a byte boundary, refers
//! to nothing before its start and carries no final-block bit. Chunks lie end to end and are stored in *pieces* that
//! fill redb's pages: where a piece ends has nothing to do with where a chunk ends. What must always hold: bytes out
//! are exactly the bytes in, and every chunk that is read is checked against its CRC-32.

use super::code::*;
use super::tables::versioned;
use crate::limits::BODY_CHUNK_BYTES;
use crate::mail::index::{BodyIndex, Part, PartKind, TransferEncoding};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::ops::Range;
use std::sync::{Mutex, PoisonError, TryLockError};

/// Largest piece in bytes: with its key it fills four pages of redb (one byte over 16,364 would take eight).
pub const PIECE_BYTES: u64 = 16_340;
/// What fills two pages and one.
const SMALLER_PIECES_BYTES: [u64; 2] = [8_168, 4_072];

/// One self-contained part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes of the message in it.
    pub bytes: u32,
    /// Bytes it takes compressed.
    pub stored: u32,
    /// CRC-32 of the message bytes.
    pub crc: u32,
}

/// What the store keeps of a body beside its pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRow {
    /// Messages and queue entries that show it.
    pub refs: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32 of the whole.
    pub crc: u32,
    /// In order.
    pub chunks: Vec<Chunk>,
    /// The facts.
    pub index: BodyIndex,
}

/// Row version; the four bytes behind it are `refs`, so that they can be changed in place.
const VERSION: u8 = 1;

impl BodyRow {
    /// As row bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.refs.to_le_bytes());
        put_varint(&mut out, self.bytes);
        out.extend_from_slice(&self.crc.to_le_bytes());
        let mut index = Vec::new();
        encode_index(&mut index, &self.index);
        put_bytes(&mut out, &index);
        put_varint(&mut out, self.chunks.len() as u64);
        for chunk in &self.chunks {
            put_varint(&mut out, chunk.bytes.into());
            put_varint(&mut out, chunk.stored.into());
            out.extend_from_slice(&chunk.crc.to_le_bytes());
        }
        out
    }
}

/// Compressed size of these chunks in bytes.
pub fn stored_bytes(chunks: &[Chunk]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.stored)).sum()
}

/// Only the count of references of a body row.
pub fn decode_refs(bytes: &[u8]) -> Result<u32, Malformed> {
    versioned(bytes)?.u32()
}

/// Only the size of a body row.
pub fn decode_size(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut decoder = versioned(bytes)?;
    decoder.u32()?;
    decoder.varint()
}

/// Only the facts of a body row.
pub fn decode_row_index(bytes: &[u8]) -> Result<BodyIndex, Malformed> {
    let mut decoder = versioned(bytes)?;
    decoder.u32()?;
    decoder.varint()?;
    decoder.u32()?;
    decode_index(decoder.bytes()?)
}

/// Only the chunks of a body row.
pub fn decode_chunks(bytes: &[u8]) -> Result<Vec<Chunk>, Malformed> {
    let mut decoder = versioned(bytes)?;
    decoder.u32()?;
    decoder.varint()?;
    decoder.u32()?;
    decoder.bytes()?;
    read_chunks(&mut decoder)
}

fn read_chunks(decoder: &mut Decoder<'_>) -> Result<Vec<Chunk>, Malformed> {
    (0..decoder.count()?)
        .map(|_| {
            let chunk = Chunk { bytes: decoder.varint32()?, stored: decoder.varint32()?, crc: decoder.u32()? };
            let longest = BODY_CHUNK_BYTES as u32;
            if chunk.bytes > longest || chunk.stored > longest + 5 { Err(Malformed) } else { Ok(chunk) }
        })
        .collect()
}

/// The body row with its count of references changed by `change`; `None` when nothing refers to it any more.
pub fn change_refs(row: &[u8], change: i32) -> Result<Option<Vec<u8>>, Malformed> {
    let mut decoder = versioned(row)?;
    let refs = decoder.u32()?.checked_add_signed(change).ok_or(Malformed)?;
    if refs == 0 {
        return Ok(None);
    }
    Ok(Some([&[VERSION][..], &refs.to_le_bytes(), decoder.rest()].concat()))
}

/// How `stored` bytes lie in pieces: numbers and ranges, in order. Every piece but the last few is
/// [`PIECE_BYTES`] long; the rest is split so that no piece leaves more than a quarter of its pages empty.
pub fn pieces(stored: u64) -> impl Iterator<Item = (u32, Range<u64>)> {
    let mut at = 0;
    let mut number = 0;
    std::iter::from_fn(move || {
        let rest = stored - at;
        if rest == 0 {
            return None;
        }
        let piece = (number, at..at + piece_bytes(rest));
        at = piece.1.end;
        number += 1;
        Some(piece)
    })
}

fn piece_bytes(rest: u64) -> u64 {
    if rest > PIECE_BYTES / 4 * 3 {
        return rest.min(PIECE_BYTES);
    }
    for size in SMALLER_PIECES_BYTES {
        if rest > size / 4 * 3 {
            return rest.min(size);
        }
    }
    rest
}

/// First byte after the header's empty line, if it is there (RFC 5322 section 2.1; bare LF as well).
pub fn header_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|&byte| byte == b'\n') {
        let next = from + at + 1;
        match bytes.get(next..) {
            Some([b'\n', ..]) => return Some(next + 1),
            Some([b'\r', b'\n', ..]) => return Some(next + 2),
            _ => from = next,
        }
    }
    None
}

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
            Box::new(Deflater { compress: Compress::new(Compression::new(6), false), out: Vec::new() })
        });
        let before = out.len();
        if !deflater.deflate(bytes) || deflater.out.len() > bytes.len() + 5 {
            // One stored block (RFC 1951 section 3.2.4).
            let length = (bytes.len() as u16).to_le_bytes();
            out.push(0);
            out.extend_from_slice(&length);
            out.extend(length.map(|byte| !byte));
            out.extend_from_slice(bytes);
        } else {
            out.extend_from_slice(&deflater.out);
        }
        Chunk { bytes: bytes.len() as u32, stored: (out.len() - before) as u32, crc: crc32fast::hash(bytes) }
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

/// Decompresses chunks; made when first used.
#[derive(Default)]
pub struct Inflater {
    decompress: Option<Decompress>,
}

impl Inflater {
    /// Appends the message bytes of one chunk, checked.
    pub fn inflate(&mut self, chunk: &Chunk, stored: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let decompress = self.decompress.get_or_insert_with(|| Decompress::new(false));
        decompress.reset(false);
        let before = out.len();
        let bytes = chunk.bytes as usize;
        out.reserve_exact(bytes);
        let whole = before + bytes;
        while out.len() < whole {
            let (consumed, length) = (decompress.total_in() as usize, out.len());
            let rest = stored.get(consumed..).ok_or(Malformed)?;
            decompress.decompress_vec(rest, out, FlushDecompress::None).map_err(|_| Malformed)?;
            if out.len() == length && decompress.total_in() as usize == consumed {
                return Err(Malformed);
            }
        }
        let inflated = out.get(before..).unwrap_or_default();
        if inflated.len() == bytes && crc32fast::hash(inflated) == chunk.crc { Ok(()) } else { Err(Malformed) }
    }
}

fn encode_index(out: &mut Vec<u8>, index: &BodyIndex) {
    let BodyIndex { envelope, body_structure, body, parts, sent_seconds, sent_zone_minutes, .. } = index;
    put_bytes(out, envelope);
    put_bytes(out, body_structure);
    put_bytes(out, body);
    match sent_seconds {
        None => out.push(0),
        Some(seconds) => {
            out.push(1);
            put_signed(out, *seconds);
        }
    }
    put_signed(out, (*sent_zone_minutes).into());
    put_varint(out, parts.len() as u64);
    let mut before = 0;
    for part in parts {
        let Part { descendants, kind, encoding, charset, header_start, body_start, body_end } = part;
        out.push(encode_kind(*kind) << 4 | encode_encoding(*encoding));
        put_varint(out, (*descendants).into());
        put_bytes(out, charset.as_bytes());
        // Offsets mostly grow by little: as differences they take a byte or two each.
        for offset in [*header_start, *body_start, *body_end] {
            put_signed(out, offset.wrapping_sub(before) as i64);
            before = offset;
        }
    }
}

fn decode_index(bytes: &[u8]) -> Result<BodyIndex, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let envelope = decoder.bytes()?.to_vec();
    let body_structure = decoder.bytes()?.to_vec();
    let body = decoder.bytes()?.to_vec();
    let sent_seconds = match decoder.byte()? {
        0 => None,
        1 => Some(decoder.signed()?),
        _ => return Err(Malformed),
    };
    let sent_zone_minutes = i16::try_from(decoder.signed()?).map_err(|_| Malformed)?;
    let mut before = 0u64;
    let parts = (0..decoder.count()?)
        .map(|_| {
            let kinds = decoder.byte()?;
            let descendants = decoder.varint32()?;
            let charset = decoder.text()?;
            let mut offset = || {
                before = before.wrapping_add(decoder.signed()? as u64);
                Ok(before)
            };
            Ok(Part {
                descendants,
                kind: decode_kind(kinds >> 4)?,
                encoding: decode_encoding(kinds & 15)?,
                charset,
                header_start: offset()?,
                body_start: offset()?,
                body_end: offset()?,
            })
        })
        .collect::<Result<_, Malformed>>()?;
    let (message_id, references, signature) = Default::default();
    Ok(BodyIndex {
        envelope,
        body_structure,
        body,
        parts,
        sent_seconds,
        sent_zone_minutes,
        message_id,
        references,
        signature,
    })
}

fn encode_kind(kind: PartKind) -> u8 {
    match kind {
        PartKind::Leaf => 0,
        PartKind::Text => 1,
        PartKind::Html => 2,
        PartKind::Multipart => 3,
        PartKind::Message => 4,
    }
}

fn decode_kind(byte: u8) -> Result<PartKind, Malformed> {
    Ok(match byte {
        0 => PartKind::Leaf,
        1 => PartKind::Text,
        2 => PartKind::Html,
        3 => PartKind::Multipart,
        4 => PartKind::Message,
        _ => return Err(Malformed),
    })
}

fn encode_encoding(encoding: TransferEncoding) -> u8 {
    match encoding {
        TransferEncoding::Identity => 0,
        TransferEncoding::Base64 => 1,
        TransferEncoding::QuotedPrintable => 2,
    }
}

fn decode_encoding(byte: u8) -> Result<TransferEncoding, Malformed> {
    Ok(match byte {
        0 => TransferEncoding::Identity,
        1 => TransferEncoding::Base64,
        2 => TransferEncoding::QuotedPrintable,
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index() -> BodyIndex {
        let part = |header_start, body_start, body_end| Part {
            descendants: 1,
            kind: PartKind::Html,
            encoding: TransferEncoding::QuotedPrintable,
            charset: "utf-8".into(),
            header_start,
            body_start,
            body_end,
        };
        BodyIndex {
            envelope: b"(NIL)".to_vec(),
            body_structure: b"(\"TEXT\")".to_vec(),
            body: Vec::new(),
            parts: vec![part(0, 100, u64::MAX), part(90, 95, 96)],
            sent_seconds: Some(-1),
            sent_zone_minutes: -120,
            ..BodyIndex::default()
        }
    }

    #[test]
    fn rows_return_and_count() {
        let chunk = Chunk { bytes: 9, stored: 8, crc: 7 };
        let row = BodyRow { refs: 1, bytes: 18, crc: 6, chunks: vec![chunk; 2], index: index() };
        let bytes = row.encode();
        assert_eq!(decode_size(&bytes), Ok(18));
        assert_eq!(decode_chunks(&bytes), Ok(vec![chunk; 2]));
        assert_eq!(decode_row_index(&bytes), Ok(index()));
        let two = change_refs(&bytes, 1).expect("well formed").expect("still there");
        assert_eq!(two, BodyRow { refs: 2, ..row }.encode());
        assert_eq!(change_refs(&two, -2), Ok(None));
        assert_eq!(change_refs(&two, -3), Err(Malformed));
    }

    #[test]
    fn pieces_fill_their_pages() {
        for stored in (0..70_000).chain([1 << 20, 33_333_333]) {
            let mut at = 0;
            let mut pages = 0;
            for (number, (no, range)) in pieces(stored).enumerate() {
                assert_eq!((no as usize, range.start), (number, at));
                let bytes = range.end - range.start;
                assert!(bytes > 0 && bytes <= PIECE_BYTES);
                at = range.end;
                pages += if bytes <= 4076 {
                    1
                } else if bytes <= 8172 {
                    2
                } else {
                    4
                };
            }
            assert_eq!(at, stored);
            assert!(pages * 4096 <= stored + stored / 3 + 4096, "{stored} bytes in {pages} pages");
        }
    }

    #[test]
    fn a_header_ends_at_its_first_empty_line() {
        assert_eq!(header_end(b"A: b\r\n\r\nbody\r\n\r\n"), Some(8));
        assert_eq!(header_end(b"A: b\n\nbody"), Some(6));
        assert_eq!(header_end(b"A: b\r\n c\r\n"), None);
        assert_eq!(header_end(b""), None);
    }

    #[test]
    fn a_damaged_chunk_is_not_believed() {
        let mut stored = Vec::new();
        let text = b"the same the same the same the same".repeat(20);
        let chunk = Deflaters::default().deflate(&text, &mut stored);
        let mut out = Vec::new();
        assert_eq!(Inflater::default().inflate(&chunk, &stored, &mut out), Ok(()));
        assert_eq!(out, text);
        for at in 0..stored.len() - 5 {
            let mut damaged = stored.clone();
            damaged[at] ^= 4;
            let mut out = Vec::new();
            let read = Inflater::default().inflate(&chunk, &damaged, &mut out);
            assert!(read.is_err() || out == text, "byte {at}");
        }
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
            let _ = decode_row_index(&bytes);
            let _ = decode_chunks(&bytes);
            let _ = change_refs(&bytes, 1);
        }
    }
}
