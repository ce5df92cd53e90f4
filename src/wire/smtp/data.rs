//! The message after DATA: dot stuffing taken away, its end found, its bytes handed on as slices of the input.
//!
//! The end is CRLF.CRLF and nothing else. What other servers have been talked into taking for it (LF.LF, LF.CRLF, CR.CR,
//! CRLF.LF, ...) never ends a message here, and a message with a lone CR or LF anywhere is refused whole after its true
//! end: RFC 5321 section 2.3.8 forbids it, and passing it on would hand the smuggler's knife to the next server. Nothing
//! is repaired. NUL is refused as well: IMAP cannot send it (RFC 3501 section 9, `CHAR8`).

use super::reply::{Reply, replies};
use crate::limits::SMTP_DISCARDED_BYTES_MAX;

/// Where in a line the decoder stands, by what it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// CRLF, or nothing at all.
    LineStart,
    /// Something else in a line.
    Text,
    /// CR.
    Cr,
    /// CRLF and a dot, which belongs to the message in no case.
    Dot,
    /// CRLF, a dot and CR.
    DotCr,
}

/// Why a message is refused by its bytes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataTrouble {
    BareNewline,
    Nul,
    TooLarge,
}

impl DataTrouble {
    pub(super) fn reply(self) -> Reply {
        match self {
            DataTrouble::BareNewline => replies::MESSAGE_BARE_NEWLINE,
            DataTrouble::Nul => replies::MESSAGE_NUL,
            DataTrouble::TooLarge => replies::TOO_LARGE,
        }
    }
}

/// One step of decoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'i> {
    /// Bytes of the message.
    Bytes(&'i [u8]),
    /// The message is complete.
    End,
    /// All input was used.
    NeedMore,
    /// A refused message does not end: hang up.
    Endless,
}

/// The decoder of one message.
#[derive(Debug)]
pub(super) struct DotDecoder {
    seen: Seen,
    bytes: u64,
    bytes_max: u64,
    trouble: Option<DataTrouble>,
}

