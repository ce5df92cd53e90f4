//! LIST, LSUB, STATUS: which mailboxes there are and how they stand.
//!
//! Everything is decided on one snapshot of the mailbox list, which is short: one person's folders.

use super::Session;
use super::failure::Failure;
use crate::mail::access::Rights;
use crate::mail::message::{Mailbox, SpecialUse};
use crate::order;
use crate::wire::imap::acl;
use crate::wire::imap::command::{List, StatusItem, Tag};
use crate::wire::imap::{Code, DELIMITER, ListRow, MailboxName, ObjectId, StatusValue, matches_pattern, response};
use std::collections::{BTreeMap, BTreeSet};

/// One line of an answer.
#[derive(Debug, PartialEq, Eq, Default)]
struct Listed {
    name: String,
    attributes: Vec<&'static str>,
    /// CHILDINFO ("SUBSCRIBED") (RFC 5258 section 4).
    subscribed_below: bool,
    /// It meets the selection options itself.
    selected: bool,
}

impl Session {
    /// LIST (RFC 3501 section 6.3.8, RFC 5258, RFC 5819, RFC 6154, RFC 9590).
    pub(super) async fn list(&mut self, tag: &Tag, list: List) -> Result<(), Failure> {
        if !list.extended && list.patterns.iter().all(String::is_empty) {
            response::list_delimiter(&mut self.line.out);
            return self.finish(tag, true, Code::None, "LIST completed").await;
        }
        let visible = self.mailboxes().await?;
        let rights: Vec<Rights> = visible.iter().map(|allowed| allowed.rights).collect();
        let mailboxes: Vec<Mailbox> = visible.into_iter().map(|allowed| allowed.mailbox).collect();
        if list.return_status.contains(&StatusItem::HighestModSeq) {
            self.enable_condstore();
        }
        for listed in listed(&mailboxes, &list) {
            let child_info: &[&str] = if listed.subscribed_below { &["SUBSCRIBED"] } else { &[] };
            let row = ListRow { name: &listed.name, attributes: &listed.attributes, child_info };
            response::list(&mut self.line.out, row);
            let found = mailboxes.iter().zip(&rights).find(|(mailbox, _)| mailbox.name == listed.name);
            if let (Some((mailbox, rights)), true, true) = (found, list.return_my_rights, listed.selected) {
                // RFC 8440 section 3.
                acl::my_rights(&mut self.line.out, &mailbox.name, *rights);
            }
            if let Some((mailbox, rights)) = found
                && rights.contains(Rights::READ)
                && !list.return_status.is_empty()
            {
                let items = self.status_of(mailbox, &list.return_status).await?;
                response::status(&mut self.line.out, &mailbox.name, &items);
            }
            if let (Some((mailbox, rights)), false) = (found, list.return_metadata.is_empty()) {
                self.tell_metadata(mailbox, *rights, &list.return_metadata).await?;
            }
            self.line.flush_when_full().await?;
        }
        self.finish(tag, true, Code::None, "LIST completed").await
    }

    /// The LIST response of a mailbox that a command names: with OLDNAME when the command gave another name than it has (RFC
    /// 9051 section 6.3.9.7). What has gone by now is not told.
    pub(super) async fn tell_name(&mut self, name: &str, given: &str) -> Result<(), Failure> {
        let mailboxes: Vec<Mailbox> = self.mailboxes().await?.into_iter().map(|allowed| allowed.mailbox).collect();
        let list = List { patterns: vec![name.to_owned()], return_subscribed: true, ..List::default() };
        let Some(found) = listed(&mailboxes, &list).into_iter().find(|found| found.name == name) else { return Ok(()) };
        let row = ListRow { name, attributes: &found.attributes, child_info: &[] };
        match name == given {
            true => response::list(&mut self.line.out, row),
            false => response::list_renamed(&mut self.line.out, row, given),
        }
        Ok(())
    }

    /// The same, where only a name that differs is worth telling, and only to clients of RFC 9051.
    pub(super) async fn tell_other_name(&mut self, name: &str, given: &str) -> Result<(), Failure> {
        match self.enabled.rev2 && name != given {
            true => self.tell_name(name, given).await,
            false => Ok(()),
        }
    }

    /// LSUB (RFC 3501 section 6.3.9).
    pub(super) async fn lsub(&mut self, tag: &Tag, reference: &str, pattern: &str) -> Result<(), Failure> {
        if pattern.is_empty() {
            let row = ListRow { name: "", attributes: &["\\Noselect"], child_info: &[] };
            response::lsub(&mut self.line.out, row);
            return self.finish(tag, true, Code::None, "LSUB completed").await;
        }
        let visible = self.mailboxes().await?;
        let mailboxes: Vec<Mailbox> = visible.into_iter().map(|allowed| allowed.mailbox).collect();
        for (name, only_below) in subscribed(&mailboxes, &format!("{reference}{pattern}")) {
            let attributes: &[&str] = if only_below { &["\\Noselect"] } else { &[] };
            response::lsub(&mut self.line.out, ListRow { name: &name, attributes, child_info: &[] });
            self.line.flush_when_full().await?;
        }
        self.finish(tag, true, Code::None, "LSUB completed").await
    }

