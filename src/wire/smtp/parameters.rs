//! What an envelope says beside its addresses: the parameters of MAIL and RCPT that travel with a message.
//!
//! Values only, kept with a queued message until it has been relayed; that nothing was said is the default of each. Who
//! parses and writes them sees to their syntax.

use super::{Body, Hold};

/// What MAIL says beside the reverse path.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MailParameters {
    /// ENVID, decoded from xtext: at most [`crate::limits::ENVELOPE_ID_BYTES_MAX`] (RFC 3461 section 4.4).
    pub envelope_id: Option<String>,
    /// RET: whether a report of failure shows the whole message (`FULL`) or its header (`HDRS`) (RFC 3461 section 4.3).
    pub return_full: Option<bool>,
    /// SMTPUTF8: addresses or header fields may hold UTF-8 (RFC 6531 section 3.4).
    pub smtp_utf8: bool,
    /// BODY (RFC 6152, RFC 3030).
    pub body: Body,
    /// REQUIRETLS (RFC 8689 section 4).
    pub require_tls: bool,
    /// The message is to arrive whatever is wrong with TLS: `TLS-Required: No` stands in its header (RFC 8689 section 5), or it
    /// is a report about just that (RFC 8460 section 3). Said by no command.
    pub tls_optional: bool,
    /// HOLDFOR or HOLDUNTIL (RFC 4865 section 3).
    pub hold: Option<Hold>,
}

/// What RCPT says beside the forward path.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RcptParameters {
    /// NOTIFY.
    pub notify: Notify,
    /// ORCPT, `addr-type;` and the address decoded from xtext: at most
    /// [`crate::limits::ORIGINAL_RECIPIENT_BYTES_MAX`] (RFC 3461 section 4.2, RFC 6533 section 3).
    pub original: Option<String>,
}

/// NOTIFY (RFC 3461 section 4.1): which reports the sender asks for. The default is that nothing was asked; `NEVER` stands
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Notify(pub u8);

impl Notify {
    /// `NEVER`
    pub const NEVER: Notify = Notify(1);
    /// `SUCCESS`
    pub const SUCCESS: Notify = Notify(2);
    /// `FAILURE`
    pub const FAILURE: Notify = Notify(4);
    /// `DELAY`
    pub const DELAY: Notify = Notify(8);

    /// Whether all of `other` are asked for.
    pub fn contains(self, other: Notify) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is asked for where an address of ours sends its mail on to: who asked about that address hears nothing of success at
    /// others (RFC 3461 section 5.2.7.3).
    pub fn sent_on(self) -> Notify {
        match self.0 & !Notify::SUCCESS.0 {
            0 if self.contains(Notify::SUCCESS) => Notify::NEVER,
            rest => Notify(rest),
        }
    }

    /// Whether it is one that the grammar allows.
    pub fn is_well_formed(self) -> bool {
        self.0 < 16 && (self == Notify::NEVER || !self.contains(Notify::NEVER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_stands_alone() {
        assert!(Notify::default().is_well_formed() && Notify::NEVER.is_well_formed() && Notify(14).is_well_formed());
        assert_eq!([0, 1, 2, 6, 12].map(|asked| Notify(asked).sent_on().0), [0, 1, 1, 4, 12]);
        assert!(!Notify(3).is_well_formed() && !Notify(16).is_well_formed());
        assert!(Notify(6).contains(Notify::FAILURE) && !Notify(6).contains(Notify::DELAY));
    }
}
