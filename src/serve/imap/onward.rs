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
    /// Tells one message.
    pub(super) async fn tell_one(&mut self, mailbox: MailboxId, uid: u32, plan: Plan) -> Result<Rows, Failure> {
        let last = self.onward.take();
        let Some(selected) = &self.selected else { return Ok(Rows::default()) };
        let map = selected.view.map();
        let Some(seq) = map.seq_of(Uid(uid)) else { return Ok(Rows::default()) };
        let follows = |last: &Onward| {
            last.mailbox == mailbox && last.seq.checked_add(1) == Some(seq) && *last.plan == plan && !plan.sets_seen
        };
        let (plan, ahead) = match last.map(|last| *last).filter(follows) {
            None => (Arc::new(plan), None),
            Some(Onward { plan, ahead, .. }) => {
                let mut known = ahead;
                if let Some(ahead) = &mut known
                    && !ahead.is_of(uid, seq).await
                {
                    known = None;
                }
                let ahead = known.unwrap_or_else(|| {
                    let bell = self.context.store.bell(Watched::Mailbox(mailbox));
                    let spans = map.spans_of_seqs((seq, seq.saturating_add(FETCH_ONWARD_MESSAGES - 1)));
                    let stretch = |(first, last)| map.seq_of(Uid(first)).map(|seq| Stretch { first, last, seq });
                    let stretches = spans.into_iter().filter_map(stretch).collect();
                    let (pages, left) = Pages::one_by_one(self.context.store.clone(), mailbox, stretches, plan.clone());
                    Ahead { pages, left, bell }
                });
                (plan, Some(ahead))
            }
        };
        let (rows, ahead) = match ahead {
            Some(Ahead { mut pages, left, bell }) => {
                let until = pages.after(&left.place);
                let (rows, left) = self.tell_pages(mailbox, &mut pages, left, Some(until)).await?;
                (rows, Some(Ahead { pages, left, bell }))
            }
            None => {
                let stretches = Arc::new([Stretch { first: uid, last: uid, seq }]);
                let (mut pages, left) = Pages::new(self.context.store.clone(), mailbox, stretches, plan.clone());
                (self.tell_pages(mailbox, &mut pages, left, None).await?.0, None)
            }
        };
        self.onward = Some(Box::new(Onward { mailbox, plan, seq, ahead }));
        Ok(rows)
    }
}
