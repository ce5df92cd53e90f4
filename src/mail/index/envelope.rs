//! ENVELOPE (RFC 3501 section 7.4.2).

use super::text::{write_nstring, write_string};
use crate::wire::header::address_list::{self, ListedAddress};
use crate::wire::mime::fact::{Fact, Facts};

/// Appends the `envelope` of a message with these header fields. Fields that may stand once count as they stand last;
/// address fields that stand several times count as one list, so that nobody named in any of them is hidden.
pub fn write(facts: &Facts, out: &mut Vec<u8>) {
    out.push(b'(');
    write_nstring(facts.last(Fact::Date), out);
    out.push(b' ');
    write_nstring(facts.last(Fact::Subject), out);
    let from = addresses(facts, Fact::From);
    for (field, fallback) in [
        (Fact::From, &[][..]),
        (Fact::Sender, &from[..]),
        (Fact::ReplyTo, &from[..]),
        (Fact::To, &[]),
        (Fact::Cc, &[]),
        (Fact::Bcc, &[]),
    ] {
        out.push(b' ');
        let list = addresses(facts, field);
        write_list(if list.is_empty() { fallback } else { &list }, out);
    }
    for field in [Fact::InReplyTo, Fact::MessageId] {
        out.push(b' ');
        write_nstring(facts.last(field), out);
    }
    out.push(b')');
}

fn addresses(facts: &Facts, field: Fact) -> Vec<ListedAddress> {
    facts.all(field).flat_map(address_list::parse).collect()
}

fn write_list(list: &[ListedAddress], out: &mut Vec<u8>) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for ListedAddress { name, route, mailbox, host } in list {
        out.push(b'(');
        write_nstring(name.as_deref(), out);
        for part in [route, mailbox, host] {
            out.push(b' ');
            match part {
                Some(part) => write_string(part, out),
                None => out.extend_from_slice(b"NIL"),
            }
        }
        out.push(b')');
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use crate::mail::index::Indexer;

    fn envelope(header: &str) -> String {
        let mut indexer = Indexer::new();
        indexer.push(header.as_bytes());
        String::from_utf8(indexer.finish().envelope).unwrap()
    }

    #[test]
    fn every_field_has_its_place() {
        let header = "Date: Fri, 21 Nov 1997 09:55:06 -0600\r\nFrom: \"Joe\" <j@a.example>\r\nReply-To: l@a.example\r\n\
            To: G: m@b.example;\r\nCc: <@r.example:n@c.example>\r\nBcc:\r\nIn-Reply-To: <1@a.example>\r\n\
            Message-ID: <2@a.example>\r\nSubject: a \"b\"\r\n\r\n";
        assert_eq!(
            envelope(header),
            "(\"Fri, 21 Nov 1997 09:55:06 -0600\" \"a \\\"b\\\"\" ((\"Joe\" NIL \"j\" \"a.example\")) \
             ((\"Joe\" NIL \"j\" \"a.example\")) ((NIL NIL \"l\" \"a.example\")) \
             ((NIL NIL \"G\" NIL)(NIL NIL \"m\" \"b.example\")(NIL NIL NIL NIL)) \
             ((NIL \"@r.example\" \"n\" \"c.example\")) NIL \"<1@a.example>\" \"<2@a.example>\")"
        );
    }

    #[test]
    fn what_is_missing_is_nil_and_what_is_double_is_merged() {
        assert_eq!(envelope("\r\n"), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
        assert_eq!(
            envelope("From: a@x\r\nFrom: b@x\r\n\r\nTo: c@x\r\n"),
            format!("(NIL NIL {0} {0} {0} NIL NIL NIL NIL NIL)", "((NIL NIL \"a\" \"x\")(NIL NIL \"b\" \"x\"))")
        );
    }
}
