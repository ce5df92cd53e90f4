//! Pages of the redb file as 4.5.0 writes them (its file format 3), read without redb.
//!
//! Receives bytes that may be anything; hands on rows. redb trusts the pages it has once verified and may panic on
//! others, so a damaged file is never shown to it. What must always hold: every offset is checked, nothing is read twice
//! and the work is bounded by the length of the file.
//!
//! A leaf: type 1, a zero, number of pairs (2 bytes), then the ends of its keys and of its values (4 bytes each, left out
//! where the width is fixed), keys, values. A branch: type 2, a zero, number of keys (2), four zeros, a checksum per child
//! (16), a page number per child (8), ends of keys unless fixed, keys. Whoever points to a page knows its checksum.

use super::super::code::Decoder;
use super::source::{PAGE_BYTES, Source};
use redb::{Key, TableDefinition, TableHandle, Value};

const LEAF: u8 = 1;
const BRANCH: u8 = 2;
/// Pages behind each other that share a region number: redb's default, which this store uses.
const REGION_PAGES: u64 = 1 << 20;
/// Largest page that is read, as a power of two pages: 16 MiB, more than any row.
const ORDER_MAX: u64 = 12;
/// No real tree is nearly as deep.
const DEPTH_MAX: usize = 32;
const CHECKSUM_BYTES: usize = 16;
const NUMBER_BYTES: usize = 8;

/// What a table's pages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Name of the table.
    pub name: &'static str,
    /// Width of its keys in bytes, when it is fixed.
    pub key: Option<usize>,
    /// Width of its values in bytes, when it is fixed.
    pub value: Option<usize>,
}

impl Shape {
    /// Of a table of this store.
    pub fn of<K: Key + 'static, V: Value + 'static>(table: &'static TableDefinition<'static, K, V>) -> Shape {
        Shape { name: table.name(), key: K::fixed_width(), value: V::fixed_width() }
    }
}

/// Where a page lies, and the checksum of what it must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRef {
    /// Offset in bytes.
    pub at: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// XXH3 with 128 bits.
    pub checksum: u128,
}

impl PageRef {
    /// From redb's page number. Numbers of pages that no file of ours has are refused.
    pub fn new(number: [u8; NUMBER_BYTES], checksum: u128) -> Option<PageRef> {
        let number = u64::from_le_bytes(number);
        let order = number >> 59;
        if order > ORDER_MAX {
            return None;
        }
        let index = number & (0x000F_FFFF >> order);
        let region = number >> 20 & 0x000F_FFFF;
        let bytes = PAGE_BYTES << order;
        // The first page of the file is the header.
        Some(PageRef { at: PAGE_BYTES + region * REGION_PAGES * PAGE_BYTES + index * bytes, bytes, checksum })
    }

    /// From a tree's header: page number, checksum, and the number of rows behind them.
    pub fn of_root(bytes: &[u8]) -> Option<(PageRef, u64)> {
        let mut decoder = Decoder::new(bytes);
        let number = decoder.array().ok()?;
        let checksum = u128::from_le_bytes(decoder.array().ok()?);
        Some((PageRef::new(number, checksum)?, decoder.u64().ok()?))
    }
}

/// The pages known to be what they were, one bit for each.
pub struct Known {
    bits: Vec<u64>,
}

impl Known {
    /// None yet.
    pub fn new(source: &Source) -> Known {
        Known { bits: vec![0; usize::try_from(source.bytes() / PAGE_BYTES / 64 + 1).unwrap_or(0)] }
    }
    /// Of no file.
    pub fn none() -> Known {
        Known { bits: Vec::new() }
    }
    /// Whether the page at that offset is.
    pub fn has(&self, at: u64) -> bool {
        let page = at / PAGE_BYTES;
        self.bits.get((page / 64) as usize).is_some_and(|bits| bits >> (page % 64) & 1 == 1)
    }
    fn add(&mut self, page: &PageRef) {
        for number in page.at / PAGE_BYTES..(page.at + page.bytes) / PAGE_BYTES {
            if let Some(bits) = self.bits.get_mut((number / 64) as usize) {
                *bits |= 1 << (number % 64);
            }
        }
    }
}

/// A number of two or four bytes.
fn number(page: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = page.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// A leaf, perhaps with damage in it.
pub struct Leaf<'a> {
    page: &'a [u8],
    shape: Shape,
    pairs: usize,
}

