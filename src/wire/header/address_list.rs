//! Address lists of header fields (RFC 5322 section 3.4 and the obsolete forms of section 4.4), read as leniently as the
//! common IMAP servers do, for ENVELOPE.

use super::cursor::{Broken, Cursor, Step};

/// One entry of an IMAP address list (RFC 3501 section 7.4.2). A group is shown as an entry with a mailbox and no host
/// that begins it, and an entry with neither that ends it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListedAddress {
    /// The display name, or the comment that stands for one.
    pub name: Option<Vec<u8>>,
    /// The source route (at-domain-list).
    pub route: Option<Vec<u8>>,
    /// The local part, or a group's name.
    pub mailbox: Option<Vec<u8>>,
    /// The domain.
    pub host: Option<Vec<u8>>,
}

/// Stands where a host would have to: without one the entry would look like a group.
const HOST_MISSING: &[u8] = b"MISSING_DOMAIN";
/// Stands where a mailbox would have to.
const MAILBOX_MISSING: &[u8] = b"MISSING_MAILBOX";
/// Stands for the host of an address that could not be read to its end.
const HOST_BROKEN: &[u8] = b"SYNTAX_ERROR";

/// Reads an address list. What is malformed still gives an entry, so that people see that somebody was named.
pub fn parse(value: &[u8]) -> Vec<ListedAddress> {
    let mut list = List { cursor: Cursor::new(value), found: Vec::new() };
    if list.cursor.space() == Ok(true) {
        list.read();
    }
    list.found
}

struct List<'a> {
    cursor: Cursor<'a>,
    found: Vec<ListedAddress>,
}

impl List<'_> {
    fn read(&mut self) {
        loop {
            if self.address() == Ok(false) || !self.cursor.take(b',') {
                return;
            }
            match self.cursor.space() {
                Ok(true) => {}
                Ok(false) => return,
                Err(Broken) => return self.add(ListedAddress::default()),
            }
        }
    }

    /// `address = mailbox / group`
    fn address(&mut self) -> Step {
        let start = self.cursor;
        match self.group() {
            Some(step) => step,
            None => {
                self.cursor = start;
                self.mailbox()
            }
        }
    }

    /// `group = display-name ":" [group-list] ";"`; `None` when this is no group.
    fn group(&mut self) -> Option<Step> {
        let mut name = Vec::new();
        if self.cursor.phrase(&mut name) != Ok(true) || !self.cursor.take(b':') {
            return None;
        }
        let more = self.cursor.space();
        self.found.push(ListedAddress { mailbox: Some(name), ..ListedAddress::default() });
        let step = match more {
            Ok(true) => self.group_members(),
            other => other,
        };
        self.found.push(ListedAddress::default());
        Some(if step == Ok(false) { Ok(false) } else { Ok(true) })
    }

    fn group_members(&mut self) -> Step {
        while self.cursor.peek() != Some(b';') {
            if !self.mailbox()? {
                return Err(Broken);
            }
            if !self.cursor.take(b',') {
                break;
            }
            if !self.cursor.space()? {
                return Err(Broken);
            }
        }
        if !self.cursor.take(b';') {
            return Err(Broken);
        }
        self.cursor.space()
    }

    /// `mailbox = name-addr / addr-spec`
    fn mailbox(&mut self) -> Step {
        let start = self.cursor;
        let mut address = ListedAddress::default();
        let step = match self.name_addr(&mut address) {
            Some(step) => step,
            None => {
                self.cursor = start;
                address = ListedAddress::default();
                self.addr_spec(&mut address)
            }
        };
        self.add(address);
        step
    }

    /// `name-addr = [display-name] "<" ... ">"`; `None` when this is none.
    fn name_addr(&mut self, address: &mut ListedAddress) -> Option<Step> {
        let mut name = Vec::new();
        if self.cursor.phrase(&mut name) != Ok(true) || !self.cursor.take(b'<') {
            return None;
        }
        address.name = Some(name).filter(|name| !name.is_empty());
        if self.angle_addr(address).is_err() {
            address.host = Some(HOST_BROKEN.to_vec());
        }
        Some(Ok(self.cursor.peek().is_some()))
    }

    /// `[obs-route] addr-spec ">"`, the `<` being read already.
    fn angle_addr(&mut self, address: &mut ListedAddress) -> Step {
        if !self.cursor.space()? {
            return Ok(false);
        }
        if self.cursor.peek() == Some(b'@') {
            self.route(address)?;
            if !self.cursor.space()? {
                return Ok(false);
            }
        }
        // `<>` names nobody.
        if self.cursor.peek() != Some(b'>') {
            self.local_part(address)?;
            if self.cursor.peek() == Some(b'@') {
                self.domain(address)?;
            }
        }
        if !self.cursor.take(b'>') {
            return Err(Broken);
        }
        self.cursor.space()
    }

    /// `obs-route = obs-domain-list ":"`
    fn route(&mut self, address: &mut ListedAddress) -> Result<(), Broken> {
        let mut route = Vec::new();
        while self.cursor.peek() == Some(b'@') {
            if !route.is_empty() {
                route.push(b',');
            }
            route.push(b'@');
            self.cursor.domain(&mut route)?;
            while self.cursor.space()? && self.cursor.take(b',') {}
        }
        address.route = Some(route);
        if self.cursor.take(b':') { Ok(()) } else { Err(Broken) }
    }

    fn local_part(&mut self, address: &mut ListedAddress) -> Step {
        let mut local = Vec::new();
        let step = match self.cursor.peek() {
            Some(b'"') => self.cursor.quoted_string(&mut local),
            _ => self.cursor.dot_atom(&mut local),
        };
        if step.is_ok() {
            address.mailbox = Some(local);
        }
        step
    }

    fn domain(&mut self, address: &mut ListedAddress) -> Step {
        let mut domain = Vec::new();
        let step = self.cursor.domain(&mut domain);
        // Also when a comment after it is broken.
        if step.is_ok() || !domain.is_empty() {
            address.host = Some(domain);
        }
        step
    }

    /// `addr-spec = local-part "@" domain`; a comment after it is the name, as it was before RFC 822. A word alone is a
    /// local part, anything else without an `@` is the name of somebody whose address is missing.
    fn addr_spec(&mut self, address: &mut ListedAddress) -> Step {
        self.cursor.take_comment();
        let start = self.cursor;
        let quoted = self.cursor.peek() == Some(b'"');
        let step = self.local_part(address);
        if step != Ok(false) && self.cursor.peek() == Some(b'@') {
            let domain = self.domain(address);
            self.name_from_comment(address);
            return if domain == Ok(true) { step } else { domain };
        }
        if self.name_from_comment(address) {
            return step;
        }
        let mut name = Vec::new();
        self.cursor = start;
        // Whether the phrase is sound does not matter: what could be read of it is shown.
        let _ = self.cursor.phrase(&mut name);
        if quoted || address.mailbox.as_ref() != Some(&name) {
            address.mailbox = None;
            address.name = Some(name).filter(|name| !name.is_empty());
        }
        Err(Broken)
    }

    fn name_from_comment(&mut self, address: &mut ListedAddress) -> bool {
        let comment = self.cursor.take_comment();
        let found = !comment.is_empty();
        if found {
            address.name = Some(comment);
        }
        found
    }

    fn add(&mut self, mut address: ListedAddress) {
        address.name = address.name.as_deref().map(single_spaced);
        address.mailbox.get_or_insert_with(|| MAILBOX_MISSING.to_vec());
        address.host.get_or_insert_with(|| HOST_MISSING.to_vec());
        self.found.push(address);
    }
}

