//! Opens a maildrop: what is in a mailbox, with the octets that will be sent of each message.
//!
//! Reads rows alone, a page at a time, so that neither a large mailbox nor a slow card keeps others waiting. Of messages whose form
//! was never noted (they came before it was kept, or from the queue) it looks into the body, once, and has the store remember it. Of
//! messages with UTF-8 in their headers it makes the surrogate, to know its size, each time: there are few.
//!
//! Also reads messages as they are sent: a surrogate's stretches are here and there.

use crate::limits::*;
use crate::mail::message::{BodyId, Form, MailboxId, MessageRow, Uid};
use crate::mail::surrogate::{Stretch, Surrogate, TooLong};
use crate::store::{Op, Snapshot, Store, Trouble};
use crate::wire::pop3::{Maildrop, Message};
use std::sync::Arc;

/// Some messages in the order of their UIDs.
struct Page {
    messages: Vec<Message>,
    /// What was found out of some of them.
    noted: Vec<(Uid, Form)>,
    /// There are no more.
    is_last: bool,
}

/// The first [`POP3_MESSAGES_MAX`] messages of a mailbox as it is now, for a client that takes UTF-8 in headers or not.
///
/// # Errors
/// `NotFound`: there is no such mailbox. What the store says.
pub(super) async fn open(store: &Store, mailbox: MailboxId, utf8: bool) -> Result<Maildrop, Trouble> {
    let told = store.read(move |snapshot| snapshot.mailbox(mailbox)).await?.ok_or(Trouble::NotFound)?;
    let expected = usize::try_from(told.messages).unwrap_or(POP3_MESSAGES_MAX).min(POP3_MESSAGES_MAX);
    let mut maildrop = Maildrop::new(told.uid_validity.0, expected);
    let mut first = 1;
    loop {
        let limit = POP3_ROWS_PER_READ.min(POP3_MESSAGES_MAX - maildrop.len());
        let page = store.read(move |snapshot| read_page(snapshot, (mailbox, utf8), Uid(first), limit)).await?;
        for message in &page.messages {
            maildrop.push(*message);
        }
        if !page.noted.is_empty() {
            // What cannot be noted is found out again the next time.
            if let Err(trouble) = store.apply(Op::NoteForms { mailbox, forms: page.noted }).await {
                log::debug!("event=forms-not-noted trouble={trouble:?}");
            }
        }
        let next = page.messages.last().and_then(|last| last.uid.checked_add(1));
        match next {
            Some(next) if !page.is_last && maildrop.len() < POP3_MESSAGES_MAX => first = next,
            _ => break,
        }
    }
    maildrop.shrink();
    Ok(maildrop)
}

fn read_page(
    snapshot: &Snapshot,
    (mailbox, utf8): (MailboxId, bool),
    first: Uid,
    limit: usize,
) -> Result<Page, Trouble> {
    let mut rows = snapshot.messages(mailbox, first, Uid(u32::MAX), limit)?;
    let (mut noted, mut is_last) = (Vec::new(), rows.len() < limit);
    let is_costly = |row: &MessageRow| !row.form.is_known() || !utf8 && row.form.is_beyond_ascii();
    let mut costly = rows.iter().enumerate().filter(|(_, row)| is_costly(row));
    if let Some((keep, _)) = costly.nth(POP3_FORMS_PER_READ) {
        rows.truncate(keep);
        is_last = false;
    }
    for row in rows.iter_mut().filter(|row| !row.form.is_known()) {
        // A body that cannot be read will say so when it is asked for: it does not close the maildrop.
        if let Ok(form) = snapshot.body_form(row.body) {
            row.form = form;
            noted.push((row.uid, form));
        }
    }
    let messages = rows.iter().map(|row| Message { uid: row.uid.0, bytes: sent_bytes(snapshot, row, utf8) }).collect();
    Ok(Page { messages, noted, is_last })
}

