//! Where the stores of the bench lie, and what is counted there.
//!
//! As root: an ext4 of its own in a file on tmpfs, behind a loop device whose statistics hold every sector and every
//! flush, those of the file system with them. Otherwise a folder below TMPDIR, and what is counted is what the program
//! hands to the system.

use hauspost::store::{FileDisk, Part};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Size of the file system: sparse, so that only what is written takes memory.
const IMAGE_BYTES: u64 = 6 << 30;
const SECTOR_BYTES: u64 = 512;

pub struct Place {
    /// Goes with the value, after the file system in it.
    folder: tempfile::TempDir,
    /// The loop device's statistics, when there is one.
    statistics: Option<PathBuf>,
}

/// What was written so far.
#[derive(Clone, Copy)]
pub struct Written {
    pub bytes: u64,
    pub flushes: u64,
}

impl Written {
    pub fn since(self, before: Written) -> Written {
        Written { bytes: self.bytes - before.bytes, flushes: self.flushes - before.flushes }
    }
}

impl Place {
    pub fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder below TMPDIR");
        let statistics = nix::unistd::Uid::effective().is_root().then(|| mount(folder.path())).flatten();
        Place { folder, statistics }
    }

    /// How bytes and flushes are counted.
    pub fn says(&self) -> String {
        match &self.statistics {
            Some(path) => format!("bytes and flushes counted at the block device ({}), ext4 on tmpfs", path.display()),
            None => {
                "bytes and flushes counted where the program hands them to the system (not root: no device of its own)"
                    .to_owned()
            }
        }
    }

    /// A folder of that name.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What was written so far: by everybody on the device, or through that disk.
    pub fn written(&self, disk: &FileDisk) -> Written {
        use hauspost::store::Disk;
        match &self.statistics {
            Some(path) => {
                // Documentation/block/stat.rst of Linux: sectors written are the seventh number, flushes the sixteenth.
                let text = fs::read_to_string(path).expect("statistics of the device");
                let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
                Written { bytes: numbers[6] * SECTOR_BYTES, flushes: numbers[15] }
            }
            None => {
                let counts = [Part::Database, Part::Journal].map(|part| disk.counts(part));
                Written {
                    bytes: counts.iter().map(|count| count.bytes).sum(),
                    flushes: counts.iter().map(|count| count.syncs).sum(),
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.statistics.is_some() {
            // Lazily: after a failure a store may still be open there.
            run("umount", [OsStr::new("-l"), self.folder.path().as_os_str()]);
        }
    }
}

/// Mounts a new ext4 there. The file behind it loses its name at once: with the mount everything goes.
fn mount(folder: &Path) -> Option<PathBuf> {
    let memory = Path::new("/dev/shm");
    let image = tempfile::NamedTempFile::new_in(if memory.is_dir() { memory } else { folder }).ok()?;
    image.as_file().set_len(IMAGE_BYTES).ok()?;
    let (file, folder) = (image.path().as_os_str(), folder.as_os_str());
    let whole = OsStr::new("lazy_itable_init=0,lazy_journal_init=0");
    let made = run("mkfs.ext4", [OsStr::new("-q"), OsStr::new("-E"), whole, file]);
    if !made || !run("mount", [OsStr::new("-o"), OsStr::new("loop,noatime"), file, folder]) {
        return None;
    }
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').nth(1).map(OsStr::new) == Some(folder))?;
    let device = line.split(' ').next()?.strip_prefix("/dev/")?;
    Some(Path::new("/sys/block").join(device).join("stat"))
}

fn run(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> bool {
    match Command::new(program).args(arguments).status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("{program}: {error}");
            false
        }
    }
}
