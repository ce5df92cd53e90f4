//! After the disk has failed: the store is opened again, or for reading only until the disk takes writes.
//!
//! Receives the writer whose write or flush failed; hands it back with a database that shows what is on the disk. What must
//! always hold: after an I/O error nothing that the failed database holds in memory is believed; what was acknowledged can be
//! read as long as the disk can; what is open for reading writes nothing to the disk.

use super::super::Trouble;
use super::super::apply::Tables;
use super::super::damage::guarded;
use super::super::disk::Part;
use super::super::open::{self, Opened, begin};
use super::Writer;
use crate::limits::{REOPEN_AFTER, REOPEN_AFTER_MAX};
use redb::{Database, Durability};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Why nothing can be written, and when that was tried.
pub struct Refusal {
    /// What changes are answered with.
    pub cause: Trouble,
    tried: Instant,
    /// Until it is tried again though nobody asks.
    wait: Duration,
}

impl Refusal {
    /// Just found out.
    pub fn new(cause: Trouble) -> Refusal {
        Refusal { cause, tried: Instant::now(), wait: REOPEN_AFTER }
    }

    /// When it is tried again though nobody asks: less and less often, because each time may write to a card that is ill.
    pub fn deadline(&self) -> Instant {
        self.tried + self.wait
    }
}

impl Writer {
    /// Tries to open the store for writing because somebody wants to change something, but not too often.
    pub(super) fn recover_for_change(&mut self) {
        if self.ring.is_none() && self.refusal.tried.elapsed() >= self.options.reopen_after {
            // Who is using the store finds it well soon.
            self.refusal.wait = REOPEN_AFTER / 2;
            self.recover();
        }
    }

    /// Closes the database and opens it again from what is on the disk, the journal replayed; questions wait meanwhile.
    /// After an I/O error redb refuses all work until this is done. Returns the number that the disk gave the next
    /// batch; batches below it are durable, this one and later ones never happened. `None`: it can be read at most.
    pub(super) fn recover(&mut self) -> Option<u64> {
        let shared = self.shared.clone();
        let mut slot = shared.database.write().unwrap_or_else(PoisonError::into_inner);
        shared.maps.clear();
        let was_open = self.ring.take().is_some();
        let was_readable = !was_open && slot.is_some();
        // A disk that is read-only says so here, and what is open for reading stays open.
        if was_readable && let Err(error) = self.disk.open(Part::Database) {
            self.fail(error.into(), was_open);
            return None;
        }
        let database = slot.take();
        // Where redb has panicked, its locks are poisoned, and it panics again while it is dropped.
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
        self.epoch += 1;
        match guarded(|| self.adopt(open::reopen(self.disk.as_ref(), &self.options)?)) {
            Ok((database, next)) => {
                log::warn!("event=store-reopened batch={next}");
                *slot = Some(database);
                drop(slot);
                // It may have found a batch that was said to have failed, and of which nobody was told.
                self.shared.bells.ring_all();
                Some(next)
            }
            Err(trouble) => {
                match guarded(|| open::open_to_read(&self.disk, &self.options)) {
                    Ok(Opened { database, .. }) => {
                        *slot = Some(database);
                        if !was_readable {
                            log::error!("event=store-read-only cause={trouble:?}");
                        }
                    }
                    Err(reading) if was_open || was_readable => {
                        log::error!("event=store-reopen-failed cause={trouble:?} reading={reading:?}");
                    }
                    Err(_) => {}
                }
                self.fail(trouble, was_open);
                None
            }
        }
    }

    /// Remembers that nothing can be written.
    fn fail(&mut self, cause: Trouble, was_open: bool) {
        let wait = if was_open { REOPEN_AFTER } else { (2 * self.refusal.wait).min(REOPEN_AFTER_MAX) };
        self.refusal = Refusal { wait, ..Refusal::new(cause) };
    }

    /// Goes on from a reopened database. The number of a batch that failed is not used again, so that its remains in
    /// the ring can never be taken for the next batch.
    fn adopt(&mut self, opened: Opened) -> Result<(Database, u64), Trouble> {
        let Opened { database, mut ring, mut meta } = opened;
        let next = meta.batch;
        meta.batch += 1;
        let txn = begin(&database, Durability::Immediate)?;
        Tables::open(&txn)?.save_meta(&meta)?;
        txn.commit()?;
        ring.forget();
        (self.ring, self.meta, self.dirty_since) = (Some(ring), meta, None);
        Ok((database, next))
    }
}
