//! A message on its way in: MIME index, checksum and chunks in one pass.
//!
//! Receives a message's bytes, our own header fields first, however they are cut; hands on a body ready for an Op. Not
//! durable by itself: until an Op takes the body, dropping it gives everything back.

use crate::mail::index::Indexer;
use crate::store::{BodyWriter, NewBody, Store, Trouble};

/// Takes a message's bytes as they arrive and ends as a body ready for an Op.
pub struct Intake {
    writer: BodyWriter,
    indexer: Indexer,
}

impl Intake {
    /// Begins a message.
    pub fn new(store: &Store) -> Intake {
        Intake { writer: store.body_writer(), indexer: Indexer::new() }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// *Ours*: [`Trouble::Full`], [`Trouble::Failed`]. The message cannot be continued.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.indexer.push(bytes);
        self.writer.write(bytes).await
    }

    /// Ends the message.
    ///
    /// # Errors
    /// As [`Intake::write`].
    pub async fn finish(self) -> Result<NewBody, Trouble> {
        self.writer.finish(self.indexer.finish()).await
    }
}
