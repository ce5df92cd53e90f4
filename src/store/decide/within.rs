//! Changes of flags by a login that may not change all of them (RFC 4314 section 4).

use super::super::step::Step;
use super::super::{Copy, Done, Trouble};
use super::Draft;
use crate::mail::access::Rights;
use crate::mail::message::{MessageRow, SystemFlags, Uid};

/// System flags and keyword bits of a row in which those that the rights allow to change are replaced by what was asked for.
pub fn replaced_within(rights: Rights, row: &MessageRow, system: u8, keywords: u64) -> (u8, u64) {
    let may = rights.system_flags().0;
    let system = row.flags.0 & !may | system & may;
    (system, if rights.contains(Rights::WRITE) { keywords } else { row.keywords })
}

impl Draft<'_, '_> {
    /// COPY or MOVE; flags outside the rights on the target are not stored there, in the same Op.
    pub(super) fn copy_within(&mut self, copy: Copy, rights: Rights) -> Result<Done, Trouble> {
        let (from, to) = (copy.from, copy.to);
        // What comes out of Outbox gets its flags from the server.
        let from_outbox = self.is_outbox(from)?;
        let done = self.copy(copy)?;
        if from_outbox {
            return Ok(done);
        }
        let Done::Copied { pairs, .. } = &done else { return Ok(done) };
        let names = self.mailbox(from)?.keywords.clone();
        let mut rows: Vec<(Uid, SystemFlags, u64)> = Vec::new();
        for (old, new) in pairs {
            let Some(row) = self.tables.message(from, *old)? else { continue };
            let system = row.flags.among(rights.system_flags());
            let lost_keywords = row.keywords != 0 && !rights.contains(Rights::WRITE);
            if system == row.flags && !lost_keywords {
                continue;
            }
            let kept: Vec<String> = match lost_keywords {
                true => Vec::new(),
                false => (0u64..)
                    .zip(&names)
                    .filter(|(bit, _)| row.keywords >> bit & 1 == 1)
                    .map(|(_, name)| name.clone())
                    .collect(),
            };
            rows.push((*new, system, self.keyword_bits(to, &kept)?));
        }
        if !rows.is_empty() {
            let modseq = self.next_modseq(to)?;
            self.steps.push(Step::Flags { mailbox: to, modseq, rows });
        }
        Ok(done)
    }
}
