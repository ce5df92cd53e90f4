//! What a client may send in one write without having seen the answers.

use super::script::{Step, What};

/// The steps whose lines a client may send in one write, beginning with the one at `at`: its own lines up to one whose
/// answer it must have seen first, or up to a step that is not its own.
pub fn pipeline(steps: &[Step], at: usize) -> Vec<usize> {
    let What::Say { client: speaker, bytes } = &steps[at].what else { return Vec::new() };
    let mut group = vec![at];
    let mut must_wait = must_wait_after(bytes);
    for (index, step) in steps.iter().enumerate().skip(at + 1) {
        match &step.what {
            // A word remembered from an answer cannot be sent before it.
            What::Say { client, bytes }
                if client == speaker && !must_wait && !bytes.windows(2).any(|pair| pair == b"$(") =>
            {
                group.push(index);
                must_wait = must_wait_after(bytes);
            }
            // A continuation (SMTP 334 and 354, IMAP and POP3 `+`): what follows is meant for it alone.
            What::Expect { client, pattern } if client == speaker => {
                let continuation = pattern.starts_with('3') || pattern == "+" || pattern.starts_with("+ ");
                must_wait |= continuation;
            }
            _ => break,
        }
    }
    group
}

/// Commands that end a group: RFC 2920 section 3.1 for SMTP; those that change what comes after them; and
/// synchronizing literals.
fn must_wait_after(bytes: &[u8]) -> bool {
    let line = String::from_utf8_lossy(bytes).trim_end().to_uppercase();
    let mut words = line.split_whitespace();
    let first = ["EHLO", "HELO", "DATA", "VRFY", "EXPN", "QUIT", "NOOP", "AUTH", "STARTTLS", "STLS"];
    let second = ["IDLE", "AUTHENTICATE", "STARTTLS", "LOGOUT", "COMPRESS"];
    words.next().is_some_and(|word| first.contains(&word))
        || words.next().is_some_and(|word| second.contains(&word))
        || (line.ends_with('}') && !line.ends_with("+}"))
}
