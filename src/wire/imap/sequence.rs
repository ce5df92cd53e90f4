//! Sets of message numbers: as a client writes them ([`SequenceSet`], with `*`), and as plain ascending ranges
//! ([`NumberSet`]), which is also how they are written back.
//!
//! Both keep ranges as ranges: `1:4294967295` costs as much as `1`.

use super::response::push_number;
use std::ops::Range;

/// `sequence-set` (RFC 9051 section 9): ranges, at most [`crate::limits::IMAP_SET_RANGES_MAX`], or what the last search has
/// saved, or both.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SequenceSet {
    /// The ranges in the order given; the ends of a range in either order.
    pub ranges: Vec<(SequenceNumber, SequenceNumber)>,
    /// `$` is in it (RFC 5182). Whoever resolves the set adds what was saved.
    pub saved: bool,
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceNumber {
    /// A number, at least 1.
    Number(u32),
    /// `*`: the largest number in use.
    Largest,
}

impl SequenceSet {
    /// The numbers that the ranges mean when `largest` is the largest in use (0: none is, and `*` then means nothing). Ascending, merged;
    /// numbers above `largest` stay in.
    pub fn resolve(&self, largest: u32) -> NumberSet {
        let number = |end| match end {
            SequenceNumber::Number(number) => number,
            SequenceNumber::Largest => largest,
        };
        let ranges = self
            .ranges
            .iter()
            .map(|(one, other)| (number(*one), number(*other)))
            .map(|(one, other)| (one.min(other).max(1), one.max(other)))
            .filter(|(_, last)| *last > 0);
        NumberSet::of_ranges(ranges.collect())
    }

    /// Whether a message number is written that a mailbox of `messages` does not have. In an empty mailbox a range with
    /// `*` means no messages: many clients say `1:*` without looking, and Dovecot takes it too.
    pub fn is_beyond(&self, messages: u32) -> bool {
        let beyond = |end: &SequenceNumber| matches!(end, SequenceNumber::Number(number) if *number > messages);
        let open = |one: &SequenceNumber, other: &SequenceNumber| [one, other].contains(&&SequenceNumber::Largest);
        self.ranges.iter().any(|(one, other)| (beyond(one) || beyond(other)) && !(messages == 0 && open(one, other)))
    }
}

impl From<&NumberSet> for SequenceSet {
    /// The set that means these numbers and no others.
    fn from(numbers: &NumberSet) -> SequenceSet {
        let number = SequenceNumber::Number;
        let ranges = numbers.ranges.iter().map(|(first, last)| (number(*first), number(*last)));
        SequenceSet { ranges: ranges.collect(), saved: false }
    }
}

/// Numbers as ascending ranges that neither overlap nor touch.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NumberSet {
    ranges: Vec<(u32, u32)>,
}

impl NumberSet {
    /// The numbers of these ranges, first and last number of each, in any order.
    pub fn of_ranges(mut ranges: Vec<(u32, u32)>) -> NumberSet {
        ranges.sort_unstable();
        let mut set = NumberSet::default();
        ranges.into_iter().for_each(|(first, last)| set.push_range(first, last));
        set
    }

    /// Adds a number. Cheap when it is not below the last one; smaller numbers that are not in the set yet are put where
    /// they belong.
    pub fn push(&mut self, number: u32) {
        self.push_range(number, number);
    }

    /// Adds all numbers from `first` to `last`.
    pub fn push_range(&mut self, first: u32, last: u32) {
        match self.ranges.last_mut() {
            Some((start, end)) if first >= *start => {
                if first <= end.saturating_add(1) {
                    *end = last.max(*end);
                } else {
                    self.ranges.push((first, last));
                }
            }
            Some(_) => {
                self.ranges.push((first, last));
                self.ranges.sort_unstable();
                let ranges = std::mem::take(&mut self.ranges);
                for (first, last) in ranges {
                    self.push_range(first, last);
                }
            }
            None => self.ranges.push((first, last)),
        }
    }

    /// The ranges, first and last number of each, ascending.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in it.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// The smallest number.
    pub fn min(&self) -> Option<u32> {
        self.ranges.first().map(|(first, _)| *first)
    }

    /// The largest number.
    pub fn max(&self) -> Option<u32> {
        self.ranges.last().map(|(_, last)| *last)
    }

