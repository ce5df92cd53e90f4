//! Devices: what the owner does with them, whether at the command line or from another device.
//!
//! Receives names, passwords and rights; hands on what came of it. Who logs in as what is for [`crate::serve::Logins`]. Passwords come
//! in as arguments: they are made where random bytes are.

use crate::limits::{DEVICES_MAX, POP3_LOGIN_DELAY_SECONDS_MAX};
use crate::mail::access::{Access, Rights};
use crate::mail::collecting::{CollectingChange, OnDelete};
use crate::mail::credential::Verifier;
use crate::mail::message::MailboxId;
use crate::net::Net;
use crate::serve::certificates::authority_to_trust;
use crate::serve::web::Offer;
use crate::serve::{Context, Sighting};
use crate::store::{Credential, Device, Op, Trouble};
use std::io;
use zeroize::Zeroizing;

/// What a device is given, in words that people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// With mailboxes.
    pub rights: Rights,
    /// Mail can be sent.
    pub sends: bool,
}

impl Grant {
    /// `all`, or some of `read` (looking, nothing else), `mail` (all that can be done with mailboxes) and `send`, with commas
    /// between them.
    pub fn parse(words: &str) -> Option<Grant> {
        words.split(',').try_fold(Grant { rights: Rights::NONE, sends: false }, |grant, word| {
            let (rights, sends) = match word {
                "all" => (Rights::GRANTABLE, true),
                "mail" => (Rights::GRANTABLE, false),
                "read" => (Rights::LOOKING, false),
                "send" => (Rights::NONE, true),
                _ => return None,
            };
            Some(Grant { rights: grant.rights.union(rights), sends: grant.sends || sends })
        })
    }

    /// With these mailboxes and what is below them, or with all if there are none.
    pub fn on(self, mailboxes: &[MailboxId]) -> Access {
        let base = if mailboxes.is_empty() { self.rights } else { Rights::NONE };
        let rules = mailboxes.iter().map(|id| (*id, self.rights)).collect();
        Access { base, rules, sends: self.sends }
    }
}

/// How a device is to collect its mail by POP3 from now on; what is not said stays.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CollectingWish {
    /// The name of the mailbox that it sees.
    pub mailbox: Option<String>,
    /// What DELE does.
    pub on_delete: Option<OnDelete>,
    /// Seconds between two sessions.
    pub login_delay_seconds: Option<u32>,
    /// No APOP any more: its password is not kept readable.
    pub forget_readable: bool,
}

impl CollectingWish {
    /// As words: `mailbox=Scans`, `delete=trash`, `delay=60`, `no-apop`.
    pub fn to_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.mailbox.as_ref().map(|name| format!("mailbox={name}")));
        words.extend(self.on_delete.map(|what| format!("delete={}", what.word())));
        words.extend(self.login_delay_seconds.map(|seconds| format!("delay={seconds}")));
        words.extend(self.forget_readable.then(|| "no-apop".to_owned()));
        words
    }

    /// From these words. `None`: nothing is wished, or something that cannot be.
    pub fn from_words(words: &[&str]) -> Option<CollectingWish> {
        let mut wish = CollectingWish::default();
        for word in words {
            match word.split_once('=') {
                Some(("mailbox", name)) => wish.mailbox = Some(name.to_owned()),
                Some(("delete", what)) => wish.on_delete = Some(OnDelete::parse(what)?),
                Some(("delay", seconds)) => {
                    let seconds = seconds.parse().ok().filter(|seconds| *seconds <= POP3_LOGIN_DELAY_SECONDS_MAX);
                    wish.login_delay_seconds = Some(seconds?);
                }
                None if *word == "no-apop" => wish.forget_readable = true,
                _ => return None,
            }
        }
        (!words.is_empty()).then_some(wish)
    }
}

/// Why a device was not added or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// There is no mailbox of this name.
    NoMailbox(String),
    /// The owner has no password yet.
    NoOwner,
    /// The store said so.
    Trouble(Trouble),
}

