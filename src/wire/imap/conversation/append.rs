//! APPEND and REPLACE inside the conversation: lines and literals taken in turn, until the command ends.
//!
//! Receives lines as [`super`] collects them; hands on a step for each thing that the driver must decide about. Nothing of
//! a literal is asked for before the driver has said that it wants what the literal belongs to. Must always hold: what
//! is left of a refused command is passed over, literals and all.

use super::*;
use crate::wire::imap::grammar::{Ends, Piece, Place};
use std::collections::VecDeque;

/// Such a command, from its first literal or its last line on.
#[derive(Debug)]
pub(super) struct Appending {
    tag: Tag,
    /// Where the next line begins.
    place: Place,
    /// What the last line said and the driver has not been asked about.
    pieces: VecDeque<Piece>,
    /// The literal at the end of that line, of the last piece; `None`: the command ends there.
    literal: Option<Announced>,
}

impl Appending {
    pub(super) fn begin(tag: Tag, place: Place, pieces: Vec<Piece>, literal: Option<Announced>) -> Box<Appending> {
        Box::new(Appending { tag, place, pieces: pieces.into(), literal })
    }
}

impl Conversation {
    /// What was offered is wanted: goes on with it, asks for its bytes if the client waits to be asked.
    pub fn accept_append(&mut self, out: &mut Out) {
        let (Reading::Offered { with_literal }, Some(appending)) = (&self.reading, &mut self.appending) else { return };
        match appending.literal.take_if(|_| *with_literal) {
            Some(literal) => {
                if literal.synchronising {
                    response::continuation(out, "OK");
                }
                self.reading = Reading::AppendBody { left: literal.bytes };
            }
            None => self.reading = Reading::Pieces,
        }
    }

    /// The command is refused: what is left of it is skipped and the tagged answer is sent once that is done.
    pub fn refuse_append(&mut self, status: Status, code: Code<'_>, text: &str, out: &mut Out) {
        let Some(appending) = self.appending.take() else { return };
        self.expected = Expected::Command;
        let mut reply = Out::new(out.dialect);
        response::tagged(&mut reply, &appending.tag, status, code, text);
        match self.reading {
            Reading::AppendBody { left } => self.reading = Reading::SkippedBytes { left, reply },
            Reading::Offered { .. } | Reading::Pieces => self.refuse(reply, appending.literal, out),
            _ => self.reading = Reading::SkippedLine { reply },
        }
    }

    /// The next piece, or the end.
    pub(super) fn next_piece(&mut self, out: &mut Out) -> Option<Step<'static>> {
        let appending = self.appending.as_mut()?;
        let offered = |with_literal| Reading::Offered { with_literal };
        let (reading, step) = match appending.pieces.pop_front() {
            Some(Piece::Message(message)) => (offered(message.bytes.is_some()), Step::AppendMessage(message)),
            Some(Piece::Text(bytes)) => (offered(true), Step::AppendText(bytes)),
            Some(Piece::Url(url)) => (offered(false), Step::AppendUrl(url)),
            None if appending.literal.is_none() => {
                let tag = appending.tag.clone();
                self.appending = None;
                self.begin_command();
                return Some(Step::AppendEnd { tag });
            }
            None => {
                // Cannot happen: the literal belongs to the last piece.
                self.refuse_append(Status::No, Code::ServerBug, "The message was not decided about", out);
                return Some(Step::AppendBroken);
            }
        };
        self.reading = reading;
        Some(step)
    }

    /// The bytes of a literal are all there: a line follows.
    pub(super) fn end_append_body(&mut self) {
        self.begin_command();
        self.expected = Expected::Append;
    }

    /// A line behind a literal is complete.
    pub(super) fn take_append_line(&mut self, out: &mut Out) -> Option<Step<'static>> {
        let mut appending = self.appending.take()?;
        let line = std::mem::take(&mut self.command);
        let announced = self.announced_in(&line);
        let arrived = match announced {
            Some(literal) => line.get(..literal.at).unwrap_or_default(),
            None => &line,
        };
        let mut place = appending.place.clone();
        let read = grammar::append_pieces(&mut Cursor::in_dialect(arrived, out.dialect), &mut place, announced);
        let read = read.and_then(|(pieces, ends)| match (ends, announced) {
            (Ends::Line, Some(literal)) => self.check_literal(literal, line.len()).map(|()| (pieces, Some(literal))),
            _ => Ok((pieces, None)),
        });
        match read {
            Ok((_, Some(literal))) => {
                self.appending = Some(appending);
                self.expected = Expected::Append;
                self.collect(line, literal, out);
                None
            }
            Ok((pieces, None)) => {
                (appending.place, appending.pieces, appending.literal) = (place, pieces.into(), announced);
                self.appending = Some(appending);
                self.begin_command();
                self.reading = Reading::Pieces;
                None
            }
            Err(trouble) => {
                self.begin_command();
                self.answer_trouble(&appending.tag, trouble, announced, out);
                Some(Step::AppendBroken)
            }
        }
    }

    /// A line behind a literal is too long.
    pub(super) fn append_line_too_long(&mut self, out: &Out) -> Option<Step<'static>> {
        let appending = self.appending.take()?;
        self.expected = Expected::Command;
        let mut reply = Out::new(out.dialect);
        response::tagged(&mut reply, &appending.tag, Status::Bad, Code::TooBig, "The command is too long");
        self.begin_command();
        self.reading = Reading::SkippedLine { reply };
        Some(Step::AppendBroken)
    }
}