/// Octets that RETR sends. What cannot be looked at will say so when it is asked for.
fn sent_bytes(snapshot: &Snapshot, row: &MessageRow, utf8: bool) -> u64 {
    if !utf8
        && row.form.is_beyond_ascii()
        && let Ok(Ok(surrogate)) = snapshot.body_surrogate(row.body)
    {
        return surrogate.bytes(row.bytes) + surrogate.missing_bytes(row.bytes, row.form);
    }
    row.bytes + row.form.missing_bytes()
}

/// A message that is being sent.
#[derive(Clone)]
pub(super) struct Sent {
    /// Its UID.
    pub uid: u32,
    body: BodyId,
    bytes: u64,
    /// What stands in place of its headers, if anything does.
    surrogate: Option<Arc<Surrogate>>,
}

impl Sent {
    /// Finds a message; inner `Err`: it needs a client that takes UTF-8.
    ///
    /// # Errors
    /// `NotFound`: it is gone. What the store says.
    pub(super) fn find(
        snapshot: &Snapshot,
        (mailbox, utf8): (MailboxId, bool),
        uid: u32,
    ) -> Result<Result<Sent, TooLong>, Trouble> {
        let row = snapshot.message(mailbox, Uid(uid))?.ok_or(Trouble::NotFound)?;
        let mut surrogate = None;
        if !utf8 && (row.form.is_beyond_ascii() || !row.form.is_known()) {
            match snapshot.body_surrogate(row.body)? {
                Ok(made) => surrogate = Some(Arc::new(made)).filter(|made| !made.is_same()),
                Err(TooLong) => return Ok(Err(TooLong)),
            }
        }
        Ok(Ok(Sent { uid, body: row.body, bytes: row.bytes, surrogate }))
    }

    fn whole_bytes(&self) -> u64 {
        self.surrogate.as_ref().map_or(self.bytes, |surrogate| surrogate.bytes(self.bytes))
    }

    /// Octets from `start` on, at most about so many, and whether they are the last.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn read(&self, snapshot: &Snapshot, start: u64, bytes: u64) -> Result<(Vec<u8>, bool), Trouble> {
        let mut piece = Vec::new();
        let Some(surrogate) = &self.surrogate else {
            let read = snapshot.read_body(self.body, start..start.saturating_add(bytes), &mut piece, None)?;
            return Ok((piece, start.saturating_add(read) >= self.bytes));
        };
        let (mut at, end) = (start, start.saturating_add(bytes));
        let all = self.whole_bytes();
        while at < end.min(all) {
            let read = match surrogate.at(at, self.bytes) {
                Stretch::Here(here) => {
                    let some = here.get(..usize::try_from(end - at).unwrap_or(usize::MAX)).unwrap_or(here);
                    piece.extend_from_slice(some);
                    some.len() as u64
                }
                Stretch::OfMessage(range) => {
                    let range = range.start..range.end.min(range.start.saturating_add(end - at));
                    snapshot.read_body(self.body, range, &mut piece, None)?
                }
            };
            if read == 0 {
                break;
            }
            at += read;
        }
        Ok((piece, at >= all))
    }
}

/// Those of these messages, up to the first that cannot be sent or would be too much, that take [`POP3_AHEAD_BYTES`] together.
pub(super) fn read_ahead(snapshot: &Snapshot, place: (MailboxId, bool), uids: &[u32]) -> Vec<(u32, Vec<u8>)> {
    let mut read = Vec::with_capacity(uids.len());
    let mut left = POP3_AHEAD_BYTES;
    for uid in uids {
        let Ok(Ok(sent)) = Sent::find(snapshot, place, *uid) else { break };
        let bytes = sent.whole_bytes();
        if bytes > left {
            break;
        }
        let Ok((piece, true)) = sent.read(snapshot, 0, bytes.max(1)) else { break };
        left -= bytes;
        read.push((*uid, piece));
    }
    read
}
