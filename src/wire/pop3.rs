//! POP3, the server's side (RFC 1939, 2449, 2595, 3206, 5034, 6856).
//!
//! Receives a client's bytes, and answers to what it asks; hands on reply bytes and [`Want`]s. Stores nothing, checks no
//! password: it asks. AUTHORIZATION stands here, what follows in `transaction`.
//!
//! What always holds: a verb is obeyed only in the states that [`allowed`] names for it; nothing is deleted but by QUIT;
//! nothing that was said before TLS is known after it (RFC 2595 section 4) but the timestamp of the greeting, which is only said
//! once; what is kept of input and what waits as output is bounded.

mod command;
mod dots;
mod maildrop;
mod sending;
#[cfg(test)]
mod tests;
mod texts;
mod transaction;

pub use maildrop::{Maildrop, Message};
pub use sending::{NotSent, Piece};

use crate::limits::*;
use crate::wire::imap::Language;
use crate::wire::sasl::{Input, Mechanism, Password, SaslTrouble};
use command::{Command, LineFramer, Verb};
use sending::Sending;
use texts::Text;

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
    /// APOP is offered: what its digests are made of, with its angle brackets. Never the same twice.
    pub timestamp: Option<String>,
    /// The longest time in seconds that any login has to wait between two sessions (RFC 2449 section 6.5).
    pub login_delay_seconds: u32,
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
    /// Check this digest of the timestamp and a password (RFC 1939 section 7, APOP). [`Server::answer_login`]
    Apop {
        /// As given.
        login: String,
        /// MD5.
        digest: [u8; 16],
    },
    /// A client logs in by AUTH: what comes of this? At the end open the maildrop. [`Server::answer_login`]
    Sasl(Input),
    /// Octets of a message, as it is sent in this session. [`Server::answer_piece`]
    Piece {
        /// Which message.
        uid: u32,
        /// From this octet on,
        start: u64,
        /// at most this many.
        bytes: u64,
        /// Messages that will be asked for next, if the client goes on as it does: may be read ahead.
        ahead: Vec<u32>,
    },
    /// Delete these UIDs, in one durable change. [`Server::answer_expunge`]
    Expunge(Vec<u32>),
    /// Write out what waits, drop unread input, negotiate TLS. [`Server::tls_started`]
    StartTls,
    /// Give up the lock on the maildrop, write out what waits, then close.
    Close,
}

/// The answer to [`Want::Login`], [`Want::Apop`] and [`Want::Sasl`].
#[derive(Debug)]
pub enum LoginAnswer {
    /// Say this, in base64; the client's answer is the next step.
    Challenge(String),
    /// Welcome: this is the maildrop.
    Opened {
        /// What was in it.
        maildrop: Maildrop,
        /// The time in seconds that this login has to wait before its next session.
        login_delay_seconds: u32,
    },
    /// Wrong login or password.
    Wrong,
    /// The password of a device that may not read this maildrop.
    NotAllowed,
    /// The mailbox that the device is set to has been deleted.
    NoMailbox,
    /// Another session of the device has the maildrop (RFC 2449 section 8.1.2).
    InUse,
    /// The device has to wait so many seconds more (RFC 2449 section 8.1.1).
    TooSoon(u64),
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

/// Whether a verb may be used before login and after it (RFC 1939 sections 4 to 6, RFC 2449 section 5, RFC 6856).
#[rustfmt::skip]
fn allowed(verb: Verb, logged_in: bool) -> bool {
    let (authorization, transaction) = match verb {
        Verb::Capa | Verb::Quit | Verb::Lang          => (true,  true),
        Verb::User | Verb::Pass | Verb::Auth | Verb::Apop
        | Verb::Stls | Verb::Utf8                     => (true,  false),
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
    language: Language,
    utf8: bool,
    /// Index of the message that was asked for last.
    last_sent: Option<usize>,
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
            language: Language::Default,
            utf8: false,
            last_sent: None,
            errors: 0,
            logins_failed: 0,
        }
    }

    /// The greeting. A timestamp in it announces APOP.
    pub fn greet(&self, out: &mut Vec<u8>) {
        let timestamp = self.settings.timestamp.as_ref().map(|timestamp| format!(" {timestamp}"));
        self.ok(&texts::READY, &[&self.settings.hostname, timestamp.as_deref().unwrap_or_default()], out);
    }

