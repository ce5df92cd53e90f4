//! The message that tells a sender what became of their message: a delivery status notification (RFC 3464 in the
//! multipart/report of RFC 6522, RFC 6533 where something is outside ASCII), for a reader who is no mail administrator.
//!
//! Receives what was delivered or failed and the original, or its header; hands on the finished message with CRLF line ends.
//! Whether a notice is wanted at all is asked of [`Notify`] (RFC 3461 section 5.2). What other servers said stands in it as
//! quoted text only: no line of theirs can become a header field or a part of the report.

mod advice;
mod original;
mod report;

use crate::limits::BOUNCE_RECIPIENTS;
use crate::mail::message::QueueId;
use crate::wire::address::{Address, Domain};
use crate::wire::date::{DateTime, Timestamp, encode_date_time};
use crate::wire::smtp::client::{Answer, Status};
use crate::wire::smtp::{Hold, Notify};
use original::Original;
use std::fmt::Write;
use std::time::Duration;

/// Everything a notice says.
#[derive(Clone, Copy, Debug)]
pub struct Bounce<'a> {
    /// Our name: MAILER-DAEMON lives there.
    pub hostname: &'a Domain,
    /// The sender of the original.
    pub to: &'a Address,
    /// The queue entry it is about; without one all was settled when the message came.
    pub queue: Option<QueueId>,
    /// ENVID of the original (RFC 3461 section 4.4).
    pub envelope_id: Option<&'a str>,
    /// What the sender asked of the time of the original (RFC 4865 section 5.1.2).
    pub hold: Option<Hold>,
    /// When the original was accepted.
    pub queued: Timestamp,
    /// The date of the notice.
    pub now: Timestamp,
    /// Makes the Message-ID and the boundary unique.
    pub random: [u8; 16],
    /// Who did not get it.
    pub failures: &'a [Failure],
    /// Who has not got it yet.
    pub delays: &'a [Delay],
    /// Who got it, as far as the sender wants to know. Together with the others at least one.
    pub successes: &'a [Success],
    /// What is returned of the original.
    pub returned: Returned<'a>,
}

/// What is returned of the original (RFC 3461 section 4.3).
#[derive(Clone, Copy, Debug)]
pub enum Returned<'a> {
    /// Its beginning, of which the header is shown.
    Header(&'a [u8]),
    /// All of it.
    Full(&'a [u8]),
}

/// One recipient who did not get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whom.
    pub recipient: Address,
    /// ORCPT, decoded.
    pub original: Option<String>,
    /// The server that was asked, when one was.
    pub host: Option<String>,
    /// Why.
    pub reason: Reason,
    /// It was only temporary, and this long was too long.
    pub gave_up_after: Option<Duration>,
}

/// One recipient who has not got it yet, and for whom it is tried again (RFC 3464 section 2.3.3: `delayed`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Whom.
    pub recipient: Address,
    /// ORCPT, decoded.
    pub original: Option<String>,
    /// The server that was asked last, when one was.
    pub host: Option<String>,
    /// Why.
    pub reason: Reason,
    /// When it is given up.
    pub until: Timestamp,
}

/// One recipient who got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// Who.
    pub recipient: Address,
    /// ORCPT, decoded.
    pub original: Option<String>,
    /// How.
    pub how: How,
}

/// How a recipient got it (RFC 3464 section 2.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It is in a mailbox here (`delivered`).
    Delivered,
    /// It goes on to other addresses, which are nobody's business (`expanded`).
    SentOn,
    /// A server took it that will not report what becomes of it, with this answer (`relayed`).
    Relayed(String, Answer),
}

/// Whether the sender is told that a recipient did not get the message (RFC 3461 section 5.2.6).
pub fn tells_failure(notify: Notify) -> bool {
    notify == Notify::default() || notify.contains(Notify::FAILURE)
}

/// Whether the sender is told that a recipient has to wait for the message: where nothing was said we may, and do
/// (RFC 3461 section 5.2.5).
pub fn tells_delay(notify: Notify) -> bool {
    notify == Notify::default() || notify.contains(Notify::DELAY)
}

/// Whether the sender is told that a recipient got the message (RFC 3461 sections 5.2.2 and 5.2.3).
pub fn tells_success(notify: Notify) -> bool {
    notify.contains(Notify::SUCCESS)
}

