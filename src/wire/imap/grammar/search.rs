//! Arguments of SEARCH (RFC 3501 section 6.4.4) with RETURN (RFC 4731), MODSEQ (RFC 7162) and WITHIN (RFC 5032).

use super::super::command::{Command, Day, Search, SearchKey, SearchReturn};
use super::super::flag::SystemFlags;
use super::super::response::Code;
use super::cursor::{Cursor, Parsed, Trouble, utf8};
use crate::limits::{IMAP_SEARCH_DEPTH_MAX, IMAP_SEARCH_KEYS_MAX};
use crate::wire::charset;
use crate::wire::date::parse_search_date;

/// `[SP "RETURN" SP "(" ... ")"] SP ["CHARSET" SP astring SP] search-key *(SP search-key)`.
pub fn search(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    let mut keys = Keys { charset: None, seen: 0 };
    let mut returns = None;
    cursor.space()?;
    if cursor.eat_word("RETURN") {
        cursor.space()?;
        returns = Some(search_return(cursor)?);
        cursor.space()?;
    }
    if cursor.eat_word("CHARSET") {
        cursor.space()?;
        let name = cursor.astring()?;
        if charset::encoding(&name).is_none() {
            return Err(Trouble::No(Code::BadCharset, "This charset is not supported"));
        }
        keys.charset = Some(name.into_owned());
        cursor.space()?;
    }
    let key = keys.all_of(cursor, 0, |cursor| cursor.is_at_end())?;
    Ok(Command::Search(Search { uid, returns, key }))
}

fn search_return(cursor: &mut Cursor<'_>) -> Parsed<SearchReturn> {
    let mut returns = SearchReturn::default();
    let options = cursor.list(|cursor| {
        match &cursor.word()[..] {
            "MIN" => returns.min = true,
            "MAX" => returns.max = true,
            "ALL" => returns.all = true,
            "COUNT" => returns.count = true,
            _ => return Err(Trouble::Bad("Unknown return option of SEARCH")),
        }
        Ok(())
    })?;
    // RFC 4731 section 3.1: an empty list means ALL.
    returns.all |= options.is_empty();
    Ok(returns)
}

struct Keys {
    charset: Option<Vec<u8>>,
    seen: usize,
}

