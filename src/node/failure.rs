//! Why the program ends: one sentence for the owner and an exit code for scripts.

use std::fmt;

/// Why the program ends without having done what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// One sentence for stderr.
    pub sentence: String,
}

/// Exit codes, after sysexits.h, which mail programs have used for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was looked at is not sound, not all of it could be saved, or something that was named is not there.
    Findings = 1,
    /// The arguments are wrong (EX_USAGE).
    Usage = 64,
    /// A port is in use (EX_UNAVAILABLE).
    InUse = 69,
    /// The system refused something: memory, threads, users, files (EX_OSERR).
    System = 71,
    /// Something would be overwritten (EX_CANTCREAT).
    CannotCreate = 73,
    /// The store failed, or another process has it open (EX_IOERR).
    Store = 74,
    /// The configuration or a certificate is wrong (EX_CONFIG).
    Configuration = 78,
}

impl Exit {
    /// By its code, as another build of this program gave it.
    pub fn of(code: u8) -> Exit {
        let known = [
            Exit::Findings,
            Exit::Usage,
            Exit::InUse,
            Exit::System,
            Exit::CannotCreate,
            Exit::Store,
            Exit::Configuration,
        ];
        known.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Exit::System)
    }
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(exit: Exit, sentence: impl Into<String>) -> Failure {
        Failure { exit, sentence: sentence.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}
