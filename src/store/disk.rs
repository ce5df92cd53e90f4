//! Where the database and the journal lie: the one seam between the store and a disk.
//!
//! A [`Disk`] holds two files, each reached through redb's [`StorageBackend`]. [`FileDisk`] is a folder,
//! [`super::MemoryDisk`] is memory that can lose what was not synced. A file is drafted first and published whole,
//! so that a crash while it is made leaves nothing half-made behind.

use super::overlay::ReadFile;
use redb::StorageBackend;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The two files of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The redb file.
    Database,
    /// The ring.
    Journal,
}

/// What a disk was asked to do so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Write calls.
    pub writes: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Flushes (fdatasync).
    pub syncs: u64,
}

impl DiskCounts {
    /// What was added since `earlier`.
    pub fn since(self, earlier: DiskCounts) -> DiskCounts {
        DiskCounts {
            writes: self.writes.saturating_sub(earlier.writes),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            syncs: self.syncs.saturating_sub(earlier.syncs),
        }
    }
}

/// A place for the two files.
pub trait Disk: Send + Sync + 'static {
    /// Opens a published file; `None` when it was never published.
    fn open(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>>;
    /// Opens a published file to read it, also where nothing can be written.
    fn open_to_read(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>> {
        self.open(part)
    }
    /// Makes a draft of a file, `bytes` long, filled with zeros that are really written, not reserved.
    fn draft(&self, part: Part, bytes: u64) -> io::Result<Box<dyn StorageBackend>>;
    /// Makes the draft the file. Durable when it returns, and never half done.
    fn publish(&self, part: Part) -> io::Result<()>;
    /// Free space in bytes.
    fn free_bytes(&self) -> io::Result<u64>;
    /// How long a published file is; 0 when it was never published.
    fn file_bytes(&self, part: Part) -> io::Result<u64> {
        self.open_to_read(part)?.map_or(Ok(0), |file| file.len())
    }
    /// What was written to that file so far.
    fn counts(&self, part: Part) -> DiskCounts;
}

#[derive(Debug, Default)]
struct Counters {
    writes: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
}

/// A folder that this process alone may use while the value lives.
pub struct FileDisk {
    dir: PathBuf,
    counters: [Arc<Counters>; 2],
    /// A part was opened before: what the page cache says after a failed write cannot be believed.
    opened: [AtomicBool; 2],
    /// Locked; the lock goes with the file.
    _lock: File,
}

impl FileDisk {
    /// Makes the folder (0700) when it is not there, and locks it. Errors are sentences for the owner.
    pub fn new(dir: &Path) -> Result<FileDisk, String> {
        let sentence = |error: io::Error| format!("cannot use the folder {}: {error}", dir.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(sentence)?;
        let path = dir.join("lock");
        let lock = match owner_only().create(true).truncate(false).open(&path) {
            // Its mail can be read all the same.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
            lock => lock,
        };
        let lock = lock.map_err(sentence)?;
        lock_folder(dir, &lock)?;
        // Only for the sentence that whoever comes second gets: a disk that does not take it is not refused for that.
        let _ = lock.set_len(0).and_then(|()| lock.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0));
        Ok(FileDisk { dir: dir.to_owned(), counters: Default::default(), opened: Default::default(), _lock: lock })
    }

    /// What the file of a part is called.
    pub fn name(part: Part) -> &'static str {
        match part {
            Part::Database => "hauspost.redb",
            Part::Journal => "journal",
        }
    }

    fn path(&self, part: Part) -> PathBuf {
        self.dir.join(FileDisk::name(part))
    }

    fn draft_path(&self, part: Part) -> PathBuf {
        self.path(part).with_extension("draft")
    }

    fn counters(&self, part: Part) -> &Arc<Counters> {
        let [database, journal] = &self.counters;
        match part {
            Part::Database => database,
            Part::Journal => journal,
        }
    }

    /// The file as the disk has it.
    fn read_anew(&self, part: Part, file: io::Result<File>) -> io::Result<Option<File>> {
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if self.was_opened(part) {
            // After a failed write the kernel may keep pages that never reached the disk and call them clean. What
            // is read from here on has to be what the disk has. Advice only: where it fails nothing is worse.
            let _ = nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
        Ok(Some(file))
    }

    fn was_opened(&self, part: Part) -> bool {
        let [database, journal] = &self.opened;
        match part {
            Part::Database => database,
            Part::Journal => journal,
        }
        .swap(true, Ordering::Relaxed)
    }
}

/// Takes the lock of a folder, or says who has it.
pub fn lock_folder(dir: &Path, lock: &File) -> Result<(), String> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(dir.join("lock")).unwrap_or_default();
            let holder: String = holder.chars().filter(char::is_ascii_digit).take(10).collect();
            Err(format!("{} is in use by another process (id {holder})", dir.display()))
        }
        Err(fs::TryLockError::Error(error)) => Err(format!("cannot use the folder {}: {error}", dir.display())),
    }
}

