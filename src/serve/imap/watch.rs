//! What a client is told between its commands (NOTIFY, RFC 5465), of the selected mailbox and of others.
//!
//! Nothing is queued for a session: it keeps what it has last told of each mailbox, and each ring of one bell leads to comparing
//! that with the store. So nothing is lost, however much happens, and a thousand changes are told once. What always holds: a
//! session knows as many mailboxes as [`NOTIFY_MAILBOXES_MAX`], or it watches none.
//!
//! Changes to the list of mailboxes and to annotations that the session makes itself are not told. Messages that it puts into other
//! mailboxes are: between its own change and the next look others may have made one too.

use super::Session;
use super::access::{Allowed, visible};
use super::failure::{Failure, no};
use super::list::line_of;
use super::rest::Rest;
use crate::limits::NOTIFY_MAILBOXES_MAX;
use crate::mail::access::Rights;
use crate::mail::message::{Mailbox, MailboxId, ModSeq, SpecialUse, Uid, UidValidity};
use crate::order;
use crate::store::{Bell, Snapshot, Trouble, Watched, annotated};
use crate::wire::imap::annotation::{SPECIAL_USE_ENTRY, metadata_changed};
use crate::wire::imap::command::{StatusItem, Tag};
use crate::wire::imap::notify::{Events, Notify, SelectedWish, Wishes};
use crate::wire::imap::{Code, DELIMITER, ListRow, Status, StatusValue, response};
use smol::future;
use std::collections::{BTreeMap, BTreeSet};

/// What a client has said of being told unasked.
#[derive(Default)]
pub(super) enum Notified {
    /// Nothing: news of the selected mailbox is told with commands, and in IDLE.
    #[default]
    Never,
    /// NOTIFY NONE: news of the selected mailbox is told with commands alone, which need it for their numbers.
    Nothing,
    /// NOTIFY SET.
    Wishes(Box<Watch>),
}

/// What is watched, and what was last told of it.
pub(super) struct Watch {
    wishes: Wishes,
    bell: Bell,
    known: BTreeMap<MailboxId, Known>,
    /// Marks of all annotations, when those are wished.
    annotations: BTreeMap<String, u64>,
    /// The mailbox that was selected at the last look, when it is not as it was told any more: that is told as soon as it is not
    /// selected. What happened to it may not have been told as news by then.
    passed_over: Option<MailboxId>,
}

/// A mailbox as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    name: String,
    subscribed: bool,
    readable: bool,
    special_use: Option<SpecialUse>,
    uid_validity: UidValidity,
    uid_next: Uid,
    messages: u32,
    unseen: u32,
    highest_modseq: ModSeq,
}

impl Known {
    fn new(allowed: &Allowed) -> Known {
        let Mailbox { name, subscribed, special_use, uid_validity, uid_next, messages, unseen, highest_modseq, .. } =
            allowed.mailbox.clone();
        let readable = allowed.rights.contains(Rights::READ);
        Known { name, subscribed, readable, special_use, uid_validity, uid_next, messages, unseen, highest_modseq }
    }

    /// As it was when it had been made.
    fn empty(&self) -> Known {
        Known { uid_next: Uid(1), messages: 0, unseen: 0, highest_modseq: ModSeq(1), ..self.clone() }
    }

    /// What is told of it unasked, after it was like `before` (RFC 5465 sections 5.1 to 5.3).
    fn status_since(&self, before: &Known, wished: Events, condstore: bool) -> Vec<(StatusItem, StatusValue)> {
        let messages = (self.uid_next, self.messages) != (before.uid_next, before.messages);
        let flags = self.unseen != before.unseen || (condstore && self.highest_modseq != before.highest_modseq);
        let mut items = Vec::new();
        if wished.messages && messages {
            items.extend([StatusItem::Messages, StatusItem::UidNext, StatusItem::UidValidity]);
        } else if wished.flags && flags {
            items.push(StatusItem::UidValidity);
        } else {
            return Vec::new();
        }
        if condstore {
            items.push(StatusItem::HighestModSeq);
        }
        if wished.flags {
            items.push(StatusItem::Unseen);
        }
        self.values(&items)
    }

