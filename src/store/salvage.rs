//! Everything that can still be read of a damaged store, as a new one.
//!
//! Receives a disk that is only read and one that is new; hands on a store and a report of what was lost. It goes
//! `source` (bytes, whatever the disk gives) -> `pages` (redb's pages, each verified) -> `roots` (where the tables begin)
//! -> `gather` (rows, certain ones and found ones) -> `rebuild` (ordinary steps into a new store) -> `replay` (the
//! `journal` on top). redb never sees the damaged file: it panics on pages that are not what it wrote.
//!
//! What must always hold: the damaged store is not changed; a message in the new store is byte for byte one of the old
//! store, with its own UID; what is missing is named, or counted where nothing is left that has its name.

mod bodies;
mod gather;
mod journal;
mod pages;
mod pieces;
mod rebuild;
mod replay;
mod roots;
mod source;

use super::Trouble;
use super::disk::{Disk, Part};
use super::tables::*;
use crate::mail::message::*;
use crate::order;
use gather::{Gathered, changed_message};
use journal::Batches;
use pages::Shape;
use rebuild::Rebuild;
use redb::ReadableTable;
use roots::Found;
use source::Source;
use std::collections::{BTreeMap, BTreeSet};

/// What came of a salvage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// What was done, one sentence each.
    pub notes: Vec<String>,
    /// What is lost, one entry each; nothing when all of it was readable.
    pub lost: Vec<Lost>,
}

/// Something that cannot be had again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The message's mailbox and UID, if it is a message whose place is known.
    pub message: Option<(MailboxId, Uid)>,
    /// For the owner: what it was.
    pub sentence: String,
}

impl Lost {
    fn other(sentence: String) -> Lost {
        Lost { message: None, sentence }
    }
    fn message(mailbox: MailboxId, uid: Uid, name: &str, what: String) -> Lost {
        Lost { message: Some((mailbox, uid)), sentence: format!("message {} of {name:?}: {what}", uid.0) }
    }
}

/// What can be read of a message that is damaged. It is no message any more: parts are missing without a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Name of its mailbox.
    pub mailbox: String,
    /// Its UID there.
    pub uid: Uid,
    /// The readable parts, end to end.
    pub bytes: Vec<u8>,
    has_header: bool,
    /// The IMAP envelope of its facts, if they can be read.
    envelope: Vec<u8>,
}

/// Bytes of a header field that are told.
const TOLD_BYTES_MAX: usize = 120;

impl Partial {
    /// Date, sender and subject as far as they can be read.
    fn describe(&self) -> String {
        let header = if self.has_header { &self.bytes[..] } else { &[] };
        let field = |name: &str| {
            let line = header.split(|byte| *byte == b'\n').take_while(|line| !line.trim_ascii().is_empty()).find_map(
                |line| {
                    let (found, value) = line.split_at_checked(name.len())?;
                    found.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
                },
            )?;
            Some(String::from_utf8_lossy(line.get(..TOLD_BYTES_MAX).unwrap_or(line)).into_owned())
        };
        let mut told = [field("date:"), field("from:"), field("subject:")];
        if told.iter().all(Option::is_none) {
            told = read_envelope(&self.envelope);
        }
        let [date, from, subject] = told;
        if date.is_none() && from.is_none() && subject.is_none() {
            return "its header cannot be read".into();
        }
        let told = |field: Option<String>| field.unwrap_or_default();
        format!("{:?} from {:?}, {:?}", told(subject), told(from), told(date))
    }
}

