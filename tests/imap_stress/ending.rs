//! The tagged answer of a command, and what it means for what is believed.

use super::*;

impl Client {
    pub(super) fn finish(&mut self, tag: &str, word: String, code: Code) -> Result<(), String> {
        let Some(mut doing) = self.doing.take() else { return Err("no command is in progress".to_owned()) };
        if doing.tag != tag {
            return Err(format!("the command in progress is {}", doing.tag));
        }
        if matches!(doing.order, Order::Idle) && self.idling {
            return Err("IDLE has not been ended".to_owned());
        }
        match (&code, &doing.order) {
            (Code::HighestModSeq(modseq), _) if self.condstore => doing.highest = Some(*modseq),
            (Code::AppendUid(validity, uid), Order::Append { .. }) => doing.appended = Some((*validity, *uid)),
            (Code::CopyUid(validity, from, to), Order::Transfer { remove: false, .. }) => {
                doing.copied = Some((*validity, from.clone(), to.clone()));
            }
            (Code::Modified(set), Order::Store { since: Some(_), .. }) => doing.modified = set.clone(),
            (Code::Word(_) | Code::None, _) => {}
            (code, _) => return Err(format!("{code:?}")),
        }
        if (word == "BAD") != doing.must_be_bad {
            return Err(format!("BAD was {}to be expected", if doing.must_be_bad { "" } else { "not " }));
        }
        (doing.word, doing.code) = (word, code);
        self.end(&mut doing)?;
        if let Some(belief) = &mut self.selected {
            belief.uid_only = self.uid_only;
        }
        if let Some(belief) = &mut self.selected
            && self.condstore
        {
            belief.modseq = match doing.highest {
                Some(modseq) => modseq,
                None => belief.modseq.max(doing.modseq_max),
            };
        }
        self.settle_arrivals();
        self.note_own(&doing);
        self.done.push(doing);
        self.begin();
        Ok(())
    }

    /// What the end of a command means for what is believed.
    fn end(&mut self, doing: &mut Doing) -> Result<(), String> {
        let ok = doing.word == "OK";
        if doing.code == Code::Word("NONEXISTENT".to_owned()) && doing.order.needs_mailbox() {
            // Then the mailbox must be gone, with all in it.
            self.said_gone.push((doing.uid_validity.unwrap_or(0), 0, doing.tag.clone()));
            return Ok(());
        }
        match &doing.order {
            Order::Select { mailbox, read_only, memory, .. } if ok => {
                if !doing.opening.is_open {
                    if self.selected.is_some() {
                        return Err("the mailbox before was not said to be closed".to_owned());
                    }
                    let mut belief = doing.opening.belief(mailbox, *read_only, memory.as_deref())?;
                    belief.blind = self.selected_wish().is_some_and(|wish| !wish.flags);
                    self.selected = Some(belief);
                }
                self.saved = Some(BTreeSet::new());
                doing.uid_validity = doing.opening.uid_validity;
                // What was missed is in the modseq that was told before it.
                doing.modseq_max = 0;
                doing.highest = doing.opening.highest;
            }
            Order::Select { .. } if !doing.must_be_bad && self.selected.is_some() => {
                return Err("a mailbox stays selected".to_owned());
            }
            Order::Close | Order::Unselect if ok => {
                self.remember();
                self.selected = None;
            }
            Order::Fetch { since, set, .. } if !doing.must_be_bad => {
                let untold = doing.untold(self.selected.as_ref());
                if !ok && (set.uid || untold == Some(0) || doing.code != Code::Word("EXPUNGEISSUED".to_owned())) {
                    return Err("refused for no reason".to_owned());
                }
                if ok && !set.uid && since.is_none() && untold.is_some_and(|untold| untold > 0) {
                    return Err(format!("{untold:?} messages were not told"));
                }
                if since.is_none() {
                    self.believe_gone(doing);
                }
            }
            Order::Search { .. } => self.end_search(doing)?,
            Order::CancelUpdate(tag) if ok => drop(self.kept.remove(tag)),
            Order::Notify(_) if ok => self.elsewhere = doing.elsewhere.take(),
            Order::Replace { .. } if ok => {
                let named = |uid: u32| doing.replaced.contains(&uid);
                let stays = |belief: &Belief| belief.messages.iter().any(|message| message.uid.is_some_and(named));
                if self.selected.as_ref().is_some_and(stays) {
                    return Err("a message was replaced and is still there".to_owned());
                }
            }
            Order::Store { silent: true, .. } if ok && !doing.certain => {
                // Whether flags were told before they were changed or after is not known.
                let messages = self.selected.iter_mut().flat_map(|belief| &mut belief.messages);
                messages
                    .filter(|message| doing.targets.contains(&message.handle))
                    .for_each(|message| message.flags = None);
            }
            Order::Store { silent: false, .. } if ok && doing.modified.is_empty() => self.believe_gone(doing),
            Order::Store { .. } if !ok && !doing.must_be_bad && !doing.read_only => {
                return Err("refused for no reason".to_owned());
            }
            Order::Transfer { remove: true, .. } if ok => {
                if let (Some((_, from, _)), Some(belief)) = (&doing.copied, &self.selected)
                    && let Some(stays) = from
                        .iter()
                        .flat_map(|(first, last)| *first..=*last)
                        .find(|uid| belief.messages.iter().any(|message| message.uid == Some(*uid)))
                {
                    return Err(format!("UID {stays} was moved and is still there"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Messages that were to be told and were not are gone.
    fn believe_gone(&mut self, doing: &Doing) {
        let Some(belief) = &self.selected else { return };
        if !doing.certain {
            return;
        }
        let untold = doing.targets.difference(&doing.answered).filter_map(|handle| belief.find(*handle)?.uid);
        self.said_gone.extend(untold.map(|uid| (belief.uid_validity, uid, doing.tag.clone())));
    }

    /// What SAVE has saved, and whether the result is kept up to date.
    fn end_search(&mut self, doing: &mut Doing) -> Result<(), String> {
        let Order::Search { returns, .. } = &doing.order else { return Ok(()) };
        let ok = doing.word == "OK";
        if returns.save && (doing.must_be_bad || !ok) && self.selected.is_some() {
            self.saved = Some(BTreeSet::new());
        }
        if ok && returns.save {
            self.saved = doing.saved_now.take();
        }
        if ok && returns.update {
            let is_full = self.kept.len() > hauspost::limits::SEARCH_UPDATES_MAX;
            if doing.is_not_kept != is_full {
                return Err(format!("a search is {}kept up to date", if is_full { "" } else { "not " }));
            }
            if is_full {
                self.kept.remove(&doing.tag);
            }
        }
        Ok(())
    }
}
