//! The grammar of commands (RFC 3501 section 9 and its extensions): one whole command in, one [`Command`] out.
//!
//! Receives a command as the framing collected it: without its final CRLF, literals inline. Never sees a message's
//! bytes, never knows a state beyond the table of verbs.

mod acl;
mod append;
mod cursor;
mod mailboxes;
mod messages;
mod metadata;
mod multisearch;
mod notify;
mod order;
mod search;

pub use append::{Ends, Piece, Place, append_head, append_pieces, append_verb};
pub use cursor::{Cursor, Parsed, Trouble};
pub use messages::section_spec;

use super::command::{Command, Secret, Tag};
use crate::limits::{IMAP_LIST_ITEMS_MAX, IMAP_TAG_BYTES_MAX};

/// In which states a verb is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// In every state.
    Always,
    /// Only before login.
    BeforeLogin,
    /// Only after login.
    AfterLogin,
    /// Only with a mailbox selected.
    Selected,
}

/// The verbs. `UID` stands before some of them as a verb of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Append,
    Authenticate,
    CancelUpdate,
    Capability,
    Check,
    Close,
    Compress,
    Copy,
    Create,
    Delete,
    Enable,
    Esearch,
    Examine,
    Expunge,
    Fetch,
    DeleteAcl,
    GetAcl,
    GetMetadata,
    ListRights,
    MyRights,
    SetAcl,
    GetQuota,
    GetQuotaRoot,
    Id,
    Idle,
    Language,
    List,
    Login,
    Logout,
    Lsub,
    Move,
    Namespace,
    Noop,
    Notify,
    Rename,
    Replace,
    Search,
    Select,
    Sort,
    SetMetadata,
    StartTls,
    Status,
    Store,
    Subscribe,
    Thread,
    Uid,
    Unauthenticate,
    Unselect,
    Unsubscribe,
}

/// Which verb is allowed when (RFC 3501 section 6).
const VERBS: &[(&str, Verb, Allowed)] = &[
    ("CAPABILITY", Verb::Capability, Allowed::Always),
    ("NOOP", Verb::Noop, Allowed::Always),
    ("LOGOUT", Verb::Logout, Allowed::Always),
    ("ID", Verb::Id, Allowed::Always),
    ("LANGUAGE", Verb::Language, Allowed::Always),
    ("STARTTLS", Verb::StartTls, Allowed::BeforeLogin),
    ("AUTHENTICATE", Verb::Authenticate, Allowed::BeforeLogin),
    ("LOGIN", Verb::Login, Allowed::BeforeLogin),
    ("UNAUTHENTICATE", Verb::Unauthenticate, Allowed::AfterLogin),
    ("ENABLE", Verb::Enable, Allowed::AfterLogin),
    ("SELECT", Verb::Select, Allowed::AfterLogin),
    ("EXAMINE", Verb::Examine, Allowed::AfterLogin),
    ("CREATE", Verb::Create, Allowed::AfterLogin),
    ("DELETE", Verb::Delete, Allowed::AfterLogin),
    ("RENAME", Verb::Rename, Allowed::AfterLogin),
    ("SUBSCRIBE", Verb::Subscribe, Allowed::AfterLogin),
    ("UNSUBSCRIBE", Verb::Unsubscribe, Allowed::AfterLogin),
    ("LIST", Verb::List, Allowed::AfterLogin),
    ("LSUB", Verb::Lsub, Allowed::AfterLogin),
    ("NAMESPACE", Verb::Namespace, Allowed::AfterLogin),
    ("STATUS", Verb::Status, Allowed::AfterLogin),
    ("APPEND", Verb::Append, Allowed::AfterLogin),
    ("GETQUOTA", Verb::GetQuota, Allowed::AfterLogin),
    ("GETQUOTAROOT", Verb::GetQuotaRoot, Allowed::AfterLogin),
    ("SETACL", Verb::SetAcl, Allowed::AfterLogin),
    ("DELETEACL", Verb::DeleteAcl, Allowed::AfterLogin),
    ("GETACL", Verb::GetAcl, Allowed::AfterLogin),
    ("LISTRIGHTS", Verb::ListRights, Allowed::AfterLogin),
    ("MYRIGHTS", Verb::MyRights, Allowed::AfterLogin),
    ("NOTIFY", Verb::Notify, Allowed::AfterLogin),
    ("GETMETADATA", Verb::GetMetadata, Allowed::AfterLogin),
    ("SETMETADATA", Verb::SetMetadata, Allowed::AfterLogin),
    ("IDLE", Verb::Idle, Allowed::AfterLogin),
    ("ESEARCH", Verb::Esearch, Allowed::AfterLogin),
    ("COMPRESS", Verb::Compress, Allowed::AfterLogin),
    ("CHECK", Verb::Check, Allowed::Selected),
    ("CLOSE", Verb::Close, Allowed::Selected),
    ("UNSELECT", Verb::Unselect, Allowed::Selected),
    ("EXPUNGE", Verb::Expunge, Allowed::Selected),
    ("SEARCH", Verb::Search, Allowed::Selected),
    ("CANCELUPDATE", Verb::CancelUpdate, Allowed::Selected),
    ("SORT", Verb::Sort, Allowed::Selected),
    ("THREAD", Verb::Thread, Allowed::Selected),
    ("FETCH", Verb::Fetch, Allowed::Selected),
    ("STORE", Verb::Store, Allowed::Selected),
    ("COPY", Verb::Copy, Allowed::Selected),
    ("MOVE", Verb::Move, Allowed::Selected),
    ("REPLACE", Verb::Replace, Allowed::Selected),
    ("UID", Verb::Uid, Allowed::Selected),
];

