//! Mailbox names: modified UTF-7 outside (RFC 3501 section 5.1.3) until a client enables UTF-8, UTF-8 inside; and the
//! wildcards of LIST.
//!
//! Not here: which names exist. Always: decoding is strict, and encoding after decoding gives the same bytes; what can be
//! written in several ways in Unicode is one name (RFC 9051 section 5.1).

use crate::limits::{IMAP_MAILBOX_LEVELS_MAX, IMAP_MAILBOX_NAME_BYTES_MAX};
use icu_normalizer::ComposingNormalizerBorrowed;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// What parts the levels of a name.
pub const DELIMITER: char = '/';

/// A mailbox name as the rest of the program knows it: UTF-8 in Normalization Form C, levels parted by `/`, `INBOX` in
/// capitals. Not empty, no control characters, at most [`IMAP_MAILBOX_NAME_BYTES_MAX`] bytes. Names that differ only in how
/// they were given are equal.
#[derive(Clone, Debug)]
pub struct MailboxName {
    name: String,
    /// As the client wrote it, when that is another spelling.
    given: Option<Box<str>>,
}

impl PartialEq for MailboxName {
    fn eq(&self, other: &MailboxName) -> bool {
        self.name == other.name
    }
}

impl Eq for MailboxName {}

impl Hash for MailboxName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Text in Normalization Form C, as Net-Unicode wants it (RFC 5198 section 2).
pub fn normalized(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// Why a name was refused: a sentence for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName(pub &'static str);

impl MailboxName {
    /// Checks a UTF-8 name, normalizes it and writes INBOX, also as first level, in capitals.
    pub fn new(given: &str) -> Result<MailboxName, BadName> {
        if given.is_empty() {
            return Err(BadName("Mailbox name is empty"));
        }
        if given.len() > IMAP_MAILBOX_NAME_BYTES_MAX {
            return Err(BadName("Mailbox name is too long"));
        }
        // RFC 6855 section 3: nor what separates lines and paragraphs.
        if given.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(BadName("Mailbox name has control characters"));
        }
        let mut name = normalized(given).into_owned();
        if name.len() > IMAP_MAILBOX_NAME_BYTES_MAX {
            return Err(BadName("Mailbox name is too long"));
        }
        let first = name.split(DELIMITER).next().unwrap_or_default();
        if first.eq_ignore_ascii_case("INBOX") {
            name.replace_range(..first.len(), "INBOX");
        }
        let given = (name != given).then(|| given.into());
        Ok(MailboxName { name, given })
    }

    /// Reads a name from the wire.
    pub fn decode(wire: &[u8]) -> Result<MailboxName, BadName> {
        MailboxName::new(&decode_utf7(wire)?)
    }

    /// The name as UTF-8 text.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// How the client wrote it: for OLDNAME (RFC 9051 section 6.3.9.7).
    pub fn as_given(&self) -> &str {
        self.given.as_deref().unwrap_or(&self.name)
    }

    /// The name as CREATE and RENAME may make it: without a delimiter at its end, which only announces children (RFC 3501
    /// section 6.3.3), without empty levels, not too deep, and without wildcards, which LIST could not tell from its own.
    pub fn to_create(self) -> Result<MailboxName, BadName> {
        let name = self.name.strip_suffix(DELIMITER).unwrap_or(&self.name);
        if name.split(DELIMITER).any(str::is_empty) {
            return Err(BadName("Mailbox name has an empty level"));
        }
        if name.split(DELIMITER).count() > IMAP_MAILBOX_LEVELS_MAX {
            return Err(BadName("Mailbox name has too many levels"));
        }
        if name.contains(['*', '%']) {
            return Err(BadName("Mailbox name has a wildcard"));
        }
        let given = self.given.map(|given| given.strip_suffix(DELIMITER).unwrap_or(&given).into());
        Ok(MailboxName { name: name.to_owned(), given })
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Modified UTF-7 to UTF-8. Strict: printable US-ASCII stands for itself and is never inside `&...-`, shifts do not
/// follow each other, padding bits are zero, surrogates come in pairs.
pub fn decode_utf7(wire: &[u8]) -> Result<String, BadName> {
    const BAD: BadName = BadName("Mailbox name is not valid modified UTF-7");
    let mut name = String::with_capacity(wire.len());
    let mut rest = wire;
    let mut after_shift = false;
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            b'&' => {
                let length = tail.iter().position(|b| *b == b'-').ok_or(BAD)?;
                let (encoded, tail) = tail.split_at(length);
                // "&-&-" is two ampersands; two shifts in a row could be one (RFC 3501: no superfluous shifts).
                if encoded.is_empty() {
                    name.push('&');
                } else if after_shift {
                    return Err(BAD);
                } else {
                    decode_shifted(encoded, &mut name).ok_or(BAD)?;
                }
                after_shift = !encoded.is_empty();
                rest = tail.get(1..).unwrap_or_default();
            }
            b' '..=b'~' => {
                name.push(char::from(byte));
                after_shift = false;
                rest = tail;
            }
            _ => return Err(BAD),
        }
    }
    Ok(name)
}