impl<'a> Leaf<'a> {
    /// `None` when it cannot be one.
    pub fn parse(page: &'a [u8], shape: Shape) -> Option<Leaf<'a>> {
        let pairs = number(page, 2, 2)?;
        let leaf = Leaf { page, shape, pairs };
        let is_one = page.first() == Some(&LEAF) && pairs > 0 && leaf.keys_start() <= page.len();
        is_one.then_some(leaf)
    }

    fn keys_start(&self) -> usize {
        let widths = usize::from(self.shape.key.is_none()) + usize::from(self.shape.value.is_none());
        4 + 4 * self.pairs * widths
    }

    fn key_end(&self, pair: usize) -> Option<usize> {
        match self.shape.key {
            Some(width) => self.keys_start().checked_add(width.checked_mul(pair + 1)?),
            None => number(self.page, 4 + 4 * pair, 4),
        }
    }

    fn value_end(&self, pair: usize) -> Option<usize> {
        match self.shape.value {
            Some(width) => self.key_end(self.pairs - 1)?.checked_add(width.checked_mul(pair + 1)?),
            None => {
                let skipped = if self.shape.key.is_none() { self.pairs } else { 0 };
                number(self.page, 4 + 4 * (skipped + pair), 4)
            }
        }
    }

    /// How many bytes of the page are used.
    pub fn used(&self) -> Option<usize> {
        self.value_end(self.pairs - 1)
    }

    /// Keys and values that lie in the page, and where in it the values begin. No byte is in two of them, however damaged
    /// the ends are.
    pub fn rows(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8], u64)> {
        let mut key_from = self.keys_start();
        let mut value_from = self.key_end(self.pairs - 1).unwrap_or(usize::MAX);
        let (mut key_seen, mut value_seen) = (key_from, 0);
        (0..self.pairs).filter_map(move |pair| {
            let (key_to, value_to) = (self.key_end(pair)?, self.value_end(pair)?);
            let key = (key_from >= key_seen).then(|| self.page.get(key_from..key_to)).flatten();
            let value = (value_from >= value_seen).then(|| self.page.get(value_from..value_to)).flatten();
            (key_seen, value_seen) = (key_seen.max(key_to), value_seen.max(value_to));
            let at = value_from as u64;
            (key_from, value_from) = (key_to, value_to);
            Some((key?, value?, at))
        })
    }
}

/// Bytes of a branch that its checksum covers, and its children.
fn branch(page: &[u8], key: Option<usize>) -> Option<(usize, Vec<Option<PageRef>>)> {
    let keys = number(page, 2, 2)?;
    if page.first() != Some(&BRANCH) || keys == 0 {
        return None;
    }
    let numbers = 8 + CHECKSUM_BYTES * (keys + 1);
    let ends = numbers + NUMBER_BYTES * (keys + 1);
    let used = match key {
        Some(width) => ends + width * keys,
        None => number(page, ends + 4 * (keys - 1), 4)?,
    };
    let child = |child: usize| {
        let checksum = page.get(8 + CHECKSUM_BYTES * child..)?.first_chunk()?;
        let number = page.get(numbers + NUMBER_BYTES * child..)?.first_chunk()?;
        PageRef::new(*number, u128::from_le_bytes(*checksum))
    };
    page.get(..ends)?;
    Some((used, (0..=keys).map(child).collect()))
}

/// What a walk through a tree came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Rows that were handed on.
    pub rows: u64,
    /// Pages that are not what they were; what hangs below them was not seen.
    pub damaged: u64,
}

/// Whether that page is what it was: a leaf or branch of this shape with the right checksum.
pub fn verify(source: &Source, page: &PageRef, shape: Shape) -> Option<Vec<u8>> {
    if page.at.checked_add(page.bytes)? > source.bytes() {
        return None;
    }
    let bytes = source.read(page.at, usize::try_from(page.bytes).ok()?);
    let used = match *bytes.first()? {
        LEAF => Leaf::parse(&bytes, shape)?.used()?,
        BRANCH => branch(&bytes, shape.key)?.0,
        _ => return None,
    };
    let right = twox_hash::XxHash3_128::oneshot(bytes.get(..used)?) == page.checksum;
    right.then_some(bytes)
}

