//! What the owner can do with the relay queue: look into it, and change what becomes of a message that waits.
//!
//! Receives the ids of entries; hands on entries, and what came of each change. The relay hears of changes by the bell of the queue.
//! It does not know who asks, and how it is said.

mod handling;

use crate::limits::{BOUNCE_HEADER_BYTES, QUEUE_CHANGES_AT_ONCE, QUEUE_PAGE_ENTRIES, QUEUE_REST_SECONDS_MAX};
use crate::mail::bounce::{Failure, Reason, tells_failure};
use crate::mail::message::QueueId;
use crate::mail::search::envelope_subject;
use crate::serve::Context;
use crate::serve::notice::{News, Subject, read_beginning, write_notice};
use crate::store::{Op, QueueEntry, Trouble};
use crate::wire::date::Timestamp;
pub use handling::{Handling, Kept, UnderWay};
use smol::LocalExecutor;
use std::time::Duration;

/// What can be done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Try it now.
    Retry,
    /// Try it now if an attempt at it has failed: what waits for its own time goes on waiting.
    RetryFailed,
    /// Do not try it until it is released.
    Hold,
    /// Let a held one go on, now.
    Release,
    /// Take it out, and tell nobody.
    Remove,
    /// Take it out, and tell whoever wrote that it was not delivered.
    Bounce,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is due now.
    Due,
    /// It is not held any more; it is tried when its own time comes.
    DueLater,
    /// It was not tried yet, and waits for its own time.
    NotYet,
    /// It is held; nothing goes out of it any more.
    Held,
    /// It is held; but it was being sent at this moment, and whom it goes to may still get it.
    HeldLate,
    /// It was to go, but is being sent at this moment; nothing was changed.
    UnderWay,
    /// It was held before.
    HeldBefore,
    /// It is not held, and was not before.
    NotHeld,
    /// It cannot be tried, because it is held.
    IsHeld,
    /// It has gone; nobody was told.
    Removed,
    /// It has gone, and whoever wrote gets to know.
    Bounced,
    /// It has gone. There was nobody to tell: it has no sender, or the sender did not want to know.
    BouncedUntold,
    /// There is no such entry (any more).
    NotThere,
}

/// An entry as a list shows it.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: QueueId,
    /// The entry, or why it cannot be read; `NotFound`: it has gone meanwhile.
    pub entry: Result<QueueEntry, Trouble>,
    /// Of its message, when that has one and can be read.
    pub subject: Option<String>,
}

/// Entries behind `after`, at most [`QUEUE_PAGE_ENTRIES`]; none: that was all.
pub async fn read_page(context: &Context, after: QueueId) -> Result<Vec<Listed>, Trouble> {
    let page = context.store.read(move |snapshot| {
        let list = |id| {
            let entry = snapshot.queue_entry(id).and_then(|entry| entry.ok_or(Trouble::NotFound));
            let index = entry.as_ref().ok().and_then(|entry| snapshot.body_index(entry.body).ok());
            Listed { id, entry, subject: index.and_then(|index| envelope_subject(&index.envelope)) }
        };
        Ok(snapshot.queue_ids(after, QUEUE_PAGE_ENTRIES)?.into_iter().map(list).collect())
    });
    page.await
}

/// One entry; `None`: there is none of that id.
pub async fn read_entry(context: &Context, id: QueueId) -> Result<Option<QueueEntry>, Trouble> {
    context.store.read(move |snapshot| snapshot.queue_entry(id)).await
}

/// The beginning of the message's header; empty when it cannot be read.
pub async fn read_header(context: &Context, entry: &QueueEntry) -> Vec<u8> {
    read_beginning(&context.store, entry.body, BOUNCE_HEADER_BYTES as u64).await
}

/// The ids behind `after`, at most [`QUEUE_PAGE_ENTRIES`].
pub async fn read_ids(context: &Context, after: QueueId) -> Result<Vec<QueueId>, Trouble> {
    context.store.read(move |snapshot| snapshot.queue_ids(after, QUEUE_PAGE_ENTRIES)).await
}

/// The time by which the queue lives, near enough to say how long something waits: see `mail::retry::QueueClock`.
pub async fn read_time(context: &Context) -> Result<Timestamp, Trouble> {
    let latest = context.store.read(|snapshot| snapshot.latest_time()).await?;
    Ok(latest.max(context.net.clock().now()))
}

/// Makes the same change to some entries; one result each, in order.
pub async fn change(context: &Context, ids: &[QueueId], what: Change) -> Vec<(QueueId, Result<Changed, Trouble>)> {
    let mut results = Vec::with_capacity(ids.len());
    for some in ids.chunks(QUEUE_CHANGES_AT_ONCE) {
        // At once, so that they share their flushes.
        let executor = LocalExecutor::new();
        let changes: Vec<_> = some.iter().map(|&id| executor.spawn(change_one(context, id, what))).collect();
        let done = executor.run(async {
            let mut done = Vec::with_capacity(changes.len());
            for change in changes {
                done.push(change.await);
            }
            done
        });
        results.extend(some.iter().copied().zip(done.await));
    }
    results
}

