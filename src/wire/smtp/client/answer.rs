//! What the server at the other end answers: its replies, read line by line (RFC 5321 section 4.2, RFC 2034).
//!
//! Receives bytes as they come, in pieces of any size; hands on one [`Answer`] per reply. Knows no command. What is kept
//! of a reply is bounded whatever the server sends: length of a line, number of lines, bytes of text.

use crate::limits::{RELAY_REPLY_KEPT_BYTES, RELAY_REPLY_LINE_BYTES, RELAY_REPLY_LINES, RELAY_REPLY_TEXT_BYTES};
use std::fmt;

/// An enhanced status code, `class.subject.detail` (RFC 3463 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8, pub u16, pub u16);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// One complete reply of a server, or a refusal of our own in the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The three digits, 200..=599.
    pub code: u16,
    /// The enhanced code, when the server gave one that fits the class of its reply.
    pub status: Option<Status>,
    /// The text of all lines, joined by spaces, printable, at most [`RELAY_REPLY_TEXT_BYTES`] bytes.
    pub text: String,
    /// The lines as they came, for EHLO; together at most [`RELAY_REPLY_KEPT_BYTES`] bytes, what is beyond is dropped.
    pub lines: Vec<String>,
    /// Whether the server said it. `false`: decided on this side, nothing was asked.
    pub said_by_peer: bool,
}

impl Answer {
    /// A decision of this side in the form of a reply.
    pub fn ours(code: u16, status: Status, text: impl Into<String>) -> Answer {
        Answer { code, status: Some(status), text: text.into(), lines: Vec::new(), said_by_peer: false }
    }
    /// 2xx (RFC 5321 section 4.2.1).
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }
    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
    /// The enhanced code, or the plainest one of the reply's class (RFC 3463 section 3.1).
    pub fn status_or_class(&self) -> Status {
        self.status.unwrap_or(Status(u8::try_from(self.code / 100).unwrap_or(4), 0, 0))
    }
}

/// `550 5.1.1 no such user`
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, " {}", self.text) }
    }
}

/// Puts replies together. One per connection.
#[derive(Default)]
pub struct AnswerReader {
    line: Vec<u8>,
    lines: Vec<String>,
    lines_seen: usize,
    kept_bytes: usize,
}

impl AnswerReader {
    /// Takes bytes up to the end of one reply. Returns how many it took, and the reply when it is complete, or what the
    /// server did wrong; after an error the connection is of no use.
    pub fn read(&mut self, bytes: &[u8]) -> (usize, Option<Result<Answer, &'static str>>) {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let end = rest.iter().position(|&b| b == b'\n').map(|at| at + 1);
            let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            taken += piece.len();
            if self.line.len() + piece.len() > RELAY_REPLY_LINE_BYTES {
                return (taken, Some(Err("sent a reply line that is too long")));
            }
            self.line.extend_from_slice(piece);
            if end.is_some()
                && let Some(answer) = self.end_line()
            {
                return (taken, Some(answer));
            }
        }
        (taken, None)
    }

    /// RFC 5321 section 4.2: `Reply-code [ SP textstring ] CRLF`, continued with `-`. A bare LF ends a line too, and the
    /// last line decides the code, as servers in the field need it.
    fn end_line(&mut self) -> Option<Result<Answer, &'static str>> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some((code, more, text)) = split_line(line) else {
            return Some(Err("sent something that is no SMTP reply"));
        };
        self.lines_seen += 1;
        if self.lines_seen > RELAY_REPLY_LINES {
            return Some(Err("sent a reply of too many lines"));
        }
        if self.kept_bytes + text.len() <= RELAY_REPLY_KEPT_BYTES {
            self.kept_bytes += text.len();
            self.lines.push(printable(text));
        }
        if more {
            return None;
        }
        let lines = std::mem::take(&mut self.lines);
        (self.lines_seen, self.kept_bytes) = (0, 0);
        let (status, text) = join(code, &lines);
        Some(Ok(Answer { code, status, text, lines, said_by_peer: true }))
    }
}

fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else { return None };
    let code = [a, b, c].iter().fold(0u16, |code, &&digit| code * 10 + u16::from(digit - b'0'));
    match rest {
        [] => Some((code, false, b"")),
        [b' ', text @ ..] => Some((code, false, text)),
        [b'-', text @ ..] => Some((code, true, text)),
        _ => None,
    }
}

