//! What a client believes of the mailbox that it has selected, and what it accepts as news of it.

use crate::order::{Memory, Remembered, Set};
use crate::response::{Flags, Ranges, Row};
use std::collections::{BTreeMap, BTreeSet};

/// How a client came to know the flags of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// It does not know them all, or has asked for them.
    Asking,
    /// It was told unasked, or has set them itself: to be told the same again would be needless.
    News,
}

/// Whether a message that has come is still to be told as NOTIFY has asked for (RFC 5465 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nobody has asked, or it was told.
    No,
    /// It may be told or not.
    Maybe,
    /// It is told next, or is the client's own.
    Next,
    /// It was not told: it must be the client's own.
    Own,
}

#[derive(Clone, Debug)]
pub struct Message {
    /// Names the entry as long as the mailbox is selected.
    pub handle: u64,
    pub uid: Option<u32>,
    pub flags: Option<Flags>,
    pub modseq: Option<u64>,
    pub bytes: Option<u64>,
    pub by: By,
    pub arrival: Arrival,
}

#[derive(Clone, Debug)]
pub struct Belief {
    pub mailbox: String,
    pub uid_validity: u32,
    pub read_only: bool,
    /// By sequence number, from 1.
    pub messages: Vec<Message>,
    /// Flags that can occur.
    pub defined: Flags,
    /// Up to here everything has been told (RFC 7162 section 6).
    pub modseq: u64,
    /// Those of which nothing is known have no place among the others.
    pub uid_only: bool,
    /// Flags that others change are not told, as NOTIFY has asked for.
    pub blind: bool,
    next_handle: u64,
}

impl Belief {
    pub fn new(mailbox: &str, uid_validity: u32, read_only: bool, defined: Flags, modseq: u64) -> Belief {
        Belief {
            mailbox: mailbox.to_owned(),
            uid_validity,
            read_only,
            messages: Vec::new(),
            defined,
            modseq,
            uid_only: false,
            blind: false,
            next_handle: 0,
        }
    }

    pub fn len(&self) -> u32 {
        self.messages.len() as u32
    }

    /// EXISTS: more of them, and nothing is known of the new ones.
    pub fn grow(&mut self, exists: u32, arrival: Arrival) {
        while self.len() < exists {
            self.push(None, Remembered::default());
            if let Some(last) = self.messages.last_mut() {
                last.arrival = arrival;
            }
        }
    }

    fn push(&mut self, uid: Option<u32>, known: Remembered) {
        let Remembered { flags, modseq, bytes } = known;
        let handle = self.next_handle;
        self.next_handle += 1;
        self.messages.push(Message { handle, uid, flags, modseq, bytes, by: By::Asking, arrival: Arrival::No });
    }

    /// What is remembered, less what vanished, and unknown ones above them.
    pub fn recall(&mut self, memory: &Memory, vanished: &Ranges, exists: u32) -> Result<(), String> {
        let gone = |uid: u32| vanished.iter().any(|(first, last)| *first <= uid && uid <= *last);
        for (uid, known) in memory.messages.iter().filter(|(uid, _)| !gone(**uid)) {
            self.push(Some(*uid), known.clone());
        }
        if self.len() > exists {
            return Err(format!("{} messages are remembered and not vanished, but {exists} exist", self.len()));
        }
        self.grow(exists, Arrival::No);
        Ok(())
    }

    /// What the client can come back with. `None`: it has not looked at all of the mailbox.
    pub fn memory(&self) -> Option<Memory> {
        let known = self.messages.iter().take_while(|message| message.uid.is_some()).count();
        let unknown = self.messages.len() - known;
        if self.messages.iter().skip(known).any(|message| message.uid.is_some()) || self.modseq == 0 {
            return None;
        }
        if self.uid_only && unknown > 0 || self.blind {
            return None;
        }
        let mut messages = BTreeMap::new();
        for message in self.messages.iter().take(known) {
            let Message { flags, modseq, bytes, .. } = message.clone();
            messages.insert(message.uid?, Remembered { flags, modseq, bytes });
        }
        let (uid_validity, modseq) = (self.uid_validity, self.modseq);
        Some(Memory { uid_validity, modseq, messages, says_uids: false, says_pairs: Vec::new() })
    }

