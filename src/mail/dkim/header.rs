//! The header fields that are signed, in their relaxed form (RFC 6376 section 3.4.2).
//!
//! Receives a header block of CRLF lines; hands on the names for `h=` and the bytes that are signed. Every name stands in `h=`
//! once more often than its field in the header: a field of that name that is added later breaks the signature (RFC 6376
//! section 8.15).

use crate::limits::DKIM_FIELDS_MAX;
use crate::wire::address::Domain;
use crate::wire::header::{Field, address_list, fields};

/// Signed also where they are not there, so that nobody can add one: what readers see and programs act upon.
const ALWAYS: [&str; 12] = [
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// Signed where they are there (RFC 6376 section 5.4.1; RFC 8058 section 4 for List-Unsubscribe-Post; RFC 8460 section 5.3 for
/// TLS-Report). Lists and other stations may add them to mail that has none.
const WHEN_THERE: [&str; 25] = [
    "sender",
    "resent-date",
    "resent-from",
    "resent-sender",
    "resent-to",
    "resent-cc",
    "resent-message-id",
    "list-id",
    "list-help",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-subscribe",
    "list-post",
    "list-owner",
    "list-archive",
    "content-id",
    "content-description",
    "content-disposition",
    "content-language",
    "auto-submitted",
    "disposition-notification-to",
    "original-message-id",
    "autocrypt",
    "tls-report-domain",
    "tls-report-submitter",
];

/// What is signed of a header.
pub(super) struct SignedFields {
    /// The domain of the first author.
    pub author: Domain,
    /// As `h=` lists them.
    pub names: Vec<&'static str>,
    /// The fields in their relaxed form, in the order of `names`.
    pub canonical: Vec<u8>,
}

impl SignedFields {
    /// Chooses them; `None`: there is not exactly one From field with an author, or there are more than [`DKIM_FIELDS_MAX`].
    pub fn choose(header: &[u8]) -> Option<SignedFields> {
        let mut from = fields(header).filter(|field| field.is(b"from"));
        let author = author_domain(from.next()?.value)?;
        if from.next().is_some() {
            return None;
        }
        let mut chosen = SignedFields { author, names: Vec::new(), canonical: Vec::new() };
        let always = ALWAYS.iter().map(|name| (*name, true));
        for (name, always) in always.chain(WHEN_THERE.iter().map(|name| (*name, false))) {
            let there: Vec<Field<'_>> = fields(header).filter(|field| field.is(name.as_bytes())).collect();
            // RFC 6376 section 5.4.2: from the last to the first.
            for field in there.iter().rev() {
                chosen.names.push(name);
                write_relaxed(field.raw, &mut chosen.canonical);
            }
            if always || !there.is_empty() {
                chosen.names.push(name);
            }
            if chosen.names.len() > DKIM_FIELDS_MAX {
                return None;
            }
        }
        chosen.canonical.shrink_to_fit();
        Some(chosen)
    }
}

fn author_domain(from: &[u8]) -> Option<Domain> {
    let host = address_list::parse(from).into_iter().find_map(|listed| listed.mailbox.and(listed.host))?;
    Some(Domain::new(std::str::from_utf8(&host).ok()?))
}

/// Appends a field in its relaxed form, with its line end: name in lower case, on one line, white space as one space, none at
/// either end of the value.
pub(super) fn write_relaxed(raw: &[u8], out: &mut Vec<u8>) {
    let colon = memchr::memchr(b':', raw).unwrap_or(raw.len());
    let (name, value) = raw.split_at(colon);
    out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let start = out.len();
    let mut space = false;
    for &byte in value.get(1..).unwrap_or_default() {
        match byte {
            b' ' | b'\t' => space = true,
            b'\r' | b'\n' => {}
            _ => {
                if std::mem::take(&mut space) && out.len() > start {
                    out.push(b' ');
                }
                out.push(byte);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}
