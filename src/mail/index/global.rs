//! `message/global` in a finished BODY or BODYSTRUCTURE, for clients of both versions of IMAP.
//!
//! Receives a structure as it is kept; hands it on as a session may see it. IMAP4rev2 tells of `message/global` what it tells of
//! `message/rfc822`, and knows no other form of it (RFC 9051 section 9, `body-type-basic`); to IMAP4rev1 it is a part like any
//! other, and an ENVELOPE would stand where it looks for an MD5 (RFC 3501 section 9). Where it is kept without its inside, because
//! it is encoded or arrived before that was looked at, it is to IMAP4rev2 what unknown types are (RFC 2046 section 5.2.4).
//! Numbers of parts mean the same to both: outside of it nothing is numbered otherwise.

use crate::limits::MIME_DEPTH_MAX;
use std::borrow::Cow;

/// A structure as it is told; `nests_global`: with what is inside `message/global`. One that is no structure stays as it is.
pub fn shown(structure: &[u8], nests_global: bool) -> Cow<'_, [u8]> {
    // Hardly any message has one, and most have few of this letter.
    let is_named = |at: usize| structure.get(at..at + 6).is_some_and(|name| name.eq_ignore_ascii_case(b"global"));
    if !memchr::memchr2_iter(b'g', b'G', structure).any(is_named) {
        return Cow::Borrowed(structure);
    }
    let mut walk = Walk { rest: structure, nests_global, out: Vec::with_capacity(structure.len()) };
    match walk.body(MIME_DEPTH_MAX) {
        Some(()) if walk.rest.is_empty() => Cow::Owned(walk.out),
        _ => Cow::Borrowed(structure),
    }
}

/// Through a structure from its beginning to its end. `None` from its functions: it is none.
struct Walk<'a> {
    rest: &'a [u8],
    nests_global: bool,
    out: Vec<u8>,
}

impl<'a> Walk<'a> {
    /// `body`, not deeper than so many.
    fn body(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.byte(b'(')?;
        if self.rest.starts_with(b"(") {
            while self.rest.starts_with(b"(") {
                self.body(depth)?;
            }
        } else {
            self.single(depth)?;
        }
        while !self.rest.starts_with(b")") {
            self.copy_value()?;
        }
        self.byte(b')')
    }

    /// `body-type-1part` up to its extension data.
    fn single(&mut self, depth: usize) -> Option<()> {
        let (main, sub) = (self.value()?, self.value()?);
        let is_message = main.eq_ignore_ascii_case(b"\"message\"");
        let is_global = is_message && sub.eq_ignore_ascii_case(b" \"global\"");
        let from = self.out.len();
        self.out.extend_from_slice(main);
        self.out.extend_from_slice(sub);
        for _ in ["parameters", "id", "description", "encoding", "octets"] {
            self.copy_value()?;
        }
        // Else the MD5 comes next, which is no list, or nothing.
        if is_message && self.rest.starts_with(b" (") {
            let before = self.out.len();
            self.copy_value()?;
            self.byte(b' ')?;
            self.body(depth)?;
            self.copy_value()?;
            if is_global && !self.nests_global {
                self.out.truncate(before);
            }
        } else if is_global && self.nests_global {
            self.out.splice(from..from + main.len() + sub.len(), *b"\"application\" \"octet-stream\"");
        }
        Some(())
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        self.out.push(byte);
        Some(())
    }

    fn copy_value(&mut self) -> Option<()> {
        let value = self.value()?;
        self.out.extend_from_slice(value);
        Some(())
    }

    /// A list, a string, a number or NIL, with the space before it.
    fn value(&mut self) -> Option<&'a [u8]> {
        let (mut end, mut depth) = (usize::from(self.rest.starts_with(b" ")), 0usize);
        loop {
            let rest = self.rest.get(end..)?;
            let bytes = match rest.first()? {
                b'(' => {
                    depth += 1;
                    1
                }
                b')' => {
                    depth = depth.checked_sub(1)?;
                    1
                }
                b'"' => quoted_bytes(rest)?,
                b'{' => literal_bytes(rest)?,
                b' ' if depth > 0 => 1,
                _ => rest.iter().position(|byte| b" ()\"{".contains(byte)).filter(|bytes| *bytes > 0)?,
            };
            end = end.checked_add(bytes)?;
            if depth == 0 {
                let (value, rest) = self.rest.split_at_checked(end)?;
                self.rest = rest;
                return Some(value);
            }
        }
    }
}

