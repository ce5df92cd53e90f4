//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE: the mailboxes themselves.

use super::Session;
use super::failure::{Failure, no};
use crate::store::{Op, Trouble};
use crate::wire::imap::command::Tag;
use crate::wire::imap::{Code, MailboxName, SpecialUse, Status, response};

impl Session {
    /// CREATE (RFC 3501 section 6.3.3) with at most one special use (RFC 6154 section 3).
    pub(super) async fn create(
        &mut self,
        tag: &Tag,
        mailbox: &MailboxName,
        special_use: &[SpecialUse],
    ) -> Result<(), Failure> {
        let special_use = match special_use {
            [] => None,
            [one] => Some(*one),
            _ => return Err(no(Code::UseAttr, "A mailbox has at most one special use")),
        };
        if let Some(wanted) = special_use {
            let mailboxes = self.context.store.read(|snapshot| snapshot.mailboxes()).await?;
            if mailboxes.iter().any(|mailbox| mailbox.special_use == Some(wanted)) {
                return Err(no(Code::UseAttr, "Another mailbox has this special use"));
            }
        }
        let op = Op::CreateMailbox { name: mailbox.as_str().to_owned(), special_use };
        self.context.store.apply(op).await?;
        self.finish(tag, true, Code::None, "CREATE completed").await
    }

    /// DELETE (RFC 3501 section 6.3.4).
    pub(super) async fn delete(&mut self, tag: &Tag, mailbox: &MailboxName) -> Result<(), Failure> {
        let name = mailbox.as_str().to_owned();
        let (id, has_children) = self
            .context
            .store
            .read(move |snapshot| {
                let below = format!("{name}/");
                let id = snapshot.mailbox_named(&name)?.map(|mailbox| mailbox.id);
                Ok((id, snapshot.mailboxes()?.iter().any(|other| other.name.starts_with(&below))))
            })
            .await?;
        if id.is_some() && has_children {
            return Err(no(Code::HasChildren, "There are mailboxes below this one"));
        }
        let selected_goes = self.selected.as_ref().is_some_and(|selected| Some(selected.mailbox) == id);
        self.context.store.apply(Op::DeleteMailbox { name: mailbox.as_str().to_owned() }).await?;
        if selected_goes {
            self.selected = None;
            self.conversation.unselected();
            response::untagged(&mut self.line.out, Status::Ok, Code::Closed, "The selected mailbox was deleted");
        }
        self.finish(tag, true, Code::None, "DELETE completed").await
    }

    /// RENAME (RFC 3501 section 6.3.5).
    pub(super) async fn rename(&mut self, tag: &Tag, from: &MailboxName, to: &MailboxName) -> Result<(), Failure> {
        let op = Op::RenameMailbox { from: from.as_str().to_owned(), to: to.as_str().to_owned() };
        self.context.store.apply(op).await?;
        self.finish(tag, true, Code::None, "RENAME completed").await
    }

    /// SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.6 and 6.3.7). Only names of mailboxes that exist are remembered, so
    /// that one that does not needs no unsubscribing.
    pub(super) async fn subscribe(&mut self, tag: &Tag, mailbox: &MailboxName, on: bool) -> Result<(), Failure> {
        let op = Op::Subscribe { name: mailbox.as_str().to_owned(), subscribed: on };
        match self.context.store.apply(op).await {
            Ok(_) => {}
            Err(Trouble::NotFound) if !on => {}
            Err(trouble) => return Err(trouble.into()),
        }
        self.finish(tag, true, Code::None, if on { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" }).await
    }
}