    /// STATUS (RFC 3501 section 6.3.10).
    pub(super) async fn status(
        &mut self,
        tag: &Tag,
        mailbox: &MailboxName,
        items: &[StatusItem],
    ) -> Result<(), Failure> {
        let found = self.mailbox_named(mailbox, Rights::READ).await?.mailbox;
        if items.contains(&StatusItem::HighestModSeq) {
            self.enable_condstore();
        }
        let items = self.status_of(&found, items).await?;
        response::status(&mut self.line.out, mailbox.as_str(), &items);
        self.finish(tag, true, Code::None, "STATUS completed").await
    }

    /// What STATUS tells of a mailbox.
    pub(super) async fn status_of(
        &self,
        mailbox: &Mailbox,
        items: &[StatusItem],
    ) -> Result<Vec<(StatusItem, StatusValue)>, Failure> {
        let deleted_bytes = match items.contains(&StatusItem::DeletedStorage) {
            true => self.deleted_bytes(mailbox).await?,
            false => 0,
        };
        let value = |item: &StatusItem| {
            StatusValue::Number(match item {
                StatusItem::Messages => u64::from(mailbox.messages),
                StatusItem::Recent => 0,
                StatusItem::UidNext => u64::from(mailbox.uid_next.0),
                StatusItem::UidValidity => u64::from(mailbox.uid_validity.0),
                StatusItem::Unseen => u64::from(mailbox.unseen),
                StatusItem::Deleted => u64::from(mailbox.deleted),
                StatusItem::DeletedStorage => deleted_bytes,
                StatusItem::Size => mailbox.bytes,
                StatusItem::HighestModSeq => mailbox.highest_modseq.0,
                StatusItem::AppendLimit => self.site.message_bytes_max,
                StatusItem::MailboxId => return StatusValue::Id(mailbox_id(mailbox)),
            })
        };
        Ok(items.iter().map(|item| (*item, value(item))).collect())
    }
}

/// MAILBOXID (RFC 8474 section 4).
pub(super) fn mailbox_id(mailbox: &Mailbox) -> ObjectId {
    ObjectId::mailbox(mailbox.uid_validity.0, mailbox.id.0)
}

/// The attributes of one name, whether there is a mailbox of it or not (RFC 5465 section 5.4).
pub(super) fn line_of(mailboxes: &[Mailbox], name: &str) -> Vec<&'static str> {
    let list = List { patterns: vec![name.to_owned()], return_subscribed: true, ..List::default() };
    let line = listed(mailboxes, &list).into_iter().find(|listed| listed.name == name);
    line.map_or_else(|| vec!["\\NonExistent"], |listed| listed.attributes)
}

/// The attribute of RFC 6154 that a mailbox has.
fn special_use(mailbox: &Mailbox) -> Option<&'static str> {
    mailbox.special_use.and_then(SpecialUse::attribute)
}

/// The names above this one.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(DELIMITER).filter_map(|(at, _)| name.get(..at))
}

/// The lines that answer a LIST, in the order of `mailboxes`; parents that are no mailboxes come after them.
fn listed(mailboxes: &[Mailbox], list: &List) -> Vec<Listed> {
    let patterns: Vec<String> = list.patterns.iter().map(|pattern| format!("{}{pattern}", list.reference)).collect();
    let asked_for = |name: &str| patterns.iter().any(|pattern| matches_pattern(pattern, name));
    let selected = |mailbox: &Mailbox| {
        (!list.select_subscribed || mailbox.subscribed) && (!list.select_special_use || special_use(mailbox).is_some())
    };
    let with_children = order::set(mailboxes.iter().flat_map(|mailbox| parents(&mailbox.name)));
    // RECURSIVEMATCH: names with something selected below them that the patterns do not already show.
    let above_selected: BTreeSet<&str> = match list.recursive_match {
        true => {
            order::set(mailboxes.iter().filter(|mailbox| selected(mailbox)).flat_map(|mailbox| parents(&mailbox.name)))
        }
        false => BTreeSet::new(),
    };
    let mut lines = Vec::new();
    let existing = order::set(mailboxes.iter().map(|mailbox| mailbox.name.as_str()));
    for mailbox in mailboxes.iter().filter(|mailbox| asked_for(&mailbox.name)) {
        let below = above_selected.contains(mailbox.name.as_str());
        if !selected(mailbox) && !below {
            continue;
        }
        let mut attributes = Vec::new();
        if mailbox.subscribed && (list.return_subscribed || list.select_subscribed) {
            attributes.push("\\Subscribed");
        }
        attributes.push(match with_children.contains(mailbox.name.as_str()) {
            true => "\\HasChildren",
            false => "\\HasNoChildren",
        });
        if mailbox.special_use == Some(SpecialUse::Outbox) {
            attributes.push("\\Noinferiors");
        }
        attributes.extend(special_use(mailbox));
        let subscribed_below = below && list.select_subscribed;
        let selected = selected(mailbox);
        lines.push(Listed { name: mailbox.name.clone(), attributes, subscribed_below, selected });
    }
    let plain = !list.select_subscribed && !list.select_special_use;
    for name in with_children.iter().filter(|name| !existing.contains(*name) && asked_for(name)) {
        if plain || above_selected.contains(name) {
            lines.push(Listed {
                name: (*name).to_owned(),
                attributes: vec!["\\NonExistent", "\\HasChildren"],
                subscribed_below: list.select_subscribed,
                selected: false,
            });
        }
    }
    lines
}

