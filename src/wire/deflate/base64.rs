//! Base64 as DEFLATE, without a compressor (RFC 1951 section 3.2.7).
//!
//! Receives stretches of base64; hands on one block of DEFLATE for each, that any decompressor reads, and reads such blocks
//! quicker than one. All of them have the same Huffman codes: 6 bits for most letters, 7 for the others and the line ends. What encodes
//! pictures and archives has nothing in it for a compressor to find but that, which takes it longer than all the rest of a message.

use std::ops::Range;
use std::sync::LazyLock;

/// Bits of the codes of letters, and of everything else there is.
const LETTER_BITS: u32 = 6;
const OTHER_BITS: u32 = 7;
/// These have codes of [`OTHER_BITS`], because the others need room too: 60 codes of 6 bits and 8 of 7 fill the code.
const OTHERS: [u16; 8] =
    [b'\n' as u16, b'\r' as u16, b'+' as u16, b'/' as u16, b'8' as u16, b'9' as u16, b'=' as u16, END_OF_BLOCK];
const END_OF_BLOCK: u16 = 256;

/// Places of one table entry.
const PAIR_BITS: u32 = 2 * LETTER_BITS;

/// The code of everything that can stand in a block.
struct Codes {
    /// The bits that come before the codes of a stretch, but for those that do not fill a byte.
    head: Vec<u8>,
    /// The last of these bits, and how many.
    rest: (u64, u32),
    /// By byte: the code as it is sent, and its length; 0: cannot stand in a block.
    of_byte: [(u8, u8); 256],
    end: u8,
    /// By the next [`PAIR_BITS`]: one or two bytes, how many, and how many bits they took.
    pairs: Box<Pairs>,
}

#[derive(Clone, Copy, Default)]
struct Pair {
    bytes: [u8; 2],
    /// 0: the end of the block.
    count: u8,
    bits: u8,
}

type Pairs = [Pair; 1 << PAIR_BITS];

static CODES: LazyLock<Codes> = LazyLock::new(Codes::new);

/// Length of the code of a symbol; 0: has none.
fn code_bits(symbol: u16) -> u32 {
    match u8::try_from(symbol) {
        _ if OTHERS.contains(&symbol) => OTHER_BITS,
        Ok(byte) if byte.is_ascii_alphanumeric() => LETTER_BITS,
        _ => 0,
    }
}

/// A code as it is sent: its first bit lowest.
fn sent(code: u32, bits: u32) -> u8 {
    (code.reverse_bits() >> (u32::BITS - bits)) as u8
}

impl Codes {
    fn new() -> Codes {
        // Codes of one length are numbered in the order of their symbols, the shorter ones first (section 3.2.2).
        let (mut of_byte, mut end) = ([(0, 0); 256], 0);
        let (mut letters, mut others) = (0, 60 << (OTHER_BITS - LETTER_BITS));
        for symbol in 0..=END_OF_BLOCK {
            let (bits, next) = match code_bits(symbol) {
                0 => continue,
                LETTER_BITS => (LETTER_BITS, &mut letters),
                bits => (bits, &mut others),
            };
            let code = sent(*next, bits);
            *next += 1;
            match of_byte.get_mut(usize::from(symbol)) {
                Some(known) => *known = (code, bits as u8),
                None => end = code,
            }
        }
        let mut out = Bits::default();
        push_head(&mut out);
        Codes { head: out.bytes, rest: (out.waiting, out.count), of_byte, end, pairs: pairs(&of_byte) }
    }
}

/// What the next bits stand for.
fn pairs(of_byte: &[(u8, u8); 256]) -> Box<Pairs> {
    let first = |bits: u32, there: u32| {
        let is_it = |(code, length): (u8, u8)| {
            let length = u32::from(length);
            length > 0 && length <= there && bits & ((1 << length) - 1) == u32::from(code)
        };
        (0..=u8::MAX).find(|byte| of_byte.get(usize::from(*byte)).is_some_and(|code| is_it(*code)))
    };
    let length = |byte: u8| of_byte.get(usize::from(byte)).map_or(0, |code| code.1);
    let mut pairs = Box::new([Pair::default(); 1 << PAIR_BITS]);
    for (bits, pair) in (0..).zip(pairs.iter_mut()) {
        let Some(one) = first(bits, PAIR_BITS) else { continue };
        let used = length(one);
        *pair = match first(bits >> used, PAIR_BITS - u32::from(used)) {
            Some(two) => Pair { bytes: [one, two], count: 2, bits: used + length(two) },
            None => Pair { bytes: [one, 0], count: 1, bits: used },
        };
    }
    pairs
}

