//! Whether a store is what a model says, down to the last byte.

use super::change::Body;
use super::model::*;
use super::{LOGINS, SETTINGS};
use hauspost::mail::index::BodyIndex;
use hauspost::mail::message::*;
use hauspost::store::*;
use hauspost::wire::date::Timestamp;
use smol::future::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far a comparison goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Mailboxes and their counters, the queue, credentials, settings.
    Surface,
    /// Every row, every body byte for byte, what devices are told that were away, and [`Snapshot::check`].
    Whole,
}

/// The first thing in which the store is not what the model says; `None` when there is none.
pub fn difference(store: &Store, model: &Arc<Model>, depth: Depth) -> Option<String> {
    let model = model.clone();
    let compare = move |snapshot: &Snapshot| Ok(compare(snapshot, &model, depth)?.err());
    match block_on(store.read(compare)) {
        Ok(difference) => difference,
        Err(trouble) => Some(format!("it cannot be read: {trouble:?}")),
    }
}

/// The same where the disk has just been healed: the store opens again with the next change at the latest.
pub fn difference_healed(store: &Store, model: &Arc<Model>) -> Option<String> {
    let nothing = Op::NoteTime { now: Timestamp(i64::MIN) };
    let _ = block_on(store.apply(nothing));
    difference(store, model, Depth::Whole)
}

type Compared = Result<Result<(), String>, Trouble>;

macro_rules! same {
    ($there:expr, $wanted:expr, $($what:tt)*) => {
        match ($there, $wanted) {
            (there, wanted) if there != wanted => {
                return Ok(Err(format!("{}: {there:?} is there, wanted is {wanted:?}", format!($($what)*))));
            }
            _ => {}
        }
    };
}

fn compare(snapshot: &Snapshot, model: &Model, depth: Depth) -> Compared {
    let mut mailboxes = snapshot.mailboxes()?;
    mailboxes.sort_by_key(|mailbox| mailbox.id);
    let wanted: Vec<Mailbox> = model.folders.iter().map(|(id, folder)| folder.mailbox(*id)).collect();
    same!(mailboxes.len(), wanted.len(), "mailboxes");
    for (there, wanted) in mailboxes.iter().zip(&wanted) {
        same!(there, wanted, "mailbox");
    }
    for of in model.folders.keys().copied().chain([0]) {
        let there = snapshot.metadata((of > 0).then_some(MailboxId(of)))?;
        same!(there, model.metadata_of(of), "annotations of {of}");
    }
    same!(snapshot.latest_time()?, model.latest_time, "latest time");
    for login in LOGINS {
        same!(snapshot.credential(login)?.as_ref(), model.credentials.get(&login.to_lowercase()), "login {login}");
    }
    let devices: Vec<&Credential> = model.credentials.values().filter(|known| known.device.is_some()).collect();
    same!(snapshot.devices()?.iter().collect::<Vec<_>>(), devices, "devices");
    for key in SETTINGS {
        same!(snapshot.setting(key)?.as_ref(), model.settings.get(key), "setting {key}");
    }
    if let Err(difference) = compare_queue(snapshot, model)? {
        return Ok(Err(difference));
    }
    if depth == Depth::Whole {
        for (id, folder) in &model.folders {
            if let Err(difference) = compare_folder(snapshot, *id, folder)? {
                return Ok(Err(difference));
            }
        }
        for entry in model.queue.values() {
            if let Err(difference) = compare_body(snapshot, &entry.body)? {
                return Ok(Err(difference));
            }
        }
        same!(snapshot.check()?, Vec::<String>::new(), "findings");
    }
    Ok(Ok(()))
}

fn compare_queue(snapshot: &Snapshot, model: &Model) -> Compared {
    let entries = snapshot.queue(QueueId(0), usize::MAX)?;
    let ids: Vec<u64> = entries.iter().map(|entry| entry.id.0).collect();
    same!(ids, model.queue.keys().copied().collect::<Vec<_>>(), "queue");
    for entry in &entries {
        let wanted = &model.queue[&entry.id.0];
        let QueueEntry { id, body, .. } = *entry;
        let wanted_entry = wanted.entry(id, body);
        same!(entry, &wanted_entry, "queue entry {:?}", entry.id);
        same!(entry.body.0, wanted.body.id(entry.body), "body of queue entry {:?}", entry.id);
    }
    let mut due: Vec<_> = entries.iter().filter(|entry| !entry.held).map(|entry| (entry.due, entry.id)).collect();
    due.sort();
    same!(snapshot.queue_order(None, usize::MAX)?, due, "queue order");
    Ok(Ok(()))
}

