//! What a command means when the server turns to it: which messages, whether it must be refused, what it turns on.

use super::*;
use crate::order::Set;

impl Client {
    /// The server turns to the next command: what it means is settled now, by what the client believes.
    pub(super) fn begin(&mut self) {
        if self.doing.is_some() {
            return;
        }
        let Some((tag, order)) = self.waiting.pop_front() else { return };
        let tells_unasked = self.selected_wish().is_some();
        let mut doing = Doing::new(tag, order);
        let needs_qresync = match &doing.order {
            Order::Select { memory, .. } => memory.is_some(),
            Order::Fetch { vanished, .. } => *vanished,
            _ => false,
        };
        (doing.modseq_max, doing.highest) = (self.between.modseq_max, self.between.highest);
        self.between = Doing::new(String::new(), Order::Between);
        doing.must_be_bad = doing.order.needs_mailbox() && self.selected.is_none() || needs_qresync && !self.qresync;
        // A command that is refused as a whole enables nothing.
        let is_refused = self.selected.as_ref().is_some_and(|belief| belief.read_only) && doing.order.writes();
        if doing.order.enables_condstore() && !doing.must_be_bad && !is_refused {
            if let (false, Some(elsewhere)) = (self.condstore, &mut self.elsewhere) {
                elsewhere.begin_modseqs();
            }
            if let (false, Some(belief)) = (self.condstore, &mut self.selected) {
                // What was asked for before, by NOTIFY, has become older with changes that were told without (RFC 7162 section 3.1).
                belief.messages.iter_mut().for_each(|message| message.modseq = None);
            }
            doing.may_lack_modseqs = !self.condstore && self.must_name_uids();
            self.condstore = true;
        }
        match doing.order {
            Order::Enable("QRESYNC") => self.qresync = true,
            Order::Enable("UIDONLY") => self.begin_uid_only(),
            _ => {}
        }
        self.begin_notify(&mut doing);
        doing.must_be_bad |= self.uid_only && doing.order.counts_messages();
        doing.uid_only = self.uid_only;
        if let Some(belief) = &mut self.selected {
            belief.uid_only = self.uid_only;
            doing.uid_validity = Some(belief.uid_validity);
            doing.read_only = belief.read_only;
            doing.saved = belief.uids(&Set::saved(true), self.saved.as_ref());
            if let Order::CancelUpdate(tag) = &doing.order {
                // From here on nothing is told of it, not even that a message of it goes (RFC 5267 section 4.3.5).
                let early_news = self.crowded && tells_unasked;
                match self.kept.get_mut(tag) {
                    Some(kept) if early_news => kept.is_ending = true,
                    Some(_) => drop(self.kept.remove(tag)),
                    None => doing.must_be_bad = true,
                }
            }
            if let Some(set) = doing.order.set() {
                let (mut targets, mut certain) = belief.targets(set, self.saved.as_ref());
                certain &= !(self.crowded && tells_unasked);
                if let (Order::Fetch { partial: Some(partial), .. }, true) = (&doing.order, certain) {
                    targets = partial.of(&targets);
                }
                if matches!(doing.order, Order::Replace { .. }) && certain {
                    doing.replaced = targets.iter().filter_map(|handle| belief.find(*handle)?.uid).collect();
                }
                doing.must_be_bad |= targets.is_empty() && !set.uid && set.is_beyond(belief.len());
                (doing.targets, doing.certain) = (targets.into_iter().collect(), certain);
            }
            // What the grammar forbids is refused before what the mailbox forbids.
            let is_numbered = self.uid_only && doing.order.counts_messages();
            doing.must_be_bad &= is_numbered || !(belief.read_only && doing.order.writes());
            if let Order::Store { silent: true, since: None, change, flags, .. } = &doing.order
                && !(doing.must_be_bad || doing.read_only)
                && doing.certain
                && !belief.blind
            {
                for message in belief.messages.iter_mut().filter(|m| doing.targets.contains(&m.handle)) {
                    message.flags = match (change, &message.flags) {
                        (Change::Replace, _) => Some(flags.clone()),
                        (_, Some(known)) => Some(change.on(known, flags)),
                        (_, None) => None,
                    };
                }
            }
            if let Order::Store { silent: true, since: None, .. } = &doing.order
                && (!doing.certain || belief.blind)
            {
                belief.messages.iter_mut().filter(|m| doing.targets.contains(&m.handle)).for_each(|m| m.flags = None);
            }
        }
        self.doing = Some(doing);
    }

    fn begin_uid_only(&mut self) {
        if std::mem::replace(&mut self.uid_only, true) {
            return;
        }
        let Some(belief) = &mut self.selected else { return };
        belief.forget_numbers();
        let named = |handle: &u64| belief.find(*handle).is_none_or(|message| message.uid.is_some());
        self.saved = self.saved.take().filter(|saved| saved.iter().all(named));
        self.kept.values_mut().for_each(Kept::forget_handles);
    }

    /// From now on what is told is told by this wish; what was told by the one before may still come.
    fn begin_notify(&mut self, doing: &mut Doing) {
        let Order::Notify(wish) = &doing.order else { return };
        doing.fetched_before = self.selected_wish().and_then(|wish| wish.fetch);
        let selected = self.selected.as_ref().map(|belief| belief.uid_validity);
        doing.elsewhere = wish.others.as_ref().map(|others| Elsewhere::new(others, wish.status, selected));
        // Under either of them flags may go untold.
        let blind = |wish: &Wish| wish.selected.as_ref().is_some_and(|selected| !selected.flags);
        let blind = blind(wish) || self.wish.as_ref().is_some_and(blind);
        if let Some(belief) = &mut self.selected {
            belief.blind |= blind;
        }
        self.wish = Some(wish.clone());
    }
}
