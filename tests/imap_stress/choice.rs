//! What a client says next: by chance, and with a liking for what makes trouble.

use crate::belief::Belief;
use crate::client::Client;
use crate::imap_session::Chance;
use crate::order::{Change, Items, Key, Memory, Order, Set};
use crate::response::Flags;

const MAILBOXES: [&str; 6] = ["INBOX", "Alpha", "Alpha/Beta", "Gamma", "Delta", "Epsilon"];
const FLAGS: [&str; 5] = ["\\seen", "\\flagged", "\\deleted", "\\answered", "\\draft"];
const KEYWORDS: [&str; 6] = ["$forwarded", "$junk", "one", "two", "three", "four"];
/// Messages of a mailbox beyond which more are taken away than come.
const MESSAGES_MANY: u32 = 40;

/// Chooses for one client.
pub struct Choice<'a> {
    pub chance: &'a mut Chance,
    pub serial: &'a mut u64,
}

impl Choice<'_> {
    pub fn order(&mut self, client: &Client, comes_alone: bool) -> Order {
        match &client.selected {
            Some(belief) if !self.chance.once_in(9) => self.on_messages(client, belief, comes_alone),
            _ => self.on_list(client),
        }
    }

    fn on_list(&mut self, client: &Client) -> Order {
        match self.chance.below(24) {
            0 => Order::Create(self.mailbox()),
            1 if self.chance.once_in(2) => Order::Delete(self.mailbox()),
            2 if self.chance.once_in(2) => Order::Rename(self.mailbox(), self.mailbox()),
            3 | 4 if !client.qresync => Order::Enable("QRESYNC"),
            5 if !client.condstore => Order::Enable("CONDSTORE"),
            5 if !client.uid_only && self.chance.once_in(3) => Order::Enable("UIDONLY"),
            6 | 7 if client.condstore => Order::Status(self.mailbox()),
            8..=11 => self.append(None),
            12 => Order::Noop,
            _ => self.select(client),
        }
    }

    fn mailbox(&mut self) -> String {
        // INBOX is where most meet.
        let at = self.chance.below(MAILBOXES.len() + 4);
        MAILBOXES.get(at).unwrap_or(&["INBOX", "Alpha"][at % 2]).to_string()
    }

    fn append(&mut self, into: Option<&str>) -> Order {
        *self.serial += 1;
        let mailbox = into.map_or_else(|| self.mailbox(), str::to_owned);
        Order::Append { mailbox, flags: self.flags(), serial: *self.serial }
    }

    fn select(&mut self, client: &Client) -> Order {
        let mailbox = self.mailbox();
        let condstore = self.chance.once_in(4);
        let memory = match client.qresync || self.chance.once_in(40) {
            true => self.memory(client, &mailbox).map(Box::new),
            false => None,
        };
        Order::Select { mailbox, read_only: self.chance.once_in(8), condstore, memory }
    }

    /// What the client remembers of this mailbox, or, seldom, of another one.
    fn memory(&mut self, client: &Client, mailbox: &str) -> Option<Memory> {
        let elsewhere = self.chance.once_in(30);
        let mut here = client.memories.values().filter(|(name, _)| name == mailbox || elsewhere);
        let mut memory = here.next_back().map(|(_, memory)| memory.clone())?;
        if self.chance.once_in(6) {
            return None;
        }
        memory.says_uids = self.chance.once_in(2) && !memory.messages.is_empty();
        if memory.says_uids && self.chance.once_in(2) {
            let every = 1 + self.chance.below(3);
            let pairs = memory.messages.keys().copied().zip(1u32..).map(|(uid, seq)| (seq, uid));
            memory.says_pairs = pairs.step_by(every).collect();
        }
        Some(memory)
    }

    fn on_messages(&mut self, client: &Client, belief: &Belief, comes_alone: bool) -> Order {
        let is_large = belief.len() > MESSAGES_MANY;
        match self.chance.below(100) {
            0..=13 => self.look(client, belief),
            14..=23 => self.fetch(client, belief),
            24..=43 => self.store(client, belief, is_large),
            44..=48 => Order::Search {
                uid: self.chance.once_in(2) || belief.uid_only,
                key: self.key(client, belief, 2),
                extended: self.chance.once_in(3),
            },
            49..=54 if !is_large => Order::Transfer { set: self.set(belief), mailbox: self.mailbox(), remove: false },
            49..=58 => Order::Transfer { set: self.set(belief), mailbox: self.mailbox(), remove: true },
            59..=65 => Order::Expunge(None),
            66..=68 => Order::Expunge(Some(Set { uid: true, ..self.uid_set(belief) })),
            69..=76 if !is_large => self.append(None),
            77..=80 if !is_large => self.append(Some(&belief.mailbox)),
            69..=84 => Order::Noop,
            85 => Order::Check,
            86 => Order::Close,
            87 => Order::Unselect,
            88..=90 if comes_alone => Order::Idle,
            _ => self.on_list(client),
        }
    }

    /// Learns what is not known yet.
    fn look(&mut self, client: &Client, belief: &Belief) -> Order {
        let uid = self.chance.once_in(2) || belief.uid_only;
        let known = belief.messages.iter().take_while(|message| message.uid.is_some()).last().and_then(|last| last.uid);
        let first = if self.chance.once_in(3) { 1 } else { known.map_or(1, |last| last + 1) };
        let set = if uid { Set { uid, ranges: vec![(Some(first), None)] } } else { Set::all(uid) };
        let modseq = client.condstore && !self.chance.once_in(4) || self.chance.once_in(20);
        let items = Items { uid: true, flags: true, modseq, bytes: self.chance.once_in(2), ..Items::default() };
        Order::Fetch { set, items, since: None, vanished: false }
    }

    fn fetch(&mut self, client: &Client, belief: &Belief) -> Order {
        let mut any = || self.chance.once_in(2);
        let mut items = Items { uid: any(), flags: any(), modseq: false, bytes: any(), subject: any(), body: false };
        items.body = !items.subject && self.chance.once_in(4);
        items.modseq = client.condstore && self.chance.once_in(2) || self.chance.once_in(40);
        if !(items.uid || items.flags || items.bytes || items.subject || items.body || items.modseq) {
            items.flags = true;
        }
        let since = match self.chance.once_in(3) && client.condstore || self.chance.once_in(40) {
            true => Some(belief.modseq.saturating_sub(self.chance.below(9) as u64).max(1)),
            false => None,
        };
        let set = self.set(belief);
        let vanished = since.is_some() && set.uid && client.qresync && self.chance.once_in(2);
        Order::Fetch { set, items, since, vanished }
    }

    fn store(&mut self, client: &Client, belief: &Belief, is_large: bool) -> Order {
        let change =
            *self.chance.pick(&[Change::Add, Change::Add, Change::Remove, Change::Replace]).unwrap_or(&Change::Add);
        let since = match self.chance.once_in(4) && client.condstore || self.chance.once_in(60) {
            true => Some(belief.modseq.saturating_sub(self.chance.below(6) as u64)),
            false => None,
        };
        let (mut flags, mut set) = (self.flags(), self.set(belief));
        if is_large && self.chance.once_in(2) {
            (flags, set) = (Flags::from(["\\deleted".to_owned()]), Set::all(self.chance.once_in(2) || belief.uid_only));
            return Order::Store { set, change: Change::Add, silent: self.chance.once_in(2), since: None, flags };
        }
        if flags.is_empty() {
            flags.insert("\\seen".to_owned());
        }
        Order::Store { set, change, silent: self.chance.once_in(2), since, flags }
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::new();
        for _ in 0..self.chance.below(4) {
            let names: &[&str] = if self.chance.once_in(3) { &KEYWORDS } else { &FLAGS };
            flags.extend(self.chance.pick(names).map(|name| name.to_string()));
        }
        flags
    }

    fn set(&mut self, belief: &Belief) -> Set {
        if self.chance.once_in(2) || belief.uid_only && !self.chance.once_in(30) {
            return self.uid_set(belief);
        }
        let len = belief.len() as usize;
        let mut number = || match self.chance.below(30) {
            0 => None,
            1 => Some(len as u32 + 1),
            _ => Some(1 + self.chance.below(len) as u32),
        };
        let mut ranges = vec![(number(), number())];
        if number() > number() {
            ranges.push((number(), number()));
        }
        if self.chance.once_in(2) {
            ranges.iter_mut().for_each(|(one, other)| *other = *one);
        }
        Set { uid: false, ranges }
    }

    fn uid_set(&mut self, belief: &Belief) -> Set {
        let known: Vec<u32> = belief.messages.iter().filter_map(|message| message.uid).collect();
        let mut number = || match self.chance.below(20) {
            0 => None,
            1 => Some(1 + self.chance.below(500) as u32),
            _ => Some(self.chance.pick(&known).copied().unwrap_or(1)),
        };
        let mut ranges = vec![(number(), number())];
        if number() > number() {
            ranges.push((number(), number()));
        }
        if self.chance.once_in(2) {
            ranges.iter_mut().for_each(|(one, other)| *other = *one);
        }
        Set { uid: true, ranges }
    }

    fn key(&mut self, client: &Client, belief: &Belief, depth: usize) -> Key {
        let inner = |choice: &mut Self| Box::new(choice.key(client, belief, depth - 1));
        match self.chance.below(if depth > 0 { 10 } else { 6 }) {
            0 => Key::All,
            1 | 2 => {
                let names: &[&str] = if self.chance.once_in(3) { &KEYWORDS } else { &FLAGS };
                Key::Flag(self.chance.pick(names).unwrap_or(&"\\seen").to_string(), self.chance.once_in(2))
            }
            3 => Key::Set(self.set(belief)),
            4 if client.condstore => Key::ModSeq(belief.modseq.saturating_sub(self.chance.below(12) as u64)),
            4 | 5 => Key::Larger(self.chance.below(1_100) as u64),
            6 | 7 => Key::Not(inner(self)),
            8 => {
                let one = inner(self);
                Key::Or(one, inner(self))
            }
            _ => {
                let one = inner(self);
                Key::And(one, inner(self))
            }
        }
    }
}
