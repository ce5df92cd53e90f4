//! The sending side of one SMTP connection (RFC 5321), as a value.
//!
//! Receives the server's bytes, envelopes and message content; appends commands to `out` and tells through [`Client::want`]
//! what it needs next. Decides what became of each recipient. Never opens, reads or closes anything, and does not know
//! which server it talks to or what is tried after it.
//!
//! What always holds: every recipient of a transaction gets exactly one [`Verdict`], also when the connection breaks; a
//! message counts as delivered only by a 2xx reply to its final dot; a password leaves only over TLS, unless the
//! [`Manner`] allows plain; nothing the server said before TLS counts afterwards (RFC 3207 section 4.2).

mod answer;
mod ask;
mod content;
mod offers;
#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerReader, Status, cut};
pub use content::ContentEncoder;

use crate::limits::*;
use crate::wire::address::{Domain, ReversePath};
use crate::wire::smtp::{Body, MailParameters, Recipient};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use offers::Offers;
use std::time::Duration;

/// How to talk to a server.
#[derive(Clone)]
pub struct Manner {
    /// Our name in EHLO.
    pub hostname: Domain,
    /// STARTTLS or not.
    pub tls: TlsUse,
    /// Login and password; with one, a server that does not let us log in gets no mail.
    pub login: Option<(String, String)>,
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
    /// Content: [`Client::content`] any number of times, then [`Client::content_end`].
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
    /// The connection was lost, or too slow; the text says how.
    Lost(String),
}

enum State {
    AwaitGreeting,
    AwaitEhlo,
    AwaitHelo,
    AwaitStartTls,
    AwaitTls,
    AwaitAuth(Vec<String>),
    Ready,
    AwaitMail(Transaction),
    /// The index of the recipient whose answer is next.
    AwaitRcpt(Transaction, usize),
    AwaitData(Transaction),
    Content(Transaction, ContentEncoder),
    /// The content goes in chunks, because it is binary (RFC 3030).
    Chunks(Transaction),
    AwaitChunk(Transaction),
    AwaitContent(Transaction),
    /// DATA was granted although nobody was left: an empty message was sent (RFC 2920 section 3.1), its answer is void.
    AwaitVoid,
    AwaitReset,
    /// A question whose MAIL waits for its answer, then its RCPT.
    AsksMail(Envelope),
    AsksRcpt,
    AwaitQuit,
    Closed,
}

struct Transaction {
    envelope: Envelope,
    verdicts: Vec<Option<Verdict>>,
    mail_refused: bool,
}

/// One connection. See the module.
pub struct Client {
    manner: Manner,
    state: State,
    reader: AnswerReader,
    offers: Offers,
    over_tls: bool,
    answers_read: u64,
    verdicts: Option<Vec<Verdict>>,
    ended: Option<Ended>,
}

impl Client {
    /// A fresh connection; the greeting comes first.
    pub fn new(manner: Manner) -> Client {
        Client {
            manner,
            state: State::AwaitGreeting,
            reader: AnswerReader::default(),
            offers: Offers::default(),
            over_tls: false,
            answers_read: 0,
            verdicts: None,
            ended: None,
        }
    }

