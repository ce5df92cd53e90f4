//! SMTP addresses: `Reverse-path`, `Forward-path`, `Mailbox` of RFC 5321 section 4.1.2.
//!
//! The strict grammar of the envelope, not the looser one of header fields, with the UTF-8 of RFC 6531 section 3.3: whoever
//! asks sees to it that it was announced. A domain is kept as A-labels in lower case whichever way it was written, so that
//! equal domains are equal bytes. What comes out of a parser here is safe to write into a header field, a log line or a
//! command: no control characters, no line ends.

use crate::limits::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_MAX, PATH_BYTES_MAX};
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A domain name as used in mail, in lower case and ASCII (A-labels, RFC 5890 section 2.3.2.1), or an address literal
/// with its brackets. At most 255 octets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(String);

impl Domain {
    /// Wraps a name that is already known to be well formed; it is lower-cased, and U-labels become A-labels.
    pub fn new(name: &str) -> Domain {
        if name.is_ascii() {
            return Domain(name.to_ascii_lowercase());
        }
        Domain(a_labels(name).unwrap_or_else(|| name.to_lowercase()))
    }
    /// Reads a domain name, in A-labels or U-labels; all of `text` must belong to it. No address literal.
    pub fn parse(text: &str) -> Result<Domain, AddressTrouble> {
        let (domain, rest) = parse_domain(text.as_bytes())?;
        if rest.is_empty() { Ok(domain) } else { Err(AddressTrouble::Syntax) }
    }
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `local-part@domain`. The local part is kept as given; compare it with [`Address::same_as`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The local part without quoting, at most [`LOCAL_PART_BYTES_MAX`] octets.
    pub local: String,
    /// The domain after the last `@`.
    pub domain: Domain,
}

impl Address {
    /// Same mailbox in the eyes of this server: both parts compared without regard to case.
    pub fn same_as(&self, other: &Address) -> bool {
        self.domain == other.domain && self.local.to_lowercase() == other.local.to_lowercase()
    }
}

/// Reads a bare `Mailbox` (`local@domain`, no angle brackets); all of `text` must belong to it.
impl std::str::FromStr for Address {
    type Err = AddressTrouble;
    fn from_str(text: &str) -> Result<Address, AddressTrouble> {
        let (address, rest) = parse_mailbox(text.as_bytes())?;
        if rest.is_empty() { Ok(address) } else { Err(AddressTrouble::Syntax) }
    }
}

/// Writes the address in its SMTP form, quoting the local part where RFC 5321 section 4.1.2 needs it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
        let dot_string =
            !self.local.is_empty() && self.local.split('.').all(|part| !part.is_empty() && part.chars().all(atom));
        if dot_string {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.domain)
    }
}

/// The argument of MAIL FROM: an address, or the null path `<>` of bounces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`
    Null,
    /// `<local@domain>`
    Address(Address),
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Address(address) => address.fmt(f),
        }
    }
}

/// The argument of RCPT TO: an address, or the one name that needs no domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>`, in any case (RFC 5321 section 4.1.1.3).
    Postmaster,
    /// `<local@domain>`
    Address(Address),
}

/// Why something is not an address of the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressTrouble {
    /// Not the grammar of RFC 5321 section 4.1.2.
    Syntax,
    /// It has octets above 127 that are no UTF-8 (RFC 6531 section 3.3).
    NotUtf8,
    /// A part is longer than its bound (RFC 5321 section 4.5.3.1).
    TooLong,
}

/// Reads a `Reverse-path` at the start of `input`; hands on what follows it.
pub fn parse_reverse_path(input: &[u8]) -> Result<(ReversePath, &[u8]), AddressTrouble> {
    if let Some(rest) = input.strip_prefix(b"<>") {
        return Ok((ReversePath::Null, rest));
    }
    let (address, rest) = parse_path(input)?;
    Ok((ReversePath::Address(address), rest))
}

/// Reads a `Forward-path` at the start of `input`; hands on what follows it.
pub fn parse_forward_path(input: &[u8]) -> Result<(ForwardPath, &[u8]), AddressTrouble> {
    const POSTMASTER: &[u8] = b"<postmaster>";
    if let Some((name, rest)) = input.split_at_checked(POSTMASTER.len())
        && name.eq_ignore_ascii_case(POSTMASTER)
    {
        return Ok((ForwardPath::Postmaster, rest));
    }
    let (address, rest) = parse_path(input)?;
    Ok((ForwardPath::Address(address), rest))
}

