//! One page of a FETCH: rows of a snapshot rendered as response bytes, on a reader thread.
//!
//! Receives a [`Request`]: which messages, what of them, where to go on; hands on a [`Page`]: finished bytes and why it
//! ended. Must always hold: a page costs bounded time and memory ([`FETCH_PAGE_BYTES`], [`FETCH_PAGE_ROWS_MAX`]) whatever is
//! fetched, and a literal larger than [`crate::limits::FETCH_INLINE_BYTES_MAX`] is left to be streamed.

mod section;

use super::binary::{Binary, Coded, Measured, Told};
use super::body::read;
use crate::limits::{
    FETCH_LONE_ROWS_FIRST, FETCH_PAGE_BYTES, FETCH_PAGE_ROWS_MAX, FETCH_ROWS_FIRST, FETCH_SEEN_ROWS_MAX,
    PREVIEW_PAGE_BYTES, PREVIEW_READ_BYTES,
};
use crate::mail::index::global::shown;
use crate::mail::index::{BodyIndex, Finished, preview};
use crate::mail::message::{BodyId, MailboxId, MessageRow, ModSeq, SystemFlags, Uid};
use crate::mail::view::{Span, UidMap};
use crate::store::{Snapshot, Trouble};
use crate::wire::imap::command::{FetchItem, SectionText};
use crate::wire::imap::sequence::NumberSet;
use crate::wire::imap::{Dialect, FetchRow, ObjectId, Out};
use section::Section;
use std::ops::Range;
use std::sync::Arc;

/// What to tell of every message, made ready once per command.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub items: Vec<Item>,
    /// Messages changed after this only.
    pub changed_since: Option<ModSeq>,
    /// Messages that lack `\Seen` end the page, so that they can be given it first.
    pub sets_seen: bool,
    /// FLAGS told because this command set `\Seen` carry the modseq.
    pub condstore: bool,
    pub dialect: Dialect,
    /// Chunks of bodies go out as they lie: the session compresses.
    pub splices: bool,
}

impl Plan {
    /// Rows read at first: a few bodies fill a page, of what stands in the rows themselves many are told.
    pub fn rows_first(&self) -> usize {
        if self.items.iter().all(Item::is_in_row) { FETCH_LONE_ROWS_FIRST } else { FETCH_ROWS_FIRST }
    }
}

/// One thing to tell.
#[derive(Debug, PartialEq)]
pub(super) enum Item {
    Uid,
    Flags,
    ModSeq,
    InternalDate,
    Size,
    Envelope,
    Body,
    BodyStructure,
    /// With the store that the identifier is of.
    EmailId(u32),
    ThreadId(u32),
    SaveDate,
    Preview {
        lazy: bool,
    },
    Section(Section),
    Binary(Binary),
}

impl Item {
    /// `store` is part of object identifiers.
    pub fn new(item: &FetchItem, store: u32) -> Item {
        let named = |name: &str, text| Item::Section(Section::named(name, text));
        match item {
            FetchItem::Uid => Item::Uid,
            FetchItem::Flags => Item::Flags,
            FetchItem::ModSeq => Item::ModSeq,
            FetchItem::EmailId => Item::EmailId(store),
            FetchItem::ThreadId => Item::ThreadId(store),
            FetchItem::SaveDate => Item::SaveDate,
            FetchItem::Preview { lazy } => Item::Preview { lazy: *lazy },
            FetchItem::InternalDate => Item::InternalDate,
            FetchItem::Rfc822Size => Item::Size,
            FetchItem::Envelope => Item::Envelope,
            FetchItem::Body => Item::Body,
            FetchItem::BodyStructure => Item::BodyStructure,
            FetchItem::Rfc822 => named("RFC822", SectionText::Whole),
            FetchItem::Rfc822Header => named("RFC822.HEADER", SectionText::Header),
            FetchItem::Rfc822Text => named("RFC822.TEXT", SectionText::Text),
            FetchItem::Section(section) => Item::Section(Section::new(section)),
            FetchItem::Binary(section) => Item::Binary(Binary::new(section)),
            FetchItem::BinarySize(path) => Item::Binary(Binary::size(path)),
        }
    }

