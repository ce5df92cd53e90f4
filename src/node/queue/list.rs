//! `hauspost queue list`: one block per message, or one JSON object.
//!
//! Receives entries page by page; hands on text. Everything from the network is made harmless here.

use crate::limits::{
    ADDRESS_CHARACTERS_SHOWN, QUEUE_RECIPIENTS_LISTED, REPLY_CHARACTERS_SHOWN, SUBJECT_CHARACTERS_LISTED,
};
use crate::mail::meaning::meaning;
use crate::mail::message::QueueId;
use crate::node::control::Errand;
use crate::node::control::answer::Answer;
use crate::node::control::wording::{clock, count, full, json, plain, size, span, wrap};
use crate::node::failure::Failure;
use crate::node::owner::in_store;
use crate::serve::queue::{Listed, read_page, read_time};
use crate::store::{QueueEntry, QueueRecipient, Trouble};
use crate::wire::address::{Address, ReversePath};
use crate::wire::date::Timestamp;
use std::fmt::Write;

/// In front of what goes on from the line before.
const INDENT: &str = "             ";

/// Lists everything for a person.
pub async fn list(errand: &Errand, answer: &mut Answer) -> Result<(), Failure> {
    let now = read_time(&errand.context).await.map_err(|e| in_store(&e))?;
    let (mut all, mut held, mut bytes) = (0, 0, 0u64);
    let mut after = QueueId(0);
    loop {
        let page = read_page(&errand.context, after).await.map_err(|e| in_store(&e))?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for Listed { id, entry, subject } in &page {
            let text = match entry {
                Ok(entry) => {
                    all += 1;
                    held += usize::from(entry.held);
                    bytes = bytes.saturating_add(entry.bytes);
                    describe(entry, subject.as_deref(), now, errand.zone_minutes)
                }
                // Delivered while the page was read.
                Err(Trouble::NotFound) => continue,
                Err(_) => format!("{}  cannot be read: its entry is damaged; see hauspost check\n\n", id.0),
            };
            answer.say(&text).await?;
        }
    }
    let total = match (all, held) {
        (0, _) => "The queue is empty: nothing waits to be sent.\n".to_owned(),
        (all, 0) => format!("{} in the queue, {}.\n", count(all, "message", "messages"), size(bytes)),
        (all, held) => {
            format!("{} in the queue, {}; {held} held.\n", count(all, "message", "messages"), size(bytes))
        }
    };
    answer.say(&total).await
}

fn describe(entry: &QueueEntry, subject: Option<&str>, now: Timestamp, zone: i16) -> String {
    let mut text = String::new();
    let age = span(now.since(entry.queued));
    let _ = writeln!(text, "{}  from {}, {age} old, {}", entry.id.0, sender(entry), size(entry.bytes));
    if let Some(subject) = subject {
        wrap(&mut text, "    subject  ", INDENT, &plain(subject.trim(), SUBJECT_CHARACTERS_LISTED));
    }
    let mut to: Vec<String> =
        entry.recipients.iter().take(QUEUE_RECIPIENTS_LISTED).map(|recipient| shown(&recipient.address)).collect();
    if let Some(more @ 1..) = entry.recipients.len().checked_sub(QUEUE_RECIPIENTS_LISTED) {
        to.push(format!("and {more} more"));
    }
    wrap(&mut text, "    to       ", INDENT, &to.join(", "));
    let _ = writeln!(text, "    next     {}", next_attempt(entry, now, zone));
    if let Some(recipient) = spokesman(entry) {
        let reply = plain(&recipient.last_reply, REPLY_CHARACTERS_SHOWN);
        wrap(&mut text, "    last     ", INDENT, &reply);
        wrap(&mut text, INDENT, INDENT, meaning(&recipient.last_reply));
    }
    text.push('\n');
    text
}

/// Whoever wrote, harmless.
pub fn sender(entry: &QueueEntry) -> String {
    match &entry.reverse_path {
        ReversePath::Null => "nobody (a report)".to_owned(),
        ReversePath::Address(address) => shown(address),
    }
}

/// An address, harmless.
pub fn shown(address: &Address) -> String {
    plain(&address.to_string(), ADDRESS_CHARACTERS_SHOWN)
}

/// When it is tried next, and how often it was.
pub fn next_attempt(entry: &QueueEntry, now: Timestamp, zone: i16) -> String {
    let attempts = entry.recipients.iter().map(|recipient| recipient.attempts).max().unwrap_or(0);
    let so_far = match attempts {
        0 => "not tried yet".to_owned(),
        1 => "tried once".to_owned(),
        times => format!("tried {times} times"),
    };
    if entry.held {
        return format!("held: not before you release it; {so_far}");
    }
    let wait = entry.due.since(now);
    if wait.is_zero() {
        return format!("now; {so_far}");
    }
    let asked = if attempts == 0 && entry.parameters.hold.is_some() { ", as its sender asked" } else { "" };
    format!("in {} ({}){asked}; {so_far}", span(wait), clock(entry.due, now, zone))
}

