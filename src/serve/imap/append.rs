//! APPEND: a message from the client straight into the store, however large.

use super::access::{Allowed, named, target};
use super::failure::{Failure, words};
use super::{Next, Session};
use crate::mail::message::{MailboxId, SpecialUse, Uid, UidValidity};
use crate::serve::sent::{Fingerprint, Found, Hand, sent_mailbox};
use crate::serve::{Intake, Whole};
use crate::store::{Deliver, Done, Expunge, Expungeable, FlagChange, NewBody, Op, SetFlags, Target, Trouble};
use crate::wire::imap::Code;
use crate::wire::imap::command::{Append, Tag};

/// A message on its way in.
pub(super) struct Arriving {
    append: Append,
    mailbox: MailboxId,
    uid_validity: UidValidity,
    intake: Intake,
}

impl Session {
    /// The beginning of APPEND (RFC 3501 section 6.3.11): the message is asked for only when there is a place for it.
    pub(super) async fn begin_append(&mut self, append: Append) -> Result<(), Failure> {
        self.arriving = None;
        let (access, name) = (self.access.clone(), append.mailbox.as_str().to_owned());
        let sent_copy = self.site.sent_copy;
        let place = move |snapshot: &crate::store::Snapshot| {
            let found = named(snapshot, &access, &name)?;
            let is_sent =
                sent_copy && found.is_some() && sent_mailbox(snapshot)? == found.as_ref().map(|f| f.mailbox.id);
            Ok((found, is_sent))
        };
        let found = match self.context.store.read(place).await {
            Ok((found, is_sent)) => target(found).map(|found| (found, is_sent)),
            Err(trouble) => Err(trouble.into()),
        };
        let out = &mut self.line.out;
        match found {
            // Before the message has come all the way.
            Ok((found, _)) if found.mailbox.special_use == Some(SpecialUse::Outbox) => {
                let text = "What is sent comes into Outbox, and nothing else does";
                self.conversation.refuse_append(Code::Cannot, text, out);
            }
            Ok((Allowed { mailbox, rights }, is_sent)) => {
                // RFC 4314 section 4: other flags are not stored, and that is no failure.
                let append = Append { flags: rights.allowed(append.flags), ..append };
                let store = &self.context.store;
                let intake = if is_sent { Intake::fingerprinting(store) } else { Intake::new(store) };
                let (mailbox, uid_validity) = (mailbox.id, mailbox.uid_validity);
                self.arriving = Some(Arriving { append, mailbox, uid_validity, intake });
                self.conversation.accept_append(out);
            }
            Err(Failure::Refused(_, code, text)) => self.conversation.refuse_append(code, text, out),
            Err(Failure::Store(trouble)) => {
                let (code, text) = words(&trouble);
                self.conversation.refuse_append(code, text, out);
            }
            Err(other) => return Err(other),
        }
        Ok(())
    }

    pub(super) async fn append_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(arriving) = &mut self.arriving else { return Ok(()) };
        if let Err(trouble) = arriving.intake.write(bytes).await {
            self.arriving = None;
            let (code, text) = words(&trouble);
            self.conversation.refuse_append(code, text, &mut self.line.out);
        }
        Ok(())
    }

    /// The message is complete: durable, then said.
    pub(super) async fn end_append(&mut self, tag: &Tag) -> Result<Next, Failure> {
        let Some(Arriving { append, mailbox, uid_validity, intake }) = self.arriving.take() else {
            return Err(Trouble::Failed("an APPEND ended that had not begun".to_owned()).into());
        };
        let Whole { body, fingerprint, .. } = intake.finish_whole().await?;
        let uid = match fingerprint {
            None => self.deliver(append, mailbox, body).await?,
            Some(fingerprint) => self.file_as_sent(append, mailbox, body, fingerprint).await?,
        };
        let code = uid.map_or(Code::None, |uid| Code::AppendUid { uid_validity: uid_validity.0, uid: uid.0 });
        self.finish_added(tag, code, "APPEND completed").await?;
        Ok(Next::Step)
    }

    async fn deliver(&self, append: Append, mailbox: MailboxId, body: NewBody) -> Result<Option<Uid>, Trouble> {
        let now = self.context.net.clock().now();
        let deliver = Deliver {
            body,
            targets: vec![Target { mailbox, flags: append.flags }],
            internal_date: append.date.unwrap_or(now),
            now,
        };
        match self.context.store.apply(Op::Deliver(deliver)).await? {
            Done::Delivered(delivered) => Ok(delivered.first().map(|place| place.uid)),
            _ => Ok(None),
        }
    }

    /// A copy of what has been sent, unless submission has filed it already: then that one stays and gets the flags of this
    /// one, or gives way to this one, which alone has Bcc.
    async fn file_as_sent(
        &self,
        append: Append,
        mailbox: MailboxId,
        body: NewBody,
        fingerprint: Fingerprint,
    ) -> Result<Option<Uid>, Trouble> {
        let (store, sent, now) = (&self.context.store, &self.context.sent, self.context.net.clock().steady());
        let _turn = sent.turn().await;
        let found = sent.find(store, &fingerprint, Hand::Submission, mailbox, now).await?;
        if let Some(Found { row, lacks_bcc: false }) = found {
            let (uids, change) = (vec![row.uid], FlagChange::Add);
            let set = SetFlags { mailbox, uids, change, flags: append.flags, unchanged_since: None };
            store.apply(Op::SetFlags(set)).await?;
            log::info!("event=sent-copy-absorbed peer={} uid={}", self.peer, row.uid.0);
            return Ok(Some(row.uid));
        }
        let uid = self.deliver(append, mailbox, body).await?;
        // In this order: a power cut in between leaves two copies, not none.
        if let (Some(uid), Some(Found { row, .. })) = (uid, found) {
            let which = Expungeable::These(vec![row.uid]);
            store.apply(Op::Expunge(Expunge { mailbox, which })).await?;
            sent.remember(fingerprint, Hand::Submission, mailbox, uid, now);
            log::info!("event=sent-copy-replaced peer={} uid={} by={}", self.peer, row.uid.0, uid.0);
        }
        if let Some(uid) = uid {
            sent.remember(fingerprint, Hand::Append, mailbox, uid, now);
        }
        Ok(uid)
    }
}
