//! The form of a message that came when it was not kept: found by a look at the body itself.

use super::{Snapshot, Trouble};
use crate::limits::BODY_READ_BYTES;
use crate::mail::message::{BodyId, Form};

impl Snapshot {
    /// What [`Form`] says of a body. Reads its headers and its end, which may be a chunk each.
    ///
    /// # Errors
    /// `NotFound`: there is no such body. It cannot be read.
    pub fn body_form(&self, body: BodyId) -> Result<Form, Trouble> {
        let bytes = self.body_bytes(body)?;
        let end = self.body_range(body, bytes.saturating_sub(2)..bytes)?;
        for part in self.body_index(body)?.parts {
            let mut at = part.header_start;
            while at < part.body_start {
                let next = part.body_start.min(at.saturating_add(BODY_READ_BYTES));
                if !self.body_range(body, at..next)?.is_ascii() {
                    return Ok(Form::new(&end, true));
                }
                at = next;
            }
        }
        Ok(Form::new(&end, false))
    }
}
