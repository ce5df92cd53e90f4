//! What a client is told of its selected mailbox unasked: expunges, new messages, flags that others changed.

use super::Session;
use super::failure::Failure;
use super::page::{Item, Plan};
use crate::limits::NEWS_ROWS_MAX;
use crate::mail::message::{Mailbox, MailboxId, MessageRow, ModSeq, Uid};
use crate::mail::view::{Arrived, News, UidMap};
use crate::store::{Snapshot, Trouble};
use crate::wire::imap::sequence::NumberSet;
use crate::wire::imap::{Code, FetchItem, FetchRow, Status, response};
use smol::future;
use std::sync::Arc;

/// The UIDs of a map as a set that responses can write.
pub(super) fn number_set(map: &UidMap) -> NumberSet {
    let mut set = NumberSet::default();
    map.spans().for_each(|(first, last)| set.push_range(first, last));
    set
}

/// What went from a mailbox.
pub(super) struct Gone {
    /// The mailbox as it is now.
    pub mailbox: Mailbox,
    /// UIDs, complete unless `forgotten`.
    pub expunged: Vec<Uid>,
    /// The store no longer remembers: compare.
    pub forgotten: bool,
}

/// What went from a mailbox since then, in bounded memory however much else has changed.
pub(super) fn gone_since(snapshot: &Snapshot, mailbox: MailboxId, since: ModSeq) -> Result<Gone, Trouble> {
    let (mut at, mut expunged) = (since, Vec::new());
    loop {
        let changes = snapshot.changes_page(mailbox, at, NEWS_ROWS_MAX)?;
        let mailbox = changes.mailbox.ok_or(Trouble::NotFound)?;
        expunged.extend(changes.expunged);
        at = changes.up_to;
        if changes.forgotten || at >= mailbox.highest_modseq {
            return Ok(Gone { mailbox, expunged, forgotten: changes.forgotten });
        }
    }
}

impl Session {
    /// Tells what happened to the selected mailbox. Asks the store only when the bell has rung, when the client counts
    /// modseqs (it must not learn of a later one before all earlier changes), or when `surely`.
    pub(super) async fn tell_news(&mut self, expunge_allowed: bool, surely: bool) -> Result<(), Failure> {
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let rung = future::poll_once(selected.bell.rung()).await.is_some();
        let waiting = expunge_allowed && selected.view.has_gone();
        if !(rung || surely || waiting || self.enabled.condstore) {
            return Ok(());
        }
        while self.tell_page(expunge_allowed).await? {}
        Ok(())
    }

    /// Tells a bounded part of what happened; returns whether there is more.
    async fn tell_page(&mut self, expunge_allowed: bool) -> Result<bool, Failure> {
        let Some(selected) = &mut self.selected else { return Ok(false) };
        let (mailbox, seen, last) = (selected.mailbox, selected.view.seen(), selected.view.map().last());
        let asked = self.context.store.read(move |snapshot| {
            let changes = snapshot.changes_page(mailbox, seen, NEWS_ROWS_MAX)?;
            let fresh = match last.map_or(Some(1), |last| last.0.checked_add(1)) {
                Some(first) if changes.up_to > seen => snapshot.uids_from(mailbox, Uid(first))?,
                _ => Vec::new(),
            };
            let present = match changes.forgotten {
                true => Some(snapshot.uid_map(mailbox)?),
                false => None,
            };
            Ok((changes, fresh, present))
        });
        let (changes, fresh, present) = match asked.await {
            Err(Trouble::NotFound) => return Err(deleted()),
            other => other?,
        };
        let Some(now) = changes.mailbox else { return Err(deleted()) };
        let (mut changed, expunged, up_to) = (changes.changed, changes.expunged, changes.up_to);
        let mut touched = match selected.updates.is_empty() {
            true => NumberSet::default(),
            false => touched(&changed, &fresh, &expunged),
        };
        let wish = self.notified.selected();
        if wish.is_some_and(|wish| !wish.flags) {
            // RFC 5465 section 5: an event that was left out is not told.
            changed.clear();
        }
        let new: NumberSet = match selected.updates.is_empty() {
            true => NumberSet::default(),
            false => fresh.iter().map(|uid| uid.0).collect(),
        };
        let made = std::mem::take(&mut selected.made);
        let arrived: NumberSet = match wish {
            Some(wish) if !wish.fetch.is_empty() => {
                fresh.iter().map(|uid| uid.0).filter(|uid| !made.contains(*uid)).collect()
            }
            _ => NumberSet::default(),
        };
        let news = selected.view.update(Arrived { changed, fresh, expunged, present, up_to }, expunge_allowed);
        let last_now = selected.view.map().last();
        if last_now != last && !selected.updates.is_empty() {
            // What `*` means to a search has moved from one to the other.
            let ends = last.into_iter().chain(last_now).map(|uid| (uid.0, uid.0));
            touched = NumberSet::of_ranges(touched.ranges().iter().copied().chain(ends).collect());
        }
        self.tell_keywords(now.keywords);
        // RFC 5267 sections 4.3.3 and 4.3.4: what leaves goes before the expunges, what comes in after EXISTS.
        self.tell_updates_of_gone(&news);
        self.write_news(news).await?;
        if !touched.is_empty() {
            self.tell_updates(mailbox, &touched, &new).await?;
        }
        if !arrived.is_empty() {
            Box::pin(self.tell_arrived(mailbox, &arrived)).await?;
        }
        Ok(up_to < now.highest_modseq)
    }

