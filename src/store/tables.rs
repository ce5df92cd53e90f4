//! The tables of the redb file, their keys, and the encoding of their rows.
//!
//! Receives rows; hands on bytes, and back. It opens nothing and decides nothing. Every row begins with a version and ends
//! with a seal (see [`super::seal`]); a row that cannot be read is damage, never a panic and never a guess. Tables of keys
//! alone have no seals: who reads them compares them with the rows they speak of.

mod waiting;

use super::code::*;
use super::damage::damaged_row;
use super::seal::{SEAL_BYTES, checksum, open_seal, seal};
use super::{Credential, Device, Trouble};
use crate::limits::THREAD_GENERATIONS_MAX;
use crate::mail::access::{Access, Rights};
use crate::mail::collecting::{Collecting, OnDelete};
use crate::mail::credential::Verifier;
use crate::mail::index::MessageIdHash;
use crate::mail::message::*;
use crate::wire::date::Timestamp;
use redb::{Key, ReadableTable, Table, TableDefinition, TableHandle};
pub use waiting::{decode_queue_entry, encode_queue_entry, read_address};

/// A table whose rows are sealed.
pub struct Sealed<K: Key + 'static> {
    /// The table.
    pub table: TableDefinition<'static, K, &'static [u8]>,
    /// Stands for the table in its seals; never another's.
    pub tag: u8,
}

/// Key 0: [`Meta`].
pub const META: Sealed<u8> = Sealed { table: TableDefinition::new("meta"), tag: 1 };
/// Mailbox id to [`MailboxState`].
pub const MAILBOXES: Sealed<u32> = Sealed { table: TableDefinition::new("mailboxes"), tag: 2 };
/// Mailbox name to id; the mailbox has that name.
pub const NAMES: TableDefinition<&str, u32> = TableDefinition::new("names");
/// [`message_key`] to a [`MessageRow`], sealed with [`MESSAGES_TAG`].
pub const MESSAGES: TableDefinition<u64, &MessageBytes> = TableDefinition::new("messages");
/// See [`Sealed::tag`].
pub const MESSAGES_TAG: u8 = 3;
/// [`change_key`] of the last change of each message that is there.
pub const CHANGES: TableDefinition<u128, ()> = TableDefinition::new("changes");
/// [`change_key`] of expunged messages, as far back as the mailbox's floor.
pub const EXPUNGED: TableDefinition<u128, ()> = TableDefinition::new("expunged");
/// Body id to [`super::body::BodyRow`].
pub const BODIES: Sealed<u64> = Sealed { table: TableDefinition::new("bodies"), tag: 4 };
/// Body id to what FETCH shows of it, see [`super::facts`].
pub const FACTS: Sealed<u64> = Sealed { table: TableDefinition::new("facts"), tag: 5 };
/// Body id to its signature for SEARCH; only of bodies that have one.
pub const SIGNATURES: Sealed<u64> = Sealed { table: TableDefinition::new("signatures"), tag: 6 };
/// [`thread_place`] to the thread of both, sealed with [`THREADS_TAG`].
pub const THREADS: TableDefinition<(u64, u64), &ThreadBytes> = TableDefinition::new("threads");
/// See [`Sealed::tag`].
pub const THREADS_TAG: u8 = 7;
/// Body id and number to a piece of its compressed bytes. Not sealed: the chunks in it have checksums.
pub const PIECES: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("pieces");
/// Bodies whose pieces arrive and that no Op has admitted yet.
pub const STAGED: TableDefinition<u64, ()> = TableDefinition::new("staged");
/// Queue id to [`super::QueueEntry`].
pub const QUEUE: Sealed<u64> = Sealed { table: TableDefinition::new("queue"), tag: 8 };
/// [`due_key`] of every queue entry that is not held.
pub const DUE: TableDefinition<u128, ()> = TableDefinition::new("due");
/// Lower-case login to [`Credential`].
pub const CREDENTIALS: Sealed<&str> = Sealed { table: TableDefinition::new("credentials"), tag: 9 };
/// Key to value.
pub const SETTINGS: Sealed<&str> = Sealed { table: TableDefinition::new("settings"), tag: 10 };

/// Of every row.
pub const VERSION: u8 = 2;
/// The format of the file; a store with a higher one is refused, one with a lower one is migrated.
pub const FORMAT: u32 = 2;

