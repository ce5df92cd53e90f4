//! The certificate, for TLSA records.

use crate::limits::CERTIFICATE_FILE_BYTES_MAX;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The first certificate in a file. `None`: there is none that can be read, which other commands complain about.
pub fn read(path: &Path) -> Option<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(path).and_then(|file| file.take(CERTIFICATE_FILE_BYTES_MAX).read_to_end(&mut pem)).ok()?;
    CertificateDer::from_pem_slice(&pem).ok().map(|certificate| certificate.to_vec())
}
