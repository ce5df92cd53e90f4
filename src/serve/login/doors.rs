//! What the passwords of one moment open, and whom a login name means.
//!
//! Receives login names and passwords; hands on who it is. It counts nothing and waits for nothing. There is one owner, who has one
//! password; and there are devices of theirs, each with one of its own. A login name means
//!
//! - the owner: their login, its local part, or any of their addresses. The passwords of all devices open that too, because
//!   phones are set up with the address;
//! - one device: the same with `+NAME` behind the local part. Its own password alone opens that.
//!
//! Passwords of devices are random and long: they are looked up by a quick hash. All devices are looked at, whichever it is.

use super::{Verdict, unavailable};
use crate::limits::DEVICES_MAX;
use crate::mail::access::Access;
use crate::mail::collecting::Collecting;
use crate::mail::credential::Verifier;
use crate::serve::{Context, Site};
use crate::store::{Credential, Device};
use crate::wire::sasl::{Password, Secret};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Who is logged in, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The owner's canonical login, whichever device it is.
    pub login: String,
    /// The name of the device; `None`: the owner, by the owner's own password.
    pub device: Option<String>,
    /// What this login may do.
    pub access: Arc<Access>,
    /// How it collects mail by POP3.
    pub collecting: Collecting,
    /// H(ClientKey) of the password: another password is another login.
    stored_key: [u8; 32],
}

impl Who {
    fn owner(site: &Site, verifier: &Verifier) -> Who {
        let (access, collecting) = (Arc::new(Access::owner()), Collecting::default());
        Who { login: site.login.clone(), device: None, access, collecting, stored_key: verifier.stored_key }
    }

    fn device(site: &Site, credential: &Credential, device: &Device) -> Who {
        Who {
            login: site.login.clone(),
            device: Some(device.name.clone()),
            access: Arc::new(device.access.clone()),
            collecting: device.collecting,
            stored_key: credential.verifier.stored_key,
        }
    }

    /// For the log: the login, and the device behind a `+`.
    pub fn name(&self) -> String {
        match &self.device {
            None => self.login.clone(),
            Some(device) => device_login(&self.login, device),
        }
    }

    /// The same as it is now: the rights of a device may have changed. `None`: the device is gone, or has another password. The
    /// owner stays the owner.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn renewed(&self, context: &Context) -> Result<Option<Who>, crate::store::Trouble> {
        let Some(name) = self.device.clone() else { return Ok(Some(self.clone())) };
        let found = context.store.read(move |snapshot| snapshot.device(&name)).await?;
        let same = found.filter(|credential| credential.verifier.stored_key == self.stored_key);
        Ok(same.and_then(|credential| credential.device).map(|device| Who {
            device: Some(device.name),
            access: Arc::new(device.access),
            collecting: device.collecting,
            ..self.clone()
        }))
    }
}

/// The login of a device, for whoever has this one: `me+phone@home.example`.
pub fn device_login(login: &str, device: &str) -> String {
    match login.split_once('@') {
        Some((local, domain)) => format!("{local}+{device}@{domain}"),
        None => format!("{login}+{device}"),
    }
}

/// Whom a login name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The owner, and all devices.
    Owner,
    /// The device of this name, in lower case, which need not exist.
    Device(String),
    /// Nobody here.
    Nobody,
}

impl Named {
    /// Reads a login name, in any case.
    pub fn read(site: &Site, login: &str) -> Named {
        if is_owner(site, login) {
            return Named::Owner;
        }
        match untagged(login) {
            Some((base, tag)) if is_owner(site, &base) => Named::Device(tag.to_lowercase()),
            _ => Named::Nobody,
        }
    }
}

/// A login without the `+NAME`, and the name.
fn untagged(login: &str) -> Option<(String, &str)> {
    let (local, domain) = login.split_once('@').map_or((login, None), |(local, domain)| (local, Some(domain)));
    let (base, tag) = local.rsplit_once('+')?;
    Some((domain.map_or_else(|| base.to_owned(), |domain| format!("{base}@{domain}")), tag))
}

fn is_owner(site: &Site, login: &str) -> bool {
    let login = login.to_lowercase();
    let canonical = site.login.to_lowercase();
    let local = canonical.split_once('@').map_or(canonical.as_str(), |(local, _)| local);
    login == canonical
        || login == local
        || site.addresses.iter().any(|address| address.to_string().to_lowercase() == login)
}

