//! SELECT, EXAMINE, CLOSE, UNSELECT: which mailbox the session works with.

use super::Session;
use super::access::Allowed;
use super::failure::{Failure, bad};
use super::list::mailbox_id;
use super::news::{gone_since, number_set};
use super::page::{Item, Plan};
use super::updates::Update;
use crate::limits::{IMAP_UNSEEN_ROWS_MAX, NEWS_ROWS_MAX};
use crate::mail::access::Rights;
use crate::mail::message::{Mailbox, MailboxId, ModSeq, SpecialUse, SystemFlags, Uid};
use crate::mail::search::Sight;
use crate::mail::view::{UidMap, View};
use crate::store::{Bell, Expunge, Expungeable, Op, Snapshot, Trouble, Watched};
use crate::wire::imap::command::{QResync, Select, Tag};
use crate::wire::imap::sequence::{NumberSet, SequenceSet};
use crate::wire::imap::{Code, Status, response};
use std::sync::Arc;

/// The selected mailbox and the session's view of it.
pub(super) struct Selected {
    pub mailbox: MailboxId,
    pub read_only: bool,
    /// What this login may do with it.
    pub rights: Rights,
    pub is_outbox: bool,
    pub view: View,
    /// Names behind the keyword bits, as the client was told them.
    pub keywords: Vec<String>,
    pub bell: Bell,
    /// What object identifiers begin with: which store they are of.
    pub store: u32,
    /// UIDs of messages that this session has put there: nobody has to tell its client what they are.
    pub made: NumberSet,
    /// What `$` means: the UIDs that the last SEARCH with SAVE found (RFC 5182). Those that went are still in it, and are
    /// passed over where it is used; no UID comes back.
    pub saved: NumberSet,
    /// Searches that are kept up to date.
    pub updates: Vec<Update>,
}

impl Selected {
    /// What numbers, `$` and keywords mean in this session's commands.
    pub fn sight(&self) -> Sight<'_> {
        Sight { map: self.view.map(), saved: &self.saved, keywords: &self.keywords, store: self.store }
    }
}

/// What one snapshot says of a mailbox that is being selected.
struct Opened {
    mailbox: Mailbox,
    map: UidMap,
    /// Sequence number of the first unseen message, when it was found soon enough.
    unseen: Option<u32>,
    missed: Option<Missed>,
    store: u32,
}

/// What a client with QRESYNC has missed.
struct Missed {
    vanished: NumberSet,
    /// The messages that changed since then, and maybe others.
    changed: NumberSet,
    since: ModSeq,
}

impl Session {
    /// SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2; RFC 7162 section 3.2.5).
    pub(super) async fn select(&mut self, tag: &Tag, select: Select) -> Result<(), Failure> {
        if select.qresync.is_some() && !self.enabled.qresync {
            return Err(bad("QRESYNC has not been enabled"));
        }
        if self.selected.take().is_some() {
            self.conversation.unselected();
            // RFC 7162 section 3.2.11: from here on responses concern the new mailbox.
            response::untagged(&mut self.line.out, Status::Ok, Code::Closed, "Previous mailbox closed");
        }
        self.enabled.condstore |= select.condstore || select.qresync.is_some();
        let Allowed { mailbox: found, rights } = self.mailbox_named(&select.mailbox, Rights::READ).await?;
        // The bell is there before the snapshot: a change in between rings it.
        let bell = self.context.store.bell(Watched::Mailbox(found.id));
        let (id, qresync) = (found.id, select.qresync);
        let opened = self.context.store.read(move |snapshot| open(snapshot, id, qresync.as_ref())).await?;
        let Opened { mailbox, map, unseen, missed, store } = opened;
        // A number, which means nothing to a client that names messages by UID.
        let unseen = unseen.filter(|_| !self.enabled.uid_only);
        let text = if select.read_only { "EXAMINE completed" } else { "SELECT completed" };
        // RFC 4314 section 5.2.
        let code = match select.read_only || !rights.has_any(Rights::CHANGING) {
            true => Code::ReadOnly,
            false => Code::ReadWrite,
        };
        let messages = map.len();
        self.selected = Some(Selected {
            mailbox: mailbox.id,
            read_only: select.read_only,
            rights,
            is_outbox: mailbox.special_use == Some(SpecialUse::Outbox),
            view: View::new(map, mailbox.highest_modseq),
            keywords: mailbox.keywords.clone(),
            bell,
            store,
            made: NumberSet::default(),
            saved: NumberSet::default(),
            updates: Vec::new(),
        });
        if self.enabled.rev2 {
            self.tell_name(&mailbox.name, select.mailbox.as_given()).await?;
        }
        self.tell_selected(&mailbox, messages, unseen);
        self.conversation.selected(select.read_only);
        if let Some(missed) = missed
            && let Err(failure) = self.tell_missed(id, missed).await
        {
            self.selected = None;
            self.conversation.unselected();
            return Err(failure);
        }
        response::tagged(&mut self.line.out, tag, Status::Ok, code, text);
        Ok(())
    }

