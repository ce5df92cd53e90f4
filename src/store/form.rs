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
        for part in self.body_index(body)?.parts_outside_global() {
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
        for part in self.body_index(body)?.parts_outside_global() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::Indexer;
    use crate::mail::message::{Flags, INBOX, Uid};
    use crate::store::{Deliver, Op, Store, Target};
    use crate::wire::date::Timestamp;

    #[test]
    fn a_global_message_keeps_its_headers() {
        let (store, now) = (Store::in_memory().unwrap(), Timestamp(0));
        let message = |subject: &str| {
            format!("Subject: {subject}\r\nContent-Type: message/global\r\n\r\nSubject: \u{fc}\r\n\r\nx\r\n")
        };
        for (uid, subject, is_beyond) in [(1, "x", false), (2, "\u{e4}", true)] {
            let message = message(subject);
            let (mut writer, mut indexer) = (store.body_writer(), Indexer::new());
            indexer.push(message.as_bytes());
            smol::block_on(writer.write(message.as_bytes())).unwrap();
            let body = smol::block_on(writer.finish(indexer.finish())).unwrap();
            let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
            smol::block_on(store.apply(Op::Deliver(Deliver { body, targets, internal_date: now, now }))).unwrap();
            let (kept, made, surrogate) = smol::block_on(store.read(move |snapshot| {
                let row = snapshot.message(INBOX, Uid(uid))?.ok_or(Trouble::NotFound)?;
                Ok((row.form, snapshot.body_form(row.body)?, snapshot.body_surrogate(row.body)?))
            }))
            .unwrap();
            assert_eq!((kept, kept.is_beyond_ascii()), (made, is_beyond), "{subject}");
            let instead = message.replace("Subject: \u{e4}", "Subject: =?UTF-8?B?w6Q=?=").len() as u64;
            assert_eq!(surrogate.unwrap().bytes(message.len() as u64), instead, "{subject}");
        }
    }
}
