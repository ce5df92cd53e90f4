//! Which mail a server of the owner's choice is for: by the recipient's domain, or by the sender's.
//!
//! Receives domains; hands on the choice. Knows nothing of servers.

use crate::wire::address::Domain;
use std::fmt;

/// Some domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainPattern {
    /// This one: `y.example`.
    Exactly(Domain),
    /// All below it: `*.y.example`.
    Below(Domain),
}

impl DomainPattern {
    /// How closely it names a domain; `None`: not at all. Exactly is closest, then the longest name.
    fn closeness(&self, domain: &Domain) -> Option<usize> {
        match self {
            DomainPattern::Exactly(name) => (name == domain).then_some(usize::MAX),
            DomainPattern::Below(name) => {
                let above = domain.as_str().strip_suffix(name.as_str())?.strip_suffix('.')?;
                (!above.is_empty()).then_some(name.as_str().len())
            }
        }
    }
}

/// As it stands in the configuration file.
impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DomainPattern::Exactly(name) => name.fmt(f),
            DomainPattern::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// The mail that something is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// To these.
    pub recipient_domains: Vec<DomainPattern>,
    /// From these.
    pub sender_domains: Vec<DomainPattern>,
}

/// Whose scope a recipient's mail is in, as an index: the recipient's domain counts before the sender's, a closer pattern
/// before a wider one, then the first. `sender`: `None` for mail without a sender.
pub fn choose<'a>(
    scopes: impl Iterator<Item = &'a Scope> + Clone,
    sender: Option<&Domain>,
    recipient: &Domain,
) -> Option<usize> {
    let closest = |of: fn(&Scope) -> &[DomainPattern], domain: &Domain| {
        let rated = scopes.clone().enumerate().filter_map(|(at, scope)| {
            let closeness = of(scope).iter().filter_map(|pattern| pattern.closeness(domain)).max()?;
            Some((closeness, std::cmp::Reverse(at)))
        });
        rated.max().map(|(_, at)| at.0)
    };
    let by_recipient = closest(|scope| &scope.recipient_domains, recipient);
    by_recipient.or_else(|| closest(|scope| &scope.sender_domains, sender?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<DomainPattern> {
        let read = |text: &&str| match text.strip_prefix("*.") {
            Some(name) => DomainPattern::Below(Domain::new(name)),
            None => DomainPattern::Exactly(Domain::new(text)),
        };
        texts.iter().map(read).collect()
    }

    #[test]
    fn recipient_before_sender_and_close_before_wide() {
        let scope =
            |to: &[&str], from: &[&str]| Scope { recipient_domains: patterns(to), sender_domains: patterns(from) };
        let scopes = [
            scope(&["*.example"], &[]),
            scope(&["far.example", "*.b.example"], &[]),
            scope(&[], &["work.example"]),
            scope(&["*.b.example"], &["*.work.example"]),
        ];
        let chosen = |sender: Option<&str>, recipient: &str| {
            choose(scopes.iter(), sender.map(Domain::new).as_ref(), &Domain::new(recipient))
        };
        assert_eq!(chosen(None, "far.example"), Some(1), "exact beats a star");
        assert_eq!(chosen(Some("work.example"), "near.example"), Some(0), "recipient beats sender");
        assert_eq!(chosen(None, "a.b.example"), Some(1), "the longer star, and of equals the first");
        assert_eq!(chosen(None, "b.example"), Some(0), "a star is for what is below it");
        assert_eq!(chosen(None, "xb.example"), Some(0));
        assert_eq!(chosen(Some("work.example"), "home.test"), Some(2));
        assert_eq!(chosen(Some("a.work.example"), "home.test"), Some(3));
        assert_eq!(chosen(None, "home.test"), None);
        assert_eq!(chosen(Some("other.test"), "example"), None);
    }
}
