//! SEARCH: does this message match? (RFC 3501 section 6.4.4)
//!
//! Receives a [`SearchKey`] and, message by message, the facts it asks for; hands on yes or no. Reads nothing itself: when
//! the facts at hand do not decide, [`Query::decide`] names what is missing, the cheapest first, so that a search by flags
//! never touches a body. Must always hold: more facts never change an answer that was given.

mod envelope;
mod fuzzy;
mod relevancy;
mod scan;

use crate::limits::{FUZZY_STRING_WORDS_MAX, SEARCH_NEEDLES_MAX};
use crate::mail::index::{BodyIndex, signature};
use crate::mail::message::{BodyId, MessageRow, ModSeq, ThreadId};
use crate::mail::text::fold;
use crate::mail::view::{Span, UidMap};
use crate::wire::date::Timestamp;
use crate::wire::header::encoded_word::decode_text;
use crate::wire::header::fields;
use crate::wire::imap::command::{Day, SearchKey};
use crate::wire::imap::sequence::{NumberSet, SequenceSet};
pub use envelope::{EnvelopeAddress, EnvelopeField, envelope_subject, first_address};
use envelope::{envelope_contains, envelope_text};
use fuzzy::{Fit, Word, bare, fit, may_contain_bare, words};
use memchr::memmem::Finder;
use relevancy::{Place, REMEMBERED, Wish};
use std::ops::Range;

pub use scan::{Hits, Stretch, TextScan, stretches};

const SECONDS_PER_DAY: i64 = 86_400;

/// A search made ready for one mailbox and one view.
#[derive(Clone, Debug)]
pub struct Query {
    test: Test,
    /// Strings to be found in texts; a test names them by their place.
    needles: Vec<Needle>,
    /// The needles that must be in the body, where the header does not count.
    body_needles: u64,
    /// What a score is made of; `None` when none is asked for.
    wishes: Option<Vec<Wish>>,
}

/// A folded string to be found in texts.
#[derive(Clone, Debug)]
struct Needle {
    text: Finder<'static>,
    /// Of a word whose accents do not count, nor those of the text.
    word: Option<Word>,
}

/// What a test costs is the facts it needs; see [`Test::cost`].
#[derive(Clone, Debug, PartialEq)]
enum Test {
    Always(bool),
    /// All of these, cheapest first.
    And(Vec<Test>),
    /// One of these, cheapest first.
    Or(Vec<Test>),
    Not(Box<Test>),
    Flags(u8),
    Keywords(u64),
    Uids(NumberSet),
    /// INTERNALDATE, seconds since the epoch.
    Arrived(Range<i64>),
    /// SAVEDATE, seconds since the epoch.
    Saved(Range<i64>),
    IsBody(BodyId),
    InThread(ThreadId),
    Bytes(Range<u64>),
    ChangedAt(ModSeq),
    /// Days on the writer's calendar.
    Sent(Range<i64>),
    Envelope(EnvelopeField, String),
    /// The name in lower case.
    Header {
        name: String,
        needle: String,
    },
    Body(usize),
    Text(usize),
    /// A bare word in one of these fields, maybe with another spelling.
    Near(&'static [EnvelopeField], String),
    /// All of these bare words in one field, maybe with another spelling; the name in upper case.
    NearHeader {
        name: String,
        words: Vec<String>,
    },
}

/// What is known of one message so far.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Its row.
    pub row: &'a MessageRow,
    /// The thread of its body.
    pub thread: Option<ThreadId>,
    /// What was decided about its body.
    pub index: Option<&'a BodyIndex>,
    /// What its header and texts may contain: see [`signature::may_contain`].
    pub signature: Option<&'a [u8]>,
    /// Its header.
    pub header: Option<&'a [u8]>,
    /// Which needles its texts contain.
    pub hits: Option<Hits>,
}

/// What [`Query::decide`] makes of the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It matches.
    Yes,
    /// It does not.
    No,
    /// [`Facts::thread`] is missing.
    NeedThread,
    /// [`Facts::index`] is missing.
    NeedIndex,
    /// [`Facts::signature`] is missing.
    NeedSignature,
    /// [`Facts::header`] is missing.
    NeedHeader,
    /// [`Facts::hits`] is missing: run a [`TextScan`].
    NeedHits,
}

/// What [`Query::new`] refuses: more different strings for BODY and TEXT than [`SEARCH_NEEDLES_MAX`], or more words in a
/// FUZZY string than [`FUZZY_STRING_WORDS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyStrings;

impl Query {
    /// Makes a key ready: sets mean what they do for `sight`, YOUNGER and OLDER count back from `now`.
    pub fn new(key: &SearchKey, sight: Sight<'_>, now: Timestamp) -> Result<Query, TooManyStrings> {
        Compiler::new(sight, now).query(key)
    }

    /// The same, so that [`Query::relevancy`] can tell how well a message matches.
    pub fn scored(key: &SearchKey, sight: Sight<'_>, now: Timestamp) -> Result<Query, TooManyStrings> {
        Compiler { wishes: Some(Vec::new()), ..Compiler::new(sight, now) }.query(key)
    }