async fn change_one(context: &Context, id: QueueId, what: Change) -> Result<Changed, Trouble> {
    let changed = match what {
        Change::Retry => retry(context, id, false).await,
        Change::RetryFailed => retry(context, id, true).await,
        Change::Hold => hold(context, id).await,
        Change::Release => release(context, id).await,
        Change::Remove => remove(context, id).await,
        Change::Bounce => bounce(context, id).await,
    };
    match changed {
        // Settled by the relay meanwhile.
        Err(Trouble::NotFound) => Ok(Changed::NotThere),
        changed => {
            if let Ok(changed) = &changed {
                log::info!("event=queue-changed queue={} by=owner change={what:?} outcome={changed:?}", id.0);
            }
            changed
        }
    }
}

async fn entry(context: &Context, id: QueueId) -> Result<QueueEntry, Trouble> {
    read_entry(context, id).await?.ok_or(Trouble::NotFound)
}

/// Whether it was not tried because its sender, or the owner's own pause before sending, wants it later.
fn waits_for_its_time(entry: &QueueEntry, now: Timestamp) -> bool {
    entry.due > now && entry.recipients.iter().all(|recipient| recipient.attempts == 0)
}

async fn retry(context: &Context, id: QueueId, only_failed: bool) -> Result<Changed, Trouble> {
    let entry = entry(context, id).await?;
    if entry.held {
        return Ok(Changed::IsHeld);
    }
    if only_failed && waits_for_its_time(&entry, read_time(context).await?) {
        return Ok(Changed::NotYet);
    }
    let due = context.net.clock().now();
    context.handling.ask_now(id);
    context.store.apply(Op::Retry { entry: Some(id), due }).await?;
    Ok(Changed::Due)
}

async fn hold(context: &Context, id: QueueId) -> Result<Changed, Trouble> {
    let held = entry(context, id).await?.held;
    context.store.apply(Op::Hold { entry: id }).await?;
    Ok(match (held, context.handling.is_under_way(id)) {
        (_, true) => Changed::HeldLate,
        (true, false) => Changed::HeldBefore,
        (false, false) => Changed::Held,
    })
}

async fn release(context: &Context, id: QueueId) -> Result<Changed, Trouble> {
    let entry = entry(context, id).await?;
    if !entry.held {
        return Ok(Changed::NotHeld);
    }
    if waits_for_its_time(&entry, read_time(context).await?) {
        context.store.apply(Op::Release { entry: id, due: entry.due }).await?;
        return Ok(Changed::DueLater);
    }
    let due = context.net.clock().now();
    context.handling.ask_now(id);
    context.store.apply(Op::Release { entry: id, due }).await?;
    Ok(Changed::Due)
}

async fn remove(context: &Context, id: QueueId) -> Result<Changed, Trouble> {
    let Some(_kept) = stop(context, id).await else { return Ok(Changed::UnderWay) };
    let now = context.net.clock().now();
    context.store.apply(Op::RemoveQueueEntry { entry: id, notice: None, now }).await?;
    Ok(Changed::Removed)
}

/// Keeps the message from being sent and waits for what of it is being sent, so that what is said of it then is true. `None`: that
/// took too long.
async fn stop(context: &Context, id: QueueId) -> Option<Kept> {
    let kept = context.handling.keep(id);
    let patience = Duration::from_secs(QUEUE_REST_SECONDS_MAX);
    context.net.clock().within(patience, kept.rested()).await?;
    Some(kept)
}

async fn bounce(context: &Context, id: QueueId) -> Result<Changed, Trouble> {
    let Some(_kept) = stop(context, id).await else { return Ok(Changed::UnderWay) };
    let entry = entry(context, id).await?;
    let now = read_time(context).await?;
    let wanted = entry.recipients.iter().filter(|recipient| tells_failure(recipient.parameters.notify));
    let failures = wanted.map(|recipient| Failure {
        recipient: recipient.address.clone(),
        original: recipient.parameters.original.clone(),
        host: None,
        reason: Reason::Happened(given_up(&recipient.last_reply)),
        gave_up_after: None,
    });
    let news = News { failures: failures.collect(), ..News::default() };
    let notice = write_notice(context, &context.site(), &Subject::of(&entry), &news, now).await?;
    let changed = if notice.is_some() { Changed::Bounced } else { Changed::BouncedUntold };
    context.store.apply(Op::RemoveQueueEntry { entry: id, notice, now }).await?;
    Ok(changed)
}

/// Why a recipient does not get it, for whoever wrote.
fn given_up(last_reply: &str) -> String {
    let why = "whoever runs this mail server has given it up";
    match last_reply {
        "" => format!("{why} before it was tried"),
        reply => format!("{why} before its time; the last attempt ended with: {reply}"),
    }
}
