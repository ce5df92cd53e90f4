//! A message on its way out after DATA: transparency and line ends (RFC 5321 sections 4.5.2 and 2.3.8).
//!
//! Receives the body in pieces of any size; hands on what goes over the wire. A body of CRLF lines leaves byte for byte
//! as it is, apart from the doubled dots. A stray CR or LF leaves as CRLF: some servers take it for a line end, and a dot
//! after it would end the message there and turn the rest into commands.

/// Encodes one message. Dropped when the connection goes.
pub struct ContentEncoder {
    at_line_start: bool,
    after_cr: bool,
}

impl Default for ContentEncoder {
    fn default() -> ContentEncoder {
        ContentEncoder { at_line_start: true, after_cr: false }
    }
}

impl ContentEncoder {
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
            if self.at_line_start && first == b'.' {
                out.push(b'.');
            }
            let end = rest.iter().position(|&b| b == b'\r' || b == b'\n').unwrap_or(rest.len());
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

    /// Ends the message: a last line without an end gets one, then the line with the single dot.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.after_cr || !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(body: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        let mut encoder = ContentEncoder::default();
        encoder.encode(body, &mut whole);
        encoder.finish(&mut whole);
        let mut pieces = Vec::new();
        let mut encoder = ContentEncoder::default();
        for byte in body {
            encoder.encode(&[*byte], &mut pieces);
        }
        encoder.finish(&mut pieces);
        assert_eq!(whole, pieces, "byte at a time encodes the same");
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
    fn decoding_gives_the_body_back() {
        let body = b"..\r\n.\r\n\r\nx..\r\n.a\r\n";
        let wire = encoded(body);
        let lines = wire.strip_suffix(b".\r\n").unwrap();
        let mut back = Vec::new();
        for line in lines.split_inclusive(|&b| b == b'\n') {
            back.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        assert_eq!(back, body);
    }
}
