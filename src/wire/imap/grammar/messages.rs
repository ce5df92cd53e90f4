//! Arguments of the commands about messages: FETCH, STORE, COPY, MOVE.

use super::super::command::{
    BinarySection, BodySection, Command, Fetch, FetchItem, Partial, SectionText, Store, StoreChange, Transfer,
};
use super::super::response::Code;
use super::cursor::{Cursor, Parsed, Trouble, utf8};
use super::search::partial_range;
use crate::limits::{IMAP_LIST_ITEMS_MAX, IMAP_SECTION_DEPTH_MAX};

/// `SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" ... ")") [SP fetch-modifiers]`.
pub fn fetch(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.space()?;
    let set = cursor.sequence_set()?;
    cursor.space()?;
    let items = fetch_items(cursor)?;
    let mut fetch = Fetch { uid, set, items, changed_since: None, vanished: false, partial: None };
    if cursor.eat(b' ') && cursor.peek() == Some(b'(') {
        cursor.list(|cursor| fetch_modifier(cursor, &mut fetch))?;
    }
    // RFC 7162 section 3.2.6.
    if fetch.vanished && (!uid || fetch.changed_since.is_none()) {
        return Err(Trouble::Bad("VANISHED needs UID FETCH and CHANGEDSINCE"));
    }
    // RFC 9394 section 3.3.
    if fetch.partial.is_some() && !uid {
        return Err(Trouble::Bad("PARTIAL needs UID FETCH"));
    }
    Ok(Command::Fetch(fetch))
}

/// `fetch-att / "(" fetch-att *(SP fetch-att) ")"`, also a macro.
pub fn fetch_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<FetchItem>> {
    let mut items = Vec::new();
    match cursor.peek() {
        Some(b'(') => {
            cursor.list(|cursor| fetch_item(cursor, &mut items))?;
        }
        _ => fetch_item(cursor, &mut items)?,
    }
    if items.is_empty() { Err(Trouble::Bad("A fetch item is missing")) } else { Ok(items) }
}

fn fetch_modifier(cursor: &mut Cursor<'_>, fetch: &mut Fetch) -> Parsed<()> {
    match &cursor.word()[..] {
        "CHANGEDSINCE" => {
            cursor.space()?;
            fetch.changed_since = Some(cursor.number64()?);
        }
        "VANISHED" => fetch.vanished = true,
        "PARTIAL" => {
            cursor.space()?;
            if fetch.partial.replace(partial_range(cursor)?).is_some() {
                return Err(Trouble::Bad("PARTIAL is allowed once"));
            }
        }
        _ => return Err(Trouble::Bad("Unknown fetch modifier")),
    }
    Ok(())
}

/// One item or macro (RFC 3501 section 6.4.5). An item named twice is fetched once.
fn fetch_item(cursor: &mut Cursor<'_>, items: &mut Vec<FetchItem>) -> Parsed<()> {
    use FetchItem::*;
    const FAST: [FetchItem; 3] = [Flags, InternalDate, Rfc822Size];
    let word = cursor.word();
    let item = match &word[..] {
        "ALL" => return add_items(items, FAST.into_iter().chain([Envelope])),
        "FAST" => return add_items(items, FAST),
        "FULL" => return add_items(items, FAST.into_iter().chain([Envelope, Body])),
        "ENVELOPE" => Envelope,
        "FLAGS" => Flags,
        "INTERNALDATE" => InternalDate,
        "RFC822" => Rfc822,
        "RFC822.HEADER" => Rfc822Header,
        "RFC822.TEXT" => Rfc822Text,
        "RFC822.SIZE" => Rfc822Size,
        "BODYSTRUCTURE" => BodyStructure,
        "UID" => Uid,
        "MODSEQ" => ModSeq,
        "EMAILID" => EmailId,
        "THREADID" => ThreadId,
        "SAVEDATE" => SaveDate,
        "PREVIEW" => Preview { lazy: preview_is_lazy(cursor)? },
        "BODY" if cursor.peek() != Some(b'[') => Body,
        "BODY" | "BODY.PEEK" => Section(section(cursor, word == "BODY.PEEK")?),
        "BINARY" | "BINARY.PEEK" => {
            let path = section_binary(cursor)?;
            Binary(BinarySection { peek: word == "BINARY.PEEK", path, partial: partial(cursor)? })
        }
        "BINARY.SIZE" => BinarySize(section_binary(cursor)?),
        _ => return Err(Trouble::Bad("Unknown fetch item")),
    };
    add_items(items, [item])
}

/// `[SP "(" "LAZY" *(SP "LAZY") ")"]` (RFC 8970 section 6). Other words there are left: behind an item that is not in a list they may
/// be modifiers of the FETCH.
fn preview_is_lazy(cursor: &mut Cursor<'_>) -> Parsed<bool> {
    let mut ahead = *cursor;
    if !(ahead.eat(b' ') && ahead.eat(b'(') && ahead.eat_word("LAZY")) {
        return Ok(false);
    }
    let _ = cursor.eat(b' ');
    cursor.list(|cursor| match cursor.eat_word("LAZY") {
        true => Ok(()),
        false => Err(Trouble::Bad("Unknown preview modifier")),
    })?;
    Ok(true)
}

