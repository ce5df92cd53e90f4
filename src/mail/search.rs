//! SEARCH: does this message match? (RFC 3501 section 6.4.4)
//!
//! Receives a [`SearchKey`] and, message by message, the facts it asks for; hands on yes or no. Reads nothing itself: when
//! the facts at hand do not decide, [`Query::decide`] names what is missing, the cheapest first, so that a search by flags
//! never touches a body. Must always hold: more facts never change an answer that was given.

mod compile;
mod envelope;
mod fuzzy;
mod relevancy;
mod scan;

use crate::mail::index::{BodyIndex, signature};
use crate::mail::message::{BodyId, MessageRow, ModSeq, ThreadId};
use crate::mail::text::fold;
use crate::mail::view::{Span, UidMap};
use crate::wire::date::Timestamp;
use crate::wire::header::encoded_word::decode_text;
use crate::wire::header::fields;
use crate::wire::imap::command::SearchKey;
use crate::wire::imap::sequence::{NumberSet, SequenceSet};
use compile::Compiler;
pub use envelope::{EnvelopeAddress, EnvelopeField, envelope_subject, first_address};
use envelope::{envelope_contains, envelope_text};
use fuzzy::{Fit, Word, bare, fit, may_contain_bare};
use memchr::memmem::Finder;
use relevancy::Wish;
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

/// What [`Query::new`] refuses: more different strings for BODY and TEXT than [`crate::limits::SEARCH_NEEDLES_MAX`], or more words in a
/// FUZZY string than [`crate::limits::FUZZY_STRING_WORDS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyStrings;

impl Query {
    /// Makes a key ready: sets mean what they do for `sight`, YOUNGER and OLDER count back from `now`.
    pub fn new(key: &SearchKey, sight: Sight<'_>, now: Timestamp) -> Result<Query, TooManyStrings> {
        Compiler::new(sight, now, None).query(key)
    }

    /// The same, so that [`Query::relevancy`] can tell how well a message matches.
    pub fn scored(key: &SearchKey, sight: Sight<'_>, now: Timestamp) -> Result<Query, TooManyStrings> {
        Compiler::new(sight, now, Some(Vec::new())).query(key)
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
            Test::Envelope(field, needle) => match (facts.index, field) {
                (Some(index), _) => is(envelope_contains(&index.envelope, *field, needle)),
                // The text of the field is that of the header; that of addresses is put together from parts.
                (None, EnvelopeField::Subject) if needle.len() >= signature::NEEDLE_BYTES_MIN => {
                    unless_ruled_out(facts, &[needle.as_bytes()], Answer::NeedIndex)
                }
                (None, _) => Answer::NeedIndex,
            },
            Test::Header { name, needle } => match facts.header {
                Some(header) => is(header_contains(header, name, needle)),
                None => unless_ruled_out(facts, &header_texts(name, needle), Answer::NeedHeader),
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
                None => unless_ruled_out(facts, &header_texts(name, ""), Answer::NeedHeader),
            },
            Test::Body(needle) | Test::Text(needle) => {
                let found = |hits: Hits| match self {
                    Test::Body(_) => hits.body,
                    _ => hits.body | hits.header,
                };
                match (facts.hits, needles.get(*needle)) {
                    (Some(hits), _) => is(found(hits) >> needle & 1 == 1),
                    (None, Some(needle)) => needle.unless_ruled_out(facts),
                    (None, None) => Answer::No,
                }
            }
        }
    }
}

impl Needle {
    /// NeedHits, unless the signature is missing, or says that the needle is not in the message.
    fn unless_ruled_out(&self, facts: &Facts) -> Answer {
        match (facts.signature, &self.word) {
            (Some(signature), Some(word)) if may_contain_bare(signature, word) => Answer::NeedHits,
            (Some(signature), Some(_)) => ruled_out(signature, facts, Answer::NeedHits),
            _ => unless_ruled_out(facts, &[self.text.needle()], Answer::NeedHits),
        }
    }
}

/// `need`, unless the signature is missing, or says that one of these is not in the message.
fn unless_ruled_out(facts: &Facts, all_of: &[&[u8]], need: Answer) -> Answer {
    match facts.signature {
        None => Answer::NeedSignature,
        Some(signature) if all_of.iter().all(|text| signature::may_contain(signature, text)) => need,
        Some(signature) => ruled_out(signature, facts, need),
    }
}

/// No; but `need` where the signature was made before all of the message's texts were read.
fn ruled_out(signature: &[u8], facts: &Facts, need: Answer) -> Answer {
    match facts.index {
        _ if signature::is_current(signature) => Answer::No,
        None => Answer::NeedIndex,
        Some(index) if index.was_read_otherwise() => need,
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
mod tests;
#[cfg(test)]
mod whole_tests;
