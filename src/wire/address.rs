//! SMTP addresses: `Reverse-path`, `Forward-path`, `Mailbox` of RFC 5321 section 4.1.2.

use std::fmt;

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
    /// The local part without quoting, at most 64 octets (RFC 5321 section 4.5.3.1.1).
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