/// Bits on their way out, the first lowest.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    waiting: u64,
    count: u32,
}

impl Bits {
    /// At most 32 bits.
    fn push(&mut self, bits: u64, count: u32) {
        self.waiting |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.waiting as u8);
            self.waiting >>= 8;
            self.count -= 8;
        }
    }
}

/// The head of a block: the lengths of the codes of all symbols, run by run.
fn push_head(out: &mut Bits) {
    // The symbols that lengths are written in, in the order of section 3.2.7, up to the last that is used. Eight have codes of 3 bits.
    const ORDER: [u16; 18] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1];
    const USED: [u16; 8] = [0, 1, 2, 6, 7, 16, 17, 18];
    let push_symbol = |out: &mut Bits, symbol: u16| {
        let code = USED.iter().position(|used| *used == symbol).unwrap_or_default();
        out.push(sent(code as u32, 3).into(), 3);
    };
    // A block with codes of its own that is not the last, of 257 symbols and two distances, which nothing uses.
    out.push(0b100, 3);
    out.push(0, 5);
    out.push(1, 5);
    out.push(ORDER.len() as u64 - 4, 4);
    for symbol in ORDER {
        out.push(if USED.contains(&symbol) { 3 } else { 0 }, 3);
    }
    let lengths: Vec<u16> = (0..=END_OF_BLOCK).map(|symbol| code_bits(symbol) as u16).chain([1, 1]).collect();
    for run in lengths.chunk_by(|one, next| one == next) {
        let (length, mut left) = (run.first().copied().unwrap_or_default(), run.len());
        if length > 0 {
            push_symbol(out, length);
            left -= 1;
        }
        while left > 0 {
            let (symbol, least, most, bits) = match (length, left) {
                (0, 11..) => (18, 11, 138, 7),
                (0, 3..) => (17, 3, 10, 3),
                (1.., 3..) => (16, 3, 6, 2),
                _ => {
                    push_symbol(out, length);
                    left -= 1;
                    continue;
                }
            };
            let now = left.min(most);
            push_symbol(out, symbol);
            out.push((now - least) as u64, bits);
            left -= now;
        }
    }
}

/// The first stretch of at least `bytes_min` bytes that is nothing but base64 and line ends.
pub fn find_stretch(bytes: &[u8], bytes_min: usize) -> Option<Range<usize>> {
    let codes = &*CODES;
    let stands = |byte: &u8| codes.of_byte.get(usize::from(*byte)).is_some_and(|code| code.1 > 0);
    let mut start = 0;
    loop {
        // From behind: other text is passed over after a few letters.
        let stretch = bytes.get(start..start + bytes_min)?;
        match stretch.iter().rposition(|byte| !stands(byte)) {
            Some(other) => start += other + 1,
            None => {
                let behind = bytes.get(start + bytes_min..).unwrap_or_default();
                let more = behind.iter().take_while(|byte| stands(byte)).count();
                return Some(start..start + bytes_min + more);
            }
        }
    }
}

/// Whether the letters of a stretch come equally often, at its beginning and at its end, so that there is nothing in it for a compressor:
/// what it encodes is compressed already, or encrypted.
pub fn is_even(stretch: &[u8]) -> bool {
    let both = [stretch.get(..SAMPLE_BYTES), stretch.get(stretch.len().saturating_sub(SAMPLE_BYTES)..)];
    both.iter().all(|sample| is_sample_even(sample.unwrap_or(stretch)))
}

/// Bytes by which [`is_even`] judges.
const SAMPLE_BYTES: usize = 4096;

fn is_sample_even(sample: &[u8]) -> bool {
    let mut counts = [0u32; 256];
    for byte in sample {
        counts[usize::from(*byte)] += 1;
    }
    let squares: u32 = counts.iter().map(|count| count * count).sum();
    // Of n letters, an even sample has n²/64 and about n by chance.
    let n = sample.len() as u32;
    squares <= n * n / 64 * 23 / 20 + n
}

