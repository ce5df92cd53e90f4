//! A message on its way out, after DATA or in chunks: line ends and transparency (RFC 5321 sections 2.3.8 and 4.5.2, RFC 3030
//! section 2).
//!
//! Receives the body in pieces of any size; hands on what goes over the wire. A body of CRLF lines leaves byte for byte
//! as it is, apart from the dots doubled for DATA. A stray CR or LF leaves as CRLF: some servers take it for a line end, and a
//! dot after it would end the message there and turn the rest into commands. What the receiver keeps is the same either way,
//! as signatures need it.

/// Encodes one message. Dropped when the connection goes.
pub struct ContentEncoder {
    dots: bool,
    at_line_start: bool,
    after_cr: bool,
}

impl ContentEncoder {
    /// For DATA: dots at the beginning of lines are doubled, and a single one ends the message.
    pub fn with_dots() -> ContentEncoder {
        ContentEncoder { dots: true, at_line_start: true, after_cr: false }
    }

    /// For chunks, whose lengths are counted.
    pub fn without_dots() -> ContentEncoder {
        ContentEncoder { dots: false, ..ContentEncoder::with_dots() }
    }

    /// Appends the encoded form of the next piece of the body to `out`.
    pub fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() + bytes.len() / 64);
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if self.after_cr {
                self.after_cr = false;
                self.at_line_start = true;
                out.extend_from_slice(b"\r\n");
                if first == b'\n' {
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
            }
            if self.dots && self.at_line_start && first == b'.' {
                out.push(b'.');
            }
            let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            out.extend_from_slice(rest.get(..end).unwrap_or_default());
            self.at_line_start = self.at_line_start && end == 0;
            match rest.get(end) {
                Some(b'\r') => self.after_cr = true,
                Some(_) => {
                    out.extend_from_slice(b"\r\n");
                    self.at_line_start = true;
                }
                None => {}
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }

    /// Ends the message: a last line without an end gets one, then for DATA the line with the single dot.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.after_cr || !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
        if self.dots {
            out.extend_from_slice(b".\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(body: &[u8]) -> Vec<u8> {
        let (whole, in_chunks) =
            (encoded_by(ContentEncoder::with_dots, body), encoded_by(ContentEncoder::without_dots, body));
        let lines = whole.strip_suffix(b".\r\n").expect("a final dot");
        let kept: Vec<u8> = lines
            .split_inclusive(|&b| b == b'\n')
            .flat_map(|line| line.strip_prefix(b".").unwrap_or(line))
            .copied()
            .collect();
        assert_eq!(kept, in_chunks, "the receiver keeps the same");
        whole
    }

    fn encoded_by(encoder: fn() -> ContentEncoder, body: &[u8]) -> Vec<u8> {
        let encode = |piece: usize| {
            let (mut out, mut encoder) = (Vec::new(), encoder());
            body.chunks(piece).for_each(|piece| encoder.encode(piece, &mut out));
            encoder.finish(&mut out);
            out
        };
        let whole = encode(body.len().max(1));
        assert_eq!(whole, encode(1), "byte at a time encodes the same");
        whole
    }

    #[test]
    fn lines_pass_and_dots_are_doubled() {
        assert_eq!(encoded(b"a: b\r\n\r\ntext\r\n"), b"a: b\r\n\r\ntext\r\n.\r\n");
        assert_eq!(encoded(b".\r\n..\r\na.b\r\n.x"), b"..\r\n...\r\na.b\r\n..x\r\n.\r\n");
        assert_eq!(encoded(b""), b".\r\n");
        assert_eq!(encoded(b"\r\n"), b"\r\n.\r\n");
    }

    #[test]
    fn stray_line_ends_cannot_smuggle() {
        assert_eq!(encoded(b"a\n.\nMAIL"), b"a\r\n..\r\nMAIL\r\n.\r\n");
        assert_eq!(encoded(b"a\r.\rMAIL"), b"a\r\n..\r\nMAIL\r\n.\r\n");
        assert_eq!(encoded(b"a\r\r\n.\r\n"), b"a\r\n\r\n..\r\n.\r\n");
        assert_eq!(encoded(b"a\r"), b"a\r\n.\r\n");
    }

    #[test]
    fn what_ends_in_line_ends_is_kept_as_it_is() {
        let body = b"..\r\n.\r\n\r\nx..\r\n.a\r\n";
        assert_eq!(encoded(body).len(), body.len() + 3 + 3);
        assert_eq!(encoded_by(ContentEncoder::without_dots, body), body);
        assert_eq!(encoded_by(ContentEncoder::without_dots, b"a\n.b"), b"a\r\n.b\r\n");
        assert_eq!(encoded_by(ContentEncoder::without_dots, b""), b"");
    }
}
