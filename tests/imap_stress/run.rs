//! One run: clients act in rounds, alone or all at once; after each round everything that can be compared is.

use crate::belief::Arrival;
use crate::choice::Choice;
use crate::client::Client;
use crate::doing::Doing;
use crate::exact;
use crate::imap_session::{Chance, Node};
use crate::order::Order;
use crate::truth::{Ledger, Truth, check_size};
use hauspost::mail::message::Uid;
use hauspost::store::{self, Op};
use smol::future::block_on;
use std::collections::BTreeSet;

/// Of the journal: small enough to go round often.
const RING_BYTES: u64 = 1 << 20;
/// Of what a session says while its client does not read.
const PIPES: [usize; 3] = [1 << 16, 700, 61];

struct Run {
    node: Node,
    chance: Chance,
    clients: Vec<Client>,
    ledger: Ledger,
    serial: u64,
    pipe_bytes: usize,
    /// UIDVALIDITY and UID of messages that clients were told are gone.
    gone: BTreeSet<(u32, u32, String)>,
    steps: u64,
}

/// Runs a seed for so many commands; returns how many there were.
pub fn run(seed: u64, steps: u64) -> Result<u64, String> {
    let mut chance = Chance::new(seed);
    let clients = (0..2 + chance.below(5)).map(|at| Client::new(char::from(b'A' + at as u8))).collect();
    let pipe_bytes = PIPES[chance.below(PIPES.len())];
    let node = Node::new(seed, RING_BYTES);
    let (ledger, gone) = (Ledger::new(), BTreeSet::new());
    let mut run = Run { node, chance, clients, ledger, serial: 0, pipe_bytes, gone, steps: 0 };
    if seed % 4 == 3 {
        run.fill_what_is_remembered()?;
    }
    while run.steps < steps {
        if let Err(why) = run.round() {
            return Err(run.report(&why));
        }
    }
    for at in 0..run.clients.len() {
        run.clients[at].drop_connection();
    }
    run.node.settle();
    run.node.context.store.close().map_err(|trouble| format!("closing: {trouble:?}"))?;
    Ok(run.steps)
}

impl Run {
    fn report(&self, why: &str) -> String {
        let mut text = format!("step {}: {why}", self.steps);
        for client in &self.clients {
            text.push_str(&format!("\n\n---- {}", client.name));
            client.transcript.iter().for_each(|line| text.push_str(&format!("\n{line}")));
        }
        text
    }

    /// So many messages come and go that the store no longer remembers all that went: who returns then is told by comparison.
    fn fill_what_is_remembered(&mut self) -> Result<(), String> {
        let store = self.node.context.store.clone();
        let apply = |op| block_on(store.apply(op)).map_err(|trouble| format!("{trouble:?}"));
        let id = self.node.read(|snapshot| snapshot.mailbox_named("INBOX"))?.ok_or("no INBOX")?.id;
        let mut intake = hauspost::serve::Intake::new(&store);
        block_on(intake.write(b"Subject: x\r\n\r\nx\r\n")).map_err(|trouble| format!("{trouble:?}"))?;
        let body = block_on(intake.finish()).map_err(|trouble| format!("{trouble:?}"))?;
        let now = self.node.net.clock().now();
        let target = store::Target { mailbox: id, flags: Default::default() };
        apply(Op::Deliver(store::Deliver { body, targets: vec![target], internal_date: now, now }))?;
        let mut uids = vec![Uid(1)];
        while uids.len() < hauspost::limits::EXPUNGED_PER_MAILBOX_MAX as usize {
            let copy = store::Copy { from: id, uids: uids.clone(), to: id, remove: false, now };
            apply(Op::Copy(copy))?;
            uids = self.node.read(move |snapshot| snapshot.uids_from(id, Uid(1)))?;
        }
        apply(Op::Expunge(store::Expunge { mailbox: id, which: store::Expungeable::These(uids) }))?;
        Ok(())
    }

    fn round(&mut self) -> Result<(), String> {
        for at in 0..self.clients.len() {
            if !self.clients[at].is_connected() {
                let puts_off = [0, 3, 10][self.chance.below(3)];
                self.clients[at].connect(&mut self.node, self.pipe_bytes, puts_off)?;
            }
        }
        match self.chance.below(40) {
            0 => self.lose_a_connection()?,
            1..=11 => self.crowd()?,
            _ => self.alone()?,
        }
        self.check_gone()
    }

    fn orders(&mut self, at: usize) -> Vec<Order> {
        let count = if self.chance.once_in(3) { 1 + self.chance.below(5) } else { 1 };
        let mut orders = Vec::new();
        for _ in 0..count {
            let mut choice = Choice { chance: &mut self.chance, serial: &mut self.serial };
            let order = choice.order(&self.clients[at], count == 1);
            self.clients[at].last = Some(order.clone());
            orders.push(order);
        }
        self.steps += count as u64;
        orders
    }