/// Why a delivery did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An answer of the server, or a decision of ours in that form.
    Answered(Answer),
    /// What happened instead of an answer, as a plain sentence.
    Happened(String),
    /// There was no way to the server, or its name could not be looked up: the network may be gone. A plain sentence.
    Unreachable(String),
    /// The same, and it seems to be our own line that lets no mail out.
    LineBlocked(String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Answered(answer) => answer.fmt(f),
            Reason::Happened(text) | Reason::Unreachable(text) | Reason::LineBlocked(text) => f.write_str(text),
        }
    }
}

impl Failure {
    /// RFC 3463: 4.4.7 is "delivery time expired".
    fn status(&self) -> Status {
        match (&self.reason, self.gave_up_after) {
            (_, Some(_)) => Status(4, 4, 7),
            (Reason::Answered(answer), None) => answer.status_or_class(),
            (Reason::Happened(_) | Reason::Unreachable(_) | Reason::LineBlocked(_), None) => Status(5, 0, 0),
        }
    }
}

impl Delay {
    /// An answer of another class than 4 did not decide, so its status would mislead. RFC 3463: 4.4.1 is "no answer from host".
    fn status(&self) -> Status {
        match &self.reason {
            Reason::Answered(Answer { status: Some(status @ Status(4, ..)), .. }) => *status,
            Reason::Answered(_) | Reason::Happened(_) => Status(4, 0, 0),
            Reason::Unreachable(_) | Reason::LineBlocked(_) => Status(4, 4, 1),
        }
    }
}

/// Writes the notice.
pub fn encode_bounce(bounce: &Bounce<'_>) -> Vec<u8> {
    let mut unique = String::new();
    for byte in bounce.random {
        let _ = write!(unique, "{byte:02x}");
    }
    let boundary = format!("report-{unique}");
    let (original, all) = match bounce.returned {
        Returned::Header(header) => (Original::read(header), None),
        Returned::Full(message) => (Original::read(message), Some(message)),
    };
    let mut text = String::new();
    write_header(&mut text, bounce, &original, &unique, &boundary);
    let _ = write!(text, "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n");
    text.push_str("Content-Transfer-Encoding: 8bit\r\n\r\n");
    write_explanation(&mut text, bounce, &original);
    let (kind, coding) = if is_global(bounce) { ("global-", "8bit") } else { ("", "7bit") };
    let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: message/{kind}delivery-status\r\n");
    let _ = write!(text, "Content-Transfer-Encoding: {coding}\r\n\r\n");
    report::write_status(&mut text, bounce);
    // RFC 6533 section 4: the types that may hold UTF-8 headers.
    let kind = match (original.is_utf8(), all.is_some()) {
        (true, true) => "message/global",
        (false, true) => "message/rfc822",
        (true, false) => "message/global-headers",
        (false, false) => "text/rfc822-headers",
    };
    let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(all.unwrap_or(&original.header));
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    bytes
}

/// Whether a recipient cannot be named in ASCII (RFC 6533 section 4).
fn is_global(bounce: &Bounce<'_>) -> bool {
    let wide = |recipient: &Address, original: &Option<String>| {
        !recipient.local.is_ascii() || original.as_ref().is_some_and(|original| !original.is_ascii())
    };
    bounce.failures.iter().any(|failure| wide(&failure.recipient, &failure.original))
        || bounce.delays.iter().any(|delay| wide(&delay.recipient, &delay.original))
        || bounce.successes.iter().any(|success| wide(&success.recipient, &success.original))
}

