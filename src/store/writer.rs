//! The one thread that changes anything.
//!
//! Receives jobs; whatever waits, and for a moment what may come (`gather`), is one batch: decided and applied in one redb
//! transaction, written to the ring with one flush, committed, then the bells, then the answers. Whoever brings mail is answered
//! before the commit already. What must always hold: an answer that says yes comes after the flush that makes it true; readers never
//! see what is not durable, and see everything that was answered.

mod gather;
mod recover;

use super::apply::Tables;
use super::damage::guarded;
use super::decide::{complete, decide};
use super::disk::Disk;
use super::intake::Staged;
use super::open::{self, begin, checkpoint};
use super::ring::{Batch, Place, Ring};
use super::space::left_bytes;
use super::tables::Meta;
use super::{Done, InFlight, Op, Options, Settle, Shared, Trouble, Watched, closed};
use crate::limits::{BATCH_BYTES_FULL, STORE_CHANGES_WAITING_MAX};
use crate::mail::message::BodyId;
use crate::order;
use gather::{Gathering, Received, receive};
use recover::Refusal;
use redb::{Database, Durability};
use smol::channel::{Receiver, Sender};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

/// What the writer is asked.
pub enum Job {
    /// A change.
    Apply(ApplyJob),
    /// Pieces of a large body.
    Stage(StageJob),
    /// Much is being read: see [`open::settle`].
    Settle,
    /// Answered as soon as the writer comes to it.
    Pulse(Sender<()>),
    /// Everything before it, then the end.
    Close(Sender<Result<(), Trouble>>),
}

/// A change and who waits for it.
pub struct ApplyJob {
    pub op: Box<Op>,
    pub answer: Sender<Result<Done, Trouble>>,
    pub flight: InFlight,
}

/// Pieces of a large body: of a new one when there is no mark yet.
pub struct StageJob {
    pub staged: Option<Staged>,
    pub pieces: Vec<(u32, Vec<u8>)>,
    pub answer: Sender<Result<Staged, Trouble>>,
    pub flight: InFlight,
}

/// The writer's own state.
pub struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    options: Options,
    jobs: Receiver<Job>,
    /// `None`: nothing can be written, see `refusal`; the database is open for reading if that is possible.
    ring: Option<Ring>,
    refusal: Refusal,
    meta: Meta,
    /// Counts openings of the database, so that marks of an earlier one are known.
    epoch: u64,
    /// Since when something waits for a checkpoint.
    dirty_since: Option<Instant>,
    /// redb may have something in its write buffer, see [`open::settle`].
    is_unsettled: bool,
    batch: Batch,
    /// How many changes the last batch had, and when it was.
    gathered: (usize, Instant),
}

/// A job whose answer is known once the batch is durable.
enum Answer {
    Apply {
        answer: Sender<Result<Done, Trouble>>,
        result: Result<Done, Trouble>,
        admitted: Vec<Staged>,
        flight: InFlight,
    },
    Stage {
        answer: Sender<Result<Staged, Trouble>>,
        result: Result<Staged, Trouble>,
        flight: InFlight,
    },
}

/// What a batch has come to so far.
#[derive(Default)]
struct Tally<'a> {
    answers: Vec<Answer>,
    /// Of those who bring mail, and do not look at what it has changed.
    early_answers: Vec<Answer>,
    /// Readers wait: what was answered is not committed yet.
    unseen: Option<MutexGuard<'a, ()>>,
    /// Of what was answered, but for the bells.
    flights: Vec<InFlight>,
    rung: Vec<Watched>,
    /// Something changes.
    changes: bool,
    /// Something changes that the ring cannot carry.
    wants_checkpoint: bool,
}