impl Keys {
    /// Keys parted by spaces up to where `ended` says so: one alone, or all of them together.
    fn all_of(
        &mut self,
        cursor: &mut Cursor<'_>,
        depth: usize,
        ended: impl Fn(&Cursor<'_>) -> bool,
    ) -> Parsed<SearchKey> {
        let first = self.key(cursor, depth)?;
        let mut keys = vec![first];
        while !ended(cursor) {
            cursor.space()?;
            // Spaces left at the end of the command.
            if cursor.is_at_end() {
                break;
            }
            keys.push(self.key(cursor, depth)?);
        }
        Ok(if keys.len() > 1 { SearchKey::And(keys) } else { keys.pop().unwrap_or(SearchKey::All) })
    }

    fn key(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<SearchKey> {
        self.seen += 1;
        if depth > IMAP_SEARCH_DEPTH_MAX || self.seen > IMAP_SEARCH_KEYS_MAX {
            return Err(Trouble::No(Code::Limit, "The search is too complex"));
        }
        match cursor.peek() {
            Some(b'(') => {
                cursor.eat(b'(');
                let key = self.all_of(cursor, depth + 1, |cursor| cursor.peek() == Some(b')'))?;
                cursor.expect(b')', "A closing parenthesis is missing")?;
                return Ok(key);
            }
            Some(b'*' | b'0'..=b'9') => return cursor.sequence_set().map(SearchKey::Sequence),
            _ => {}
        }
        let word = cursor.word();
        if let Some(key) = plain_key(&word) {
            return Ok(key);
        }
        cursor.space()?;
        match &word[..] {
            "NOT" => Ok(SearchKey::Not(Box::new(self.key(cursor, depth + 1)?))),
            "OR" => {
                let one = self.key(cursor, depth + 1)?;
                cursor.space()?;
                Ok(SearchKey::Or(Box::new(one), Box::new(self.key(cursor, depth + 1)?)))
            }
            _ => self.key_with_value(cursor, &word),
        }
    }

    fn key_with_value(&self, cursor: &mut Cursor<'_>, word: &str) -> Parsed<SearchKey> {
        Ok(match word {
            "BCC" => SearchKey::Bcc(self.text(cursor)?),
            "BODY" => SearchKey::Body(self.text(cursor)?),
            "CC" => SearchKey::Cc(self.text(cursor)?),
            "FROM" => SearchKey::From(self.text(cursor)?),
            "SUBJECT" => SearchKey::Subject(self.text(cursor)?),
            "TEXT" => SearchKey::Text(self.text(cursor)?),
            "TO" => SearchKey::To(self.text(cursor)?),
            "HEADER" => {
                let name = utf8(cursor.astring()?)?;
                cursor.space()?;
                SearchKey::Header { name, value: self.text(cursor)? }
            }
            "BEFORE" => SearchKey::Before(day(cursor)?),
            "ON" => SearchKey::On(day(cursor)?),
            "SINCE" => SearchKey::Since(day(cursor)?),
            "SENTBEFORE" => SearchKey::SentBefore(day(cursor)?),
            "SENTON" => SearchKey::SentOn(day(cursor)?),
            "SENTSINCE" => SearchKey::SentSince(day(cursor)?),
            "KEYWORD" => SearchKey::Keyword(cursor.keyword()?.to_owned()),
            "UNKEYWORD" => SearchKey::Unkeyword(cursor.keyword()?.to_owned()),
            "LARGER" => SearchKey::Larger(cursor.number64()?),
            "SMALLER" => SearchKey::Smaller(cursor.number64()?),
            // RFC 5032 wants at least 1; clients that compute the interval also send 0.
            "YOUNGER" => SearchKey::Younger(cursor.number()?),
            "OLDER" => SearchKey::Older(cursor.number()?),
            "UID" => SearchKey::Uid(cursor.sequence_set()?),
            "MODSEQ" => SearchKey::ModSeq(modseq(cursor)?),
            _ => return Err(Trouble::Bad("Unknown search key")),
        })
    }

    /// A string to look for, converted to UTF-8. Without CHARSET it is US-ASCII, or UTF-8 (RFC 9051 section 6.4.4).
    fn text(&self, cursor: &mut Cursor<'_>) -> Parsed<String> {
        let bytes = cursor.astring()?;
        let named = self.charset.as_deref().filter(|name| !name.eq_ignore_ascii_case(b"US-ASCII"));
        let Some(encoding) = named.and_then(charset::encoding) else {
            return utf8(bytes);
        };
        let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes);
        text.map(|text| text.into_owned()).ok_or(Trouble::Bad("A string is not of the charset named"))
    }
}

/// Keys without a value.
fn plain_key(word: &str) -> Option<SearchKey> {
    Some(match word {
        "ALL" => SearchKey::All,
        "ANSWERED" => SearchKey::Has(SystemFlags::ANSWERED),
        "DELETED" => SearchKey::Has(SystemFlags::DELETED),
        "DRAFT" => SearchKey::Has(SystemFlags::DRAFT),
        "FLAGGED" => SearchKey::Has(SystemFlags::FLAGGED),
        "SEEN" => SearchKey::Has(SystemFlags::SEEN),
        "UNANSWERED" => SearchKey::Lacks(SystemFlags::ANSWERED),
        "UNDELETED" => SearchKey::Lacks(SystemFlags::DELETED),
        "UNDRAFT" => SearchKey::Lacks(SystemFlags::DRAFT),
        "UNFLAGGED" => SearchKey::Lacks(SystemFlags::FLAGGED),
        "UNSEEN" => SearchKey::Lacks(SystemFlags::SEEN),
        "RECENT" => SearchKey::Recent,
        "NEW" => SearchKey::And(vec![SearchKey::Recent, SearchKey::Lacks(SystemFlags::SEEN)]),
        "OLD" => SearchKey::Not(Box::new(SearchKey::Recent)),
        _ => return None,
    })
}

/// `date`, quoted or not.
fn day(cursor: &mut Cursor<'_>) -> Parsed<Day> {
    parse_search_date(&cursor.astring()?).map(Day).ok_or(Trouble::Bad("A date is not valid"))
}

/// `[entry-name SP entry-type-req SP] mod-sequence-valzer` (RFC 7162 section 3.1.5): the entry may be ignored.
fn modseq(cursor: &mut Cursor<'_>) -> Parsed<u64> {
    if cursor.peek() == Some(b'"') {
        cursor.string()?;
        cursor.space()?;
        cursor.atom()?;
        cursor.space()?;
    }
    cursor.number64()
}