/// Date, sender and subject of an IMAP envelope (RFC 3501 section 7.4.2) as the store writes it.
fn read_envelope(envelope: &[u8]) -> [Option<String>; 3] {
    let mut strings: Vec<(usize, Option<String>)> = Vec::new();
    let (mut depth, mut rest) = (0, envelope);
    // Date, subject, and the four strings of the first sender.
    while let (Some((byte, behind)), true) = (rest.split_first(), strings.len() < 6) {
        rest = behind;
        match byte {
            b'(' => depth += 1,
            b')' => depth = usize::saturating_sub(depth, 1),
            b'N' => strings.push((depth, None)),
            b'"' => {
                let mut value = Vec::new();
                while let Some((byte, behind)) = rest.split_first().filter(|(byte, _)| **byte != b'"') {
                    let (byte, behind) =
                        if *byte == b'\\' { behind.split_first().unwrap_or((byte, behind)) } else { (byte, behind) };
                    value.push(*byte);
                    rest = behind;
                }
                rest = rest.get(1..).unwrap_or_default();
                value.truncate(TOLD_BYTES_MAX);
                strings.push((depth, Some(String::from_utf8_lossy(&value).into_owned())));
            }
            b'{' => {
                // A literal: what holds it is not told.
                let digits: usize = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let length = rest.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
                let skipped = length.and_then(|length: usize| length.checked_add(digits + 3));
                rest = skipped.and_then(|skipped| rest.get(skipped..)).unwrap_or_default();
                strings.push((depth, Some("(odd characters)".into())));
            }
            _ => {}
        }
    }
    let mut strings = strings.into_iter();
    let (date, subject) = (strings.next().and_then(|(_, date)| date), strings.next().and_then(|(_, subject)| subject));
    let sender: Vec<Option<String>> = strings.filter(|(depth, _)| *depth == 3).map(|(_, part)| part).collect();
    let from = match &sender[..] {
        [_, _, Some(mailbox), Some(host)] => Some(format!("{mailbox}@{host}")),
        _ => None,
    };
    [date, from, subject]
}

/// How far a salvage is: bodies read, and all of them.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Copies what can be read of the store on `from` into a new store on `to`, and gives what can be read of damaged messages
/// to `partial`. Blocking, and long. `now_seconds`: since 1970, for a UIDVALIDITY that was never given. Errors: the old store
/// has no file to read, or the new one cannot be written.
pub fn salvage(
    from: &dyn Disk,
    to: &dyn Disk,
    now_seconds: u64,
    progress: Progress<'_>,
    partial: &mut dyn FnMut(&Partial) -> Result<(), Trouble>,
) -> Result<Salvaged, Trouble> {
    let open = |part| from.open(part)?.map(Source::new).transpose();
    let database: Option<Source> = open(Part::Database)?;
    let source = database.ok_or_else(|| Trouble::Failed("there is no file `hauspost.redb` to read".into()))?;
    let ring: Option<Source> = open(Part::Journal)?;
    let batches = ring.as_ref().map(Batches::find).unwrap_or_default();
    let gathered = Gathered::read(&source, batches.store);
    if let Some(format) = gathered.other_format {
        return Err(Trouble::Failed(format!(
            "the store has format {format}, and this program saves only those of format {FORMAT}"
        )));
    }
    let is_state = matches!(gathered.found, Found::Newest | Found::Older | Found::Searched);
    let knows_batch = is_state && gathered.condition(Shape::of(&META.table)).certain > 0;
    let from_batch = gathered.meta.as_ref().filter(|_| knows_batch).map_or(0, |meta| meta.batch);
    let was_closed = gathered.meta.as_ref().is_some_and(|meta| meta.closed);

    let mut rebuild = Rebuild::new(&source, gathered, to, now_seconds)?;
    let mut shown = order::map(rebuild.gathered.messages.values().map(|row| (row.body, row.bytes)));
    shown.extend(rebuild.gathered.queue.values().map(|entry| (entry.body, entry.bytes)));
    // What Outbox says of the messages in it is said anew.
    shown.retain(|id, _| !rebuild.derived.contains(id));
    let strays = if rebuild.gathered.whole(Shape::of(&MESSAGES)) {
        BTreeSet::new()
    } else {
        {
            let is_stray = |id: &&BodyId| !shown.contains_key(id) && !rebuild.derived.contains(id);
            order::set(rebuild.gathered.bodies.keys().filter(is_stray).copied())
        }
    };
    rebuild.write_mailboxes()?;
    rebuild.write_bodies(shown, progress)?;
    rebuild.write_rows()?;
    // Of a store that was not closed the last batches may be lost without a trace.
    let mut is_certain = knows_batch && was_closed && rebuild.gathered.found != Found::Older;
    match &ring {
        Some(ring) => {
            let replayed = replay::replay(&mut rebuild, ring, &batches, from_batch)?;
            is_certain &= replayed.missing == 0;
            is_certain &= replayed.batches == 0;
            let is_void = rebuild.gathered.meta.as_ref().is_none_or(|meta| batches.store != Some(meta.store));
            if is_void && !was_closed {
                rebuild.lost.push(Lost::other("what the journal had: nothing of this store can be read in it".into()));
            }
            tell_replay(&mut rebuild, replayed, knows_batch);
        }
        None if was_closed => {}
        None => rebuild.lost.push(Lost::other("the file `journal` with the last changes".into())),
    }
    rebuild.drop_broken(partial)?;
    list_lost(&mut rebuild)?;
    rebuild.place_strays(strays)?;
    rebuild.finish(is_certain)?;
    rebuild.show_queue()?;
    tell_source(&mut rebuild, source.unreadable() + ring.as_ref().map_or(0, Source::unreadable));
    let (lost, notes) = rebuild.publish(to)?;
    Ok(Salvaged { notes, lost })
}

