//! A message with bytes above 127 on its way to a server that takes 7 bits only (RFC 6152 section 3, RFC 1428).
//!
//! Receives the parts of a message and twice its bytes, in pieces of any size: a [`Survey`] looks through them and makes a
//! [`Plan`], a [`Converter`] carries it out. Bodies with bytes above 127 become quoted-printable and their headers say so; all
//! else leaves byte for byte as it is. Holds one header at a time, bounded, and never a body.
//!
//! What is never touched, and so keeps its bytes above 127: what is signed or encrypted as a whole (RFC 1847 section 2), parts
//! in an encoding nobody here knows, composite types that must not be encoded (RFC 2045 section 6.4), headers, and what
//! stands between parts.

use crate::limits::DOWNGRADE_HEADER_BYTES_MAX;
use crate::mail::index::{Part, PartKind, TransferEncoding};
use crate::wire::header;
use crate::wire::mime::content::{self, ContentType};
use crate::wire::mime::encode::QuotedPrintable;

/// Where a byte of the message lies.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Around the parts of a multipart: boundaries, preamble, epilogue.
    Between,
    /// In the header of this part.
    Header(usize),
    /// In the body of this part, which has no parts of its own or is taken with them.
    Body(usize),
}

/// The message from its beginning to its end, part by part.
#[derive(Clone, Debug)]
struct Stretches {
    /// With the offset at which each ends, ascending.
    all: Vec<(Place, u64)>,
    /// The one that the next byte lies in, and the offset of that byte.
    at: usize,
    position: u64,
}

impl Stretches {
    /// `position`: the first byte that will come.
    fn new(parts: &[Part], position: u64) -> Stretches {
        let mut all = Vec::with_capacity(2 * parts.len());
        let mut end = 0;
        for (at, part) in parts.iter().enumerate() {
            let body_end = if is_leaf(part) { part.body_end } else { 0 };
            let ends = [part.header_start, part.body_start, body_end];
            for (place, next) in [Place::Between, Place::Header(at), Place::Body(at)].into_iter().zip(ends) {
                if next > end {
                    all.push((place, next));
                    end = next;
                }
            }
        }
        Stretches { all, at: 0, position }
    }

    /// Cuts off the bytes that lie in one stretch; whether it ends with them. `None` when there are no bytes.
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<(Place, &'a [u8], bool)> {
        if bytes.is_empty() {
            return None;
        }
        while self.all.get(self.at).is_some_and(|(_, end)| *end <= self.position) {
            self.at += 1;
        }
        let (place, end) = self.all.get(self.at).copied().unwrap_or((Place::Between, u64::MAX));
        let left = usize::try_from(end - self.position).unwrap_or(usize::MAX).min(bytes.len());
        let (these, rest) = bytes.split_at(left);
        *bytes = rest;
        self.position += u64::try_from(left).unwrap_or(u64::MAX);
        Some((place, these, self.position == end))
    }
}

/// What has been seen of a part.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Its own body, not that of parts inside it, has bytes above 127.
    eight_bit: bool,
    /// Its body may become quoted-printable.
    may_encode: bool,
    /// It declares `8bit` or `binary`, and may declare something else.
    relabels: bool,
}

/// What is done to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    Keep,
    /// It has no bytes above 127 any more: its header says `7bit`.
    Relabel,
    /// Its body becomes quoted-printable.
    Encode,
}

/// Looks through a message.
#[derive(Debug)]
pub struct Survey<'a> {
    parts: &'a [Part],
    stretches: Stretches,
    start: u64,
    seen: Vec<Seen>,
    /// Parts before this one are not touched: they are inside of something sealed.
    sealed_end: usize,
    /// The header that is being read.
    header: Vec<u8>,
    is_header_too_long: bool,
}

impl<'a> Survey<'a> {
    /// Begins a message with these parts at offset `start`: what stands before is not sent.
    pub fn new(parts: &'a [Part], start: u64) -> Survey<'a> {
        Survey {
            parts,
            stretches: Stretches::new(parts, start),
            start,
            seen: vec![Seen::default(); parts.len()],
            sealed_end: 0,
            header: Vec::new(),
            is_header_too_long: false,
        }
    }

    /// Takes the next bytes, any number of them.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some((place, these, ends)) = self.stretches.next(&mut bytes) {
            match place {
                Place::Between => {}
                Place::Header(part) => {
                    if self.header.len() + these.len() <= DOWNGRADE_HEADER_BYTES_MAX {
                        self.header.extend_from_slice(these);
                    } else {
                        self.is_header_too_long = true;
                    }
                    if ends {
                        self.end_header(part);
                        self.header.clear();
                        self.is_header_too_long = false;
                    }
                }
                Place::Body(part) => {
                    if let Some(seen) = self.seen.get_mut(part) {
                        seen.eight_bit |= !these.is_ascii();
                    }
                }
            }
        }
    }

    fn end_header(&mut self, at: usize) {
        let (Some(part), Some(seen)) = (self.parts.get(at), self.seen.get_mut(at)) else { return };
        if at < self.sealed_end {
            return;
        }
        let content_type = header::find(&self.header, b"Content-Type").map(|field| ContentType::parse(field.value));
        if self.is_header_too_long || is_sealed(part, content_type.as_ref()) {
            self.sealed_end = at + 1 + descendants(part);
            return;
        }
        let declared = header::fields(&self.header)
            .filter(|field| field.is(b"Content-Transfer-Encoding"))
            .find_map(|field| content::parse_encoding(field.value));
        let is_declared = |token: &str| declared.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(token.as_bytes()));
        seen.relabels = is_declared("8bit") || is_declared("binary");
        seen.may_encode = is_leaf(part)
            && (declared.is_none() || seen.relabels || is_declared("7bit"))
            && part.encoding == TransferEncoding::Identity
            && may_be_encoded(part, content_type.as_ref());
    }

    /// Ends the message. `None`: it is sent as it is, for there is nothing to convert.
    pub fn finish(self) -> Option<Plan> {
        let stays = |seen: &Seen| seen.eight_bit && !seen.may_encode;
        let treatment = |(at, seen): (usize, &Seen)| {
            let inside = at..at + 1 + self.parts.get(at).map_or(0, descendants);
            match seen {
                Seen { may_encode: true, eight_bit: true, .. } => Treatment::Encode,
                Seen { relabels: true, .. } if !self.seen.get(inside).unwrap_or_default().iter().any(stays) => {
                    Treatment::Relabel
                }
                _ => Treatment::Keep,
            }
        };
        let treatments: Vec<Treatment> = self.seen.iter().enumerate().map(treatment).collect();
        let is_message = |at: usize| {
            let before = at.checked_sub(1).map(|before| self.parts.get(before));
            before.is_none_or(|part| part.is_some_and(|part| part.kind == PartKind::Message && part.descendants > 0))
        };
        treatments.contains(&Treatment::Encode).then(|| Plan {
            stretches: Stretches::new(self.parts, self.start),
            treatments: treatments.iter().enumerate().map(|(at, &treatment)| (treatment, is_message(at))).collect(),
        })
    }
}

