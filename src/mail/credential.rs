//! Passwords as SCRAM-SHA-256 verifiers (RFC 5802 section 3, RFC 7677).

use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use subtle::ConstantTimeEq;

/// What the server keeps instead of a password. Debug output hides the keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// 16 random bytes.
    pub salt: [u8; 16],
    /// PBKDF2 iterations, at least 4096 (RFC 7677 section 4).
    pub iterations: u32,
    /// H(ClientKey).
    pub stored_key: [u8; 32],
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: [u8; 32],
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier(iterations {})", self.iterations)
    }
}

impl Verifier {
    /// Makes the verifier of a password. Costs `iterations` HMACs of CPU time; an iteration count of 0 counts as 1.
    pub fn new(password: &str, salt: [u8; 16], iterations: u32) -> Verifier {
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let mut salted = [0u8; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
        let keyed = |name: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), name);
        let mut stored_key = [0u8; 32];
        stored_key.copy_from_slice(digest::digest(&digest::SHA256, keyed(b"Client Key").as_ref()).as_ref());
        let mut server_key = [0u8; 32];
        server_key.copy_from_slice(keyed(b"Server Key").as_ref());
        Verifier { salt, iterations: rounds.get(), stored_key, server_key }
    }

    /// Whether this is the password, compared in constant time. Costs as much as [`Verifier::new`].
    pub fn matches(&self, password: &str) -> bool {
        let given = Verifier::new(password, self.salt, self.iterations);
        given.stored_key.ct_eq(&self.stored_key).into()
    }
}