fn write_header(text: &mut String, bounce: &Bounce<'_>, original: &Original, unique: &str, boundary: &str) {
    let hostname = bounce.hostname;
    let _ = write!(text, "Return-Path: <>\r\nDate: {}\r\n", date(bounce.now));
    let _ = write!(text, "From: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\nTo: <{}>\r\n", bounce.to);
    let (what, plain) = match (bounce.failures, bounce.successes) {
        ([], _) if !bounce.delays.is_empty() => ("Delayed", "Your message is delayed"),
        ([], successes) if successes.iter().any(|success| success.how != How::Delivered) => {
            ("Handed on", "Your message was handed on")
        }
        ([], _) => ("Delivered", "Your message was delivered"),
        _ => ("Not delivered", "Your message was not delivered"),
    };
    match &original.subject {
        Some(subject) => {
            let _ = write!(text, "Subject: {what}: {subject}\r\n");
        }
        None => {
            let _ = write!(text, "Subject: {plain}\r\n");
        }
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
fn write_explanation(text: &mut String, bounce: &Bounce<'_>, original: &Original) {
    let listed = bounce.failures.get(..BOUNCE_RECIPIENTS).unwrap_or(bounce.failures);
    match listed {
        [] => {}
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
    for delay in bounce.delays.iter().take(BOUNCE_RECIPIENTS) {
        wrap(text, "", &advice::delay_sentence(delay));
        text.push_str("\r\n");
    }
    for success in bounce.successes.iter().take(BOUNCE_RECIPIENTS) {
        wrap(text, "", &success_sentence(success));
        text.push_str("\r\n");
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
    for delay in bounce.delays.iter().take(BOUNCE_RECIPIENTS) {
        let server = delay.host.as_deref().map(|host| format!(", server {host}")).unwrap_or_default();
        wrap(text, "    ", &format!("<{}>{server}: {}", delay.recipient, delay.reason));
    }
    for success in bounce.successes.iter().take(BOUNCE_RECIPIENTS) {
        if let How::Relayed(host, answer) = &success.how {
            wrap(text, "    ", &format!("<{}>, server {host}: {answer}", success.recipient));
        }
    }
    match bounce.queue {
        Some(queue) => wrap(text, "    ", &format!("queue entry {} at {}", queue.0, bounce.hostname)),
        None => wrap(text, "    ", &format!("taken at {}", bounce.hostname)),
    }
}

fn success_sentence(success: &Success) -> String {
    let recipient = &success.recipient;
    match &success.how {
        How::Delivered => format!("Your message was delivered to the mailbox of {recipient}."),
        How::SentOn => format!(
            "Your message to {recipient} was sent on to where mail for this address goes. It is not reported when it is \
             delivered there."
        ),
        How::Relayed(host, _) => format!(
            "Your message to {recipient} was handed on to the server {host}, which does not report when it is delivered."
        ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BOUNCE_HEADER_BYTES;
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
            original: None,
            reason: Reason::Answered(answer),
            gave_up_after: None,
        }
    }

    fn written(failures: &[Failure], header: &[u8]) -> String {
        told(failures, &[], Returned::Header(header))
    }

    fn told(failures: &[Failure], successes: &[Success], returned: Returned<'_>) -> String {
        let bytes = encode_bounce(&Bounce {
            hostname: &Domain::new("mail.home.example"),
            to: &address("anna", "home.example"),
            queue: Some(QueueId(7)),
            envelope_id: Some("QQ 1"),
            hold: Some(Hold::For(Duration::from_secs(3600))),
            queued: Timestamp(1_700_000_000_000),
            now: Timestamp(1_700_000_060_000),
            random: [0xab; 16],
            failures,
            delays: &[],
            successes,
            returned,
        });
        String::from_utf8_lossy(&bytes).into_owned()
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
            "Future-Release-Request: for;3600",
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

    /// RFC 3464 sections 2.3.3 and 2.3.9.
    #[test]
    fn a_delay_is_told_as_one() {
        let mut answer = Answer::ours(451, Status(4, 7, 1), "greylisted");
        answer.said_by_peer = true;
        let delay = Delay {
            recipient: address("bob", "far.example"),
            original: Some("rfc822;bob@far.example".into()),
            host: Some("mx.far.example".into()),
            reason: Reason::Answered(answer),
            until: Timestamp(1_700_432_000_000),
        };
        let (hostname, to) = (Domain::new("mail.home.example"), address("anna", "home.example"));
        let bounce = Bounce {
            hostname: &hostname,
            to: &to,
            queue: Some(QueueId(7)),
            envelope_id: None,
            hold: None,
            queued: Timestamp(1_700_000_000_000),
            now: Timestamp(1_700_014_400_000),
            random: [0xab; 16],
            failures: &[],
            delays: std::slice::from_ref(&delay),
            successes: &[],
            returned: Returned::Header(HEADER),
        };
        let text = String::from_utf8(encode_bounce(&bounce)).unwrap();
        assert!(text.contains("\r\nSubject: Delayed: Hello there\r\n"), "{text}");
        assert!(text.contains("Action: delayed\r\nStatus: 4.7.1\r\nRemote-MTA: dns; mx.far.example\r\n"), "{text}");
        assert!(text.contains("\r\nWill-Retry-Until: Sun, 19 Nov 2023 22:13:20 +0000\r\n"), "{text}");
        assert!(text.contains("Your message to bob@far.example has not been delivered yet,"), "{text}");
        assert!(!text.contains("was not delivered"), "{text}");
        let refused = Answer { said_by_peer: true, ..Answer::ours(554, Status(5, 7, 1), "not today") };
        for (reason, status) in [
            (Reason::Answered(refused), Status(4, 0, 0)),
            (Reason::Unreachable("could not connect".into()), Status(4, 4, 1)),
        ] {
            assert_eq!(Delay { reason, ..delay.clone() }.status(), status);
        }
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
    fn successes_are_told_and_nothing_else() {
        let answer = Answer { said_by_peer: true, ..Answer::ours(250, Status(2, 0, 0), "queued as 12") };
        let relayed = Success {
            recipient: address("bob", "far.example"),
            original: Some("rfc822;Robert+x@far.example".into()),
            how: How::Relayed("mx.far.example".into(), answer),
        };
        let delivered = Success { original: None, how: How::Delivered, ..relayed.clone() };
        let text = told(&[], &[relayed], Returned::Header(HEADER));
        assert!(text.contains("\r\nSubject: Handed on: Hello there\r\n"), "{text}");
        assert!(text.replace("\r\n", " ").contains("handed on to the server mx.far.example, which does not report"));
        assert!(
            text.contains(
                "\r\n\r\nOriginal-Envelope-Id: QQ 1\r\nReporting-MTA: dns; mail.home.example\r\nArrival-Date: "
            )
        );
        assert!(text.contains(
            "\r\n\r\nOriginal-Recipient: rfc822; Robert+x@far.example\r\nFinal-Recipient: rfc822; bob@far.example\r\n\
             Action: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx.far.example\r\n\
             Diagnostic-Code: smtp; 250 2.0.0 queued as 12\r\n"
        ));
        let text = told(&[], &[delivered], Returned::Header(HEADER));
        assert!(text.contains("\r\nSubject: Delivered: Hello there\r\n"), "{text}");
        assert!(text.contains("Final-Recipient: rfc822; bob@far.example\r\nAction: delivered\r\nStatus: 2.0.0\r\n"));
        assert!(!text.contains("not delivered") && text.contains("Content-Type: message/delivery-status\r\n"));
    }

    #[test]
    fn the_whole_message_is_returned_where_it_was_asked_for() {
        let failures = [refused("bob", 550, Status(5, 1, 1), "no")];
        let text = told(&failures, &[], Returned::Full(HEADER));
        let returned = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
        assert!(text.contains(&format!("{returned}{}\r\n--report-", std::str::from_utf8(HEADER).unwrap())), "{text}");
        let text = told(&failures, &[], Returned::Full("Subject: Gr\u{fc}\u{df}e\r\n\r\nbody\r\n".as_bytes()));
        assert!(text.contains("Content-Type: message/global\r\n"), "{text}");
    }

    /// RFC 6533 section 4.
    #[test]
    fn letters_of_all_scripts_have_their_types() {
        let mut wide = refused("j\u{fc}rgen", 550, Status(5, 1, 1), "Gr\u{fc}\u{df}e");
        wide.original = Some("utf-8;j\u{fc}rgen@far.example".into());
        let text = told(&[wide], &[], Returned::Header("Subject: Gr\u{fc}\u{df}e\r\n\r\n".as_bytes()));
        assert!(text.contains("Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n"));
        assert!(
            text.contains("\r\nOriginal-Recipient: utf-8; j\u{fc}rgen@far.example\r\nFinal-Recipient: utf-8; j\u{fc}r")
        );
        assert!(text.contains("Diagnostic-Code: smtp; 550 5.1.1 Gr\u{fc}\u{df}e\r\n"), "{text}");
        assert!(text.contains("Content-Type: message/global-headers\r\n"));
        let plain = refused("bob", 550, Status(5, 1, 1), "Gr\u{fc}\u{df}e");
        let text = told(&[plain], &[], Returned::Header(b"Subject: Gr\xfc\xdfe\r\n\r\n"));
        assert!(text.contains("Diagnostic-Code: smtp; 550 5.1.1 Gr??e\r\n"), "{text}");
        assert!(text.contains("Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n"));
        assert!(text.contains("Content-Type: text/rfc822-headers\r\n"));
    }

    #[test]
    fn who_is_told_what() {
        for (notify, failure, success) in [
            (Notify::default(), true, false),
            (Notify::NEVER, false, false),
            (Notify::SUCCESS, false, true),
            (Notify::FAILURE, true, false),
            (Notify::DELAY, false, false),
            (Notify(14), true, true),
        ] {
            assert_eq!((tells_failure(notify), tells_success(notify)), (failure, success), "{notify:?}");
            let delay = notify == Notify::default() || notify == Notify::DELAY || notify == Notify(14);
            assert_eq!(tells_delay(notify), delay, "{notify:?}");
        }
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
