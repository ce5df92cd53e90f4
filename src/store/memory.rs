//! A disk in memory, for dialogues, and for crash tests: it can remember its history, lose what was not synced, fail and
//! be full.
//!
//! The model of a power cut: what was synced is there; of every later write each piece is there or not, independently of
//! all others and of their order; a file length changed since the last sync is the old or the new one. How large a piece
//! is, 512 bytes or a block or a whole write, is up to who cuts.

use super::disk::{Disk, DiskCounts, Part};
use redb::StorageBackend;
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The smallest piece of a write that survives alone: a sector.
const SECTOR_BYTES: usize = 512;
/// What a disk of a certain size is handed out in.
const BLOCK_BYTES: u64 = 4096;

/// One thing done to the disk.
#[derive(Clone, Debug)]
enum Event {
    Draft { bytes: u64 },
    Publish { part: Part, file: usize },
    Write { file: usize, offset: u64, data: Arc<[u8]> },
    SetLen { file: usize, len: u64 },
    Sync { file: usize },
}

/// What was done to the disk since it began to remember.
#[derive(Clone, Debug, Default)]
struct History {
    /// As it was when it began: all of it counts as synced.
    files: Vec<Vec<u8>>,
    names: [Option<usize>; 2],
    events: Vec<Event>,
}

/// Which writes and syncs fail.
#[derive(Clone, Copy, Debug)]
struct Failing {
    /// So many succeed before.
    more: u64,
    kind: io::ErrorKind,
    /// All that follow fail too.
    lasts: bool,
}

