//! Opens a maildrop: what is in a mailbox, with the octets that will be sent of each message.
//!
//! Reads rows alone, a page at a time, so that neither a large mailbox nor a slow card keeps others waiting. Of messages whose form
//! was never noted (they came before it was kept, or from the queue) it looks into the body, once, and has the store remember it.

use crate::limits::*;
use crate::mail::message::{Form, MailboxId, MessageRow, Uid};
use crate::store::{Op, Snapshot, Store, Trouble};
use crate::wire::pop3::{Maildrop, Message};

/// Some messages in the order of their UIDs.
struct Page {
    rows: Vec<MessageRow>,
    /// What was found out of some of them.
    noted: Vec<(Uid, Form)>,
    /// There are no more.
    is_last: bool,
}

/// The first [`POP3_MESSAGES_MAX`] messages of a mailbox as it is now.
///
/// # Errors
/// `NotFound`: there is no such mailbox. What the store says.
pub(super) async fn open(store: &Store, mailbox: MailboxId) -> Result<Maildrop, Trouble> {
    let told = store.read(move |snapshot| snapshot.mailbox(mailbox)).await?.ok_or(Trouble::NotFound)?;
    let expected = usize::try_from(told.messages).unwrap_or(POP3_MESSAGES_MAX).min(POP3_MESSAGES_MAX);
    let mut maildrop = Maildrop::new(told.uid_validity.0, expected);
    let mut first = 1;
    loop {
        let limit = POP3_ROWS_PER_READ.min(POP3_MESSAGES_MAX - maildrop.len());
        let page = store.read(move |snapshot| read_page(snapshot, mailbox, Uid(first), limit)).await?;
        for row in &page.rows {
            maildrop.push(Message { uid: row.uid.0, bytes: row.bytes + row.form.missing_bytes() });
        }
        if !page.noted.is_empty() {
            // What cannot be noted is found out again the next time.
            if let Err(trouble) = store.apply(Op::NoteForms { mailbox, forms: page.noted }).await {
                log::debug!("event=forms-not-noted trouble={trouble:?}");
            }
        }
        let next = page.rows.last().and_then(|last| last.uid.0.checked_add(1));
        match next {
            Some(next) if !page.is_last && maildrop.len() < POP3_MESSAGES_MAX => first = next,
            _ => break,
        }
    }
    maildrop.shrink();
    Ok(maildrop)
}

fn read_page(snapshot: &Snapshot, mailbox: MailboxId, first: Uid, limit: usize) -> Result<Page, Trouble> {
    let mut rows = snapshot.messages(mailbox, first, Uid(u32::MAX), limit)?;
    let (mut noted, mut is_last) = (Vec::new(), rows.len() < limit);
    let mut unknown = rows.iter().enumerate().filter(|(_, row)| !row.form.is_known());
    if let Some((keep, _)) = unknown.nth(POP3_FORMS_PER_READ) {
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
    Ok(Page { rows, noted, is_last })
}
