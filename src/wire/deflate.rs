//! DEFLATE below a conversation (RFC 1951 as RFC 4978 uses it): what a peer sends compressed, and our own text.
//!
//! Receives bytes; hands on bytes. It knows no protocol. What must always hold:
//!
//! - Each run of bytes that goes out begins and ends on a byte boundary and carries no final-block bit, so that bytes which
//!   were compressed by somebody else (the chunks of [`crate::store`]) may stand between two runs.
//! - Our text refers only to our text since the last of those: what the peer's window holds of them is not known here.
//! - Taking in never makes more bytes at once than there is room for, whatever was sent.

mod base64;

pub use base64::{find_stretch, is_even, push_base64, read_base64};

use crate::limits::{DEFLATE_HISTORY_BYTES, DEFLATE_TEXT_BYTES_MIN, READ_BUFFER_BYTES};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Bits of the distances in our own text: they reach as far as the history does.
const WINDOW_BITS: u8 = 13;
const _: () = assert!(DEFLATE_HISTORY_BYTES == 1 << WINDOW_BITS);

/// Fast, and with Huffman codes of its own for each block: the text of IMAP gets a fifth smaller than with fixed ones.
const LEVEL: u32 = 3;

/// The longest stored block (RFC 1951 section 3.2.4).
const STORED_BLOCK_BYTES_MAX: usize = u16::MAX as usize;

/// What came cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

/// Appends bytes as they are, in stored blocks. `out` must end on a byte boundary of the stream.
pub fn push_stored(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 5);
    for block in bytes.chunks(STORED_BLOCK_BYTES_MAX) {
        let length = (block.len() as u16).to_le_bytes();
        out.push(0);
        out.extend_from_slice(&length);
        out.extend(length.map(|byte| !byte));
        out.extend_from_slice(block);
    }
}

/// What a peer sends, about 50 KiB: most of it the window that the peer may refer to.
pub struct Inflow {
    decompress: Decompress,
    /// Compressed bytes that came and were not looked at yet.
    waiting: Vec<u8>,
    /// Those before it were.
    at: usize,
    /// The peer has ended its stream: nothing may follow.
    ended: bool,
    /// The last room given was filled: there may be more without anything coming.
    may_have_more: bool,
}

impl Inflow {
    /// These bytes came first; what follows comes by [`Inflow::room`].
    pub fn new(first: &[u8]) -> Inflow {
        Inflow {
            decompress: Decompress::new(false),
            waiting: first.to_vec(),
            at: 0,
            ended: false,
            may_have_more: !first.is_empty(),
        }
    }

    /// Whether [`Inflow::take`] may have something without anything coming.
    pub fn may_have_more(&self) -> bool {
        self.may_have_more
    }

    /// Whether the peer has ended its stream.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Decompresses into `room`, which must not be empty; says how many bytes. 0: all that came has been used.
    pub fn take(&mut self, room: &mut [u8]) -> Result<usize, Garbled> {
        if self.ended {
            return Ok(0);
        }
        loop {
            let input = self.waiting.get(self.at..).unwrap_or_default();
            let (was_in, was_out) = (self.decompress.total_in(), self.decompress.total_out());
            let status = self.decompress.decompress(input, room, FlushDecompress::None).map_err(|_| Garbled)?;
            let consumed = (self.decompress.total_in() - was_in) as usize;
            let made = (self.decompress.total_out() - was_out) as usize;
            self.at += consumed;
            self.ended = status == Status::StreamEnd;
            if made > 0 || consumed == 0 || self.ended {
                self.may_have_more = !self.ended && (made == room.len() || self.at < self.waiting.len());
                return if made == 0 && self.may_have_more { Err(Garbled) } else { Ok(made) };
            }
        }
    }

