//! NOTIFY (RFC 5465): what a client wishes to be told unasked, and what it believes of the mailboxes that it has not selected.

use crate::order::Items;
use crate::truth::Truth;
use std::collections::BTreeMap;

/// What NOTIFY asks for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// How the other mailboxes stand is to be told at once.
    pub status: bool,
    pub selected: Option<SelectedWish>,
    pub others: Option<OthersWish>,
}

#[derive(Clone, Debug)]
pub struct SelectedWish {
    /// Expunges are told with commands that may tell them.
    pub delayed: bool,
    pub flags: bool,
    /// What is told of new messages.
    pub fetch: Option<Items>,
}

#[derive(Clone, Debug)]
pub struct OthersWish {
    /// The top of a subtree; `None`: all there are.
    pub below: Option<String>,
    pub flags: bool,
}

impl OthersWish {
    pub fn has(&self, name: &str) -> bool {
        let Some(top) = &self.below else { return true };
        name.strip_prefix(&top[..]).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Wish {
    /// `NOTIFY NONE` when nothing is wished.
    pub fn text(&self) -> String {
        if self.selected.is_none() && self.others.is_none() {
            return "NOTIFY NONE".to_owned();
        }
        let mut text = "NOTIFY SET".to_owned();
        if self.status {
            text.push_str(" STATUS");
        }
        let flags = |is: bool| if is { " FlagChange" } else { "" };
        if let Some(wish) = &self.selected {
            let delayed = if wish.delayed { "-delayed" } else { "" };
            let fetch = wish.fetch.map_or(String::new(), |items| format!(" ({})", items.text()));
            let flags = flags(wish.flags);
            text.push_str(&format!(" (selected{delayed} (MessageNew{fetch} MessageExpunge{flags}))"));
        }
        if let Some(wish) = &self.others {
            let which = wish.below.as_ref().map_or("personal".to_owned(), |top| format!("subtree {top}"));
            text.push_str(&format!(" ({which} (MessageNew MessageExpunge{}))", flags(wish.flags)));
        }
        text
    }
}

/// One mailbox as it was told; what was not told, or may be old, is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Told {
    name: String,
    messages: Option<u64>,
    uid_next: Option<u64>,
    unseen: Option<u64>,
    highest: Option<u64>,
}

/// The mailboxes that are not selected, by UIDVALIDITY.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    pub wish: OthersWish,
    told: BTreeMap<u32, Told>,
    /// All were told at the beginning, but this one if it was selected then.
    but: Option<Option<u32>>,
}

impl Elsewhere {
    /// `but`: the mailbox that is selected.
    pub fn new(wish: &OthersWish, status: bool, but: Option<u32>) -> Elsewhere {
        Elsewhere { wish: wish.clone(), told: BTreeMap::new(), but: status.then_some(but) }
    }

    /// From now on modseqs are told, and changes that were of flags alone may not have been.
    pub fn begin_modseqs(&mut self) {
        self.told.values_mut().for_each(|told| told.highest = None);
    }

    /// A STATUS that answers no STATUS. `begins`: it answers NOTIFY. `modseqs`: whether they must be told, if that is certain.
    pub fn hear(
        &mut self,
        name: &str,
        items: &[(String, u64)],
        begins: bool,
        modseqs: Option<bool>,
        selected: Option<u32>,
    ) -> Result<(), String> {
        let names: Vec<&str> = items.iter().map(|(name, _)| &name[..]).collect();
        let value = |name: &str| items.iter().find(|(item, _)| item == name).map(|(_, value)| *value);
        let (counts, counts_modseqs) = (value("MESSAGES").is_some(), value("HIGHESTMODSEQ").is_some());
        let wanted = [
            (counts, "MESSAGES"),
            (counts, "UIDNEXT"),
            (true, "UIDVALIDITY"),
            (counts_modseqs, "HIGHESTMODSEQ"),
            (self.wish.flags, "UNSEEN"),
        ];
        if !wanted.iter().filter(|(is, _)| *is).map(|(_, name)| *name).eq(names) {
            return Err("a STATUS of other items".to_owned());
        }
        let modseqs = if begins { Some(self.wish.flags) } else { modseqs };
        if modseqs.is_some_and(|told| told != counts_modseqs) || !(counts || self.wish.flags) || begins && !counts {
            return Err("a STATUS with more or less than was wished".to_owned());
        }
        let validity = value("UIDVALIDITY").and_then(|value| u32::try_from(value).ok()).ok_or("no UIDVALIDITY")?;
        if !self.wish.has(name) || selected == Some(validity) {
            return Err("a STATUS of a mailbox that was not asked for".to_owned());
        }
        let before = self.told.get(&validity).cloned().unwrap_or_default();
        let now = Told {
            name: name.to_owned(),
            messages: value("MESSAGES").or(before.messages),
            uid_next: value("UIDNEXT").or(before.uid_next),
            unseen: value("UNSEEN").or(before.unseen),
            highest: value("HIGHESTMODSEQ"),
        };
        if !begins && now == (Told { highest: before.highest.filter(|_| counts_modseqs), ..before }) {
            return Err("told once more, and nothing has changed".to_owned());
        }
        self.told.insert(validity, now);
        Ok(())
    }

    /// What was told last must be so, and what there is must have been told.
    pub fn compare(&mut self, truth: &Truth, selected: Option<u32>, modseqs: bool) -> Result<(), String> {
        let Elsewhere { wish, told, but } = self;
        for (validity, folder) in truth.folders.iter().filter(|(validity, _)| Some(**validity) != selected) {
            let mailbox = &folder.mailbox;
            if told.get(validity).is_some_and(|told| told.name != mailbox.name) {
                // It was renamed, and may have been among the others for a while.
                told.remove(validity);
                *but = None;
                continue;
            }
            if !wish.has(&mailbox.name) {
                continue;
            }
            let is = (u64::from(mailbox.messages), u64::from(mailbox.uid_next.0), u64::from(mailbox.unseen));
            let highest = mailbox.highest_modseq.0;
            match told.get(validity) {
                Some(told) => {
                    let differs = |told: Option<u64>, is: u64| told.is_some_and(|told| told != is);
                    if differs(told.messages, is.0)
                        || differs(told.uid_next, is.1)
                        || wish.flags && differs(told.unseen, is.2)
                        || wish.flags && modseqs && differs(told.highest, highest)
                    {
                        return Err(format!("{told:?} but {is:?} and {highest}"));
                    }
                }
                None if wish.below.is_none() && but.is_some_and(|but| but != Some(*validity)) && is.1 > 1 => {
                    return Err(format!("nothing was told of {} with {is:?}", mailbox.name));
                }
                None => {}
            }
        }
        Ok(())
    }
}
