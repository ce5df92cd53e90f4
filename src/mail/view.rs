//! One session's view of its selected mailbox: which messages it shows under which sequence numbers.
//!
//! Receives what happened to the mailbox ([`Arrived`]); hands on what the client must be told, in legal order. Is not
//! the mailbox: messages stay in the view, with their numbers, until the client has been told that they are gone
//! (RFC 3501 section 7.4.1). Must always hold: the numbers 1..=len name strictly ascending UIDs, and the client that
//! obeys every [`News`] has the same map.

use crate::mail::message::{MessageRow, ModSeq, Uid};
use std::collections::BTreeSet;

/// Ascending UIDs as runs of neighbours, each run with the sequence number of its first message: eight bytes per
/// gap in the UIDs, whatever the number of messages.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct UidMap {
    runs: Vec<Run>,
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Sequence number of the first message, from 1.
    seq: u32,
    uid: u32,
}

/// An inclusive range of UIDs or sequence numbers, first <= last.
pub type Span = (u32, u32);

impl UidMap {
    /// A map of these UIDs, which ascend strictly; others are passed over.
    pub fn new(uids: impl IntoIterator<Item = Uid>) -> UidMap {
        let mut map = UidMap::default();
        uids.into_iter().for_each(|uid| map.push(uid));
        map.runs.shrink_to_fit();
        map
    }

    /// A map of all UIDs in a range that does not begin at 0.
    pub fn of_span(span: Span) -> UidMap {
        let mut map = UidMap::default();
        map.push_span(span);
        map
    }

    /// Number of runs: eight bytes of memory each.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Number of messages.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The highest UID.
    pub fn last(&self) -> Option<Uid> {
        self.runs.last().map(|run| Uid(run.uid + (self.count - run.seq)))
    }

    /// Appends a message. A UID that is not above the last one is passed over.
    pub fn push(&mut self, uid: Uid) {
        match self.last() {
            Some(last) if uid <= last => return,
            Some(last) if uid.0 == last.0 + 1 => {}
            _ => self.runs.push(Run { seq: self.count + 1, uid: uid.0 }),
        }
        self.count += 1;
    }

    /// The UID under a sequence number.
    pub fn uid_of(&self, seq: u32) -> Option<Uid> {
        if seq == 0 || seq > self.count {
            return None;
        }
        let at = self.runs.partition_point(|run| run.seq <= seq).checked_sub(1)?;
        self.runs.get(at).map(|run| Uid(run.uid + (seq - run.seq)))
    }

    /// The sequence number of a UID.
    pub fn seq_of(&self, uid: Uid) -> Option<u32> {
        let at = self.runs.partition_point(|run| run.uid <= uid.0).checked_sub(1)?;
        let (first, last) = self.span(at)?;
        (uid.0 <= last).then(|| self.runs.get(at).map_or(0, |run| run.seq) + (uid.0 - first))
    }

    /// How many messages have a UID below this one.
    pub fn count_below(&self, uid: Uid) -> u32 {
        let Some(at) = self.runs.partition_point(|run| run.uid < uid.0).checked_sub(1) else { return 0 };
        match (self.runs.get(at), self.span(at)) {
            (Some(run), Some((first, last))) => run.seq + (uid.0 - 1).min(last) - first,
            _ => 0,
        }
    }

