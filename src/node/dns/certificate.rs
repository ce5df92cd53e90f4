//! The certificate, for TLSA records.

use crate::limits::CERTIFICATE_FILE_BYTES_MAX;
use crate::node::smarthosts::read_bounded;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;

/// The first certificate in a file. `None`: there is none that can be read, which other commands complain about.
pub fn read(path: &Path) -> Option<Vec<u8>> {
    let pem = read_bounded(path, CERTIFICATE_FILE_BYTES_MAX).ok()?;
    CertificateDer::from_pem_slice(&pem).ok().map(|certificate| certificate.to_vec())
}