/// What a name or pattern of 7 bits stands for that has an `&` and is modified UTF-7; `None`: it stands for itself.
pub fn read_as_utf7(text: &str) -> Option<String> {
    decode_utf7(text.as_bytes()).ok().filter(|_| text.contains('&'))
}

/// Decodes what stands between `&` and `-`: UTF-16 in big-endian order, in modified base64 without padding.
fn decode_shifted(encoded: &[u8], name: &mut String) -> Option<()> {
    let mut bits = 0u32;
    let mut held = 0u32;
    let mut high: Option<u16> = None;
    for byte in encoded {
        let value = BASE64.iter().position(|b| b == byte)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        held += 6;
        if held < 16 {
            continue;
        }
        held -= 16;
        let unit = u16::try_from((bits >> held) & 0xffff).ok()?;
        bits &= (1 << held) - 1;
        match (high.take(), unit) {
            (None, 0xd800..=0xdbff) => high = Some(unit),
            (None, _) => {
                let c = char::from_u32(u32::from(unit))?;
                if (' '..='~').contains(&c) {
                    return None;
                }
                name.push(c);
            }
            (Some(first), _) => name.push(char::decode_utf16([first, unit]).next()?.ok()?),
        }
    }
    (high.is_none() && held < 6 && bits == 0).then_some(())
}

/// UTF-8 to modified UTF-7, appended.
pub fn encode_utf7(name: &str, out: &mut Vec<u8>) {
    let mut bits = 0u32;
    let mut held = 0u32;
    let mut shifted = false;
    let digit = |value: u32| BASE64.get((value & 63) as usize).copied().unwrap_or(b'A');
    for c in name.chars() {
        if !(' '..='~').contains(&c) {
            if !shifted {
                out.push(b'&');
                (shifted, bits, held) = (true, 0, 0);
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                bits = (bits << 16) | u32::from(*unit);
                held += 16;
                while held >= 6 {
                    held -= 6;
                    out.push(digit(bits >> held));
                }
                bits &= (1 << held) - 1;
            }
            continue;
        }
        if shifted {
            end_shift(bits, held, out);
            shifted = false;
        }
        match c {
            '&' => out.extend_from_slice(b"&-"),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if shifted {
        end_shift(bits, held, out);
    }
}

fn end_shift(bits: u32, held: u32, out: &mut Vec<u8>) {
    if held > 0 {
        out.push(BASE64.get(((bits << (6 - held)) & 63) as usize).copied().unwrap_or(b'A'));
    }
    out.push(b'-');
}

/// What comes behind the delimiter when a name lies below another, at whatever depth.
pub fn below<'n>(name: &'n str, above: &str) -> Option<&'n str> {
    name.strip_prefix(above)?.strip_prefix(DELIMITER)
}

/// Whether a name is this one or lies below it.
pub fn is_in_subtree(name: &str, top: &str) -> bool {
    name == top || below(name, top).is_some()
}

/// Whether `name` matches a LIST pattern: `*` stands for any characters, `%` for any without the delimiter (RFC 3501
/// section 6.3.8). INBOX as first level matches without regard to case.
///
/// Follows all places in the pattern at once: never more steps than the pattern's length times the name's.
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    let fold_until = if name == "INBOX" || name.starts_with("INBOX/") { "INBOX".len() } else { 0 };
    let pattern = pattern.as_bytes();
    // `places[p]`: what was read of the name can be matched by the first p bytes of the pattern.
    let mut places = vec![false; pattern.len() + 1];
    if let Some(start) = places.first_mut() {
        *start = true;
    }
    pass_wildcards(pattern, &mut places);
    for (at, byte) in name.bytes().enumerate() {
        let mut carried = false;
        for (place, wanted) in places.iter_mut().zip(pattern.iter().map(Some).chain([None])) {
            let was = *place;
            let (stays, steps) = match wanted {
                Some(b'*') => (was, false),
                Some(b'%') => (was && byte != b'/', false),
                Some(wanted) => {
                    (false, was && (*wanted == byte || (at < fold_until && wanted.eq_ignore_ascii_case(&byte))))
                }
                None => (false, false),
            };
            *place = stays || carried;
            carried = steps;
        }
        pass_wildcards(pattern, &mut places);
    }
    places.last().copied().unwrap_or(false)
}

