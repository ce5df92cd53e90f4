//! The header of a message that the owner's own mail program hands in: judged and mended (RFC 6409 sections 6 and 8).
//!
//! Receives a header block and who may be its author; hands on the block as it goes out, or why it does not. What is
//! there is never rewritten, only removed (Bcc, Return-Path) or added when missing (From, Date, Message-ID).

use crate::wire::address::{Address, Domain, ReversePath};
use crate::wire::date::{DateTime, Timestamp, encode_date_time};
use crate::wire::header::{address_list, fields};

/// What a mended header may need.
#[derive(Clone, Debug)]
pub struct Mending<'a> {
    /// MAIL FROM, checked already.
    pub reverse_path: &'a ReversePath,
    /// For Date.
    pub now: Timestamp,
    /// For Message-ID: what stands left of the `@`, unique.
    pub id: &'a str,
    /// For Message-ID: our name.
    pub hostname: &'a Domain,
}

/// Why a submitted message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderTrouble {
    /// No author can be read from it, or more than one From field.
    BadFrom,
    /// An author is not the owner.
    NotYourFrom,
    /// Sender is not the owner.
    NotYourSender,
}

/// Appends the header block as it goes out, with the empty line that ends it. `is_own` tells whether an address is the
/// owner's.
pub fn mend(
    header: &[u8],
    mending: &Mending<'_>,
    is_own: impl Fn(&Address) -> bool,
    out: &mut Vec<u8>,
) -> Result<(), HeaderTrouble> {
    let (mut from, mut has_date, mut has_message_id) = (None, false, false);
    for field in fields(header) {
        if field.is(b"From") && from.replace(field.value).is_some() {
            return Err(HeaderTrouble::BadFrom);
        }
        if field.is(b"Sender") && !are_own(field.value, &is_own).is_some_and(|own| own) {
            return Err(HeaderTrouble::NotYourSender);
        }
        has_date |= field.is(b"Date");
        has_message_id |= field.is(b"Message-ID");
    }
    match from {
        Some(value) => check_authors(value, is_own)?,
        None if *mending.reverse_path == ReversePath::Null => return Err(HeaderTrouble::BadFrom),
        None => {}
    }
    for field in fields(header) {
        if [&b"Bcc"[..], b"Resent-Bcc", b"Return-Path"].iter().any(|name| field.is(name)) {
            continue;
        }
        out.extend_from_slice(field.raw);
        if !field.raw.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    let mut add = |line: String| out.extend_from_slice(line.as_bytes());
    if from.is_none() {
        add(format!("From: <{}>\r\n", mending.reverse_path));
    }
    if !has_date {
        let now = DateTime { seconds: mending.now.seconds(), zone_minutes: 0 };
        add(format!("Date: {}\r\n", encode_date_time(now)));
    }
    if !has_message_id {
        add(format!("Message-ID: <{}@{}>\r\n", mending.id, mending.hostname));
    }
    add("\r\n".into());
    Ok(())
}

/// Every author must be the owner.
fn check_authors(value: &[u8], is_own: impl Fn(&Address) -> bool) -> Result<(), HeaderTrouble> {
    match are_own(value, is_own) {
        None => Err(HeaderTrouble::BadFrom),
        Some(false) => Err(HeaderTrouble::NotYourFrom),
        Some(true) => Ok(()),
    }
}

/// Whether all addresses of a field are the owner's; those in groups count too (RFC 6854). `None`: there are none.
fn are_own(value: &[u8], is_own: impl Fn(&Address) -> bool) -> Option<bool> {
    let mut own = None;
    for listed in address_list::parse(value) {
        // A group begins with an entry without a host, and ends with an empty one.
        let (Some(mailbox), Some(host)) = (listed.mailbox, listed.host) else { continue };
        let (local, host) = (String::from_utf8(mailbox), String::from_utf8(host));
        let is_this = match (local, host) {
            (Ok(local), Ok(host)) => is_own(&Address { local, domain: Domain::new(&host) }),
            _ => false,
        };
        own = Some(is_this && own != Some(false));
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(header: &str, sender: &str) -> Result<String, HeaderTrouble> {
        let reverse_path = match sender {
            "" => ReversePath::Null,
            sender => ReversePath::Address(sender.parse().expect("an address")),
        };
        let hostname = Domain::new("mx.home.example");
        let mending = Mending { reverse_path: &reverse_path, now: Timestamp(0), id: "4f", hostname: &hostname };
        let mut out = Vec::new();
        mend(header.as_bytes(), &mending, |address| address.to_string() == "me@home.example", &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_complete_header_is_left_alone() {
        let header =
            "From: Me <me@home.example>\r\nDATE: x\r\nmessage-id: <1@x>\r\nTo: you@far.example,\r\n a@b\r\n\r\n";
        assert_eq!(mended(header, "me@home.example").as_deref(), Ok(header));
    }

    #[test]
    fn what_is_missing_is_added() {
        assert_eq!(
            mended("Subject: x\r\n\r\n", "me@home.example").as_deref(),
            Ok("Subject: x\r\nFrom: <me@home.example>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
                Message-ID: <4f@mx.home.example>\r\n\r\n")
        );
        assert!(mended("", "me@home.example").is_ok_and(|header| header.ends_with(">\r\n\r\n")));
        assert_eq!(mended("Subject: x\r\n\r\n", ""), Err(HeaderTrouble::BadFrom));
        assert!(mended("From: me@home.example\r\n\r\n", "").is_ok());
    }

    #[test]
    fn secrets_are_removed() {
        let header = "Bcc: a@far.example,\r\n b@far.example\r\nFrom: me@home.example\r\nDate: x\r\nMessage-ID: <1@x>\r\n\
                      Resent-Bcc: c@far.example\r\nReturn-Path: <d@far.example>\r\nbcc :\r\n\r\n";
        let wanted = "From: me@home.example\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\n";
        assert_eq!(mended(header, "me@home.example").as_deref(), Ok(wanted));
    }

    #[test]
    fn authors_are_checked() {
        for (from, trouble) in [
            ("From: you@far.example\r\n\r\n", HeaderTrouble::NotYourFrom),
            ("From: me@home.example, you@far.example\r\n\r\n", HeaderTrouble::NotYourFrom),
            ("From: \"me@home.example\" <you@far.example>\r\n\r\n", HeaderTrouble::NotYourFrom),
            ("From: me\r\n\r\n", HeaderTrouble::NotYourFrom),
            ("From: group: me@home.example, you@far.example;\r\n\r\n", HeaderTrouble::NotYourFrom),
            ("From: group:;\r\n\r\n", HeaderTrouble::BadFrom),
            ("From: me@home.example\r\nSender: you@far.example\r\n\r\n", HeaderTrouble::NotYourSender),
            ("From: me@home.example\r\nSender:\r\n\r\n", HeaderTrouble::NotYourSender),
            ("Sender: me@home.example\r\nSender: you@far.example\r\n\r\n", HeaderTrouble::NotYourSender),
            ("From:\r\n\r\n", HeaderTrouble::BadFrom),
            ("From: me@home.example\r\nFrom: me@home.example\r\n\r\n", HeaderTrouble::BadFrom),
        ] {
            assert_eq!(mended(from, "me@home.example"), Err(trouble), "{from}");
        }
        for from in [
            "From: Me <me@home.example>, me@home.example\r\nSender: me@home.example\r\n\r\n",
            "From: us: me@home.example, \"M\" <me@HOME.example>;\r\n\r\n",
        ] {
            assert!(mended(from, "me@home.example").is_ok(), "{from}");
        }
    }
}
