//! What a client says: commands as values, and their text.

use crate::response::Flags;
use crate::watch::Wish;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A set as it is written; `None` is `*`.
#[derive(Clone, Debug)]
pub struct Set {
    /// UIDs; else sequence numbers.
    pub uid: bool,
    pub ranges: Vec<(Option<u32>, Option<u32>)>,
    /// `$` and nothing else: what the last SEARCH has saved (RFC 5182).
    pub saved: bool,
}

impl Set {
    pub fn new(uid: bool, ranges: Vec<(Option<u32>, Option<u32>)>) -> Set {
        Set { uid, ranges, saved: false }
    }

    pub fn all(uid: bool) -> Set {
        Set::new(uid, vec![(Some(1), None)])
    }

    pub fn saved(uid: bool) -> Set {
        Set { uid, ranges: Vec::new(), saved: true }
    }

    pub fn of_uids(uids: &BTreeSet<u32>) -> Set {
        Set::new(true, uids.iter().map(|uid| (Some(*uid), Some(*uid))).collect())
    }

    /// Whether it has this number, when `*` is `largest`.
    pub fn has(&self, number: u32, largest: u32) -> bool {
        self.ranges.iter().any(|(one, other)| {
            let (one, other) = (one.unwrap_or(largest), other.unwrap_or(largest));
            one.min(other) <= number && number <= one.max(other)
        })
    }

    /// Whether a message number is written that a mailbox of so many messages does not have.
    pub fn is_beyond(&self, messages: u32) -> bool {
        self.ranges.iter().any(|(one, other)| {
            let beyond = |end: &Option<u32>| end.is_some_and(|number| number > messages);
            (beyond(one) || beyond(other)) && !(messages == 0 && (one.is_none() || other.is_none()))
        })
    }

    pub fn text(&self) -> String {
        if self.saved {
            return "$".to_owned();
        }
        let end = |end: &Option<u32>| end.map_or("*".to_owned(), |number| number.to_string());
        let range = |(one, other): &(Option<u32>, Option<u32>)| match one == other {
            true => end(one),
            false => format!("{}:{}", end(one), end(other)),
        };
        self.ranges.iter().map(range).collect::<Vec<_>>().join(",")
    }
}

/// What a client remembers of one message.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Remembered {
    pub flags: Option<Flags>,
    pub modseq: Option<u64>,
    pub bytes: Option<u64>,
}

/// What a client remembers of a mailbox when it comes back.
#[derive(Clone, Debug)]
pub struct Memory {
    pub uid_validity: u32,
    pub modseq: u64,
    /// By UID. Messages above the last one may be there, and are not known.
    pub messages: BTreeMap<u32, Remembered>,
    /// Says its UIDs in the SELECT.
    pub says_uids: bool,
    /// Says some of its numbers and their UIDs.
    pub says_pairs: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Add,
    Remove,
    Replace,
}

impl Change {
    pub fn on(self, flags: &Flags, with: &Flags) -> Flags {
        match self {
            Change::Add => flags.union(with).cloned().collect(),
            Change::Remove => flags.difference(with).cloned().collect(),
            Change::Replace => with.clone(),
        }
    }
}

/// Items of a FETCH.
#[derive(Clone, Copy, Debug, Default)]
pub struct Items {
    pub uid: bool,
    pub flags: bool,
    pub modseq: bool,
    pub bytes: bool,
    /// The subject, without setting \Seen.
    pub subject: bool,
    /// The body, which sets \Seen.
    pub body: bool,
}

impl Items {
    pub fn text(&self) -> String {
        let names = [
            (self.uid, "UID"),
            (self.flags, "FLAGS"),
            (self.modseq, "MODSEQ"),
            (self.bytes, "RFC822.SIZE"),
            (self.subject, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"),
            (self.body, "BODY[]"),
        ];
        names.iter().filter(|(asked, _)| *asked).map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
    }
}

#[derive(Clone, Debug)]
pub enum Key {
    All,
    Flag(String, bool),
    Set(Set),
    ModSeq(u64),
    Larger(u64),
    Not(Box<Key>),
    Or(Box<Key>, Box<Key>),
    And(Box<Key>, Box<Key>),
}

impl Key {
    /// Whether a message number stands in it.
    pub fn counts_messages(&self) -> bool {
        match self {
            Key::Set(set) => !set.uid && !set.saved,
            Key::Not(key) => key.counts_messages(),
            Key::Or(one, other) | Key::And(one, other) => one.counts_messages() || other.counts_messages(),
            _ => false,
        }
    }

