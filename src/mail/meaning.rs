//! What the last attempt at a message that waits means, in a plain sentence for its sender.
//!
//! Receives the line that the queue keeps of the attempt, as it was logged; hands on a sentence, whole, with a full stop. What a
//! message that is given up means is said in `bounce`.

use crate::wire::smtp::client::Status;

/// The sentence for a line: a reply with its codes (RFC 5321 section 4.2, RFC 3463), or what happened instead of one.
pub fn meaning(last_reply: &str) -> &'static str {
    let Some((code, status)) = read_codes(last_reply) else {
        return "No server gave an answer. Nothing is wrong with the message: it is tried again by itself.";
    };
    let lower = last_reply.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match (code, status.unwrap_or(Status(4, 0, 0))) {
        (500.., _) if matches!(code, 530 | 535 | 538) => {
            "The server wants a login or TLS that it was not given: look at [relay] in the configuration."
        }
        _ if says(&["greylist", "graylist", "grey list", "gray list", "grey-list", "gray-list"]) => {
            "The server lets nobody in at once whom it does not know (greylisting). This passes: a later attempt is taken."
        }
        (_, Status(_, 7, 25..=27)) => {
            "The server does not trust this network address. If that lasts, send through your provider's server (a \
             smarthost)."
        }
        (_, Status(_, 7, _)) if says(&["block", "blacklist", "reputation", "spamhaus", "rbl", "dnsbl", "policy"]) => {
            "The server's rules are against it for now, perhaps because of this network address. If that lasts, send \
             through your provider's server (a smarthost)."
        }
        (_, Status(_, 7, _)) => "The server's rules are against it for now. It is tried again by itself.",
        (_, Status(_, 1, 7 | 8)) => {
            "The server could not check the sender's address just now. It is tried again by itself."
        }
        (_, Status(_, 1, _)) => {
            "The server could not check the recipient's address just now. It is tried again by itself."
        }
        (_, Status(_, 2, 1)) => "The recipient's mailbox is closed for now.",
        (_, Status(_, 2, 2)) => "The recipient's mailbox is full. Tell them in another way.",
        (_, Status(_, 3, 4)) | (552, _) => "The message is too large for the server.",
        (_, Status(_, 3, 1)) | (452, _) => {
            "The server has no room now, or takes no more at once. It is tried again by itself."
        }
        (_, Status(_, 3, _)) | (421, _) => "The server is busy or at rest. It is tried again by itself.",
        (_, Status(_, 4, _)) => "The server has trouble with the network behind it. It is tried again by itself.",
        (500.., _) => "The server refused it.",
        (451, _) => {
            "The server has trouble of its own, or does not let in at once whom it does not know. It is tried again by itself."
        }
        _ => "The server has put it off without saying why. It is tried again by itself.",
    }
}

/// The codes at the beginning of a reply: 4xx or 5xx, and the enhanced one if it has one.
fn read_codes(reply: &str) -> Option<(u16, Option<Status>)> {
    let mut words = reply.split(' ');
    let code = words.next().filter(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()))?;
    let code = code.parse().ok().filter(|code| matches!(code, 400..=599))?;
    let mut parts = words.next().unwrap_or_default().splitn(3, '.').map(str::parse::<u16>);
    let status = match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(class @ 2..=5)), Some(Ok(subject)), Some(Ok(detail))) => {
            u8::try_from(class).ok().map(|class| Status(class, subject, detail))
        }
        _ => None,
    };
    Some((code, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_from_what_happened() {
        assert_eq!(read_codes("450 4.2.0 later"), Some((450, Some(Status(4, 2, 0)))));
        assert_eq!(read_codes("421"), Some((421, None)));
        assert_eq!(read_codes("451 no.t a code"), Some((451, None)));
        assert_eq!(read_codes("250 2.0.0 fine"), None);
        assert_eq!(read_codes("connection refused"), None);
    }

    #[test]
    fn each_kind_has_its_sentence() {
        for (reply, word) in [
            ("450 4.2.0 <a@b>: Recipient address rejected: Greylisted", "greylisting"),
            ("452 4.2.2 over quota", "full"),
            ("421 4.7.26 unauthenticated", "network address"),
            ("451 4.7.1 blocked, see http://x", "smarthost"),
            ("451 4.7.1 try later", "rules"),
            ("421 too busy", "busy"),
            ("452 4.3.1 no space", "room"),
            ("535 5.7.8 bad password", "[relay]"),
            ("451 4.3.0 oops", "busy"),
            ("450 4.1.8 sender", "sender's address"),
            ("450 wait", "without saying why"),
            ("connection to mx.far.example was lost: timed out", "No server gave"),
        ] {
            let sentence = meaning(reply);
            assert!(sentence.contains(word) && sentence.ends_with('.'), "{reply}: {sentence}");
        }
    }
}