    /// The peer does not compress any more: what came behind the end of its stream. A peer that has not ended it sent nothing.
    pub fn into_rest(mut self) -> Vec<u8> {
        while !self.ended && self.take(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        self.waiting.drain(..self.at);
        if self.ended { self.waiting } else { Vec::new() }
    }

    /// Where the next compressed bytes are to be read to. What waited must have been taken. Say how many came by
    /// [`Inflow::came`]; nothing is lost if none do.
    pub fn room(&mut self) -> &mut [u8] {
        self.waiting.resize(READ_BUFFER_BYTES, 0);
        self.at = self.waiting.len();
        &mut self.waiting
    }

    /// So many bytes came into the room.
    pub fn came(&mut self, count: usize) {
        self.waiting.truncate(count);
        self.at = 0;
        self.may_have_more = count > 0;
    }
}

/// Compresses text, one run at a time: 240 KiB that any number of streams share.
pub struct Deflater {
    compress: Compress,
    out: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Deflater {
        let compress = Compress::new_with_window_bits(Compression::new(LEVEL), false, WINDOW_BITS);
        Deflater { compress, out: Vec::new() }
    }
}

impl Deflater {
    /// Whether `out` holds the whole run and is worth it.
    fn run(&mut self, history: &[u8], bytes: &[u8]) -> bool {
        self.compress.reset();
        self.out.clear();
        self.out.reserve(bytes.len() + bytes.len() / 8 + 256);
        if !history.is_empty() && self.compress.set_dictionary(history).is_err() {
            return false;
        }
        let status = self.compress.compress_vec(bytes, &mut self.out, FlushCompress::Sync);
        let whole = self.compress.total_in() == bytes.len() as u64 && self.out.len() < self.out.capacity();
        status.is_ok() && whole && self.out.len() <= bytes.len()
    }
}

/// Our own text to one peer: remembers what it may refer to.
#[derive(Default)]
pub struct Outflow {
    /// The last bytes of text, at most [`DEFLATE_HISTORY_BYTES`].
    history: Vec<u8>,
}

impl Outflow {
    /// Appends a run of text.
    pub fn push(&mut self, deflater: &mut Deflater, text: &[u8], out: &mut Vec<u8>) {
        if self.history.len() + text.len() >= DEFLATE_TEXT_BYTES_MIN && deflater.run(&self.history, text) {
            out.extend_from_slice(&deflater.out);
        } else {
            push_stored(out, text);
        }
        self.remember(text);
    }

    /// Bytes that somebody else compressed have been appended: what was said before is too far away.
    pub fn forget(&mut self) {
        self.history.clear();
    }

