//! What Outbox says of a message that waits: header fields above those of the message itself.
//!
//! Receives what is known of a queue entry; hands on finished header fields. The entry's own wording is decided by
//! [`encode_head`] alone, so that the same entry always reads the same. What must always hold: whatever other servers have
//! answered, what comes out is whole header fields in ASCII, at most [`OUTBOX_HEAD_BYTES_MAX`] bytes and some lines.

use crate::limits::{OUTBOX_HEAD_BYTES_MAX, OUTBOX_LINE_BYTES};
use crate::wire::address::Address;
use crate::wire::date::{DateTime, Timestamp, encode_date_time};
use std::fmt::Write;

/// What is known of a queue entry.
pub struct Waiting<'a> {
    /// When it was accepted.
    pub queued: Timestamp,
    /// When it is tried next, or would be if it were not held.
    pub due: Timestamp,
    /// It is held back.
    pub held: bool,
    /// Those still waiting, each with the attempts so far and what came of the last.
    pub recipients: Vec<(&'a Address, u32, &'a str)>,
}

impl Waiting<'_> {
    /// An attempt has failed for now.
    pub fn is_in_trouble(&self) -> bool {
        self.recipients.iter().any(|(_, attempts, _)| *attempts > 0)
    }

    /// Waits for nothing but its first attempt, as soon as it was accepted.
    fn is_silent(&self) -> bool {
        !self.held && !self.is_in_trouble() && self.due <= self.queued
    }
}

/// The header fields, each with its line end; nothing when there is nothing to say.
pub fn encode_head(waiting: &Waiting<'_>) -> Vec<u8> {
    let mut out = String::new();
    if waiting.is_silent() {
        return Vec::new();
    }
    let at = encode_date_time(DateTime { seconds: waiting.due.seconds(), zone_minutes: 0 });
    let attempts = waiting.recipients.iter().map(|(_, attempts, _)| *attempts).max().unwrap_or(0);
    let status = match (waiting.held, attempts) {
        (true, _) => "held; is not sent until it is released".to_owned(),
        (false, 0) => format!("waiting; is sent {at}"),
        (false, _) => format!("waiting; next attempt {at}"),
    };
    write_field(&mut out, "Hauspost-Status", &status);
    if attempts > 0 {
        write_field(&mut out, "Hauspost-Attempts", &attempts.to_string());
    }
    let troubled = waiting.recipients.iter().filter(|(_, attempts, _)| *attempts > 0);
    for (listed, (address, _, reply)) in troubled.clone().enumerate() {
        let mut field = String::new();
        write_field(&mut field, "Hauspost-Reason", &format!("<{address}>: {reply}"));
        if out.len() + field.len() > OUTBOX_HEAD_BYTES_MAX {
            let more = troubled.count() - listed;
            write_field(&mut out, "Hauspost-Reason", &format!("and {more} more recipients"));
            break;
        }
        out.push_str(&field);
    }
    out.into_bytes()
}

/// An unstructured field (RFC 5322 section 2.2.1), folded between its words. Words that are not plain ASCII are encoded
/// (RFC 2047 section 5).
fn write_field(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, "{name}:");
    let mut column = name.len() + 1;
    let mut was_encoded = false;
    for word in value.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let plain = word.bytes().all(|byte| byte.is_ascii_graphic()) && !word.contains("=?");
        let pieces = if plain { vec![word.to_owned()] } else { encoded_words(word, was_encoded) };
        was_encoded = !plain;
        for piece in pieces {
            if column + 1 + piece.len() > OUTBOX_LINE_BYTES {
                out.push_str("\r\n");
                column = 0;
            }
            let _ = write!(out, " {piece}");
            column += 1 + piece.len();
        }
    }
    out.push_str("\r\n");
}

