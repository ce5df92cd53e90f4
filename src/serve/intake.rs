//! A message on its way in: MIME index, checksum and chunks in one pass.
//!
//! Receives a message's bytes, our own header fields first, however they are cut; hands on a body ready for an Op. Not
//! durable by itself: until an Op takes the body, dropping it gives everything back.

use crate::mail::index::Indexer;
use crate::serve::sent::{Fingerprint, Fingerprinting};
use crate::store::{BodyWriter, NewBody, Store, Trouble};

/// Takes a message's bytes as they arrive and ends as a body ready for an Op.
pub struct Intake {
    writer: BodyWriter,
    indexer: Indexer,
    fingerprinting: Option<Fingerprinting>,
}

impl Intake {
    /// Begins a message.
    pub fn new(store: &Store) -> Intake {
        Intake { writer: store.body_writer(), indexer: Indexer::new(), fingerprinting: None }
    }

    /// Begins a message that is to be known again ([`crate::serve::SentCopies`]).
    pub fn fingerprinting(store: &Store) -> Intake {
        Intake { fingerprinting: Some(Fingerprinting::default()), ..Intake::new(store) }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// *Ours*: [`Trouble::Full`], [`Trouble::Failed`]. The message cannot be continued.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.indexer.push(bytes);
        if let Some(fingerprinting) = &mut self.fingerprinting {
            fingerprinting.push(bytes);
        }
        self.writer.write(bytes).await
    }

    /// Ends the message.
    ///
    /// # Errors
    /// As [`Intake::write`].
    pub async fn finish(self) -> Result<NewBody, Trouble> {
        self.finish_known().await.map(|(body, _)| body)
    }

    /// Ends the message; tells what it is known by, if that was asked for and it has a Message-ID.
    ///
    /// # Errors
    /// As [`Intake::write`].
    pub async fn finish_known(self) -> Result<(NewBody, Option<Fingerprint>), Trouble> {
        let index = self.indexer.finish();
        let fingerprint = self.fingerprinting.and_then(|printing| printing.finish(index.message_id));
        Ok((self.writer.finish(index).await?, fingerprint))
    }
}
