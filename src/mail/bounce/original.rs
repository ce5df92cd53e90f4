//! What a notice takes from the message it is about: its header, and how the sender knows it again.
//!
//! Receives the beginning of the message, whatever it is; hands on whole fields with CRLF line ends.

use crate::limits::BOUNCE_HEADER_BYTES;

/// What is taken from the original.
pub(super) struct Original {
    /// Its header with CRLF line ends, cut to [`BOUNCE_HEADER_BYTES`] at the end of a field.
    pub header: Vec<u8>,
    /// As it was written, when short and ASCII.
    pub subject: Option<String>,
    /// With its angle brackets.
    pub message_id: Option<String>,
}

impl Original {
    /// Reads the beginning of the original.
    pub fn read(header: &[u8]) -> Original {
        let mut original = Original { header: Vec::new(), subject: None, message_id: None };
        let mut field: Vec<u8> = Vec::new();
        let mut lines = header.split_inclusive(|&b| b == b'\n').peekable();
        while let Some(line) = lines.next() {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            field.extend(line.iter().filter(|&&b| b != b'\r'));
            field.extend_from_slice(b"\r\n");
            if lines.peek().is_some_and(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
                continue;
            }
            if original.header.len() + field.len() > BOUNCE_HEADER_BYTES {
                break;
            }
            original.subject = original.subject.take().or_else(|| value(&field, "subject:", 300));
            original.message_id = original.message_id.take().or_else(|| message_id(&field));
            original.header.append(&mut field);
        }
        original
    }

    /// Whether the header is UTF-8 and not ASCII (RFC 6532).
    pub fn is_utf8(&self) -> bool {
        !self.header.is_ascii() && std::str::from_utf8(&self.header).is_ok()
    }
}

/// The unfolded value of the field when it has this name, is printable ASCII and not longer than `bytes_max`.
fn value(field: &[u8], name: &str, bytes_max: usize) -> Option<String> {
    let (start, rest) = field.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    let unfolded = String::from_utf8(rest.to_vec()).ok()?.replace("\r\n", "").replace('\t', " ");
    let value = unfolded.trim();
    let plain = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    (plain && !value.is_empty() && value.len() <= bytes_max).then(|| value.to_owned())
}

fn message_id(field: &[u8]) -> Option<String> {
    value(field, "message-id:", 250).filter(|id| id.starts_with('<') && id.ends_with('>') && !id.contains(' '))
}
