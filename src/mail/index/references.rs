//! Which message this is and which ones it answers (RFC 5322 section 3.6.4), as hashes.
//!
//! Receives the values of Message-ID, References and In-Reply-To, unfolded; hands on hashes. Takes what it can of any
//! value: software writes comments, phrases (`obs-in-reply-to`), commas, and forgets or breaks brackets. Time is linear in
//! the values; at most twice [`REFERENCES_MAX`] of the ids of one message are ever hashed.

use super::MessageIdHash;
use crate::limits::REFERENCES_MAX;
use crate::wire::mime::fact::{Fact, Facts};
use ring::digest::{Context, SHA256};
use std::collections::VecDeque;

/// The id of the message; of several the last, which is the one that ENVELOPE shows.
pub fn message_id(facts: &Facts) -> Option<MessageIdHash> {
    let value = facts.last(Fact::MessageId)?;
    // Some write an id without brackets and even without an `@`.
    let bare = || value.split(u8::is_ascii_whitespace).find(|word| !word.is_empty());
    ids(value).next().or_else(bare).map(hash)
}

/// The ids that References names, then those that In-Reply-To adds; each once and none of them `own`.
pub fn references(facts: &Facts, own: Option<MessageIdHash>) -> Vec<MessageIdHash> {
    let (mut first, mut last) = (Vec::new(), VecDeque::new());
    for id in facts.all(Fact::References).chain(facts.all(Fact::InReplyTo)).flat_map(ids) {
        if first.len() < REFERENCES_MAX {
            first.push(id);
            continue;
        }
        if last.len() == REFERENCES_MAX {
            last.pop_front();
        }
        last.push_back(id);
    }
    let mut hashes: Vec<MessageIdHash> = Vec::new();
    for hash in first.into_iter().chain(last).map(hash) {
        if Some(hash) != own && !hashes.contains(&hash) {
            hashes.push(hash);
        }
    }
    if let Some(excess @ 1..) = hashes.len().checked_sub(REFERENCES_MAX) {
        hashes.drain(REFERENCES_MAX / 2..REFERENCES_MAX / 2 + excess);
    }
    hashes
}

/// The ids that References names, or else the first that In-Reply-To names (RFC 5256 section 3). They may repeat, and name the
/// message itself: the algorithm says what comes of that.
pub fn ancestors(facts: &Facts) -> Vec<MessageIdHash> {
    let (mut first, mut last) = (Vec::new(), VecDeque::new());
    for id in facts.all(Fact::References).flat_map(ids) {
        if first.len() < REFERENCES_MAX / 2 {
            first.push(id);
            continue;
        }
        if last.len() == REFERENCES_MAX / 2 {
            last.pop_front();
        }
        last.push_back(id);
    }
    if first.is_empty() {
        first.extend(facts.all(Fact::InReplyTo).flat_map(ids).next());
    }
    first.into_iter().chain(last).map(hash).collect()
}

/// White space does not count: it only comes from folding where nothing may be folded.
fn hash(id: &[u8]) -> MessageIdHash {
    let mut context = Context::new(&SHA256);
    id.split(u8::is_ascii_whitespace).for_each(|piece| context.update(piece));
    let digest = context.finish();
    MessageIdHash(digest.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// The ids in a value.
fn ids(value: &[u8]) -> Ids<'_> {
    Ids { rest: value, bare: memchr::memchr(b'<', value).is_none(), passing: true }
}

struct Ids<'a> {
    rest: &'a [u8],
    /// No id of this value stands in brackets: words with an `@` are taken for ids.
    bare: bool,
    /// Comments and quoted strings are passed over. After one that is never closed their signs are taken as they are.
    passing: bool,
}

