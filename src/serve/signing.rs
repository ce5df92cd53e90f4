//! Signatures of what this node sends in the name of its owner, or in its own (RFC 6376).
//!
//! Receives what was hashed of a message; hands on the header fields that go ahead of it, one for each key. Mail of others that
//! is sent on is not signed: nobody here answers for it. A message that cannot be signed goes out all the same, and the log
//! says why.

use crate::limits::DKIM_SIGNATURES_BYTES_MAX;
use crate::mail::dkim::{Digest, Hasher};
use crate::serve::{Context, Site};
use crate::wire::address::Domain;
use ring::rand::SystemRandom;

/// The signatures of a whole message that the node writes itself (a notice, a report), for
/// [`crate::store::Outgoing::signatures`]: header fields with their line ends, at most [`DKIM_SIGNATURES_BYTES_MAX`]. Empty
/// without keys, or when its From is not of a domain of this node. A Return-Path on top does no harm.
pub async fn sign_message(context: &Context, site: &Site, message: &[u8]) -> Vec<u8> {
    if site.signing_keys.is_empty() {
        return Vec::new();
    }
    let mut hasher = Hasher::default();
    hasher.push(message);
    sign(context, site, hasher.finish().as_ref()).await
}

/// The signatures of a message that was hashed on its way in; `None`: it cannot be signed.
pub(super) async fn sign(context: &Context, site: &Site, digest: Option<&Digest>) -> Vec<u8> {
    let mut signatures = Vec::new();
    if site.signing_keys.is_empty() {
        return signatures;
    }
    let Some(digest) = digest else {
        log::warn!("event=unsigned reason=\"it has no author, or a header beyond all measure\"");
        return signatures;
    };
    let Some(domain) = signing_domain(site, digest.author()) else {
        log::warn!("event=unsigned author={:?} reason=\"not a domain of this node\"", digest.author().as_str());
        return signatures;
    };
    // A clock behind what the store has seen has lost the time: better none than a wrong one. What is signed in the future or
    // long ago is not believed by some.
    let now = context.net.clock().now();
    let latest = context.store.read(|snapshot| snapshot.latest_time()).await;
    let at = latest.is_ok_and(|latest| latest <= now).then_some(now);
    for key in site.signing_keys.iter() {
        match digest.sign(domain, key, at, &SystemRandom::new()) {
            Some(field) if signatures.len() + field.len() <= DKIM_SIGNATURES_BYTES_MAX => signatures.extend(field),
            Some(_) => log::warn!("event=unsigned selector={} reason=\"too many names to list\"", key.selector()),
            None => log::error!("event=unsigned selector={} reason=\"the key failed\"", key.selector()),
        }
    }
    signatures
}

/// Whose signature a message of this author gets: that of the domain itself; else of the one it lies below, which is as good to
/// DMARC (RFC 7489 section 3.1.1); else, for this machine, of the main domain.
fn signing_domain<'s>(site: &'s Site, author: &'s Domain) -> Option<&'s Domain> {
    if site.book.has_domain(author) {
        return Some(author);
    }
    let is_below =
        |domain: &Domain| author.as_str().strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'));
    let above = site.domains.iter().filter(|domain| is_below(domain)).max_by_key(|domain| domain.as_str().len());
    above.or_else(|| site.domains.first().filter(|_| *author == site.hostname))
}
