//! `hauspost compact`: the space of deleted mail goes back to the disk.

use crate::node::command::print;
use crate::node::failure::Failure;
use crate::node::owner::in_store;
use crate::node::production::existing_folder;
use crate::store::{Compacted, Disk, FileDisk, Options, Trouble, compact};
use std::path::Path;
use std::sync::Arc;

/// Compacts the store of a folder that no server uses, and says what came of it.
pub fn run(data: &Path) -> Result<(), Failure> {
    let folder = existing_folder(data)?;
    let disk = FileDisk::new(&folder.0).map_err(|sentence| in_store(&Trouble::Failed(sentence)))?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let Compacted { before, after } = compact(&disk, &Options::new(&folder.0)).map_err(|e| in_store(&e))?;
    print(&format!("{}: {before} bytes before, {after} bytes after\n", folder.0.join("hauspost.redb").display()))
}
