//! Sent copies: one of each message, though both the node and the owner's mail program file it.
//!
//! Receives what submission files and what clients append to the mailbox of sent mail; tells each whether the other was there
//! first. Two messages are the same when Message-ID and everything behind the header are (one CRLF at the end apart): the
//! header of what was submitted has our Received field and lacks Bcc, that of the client's own copy is as it was written.
//!
//! What is there first keeps its bytes and its UID, because a message may not change under its UID (RFC 3501 section
//! 2.3.1.1); what comes second is absorbed, its flags are added. But a copy with Bcc is worth more to its owner than one
//! without: it takes the place of ours, under a new UID.
//!
//! Always: whoever looks and then files does both in one turn, so that neither overlooks the other. Nothing of this
//! survives a restart; then a message that was on its way may be filed twice, never not at all.

use crate::limits::*;
use crate::mail::index::MessageIdHash;
use crate::mail::message::{MailboxId, MessageRow, SpecialUse, Uid};
use crate::store::{Snapshot, Store, Trouble};
use ring::digest;
use smol::lock::{Mutex as Turns, MutexGuard as Turn};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What was filed lately, by whom. One for the node.
#[derive(Default)]
pub struct SentCopies {
    turns: Turns<()>,
    lately: Mutex<VecDeque<Filed>>,
}

/// By which a message is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    message_id: MessageIdHash,
    /// SHA-256 of what is behind the header.
    content: [u8; 32],
    /// The header has a Bcc field; says nothing about sameness.
    bcc: bool,
}

/// Who filed a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// The node, when it took the message for sending.
    Submission,
    /// A client, by APPEND.
    Append,
}

struct Filed {
    fingerprint: Fingerprint,
    by: Hand,
    mailbox: MailboxId,
    /// No smaller UID is it.
    uid_min: Uid,
    at: Duration,
}

/// A message that is there already.
pub struct Found {
    /// Where it is now.
    pub row: MessageRow,
    /// It lacks the Bcc field that the other has.
    pub lacks_bcc: bool,
}

impl SentCopies {
    /// Waits for the turn to look and file.
    pub async fn turn(&self) -> Turn<'_, ()> {
        self.turns.lock().await
    }

    /// The same message, filed in this mailbox by the other hand, if it still is there. `now`: steady clock.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find(
        &self,
        store: &Store,
        fingerprint: &Fingerprint,
        by: Hand,
        mailbox: MailboxId,
        now: Duration,
    ) -> Result<Option<Found>, Trouble> {
        let filed = self.lately(now).iter().rev().find(|filed| filed.is(fingerprint, by, mailbox)).map(|filed| {
            let lacks_bcc = fingerprint.bcc && !filed.fingerprint.bcc;
            (filed.uid_min, lacks_bcc)
        });
        let Some((uid_min, lacks_bcc)) = filed else { return Ok(None) };
        let message_id = fingerprint.message_id;
        let row = store.read(move |snapshot| row_of(snapshot, mailbox, uid_min, message_id)).await?;
        Ok(row.map(|row| Found { row, lacks_bcc }))
    }

    /// Remembers what has been filed under a UID not smaller than this.
    pub fn remember(&self, fingerprint: Fingerprint, by: Hand, mailbox: MailboxId, uid_min: Uid, now: Duration) {
        let mut lately = self.lately(now);
        lately.retain(|filed| !filed.is(&fingerprint, by, mailbox));
        if lately.len() >= SENT_COPIES_REMEMBERED_MAX {
            lately.pop_front();
        }
        lately.push_back(Filed { fingerprint, by, mailbox, uid_min, at: now });
    }

    fn lately(&self, now: Duration) -> MutexGuard<'_, VecDeque<Filed>> {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let lifetime = Duration::from_secs(SENT_COPY_REMEMBERED_SECONDS);
        lately.retain(|filed| now.saturating_sub(filed.at) <= lifetime);
        lately
    }
}

impl Filed {
    fn is(&self, other: &Fingerprint, by: Hand, mailbox: MailboxId) -> bool {
        let Fingerprint { message_id, content, .. } = self.fingerprint;
        self.by == by && self.mailbox == mailbox && (message_id, content) == (other.message_id, other.content)
    }
}

