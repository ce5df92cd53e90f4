//! Where the text of a command goes: over the control socket in pieces, or to the terminal.
//!
//! Receives text as the command makes it; hands it on in pieces of bounded size, so that a list may be as long as it likes.

use crate::limits::{CONTROL_PIECE_BYTES, CONTROL_WRITE_SECONDS_MAX};
use crate::node::command::print;
use crate::node::control::frame::Piece;
use crate::node::failure::{Exit, Failure};
use smol::io::AsyncWriteExt;
use smol::{Async, Timer};
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The answer to one command.
pub struct Answer {
    to: To,
    /// Not sent yet, at most [`CONTROL_PIECE_BYTES`] and what is added last.
    waiting: String,
}

enum To {
    Client(Async<UnixStream>),
    Stdout,
    /// Nowhere else.
    #[cfg(test)]
    Kept,
}

impl Answer {
    /// To the client of a running node.
    pub fn to_client(client: Async<UnixStream>) -> Answer {
        Answer { to: To::Client(client), waiting: String::new() }
    }

    /// To whoever started this program.
    pub fn to_stdout() -> Answer {
        Answer { to: To::Stdout, waiting: String::new() }
    }

    /// Says some text, of at most a few KB.
    ///
    /// # Errors
    /// Whoever asked has gone or takes nothing any more: no use in going on.
    pub async fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.waiting.push_str(text);
        if self.waiting.len() < CONTROL_PIECE_BYTES { Ok(()) } else { self.flush().await }
    }

    /// Sends what waits.
    pub async fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.to {
            To::Client(client) => {
                let text = std::mem::take(&mut self.waiting);
                let mut rest = text.as_str();
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(rest.floor_char_boundary(CONTROL_PIECE_BYTES.min(rest.len())));
                    rest = after;
                    write(client, &Piece::Text(piece.to_owned())).await.map_err(|e| gone(&e))?;
                }
                Ok(())
            }
            To::Stdout => print(&std::mem::take(&mut self.waiting)),
            #[cfg(test)]
            To::Kept => Ok(()),
        }
    }

    /// Says how it ended. Over the socket nothing is left to be done; otherwise the outcome is the caller's to tell.
    pub async fn end(mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let outcome = self.flush().await.and(outcome);
        match self.to {
            To::Client(mut client) => {
                let last = Piece::end(outcome);
                write(&mut client, &last).await.map_err(|e| gone(&e))
            }
            _ => outcome,
        }
    }
}

/// What tests look at.
#[cfg(test)]
impl Answer {
    /// Keeps everything.
    pub fn kept() -> Answer {
        Answer { to: To::Kept, waiting: String::new() }
    }

    /// Everything that was said.
    pub fn text(&self) -> &str {
        &self.waiting
    }
}

async fn write(client: &mut Async<UnixStream>, piece: &Piece) -> io::Result<()> {
    let frame = piece.encode();
    let late = async {
        Timer::after(Duration::from_secs(CONTROL_WRITE_SECONDS_MAX)).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    smol::future::or(client.write_all(&frame), late).await
}

fn gone(error: &io::Error) -> Failure {
    Failure::new(Exit::System, format!("whoever asked takes no answer: {error}"))
}