    /// Whether the row of a message is all that is read for it.
    fn is_in_row(&self) -> bool {
        match self {
            Item::Uid
            | Item::Flags
            | Item::ModSeq
            | Item::InternalDate
            | Item::Size
            | Item::EmailId(_)
            | Item::SaveDate => true,
            Item::Envelope
            | Item::Body
            | Item::BodyStructure
            | Item::ThreadId(_)
            | Item::Preview { .. }
            | Item::Section(_)
            | Item::Binary(_) => false,
        }
    }

    fn needs(&self) -> Need {
        match self {
            Item::Envelope | Item::Body | Item::BodyStructure => Need::Finished,
            Item::Preview { .. } | Item::Binary(_) => Need::Index,
            Item::Section(section) if !section.is_whole_message() && !section.is_own_header() => Need::Index,
            _ => Need::Nothing,
        }
    }
}

/// What has to be read of the facts of a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Nothing,
    Finished,
    Index,
}

/// Neighbouring messages of the view: UIDs `first..=last` under the numbers from `seq` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub first: u32,
    pub last: u32,
    pub seq: u32,
}

impl Stretch {
    /// The neighbours of a view with these UIDs; `None`: they are not in it.
    pub fn of(map: &UidMap, (first, last): Span) -> Option<Stretch> {
        Some(Stretch { first, last, seq: map.seq_of(Uid(first))? })
    }
}

/// Where a page begins: at an item of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of the stretch.
    pub stretch: usize,
    pub uid: u32,
    /// Items of the message already told. Above 0, the row of [`Request::row`] is open.
    pub item: usize,
}

impl Place {
    /// Whether it is at a message before that of another.
    pub fn is_before(&self, other: &Place) -> bool {
        (self.stretch, self.uid) < (other.stretch, other.uid)
    }
}

/// What to render.
pub(super) struct Request {
    pub mailbox: MailboxId,
    pub stretches: Arc<[Stretch]>,
    pub plan: Arc<Plan>,
    pub place: Place,
    /// Behind the last message of it.
    pub end: Place,
    /// The row begun by the page before.
    pub row: Option<FetchRow>,
    /// The part that the page before wanted to know the size of.
    pub measured: Option<Measured>,
    /// Messages that got `\Seen` by this command: their FLAGS are told.
    pub seen_now: Arc<NumberSet>,
    /// Names of keywords that the client knows: those of a mailbox only become more.
    pub keywords_told: usize,
}

/// What was rendered.
pub(super) struct Page {
    pub out: Vec<u8>,
    /// Where in `out` chunks of bodies lie compressed.
    pub deflated: Vec<Range<usize>>,
    pub next: After,
    /// Messages told.
    pub told: u32,
    /// Why something was left out, the first time that happened.
    pub untold: Option<Untold>,
    /// The names of all keywords, when there are some to be told before this page.
    pub keywords: Option<Vec<String>>,
}

/// Why something of a message is not told. The rest of it is, and the other messages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Untold {
    /// It cannot be read.
    Trouble(Trouble),
    /// Its transfer encoding is unknown or broken (RFC 3516 section 4.3).
    UnknownEncoding,
}

impl From<Trouble> for Untold {
    fn from(trouble: Trouble) -> Untold {
        Untold::Trouble(match trouble {
            // The message is there: a body that is not has been lost.
            Trouble::NotFound => Trouble::Failed("a message has lost its body".to_owned()),
            trouble => trouble,
        })
    }
}

/// Why a page ended.
pub(super) enum After {
    /// It was long enough, or nothing is left before [`Request::end`]: go on here.
    More(Place),
    /// It was long enough in the middle of a row: go on with it here.
    Within { row: FetchRow, place: Place },
    /// These lack `\Seen`: set it, then go on here.
    Unseen(Vec<Uid>, Place),
    /// These bytes belong next into the answer; then go on here with the row.
    Stream { body: BodyId, range: Range<u64>, row: FetchRow, place: Place },
    /// The same of decoded bytes of a part.
    Decode { coded: Coded, wanted: Range<u64>, row: FetchRow, place: Place },
    /// The size of this part is wanted; then go on here.
    Measure { coded: Coded, row: Option<FetchRow>, place: Place },
    /// The row that the page before had begun cannot be gone on with. It is ended: what is said next must not land in it.
    Failed(Trouble),
}