/// A word as encoded words of at most 75 characters (RFC 2047 section 2). White space between two of them is not shown, so a
/// word behind another begins with its own.
fn encoded_words(word: &str, begins_with_space: bool) -> Vec<String> {
    const TEXT_BYTES_MAX: usize = 75 - "=?utf-8?Q??=".len();
    let mut words = Vec::new();
    let mut text = String::from(if begins_with_space { "_" } else { "" });
    for c in word.chars() {
        let mut coded = String::new();
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            let _ = match byte.is_ascii_alphanumeric() {
                true => write!(coded, "{}", char::from(byte)),
                false => write!(coded, "={byte:02X}"),
            };
        }
        if text.len() + coded.len() > TEXT_BYTES_MAX {
            words.push(format!("=?utf-8?Q?{text}?="));
            text.clear();
        }
        text.push_str(&coded);
    }
    words.push(format!("=?utf-8?Q?{text}?="));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::address::Domain;
    use crate::wire::header::encoded_word::decode_text;
    use proptest::prelude::*;

    fn address(local: &str) -> Address {
        Address { local: local.into(), domain: Domain::new("far.example") }
    }

    fn head(due: i64, held: bool, recipients: Vec<(&Address, u32, &str)>) -> String {
        let waiting = Waiting { queued: Timestamp(1_000), due: Timestamp(due), held, recipients };
        String::from_utf8(encode_head(&waiting)).unwrap()
    }

    #[test]
    fn what_waits_says_for_what() {
        let bob = address("bob");
        assert_eq!(head(1_000, false, vec![(&bob, 0, "")]), "");
        let sent = "Hauspost-Status: waiting; is sent Thu, 1 Jan 1970 00:00:11 +0000\r\n";
        assert_eq!(head(11_000, false, vec![(&bob, 0, "")]), sent);
        assert_eq!(
            head(300_000, false, vec![(&bob, 1, "mx.far.example said 451 4.7.1 later"), (&address("eve"), 0, "")]),
            "Hauspost-Status: waiting; next attempt Thu, 1 Jan 1970 00:05:00 +0000\r\n\
             Hauspost-Attempts: 1\r\n\
             Hauspost-Reason: <bob@far.example>: mx.far.example said 451 4.7.1 later\r\n"
        );
        let held = head(1_000, true, vec![(&bob, 0, "")]);
        assert_eq!(held, "Hauspost-Status: held; is not sent until it is released\r\n");
    }

    #[test]
    fn what_others_say_cannot_break_a_header() {
        let told =
            head(0, false, vec![(&address("b"), 2, "a\r\nX: y\r\n\r\n\0\u{85}später =?utf-8?Q?x?= schön schön")]);
        assert!(told.is_ascii() && !told.contains("\r\nX") && !told.contains("\r\n\r\n"), "{told}");
        let unfolded = told.replace("\r\n ", " ");
        let reason = unfolded.lines().nth(2).unwrap();
        assert_eq!(
            decode_text(reason.as_bytes()),
            "Hauspost-Reason: <b@far.example>: a X: y später =?utf-8?Q?x?= schön schön"
        );
    }

    #[test]
    fn many_recipients_are_counted() {
        let reply = "x ".repeat(250);
        let all: Vec<Address> = (0..100).map(|number| address(&format!("b{number}"))).collect();
        let told = head(0, false, all.iter().map(|one| (one, 1, &reply[..])).collect());
        assert!(told.len() < OUTBOX_HEAD_BYTES_MAX + 100, "{}", told.len());
        let listed = told.matches("<b").count();
        assert!(told.ends_with(&format!("Hauspost-Reason: and {} more recipients\r\n", 100 - listed)) && listed > 5);
    }

    proptest! {
        #[test]
        fn any_answer_is_whole_fields(local: String, reply: String) {
            let told = head(0, false, vec![(&address(&local), 1, &reply)]);
            prop_assert!(told.is_ascii() && told.ends_with("\r\n"));
            for line in told.strip_suffix("\r\n").unwrap().split("\r\n") {
                prop_assert!(line.starts_with("Hauspost-") || line.starts_with(' '), "{}", line);
                prop_assert!(!line.trim().is_empty() && !line.contains(|c: char| c.is_control()));
            }
        }
    }
}
