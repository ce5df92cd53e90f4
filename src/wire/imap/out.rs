//! What is said to one client, and in which of the ways that its client may choose.

use super::language::Language;
use std::ops::{Deref, DerefMut};

/// How commands are read and responses are written from the moment a client has asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Dialect {
    /// Quoted strings and mailbox names are UTF-8 (ENABLE IMAP4rev2, RFC 9051 section 4.3; UTF8=ACCEPT, RFC 6855 section 3).
    pub utf8: bool,
    /// But a name of 7 bits that is valid modified UTF-7 is still taken for that, and a name that would be taken for another is written
    /// in it (UTF8=ACCEPT without IMAP4rev2).
    ///
    /// RFC 6855 section 6 has only servers of UTF8=ONLY refuse modified UTF-7, and Thunderbird for Android writes all names in it though
    /// it has enabled UTF8=ACCEPT.
    pub utf7_too: bool,
    /// SEARCH takes no CHARSET: strings are UTF-8 (UTF8=ACCEPT, RFC 6855 section 3).
    pub no_charset: bool,
    /// BODYSTRUCTURE tells what is inside a `message/global` (ENABLE IMAP4rev2, RFC 9051 section 7.5.2).
    pub nests_global: bool,
    /// Messages are named by UID alone (ENABLE UIDONLY, RFC 9586).
    pub uid_only: bool,
    /// In which texts for people are said (RFC 5255 section 3).
    pub language: Language,
}

/// Responses not sent yet, as bytes. Whatever writes a response that depends on the dialect takes one of these.
#[derive(Clone, Debug, Default)]
pub struct Out {
    bytes: Vec<u8>,
    /// How what comes next is written.
    pub dialect: Dialect,
}

impl Out {
    /// Nothing said yet, in this dialect.
    pub fn new(dialect: Dialect) -> Out {
        Out { bytes: Vec::new(), dialect }
    }

    /// What was said, taken out.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Gives an emptied buffer back, to be filled again.
    pub fn reuse(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.bytes = bytes;
    }
}

impl Deref for Out {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Out {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}
