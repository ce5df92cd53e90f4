//! Recipients here: the owner, for whom mail was held until now.
//!
//! Receives an entry that is due; places its message into mailboxes, makes entries for those to whom addresses here send it on,
//! and settles all of that in one Op: whatever is cut, nobody gets it twice and nothing is lost. Which mailboxes and whom
//! is what the address book says now, not what it said when the message was accepted.

use super::Relay;
use crate::mail::addressbook::Refusal;
use crate::mail::bounce::Reason;
use crate::mail::retry::age;
use crate::mail::route::Blocked;
use crate::serve::Site;
use crate::serve::notice::{Subject, write_notice};
use crate::serve::smtp::release;
use crate::store::{Op, Outcome, QueueEntry, QueueRecipient, Recipient, Settle, Trouble};
use crate::wire::address::Address;
use crate::wire::smtp::Envelope;
use crate::wire::smtp::client::{Answer, Status};

/// What became of the recipients here, by their indices in the entry.
#[derive(Default)]
pub(super) struct Filed {
    /// They have it, and that is settled.
    pub done: Vec<usize>,
    /// They do not.
    pub blocked: Vec<(usize, Blocked)>,
}

impl Filed {
    /// Whether the recipient is one of those here.
    pub fn has(&self, recipient: usize) -> bool {
        self.done.contains(&recipient) || self.blocked.iter().any(|(at, _)| *at == recipient)
    }
}

/// Delivers an entry to its recipients here.
pub(super) async fn file(relay: &Relay, site: &Site, entry: &QueueEntry) -> Filed {
    let is_here = |address: &Address| site.book.has_domain(&address.domain) && site.book.gateway(address).is_none();
    let all = entry.recipients.iter().enumerate();
    let here: Vec<(usize, &QueueRecipient)> = all.filter(|(_, recipient)| is_here(&recipient.address)).collect();
    if here.is_empty() {
        return Filed::default();
    }
    let refused = match settle(relay, site, entry, &here).await {
        Ok(refused) => refused,
        Err(trouble) => {
            log::error!("event=not-filed queue={} trouble={trouble:?}", entry.id.0);
            let later = || Blocked::Later(Reason::Happened("it could not be written into the mailbox here".to_owned()));
            return Filed { done: Vec::new(), blocked: here.iter().map(|(at, _)| (*at, later())).collect() };
        }
    };
    let mut filed = Filed::default();
    let age = age(entry.queued, relay.context.net.clock().now(), relay.now());
    for (at, recipient) in here {
        let address = &recipient.address;
        match refused.iter().find(|(refused, _)| refused.same_as(address)) {
            Some((_, refusal)) => filed.blocked.push((at, Blocked::Never(answer(address, *refusal)))),
            None => {
                let (queue, to) = (entry.id.0, address.to_string());
                log::info!("event=delivered queue={queue} to={to:?} host=- delay_ms={}", age.as_millis());
                filed.done.push(at);
            }
        }
    }
    filed
}

/// Returns those who are not here any more. Without anybody who is, nothing is settled.
async fn settle(
    relay: &Relay,
    site: &Site,
    entry: &QueueEntry,
    here: &[(usize, &QueueRecipient)],
) -> Result<Vec<(Address, Refusal)>, Trouble> {
    let recipient = |recipient: &QueueRecipient| Recipient {
        address: recipient.address.clone(),
        parameters: recipient.parameters.clone(),
    };
    let envelope = Envelope {
        reverse_path: entry.reverse_path.clone(),
        declared_bytes: None,
        parameters: entry.parameters.clone(),
        recipients: here.iter().map(|(_, one)| recipient(one)).collect(),
    };
    let released = release(&relay.context, site, &envelope, &entry.signatures).await?;
    let has_it = |address: &Address| !released.refused.iter().any(|(refused, _)| refused.same_as(address));
    let addresses = here.iter().map(|(_, one)| one.address.clone()).filter(has_it);
    let outcomes: Vec<(Address, Outcome)> = addresses.map(|address| (address, Outcome::Delivered)).collect();
    if outcomes.is_empty() {
        return Ok(released.refused);
    }
    let now = relay.now();
    let notice = write_notice(&relay.context, site, &Subject::of(entry), &released.news, now).await?;
    let settle = Settle {
        entry: entry.id,
        outcomes,
        next_due: entry.due,
        file: released.file,
        forward: released.forward,
        notice,
        delay_told: false,
        now,
    };
    relay.context.store.apply(Op::Settle(settle)).await?;
    Ok(released.refused)
}

fn answer(address: &Address, refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Expired => Answer::ours(550, Status(5, 1, 6), format!("the address {address} is not used any more")),
        Refusal::Unknown | Refusal::Elsewhere => {
            Answer::ours(550, Status(5, 1, 1), format!("there is no address {address} here any more"))
        }
    }
}