impl From<Trouble> for NotDone {
    fn from(trouble: Trouble) -> NotDone {
        NotDone::Trouble(trouble)
    }
}

/// Letters of passwords that are made up: none that is mistaken for another on a phone.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Makes up a password of 100 random bits, in groups that can be typed.
///
/// # Errors
/// The system gives no random numbers.
pub fn make_password(net: &Net) -> io::Result<Zeroizing<String>> {
    let random = Zeroizing::new(net.random::<20>()?);
    // No room is made anew while it grows, so that no copy stays behind.
    let mut password = Zeroizing::new(String::with_capacity(24));
    for (at, byte) in random.iter().enumerate() {
        if at > 0 && at.is_multiple_of(4) {
            password.push('-');
        }
        password.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    Ok(password)
}

/// Gives a device a new password, which is made up and returned; the old one opens nothing any more, and its sessions end. Costs as
/// many hashes as a login of the owner's.
///
/// # Errors
/// See [`NotDone`].
pub async fn renew(context: &Context, name: &str) -> Result<Zeroizing<String>, NotDone> {
    let login = context.site().login.clone();
    let owner = context.store.read(move |snapshot| snapshot.credential(&login)).await?.ok_or(NotDone::NoOwner)?;
    let password = make_password(&context.net).map_err(|error| Trouble::Failed(error.to_string()))?;
    let Verifier { salt, iterations, .. } = owner.verifier;
    let (verifier, quick_hash) = (Verifier::new(&password, salt, iterations), Verifier::quick_hash(&password, &salt));
    context.store.apply(Op::SetDevicePassword { name: name.to_owned(), verifier, quick_hash }).await?;
    log::info!("event=device-password-renewed name={name:?}");
    Ok(password)
}

/// Makes a link that sets a device up, and returns where it leads. Whoever opens it first sees the password; without one the device gets
/// a new one then. `None`: there are no pages.
///
/// # Errors
/// What the store says, and that the system gives no random numbers.
pub async fn link(
    context: &Context,
    device: &str,
    password: Option<Zeroizing<String>>,
) -> Result<Option<Invitation>, Trouble> {
    let site = context.site();
    let Some(start) = site.entrances.url("/d/") else { return Ok(None) };
    let authority = authority_to_trust(&context.store, &site).await?;
    let random = context.net.random().map_err(|error| Trouble::Failed(error.to_string()))?;
    let certificate = authority.as_ref().map(|authority| authority.certificate.clone());
    let offer = Offer { device: device.to_owned(), password, authority: certificate };
    let secret = context.links.make(offer, Zeroizing::new(random), context.net.clock().steady());
    log::info!("event=link-made device={device:?}");
    let authority_sha256 = authority.map(|authority| authority.facts.sha256);
    Ok(Some(Invitation { url: format!("{start}{secret}"), authority_sha256 }))
}

/// What the owner is told of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The link.
    pub url: String,
    /// Of the certificate that devices have to trust; `None`: they trust the server already.
    pub authority_sha256: Option<Vec<u8>>,
}

/// Adds a device with this password, of at least 100 random bits. Costs as many hashes as a login of the owner's. `readable`: the
/// password itself is kept too, for APOP.
///
/// # Errors
/// See [`NotDone`].
pub async fn add(
    context: &Context,
    name: &str,
    password: &str,
    grant: Grant,
    mailboxes: &[String],
    readable: bool,
) -> Result<(), NotDone> {
    let login = context.site().login.clone();
    let owner = context.store.read(move |snapshot| snapshot.credential(&login)).await?.ok_or(NotDone::NoOwner)?;
    let access = grant.on(&find(context, mailboxes).await?);
    let now = context.net.clock().now();
    let mut credential = Credential::of_device(name, password, &owner.verifier, now, access);
    if let Some(device) = &mut credential.device {
        device.readable = readable.then(|| password.to_owned());
    }
    context.store.apply(Op::AddDevice(credential)).await?;
    log::info!("event=device-added name={name:?}");
    Ok(())
}