    /// Matches every message.
    pub fn everything() -> Query {
        Query { test: Test::Always(true), needles: Vec::new(), body_needles: 0, wishes: None }
    }

    /// Whether [`Query::relevancy`] is wanted.
    pub fn is_scored(&self) -> bool {
        self.wishes.is_some()
    }

    /// How well a message matches that does, 1 to 100 (RFC 6203 section 4); `Err` names what is missing to tell.
    pub fn relevancy(&self, facts: &Facts) -> Result<u8, Answer> {
        relevancy::score(self.wishes.as_deref().unwrap_or_default(), facts)
    }

    /// The only UIDs that can match, when the key says so at its top level: the rest need not be read.
    pub fn candidates(&self) -> Option<&NumberSet> {
        match &self.test {
            Test::Uids(set) => Some(set),
            Test::And(tests) => tests.iter().find_map(|test| match test {
                Test::Uids(set) => Some(set),
                _ => None,
            }),
            _ => None,
        }
    }

    /// Whether texts of messages may have to be read.
    pub fn reads_texts(&self) -> bool {
        !self.needles.is_empty()
    }

    /// Decides, or says what is missing.
    pub fn decide(&self, facts: &Facts) -> Answer {
        self.test.decide(&self.needles, facts)
    }
}

/// What a session sees of its mailbox: the meaning of numbers, `$` and keywords in its commands.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Its messages.
    pub map: &'a UidMap,
    /// What `$` means; UIDs that are not in the map are passed over.
    pub saved: &'a NumberSet,
    /// The names of the keyword bits.
    pub keywords: &'a [String],
    /// Which store object identifiers must be of.
    pub store: u32,
}

impl Sight<'_> {
    /// The UIDs that a set of sequence numbers means.
    pub fn uids_of_sequence_set(&self, set: &SequenceSet) -> NumberSet {
        let ranges = set.resolve(self.map.len());
        let spans = ranges.ranges().iter().flat_map(|range| self.map.spans_of_seqs(*range));
        self.with_saved(set, spans.collect())
    }

    /// The UIDs of its messages that are in a set of UIDs.
    pub fn uids_of_uid_set(&self, set: &SequenceSet) -> NumberSet {
        let ranges = set.resolve(self.map.last().map_or(0, |uid| uid.0));
        let spans = ranges.ranges().iter().flat_map(|range| self.map.spans_within(*range));
        self.with_saved(set, spans.collect())
    }

    /// These UIDs, and those that `$` means if it is in the set (RFC 5182 section 2.1).
    fn with_saved(&self, set: &SequenceSet, mut spans: Vec<Span>) -> NumberSet {
        if set.saved {
            spans.extend(self.saved.ranges().iter().flat_map(|range| self.map.spans_within(*range)));
        }
        NumberSet::of_ranges(spans)
    }
}

/// The key with sequence numbers and `$` replaced by the UIDs that they mean now (RFC 5267 section 4.3).
pub fn settled(key: &SearchKey, sight: &Sight<'_>) -> SearchKey {
    let all = |keys: &[SearchKey]| keys.iter().map(|key| settled(key, sight)).collect();
    let inside = |key: &SearchKey| Box::new(settled(key, sight));
    match key {
        SearchKey::And(keys) => SearchKey::And(all(keys)),
        SearchKey::Or(one, other) => SearchKey::Or(inside(one), inside(other)),
        SearchKey::Not(key) => SearchKey::Not(inside(key)),
        SearchKey::Fuzzy(key) => SearchKey::Fuzzy(inside(key)),
        SearchKey::Sequence(set) => SearchKey::Uid((&sight.uids_of_sequence_set(set)).into()),
        SearchKey::Uid(set) if set.saved => SearchKey::Uid((&sight.uids_of_uid_set(set)).into()),
        key => key.clone(),
    }
}

struct Compiler<'a> {
    sight: Sight<'a>,
    now: Timestamp,
    needles: Vec<Needle>,
    /// The key at hand is in a FUZZY one.
    fuzzy: bool,
    wishes: Option<Vec<Wish>>,
    too_many_words: bool,
}

