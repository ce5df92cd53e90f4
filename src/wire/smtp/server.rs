//! The receiving side of one SMTP connection (RFC 5321), for other servers (MX) and for the owner's devices (RFC 6409).
//!
//! Receives a peer's bytes, and answers to what it asks; hands on reply bytes, message bytes and [`Want`]s. Does not
//! decide who may send what to whom, stores nothing, checks no password: it asks.
//!
//! What always holds: a command is obeyed only in the states that [`rule`] names for it; a line ends with CRLF and a
//! message with CRLF.CRLF, nothing else; nothing that was said before TLS is known after it (RFC 3207 section 4.2);
//! what is kept of input and what waits as output is bounded whatever comes in; every count that a peer can drive up
//! ends the session at its bound.

mod verbs;

use super::chunk::ChunkDecoder;
use super::command::{self, Body, Chunk, Offered, Verb};
use super::data::{DataTrouble, DotDecoder, Piece};
use super::hold::HoldBounds;
use super::line::{Framed, LineFramer};
use super::parameters::{MailParameters, RcptParameters};
use super::reply::{Reply, replies};
use crate::limits::*;
use crate::wire::address::{Address, ForwardPath, ReversePath};
use crate::wire::sasl::{Input, SaslTrouble};

/// For whom the server works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Mail from other servers; nobody logs in.
    Mx,
    /// Mail from the owner's devices; nothing without a login.
    Submission,
}

/// What a session is told when it begins.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For whom.
    pub role: Role,
    /// Our name in the greeting and the answer to EHLO.
    pub hostname: String,
    /// Largest message in bytes (SIZE, RFC 1870).
    pub message_bytes_max: u64,
    /// TLS can be begun with STARTTLS.
    pub starttls: bool,
    /// TLS is in use.
    pub tls: bool,
    /// Login is allowed without TLS.
    pub plaintext_login: bool,
    /// Over TLS logins may be bound to it (SCRAM-SHA-256-PLUS).
    pub channel_binding: bool,
    /// How long mail of the owner may be held (FUTURERELEASE); not for [`Role::Mx`].
    pub hold: Option<HoldBounds>,
}

/// The name a peer gave itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// A host name or address literal, safe to write into a header field.
    pub name: String,
    /// It said EHLO, not HELO.
    pub extended: bool,
}

/// From whom and to whom one message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// SIZE, when it was given. At most the largest message.
    pub declared_bytes: Option<u64>,
    /// What else MAIL said.
    pub parameters: MailParameters,
    /// RCPT TO, those accepted, at most [`SMTP_RECIPIENTS_MAX`].
    pub recipients: Vec<Recipient>,
}

/// One recipient of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Whom.
    pub address: Address,
    /// What RCPT said beside it.
    pub parameters: RcptParameters,
}

/// A recipient of whom nothing else was said.
impl From<Address> for Recipient {
    fn from(address: Address) -> Recipient {
        Recipient { address, parameters: RcptParameters::default() }
    }
}

/// What the conversation needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum Want<'i> {
    /// More input; all that was given is used. Write out what waits, then read.
    Input,
    /// Replies have piled up: write them out, then go on.
    Flush,
    /// May the sender of [`Server::envelope`] begin a message? [`Server::answer_sender`]
    Sender,
    /// May this recipient have the message? [`Server::answer_recipient`]
    Recipient(ForwardPath),
    /// A message is about to come. [`Server::answer_data`]
    Data,
    /// Bytes of the message, as they are to be kept.
    Bytes(&'i [u8]),
    /// The message is complete. Make it durable, then [`Server::answer_message`].
    Message,
    /// The message ended and has been refused with this reply, for its bytes or its size: forget it.
    Refused(Envelope, Reply),
    /// The peer has given up the message that it had begun: forget it.
    Forget,
    /// A client logs in: what comes of this? [`Server::answer_login`]
    Login(Input),
    /// Write out what waits, begin TLS as the server, then [`Server::tls_begun`].
    StartTls,
    /// Write out what waits and close.
    Close,
}

/// What came of a step of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginAnswer {
    /// Say this, in base64; the client's answer is the next step.
    Challenge(String),
    /// It is right.
    Welcome,
    /// It is wrong.
    Wrong,
    /// It is that of a device that may not send.
    NotAllowed,
    /// It could not be checked.
    Unavailable,
    /// It was not looked at: too many were wrong before.
    TooMany,
    /// It was nothing that could be looked at.
    Refused(SaslTrouble),
}