/// A disk that is only so large. Blocks are taken when they are first written, as on file systems that keep holes.
#[derive(Clone, Debug)]
struct Room {
    blocks: u64,
    /// File and number of each block.
    taken: HashSet<(usize, u64)>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Vec<u8>>,
    names: [Option<usize>; 2],
    drafts: [Option<usize>; 2],
    counts: [DiskCounts; 2],
    /// `None`: not remembered.
    history: Option<History>,
    failing: Option<Failing>,
    /// Numbers that decide what a failed sync loses; `None`: it loses nothing.
    losing: Option<u64>,
    /// `None`: there is always room, whatever `free_bytes` says.
    room: Option<Room>,
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
    fn of(state: State) -> MemoryDisk {
        MemoryDisk { state: Arc::new(Mutex::new(State { free_bytes: 1 << 40, ..state })) }
    }
    /// An empty disk that forgets its past.
    pub fn new() -> MemoryDisk {
        MemoryDisk::of(State::default())
    }
    /// An empty disk that remembers everything done to it, for [`MemoryDisk::cut`].
    pub fn remembering() -> MemoryDisk {
        MemoryDisk::of(State { history: Some(History::default()), ..State::default() })
    }
    /// An empty disk with room for so many bytes, in whole blocks of 4 KiB. A write behind them fails with `StorageFull`.
    pub fn with_capacity(bytes: u64) -> MemoryDisk {
        let room = Room { blocks: bytes / BLOCK_BYTES, taken: HashSet::new() };
        MemoryDisk::of(State { room: Some(room), ..State::default() })
    }
    /// Changes how large a disk made by [`MemoryDisk::with_capacity`] is, as if others took room or made it.
    pub fn set_capacity(&self, bytes: u64) {
        if let Some(room) = &mut self.state().room {
            room.blocks = bytes / BLOCK_BYTES;
        }
    }
    /// Forgets the past and remembers from here on; what is on the disk now counts as synced.
    pub fn remember(&self) {
        let mut state = self.state();
        let history = History { files: state.files.clone(), names: state.names, events: Vec::new() };
        state.history = Some(history);
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// How much has been done to the disk since it began to remember: writes, syncs and everything else, counted.
    pub fn events(&self) -> usize {
        self.state().history.as_ref().map_or(0, |history| history.events.len())
    }
    /// Everything remembered, to be gone through event by event.
    pub fn replay(&self) -> Replay {
        let History { files, names, events } = self.state().history.clone().unwrap_or_default();
        Replay { events, at: 0, files, names, unsynced: Vec::new() }
    }
    /// What a power cut after the first `events` events leaves. `survives` is asked for every sector not synced.
    pub fn cut(&self, events: usize, survives: impl FnMut() -> bool) -> MemoryDisk {
        let mut replay = self.replay();
        while replay.at() < events && replay.forward() {}
        replay.survivor(SECTOR_BYTES, survives)
    }
    /// Lets `more` writes and syncs succeed; all later ones fail like this, until [`MemoryDisk::heal`].
    pub fn fail_after(&self, more: u64, kind: io::ErrorKind) {
        self.state().failing = Some(Failing { more, kind, lasts: true });
    }
    /// Lets `more` writes and syncs succeed; the next one fails like this, and none after it.
    pub fn fail_once(&self, more: u64, kind: io::ErrorKind) {
        self.state().failing = Some(Failing { more, kind, lasts: false });
    }
    /// Ends the failing.
    pub fn heal(&self) {
        self.state().failing = None;
    }
    /// Whether the failing asked for has not begun yet.
    pub fn is_well(&self) -> bool {
        self.state().failing.is_some_and(|failing| failing.more > 0)
    }
    /// From now on a sync that fails loses some of what it was to keep, as a kernel does that drops the pages it could
    /// not write. Only for a disk that remembers; the seed says what is lost.
    pub fn lose_with_failed_syncs(&self, seed: u64) {
        self.state().losing = Some(seed | 1);
    }
    /// Sets what [`Disk::free_bytes`] says of a disk without a capacity.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.state().free_bytes = bytes;
    }
    /// Flips one bit of a published file: damage.
    pub fn damage(&self, part: Part, offset: usize) {
        let mut byte = [0];
        if let Some(now) = self.bytes(part).get(offset) {
            byte = [now ^ 1];
        }
        self.overwrite(part, offset, &byte);
    }
    /// Puts these bytes where others are, as far as the published file reaches: damage.
    pub fn overwrite(&self, part: Part, offset: usize, bytes: &[u8]) {
        let mut state = self.state();
        if let Some(file) = state.names[slot(part)] {
            for (place, byte) in state.files[file].iter_mut().skip(offset).zip(bytes) {
                *place = *byte;
            }
        }
    }
    /// The bytes of a published file.
    pub fn bytes(&self, part: Part) -> Vec<u8> {
        let state = self.state();
        state.names[slot(part)].map(|file| state.files[file].clone()).unwrap_or_default()
    }
    /// Another disk with the same published files, and nothing else in common.
    pub fn copy(&self) -> MemoryDisk {
        let state = self.state();
        MemoryDisk::of(State { files: state.files.clone(), names: state.names, ..State::default() })
    }
}

/// A history gone through event by event; at each of them the power can be cut.
pub struct Replay {
    events: Vec<Event>,
    at: usize,
    /// What is synced.
    files: Vec<Vec<u8>>,
    names: [Option<usize>; 2],
    /// Numbers of the events that are not synced, in order.
    unsynced: Vec<usize>,
}

impl Replay {
    /// How many events lie behind.
    pub fn at(&self) -> usize {
        self.at
    }
    /// Goes on by one event; `false` at the end.
    pub fn forward(&mut self) -> bool {
        let Some(event) = self.events.get(self.at) else { return false };
        match event {
            Event::Draft { bytes } => self.files.push(vec![0; *bytes as usize]),
            Event::Publish { part, file } => self.names[slot(*part)] = Some(*file),
            Event::Write { .. } | Event::SetLen { .. } => self.unsynced.push(self.at),
            Event::Sync { file } => {
                let (synced, rest) =
                    self.unsynced.iter().partition(|event| file_of(&self.events[**event]) == Some(*file));
                self.unsynced = rest;
                let synced: Vec<usize> = synced;
                for event in synced {
                    redo(&mut self.files[*file], &self.events[event], usize::MAX, || true);
                }
            }
        }
        self.at += 1;
        true
    }
    /// How often [`Replay::survivor`] will ask: pieces of writes and changes of length that are not synced.
    pub fn pieces(&self, grain_bytes: usize) -> usize {
        let pieces = |event: &usize| match &self.events[*event] {
            Event::Write { offset, data, .. } => {
                let (first, last) = (*offset as usize / grain_bytes, (*offset as usize + data.len() - 1) / grain_bytes);
                last - first + 1
            }
            _ => 1,
        };
        self.unsynced.iter().map(pieces).sum()
    }
    /// What a power cut leaves here. `survives` is asked, in the order of writing, for every aligned piece of
    /// `grain_bytes` that is not synced, and for every changed length.
    pub fn survivor(&self, grain_bytes: usize, mut survives: impl FnMut() -> bool) -> MemoryDisk {
        let mut files = self.files.clone();
        for event in &self.unsynced {
            let event = &self.events[*event];
            if let Some(file) = file_of(event) {
                redo(&mut files[file], event, grain_bytes, &mut survives);
            }
        }
        MemoryDisk::of(State { files, names: self.names, ..State::default() })
    }
}

