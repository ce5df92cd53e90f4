//! For comparison: the same rows in a redb of their own without a journal, one durable commit for each change.

use crate::card::SlowFile;
use crate::mail::{index, text};
use crate::place::Place;
use crate::table::head;
use crate::written::{PRESENT, plain};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use hauspost::store::{Disk, FileDisk, Part};
use redb::{Database, Durability, ReadableTable, TableDefinition};
use std::io::Write;
use std::time::{Duration, Instant};

const CHANGES: u64 = 1_000;
const CACHE_BYTES: usize = 4 << 20;
const BATCH: u64 = 500;

const MAILBOX: TableDefinition<u32, &[u8]> = TableDefinition::new("mailbox");
const MESSAGES: TableDefinition<u64, &[u8]> = TableDefinition::new("messages");
const MODSEQS: TableDefinition<u128, ()> = TableDefinition::new("modseqs");
const BODIES: TableDefinition<u64, &[u8]> = TableDefinition::new("bodies");
const PIECES: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("pieces");

pub fn run(place: &Place) {
    head(&format!("The same with redb alone, one durable commit for each change; {}", place.says()));
    let disk = FileDisk::new(&place.folder("alone")).expect("a free folder");
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let file = disk.draft(Part::Database, 0).expect("a file");
    let mut alone = Alone {
        database: builder.create_with_backend(SlowFile { file, flush: Duration::ZERO }).expect("a database"),
        modseq: 0,
    };
    let body = text(1_500, 1);
    for batch in 0..PRESENT / BATCH {
        alone.deliver(batch * BATCH..(batch + 1) * BATCH, &body);
    }
    let body = text(8_192, 1);
    measure(place, &disk, "one delivery of 8 KB", |number| {
        alone.deliver(PRESENT + number..PRESENT + number + 1, &body)
    });
    measure(place, &disk, "one flag change", |number| alone.flag(number * 7919 % PRESENT));
}

fn measure(place: &Place, disk: &FileDisk, name: &str, mut change: impl FnMut(u64)) {
    let before = place.written(disk);
    let start = Instant::now();
    for number in 0..CHANGES {
        change(number);
    }
    plain(name, place.written(disk).since(before), CHANGES, start.elapsed().as_secs_f64());
}

struct Alone {
    database: Database,
    modseq: u64,
}

impl Alone {
    /// As many deliveries as there are numbers, in one commit.
    fn deliver(&mut self, numbers: std::ops::Range<u64>, body: &[u8]) {
        let index = index(body);
        let facts = [&index.envelope[..], &index.body_structure, &index.body, &index.signature, &[0; 64]].concat();
        let txn = self.database.begin_write().expect("a transaction");
        for number in numbers {
            self.modseq += 1;
            let mut deflater = DeflateEncoder::new(Vec::new(), Compression::new(6));
            deflater.write_all(body).expect("taken in");
            let stored = deflater.finish().expect("compressed");
            txn.open_table(BODIES).expect("a table").insert(number, &facts[..]).expect("a row");
            let mut pieces = txn.open_table(PIECES).expect("a table");
            for (at, piece) in stored.chunks(4_072).enumerate() {
                pieces.insert((number, at as u32), piece).expect("a row");
            }
            txn.open_table(MESSAGES).expect("a table").insert(number, &self.row(0)[..]).expect("a row");
            txn.open_table(MODSEQS).expect("a table").insert(self.change(self.modseq, number), ()).expect("a row");
        }
        self.commit(txn);
    }

    fn flag(&mut self, number: u64) {
        self.modseq += 1;
        let txn = self.database.begin_write().expect("a transaction");
        {
            let mut messages = txn.open_table(MESSAGES).expect("a table");
            let before = messages.get(number).expect("readable").expect("there").value().to_vec();
            let modseq = u64::from_le_bytes(before[2..10].try_into().expect("eight bytes"));
            messages.insert(number, &self.row(1)[..]).expect("a row");
            let mut modseqs = txn.open_table(MODSEQS).expect("a table");
            modseqs.remove(self.change(modseq, number)).expect("a row").expect("there");
            modseqs.insert(self.change(self.modseq, number), ()).expect("a row");
        }
        self.commit(txn);
    }

    fn change(&self, modseq: u64, number: u64) -> u128 {
        u128::from(modseq) << 32 | u128::from(number)
    }

    /// A message's row: flags, modseq, dates, size, body.
    fn row(&self, flags: u8) -> [u8; 50] {
        let mut row = [0; 50];
        row[1] = flags;
        row[2..10].copy_from_slice(&self.modseq.to_le_bytes());
        row
    }

    /// The mailbox's counters change with everything in it.
    fn commit(&self, mut txn: redb::WriteTransaction) {
        txn.open_table(MAILBOX).expect("a table").insert(1, &self.row(0)[..]).expect("a row");
        txn.set_durability(Durability::Immediate).expect("allowed");
        txn.commit().expect("durable");
    }
}
