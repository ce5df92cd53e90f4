//! Passwords as SCRAM-SHA-256 verifiers (RFC 5802 section 3, RFC 7677).

use crate::wire::sasl::{Keys, Secret, prepare};
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
    /// Makes the verifier of a password, in its prepared form (RFC 4013), which is what SCRAM clients hash; a password that
    /// cannot be prepared is taken as it is, for PLAIN and LOGIN. Costs `iterations` HMACs of CPU time; an iteration count of 0 counts as 1.
    pub fn new(password: &str, salt: [u8; 16], iterations: u32) -> Verifier {
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let prepared = prepare(password);
        let password = prepared.as_deref().unwrap_or(password);
        let mut salted = [0u8; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
        let keyed = |name: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), name);
        let mut stored_key = [0u8; 32];
        stored_key.copy_from_slice(digest::digest(&digest::SHA256, keyed(b"Client Key").as_ref()).as_ref());
        let mut server_key = [0u8; 32];
        server_key.copy_from_slice(keyed(b"Server Key").as_ref());
        Verifier { salt, iterations: rounds.get(), stored_key, server_key }
    }

    /// A hash of a password, in its prepared form, that costs next to nothing. Only for passwords of 100 random bits and more, which
    /// nobody finds by trying however fast it goes.
    pub fn quick_hash(password: &str, salt: &[u8; 16]) -> [u8; 32] {
        let prepared = prepare(password);
        let password = prepared.as_deref().unwrap_or(password);
        let mut hash = [0u8; 32];
        hash.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), password.as_bytes()).as_ref());
        hash
    }

    /// What a SCRAM exchange needs of it.
    pub fn secret(&self) -> Secret {
        Secret { salt: self.salt, iterations: self.iterations, keys: vec![self.keys()] }
    }

    /// What proofs of the password are judged by.
    pub fn keys(&self) -> Keys {
        Keys { stored_key: self.stored_key, server_key: self.server_key }
    }

    /// Whether one exchange can be about this password and that of the other.
    pub fn hashes_like(&self, other: &Verifier) -> bool {
        (self.salt, self.iterations) == (other.salt, other.iterations)
    }

    /// What a SCRAM exchange gets for a login that there is not: a salt that is always the same for this name, which is in lower
    /// case, as long as the verifier stands, and keys that no proof fits. To a client it looks like [`Verifier::secret`].
    pub fn decoy(&self, name: &str) -> Secret {
        let mut salt = [0u8; 16];
        salt.copy_from_slice(self.about(b"decoy salt ", name).split_at(16).0);
        Secret { salt, iterations: self.iterations, keys: vec![self.decoy_keys(name)] }
    }

    /// Keys of no password at all.
    pub fn decoy_keys(&self, name: &str) -> Keys {
        Keys { stored_key: self.about(b"decoy stored key ", name), server_key: self.about(b"decoy server key ", name) }
    }

    /// Bytes that nobody can foretell, always the same for this name as long as the verifier stands.
    fn about(&self, what: &[u8], name: &str) -> [u8; 32] {
        let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.server_key));
        signing.update(what);
        signing.update(name.as_bytes());
        let mut bytes = [0u8; 32];
        bytes.copy_from_slice(signing.sign().as_ref());
        bytes
    }

    /// Whether this is the password, compared in constant time. Costs as much as [`Verifier::new`].
    pub fn matches(&self, password: &str) -> bool {
        let given = Verifier::new(password, self.salt, self.iterations);
        given.stored_key.ct_eq(&self.stored_key).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_same_however_it_is_typed() {
        let verifier = Verifier::new("p\u{e4}ss wort", [1; 16], 1);
        assert!(verifier.matches("pa\u{308}ss\u{a0}wort"));
        assert!(!verifier.matches("pass wort"));
        assert!(Verifier::new("tab\there", [1; 16], 1).matches("tab\there"));
    }

    #[test]
    fn a_decoy_is_stable_and_of_its_own() {
        let verifier = Verifier::new("right", [1; 16], 4096);
        assert_eq!(verifier.decoy("nobody"), verifier.decoy("nobody"));
        assert_ne!(verifier.decoy("nobody").salt, verifier.decoy("somebody").salt);
        assert_eq!(verifier.decoy("nobody").iterations, 4096);
        assert_ne!(Verifier::new("new", [2; 16], 4096).decoy("nobody").salt, verifier.decoy("nobody").salt);
    }
}
