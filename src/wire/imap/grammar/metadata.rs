//! Arguments of GETMETADATA and SETMETADATA (RFC 5464 section 5).

use super::super::annotation::{Depth, EntryName, GetMetadata, SetMetadata};
use super::super::command::Command;
use super::super::mailbox::MailboxName;
use super::cursor::{Cursor, Parsed, Trouble};
use crate::limits::IMAP_LIST_ITEMS_MAX;

/// `[SP options] SP mailbox SP entries`. The examples of the RFC have the options behind the mailbox, and entries without
/// parentheses: both are taken either way.
pub fn get_metadata(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut get = GetMetadata { mailbox: None, entries: Vec::new(), depth: Depth::Zero, bytes_max: None };
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        options(cursor, &mut get)?;
        cursor.space()?;
    }
    get.mailbox = mailbox(cursor)?;
    cursor.space()?;
    if begins_options(cursor) {
        options(cursor, &mut get)?;
        cursor.space()?;
    }
    get.entries = match cursor.peek() {
        Some(b'(') => cursor.list(entry)?,
        _ => bare_entries(cursor)?,
    };
    match get.entries.is_empty() {
        false => Ok(Command::GetMetadata(get)),
        true => Err(Trouble::Bad("An entry name is missing")),
    }
}

/// `SP mailbox SP "(" entry SP value *(SP entry SP value) ")"`.
pub fn set_metadata(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    let entries = cursor.list(|cursor| {
        let name = entry(cursor)?;
        if !name.can_have_value() {
            return Err(Trouble::Bad("An entry of this name cannot have a value"));
        }
        cursor.space()?;
        Ok((name, cursor.value()?.map(|value| value.into_owned())))
    })?;
    match entries.is_empty() {
        false => Ok(Command::SetMetadata(SetMetadata { mailbox, entries })),
        true => Err(Trouble::Bad("An entry name is missing")),
    }
}

/// `entries`, as in the return option METADATA of LIST (RFC 9590 section 4).
pub fn entries(cursor: &mut Cursor<'_>) -> Parsed<Vec<EntryName>> {
    match cursor.list(entry)? {
        entries if entries.is_empty() => Err(Trouble::Bad("An entry name is missing")),
        entries => Ok(entries),
    }
}

/// A mailbox, or nothing for the server.
fn mailbox(cursor: &mut Cursor<'_>) -> Parsed<Option<MailboxName>> {
    let mut ahead = *cursor;
    if ahead.astring()?.is_empty() {
        *cursor = ahead;
        return Ok(None);
    }
    cursor.mailbox().map(Some)
}

fn entry(cursor: &mut Cursor<'_>) -> Parsed<EntryName> {
    EntryName::new(&cursor.astring()?).map_err(|bad| Trouble::Bad(bad.0))
}

fn bare_entries(cursor: &mut Cursor<'_>) -> Parsed<Vec<EntryName>> {
    let mut entries = vec![entry(cursor)?];
    while cursor.eat(b' ') && !cursor.is_at_end() {
        if entries.len() >= IMAP_LIST_ITEMS_MAX {
            return Err(Trouble::Bad("Too many entries"));
        }
        entries.push(entry(cursor)?);
    }
    Ok(entries)
}

/// A list that begins with a word and not with an entry.
fn begins_options(cursor: &Cursor<'_>) -> bool {
    let mut ahead = *cursor;
    ahead.eat(b'(') && matches!(&ahead.word()[..], "MAXSIZE" | "DEPTH")
}

