//! Which trigrams the text of a message may have, in a few hundred bytes: a Bloom filter with one hash, so that a search
//! for a string opens only messages that may contain it.
//!
//! Receives folded text ([`crate::mail::text`]); hands on a signature, and what it says of a needle. Must always hold: a
//! needle that is in the text is never said to be missing. An empty signature, and one of a version that this program
//! does not know, may contain anything. One of the version before is right about what was text then: see [`is_current`].
//!
//! A signature is a byte for the version and then bits. Trigrams are kept as hashes of 16 bits until the end, and only then
//! as many bits are made of them as they need.

use crate::limits::{SIGNATURE_BITS_PER_TRIGRAM, SIGNATURE_BYTES_MAX, SIGNATURE_TRIGRAMS_MAX};

/// To be changed with everything that decides which text a message has and which bits it sets: decoding, folding, hash.
const VERSION: u8 = 3;
/// The version of signatures that know nothing of what stood in `message/*` that is not `message/rfc822`, nor of UTF-7: see
/// [`super::BodyIndex::was_read_otherwise`].
const VERSION_BEFORE: u8 = 2;

/// Whether it says of all that is text now whether a message may contain it.
pub fn is_current(signature: &[u8]) -> bool {
    signature.first() == Some(&VERSION)
}

/// A shorter needle may be anywhere.
pub const NEEDLE_BYTES_MIN: usize = 3;

/// Whether a text with this signature may contain the needle, folded as the text was.
pub fn may_contain(signature: &[u8], folded_needle: &[u8]) -> bool {
    let Some((&(VERSION | VERSION_BEFORE), bits)) = signature.split_first() else { return true };
    folded_needle.windows(NEEDLE_BYTES_MIN).all(|trigram| {
        let bit = bit_of(hash(trigram.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))), bits.len());
        bits.get(bit / 8).is_none_or(|byte| byte >> (bit % 8) & 1 == 1)
    })
}

/// By the golden ratio: neighbours fall far apart, and the upper bits depend on all.
fn hash(trigram: u32) -> u16 {
    (trigram.wrapping_mul(0x9e37_79b1) >> 16) as u16
}

/// The bit that a hash stands for among those of so many bytes. Another order of the hashes for every number of bytes:
/// what meets a frequent trigram in one message does not meet it in all.
fn bit_of(hash: u16, bytes: usize) -> usize {
    let place = hash.wrapping_mul((2 * bytes + 1) as u16);
    (usize::from(place) * bytes * 8) >> 16
}

/// The trigrams of one message while it is read, in 8 KiB.
#[derive(Debug)]
pub(super) struct Trigrams {
    /// A bit for each hash.
    seen: Box<[u64; 1024]>,
    /// The last bytes of the stretch at hand, two at most.
    last: u32,
    last_bytes: u8,
}

impl Trigrams {
    /// None yet.
    pub fn new() -> Trigrams {
        Trigrams { seen: Box::new([0; 1024]), last: 0, last_bytes: 0 }
    }

    /// Takes the next text of the stretch at hand.
    pub fn add(&mut self, folded: &str) {
        let mut text = folded.as_bytes();
        while self.last_bytes < 2
            && let Some((byte, rest)) = text.split_first()
        {
            self.last = self.last << 8 | u32::from(*byte);
            self.last_bytes += 1;
            text = rest;
        }
        let mut last = self.last;
        for byte in text {
            let trigram = last << 8 | u32::from(*byte);
            let hash = hash(trigram);
            self.seen[usize::from(hash >> 6)] |= 1 << (hash & 63);
            last = trigram & 0xffff;
        }
        self.last = last;
    }

    /// Ends a stretch: no needle reaches from it into the next.
    pub fn end_stretch(&mut self) {
        (self.last, self.last_bytes) = (0, 0);
    }

    /// Whether there are so many that the signature will be empty.
    pub fn are_too_many(&self) -> bool {
        self.count() > SIGNATURE_TRIGRAMS_MAX
    }

