//! Searches whose results are kept up to date for the client (RFC 5267 section 4.3), with what it wants to know of new messages (RFC
//! 5465 section 7).
//!
//! Receives what happened to the selected mailbox, in step with what the client is told of it; hands on ADDTO and REMOVEFROM.
//! What must always hold: a client that obeys them has the messages that its search would find now, as far as it has been
//! told of them; numbers are those of the moment at which they are said.

use super::Session;
use super::failure::{Failure, bad};
use super::search::{found_in, prepared};
use crate::limits::{SEARCH_UPDATES_MAX, SEARCH_UPDATES_RANGES_MAX};
use crate::mail::message::{MailboxId, Uid};
use crate::mail::search::{Query, settled};
use crate::mail::view::News;
use crate::wire::imap::command::{FetchItem, SearchKey, Tag};
use crate::wire::imap::esearch::{self, Correlators};
use crate::wire::imap::sequence::NumberSet;
use crate::wire::imap::{Code, Status, response};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// One such search.
pub(super) struct Update {
    tag: Tag,
    /// Results are told as UIDs.
    uid: bool,
    /// The name and UIDVALIDITY that are told with them, of an ESEARCH command.
    mailbox: Option<(String, u32)>,
    /// Sequence numbers and `$` in it have been replaced by what they meant (RFC 5267 section 4.3).
    key: SearchKey,
    /// What is told of messages that are new to it (RFC 5465 section 7).
    fetch: Vec<FetchItem>,
    /// The UIDs that the client holds for the result.
    matching: NumberSet,
}

/// A search that shall be kept up to date.
pub(super) struct Kept {
    /// As of [`Update`].
    pub uid: bool,
    /// As of [`Update`].
    pub mailbox: Option<(String, u32)>,
    /// As of [`Update`], settled before the search was saved: `$` in it is what was saved before.
    pub key: SearchKey,
    /// As of [`Update`].
    pub fetch: Vec<FetchItem>,
}

impl Update {
    fn correlators(&self) -> Correlators<'_> {
        let mailbox = self.mailbox.as_ref().map(|(name, uid_validity)| (name.as_str(), *uid_validity));
        Correlators { tag: &self.tag, mailbox, uid: self.uid }
    }
}

impl Session {
    /// Refuses the tag of a search that is still kept up to date (RFC 5267 section 4.3).
    pub(super) fn check_update_tag(&self, tag: &Tag) -> Result<(), Failure> {
        let known = self.selected.iter().flat_map(|selected| &selected.updates);
        match known.into_iter().any(|update| update.tag == *tag) {
            true => Err(bad("This tag names a search that is kept up to date")),
            false => Ok(()),
        }
    }

    /// Keeps the result of a search up to date from now on, or says that it is not.
    pub(super) fn keep_up_to_date(&mut self, tag: &Tag, kept: Kept, matching: NumberSet) {
        let Some(selected) = &mut self.selected else { return };
        if selected.updates.len() >= SEARCH_UPDATES_MAX || matching.ranges().len() > SEARCH_UPDATES_RANGES_MAX {
            return self.refuse_update(tag, "Too much to keep up to date");
        }
        let Kept { uid, mailbox, key, fetch } = kept;
        selected.updates.push(Update { tag: tag.clone(), uid, mailbox, key, fetch, matching });
    }

    /// A key with what its numbers and `$` mean now (RFC 5267 section 4.3).
    pub(super) fn settled_key(&self, key: &SearchKey) -> SearchKey {
        self.selected.as_ref().map_or_else(|| key.clone(), |selected| settled(key, &selected.sight()))
    }

    /// RFC 5267 section 4.3.1: everything else that was asked for is still answered.
    pub(super) fn refuse_update(&mut self, tag: &Tag, why: &str) {
        response::untagged(&mut self.line.out, Status::No, Code::NoUpdate(tag.as_str()), why);
    }

    /// After ENABLE UIDONLY there are no message numbers (RFC 9586 section 3): what changes is told in UIDs from here on.
    pub(super) fn tell_updates_in_uids(&mut self) {
        let updates = self.selected.iter_mut().flat_map(|selected| &mut selected.updates);
        updates.for_each(|update| update.uid = true);
    }

