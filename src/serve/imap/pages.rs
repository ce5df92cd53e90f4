//! The pages of a FETCH in their order, the next of them read before they are wanted.
//!
//! Receives where the page before ended; hands on the next one, which a reader thread has begun. While one page is read and the one
//! before it is sent, the other reader thread reads the messages behind: *windows* of a number of messages are read beside each
//! other, each page by page. What must always hold: no more than one page of the next window is there before it is wanted; pages that
//! change something are not read ahead.

use super::binary::Measured;
use super::page::{After, Page, Place, Plan, Request, Stretch, beginning, further, render};
use crate::limits::{FETCH_PAGE_BYTES, FETCH_PAGE_ROWS_MAX, FETCH_ROWS_FIRST};
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
        let (first, messages) = (beginning(&stretches, 0), FETCH_ROWS_FIRST as u32);
        let seen_now = Arc::default();
        (Pages { store, mailbox, stretches, plan, seen_now, end: first, messages, ahead: None }, Left::at(first))
    }

    /// The page that begins there; `None` behind the last message. `keywords_told` as in [`Request`].
    pub async fn next(&mut self, left: Left, keywords_told: usize) -> Option<Reading> {
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
                self.begin(left, self.end, keywords_told).await
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
                self.messages = (self.messages * 2).min(FETCH_PAGE_ROWS_MAX as u32);
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