fn row_of(
    snapshot: &Snapshot,
    mailbox: MailboxId,
    uid_min: Uid,
    message_id: MessageIdHash,
) -> Result<Option<MessageRow>, Trouble> {
    for row in snapshot.messages(mailbox, uid_min, Uid(u32::MAX), SENT_COPY_ROWS_LOOKED_AT_MAX)? {
        if snapshot.body_index(row.body)?.message_id == Some(message_id) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// The mailbox marked `\Sent` (RFC 6154); without one the mailbox `Sent`, if there is one.
///
/// # Errors
/// Those of the store.
pub fn sent_mailbox(snapshot: &Snapshot) -> Result<Option<MailboxId>, Trouble> {
    let marked = snapshot.mailboxes()?.into_iter().find(|mailbox| mailbox.special_use == Some(SpecialUse::Sent));
    Ok(marked.or(snapshot.mailbox_named(SENT_MAILBOX_NAME)?).map(|mailbox| mailbox.id))
}

/// The name it gets when it is made.
pub const SENT_MAILBOX_NAME: &str = "Sent";

/// Makes a [`Fingerprint`] of a message's bytes, however they are cut.
pub struct Fingerprinting {
    content: digest::Context,
    in_header: bool,
    /// The beginning of a header line, and its length without CR.
    line: [u8; 4],
    line_bytes: usize,
    bcc: bool,
    /// The last bytes of the content: one CRLF at the end does not count.
    held: Vec<u8>,
}

impl Default for Fingerprinting {
    fn default() -> Fingerprinting {
        let content = digest::Context::new(&digest::SHA256);
        Fingerprinting { content, in_header: true, line: [0; 4], line_bytes: 0, bcc: false, held: Vec::new() }
    }
}

impl Fingerprinting {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while self.in_header {
            let Some((&byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            self.take_header_byte(byte);
        }
        let Some(before_last) = bytes.len().checked_sub(2) else {
            self.held.extend_from_slice(bytes);
            if self.held.len() > 2 {
                self.content.update(&self.held.drain(..1).collect::<Vec<u8>>());
            }
            return;
        };
        let (sure, last) = bytes.split_at(before_last);
        self.content.update(&self.held);
        self.content.update(sure);
        self.held.clear();
        self.held.extend_from_slice(last);
    }

    fn take_header_byte(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.in_header = self.line_bytes > 0;
                self.line_bytes = 0;
            }
            b'\r' => {}
            _ => {
                if let Some(place) = self.line.get_mut(self.line_bytes) {
                    *place = byte;
                }
                self.line_bytes += 1;
                self.bcc |= self.line_bytes == 4 && self.line.eq_ignore_ascii_case(b"Bcc:");
            }
        }
    }

    /// Ends the message. `None`: it has no Message-ID to be known by.
    pub fn finish(mut self, message_id: Option<MessageIdHash>) -> Option<Fingerprint> {
        if self.held != b"\r\n" {
            self.content.update(&self.held);
        }
        let mut content = [0; 32];
        content.copy_from_slice(self.content.finish().as_ref());
        Some(Fingerprint { message_id: message_id?, content, bcc: self.bcc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(message: &str, piece: usize) -> Fingerprint {
        let mut printing = Fingerprinting::default();
        message.as_bytes().chunks(piece).for_each(|piece| printing.push(piece));
        printing.finish(Some(MessageIdHash(1))).unwrap()
    }

    #[test]
    fn the_header_and_one_last_line_end_do_not_count_however_bytes_are_cut() {
        let first = print("Received: x\r\nTo: a\r\n\r\nbody\r\n\r\nmore\r\n", 100);
        for piece in 1..12 {
            let second = print("To: a\r\nBCC: b\r\n\r\nbody\r\n\r\nmore", piece);
            assert_eq!((first.content, first.bcc, second.bcc), (second.content, false, true), "{piece}");
            for other in
                ["To: a\r\n\r\nbody\r\n\r\nmore\r\n\r\n", "To: a\r\n\r\nBody\r\n\r\nmore\r\n", "body\r\n\r\nmore\r\n"]
            {
                assert_ne!(print(other, piece).content, first.content, "{other}");
            }
        }
        assert_eq!(print("A: b\r\n\r\n", 3), print("A: b\r\n\r\n\r\n", 3));
        assert!(!print("X-Bcc: b\r\nTo: b\r\n Bcc: x\r\n\r\nBcc: c\r\n", 1).bcc);
        assert_eq!(Fingerprinting::default().finish(None), None);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_time() {
        let sent = SentCopies::default();
        for n in 0..SENT_COPIES_REMEMBERED_MAX as u64 + 9 {
            let print = Fingerprint { message_id: MessageIdHash(n), content: [0; 32], bcc: false };
            sent.remember(print, Hand::Append, MailboxId(2), Uid(1), Duration::ZERO);
            sent.remember(print, Hand::Append, MailboxId(2), Uid(1), Duration::ZERO);
        }
        assert_eq!(sent.lately(Duration::ZERO).len(), SENT_COPIES_REMEMBERED_MAX);
        assert!(sent.lately(Duration::from_secs(SENT_COPY_REMEMBERED_SECONDS + 1)).is_empty());
    }
}