/// How a batch becomes durable.
enum Way {
    /// By a record in the ring at that place.
    Ring(Place),
    /// By the redb file itself.
    Checkpoint,
    /// Not yet: only pieces were staged, which a checkpoint will make durable with their Op.
    Later,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        options: Options,
        jobs: Receiver<Job>,
        (ring, meta): (Result<Ring, Trouble>, Meta),
    ) -> Writer {
        let batch = Batch::new();
        let (ring, refusal) = match ring {
            Ok(ring) => (Some(ring), Refusal::new(closed())),
            Err(cause) => (None, Refusal::new(cause)),
        };
        Writer {
            shared,
            disk,
            options,
            jobs,
            ring,
            refusal,
            meta,
            epoch: 0,
            dirty_since: None,
            is_unsettled: true,
            batch,
            gathered: (0, Instant::now()),
        }
    }

    /// Works until it is told to close or nobody can ask any more.
    pub fn run(mut self) {
        let answer = loop {
            let deadline = match &self.ring {
                None => Some(self.refusal.deadline()),
                Some(_) => self.dirty_since.map(|since| since + self.options.checkpoint_after),
            };
            match receive(&self.jobs, deadline) {
                Received::Job(first) => {
                    if let Some(answer) = self.work_off(first) {
                        break Some(answer);
                    }
                }
                Received::TimedOut => {
                    // Quiet, or busy for so long that it is time.
                    self.shared.deflaters.release();
                    if self.ring.is_none() {
                        self.recover();
                    } else {
                        self.free_given_back();
                        self.checkpoint();
                    }
                }
                Received::Closed => break None,
            }
        };
        self.jobs.close();
        // What came in behind the close: the channel would keep it, and who waits for it would wait for ever.
        while self.jobs.try_recv().is_ok() {}
        let result = self.close();
        if let Err(trouble) = &result {
            log::error!("event=store-close-failed cause={trouble:?}");
        }
        if let Some(answer) = answer {
            let _ = answer.try_send(result);
        }
    }

    /// Takes what waits as batches, until nothing waits. Returns who asked to close.
    fn work_off(&mut self, first: Job) -> Option<Sender<Result<(), Trouble>>> {
        let mut jobs = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        let (mut closing, mut settles) = (None, false);
        let gathering = Gathering::after(self.gathered);
        while let Some(job) = next {
            match job {
                Job::Close(answer) => closing = Some(answer),
                Job::Settle => settles = true,
                Job::Pulse(answer) => drop(answer.try_send(())),
                job => {
                    bytes += held_bytes(&job);
                    jobs.push(job);
                }
            }
            let is_full = bytes >= BATCH_BYTES_FULL || jobs.len() >= STORE_CHANGES_WAITING_MAX;
            next = if is_full || closing.is_some() { None } else { gathering.next(&self.jobs, jobs.len()) };
        }
        self.gathered = (jobs.len(), Instant::now());
        if !jobs.is_empty() {
            self.work(jobs);
        }
        let due = self.dirty_since.is_some_and(|since| since.elapsed() >= self.options.checkpoint_after);
        if closing.is_none() && settles && self.is_unsettled {
            self.settle();
        } else if closing.is_none() && (due || self.ring.as_ref().is_some_and(Ring::wants_checkpoint)) {
            self.checkpoint();
        }
        closing
    }

    /// One batch, from decision to answers.
    fn work(&mut self, jobs: Vec<Job>) {
        self.recover_for_change();
        if self.ring.is_none() {
            jobs.into_iter().for_each(|job| refuse(job, &self.refusal.cause));
            return;
        }
        let shared = self.shared.clone();
        if self.meta.closed
            && let Err(trouble) = self.mark_open()
        {
            log::error!("event=batch-failed batch={} cause={trouble:?}", self.meta.batch);
            self.recover();
            jobs.into_iter().for_each(|job| refuse(job, &trouble));
            return;
        }
        let number = self.meta.batch;
        let before = self.meta.clone();
        let mut tally = Tally::default();
        let result = {
            let database = shared.database.read().unwrap_or_else(PoisonError::into_inner);
            match database.as_ref() {
                Some(database) => guarded(|| self.write(database, jobs, &shared, &mut tally)),
                // The jobs are dropped, and who waits for them learns that the store is closed.
                None => return,
            }
        };
        let result = match result {
            Ok(()) => Ok(()),
            Err(trouble) => {
                log::error!("event=batch-failed batch={number} cause={trouble:?}");
                self.meta = before;
                // The batch may have reached the disk all the same: then it counts.
                if self.recover().is_some_and(|next| next > number) { Ok(()) } else { Err(trouble) }
            }
        };
        if result.is_ok() {
            order::sort(&mut tally.rung);
            tally.rung.dedup();
            for watched in tally.rung.drain(..) {
                self.shared.bells.ring(watched);
            }
        }
        for answer in tally.answers.into_iter().chain(tally.early_answers) {
            drop(answer.give(&result));
        }
    }

    /// See [`open::mark_open`].
    fn mark_open(&mut self) -> Result<(), Trouble> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        match (database.as_ref(), self.ring.as_mut()) {
            (Some(database), Some(ring)) => guarded(|| open::mark_open(database, ring, &mut self.meta)),
            _ => Err(closed()),
        }
    }

    /// Decides and applies the jobs, and makes them durable.
    fn write<'a>(
        &mut self,
        database: &Database,
        jobs: Vec<Job>,
        shared: &'a Shared,
        tally: &mut Tally<'a>,
    ) -> Result<(), Trouble> {
        self.batch.clear();
        let mut free = None;
        let mut txn = begin(database, Durability::None)?;
        let mut tables = Tables::open(&txn)?;
        let mut fault = None;
        for job in jobs {
            let is_low =
                takes_in(&job) && self.is_low(*free.get_or_insert_with(|| self.free_bytes()), held_bytes(&job));
            let result = match job {
                Job::Apply(job) => self.apply(job, is_low, &mut tables, tally),
                Job::Stage(job) => self.stage(job, is_low, &mut tables, tally),
                Job::Settle | Job::Pulse(_) | Job::Close(_) => Ok(()),
            };
            // Every job still gets its answer, and the first fault is the batch's.
            fault = fault.or(result.err());
        }
        if let Some(trouble) = fault {
            return Err(trouble);
        }
        self.unstage_given_back(&mut tables, tally)?;
        if !tally.changes {
            drop(tables);
            return Ok(txn.abort()?);
        }
        let number = self.meta.batch;
        let way = self.choose(tally.wants_checkpoint);
        if !matches!(way, Way::Later) {
            self.meta.batch += 1;
        }
        if let Way::Ring(place) = way {
            self.meta.position = place.next;
        }
        tables.save_meta(&self.meta)?;
        drop(tables);
        let ring = self.ring.as_mut().ok_or_else(closed)?;
        match way {
            Way::Ring(place) => {
                ring.write(&mut self.batch, place, number)?;
                if !tally.early_answers.is_empty() {
                    // It is durable, whatever becomes of the commit.
                    tally.unseen = Some(shared.committing.lock().unwrap_or_else(PoisonError::into_inner));
                    tally.flights = tally.early_answers.drain(..).map(|answer| answer.give(&Ok(()))).collect();
                }
                txn.commit()?;
                self.dirty_since.get_or_insert_with(Instant::now);
            }
            Way::Checkpoint => {
                txn.set_durability(Durability::Immediate).map_err(|error| Trouble::Failed(error.to_string()))?;
                txn.set_quick_repair(true);
                txn.commit()?;
                ring.forget();
                self.dirty_since = None;
            }
            Way::Later => {
                txn.commit()?;
                self.dirty_since.get_or_insert_with(Instant::now);
            }
        }
        self.mark_unsettled();
        Ok(())
    }

    fn choose(&self, wants_checkpoint: bool) -> Way {
        if wants_checkpoint {
            return Way::Checkpoint;
        }
        if self.batch.is_empty() {
            return Way::Later;
        }
        self.ring.as_ref().and_then(|ring| ring.place(&self.batch)).map_or(Way::Checkpoint, Way::Ring)
    }

    fn apply(
        &mut self,
        job: ApplyJob,
        is_low: bool,
        tables: &mut Tables<'_>,
        tally: &mut Tally<'_>,
    ) -> Result<(), Trouble> {
        let ApplyJob { op, answer, flight } = job;
        let brings_mail = matches!(*op, Op::Deliver(_) | Op::Enqueue(_));
        let decision = if is_low { Err(Trouble::Full) } else { decide(*op, tables, &self.meta, self.epoch) };
        let (result, admitted, fault) = match decision {
            Err(trouble) => (Err(trouble), Vec::new(), None),
            Ok(mut decision) => {
                let mut fault = None;
                for step in &decision.steps {
                    tally.changes = true;
                    tally.wants_checkpoint |= !step.is_journaled();
                    if let Err(trouble) = tables.apply(step, &mut self.meta, &mut tally.rung) {
                        fault = Some(trouble);
                        break;
                    }
                    step.encode(self.batch.payload());
                    self.batch.count_rows(step.listed_rows());
                }
                let completed = complete(&mut decision.done, tables);
                (Ok(decision.done), decision.staged, fault.or(completed.err()))
            }
        };
        let answers = if brings_mail { &mut tally.early_answers } else { &mut tally.answers };
        answers.push(Answer::Apply { answer, result, admitted, flight });
        fault.map_or(Ok(()), Err)
    }

    fn stage(
        &mut self,
        job: StageJob,
        is_low: bool,
        tables: &mut Tables<'_>,
        tally: &mut Tally<'_>,
    ) -> Result<(), Trouble> {
        let StageJob { staged, pieces, answer, flight } = job;
        let mark = match staged {
            _ if is_low => Err(Trouble::Full),
            Some(mark) if mark.epoch() != self.epoch => {
                Err(Trouble::Failed("the disk failed while the body arrived".into()))
            }
            Some(mark) => Ok(mark),
            None => {
                let body = BodyId(self.meta.body);
                self.meta.body += 1;
                Ok(Staged::new(body, self.epoch, self.shared.clone()))
            }
        };
        let written = match &mark {
            Ok(mark) => {
                tally.changes = true;
                tables.stage(mark.body(), &pieces, &mut self.meta)
            }
            Err(_) => Ok(()),
        };
        tally.answers.push(Answer::Stage { answer, result: mark, flight });
        written
    }

    /// Frees what dropped bodies gave back.
    fn unstage_given_back(&mut self, tables: &mut Tables<'_>, tally: &mut Tally<'_>) -> Result<(), Trouble> {
        let given_back = std::mem::take(&mut *self.shared.given_back.lock().unwrap_or_else(PoisonError::into_inner));
        for (body, epoch) in given_back {
            if epoch == self.epoch {
                tally.changes = true;
                tables.unstage(body, &mut self.meta)?;
            }
        }
        Ok(())
    }

    /// Frees what dropped bodies gave back, when no other change comes along.
    fn free_given_back(&mut self) {
        let waits = !self.shared.given_back.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if waits {
            self.work(Vec::new());
        }
    }

    /// Free bytes of the disk; when it cannot say, it is not what refuses mail.
    fn free_bytes(&self) -> u64 {
        self.disk.free_bytes().unwrap_or_else(|error| {
            log::warn!("event=free-space-unknown cause={error:?}");
            u64::MAX
        })
    }

    /// Whether a disk with so much free is too full for so many new bytes.
    fn is_low(&self, free_bytes: u64, new_bytes: usize) -> bool {
        let reserve = self.options.reserve_bytes;
        free_bytes < reserve && left_bytes(free_bytes, reserve, self.meta.room_bytes) <= new_bytes as u64
    }

    fn mark_unsettled(&mut self) {
        if !std::mem::replace(&mut self.is_unsettled, true) {
            self.shared.read_bytes.store(0, Ordering::Relaxed);
        }
    }

    fn checkpoint(&mut self) {
        self.mark_unsettled();
        self.commit(checkpoint);
    }

    /// A checkpoint, if something waits for one, and what readers want behind it.
    fn settle(&mut self) {
        let is_dirty = self.dirty_since.is_some();
        let is_done = self.commit(|database, ring| {
            if is_dirty {
                checkpoint(database, ring)?;
            }
            open::settle(database)
        });
        self.is_unsettled = !is_done;
    }

    /// Commits what the tables have, or says in the log why not; afterwards nothing waits for a checkpoint.
    fn commit(&mut self, commit: impl FnOnce(&Database, &mut Ring) -> Result<(), Trouble>) -> bool {
        let shared = self.shared.clone();
        let result = {
            let database = shared.database.read().unwrap_or_else(PoisonError::into_inner);
            match (database.as_ref(), self.ring.as_mut()) {
                (Some(database), Some(ring)) => guarded(|| commit(database, ring)),
                _ => return false,
            }
        };
        self.dirty_since = None;
        if let Err(trouble) = &result {
            log::error!("event=checkpoint-failed cause={trouble:?}");
            self.recover();
        }
        result.is_ok()
    }

    /// The last checkpoint; afterwards reopening has nothing to replay.
    fn close(&mut self) -> Result<(), Trouble> {
        self.free_given_back();
        let database = self.shared.database.write().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(database), true) = (database, self.ring.is_some()) else { return Err(closed()) };
        self.meta.closed = true;
        let saved = guarded(|| {
            let txn = begin(&database, Durability::Immediate)?;
            Tables::open(&txn)?.save_meta(&self.meta)?;
            Ok(txn.commit()?)
        });
        guarded(|| Ok(database.close()?)).and(saved)
    }
}

