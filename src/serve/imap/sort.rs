//! SORT and UID SORT: what SEARCH finds, read once more page by page for its keys, put into order on a reader thread.

use super::Session;
use super::failure::{Failure, no};
use super::rows::{beginning, read_rows};
use super::search::Found;
use crate::limits::{SORT_NUMBERS_AT_ONCE, SORT_PAGE_ROWS};
use crate::mail::index::BodyIndex;
use crate::mail::message::Uid;
use crate::mail::sort::{SortList, SortPlan};
use crate::mail::view::Span;
use crate::store::Snapshot;
use crate::wire::imap::command::Tag;
use crate::wire::imap::order::{self, Sort};
use crate::wire::imap::{Code, Correlators, Esearch, Results};
use std::ops::ControlFlow;
use std::sync::Arc;

impl Session {
    /// SORT (RFC 5256 section 3, RFC 5267 section 3).
    pub(super) async fn sort(&mut self, tag: &Tag, sort: Sort) -> Result<(), Failure> {
        let saves = sort.returns.is_some_and(|returns| returns.save);
        let done = self.sort_and_tell(tag, sort).await;
        self.unless_refused(saves, done)
    }

    async fn sort_and_tell(&mut self, tag: &Tag, sort: Sort) -> Result<(), Failure> {
        let by_modseq = sort.key.mentions_modseq();
        if by_modseq {
            self.enable_condstore();
        }
        let found = match sort.is_scored() {
            true => self.find_scored(tag, &sort.key).await?,
            false => self.find(tag, &sort.key).await?,
        };
        let plan = SortPlan::new(&sort.criteria, found.uids.count());
        let list = self.sorted(found, plan).await?;
        let Some(returns) = sort.returns else {
            let modseq = list.messages().map(|(_, modseq)| modseq).max().filter(|_| by_modseq);
            let numbers = self.numbers_in_order(sort.uid, list.messages().map(|(uid, _)| uid));
            drop(list);
            order::begin_sort(&mut self.line.out);
            for some in numbers.chunks(SORT_NUMBERS_AT_ONCE) {
                order::push_numbers(&mut self.line.out, some);
                self.line.flush_when_full().await?;
            }
            order::end_sort(&mut self.line.out, modseq.map(|modseq| modseq.0));
            return self.finish(tag, sort.uid, Code::None, "SORT completed").await;
        };
        let uids = self.numbers_in_order(true, list.messages().map(|(uid, _)| uid));
        let meant = returns.saved(Results::Sorted(&uids));
        // RFC 4731 section 3.2: the highest of the messages that MIN, MAX and PARTIAL mean, or of all.
        let of_meant = list.messages().filter(|(uid, _)| meant.contains(uid.0)).map(|(_, modseq)| modseq);
        let modseq = of_meant.max().filter(|_| by_modseq).map(|modseq| modseq.0);
        let scores: Vec<u8> = list.scores().collect();
        drop(list);
        if returns.save {
            self.save(meant)?;
        }
        if returns.tells() {
            let numbers = self.numbers_in_order(sort.uid, uids.into_iter().map(Uid));
            let found = Results::Sorted(&numbers);
            let correlators = Correlators { tag, mailbox: None, uid: sort.uid };
            let esearch = Esearch { correlators, returns, found, scores: &scores, modseq };
            esearch.write(&mut self.line.out);
        }
        self.finish(tag, sort.uid, Code::None, "SORT completed").await
    }

    async fn sorted(&self, found: Found, plan: SortPlan) -> Result<SortList, Failure> {
        let Some(selected) = &self.selected else { return Err(no(Code::ClientBug, "No mailbox is selected")) };
        let mailbox = selected.mailbox;
        let spans: Arc<[Span]> = found.uids.ranges().into();
        let scores: Arc<[(u32, u8)]> = found.uids.iter().zip(found.scores).collect();
        let plan = Arc::new(plan);
        let mut list = SortList::default();
        let mut next = beginning(&spans);
        while let Some(place) = next {
            let (plan, spans, scores) = (plan.clone(), spans.clone(), scores.clone());
            let read = move |snapshot: &Snapshot| {
                let mut page = SortList::default();
                let next = read_rows(snapshot, mailbox, &spans, place, SORT_PAGE_ROWS, |row| {
                    let index = match plan.reads_index() {
                        true => snapshot.body_index(row.body)?,
                        false => BodyIndex::default(),
                    };
                    let known =
                        scores.binary_search_by_key(&row.uid.0, |(uid, _)| *uid).ok().and_then(|at| scores.get(at));
                    page.push(&plan, row, &index, known.map_or(0, |(_, score)| *score));
                    Ok(ControlFlow::Continue(()))
                })?;
                page.sort();
                Ok((page, next))
            };
            let (page, after) = self.context.store.read(read).await?;
            list.join(&page);
            next = after;
        }
        let sort = move |_: &Snapshot| {
            list.sort();
            Ok(list)
        };
        Ok(self.context.store.read(sort).await?)
    }

    /// UIDs as the client wants to hear them: as they are, or as sequence numbers.
    fn numbers_in_order(&self, uid: bool, uids: impl Iterator<Item = Uid>) -> Vec<u32> {
        match &self.selected {
            Some(selected) if !uid => uids.filter_map(|uid| selected.view.map().seq_of(uid)).collect(),
            _ => uids.map(|uid| uid.0).collect(),
        }
    }
}