/// Gives a device other rights instead of those that it has. Its sessions keep to them from their next command on.
///
/// # Errors
/// See [`NotDone`].
pub async fn regrant(context: &Context, name: &str, grant: Grant, mailboxes: &[String]) -> Result<(), NotDone> {
    let access = grant.on(&find(context, mailboxes).await?);
    context.store.apply(Op::SetDeviceAccess { name: name.to_owned(), access }).await?;
    log::info!("event=device-rights-changed name={name:?}");
    Ok(())
}

/// Lets a device collect its mail otherwise. Its POP3 sessions end, and delete nothing.
///
/// # Errors
/// See [`NotDone`].
pub async fn collect(context: &Context, name: &str, wish: &CollectingWish) -> Result<(), NotDone> {
    let mailbox = find(context, wish.mailbox.as_slice()).await?.first().copied();
    let CollectingWish { on_delete, login_delay_seconds, forget_readable, .. } = *wish;
    let change = CollectingChange { mailbox, on_delete, login_delay_seconds };
    let op = Op::SetDeviceCollecting { name: name.to_owned(), change, forget_readable };
    context.store.apply(op).await?;
    log::info!("event=device-collects-otherwise name={name:?}");
    Ok(())
}

/// Removes a device; its sessions end.
///
/// # Errors
/// `NotFound`, and what the store says.
pub async fn remove(context: &Context, name: &str) -> Result<(), Trouble> {
    context.store.apply(Op::RemoveCredential { login: Credential::device_login(name) }).await?;
    context.logins.sightings.forget(name);
    context.links.forget(name);
    log::info!("event=device-removed name={name:?}");
    Ok(())
}

/// All devices by name, at most [`DEVICES_MAX`], with when and from where each was here last.
///
/// # Errors
/// What the store says.
pub async fn list(context: &Context) -> Result<Vec<(Device, Option<Sighting>)>, Trouble> {
    let mut all = context.logins.sightings.of_devices(context).await?;
    all.truncate(DEVICES_MAX);
    Ok(all)
}

async fn find(context: &Context, names: &[String]) -> Result<Vec<MailboxId>, NotDone> {
    let asked = names.to_vec();
    let found = context.store.read(move |snapshot| {
        let id = |name: &String| Ok(snapshot.mailbox_named(name)?.map(|mailbox| mailbox.id));
        asked.iter().map(id).collect::<Result<Vec<_>, Trouble>>()
    });
    let ids = found.await?.into_iter().zip(names);
    ids.map(|(id, name)| id.ok_or_else(|| NotDone::NoMailbox(name.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_return_from_their_words() {
        let wish = CollectingWish {
            mailbox: Some("a = b".into()),
            on_delete: Some(OnDelete::Trash),
            login_delay_seconds: Some(60),
            forget_readable: true,
        };
        let words = wish.to_words();
        assert_eq!(CollectingWish::from_words(&words.iter().map(String::as_str).collect::<Vec<_>>()), Some(wish));
        for bad in [&[][..], &["delete=burn"], &["delay=-1"], &["delay=86401"], &["apop"], &["mailbox"]] {
            assert_eq!(CollectingWish::from_words(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn words_are_rights() {
        let grant = |words| Grant::parse(words).map(|grant| (grant.rights.plain_letters(), grant.sends));
        let told = |letters: &str, sends| Some((letters.to_owned(), sends));
        assert_eq!(grant("all"), told("lrswipkxte", true));
        assert_eq!(grant("read"), told("lr", false));
        assert_eq!(grant("send"), told("", true));
        assert_eq!(grant("read,send"), told("lr", true));
        assert_eq!(grant("mail"), told("lrswipkxte", false));
        for words in ["", "none", "read,", "Read", "read send"] {
            assert_eq!(grant(words), None, "{words}");
        }
    }
}