fn tell_replay(rebuild: &mut Rebuild<'_>, replayed: replay::Replayed, knows_batch: bool) {
    let replay::Replayed { batches, missing } = replayed;
    if batches > 0 && knows_batch {
        rebuild.notes.push(format!(
            "{batches} batches of changes were taken from the journal; had its end been damaged, nothing would tell"
        ));
    } else if batches > 0 {
        rebuild.notes.push(format!(
            "which changes of the journal the tables had already is not known: all {batches} batches were gone through again"
        ));
    }
    if missing > 0 && knows_batch {
        rebuild.lost.push(Lost::other(format!(
            "{missing} batches of changes in the journal; what came after them was applied as far as it stands alone"
        )));
    }
}

fn tell_source(rebuild: &mut Rebuild<'_>, unreadable: usize) {
    let told = match rebuild.gathered.found {
        Found::Newest => None,
        Found::Older => {
            Some("the last checkpoint cannot be read: the one before was used, and what was found beside it")
        }
        Found::Searched => Some("the header is lost: the newest state that is whole was used"),
        Found::Nothing => {
            Some("the list of tables is lost: the file was searched for rows, and how many are missing is not known")
        }
    };
    rebuild.notes.extend(told.map(str::to_owned));
    if unreadable > 0 {
        rebuild.notes.push(format!("the disk refused to read {unreadable} places of 4 KiB"));
    }
    let may_return = !rebuild.gathered.whole(Shape::of(&MESSAGES)) && !rebuild.gathered.whole(Shape::of(&CHANGES));
    if may_return {
        rebuild.notes.push("messages that were deleted shortly before may have come back".into());
    }
}