    /// The key with the sets that `meant` knows replaced by their UIDs; `None` when it does not know one.
    pub fn settled(&self, meant: &impl Fn(&Set) -> Option<BTreeSet<u32>>) -> Option<Key> {
        let inside = |key: &Key| Some(Box::new(key.settled(meant)?));
        Some(match self {
            Key::Set(set) if set.saved || !set.uid => Key::Set(Set::of_uids(&meant(set)?)),
            Key::Not(key) => Key::Not(inside(key)?),
            Key::Or(one, other) => Key::Or(inside(one)?, inside(other)?),
            Key::And(one, other) => Key::And(inside(one)?, inside(other)?),
            key => key.clone(),
        })
    }

    pub fn by_modseq(&self) -> bool {
        match self {
            Key::ModSeq(_) => true,
            Key::Not(key) => key.by_modseq(),
            Key::Or(one, other) | Key::And(one, other) => one.by_modseq() || other.by_modseq(),
            _ => false,
        }
    }

    pub fn text(&self) -> String {
        match self {
            Key::All => "ALL".to_owned(),
            Key::Flag(flag, set) => {
                let not = if *set { "" } else { "UN" };
                match flag.strip_prefix('\\') {
                    Some(system) => format!("{not}{}", system.to_ascii_uppercase()),
                    None => format!("{not}KEYWORD {flag}"),
                }
            }
            Key::Set(set) => format!("{}{}", if set.uid { "UID " } else { "" }, set.text()),
            Key::ModSeq(modseq) => format!("MODSEQ {modseq}"),
            Key::Larger(bytes) => format!("LARGER {bytes}"),
            Key::Not(key) => format!("NOT {}", key.text()),
            Key::Or(one, other) => format!("OR {} {}", one.text(), other.text()),
            Key::And(one, other) => format!("({} {})", one.text(), other.text()),
        }
    }
}

/// A part of a result (RFC 9394).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    pub from_end: bool,
    pub first: u32,
    pub last: u32,
}

impl Partial {
    pub fn of<T: Clone>(self, all: &[T]) -> Vec<T> {
        let (near, far) = (self.first.min(self.last) as usize - 1, self.first.max(self.last) as usize);
        let (near, far) = (near.min(all.len()), far.min(all.len()));
        match self.from_end {
            false => all[near..far].to_vec(),
            true => all[all.len() - far..all.len() - near].to_vec(),
        }
    }

    pub fn text(self) -> String {
        let minus = if self.from_end { "-" } else { "" };
        format!("{minus}{}:{minus}{}", self.first, self.last)
    }
}

/// What a SEARCH shall return; nothing of it: the old response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Returns {
    pub min: bool,
    pub max: bool,
    pub count: bool,
    pub all: bool,
    pub save: bool,
    pub update: bool,
    pub partial: Option<Partial>,
}

impl Returns {
    pub fn extended(&self) -> bool {
        self.tells() || self.save
    }

    /// Whether there is an ESEARCH at all.
    pub fn tells(&self) -> bool {
        self.min || self.max || self.count || self.all || self.update || self.partial.is_some()
    }

    /// What of the result is saved, and counts for MODSEQ (RFC 5182 section 2.4, RFC 4731 section 3.2, RFC 9394 section 3.2).
    pub fn meant<T: Clone + Ord>(&self, found: &[T]) -> BTreeSet<T> {
        if self.all || self.count || !(self.min || self.max || self.partial.is_some()) {
            return found.iter().cloned().collect();
        }
        let part = self.partial.map(|partial| partial.of(found)).unwrap_or_default();
        let ends = [found.first().filter(|_| self.min), found.last().filter(|_| self.max)];
        part.into_iter().chain(ends.into_iter().flatten().cloned()).collect()
    }