    /// What is told at once when STATUS was asked for (RFC 5465 section 3.1).
    fn status_now(&self, wished: Events) -> Vec<(StatusItem, StatusValue)> {
        let mut items = Vec::new();
        if wished.messages {
            items.extend([StatusItem::Messages, StatusItem::UidNext, StatusItem::UidValidity]);
        }
        if wished.flags {
            items.extend([StatusItem::HighestModSeq, StatusItem::Unseen]);
        }
        self.values(&items)
    }

    fn values(&self, items: &[StatusItem]) -> Vec<(StatusItem, StatusValue)> {
        let value = |item: &StatusItem| match item {
            StatusItem::Messages => StatusValue::Number(self.messages.into()),
            StatusItem::UidNext => StatusValue::Number(self.uid_next.0.into()),
            StatusItem::UidValidity => StatusValue::Number(self.uid_validity.0.into()),
            StatusItem::Unseen => StatusValue::Number(self.unseen.into()),
            StatusItem::HighestModSeq => StatusValue::Number(self.highest_modseq.0),
            _ => StatusValue::Nil,
        };
        items.iter().map(|item| (*item, value(item))).collect()
    }
}

impl Watch {
    /// Takes in how everything is now and hands out how it was, but for the messages of the selected mailbox: these stay as they
    /// were told.
    fn look_at(
        &mut self,
        known: BTreeMap<MailboxId, Known>,
        selected: Option<MailboxId>,
    ) -> BTreeMap<MailboxId, Known> {
        let before = std::mem::replace(&mut self.known, known);
        self.passed_over = None;
        if let Some(id) = selected
            && let Some(now) = self.known.get_mut(&id)
        {
            let told = before.get(&id).cloned().unwrap_or_else(|| now.empty());
            let Known { uid_next, messages, unseen, highest_modseq, .. } = told;
            let kept = Known { uid_next, messages, unseen, highest_modseq, ..now.clone() };
            self.passed_over = (kept != *now).then_some(id);
            *now = kept;
        }
        before
    }
}

/// Everything that is compared, from one snapshot.
struct Now {
    mailboxes: Vec<Allowed>,
    annotations: BTreeMap<String, u64>,
}

impl Now {
    fn known(&self) -> BTreeMap<MailboxId, Known> {
        order::map(self.mailboxes.iter().map(|allowed| (allowed.mailbox.id, Known::new(allowed))))
    }
}

impl Notified {
    /// The bell for everything but the messages of the selected mailbox.
    pub fn bell(&mut self) -> Option<&mut Bell> {
        match self {
            Notified::Wishes(watch) if !watch.wishes.groups.is_empty() => Some(&mut watch.bell),
            _ => None,
        }
    }

    /// Whether something is to be told of a mailbox that was selected and is not any more.
    pub fn owes(&self, selected: Option<MailboxId>) -> bool {
        match self {
            Notified::Wishes(watch) => watch.passed_over.is_some() && watch.passed_over != selected,
            _ => false,
        }
    }

    /// What is wished of the selected mailbox, if NOTIFY SET was given and names it.
    pub fn selected(&self) -> Option<&SelectedWish> {
        match self {
            Notified::Wishes(watch) => watch.wishes.selected.as_ref(),
            _ => None,
        }
    }

    /// Whether news of the selected mailbox is told now, without a command.
    pub fn tells_selected(&self, idling: bool) -> bool {
        match self {
            Notified::Never => idling,
            Notified::Nothing => false,
            Notified::Wishes(_) => self.selected().is_some(),
        }
    }