/// Renders one page.
pub(super) fn render(snapshot: &Snapshot, request: Request) -> Result<Page, Trouble> {
    let begun = request.row.clone();
    match (render_rows(snapshot, request), begun) {
        (Err(trouble), Some(row)) => {
            let mut out = Vec::new();
            row.end(&mut out);
            let next = After::Failed(trouble);
            Ok(Page { out, deflated: Vec::new(), next, told: 0, untold: None, keywords: None })
        }
        (rendered, _) => rendered,
    }
}

fn render_rows(snapshot: &Snapshot, request: Request) -> Result<Page, Trouble> {
    let keywords = snapshot.mailbox(request.mailbox)?.ok_or(Trouble::NotFound)?.keywords;
    let Request { mailbox, stretches, plan, mut place, end, mut row, measured, seen_now, keywords_told } = request;
    // In the middle of a row nothing else can be told: the news will do it.
    let are_new = row.is_none() && keywords.len() > keywords_told;
    let news = are_new.then(|| keywords.clone());
    let mut renderer = Renderer::new(snapshot, &plan, keywords, &seen_now, measured);
    let mut page =
        Page { out: Vec::new(), deflated: Vec::new(), next: After::More(end), told: 0, untold: None, keywords: news };
    // Only so many messages are given \Seen before they are told: the client may be gone by then.
    let mut rows_left = if plan.sets_seen { FETCH_SEEN_ROWS_MAX } else { FETCH_PAGE_ROWS_MAX };
    let mut rows_next = if plan.sets_seen { rows_left } else { plan.rows_first() };
    while let Some(stretch) = stretches.get(place.stretch).filter(|_| place.is_before(&end)) {
        let last = match &row {
            // A row that is open is ended before anything else is looked at.
            Some(_) => place.uid,
            None if place.stretch == end.stretch => end.uid - 1,
            None => stretch.last,
        };
        let rows_now = rows_next.min(rows_left);
        rows_next = rows_next.saturating_mul(2);
        let messages = snapshot.messages(mailbox, Uid(place.uid), Uid(last), rows_now)?;
        let complete = messages.len() < rows_now;
        rows_left -= messages.len();
        if row.is_none() && plan.sets_seen {
            let unseen = unseen(&messages, &plan, &seen_now);
            if !unseen.is_empty() {
                page.next = After::Unseen(unseen, place);
                return Ok(renderer.finish(page));
            }
        }
        if messages.is_empty()
            && let Some(row) = row.take()
        {
            // The message went while its literal was sent.
            row.end(&mut renderer.out);
        }
        for message in &messages {
            place.uid = message.uid.0;
            if plan.changed_since.is_some_and(|since| message.modseq <= since) {
                continue;
            }
            let seq = stretch.seq + (message.uid.0 - stretch.first);
            match renderer.message(message, seq, &mut row, place) {
                Some(after) => {
                    page.next = after;
                    return Ok(renderer.finish(page));
                }
                // A row is counted once, when it ends.
                None => (place.item, page.told) = (0, page.told + 1),
            }
            if renderer.out.len() >= FETCH_PAGE_BYTES || renderer.read >= PREVIEW_PAGE_BYTES {
                page.next = After::More(following(&stretches, place));
                return Ok(renderer.finish(page));
            }
        }
        place = match complete {
            false => following(&stretches, place),
            true if last < stretch.last => Place { uid: last + 1, item: 0, ..place },
            true => beginning(&stretches, place.stretch + 1),
        };
        if rows_left == 0 {
            page.next = After::More(place);
            break;
        }
    }
    Ok(renderer.finish(page))
}

/// The first place of a stretch.
pub(super) fn beginning(stretches: &[Stretch], stretch: usize) -> Place {
    Place { stretch, uid: stretches.get(stretch).map_or(0, |stretch| stretch.first), item: 0 }
}

/// The place so many messages further.
pub(super) fn further(stretches: &[Stretch], mut place: Place, mut messages: u32) -> Place {
    place.item = 0;
    while let Some(stretch) = stretches.get(place.stretch) {
        let left = stretch.last - place.uid + 1;
        if messages < left {
            return Place { uid: place.uid + messages, ..place };
        }
        messages -= left;
        place = beginning(stretches, place.stretch + 1);
    }
    place
}

