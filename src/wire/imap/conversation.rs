//! The server's side of one IMAP connection as a value: states, the verbs they allow, and what comes next.
//!
//! The driver reads bytes, calls [`Conversation::step`] until it says [`Step::Read`], carries out what a step asks for,
//! writes the answer with [`super::response`] into the same `out`, and tells the conversation what changed
//! ([`Conversation::logged_in`], [`Conversation::selected`], ...). Commands come one at a time, in order: the next step is
//! taken only after the last one has been answered. What cannot be understood or is not allowed in the state is answered
//! here and never reaches the driver.
//!
//! Always: bytes of a literal are never read as a command; what was pipelined behind STARTTLS is thrown away.

mod append;

use super::command::{Append, AppendMessage, Command, Secret, Tag};
use super::framing::{Announced, Taken, announced, skip_line, take_bytes, take_line};
use super::grammar::{self, Allowed, Cursor, Ends, Parsed, Place, Trouble, Verb};
use super::out::Out;
use super::response::{self, Code, Status};
use crate::limits::{
    IMAP_BAD_COMMANDS_BEFORE_LOGIN_MAX, IMAP_BAD_COMMANDS_MAX, IMAP_COMMAND_BUFFER_KEPT_BYTES,
    IMAP_COMMAND_BYTES_BEFORE_LOGIN_MAX, IMAP_COMMAND_BYTES_MAX, IMAP_LITERAL_BYTES_MAX,
    IMAP_SKIPPED_LITERAL_BYTES_MAX, METADATA_VALUE_BYTES_MAX,
};
use append::Appending;

/// What holds for the whole connection until TLS starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// TLS is on.
    pub tls: bool,
    /// STARTTLS can be given (a certificate is there).
    pub starttls: bool,
    /// Login without TLS is allowed.
    pub plaintext_login: bool,
    /// Over TLS logins may be bound to it (SCRAM-SHA-256-PLUS).
    pub channel_binding: bool,
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
    /// APPEND or REPLACE. This and the three that follow want an answer before the next step: [`Conversation::accept_append`] or
    /// [`Conversation::refuse_append`].
    AppendBegin(Append),
    /// A message of it is about to come: its bytes, or its parts.
    AppendMessage(AppendMessage),
    /// A part of so many bytes is about to come, maybe none (RFC 4469).
    AppendText(u64),
    /// A part that the URL names.
    AppendUrl(String),
    /// Bytes of the message, at least one. The driver may still call [`Conversation::refuse_append`].
    AppendBytes(&'i [u8]),
    /// The command is complete: store its messages and answer.
    AppendEnd {
        /// Tag of the APPEND.
        tag: Tag,
    },
    /// The client broke the command after it had begun; it has been answered. Drop its messages.
    AppendBroken,
    /// The line that answers a SASL challenge, without its end: base64, or `*` to give up. For
    /// [`crate::wire::sasl::Exchange::respond`]; then another challenge or a tagged answer.
    Auth {
        /// Tag of the AUTHENTICATE.
        tag: Tag,
        /// The line.
        line: Secret<Vec<u8>>,
    },
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

/// Who speaks with us, and with what open (RFC 3501 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NotAuthenticated,
    Authenticated,
    Selected { read_only: bool },
    Logout,
}

