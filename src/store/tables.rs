//! The tables of the redb file, their keys, and the encoding of their rows.
//!
//! Receives rows; hands on bytes, and back. It opens nothing and decides nothing. Every row begins with a version;
//! a row that cannot be read is [`Malformed`], never a panic and never a guess.

use super::code::*;
use super::{Credential, QueueEntry, QueueRecipient};
use crate::mail::credential::Verifier;
use crate::mail::message::*;
use crate::wire::address::{Address, Domain, ReversePath};
use crate::wire::date::Timestamp;
use redb::TableDefinition;

/// Key 0: [`Meta`].
pub const META: TableDefinition<u8, &[u8]> = TableDefinition::new("meta");
/// Mailbox id to [`MailboxState`].
pub const MAILBOXES: TableDefinition<u32, &[u8]> = TableDefinition::new("mailboxes");
/// Mailbox name to id.
pub const NAMES: TableDefinition<&str, u32> = TableDefinition::new("names");
/// [`message_key`] to a [`MessageRow`].
pub const MESSAGES: TableDefinition<u64, &MessageBytes> = TableDefinition::new("messages");
/// [`change_key`] of the last change of each message that is there.
pub const CHANGES: TableDefinition<u128, ()> = TableDefinition::new("changes");
/// [`change_key`] of expunged messages, as far back as the mailbox's floor.
pub const EXPUNGED: TableDefinition<u128, ()> = TableDefinition::new("expunged");
/// Body id to [`super::body::BodyRow`].
pub const BODIES: TableDefinition<u64, &[u8]> = TableDefinition::new("bodies");
/// Body id and number to a piece of its compressed bytes.
pub const PIECES: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("pieces");
/// Bodies whose pieces arrive and that no Op has admitted yet.
pub const STAGED: TableDefinition<u64, ()> = TableDefinition::new("staged");
/// Queue id to [`QueueEntry`].
pub const QUEUE: TableDefinition<u64, &[u8]> = TableDefinition::new("queue");
/// [`due_key`] of every queue entry.
pub const DUE: TableDefinition<u128, ()> = TableDefinition::new("due");
/// Lower-case login to [`Credential`].
pub const CREDENTIALS: TableDefinition<&str, &[u8]> = TableDefinition::new("credentials");
/// Key to value.
pub const SETTINGS: TableDefinition<&str, &[u8]> = TableDefinition::new("settings");

/// Of every row and of the whole file.
const VERSION: u8 = 1;
/// The format of the file; a store with a higher one is refused.
pub const FORMAT: u32 = 1;

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
}

impl Meta {
    /// As row bytes. The format comes first and stays there for ever.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(&self.format.to_le_bytes());
        for number in [self.store, self.batch, self.position, self.body, self.queue, self.latest_time.0 as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.mailbox.to_le_bytes());
        out.extend_from_slice(&self.uid_validity.to_le_bytes());
        out.push(self.closed.into());
        out
    }

    /// From row bytes. Of a newer format only the format is read, the rest is zero.
    pub fn decode(bytes: &[u8]) -> Result<Meta, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let format = decoder.u32()?;
        if format > FORMAT {
            return Ok(Meta { format, ..Meta::default() });
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
            closed: decoder.byte()? != 0,
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
        _ => return Err(Malformed),
    })
}

/// A message row: fixed offsets, so that long walks only copy.
pub type MessageBytes = [u8; 50];

/// As row bytes.
pub fn encode_message(row: &MessageRow) -> MessageBytes {
    let mut out = [0; 50];
    let numbers = [row.modseq.0, row.keywords, row.internal_date.0 as u64, row.saved.0 as u64, row.bytes, row.body.0];
    let (head, tail) = out.split_at_mut(2);
    head.copy_from_slice(&[VERSION, row.flags.0]);
    for (place, number) in tail.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    out
}

/// From row bytes.
pub fn decode_message(uid: Uid, bytes: &MessageBytes) -> Result<MessageRow, Malformed> {
    let mut decoder = versioned(bytes)?;
    Ok(MessageRow {
        uid,
        flags: SystemFlags(decoder.byte()?),
        modseq: ModSeq(decoder.u64()?),
        keywords: decoder.u64()?,
        internal_date: Timestamp(decoder.u64()? as i64),
        saved: Timestamp(decoder.u64()? as i64),
        bytes: decoder.u64()?,
        body: BodyId(decoder.u64()?),
    })
}