    /// There are only UIDs from here on: what was known by a number alone cannot be said of any message any more.
    pub fn forget_numbers(&mut self) {
        for message in self.messages.iter_mut().filter(|message| message.uid.is_none()) {
            (message.flags, message.modseq, message.bytes, message.by) = (None, None, None, By::Asking);
        }
    }

    pub fn find(&self, handle: u64) -> Option<&Message> {
        self.messages.iter().find(|message| message.handle == handle)
    }

    /// The messages that a set means: handles, and whether that is certain. A UID that is not known may be in the set.
    /// `saved`: what `$` means, if that is known.
    pub fn targets(&self, set: &Set, saved: Option<&BTreeSet<u64>>) -> (Vec<u64>, bool) {
        if set.saved {
            let is_saved = |message: &&Message| saved.is_none_or(|saved| saved.contains(&message.handle));
            return (self.messages.iter().filter(is_saved).map(|message| message.handle).collect(), saved.is_some());
        }
        let numbered = self.messages.iter().zip(1u32..);
        if !set.uid {
            let len = self.len();
            return (numbered.filter(|(_, seq)| set.has(*seq, len)).map(|(message, _)| message.handle).collect(), true);
        }
        let largest = match self.uid_only {
            // Those of which nothing is known have no place. If one of them is larger, a set that ends with `*` means less.
            true => self.messages.iter().rev().find_map(|message| message.uid),
            false => self.messages.last().and_then(|last| last.uid),
        };
        let certain = self.messages.iter().all(|message| message.uid.is_some());
        let has = |message: &Message| match message.uid {
            Some(uid) => set.has(uid, largest.unwrap_or(u32::MAX)),
            None => true,
        };
        (self.messages.iter().filter(|message| has(message)).map(|message| message.handle).collect(), certain)
    }

    /// The UIDs that a set means, if they are all known.
    pub fn uids(&self, set: &Set, saved: Option<&BTreeSet<u64>>) -> Option<BTreeSet<u32>> {
        match self.targets(set, saved) {
            (targets, true) => targets.iter().map(|handle| self.find(*handle)?.uid).collect(),
            _ => None,
        }
    }

    /// Messages by UID or by number; `None`: one of them is not known.
    pub fn handles(&self, numbers: &Ranges, uid: bool) -> Option<BTreeSet<u64>> {
        let numbers = numbers.iter().flat_map(|(first, last)| *first..=*last);
        let find = |number: u32| match uid {
            true => self.messages.iter().find(|message| message.uid == Some(number)),
            false => self.messages.get((number as usize).checked_sub(1)?),
        };
        numbers.map(|number| Some(find(number)?.handle)).collect()
    }

    pub fn expunge(&mut self, number: u32) -> Result<(), String> {
        match number >= 1 && number <= self.len() {
            true => {
                self.messages.remove(number as usize - 1);
                Ok(())
            }
            false => Err(format!("EXPUNGE of {number} where there are {}", self.len())),
        }
    }

    /// Takes out a message by UID. Where the UIDs are not known it is one of those that can have it; returns whether it is certain
    /// which.
    pub fn vanish(&mut self, uid: u32) -> Result<bool, String> {
        if let Some(at) = self.messages.iter().position(|message| message.uid == Some(uid)) {
            self.messages.remove(at);
            return Ok(true);
        }
        if self.uid_only {
            let unknown = self.messages.iter().position(|message| message.uid.is_none());
            self.messages.remove(unknown.ok_or_else(|| format!("VANISHED {uid}, which this client does not have"))?);
            return Ok(false);
        }
        let below = |message: &Message| message.uid.is_some_and(|known| known < uid);
        let above = |message: &Message| message.uid.is_some_and(|known| known > uid);
        let first = self.messages.iter().rposition(below).map_or(0, |at| at + 1);
        let last = self.messages.iter().position(above).unwrap_or(self.messages.len());
        if first >= last {
            return Err(format!("VANISHED {uid}, which this client does not have"));
        }
        self.messages.remove(first);
        for message in &mut self.messages[first..last - 1] {
            (message.flags, message.modseq, message.bytes, message.by) = (None, None, None, By::Asking);
            message.arrival = Arrival::No;
        }
        Ok(last == first + 1)
    }