/// Where the conversation stands. `Asked` states await an answer from our side, the others await the peer.
#[derive(Debug)]
enum State {
    AwaitHello,
    AwaitMail,
    SenderAsked(Envelope),
    AwaitRecipient(Envelope),
    RecipientAsked(Envelope, RcptParameters),
    /// At least one recipient has been accepted.
    AwaitData(Envelope),
    /// With the first chunk, or for DATA.
    DataAsked(Envelope, Option<Chunk>),
    Receiving(Envelope, DotDecoder),
    /// Octets of a chunk.
    ReceivingChunk(Envelope, ChunkDecoder),
    /// A chunk has ended and was not the last.
    AwaitChunk(Envelope, ChunkDecoder),
    /// Octets of a chunk that was refused with this; then the state that the refusal found.
    Discarding(ChunkDecoder, Reply, Box<State>),
    MessageAsked(Envelope),
    AwaitSasl,
    LoginAsked,
    TlsAsked,
    Closing,
}

/// What is done with a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Obey,
    HelloFirst,
    MailFirst,
    RecipientFirst,
    Nested,
    NotNow,
    ChunksBegun,
}

/// Verb by state (RFC 5321 section 4.1.4, RFC 3207 section 4, RFC 4954 section 4, RFC 3030 section 2). The columns are the
/// states in which commands are read: nothing said, hello said, MAIL accepted, a recipient accepted, a chunk accepted.
#[rustfmt::skip]
fn rule(verb: Verb, column: usize) -> Rule {
    use Rule::*;
    let row = match verb {
        //                            AwaitHello  AwaitMail  AwaitRecipient  AwaitData  AwaitChunk
        Verb::Helo | Verb::Ehlo => [Obey,       Obey,      Obey,           Obey,      Obey],
        Verb::Mail =>              [HelloFirst, Obey,      Nested,         Nested,    Nested],
        Verb::Rcpt =>              [HelloFirst, MailFirst, Obey,           Obey,      ChunksBegun],
        Verb::Data =>              [HelloFirst, MailFirst, RecipientFirst, Obey,      ChunksBegun],
        Verb::Bdat =>              [HelloFirst, MailFirst, RecipientFirst, Obey,      Obey],
        Verb::Rset | Verb::Noop | Verb::Quit | Verb::Vrfy | Verb::Expn | Verb::Help
                                => [Obey,       Obey,      Obey,           Obey,      Obey],
        Verb::StartTls =>          [HelloFirst, Obey,      NotNow,         NotNow,    NotNow],
        Verb::Auth =>              [HelloFirst, Obey,      NotNow,         NotNow,    NotNow],
    };
    row.get(column).copied().unwrap_or(HelloFirst)
}

/// The conversation.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    state: State,
    line: LineFramer,
    hello: Option<Hello>,
    logged_in: bool,
    errors: u32,
    unknown_commands: u32,
    idle_commands: u32,
    messages: u32,
    /// Recipients beyond the bound, since the last message.
    recipients_beyond: u32,
    logins_failed: u32,
}

impl Server {
    /// Begins a session; greet with [`Server::greet`].
    pub fn new(settings: Settings) -> Server {
        Server {
            settings,
            state: State::AwaitHello,
            line: LineFramer::default(),
            hello: None,
            logged_in: false,
            errors: 0,
            unknown_commands: 0,
            idle_commands: 0,
            messages: 0,
            recipients_beyond: 0,
            logins_failed: 0,
        }
    }

    /// The greeting (RFC 5321 section 3.1).
    pub fn greet(&self, out: &mut Vec<u8>) {
        Reply::new(220, "", "").saying(format!("{} ESMTP Hauspost", self.settings.hostname)).encode(out);
    }

    /// The message begun, from MAIL until it is settled.
    pub fn envelope(&self) -> Option<&Envelope> {
        match &self.state {
            State::SenderAsked(envelope)
            | State::AwaitRecipient(envelope)
            | State::RecipientAsked(envelope, _)
            | State::AwaitData(envelope)
            | State::DataAsked(envelope, _)
            | State::Receiving(envelope, _)
            | State::ReceivingChunk(envelope, _)
            | State::AwaitChunk(envelope, _)
            | State::MessageAsked(envelope) => Some(envelope),
            _ => None,
        }
    }

