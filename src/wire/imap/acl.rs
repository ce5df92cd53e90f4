//! Access control lists (RFC 4314): what a client asks of them, and what it is told.

use super::mailbox::MailboxName;
use super::out::Out;
use super::response::{push, push_mailbox, push_string};
use super::rights::Rights;

/// A command about the rights on a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// What of it.
    pub asked: AclAsked,
}

/// What a command is about. Identifiers are as they were given; they can be prepared (RFC 4013) and are not empty then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AclAsked {
    /// SETACL (RFC 4314 section 3.1). DELETEACL (section 3.2) is the same with no rights.
    Set {
        /// Whose rights.
        identifier: String,
        /// How they change.
        change: RightsChange,
        /// Which.
        rights: Rights,
        /// It was DELETEACL.
        delete: bool,
    },
    /// GETACL (RFC 4314 section 3.3).
    Get,
    /// LISTRIGHTS (RFC 4314 section 3.4).
    List {
        /// Whose rights.
        identifier: String,
    },
    /// MYRIGHTS (RFC 4314 section 3.5).
    Mine,
}

/// How rights change (RFC 4314 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsChange {
    /// These instead of those that are there.
    Replace,
    /// `+`: these too.
    Add,
    /// `-`: not these.
    Remove,
}

/// `* ACL mailbox [identifier rights ...]` (RFC 4314 section 3.6).
pub fn acl(out: &mut Out, mailbox: &str, entries: &[(String, Rights)]) {
    push(out, "* ACL ");
    push_mailbox(out, mailbox);
    for (identifier, rights) in entries {
        out.push(b' ');
        push_string(out, identifier.as_bytes());
        out.push(b' ');
        push_rights(out, &rights.letters());
    }
    push(out, "\r\n");
}

/// `* LISTRIGHTS mailbox identifier required optional ...` (RFC 4314 section 3.7): rights that are always there, and those that can
/// be granted each for itself.
pub fn list_rights(out: &mut Out, mailbox: &str, identifier: &str, required: Rights, optional: Rights) {
    push(out, "* LISTRIGHTS ");
    push_mailbox(out, mailbox);
    out.push(b' ');
    push_string(out, identifier.as_bytes());
    out.push(b' ');
    push_rights(out, &required.letters());
    for letter in optional.letters().chars() {
        out.push(b' ');
        push(out, letter.encode_utf8(&mut [0; 4]));
    }
    push(out, "\r\n");
}

/// `* MYRIGHTS mailbox rights` (RFC 4314 section 3.8).
pub fn my_rights(out: &mut Out, mailbox: &str, rights: Rights) {
    push(out, "* MYRIGHTS ");
    push_mailbox(out, mailbox);
    out.push(b' ');
    push_rights(out, &rights.letters());
    push(out, "\r\n");
}

fn push_rights(out: &mut Vec<u8>, letters: &str) {
    push(out, if letters.is_empty() { "\"\"" } else { letters });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses() {
        let mut out = Out::default();
        acl(&mut out, "INBOX", &[("me@home.test".into(), Rights::ALL), ("a\"b".into(), Rights::LOOKING)]);
        acl(&mut out, "a b", &[]);
        list_rights(&mut out, "INBOX", "phone", Rights::NONE, Rights::REMOVING);
        list_rights(&mut out, "INBOX", "me", Rights::LOOKING, Rights::NONE);
        my_rights(&mut out, "INBOX", Rights::LOOKING);
        my_rights(&mut out, "INBOX", Rights::NONE);
        let told = String::from_utf8_lossy(&out).into_owned();
        let wanted = [
            "* ACL INBOX \"me@home.test\" lrswipkxteacd \"a\\\"b\" lr",
            "* ACL \"a b\"",
            "* LISTRIGHTS INBOX \"phone\" \"\" t e d",
            "* LISTRIGHTS INBOX \"me\" lr",
            "* MYRIGHTS INBOX lr",
            "* MYRIGHTS INBOX \"\"",
        ];
        assert_eq!(told.split_terminator("\r\n").collect::<Vec<_>>(), wanted);
    }
}
