//! The pages of a FETCH in their order, the next of them read before they are wanted.
//!
//! Receives where the page before ended; hands on the next one, which a reader thread has begun. While one page is read and the one
//! before it is sent, the other reader thread reads the messages behind: *windows* of a number of messages are read beside each
//! other, each page by page. What must always hold: no more than one page of the next window is there before it is wanted; pages that
//! change something are not read ahead.

use super::binary::Measured;
use super::page::{After, Page, Place, Plan, Request, Stretch, beginning, further, render};
use crate::limits::{FETCH_PAGE_BYTES, FETCH_PAGE_ROWS_MAX};
use crate::mail::message::MailboxId;
use crate::store::{Store, Trouble};
use crate::wire::imap::FetchRow;
use crate::wire::imap::sequence::NumberSet;
use smol::future::{poll_once, ready};
use std::pin::Pin;
use std::sync::Arc;

/// A page on its way.
type Reading = Pin<Box<dyn Future<Output = Result<Page, Trouble>> + Send>>;

/// See the module.
pub(super) struct Pages {
    store: Store,
    mailbox: MailboxId,
    stretches: Arc<[Stretch]>,
    plan: Arc<Plan>,
    /// See [`Request::seen_now`].
    pub seen_now: Arc<NumberSet>,
    /// Where the window ends that is being told.
    end: Place,
    /// Messages of the next window: as many as fill a page, as far as that shows.
    messages: u32,
    /// No window ever has more messages.
    messages_max: u32,
    /// Where the next window ends, and its first page.
    ahead: Option<(Place, Reading)>,
}

/// Where a page begins, and what the one before has left to it.
pub(super) struct Left {
    pub place: Place,
    /// See [`Request::row`].
    pub row: Option<FetchRow>,
    /// See [`Request::measured`].
    pub measured: Option<Measured>,
}

impl Left {
    pub fn at(place: Place) -> Left {
        Left { place, row: None, measured: None }
    }
}

impl Pages {
    /// And where the first page begins.
    pub fn new(store: Store, mailbox: MailboxId, stretches: Arc<[Stretch]>, plan: Arc<Plan>) -> (Pages, Left) {
        let (first, messages) = (beginning(&stretches, 0), plan.rows_first() as u32);
        let (seen_now, messages_max) = (Arc::default(), FETCH_PAGE_ROWS_MAX as u32);
        let pages =
            Pages { store, mailbox, stretches, plan, seen_now, end: first, messages, messages_max, ahead: None };
        (pages, Left::at(first))
    }

    /// The same for messages that are told one by one: each is a window.
    pub fn one_by_one(store: Store, mailbox: MailboxId, stretches: Arc<[Stretch]>, plan: Arc<Plan>) -> (Pages, Left) {
        let (pages, left) = Pages::new(store, mailbox, stretches, plan);
        (Pages { messages: 1, messages_max: 1, ..pages }, left)
    }

    /// The UID and the number of the message whose first page begins there.
    pub fn number_at(&self, place: &Place) -> Option<(u32, u32)> {
        let stretch = self.stretches.get(place.stretch).filter(|_| place.item == 0)?;
        Some((place.uid, stretch.seq + (place.uid - stretch.first)))
    }

    /// Behind the message that is told there.
    pub fn after(&self, place: &Place) -> Place {
        further(&self.stretches, *place, 1)
    }

    /// The page that begins there; `None` behind the last message. `keywords_told` as in [`Request`].
    pub async fn next(&mut self, left: &mut Left, keywords_told: usize) -> Option<Reading> {
        let reading = match self.ahead.take_if(|_| !left.place.is_before(&self.end)) {
            Some((end, reading)) => {
                self.end = end;
                reading
            }
            None => {
                if !left.place.is_before(&self.end) {
                    self.stretches.get(left.place.stretch)?;
                    self.end = further(&self.stretches, left.place, self.messages);
                }
                let begun = Left { row: left.row.take(), measured: left.measured.take(), place: left.place };
                self.begin(begun, self.end, keywords_told).await
            }
        };
        if self.ahead.is_none() && !self.plan.sets_seen && self.stretches.get(self.end.stretch).is_some() {
            let end = further(&self.stretches, self.end, self.messages);
            self.ahead = Some((end, self.begin(Left::at(self.end), end, keywords_told).await));
        }
        Some(reading)
    }