    /// The name the peer gave itself, since the last HELO or EHLO.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Whether the peer has logged in.
    pub fn is_logged_in(&self) -> bool {
        self.logged_in
    }

    /// Whether a message is on its way in, so that ending the session now would cost the peer work.
    pub fn is_receiving(&self) -> bool {
        matches!(self.state, State::Receiving(..) | State::ReceivingChunk(..) | State::Discarding(..))
    }

    /// Takes input until something is wanted; tells how many bytes were used. Replies are appended to `out`.
    pub fn step<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> (usize, Want<'i>) {
        let mut used = 0;
        loop {
            if out.len() >= SMTP_REPLIES_BYTES {
                return (used, Want::Flush);
            }
            let rest = input.get(used..).unwrap_or_default();
            let said = out.len();
            let (more, want) = match &mut self.state {
                State::Closing => return (used, Want::Close),
                State::Receiving(_, dots) => {
                    let (more, piece) = dots.step(rest);
                    (more, self.take_piece(piece, out))
                }
                State::ReceivingChunk(_, chunks) => {
                    let (more, piece) = chunks.step(rest);
                    (more, self.take_chunk_piece(piece, out))
                }
                State::Discarding(chunk, ..) => {
                    let (more, piece) = chunk.step(rest);
                    (more, self.take_discarded(piece, out))
                }
                State::AwaitHello
                | State::AwaitMail
                | State::AwaitRecipient(_)
                | State::AwaitData(_)
                | State::AwaitChunk(..)
                | State::AwaitSasl => self.take_line(rest, out),
                _ => (0, self.close_with(replies::OUT_OF_STEP, out)),
            };
            used += more;
            match want {
                Some(Want::StartTls) if used < input.len() => {
                    out.truncate(said);
                    return (input.len(), self.close_with(replies::STARTTLS_NOT_LAST, out).unwrap_or(Want::Close));
                }
                Some(want) => return (used, want),
                // A chunk may end, or be empty, where the input ends.
                None if used == input.len() && !self.is_at_chunk_end() => return (used, self.when_dry()),
                None => {}
            }
        }
    }

    /// What to do when all input is used.
    fn when_dry<'i>(&self) -> Want<'i> {
        if matches!(self.state, State::Closing) { Want::Close } else { Want::Input }
    }

    /// Ends the session from our side: stopping, a timeout, too many sessions.
    pub fn close(&mut self, why: Reply, out: &mut Vec<u8>) {
        why.encode(out);
        self.state = State::Closing;
    }

    /// Answers [`Want::Sender`].
    pub fn answer_sender(&mut self, answer: Result<(), Reply>, out: &mut Vec<u8>) {
        match (std::mem::replace(&mut self.state, State::AwaitMail), answer) {
            (State::SenderAsked(envelope), Ok(())) => {
                self.state = State::AwaitRecipient(envelope);
                replies::SENDER_OK.encode(out);
            }
            (State::SenderAsked(_), Err(refusal)) => self.refuse(refusal, out),
            _ => self.close(replies::OUT_OF_STEP, out),
        }
    }

    /// Answers [`Want::Recipient`]: the address to put into the envelope, or why not.
    pub fn answer_recipient(&mut self, answer: Result<Address, Reply>, out: &mut Vec<u8>) {
        match (std::mem::replace(&mut self.state, State::AwaitMail), answer) {
            (State::RecipientAsked(mut envelope, parameters), Ok(address)) => {
                envelope.recipients.push(Recipient { address, parameters });
                self.state = State::AwaitData(envelope);
                replies::RECIPIENT_OK.encode(out);
            }
            (State::RecipientAsked(envelope, _), Err(refusal)) => {
                self.state = match envelope.recipients.is_empty() {
                    true => State::AwaitRecipient(envelope),
                    false => State::AwaitData(envelope),
                };
                self.refuse(refusal, out);
            }
            _ => self.close(replies::OUT_OF_STEP, out),
        }
    }