/// The verbs that name messages by number unless `UID` stands before them.
const BY_NUMBER: &[Verb] = &[Verb::Copy, Verb::Fetch, Verb::Move, Verb::Search, Verb::Sort, Verb::Store, Verb::Thread];

/// `tag SP`, what every command begins with. The cursor stands at the verb afterwards.
pub fn parse_tag(cursor: &mut Cursor<'_>) -> Option<Tag> {
    // `tag` is ASTRING-CHARs without "+", which begins continuations.
    let tag = cursor.run(|b| matches!(b, b'!'..=b'~') && !b"(){%*\"\\+".contains(&b));
    let tag = std::str::from_utf8(tag).ok()?;
    let whole = !tag.is_empty() && tag.len() <= IMAP_TAG_BYTES_MAX && (cursor.eat(b' ') || cursor.is_at_end());
    whole.then(|| Tag(tag.into()))
}

/// The verb and when it is allowed.
pub fn parse_verb(cursor: &mut Cursor<'_>) -> Parsed<(Verb, Allowed)> {
    let word = cursor.word();
    let known = VERBS.iter().find(|(name, ..)| *name == word);
    known.map(|(_, verb, allowed)| (*verb, *allowed)).ok_or(Trouble::Bad("Unknown command"))
}

/// The arguments of a verb, up to the end of the command.
pub fn parse_arguments(verb: Verb, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    if cursor.dialect().uid_only && BY_NUMBER.contains(&verb) {
        return Err(Trouble::UidRequired);
    }
    let command = match verb {
        Verb::Capability => Command::Capability,
        Verb::Check => Command::Check,
        Verb::Close => Command::Close,
        Verb::Expunge => Command::Expunge,
        Verb::Idle => Command::Idle,
        Verb::Logout => Command::Logout,
        Verb::Namespace => Command::Namespace,
        Verb::Noop => Command::Noop,
        Verb::StartTls => Command::StartTls,
        Verb::Unauthenticate => Command::Unauthenticate,
        Verb::Unselect => Command::Unselect,
        Verb::Authenticate => authenticate(cursor)?,
        Verb::Login => login(cursor)?,
        Verb::Id => id(cursor)?,
        Verb::Enable => enable(cursor)?,
        Verb::Language => language(cursor)?,
        Verb::Compress => compress(cursor)?,
        Verb::Create => mailboxes::create(cursor)?,
        Verb::Rename => mailboxes::rename(cursor)?,
        Verb::Select => mailboxes::select(cursor, false)?,
        Verb::Examine => mailboxes::select(cursor, true)?,
        Verb::List => mailboxes::list(cursor)?,
        Verb::Lsub => mailboxes::lsub(cursor)?,
        Verb::Status => mailboxes::status(cursor)?,
        Verb::SetAcl | Verb::DeleteAcl | Verb::GetAcl | Verb::ListRights | Verb::MyRights => acl::acl(verb, cursor)?,
        Verb::GetMetadata => metadata::get_metadata(cursor)?,
        Verb::GetQuota => {
            cursor.space()?;
            Command::GetQuota(cursor.text()?)
        }
        Verb::Notify => notify::notify(cursor)?,
        Verb::SetMetadata => metadata::set_metadata(cursor)?,
        Verb::Delete | Verb::Subscribe | Verb::Unsubscribe | Verb::GetQuotaRoot => {
            cursor.space()?;
            let mailbox = cursor.mailbox()?;
            match verb {
                Verb::Delete => Command::Delete(mailbox),
                Verb::GetQuotaRoot => Command::GetQuotaRoot(mailbox),
                Verb::Subscribe => Command::Subscribe(mailbox),
                _ => Command::Unsubscribe(mailbox),
            }
        }
        Verb::Fetch => messages::fetch(cursor, false)?,
        Verb::Store => messages::store(cursor, false)?,
        Verb::Copy => Command::Copy(messages::transfer(cursor, false)?),
        Verb::Move => Command::Move(messages::transfer(cursor, false)?),
        Verb::Search => search::search(cursor, false)?,
        Verb::Esearch => multisearch::esearch(cursor)?,
        Verb::CancelUpdate => multisearch::cancel_update(cursor)?,
        Verb::Sort => order::sort(cursor, false)?,
        Verb::Thread => order::thread(cursor, false)?,
        Verb::Uid => uid(cursor)?,
        // Cannot happen: those are read line by line, see [`append_pieces`].
        Verb::Append | Verb::Replace => return Err(Trouble::Bad("A message is missing")),
    };
    cursor.end()?;
    Ok(command)
}