/// Appends a stretch as a block that is not the last, and an empty one that ends on a byte boundary. `out` must end on one. False, and
/// nothing appended, when something else is in it.
pub fn push_base64(out: &mut Vec<u8>, stretch: &[u8]) -> bool {
    let codes = &*CODES;
    let before = out.len();
    out.extend_from_slice(&codes.head);
    let mut at = out.len();
    out.resize(at + (stretch.len() * OTHER_BITS as usize).div_ceil(8) + 2 * WORD_BYTES, 0);
    let mut word = Word { bits: codes.rest.0, count: codes.rest.1, fits: true };
    let (eights, tail) = stretch.as_chunks();
    // Written out: at most 7 bits wait, and eight codes have at most 56.
    for [a, b, c, d, e, f, g, h] in eights {
        word.push(codes, *a);
        word.push(codes, *b);
        word.push(codes, *c);
        word.push(codes, *d);
        word.push(codes, *e);
        word.push(codes, *f);
        word.push(codes, *g);
        word.push(codes, *h);
        at += word.put(out, at);
    }
    for byte in tail {
        word.push(codes, *byte);
    }
    at += word.put(out, at);
    if !word.fits {
        out.truncate(before);
        return false;
    }
    // The end of the block, and the head of a stored one, which is three bits of 0 up to the next byte.
    word.bits |= u64::from(codes.end) << word.count;
    word.count = (word.count + OTHER_BITS + 3).next_multiple_of(8);
    at += word.put(out, at);
    out.truncate(at);
    out.extend_from_slice(&[0, 0, 0xff, 0xff]);
    true
}

/// Bytes of a word of bits.
const WORD_BYTES: usize = 8;

/// Bits of a stretch that wait to be laid down.
struct Word {
    bits: u64,
    count: u32,
    /// Everything could stand in a block.
    fits: bool,
}

impl Word {
    #[inline(always)]
    fn push(&mut self, codes: &Codes, byte: u8) {
        let (code, bits) = codes.of_byte[usize::from(byte)];
        self.fits &= bits > 0;
        self.bits |= u64::from(code) << self.count;
        self.count += u32::from(bits);
    }

    /// Lays all of it down, and says how many bytes are whole; the other bits wait.
    #[inline(always)]
    fn put(&mut self, out: &mut [u8], at: usize) -> usize {
        if let Some(place) = out.get_mut(at..at + WORD_BYTES) {
            place.copy_from_slice(&self.bits.to_le_bytes());
        }
        let whole = self.count / 8;
        self.bits = self.bits.checked_shr(whole * 8).unwrap_or_default();
        self.count %= 8;
        whole as usize
    }
}

/// Appends the `bytes` bytes that a block of [`push_base64`] stands for. False, and nothing appended, when `deflated` does not begin with
/// one, or it has fewer. Says nothing of what comes behind them.
pub fn read_base64(deflated: &[u8], bytes: usize, out: &mut Vec<u8>) -> bool {
    let codes = &*CODES;
    let Some(behind) = deflated.strip_prefix(&codes.head[..]) else { return false };
    let (rest, rest_bits) = codes.rest;
    if behind.first().is_none_or(|byte| u64::from(*byte) & ((1 << rest_bits) - 1) != rest) {
        return false;
    }
    let before = out.len();
    // The last word may have more letters than there are.
    out.resize(before + bytes + WORD_BYTES, 0);
    let read = read_words(&codes.pairs, behind, rest_bits, out.get_mut(before..).unwrap_or_default());
    out.truncate(if read { before + bytes } else { before });
    read
}

/// Fills `out` but for its last [`WORD_BYTES`], from the bit `bit` on. False when the block ends before.
fn read_words(pairs: &Pairs, deflated: &[u8], bit: u32, out: &mut [u8]) -> bool {
    let (mut at, mut bit, whole) = (0, bit as usize, out.len().saturating_sub(WORD_BYTES));
    while at < whole {
        let Some(place) = out.get_mut(at..at + WORD_BYTES) else { return false };
        let from = deflated.get(bit / 8..).unwrap_or_default();
        // Behind the end there are zeros.
        let word = match from.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => from.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        // With up to 7 bits used already, four pairs are in it.
        let mut letters = Letters { bytes: 0, count: 0, word: word >> (bit % 8), bits: bit };
        letters.read(pairs);
        letters.read(pairs);
        letters.read(pairs);
        letters.read(pairs);
        if letters.count == 0 {
            return false;
        }
        place.copy_from_slice(&letters.bytes.to_le_bytes());
        (at, bit) = (at + letters.count, letters.bits);
    }
    true
}

/// What is read of a word.
struct Letters {
    bytes: u64,
    count: usize,
    word: u64,
    bits: usize,
}