impl DotDecoder {
    /// For a message of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: u64) -> DotDecoder {
        DotDecoder { seen: Seen::LineStart, bytes: 0, bytes_max, trouble: None }
    }

    /// Why the message must be refused at its end. Once this is set, no more bytes are handed on.
    pub(super) fn trouble(&self) -> Option<DataTrouble> {
        self.trouble
    }

    /// Decodes up to the next piece; tells how many bytes of the input were used.
    pub(super) fn step<'i>(&mut self, input: &'i [u8]) -> (usize, Piece<'i>) {
        let (mut start, mut at) = (0, 0);
        while let Some(&byte) = input.get(at) {
            match (self.seen, byte) {
                (Seen::Text, _) => {
                    let rest = input.get(at..).unwrap_or_default();
                    let Some(special) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
                        at = input.len();
                        break;
                    };
                    match rest.get(special) {
                        Some(b'\r') => self.seen = Seen::Cr,
                        Some(b'\n') => self.refuse(DataTrouble::BareNewline),
                        _ => self.refuse(DataTrouble::Nul),
                    }
                    at += special + 1;
                }
                (Seen::LineStart, b'.') if at > start => break,
                (Seen::LineStart, b'.') => {
                    self.seen = Seen::Dot;
                    at += 1;
                    start = at;
                }
                (Seen::LineStart, _) => self.seen = Seen::Text,
                (Seen::Cr, b'\n') => {
                    self.seen = Seen::LineStart;
                    at += 1;
                }
                (Seen::Dot, b'\r') => {
                    self.seen = Seen::DotCr;
                    at += 1;
                    start = at;
                }
                (Seen::Dot, _) => self.seen = Seen::Text,
                (Seen::DotCr, b'\n') => return (at + 1, Piece::End),
                (Seen::Cr | Seen::DotCr, _) => {
                    self.refuse(DataTrouble::BareNewline);
                    self.seen = Seen::Text;
                }
            }
        }
        (at, self.hand_on(input.get(start..at).unwrap_or_default()))
    }

    /// Odd bytes anywhere weigh more than the size, which is seen sooner or later as the message happens to be cut.
    fn refuse(&mut self, trouble: DataTrouble) {
        if matches!(self.trouble, None | Some(DataTrouble::TooLarge)) {
            self.trouble = Some(trouble);
        }
    }

    fn hand_on<'i>(&mut self, bytes: &'i [u8]) -> Piece<'i> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > self.bytes_max {
            self.refuse(DataTrouble::TooLarge);
        }
        match self.trouble {
            Some(_) if self.bytes > self.bytes_max.saturating_add(SMTP_DISCARDED_BYTES_MAX) => Piece::Endless,
            Some(_) => Piece::NeedMore,
            None if bytes.is_empty() => Piece::NeedMore,
            None => Piece::Bytes(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The message decoded from `input` cut into pieces: its bytes and trouble, or `None` when it does not end; and
    /// how much input was used.
    fn decode(input: &[u8], piece: usize, max: u64) -> (Option<Result<Vec<u8>, DataTrouble>>, usize) {
        let (mut decoder, mut message, mut used_all) = (DotDecoder::new(max), Vec::new(), 0);
        for piece in input.chunks(piece) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (used, piece) = decoder.step(rest);
                rest = &rest[used..];
                used_all += used;
                match piece {
                    Piece::Bytes(bytes) => message.extend_from_slice(bytes),
                    Piece::End => return (Some(decoder.trouble().map_or(Ok(message), Err)), used_all),
                    Piece::NeedMore => {}
                    Piece::Endless => return (None, used_all),
                }
            }
        }
        (None, used_all)
    }

    #[test]
    fn dots_and_ends() {
        for (input, wanted) in [
            (".\r\n", ""),
            ("a\r\n.\r\n", "a\r\n"),
            ("a\r\n..\r\n.\r\n", "a\r\n.\r\n"),
            ("..a\r\n...b\r\n.\r\n", ".a\r\n..b\r\n"),
            (".a\r\n.\r\n", "a\r\n"),
            ("a.\r\n.b.\r\n\r\n.\r\n", "a.\r\nb.\r\n\r\n"),
        ] {
            for piece in 1..=input.len() {
                let found = decode(format!("{input}rest").as_bytes(), piece, 100);
                assert_eq!(found, (Some(Ok(wanted.as_bytes().to_vec())), input.len()), "{input:?} by {piece}");
            }
        }
    }

    /// SMTP smuggling: each of these has been taken for the end of a message by some server.
    #[test]
    fn nothing_else_ends_a_message() {
        for false_end in [
            "\n.\n",
            "\n.\r\n",
            "\r.\r",
            "\r.\r\n",
            "\r\n.\n",
            "\r\n.\r",
            "\n.\r",
            "\r.\n",
            "\r\n.\r\r\n",
            "\r\r\n.\r\r\n",
            "\r\n\0.\r\n",
            "\r\n.\0\r\n",
            "\n\n.\r\n",
            "\r\n.\r.\r\n",
        ] {
            let tail = "MAIL FROM:<smuggled@example.org>\r\n.\r\n";
            let input = format!("a{false_end}{tail}");
            let trouble = if false_end.contains('\0') { DataTrouble::Nul } else { DataTrouble::BareNewline };
            for piece in 1..=input.len() {
                let found = decode(input.as_bytes(), piece, 100);
                assert_eq!(found, (Some(Err(trouble)), input.len()), "{input:?} by {piece}");
            }
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(decode(b"12345678\r\n.\r\n", 3, 10).0, Some(Ok(b"12345678\r\n".to_vec())));
        assert_eq!(decode(b"123456789\r\n.\r\n", 3, 10).0, Some(Err(DataTrouble::TooLarge)));
        for piece in 1..20 {
            let both = decode(b"1234567890123\0\r\n.\r\n", piece, 10).0;
            assert_eq!(both, Some(Err(DataTrouble::Nul)), "by {piece}");
        }
        let endless = vec![b'x'; SMTP_DISCARDED_BYTES_MAX as usize + 8192];
        assert!(decode(&endless, 4096, 10).1 < endless.len());
    }

    proptest! {
        #[test]
        fn stuffing_is_undone(lines in proptest::collection::vec("[.a-c]{0,4}", 0..12), piece in 1usize..9) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let stuffed: String = lines.iter()
                .map(|line| format!("{}{line}\r\n", if line.starts_with('.') { "." } else { "" })).collect();
            let input = format!("{stuffed}.\r\n");
            prop_assert_eq!(decode(input.as_bytes(), piece, 1000), (Some(Ok(message.into_bytes())), input.len()));
        }

        #[test]
        fn pieces_do_not_matter(input in "[.a\r\n\0]{0,40}", piece in 1usize..9) {
            let whole = decode(input.as_bytes(), 40, 20);
            prop_assert_eq!(decode(input.as_bytes(), piece, 20), whole.clone());
            let end = input.find("\r\n.\r\n").map(|at| at + 5).filter(|_| !input.starts_with(".\r\n"));
            if let Some(end) = end { prop_assert_eq!(whole.1, end) }
        }
    }
}