/// What the next line is.
#[derive(Debug)]
enum Expected {
    Command,
    /// The answer to a SASL challenge.
    SaslLine(Tag),
    /// The end of IDLE.
    Done(Tag),
    /// What stands behind a literal of an APPEND.
    Append,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Reading {
    /// A line, collected in `command`.
    Line,
    /// A literal of a command, collected in `command`.
    Literal { left: u64 },
    /// Something of an APPEND that the driver has not decided about, and whether the literal that was announced belongs to it.
    Offered { with_literal: bool },
    /// Nothing: what the last line of an APPEND said comes next.
    Pieces,
    /// A message of an APPEND, or a part of one.
    AppendBody { left: u64 },
    /// A literal of a refused command. `reply` is sent when the whole command has gone by.
    SkippedBytes { left: u64, reply: Out },
    /// The rest of a line of a refused command; its last bytes are in `command`.
    SkippedLine { reply: Out },
}

/// One connection, seen from the server. Holds at most [`IMAP_COMMAND_BYTES_MAX`] bytes of a command, and a kilobyte
/// between commands.
pub struct Conversation {
    terms: Terms,
    state: State,
    expected: Expected,
    reading: Reading,
    /// The command so far: lines and literals as they came, line ends as CRLF.
    command: Vec<u8>,
    /// Where in `command` the line that is being read began.
    line_start: usize,
    /// The APPEND or REPLACE that has begun.
    appending: Option<Box<Appending>>,
    /// Commands not understood, one after the other.
    bad_commands: u32,
    /// See [`Conversation::take_save_refused`].
    save_refused: bool,
}

impl Conversation {
    /// A new connection, not logged in.
    pub fn new(terms: Terms) -> Conversation {
        Conversation {
            terms,
            state: State::NotAuthenticated,
            expected: Expected::Command,
            reading: Reading::Line,
            command: Vec::new(),
            line_start: 0,
            appending: None,
            bad_commands: 0,
            save_refused: false,
        }
    }

    /// `* OK [CAPABILITY ...] hostname ready`.
    pub fn greet(&self, out: &mut Out, hostname: &str) {
        let text = format!("{hostname} ready");
        response::untagged(out, Status::Ok, Code::Capability(&self.capabilities()), &text);
    }

    /// The capability list that holds now, for CAPABILITY and for the code of the answer to a login.
    pub fn capabilities(&self) -> String {
        super::capabilities(&self.terms, self.state != State::NotAuthenticated)
    }

