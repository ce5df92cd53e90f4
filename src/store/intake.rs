//! A body on its way in: cut, compressed, checksummed, and staged on the disk when it is large.
//!
//! Receives bytes as they arrive; hands on a [`NewBody`] that an Op takes. It decides nothing about mail. What must
//! always hold: an open body needs no more memory than one chunk and [`BODY_HELD_BYTES_MAX`]; what was staged for a
//! body that no Op admits is given back.

use super::body::{Chunk, find_base64, header_end, store_base64, store_header};
use super::facts::encode_facts;
use super::pieces::{STAGED_PIECE_BYTES, pieces};
use super::writer::{Job, StageJob};
use super::{Front, InFlight, Shared, Trouble};
use crate::limits::{BODY_CHUNK_BYTES, BODY_HEADER_CHUNK_BYTES_MIN, BODY_HELD_BYTES_MAX, BODY_PLAIN_HEADER_BYTES_MAX};
use crate::mail::index::{BodyIndex, MessageIdHash};
use crate::mail::message::{BodyId, Form};
use std::sync::{Arc, PoisonError};

/// What a chunk is.
enum Kind {
    PlainHeader,
    Base64,
    Text,
}

/// A body whose pieces lie in the tables under a staged mark. Dropped, it gives them back.
pub struct Staged {
    body: BodyId,
    /// Which opening of the database knows the mark: a reopened one has freed it.
    epoch: u64,
    shared: Option<Arc<Shared>>,
}

impl Staged {
    /// A mark that the writer has just set.
    pub fn new(body: BodyId, epoch: u64, shared: Arc<Shared>) -> Staged {
        Staged { body, epoch, shared: Some(shared) }
    }
    /// The body.
    pub fn body(&self) -> BodyId {
        self.body
    }
    /// See [`Staged::epoch`].
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
    /// An Op has admitted the body: nothing to give back.
    pub fn keep(mut self) {
        self.shared = None;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            // The writer frees it with its next batch.
            shared.given_back.lock().unwrap_or_else(PoisonError::into_inner).push((self.body, self.epoch));
        }
    }
}

/// Where the compressed bytes of a finished body are.
pub enum Source {
    /// Here.
    Held(Vec<u8>),
    /// In the tables.
    Staged(Staged),
}

/// A finished body that no Op has taken yet. Dropping it gives the body up.
pub struct NewBody {
    pub(super) bytes: u64,
    pub(super) form: Form,
    pub(super) crc: u32,
    pub(super) chunks: Vec<Chunk>,
    pub(super) message_id: Option<MessageIdHash>,
    pub(super) references: Vec<MessageIdHash>,
    /// Row of its facts.
    pub(super) facts: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) source: Source,
}

impl NewBody {
    /// Size of the message in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
    /// Bytes that wait with it in memory.
    pub fn held_bytes(&self) -> usize {
        let stored = match &self.source {
            Source::Held(stored) => stored.len(),
            Source::Staged(_) => 0,
        };
        stored + self.facts.len() + self.signature.len() + self.chunks.len() * size_of::<Chunk>()
    }
}

/// Takes a body in, piece by piece: cuts, compresses, checksums, stages what is large.
pub struct BodyWriter {
    front: Arc<Front>,
    /// Not yet compressed; at most one chunk.
    raw: Vec<u8>,
    bytes: u64,
    /// The last two bytes, or as many as came.
    end: Vec<u8>,
    crc: crc32fast::Hasher,
    chunks: Vec<Chunk>,
    /// Compressed and not yet staged.
    stored: Vec<u8>,
    /// See [`BodyWriter::hold_at_most`].
    held_bytes_max: usize,
    /// Pieces staged so far.
    staged_pieces: u32,
    staged: Option<Staged>,
    /// A write was cut short or refused: what follows would have a hole before it.
    broken: Option<Trouble>,
}

impl BodyWriter {
    pub(super) fn new(front: Arc<Front>) -> BodyWriter {
        BodyWriter {
            front,
            raw: Vec::new(),
            bytes: 0,
            end: Vec::new(),
            crc: crc32fast::Hasher::new(),
            chunks: Vec::new(),
            stored: Vec::new(),
            held_bytes_max: BODY_HELD_BYTES_MAX,
            staged_pieces: 0,
            staged: None,
            broken: None,
        }
    }