/// A name as people read it: white space is one space, and none at the ends.
fn single_spaced(name: &[u8]) -> Vec<u8> {
    let words = name.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name|route|mailbox|host` of each entry, `-` for NIL.
    fn listed(value: &str) -> Vec<String> {
        let show = |part: Option<Vec<u8>>| part.map_or("-".to_owned(), |part| String::from_utf8(part).unwrap());
        let entry = |a: ListedAddress| [a.name, a.route, a.mailbox, a.host].map(show).join("|");
        parse(value.as_bytes()).into_iter().map(entry).collect()
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 5322 appendix A.
        assert_eq!(listed("John Doe <jdoe@machine.example>"), ["John Doe|-|jdoe|machine.example"]);
        assert_eq!(
            listed(
                "\"Joe Q. Public\" <john.q.public@example.com>, <boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>"
            ),
            [
                "Joe Q. Public|-|john.q.public|example.com",
                "-|-|boss|nil.test",
                "Giant; \"Big\" Box|-|sysservices|example.net"
            ]
        );
        assert_eq!(
            listed("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;"),
            ["-|-|A Group|-", "Ed Jones|-|c|a.test", "-|-|joe|where.test", "John|-|jdoe|one.test", "-|-|-|-"]
        );
        assert_eq!(listed("Undisclosed recipients:;"), ["-|-|Undisclosed recipients|-", "-|-|-|-"]);
        assert_eq!(
            listed("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
            ["Pete|-|pete|silly.test"]
        );
        assert_eq!(
            listed("Mary Smith <@node.test,@b.test:mary@example.net>, , jdoe@test . example"),
            [
                "Mary Smith|@node.test,@b.test|mary|example.net",
                "-|-|MISSING_MAILBOX|MISSING_DOMAIN",
                "-|-|jdoe|test.example"
            ]
        );
    }

    #[test]
    fn lists_as_software_writes_them() {
        assert_eq!(listed("joe@example.org (Joe)"), ["Joe|-|joe|example.org"]);
        assert_eq!(listed("root"), ["-|-|root|MISSING_DOMAIN"]);
        assert_eq!(listed("J. R. Smith <j@r.example>"), ["J. R. Smith|-|j|r.example"]);
        assert_eq!(
            listed("Some One, \"The Root\""),
            ["Some One|-|MISSING_MAILBOX|MISSING_DOMAIN", "The Root|-|MISSING_MAILBOX|MISSING_DOMAIN"]
        );
        assert_eq!(listed("One\" T. \"Two <o@t.example>"), ["One T. Two|-|o|t.example"]);
        assert_eq!(listed("<>"), ["-|-|MISSING_MAILBOX|MISSING_DOMAIN"]);
        assert_eq!(listed("grüße <g@example.org>"), ["grüße|-|g|example.org"]);
        assert_eq!(listed("  "), Vec::<String>::new());
        assert_eq!(listed("a@b,"), ["-|-|a|b"]);
        assert_eq!(listed("x <a@b"), ["x|-|a|SYNTAX_ERROR"]);
        assert_eq!(listed("J. R. Smith"), ["J. R. Smith|-|MISSING_MAILBOX|MISSING_DOMAIN"]);
        assert_eq!(listed("j.r"), ["-|-|j.r|MISSING_DOMAIN"]);
        assert_eq!(listed("a@b (never closed"), ["-|-|a|b"]);
        assert_eq!(listed("<a b>"), ["-|-|a|SYNTAX_ERROR"]);
    }
}
