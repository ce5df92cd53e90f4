//! Annotations of mailboxes and of the server (METADATA, RFC 5464): names of entries, what is asked of them, what is told.
//!
//! Always: an [`EntryName`] is well formed, and two spellings that mean one entry have the same [`EntryName::key`].

use super::mailbox::MailboxName;
use super::out::Out;
use super::response::{push, push_mailbox, push_string};
use crate::limits::METADATA_ENTRY_NAME_BYTES_MAX;

/// The special uses of a mailbox, as an entry of it (RFC 6154 section 4).
pub const SPECIAL_USE_ENTRY: &str = "/private/specialuse";
/// How to reach who runs the server (RFC 5464 section 6.2.2): the server's own, nobody sets it.
pub const ADMIN_ENTRY: &str = "/shared/admin";

/// Why the name of an entry was refused: a sentence for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEntry(pub &'static str);

/// The name of an entry: `/private` or `/shared` and what is below, printable ASCII without `*` and `%`, at most
/// [`METADATA_ENTRY_NAME_BYTES_MAX`] bytes (RFC 5464 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName {
    spelled: String,
    key: String,
}

impl EntryName {
    /// Checks a name. It may be too short to have a value, as what stands above others.
    pub fn new(name: &[u8]) -> Result<EntryName, BadEntry> {
        let name = std::str::from_utf8(name).map_err(|_| BadEntry("An entry name is not ASCII"))?;
        if name.len() > METADATA_ENTRY_NAME_BYTES_MAX {
            return Err(BadEntry("An entry name is too long"));
        }
        if name.bytes().any(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'*' | b'%')) {
            return Err(BadEntry("An entry name has a character that is not allowed"));
        }
        if name.contains("//") || name.ends_with('/') {
            return Err(BadEntry("An entry name has an empty component"));
        }
        let key = name.to_ascii_lowercase();
        match key.split('/').nth(1) {
            Some("private" | "shared") if key.starts_with('/') => Ok(EntryName { spelled: name.to_owned(), key }),
            _ => Err(BadEntry("An entry name begins with /private or /shared")),
        }
    }

    /// The name as the client wrote it.
    pub fn spelled(&self) -> &str {
        &self.spelled
    }

    /// The name in lower case: names are compared without regard to case.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether an entry of this name can have a value: two components, below `vendor` four (RFC 5464 section 3.2).
    pub fn can_have_value(&self) -> bool {
        let mut components = self.key.split('/').skip(2);
        match components.next() {
            None => false,
            Some("vendor") => components.count() >= 2,
            Some(_) => true,
        }
    }

    /// Whether the entry of that key is this one, or lies as deep below it as asked for.
    pub fn covers(&self, key: &str, depth: Depth) -> bool {
        let Some(below) = key.strip_prefix(&self.key[..]) else { return false };
        match depth {
            _ if below.is_empty() => true,
            Depth::Zero => false,
            Depth::One => below.starts_with('/') && !below.get(1..).unwrap_or_default().contains('/'),
            Depth::Infinity => below.starts_with('/'),
        }
    }
}

/// How far below the entries named the answer goes (RFC 5464 section 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Depth {
    /// `0`: these entries alone.
    #[default]
    Zero,
    /// `1`
    One,
    /// `infinity`
    Infinity,
}

/// GETMETADATA (RFC 5464 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMetadata {
    /// Of which mailbox; `None`: of the server.
    pub mailbox: Option<MailboxName>,
    /// At least one.
    pub entries: Vec<EntryName>,
    /// `DEPTH`
    pub depth: Depth,
    /// `MAXSIZE`: values of more bytes are not told.
    pub bytes_max: Option<u32>,
}

/// SETMETADATA (RFC 5464 section 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMetadata {
    /// Of which mailbox; `None`: of the server.
    pub mailbox: Option<MailboxName>,
    /// At least one, each can have a value; `None` removes it.
    pub entries: Vec<(EntryName, Option<Vec<u8>>)>,
}

