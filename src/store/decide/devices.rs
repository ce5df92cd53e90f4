//! Devices: their rights, and what becomes of those when mailboxes are renamed and deleted.
//!
//! A rule is about a mailbox by its id and goes with it. RENAME changes nobody's rights (RFC 4314 section 4): what a mailbox had
//! from those above it, and would have no more at its new place, is written down as a rule of its own. DELETE takes its rules along.

use super::super::step::Step;
use super::super::tables::{CREDENTIALS, decode_credential};
use super::super::{Credential, DEVICE_LOGIN, Device, Done, RightsChange, Trouble};
use super::{Draft, check_key};
use crate::limits::{DEVICE_MAILBOXES_MAX, DEVICES_MAX};
use crate::mail::access::{Access, Rights, is_device_name};
use crate::mail::collecting::CollectingChange;
use crate::mail::credential::Verifier;
use crate::mail::message::{MailboxId, SpecialUse};
use redb::ReadableTable;

impl Draft<'_, '_> {
    pub(super) fn add_device(&mut self, credential: Credential) -> Result<Done, Trouble> {
        let Some(device) = &credential.device else { return Err(Trouble::Refused("this is no device")) };
        if !is_device_name(&device.name) || credential.login != Credential::device_login(&device.name) {
            return Err(Trouble::Refused("the name of the device is not well formed"));
        }
        let there = self.devices()?;
        if there.iter().any(|(_, known)| known.name.eq_ignore_ascii_case(&device.name)) {
            return Err(Trouble::Exists);
        }
        if there.len() >= DEVICES_MAX {
            return Err(Trouble::Refused("there are too many devices"));
        }
        let access = self.checked(device.access.clone())?;
        let device = Some(Device { access, ..device.clone() });
        self.steps.push(Step::SetCredential(Credential { device, ..credential }));
        Ok(Done::Applied)
    }

    pub(super) fn set_credential(&mut self, credential: Credential) -> Result<Done, Trouble> {
        check_key(&credential.login)?;
        self.steps.push(Step::SetCredential(credential));
        Ok(Done::Applied)
    }

    pub(super) fn remove_credential(&mut self, login: String) -> Result<Done, Trouble> {
        if self.tables.credentials.read()?.get(&login.to_lowercase()[..])?.is_none() {
            return Err(Trouble::NotFound);
        }
        self.steps.push(Step::RemoveCredential(login));
        Ok(Done::Applied)
    }

    pub(super) fn set_device_access(&mut self, name: &str, access: Access) -> Result<Done, Trouble> {
        let (credential, device) = self.device(name)?;
        let access = self.checked(access)?;
        self.save(credential, Device { access, ..device });
        Ok(Done::Applied)
    }

    pub(super) fn set_device_password(
        &mut self,
        name: &str,
        verifier: Verifier,
        quick_hash: [u8; 32],
    ) -> Result<Done, Trouble> {
        let (credential, device) = self.device(name)?;
        self.save(Credential { verifier, ..credential }, Device { quick_hash, readable: None, ..device });
        Ok(Done::Applied)
    }

    pub(super) fn set_device_rights(
        &mut self,
        name: &str,
        mailbox: MailboxId,
        change: RightsChange,
        rights: Rights,
    ) -> Result<Done, Trouble> {
        let (credential, mut device) = self.device(name)?;
        let known = self.tables.mailbox(mailbox)?.mailbox.name;
        let before = device.access.on(mailbox, &known, |name| self.tables.mailbox_id(name))?;
        let now = match change {
            RightsChange::Replace => rights,
            RightsChange::Add => before.union(rights),
            RightsChange::Remove => before.without(rights),
        };
        device.access.set_rule(mailbox, now);
        device.access = self.checked(device.access)?;
        self.save(credential, device);
        Ok(Done::Applied)
    }