    fn tell_selected(&mut self, mailbox: &Mailbox, messages: u32, unseen: Option<u32>) {
        response::flags(&mut self.line.out, &mailbox.keywords);
        self.tell_permanent_flags("Flags that can be stored");
        let out = &mut self.line.out;
        response::exists(out, messages);
        // RFC 9051 appendix E knows neither RECENT nor UNSEEN any more.
        if !self.enabled.rev2 {
            response::recent(out, 0);
        }
        if let Some(seq) = unseen.filter(|_| !self.enabled.rev2) {
            response::untagged(out, Status::Ok, Code::Unseen(seq), "First unseen message");
        }
        response::untagged(out, Status::Ok, Code::UidValidity(mailbox.uid_validity.0), "UIDs are valid");
        response::untagged(out, Status::Ok, Code::UidNext(mailbox.uid_next.0), "Next UID");
        response::untagged(out, Status::Ok, Code::MailboxId(mailbox_id(mailbox)), "Mailbox identifier");
        response::untagged(out, Status::Ok, Code::HighestModSeq(mailbox.highest_modseq.0), "Highest modseq");
    }

    async fn tell_missed(&mut self, mailbox: MailboxId, missed: Missed) -> Result<(), Failure> {
        response::vanished(&mut self.line.out, true, &missed.vanished);
        let Some(selected) = &self.selected else { return Ok(()) };
        let map = selected.view.map();
        let mut changed = NumberSet::default();
        for range in missed.changed.ranges() {
            map.spans_within(*range).for_each(|(first, last)| changed.push_range(first, last));
        }
        let mut items = vec![Item::Flags, Item::ModSeq];
        if !self.enabled.uid_only {
            items.insert(0, Item::Uid);
        }
        let plan = Plan {
            items,
            changed_since: Some(missed.since),
            sets_seen: false,
            condstore: true,
            dialect: self.line.out.dialect,
            splices: false,
        };
        self.tell_rows(mailbox, &changed, Arc::new(plan)).await?;
        Ok(())
    }

    /// CLOSE (RFC 3501 section 6.4.2): what is marked deleted goes, without a word.
    pub(super) async fn close(&mut self, tag: &Tag) -> Result<(), Failure> {
        if let Some(selected) = self.selected.take() {
            self.conversation.unselected();
            // RFC 4314 section 4: without the right, CLOSE only closes.
            if !selected.read_only && selected.rights.contains(Rights::EXPUNGE) {
                let op = Op::Expunge(Expunge { mailbox: selected.mailbox, which: Expungeable::Deleted });
                match self.context.store.apply(op).await {
                    Ok(_) | Err(Trouble::NotFound) => {}
                    Err(trouble) => return Err(trouble.into()),
                }
            }
        }
        response::tagged(&mut self.line.out, tag, Status::Ok, Code::None, "CLOSE completed");
        Ok(())
    }

    /// UNSELECT (RFC 3691).
    pub(super) fn unselect(&mut self, tag: &Tag) {
        self.selected = None;
        self.conversation.unselected();
        response::tagged(&mut self.line.out, tag, Status::Ok, Code::None, "UNSELECT completed");
    }
}

fn open(snapshot: &Snapshot, id: MailboxId, qresync: Option<&QResync>) -> Result<Opened, Trouble> {
    let mailbox = snapshot.mailbox(id)?.ok_or(Trouble::NotFound)?;
    let map = snapshot.uid_map(id)?;
    let unseen = match mailbox.unseen {
        0 => None,
        _ => first_unseen(snapshot, id, &map)?,
    };
    let missed = match qresync {
        Some(known) if known.uid_validity == mailbox.uid_validity.0 => Some(missed(snapshot, &mailbox, &map, known)?),
        _ => None,
    };
    Ok(Opened { mailbox, map, unseen, missed, store: snapshot.store_id()? })
}

/// RFC 3501 section 6.3.1 lets a server leave UNSEEN out; it does when the search gets long.
fn first_unseen(snapshot: &Snapshot, id: MailboxId, map: &UidMap) -> Result<Option<u32>, Trouble> {
    for row in snapshot.rows(id, Uid(1), Uid(u32::MAX))?.take(IMAP_UNSEEN_ROWS_MAX) {
        let row = row?;
        if !row.flags.contains(SystemFlags::SEEN) {
            return Ok(map.seq_of(row.uid));
        }
    }
    Ok(None)
}