    /// What it needs next.
    pub fn want(&self) -> Want {
        let seconds = match &self.state {
            State::AwaitTls => return Want::Tls,
            State::Ready => return Want::Envelope,
            State::Content(..) | State::Chunks(_) => return Want::Content,
            State::Closed => return Want::Close,
            State::AwaitGreeting => RELAY_GREETING_SECONDS,
            State::AwaitData(_) => RELAY_DATA_SECONDS,
            State::AwaitChunk(_) | State::AwaitContent(_) | State::AwaitVoid => RELAY_CONTENT_SECONDS,
            State::AwaitReset | State::AwaitQuit => RELAY_QUIT_SECONDS,
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

    /// Begins a transaction; only when [`Want::Envelope`] and without verdicts waiting. What the server's offers rule out
    /// is refused here and now, without a word to it.
    pub fn begin(&mut self, envelope: Envelope, out: &mut Vec<u8>) {
        if !matches!(self.state, State::Ready) || envelope.recipients.is_empty() {
            self.verdicts = Some(vec![Verdict::Cut { after_dot: false }; envelope.recipients.len()]);
            return;
        }
        if let Some(refusal) = self.offers.refuse(&envelope) {
            self.verdicts = Some(vec![Verdict::Permanent(refusal, Verb::Mail); envelope.recipients.len()]);
            return;
        }
        out.extend_from_slice(self.offers.mail_command(&envelope).as_bytes());
        if self.offers.pipelining {
            for recipient in &envelope.recipients {
                out.extend_from_slice(self.offers.rcpt_command(&envelope, recipient).as_bytes());
            }
            if !is_binary(&envelope) {
                out.extend_from_slice(b"DATA\r\n");
            }
        }
        let verdicts = vec![None; envelope.recipients.len()];
        self.state = State::AwaitMail(Transaction { envelope, verdicts, mail_refused: false });
    }

    /// Appends the next piece of the content as it goes over the wire. It may want an answer to it then.
    pub fn content(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Content(transaction, mut encoder) => {
                encoder.encode(bytes, out);
                self.state = State::Content(transaction, encoder);
            }
            State::Chunks(transaction) => {
                out.extend_from_slice(format!("BDAT {}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                self.state = State::AwaitChunk(transaction);
            }
            other => self.state = other,
        }
    }

    /// Ends the content.
    pub fn content_end(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Content(transaction, encoder) => {
                encoder.finish(out);
                self.state = State::AwaitContent(transaction);
            }
            State::Chunks(transaction) => {
                out.extend_from_slice(b"BDAT 0 LAST\r\n");
                self.state = State::AwaitContent(transaction);
            }
            other => self.state = other,
        }
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
        if answer.code == 421 && !matches!(state, State::AwaitQuit | State::Content(..) | State::AwaitContent(_)) {
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
            State::AwaitAuth(_) if answer.is_positive() => self.state = State::Ready,
            State::AwaitAuth(responses) if answer.code == 334 => self.respond(responses, out),
            State::AwaitMail(transaction) => self.on_mail(transaction, answer, out),
            State::AwaitRcpt(transaction, at) => self.on_rcpt(transaction, at, answer, out),
            State::AwaitData(transaction) => self.on_data(transaction, answer, out),
            State::AwaitChunk(transaction) => self.on_chunk(transaction, answer, out),
            State::Content(transaction, _) if answer.code >= 400 => self.on_content(transaction, answer, true),
            State::AwaitContent(transaction) => self.on_content(transaction, answer, false),
            State::AsksMail(question) => self.on_asked_mail(&question, answer, out),
            State::AsksRcpt => self.on_asked_rcpt(answer, out),
            State::AwaitVoid | State::AwaitReset => self.state = State::Ready,
            State::AwaitQuit | State::Closed => {}
            State::Ready | State::AwaitTls | State::Chunks(_) => {
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

    /// The session stands; log in when that is asked for (RFC 4954).
    fn on_session(&mut self, out: &mut Vec<u8>) {
        let Some((login, password)) = &self.manner.login else {
            self.state = State::Ready;
            return;
        };
        let plain = BASE64.encode(format!("\0{login}\0{password}"));
        // Answers to 334 challenges, the last first.
        let responses = if self.offers.auth_plain {
            // RFC 4954 section 4: an initial response that makes the line longer than 512 octets has to wait.
            let inline = plain.len() + "AUTH PLAIN \r\n".len() <= 512;
            out.extend_from_slice(b"AUTH PLAIN");
            if inline {
                out.push(b' ');
                out.extend_from_slice(plain.as_bytes());
            }
            if inline { Vec::new() } else { vec![plain] }
        } else if self.offers.auth_login {
            out.extend_from_slice(b"AUTH LOGIN");
            vec![BASE64.encode(password), BASE64.encode(login)]
        } else {
            return self.end(Ended::Unfit("offers no login by PLAIN or LOGIN"));
        };
        out.extend_from_slice(b"\r\n");
        self.state = State::AwaitAuth(responses);
    }

    fn respond(&mut self, mut responses: Vec<String>, out: &mut Vec<u8>) {
        let Some(response) = responses.pop() else {
            return self.end(Ended::Breach("asked for more than the login and password"));
        };
        out.extend_from_slice(response.as_bytes());
        out.extend_from_slice(b"\r\n");
        self.state = State::AwaitAuth(responses);
    }

    fn on_mail(&mut self, mut transaction: Transaction, answer: Answer, out: &mut Vec<u8>) {
        if !answer.is_positive() {
            transaction.mail_refused = true;
            transaction.decide_rest(&answer, Verb::Mail);
            if !self.offers.pipelining {
                return self.finish(transaction, State::Ready);
            }
        } else if let (false, Some(first)) = (self.offers.pipelining, transaction.envelope.recipients.first()) {
            out.extend_from_slice(self.offers.rcpt_command(&transaction.envelope, first).as_bytes());
        }
        self.state = State::AwaitRcpt(transaction, 0);
    }

    fn on_rcpt(&mut self, mut transaction: Transaction, at: usize, answer: Answer, out: &mut Vec<u8>) {
        if !answer.is_positive()
            && let Some(verdict @ None) = transaction.verdicts.get_mut(at)
        {
            *verdict = Some(refusal(answer, Verb::Rcpt));
        }
        let next = at + 1;
        match transaction.envelope.recipients.get(next) {
            Some(recipient) => {
                if !self.offers.pipelining {
                    out.extend_from_slice(self.offers.rcpt_command(&transaction.envelope, recipient).as_bytes());
                }
                self.state = State::AwaitRcpt(transaction, next);
            }
            None if self.offers.pipelining && !is_binary(&transaction.envelope) => {
                self.state = State::AwaitData(transaction);
            }
            None if transaction.is_decided() => {
                out.extend_from_slice(b"RSET\r\n");
                self.finish(transaction, State::AwaitReset);
            }
            None if is_binary(&transaction.envelope) => self.state = State::Chunks(transaction),
            None => {
                out.extend_from_slice(b"DATA\r\n");
                self.state = State::AwaitData(transaction);
            }
        }
    }

    fn on_data(&mut self, mut transaction: Transaction, answer: Answer, out: &mut Vec<u8>) {
        match (answer.code, transaction.is_decided()) {
            (354, false) => self.state = State::Content(transaction, ContentEncoder::default()),
            (354, true) => {
                out.extend_from_slice(b".\r\n");
                self.finish(transaction, State::AwaitVoid);
            }
            _ => {
                transaction.decide_rest(&answer, Verb::Data);
                // A transaction that MAIL refused was never opened; any other is still open at the server.
                if transaction.mail_refused {
                    return self.finish(transaction, State::Ready);
                }
                out.extend_from_slice(b"RSET\r\n");
                self.finish(transaction, State::AwaitReset);
            }
        }
    }

    /// The answer to a chunk that was not the last. After a refusal the transaction is reset (RFC 3030 section 2).
    fn on_chunk(&mut self, mut transaction: Transaction, answer: Answer, out: &mut Vec<u8>) {
        if answer.is_positive() {
            self.state = State::Chunks(transaction);
            return;
        }
        transaction.decide_rest(&answer, Verb::Content);
        out.extend_from_slice(b"RSET\r\n");
        self.finish(transaction, State::AwaitReset);
    }

    /// The answer to the content; `early` when it came before the final dot: then both sides are out of step and the
    /// connection is over, but the answer counts.
    fn on_content(&mut self, mut transaction: Transaction, answer: Answer, early: bool) {
        if answer.is_positive() {
            for verdict in transaction.verdicts.iter_mut().filter(|verdict| verdict.is_none()) {
                *verdict = Some(Verdict::Delivered(answer.clone()));
            }
        } else {
            transaction.decide_rest(&answer, Verb::Content);
        }
        if early || answer.code == 421 {
            self.verdicts = Some(transaction.into_verdicts(false));
            self.ended = Some(Ended::Refused(answer, Verb::Content));
            self.state = State::Closed;
            return;
        }
        self.finish(transaction, State::Ready);
    }

    fn finish(&mut self, transaction: Transaction, next: State) {
        self.verdicts = Some(transaction.into_verdicts(false));
        self.state = next;
    }

    fn end(&mut self, why: Ended) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        self.end_in(state, why);
    }

    fn end_in(&mut self, state: State, why: Ended) {
        let after_dot = matches!(state, State::AwaitContent(_));
        match state {
            State::AwaitMail(transaction)
            | State::AwaitRcpt(transaction, _)
            | State::AwaitData(transaction)
            | State::Content(transaction, _)
            | State::Chunks(transaction)
            | State::AwaitChunk(transaction)
            | State::AwaitContent(transaction) => self.verdicts = Some(transaction.into_verdicts(after_dot)),
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
            State::Content(..) | State::Chunks(_) | State::AwaitChunk(_) | State::AwaitContent(_) => Verb::Content,
            State::Ready | State::AwaitVoid | State::AwaitReset | State::AwaitQuit | State::Closed => Verb::Other,
        }
    }
}

impl Transaction {
    fn is_decided(&self) -> bool {
        self.verdicts.iter().all(Option::is_some)
    }
    fn decide_rest(&mut self, answer: &Answer, verb: Verb) {
        for verdict in self.verdicts.iter_mut().filter(|verdict| verdict.is_none()) {
            *verdict = Some(refusal(answer.clone(), verb));
        }
    }
    fn into_verdicts(self, after_dot: bool) -> Vec<Verdict> {
        self.verdicts.into_iter().map(|verdict| verdict.unwrap_or(Verdict::Cut { after_dot })).collect()
    }
}

/// An answer out of place (2xx or 3xx where none fits) decides nothing for good.
fn refusal(answer: Answer, verb: Verb) -> Verdict {
    if answer.is_permanent() { Verdict::Permanent(answer, verb) } else { Verdict::Temporary(answer, verb) }
}

fn is_binary(envelope: &Envelope) -> bool {
    envelope.parameters.body == Body::BinaryMime
}