    /// Whether the client takes messages with UTF-8 in their headers (RFC 6856 section 2.1): what [`Message::bytes`] and
    /// [`Want::Piece`] are to be answered with depends on it. It does not change after login.
    pub fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// Takes input until something is wanted; tells how many bytes were used. Replies are appended to `out`.
    pub fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Want) {
        let mut used = 0;
        loop {
            match &mut self.state {
                // However much waits: what the client occupies is given up before it reads that it may go.
                State::Closing => return (used, Want::Close),
                _ if out.len() >= POP3_REPLIES_BYTES => return (used, Want::Flush),
                State::AwaitLogin | State::AwaitTls | State::Update => {
                    // The driver went on without an answer: nothing sensible can follow.
                    self.close_with(&texts::INTERNAL_ERROR, out);
                }
                State::Listing { .. } => self.list_on(out),
                State::Sending(maildrop, sending) => return (used, sending.want(maildrop)),
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
            Some(Some(command)) => command,
            Some(None) => return self.wrong(&texts::UNKNOWN_COMMAND, out),
            None => return self.wrong(&texts::LINE_TOO_LONG, out),
        };
        let logged_in = matches!(self.state, State::Transaction(_));
        if !allowed(command.verb, logged_in) {
            let complaint = if logged_in { texts::LOGGED_IN } else { texts::LOG_IN_FIRST };
            return self.wrong(&complaint, out);
        }
        match command.verb {
            Verb::Capa => self.capabilities(logged_in, out),
            Verb::Lang => return self.change_language(&command, out),
            Verb::Utf8 => return self.begin_utf8(&command, out),
            Verb::Stls => return self.start_tls(out),
            // A digest is what APOP sends, so that it needs no TLS; it is offered only where the owner wanted that.
            Verb::Apop => return self.take_apop(&command, out),
            Verb::User | Verb::Pass | Verb::Auth if !self.may_log_in() => return self.wrong(&texts::USE_TLS, out),
            Verb::User => {
                let Some(name) = command.text() else { return self.wrong(&texts::NOT_UTF8, out) };
                self.state = State::Authorization { name: Some(name.to_owned()) };
                self.ok(&texts::SEND_PASS, &[], out);
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
        self.ok(&texts::CAPABILITIES, &[], out);
        let mechanisms = format!("SASL{}", Mechanism::names_offered(self.binding(), " "));
        // Section 6.5: before login the longest there is, which may not be that of whoever logs in.
        let delay = match (self.settings.login_delay_seconds, logged_in) {
            (seconds @ 1.., false) => format!("LOGIN-DELAY {seconds} USER"),
            (seconds, _) => format!("LOGIN-DELAY {seconds}"),
        };
        let mut lines = vec!["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", &delay];
        if logged_in || self.may_log_in() {
            lines.push("USER");
            lines.push(&mechanisms);
        }
        if !logged_in && self.settings.stls && !self.settings.tls && !self.utf8 {
            lines.push("STLS");
        }
        lines.extend(["UTF8 USER", "LANG"]);
        // Section 6.9: strangers need not know which version it is.
        lines.push(if logged_in {
            concat!("IMPLEMENTATION Hauspost-", env!("CARGO_PKG_VERSION"))
        } else {
            "IMPLEMENTATION Hauspost"
        });
        for line in lines {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }

    /// RFC 6856 section 3.
    fn change_language(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Option<Want> {
        let Some(range) = command.words().next() else {
            self.ok(&texts::LANGUAGES, &[], out);
            out.extend_from_slice("en English\r\nde Deutsch\r\n.\r\n".as_bytes());
            return None;
        };
        let range = String::from_utf8_lossy(range).into_owned();
        match Language::first_of(&[range]) {
            Some(language) => {
                self.language = language;
                self.ok(&texts::LANGUAGE_CHANGED, &[&language.tag().to_ascii_lowercase()], out);
                None
            }
            None => self.wrong(&texts::NO_SUCH_LANGUAGE, out),
        }
    }

    /// RFC 6856 section 2.1.
    fn begin_utf8(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Option<Want> {
        if !command.is_bare() {
            return self.wrong(&texts::NO_ARGUMENTS, out);
        }
        self.utf8 = true;
        self.ok(&texts::UTF8_ON, &[], out);
        None
    }

    /// RFC 2595 section 4.
    fn start_tls(&mut self, out: &mut Vec<u8>) -> Option<Want> {
        if self.settings.tls || !self.settings.stls {
            return self.wrong(&texts::NO_TLS, out);
        }
        if self.utf8 {
            return self.wrong(&texts::TLS_BEFORE_UTF8, out);
        }
        self.ok(&texts::BEGIN_TLS, &[], out);
        self.state = State::AwaitTls;
        Some(Want::StartTls)
    }

    /// TLS has begun. Input that came before it must have been dropped.
    pub fn tls_started(&mut self) {
        self.settings.tls = true;
        self.language = Language::Default;
        self.state = State::Authorization { name: None };
        self.line = LineFramer::default();
    }

    fn take_pass(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Option<Want> {
        let State::Authorization { name } = &mut self.state else { return self.wrong(&texts::LOG_IN_FIRST, out) };
        let Some(login) = name.take() else { return self.wrong(&texts::SEND_USER, out) };
        let Some(password) = command.text() else { return self.wrong(&texts::NOT_UTF8, out) };
        self.state = State::AwaitLogin;
        Some(Want::Login(Password { login, password: password.to_owned() }))
    }

    /// RFC 1939 section 7.
    fn take_apop(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Option<Want> {
        if self.settings.timestamp.is_none() {
            return self.wrong(&texts::NO_APOP, out);
        }
        let Some((login, digest)) = command.name_and_digest() else { return self.wrong(&texts::APOP_FORM, out) };
        self.state = State::AwaitLogin;
        Some(Want::Apop { login: login.to_owned(), digest })
    }

    /// RFC 5034 section 4; without a mechanism the old question which there are (RFC 1734 left it open, mail programs
    /// ask it).
    fn begin_sasl(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Option<Want> {
        let mut words = command.words();
        let Some(mechanism) = words.next() else {
            self.ok(&texts::MECHANISMS, &[], out);
            out.extend_from_slice(Mechanism::names_offered(self.binding(), "\r\n").trim_start().as_bytes());
            out.extend_from_slice(b"\r\n.\r\n");
            return None;
        };
        let Some(mechanism) = Mechanism::parse(mechanism, self.binding()) else {
            return self.wrong(&texts::NO_MECHANISM, out);
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
                self.wrong(&texts::LINE_TOO_LONG, out)
            }
        }
    }

    /// Answers [`Want::Login`], [`Want::Apop`] and [`Want::Sasl`].
    pub fn answer_login(&mut self, answer: LoginAnswer, out: &mut Vec<u8>) {
        self.state = State::Authorization { name: None };
        // RFC 3206 section 4: what is wrong with the login itself, and what may work later.
        let refusal = match answer {
            LoginAnswer::Challenge(text) => {
                out.extend_from_slice(format!("+ {text}\r\n").as_bytes());
                self.state = State::AwaitSasl;
                return;
            }
            LoginAnswer::Opened { maildrop, login_delay_seconds } => {
                self.say_count(&texts::MAILDROP, maildrop.count(), out);
                self.errors = 0;
                self.settings.login_delay_seconds = login_delay_seconds;
                self.state = State::Transaction(maildrop);
                return;
            }
            LoginAnswer::TooMany => return self.close_with(&texts::TOO_MANY, out),
            LoginAnswer::Refused(trouble) => {
                self.wrong(&refusal_of(trouble), out);
                return;
            }
            LoginAnswer::TooSoon(seconds) => {
                self.err(&texts::TOO_SOON, &[&seconds.to_string()], out);
                return self.count_failure();
            }
            LoginAnswer::Wrong => texts::WRONG,
            LoginAnswer::NotAllowed => texts::NOT_ALLOWED,
            LoginAnswer::NoMailbox => texts::NO_MAILBOX,
            LoginAnswer::InUse => texts::IN_USE,
            LoginAnswer::Unavailable => texts::UNAVAILABLE,
        };
        self.err(&refusal, &[], out);
        self.count_failure();
    }

    fn count_failure(&mut self) {
        self.logins_failed += 1;
        if self.logins_failed >= POP3_LOGINS_FAILED_MAX {
            self.state = State::Closing;
        }
    }

    /// Refuses what was said; too much of it ends the session.
    fn wrong(&mut self, complaint: &Text, out: &mut Vec<u8>) -> Option<Want> {
        self.err(complaint, &[], out);
        self.errors += 1;
        if self.errors >= POP3_ERRORS_MAX {
            self.state = State::Closing;
        }
        None
    }

    fn close_with(&mut self, complaint: &Text, out: &mut Vec<u8>) {
        self.err(complaint, &[], out);
        self.state = State::Closing;
    }

    fn ok(&self, text: &Text, filled: &[&str], out: &mut Vec<u8>) {
        text.write("+OK", self.language, filled, out);
    }

    fn err(&self, text: &Text, filled: &[&str], out: &mut Vec<u8>) {
        text.write("-ERR", self.language, filled, out);
    }

    fn say_count(&self, text: &Text, (messages, bytes): (usize, u64), out: &mut Vec<u8>) {
        self.ok(text, &[&messages.to_string(), &bytes.to_string()], out);
    }
}

fn refusal_of(trouble: SaslTrouble) -> Text {
    match trouble {
        SaslTrouble::Cancelled => texts::CANCELLED,
        SaslTrouble::NotBase64 => texts::NOT_BASE64,
        SaslTrouble::TooLong => texts::LINE_TOO_LONG,
        SaslTrouble::Malformed => texts::MALFORMED,
        SaslTrouble::OtherIdentity => texts::OTHER_IDENTITY,
        SaslTrouble::NotAgreed => texts::NOT_AGREED,
    }
}
