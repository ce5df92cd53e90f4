//! From a search key to tests, the cheapest first. Decides about no message.

use super::envelope::EnvelopeField;
use super::fuzzy::{Word, words};
use super::relevancy::{Place, REMEMBERED, Wish};
use super::{Needle, Query, SECONDS_PER_DAY, Sight, Test, TooManyStrings};
use crate::limits::{FUZZY_STRING_WORDS_MAX, SEARCH_NEEDLES_MAX};
use crate::mail::message::{BodyId, ModSeq, ThreadId};
use crate::mail::text::fold;
use crate::order;
use crate::wire::date::Timestamp;
use crate::wire::imap::command::{Day, SearchKey};
use memchr::memmem::Finder;

/// See the file's head.
pub struct Compiler<'a> {
    sight: Sight<'a>,
    now: Timestamp,
    needles: Vec<Needle>,
    /// The key at hand is in a FUZZY one.
    fuzzy: bool,
    /// See [`Query`].
    wishes: Option<Vec<Wish>>,
    too_many_words: bool,
}

impl<'a> Compiler<'a> {
    /// `wishes`: none yet, when a score is asked for.
    pub fn new(sight: Sight<'a>, now: Timestamp, wishes: Option<Vec<Wish>>) -> Compiler<'a> {
        Compiler { sight, now, needles: Vec::new(), fuzzy: false, wishes, too_many_words: false }
    }

    pub fn query(mut self, key: &SearchKey) -> Result<Query, TooManyStrings> {
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
        order::sort_by_key(&mut tests, Test::cost);
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
