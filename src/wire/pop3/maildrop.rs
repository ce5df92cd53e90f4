//! The maildrop of one session: what was in INBOX at login, numbered from 1 (RFC 1939 section 4).

use super::command::parse_number;

/// One message of a maildrop. 24 bytes, because a session keeps all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its UID; with the UIDVALIDITY it is the unique-id of UIDL.
    pub uid: u32,
    /// Marked by DELE.
    pub deleted: bool,
    /// Names its body to whoever answers [`super::Want::Piece`].
    pub body: u64,
    /// Its size in bytes, as stored: without dot stuffing, and without the line end that is added to a body whose last
    /// line has none.
    pub bytes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Maildrop {
    uid_validity: u32,
    messages: Vec<Message>,
    for_reading: bool,
}

impl Maildrop {
    /// A maildrop of these messages, in this order.
    pub fn new(uid_validity: u32, messages: Vec<Message>) -> Maildrop {
        Maildrop { uid_validity, messages, for_reading: false }
    }

    /// The same for somebody who may delete nothing.
    pub fn for_reading(self) -> Maildrop {
        Maildrop { for_reading: true, ..self }
    }

    /// How many messages there were at login.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Number and size in bytes of the messages not marked as deleted.
    pub(super) fn count(&self) -> (usize, u64) {
        let left = self.messages.iter().filter(|message| !message.deleted);
        left.fold((0, 0), |(count, bytes), message| (count + 1, bytes + message.bytes))
    }

    /// The index of the message with this number, and the message.
    pub(super) fn find(&self, number: &[u8]) -> Result<(usize, Message), &'static str> {
        let number = parse_number(number).ok_or("not a message number")?;
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let found = index.and_then(|index| Some((index, *self.messages.get(index)?)));
        let (index, message) = found.ok_or("no such message")?;
        if message.deleted { Err("this message is deleted") } else { Ok((index, message)) }
    }

    /// Appends the line of a scan listing or (`unique_id`) of a unique-id listing; nothing for a deleted message.
    pub(super) fn write_line(&self, index: usize, unique_id: bool, out: &mut Vec<u8>) {
        let Some(message) = self.messages.get(index).filter(|message| !message.deleted) else { return };
        let line = if unique_id {
            format!("{} {}.{}\r\n", index + 1, self.uid_validity, message.uid)
        } else {
            format!("{} {}\r\n", index + 1, message.bytes)
        };
        out.extend_from_slice(line.as_bytes());
    }

    /// DELE.
    pub(super) fn delete(&mut self, index: usize) -> Result<(), &'static str> {
        if self.for_reading {
            // RFC 3206 section 4: asking again is of no use.
            return Err("[SYS/PERM] this login may not delete messages");
        }
        if let Some(message) = self.messages.get_mut(index) {
            message.deleted = true;
        }
        Ok(())
    }

    /// RSET.
    pub(super) fn restore(&mut self) {
        self.messages.iter_mut().for_each(|message| message.deleted = false);
    }

    pub(super) fn deleted_uids(&self) -> Vec<u32> {
        self.messages.iter().filter(|message| message.deleted).map(|message| message.uid).collect()
    }
}
