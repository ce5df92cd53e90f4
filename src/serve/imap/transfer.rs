//! COPY, MOVE, EXPUNGE: messages that come and go.

use super::Session;
use super::access::Allowed;
use super::failure::{Failure, bad, no};
use super::progress::Progress;
use crate::mail::access::Rights;
use crate::mail::message::Uid;
use crate::store::{self, Done, Expungeable, Op, Trouble};
use crate::wire::imap::command::{Tag, Transfer};
use crate::wire::imap::sequence::{NumberSet, SequenceSet};
use crate::wire::imap::{Code, Status, response};

impl Session {
    /// COPY (RFC 3501 section 6.4.7) and MOVE (RFC 6851): all or nothing, in one Op.
    pub(super) async fn transfer(&mut self, tag: &Tag, transfer: Transfer, remove: bool) -> Result<(), Failure> {
        let Some(selected) = &self.selected else { return Err(no(Code::ClientBug, "No mailbox is selected")) };
        let from = if remove { self.changeable(Rights::REMOVING)? } else { selected.mailbox };
        let uids = self.uids(transfer.uid, &transfer.set)?;
        let Allowed { mailbox: target, rights } = self.target_named(&transfer.mailbox).await?;
        let text = if remove { "MOVE completed" } else { "COPY completed" };
        let op = store::Copy {
            from,
            uids: uids.iter().map(Uid).collect(),
            to: target.id,
            remove,
            now: self.context.net.clock().now(),
        };
        let nothing = op.uids.is_empty();
        let mut progress = Progress::new(self.context.net.clock().clone(), tag, None);
        // RFC 4314 section 4: flags that this login may not set there do not come along.
        let op = match rights.contains(Rights::FLAGS) {
            true => Op::Copy(op),
            false => Op::CopyWithin { copy: op, rights },
        };
        let done = match nothing {
            true => Done::Copied { uid_validity: target.uid_validity, pairs: Vec::new() },
            false => match progress.during(&mut self.line, self.context.store.apply(op)).await? {
                // The target is there; it is the source that went in the meantime.
                Err(Trouble::NotFound) => return Err(no(Code::ExpungeIssued, "The messages no longer exist")),
                other => other?,
            },
        };
        let (uid_validity, pairs) = match done {
            Done::Copied { uid_validity, pairs } => (uid_validity, pairs),
            _ => return Err(Trouble::Failed("the store answered another question".to_owned()).into()),
        };
        let from: NumberSet = pairs.iter().map(|(from, _)| from.0).collect();
        let to: NumberSet = pairs.iter().map(|(_, to)| to.0).collect();
        if let Some(selected) = self.selected.as_mut().filter(|selected| selected.mailbox == target.id) {
            to.ranges().iter().for_each(|(first, last)| selected.made.push_range(*first, *last));
        }
        let code = Code::CopyUid { uid_validity: uid_validity.0, from: &from, to: &to };
        if remove {
            // RFC 6851 section 4.3: before the expunges, so that a client knows where the messages are.
            response::untagged(&mut self.line.out, Status::Ok, code, "Moved");
            self.tell_news(true, false).await?;
            let code = self.highest_modseq();
            response::tagged(&mut self.line.out, tag, Status::Ok, code, text);
            return Ok(());
        }
        // RFC 3501 section 7.4.1 forbids EXPUNGE only while FETCH, STORE and SEARCH are answered.
        self.finish_added(tag, code, text).await
    }

    /// EXPUNGE (RFC 3501 section 6.4.3) and UID EXPUNGE (RFC 4315 section 2.1).
    pub(super) async fn expunge(&mut self, tag: &Tag, set: Option<SequenceSet>) -> Result<(), Failure> {
        let mailbox = self.changeable(Rights::EXPUNGE)?;
        let which = match &set {
            None => Expungeable::Deleted,
            Some(set) => Expungeable::DeletedAmong(self.uids(true, set)?.iter().map(Uid).collect()),
        };
        let op = Op::Expunge(store::Expunge { mailbox, which });
        self.context.store.apply(op).await?;
        self.tell_news(true, false).await?;
        let code = self.highest_modseq();
        response::tagged(&mut self.line.out, tag, Status::Ok, code, "EXPUNGE completed");
        Ok(())
    }

    /// The UIDs of the view that a set means, as sequence numbers or as UIDs. UIDs that are not there are passed over; a set of
    /// numbers none of which is there is the client's mistake (RFC 9051 section 9, `seq-number`), but `1:*` of nothing is nothing.
    pub(super) fn uids(&self, by_uid: bool, set: &SequenceSet) -> Result<NumberSet, Failure> {
        let Some(selected) = &self.selected else { return Err(no(Code::ClientBug, "No mailbox is selected")) };
        let sight = selected.sight();
        if by_uid {
            return Ok(sight.uids_of_uid_set(set));
        }
        let uids = sight.uids_of_sequence_set(set);
        match uids.is_empty() && set.is_beyond(sight.map.len()) {
            true => Err(bad("There is no message of that number")),
            false => Ok(uids),
        }
    }

    /// RFC 7162 sections 3.2.7 and 3.2.9: after an expunge the modseq of the mailbox is told to those who count.
    pub(super) fn highest_modseq(&self) -> Code<'static> {
        match &self.selected {
            Some(selected) if self.enabled.condstore => Code::HighestModSeq(selected.view.told_up_to().0),
            _ => Code::None,
        }
    }
}
