//! The facts of a body that FETCH and SEARCH use without reading it, as a row.
//!
//! Receives a [`BodyIndex`]; hands on bytes, and back. The signature has a row of its own: a search reads nothing else.

use super::code::*;
use super::tables::{VERSION, versioned};
use crate::mail::index::{BodyIndex, Finished, MessageIdHash, Part, PartKind, TransferEncoding};
use std::ops::Range;

/// What may follow behind the fields that every row has; rows that were written before something was kept lack it.
const TAIL_ANCESTORS: u8 = 1;
const TAIL_PREVIEW: u8 = 2;

/// As row bytes, the signature left out.
pub fn encode_facts(index: &BodyIndex) -> Vec<u8> {
    let BodyIndex {
        envelope,
        body_structure,
        body,
        parts,
        sent_seconds,
        sent_zone_minutes,
        message_id,
        references,
        ancestors,
        preview,
        signature: _,
        beyond_ascii: _,
    } = index;
    let mut row = vec![VERSION];
    let out = &mut row;
    put_bytes(out, envelope);
    put_bytes(out, body_structure);
    put_bytes(out, body);
    match sent_seconds {
        None => out.push(0),
        Some(seconds) => {
            out.push(1);
            put_signed(out, *seconds);
        }
    }
    put_signed(out, (*sent_zone_minutes).into());
    put_varint(out, parts.len() as u64);
    let mut before = 0;
    for part in parts {
        let Part { descendants, kind, encoding, charset, header_start, body_start, body_end } = part;
        out.push(encode_kind(*kind) << 4 | encode_encoding(*encoding));
        put_varint(out, (*descendants).into());
        put_bytes(out, charset.as_bytes());
        // Offsets mostly grow by little: as differences they take a byte or two each.
        for offset in [*header_start, *body_start, *body_end] {
            put_signed(out, offset.wrapping_sub(before) as i64);
            before = offset;
        }
    }
    put_hashes(out, message_id.as_slice());
    put_hashes(out, references);
    // Mostly they are the same.
    if ancestors != references {
        out.push(TAIL_ANCESTORS);
        put_hashes(out, ancestors);
    }
    if let Some(preview) = preview {
        out.push(TAIL_PREVIEW);
        put_bytes(out, preview.as_bytes());
    }
    row
}

/// From row bytes, without a signature.
pub fn decode_facts(bytes: &[u8]) -> Result<BodyIndex, Malformed> {
    let mut decoder = versioned(bytes)?;
    let Finished { envelope, body_structure, body } = read_finished(&mut decoder)?;
    let sent_seconds = match decoder.byte()? {
        0 => None,
        1 => Some(decoder.signed()?),
        _ => return Err(Malformed),
    };
    let sent_zone_minutes = i16::try_from(decoder.signed()?).map_err(|_| Malformed)?;
    let mut before = 0u64;
    let parts = (0..decoder.count()?)
        .map(|_| {
            let kinds = decoder.byte()?;
            let descendants = decoder.varint32()?;
            let charset = decoder.text()?;
            let mut offset = || {
                before = before.wrapping_add(decoder.signed()? as u64);
                Ok(before)
            };
            Ok(Part {
                descendants,
                kind: decode_kind(kinds >> 4)?,
                encoding: decode_encoding(kinds & 15)?,
                charset,
                header_start: offset()?,
                body_start: offset()?,
                body_end: offset()?,
            })
        })
        .collect::<Result<_, Malformed>>()?;
    let message_id = match read_hashes(&mut decoder)?[..] {
        [] => None,
        [hash] => Some(hash),
        _ => return Err(Malformed),
    };
    let references = read_hashes(&mut decoder)?;
    let (mut ancestors, mut preview) = (None, None);
    while !decoder.is_empty() {
        match decoder.byte()? {
            TAIL_ANCESTORS => ancestors = Some(read_hashes(&mut decoder)?),
            TAIL_PREVIEW => preview = Some(decoder.text()?),
            _ => return Err(Malformed),
        }
    }
    Ok(BodyIndex {
        envelope,
        body_structure,
        body,
        parts,
        sent_seconds,
        sent_zone_minutes,
        message_id,
        ancestors: ancestors.unwrap_or_else(|| references.clone()),
        references,
        preview,
        signature: Vec::new(),
        beyond_ascii: false,
    })
}

/// Only what FETCH tells as it is kept, of a row of facts: a third of the work.
pub fn decode_finished(bytes: &[u8]) -> Result<Finished, Malformed> {
    read_finished(&mut versioned(bytes)?)
}

fn read_finished(decoder: &mut Decoder<'_>) -> Result<Finished, Malformed> {
    Ok(Finished {
        envelope: decoder.bytes()?.to_vec(),
        body_structure: decoder.bytes()?.to_vec(),
        body: decoder.bytes()?.to_vec(),
    })
}

