//! What is told unasked, or beside the answer: news between commands (NOTIFY), other mailboxes, results that change.

use super::*;
use crate::order::{Items, Returns};
use crate::response::{Esearch, Ranges};

/// Whether a row is what NOTIFY was asked to tell of new messages. `modseqs`: they are told, or it is not certain yet.
pub(super) fn is_arrival(row: &Row, items: &Items, modseqs: bool) -> bool {
    let has = |wanted: bool, there: bool| wanted == there;
    row.uid.is_some()
        && has(items.flags, row.flags.is_some())
        && (has(items.modseq, row.modseq.is_some()) || modseqs && row.modseq.is_some())
        && has(items.bytes, row.bytes.is_some())
        && has(items.subject, row.body.is_some())
}

/// Whether a row has the shape of news about flags.
pub(super) fn is_news(row: &Row, condstore: bool) -> bool {
    row.flags.is_some() && row.modseq.is_some() == condstore && row.bytes.is_none() && row.body.is_none()
}

impl Client {
    /// What is to be told of the selected mailbox between commands.
    pub fn selected_wish(&self) -> Option<&SelectedWish> {
        self.wish.as_ref()?.selected.as_ref()
    }

    /// Whether news of the selected mailbox is told now.
    pub fn is_told(&self) -> bool {
        match &self.wish {
            Some(wish) => wish.selected.is_some(),
            None => self.idling,
        }
    }

    /// Whether an expunge waits for a command although everything else has been told.
    pub fn delays_expunges(&self) -> bool {
        !self.idling && self.selected_wish().is_some_and(|wish| wish.delayed)
    }

    /// Messages may go between the moment when a command is sent and the moment when it is read.
    pub fn must_name_uids(&self) -> bool {
        self.crowded && self.selected_wish().is_some()
    }

    pub(super) fn may_expunge(&self, doing: &Doing) -> bool {
        match doing.order {
            Order::Between => !self.delays_expunges(),
            _ => doing.order.allows_expunge() || self.must_name_uids(),
        }
    }

    pub(super) fn vanish(&mut self, uid: u32) -> Result<(), String> {
        let handle = self.belief()?.messages.iter().find(|message| message.uid == Some(uid)).map(|it| it.handle);
        self.kept.values().try_for_each(|kept| kept.check_gone(uid, handle))?;
        if !self.belief()?.vanish(uid)? {
            // Which of the others is which is not known any more.
            self.saved = None;
            self.kept.values_mut().for_each(Kept::forget_handles);
        }
        Ok(())
    }

    /// A response while no command is in progress.
    pub(super) fn hear_between(&mut self, response: Response) -> Result<(), String> {
        let is_wished = match response {
            Response::Status { .. } => self.elsewhere.is_some(),
            _ => self.selected_wish().is_some() && self.selected.is_some(),
        };
        if !is_wished {
            return Err("no command is in progress".to_owned());
        }
        let mut between = std::mem::replace(&mut self.between, Doing::new(String::new(), Order::Between));
        let heard = self.hear_untagged(response, &mut between);
        self.between = between;
        heard
    }

    /// Nothing is under way any more: what was told between commands counts.
    pub fn count_between(&mut self) {
        self.settle_arrivals();
        let between = std::mem::replace(&mut self.between, Doing::new(String::new(), Order::Between));
        if let Some(belief) = &mut self.selected
            && self.condstore
            && self.doing.is_none()
        {
            belief.modseq = between.highest.unwrap_or(belief.modseq.max(between.modseq_max));
        }
    }

    /// A new message that was to be told of and was not must be the client's own.
    pub(super) fn settle_arrivals(&mut self) {
        let messages = self.selected.iter_mut().flat_map(|belief| &mut belief.messages);
        for message in messages {
            message.arrival = match message.arrival {
                Arrival::Maybe => Arrival::No,
                Arrival::Next => Arrival::Own,
                other => other,
            };
        }
    }

    pub(super) fn note_own(&mut self, doing: &Doing) {
        self.own.extend(doing.appended);
        if let Some((validity, _, to)) = &doing.copied {
            let uids = to.iter().flat_map(|(first, last)| *first..=*last);
            self.own.extend(uids.map(|uid| (*validity, uid)));
        }
    }

    /// News that came before the server had read the command in progress: it may mean more messages than it seemed to.
    pub(super) fn reconsider(&self, doing: &mut Doing) {
        if !self.must_name_uids() || !doing.answered.is_empty() {
            return;
        }
        if let (Some(belief), Some(set)) = (&self.selected, doing.order.set()) {
            doing.targets.extend(belief.targets(set, self.saved.as_ref()).0);
        }
    }

    pub(super) fn esearch(&mut self, answer: Esearch, doing: &mut Doing) -> Result<(), String> {
        if !answer.changes.is_empty() {
            let Some(belief) = &self.selected else { return Err("no mailbox is selected".to_owned()) };
            if self.uid_only && !answer.uid {
                return Err("numbers, of which there are none any more".to_owned());
            }
            let Some(kept) = self.kept.get_mut(&answer.tag) else {
                return Err("no search of that tag is kept up to date".to_owned());
            };
            return kept.change(belief, answer.uid, &answer.changes);
        }
        let Order::Search { returns, uid, key } = &doing.order else { return Err("nobody searched so".to_owned()) };
        if answer.tag != doing.tag || answer.uid != *uid || !returns.tells() {
            return Err("nobody searched so".to_owned());
        }
        let Some(belief) = &self.selected else { return Err("no mailbox is selected".to_owned()) };
        if returns.save {
            doing.saved_now = told_saved(returns, &answer).and_then(|ranges| belief.handles(&ranges, *uid));
        }
        if returns.update {
            let found = (returns.all || answer.count == Some(0)).then_some(&answer.all);
            let kept = Kept::new(belief, *uid, key, self.saved.as_ref(), found);
            self.kept.insert(answer.tag.clone(), kept);
        }
        twice_said(doing.esearch.replace(answer).is_some())
    }

    pub(super) fn status(
        &mut self,
        mailbox: String,
        items: Vec<(String, u64)>,
        doing: &mut Doing,
    ) -> Result<(), String> {
        const ASKED: usize = 7;
        if matches!(&doing.order, Order::Status(asked) if mailbox == *asked) && items.len() == ASKED {
            return twice_said(doing.status.replace((mailbox, items)).is_some());
        }
        let selected = self.selected.as_ref().map(|belief| belief.uid_validity);
        if let (Order::Notify(Wish { status: true, .. }), Some(elsewhere)) = (&doing.order, &mut doing.elsewhere)
            && (elsewhere.hear(&mailbox, &items, true, None, selected).is_ok() || self.elsewhere.is_none())
        {
            return elsewhere.hear(&mailbox, &items, true, None, selected);
        }
        let Some(elsewhere) = &mut self.elsewhere else { return Err("nobody asked for a status".to_owned()) };
        // A command that turns them on may not have been read yet.
        let modseqs = (matches!(doing.order, Order::Between) && self.doing.is_none()).then_some(self.condstore);
        elsewhere.hear(&mailbox, &items, false, modseqs, selected)
    }
}

/// What SAVE has saved, as far as the answer tells.
fn told_saved(returns: &Returns, told: &Esearch) -> Option<Ranges> {
    if returns.all || told.count == Some(0) {
        return Some(told.all.clone());
    }
    if returns.count || !(returns.min || returns.max || returns.partial.is_some()) {
        return None;
    }
    let part = told.partial.iter().flat_map(|(_, part)| part).copied();
    Some(part.chain(told.min.iter().chain(&told.max).map(|end| (*end, *end))).collect())
}
