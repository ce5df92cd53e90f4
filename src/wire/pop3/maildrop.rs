//! The maildrop of one session: what was in its mailbox at login, numbered from 1 (RFC 1939 section 4).
//!
//! A session keeps all of it for as long as it lasts, so it is packed: some four bytes a message, and a bit for DELE. What is not
//! here is read from the store when it is asked for, by UID.

use super::command::parse_number;
use super::texts::{self, Text};

/// One message of a maildrop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// Its UID; with the UIDVALIDITY it is the unique-id of UIDL.
    pub uid: u32,
    /// Octets that RETR sends of it: without dot stuffing, with the line end that is added to a body whose last line has none.
    pub bytes: u64,
}

/// Messages of which one in so many is found at once; those behind it are counted from there.
const BLOCK_MESSAGES: usize = 64;

/// Where a block of messages begins.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// In [`Maildrop::packed`].
    at: u32,
    /// UID of the message before it.
    before: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Maildrop {
    uid_validity: u32,
    /// How many messages there were at login, and their octets.
    count: usize,
    bytes: u64,
    /// Of each message how far its UID is from the one before, and its octets; in seven bits a byte, the lowest first.
    packed: Vec<u8>,
    blocks: Vec<Block>,
    last: u32,
    /// A bit for each message that is marked by DELE, and how many these are, and their octets.
    deleted: Vec<u64>,
    deleted_count: usize,
    deleted_bytes: u64,
    for_reading: bool,
}

impl Maildrop {
    /// An empty one, for about so many messages.
    pub fn new(uid_validity: u32, expected: usize) -> Maildrop {
        // A UID that follows the one before takes a byte, a size below 2 MiB three.
        Maildrop { uid_validity, packed: Vec::with_capacity(expected.saturating_mul(4)), ..Maildrop::default() }
    }

    /// Adds a message; whether it was added. Its UID must be greater than those before.
    pub fn push(&mut self, message: Message) -> bool {
        let Some(gap) = message.uid.checked_sub(self.last).filter(|gap| *gap > 0) else { return false };
        if self.count.is_multiple_of(BLOCK_MESSAGES) {
            let Ok(at) = u32::try_from(self.packed.len()) else { return false };
            self.blocks.push(Block { at, before: self.last });
        }
        pack(u64::from(gap), &mut self.packed);
        pack(message.bytes, &mut self.packed);
        self.count += 1;
        self.bytes = self.bytes.saturating_add(message.bytes);
        self.last = message.uid;
        true
    }

    /// Gives back what was taken for more messages than came.
    pub fn shrink(&mut self) {
        self.packed.shrink_to_fit();
        self.blocks.shrink_to_fit();
    }

    /// The same for somebody who may delete nothing.
    pub fn for_reading(self) -> Maildrop {
        Maildrop { for_reading: true, ..self }
    }

    /// How many messages there were at login.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of memory that it takes.
    pub fn held_bytes(&self) -> usize {
        self.packed.capacity() + self.blocks.capacity() * size_of::<Block>() + self.deleted.capacity() * 8
    }

    /// Number and octets of the messages not marked as deleted.
    pub(super) fn count(&self) -> (usize, u64) {
        (self.count - self.deleted_count, self.bytes - self.deleted_bytes)
    }

    /// The message with this index, whether marked or not.
    pub fn message(&self, index: usize) -> Option<Message> {
        self.messages_from(index).next()
    }