impl Letters {
    #[inline(always)]
    fn read(&mut self, pairs: &Pairs) {
        let Pair { bytes, count, bits } = pairs[(self.word & ((1 << PAIR_BITS) - 1)) as usize];
        self.bytes |= u64::from(u16::from_le_bytes(bytes)) << (8 * self.count);
        self.count += usize::from(count);
        self.word >>= bits;
        self.bits += usize::from(bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine};
    use flate2::{Decompress, FlushDecompress};
    use proptest::prelude::*;

    /// Lines of 76 letters of bytes that nobody can compress.
    fn picture(bytes: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let bytes: Vec<u8> = (0..bytes).map(|_| next()).collect();
        let letters = BASE64_STANDARD.encode(bytes);
        letters.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect()
    }

    /// What any decompressor makes of it.
    fn inflated(deflated: &[u8], bytes: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes + 100);
        Decompress::new(false).decompress_vec(deflated, &mut out, FlushDecompress::None).expect("a stream");
        out
    }

    #[test]
    fn a_picture_takes_what_its_bytes_take() {
        let picture = picture(24_000);
        assert!(is_even(&picture));
        assert_eq!(find_stretch(&picture, 4096), Some(0..picture.len()));
        let mut deflated = Vec::new();
        assert!(push_base64(&mut deflated, &picture));
        assert!(deflated.len() < 25_100, "{}", deflated.len());
        assert_eq!(inflated(&deflated, picture.len()), picture);
        assert!(deflated.ends_with(&[0, 0, 0xff, 0xff]));
        let mut out = b"before".to_vec();
        assert!(read_base64(&deflated, picture.len(), &mut out));
        assert_eq!(out, [&b"before"[..], &picture].concat());
    }

    #[test]
    fn a_block_with_fewer_bytes_is_not_read() {
        let (stretch, mut deflated) = (b"QUJD\r\n".repeat(9), Vec::new());
        assert!(push_base64(&mut deflated, &stretch));
        let mut out = Vec::new();
        assert!(!read_base64(&deflated, stretch.len() + 1, &mut out));
        assert!(!read_base64(&deflated, stretch.len() + 1000, &mut out));
        assert!(!read_base64(b"", 0, &mut out));
        deflated[3] ^= 1;
        assert!(!read_base64(&deflated, stretch.len(), &mut out));
        assert!(out.is_empty());
    }

    #[test]
    fn what_a_compressor_is_for_is_left_to_it() {
        let text = b"Dear all, the quokka is a small marsupial. ".repeat(300);
        assert_eq!(find_stretch(&text, 100), None);
        let encoded = BASE64_STANDARD.encode(text);
        assert_eq!(find_stretch(encoded.as_bytes(), 4096), Some(0..encoded.len()));
        assert!(!is_even(encoded.as_bytes()), "it is text below");
        assert!(!is_even(&b"A".repeat(5000)), "and that nothing at all");
        assert!(!push_base64(&mut Vec::new(), b"QUJD \r\n"), "a blank is no base64");
    }

    #[test]
    fn a_stretch_is_found_between_other_text() {
        let (picture, head) = (picture(6000), "Content-Transfer-Encoding: base64\r\n\r\n");
        let whole = [head.as_bytes(), &picture, b"--boundary--\r\n"].concat();
        let found = find_stretch(&whole, 4096).expect("found");
        assert_eq!(whole[found.clone()], [b"base64\r\n\r\n", &picture[..]].concat());
        assert_eq!(whole[found.end..], *b"--boundary--\r\n");
        assert_eq!(find_stretch(&picture, picture.len() + 1), None);
    }

    proptest! {
        #[test]
        fn stretches_return(stretch in "[A-Za-z0-9+/=\r\n]{0,300}", times in 1usize..30) {
            let stretch = stretch.repeat(times).into_bytes();
            let mut deflated = Vec::new();
            prop_assert!(push_base64(&mut deflated, &stretch));
            prop_assert_eq!(inflated(&deflated, stretch.len()), &stretch[..]);
            let mut out = Vec::new();
            prop_assert!(read_base64(&deflated, stretch.len(), &mut out));
            prop_assert_eq!(out, stretch);
        }

        #[test]
        fn damaged_blocks_are_survived(stretch in "[A-Za-z0-9+/=\r\n]{1,300}", at: usize, bit in 0u8..8, bytes in 0usize..400) {
            let mut deflated = Vec::new();
            prop_assert!(push_base64(&mut deflated, stretch.as_bytes()));
            let at = at % deflated.len();
            deflated[at] ^= 1 << bit;
            let mut out = Vec::new();
            let read = read_base64(&deflated, bytes, &mut out);
            prop_assert_eq!(out.len(), if read { bytes } else { 0 });
        }
    }
}
