//! Messages that come together, and what goes for them.

use super::*;

impl Model {
    pub(super) fn append(&mut self, append: &Appended) -> Result<Answer, Refusal> {
        let Appended { mailbox, messages, replaced, superseded, now } = append;
        let is_there = |(from, uid): &(MailboxId, Uid)| {
            self.folders.get(&from.0).is_some_and(|folder| folder.messages.contains_key(&uid.0))
        };
        if replaced.as_ref().is_some_and(|replaced| !is_there(replaced)) {
            return Err(Refusal::NotFound);
        }
        let folder = self.folder(mailbox.0)?;
        let uid_validity = UidValidity(folder.validity);
        let there: Vec<u32> = folder.messages.keys().copied().collect();
        let superseded = superseded.iter().copied().filter(|uid| there.contains(&uid.0)).collect();
        let mut uids = Vec::new();
        for (body, flags, date) in messages {
            let target = Target { mailbox: *mailbox, flags: flags.clone() };
            uids.push(self.place(&target, body, *date, *now)?.uid);
        }
        if let Some((mailbox, uid)) = replaced {
            self.expunge(&Expunge { mailbox: *mailbox, which: Expungeable::These(vec![*uid]) })?;
        }
        self.expunge(&Expunge { mailbox: *mailbox, which: Expungeable::These(superseded) })?;
        self.time(*now);
        Ok(Answer::Done(Done::Appended { uid_validity, uids }))
    }

    pub(super) fn place(
        &mut self,
        target: &Target,
        body: &Arc<Body>,
        date: Timestamp,
        saved: Timestamp,
    ) -> Result<Delivered, Refusal> {
        let is_outbox = target.mailbox.0 == self.outbox();
        let folder = self.folder(target.mailbox.0)?;
        if is_outbox {
            return Err(Refusal::Refused);
        }
        let keywords = folder.bits(&target.flags.keywords);
        folder.modseq += 1;
        let (modseq, flags, body) = (folder.modseq, target.flags.system.0, body.clone());
        let uid = folder.place(Message { modseq, flags, keywords, internal_date: date, saved, body });
        Ok(Delivered { mailbox: target.mailbox, uid_validity: UidValidity(folder.validity), uid: Uid(uid) })
    }
}