impl<'a> Compiler<'a> {
    fn new(sight: Sight<'a>, now: Timestamp) -> Compiler<'a> {
        Compiler { sight, now, needles: Vec::new(), fuzzy: false, wishes: None, too_many_words: false }
    }

    fn query(mut self, key: &SearchKey) -> Result<Query, TooManyStrings> {
        let test = self.test(key);
        // Checked before anything shifts a bit by a needle's place.
        if self.needles.len() > SEARCH_NEEDLES_MAX || self.too_many_words {
            return Err(TooManyStrings);
        }
        Ok(Query { body_needles: test.body_needles(), test, needles: self.needles, wishes: self.wishes })
    }

    fn test(&mut self, key: &SearchKey) -> Test {
        match key {
            SearchKey::All => Test::Always(true),
            SearchKey::And(keys) => self.joined(keys.iter(), Test::And),
            SearchKey::Or(one, other) => self.joined([&**one, &**other].into_iter(), Test::Or),
            SearchKey::Not(key) => Test::Not(Box::new(self.test(key))),
            SearchKey::Sequence(set) => Test::Uids(self.sight.uids_of_sequence_set(set)),
            SearchKey::Uid(set) => Test::Uids(self.sight.uids_of_uid_set(set)),
            SearchKey::Has(flags) => Test::Flags(flags.0),
            SearchKey::Lacks(flags) => Test::Not(Box::new(Test::Flags(flags.0))),
            SearchKey::Keyword(name) => self.keyword(name),
            SearchKey::Unkeyword(name) => Test::Not(Box::new(self.keyword(name))),
            // No session ever sees \Recent.
            SearchKey::Recent => Test::Always(false),
            SearchKey::Before(day) => Test::Arrived(i64::MIN..day_seconds(day.0)),
            SearchKey::On(day) => Test::Arrived(day_seconds(day.0)..day_seconds(day.0.saturating_add(1))),
            SearchKey::Since(day) => Test::Arrived(day_seconds(day.0)..i64::MAX),
            SearchKey::SavedBefore(day) => Test::Saved(i64::MIN..day_seconds(day.0)),
            SearchKey::SavedOn(day) => Test::Saved(day_seconds(day.0)..day_seconds(day.0.saturating_add(1))),
            SearchKey::SavedSince(day) => Test::Saved(day_seconds(day.0)..i64::MAX),
            SearchKey::EmailId(id) => {
                let body = id.and_then(|id| id.body_of(self.sight.store));
                body.map_or(Test::Always(false), |body| Test::IsBody(BodyId(body)))
            }
            SearchKey::ThreadId(id) => {
                let thread = id.and_then(|id| id.thread_of(self.sight.store));
                thread.map_or(Test::Always(false), |thread| Test::InThread(ThreadId(thread)))
            }
            SearchKey::SentBefore(Day(day)) => Test::Sent(i64::MIN..*day),
            SearchKey::SentOn(Day(day)) => Test::Sent(*day..day.saturating_add(1)),
            SearchKey::SentSince(Day(day)) => Test::Sent(*day..i64::MAX),
            SearchKey::Younger(seconds) => Test::Arrived(self.now.seconds() - i64::from(*seconds)..i64::MAX),
            SearchKey::Older(seconds) => Test::Arrived(i64::MIN..self.now.seconds() - i64::from(*seconds) + 1),
            SearchKey::From(string) => self.field(EnvelopeField::From, string),
            SearchKey::To(string) => self.field(EnvelopeField::To, string),
            SearchKey::Cc(string) => self.field(EnvelopeField::Cc, string),
            SearchKey::Bcc(string) => self.field(EnvelopeField::Bcc, string),
            SearchKey::Subject(string) => self.field(EnvelopeField::Subject, string),
            SearchKey::Header { name, value } => self.header(name.to_ascii_uppercase(), fold(value)),
            SearchKey::Body(string) => self.text(fold(string), false),
            SearchKey::Text(string) => self.text(fold(string), true),
            SearchKey::Fuzzy(key) => {
                let outside = std::mem::replace(&mut self.fuzzy, true);
                let test = self.test(key);
                self.fuzzy = outside;
                test
            }
            SearchKey::Larger(bytes) => Test::Bytes(bytes.saturating_add(1)..u64::MAX),
            SearchKey::Smaller(bytes) => Test::Bytes(0..*bytes),
            SearchKey::ModSeq(modseq) => Test::ChangedAt(ModSeq(*modseq)),
        }
    }

    fn joined<'k>(&mut self, keys: impl Iterator<Item = &'k SearchKey>, join: fn(Vec<Test>) -> Test) -> Test {
        let mut tests: Vec<Test> = keys.map(|key| self.test(key)).collect();
        tests.sort_by_key(Test::cost);
        join(tests)
    }

    fn keyword(&self, name: &str) -> Test {
        let bit = self.sight.keywords.iter().take(64).position(|have| have.eq_ignore_ascii_case(name));
        bit.map_or(Test::Always(false), |bit| Test::Keywords(1 << bit))
    }

    fn field(&mut self, field: EnvelopeField, string: &str) -> Test {
        let string = fold(string);
        let Some(words) = self.fuzzy_words(&string) else { return Test::Envelope(field, string) };
        let fields: &'static [EnvelopeField] = field.alone();
        let tests = words.iter().map(|word| Test::Near(fields, word.bare.clone())).collect();
        self.wish(Place::Field(field), string, words);
        Test::And(tests)
    }

    fn header(&mut self, name: String, value: String) -> Test {
        match self.fuzzy_words(&value) {
            Some(words) => {
                let bare = words.iter().map(|word| word.bare.clone()).collect();
                self.wish(Place::Header(name.clone()), value, words);
                Test::NearHeader { name, words: bare }
            }
            None => Test::Header { name, needle: value },
        }
    }

