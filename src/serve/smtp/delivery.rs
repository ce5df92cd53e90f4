//! What becomes of a message: the ways of its recipients, and the one Op that goes them all.
//!
//! Receives an envelope and a finished body; hands on an Op. One body, whatever the number of mailboxes, forwards and servers
//! inside; all of it durable, or nothing.

use super::filing::Filing;
use super::incoming::{distinct, reply_of};
use crate::mail::addressbook::{Place, Refusal, Ways};
use crate::mail::bounce::{How, Success, tells_success};
use crate::mail::dkim::Digest;
use crate::mail::message::{Flags, INBOX, Mailbox, MailboxId, SpecialUse};
use crate::mail::srs::{self, SrsTrouble};
use crate::serve::notice::{News, Original, Subject, write_notice};
use crate::serve::signing::sign;
use crate::serve::srs::read_srs;
use crate::serve::{Context, Site};
use crate::store::{Deliver, Done, Enqueue, NewBody, Op, Outgoing, Recipient, Store, Target, Trouble};
use crate::wire::address::{Address, Domain, ReversePath};
use crate::wire::date::Timestamp;
use crate::wire::smtp::{Envelope, Reply, Role, replies};
use std::time::Duration;

/// Why a recipient is refused.
pub(super) enum Failing {
    /// *No*.
    Refused(Reply),
    /// *Ours*.
    Store(Trouble),
}

impl Failing {
    pub(super) fn reply(self) -> Reply {
        match self {
            Failing::Refused(reply) => reply,
            Failing::Store(trouble) => reply_of(trouble),
        }
    }
}

impl From<Trouble> for Failing {
    fn from(trouble: Trouble) -> Failing {
        Failing::Store(trouble)
    }
}

/// Adds the ways of mail from a sender to a recipient.
pub(super) async fn resolve(
    context: &Context,
    site: &Site,
    role: Role,
    sender: &ReversePath,
    recipient: &Address,
    ways: &mut Ways,
) -> Result<(), Failing> {
    let now = context.net.clock().now();
    if site.book.has_domain(&recipient.domain) && srs::is_rewritten(&recipient.local) {
        match read_srs(context).await?.restore(&recipient.local, now) {
            // Only bounces come back this way; for anything else this would be a relay.
            Ok(_) if *sender != ReversePath::Null => return Err(Failing::Refused(replies::BOUNCES_ONLY)),
            Ok(original) => return resolve_here(site, Role::Submission, &original, now, ways),
            Err(SrsTrouble::Expired) => return Err(Failing::Refused(replies::RETURN_PATH_EXPIRED)),
            // A server inside may rewrite senders too.
            Err(SrsTrouble::Forged) if site.book.gateway(recipient).is_some() => {}
            Err(SrsTrouble::Forged) => return Err(Failing::Refused(replies::RETURN_PATH_FORGED)),
        }
    }
    resolve_here(site, role, recipient, now, ways)
}

fn resolve_here(site: &Site, role: Role, recipient: &Address, now: Timestamp, ways: &mut Ways) -> Result<(), Failing> {
    let refusal = match site.book.resolve(recipient, now, ways) {
        Ok(()) => return Ok(()),
        Err(Refusal::Elsewhere) if role == Role::Submission => {
            ways.add_onward(recipient);
            return Ok(());
        }
        Err(Refusal::Elsewhere) => replies::RELAYING_DENIED,
        Err(Refusal::Unknown) => replies::NO_SUCH_USER,
        Err(Refusal::Expired) => replies::ADDRESS_EXPIRED,
    };
    Err(Failing::Refused(refusal))
}

/// The recipients that a message names in Delivered-To. Not those of a server inside, which would take it for one that comes
/// back. When it is sent on, only those who send it on: who else has got it is nobody's business elsewhere.
pub(super) fn traced<'e>(site: &Site, envelope: &'e Envelope) -> Vec<&'e Address> {
    let mut traced: Vec<&Address> =
        distinct(&envelope.recipients).into_iter().map(|recipient| &recipient.address).collect();
    let returns = |address: &Address| srs::is_rewritten(&address.local);
    if traced.iter().any(|address| returns(address) || site.book.is_sent_on(address)) {
        traced.retain(|address| site.book.is_sent_on(address));
    }
    traced.retain(|address| site.book.gateway(address).is_none() && !returns(address));
    traced
}

/// A message that was taken in.
pub(super) struct Taken<'a> {
    pub body: NewBody,
    /// The owner's copy of what is sent.
    pub filing: Option<&'a Filing>,
    /// What is signed when it is sent.
    pub digest: Option<Digest>,
    /// Its header, where somebody may want to be told of its delivery.
    pub header: &'a [u8],
}