impl<K: Key + 'static> Sealed<K> {
    /// What a row says; what cannot be read is damage.
    pub fn decode<T>(
        &self,
        key: &K::SelfType<'_>,
        bytes: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<T, Trouble> {
        let row = open_seal(self.tag, K::as_bytes(key).as_ref(), bytes);
        row.and_then(decode).map_err(|Malformed| damaged_row(self.table.name(), key))
    }

    /// What the row of that key says, if it is there.
    pub fn get<T>(
        &self,
        rows: &impl ReadableTable<K, &'static [u8]>,
        key: &K::SelfType<'_>,
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Trouble> {
        let Some(bytes) = rows.get(key)? else { return Ok(None) };
        self.decode(key, bytes.value(), decode).map(Some)
    }

    /// Makes or replaces a row.
    pub fn insert(
        &self,
        rows: &mut Table<'_, K, &'static [u8]>,
        key: &K::SelfType<'_>,
        mut row: Vec<u8>,
    ) -> Result<(), Trouble> {
        seal(self.tag, K::as_bytes(key).as_ref(), &mut row);
        rows.insert(key, &row[..])?;
        Ok(())
    }
}

/// Orders messages by mailbox, then UID.
pub fn message_key(mailbox: MailboxId, uid: Uid) -> u64 {
    u64::from(mailbox.0) << 32 | u64::from(uid.0)
}

/// The UID of a [`message_key`] or [`change_key`].
pub fn key_uid(key: u64) -> Uid {
    Uid(key as u32)
}

/// Orders changes by mailbox, then modseq, then UID.
pub fn change_key(mailbox: MailboxId, modseq: ModSeq, uid: Uid) -> u128 {
    u128::from(mailbox.0) << 96 | u128::from(modseq.0) << 32 | u128::from(uid.0)
}

/// The modseq of a [`change_key`].
pub fn change_modseq(key: u128) -> ModSeq {
    ModSeq((key >> 32) as u64)
}

/// Orders queue entries by when they are due.
pub fn due_key(due: Timestamp, id: QueueId) -> u128 {
    u128::from(due.0 as u64 ^ 1 << 63) << 64 | u128::from(id.0)
}

/// The parts of a [`due_key`].
pub fn due_parts(key: u128) -> (Timestamp, QueueId) {
    (Timestamp(((key >> 64) as u64 ^ 1 << 63) as i64), QueueId(key as u64))
}

/// What the store knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// See [`FORMAT`].
    pub format: u32,
    /// Random; ties the journal to this file.
    pub store: u64,
    /// Number of the next journal batch. Batches below it are in the tables.
    pub batch: u64,
    /// Where in the ring it will lie, in bytes.
    pub position: u64,
    /// Closed cleanly: no batch was written after this state.
    pub closed: bool,
    /// Next mailbox id.
    pub mailbox: u32,
    /// Next UIDVALIDITY: begins with the clock when the store is made, and only grows.
    pub uid_validity: u32,
    /// Next body id.
    pub body: u64,
    /// Next queue id.
    pub queue: u64,
    /// The latest wall clock time an Op has carried.
    pub latest_time: Timestamp,
    /// Bytes taken of the last page of [`PIECES`], as far as known, see [`super::pieces`].
    pub page_used: u32,
    /// Compressed bytes of bodies that were freed in the file and whose room was not used again, as far as known. A row
    /// without it is 0.
    pub room_bytes: u64,
}

impl Meta {
    /// A body went, or what was staged of one.
    pub fn give_room(&mut self, stored_bytes: u64) {
        self.room_bytes = self.room_bytes.saturating_add(stored_bytes);
    }

    /// A body came, or a part of one.
    pub fn use_room(&mut self, stored_bytes: u64) {
        self.room_bytes = self.room_bytes.saturating_sub(stored_bytes);
    }

