//! URLs that name a message or a part of one on this server (RFC 5092, as far as CATENATE needs them: RFC 4469 section 3).
//!
//! Receives the text of a URL; hands on what it names, or nothing: absolute URLs, those that need an authorization, and all that
//! is not exactly of this form are no URLs here.

use super::command::{Partial, SectionText};
use super::grammar::{Cursor, section_spec};
use super::mailbox::MailboxName;

/// `/mailbox;UIDVALIDITY=n/;UID=n/;SECTION=s/;PARTIAL=n.n`, or from `;UID` on, of the selected mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageUrl {
    /// `None`: the selected one.
    pub mailbox: Option<MailboxName>,
    /// What the mailbox must have.
    pub uid_validity: Option<u32>,
    /// The message.
    pub uid: u32,
    /// Part numbers, as in [`super::command::BodySection`].
    pub path: Vec<u32>,
    /// Which text of that part.
    pub text: SectionText,
    /// Only these bytes.
    pub partial: Option<Partial>,
}

impl MessageUrl {
    /// Reads one.
    pub fn parse(url: &str) -> Option<MessageUrl> {
        let (mailbox, rest) = url.split_once(';')?;
        let mut parameters = rest.split(';').peekable();
        let mut next = |wanted: &str| {
            let (name, value) = parameters.peek()?.split_once('=')?;
            if !name.eq_ignore_ascii_case(wanted) {
                return None;
            }
            parameters.next();
            // The slash before the next parameter. Behind the last one there is none.
            match parameters.peek() {
                Some(_) => Some(value.strip_suffix('/').unwrap_or(value)),
                None => Some(value),
            }
        };
        let mailbox = match mailbox.strip_prefix('/') {
            None if mailbox.is_empty() => None,
            None => return None,
            // The name of a host.
            Some(host) if host.starts_with('/') => return None,
            Some(name) => Some(mailbox_named(name.strip_suffix('/').unwrap_or(name))?),
        };
        let uid_validity = match next("UIDVALIDITY") {
            Some(_) if mailbox.is_none() => return None,
            Some(value) => Some(number(value)?),
            None => None,
        };
        let uid = number(next("UID")?)?;
        let (mut path, mut text) = (Vec::new(), SectionText::Whole);
        if let Some(section) = next("SECTION") {
            let section = decode(section).filter(|section| !section.is_empty())?;
            let mut cursor = Cursor::new(&section);
            (path, text) = section_spec(&mut cursor, 0).ok()?;
            cursor.is_at_end().then_some(())?;
        }
        let partial = match next("PARTIAL") {
            Some(range) => Some(partial(range)?),
            None => None,
        };
        parameters.next().is_none().then_some(MessageUrl { mailbox, uid_validity, uid, path, text, partial })
    }
}

/// `enc-mailbox`: UTF-8, percent-encoded.
fn mailbox_named(encoded: &str) -> Option<MailboxName> {
    MailboxName::new(&String::from_utf8(decode(encoded)?).ok()?).ok()
}

/// `nz-number`.
fn number(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

/// `partial-range`: the first byte, and how many, or all from there on.
fn partial(range: &str) -> Option<Partial> {
    let (first, count) = match range.split_once('.') {
        Some((first, count)) => (first, u64::from(number(count)?)),
        None => (range, u64::MAX),
    };
    let first = if first == "0" { 0 } else { number(first)? };
    Some(Partial { first: first.into(), count })
}

/// Undoes percent-encoding. What must be encoded in a URL and is not makes it none.
fn decode(encoded: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut nibble = || char::from(rest.next()?).to_digit(16);
                u8::try_from(nibble()? << 4 | nibble()?).ok()?
            }
            b'#' | b'?' | b'"' | b'<' | b'>' | b'\\' => return None,
            b'!'..=b'~' => byte,
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> MessageUrl {
        MessageUrl::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    fn plain(mailbox: Option<&str>, uid: u32) -> MessageUrl {
        let mailbox = mailbox.map(|name| MailboxName::new(name).unwrap());
        MessageUrl { mailbox, uid_validity: None, uid, path: Vec::new(), text: SectionText::Whole, partial: None }
    }

    #[test]
    fn urls_of_the_rfcs() {
        let drafts = MessageUrl { uid_validity: Some(385_759_045), ..plain(Some("Drafts"), 20) };
        assert_eq!(
            url("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER"),
            MessageUrl { text: SectionText::Header, ..drafts.clone() }
        );
        assert_eq!(
            url("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME"),
            MessageUrl { path: vec![1], text: SectionText::Mime, ..drafts.clone() }
        );
        assert_eq!(url("/Drafts;UIDVALIDITY=385759045/;UID=20"), drafts);
        assert_eq!(url("/Drafts/;UID=3002"), plain(Some("Drafts"), 3002));
        assert_eq!(url("/inbox;UID=7;SECTION=1.5.9").path, [1, 5, 9]);
    }

    #[test]
    fn urls_of_other_forms() {
        assert_eq!(url(";UID=20/;SECTION=2"), MessageUrl { path: vec![2], ..plain(None, 20) });
        assert_eq!(url("/Entw%C3%BCrfe/a%20b/;UID=1"), plain(Some("Entwürfe/a b"), 1));
        let fields = url("/a/;UID=1/;SECTION=HEADER.FIELDS%20(DATE%20FROM)").text;
        assert_eq!(fields, SectionText::HeaderFields(vec!["DATE".into(), "FROM".into()]));
        assert_eq!(url("/a/;UID=1/;PARTIAL=0.1024").partial, Some(Partial { first: 0, count: 1024 }));
        assert_eq!(url("/a/;UID=1/;SECTION=1/;PARTIAL=7").partial, Some(Partial { first: 7, count: u64::MAX }));
    }

    #[test]
    fn what_is_no_url_here() {
        for bad in [
            "",
            "/a",
            "/a;UID=",
            "/a;UID=0",
            "/a;UID=+1",
            "/a;UID=01",
            "/a;UID=4294967296",
            "/a;UID=1/",
            "/a;UID=1;",
            "/a;UID=1/;SECTION=",
            "/a;UID=1/;SECTION=X",
            "/a;UID=1/;SECTION=1%5D",
            "/a;UID=1/;SECTION=TEXT/;SECTION=TEXT",
            "/a;UID=1/;PARTIAL=1.0",
            "/a;UID=1/;PARTIAL=x",
            "/a;UID=1/;PARTIAL=0.1/;SECTION=1",
            "/a;UID=1;URLAUTH=anonymous:internal:91354a473744909de610943775f92038",
            "/a;UIDVALIDITY=x/;UID=1",
            ";UIDVALIDITY=1/;UID=1",
            "/;UID=1",
            "a;UID=1",
            "//host/a;UID=1",
            "imap://me@host/a;UID=1",
            "/a%2;UID=1",
            "/a%FF;UID=1",
            "/a b;UID=1",
            "/a?x;UID=1",
        ] {
            assert_eq!(MessageUrl::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text: String, tail in "(/?;(UID|SECTION|PARTIAL|UIDVALIDITY)=[0-9.%A-Z]{0,6}){0,4}") {
            let _ = MessageUrl::parse(&text);
            let _ = MessageUrl::parse(&format!("/{text}{tail}"));
        }
    }
}
