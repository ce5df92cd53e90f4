//! Devices: their rights, and what becomes of those when mailboxes are renamed and deleted.
//!
//! A rule is about a mailbox by its id and goes with it. RENAME changes nobody's rights (RFC 4314 section 4): what a mailbox had
//! from those above it, and would have no more at its new place, is written down as a rule of its own. DELETE takes its rules along.

use super::super::step::Step;
use super::super::tables::{CREDENTIALS, decode_credential};
use super::super::{Credential, DEVICE_LOGIN, Device, Done, RightsChange, Trouble};
use super::Draft;
use crate::limits::{DEVICE_MAILBOXES_MAX, DEVICES_MAX};
use crate::mail::access::{Access, Rights, is_device_name};
use crate::mail::message::MailboxId;
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

    pub(super) fn set_device_access(&mut self, name: &str, access: Access) -> Result<Done, Trouble> {
        let (credential, device) = self.device(name)?;
        let access = self.checked(access)?;
        self.save(credential, Device { access, ..device });
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
        for row in self.tables.credentials.range(DEVICE_LOGIN..)? {
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
