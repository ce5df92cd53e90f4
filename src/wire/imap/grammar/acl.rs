//! Arguments of the commands about rights (RFC 4314 section 7).

use super::super::acl::{Acl, AclAsked, RightsChange};
use super::super::command::Command;
use super::super::rights::Rights;
use super::Verb;
use super::cursor::{Cursor, Parsed, Trouble};
use crate::limits::{IMAP_LIST_ITEMS_MAX, SASL_NAME_BYTES_MAX};
use crate::wire::sasl::prepare;

/// `SP mailbox [SP identifier [SP mod-rights]]`, as the verb wants it.
pub fn acl(verb: Verb, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    let asked = match verb {
        Verb::SetAcl => {
            let identifier = identifier(cursor)?;
            cursor.space()?;
            let (change, rights) = mod_rights(&cursor.text()?)?;
            AclAsked::Set { identifier, change, rights, delete: false }
        }
        Verb::DeleteAcl => {
            let identifier = identifier(cursor)?;
            AclAsked::Set { identifier, change: RightsChange::Replace, rights: Rights::NONE, delete: true }
        }
        Verb::ListRights => AclAsked::List { identifier: identifier(cursor)? },
        Verb::GetAcl => AclAsked::Get,
        _ => AclAsked::Mine,
    };
    Ok(Command::Acl(Acl { mailbox, asked }))
}

/// RFC 4314 section 3: what cannot be prepared, or is nothing then, is BAD.
fn identifier(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.space()?;
    let given = cursor.text()?;
    let fits = prepare(&given).is_some_and(|prepared| !prepared.is_empty() && prepared.len() <= SASL_NAME_BYTES_MAX);
    if fits { Ok(given) } else { Err(Trouble::Bad("This is no identifier")) }
}

/// RFC 4314 section 3.1: a right that is not known is BAD, and so is a capital.
fn mod_rights(text: &str) -> Parsed<(RightsChange, Rights)> {
    let (change, letters) = match text.strip_prefix('+') {
        Some(letters) => (RightsChange::Add, letters),
        None => text.strip_prefix('-').map_or((RightsChange::Replace, text), |letters| (RightsChange::Remove, letters)),
    };
    if letters.len() > IMAP_LIST_ITEMS_MAX {
        return Err(Trouble::Bad("Too many rights"));
    }
    if letters.contains(|letter: char| letter.is_ascii_uppercase()) {
        return Err(Trouble::Bad("Rights are not written in capitals"));
    }
    Rights::parse(letters).map(|rights| (change, rights)).ok_or(Trouble::Bad("This right is not known here"))
}