fn add_items(items: &mut Vec<FetchItem>, more: impl IntoIterator<Item = FetchItem>) -> Parsed<()> {
    for item in more {
        if items.contains(&item) {
            continue;
        }
        if items.len() >= IMAP_LIST_ITEMS_MAX {
            return Err(Trouble::No(Code::Limit, "Too many fetch items"));
        }
        items.push(item);
    }
    Ok(())
}

/// `section ["<" number "." nz-number ">"]`.
fn section(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<BodySection> {
    cursor.expect(b'[', "A section is missing")?;
    let (path, text) = section_spec(cursor, b']')?;
    cursor.expect(b']', "A section does not end")?;
    Ok(BodySection { peek, path, text, partial: partial(cursor)? })
}

/// `section-spec` up to a byte that ends it, which is left.
pub fn section_spec(cursor: &mut Cursor<'_>, end: u8) -> Parsed<(Vec<u32>, SectionText)> {
    let (path, more) = part_numbers(cursor)?;
    let at_end = cursor.peek().is_none_or(|byte| byte == end);
    let text = if at_end && (path.is_empty() || !more) {
        SectionText::Whole
    } else if more {
        section_text(cursor, !path.is_empty())?
    } else {
        return Err(Trouble::Bad("A section is broken"));
    };
    Ok((path, text))
}

/// `[section-part]`, and whether something may follow: there were no numbers, or a dot stands behind them.
fn part_numbers(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u32>, bool)> {
    let mut path = Vec::new();
    let mut more = true;
    while more && cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
        if path.len() >= IMAP_SECTION_DEPTH_MAX {
            return Err(Trouble::No(Code::Limit, "Too many part numbers in a section"));
        }
        path.push(cursor.nz_number()?);
        more = cursor.eat(b'.');
    }
    Ok((path, more))
}

/// `"[" [section-part] "]"` (RFC 3516 section 7).
fn section_binary(cursor: &mut Cursor<'_>) -> Parsed<Vec<u32>> {
    cursor.expect(b'[', "A section is missing")?;
    let (path, more) = part_numbers(cursor)?;
    if more && !path.is_empty() {
        return Err(Trouble::Bad("A section is broken"));
    }
    cursor.expect(b']', "A section of BINARY is made of part numbers only")?;
    Ok(path)
}

/// `["<" number "." nz-number ">"]`.
fn partial(cursor: &mut Cursor<'_>) -> Parsed<Option<Partial>> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let first = cursor.number64()?;
    cursor.expect(b'.', "A partial range is broken")?;
    let count = cursor.number64()?;
    cursor.expect(b'>', "A partial range does not end")?;
    Ok(Some(Partial { first, count }))
}

fn section_text(cursor: &mut Cursor<'_>, has_path: bool) -> Parsed<SectionText> {
    Ok(match &cursor.word()[..] {
        "HEADER" => SectionText::Header,
        "HEADER.FIELDS" => SectionText::HeaderFields(header_names(cursor)?),
        "HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(header_names(cursor)?),
        "TEXT" => SectionText::Text,
        "MIME" if has_path => SectionText::Mime,
        _ => return Err(Trouble::Bad("Unknown section")),
    })
}

/// `SP header-list`. Names hold what RFC 5322 allows in them: printable ASCII without a colon.
fn header_names(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.space()?;
    let names = cursor.list(|cursor| match utf8(cursor.astring()?) {
        Ok(name) if !name.is_empty() && name.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b':') => Ok(name),
        _ => Err(Trouble::Bad("A header field name is not valid")),
    })?;
    if names.is_empty() { Err(Trouble::Bad("A header field name is missing")) } else { Ok(names) }
}

/// `SP sequence-set [SP store-modifiers] SP store-att-flags` (RFC 7162 section 7).
pub fn store(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.space()?;
    let set = cursor.sequence_set()?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.peek() == Some(b'(') {
        cursor.list(|cursor| {
            if cursor.word() != "UNCHANGEDSINCE" {
                return Err(Trouble::Bad("Unknown store modifier"));
            }
            cursor.space()?;
            unchanged_since = Some(cursor.number64()?);
            Ok(())
        })?;
        cursor.space()?;
    }
    let change = match cursor.peek() {
        Some(b'+') => StoreChange::Add,
        Some(b'-') => StoreChange::Remove,
        _ => StoreChange::Replace,
    };
    if change != StoreChange::Replace {
        let _ = cursor.eat(b'+') || cursor.eat(b'-');
    }
    let silent = match &cursor.word()[..] {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(Trouble::Bad("STORE changes FLAGS")),
    };
    cursor.space()?;
    Ok(Command::Store(Store { uid, set, change, silent, flags: cursor.flags()?, unchanged_since }))
}

/// `SP sequence-set SP mailbox`: COPY and MOVE.
pub fn transfer(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Transfer> {
    cursor.space()?;
    let set = cursor.sequence_set()?;
    cursor.space()?;
    Ok(Transfer { uid, set, mailbox: cursor.mailbox()? })
}
