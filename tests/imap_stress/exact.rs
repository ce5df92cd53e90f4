//! One command with nothing else going on: what it must have told and done, to the letter.

use crate::belief::Belief;
use crate::client::Client;
use crate::doing::Doing;
use crate::order::{Change, Key, Order, Returns, Set};
use crate::response::{Flags, Ranges};
use crate::truth::{Fact, Folder, Truth};
use std::collections::BTreeSet;

pub struct Round<'a> {
    pub before: &'a Truth,
    pub after: &'a Truth,
    pub believed: Option<&'a Belief>,
    /// The client knew everything before.
    pub in_step: bool,
}

impl Round<'_> {
    pub fn check(&self, done: &Doing, client: &Client) -> Result<(), String> {
        let ok = done.word == "OK";
        let is_gone =
            |validity| !(self.before.folders.contains_key(&validity) && self.after.folders.contains_key(&validity));
        if done.order.needs_mailbox() && done.uid_validity.is_some_and(is_gone) {
            return Ok(());
        }
        match &done.order {
            Order::Select { mailbox, .. } => self.select(done, mailbox, ok),
            Order::Status(mailbox) => self.status(done, mailbox, ok),
            Order::Search { key, uid, returns } if ok => self.search(done, key, *uid, returns),
            Order::Store { change, since, flags, .. } if ok => self.store(done, *change, *since, flags),
            Order::Append { mailbox, flags, .. } => self.append(done, mailbox, flags, ok),
            Order::Replace { mailbox, flags, .. } => self.replace(done, mailbox, flags, ok),
            Order::Transfer { mailbox, remove, .. } => self.transfer(done, mailbox, *remove, ok),
            Order::Expunge(set) if ok && done.certain => {
                let uids = set.as_ref().map(|_| self.uids(done));
                self.expunge(uids.as_ref())
            }
            Order::Close if ok => match done.read_only {
                true => Ok(()),
                false => self.expunge_of(done.uid_validity, None),
            },
            Order::Noop | Order::Check if self.in_step && client.unasked > 0 => {
                Err("nothing has happened, and something was told".to_owned())
            }
            Order::Fetch { items, .. } if self.in_step && done.certain && ok && !items.body => self.fetch(done, client),
            Order::Create(name) if ok != self.before.named(name).is_none() => Err("CREATE went wrong".to_owned()),
            Order::Delete(name) if ok && self.after.named(name).is_some() => Err("DELETE did nothing".to_owned()),
            _ => Ok(()),
        }
    }

    /// The mailbox that was selected, before and after.
    fn here(&self) -> Result<(&Folder, &Folder), String> {
        let validity = self.believed.map(|belief| belief.uid_validity).ok_or("no mailbox is selected")?;
        match (self.before.folders.get(&validity), self.after.folders.get(&validity)) {
            (Some(before), Some(after)) => Ok((before, after)),
            _ => Err("the mailbox is gone".to_owned()),
        }
    }

    /// UIDs of the messages that the command meant, as far as they are known.
    fn uids(&self, done: &Doing) -> BTreeSet<u32> {
        let find = |handle: &u64| self.believed.and_then(|belief| belief.find(*handle)?.uid);
        done.targets.iter().filter_map(find).collect()
    }

    fn select(&self, done: &Doing, mailbox: &str, ok: bool) -> Result<(), String> {
        if done.must_be_bad {
            return Ok(());
        }
        let folder = self.before.named(mailbox);
        let (Some(Folder { mailbox, facts }), true) = (folder, ok) else {
            return if ok == folder.is_some() { Ok(()) } else { Err("SELECT went wrong".to_owned()) };
        };
        let opening = &done.opening;
        let unseen = facts.iter().position(|fact| !fact.flags.contains("\\seen")).map(|at| at as u32 + 1);
        // There are no message numbers then (RFC 9586).
        let unseen = unseen.filter(|_| !done.uid_only);
        let told = (opening.exists, opening.uid_validity, opening.uid_next, opening.highest, opening.unseen);
        let count = Some(facts.len() as u32);
        let is =
            (count, Some(mailbox.uid_validity.0), Some(mailbox.uid_next.0), Some(mailbox.highest_modseq.0), unseen);
        if told != is {
            return Err(format!("SELECT told {told:?} of {is:?}"));
        }
        let keywords = mailbox.keywords.iter().map(|name| name.to_ascii_lowercase());
        match opening.flags.as_ref().is_some_and(|flags| keywords.clone().all(|name| flags.contains(&name))) {
            true => Ok(()),
            false => Err("SELECT left out a keyword".to_owned()),
        }
    }

    fn status(&self, done: &Doing, name: &str, ok: bool) -> Result<(), String> {
        let Some(Folder { mailbox, facts }) = self.after.named(name) else {
            return if ok { Err("STATUS of what is not there".to_owned()) } else { Ok(()) };
        };
        let without = |flag: &str| facts.iter().filter(|fact| !fact.flags.contains(flag)).count() as u64;
        let all = facts.len() as u64;
        let is = [
            ("MESSAGES", all),
            ("UIDNEXT", u64::from(mailbox.uid_next.0)),
            ("UIDVALIDITY", u64::from(mailbox.uid_validity.0)),
            ("UNSEEN", without("\\seen")),
            ("DELETED", all - without("\\deleted")),
            ("SIZE", facts.iter().map(|fact| fact.bytes).sum()),
            ("HIGHESTMODSEQ", mailbox.highest_modseq.0),
        ];
        let is: Vec<(String, u64)> = is.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        match &done.status {
            Some((_, told)) if ok && *told == is => Ok(()),
            told => Err(format!("STATUS told {told:?} of {is:?}")),
        }
    }

    fn search(&self, done: &Doing, key: &Key, uid: bool, returns: &Returns) -> Result<(), String> {
        if !self.in_step {
            return Ok(());
        }
        let (folder, _) = self.here()?;
        let largest = (folder.facts.len() as u32, folder.facts.last().map_or(u32::MAX, |fact| fact.uid));
        let meant = |set: &Set| match set.saved {
            true => done.saved.clone(),
            false => {
                let numbered = (1u32..).zip(&folder.facts);
                Some(numbered.filter(|(seq, _)| set.has(*seq, largest.0)).map(|(_, fact)| fact.uid).collect())
            }
        };
        let Some(settled) = key.settled(&meant) else { return Ok(()) };
        let hits: Vec<(u32, &Fact)> =
            (1u32..).zip(&folder.facts).filter(|(seq, fact)| matches(&settled, *seq, fact, largest)).collect();
        let numbers: Vec<u32> = hits.iter().map(|(seq, fact)| if uid { fact.uid } else { *seq }).collect();
        let modseq_of = |number: &u32| {
            let hit = numbers.iter().position(|other| other == number).and_then(|at| hits.get(at));
            hit.map(|(_, fact)| fact.modseq)
        };
        let modseq = returns.meant(&numbers).iter().filter_map(modseq_of).max().filter(|_| key.by_modseq());
        if !returns.extended() {
            let told = done.found.clone().ok_or("SEARCH told nothing")?;
            return match told == (numbers.clone(), modseq) {
                true => Ok(()),
                false => Err(format!("SEARCH told {told:?} of {numbers:?} and {modseq:?}")),
            };
        }
        let Some(told) = done.esearch.clone() else {
            return if returns.tells() { Err("SEARCH told nothing".to_owned()) } else { Ok(()) };
        };
        let all = |ranges: &Ranges| ranges.iter().flat_map(|(first, last)| *first..=*last).collect::<Vec<u32>>();
        let part = told.partial.as_ref().map(|(text, part)| (text.clone(), all(part)));
        let is = (
            numbers.first().copied().filter(|_| returns.min),
            numbers.last().copied().filter(|_| returns.max),
            Some(numbers.len() as u32).filter(|_| returns.count),
            if returns.all { numbers.clone() } else { Vec::new() },
            returns.partial.map(|partial| (partial.text(), partial.of(&numbers))),
            modseq,
        );
        match (told.min, told.max, told.count, all(&told.all), part, told.modseq) == is {
            true => Ok(()),
            false => Err(format!("SEARCH told {told:?} of {numbers:?} and {modseq:?}")),
        }
    }

    fn replace(&self, done: &Doing, mailbox: &str, flags: &Flags, ok: bool) -> Result<(), String> {
        let uids = self.uids(done);
        if done.must_be_bad || !done.certain || uids.len() < done.targets.len() {
            return Ok(());
        }
        let (before, after) = self.here()?;
        let is_there = uids.len() == 1 && uids.iter().all(|uid| before.has(*uid));
        let target = self.after.named(mailbox);
        if ok != (is_there && target.is_some() && !done.read_only) {
            return Err("REPLACE went wrong".to_owned());
        }
        let (Some(target), true) = (target, ok) else {
            return match uids.iter().all(|uid| before.fact(*uid) == after.fact(*uid)) {
                true => Ok(()),
                false => Err("REPLACE was refused and has changed something".to_owned()),
            };
        };
        if let Some(stays) = uids.iter().find(|uid| after.has(**uid)) {
            return Err(format!("UID {stays} was replaced and stays"));
        }
        let last = target.facts.last().filter(|last| last.flags == *flags);
        let place = last.map(|last| (target.mailbox.uid_validity.0, last.uid));
        match done.appended.is_some() && done.appended == place {
            true => Ok(()),
            false => Err(format!("REPLACE told {:?} of {place:?}", done.appended)),
        }
    }

    fn store(&self, done: &Doing, change: Change, since: Option<u64>, flags: &Flags) -> Result<(), String> {
        let ((before, after), uids) = (self.here()?, self.uids(done));
        if !done.certain || uids.len() < done.targets.len() {
            return Ok(());
        }
        let mut modified = Vec::new();
        for fact in &before.facts {
            let is_meant = uids.contains(&fact.uid);
            let is_refused = is_meant && since.is_some_and(|since| fact.modseq > since);
            let wanted = match is_meant && !is_refused {
                true => change.on(&fact.flags, flags),
                false => fact.flags.clone(),
            };
            if is_refused {
                modified.push(fact.uid);
            }
            let Some(now) = after.fact(fact.uid) else { return Err("STORE took a message away".to_owned()) };
            if now.flags != wanted || (now.modseq > fact.modseq) != (now.flags != fact.flags) {
                return Err(format!("STORE made {now:?} of {fact:?}"));
            }
        }
        let told: Vec<u32> = done.modified.iter().flat_map(|(first, last)| *first..=*last).collect();
        let told: BTreeSet<u32> = match done.order.set().is_some_and(|set| set.uid) {
            true => told.into_iter().collect(),
            false => {
                let uid = |seq: &u32| self.believed?.messages.get(*seq as usize - 1)?.uid;
                told.iter().filter_map(uid).collect()
            }
        };
        match told.iter().eq(modified.iter()) {
            true => Ok(()),
            false => Err(format!("MODIFIED told {told:?} of {modified:?}")),
        }
    }

    fn append(&self, done: &Doing, mailbox: &str, flags: &Flags, ok: bool) -> Result<(), String> {
        let Some(folder) = self.after.named(mailbox) else {
            return if ok { Err("APPEND into nothing".to_owned()) } else { Ok(()) };
        };
        let last = folder.facts.last().filter(|last| last.flags == *flags);
        let place = last.map(|last| (folder.mailbox.uid_validity.0, last.uid));
        match ok && done.appended.is_some() && done.appended == place {
            true => Ok(()),
            false => Err(format!("APPEND told {:?} of {place:?}", done.appended)),
        }
    }

    fn transfer(&self, done: &Doing, mailbox: &str, remove: bool, ok: bool) -> Result<(), String> {
        if done.must_be_bad || !done.certain || self.uids(done).len() < done.targets.len() {
            return Ok(());
        }
        let ((before, after), uids) = (self.here()?, self.uids(done));
        let there: Vec<&Fact> = before.facts.iter().filter(|fact| uids.contains(&fact.uid)).collect();
        let Some(target) = self.after.named(mailbox) else {
            return if ok { Err("COPY into nothing".to_owned()) } else { Ok(()) };
        };
        if remove && done.read_only {
            return if ok { Err("MOVE out of what is not to be changed".to_owned()) } else { Ok(()) };
        }
        let (_, from, to) = done.copied.clone().unwrap_or_default();
        let all = |ranges: &[(u32, u32)]| ranges.iter().flat_map(|(first, last)| *first..=*last).collect::<Vec<_>>();
        let (from, to) = (all(&from), all(&to));
        if !ok || !from.iter().eq(there.iter().map(|fact| &fact.uid)) {
            return Err(format!("COPYUID told {from:?} of {there:?}"));
        }
        for (fact, to) in there.iter().zip(&to) {
            let copy = target.fact(*to).ok_or("a copy that is not there")?;
            if (&copy.flags, copy.bytes) != (&fact.flags, fact.bytes) {
                return Err(format!("{copy:?} is no copy of {fact:?}"));
            }
            if remove && after.has(fact.uid) {
                return Err(format!("UID {} was moved and stays", fact.uid));
            }
        }
        Ok(())
    }

    fn expunge(&self, among: Option<&BTreeSet<u32>>) -> Result<(), String> {
        self.expunge_of(self.believed.map(|belief| belief.uid_validity), among)
    }

    fn expunge_of(&self, validity: Option<u32>, among: Option<&BTreeSet<u32>>) -> Result<(), String> {
        let validity = validity.ok_or("no mailbox is selected")?;
        let (Some(before), Some(after)) = (self.before.folders.get(&validity), self.after.folders.get(&validity))
        else {
            return Ok(());
        };
        for fact in &before.facts {
            let goes = fact.flags.contains("\\deleted") && among.is_none_or(|among| among.contains(&fact.uid));
            let is_certain =
                among.is_none() || self.believed.is_some_and(|b| b.messages.iter().all(|m| m.uid.is_some()));
            if goes == after.has(fact.uid) && is_certain {
                return Err(format!("EXPUNGE, and {fact:?} {}", if goes { "stays" } else { "goes" }));
            }
        }
        Ok(())
    }

    fn fetch(&self, done: &Doing, client: &Client) -> Result<(), String> {
        let since = match &done.order {
            Order::Fetch { since, .. } => *since,
            _ => None,
        };
        let (folder, _) = self.here()?;
        let uids = self.uids(done);
        let told = |fact: &&Fact| uids.contains(&fact.uid) && since.is_none_or(|since| fact.modseq > since);
        let is = folder.facts.iter().filter(told).count();
        // VANISHED is one response more, and so is the modseq that a client begins to count from.
        match done.answered.len() == is && client.unasked <= is + 2 {
            true => Ok(()),
            false => Err(format!("FETCH told {} rows of {is}, and {} lines", done.answered.len(), client.unasked)),
        }
    }
}

/// Whether a message is found; `largest`: what `*` means as a number and as a UID.
pub fn matches(key: &Key, seq: u32, fact: &Fact, largest: (u32, u32)) -> bool {
    match key {
        Key::All => true,
        Key::Flag(flag, set) => fact.flags.contains(flag) == *set,
        Key::Set(set) if set.uid => set.has(fact.uid, largest.1),
        Key::Set(set) => set.has(seq, largest.0),
        Key::ModSeq(modseq) => fact.modseq >= *modseq,
        Key::Larger(bytes) => fact.bytes > *bytes,
        Key::Not(key) => !matches(key, seq, fact, largest),
        Key::Or(one, other) => matches(one, seq, fact, largest) || matches(other, seq, fact, largest),
        Key::And(one, other) => matches(one, seq, fact, largest) && matches(other, seq, fact, largest),
    }
}
