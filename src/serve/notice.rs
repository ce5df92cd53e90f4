//! Notices: what a sender is told of their message, and where that goes.
//!
//! Receives what became of recipients; hands on a finished message and its way, for the Op that makes it true. What a notice
//! says is written in `mail`.

use crate::limits::{BOUNCE_HEADER_BYTES, BOUNCE_MESSAGE_BYTES_MAX};
use crate::mail::bounce::{Bounce, Delay, Failure, Returned, Success, encode_bounce};
use crate::mail::message::{BodyId, Flags, INBOX, QueueId};
use crate::mail::srs;
use crate::serve::signing::sign_message;
use crate::serve::srs::read_srs;
use crate::serve::{Context, Intake, Site};
use crate::store::{NewBody, NoticeTo, Outgoing, QueueEntry, Store, Target, Trouble};
use crate::wire::address::{Address, ReversePath};
use crate::wire::date::Timestamp;
use crate::wire::smtp::{Body, MailParameters, Recipient};

/// What a notice is about.
pub(super) struct Subject<'a> {
    /// The sender of the message.
    pub reverse_path: &'a ReversePath,
    /// What else MAIL said.
    pub parameters: &'a MailParameters,
    /// Its entry in the queue, if it has one.
    pub queue: Option<QueueId>,
    /// When it was accepted.
    pub queued: Timestamp,
    /// What the notice returns of it.
    pub original: Original<'a>,
}

/// Where the message is.
pub(super) enum Original<'a> {
    /// At hand: its header.
    Header(&'a [u8]),
    /// In the store, this many bytes.
    Stored(BodyId, u64),
}

impl<'a> Subject<'a> {
    /// The message of a queue entry.
    pub fn of(entry: &'a QueueEntry) -> Subject<'a> {
        Subject {
            reverse_path: &entry.reverse_path,
            parameters: &entry.parameters,
            queue: Some(entry.id),
            queued: entry.queued,
            original: Original::Stored(entry.body, entry.bytes),
        }
    }
}

/// What somebody gets to know.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    /// Who did not get the message, and whose sender wants to know.
    pub failures: Vec<Failure>,
    /// Who has not got it yet, and whose sender wants to know.
    pub delays: Vec<Delay>,
    /// Who got it, and whose sender wants to know.
    pub successes: Vec<Success>,
}

impl News {
    /// Nothing that anybody wants to know.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.delays.is_empty() && self.successes.is_empty()
    }
}

/// The notice, when there is something to say and somebody to say it to: a message with the null reverse path is a notice
/// itself, and nobody waits for an answer to it (RFC 5321 section 6.1, RFC 3461 section 6.2).
pub(super) async fn write_notice(
    context: &Context,
    site: &Site,
    subject: &Subject<'_>,
    news: &News,
    now: Timestamp,
) -> Result<Option<(NewBody, NoticeTo)>, Trouble> {
    if news.is_empty() {
        return Ok(None);
    }
    let to = match subject.reverse_path {
        ReversePath::Address(address) => who_wrote(context, site, address, subject.queued).await?,
        ReversePath::Null => None,
    };
    let Some(to) = to else {
        let (queue, failures) = (subject.queue.map_or(0, |queue| queue.0), news.failures.len());
        log::warn!("event=discarded queue={queue} failures={failures} reason=\"no sender to tell\"");
        return Ok(None);
    };
    let full = !news.failures.is_empty() && returns_all(subject);
    let stored;
    let returned = match subject.original {
        Original::Header(header) => Returned::Header(header),
        Original::Stored(body, bytes) if full => {
            stored = read_beginning(&context.store, body, bytes).await;
            if stored.is_empty() { Returned::Header(&stored) } else { Returned::Full(&stored) }
        }
        Original::Stored(body, _) => {
            let bytes = u64::try_from(BOUNCE_HEADER_BYTES).unwrap_or(0);
            stored = read_beginning(&context.store, body, bytes).await;
            Returned::Header(&stored)
        }
    };
    let bounce = Bounce {
        hostname: &site.hostname,
        to: &to,
        queue: subject.queue,
        envelope_id: subject.parameters.envelope_id.as_deref(),
        hold: subject.parameters.hold,
        queued: subject.queued,
        now,
        random: context.net.random::<16>().map_err(|error| Trouble::Failed(error.to_string()))?,
        failures: &news.failures,
        delays: &news.delays,
        successes: &news.successes,
        returned,
    };
    let message = encode_bounce(&bounce);
    let mut intake = Intake::new(&context.store);
    intake.write(&message).await?;
    let body = intake.finish().await?;
    let mut notice_to = notice_to(site, subject, to, now);
    if let NoticeTo::Sender(outgoing) = &mut notice_to {
        outgoing.signatures = sign_message(context, site, &message).await;
    }
    Ok(Some((body, notice_to)))
}

