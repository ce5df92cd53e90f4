//! Writes quoted-printable (RFC 2045 section 6.7).
//!
//! Receives the bytes of a body in pieces of any size; hands on ASCII in lines of at most 76 characters that decodes to the
//! same bytes: CRLF stays a line end, a stray CR or LF is encoded. Holds two bytes. The result does not depend on the cut.

/// Characters of a line (rule 5); the last of a longer one is the `=` of a soft line break.
const LINE_CHARACTERS_MAX: usize = 76;

/// Encodes one body, then the next.
#[derive(Debug, Default)]
pub struct QuotedPrintable {
    /// Characters on the line that is being written.
    column: usize,
    /// White space that may turn out to end its line.
    space: Option<u8>,
    /// A CR that may turn out to begin a line end; it stands behind that white space.
    after_cr: bool,
}

impl QuotedPrintable {
    /// Appends the next bytes of the body.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if std::mem::take(&mut self.after_cr) {
                if byte == b'\n' {
                    self.settle_space(true, out);
                    out.extend_from_slice(b"\r\n");
                    self.column = 0;
                    continue;
                }
                self.settle_space(false, out);
                self.encode(b'\r', out);
            }
            match byte {
                b'\r' => self.after_cr = true,
                b' ' | b'\t' => {
                    self.settle_space(false, out);
                    self.space = Some(byte);
                }
                b'!'..=b'<' | b'>'..=b'~' => {
                    self.settle_space(false, out);
                    self.keep(byte, out);
                }
                _ => {
                    self.settle_space(false, out);
                    self.encode(byte, out);
                }
            }
        }
    }

    /// Ends the body, which may end within a line; ready for another.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let after_cr = std::mem::take(&mut self.after_cr);
        self.settle_space(!after_cr, out);
        if after_cr {
            self.encode(b'\r', out);
        }
        self.column = 0;
    }

    /// White space at the end of a line is encoded, some servers take it away (rule 3).
    fn settle_space(&mut self, ends_line: bool, out: &mut Vec<u8>) {
        match self.space.take() {
            Some(space) if ends_line => self.encode(space, out),
            Some(space) => self.keep(space, out),
            None => {}
        }
    }

    fn keep(&mut self, byte: u8, out: &mut Vec<u8>) {
        // A line that only begins here must not look like a boundary.
        if byte == b'-' && !self.has_room(1) {
            return self.encode(byte, out);
        }
        self.make_room(1, out);
        out.push(byte);
    }

    fn encode(&mut self, byte: u8, out: &mut Vec<u8>) {
        const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
        self.make_room(3, out);
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[b'=', digit(byte >> 4), digit(byte & 15)]);
    }

    fn has_room(&self, characters: usize) -> bool {
        self.column + characters < LINE_CHARACTERS_MAX
    }

    /// Makes sure that the line takes so many more characters and still has one left for a soft line break.
    fn make_room(&mut self, characters: usize, out: &mut Vec<u8>) {
        if !self.has_room(characters) {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        self.column += characters;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mime::TransferEncoding;
    use crate::wire::mime::decode::decode;
    use proptest::prelude::*;

    fn encoded(body: &[u8], piece: usize) -> Vec<u8> {
        let (mut encoder, mut out) = (QuotedPrintable::default(), Vec::new());
        body.chunks(piece).for_each(|piece| encoder.push(piece, &mut out));
        encoder.end(&mut out);
        out
    }

    #[test]
    fn what_is_kept_and_what_is_encoded() {
        for (body, wanted) in [
            ("Grüße = 1\r\n", "Gr=C3=BC=C3=9Fe =3D 1\r\n"),
            ("a \r\nb\t \r\n \r\n", "a=20\r\nb\t=20\r\n=20\r\n"),
            ("a b\tc ", "a b\tc=20"),
            ("a\rb\nc\r\r\n \r", "a=0Db=0Ac=0D\r\n =0D"),
            ("\0\x7f~", "=00=7F~"),
            ("", ""),
        ] {
            for piece in 1..4 {
                assert_eq!(String::from_utf8(encoded(body.as_bytes(), piece)).unwrap(), wanted);
            }
        }
    }

    #[test]
    fn long_lines_are_broken_softly_and_never_before_a_hyphen() {
        let letters = encoded(&[b'a'; 151], 64);
        assert_eq!(letters, format!("{}=\r\n{}=\r\na", "a".repeat(75), "a".repeat(75)).into_bytes());
        let hyphens = String::from_utf8(encoded(&[b'-'; 80], 64)).unwrap();
        assert_eq!(hyphens, format!("{}=\r\n=2D----", "-".repeat(75)));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(body in proptest::collection::vec(prop_oneof![Just(b' '), Just(b'\r'), Just(b'\n'), Just(b'='), any::<u8>()], 0..400), piece in 1usize..100) {
            let out = encoded(&body, piece);
            prop_assert_eq!(&out, &encoded(&body, 1000));
            prop_assert!(out.is_ascii());
            prop_assert!(out.split(|&byte| byte == b'\n').all(|line| line.len() <= LINE_CHARACTERS_MAX + 1));
            prop_assert_eq!(decode(TransferEncoding::QuotedPrintable, &out), body);
        }
    }
}
