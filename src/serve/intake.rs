//! A message on its way in: MIME index, checksum and chunks in one pass.

use crate::store::{BodyWriter, NewBody, Store, Trouble};

/// Takes a message's bytes as they arrive and ends as a body ready for an Op.
pub struct Intake {
    writer: BodyWriter,
}

impl Intake {
    /// Begins a message.
    pub fn new(store: &Store) -> Intake {
        Intake { writer: store.body_writer() }
    }
    /// Appends bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.writer.write(bytes).await
    }
    /// Ends the message.
    pub async fn finish(self) -> Result<NewBody, Trouble> {
        self.writer.finish(Default::default()).await
    }
}
