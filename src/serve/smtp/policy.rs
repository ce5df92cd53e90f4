//! Who may send what to whom.
//!
//! Pure decisions on the configuration. What always holds: without a login, mail is taken for the owner's addresses and
//! for nobody else, so this is no open relay; with one, the owner sends under their own addresses only.

use crate::serve::Site;
use crate::wire::address::{Address, ForwardPath, ReversePath};
use crate::wire::smtp::{Reply, Role, replies};

/// MAIL: other servers may name any sender; the owner's devices the owner's addresses, and the null path for receipts
/// (RFC 8098 section 2.1 wants it there).
pub(super) fn may_send(site: &Site, role: Role, sender: &ReversePath) -> Result<(), Reply> {
    match (role, sender) {
        (Role::Mx, _) | (Role::Submission, ReversePath::Null) => Ok(()),
        (Role::Submission, ReversePath::Address(address)) if is_own(site, address) => Ok(()),
        (Role::Submission, ReversePath::Address(address)) => {
            let why = format!("{address} is not an address of this account; choose one that is in the mail program");
            Err(replies::NOT_YOUR_ADDRESS.saying(why))
        }
    }
}

/// RCPT: gives the address to put into the envelope.
pub(super) fn may_receive(site: &Site, role: Role, forward_path: ForwardPath) -> Result<Address, Reply> {
    let recipient = match forward_path {
        ForwardPath::Address(address) => address,
        ForwardPath::Postmaster => {
            let domain = site.domains.first().ok_or(replies::NO_SUCH_USER)?.clone();
            Address { local: "postmaster".into(), domain }
        }
    };
    if site.is_local_domain(&recipient.domain) {
        return if is_own(site, &recipient) { Ok(recipient) } else { Err(replies::NO_SUCH_USER) };
    }
    match role {
        Role::Submission => Ok(recipient),
        Role::Mx => Err(replies::RELAYING_DENIED),
    }
}

/// Whether an address means the owner, with or without a plus tag.
pub(super) fn is_own(site: &Site, address: &Address) -> bool {
    site.local_recipient(address).is_some()
}
