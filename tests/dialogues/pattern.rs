//! Lines as they are shown, and patterns they are held against.

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
    assert_eq!(show(b"a\xff\x00\ttab \xc3\xa4"), "a\\xff\\x00\ttab \u{e4}");
}
