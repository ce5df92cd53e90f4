//! ESEARCH, the command: one search through several mailboxes (RFC 7377).

use super::Session;
use super::access::Allowed;
use super::failure::{Failure, bad};
use super::progress::Progress;
use super::search::{Found, prepared};
use super::updates::Kept;
use crate::mail::access::Rights;
use crate::mail::message::Mailbox;
use crate::mail::search::{Query, Sight};
use crate::store::Trouble;
use crate::wire::imap::command::Tag;
use crate::wire::imap::esearch::{Correlators, Esearch, Results};
use crate::wire::imap::multisearch::{MultiSearch, Source};
use crate::wire::imap::sequence::NumberSet;
use crate::wire::imap::{Code, DELIMITER, MailboxName, below};

impl Session {
    /// ESEARCH: an answer for each mailbox in which something is found, and none for the others (RFC 7377 section 2.1).
    pub(super) async fn multisearch(&mut self, tag: &Tag, search: MultiSearch) -> Result<(), Failure> {
        let saves = search.returns.save;
        let done = self.multisearch_and_tell(tag, search).await;
        self.unless_refused(saves, done)
    }

    async fn multisearch_and_tell(&mut self, tag: &Tag, search: MultiSearch) -> Result<(), Failure> {
        let returns = search.returns;
        // RFC 7377 section 2.2: what each option needs.
        if self.selected.is_none() && (search.sources.contains(&Source::Selected) || returns.update) {
            return Err(bad("No mailbox is selected"));
        }
        if returns.update {
            self.check_update_tag(tag)?;
        }
        if search.key.mentions_modseq() {
            self.enable_condstore();
        }
        let mailboxes = self.sources(&search.sources).await?;
        let goal = mailboxes.iter().map(|mailbox| u64::from(mailbox.messages)).sum();
        let mut progress = Progress::new(self.context.net.clock().clone(), tag, Some(goal));
        let mut updated = false;
        for mailbox in mailboxes {
            let Some(found) = self.found_of(&mut progress, &mailbox, &search).await? else { continue };
            let named = (mailbox.name, mailbox.uid_validity.0);
            let settled = returns.update.then(|| self.settled_key(&search.key));
            if !found.uids.is_empty() {
                let modseq = match search.key.mentions_modseq() {
                    true => Some(self.modseq_of(mailbox.id, &returns, &found).await?.0),
                    false => None,
                };
                if returns.save {
                    self.save(returns.saved(Results::Set(&found.uids)))?;
                }
                if returns.tells() {
                    let correlators = Correlators { tag, mailbox: Some((&named.0, named.1)), uid: true };
                    let (results, scores) = (Results::Set(&found.uids), &found.scores[..]);
                    Esearch { correlators, returns, found: results, scores, modseq }.write(&mut self.line.out);
                }
            } else if returns.save {
                self.forget_saved();
            }
            if let Some(key) = settled
                && self.selected.as_ref().is_some_and(|selected| selected.mailbox == mailbox.id)
            {
                let fetch = search.update_fetch.clone();
                let kept = Kept { uid: true, mailbox: Some(named), key, fetch };
                self.keep_up_to_date(tag, kept, found.uids);
                updated = true;
            }
            self.line.flush_when_full().await?;
        }
        if returns.update && !updated {
            self.refuse_update(tag, "Only the selected mailbox is kept up to date");
        }
        self.finish(tag, true, Code::None, "ESEARCH completed").await
    }