impl<'a> Iterator for Ids<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (first, after) = self.rest.split_first()?;
            let found = match first {
                b'<' => self.in_brackets(after),
                b'(' | b'"' if self.passing => {
                    self.pass(*first == b'(', after);
                    continue;
                }
                byte if is_gap(byte) => {
                    self.rest = after;
                    continue;
                }
                _ => {
                    let end = after.iter().position(|byte| is_gap(byte) || matches!(byte, b'<' | b'('));
                    let (word, rest) = self.rest.split_at(end.map_or(self.rest.len(), |end| end + 1));
                    self.rest = rest;
                    Some(word)
                        .filter(|_| self.bare)
                        .filter(|word| word.get(1..).is_some_and(|word| word.contains(&b'@')))
                }
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

impl<'a> Ids<'a> {
    /// `msg-id` behind its `<`; one that is not closed ends with its first word.
    fn in_brackets(&mut self, after: &'a [u8]) -> Option<&'a [u8]> {
        let end = after.iter().position(|byte| matches!(byte, b'<' | b'>')).unwrap_or(after.len());
        let (id, rest) = after.split_at(end);
        let id = id.trim_ascii();
        self.rest = rest.strip_prefix(b">").unwrap_or(rest);
        let id = match rest.first() {
            Some(b'>') => id,
            _ => id.split(is_gap).next().unwrap_or_default(),
        };
        Some(id).filter(|id| !id.is_empty())
    }

    /// Passes over a comment or a quoted string behind its first sign.
    fn pass(&mut self, comment: bool, after: &'a [u8]) {
        let (mut depth, mut escaped) = (1usize, false);
        let end = after.iter().position(|&byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' if !comment => depth -= 1,
                b'(' if comment => depth += 1,
                b')' if comment => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        self.passing = end.is_some();
        self.rest = end.map_or(Some(after), |end| after.get(end + 1..)).unwrap_or_default();
    }
}

/// What stands between ids.
fn is_gap(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b';')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::{BodyIndex, Indexer};

    fn index(message: &str) -> BodyIndex {
        let mut indexer = Indexer::new();
        message.as_bytes().chunks(7).for_each(|piece| indexer.push(piece));
        indexer.finish()
    }

    fn hashes(ids: &[&str]) -> Vec<MessageIdHash> {
        ids.iter().map(|id| hash(id.as_bytes())).collect()
    }

    fn listed(value: &str) -> Vec<&str> {
        ids(value.as_bytes()).map(|id| std::str::from_utf8(id).unwrap()).collect()
    }

    #[test]
    fn a_hash_is_the_first_64_bits_of_sha_256() {
        // FIPS 180-2 appendix B.1.
        assert_eq!(hash(b"abc"), MessageIdHash(0xba78_16bf_8f01_cfea));
        assert_eq!(hash(b" a\t b\r\nc "), hash(b"abc"));
    }

    #[test]
    fn ids_are_found_in_ugly_values() {
        for (value, wanted) in [
            ("<1@a> <2@a>\t<3@a>", &["1@a", "2@a", "3@a"][..]),
            ("<1@a><2@a>,<3@a>;", &["1@a", "2@a", "3@a"]),
            ("< 1@a >(<no@a> (<no@b>\\)) <no@c>) <2@a>", &["1@a", "2@a"]),
            ("Your message of \"Fri, 13 <no@a> \\\" 1995\" <1@a>", &["1@a"]),
            ("Joe@Example's message of yesterday. :-( <1@a>", &["1@a"]),
            ("that \" one <1@a>", &["1@a"]),
            ("<1@a <2@a> <3@a", &["1@a", "2@a", "3@a"]),
            ("<1@a and no more", &["1@a"]),
            ("1@a 2@a, 3@a(comment)", &["1@a", "2@a", "3@a"]),
            ("your message of yesterday", &[]),
            ("<> < > <<>> > @ @a", &[]),
            ("<no-at-sign>", &["no-at-sign"]),
            ("", &[]),
        ] {
            assert_eq!(listed(value), wanted, "{value}");
        }
    }

    #[test]
    fn a_message_knows_itself_and_what_it_answers() {
        let index = index(
            "MESSAGE-id:\r\n <4@a>\r\nReferences: <1@a>\r\n\t<2@a> <1@a>\r\n <lo\r\n ng@a> <4@a>\r\nIn-Reply-To: <2@a> <3@a>\r\n\r\n\
             References: <no@a>\r\n",
        );
        assert_eq!(index.message_id, Some(hash(b"4@a")));
        assert_eq!(index.references, hashes(&["1@a", "2@a", "long@a", "3@a"]));
    }

    #[test]
    fn message_ids_as_software_writes_them() {
        for (header, wanted) in [
            ("Message-ID: <1@a>", Some("1@a")),
            ("Message-ID: <1@a> (added by mx)", Some("1@a")),
            ("Message-ID: (made here) 1@a", Some("1@a")),
            ("Message-ID: 1234", Some("1234")),
            ("Message-ID: <1@a>\r\nMessage-Id: <2@a>", Some("2@a")),
            ("Message-ID:  ", None),
            ("Subject: <1@a>", None),
        ] {
            assert_eq!(
                index(&format!("{header}\r\n\r\n")).message_id,
                wanted.map(|id| hash(id.as_bytes())),
                "{header}"
            );
        }
    }

    #[test]
    fn the_message_counts_not_those_inside_it() {
        let index = index(
            "Message-ID: <1@a>\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <2@a>\r\nReferences: <3@a>\r\n\r\nx\r\n",
        );
        assert_eq!((index.message_id, index.references), (Some(hash(b"1@a")), Vec::new()));
    }

    #[test]
    fn of_many_the_first_and_the_last_stay() {
        let ids: Vec<String> = (0..100).map(|n| format!("{n}@a")).collect();
        let field = ids.iter().map(|id| format!(" <{id}>\r\n")).collect::<String>();
        let kept = index(&format!("References:{field}\r\n")).references;
        let wanted: Vec<&str> = ids[..16].iter().chain(&ids[84..]).map(String::as_str).collect();
        assert_eq!(kept, hashes(&wanted));
    }

    #[test]
    fn a_field_of_a_megabyte_stays_within_bounds() {
        for filler in ["<", "(", "\"", "<a>", "a@b ", "<a@b> ", "(<", "\\("] {
            let message = format!("References: {}\r\n\r\n", filler.repeat((1 << 20) / filler.len()));
            let mut indexer = Indexer::new();
            indexer.push(message.as_bytes());
            assert!(indexer.finish().references.len() <= REFERENCES_MAX);
        }
    }
}
