//! Answers to requests: bytes made in this one place.
//!
//! Receives what is to be said; hands on bytes. What always holds: an answer says its length, lets no cache keep it, and gives a
//! browser no right to load, run, frame or send anything but the style and the script that belong to a page.

use crate::wire::date::{Timestamp, encode_http_date};
use crate::wire::http::Status;
use std::fmt::Write;
use zeroize::Zeroizing;

/// A browser is told to ask nobody else who has sent it here, to guess no type, and to load and run nothing. There is no
/// Strict-Transport-Security (RFC 6797): section 8.4 forbids a browser that knows of it to let its owner past a certificate that it does
/// not trust yet, and a phone comes here exactly to get what it is to trust. Nothing here is served without TLS anyway.
const FIELDS: &str = "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
                      Cross-Origin-Resource-Policy: same-origin\r\nX-Robots-Tag: noindex\r\n";

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What became of the request.
    pub status: Status,
    /// Of the content.
    pub media_type: &'static str,
    /// May be empty; wiped afterwards, because a password may be in it.
    pub content: Zeroizing<Vec<u8>>,
    /// More fields, without line ends in them.
    pub fields: Vec<(&'static str, String)>,
    /// The style of a page: the SHA-256 hash of its text in base64.
    pub style_hash: Option<String>,
    /// The same of its script.
    pub script_hash: Option<String>,
}

impl Answer {
    /// With content.
    pub fn new(status: Status, media_type: &'static str, content: Vec<u8>) -> Answer {
        Answer {
            status,
            media_type,
            content: Zeroizing::new(content),
            fields: Vec::new(),
            style_hash: None,
            script_hash: None,
        }
    }

    /// A line of plain text, for programs; people who meet it understand it too.
    pub fn plain(status: Status) -> Answer {
        let (code, reason) = status.line();
        Answer::new(status, "text/plain; charset=utf-8", format!("{code} {reason}\n").into_bytes())
    }

    /// With one more field. Names and values are our own, without control characters.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.fields.push((name, value.into()));
        self
    }

    /// Its bytes. `is_head`: only the head was asked for; `is_last`: the connection ends with it.
    pub fn encode(&self, is_head: bool, is_last: bool, now: Timestamp) -> Zeroizing<Vec<u8>> {
        let (code, reason) = self.status.line();
        let mut head = format!("HTTP/1.1 {code} {reason}\r\nDate: {}\r\n", encode_http_date(now));
        let _ = write!(head, "Content-Type: {}\r\nContent-Length: {}\r\n", self.media_type, self.content.len());
        for (name, value) in &self.fields {
            let value: String = value.chars().filter(|c| !c.is_control()).collect();
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let allowed = |what: &str, hash: &Option<String>| {
            hash.as_ref().map_or_else(String::new, |hash| format!("{what} 'sha256-{hash}'; "))
        };
        let (style, script) = (allowed("style-src", &self.style_hash), allowed("script-src", &self.script_hash));
        let _ = write!(
            head,
            "Content-Security-Policy: default-src 'none'; {style}{script}base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'\r\n\
             {FIELDS}Connection: {}\r\n\r\n",
            if is_last { "close" } else { "keep-alive" }
        );
        let content: &[u8] = if is_head { &[] } else { &self.content };
        Zeroizing::new([head.as_bytes(), content].concat())
    }
}

/// Says that the content may come (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_everything_that_keeps_it_in_its_place() {
        let mut answer = Answer::plain(Status::NotFound).with("Retry-After", "9\r\nX: y");
        answer.style_hash = Some("abc=".into());
        answer.script_hash = Some("def=".into());
        let bytes = answer.encode(false, true, Timestamp(784_111_777_000));
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, content) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(content, "404 Not Found\n");
        for line in [
            "HTTP/1.1 404 Not Found",
            "Date: Sun, 06 Nov 1994 08:49:37 GMT",
            "Content-Length: 14",
            "Retry-After: 9X: y",
            "Content-Security-Policy: default-src 'none'; style-src 'sha256-abc='; script-src 'sha256-def='; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "Cache-Control: no-store",
            "Referrer-Policy: no-referrer",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        ] {
            assert!(head.lines().any(|there| there == line), "{line}\n{head}");
        }
        assert!(!head.contains("Strict-Transport") && !head.contains("Set-Cookie"));
    }

    #[test]
    fn a_head_is_the_same_without_the_content() {
        let answer = Answer::new(Status::Ok, "text/html", b"<p>".to_vec());
        let whole = answer.encode(false, false, Timestamp(0));
        let head = answer.encode(true, false, Timestamp(0));
        assert_eq!(whole.strip_prefix(&head[..]), Some(&b"<p>"[..]));
    }
}
