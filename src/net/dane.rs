//! Judges a server's certificates by the TLSA records of its name (RFC 6698, RFC 7671, as RFC 7672 takes them for mail).
//!
//! Receives usable records that DNSSEC has proved, and what the server shows; hands on yes or no. Knows nothing of DNS. What always
//! holds: a certificate that matches no record is refused, whoever has signed it; with DANE-EE names and dates do not matter,
//! with DANE-TA both do.
//!
//! Not here: constraints of a trust anchor other than on names (path length), and names in the subject instead of its alternative
//! names, which no authority issues any more.

use super::tls::take_der;
use crate::limits::{DANE_CHAIN_MAX, DANE_RECORDS_MAX};
use crate::mail::tls_policy::{Dane, Tlsa};
use crate::wire::address::Domain;
use ring::digest::{SHA256, SHA512, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

/// Takes the certificates that a host's TLSA records vouch for.
#[derive(Debug)]
pub(super) struct DaneVerifier {
    records: Vec<Tlsa>,
    /// Names that count with DANE-TA.
    names: Vec<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

/// What the server showed is nothing that its records name.
#[derive(Debug)]
pub(super) struct NoMatch;

impl Display for NoMatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("its certificate is not one that its TLSA records vouch for")
    }
}

impl std::error::Error for NoMatch {}

impl DaneVerifier {
    /// At most [`DANE_RECORDS_MAX`] records are looked at.
    pub fn new(dane: &Dane, provider: Arc<CryptoProvider>) -> DaneVerifier {
        let name = |name: &Domain| ServerName::try_from(name.as_str().to_owned()).ok();
        let names = [&dane.base].into_iter().chain(&dane.names).filter_map(name).collect();
        DaneVerifier { records: strongest(&dane.records), names, provider }
    }

    fn records(&self, usage: u8) -> impl Iterator<Item = &Tlsa> {
        self.records.iter().filter(move |record| record.usage == usage)
    }

    /// RFC 7672 section 3.1.2: a chain to a certificate that a record names, and one of the names.
    fn verify_by_anchor(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let anchors = self.anchors(chain);
        if anchors.is_empty() {
            return Err(no_match());
        }
        let own = ParsedCertificate::try_from(own)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&own, &anchors, chain, now, algorithms)?;
        // RFC 7672 section 3.2.2.
        let mut refused = Err(no_match());
        for name in &self.names {
            match verify_server_name(&own, name) {
                Ok(()) => return Ok(()),
                Err(error) if refused.is_err() => refused = Err(error),
                Err(_) => {}
            }
        }
        refused
    }

    /// The certificates that DANE-TA records name: shown by the server, or whole in the record itself.
    fn anchors(&self, chain: &[CertificateDer<'_>]) -> RootCertStore {
        let mut anchors = RootCertStore::empty();
        let shown = chain.iter().filter(|shown| self.records(2).any(|record| matches(record, shown)));
        let told = self.records(2).filter(|record| record.selector == 0 && record.matching == 0);
        let told = told.map(|record| CertificateDer::from(record.data.as_slice()));
        for anchor in shown.cloned().chain(told) {
            // One that cannot be read is none.
            let _ = anchors.add(anchor.into_owned());
        }
        anchors
    }
}

impl ServerCertVerifier for DaneVerifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // RFC 7672 section 3.1.1: nothing else about the certificate matters.
        if self.records(3).any(|record| matches(record, own)) {
            return Ok(ServerCertVerified::assertion());
        }
        let chain = chain.get(..DANE_CHAIN_MAX).unwrap_or(chain);
        self.verify_by_anchor(own, chain, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn no_match() -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NoMatch))))
}

/// The usable records without those by a weaker digest where there is a stronger one for the same purpose (RFC 7671 section 9).
fn strongest(records: &[Tlsa]) -> Vec<Tlsa> {
    let usable = || records.iter().take(DANE_RECORDS_MAX).filter(|record| record.is_usable());
    let outdone = |weak: &Tlsa| {
        weak.matching == 1
            && usable().any(|other| (other.usage, other.selector, other.matching) == (weak.usage, weak.selector, 2))
    };
    usable().filter(|record| !outdone(record)).cloned().collect()
}

