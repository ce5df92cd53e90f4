//! Command lines out of a byte stream: framing before grammar.
//!
//! A line ends with CRLF and with nothing else (RFC 5321 section 2.3.8). A lone CR or LF makes the line it stands in
//! void: it is reported at once and the rest up to the next CRLF is thrown away, so that no two parties can disagree
//! about where a command begins. Always holds: at most `max` bytes are kept, and none while no line is half read.

use crate::limits::SMTP_SKIPPED_BYTES_MAX;
use std::ops::Range;

/// The framer. Keeps only the beginning of a line that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct LineFramer {
    held: Vec<u8>,
    skipping: Option<Skipping>,
}

/// The rest of a void line is being thrown away.
#[derive(Debug, Default)]
struct Skipping {
    bytes: usize,
    after_cr: bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// No complete line yet; all input was used.
    NeedMore,
    /// A line without its CRLF, in the input.
    Here(Range<usize>),
    /// A line without its CRLF that came in pieces.
    Kept(Vec<u8>),
    /// A line is longer than it may be; its rest will be skipped.
    TooLong,
    /// A lone CR or LF; the rest of the line will be skipped.
    BareNewline,
    /// Either of them in a line that begins with BDAT: nobody knows how many octets follow it, hang up.
    Chunk,
    /// A void line does not end: hang up.
    Endless,
}

impl LineFramer {
    /// Takes at most one line of at most `max` bytes (CRLF included); tells how many bytes of the input were used.
    pub(super) fn take(&mut self, input: &[u8], max: usize) -> (usize, Framed) {
        let mut from = 0;
        if let Some(skipping) = &mut self.skipping {
            match skipping.end(input) {
                Some(end) => {
                    from = end;
                    self.skipping = None;
                }
                None if skipping.bytes > SMTP_SKIPPED_BYTES_MAX => return (input.len(), Framed::Endless),
                None => return (input.len(), Framed::NeedMore),
            }
        }
        let rest = input.get(from..).unwrap_or_default();
        let (used, framed) = self.take_line(rest, max);
        match framed {
            Framed::Here(line) => (from + used, Framed::Here(from + line.start..from + line.end)),
            other => (from + used, other),
        }
    }

    fn take_line(&mut self, input: &[u8], max: usize) -> (usize, Framed) {
        if self.held.last() == Some(&b'\r')
            && let Some(&next) = input.first()
        {
            let mut line = std::mem::take(&mut self.held);
            line.pop();
            return if next == b'\n' { (1, Framed::Kept(line)) } else { self.void(0, &line, Framed::BareNewline) };
        }
        let text_bytes = memchr::memchr2(b'\r', b'\n', input).unwrap_or(input.len());
        let (line, tail) = input.split_at(text_bytes);
        if self.held.len() + text_bytes + "\r\n".len() > max {
            return self.void(text_bytes, line, Framed::TooLong);
        }
        match tail {
            [b'\r', b'\n', ..] if self.held.is_empty() => (text_bytes + 2, Framed::Here(0..text_bytes)),
            [b'\r', b'\n', ..] => {
                let mut kept = std::mem::take(&mut self.held);
                kept.extend_from_slice(line);
                (text_bytes + 2, Framed::Kept(kept))
            }
            [] | [b'\r'] => {
                self.held.extend_from_slice(input);
                (input.len(), Framed::NeedMore)
            }
            _ => self.void(text_bytes + 1, line, Framed::BareNewline),
        }
    }

    /// Gives up what is held, and `line` that goes on from it.
    fn void(&mut self, used: usize, line: &[u8], why: Framed) -> (usize, Framed) {
        let held = std::mem::take(&mut self.held);
        self.skipping = Some(Skipping::default());
        let is_chunk = held.iter().chain(line).take(4).map(u8::to_ascii_uppercase).eq(*b"BDAT");
        (used, if is_chunk { Framed::Chunk } else { why })
    }
}

impl Skipping {
    /// Where the void line ends: after its CRLF.
    fn end(&mut self, input: &[u8]) -> Option<usize> {
        for (at, &byte) in input.iter().enumerate() {
            if byte == b'\n' && self.after_cr {
                return Some(at + 1);
            }
            self.after_cr = byte == b'\r';
        }
        self.bytes += input.len();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything framed from `input` cut into pieces, and what is left held.
    fn frame(input: &[u8], piece: usize, max: usize) -> Vec<Result<Vec<u8>, Framed>> {
        let (mut framer, mut found) = (LineFramer::default(), Vec::new());
        for piece in input.chunks(piece) {
            let mut rest = piece;
            loop {
                let (used, framed) = framer.take(rest, max);
                let before = rest;
                rest = &rest[used..];
                match framed {
                    Framed::NeedMore => break assert!(rest.is_empty()),
                    Framed::Here(line) => found.push(Ok(before[line].to_vec())),
                    Framed::Kept(line) => found.push(Ok(line)),
                    Framed::Endless => {
                        found.push(Err(Framed::Endless));
                        return found;
                    }
                    other => found.push(Err(other)),
                }
                assert!(framer.held.len() < max);
            }
        }
        found
    }

    #[test]
    fn only_crlf_ends_a_line() {
        let line = |text: &str| Ok(text.as_bytes().to_vec());
        for (input, wanted) in [
            ("NOOP\r\nQUIT\r\n", vec![line("NOOP"), line("QUIT")]),
            ("\r\n", vec![line("")]),
            ("NOOP\nQUIT\r\nRSET\r\n", vec![Err(Framed::BareNewline), line("RSET")]),
            ("NOOP\rQUIT\r\nRSET\r\n", vec![Err(Framed::BareNewline), line("RSET")]),
            ("NOOP\r\rQUIT\r\nRSET\r\n", vec![Err(Framed::BareNewline), line("RSET")]),
            ("NOOP\n\r\nRSET\r\n", vec![Err(Framed::BareNewline), line("RSET")]),
            ("NOOP\r\r\nRSET\r\n", vec![Err(Framed::BareNewline), line("RSET")]),
            ("12345678\r\n", vec![line("12345678")]),
            ("123456789\r\nA\r\n", vec![Err(Framed::TooLong), line("A")]),
            ("123456789\nB\r\nA\r\n", vec![Err(Framed::TooLong), line("A")]),
            ("BDAT 5\nBDAT\r\nA\r\n", vec![Err(Framed::Chunk), line("A")]),
            ("BDAT\rA\r\nA\r\n", vec![Err(Framed::Chunk), line("A")]),
            ("bdat 123456789\r\nA\r\n", vec![Err(Framed::Chunk), line("A")]),
            ("NO", vec![]),
        ] {
            for piece in 1..=input.len() {
                assert_eq!(frame(input.as_bytes(), piece, 10), wanted, "{input:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_void_line_must_end() {
        let found = frame(&vec![b'x'; SMTP_SKIPPED_BYTES_MAX * 2], 4096, 100);
        assert_eq!(found.first(), Some(&Err(Framed::TooLong)));
        assert_eq!(found.last(), Some(&Err(Framed::Endless)));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(input in "[a-c\r\n]{0,60}", piece in 1usize..8) {
            prop_assert_eq!(frame(input.as_bytes(), piece, 8), frame(input.as_bytes(), 60, 8));
        }
    }
}
