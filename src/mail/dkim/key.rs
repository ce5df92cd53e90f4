//! The keys that signatures are made with, and what DNS says of them (RFC 6376 section 3.6.1, RFC 8463).
//!
//! Receives a private key as PEM and its selector; hands on signatures and the text of its TXT record. Keys are made elsewhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5, 2048 to 4096 bits.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl Algorithm {
    /// As `a=` has it.
    pub fn tag(self) -> &'static str {
        match self {
            Algorithm::Rsa => "rsa-sha256",
            Algorithm::Ed25519 => "ed25519-sha256",
        }
    }

    /// As `k=` has it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Rsa => "rsa",
            Algorithm::Ed25519 => "ed25519",
        }
    }
}

/// One private key with its selector.
pub struct Key {
    selector: String,
    secret: Secret,
}

enum Secret {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// Never the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {})", self.selector, self.algorithm().name())
    }
}

impl Key {
    /// Reads a private key: PKCS#8, or PKCS#1 for RSA.
    ///
    /// # Errors
    /// A sentence for the owner: what is wrong with the selector or the key.
    pub fn from_pem(selector: &str, pem: &[u8]) -> Result<Key, String> {
        if !is_selector(selector) {
            return Err(format!(
                "{selector:?} is no selector: use small letters, digits and hyphens, at most 63 of them"
            ));
        }
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "there is no private key in PEM form in it")?;
        let secret = match &der {
            PrivateKeyDer::Pkcs8(der) => read_pkcs8(der.secret_pkcs8_der())?,
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map(rsa).map_err(rsa_rejected)?,
            _ => return Err("its key is neither RSA nor Ed25519".to_owned()),
        };
        Ok(Key { selector: selector.to_owned(), secret })
    }

    /// The selector: with `._domainkey.` and the domain behind it, where DNS has the public key.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.secret {
            Secret::Rsa(_) => Algorithm::Rsa,
            Secret::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The public key as `p=` has it before base64: SubjectPublicKeyInfo for RSA, 32 bytes for Ed25519 (RFC 8463 section 4.2).
    pub fn public(&self) -> Vec<u8> {
        match &self.secret {
            Secret::Rsa(pair) => subject_public_key_info(pair.public_key().as_ref()),
            Secret::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// The text of its TXT record.
    pub fn record(&self) -> String {
        format!("v=DKIM1; k={}; p={}", self.algorithm().name(), STANDARD.encode(self.public()))
    }

    /// The signature of these bytes. `random` is there for what ring may do with it; both signatures depend on nothing but key
    /// and bytes. `None`: the key failed.
    pub(super) fn sign(&self, bytes: &[u8], random: &dyn SecureRandom) -> Option<Vec<u8>> {
        match &self.secret {
            Secret::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, random, bytes, &mut signature).ok()?;
                Some(signature)
            }
            // RFC 8463 section 3: what Ed25519 signs is the hash.
            Secret::Ed25519(pair) => {
                let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
                Some(pair.sign(hash.as_ref()).as_ref().to_vec())
            }
        }
    }
}

/// Whether it can be a selector: one label of a host name (RFC 6376 section 3.1 allows several; a file name has one).
pub fn is_selector(text: &str) -> bool {
    let known = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    known && (1..=63).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}

fn rsa(pair: RsaKeyPair) -> Secret {
    Secret::Rsa(Box::new(pair))
}

fn rsa_rejected(why: ring::error::KeyRejected) -> String {
    format!("its RSA key cannot be used ({why}); it has to have 2048 to 4096 bits")
}

fn read_pkcs8(der: &[u8]) -> Result<Secret, String> {
    // OpenSSL leaves the public half out, as the first version of PKCS#8 does.
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return Ok(Secret::Ed25519(pair));
    }
    match RsaKeyPair::from_pkcs8(der) {
        Ok(pair) => Ok(rsa(pair)),
        Err(why) if why.to_string() == "WrongAlgorithm" => Err("its key is neither RSA nor Ed25519".to_owned()),
        Err(why) => Err(rsa_rejected(why)),
    }
}

/// RFC 5280 section 4.1: the RSAPublicKey of RFC 3279 section 2.3.1 with its algorithm.
fn subject_public_key_info(rsa_public_key: &[u8]) -> Vec<u8> {
    // SEQUENCE { OID 1.2.840.113549.1.1.1, NULL }
    const RSA_ENCRYPTION: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    let bits = encode_der(3, &[&[0], rsa_public_key].concat());
    encode_der(0x30, &[&RSA_ENCRYPTION, bits.as_slice()].concat())
}

/// A DER element of at most 65,535 bytes of content, which keys stay far below.
fn encode_der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let mut out = match (high, low) {
        (0, 0..=127) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend_from_slice(content);
    out
}