    /// Uses up input until something must be done. Answers that are the conversation's own are appended to `out`.
    pub fn step<'i>(&mut self, input: &mut &'i [u8], out: &mut Out) -> Step<'i> {
        loop {
            if self.state == State::Logout {
                *input = &[];
                return Step::Close;
            }
            let bytes_max = self.command_bytes_max();
            let step = match &mut self.reading {
                Reading::Line => match take_line(input, &mut self.command, self.line_start, bytes_max) {
                    Taken::More => return Step::Read,
                    Taken::TooLong => self.too_long(out),
                    Taken::Line => self.take_line_meaning(out),
                },
                Reading::Literal { left } => {
                    let bytes = take_bytes(input, *left);
                    self.command.extend_from_slice(bytes);
                    *left -= bytes.len() as u64;
                    if *left > 0 {
                        return Step::Read;
                    }
                    (self.line_start, self.reading) = (self.command.len(), Reading::Line);
                    None
                }
                Reading::Offered { .. } => {
                    // The driver went on without a decision: nothing may be taken for it.
                    self.refuse_append(Status::No, Code::ServerBug, "The message was not decided about", out);
                    None
                }
                Reading::Pieces => self.next_piece(out),
                Reading::AppendBody { left: 0 } => {
                    self.end_append_body();
                    None
                }
                Reading::AppendBody { left } => {
                    let bytes = take_bytes(input, *left);
                    *left -= bytes.len() as u64;
                    return if bytes.is_empty() { Step::Read } else { Step::AppendBytes(bytes) };
                }
                Reading::SkippedBytes { .. } | Reading::SkippedLine { .. } => match self.skip(input, out) {
                    true => None,
                    false => return Step::Read,
                },
            };
            if let Some(step) = step {
                if matches!(step, Step::Command { command: Command::StartTls, .. }) {
                    // RFC 3501 section 6.2.1: nothing said in the clear may be taken for said under TLS.
                    *input = &[];
                }
                return step;
            }
        }
    }

    /// The client is logged in (call before writing the answer, so that [`Conversation::capabilities`] fits).
    pub fn logged_in(&mut self) {
        self.state = State::Authenticated;
        self.bad_commands = 0;
    }

    /// A mailbox is selected.
    pub fn selected(&mut self, read_only: bool) {
        self.state = State::Selected { read_only };
    }

    /// No mailbox is selected any more (CLOSE, UNSELECT, a failed SELECT, the mailbox was deleted).
    pub fn unselected(&mut self) {
        if matches!(self.state, State::Selected { .. }) {
            self.state = State::Authenticated;
        }
    }

    /// TLS is on: back to the beginning, nothing of what was said before counts.
    pub fn tls_started(&mut self) {
        *self = Conversation::new(Terms { tls: true, ..self.terms });
    }

    /// Sends a SASL challenge, given in base64; the next step will be [`Step::Auth`].
    pub fn challenge(&mut self, tag: &Tag, challenge: &str, out: &mut Out) {
        self.expected = Expected::SaslLine(tag.clone());
        response::challenge(out, challenge);
    }

    /// `+ idling`: untagged responses may follow at any time until [`Step::IdleDone`] or [`Step::IdleBroken`].
    pub fn begin_idle(&mut self, tag: &Tag, out: &mut Out) {
        self.expected = Expected::Done(tag.clone());
        response::continuation(out, "idling");
    }

    /// Whether a search that was to be saved has been refused since the last call: `$` means nothing then (RFC 5182
    /// section 2.1).
    pub fn take_save_refused(&mut self) -> bool {
        std::mem::take(&mut self.save_refused)
    }

    fn is_logged_in(&self) -> bool {
        self.state != State::NotAuthenticated
    }

    fn command_bytes_max(&self) -> usize {
        if self.is_logged_in() { IMAP_COMMAND_BYTES_MAX } else { IMAP_COMMAND_BYTES_BEFORE_LOGIN_MAX }
    }

    /// A line is complete: what is it?
    fn take_line_meaning(&mut self, out: &mut Out) -> Option<Step<'static>> {
        match std::mem::replace(&mut self.expected, Expected::Command) {
            Expected::SaslLine(tag) => {
                let line = Secret(std::mem::take(&mut self.command));
                self.begin_command();
                Some(Step::Auth { tag, line })
            }
            Expected::Done(tag) => {
                let done = self.command.trim_ascii().eq_ignore_ascii_case(b"DONE");
                self.begin_command();
                if done {
                    return Some(Step::IdleDone { tag });
                }
                self.bad(Some(&tag), Code::None, "IDLE ends with DONE", None, out);
                Some(if self.state == State::Logout { Step::Close } else { Step::IdleBroken })
            }
            Expected::Append => self.take_append_line(out),
            // Some clients end a literal with one CRLF too many.
            Expected::Command if self.command.is_empty() => None,
            Expected::Command => self.take_command(out),
        }
    }

    /// A line of a command is complete: the command is, too, or a literal follows.
    fn take_command(&mut self, out: &mut Out) -> Option<Step<'static>> {
        let command = std::mem::take(&mut self.command);
        let announced = self.announced_in(&command);
        let arrived = match announced {
            Some(literal) => command.get(..literal.at).unwrap_or_default(),
            None => &command,
        };
        let mut cursor = Cursor::in_dialect(arrived, out.dialect);
        let Some(tag) = grammar::parse_tag(&mut cursor) else {
            self.begin_command();
            self.bad(None, Code::None, "A command begins with a tag", announced, out);
            return None;
        };
        let at_verb = cursor;
        match self.judge(&tag, &mut cursor, command.len(), announced) {
            Ok(Judged::Command(parsed)) => {
                self.command = command;
                self.begin_command();
                self.bad_commands = 0;
                Some(Step::Command { tag, command: parsed })
            }
            Ok(Judged::Append(append, appending)) => {
                self.begin_command();
                self.appending = Some(appending);
                self.reading = Reading::Offered { with_literal: false };
                self.bad_commands = 0;
                Some(Step::AppendBegin(append))
            }
            Ok(Judged::Literal(literal)) => {
                self.collect(command, literal, out);
                None
            }
            Err(trouble) => {
                self.save_refused |= matches!(trouble, Trouble::No(..)) && grammar::asks_to_save(at_verb);
                self.begin_command();
                self.answer_trouble(&tag, trouble, announced, out);
                None
            }
        }
    }

    /// Goes on with a literal that is a part of the command.
    fn collect(&mut self, line: Vec<u8>, literal: Announced, out: &mut Out) {
        self.command = line;
        self.command.extend_from_slice(b"\r\n");
        self.reading = Reading::Literal { left: literal.bytes };
        if literal.synchronising {
            response::continuation(out, "OK");
        }
    }

    /// Says why a command is not carried out.
    fn answer_trouble(&mut self, tag: &Tag, trouble: Trouble, announced: Option<Announced>, out: &mut Out) {
        match trouble {
            Trouble::Bad(text) => self.bad(Some(tag), Code::None, text, announced, out),
            Trouble::UidRequired => {
                self.bad(Some(tag), Code::UidRequired, "UIDONLY is on: name messages by UID", announced, out)
            }
            Trouble::No(code, text) => {
                let mut reply = Out::new(out.dialect);
                response::tagged(&mut reply, tag, Status::No, code, text);
                self.refuse(reply, announced, out);
            }
        }
    }

    /// The literal announced at the end of the line just read (never inside a literal before it).
    fn announced_in(&self, command: &[u8]) -> Option<Announced> {
        let literal = announced(command.get(self.line_start..)?)?;
        Some(Announced { at: literal.at + self.line_start, ..literal })
    }

    /// What a command is, its arguments read as far as they are there. The cursor stands at the verb.
    fn judge(
        &self,
        tag: &Tag,
        cursor: &mut Cursor<'_>,
        command_bytes: usize,
        announced: Option<Announced>,
    ) -> Parsed<Judged> {
        let (verb, allowed) = grammar::parse_verb(cursor)?;
        self.check_state(verb, allowed)?;
        if let Some(judged) = self.judge_append(tag, verb, cursor, announced)? {
            return Ok(judged);
        }
        let Some(literal) = announced else {
            let command = grammar::parse_arguments(verb, cursor)?;
            self.check_writable(&command)?;
            return Ok(Judged::Command(command));
        };
        self.check_literal(literal, command_bytes).map_err(|trouble| match verb {
            Verb::SetMetadata => {
                let most = Code::MetadataMaxSize(METADATA_VALUE_BYTES_MAX as u64);
                Trouble::No(most, "The value is too large")
            }
            _ => trouble,
        })?;
        Ok(Judged::Literal(literal))
    }

    /// APPEND and REPLACE as far as their first line goes. `None`: it is another command, or its line is not complete.
    fn judge_append(
        &self,
        tag: &Tag,
        verb: Verb,
        cursor: &mut Cursor<'_>,
        announced: Option<Announced>,
    ) -> Parsed<Option<Judged>> {
        let Some((verb, uid)) = grammar::append_verb(verb, cursor) else { return Ok(None) };
        // What the grammar forbids is refused before what the mailbox forbids, as with all other commands.
        let Some(append) = grammar::append_head(verb, uid, cursor, tag)? else {
            return if announced.is_some() { Ok(None) } else { Err(Trouble::Bad("A string is missing")) };
        };
        if verb == Verb::Replace && matches!(self.state, State::Selected { read_only: true }) {
            return Err(READ_ONLY);
        }
        let mut place = Place::new(&append, self.terms.append_bytes_max);
        let (pieces, ends) = grammar::append_pieces(cursor, &mut place, announced)?;
        Ok((ends != Ends::Line)
            .then(|| Judged::Append(append, Appending::begin(tag.clone(), place, pieces, announced))))
    }

    /// What a literal may have that is a part of a command of so many bytes.
    fn check_literal(&self, literal: Announced, command_bytes: usize) -> Parsed<()> {
        let room = self.command_bytes_max().saturating_sub(command_bytes) as u64;
        match literal.bytes > IMAP_LITERAL_BYTES_MAX.min(room) {
            true => Err(Trouble::No(Code::TooBig, "The literal is too large")),
            false => Ok(()),
        }
    }

    /// The table of verbs against the state (RFC 3501 section 6).
    fn check_state(&self, verb: Verb, allowed: Allowed) -> Parsed<()> {
        match (allowed, self.state) {
            (Allowed::AfterLogin | Allowed::Selected, State::NotAuthenticated) => Err(Trouble::Bad("Log in first")),
            (Allowed::BeforeLogin, State::Authenticated | State::Selected { .. }) => {
                Err(Trouble::Bad("Already logged in"))
            }
            (Allowed::Selected, State::Authenticated) => Err(Trouble::Bad("No mailbox is selected")),
            _ => match verb {
                Verb::StartTls if self.terms.tls => Err(Trouble::Bad("TLS is on already")),
                Verb::StartTls if !self.terms.starttls => Err(Trouble::Bad("TLS is not available")),
                Verb::Login | Verb::Authenticate if !self.terms.login_allowed() => {
                    Err(Trouble::No(Code::PrivacyRequired, "Start TLS before you log in"))
                }
                _ => Ok(()),
            },
        }
    }

    /// What EXAMINE forbids (RFC 3501 section 6.3.2). CLOSE is allowed: it then expunges nothing.
    fn check_writable(&self, command: &Command) -> Parsed<()> {
        let writes =
            matches!(command, Command::Store(_) | Command::Expunge | Command::UidExpunge(_) | Command::Move(_));
        match self.state {
            State::Selected { read_only: true } if writes => Err(READ_ONLY),
            _ => Ok(()),
        }
    }

    /// Throws away what belongs to a refused command. False when the input ended first.
    fn skip(&mut self, input: &mut &[u8], out: &mut Out) -> bool {
        match &mut self.reading {
            Reading::SkippedBytes { left, reply } => {
                *left -= take_bytes(input, *left).len() as u64;
                let done = *left == 0;
                if done {
                    self.reading = Reading::SkippedLine { reply: std::mem::take(reply) };
                }
                done
            }
            Reading::SkippedLine { reply } => {
                let done = skip_line(input, &mut self.command);
                if done {
                    let reply = std::mem::take(reply);
                    let announced = announced(&self.command);
                    self.refuse(reply, announced, out);
                }
                done
            }
            _ => true,
        }
    }

    /// A command line grows beyond its bound.
    fn too_long(&mut self, out: &mut Out) -> Option<Step<'static>> {
        if matches!(self.expected, Expected::Append) {
            return self.append_line_too_long(out);
        }
        let tag = grammar::parse_tag(&mut Cursor::new(&self.command));
        self.begin_command();
        if !self.is_logged_in() || !matches!(self.expected, Expected::Command) {
            response::bye(out, Code::TooBig, "The line is too long");
            self.state = State::Logout;
            return None;
        }
        let mut reply = Out::new(out.dialect);
        match tag {
            Some(tag) => response::tagged(&mut reply, &tag, Status::Bad, Code::TooBig, "The command is too long"),
            None => response::untagged(&mut reply, Status::Bad, Code::TooBig, "The command is too long"),
        }
        self.reading = Reading::SkippedLine { reply };
        None
    }

    /// Answers BAD and counts; BYE when it was one too many.
    fn bad(&mut self, tag: Option<&Tag>, code: Code<'_>, text: &str, announced: Option<Announced>, out: &mut Out) {
        let mut reply = Out::new(out.dialect);
        match tag {
            Some(tag) => response::tagged(&mut reply, tag, Status::Bad, code, text),
            None => response::untagged(&mut reply, Status::Bad, code, text),
        }
        self.bad_commands += 1;
        let most = if self.is_logged_in() { IMAP_BAD_COMMANDS_MAX } else { IMAP_BAD_COMMANDS_BEFORE_LOGIN_MAX };
        if self.bad_commands > most {
            out.extend_from_slice(&reply);
            response::bye(out, Code::None, "Too many bad commands");
            self.state = State::Logout;
            return;
        }
        self.refuse(reply, announced, out);
    }

    /// Ends a command with `reply`. When a literal was announced that the client sends without being asked, it is skipped
    /// first, or the connection is closed when it is absurdly large (RFC 7888 section 4).
    fn refuse(&mut self, reply: Out, announced: Option<Announced>, out: &mut Out) {
        self.begin_command();
        let most = match self.is_logged_in() {
            true => IMAP_SKIPPED_LITERAL_BYTES_MAX,
            false => IMAP_COMMAND_BYTES_BEFORE_LOGIN_MAX as u64,
        };
        match announced {
            Some(literal) if !literal.synchronising && literal.bytes > most => {
                out.extend_from_slice(&reply);
                response::bye(out, Code::TooBig, "The literal is too large");
                self.state = State::Logout;
            }
            Some(literal) if !literal.synchronising => {
                self.reading = Reading::SkippedBytes { left: literal.bytes, reply };
            }
            _ => out.extend_from_slice(&reply),
        }
    }

    /// Forgets the command that was collected, and memory beyond what an idle session may keep.
    fn begin_command(&mut self) {
        self.command.clear();
        self.command.shrink_to(IMAP_COMMAND_BUFFER_KEPT_BYTES);
        self.line_start = 0;
        self.reading = Reading::Line;
    }
}

