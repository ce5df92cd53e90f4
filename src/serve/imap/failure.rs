//! Why a command did not succeed, and how that is said: the three kinds of trouble in IMAP's words.

use crate::store::Trouble;
use crate::wire::imap::{Code, Status};
use std::io;

/// See the file's head.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection is gone or too slow: nothing can be said any more.
    Lost(io::Error),
    /// *Theirs* (BAD) or *no* (NO).
    Refused(Status, Code<'static>, &'static str),
    /// What the store said; *no* or *ours*.
    Store(Trouble),
    /// The session must end.
    Bye(Code<'static>, &'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Lost(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        Failure::Store(trouble)
    }
}

/// A refusal with NO.
pub(super) fn no(code: Code<'static>, text: &'static str) -> Failure {
    Failure::Refused(Status::No, code, text)
}

/// A refusal with BAD.
pub(super) fn bad(text: &'static str) -> Failure {
    Failure::Refused(Status::Bad, Code::None, text)
}

/// The response code (RFC 5530) and the words for what the store said. Logs what is *ours*.
pub(super) fn words(trouble: &Trouble) -> (Code<'static>, &'static str) {
    match trouble {
        Trouble::NotFound => (Code::Nonexistent, "No such mailbox"),
        Trouble::Exists => (Code::AlreadyExists, "A mailbox of that name exists"),
        Trouble::Refused(why) => (Code::Cannot, why),
        Trouble::Full => (Code::OverQuota, "No room left on the disk of this server"),
        Trouble::Failed(cause) => {
            log::error!("event=imap-store-failed cause={cause:?}");
            (Code::Unavailable, "The server cannot read or write its store now; try again later")
        }
    }
}
