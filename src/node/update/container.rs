//! An update as one file: who signed it, and its manifest.
//!
//! Receives a reader; hands on the manifest, once its signature is right, with the reader where the contents begin. Nothing that is
//! not signed is looked at: the size of the manifest is bounded before it is read, and its signature is checked before it is parsed.
//!
//! | bytes | what |
//! | --- | --- |
//! | 32 | `hauspost-update-1 `, the size of the manifest in 13 decimal digits, LF |
//! | so many | the manifest ([`super::manifest`]) |
//! | 64 | Ed25519 signature of the manifest (RFC 8032) |
//! | the rest | the files that the manifest names, in its order, without anything between or behind them |

use super::manifest::Manifest;
use crate::limits::UPDATE_MANIFEST_BYTES_MAX;
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use std::io::{ErrorKind, Read};

/// Bytes of the first line.
pub const HEAD_BYTES: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;
const MAGIC: &str = "hauspost-update-1 ";
/// SubjectPublicKeyInfo of Ed25519 up to the key (RFC 8410 section 4).
const SPKI_START: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const KEY_BYTES: usize = 32;

/// The key of whoever makes updates for this system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateKey([u8; KEY_BYTES]);

impl UpdateKey {
    /// From PEM, as `openssl pkey -pubout` writes it. `None`: it is no Ed25519 key.
    pub fn parse(pem: &[u8]) -> Option<UpdateKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
        let key = der.strip_prefix(&SPKI_START)?;
        Some(UpdateKey(key.try_into().ok()?))
    }

    fn has_signed(&self, manifest: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(manifest, signature).is_ok()
    }
}

/// What stands before the contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Signed.
    pub manifest: Manifest,
    /// Bytes of the whole file.
    pub total_bytes: u64,
}

/// Reads the beginning of an update.
///
/// # Errors
/// What is wrong with it, for people.
pub fn open(from: &mut impl Read, key: &UpdateKey) -> Result<Opening, String> {
    let mut head = [0; HEAD_BYTES];
    read(from, &mut head)?;
    let length = std::str::from_utf8(&head).ok().and_then(|head| head.strip_prefix(MAGIC)?.strip_suffix('\n'));
    let length = length.filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()));
    let length: usize = length.and_then(|length| length.parse().ok()).ok_or("it is no update of Hauspost")?;
    if length > UPDATE_MANIFEST_BYTES_MAX {
        return Err("its manifest is too long".into());
    }
    let (mut manifest, mut signature) = (vec![0; length], [0; SIGNATURE_BYTES]);
    read(from, &mut manifest)?;
    read(from, &mut signature)?;
    if !key.has_signed(&manifest, &signature) {
        return Err("its signature is not that of whoever makes updates for this system".into());
    }
    let text = std::str::from_utf8(&manifest).map_err(|_| "its manifest is not UTF-8")?;
    let manifest = Manifest::parse(text)?;
    let before = u64::try_from(HEAD_BYTES + length + SIGNATURE_BYTES).unwrap_or(u64::MAX);
    Ok(Opening { total_bytes: before.saturating_add(manifest.bytes()), manifest })
}

/// Fills the buffer.
///
/// # Errors
/// The file ends before, or cannot be read.
pub fn read(from: &mut impl Read, into: &mut [u8]) -> Result<(), String> {
    from.read_exact(into).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => format!("it cannot be read: {e}"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::made_for_tests::{MANIFEST, pack, public_pem, signer};
    use super::*;

    fn opened(bytes: &[u8]) -> Result<Opening, String> {
        let key = UpdateKey::parse(public_pem(&signer(1)).as_bytes()).unwrap();
        open(&mut &bytes[..], &key)
    }

    #[test]
    fn what_is_signed_is_opened() {
        let bytes = pack(&signer(1), MANIFEST, b"");
        let opening = opened(&bytes).unwrap();
        assert_eq!(opening.manifest, Manifest::parse(MANIFEST).unwrap());
        assert_eq!(opening.total_bytes, bytes.len() as u64 + opening.manifest.bytes());
    }

    #[test]
    fn what_is_forged_cut_or_something_else_is_refused() {
        let good = pack(&signer(1), MANIFEST, b"");
        for length in 0..good.len() {
            assert_eq!(opened(&good[..length]), Err("it is cut off".into()), "{length}");
        }
        // Every bit counts.
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let refusal = opened(&bad).unwrap_err();
            assert!(at >= HEAD_BYTES || !refusal.is_empty());
            assert!(at < HEAD_BYTES || refusal.contains("signature"), "{at}: {refusal}");
        }
        assert!(opened(&pack(&signer(2), MANIFEST, b"")).unwrap_err().contains("signature"));
        assert!(opened(&pack(&signer(1), "board pi\n", b"")).unwrap_err().contains("version"));
        let mut long = format!("{MAGIC}{:013}\n", UPDATE_MANIFEST_BYTES_MAX + 1).into_bytes();
        assert_eq!(long.len(), HEAD_BYTES);
        long.resize(UPDATE_MANIFEST_BYTES_MAX * 2, b'x');
        assert!(opened(&long).unwrap_err().contains("too long"));
        for head in [
            "PK\x03\x04 something else entirely.....",
            "hauspost-update-2 0000000000010\n",
            "hauspost-update-1 +000000000010\n",
        ] {
            assert!(opened(head.as_bytes()).unwrap_err().contains("no update"), "{head}");
        }
    }

    #[test]
    fn keys_are_read_from_pem_and_others_refused() {
        let pem = public_pem(&signer(1));
        assert!(UpdateKey::parse(pem.as_bytes()).is_some());
        let other = pem.replacen("MCowBQYDK2Vw", "MCowBQYDK2Vu", 1);
        for bad in ["", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", &other] {
            assert_eq!(UpdateKey::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