    /// Appends bytes of any kind and number. A write that was cancelled or has failed leaves a body that can only be
    /// dropped.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Trouble> {
        if let Some(trouble) = &self.broken {
            return Err(trouble.clone());
        }
        self.end.extend_from_slice(bytes.get(bytes.len().saturating_sub(2)..).unwrap_or_default());
        self.end.drain(..self.end.len().saturating_sub(2));
        while !bytes.is_empty() {
            let room = BODY_CHUNK_BYTES - self.raw.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.raw.extend_from_slice(now);
            self.crc.update(now);
            self.bytes += now.len() as u64;
            bytes = later;
            if self.raw.len() == BODY_CHUNK_BYTES {
                self.cut();
            }
            if self.stored.len() > BODY_HELD_BYTES_MAX {
                let whole = self.stored.len() / STAGED_PIECE_BYTES as usize;
                self.stage(whole).await?;
            }
        }
        Ok(())
    }

    /// A finished body of more compressed bytes waits on the disk for its Op: where many wait for the same one.
    pub fn hold_at_most(&mut self, bytes: usize) {
        self.held_bytes_max = self.held_bytes_max.min(bytes);
    }

    /// Ends the body. The result goes into an [`super::Op`]; dropping it gives the body up.
    pub async fn finish(mut self, index: BodyIndex) -> Result<NewBody, Trouble> {
        if let Some(trouble) = self.broken {
            return Err(trouble);
        }
        while !self.raw.is_empty() {
            self.cut();
        }
        if self.staged.is_some() || self.stored.len() > self.held_bytes_max {
            let all = pieces(0, self.stored.len() as u64).count();
            self.stage(all).await?;
        }
        let facts = encode_facts(&index);
        let BodyIndex { message_id, references, signature, beyond_ascii, .. } = index;
        self.stored.shrink_to_fit();
        let source = match self.staged {
            Some(staged) => Source::Staged(staged),
            None => Source::Held(self.stored),
        };
        Ok(NewBody {
            bytes: self.bytes,
            form: Form::new(&self.end, beyond_ascii),
            crc: self.crc.finalize(),
            chunks: self.chunks,
            message_id,
            references,
            facts,
            signature,
            source,
        })
    }

    /// Cuts a chunk; the first time that of the header, so that reading a header reads nothing else.
    fn cut(&mut self) {
        if self.chunks.is_empty()
            && let Some(end) = header_end(&self.raw)
            && end >= BODY_HEADER_CHUNK_BYTES_MIN
        {
            self.cut_at(end, if end <= BODY_PLAIN_HEADER_BYTES_MAX { Kind::PlainHeader } else { Kind::Text });
            return;
        }
        // Long base64 is cut from what stands around it.
        match find_base64(&self.raw) {
            Some(stretch) => {
                if stretch.start > 0 {
                    self.cut_at(stretch.start, Kind::Text);
                }
                self.cut_at(stretch.len(), Kind::Base64);
            }
            None => self.cut_at(self.raw.len(), Kind::Text),
        }
    }

    fn cut_at(&mut self, bytes: usize, kind: Kind) {
        let chunk = self.raw.get(..bytes).unwrap_or_default();
        let stored = match kind {
            Kind::PlainHeader => Some(store_header(chunk, &mut self.stored)),
            Kind::Base64 => store_base64(chunk, &mut self.stored),
            Kind::Text => None,
        };
        let chunk = stored.unwrap_or_else(|| self.front.shared.deflaters.deflate(chunk, &mut self.stored));
        self.chunks.push(chunk);
        self.raw.drain(..bytes);
    }

    /// Sends the first pieces of what is compressed to the disk.
    async fn stage(&mut self, count: usize) -> Result<(), Trouble> {
        let first = self.staged_pieces;
        let mut end = 0;
        let mut batch = Vec::with_capacity(count);
        for (number, range) in pieces(0, self.stored.len() as u64).take(count) {
            end = range.end as usize;
            let piece = self.stored.get(range.start as usize..end).unwrap_or_default().to_vec();
            batch.push((first + number, piece));
        }
        self.stored.drain(..end);
        self.staged_pieces += batch.len() as u32;
        self.broken = Some(Trouble::Failed("the body was not written to its end".into()));
        let (answer, answered) = smol::channel::bounded(1);
        let flight = InFlight::new(&self.front.shared);
        let job = StageJob { staged: self.staged.take(), pieces: batch, answer, flight };
        let result = match self.front.changes.send(Job::Stage(job)).await {
            Ok(()) => answered.recv().await.unwrap_or_else(|_| Err(super::closed())),
            Err(_) => Err(super::closed()),
        };
        match result {
            Ok(staged) => {
                self.staged = Some(staged);
                self.broken = None;
                Ok(())
            }
            Err(trouble) => {
                self.broken = Some(trouble.clone());
                Err(trouble)
            }
        }
    }
}

/// A stored block of DEFLATE holds at most this much (RFC 1951 section 3.2.4).
const _: () = assert!(BODY_CHUNK_BYTES <= u16::MAX as usize);
