//! Which mailboxes there are for this session, and what it may do with them (RFC 4314 section 4).
//!
//! Every command gets its mailboxes here and nowhere else (`tests/tidy.rs` checks it): a mailbox that this login has no right to
//! look up does not exist for it, whatever the command.

use super::Session;
use super::failure::{Failure, no};
use crate::mail::access::{Access, Rights};
use crate::mail::message::{Mailbox, MailboxId, SpecialUse, SystemFlags};
use crate::mail::special_use;
use crate::serve::{Heeded, Standing, Who};
use crate::store::{Snapshot, Trouble};
use crate::wire::imap::{Code, MailboxName, Status, response};
use std::collections::HashMap;

/// A mailbox with the rights that a login has on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub mailbox: Mailbox,
    pub rights: Rights,
}

/// The mailboxes of a snapshot that a login can look up, ordered by name, INBOX first.
pub(super) fn visible(snapshot: &Snapshot, access: &Access) -> Result<Vec<Allowed>, Trouble> {
    visible_of(snapshot.mailboxes()?, access)
}

fn visible_of(all: Vec<Mailbox>, access: &Access) -> Result<Vec<Allowed>, Trouble> {
    let ids: HashMap<String, MailboxId> = match access.rules.is_empty() {
        true => HashMap::new(),
        false => all.iter().map(|mailbox| (mailbox.name.clone(), mailbox.id)).collect(),
    };
    let mut found = Vec::with_capacity(all.len());
    for mailbox in all {
        let rights = access.on(mailbox.id, &mailbox.name, |name| Ok::<_, Trouble>(ids.get(name).copied()))?;
        if rights.contains(Rights::LOOKUP) {
            found.push(Allowed { mailbox, rights });
        }
    }
    Ok(found)
}

/// The mailbox of that name, or the one that the name stands for ([`special_use`]), whatever the rights on it: who asks must look
/// at them.
pub(super) fn named(snapshot: &Snapshot, access: &Access, name: &str) -> Result<Option<Allowed>, Trouble> {
    let found = match snapshot.mailbox_named(name)? {
        None => match special_use::stands_for(&snapshot.mailboxes()?, name) {
            Some(real) => snapshot.mailbox_named(&real)?,
            None => None,
        },
        found => found,
    };
    let Some(mailbox) = found else { return Ok(None) };
    let rights = access.on(mailbox.id, &mailbox.name, |above| id_of(snapshot, above))?;
    Ok(Some(Allowed { mailbox, rights }))
}

/// What a CREATE comes to.
pub(super) struct ToMake {
    /// The name that the one asked for stands for.
    pub name: String,
    /// The use that a mailbox of this name gets unasked.
    pub free_use: Option<SpecialUse>,
    /// It is another name than was asked for, and there is such a mailbox.
    pub is_there: bool,
    /// A mailbox has the use that was asked for.
    pub use_is_taken: bool,
    /// The rights on what it would lie below; none where a mailbox of this name is hidden from this login.
    pub rights: Rights,
}

/// What a CREATE of that name and use comes to, from one reading of the list.
pub(super) fn to_make(
    snapshot: &Snapshot,
    access: &Access,
    asked: &str,
    wanted: Option<SpecialUse>,
) -> Result<ToMake, Trouble> {
    let all = snapshot.mailboxes()?;
    let name = special_use::stands_for(&all, asked).unwrap_or_else(|| asked.to_owned());
    let free_use = special_use::free_use(&all, &name);
    let exists = all.iter().any(|mailbox| mailbox.name == name);
    let visible = visible_of(all, access)?;
    let can_be_seen = visible.iter().any(|allowed| allowed.mailbox.name == name);
    let rights = if exists && !can_be_seen { Rights::NONE } else { above(snapshot, access, &name)? };
    let is_there = name != asked && can_be_seen;
    let use_is_taken = wanted.is_some_and(|wanted| visible.iter().any(|one| one.mailbox.special_use == Some(wanted)));
    Ok(ToMake { name, free_use, is_there, use_is_taken, rights })
}

/// The rights on the nearest mailbox above a name that is to be made (RFC 4314 section 4, CREATE).
pub(super) fn above(snapshot: &Snapshot, access: &Access, name: &str) -> Result<Rights, Trouble> {
    access.above(name, |above| id_of(snapshot, above))
}

fn id_of(snapshot: &Snapshot, name: &str) -> Result<Option<MailboxId>, Trouble> {
    Ok(snapshot.mailbox_named(name)?.map(|mailbox| mailbox.id))
}

/// That mailbox, if these rights are there. Without them it is refused, and without the right to look it up it is not there
/// (RFC 4314 section 6).
pub(super) fn allowed(found: Option<Allowed>, needs: Rights) -> Result<Allowed, Failure> {
    match found {
        Some(found) if found.rights.contains(needs) => Ok(found),
        Some(found) if found.rights.contains(Rights::LOOKUP) => Err(denied()),
        _ => Err(no(Code::Nonexistent, "No such mailbox")),
    }
}