    /// As row bytes. The format comes first and stays there for ever.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        out.extend_from_slice(&self.format.to_le_bytes());
        for number in [self.store, self.batch, self.position, self.body, self.queue, self.latest_time.0 as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.mailbox.to_le_bytes());
        out.extend_from_slice(&self.uid_validity.to_le_bytes());
        out.extend_from_slice(&self.page_used.to_le_bytes());
        out.push(self.closed.into());
        out.extend_from_slice(&self.room_bytes.to_le_bytes());
        out
    }

    /// Only the format, which comes first in every format.
    pub fn decode_format(bytes: &[u8]) -> Result<u32, Malformed> {
        Decoder::new(bytes).u32()
    }

    /// From row bytes.
    pub fn decode(bytes: &[u8]) -> Result<Meta, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let format = decoder.u32()?;
        if format != FORMAT {
            return Err(Malformed);
        }
        Ok(Meta {
            format,
            store: decoder.u64()?,
            batch: decoder.u64()?,
            position: decoder.u64()?,
            body: decoder.u64()?,
            queue: decoder.u64()?,
            latest_time: Timestamp(decoder.u64()? as i64),
            mailbox: decoder.u32()?,
            uid_validity: decoder.u32()?,
            page_used: decoder.u32()?,
            closed: decoder.byte()? != 0,
            room_bytes: if decoder.is_empty() { 0 } else { decoder.u64()? },
        })
    }
}

impl Default for Meta {
    fn default() -> Meta {
        Meta {
            format: FORMAT,
            store: 0,
            batch: 1,
            position: 0,
            closed: false,
            mailbox: 1,
            uid_validity: 1,
            body: 1,
            queue: 1,
            latest_time: Timestamp(0),
            page_used: super::pieces::PAGE_BYTES,
            room_bytes: 0,
        }
    }
}

/// A mailbox with what only the store needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxState {
    /// What everybody sees.
    pub mailbox: Mailbox,
    /// Rows of this mailbox in [`EXPUNGED`].
    pub expunged: u32,
}

impl MailboxState {
    /// As row bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Mailbox {
            id: _,
            name,
            uid_validity,
            uid_next,
            highest_modseq,
            messages,
            unseen,
            deleted,
            bytes,
            subscribed,
            special_use,
            keywords,
            expunged_floor,
        } = &self.mailbox;
        let mut out = vec![VERSION];
        put_bytes(&mut out, name.as_bytes());
        for number in [uid_validity.0, uid_next.0, *messages, *unseen, *deleted, self.expunged] {
            put_varint(&mut out, number.into());
        }
        for number in [highest_modseq.0, *bytes, expunged_floor.0] {
            put_varint(&mut out, number);
        }
        out.push((*subscribed).into());
        out.push(encode_use(*special_use));
        put_varint(&mut out, keywords.len() as u64);
        for keyword in keywords {
            put_bytes(&mut out, keyword.as_bytes());
        }
        out
    }

    /// From row bytes.
    pub fn decode(id: MailboxId, bytes: &[u8]) -> Result<MailboxState, Malformed> {
        let mut decoder = versioned(bytes)?;
        let name = decoder.text()?;
        let uid_validity = UidValidity(decoder.varint32()?);
        let uid_next = Uid(decoder.varint32()?);
        let messages = decoder.varint32()?;
        let unseen = decoder.varint32()?;
        let deleted = decoder.varint32()?;
        let expunged = decoder.varint32()?;
        let highest_modseq = ModSeq(decoder.varint()?);
        let total = decoder.varint()?;
        let expunged_floor = ModSeq(decoder.varint()?);
        let subscribed = decoder.byte()? != 0;
        let special_use = decode_use(decoder.byte()?)?;
        let keywords = (0..decoder.count()?).map(|_| decoder.text()).collect::<Result<_, _>>()?;
        let mailbox = Mailbox {
            id,
            name,
            uid_validity,
            uid_next,
            highest_modseq,
            messages,
            unseen,
            deleted,
            bytes: total,
            subscribed,
            special_use,
            keywords,
            expunged_floor,
        };
        Ok(MailboxState { mailbox, expunged })
    }
}

/// Begins a row that starts with its version.
pub fn versioned(bytes: &[u8]) -> Result<Decoder<'_>, Malformed> {
    let mut decoder = Decoder::new(bytes);
    if decoder.byte()? == VERSION { Ok(decoder) } else { Err(Malformed) }
}

