//! Password checks for every protocol: one place, bounded, delayed after failures.

use crate::serve::Context;
use std::net::IpAddr;

/// Remembers recent successes (keyed hashes, so that phones that reconnect cost nothing) and failures per network.
#[derive(Default)]
pub struct Logins {}

/// The answer to a login attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Who it is: the owner's canonical login.
    Welcome(String),
    /// Wrong login or password. The delay has already been served.
    Wrong,
    /// The store could not be asked; may work later.
    Unavailable,
}

impl Logins {
    /// Checks a password. Waits after failures of the same network before it answers.
    pub async fn check(&self, _context: &Context, _peer: IpAddr, _login: &str, _password: &str) -> Verdict {
        unimplemented!()
    }
}
