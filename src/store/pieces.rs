//! How the compressed bytes of a body lie in rows: cut where redb's pages end.
//!
//! Receives how full the last page of the table of pieces is and how many bytes come; hands on ranges. Only [`Pieces`] touches a table.
//! A leaf of redb holds whole rows, and an ascending insert that does not fit leaves the last leaf as it is and begins a
//! new one. So a body that comes at once (*held*) begins with a piece that fills the page the body before it has begun,
//! goes on with pieces of one page each, and its last piece begins the next page. A body that comes while others come
//! (*staged*) lies in pieces of four pages. What must always hold: [`pieces`] needs nothing but what the body's row says;
//! a wrong idea of how full the page is costs room, never bytes.

mod read;

pub use read::Pieces;
use std::ops::Range;

/// Bytes of a page of redb.
pub const PAGE_BYTES: u32 = 4096;
/// Bytes of a leaf before its rows.
const LEAF_BYTES: u32 = 4;
/// Bytes of a row beside its value: a key of 12 bytes and the offset of the value.
const ROW_BYTES: u32 = 16;
/// A piece that fills a page.
pub const PAGE_PIECE_BYTES: u32 = PAGE_BYTES - LEAF_BYTES - ROW_BYTES;
/// Room in a page that is worth a piece of its own; a smaller one costs more in rows than it saves.
const ROOM_BYTES_MIN: u32 = 256;

/// Largest piece of a staged body in bytes: with its key it fills four pages (one byte over 16,364 would take eight).
pub const STAGED_PIECE_BYTES: u64 = 16_340;
/// What fills two pages and one.
const SMALLER_PIECES_BYTES: [u64; 2] = [8_168, 4_072];

/// The longest that the first piece of a held body may be, with `used` bytes of the last page taken. Never 0.
pub fn first_piece(used: u32, stored: u64) -> u32 {
    let room = PAGE_BYTES.saturating_sub(used.saturating_add(ROW_BYTES));
    if room >= ROOM_BYTES_MIN || (room > 0 && stored <= u64::from(room)) { room } else { PAGE_PIECE_BYTES }
}

/// Bytes taken of the last page once such a body is in it.
pub fn used_after(used: u32, first_piece: u32, stored: u64) -> u32 {
    let Some(rest) = stored.checked_sub(u64::from(first_piece)) else {
        let begun = if first_piece == PAGE_PIECE_BYTES { LEAF_BYTES } else { used };
        let taken = if stored == 0 { used } else { begun + ROW_BYTES + stored as u32 };
        return taken.min(PAGE_BYTES);
    };
    match (rest % u64::from(PAGE_PIECE_BYTES)) as u32 {
        0 => PAGE_BYTES,
        tail => LEAF_BYTES + ROW_BYTES + tail,
    }
}

/// How `stored` bytes lie in pieces: numbers and ranges, in order. `first_piece` 0: staged. Every piece of a staged body
/// but the last few is [`STAGED_PIECE_BYTES`] long; the rest is split so that no piece leaves more than a quarter of its
/// pages empty.
pub fn pieces(first_piece: u32, stored: u64) -> impl Iterator<Item = (u32, Range<u64>)> {
    let mut at = 0;
    let mut number = 0;
    std::iter::from_fn(move || {
        let rest = stored.saturating_sub(at);
        if rest == 0 {
            return None;
        }
        let longest = match (first_piece, number) {
            (0, _) => staged_piece_bytes(rest),
            (first, 0) => u64::from(first),
            _ => u64::from(PAGE_PIECE_BYTES),
        };
        let piece = (number, at..at + longest.min(rest));
        at = piece.1.end;
        number += 1;
        Some(piece)
    })
}

fn staged_piece_bytes(rest: u64) -> u64 {
    if rest > STAGED_PIECE_BYTES / 4 * 3 {
        return STAGED_PIECE_BYTES;
    }
    SMALLER_PIECES_BYTES.into_iter().find(|size| rest > size / 4 * 3).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{ReadableDatabase, ReadableTableMetadata};

    #[test]
    fn staged_pieces_fill_their_pages() {
        for stored in (0..70_000).chain([1 << 20, 33_333_333]) {
            let mut at = 0;
            let mut pages = 0;
            for (number, (no, range)) in pieces(0, stored).enumerate() {
                assert_eq!((no as usize, range.start), (number, at));
                let bytes = range.end - range.start;
                assert!(bytes > 0 && bytes <= STAGED_PIECE_BYTES);
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

    /// redb's own count of what it leaves empty is the judge.
    #[test]
    fn held_pieces_fill_the_pages_of_redb() {
        let definition = redb::TableDefinition::<(u64, u32), &[u8]>::new("pieces");
        let memory = redb::backends::InMemoryBackend::new();
        let database = redb::Builder::new().create_with_backend(memory).expect("a database");
        let mut used = PAGE_BYTES;
        let mut stored_in_all = 0;
        let bytes = vec![7u8; 200_000];
        let txn = database.begin_write().expect("a transaction");
        {
            let mut table = txn.open_table(definition).expect("a table");
            for body in 0..2_000u64 {
                let stored = [0, 1, 300, 2_000, 4_076, 5_000, 12_345, 3_500, 131_072][body as usize % 9] + body % 700;
                let first = first_piece(used, stored);
                let mut at = 0;
                for (number, range) in pieces(first, stored) {
                    assert_eq!(range.start, at);
                    at = range.end;
                    let piece = &bytes[range.start as usize..range.end as usize];
                    assert!(!piece.is_empty() && piece.len() <= PAGE_PIECE_BYTES as usize);
                    table.insert((body, number), piece).expect("inserted");
                }
                assert_eq!(at, stored);
                stored_in_all += stored;
                used = used_after(used, first, stored);
            }
        }
        txn.commit().expect("committed");
        let txn = database.begin_read().expect("a transaction");
        let stats = txn.open_table(definition).expect("a table").stats().expect("counted");
        let leaves = stats.leaf_pages() * u64::from(PAGE_BYTES);
        assert!(leaves < stored_in_all + stored_in_all / 50, "{leaves} bytes of leaves for {stored_in_all}");
    }
}