    /// Whether a number is in it: a binary search.
    pub fn contains(&self, number: u32) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|(_, last)| number <= *last)
    }

    /// The numbers one by one, ascending. Cut the set to what exists before walking it.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The numbers that are not in another set.
    pub fn without(&self, other: &NumberSet) -> NumberSet {
        let mut rest = NumberSet::default();
        let mut gone = other.ranges.iter().peekable();
        for (first, last) in &self.ranges {
            let mut next = Some(*first);
            while let Some(from) = next.filter(|from| from <= last) {
                while gone.next_if(|(_, high)| *high < from).is_some() {}
                next = match gone.peek() {
                    Some((low, high)) if low <= last => {
                        if from < *low {
                            rest.push_range(from, low - 1);
                        }
                        high.checked_add(1)
                    }
                    _ => {
                        rest.push_range(from, *last);
                        None
                    }
                };
            }
        }
        rest
    }

    /// The numbers at these places, counted from 0.
    pub fn part(&self, places: Range<u64>) -> NumberSet {
        let (mut part, mut before) = (NumberSet::default(), 0u64);
        for (first, last) in &self.ranges {
            let count = u64::from(last - first) + 1;
            // Places within this range; both fit, for they are below its length.
            let (from, to) = (places.start.saturating_sub(before), places.end.saturating_sub(before).min(count));
            if from < to {
                part.push_range(first + from as u32, first + (to - 1) as u32);
            }
            before += count;
        }
        part
    }

    /// Appends it in the form `2:4,7`, nothing when empty.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            push_number(out, u64::from(*first));
            if last > first {
                out.push(b':');
                push_number(out, u64::from(*last));
            }
        }
    }
}

impl Extend<u32> for NumberSet {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, numbers: I) {
        numbers.into_iter().for_each(|number| self.push(number));
    }
}

impl FromIterator<u32> for NumberSet {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> NumberSet {
        let mut set = NumberSet::default();
        for number in numbers {
            set.push(number);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::SequenceNumber::{Largest, Number};
    use super::*;
    use proptest::prelude::*;

    fn set(ranges: &[(SequenceNumber, SequenceNumber)]) -> SequenceSet {
        SequenceSet { ranges: ranges.to_vec(), saved: false }
    }

    #[test]
    fn a_star_means_the_largest_in_either_order() {
        assert_eq!(set(&[(Number(202), Largest)]).resolve(201).ranges(), [(201, 202)]);
        assert_eq!(set(&[(Largest, Number(3))]).resolve(9).ranges(), [(3, 9)]);
        assert_eq!(set(&[(Largest, Largest)]).resolve(7).ranges(), [(7, 7)]);
        assert!(set(&[(Largest, Largest)]).resolve(0).is_empty());
        assert_eq!(set(&[(Number(5), Number(7)), (Number(1), Number(4))]).resolve(0).ranges(), [(1, 7)]);
        assert_eq!(set(&[(Number(1), Number(u32::MAX)), (Number(9), Number(9))]).resolve(3).count(), 4_294_967_295);
    }

    #[test]
    fn the_written_form_is_compact() {
        let mut out = Vec::new();
        [1, 2, 3, 5, 9, 10].into_iter().collect::<NumberSet>().encode(&mut out);
        assert_eq!(out, b"1:3,5,9:10");
        let mut out = Vec::new();
        [u32::MAX, u32::MAX - 1].into_iter().collect::<NumberSet>().encode(&mut out);
        assert_eq!(out, b"4294967294:4294967295");
    }

    proptest! {
        #[test]
        fn what_is_without_another_set(
            one in proptest::collection::btree_set(0u32..60, 0..40), other in proptest::collection::btree_set(0u32..60, 0..40)
        ) {
            let set = |numbers: &std::collections::BTreeSet<u32>| {
                numbers.iter().map(|number| u32::MAX - 59 + number).collect::<NumberSet>()
            };
            let rest: std::collections::BTreeSet<u32> = one.difference(&other).copied().collect();
            prop_assert_eq!(set(&one).without(&set(&other)), set(&rest));
        }

        #[test]
        fn it_holds_what_was_pushed_and_nothing_else(numbers in proptest::collection::vec(1u32..200, 0..60)) {
            let made: NumberSet = numbers.iter().copied().collect();
            let wanted: std::collections::BTreeSet<u32> = numbers.iter().copied().collect();
            prop_assert_eq!(made.iter().collect::<Vec<_>>(), wanted.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(made.count(), wanted.len() as u64);
            for number in 0..205 {
                prop_assert_eq!(made.contains(number), wanted.contains(&number));
            }
            prop_assert!(made.ranges().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
