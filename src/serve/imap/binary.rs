//! BINARY of FETCH: parts of messages with their transfer encoding undone (RFC 3516, RFC 9051 section 6.4.5).
//!
//! Receives a part as it is stored; hands on what it decodes to. A short part is decoded where it is told, on its page. Of
//! a long one the size must be known before its first byte is said: it is decoded twice, once to measure it and once to send it,
//! a piece at a time. Must always hold: nothing of a part is said that turns out not to be soundly encoded, and a part of any
//! size needs a few pieces of memory.

use super::Session;
use super::body::{read, shorter};
use super::failure::Failure;
use super::page::Untold;
use crate::limits::{BINARY_PAGE_BYTES, FETCH_HEADER_BYTES_MAX, FETCH_INLINE_BYTES_MAX, FETCH_PIECE_BYTES};
use crate::mail::index::{BodyIndex, TransferEncoding, names_unknown_encoding};
use crate::mail::message::{BodyId, MessageRow};
use crate::mail::section::{Encoded, cut, locate_binary};
use crate::store::{Snapshot, Trouble};
use crate::wire::imap::command::{BinarySection, Partial};
use crate::wire::imap::{FetchRow, push_binary_name, push_binary_size_name};
use crate::wire::mime::decode::Decoder;
use smol::future;
use std::io;
use std::ops::Range;

/// A section of BINARY, with the name under which it is told.
#[derive(Debug, PartialEq)]
pub(super) struct Binary {
    name: Vec<u8>,
    path: Vec<u32>,
    partial: Option<Partial>,
    size_only: bool,
}

/// The bytes that a part is decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coded {
    body: BodyId,
    bytes: Range<u64>,
    encoding: TransferEncoding,
}

/// What decoding a whole part has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    bytes: u64,
    has_nul: bool,
    /// All of it was soundly encoded.
    sound: bool,
}

/// A part that has been measured.
pub(super) struct Measured {
    coded: Coded,
    size: Result<Size, Trouble>,
}

/// How far a section has been told.
pub(super) enum Told {
    /// Completely.
    Whole,
    /// Its size must be found out before anything is said.
    Unmeasured(Coded),
    /// The head of its literal: these of the decoded bytes belong next into the answer.
    Head(Coded, Range<u64>),
}

/// A place inside a part that is being decoded.
#[derive(Clone, Debug)]
struct Progress {
    /// Offset in the stored message of the next byte to be decoded.
    at: u64,
    /// Bytes decoded so far.
    decoded: u64,
    decoder: Decoder,
}

/// What a session remembers of the part it decoded last: clients fetch large parts in slices, one after the other.
pub(super) struct Decoded {
    coded: Coded,
    size: Size,
    /// Where decoding was when the last slice ended.
    progress: Option<Progress>,
}

impl Binary {
    pub fn new(section: &BinarySection) -> Binary {
        let mut name = Vec::new();
        push_binary_name(&mut name, section);
        Binary { name, path: section.path.clone(), partial: section.partial, size_only: false }
    }

    pub fn size(path: &[u32]) -> Binary {
        let mut name = Vec::new();
        push_binary_size_name(&mut name, path);
        Binary { name, path: path.to_vec(), partial: None, size_only: true }
    }

    /// Tells the section of a message, or as much of it as can be told now.
    pub fn tell(
        &self,
        (snapshot, message, index): (&Snapshot, &MessageRow, &BodyIndex),
        measured: Option<Measured>,
        row: &mut FetchRow,
        out: &mut Vec<u8>,
    ) -> Result<Told, Untold> {
        let body = message.body;
        let Some(Encoded { bytes, encoding, undecided }) = locate_binary(&index.parts, &self.path) else {
            match self.size_only {
                true => row.number(out, &self.name, 0),
                false => row.nil(out, &self.name),
            }
            return Ok(Told::Whole);
        };
        if let Some((header, in_multipart)) = undecided {
            let header = header.start..header.end.min(header.start + FETCH_HEADER_BYTES_MAX);
            if names_unknown_encoding(&read(snapshot, body, header)?, in_multipart) {
                return Err(Untold::UnknownEncoding);
            }
        }
        let stored_bytes = bytes.end - bytes.start;
        if self.size_only && encoding == TransferEncoding::Identity {
            row.number(out, &self.name, stored_bytes);
            return Ok(Told::Whole);
        }
        if stored_bytes <= FETCH_INLINE_BYTES_MAX {
            let mut decoded = Vec::new();
            let mut decoder = Decoder::new(encoding);
            decoder.push(&read(snapshot, body, bytes)?, &mut decoded);
            if !decoder.finish(&mut decoded) {
                return Err(Untold::UnknownEncoding);
            }
            self.tell_short(&decoded, row, out);
            return Ok(Told::Whole);
        }
        let coded = Coded { body, bytes, encoding };
        let size = match measured.filter(|measured| measured.coded == coded) {
            None => return Ok(Told::Unmeasured(coded)),
            Some(measured) => measured.size?,
        };
        if !size.sound {
            return Err(Untold::UnknownEncoding);
        }
        if self.size_only {
            row.number(out, &self.name, size.bytes);
            return Ok(Told::Whole);
        }
        let told = cut(0..size.bytes, self.partial);
        self.tell_head(told.end - told.start, size.has_nul, row, out);
        Ok(if told.is_empty() { Told::Whole } else { Told::Head(coded, told) })
    }

