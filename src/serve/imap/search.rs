//! SEARCH and UID SEARCH: pages of rows, decided on a reader thread.
//!
//! A page ends after so many rows or so many bytes of message, so that other sessions' reads come in between.

use super::Session;
use super::failure::{Failure, no};
use super::progress::Progress;
use super::rows::{Place, beginning, read_rows};
use super::updates::Kept;
use crate::limits::{
    FETCH_HEADER_BYTES_MAX, FETCH_PIECE_BYTES, SEARCH_PAGE_BYTES, SEARCH_PAGE_ROWS, SEARCH_SAVED_RANGES_MAX,
};
use crate::mail::index::{BodyIndex, Indexer};
use crate::mail::message::{BodyId, MailboxId, MessageRow, ModSeq, Uid};
use crate::mail::search::{Answer, Facts, Hits, Query, Sight, TextScan, TooManyStrings, stretches};
use crate::mail::view::Span;
use crate::store::{Snapshot, Store, Trouble};
use crate::wire::date::Timestamp;
use crate::wire::imap::command::{Search, SearchKey, Tag};
use crate::wire::imap::sequence::NumberSet;
use crate::wire::imap::{Code, Correlators, Esearch, Results, SearchReturn, Status, response};
use smol::future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One page: what was found, and where to go on.
struct Page {
    /// UID, modseq and, when asked for, the score.
    found: Vec<(Uid, ModSeq, Option<u8>)>,
    next: Option<Place>,
    /// Messages looked at.
    looked_at: u64,
}

/// What was found, and the highest modseq of it all.
#[derive(Default)]
pub(super) struct Found {
    pub uids: NumberSet,
    pub highest: ModSeq,
    /// The score of each message in the order of the UIDs, when asked for (RFC 6203 section 4).
    pub scores: Vec<u8>,
}

impl Found {
    /// Adds a message; UIDs ascend.
    fn add(&mut self, uid: u32, modseq: ModSeq, score: Option<u8>) {
        self.highest = self.highest.max(modseq);
        self.uids.push(uid);
        self.scores.extend(score);
    }

    /// Adds what was found above it.
    fn join(&mut self, above: Found) {
        self.highest = self.highest.max(above.highest);
        above.uids.ranges().iter().for_each(|(first, last)| self.uids.push_range(*first, *last));
        self.scores.extend(above.scores);
    }
}

