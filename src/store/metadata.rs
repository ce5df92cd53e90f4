//! Where annotations of mailboxes and of the server (RFC 5464) lie: settings, each under its mailbox's id and its own name.
//!
//! So they follow a mailbox that is renamed, and go with it when it is deleted. Values are bytes; nothing here knows what they say.

use super::tables::SETTINGS;
use super::{Snapshot, Trouble};
use crate::limits::{METADATA_ENTRIES_MAX, METADATA_ENTRIES_PER_MAILBOX_MAX};
use crate::mail::message::MailboxId;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What the keys of all annotations begin with.
pub const METADATA_KEYS: &str = "metadata/";

/// What the keys of the annotations of a mailbox begin with, or those of the server. Entries begin with `/`.
pub fn metadata_keys(of: Option<MailboxId>) -> String {
    match of {
        Some(mailbox) => format!("{METADATA_KEYS}{}", mailbox.0),
        None => format!("{METADATA_KEYS}server"),
    }
}

/// The mailbox that a setting annotates; `None`: it annotates none.
pub fn annotated_mailbox(key: &str) -> Option<MailboxId> {
    annotated(key)?.0
}

/// Whose annotation a key is, `None` being the server, and the name of its entry; `None`: it is none.
pub fn annotated(key: &str) -> Option<(Option<MailboxId>, &str)> {
    let inside = key.strip_prefix(METADATA_KEYS)?;
    let (owner, entry) = inside.split_at(inside.find('/')?);
    match owner {
        "server" => Some((None, entry)),
        mailbox => mailbox.parse().ok().map(|mailbox| (Some(MailboxId(mailbox)), entry)),
    }
}

impl Snapshot {
    /// A mark of each annotation, by key, that changes with its value: what tells a watcher which of them have changed. At most
    /// [`METADATA_ENTRIES_MAX`].
    pub fn metadata_marks(&self) -> Result<BTreeMap<String, u64>, Trouble> {
        let mut marks = BTreeMap::new();
        for row in self.table(SETTINGS.table)?.range(METADATA_KEYS..)? {
            let (key, bytes) = row?;
            let key = key.value();
            if !key.starts_with(METADATA_KEYS) || marks.len() >= METADATA_ENTRIES_MAX {
                break;
            }
            let mut hasher = DefaultHasher::new();
            bytes.value().hash(&mut hasher);
            marks.insert(key.to_owned(), hasher.finish());
        }
        Ok(marks)
    }

    /// The annotations of a mailbox, or of the server, by name: at most [`METADATA_ENTRIES_PER_MAILBOX_MAX`].
    pub fn metadata(&self, of: Option<MailboxId>) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
        let keys = metadata_keys(of);
        let rows = self.settings_under(&format!("{keys}/"), METADATA_ENTRIES_PER_MAILBOX_MAX)?;
        let named = |(key, value): (String, Vec<u8>)| (key.get(keys.len()..).unwrap_or_default().to_owned(), value);
        Ok(rows.into_iter().map(named).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_whose_they_are() {
        assert_eq!(metadata_keys(Some(MailboxId(7))), "metadata/7");
        assert_eq!(annotated_mailbox("metadata/7/private/comment"), Some(MailboxId(7)));
        assert_eq!(annotated("metadata/server/shared/admin"), Some((None, "/shared/admin")));
        for key in ["metadata/server/shared/comment", "metadata/7", "sts/7/x", "metadata/x/y"] {
            assert_eq!(annotated_mailbox(key), None, "{key}");
        }
    }
}