    fn text(&mut self, string: String, header: bool) -> Test {
        let in_texts = if header { Test::Text } else { Test::Body };
        let Some(words) = self.fuzzy_words(&string) else {
            // Every message contains the empty string.
            return if string.is_empty() { Test::Always(true) } else { in_texts(self.needle(&string, None)) };
        };
        let places: Vec<usize> = words.iter().map(|word| self.needle(&word.bare, Some(word))).collect();
        let test = |(word, needle): (&Word, &usize)| match header {
            true => Test::Or(vec![Test::Near(&REMEMBERED, word.bare.clone()), Test::Text(*needle)]),
            false => Test::Body(*needle),
        };
        let tests = words.iter().zip(&places).map(test).collect();
        // The string as it is only matters for the score.
        let whole = self.wishes.is_some().then(|| self.needle(&string, None));
        self.wish(Place::Text { header, string: whole, words: places }, string, words);
        Test::And(tests)
    }

    /// The words of a folded string in a FUZZY key; `None` outside of one, and for a string without words.
    fn fuzzy_words(&mut self, folded: &str) -> Option<Vec<Word>> {
        let found: Vec<Word> = match self.fuzzy {
            true => words(folded).take(FUZZY_STRING_WORDS_MAX + 1).map(Word::new).collect(),
            false => Vec::new(),
        };
        self.too_many_words |= found.len() > FUZZY_STRING_WORDS_MAX;
        (!found.is_empty()).then_some(found)
    }

    fn wish(&mut self, place: Place, string: String, words: Vec<Word>) {
        if let Some(wishes) = &mut self.wishes {
            let words = words.into_iter().map(|word| word.bare).collect();
            wishes.push(Wish { place, string, words });
        }
    }

    /// The place of a needle, which is not empty, among all.
    fn needle(&mut self, text: &str, word: Option<&Word>) -> usize {
        let same = |needle: &Needle| needle.text.needle() == text.as_bytes() && needle.word.as_ref() == word;
        self.needles.iter().position(same).unwrap_or_else(|| {
            self.needles.push(Needle { text: Finder::new(text).into_owned(), word: word.cloned() });
            self.needles.len() - 1
        })
    }
}

fn day_seconds(day: i64) -> i64 {
    day.saturating_mul(SECONDS_PER_DAY)
}

impl Test {
    /// 0: the row; 1: its index; 2: its header; 3: its texts.
    fn cost(&self) -> u8 {
        match self {
            Test::And(tests) | Test::Or(tests) => tests.iter().map(Test::cost).max().unwrap_or(0),
            Test::Not(test) => test.cost(),
            Test::Sent(_) | Test::Envelope(..) | Test::Near(..) | Test::InThread(_) => 1,
            Test::Header { .. } | Test::NearHeader { .. } => 2,
            Test::Body(_) | Test::Text(_) => 3,
            _ => 0,
        }
    }

    /// The needles that BODY tests name.
    fn body_needles(&self) -> u64 {
        match self {
            Test::And(tests) | Test::Or(tests) => tests.iter().fold(0, |bits, test| bits | test.body_needles()),
            Test::Not(test) => test.body_needles(),
            Test::Body(needle) => 1 << needle,
            _ => 0,
        }
    }

    fn decide(&self, needles: &[Needle], facts: &Facts) -> Answer {
        let row = facts.row;
        let is = |matches: bool| if matches { Answer::Yes } else { Answer::No };
        match self {
            Test::Always(matches) => is(*matches),
            Test::And(tests) => joined_answer(tests.iter().map(|test| test.decide(needles, facts)), Answer::No),
            Test::Or(tests) => joined_answer(tests.iter().map(|test| test.decide(needles, facts)), Answer::Yes),
            Test::Not(test) => match test.decide(needles, facts) {
                Answer::Yes => Answer::No,
                Answer::No => Answer::Yes,
                need => need,
            },
            Test::Flags(flags) => is(row.flags.0 & flags == *flags),
            Test::Keywords(bits) => is(row.keywords & bits == *bits),
            Test::Uids(set) => is(set.contains(row.uid.0)),
            Test::Saved(seconds) => is(seconds.contains(&facts.row.saved.seconds())),
            Test::IsBody(body) => is(facts.row.body == *body),
            Test::InThread(thread) => facts.thread.map_or(Answer::NeedThread, |of| is(of == *thread)),
            Test::Arrived(seconds) => is(seconds.contains(&row.internal_date.seconds())),
            Test::Bytes(bytes) => is(bytes.contains(&row.bytes)),
            Test::ChangedAt(modseq) => is(row.modseq >= *modseq),
            Test::Sent(days) => match facts.index {
                Some(index) => is(sent_day(index).is_some_and(|day| days.contains(&day))),
                None => Answer::NeedIndex,
            },
            Test::Envelope(field, needle) => match facts.index {
                Some(index) => is(envelope_contains(&index.envelope, *field, needle)),
                None => Answer::NeedIndex,
            },
            Test::Header { name, needle } => match facts.header {
                Some(header) => is(header_contains(header, name, needle)),
                None => unless_ruled_out(facts.signature, &header_texts(name, needle), Answer::NeedHeader),
            },
            Test::Near(fields, word) => match facts.index {
                Some(index) => {
                    let mut texts = fields.iter().filter_map(|field| envelope_text(&index.envelope, *field));
                    is(texts.any(|text| fit(&bare(&text), word) != Fit::Not))
                }
                None => Answer::NeedIndex,
            },
            Test::NearHeader { name, words } => match facts.header {
                Some(header) => {
                    let text = bare(&header_text(header, name));
                    is(words.iter().all(|word| fit(&text, word) != Fit::Not))
                }
                None => unless_ruled_out(facts.signature, &header_texts(name, ""), Answer::NeedHeader),
            },
            Test::Body(needle) | Test::Text(needle) => {
                let found = |hits: Hits| match self {
                    Test::Body(_) => hits.body,
                    _ => hits.body | hits.header,
                };
                match (facts.hits, needles.get(*needle)) {
                    (Some(hits), _) => is(found(hits) >> needle & 1 == 1),
                    (None, Some(needle)) => needle.unless_ruled_out(facts.signature),
                    (None, None) => Answer::No,
                }
            }
        }
    }
}

