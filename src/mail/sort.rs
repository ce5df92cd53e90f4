//! SORT: in which order? (RFC 5256 section 3, RFC 5957)
//!
//! Receives, message by message, its row and what was decided about its body; hands on their UIDs in the order asked for.
//! Each message becomes one string of bytes in which every criterion stands one behind the other, such that comparing bytes
//! is comparing messages. Nothing of a message is read but its rows; memory is bounded by
//! [`crate::limits::SORT_KEYS_BYTES_MAX`]: with very many messages long strings are compared by their beginnings.

use crate::limits::{SORT_KEY_BYTES_MIN, SORT_KEYS_BYTES_MAX, SORT_STRING_BYTES_MAX};
use crate::mail::casemap::casemap;
use crate::mail::index::BodyIndex;
use crate::mail::message::{MessageRow, ModSeq, Uid};
use crate::mail::search::{EnvelopeAddress, EnvelopeField, envelope_subject, first_address};
use crate::mail::subject::base_subject;
use crate::wire::charset::guess;
use crate::wire::header::encoded_word::decode_text;
use crate::wire::imap::order::{SortCriterion, SortKey};

/// What to compare, made ready for so many messages.
#[derive(Clone, Debug)]
pub struct SortPlan {
    criteria: Vec<SortCriterion>,
    /// Bytes of one string in a key.
    string_bytes: usize,
}

/// Bytes of a number in a key.
const NUMBER_BYTES: usize = 8;

impl SortPlan {
    /// A plan for at most `messages` messages. A criterion that was named before decides nothing and is left out.
    pub fn new(asked: &[SortCriterion], messages: u64) -> SortPlan {
        let mut criteria: Vec<SortCriterion> = Vec::new();
        for criterion in asked {
            if criteria.iter().all(|known| known.key != criterion.key) {
                criteria.push(*criterion);
            }
        }
        let strings = criteria.iter().filter(|criterion| is_string(criterion.key)).count();
        let numbers = criteria.len() - strings;
        let messages = usize::try_from(messages).unwrap_or(usize::MAX).max(1);
        let share = (SORT_KEYS_BYTES_MAX / messages).max(SORT_KEY_BYTES_MIN);
        let string_bytes = share.saturating_sub(numbers * NUMBER_BYTES) / strings.max(1);
        SortPlan {
            criteria,
            string_bytes: string_bytes.clamp(SORT_KEY_BYTES_MIN / SortKey::ALL.len(), SORT_STRING_BYTES_MAX),
        }
    }

    /// Whether [`SortPlan::write_key`] wants the index: ARRIVAL and SIZE stand in the row.
    pub fn reads_index(&self) -> bool {
        self.criteria
            .iter()
            .any(|criterion| !matches!(criterion.key, SortKey::Arrival | SortKey::Size | SortKey::Relevancy))
    }

    /// Appends the key of a message. A field that is missing is empty, and comes first (RFC 5256 section 3).
    fn write_key(&self, row: &MessageRow, index: &BodyIndex, score: u8, out: &mut Vec<u8>) {
        for criterion in &self.criteria {
            let start = out.len();
            match criterion.key {
                SortKey::Arrival => push_number(row.internal_date.seconds(), out),
                SortKey::Date => push_number(sent_seconds(row, index), out),
                // RFC 6203 section 6: the highest score first.
                SortKey::Relevancy => push_number(-i64::from(score), out),
                SortKey::Size => push_number(i64::try_from(row.bytes).unwrap_or(i64::MAX), out),
                SortKey::Subject => self.push_string(&subject(index), out),
                SortKey::From => self.push_string(&mailbox(index, EnvelopeField::From), out),
                SortKey::To => self.push_string(&mailbox(index, EnvelopeField::To), out),
                SortKey::Cc => self.push_string(&mailbox(index, EnvelopeField::Cc), out),
                SortKey::DisplayFrom => self.push_string(&display(index, EnvelopeField::From), out),
                SortKey::DisplayTo => self.push_string(&display(index, EnvelopeField::To), out),
            }
            if criterion.reverse {
                out.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
            }
        }
    }

    fn push_string(&self, text: &str, out: &mut Vec<u8>) {
        let mapped = casemap(text);
        out.extend(mapped.bytes().take(self.string_bytes));
        // Below every byte of a string: a beginning comes before what it begins.
        out.push(0);
    }
}

fn is_string(key: SortKey) -> bool {
    !matches!(key, SortKey::Arrival | SortKey::Date | SortKey::Size | SortKey::Relevancy)
}

fn push_number(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&((number as u64) ^ (1 << 63)).to_be_bytes());
}

/// The sent date in UTC (RFC 5256 section 2.2): INTERNALDATE where there is none.
pub fn sent_seconds(row: &MessageRow, index: &BodyIndex) -> i64 {
    index.sent_seconds.unwrap_or(row.internal_date.seconds())
}

fn subject(index: &BodyIndex) -> String {
    envelope_subject(&index.envelope).map(|subject| base_subject(&subject).text).unwrap_or_default()
}

