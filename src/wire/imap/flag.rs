//! The nouns that IMAP shares with everything above it: flags and special uses.

/// The system flags of RFC 3501 section 2.3.2 that are stored (\Recent is not) as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct SystemFlags(pub u8);

impl SystemFlags {
    /// `\Seen`
    pub const SEEN: SystemFlags = SystemFlags(1);
    /// `\Answered`
    pub const ANSWERED: SystemFlags = SystemFlags(2);
    /// `\Flagged`
    pub const FLAGGED: SystemFlags = SystemFlags(4);
    /// `\Deleted`
    pub const DELETED: SystemFlags = SystemFlags(8);
    /// `\Draft`
    pub const DRAFT: SystemFlags = SystemFlags(16);

    /// Each flag with its spelling, in the order in which they are written.
    pub const ALL: [(SystemFlags, &'static str); 5] = [
        (SystemFlags::ANSWERED, "\\Answered"),
        (SystemFlags::FLAGGED, "\\Flagged"),
        (SystemFlags::DELETED, "\\Deleted"),
        (SystemFlags::SEEN, "\\Seen"),
        (SystemFlags::DRAFT, "\\Draft"),
    ];

    /// All of them.
    pub const EVERY: SystemFlags = SystemFlags(31);

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: SystemFlags) -> bool {
        self.0 & other.0 == other.0
    }
    /// Both sets together.
    pub fn union(self, other: SystemFlags) -> SystemFlags {
        SystemFlags(self.0 | other.0)
    }
    /// What is in both.
    pub fn among(self, other: SystemFlags) -> SystemFlags {
        SystemFlags(self.0 & other.0)
    }
}

/// Flags by name, as a command gives them: system flags and keywords (RFC 3501 `flag-keyword`, compared
/// without regard to case, kept as first given).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Flags {
    /// System flags.
    pub system: SystemFlags,
    /// Keywords, for example `$Forwarded`.
    pub keywords: Vec<String>,
}

/// RFC 6154 section 2, and one use of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
    /// Shows what waits to be sent. Known to the store alone: no attribute says it.
    Outbox,
}

impl SpecialUse {
    /// Each use that has an attribute, with it.
    pub const ALL: [(SpecialUse, &'static str); 5] = [
        (SpecialUse::Archive, "\\Archive"),
        (SpecialUse::Drafts, "\\Drafts"),
        (SpecialUse::Junk, "\\Junk"),
        (SpecialUse::Sent, "\\Sent"),
        (SpecialUse::Trash, "\\Trash"),
    ];

    /// Its mailbox attribute, for example `\Drafts`, if it has one.
    pub fn attribute(self) -> Option<&'static str> {
        SpecialUse::ALL.iter().find(|(one, _)| *one == self).map(|(_, name)| *name)
    }
}
