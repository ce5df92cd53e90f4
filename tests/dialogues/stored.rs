//! What a dialogue puts into the store beforehand, and what it finds there afterwards.

use super::remote::PORTS;
use super::script::unescape;
use super::world::{OWNER, Outcome, World};
use hauspost::mail::message::{Flags, INBOX, MailboxId, QueueId, SystemFlags, Uid};
use hauspost::serve::Intake;
use hauspost::serve::queue::{self, Change, Changed};
use hauspost::store::{Deliver, Done, Enqueue, Op, Outgoing, Store, Target, Trouble};
use hauspost::wire::address::{Address, Domain, ReversePath};
use hauspost::wire::smtp::MailParameters;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

impl World {
    pub fn preload(&mut self, mailbox: &str, message: &[u8], flags: &[String]) -> Outcome {
        let (context, now) = (self.context()?, self.net.clock().now());
        let flags = to_flags(flags)?;
        let work = async move {
            let store = &context.store;
            let target = mailbox_id(store, mailbox, true).await?;
            let mut intake = Intake::new(store);
            intake.write(message).await?;
            let body = intake.finish().await?;
            let targets = vec![Target { mailbox: target, flags }];
            store.apply(Op::Deliver(Deliver { body, targets, internal_date: now, now })).await
        };
        self.wait_for(work)?.map_err(|trouble| format!("delivering: {trouble:?}"))?;
        self.settle()
    }

    pub fn check_mailbox(&mut self, name: &str, check: &[String]) -> Outcome {
        self.settle()?;
        let store = self.context()?.store;
        let bodies = self.wait_for(read_bodies(&store, name))?.map_err(|trouble| format!("{name}: {trouble:?}"))?;
        let words: Vec<&str> = check.iter().map(String::as_str).collect();
        let holds = |text: &str| -> Result<bool, String> {
            let text = unescape(text)?;
            Ok(bodies.iter().any(|body| body.windows(text.len().max(1)).any(|window| window == text)))
        };
        let shown =
            || bodies.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect::<Vec<_>>().join("\n---\n");
        match words.as_slice() {
            ["has", count, "messages" | "message"] | ["has", count] => {
                let wanted: usize = count.parse().map_err(|_| "has N messages")?;
                match bodies.len() {
                    found if found == wanted => Ok(()),
                    found => Err(format!("expected: {wanted} messages\n  got:      {found}")),
                }
            }
            ["is", "empty"] if bodies.is_empty() => Ok(()),
            ["is", "empty"] => Err(format!("expected: none\n  got:      {} messages", bodies.len())),
            ["holds", text] if holds(text)? => Ok(()),
            ["holds", text] => Err(format!("expected: {text:?} in a message\n  got:      {}", shown())),
            ["lacks", text] if !holds(text)? => Ok(()),
            ["lacks", text] => Err(format!("expected: no message with {text:?}\n  got:      {}", shown())),
            _ => Err("has N messages | is empty | holds TEXT | lacks TEXT".to_owned()),
        }
    }

    pub fn check_queue(&mut self, words: &[String]) -> Outcome {
        self.settle()?;
        let store = self.context()?.store;
        let asked = store.read(|snapshot| snapshot.queue(QueueId(0), 10_000));
        let entries = self.wait_for(asked)?.map_err(|trouble| format!("queue: {trouble:?}"))?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let wanted = match words.as_slice() {
            ["is", "empty"] => 0,
            ["has", count, ..] => count.parse().map_err(|_| "queue has N")?,
            ["fills", "with", messages, "to", domains, "dead", "domains"] => {
                let number = |word: &str| word.parse().map_err(|_| "queue fills with N to N dead domains");
                return self.fill_queue(number(messages)?, number(domains)?);
            }
            ["retry", id] => return self.change_queue(Change::Retry, id),
            ["hold", id] => return self.change_queue(Change::Hold, id),
            ["release", id] => return self.change_queue(Change::Release, id),
            ["remove", id] => return self.change_queue(Change::Remove, id),
            ["bounce", id] => return self.change_queue(Change::Bounce, id),
            _ => {
                return Err(
                    "queue is empty | has N | fills with N to N dead domains | retry hold release remove bounce ID"
                        .to_owned(),
                );
            }
        };
        match entries.len() {
            found if found == wanted => Ok(()),
            found => Err(format!("expected: {wanted} in the queue\n  got:      {found}: {entries:?}")),
        }
    }

