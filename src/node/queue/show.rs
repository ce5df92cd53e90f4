//! `hauspost queue show`: everything about one message that waits.
//!
//! Receives the entry and the beginning of its message; hands on text, harmless to a terminal.

use super::list::{next_attempt, sender, shown};
use super::not_there;
use crate::limits::REPLY_CHARACTERS_SHOWN;
use crate::mail::meaning::meaning;
use crate::mail::message::QueueId;
use crate::node::control::Errand;
use crate::node::control::answer::Answer;
use crate::node::control::wording::{clock, count, full, plain, size, span, wrap};
use crate::node::failure::Failure;
use crate::node::owner::in_store;
use crate::serve::queue::{read_entry, read_header, read_time};
use crate::store::{QueueEntry, QueueRecipient};
use crate::wire::date::Timestamp;
use crate::wire::header::encoded_word::decode_text;
use crate::wire::header::find;
use crate::wire::smtp::{Body, Hold, Notify};

/// Shows one message.
pub async fn show(errand: &Errand, id: QueueId, answer: &mut Answer) -> Result<(), Failure> {
    let now = read_time(&errand.context).await.map_err(|e| in_store(&e))?;
    let Some(entry) = read_entry(&errand.context, id).await.map_err(|e| in_store(&e))? else {
        return Err(not_there(&[id]));
    };
    let header = read_header(&errand.context, &entry).await;
    let zone = errand.zone_minutes;
    answer.say(&describe(&entry, &header, now, zone)).await?;
    for recipient in &entry.recipients {
        answer.say(&describe_recipient(recipient, now, zone)).await?;
    }
    Ok(())
}

fn describe(entry: &QueueEntry, header: &[u8], now: Timestamp, zone: i16) -> String {
    let mut text = format!("Message {} in the queue\n\n", entry.id.0);
    let mut line = |name: &str, value: &str| {
        wrap(&mut text, &format!("  {name:<11}"), "             ", value);
    };
    line("from", &sender(entry));
    line("accepted", &format!("{} ({} ago)", full(entry.queued, zone), span(now.since(entry.queued))));
    line("size", &size(entry.bytes));
    line("next", &next_attempt(entry, now, zone));
    for (name, shown) in [("Subject", "subject"), ("Date", "date"), ("From", "author")] {
        match find(header, name.as_bytes()) {
            Some(field) => line(shown, &plain(decode_text(field.value).trim(), REPLY_CHARACTERS_SHOWN)),
            None => line(shown, "(none)"),
        }
    }
    for parameter in parameters(entry, zone) {
        line("asked for", &parameter);
    }
    if entry.delay_told {
        line("told", "the sender knows that it takes long");
    }
    line("waiting", &count(entry.recipients.len(), "recipient", "recipients"));
    text
}

/// What the sender asked for of the whole message.
fn parameters(entry: &QueueEntry, zone: i16) -> Vec<String> {
    let parameters = &entry.parameters;
    let mut asked = Vec::new();
    match parameters.body {
        Body::SevenBit => {}
        Body::EightBitMime => asked.push("8-bit text (8BITMIME)".to_owned()),
        Body::BinaryMime => asked.push("binary parts (BINARYMIME)".to_owned()),
    }
    if parameters.smtp_utf8 {
        asked.push("addresses in all scripts (SMTPUTF8)".to_owned());
    }
    if parameters.require_tls {
        asked.push("TLS all the way (REQUIRETLS)".to_owned());
    }
    match parameters.return_full {
        Some(true) => asked.push("the whole message back if it fails (RET=FULL)".to_owned()),
        Some(false) => asked.push("only the header back if it fails (RET=HDRS)".to_owned()),
        None => {}
    }
    if let Some(id) = &parameters.envelope_id {
        asked.push(format!("reports that say {} (ENVID)", plain(id, REPLY_CHARACTERS_SHOWN)));
    }
    match parameters.hold {
        Some(Hold::For(wait)) => asked.push(format!("to be held for {}", span(wait))),
        Some(Hold::Until(at)) => asked.push(format!("to be held until {}", full(at, zone))),
        None => {}
    }
    asked
}