/// Whether a record is about this certificate (RFC 6698 section 2.1).
fn matches(record: &Tlsa, certificate: &[u8]) -> bool {
    associate(certificate, record.selector, record.matching).is_some_and(|data| data == record.data)
}

/// What a record with this selector and matching type says of a certificate.
pub fn associate(certificate: &[u8], selector: u8, matching: u8) -> Option<Vec<u8>> {
    let selected = match selector {
        0 => certificate,
        1 => public_key_info(certificate)?,
        _ => return None,
    };
    match matching {
        0 => Some(selected.to_vec()),
        1 => Some(digest(&SHA256, selected).as_ref().to_vec()),
        2 => Some(digest(&SHA512, selected).as_ref().to_vec()),
        _ => None,
    }
}

/// The SubjectPublicKeyInfo of a certificate, with its tag and length (RFC 5280 section 4.1).
fn public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = take_der(0x30, certificate)?;
    let (fields, _) = take_der(0x30, certificate)?;
    // version [0] (not in version 1), serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
    let fields = take_der(0xa0, fields).map_or(fields, |(_, rest)| rest);
    let (_, mut fields) = take_der(0x02, fields)?;
    for _ in 0..4 {
        (_, fields) = take_der(0x30, fields)?;
    }
    let (_, rest) = take_der(0x30, fields)?;
    fields.get(..fields.len().checked_sub(rest.len())?)
}

#[cfg(test)]
mod tests {
    use super::super::tls::{client_dane, failure_of, server_config};
    use super::super::twin::Twin;
    use super::*;
    use crate::mail::tls_policy::TlsResult;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use std::net::SocketAddr;
    use std::time::Duration;
    use time::OffsetDateTime;

    /// A server's certificate by an authority, and the twin they live in.
    struct Chain {
        twin: Arc<Twin>,
        own: Vec<u8>,
        key: KeyPair,
        authority: Vec<u8>,
    }

    fn chain(name: &str, expired: bool) -> Chain {
        let twin = Twin::new(1);
        let now = OffsetDateTime::from_unix_timestamp(twin.clock().now().seconds()).unwrap();
        let days = time::Duration::days;
        let made = |names: Vec<String>, end: i64| {
            let mut params = CertificateParams::new(names).unwrap();
            params.not_before = now - days(90);
            params.not_after = now + days(end);
            params
        };
        let mut authority = made(vec![], 900);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = made(vec![name.to_owned()], if expired { -1 } else { 90 }).signed_by(&key, &authority).unwrap();
        Chain { twin, own: own.der().to_vec(), key, authority: authority.der().to_vec() }
    }

    fn record(usage: u8, selector: u8, matching: u8, of: &[u8]) -> Tlsa {
        Tlsa { usage, selector, matching, data: associate(of, selector, matching).unwrap() }
    }

    impl Chain {
        /// A real handshake with a server that shows its own certificate and perhaps the authority's.
        fn meets(&self, records: &[Tlsa], names: &[&str], shows_authority: bool) -> Result<(), TlsResult> {
            let pem = |der: &[u8]| {
                let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
                format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
            };
            let shown = pem(&self.own) + &if shows_authority { pem(&self.authority) } else { String::new() };
            let clock = self.twin.clock();
            let server = server_config(shown.as_bytes(), self.key.serialize_pem().as_bytes(), &clock).unwrap();
            let names = names.iter().map(|name| Domain::new(name)).collect();
            let dane = Dane { base: Domain::new("mx.far.test"), names, records: records.to_vec() };
            let client = client_dane(&dane, &clock).unwrap();
            let ends = SocketAddr::from(([127, 0, 0, 1], 25));
            let (near, far) = self.twin.pair(ends, ends);
            let wait = Duration::from_secs(10);
            let (near, _) = smol::block_on(smol::future::zip(
                near.start_tls(client, "mx.far.test", wait),
                far.accept_tls(server, wait),
            ));
            near.map(|_| ()).map_err(|error| failure_of(&error))
        }
    }

