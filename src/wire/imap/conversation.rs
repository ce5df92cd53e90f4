//! The server's side of one IMAP connection as a value: states, the verbs they allow, and what comes next.
//!
//! The driver reads bytes, calls [`Conversation::step`] until it says [`Step::Read`], carries out what a step asks for,
//! writes the answer with [`super::response`] into the same `out`, and tells the conversation what changed
//! ([`Conversation::logged_in`], [`Conversation::selected`], ...). Commands come one at a time, in order: the next step is
//! taken only after the last one has been answered. What cannot be understood or is not allowed in the state is answered
//! here and never reaches the driver.
//!
//! Always: bytes of a literal are never read as a command; what was pipelined behind STARTTLS is thrown away.

use super::command::{Append, Command, Tag};
use super::response::Code;

/// What holds for the whole connection until TLS starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// TLS is on.
    pub tls: bool,
    /// STARTTLS can be given (a certificate is there).
    pub starttls: bool,
    /// Login without TLS is allowed.
    pub plaintext_login: bool,
    /// Largest message APPEND takes, in bytes (RFC 7889).
    pub append_bytes_max: u64,
}

impl Terms {
    /// Whether LOGIN and AUTHENTICATE may be used now.
    pub fn login_allowed(&self) -> bool {
        self.tls || self.plaintext_login
    }
}

/// What the driver has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'i> {
    /// All input is used: send `out`, then read more and call again.
    Read,
    /// Carry out and answer with a tagged response. (STARTTLS: answer OK, send, accept TLS, call
    /// [`Conversation::tls_started`]. IDLE: [`Conversation::begin_idle`]. AUTHENTICATE: [`Conversation::challenge`] as
    /// often as needed. LOGOUT: BYE and OK, then close.)
    Command {
        /// Echo it.
        tag: Tag,
        /// What to do.
        command: Command,
    },
    /// A message is about to come: [`Conversation::accept_append`] or [`Conversation::refuse_append`].
    AppendBegin(Append),
    /// Bytes of the message, at least one. The driver may still call [`Conversation::refuse_append`].
    AppendBytes(&'i [u8]),
    /// The message is complete: store it and answer.
    AppendEnd {
        /// Tag of the APPEND.
        tag: Tag,
    },
    /// The client broke the APPEND after its bytes; it has been answered. Drop the message.
    AppendBroken,
    /// The answer to a SASL challenge.
    Auth(AuthReply),
    /// DONE: answer the IDLE with a tagged OK.
    IdleDone {
        /// Tag of the IDLE.
        tag: Tag,
    },
    /// IDLE was ended by something other than DONE; it has been answered.
    IdleBroken,
    /// The conversation is over (BYE is in `out`): send `out` and close.
    Close,
}

/// What a client says to a SASL challenge.
#[derive(Clone, PartialEq, Eq)]
pub enum AuthReply {
    /// Decoded bytes.
    Bytes(Vec<u8>),
    /// `*`, or what is no base64: the exchange is over and has been answered.
    Cancelled,
}

impl std::fmt::Debug for AuthReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AuthReply::Bytes(_) => "Bytes(secret)",
            AuthReply::Cancelled => "Cancelled",
        })
    }
}

/// One connection, seen from the server.
pub struct Conversation {
    terms: Terms,
}

impl Conversation {
    /// A new connection, not logged in.
    pub fn new(terms: Terms) -> Conversation {
        Conversation { terms }
    }

    /// `* OK [CAPABILITY ...] hostname ready`.
    pub fn greet(&self, _out: &mut Vec<u8>, _hostname: &str) {
        unimplemented!()
    }

    /// The capability list that holds now, for CAPABILITY and for the code of the answer to a login.
    pub fn capabilities(&self) -> String {
        super::capabilities(&self.terms, false)
    }

    /// Uses up input until something must be done. Answers that are the conversation's own are appended to `out`.
    pub fn step<'i>(&mut self, _input: &mut &'i [u8], _out: &mut Vec<u8>) -> Step<'i> {
        unimplemented!()
    }

    /// The client is logged in (call before writing the answer, so that [`Conversation::capabilities`] fits).
    pub fn logged_in(&mut self) {
        unimplemented!()
    }

    /// A mailbox is selected.
    pub fn selected(&mut self, _read_only: bool) {
        unimplemented!()
    }

    /// No mailbox is selected any more (CLOSE, UNSELECT, a failed SELECT, the mailbox was deleted).
    pub fn unselected(&mut self) {
        unimplemented!()
    }

    /// TLS is on: back to the beginning, nothing of what was said before counts.
    pub fn tls_started(&mut self) {
        unimplemented!()
    }

    /// Sends a SASL challenge; the next step will be [`Step::Auth`].
    pub fn challenge(&mut self, _tag: &Tag, _challenge: &[u8], _out: &mut Vec<u8>) {
        unimplemented!()
    }

    /// `+ idling`: untagged responses may follow at any time until [`Step::IdleDone`] or [`Step::IdleBroken`].
    pub fn begin_idle(&mut self, _tag: &Tag, _out: &mut Vec<u8>) {
        unimplemented!()
    }

    /// The message of an APPEND is wanted: asks for it if the client waits to be asked.
    pub fn accept_append(&mut self, _out: &mut Vec<u8>) {
        unimplemented!()
    }

    /// The message is not wanted (any more): the rest of it is skipped and the tagged NO is sent once that is done.
    pub fn refuse_append(&mut self, _code: Code<'_>, _text: &str, _out: &mut Vec<u8>) {
        unimplemented!()
    }
}
