//! The rows of a mailbox in pages of bounded work, for what looks at many of them: SEARCH, SORT, THREAD.

use crate::mail::message::{MailboxId, MessageRow, Uid};
use crate::mail::view::Span;
use crate::store::{Snapshot, Trouble};
use std::ops::ControlFlow;

/// Rows read first, then twice as many each time.
const ROWS_FIRST: usize = 64;

/// Where a page begins: the index of a span, and a UID in it.
pub(super) type Place = (usize, u32);

/// The beginning of all spans.
pub(super) fn beginning(spans: &[Span]) -> Option<Place> {
    place_in(spans, 0)
}

/// Gives rows of these spans to `take`, from a place on: at most `rows_max`, and none after it has said that it is enough. Returns
/// the place after them.
pub(super) fn read_rows(
    snapshot: &Snapshot,
    mailbox: MailboxId,
    spans: &[Span],
    (mut span, mut uid): Place,
    rows_max: usize,
    mut take: impl FnMut(&MessageRow) -> Result<ControlFlow<()>, Trouble>,
) -> Result<Option<Place>, Trouble> {
    // It may soon be enough: rows are read as they are needed.
    let (mut rows_left, mut rows_next) = (rows_max, ROWS_FIRST);
    while let Some((_, last)) = spans.get(span) {
        let rows_now = rows_next.min(rows_left);
        rows_next = rows_next.saturating_mul(2);
        let rows = snapshot.messages(mailbox, Uid(uid), Uid(*last), rows_now)?;
        for row in &rows {
            rows_left -= 1;
            if take(row)?.is_break() || rows_left == 0 {
                return Ok(if row.uid.0 < *last { Some((span, row.uid.0 + 1)) } else { place_in(spans, span + 1) });
            }
        }
        if let Some(row) = rows.last().filter(|row| rows.len() == rows_now && row.uid.0 < *last) {
            uid = row.uid.0 + 1;
            continue;
        }
        span += 1;
        let Some((_, first)) = place_in(spans, span) else { return Ok(None) };
        uid = first;
    }
    Ok(None)
}

fn place_in(spans: &[Span], span: usize) -> Option<Place> {
    spans.get(span).map(|(first, _)| (span, *first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::Indexer;
    use crate::mail::message::{Flags, INBOX};
    use crate::store::{Deliver, Op, Store, Target};
    use crate::wire::date::Timestamp;

    #[test]
    fn pages_of_any_size_give_the_same_rows() {
        let store = Store::in_memory().unwrap();
        for _ in 0..5 {
            let mut writer = store.body_writer();
            smol::block_on(writer.write(b"Subject: x\r\n\r\n")).unwrap();
            let body = smol::block_on(writer.finish(Indexer::new().finish())).unwrap();
            let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
            let now = Timestamp(0);
            smol::block_on(store.apply(Op::Deliver(Deliver { body, targets, internal_date: now, now }))).unwrap();
        }
        let walk = |rows_max: usize, enough: usize| {
            smol::block_on(store.read(move |snapshot| {
                // The third span has no messages.
                let spans = [(1, 2), (4, 9), (20, 30)];
                let (mut uids, mut pages, mut next) = (Vec::new(), Vec::new(), beginning(&spans));
                while let Some(place) = next {
                    let mut taken = 0;
                    next = read_rows(snapshot, INBOX, &spans, place, rows_max, |row| {
                        uids.push(row.uid.0);
                        taken += 1;
                        Ok(if taken >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                    })?;
                    pages.push(taken);
                }
                Ok((uids, pages))
            }))
            .unwrap()
        };
        let all = vec![1, 2, 4, 5];
        assert_eq!(walk(100, 100), (all.clone(), vec![4]));
        assert_eq!(walk(3, 100), (all.clone(), vec![3, 1]));
        assert_eq!(walk(100, 2), (all.clone(), vec![2, 2, 0]));
        assert_eq!(walk(1, 100), (all, vec![1, 1, 1, 1, 0]));
        assert_eq!(beginning(&[]), None);
    }
}
