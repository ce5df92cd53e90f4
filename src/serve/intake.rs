//! A message on its way in: MIME index, checksum and chunks in one pass.
//!
//! Receives a message's bytes, our own header fields first, however they are cut; hands on a body ready for an Op. Not
//! durable by itself: until an Op takes the body, dropping it gives everything back.

use crate::mail::dkim::{Digest, Hasher};
use crate::mail::index::Indexer;
use crate::serve::sent::{Fingerprint, Fingerprinting};
use crate::store::{BodyWriter, NewBody, Store, Trouble};

/// Takes a message's bytes as they arrive and ends as a body ready for an Op.
pub struct Intake {
    writer: BodyWriter,
    indexer: Indexer,
    fingerprinting: Option<Fingerprinting>,
    hasher: Option<Box<Hasher>>,
}

/// A message that is complete.
pub struct Whole {
    /// It itself.
    pub body: NewBody,
    /// What it is known by, if that was asked for and it has a Message-ID.
    pub fingerprint: Option<Fingerprint>,
    /// What its signatures are made of, if that was asked for and it can be signed.
    pub digest: Option<Digest>,
}

impl Intake {
    /// Begins a message.
    pub fn new(store: &Store) -> Intake {
        Intake { writer: store.body_writer(), indexer: Indexer::new(), fingerprinting: None, hasher: None }
    }

    /// Begins a message that is to be known again ([`crate::serve::SentCopies`]).
    pub fn fingerprinting(store: &Store) -> Intake {
        Intake { fingerprinting: Some(Fingerprinting::default()), ..Intake::new(store) }
    }

    /// Hashes it as well, for signatures.
    pub fn hashing(self) -> Intake {
        Intake { hasher: Some(Box::default()), ..self }
    }

    /// One of many messages that wait for the same Op: on the disk, however small.
    pub fn staged(mut self) -> Intake {
        self.writer.hold_at_most(0);
        self
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
        if let Some(hasher) = &mut self.hasher {
            hasher.push(bytes);
        }
        self.writer.write(bytes).await
    }

    /// Ends the message.
    ///
    /// # Errors
    /// As [`Intake::write`].
    pub async fn finish(self) -> Result<NewBody, Trouble> {
        self.finish_whole().await.map(|whole| whole.body)
    }

    /// Ends the message; tells what else was asked for.
    ///
    /// # Errors
    /// As [`Intake::write`].
    pub async fn finish_whole(self) -> Result<Whole, Trouble> {
        let index = self.indexer.finish();
        let fingerprint = self.fingerprinting.and_then(|printing| printing.finish(index.message_id));
        let digest = self.hasher.and_then(|hasher| hasher.finish());
        Ok(Whole { body: self.writer.finish(index).await?, fingerprint, digest })
    }
}