/// `addr-mailbox` of the first address.
fn mailbox(index: &BodyIndex, field: EnvelopeField) -> String {
    let address = first_address(&index.envelope, field).unwrap_or_default();
    address.mailbox.map(|mailbox| guess(&mailbox).into_owned()).unwrap_or_default()
}

/// The DISPLAY sort value of the first address (RFC 5957 section 3).
fn display(index: &BodyIndex, field: EnvelopeField) -> String {
    let EnvelopeAddress { name, mailbox, host } = first_address(&index.envelope, field).unwrap_or_default();
    match (name.map(|name| decode_text(&name)).filter(|name| !name.is_empty()), mailbox, host) {
        (Some(name), ..) => name,
        (None, Some(mailbox), Some(host)) => format!("{}@{}", guess(&mailbox), guess(&host)),
        (None, Some(mailbox), None) => guess(&mailbox).into_owned(),
        (None, None, _) => String::new(),
    }
}

/// Messages with their keys.
#[derive(Clone, Debug, Default)]
pub struct SortList {
    /// The keys, one behind the other.
    keys: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    uid: Uid,
    modseq: ModSeq,
    start: u32,
    end: u32,
    score: u8,
}

impl SortList {
    /// Adds a message, with its score if there are any.
    pub fn push(&mut self, plan: &SortPlan, row: &MessageRow, index: &BodyIndex, score: u8) {
        let start = self.keys.len();
        plan.write_key(row, index, score, &mut self.keys);
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let (start, end) = (place(start), place(self.keys.len()));
        self.entries.push(Entry { uid: row.uid, modseq: row.modseq, start, end, score });
    }

    /// Adds all of another list.
    pub fn join(&mut self, other: &SortList) {
        let before = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.extend_from_slice(&other.keys);
        let moved = |at: u32| at.saturating_add(before);
        let entries = other.entries.iter();
        self.entries.extend(entries.map(|entry| Entry { start: moved(entry.start), end: moved(entry.end), ..*entry }));
    }

    /// Puts all into their order; what is alike stays in the order of UIDs, which is that of sequence numbers.
    pub fn sort(&mut self) {
        let keys = &self.keys;
        let key = |entry: &Entry| keys.get(entry.start as usize..entry.end as usize).unwrap_or_default();
        // The stable sort makes use of what is in order already: lists that were sorted before they were joined.
        self.entries.sort_by(|one, other| key(one).cmp(key(other)).then(one.uid.cmp(&other.uid)));
    }

    /// The messages with their modseqs, in the order they have.
    pub fn messages(&self) -> impl Iterator<Item = (Uid, ModSeq)> + '_ {
        self.entries.iter().map(|entry| (entry.uid, entry.modseq))
    }
}

