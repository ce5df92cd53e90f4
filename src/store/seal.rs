//! The seal that ends a row: a checksum that tells a damaged row, or one that lies in the wrong place, from a whole one.
//!
//! redb does not verify pages on ordinary reads: without this a flipped bit would be handed out as mail or flags. Receives
//! a row with the tag of its table and its key as redb keeps it; hands on the row with its seal, and back. It knows no
//! table, and nothing of redb but the bytes of its keys.
//!
//! A seal is the CRC-32 (IEEE), little-endian, of one tag byte, the key and the row before it. Pieces of bodies have none:
//! the chunks in them have checksums of their own.

use super::code::Malformed;

/// Bytes that a seal adds to a row.
pub const SEAL_BYTES: usize = 4;

/// What the seal of this row says. `key`: as redb keeps it (numbers little-endian, text as UTF-8).
pub fn checksum(tag: u8, key: &[u8], row: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[tag]);
    crc.update(key);
    crc.update(row);
    crc.finalize()
}

/// Appends the seal to a row.
pub fn seal(tag: u8, key: &[u8], row: &mut Vec<u8>) {
    let crc = checksum(tag, key, row);
    row.extend_from_slice(&crc.to_le_bytes());
}

/// The row before its seal, if it is the row that was sealed for this place.
pub fn open_seal<'a>(tag: u8, key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let (row, seal) = bytes.split_last_chunk::<SEAL_BYTES>().ok_or(Malformed)?;
    if u32::from_le_bytes(*seal) == checksum(tag, key, row) { Ok(row) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sealed_row_opens_in_its_place_and_nowhere_else(tag: u8, key: Vec<u8>, row: Vec<u8>, bit in 0usize..1 << 16) {
            let mut sealed = row.clone();
            seal(tag, &key, &mut sealed);
            prop_assert_eq!(open_seal(tag, &key, &sealed), Ok(&row[..]));
            prop_assert_eq!(open_seal(tag ^ 1, &key, &sealed), Err(Malformed));
            let other_key = [&key[..], b"x"].concat();
            prop_assert_eq!(open_seal(tag, &other_key, &sealed), Err(Malformed));
            let at = bit / 8 % sealed.len();
            sealed[at] ^= 1 << (bit % 8);
            prop_assert_eq!(open_seal(tag, &key, &sealed), Err(Malformed));
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = open_seal(1, b"key", &bytes);
        }
    }

    /// Files are read by this definition for years: it must not move.
    #[test]
    fn the_definition_stands() {
        let mut row = b"row".to_vec();
        seal(7, &5u64.to_le_bytes(), &mut row);
        let mut plain = vec![7, 5, 0, 0, 0, 0, 0, 0, 0];
        plain.extend_from_slice(b"row");
        assert_eq!(row, [&b"row"[..], &crc32fast::hash(&plain).to_le_bytes()].concat());
    }
}
