//! The journal on top of what was gathered.
//!
//! Receives whole batches; applies their steps as far as what they speak of is there. In an undamaged store that is all of
//! them. What must always hold: a step that was in the tables already changes nothing; one that speaks of something lost is
//! left out, not guessed.

use super::super::Trouble;
use super::super::apply::Tables;
use super::super::body::BodyRow;
use super::super::code::Decoder;
use super::super::step::Step;
use super::super::tables::*;
use super::Lost;
use super::journal::Batches;
use super::rebuild::{Rebuild, known_bits};
use super::source::Source;
use crate::mail::message::*;
use redb::ReadableTable;

/// What came of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Batches that were applied.
    pub batches: u64,
    /// Batches that are missing between them.
    pub missing: u64,
}

/// Applies all batches from that number on, in order.
pub fn replay(rebuild: &mut Rebuild<'_>, source: &Source, batches: &Batches, from: u64) -> Result<Replayed, Trouble> {
    let mut replayed = Replayed::default();
    let mut next = from;
    for number in batches.numbers(from) {
        if next != 0 {
            replayed.missing += number - next;
        }
        next = number + 1;
        replayed.batches += 1;
        let payload = batches.payload(source, number).unwrap_or_default();
        let after_gap = replayed.missing > 0;
        rebuild.write(|rebuild, tables, meta| {
            let mut decoder = Decoder::new(&payload);
            while !decoder.is_empty() {
                let Ok(step) = Step::decode(&mut decoder) else {
                    rebuild.lost.push(Lost::other(format!("part of batch {number} of the journal")));
                    break;
                };
                Fit { rebuild, tables, meta, after_gap }.apply(step)?;
            }
            Ok(())
        })?;
    }
    Ok(replayed)
}

/// A step on its way into tables that may lack what it speaks of.
struct Fit<'a, 'b, 't> {
    rebuild: &'a mut Rebuild<'b>,
    tables: &'a mut Tables<'t>,
    meta: &'a mut Meta,
    after_gap: bool,
}

