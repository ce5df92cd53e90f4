//! `BODY[section]` and `BINARY[section]` of FETCH: from part numbers to bytes of the stored message.
//!
//! Receives a section and the parts of a message; hands on the byte range that the section means. Never reads a body. Section numbers follow RFC 3501 section 6.4.5: a message that is not a
//! multipart has exactly the part 1, which is its own body.

use crate::mail::index::{Part, PartKind, TransferEncoding};
use crate::wire::imap::command::{Partial, SectionText};
use std::ops::Range;

/// The bytes of the stored message that a section means; for HEADER.FIELDS and HEADER.FIELDS.NOT the header they are
/// to be selected from (see [`crate::wire::header::select`]). `None`: this message has no such section, FETCH says NIL.
pub fn locate(parts: &[Part], path: &[u32], text: &SectionText) -> Option<Range<u64>> {
    let header = |at: usize| parts.get(at).map(|part| part.header_start..part.body_start);
    let body = |at: usize| parts.get(at).map(|part| part.body_start..part.body_end);
    let (part, is_message) = part_at(parts, path)?;
    match text {
        SectionText::Whole if is_message => parts.get(part).map(|part| part.header_start..part.body_end),
        SectionText::Whole => body(part),
        SectionText::Mime if is_message => None,
        SectionText::Mime => header(part),
        SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_) => {
            header(if is_message { part } else { inner_message(parts, part)? })
        }
        SectionText::Text => body(if is_message { part } else { inner_message(parts, part)? }),
    }
}

/// The bytes that a section of BINARY is decoded from (RFC 3516 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Where they lie in the stored message.
    pub bytes: Range<u64>,
    /// How they are encoded, as far as it is an encoding that we know.
    pub encoding: TransferEncoding,
    /// Where no encoding is known, the header that may name one which we do not know, and whether it is a part of a multipart: see
    /// [`crate::mail::index::names_unknown_encoding`].
    pub undecided: Option<(Range<u64>, bool)>,
}

/// What `BINARY[path]` is decoded from. A multipart, a message and the message as a whole have no encoding of their own (RFC 2045
/// section 6.4): of them all servers tell the bytes as they are. `None`: this message has no such section.
pub fn locate_binary(parts: &[Part], path: &[u32]) -> Option<Encoded> {
    let bytes = locate(parts, path, &SectionText::Whole)?;
    let (at, is_message) = part_at(parts, path)?;
    let part = parts.get(at)?;
    let composite = is_message || part.kind == PartKind::Multipart || part.kind.holds_message();
    let encoding = if composite { TransferEncoding::Identity } else { part.encoding };
    let undecided = (!composite && encoding == TransferEncoding::Identity)
        .then(|| (part.header_start..part.body_start, is_in_multipart(parts, at)));
    Some(Encoded { bytes, encoding, undecided })
}

/// Whether the part directly around this one is a multipart.
fn is_in_multipart(parts: &[Part], at: usize) -> bool {
    let inside = |(outer, part): &(usize, &Part)| *outer + (part.descendants as usize) >= at;
    let around = parts.get(..at).unwrap_or_default().iter().enumerate().rev().find(inside);
    around.is_some_and(|(_, part)| part.kind == PartKind::Multipart)
}

/// The index of the part under these numbers, and whether it is the message itself (no numbers).
fn part_at(parts: &[Part], path: &[u32]) -> Option<(usize, bool)> {
    let Some((first, rest)) = path.split_first() else { return Some((0, true)) };
    let mut part = part_of_message(parts, 0, *first)?;
    for number in rest {
        part = match parts.get(part)?.kind {
            PartKind::Multipart => child(parts, part, *number)?,
            PartKind::Message | PartKind::GlobalMessage => {
                part_of_message(parts, inner_message(parts, part)?, *number)?
            }
            PartKind::Leaf | PartKind::Text | PartKind::Html | PartKind::OtherMessage => return None,
        };
    }
    Some((part, false))
}

/// Part `number` of the message whose own entry is `message`.
fn part_of_message(parts: &[Part], message: usize, number: u32) -> Option<usize> {
    match parts.get(message)?.kind {
        PartKind::Multipart => child(parts, message, number),
        _ => (number == 1).then_some(message),
    }
}

/// The entry of the message inside a `message/rfc822` or `message/global` part.
fn inner_message(parts: &[Part], part: usize) -> Option<usize> {
    let outer = parts.get(part)?;
    (outer.kind.holds_message() && outer.descendants > 0).then_some(part + 1)
}

/// Child `number` (from 1) of a multipart.
fn child(parts: &[Part], multipart: usize, number: u32) -> Option<usize> {
    let end = multipart + 1 + usize::try_from(parts.get(multipart)?.descendants).ok()?;
    let mut at = multipart + 1;
    for _ in 1..number {
        at += 1 + usize::try_from(parts.get(at)?.descendants).ok()?;
        if at >= end {
            return None;
        }
    }
    (number > 0 && at < end.min(parts.len())).then_some(at)
}