/// Which file an event changes.
fn file_of(event: &Event) -> Option<usize> {
    match event {
        Event::Write { file, .. } | Event::SetLen { file, .. } => Some(*file),
        _ => None,
    }
}

/// Does an event to a file's bytes, piece by piece as far as it survives.
fn redo(file: &mut Vec<u8>, event: &Event, grain_bytes: usize, mut survives: impl FnMut() -> bool) {
    match event {
        Event::Write { offset, data, .. } => {
            let mut at = *offset as usize;
            let mut rest = &data[..];
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(grain_bytes - at % grain_bytes));
                if survives() {
                    write_at(file, at, piece);
                }
                at += piece.len();
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
            history.events.push(event);
        }
    }
    /// Counts one write or sync against the failing.
    fn touch(&mut self) -> io::Result<()> {
        let Some(failing) = &mut self.failing else { return Ok(()) };
        if failing.more > 0 {
            failing.more -= 1;
            return Ok(());
        }
        let error = failing.kind.into();
        if !failing.lasts {
            self.failing = None;
        }
        Err(error)
    }
    /// Takes the blocks of a range that nothing has been written to yet. Returns how many bytes of it have room.
    fn take_room(&mut self, file: usize, offset: u64, bytes: u64) -> u64 {
        let Some(room) = &mut self.room else { return bytes };
        for block in offset / BLOCK_BYTES..(offset + bytes).div_ceil(BLOCK_BYTES) {
            if !room.taken.contains(&(file, block)) {
                if room.taken.len() as u64 >= room.blocks {
                    return (block * BLOCK_BYTES).saturating_sub(offset);
                }
                room.taken.insert((file, block));
            }
        }
        bytes
    }
    /// Gives back the blocks of a file behind `len`.
    fn give_room(&mut self, file: usize, len: u64) {
        if let Some(room) = &mut self.room {
            room.taken.retain(|(owner, block)| *owner != file || block * BLOCK_BYTES < len);
        }
    }
    fn write(&mut self, file: usize, offset: u64, data: &[u8]) {
        if self.history.is_some() && !data.is_empty() {
            self.record(Event::Write { file, offset, data: data.into() });
        }
        write_at(&mut self.files[file], offset as usize, data);
    }
    /// A sync has failed: some sectors of what is not synced are not on the disk, and never will be.
    fn lose(&mut self, file: usize) {
        let (Some(mut chance), Some(history)) = (self.losing, self.history.take()) else { return };
        let History { files, names, events } = history;
        let mut replay = Replay { events, at: 0, files, names, unsynced: Vec::new() };
        while replay.forward() {}
        let lost = replay.survivor(SECTOR_BYTES, || {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance & 2 == 0
        });
        self.files[file] = std::mem::take(&mut lost.state().files[file]);
        self.losing = Some(chance);
        self.history = Some(History { files: self.files.clone(), names: self.names, events: Vec::new() });
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
        if let Some(before) = state.drafts[slot(part)].take() {
            state.give_room(before, 0);
        }
        let file = state.files.len();
        if state.take_room(file, 0, bytes) < bytes {
            state.give_room(file, 0);
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files.push(vec![0; bytes as usize]);
        state.drafts[slot(part)] = Some(file);
        state.record(Event::Draft { bytes });
        Ok(Box::new(MemoryFile { disk: self.clone(), part, file }))
    }
    fn publish(&self, part: Part) -> io::Result<()> {
        let mut state = self.state();
        state.touch()?;
        let file = state.drafts[slot(part)].take().ok_or(io::ErrorKind::NotFound)?;
        if let Some(before) = state.names[slot(part)].replace(file) {
            state.give_room(before, 0);
        }
        state.record(Event::Sync { file });
        state.record(Event::Publish { part, file });
        Ok(())
    }
    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        Ok(match &state.room {
            Some(room) => room.blocks.saturating_sub(room.taken.len() as u64) * BLOCK_BYTES,
            None => state.free_bytes,
        })
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
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = state.files[self.file].get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.touch()?;
        state.record(Event::SetLen { file: self.file, len });
        state.give_room(self.file, len);
        state.files[self.file].resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.counts[slot(self.part)].syncs += 1;
        if let Err(error) = state.touch() {
            state.lose(self.file);
            return Err(error);
        }
        state.record(Event::Sync { file: self.file });
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let counts = &mut state.counts[slot(self.part)];
        counts.writes += 1;
        counts.bytes += data.len() as u64;
        state.touch()?;
        let room = state.take_room(self.file, offset, data.len() as u64) as usize;
        let (written, rest) = data.split_at(room.min(data.len()));
        state.write(self.file, offset, written);
        if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
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
    fn pieces_survive_in_the_order_of_writing_over_both_files() {
        let disk = MemoryDisk::remembering();
        let files = [Part::Journal, Part::Database].map(|part| {
            let file = disk.draft(part, 8192).expect("a draft");
            disk.publish(part).expect("published");
            file
        });
        files[0].write(0, &[1; 8192]).expect("written");
        files[1].write(0, &[2; 4096]).expect("written");
        files[0].write(4096, &[3; 4096]).expect("written");
        let mut replay = disk.replay();
        while replay.forward() {}
        assert_eq!([512, 4096, usize::MAX].map(|grain| replay.pieces(grain)), [32, 4, 3]);
        let mut asked = 0;
        let survivor = replay.survivor(4096, || {
            asked += 1;
            asked <= 3
        });
        let (journal, database) = (survivor.bytes(Part::Journal), survivor.bytes(Part::Database));
        assert_eq!((asked, journal[0], journal[4096], database[0]), (4, 1, 1, 2));
        files[0].sync_data().expect("synced");
        let mut replay = disk.replay();
        while replay.forward() {}
        assert_eq!(replay.pieces(4096), 1, "the other file is not synced");
    }

    #[test]
    fn a_disk_with_a_capacity_fills_by_blocks_and_has_room_again() {
        let disk = MemoryDisk::with_capacity(4 * 4096);
        let file = disk.draft(Part::Database, 0).expect("a draft");
        file.set_len(1 << 20).expect("a hole takes no room");
        file.write(100, &[1; 8192]).expect("three blocks");
        assert_eq!(disk.free_bytes().expect("known"), 4096);
        assert_eq!(file.write(8192, &[2; 12_288]).expect_err("full").kind(), io::ErrorKind::StorageFull);
        let mut read = [0; 2];
        file.read(16_383, &mut read).expect("readable");
        assert_eq!(read, [2, 0], "as far as there was room");
        file.set_len(4096).expect("shorter");
        assert_eq!(disk.free_bytes().expect("known"), 3 * 4096);
    }

    #[test]
    fn a_failed_sync_loses_and_the_next_one_does_not() {
        let disk = MemoryDisk::remembering();
        let file = disk.draft(Part::Journal, 64 << 10).expect("a draft");
        disk.publish(Part::Journal).expect("published");
        disk.lose_with_failed_syncs(1);
        file.write(0, &[1; 32 << 10]).expect("written");
        disk.fail_once(0, io::ErrorKind::Other);
        file.sync_data().expect_err("fails");
        file.sync_data().expect("once");
        let kept = disk.bytes(Part::Journal).iter().filter(|byte| **byte == 1).count();
        assert!(kept > 0 && kept < 32 << 10, "{kept}");
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
