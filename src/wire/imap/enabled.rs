//! What a client has switched on for the rest of its session.

use super::out::Dialect;

/// The answers of ENABLE (RFC 5161), and what counts as it. Nothing is ever switched off again but by UNAUTHENTICATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Enabled {
    /// A CONDSTORE enabling command was given (RFC 7162 section 3.1).
    pub condstore: bool,
    /// ENABLE QRESYNC.
    pub qresync: bool,
    /// ENABLE IMAP4rev2 (RFC 9051).
    pub rev2: bool,
    /// ENABLE UTF8=ACCEPT (RFC 6855).
    pub utf8: bool,
    /// ENABLE UIDONLY (RFC 9586).
    pub uid_only: bool,
}

impl Enabled {
    /// The dialect that follows from it; what else the client has chosen stays.
    pub fn dialect(&self, chosen: Dialect) -> Dialect {
        Dialect {
            utf8: self.rev2 || self.utf8,
            utf7_too: self.utf8 && !self.rev2,
            no_charset: self.utf8,
            nests_global: self.rev2,
            uid_only: self.uid_only,
            ..chosen
        }
    }
}
