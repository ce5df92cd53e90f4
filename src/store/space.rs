//! How much room there is: what the store takes of its disk, and what it can still take in.
//!
//! The writer refuses new mail by [`Space::left_bytes`], and the owner is told the same number.

use super::{Disk, Part, Snapshot, Trouble};
use crate::limits::ROOM_PER_NEW_BYTE;

/// Room as the owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that the store takes of its disk, without those that deleted mail has left inside its file.
    pub used_bytes: u64,
    /// Bytes that can still be taken in; 0: new mail is refused.
    pub left_bytes: u64,
}

/// Bytes that a disk with so much free takes in before the reserve. What deleted mail has left inside the file counts as room
/// too, with a good part of the reserve behind it: pages that are only partly free hold nothing new.
pub fn left_bytes(free_bytes: u64, reserve_bytes: u64, room_bytes: u64) -> u64 {
    let inside = room_bytes / ROOM_PER_NEW_BYTE;
    match free_bytes.checked_sub(reserve_bytes) {
        Some(left) => left.saturating_add(inside),
        None if free_bytes >= reserve_bytes / 2 => inside,
        None => 0,
    }
}

/// What the store and its disk say.
pub fn read_space(snapshot: &Snapshot, disk: &dyn Disk, reserve_bytes: u64) -> Result<Space, Trouble> {
    let room_bytes = snapshot.meta()?.room_bytes;
    let taken = disk.file_bytes(Part::Database)?.saturating_add(disk.file_bytes(Part::Journal)?);
    Ok(Space {
        used_bytes: taken.saturating_sub(room_bytes),
        left_bytes: left_bytes(disk.free_bytes()?, reserve_bytes, room_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_not_for_mail() {
        let left = |free, room| left_bytes(free, 100, room);
        assert_eq!([left(1000, 0), left(1000, 10), left(100, 0)], [900, 905, 0]);
        // Below the reserve only what is free inside the file, and not below half of it.
        assert_eq!([left(99, 0), left(99, 30), left(50, 30), left(49, 30)], [0, 15, 15, 0]);
    }
}
