//! Every reply this server can give, and how it is written.
//!
//! Texts are for the person who reads them in a bounce: plain, and telling what to do where something can be done.
//! Always holds: a reply line is at most 512 bytes of printable ASCII (RFC 5321 section 4.5.3.1.5), so nothing that a
//! peer sent can break out of the reply that repeats it.

use crate::limits::SMTP_REPLY_LINE_BYTES_MAX;
use std::borrow::Cow;

/// One reply: code, enhanced status code, text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200..=599.
    pub code: u16,
    /// RFC 3463, for example `5.1.1`; empty where RFC 2034 has none (greeting, HELO, EHLO, 3xx).
    pub enhanced: &'static str,
    /// One line.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply with a fixed text.
    pub const fn new(code: u16, enhanced: &'static str, text: &'static str) -> Reply {
        Reply { code, enhanced, text: Cow::Borrowed(text) }
    }

    /// The same code with another text.
    pub fn saying(&self, text: String) -> Reply {
        Reply { text: Cow::Owned(text), ..self.clone() }
    }

    /// Whether it says yes (2xx, 3xx).
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// Appends its line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(self.code.to_string().as_bytes());
        out.push(b' ');
        if !self.enhanced.is_empty() {
            out.extend_from_slice(self.enhanced.as_bytes());
            out.push(b' ');
        }
        finish_line(&self.text, start, out);
    }

    /// Appends a reply of several lines (EHLO, HELP); adds no enhanced codes.
    pub fn encode_lines<'t>(code: u16, lines: impl IntoIterator<Item = Cow<'t, str>>, out: &mut Vec<u8>) {
        let mut lines = lines.into_iter().peekable();
        while let Some(line) = lines.next() {
            let start = out.len();
            out.extend_from_slice(code.to_string().as_bytes());
            out.push(if lines.peek().is_some() { b'-' } else { b' ' });
            finish_line(&line, start, out);
        }
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let space = if self.enhanced.is_empty() { "" } else { " " };
        write!(f, "{} {}{space}{}", self.code, self.enhanced, self.text)
    }
}

/// Adds the text to a line begun at `start`, cut and made printable, and ends it.
fn finish_line(text: &str, start: usize, out: &mut Vec<u8>) {
    let room = SMTP_REPLY_LINE_BYTES_MAX.saturating_sub(out.len() - start + "\r\n".len());
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c as u8 } else { b'?' };
    out.extend(text.chars().take(room).map(printable));
    out.extend_from_slice(b"\r\n");
}

/// The fixed replies, by what they say.
#[allow(missing_docs)] // their texts are their documentation
pub mod replies {
    use super::Reply;

    pub const OK: Reply = Reply::new(250, "2.0.0", "OK");
    pub const BYE: Reply = Reply::new(221, "2.0.0", "Goodbye");
    pub const SENDER_OK: Reply = Reply::new(250, "2.1.0", "Sender OK");
    pub const RECIPIENT_OK: Reply = Reply::new(250, "2.1.5", "Recipient OK");
    pub const SEND_DATA: Reply = Reply::new(354, "", "Send the message, end it with a line that holds one dot");
    pub const START_TLS: Reply = Reply::new(220, "2.0.0", "Begin TLS now");
    pub const WELCOME: Reply = Reply::new(235, "2.7.0", "Welcome");
    pub const DELIVERED: Reply = Reply::new(250, "2.0.0", "Delivered");
    pub const QUEUED: Reply = Reply::new(250, "2.0.0", "Queued");
    pub const CANNOT_VERIFY: Reply =
        Reply::new(252, "2.0.0", "Addresses are not confirmed here; send the message and it is tried");

    pub const STOPPING: Reply = Reply::new(421, "4.3.2", "This server is being stopped, try again later");
    pub const TIMED_OUT: Reply = Reply::new(421, "4.4.2", "Nothing came for too long, closing");
    pub const SESSION_TOO_LONG: Reply =
        Reply::new(421, "4.4.2", "This session has lasted long enough, connect again to go on");
    pub const TOO_MANY_ERRORS: Reply = Reply::new(421, "4.7.0", "Too many errors, closing");
    pub const TOO_MUCH_IDLE_TALK: Reply = Reply::new(421, "4.7.0", "Too many commands without a message, closing");
    pub const TOO_MANY_MESSAGES: Reply =
        Reply::new(421, "4.7.0", "Enough messages for one session, connect again to go on");
    pub const OUT_OF_STEP: Reply = Reply::new(421, "4.3.0", "This server lost its place, closing; try again");