    /// Whether the client waits to be told of something, without a command.
    pub fn waits(&self, idling: bool) -> bool {
        match self {
            Notified::Wishes(watch) => idling || watch.wishes.selected.is_some() || !watch.wishes.groups.is_empty(),
            _ => idling,
        }
    }

    /// Whether an expunge may be told now, without a command (RFC 5465 section 6.1.2).
    pub fn tells_expunges(&self, idling: bool) -> bool {
        idling || !self.selected().is_some_and(|wish| wish.delayed)
    }
}

/// Returns when one of them rings: true for the first.
pub(super) async fn first_rung(selected: Option<&mut Bell>, others: Option<&mut Bell>) -> bool {
    let wait = async |bell: Option<&mut Bell>| match bell {
        Some(bell) => bell.rung().await,
        None => future::pending().await,
    };
    let selected = async {
        wait(selected).await;
        true
    };
    let others = async {
        wait(others).await;
        false
    };
    future::or(selected, others).await
}

impl Session {
    /// NOTIFY (RFC 5465 section 3.1).
    pub(super) async fn notify(&mut self, tag: &Tag, notify: Notify) -> Result<(), Failure> {
        match notify {
            Notify::None => self.notified = Notified::Nothing,
            Notify::Set(wishes) => {
                // The bell is there before the snapshot: a change in between rings it.
                let bell = self.context.store.bell(Watched::Mailboxes);
                let now = self.look(&wishes).await?;
                if now.mailboxes.len() > NOTIFY_MAILBOXES_MAX {
                    return Err(no(Code::NotificationOverflow, "There are too many mailboxes to watch"));
                }
                let known = now.known();
                if wishes.status {
                    self.tell_all_status(&wishes, &known).await?;
                }
                let annotations = now.annotations;
                self.notified =
                    Notified::Wishes(Box::new(Watch { wishes, bell, known, annotations, passed_over: None }));
            }
        }
        self.tell_news(true, true).await?;
        response::tagged(&mut self.line.out, tag, Status::Ok, Code::None, "NOTIFY completed");
        Ok(())
    }

    async fn tell_all_status(&mut self, wishes: &Wishes, known: &BTreeMap<MailboxId, Known>) -> Result<(), Failure> {
        let selected = self.selected.as_ref().map(|selected| selected.mailbox);
        for (_, mailbox) in known.iter().filter(|(id, mailbox)| Some(**id) != selected && mailbox.readable) {
            let items = mailbox.status_now(wishes.of(&mailbox.name, mailbox.subscribed));
            if !items.is_empty() {
                response::status(&mut self.line.out, &mailbox.name, &items);
            }
            self.line.flush_when_full().await?;
        }
        Ok(())
    }

    async fn look(&self, wishes: &Wishes) -> Result<Now, Failure> {
        let Events { metadata, server_metadata, .. } = wishes.of_any();
        let access = self.access.clone();
        let read = move |snapshot: &Snapshot| -> Result<Now, Trouble> {
            let annotations = match metadata || server_metadata {
                true => snapshot.metadata_marks()?,
                false => BTreeMap::new(),
            };
            Ok(Now { mailboxes: visible(snapshot, &access)?, annotations })
        };
        Ok(self.context.store.read(read).await?)
    }

