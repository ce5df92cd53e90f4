//! Writing: the files of a system into a slot, and the mark that lets it be tried.
//!
//! Receives the contents of an update as they come; leaves a slot in which every file has the size and the SHA-256 that the manifest
//! says, as the card gives them back. What always holds: nothing points at a slot while it is written, and the mark is the last
//! write, of one sector in place. Cut anywhere, the system that ran before starts again.

use super::container::read;
use super::manifest::{Content, HASH_BYTES, Manifest};
use super::selection::{Selection, Slot};
use crate::limits::UPDATE_PIECE_BYTES;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::mount::{MsFlags, mount};
use ring::digest::{Context, SHA256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The boot partition, mounted.
pub struct BootPartition {
    path: PathBuf,
    /// It is read only but while something is written.
    is_mounted_read_only: bool,
}

impl BootPartition {
    /// The one mounted here. `is_mounted_read_only`: it is made writable for writes, which needs root.
    pub fn at(path: PathBuf, is_mounted_read_only: bool) -> BootPartition {
        BootPartition { path, is_mounted_read_only }
    }

    fn selection_file(&self) -> PathBuf {
        self.path.join("select.txt")
    }

    /// Which system is started. `None`: the file says something that this program would not write.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn selection(&self) -> io::Result<Option<Selection>> {
        std::fs::read_to_string(self.selection_file()).map(|text| Selection::parse(&text))
    }

    /// Does something while the partition can be written, and sees to it that everything is on the card afterwards.
    ///
    /// # Errors
    /// The sentence of what was done, or what the system says.
    pub fn while_writable<T>(&self, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        self.remount(MsFlags::empty()).map_err(|e| format!("the boot partition cannot be made writable: {e}"))?;
        let done = work();
        match self.remount(MsFlags::MS_RDONLY) {
            Ok(()) => done,
            Err(e) => done.and(Err(format!("the boot partition cannot be made read only again: {e}"))),
        }
    }

    fn remount(&self, flags: MsFlags) -> io::Result<()> {
        if self.is_mounted_read_only {
            let (none, flags) = (None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_NOATIME | flags);
            mount(none, &self.path, none, flags, none)?;
        }
        Ok(())
    }

    /// Overwrites the selection in place: one sector, flushed.
    ///
    /// # Errors
    /// What the system says.
    pub fn select(&self, selection: Selection) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.selection_file())?;
        file.write_all(selection.encode().as_bytes())?;
        file.sync_all()
    }

    /// Empties a slot and writes an update into it, from its contents on to the end of the file. When that fails the slot is empty.
    ///
    /// # Errors
    /// What is wrong with the update, or with the card.
    pub fn fill(&self, slot: Slot, manifest: &Manifest, from: &mut impl Read) -> Result<(), String> {
        let folder = self.path.join(slot.folder());
        let on_card = |e: io::Error| format!("the boot partition: {e}");
        empty(&folder).map_err(on_card)?;
        let written = write_all(&folder, manifest, from);
        if written.is_err() {
            empty(&folder).map_err(on_card)?;
        }
        written
    }
}

/// The folder is there, without files.
fn empty(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    File::open(folder)?.sync_all()
}

fn write_all(folder: &Path, manifest: &Manifest, from: &mut impl Read) -> Result<(), String> {
    for content in &manifest.files {
        write_one(folder, content, from)?;
    }
    if from.read(&mut [0]).map_err(|e| format!("it cannot be read: {e}"))? > 0 {
        return Err("there is something behind its end".into());
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| format!("the boot partition: {e}"))?;
    manifest.files.iter().try_for_each(|content| read_back(folder, content))
}

fn write_one(folder: &Path, content: &Content, from: &mut impl Read) -> Result<(), String> {
    let cannot = |e: io::Error| format!("{} cannot be written: {e}", content.name);
    let mut file = OpenOptions::new().write(true).create_new(true).open(folder.join(&content.name)).map_err(cannot)?;
    let (mut hash, mut left) = (Context::new(&SHA256), content.bytes);
    let mut buffer = vec![0; UPDATE_PIECE_BYTES];
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(UPDATE_PIECE_BYTES);
        let piece = buffer.get_mut(..length).unwrap_or_default();
        read(from, piece)?;
        hash.update(piece);
        file.write_all(piece).map_err(cannot)?;
        left -= u64::try_from(length).unwrap_or(left);
    }
    file.sync_all().map_err(cannot)?;
    check(content, hash)
}

/// What the card gives back is what was written: cards that are worn out or forged lose it in silence.
fn read_back(folder: &Path, content: &Content) -> Result<(), String> {
    let cannot = |e: io::Error| format!("{} cannot be read back: {e}", content.name);
    let mut file = File::open(folder.join(&content.name)).map_err(cannot)?;
    // From the card, not from memory; where that cannot be had the check is weaker.
    let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    let (mut hash, mut buffer) = (Context::new(&SHA256), vec![0; UPDATE_PIECE_BYTES]);
    loop {
        let length = file.read(&mut buffer).map_err(cannot)?;
        if length == 0 {
            return check(content, hash).map_err(|_| format!("the card gives {} back otherwise", content.name));
        }
        hash.update(buffer.get(..length).unwrap_or_default());
    }
}

fn check(content: &Content, hash: Context) -> Result<(), String> {
    let got: Option<[u8; HASH_BYTES]> = hash.finish().as_ref().try_into().ok();
    match got == Some(content.sha256) {
        true => Ok(()),
        false => Err(format!("{} is not what its manifest says", content.name)),
    }
}