    pub const NO_COMMAND: Reply = Reply::new(500, "5.5.1", "Command not known");
    pub const LINE_TOO_LONG: Reply = Reply::new(500, "5.5.2", "Line too long");
    pub const AUTH_LINE_TOO_LONG: Reply = Reply::new(500, "5.5.6", "Authentication line too long");
    pub const BARE_NEWLINE: Reply =
        Reply::new(500, "5.5.2", "Lines end with CR and LF together, a lone CR or LF is refused");
    pub const SYNTAX: Reply = Reply::new(501, "5.5.2", "Arguments not understood");
    pub const NO_ARGUMENT: Reply = Reply::new(501, "5.5.4", "This command takes no argument");
    pub const NEEDS_ARGUMENT: Reply = Reply::new(501, "5.5.4", "This command needs an argument");
    pub const BAD_HELO: Reply = Reply::new(501, "5.5.2", "Say the name or [address] of your host");
    pub const BAD_SENDER: Reply = Reply::new(501, "5.1.7", "Write MAIL FROM:<name@domain>");
    pub const BAD_RECIPIENT: Reply = Reply::new(501, "5.1.3", "Write RCPT TO:<name@domain>");
    pub const PATH_TOO_LONG: Reply = Reply::new(501, "5.1.3", "Address too long");
    pub const NOT_ASCII: Reply =
        Reply::new(553, "5.6.7", "Addresses with letters beyond ASCII are in UTF-8 and need SMTPUTF8");
    pub const HELD_TOO_LONG: Reply = Reply::new(501, "5.5.4", "Mail is not held that long here, EHLO tells how long");
    pub const BAD_CHUNK: Reply = Reply::new(
        554,
        "5.5.4",
        "BDAT needs a number of octets; without it commands cannot be told from data, closing",
    );
    pub const CHUNK_TAKEN: Reply = Reply::new(250, "2.0.0", "Octets taken");
    pub const CHUNKS_AND_DATA: Reply = Reply::new(503, "5.5.1", "The message has begun with BDAT, RSET gives it up");
    pub const BINARY_NEEDS_CHUNKS: Reply = Reply::new(503, "5.5.1", "A BINARYMIME message is sent with BDAT, not DATA");
    pub const BAD_PARAMETER: Reply = Reply::new(501, "5.5.4", "Parameter not understood");
    pub const UNKNOWN_PARAMETER: Reply = Reply::new(555, "5.5.4", "Parameter not supported");
    pub const NO_EXPN: Reply = Reply::new(502, "5.5.1", "There are no lists to expand here");
    pub const NO_STARTTLS: Reply = Reply::new(502, "5.5.1", "TLS is not available");
    pub const TLS_ALREADY: Reply = Reply::new(503, "5.5.1", "TLS is already in use");
    pub const STARTTLS_NOT_LAST: Reply =
        Reply::new(554, "5.5.1", "Commands sent along with STARTTLS are not obeyed, closing");
    pub const EARLY_TALKER: Reply = Reply::new(554, "5.5.1", "You spoke before the greeting, closing");
    pub const NOT_HTTP: Reply = Reply::new(554, "5.5.1", "This is a mail server, closing");

    pub const HELLO_FIRST: Reply = Reply::new(503, "5.5.1", "Say EHLO first");
    pub const MAIL_FIRST: Reply = Reply::new(503, "5.5.1", "MAIL comes first");
    pub const RECIPIENT_FIRST: Reply = Reply::new(503, "5.5.1", "No recipient has been accepted");
    pub const NESTED_MAIL: Reply = Reply::new(503, "5.5.1", "A message is already begun, RSET gives it up");
    pub const NOT_IN_TRANSACTION: Reply = Reply::new(503, "5.5.1", "Not while a message is begun, RSET gives it up");

    pub const AUTH_NOT_HERE: Reply =
        Reply::new(502, "5.5.1", "No login on this port; to send mail use port 465 or 587");
    pub const AUTH_ALREADY: Reply = Reply::new(503, "5.5.1", "Already logged in");
    pub const AUTH_NEEDS_TLS: Reply = Reply::new(538, "5.7.11", "Encryption needed for login: use STARTTLS first");
    pub const AUTH_UNKNOWN: Reply = Reply::new(504, "5.5.4", "Mechanism not offered");
    pub const AUTH_CANCELLED: Reply = Reply::new(501, "5.7.0", "Login cancelled");
    pub const AUTH_NOT_BASE64: Reply = Reply::new(501, "5.5.2", "Not base64");
    pub const AUTH_MALFORMED: Reply = Reply::new(501, "5.5.2", "Not a message of this mechanism");
    // RFC 4954 section 6 has no code for it; RFC 3463 section 3.8 does.
    pub const AUTH_NOT_ALLOWED: Reply = Reply::new(535, "5.7.1", "This device may not send mail");
    pub const MAY_NOT_SEND: Reply = Reply::new(550, "5.7.1", "This device may not send mail");
    pub const LOGIN_ENDED: Reply = Reply::new(421, "4.7.0", "This device may no longer send mail, closing");
    pub const AUTH_WRONG: Reply = Reply::new(535, "5.7.8", "Login or password wrong");
    pub const AUTH_NOT_AGREED: Reply =
        Reply::new(535, "5.7.8", "The login is bound to another connection, or in a way not known here");
    pub const AUTH_UNAVAILABLE: Reply = Reply::new(454, "4.7.0", "Login cannot be checked now, try again later");
    pub const TOO_MANY_LOGINS: Reply = Reply::new(421, "4.7.0", "Too many failed logins, closing");
    pub const LOGIN_FIRST: Reply = Reply::new(530, "5.7.0", "Log in first");
    pub const TLS_FIRST: Reply = Reply::new(530, "5.7.0", "Use STARTTLS and log in first");

