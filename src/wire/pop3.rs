//! POP3, the server's side (RFC 1939, 2449, 2595, 3206, 5034).
//!
//! Receives a client's bytes, and answers to what it asks; hands on reply bytes and [`Want`]s. Stores nothing, checks no
//! password: it asks. Not spoken: APOP, which needs readable passwords (RFC 1939 section 7), and LANG and UTF8
//! (RFC 6856).
//!
//! What always holds: a verb is obeyed only in the states that [`allowed`] names for it; nothing is deleted but by QUIT;
//! nothing that was said before TLS is known after it (RFC 2595 section 4); what is kept of input and what waits as
//! output is bounded.

mod command;
mod dots;
mod maildrop;
#[cfg(test)]
mod tests;

pub use maildrop::{Maildrop, Message};

use crate::limits::*;
use crate::wire::sasl::{Input, Mechanism, Password, SaslTrouble};
use command::{Command, LineFramer, Verb};
use dots::DotStuffer;

/// What a session is told when it begins.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in the greeting.
    pub hostname: String,
    /// TLS can be begun with STLS.
    pub stls: bool,
    /// TLS is in use.
    pub tls: bool,
    /// Login is allowed without TLS.
    pub plaintext_login: bool,
    /// Over TLS logins may be bound to it (SCRAM-SHA-256-PLUS).
    pub channel_binding: bool,
}

/// What the conversation needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum Want {
    /// More input; all that was given is used. Write out what waits, then read.
    Input,
    /// Replies have piled up: write them out, then go on.
    Flush,
    /// Check this password and open the maildrop. [`Server::answer_login`]
    Login(Password),
    /// A client logs in by AUTH: what comes of this? At the end open the maildrop. [`Server::answer_login`]
    Sasl(Input),
    /// Bytes of a body. [`Server::answer_piece`]
    Piece {
        /// [`Message::body`].
        body: u64,
        /// From this byte on,
        start: u64,
        /// at most this many.
        bytes: u64,
    },
    /// Delete these UIDs, in one durable change. [`Server::answer_expunge`]
    Expunge(Vec<u32>),
    /// Write out what waits, drop unread input, negotiate TLS. [`Server::tls_started`]
    StartTls,
    /// Write out what waits, then close.
    Close,
}

/// The answer to [`Want::Login`] and [`Want::Sasl`].
#[derive(Debug)]
pub enum LoginAnswer {
    /// Say this, in base64; the client's answer is the next step.
    Challenge(String),
    /// Welcome: this is the maildrop.
    Opened(Maildrop),
    /// Wrong login or password.
    Wrong,
    /// The password of a device that may not read this maildrop.
    NotAllowed,
    /// The password or the maildrop could not be read; may work later.
    Unavailable,
    /// The login was not looked at: too many were wrong before.
    TooMany,
    /// It was nothing that could be looked at.
    Refused(SaslTrouble),
}

/// The session states of RFC 1939 section 3, and the moments in between.
#[derive(Debug)]
enum State {
    /// AUTHORIZATION. `name`: what USER said.
    Authorization { name: Option<String> },
    /// An AUTH exchange awaits the client's line.
    AwaitSasl,
    /// Awaits [`Server::answer_login`].
    AwaitLogin,
    /// Awaits [`Server::tls_started`].
    AwaitTls,
    /// TRANSACTION.
    Transaction(Maildrop),
    /// The answer to RETR or TOP is on its way.
    Sending(Maildrop, Sending),
    /// The lines of a LIST or UIDL are on their way; `next` is the index of the next message.
    Listing { maildrop: Maildrop, next: usize, verb: Verb },
    /// UPDATE: awaits [`Server::answer_expunge`].
    Update,
    /// Nothing more is said.
    Closing,
}

/// A message on its way out.
#[derive(Debug)]
struct Sending {
    message: Message,
    /// First byte that was not asked for yet.
    next: u64,
    /// TOP: how many lines of the body are left to send.
    lines_left: Option<u64>,
    in_header: bool,
    dots: DotStuffer,
}

/// Whether a verb may be used before login and after it (RFC 1939 sections 4 to 6, RFC 2449 section 5).
#[rustfmt::skip]
fn allowed(verb: Verb, logged_in: bool) -> bool {
    let (authorization, transaction) = match verb {
        Verb::Capa | Verb::Quit                       => (true,  true),
        Verb::User | Verb::Pass | Verb::Auth | Verb::Stls => (true,  false),
        Verb::Stat | Verb::List | Verb::Uidl | Verb::Retr | Verb::Top
        | Verb::Dele | Verb::Noop | Verb::Rset        => (false, true),
    };
    if logged_in { transaction } else { authorization }
}

/// The conversation.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    state: State,
    line: LineFramer,
    errors: u32,
    logins_failed: u32,
}

