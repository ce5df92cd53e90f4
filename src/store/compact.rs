//! The space of deleted mail goes back to the disk.
//!
//! Receives a disk; hands on the store's size before and after. redb moves the last pages of its file to the front and cuts
//! the end off, in commits that are each whole: a power cut in the middle leaves the same mail in a file that is as long as
//! before, or shorter.

use super::apply::Tables;
use super::disk::{Disk, Part};
use super::open::{self, Opened, begin, open_verified};
use super::overlay::Overlay;
use super::{Options, Trouble};
use crate::limits::OVERLAY_BYTES_MAX;
use redb::Durability;
use std::sync::Arc;

/// Sizes of the redb file in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// As it was found.
    pub before: u64,
    /// As it is now.
    pub after: u64,
}

/// Replays the journal, then makes the redb file as short as it can be. Blocking, and long. The journal keeps its file. A
/// store with damage is left as it is.
pub fn compact(disk: &Arc<dyn Disk>, options: &Options) -> Result<Compacted, Trouble> {
    let before = bytes(disk.as_ref())?;
    // redb would move damaged pages like others, or panic on them.
    if let Some(file) = Overlay::new(disk.clone(), OVERLAY_BYTES_MAX).open(Part::Database)? {
        open_verified(file, options)?;
    }
    let disk = disk.as_ref();
    let Opened { mut database, mut meta, .. } = open::reopen(disk, options)?;
    // Whatever was in the journal is in the tables with this commit, and nothing comes after it.
    let txn = begin(&database, Durability::Immediate)?;
    (meta.closed, meta.room_bytes) = (true, 0);
    Tables::open(&txn)?.save_meta(&meta)?;
    txn.commit()?;
    while database.compact().map_err(|error| Trouble::Failed(format!("cannot compact: {error}")))? {}
    database.close()?;
    Ok(Compacted { before, after: bytes(disk)? })
}

fn bytes(disk: &dyn Disk) -> Result<u64, Trouble> {
    let file = disk.open(Part::Database)?;
    Ok(file.ok_or_else(|| Trouble::Failed("there is no file `hauspost.redb`".into()))?.len()?)
}