/// std opens with O_CLOEXEC.
fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

impl Disk for FileDisk {
    fn open(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>> {
        let Some(file) = self.read_anew(part, owner_only().open(self.path(part)))? else { return Ok(None) };
        Ok(Some(Box::new(CountedFile { file, counters: self.counters(part).clone() })))
    }

    fn open_to_read(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>> {
        let file = self.read_anew(part, File::open(self.path(part)))?;
        Ok(file.map(|file| Box::new(ReadFile(file)) as Box<dyn StorageBackend>))
    }

    fn draft(&self, part: Part, bytes: u64) -> io::Result<Box<dyn StorageBackend>> {
        let file = owner_only().create(true).truncate(true).open(self.draft_path(part))?;
        let zeros = [0u8; 64 << 10];
        let mut at = 0;
        while at < bytes {
            let piece = zeros.get(..usize::try_from(bytes - at).unwrap_or(usize::MAX).min(zeros.len()));
            let piece = piece.unwrap_or(&zeros);
            file.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        file.sync_all()?;
        Ok(Box::new(CountedFile { file, counters: self.counters(part).clone() }))
    }

    fn publish(&self, part: Part) -> io::Result<()> {
        File::open(self.draft_path(part))?.sync_all()?;
        fs::rename(self.draft_path(part), self.path(part))?;
        File::open(&self.dir)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let facts = nix::sys::statvfs::statvfs(&self.dir)?;
        #[allow(clippy::unnecessary_cast)] // narrower on 32-bit targets
        Ok((facts.blocks_available() as u64).saturating_mul(facts.fragment_size() as u64))
    }

    fn file_bytes(&self, part: Part) -> io::Result<u64> {
        match fs::metadata(self.path(part)) {
            Ok(facts) => Ok(facts.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn counts(&self, part: Part) -> DiskCounts {
        let counters = self.counters(part);
        DiskCounts {
            writes: counters.writes.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
        }
    }
}

/// A file that counts what it is asked to write. redb's locks are not needed: the folder is locked.
#[derive(Debug)]
struct CountedFile {
    file: File,
    counters: Arc<Counters>,
}

impl StorageBackend for CountedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.counters.writes.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_has_one_user_and_private_files() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let inside = dir.path().join("deep/store");
        let disk = FileDisk::new(&inside).expect("a free folder");
        let taken = FileDisk::new(&inside).err().expect("a locked folder");
        assert!(taken.contains(&format!("id {}", std::process::id())), "{taken}");
        disk.draft(Part::Journal, 100_000).expect("a draft");
        assert!(disk.open(Part::Journal).expect("readable").is_none(), "a draft is not the file");
        disk.publish(Part::Journal).expect("published");
        let ring = disk.open(Part::Journal).expect("readable").expect("there");
        assert_eq!(ring.len().expect("its length"), 100_000);
        let mode = |path: &Path| fs::metadata(path).expect("facts").permissions().mode() & 0o777;
        assert_eq!(mode(&inside), 0o700);
        assert_eq!(mode(&inside.join("journal")), 0o600);
        assert_eq!(mode(&inside.join("lock")), 0o600);
        drop(disk);
        FileDisk::new(&inside).expect("free again");
    }
}