    /// A mailbox is about to be another one, or to have another name: nobody's rights on it change.
    pub(super) fn keep_rights(&mut self, old: MailboxId, from: &str, new: MailboxId, to: &str) -> Result<(), Trouble> {
        for (credential, mut device) in self.devices()? {
            let before = device.access.on(old, from, |name| self.tables.mailbox_id(name))?;
            let after = device.access.on(new, to, |name| self.tables.mailbox_id(name))?;
            if before != after {
                device.access.set_rule(new, before);
                if device.access.rules.len() > DEVICE_MAILBOXES_MAX {
                    return Err(too_many());
                }
                self.save(credential, device);
            }
        }
        Ok(())
    }

    /// RFC 4314 section 4: DELETE deletes the access control list.
    pub(super) fn forget_rights(&mut self, mailbox: MailboxId) -> Result<(), Trouble> {
        for (credential, mut device) in self.devices()? {
            if device.access.own_rule(mailbox).is_some() {
                device.access.rules.retain(|(id, _)| *id != mailbox);
                self.save(credential, device);
            }
        }
        Ok(())
    }

    pub(super) fn set_device_collecting(
        &mut self,
        name: &str,
        change: CollectingChange,
        forget_readable: bool,
    ) -> Result<Done, Trouble> {
        let (credential, device) = self.device(name)?;
        if let Some(mailbox) = change.mailbox
            && self.mailbox(mailbox)?.special_use == Some(SpecialUse::Outbox)
        {
            return Err(Trouble::Refused("mail in Outbox is not collected: deleting there takes it back"));
        }
        let collecting = change.applied_to(device.collecting);
        let readable = device.readable.clone().filter(|_| !forget_readable);
        self.save(credential, Device { collecting, readable, ..device });
        Ok(Done::Applied)
    }

    fn save(&mut self, credential: Credential, device: Device) {
        self.steps.push(Step::SetCredential(Credential { device: Some(device), ..credential }));
    }

    /// Rights as they are kept: of mailboxes that are there, without what no device can have.
    fn checked(&self, mut access: Access) -> Result<Access, Trouble> {
        access.base = access.base.among(Rights::GRANTABLE);
        let mut rules: Vec<(MailboxId, Rights)> = Vec::new();
        for (mailbox, rights) in access.rules {
            let is_new = rules.iter().all(|(known, _)| *known != mailbox);
            if is_new && self.tables.mailboxes.get(mailbox.0)?.is_some() {
                rules.push((mailbox, rights.among(Rights::GRANTABLE)));
            }
        }
        if rules.len() > DEVICE_MAILBOXES_MAX {
            return Err(too_many());
        }
        Ok(Access { rules, ..access })
    }

    fn device(&self, name: &str) -> Result<(Credential, Device), Trouble> {
        let found = self.devices()?.into_iter().find(|(_, device)| device.name.eq_ignore_ascii_case(name));
        found.ok_or(Trouble::NotFound)
    }

    fn devices(&self) -> Result<Vec<(Credential, Device)>, Trouble> {
        let mut found = Vec::new();
        for row in self.tables.credentials.read()?.range(DEVICE_LOGIN..)? {
            let (login, bytes) = row?;
            let login = login.value();
            if !login.starts_with(DEVICE_LOGIN) {
                break;
            }
            // A damaged row lets nobody in: it keeps nobody from anything either.
            let Ok(credential) = CREDENTIALS.decode(&login, bytes.value(), decode_credential) else { continue };
            if let Some(device) = credential.device.clone() {
                found.push((credential, device));
            }
        }
        Ok(found)
    }
}

fn too_many() -> Trouble {
    Trouble::Refused("a device has rights of its own on too many mailboxes")
}

#[cfg(test)]
mod tests {
    use crate::limits::{DEVICE_MAILBOXES_MAX, DEVICES_MAX};
    use crate::mail::access::{Access, Rights};
    use crate::mail::credential::Verifier;
    use crate::mail::message::{INBOX, MailboxId};
    use crate::store::{Credential, Op, RightsChange, Store, Trouble};
    use crate::wire::date::Timestamp;
    use smol::block_on;