    /// Tells the names of keywords when there are new ones: before any message is told to have them (RFC 3501 section 7.2.6).
    pub(super) fn tell_keywords(&mut self, keywords: Vec<String>) {
        let Some(selected) = self.selected.as_mut().filter(|selected| selected.keywords != keywords) else { return };
        selected.keywords = keywords;
        response::flags(&mut self.line.out, &selected.keywords);
        if !selected.read_only {
            self.tell_permanent_flags("Keywords that can be stored");
        }
    }

    /// What NOTIFY wants to know of new messages (RFC 5465 section 5.2).
    async fn tell_arrived(&mut self, mailbox: MailboxId, uids: &NumberSet) -> Result<(), Failure> {
        let Some(wish) = self.notified.selected() else { return Ok(()) };
        let plan = self.plan_of_news(&wish.fetch);
        self.tell_rows(mailbox, uids, Arc::new(plan)).await?;
        Ok(())
    }

    /// How messages are told that nobody asked for by their number: with these items, and their UID in any case.
    pub(super) fn plan_of_news(&self, items: &[FetchItem]) -> Plan {
        let store = self.selected.as_ref().map_or(0, |selected| selected.store);
        let asked = items.iter().filter(|item| **item != FetchItem::Uid).map(|item| Item::new(item, store));
        let uid = (!self.enabled.uid_only).then_some(Item::Uid);
        let mut items: Vec<Item> = uid.into_iter().chain(asked).collect();
        // RFC 7162 section 3.1: what others have caused is told with its modseq.
        if self.enabled.condstore && !items.iter().any(|item| matches!(item, Item::ModSeq)) {
            items.push(Item::ModSeq);
        }
        Plan {
            items,
            changed_since: None,
            sets_seen: false,
            condstore: self.enabled.condstore,
            dialect: self.line.out.dialect,
            splices: self.line.compresses(),
        }
    }

    async fn write_news(&mut self, news: News) -> Result<(), Failure> {
        let Some(selected) = &self.selected else { return Ok(()) };
        if self.enabled.qresync || self.enabled.uid_only {
            response::vanished(&mut self.line.out, false, &number_set(&news.vanished));
        } else {
            for seq in &news.expunged {
                response::expunge(&mut self.line.out, *seq);
                self.line.flush_when_full().await?;
            }
        }
        if let Some(exists) = news.exists {
            response::exists(&mut self.line.out, exists);
        }
        for (seq, row) in &news.flags {
            let out = &mut self.line.out;
            let mut told = FetchRow::begin(out, *seq, row.uid.0);
            // RFC 9051 section 7.5.2: what nobody asked for names the UID; UIDFETCH does anyway.
            if !out.dialect.uid_only {
                told.uid(out, row.uid.0);
            }
            told.flags(out, row.flags, &selected.keywords, row.keywords, false);
            if self.enabled.condstore {
                told.modseq(out, row.modseq.0);
            }
            told.end(out);
            self.line.flush_when_full().await?;
        }
        // A client that counts modseqs must not pass an expunge that it has not been told of (RFC 7162 sections 3.2 and 6).
        if self.enabled.condstore && (selected.view.has_gone() || !news.expunged.is_empty()) {
            let code = Code::HighestModSeq(selected.view.told_up_to().0);
            response::untagged(&mut self.line.out, Status::Ok, code, "Everything is told up to here");
        }
        Ok(())
    }
}

/// The messages that changed, are new, or went: these are no results any more while their expunge waits to be told.
fn touched(changed: &[MessageRow], fresh: &[Uid], expunged: &[Uid]) -> NumberSet {
    let uids = changed.iter().map(|row| row.uid).chain(fresh.iter().chain(expunged).copied());
    NumberSet::of_ranges(uids.map(|uid| (uid.0, uid.0)).collect())
}

fn deleted() -> Failure {
    Failure::Bye(Code::Nonexistent, "The selected mailbox was deleted")
}
