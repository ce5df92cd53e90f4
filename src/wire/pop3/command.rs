//! POP3 commands: lines out of a byte stream, verbs and arguments out of lines (RFC 1939 section 3, RFC 2449 section 4).

use std::borrow::Cow;

/// What a client can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// RFC 5034
    Auth,
    /// RFC 2449
    Capa,
    /// RFC 1939
    Dele,
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
}

const VERBS: [(&[u8], Verb); 14] = [
    (b"AUTH", Verb::Auth),
    (b"CAPA", Verb::Capa),
    (b"DELE", Verb::Dele),
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
    pub fn parse(line: &'a [u8]) -> Result<Command<'a>, &'static str> {
        let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let verb = VERBS.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, verb)| *verb);
        Ok(Command { verb: verb.ok_or("unknown command")?, argument: rest.get(1..).unwrap_or_default() })
    }

    /// The whole argument as one text: passwords have spaces (RFC 1939 section 7, PASS).
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.argument).into_owned()
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
        assert_eq!((pass.verb, pass.text(), format!("{pass:?}")), (Verb::Pass, "a b ".into(), "Command(Pass)".into()));
        assert_eq!(Command::parse(b"TOP 1  10").unwrap().words().collect::<Vec<_>>(), [&b"1"[..], b"10"]);
        assert_eq!(Command::parse(b"XTND XMIT").err(), Some("unknown command"));
        assert_eq!(Command::parse(b"").err(), Some("unknown command"));
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
