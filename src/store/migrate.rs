//! A store of format 1 becomes one of format 2. All that is known of format 1 stands here.
//!
//! Receives the open database of a store of format 1 and its journal; leaves one of format 2 whose journal is redundant.
//! Everything happens in one transaction: the rows are written anew, the facts of every body and its thread are made from
//! its bytes, a chunk at a time, and the batches of the journal are applied to the result. What must always hold: until
//! that transaction is durable, the file is a store of format 1, whole, with its journal; an error leaves it like that.
//!
//! In format 1 rows had no seals and began with the version 1, a body's facts lay in its row, and all pieces lay as those
//! of staged bodies do now; they stay where they are. What was damaged then cannot be told from what was not, but for
//! bodies: one that cannot be read keeps the facts it had.

use super::Trouble;
use super::apply::Tables;
use super::body::{BodyRow, Chunk, Inflater, read_chunks, stored_bytes};
use super::code::{Decoder, Malformed};
use super::damage::{damaged, damaged_row};
use super::facts::{decode_facts, encode_facts};
use super::open::{apply_batch, begin, check_end};
use super::pieces::{PAGE_BYTES, first_piece, pieces};
use super::ring::Ring;
use super::step::{BodyRows, Step};
use super::tables::*;
use super::threads::{Threaded, thread_of};
use super::{QueueEntry, QueueRecipient, Recipient};
use crate::mail::index::{BodyIndex, Indexer};
use crate::mail::message::*;
use crate::wire::address::ReversePath;
use crate::wire::date::Timestamp;
use redb::{Database, Durability, ReadableTable, Table, TableDefinition, TableHandle};

/// The format that is migrated, and the version of its rows.
pub const OLD_FORMAT: u32 = 1;
const OLD_VERSION: u8 = 1;

/// The messages of format 1.
const OLD_MESSAGES: TableDefinition<u64, &[u8; 50]> = TableDefinition::new("messages");
/// Where they and the bodies wait meanwhile. Rows of another length in the place of the old would leave pages half empty.
const MESSAGES_ASIDE: TableDefinition<u64, &[u8; 50]> = TableDefinition::new("messages of format 1");
const BODIES_ASIDE: TableDefinition<u64, &[u8]> = TableDefinition::new("bodies of format 1");

/// From row bytes of format 1.
pub fn decode_meta(bytes: &[u8]) -> Result<Meta, Malformed> {
    let mut decoder = Decoder::new(bytes);
    Ok(Meta {
        format: decoder.u32()?,
        store: decoder.u64()?,
        batch: decoder.u64()?,
        position: decoder.u64()?,
        body: decoder.u64()?,
        queue: decoder.u64()?,
        latest_time: Timestamp(decoder.u64()? as i64),
        mailbox: decoder.u32()?,
        uid_validity: decoder.u32()?,
        closed: decoder.byte()? != 0,
        page_used: PAGE_BYTES,
        room_bytes: 0,
    })
}

/// Migrates the store, journal and all, durably.
pub fn migrate(database: &Database, ring: &mut Ring, meta: &mut Meta) -> Result<(), Trouble> {
    log::info!("event=store-migrating from={OLD_FORMAT} to={FORMAT}");
    let was_closed = meta.closed;
    meta.format = FORMAT;
    let txn = begin(database, Durability::Immediate)?;
    txn.rename_table(OLD_MESSAGES, MESSAGES_ASIDE)?;
    txn.rename_table(BODIES.table, BODIES_ASIDE)?;
    let mut migration = Migration { tables: Tables::open(&txn)?, inflater: Inflater::default() };
    migration.rows()?;
    for row in txn.open_table(MESSAGES_ASIDE)?.iter()? {
        let (key, bytes) = row?;
        migration.message(key.value(), bytes.value())?;
    }
    let mut bodies = 0u64;
    for row in txn.open_table(BODIES_ASIDE)?.iter()? {
        let (id, bytes) = row?;
        migration.body(BodyId(id.value()), bytes.value())?;
        bodies += 1;
    }
    let mut replayed = 0u64;
    while let Some(payload) = ring.read_next(meta.batch)? {
        migration.batch(&payload, meta)?;
        meta.position = ring.position();
        replayed += 1;
    }
    check_end(ring, meta, replayed > 0 || !was_closed)?;
    // All of the journal is in the tables now; what its steps have freed is little beside what the migration has moved.
    (meta.closed, meta.room_bytes) = (true, 0);
    migration.tables.save_meta(meta)?;
    drop(migration);
    txn.delete_table(MESSAGES_ASIDE)?;
    txn.delete_table(BODIES_ASIDE)?;
    txn.commit()?;
    ring.forget();
    log::info!("event=store-migrated from={OLD_FORMAT} to={FORMAT} bodies={bodies} batches={replayed}");
    Ok(())
}

struct Migration<'t> {
    tables: Tables<'t>,
    inflater: Inflater,
}

