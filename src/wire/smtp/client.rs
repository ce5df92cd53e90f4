//! The sending side of one SMTP connection (RFC 5321), as a value.
//!
//! Receives the server's bytes, envelopes and message content; appends commands to `out` and tells through [`Client::want`]
//! what it needs next. Decides what became of each recipient. Never opens, reads or closes anything, and does not know
//! which server it talks to or what is tried after it.
//!
//! What always holds: every recipient of a transaction gets exactly one [`Verdict`], also when the connection breaks; a
//! message counts as delivered only by a 2xx reply to its final dot or last chunk; a password leaves only over TLS, unless the
//! [`Manner`] allows plain; a server that offers SCRAM gets no password, and mail only when it has proved that it knows it;
//! nothing the server said before TLS counts afterwards (RFC 3207 section 4.2).

mod answer;
mod ask;
mod content;
mod login;
mod offers;
#[cfg(test)]
mod tests;
mod transaction;

pub use answer::{Answer, AnswerReader, Status, cut};
pub use content::ContentEncoder;
pub use login::LoginMeans;

use crate::limits::*;
use crate::wire::address::{Domain, ReversePath};
use crate::wire::smtp::{Body, MailParameters, Recipient};
use base64::engine::general_purpose::STANDARD as BASE64;
use login::Login;
use offers::Offers;
use std::time::Duration;
use transaction::{Chunks, Transaction};

/// How to talk to a server.
#[derive(Clone)]
pub struct Manner {
    /// Our name in EHLO.
    pub hostname: Domain,
    /// STARTTLS or not.
    pub tls: TlsUse,
    /// Login and password; with one, a server that does not let us log in gets no mail.
    pub login: Option<(String, String)>,
    /// CHUNKING is not used, though it is offered: this server does not know its own command.
    pub no_chunks: bool,
}

/// What a connection does about STARTTLS (RFC 3207).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// Goes on as it is: TLS is there already, or plain is what is wanted.
    Never,
    /// Used when offered (RFC 7435).
    IfOffered,
    /// Without it nothing is sent.
    Required,
}

/// One message for some recipients.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// What else was said when the message came; handed on to a server that knows the extension it belongs to.
    pub parameters: MailParameters,
    /// RCPT TO, 1..=[`RELAY_RECIPIENTS_PER_TRANSACTION`].
    pub recipients: Vec<Recipient>,
    /// Size of the content in bytes, before dots are doubled (RFC 1870 section 3).
    pub bytes: u64,
    /// The content has, or may have, bytes above 127 (RFC 6152).
    pub eight_bit: bool,
    /// Its header has, or may have, bytes above 127 (RFC 6532).
    pub eight_bit_header: bool,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server has taken the message for this recipient.
    Delivered(Answer),
    /// Refused for good, with the command that the answer belongs to.
    Permanent(Answer, Verb),
    /// Refused for now.
    Temporary(Answer, Verb),
    /// The connection ended before an answer that decides; [`Client::ended`] says why. `after_dot`: everything had been
    /// sent, the server may have the message. It is sent again all the same: a duplicate is allowed, a loss is not.
    Cut {
        /// See above.
        after_dot: bool,
    },
}

/// What an answer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The connection itself.
    Greeting,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The end of the content.
    Content,
    /// RSET, QUIT.
    Other,
}

/// What the machine needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Bytes for [`Client::receive`]; a reply that takes longer than this in all is a lost connection.
    Reply(Duration),
    /// TLS, then [`Client::tls_started`].
    Tls,
    /// Verdicts wait in [`Client::take_verdicts`], or it is ready: [`Client::begin`] or [`Client::quit`].
    Envelope,
    /// Content: [`Client::content`] until the last of it; an answer may be wanted in between.
    Content,
    /// Nothing: over.
    Close,
}

