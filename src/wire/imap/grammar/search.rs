//! Arguments of SEARCH (RFC 3501 section 6.4.4) with RETURN (RFC 4731, RFC 5182, RFC 9394), MODSEQ (RFC 7162) and WITHIN
//! (RFC 5032). SORT and THREAD share them.

use super::super::command::{Command, Day, FetchItem, Search, SearchKey};
use super::super::esearch::{PartialRange, SearchReturn};
use super::super::flag::SystemFlags;
use super::super::object_id::ObjectId;
use super::super::response::Code;
use super::cursor::{Cursor, Parsed, Trouble, utf8};
use super::messages::fetch_items;
use crate::limits::{IMAP_SEARCH_DEPTH_MAX, IMAP_SEARCH_KEYS_MAX};
use crate::wire::charset;
use crate::wire::date::parse_search_date;

/// `[SP "RETURN" SP "(" ... ")"] SP ["CHARSET" SP astring SP] search-key *(SP search-key)`.
pub fn search(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    let mut update_fetch = Vec::new();
    let returns = search_return(cursor, &mut update_fetch)?;
    cursor.space()?;
    let key = search_program(cursor)?;
    check_relevancy(returns.is_some_and(|returns| returns.relevancy), &key)?;
    Ok(Command::Search(Search { uid, returns, update_fetch, key }))
}

/// `["CHARSET" SP astring SP] search-key *(SP search-key)`.
pub fn search_program(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    let mut charset = None;
    if cursor.eat_word("CHARSET") {
        if cursor.dialect().no_charset {
            return Err(Trouble::Bad("After ENABLE UTF8=ACCEPT every string is UTF-8"));
        }
        cursor.space()?;
        charset = Some(search_charset(cursor)?);
        cursor.space()?;
    }
    search_keys(cursor, charset)
}

/// RFC 6203 section 4: without FUZZY there are no scores.
pub fn check_relevancy(scored: bool, key: &SearchKey) -> Parsed<()> {
    match scored && !key.mentions_fuzzy() {
        true => Err(Trouble::Bad("RELEVANCY needs a FUZZY key")),
        false => Ok(()),
    }
}

/// `[SP "RETURN" SP "(" ... ")"]`. `update_fetch`: what UPDATE wants to know of new messages (RFC 5465 section 7).
pub fn search_return(cursor: &mut Cursor<'_>, update_fetch: &mut Vec<FetchItem>) -> Parsed<Option<SearchReturn>> {
    let mut ahead = *cursor;
    if !(ahead.eat(b' ') && ahead.eat_word("RETURN")) {
        return Ok(None);
    }
    *cursor = ahead;
    cursor.space()?;
    let mut returns = SearchReturn::default();
    let options = cursor.list(|cursor| return_option(cursor, &mut returns, update_fetch))?;
    // RFC 4731 section 3.1: an empty list means ALL.
    returns.all |= options.is_empty();
    match returns.all && returns.partial.is_some() {
        // RFC 9394 section 3.1.
        true => Err(Trouble::Bad("ALL and PARTIAL exclude each other")),
        false => Ok(Some(returns)),
    }
}

fn return_option(cursor: &mut Cursor<'_>, returns: &mut SearchReturn, update_fetch: &mut Vec<FetchItem>) -> Parsed<()> {
    match &cursor.word()[..] {
        "MIN" => returns.min = true,
        "MAX" => returns.max = true,
        "ALL" => returns.all = true,
        "COUNT" => returns.count = true,
        "SAVE" => returns.save = true,
        "RELEVANCY" => returns.relevancy = true,
        "UPDATE" => {
            returns.update = true;
            // The grammar of RFC 5465 section 8 has no space there, its example has one.
            let mut ahead = *cursor;
            ahead.eat(b' ');
            if ahead.peek() == Some(b'(') {
                *cursor = ahead;
                *update_fetch = fetch_items(cursor)?;
            }
        }
        "CONTEXT" => returns.context = true,
        "PARTIAL" => {
            cursor.space()?;
            if returns.partial.replace(partial_range(cursor)?).is_some() {
                return Err(Trouble::Bad("PARTIAL is allowed once"));
            }
        }
        _ => return Err(Trouble::Bad("Unknown return option")),
    }
    Ok(())
}