    #[test]
    fn the_servers_own_certificate_by_every_selector_and_matching() {
        let chain = chain("other.test", false);
        let other = chain_of_another();
        for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            let right = record(3, selector, matching, &chain.own);
            assert_eq!(chain.meets(std::slice::from_ref(&right), &[], false), Ok(()), "{right}");
            let wrong = record(3, selector, matching, &other);
            assert_eq!(chain.meets(std::slice::from_ref(&wrong), &[], true), Err(TlsResult::TlsaInvalid), "{wrong}");
            assert_eq!(chain.meets(&[wrong, right], &[], false), Ok(()));
        }
        // The authority's certificate is not the server's own.
        assert_eq!(chain.meets(&[record(3, 0, 1, &chain.authority)], &[], true), Err(TlsResult::TlsaInvalid));
    }

    fn chain_of_another() -> Vec<u8> {
        chain("mx.far.test", false).own
    }

    #[test]
    fn an_expired_certificate_of_its_own_will_do_and_one_by_an_anchor_will_not() {
        let chain = chain("mx.far.test", true);
        assert_eq!(chain.meets(&[record(3, 1, 1, &chain.own)], &[], false), Ok(()));
        let anchored = chain.meets(&[record(2, 0, 1, &chain.authority)], &[], true);
        assert_eq!(anchored, Err(TlsResult::CertificateExpired));
    }

    #[test]
    fn an_anchor_by_every_selector_and_matching() {
        let chain = chain("mx.far.test", false);
        for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            let right = record(2, selector, matching, &chain.authority);
            assert_eq!(chain.meets(std::slice::from_ref(&right), &[], true), Ok(()), "{right}");
            // Not shown, it is known only where the record holds all of it.
            let hidden = if (selector, matching) == (0, 0) { Ok(()) } else { Err(TlsResult::TlsaInvalid) };
            assert_eq!(chain.meets(std::slice::from_ref(&right), &[], false), hidden, "{right}");
            let wrong = record(2, selector, matching, &chain_of_another());
            assert!(chain.meets(&[wrong], &[], true).is_err());
        }
        // The server's own certificate is no anchor.
        assert_eq!(chain.meets(&[record(2, 0, 1, &chain.own)], &[], true), Err(TlsResult::TlsaInvalid));
    }

    #[test]
    fn an_anchor_wants_the_right_name() {
        let chain = chain("far.test", false);
        let anchor = [record(2, 0, 1, &chain.authority)];
        assert_eq!(chain.meets(&anchor, &[], true), Err(TlsResult::CertificateHostMismatch));
        assert_eq!(chain.meets(&anchor, &["other.test"], true), Err(TlsResult::CertificateHostMismatch));
        assert_eq!(chain.meets(&anchor, &["other.test", "far.test"], true), Ok(()));
    }

    #[test]
    fn an_anchor_that_did_not_sign_is_none() {
        let (chain, other) = (chain("mx.far.test", false), chain("mx.far.test", false));
        // The stranger's authority, whole in the record, has signed nothing here.
        assert_eq!(chain.meets(&[record(2, 0, 0, &other.authority)], &[], true), Err(TlsResult::CertificateNotTrusted));
    }

    #[test]
    fn the_stronger_digest_counts() {
        let (chain, other) = (chain("mx.far.test", false), chain_of_another());
        let weak = record(3, 1, 1, &chain.own);
        assert_eq!(chain.meets(&[weak.clone(), record(3, 1, 2, &other)], &[], false), Err(TlsResult::TlsaInvalid));
        // For another purpose it does not.
        assert_eq!(chain.meets(&[weak, record(3, 0, 2, &other)], &[], false), Ok(()));
    }

    #[test]
    fn nothing_is_too_strange_to_be_looked_at() {
        let own = chain_of_another();
        for cut in 0..own.len().min(400) {
            assert!(public_key_info(&own[..cut]).is_none());
        }
        for bytes in [&[][..], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 4, 0x30, 2, 0xa0, 0]] {
            assert!(public_key_info(bytes).is_none());
            assert!(!matches(&Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0; 32] }, bytes));
        }
    }
}
