//! TRANSACTION and UPDATE: what a client does with its maildrop (RFC 1939 sections 5 to 7).

use super::command::{self, Command, Verb};
use super::sending::{NotSent, Piece, Sending};
use super::texts::{self, Text};
use super::{Message, Server, State, Want};
use crate::limits::POP3_REPLIES_BYTES;

impl Server {
    pub(super) fn take_transaction(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Option<Want> {
        match self.transact(command, out) {
            Ok(()) => None,
            Err(complaint) => self.wrong(&complaint, out),
        }
    }

    fn transact(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Result<(), Text> {
        let State::Transaction(maildrop) = &mut self.state else { return Err(texts::LOG_IN_FIRST) };
        let mut words = command.words();
        let first = words.next();
        // Whoever means two messages must not lose one of them to a guess.
        if command.verb == Verb::Dele && command.words().nth(1).is_some() {
            return Err(texts::ONE_MESSAGE);
        }
        match (command.verb, first) {
            (Verb::Stat, _) => {
                let (messages, bytes) = maildrop.count();
                out.extend_from_slice(format!("+OK {messages} {bytes}\r\n").as_bytes());
            }
            (verb @ (Verb::List | Verb::Uidl), None) => {
                let count = maildrop.count();
                let maildrop = std::mem::take(maildrop);
                self.state = State::Listing { maildrop, next: 0, verb };
                self.say_count(&texts::LISTING, count, out);
            }
            (verb @ (Verb::List | Verb::Uidl), Some(number)) => {
                let (index, message) = maildrop.find(number)?;
                out.extend_from_slice(b"+OK ");
                maildrop.write_line(index, message, verb == Verb::Uidl, out);
            }
            (Verb::Retr, Some(number)) => {
                let (index, message) = maildrop.find(number)?;
                self.send(index, message, None);
            }
            (Verb::Top, Some(number)) => {
                let (index, message) = maildrop.find(number)?;
                let lines = words.next().and_then(command::parse_number).ok_or(texts::HOW_MANY_LINES)?;
                self.send(index, message, Some(lines));
            }
            (Verb::Dele, Some(number)) => {
                let (index, message) = maildrop.find(number)?;
                maildrop.delete(index, message)?;
                self.ok(&texts::DELETED, &[], out);
            }
            (Verb::Rset, _) => {
                maildrop.restore();
                let count = maildrop.count();
                self.say_count(&texts::MAILDROP, count, out);
            }
            (Verb::Noop, _) => self.ok(&texts::NOTHING_DONE, &[], out),
            _ => return Err(texts::WHICH_MESSAGE),
        }
        Ok(())
    }

    /// Writes lines of a LIST or UIDL until they are all there or enough has piled up.
    pub(super) fn list_on(&mut self, out: &mut Vec<u8>) {
        let State::Listing { maildrop, next, verb } = &mut self.state else { return };
        for (index, message) in (*next..).zip(maildrop.messages_from(*next)) {
            if out.len() >= POP3_REPLIES_BYTES {
                *next = index;
                return;
            }
            maildrop.write_line(index, message, *verb == Verb::Uidl, out);
        }
        out.extend_from_slice(b".\r\n");
        self.state = State::Transaction(std::mem::take(maildrop));
    }

    fn send(&mut self, index: usize, message: Message, lines_left: Option<u64>) {
        let State::Transaction(maildrop) = &mut self.state else { return };
        let before = self.last_sent.replace(index);
        // One after the other: so a client goes on that has done it twice.
        let goes_on = lines_left.is_none() && index.checked_sub(1) == before && before.is_some();
        let sending = Sending::new(message, lines_left, goes_on.then_some(index + 1));
        self.state = State::Sending(std::mem::take(maildrop), sending);
    }

    /// Answers [`Want::Piece`]. That a message cannot be sent is an error reply before its first octet; later only a lost connection
    /// can tell it.
    pub fn answer_piece(&mut self, piece: Result<Piece<'_>, NotSent>, out: &mut Vec<u8>) {
        let State::Sending(maildrop, sending) = &mut self.state else { return };
        let piece = piece.and_then(|piece| {
            let has_more = !piece.bytes.is_empty() || piece.is_last;
            if has_more { Ok(piece) } else { Err(NotSent::Unreadable) }
        });
        let begun = sending.has_begun();
        let piece = match piece {
            Ok(piece) => piece,
            Err(_) if begun => {
                self.state = State::Closing;
                return;
            }
            Err(why) => {
                self.state = State::Transaction(std::mem::take(maildrop));
                return self.err(&why.text(), &[], out);
            }
        };
        if !begun {
            let (text, bytes) = (sending.opening(), sending.message().bytes.to_string());
            text.write("+OK", self.language, &[&bytes], out);
        }
        if sending.write(piece, out) {
            self.state = State::Transaction(std::mem::take(maildrop));
        }
    }

    /// RFC 1939 section 6.
    pub(super) fn quit(&mut self, out: &mut Vec<u8>) -> Option<Want> {
        let uids = match &self.state {
            State::Transaction(maildrop) => maildrop.deleted_uids(),
            _ => Vec::new(),
        };
        if uids.is_empty() {
            self.ok(&texts::GOOD_BYE, &[], out);
            self.state = State::Closing;
            return None;
        }
        self.state = State::Update;
        Some(Want::Expunge(uids))
    }

    /// Answers [`Want::Expunge`]: whether all of them are gone now.
    pub fn answer_expunge(&mut self, done: bool, out: &mut Vec<u8>) {
        if done {
            self.ok(&texts::DELETED_GOOD_BYE, &[], out);
        } else {
            self.err(&texts::NOT_DELETED, &[], out);
        }
        self.state = State::Closing;
    }
}
