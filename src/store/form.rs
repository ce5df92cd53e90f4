//! Looks at a body itself: its form, when that was not kept, and what is sent of it to clients that know no UTF-8.

use super::{Snapshot, Trouble};
use crate::limits::{BODY_READ_BYTES, SURROGATE_BYTES_MAX};
use crate::mail::message::{BodyId, Form};
use crate::mail::surrogate::{Surrogate, TooLong};

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

    /// What stands in a body for its headers with UTF-8. Inner `Err`: they are too long for that.
    ///
    /// # Errors
    /// `NotFound`: there is no such body. It cannot be read.
    pub fn body_surrogate(&self, body: BodyId) -> Result<Result<Surrogate, TooLong>, Trouble> {
        let mut surrogate = Surrogate::default();
        for part in self.body_index(body)?.parts {
            let place = part.header_start..part.body_start;
            let bytes = place.end.saturating_sub(place.start);
            if bytes > SURROGATE_BYTES_MAX as u64 {
                return Ok(Err(TooLong));
            }
            let header = self.body_range(body, place.clone())?;
            if surrogate.push_header(place, &header).is_err() {
                return Ok(Err(TooLong));
            }
        }
        Ok(Ok(surrogate))
    }
}