    /// Learns from a page how many messages fill one.
    pub fn came(&mut self, page: &Page) {
        match &page.next {
            After::More(place) if place.is_before(&self.end) => self.messages = (self.messages / 2).max(1),
            After::More(_) if page.out.len() < FETCH_PAGE_BYTES / 2 => {
                self.messages = (self.messages * 2).min(self.messages_max);
            }
            _ => {}
        }
    }

    /// Has a reader thread begin with a page.
    async fn begin(&self, left: Left, end: Place, keywords_told: usize) -> Reading {
        let Pages { store, mailbox, stretches, plan, seen_now, .. } = self;
        let Left { place, row, measured } = left;
        let (stretches, plan, seen_now) = (stretches.clone(), plan.clone(), seen_now.clone());
        let request =
            Request { mailbox: *mailbox, stretches, plan, place, end, row, measured, seen_now, keywords_told };
        let store = store.clone();
        let mut page: Reading = Box::pin(async move { store.read(move |snapshot| render(snapshot, request)).await });
        // Once asked, the store goes on by itself.
        match poll_once(&mut page).await {
            Some(page) => Box::pin(ready(page)),
            None => page,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::Item;
    use super::*;
    use crate::mail::index::Indexer;
    use crate::mail::message::{Flags, INBOX, MessageRow};
    use crate::store::{Deliver, Op, Target};
    use crate::wire::date::Timestamp;
    use crate::wire::imap::Dialect;
    use crate::wire::imap::command::FetchItem;

    const MESSAGES: u32 = 300;

    fn store() -> Store {
        let store = Store::in_memory().unwrap();
        for _ in 0..MESSAGES {
            let (mut writer, mut indexer) = (store.body_writer(), Indexer::new());
            indexer.push(b"Subject: x\r\n\r\n");
            smol::block_on(writer.write(b"Subject: x\r\n\r\n")).unwrap();
            let body = smol::block_on(writer.finish(indexer.finish())).unwrap();
            let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
            let now = Timestamp(0);
            smol::block_on(store.apply(Op::Deliver(Deliver { body, targets, internal_date: now, now }))).unwrap();
        }
        store
    }

    /// How many messages each page tells.
    fn told(store: &Store, items: &[FetchItem]) -> Vec<u32> {
        let plan = Plan {
            items: items.iter().map(|item| Item::new(item, 0)).collect(),
            changed_since: None,
            sets_seen: false,
            condstore: false,
            dialect: Dialect::default(),
            splices: false,
        };
        let stretches = Arc::new([Stretch { first: 1, last: MESSAGES, seq: 1 }]);
        let (mut pages, mut left) = Pages::new(store.clone(), INBOX, stretches, Arc::new(plan));
        let mut told = Vec::new();
        while let Some(reading) = smol::block_on(pages.next(&mut left, 0)) {
            let page = smol::block_on(reading).unwrap();
            pages.came(&page);
            told.push(page.told);
            let After::More(place) = page.next else { panic!("nothing else is to be done") };
            left = Left::at(place);
        }
        told
    }

    #[test]
    fn what_stands_in_rows_is_told_in_few_pages() {
        use FetchItem::*;
        let store = store();
        let lone = [Uid, Flags, ModSeq, InternalDate, Rfc822Size, EmailId, SaveDate];
        assert_eq!(told(&store, &lone), [128, 128, 44]);
        for more in [Envelope, Body, BodyStructure, ThreadId, Preview { lazy: true }, Rfc822Header, Rfc822] {
            assert_eq!(told(&store, &[Flags, more]), [16, 16, 32, 64, 128, 44]);
        }
        assert!(size_of::<MessageRow>() <= 56, "as FETCH_PAGE_ROWS_MAX says");
    }
}
