//! The rights of an access control list (RFC 4314 section 2), as a set.

use super::flag::{Flags, SystemFlags};

/// Some of the standard rights of RFC 4314 section 2.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u16);

impl Rights {
    /// None at all.
    pub const NONE: Rights = Rights(0);
    /// `l`: the mailbox is there for LIST, LSUB and SUBSCRIBE.
    pub const LOOKUP: Rights = Rights(1);
    /// `r`: SELECT, EXAMINE, STATUS, and all that looks at messages.
    pub const READ: Rights = Rights(1 << 1);
    /// `s`: the flag `\Seen`.
    pub const SEEN: Rights = Rights(1 << 2);
    /// `w`: all flags but `\Seen` and `\Deleted`.
    pub const WRITE: Rights = Rights(1 << 3);
    /// `i`: APPEND and COPY into the mailbox.
    pub const INSERT: Rights = Rights(1 << 4);
    /// `p`: mail to the mailbox's own address. IMAP has nothing to do with it (RFC 4314 section 2.1).
    pub const POST: Rights = Rights(1 << 5);
    /// `k`: mailboxes below this one, by CREATE or RENAME.
    pub const CREATE: Rights = Rights(1 << 6);
    /// `x`: DELETE, RENAME of it.
    pub const DELETE_MAILBOX: Rights = Rights(1 << 7);
    /// `t`: the flag `\Deleted`.
    pub const DELETE: Rights = Rights(1 << 8);
    /// `e`: EXPUNGE, also as a part of CLOSE.
    pub const EXPUNGE: Rights = Rights(1 << 9);
    /// `a`: the rights of others.
    pub const ADMINISTER: Rights = Rights(1 << 10);
    /// All of them: the owner's.
    pub const ALL: Rights = Rights((1 << 11) - 1);
    /// Looking and nothing else.
    pub const LOOKING: Rights = Rights(Self::LOOKUP.0 | Self::READ.0);
    /// All that a device can be granted: everything but the rights of others.
    pub const GRANTABLE: Rights = Rights(Self::ALL.0 & !Self::ADMINISTER.0);
    /// With any of these a mailbox is not opened READ-ONLY (RFC 4314 section 5.2): flags are the same for everybody here.
    pub const CHANGING: Rights =
        Rights(Self::INSERT.0 | Self::EXPUNGE.0 | Self::SEEN.0 | Self::WRITE.0 | Self::DELETE.0);
    /// Every flag of a message can be set and cleared.
    pub const FLAGS: Rights = Rights(Self::SEEN.0 | Self::WRITE.0 | Self::DELETE.0);
    /// What removes a message: MOVE from a mailbox needs what STORE and EXPUNGE need (RFC 6851 section 4.2).
    pub const REMOVING: Rights = Rights(Self::DELETE.0 | Self::EXPUNGE.0);

    /// Each right with its letter, in the order in which they are written.
    pub const LETTERS: [(Rights, char); 11] = [
        (Rights::LOOKUP, 'l'),
        (Rights::READ, 'r'),
        (Rights::SEEN, 's'),
        (Rights::WRITE, 'w'),
        (Rights::INSERT, 'i'),
        (Rights::POST, 'p'),
        (Rights::CREATE, 'k'),
        (Rights::DELETE_MAILBOX, 'x'),
        (Rights::DELETE, 't'),
        (Rights::EXPUNGE, 'e'),
        (Rights::ADMINISTER, 'a'),
    ];

    /// The obsolete rights of RFC 2086 with what they stand for here (RFC 4314 section 2.1.1).
    const OBSOLETE: [(Rights, char); 2] =
        [(Rights(Self::CREATE.0 | Self::DELETE_MAILBOX.0), 'c'), (Rights(Self::DELETE.0 | Self::EXPUNGE.0), 'd')];

