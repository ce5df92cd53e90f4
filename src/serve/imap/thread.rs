//! THREAD and UID THREAD: what SEARCH finds, read once more page by page for what it answers, threaded on a reader thread.

use super::Session;
use super::failure::{Failure, no};
use super::rows::{beginning, read_rows};
use crate::limits::{SORT_NUMBERS_AT_ONCE, SORT_PAGE_ROWS};
use crate::mail::thread::{Piece, Threader, Threads};
use crate::mail::view::Span;
use crate::store::Snapshot;
use crate::wire::imap::Code;
use crate::wire::imap::command::Tag;
use crate::wire::imap::order::{Thread, ThreadAlgorithm, ThreadWriter};
use crate::wire::imap::sequence::NumberSet;
use std::ops::ControlFlow;
use std::sync::Arc;

impl Session {
    /// THREAD (RFC 5256 section 3).
    pub(super) async fn thread(&mut self, tag: &Tag, thread: Thread) -> Result<(), Failure> {
        if thread.key.mentions_modseq() {
            self.enable_condstore();
        }
        let found = self.find(tag, &thread.key).await?.uids;
        let threads = self.threads(found, thread.algorithm).await?;
        let mut pieces = threads.pieces();
        let mut writer = ThreadWriter::begin(&mut self.line.out);
        while let Some(selected) = &self.selected {
            let (map, out) = (selected.view.map(), &mut self.line.out);
            let mut written = 0;
            for piece in pieces.by_ref().take(SORT_NUMBERS_AT_ONCE) {
                written += 1;
                match piece {
                    Piece::Open => writer.open(out),
                    Piece::Close => writer.close(out),
                    Piece::Message(uid) if thread.uid => writer.number(out, uid.0),
                    // What was found is in the view, and the view does not change meanwhile.
                    Piece::Message(uid) => map.seq_of(uid).into_iter().for_each(|number| writer.number(out, number)),
                }
            }
            if written == 0 {
                break;
            }
            self.line.flush_when_full().await?;
        }
        writer.end(&mut self.line.out);
        self.finish(tag, thread.uid, Code::None, "THREAD completed").await
    }

    async fn threads(&self, found: NumberSet, algorithm: ThreadAlgorithm) -> Result<Threads, Failure> {
        let Some(selected) = &self.selected else { return Err(no(Code::ClientBug, "No mailbox is selected")) };
        let mailbox = selected.mailbox;
        let spans: Arc<[Span]> = found.ranges().into();
        let mut threader = Threader::new(algorithm);
        let mut next = beginning(&spans);
        while let Some(place) = next {
            let spans = spans.clone();
            let read = move |snapshot: &Snapshot| {
                let next = read_rows(snapshot, mailbox, &spans, place, SORT_PAGE_ROWS, |row| {
                    threader.add(row, &snapshot.body_index(row.body)?);
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok((threader, next))
            };
            (threader, next) = self.context.store.read(read).await?;
        }
        Ok(self.context.store.read(|_: &Snapshot| Ok(threader.finish())).await?)
    }
}
