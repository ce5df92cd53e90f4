//! The parts of a CATENATE: what is here already is copied inside the store (RFC 4469).

use super::Session;
use super::access::named;
use super::body::{read_fields, shorter};
use super::failure::{Failure, no};
use crate::limits::FETCH_PIECE_BYTES;
use crate::mail::access::{Access, Rights};
use crate::mail::message::{BodyId, MailboxId, Uid};
use crate::mail::section::{cut, locate};
use crate::store::{Snapshot, Trouble};
use crate::wire::imap::command::SectionText;
use crate::wire::imap::url::MessageUrl;
use crate::wire::imap::{Code, Status};
use std::ops::Range;

/// What a URL means.
enum Named {
    /// These bytes of a body.
    Stored(BodyId, Range<u64>),
    /// Fields selected from a header.
    Fields(Vec<u8>),
}

impl Session {
    /// A part that the client sends: of this many bytes.
    pub(super) async fn append_text(&mut self, bytes: u64) -> Result<(), Failure> {
        match self.add_part(bytes) {
            Ok(()) => {
                self.conversation.accept_append(&mut self.line.out);
                Ok(())
            }
            Err(failure) => self.refuse_arriving(failure),
        }
    }

    /// A part that is here already.
    pub(super) async fn append_url(&mut self, url: String) -> Result<(), Failure> {
        match self.copy_url(&url).await {
            Ok(true) => {
                self.conversation.accept_append(&mut self.line.out);
                Ok(())
            }
            Ok(false) => {
                self.arriving = None;
                let (code, text) = (Code::BadUrl(&url), "There is nothing by this URL");
                self.conversation.refuse_append(Status::No, code, text, &mut self.line.out);
                Ok(())
            }
            Err(failure) => self.refuse_arriving(failure),
        }
    }

    fn add_part(&mut self, bytes: u64) -> Result<(), Failure> {
        let bytes_max = self.site.message_bytes_max;
        self.arriving.as_mut().map_or(Ok(()), |arriving| arriving.add_part(bytes, bytes_max))
    }

    /// Copies what a URL names, exactly; false: it names nothing.
    async fn copy_url(&mut self, url: &str) -> Result<bool, Failure> {
        let Some(url) = MessageUrl::parse(url) else { return Ok(false) };
        let selected = self.selected.as_ref().map(|selected| selected.mailbox);
        let access = self.access.clone();
        let found = self.context.store.read(move |snapshot| find(snapshot, &access, &url, selected)).await?;
        let (body, range) = match found {
            None => return Ok(false),
            Some(Named::Fields(fields)) => {
                self.add_part(fields.len() as u64)?;
                self.take_in(&fields).await?;
                return Ok(true);
            }
            Some(Named::Stored(body, range)) => (body, range),
        };
        self.add_part(range.end - range.start)?;
        let mut at = range.start;
        while at < range.end {
            let piece = at..range.end.min(at + FETCH_PIECE_BYTES);
            let bytes = match self.context.store.read(move |snapshot| snapshot.body_range(body, piece)).await {
                // Expunged in the meantime.
                Err(Trouble::NotFound) => return Ok(false),
                other => other?,
            };
            if bytes.is_empty() {
                return Err(shorter().into());
            }
            at += bytes.len() as u64;
            self.take_in(&bytes).await?;
        }
        Ok(true)
    }

    async fn take_in(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.arriving.as_mut().and_then(|arriving| arriving.intake()) {
            Some(intake) => Ok(intake.write(bytes).await?),
            None => Err(no(Code::ServerBug, "The message was not decided about")),
        }
    }
}

/// The message and the section that a URL names.
fn find(
    snapshot: &Snapshot,
    access: &Access,
    url: &MessageUrl,
    selected: Option<MailboxId>,
) -> Result<Option<Named>, Trouble> {
    let mailbox = match (&url.mailbox, selected) {
        // What this login may not read names nothing (RFC 4314 section 6).
        (Some(name), _) => {
            let found = named(snapshot, access, name.as_str())?;
            found.filter(|found| found.rights.contains(Rights::READ)).map(|found| found.mailbox)
        }
        (None, Some(selected)) => snapshot.mailbox(selected)?,
        (None, None) => None,
    };
    let Some(mailbox) = mailbox.filter(|mailbox| url.uid_validity.is_none_or(|known| known == mailbox.uid_validity.0))
    else {
        return Ok(None);
    };
    let Some(message) = snapshot.message(mailbox.id, Uid(url.uid))? else { return Ok(None) };
    let index = snapshot.body_index(message.body)?;
    let Some(range) = locate(&index.parts, &url.path, &url.text) else { return Ok(None) };
    let (names, wanted) = match &url.text {
        SectionText::HeaderFields(names) => (names, true),
        SectionText::HeaderFieldsNot(names) => (names, false),
        _ => return Ok(Some(Named::Stored(message.body, cut(range, url.partial)))),
    };
    let names: Vec<Vec<u8>> = names.iter().map(|name| name.clone().into_bytes()).collect();
    read_fields(snapshot, message.body, range, (&names, wanted), url.partial).map(|fields| Some(Named::Fields(fields)))
}
