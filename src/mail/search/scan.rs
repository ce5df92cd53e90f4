//! Reads the texts of one message for the needles of a query.
//!
//! Receives the index of a message and pieces of the stretches that [`stretches`] names; hands on which needles are there.
//! Must always hold: what is found does not depend on how the stretches are cut.

use super::fuzzy::bare_into;
use super::{Needle, Query};
use crate::mail::index::BodyIndex;
use crate::mail::text::StretchDecoder;
use std::ops::Range;

/// Which needles were found: bit n stands for needle n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Hits {
    pub(super) header: u64,
    pub(super) body: u64,
}

/// A stretch of a message that a [`TextScan`] wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Where it lies in the stored message.
    pub bytes: Range<u64>,
    part: usize,
    is_header: bool,
}

impl Stretch {
    /// What makes folded text of its bytes. `index` is that of the message.
    pub fn decoder(&self, index: &BodyIndex) -> StretchDecoder {
        match index.parts.get(self.part) {
            Some(part) if !self.is_header => StretchDecoder::text(part.encoding, &part.charset),
            _ => StretchDecoder::header(),
        }
    }
}

/// What there is to read of a message: its header, the headers of its parts, its texts. All of them, unless the index
/// [lacks texts](BodyIndex::lacks_texts).
pub fn stretches(index: &BodyIndex) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    for (at, part) in index.parts.iter().enumerate() {
        stretches.push(Stretch { bytes: part.header_start..part.body_start, part: at, is_header: true });
        if part.kind.is_searched() {
            stretches.push(Stretch { bytes: part.body_start..part.body_end, part: at, is_header: false });
        }
    }
    stretches
}

/// Looks for all needles of a query in the texts of one message, read in pieces.
pub struct TextScan<'q> {
    needles: &'q [Needle],
    body_needles: u64,
    found: Hits,
    /// Folded text not yet searched to its end: the last bytes of what came before, then what came now.
    window: String,
    /// The same without accents, when a needle wants it.
    bare: Option<String>,
    /// Of the stretch at hand.
    decoder: Option<StretchDecoder>,
}

impl<'q> TextScan<'q> {
    /// Begins a message.
    pub fn new(query: &'q Query) -> TextScan<'q> {
        TextScan {
            needles: &query.needles,
            body_needles: query.body_needles,
            found: Hits::default(),
            window: String::new(),
            bare: query.needles.iter().any(|needle| needle.word.is_some()).then(String::new),
            decoder: None,
        }
    }

    /// What was found so far.
    pub fn hits(&self) -> Hits {
        self.found
    }

    /// Whether nothing more can be found.
    pub fn is_complete(&self) -> bool {
        let settled = self.found.body | (self.found.header & !self.body_needles);
        (0..self.needles.len()).all(|needle| settled >> needle & 1 == 1)
    }

    /// Takes the next bytes of a stretch of the message with that index; `last` ends the stretch.
    pub fn scan(&mut self, index: &BodyIndex, stretch: &Stretch, bytes: &[u8], last: bool) {
        let mut decoder = self.decoder.take().unwrap_or_else(|| stretch.decoder(index));
        let known = self.window.len();
        decoder.decode(bytes, &mut self.window);
        match last {
            true => decoder.finish(&mut self.window),
            false => self.decoder = Some(decoder),
        }
        let found = if stretch.is_header && stretch.part == 0 { &mut self.found.header } else { &mut self.found.body };
        if let Some(bare) = &mut self.bare {
            bare_into(self.window.get(known..).unwrap_or_default(), bare);
            search_window(self.needles, true, bare, found);
        }
        search_window(self.needles, false, &mut self.window, found);
        if last {
            self.window.clear();
            self.bare.iter_mut().for_each(String::clear);
        }
    }
}

/// Looks for the needles of one kind, and keeps of the window what may be the beginning of one.
fn search_window(needles: &[Needle], bare: bool, window: &mut String, found: &mut u64) {
    let mut longest = 0;
    for (number, needle) in needles.iter().enumerate().filter(|(_, needle)| needle.word.is_some() == bare) {
        longest = longest.max(needle.text.needle().len());
        if *found >> number & 1 == 0 && needle.text.find(window.as_bytes()).is_some() {
            *found |= 1 << number;
        }
    }
    let mut keep_from = (window.len() + 1).saturating_sub(longest.max(1));
    while !window.is_char_boundary(keep_from) {
        keep_from -= 1;
    }
    window.drain(..keep_from);
}
