//! Which UIDs mailboxes have, as runs, of those that were opened lately.
//!
//! Receives a snapshot; hands on a map that is what reading all rows of the mailbox would give, mostly without reading them: a
//! mailbox without gaps is known by its ends, and one that was opened before by what has happened since. What must always hold: a map
//! that has not as many messages as the mailbox counts is not believed, and the rows are read.

use super::tables::{EXPUNGED, change_key, key_uid};
use super::{Snapshot, Trouble};
use crate::limits::{UID_MAP_CHANGES_MAX, UID_MAP_RUNS_MAX, UID_MAPS_MAX};
use crate::mail::message::{Mailbox, MailboxId, ModSeq, Uid};
use crate::mail::view::UidMap;
use std::sync::{Mutex, PoisonError};

/// Maps of mailboxes, the one asked for last at the end.
#[derive(Default)]
pub struct Maps {
    known: Mutex<Vec<Known>>,
}

/// A mailbox as it was after the changes of a modseq.
#[derive(Clone)]
struct Known {
    mailbox: MailboxId,
    modseq: ModSeq,
    uid_next: Uid,
    map: UidMap,
}

impl Maps {
    /// Forgets everything: what is on the disk may be older than what was read.
    pub fn clear(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn find(&self, mailbox: MailboxId) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|known| known.mailbox == mailbox).cloned()
    }

    /// Keeps what is small; of one mailbox what is newest.
    fn keep(&self, new: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|known| known.mailbox == new.mailbox && known.modseq > new.modseq) {
            return;
        }
        known.retain(|known| known.mailbox != new.mailbox);
        if new.map.runs() <= UID_MAP_RUNS_MAX {
            if known.len() >= UID_MAPS_MAX {
                known.remove(0);
            }
            known.push(new);
        }
    }
}

impl Snapshot {
    /// The UIDs of a mailbox.
    ///
    /// # Errors
    /// `NotFound`: there is no such mailbox.
    pub fn uid_map(&self, id: MailboxId) -> Result<UidMap, Trouble> {
        let mailbox = self.mailbox(id)?.ok_or(Trouble::NotFound)?;
        let is_right = |map: &UidMap| map.len() == mailbox.messages;
        let known = match self.shared.maps.find(id) {
            Some(known) if known.modseq <= mailbox.highest_modseq => self.brought_up(known, &mailbox)?,
            _ => None,
        };
        let map = match known.filter(is_right) {
            Some(map) => map,
            None => match self.without_gaps(&mailbox)? {
                Some(map) => map,
                None => UidMap::new(self.uids_from(id, Uid(0))?),
            },
        };
        let Mailbox { highest_modseq: modseq, uid_next, .. } = mailbox;
        self.shared.maps.keep(Known { mailbox: id, modseq, uid_next, map: map.clone() });
        Ok(map)
    }

    /// What was known of a mailbox with what happened since, unless that is much or no longer remembered.
    fn brought_up(&self, known: Known, mailbox: &Mailbox) -> Result<Option<UidMap>, Trouble> {
        let Known { modseq, uid_next, mut map, .. } = known;
        if modseq == mailbox.highest_modseq {
            return Ok(Some(map));
        }
        if modseq < mailbox.expunged_floor {
            return Ok(None);
        }
        let since = change_key(mailbox.id, ModSeq(modseq.0 + 1), Uid(0));
        let rows =
            self.table(EXPUNGED)?.range(since..=change_key(mailbox.id, mailbox.highest_modseq, Uid(u32::MAX)))?;
        let gone = rows.take(UID_MAP_CHANGES_MAX + 1).map(|row| Ok(key_uid(row?.0.value() as u64)));
        let mut gone = gone.collect::<Result<Vec<Uid>, Trouble>>()?;
        if gone.len() > UID_MAP_CHANGES_MAX {
            return Ok(None);
        }
        gone.sort_unstable();
        map.remove(&UidMap::new(gone));
        self.uids_from(mailbox.id, uid_next)?.into_iter().for_each(|uid| map.push(uid));
        Ok(Some(map))
    }

    /// The map of a mailbox with as many messages as there are UIDs from its first to its last.
    fn without_gaps(&self, mailbox: &Mailbox) -> Result<Option<UidMap>, Trouble> {
        let map = self.ends(mailbox.id)?.map_or_else(UidMap::default, UidMap::of_span);
        Ok(Some(map).filter(|map| map.len() == mailbox.messages))
    }
}

#[cfg(test)]
mod tests;