/// How long the quoted string is that begins here.
fn quoted_bytes(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The same of a literal.
fn literal_bytes(text: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'}', text)?;
    let bytes: usize = std::str::from_utf8(text.get(1..end)?).ok()?.parse().ok()?;
    end.checked_add(3)?.checked_add(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::{BodyIndex, Indexer, PartKind};
    use proptest::prelude::*;

    fn index(message: &[u8]) -> BodyIndex {
        let mut indexer = Indexer::new();
        indexer.push(message);
        indexer.finish()
    }

    fn both(structure: &[u8]) -> [String; 2] {
        [false, true].map(|nests| String::from_utf8(shown(structure, nests).into_owned()).unwrap())
    }

    const ENVELOPE: &str = "(NIL {7}\r\ngr\u{fc}\u{df}e NIL NIL NIL NIL NIL NIL NIL NIL)";

    #[test]
    fn each_version_sees_what_it_knows() {
        let message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\
            Content-Type: Message/Global; message=\"global\"; a=\"(\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
            Subject: gr\u{fc}\u{df}e\r\nContent-Type: message/global\r\n\r\nSubject: gr\u{fc}\u{df}e\r\n\r\nx\r\n--a\r\n\
            Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n--a--\r\n";
        let BodyIndex { body, body_structure, parts, .. } = index(message.as_bytes());
        let kinds: Vec<PartKind> = parts.iter().map(|part| part.kind).collect();
        use PartKind::*;
        assert_eq!(kinds, [Multipart, GlobalMessage, GlobalMessage, Text, OtherMessage]);
        let parameters = "(\"message\" \"global\" \"a\" \"(\")";
        let text = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0)";
        let inner = format!("(\"message\" \"global\" NIL NIL NIL \"7bit\" 21 {ENVELOPE} {text} 2)");
        let outer = format!("\"message\" \"global\" {parameters} NIL NIL \"8bit\" 71");
        let [rev1, rev2] = both(&body);
        assert_eq!(rev1, format!("(({outer})(\"message\" \"global\" NIL NIL NIL \"base64\" 16) \"mixed\")"));
        assert_eq!(
            rev2,
            format!(
                "(({outer} {ENVELOPE} {inner} 5)(\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 16) \"mixed\")"
            )
        );
        let [rev1, rev2] = both(&body_structure);
        let extension = "NIL NIL NIL NIL";
        assert_eq!(
            rev1,
            format!(
                "(({outer} {extension})(\"message\" \"global\" NIL NIL NIL \"base64\" 16 {extension}) \"mixed\" \
                 (\"boundary\" \"a\") NIL NIL NIL)"
            )
        );
        assert!(rev2.contains(&format!("\"octet-stream\" NIL NIL NIL \"base64\" 16 {extension})")), "{rev2}");
        assert!(rev2.contains(&format!(" 2 {extension}) 5 {extension})(\"application\"")), "{rev2}");
    }

    #[test]
    fn what_only_looks_like_one_stays() {
        let message = "Content-Type: message/rfc822; message=\"global\"; a=b\r\n\r\nContent-Language: message, global, de\r\n\
            Content-Type: text/plain; x=\"(\\\"message\\\" \\\"global\\\" \"\r\nSubject: \u{fc}(\"message\" \"global\" NIL\r\n\r\n";
        let BodyIndex { body, body_structure, .. } = index(message.as_bytes());
        for structure in [body, body_structure] {
            let kept = String::from_utf8(structure.clone()).unwrap();
            assert!(kept.contains("(\"message\" \"global\" "), "{kept}");
            assert_eq!(both(&structure), [kept.clone(), kept]);
        }
        for broken in [
            "(\"message\" \"global\" ",
            "(\"message\" \"global\" NIL NIL NIL NIL 1 () {9}\r\n)",
            "x(\"message\" \"global\" )",
        ] {
            assert_eq!(both(broken.as_bytes()), [broken, broken]);
        }
        let deep =
            ["(".repeat(9 * MIME_DEPTH_MAX), "(\"message\" \"global\" NIL NIL NIL \"7bit\" 1)".to_owned()].concat();
        assert_eq!(both(deep.as_bytes())[0], deep);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(pieces in proptest::collection::vec("\\(\"message\" \"global\" |\\(|\\)| |NIL|\"[a\\\\]?\"|\\{[0-9]{1,20}\\}\r\n|x", 0..20)) {
            both(pieces.concat().as_bytes());
        }
    }
}
