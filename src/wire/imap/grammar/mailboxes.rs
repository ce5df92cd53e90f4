//! Arguments of the commands about mailboxes: SELECT, CREATE, LIST, STATUS.

use super::super::command::{Command, List, QResync, Select, StatusItem};
use super::super::flag::SpecialUse;
use super::super::response::Code;
use super::cursor::{Cursor, Parsed, Trouble};

/// `SP mailbox [SP "(" select-param *(SP select-param) ")"]` (RFC 4466, RFC 7162 section 7).
pub fn select(cursor: &mut Cursor<'_>, read_only: bool) -> Parsed<Command> {
    cursor.space()?;
    let mut select = Select { mailbox: cursor.mailbox()?, read_only, condstore: false, qresync: None };
    if !cursor.is_at_end() && cursor.eat(b' ') && cursor.peek() == Some(b'(') {
        cursor.list(|cursor| {
            match &cursor.word()[..] {
                "CONDSTORE" => select.condstore = true,
                "QRESYNC" => select.qresync = Some(qresync(cursor)?),
                _ => return Err(Trouble::Bad("Unknown parameter of SELECT")),
            }
            Ok(())
        })?;
    }
    Ok(Command::Select(select))
}

/// `SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`.
fn qresync(cursor: &mut Cursor<'_>) -> Parsed<QResync> {
    cursor.space()?;
    cursor.expect(b'(', "QRESYNC needs a list")?;
    let uid_validity = cursor.nz_number()?;
    cursor.space()?;
    let modseq = cursor.number64()?;
    if modseq == 0 {
        return Err(Trouble::Bad("The mod-sequence must not be 0"));
    }
    let mut qresync = QResync { uid_validity, modseq, known_uids: None, sequence_match: None };
    if cursor.eat(b' ') && cursor.peek() != Some(b'(') {
        qresync.known_uids = Some(cursor.known_set()?);
        cursor.eat(b' ');
    }
    if cursor.eat(b'(') {
        if cursor.dialect().uid_only {
            return Err(Trouble::UidRequired);
        }
        let numbers = cursor.known_set()?;
        cursor.space()?;
        qresync.sequence_match = Some((numbers, cursor.known_set()?));
        cursor.expect(b')', "A closing parenthesis is missing")?;
    }
    cursor.expect(b')', "A closing parenthesis is missing")?;
    Ok(qresync)
}

/// `SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]` (RFC 6154 section 6).
pub fn create(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let mailbox = cursor.new_mailbox()?;
    let mut special_use = Vec::new();
    if cursor.eat(b' ') && cursor.peek() == Some(b'(') {
        cursor.list(|cursor| {
            if cursor.word() != "USE" {
                return Err(Trouble::Bad("Unknown parameter of CREATE"));
            }
            cursor.space()?;
            special_use.extend(cursor.list(use_attribute)?);
            Ok(())
        })?;
    }
    Ok(Command::Create { mailbox, special_use })
}

fn use_attribute(cursor: &mut Cursor<'_>) -> Parsed<SpecialUse> {
    cursor.expect(b'\\', "A special use begins with a backslash")?;
    let name = cursor.atom()?;
    let known = SpecialUse::ALL.iter().find(|(_, known)| known.trim_start_matches('\\').eq_ignore_ascii_case(name));
    known.map(|(known, _)| *known).ok_or(Trouble::No(Code::UseAttr, "This special use is not supported"))
}

/// `SP mailbox SP mailbox`.
pub fn rename(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let from = cursor.mailbox()?;
    cursor.space()?;
    Ok(Command::Rename { from, to: cursor.new_mailbox()? })
}

/// `[SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]` (RFC 5258 section 6).
pub fn list(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut list = List::default();
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        cursor.list(|cursor| selection_option(cursor, &mut list))?;
        cursor.space()?;
    }
    if list.recursive_match && !list.select_subscribed && !list.select_special_use {
        return Err(Trouble::Bad("RECURSIVEMATCH needs another selection option"));
    }
    list.reference = cursor.pattern()?;
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        list.patterns = cursor.list(Cursor::pattern)?;
        if list.patterns.is_empty() {
            return Err(Trouble::Bad("A mailbox pattern is missing"));
        }
    } else {
        list.patterns.push(cursor.pattern()?);
    }
    if cursor.eat(b' ') && !cursor.is_at_end() {
        if cursor.word() != "RETURN" {
            return Err(Trouble::Bad("Too many arguments"));
        }
        list.extended = true;
        cursor.space()?;
        cursor.list(|cursor| return_option(cursor, &mut list))?;
    }
    Ok(Command::List(list))
}

fn selection_option(cursor: &mut Cursor<'_>, list: &mut List) -> Parsed<()> {
    match &cursor.word()[..] {
        "SUBSCRIBED" => (list.select_subscribed, list.return_subscribed) = (true, true),
        "SPECIAL-USE" => (list.select_special_use, list.return_special_use) = (true, true),
        "RECURSIVEMATCH" => list.recursive_match = true,
        // There are no remote mailboxes to add (RFC 5258 section 3.1).
        "REMOTE" => {}
        _ => return Err(Trouble::Bad("Unknown selection option of LIST")),
    }
    Ok(())
}

fn return_option(cursor: &mut Cursor<'_>, list: &mut List) -> Parsed<()> {
    match &cursor.word()[..] {
        "SUBSCRIBED" => list.return_subscribed = true,
        "MYRIGHTS" => list.return_my_rights = true,
        "CHILDREN" => list.return_children = true,
        "SPECIAL-USE" => list.return_special_use = true,
        "STATUS" => {
            cursor.space()?;
            list.return_status = status_items(cursor)?;
        }
        "METADATA" => {
            cursor.space()?;
            list.return_metadata = super::metadata::entries(cursor)?;
        }
        _ => return Err(Trouble::Bad("Unknown return option of LIST")),
    }
    Ok(())
}

/// `SP mailbox SP list-mailbox`.
pub fn lsub(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let reference = cursor.pattern()?;
    cursor.space()?;
    Ok(Command::Lsub { reference, pattern: cursor.pattern()? })
}

/// `SP mailbox SP "(" status-att *(SP status-att) ")"`.
pub fn status(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    Ok(Command::Status { mailbox, items: status_items(cursor)? })
}

/// Each item once, in the order of its first mention.
fn status_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    let mut items = Vec::new();
    cursor.list(|cursor| {
        let word = cursor.word();
        let known = StatusItem::ALL.iter().find(|(_, name)| *name == word);
        let (item, _) = known.ok_or(Trouble::Bad("Unknown status item"))?;
        if !items.contains(item) {
            items.push(*item);
        }
        Ok(())
    })?;
    if items.is_empty() { Err(Trouble::Bad("A status item is missing")) } else { Ok(items) }
}
