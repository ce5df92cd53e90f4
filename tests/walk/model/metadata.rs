//! Annotations: of a mailbox or of the server, they go with their mailbox and follow it.

use super::*;

/// By mailbox (0 is the server), then entry.
pub type Metadata = BTreeMap<(u32, String), Vec<u8>>;

impl Model {
    pub(super) fn set_metadata(&mut self, set: &SetMetadata) -> Result<Answer, Refusal> {
        let mut use_lost_by = None;
        let of = set.mailbox.map_or(0, |mailbox| mailbox.0);
        if of != 0 {
            self.folder(of)?;
        }
        if let Some(special_use) = set.special_use
            && self.folder(of)?.special_use != special_use
        {
            if of == INBOX.0 || of == self.outbox() {
                return Err(Refusal::Refused);
            }
            let had = |folder: &&mut Folder| special_use.is_some() && folder.special_use == special_use;
            if let Some(before) = self.folders.values_mut().find(had) {
                before.special_use = None;
                use_lost_by = Some(before.name.clone());
            }
            self.folder(of)?.special_use = special_use;
        }
        for (entry, value) in &set.entries {
            match value {
                Some(value) => drop(self.metadata.insert((of, entry.clone()), value.clone())),
                None => drop(self.metadata.remove(&(of, entry.clone()))),
            }
        }
        Ok(Answer::Done(Done::MetadataSet { use_lost_by }))
    }

    pub(super) fn copy_metadata(&mut self, from: u32, to: u32) {
        let copied = self.metadata_of(from).into_iter().map(|(entry, value)| ((to, entry), value));
        self.metadata.extend(copied);
    }

    /// What the store must say of one mailbox, or of the server.
    pub fn metadata_of(&self, of: u32) -> Vec<(String, Vec<u8>)> {
        let own = self.metadata.iter().filter(|((mailbox, _), _)| *mailbox == of);
        own.map(|((_, entry), value)| (entry.clone(), value.clone())).collect()
    }
}
