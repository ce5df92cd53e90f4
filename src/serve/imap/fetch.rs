//! FETCH and UID FETCH: pages of rows, streamed literals, `\Seen`.

use super::Session;
use super::body::push_piece;
use super::failure::{Failure, bad, no, words};
use super::news::gone_since;
use super::page::{After, Item, Page, Place, Plan, Stretch, Untold};
use super::pages::{Left, Pages};
use super::select::{set_of, vanished_by_comparison};
use crate::mail::access::Rights;
use crate::mail::message::{BodyId, MailboxId, ModSeq, SystemFlags, Uid};
use crate::store::{Done, FlagChange, Op, SetFlags, Trouble};
use crate::wire::imap::command::{Fetch, FetchItem, Tag};
use crate::wire::imap::sequence::NumberSet;
use crate::wire::imap::{Code, Flags, Status, response};
use smol::future;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// What came of telling rows.
#[derive(Default)]
pub(super) struct Rows {
    /// Messages told.
    told: u32,
    /// Why something of them was left out.
    untold: Option<Untold>,
}

impl Session {
    /// FETCH (RFC 3501 section 6.4.5, RFC 7162 sections 3.1.4 and 3.2.6).
    pub(super) async fn fetch(&mut self, tag: &Tag, fetch: Fetch) -> Result<(), Failure> {
        if fetch.vanished && !self.enabled.qresync {
            return Err(bad("VANISHED needs ENABLE QRESYNC"));
        }
        if fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq) {
            self.enable_condstore();
        }
        let Some(selected) = &self.selected else { return Err(no(Code::ClientBug, "No mailbox is selected")) };
        let mailbox = selected.mailbox;
        // RFC 4314 section 4: without the right to set it, FETCH leaves `\Seen` alone.
        let sees = !selected.read_only && selected.rights.contains(Rights::SEEN);
        let mut uids = self.uids(fetch.uid, &fetch.set)?;
        if let Some(partial) = fetch.partial {
            uids = uids.part(partial.places(uids.count()));
        }
        if fetch.vanished {
            self.tell_vanished(mailbox, &fetch).await?;
        }
        let plan = self.plan(&fetch, sees);
        let wanted = uids.count();
        let Rows { told, untold } = match uids.ranges() {
            [(first, last)] if first == last => self.tell_one(mailbox, (*first, &uids), plan).await?,
            _ => {
                self.onward = None;
                self.tell_rows(mailbox, &uids, Arc::new(plan)).await?
            }
        };
        let gone = !fetch.uid && fetch.changed_since.is_none() && u64::from(told) < wanted;
        self.tell_news(fetch.uid, false).await?;
        let (status, code, text) = match untold {
            Some(Untold::Trouble(trouble)) => {
                let (code, text) = words(&trouble);
                (Status::No, code, text)
            }
            Some(Untold::UnknownEncoding) => {
                (Status::No, Code::UnknownCte, "The transfer encoding of a part is unknown or broken")
            }
            // RFC 2180 section 4.1.2: numbers that the client still has, of messages that others expunged.
            None if gone => (Status::No, Code::ExpungeIssued, "Some of the messages no longer exist"),
            None => (Status::Ok, Code::None, "FETCH completed"),
        };
        response::tagged(&mut self.line.out, tag, status, code, text);
        Ok(())
    }

    fn plan(&self, fetch: &Fetch, sees: bool) -> Plan {
        let store = self.selected.as_ref().map_or(0, |selected| selected.store);
        let mut items: Vec<Item> = Vec::with_capacity(fetch.items.len() + 2);
        // UID first, whether it was asked for or goes with UID FETCH: it is what clients look for.
        // UIDFETCH begins with it.
        if (fetch.uid && !self.enabled.uid_only) || fetch.items.contains(&FetchItem::Uid) {
            items.push(Item::Uid);
        }
        items.extend(fetch.items.iter().filter(|item| **item != FetchItem::Uid).map(|item| Item::new(item, store)));
        if fetch.changed_since.is_some() && !fetch.items.contains(&FetchItem::ModSeq) {
            items.push(Item::ModSeq);
        }
        Plan {
            items,
            changed_since: fetch.changed_since.map(ModSeq),
            sets_seen: sees && fetch.items.iter().any(FetchItem::sets_seen),
            condstore: self.enabled.condstore,
            dialect: self.line.out.dialect,
            splices: self.line.compresses(),
        }
    }

    /// Tells the rows of these messages, page by page.
    pub(super) async fn tell_rows(
        &mut self,
        mailbox: MailboxId,
        uids: &NumberSet,
        plan: Arc<Plan>,
    ) -> Result<Rows, Failure> {
        let Some(selected) = &self.selected else { return Ok(Rows::default()) };
        let map = selected.view.map();
        let stretches = uids.ranges().iter().filter_map(|span| Stretch::of(map, *span)).collect();
        let (mut pages, left) = Pages::new(self.context.store.clone(), mailbox, stretches, plan);
        Ok(self.tell_pages(mailbox, &mut pages, left, None).await?.0)
    }

    /// Tells pages up to the last, or until the next would begin there; returns where that is.
    pub(super) async fn tell_pages(
        &mut self,
        mailbox: MailboxId,
        pages: &mut Pages,
        mut left: Left,
        until: Option<Place>,
    ) -> Result<(Rows, Left), Failure> {
        let mut rows = Rows::default();
        // A page is sent while the next one is read.
        let (mut unsent, mut spliced) = (Vec::new(), Vec::new());
        loop {
            let keywords_told = self.selected.as_ref().map_or(0, |selected| selected.keywords.len());
            let reading = match until.is_some_and(|until| !left.place.is_before(&until)) {
                true => None,
                false => pages.next(&mut left, keywords_told).await,
            };
            let Some(reading) = reading else {
                self.line.write_spliced(&unsent, &spliced).await?;
                return Ok((rows, left));
            };
            let (page, sent) = future::zip(reading, self.line.write_spliced(&unsent, &spliced)).await;
            sent?;
            let page = page?;
            pages.came(&page);
            let Page { out, deflated, next, told, untold, keywords } = page;
            keywords.into_iter().for_each(|keywords| self.tell_keywords(keywords));
            rows = Rows { told: rows.told + told, untold: rows.untold.or(untold) };
            (unsent, spliced) = (out, deflated);
            left = match next {
                After::Failed(trouble) => {
                    self.line.write_spliced(&unsent, &spliced).await?;
                    return Err(trouble.into());
                }
                After::More(place) => Left::at(place),
                After::Within { row, place } => Left { row: Some(row), ..Left::at(place) },
                After::Unseen(unseen, place) => {
                    // A page may end before the messages that got the flag do: those still to be told stay in.
                    let untold = pages.seen_now.iter().filter(|uid| *uid >= place.uid);
                    pages.seen_now = Arc::new(untold.chain(self.set_seen(mailbox, unseen).await.iter()).collect());
                    Left::at(place)
                }
                After::Measure { coded, row, place } => Left { place, row, measured: Some(self.measure(coded).await) },
                After::Stream { body, range, row, place } => {
                    self.line.write_spliced(&std::mem::take(&mut unsent), &std::mem::take(&mut spliced)).await?;
                    self.stream_body(body, range).await?;
                    Left { row: Some(row), ..Left::at(place) }
                }
                After::Decode { coded, wanted, row, place } => {
                    self.line.write(&std::mem::take(&mut unsent)).await?;
                    self.stream_decoded(coded, wanted).await?;
                    Left { row: Some(row), ..Left::at(place) }
                }
            };
        }
    }

    /// Sets `\Seen` before bodies are told. What cannot be set (no room on the disk) does not keep the owner from reading: the
    /// returned messages count as handled either way.
    async fn set_seen(&mut self, mailbox: MailboxId, unseen: Vec<Uid>) -> NumberSet {
        let handled = unseen.iter().map(|uid| uid.0).collect();
        let flags = Flags { system: SystemFlags::SEEN, keywords: Vec::new() };
        let op = SetFlags { mailbox, uids: unseen, change: FlagChange::Add, flags, unchanged_since: None };
        match self.context.store.apply(Op::SetFlags(op)).await {
            Ok(Done::FlagsSet { changed, .. }) => {
                if let Some(selected) = &mut self.selected {
                    changed.iter().for_each(|row| selected.view.told(row.modseq));
                }
            }
            Ok(_) => {}
            Err(trouble) => log::warn!("event=imap-seen-not-set peer={} cause={trouble:?}", self.peer),
        }
        handled
    }

    /// Sends the bytes of a literal whose head has been said, piece by piece as the client takes them.
    async fn stream_body(&mut self, body: BodyId, range: Range<u64>) -> Result<(), Failure> {
        let (store, splices) = (self.context.store.clone(), self.line.compresses());
        let read = |start: u64| {
            let range = start..range.end;
            store.read(move |snapshot| {
                let (mut bytes, mut deflated) = (Vec::new(), Vec::new());
                let read = push_piece(snapshot, body, range, &mut bytes, splices.then_some(&mut deflated))?;
                Ok::<_, Trouble>((read, bytes, deflated))
            })
        };
        let mut at = range.start;
        let mut piece = read(at).await;
        loop {
            let (count, bytes, deflated) = match piece {
                Ok(piece) if piece.0 > 0 => piece,
                // The client was promised more bytes than there are any more: only the end of the connection is honest.
                Ok(_) | Err(Trouble::NotFound) => {
                    return Err(io::Error::other("a message went while it was sent").into());
                }
                Err(trouble) => return Err(io::Error::other(format!("{trouble:?}")).into()),
            };
            at += count;
            if at >= range.end {
                return Ok(self.line.write_spliced(&bytes, &deflated).await?);
            }
            // The next piece is read while this one is sent.
            let (next, sent) = future::zip(read(at), self.line.write_spliced(&bytes, &deflated)).await;
            sent?;
            piece = next;
        }
    }

    /// UID FETCH with VANISHED: what went since then, before any FETCH response (RFC 7162 section 3.2.6).
    async fn tell_vanished(&mut self, mailbox: MailboxId, fetch: &Fetch) -> Result<(), Failure> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let since = ModSeq(fetch.changed_since.unwrap_or(0));
        let gone = self.context.store.read(move |snapshot| gone_since(snapshot, mailbox, since)).await?;
        let largest = gone.mailbox.uid_next.0.saturating_sub(1);
        let asked = fetch.set.resolve(largest);
        let vanished = match gone.forgotten {
            true => vanished_by_comparison(&asked, 0, largest, selected.view.map()),
            false => set_of(gone.expunged, &asked),
        };
        response::vanished(&mut self.line.out, true, &vanished);
        Ok(())
    }
}
