//! The owner's own copy of what is sent: where it goes, unless it is there already.

use crate::mail::message::{Flags, MailboxId, SpecialUse, SystemFlags, Uid};
use crate::serve::Context;
use crate::serve::sent::{Fingerprint, Hand, SENT_MAILBOX_NAME, sent_mailbox};
use crate::store::{Done, Op, Store, Target, Trouble};

/// A copy that is to be filed in the Op that takes the message.
pub(super) struct Filing {
    mailbox: MailboxId,
    uid_min: Uid,
    fingerprint: Option<Fingerprint>,
}

impl Filing {
    /// Plans it; `None`: a client has filed the message before it sent it. Makes the mailbox if need be. To be called, and
    /// followed by the Op, in one turn of [`crate::serve::SentCopies`].
    pub(super) async fn plan(context: &Context, fingerprint: Option<Fingerprint>) -> Result<Option<Filing>, Trouble> {
        let mailbox = find_or_make(&context.store).await?;
        let now = context.net.clock().steady();
        if let Some(fingerprint) = &fingerprint
            && context.sent.find(&context.store, fingerprint, Hand::Append, mailbox, now).await?.is_some()
        {
            log::info!("event=sent-copy-there");
            return Ok(None);
        }
        let found = context.store.read(move |snapshot| snapshot.mailbox(mailbox)).await?;
        let uid_min = found.ok_or(Trouble::NotFound)?.uid_next;
        Ok(Some(Filing { mailbox, uid_min, fingerprint }))
    }

    /// For the Op.
    pub(super) fn target(&self) -> Target {
        Target { mailbox: self.mailbox, flags: Flags { system: SystemFlags::SEEN, keywords: Vec::new() } }
    }

    /// The Op is durable.
    pub(super) fn done(self, context: &Context) {
        if let Some(fingerprint) = self.fingerprint {
            let now = context.net.clock().steady();
            context.sent.remember(fingerprint, Hand::Submission, self.mailbox, self.uid_min, now);
        }
    }
}

async fn find_or_make(store: &Store) -> Result<MailboxId, Trouble> {
    if let Some(id) = store.read(sent_mailbox).await? {
        return Ok(id);
    }
    let make = Op::CreateMailbox { name: SENT_MAILBOX_NAME.into(), special_use: Some(SpecialUse::Sent) };
    match store.apply(make).await {
        Ok(Done::Created(id)) => Ok(id),
        // Somebody else made it at the same moment.
        Ok(_) | Err(Trouble::Exists) => store.read(sent_mailbox).await?.ok_or(Trouble::NotFound),
        Err(trouble) => Err(trouble),
    }
}
