//! A disk whose flushes take as long as those of a card: in memory they take no time, and then nobody waits for anybody.

use hauspost::store::{Disk, DiskCounts, FileDisk, Part};
use redb::StorageBackend;
use std::io;
use std::time::Duration;

/// A good card; many need several times as long.
const FLUSH: Duration = Duration::from_millis(2);

pub struct Card(pub FileDisk);

impl Disk for Card {
    fn open(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>> {
        let file = self.0.open(part)?;
        Ok(file.map(|file| Box::new(SlowFile { file, flush: FLUSH }) as Box<dyn StorageBackend>))
    }
    fn draft(&self, part: Part, bytes: u64) -> io::Result<Box<dyn StorageBackend>> {
        self.0.draft(part, bytes)
    }
    fn publish(&self, part: Part) -> io::Result<()> {
        self.0.publish(part)
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.0.free_bytes()
    }
    fn counts(&self, part: Part) -> DiskCounts {
        self.0.counts(part)
    }
}

#[derive(Debug)]
pub struct SlowFile {
    pub file: Box<dyn StorageBackend>,
    pub flush: Duration,
}

impl StorageBackend for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        std::thread::sleep(self.flush);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}