/// The one Op of a message.
pub(super) async fn make_op(
    context: &Context,
    site: &Site,
    role: Role,
    envelope: &Envelope,
    taken: Taken<'_>,
) -> Result<Op, Failing> {
    let Taken { body, filing, digest, header } = taken;
    let mut ways = Ways::default();
    let mut news = News::default();
    let now = context.net.clock().now();
    // What the owner sends can be taken back for a while.
    let undo = if role == Role::Submission { site.undo_send } else { Duration::ZERO };
    let not_before = envelope.parameters.hold.map_or(now, |hold| hold.release(now)).max(now.plus(undo));
    let waits = not_before > now;
    for recipient in distinct(&envelope.recipients) {
        let Recipient { address, parameters } = recipient;
        if waits && site.book.is_own(address) && !srs::is_rewritten(&address.local) {
            // Where it goes is asked again at its time, see [`release`].
            ways.add_onward(address);
            continue;
        }
        resolve(context, site, role, &envelope.reverse_path, address, &mut ways).await?;
        if tells_success(parameters.notify) {
            let mut own = Ways::default();
            resolve(context, site, role, &envelope.reverse_path, address, &mut own).await?;
            note_success(&mut news, recipient, &own);
        }
    }
    let mut copies = targets(&context.store, &ways.places).await?;
    let sent = filing.map(Filing::target);
    let mut outgoing = outgoing(context, site, envelope, ways, not_before).await?;
    if role == Role::Submission && !outgoing.is_empty() {
        let signatures = sign(context, site, digest.as_ref()).await;
        outgoing.iter_mut().for_each(|one| one.signatures.clone_from(&signatures));
    }
    let change = match outgoing.is_empty() {
        true => {
            copies.extend(sent);
            Op::Deliver(Deliver { body, targets: copies, internal_date: now, now })
        }
        false => Op::Enqueue(Enqueue { body, outgoing, copies, sent, now }),
    };
    let subject = Subject {
        reverse_path: &envelope.reverse_path,
        parameters: &envelope.parameters,
        queue: None,
        queued: now,
        original: Original::Header(header),
    };
    // Delivered here or sent on, and the sender wants to know.
    Ok(match write_notice(context, site, &subject, &news, now).await? {
        Some((notice, to)) => Op::Told { change: Box::new(change), notice, to, now },
        None => change,
    })
}

/// What becomes of mail that has waited in the queue for addresses here.
#[derive(Default)]
pub(in crate::serve) struct Released {
    /// The mailboxes it goes into.
    pub file: Vec<Target>,
    /// What is sent on.
    pub forward: Vec<Outgoing>,
    /// What the sender wants to know of that.
    pub news: News,
    /// The recipients who are not here any more.
    pub refused: Vec<(Address, Refusal)>,
}

/// Leads mail that has waited to its recipients, all of domains here and none inside. It goes the ways of the address book as
/// it is now, as it would have gone without waiting; like all that the owner sends it gets no Return-Path and no Delivered-To,
/// for the copy in Sent and what other servers get are the same bytes. `signatures`: those it has got.
pub(in crate::serve) async fn release(
    context: &Context,
    site: &Site,
    envelope: &Envelope,
    signatures: &[u8],
) -> Result<Released, Trouble> {
    let now = context.net.clock().now();
    let (mut ways, mut released) = (Ways::default(), Released::default());
    for recipient in distinct(&envelope.recipients) {
        let mut own = Ways::default();
        let gone = site
            .book
            .resolve(&recipient.address, now, &mut own)
            .and_then(|()| site.book.resolve(&recipient.address, now, &mut ways));
        match gone {
            Ok(()) if tells_success(recipient.parameters.notify) => note_success(&mut released.news, recipient, &own),
            Ok(()) => {}
            Err(refusal) => released.refused.push((recipient.address.clone(), refusal)),
        }
    }
    released.file = targets(&context.store, &ways.places).await?;
    released.forward = outgoing(context, site, envelope, ways, now).await?;
    released.forward.iter_mut().for_each(|one| one.signatures = signatures.to_vec());
    Ok(released)
}

/// RFC 3461 sections 5.2.3 and 5.2.7.3: a recipient who wanted it known has the message here, or it is sent on.
fn note_success(news: &mut News, recipient: &Recipient, own: &Ways) {
    let how = match (own.places.is_empty(), own.forwards.is_empty()) {
        (false, _) => How::Delivered,
        (true, false) => How::SentOn,
        // The relay will know.
        (true, true) => return,
    };
    let (recipient, original) = (recipient.address.clone(), recipient.parameters.original.clone());
    news.successes.push(Success { recipient, original, how });
}

/// The mailboxes of these places, each once.
async fn targets(store: &Store, places: &[Place]) -> Result<Vec<Target>, Trouble> {
    let mut targets: Vec<Target> = Vec::new();
    for place in places {
        let mailbox = find_place(store, place).await?;
        if !targets.iter().any(|target| target.mailbox == mailbox) {
            targets.push(Target { mailbox, flags: Flags::default() });
        }
    }
    Ok(targets)
}

