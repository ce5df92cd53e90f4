//! APPEND and REPLACE: messages that come together, and what goes for them.

use super::super::step::Step;
use super::super::*;
use super::Draft;
use crate::mail::message::Uid;

impl Draft<'_, '_> {
    /// All messages come in before any goes: one that is replaced may hold what a new one shares.
    pub(super) fn append(&mut self, append: Append) -> Result<Done, Trouble> {
        let Append { mailbox, messages, replaced, superseded, now } = append;
        if messages.is_empty() {
            return Err(Trouble::Refused("a message needs a mailbox"));
        }
        if let Some((from, uid)) = replaced
            && self.tables.message(from, uid)?.is_none()
        {
            return Err(Trouble::NotFound);
        }
        let uid_validity = self.mailbox(mailbox)?.uid_validity;
        let mut uids = Vec::with_capacity(messages.len());
        for NewMessage { body, flags, internal_date } in messages {
            let body = self.admit(body)?;
            uids.push(self.place(&Target { mailbox, flags }, body, internal_date, now)?.uid);
        }
        if let Some((mailbox, uid)) = replaced {
            self.expunge(Expunge { mailbox, which: Expungeable::These(vec![uid]) })?;
        }
        // What goes from Outbox takes its copy in Sent along, which may be among these.
        let gone = |uid: &Uid| {
            let goes = |step: &Step| matches!(step, Step::Expunge { mailbox: from, uids, .. } if *from == mailbox && uids.contains(uid));
            self.steps.iter().any(goes)
        };
        let superseded = superseded.into_iter().filter(|uid| !gone(uid)).collect();
        self.expunge(Expunge { mailbox, which: Expungeable::These(superseded) })?;
        self.steps.push(Step::Time(now));
        Ok(Done::Appended { uid_validity, uids })
    }
}