impl Fit<'_, '_, '_> {
    fn apply(&mut self, step: Step) -> Result<(), Trouble> {
        match step {
            Step::Body { id, ref rows, .. } if BodyRow::decode(&rows.body).is_ok_and(|row| row.base.is_some()) => {
                self.rebuild.derived.insert(id);
                Ok(())
            }
            Step::Place { row, .. } if self.rebuild.derived.contains(&row.body) => Ok(()),
            Step::Body { id, .. } => {
                self.rebuild.in_journal.insert(id);
                let is_there = self.tables.bodies.get(id.0)?.is_some();
                if is_there { Ok(()) } else { self.pass(&step) }
            }
            Step::Place { mailbox, row } => self.place(mailbox, row),
            Step::Flags { mailbox, modseq, rows } => self.flags(mailbox, modseq, rows),
            Step::Forms { mailbox, mut rows } => {
                let mut fitting = Vec::with_capacity(rows.len());
                for (uid, form) in rows.drain(..) {
                    if self.message(mailbox, uid)?.is_some() {
                        fitting.push((uid, form));
                    }
                }
                if fitting.is_empty() { Ok(()) } else { self.pass(&Step::Forms { mailbox, rows: fitting }) }
            }
            Step::Expunge { mailbox, modseq, uids } => self.expunge(mailbox, modseq, uids),
            Step::Copy { from, to, ref uids, first, .. } | Step::Move { from, to, ref uids, first, .. } => {
                for (uid, new) in uids.iter().zip(first.0..) {
                    self.transfer(&step, (from, *uid), (to, Uid(new)))?;
                }
                Ok(())
            }
            step => self.rare(step),
        }
    }

    /// The steps that are not about messages.
    fn rare(&mut self, step: Step) -> Result<(), Trouble> {
        let fits = match &step {
            Step::Keyword { mailbox, name } => match self.tables.mailbox(*mailbox) {
                // Behind a gap nobody knows which bit the name was given to.
                Ok(state) => !self.after_gap && !state.mailbox.keywords.contains(name),
                Err(_) => false,
            },
            Step::Create { id, name, .. } => {
                self.tables.mailbox(*id).is_err() && self.tables.names.get(&name[..])?.is_none()
            }
            Step::Rename { id, name } => {
                let owner = self.tables.names.get(&name[..])?.map(|owner| owner.value());
                self.tables.mailbox(*id).is_ok() && owner.is_none_or(|owner| owner == id.0)
            }
            Step::Delete { id } | Step::Subscribe { id, .. } | Step::SpecialUse { id, .. } => {
                self.tables.mailbox(*id).is_ok()
            }
            Step::Queue(entry) => {
                self.need_body(entry.body)?;
                true
            }
            Step::Unqueue(id) => {
                self.rebuild.unqueued.insert(*id);
                true
            }
            Step::Schedule { id, .. } => self.tables.queue.read()?.get(id.0)?.is_some(),
            _ => true,
        };
        if fits { self.pass(&step) } else { Ok(()) }
    }

    fn pass(&mut self, step: &Step) -> Result<(), Trouble> {
        self.tables.apply(step, self.meta, &mut Vec::new())
    }

    fn need_body(&mut self, body: BodyId) -> Result<(), Trouble> {
        if self.tables.bodies.get(body.0)?.is_none() {
            self.rebuild.write_broken(body, self.tables, self.meta)?;
        }
        Ok(())
    }

    fn need_mailbox(&mut self, mailbox: MailboxId) -> Result<(), Trouble> {
        if self.tables.mailbox(mailbox).is_err() {
            self.rebuild.make_mailbox(mailbox, self.tables, self.meta)?;
        }
        Ok(())
    }

    fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<MessageRow>, Trouble> {
        self.tables.message(mailbox, uid)
    }

    /// Whether a message of that UID may come: it is neither there nor known to have gone.
    fn is_free(&self, mailbox: MailboxId, uid: Uid) -> Result<bool, Trouble> {
        let gone = self.rebuild.gathered.gone.contains(&message_key(mailbox, uid));
        Ok(!gone && self.message(mailbox, uid)?.is_none())
    }

    fn place(&mut self, mailbox: MailboxId, mut row: MessageRow) -> Result<(), Trouble> {
        if !self.is_free(mailbox, row.uid)? {
            return Ok(());
        }
        self.need_mailbox(mailbox)?;
        self.need_body(row.body)?;
        row.keywords &= self.named(mailbox)?;
        self.pass(&Step::Place { mailbox, row })
    }

    /// The keyword bits that have names.
    fn named(&self, mailbox: MailboxId) -> Result<u64, Trouble> {
        Ok(known_bits(self.tables.mailbox(mailbox)?.mailbox.keywords.len() as u32))
    }

    fn flags(
        &mut self,
        mailbox: MailboxId,
        modseq: ModSeq,
        mut rows: Vec<(Uid, SystemFlags, u64)>,
    ) -> Result<(), Trouble> {
        let mut fitting = Vec::with_capacity(rows.len());
        for (uid, flags, keywords) in rows.drain(..) {
            if self.message(mailbox, uid)?.is_some_and(|row| row.modseq < modseq) {
                fitting.push((uid, flags, keywords & self.named(mailbox)?));
            }
        }
        if fitting.is_empty() { Ok(()) } else { self.pass(&Step::Flags { mailbox, modseq, rows: fitting }) }
    }

    fn expunge(&mut self, mailbox: MailboxId, modseq: ModSeq, uids: Vec<Uid>) -> Result<(), Trouble> {
        let mut fitting = Vec::with_capacity(uids.len());
        for uid in uids {
            self.rebuild.gathered.gone.insert(message_key(mailbox, uid));
            if self.message(mailbox, uid)?.is_some() {
                fitting.push(uid);
            }
        }
        if fitting.is_empty() { Ok(()) } else { self.pass(&Step::Expunge { mailbox, modseq, uids: fitting }) }
    }

    /// One message of a copy or move.
    fn transfer(&mut self, step: &Step, from: (MailboxId, Uid), to: (MailboxId, Uid)) -> Result<(), Trouble> {
        let source = self.message(from.0, from.1)?;
        let arrives = self.is_free(to.0, to.1)?;
        if source.is_none() && arrives {
            let name =
                self.tables.mailbox(to.0).map_or_else(|_| format!("number {}", to.0.0), |state| state.mailbox.name);
            self.rebuild.lost.push(Lost::message(to.0, to.1, &name, "what it was is not known".into()));
        } else if source.is_some() && arrives {
            self.need_mailbox(to.0)?;
            let (uids, first) = (vec![from.1], to.1);
            self.pass(&match *step {
                Step::Copy { modseq, saved, .. } => Step::Copy { from: from.0, to: to.0, uids, first, modseq, saved },
                Step::Move { modseq, saved, removed, .. } => {
                    Step::Move { from: from.0, to: to.0, uids, first, modseq, saved, removed }
                }
                _ => return Ok(()),
            })?;
        } else if let (Some(_), Step::Move { removed, .. }) = (source, step) {
            // It has arrived before, so it had left, too.
            self.pass(&Step::Expunge { mailbox: from.0, modseq: *removed, uids: vec![from.1] })?;
        }
        if matches!(step, Step::Move { .. }) {
            self.rebuild.gathered.gone.insert(message_key(from.0, from.1));
        }
        Ok(())
    }
}