/// `Path = "<" [ A-d-l ":" ] Mailbox ">"`. The source route is read and ignored (RFC 5321 appendix F.2).
fn parse_path(input: &[u8]) -> Result<(Address, &[u8]), AddressTrouble> {
    let mut rest = input.strip_prefix(b"<").ok_or(AddressTrouble::Syntax)?;
    while let Some(route) = rest.strip_prefix(b"@") {
        let (_, after) = parse_domain(route)?;
        rest = match after.split_first() {
            Some((b':', after)) => after,
            Some((b',', after)) if after.first() == Some(&b'@') => after,
            _ => return Err(AddressTrouble::Syntax),
        };
    }
    let (address, rest) = parse_mailbox(rest)?;
    Ok((address, rest.strip_prefix(b">").ok_or(AddressTrouble::Syntax)?))
}

/// `Mailbox = Local-part "@" ( Domain / address-literal )`
fn parse_mailbox(input: &[u8]) -> Result<(Address, &[u8]), AddressTrouble> {
    let (local, rest) = match input.strip_prefix(b"\"") {
        Some(quoted) => parse_quoted_string(quoted)?,
        None => parse_dot_string(input)?,
    };
    if local.len() > LOCAL_PART_BYTES_MAX {
        return Err(AddressTrouble::TooLong);
    }
    let rest = rest.strip_prefix(b"@").ok_or(AddressTrouble::Syntax)?;
    let (domain, rest) = if rest.first() == Some(&b'[') { parse_literal(rest)? } else { parse_domain(rest)? };
    let (address, rest) = (Address { local, domain }, rest);
    let path_bytes = input.len() - rest.len() + "<>".len();
    if path_bytes > PATH_BYTES_MAX { Err(AddressTrouble::TooLong) } else { Ok((address, rest)) }
}

/// `atext` of RFC 5322 section 3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// `Dot-string = Atom *("." Atom)`
fn parse_dot_string(input: &[u8]) -> Result<(String, &[u8]), AddressTrouble> {
    let end = input.iter().position(|&b| !is_atext(b) && b != b'.' && b.is_ascii()).unwrap_or(input.len());
    let (local, rest) = input.split_at(end);
    let local = plain_text(local)?;
    if local.split('.').any(str::is_empty) {
        return Err(AddressTrouble::Syntax);
    }
    Ok((local, rest))
}

/// `Quoted-string` without its opening quote; gives the text without quoting.
fn parse_quoted_string(input: &[u8]) -> Result<(String, &[u8]), AddressTrouble> {
    let mut local = Vec::new();
    let mut bytes = input.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        let text = match byte {
            b'"' => return Ok((plain_text(&local)?, input.get(at + 1..).unwrap_or_default())),
            b'\\' => bytes.next().map(|(_, &byte)| byte).filter(u8::is_ascii).ok_or(AddressTrouble::Syntax)?,
            byte => byte,
        };
        local.push(text);
        if local.len() > LOCAL_PART_BYTES_MAX {
            return Err(AddressTrouble::TooLong);
        }
    }
    Err(AddressTrouble::Syntax)
}

/// `Domain = sub-domain *("." sub-domain)`; in A-labels and lower case.
fn parse_domain(input: &[u8]) -> Result<(Domain, &[u8]), AddressTrouble> {
    let in_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'.' || !b.is_ascii();
    let end = input.iter().position(|b| !in_name(b)).unwrap_or(input.len());
    let (name, rest) = input.split_at(end);
    let text = plain_text(name)?;
    let name = if text.is_ascii() { text } else { a_labels(&text).ok_or(AddressTrouble::Syntax)? };
    if name.len() > DOMAIN_BYTES_MAX {
        return Err(AddressTrouble::TooLong);
    }
    let label = |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    if !name.split('.').all(label) {
        return Err(AddressTrouble::Syntax);
    }
    Ok((Domain::new(&name), rest))
}

/// A domain with U-labels in A-labels (UTS 46, non-transitional, as RFC 5891 would have it with the mappings that people's
/// keyboards need); `None` when it is no domain.
fn a_labels(name: &str) -> Option<String> {
    let encoded =
        Uts46::new().to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    encoded.ok().map(|name| name.into_owned())
}

