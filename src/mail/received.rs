//! Trace fields: what a receiving server writes on top of a message (RFC 5321 section 4.4), and loops seen in what others
//! wrote there.
//!
//! Receives facts of the session; hands on header lines, complete with CRLF. All text in them comes from parsers that
//! let no line end through.

use crate::limits::SMTP_RECEIVED_FIELDS_MAX;
use crate::wire::address::{Address, Domain, ReversePath};
use crate::wire::date::{DateTime, Timestamp, encode_date_time};
use crate::wire::header::fields;
use std::net::IpAddr;

/// Whom a message came from, as the receiving session saw it.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// The name in HELO or EHLO.
    pub hello: &'a str,
    /// The peer.
    pub address: IpAddr,
}

/// The facts of one Received field.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// `None` for submitted mail, unless configured: where the owner was when they wrote is nobody's business.
    pub origin: Option<Origin<'a>>,
    /// Our name.
    pub by: &'a Domain,
    /// The peer said EHLO.
    pub extended: bool,
    /// SMTPUTF8 was asked for.
    pub smtp_utf8: bool,
    /// TLS version and cipher.
    pub tls: Option<(&'a str, &'a str)>,
    /// The peer logged in.
    pub authenticated: bool,
    /// Our name for the message, the same as in the log.
    pub id: &'a str,
    /// The recipient, if there is exactly one (RFC 5321 section 7.2).
    pub recipient: Option<&'a Address>,
    /// When.
    pub at: Timestamp,
}

impl Received<'_> {
    /// Appends the field.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(256);
        text.push_str("Received: ");
        if let Some(origin) = &self.origin {
            text.push_str(&format!("from {} ({})\r\n\t", origin.hello, address_literal(origin.address)));
        }
        text.push_str(&format!("by {} (Hauspost) with {} id {}", self.by, self.protocol(), self.id));
        if let Some((version, cipher)) = self.tls {
            text.push_str(&format!("\r\n\t({version} {cipher})"));
        }
        if let Some(recipient) = self.recipient {
            text.push_str(&format!("\r\n\tfor <{recipient}>"));
        }
        let at = DateTime { seconds: self.at.seconds(), zone_minutes: 0 };
        text.push_str(&format!(";\r\n\t{}\r\n", encode_date_time(at)));
        out.extend_from_slice(text.as_bytes());
    }

    /// The names of RFC 3848 section 2 and RFC 6531 section 4.3.
    fn protocol(&self) -> &'static str {
        match (self.extended, self.tls.is_some(), self.authenticated) {
            (_, false, false) if self.smtp_utf8 => "UTF8SMTP",
            (_, true, false) if self.smtp_utf8 => "UTF8SMTPS",
            (_, false, true) if self.smtp_utf8 => "UTF8SMTPA",
            (_, true, true) if self.smtp_utf8 => "UTF8SMTPSA",
            (false, _, _) => "SMTP",
            (true, false, false) => "ESMTP",
            (true, true, false) => "ESMTPS",
            (true, false, true) => "ESMTPA",
            (true, true, true) => "ESMTPSA",
        }
    }
}

/// RFC 5321 section 4.1.3.
fn address_literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}

/// Appends the Return-Path field of final delivery.
pub fn encode_return_path(reverse_path: &ReversePath, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("Return-Path: <{reverse_path}>\r\n").as_bytes());
}

/// Appends a Delivered-To field: by it a message that comes back is known again.
pub fn encode_delivered_to(recipient: &Address, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("Delivered-To: {recipient}\r\n").as_bytes());
}

/// Whether a message goes in circles (RFC 5321 section 6.3): more Received fields than an honest route has, or a
/// Delivered-To field for one of the recipients, which only a server that had the message already can have written.
pub fn is_looping<'a>(header: &[u8], recipients: impl Iterator<Item = &'a Address> + Clone) -> bool {
    let mut received = 0;
    for field in fields(header) {
        if field.is(b"Received") {
            received += 1;
        } else if field.is(b"Delivered-To")
            && let Ok(value) = std::str::from_utf8(field.value.trim_ascii())
            && let Ok(address) = value.parse::<Address>()
            && recipients.clone().any(|recipient| recipient.same_as(&address))
        {
            return true;
        }
    }
    received > SMTP_RECEIVED_FIELDS_MAX
}

