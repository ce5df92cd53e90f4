//! What a login may do: with which mailboxes, and whether it may send.
//!
//! Receives a mailbox by id and name; hands on rights. It knows no passwords. What is said of a mailbox holds for all that lies
//! below it and has nothing of its own; ids, not names, are kept, so that a rule goes with its mailbox.

use crate::limits::DEVICE_NAME_BYTES_MAX;
use crate::mail::message::MailboxId;
use crate::wire::imap::DELIMITER;
pub use crate::wire::imap::Rights;

/// Whether this can be the name of a device: up to [`DEVICE_NAME_BYTES_MAX`] letters, digits, `-`, `_` and `.` of ASCII, the first
/// of them a letter or a digit, so that it can stand in a login (`me+NAME@home.example`) and be an identifier of RFC 4314. Not
/// `anyone`, which means everybody there.
pub fn is_device_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let begins = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    begins && name.len() <= DEVICE_NAME_BYTES_MAX && name.bytes().all(fits) && !name.eq_ignore_ascii_case("anyone")
}

/// What one login may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Rights on every mailbox about which nothing else is said, and for what is made at the top.
    pub base: Rights,
    /// Rights on these mailboxes and what is below them. Each mailbox once, at most
    /// [`crate::limits::DEVICE_MAILBOXES_MAX`].
    pub rules: Vec<(MailboxId, Rights)>,
    /// Mail can be sent.
    pub sends: bool,
}

impl Access {
    /// The owner's: everything.
    pub fn owner() -> Access {
        Access { base: Rights::ALL, rules: Vec::new(), sends: true }
    }

    /// Of nobody: nothing.
    pub fn none() -> Access {
        Access { base: Rights::NONE, rules: Vec::new(), sends: false }
    }

    /// Whether there is any mailbox to be read: otherwise IMAP and POP3 have nothing for this login.
    pub fn reads(&self) -> bool {
        let reads = |rights: Rights| rights.has_any(Rights::LOOKING);
        reads(self.base) || self.rules.iter().any(|(_, rights)| reads(*rights))
    }

    /// What is said of this mailbox itself.
    pub fn own_rule(&self, mailbox: MailboxId) -> Option<Rights> {
        self.rules.iter().find(|(id, _)| *id == mailbox).map(|(_, rights)| *rights)
    }

    /// The rights on a mailbox: what is said of it, or of the nearest one above it, or of all. `id_of` finds those above by name.
    ///
    /// # Errors
    /// What `id_of` says.
    pub fn on<E>(
        &self,
        mailbox: MailboxId,
        name: &str,
        id_of: impl FnMut(&str) -> Result<Option<MailboxId>, E>,
    ) -> Result<Rights, E> {
        match self.own_rule(mailbox) {
            Some(rights) => Ok(rights),
            None => self.above(name, id_of),
        }
    }

    /// The rights that a mailbox of this name gets from those above it.
    ///
    /// # Errors
    /// What `id_of` says.
    pub fn above<E>(
        &self,
        name: &str,
        mut id_of: impl FnMut(&str) -> Result<Option<MailboxId>, E>,
    ) -> Result<Rights, E> {
        if self.rules.is_empty() {
            return Ok(self.base);
        }
        for (at, _) in name.rmatch_indices(DELIMITER) {
            let id = id_of(name.get(..at).unwrap_or_default())?;
            if let Some(rights) = id.and_then(|id| self.own_rule(id)) {
                return Ok(rights);
            }
        }
        Ok(self.base)
    }

    /// Says something else of a mailbox.
    pub fn set_rule(&mut self, mailbox: MailboxId, rights: Rights) {
        match self.rules.iter_mut().find(|(id, _)| *id == mailbox) {
            Some(rule) => rule.1 = rights,
            None => self.rules.push((mailbox, rights)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const NAMES: [&str; 5] = ["INBOX", "Work", "Work/Plans", "Work/Plans/2026", "Home"];

    fn on(access: &Access, name: &str) -> String {
        let id = |name: &str| NAMES.iter().position(|known| *known == name).map(|at| MailboxId(at as u32 + 1));
        let found = access.on(id(name).unwrap_or(MailboxId(0)), name, |name| Ok::<_, Infallible>(id(name)));
        found.map(Rights::plain_letters).unwrap_or_default()
    }

    #[test]
    fn the_nearest_rule_counts() {
        let mut access = Access { base: Rights::NONE, rules: Vec::new(), sends: false };
        assert!(!access.reads());
        access.set_rule(MailboxId(2), Rights::LOOKING);
        assert!(access.reads());
        assert_eq!(NAMES.map(|name| on(&access, name)), ["", "lr", "lr", "lr", ""]);
        access.set_rule(MailboxId(3), Rights::NONE);
        assert_eq!(NAMES.map(|name| on(&access, name)), ["", "lr", "", "", ""]);
        access.set_rule(MailboxId(2), Rights::ALL);
        access.set_rule(MailboxId(4), Rights::READ);
        assert_eq!(NAMES.map(|name| on(&access, name)), ["", "lrswipkxtea", "", "r", ""]);
        assert_eq!(access.rules.len(), 3);
    }

    #[test]
    fn names_of_devices() {
        for good in ["phone", "7", "Old-Phone_2.home", &"x".repeat(64)] {
            assert!(is_device_name(good), "{good}");
        }
        for bad in ["", "-x", "a b", "me@home", "a+b", "tür", "Anyone", &"x".repeat(65)] {
            assert!(!is_device_name(bad), "{bad}");
        }
    }

    #[test]
    fn the_owner_may_everything() {
        assert!(NAMES.iter().all(|name| on(&Access::owner(), name) == Rights::ALL.plain_letters()));
    }
}
