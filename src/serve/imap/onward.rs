//! Messages that are fetched one by one, each in a command of its own: the next is read while the last is sent.
//!
//! Programs that keep a mailbox on a disk fetch it so, and phones the messages that they open one after the other. Receives the
//! message that a FETCH asks for; hands on its pages, perhaps read before that was known. What must always hold: what was read
//! before the mailbox changed last is not told; nothing is read ahead for a client that has not gone on to the next message with the
//! same wish, nor for wishes that change something; another command than FETCH forgets it.

use super::Session;
use super::failure::Failure;
use super::fetch::Rows;
use super::page::{Plan, Stretch};
use super::pages::{Left, Pages};
use crate::limits::FETCH_ONWARD_MESSAGES;
use crate::mail::message::{MailboxId, Uid};
use crate::store::{Bell, Watched};
use crate::wire::imap::sequence::NumberSet;
use smol::future;
use std::sync::Arc;

/// The message that was fetched last.
pub(super) struct Onward {
    mailbox: MailboxId,
    plan: Arc<Plan>,
    seq: u32,
    ahead: Option<Ahead>,
}

/// Messages that follow it.
struct Ahead {
    pages: Pages,
    /// Where they begin.
    left: Left,
    /// Hung up before the first of them was read.
    bell: Bell,
}

impl Ahead {
    /// Whether it begins with this message under this number, as the mailbox is now.
    async fn is_of(&mut self, uid: u32, seq: u32) -> bool {
        self.pages.number_at(&self.left.place) == Some((uid, seq))
            && future::poll_once(self.bell.rung()).await.is_none()
    }
}

impl Session {
    /// Tells one message, which alone is in `uids`.
    pub(super) async fn tell_one(
        &mut self,
        mailbox: MailboxId,
        (uid, uids): (u32, &NumberSet),
        plan: Plan,
    ) -> Result<Rows, Failure> {
        let last = self.onward.take();
        let seq = self.selected.as_ref().and_then(|selected| selected.view.map().seq_of(Uid(uid)));
        let Some(seq) = seq else { return Ok(Rows::default()) };
        let follows = |last: &Onward| {
            last.mailbox == mailbox && last.seq.checked_add(1) == Some(seq) && *last.plan == plan && !plan.sets_seen
        };
        let (rows, plan, ahead) = match last.map(|last| *last).filter(follows) {
            Some(Onward { plan, ahead, .. }) => {
                let Ahead { mut pages, left, bell } = self.ahead_of(mailbox, (uid, seq), &plan, ahead).await;
                let until = pages.after(&left.place);
                let (rows, left) = self.tell_pages(mailbox, &mut pages, left, Some(until)).await?;
                (rows, plan, Some(Ahead { pages, left, bell }))
            }
            None => {
                let plan = Arc::new(plan);
                (self.tell_rows(mailbox, uids, plan.clone()).await?, plan, None)
            }
        };
        self.onward = Some(Box::new(Onward { mailbox, plan, seq, ahead }));
        Ok(rows)
    }

    /// What is known of this message and those behind it, if that is so yet, or their pages from the beginning.
    async fn ahead_of(
        &self,
        mailbox: MailboxId,
        (uid, seq): (u32, u32),
        plan: &Arc<Plan>,
        known: Option<Ahead>,
    ) -> Ahead {
        if let Some(mut known) = known
            && known.is_of(uid, seq).await
        {
            return known;
        }
        let store = self.context.store.clone();
        let bell = store.bell(Watched::Mailbox(mailbox));
        let stretches = self.selected.iter().flat_map(|selected| {
            let map = selected.view.map();
            let spans = map.spans_of_seqs((seq, seq.saturating_add(FETCH_ONWARD_MESSAGES - 1)));
            spans.into_iter().filter_map(|span| Stretch::of(map, span))
        });
        let (pages, left) = Pages::one_by_one(store, mailbox, stretches.collect(), plan.clone());
        Ahead { pages, left, bell }
    }
}
