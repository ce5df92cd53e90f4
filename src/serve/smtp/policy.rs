//! Who may send what to whom.
//!
//! Decisions on the configuration, the time and, about rewritten senders and servers inside, on what the store and those servers
//! say. What always holds: without a login, mail is taken for the addresses of this node and for nobody else, so this is no open
//! relay; with one, the owner sends under their own addresses only.

use super::delivery::{self, Failing};
use crate::mail::addressbook::Ways;
use crate::serve::{Context, Site};
use crate::wire::address::{Address, ForwardPath, ReversePath};
use crate::wire::smtp::{Reply, Role, replies};

/// MAIL: other servers may name any sender; the owner's devices the owner's addresses, and the null path for receipts
/// (RFC 8098 section 2.1 wants it there).
pub(super) fn may_send(site: &Site, role: Role, sender: &ReversePath) -> Result<(), Reply> {
    match (role, sender) {
        (Role::Mx, _) | (Role::Submission, ReversePath::Null) => Ok(()),
        (Role::Submission, ReversePath::Address(address)) if site.book.is_own(address) => Ok(()),
        (Role::Submission, ReversePath::Address(address)) => {
            let why = format!("{address} is not an address of this account; choose one that is in the mail program");
            Err(replies::NOT_YOUR_ADDRESS.saying(why))
        }
    }
}

/// RCPT: gives the address to put into the envelope. Senders that are not wanted are refused here, where it is known whether
/// they write to postmaster.
pub(super) async fn may_receive(
    context: &Context,
    site: &Site,
    role: Role,
    sender: &ReversePath,
    forward_path: ForwardPath,
) -> Result<Address, Reply> {
    let recipient = match forward_path {
        ForwardPath::Address(address) => address,
        ForwardPath::Postmaster => {
            let domain = site.domains.first().ok_or(replies::NO_SUCH_USER)?.clone();
            Address { local: "postmaster".into(), domain }
        }
    };
    if role == Role::Mx && site.book.is_blocked(sender, &recipient) {
        return Err(replies::SENDER_BLOCKED);
    }
    let mut ways = Ways::default();
    delivery::resolve(context, site, role, sender, &recipient, &mut ways).await.map_err(Failing::reply)?;
    for address in &ways.onward {
        if let Some(gateway) = site.book.gateway(address).filter(|gateway| gateway.verify) {
            match context.inquiries.ask(context, site, gateway, address).await {
                // What the owner sends can wait in the queue: nobody gets a bounce who has not written.
                Err(later) if role == Role::Submission && later.code < 500 => {}
                said => said?,
            }
        }
    }
    Ok(recipient)
}

/// Whether a server inside may have to be asked about the recipient, which can take a while.
pub(super) fn asks_inside(site: &Site, forward_path: &ForwardPath) -> bool {
    match forward_path {
        ForwardPath::Address(address) => site.book.gateway(address).is_some_and(|gateway| gateway.verify),
        ForwardPath::Postmaster => false,
    }
}