/// Appends a header block without the Return-Path fields that others wrote: exactly one may be there after final
/// delivery (RFC 5321 section 4.4).
pub fn copy_without_return_path(header: &[u8], out: &mut Vec<u8>) {
    let mut rest = header;
    for field in fields(header) {
        rest = rest.get(field.raw.len()..).unwrap_or_default();
        if !field.is(b"Return-Path") {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().expect("an address")
    }

    #[test]
    fn received_from_a_server() {
        let (by, me) = (Domain::new("mx.home.example"), address("me@home.example"));
        let mut received = Received {
            origin: Some(Origin { hello: "far.example", address: "192.0.2.1".parse().expect("an address") }),
            by: &by,
            extended: true,
            smtp_utf8: false,
            tls: Some(("TLSv1.3", "TLS13_AES_256_GCM_SHA384")),
            authenticated: false,
            id: "4f",
            recipient: Some(&me),
            at: Timestamp(0),
        };
        let mut out = Vec::new();
        received.encode(&mut out);
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "Received: from far.example ([192.0.2.1])\r\n\tby mx.home.example (Hauspost) with ESMTPS id 4f\r\n\
             \t(TLSv1.3 TLS13_AES_256_GCM_SHA384)\r\n\tfor <me@home.example>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
        let mut out = Vec::new();
        received = Received { origin: None, recipient: None, authenticated: true, ..received };
        received.encode(&mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("Received: by mx.home.example (Hauspost) with ESMTPSA id 4f\r\n\t(TLS"), "{text}");
        assert!(!text.contains("far.example") && !text.contains("192.0.2.1"));
        assert_eq!(Received { tls: None, ..received.clone() }.protocol(), "ESMTPA");
        assert_eq!(Received { tls: None, authenticated: false, ..received.clone() }.protocol(), "ESMTP");
        assert_eq!(Received { extended: false, ..received.clone() }.protocol(), "SMTP");
        let utf8 = Received { smtp_utf8: true, ..received };
        assert_eq!(utf8.protocol(), "UTF8SMTPSA");
        assert_eq!(Received { authenticated: false, ..utf8.clone() }.protocol(), "UTF8SMTPS");
        assert_eq!(Received { tls: None, ..utf8.clone() }.protocol(), "UTF8SMTPA");
        assert_eq!(Received { tls: None, authenticated: false, ..utf8 }.protocol(), "UTF8SMTP");
        assert_eq!(address_literal("2001:db8::1".parse().expect("an address")), "[IPv6:2001:db8::1]");
    }

    #[test]
    fn loops() {
        let me = [address("me@home.example")];
        let turns = |count: usize| "Received: by x; y\r\n".repeat(count) + "\r\n";
        assert!(!is_looping(turns(SMTP_RECEIVED_FIELDS_MAX).as_bytes(), me.iter()));
        assert!(is_looping(turns(SMTP_RECEIVED_FIELDS_MAX + 1).as_bytes(), me.iter()));
        assert!(is_looping(b"A: b\r\nDELIVERED-TO: Me@Home.example\r\n\r\n", me.iter()));
        assert!(!is_looping(b"Delivered-To: you@home.example\r\n\r\nDelivered-To: me@home.example\r\n", me.iter()));
        assert!(!is_looping(b"Delivered-To: \xff\r\n\r\n", me.iter()));
    }

    #[test]
    fn return_paths() {
        let mut out = Vec::new();
        encode_return_path(&ReversePath::Null, &mut out);
        encode_return_path(&ReversePath::Address(address("a@far.example")), &mut out);
        encode_delivered_to(&address("me+tag@home.example"), &mut out);
        let wanted = "Return-Path: <>\r\nReturn-Path: <a@far.example>\r\nDelivered-To: me+tag@home.example\r\n";
        assert_eq!(String::from_utf8_lossy(&out), wanted);
        let copied = |text: &str| {
            let mut out = Vec::new();
            copy_without_return_path(text.as_bytes(), &mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(copied("A: b\r\nReturn-path: <x>\r\n (folded)\r\nC: d\r\n\r\n"), "A: b\r\nC: d\r\n\r\n");
        assert_eq!(copied("\r\n"), "\r\n");
        assert_eq!(copied("A: b\r\n"), "A: b\r\n");
    }
}
