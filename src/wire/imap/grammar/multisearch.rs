//! Arguments of ESEARCH (RFC 7377 section 4) and of CANCELUPDATE (RFC 5267 section 5).

use super::super::command::{Command, FetchItem};
use super::super::esearch::SearchReturn;
use super::super::mailbox::MailboxName;
use super::super::multisearch::{MultiSearch, Source};
use super::super::response::Code;
use super::cursor::{Cursor, Parsed, Trouble, utf8};
use super::search::{check_relevancy, search_program, search_return};
use crate::limits::IMAP_LIST_ITEMS_MAX;

/// `[SP esearch-source-opts] [SP search-return-opts] SP search-program`.
pub fn esearch(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut update_fetch = Vec::new();
    let (sources, returns) = esearch_head(cursor, &mut update_fetch)?;
    cursor.space()?;
    let key = search_program(cursor)?;
    check_relevancy(returns.relevancy, &key)?;
    // RFC 7377 section 2.2: what was saved are messages of the selected mailbox.
    if sources != [Source::Selected] && (returns.save || key.mentions_saved()) {
        return Err(Trouble::Bad("SAVE and $ are for the selected mailbox alone"));
    }
    Ok(Command::MultiSearch(MultiSearch { sources, returns, update_fetch, key }))
}

/// Everything before the search program.
pub fn esearch_head(cursor: &mut Cursor<'_>, update_fetch: &mut Vec<FetchItem>) -> Parsed<(Vec<Source>, SearchReturn)> {
    let mut sources = vec![Source::Selected];
    let mut ahead = *cursor;
    if ahead.eat(b' ') && ahead.eat_word("IN") {
        *cursor = ahead;
        cursor.space()?;
        sources = cursor.list(source)?;
        if sources.is_empty() {
            return Err(Trouble::Bad("A mailbox to search is missing"));
        }
    }
    Ok((sources, search_return(cursor, update_fetch)?.unwrap_or(SearchReturn::ALL)))
}

fn source(cursor: &mut Cursor<'_>) -> Parsed<Source> {
    Ok(match &cursor.word()[..] {
        "SELECTED" => Source::Selected,
        "INBOXES" => Source::Inboxes,
        "PERSONAL" => Source::Personal,
        "SUBSCRIBED" => Source::Subscribed,
        "SUBTREE" => Source::Subtree { names: names(cursor)?, one_level: false },
        "SUBTREE-ONE" => Source::Subtree { names: names(cursor)?, one_level: true },
        "MAILBOXES" => Source::Mailboxes(names(cursor)?),
        _ => return Err(Trouble::Bad("Unknown mailboxes to search")),
    })
}

/// `SP one-or-more-mailbox` (RFC 5465 section 8).
fn names(cursor: &mut Cursor<'_>) -> Parsed<Vec<MailboxName>> {
    cursor.space()?;
    let names = match cursor.peek() {
        Some(b'(') => cursor.list(|cursor| cursor.mailbox())?,
        _ => vec![cursor.mailbox()?],
    };
    if names.is_empty() { Err(Trouble::Bad("A mailbox to search is missing")) } else { Ok(names) }
}

/// `1*(SP quoted)`.
pub fn cancel_update(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut tags = Vec::new();
    while cursor.eat(b' ') && !cursor.is_at_end() {
        if tags.len() >= IMAP_LIST_ITEMS_MAX {
            return Err(Trouble::No(Code::Limit, "Too many items in a list"));
        }
        tags.push(utf8(cursor.string()?)?);
    }
    if tags.is_empty() { Err(Trouble::Bad("A tag is missing")) } else { Ok(Command::CancelUpdate(tags)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::imap::command::SearchKey;

    fn parsed(arguments: &str) -> Parsed<Command> {
        esearch(&mut Cursor::new(arguments.as_bytes()))
    }

    #[test]
    fn sources_and_returns() {
        let name = |name: &str| MailboxName::decode(name.as_bytes()).unwrap();
        let wanted = MultiSearch {
            sources: vec![Source::Selected],
            returns: SearchReturn::ALL,
            update_fetch: Vec::new(),
            key: SearchKey::All,
        };
        assert_eq!(parsed(" ALL"), Ok(Command::MultiSearch(wanted.clone())));
        assert_eq!(parsed(" IN (selected) RETURN () ALL"), Ok(Command::MultiSearch(wanted.clone())));
        let sources = vec![
            Source::Mailboxes(vec![name("folder1")]),
            Source::Subtree { names: vec![name("a"), name("b c")], one_level: true },
            Source::Subtree { names: vec![name("d")], one_level: false },
            Source::Inboxes,
            Source::Personal,
            Source::Subscribed,
        ];
        let text = " IN (mailboxes \"folder1\" SUBTREE-ONE (a \"b c\") subtree d inboxes personal subscribed) ALL";
        assert_eq!(parsed(text), Ok(Command::MultiSearch(MultiSearch { sources, ..wanted })));
        for bad in [
            "",
            " IN () ALL",
            " IN personal ALL",
            " IN (selected-delayed) ALL",
            " IN (mailboxes) ALL",
            " IN (mailboxes ()) ALL",
            " IN (personal (x)) ALL",
            " IN (personal)",
            " IN (personal) RETURN (SAVE) ALL",
            " IN (selected personal) $",
            " RETURN (RELEVANCY) ALL",
        ] {
            assert!(matches!(parsed(bad), Err(Trouble::Bad(_))), "{bad}");
        }
        assert!(parsed(" IN (selected) RETURN (SAVE) UID $").is_ok());
    }

    #[test]
    fn tags_to_cancel() {
        let cancel = |text: &str| cancel_update(&mut Cursor::new(text.as_bytes()));
        assert_eq!(cancel(" \"B01\" \"b\""), Ok(Command::CancelUpdate(vec!["B01".into(), "b".into()])));
        assert!(cancel("").is_err() && cancel(" B01").is_err() && cancel(" ").is_err());
    }
}