impl Migration<'_> {
    fn message(&mut self, key: u64, bytes: &[u8; 50]) -> Result<(), Trouble> {
        let row = current(bytes).and_then(|row| decode_message(key_uid(key), &row));
        let row = row.map_err(|Malformed| damaged_row("messages", key))?;
        self.tables.messages.insert(key, &encode_message(key, &row))?;
        Ok(())
    }

    /// All tables but those of messages and bodies.
    fn rows(&mut self) -> Result<(), Trouble> {
        let tables = &mut self.tables;
        renew(&CREDENTIALS, tables.credentials.write()?, current)?;
        renew(&SETTINGS, tables.settings.write()?, |row| Ok(row.to_vec()))?;
        let ids = tables.mailboxes.iter()?.map(|row| row.map(|row| row.0.value())).collect::<Result<Vec<_>, _>>()?;
        for id in ids {
            let row = tables.mailboxes.get(id)?.ok_or(Malformed).and_then(|row| current(row.value()));
            MAILBOXES.insert(&mut tables.mailboxes, &id, row.map_err(|Malformed| damaged_row("mailboxes", id))?)?;
        }
        let ids =
            tables.queue.read()?.iter()?.map(|row| row.map(|row| row.0.value())).collect::<Result<Vec<_>, _>>()?;
        for id in ids {
            let entry =
                tables.queue.read()?.get(id)?.ok_or(Malformed).and_then(|row| decode_entry(QueueId(id), row.value()));
            let entry = entry.map_err(|Malformed| damaged_row("queue", id))?;
            QUEUE.insert(tables.queue.write()?, &id, encode_queue_entry(&entry))?;
        }
        Ok(())
    }

    /// A body whose pieces are in the tables.
    fn body(&mut self, id: BodyId, row: &[u8]) -> Result<(), Trouble> {
        let tables = &self.tables;
        let old = OldBody::decode(&mut Decoder::new(row)).map_err(|Malformed| damaged_row("bodies", id.0))?;
        let mut numbers = pieces(0, stored_bytes(&old.chunks)).map(|(number, _)| number);
        let next = || -> Result<Option<Vec<u8>>, Trouble> {
            let Some(number) = numbers.next() else { return Ok(None) };
            Ok(tables.pieces.get((id.0, number))?.map(|piece| piece.value().to_vec()))
        };
        let rows = old.renew(id, 0, tables, &mut self.inflater, next)?;
        self.tables.insert_body(id, &rows)?;
        Ok(())
    }

    /// A batch of the journal.
    fn batch(&mut self, payload: &[u8], meta: &mut Meta) -> Result<(), Trouble> {
        let inflater = &mut self.inflater;
        apply_batch(payload, &mut self.tables, meta, |decoder, tables, meta| {
            let mut ahead = decoder.clone();
            let step = match ahead.byte() {
                Ok(1) => body_step(&mut ahead, tables, meta, inflater)?,
                Ok(12) => queue_step(&mut ahead),
                Ok(14) => credential_step(&mut ahead),
                _ => return Ok(Step::decode(decoder)),
            };
            *decoder = ahead;
            Ok(step)
        })
    }
}

/// Writes every row of a table anew, in place. Only for tables that are small: devices and settings.
fn renew(
    sealed: &Sealed<&'static str>,
    table: &mut Table<'_, &'static str, &'static [u8]>,
    change: impl Fn(&[u8]) -> Result<Vec<u8>, Malformed>,
) -> Result<(), Trouble> {
    let mut renewed = Vec::new();
    for row in table.iter()? {
        let (key, bytes) = row?;
        let row = change(bytes.value()).map_err(|Malformed| damaged_row(sealed.table.name(), key.value()))?;
        renewed.push((key.value().to_owned(), row));
    }
    renewed.into_iter().try_for_each(|(key, row)| sealed.insert(table, &&key[..], row))
}

/// A row of format 1 whose version is all that has changed.
fn current(row: &[u8]) -> Result<Vec<u8>, Malformed> {
    match row.split_first() {
        Some((&OLD_VERSION, rest)) => Ok([&[VERSION][..], rest].concat()),
        _ => Err(Malformed),
    }
}

/// A body of format 1: its facts stood in its row.
struct OldBody {
    refs: u32,
    bytes: u64,
    crc: u32,
    facts: Vec<u8>,
    chunks: Vec<Chunk>,
}

impl OldBody {
    fn decode(decoder: &mut Decoder<'_>) -> Result<OldBody, Malformed> {
        if decoder.byte()? != OLD_VERSION {
            return Err(Malformed);
        }
        Ok(OldBody {
            refs: decoder.u32()?,
            bytes: decoder.varint()?,
            crc: decoder.u32()?,
            facts: decoder.bytes()?.to_vec(),
            chunks: read_chunks(decoder)?,
        })
    }