    /// Whether all of these are in it.
    pub fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of these is in it.
    pub fn has_any(self, other: Rights) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    pub const fn union(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    /// What is in both.
    pub const fn among(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }

    /// Without these.
    pub const fn without(self, other: Rights) -> Rights {
        Rights(self.0 & !other.0)
    }

    /// As a row keeps it.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// From a row; bits that mean nothing are left out.
    pub fn from_bits(bits: u16) -> Rights {
        Rights(bits).among(Rights::ALL)
    }

    /// The set that these letters name; `None` when one is no right (capitals are none, RFC 4314 section 3.1).
    pub fn parse(letters: &str) -> Option<Rights> {
        letters.chars().try_fold(Rights::NONE, |set, letter| {
            let mut known = Rights::LETTERS.iter().chain(&Rights::OBSOLETE);
            known.find(|(_, known)| *known == letter).map(|(right, _)| set.union(*right))
        })
    }

    /// Their letters, for MYRIGHTS and ACL: an obsolete right is told with any of its members (RFC 4314 section 2.1.1).
    pub fn letters(self) -> String {
        let own = Rights::LETTERS.iter().filter(|(right, _)| self.contains(*right));
        let obsolete = Rights::OBSOLETE.iter().filter(|(members, _)| self.has_any(*members));
        own.chain(obsolete).map(|(_, letter)| letter).collect()
    }

    /// Their letters without the obsolete ones: what [`Rights::parse`] gives back exactly.
    pub fn plain_letters(self) -> String {
        Rights::LETTERS.iter().filter(|(right, _)| self.contains(*right)).map(|(_, letter)| letter).collect()
    }

    /// The system flags that may be set and cleared (RFC 4314 section 4, "Changing flags").
    pub fn system_flags(self) -> SystemFlags {
        let may = |flag: SystemFlags| match flag {
            SystemFlags::SEEN => self.contains(Rights::SEEN),
            SystemFlags::DELETED => self.contains(Rights::DELETE),
            _ => self.contains(Rights::WRITE),
        };
        let allowed = SystemFlags::ALL.iter().map(|(flag, _)| *flag).filter(|flag| may(*flag));
        allowed.fold(SystemFlags::default(), SystemFlags::union)
    }

    /// These flags as far as they may be set.
    pub fn allowed(self, flags: Flags) -> Flags {
        let system = flags.system.among(self.system_flags());
        let keywords = if self.contains(Rights::WRITE) { flags.keywords } else { Vec::new() };
        Flags { system, keywords }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_return() {
        assert_eq!(Rights::ALL.letters(), "lrswipkxteacd");
        assert_eq!(Rights::LOOKING.letters(), "lr");
        assert_eq!(Rights::NONE.letters(), "");
        assert_eq!(Rights::parse("lrx").map(Rights::letters).as_deref(), Some("lrxc"));
        for bits in 0..1 << 11 {
            let set = Rights::from_bits(bits);
            assert_eq!(Rights::parse(&set.plain_letters()), Some(set));
            assert_eq!(Rights::from_bits(set.bits()), set);
        }
    }

    /// RFC 4314 section 2.1.1.
    #[test]
    fn obsolete_rights_stand_for_their_members() {
        assert_eq!(Rights::parse("cd").map(Rights::plain_letters).as_deref(), Some("kxte"));
        assert_eq!(Rights::parse("te"), Rights::parse("d"));
        for unknown in ["q", "L", "lrQ", "0", " ", "é"] {
            assert_eq!(Rights::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn flags_as_far_as_allowed() {
        let flags = Flags {
            system: SystemFlags(SystemFlags::SEEN.0 | SystemFlags::DELETED.0 | SystemFlags::DRAFT.0),
            keywords: vec!["$Forwarded".into()],
        };
        let allowed = |letters: &str| Rights::parse(letters).unwrap_or_default().allowed(flags.clone());
        assert_eq!(allowed("lr"), Flags::default());
        assert_eq!(allowed("s"), Flags { system: SystemFlags::SEEN, keywords: Vec::new() });
        assert_eq!(allowed("t"), Flags { system: SystemFlags::DELETED, keywords: Vec::new() });
        assert_eq!(allowed("w"), Flags { system: SystemFlags::DRAFT, keywords: vec!["$Forwarded".into()] });
        assert_eq!(allowed("swt"), flags);
    }
}