/// Appends an address.
pub fn put_address(out: &mut Vec<u8>, address: &Address) {
    put_bytes(out, address.local.as_bytes());
    put_bytes(out, address.domain.as_str().as_bytes());
}

/// Reads an address.
pub fn read_address(decoder: &mut Decoder<'_>) -> Result<Address, Malformed> {
    Ok(Address { local: decoder.text()?, domain: Domain::new(&decoder.text()?) })
}

/// As row bytes, its id left out.
pub fn encode_queue_entry(entry: &QueueEntry) -> Vec<u8> {
    let QueueEntry { id: _, body, bytes, reverse_path, recipients, queued, due } = entry;
    let mut out = vec![VERSION];
    put_varint(&mut out, body.0);
    put_varint(&mut out, *bytes);
    put_signed(&mut out, queued.0);
    put_signed(&mut out, due.0);
    match reverse_path {
        ReversePath::Null => out.push(0),
        ReversePath::Address(address) => {
            out.push(1);
            put_address(&mut out, address);
        }
    }
    put_varint(&mut out, recipients.len() as u64);
    for QueueRecipient { address, attempts, last_reply } in recipients {
        put_address(&mut out, address);
        put_varint(&mut out, (*attempts).into());
        put_bytes(&mut out, last_reply.as_bytes());
    }
    out
}

/// From row bytes.
pub fn decode_queue_entry(id: QueueId, bytes: &[u8]) -> Result<QueueEntry, Malformed> {
    let mut decoder = versioned(bytes)?;
    let body = BodyId(decoder.varint()?);
    let size = decoder.varint()?;
    let queued = Timestamp(decoder.signed()?);
    let due = Timestamp(decoder.signed()?);
    let reverse_path = match decoder.byte()? {
        0 => ReversePath::Null,
        1 => ReversePath::Address(read_address(&mut decoder)?),
        _ => return Err(Malformed),
    };
    let recipients = (0..decoder.count()?)
        .map(|_| {
            Ok(QueueRecipient {
                address: read_address(&mut decoder)?,
                attempts: decoder.varint32()?,
                last_reply: decoder.text()?,
            })
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(QueueEntry { id, body, bytes: size, reverse_path, recipients, queued, due })
}

/// As row bytes.
pub fn encode_credential(credential: &Credential) -> Vec<u8> {
    let Credential { login, verifier } = credential;
    let Verifier { salt, iterations, stored_key, server_key } = verifier;
    let mut out = vec![VERSION];
    put_bytes(&mut out, login.as_bytes());
    out.extend_from_slice(salt);
    put_varint(&mut out, (*iterations).into());
    out.extend_from_slice(stored_key);
    out.extend_from_slice(server_key);
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
    Ok(Credential { login, verifier })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_return_as_they_were() {
        let meta = Meta { batch: 9, position: 4096, closed: true, latest_time: Timestamp(-5), ..Meta::default() };
        assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
        let newer = Meta { format: FORMAT + 1, ..Meta::default() };
        assert_eq!(Meta::decode(&newer.encode()).map(|meta| meta.format), Ok(FORMAT + 1));
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
        let entry = QueueEntry {
            id: QueueId(3),
            body: BodyId(4),
            bytes: 5,
            reverse_path: ReversePath::Null,
            recipients: vec![QueueRecipient {
                address: Address { local: "a b".into(), domain: Domain::new("Example.org") },
                attempts: 2,
                last_reply: "451 later".into(),
            }],
            queued: Timestamp(6),
            due: Timestamp(-7),
        };
        assert_eq!(decode_queue_entry(QueueId(3), &encode_queue_entry(&entry)), Ok(entry));
        let credential = Credential { login: "Me".into(), verifier: Verifier::new("x", [3; 16], 2) };
        assert_eq!(decode_credential(&encode_credential(&credential)), Ok(credential));
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
        fn message_rows_return(uid: u32, flags: u8, rest: [u64; 6]) {
            let [modseq, keywords, internal_date, saved, bytes, body] = rest;
            let row = MessageRow {
                uid: Uid(uid),
                modseq: ModSeq(modseq),
                flags: SystemFlags(flags),
                keywords,
                internal_date: Timestamp(internal_date as i64),
                saved: Timestamp(saved as i64),
                bytes,
                body: BodyId(body),
            };
            prop_assert_eq!(decode_message(Uid(uid), &encode_message(&row)), Ok(row));
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