    fn remember(&mut self, text: &[u8]) {
        let tail = text.get(text.len().saturating_sub(DEFLATE_HISTORY_BYTES)..).unwrap_or_default();
        let kept = DEFLATE_HISTORY_BYTES - tail.len();
        self.history.drain(..self.history.len().saturating_sub(kept));
        self.history.extend_from_slice(tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything that comes out of these bytes, given in pieces and taken in rooms of these sizes.
    fn taken(bytes: &[u8], piece: usize, room: usize) -> Result<Vec<u8>, Garbled> {
        let (first, rest) = bytes.split_at(bytes.len().min(3));
        let mut inflow = Inflow::new(first);
        let (mut out, mut rest) = (Vec::new(), rest);
        let mut buffer = vec![0; room];
        loop {
            match inflow.take(&mut buffer)? {
                0 if rest.is_empty() || inflow.has_ended() => return Ok(out),
                0 => {
                    let count = piece.min(rest.len()).min(READ_BUFFER_BYTES);
                    inflow.room()[..count].copy_from_slice(&rest[..count]);
                    inflow.came(count);
                    rest = &rest[count..];
                }
                count => out.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn a_bomb_comes_out_in_rooms() {
        let mut compress = Compress::new(Compression::new(9), false);
        let mut bomb = Vec::with_capacity(64 << 10);
        compress.compress_vec(&vec![b'x'; 16 << 20], &mut bomb, FlushCompress::Sync).expect("compressed");
        assert!(bomb.len() < 20_000);
        let mut inflow = Inflow::new(&bomb);
        let mut room = [0; READ_BUFFER_BYTES];
        for _ in 0..(16 << 20) / READ_BUFFER_BYTES {
            assert!(inflow.may_have_more());
            assert_eq!(inflow.take(&mut room), Ok(READ_BUFFER_BYTES));
        }
        assert_eq!(inflow.take(&mut room), Ok(0));
        assert!(!inflow.may_have_more());
    }

    #[test]
    fn what_ends_has_ended() {
        let mut compress = Compress::new(Compression::new(1), false);
        let mut bytes = Vec::with_capacity(100);
        compress.compress_vec(b"a1 LOGOUT\r\n", &mut bytes, FlushCompress::Finish).expect("compressed");
        bytes.extend_from_slice(b"what is this");
        let mut inflow = Inflow::new(&bytes);
        let mut room = [0; 64];
        assert_eq!(inflow.take(&mut room), Ok(11));
        assert!(inflow.has_ended());
        assert_eq!(inflow.take(&mut room), Ok(0));
        assert_eq!(inflow.into_rest(), b"what is this");
        assert_eq!(Inflow::new(&bytes).into_rest(), b"what is this");
    }

    #[test]
    fn text_said_before_costs_little() {
        let mut deflater = Deflater::default();
        let mut outflow = Outflow::default();
        let mut out = Vec::new();
        outflow.push(&mut deflater, b"* 1 FETCH (UID 1)\r\n", &mut out);
        assert_eq!(out.len(), 24, "short text that resembles nothing is sent as it is");
        let line = "* 2 FETCH (UID 2 FLAGS (\\Seen) INTERNALDATE \"21-Nov-2026 12:00:00 +0000\" RFC822.SIZE 2345)\r\n";
        outflow.push(&mut deflater, line.as_bytes(), &mut out);
        let before = out.len();
        outflow.push(&mut deflater, line.replace('2', "3").as_bytes(), &mut out);
        assert!(out.len() - before < line.len() / 2, "{}", out.len() - before);
        let before = out.len();
        outflow.push(&mut deflater, line.as_bytes(), &mut out);
        assert!(out.len() - before < 20, "{}", out.len() - before);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, piece in 1usize..50, room in 1usize..50) {
            let _ = taken(&bytes, piece, room);
        }

        #[test]
        fn damaged_streams_are_survived(bytes in prop::collection::vec(b'a'..b'f', 1..3000), at in 0usize..3000, bit in 0u8..8) {
            let mut stream = Vec::new();
            Outflow::default().push(&mut Deflater::default(), &bytes, &mut stream);
            let at = at % stream.len();
            stream[at] ^= 1u8 << bit;
            let _ = taken(&stream, 100, 100);
        }

        /// Runs of ours between runs of others, as a client with one window sees them.
        #[test]
        fn runs_return(
            runs in prop::collection::vec((any::<bool>(), prop::collection::vec(b'a'..b'd', 0..2000), 1usize..8), 1..12),
            piece in 1usize..5000,
            room in 1usize..5000,
        ) {
            let mut deflater = Deflater::default();
            let mut outflow = Outflow::default();
            let (mut stream, mut whole) = (Vec::new(), Vec::new());
            for (others, text, times) in runs {
                let text = text.repeat(times);
                whole.extend_from_slice(&text);
                if others {
                    let mut compress = Compress::new(Compression::new(6), false);
                    stream.reserve(text.len() + 300);
                    compress.compress_vec(&text, &mut stream, FlushCompress::Sync).expect("compressed");
                    outflow.forget();
                } else {
                    outflow.push(&mut deflater, &text, &mut stream);
                }
            }
            prop_assert_eq!(taken(&stream, piece, room), Ok(whole));
        }

        #[test]
        fn stored_blocks_return(bytes in prop::collection::vec(any::<u8>(), 0..200), times in 0usize..1000) {
            let bytes = bytes.repeat(times);
            let mut stream = Vec::new();
            push_stored(&mut stream, &bytes);
            prop_assert_eq!(taken(&stream, 4096, 4096), Ok(bytes));
        }
    }
}
