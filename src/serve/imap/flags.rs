//! STORE and UID STORE.

use super::Session;
use super::access::denied;
use super::failure::Failure;
use super::page::{Item, Plan};
use super::progress::Progress;
use crate::limits::STORE_PAGE_MESSAGES;
use crate::mail::access::Rights;
use crate::mail::message::{MailboxId, MessageRow, ModSeq, SystemFlags, Uid};
use crate::store::{Done, FlagChange, Op, SetFlags, Trouble};
use crate::wire::imap::command::{self, StoreChange, Tag};
use crate::wire::imap::sequence::NumberSet;
use crate::wire::imap::{Code, FetchRow, Status, response};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How the results of a STORE are told.
struct Telling {
    /// FLAGS are told.
    flags: bool,
    uid: bool,
    modseq: bool,
}

impl Session {
    /// STORE (RFC 3501 section 6.4.6; RFC 7162 section 3.1.3).
    pub(super) async fn store_flags(&mut self, tag: &Tag, store: command::Store) -> Result<(), Failure> {
        let mailbox = self.changeable(Rights::NONE)?;
        let rights = self.selected.as_ref().map_or(Rights::NONE, |selected| selected.rights);
        let store = within(store, rights).ok_or_else(denied)?;
        if store.unchanged_since.is_some() {
            self.enable_condstore();
        }
        let telling = Telling {
            flags: !store.silent,
            uid: (store.uid || self.enabled.condstore) && !self.enabled.uid_only,
            modseq: self.enabled.condstore,
        };
        let uids = self.uids(store.uid, &store.set)?;
        let mut modified = NumberSet::default();
        let mut progress = Progress::new(self.context.net.clock().clone(), tag, Some(uids.count()));
        let mut rest = uids.iter();
        loop {
            let page: Vec<Uid> = rest.by_ref().take(STORE_PAGE_MESSAGES).map(Uid).collect();
            if page.is_empty() {
                break;
            }
            let refused = self.store_page(mailbox, page, (&store, rights), &telling, &mut progress).await?;
            refused.iter().for_each(|uid| modified.push(uid.0));
        }
        self.tell_news(store.uid, false).await?;
        if modified.is_empty() {
            response::tagged(&mut self.line.out, tag, Status::Ok, Code::None, "STORE completed");
            return Ok(());
        }
        if !store.uid
            && let Some(selected) = &self.selected
        {
            let map = selected.view.map();
            modified = modified.iter().filter_map(|uid| map.seq_of(Uid(uid))).collect();
        }
        let code = Code::Modified(&modified);
        response::tagged(&mut self.line.out, tag, Status::Ok, code, "Some messages were changed by others");
        Ok(())
    }

    /// Stores into some messages and tells the results; returns those refused by UNCHANGEDSINCE.
    async fn store_page(
        &mut self,
        mailbox: MailboxId,
        uids: Vec<Uid>,
        (store, rights): (&command::Store, Rights),
        telling: &Telling,
        progress: &mut Progress,
    ) -> Result<Vec<Uid>, Failure> {
        let asked = uids.clone();
        let op = SetFlags {
            mailbox,
            uids,
            change: match store.change {
                StoreChange::Replace if rights.contains(Rights::FLAGS) => FlagChange::Replace,
                StoreChange::Replace => FlagChange::ReplaceWithin(rights),
                StoreChange::Add => FlagChange::Add,
                StoreChange::Remove => FlagChange::Remove,
            },
            flags: store.flags.clone(),
            unchanged_since: store.unchanged_since.map(ModSeq),
        };
        let storing = self.context.store.apply(Op::SetFlags(op));
        let (changed, before, modified, now) = match progress.during(&mut self.line, storing).await?? {
            Done::FlagsSet { changed, before, modified, mailbox } => (changed, before, modified, mailbox),
            _ => return Err(Trouble::Failed("the store answered another question".to_owned()).into()),
        };
        progress.done().fetch_add(asked.len() as u64, Ordering::Relaxed);
        let mut is_news = Vec::new();
        if let Some(selected) = &mut self.selected {
            is_news.extend(before.iter().map(|modseq| !selected.view.knows(*modseq)));
            changed.iter().for_each(|row| selected.view.told(row.modseq));
        }
        self.tell_keywords(now.keywords);
        self.tell_stored(&changed, &is_news, telling).await?;
        if telling.flags {
            // Messages that had these flags already did not change; RFC 3501 still wants to see their flags.
            let told = |uid: &&Uid| changed.binary_search_by_key(*uid, |row| row.uid).is_err();
            let unchanged = asked.iter().filter(told).filter(|uid| !modified.contains(uid)).map(|uid| uid.0);
            self.tell_unchanged(mailbox, unchanged.collect(), telling).await?;
        }
        Ok(modified)
    }

    /// `is_news`: others had changed this message meanwhile. Its flags are not what the client thinks that it has made of them,
    /// and are told in spite of .SILENT (RFC 3501 section 6.4.6).
    async fn tell_stored(
        &mut self,
        changed: &[MessageRow],
        is_news: &[bool],
        telling: &Telling,
    ) -> Result<(), Failure> {
        let Some(selected) = &self.selected else { return Ok(()) };
        for (row, is_news) in changed.iter().zip(is_news) {
            let flags = telling.flags || *is_news;
            // RFC 7162 section 3.1.3: .SILENT does not silence the new modseq.
            if !(flags || telling.modseq) {
                continue;
            }
            let Some(seq) = selected.view.map().seq_of(row.uid) else { continue };
            let out = &mut self.line.out;
            let mut told = FetchRow::begin(out, seq, row.uid.0);
            if telling.uid {
                told.uid(out, row.uid.0);
            }
            if flags {
                told.flags(out, row.flags, &selected.keywords, row.keywords, false);
            }
            if telling.modseq {
                told.modseq(out, row.modseq.0);
            }
            told.end(out);
            self.line.flush_when_full().await?;
        }
        Ok(())
    }

    async fn tell_unchanged(&mut self, mailbox: MailboxId, uids: NumberSet, telling: &Telling) -> Result<(), Failure> {
        if uids.is_empty() {
            return Ok(());
        }
        let mut items = Vec::new();
        if telling.uid {
            items.push(Item::Uid);
        }
        items.push(Item::Flags);
        if telling.modseq {
            items.push(Item::ModSeq);
        }
        let plan = Plan {
            items,
            changed_since: None,
            sets_seen: false,
            condstore: self.enabled.condstore,
            dialect: self.line.out.dialect,
            splices: false,
        };
        self.tell_rows(mailbox, &uids, Arc::new(plan)).await?;
        Ok(())
    }
}

/// What is left of a STORE within these rights (RFC 4314 section 4, "Changing flags"): it is refused only when nothing is.
fn within(store: command::Store, rights: Rights) -> Option<command::Store> {
    let asked = store.flags.system != SystemFlags::default() || !store.flags.keywords.is_empty();
    let flags = rights.allowed(store.flags);
    let left = flags.system != SystemFlags::default() || !flags.keywords.is_empty();
    let allowed = match store.change {
        StoreChange::Replace => rights.has_any(Rights::FLAGS),
        StoreChange::Add | StoreChange::Remove => left || (!asked && rights.has_any(Rights::FLAGS)),
    };
    allowed.then_some(command::Store { flags, ..store })
}
