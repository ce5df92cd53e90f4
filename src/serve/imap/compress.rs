//! COMPRESS=DEFLATE (RFC 4978): the layer between a session and its stream, and what all such sessions share.
//!
//! Receives compressed bytes and text; hands on text and compressed bytes, see [`crate::wire::deflate`]. What must always
//! hold: a session that compresses needs its window, a history of our own text and nothing else ([`Compressing`] has the one
//! compressor there is); no more than [`IMAP_COMPRESSING_SESSIONS_MAX`] do at once.

use super::failure::{Failure, no};
use super::{Next, Session};
use crate::limits::IMAP_COMPRESSING_SESSIONS_MAX;
use crate::wire::deflate::{Deflater, Inflow, Outflow};
use crate::wire::imap::Code;
use crate::wire::imap::command::Tag;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What all sessions that compress share.
#[derive(Default)]
pub struct Compressing {
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    sessions: usize,
    /// Made when first used, gone with the last session that compresses.
    deflater: Option<Box<Deflater>>,
}

impl Compressing {
    /// A place for one more; `None`: there are too many.
    pub(super) fn enter(self: &Arc<Compressing>) -> Option<Place> {
        let mut shared = self.lock();
        if shared.sessions >= IMAP_COMPRESSING_SESSIONS_MAX {
            return None;
        }
        shared.sessions += 1;
        Some(Place(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to compress; gives it back when dropped.
pub(super) struct Place(Arc<Compressing>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut shared = self.0.lock();
        shared.sessions -= 1;
        if shared.sessions == 0 {
            shared.deflater = None;
        }
    }
}

/// The layer of one session.
pub(super) struct Layer {
    pub inflow: Inflow,
    outflow: Outflow,
    place: Place,
}

impl Layer {
    /// `first`: what had been read already and is compressed.
    pub fn new(place: Place, first: &[u8]) -> Layer {
        Layer { inflow: Inflow::new(first), outflow: Outflow::default(), place }
    }

    /// Appends text, compressed.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let mut shared = self.place.0.lock();
        self.outflow.push(shared.deflater.get_or_insert_default(), text, out);
    }

    /// Appends what is compressed already, and refers to nothing before it.
    pub fn push_as_it_is(&mut self, deflated: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(deflated);
        self.outflow.forget();
    }
}

impl Session {
    /// COMPRESS DEFLATE (RFC 4978 section 3): from the end of the OK on, both sides compress.
    pub(super) async fn compress(&mut self, tag: &Tag) -> Result<Next, Failure> {
        if self.line.compresses() {
            return Err(no(Code::CompressionActive, "DEFLATE is active already"));
        }
        let place = self.context.compressing.enter();
        let place = place.ok_or_else(|| no(Code::Limit, "Too many sessions compress; go on without"))?;
        self.finish(tag, true, Code::None, "DEFLATE is active from here on").await?;
        self.line.flush().await?;
        Ok(Next::Compress(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let compressing = Arc::new(Compressing::default());
        let places: Vec<Place> = std::iter::from_fn(|| compressing.enter()).collect();
        assert_eq!(places.len(), IMAP_COMPRESSING_SESSIONS_MAX);
        drop(places);
        let mut layer = Layer::new(compressing.enter().expect("a place"), b"");
        let mut out = Vec::new();
        layer.push(&b"* 1 FETCH (FLAGS (\\Seen))\r\n".repeat(10), &mut out);
        assert!(compressing.lock().deflater.is_some());
        drop(layer);
        assert!(compressing.lock().deflater.is_none());
    }
}