/// Reply text may hold anything; logs, bounces and the owner's screen get printable characters only.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// RFC 2034 section 4: the enhanced code stands first in every line of a reply; it is named once in the joined text.
fn join(code: u16, lines: &[String]) -> (Option<Status>, String) {
    let mut status = None;
    let mut joined = String::new();
    for line in lines {
        let (found, text) = split_status(code, line);
        status = found.or(status);
        let text = text.trim();
        if text.is_empty() || joined.len() + 1 + text.len() > RELAY_REPLY_TEXT_BYTES {
            if joined.is_empty() {
                joined.push_str(cut(text, RELAY_REPLY_TEXT_BYTES));
            }
            continue;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(text);
    }
    (status, joined)
}

fn split_status(code: u16, line: &str) -> (Option<Status>, &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut numbers = word.split('.').map(|part| {
        let short = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| short)
    });
    match (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten(), numbers.next()) {
        (Some(class @ (2 | 4 | 5)), Some(subject), Some(detail), None) if class == code / 100 => {
            (Some(Status(u8::try_from(class).unwrap_or(5), subject, detail)), rest)
        }
        _ => (None, line),
    }
}

/// The first `bytes_max` bytes of a text, ending at a character.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(bytes: &[u8]) -> Result<Answer, &'static str> {
        let whole = AnswerReader::default().read(bytes).1.expect("a complete reply");
        let mut reader = AnswerReader::default();
        let mut last = None;
        for byte in bytes {
            assert!(last.is_none(), "ended before its last byte");
            last = reader.read(&[*byte]).1;
        }
        assert_eq!(last.as_ref(), Some(&whole), "byte at a time reads the same");
        whole
    }

    #[test]
    fn one_line() {
        let answer = read_one(b"550 5.1.1 No such user\r\n").unwrap();
        assert_eq!((answer.code, answer.status, &answer.text[..]), (550, Some(Status(5, 1, 1)), "No such user"));
        assert!(answer.is_permanent());
        assert_eq!(answer.to_string(), "550 5.1.1 No such user");
        assert_eq!(read_one(b"250\r\n").unwrap().to_string(), "250");
        assert_eq!(read_one(b"250 ok\n").unwrap().text, "ok");
    }

    #[test]
    fn many_lines_become_one_text() {
        let answer = read_one(b"550-5.7.1 Your mail\r\n550-5.7.1 is not\r\n550 5.7.1 wanted.\r\n").unwrap();
        assert_eq!(answer.to_string(), "550 5.7.1 Your mail is not wanted.");
        assert_eq!(answer.lines.len(), 3);
    }

    #[test]
    fn an_enhanced_code_of_another_class_is_text() {
        let answer = read_one(b"451 5.1.1 odd\r\n").unwrap();
        assert_eq!((answer.status, &answer.text[..]), (None, "5.1.1 odd"));
        assert_eq!(answer.status_or_class(), Status(4, 0, 0));
        assert_eq!(read_one(b"250 2.0 x\r\n").unwrap().status, None);
        assert_eq!(read_one(b"250 2.0.1234 x\r\n").unwrap().status, None);
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bad in [&b"hello\r\n"[..], b"99 x\r\n", b"150 x\r\n", b"650 x\r\n", b"250x\r\n", b"\r\n"] {
            assert!(read_one(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bounds_hold() {
        let long = [b"250 ".as_slice(), &vec![b'x'; RELAY_REPLY_LINE_BYTES]].concat();
        assert!(AnswerReader::default().read(&long).1.unwrap().is_err());
        let many = b"250-x\r\n".repeat(RELAY_REPLY_LINES + 1);
        assert!(AnswerReader::default().read(&many).1.unwrap().is_err());
        let line = [b"250-".as_slice(), &[b'y'; 1500], b"\r\n"].concat();
        let wide = [line.repeat(20), b"250 5.0.0\r\n".to_vec()].concat();
        let answer = read_one(&wide).unwrap();
        assert!(answer.lines.iter().map(String::len).sum::<usize>() <= RELAY_REPLY_KEPT_BYTES);
        assert!(answer.text.len() <= RELAY_REPLY_TEXT_BYTES);
    }

    #[test]
    fn control_characters_do_not_pass() {
        assert_eq!(read_one(b"550 a\x1b[2Jb\tc\r\n").unwrap().text, "a [2Jb c");
        assert_eq!(cut("a\u{e4}b", 2), "a");
    }

    #[test]
    fn two_replies_in_one_read_are_taken_one_by_one() {
        let bytes = b"250 one\r\n451 two\r\n";
        let mut reader = AnswerReader::default();
        let (taken, first) = reader.read(bytes);
        assert_eq!((taken, first.unwrap().unwrap().code), (9, 250));
        assert_eq!(reader.read(&bytes[9..]).1.unwrap().unwrap().code, 451);
    }
}