/// `partial-range` (RFC 9394 section 4).
pub fn partial_range(cursor: &mut Cursor<'_>) -> Parsed<PartialRange> {
    let from_end = cursor.eat(b'-');
    let first = cursor.nz_number()?;
    cursor.expect(b':', "A range of results is broken")?;
    if cursor.eat(b'-') != from_end {
        return Err(Trouble::Bad("A range of results has both ends on one side"));
    }
    Ok(PartialRange { first, last: cursor.nz_number()?, from_end })
}

/// The name of a charset that strings can be converted from.
pub fn search_charset(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    let name = cursor.astring()?;
    match charset::encoding(&name) {
        Some(_) => Ok(name.into_owned()),
        None => Err(Trouble::No(Code::BadCharset, "This charset is not supported")),
    }
}

/// `search-criteria` of SORT and THREAD, `charset 1*(SP search-key)` (RFC 5256 section 5).
pub fn search_criteria(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    let charset = search_charset(cursor)?;
    cursor.space()?;
    search_keys(cursor, Some(charset))
}

/// `search-key *(SP search-key)`, up to the end of the command, with strings in that charset.
pub fn search_keys(cursor: &mut Cursor<'_>, charset: Option<Vec<u8>>) -> Parsed<SearchKey> {
    Keys { charset, seen: 0 }.all_of(cursor, 0, |cursor| cursor.is_at_end())
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
            Some(b'*' | b'0'..=b'9') if cursor.dialect().uid_only => return Err(Trouble::UidRequired),
            Some(b'*' | b'$' | b'0'..=b'9') => return cursor.sequence_set().map(SearchKey::Sequence),
            _ => {}
        }
        let word = cursor.word();
        if let Some(key) = plain_key(&word) {
            return Ok(key);
        }
        cursor.space()?;
        match &word[..] {
            // RFC 6203 section 7.
            "FUZZY" => Ok(SearchKey::Fuzzy(Box::new(self.key(cursor, depth + 1)?))),
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
            "SAVEDBEFORE" => SearchKey::SavedBefore(day(cursor)?),
            "SAVEDON" => SearchKey::SavedOn(day(cursor)?),
            "SAVEDSINCE" => SearchKey::SavedSince(day(cursor)?),
            "EMAILID" => SearchKey::EmailId(object_id(cursor)?),
            "THREADID" => SearchKey::ThreadId(object_id(cursor)?),
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
        // RFC 8514 section 4.3: every message has a save date here.
        "ALL" | "SAVEDATESUPPORTED" => SearchKey::All,
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

/// `objectid`: whatever it may be written like; what is none of ours names nothing.
fn object_id(cursor: &mut Cursor<'_>) -> Parsed<Option<ObjectId>> {
    let id = cursor.run(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    match std::str::from_utf8(id) {
        Ok(id) if (1..=255).contains(&id.len()) => Ok(ObjectId::parse(id)),
        _ => Err(Trouble::Bad("An object identifier is missing or too long")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::imap::grammar::{asks_to_save, parse_arguments, parse_verb};
    use crate::wire::imap::sequence::{SequenceNumber, SequenceSet};

    fn parse(text: &str) -> Parsed<Command> {
        let mut cursor = Cursor::new(text.as_bytes());
        let (verb, _) = parse_verb(&mut cursor)?;
        parse_arguments(verb, &mut cursor)
    }

    fn search(text: &str) -> Search {
        match parse(text) {
            Ok(Command::Search(search)) => search,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn partial(first: u32, last: u32, from_end: bool) -> Option<PartialRange> {
        Some(PartialRange { first, last, from_end })
    }

    #[test]
    fn what_an_update_tells_of_new_messages() {
        let fetch = |text: &str| search(&format!("SEARCH RETURN ({text}) ALL")).update_fetch;
        assert_eq!(fetch("UPDATE COUNT"), []);
        assert_eq!(fetch("COUNT UPDATE (UID FLAGS) MIN"), [FetchItem::Uid, FetchItem::Flags]);
        assert_eq!(fetch("UPDATE(UID)"), [FetchItem::Uid]);
        for text in ["UPDATE ()", "COUNT (UID)", "UPDATE (FROB)", "UPDATE  (UID)"] {
            assert!(parse(&format!("SEARCH RETURN ({text}) ALL")).is_err(), "{text}");
        }
    }

    #[test]
    fn return_options() {
        let returns = |text: &str| search(&format!("SEARCH RETURN ({text}) ALL")).returns.unwrap();
        assert_eq!(returns("save"), SearchReturn { save: true, ..SearchReturn::default() });
        assert_eq!(returns("SAVE ALL"), SearchReturn { save: true, ..SearchReturn::ALL });
        assert_eq!(returns("PARTIAL 500:400").partial, partial(500, 400, false));
        assert_eq!(returns("MIN PARTIAL -1:-100 COUNT").partial, partial(1, 100, true));
        for bad in [
            "PARTIAL",
            "PARTIAL 1",
            "PARTIAL 0:5",
            "PARTIAL 1:*",
            "PARTIAL -1:5",
            "PARTIAL 1:-5",
            "PARTIAL 1:2,5",
            "PARTIAL 1:2 ALL",
            "ALL PARTIAL 1:2",
            "PARTIAL 1:2 PARTIAL 3:4",
            "PARTIAL 1:4294967296",
            "SAVE()",
        ] {
            let parsed = parse(&format!("SEARCH RETURN ({bad}) ALL"));
            assert!(matches!(parsed, Err(Trouble::Bad(_))), "{bad}: {parsed:?}");
        }
    }

    #[test]
    fn what_was_saved_is_a_set() {
        let saved = |ranges: &[u32]| SequenceSet {
            ranges: ranges.iter().map(|n| (SequenceNumber::Number(*n), SequenceNumber::Number(*n))).collect(),
            saved: true,
        };
        assert_eq!(search("SEARCH $").key, SearchKey::Sequence(saved(&[])));
        assert_eq!(search("UID SEARCH UID $").key, SearchKey::Uid(saved(&[])));
        assert_eq!(search("SEARCH 7,$,9").key, SearchKey::Sequence(saved(&[7, 9])));
        assert_eq!(parse("UID EXPUNGE $"), Ok(Command::UidExpunge(saved(&[]))));
        assert!(matches!(parse("UID FETCH $ FLAGS"), Ok(Command::Fetch(fetch)) if fetch.set == saved(&[])));
        for bad in ["FETCH $: FLAGS", "FETCH $:5 FLAGS", "FETCH $, FLAGS", "FETCH $$ FLAGS", "FETCH 1$ FLAGS"] {
            assert!(matches!(parse(bad), Err(Trouble::Bad(_))), "{bad}");
        }
        assert!(parse("SELECT x (QRESYNC (1 2 $))").is_err());
    }

    #[test]
    fn a_part_of_a_fetch() {
        let fetched = |text: &str| match parse(text) {
            Ok(Command::Fetch(fetch)) => Some((fetch.partial, fetch.changed_since)),
            _ => None,
        };
        assert_eq!(fetched("UID FETCH 1:* FLAGS (PARTIAL -1:-3)"), Some((partial(1, 3, true), None)));
        assert_eq!(fetched("UID FETCH 1:* FLAGS (CHANGEDSINCE 5 PARTIAL 9:2)"), Some((partial(9, 2, false), Some(5))));
        for bad in ["FETCH 1:* FLAGS (PARTIAL 1:2)", "UID FETCH 1:* FLAGS (PARTIAL 1:2 PARTIAL 1:2)"] {
            assert!(matches!(parse(bad), Err(Trouble::Bad(_))), "{bad}");
        }
    }

    #[test]
    fn who_asks_to_save() {
        let asks = |text: &str| asks_to_save(Cursor::new(text.as_bytes()));
        assert!(asks("SEARCH RETURN (SAVE) CHARSET KLINGON x") && asks("uid search return (all save) BODY {99999}"));
        assert!(!asks("SEARCH RETURN (ALL) SAVE") && !asks("SEARCH SAVE") && !asks("FETCH RETURN (SAVE)"));
        assert!(!asks("UID") && !asks("SEARCH RETURN (SAVE"));
    }
}