    /// Answers [`Want::Data`].
    pub fn answer_data(&mut self, answer: Result<(), Reply>, out: &mut Vec<u8>) {
        match (std::mem::replace(&mut self.state, State::AwaitMail), answer) {
            (State::DataAsked(envelope, None), Ok(())) => {
                self.state = State::Receiving(envelope, DotDecoder::new(self.settings.message_bytes_max));
                replies::SEND_DATA.encode(out);
            }
            (State::DataAsked(envelope, Some(chunk)), Ok(())) => {
                let binary = envelope.parameters.body == Body::BinaryMime;
                let chunks = ChunkDecoder::new(self.settings.message_bytes_max, binary, chunk);
                self.state = State::ReceivingChunk(envelope, chunks);
            }
            (State::DataAsked(_, None), Err(refusal)) => self.refuse(refusal, out),
            (State::DataAsked(_, Some(chunk)), Err(refusal)) => self.discard(chunk, refusal, State::AwaitMail),
            _ => self.close(replies::OUT_OF_STEP, out),
        }
    }

    /// Answers [`Want::Message`]. A positive reply says that the message is durable.
    pub fn answer_message(&mut self, answer: Reply, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::AwaitMail) {
            State::MessageAsked(_) => self.settle(answer, out),
            _ => self.close(replies::OUT_OF_STEP, out),
        }
    }

    /// TLS has begun: the session starts anew (RFC 3207 section 4.2), without a greeting.
    pub fn tls_begun(&mut self) {
        self.settings.tls = true;
        self.hello = None;
        self.logged_in = false;
        self.line = LineFramer::default();
        self.state = State::AwaitHello;
    }

    fn close_with<'i>(&mut self, why: Reply, out: &mut Vec<u8>) -> Option<Want<'i>> {
        self.close(why, out);
        Some(Want::Close)
    }

    /// Says no, and counts it.
    fn refuse(&mut self, refusal: Reply, out: &mut Vec<u8>) {
        if refusal.code == 421 {
            return self.close(refusal, out);
        }
        refusal.encode(out);
        self.errors += 1;
        if self.errors >= SMTP_ERRORS_MAX {
            self.close(replies::TOO_MANY_ERRORS, out);
        }
    }

    /// Ends a message, well or not.
    fn settle(&mut self, answer: Reply, out: &mut Vec<u8>) {
        self.state = State::AwaitMail;
        self.messages += 1;
        self.idle_commands = 0;
        self.recipients_beyond = 0;
        // A refusal of ours (4xx for a full disk) is no error of the peer.
        match answer.code {
            500.. => self.refuse(answer, out),
            _ => answer.encode(out),
        }
    }

    fn take_piece<'i>(&mut self, piece: Piece<'i>, out: &mut Vec<u8>) -> Option<Want<'i>> {
        match piece {
            Piece::Bytes(bytes) => Some(Want::Bytes(bytes)),
            Piece::NeedMore => None,
            Piece::Endless => self.close_with(replies::ENDLESS, out),
            Piece::End => match std::mem::replace(&mut self.state, State::AwaitMail) {
                State::Receiving(envelope, dots) => Some(self.end_message(envelope, dots.trouble(), out)),
                _ => self.close_with(replies::OUT_OF_STEP, out),
            },
        }
    }

    fn end_message<'i>(&mut self, envelope: Envelope, trouble: Option<DataTrouble>, out: &mut Vec<u8>) -> Want<'i> {
        match trouble {
            Some(trouble) => {
                self.settle(trouble.reply(), out);
                Want::Refused(envelope, trouble.reply())
            }
            None => {
                self.state = State::MessageAsked(envelope);
                Want::Message
            }
        }
    }

    fn take_chunk_piece<'i>(&mut self, piece: Piece<'i>, out: &mut Vec<u8>) -> Option<Want<'i>> {
        match piece {
            Piece::Bytes(bytes) => Some(Want::Bytes(bytes)),
            Piece::NeedMore => None,
            Piece::Endless => self.close_with(replies::ENDLESS, out),
            Piece::End => match std::mem::replace(&mut self.state, State::AwaitMail) {
                State::ReceivingChunk(envelope, chunks) if chunks.is_last() || chunks.trouble().is_some() => {
                    Some(self.end_message(envelope, chunks.trouble(), out))
                }
                State::ReceivingChunk(envelope, chunks) => {
                    replies::CHUNK_TAKEN.encode(out);
                    self.state = State::AwaitChunk(envelope, chunks);
                    None
                }
                _ => self.close_with(replies::OUT_OF_STEP, out),
            },
        }
    }

    /// Refuses a chunk once its octets have been read and thrown away (RFC 3030 section 2).
    fn discard(&mut self, chunk: Chunk, refusal: Reply, then: State) {
        let chunk = ChunkDecoder::new(self.settings.message_bytes_max, true, chunk);
        self.state = State::Discarding(chunk, refusal, Box::new(then));
    }

    fn take_discarded<'i>(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) -> Option<Want<'i>> {
        match piece {
            Piece::Bytes(_) | Piece::NeedMore => return None,
            Piece::Endless => return self.close_with(replies::ENDLESS, out),
            Piece::End => {}
        }
        match std::mem::replace(&mut self.state, State::AwaitMail) {
            State::Discarding(_, refusal, then) => {
                self.state = *then;
                self.refuse(refusal, out);
                None
            }
            _ => self.close_with(replies::OUT_OF_STEP, out),
        }
    }

    /// Whether the next step ends a chunk without further input.
    fn is_at_chunk_end(&self) -> bool {
        match &self.state {
            State::ReceivingChunk(_, chunk) | State::Discarding(chunk, ..) => chunk.is_over(),
            _ => false,
        }
    }

    fn take_line<'i>(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Option<Want<'i>>) {
        let in_sasl = matches!(self.state, State::AwaitSasl);
        let max = if in_sasl { SASL_LINE_BYTES_MAX + "\r\n".len() } else { SMTP_LINE_BYTES_MAX };
        let (used, framed) = self.line.take(input, max);
        let want = match framed {
            Framed::NeedMore => None,
            Framed::Here(range) => self.obey(input.get(range).unwrap_or_default(), out),
            Framed::Kept(line) => self.obey(&line, out),
            Framed::Endless => self.close_with(replies::TOO_MANY_ERRORS, out),
            Framed::Chunk => self.close_with(replies::BAD_CHUNK, out),
            Framed::TooLong | Framed::BareNewline => {
                if in_sasl {
                    self.state = State::AwaitMail;
                }
                self.refuse(
                    match (framed, in_sasl) {
                        (Framed::BareNewline, _) => replies::BARE_NEWLINE,
                        (_, true) => replies::AUTH_LINE_TOO_LONG,
                        (_, false) => replies::LINE_TOO_LONG,
                    },
                    out,
                );
                None
            }
        };
        (used, want)
    }

    /// Obeys one line: a command, or a line of an authentication exchange.
    fn obey<'i>(&mut self, line: &[u8], out: &mut Vec<u8>) -> Option<Want<'i>> {
        if matches!(self.state, State::AwaitSasl) {
            self.state = State::LoginAsked;
            return Some(Want::Login(Input::Line(line.to_vec())));
        }
        let Some((verb, argument)) = command::parse_verb(line) else {
            self.refuse_unknown(line, out);
            return None;
        };
        let column = match self.state {
            State::AwaitHello => 0,
            State::AwaitMail => 1,
            State::AwaitRecipient(_) => 2,
            State::AwaitChunk(..) => 4,
            _ => 3,
        };
        let refusal = match rule(verb, column) {
            Rule::Obey => return self.run(verb, argument, out),
            Rule::ChunksBegun => replies::CHUNKS_AND_DATA,
            Rule::HelloFirst => replies::HELLO_FIRST,
            Rule::MailFirst => replies::MAIL_FIRST,
            Rule::RecipientFirst => replies::RECIPIENT_FIRST,
            Rule::Nested => replies::NESTED_MAIL,
            Rule::NotNow => replies::NOT_IN_TRANSACTION,
        };
        if verb == Verb::Bdat {
            return self.refuse_chunk(argument, refusal, out);
        }
        self.refuse(refusal, out);
        None
    }

    fn refuse_unknown(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if command::is_http(line) {
            return self.close(replies::NOT_HTTP, out);
        }
        self.unknown_commands += 1;
        self.refuse(replies::NO_COMMAND, out);
        if self.unknown_commands >= SMTP_UNKNOWN_COMMANDS_MAX && !matches!(self.state, State::Closing) {
            self.close(replies::TOO_MANY_ERRORS, out);
        }
    }
}

#[cfg(test)]
mod tests;