/// RET=FULL (RFC 3461 section 4.3), for text of some size. A message that needs TLS does not come back whole (RFC 8689
/// section 5).
fn returns_all(subject: &Subject<'_>) -> bool {
    let parameters = subject.parameters;
    parameters.return_full == Some(true)
        && !parameters.require_tls
        && parameters.body != Body::BinaryMime
        && matches!(subject.original, Original::Stored(_, bytes) if bytes <= BOUNCE_MESSAGE_BYTES_MAX)
}

/// Who is told: the sender, or whom it stands for when we have rewritten it.
async fn who_wrote(
    context: &Context,
    site: &Site,
    sender: &Address,
    queued: Timestamp,
) -> Result<Option<Address>, Trouble> {
    if !srs::is_rewritten(&sender.local) || !site.book.has_domain(&sender.domain) {
        return Ok(Some(sender.clone()));
    }
    // A server inside may have rewritten it instead.
    let restored = read_srs(context).await?.restore(&sender.local, queued);
    Ok(restored.ok().or_else(|| site.book.gateway(sender).map(|_| sender.clone())))
}

/// The owner's notices go into INBOX. Those of others, whose mail is forwarded or handed on, are sent to them.
fn notice_to(site: &Site, subject: &Subject<'_>, to: Address, now: Timestamp) -> NoticeTo {
    if site.book.is_own_domain(&to.domain) || site.book.is_own(&to) {
        return NoticeTo::Owner(Target { mailbox: INBOX, flags: Flags::default() });
    }
    // A notice has the null reverse path (RFC 5321 section 4.5.5) and is 8-bit text; what needed TLS still does (RFC 8689
    // section 5).
    let parameters = MailParameters {
        body: Body::EightBitMime,
        require_tls: subject.parameters.require_tls,
        ..MailParameters::default()
    };
    let (reverse_path, recipients) = (ReversePath::Null, vec![Recipient::from(to)]);
    NoticeTo::Sender(Outgoing { reverse_path, parameters, recipients, signatures: Vec::new(), not_before: now })
}

/// The beginning of a message that a notice is about. Without it the notice says less; but it is sent, for a message whose body
/// is damaged must not vanish in silence.
pub(super) async fn read_beginning(store: &Store, body: BodyId, bytes: u64) -> Vec<u8> {
    store.read(move |snapshot| snapshot.body_range(body, 0..bytes)).await.unwrap_or_else(|trouble| {
        log::error!("event=body-unreadable body={} trouble={trouble:?}", body.0);
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round whose message could not be read asked for its header again and again: the owner was never told that the
    /// message was not delivered. When it could not be found, the entry was even taken for settled and tried at once again.
    #[test]
    fn a_notice_is_made_of_what_can_be_read() {
        let store = Store::in_memory().expect("a store");
        assert_eq!(smol::block_on(read_beginning(&store, BodyId(999), 100)), Vec::<u8>::new());
        store.close().expect("closed");
    }
}
