//! POP3 commands: lines out of a byte stream, verbs and arguments out of lines (RFC 1939 section 3, RFC 2449 section 4).

use crate::wire::sasl::prepare;
use std::borrow::Cow;

/// What a client can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// RFC 1939
    Apop,
    /// RFC 5034
    Auth,
    /// RFC 2449
    Capa,
    /// RFC 1939
    Dele,
    /// RFC 6856
    Lang,
    /// RFC 1939
    List,
    /// RFC 1939
    Noop,
    /// RFC 1939
    Pass,
    /// RFC 1939
    Quit,
    /// RFC 1939
    Retr,
    /// RFC 1939
    Rset,
    /// RFC 1939
    Stat,
    /// RFC 2595
    Stls,
    /// RFC 1939
    Top,
    /// RFC 1939
    Uidl,
    /// RFC 1939
    User,
    /// RFC 6856
    Utf8,
}

const VERBS: [(&[u8], Verb); 17] = [
    (b"APOP", Verb::Apop),
    (b"AUTH", Verb::Auth),
    (b"CAPA", Verb::Capa),
    (b"DELE", Verb::Dele),
    (b"LANG", Verb::Lang),
    (b"LIST", Verb::List),
    (b"NOOP", Verb::Noop),
    (b"PASS", Verb::Pass),
    (b"QUIT", Verb::Quit),
    (b"RETR", Verb::Retr),
    (b"RSET", Verb::Rset),
    (b"STAT", Verb::Stat),
    (b"STLS", Verb::Stls),
    (b"TOP", Verb::Top),
    (b"UIDL", Verb::Uidl),
    (b"USER", Verb::User),
    (b"UTF8", Verb::Utf8),
];

/// One command line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    /// What.
    pub verb: Verb,
    argument: &'a [u8],
}

/// Without the argument, which may be a password.
impl std::fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({:?})", self.verb)
    }
}

impl<'a> Command<'a> {
    /// Reads a line without its line end.
    pub fn parse(line: &'a [u8]) -> Option<Command<'a>> {
        let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let verb = VERBS.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, verb)| *verb);
        Some(Command { verb: verb?, argument: rest.get(1..).unwrap_or_default() })
    }

    /// The whole argument as one text: passwords have spaces (RFC 1939 section 7, PASS). `None`: it is not UTF-8, which no login and
    /// no password may be (RFC 6856 section 2.2), or has a character that SASLprep prohibits.
    pub fn text(&self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.argument).ok()?;
        (text.is_ascii() || prepare(text).is_some()).then_some(text)
    }

    /// The arguments of APOP (RFC 1939 section 7): a name, which may have spaces, and a digest.
    pub fn name_and_digest(&self) -> Option<(&'a str, [u8; 16])> {
        let (name, digits) = self.text()?.trim_end_matches(' ').rsplit_once(' ')?;
        if name.is_empty() || digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut digest = [0; 16];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some((name, digest))
    }

    /// Whether there is no argument.
    pub fn is_bare(&self) -> bool {
        self.words().next().is_none()
    }

    /// The words of the argument.
    pub fn words(&self) -> impl Iterator<Item = &'a [u8]> {
        self.argument.split(|&byte| byte == b' ').filter(|word| !word.is_empty())
    }
}

/// A decimal number of at most ten digits.
pub fn parse_number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > 10 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(word.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Cuts lines at LF; a CR before it is taken away. Keeps only the beginning of a line that is not complete yet.
#[derive(Debug, Default)]
pub struct LineFramer {
    held: Vec<u8>,
    /// The line is longer than it may be: it is thrown away up to its end.
    skipping: bool,
}

impl LineFramer {
    /// Takes at most one line of at most `bytes_max` bytes; tells how many bytes of the input were used. The line is
    /// `None` while it is not complete, and `Some(None)` when it was too long.
    pub fn take<'i>(&mut self, input: &'i [u8], bytes_max: usize) -> (usize, Option<Option<Cow<'i, [u8]>>>) {
        let Some(end) = memchr::memchr(b'\n', input) else {
            self.hold(input, bytes_max);
            return (input.len(), None);
        };
        let line = input.get(..end).unwrap_or_default();
        let line = if self.held.is_empty() && !self.skipping && line.len() <= bytes_max {
            Cow::Borrowed(line.strip_suffix(b"\r").unwrap_or(line))
        } else {
            self.hold(line, bytes_max);
            let mut line = std::mem::take(&mut self.held);
            if std::mem::take(&mut self.skipping) {
                return (end + 1, Some(None));
            }
            line.pop_if(|last| *last == b'\r');
            Cow::Owned(line)
        };
        (end + 1, Some(Some(line)))
    }

    fn hold(&mut self, piece: &[u8], bytes_max: usize) {
        self.skipping |= self.held.len() + piece.len() > bytes_max;
        if self.skipping {
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_arguments() {
        let pass = Command::parse(b"pass a b ").unwrap();
        assert_eq!((pass.verb, pass.text(), format!("{pass:?}")), (Verb::Pass, Some("a b "), "Command(Pass)".into()));
        assert_eq!(Command::parse(b"TOP 1  10").unwrap().words().collect::<Vec<_>>(), [&b"1"[..], b"10"]);
        assert!(Command::parse(b"XTND XMIT").is_none() && Command::parse(b"").is_none());
        assert_eq!(Command::parse("PASS p\u{e4}ss".as_bytes()).unwrap().text(), Some("p\u{e4}ss"));
        assert_eq!(Command::parse(b"PASS p\xe4ss").unwrap().text(), None, "not UTF-8");
        assert_eq!(Command::parse("PASS \u{e4}\u{7}".as_bytes()).unwrap().text(), None, "prohibited");
        let apop = |argument: &str| {
            let line = format!("APOP {argument}");
            let found = Command::parse(line.as_bytes()).unwrap().name_and_digest();
            found.map(|(name, digest)| (name.to_owned(), digest))
        };
        // RFC 1939 section 7.
        let digest = [0xc4, 0xc9, 0x33, 0x4b, 0xac, 0x56, 0x0e, 0xcc, 0x97, 0x9e, 0x58, 0x00, 0x1b, 0x3e, 0x22, 0xfb];
        assert_eq!(apop("mrose c4c9334bac560ecc979e58001b3e22fb"), Some(("mrose".to_owned(), digest)));
        for bad in [
            "",
            "mrose",
            "c4c9334bac560ecc979e58001b3e22fb",
            "mrose c4c9334bac560ecc979e58001b3e22f",
            "a +4c9334bac560ecc979e58001b3e22fb",
        ] {
            assert_eq!(apop(bad), None, "{bad}");
        }
        assert_eq!(parse_number(b"0042"), Some(42));
        assert_eq!([&b""[..], b"-1", b"1a", b"99999999999"].map(parse_number), [None; 4]);
    }

    #[test]
    fn lines_in_any_cut_and_of_any_length() {
        let input = b"NOOP\r\nSTAT\nway too long a line\r\n\r\nQUIT";
        for cut in 1..input.len() {
            let (mut framer, mut lines) = (LineFramer::default(), Vec::new());
            for piece in input.chunks(cut) {
                let mut used = 0;
                while used < piece.len() {
                    let (more, line) = framer.take(&piece[used..], 10);
                    used += more;
                    lines.extend(line.map(|line| line.map(|line| line.into_owned())));
                }
            }
            assert_eq!(lines, [Some(b"NOOP".to_vec()), Some(b"STAT".to_vec()), None, Some(Vec::new())]);
            assert!(framer.held.len() <= 10);
        }
    }
}