/// The mailbox that messages come into: one that is not there may be made first (RFC 3501 section 7.1, TRYCREATE).
pub(super) fn target(found: Option<Allowed>) -> Result<Allowed, Failure> {
    match allowed(found, Rights::INSERT) {
        Err(Failure::Refused(status, Code::Nonexistent, text)) => Err(Failure::Refused(status, Code::TryCreate, text)),
        other => other,
    }
}

/// NO `[NOPERM]` (RFC 5530).
pub(super) fn denied() -> Failure {
    no(Code::NoPerm, "This login has no right to do that")
}

impl Session {
    /// Goes on as whoever has logged in.
    pub(super) async fn be(&mut self, who: Who) -> Result<(), Failure> {
        self.access = who.access.clone();
        self.login = Some(Standing::new(&self.context, who));
        let heeded = self.heed_rights().await;
        if heeded.is_err() {
            self.login = None;
        }
        self.note_program();
        heeded
    }

    /// Before a command: a device that has been removed has nothing more to say, and one with other rights keeps to them.
    pub(super) async fn heed_rights(&mut self) -> Result<(), Failure> {
        let Some(login) = &mut self.login else { return Ok(()) };
        match login.heed(&self.context).await? {
            Heeded::Same => return Ok(()),
            Heeded::Gone => return Err(Failure::Bye(Code::None, "This device has been removed")),
            Heeded::Changed => {}
        }
        let access = login.who().access.clone();
        if !access.reads() {
            return Err(Failure::Bye(Code::None, "This device may no longer read mail"));
        }
        self.access = access;
        self.heed_selected().await?;
        // What may be looked up now, or no longer, is as if it had been made or deleted (RFC 5465 section 5.4).
        Box::pin(self.tell_others()).await
    }

    /// RFC 4314 section 5.1.1: a mailbox that may no longer be read ends the session; other flags that can be changed are told.
    async fn heed_selected(&mut self) -> Result<(), Failure> {
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let (access, id) = (self.access.clone(), selected.mailbox);
        let rights = self.context.store.read(move |snapshot| {
            let Some(mailbox) = snapshot.mailbox(id)? else { return Ok(None) };
            access.on(id, &mailbox.name, |above| id_of(snapshot, above)).map(Some)
        });
        // One that has been deleted is told of with the news.
        let Some(rights) = rights.await? else { return Ok(()) };
        if !rights.contains(Rights::READ) {
            return Err(Failure::Bye(Code::None, "The selected mailbox may no longer be read"));
        }
        if std::mem::replace(&mut selected.rights, rights) != rights {
            response::flags(&mut self.line.out, &selected.keywords);
            self.tell_permanent_flags("Flags that can be stored");
        }
        Ok(())
    }

    /// All mailboxes that are there for this login, ordered by name, INBOX first.
    pub(super) async fn mailboxes(&self) -> Result<Vec<Allowed>, Failure> {
        let access = self.access.clone();
        Ok(self.context.store.read(move |snapshot| visible(snapshot, &access)).await?)
    }

    /// The mailbox of that name, for something that needs these rights.
    pub(super) async fn mailbox_named(&self, name: &MailboxName, needs: Rights) -> Result<Allowed, Failure> {
        let (access, name) = (self.access.clone(), name.as_str().to_owned());
        allowed(self.context.store.read(move |snapshot| named(snapshot, &access, &name)).await?, needs)
    }

    /// The mailbox of that name, for messages to come into.
    pub(super) async fn target_named(&self, name: &MailboxName) -> Result<Allowed, Failure> {
        let (access, name) = (self.access.clone(), name.as_str().to_owned());
        target(self.context.store.read(move |snapshot| named(snapshot, &access, &name)).await?)
    }

    /// The selected mailbox, for a change that needs all of these rights.
    pub(super) fn changeable(&self, needs: Rights) -> Result<MailboxId, Failure> {
        let Some(selected) = &self.selected else { return Err(no(Code::ClientBug, "No mailbox is selected")) };
        if !selected.rights.contains(needs) {
            return Err(denied());
        }
        match selected.read_only {
            true => Err(no(Code::ReadOnly, "The mailbox was opened with EXAMINE")),
            false => Ok(selected.mailbox),
        }
    }

    /// What of the flags can be changed in the selected mailbox (RFC 4314 section 5.1.1).
    pub(super) fn tell_permanent_flags(&mut self, text: &str) {
        let Some(selected) = &self.selected else { return };
        let rights = if selected.read_only { Rights::NONE } else { selected.rights };
        let code = if selected.is_outbox {
            // The other flags of what waits to be sent are the server's.
            let system = rights.system_flags().among(SystemFlags::SEEN.union(SystemFlags::DELETED));
            Code::PermanentFlags { system, keywords: &[], new_keywords: false }
        } else {
            let new_keywords = rights.contains(Rights::WRITE);
            let keywords = if new_keywords { &selected.keywords[..] } else { &[] };
            Code::PermanentFlags { system: rights.system_flags(), keywords, new_keywords }
        };
        response::untagged(&mut self.line.out, Status::Ok, code, text);
    }
}
