//! Changes of devices, of their rights, and by logins that may not do everything.

use super::change::*;
use super::{DEVICES, Walk};
use hauspost::mail::access::{Access, Rights};
use hauspost::mail::collecting::{Collecting, CollectingChange, OnDelete};
use hauspost::mail::credential::Verifier;
use hauspost::mail::message::{MailboxId, SpecialUse};
use hauspost::store::*;

impl Walk {
    pub(super) fn change_devices(&mut self) -> Change {
        let name = self.chance.pick(&DEVICES).to_owned();
        match self.chance.below(13) {
            0 => Change::RemoveCredential(Credential::device_login(&name)),
            1 | 2 => Change::SetDeviceAccess { name, access: self.access() },
            3..=5 => {
                let (mailbox, rights) = (self.folder_id(), self.rights());
                let change = self.chance.pick(&[RightsChange::Replace, RightsChange::Add, RightsChange::Remove]);
                Change::SetDeviceRights { name, mailbox, change, rights }
            }
            6 | 7 => {
                let change = CollectingChange {
                    mailbox: (self.chance.below(2) == 0).then(|| self.folder_id()),
                    on_delete: self.chance.pick(&[
                        None,
                        Some(OnDelete::Delete),
                        Some(OnDelete::Trash),
                        Some(OnDelete::Archive),
                    ]),
                    login_delay_seconds: (self.chance.below(2) == 0).then_some(self.chance.below(200_000) as u32),
                };
                Change::SetDeviceCollecting { name, change, forget_readable: self.chance.below(4) == 0 }
            }
            8 | 9 => {
                let from = self.folder_id();
                let to = self.chance.pick(&[SpecialUse::Trash, SpecialUse::Archive]);
                Change::Discard { from, uids: self.uids(from), to, now: self.time() }
            }
            10 => {
                let (verifier, quick_hash) = self.hashes();
                Change::SetDevicePassword { name, verifier, quick_hash }
            }
            _ => {
                let (verifier, key) = self.hashes();
                let device = Device {
                    name: name.clone(),
                    quick_hash: key,
                    made: self.time(),
                    access: self.access(),
                    collecting: Collecting::default(),
                    readable: (self.chance.below(2) == 0).then(|| "secret".to_owned()),
                };
                Change::AddDevice(Credential { login: Credential::device_login(&name), verifier, device: Some(device) })
            }
        }
    }

    fn hashes(&mut self) -> (Verifier, [u8; 32]) {
        let salt: [u8; 16] = self.chance.bytes(16).try_into().expect("sixteen");
        let key: [u8; 32] = self.chance.bytes(32).try_into().expect("thirty-two");
        (Verifier { salt, iterations: 4096, stored_key: key, server_key: key }, key)
    }

    /// Any rights, mostly many.
    pub(super) fn rights(&mut self) -> Rights {
        let any = Rights::LETTERS.map(|(right, _)| right).into_iter();
        any.filter(|_| self.chance.below(3) > 0).fold(Rights::NONE, Rights::union)
    }

    fn access(&mut self) -> Access {
        let rules: Vec<(MailboxId, Rights)> =
            (0..self.chance.below(4)).map(|_| (self.folder_id(), self.rights())).collect();
        Access { base: self.rights(), rules, sends: self.chance.below(2) == 0 }
    }
}
