//! GETMETADATA, SETMETADATA, and what LIST tells of annotations: notes that clients leave on mailboxes and on the server.
//!
//! What is `/private` belongs to the one owner, as what is `/shared` does: both are kept alike. Who may change no flags may set no
//! annotation either, which RFC 5464 would allow. Two entries are the server's
//! own: who runs it, which nobody can set, and the special use of a mailbox, which is the one that LIST shows.

use super::Session;
use super::access::{Allowed, denied};
use super::failure::{Failure, no};
use crate::limits::METADATA_VALUE_BYTES_MAX;
use crate::mail::access::Rights;
use crate::mail::message::{Mailbox, SpecialUse};
use crate::order;
use crate::store::{Done, Op, SetMetadata, TOO_MANY_ENTRIES, Trouble};
use crate::wire::address::Address;
use crate::wire::imap::annotation::{self, ADMIN_ENTRY, SPECIAL_USE_ENTRY, metadata};
use crate::wire::imap::command::Tag;
use crate::wire::imap::{Code, Depth, EntryName, GetMetadata, MailboxName, Status, response};
use std::fmt::Write;

/// Whoever has one of these beside the right to look it up may read the annotations of a mailbox (RFC 5464 section 3.3).
const ANY_ACCESS: Rights = Rights::LOOKING
    .without(Rights::LOOKUP)
    .union(Rights::CHANGING.without(Rights::EXPUNGE.union(Rights::DELETE)))
    .union(Rights::POST);

/// Entries with their values, by name.
type Entries = Vec<(String, Vec<u8>)>;

impl Session {
    /// GETMETADATA (RFC 5464 section 4.2).
    pub(super) async fn get_metadata(&mut self, tag: &Tag, get: GetMetadata) -> Result<(), Failure> {
        let GetMetadata { mailbox, entries, depth, bytes_max } = get;
        let found = self.annotated(mailbox.as_ref(), ANY_ACCESS).await?;
        let there = self.metadata_of(found.as_ref()).await?;
        let most = bytes_max.map_or(usize::MAX, |most| most as usize);
        let (told, longest) = chosen(&there, &entries, depth, most);
        metadata(&mut self.line.out, found.as_ref().map_or("", |mailbox| &mailbox.name), &told);
        self.line.flush_when_full().await?;
        let code = longest.map_or(Code::None, |bytes| Code::MetadataLongEntries(bytes as u64));
        self.tell_news(true, false).await?;
        response::tagged(&mut self.line.out, tag, Status::Ok, code, "GETMETADATA completed");
        Ok(())
    }

    /// SETMETADATA (RFC 5464 section 4.3; RFC 6154 section 5.4).
    pub(super) async fn set_metadata(&mut self, tag: &Tag, set: annotation::SetMetadata) -> Result<(), Failure> {
        let found = self.annotated(set.mailbox.as_ref(), Rights::WRITE).await?;
        let (mut entries, mut special_use) = (Vec::new(), None);
        for (entry, value) in set.entries {
            if value.as_ref().is_some_and(|value| value.len() > METADATA_VALUE_BYTES_MAX) {
                return Err(no(Code::MetadataMaxSize(METADATA_VALUE_BYTES_MAX as u64), "The value is too large"));
            }
            match (entry.key(), &found) {
                (ADMIN_ENTRY, None) => return Err(no(Code::Cannot, "Who runs the server is not for clients to say")),
                // The mailbox that loses its use may be any.
                (SPECIAL_USE_ENTRY, Some(_)) if !self.has_over_all(Rights::DELETE_MAILBOX) => return Err(denied()),
                (SPECIAL_USE_ENTRY, Some(_)) => special_use = Some(special_use_of(value.as_deref())?),
                (key, _) => entries.push((key.to_owned(), value)),
            }
        }
        let mailbox = found.map(|mailbox| mailbox.id);
        let keys: Vec<String> = entries.iter().map(|(key, _)| key.clone()).collect();
        let done = match self.context.store.apply(Op::SetMetadata(SetMetadata { mailbox, entries, special_use })).await
        {
            Err(Trouble::Refused(TOO_MANY_ENTRIES)) => {
                return Err(no(
                    Code::MetadataTooMany,
                    "There are too many annotations, or they are too large together",
                ));
            }
            done => done?,
        };
        self.knows_annotations(mailbox, &keys).await?;
        if let Done::MetadataSet { use_lost_by: Some(name) } = done {
            metadata(&mut self.line.out, &name, &[(SPECIAL_USE_ENTRY, None)]);
        }
        self.finish(tag, true, Code::None, "SETMETADATA completed").await
    }

    /// What LIST was asked to tell of a mailbox (RFC 9590 section 3).
    pub(super) async fn tell_metadata(
        &mut self,
        mailbox: &Mailbox,
        rights: Rights,
        entries: &[EntryName],
    ) -> Result<(), Failure> {
        if !rights.has_any(ANY_ACCESS) {
            return Ok(());
        }
        let there = self.metadata_of(Some(mailbox)).await?;
        let (told, _) = chosen(&there, entries, Depth::Zero, usize::MAX);
        metadata(&mut self.line.out, &mailbox.name, &told);
        Ok(())
    }

    /// The mailbox that is meant, with any of these rights (RFC 5464 section 3.3); `None`: the server.
    async fn annotated(&self, mailbox: Option<&MailboxName>, needs: Rights) -> Result<Option<Mailbox>, Failure> {
        let Some(mailbox) = mailbox else {
            let writes = needs == Rights::WRITE;
            return if writes && !self.has_over_all(Rights::WRITE) { Err(denied()) } else { Ok(None) };
        };
        let Allowed { mailbox, rights } = self.mailbox_named(mailbox, Rights::LOOKUP).await?;
        if rights.has_any(needs) { Ok(Some(mailbox)) } else { Err(denied()) }
    }

