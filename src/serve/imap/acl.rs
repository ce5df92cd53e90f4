//! SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314): who may do what with a mailbox.
//!
//! Those who have rights are the owner, who has all of them, and the owner's devices. Identifiers are their logins. What is said of a
//! mailbox holds for those below it that have nothing of their own: they are told in ACL responses too (section 5.1.1).

use super::Session;
use super::access::{Allowed, named};
use super::failure::{Failure, no};
use crate::mail::access::Rights;
use crate::mail::message::{Mailbox, MailboxId};
use crate::serve::{Named, device_login};
use crate::store::{Credential, Device, Op, Snapshot, Trouble};
use crate::wire::imap::acl::{self, Acl, AclAsked};
use crate::wire::imap::command::Tag;
use crate::wire::imap::{Code, MailboxName};
use crate::wire::sasl::prepare;

/// With any of these MYRIGHTS is answered (RFC 4314 section 4).
const ANY: Rights =
    Rights::LOOKING.union(Rights::INSERT).union(Rights::CREATE).union(Rights::DELETE_MAILBOX).union(Rights::ADMINISTER);

/// Whom an identifier means.
enum Meant {
    Owner,
    Device(String),
    Nobody,
}

impl Session {
    /// See the file's head.
    pub(super) async fn acl(&mut self, tag: &Tag, command: Acl) -> Result<(), Failure> {
        let Acl { mailbox, asked } = command;
        let text = match asked {
            AclAsked::Mine => {
                let rights = self.rights_on(&mailbox).await?;
                acl::my_rights(&mut self.line.out, mailbox.as_str(), rights);
                "MYRIGHTS completed"
            }
            AclAsked::Get => {
                let found = self.mailbox_named(&mailbox, Rights::ADMINISTER).await?;
                let id = found.mailbox.id;
                self.tell_acls(move |one| one.id == id).await?;
                "GETACL completed"
            }
            AclAsked::List { identifier } => {
                self.mailbox_named(&mailbox, Rights::ADMINISTER).await?;
                let (required, optional) = match self.meant(&identifier).await? {
                    Meant::Owner => (Rights::ALL, Rights::NONE),
                    Meant::Device(_) => (Rights::NONE, Rights::GRANTABLE),
                    Meant::Nobody => return Err(nobody()),
                };
                acl::list_rights(&mut self.line.out, mailbox.as_str(), &identifier, required, optional);
                "LISTRIGHTS completed"
            }
            AclAsked::Set { identifier, change, rights, delete } => {
                let Allowed { mailbox, .. } = self.mailbox_named(&mailbox, Rights::ADMINISTER).await?;
                self.set_acl(&mailbox, &identifier, change, rights).await?;
                if delete { "DELETEACL completed" } else { "SETACL completed" }
            }
        };
        self.finish(tag, true, Code::None, text).await
    }

    /// What this login may do with a mailbox, as far as it knows that it is there.
    async fn rights_on(&self, mailbox: &MailboxName) -> Result<Rights, Failure> {
        let (access, name) = (self.access.clone(), mailbox.as_str().to_owned());
        let found = self.context.store.read(move |snapshot| named(snapshot, &access, &name)).await?;
        match found {
            Some(found) if found.rights.has_any(ANY) => Ok(found.rights),
            _ => Err(no(Code::Nonexistent, "No such mailbox")),
        }
    }

    async fn set_acl(
        &mut self,
        mailbox: &Mailbox,
        identifier: &str,
        change: acl::RightsChange,
        rights: Rights,
    ) -> Result<(), Failure> {
        let name = match self.meant(identifier).await? {
            Meant::Owner => return Err(no(Code::Cannot, "The owner has all rights, always")),
            Meant::Nobody => return Err(nobody()),
            Meant::Device(name) => name,
        };
        if change != acl::RightsChange::Remove && !Rights::GRANTABLE.contains(rights) {
            return Err(no(Code::Cannot, "No device can be given that right"));
        }
        let id = mailbox.id;
        match self.context.store.apply(Op::SetDeviceRights { name: name.clone(), mailbox: id, change, rights }).await {
            Err(Trouble::NotFound) => return Err(nobody()),
            other => other?,
        };
        log::info!(
            "event=device-rights-changed name={name:?} mailbox={:?} rights={:?}",
            mailbox.name,
            rights.letters()
        );
        let below = format!("{}/", mailbox.name);
        let children = self.context.store.read(move |snapshot| inheriting(snapshot, id, &below, &name)).await?;
        if !children.is_empty() {
            self.tell_acls(move |one| children.contains(&one.id)).await?;
        }
        Ok(())
    }

    /// ACL responses for these mailboxes.
    async fn tell_acls(&mut self, of: impl Fn(&Mailbox) -> bool) -> Result<(), Failure> {
        let visible = self.mailboxes().await?;
        for Allowed { mailbox, .. } in visible.iter().filter(|allowed| of(&allowed.mailbox)) {
            let name = mailbox.name.clone();
            let devices = self.context.store.read(move |snapshot| rights_of_devices(snapshot, &name)).await?;
            let login = &self.site.login;
            let mut entries = vec![(login.clone(), Rights::ALL)];
            entries.extend(devices.into_iter().map(|(name, rights)| (device_login(login, &name), rights)));
            acl::acl(&mut self.line.out, &mailbox.name, &entries);
            self.line.flush_when_full().await?;
        }
        Ok(())
    }

    /// Whom an identifier means: a login, or the bare name of a device.
    async fn meant(&self, identifier: &str) -> Result<Meant, Failure> {
        // RFC 4314 section 3: an identifier is compared in its prepared form, as logins are.
        let identifier = prepare(identifier).unwrap_or_default();
        let name = match Named::read(&self.site, &identifier) {
            Named::Owner => return Ok(Meant::Owner),
            Named::Device(name) => name,
            Named::Nobody => identifier.into_owned(),
        };
        let device = self.context.store.read(move |snapshot| snapshot.device(&name)).await?;
        let name = device.and_then(|credential| credential.device).map(|device| device.name);
        Ok(name.map_or(Meant::Nobody, Meant::Device))
    }
}

fn nobody() -> Failure {
    no(Code::Cannot, "Only the devices of the owner can be given rights")
}

/// The devices that have any rights on a mailbox, with these.
fn rights_of_devices(snapshot: &Snapshot, mailbox: &str) -> Result<Vec<(String, Rights)>, Trouble> {
    let mut found = Vec::new();
    for Credential { device, .. } in snapshot.devices()? {
        let Some(Device { name, access, .. }) = device else { continue };
        let rights = named(snapshot, &access, mailbox)?.map_or(Rights::NONE, |allowed| allowed.rights);
        if rights != Rights::NONE {
            found.push((name, rights));
        }
    }
    Ok(found)
}

/// The mailboxes whose names begin with `below` and that have from this one what a device may do with them.
fn inheriting(snapshot: &Snapshot, mailbox: MailboxId, below: &str, device: &str) -> Result<Vec<MailboxId>, Trouble> {
    let Some(Device { access, .. }) = snapshot.device(device)?.and_then(|credential| credential.device) else {
        return Ok(Vec::new());
    };
    // With one rule that nobody else has, those who show it have it from there.
    let mut marked = crate::mail::access::Access { base: Rights::NONE, ..access };
    marked.rules.iter_mut().for_each(|rule| rule.1 = Rights::NONE);
    marked.set_rule(mailbox, Rights::ALL);
    let seen = super::access::visible(snapshot, &marked)?;
    let below = seen.into_iter().map(|allowed| allowed.mailbox).filter(|one| one.name.starts_with(below));
    Ok(below.map(|one| one.id).collect())
}
