//! A card that refuses to read some of its places, and to be written.

use super::PAGE_BYTES;
use hauspost::store::*;
use redb::StorageBackend;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// A disk with places that cannot be read.
pub struct BadDisk {
    pub disk: MemoryDisk,
    /// Numbers of pages of the database.
    pub bad: Arc<BTreeSet<u64>>,
}

#[derive(Debug)]
struct BadFile {
    file: Box<dyn StorageBackend>,
    bad: Arc<BTreeSet<u64>>,
}

impl Disk for BadDisk {
    fn open(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>> {
        let file = self.disk.open(part)?;
        let bad = if part == Part::Database { self.bad.clone() } else { Arc::default() };
        Ok(file.map(|file| Box::new(BadFile { file, bad }) as Box<dyn StorageBackend>))
    }
    fn draft(&self, _: Part, _: u64) -> io::Result<Box<dyn StorageBackend>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn publish(&self, _: Part) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn counts(&self, part: Part) -> DiskCounts {
        self.disk.counts(part)
    }
}

impl StorageBackend for BadFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let pages = offset / PAGE_BYTES as u64..=(offset + out.len() as u64 - 1) / PAGE_BYTES as u64;
        if self.bad.range(pages).next().is_some() {
            return Err(io::Error::other("input/output error"));
        }
        self.file.read(offset, out)
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