/// [`Query::new`] or [`Query::scored`].
pub(super) type MakeQuery = fn(&SearchKey, Sight<'_>, Timestamp) -> Result<Query, TooManyStrings>;

impl Session {
    /// SEARCH (RFC 3501 section 6.4.4, RFC 4731, RFC 7162 section 3.1.5).
    pub(super) async fn search(&mut self, tag: &Tag, search: Search) -> Result<(), Failure> {
        // RFC 9051 section 6.4.4: the answer is ESEARCH always, and ALL is what is told by default.
        let returns = search.returns.or(self.enabled.rev2.then_some(SearchReturn::ALL));
        let search = Search { returns, ..search };
        let saves = search.returns.is_some_and(|returns| returns.save);
        let done = self.search_and_tell(tag, search).await;
        self.unless_refused(saves, done)
    }

    async fn search_and_tell(&mut self, tag: &Tag, search: Search) -> Result<(), Failure> {
        let by_modseq = search.key.mentions_modseq();
        if search.returns.is_some_and(|returns| returns.update) {
            self.check_update_tag(tag)?;
        }
        if by_modseq {
            self.enable_condstore();
        }
        let found = match search.returns {
            Some(SearchReturn { relevancy: true, .. }) => self.find_scored(tag, &search.key).await?,
            _ => self.find(tag, &search.key).await?,
        };
        let Some(returns) = search.returns else {
            let modseq = by_modseq.then_some(found.highest.0);
            let numbers = self.numbers(search.uid, found.uids);
            response::search(&mut self.line.out, numbers.iter(), modseq);
            return self.finish(tag, search.uid, Code::None, "SEARCH completed").await;
        };
        let modseq = match &self.selected {
            Some(selected) if by_modseq => Some(self.modseq_of(selected.mailbox, &returns, &found).await?.0),
            _ => None,
        };
        let settled = returns.update.then(|| self.settled_key(&search.key));
        if returns.save {
            self.save(returns.saved(Results::Set(&found.uids)))?;
        }
        let matching = if returns.update { found.uids.clone() } else { NumberSet::default() };
        if returns.tells() {
            let (numbers, scores) = (self.numbers(search.uid, found.uids), &found.scores[..]);
            let correlators = Correlators { tag, mailbox: None, uid: search.uid };
            let found = Results::Set(&numbers);
            Esearch { correlators, returns, found, scores, modseq }.write(&mut self.line.out);
        }
        if let Some(key) = settled {
            let kept = Kept { uid: search.uid, mailbox: None, key, fetch: search.update_fetch };
            self.keep_up_to_date(tag, kept, matching);
        }
        self.finish(tag, search.uid, Code::None, "SEARCH completed").await
    }

    /// The messages of the selected mailbox that match.
    pub(super) async fn find(&mut self, tag: &Tag, key: &SearchKey) -> Result<Found, Failure> {
        self.find_by(tag, key, Query::new).await
    }

    /// The messages of the selected mailbox that match, with their scores.
    pub(super) async fn find_scored(&mut self, tag: &Tag, key: &SearchKey) -> Result<Found, Failure> {
        self.find_by(tag, key, Query::scored).await
    }

    async fn find_by(&mut self, tag: &Tag, key: &SearchKey, query: MakeQuery) -> Result<Found, Failure> {
        let Some(selected) = &self.selected else { return Err(no(Code::ClientBug, "No mailbox is selected")) };
        let (mailbox, clock) = (selected.mailbox, self.context.net.clock().clone());
        let (query, spans) = prepared(key, &selected.sight(), clock.now(), query)?;
        let goal = spans.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
        self.matching(&mut Progress::new(clock, tag, Some(goal)), mailbox, query, spans).await
    }

    /// The messages among these spans of a mailbox that match.
    pub(super) async fn matching(
        &mut self,
        progress: &mut Progress,
        mailbox: MailboxId,
        query: Arc<Query>,
        spans: Vec<Span>,
    ) -> Result<Found, Failure> {
        let (store, done) = (&self.context.store, progress.done());
        if !query.reads_texts() {
            let found = found_in(store, mailbox, spans, query, done);
            return Ok(progress.during(&mut self.line, found).await??);
        }
        // Both readers: the search takes half the time, and other sessions' questions still come in between pages.
        let (one, other) = halves(&spans);
        let both = future::zip(
            found_in(store, mailbox, one, query.clone(), done.clone()),
            found_in(store, mailbox, other, query, done),
        );
        let (one, other) = progress.during(&mut self.line, both).await?;
        let mut found = one?;
        found.join(other?);
        Ok(found)
    }

    /// The modseq to tell: the highest of the messages that MIN, MAX and PARTIAL mean, or of all (RFC 4731 section 3.2). These
    /// are the same as SAVE would save.
    pub(super) async fn modseq_of(
        &self,
        mailbox: MailboxId,
        returns: &SearchReturn,
        found: &Found,
    ) -> Result<ModSeq, Failure> {
        let meant = returns.saved(Results::Set(&found.uids));
        if meant == found.uids {
            return Ok(found.highest);
        }
        let (spans, everything) = (meant.ranges().to_vec(), Arc::new(Query::everything()));
        let of_meant = found_in(&self.context.store, mailbox, spans, everything, Arc::default()).await?;
        Ok(of_meant.highest)
    }

    /// These UIDs as the client wants to hear them: as they are, or as sequence numbers.
    pub(super) fn numbers(&self, uid: bool, uids: NumberSet) -> NumberSet {
        match &self.selected {
            Some(selected) if !uid => uids.iter().filter_map(|uid| selected.view.map().seq_of(Uid(uid))).collect(),
            _ => uids,
        }
    }

    /// Makes `$` mean these UIDs from now on (RFC 5182 section 2.1).
    pub(super) fn save(&mut self, uids: NumberSet) -> Result<(), Failure> {
        match &mut self.selected {
            Some(selected) if uids.ranges().len() <= SEARCH_SAVED_RANGES_MAX => {
                selected.saved = uids;
                Ok(())
            }
            // RFC 5182 section 2.5.
            _ => Err(no(Code::NotSaved, "Too much was found to be saved")),
        }
    }

    /// What a search that was to be saved came to: answered NO, it leaves nothing behind (RFC 5182 section 2.1).
    pub(super) fn unless_refused(&mut self, saves: bool, done: Result<(), Failure>) -> Result<(), Failure> {
        if saves && matches!(done, Err(Failure::Store(_) | Failure::Refused(Status::No, ..))) {
            self.forget_saved();
        }
        done
    }

    /// Makes `$` mean nothing.
    pub(super) fn forget_saved(&mut self) {
        if let Some(selected) = &mut self.selected {
            selected.saved = NumberSet::default();
        }
    }
}

/// A search made ready, and where it has to look: only at what the session has been told of.
pub(super) fn prepared(
    key: &SearchKey,
    sight: &Sight<'_>,
    now: Timestamp,
    query: MakeQuery,
) -> Result<(Arc<Query>, Vec<Span>), Failure> {
    let query = query(key, *sight, now).map_err(|_| no(Code::Limit, "Too many different strings in one search"))?;
    let spans = match query.candidates() {
        Some(set) => set.ranges().iter().flat_map(|range| sight.map.spans_within(*range)).collect(),
        None => sight.map.spans().collect(),
    };
    Ok((Arc::new(query), spans))
}

/// The messages among these spans that match. Counts in `done` what it has looked at.
pub(super) async fn found_in(
    store: &Store,
    mailbox: MailboxId,
    spans: Vec<Span>,
    query: Arc<Query>,
    done: Arc<AtomicU64>,
) -> Result<Found, Trouble> {
    let spans: Arc<[Span]> = spans.into();
    let mut found = Found::default();
    let mut next = beginning(&spans);
    while let Some(place) = next {
        let (query, spans) = (query.clone(), spans.clone());
        let page = store.read(move |snapshot| page(snapshot, mailbox, &spans, place, &query)).await?;
        for (uid, modseq, score) in page.found {
            found.add(uid.0, modseq, score);
        }
        done.fetch_add(page.looked_at, Ordering::Relaxed);
        next = page.next;
    }
    Ok(found)
}

/// Cuts spans into two lists with about as many UIDs each.
fn halves(spans: &[Span]) -> (Vec<Span>, Vec<Span>) {
    let all: u64 = spans.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
    let (mut one, mut other, mut left) = (Vec::new(), Vec::new(), all / 2);
    for &(first, last) in spans {
        let count = u64::from(last - first) + 1;
        if left == 0 {
            other.push((first, last));
        } else if count <= left {
            one.push((first, last));
            left -= count;
        } else {
            // `left` is below `count`, which fits: so does it.
            let cut = first + left as u32;
            one.push((first, cut - 1));
            other.push((cut, last));
            left = 0;
        }
    }
    (one, other)
}

fn page(snapshot: &Snapshot, mailbox: MailboxId, spans: &[Span], place: Place, query: &Query) -> Result<Page, Trouble> {
    let (mut found, mut looked_at, mut bytes_left) = (Vec::new(), 0, SEARCH_PAGE_BYTES);
    let next = read_rows(snapshot, mailbox, spans, place, SEARCH_PAGE_ROWS, |row| {
        looked_at += 1;
        if let Some(score) = matches(snapshot, query, row, &mut bytes_left)? {
            found.push((row.uid, row.modseq, query.is_scored().then_some(score)));
        }
        Ok(if bytes_left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(Page { found, next, looked_at })
}

/// The score of a message if it matches, 100 when no scores are asked for. Reads what the query asks for, and takes it off
/// `bytes_left`.
fn matches(snapshot: &Snapshot, query: &Query, row: &MessageRow, bytes_left: &mut u64) -> Result<Option<u8>, Trouble> {
    let (mut thread, mut index, mut signature, mut header, mut hits) = (None, None, None, None, None);
    // Each need can be met once: five rounds and a last word.
    for _ in 0..6 {
        let facts = Facts {
            row,
            thread,
            index: index.as_ref(),
            signature: signature.as_deref(),
            header: header.as_deref(),
            hits,
        };
        let need = match query.decide(&facts) {
            Answer::No => return Ok(None),
            Answer::Yes => match query.relevancy(&facts) {
                Ok(score) => return Ok(Some(score)),
                Err(need) => need,
            },
            need => need,
        };
        match need {
            Answer::Yes | Answer::No => break,
            Answer::NeedThread => thread = Some(snapshot.body_thread(row.body)?),
            Answer::NeedIndex => index = Some(read_index(snapshot, row.body, bytes_left)?),
            Answer::NeedSignature => {
                let read = snapshot.body_signature(row.body)?;
                *bytes_left = bytes_left.saturating_sub(read.len() as u64);
                signature = Some(read);
            }
            Answer::NeedHeader => {
                let known = match index.take() {
                    Some(index) => index,
                    None => read_index(snapshot, row.body, bytes_left)?,
                };
                header = Some(read_header(snapshot, row.body, &known, bytes_left)?);
                index = Some(known);
            }
            Answer::NeedHits => {
                let known = match index.take() {
                    Some(index) => index,
                    None => read_index(snapshot, row.body, bytes_left)?,
                };
                hits = Some(read_hits(snapshot, row.body, &known, query, bytes_left)?);
                index = Some(known);
            }
        }
    }
    Err(Trouble::Failed("a search never had enough".to_owned()))
}

fn read_index(snapshot: &Snapshot, body: BodyId, bytes_left: &mut u64) -> Result<BodyIndex, Trouble> {
    let index = snapshot.body_index(body)?;
    *bytes_left = bytes_left.saturating_sub((index.envelope.len() + index.body_structure.len()) as u64);
    Ok(index)
}

fn read_header(snapshot: &Snapshot, body: BodyId, index: &BodyIndex, left: &mut u64) -> Result<Vec<u8>, Trouble> {
    let Some(message) = index.parts.first() else { return Ok(Vec::new()) };
    let end = message.body_start.min(message.header_start + FETCH_HEADER_BYTES_MAX);
    let header = snapshot.body_range(body, message.header_start..end)?;
    *left = left.saturating_sub(header.len() as u64);
    Ok(header)
}

fn read_hits(
    snapshot: &Snapshot,
    body: BodyId,
    index: &BodyIndex,
    query: &Query,
    bytes_left: &mut u64,
) -> Result<Hits, Trouble> {
    let made_anew;
    let index = match index.lacks_texts() {
        true => {
            made_anew = read_anew(snapshot, body, index, bytes_left)?;
            &made_anew
        }
        false => index,
    };
    let mut scan = TextScan::new(query);
    let wanted = stretches(index);
    let end_of_all = wanted.last().map_or(0, |stretch| stretch.bytes.end);
    // Stretches follow each other, mostly without gaps: what was read for one holds the beginning of the next.
    let (mut read, mut read_from) = (Vec::new(), 0u64);
    for stretch in &wanted {
        let mut at = stretch.bytes.start;
        while at < stretch.bytes.end && !scan.is_complete() {
            if !(read_from..read_from + read.len() as u64).contains(&at) {
                read = snapshot.body_range(body, at..end_of_all.min(at + FETCH_PIECE_BYTES))?;
                read_from = at;
                *bytes_left = bytes_left.saturating_sub(read.len() as u64);
            }
            let ready = read.get((at - read_from) as usize..).unwrap_or_default();
            let piece = ready.get(..(stretch.bytes.end - at) as usize).unwrap_or(ready);
            if piece.is_empty() {
                return Err(Trouble::Failed("a body is shorter than its index says".to_owned()));
            }
            at += piece.len() as u64;
            scan.scan(index, stretch, piece, at >= stretch.bytes.end);
        }
        if scan.is_complete() {
            break;
        }
    }
    Ok(scan.hits())
}

/// The index of a body as it would be made now. Of few bodies, or it would be kept.
fn read_anew(snapshot: &Snapshot, body: BodyId, known: &BodyIndex, bytes_left: &mut u64) -> Result<BodyIndex, Trouble> {
    let end = known.parts.first().map_or(0, |message| message.body_end);
    let (mut indexer, mut at) = (Indexer::new(), 0);
    while at < end {
        let read = snapshot.body_range(body, at..end.min(at + FETCH_PIECE_BYTES))?;
        if read.is_empty() {
            return Err(Trouble::Failed("a body is shorter than its index says".to_owned()));
        }
        at += read.len() as u64;
        *bytes_left = bytes_left.saturating_sub(read.len() as u64);
        indexer.push(&read);
    }
    Ok(indexer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::PartKind;
    use crate::mail::view::UidMap;
    use crate::store::{Deliver, MemoryDisk, Op, Options, Target};

    #[test]
    fn texts_that_a_row_of_before_does_not_name_are_found() {
        let store = Store::open_on(Arc::new(MemoryDisk::new()), Options::new("")).unwrap();
        let message =
            b"Content-Type: multipart/report; boundary=a\r\n\r\n--a\r\nContent-Type: message/delivery-status\r\n\r\n\
            Final-Recipient: rfc822; quokka@far.example\r\n--a--\r\n";
        let inbox = smol::block_on(store.read(|snapshot| snapshot.mailbox_named("INBOX"))).unwrap().unwrap().id;
        let (mut writer, mut indexer) = (store.body_writer(), Indexer::new());
        indexer.push(message);
        smol::block_on(writer.write(message)).unwrap();
        let mut index = indexer.finish();
        index.parts[1].kind = PartKind::Leaf;
        index.signature = vec![index.signature[0] - 1, 0, 0];
        let body = smol::block_on(writer.finish(index)).unwrap();
        let targets = vec![Target { mailbox: inbox, flags: crate::wire::imap::Flags::default() }];
        let deliver = Deliver { body, targets, internal_date: Timestamp(0), now: Timestamp(0) };
        smol::block_on(store.apply(Op::Deliver(deliver))).unwrap();
        let (map, saved) = (UidMap::new([Uid(1)]), NumberSet::default());
        let sight = Sight { map: &map, saved: &saved, keywords: &[], store: 0 };
        for (needle, wanted) in [("quokka@far", 1), ("wombat@far", 0)] {
            let query = Query::new(&SearchKey::Body(needle.to_owned()), sight, Timestamp(0)).unwrap();
            let found = found_in(&store, inbox, vec![(1, 1)], Arc::new(query), Arc::default());
            assert_eq!(smol::block_on(found).unwrap().uids.iter().count(), wanted, "{needle}");
        }
    }

    #[test]
    fn halves_hold_every_message_once() {
        assert_eq!(halves(&[(1, 4)]), (vec![(1, 2)], vec![(3, 4)]));
        assert_eq!(halves(&[(1, 1), (5, 7)]), (vec![(1, 1), (5, 5)], vec![(6, 7)]));
        assert_eq!(halves(&[(9, 9)]), (vec![], vec![(9, 9)]));
        assert_eq!(halves(&[]), (vec![], vec![]));
        assert_eq!(halves(&[(1, u32::MAX)]), (vec![(1, u32::MAX / 2)], vec![(u32::MAX / 2 + 1, u32::MAX)]));
    }
}