const READ_ONLY: Trouble = Trouble::No(Code::ReadOnly, "The mailbox is open for reading only");

/// What a command line turned out to be.
enum Judged {
    Command(Command),
    /// APPEND or REPLACE has begun.
    Append(Append, Box<Appending>),
    /// The command goes on with a literal.
    Literal(Announced),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(logged_in: bool) -> Conversation {
        let terms = Terms {
            tls: true,
            starttls: true,
            plaintext_login: false,
            channel_binding: false,
            append_bytes_max: 1 << 30,
        };
        let mut conversation = Conversation::new(terms);
        if logged_in {
            conversation.logged_in();
        }
        conversation
    }

    /// Feeds `piece` again and again, accepting every message; returns the largest capacity seen.
    fn largest(mut conversation: Conversation, begin: &[u8], piece: &[u8], times: usize) -> usize {
        let mut out = Out::default();
        let mut largest = 0;
        for at in 0..=times {
            let mut input = if at == 0 { begin } else { piece };
            loop {
                let step = conversation.step(&mut input, &mut out);
                largest = largest.max(conversation.command.capacity());
                match step {
                    Step::Read | Step::Close => break,
                    Step::AppendBegin(_) | Step::AppendMessage(_) => conversation.accept_append(&mut out),
                    _ => {}
                }
            }
            out.clear();
        }
        largest
    }