impl Needle {
    /// NeedHits, unless the signature is missing, or says that the needle is not in the message.
    fn unless_ruled_out(&self, signature: Option<&[u8]>) -> Answer {
        match (signature, &self.word) {
            (Some(signature), Some(word)) if may_contain_bare(signature, word) => Answer::NeedHits,
            (Some(_), Some(_)) => Answer::No,
            _ => unless_ruled_out(signature, &[self.text.needle()], Answer::NeedHits),
        }
    }
}

/// `need`, unless the signature is missing, or says that one of these is not in the message.
fn unless_ruled_out(signature: Option<&[u8]>, all_of: &[&[u8]], need: Answer) -> Answer {
    match signature {
        None => Answer::NeedSignature,
        Some(signature) if all_of.iter().all(|text| signature::may_contain(signature, text)) => need,
        Some(_) => Answer::No,
    }
}

/// The answer of AND or OR: that which one test alone can give, else the first need (the tests are sorted by cost), else
/// the other one.
fn joined_answer(answers: impl Iterator<Item = Answer>, alone: Answer) -> Answer {
    let mut need = None;
    for answer in answers {
        match answer {
            answer if answer == alone => return answer,
            Answer::Yes | Answer::No => {}
            answer => need = need.or(Some(answer)),
        }
    }
    need.unwrap_or(if alone == Answer::No { Answer::Yes } else { Answer::No })
}

/// The day of the Date field on its writer's calendar (RFC 3501 section 6.4.4: "disregarding time and timezone").
fn sent_day(index: &BodyIndex) -> Option<i64> {
    let local = index.sent_seconds?.saturating_add(i64::from(index.sent_zone_minutes) * 60);
    Some(local.div_euclid(SECONDS_PER_DAY))
}

/// What the folded text of a header has if a field of that name contains the needle. The text of a field and that of its
/// value alone may differ behind a name that is not plain: then nothing is certain.
fn header_texts<'t>(name: &'t str, needle: &'t str) -> [&'t [u8]; 2] {
    match name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.contains("=?") {
        true => [name.as_bytes(), needle.as_bytes()],
        false => [b"", b""],
    }
}