/// What changed and what went since the client was here, among the messages it knows.
fn missed(snapshot: &Snapshot, mailbox: &Mailbox, map: &UidMap, known: &QResync) -> Result<Missed, Trouble> {
    let largest = mailbox.uid_next.0.saturating_sub(1);
    let known_uids = match &known.known_uids {
        Some(set) => set.resolve(largest),
        None if largest == 0 => NumberSet::default(),
        None => [(1, largest)].into_iter().fold(NumberSet::default(), |mut set, (first, last)| {
            set.push_range(first, last);
            set
        }),
    };
    let since = ModSeq(known.modseq);
    let gone = gone_since(snapshot, mailbox.id, since)?;
    let vanished = if gone.forgotten {
        let agreed = known.sequence_match.as_ref().map_or(0, |(seqs, uids)| agreed_up_to(map, seqs, uids));
        vanished_by_comparison(&known_uids, agreed, largest, map)
    } else {
        set_of(gone.expunged, &known_uids)
    };
    let changes = snapshot.changes_page(mailbox.id, since, NEWS_ROWS_MAX)?;
    let complete = changes.up_to >= mailbox.highest_modseq;
    let changed: NumberSet = match complete {
        true => set_of(changes.changed.iter().map(|row| row.uid), &known_uids),
        false => known_uids,
    };
    Ok(Missed { vanished, changed, since })
}

/// These UIDs, as far as they are among those asked for.
pub(super) fn set_of(uids: impl IntoIterator<Item = Uid>, asked: &NumberSet) -> NumberSet {
    let mut set: Vec<u32> = uids.into_iter().map(|uid| uid.0).filter(|uid| asked.contains(*uid)).collect();
    set.sort_unstable();
    set.into_iter().collect()
}

/// The UIDs that are not there among those that the client may know. Above `agreed`, at most `largest`.
pub(super) fn vanished_by_comparison(known: &NumberSet, agreed: u32, largest: u32, map: &UidMap) -> NumberSet {
    let present = number_set(map);
    let mut vanished = NumberSet::default();
    for (first, last) in known.ranges() {
        let (mut first, last) = ((*first).max(agreed.saturating_add(1)), (*last).min(largest));
        // Both are in order: many ranges on both sides must not be compared each with each.
        let from = present.ranges().partition_point(|(_, high)| *high < first);
        for (low, high) in present.ranges().iter().skip(from).take_while(|(low, _)| *low <= last) {
            if first < *low {
                vanished.push_range(first, low - 1);
            }
            first = high.saturating_add(1);
        }
        if first <= last {
            vanished.push_range(first, last);
        }
    }
    vanished
}

/// The highest UID up to which the client's numbers are still right (RFC 7162 section 3.2.5.2).
fn agreed_up_to(map: &UidMap, seqs: &SequenceSet, uids: &SequenceSet) -> u32 {
    let (seqs, uids) = (seqs.resolve(map.len()), uids.resolve(map.last().map_or(0, |uid| uid.0)));
    let pairs = seqs.iter().take_while(|seq| *seq <= map.len()).zip(uids.iter());
    pairs.take_while(|(seq, uid)| map.uid_of(*seq) == Some(Uid(*uid))).last().map_or(0, |(_, uid)| uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::imap::sequence::SequenceNumber::Number;

    fn map(uids: &[u32]) -> UidMap {
        UidMap::new(uids.iter().copied().map(Uid))
    }

    fn all(last: u32) -> NumberSet {
        (1..=last).collect()
    }

    #[test]
    fn what_went_is_found_by_comparison() {
        let map = map(&[3, 4, 9]);
        let ranges = |set: NumberSet| set.ranges().to_vec();
        assert_eq!(ranges(vanished_by_comparison(&all(12), 0, 12, &map)), [(1, 2), (5, 8), (10, 12)]);
        assert_eq!(ranges(vanished_by_comparison(&all(12), 4, 12, &map)), [(5, 8), (10, 12)]);
        assert_eq!(ranges(vanished_by_comparison(&all(6), 0, 12, &map)), [(1, 2), (5, 6)]);
        assert_eq!(ranges(vanished_by_comparison(&all(20), 0, 9, &map)), [(1, 2), (5, 8)]);
        assert!(vanished_by_comparison(&NumberSet::default(), 0, 12, &map).is_empty());
    }

    #[test]
    fn matching_pairs_shorten_the_comparison() {
        let set = |pairs: &[(u32, u32)]| SequenceSet {
            ranges: pairs.iter().map(|(first, last)| (Number(*first), Number(*last))).collect(),
            saved: false,
        };
        let map = map(&[3, 6, 9, 12]);
        assert_eq!(agreed_up_to(&map, &set(&[(1, 1), (3, 3)]), &set(&[(3, 3), (9, 9)])), 9);
        assert_eq!(agreed_up_to(&map, &set(&[(1, 1), (3, 3)]), &set(&[(3, 3), (10, 10)])), 3);
        assert_eq!(agreed_up_to(&map, &set(&[(1, u32::MAX)]), &set(&[(1, u32::MAX)])), 0);
    }
}
