//! What a certificate says of itself (RFC 5280): names, times, who vouches for it, and its fingerprints.

use super::super::dane::associate;
use crate::wire::date::Timestamp;
use rustls_pki_types::CertificateDer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// DNS names in lower case, IP addresses as text; only of the extension, as RFC 9525 section 2 asks.
    pub names: Vec<String>,
    /// Whose it is, as RFC 4514 writes it.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Valid from here on.
    pub from: Timestamp,
    /// Valid up to here.
    pub until: Timestamp,
    /// SHA-256 of the certificate.
    pub sha256: Vec<u8>,
    /// SHA-256 of its public key with the name of its kind (SubjectPublicKeyInfo): what TLSA 3 1 1 says.
    pub key_sha256: Vec<u8>,
    /// It vouches for others.
    pub is_authority: bool,
}

impl CertificateFacts {
    /// It vouches for itself.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

/// Reads a certificate.
///
/// # Errors
/// A sentence: it is not one.
pub fn read_facts(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, String> {
    let wrong = |error: x509_cert::der::Error| format!("a certificate cannot be read: {error}");
    let read = &Certificate::from_der(certificate).map_err(wrong)?.tbs_certificate;
    let names = match read.get::<SubjectAltName>().map_err(wrong)? {
        Some((_, SubjectAltName(names))) => names.iter().filter_map(name).collect(),
        None => Vec::new(),
    };
    let is_authority = read.get::<BasicConstraints>().map_err(wrong)?.is_some_and(|(_, found)| found.ca);
    let time = |time: &x509_cert::time::Time| {
        Timestamp(i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX))
    };
    let hash = |selector| associate(certificate, selector, 1).ok_or("a certificate cannot be read");
    Ok(CertificateFacts {
        names,
        subject: read.subject.to_string(),
        issuer: read.issuer.to_string(),
        from: time(&read.validity.not_before),
        until: time(&read.validity.not_after),
        sha256: hash(0)?,
        key_sha256: hash(1)?,
        is_authority,
    })
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        GeneralName::IpAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(bytes.as_bytes()).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
            let v6 = <[u8; 16]>::try_from(bytes.as_bytes()).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Whether one of these names of a certificate is this host; `*` stands for one label, the first (RFC 9525 section 6.3).
pub fn covers(names: &[String], host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let same = |name: &str| match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((label, rest))) => !label.is_empty() && parent.eq_ignore_ascii_case(rest),
        (Some(_), None) => false,
        (None, _) => name.eq_ignore_ascii_case(host),
    };
    names.iter().any(|name| same(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::{certificates, self_signed};
    use crate::net::twin::Twin;

    #[test]
    fn a_certificate_tells_its_names_and_times() {
        let clock = Twin::new(1).clock();
        let names = ["mail.home.test", "127.0.0.1", "fd00::1"].map(str::to_owned);
        let own = self_signed(&names, &clock).unwrap();
        let facts = read_facts(&certificates(own.certificate_pem.as_bytes()).unwrap()[0]).unwrap();
        assert_eq!(facts.names, names);
        assert_eq!((facts.subject.as_str(), facts.is_self_issued()), ("CN=mail.home.test", true));
        assert!(!facts.is_authority && facts.from < clock.now() && clock.now() < facts.until);
        assert_eq!((facts.sha256.len(), facts.key_sha256.len()), (32, 32));
        assert!(read_facts(&CertificateDer::from(vec![0x30, 0])).is_err());
    }

    #[test]
    fn a_star_is_one_label() {
        let names = ["mail.home.test", "*.wild.test", "192.0.2.1"].map(str::to_owned);
        for host in ["mail.home.test", "MAIL.Home.test.", "a.wild.test", "192.0.2.1"] {
            assert!(covers(&names, host), "{host}");
        }
        for host in ["home.test", "x.mail.home.test", "wild.test", "a.b.wild.test", ".wild.test", "", "192.0.2.2"] {
            assert!(!covers(&names, host), "{host}");
        }
    }
}
