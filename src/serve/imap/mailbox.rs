//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE: the mailboxes themselves.

use super::Session;
use super::access::{ToMake, above, denied, named, to_make};
use super::failure::{Failure, no};
use super::list::mailbox_id;
use crate::mail::access::Rights;
use crate::store::{Op, Snapshot, Trouble};
use crate::wire::imap::command::Tag;
use crate::wire::imap::{Code, ListRow, MailboxName, SpecialUse, Status, below, is_in_subtree, response};

impl Session {
    /// CREATE (RFC 3501 section 6.3.3) with at most one special use (RFC 6154 section 3).
    pub(super) async fn create(
        &mut self,
        tag: &Tag,
        mailbox: &MailboxName,
        special_use: &[SpecialUse],
    ) -> Result<(), Failure> {
        let asked = match special_use {
            [] => None,
            [one] => Some(*one),
            _ => return Err(no(Code::UseAttr, "A mailbox has at most one special use")),
        };
        let (access, wanted) = (self.access.clone(), mailbox.as_str().to_owned());
        let read = move |snapshot: &Snapshot| to_make(snapshot, &access, &wanted, asked);
        let ToMake { name, free_use, is_there, use_is_taken, rights } = self.context.store.read(read).await?;
        if is_there {
            // Under that name a client looks for a mailbox that there is: it can go on as if it had made it.
            return self.finish_created(tag, name, mailbox).await;
        }
        if !rights.contains(Rights::CREATE) {
            return Err(denied());
        }
        if use_is_taken {
            return Err(no(Code::UseAttr, "Another mailbox has this special use"));
        }
        self.context.store.apply(Op::CreateMailbox { name: name.clone(), special_use: asked.or(free_use) }).await?;
        self.knows_names(|other| is_in_subtree(&name, other)).await?;
        self.finish_created(tag, name, mailbox).await
    }

    /// Says what was made, with its MAILBOXID (RFC 8474 section 4.1).
    async fn finish_created(&mut self, tag: &Tag, name: String, asked: &MailboxName) -> Result<(), Failure> {
        self.tell_other_name(&name, asked.as_given()).await?;
        let access = self.access.clone();
        let made = self.context.store.read(move |snapshot| named(snapshot, &access, &name)).await?;
        let made = made.filter(|made| made.rights.contains(Rights::LOOKUP));
        let code = made.map_or(Code::None, |made| Code::MailboxId(mailbox_id(&made.mailbox)));
        self.finish(tag, true, code, "CREATE completed").await
    }

    /// Whether a mailbox may be renamed so (RFC 4314 section 4).
    async fn check_new(&self, name: &str) -> Result<(), Failure> {
        let (access, name) = (self.access.clone(), name.to_owned());
        let rights = self.context.store.read(move |snapshot| {
            let hidden = named(snapshot, &access, &name)?.is_some_and(|found| !found.rights.contains(Rights::LOOKUP));
            Ok(if hidden { Rights::NONE } else { above(snapshot, &access, &name)? })
        });
        if rights.await?.contains(Rights::CREATE) { Ok(()) } else { Err(denied()) }
    }

    /// DELETE (RFC 3501 section 6.3.4).
    pub(super) async fn delete(&mut self, tag: &Tag, mailbox: &MailboxName) -> Result<(), Failure> {
        let id = self.mailbox_named(mailbox, Rights::DELETE_MAILBOX).await?.mailbox.id;
        if self.mailboxes().await?.iter().any(|other| below(&other.mailbox.name, mailbox.as_str()).is_some()) {
            return Err(no(Code::HasChildren, "There are mailboxes below this one"));
        }
        let selected_goes = self.selected.as_ref().is_some_and(|selected| selected.mailbox == id);
        self.context.store.apply(Op::DeleteMailbox { name: mailbox.as_str().to_owned() }).await?;
        self.knows_names(|name| name == mailbox.as_str()).await?;
        if selected_goes {
            self.selected = None;
            self.conversation.unselected();
            response::untagged(&mut self.line.out, Status::Ok, Code::Closed, "The selected mailbox was deleted");
        }
        if self.enabled.rev2 && mailbox.as_given() != mailbox.as_str() {
            let row = ListRow { name: mailbox.as_str(), attributes: &["\\NonExistent"], child_info: &[] };
            response::list_renamed(&mut self.line.out, row, mailbox.as_given());
        }
        self.finish(tag, true, Code::None, "DELETE completed").await
    }

    /// RENAME (RFC 3501 section 6.3.5).
    pub(super) async fn rename(&mut self, tag: &Tag, from: &MailboxName, to: &MailboxName) -> Result<(), Failure> {
        self.mailbox_named(from, Rights::DELETE_MAILBOX).await?;
        self.check_new(to.as_str()).await?;
        let op = Op::RenameMailbox { from: from.as_str().to_owned(), to: to.as_str().to_owned() };
        self.context.store.apply(op).await?;
        let (old, new) = (from.as_str(), to.as_str());
        self.knows_names(|name| is_in_subtree(name, old) || is_in_subtree(name, new) || is_in_subtree(new, name))
            .await?;
        // RFC 9051 section 6.3.6: which is which, when a name was written in another way than it is kept.
        if from.as_given() != from.as_str() || to.as_given() != to.as_str() {
            self.tell_other_name(to.as_str(), from.as_given()).await?;
        }
        self.finish(tag, true, Code::None, "RENAME completed").await
    }

    /// SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.6 and 6.3.7). Only names of mailboxes that exist are remembered, so
    /// that one that does not needs no unsubscribing.
    pub(super) async fn subscribe(&mut self, tag: &Tag, mailbox: &MailboxName, on: bool) -> Result<(), Failure> {
        // RFC 4314 section 4: what cannot be looked up is as if it were not there. Subscriptions are the same for all devices, so
        // that they are no matter of one that may only look.
        let found = match self.mailbox_named(mailbox, Rights::LOOKUP).await {
            Ok(found) if !found.rights.has_any(Rights::ALL.without(Rights::LOOKING)) => return Err(denied()),
            Err(Failure::Refused(_, Code::Nonexistent, _)) if !on => {
                return self.finish(tag, true, Code::None, "UNSUBSCRIBE completed").await;
            }
            other => other?,
        };
        let name = found.mailbox.name.clone();
        let op = Op::Subscribe { name: found.mailbox.name, subscribed: on };
        match self.context.store.apply(op).await {
            Ok(_) => {}
            Err(Trouble::NotFound) if !on => {}
            Err(trouble) => return Err(trouble.into()),
        }
        self.knows_names(|other| other == name).await?;
        self.finish(tag, true, Code::None, if on { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" }).await
    }
}