    /// The place of the message that a row is about, with the UID checked and learned.
    /// `arrives`: it is what is told of new messages.
    pub fn place(&mut self, row: &Row, arrives: bool) -> Result<usize, String> {
        let at = match row.by_uid {
            true => self.named(row.number, arrives),
            false => (row.number as usize).checked_sub(1).filter(|at| *at < self.messages.len()),
        };
        let Some(at) = at else { return Err(format!("a row of message {} of {}", row.number, self.len())) };
        let Some(uid) = row.uid else { return Ok(at) };
        match self.messages[at].uid {
            Some(known) if known == uid => {}
            Some(known) => return Err(format!("message {} has UID {uid}, but UID {known} is believed", row.number)),
            None => {
                let before = self.messages[..at].iter().rev().find_map(|message| message.uid);
                let after = self.messages[at + 1..].iter().find_map(|message| message.uid);
                if before.is_some_and(|before| before >= uid) || after.is_some_and(|after| after <= uid) {
                    return Err(format!("message {} has UID {uid}, between {before:?} and {after:?}", row.number));
                }
                self.messages[at].uid = Some(uid);
            }
        }
        Ok(at)
    }

    /// The place of a UID. One that is not known yet is one of those of which nothing is known.
    fn named(&mut self, uid: u32, arrives: bool) -> Option<usize> {
        if let Some(at) = self.messages.iter().position(|message| message.uid == Some(uid)) {
            return Some(at);
        }
        let unknown = |message: &Message| message.uid.is_none();
        let is_new = |message: &Message| matches!(message.arrival, Arrival::Maybe | Arrival::Next);
        let fits = |message: &Message| unknown(message) && is_new(message) == arrives;
        let unknown = self.messages.iter().position(fits).or_else(|| self.messages.iter().position(unknown))?;
        let Message { handle, arrival, .. } = self.messages.remove(unknown);
        // What was known of a number is not known of this UID.
        let message =
            Message { handle, uid: Some(uid), flags: None, modseq: None, bytes: None, by: By::Asking, arrival };
        let at = self.messages.iter().position(|message| message.uid.is_some_and(|known| known > uid));
        let at = at.unwrap_or(self.messages.len());
        self.messages.insert(at, message);
        Some(at)
    }

    /// Takes in what a row says, which must not be older than what is known. `keeps_flags`: a modseq without flags is that of
    /// the client's own change, of which it knows the result.
    pub fn learn(&mut self, at: usize, row: &Row, keeps_flags: bool) -> Result<(), String> {
        if let Some(flags) = &row.flags
            && let Some(odd) = flags.iter().find(|flag| !self.defined.contains(*flag))
        {
            return Err(format!("{odd} is set before FLAGS has told of it"));
        }
        let message = &mut self.messages[at];
        match (message.modseq, row.modseq) {
            (Some(known), Some(told)) if told < known => return Err(format!("modseq {told} after {known}")),
            (Some(known), Some(told)) if told == known => {
                if let (Some(known), Some(told)) = (&message.flags, &row.flags)
                    && known != told
                {
                    return Err(format!("{told:?} where {known:?} had the same modseq"));
                }
            }
            _ => {}
        }
        if let (Some(known), Some(told)) = (message.bytes, row.bytes)
            && known != told
        {
            return Err(format!("{told} bytes, which were {known}"));
        }
        if row.modseq > message.modseq && row.modseq.is_some() && !keeps_flags {
            message.flags = None;
        }
        message.modseq = row.modseq.or(message.modseq);
        message.bytes = row.bytes.or(message.bytes);
        if let Some(flags) = &row.flags {
            message.flags = Some(flags.clone());
        }
        Ok(())
    }
}