/// What a message needs to become one of 7 bits.
#[derive(Clone, Debug)]
pub struct Plan {
    stretches: Stretches,
    /// Of each part, and whether it is a message of its own.
    treatments: Vec<(Treatment, bool)>,
}

impl Plan {
    /// Begins to carry it out, at the offset that the survey began at.
    pub fn converter(&self) -> Converter {
        Converter { plan: self.clone(), header: Vec::new(), encoder: QuotedPrintable::default() }
    }
}

/// Converts a message by its plan.
#[derive(Debug)]
pub struct Converter {
    plan: Plan,
    /// The header that is being read, when it will be written anew; no longer than the survey allowed.
    header: Vec<u8>,
    encoder: QuotedPrintable,
}

impl Converter {
    /// Takes the next bytes, any number of them; appends what they become, up to three times as much and a header.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((place, these, ends)) = self.plan.stretches.next(&mut bytes) {
            let (Place::Header(at) | Place::Body(at)) = place else {
                out.extend_from_slice(these);
                continue;
            };
            let (treatment, is_message) = self.plan.treatments.get(at).copied().unwrap_or((Treatment::Keep, false));
            match (place, treatment) {
                (Place::Header(_), Treatment::Relabel | Treatment::Encode) => {
                    self.header.extend_from_slice(these);
                    if ends {
                        write_header(&self.header, treatment == Treatment::Encode, is_message, out);
                        self.header.clear();
                    }
                }
                (Place::Body(_), Treatment::Encode) => {
                    self.encoder.push(these, out);
                    if ends {
                        self.encoder.end(out);
                    }
                }
                _ => out.extend_from_slice(these),
            }
        }
    }

    /// Ends the message, also one that is shorter than its parts say.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
        self.encoder.end(out);
    }
}

/// Whether it is taken as a whole. `message/global` is: its headers in UTF-8 need it to be encoded (RFC 6532 section 3.7).
fn is_leaf(part: &Part) -> bool {
    !matches!(part.kind, PartKind::Multipart | PartKind::Message)
}

fn descendants(part: &Part) -> usize {
    usize::try_from(part.descendants).unwrap_or(usize::MAX / 2)
}

/// Whether neither the part nor anything inside it may change: a signature covers it (RFC 1847 section 2), or it is encoded as
/// a whole, against RFC 2045 section 6.4.
fn is_sealed(part: &Part, content_type: Option<&ContentType>) -> bool {
    let is = |sub: &[u8]| content_type.is_some_and(|own| own.is(b"multipart", sub));
    !is_leaf(part) && part.encoding != TransferEncoding::Identity || is(b"signed") || is(b"encrypted")
}

/// RFC 2045 section 6.4: composite types are not encoded, but the internationalized ones may be (RFC 6532 section 3.7).
fn may_be_encoded(part: &Part, content_type: Option<&ContentType>) -> bool {
    // Without a type it is text, unless it is a message in a digest.
    let Some(content_type) = content_type else { return part.kind == PartKind::Text };
    let is_main = |main: &str| content_type.main.eq_ignore_ascii_case(main.as_bytes());
    let is_global = content_type.sub.as_ref().and_then(|sub| sub.get(..6));
    let is_global = is_global.is_some_and(|start| start.eq_ignore_ascii_case(b"global"));
    !is_main("multipart") && (!is_main("message") || is_global)
}

/// The header with another encoding, and what else has to be there with it: in a message MIME-Version, and of a body that
/// does not say what it is that nobody knows (RFC 1428 section 3).
fn write_header(block: &[u8], is_encoded: bool, is_message: bool, out: &mut Vec<u8>) {
    let mut fields_bytes = 0;
    for field in header::fields(block) {
        fields_bytes += field.raw.len();
        if field.is(b"Content-Transfer-Encoding") {
            continue;
        }
        out.extend_from_slice(field.raw);
        if !field.raw.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    if is_message && header::find(block, b"MIME-Version").is_none() {
        out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    if is_encoded && header::find(block, b"Content-Type").is_none() {
        out.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
    }
    let encoding = if is_encoded { "quoted-printable" } else { "7bit" };
    out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
    out.extend_from_slice(block.get(fields_bytes..).unwrap_or_default());
}

#[cfg(test)]
mod tests;
