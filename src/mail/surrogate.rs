//! A message with UTF-8 in its headers, for a program that knows ASCII alone (RFC 6856 section 2.1, RFC 6857).
//!
//! Receives the headers of a message and of its parts; hands on what stands in their place, and where. What can be said in ASCII is
//! said so: texts and names as encoded words (RFC 2047), parameters as RFC 2231 has them, domains as A-labels. An address whose
//! local part is beyond ASCII becomes an empty group with its name, so that nobody answers somebody else; ids become `Downgraded-`
//! fields. Bodies stay as they are, and so do fields whose bytes are no UTF-8: these are not internationalised, but broken.

mod words;

use crate::limits::SURROGATE_BYTES_MAX;
use crate::mail::message::Form;
use crate::wire::address::Domain;
use crate::wire::header::address_list::{self, ListedAddress};
use crate::wire::header::{Field, fields, unfold};
use crate::wire::mime::content::{ContentType, Parameter, parse_disposition};
use std::ops::Range;
use words::{push_folded, push_parameter, push_phrase, push_words};

/// Where a surrogate differs from its message.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Surrogate {
    /// Bytes of the message that are replaced, ascending, each with what stands in their place.
    replaced: Vec<(Range<u64>, Vec<u8>)>,
    /// Bytes of all replacements.
    held_bytes: usize,
}

/// The header is too long to be replaced here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// A stretch of a surrogate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch<'a> {
    /// These bytes.
    Here(&'a [u8]),
    /// These bytes of the message.
    OfMessage(Range<u64>),
}

impl Surrogate {
    /// Takes the header of the message or of one of its parts, with where it lies; in ascending order.
    ///
    /// # Errors
    /// All replacements together would take more than [`SURROGATE_BYTES_MAX`].
    pub fn push_header(&mut self, place: Range<u64>, header: &[u8]) -> Result<(), TooLong> {
        if header.is_ascii() {
            return Ok(());
        }
        let instead = in_ascii(header);
        if instead != header {
            self.held_bytes = self.held_bytes.saturating_add(instead.len());
            if self.held_bytes > SURROGATE_BYTES_MAX {
                return Err(TooLong);
            }
            self.replaced.push((place, instead));
        }
        Ok(())
    }

    /// Whether it is the message itself.
    pub fn is_same(&self) -> bool {
        self.replaced.is_empty()
    }

    /// Its size in bytes, of a message of so many.
    pub fn bytes(&self, message_bytes: u64) -> u64 {
        let gone: u64 = self.replaced.iter().map(|(place, _)| place.end.saturating_sub(place.start)).sum();
        message_bytes.saturating_sub(gone).saturating_add(self.held_bytes as u64)
    }

    /// Octets that are missing at its end, of a message of which so many are.
    pub fn missing_bytes(&self, message_bytes: u64, form: Form) -> u64 {
        match self.replaced.last() {
            Some((place, instead)) if place.end >= message_bytes => Form::new(instead, false).missing_bytes(),
            _ => form.missing_bytes(),
        }
    }

    /// What stands at this offset of the surrogate, up to where something else begins.
    pub fn at(&self, offset: u64, message_bytes: u64) -> Stretch<'_> {
        // Where we are in the surrogate and in the message.
        let (mut here, mut there) = (0, 0);
        for (place, instead) in &self.replaced {
            let kept = place.start.saturating_sub(there);
            if offset < here + kept {
                return Stretch::OfMessage(there + (offset - here)..place.start);
            }
            here += kept;
            if let Some(rest) = instead.get(usize::try_from(offset - here).unwrap_or(usize::MAX)..)
                && !rest.is_empty()
            {
                return Stretch::Here(rest);
            }
            here += instead.len() as u64;
            there = place.end;
        }
        Stretch::OfMessage(there.saturating_add(offset - here).min(message_bytes)..message_bytes)
    }
}

/// A header block with what it says in ASCII, as far as it is UTF-8.
fn in_ascii(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() * 2);
    let mut read = 0;
    for field in fields(header) {
        read += field.raw.len();
        match std::str::from_utf8(field.raw) {
            Ok(text) if !text.is_ascii() => push_field(&field, &mut out),
            _ => out.extend_from_slice(field.raw),
        }
    }
    out.extend_from_slice(header.get(read..).unwrap_or_default());
    out
}