    fn text(&self) -> String {
        let names = [
            (self.min, "MIN"),
            (self.max, "MAX"),
            (self.count, "COUNT"),
            (self.all, "ALL"),
            (self.save, "SAVE"),
            (self.update, "UPDATE"),
        ];
        let mut names: Vec<String> =
            names.iter().filter(|(asked, _)| *asked).map(|(_, name)| (*name).to_owned()).collect();
        names.extend(self.partial.map(|partial| format!("PARTIAL {}", partial.text())));
        if names.is_empty() { String::new() } else { format!("RETURN ({}) ", names.join(" ")) }
    }
}

#[derive(Clone, Debug)]
pub enum Order {
    Select {
        mailbox: String,
        read_only: bool,
        condstore: bool,
        memory: Option<Box<Memory>>,
    },
    Close,
    Unselect,
    Noop,
    Check,
    Idle,
    Append {
        mailbox: String,
        flags: Flags,
        serial: u64,
    },
    Store {
        set: Set,
        change: Change,
        silent: bool,
        since: Option<u64>,
        flags: Flags,
    },
    Fetch {
        set: Set,
        items: Items,
        since: Option<u64>,
        vanished: bool,
        partial: Option<Partial>,
    },
    Search {
        uid: bool,
        key: Key,
        returns: Returns,
    },
    Replace {
        set: Set,
        mailbox: String,
        flags: Flags,
        serial: u64,
    },
    CancelUpdate(String),
    Notify(Wish),
    Transfer {
        set: Set,
        mailbox: String,
        remove: bool,
    },
    Expunge(Option<Set>),
    Create(String),
    Delete(String),
    Rename(String, String),
    Status(String),
    Enable(&'static str),
    /// No command: what is told between them (RFC 5465).
    Between,
}

/// Bytes of the message with this number: a size that few others have.
pub fn message(serial: u64) -> Vec<u8> {
    let mut text = format!("Subject: m{serial}.\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n");
    text.push_str(&"x".repeat((serial % 997) as usize));
    text.push_str("\r\n");
    text.into_bytes()
}

fn list(flags: &Flags) -> String {
    format!("({})", flags.iter().cloned().collect::<Vec<_>>().join(" "))
}

impl Order {
    /// Whether EXPUNGE and VANISHED may be told while it is carried out (RFC 9051 section 7.5.1, RFC 7162 section 3.2.10).
    pub fn allows_expunge(&self) -> bool {
        match self {
            Order::Fetch { set, .. } | Order::Store { set, .. } => set.uid,
            Order::Search { uid, .. } => *uid,
            _ => true,
        }
    }

    /// Whether it is about message numbers, which there are none of after UIDONLY (RFC 9586).
    pub fn counts_messages(&self) -> bool {
        match self {
            Order::Fetch { set, .. }
            | Order::Store { set, .. }
            | Order::Transfer { set, .. }
            | Order::Replace { set, .. } => !set.uid,
            Order::Search { uid, key, .. } => !uid || key.counts_messages(),
            Order::Select { memory: Some(memory), .. } => memory.says_uids && !memory.says_pairs.is_empty(),
            _ => false,
        }
    }

