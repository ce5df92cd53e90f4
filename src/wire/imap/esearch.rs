//! ESEARCH: what a search shall return, and the line that returns it (RFC 4731, RFC 5182, RFC 5267, RFC 9394).
//!
//! Receives results in the order of the search: ascending for SEARCH, in any order for SORT (RFC 5267 section 3). Decides
//! which of them MIN, MAX, PARTIAL and SAVE mean, and says nothing of a message that was not found.

use super::command::Tag;
use super::out::Out;
use super::response::{crlf, push, push_mailbox, push_number, push_string};
use super::sequence::NumberSet;
use std::ops::Range;

/// What is asked for with RETURN (RFC 4731 section 3.1). `RETURN ()` sets `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SearchReturn {
    /// `MIN`
    pub min: bool,
    /// `MAX`
    pub max: bool,
    /// `ALL`; never together with `partial`.
    pub all: bool,
    /// `COUNT`
    pub count: bool,
    /// `SAVE` (RFC 5182)
    pub save: bool,
    /// `RELEVANCY` (RFC 6203 section 4)
    pub relevancy: bool,
    /// `UPDATE` (RFC 5267 section 4.3)
    pub update: bool,
    /// `CONTEXT` (RFC 5267 section 4.2): a hint, of which nothing is made.
    pub context: bool,
    /// `PARTIAL` (RFC 9394 section 3.1)
    pub partial: Option<PartialRange>,
}

impl SearchReturn {
    /// `RETURN ()`.
    pub const ALL: SearchReturn = SearchReturn {
        min: false,
        max: false,
        all: true,
        count: false,
        save: false,
        relevancy: false,
        update: false,
        context: false,
        partial: None,
    };

    /// Whether an ESEARCH response is said at all: SAVE alone says nothing (RFC 9051 section 6.4.4).
    pub fn tells(&self) -> bool {
        let some = self.min || self.max || self.all || self.count || self.partial.is_some();
        some || self.relevancy || self.update || self.context
    }

    /// What SAVE saves of the UIDs that were found (RFC 5182 section 2.4, RFC 9394 section 3.2).
    pub fn saved(&self, found: Results<'_>) -> NumberSet {
        if self.all || self.count || !(self.min || self.max || self.partial.is_some()) {
            return found.part(0..found.count());
        }
        let mut ranges = match self.partial {
            Some(partial) => found.part(partial.places(found.count())).ranges().to_vec(),
            None => Vec::new(),
        };
        for (wanted, number) in [(self.min, found.first()), (self.max, found.last())] {
            if let (true, Some(number)) = (wanted, number) {
                ranges.push((number, number));
            }
        }
        NumberSet::of_ranges(ranges)
    }
}

/// `partial-range` (RFC 9394 section 4): places in the list of results, as the client wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialRange {
    /// One end, at least 1.
    pub first: u32,
    /// The other end, at least 1; maybe below `first`.
    pub last: u32,
    /// `-1:-100`: counted from the last result backwards.
    pub from_end: bool,
}