    /// One client acts and all is told; then what it believes is compared, and what those in IDLE believe.
    fn alone(&mut self) -> Result<(), String> {
        self.clients.iter_mut().for_each(|client| client.crowded = false);
        let at = self.chance.below(self.clients.len());
        if self.clients[at].idling {
            self.steps += 1;
            self.clients[at].end_idle()?;
            self.quiet(&[at])?;
            return self.compare(at, false);
        }
        let orders = self.orders(at);
        let (single, before) = (orders.len() == 1, Truth::read(&self.node)?);
        let believed = self.clients[at].selected.clone();
        let in_step = self.in_step(at, &before);
        self.clients[at].unasked = 0;
        self.clients[at].ask(orders)?;
        let done = self.quiet(&[at])?;
        let after = Truth::read(&self.node)?;
        if let ([done], true) = (done.as_slice(), single) {
            let round = exact::Round { before: &before, after: &after, believed: believed.as_ref(), in_step };
            round.check(done, &self.clients[at])?;
        }
        self.gone_of(at);
        if let Some(last) = done.last().filter(|last| last.word == "OK") {
            self.compare(at, !last.order.allows_expunge())?;
        }
        self.compare_told()
    }

    /// Whether this client has been told everything that is there.
    fn in_step(&self, at: usize, truth: &Truth) -> bool {
        let client = &self.clients[at];
        let Some(belief) = &client.selected else { return true };
        let Some(folder) = truth.folders.get(&belief.uid_validity) else { return false };
        !belief.blind
            && belief.modseq == folder.mailbox.highest_modseq.0
            && client.condstore
            && folder.compare(belief, client.condstore, false).is_ok()
            && belief.messages.iter().all(|message| message.uid.is_some() && message.flags.is_some())
    }

    /// Several act at once, and read when they like.
    fn crowd(&mut self) -> Result<(), String> {
        self.clients.iter_mut().for_each(|client| client.crowded = true);
        let mut actors: Vec<usize> = (0..self.clients.len()).filter(|_| !self.chance.once_in(3)).collect();
        for at in actors.clone() {
            for _ in 0..self.chance.below(6) {
                self.node.tick();
            }
            if self.clients[at].idling {
                self.steps += 1;
                self.clients[at].end_idle()?;
            } else {
                let orders = self.orders(at);
                self.clients[at].ask(orders)?;
            }
            if self.chance.once_in(3) {
                let reads = self.chance.below(self.clients.len());
                self.clients[reads].read()?;
            }
        }
        // Some do not read for a while.
        for _ in 0..self.chance.below(40) {
            self.node.tick();
            if self.chance.once_in(4)
                && let Some(at) = self.chance.pick(&actors)
            {
                self.clients[*at].read()?;
            }
        }
        self.quiet(&actors)?;
        (0..self.clients.len()).for_each(|at| self.gone_of(at));
        actors.retain(|_| self.chance.once_in(2));
        for at in actors {
            self.catch_up(at)?;
        }
        self.compare_told()
    }

    /// A client asks whether there is news, and nothing else goes on: then it knows all.
    fn catch_up(&mut self, at: usize) -> Result<(), String> {
        if self.clients[at].is_connected() && !self.clients[at].idling {
            self.steps += 1;
            self.clients[at].ask(vec![Order::Noop])?;
            self.quiet(&[at])?;
            self.compare(at, false)?;
        }
        Ok(())
    }

    fn lose_a_connection(&mut self) -> Result<(), String> {
        self.clients.iter_mut().for_each(|client| client.crowded = true);
        let at = self.chance.below(self.clients.len());
        if !self.clients[at].idling && self.chance.once_in(2) {
            let orders = self.orders(at);
            self.clients[at].ask(orders)?;
            for _ in 0..self.chance.below(30) {
                self.node.tick();
            }
            // What has come by then is known.
            self.clients[at].read()?;
            self.clients[at].listen()?;
            let done = std::mem::take(&mut self.clients[at].done);
            done.iter().try_for_each(|done| self.keep(done))?;
        }
        self.clients[at].drop_connection();
        self.quiet(&[])?;
        Ok(())
    }

    /// Runs until everything that was asked is answered and heard; hands on the ended commands of `actors`.
    fn quiet(&mut self, actors: &[usize]) -> Result<Vec<Doing>, String> {
        loop {
            self.node.settle();
            let mut any = false;
            for client in &mut self.clients {
                any |= client.read()?;
            }
            if !any {
                break;
            }
        }
        let mut all = Vec::new();
        for at in 0..self.clients.len() {
            self.clients[at].listen()?;
            let done = std::mem::take(&mut self.clients[at].done);
            done.iter().try_for_each(|done| self.keep(done))?;
            if actors.contains(&at) {
                all.extend(done);
            }
            if self.clients[at].bye {
                self.check_bye(at)?;
            } else if !self.clients[at].is_at_rest() {
                return Err(format!("{} has no answer", self.clients[at].name));
            }
            self.clients[at].count_between();
        }
        Ok(all)
    }