/// Why a connection came to its end before QUIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server does not go on, by this answer to this command.
    Refused(Answer, Verb),
    /// It lacks something that has to be there; the text says what.
    Unfit(&'static str),
    /// It broke the protocol; the text says how.
    Breach(&'static str),
    /// It took the login, but is not the server that is meant, as far as can be told; the text says why.
    Unproven(&'static str),
    /// The connection was lost, or too slow; the text says how.
    Lost(String),
}

enum State {
    AwaitGreeting,
    AwaitEhlo,
    AwaitHelo,
    AwaitStartTls,
    AwaitTls,
    AwaitAuth(Login),
    Ready,
    AwaitMail(Transaction),
    /// The index of the recipient whose answer is next.
    AwaitRcpt(Transaction, usize),
    AwaitData(Transaction),
    Content(Transaction, ContentEncoder),
    /// The content goes in chunks (RFC 3030).
    Chunks(Transaction, Chunks),
    /// The end of the content has been sent; the answers to so many chunks come before its own.
    AwaitContent(Transaction, u32),
    /// DATA was granted although nobody was left: an empty message was sent (RFC 2920 section 3.1), its answer is void.
    AwaitVoid,
    /// RSET; the answers to so many chunks come before its own, and are void.
    AwaitReset(u32),
    /// A question whose MAIL waits for its answer, then its RCPT.
    AsksMail(Envelope),
    AsksRcpt,
    AwaitQuit,
    Closed,
}

/// One connection. See the module.
pub struct Client {
    manner: Manner,
    means: Option<LoginMeans>,
    state: State,
    reader: AnswerReader,
    offers: Offers,
    over_tls: bool,
    answers_read: u64,
    verdicts: Option<Vec<Verdict>>,
    ended: Option<Ended>,
    knows_no_chunks: bool,
}

impl Client {
    /// A fresh connection; the greeting comes first.
    pub fn new(manner: Manner) -> Client {
        Client {
            manner,
            means: None,
            state: State::AwaitGreeting,
            reader: AnswerReader::default(),
            offers: Offers::default(),
            over_tls: false,
            answers_read: 0,
            verdicts: None,
            ended: None,
            knows_no_chunks: false,
        }
    }

    /// What it needs next.
    pub fn want(&self) -> Want {
        let seconds = match &self.state {
            State::AwaitTls => return Want::Tls,
            State::Ready => return Want::Envelope,
            State::Content(..) => return Want::Content,
            State::Chunks(_, chunks) if chunks.has_room() => return Want::Content,
            State::Closed => return Want::Close,
            State::AwaitGreeting => RELAY_GREETING_SECONDS,
            State::AwaitData(_) => RELAY_DATA_SECONDS,
            State::Chunks(..) | State::AwaitContent(..) | State::AwaitVoid => RELAY_CONTENT_SECONDS,
            State::AwaitReset(_) | State::AwaitQuit => RELAY_QUIT_SECONDS,
            _ => RELAY_COMMAND_SECONDS,
        };
        Want::Reply(Duration::from_secs(seconds))
    }

    /// How many complete answers have come so far: the clock of [`Want::Reply`] starts anew with each.
    pub fn answers_read(&self) -> u64 {
        self.answers_read
    }

    /// Why it ended, when it ended before QUIT.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// The verdicts of the last transaction, one per recipient in the order of the envelope, once it is over.
    pub fn take_verdicts(&mut self) -> Option<Vec<Verdict>> {
        self.verdicts.take()
    }

    /// Whether TLS was begun with STARTTLS.
    pub fn is_over_tls(&self) -> bool {
        self.over_tls
    }

    /// Whether the server has promised the reports that were asked for (RFC 3461 section 5.2.1).
    pub fn offers_dsn(&self) -> bool {
        self.offers.dsn
    }

    /// Whether content goes to the server as it is (RFC 6152 section 3). What offers SMTPUTF8 has to take 8 bits (RFC 6531
    /// section 3.1). What is binary goes as it is or not at all.
    pub fn takes_content(&self, envelope: &Envelope) -> bool {
        !envelope.eight_bit || is_binary(envelope) || self.offers.takes_eight_bit()
    }

    /// Whether it ended because the server offers CHUNKING and then does not know BDAT: the message may go over another
    /// connection with [`Manner::no_chunks`].
    pub fn knows_no_chunks(&self) -> bool {
        self.knows_no_chunks
    }

    /// Takes bytes of the server; appends the commands that follow from them.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() && !matches!(self.state, State::Closed) {
            if matches!(self.state, State::AwaitTls) {
                return self.end(Ended::Breach("sent more after its answer to STARTTLS"));
            }
            let (taken, answer) = self.reader.read(rest);
            rest = rest.get(taken..).unwrap_or_default();
            match answer {
                Some(Ok(answer)) => {
                    self.answers_read += 1;
                    self.on_answer(answer, out);
                }
                Some(Err(breach)) => self.end(Ended::Breach(breach)),
                None => {}
            }
        }
    }

    /// TLS is there: begins anew.
    pub fn tls_started(&mut self, out: &mut Vec<u8>) {
        self.over_tls = true;
        self.offers = Offers::default();
        self.reader = AnswerReader::default();
        self.say_ehlo(out);
    }

    /// Says goodbye when nothing is under way; ends at once otherwise.
    pub fn quit(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Ready => {
                out.extend_from_slice(b"QUIT\r\n");
                self.state = State::AwaitQuit;
            }
            _ => self.lost("given up by this side"),
        }
    }

    /// The connection is gone, or is given up.
    pub fn lost(&mut self, how: &str) {
        match self.state {
            State::AwaitQuit | State::Closed => self.state = State::Closed,
            _ => self.end(Ended::Lost(how.to_owned())),
        }
    }

    fn on_answer(&mut self, answer: Answer, out: &mut Vec<u8>) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        // 421 at any time: "the service is closing the channel" (RFC 5321 section 3.8).
        if answer.code == 421 && !matches!(state, State::AwaitQuit | State::Content(..) | State::AwaitContent(..)) {
            let verb = state.verb();
            return self.end_in(state, Ended::Refused(answer, verb));
        }
        match state {
            State::AwaitGreeting if answer.is_positive() => self.say_ehlo(out),
            State::AwaitEhlo if answer.is_positive() => self.on_ehlo(&answer, out),
            State::AwaitEhlo if answer.is_permanent() => self.say_helo(answer, out),
            State::AwaitHelo if answer.is_positive() => self.state = State::Ready,
            State::AwaitStartTls if answer.code == 220 => self.state = State::AwaitTls,
            State::AwaitStartTls if self.manner.tls == TlsUse::IfOffered => self.on_session(out),
            State::AwaitAuth(login) if answer.is_positive() => self.on_welcome(login, &answer),
            State::AwaitAuth(login) if answer.code == 334 => self.on_challenge(login, &answer, out),
            State::AwaitAuth(login) => self.on_login_refused(login, answer, out),
            State::AwaitMail(transaction) => self.on_mail(transaction, answer, out),
            State::AwaitRcpt(transaction, at) => self.on_rcpt(transaction, at, answer, out),
            State::AwaitData(transaction) => self.on_data(transaction, answer, out),
            State::Chunks(transaction, chunks) if chunks.unanswered > 0 => {
                self.on_chunk(transaction, chunks, answer, out);
            }
            State::Content(transaction, _) if answer.code >= 400 => self.on_content(transaction, answer, true, out),
            State::AwaitContent(transaction, 0) => self.on_content(transaction, answer, false, out),
            State::AwaitContent(transaction, before) => self.on_chunk_before(transaction, before, answer, out),
            State::AsksMail(question) => self.on_asked_mail(&question, answer, out),
            State::AsksRcpt => self.on_asked_rcpt(answer, out),
            State::AwaitReset(before @ 1..) => self.state = State::AwaitReset(before - 1),
            State::AwaitVoid | State::AwaitReset(0) => self.state = State::Ready,
            State::AwaitQuit | State::Closed => {}
            State::Ready | State::AwaitTls | State::Chunks(..) => {
                self.end_in(state, Ended::Breach("answered what was not asked"));
            }
            state @ State::Content(..) => self.end_in(state, Ended::Breach("answered before the end of the content")),
            state => {
                let verb = state.verb();
                self.end(Ended::Refused(answer, verb));
            }
        }
    }

    fn say_ehlo(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("EHLO {}\r\n", self.manner.hostname).as_bytes());
        self.state = State::AwaitEhlo;
    }

    /// RFC 5321 section 3.2: a server that does not know EHLO gets HELO; it cannot have TLS or logins then.
    fn say_helo(&mut self, refusal: Answer, out: &mut Vec<u8>) {
        if self.manner.tls == TlsUse::Required || self.manner.login.is_some() {
            return self.end(Ended::Refused(refusal, Verb::Ehlo));
        }
        out.extend_from_slice(format!("HELO {}\r\n", self.manner.hostname).as_bytes());
        self.state = State::AwaitHelo;
    }

    fn on_ehlo(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        self.offers = Offers::read(&answer.lines);
        if self.over_tls || self.manner.tls == TlsUse::Never {
            return self.on_session(out);
        }
        match (self.offers.starttls, self.manner.tls) {
            (true, _) => {
                out.extend_from_slice(b"STARTTLS\r\n");
                self.state = State::AwaitStartTls;
            }
            (false, TlsUse::Required) => self.end(Ended::Unfit("offers no STARTTLS, which has to be there")),
            (false, _) => self.on_session(out),
        }
    }

    fn end(&mut self, why: Ended) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        self.end_in(state, why);
    }

    fn end_in(&mut self, state: State, why: Ended) {
        let after_dot = matches!(state, State::AwaitContent(..));
        match state {
            State::AwaitMail(transaction)
            | State::AwaitRcpt(transaction, _)
            | State::AwaitData(transaction)
            | State::Content(transaction, _)
            | State::Chunks(transaction, _)
            | State::AwaitContent(transaction, _) => self.verdicts = Some(transaction.into_verdicts(after_dot)),
            _ => {}
        }
        self.state = State::Closed;
        self.ended = Some(why);
    }
}

impl State {
    fn verb(&self) -> Verb {
        match self {
            State::AwaitGreeting => Verb::Greeting,
            State::AwaitEhlo | State::AwaitHelo => Verb::Ehlo,
            State::AwaitStartTls | State::AwaitTls => Verb::StartTls,
            State::AwaitAuth(_) => Verb::Auth,
            State::AwaitMail(_) | State::AsksMail(_) => Verb::Mail,
            State::AwaitRcpt(..) | State::AsksRcpt => Verb::Rcpt,
            State::AwaitData(_) => Verb::Data,
            State::Content(..) | State::Chunks(..) | State::AwaitContent(..) => Verb::Content,
            State::Ready | State::AwaitVoid | State::AwaitReset(_) | State::AwaitQuit | State::Closed => Verb::Other,
        }
    }
}

/// An answer out of place (2xx or 3xx where none fits) decides nothing for good.
fn refusal(answer: Answer, verb: Verb) -> Verdict {
    if answer.is_permanent() { Verdict::Permanent(answer, verb) } else { Verdict::Temporary(answer, verb) }
}

fn is_binary(envelope: &Envelope) -> bool {
    envelope.parameters.body == Body::BinaryMime
}