fn options(cursor: &mut Cursor<'_>, get: &mut GetMetadata) -> Parsed<()> {
    let options = cursor.list(|cursor| {
        match &cursor.word()[..] {
            "MAXSIZE" => {
                cursor.space()?;
                get.bytes_max = Some(cursor.number()?);
            }
            "DEPTH" => {
                cursor.space()?;
                get.depth = match &cursor.word()[..] {
                    "0" => Depth::Zero,
                    "1" => Depth::One,
                    "INFINITY" => Depth::Infinity,
                    _ => return Err(Trouble::Bad("DEPTH is 0, 1 or infinity")),
                };
            }
            _ => return Err(Trouble::Bad("Unknown option of GETMETADATA")),
        }
        Ok(())
    })?;
    if options.is_empty() { Err(Trouble::Bad("An option is missing")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::{parse_arguments, parse_verb};
    use super::*;

    fn parse(command: &[u8]) -> Parsed<Command> {
        let mut cursor = Cursor::new(command);
        let (verb, _) = parse_verb(&mut cursor)?;
        parse_arguments(verb, &mut cursor)
    }

    fn names(names: &[&str]) -> Vec<EntryName> {
        names.iter().map(|name| EntryName::new(name.as_bytes()).unwrap()).collect()
    }

    fn inbox() -> Option<MailboxName> {
        Some(MailboxName::new("INBOX").unwrap())
    }

    #[test]
    fn getmetadata_in_the_forms_of_the_rfc() {
        let (comment, shared) = ("/private/comment", "/shared/comment");
        let get = |mailbox, entries: &[&str], depth, bytes_max| {
            Ok(Command::GetMetadata(GetMetadata { mailbox, entries: names(entries), depth, bytes_max }))
        };
        assert_eq!(parse(b"GETMETADATA \"\" /shared/comment"), get(None, &[shared], Depth::Zero, None));
        let both = get(inbox(), &[shared, comment], Depth::Zero, None);
        assert_eq!(parse(b"GETMETADATA inbox (/shared/comment /private/comment)"), both);
        assert_eq!(parse(b"GETMETADATA inbox /shared/comment /private/comment "), both);
        let small = get(inbox(), &[shared, comment], Depth::Zero, Some(1024));
        assert_eq!(parse(b"GETMETADATA \"INBOX\" (MAXSIZE 1024) (/shared/comment /private/comment)"), small);
        assert_eq!(parse(b"GETMETADATA (MAXSIZE 1024) INBOX (/shared/comment /private/comment)"), small);
        let deep = get(inbox(), &["/private"], Depth::Infinity, Some(0));
        assert_eq!(parse(b"getmetadata (depth Infinity maxsize 0) inbox \"/private\""), deep);
        for bad in [
            "GETMETADATA",
            "GETMETADATA INBOX",
            "GETMETADATA INBOX ()",
            "GETMETADATA () INBOX /private/comment",
            "GETMETADATA (DEPTH 2) INBOX /private/comment",
            "GETMETADATA (MAXSIZE) INBOX /private/comment",
            "GETMETADATA INBOX (/private/comment",
            "GETMETADATA INBOX /private/%",
        ] {
            assert!(matches!(parse(bad.as_bytes()), Err(Trouble::Bad(_))), "{bad}");
        }
    }

    #[test]
    fn setmetadata_takes_values_of_any_octets() {
        let set = |mailbox, entries: &[(&str, Option<&[u8]>)]| {
            let entries = entries
                .iter()
                .map(|(name, value)| (EntryName::new(name.as_bytes()).unwrap(), value.map(<[u8]>::to_vec)))
                .collect();
            Ok(Command::SetMetadata(SetMetadata { mailbox, entries }))
        };
        let lines = b"SETMETADATA INBOX (/private/comment {6}\r\na\r\nb\r\n)";
        assert_eq!(parse(lines), set(inbox(), &[("/private/comment", Some(b"a\r\nb\r\n"))]));
        let two = b"SETMETADATA \"\" (/private/comment NIL /shared/comment ~{3+}\r\na\0b)";
        assert_eq!(parse(two), set(None, &[("/private/comment", None), ("/shared/comment", Some(b"a\0b"))]));
        for bad in [
            "SETMETADATA INBOX ()",
            "SETMETADATA INBOX (/private/comment)",
            "SETMETADATA INBOX (/private/comment x)",
            "SETMETADATA INBOX (/private \"x\")",
            "SETMETADATA INBOX (/shared/vendor/me \"x\")",
            "SETMETADATA INBOX (/private/comment {1}\r\n\0)",
            "SETMETADATA INBOX (/private/comment ~\"x\")",
        ] {
            assert!(matches!(parse(bad.as_bytes()), Err(Trouble::Bad(_))), "{bad}");
        }
    }
}