    /// What is found in one mailbox; `None` when it is gone.
    async fn found_of(
        &mut self,
        progress: &mut Progress,
        mailbox: &Mailbox,
        search: &MultiSearch,
    ) -> Result<Option<Found>, Failure> {
        let (id, now) = (mailbox.id, self.context.net.clock().now());
        let query = if search.returns.relevancy { Query::scored } else { Query::new };
        // Of the selected mailbox only what the client has been told of.
        let ready = match &self.selected {
            Some(selected) if selected.mailbox == id => prepared(&search.key, &selected.sight(), now, query),
            _ => {
                let read = self.context.store.read(move |snapshot| Ok((snapshot.uid_map(id)?, snapshot.store_id()?)));
                let (map, store) = match read.await {
                    Err(Trouble::NotFound) => return Ok(None),
                    read => read?,
                };
                let saved = NumberSet::default();
                let sight = Sight { map: &map, saved: &saved, keywords: &mailbox.keywords, store };
                prepared(&search.key, &sight, now, query)
            }
        };
        let (query, spans) = ready?;
        match self.matching(progress, id, query, spans).await {
            Err(Failure::Store(Trouble::NotFound)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// The mailboxes that are meant, each once, as far as this login may read them: others are passed over as if they were not
    /// there (RFC 7377 section 2.2).
    async fn sources(&self, sources: &[Source]) -> Result<Vec<Mailbox>, Failure> {
        let visible = self.mailboxes().await?;
        let mut found: Vec<Mailbox> = Vec::new();
        let add = |found: &mut Vec<Mailbox>, mailbox: &Mailbox| {
            if found.iter().all(|known| known.id != mailbox.id) {
                found.push(mailbox.clone());
            }
        };
        let readable = |allowed: &&Allowed| allowed.rights.contains(Rights::READ);
        for source in sources {
            match source {
                Source::Selected => {
                    let Some(selected) = &self.selected else { continue };
                    let id = selected.mailbox;
                    let mailbox = self.context.store.read(move |snapshot| snapshot.mailbox(id)).await?;
                    mailbox.iter().for_each(|mailbox| add(&mut found, mailbox));
                }
                // RFC 5465 section 6.3: messages may be delivered into any mailbox here.
                Source::Inboxes | Source::Personal => {
                    visible.iter().filter(readable).for_each(|allowed| add(&mut found, &allowed.mailbox));
                }
                Source::Subscribed => {
                    let subscribed = visible.iter().filter(readable).filter(|allowed| allowed.mailbox.subscribed);
                    subscribed.for_each(|allowed| add(&mut found, &allowed.mailbox));
                }
                Source::Mailboxes(names) => {
                    for name in names {
                        self.named_source(name).await?.iter().for_each(|mailbox| add(&mut found, mailbox));
                    }
                }
                Source::Subtree { names, one_level } => {
                    for name in names {
                        let named = self.named_source(name).await?;
                        named.iter().for_each(|mailbox| add(&mut found, mailbox));
                        let above = named.map_or(name.as_str().to_owned(), |mailbox| mailbox.name);
                        let is_meant = |allowed: &&Allowed| is_below(&allowed.mailbox.name, &above, *one_level);
                        let meant = visible.iter().filter(readable).filter(is_meant);
                        meant.for_each(|allowed| add(&mut found, &allowed.mailbox));
                    }
                }
            }
        }
        Ok(found)
    }

    /// A mailbox that was named: it takes the right to read it, not that to see it in lists.
    async fn named_source(&self, name: &MailboxName) -> Result<Option<Mailbox>, Failure> {
        match self.mailbox_named(name, Rights::READ).await {
            Ok(allowed) => Ok(Some(allowed.mailbox)),
            Err(Failure::Refused(..)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Whether a mailbox lies in another, at whatever depth or one level down.
fn is_below(name: &str, above: &str, one_level: bool) -> bool {
    below(name, above).is_some_and(|rest| !(one_level && rest.contains(DELIMITER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees() {
        for (name, above, deep, one_level) in [
            ("a/b", "a", true, true),
            ("a/b/c", "a", true, false),
            ("a", "a", false, false),
            ("ab/c", "a", false, false),
            ("b/a/c", "a", false, false),
        ] {
            assert_eq!((is_below(name, above, false), is_below(name, above, true)), (deep, one_level), "{name}");
        }
    }
}
