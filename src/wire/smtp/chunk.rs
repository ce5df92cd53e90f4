//! The message after BDAT (RFC 3030): octets counted, not searched for an end, and handed on as slices of the input.
//!
//! What is announced is read to its last octet whatever becomes of it, so that no octet of a message is taken for a
//! command. The rules for the bytes of a message are those of DATA, across the seams of the chunks: a lone CR or LF, or a
//! NUL, and the whole message is refused. Only a message declared as BINARYMIME may hold them.

use super::command::Chunk;
use super::data::{DataTrouble, Piece};
use crate::limits::SMTP_DISCARDED_BYTES_MAX;

/// The decoder of one message.
#[derive(Debug)]
pub(super) struct ChunkDecoder {
    /// BODY=BINARYMIME.
    binary: bool,
    /// Octets of the message read so far.
    bytes: u64,
    bytes_max: u64,
    after_cr: bool,
    trouble: Option<DataTrouble>,
    /// What is still to come of the chunk.
    chunk: Chunk,
}

impl ChunkDecoder {
    /// For a message of at most `bytes_max` bytes, with its first chunk.
    pub(super) fn new(bytes_max: u64, binary: bool, chunk: Chunk) -> ChunkDecoder {
        let none = Chunk { bytes: 0, last: false };
        let mut decoder = ChunkDecoder { binary, bytes: 0, bytes_max, after_cr: false, trouble: None, chunk: none };
        decoder.begin(chunk);
        decoder
    }

    /// The next chunk.
    pub(super) fn begin(&mut self, chunk: Chunk) {
        self.chunk = chunk;
        if self.bytes.saturating_add(chunk.bytes) > self.bytes_max {
            self.refuse(DataTrouble::TooLarge);
        }
    }

    /// Whether all of the chunk has been read.
    pub(super) fn is_over(&self) -> bool {
        self.chunk.bytes == 0
    }

    /// Whether the chunk ends the message.
    pub(super) fn is_last(&self) -> bool {
        self.chunk.last
    }

    /// Why the message must be refused at the end of the chunk. Once this is set, no more bytes are handed on.
    pub(super) fn trouble(&self) -> Option<DataTrouble> {
        self.trouble
    }

    /// Takes what the input holds of the chunk; tells how much that was. [`Piece::End`] is the end of the chunk.
    pub(super) fn step<'i>(&mut self, input: &'i [u8]) -> (usize, Piece<'i>) {
        if self.chunk.bytes == 0 {
            if self.chunk.last && self.after_cr {
                self.refuse(DataTrouble::BareNewline);
            }
            return (0, Piece::End);
        }
        let room = usize::try_from(self.chunk.bytes).unwrap_or(usize::MAX);
        let bytes = input.get(..room).unwrap_or(input);
        if self.trouble.is_none() && !self.binary {
            self.check(bytes);
        }
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.chunk.bytes -= bytes.len() as u64;
        let piece = match self.trouble {
            Some(_) if self.bytes > self.bytes_max.saturating_add(SMTP_DISCARDED_BYTES_MAX) => Piece::Endless,
            None if !bytes.is_empty() => Piece::Bytes(bytes),
            _ => Piece::NeedMore,
        };
        (bytes.len(), piece)
    }

    fn check(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.after_cr) {
                if rest.first() != Some(&b'\n') {
                    return self.refuse(DataTrouble::BareNewline);
                }
                at += 1;
                continue;
            }
            let Some(special) = memchr::memchr3(b'\r', b'\n', 0, rest) else { return };
            match rest.get(special) {
                Some(b'\r') => self.after_cr = true,
                Some(b'\n') => return self.refuse(DataTrouble::BareNewline),
                _ => return self.refuse(DataTrouble::Nul),
            }
            at += special + 1;
        }
    }

    fn refuse(&mut self, trouble: DataTrouble) {
        self.trouble.get_or_insert(trouble);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES_MAX: u64 = 100;

    /// The message of these chunks, read in pieces.
    fn decode(chunks: &[&[u8]], binary: bool, piece: usize) -> Result<Vec<u8>, DataTrouble> {
        let mut message = Vec::new();
        let mut decoder = None;
        for (number, chunk) in chunks.iter().enumerate() {
            let next = Chunk { bytes: chunk.len() as u64, last: number + 1 == chunks.len() };
            let decoder = match &mut decoder {
                None => decoder.insert(ChunkDecoder::new(BYTES_MAX, binary, next)),
                Some(decoder) => {
                    decoder.begin(next);
                    decoder
                }
            };
            let mut rest = [chunk, &b"NOOP\r\n"[..]].concat();
            loop {
                let (used, found) = decoder.step(&rest[..piece.min(rest.len())]);
                match found {
                    Piece::Bytes(bytes) => message.extend_from_slice(bytes),
                    Piece::End => break assert_eq!(rest, b"NOOP\r\n"),
                    Piece::NeedMore => {}
                    Piece::Endless => return Err(DataTrouble::TooLarge),
                }
                rest.drain(..used);
            }
            if let Some(trouble) = decoder.trouble() {
                return Err(trouble);
            }
        }
        Ok(message)
    }

    #[test]
    fn the_rules_of_data_hold_across_chunks() {
        for (chunks, wanted) in [
            (&["a\r\n.\r\nb\r\n"][..], Ok("a\r\n.\r\nb\r\n")),
            (&["a\r", "\n.", "\r", "", "\nb"], Ok("a\r\n.\r\nb")),
            (&[""], Ok("")),
            (&["", "", ""], Ok("")),
            (&["a\r", ""], Err(DataTrouble::BareNewline)),
            (&["a\r", "b"], Err(DataTrouble::BareNewline)),
            (&["a\r", "\r\n"], Err(DataTrouble::BareNewline)),
            (&["a", "\nb"], Err(DataTrouble::BareNewline)),
            (&["a\r\n", "\n.\n"], Err(DataTrouble::BareNewline)),
            (&["a\0"], Err(DataTrouble::Nul)),
        ] {
            let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
            for piece in 1..=8 {
                let wanted = wanted.map(|text| text.as_bytes().to_vec());
                assert_eq!(decode(&chunks, false, piece), wanted, "{chunks:?} by {piece}");
            }
            assert_eq!(decode(&chunks, true, 3), Ok(chunks.concat()));
        }
    }

    #[test]
    fn sizes() {
        assert!(decode(&[&[b'x'; 60], &[b'x'; 40]], false, 7).is_ok());
        assert_eq!(decode(&[&[b'x'; 60], &[b'x'; 41]], true, 7), Err(DataTrouble::TooLarge));
        let mut decoder = ChunkDecoder::new(BYTES_MAX, false, Chunk { bytes: u64::MAX, last: true });
        let (mut read, piece) = (0, [b'x'; 4096]);
        while decoder.step(&piece).1 != Piece::Endless {
            read += piece.len() as u64;
            assert!(read < BYTES_MAX + SMTP_DISCARDED_BYTES_MAX + 4096);
        }
    }

    proptest! {
        #[test]
        fn seams_do_not_matter(chunks in proptest::collection::vec("[a.\r\n\0]{0,6}", 1..6), piece in 1usize..9) {
            let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
            let whole = chunks.concat();
            prop_assert_eq!(decode(&chunks, false, piece).is_ok(), decode(&[&whole], false, 4096).is_ok());
            prop_assert_eq!(decode(&chunks, true, piece), Ok(whole));
        }
    }
}
