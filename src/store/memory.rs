//! A disk in memory, for dialogues, and for crash tests: it can remember its history and lose what was not synced.
//!
//! The model of a power cut: what was synced is there; of every later write each 512-byte sector is there or not,
//! independently; a file length changed since the last sync is the old or the new one.

use super::disk::{Disk, DiskCounts, Part};
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What survives of a write as a whole.
const SECTOR_BYTES: usize = 512;

/// One thing done to the disk.
#[derive(Clone, Debug)]
enum Event {
    Draft { bytes: u64 },
    Publish { part: Part, file: usize },
    Write { file: usize, offset: u64, data: Vec<u8> },
    SetLen { file: usize, len: u64 },
    Sync { file: usize },
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Vec<u8>>,
    names: [Option<usize>; 2],
    drafts: [Option<usize>; 2],
    counts: [DiskCounts; 2],
    /// `None`: not remembered.
    history: Option<Vec<Event>>,
    /// Writes and syncs that still succeed, and what comes after them.
    failing: Option<(u64, io::ErrorKind)>,
    free_bytes: u64,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

impl Default for MemoryDisk {
    fn default() -> MemoryDisk {
        MemoryDisk::new()
    }
}

fn slot(part: Part) -> usize {
    match part {
        Part::Database => 0,
        Part::Journal => 1,
    }
}

impl MemoryDisk {
    /// An empty disk that forgets its past.
    pub fn new() -> MemoryDisk {
        MemoryDisk { state: Arc::new(Mutex::new(State { free_bytes: 1 << 40, ..State::default() })) }
    }
    /// An empty disk that remembers everything done to it, for [`MemoryDisk::cut`].
    pub fn remembering() -> MemoryDisk {
        let disk = MemoryDisk::new();
        disk.state().history = Some(Vec::new());
        disk
    }
    /// Forgets the past and remembers from here on; what is on the disk now counts as synced.
    pub fn remember(&self) {
        let mut state = self.state();
        let mut history = Vec::new();
        for (file, bytes) in state.files.iter().enumerate() {
            history.push(Event::Draft { bytes: 0 });
            history.push(Event::Write { file, offset: 0, data: bytes.clone() });
            history.push(Event::Sync { file });
        }
        let parts = [Part::Database, Part::Journal];
        let published = parts.into_iter().filter_map(|part| Some((part, state.names[slot(part)]?)));
        history.extend(published.map(|(part, file)| Event::Publish { part, file }));
        state.history = Some(history);
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// How much has been done to the disk: writes, syncs and everything else, counted.
    pub fn events(&self) -> usize {
        self.state().history.as_ref().map_or(0, Vec::len)
    }
    /// What a power cut after the first `events` events leaves. `survives` is asked for every sector not synced.
    pub fn cut(&self, events: usize, mut survives: impl FnMut() -> bool) -> MemoryDisk {
        let mut durable: Vec<Vec<u8>> = Vec::new();
        let mut unsynced: Vec<Vec<Event>> = Vec::new();
        let mut names = [None; 2];
        for event in self.state().history.iter().flatten().take(events) {
            match event {
                Event::Draft { bytes } => {
                    durable.push(vec![0; *bytes as usize]);
                    unsynced.push(Vec::new());
                }
                Event::Publish { part, file } => names[slot(*part)] = Some(*file),
                Event::Write { file, .. } | Event::SetLen { file, .. } => unsynced[*file].push(event.clone()),
                Event::Sync { file } => {
                    for event in std::mem::take(&mut unsynced[*file]) {
                        redo(&mut durable[*file], &event, || true);
                    }
                }
            }
        }
        for (file, events) in durable.iter_mut().zip(unsynced) {
            for event in events {
                redo(file, &event, &mut survives);
            }
        }
        let disk = MemoryDisk::new();
        *disk.state() = State { files: durable, names, free_bytes: 1 << 40, ..State::default() };
        // So that it can be cut again.
        disk.remember();
        disk
    }
    /// Lets `more` writes and syncs succeed; all later ones fail like this, until [`MemoryDisk::heal`].
    pub fn fail_after(&self, more: u64, kind: io::ErrorKind) {
        self.state().failing = Some((more, kind));
    }
    /// Ends the failing.
    pub fn heal(&self) {
        self.state().failing = None;
    }
    /// Sets what [`Disk::free_bytes`] says.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.state().free_bytes = bytes;
    }
    /// Flips one bit of a published file: damage.
    pub fn damage(&self, part: Part, offset: usize) {
        let mut state = self.state();
        if let Some(file) = state.names[slot(part)]
            && let Some(byte) = state.files[file].get_mut(offset)
        {
            *byte ^= 1;
        }
    }
    /// The bytes of a published file.
    pub fn bytes(&self, part: Part) -> Vec<u8> {
        let state = self.state();
        state.names[slot(part)].map(|file| state.files[file].clone()).unwrap_or_default()
    }
}

/// Does an event to a file's bytes, sector by sector as far as it survives.
fn redo(file: &mut Vec<u8>, event: &Event, mut survives: impl FnMut() -> bool) {
    match event {
        Event::Write { offset, data, .. } => {
            let mut at = *offset as usize;
            let mut rest = &data[..];
            while !rest.is_empty() {
                let (sector, later) = rest.split_at(rest.len().min(SECTOR_BYTES - at % SECTOR_BYTES));
                if survives() {
                    write_at(file, at, sector);
                }
                at += sector.len();
                rest = later;
            }
        }
        Event::SetLen { len, .. } if survives() => file.resize(*len as usize, 0),
        _ => {}
    }
}

fn write_at(file: &mut Vec<u8>, at: usize, data: &[u8]) {
    if file.len() < at + data.len() {
        file.resize(at + data.len(), 0);
    }
    file[at..at + data.len()].copy_from_slice(data);
}

impl State {
    fn record(&mut self, event: Event) {
        if let Some(history) = &mut self.history {
            history.push(event);
        }
    }
    /// Counts one write or sync against the failing.
    fn touch(&mut self) -> io::Result<()> {
        match &mut self.failing {
            None => Ok(()),
            Some((0, kind)) => Err((*kind).into()),
            Some((more, _)) => {
                *more -= 1;
                Ok(())
            }
        }
    }
}

impl Disk for MemoryDisk {
    fn open(&self, part: Part) -> io::Result<Option<Box<dyn StorageBackend>>> {
        let file = self.state().names[slot(part)];
        Ok(file.map(|file| Box::new(MemoryFile { disk: self.clone(), part, file }) as Box<dyn StorageBackend>))
    }
    fn draft(&self, part: Part, bytes: u64) -> io::Result<Box<dyn StorageBackend>> {
        let mut state = self.state();
        state.touch()?;
        let file = state.files.len();
        state.files.push(vec![0; bytes as usize]);
        state.drafts[slot(part)] = Some(file);
        state.record(Event::Draft { bytes });
        Ok(Box::new(MemoryFile { disk: self.clone(), part, file }))
    }
    fn publish(&self, part: Part) -> io::Result<()> {
        let mut state = self.state();
        state.touch()?;
        let file = state.drafts[slot(part)].take().ok_or(io::ErrorKind::NotFound)?;
        state.names[slot(part)] = Some(file);
        state.record(Event::Sync { file });
        state.record(Event::Publish { part, file });
        Ok(())
    }
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.state().free_bytes)
    }
    fn counts(&self, part: Part) -> DiskCounts {
        self.state().counts[slot(part)]
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    part: Part,
    file: usize,
}

