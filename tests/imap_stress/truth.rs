//! What the store holds, read from outside any session, and how what clients believe and were told compares with it.

use crate::belief::Belief;
use crate::imap_session::Node;
use crate::order::message;
use crate::response::Flags;
use hauspost::mail::message::{Mailbox, MessageRow, SystemFlags, Uid};
use std::collections::BTreeMap;

/// One message as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub uid: u32,
    pub flags: Flags,
    pub modseq: u64,
    pub bytes: u64,
}

/// One mailbox as it is.
#[derive(Clone, Debug)]
pub struct Folder {
    pub mailbox: Mailbox,
    pub facts: Vec<Fact>,
}

/// All mailboxes, by UIDVALIDITY, which names a mailbox for ever.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub folders: BTreeMap<u32, Folder>,
}

/// Which message stands under which UIDVALIDITY and UID, as far as clients were told.
pub type Ledger = BTreeMap<(u32, u32), u64>;

impl Truth {
    pub fn read(node: &Node) -> Result<Truth, String> {
        node.read(|snapshot| {
            let mut folders = BTreeMap::new();
            for mailbox in snapshot.mailboxes()? {
                let rows = snapshot.messages(mailbox.id, Uid(1), Uid(u32::MAX), usize::MAX)?;
                let facts = rows.iter().map(|row| fact(row, &mailbox.keywords)).collect();
                folders.insert(mailbox.uid_validity.0, Folder { mailbox, facts });
            }
            Ok(Truth { folders })
        })
    }

    pub fn named(&self, name: &str) -> Option<&Folder> {
        self.folders.values().find(|folder| folder.mailbox.name == name)
    }
}

fn fact(row: &MessageRow, keywords: &[String]) -> Fact {
    let system = SystemFlags::ALL.iter().filter(|(flag, _)| row.flags.contains(*flag)).map(|(_, name)| *name);
    let own = keywords.iter().enumerate().filter(|(bit, _)| row.keywords >> bit & 1 == 1).map(|(_, name)| &name[..]);
    let flags = system.chain(own).map(str::to_ascii_lowercase).collect();
    Fact { uid: row.uid.0, flags, modseq: row.modseq.0, bytes: row.bytes }
}

impl Folder {
    pub fn has(&self, uid: u32) -> bool {
        self.fact(uid).is_some()
    }

    pub fn fact(&self, uid: u32) -> Option<&Fact> {
        self.facts.binary_search_by_key(&uid, |fact| fact.uid).ok().map(|at| &self.facts[at])
    }

    /// What is believed must be so. `expunges_wait`: messages that are gone may not have been told yet.
    pub fn compare(&self, belief: &Belief, condstore: bool, expunges_wait: bool) -> Result<(), String> {
        let here =
            |message: &&crate::belief::Message| !(expunges_wait && message.uid.is_some_and(|uid| !self.has(uid)));
        let believed: Vec<_> = belief.messages.iter().filter(here).collect();
        if believed.len() != self.facts.len() && !(expunges_wait && believed.len() > self.facts.len()) {
            return Err(format!("{} messages are believed and {} are there", believed.len(), self.facts.len()));
        }
        if believed.len() != self.facts.len() {
            // Which of the unknown ones are gone cannot be said.
            return Ok(());
        }
        for (message, fact) in believed.iter().zip(&self.facts) {
            let fact = match message.uid.filter(|_| belief.uid_only) {
                Some(uid) => self.fact(uid).ok_or_else(|| format!("UID {uid} is believed and is not there"))?,
                None => fact,
            };
            let differs = |what: &str| Err(format!("the {what} of UID {}: {message:?} but {fact:?}", fact.uid));
            if message.uid.is_some_and(|uid| uid != fact.uid) {
                return differs("UID");
            }
            if !belief.blind && message.flags.as_ref().is_some_and(|flags| *flags != fact.flags) {
                return differs("flags");
            }
            if condstore && !belief.blind && message.modseq.is_some_and(|modseq| modseq != fact.modseq) {
                return differs("modseq");
            }
            if message.bytes.is_some_and(|bytes| bytes != fact.bytes) {
                return differs("size");
            }
        }
        // What has been told is all that there is, and nothing was promised that was not told.
        let highest = self.mailbox.highest_modseq.0;
        if belief.modseq > highest {
            return Err(format!("modseq {} is believed and {highest} is the highest", belief.modseq));
        }
        Ok(())
    }
}

/// A message is what its UID was said to mean.
pub fn check_size(ledger: &Ledger, folder: &Folder) -> Result<(), String> {
    let validity = folder.mailbox.uid_validity.0;
    for fact in &folder.facts {
        if let Some(serial) = ledger.get(&(validity, fact.uid))
            && message(*serial).len() as u64 != fact.bytes
        {
            return Err(format!("UID {} of {} is not message {serial}", fact.uid, folder.mailbox.name));
        }
    }
    Ok(())
}