impl PartialRange {
    /// The places that it means among that many results, counted from 0; empty when there are none.
    pub fn places(&self, count: u64) -> Range<u64> {
        let (near, far) = (self.first.min(self.last), self.first.max(self.last));
        let (before, through) = ((u64::from(near) - 1).min(count), u64::from(far).min(count));
        match self.from_end {
            false => before..through,
            true => count - through..count - before,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (at, end) in [self.first, self.last].into_iter().enumerate() {
            push(out, if at > 0 { ":" } else { "" });
            push(out, if self.from_end { "-" } else { "" });
            push_number(out, u64::from(end));
        }
    }
}

/// Numbers in the order of the search.
#[derive(Clone, Copy, Debug)]
pub enum Results<'a> {
    /// Ascending.
    Set(&'a NumberSet),
    /// In the order of a SORT, each number once.
    Sorted(&'a [u32]),
}

impl Results<'_> {
    fn count(&self) -> u64 {
        match self {
            Results::Set(set) => set.count(),
            Results::Sorted(list) => list.len() as u64,
        }
    }

    /// MIN: the first in order (RFC 5267 section 3.1).
    fn first(&self) -> Option<u32> {
        match self {
            Results::Set(set) => set.min(),
            Results::Sorted(list) => list.first().copied(),
        }
    }

    fn last(&self) -> Option<u32> {
        match self {
            Results::Set(set) => set.max(),
            Results::Sorted(list) => list.last().copied(),
        }
    }

    /// The results at these places, as a set.
    pub fn part(&self, places: Range<u64>) -> NumberSet {
        match self {
            Results::Set(set) => set.part(places),
            Results::Sorted(list) => {
                let part = list.get(places.start as usize..places.end as usize).unwrap_or_default();
                NumberSet::of_ranges(part.iter().map(|number| (*number, *number)).collect())
            }
        }
    }

    /// The results at these places in order. A range stands for numbers that ascend (RFC 5267 section 3.2).
    fn encode_part(&self, out: &mut Vec<u8>, places: Range<u64>) {
        let list = match self {
            Results::Set(set) => return set.part(places).encode(out),
            Results::Sorted(list) => list.get(places.start as usize..places.end as usize).unwrap_or_default(),
        };
        for (at, run) in list.chunk_by(|one, next| one.checked_add(1) == Some(*next)).enumerate() {
            push(out, if at > 0 { "," } else { "" });
            run.first().into_iter().for_each(|first| push_number(out, u64::from(*first)));
            if let (true, Some(last)) = (run.len() > 1, run.last()) {
                out.push(b':');
                push_number(out, u64::from(*last));
            }
        }
    }
}

/// What a response belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Correlators<'a> {
    /// The tag of the command.
    pub tag: &'a Tag,
    /// The mailbox that was searched and its UIDVALIDITY, when the command names mailboxes (RFC 7377 section 2.1).
    pub mailbox: Option<(&'a str, u32)>,
    /// Results are UIDs.
    pub uid: bool,
}

impl Correlators<'_> {
    fn write(&self, out: &mut Out) {
        push(out, "* ESEARCH (TAG ");
        push_string(out, self.tag.as_str().as_bytes());
        if let Some((name, uid_validity)) = self.mailbox {
            push(out, " MAILBOX ");
            push_mailbox(out, name);
            push(out, " UIDVALIDITY ");
            push_number(out, u64::from(uid_validity));
        }
        push(out, if self.uid { ") UID" } else { ")" });
    }
}

/// `* ESEARCH (...) REMOVEFROM (0 ...) ADDTO (0 ...)`: what leaves the result of a search and what comes into it (RFC 5267
/// section 4.3.2). Position 0: the client keeps it in the order of the mailbox.
pub fn changed(out: &mut Out, correlators: Correlators<'_>, removed: &NumberSet, added: &NumberSet) {
    correlators.write(out);
    for (name, set) in [(" REMOVEFROM (0 ", removed), (" ADDTO (0 ", added)] {
        if !set.is_empty() {
            push(out, name);
            set.encode(out);
            out.push(b')');
        }
    }
    crlf(out);
}

/// One ESEARCH response.
#[derive(Clone, Copy, Debug)]
pub struct Esearch<'a> {
    /// What it belongs to.
    pub correlators: Correlators<'a>,
    /// What is asked for.
    pub returns: SearchReturn,
    /// What was found.
    pub found: Results<'a>,
    /// The score of each result in their order, for RELEVANCY.
    pub scores: &'a [u8],
    /// MODSEQ (RFC 4731 section 3.2); not told of an empty result.
    pub modseq: Option<u64>,
}