    /// Tells what happened to anything but the messages of the selected mailbox.
    pub(super) async fn tell_others(&mut self) -> Result<(), Failure> {
        let Notified::Wishes(watch) = &self.notified else { return Ok(()) };
        let wishes = watch.wishes.clone();
        let now = self.look(&wishes).await?;
        if now.mailboxes.len() > NOTIFY_MAILBOXES_MAX {
            self.notified = Notified::Nothing;
            // Its silence was allowed until now.
            self.rest = Rest::new(self.context.net.clock().steady());
            let text = "There are too many mailboxes to watch";
            response::untagged(&mut self.line.out, Status::Ok, Code::NotificationOverflow, text);
            return Ok(());
        }
        let known = now.known();
        let selected = self.selected.as_ref().map(|selected| selected.mailbox);
        let (before, before_annotations) = match &mut self.notified {
            Notified::Wishes(watch) => (
                watch.look_at(known.clone(), selected),
                std::mem::replace(&mut watch.annotations, now.annotations.clone()),
            ),
            _ => return Ok(()),
        };
        self.tell_lists(&wishes, &before, &known, &now.mailboxes).await?;
        for (id, mailbox) in known.iter().filter(|(id, mailbox)| Some(**id) != selected && mailbox.readable) {
            let wished = wishes.of(&mailbox.name, mailbox.subscribed);
            let made = mailbox.empty();
            let items = mailbox.status_since(before.get(id).unwrap_or(&made), wished, self.enabled.condstore);
            if !items.is_empty() {
                response::status(&mut self.line.out, &mailbox.name, &items);
                self.line.flush_when_full().await?;
            }
        }
        for (owner, entries) in changed_annotations(&before_annotations, &now.annotations, &before, &known) {
            let wished = match owner.and_then(|id| known.get(&id)) {
                Some(mailbox) => wishes.of(&mailbox.name, mailbox.subscribed).metadata && mailbox.readable,
                None => owner.is_none() && wishes.of_any().server_metadata,
            };
            if wished {
                let name = owner.and_then(|id| known.get(&id)).map_or("", |mailbox| &mailbox.name);
                metadata_changed(&mut self.line.out, name, entries.iter().map(String::as_str));
                self.line.flush_when_full().await?;
            }
        }
        Ok(())
    }

    async fn tell_lists(
        &mut self,
        wishes: &Wishes,
        before: &BTreeMap<MailboxId, Known>,
        known: &BTreeMap<MailboxId, Known>,
        mailboxes: &[Allowed],
    ) -> Result<(), Failure> {
        let lines = changed_names(wishes, before, known);
        if lines.is_empty() {
            return Ok(());
        }
        let mailboxes: Vec<Mailbox> = mailboxes.iter().map(|allowed| allowed.mailbox.clone()).collect();
        for (name, old_name) in lines {
            let attributes = line_of(&mailboxes, &name);
            let row = ListRow { name: &name, attributes: &attributes, child_info: &[] };
            match old_name {
                Some(old_name) => response::list_renamed(&mut self.line.out, row, &old_name),
                None => response::list(&mut self.line.out, row),
            }
            self.line.flush_when_full().await?;
        }
        Ok(())
    }

    /// The session itself has changed names or subscriptions of such mailboxes: its client knows.
    pub(super) async fn knows_names(&mut self, affected: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let Notified::Wishes(_) = &self.notified else { return Ok(()) };
        let now = self.mailboxes().await?;
        let Notified::Wishes(watch) = &mut self.notified else { return Ok(()) };
        for allowed in &now {
            let mailbox = &allowed.mailbox;
            let known = watch.known.get_mut(&mailbox.id);
            if affected(&mailbox.name) || known.as_ref().is_some_and(|known| affected(&known.name)) {
                match known {
                    Some(known) => {
                        known.name.clone_from(&mailbox.name);
                        known.subscribed = mailbox.subscribed;
                    }
                    // What others, or RENAME of INBOX, have put there is told.
                    None => drop(watch.known.insert(mailbox.id, Known::new(allowed).empty())),
                }
            }
        }
        let there = order::set(now.iter().map(|allowed| allowed.mailbox.id));
        watch.known.retain(|id, known| there.contains(id) || !affected(&known.name));
        Ok(())
    }