/// The place after this message.
fn following(stretches: &[Stretch], place: Place) -> Place {
    match stretches.get(place.stretch) {
        Some(stretch) if place.uid < stretch.last => Place { uid: place.uid + 1, item: 0, ..place },
        _ => beginning(stretches, place.stretch + 1),
    }
}

fn unseen(messages: &[MessageRow], plan: &Plan, seen_now: &NumberSet) -> Vec<Uid> {
    messages
        .iter()
        .filter(|message| !message.flags.contains(SystemFlags::SEEN))
        .filter(|message| plan.changed_since.is_none_or(|since| message.modseq > since))
        .filter(|message| !seen_now.contains(message.uid.0))
        .map(|message| message.uid)
        .collect()
}

struct Renderer<'a> {
    snapshot: &'a Snapshot,
    plan: &'a Plan,
    keywords: Vec<String>,
    seen_now: &'a NumberSet,
    measured: Option<Measured>,
    untold: Option<Untold>,
    /// Bytes read for previews.
    read: u64,
    out: Out,
    /// See [`Page::deflated`].
    deflated: Vec<Range<usize>>,
    /// The header that is being told, and what is selected of it.
    block: Vec<u8>,
    selected: Vec<u8>,
}

impl<'a> Renderer<'a> {
    fn new(
        snapshot: &'a Snapshot,
        plan: &'a Plan,
        keywords: Vec<String>,
        seen_now: &'a NumberSet,
        measured: Option<Measured>,
    ) -> Renderer<'a> {
        Renderer {
            snapshot,
            plan,
            keywords,
            seen_now,
            measured,
            untold: None,
            read: 0,
            out: Out::new(plan.dialect),
            deflated: Vec::new(),
            block: Vec::new(),
            selected: Vec::new(),
        }
    }

    fn finish(mut self, page: Page) -> Page {
        Page { out: self.out.take(), deflated: self.deflated, untold: self.untold, ..page }
    }

    /// Renders a message from its item `place.item` on. `Some` when something else must be done first. An item that cannot be told
    /// is left out.
    fn message(&mut self, message: &MessageRow, seq: u32, open: &mut Option<FetchRow>, place: Place) -> Option<After> {
        let start = self.out.len();
        let items = self.plan.items.get(place.item..).unwrap_or_default();
        let need = items.iter().map(Item::needs).max().unwrap_or(Need::Nothing);
        let (finished, index) = self.facts(message.body, need).unwrap_or_else(|trouble| {
            self.leave_out(trouble.into());
            (None, None)
        });
        let is_known = |item: &Item| match item.needs() {
            Need::Nothing => true,
            Need::Finished => finished.is_some(),
            Need::Index => index.is_some(),
        };
        let mut row = match open.take() {
            Some(row) => row,
            None => self.begin(message, seq),
        };
        for (at, item) in items.iter().enumerate().filter(|(_, item)| is_known(item)) {
            let place = Place { item: place.item + at, ..place };
            // However many sections of a message are asked for, a page ends with the one that fills it.
            if at > 0 && self.out.len() >= FETCH_PAGE_BYTES {
                return Some(After::Within { row, place });
            }
            let next = Place { item: place.item + 1, ..place };
            match item {
                Item::Section(section) => match self.section(&mut row, message, index.as_ref(), section) {
                    Ok(None) => {}
                    Ok(Some(range)) => return Some(After::Stream { body: message.body, range, row, place: next }),
                    Err(trouble) => self.leave_out(trouble.into()),
                },
                Item::Binary(binary) => match self.binary(&mut row, message, index.as_ref(), binary) {
                    Ok(Told::Whole) => {}
                    Ok(Told::Head(coded, wanted)) => return Some(After::Decode { coded, wanted, row, place: next }),
                    Ok(Told::Unmeasured(coded)) if row.is_empty() => {
                        self.out.truncate(start);
                        return Some(After::Measure { coded, row: None, place });
                    }
                    Ok(Told::Unmeasured(coded)) => return Some(After::Measure { coded, row: Some(row), place }),
                    Err(untold) => self.leave_out(untold),
                },
                Item::Preview { lazy } => {
                    if let Err(trouble) = self.preview(&mut row, message, index.as_ref(), *lazy) {
                        self.leave_out(trouble.into());
                    }
                }
                Item::ThreadId(store) => match self.snapshot.body_thread(message.body) {
                    Ok(thread) => row.thread_id(&mut self.out, ObjectId::thread(*store, thread.0)),
                    Err(trouble) => self.leave_out(trouble.into()),
                },
                item => self.item(&mut row, message, finished.as_ref(), item),
            }
        }
        match row.is_empty() {
            true => self.out.truncate(start),
            false => row.end(&mut self.out),
        }
        None
    }

    /// What is needed of the facts of a body.
    fn facts(&self, body: BodyId, need: Need) -> Result<(Option<Finished>, Option<BodyIndex>), Trouble> {
        Ok(match need {
            Need::Nothing => (None, None),
            Need::Finished => (Some(self.snapshot.body_finished(body)?), None),
            Need::Index => {
                let mut index = self.snapshot.body_index(body)?;
                (Some(index.take_finished()), Some(index))
            }
        })
    }

    fn leave_out(&mut self, untold: Untold) {
        self.untold.get_or_insert(untold);
    }

    fn binary(
        &mut self,
        row: &mut FetchRow,
        message: &MessageRow,
        index: Option<&BodyIndex>,
        binary: &Binary,
    ) -> Result<Told, Untold> {
        let Some(index) = index else { return Ok(Told::Whole) };
        binary.tell((self.snapshot, message, index), self.measured.take(), row, &mut self.out)
    }

    /// Of messages from before previews were kept it is made now, unless the client would rather not wait.
    fn preview(
        &mut self,
        row: &mut FetchRow,
        message: &MessageRow,
        index: Option<&BodyIndex>,
        lazy: bool,
    ) -> Result<(), Trouble> {
        let Some(BodyIndex { preview: kept, parts, .. }) = index else { return Ok(()) };
        if kept.is_some() || lazy {
            row.preview(&mut self.out, kept.as_deref());
            return Ok(());
        }
        let bytes = message.bytes.min(PREVIEW_READ_BYTES);
        self.read += bytes;
        let head = read(self.snapshot, message.body, 0..bytes)?;
        row.preview(&mut self.out, Some(&preview(parts, &head)));
        Ok(())
    }

    fn begin(&mut self, message: &MessageRow, seq: u32) -> FetchRow {
        let mut row = FetchRow::begin(&mut self.out, seq, message.uid.0);
        let planned = |wanted: fn(&Item) -> bool| self.plan.items.iter().any(wanted);
        if self.seen_now.contains(message.uid.0) {
            let names_uid = self.plan.condstore && !self.plan.dialect.uid_only;
            if names_uid && !planned(|item| matches!(item, Item::Uid)) {
                row.uid(&mut self.out, message.uid.0);
            }
            if !planned(|item| matches!(item, Item::Flags)) {
                row.flags(&mut self.out, message.flags, &self.keywords, message.keywords, false);
            }
            if self.plan.condstore && !planned(|item| matches!(item, Item::ModSeq)) {
                row.modseq(&mut self.out, message.modseq.0);
            }
        }
        row
    }

    fn item(&mut self, row: &mut FetchRow, message: &MessageRow, finished: Option<&Finished>, item: &Item) {
        let (out, nests_global) = (&mut self.out, self.plan.dialect.nests_global);
        match (item, finished) {
            (Item::Uid, _) => row.uid(out, message.uid.0),
            (Item::Flags, _) => row.flags(out, message.flags, &self.keywords, message.keywords, false),
            (Item::ModSeq, _) => row.modseq(out, message.modseq.0),
            (Item::InternalDate, _) => row.internal_date(out, message.internal_date),
            (Item::EmailId(store), _) => row.email_id(out, ObjectId::email(*store, message.body.0)),
            (Item::SaveDate, _) => row.save_date(out, message.saved),
            (Item::Size, _) => row.size(out, message.bytes),
            (Item::Envelope, Some(finished)) => row.envelope(out, &finished.envelope),
            (Item::Body, Some(finished)) => row.body(out, &shown(&finished.body, nests_global)),
            (Item::BodyStructure, Some(finished)) => {
                row.body_structure(out, &shown(&finished.body_structure, nests_global))
            }
            // Cannot happen: `Item::needs` names every item that needs one, and the others are told where they are read.
            (
                Item::ThreadId(_)
                | Item::Preview { .. }
                | Item::Envelope
                | Item::Body
                | Item::BodyStructure
                | Item::Section(_)
                | Item::Binary(_),
                _,
            ) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_each_other_across_stretches() {
        let stretches = [Stretch { first: 3, last: 4, seq: 1 }, Stretch { first: 9, last: 9, seq: 3 }];
        let place = |stretch, uid| Place { stretch, uid, item: 0 };
        assert_eq!(beginning(&stretches, 0), place(0, 3));
        assert_eq!(following(&stretches, Place { item: 2, ..place(0, 3) }), place(0, 4));
        assert_eq!(following(&stretches, place(0, 4)), place(1, 9));
        assert_eq!(following(&stretches, place(1, 9)), place(2, 0));
        let highest = [Stretch { first: u32::MAX, last: u32::MAX, seq: 1 }];
        assert_eq!(following(&highest, place(0, u32::MAX)), place(1, 0));
        let ahead = |from, messages| further(&stretches, Place { item: 3, ..from }, messages);
        assert_eq!([ahead(place(0, 3), 1), ahead(place(0, 3), 2)], [place(0, 4), place(1, 9)]);
        assert_eq!([ahead(place(0, 4), 2), ahead(place(0, 3), 9)], [place(2, 0), place(2, 0)]);
        assert!(place(0, 4).is_before(&place(1, 3)) && !place(1, 9).is_before(&place(1, 9)));
    }

    /// For one item of the message with UID 1.
    fn request(mailbox: MailboxId, item: Item, row: Option<FetchRow>) -> Request {
        let plan = Plan {
            items: vec![item],
            changed_since: None,
            sets_seen: false,
            condstore: false,
            dialect: Dialect::default(),
            splices: false,
        };
        Request {
            mailbox,
            stretches: Arc::new([Stretch { first: 1, last: 1, seq: 1 }]),
            plan: Arc::new(plan),
            place: Place { stretch: 0, uid: 1, item: 0 },
            end: Place { stretch: 1, uid: 0, item: 0 },
            row,
            measured: None,
            seen_now: Arc::default(),
            keywords_told: 0,
        }
    }

    #[test]
    fn a_row_that_cannot_be_gone_on_with_is_ended() {
        let disk = std::sync::Arc::new(crate::store::MemoryDisk::new());
        let store = crate::store::Store::open_on(disk, crate::store::Options::new("")).unwrap();
        let page = |row: Option<FetchRow>| {
            let request = request(MailboxId(99), Item::Size, row);
            smol::block_on(store.read(move |snapshot| render(snapshot, request)))
        };
        assert!(matches!(page(None), Err(Trouble::NotFound)));
        let ended = page(Some(FetchRow::begin(&mut Out::default(), 1, 1))).unwrap();
        assert_eq!(ended.out, b")\r\n");
        assert!(matches!(ended.next, After::Failed(Trouble::NotFound)));
    }

    #[test]
    fn a_preview_that_was_not_kept_is_made_unless_the_client_is_lazy() {
        use crate::mail::index::Indexer;
        use crate::store::{Deliver, MemoryDisk, Op, Options, Store, Target};
        let store = Store::open_on(Arc::new(MemoryDisk::new()), Options::new("")).unwrap();
        let message = b"Subject: old\r\n\r\nPreview text!\r\n";
        let inbox = smol::block_on(store.read(|snapshot| snapshot.mailbox_named("INBOX"))).unwrap().unwrap().id;
        let (mut writer, mut indexer) = (store.body_writer(), Indexer::new());
        indexer.push(message);
        smol::block_on(writer.write(message)).unwrap();
        let index = BodyIndex { preview: None, ..indexer.finish() };
        let body = smol::block_on(writer.finish(index)).unwrap();
        let targets = vec![Target { mailbox: inbox, flags: crate::wire::imap::Flags::default() }];
        let now = crate::wire::date::Timestamp(0);
        smol::block_on(store.apply(Op::Deliver(Deliver { body, targets, internal_date: now, now }))).unwrap();
        for (lazy, told) in
            [(true, "* 1 FETCH (PREVIEW NIL)\r\n"), (false, "* 1 FETCH (PREVIEW \"Preview text!\")\r\n")]
        {
            let request = request(inbox, Item::Preview { lazy }, None);
            let page = smol::block_on(store.read(move |snapshot| render(snapshot, request))).unwrap();
            assert_eq!(String::from_utf8_lossy(&page.out), told);
        }
    }
}
