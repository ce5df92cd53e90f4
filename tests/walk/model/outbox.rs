//! Outbox in its plainest form: one message for each entry of the queue, and what follows when it goes.

use super::*;

impl Waiting {
    /// As the store has it.
    pub fn entry(&self, id: QueueId, body: BodyId) -> QueueEntry {
        let Waiting { reverse_path, parameters, recipients, queued, due, held, outbox, sent_copy, .. } = self.clone();
        QueueEntry {
            id,
            body,
            bytes: self.body.bytes.len() as u64,
            reverse_path,
            parameters,
            recipients,
            queued,
            due,
            held,
            signatures: Vec::new(),
            delay_told: false,
            outbox: Some(Uid(outbox)),
            sent_copy: sent_copy.map(|(mailbox, uid)| (MailboxId(mailbox), Uid(uid))),
        }
    }

    fn head(&self) -> Vec<u8> {
        outbox_head(&self.entry(QueueId(0), BodyId(0)))
    }
}

impl Model {
    pub(super) fn copy_out(
        &mut self,
        copy: &Copy,
        from: &Folder,
        uid_validity: UidValidity,
    ) -> Result<Answer, Refusal> {
        let mut pairs = Vec::new();
        let is_drafts = self.folder(copy.to.0)?.special_use == Some(SpecialUse::Drafts);
        for uid in ascending(&copy.uids).into_iter().filter(|uid| from.messages.contains_key(uid)) {
            let Message { flags, internal_date, body, .. } = from.messages[&uid].clone();
            let system = SystemFlags(flags & SystemFlags::SEEN.0 | if is_drafts { SystemFlags::DRAFT.0 } else { 0 });
            let target = Target { mailbox: copy.to, flags: Flags { system, keywords: Vec::new() } };
            let original = body.base.as_ref().unwrap_or(&body);
            let placed = self.place(&target, original, internal_date, copy.now)?;
            pairs.push((Uid(uid), placed.uid));
        }
        if !pairs.is_empty() {
            if copy.remove {
                self.take_back(&pairs.iter().map(|(uid, _)| uid.0).collect::<Vec<_>>());
            }
            self.time(copy.now);
        }
        Ok(Answer::Done(Done::Copied { uid_validity, pairs }))
    }

    /// The mailbox that shows the queue.
    pub(super) fn outbox(&self) -> u32 {
        let is_outbox = |folder: &Folder| folder.special_use == Some(SpecialUse::Outbox);
        self.folders.iter().find(|(_, folder)| is_outbox(folder)).map_or(0, |(id, _)| *id)
    }

    /// These messages go from Outbox, and what they show is not sent.
    pub(super) fn take_back(&mut self, uids: &[u32]) {
        let outbox = self.outbox();
        self.folders.get_mut(&outbox).expect("an Outbox").expunge(uids);
        let gone: Vec<u64> =
            self.queue.iter().filter(|(_, entry)| uids.contains(&entry.outbox)).map(|(id, _)| *id).collect();
        assert_eq!(gone.len(), uids.len(), "each shows one");
        for id in gone {
            let entry = self.queue.remove(&id).expect("there");
            self.drop_sent_copy(&entry);
        }
    }

    pub(super) fn drop_sent_copy(&mut self, entry: &Waiting) {
        if let Some((mailbox, uid)) = entry.sent_copy
            && let Some(folder) = self.folders.get_mut(&mailbox)
            && folder.messages.get(&uid).is_some_and(|message| Arc::ptr_eq(&message.body, &entry.body))
        {
            folder.expunge(&[uid]);
        }
    }

    pub(super) fn unshow(&mut self, entry: &Waiting) {
        let outbox = self.outbox();
        self.folders.get_mut(&outbox).expect("an Outbox").expunge(&[entry.outbox]);
    }

    /// Changes when an entry is tried.
    pub(super) fn reschedule(&mut self, id: u64, change: impl Fn(&mut Waiting)) -> Result<Answer, Refusal> {
        let before = self.entry(id)?.clone();
        change(self.entry(id)?);
        self.reshow(id, &before);
        Ok(Answer::Done(Done::Applied))
    }

    /// Outbox follows an entry that has changed.
    pub(super) fn reshow(&mut self, id: u64, before: &Waiting) {
        if self.queue[&id].head() != before.head() {
            self.show(id);
        }
    }

    /// Outbox shows an entry as it is.
    pub(super) fn show(&mut self, id: u64) {
        let outbox = self.outbox();
        let entry = self.queue.get_mut(&id).expect("an entry");
        let folder = self.folders.get_mut(&outbox).expect("an Outbox");
        let head = entry.head();
        let body = if head.is_empty() { entry.body.clone() } else { Body::behind(&entry.body, &head) };
        let old = folder.messages.get(&entry.outbox).map(|message| message.flags);
        let trouble = entry.recipients.iter().any(|one| one.attempts > 0);
        let flags = old.map_or(SystemFlags::SEEN.0, |flags| flags & SETTABLE)
            | if trouble { SystemFlags::FLAGGED.0 } else { 0 };
        folder.modseq += 1;
        let (modseq, internal_date, saved) = (folder.modseq, entry.queued, entry.queued);
        let uid = folder.place(Message { modseq, flags, keywords: 0, internal_date, saved, body });
        if old.is_some() {
            folder.expunge(&[entry.outbox]);
        }
        entry.outbox = uid;
    }
}
