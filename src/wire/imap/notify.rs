//! What a client wants to be told unasked (NOTIFY, RFC 5465), as values.

use super::command::FetchItem;
use super::mailbox::{MailboxName, is_in_subtree};

/// The events that this server can tell of, as BADEVENT lists them (RFC 5465 section 8).
pub const EVENTS: &str =
    "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange";

/// NOTIFY (RFC 5465 section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notify {
    /// `NONE`
    None,
    /// `SET`
    Set(Wishes),
}

/// `SET`: what shall be told of which mailboxes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wishes {
    /// `STATUS`: how the other mailboxes stand is told at once.
    pub status: bool,
    /// Of the selected mailbox; `None`: nothing.
    pub selected: Option<SelectedWish>,
    /// Of mailboxes by name, in the order in which they were given.
    pub groups: Vec<EventGroup>,
}

/// `SELECTED` or `SELECTED-DELAYED` (RFC 5465 section 6.1).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SelectedWish {
    /// Expunges wait for a command that may tell them.
    pub delayed: bool,
    /// What of messages is told; never without MessageNew and MessageExpunge.
    pub flags: bool,
    /// What is told of new messages; empty: that they are there.
    pub fetch: Vec<FetchItem>,
}

/// Events of some mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventGroup {
    /// Which ones.
    pub mailboxes: Filter,
    /// What is told of them.
    pub events: Events,
}

/// Mailboxes, by name or kind (RFC 5465 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `INBOXES`, which cannot be told from `PERSONAL` where any mailbox may have an address (section 6.3), and `PERSONAL`.
    Personal,
    /// `SUBSCRIBED`
    Subscribed,
    /// `SUBTREE`: these and all below.
    Subtree(Vec<MailboxName>),
    /// `MAILBOXES`: these.
    Mailboxes(Vec<MailboxName>),
}

impl Filter {
    /// Whether a mailbox of this name, subscribed or not, is among them.
    pub fn has(&self, name: &str, subscribed: bool) -> bool {
        match self {
            Filter::Personal => true,
            Filter::Subscribed => subscribed,
            Filter::Subtree(tops) => tops.iter().any(|top| is_in_subtree(name, top.as_str())),
            Filter::Mailboxes(names) => names.iter().any(|one| one.as_str() == name),
        }
    }
}

/// Events of mailboxes other than the selected one, and of the mailboxes themselves (RFC 5465 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Events {
    /// MessageNew and MessageExpunge: they go together.
    pub messages: bool,
    /// FlagChange
    pub flags: bool,
    /// MailboxName
    pub names: bool,
    /// SubscriptionChange
    pub subscriptions: bool,
    /// MailboxMetadataChange
    pub metadata: bool,
    /// ServerMetadataChange
    pub server_metadata: bool,
}

impl Events {
    /// Both together.
    pub fn union(self, other: Events) -> Events {
        Events {
            messages: self.messages || other.messages,
            flags: self.flags || other.flags,
            names: self.names || other.names,
            subscriptions: self.subscriptions || other.subscriptions,
            metadata: self.metadata || other.metadata,
            server_metadata: self.server_metadata || other.server_metadata,
        }
    }
}

impl Wishes {
    /// What is wished of a mailbox of this name.
    pub fn of(&self, name: &str, subscribed: bool) -> Events {
        let groups = self.groups.iter().filter(|group| group.mailboxes.has(name, subscribed));
        groups.fold(Events::default(), |all, group| all.union(group.events))
    }

    /// What is wished of any mailbox.
    pub fn of_any(&self) -> Events {
        self.groups.iter().fold(Events::default(), |all, group| all.union(group.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<MailboxName> {
        names.iter().map(|name| MailboxName::new(name).unwrap()).collect()
    }

    #[test]
    fn filters_know_their_mailboxes() {
        let subtree = Filter::Subtree(names(&["Lists", "a*"]));
        assert!(subtree.has("Lists", false) && subtree.has("Lists/a/b", false) && subtree.has("a*", false));
        assert!(!subtree.has("Listserv", false) && !subtree.has("ab", false));
        assert!(Filter::Mailboxes(names(&["inbox"])).has("INBOX", false));
        assert!(!Filter::Mailboxes(names(&["Lists"])).has("Lists/a", false));
        assert!(Filter::Subscribed.has("x", true) && !Filter::Subscribed.has("x", false));
    }

    #[test]
    fn groups_that_name_one_mailbox_add_up() {
        let messages = Events { messages: true, ..Events::default() };
        let subscriptions = Events { subscriptions: true, ..Events::default() };
        let wishes = Wishes {
            groups: vec![
                EventGroup { mailboxes: Filter::Mailboxes(names(&["INBOX"])), events: messages },
                EventGroup { mailboxes: Filter::Personal, events: subscriptions },
            ],
            ..Wishes::default()
        };
        assert_eq!(wishes.of("INBOX", false), messages.union(subscriptions));
        assert_eq!(wishes.of("Sent", false), subscriptions);
    }
}