    /// What EXAMINE forbids.
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Order::Store { .. } | Order::Expunge(_) | Order::Transfer { remove: true, .. } | Order::Replace { .. }
        )
    }

    pub fn needs_mailbox(&self) -> bool {
        matches!(
            self,
            Order::Close
                | Order::Unselect
                | Order::Check
                | Order::Store { .. }
                | Order::Fetch { .. }
                | Order::Search { .. }
                | Order::Transfer { .. }
                | Order::Expunge(_)
                | Order::Replace { .. }
                | Order::CancelUpdate(_)
        )
    }

    /// Whether it makes the server count modseqs for this client (RFC 7162 section 3.1).
    pub fn enables_condstore(&self) -> bool {
        match self {
            Order::Select { condstore, memory, .. } => *condstore || memory.is_some(),
            Order::Store { since, .. } => since.is_some(),
            Order::Fetch { items, since, .. } => items.modseq || since.is_some(),
            Order::Search { key, .. } => key.by_modseq(),
            Order::Enable(what) => *what != "UIDONLY",
            _ => false,
        }
    }

    /// The set of messages that it is about.
    pub fn set(&self) -> Option<&Set> {
        match self {
            Order::Store { set, .. }
            | Order::Fetch { set, .. }
            | Order::Transfer { set, .. }
            | Order::Replace { set, .. } => Some(set),
            Order::Expunge(set) => set.as_ref(),
            _ => None,
        }
    }

    pub fn text(&self) -> String {
        let uid = |set: &Set| if set.uid { "UID " } else { "" };
        match self {
            Order::Select { mailbox, read_only, condstore, memory } => {
                let word = if *read_only { "EXAMINE" } else { "SELECT" };
                let parameter = match (memory, condstore) {
                    (Some(memory), _) => format!(" ({})", qresync(memory)),
                    (None, true) => " (CONDSTORE)".to_owned(),
                    (None, false) => String::new(),
                };
                format!("{word} {mailbox}{parameter}")
            }
            Order::Close => "CLOSE".to_owned(),
            Order::Unselect => "UNSELECT".to_owned(),
            Order::Noop => "NOOP".to_owned(),
            Order::Check => "CHECK".to_owned(),
            Order::Idle => "IDLE".to_owned(),
            Order::Append { mailbox, flags, serial } => {
                let message = String::from_utf8_lossy(&message(*serial)).into_owned();
                format!("APPEND {mailbox} {} {{{}+}}\r\n{message}", list(flags), message.len())
            }
            Order::Store { set, change, silent, since, flags } => {
                let since = since.map_or(String::new(), |since| format!("(UNCHANGEDSINCE {since}) "));
                let sign = match change {
                    Change::Add => "+",
                    Change::Remove => "-",
                    Change::Replace => "",
                };
                let silent = if *silent { ".SILENT" } else { "" };
                format!("{}STORE {} {since}{sign}FLAGS{silent} {}", uid(set), set.text(), list(flags))
            }
            Order::Fetch { set, items, since, vanished, partial } => {
                let since = match (since, vanished, partial) {
                    (Some(since), true, _) => format!(" (CHANGEDSINCE {since} VANISHED)"),
                    (Some(since), false, _) => format!(" (CHANGEDSINCE {since})"),
                    (None, _, Some(partial)) => format!(" (PARTIAL {})", partial.text()),
                    _ => String::new(),
                };
                format!("{}FETCH {} ({}){since}", uid(set), set.text(), items.text())
            }
            Order::Search { uid, key, returns } => {
                format!("{}SEARCH {}{}", if *uid { "UID " } else { "" }, returns.text(), key.text())
            }
            Order::Replace { set, mailbox, flags, serial } => {
                let message = String::from_utf8_lossy(&message(*serial)).into_owned();
                let (which, flags) = (set.text(), list(flags));
                format!("{}REPLACE {which} {mailbox} {flags} {{{}+}}\r\n{message}", uid(set), message.len())
            }
            Order::CancelUpdate(tag) => format!("CANCELUPDATE \"{tag}\""),
            Order::Notify(wish) => wish.text(),
            Order::Between => String::new(),
            Order::Transfer { set, mailbox, remove } => {
                format!("{}{} {} {mailbox}", uid(set), if *remove { "MOVE" } else { "COPY" }, set.text())
            }
            Order::Expunge(None) => "EXPUNGE".to_owned(),
            Order::Expunge(Some(set)) => format!("UID EXPUNGE {}", set.text()),
            Order::Create(name) => format!("CREATE {name}"),
            Order::Delete(name) => format!("DELETE {name}"),
            Order::Rename(from, to) => format!("RENAME {from} {to}"),
            Order::Status(name) => {
                format!("STATUS {name} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ)")
            }
            Order::Enable(what) => format!("ENABLE {what}"),
        }
    }
}

fn qresync(memory: &Memory) -> String {
    let mut text = format!("QRESYNC ({} {}", memory.uid_validity, memory.modseq);
    if memory.says_uids {
        let uids: Vec<_> = memory.messages.keys().map(u32::to_string).collect();
        let _ = write!(text, " {}", if uids.is_empty() { "1:4294967295".to_owned() } else { uids.join(",") });
        if !memory.says_pairs.is_empty() {
            let join = |of: fn(&(u32, u32)) -> u32| {
                memory.says_pairs.iter().map(|pair| of(pair).to_string()).collect::<Vec<_>>().join(",")
            };
            let _ = write!(text, " ({} {})", join(|pair| pair.0), join(|pair| pair.1));
        }
    }
    text + ")"
}
