//! Arguments of SORT and THREAD (RFC 5256 section 5, RFC 5957 section 5), SORT with RETURN (RFC 5267 section 3).

use super::super::command::Command;
use super::super::order::{Sort, SortCriterion, SortKey, Thread, ThreadAlgorithm};
use super::cursor::{Cursor, Parsed, Trouble};
use super::search;

/// `[SP "RETURN" SP "(" ... ")"] SP sort-criteria SP search-criteria`.
pub fn sort(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    let returns = search::search_return(cursor, &mut Vec::new())?;
    cursor.space()?;
    let criteria = cursor.list(criterion)?;
    if criteria.is_empty() {
        return Err(Trouble::Bad("A sort criterion is missing"));
    }
    cursor.space()?;
    let sort = Sort { uid, returns, criteria, key: search::search_criteria(cursor)? };
    // CONTEXT=SORT is not supported.
    if sort.returns.is_some_and(|returns| returns.update || returns.context) {
        return Err(Trouble::Bad("Unknown return option"));
    }
    search::check_relevancy(sort.is_scored(), &sort.key)?;
    Ok(Command::Sort(sort))
}

/// `["REVERSE" SP] sort-key`.
fn criterion(cursor: &mut Cursor<'_>) -> Parsed<SortCriterion> {
    let reverse = cursor.eat_word("REVERSE");
    if reverse {
        cursor.space()?;
    }
    let word = cursor.word();
    let known = SortKey::ALL.iter().find(|(_, name)| *name == word);
    let (key, _) = known.ok_or(Trouble::Bad("Unknown sort criterion"))?;
    Ok(SortCriterion { key: *key, reverse })
}

/// `SP thread-alg SP search-criteria`.
pub fn thread(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.space()?;
    let word = cursor.atom()?.to_ascii_uppercase();
    let known = ThreadAlgorithm::ALL.iter().find(|(_, name)| *name == word);
    let (algorithm, _) = known.ok_or(Trouble::Bad("Unknown threading algorithm"))?;
    cursor.space()?;
    Ok(Command::Thread(Thread { uid, algorithm: *algorithm, key: search::search_criteria(cursor)? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::imap::command::SearchKey;
    use crate::wire::imap::esearch::SearchReturn;
    use proptest::prelude::*;

    fn parsed(arguments: &str) -> Parsed<Command> {
        sort(&mut Cursor::new(arguments.as_bytes()), true)
    }

    #[test]
    fn criteria_charset_and_keys() {
        let criteria = [(SortKey::Subject, false), (SortKey::Date, true)];
        let criteria = criteria.map(|(key, reverse)| SortCriterion { key, reverse }).to_vec();
        let wanted = Sort { uid: true, returns: None, criteria, key: SearchKey::All };
        assert_eq!(parsed(" (SUBJECT reverse Date) UTF-8 ALL"), Ok(Command::Sort(wanted.clone())));
        let wanted = Sort { returns: Some(SearchReturn::ALL), ..wanted };
        assert_eq!(parsed(" RETURN () (SUBJECT reverse Date) \"us-ascii\" ALL"), Ok(Command::Sort(wanted)));
        for bad in [
            " () UTF-8 ALL",
            " (REVERSE) UTF-8 ALL",
            " (DATE  SIZE) UTF-8 ALL",
            " (DATE)UTF-8 ALL",
            " (DATE) UTF-8",
            " (RELEVANCY) UTF-8 ALL",
            " RETURN (RELEVANCY) (DATE) UTF-8 ALL",
        ] {
            assert!(matches!(parsed(bad), Err(Trouble::Bad(_))), "{bad}");
        }
        assert!(matches!(parsed(" (DATE) KLINGON ALL"), Err(Trouble::No(..))));
    }

    #[test]
    fn an_algorithm_charset_and_keys() {
        let thread = |arguments: &str| thread(&mut Cursor::new(arguments.as_bytes()), false);
        for (algorithm, name) in ThreadAlgorithm::ALL {
            let wanted = Thread { uid: false, algorithm, key: SearchKey::All };
            assert_eq!(thread(&format!(" {} UTF-8 ALL", name.to_lowercase())), Ok(Command::Thread(wanted)));
        }
        for bad in [" SUBJECT UTF-8 ALL", " REFS UTF-8", " REFS", " \"REFS\" UTF-8 ALL", ""] {
            assert!(matches!(thread(bad), Err(Trouble::Bad(_))), "{bad}");
        }
        assert!(matches!(thread(" REFS KLINGON ALL"), Err(Trouble::No(..))));
    }

    proptest! {
        #[test]
        fn criteria_come_back_as_they_were_written(asked in proptest::collection::vec((0usize..10, any::<bool>()), 1..12)) {
            let words = asked.iter().map(|(key, reverse)| {
                format!("{}{}", if *reverse { "REVERSE " } else { "" }, SortKey::ALL[*key].1)
            });
            let text = format!(" ({}) UTF-8 FUZZY ALL", words.collect::<Vec<_>>().join(" "));
            let criteria: Vec<SortCriterion> =
                asked.iter().map(|(key, reverse)| SortCriterion { key: SortKey::ALL[*key].0, reverse: *reverse }).collect();
            let read = parsed(&text);
            prop_assert!(matches!(read, Ok(Command::Sort(sort)) if sort.criteria == criteria));
        }
    }
}