/// The recipient whose last attempt is the latest.
fn spokesman(entry: &QueueEntry) -> Option<&QueueRecipient> {
    let tried = entry.recipients.iter().filter(|recipient| !recipient.last_reply.is_empty());
    tried.max_by_key(|recipient| recipient.last_attempt)
}

/// Lists everything for programs: an array, one message on each line.
pub async fn list_json(errand: &Errand, answer: &mut Answer) -> Result<(), Failure> {
    answer.say("[").await?;
    let mut after = QueueId(0);
    let mut separator = "\n";
    loop {
        let page = read_page(&errand.context, after).await.map_err(|e| in_store(&e))?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for Listed { id, entry, subject } in &page {
            let object = match entry {
                Ok(entry) => encode_entry(entry, subject.as_deref()),
                Err(Trouble::NotFound) => continue,
                Err(_) => format!("{{\"id\":{},\"damaged\":true}}", id.0),
            };
            answer.say(&format!("{separator}{object}")).await?;
            separator = ",\n";
        }
    }
    answer.say("\n]\n").await
}

/// An entry as a JSON object. Times are RFC 3339 in UTC.
fn encode_entry(entry: &QueueEntry, subject: Option<&str>) -> String {
    let from = match &entry.reverse_path {
        ReversePath::Null => "null".to_owned(),
        ReversePath::Address(address) => json(&address.to_string()),
    };
    let recipients: Vec<String> = entry
        .recipients
        .iter()
        .map(|recipient| {
            let last_attempt = recipient.last_attempt.map_or("null".to_owned(), |at| json(&full(at, 0)));
            let (reply, meant) = match recipient.last_reply.as_str() {
                "" => ("null".to_owned(), "null".to_owned()),
                reply => (json(reply), json(meaning(reply))),
            };
            format!(
                "{{\"address\":{},\"attempts\":{},\"last_attempt\":{last_attempt},\"last_reply\":{reply},\
                 \"meaning\":{meant}}}",
                json(&recipient.address.to_string()),
                recipient.attempts
            )
        })
        .collect();
    format!(
        "{{\"id\":{},\"from\":{from},\"subject\":{},\"bytes\":{},\"queued\":{},\"due\":{},\"held\":{},\"recipients\":[{}]}}",
        entry.id.0,
        subject.map_or("null".to_owned(), json),
        entry.bytes,
        json(&full(entry.queued, 0)),
        json(&full(entry.due, 0)),
        entry.held,
        recipients.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::BodyId;
    use crate::wire::address::Domain;
    use crate::wire::smtp::{MailParameters, Recipient};

    const NOW: Timestamp = Timestamp(1_795_262_400_000);

    /// An entry whose names want to take over the terminal.
    fn entry() -> QueueEntry {
        let address = |local: &str| Address { local: local.into(), domain: Domain::new("far.example") };
        let mut recipient = QueueRecipient::from(Recipient::from(address("b\x1b[2Job")));
        recipient.attempts = 2;
        recipient.last_attempt = Some(NOW);
        recipient.last_reply = "450 4.2.0 greylisted \x1b]0;x\x07".into();
        QueueEntry {
            id: QueueId(12),
            body: BodyId(1),
            bytes: 12_345,
            reverse_path: ReversePath::Address(address("me\u{202e}")),
            parameters: MailParameters::default(),
            recipients: vec![recipient],
            queued: Timestamp(NOW.0 - 3 * 3_600_000),
            due: Timestamp(NOW.0 + 12 * 60_000 + 500),
            held: false,
            signatures: Vec::new(),
            delay_told: false,
            outbox: None,
            sent_copy: None,
        }
    }

    #[test]
    fn a_message_is_a_block() {
        let text = describe(&entry(), Some("Hello \x1b[1m"), NOW, 60);
        let wanted = "12  from me\\u{202e}@far.example, 3 h old, 12 KB\n    subject  Hello \\u{1b}[1m\n    to       \"b\\u{1b}[2Job\"@far.example\n    \
                      next     in 12 min (13:12); tried 2 times\n    last     450 4.2.0 greylisted \\u{1b}]0;x\\u{7}\n             \
                      The server lets nobody in";
        assert!(text.starts_with(wanted), "{text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }

    #[test]
    fn what_comes_next_is_said() {
        let mut one = entry();
        one.recipients[0].attempts = 0;
        one.due = NOW;
        assert_eq!(next_attempt(&one, NOW, 0), "now; not tried yet");
        one.held = true;
        assert_eq!(next_attempt(&one, NOW, 0), "held: not before you release it; not tried yet");
    }

    #[test]
    fn an_object_has_no_control_character() {
        let object = encode_entry(&entry(), Some("Hello \x1b[1m"));
        assert!(!object.contains(char::is_control) && object.contains("\\u001b") && object.contains("\\u202e"));
        assert!(object.contains("\"queued\":\"2026-11-21T09:00:00+00:00\"") && object.contains("\"attempts\":2"));
    }
}
