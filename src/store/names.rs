//! Names of mailboxes that were stored before names were normalised: brought into Normalization Form C when the store opens.
//!
//! Whoever names a mailbox names it in that form (RFC 9051 section 5.1, [`normalized`]); one that is kept in another is listed and
//! never found. Each is renamed by an Op of its own, so that a crash in between leaves some for the next start. What must always
//! hold: no mailbox is lost or merged with another; where the new name is taken, a number behind it makes it free.

use super::{Op, Store, Trouble};
use crate::wire::imap::mailbox::normalized;
use smol::future::block_on;

/// Numbers that are tried behind a name that is taken.
const TRIES_MAX: u32 = 10;

impl Store {
    /// Blocking; reads the list of mailboxes once when there is nothing to do. What cannot be renamed stays as it is, and the log
    /// says so.
    pub(super) fn normalize_names(&self) {
        // Those above first: what lies below goes along.
        while let Some(name) = self.first_not_normalized() {
            if let Err(trouble) = self.normalize_name(&name) {
                log::error!("event=name-not-normalized trouble={trouble:?}");
                return;
            }
        }
    }

    fn first_not_normalized(&self) -> Option<String> {
        let names = block_on(self.read(|snapshot| snapshot.mailboxes())).unwrap_or_else(|trouble| {
            log::error!("event=names-unreadable trouble={trouble:?}");
            Vec::new()
        });
        let names = names.into_iter().map(|mailbox| mailbox.name);
        names.filter(|name| normalized(name) != name.as_str()).min_by_key(|name| name.matches('/').count())
    }

    fn normalize_name(&self, name: &str) -> Result<(), Trouble> {
        let normal = normalized(name);
        for number in 1..=TRIES_MAX {
            let to = if number == 1 { normal.to_string() } else { format!("{normal} {number}") };
            match block_on(self.apply(Op::RenameMailbox { from: name.to_owned(), to })) {
                Err(Trouble::Exists) => {}
                done => return done.map(drop),
            }
        }
        Err(Trouble::Exists)
    }
}
