//! A command while it is being answered, and what has been told of it so far.

use crate::belief::{Arrival, Belief};
use crate::order::{Items, Memory, Order};
use crate::response::{Code, Esearch, Flags, Ranges, Row};
use crate::watch::Elsewhere;
use std::collections::BTreeSet;

/// The command that is being answered.
pub struct Doing {
    pub tag: String,
    pub order: Order,
    /// Which messages it means, and whether that is certain.
    pub targets: BTreeSet<u64>,
    pub certain: bool,
    pub answered: BTreeSet<u64>,
    pub last_answer: usize,
    /// Those of the answered of which the row may have been news, from before the command was read: the answer may still come.
    pub doubtful: BTreeSet<u64>,
    /// It turns modseqs on, and news from before it was read comes without.
    pub may_lack_modseqs: bool,
    /// It must be refused as one that the grammar does not allow now.
    pub must_be_bad: bool,
    /// Nothing can be stored: NO is to be expected.
    pub read_only: bool,
    pub uid_only: bool,
    pub opening: Opening,
    pub highest: Option<u64>,
    pub modseq_max: u64,
    pub found: Option<(Vec<u32>, Option<u64>)>,
    pub esearch: Option<Esearch>,
    pub status: Option<(String, Vec<(String, u64)>)>,
    pub copied: Option<(u32, Ranges, Ranges)>,
    pub appended: Option<(u32, u32)>,
    pub modified: Ranges,
    pub word: String,
    pub code: Code,
    /// The mailbox in which it was begun.
    pub uid_validity: Option<u32>,
    /// Numbers of subjects by UID that were read.
    pub subjects: Vec<(u32, u64)>,
    /// The UIDs that `$` means, if they are all known.
    pub saved: Option<BTreeSet<u32>>,
    /// What `$` will mean: handles; `None`: that was not told.
    pub saved_now: Option<BTreeSet<u64>>,
    /// UIDs that REPLACE takes away, as far as they were known.
    pub replaced: BTreeSet<u32>,
    /// NOUPDATE was said.
    pub is_not_kept: bool,
    /// What was told of new messages before NOTIFY.
    pub fetched_before: Option<Items>,
    /// What NOTIFY tells of other mailboxes at once.
    pub elsewhere: Option<Elsewhere>,
}

/// What SELECT has told so far.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    pub flags: Option<Flags>,
    pub exists: Option<u32>,
    pub recent: Option<u32>,
    pub unseen: Option<u32>,
    pub uid_validity: Option<u32>,
    pub uid_next: Option<u32>,
    pub highest: Option<u64>,
    pub vanished: Ranges,
    pub closed: bool,
    /// The belief of it stands.
    pub is_open: bool,
}

impl Doing {
    pub fn new(tag: String, order: Order) -> Doing {
        Doing {
            tag,
            order,
            targets: BTreeSet::new(),
            certain: true,
            answered: BTreeSet::new(),
            last_answer: 0,
            doubtful: BTreeSet::new(),
            may_lack_modseqs: false,
            must_be_bad: false,
            read_only: false,
            uid_only: false,
            opening: Opening::default(),
            highest: None,
            modseq_max: 0,
            found: None,
            esearch: None,
            status: None,
            copied: None,
            appended: None,
            modified: Vec::new(),
            word: String::new(),
            code: Code::None,
            uid_validity: None,
            subjects: Vec::new(),
            saved: None,
            replaced: BTreeSet::new(),
            saved_now: None,
            is_not_kept: false,
            fetched_before: None,
            elsewhere: None,
        }
    }

    /// Whether a row is of the shape that answers this command.
    pub fn wants(&self, row: &Row, condstore: bool) -> bool {
        let has = |wanted: bool, there: bool| wanted == there;
        // The response names the UID itself then.
        let uid = |wanted: bool| self.uid_only || wanted == row.uid.is_some();
        match &self.order {
            Order::Fetch { set, items, since, .. } => {
                let modseq = items.modseq || since.is_some();
                // \Seen was set for this: then the flags come with it, and what goes with flags.
                let seen = items.body && row.flags.is_some();
                has(items.body || items.subject, row.body.is_some())
                    && has(items.bytes, row.bytes.is_some())
                    && (uid(items.uid || set.uid) || seen && condstore)
                    && (has(items.flags, row.flags.is_some()) || seen)
                    && (has(modseq, row.modseq.is_some()) || seen && condstore)
                    && since.is_none_or(|since| row.modseq.is_some_and(|modseq| modseq > since))
            }
            Order::Store { set, silent, .. } => {
                (condstore || !silent)
                    && row.body.is_none()
                    && row.bytes.is_none()
                    && has(!silent, row.flags.is_some())
                    && has(condstore, row.modseq.is_some())
                    && uid(set.uid || condstore)
            }
            _ => false,
        }
    }

    /// How many of the messages that it means, and that are still believed to be there, were not told.
    pub fn untold(&self, belief: Option<&Belief>) -> Option<usize> {
        let belief = belief.filter(|_| self.certain)?;
        Some(self.targets.difference(&self.answered).filter(|handle| belief.find(**handle).is_some()).count())
    }
}

impl Opening {
    pub fn belief(&self, mailbox: &str, read_only: bool, memory: Option<&Memory>) -> Result<Belief, String> {
        let (Some(flags), Some(exists), Some(0), Some(validity), Some(_), Some(modseq)) =
            (&self.flags, self.exists, self.recent, self.uid_validity, self.uid_next, self.highest)
        else {
            return Err(format!("SELECT did not tell all that it must: {self:?}"));
        };
        let mut belief = Belief::new(mailbox, validity, read_only, flags.clone(), modseq);
        match memory.filter(|memory| memory.uid_validity == validity) {
            Some(memory) => belief.recall(memory, &self.vanished, exists)?,
            None => belief.grow(exists, Arrival::No),
        }
        Ok(belief)
    }
}