    /// Its rows. `next` gives its compressed bytes, in order.
    fn renew(
        self,
        id: BodyId,
        first_piece: u32,
        tables: &Tables<'_>,
        inflater: &mut Inflater,
        next: impl FnMut() -> Result<Option<Vec<u8>>, Trouble>,
    ) -> Result<BodyRows, Trouble> {
        let index = match read_index(&self.chunks, inflater, next)? {
            Some(index) => index,
            None => {
                // It stays unreadable, and says so whenever it is read; what was known of it stays known.
                let _ = damaged(format_args!("body {} cannot be read", id.0));
                decode_old_facts(&self.facts).map_err(|Malformed| damaged_row("bodies", id.0))?
            }
        };
        let known = |hash| find_thread(&tables.threads, hash, id);
        let Threaded { thread, keys: thread_keys } = thread_of(id, index.message_id, &index.references, known)?;
        let OldBody { refs, bytes, crc, facts: _, chunks } = self;
        let body = BodyRow { refs, bytes, crc, thread, thread_keys, first_piece, chunks, base: None }.encode();
        Ok(BodyRows { body, facts: encode_facts(&index), signature: index.signature })
    }
}

/// The facts of format 1 are those of format 2 without a version before them and hashes of Message-IDs behind them.
fn decode_old_facts(facts: &[u8]) -> Result<BodyIndex, Malformed> {
    const NO_HASHES: [u8; 2] = [0, 0];
    decode_facts(&[&[VERSION], facts, &NO_HASHES].concat())
}

/// Reads a body as it was read when it arrived; `None` when it cannot be read.
fn read_index(
    chunks: &[Chunk],
    inflater: &mut Inflater,
    mut next: impl FnMut() -> Result<Option<Vec<u8>>, Trouble>,
) -> Result<Option<BodyIndex>, Trouble> {
    let mut indexer = Indexer::new();
    let (mut stored, mut inflated) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let length = chunk.stored as usize;
        while stored.len() < length {
            let Some(piece) = next()? else { return Ok(None) };
            stored.extend_from_slice(&piece);
        }
        inflated.clear();
        if inflater.inflate(chunk, stored.get(..length).unwrap_or_default(), &mut inflated).is_err() {
            return Ok(None);
        }
        indexer.push(&inflated);
        stored.drain(..length);
    }
    Ok(Some(indexer.finish()))
}

/// A body of the journal: held, with its compressed bytes.
fn body_step(
    decoder: &mut Decoder<'_>,
    tables: &Tables<'_>,
    meta: &Meta,
    inflater: &mut Inflater,
) -> Result<Result<Step, Malformed>, Trouble> {
    let read = |decoder: &mut Decoder<'_>| -> Result<_, Malformed> {
        let id = BodyId(decoder.varint()?);
        let old = OldBody::decode(&mut Decoder::new(decoder.bytes()?))?;
        Ok((id, old, decoder.bytes()?.to_vec()))
    };
    let (id, old, stored) = match read(decoder) {
        Ok(body) => body,
        Err(Malformed) => return Ok(Err(Malformed)),
    };
    let first = first_piece(meta.page_used, stored.len() as u64);
    let mut whole = Some(stored.clone());
    let rows = old.renew(id, first, tables, inflater, || Ok(whole.take()))?;
    Ok(Ok(Step::Body { id, rows, stored }))
}

fn queue_step(decoder: &mut Decoder<'_>) -> Result<Step, Malformed> {
    decode_entry(QueueId(decoder.varint()?), decoder.bytes()?).map(Step::Queue)
}

fn credential_step(decoder: &mut Decoder<'_>) -> Result<Step, Malformed> {
    decode_credential(&current(decoder.bytes()?)?).map(Step::SetCredential)
}

/// A queue entry of format 1: nothing but addresses was kept of the envelope.
fn decode_entry(id: QueueId, row: &[u8]) -> Result<QueueEntry, Malformed> {
    let mut decoder = Decoder::new(row);
    if decoder.byte()? != OLD_VERSION {
        return Err(Malformed);
    }
    let body = BodyId(decoder.varint()?);
    let bytes = decoder.varint()?;
    let queued = Timestamp(decoder.signed()?);
    let due = Timestamp(decoder.signed()?);
    let reverse_path = match decoder.byte()? {
        0 => ReversePath::Null,
        1 => ReversePath::Address(read_address(&mut decoder)?),
        _ => return Err(Malformed),
    };
    let recipients = (0..decoder.count()?)
        .map(|_| {
            let recipient = QueueRecipient::from(Recipient::from(read_address(&mut decoder)?));
            Ok(QueueRecipient { attempts: decoder.varint32()?, last_reply: decoder.text()?, ..recipient })
        })
        .collect::<Result<_, Malformed>>()?;
    let parameters = Default::default();
    Ok(QueueEntry {
        id,
        body,
        bytes,
        reverse_path,
        parameters,
        recipients,
        queued,
        due,
        held: false,
        signatures: Vec::new(),
        delay_told: false,
        outbox: None,
        sent_copy: None,
    })
}
