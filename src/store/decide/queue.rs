//! What becomes of the relay queue: entries that are made, settled, held, tried sooner or taken out.

use super::super::step::Step;
use super::super::tables::due_parts;
use super::super::*;
use super::{Draft, outbox_head};
use crate::limits::*;
use redb::ReadableTable;

impl Draft<'_, '_> {
    pub(super) fn enqueue(&mut self, enqueue: Enqueue) -> Result<Done, Trouble> {
        let Enqueue { body, outgoing, copies, sent, now } = enqueue;
        if outgoing.is_empty() {
            return Err(Trouble::Refused("a message needs a recipient"));
        }
        outgoing.iter().try_for_each(check_outgoing)?;
        let body = self.admit(body)?;
        let is_only = outgoing.len() == 1 && copies.is_empty();
        for target in &copies {
            self.place(target, body, now, now)?;
        }
        let sent = sent.map(|target| self.place(&target, body, now, now)).transpose()?;
        let sent_copy = sent.filter(|_| is_only).map(|placed| (placed.mailbox, placed.uid));
        let entries = outgoing.into_iter().map(|outgoing| self.queue(outgoing, body, now, sent_copy));
        let entries = entries.collect::<Result<_, _>>()?;
        self.steps.push(Step::Time(now));
        Ok(Done::Enqueued(entries))
    }

    fn queue(
        &mut self,
        outgoing: Outgoing,
        (body, bytes, _): (BodyId, u64, Form),
        now: Timestamp,
        sent_copy: Option<(MailboxId, Uid)>,
    ) -> Result<QueueId, Trouble> {
        let Outgoing { reverse_path, parameters, recipients, signatures, not_before } = outgoing;
        let id = QueueId(self.next_queue);
        self.next_queue += 1;
        let mut entry = QueueEntry {
            id,
            body,
            bytes,
            reverse_path,
            parameters,
            recipients: recipients.into_iter().map(QueueRecipient::from).collect(),
            queued: now,
            due: not_before,
            held: false,
            signatures,
            delay_told: false,
            outbox: None,
            sent_copy,
        };
        entry.outbox = self.show(&entry, None)?;
        self.steps.push(Step::Queue(entry));
        Ok(id)
    }

    /// An entry takes the place of what it was before. Outbox follows when it has something else to say of it.
    fn requeue(&mut self, before: &QueueEntry, mut entry: QueueEntry) -> Result<(), Trouble> {
        if outbox_head(before) != outbox_head(&entry) {
            entry.outbox = self.show(&entry, before.outbox)?;
        }
        self.steps.push(Step::Queue(entry));
        Ok(())
    }

    pub(super) fn settle(&mut self, settle: Settle) -> Result<Done, Trouble> {
        let Settle { entry: id, outcomes, next_due, file, forward, notice, delay_told, now } = settle;
        let before = self.tables.queue_entry(id)?.ok_or(Trouble::NotFound)?;
        let mut entry = before.clone();
        for (address, outcome) in outcomes {
            if outcome == Outcome::Delivered {
                // Somebody has got it: the owner's copy says so.
                entry.sent_copy = None;
            }
            match outcome {
                Outcome::Delivered | Outcome::Failed => {
                    entry.recipients.retain(|recipient| !recipient.address.same_as(&address));
                }
                Outcome::Deferred(reply) => {
                    for recipient in &mut entry.recipients {
                        if recipient.address.same_as(&address) {
                            recipient.attempts = recipient.attempts.saturating_add(1);
                            recipient.last_attempt = Some(now);
                            recipient.last_reply = one_line(&reply);
                        }
                    }
                }
            }
        }
        entry.due = next_due;
        entry.delay_told |= delay_told;
        if !file.is_empty() || !forward.is_empty() {
            self.tables.check_body(entry.body)?;
        }
        let body = (entry.body, entry.bytes, Form::UNKNOWN);
        for target in &file {
            self.place(target, body, now, now)?;
        }
        forward.iter().try_for_each(check_outgoing)?;
        for outgoing in forward {
            self.queue(outgoing, body, now, None)?;
        }
        // Last, or the body could go with the entry.
        if entry.recipients.is_empty() {
            self.unshow(&before)?;
            self.steps.push(Step::Unqueue(id));
        } else {
            self.requeue(&before, entry)?;
        }
        self.notice(notice, now)?;
        Ok(Done::Applied)
    }

    /// Tells somebody what became of the entry.
    pub(super) fn notice(&mut self, notice: Option<(NewBody, NoticeTo)>, now: Timestamp) -> Result<(), Trouble> {
        match notice {
            Some((body, NoticeTo::Owner(target))) => {
                let body = self.admit(body)?;
                self.place(&target, body, now, now)?;
            }
            Some((body, NoticeTo::Sender(outgoing))) => {
                check_outgoing(&outgoing)?;
                let body = self.admit(body)?;
                self.queue(outgoing, body, now, None)?;
            }
            None => {}
        }
        self.steps.push(Step::Time(now));
        Ok(())
    }