    #[test]
    fn whatever_is_sent_memory_stays_within_its_bound() {
        // A vector grows by doubling.
        let most = 2 * IMAP_COMMAND_BYTES_MAX;
        let piece = [b'x'; 4096];
        assert!(largest(session(true), b"a SEARCH TEXT ", &piece, 500) <= most);
        assert!(largest(session(true), b"a SEARCH TEXT {16000}\r\n", b"x {16000+}\r\n", 5000) <= most);
        assert!(largest(session(true), b"a APPEND INBOX {50000000}\r\n", &piece, 2000) <= 64);
        assert!(largest(session(true), b"a FROB {50000000+}\r\n", &piece, 2000) <= 1024);
        assert!(largest(session(false), b"", &piece, 500) <= 2 * IMAP_COMMAND_BYTES_BEFORE_LOGIN_MAX);
    }

    #[test]
    fn a_long_command_leaves_no_memory_behind() {
        let mut conversation = session(true);
        let line = format!("a STATUS \"{}\" (MESSAGES)\r\n", "x".repeat(60_000));
        let mut input = line.as_bytes();
        assert!(matches!(conversation.step(&mut input, &mut Out::default()), Step::Read));
        assert!(conversation.command.capacity() <= IMAP_COMMAND_BUFFER_KEPT_BYTES);
    }
}