impl Answer {
    /// Tells who waits. `batch`: whether the batch became durable.
    fn give(self, batch: &Result<(), Trouble>) -> InFlight {
        let failed = batch.as_ref().err();
        match self {
            Answer::Apply { answer, result, admitted, flight } => {
                let result = match (result, failed) {
                    (Ok(_), Some(trouble)) => Err(trouble.clone()),
                    (result, _) => result,
                };
                if result.is_ok() {
                    admitted.into_iter().for_each(Staged::keep);
                }
                let _ = answer.try_send(result);
                flight
            }
            Answer::Stage { answer, result, flight } => {
                let result = match failed {
                    Some(trouble) => Err(trouble.clone()),
                    None => result,
                };
                let _ = answer.try_send(result);
                flight
            }
        }
    }
}

/// Tells who waits that nothing was done.
fn refuse(job: Job, trouble: &Trouble) {
    match job {
        Job::Apply(ApplyJob { answer, .. }) => drop(answer.try_send(Err(trouble.clone()))),
        Job::Stage(StageJob { answer, .. }) => drop(answer.try_send(Err(trouble.clone()))),
        Job::Settle | Job::Pulse(_) | Job::Close(_) => {}
    }
}

/// Whether the job brings something new onto the disk; those wait outside when it is nearly full.
fn takes_in(job: &Job) -> bool {
    match job {
        Job::Apply(job) => matches!(*job.op, Op::Deliver(_) | Op::Append(_) | Op::Enqueue(_) | Op::Told { .. }),
        Job::Stage(_) => true,
        Job::Settle | Job::Pulse(_) | Job::Close(_) => false,
    }
}

/// Bytes that the job's record will have, roughly.
fn held_bytes(job: &Job) -> usize {
    match job {
        Job::Apply(job) => held_bytes_of(&job.op),
        Job::Stage(job) => job.pieces.iter().map(|(_, piece)| piece.len()).sum(),
        Job::Settle | Job::Pulse(_) | Job::Close(_) => 0,
    }
}

fn held_bytes_of(op: &Op) -> usize {
    match op {
        Op::Deliver(deliver) => deliver.body.held_bytes(),
        Op::Append(append) => append.messages.iter().map(|message| message.body.held_bytes()).sum(),
        Op::Enqueue(enqueue) => enqueue.body.held_bytes(),
        Op::Told { change, notice, .. } => held_bytes_of(change) + notice.held_bytes(),
        Op::Settle(Settle { notice, .. }) | Op::RemoveQueueEntry { notice, .. } => {
            notice.as_ref().map_or(0, |(body, _)| body.held_bytes())
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
