//! The end of a multi-line answer, and the stuffing that keeps it unmistakable (RFC 1939 section 3).

/// Sends text line by line in any cut. A dot is put before each line that begins with one, also where the line before
/// ended with LF alone: clients that take that for a line end must not find the end of the message there.
#[derive(Debug, Default)]
pub struct DotStuffer {
    /// The last two bytes sent of the text: what line the next byte stands in.
    before_last: u8,
    last: u8,
    begun: bool,
}

impl DotStuffer {
    /// Whether the next byte begins a line.
    pub fn at_line_start(&self) -> bool {
        !self.begun || self.last == b'\n'
    }

    /// Whether the line so far is a CR alone.
    pub fn after_lone_cr(&self) -> bool {
        self.begun && self.last == b'\r' && matches!(self.before_last, b'\n' | 0)
    }

    /// Appends the next bytes of the text.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        let [.., last] = bytes else { return };
        let before_last = bytes.len().checked_sub(2).and_then(|at| bytes.get(at)).copied().unwrap_or(self.last);
        let last = *last;
        if self.at_line_start() && bytes.starts_with(b".") {
            out.push(b'.');
        }
        while let Some(at) = memchr::memmem::find(bytes, b"\n.") {
            let (lines, rest) = bytes.split_at(at + 1);
            out.extend_from_slice(lines);
            out.push(b'.');
            // The dot itself goes out with what follows it.
            bytes = rest;
        }
        out.extend_from_slice(bytes);
        (self.before_last, self.last, self.begun) = (before_last, last, true);
    }

    /// Ends the answer: CRLF if the text does not end with it, then the dot. Also behind a bare LF: a client that knows no other line
    /// end than CRLF would wait for ever, one that does gets an empty line more. Who counts octets counts these.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let ends_whole = !self.begun || (self.before_last, self.last) == (b'\r', b'\n');
        if !ends_whole {
            out.extend_from_slice(if self.last == b'\r' { b"\n" } else { b"\r\n" });
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(text: &[u8], piece: usize) -> Vec<u8> {
        let (mut dots, mut out) = (DotStuffer::default(), Vec::new());
        text.chunks(piece).for_each(|piece| dots.push(piece, &mut out));
        dots.finish(&mut out);
        out
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_a_line() {
        assert_eq!(stuffed(b".a\r\n..\r\nb.\r\n", 99), b"..a\r\n...\r\nb.\r\n.\r\n");
        assert_eq!(stuffed(b"a\n.\nb", 99), b"a\n..\nb\r\n.\r\n");
        assert_eq!(stuffed(b"", 1), b".\r\n");
        assert_eq!(stuffed(b"a\r", 1), b"a\r\n.\r\n");
        assert_eq!(stuffed(b"a\n", 1), b"a\n\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn every_cut_gives_the_same_and_is_undone(text in "[.a\r\n]{0,40}", piece in 1usize..9) {
            let whole = stuffed(text.as_bytes(), 99);
            prop_assert_eq!(&stuffed(text.as_bytes(), piece), &whole);
            let lines = whole.strip_suffix(b".\r\n").unwrap().split_inclusive(|byte| *byte == b'\n');
            let plain: Vec<u8> = lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line).to_vec()).collect();
            let missing = match text.as_bytes() {
                [] | [.., b'\r', b'\n'] => "",
                [.., b'\r'] => "\n",
                _ => "\r\n",
            };
            prop_assert_eq!(plain, [text.as_bytes(), missing.as_bytes()].concat());
        }
    }
}