/// Cuts `<first.count>` out of a range; what lies beyond its end is empty (RFC 3501 section 6.4.5).
pub fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(Partial { first, count }) = partial else { return range };
    let start = range.start.saturating_add(first).min(range.end);
    start..start.saturating_add(count).min(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: PartKind, descendants: u32, header_start: u64, body_start: u64, body_end: u64) -> Part {
        Part { kind, descendants, header_start, body_start, body_end, ..Part::default() }
    }

    /// multipart/mixed ( text, message/rfc822 ( multipart/alternative ( text, html ) ), message/rfc822 ( text ) )
    fn nested() -> Vec<Part> {
        vec![
            part(PartKind::Multipart, 7, 0, 100, 1000),
            part(PartKind::Text, 0, 110, 120, 130),
            part(PartKind::Message, 3, 140, 150, 500),
            part(PartKind::Multipart, 2, 150, 170, 500),
            part(PartKind::Text, 0, 180, 190, 200),
            part(PartKind::Html, 0, 210, 220, 230),
            part(PartKind::Message, 1, 510, 520, 900),
            part(PartKind::Text, 0, 520, 530, 900),
        ]
    }

    fn at(parts: &[Part], path: &[u32], text: SectionText) -> Option<(u64, u64)> {
        locate(parts, path, &text).map(|range| (range.start, range.end))
    }

    #[test]
    fn sections_of_a_nested_message() {
        sections_of(nested());
        let mut global = nested();
        global[2].kind = PartKind::GlobalMessage;
        global[6].kind = PartKind::GlobalMessage;
        sections_of(global);
        // One that arrived before it was looked into is a part without parts.
        let old = [part(PartKind::Multipart, 1, 0, 100, 1000), part(PartKind::OtherMessage, 0, 140, 150, 500)];
        assert_eq!(at(&old, &[1], SectionText::Whole), Some((150, 500)));
        assert_eq!([at(&old, &[1], SectionText::Header), at(&old, &[1, 1], SectionText::Whole)], [None, None]);
    }

    fn sections_of(parts: Vec<Part>) {
        use SectionText::*;
        assert_eq!(at(&parts, &[], Whole), Some((0, 1000)));
        assert_eq!(at(&parts, &[], Header), Some((0, 100)));
        assert_eq!(at(&parts, &[], Text), Some((100, 1000)));
        assert_eq!(at(&parts, &[], Mime), None);
        assert_eq!(at(&parts, &[1], Whole), Some((120, 130)));
        assert_eq!(at(&parts, &[1], Mime), Some((110, 120)));
        assert_eq!(at(&parts, &[1], Header), None);
        assert_eq!(at(&parts, &[1, 1], Whole), None);
        assert_eq!(at(&parts, &[2], Whole), Some((150, 500)));
        assert_eq!(at(&parts, &[2], Mime), Some((140, 150)));
        assert_eq!(at(&parts, &[2], Header), Some((150, 170)));
        assert_eq!(at(&parts, &[2], Text), Some((170, 500)));
        assert_eq!(at(&parts, &[2, 2], Whole), Some((220, 230)));
        assert_eq!(at(&parts, &[2, 2], Mime), Some((210, 220)));
        assert_eq!(at(&parts, &[2, 3], Whole), None);
        assert_eq!(at(&parts, &[3, 1], Whole), Some((530, 900)));
        assert_eq!(at(&parts, &[3, 1], Mime), Some((520, 530)));
        assert_eq!(at(&parts, &[3, 2], Whole), None);
        assert_eq!(at(&parts, &[4], Whole), None);
        assert_eq!(at(&parts, &[0], Whole), None);
        assert_eq!(at(&parts, &[u32::MAX], Whole), None);
    }

    #[test]
    fn what_binary_is_decoded_from() {
        let mut parts = nested();
        parts[4].encoding = TransferEncoding::Base64;
        parts[6].encoding = TransferEncoding::Base64;
        let binary = |path: &[u32]| {
            locate_binary(&parts, path).map(|Encoded { bytes, encoding, undecided }| {
                ((bytes.start, bytes.end), encoding, undecided.map(|(header, inside)| (header.start, inside)))
            })
        };
        use TransferEncoding::*;
        assert_eq!(binary(&[]), Some(((0, 1000), Identity, None)));
        assert_eq!(binary(&[1]), Some(((120, 130), Identity, Some((110, true)))));
        assert_eq!(binary(&[2, 1]), Some(((190, 200), Base64, None)));
        assert_eq!(binary(&[2]), Some(((150, 500), Identity, None)));
        assert_eq!(binary(&[3]), Some(((520, 900), Identity, None)));
        assert_eq!(binary(&[3, 1]), Some(((530, 900), Identity, Some((520, false)))));
        assert_eq!(binary(&[2, 3]), None);
    }

    #[test]
    fn a_message_without_parts_is_its_own_part_one() {
        use SectionText::*;
        let parts = [part(PartKind::Text, 0, 0, 50, 80)];
        assert_eq!(at(&parts, &[1], Whole), Some((50, 80)));
        assert_eq!(at(&parts, &[1], Mime), Some((0, 50)));
        assert_eq!(at(&parts, &[1], Text), None);
        assert_eq!(at(&parts, &[1, 1], Whole), None);
        assert_eq!(at(&parts, &[2], Whole), None);
        assert_eq!(at(&[], &[], Whole), None);
    }

    #[test]
    fn a_broken_index_is_no_panic() {
        let parts = [part(PartKind::Multipart, 9, 0, 50, 80), part(PartKind::Message, 0, 60, 65, 70)];
        assert_eq!(at(&parts, &[1, 1], SectionText::Whole), None);
        assert_eq!(at(&parts, &[1], SectionText::Header), None);
        assert_eq!(at(&parts, &[2], SectionText::Whole), None);
        assert_eq!(at(&parts, &[5], SectionText::Whole), None);
    }

    #[test]
    fn partials_are_cut_to_what_is_there() {
        let cut = |first, count| cut(10..20, Some(Partial { first, count }));
        assert_eq!(cut(0, 4), 10..14);
        assert_eq!(cut(8, 4), 18..20);
        assert_eq!(cut(10, 4), 20..20);
        assert_eq!(cut(u64::MAX, u64::MAX), 20..20);
        assert_eq!(super::cut(3..9, None), 3..9);
    }
}
