//! Lines as they are shown, and patterns they are held against.

use md5::{Digest, Md5};

/// A received line (without its CRLF) as text: UTF-8 as it is, everything else escaped, so that a pattern can say it.
pub fn show(line: &[u8]) -> String {
    let mut out = String::new();
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push('\t'),
                c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Whether a line fits a pattern. `*` stands for any text, except where IMAP itself writes one: at the beginning of a
/// line before a space, and after a backslash (`\*` in PERMANENTFLAGS).
pub fn matches(pattern: &str, line: &str) -> bool {
    let (pattern, line) = match (pattern.strip_prefix("* "), line.strip_prefix("* ")) {
        (Some(pattern), Some(line)) => (pattern, line),
        (Some(_), None) => return false,
        (None, _) => (pattern, line),
    };
    let guarded = pattern.replace("\\*", "\u{1}");
    let line = line.replace("\\*", "\u{1}");
    let mut pieces = guarded.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Words that a dialogue remembers by name: `$(name)`.
pub type Words = std::collections::BTreeMap<String, String>;

/// The text with every remembered word in its place. `None`: it asks for one that was never seen.
pub fn fill(text: &str, words: &Words) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        let (name, after) = after.split_once(')')?;
        out.push_str(before);
        match name.split_once(' ') {
            Some(("apop", rest)) => out.push_str(&apop(rest, words)?),
            _ => out.push_str(words.get(name)?),
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// `stamp PASSWORD`: what APOP says of a password and the timestamp whose beginning, up to its `>`, was remembered as `stamp`.
fn apop(asked: &str, words: &Words) -> Option<String> {
    let (name, password) = asked.split_once(' ')?;
    let digest: [u8; 16] = Md5::digest(format!("{}>{password}", words.get(name)?)).into();
    Some(format!("{:032x}", u128::from_be_bytes(digest)))
}

/// Like [`matches`]; the first `$(name)` that is not known yet stands for any text, and its word, which ends before a
/// space or a closing bracket, is remembered.
pub fn matches_and_learns(pattern: &str, line: &str, words: &mut Words) -> bool {
    if let Some(known) = fill(pattern, words) {
        return matches(&known, line);
    }
    let (before, after) = pattern.split_once("$(").unwrap_or((pattern, ""));
    let (name, after) = after.split_once(')').unwrap_or((after, ""));
    if !matches(&format!("{before}*{after}"), line) {
        return false;
    }
    let from = line.rsplit_once(before.rsplit('*').next().unwrap_or(before)).map_or("", |(_, from)| from);
    let word = from.split([' ', ']', ')', '>']).next().unwrap_or_default();
    words.insert(name.to_owned(), word.to_owned());
    true
}

/// What the runner believes about its own patterns; run with the dialogues.
pub fn check_patterns() {
    let fits = [
        ("a1 OK *", "a1 OK [READ-WRITE] done"),
        ("* 1 FETCH (UID 1 FLAGS (\\Flagged))", "* 1 FETCH (UID 1 FLAGS (\\Flagged))"),
        ("* OK [PERMANENTFLAGS (\\Seen \\*)] *", "* OK [PERMANENTFLAGS (\\Seen \\*)] Limited"),
        ("250*SIZE*", "250-SIZE 1000"),
        ("", ""),
    ];
    for (pattern, line) in fits {
        assert!(matches(pattern, line), "{pattern:?} {line:?}");
    }
    let misses = [("* OK *", "a1 OK done"), ("a1 OK", "a1 OK done"), ("a*b*a", "aba "), ("ab*b", "ab"), ("", "x")];
    for (pattern, line) in misses {
        assert!(!matches(pattern, line), "{pattern:?} {line:?}");
    }
    let mut words = Words::new();
    assert!(!matches_and_learns("* OK [UIDNEXT $(next)] *", "* OK [UNSEEN 5] x", &mut words) && words.is_empty());
    assert!(matches_and_learns("* OK [UIDNEXT $(next)] *", "* OK [UIDNEXT 5] next", &mut words));
    assert_eq!(fill("FETCH $(next):$(next)", &words).as_deref(), Some("FETCH 5:5"));
    assert!(!matches_and_learns("* $(next) EXISTS", "* 6 EXISTS", &mut words) && fill("$(other)", &words).is_none());
    assert_eq!(show(b"a\xff\x00\ttab \xc3\xa4"), "a\\xff\\x00\ttab \u{e4}");
}
