//! The message that tells the owner what could not be delivered: a delivery status notification (RFC 3464 in the
//! multipart/report of RFC 6522), for a reader who is no mail administrator.
//!
//! Receives what failed and the header of the original; hands on the finished message with CRLF line ends. It is filed in
//! the owner's own mailbox and never sent, so it may hold UTF-8. What other servers said stands in it as quoted text only:
//! no line of theirs can become a header field or a part of the report.

mod advice;

use crate::limits::{BOUNCE_HEADER_BYTES, BOUNCE_RECIPIENTS};
use crate::mail::message::QueueId;
use crate::wire::address::{Address, Domain};
use crate::wire::date::{DateTime, Timestamp, encode_date_time};
use crate::wire::smtp::client::{Answer, Status};
use std::fmt::Write;
use std::time::Duration;

/// Everything a bounce says.
#[derive(Clone, Copy, Debug)]
pub struct Bounce<'a> {
    /// Our name: MAILER-DAEMON lives there.
    pub hostname: &'a Domain,
    /// The sender of the original.
    pub to: &'a Address,
    /// The entry that failed.
    pub queue: QueueId,
    /// When the original was accepted.
    pub queued: Timestamp,
    /// The date of the bounce.
    pub now: Timestamp,
    /// Makes the Message-ID and the boundary unique.
    pub random: [u8; 16],
    /// Who did not get it, at least one.
    pub failures: &'a [Failure],
    /// The header of the original, as much of it as was read.
    pub original_header: &'a [u8],
}

/// One recipient who did not get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whom.
    pub recipient: Address,
    /// The server that was asked, when one was.
    pub host: Option<String>,
    /// Why.
    pub reason: Reason,
    /// It was only temporary, and this long was too long.
    pub gave_up_after: Option<Duration>,
}

/// Why a delivery did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An answer of the server, or a decision of ours in that form.
    Answered(Answer),
    /// What happened instead of an answer, as a plain sentence.
    Happened(String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Answered(answer) => answer.fmt(f),
            Reason::Happened(text) => f.write_str(text),
        }
    }
}

impl Failure {
    /// RFC 3463: 4.4.7 is "delivery time expired".
    fn status(&self) -> Status {
        match (&self.reason, self.gave_up_after) {
            (_, Some(_)) => Status(4, 4, 7),
            (Reason::Answered(answer), None) => answer.status_or_class(),
            (Reason::Happened(_), None) => Status(5, 0, 0),
        }
    }
}