    fn device(name: &str, access: Access) -> Op {
        let owner = Verifier::new("x", [1; 16], 1);
        Op::AddDevice(Credential::of_device(name, "y", &owner, Timestamp(5), access))
    }

    fn access(store: &Store, name: &str) -> Option<Access> {
        let name = name.to_owned();
        let found = block_on(store.read(move |snapshot| snapshot.device(&name))).expect("readable");
        found.and_then(|credential| credential.device).map(|device| device.access)
    }

    #[test]
    fn devices_are_kept_within_bounds() {
        let store = Store::in_memory().expect("a store");
        let apply = |op| block_on(store.apply(op));
        let rules = vec![(INBOX, Rights::ALL), (INBOX, Rights::NONE), (MailboxId(99), Rights::ALL)];
        apply(device("Phone", Access { base: Rights::ALL, rules, sends: true })).expect("added");
        let wanted = Access { base: Rights::GRANTABLE, rules: vec![(INBOX, Rights::GRANTABLE)], sends: true };
        assert_eq!(access(&store, "phone"), Some(wanted), "what can be granted, of what is there");
        assert_eq!(apply(device("PHONE", Access::none())), Err(Trouble::Exists));
        assert!(matches!(apply(device("a b", Access::none())), Err(Trouble::Refused(_))));
        for number in 1..DEVICES_MAX {
            apply(device(&format!("d{number}"), Access::none())).expect("added");
        }
        assert!(matches!(apply(device("more", Access::none())), Err(Trouble::Refused(_))));
        apply(Op::RemoveCredential { login: Credential::device_login("pHONE") }).expect("removed");
        assert_eq!(access(&store, "phone"), None);
    }

    #[test]
    fn rules_follow_mailboxes_and_end_with_them() {
        let store = Store::in_memory().expect("a store");
        let apply = |op| block_on(store.apply(op));
        apply(device("phone", Access::none())).expect("added");
        let name = |name: &str| name.to_owned();
        apply(Op::CreateMailbox { name: name("A/B"), special_use: None }).expect("made");
        let id = |name: &'static str| block_on(store.read(move |snapshot| snapshot.mailbox_named(name)));
        let id = |name| id(name).expect("readable").expect("there").id;
        let (above, below) = (id("A"), id("A/B"));
        let set = |mailbox, change, rights| {
            apply(Op::SetDeviceRights { name: name("phone"), mailbox, change, rights }).map(|_| ())
        };
        set(above, RightsChange::Add, Rights::LOOKING).expect("set");
        set(above, RightsChange::Remove, Rights::READ).expect("set");
        let rules = || access(&store, "phone").expect("there").rules;
        assert_eq!(rules(), [(above, Rights::LOOKUP)]);
        apply(Op::RenameMailbox { from: name("A/B"), to: name("C") }).expect("renamed");
        assert_eq!(rules(), [(above, Rights::LOOKUP), (below, Rights::LOOKUP)]);
        apply(Op::DeleteMailbox { name: name("A") }).expect("deleted");
        assert_eq!(rules(), [(below, Rights::LOOKUP)]);
        assert_eq!(set(above, RightsChange::Add, Rights::READ), Err(Trouble::NotFound));
        for number in 1..DEVICE_MAILBOXES_MAX {
            apply(Op::CreateMailbox { name: format!("m{number}"), special_use: None }).expect("made");
            let id = block_on(store.read(move |snapshot| snapshot.mailbox_named(&format!("m{number}"))));
            set(id.expect("readable").expect("there").id, RightsChange::Add, Rights::READ).expect("set");
        }
        assert!(matches!(set(INBOX, RightsChange::Add, Rights::READ), Err(Trouble::Refused(_))));
    }
}