    /// CANCELUPDATE (RFC 5267 section 4.3.5).
    pub(super) async fn cancel_updates(&mut self, tag: &Tag, tags: &[String]) -> Result<(), Failure> {
        if let Some(selected) = &mut self.selected {
            let is_known = |tag: &String| selected.updates.iter().any(|update| update.tag.as_str() == tag);
            if !tags.iter().all(is_known) {
                return Err(bad("No search of that tag is kept up to date"));
            }
            selected.updates.retain(|update| !tags.iter().any(|tag| update.tag.as_str() == tag));
        }
        self.finish(tag, true, Code::None, "CANCELUPDATE completed").await
    }

    /// Before expunges are told: which of them leave the results (RFC 5267 section 4.3.4: while their numbers hold).
    pub(super) fn tell_updates_of_gone(&mut self, news: &News) {
        let Some(selected) = &mut self.selected else { return };
        for update in &mut selected.updates {
            // The numbers of EXPUNGE count what went before; these are the numbers of before.
            let gone = news.vanished.uids().zip(&news.expunged).zip(0u32..);
            let gone = gone.filter(|((uid, _), _)| update.matching.contains(uid.0));
            let (uids, numbers): (NumberSet, NumberSet) =
                gone.map(|((uid, seq), before)| (uid.0, seq + before)).unzip();
            if uids.is_empty() {
                continue;
            }
            update.matching = update.matching.without(&uids);
            let removed = if update.uid { &uids } else { &numbers };
            esearch::changed(&mut self.line.out, update.correlators(), removed, &NumberSet::default());
        }
    }

    /// After new messages and flags were told: what that changes of the results. `touched` are the messages concerned,
    /// `fresh` the new ones among them.
    pub(super) async fn tell_updates(
        &mut self,
        mailbox: MailboxId,
        touched: &NumberSet,
        fresh: &NumberSet,
    ) -> Result<(), Failure> {
        let now = self.context.net.clock().now();
        let mut at = 0;
        while let Some(selected) = &self.selected {
            let Some(update) = selected.updates.get(at) else { break };
            at += 1;
            // Made anew each time: keywords get their bits, and `*` its meaning, as time goes by.
            let Ok((query, _)) = prepared(&update.key, &selected.sight(), now, Query::new) else { continue };
            let map = selected.view.map();
            let spans: Vec<_> = touched.ranges().iter().flat_map(|range| map.spans_within(*range)).collect();
            let touched = NumberSet::of_ranges(spans.clone());
            let found = found_in(&self.context.store, mailbox, spans, query, Arc::<AtomicU64>::default()).await?.uids;
            let untouched = update.matching.without(&touched);
            let removed = update.matching.without(&untouched).without(&found);
            let added = found.without(&update.matching);
            if removed.is_empty() && added.is_empty() {
                continue;
            }
            // RFC 5465 section 7: after EXISTS, before the result, and not when flags have brought a message in.
            let arrived: NumberSet = added.iter().filter(|uid| fresh.contains(*uid)).collect();
            if !update.fetch.is_empty() && !arrived.is_empty() {
                let plan = Arc::new(self.plan_of_news(&update.fetch));
                Box::pin(self.tell_rows(mailbox, &arrived, plan)).await?;
            }
            let Some(selected) = &mut self.selected else { break };
            let Some(update) = selected.updates.get(at - 1) else { break };
            let map = selected.view.map();
            let numbers = |set: &NumberSet| match update.uid {
                true => set.clone(),
                false => set.iter().filter_map(|uid| map.seq_of(Uid(uid))).collect(),
            };
            esearch::changed(&mut self.line.out, update.correlators(), &numbers(&removed), &numbers(&added));
            let ranges = [untouched.ranges(), found.ranges()].concat();
            let Some(update) = selected.updates.get_mut(at - 1) else { break };
            update.matching = NumberSet::of_ranges(ranges);
            if update.matching.ranges().len() > SEARCH_UPDATES_RANGES_MAX {
                let code = Code::NoUpdate(update.tag.as_str());
                response::untagged(&mut self.line.out, Status::No, code, "Too much to keep up to date");
                at -= 1;
                selected.updates.remove(at);
            }
        }
        Ok(())
    }
}