/// `address-literal` with its brackets: IPv4 and IPv6. No other tag is registered (RFC 5321 section 4.1.3).
fn parse_literal(input: &[u8]) -> Result<(Domain, &[u8]), AddressTrouble> {
    let close = input.iter().position(|&b| b == b']').ok_or(AddressTrouble::Syntax)?;
    let (literal, rest) = input.split_at(close + 1);
    let text = std::str::from_utf8(literal).map_err(|_| AddressTrouble::NotUtf8)?;
    if text.len() > DOMAIN_BYTES_MAX {
        return Err(AddressTrouble::TooLong);
    }
    let inside = text.get(1..close).unwrap_or_default();
    let known = match inside.split_at_checked("IPv6:".len()) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<Ipv6Addr>().is_ok(),
        _ => inside.parse::<Ipv4Addr>().is_ok(),
    };
    if known { Ok((Domain::new(text), rest)) } else { Err(AddressTrouble::Syntax) }
}

/// Bytes as text without control characters.
fn plain_text(bytes: &[u8]) -> Result<String, AddressTrouble> {
    let text = std::str::from_utf8(bytes).map_err(|_| AddressTrouble::NotUtf8)?;
    if text.chars().any(char::is_control) { Err(AddressTrouble::Syntax) } else { Ok(text.to_owned()) }
}