impl StorageBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        let start = offset as usize;
        let bytes = state.files[self.file].get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.touch()?;
        state.record(Event::SetLen { file: self.file, len });
        state.files[self.file].resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.counts[slot(self.part)].syncs += 1;
        state.touch()?;
        state.record(Event::Sync { file: self.file });
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let counts = &mut state.counts[slot(self.part)];
        counts.writes += 1;
        counts.bytes += data.len() as u64;
        state.touch()?;
        if state.history.is_some() {
            state.record(Event::Write { file: self.file, offset, data: data.to_vec() });
        }
        write_at(&mut state.files[self.file], offset as usize, data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_what_was_synced_and_nothing_else() {
        let disk = MemoryDisk::remembering();
        let file = disk.draft(Part::Journal, 4096).expect("a draft");
        disk.publish(Part::Journal).expect("published");
        file.write(0, &[1; 1024]).expect("written");
        file.sync_data().expect("synced");
        file.write(512, &[2; 1024]).expect("written");
        let lost = disk.cut(disk.events(), || false).bytes(Part::Journal);
        assert_eq!((lost[0], lost[512], lost[1024]), (1, 1, 0));
        let mut odd = false;
        let torn = disk
            .cut(disk.events(), || {
                odd = !odd;
                odd
            })
            .bytes(Part::Journal);
        assert_eq!((torn[511], torn[512], torn[1024]), (1, 2, 0));
        assert_eq!(disk.cut(1, || true).bytes(Part::Journal), Vec::<u8>::new(), "not yet published");
    }

    #[test]
    fn failing_begins_and_ends() {
        let disk = MemoryDisk::new();
        let file = disk.draft(Part::Database, 0).expect("a draft");
        disk.fail_after(1, io::ErrorKind::StorageFull);
        file.write(0, b"x").expect("the last that succeeds");
        assert_eq!(file.sync_data().expect_err("full").kind(), io::ErrorKind::StorageFull);
        disk.heal();
        file.sync_data().expect("healed");
    }
}
