//! Under which names clients look for the mailboxes of special use, and what those names mean here.
//!
//! A client that does not read the attributes of RFC 6154 makes mailboxes of its own: Apple's `Sent Messages`, Outlook's
//! `Deleted Items`, and so on. Here such a name stands for the mailbox that has the use already, so that no phone grows a second
//! Sent. A mailbox that really has the name always comes first.

use crate::mail::message::{Mailbox, SpecialUse};
use crate::wire::imap::{DELIMITER, is_in_subtree};

/// What clients call each use when they make a mailbox for it, in English and German: Apple Mail and iOS, Outlook, Thunderbird
/// and K-9 Mail, FairEmail, Gmail's apps, Roundcube.
const KNOWN_NAMES: &[(SpecialUse, &[&str])] = &[
    (SpecialUse::Archive, &["Archive", "Archives", "Archived", "All Mail", "Archiv", "Archivierte Objekte"]),
    (SpecialUse::Drafts, &["Drafts", "Draft", "Entwürfe", "Entwurf"]),
    (
        SpecialUse::Junk,
        &["Junk", "Junk E-mail", "Junk Email", "Junk Mail", "Junk-E-Mail", "Spam", "Bulk Mail", "Werbung"],
    ),
    (
        SpecialUse::Sent,
        &[
            "Sent",
            "Sent Messages",
            "Sent Items",
            "Sent Mail",
            "Sent-Mail",
            "Gesendet",
            "Gesendete Elemente",
            "Gesendete Objekte",
            "Gesendete Nachrichten",
        ],
    ),
    (
        SpecialUse::Trash,
        &[
            "Trash",
            "Deleted Messages",
            "Deleted Items",
            "Deleted",
            "Bin",
            "Papierkorb",
            "Gelöschte Elemente",
            "Gelöschte Objekte",
            "Gelöscht",
        ],
    ),
];

/// The use that a name of one level means to clients, whatever its case.
pub fn use_of(name: &str) -> Option<SpecialUse> {
    let folded = name.to_lowercase();
    let is_it = |names: &&[&str]| names.iter().any(|known| known.to_lowercase() == folded);
    KNOWN_NAMES.iter().find(|(_, names)| is_it(names)).map(|(special_use, _)| *special_use)
}

/// What a name stands for when its first level is what a client calls a use, and no mailbox is called that: the name with the mailbox
/// that has the use in that place. `None`: it stands for itself.
pub fn stands_for(mailboxes: &[Mailbox], name: &str) -> Option<String> {
    let (first, rest) = name.split_at(name.find(DELIMITER).unwrap_or(name.len()));
    let special_use = use_of(first)?;
    if mailboxes.iter().any(|mailbox| is_in_subtree(&mailbox.name, first)) {
        return None;
    }
    let has_it = mailboxes.iter().find(|mailbox| mailbox.special_use == Some(special_use))?;
    Some(format!("{}{rest}", has_it.name))
}

/// The use that a new mailbox gets for its name alone: when that is what clients call a use that no mailbox has.
pub fn free_use(mailboxes: &[Mailbox], name: &str) -> Option<SpecialUse> {
    use_of(name).filter(|wanted| mailboxes.iter().all(|mailbox| mailbox.special_use != Some(*wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::{MailboxId, UidValidity};

    fn mailbox(name: &str, special_use: Option<SpecialUse>) -> Mailbox {
        Mailbox { special_use, ..Mailbox::new(MailboxId(1), name, UidValidity(1)) }
    }

    #[test]
    fn names_of_clients_stand_for_the_mailbox_of_that_use() {
        let mailboxes = [
            mailbox("INBOX", None),
            mailbox("Sent", Some(SpecialUse::Sent)),
            mailbox("Müll", Some(SpecialUse::Trash)),
            mailbox("Archiv", Some(SpecialUse::Archive)),
            mailbox("Spam/alt", None),
            mailbox("Junk", Some(SpecialUse::Junk)),
        ];
        let stands_for = |name| stands_for(&mailboxes, name);
        assert_eq!(stands_for("Sent Messages").as_deref(), Some("Sent"));
        assert_eq!(stands_for("sent items").as_deref(), Some("Sent"));
        assert_eq!(stands_for("Gelöschte Elemente").as_deref(), Some("Müll"));
        assert_eq!(stands_for("Archives/2026").as_deref(), Some("Archiv/2026"));
        // There is one of that name, or what lies below it.
        assert_eq!(stands_for("Sent"), None);
        assert_eq!(stands_for("Spam"), None);
        // Nothing has that use, or it is no such name.
        assert_eq!(stands_for("Drafts"), None);
        assert_eq!(stands_for("Projects"), None);
        assert_eq!(stands_for("INBOX"), None);
    }

    #[test]
    fn every_name_means_one_use() {
        let names = KNOWN_NAMES.iter().flat_map(|(_, names)| names.iter());
        for (special_use, own) in KNOWN_NAMES {
            assert!(own.iter().all(|name| use_of(name) == Some(*special_use)));
        }
        assert_eq!(
            names.clone().count(),
            names.map(|name| name.to_lowercase()).collect::<std::collections::BTreeSet<_>>().len()
        );
    }
}