/// Walks a tree and hands on every row of every leaf whose checksum is right, all the way from the root, with the offset
/// of its value in the file.
pub fn walk(
    source: &Source,
    root: PageRef,
    shape: Shape,
    known: &mut Known,
    mut each: impl FnMut(&[u8], &[u8], u64),
) -> Walk {
    let mut result = Walk::default();
    let mut waiting = vec![(Some(root), 0)];
    while let Some((page, depth)) = waiting.pop() {
        let fresh = page.filter(|page| depth < DEPTH_MAX && !known.has(page.at));
        let Some((page, bytes)) = fresh.and_then(|page| Some((page, verify(source, &page, shape)?))) else {
            result.damaged += 1;
            continue;
        };
        known.add(&page);
        if let Some((_, children)) = branch(&bytes, shape.key) {
            waiting.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
        } else if let Some(leaf) = Leaf::parse(&bytes, shape) {
            for (key, value, at) in leaf.rows() {
                result.rows += 1;
                each(key, value, page.at + at);
            }
        }
    }
    result
}

/// Longest leaf that a sweep takes for one: longer than any row it looks for. Anything may lie in the file, mail included.
const SWEPT_LEAF_BYTES_MAX: usize = 64 << 10;
/// How much a sweep reads at once.
const SWEEP_BYTES: usize = 1 << 20;

/// Tries every page that is not known as a leaf of each of these shapes, from the file's start to its end, and hands on
/// whatever could be a row: which shape, key, value, and the offset of the value in the file. Nothing about it is certain.
pub fn sweep(source: &Source, known: &Known, shapes: &[Shape], mut each: impl FnMut(usize, &[u8], &[u8], u64)) {
    let mut at = PAGE_BYTES;
    while at < source.bytes() {
        let bytes = source.read(at, SWEEP_BYTES + SWEPT_LEAF_BYTES_MAX);
        for page in (0..SWEEP_BYTES).step_by(PAGE_BYTES as usize) {
            let page_at = at + page as u64;
            // The type decides first: most pages are none.
            if bytes.get(page) != Some(&LEAF) || page_at >= source.bytes() || known.has(page_at) {
                continue;
            }
            let window = bytes.get(page..page + SWEPT_LEAF_BYTES_MAX).unwrap_or_default();
            for (which, shape) in shapes.iter().enumerate() {
                if let Some(leaf) = Leaf::parse(window, *shape) {
                    leaf.rows().for_each(|(key, value, value_at)| each(which, key, value, page_at + value_at));
                }
            }
        }
        at += SWEEP_BYTES as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPES: [Shape; 3] = [
        Shape { name: "a", key: Some(8), value: Some(54) },
        Shape { name: "b", key: Some(12), value: None },
        Shape { name: "c", key: None, value: None },
    ];

    #[test]
    fn numbers_of_pages_are_places() {
        let at = |number: u64| PageRef::new(number.to_le_bytes(), 0).map(|page| (page.at, page.bytes));
        assert_eq!(at(0), Some((4096, 4096)));
        assert_eq!(at(2 << 59 | 3), Some((4096 + 3 * 16_384, 16_384)));
        assert_eq!(at(1 << 20 | 1), Some((4096 + (1 << 32) + 4096, 4096)));
        assert_eq!(at(20 << 59), None, "larger than any page of this store");
    }

    proptest! {
        /// Nothing panics, and the rows of one leaf are never longer together than the leaf: that bounds the work.
        #[test]
        fn leaves_may_be_anything(mut page in prop::collection::vec(any::<u8>(), 0..5000), pairs in 0u16..400, ends: Vec<u16>) {
            for (place, byte) in page.iter_mut().zip([LEAF, 0].into_iter().chain(pairs.to_le_bytes())) {
                *place = byte;
            }
            // Ends that are not far off.
            for (place, end) in page.iter_mut().skip(4).collect::<Vec<_>>().chunks_mut(4).zip(&ends) {
                for (byte, value) in place.iter_mut().zip(u32::from(end % 5000).to_le_bytes()) {
                    **byte = value;
                }
            }
            for shape in SHAPES {
                let Some(leaf) = Leaf::parse(&page, shape) else { continue };
                let (mut keys, mut values) = (0, 0);
                for (key, value, at) in leaf.rows() {
                    keys += key.len();
                    values += value.len();
                    prop_assert_eq!(page.get(at as usize..at as usize + value.len()), Some(value));
                }
                prop_assert!(keys <= page.len() && values <= page.len());
            }
            if let Some(first) = page.first_mut() {
                *first = BRANCH;
            }
            let _ = branch(&page, Some(8));
            let _ = branch(&page, None);
        }
    }
}
