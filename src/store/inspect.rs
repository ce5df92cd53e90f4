//! The store looks at itself, for an owner who doubts.
//!
//! Receives a disk; hands on what it counted and what is wrong. It changes nothing on the disk: everything is opened through
//! an [`Overlay`]. In this order: redb verifies every page, the journal is replayed, the tables are compared with each other,
//! every body is read. What was not verified before is never shown to the next step.

use super::disk::{Disk, Part};
use super::open::open_verified;
use super::overlay::Overlay;
use super::tables::BODIES;
use super::{Options, Snapshot, Store, Trouble};
use crate::limits::{INSPECT_BODIES_PAGE, OVERLAY_BYTES_MAX};
use crate::mail::message::*;
use redb::ReadableTableMetadata;
use std::sync::Arc;

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages in all of them.
    pub messages: u64,
    /// Bodies that were read; copies share one.
    pub bodies: u64,
    /// Bytes of them as they were sent.
    pub bytes: u64,
    /// Messages that wait to be relayed.
    pub queue: u64,
    /// One sentence for each thing that is wrong; none when the store is sound.
    pub findings: Vec<String>,
    /// The store could not be opened: nothing was counted.
    pub is_closed: bool,
}

/// Looks at everything on that disk. Blocking, and long. `progress`: bodies read, and all of them. An error: there is no
/// store to look at.
pub fn inspect(disk: Arc<dyn Disk>, progress: impl FnMut(u64, u64)) -> Result<Inspected, Trouble> {
    let overlay = Overlay::new(disk, OVERLAY_BYTES_MAX);
    let mut inspected = Inspected::default();
    let options = Options::new("");
    let file = overlay.open(Part::Database)?;
    let file = file.ok_or_else(|| Trouble::Failed("there is no file `hauspost.redb`".into()))?;
    let opened = open_verified(file, &options).and_then(|()| Store::open_on(Arc::new(overlay), options));
    match opened {
        Ok(store) => {
            let looked = look(&store, &mut inspected, progress);
            store.close()?;
            looked?;
        }
        Err(trouble) => {
            inspected.is_closed = true;
            inspected.findings.push(sentence(trouble));
        }
    }
    Ok(inspected)
}

fn sentence(trouble: Trouble) -> String {
    match trouble {
        Trouble::Failed(sentence) => sentence,
        trouble => format!("{trouble:?}"),
    }
}

fn look(store: &Store, inspected: &mut Inspected, mut progress: impl FnMut(u64, u64)) -> Result<(), Trouble> {
    let ask = |question: fn(&Snapshot) -> Result<Vec<String>, Trouble>| smol::block_on(store.read(question));
    match ask(Snapshot::check) {
        Ok(findings) => inspected.findings.extend(findings),
        Err(trouble) => inspected.findings.push(sentence(trouble)),
    }
    let mailboxes = smol::block_on(store.read(Snapshot::mailboxes));
    let mailboxes = mailboxes.unwrap_or_default();
    inspected.mailboxes = mailboxes.len() as u64;
    inspected.messages = mailboxes.iter().map(|mailbox| u64::from(mailbox.messages)).sum();
    inspected.queue =
        smol::block_on(store.read(|snapshot| Ok(snapshot.queue(QueueId(0), usize::MAX)?.len() as u64))).unwrap_or(0);
    let all = smol::block_on(store.read(|snapshot| Ok(snapshot.table(BODIES.table)?.len()?)))?;
    let mut after = BodyId(0);
    loop {
        let (read, findings, bytes) = smol::block_on(store.read(move |snapshot| read_bodies(snapshot, after)))?;
        let Some(last) = read.last() else { break };
        after = *last;
        inspected.bodies += read.len() as u64;
        inspected.bytes += bytes;
        inspected.findings.extend(findings);
        progress(inspected.bodies, all);
    }
    Ok(())
}

/// Reads the next bodies. Returns which they were, what is wrong with them, and their bytes.
fn read_bodies(snapshot: &Snapshot, after: BodyId) -> Result<(Vec<BodyId>, Vec<String>, u64), Trouble> {
    let bodies = snapshot.bodies(after, INSPECT_BODIES_PAGE)?;
    let findings = bodies.iter().filter_map(|id| snapshot.check_body(*id).err()).collect();
    let bytes = bodies.iter().map(|id| snapshot.body_bytes(*id).unwrap_or(0)).sum();
    Ok((bodies, findings, bytes))
}