/// `* METADATA mailbox (entry value ...)`; the server's own where the name is empty (RFC 5464 section 4.4.1). Nothing is
/// written where there are no values.
pub fn metadata(out: &mut Out, mailbox: &str, values: &[(&str, Option<&[u8]>)]) {
    if values.is_empty() {
        return;
    }
    push(out, "* METADATA ");
    push_mailbox(out, mailbox);
    push(out, " (");
    for (at, (entry, value)) in values.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        push_entry(out, entry);
        out.push(b' ');
        match value {
            None => push(out, "NIL"),
            Some(value) => push_value(out, value),
        }
    }
    push(out, ")\r\n");
}

/// `* METADATA mailbox entry ...`: these have changed (RFC 5464 section 4.4.2). There must be one at least.
pub fn metadata_changed<'a>(out: &mut Out, mailbox: &str, entries: impl Iterator<Item = &'a str>) {
    push(out, "* METADATA ");
    push_mailbox(out, mailbox);
    for entry in entries {
        out.push(b' ');
        push_entry(out, entry);
    }
    push(out, "\r\n");
}

/// An entry name as `astring`.
fn push_entry(out: &mut Out, entry: &str) {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.!#$&'+,:;<=>?@^`|~".contains(&byte);
    match entry.bytes().all(bare) {
        true => push(out, entry),
        false => push_string(out, entry.as_bytes()),
    }
}

/// A string where one can say it; octets that no string may have in a `literal8`.
fn push_value(out: &mut Out, value: &[u8]) {
    if !value.contains(&0) {
        return push_string(out, value);
    }
    push(out, "~");
    super::response::push_literal_head(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> EntryName {
        EntryName::new(name.as_bytes()).unwrap()
    }

    #[test]
    fn names_are_checked() {
        for name in ["", "/", "comment", "private/comment", "/public/x", "/private//x", "/private/x/", "/private/*"] {
            assert!(EntryName::new(name.as_bytes()).is_err(), "{name}");
        }
        for name in ["/private/\u{e4}", "/private/a\tb", "/privatee/x", &format!("/private/{}", "x".repeat(300))] {
            assert!(EntryName::new(name.as_bytes()).is_err(), "{name}");
        }
        assert_eq!(entry("/Private/Comment").key(), "/private/comment");
        assert!(entry("/private/comment").can_have_value() && entry("/shared/vendor/me/x").can_have_value());
        for name in ["/private", "/shared/vendor", "/shared/vendor/me"] {
            assert!(!entry(name).can_have_value(), "{name}");
        }
    }

    #[test]
    fn depth_counts_components() {
        let a = entry("/private/a");
        let covered =
            |depth| ["/private/a", "/private/a/b", "/private/a/b/c", "/private/ab"].map(|key| a.covers(key, depth));
        assert_eq!(covered(Depth::Zero), [true, false, false, false]);
        assert_eq!(covered(Depth::One), [true, true, false, false]);
        assert_eq!(covered(Depth::Infinity), [true, true, true, false]);
    }

    #[test]
    fn values_are_told() {
        let mut out = Out::default();
        let values = [
            ("/private/comment", Some(&b"My \"own\""[..])),
            ("/shared/a b", None),
            ("/shared/lines", Some(b"a\r\nb")),
            ("/shared/octets", Some(b"a\0b")),
        ];
        metadata(&mut out, "INBOX", &values);
        metadata(&mut out, "", &values[1..2]);
        metadata(&mut out, "", &[]);
        assert_eq!(
            String::from_utf8(out.take()).unwrap(),
            "* METADATA INBOX (/private/comment \"My \\\"own\\\"\" \"/shared/a b\" NIL /shared/lines {4}\r\na\r\nb \
             /shared/octets ~{3}\r\na\0b)\r\n* METADATA \"\" (\"/shared/a b\" NIL)\r\n"
        );
    }
}