/// Where the header of the message lies in its body: only that of a row of facts.
pub fn decode_header_place(bytes: &[u8]) -> Result<Range<u64>, Malformed> {
    let mut decoder = versioned(bytes)?;
    for _ in ["envelope", "body structure", "body"] {
        decoder.bytes()?;
    }
    if decoder.byte()? != 0 {
        decoder.signed()?;
    }
    decoder.signed()?;
    if decoder.count()? == 0 {
        return Ok(0..0);
    }
    let (_kinds, _descendants, _charset) = (decoder.byte()?, decoder.varint32()?, decoder.bytes()?);
    let header_start = decoder.signed()? as u64;
    Ok(header_start..header_start.wrapping_add(decoder.signed()? as u64))
}

/// Appends hashes with their count in front.
pub fn put_hashes(out: &mut Vec<u8>, hashes: &[MessageIdHash]) {
    put_varint(out, hashes.len() as u64);
    for hash in hashes {
        out.extend_from_slice(&hash.0.to_le_bytes());
    }
}

/// Reads what [`put_hashes`] wrote.
pub fn read_hashes(decoder: &mut Decoder<'_>) -> Result<Vec<MessageIdHash>, Malformed> {
    (0..decoder.count()?).map(|_| decoder.u64().map(MessageIdHash)).collect()
}

fn encode_kind(kind: PartKind) -> u8 {
    match kind {
        PartKind::Leaf => 0,
        PartKind::Text => 1,
        PartKind::Html => 2,
        PartKind::Multipart => 3,
        PartKind::Message => 4,
        PartKind::OtherMessage => 5,
        PartKind::GlobalMessage => 6,
    }
}

fn decode_kind(byte: u8) -> Result<PartKind, Malformed> {
    Ok(match byte {
        0 => PartKind::Leaf,
        1 => PartKind::Text,
        2 => PartKind::Html,
        3 => PartKind::Multipart,
        4 => PartKind::Message,
        5 => PartKind::OtherMessage,
        6 => PartKind::GlobalMessage,
        _ => return Err(Malformed),
    })
}

fn encode_encoding(encoding: TransferEncoding) -> u8 {
    match encoding {
        TransferEncoding::Identity => 0,
        TransferEncoding::Base64 => 1,
        TransferEncoding::QuotedPrintable => 2,
    }
}

fn decode_encoding(byte: u8) -> Result<TransferEncoding, Malformed> {
    Ok(match byte {
        0 => TransferEncoding::Identity,
        1 => TransferEncoding::Base64,
        2 => TransferEncoding::QuotedPrintable,
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index() -> BodyIndex {
        let part = |header_start, body_start, body_end| Part {
            descendants: 1,
            kind: PartKind::Html,
            encoding: TransferEncoding::QuotedPrintable,
            charset: "utf-8".into(),
            header_start,
            body_start,
            body_end,
        };
        BodyIndex {
            envelope: b"(NIL)".to_vec(),
            body_structure: b"(\"TEXT\")".to_vec(),
            body: Vec::new(),
            parts: vec![part(0, 100, u64::MAX), part(90, 95, 96)],
            sent_seconds: Some(-1),
            sent_zone_minutes: -120,
            message_id: Some(MessageIdHash(7)),
            references: vec![MessageIdHash(u64::MAX), MessageIdHash(0)],
            ancestors: vec![MessageIdHash(u64::MAX)],
            preview: Some("Grüße".into()),
            beyond_ascii: false,
            signature: Vec::new(),
        }
    }

    #[test]
    fn facts_return_without_the_signature() {
        let signed = BodyIndex { signature: vec![1, 2, 3], ..index() };
        assert_eq!(decode_facts(&encode_facts(&signed)), Ok(index()));
        assert_eq!(decode_facts(&encode_facts(&BodyIndex::default())), Ok(BodyIndex::default()));
        assert_eq!(decode_finished(&encode_facts(&signed)), Ok(index().take_finished()));
        assert_eq!(decode_header_place(&encode_facts(&index())), Ok(0..100));
        assert_eq!(decode_header_place(&encode_facts(&BodyIndex::default())), Ok(0..0));
    }

    #[test]
    fn every_kind_of_part_returns() {
        use PartKind::*;
        for kind in [Leaf, Text, Html, Multipart, Message, OtherMessage, GlobalMessage] {
            assert_eq!(decode_kind(encode_kind(kind)), Ok(kind));
        }
        assert_eq!(decode_kind(7), Err(Malformed));
    }

    #[test]
    fn a_row_from_before_ancestors_were_kept_is_read() {
        let same = BodyIndex { ancestors: index().references, ..index() };
        let row = encode_facts(&same);
        assert_eq!(encode_facts(&index()).len(), row.len() + 2 + 8);
        assert_eq!(decode_facts(&row), Ok(same));
    }

    #[test]
    fn a_row_from_before_previews_were_kept_is_read() {
        let (none, empty) =
            (BodyIndex { preview: None, ..index() }, BodyIndex { preview: Some(String::new()), ..index() });
        let row = encode_facts(&none);
        assert_eq!(encode_facts(&empty).len(), row.len() + 2);
        assert_eq!(decode_facts(&row), Ok(none));
        assert_eq!(decode_facts(&encode_facts(&empty)), Ok(empty));
    }

    proptest! {
        #[test]
        fn damaged_rows_are_survived(bytes: Vec<u8>) {
            let _ = decode_facts(&bytes);
            let _ = decode_header_place(&bytes);
        }
    }
}