    /// The session itself has set these annotations of a mailbox, or of the server: its client knows.
    pub(super) async fn knows_annotations(&mut self, of: Option<MailboxId>, entries: &[String]) -> Result<(), Failure> {
        let Notified::Wishes(watch) = &self.notified else { return Ok(()) };
        let wishes = watch.wishes.clone();
        let now = self.look(&wishes).await?;
        let Notified::Wishes(watch) = &mut self.notified else { return Ok(()) };
        let own =
            |key: &String| annotated(key).is_some_and(|(id, entry)| id == of && entries.iter().any(|own| own == entry));
        watch.annotations.retain(|key, _| !own(key));
        watch.annotations.extend(now.annotations.into_iter().filter(|(key, _)| own(key)));
        for Allowed { mailbox, .. } in now.mailboxes {
            // A special use goes from one to another.
            if let Some(known) = watch.known.get_mut(&mailbox.id) {
                known.special_use = mailbox.special_use;
            }
        }
        Ok(())
    }
}

/// The names of which a LIST is told, each with the name that it had (RFC 5465 sections 5.4 and 5.5).
fn changed_names(
    wishes: &Wishes,
    before: &BTreeMap<MailboxId, Known>,
    known: &BTreeMap<MailboxId, Known>,
) -> BTreeMap<String, Option<String>> {
    let mut lines = BTreeMap::new();
    let renamed: BTreeMap<&str, &str> = known
        .iter()
        .filter_map(|(id, now)| Some((&before.get(id)?.name[..], &now.name[..])))
        .filter(|(old, new)| old != new)
        .collect();
    // What is below a mailbox that was renamed goes along without a word.
    let goes_along = |old: &str, new: &str| {
        old.match_indices(DELIMITER).any(|(at, _)| {
            let (above, below) = old.split_at(at);
            renamed.get(above).is_some_and(|above| new.strip_prefix(above) == Some(below))
        })
    };
    for (old, new) in &renamed {
        let subscribed = known.values().any(|mailbox| mailbox.name == **new && mailbox.subscribed);
        if !goes_along(old, new) && (wishes.of(new, subscribed).names || wishes.of(old, subscribed).names) {
            lines.insert((*new).to_owned(), Some((*old).to_owned()));
        }
    }
    let came = known.iter().filter(|(id, _)| !before.contains_key(id));
    let went = before.iter().filter(|(id, _)| !known.contains_key(id));
    for (_, mailbox) in came.chain(went) {
        let parent = mailbox.name.rsplit_once(DELIMITER).map(|(parent, _)| parent);
        for name in [Some(&mailbox.name[..]), parent].into_iter().flatten() {
            if wishes.of(name, mailbox.subscribed).names {
                lines.entry(name.to_owned()).or_insert(None);
            }
        }
    }
    for (id, now) in known {
        let changed = before.get(id).is_some_and(|before| before.subscribed != now.subscribed);
        // It was among the subscribed ones, or is now.
        if changed && wishes.of(&now.name, true).subscriptions {
            lines.entry(now.name.clone()).or_insert(None);
        }
    }
    lines
}

