//! A message on its way to the client (RFC 1939 sections 5 and 7, RETR and TOP).

use super::dots::DotStuffer;
use super::texts::{self, Text};
use super::{Maildrop, Message, Want};
use crate::limits::{POP3_AHEAD_MESSAGES, POP3_PIECE_BYTES, POP3_TOP_PIECE_BYTES};

/// Octets of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// From where they were asked for; at least one, unless it is the last.
    pub bytes: &'a [u8],
    /// No more follow.
    pub is_last: bool,
}

/// Why a message cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// It is not in the mailbox any more.
    Gone,
    /// The store could not read it; may work later.
    Unreadable,
    /// It has UTF-8 in its headers that cannot be put otherwise (RFC 6856 section 5).
    NeedsUtf8,
}

impl NotSent {
    pub(super) fn text(self) -> Text {
        match self {
            NotSent::Gone => texts::GONE,
            NotSent::Unreadable => texts::UNREADABLE,
            NotSent::NeedsUtf8 => texts::NEEDS_UTF8,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sending {
    message: Message,
    /// First octet that was not asked for yet.
    next: u64,
    /// TOP: how many lines of the body are left to send.
    lines_left: Option<u64>,
    in_header: bool,
    /// From which index on messages will be asked for.
    ahead: Option<usize>,
    dots: DotStuffer,
}

impl Sending {
    pub(super) fn new(message: Message, lines_left: Option<u64>, ahead: Option<usize>) -> Sending {
        Sending { message, next: 0, lines_left, in_header: true, ahead, dots: DotStuffer::default() }
    }

    pub(super) fn message(&self) -> Message {
        self.message
    }

    /// Whether octets have gone out.
    pub(super) fn has_begun(&self) -> bool {
        self.next > 0
    }

    /// What the answer begins with; the octets of the message are filled in.
    pub(super) fn opening(&self) -> Text {
        if self.lines_left.is_some() { texts::TOP_FOLLOWS } else { texts::OCTETS }
    }

    pub(super) fn want(&self, maildrop: &Maildrop) -> Want {
        let bytes = if self.lines_left.is_some() { POP3_TOP_PIECE_BYTES } else { POP3_PIECE_BYTES };
        let next = self.ahead.filter(|_| !self.has_begun()).map(|next| maildrop.messages_from(next));
        let ahead = next.into_iter().flatten().take(POP3_AHEAD_MESSAGES).map(|message| message.uid).collect();
        Want::Piece { uid: self.message.uid, start: self.next, bytes, ahead }
    }

    /// Sends a piece; whether the message is finished.
    pub(super) fn write(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) -> bool {
        self.next += piece.bytes.len() as u64;
        let mut finished = piece.is_last;
        match self.lines_left {
            None => self.dots.push(piece.bytes, out),
            Some(_) => finished |= self.write_lines(piece.bytes, out),
        }
        if finished {
            self.dots.finish(out);
        }
        finished
    }

    /// TOP: the header, the empty line, then so many lines. Whether they are all sent.
    fn write_lines(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> bool {
        while !bytes.is_empty() {
            if !self.in_header && self.lines_left == Some(0) {
                return true;
            }
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
            let (line, rest) = bytes.split_at(end);
            let starts_line = self.dots.at_line_start();
            let cr_so_far = self.dots.after_lone_cr();
            self.dots.push(line, out);
            bytes = rest;
            if !line.ends_with(b"\n") {
                continue;
            }
            if self.in_header {
                let empty = starts_line && matches!(line, b"\n" | b"\r\n") || cr_so_far && line == b"\n";
                self.in_header = !empty;
            } else {
                self.lines_left = self.lines_left.map(|lines| lines.saturating_sub(1));
            }
        }
        !self.in_header && self.lines_left == Some(0)
    }
}