    /// Messages of the owner's to domains whose servers swallow packets, in turns.
    fn fill_queue(&mut self, messages: usize, domains: usize) -> Outcome {
        for at in 0..domains {
            let (domain, host) = (Domain::new(&format!("d{at}.example")), Domain::new(&format!("mx.d{at}.example")));
            let [high, low] = u16::try_from(at).map_err(|_| "too many domains")?.to_be_bytes();
            let address = IpAddr::from([100, 100, high, low]);
            self.twin.add_mx(&domain, 10, &host);
            self.twin.add_address(&host, address);
            PORTS.into_iter().for_each(|port| self.twin.swallow(SocketAddr::new(address, port)));
        }
        let (context, now) = (self.context()?, self.net.clock().now());
        let work = async move {
            let sender: Address = OWNER.parse().map_err(|_| Trouble::Refused("the owner"))?;
            for at in 0..messages {
                let mut intake = Intake::new(&context.store);
                intake.write(b"Subject: To nobody\r\n\r\nTo nobody.\r\n").await?;
                let body = intake.finish().await?;
                let address =
                    Address { local: "bob".to_owned(), domain: Domain::new(&format!("d{}.example", at % domains)) };
                let outgoing = Outgoing {
                    reverse_path: ReversePath::Address(sender.clone()),
                    parameters: MailParameters::default(),
                    recipients: vec![address.into()],
                    signatures: Vec::new(),
                    not_before: now,
                };
                let (outgoing, copies) = (vec![outgoing], Vec::new());
                context.store.apply(Op::Enqueue(Enqueue { body, outgoing, copies, sent: None, now })).await?;
            }
            Ok(())
        };
        self.wait_for(work)?.map_err(|trouble: Trouble| format!("filling the queue: {trouble:?}"))?;
        self.settle()
    }

    /// What the owner does by `hauspost queue`.
    fn change_queue(&mut self, what: Change, id: &str) -> Outcome {
        let id = QueueId(id.parse().map_err(|_| "a message is named by its number")?);
        let context = self.context()?;
        for (_, changed) in self.wait_for(queue::change(&context, &[id], what))? {
            match changed {
                Ok(Changed::NotThere | Changed::IsHeld | Changed::UnderWay) | Err(_) => {
                    return Err(format!("not done: {changed:?}"));
                }
                Ok(_) => {}
            }
        }
        self.settle()
    }
}

async fn mailbox_id(store: &Store, name: &str, make: bool) -> Result<MailboxId, Trouble> {
    if name == "INBOX" {
        return Ok(INBOX);
    }
    let asked = name.to_owned();
    let found = store.read(move |snapshot| snapshot.mailbox_named(&asked)).await?;
    match found {
        Some(mailbox) => Ok(mailbox.id),
        None if !make => Err(Trouble::NotFound),
        None => match store.apply(Op::CreateMailbox { name: name.to_owned(), special_use: None }).await? {
            Done::Created(id) => Ok(id),
            other => Err(Trouble::Failed(format!("{other:?}"))),
        },
    }
}

async fn read_bodies(store: &Store, name: &str) -> Result<Vec<Vec<u8>>, Trouble> {
    let mailbox = mailbox_id(store, name, false).await?;
    let read = store.read(move |snapshot| {
        let rows = snapshot.messages(mailbox, Uid(1), Uid(u32::MAX), 10_000)?;
        let read_body = |bytes: u64, body| -> Result<Vec<u8>, Trouble> {
            let mut whole = Vec::new();
            while (whole.len() as u64) < bytes {
                let from = whole.len() as u64;
                let piece = snapshot.body_range(body, from..(from + (64 << 10)).min(bytes))?;
                if piece.is_empty() {
                    return Err(Trouble::Failed("a body ends before its size".to_owned()));
                }
                whole.extend(piece);
            }
            Ok(whole)
        };
        rows.iter().map(|row| read_body(row.bytes, row.body)).collect()
    });
    read.await
}

fn to_flags(words: &[String]) -> Result<Flags, String> {
    let mut flags = Flags::default();
    for word in words {
        let system = match word.as_str() {
            "\\Seen" => SystemFlags::SEEN,
            "\\Answered" => SystemFlags::ANSWERED,
            "\\Flagged" => SystemFlags::FLAGGED,
            "\\Deleted" => SystemFlags::DELETED,
            "\\Draft" => SystemFlags::DRAFT,
            keyword if keyword.starts_with('$') => {
                flags.keywords.push(keyword.to_owned());
                continue;
            }
            _ => return Err(format!("no such flag: {word}")),
        };
        flags.system = flags.system.union(system);
    }
    Ok(flags)
}

/// A message in a file, its lines ended by CRLF whatever they end with there.
pub fn read_mail(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map(|text| to_crlf(&text)).map_err(|error| format!("{}: {error}", file.display()))
}

fn to_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 30);
    for (at, byte) in text.iter().enumerate() {
        if *byte == b'\n' && (at == 0 || text[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}