/// Lists the rows that are missing: by their names where another table has them, else by their number.
fn list_lost(rebuild: &mut Rebuild<'_>) -> Result<(), Trouble> {
    let mut lost = rebuild
        .write(|rebuild, tables, _| {
            let mut lost = Vec::new();
            let gathered = &rebuild.gathered;
            let mut named: BTreeMap<MailboxId, u32> = BTreeMap::new();
            if !gathered.whole(Shape::of(&MESSAGES)) {
                for key in gathered.changes.iter().copied().map(changed_message) {
                    let (id, uid) = (MailboxId((key >> 32) as u32), key_uid(key));
                    if gathered.messages.contains_key(&key) || gathered.outbox == Some(id) {
                        continue;
                    }
                    *named.entry(id).or_default() += 1;
                    if let (Ok(state), None, false) =
                        (tables.mailbox(id), tables.message(id, uid)?, gathered.gone.contains(&key))
                    {
                        let what =
                            "which one it was is not known; if it is whole, it lies in a mailbox called Recovered"
                                .into();
                        lost.push(Lost::message(id, uid, &state.mailbox.name, what));
                        rebuild.doubted.insert(id);
                    }
                }
            }
            Ok((lost, named))
        })
        .map(|(mut lost, named)| {
            lost.extend(count_lost(&rebuild.gathered, &named));
            lost
        })?;
    let entries = rebuild.write(|rebuild, tables, _| {
        let mut entries = Vec::new();
        for key in &rebuild.gathered.due {
            let (_, id) = due_parts(*key);
            let was_there = rebuild.gathered.queue.contains_key(&id) || rebuild.unqueued.contains(&id);
            if !was_there && tables.queue.read()?.get(id.0)?.is_none() {
                entries.push(Lost::other(format!("a message that waited to be sent (number {} of the queue)", id.0)));
            }
        }
        Ok(entries)
    })?;
    lost.extend(entries);
    rebuild.lost.extend(lost);
    Ok(())
}

/// What is missing and has no name any more.
fn count_lost(gathered: &Gathered, named: &BTreeMap<MailboxId, u32>) -> Vec<Lost> {
    let mut lost = Vec::new();
    let mut found: BTreeMap<MailboxId, u32> = named.clone();
    for key in gathered.messages.keys() {
        *found.entry(MailboxId((key >> 32) as u32)).or_default() += 1;
    }
    for (id, (state, certain)) in gathered.mailboxes.iter().filter(|(_, (_, certain))| *certain) {
        if gathered.outbox == Some(*id) {
            continue;
        }
        let missing = state.mailbox.messages.saturating_sub(found.get(id).copied().unwrap_or(0));
        if missing > 0 && *certain {
            lost.push(Lost::other(format!(
                "{missing} more messages of {:?}, whose UIDs are not known",
                state.mailbox.name
            )));
        }
    }
    let counted = [
        (Shape::of(&MAILBOXES.table), gathered.mailboxes.len(), gathered.names.len(), "mailboxes without a trace"),
        (Shape::of(&QUEUE.table), gathered.queue.len(), gathered.due.len(), "messages that waited to be sent"),
        (
            Shape::of(&CREDENTIALS.table),
            gathered.credentials.len(),
            0,
            "passwords: give new ones with `hauspost password`",
        ),
        (Shape::of(&SETTINGS.table), gathered.settings.len(), 0, "settings"),
    ];
    for (shape, found, named, what) in counted {
        match gathered.condition(shape).expected {
            Some(expected) => {
                let missing = expected.saturating_sub(found.max(named) as u64);
                if missing > 0 {
                    lost.push(Lost::other(format!("{missing} {what}")));
                }
            }
            None => lost.push(Lost::other(format!("an unknown number of {what}"))),
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_tells_who_wrote_what() {
        let all =
            br#"("Sat, 21 Nov 2026" "a \"b\"" (("Ann" NIL "ann" "far.example")) NIL NIL NIL NIL NIL NIL "<1@x>")"#;
        let told = ["Sat, 21 Nov 2026", "ann@far.example", "a \"b\""].map(|text| Some(text.to_owned()));
        assert_eq!(read_envelope(all), told);
        assert_eq!(read_envelope(b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"), [None, None, None]);
        let literal = b"(NIL {3}\r\n(\"x ((NIL NIL \"a\" \"b\")) NIL)";
        assert_eq!(read_envelope(literal), [None, Some("a@b".into()), Some("(odd characters)".into())]);
        for end in 0..all.len() {
            let _ = read_envelope(&all[..end]);
        }
    }
}