    pub const RELAYING_DENIED: Reply = Reply::new(550, "5.7.1", "This server does not receive mail for that domain");
    pub const NO_SUCH_USER: Reply = Reply::new(550, "5.1.1", "No such mailbox here");
    pub const ADDRESS_EXPIRED: Reply = Reply::new(550, "5.1.6", "This address was for a time, which is over");
    pub const REFUSED_INSIDE: Reply = Reply::new(550, "5.1.1", "The server of this address refuses it");
    pub const LATER_INSIDE: Reply =
        Reply::new(451, "4.4.1", "The server of this address cannot be asked now, try again later");
    pub const SENDER_BLOCKED: Reply = Reply::new(550, "5.7.1", "Mail from this sender is not wanted here");
    pub const BOUNCES_ONLY: Reply = Reply::new(550, "5.7.1", "This return address takes bounces only");
    pub const RETURN_PATH_EXPIRED: Reply = Reply::new(550, "5.1.1", "This return address has expired");
    pub const RETURN_PATH_FORGED: Reply = Reply::new(550, "5.7.1", "This return address was not made here");
    pub const NOT_YOUR_ADDRESS: Reply = Reply::new(
        553,
        "5.7.1",
        "The sender address is not one of this account's; set the mail program's From address to one that is",
    );
    pub const NOT_YOUR_FROM: Reply = Reply::new(
        550,
        "5.7.1",
        "The From field names an address that is not one of this account's; set the mail program's From address",
    );
    pub const NOT_YOUR_SENDER: Reply =
        Reply::new(550, "5.7.1", "The Sender field names an address that is not one of this account's");
    pub const BAD_FROM: Reply = Reply::new(554, "5.6.0", "The message needs exactly one readable From field");
    pub const TOO_MANY_RECIPIENTS: Reply =
        Reply::new(452, "4.5.3", "Too many recipients for one message, send the rest in another");
    pub const TOO_LARGE: Reply = Reply::new(552, "5.3.4", "Message too large");
    pub const ENDLESS: Reply = Reply::new(552, "5.3.4", "Message too large, closing");
    pub const HEADER_TOO_LARGE: Reply = Reply::new(552, "5.3.4", "Message header too large");
    pub const MESSAGE_BARE_NEWLINE: Reply =
        Reply::new(550, "5.6.0", "The message has a lone CR or LF; lines must end with CR and LF together");
    pub const HEADER_BINARY: Reply = Reply::new(
        550,
        "5.6.0",
        "The header has a lone CR or LF or a NUL, which only the body of this message may hold",
    );
    pub const MESSAGE_NUL: Reply = Reply::new(554, "5.6.0", "The message holds NUL characters");
    pub const LOOP: Reply = Reply::new(554, "5.4.6", "The message goes round in circles: it has been here before");
    pub const FULL: Reply = Reply::new(452, "4.3.1", "No room at the moment, try again later");
    pub const FAILED: Reply = Reply::new(451, "4.3.0", "Trouble on this server, try again later");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_printable_and_bounded() {
        let mut out = Vec::new();
        replies::NO_COMMAND.saying("a\r\n250 ü\0".into()).encode(&mut out);
        assert_eq!(out, b"500 5.5.1 a??250 ??\r\n");
        out.clear();
        replies::OK.saying("x".repeat(2000)).encode(&mut out);
        assert_eq!(out.len(), SMTP_REPLY_LINE_BYTES_MAX);
        assert!(out.ends_with(b"x\r\n"));
        out.clear();
        Reply::encode_lines(250, ["one".into(), "two".into()], &mut out);
        assert_eq!(out, b"250-one\r\n250 two\r\n");
        assert_eq!(replies::SEND_DATA.to_string().get(..5), Some("354 S"));
    }
}