    /// The runs as UID ranges, ascending.
    pub fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        (0..self.runs.len()).filter_map(|at| self.span(at))
    }

    /// All UIDs, ascending.
    pub fn uids(&self) -> impl Iterator<Item = Uid> + '_ {
        self.spans().flat_map(|(first, last)| (first..=last).map(Uid))
    }

    /// The UIDs under a range of sequence numbers, as UID ranges. What lies outside the map is cut off.
    pub fn spans_of_seqs(&self, (first, last): Span) -> Vec<Span> {
        let (Some(low), Some(high)) = (self.uid_of(first.max(1)), self.uid_of(last.min(self.count))) else {
            return Vec::new();
        };
        if low > high { Vec::new() } else { self.spans_within((low.0, high.0)).collect() }
    }

    /// The UIDs of the map that lie in a range, as UID ranges.
    pub fn spans_within(&self, (first, last): Span) -> impl Iterator<Item = Span> + '_ {
        let start = self.runs.partition_point(|run| run.uid <= first).saturating_sub(1);
        (start..self.runs.len())
            .filter_map(|at| self.span(at))
            .take_while(move |(low, _)| *low <= last)
            .map(move |(low, high)| (low.max(first), high.min(last)))
            .filter(|(low, high)| low <= high)
    }

    /// Takes out every UID of `gone` (ascending) and returns the sequence number that each one had at its turn,
    /// after those before it had gone: the numbers of EXPUNGE responses. UIDs that are not there are passed over.
    pub fn remove(&mut self, gone: &UidMap) -> Vec<u32> {
        let mut numbers = Vec::new();
        let mut kept = UidMap::default();
        let mut gone_spans = gone.spans().peekable();
        for (mut first, last) in self.spans() {
            while first <= last {
                while gone_spans.next_if(|(_, high)| *high < first).is_some() {}
                let (low, high) = match gone_spans.peek() {
                    Some(&(low, high)) if low <= last => (low.max(first), high.min(last)),
                    _ => {
                        kept.push_span((first, last));
                        break;
                    }
                };
                if first < low {
                    kept.push_span((first, low - 1));
                }
                numbers.extend((low..=high).map(|_| kept.count + 1));
                match high.checked_add(1) {
                    Some(next) => first = next,
                    None => break,
                }
            }
        }
        if !numbers.is_empty() {
            kept.runs.shrink_to_fit();
            *self = kept;
        }
        numbers
    }

    /// Appends a range of UIDs above the last one.
    fn push_span(&mut self, (first, last): Span) {
        if self.last().is_none_or(|before| before.0.checked_add(1) != Some(first)) {
            self.runs.push(Run { seq: self.count + 1, uid: first });
        }
        self.count += last - first + 1;
    }

    fn span(&self, at: usize) -> Option<Span> {
        let run = self.runs.get(at)?;
        let end = self.runs.get(at + 1).map_or(self.count + 1, |next| next.seq);
        Some((run.uid, run.uid + (end - run.seq - 1)))
    }
}

/// What happened to the mailbox since [`View::seen`], as the store tells it.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// Rows that changed, ascending by UID. Those of messages not in the view yet are passed over.
    pub changed: Vec<MessageRow>,
    /// UIDs of messages above the view's last one, all of them.
    pub fresh: Vec<Uid>,
    /// UIDs that went, ascending. Ignored when `present` is given.
    pub expunged: Vec<Uid>,
    /// All UIDs that are there now, when the store no longer remembers which ones went.
    pub present: Option<UidMap>,
    /// Everything up to this modseq is in here.
    pub up_to: ModSeq,
}

/// What the client must be told, in this order: first what went, then how many there are, then flags. Sequence numbers
/// of `flags` are those after the expunges.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct News {
    /// Numbers for EXPUNGE responses, in order.
    pub expunged: Vec<u32>,
    /// The same messages by UID, for VANISHED (RFC 7162 section 3.2.10).
    pub vanished: UidMap,
    /// A new number for EXISTS.
    pub exists: Option<u32>,
    /// Messages whose flags changed, with their numbers, ascending.
    pub flags: Vec<(u32, MessageRow)>,
}

impl News {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.expunged.is_empty() && self.exists.is_none() && self.flags.is_empty()
    }
}

/// The view of one session.
#[derive(Clone, Debug)]
pub struct View {
    map: UidMap,
    /// Messages that are gone and that the client has not been told of yet.
    gone: BTreeSet<Uid>,
    /// Everything up to here has been taken in.
    seen: ModSeq,
    /// Everything up to here has been told, too: below `seen` while something waits in `gone`.
    told_up_to: ModSeq,
    /// Modseqs above `seen` of this session's own flag changes, told already.
    own: Vec<ModSeq>,
}

impl View {
    /// The view at SELECT: what is there now, at this modseq.
    pub fn new(map: UidMap, seen: ModSeq) -> View {
        View { map, gone: BTreeSet::new(), seen, told_up_to: seen, own: Vec::new() }
    }

    /// The map as the client knows it.
    pub fn map(&self) -> &UidMap {
        &self.map
    }

    /// Everything up to this modseq has been taken in: the next question to the store.
    pub fn seen(&self) -> ModSeq {
        self.seen
    }