    /// A session ends by itself only when its mailbox is gone.
    fn check_bye(&mut self, at: usize) -> Result<(), String> {
        let truth = Truth::read(&self.node)?;
        let client = &mut self.clients[at];
        let validity = client.selected.as_ref().map(|belief| belief.uid_validity);
        client.drop_connection();
        match validity.is_some_and(|validity| truth.folders.contains_key(&validity)) {
            true => Err(format!("{} was sent away, and its mailbox is there", client.name)),
            false => Ok(()),
        }
    }

    /// Keeps what a command has told for ever: which message has which UID.
    fn keep(&mut self, done: &Doing) -> Result<(), String> {
        let note = |ledger: &mut Ledger, validity: u32, uid: u32, serial: u64| match ledger
            .insert((validity, uid), serial)
            .is_some_and(|before| before != serial)
        {
            true => Err(format!("UID {uid} was another message than {serial}")),
            false => Ok(()),
        };
        if let (Order::Append { serial, .. } | Order::Replace { serial, .. }, Some((validity, uid))) =
            (&done.order, done.appended)
        {
            note(&mut self.ledger, validity, uid, *serial)?;
        }
        if let (Some((validity, from, to)), Some(here)) = (&done.copied, done.uid_validity) {
            let all =
                |ranges: &[(u32, u32)]| ranges.iter().flat_map(|(first, last)| *first..=*last).collect::<Vec<_>>();
            let (from, to) = (all(from), all(to));
            if from.len() != to.len() || !to.is_sorted() {
                return Err(format!("COPYUID {from:?} {to:?}"));
            }
            for (from, to) in from.iter().zip(&to) {
                if let Some(serial) = self.ledger.get(&(here, *from)).copied() {
                    note(&mut self.ledger, *validity, *to, serial)?;
                }
            }
        }
        for (uid, serial) in &done.subjects {
            note(&mut self.ledger, done.uid_validity.unwrap_or(0), *uid, *serial)?;
        }
        Ok(())
    }

    fn gone_of(&mut self, at: usize) {
        let gone = std::mem::take(&mut self.clients[at].said_gone);
        self.gone.extend(gone);
    }

    fn check_gone(&mut self) -> Result<(), String> {
        if self.gone.is_empty() && !self.chance.once_in(50) {
            return Ok(());
        }
        let truth = Truth::read(&self.node)?;
        for (validity, uid, tag) in std::mem::take(&mut self.gone) {
            if truth.folders.get(&validity).is_some_and(|folder| uid == 0 || folder.has(uid)) {
                return Err(format!("UID {uid} was said or seemed to be gone by {tag}, and is there"));
            }
        }
        truth.folders.values().try_for_each(|folder| check_size(&self.ledger, folder))
    }

    fn compare(&self, at: usize, expunges_wait: bool) -> Result<(), String> {
        compare(&self.clients[at], &Truth::read(&self.node)?, expunges_wait)
    }

    /// Compares what those believe who are told everything at once.
    fn compare_told(&mut self) -> Result<(), String> {
        if !self.clients.iter().any(|client| client.is_told() || client.elsewhere.is_some()) {
            return Ok(());
        }
        let truth = Truth::read(&self.node)?;
        for client in &mut self.clients {
            if client.is_told() {
                compare(client, &truth, client.delays_expunges())?;
            }
            let selected = client.selected.as_ref().map(|belief| belief.uid_validity);
            let (name, condstore) = (client.name, client.condstore);
            if let Some(elsewhere) = &mut client.elsewhere {
                let compared = elsewhere.compare(&truth, selected, condstore);
                compared.map_err(|why| format!("{name} believes of other mailboxes what is not so: {why}"))?;
            }
        }
        Ok(())
    }
}

fn compare(client: &Client, truth: &Truth, expunges_wait: bool) -> Result<(), String> {
    let Some(belief) = &client.selected else { return Ok(()) };
    let Some(folder) = truth.folders.get(&belief.uid_validity) else {
        return Err(format!("{} was not told that its mailbox is gone", client.name));
    };
    let wrong = |why: String| format!("{} believes what is not so: {why}", client.name);
    folder.compare(belief, client.condstore, expunges_wait).map_err(wrong)?;
    client.kept.values().try_for_each(|kept| kept.compare(belief, folder)).map_err(wrong)?;
    if belief.messages.len() == folder.facts.len() && !belief.uid_only {
        let mut arrived = belief.messages.iter().zip(&folder.facts);
        let untold = arrived.find(|(message, fact)| {
            message.arrival == Arrival::Own && !client.own.contains(&(belief.uid_validity, fact.uid))
        });
        if let Some((_, fact)) = untold {
            return Err(format!("{} was not told what UID {} is", client.name, fact.uid));
        }
    }
    Ok(())
}