/// The folded text of all fields of that name, one a line.
fn header_text(header: &[u8], name: &str) -> String {
    let mut text = String::new();
    for field in fields(header).filter(|field| field.is(name.as_bytes())) {
        text.push_str(fold(&decode_text(field.value.trim_ascii_end())).trim_start());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// Whether a field of that name contains the needle; an empty needle asks for the field alone.
fn header_contains(header: &[u8], name: &str, needle: &str) -> bool {
    fields(header)
        .filter(|field| field.is(name.as_bytes()))
        .any(|field| fold(&decode_text(field.value.trim_ascii_end())).contains(needle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::{Indexer, Part, PartKind, TransferEncoding};
    use crate::mail::message::{BodyId, SystemFlags, Uid};
    use crate::wire::imap::sequence::SequenceNumber::{Largest, Number};
    use proptest::prelude::*;

    const HEADER: &str = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Berlin\r\nX-Spam-Status: No,\r\n score=1\r\n\r\n";
    const TEXT: &str = "Der Zug f=C3=A4hrt um Acht.\r\n";

    fn index() -> BodyIndex {
        let envelope = b"(\"Tue, 1 Jul 2003 23:30:00 -0200\" \"=?utf-8?q?Gr=C3=BC=C3=9Fe?= aus \\\"Berlin\\\"\" \
            ((\"=?iso-8859-1?q?J=FCrgen?=\" NIL \"juergen\" \"example.org\")) NIL NIL \
            ((NIL NIL {5}\r\nalice \"home.test\")(NIL NIL \"bob\" \"home.test\")) NIL \
            ((NIL NIL \"friends\" NIL)(\"C\" NIL \"c\" \"d.test\")(NIL NIL NIL NIL)) NIL \"<1@x>\")";
        let header_bytes = HEADER.len() as u64;
        let part = Part {
            kind: PartKind::Text,
            encoding: TransferEncoding::QuotedPrintable,
            charset: "utf-8".to_owned(),
            body_start: header_bytes,
            body_end: header_bytes + TEXT.len() as u64,
            ..Part::default()
        };
        BodyIndex {
            envelope: envelope.to_vec(),
            parts: vec![part],
            // 2003-07-02 01:30:00 UTC
            sent_seconds: Some(1_057_109_400),
            sent_zone_minutes: -120,
            ..BodyIndex::default()
        }
    }

    fn row() -> MessageRow {
        MessageRow {
            uid: Uid(30),
            modseq: ModSeq(77),
            flags: SystemFlags::SEEN.union(SystemFlags::FLAGGED),
            keywords: 0b10,
            // 2003-07-02 01:31:00 UTC
            internal_date: Timestamp(1_057_109_460_000),
            saved: Timestamp(0),
            bytes: 4096,
            body: BodyId(1),
        }
    }

    fn query(key: &SearchKey) -> Query {
        let map = UidMap::new([10, 20, 30, 31].map(Uid));
        let keywords = ["$Junk", "$Forwarded"].map(str::to_owned);
        let saved = [10, 30, 40].into_iter().collect();
        let sight = Sight { map: &map, saved: &saved, keywords: &keywords, store: 9 };
        Query::new(key, sight, Timestamp(1_057_109_460_000 + 3_600_000)).unwrap()
    }

    /// Gives every fact that is asked for, and tells which.
    fn search(key: &SearchKey) -> (bool, Vec<Answer>) {
        let query = query(key);
        let (index, row, message) = (index(), row(), [HEADER, TEXT].concat());
        let mut facts = Facts { row: &row, thread: None, index: None, signature: None, header: None, hits: None };
        let mut asked = Vec::new();
        loop {
            let answer = query.decide(&facts);
            match answer {
                Answer::Yes => return (true, asked),
                Answer::No => return (false, asked),
                Answer::NeedThread => facts.thread = Some(ThreadId(3)),
                Answer::NeedIndex => facts.index = Some(&index),
                Answer::NeedSignature => facts.signature = Some(b""),
                Answer::NeedHeader => facts.header = Some(HEADER.as_bytes()),
                Answer::NeedHits => facts.hits = Some(scan(&query, &index, message.as_bytes(), 7)),
            }
            asked.push(answer);
            assert!(asked.len() < 5);
        }
    }

    fn scan(query: &Query, index: &BodyIndex, message: &[u8], piece: usize) -> Hits {
        let mut scan = TextScan::new(query);
        for stretch in stretches(index) {
            let bytes = &message[stretch.bytes.start as usize..stretch.bytes.end as usize];
            let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
            for (at, bytes) in pieces.iter().enumerate() {
                scan.scan(index, &stretch, bytes, at + 1 == pieces.len());
            }
        }
        scan.hits()
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    fn matches(key: SearchKey) -> bool {
        search(&key).0
    }

    #[test]
    fn keys_on_the_row() {
        use SearchKey::*;
        let set = |ranges: &[_]| SequenceSet { ranges: ranges.to_vec(), saved: false };
        assert!(matches(Has(SystemFlags::SEEN)) && matches(Lacks(SystemFlags::DELETED)));
        assert!(!matches(Has(SystemFlags::DELETED)) && !matches(Lacks(SystemFlags::SEEN)));
        assert!(matches(Keyword(text("$forwarded"))) && matches(Unkeyword(text("$Junk"))));
        assert!(!matches(Keyword(text("$Never"))) && matches(Unkeyword(text("$Never"))));
        assert!(matches(Sequence(set(&[(Number(3), Number(3))]))));
        assert!(matches(Sequence(set(&[(Largest, Number(2))]))) && !matches(Sequence(set(&[(Number(4), Largest)]))));
        assert!(matches(Uid(set(&[(Number(25), Number(30))]))) && !matches(Uid(set(&[(Number(31), Largest)]))));
        assert!(matches(Larger(4095)) && !matches(Larger(4096)) && matches(Smaller(4097)) && !matches(Smaller(4096)));
        assert!(matches(ModSeq(77)) && !matches(ModSeq(78)));
        assert!(!matches(Recent) && matches(All));
        let day = Day(12_235); // 2003-07-02
        assert!(matches(On(day)) && matches(Since(day)) && !matches(Before(day)));
        assert!(matches(Before(Day(12_236))) && !matches(Since(Day(12_236))) && !matches(On(Day(12_236))));
        assert!(matches(Younger(3600)) && !matches(Younger(3599)) && matches(Older(3600)) && !matches(Older(3601)));
    }

    #[test]
    fn keys_on_the_envelope_never_read_the_message() {
        use SearchKey::*;
        for (key, wanted) in [
            (Subject(text("grÜßE AUS \"berlin")), true),
            (Subject(text("hamburg")), false),
            (From(text("jürgen <juergen@EXAMPLE")), true),
            (From(text("alice")), false),
            (To(text("alice@home")), true),
            (To(text("bob")), true),
            (Cc(text("")), false),
            (Bcc(text("friends")), true),
            (Bcc(text("c@d.test")), true),
            // The writer's calendar says 1 July.
            (SentOn(Day(12_234)), true),
            (SentOn(Day(12_235)), false),
            (SentBefore(Day(12_235)), true),
            (SentSince(Day(12_235)), false),
        ] {
            let (found, asked) = search(&key);
            assert_eq!(found, wanted, "{key:?}");
            assert_eq!(asked, [Answer::NeedIndex]);
        }
    }

    #[test]
    fn keys_on_header_and_texts() {
        use SearchKey::*;
        let header = |name: &str, value: &str| Header { name: text(name), value: text(value) };
        assert!(matches(header("x-spam-status", "no, SCORE")) && matches(header("X-Spam-Status", "")));
        assert!(!matches(header("X-Spam", "")) && !matches(header("subject", "score")));
        assert!(matches(Body(text("FÄHRT um"))) && matches(Text(text("fährt"))));
        assert!(
            !matches(Body(text("Grüße"))) && matches(Text(text("GRÜßE aus"))) && !matches(Text(text("GRÜSSE aus")))
        );
        assert!(matches(Text(text("score=1"))) && matches(Body(text(""))) && !matches(Body(text("zzz"))));
    }

    #[test]
    fn the_cheapest_keys_decide_first() {
        use SearchKey::*;
        let body = || Body(text("zug"));
        assert_eq!(search(&And(vec![body(), Has(SystemFlags::DELETED)])), (false, vec![]));
        assert_eq!(search(&Or(Box::new(body()), Box::new(All))), (true, vec![]));
        assert_eq!(search(&And(vec![body(), Subject(text("nein"))])), (false, vec![Answer::NeedIndex]));
        assert_eq!(
            search(&Not(Box::new(And(vec![body(), All])))),
            (false, vec![Answer::NeedSignature, Answer::NeedHits])
        );
    }

    #[test]
    fn what_the_signature_rules_out_is_not_read() {
        use SearchKey::*;
        let message = [HEADER, TEXT].concat();
        let mut indexer = Indexer::new();
        indexer.push(message.as_bytes());
        let signature = indexer.finish().signature;
        let row = row();
        let answer = |key: &SearchKey| {
            let facts =
                Facts { row: &row, thread: None, index: None, signature: Some(&signature), header: None, hits: None };
            query(key).decide(&facts)
        };
        let header = |name: &str, value: &str| Header { name: text(name), value: text(value) };
        for (key, wanted) in [
            (Text(text("Zanzibarite")), Answer::No),
            (Body(text("zanzibarite")), Answer::No),
            (Not(Box::new(Body(text("zanzibarite")))), Answer::Yes),
            (Text(text("UM acht.")), Answer::NeedHits),
            (Text(text("zz")), Answer::NeedHits),
            (And(vec![Text(text("GRÜßE")), Body(text("zanzibarite"))]), Answer::No),
            (Or(Box::new(Text(text("zanzibarite"))), Box::new(Body(text("GRÜßE")))), Answer::NeedHits),
            (header("X-Spam-Status", "SCORE=1"), Answer::NeedHeader),
            (header("X-Spam-Status", "zanzibarite"), Answer::No),
            (header("X-Quokka", ""), Answer::No),
            (header("X-Quokkä", ""), Answer::NeedHeader),
        ] {
            assert_eq!(answer(&key), wanted, "{key:?}");
        }
    }

    #[test]
    fn fuzzy_finds_words_in_any_order_and_spelling() {
        use SearchKey::*;
        let fuzzy = |key: SearchKey| matches(Fuzzy(Box::new(key)));
        assert!(fuzzy(Subject(text("berlin GRÜSSE"))) && fuzzy(Subject(text("grusse, BERLIM"))));
        assert!(!fuzzy(Subject(text("berlin hamburg"))) && !matches(Subject(text("berlin grüsse"))));
        assert!(fuzzy(From(text("Jurgen example"))) && fuzzy(Text(text("acht zug"))) && fuzzy(Text(text("fahrt"))));
        assert!(fuzzy(Text(text("Jurgem fährt"))) && !fuzzy(Body(text("Jurgen"))) && !fuzzy(Body(text("fahrd"))));
        assert!(fuzzy(Body(text(""))) && fuzzy(Text(text("."))) && !fuzzy(Text(text("#"))));
        let header = |value: &str| Header { name: text("x-spam-STATUS"), value: text(value) };
        assert!(fuzzy(header("scoer no")) && fuzzy(header("")) && !fuzzy(header("yes")));
        assert!(!matches(Fuzzy(Box::new(Not(Box::new(Subject(text("berlim"))))))));
        // Outside of FUZZY nothing changes.
        assert!(!matches(And(vec![Fuzzy(Box::new(Subject(text("berlim")))), Subject(text("berlim"))])));
        let many = Fuzzy(Box::new(Subject("a ".repeat(FUZZY_STRING_WORDS_MAX + 1))));
        let (map, saved) = (UidMap::default(), NumberSet::default());
        let sight = Sight { map: &map, saved: &saved, keywords: &[], store: 0 };
        assert_eq!(Query::new(&many, sight, Timestamp(0)).map(|_| ()), Err(TooManyStrings));
    }

    #[test]
    fn what_stands_where_people_look_scores_higher() {
        use SearchKey::*;
        let score = |key: SearchKey| {
            let (map, saved) = (UidMap::default(), NumberSet::default());
            let sight = Sight { map: &map, saved: &saved, keywords: &[], store: 0 };
            let query = Query::scored(&Fuzzy(Box::new(key)), sight, Timestamp(0)).unwrap();
            let (index, row) = (index(), row());
            let hits = scan(&query, &index, [HEADER, TEXT].concat().as_bytes(), 7);
            let facts = Facts {
                thread: None,
                row: &row,
                index: Some(&index),
                signature: None,
                header: Some(HEADER.as_bytes()),
                hits: Some(hits),
            };
            query.relevancy(&facts).unwrap()
        };
        let scores = [
            score(Text(text("aus \"berlin\""))),
            score(Text(text("berlin aus"))),
            score(Text(text("fährt um"))),
            score(Text(text("berlim"))),
            score(Text(text("acht fahrt"))),
        ];
        assert!(scores.windows(2).all(|pair| pair[0] > pair[1]), "{scores:?}");
        assert_eq!(score(All), 100);
    }

    #[test]
    fn only_candidates_need_to_be_read() {
        let set = SequenceSet { ranges: vec![(Number(2), Number(3))], saved: false };
        let key = SearchKey::And(vec![SearchKey::Sequence(set.clone()), SearchKey::Body(text("x"))]);
        assert_eq!(query(&key).candidates().map(|set| set.ranges().to_vec()), Some(vec![(20, 20), (30, 30)]));
        assert_eq!(query(&SearchKey::Not(Box::new(SearchKey::Uid(set)))).candidates(), None);
    }

    #[test]
    fn what_was_saved_is_a_set_like_others() {
        let saved = |ranges: &[_]| SequenceSet { ranges: ranges.to_vec(), saved: true };
        let candidates = |key: SearchKey| query(&key).candidates().map(|set| set.ranges().to_vec());
        assert_eq!(candidates(SearchKey::Sequence(saved(&[]))), Some(vec![(10, 10), (30, 30)]));
        assert_eq!(candidates(SearchKey::Uid(saved(&[]))), Some(vec![(10, 10), (30, 30)]));
        assert_eq!(candidates(SearchKey::Sequence(saved(&[(Number(4), Number(9))]))), Some(vec![(10, 10), (30, 31)]));
    }

    #[test]
    fn more_strings_than_the_bound_are_refused() {
        let keys = |n: usize| SearchKey::And((0..n).map(|n| SearchKey::Body(n.to_string())).collect());
        let (map, saved) = (UidMap::default(), NumberSet::default());
        let sight = Sight { map: &map, saved: &saved, keywords: &[], store: 0 };
        let ready = |n| Query::new(&keys(n), sight, Timestamp(0)).map(|_| ());
        assert_eq!((ready(SEARCH_NEEDLES_MAX), ready(SEARCH_NEEDLES_MAX + 1)), (Ok(()), Err(TooManyStrings)));
    }

    #[test]
    fn a_scan_ends_when_nothing_more_can_be_found() {
        let index = index();
        let key = SearchKey::And(vec![SearchKey::Text(text("berlin")), SearchKey::Text(text("grüße"))]);
        let query = query(&key);
        let mut scan = TextScan::new(&query);
        assert!(!scan.is_complete());
        scan.scan(&index, &stretches(&index)[0], HEADER.as_bytes(), true);
        assert!(scan.is_complete());
    }

    proptest! {
        #[test]
        fn what_is_found_does_not_depend_on_the_cut(piece in 1usize..60, start in 0usize..20, length in 1usize..8) {
            let needle: String = "Der Zug fährt um Acht.".chars().skip(start).take(length).collect();
            let query = query(&SearchKey::Body(needle.clone()));
            let found = scan(&query, &index(), [HEADER, TEXT].concat().as_bytes(), piece);
            prop_assert_eq!(found.body & 1 == 1, true, "{}", needle);
        }
    }
}