    /// Everything up to this modseq has been told; expunges after it may be waiting.
    pub fn told_up_to(&self) -> ModSeq {
        self.told_up_to
    }

    /// Whether expunges wait to be told.
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Remembers that this session made the change with that modseq and that its client knows the result.
    pub fn told(&mut self, own: ModSeq) {
        if own > self.seen && !self.own.contains(&own) {
            self.own.push(own);
        }
    }

    /// Whether the client knows the message as it was at that modseq.
    pub fn knows(&self, modseq: ModSeq) -> bool {
        modseq <= self.seen || self.own.contains(&modseq)
    }

    /// Takes in what happened and says what to tell. While `expunge_allowed` is false, what is gone keeps its number and
    /// is told later (RFC 3501 section 7.4.1: never while a FETCH, STORE or SEARCH by number is being answered).
    pub fn update(&mut self, arrived: Arrived, expunge_allowed: bool) -> News {
        let before = self.map.len();
        match &arrived.present {
            Some(present) => self.gone.extend(self.map.uids().filter(|uid| present.seq_of(*uid).is_none())),
            None => self.gone.extend(arrived.expunged.iter().filter(|uid| self.map.seq_of(**uid).is_some())),
        }
        let mut news = News::default();
        if expunge_allowed && !self.gone.is_empty() {
            let gone = UidMap::new(std::mem::take(&mut self.gone));
            news.expunged = self.map.remove(&gone);
            news.vanished = gone;
        }
        for row in arrived.changed {
            if let Some(seq) = self.map.seq_of(row.uid)
                && !self.own.contains(&row.modseq)
                && row.modseq > self.seen
            {
                news.flags.push((seq, row));
            }
        }
        arrived.fresh.into_iter().for_each(|uid| self.map.push(uid));
        let appended = self.map.len() + u32::try_from(news.expunged.len()).unwrap_or(u32::MAX) > before;
        news.exists = appended.then_some(self.map.len());
        self.seen = self.seen.max(arrived.up_to);
        self.own.retain(|own| *own > self.seen);
        if self.gone.is_empty() {
            self.told_up_to = self.seen;
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::{BodyId, SystemFlags};
    use crate::wire::date::Timestamp;
    use proptest::prelude::*;

    fn row(uid: u32, modseq: u64) -> MessageRow {
        MessageRow {
            uid: Uid(uid),
            modseq: ModSeq(modseq),
            flags: SystemFlags((modseq & 31) as u8),
            keywords: 0,
            internal_date: Timestamp(0),
            saved: Timestamp(0),
            bytes: 1,
            form: crate::mail::message::Form::UNKNOWN,
            body: BodyId(u64::from(uid)),
        }
    }

    fn map(uids: &[u32]) -> UidMap {
        UidMap::new(uids.iter().copied().map(Uid))
    }

    #[test]
    fn a_map_of_runs_finds_both_ways() {
        let map = map(&[3, 4, 5, 9, 20, 21]);
        assert_eq!(map.runs.len(), 3);
        assert_eq!((map.len(), map.last()), (6, Some(Uid(21))));
        let numbers: Vec<_> = (0..8).map(|seq| map.uid_of(seq).map(|uid| uid.0)).collect();
        assert_eq!(numbers, [None, Some(3), Some(4), Some(5), Some(9), Some(20), Some(21), None]);
        assert_eq!(map.seq_of(Uid(9)), Some(4));
        assert_eq!(map.seq_of(Uid(10)), None);
        assert_eq!(map.seq_of(Uid(2)), None);
        assert_eq!(map.spans_of_seqs((2, 5)), [(4, 5), (9, 9), (20, 20)]);
        assert_eq!(map.spans_of_seqs((6, 9)), [(21, 21)]);
        assert_eq!(map.spans_of_seqs((7, 9)), []);
        assert_eq!(map.spans_within((5, 20)).collect::<Vec<_>>(), [(5, 5), (9, 9), (20, 20)]);
        assert_eq!(map.spans_within((6, 8)).count(), 0);
        assert_eq!([0, 3, 5, 6, 10, 21, 22].map(|uid| map.count_below(Uid(uid))), [0, 0, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn the_highest_uid_of_all_is_no_overflow() {
        let map = map(&[1, u32::MAX - 1, u32::MAX]);
        assert_eq!(map.last(), Some(Uid(u32::MAX)));
        assert_eq!(map.spans_within((5, u32::MAX)).collect::<Vec<_>>(), [(u32::MAX - 1, u32::MAX)]);
        let mut less = map.clone();
        assert_eq!(less.remove(&super::UidMap::new([Uid(u32::MAX)])), [3]);
        assert_eq!(less.len(), 2);
    }

    #[test]
    fn expunge_waits_until_allowed_and_is_numbered_one_by_one() {
        let mut view = View::new(map(&[1, 2, 3, 4, 5]), ModSeq(10));
        let gone =
            |modseq| Arrived { expunged: vec![Uid(2), Uid(3), Uid(5)], up_to: ModSeq(modseq), ..Arrived::default() };
        assert!(view.update(gone(11), false).is_empty());
        assert!(view.has_gone());
        assert_eq!((view.seen(), view.told_up_to()), (ModSeq(11), ModSeq(10)));
        assert_eq!(view.map().seq_of(Uid(4)), Some(4));
        let arrived = Arrived {
            changed: vec![row(4, 12), row(6, 12)],
            fresh: vec![Uid(6)],
            up_to: ModSeq(12),
            ..Arrived::default()
        };
        let news = view.update(arrived, true);
        assert_eq!(news.expunged, [2, 2, 3]);
        assert_eq!(news.vanished, map(&[2, 3, 5]));
        assert_eq!(news.exists, Some(3));
        assert_eq!(news.flags, [(2, row(4, 12))]);
        assert!(!view.has_gone());
        assert_eq!(view.told_up_to(), ModSeq(12));
    }

    #[test]
    fn own_changes_are_not_told_twice_but_those_of_others_are() {
        let mut view = View::new(map(&[1, 2]), ModSeq(10));
        view.told(ModSeq(12));
        let arrived = Arrived { changed: vec![row(1, 11), row(2, 12)], up_to: ModSeq(12), ..Arrived::default() };
        assert_eq!(view.update(arrived, false).flags, [(1, row(1, 11))]);
        let later = Arrived { changed: vec![row(2, 13)], up_to: ModSeq(13), ..Arrived::default() };
        assert_eq!(view.update(later, false).flags, [(2, row(2, 13))]);
    }

    /// The mailbox as the store keeps it, with everything that ever happened.
    #[derive(Default)]
    struct Model {
        rows: Vec<MessageRow>,
        expunged: Vec<(u64, Uid)>,
        modseq: u64,
        uid_next: u32,
        floor: u64,
    }

    impl Model {
        /// The first changes after `seen`: a few modseqs of them.
        fn since(&self, seen: ModSeq, last: Option<Uid>, modseqs: u64) -> Arrived {
            let forgotten = seen.0 < self.floor;
            let up_to = self.modseq.min(seen.0 + modseqs);
            let now = |modseq: u64| modseq > seen.0 && modseq <= up_to;
            let mut expunged: Vec<Uid> =
                self.expunged.iter().filter(|(modseq, _)| now(*modseq)).map(|(_, uid)| *uid).collect();
            expunged.sort_unstable();
            Arrived {
                changed: self.rows.iter().filter(|row| now(row.modseq.0)).cloned().collect(),
                fresh: self.rows.iter().map(|row| row.uid).filter(|uid| Some(*uid) > last).collect(),
                expunged: if forgotten { Vec::new() } else { expunged },
                present: forgotten.then(|| UidMap::new(self.rows.iter().map(|row| row.uid))),
                up_to: ModSeq(up_to),
            }
        }
    }

    /// What a client makes of what it is told.
    struct Client {
        view: View,
        /// UID (None until asked) and the modseq of the flags it knows.
        known: Vec<(u32, u64)>,
    }

    impl Client {
        fn take(&mut self, model: &Model, news: News) {
            for seq in &news.expunged {
                self.known.remove(*seq as usize - 1);
            }
            if let Some(exists) = news.exists {
                assert!(exists as usize > self.known.len());
                let fresh: Vec<u32> = (self.known.len() as u32 + 1..=exists)
                    .filter_map(|seq| self.view.map().uid_of(seq))
                    .map(|uid| uid.0)
                    .collect();
                for uid in fresh {
                    let modseq = model.rows.iter().find(|row| row.uid.0 == uid).map_or(0, |row| row.modseq.0);
                    self.known.push((uid, modseq));
                }
            }
            // A message just announced may be told of again, when its last change comes in a later page.
            for (seq, row) in news.flags {
                let known = &mut self.known[seq as usize - 1];
                assert_eq!(known.0, row.uid.0);
                assert!(known.1 <= row.modseq.0, "told what was before");
                known.1 = row.modseq.0;
            }
        }
    }

    proptest! {
        #[test]
        fn removal_is_as_in_a_plain_list(present in proptest::collection::btree_set(1u32..200, 0..80), gone in proptest::collection::btree_set(1u32..200, 0..80)) {
            let mut list: Vec<u32> = present.iter().copied().collect();
            let mut runs = UidMap::new(present.iter().copied().map(Uid));
            prop_assert_eq!(runs.uids().map(|uid| uid.0).collect::<Vec<_>>(), list.clone());
            let mut numbers = Vec::new();
            for uid in &gone {
                if let Some(at) = list.iter().position(|have| have == uid) {
                    list.remove(at);
                    numbers.push(at as u32 + 1);
                }
            }
            prop_assert_eq!(runs.remove(&UidMap::new(gone.into_iter().map(Uid))), numbers);
            prop_assert_eq!(&runs, &UidMap::new(list.iter().copied().map(Uid)));
            for (at, uid) in list.iter().enumerate() {
                prop_assert_eq!(runs.seq_of(Uid(*uid)), Some(at as u32 + 1));
                prop_assert_eq!(runs.uid_of(at as u32 + 1), Some(Uid(*uid)));
                prop_assert_eq!(runs.count_below(Uid(*uid)), at as u32);
            }
        }

        /// Three sessions, random changes, random moments of being told: each client ends with what is there.
        #[test]
        fn clients_that_obey_end_up_with_the_truth(steps in proptest::collection::vec((0u8..8, any::<u16>(), 0usize..3), 1..120)) {
            let mut model = Model { uid_next: 1, ..Model::default() };
            let fresh = || Client { view: View::new(UidMap::default(), ModSeq(0)), known: Vec::new() };
            let mut clients = [fresh(), fresh(), fresh()];
            for (what, pick, who) in steps {
                let at = pick as usize % model.rows.len().max(1);
                match what {
                    0 | 1 => {
                        model.modseq += 1;
                        model.rows.push(row(model.uid_next, model.modseq));
                        model.uid_next += 1 + u32::from(pick % 3);
                    }
                    2 if !model.rows.is_empty() => {
                        model.modseq += 1;
                        model.rows[at].modseq = ModSeq(model.modseq);
                    }
                    3 if !model.rows.is_empty() => {
                        model.modseq += 1;
                        let uid = model.rows.remove(at).uid;
                        model.expunged.push((model.modseq, uid));
                    }
                    // This client changes flags itself: it knows the answer at once.
                    4 if !model.rows.is_empty() => {
                        let uid = model.rows[at].uid;
                        if let Some(seq) = clients[who].view.map().seq_of(uid) {
                            model.modseq += 1;
                            model.rows[at].modseq = ModSeq(model.modseq);
                            clients[who].known[seq as usize - 1].1 = model.modseq;
                            clients[who].view.told(ModSeq(model.modseq));
                        }
                    }
                    5 if pick % 7 == 0 => model.floor = model.modseq,
                    _ => {
                        let view = &mut clients[who].view;
                        let arrived = model.since(view.seen(), view.map().last(), 1 + u64::from(pick % 4));
                        let news = view.update(arrived, what > 5);
                        clients[who].take(&model, news);
                    }
                }
            }
            let truth: Vec<(u32, u64)> = model.rows.iter().map(|row| (row.uid.0, row.modseq.0)).collect();
            for client in &mut clients {
                while client.view.seen() < ModSeq(model.modseq) || client.view.has_gone() {
                    let arrived = model.since(client.view.seen(), client.view.map().last(), 3);
                    let news = client.view.update(arrived, true);
                    client.take(&model, news);
                }
                prop_assert_eq!(&client.known, &truth);
                let nothing = model.since(client.view.seen(), client.view.map().last(), 3);
                prop_assert!(client.view.update(nothing, true).is_empty());
            }
        }
    }
}