impl Server {
    /// Begins a session; greet with [`Server::greet`].
    pub fn new(settings: Settings) -> Server {
        Server {
            settings,
            state: State::Authorization { name: None },
            line: LineFramer::default(),
            errors: 0,
            logins_failed: 0,
        }
    }

    /// The greeting. Without a timestamp, which would announce APOP.
    pub fn greet(&self, out: &mut Vec<u8>) {
        ok(out, &format!("{} POP3 server ready", self.settings.hostname));
    }

    /// Takes input until something is wanted; tells how many bytes were used. Replies are appended to `out`.
    pub fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Want) {
        let mut used = 0;
        loop {
            if out.len() >= POP3_REPLIES_BYTES {
                return (used, Want::Flush);
            }
            match &mut self.state {
                State::Closing => return (used, Want::Close),
                State::AwaitLogin | State::AwaitTls | State::Update => {
                    // The driver went on without an answer: nothing sensible can follow.
                    self.close_with("[SYS/TEMP] internal error", out);
                }
                State::Listing { .. } => self.list_on(out),
                State::Sending(_, sending) => return (used, sending.want()),
                State::Authorization { .. } | State::AwaitSasl | State::Transaction(_) => {
                    let bound = match self.state {
                        State::AwaitSasl => SASL_LINE_BYTES_MAX,
                        _ => POP3_LINE_BYTES_MAX,
                    };
                    let rest = input.get(used..).unwrap_or_default();
                    let (more, line) = self.line.take(rest, bound);
                    used += more;
                    let Some(line) = line else { return (used, Want::Input) };
                    if let Some(want) = self.take_line(line.as_deref(), out) {
                        return (used, want);
                    }
                }
            }
        }
    }

    /// `None`: the line was too long.
    fn take_line(&mut self, line: Option<&[u8]>, out: &mut Vec<u8>) -> Option<Want> {
        if matches!(self.state, State::AwaitSasl) {
            return self.take_sasl_line(line, out);
        }
        let command = match line.map(Command::parse) {
            Some(Ok(command)) => command,
            Some(Err(complaint)) => return self.wrong(complaint, out),
            None => return self.wrong("line too long", out),
        };
        let logged_in = matches!(self.state, State::Transaction(_));
        if !allowed(command.verb, logged_in) {
            let complaint = if logged_in { "you have logged in already" } else { "log in first" };
            return self.wrong(complaint, out);
        }
        match command.verb {
            Verb::Capa => self.capabilities(logged_in, out),
            Verb::Stls => return self.start_tls(out),
            Verb::User | Verb::Pass | Verb::Auth if !self.may_log_in() => {
                return self.wrong("[AUTH] use TLS before you log in", out);
            }
            Verb::User => {
                self.state = State::Authorization { name: Some(command.text()) };
                ok(out, "send PASS");
            }
            Verb::Pass => return self.take_pass(&command, out),
            Verb::Auth => return self.begin_sasl(&command, out),
            Verb::Quit => return self.quit(out),
            _ => return self.take_transaction(&command, out),
        }
        None
    }

    fn binding(&self) -> bool {
        self.settings.tls && self.settings.channel_binding
    }

    fn may_log_in(&self) -> bool {
        self.settings.tls || self.settings.plaintext_login
    }

    /// RFC 2449 section 5. Lists what works at this moment.
    fn capabilities(&self, logged_in: bool, out: &mut Vec<u8>) {
        ok(out, "capability list follows");
        let mechanisms = format!("SASL{}", Mechanism::names_offered(self.binding(), " "));
        let mut lines = vec!["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"];
        if logged_in || self.may_log_in() {
            lines.push("USER");
            lines.push(&mechanisms);
        }
        if !logged_in && self.settings.stls && !self.settings.tls {
            lines.push("STLS");
        }
        lines.push("IMPLEMENTATION Hauspost");
        for line in lines {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }

    /// RFC 2595 section 4.
    fn start_tls(&mut self, out: &mut Vec<u8>) -> Option<Want> {
        if self.settings.tls || !self.settings.stls {
            return self.wrong("TLS cannot be begun here", out);
        }
        ok(out, "begin TLS now");
        self.state = State::AwaitTls;
        Some(Want::StartTls)
    }

    /// TLS has begun. Input that came before it must have been dropped.
    pub fn tls_started(&mut self) {
        self.settings.tls = true;
        self.state = State::Authorization { name: None };
        self.line = LineFramer::default();
    }

    fn take_pass(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Option<Want> {
        let State::Authorization { name } = &mut self.state else { return self.wrong("log in first", out) };
        let Some(login) = name.take() else { return self.wrong("send USER first", out) };
        self.state = State::AwaitLogin;
        Some(Want::Login(Password { login, password: command.text() }))
    }

    /// RFC 5034 section 4; without a mechanism the old question which there are (RFC 1734 left it open, mail programs
    /// ask it).
    fn begin_sasl(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Option<Want> {
        let mut words = command.words();
        let Some(mechanism) = words.next() else {
            out.extend_from_slice(b"+OK mechanisms follow");
            out.extend_from_slice(Mechanism::names_offered(self.binding(), "\r\n").as_bytes());
            out.extend_from_slice(b"\r\n.\r\n");
            return None;
        };
        let Some(mechanism) = Mechanism::parse(mechanism, self.binding()) else {
            return self.wrong("no such mechanism", out);
        };
        self.state = State::AwaitLogin;
        Some(Want::Sasl(Input::Begin { mechanism, initial: words.next().map(<[u8]>::to_vec) }))
    }

    fn take_sasl_line(&mut self, line: Option<&[u8]>, out: &mut Vec<u8>) -> Option<Want> {
        match line {
            Some(line) => {
                self.state = State::AwaitLogin;
                Some(Want::Sasl(Input::Line(line.to_vec())))
            }
            None => {
                self.state = State::Authorization { name: None };
                self.wrong("line too long", out)
            }
        }
    }

    /// Answers [`Want::Login`] and [`Want::Sasl`].
    pub fn answer_login(&mut self, answer: LoginAnswer, out: &mut Vec<u8>) {
        self.state = State::Authorization { name: None };
        match answer {
            LoginAnswer::Challenge(text) => {
                out.extend_from_slice(format!("+ {text}\r\n").as_bytes());
                self.state = State::AwaitSasl;
            }
            LoginAnswer::Opened(maildrop) => {
                let (messages, bytes) = maildrop.count();
                ok(out, &format!("maildrop has {messages} messages ({bytes} octets)"));
                self.errors = 0;
                self.state = State::Transaction(maildrop);
            }
            // RFC 3206 section 4.
            LoginAnswer::Wrong => {
                self.logins_failed += 1;
                err(out, "[AUTH] wrong login or password");
            }
            LoginAnswer::NotAllowed => {
                self.logins_failed += 1;
                err(out, "[AUTH] this device may not read mail");
            }
            LoginAnswer::Unavailable => {
                self.logins_failed += 1;
                err(out, "[SYS/TEMP] try again later");
            }
            LoginAnswer::TooMany => self.close_with("[SYS/TEMP] too many failed logins, try again later", out),
            LoginAnswer::Refused(trouble) => {
                let complaint = match trouble {
                    SaslTrouble::Cancelled => "cancelled",
                    SaslTrouble::NotBase64 => "not base64",
                    SaslTrouble::TooLong => "line too long",
                    SaslTrouble::Malformed => "not a message of this mechanism",
                    SaslTrouble::OtherIdentity => "[AUTH] you can only be yourself",
                    SaslTrouble::NotAgreed => "[AUTH] bound to another connection, or in a way not known here",
                };
                self.wrong(complaint, out);
            }
        }
        if self.logins_failed >= POP3_LOGINS_FAILED_MAX {
            self.state = State::Closing;
        }
    }

    fn take_transaction(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Option<Want> {
        let complaint = match self.transact(command, out) {
            Ok(()) => return None,
            Err(complaint) => complaint,
        };
        self.wrong(complaint, out)
    }

    /// RFC 1939 sections 5 and 7.
    fn transact(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let State::Transaction(maildrop) = &mut self.state else { return Err("log in first") };
        let mut words = command.words();
        let first = words.next();
        // Whoever means two messages must not lose one of them to a guess.
        if command.verb == Verb::Dele && command.words().nth(1).is_some() {
            return Err("one message at a time");
        }
        match (command.verb, first) {
            (Verb::Stat, _) => {
                let (messages, bytes) = maildrop.count();
                ok(out, &format!("{messages} {bytes}"));
            }
            (verb @ (Verb::List | Verb::Uidl), None) => {
                let (messages, bytes) = maildrop.count();
                ok(out, &format!("{messages} messages ({bytes} octets)"));
                let maildrop = std::mem::take(maildrop);
                self.state = State::Listing { maildrop, next: 0, verb };
            }
            (verb @ (Verb::List | Verb::Uidl), Some(number)) => {
                let (index, _) = maildrop.find(number)?;
                out.extend_from_slice(b"+OK ");
                maildrop.write_line(index, verb == Verb::Uidl, out);
            }
            (Verb::Retr, Some(number)) => {
                let (_, message) = maildrop.find(number)?;
                self.send(message, None);
            }
            (Verb::Top, Some(number)) => {
                let (_, message) = maildrop.find(number)?;
                let lines = words.next().and_then(command::parse_number).ok_or("say how many lines")?;
                self.send(message, Some(lines));
            }
            (Verb::Dele, Some(number)) => {
                let (index, _) = maildrop.find(number)?;
                maildrop.delete(index)?;
                ok(out, "deleted");
            }
            (Verb::Rset, _) => {
                maildrop.restore();
                let (messages, bytes) = maildrop.count();
                ok(out, &format!("maildrop has {messages} messages ({bytes} octets)"));
            }
            (Verb::Noop, _) => ok(out, "nothing done"),
            _ => return Err("say which message"),
        }
        Ok(())
    }

    /// Writes lines of a LIST or UIDL until they are all there or enough has piled up.
    fn list_on(&mut self, out: &mut Vec<u8>) {
        let State::Listing { maildrop, next, verb } = &mut self.state else { return };
        while out.len() < POP3_REPLIES_BYTES {
            if *next >= maildrop.len() {
                out.extend_from_slice(b".\r\n");
                self.state = State::Transaction(std::mem::take(maildrop));
                return;
            }
            maildrop.write_line(*next, *verb == Verb::Uidl, out);
            *next += 1;
        }
    }

    fn send(&mut self, message: Message, lines_left: Option<u64>) {
        let State::Transaction(maildrop) = &mut self.state else { return };
        let sending = Sending { message, next: 0, lines_left, in_header: true, dots: DotStuffer::default() };
        self.state = State::Sending(std::mem::take(maildrop), sending);
    }

    /// Answers [`Want::Piece`]: bytes from where it said, at least one unless the body is empty. `None`: the body is gone
    /// or cannot be read. Before the first byte that is an error reply; later only a lost connection can tell it.
    pub fn answer_piece(&mut self, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
        let State::Sending(maildrop, sending) = &mut self.state else { return };
        let bytes = bytes.filter(|bytes| !bytes.is_empty() || sending.message.bytes == 0);
        let Some(bytes) = bytes else {
            if sending.next == 0 {
                self.state = State::Transaction(std::mem::take(maildrop));
                err(out, "[SYS/TEMP] this message cannot be read now");
            } else {
                self.state = State::Closing;
            }
            return;
        };
        if sending.next == 0 {
            match sending.lines_left {
                None => ok(out, &format!("{} octets", sending.message.bytes)),
                Some(_) => ok(out, "top of message follows"),
            }
        }
        if sending.write(bytes, out) {
            self.state = State::Transaction(std::mem::take(maildrop));
        }
    }

    /// RFC 1939 section 6.
    fn quit(&mut self, out: &mut Vec<u8>) -> Option<Want> {
        let uids = match &self.state {
            State::Transaction(maildrop) => maildrop.deleted_uids(),
            _ => Vec::new(),
        };
        if uids.is_empty() {
            ok(out, "good bye");
            self.state = State::Closing;
            return None;
        }
        self.state = State::Update;
        Some(Want::Expunge(uids))
    }

    /// Answers [`Want::Expunge`]: whether all of them are gone now.
    pub fn answer_expunge(&mut self, done: bool, out: &mut Vec<u8>) {
        if done {
            ok(out, "deleted, good bye");
        } else {
            err(out, "[SYS/TEMP] nothing was deleted, try again later");
        }
        self.state = State::Closing;
    }

    /// Refuses what was said; too much of it ends the session.
    fn wrong(&mut self, complaint: &str, out: &mut Vec<u8>) -> Option<Want> {
        err(out, complaint);
        self.errors += 1;
        if self.errors >= POP3_ERRORS_MAX {
            self.state = State::Closing;
        }
        None
    }

    fn close_with(&mut self, complaint: &str, out: &mut Vec<u8>) {
        err(out, complaint);
        self.state = State::Closing;
    }
}

impl Sending {
    fn want(&self) -> Want {
        let bytes = if self.lines_left.is_some() { POP3_TOP_PIECE_BYTES } else { POP3_PIECE_BYTES };
        Want::Piece { body: self.message.body, start: self.next, bytes: bytes.min(self.message.bytes - self.next) }
    }

    /// Sends a piece; whether the message is finished.
    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let room = self.message.bytes.saturating_sub(self.next);
        let bytes = bytes.get(..usize::try_from(room).unwrap_or(bytes.len()).min(bytes.len())).unwrap_or(bytes);
        self.next += bytes.len() as u64;
        let mut finished = self.next >= self.message.bytes;
        match self.lines_left {
            None => self.dots.push(bytes, out),
            Some(_) => finished |= self.write_lines(bytes, out),
        }
        if finished {
            self.dots.finish(out);
        }
        finished
    }

    /// RFC 1939 section 7, TOP: the header, the empty line, then so many lines. Whether they are all sent.
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

fn ok(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("+OK {text}\r\n").as_bytes());
}

fn err(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("-ERR {text}\r\n").as_bytes());
}
