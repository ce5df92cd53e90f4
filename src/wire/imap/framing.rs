//! Cuts the byte stream into lines and literals. No grammar, no states.
//!
//! Always: a line ends at LF; the CR before it is dropped, and so a bare LF ends a line too, in every state, as people
//! at a terminal and old clients send it. That is safe here: no other program reads the same bytes with another idea of
//! lines, and what follows STARTTLS is thrown away whatever ends it.

/// What [`take_line`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The input ended first.
    More,
    /// The buffer now ends with a whole line, without its CRLF.
    Line,
    /// The buffer is full; the rest of the line is still in the input.
    TooLong,
}

/// Moves bytes from `input` to `buffer` up to the end of a line. `buffer` holds at most `bytes_max` bytes; what stands in
/// it before `line_start` (a literal, which may end in CR) is left alone.
pub fn take_line(input: &mut &[u8], buffer: &mut Vec<u8>, line_start: usize, bytes_max: usize) -> Taken {
    let end = input.iter().position(|b| *b == b'\n');
    let (line, rest) = input.split_at(end.unwrap_or(input.len()));
    if buffer.len() + line.len() > bytes_max {
        // What fits is taken, so that the buffer begins with the tag whatever the cut.
        let (fits, rest) = input.split_at(bytes_max.saturating_sub(buffer.len()));
        buffer.extend_from_slice(fits);
        *input = rest;
        return Taken::TooLong;
    }
    buffer.extend_from_slice(line);
    *input = rest;
    if end.is_none() {
        return Taken::More;
    }
    *input = rest.get(1..).unwrap_or_default();
    if buffer.len() > line_start && buffer.last() == Some(&b'\r') {
        buffer.pop();
    }
    Taken::Line
}

/// How many bytes of a skipped line's end are kept, to see whether it announces a literal: `{`, 20 digits, `+}`, CR.
const TAIL_BYTES: usize = 24;

/// Throws bytes away up to the end of a line, keeping the line's last bytes in `tail`. True at the end of the line.
pub fn skip_line(input: &mut &[u8], tail: &mut Vec<u8>) -> bool {
    let end = input.iter().position(|b| *b == b'\n');
    let (line, rest) = input.split_at(end.unwrap_or(input.len()));
    tail.extend_from_slice(line.get(line.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default());
    tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
    *input = rest.get(usize::from(end.is_some())..).unwrap_or_default();
    if end.is_some() && tail.last() == Some(&b'\r') {
        tail.pop();
    }
    end.is_some()
}

/// At most `left` bytes from the front of `input`.
pub fn take_bytes<'i>(input: &mut &'i [u8], left: u64) -> &'i [u8] {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    let (taken, rest) = input.split_at(length);
    *input = rest;
    taken
}

/// A literal announced at the end of a line (RFC 3501 section 4.3, RFC 7888).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Where it begins in the line: at its `{`, or at the `~` of a `literal8` (RFC 3516 section 7).
    pub at: usize,
    /// Its size.
    pub bytes: u64,
    /// The client waits for `+` before it sends it.
    pub synchronising: bool,
}

/// The literal that a line announces at its end. A size of more than 19 digits counts as the largest.
pub fn announced(line: &[u8]) -> Option<Announced> {
    let inside = line.strip_suffix(b"}")?;
    let (inside, synchronising) = match inside.strip_suffix(b"+") {
        Some(inside) => (inside, false),
        None => (inside, true),
    };
    let digits = inside.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let at = inside.len().checked_sub(digits + 1)?;
    if digits == 0 || inside.get(at) != Some(&b'{') {
        return None;
    }
    let text = std::str::from_utf8(inside.get(at + 1..)?).ok()?;
    let at = match inside.get(..at)? {
        [before @ .., b'~'] if matches!(before.last(), None | Some(b' ' | b'(')) => before.len(),
        _ => at,
    };
    Some(Announced { at, bytes: text.parse().unwrap_or(u64::MAX), synchronising })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_lf_with_or_without_cr() {
        let mut input = &b"a\r\nb\nc"[..];
        let mut line = Vec::new();
        assert_eq!((take_line(&mut input, &mut line, 0, 9), &line[..]), (Taken::Line, &b"a"[..]));
        line.clear();
        assert_eq!((take_line(&mut input, &mut line, 0, 9), &line[..]), (Taken::Line, &b"b"[..]));
        line.clear();
        assert_eq!((take_line(&mut input, &mut line, 0, 9), &line[..]), (Taken::More, &b"c"[..]));
        assert_eq!(take_line(&mut &b"0123456789"[..], &mut line, 0, 9), Taken::TooLong);
    }

    #[test]
    fn literals_are_announced_at_the_end_of_a_line() {
        let found = |line: &[u8]| announced(line).map(|a| (a.at, a.bytes, a.synchronising));
        assert_eq!(found(b"a LOGIN {5}"), Some((8, 5, true)));
        assert_eq!(found(b"{0+}"), Some((0, 0, false)));
        assert_eq!(found(b"a APPEND x ~{7+}"), Some((11, 7, false)));
        assert_eq!(found(b"a x~{7}"), Some((4, 7, true)));
        assert_eq!(found(b"a {99999999999999999999999+}"), Some((2, u64::MAX, false)));
        for line in ["a {5} ", "a {}", "a {+}", "a 5}", "a {x5}", "}", "5}", "a {-5}"] {
            assert_eq!(announced(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_skipped_line_remembers_its_end_only() {
        let mut tail = Vec::new();
        assert!(!skip_line(&mut &b"x".repeat(5000)[..], &mut tail));
        let mut input = &b" {12+}\r\nnext"[..];
        assert!(skip_line(&mut input, &mut tail));
        assert_eq!(announced(&tail).map(|a| a.bytes), Some(12));
        assert!(tail.len() <= TAIL_BYTES);
        assert_eq!(input, b"next");
    }
}
