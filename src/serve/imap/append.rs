//! APPEND: a message from the client straight into the store, however large.

use super::failure::{Failure, words};
use super::{Next, Session};
use crate::mail::message::MailboxId;
use crate::serve::Intake;
use crate::store::{Deliver, Done, Op, Target, Trouble};
use crate::wire::imap::Code;
use crate::wire::imap::command::{Append, Tag};

/// A message on its way in.
pub(super) struct Arriving {
    append: Append,
    mailbox: MailboxId,
    intake: Intake,
}

impl Session {
    /// The beginning of APPEND (RFC 3501 section 6.3.11): the message is asked for only when there is a place for it.
    pub(super) async fn begin_append(&mut self, append: Append) -> Result<(), Failure> {
        self.arriving = None;
        let name = append.mailbox.as_str().to_owned();
        let out = &mut self.line.out;
        match self.context.store.read(move |snapshot| snapshot.mailbox_named(&name)).await {
            Ok(Some(mailbox)) => {
                let intake = Intake::new(&self.context.store);
                self.arriving = Some(Arriving { append, mailbox: mailbox.id, intake });
                self.conversation.accept_append(out);
            }
            Ok(None) => self.conversation.refuse_append(Code::TryCreate, "No such mailbox", out),
            Err(trouble) => {
                let (code, text) = words(&trouble);
                self.conversation.refuse_append(code, text, out);
            }
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
        let Some(Arriving { append, mailbox, intake }) = self.arriving.take() else {
            return Err(Trouble::Failed("an APPEND ended that had not begun".to_owned()).into());
        };
        let now = self.context.net.clock().now();
        let deliver = Deliver {
            body: intake.finish().await?,
            targets: vec![Target { mailbox, flags: append.flags }],
            internal_date: append.date.unwrap_or(now),
            now,
        };
        let delivered = match self.context.store.apply(Op::Deliver(deliver)).await? {
            Done::Delivered(delivered) => delivered.into_iter().next(),
            _ => None,
        };
        let code = delivered
            .map_or(Code::None, |place| Code::AppendUid { uid_validity: place.uid_validity.0, uid: place.uid.0 });
        self.finish_added(tag, code, "APPEND completed").await?;
        Ok(Next::Step)
    }
}