/// The names that answer LSUB, and whether a name stands there only for what is below it: a pattern with `%` shows the
/// parent of a subscribed mailbox that it does not reach (RFC 3501 section 6.3.9).
fn subscribed(mailboxes: &[Mailbox], pattern: &str) -> BTreeMap<String, bool> {
    let mut names = BTreeMap::new();
    for mailbox in mailboxes.iter().filter(|mailbox| mailbox.subscribed) {
        if matches_pattern(pattern, &mailbox.name) {
            names.insert(mailbox.name.clone(), false);
        } else if pattern.ends_with('%') {
            for parent in parents(&mailbox.name).filter(|parent| matches_pattern(pattern, parent)) {
                names.entry(parent.to_owned()).or_insert(true);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::{MailboxId, UidValidity};

    fn mailbox(name: &str, subscribed: bool, special_use: Option<SpecialUse>) -> Mailbox {
        Mailbox { subscribed, special_use, ..Mailbox::new(MailboxId(1), name, UidValidity(1)) }
    }

    fn folders() -> Vec<Mailbox> {
        vec![
            mailbox("INBOX", true, None),
            mailbox("Lists", false, None),
            mailbox("Lists/rust", true, None),
            mailbox("Sent", true, Some(SpecialUse::Sent)),
            mailbox("old/1999", false, None),
        ]
    }

    fn lines(list: List) -> Vec<String> {
        let line = |listed: Listed| {
            let below = if listed.subscribed_below { " CHILDINFO" } else { "" };
            format!("{} {}{below}", listed.name, listed.attributes.join(" "))
        };
        listed(&folders(), &list).into_iter().map(line).collect()
    }

    fn list(pattern: &str) -> List {
        List { patterns: vec![pattern.to_owned()], ..List::default() }
    }

    #[test]
    fn names_by_pattern_with_their_attributes() {
        assert_eq!(
            lines(list("%")),
            [
                "INBOX \\HasNoChildren",
                "Lists \\HasChildren",
                "Sent \\HasNoChildren \\Sent",
                "old \\NonExistent \\HasChildren"
            ]
        );
        assert_eq!(lines(list("Lists/*")), ["Lists/rust \\HasNoChildren"]);
        assert_eq!(lines(List { reference: "Lists/".to_owned(), ..list("%") }), ["Lists/rust \\HasNoChildren"]);
        assert_eq!(lines(list("inbox")), ["INBOX \\HasNoChildren"]);
    }

    #[test]
    fn selection_options() {
        assert_eq!(
            lines(List { select_subscribed: true, ..list("*") }),
            [
                "INBOX \\Subscribed \\HasNoChildren",
                "Lists/rust \\Subscribed \\HasNoChildren",
                "Sent \\Subscribed \\HasNoChildren \\Sent"
            ]
        );
        assert_eq!(lines(List { select_special_use: true, ..list("*") }), ["Sent \\HasNoChildren \\Sent"]);
        let recursive = List { select_subscribed: true, recursive_match: true, ..list("%") };
        assert_eq!(
            lines(recursive),
            [
                "INBOX \\Subscribed \\HasNoChildren",
                "Lists \\HasChildren CHILDINFO",
                "Sent \\Subscribed \\HasNoChildren \\Sent"
            ]
        );
    }

    #[test]
    fn subscribed_names_stand_for_what_is_below_them() {
        let names = |pattern| subscribed(&folders(), pattern).into_iter().collect::<Vec<_>>();
        let name = |name: &str, below| (name.to_owned(), below);
        assert_eq!(names("*"), [name("INBOX", false), name("Lists/rust", false), name("Sent", false)]);
        assert_eq!(names("%"), [name("INBOX", false), name("Lists", true), name("Sent", false)]);
    }
}