impl SortList {
    /// The scores of the messages, in the same order.
    pub fn scores(&self) -> impl Iterator<Item = u8> + '_ {
        self.entries.iter().map(|entry| entry.score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::Indexer;
    use crate::mail::message::{BodyId, SystemFlags};
    use crate::wire::date::Timestamp;
    use proptest::prelude::*;

    fn by(key: SortKey) -> SortCriterion {
        SortCriterion { key, reverse: false }
    }

    fn reverse(key: SortKey) -> SortCriterion {
        SortCriterion { key, reverse: true }
    }

    /// The numbers, from 1, of messages with these headers in that order. INTERNALDATE grows by an hour from 2000-01-01.
    fn sorted_among(criteria: &[SortCriterion], headers: &[&str], messages: u64) -> Vec<u32> {
        let plan = SortPlan::new(criteria, messages);
        let mut all = SortList::default();
        for (number, header) in (1u32..).zip(headers) {
            let mut indexer = Indexer::new();
            indexer.push(format!("{header}\r\n\r\n").as_bytes());
            let row = MessageRow {
                uid: Uid(number),
                modseq: ModSeq(1),
                flags: SystemFlags::default(),
                keywords: 0,
                internal_date: Timestamp((946_684_800 + 3600 * i64::from(number)) * 1000),
                saved: Timestamp(0),
                bytes: header.len() as u64,
                form: crate::mail::message::Form::UNKNOWN,
                body: BodyId(1),
            };
            let mut one = SortList::default();
            one.push(&plan, &row, &indexer.finish(), 0);
            all.join(&one);
        }
        all.sort();
        all.messages().map(|(uid, _)| uid.0).collect()
    }

    fn sorted(criteria: &[SortCriterion], headers: &[&str]) -> Vec<u32> {
        sorted_among(criteria, headers, headers.len() as u64)
    }

    #[test]
    fn subjects_compare_by_their_base() {
        let headers = [
            "Subject: b",
            "Subject: Re: B",
            "X: y",
            "Subject: [l] a",
            "Subject: =?utf-8?q?=C3=84?=",
            "Subject: _",
            "Subject: z",
        ];
        assert_eq!(sorted(&[by(SortKey::Subject)], &headers), [3, 4, 5, 1, 2, 7, 6]);
        assert_eq!(sorted(&[reverse(SortKey::Subject)], &headers), [6, 7, 1, 2, 5, 4, 3]);
        assert_eq!(sorted(&[by(SortKey::Subject), reverse(SortKey::Arrival)], &headers), [3, 4, 5, 2, 1, 7, 6]);
    }

    #[test]
    fn a_beginning_comes_first_and_last_in_reverse() {
        let headers = ["Subject: ab", "Subject: a", "Subject: abc", "Subject: a b"];
        assert_eq!(sorted(&[by(SortKey::Subject)], &headers), [2, 4, 1, 3]);
        assert_eq!(sorted(&[reverse(SortKey::Subject)], &headers), [3, 1, 4, 2]);
    }

    #[test]
    fn dates_are_compared_in_one_zone() {
        let headers = [
            "Date: 1 Jan 2001 00:01:34 +0000",
            // RFC 5256 section 2.2.
            "Date: 31 Dec 2000 16:01:33 -0800",
            "Date: rubbish",
            "X: y",
            "Date: 1 Jan 1960 00:00:00 +0000",
        ];
        assert_eq!(sorted(&[by(SortKey::Date)], &headers), [5, 3, 4, 2, 1]);
        assert_eq!(sorted(&[reverse(SortKey::Arrival)], &headers), [5, 4, 3, 2, 1]);
        assert_eq!(sorted(&[by(SortKey::Size), by(SortKey::Arrival)], &headers), [4, 3, 1, 5, 2]);
    }

    #[test]
    fn addresses_compare_by_mailbox_or_by_name() {
        let headers = [
            "From: Zoe <a@x.example>\r\nTo: c@x",
            "From: <m@b.example>\r\nTo: G: d@x;",
            "From: =?utf-8?q?=C3=81da?= <z@c.example>\r\nCc: b@x, a@x",
            "X: y",
            "From: \"\" <m@a.example>\r\nTo: D@y",
        ];
        assert_eq!(sorted(&[by(SortKey::From)], &headers), [4, 1, 2, 5, 3]);
        assert_eq!(sorted(&[by(SortKey::DisplayFrom)], &headers), [4, 3, 5, 2, 1]);
        assert_eq!(sorted(&[by(SortKey::To)], &headers), [3, 4, 1, 5, 2]);
        assert_eq!(sorted(&[by(SortKey::DisplayTo)], &headers), [3, 4, 1, 5, 2]);
        assert_eq!(sorted(&[reverse(SortKey::Cc)], &headers), [3, 1, 2, 4, 5]);
    }

    #[test]
    fn keys_stay_within_their_share() {
        let long = format!("Subject: {}\r\nDate: 1 Jan 2001 00:00:00 +0000", "x".repeat(5000));
        let longer = format!("{long}\r\nX-A: b");
        let criteria = [by(SortKey::Subject), by(SortKey::Size)];
        assert_eq!(sorted_among(&criteria, &[&longer, &long], 10_000_000), [2, 1]);
        for messages in [1, 1000, 100_000, u64::MAX] {
            let every: Vec<SortCriterion> = SortKey::ALL.iter().chain(&SortKey::ALL).map(|(key, _)| by(*key)).collect();
            let plan = SortPlan::new(&every, messages);
            assert_eq!(plan.criteria.len(), SortKey::ALL.len());
            let most = 6 * (plan.string_bytes as u64 + 1) + 3 * NUMBER_BYTES as u64;
            assert!(
                most <= 2 * SORT_KEY_BYTES_MIN as u64 || most * messages <= SORT_KEYS_BYTES_MAX as u64 + 6 * messages
            );
        }
    }

    proptest! {
        #[test]
        fn keys_compare_as_the_values_do(
            values in proptest::collection::vec(("[a-c]{0,3}", 0u8..3, any::<bool>()), 0..8),
            reversed: (bool, bool),
        ) {
            let headers: Vec<String> = values.iter().map(|(subject, size, dated)| {
                let date = if *dated { "Date: 1 Jan 1999 00:00:00 +0000\r\n" } else { "" };
                format!("Subject: {subject}\r\n{date}From: {}@x", "a".repeat(1 + usize::from(*size)))
            }).collect();
            let criteria = [
                SortCriterion { key: SortKey::Subject, reverse: reversed.0 },
                SortCriterion { key: SortKey::From, reverse: reversed.1 },
            ];
            let mut wanted: Vec<u32> = (1..=values.len() as u32).collect();
            wanted.sort_by(|one, other| {
                let (one, other) = (&values[*one as usize - 1], &values[*other as usize - 1]);
                let turned = |order: std::cmp::Ordering, turn: bool| if turn { order.reverse() } else { order };
                turned(one.0.cmp(&other.0), reversed.0).then(turned(one.1.cmp(&other.1), reversed.1))
            });
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            prop_assert_eq!(sorted(&criteria, &headers), wanted);
        }
    }
}
