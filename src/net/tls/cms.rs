//! Signed content: CMS SignedData (RFC 5652 section 5), around what a device is to believe is from this node.
//!
//! Receives content and what it is signed with; hands on DER. One signer, SHA-256, certificates put in, no signing time: who reads it has
//! a better clock.

use super::take_der;
use crate::order;
use ring::digest;
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OCTET_STRING: u8 = 0x04;
/// `[0]`, constructed.
const CONTEXT_0: u8 = 0xa0;

/// `INTEGER 1`: the version of SignedData with content of the type `data`, and of a SignerInfo by issuer and serial number.
const VERSION: &[u8] = &[0x02, 0x01, 0x01];
/// 1.2.840.113549.1.7.1, 1.2.840.113549.1.7.2 (RFC 5652 sections 4 and 5.1)
const ID_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ID_SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.9.3, 1.2.840.113549.1.9.4 (sections 11.1 and 11.2)
const ID_CONTENT_TYPE: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const ID_MESSAGE_DIGEST: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
/// 2.16.840.1.101.3.4.2.1 (RFC 5754 section 2.2)
const ID_SHA256: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5754 section 3.3)
const ID_ECDSA_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// sha256WithRSAEncryption with its NULL, 1.2.840.113549.1.1.11 (RFC 5754 section 3.2)
const ID_RSA_SHA256: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];

/// The content, signed by the key of a certificate, which goes with it together with its chain and these others.
///
/// `None`: the key is neither ECDSA with P-256 nor RSA, or the certificate is odd.
pub fn sign(content: &[u8], key: &CertifiedKey, others: &[CertificateDer<'_>]) -> Option<Vec<u8>> {
    let signer = key.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PKCS1_SHA256])?;
    let algorithm = match signer.scheme() {
        SignatureScheme::ECDSA_NISTP256_SHA256 => ID_ECDSA_SHA256,
        _ => ID_RSA_SHA256,
    };
    let attribute = |kind: &[u8], value: &[u8]| der(SEQUENCE, &[kind, &der(SET, &[value])]);
    let hash = digest::digest(&digest::SHA256, content);
    // DER sorts the members of a SET by their bytes: the shorter one comes first.
    let attributes = der(
        SET,
        &[&attribute(ID_CONTENT_TYPE, ID_DATA), &attribute(ID_MESSAGE_DIGEST, &der(OCTET_STRING, &[hash.as_ref()]))],
    );
    // Section 5.4: signed as a SET, written as [0].
    let signature = signer.sign(&attributes).ok()?;
    let (signed_attributes, _) = take_der(SET, &attributes)?;
    let own = Certificate::from_der(key.cert.first()?).ok()?.tbs_certificate;
    let issuer_and_serial = der(SEQUENCE, &[&own.issuer.to_der().ok()?, &own.serial_number.to_der().ok()?]);
    let sha256 = der(SEQUENCE, &[ID_SHA256]);
    let signer_info = der(
        SEQUENCE,
        &[
            VERSION,
            &issuer_and_serial,
            &sha256,
            &der(CONTEXT_0, &[signed_attributes]),
            &der(SEQUENCE, &[algorithm]),
            &der(OCTET_STRING, &[&signature]),
        ],
    );
    let mut certificates: Vec<&[u8]> = key.cert.iter().chain(others).map(AsRef::as_ref).collect();
    order::sort(&mut certificates);
    certificates.dedup();
    let signed_data = der(
        SEQUENCE,
        &[
            VERSION,
            &der(SET, &[&sha256]),
            &der(SEQUENCE, &[ID_DATA, &der(CONTEXT_0, &[&der(OCTET_STRING, &[content])])]),
            &der(CONTEXT_0, &certificates),
            &der(SET, &[&signer_info]),
        ],
    );
    Some(der(SEQUENCE, &[ID_SIGNED_DATA, &der(CONTEXT_0, &[&signed_data])]))
}

/// An element with this tag, its content in pieces.
fn der(tag: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let content: usize = pieces.iter().map(|piece| piece.len()).sum();
    let length = content.to_be_bytes();
    let length = length.split_at(length.iter().take_while(|byte| **byte == 0).count()).1;
    let mut element = vec![tag];
    match length {
        [] => element.push(0),
        [short @ ..=0x7f] => element.push(*short),
        long => {
            // At most the eight bytes of a length in memory.
            element.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            element.extend_from_slice(long);
        }
    }
    pieces.iter().for_each(|piece| element.extend_from_slice(piece));
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        for (content, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
        ] {
            let element = der(OCTET_STRING, &[&vec![7; content]]);
            assert_eq!(&element[..head.len()], head);
            assert_eq!(take_der(OCTET_STRING, &element), Some((&vec![7; content][..], &[][..])));
        }
    }
}