    /// Whether this login has these rights on every mailbox.
    fn has_over_all(&self, rights: Rights) -> bool {
        self.access.base.contains(rights) && self.access.rules.is_empty()
    }

    /// All entries of a mailbox, or of the server, with those that are the server's own.
    async fn metadata_of(&self, mailbox: Option<&Mailbox>) -> Result<Entries, Failure> {
        let of = mailbox.map(|mailbox| mailbox.id);
        let mut there = self.context.store.read(move |snapshot| snapshot.metadata(of)).await?;
        match mailbox {
            Some(mailbox) => {
                let special_use = mailbox.special_use.and_then(SpecialUse::attribute);
                there.extend(special_use.map(|name| (SPECIAL_USE_ENTRY.to_owned(), name.as_bytes().to_vec())));
            }
            None => {
                let admin = self.site.addresses.first();
                there.extend(admin.map(|address| (ADMIN_ENTRY.to_owned(), mailto(address).into_bytes())));
            }
        }
        order::sort(&mut there);
        Ok(there)
    }
}

/// An entry and its value, as it is told.
type Told<'a> = (&'a str, Option<&'a [u8]>);

/// What is told of these entries, and the bytes of the longest value that is too long for that. An entry asked for by its
/// own name that has no value is told as NIL, so that a client forgets the one it knew.
fn chosen<'a>(
    there: &'a Entries,
    asked: &'a [EntryName],
    depth: Depth,
    bytes_max: usize,
) -> (Vec<Told<'a>>, Option<usize>) {
    let (mut told, mut longest): (Vec<Told<'_>>, Option<usize>) = (Vec::new(), None);
    for entry in asked {
        let mut any = false;
        for (key, value) in there.iter().filter(|(key, _)| entry.covers(key, depth)) {
            any = true;
            // As the client spelt it, where it did.
            let name = if key == entry.key() { entry.spelled() } else { key };
            if value.len() > bytes_max {
                longest = longest.max(Some(value.len()));
            } else if !told.iter().any(|(told, _)| told.eq_ignore_ascii_case(name)) {
                told.push((name, Some(&value[..])));
            }
        }
        let named = depth == Depth::Zero && entry.can_have_value();
        if !any && named && !told.iter().any(|(told, _)| told.eq_ignore_ascii_case(entry.key())) {
            told.push((entry.spelled(), None));
        }
    }
    (told, longest)
}

/// The special use that a value says (RFC 6154 section 4): a mailbox has at most one.
fn special_use_of(value: Option<&[u8]>) -> Result<Option<SpecialUse>, Failure> {
    let Some(value) = value else { return Ok(None) };
    let mut words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (Some(word), None) = (words.next(), words.next()) else {
        return Err(no(Code::UseAttr, "A mailbox has one special use, or NIL"));
    };
    let known = SpecialUse::ALL.iter().find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(word));
    known.map(|(known, _)| Some(*known)).ok_or(no(Code::UseAttr, "This special use is not supported"))
}

/// A mailto URI (RFC 6068 section 2).
fn mailto(address: &Address) -> String {
    let mut uri = "mailto:".to_owned();
    for byte in address.to_string().bytes() {
        match byte {
            b'@' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'\'' | b'+' => uri.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            // Writing to a String cannot fail.
            byte => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_chosen_by_name_depth_and_size() {
        let there = [("/private/a", "1"), ("/private/a/b", "22"), ("/private/a/b/c", "333"), ("/shared/a", "4")];
        let there: Entries = there.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        let told = |asked: &[&str], depth, bytes_max| {
            let asked: Vec<_> = asked.iter().map(|name| EntryName::new(name.as_bytes()).unwrap()).collect();
            let (told, longest) = chosen(&there, &asked, depth, bytes_max);
            let line = |(name, value): &(&str, Option<&[u8]>)| match value {
                Some(value) => format!("{name}={}", String::from_utf8_lossy(value)),
                None => format!("{name} NIL"),
            };
            (told.iter().map(line).collect::<Vec<_>>().join(","), longest)
        };
        let zero = told(&["/Private/A", "/private/x", "/private/a", "/private"], Depth::Zero, 9);
        assert_eq!(zero, ("/Private/A=1,/private/x NIL".into(), None));
        assert_eq!(told(&["/private/a"], Depth::One, 9), ("/private/a=1,/private/a/b=22".into(), None));
        assert_eq!(told(&["/private", "/private/a"], Depth::Infinity, 1), ("/private/a=1".into(), Some(3)));
        assert_eq!(told(&["/private/x"], Depth::Infinity, 1), (String::new(), None));
    }

    #[test]
    fn the_special_use_is_one_that_is_known() {
        assert!(matches!(special_use_of(Some(b"\\drafts")), Ok(Some(SpecialUse::Drafts))));
        assert!(matches!(special_use_of(None), Ok(None)));
        for bad in ["", "\\Drafts \\Sent", "\\All", "Drafts", "\\Outbox"] {
            assert!(special_use_of(Some(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_a_uri() {
        let uri = |address: &str| mailto(&address.parse().unwrap());
        assert_eq!(uri("me+x@home.test"), "mailto:me+x@home.test");
        assert_eq!(uri("\"a b\"@home.test"), "mailto:%22a%20b%22@home.test");
    }
}