    fn count(&self) -> usize {
        self.seen.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The signature; empty when it would be too full to be of use.
    pub fn signature(&self) -> Vec<u8> {
        let count = self.count();
        if count > SIGNATURE_TRIGRAMS_MAX {
            return Vec::new();
        }
        let bytes = (count * SIGNATURE_BITS_PER_TRIGRAM).div_ceil(8).min(SIGNATURE_BYTES_MAX - 1);
        let mut signature = vec![0; 1 + bytes];
        signature[0] = VERSION;
        for (at, word) in (0u16..).zip(self.seen.iter()) {
            let mut left = *word;
            while left != 0 {
                let bit = bit_of(at << 6 | left.trailing_zeros() as u16, bytes);
                if let Some(byte) = signature.get_mut(1 + bit / 8) {
                    *byte |= 1 << (bit % 8);
                }
                left &= left - 1;
            }
        }
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signature(stretches: &[&str], piece: usize) -> Vec<u8> {
        let mut trigrams = Trigrams::new();
        for stretch in stretches {
            let chars: Vec<char> = stretch.chars().collect();
            chars.chunks(piece).for_each(|piece| trigrams.add(&piece.iter().collect::<String>()));
            trigrams.end_stretch();
        }
        trigrams.signature()
    }

    #[test]
    fn what_is_there_may_be_there_and_most_else_may_not() {
        let words = ["zanzibarite", "quokka", "grüsse", "日本語", "hello world"];
        for piece in [1, 2, 3, 100] {
            for word in words {
                let signature = signature(&[word], piece);
                assert!(word.char_indices().all(|(at, _)| may_contain(&signature, &word.as_bytes()[at..])));
                assert!(words.iter().filter(|other| may_contain(&signature, other.as_bytes())).count() <= 2);
            }
        }
    }

    #[test]
    fn stretches_are_apart_and_short_needles_anywhere() {
        let signature = signature(&["ab", "cdx"], 1);
        assert!(may_contain(&signature, b"cdx") && may_contain(&signature, b"zz") && may_contain(&signature, b""));
        assert!(!may_contain(&signature, b"abcd"));
    }

    #[test]
    fn what_is_not_understood_may_contain_anything() {
        for signature in [&b""[..], &[VERSION + 1, 0, 0], &[VERSION_BEFORE - 1, 0, 0], &[0]] {
            assert!(may_contain(signature, b"anything"));
        }
        // A text without trigrams.
        assert!(!may_contain(&[VERSION, 0], b"anything") && is_current(&[VERSION, 0]));
        assert!(
            !may_contain(&[VERSION_BEFORE, 0], b"anything") && !is_current(&[VERSION_BEFORE, 0]) && !is_current(b"")
        );
    }

    #[test]
    fn a_signature_is_bounded_and_empty_when_full() {
        let text = |trigrams: u32| (0..trigrams).filter_map(|n| char::from_u32(0x4e00 + n)).collect::<String>();
        for (trigrams, wanted) in
            [(10, 1 + 2..=8), (1000, 100..=1000), (2000, SIGNATURE_BYTES_MAX..=SIGNATURE_BYTES_MAX), (9000, 0..=0)]
        {
            let made = signature(&[&text(trigrams)], 50);
            assert!(wanted.contains(&made.len()), "{trigrams} {}", made.len());
            let ones: u32 = made.iter().skip(1).map(|byte| byte.count_ones()).sum();
            assert!(ones as usize * 100 <= 62 * 8 * made.len());
        }
    }

    proptest! {
        #[test]
        fn no_substring_is_missed(text in "\\PC{0,200}", piece in 1usize..20, start in 0usize..200, length in 0usize..20) {
            let signature = signature(&[&text], piece);
            let needle: String = text.chars().skip(start).take(length).collect();
            prop_assert!(may_contain(&signature, needle.as_bytes()));
        }
    }
}
