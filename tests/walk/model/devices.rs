//! Devices and their rights: rules go with their mailboxes, nobody's rights change by a new name, and what a login may not set stays
//! as it was.

use super::*;
use hauspost::mail::access::{Access, Rights};

impl Model {
    pub(super) fn change_device(&mut self, change: &Change) -> Result<Answer, Refusal> {
        match change {
            Change::AddDevice(credential) => self.add_device(credential),
            Change::SetDeviceAccess { name, access } => self.set_device_access(name, access),
            Change::SetDevicePassword { name, verifier, quick_hash } => {
                let device = self.device(name)?;
                (device.quick_hash, device.readable) = (*quick_hash, None);
                let login = Credential::device_login(name).to_lowercase();
                self.credentials.entry(login).and_modify(|credential| credential.verifier = verifier.clone());
                Ok(Answer::Done(Done::Applied))
            }
            Change::SetDeviceRights { name, mailbox, change, rights } => {
                self.set_device_rights(name, mailbox.0, *change, *rights)
            }
            Change::SetDeviceCollecting { name, change, forget_readable } => {
                self.device(name)?;
                if let Some(mailbox) = change.mailbox {
                    self.folder(mailbox.0)?;
                    if mailbox.0 == self.outbox() {
                        return Err(Refusal::Refused);
                    }
                }
                let device = self.device(name)?;
                device.collecting = change.applied_to(device.collecting);
                device.readable.take_if(|_| *forget_readable);
                Ok(Answer::Done(Done::Applied))
            }
            other => panic!("not about devices: {other:?}"),
        }
    }

    /// What POP3 deletes and the owner keeps.
    pub(super) fn discard(
        &mut self,
        from: MailboxId,
        uids: &[Uid],
        to: SpecialUse,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        self.folder(from.0)?;
        let known = self.folders.iter().find(|(_, folder)| folder.special_use == Some(to)).map(|(id, _)| *id);
        let to = match known {
            Some(id) if id == from.0 => {
                return self.expunge(&Expunge { mailbox: from, which: Expungeable::These(uids.to_vec()) });
            }
            Some(id) => id,
            None => {
                let usual = if to == SpecialUse::Trash { "Trash" } else { "Archive" };
                let names = (2..).map(|number| format!("{usual} {number}"));
                let mut free = [usual.to_owned()].into_iter().chain(names).filter(|name| self.id_of(name).is_none());
                let name = free.next().expect("a name");
                drop(free);
                self.create(&name, Some(to))
            }
        };
        self.copy(&Copy { from, uids: uids.to_vec(), to: MailboxId(to), remove: true, now })
    }

    fn add_device(&mut self, credential: &Credential) -> Result<Answer, Refusal> {
        let login = credential.login.to_lowercase();
        if self.credentials.contains_key(&login) {
            return Err(Refusal::Exists);
        }
        let device = credential.device.clone().ok_or(Refusal::Refused)?;
        let device = Some(Device { access: self.granted(device.access), ..device });
        self.credentials.insert(login, Credential { device, ..credential.clone() });
        Ok(Answer::Done(Done::Applied))
    }

    fn set_device_access(&mut self, name: &str, access: &Access) -> Result<Answer, Refusal> {
        let access = self.granted(access.clone());
        self.device(name)?.access = access;
        Ok(Answer::Done(Done::Applied))
    }

    fn set_device_rights(
        &mut self,
        name: &str,
        mailbox: u32,
        change: RightsChange,
        rights: Rights,
    ) -> Result<Answer, Refusal> {
        let access = self.device(name)?.access.clone();
        let before = self.rights_on(&access, mailbox).ok_or(Refusal::NotFound)?;
        let rights = match change {
            RightsChange::Replace => rights,
            RightsChange::Add => before.union(rights),
            RightsChange::Remove => before.without(rights),
        };
        self.device(name)?.access.set_rule(MailboxId(mailbox), rights.among(Rights::GRANTABLE));
        Ok(Answer::Done(Done::Applied))
    }

    /// What every device may do with a mailbox.
    pub(super) fn all_rights_on(&self, mailbox: u32) -> Vec<(String, Rights)> {
        let devices = self.credentials.iter().filter_map(|(login, known)| Some((login, known.device.as_ref()?)));
        let rights =
            |(login, device): (&String, &Device)| Some((login.clone(), self.rights_on(&device.access, mailbox)?));
        devices.filter_map(rights).collect()
    }

    /// What they could do before, in a place where they may have other rights.
    pub(super) fn keep_rights(&mut self, mailbox: u32, before: Vec<(String, Rights)>) {
        let now = self.all_rights_on(mailbox);
        for ((login, before), (_, now)) in before.into_iter().zip(now) {
            let device = self.credentials.get_mut(&login).and_then(|credential| credential.device.as_mut());
            if let Some(device) = device.filter(|_| before != now) {
                device.access.set_rule(MailboxId(mailbox), before);
            }
        }
    }

    pub(super) fn forget_rights(&mut self, mailbox: u32) {
        for device in self.credentials.values_mut().filter_map(|credential| credential.device.as_mut()) {
            device.access.rules.retain(|(id, _)| id.0 != mailbox);
        }
    }

    pub(super) fn copy_within(&mut self, copy: &Copy, rights: Rights) -> Result<Answer, Refusal> {
        let is_from_outbox = copy.from.0 == self.outbox();
        let answer = self.copy(copy)?;
        let Answer::Done(Done::Copied { pairs, .. }) = &answer else { return Ok(answer) };
        if is_from_outbox {
            return Ok(answer);
        }
        let folder = self.folder(copy.to.0)?;
        let modseq = folder.modseq + 1;
        for (_, uid) in pairs {
            let Some(message) = folder.messages.get_mut(&uid.0) else { continue };
            let keywords = if rights.contains(Rights::WRITE) { message.keywords } else { 0 };
            let flags = message.flags & rights.system_flags().0;
            if (flags, keywords) != (message.flags, message.keywords) {
                (message.flags, message.keywords, message.modseq) = (flags, keywords, modseq);
                folder.modseq = modseq;
            }
        }
        Ok(answer)
    }

    fn device(&mut self, name: &str) -> Result<&mut Device, Refusal> {
        let credential = self.credentials.get_mut(&Credential::device_login(name).to_lowercase());
        credential.and_then(|credential| credential.device.as_mut()).ok_or(Refusal::NotFound)
    }

    /// Of the mailbox itself, or of the nearest one above it that has a rule. `None` when it is not there.
    fn rights_on(&self, access: &Access, mailbox: u32) -> Option<Rights> {
        let mut name = &self.folders.get(&mailbox)?.name[..];
        loop {
            let rule = self.id_of(name).and_then(|id| access.rules.iter().find(|(of, _)| of.0 == id));
            match (rule, name.rsplit_once('/')) {
                (Some((_, rights)), _) => return Some(*rights),
                (None, Some((above, _))) => name = above,
                (None, None) => return Some(access.base),
            }
        }
    }

    /// Each mailbox that is there once, the first time that it is named; no right that only the owner has.
    fn granted(&self, access: Access) -> Access {
        let mut rules: Vec<(MailboxId, Rights)> = Vec::new();
        for (mailbox, rights) in access.rules {
            if self.folders.contains_key(&mailbox.0) && rules.iter().all(|(known, _)| *known != mailbox) {
                rules.push((mailbox, rights.among(Rights::GRANTABLE)));
            }
        }
        Access { base: access.base.among(Rights::GRANTABLE), rules, sends: access.sends }
    }
}
