//! The part of a notice that programs read: message/delivery-status (RFC 3464 section 2).
//!
//! Receives what the notice says; hands on its fields, per message and per recipient.

use super::{Bounce, How, Reason, date, is_global, one_line, wrap};
use crate::limits::BOUNCE_RECIPIENTS;
use crate::wire::address::Address;
use crate::wire::smtp::client::Status;
use std::fmt::Write;

/// RFC 3464 sections 2.2 and 2.3.
pub(super) fn write_status(text: &mut String, bounce: &Bounce<'_>) {
    if let Some(id) = bounce.envelope_id {
        let _ = write!(text, "Original-Envelope-Id: {}\r\n", one_line(id));
    }
    let _ = write!(text, "Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n", bounce.hostname, date(bounce.queued));
    if let Some(hold) = bounce.hold {
        let _ = write!(text, "Future-Release-Request: {hold}\r\n");
    }
    let global = is_global(bounce);
    for failure in bounce.failures.iter().take(BOUNCE_RECIPIENTS) {
        write_recipient(text, &failure.recipient, failure.original.as_deref(), "failed", failure.status());
        if let Some(host) = &failure.host {
            let _ = write!(text, "Remote-MTA: dns; {}\r\n", one_line(host));
        }
        write_diagnostic(text, &diagnostic(&failure.reason), global);
        let _ = write!(text, "Last-Attempt-Date: {}\r\n", date(bounce.now));
    }
    for delay in bounce.delays.iter().take(BOUNCE_RECIPIENTS) {
        write_recipient(text, &delay.recipient, delay.original.as_deref(), "delayed", delay.status());
        if let Some(host) = &delay.host {
            let _ = write!(text, "Remote-MTA: dns; {}\r\n", one_line(host));
        }
        write_diagnostic(text, &diagnostic(&delay.reason), global);
        let (last, until) = (date(bounce.now), date(delay.until));
        let _ = write!(text, "Last-Attempt-Date: {last}\r\nWill-Retry-Until: {until}\r\n");
    }
    for success in bounce.successes.iter().take(BOUNCE_RECIPIENTS) {
        let action = match success.how {
            How::Delivered => "delivered",
            How::SentOn => "expanded",
            How::Relayed(..) => "relayed",
        };
        write_recipient(text, &success.recipient, success.original.as_deref(), action, Status(2, 0, 0));
        if let How::Relayed(host, answer) = &success.how {
            let _ = write!(text, "Remote-MTA: dns; {}\r\n", one_line(host));
            write_diagnostic(text, &format!("smtp; {answer}"), global);
        }
    }
}

/// The first fields of a recipient. An address outside ASCII has its own type (RFC 6533 section 3).
fn write_recipient(text: &mut String, recipient: &Address, original: Option<&str>, action: &str, status: Status) {
    text.push_str("\r\n");
    if let Some((kind, address)) = original.and_then(|original| original.split_once(';')) {
        let _ = write!(text, "Original-Recipient: {}; {}\r\n", one_line(kind), one_line(address));
    }
    let address = recipient.to_string();
    let kind = if address.is_ascii() { "rfc822" } else { "utf-8" };
    let _ = write!(text, "Final-Recipient: {kind}; {}\r\nAction: {action}\r\n", one_line(&address));
    let _ = write!(text, "Status: {status}\r\n");
}

/// What the other server said, or what we say instead.
fn diagnostic(reason: &Reason) -> String {
    match reason {
        Reason::Answered(answer) if answer.said_by_peer => format!("smtp; {answer}"),
        other => format!("x-hauspost; {other}"),
    }
}

fn write_diagnostic(text: &mut String, diagnostic: &str, global: bool) {
    let mut diagnostic = one_line(diagnostic);
    if !global {
        // A message/delivery-status part is ASCII (RFC 3464 section 2.1).
        diagnostic = diagnostic.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    }
    wrap(text, "  ", &format!("Diagnostic-Code: {diagnostic}"));
}