/// What a field is made of, as far as it matters here (RFC 6857 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Addresses,
    ContentType,
    Disposition,
    /// Ids of messages: a program that took an encoded word for one would look for it.
    Ids,
    /// What programs read and nobody else: what is beyond ASCII in it is a comment, or wrong.
    Machine,
    /// It is left out: nobody needs it, and it may not be encapsulated (RFC 6857 section 3.1.10).
    Trace,
    Text,
}

#[rustfmt::skip]
const KINDS: &[(&[u8], Kind)] = &[
    (b"From", Kind::Addresses), (b"Sender", Kind::Addresses), (b"To", Kind::Addresses), (b"Cc", Kind::Addresses),
    (b"Bcc", Kind::Addresses), (b"Reply-To", Kind::Addresses), (b"Resent-From", Kind::Addresses),
    (b"Resent-Sender", Kind::Addresses), (b"Resent-To", Kind::Addresses), (b"Resent-Cc", Kind::Addresses),
    (b"Resent-Bcc", Kind::Addresses), (b"Resent-Reply-To", Kind::Addresses), (b"Return-Path", Kind::Addresses),
    (b"Disposition-Notification-To", Kind::Addresses),
    (b"Content-Type", Kind::ContentType), (b"Content-Disposition", Kind::Disposition),
    (b"Message-ID", Kind::Ids), (b"Resent-Message-ID", Kind::Ids), (b"In-Reply-To", Kind::Ids), (b"References", Kind::Ids),
    (b"Original-Recipient", Kind::Ids), (b"Final-Recipient", Kind::Ids),
    (b"Date", Kind::Machine), (b"Resent-Date", Kind::Machine), (b"MIME-Version", Kind::Machine),
    (b"Content-ID", Kind::Machine), (b"Content-Transfer-Encoding", Kind::Machine), (b"Content-Language", Kind::Machine),
    (b"Accept-Language", Kind::Machine), (b"Auto-Submitted", Kind::Machine), (b"DKIM-Signature", Kind::Machine),
    (b"Received", Kind::Trace),
];