/// One name for all the names of a login: a local part and the address it belongs to are one, whether they exist or not.
pub fn canonical(site: &Site, login: &str) -> String {
    match Named::read(site, login) {
        Named::Owner => site.login.to_lowercase(),
        Named::Device(name) => device_login(&site.login.to_lowercase(), &name),
        Named::Nobody => {
            let login = login.to_lowercase();
            match login.split_once('@') {
                Some((local, domain)) if site.domains.iter().any(|own| own.as_str() == domain) => local.to_owned(),
                _ => login,
            }
        }
    }
}

/// All passwords that open anything.
pub struct Doors {
    site: Arc<Site>,
    /// The owner's.
    pub owner: Verifier,
    devices: Vec<(Credential, Device)>,
}

impl Doors {
    /// As they are now.
    ///
    /// # Errors
    /// Any verdict but [`Verdict::Welcome`].
    pub async fn read(context: &Context, site: &Arc<Site>) -> Result<Doors, Verdict> {
        let owner = site.login.clone();
        let read = context.store.read(move |snapshot| Ok((snapshot.credential(&owner)?, snapshot.devices()?)));
        match read.await {
            Ok((Some(owner), devices)) => {
                let devices = devices.into_iter().filter_map(|credential| {
                    let device = credential.device.clone()?;
                    Some((credential, device))
                });
                Ok(Doors { site: site.clone(), owner: owner.verifier, devices: devices.take(DEVICES_MAX).collect() })
            }
            Ok((None, _)) => {
                log::warn!("event=login-impossible reason=\"no password has been set\"");
                Err(Verdict::Wrong)
            }
            Err(trouble) => Err(unavailable(&trouble)),
        }
    }

    /// All devices, each with what is kept of its password.
    pub fn devices(&self) -> &[(Credential, Device)] {
        &self.devices
    }

    /// A device, by a password that was judged elsewhere.
    pub fn who_is(&self, credential: &Credential, device: &Device) -> Who {
        Who::device(&self.site, credential, device)
    }

    /// The owner, by the owner's password.
    pub fn who_owns(&self) -> Who {
        Who::owner(&self.site, &self.owner)
    }

    /// The device whose password that is, if the login name means it.
    pub fn device_with(&self, given: &Password) -> Option<Who> {
        let named = Named::read(&self.site, &given.login);
        let mut found = None;
        for (credential, device) in &self.devices {
            let hash = Verifier::quick_hash(&given.password, &credential.verifier.salt);
            let right: bool = hash.ct_eq(&device.quick_hash).into();
            if right && named.means(device) {
                found = Some(Who::device(&self.site, credential, device));
            }
        }
        found
    }

    /// What a SCRAM exchange needs to know of a login: the passwords that open it. All logins get the same number of keys, so that the
    /// time they take is the same, and those that do not exist a salt of their own; what stands behind a `+` never changes it.
    pub fn secret(&self, login: &str) -> Secret {
        let named = Named::read(&self.site, login);
        let base = untagged(login).map_or_else(|| login.to_owned(), |(base, _)| base);
        let mut secret = match &named {
            Named::Nobody => self.owner.decoy(&canonical(&self.site, &base)),
            _ => self.owner.secret(),
        };
        let meant = |(_, device): &&(Credential, Device)| named.means(device);
        let mut keys: Vec<_> = match named {
            Named::Owner => vec![self.owner.keys()],
            _ => Vec::new(),
        };
        // A device that was added under another password of the owner's has another salt: its own name still opens it.
        if let (Named::Device(_), Some((credential, _))) = (&named, self.devices.iter().find(meant)) {
            secret = credential.verifier.secret();
            keys.push(credential.verifier.keys());
        } else {
            let alike = self.devices.iter().filter(meant).filter(|(one, _)| one.verifier.hashes_like(&self.owner));
            keys.extend(alike.map(|(credential, _)| credential.verifier.keys()));
        }
        keys.resize_with(self.devices.len() + 1, || self.owner.decoy_keys(login));
        Secret { keys, ..secret }
    }

    /// Whose password has been proved.
    pub fn proved(&self, login: &str, stored_key: &[u8; 32]) -> Option<Who> {
        let named = Named::read(&self.site, login);
        if named == Named::Owner && self.owner.stored_key == *stored_key {
            return Some(self.who_owns());
        }
        let proved = |(credential, device): &&(Credential, Device)| {
            credential.verifier.stored_key == *stored_key && named.means(device)
        };
        self.devices.iter().find(proved).map(|(credential, device)| Who::device(&self.site, credential, device))
    }
}

impl Named {
    /// Whether the name means this device.
    pub fn means(&self, device: &Device) -> bool {
        match self {
            Named::Owner => true,
            Named::Device(name) => device.name.eq_ignore_ascii_case(name),
            Named::Nobody => false,
        }
    }
}
