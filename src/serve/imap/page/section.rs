//! Sections of a message as FETCH tells them: `BODY[...]`, `RFC822` and its kin, short ones whole.
//!
//! Receives a section that was made ready once for all messages; hands on its literal, or the head of one that is to be streamed.

use super::super::body::{push_piece, push_without_nul, read_fields, shorter};
use super::Renderer;
use crate::limits::FETCH_INLINE_BYTES_MAX;
use crate::mail::index::BodyIndex;
use crate::mail::message::{BodyId, MessageRow};
use crate::mail::section::{cut, locate};
use crate::store::Trouble;
use crate::wire::header;
use crate::wire::imap::command::{BodySection, Partial, SectionText};
use crate::wire::imap::{FetchRow, push_section_name};
use std::ops::Range;

/// A section, with the name under which it is told.
#[derive(Debug, PartialEq)]
pub(in crate::serve::imap) struct Section {
    name: Vec<u8>,
    path: Vec<u32>,
    text: SectionText,
    /// For HEADER.FIELDS and HEADER.FIELDS.NOT: the names, and whether they are wanted.
    fields: Option<(Vec<Vec<u8>>, bool)>,
    partial: Option<Partial>,
}

impl Section {
    pub(super) fn new(section: &BodySection) -> Section {
        let mut name = Vec::new();
        push_section_name(&mut name, section);
        let bytes = |names: &[String]| names.iter().map(|name| name.clone().into_bytes()).collect();
        let fields = match &section.text {
            SectionText::HeaderFields(names) => Some((bytes(names), true)),
            SectionText::HeaderFieldsNot(names) => Some((bytes(names), false)),
            _ => None,
        };
        Section { name, path: section.path.clone(), text: section.text.clone(), fields, partial: section.partial }
    }

    /// One of the message itself, under a name of its own.
    pub(super) fn named(name: &str, text: SectionText) -> Section {
        Section { name: name.as_bytes().to_vec(), path: Vec::new(), text, fields: None, partial: None }
    }

    pub(super) fn is_whole_message(&self) -> bool {
        self.path.is_empty() && self.text == SectionText::Whole
    }

    /// The header of the message itself: what clients list by, and found without the parts.
    pub(super) fn is_own_header(&self) -> bool {
        use SectionText::{Header, HeaderFields, HeaderFieldsNot};
        self.path.is_empty() && matches!(self.text, Header | HeaderFields(_) | HeaderFieldsNot(_))
    }
}

impl Renderer<'_> {
    /// Renders a section; a long one only up to the head of its literal, and says which bytes belong into it.
    pub(super) fn section(
        &mut self,
        row: &mut FetchRow,
        message: &MessageRow,
        index: Option<&BodyIndex>,
        section: &Section,
    ) -> Result<Option<Range<u64>>, Trouble> {
        // Bodies that go out as they lie are not taken apart for their header.
        let reads_header = section.is_own_header() && (section.fields.is_some() || !self.plan.splices);
        if index.is_none() && reads_header && self.header(row, message.body, section)? {
            return Ok(None);
        }
        let located = match index {
            _ if section.is_whole_message() => Some(0..message.bytes),
            None if section.is_own_header() => Some(self.snapshot.body_header(message.body)?),
            Some(index) => locate(&index.parts, &section.path, &section.text),
            None => None,
        };
        let Some(range) = located else {
            row.nil(&mut self.out, &section.name);
            return Ok(None);
        };
        if let Some((names, wanted)) = &section.fields {
            let selected = read_fields(self.snapshot, message.body, range, (names, *wanted), section.partial)?;
            row.literal(&mut self.out, &section.name, selected.len() as u64);
            push_without_nul(&mut self.out, &selected);
            return Ok(None);
        }
        let range = cut(range, section.partial);
        let bytes = range.end - range.start;
        if bytes > FETCH_INLINE_BYTES_MAX {
            row.literal(&mut self.out, &section.name, bytes);
            return Ok(Some(range));
        }
        self.push_body(row, section, message.body, range)?;
        Ok(None)
    }

    /// Tells the message's own header or fields of it, if it lies where a header mostly lies; says whether it does.
    fn header(&mut self, row: &mut FetchRow, body: BodyId, section: &Section) -> Result<bool, Trouble> {
        self.block.clear();
        let (is_there, told) = match &section.fields {
            Some((names, wanted)) => {
                self.snapshot.read_first_chunk(body, &mut self.block)?;
                self.selected.clear();
                (header::select(&self.block, names, *wanted, &mut self.selected), &self.selected)
            }
            None => (self.snapshot.read_header(body, &mut self.block)?, &self.block),
        };
        if !is_there {
            return Ok(false);
        }
        let cut = cut(0..told.len() as u64, section.partial);
        let told = told.get(cut.start as usize..cut.end as usize).unwrap_or_default();
        row.literal(&mut self.out, &section.name, told.len() as u64);
        push_without_nul(&mut self.out, told);
        Ok(true)
    }

    /// Tells these bytes of a body; an error leaves no trace of them.
    fn push_body(
        &mut self,
        row: &mut FetchRow,
        section: &Section,
        body: BodyId,
        mut range: Range<u64>,
    ) -> Result<(), Trouble> {
        let Renderer { snapshot, plan, out, deflated, .. } = self;
        let before = (row.clone(), out.len(), deflated.len());
        row.literal(out, &section.name, range.end - range.start);
        while !range.is_empty() {
            range.start += match push_piece(snapshot, body, range.clone(), out, plan.splices.then_some(deflated)) {
                Ok(read) if read > 0 => read,
                told => {
                    *row = before.0;
                    out.truncate(before.1);
                    deflated.truncate(before.2);
                    return Err(told.err().unwrap_or_else(shorter));
                }
            };
        }
        Ok(())
    }
}