fn push_field(field: &Field<'_>, out: &mut Vec<u8>) {
    let kind = KINDS.iter().find(|(name, _)| field.is(name)).map_or(Kind::Text, |(_, kind)| *kind);
    // A field cannot have such a name at all (RFC 5322 section 2.2): what it says may still be of use to somebody.
    let name: Vec<u8> = field.name.iter().map(|byte| if byte.is_ascii_graphic() { *byte } else { b'?' }).collect();
    let mut begin = |prefix: &[u8]| {
        out.extend_from_slice(prefix);
        out.extend_from_slice(&name);
        out.push(b':');
    };
    let value = unfold(field.value);
    let text = String::from_utf8_lossy(&value);
    match kind {
        Kind::Trace => return,
        Kind::Ids => {
            begin(b"Downgraded-");
            push_words(&text, out);
        }
        Kind::Machine => {
            begin(b"");
            let plain: String = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
            push_folded(plain.as_bytes(), out);
        }
        Kind::Text => {
            begin(b"");
            push_words(&text, out);
        }
        Kind::Addresses => {
            begin(b"");
            push_addresses(&address_list::parse(field.value), out);
        }
        Kind::ContentType => {
            begin(b"");
            let content = ContentType::parse(field.value);
            let ascii = |word: &[u8]| word.is_ascii() && !word.is_empty();
            match &content.sub {
                Some(sub) if ascii(&content.main) && ascii(sub) => {
                    push_folded(&[&content.main[..], b"/", sub].concat(), out);
                    push_parameters(&content.parameters, out);
                }
                _ => push_folded(b"application/octet-stream", out),
            }
        }
        Kind::Disposition => {
            begin(b"");
            let (kind, parameters) = parse_disposition(field.value).unwrap_or_default();
            let kind = if kind.is_ascii() && !kind.is_empty() { &kind[..] } else { b"attachment" };
            push_folded(kind, out);
            push_parameters(&parameters, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn push_parameters(parameters: &[Parameter], out: &mut Vec<u8>) {
    for (name, value) in parameters.iter().filter(|(name, _)| name.is_ascii() && !name.is_empty()) {
        out.extend_from_slice(b";\r\n ");
        push_parameter(name, value, out);
    }
}

/// RFC 6857 section 3.1.5 to 3.1.8. Each on a line of its own.
fn push_addresses(list: &[ListedAddress], out: &mut Vec<u8>) {
    let mut in_group = false;
    let mut is_first = true;
    for address in list {
        let (mailbox, host) = (address.mailbox.as_deref(), address.host.as_deref());
        if mailbox.is_none() && host.is_none() {
            // A group ends.
            if in_group {
                out.push(b';');
            }
            in_group = false;
            continue;
        }
        out.extend_from_slice(if is_first { b"" } else { b"," });
        out.extend_from_slice(if is_first { b" " } else { b"\r\n " });
        is_first = false;
        match (mailbox, host) {
            (Some(name), None) => {
                push_phrase(name, out);
                out.push(b':');
                (in_group, is_first) = (true, true);
            }
            (mailbox, host) => push_address(
                address.name.as_deref(),
                mailbox.unwrap_or_default(),
                host.unwrap_or_default(),
                in_group,
                out,
            ),
        }
    }
    if in_group {
        out.push(b';');
    }
}

fn push_address(name: Option<&[u8]>, local: &[u8], host: &[u8], in_group: bool, out: &mut Vec<u8>) {
    let host = match std::str::from_utf8(host) {
        Ok(host) if !host.is_ascii() => Domain::new(host).as_str().as_bytes().to_vec(),
        _ => host.to_vec(),
    };
    let named = name.filter(|name| !name.is_empty());
    if local.is_ascii() && host.is_ascii() {
        if let Some(name) = named {
            push_phrase(name, out);
            out.push(b' ');
        }
        out.push(b'<');
        words::push_local_part(local, out);
        out.push(b'@');
        out.extend_from_slice(&host);
        out.push(b'>');
        return;
    }
    let whole = [local, b"@", &host].concat();
    let shown = match named {
        Some(name) => [name, b" <", &whole, b">"].concat(),
        None => whole,
    };
    push_phrase(&shown, out);
    // Groups do not stand in groups: there it is an address that nobody has (RFC 6858 section 2.1).
    out.extend_from_slice(if in_group { b" <invalid@internationalized-address.invalid>" } else { b" :;" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header::encoded_word::decode_text;
    use proptest::prelude::*;

    fn said(header: &str) -> String {
        String::from_utf8(in_ascii(header.as_bytes())).expect("text")
    }

    fn decoded(line: &str) -> String {
        decode_text(line.as_bytes())
    }

    #[test]
    fn texts_and_names_are_encoded_words() {
        let subject = said("Subject: Grüße\r\n aus Köln\r\nX-Plain: a\r\nComments: ü\r\n\r\n");
        assert!(
            subject.is_ascii() && subject.ends_with("X-Plain: a\r\nComments: =?UTF-8?B?w7w=?=\r\n\r\n"),
            "{subject}"
        );
        assert_eq!(decoded(subject.split("\r\nX-").next().expect("a field")), "Subject: Grüße aus Köln");
        let from = said("From: Jürgen <j@far.example>, \"A. B\" <a@b>, c@d\r\n\r\n");
        let expected = "From: =?UTF-8?B?SsO8cmdlbg==?= <j@far.example>,\r\n \"A. B\" <a@b>,\r\n <c@d>\r\n\r\n";
        assert_eq!(from, expected);
    }

    #[test]
    fn addresses_beyond_ascii_are_nobodys() {
        let to = said("To: jürgen@far.example, J <ö@b>, a@münchen.example\r\n\r\n");
        assert!(to.is_ascii() && to.ends_with("<a@xn--mnchen-3ya.example>\r\n\r\n"), "{to}");
        assert!(to.contains(" :;,\r\n") && !to.contains("far.example"), "{to}");
        assert_eq!(decoded(to.lines().next().expect("a line")), "To: jürgen@far.example :;,");
        let group = said("Cc: Küche: a@b, ö@b;, c@d\r\n\r\n");
        let expected = "Cc: =?UTF-8?B?S8O8Y2hl?=: <a@b>,\r\n =?UTF-8?B?w7ZAYg==?= \
                        <invalid@internationalized-address.invalid>;,\r\n <c@d>\r\n\r\n";
        assert_eq!(group, expected);
    }

    #[test]
    fn parameters_ids_and_what_programs_read() {
        let part = said("Content-Disposition: attachment; filename=\"Übung 1.txt\"; size=7\r\n\r\n");
        assert_eq!(
            part,
            "Content-Disposition: attachment;\r\n filename*=UTF-8''%C3%9Cbung%201.txt;\r\n size=7\r\n\r\n"
        );
        let content = said("Content-Type: text/plain; charset=utf-8; name=\u{fc}\r\n\r\n");
        assert_eq!(content, "Content-Type: text/plain;\r\n charset=utf-8;\r\n name*=UTF-8''%C3%BC\r\n\r\n");
        let ids = said("Message-ID: <ü@b>\r\nReceived: from ü\r\nDate: 1 Jan 2026 00:00 (ü)\r\n\r\n");
        assert_eq!(ids, "Downgraded-Message-ID: =?UTF-8?B?PMO8QGI+?=\r\nDate: 1 Jan 2026 00:00 (?)\r\n\r\n");
    }

    #[test]
    fn what_is_no_utf8_stays() {
        let broken = b"Subject: caf\xe9\r\nX: y\r\n\r\n";
        let mut surrogate = Surrogate::default();
        assert_eq!(surrogate.push_header(0..20, broken), Ok(()));
        assert!(surrogate.is_same());
        assert_eq!(surrogate.at(5, 100), Stretch::OfMessage(5..100));
        let long = format!("Subject: {}\r\n\r\n", "ü".repeat(SURROGATE_BYTES_MAX / 2));
        assert_eq!(surrogate.push_header(0..long.len() as u64, long.as_bytes()), Err(TooLong));
    }

    /// The surrogate, read as it is sent: from stretch to stretch.
    fn read(surrogate: &Surrogate, message: &[u8], most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while (out.len() as u64) < surrogate.bytes(message.len() as u64) {
            let piece = match surrogate.at(out.len() as u64, message.len() as u64) {
                Stretch::Here(bytes) => bytes,
                Stretch::OfMessage(range) => &message[range.start as usize..range.end as usize],
            };
            assert!(!piece.is_empty());
            out.extend_from_slice(&piece[..piece.len().min(most)]);
        }
        out
    }

    #[test]
    fn parts_are_put_in_their_places() {
        let (top, middle) = ("Subject: ü\r\n\r\n", "pre\r\n--b\r\n");
        let (part, rest) = ("Content-Description: ö\r\n\r\n", "text ü\r\n--b--\r\n");
        let message = [top, middle, part, rest].concat();
        let mut surrogate = Surrogate::default();
        let second = (top.len() + middle.len()) as u64;
        surrogate.push_header(0..top.len() as u64, top.as_bytes()).expect("short");
        surrogate.push_header(second..second + part.len() as u64, part.as_bytes()).expect("short");
        let wanted = "Subject: =?UTF-8?B?w7w=?=\r\n\r\npre\r\n--b\r\nContent-Description: =?UTF-8?B?w7Y=?=\r\n\r\ntext ü\r\n--b--\r\n";
        for most in [1, 7, 1000] {
            assert_eq!(String::from_utf8(read(&surrogate, message.as_bytes(), most)).as_deref(), Ok(wanted));
        }
    }

    proptest! {
        #[test]
        fn a_surrogate_is_ascii_and_has_no_long_lines(
            names in prop::collection::vec("(Subject|From|To|Content-Type|Content-Disposition|X-Any|References|Date)", 1..6),
            values in prop::collection::vec("[ -~ü€😀;:,<>@\"()=\\\\/]{0,200}", 6),
        ) {
            let mut header = String::new();
            for (name, value) in names.iter().zip(&values) {
                header += &format!("{name}: {value}\r\n");
            }
            header += "\r\n";
            let out = in_ascii(header.as_bytes());
            prop_assert!(out.is_ascii(), "{}", String::from_utf8_lossy(&out));
            prop_assert!(out.ends_with(b"\r\n\r\n"));
            // RFC 5322 section 2.1.1.
            prop_assert!(out.split(|byte| *byte == b'\n').all(|line| line.len() <= 998));
            // No field becomes two, and none ends the header.
            let body = out.windows(4).position(|four| four == b"\r\n\r\n");
            prop_assert_eq!(body, Some(out.len() - 4));
            prop_assert!(fields(&out).count() <= names.len());
        }
    }
}