    /// The messages from that index on, whether marked or not.
    pub(super) fn messages_from(&self, index: usize) -> impl Iterator<Item = Message> + '_ {
        let block = self.blocks.get(index / BLOCK_MESSAGES).filter(|_| index < self.count).copied();
        let Block { at, before } = block.unwrap_or(Block { at: u32::MAX, before: 0 });
        let mut rest = self.packed.get(at as usize..).unwrap_or_default();
        let mut uid = before;
        let all = std::iter::from_fn(move || {
            uid = uid.checked_add(u32::try_from(unpack(&mut rest)?).ok()?)?;
            Some(Message { uid, bytes: unpack(&mut rest)? })
        });
        all.skip(index % BLOCK_MESSAGES)
    }

    /// The index of the message with this number, and the message.
    pub(super) fn find(&self, number: &[u8]) -> Result<(usize, Message), Text> {
        let number = parse_number(number).ok_or(texts::NOT_A_NUMBER)?;
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let found = index.and_then(|index| Some((index, self.message(index)?)));
        let (index, message) = found.ok_or(texts::NO_SUCH_MESSAGE)?;
        if self.is_deleted(index) { Err(texts::IS_DELETED) } else { Ok((index, message)) }
    }

    /// Appends the line of a scan listing or (`unique_id`) of a unique-id listing; nothing for a deleted message.
    pub(super) fn write_line(&self, index: usize, message: Message, unique_id: bool, out: &mut Vec<u8>) {
        if self.is_deleted(index) {
            return;
        }
        let line = if unique_id {
            format!("{} {}.{}\r\n", index + 1, self.uid_validity, message.uid)
        } else {
            format!("{} {}\r\n", index + 1, message.bytes)
        };
        out.extend_from_slice(line.as_bytes());
    }

    fn is_deleted(&self, index: usize) -> bool {
        self.deleted.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    /// DELE.
    pub(super) fn delete(&mut self, index: usize, message: Message) -> Result<(), Text> {
        if self.for_reading {
            // RFC 3206 section 4: asking again is of no use.
            return Err(texts::MAY_NOT_DELETE);
        }
        if self.deleted.is_empty() {
            self.deleted = vec![0; self.count.div_ceil(64)];
        }
        if let Some(bits) = self.deleted.get_mut(index / 64)
            && *bits >> (index % 64) & 1 == 0
        {
            *bits |= 1 << (index % 64);
            self.deleted_count += 1;
            self.deleted_bytes += message.bytes;
        }
        Ok(())
    }

    /// RSET.
    pub(super) fn restore(&mut self) {
        (self.deleted, self.deleted_count, self.deleted_bytes) = (Vec::new(), 0, 0);
    }

    /// The UIDs of what is marked, ascending.
    pub(super) fn deleted_uids(&self) -> Vec<u32> {
        let mut uids = Vec::with_capacity(self.deleted_count);
        if self.deleted_count > 0 {
            let marked = self.messages_from(0).enumerate().filter(|(index, _)| self.is_deleted(*index));
            uids.extend(marked.map(|(_, message)| message.uid));
        }
        uids
    }
}

fn pack(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn unpack(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hundred_thousand_messages_take_half_a_mebibyte() {
        let mut maildrop = Maildrop::new(7, 100_000);
        for at in 0..100_000u32 {
            // Every other message gone, and sizes as of mail.
            assert!(maildrop.push(Message { uid: 2 * at + 1, bytes: 9_000 + u64::from(at) * 3 }));
        }
        maildrop.shrink();
        for index in (0..100_000).step_by(2) {
            let message = maildrop.message(index).expect("there");
            maildrop.delete(index, message).expect("marked");
        }
        assert!(maildrop.held_bytes() < 500_000, "{}", maildrop.held_bytes());
        assert_eq!((maildrop.count().0, maildrop.deleted_uids().len()), (50_000, 50_000));
    }

    proptest! {
        #[test]
        fn what_was_packed_returns(gaps in prop::collection::vec((1u32..1 << 20, any::<u64>()), 0..300), marks: Vec<u16>) {
            let mut messages = Vec::new();
            let mut maildrop = Maildrop::new(1, 0);
            let mut uid = 0;
            for (gap, bytes) in gaps {
                uid += gap;
                let message = Message { uid, bytes: bytes >> 20 };
                prop_assert!(maildrop.push(message));
                prop_assert!(!maildrop.push(message), "the same again");
                messages.push(message);
            }
            maildrop.shrink();
            let mut marked = std::collections::BTreeSet::new();
            for (index, message) in messages.iter().enumerate() {
                prop_assert_eq!(maildrop.message(index), Some(*message));
            }
            for mark in marks {
                let number = (usize::from(mark) % 310 + 1).to_string();
                if let Ok((index, message)) = maildrop.find(number.as_bytes()) {
                    maildrop.delete(index, message).expect("not only for reading");
                    marked.insert(message);
                    prop_assert!(maildrop.find(number.as_bytes()).is_err());
                }
            }
            prop_assert_eq!(maildrop.message(messages.len()), None);
            let left = messages.iter().filter(|message| !marked.contains(message));
            prop_assert_eq!(maildrop.count(), (left.clone().count(), left.map(|message| message.bytes).sum()));
            let uids: Vec<u32> = marked.iter().map(|message| message.uid).collect();
            prop_assert_eq!(maildrop.deleted_uids(), uids);
            maildrop.restore();
            prop_assert_eq!(maildrop.count().0, messages.len());
        }
    }
}
