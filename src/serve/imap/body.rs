//! Bytes of bodies, as FETCH and CATENATE want them: exactly as long as was promised, and without what a literal cannot carry.

use crate::limits::FETCH_HEADER_BYTES_MAX;
use crate::mail::message::BodyId;
use crate::mail::section::cut;
use crate::store::{Snapshot, Trouble};
use crate::wire::header;
use crate::wire::imap::command::Partial;
use std::ops::Range;

/// There is less of a body than its message says.
pub(super) fn shorter() -> Trouble {
    Trouble::Failed("a body is shorter than its message says".to_owned())
}

/// The fields of these names in a header that lies there, or all others when they are not `wanted`; of those the part that was asked
/// for. Looks at no more than [`FETCH_HEADER_BYTES_MAX`].
pub(super) fn read_fields(
    snapshot: &Snapshot,
    body: BodyId,
    range: Range<u64>,
    (names, wanted): (&[Vec<u8>], bool),
    partial: Option<Partial>,
) -> Result<Vec<u8>, Trouble> {
    let block = read(snapshot, body, range.start..range.end.min(range.start + FETCH_HEADER_BYTES_MAX))?;
    let mut selected = Vec::new();
    header::select(&block, names, wanted, &mut selected);
    let cut = cut(0..selected.len() as u64, partial);
    selected.truncate(cut.end as usize);
    selected.drain(..cut.start as usize);
    Ok(selected)
}

/// Bytes of a body, all of them.
pub(super) fn read(snapshot: &Snapshot, body: BodyId, range: Range<u64>) -> Result<Vec<u8>, Trouble> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = snapshot.body_range(body, range.clone())?;
    if (bytes.len() as u64) < range.end - range.start { Err(shorter()) } else { Ok(bytes) }
}

/// Appends the first bytes of a range of a body, see [`Snapshot::read_body`]; NUL leaves as another byte.
pub(super) fn push_piece(
    snapshot: &Snapshot,
    body: BodyId,
    range: Range<u64>,
    out: &mut Vec<u8>,
    mut deflated: Option<&mut Vec<Range<usize>>>,
) -> Result<u64, Trouble> {
    let (start, before) = (out.len(), deflated.as_ref().map_or(0, |deflated| deflated.len()));
    let read = snapshot.read_body(body, range, out, deflated.as_deref_mut())?;
    let mut at = start;
    for place in deflated.iter().flat_map(|deflated| deflated.iter().skip(before)) {
        replace_nul(out.get_mut(at..place.start).unwrap_or_default());
        at = place.end;
    }
    replace_nul(out.get_mut(at..).unwrap_or_default());
    Ok(read)
}

/// Appends bytes of a message. NUL, which a literal cannot carry (RFC 3501 section 9, CHAR8), leaves as 0x80.
pub(super) fn push_without_nul(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.extend_from_slice(bytes);
    replace_nul(out.get_mut(start..).unwrap_or_default());
}

fn replace_nul(bytes: &mut [u8]) {
    if memchr::memchr(0, bytes).is_some() {
        bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_leaves_as_another_byte() {
        let mut out = b"\0".to_vec();
        push_without_nul(&mut out, b"a\0b");
        assert_eq!(out, b"\0a\x80b");
    }
}