/// As one byte.
pub fn encode_use(special_use: Option<SpecialUse>) -> u8 {
    match special_use {
        None => 0,
        Some(SpecialUse::Archive) => 1,
        Some(SpecialUse::Drafts) => 2,
        Some(SpecialUse::Junk) => 3,
        Some(SpecialUse::Sent) => 4,
        Some(SpecialUse::Trash) => 5,
        Some(SpecialUse::Outbox) => 6,
    }
}

/// From one byte.
pub fn decode_use(byte: u8) -> Result<Option<SpecialUse>, Malformed> {
    Ok(match byte {
        0 => None,
        1 => Some(SpecialUse::Archive),
        2 => Some(SpecialUse::Drafts),
        3 => Some(SpecialUse::Junk),
        4 => Some(SpecialUse::Sent),
        5 => Some(SpecialUse::Trash),
        6 => Some(SpecialUse::Outbox),
        _ => return Err(Malformed),
    })
}

/// Bytes of a message row before its seal.
const MESSAGE_BYTES: usize = 50;
/// A message row with its seal: fixed offsets, so that long walks only copy.
pub type MessageBytes = [u8; MESSAGE_BYTES + SEAL_BYTES];

/// As row bytes, sealed for the place `key`.
pub fn encode_message(key: u64, row: &MessageRow) -> MessageBytes {
    let mut out = [0; MESSAGE_BYTES + SEAL_BYTES];
    let (sealed, seal) = out.split_at_mut(MESSAGE_BYTES);
    let times = [row.internal_date.0 as u64, row.saved.0 as u64];
    let numbers = [row.modseq.0, row.keywords, times[0], times[1], join_size(row.bytes, row.form), row.body.0];
    let (head, tail) = sealed.split_at_mut(2);
    head.copy_from_slice(&[VERSION, row.flags.0]);
    for (place, number) in tail.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    seal.copy_from_slice(&checksum(MESSAGES_TAG, &key.to_le_bytes(), sealed).to_le_bytes());
    out
}

/// From row bytes found at the place `key`.
pub fn read_message(key: u64, bytes: &MessageBytes) -> Result<MessageRow, Trouble> {
    let row = open_seal(MESSAGES_TAG, &key.to_le_bytes(), bytes);
    row.and_then(|row| decode_message(key_uid(key), row)).map_err(|Malformed| damaged_row("messages", key))
}

/// A message row without its seal.
pub fn decode_message(uid: Uid, row: &[u8]) -> Result<MessageRow, Malformed> {
    let mut decoder = versioned(row)?;
    let flags = SystemFlags(decoder.byte()?);
    let (modseq, keywords) = (ModSeq(decoder.u64()?), decoder.u64()?);
    let (internal_date, saved) = (Timestamp(decoder.u64()? as i64), Timestamp(decoder.u64()? as i64));
    let (bytes, form) = split_size(decoder.u64()?);
    Ok(MessageRow { uid, modseq, flags, keywords, internal_date, saved, bytes, form, body: BodyId(decoder.u64()?) })
}

/// Where the form lies above a size: rows that were written before it was kept have 0 there.
const FORM_SHIFT: u32 = 56;

/// Size and form in one number.
pub fn join_size(bytes: u64, form: Form) -> u64 {
    bytes & ((1 << FORM_SHIFT) - 1) | u64::from(form.bits()) << FORM_SHIFT
}

/// The parts of it.
pub fn split_size(joined: u64) -> (u64, Form) {
    (joined & ((1 << FORM_SHIFT) - 1), Form::from_bits((joined >> FORM_SHIFT) as u8))
}

/// A thread's id with its seal.
pub type ThreadBytes = [u8; 8 + SEAL_BYTES];

/// Bodies of one generation in [`THREADS`], as a power of two: about two checkpoints of single deliveries. Larger ones
/// scatter what a checkpoint writes over more pages, smaller ones are more places to look for a message that is not there.
const THREAD_GENERATION_BITS: u32 = 12;

/// Where a body stands under the hash of a Message-ID: generation and 48 bits of the hash, then the body. Hashes alone
/// would scatter over the whole table, and every delivery would write a page of it for 32 bytes.
pub fn thread_place(hash: MessageIdHash, body: BodyId) -> (u64, u64) {
    ((body.0 >> THREAD_GENERATION_BITS) << 48 | hash.0 >> 16, body.0)
}

