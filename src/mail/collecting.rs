//! How a device collects its mail by POP3: from which mailbox, and what becomes of what it deletes.

use crate::limits::POP3_LOGIN_DELAY_SECONDS_MAX;
use crate::mail::message::{INBOX, MailboxId, SpecialUse};

/// What is set for a device. The owner's own password collects by the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collecting {
    /// The mailbox that it sees. It stays set when the mailbox is deleted: the device gets no mail then, and not that of another
    /// mailbox, which it might delete.
    pub mailbox: MailboxId,
    /// What DELE does at QUIT.
    pub on_delete: OnDelete,
    /// Seconds between the beginnings of two sessions (RFC 2449 section 6.5); at most [`POP3_LOGIN_DELAY_SECONDS_MAX`].
    pub login_delay_seconds: u32,
}

impl Default for Collecting {
    fn default() -> Collecting {
        Collecting { mailbox: INBOX, on_delete: OnDelete::Delete, login_delay_seconds: 0 }
    }
}

/// What becomes of a message that a device has deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnDelete {
    /// It is gone.
    #[default]
    Delete,
    /// It goes to the mailbox with the use `\Trash`.
    Trash,
    /// It goes to the mailbox with the use `\Archive`.
    Archive,
}

impl OnDelete {
    const ALL: [(OnDelete, &str); 3] =
        [(OnDelete::Delete, "delete"), (OnDelete::Trash, "trash"), (OnDelete::Archive, "archive")];

    /// From its word.
    pub fn parse(word: &str) -> Option<OnDelete> {
        OnDelete::ALL.iter().find(|(_, known)| *known == word).map(|(one, _)| *one)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        OnDelete::ALL.iter().find(|(one, _)| *one == self).map_or("delete", |(_, word)| *word)
    }

    /// Where it goes.
    pub fn goes_to(self) -> Option<SpecialUse> {
        match self {
            OnDelete::Delete => None,
            OnDelete::Trash => Some(SpecialUse::Trash),
            OnDelete::Archive => Some(SpecialUse::Archive),
        }
    }
}

/// What is to be set otherwise; the rest stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CollectingChange {
    /// See [`Collecting::mailbox`].
    pub mailbox: Option<MailboxId>,
    /// See [`Collecting::on_delete`].
    pub on_delete: Option<OnDelete>,
    /// See [`Collecting::login_delay_seconds`].
    pub login_delay_seconds: Option<u32>,
}

impl CollectingChange {
    /// What it comes to.
    pub fn applied_to(self, before: Collecting) -> Collecting {
        let delay = self.login_delay_seconds.unwrap_or(before.login_delay_seconds);
        Collecting {
            mailbox: self.mailbox.unwrap_or(before.mailbox),
            on_delete: self.on_delete.unwrap_or(before.on_delete),
            login_delay_seconds: delay.min(POP3_LOGIN_DELAY_SECONDS_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_return_and_changes_leave_the_rest() {
        for one in [OnDelete::Delete, OnDelete::Trash, OnDelete::Archive] {
            assert_eq!(OnDelete::parse(one.word()), Some(one));
        }
        assert_eq!(OnDelete::parse("Trash"), None);
        let change = CollectingChange { on_delete: Some(OnDelete::Trash), ..CollectingChange::default() };
        let changed = change.applied_to(Collecting { mailbox: MailboxId(7), ..Collecting::default() });
        assert_eq!((changed.mailbox, changed.on_delete), (MailboxId(7), OnDelete::Trash));
        let change = CollectingChange { login_delay_seconds: Some(u32::MAX), ..CollectingChange::default() };
        assert_eq!(change.applied_to(changed).login_delay_seconds, POP3_LOGIN_DELAY_SECONDS_MAX);
    }
}
