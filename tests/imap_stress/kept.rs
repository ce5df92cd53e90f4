//! Results of searches as the server keeps them up to date for a client (RFC 5267 section 4.3).

use crate::belief::Belief;
use crate::exact::matches;
use crate::order::{Key, Set};
use crate::response::Ranges;
use crate::truth::Folder;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub struct Kept {
    /// The result is told in UIDs.
    uid: bool,
    /// With UIDs in the place of numbers and `$`; `None`: they were not all known.
    key: Option<Key>,
    /// UIDs, or handles of messages; `None`: not known.
    holds: Option<BTreeSet<u64>>,
    /// CANCELUPDATE was sent and may have been read: what changes may be told or not.
    pub is_ending: bool,
}

impl Kept {
    /// `found`: the result, if it was told.
    pub fn new(belief: &Belief, uid: bool, key: &Key, saved: Option<&BTreeSet<u64>>, found: Option<&Ranges>) -> Kept {
        let key = key.settled(&|set: &Set| belief.uids(set, saved));
        let holds = found.and_then(|found| named(belief, uid, found));
        Kept { uid, key, holds, is_ending: false }
    }

    /// ADDTO and REMOVEFROM.
    pub fn change(&mut self, belief: &Belief, uid: bool, changes: &[(bool, Ranges)]) -> Result<(), String> {
        if uid != self.uid && !belief.uid_only {
            return Err("a result that was told in another way before".to_owned());
        }
        if belief.uid_only && !self.uid {
            // It was told in numbers once: from here on in UIDs (RFC 9586).
            (self.uid, self.holds) = (true, None);
        }
        for (comes, ranges) in changes {
            let numbers = named(belief, self.uid, ranges).ok_or("a result that this client does not know")?;
            let Some(holds) = &mut self.holds else { continue };
            for number in numbers {
                let changed = if *comes { holds.insert(number) } else { holds.remove(&number) };
                if !changed {
                    return Err(format!("{number} {} the result", if *comes { "is already in" } else { "is not in" }));
                }
            }
        }
        Ok(())
    }

    /// A message goes, and it must have left the result before. `uid` 0: not known.
    pub fn check_gone(&self, uid: u32, handle: Option<u64>) -> Result<(), String> {
        let named = if self.uid { Some(u64::from(uid)) } else { handle };
        match !self.is_ending
            && named.is_some_and(|named| self.holds.as_ref().is_some_and(|holds| holds.contains(&named)))
        {
            true => Err("a message that goes is still in a result".to_owned()),
            false => Ok(()),
        }
    }

    /// Which message is which by its place is not known any more.
    pub fn forget_handles(&mut self) {
        if !self.uid {
            self.holds = None;
        }
    }

    /// Everything has been told: the result must be what the search would find.
    pub fn compare(&self, belief: &Belief, folder: &Folder) -> Result<(), String> {
        let (Some(key), Some(holds)) = (&self.key, &self.holds) else { return Ok(()) };
        if belief.messages.len() != folder.facts.len() {
            // Expunges wait, and `*` does not mean the same to both.
            return Ok(());
        }
        let largest = folder.facts.last().map_or(u32::MAX, |fact| fact.uid);
        let found = |fact: &&crate::truth::Fact| matches(key, 0, fact, (0, largest));
        let found: BTreeSet<u32> = folder.facts.iter().filter(found).map(|fact| fact.uid).collect();
        let held: BTreeSet<u32> = match self.uid {
            true => holds.iter().map(|uid| *uid as u32).collect(),
            false if belief.uid_only => return Ok(()),
            false => {
                let pairs = belief.messages.iter().zip(&folder.facts);
                pairs.filter(|(message, _)| holds.contains(&message.handle)).map(|(_, fact)| fact.uid).collect()
            }
        };
        match found == held {
            true => Ok(()),
            false => Err(format!("{held:?} are held for {:?}, which finds {found:?}", key.text())),
        }
    }
}

fn named(belief: &Belief, uid: bool, ranges: &Ranges) -> Option<BTreeSet<u64>> {
    match uid {
        true => Some(ranges.iter().flat_map(|(first, last)| *first..=*last).map(u64::from).collect()),
        false => belief.handles(ranges, false),
    }
}
