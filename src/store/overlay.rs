//! Looking at a store without changing it.
//!
//! Receives a disk; hands on one that shows the same files and keeps every change to itself, in memory, so that the journal
//! can be replayed and redb can repair, and the card is not written to. [`ReadOnlyDisk`] is a folder that is only read.

use super::disk::{Disk, DiskCounts, FileDisk, Part, lock_folder};
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const PAGE_BYTES: u64 = 4096;

/// A folder whose files are opened for reading only. No other process uses it while the value lives.
pub struct ReadOnlyDisk {
    dir: PathBuf,
    /// `None`: nobody has ever used the folder.
    _lock: Option<File>,
}

impl ReadOnlyDisk {
    /// Locks the folder without writing to it. Errors are sentences for the owner.
    pub fn new(dir: &Path) -> Result<ReadOnlyDisk, String> {
        let path = dir.join("lock");
        let lock = match File::open(&path) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("cannot use the folder {}: {error}", dir.display())),
        };
        if let Some(lock) = &lock {
            lock_folder(dir, lock)?;
        }
        Ok(ReadOnlyDisk { dir: dir.to_owned(), _lock: lock })
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the store is only read")
}

impl Disk for ReadOnlyDisk {
    fn open(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>> {
        match File::open(self.dir.join(FileDisk::name(part))) {
            Ok(file) => Ok(Some(Box::new(ReadFile(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
    fn draft(&self, _part: Part, _bytes: u64) -> io::Result<Box<dyn StorageBackend>> {
        Err(read_only())
    }
    fn publish(&self, _part: Part) -> io::Result<()> {
        Err(read_only())
    }
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn counts(&self, _part: Part) -> DiskCounts {
        DiskCounts::default()
    }
}

/// A file that is only read.
#[derive(Debug)]
pub struct ReadFile(pub File);

impl StorageBackend for ReadFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(read_only())
    }
    fn sync_data(&self) -> io::Result<()> {
        Err(read_only())
    }
    fn write(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Err(read_only())
    }
}

/// A disk over another one, which is never written to. Clones share what was written.
#[derive(Clone)]
pub struct Overlay {
    below: Arc<dyn Disk>,
    changes: [Arc<Mutex<Changes>>; 2],
    bytes_max: u64,
}

/// What was written to one file.
#[derive(Debug, Default)]
struct Changes {
    /// By offset.
    pages: BTreeMap<u64, Box<[u8]>>,
    /// Length in bytes, once the file was opened.
    len: Option<u64>,
    /// The shortest it has been: behind it the file below does not show.
    shows: u64,
    /// Made here: there is none below, or another took its place.
    is_own: bool,
    is_published: bool,
}

impl Overlay {
    /// Shows that disk, and keeps so many bytes of changes to each of its files; what goes beyond fails.
    pub fn new(below: Arc<dyn Disk>, bytes_max: u64) -> Overlay {
        Overlay { below, changes: Default::default(), bytes_max }
    }

    fn changes(&self, part: Part) -> &Arc<Mutex<Changes>> {
        let [database, journal] = &self.changes;
        match part {
            Part::Database => database,
            Part::Journal => journal,
        }
    }
}

impl Disk for Overlay {
    fn open(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>> {
        let shared = self.changes(part);
        let mut changes = lock(shared);
        let below = if changes.is_own { None } else { self.below.open_to_read(part)? };
        match &below {
            None if !changes.is_published => return Ok(None),
            Some(below) if changes.len.is_none() => {
                let len = below.len()?;
                (changes.len, changes.shows) = (Some(len), len);
            }
            _ => {}
        }
        Ok(Some(Box::new(OverlayFile { below, changes: shared.clone(), bytes_max: self.bytes_max })))
    }
    fn draft(&self, part: Part, bytes: u64) -> io::Result<Box<dyn StorageBackend>> {
        let shared = self.changes(part);
        *lock(shared) = Changes { len: Some(bytes), is_own: true, ..Changes::default() };
        Ok(Box::new(OverlayFile { below: None, changes: shared.clone(), bytes_max: self.bytes_max }))
    }
    fn publish(&self, part: Part) -> io::Result<()> {
        lock(self.changes(part)).is_published = true;
        Ok(())
    }
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn counts(&self, _part: Part) -> DiskCounts {
        DiskCounts::default()
    }
}

fn lock(changes: &Mutex<Changes>) -> std::sync::MutexGuard<'_, Changes> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct OverlayFile {
    below: Option<Box<dyn StorageBackend>>,
    changes: Arc<Mutex<Changes>>,
    bytes_max: u64,
}

impl OverlayFile {
    /// A page as it is below; zeros behind the end.
    fn below(&self, changes: &Changes, at: u64) -> io::Result<Box<[u8]>> {
        let mut page = vec![0; PAGE_BYTES as usize].into_boxed_slice();
        let there = changes.shows.saturating_sub(at).min(PAGE_BYTES) as usize;
        if let (Some(below), Some(wanted), true) = (&self.below, page.get_mut(..there), there > 0) {
            below.read(at, wanted)?;
        }
        Ok(page)
    }
}

impl StorageBackend for OverlayFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.changes).len.unwrap_or(0))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = lock(&self.changes);
        if offset.saturating_add(out.len() as u64) > changes.len.unwrap_or(0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let page_at = at - at % PAGE_BYTES;
            let from = (at - page_at) as usize;
            let count = (PAGE_BYTES as usize - from).min(rest.len());
            let Some((piece, behind)) = rest.split_at_mut_checked(count) else { break };
            match changes.pages.get(&page_at) {
                Some(page) => piece.copy_from_slice(page.get(from..from + count).unwrap_or_default()),
                None => {
                    // No more than is asked for: another part of the page may be unreadable.
                    let there = changes.shows.saturating_sub(at).min(count as u64) as usize;
                    let (shown, hidden) = piece.split_at_mut(there);
                    hidden.fill(0);
                    match &self.below {
                        Some(below) if !shown.is_empty() => below.read(at, shown)?,
                        _ => shown.fill(0),
                    }
                }
            }
            at += count as u64;
            rest = behind;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changes = lock(&self.changes);
        changes.len = Some(len);
        changes.shows = changes.shows.min(len);
        changes.pages.retain(|at, _| *at < len);
        // What lies behind the new end must be zeros when the file grows again.
        let (last, kept) = (len - len % PAGE_BYTES, (len % PAGE_BYTES) as usize);
        if let Some(page) = changes.pages.get_mut(&last) {
            page.iter_mut().skip(kept).for_each(|byte| *byte = 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = lock(&self.changes);
        let end = offset.saturating_add(data.len() as u64);
        changes.len = Some(changes.len.unwrap_or(0).max(end));
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let page_at = at - at % PAGE_BYTES;
            let from = (at - page_at) as usize;
            let count = (PAGE_BYTES as usize - from).min(rest.len());
            let Some((piece, behind)) = rest.split_at_checked(count) else { break };
            if !changes.pages.contains_key(&page_at) {
                if (changes.pages.len() as u64 + 1) * PAGE_BYTES > self.bytes_max {
                    return Err(io::Error::new(io::ErrorKind::OutOfMemory, "too many changes to keep in memory"));
                }
                let page = self.below(&changes, page_at)?;
                changes.pages.insert(page_at, page);
            }
            if let Some(place) = changes.pages.get_mut(&page_at).and_then(|page| page.get_mut(from..from + count)) {
                place.copy_from_slice(piece);
            }
            at += count as u64;
            rest = behind;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryDisk;
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Write(u64, Vec<u8>),
        Len(u64),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let write =
            (0..30_000u64, prop::collection::vec(any::<u8>(), 1..9_000)).prop_map(|(at, data)| Act::Write(at, data));
        let act = prop_oneof![3 => write, 1 => (0..40_000u64).prop_map(Act::Len)];
        prop::collection::vec(act, 0..12)
    }

    fn act(file: &dyn StorageBackend, act: &Act) {
        match act {
            Act::Write(at, data) => {
                let len = file.len().expect("a length").max(at + data.len() as u64);
                file.set_len(len).expect("longer");
                file.write(*at, data).expect("written");
            }
            Act::Len(len) => file.set_len(*len).expect("cut or longer"),
        }
    }

    fn whole(file: &dyn StorageBackend) -> Vec<u8> {
        let mut bytes = vec![1; file.len().expect("a length") as usize];
        file.read(0, &mut bytes).expect("readable");
        bytes
    }

    proptest! {
        #[test]
        fn an_overlay_reads_like_a_disk_and_leaves_the_one_below(before in acts(), after in acts()) {
            let [below, plain] = [(); 2].map(|()| {
                let disk = MemoryDisk::new();
                let file = disk.draft(Part::Database, 10_000).expect("a draft");
                before.iter().for_each(|done| act(file.as_ref(), done));
                disk.publish(Part::Database).expect("published");
                disk
            });
            let open = |disk: &dyn Disk| disk.open(Part::Database).expect("readable").expect("there");
            let untouched = whole(open(&below).as_ref());
            let overlay = Overlay::new(Arc::new(below.clone()), 1 << 20);
            let (shown, expected) = (open(&overlay), open(&plain));
            for done in &after {
                act(shown.as_ref(), done);
                act(expected.as_ref(), done);
                prop_assert!(whole(shown.as_ref()) == whole(expected.as_ref()));
            }
            prop_assert!(whole(open(&overlay).as_ref()) == whole(expected.as_ref()), "opened again");
            prop_assert!(whole(open(&below).as_ref()) == untouched);
        }
    }
}