fn describe_recipient(recipient: &QueueRecipient, now: Timestamp, zone: i16) -> String {
    let mut text = format!("\n  {}\n", shown(&recipient.address));
    let mut line = |name: &str, value: &str| wrap(&mut text, &format!("    {name:<9}"), "             ", value);
    match (recipient.attempts, recipient.last_attempt) {
        (0, _) => line("tried", "not yet"),
        (1, Some(at)) => line("tried", &format!("once, at {}", clock(at, now, zone))),
        (times, Some(at)) => line("tried", &format!("{times} times, the last time at {}", clock(at, now, zone))),
        (times, None) => line("tried", &format!("{times} times")),
    }
    if !recipient.last_reply.is_empty() {
        line("answer", &plain(&recipient.last_reply, REPLY_CHARACTERS_SHOWN));
        line("meaning", meaning(&recipient.last_reply));
    }
    if let Some(original) = &recipient.parameters.original {
        line("first to", &plain(original, REPLY_CHARACTERS_SHOWN));
    }
    if recipient.parameters.notify != Notify::default() {
        line("reports", &reports(recipient.parameters.notify));
    }
    text
}

/// Which reports the sender asked for (RFC 3461 section 4.1).
fn reports(notify: Notify) -> String {
    let kinds = [
        (Notify::NEVER, "none at all"),
        (Notify::SUCCESS, "of success"),
        (Notify::FAILURE, "of failure"),
        (Notify::DELAY, "of delay"),
    ];
    let asked: Vec<&str> = kinds.iter().filter(|(kind, _)| notify.contains(*kind)).map(|(_, name)| *name).collect();
    asked.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::BodyId;
    use crate::store::Recipient;
    use crate::wire::address::{Address, Domain, ReversePath};
    use crate::wire::smtp::{MailParameters, RcptParameters};

    #[test]
    fn everything_is_there_and_harmless() {
        let now = Timestamp(1_795_262_400_000);
        let address = Address { local: "bob".into(), domain: Domain::new("far.example") };
        let parameters = RcptParameters { notify: Notify(6), original: Some("rfc822;x\x1b@y".into()) };
        let mut recipient = QueueRecipient::from(Recipient { address, parameters });
        recipient.attempts = 1;
        recipient.last_attempt = Some(now);
        recipient.last_reply = "452 4.2.2 full".into();
        let entry = QueueEntry {
            id: QueueId(3),
            body: BodyId(1),
            bytes: 5,
            reverse_path: ReversePath::Null,
            parameters: MailParameters {
                envelope_id: Some("Q\x07".into()),
                require_tls: true,
                tls_optional: false,
                smtp_utf8: true,
                return_full: Some(false),
                body: Body::EightBitMime,
                hold: Some(Hold::Until(now)),
            },
            recipients: vec![recipient],
            queued: now,
            due: now,
            held: true,
            signatures: Vec::new(),
            delay_told: true,
            outbox: None,
            sent_copy: None,
        };
        let header = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe=1B[2J?=\r\nFrom: Bob <b@far.example>\r\n\r\n";
        let text = describe(&entry, header, now, 0) + &describe_recipient(&entry.recipients[0], now, 0);
        for wanted in [
            "from       nobody (a report)",
            "subject    Grüße\\u{1b}[2J",
            "author     Bob <b@far.example>",
            "date       (none)",
            "held: not before you release it",
            "REQUIRETLS",
            "SMTPUTF8",
            "8BITMIME",
            "RET=HDRS",
            "reports that say Q\\u{7}",
            "held until 2026-11-21T12:00:00+00:00",
            "tried    once, at 12:00",
            "meaning  The recipient's mailbox is full.",
            "first to rfc822;x\\u{1b}@y",
            "reports  of success, of failure",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
        }
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
}