/// Entries that were set, changed or removed, by whose they are.
fn changed_annotations(
    before: &BTreeMap<String, u64>,
    now: &BTreeMap<String, u64>,
    known_before: &BTreeMap<MailboxId, Known>,
    known: &BTreeMap<MailboxId, Known>,
) -> BTreeMap<Option<MailboxId>, BTreeSet<String>> {
    let mut changed: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    let keys = order::set(before.keys().chain(now.keys()));
    for key in keys.into_iter().filter(|key| before.get(*key) != now.get(*key)) {
        if let Some((owner, entry)) = annotated(key) {
            changed.entry(owner).or_default().insert(entry.to_owned());
        }
    }
    for (id, mailbox) in known {
        if known_before.get(id).is_some_and(|before| before.special_use != mailbox.special_use) {
            changed.entry(Some(*id)).or_default().insert(SPECIAL_USE_ENTRY.to_owned());
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::imap::notify::{EventGroup, Filter};

    fn known(name: &str) -> Known {
        Known {
            name: name.to_owned(),
            subscribed: false,
            readable: true,
            special_use: None,
            uid_validity: UidValidity(7),
            uid_next: Uid(5),
            messages: 3,
            unseen: 2,
            highest_modseq: ModSeq(9),
        }
    }

    fn all(names: &[(u32, &str)]) -> BTreeMap<MailboxId, Known> {
        names.iter().map(|(id, name)| (MailboxId(*id), known(name))).collect()
    }

    fn wishes(events: Events) -> Wishes {
        Wishes { groups: vec![EventGroup { mailboxes: Filter::Personal, events }], ..Wishes::default() }
    }

    #[test]
    fn names_are_told_with_their_parents_and_old_names() {
        let wishes = wishes(Events { names: true, ..Events::default() });
        let told = |before: &[(u32, &str)], now: &[(u32, &str)]| {
            let lines = changed_names(&wishes, &all(before), &all(now));
            lines
                .into_iter()
                .map(|(name, old)| old.map_or(name.clone(), |old| format!("{name} was {old}")))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&[(1, "INBOX")], &[(1, "INBOX")]), [""; 0]);
        assert_eq!(told(&[(2, "Work")], &[(2, "Work"), (3, "Work/New")]), ["Work", "Work/New"]);
        assert_eq!(told(&[(2, "Work"), (3, "Work/New")], &[(2, "Work")]), ["Work", "Work/New"]);
        let renamed = told(&[(2, "Work"), (3, "Work/a"), (4, "Work/b")], &[(2, "Arbeit"), (3, "Arbeit/a"), (4, "b")]);
        assert_eq!(renamed, ["Arbeit was Work", "b was Work/b"]);
    }

    #[test]
    fn what_changed_in_other_mailboxes() {
        let before = known("x");
        let both = Events { messages: true, flags: true, ..Events::default() };
        let messages = Events { messages: true, ..Events::default() };
        let told = |now: &Known, wished, condstore| {
            let items = now.status_since(&before, wished, condstore).into_iter();
            let line = |(item, value): (StatusItem, StatusValue)| match value {
                StatusValue::Number(value) => format!("{} {value}", item.name()),
                other => format!("{} {other:?}", item.name()),
            };
            items.map(line).collect::<Vec<_>>().join(" ")
        };
        let new = Known { uid_next: Uid(6), messages: 4, unseen: 3, highest_modseq: ModSeq(10), ..before.clone() };
        assert_eq!(told(&new, messages, false), "MESSAGES 4 UIDNEXT 6 UIDVALIDITY 7");
        assert_eq!(told(&new, both, true), "MESSAGES 4 UIDNEXT 6 UIDVALIDITY 7 HIGHESTMODSEQ 10 UNSEEN 3");
        let flagged = Known { highest_modseq: ModSeq(10), ..before.clone() };
        assert_eq!(told(&flagged, both, false), "");
        assert_eq!(told(&flagged, both, true), "UIDVALIDITY 7 HIGHESTMODSEQ 10 UNSEEN 2");
        assert_eq!(told(&flagged, messages, true), "");
        let seen = Known { unseen: 1, ..flagged };
        assert_eq!(told(&seen, both, false), "UIDVALIDITY 7 UNSEEN 1");
    }

    #[test]
    fn annotations_that_came_changed_or_went() {
        let marks = |marks: &[(&str, u64)]| marks.iter().map(|(key, mark)| ((*key).to_owned(), *mark)).collect();
        let before =
            marks(&[("metadata/2/private/a", 1), ("metadata/2/private/b", 2), ("metadata/server/shared/c", 3)]);
        let now = marks(&[("metadata/2/private/a", 9), ("metadata/2/private/d", 2)]);
        let mailboxes = all(&[(2, "x")]);
        let changed = changed_annotations(&before, &now, &mailboxes, &mailboxes);
        let of = |owner| changed.get(&owner).into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of(Some(MailboxId(2))), ["/private/a", "/private/b", "/private/d"]);
        assert_eq!(of(None), ["/shared/c"]);
    }
}