fn compare_folder(snapshot: &Snapshot, id: u32, folder: &Folder) -> Compared {
    let mailbox = MailboxId(id);
    let rows = snapshot.messages(mailbox, Uid(1), Uid(u32::MAX), usize::MAX)?;
    let uids: Vec<u32> = rows.iter().map(|row| row.uid.0).collect();
    same!(uids.clone(), folder.messages.keys().copied().collect::<Vec<_>>(), "messages of {}", folder.name);
    let map: Vec<u32> = snapshot.uid_map(mailbox)?.uids().map(|uid| uid.0).collect();
    same!(map, uids, "map of {}", folder.name);
    for row in &rows {
        let wanted = &folder.messages[&row.uid.0];
        let facts = (row.modseq.0, row.flags.0, row.keywords, row.internal_date, row.saved, row.bytes);
        let Message { modseq, flags, keywords, internal_date, saved, body } = wanted;
        let wanted_facts = (*modseq, *flags, *keywords, *internal_date, *saved, body.bytes.len() as u64);
        same!(facts, wanted_facts, "message {:?} of {}", row.uid, folder.name);
        same!(row.body.0, body.id(row.body), "body of message {:?} of {}", row.uid, folder.name);
        if let Err(difference) = compare_body(snapshot, body)? {
            return Ok(Err(difference));
        }
    }
    let newest = folder.modseq;
    for seen in [0, folder.floor, newest / 2, newest.saturating_sub(1), newest] {
        let changes = snapshot.changes_since(mailbox, ModSeq(seen))?;
        let changed = folder.messages.iter().filter(|(_, message)| message.modseq > seen).map(|(uid, _)| *uid);
        let told: Vec<u32> = changes.changed.iter().map(|row| row.uid.0).collect();
        same!(told, changed.collect::<Vec<_>>(), "changes of {} since {seen}", folder.name);
        let mut gone: Vec<u32> = folder.expunged.range((seen + 1, 0)..).map(|(_, uid)| *uid).collect();
        gone.sort_unstable();
        let told: Vec<u32> = changes.expunged.iter().map(|uid| uid.0).collect();
        same!(told, gone, "expunges of {} since {seen}", folder.name);
        same!(changes.forgotten, seen < folder.floor, "memory of {} since {seen}", folder.name);
    }
    Ok(Ok(()))
}

fn compare_body(snapshot: &Snapshot, body: &Body) -> Compared {
    let id = BodyId(body.id.load(Ordering::SeqCst));
    if snapshot.body_range(id, 0..u64::MAX)? != body.bytes {
        return Ok(Err(format!("{body:?} has other bytes")));
    }
    let wanted = BodyIndex { signature: Vec::new(), ..body.index() };
    same!(snapshot.body_index(id)?, wanted, "facts of {id:?}");
    same!(snapshot.body_signature(id)?, body.signature.clone(), "signature of {id:?}");
    let thread = snapshot.body_thread(id)?.0;
    same!(thread, learn(&body.thread, thread), "thread of {id:?}");
    if let Some(base) = &body.base {
        same!(thread, learn(&base.thread, thread), "thread of {id:?} and of what it ends with");
        let (end, head) = (body.bytes.len() as u64, body.bytes.len() - base.bytes.len());
        for seam in [0..1, head as u64 - 1..head as u64 + 1, head as u64..end, head as u64 + 3..end - 1] {
            let wanted = body.bytes.get(seam.start as usize..seam.end as usize).unwrap_or_default();
            same!(snapshot.body_range(id, seam.clone())?, wanted.to_vec(), "bytes {seam:?} of {id:?}");
        }
    }
    Ok(Ok(()))
}

impl Body {
    /// Its id; the first one it is seen with.
    pub fn id(&self, seen: BodyId) -> u64 {
        learn(&self.id, seen.0)
    }
}

/// What is known; what is seen, when that is the first time.
fn learn(known: &AtomicU64, seen: u64) -> u64 {
    known.compare_exchange(0, seen, Ordering::SeqCst, Ordering::SeqCst).map_or_else(|known| known, |_| seen)
}