/// A key of [`THREADS`] as redb keeps it.
fn thread_key((hash, body): (u64, u64)) -> [u8; 16] {
    let mut key = [0; 16];
    for (place, number) in key.chunks_exact_mut(8).zip([hash, body]) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    key
}

/// As row bytes, sealed for its place.
pub fn encode_thread(key: (u64, u64), thread: ThreadId) -> ThreadBytes {
    let mut out = [0; 8 + SEAL_BYTES];
    let (row, seal) = out.split_at_mut(8);
    row.copy_from_slice(&thread.0.to_le_bytes());
    seal.copy_from_slice(&checksum(THREADS_TAG, &thread_key(key), row).to_le_bytes());
    out
}

/// From row bytes found at that place.
pub fn read_thread(key: (u64, u64), bytes: &ThreadBytes) -> Result<ThreadId, Trouble> {
    let row = open_seal(THREADS_TAG, &thread_key(key), bytes).and_then(|row| Decoder::new(row).u64());
    row.map(ThreadId).map_err(|Malformed| damaged_row("threads", key))
}

/// The thread of the messages with that Message-ID, or that name it as the root of theirs, among the bodies before `next`, in
/// the last [`THREAD_GENERATIONS_MAX`] generations. The youngest that has one decides: answers mostly come soon.
pub fn find_thread(
    threads: &impl ReadableTable<(u64, u64), &'static ThreadBytes>,
    hash: MessageIdHash,
    next: BodyId,
) -> Result<Option<ThreadId>, Trouble> {
    let youngest = next.0 >> THREAD_GENERATION_BITS;
    let oldest = (youngest + 1).saturating_sub(THREAD_GENERATIONS_MAX);
    for generation in (oldest..=youngest).rev() {
        let (place, _) = thread_place(hash, BodyId(generation << THREAD_GENERATION_BITS));
        if let Some(row) = threads.range((place, 0)..=(place, u64::MAX))?.next() {
            let (key, bytes) = row?;
            return read_thread(key.value(), bytes.value()).map(Some);
        }
    }
    Ok(None)
}

/// As row bytes.
pub fn encode_credential(credential: &Credential) -> Vec<u8> {
    let Credential { login, verifier, device } = credential;
    let Verifier { salt, iterations, stored_key, server_key } = verifier;
    let mut out = vec![VERSION];
    put_bytes(&mut out, login.as_bytes());
    out.extend_from_slice(salt);
    put_varint(&mut out, (*iterations).into());
    out.extend_from_slice(stored_key);
    out.extend_from_slice(server_key);
    // A row that ends here is the owner's, as all were before there were devices.
    if let Some(Device { name, quick_hash, made, access, collecting, readable }) = device {
        put_bytes(&mut out, name.as_bytes());
        out.extend_from_slice(quick_hash);
        put_signed(&mut out, made.0);
        out.push(access.sends.into());
        put_varint(&mut out, access.base.bits().into());
        put_varint(&mut out, access.rules.len() as u64);
        for (mailbox, rights) in &access.rules {
            put_varint(&mut out, mailbox.0.into());
            put_varint(&mut out, rights.bits().into());
        }
        // So ends the row of a device that collects as all did before there was a choice.
        if *collecting != Collecting::default() || readable.is_some() {
            put_varint(&mut out, collecting.mailbox.0.into());
            out.push(encode_use(collecting.on_delete.goes_to()));
            put_varint(&mut out, collecting.login_delay_seconds.into());
            put_bytes(&mut out, readable.as_deref().unwrap_or_default().as_bytes());
        }
    }
    out
}

/// From row bytes.
pub fn decode_credential(bytes: &[u8]) -> Result<Credential, Malformed> {
    let mut decoder = versioned(bytes)?;
    let login = decoder.text()?;
    let verifier = Verifier {
        salt: decoder.array()?,
        iterations: decoder.varint32()?,
        stored_key: decoder.array()?,
        server_key: decoder.array()?,
    };
    let device = if decoder.is_empty() { None } else { Some(decode_device(&mut decoder)?) };
    Ok(Credential { login, verifier, device })
}