impl Esearch<'_> {
    /// `* ESEARCH (TAG "a1" ...) [UID] ...`: of an empty result only COUNT and PARTIAL are told.
    pub fn write(&self, out: &mut Out) {
        let (returns, count) = (self.returns, self.found.count());
        self.correlators.write(out);
        for (wanted, name, number) in
            [(returns.min, " MIN ", self.found.first()), (returns.max, " MAX ", self.found.last())]
        {
            if let (true, Some(number)) = (wanted, number) {
                push(out, name);
                push_number(out, u64::from(number));
            }
        }
        if returns.count {
            push(out, " COUNT ");
            push_number(out, count);
        }
        if returns.all && count > 0 {
            push(out, " ALL ");
            self.found.encode_part(out, 0..count);
        }
        if let Some(partial) = returns.partial {
            push(out, " PARTIAL (");
            partial.encode(out);
            out.push(b' ');
            match partial.places(count) {
                none if none.is_empty() => push(out, "NIL"),
                places => self.found.encode_part(out, places),
            }
            out.push(b')');
        }
        if returns.relevancy {
            self.write_scores(out);
        }
        // 0 is that of nothing: a window of PARTIAL may be empty though messages were found.
        if let (Some(modseq @ 1..), true) = (self.modseq, count > 0) {
            push(out, " MODSEQ ");
            push_number(out, modseq);
        }
        crlf(out);
    }

    /// `RELEVANCY (4 99 42)`: of the results told by ALL or PARTIAL, or of all.
    fn write_scores(&self, out: &mut Out) {
        let places = match self.returns.partial {
            Some(partial) => partial.places(self.scores.len() as u64),
            None => 0..self.scores.len() as u64,
        };
        push(out, " RELEVANCY (");
        let scores = self.scores.get(places.start as usize..places.end as usize).unwrap_or_default();
        for (at, score) in scores.iter().enumerate() {
            push(out, if at > 0 { " " } else { "" });
            push_number(out, u64::from(*score));
        }
        out.push(b')');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTHING: SearchReturn = SearchReturn { all: false, ..SearchReturn::ALL };

    fn said(uid: bool, returns: SearchReturn, found: Results<'_>, modseq: Option<u64>) -> String {
        let mut out = Out::default();
        Esearch {
            correlators: Correlators { tag: &Tag("A\"1".into()), mailbox: None, uid },
            returns,
            found,
            scores: &[],
            modseq,
        }
        .write(&mut out);
        String::from_utf8(out.take()).unwrap()
    }

    fn set(numbers: &[u32]) -> NumberSet {
        numbers.iter().copied().collect()
    }

    fn partial(first: u32, last: u32, from_end: bool) -> SearchReturn {
        SearchReturn { partial: Some(PartialRange { first, last, from_end }), ..NOTHING }
    }

    #[test]
    fn everything_at_once() {
        let returns = SearchReturn { min: true, max: true, count: true, ..SearchReturn::ALL };
        let (some, none) = (set(&[2, 10, 11]), set(&[]));
        assert_eq!(
            said(true, returns, Results::Set(&some), Some(5)),
            "* ESEARCH (TAG \"A\\\"1\") UID MIN 2 MAX 11 COUNT 3 ALL 2,10:11 MODSEQ 5\r\n"
        );
        assert_eq!(said(false, returns, Results::Set(&none), Some(5)), "* ESEARCH (TAG \"A\\\"1\") COUNT 0\r\n");
        assert_eq!(
            said(true, returns, Results::Sorted(&[11, 2, 3, 4, 1]), None),
            "* ESEARCH (TAG \"A\\\"1\") UID MIN 11 MAX 1 COUNT 5 ALL 11,2:4,1\r\n"
        );
    }

    #[test]
    fn a_mailbox_is_a_correlator() {
        let mut out = Out::default();
        let found = set(&[921_691]);
        let esearch = Esearch {
            correlators: Correlators { tag: &Tag("tag1".into()), mailbox: Some(("folder2/peach", 3)), uid: true },
            returns: SearchReturn::ALL,
            found: Results::Set(&found),
            scores: &[],
            modseq: None,
        };
        esearch.write(&mut out);
        let wanted = "* ESEARCH (TAG \"tag1\" MAILBOX folder2/peach UIDVALIDITY 3) UID ALL 921691\r\n";
        assert_eq!(String::from_utf8(out.take()).unwrap(), wanted);
    }

    #[test]
    fn a_part_of_the_results() {
        let found = set(&[3, 4, 5, 9, 20, 21]);
        for (range, wanted) in [
            ((1, 2, false), "PARTIAL (1:2 3:4)"),
            ((4, 3, false), "PARTIAL (4:3 5,9)"),
            ((5, 500, false), "PARTIAL (5:500 20:21)"),
            ((7, 9, false), "PARTIAL (7:9 NIL)"),
            ((1, 2, true), "PARTIAL (-1:-2 20:21)"),
            ((900, 5, true), "PARTIAL (-900:-5 3:4)"),
            ((7, 900, true), "PARTIAL (-7:-900 NIL)"),
            ((1, u32::MAX, true), "PARTIAL (-1:-4294967295 3:5,9,20:21)"),
        ] {
            let said = said(true, partial(range.0, range.1, range.2), Results::Set(&found), None);
            assert_eq!(said, format!("* ESEARCH (TAG \"A\\\"1\") UID {wanted}\r\n"));
        }
        let said = said(false, partial(2, 4, false), Results::Sorted(&[9, 1, 2, 3]), None);
        assert_eq!(said, "* ESEARCH (TAG \"A\\\"1\") PARTIAL (2:4 1:3)\r\n");
    }

    #[test]
    fn scores_go_with_the_results() {
        let found = set(&[1, 5, 10]);
        let said = |returns: SearchReturn| {
            let mut out = Out::default();
            let found = Results::Set(&found);
            let tag = Tag("B1".into());
            let returns = SearchReturn { relevancy: true, ..returns };
            Esearch {
                correlators: Correlators { tag: &tag, mailbox: None, uid: false },
                returns,
                found,
                scores: &[4, 99, 42],
                modseq: None,
            }
            .write(&mut out);
            String::from_utf8(out.take()).unwrap()
        };
        assert_eq!(said(SearchReturn::ALL), "* ESEARCH (TAG \"B1\") ALL 1,5,10 RELEVANCY (4 99 42)\r\n");
        assert_eq!(said(partial(2, 9, false)), "* ESEARCH (TAG \"B1\") PARTIAL (2:9 5,10) RELEVANCY (99 42)\r\n");
    }

    #[test]
    fn results_that_change() {
        let said = |uid: bool, removed: &[u32], added: &[u32]| {
            let mut out = Out::default();
            changed(&mut out, Correlators { tag: &Tag("B01".into()), mailbox: None, uid }, &set(removed), &set(added));
            String::from_utf8(out.take()).unwrap()
        };
        assert_eq!(said(true, &[], &[32_768, 32_769]), "* ESEARCH (TAG \"B01\") UID ADDTO (0 32768:32769)\r\n");
        assert_eq!(said(false, &[7], &[9, 11]), "* ESEARCH (TAG \"B01\") REMOVEFROM (0 7) ADDTO (0 9,11)\r\n");
    }

    #[test]
    fn what_is_saved_depends_on_what_is_returned() {
        let found = set(&[2, 10, 11, 15, 21]);
        let saved = |returns: SearchReturn| returns.saved(Results::Set(&found)).iter().collect::<Vec<_>>();
        let all = vec![2, 10, 11, 15, 21];
        assert_eq!(saved(NOTHING), all);
        assert_eq!(saved(SearchReturn { min: true, ..NOTHING }), [2]);
        assert_eq!(saved(SearchReturn { max: true, ..NOTHING }), [21]);
        assert_eq!(saved(SearchReturn { min: true, max: true, ..NOTHING }), [2, 21]);
        assert_eq!(saved(SearchReturn { min: true, max: true, count: true, ..NOTHING }), all);
        assert_eq!(saved(SearchReturn { min: true, all: true, ..NOTHING }), all);
        assert_eq!(saved(partial(2, 3, false)), [10, 11]);
        assert_eq!(saved(SearchReturn { min: true, ..partial(2, 3, false) }), [2, 10, 11]);
        assert_eq!(saved(SearchReturn { max: true, min: true, ..partial(2, 3, false) }), [2, 10, 11, 21]);
        assert_eq!(saved(SearchReturn { count: true, ..partial(2, 3, false) }), all);
        assert_eq!(saved(partial(9, 10, false)), []);
        let sorted = SearchReturn { min: true, ..partial(2, 3, false) }.saved(Results::Sorted(&[7, 3, 9, 1]));
        assert_eq!(sorted.iter().collect::<Vec<_>>(), [3, 7, 9]);
    }

    proptest! {
        #[test]
        fn a_part_is_what_a_list_would_give(
            numbers in proptest::collection::btree_set(1u32..60, 0..40), first in 1u32..50, last in 1u32..50, from_end: bool
        ) {
            let mut list: Vec<u32> = numbers.iter().copied().collect();
            let set: NumberSet = list.iter().copied().collect();
            let places = PartialRange { first, last, from_end }.places(set.count());
            let part: Vec<u32> = set.part(places).iter().collect();
            if from_end {
                list.reverse();
            }
            let (near, far) = (first.min(last) as usize, first.max(last) as usize);
            let mut wanted: Vec<u32> = list.into_iter().skip(near - 1).take(far - near + 1).collect();
            wanted.sort_unstable();
            prop_assert_eq!(part, wanted);
        }
    }
}