/// Whether a command that was refused wanted to save what it finds: what was saved before is then gone (RFC 5182 section
/// 2.1). The cursor stands at the verb.
pub fn asks_to_save(mut cursor: Cursor<'_>) -> bool {
    if cursor.eat_word("UID") && !cursor.eat(b' ') {
        return false;
    }
    match &cursor.word()[..] {
        "SEARCH" | "SORT" | "THREAD" => {
            search::search_return(&mut cursor, &mut Vec::new()).is_ok_and(|asked| asked.is_some_and(|r| r.save))
        }
        "ESEARCH" => multisearch::esearch_head(&mut cursor, &mut Vec::new()).is_ok_and(|(_, returns)| returns.save),
        _ => false,
    }
}

/// `"UID" SP (copy / fetch / search / sort / thread / store / move / expunge)`.
fn uid(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    match &cursor.word()[..] {
        "FETCH" => messages::fetch(cursor, true),
        "STORE" => messages::store(cursor, true),
        "COPY" => Ok(Command::Copy(messages::transfer(cursor, true)?)),
        "MOVE" => Ok(Command::Move(messages::transfer(cursor, true)?)),
        "SEARCH" => search::search(cursor, true),
        "SORT" => order::sort(cursor, true),
        "THREAD" => order::thread(cursor, true),
        "EXPUNGE" => {
            cursor.space()?;
            cursor.sequence_set().map(Command::UidExpunge)
        }
        _ => Err(Trouble::Bad("Unknown UID command")),
    }
}

/// `SP auth-type [SP initial-resp]` (RFC 4959 section 7).
fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let mechanism = cursor.atom()?.to_ascii_uppercase();
    let mut initial = None;
    if cursor.eat(b' ') && !cursor.is_at_end() {
        initial = Some(Secret(cursor.run(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)).to_vec()));
    }
    Ok(Command::Authenticate { mechanism, initial })
}

/// `SP "DEFLATE"` (RFC 4978 section 5): there is no other.
fn compress(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    match cursor.atom()?.eq_ignore_ascii_case("DEFLATE") {
        true => Ok(Command::Compress),
        false => Err(Trouble::Bad("Only DEFLATE is known")),
    }
}

/// `SP userid SP password`.
fn login(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let user = cursor.text()?;
    cursor.space()?;
    Ok(Command::Login { user, password: Secret(cursor.text()?) })
}

/// `SP ("NIL" / "(" [string SP nstring *(SP string SP nstring)] ")")` (RFC 2971 section 3.1).
fn id(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    if cursor.peek() != Some(b'(') {
        return match cursor.nstring()? {
            None => Ok(Command::Id(Vec::new())),
            Some(_) => Err(Trouble::Bad("ID takes NIL or a list")),
        };
    }
    let fields = cursor.list(|cursor| {
        let field = cursor.string()?;
        cursor.space()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&field), cursor.nstring()?.map(|value| text(&value))))
    })?;
    Ok(Command::Id(fields))
}

/// `1*(SP capability)` (RFC 5161 section 5).
fn enable(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut names = Vec::new();
    while cursor.eat(b' ') && !cursor.is_at_end() {
        if names.len() >= IMAP_LIST_ITEMS_MAX {
            return Err(Trouble::Bad("Too many capabilities"));
        }
        names.push(cursor.atom()?.to_ascii_uppercase());
    }
    if names.is_empty() { Err(Trouble::Bad("A capability is missing")) } else { Ok(Command::Enable(names)) }
}

/// `*(SP lang-range-quoted)` (RFC 5255 section 3.5).
fn language(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut ranges = Vec::new();
    while cursor.eat(b' ') && !cursor.is_at_end() {
        if ranges.len() >= IMAP_LIST_ITEMS_MAX {
            return Err(Trouble::Bad("Too many languages"));
        }
        ranges.push(cursor.text()?);
    }
    Ok(Command::Language(ranges))
}

#[cfg(test)]
mod tests;
