//! The ESEARCH command: one search through several mailboxes (RFC 7377).

use super::command::{FetchItem, SearchKey};
use super::esearch::SearchReturn;
use super::mailbox::MailboxName;

/// ESEARCH. Results are UIDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiSearch {
    /// `IN (...)`, at least one; [`Source::Selected`] alone when it is left out.
    pub sources: Vec<Source>,
    /// `RETURN (...)`; ALL when it is left out.
    pub returns: SearchReturn,
    /// `UPDATE (...)`, as of [`super::command::Search`].
    pub update_fetch: Vec<FetchItem>,
    /// What to find.
    pub key: SearchKey,
}

/// Which mailboxes to search (RFC 7377 section 2.2, RFC 5465 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `selected`
    Selected,
    /// `inboxes`
    Inboxes,
    /// `personal`
    Personal,
    /// `subscribed`
    Subscribed,
    /// `subtree`, `subtree-one`: these and what is below them.
    Subtree {
        /// At least one.
        names: Vec<MailboxName>,
        /// Only one level down.
        one_level: bool,
    },
    /// `mailboxes`: at least one.
    Mailboxes(Vec<MailboxName>),
}