/// Writes the bounce.
pub fn encode_bounce(bounce: &Bounce<'_>) -> Vec<u8> {
    let mut unique = String::new();
    for byte in bounce.random {
        let _ = write!(unique, "{byte:02x}");
    }
    let boundary = format!("report-{unique}");
    let original = OriginalHeader::read(bounce.original_header);
    let mut text = String::new();
    write_header(&mut text, bounce, &original, &unique, &boundary);
    let _ = write!(text, "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n");
    text.push_str("Content-Transfer-Encoding: 8bit\r\n\r\n");
    write_explanation(&mut text, bounce, &original);
    let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n");
    text.push_str("Content-Transfer-Encoding: 8bit\r\n\r\n");
    write_status(&mut text, bounce);
    let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: text/rfc822-headers\r\n");
    text.push_str("Content-Transfer-Encoding: 8bit\r\n\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&original.bytes);
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    bytes
}

fn write_header(text: &mut String, bounce: &Bounce<'_>, original: &OriginalHeader, unique: &str, boundary: &str) {
    let hostname = bounce.hostname;
    let _ = write!(text, "Return-Path: <>\r\nDate: {}\r\n", date(bounce.now));
    let _ = write!(text, "From: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\nTo: <{}>\r\n", bounce.to);
    match &original.subject {
        Some(subject) => {
            let _ = write!(text, "Subject: Not delivered: {subject}\r\n");
        }
        None => text.push_str("Subject: Your message was not delivered\r\n"),
    }
    let _ = write!(text, "Message-ID: <{unique}@{hostname}>\r\n");
    if let Some(id) = &original.message_id {
        let _ = write!(text, "In-Reply-To: {id}\r\nReferences: {id}\r\n");
    }
    // RFC 3834 section 5: nobody's vacation answer replies to this.
    text.push_str("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    text.push_str("Content-Type: multipart/report; report-type=delivery-status;\r\n");
    let _ = write!(text, "\tboundary=\"{boundary}\"\r\n\r\n");
}

/// The part for the reader: what happened and what to do first, how it came about afterwards.
fn write_explanation(text: &mut String, bounce: &Bounce<'_>, original: &OriginalHeader) {
    let listed = bounce.failures.get(..BOUNCE_RECIPIENTS).unwrap_or(bounce.failures);
    match listed {
        [failure] => {
            wrap(text, "", &advice::sentence(failure));
            text.push_str("\r\n");
        }
        many => {
            let opening = format!(
                "Your message was not delivered to {} of its recipients; for each of them it says below what happened and \
                 what you can do.",
                bounce.failures.len()
            );
            wrap(text, "", &opening);
            text.push_str("\r\n");
            for failure in many {
                wrap(text, "  ", &format!("- {}", advice::sentence(failure)));
                text.push_str("\r\n");
            }
        }
    }
    if let Some(subject) = &original.subject {
        wrap(text, "  ", &format!("Subject of your message: {subject}"));
    }
    wrap(text, "  ", &format!("Accepted for delivery: {}", date(bounce.queued)));
    text.push_str("\r\nTechnical details:\r\n\r\n");
    for failure in listed {
        let server = failure.host.as_deref().map(|host| format!(", server {host}")).unwrap_or_default();
        wrap(text, "    ", &format!("<{}>{server}: {}", failure.recipient, failure.reason));
    }
    if let Some(unlisted) = bounce.failures.len().checked_sub(BOUNCE_RECIPIENTS).filter(|&n| n > 0) {
        wrap(text, "    ", &format!("and {unlisted} more recipients"));
    }
    wrap(text, "    ", &format!("queue entry {} at {}", bounce.queue.0, bounce.hostname));
}

/// RFC 3464 sections 2.2 and 2.3.
fn write_status(text: &mut String, bounce: &Bounce<'_>) {
    let _ = write!(text, "Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n", bounce.hostname, date(bounce.queued));
    for failure in bounce.failures.iter().take(BOUNCE_RECIPIENTS) {
        let address = failure.recipient.to_string();
        // RFC 6533 section 3: an address outside ASCII has its own type.
        let kind = if address.is_ascii() { "rfc822" } else { "utf-8" };
        let _ = write!(text, "\r\nFinal-Recipient: {kind}; {}\r\nAction: failed\r\n", one_line(&address));
        let _ = write!(text, "Status: {}\r\n", failure.status());
        if let Some(host) = &failure.host {
            let _ = write!(text, "Remote-MTA: dns; {}\r\n", one_line(host));
        }
        let diagnostic = match &failure.reason {
            Reason::Answered(answer) if answer.said_by_peer => format!("smtp; {answer}"),
            other => format!("x-hauspost; {other}"),
        };
        wrap(text, "  ", &format!("Diagnostic-Code: {}", one_line(&diagnostic)));
        let _ = write!(text, "Last-Attempt-Date: {}\r\n", date(bounce.now));
    }
}

fn date(at: Timestamp) -> String {
    encode_date_time(DateTime { seconds: at.seconds(), zone_minutes: 0 })
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Columns of text, so that every reader shows it as written (RFC 5322 section 2.1.1).
const COLUMNS: usize = 76;

/// Appends one paragraph in lines of at most [`COLUMNS`], those after the first indented; longer words stay whole.
fn wrap(text: &mut String, indent: &str, paragraph: &str) {
    let mut column = 0;
    for word in one_line(paragraph).split(' ').filter(|word| !word.is_empty()) {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > COLUMNS {
            text.push_str("\r\n");
            text.push_str(indent);
            column = indent.len();
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push_str("\r\n");
}

/// What is taken from the original.
struct OriginalHeader {
    /// Its header with CRLF line ends, cut to [`BOUNCE_HEADER_BYTES`] at the end of a field.
    bytes: Vec<u8>,
    /// As it was written, when short and ASCII.
    subject: Option<String>,
    /// With its angle brackets.
    message_id: Option<String>,
}

impl OriginalHeader {
    fn read(header: &[u8]) -> OriginalHeader {
        let mut original = OriginalHeader { bytes: Vec::new(), subject: None, message_id: None };
        let mut field: Vec<u8> = Vec::new();
        let mut lines = header.split_inclusive(|&b| b == b'\n').peekable();
        while let Some(line) = lines.next() {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            field.extend(line.iter().filter(|&&b| b != b'\r'));
            field.extend_from_slice(b"\r\n");
            if lines.peek().is_some_and(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
                continue;
            }
            if original.bytes.len() + field.len() > BOUNCE_HEADER_BYTES {
                break;
            }
            original.subject = original.subject.take().or_else(|| value(&field, "subject:", 300));
            original.message_id = original.message_id.take().or_else(|| message_id(&field));
            original.bytes.append(&mut field);
        }
        original
    }
}

/// The unfolded value of the field when it has this name, is printable ASCII and not longer than `bytes_max`.
fn value(field: &[u8], name: &str, bytes_max: usize) -> Option<String> {
    let (start, rest) = field.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    let unfolded = String::from_utf8(rest.to_vec()).ok()?.replace("\r\n", "").replace('\t', " ");
    let value = unfolded.trim();
    let plain = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    (plain && !value.is_empty() && value.len() <= bytes_max).then(|| value.to_owned())
}

fn message_id(field: &[u8]) -> Option<String> {
    value(field, "message-id:", 250).filter(|id| id.starts_with('<') && id.ends_with('>') && !id.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};

    fn address(local: &str, domain: &str) -> Address {
        Address { local: local.into(), domain: Domain::new(domain) }
    }

    fn refused(local: &str, code: u16, status: Status, text: &str) -> Failure {
        let mut answer = Answer::ours(code, status, text);
        answer.said_by_peer = true;
        Failure {
            recipient: address(local, "far.example"),
            host: Some("mx.far.example".into()),
            reason: Reason::Answered(answer),
            gave_up_after: None,
        }
    }

    fn written(failures: &[Failure], header: &[u8]) -> String {
        let bytes = encode_bounce(&Bounce {
            hostname: &Domain::new("mail.home.example"),
            to: &address("anna", "home.example"),
            queue: QueueId(7),
            queued: Timestamp(1_700_000_000_000),
            now: Timestamp(1_700_000_060_000),
            random: [0xab; 16],
            failures,
            original_header: header,
        });
        String::from_utf8(bytes).unwrap()
    }

    const HEADER: &[u8] =
        b"From: anna@home.example\r\nSubject: Hello\r\n there\r\nMessage-ID: <1@home.example>\r\n\r\nbody\r\n";

    #[test]
    fn one_refusal_reads_well_and_parses() {
        let text = written(&[refused("bob", 550, Status(5, 1, 1), "No such user")], HEADER);
        let message = MessageParser::default().parse(text.as_bytes()).unwrap();
        assert_eq!(message.subject(), Some("Not delivered: Hello there"));
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
        assert_eq!(message.header_raw("Return-Path").map(str::trim), Some("<>"));
        assert_eq!(message.header_raw("In-Reply-To").map(str::trim), Some("<1@home.example>"));
        assert_eq!(message.from().unwrap().first().unwrap().address(), Some("MAILER-DAEMON@mail.home.example"));
        assert_eq!(message.to().unwrap().first().unwrap().address(), Some("anna@home.example"));
        assert!(message.date().is_some());
        let kinds: Vec<String> = message
            .parts
            .iter()
            .filter_map(|part| part.content_type().map(|t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or(""))))
            .collect();
        assert_eq!(kinds, ["multipart/report", "text/plain", "message/delivery-status", "text/rfc822-headers"]);
        let body = message.body_text(0).unwrap();
        let first = body.split("\r\n\r\n").next().unwrap().replace("\r\n", " ");
        assert!(first.starts_with("Your message to bob@far.example was not delivered"), "{first}");
        assert!(first.ends_with('.') && first.contains(';'), "{first}");
    }

    #[test]
    fn the_status_part_has_its_fields() {
        let mut late = refused("joe", 451, Status(4, 7, 1), "greylisted");
        late.gave_up_after = Some(Duration::from_secs(5 * 86400));
        let text = written(&[refused("bob", 550, Status(5, 1, 1), "No such user"), late], HEADER);
        for line in [
            "Reporting-MTA: dns; mail.home.example",
            "Final-Recipient: rfc822; bob@far.example",
            "Status: 5.1.1",
            "Remote-MTA: dns; mx.far.example",
            "Diagnostic-Code: smtp; 550 5.1.1 No such user",
            "Final-Recipient: rfc822; joe@far.example",
            "Status: 4.4.7",
            "Diagnostic-Code: smtp; 451 4.7.1 greylisted",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
        }
        assert!(text.contains("5 days"), "{text}");
        assert_eq!(text.matches("Action: failed").count(), 2);
    }

    #[test]
    fn only_the_header_comes_back() {
        let text = written(&[refused("bob", 550, Status(5, 1, 1), "no")], HEADER);
        assert!(text.contains("Subject: Hello\r\n there\r\n"));
        assert!(!text.contains("body\r\n"));
        let wide = [b"X-A: b\r\n".repeat(10_000), b"\r\n".to_vec()].concat();
        assert!(written(&[refused("bob", 550, Status(5, 1, 1), "no")], &wide).len() < BOUNCE_HEADER_BYTES + 4096);
        let cut = written(&[refused("bob", 550, Status(5, 1, 1), "no")], b"Subject: x\r\nTo: y");
        assert!(cut.contains("Subject: Not delivered: x\r\n"));
    }

    #[test]
    fn what_servers_say_stays_text() {
        let hostile = refused("bob", 550, Status(5, 0, 0), "x\r\n--report-abab\r\nSubject: owned");
        let text = written(&[hostile], b"Subject: a\rb\r\n\r\n");
        assert!(!text.contains("\r\n--report-abab\r\n"), "{text}");
        assert!(!text.contains("\r\nSubject: owned"), "{text}");
        assert!(text.split("\r\n").all(|line| !line.contains(['\r', '\n'])), "only CRLF line ends");
    }

    #[test]
    fn lines_fit_and_many_recipients_are_counted() {
        let many: Vec<Failure> =
            (0..300).map(|n| refused(&format!("user{n}"), 550, Status(5, 1, 1), "No such user here at all")).collect();
        let text = written(&many, HEADER);
        assert!(text.contains("not delivered to 300 of its recipients"));
        assert!(text.contains("and 100 more recipients"));
        assert!(text.lines().all(|line| line.chars().count() <= 78), "lines fit");
    }
}