/// Whether `name` may be the argument of HELO or EHLO (RFC 5321 section 4.1.1.1), a little more kindly than the
/// grammar: hosts with an underscore in their name exist and mean no harm. Safe to write into a header field.
pub fn is_helo_name(name: &[u8]) -> bool {
    let in_name = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (1..=DOMAIN_BYTES_MAX).contains(&name.len()) && name.iter().all(in_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn forward(text: &str) -> Result<String, AddressTrouble> {
        match parse_forward_path(text.as_bytes())? {
            (ForwardPath::Postmaster, b"") => Ok("postmaster".into()),
            (ForwardPath::Address(address), b"") => Ok(address.to_string()),
            _ => Err(AddressTrouble::Syntax),
        }
    }

    #[test]
    fn paths_of_the_grammar() {
        for (given, wanted) in [
            ("<user@example.org>", "user@example.org"),
            ("<User.Name+tag@EXAMPLE.org>", "User.Name+tag@example.org"),
            ("<\"john doe\"@example.org>", "\"john doe\"@example.org"),
            ("<\"plain\"@example.org>", "plain@example.org"),
            ("<\"Joe\\,Smith\"@example.org>", "\"Joe,Smith\"@example.org"),
            ("<\"a\\\"b@c\"@example.org>", "\"a\\\"b@c\"@example.org"),
            ("<\"\"@example.org>", "\"\"@example.org"),
            ("<@a.example,@b.example:user@example.org>", "user@example.org"),
            ("<user@[192.0.2.1]>", "user@[192.0.2.1]"),
            ("<user@[IPv6:2001:DB8::1]>", "user@[ipv6:2001:db8::1]"),
            ("<postmaster>", "postmaster"),
            ("<PostMaster>", "postmaster"),
            ("<!#$%&'*+-/=?^_`{|}~@example.org>", "!#$%&'*+-/=?^_`{|}~@example.org"),
            ("<user@localhost>", "user@localhost"),
        ] {
            assert_eq!(forward(given).as_deref(), Ok(wanted), "{given}");
        }
    }

    #[test]
    fn not_paths() {
        for given in [
            "",
            "<",
            "<>",
            "<user>",
            "user@example.org",
            "<user@example.org",
            "<@example.org>",
            "<user@>",
            "<.user@example.org>",
            "<us..er@example.org>",
            "<user.@example.org>",
            "<user@example..org>",
            "<user@-example.org>",
            "<user@example-.org>",
            "<user@exa_mple.org>",
            "<user@.org>",
            "<us er@example.org>",
            "<\"user@example.org>",
            "<\"us\ner\"@example.org>",
            "<user@[192.0.2.256]>",
            "<user@[192.0.2.1>",
            "<user@[x:y]>",
            "<user@[IPv6:zz]>",
            "<@a.example user@example.org>",
            "<@a.example,user@example.org>",
            "<@a.example:@b.example>",
            "<a@b@c>",
            "<user@example.org.>",
            "<us\0er@example.org>",
        ] {
            assert_eq!(forward(given), Err(AddressTrouble::Syntax), "{given:?}");
        }
        for given in [&b"<\xfc@example.org>"[..], b"<user@ex\xe4mple.org>", b"<\"\xfc\"@example.org>"] {
            assert_eq!(parse_forward_path(given), Err(AddressTrouble::NotUtf8), "{given:?}");
        }
    }

    /// RFC 6531 section 3.3: a domain is the same however it is written.
    #[test]
    fn letters_of_all_scripts() {
        for (given, wanted) in [
            ("<jürgen@example.org>", "jürgen@example.org"),
            ("<\"jür gen\"@example.org>", "\"jür gen\"@example.org"),
            ("<я@xn--e1afmkfd.example>", "я@xn--e1afmkfd.example"),
            ("<я@ПРИМЕР.example>", "я@xn--e1afmkfd.example"),
            ("<user@bücher.example>", "user@xn--bcher-kva.example"),
            ("<user@BU\u{308}CHER.Example>", "user@xn--bcher-kva.example"),
            ("<user@straße.example>", "user@xn--strae-oqa.example"),
            ("<user@例え。example>", "user@xn--r8jz45g.example"),
        ] {
            assert_eq!(forward(given).as_deref(), Ok(wanted), "{given}");
        }
        for given in
            ["<ü\u{85}@example.org>", "<user@b\u{fffd}.example>", "<user@℀.example>", "<user@.ü>", "<user@ü..a>"]
        {
            assert_eq!(forward(given), Err(AddressTrouble::Syntax), "{given:?}");
        }
        assert_eq!(Domain::new("Bücher.example"), Domain::new("xn--bcher-kva.example"));
        assert_eq!(Domain::parse("bücher.example"), Domain::parse("XN--bcher-kva.example"));
        assert_eq!(Domain::parse("a b"), Err(AddressTrouble::Syntax));
        assert_eq!(Domain::parse(&"ü.".repeat(40)), Err(AddressTrouble::Syntax));
    }

    #[test]
    fn bounds() {
        let local = "l".repeat(LOCAL_PART_BYTES_MAX);
        assert!(forward(&format!("<{local}@example.org>")).is_ok());
        assert_eq!(forward(&format!("<{local}l@example.org>")), Err(AddressTrouble::TooLong));
        assert_eq!(forward(&format!("<\"{local}l\"@example.org>")), Err(AddressTrouble::TooLong));
        let label = "d".repeat(49);
        let domain = format!("{label}.{label}.{label}.{label}.{label}");
        assert!(forward(&format!("<{}@{domain}>", "l".repeat(4))).is_ok());
        assert_eq!(forward(&format!("<{}@{domain}>", "l".repeat(5))), Err(AddressTrouble::TooLong));
        assert_eq!(forward(&format!("<u@{}>", "d".repeat(64))), Err(AddressTrouble::Syntax));
    }

    #[test]
    fn reverse_paths_hand_on_their_parameters() {
        assert_eq!(parse_reverse_path(b"<> SIZE=1"), Ok((ReversePath::Null, &b" SIZE=1"[..])));
        let (path, rest) = parse_reverse_path(b"<a@b.example> BODY=8BITMIME").expect("a path");
        assert_eq!((path.to_string().as_str(), rest), ("a@b.example", &b" BODY=8BITMIME"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_reverse_path(&bytes);
            let _ = parse_forward_path(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(local in "[ -~]{0,40}", domain in "[a-z0-9]{1,9}(\\.[a-z0-9]{1,9}){0,4}") {
            let address = Address { local, domain: Domain::new(&domain) };
            let written = format!("<{address}>");
            let read = parse_reverse_path(written.as_bytes());
            prop_assert_eq!(read, Ok((ReversePath::Address(address.clone()), &b""[..])));
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn every_script_is_read_back(local in "[^\\p{C}]{1,20}", domain in "\\PC{1,9}(\\.\\PC{1,9}){0,4}") {
            let address = Address { local, domain: Domain::new("example.org") };
            prop_assert_eq!(address.to_string().parse(), Ok(address));
            if let Ok(domain) = Domain::parse(&domain) {
                prop_assert!(domain.as_str().is_ascii());
                prop_assert_eq!(Domain::parse(domain.as_str()), Ok(domain));
            }
        }
    }
}
