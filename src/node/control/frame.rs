//! The bytes on the control socket.
//!
//! Receives and hands on whole frames; reads no socket. A request is a length of four bytes, then words that each end in a
//! zero byte; the first word is the zone. A piece of an answer is a letter, a length of four bytes, and that many bytes of text:
//! `t` for text of the answer, `f` for the failure, a byte of exit code and the sentence, which is the last piece; `d` (done)
//! is the last piece otherwise. Lengths are big-endian. Whoever reads bounds the length before it makes room.

use crate::limits::{CONTROL_PIECE_BYTES_MAX, CONTROL_REQUEST_BYTES_MAX};
use crate::node::failure::Failure;

/// Bytes of the head of a request.
pub const REQUEST_HEAD_BYTES: usize = 4;
/// Bytes of the head of a piece.
pub const PIECE_HEAD_BYTES: usize = 5;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Minutes east of UTC, where whoever asks lives.
    pub zone_minutes: i16,
    /// The command and its arguments.
    pub words: Vec<String>,
}

/// One piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text for stdout, at most [`CONTROL_PIECE_BYTES_MAX`] bytes.
    Text(String),
    /// The last one: exit code and sentence.
    Failed(u8, String),
    /// The last one: everything was done.
    Done,
}

/// What is wrong with a frame, as a sentence.
pub type Malformed = &'static str;

impl Request {
    /// Its frame; `None` when it has more than [`CONTROL_REQUEST_BYTES_MAX`] bytes, or a word with a zero byte.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut words = format!("{}\0", self.zone_minutes).into_bytes();
        for word in &self.words {
            if word.contains('\0') {
                return None;
            }
            words.extend_from_slice(word.as_bytes());
            words.push(0);
        }
        let length = u32::try_from(words.len()).ok().filter(|_| words.len() <= CONTROL_REQUEST_BYTES_MAX)?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.append(&mut words);
        Some(frame)
    }

    /// How many bytes come after this head.
    pub fn length(head: [u8; REQUEST_HEAD_BYTES]) -> Result<usize, Malformed> {
        let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
        if length <= CONTROL_REQUEST_BYTES_MAX { Ok(length) } else { Err("the request is too long") }
    }

    /// Reads what came after the head.
    pub fn decode(words: &[u8]) -> Result<Request, Malformed> {
        let text = std::str::from_utf8(words).map_err(|_| "the request is not UTF-8")?;
        let text = text.strip_suffix('\0').ok_or("the request does not end")?;
        let mut words = text.split('\0').map(str::to_owned);
        let zone: i16 = words.next().and_then(|zone| zone.parse().ok()).ok_or("the request has no zone")?;
        if zone.unsigned_abs() > 24 * 60 {
            return Err("the request has no zone");
        }
        Ok(Request { zone_minutes: zone, words: words.collect() })
    }
}

impl Piece {
    /// The last piece of an outcome.
    pub fn end(outcome: Result<(), Failure>) -> Piece {
        match outcome {
            Ok(()) => Piece::Done,
            Err(failure) => Piece::Failed(failure.exit as u8, failure.sentence),
        }
    }

    /// Its frame; text that is too long is cut.
    pub fn encode(&self) -> Vec<u8> {
        let (letter, code, text) = match self {
            Piece::Text(text) => (b't', None, text.as_str()),
            Piece::Failed(code, sentence) => (b'f', Some(*code), sentence.as_str()),
            Piece::Done => (b'd', None, ""),
        };
        let room = CONTROL_PIECE_BYTES_MAX - usize::from(code.is_some());
        let text = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
        let length = text.len() + usize::from(code.is_some());
        let mut frame = vec![letter];
        frame.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend(code);
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    /// The letter of a head, and how many bytes come after it.
    pub fn length(head: [u8; PIECE_HEAD_BYTES]) -> Result<(u8, usize), Malformed> {
        let [letter, a, b, c, d] = head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length <= CONTROL_PIECE_BYTES_MAX { Ok((letter, length)) } else { Err("a piece of the answer is too long") }
    }

    /// Reads what came after the head.
    pub fn decode(letter: u8, bytes: &[u8]) -> Result<Piece, Malformed> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "the answer is not UTF-8");
        match (letter, bytes) {
            (b't', bytes) => Ok(Piece::Text(text(bytes)?)),
            (b'f', [code, sentence @ ..]) => Ok(Piece::Failed(*code, text(sentence)?)),
            (b'd', []) => Ok(Piece::Done),
            _ => Err("the answer is not one of a node"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(words: &[&str]) -> Request {
        Request { zone_minutes: -90, words: words.iter().map(|word| (*word).to_owned()).collect() }
    }

    #[test]
    fn requests_return() {
        for words in [&["queue", "list"][..], &["queue", "show", "12"], &["", "ä"], &[]] {
            let frame = request(words).encode().unwrap();
            let (head, rest) = frame.split_first_chunk().unwrap();
            assert_eq!(Request::length(*head), Ok(rest.len()));
            assert_eq!(Request::decode(rest), Ok(request(words)));
        }
        assert_eq!(request(&["a\0b"]).encode(), None);
        assert_eq!(request(&[&"x".repeat(CONTROL_REQUEST_BYTES_MAX)]).encode(), None);
    }

    #[test]
    fn pieces_return_and_long_ones_are_cut() {
        let failed = Piece::Failed(74, "the store failed".into());
        for piece in [Piece::Text("ä\n".into()), Piece::Text(String::new()), failed, Piece::Done] {
            let frame = piece.encode();
            let (head, rest) = frame.split_first_chunk().unwrap();
            let (letter, length) = Piece::length(*head).unwrap();
            assert_eq!((length, Piece::decode(letter, rest)), (rest.len(), Ok(piece)));
        }
        let long = "ä".repeat(CONTROL_PIECE_BYTES_MAX);
        for piece in [Piece::Text(long.clone()), Piece::Failed(1, long)] {
            let frame = piece.encode();
            let (head, rest) = frame.split_first_chunk().unwrap();
            let (letter, length) = Piece::length(*head).unwrap();
            assert!(length == rest.len() && Piece::decode(letter, rest).is_ok());
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_means_itself(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(request) = Request::decode(&bytes) {
                let again = request.encode().unwrap();
                prop_assert_eq!(Request::decode(&again[REQUEST_HEAD_BYTES..]), Ok(request));
            }
            if let Some((head, rest)) = bytes.split_first_chunk()
                && let Ok((letter, _)) = Piece::length(*head)
            {
                let _ = Piece::decode(letter, rest);
            }
        }
    }
}