    pub(super) fn hold(&mut self, id: QueueId) -> Result<Done, Trouble> {
        let entry = self.tables.queue_entry(id)?.ok_or(Trouble::NotFound)?;
        if !entry.held {
            self.requeue(&entry, QueueEntry { held: true, ..entry.clone() })?;
        }
        Ok(Done::Applied)
    }

    pub(super) fn release(&mut self, id: QueueId, due: Timestamp) -> Result<Done, Trouble> {
        let entry = self.tables.queue_entry(id)?.ok_or(Trouble::NotFound)?;
        if entry.held {
            self.requeue(&entry, QueueEntry { due, held: false, ..entry.clone() })?;
        }
        Ok(Done::Applied)
    }

    /// One entry, or all that wait.
    pub(super) fn retry(&mut self, id: Option<QueueId>, due: Timestamp) -> Result<Done, Trouble> {
        if let Some(id) = id {
            let entry = self.tables.queue_entry(id)?.ok_or(Trouble::NotFound)?;
            if !entry.held && entry.due != due {
                self.requeue(&entry, QueueEntry { due, ..entry.clone() })?;
            }
            return Ok(Done::Applied);
        }
        // Of thousands Outbox tells the next attempt when it has been: until then it goes on telling the one that was planned.
        let others = self.waiting()?.into_iter().filter(|entry| entry.due != due);
        self.steps.extend(others.map(|entry| Step::Schedule { id: entry.id, due, held: false }));
        Ok(Done::Applied)
    }

    pub(super) fn retry_these(&mut self, entries: &[QueueId], due: Timestamp) -> Result<Done, Trouble> {
        for id in entries {
            if let Some(entry) = self.tables.queue_entry(*id)?.filter(|entry| !entry.held && entry.due != due) {
                self.steps.push(Step::Schedule { id: entry.id, due, held: false });
            }
        }
        Ok(Done::Applied)
    }

    /// All entries that wait for their time. One that cannot be read does not keep the others from theirs.
    fn waiting(&self) -> Result<Vec<QueueEntry>, Trouble> {
        let mut entries = Vec::new();
        for row in self.tables.due.read()?.iter()? {
            let (_, id) = due_parts(row?.0.value());
            if let Ok(Some(entry)) = self.tables.queue_entry(id) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    pub(super) fn remove_queue_entry(
        &mut self,
        id: QueueId,
        notice: Option<(NewBody, NoticeTo)>,
        now: Timestamp,
    ) -> Result<Done, Trouble> {
        let entry = self.tables.queue_entry(id)?.ok_or(Trouble::NotFound)?;
        self.unshow(&entry)?;
        if notice.is_none() {
            self.drop_sent_copy(&entry)?;
        }
        self.steps.push(Step::Unqueue(id));
        self.notice(notice, now)?;
        Ok(Done::Applied)
    }
}

fn check_outgoing(outgoing: &Outgoing) -> Result<(), Trouble> {
    let Outgoing { parameters, recipients, signatures, .. } = outgoing;
    if recipients.is_empty() {
        return Err(Trouble::Refused("a message needs a recipient"));
    }
    let is_long = |text: &Option<String>, bytes_max| text.as_ref().is_some_and(|text| text.len() > bytes_max);
    let bad = |recipient: &Recipient| {
        is_long(&recipient.parameters.original, ORIGINAL_RECIPIENT_BYTES_MAX)
            || !recipient.parameters.notify.is_well_formed()
    };
    if is_long(&parameters.envelope_id, ENVELOPE_ID_BYTES_MAX) || recipients.iter().any(bad) {
        return Err(Trouble::Refused("a parameter of the envelope is not well formed"));
    }
    let is_whole = signatures.is_empty() || signatures.ends_with(b"\r\n");
    if signatures.len() > DKIM_SIGNATURES_BYTES_MAX || !is_whole {
        return Err(Trouble::Refused("the signatures of a message are too large, or not whole lines"));
    }
    Ok(())
}

/// One line of at most [`LAST_REPLY_BYTES_MAX`].
fn one_line(reply: &str) -> String {
    let end = reply.floor_char_boundary(LAST_REPLY_BYTES_MAX);
    reply.get(..end).unwrap_or_default().replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_becomes_one_line() {
        assert_eq!(one_line("451-a\r\n451 b"), "451-a  451 b");
        assert_eq!(one_line(&"é".repeat(300)).len(), 512);
    }
}