fn decode_device(decoder: &mut Decoder<'_>) -> Result<Device, Malformed> {
    let rights = |decoder: &mut Decoder<'_>| {
        let bits = u16::try_from(decoder.varint()?).map_err(|_| Malformed)?;
        Ok(Rights::from_bits(bits))
    };
    let name = decoder.text()?;
    let quick_hash = decoder.array()?;
    let made = Timestamp(decoder.signed()?);
    let sends = decoder.byte()? != 0;
    let base = rights(decoder)?;
    let rules = (0..decoder.count()?).map(|_| Ok((MailboxId(decoder.varint32()?), rights(decoder)?)));
    let access = Access { base, rules: rules.collect::<Result<_, _>>()?, sends };
    let (collecting, readable) = if decoder.is_empty() { Default::default() } else { decode_collecting(decoder)? };
    Ok(Device { name, quick_hash, made, access, collecting, readable })
}

fn decode_collecting(decoder: &mut Decoder<'_>) -> Result<(Collecting, Option<String>), Malformed> {
    let mailbox = MailboxId(decoder.varint32()?);
    let on_delete = match decode_use(decoder.byte()?)? {
        None => OnDelete::Delete,
        Some(SpecialUse::Trash) => OnDelete::Trash,
        Some(SpecialUse::Archive) => OnDelete::Archive,
        Some(_) => return Err(Malformed),
    };
    let login_delay_seconds = decoder.varint32()?;
    let readable = Some(decoder.text()?).filter(|secret| !secret.is_empty());
    Ok((Collecting { mailbox, on_delete, login_delay_seconds }, readable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_return_as_they_were() {
        let meta = Meta {
            batch: 9,
            position: 4096,
            closed: true,
            latest_time: Timestamp(-5),
            room_bytes: 1 << 33,
            ..Meta::default()
        };
        let without = Meta { room_bytes: 0, ..meta.clone() };
        assert_eq!(Meta::decode(&meta.encode()[..meta.encode().len() - 8]), Ok(without), "as it was kept before");
        assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
        let newer = Meta { format: FORMAT + 1, ..Meta::default() }.encode();
        assert_eq!((Meta::decode_format(&newer), Meta::decode(&newer)), (Ok(FORMAT + 1), Err(Malformed)));
        let state = MailboxState {
            mailbox: Mailbox {
                id: MailboxId(7),
                name: "Über/uns".into(),
                uid_validity: UidValidity(1_700_000_000),
                uid_next: Uid(u32::MAX),
                highest_modseq: ModSeq(1 << 62),
                messages: 3,
                unseen: 2,
                deleted: 1,
                bytes: 1 << 40,
                subscribed: true,
                special_use: Some(SpecialUse::Trash),
                keywords: vec!["$Forwarded".into(), "x".into()],
                expunged_floor: ModSeq(4),
            },
            expunged: 12,
        };
        assert_eq!(MailboxState::decode(MailboxId(7), &state.encode()), Ok(state));
        let credential = Credential { login: "Me".into(), verifier: Verifier::new("x", [3; 16], 2), device: None };
        assert_eq!(decode_credential(&encode_credential(&credential)), Ok(credential.clone()));
        let rules = vec![(INBOX, Rights::LOOKING), (MailboxId(70_000), Rights::NONE)];
        let access = Access { base: Rights::GRANTABLE, rules, sends: true };
        let (collecting, readable) = (Collecting::default(), None);
        let (name, made) = ("Phone".to_owned(), Timestamp(-3));
        let device = Device { name, quick_hash: [9; 32], made, access, collecting, readable };
        let with_device = Credential { device: Some(device.clone()), ..credential.clone() };
        let row = encode_credential(&with_device);
        assert_eq!(decode_credential(&row), Ok(with_device));
        let on_delete = OnDelete::Archive;
        let collecting = Collecting { mailbox: MailboxId(300), on_delete, login_delay_seconds: 86_400 };
        for readable in [None, Some("secret".to_owned())] {
            let device = Some(Device { collecting, readable, ..device.clone() });
            let collects = Credential { device, ..credential.clone() };
            let longer = encode_credential(&collects);
            assert!(longer.starts_with(&row), "rows only grow at their ends");
            assert_eq!(decode_credential(&longer), Ok(collects));
        }
        let without = row.get(..encode_credential(&credential).len()).unwrap_or_default();
        assert_eq!(decode_credential(without), Ok(credential), "a row as it was kept before");
    }

    /// Seals are made of the bytes that redb keeps: other readers of the file rely on it.
    #[test]
    fn keys_are_the_bytes_of_redb() {
        assert_eq!(<(u64, u64) as redb::Value>::as_bytes(&(1, 1 << 63)), thread_key((1, 1 << 63)));
        assert_eq!(<u64 as redb::Value>::as_bytes(&258), 258u64.to_le_bytes());
        let tags = [META.tag, MAILBOXES.tag, MESSAGES_TAG, BODIES.tag, FACTS.tag, SIGNATURES.tag, THREADS_TAG];
        let tags = [&tags[..], &[QUEUE.tag, CREDENTIALS.tag, SETTINGS.tag]].concat();
        assert_eq!(tags, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn threads_are_found_in_every_generation() {
        let backend = redb::backends::InMemoryBackend::new();
        let database = redb::Builder::new().create_with_backend(backend).expect("a database");
        let txn = database.begin_write().expect("a transaction");
        let mut threads = txn.open_table(THREADS).expect("a table");
        let hash = |number: u64| MessageIdHash(number << 32);
        for (number, body) in [(7, 3), (8, 5_000), (9, 4), (9, 5_001)] {
            let key = thread_place(hash(number), BodyId(body));
            threads.insert(key, &encode_thread(key, ThreadId(body))).expect("a row");
        }
        let find = |number, next| find_thread(&threads, hash(number), BodyId(next)).expect("readable");
        assert_eq!([find(7, 4), find(7, 100_000)], [Some(ThreadId(3)); 2]);
        assert_eq!(find(8, 5_001), Some(ThreadId(5_000)));
        assert_eq!(find(9, 10_000), Some(ThreadId(5_001)), "the youngest generation");
        assert_eq!(find(6, 100_000), None);
    }

    /// The writer looked into all generations for every Message-ID that is not there, and everybody waited for it.
    #[test]
    fn looking_for_a_thread_has_an_end() {
        let backend = redb::backends::InMemoryBackend::new();
        let database = redb::Builder::new().create_with_backend(backend).expect("a database");
        let txn = database.begin_write().expect("a transaction");
        let mut threads = txn.open_table(THREADS).expect("a table");
        let key = thread_place(MessageIdHash(7), BodyId(5));
        threads.insert(key, &encode_thread(key, ThreadId(5))).expect("a row");
        let find = |next| find_thread(&threads, MessageIdHash(7), BodyId(next)).expect("readable");
        let end = THREAD_GENERATIONS_MAX << THREAD_GENERATION_BITS;
        assert_eq!((find(end - 1), find(end)), (Some(ThreadId(5)), None));
    }

    #[test]
    fn due_keys_sort_like_times() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp);
        let keys = times.map(|time| due_key(time, QueueId(9)));
        assert!(keys.is_sorted());
        assert_eq!(keys.map(|key| due_parts(key).0), times);
    }

    proptest! {
        #[test]
        fn message_rows_return(mailbox: u32, uid: u32, flags: u8, rest: [u64; 6]) {
            let [modseq, keywords, internal_date, saved, bytes, body] = rest;
            let row = MessageRow {
                uid: Uid(uid),
                modseq: ModSeq(modseq),
                flags: SystemFlags(flags),
                keywords,
                internal_date: Timestamp(internal_date as i64),
                saved: Timestamp(saved as i64),
                bytes: bytes >> 8,
                form: Form::from_bits(bytes as u8),
                body: BodyId(body),
            };
            let key = message_key(MailboxId(mailbox), Uid(uid));
            let bytes = encode_message(key, &row);
            prop_assert_eq!(read_message(key, &bytes), Ok(row));
            prop_assert!(read_message(key ^ 1 << 40, &bytes).is_err());
            let thread = encode_thread((modseq, body), ThreadId(keywords));
            prop_assert_eq!(read_thread((modseq, body), &thread), Ok(ThreadId(keywords)));
            prop_assert!(read_thread((body, modseq.wrapping_add(1)), &thread).is_err());
        }

        #[test]
        fn damaged_rows_are_survived(bytes: Vec<u8>) {
            let _ = Meta::decode(&bytes);
            let _ = MailboxState::decode(INBOX, &bytes);
            let _ = decode_queue_entry(QueueId(1), &bytes);
            let _ = decode_credential(&bytes);
        }
    }
}
