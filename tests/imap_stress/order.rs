//! What a client says: commands as values, and their text.

use crate::response::Flags;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A set as it is written; `None` is `*`.
#[derive(Clone, Debug)]
pub struct Set {
    /// UIDs; else sequence numbers.
    pub uid: bool,
    pub ranges: Vec<(Option<u32>, Option<u32>)>,
}

impl Set {
    pub fn all(uid: bool) -> Set {
        Set { uid, ranges: vec![(Some(1), None)] }
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
            Key::Set(set) => !set.uid,
            Key::Not(key) => key.counts_messages(),
            Key::Or(one, other) | Key::And(one, other) => one.counts_messages() || other.counts_messages(),
            _ => false,
        }
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

#[derive(Clone, Debug)]
pub enum Order {
    Select { mailbox: String, read_only: bool, condstore: bool, memory: Option<Box<Memory>> },
    Close,
    Unselect,
    Noop,
    Check,
    Idle,
    Append { mailbox: String, flags: Flags, serial: u64 },
    Store { set: Set, change: Change, silent: bool, since: Option<u64>, flags: Flags },
    Fetch { set: Set, items: Items, since: Option<u64>, vanished: bool },
    Search { uid: bool, key: Key, extended: bool },
    Transfer { set: Set, mailbox: String, remove: bool },
    Expunge(Option<Set>),
    Create(String),
    Delete(String),
    Rename(String, String),
    Status(String),
    Enable(&'static str),
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
            Order::Fetch { set, .. } | Order::Store { set, .. } | Order::Transfer { set, .. } => !set.uid,
            Order::Search { uid, key, .. } => !uid || key.counts_messages(),
            Order::Select { memory: Some(memory), .. } => memory.says_uids && !memory.says_pairs.is_empty(),
            _ => false,
        }
    }

    /// What EXAMINE forbids.
    pub fn writes(&self) -> bool {
        matches!(self, Order::Store { .. } | Order::Expunge(_) | Order::Transfer { remove: true, .. })
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
            Order::Store { set, .. } | Order::Fetch { set, .. } | Order::Transfer { set, .. } => Some(set),
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
            Order::Fetch { set, items, since, vanished } => {
                let since = match (since, vanished) {
                    (Some(since), true) => format!(" (CHANGEDSINCE {since} VANISHED)"),
                    (Some(since), false) => format!(" (CHANGEDSINCE {since})"),
                    _ => String::new(),
                };
                let names = [
                    (items.uid, "UID"),
                    (items.flags, "FLAGS"),
                    (items.modseq, "MODSEQ"),
                    (items.bytes, "RFC822.SIZE"),
                    (items.subject, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"),
                    (items.body, "BODY[]"),
                ];
                let names: Vec<_> = names.iter().filter(|(asked, _)| *asked).map(|(_, name)| *name).collect();
                format!("{}FETCH {} ({}){since}", uid(set), set.text(), names.join(" "))
            }
            Order::Search { uid, key, extended } => {
                let returns = if *extended { "RETURN (MIN MAX COUNT ALL) " } else { "" };
                format!("{}SEARCH {returns}{}", if *uid { "UID " } else { "" }, key.text())
            }
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