/// What goes to other servers, by the sender that it has there.
async fn outgoing(
    context: &Context,
    site: &Site,
    envelope: &Envelope,
    ways: Ways,
    not_before: Timestamp,
) -> Result<Vec<Outgoing>, Trouble> {
    // What was said of a recipient holds for those who get their mail (RFC 3461 section 5.2.7.1).
    let parameters_of = |address: &Address| {
        let said = envelope.recipients.iter().find(|recipient| recipient.address.same_as(address));
        said.map(|recipient| recipient.parameters.clone()).unwrap_or_default()
    };
    let mut list: Vec<Outgoing> = Vec::new();
    let mut add = |reverse_path: ReversePath, recipient: Recipient| match list
        .iter_mut()
        .find(|outgoing| outgoing.reverse_path == reverse_path)
    {
        Some(outgoing) if outgoing.recipients.iter().any(|known| known.address.same_as(&recipient.address)) => {}
        Some(outgoing) => outgoing.recipients.push(recipient),
        None => {
            let (parameters, recipients) = (envelope.parameters.clone(), vec![recipient]);
            list.push(Outgoing { reverse_path, parameters, recipients, signatures: Vec::new(), not_before });
        }
    };
    for address in ways.onward {
        let parameters = parameters_of(&address);
        add(envelope.reverse_path.clone(), Recipient { address, parameters });
    }
    for (address, of) in ways.forwards {
        let mut parameters = parameters_of(&of);
        parameters.notify = parameters.notify.sent_on();
        add(rewrite(context, site, &envelope.reverse_path, &of.domain).await?, Recipient { address, parameters });
    }
    Ok(list)
}

/// The sender of a message that an address at `by` sends on. Our own senders and that of bounces stay as they are.
async fn rewrite(
    context: &Context,
    site: &Site,
    reverse_path: &ReversePath,
    by: &Domain,
) -> Result<ReversePath, Trouble> {
    let ReversePath::Address(sender) = reverse_path else { return Ok(ReversePath::Null) };
    if site.book.is_own_domain(&sender.domain) {
        return Ok(reverse_path.clone());
    }
    let rewritten = read_srs(context).await?.rewrite(sender, by, context.net.clock().now());
    // Without room for it, whoever wrote cannot be told of a failure; the owner can.
    let stand_in = || site.addresses.first().cloned().map_or(ReversePath::Null, ReversePath::Address);
    Ok(rewritten.map_or_else(stand_in, ReversePath::Address))
}

/// The mailbox of a place.
async fn find_place(store: &Store, place: &Place) -> Result<MailboxId, Trouble> {
    match place {
        Place::Inbox => Ok(INBOX),
        Place::Named(name) => {
            let wanted = name.clone();
            let find = move |mailboxes: Vec<Mailbox>| mailboxes.into_iter().find(|mailbox| mailbox.name == wanted);
            match find_or_make(store, name, find).await {
                // Refused before mail is lost over it.
                Ok(id) if is_outbox(store, id).await? => Ok(INBOX),
                // There can be no mailbox of that name; mail does not wait for the owner to see that.
                Err(Trouble::Refused(why)) => {
                    log::warn!("event=mailbox-not-made name={name:?} reason={why:?} then=INBOX");
                    Ok(INBOX)
                }
                found => found,
            }
        }
        Place::Tagged(tag) => {
            let tag = tag.to_lowercase();
            let fits = move |mailbox: &Mailbox| mailbox.special_use.is_none() && mailbox.name.to_lowercase() == tag;
            let found = store.read(move |snapshot| Ok(snapshot.mailboxes()?.into_iter().find(fits))).await?;
            Ok(found.map_or(INBOX, |mailbox| mailbox.id))
        }
    }
}

/// What waits to be sent is shown there, and nothing else can be.
async fn is_outbox(store: &Store, id: MailboxId) -> Result<bool, Trouble> {
    let mailbox = store.read(move |snapshot| snapshot.mailbox(id)).await?;
    Ok(mailbox.is_some_and(|mailbox| mailbox.special_use == Some(SpecialUse::Outbox)))
}

/// The mailbox that `find` chooses among all; without one a new mailbox of that name.
async fn find_or_make(
    store: &Store,
    name: &str,
    find: impl Fn(Vec<Mailbox>) -> Option<Mailbox> + Clone + Send + 'static,
) -> Result<MailboxId, Trouble> {
    let look = || {
        let find = find.clone();
        store.read(move |snapshot| Ok(find(snapshot.mailboxes()?).map(|mailbox| mailbox.id)))
    };
    if let Some(id) = look().await? {
        return Ok(id);
    }
    match store.apply(Op::CreateMailbox { name: name.to_owned(), special_use: None }).await {
        Ok(Done::Created(id)) => Ok(id),
        // Somebody else made it at the same moment.
        Ok(_) | Err(Trouble::Exists) => look().await?.ok_or(Trouble::NotFound),
        Err(trouble) => Err(trouble),
    }
}
