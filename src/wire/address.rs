//! SMTP addresses: `Reverse-path`, `Forward-path`, `Mailbox` of RFC 5321 section 4.1.2.
//!
//! The strict grammar of the envelope, not the looser one of header fields. ASCII only: SMTPUTF8 (RFC 6531) is not
//! spoken, and an address with 8-bit octets is told apart so that the refusal can say so. What comes out of a parser
//! here is safe to write into a header field, a log line or a command: no control characters, no line ends.

use crate::limits::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_MAX, PATH_BYTES_MAX};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A domain name as used in mail, lower case ASCII (A-labels) or UTF-8 (U-labels, RFC 6531), or an
/// address literal with its brackets. At most 255 octets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(String);

impl Domain {
    /// Wraps a name that is already known to be well formed (configuration, tests); it is lower-cased.
    pub fn new(name: &str) -> Domain {
        Domain(name.to_lowercase())
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
    /// It would be one under SMTPUTF8 (RFC 6531), which is not spoken here.
    NotAscii,
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
    let end = input.iter().position(|&b| !is_atext(b) && b != b'.').unwrap_or(input.len());
    let (local, rest) = input.split_at(end);
    refuse_8bit(rest)?;
    if local.split(|&b| b == b'.').any(<[u8]>::is_empty) {
        return Err(AddressTrouble::Syntax);
    }
    Ok((ascii_text(local), rest))
}

/// `Quoted-string` without its opening quote; gives the text without quoting.
fn parse_quoted_string(input: &[u8]) -> Result<(String, &[u8]), AddressTrouble> {
    let mut local = String::new();
    let mut bytes = input.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        let text = match byte {
            b'"' => return Ok((local, input.get(at + 1..).unwrap_or_default())),
            b'\\' => bytes.next().map(|(_, &byte)| byte).ok_or(AddressTrouble::Syntax)?,
            byte => byte,
        };
        match text {
            b' '..=b'~' => local.push(char::from(text)),
            0x80.. => return Err(AddressTrouble::NotAscii),
            _ => return Err(AddressTrouble::Syntax),
        }
        if local.len() > LOCAL_PART_BYTES_MAX {
            return Err(AddressTrouble::TooLong);
        }
    }
    Err(AddressTrouble::Syntax)
}

/// `Domain = sub-domain *("." sub-domain)`; lower-cased.
fn parse_domain(input: &[u8]) -> Result<(Domain, &[u8]), AddressTrouble> {
    let end = input.iter().position(|&b| !b.is_ascii_alphanumeric() && b != b'-' && b != b'.').unwrap_or(input.len());
    let (name, rest) = input.split_at(end);
    refuse_8bit(rest)?;
    if name.len() > DOMAIN_BYTES_MAX {
        return Err(AddressTrouble::TooLong);
    }
    let label =
        |label: &[u8]| (1..=63).contains(&label.len()) && label.first() != Some(&b'-') && label.last() != Some(&b'-');
    if !name.split(|&b| b == b'.').all(label) {
        return Err(AddressTrouble::Syntax);
    }
    Ok((Domain::new(&ascii_text(name)), rest))
}

/// `address-literal` with its brackets: IPv4 and IPv6. No other tag is registered (RFC 5321 section 4.1.3).
fn parse_literal(input: &[u8]) -> Result<(Domain, &[u8]), AddressTrouble> {
    let close = input.iter().position(|&b| b == b']').ok_or(AddressTrouble::Syntax)?;
    let (literal, rest) = input.split_at(close + 1);
    let text = std::str::from_utf8(literal).map_err(|_| AddressTrouble::NotAscii)?;
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

/// Where a part of an address stops because of an octet above 127, SMTPUTF8 is what is missing.
fn refuse_8bit(rest: &[u8]) -> Result<(), AddressTrouble> {
    if rest.first().is_some_and(|byte| !byte.is_ascii()) { Err(AddressTrouble::NotAscii) } else { Ok(()) }
}

/// Text of bytes that are known to be ASCII.
fn ascii_text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
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
        for given in ["<ü@example.org>", "<user@exämple.org>", "<\"ü\"@example.org>"] {
            assert_eq!(forward(given), Err(AddressTrouble::NotAscii), "{given}");
        }
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
    }
}