    fn tell_short(&self, decoded: &[u8], row: &mut FetchRow, out: &mut Vec<u8>) {
        if self.size_only {
            return row.number(out, &self.name, decoded.len() as u64);
        }
        let told = cut(0..decoded.len() as u64, self.partial);
        let told = decoded.get(told.start as usize..told.end as usize).unwrap_or_default();
        self.tell_head(told.len() as u64, memchr::memchr(0, told).is_some(), row, out);
        out.extend_from_slice(told);
    }

    /// RFC 3516 section 4.3: what holds no NUL goes out as a literal of the usual kind.
    fn tell_head(&self, bytes: u64, has_nul: bool, row: &mut FetchRow, out: &mut Vec<u8>) {
        match has_nul {
            true => row.literal8(out, &self.name, bytes),
            false => row.literal(out, &self.name, bytes),
        }
    }
}

impl Session {
    /// Decodes a whole part to find out its size.
    pub(super) async fn measure(&mut self, coded: Coded) -> Measured {
        if let Some(last) = self.decoded.as_ref().filter(|last| last.coded == coded) {
            return Measured { size: Ok(last.size), coded };
        }
        let mut size = Size { bytes: 0, has_nul: false, sound: false };
        let mut progress = Progress::new(&coded);
        while progress.at < coded.bytes.end {
            let part = coded.clone();
            let page = self.context.store.read(move |snapshot| measure_page(snapshot, &part, progress, size)).await;
            match page {
                Ok(page) => (progress, size) = page,
                Err(trouble) => return Measured { coded, size: Err(trouble) },
            }
        }
        self.decoded = Some(Box::new(Decoded { coded: coded.clone(), size, progress: None }));
        Measured { coded, size: Ok(size) }
    }

    /// Sends the decoded bytes of a literal whose head has been said, piece by piece as the client takes them.
    pub(super) async fn stream_decoded(&mut self, coded: Coded, wanted: Range<u64>) -> Result<(), Failure> {
        let last = self.decoded.as_mut().filter(|last| last.coded == coded);
        let begun = last.and_then(|last| last.progress.take()).filter(|begun| begun.decoded <= wanted.start);
        let store = self.context.store.clone();
        let decode = |from: Progress| {
            let (coded, wanted) = (coded.clone(), wanted.clone());
            store.read(move |snapshot| decode_page(snapshot, &coded, from, &wanted))
        };
        let mut page = decode(begun.unwrap_or_else(|| Progress::new(&coded))).await;
        loop {
            // As in `stream_body`: once the head has been said only the end of the connection is honest.
            let DecodedPage { before, after, bytes } =
                page.map_err(|trouble| io::Error::other(format!("{trouble:?}")))?;
            if after.decoded >= wanted.end {
                if let Some(last) = self.decoded.as_mut().filter(|last| last.coded == coded) {
                    last.progress = Some(before);
                }
                return Ok(self.line.write(&bytes).await?);
            }
            let (next, sent) = future::zip(decode(after), self.line.write(&bytes)).await;
            sent?;
            page = next;
        }
    }
}

impl Progress {
    fn new(coded: &Coded) -> Progress {
        Progress { at: coded.bytes.start, decoded: 0, decoder: Decoder::new(coded.encoding) }
    }

    /// Decodes the next piece. Whether all was sound is known with the last one.
    fn go_on(&mut self, snapshot: &Snapshot, coded: &Coded, out: &mut Vec<u8>) -> Result<bool, Trouble> {
        let end = coded.bytes.end.min(self.at + FETCH_PIECE_BYTES);
        let piece = snapshot.body_range(coded.body, self.at..end)?;
        if piece.is_empty() {
            return Err(shorter());
        }
        self.at += piece.len() as u64;
        let before = out.len();
        self.decoder.push(&piece, out);
        let mut sound = true;
        if self.at >= coded.bytes.end {
            let last = Decoder::new(TransferEncoding::Identity);
            sound = std::mem::replace(&mut self.decoder, last).finish(out);
        }
        self.decoded += (out.len() - before) as u64;
        Ok(sound)
    }
}

/// Measures on, for as long as a reader thread may be taken.
fn measure_page(
    snapshot: &Snapshot,
    coded: &Coded,
    mut progress: Progress,
    mut size: Size,
) -> Result<(Progress, Size), Trouble> {
    let end = coded.bytes.end.min(progress.at + BINARY_PAGE_BYTES);
    let mut piece = Vec::new();
    while progress.at < end {
        piece.clear();
        size.sound = progress.go_on(snapshot, coded, &mut piece)?;
        size.has_nul |= memchr::memchr(0, &piece).is_some();
    }
    size.bytes = progress.decoded;
    Ok((progress, size))
}

/// One piece of what is wanted, empty when decoding has not come that far.
struct DecodedPage {
    /// Where decoding was before the last piece.
    before: Progress,
    after: Progress,
    bytes: Vec<u8>,
}

fn decode_page(
    snapshot: &Snapshot,
    coded: &Coded,
    mut after: Progress,
    wanted: &Range<u64>,
) -> Result<DecodedPage, Trouble> {
    let end = coded.bytes.end.min(after.at + BINARY_PAGE_BYTES);
    let mut bytes = Vec::new();
    loop {
        let before = after.clone();
        bytes.clear();
        after.go_on(snapshot, coded, &mut bytes)?;
        if after.decoded > wanted.start || after.at >= end {
            let within = |offset: u64| (offset.clamp(before.decoded, after.decoded) - before.decoded) as usize;
            bytes.truncate(within(wanted.end));
            bytes.drain(..within(wanted.start).min(bytes.len()));
            return Ok(DecodedPage { before, after, bytes });
        }
    }
}
