//! A damaged file, read only and read on: what cannot be read is zeros, and remembered.

use redb::StorageBackend;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;

/// The unit in which a disk loses what it had.
pub const PAGE_BYTES: u64 = 4096;

/// A file that is only ever read.
pub struct Source {
    file: Box<dyn StorageBackend>,
    bytes: u64,
    /// Offsets of pages that the disk refuses to read.
    unreadable: RefCell<BTreeSet<u64>>,
}

impl Source {
    /// Looks at nothing but the length.
    pub fn new(file: Box<dyn StorageBackend>) -> io::Result<Source> {
        let bytes = file.len()?;
        Ok(Source { file, bytes, unreadable: RefCell::default() })
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many pages the disk refused to read so far.
    pub fn unreadable(&self) -> usize {
        self.unreadable.borrow().len()
    }

    /// Bytes from `at` on. What lies behind the end, or cannot be read, is zeros: no checksum takes them for content.
    pub fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        let there = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(length).min(length);
        let Some(wanted) = out.get_mut(..there) else { return out };
        if wanted.is_empty() || self.file.read(at, wanted).is_ok() {
            return out;
        }
        let mut page_at = at;
        let mut rest = wanted;
        while !rest.is_empty() {
            let upto = usize::try_from(PAGE_BYTES - page_at % PAGE_BYTES).unwrap_or(rest.len()).min(rest.len());
            let Some((page, behind)) = rest.split_at_mut_checked(upto) else { break };
            if self.file.read(page_at, page).is_err() {
                page.fill(0);
                self.unreadable.borrow_mut().insert(page_at - page_at % PAGE_BYTES);
            }
            page_at += upto as u64;
            rest = behind;
        }
        out
    }
}