/// A wildcard may stand for nothing: where it can begin, it can also have ended.
fn pass_wildcards(pattern: &[u8], places: &mut [bool]) {
    let mut reached = false;
    for (place, byte) in places.iter_mut().zip(pattern.iter().map(Some).chain([None])) {
        *place |= reached;
        reached = *place && matches!(byte, Some(b'*' | b'%'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(name: &str) -> String {
        let mut out = Vec::new();
        encode_utf7(name, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_of_7_bits_are_modified_utf_7_only_where_they_can_be() {
        assert_eq!(read_as_utf7("Entw&APw-rfe").as_deref(), Some("Entwürfe"));
        assert_eq!(read_as_utf7("R&-D").as_deref(), Some("R&D"));
        assert_eq!(["R&D", "Sent", "Entwürfe", "a&-ü", "&", "&AGE-"].map(read_as_utf7), [const { None }; 6]);
    }

    #[test]
    fn examples_of_the_rfc_and_of_clients() {
        for (name, wire) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("iflow-ü&ß", "iflow-&APw-&-&AN8-"),
            ("&", "&-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("😀", "&2D3eAA-"),
        ] {
            assert_eq!(encoded(name), wire);
            assert_eq!(decode_utf7(wire.as_bytes()).as_deref(), Ok(name));
        }
        assert_eq!(decode_utf7(b"&Jjo-!").as_deref(), Ok("\u{263a}!"));
    }

    #[test]
    fn other_spellings_of_a_name_are_refused() {
        // An unended shift, ASCII in base64, superfluous shifts, padding bits set, a lone surrogate, raw 8-bit, control.
        for wire in ["&Jjo", "&AGE-", "&U,BTFw-&ZeVnLIqe-", "&APx-", "&2D0-", "&3gA-", "ü", "a\tb", "&A-", "&AP=-"] {
            assert!(decode_utf7(wire.as_bytes()).is_err(), "{wire}");
        }
    }

    #[test]
    fn inbox_has_one_spelling() {
        assert_eq!(MailboxName::new("inBox").unwrap().as_str(), "INBOX");
        assert_eq!(MailboxName::new("inbox/Sub").unwrap().as_str(), "INBOX/Sub");
        assert_eq!(MailboxName::new("Inboxes").unwrap().as_str(), "Inboxes");
        assert_eq!(MailboxName::new("inbox/Sub").unwrap().as_given(), "inbox/Sub");
        assert_eq!(MailboxName::new("INBOX/Sub").unwrap().as_given(), "INBOX/Sub");
        assert!(MailboxName::new("").is_err());
        assert!(MailboxName::new("a\u{2028}b").is_err());
        assert!(MailboxName::new("a\0b").is_err());
        assert!(MailboxName::new(&"x".repeat(IMAP_MAILBOX_NAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_name_has_one_form_in_unicode() {
        let name = MailboxName::new("Entwu\u{308}rfe/").unwrap();
        assert_eq!((name.as_str(), name.as_given()), ("Entwürfe/", "Entwu\u{308}rfe/"));
        assert_eq!(name, MailboxName::new("Entwürfe/").unwrap());
        let made = name.to_create().unwrap();
        assert_eq!((made.as_str(), made.as_given()), ("Entwürfe", "Entwu\u{308}rfe"));
    }

    #[test]
    fn names_below_others() {
        assert_eq!(below("a/b/c", "a"), Some("b/c"));
        assert_eq!((below("a", "a"), below("ab/c", "a"), below("b/a/c", "a")), (None, None, None));
        let inside = |name| is_in_subtree(name, "a");
        assert_eq!(["a", "a/b", "ab", "b/a"].map(inside), [true, true, false, false]);
    }

    #[test]
    fn names_to_create() {
        let create = |name: &str| MailboxName::new(name).unwrap().to_create().map(|made| made.name);
        assert_eq!(create("a/b/").as_deref(), Ok("a/b"));
        for name in ["/", "/a", "a//b", "a//", "50%", "a*"] {
            assert!(create(name).is_err(), "{name}");
        }
        let levels = |count: usize| vec!["x"; count].join("/");
        assert!(create(&levels(IMAP_MAILBOX_LEVELS_MAX)).is_ok());
        assert!(create(&levels(IMAP_MAILBOX_LEVELS_MAX + 1)).is_err());
    }

    /// The definition itself, exponential, to compare with.
    fn matches_slowly(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|n| matches_slowly(rest, &name[n..])),
            Some((b'%', rest)) => {
                (0..=name.len()).any(|n| !name[..n].contains(&b'/') && matches_slowly(rest, &name[n..]))
            }
            Some((byte, rest)) => name.first() == Some(byte) && matches_slowly(rest, &name[1..]),
        }
    }

    #[test]
    fn wildcards() {
        assert!(matches_pattern("%", "Sent"));
        assert!(!matches_pattern("%", "Lists/rust"));
        assert!(matches_pattern("*", "Lists/rust"));
        assert!(matches_pattern("inb%", "INBOX"));
        assert!(!matches_pattern("sent", "Sent"));
        assert!(matches_pattern("Lists/%/x", "Lists/a/x"));
        // Would take exponential time with plain backtracking.
        assert!(!matches_pattern(&"*a%a".repeat(200), &"a".repeat(390)));
    }

    proptest! {
        #[test]
        fn names_come_back(name in "[ -~äöü台日😀&/]{1,30}") {
            prop_assert_eq!(decode_utf7(encoded(&name).as_bytes()), Ok(name));
        }

        #[test]
        fn what_decodes_has_no_other_spelling(wire in "[ -~&-]{0,12}") {
            if let Ok(name) = decode_utf7(wire.as_bytes()) {
                prop_assert_eq!(encoded(&name), wire);
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(wire in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode_utf7(&wire);
        }

        #[test]
        fn the_fast_matcher_agrees_with_the_definition(pattern in "[ab/*%]{0,8}", name in "[ab/]{0,8}") {
            prop_assert_eq!(matches_pattern(&pattern, &name), matches_slowly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
