//! SETMETADATA: all its entries and the special use of the mailbox, or none of it.

use super::super::metadata::{METADATA_KEYS, metadata_keys};
use super::*;

/// Why no more annotations are taken.
pub const TOO_MANY_ENTRIES: &str = "there are too many annotations";

/// Entries and the bytes of their names and values.
#[derive(Clone, Copy, Default)]
struct Count {
    entries: usize,
    bytes: usize,
}

impl Count {
    fn add(&mut self, name_bytes: usize, value_bytes: usize) {
        self.entries += 1;
        self.bytes += name_bytes + value_bytes;
    }
}

impl Draft<'_, '_> {
    pub(super) fn set_metadata(&mut self, set: SetMetadata) -> Result<Done, Trouble> {
        let SetMetadata { mailbox, entries, special_use } = set;
        let mut use_lost_by = None;
        match (mailbox, special_use) {
            (Some(id), Some(special_use)) => use_lost_by = self.give_special_use(id, special_use)?,
            (Some(id), None) => drop(self.tables.mailbox(id)?),
            (None, Some(_)) => return Err(Trouble::Refused("the server has no special use")),
            (None, None) => {}
        }
        let keys = metadata_keys(mailbox);
        let mut new: Vec<(String, Option<Vec<u8>>)> = Vec::with_capacity(entries.len());
        for (entry, value) in entries {
            if !entry.starts_with('/') || value.as_ref().is_some_and(|value| value.len() > METADATA_VALUE_BYTES_MAX) {
                return Err(Trouble::Refused("the annotation is not well formed"));
            }
            let key = format!("{keys}{entry}");
            check_key(&key)?;
            // Of two values for one entry the later counts.
            new.retain(|(other, _)| *other != key);
            new.push((key, value));
        }
        if new.iter().any(|(_, value)| value.is_some()) {
            self.check_room_for_metadata(&keys, &new)?;
        }
        for (key, value) in new {
            if value.is_some() || self.tables.settings.read()?.get(&key[..])?.is_some() {
                self.steps.push(Step::Setting { key, value });
            }
        }
        Ok(Done::MetadataSet { use_lost_by })
    }

    /// Whether all of it is within its bounds once these are set.
    fn check_room_for_metadata(&self, keys: &str, new: &[(String, Option<Vec<u8>>)]) -> Result<(), Trouble> {
        let inside = format!("{keys}/");
        let (mut own, mut all) = (Count::default(), Count::default());
        let mut count = |key: &str, value_bytes: usize| {
            all.add(key.len(), value_bytes);
            if key.starts_with(&inside) {
                own.add(key.len(), value_bytes);
            }
        };
        for row in self.tables.settings.read()?.range(METADATA_KEYS..)? {
            let (key, value) = row?;
            let key = key.value();
            if !key.starts_with(METADATA_KEYS) {
                break;
            }
            if !new.iter().any(|(other, _)| other == key) {
                count(key, value.value().len());
            }
        }
        for (key, value) in new {
            if let Some(value) = value {
                count(key, value.len());
            }
        }
        let fits = own.entries <= METADATA_ENTRIES_PER_MAILBOX_MAX
            && own.bytes <= METADATA_BYTES_PER_MAILBOX_MAX
            && all.entries <= METADATA_ENTRIES_MAX
            && all.bytes <= METADATA_BYTES_MAX;
        if fits { Ok(()) } else { Err(Trouble::Refused(TOO_MANY_ENTRIES)) }
    }

    /// RFC 6154 section 5.4: the use goes from the mailbox that had it, whose name is returned, to this one.
    fn give_special_use(&mut self, id: MailboxId, special_use: Option<SpecialUse>) -> Result<Option<String>, Trouble> {
        if self.tables.mailbox(id)?.mailbox.special_use == special_use {
            return Ok(None);
        }
        if id == INBOX || special_use == Some(SpecialUse::Outbox) || self.is_outbox(id)? {
            return Err(Trouble::Refused("INBOX and Outbox have uses of their own"));
        }
        let before = match special_use {
            Some(special_use) => self.mailbox_with_use(special_use)?,
            None => None,
        };
        if let Some(before) = &before {
            self.steps.push(Step::SpecialUse { id: before.id, special_use: None });
        }
        self.steps.push(Step::SpecialUse { id, special_use });
        Ok(before.map(|before| before.name))
    }

    /// RFC 5464 section 4.1: the annotations of INBOX stay with it and go along with its messages, where there is room for both.
    pub(super) fn copy_metadata(&mut self, from: MailboxId, to: MailboxId) -> Result<(), Trouble> {
        let (old, new) = (metadata_keys(Some(from)), metadata_keys(Some(to)));
        let inside = format!("{old}/");
        let mut copied = Vec::new();
        for row in self.tables.settings.read()?.range(&inside[..]..)? {
            let (key, bytes) = row?;
            let key = key.value();
            let Some(entry) = key.strip_prefix(&old[..]).filter(|_| key.starts_with(&inside)) else { break };
            // One that cannot be read is left behind.
            if let Ok(value) = SETTINGS.decode(&key, bytes.value(), |value| Ok(value.to_vec())) {
                copied.push((format!("{new}{entry}"), Some(value)));
            }
        }
        if copied.is_empty() || self.check_room_for_metadata(&new, &copied).is_err() {
            return Ok(());
        }
        self.steps.extend(copied.into_iter().map(|(key, value)| Step::Setting { key, value }));
        Ok(())
    }
}
