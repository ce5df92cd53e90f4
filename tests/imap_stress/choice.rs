//! What a client says next: by chance, and with a liking for what makes trouble.

use crate::belief::Belief;
use crate::client::Client;
use crate::imap_session::Chance;
use crate::order::{Change, Items, Key, Memory, Order, Partial, Returns, Set};
use crate::response::Flags;
use crate::watch::{OthersWish, SelectedWish, Wish};

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
            _ => self.on_list(client, comes_alone),
        }
    }

    fn on_list(&mut self, client: &Client, comes_alone: bool) -> Order {
        match self.chance.below(26) {
            0 => Order::Create(self.mailbox()),
            1 if self.chance.once_in(2) => Order::Delete(self.mailbox()),
            2 if self.chance.once_in(2) => Order::Rename(self.mailbox(), self.mailbox()),
            // News from before it is read would come in the old way.
            3..=5 if client.must_name_uids() => Order::Noop,
            3 | 4 if !client.qresync => Order::Enable("QRESYNC"),
            5 if !client.condstore => Order::Enable("CONDSTORE"),
            5 if !client.uid_only && self.chance.once_in(3) => Order::Enable("UIDONLY"),
            6 | 7 if client.condstore => Order::Status(self.mailbox()),
            8..=11 => self.append(None),
            12 => Order::Noop,
            13 | 14 if comes_alone => Order::Notify(self.wish()),
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
        if let Some(order) = self.onward(client, belief) {
            return order;
        }
        match self.chance.below(100) {
            0..=13 => self.look(client, belief),
            14..=23 => self.fetch(client, belief),
            24..=40 => self.store(client, belief, is_large),
            41 if self.chance.once_in(2) => self.cancel(client),
            41..=43 => self.replace(client, belief),
            44..=48 => self.search(client, belief),
            49..=54 if !is_large => {
                Order::Transfer { set: self.set(client, belief), mailbox: self.mailbox(), remove: false }
            }
            49..=58 => Order::Transfer { set: self.set(client, belief), mailbox: self.mailbox(), remove: true },
            59..=65 => Order::Expunge(None),
            66..=68 => Order::Expunge(Some(self.uid_set(client, belief))),
            69..=76 if !is_large => self.append(None),
            77..=80 if !is_large => self.append(Some(&belief.mailbox)),
            69..=84 => Order::Noop,
            85 => Order::Check,
            86 => Order::Close,
            87 => Order::Unselect,
            88..=90 if comes_alone => Order::Idle,
            _ => self.on_list(client, comes_alone),
        }
    }

    /// What NOTIFY asks for.
    fn wish(&mut self) -> Wish {
        if self.chance.once_in(6) {
            return Wish::default();
        }
        let fetch = match self.chance.once_in(2) {
            true => {
                let mut any = || self.chance.once_in(2);
                let items = Items { uid: any(), flags: any(), bytes: any(), subject: any(), ..Items::default() };
                Some(Items { uid: true, modseq: any() && any(), ..items })
            }
            false => None,
        };
        let selected = SelectedWish { delayed: self.chance.once_in(3), flags: !self.chance.once_in(4), fetch };
        let below = self.chance.once_in(3).then(|| "Alpha".to_owned());
        let others = OthersWish { below, flags: !self.chance.once_in(3) };
        let selected = Some(selected).filter(|_| !self.chance.once_in(5));
        let others = Some(others).filter(|_| selected.is_none() || !self.chance.once_in(3));
        Wish { status: self.chance.once_in(2), selected, others }
    }

    fn search(&mut self, client: &Client, belief: &Belief) -> Order {
        let uid = self.chance.once_in(2) || belief.uid_only || client.must_name_uids();
        let key = self.key(client, belief, 2);
        let mut any = || self.chance.once_in(2);
        if any() {
            return Order::Search { uid, key, returns: Returns::default() };
        }
        let mut returns =
            Returns { min: any(), max: any(), count: any(), all: any(), save: any(), ..Returns::default() };
        returns.update = any() && any();
        // Then the result is known.
        returns.all |= (returns.update || returns.save) && any();
        if !returns.all && any() {
            returns.partial = Some(self.partial());
        }
        if !returns.extended() {
            returns.count = true;
        }
        Order::Search { uid, key, returns }
    }

    fn partial(&mut self) -> Partial {
        let mut end = || 1 + self.chance.below(12) as u32;
        let (first, last) = (end(), end());
        Partial { from_end: self.chance.once_in(2), first, last }
    }

    fn replace(&mut self, client: &Client, belief: &Belief) -> Order {
        *self.serial += 1;
        let known: Vec<u32> = belief.messages.iter().filter_map(|message| message.uid).collect();
        let uid = self.chance.once_in(2) || belief.uid_only || client.must_name_uids() || belief.len() == 0;
        let number = match (uid, self.chance.once_in(20)) {
            (true, true) => 1 + self.chance.below(500) as u32,
            (true, false) => self.chance.pick(&known).copied().unwrap_or(1),
            (false, odd) => 1 + self.chance.below(belief.len() as usize + usize::from(odd)) as u32,
        };
        let mailbox = if self.chance.once_in(3) { self.mailbox() } else { belief.mailbox.clone() };
        let set = Set::new(uid, vec![(Some(number), Some(number))]);
        Order::Replace { set, mailbox, flags: self.flags(), serial: *self.serial }
    }

    fn cancel(&mut self, client: &Client) -> Order {
        let tags: Vec<&String> = client.kept.keys().collect();
        Order::CancelUpdate(self.chance.pick(&tags).map_or_else(|| "nobody".to_owned(), |tag| (*tag).clone()))
    }

    /// Learns what is not known yet.
    fn look(&mut self, client: &Client, belief: &Belief) -> Order {
        let uid = self.chance.once_in(2) || belief.uid_only || client.must_name_uids();
        let known = belief.messages.iter().take_while(|message| message.uid.is_some()).last().and_then(|last| last.uid);
        let first = if self.chance.once_in(3) { 1 } else { known.map_or(1, |last| last + 1) };
        let set = if uid { Set::new(uid, vec![(Some(first), None)]) } else { Set::all(uid) };
        let modseq = client.condstore && !self.chance.once_in(4) || self.chance.once_in(20);
        let items = Items { uid: true, flags: true, modseq, bytes: self.chance.once_in(2), ..Items::default() };
        Order::Fetch { set, items, since: None, vanished: false, partial: None }
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
        let mut set = self.set(client, belief);
        if self.chance.once_in(3) && belief.len() > 0 {
            let number = 1 + self.chance.below(belief.len() as usize);
            let uid = belief.messages.get(number - 1).and_then(|message| message.uid);
            let number = if set.uid { uid } else { Some(number as u32) };
            if number.is_some() {
                set = Set::new(set.uid, vec![(number, number)]);
            }
        }
        let vanished = since.is_some() && set.uid && client.qresync && self.chance.once_in(2);
        let partial = (set.uid && since.is_none() && self.chance.once_in(4)).then(|| self.partial());
        Order::Fetch { set, items, since, vanished, partial }
    }

    /// Goes on from one message that was fetched by itself to the next, as programs do that fetch a mailbox so.
    fn onward(&mut self, client: &Client, belief: &Belief) -> Option<Order> {
        let Some(Order::Fetch { set, items, since: None, vanished: false, partial: None }) = &client.last else {
            return None;
        };
        let [(Some(last), Some(end))] = set.ranges[..] else { return None };
        if last != end || self.chance.once_in(4) || !set.uid && (belief.uid_only || client.must_name_uids()) {
            return None;
        }
        let next = match set.uid {
            true => belief.messages.iter().filter_map(|message| message.uid).find(|uid| *uid > last),
            false => Some(last + 1).filter(|next| *next <= belief.len()),
        };
        let set = Set::new(set.uid, vec![(Some(next?), next)]);
        Some(Order::Fetch { set, items: *items, since: None, vanished: false, partial: None })
    }

    fn store(&mut self, client: &Client, belief: &Belief, is_large: bool) -> Order {
        let change =
            *self.chance.pick(&[Change::Add, Change::Add, Change::Remove, Change::Replace]).unwrap_or(&Change::Add);
        let since = match self.chance.once_in(4) && client.condstore || self.chance.once_in(60) {
            true => Some(belief.modseq.saturating_sub(self.chance.below(6) as u64)),
            false => None,
        };
        let (mut flags, mut set) = (self.flags(), self.set(client, belief));
        if is_large && self.chance.once_in(2) {
            (flags, set) = (
                Flags::from(["\\deleted".to_owned()]),
                Set::all(self.chance.once_in(2) || belief.uid_only || client.must_name_uids()),
            );
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

    fn set(&mut self, client: &Client, belief: &Belief) -> Set {
        let by_uid = self.chance.once_in(2) || belief.uid_only && !self.chance.once_in(30);
        if by_uid || client.must_name_uids() {
            return self.uid_set(client, belief);
        }
        if self.chance.once_in(8) {
            return Set::saved(false);
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
        Set::new(false, ranges)
    }

    fn uid_set(&mut self, client: &Client, belief: &Belief) -> Set {
        if client.saved.is_some() && self.chance.once_in(8) {
            return Set::saved(true);
        }
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
        Set::new(true, ranges)
    }

    fn key(&mut self, client: &Client, belief: &Belief, depth: usize) -> Key {
        let inner = |choice: &mut Self| Box::new(choice.key(client, belief, depth - 1));
        match self.chance.below(if depth > 0 { 10 } else { 6 }) {
            0 => Key::All,
            1 | 2 => {
                let names: &[&str] = if self.chance.once_in(3) { &KEYWORDS } else { &FLAGS };
                Key::Flag(self.chance.pick(names).unwrap_or(&"\\seen").to_string(), self.chance.once_in(2))
            }
            3 => Key::Set(self.set(client, belief)),
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
