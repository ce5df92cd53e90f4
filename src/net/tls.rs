//! TLS configurations and certificates: for our listeners, for servers we must trust, for servers we need not trust.
//!
//! TLS 1.2 and 1.3 by ring; no early data. Certificates are judged by the clock given, not by the system's.

mod authority;
mod check;
mod cms;
mod facts;
mod server;

use super::Clock;
use super::dane::{DaneVerifier, NoMatch, associate};
use crate::limits::{CERTIFICATE_VALID_DAYS, TLS_CLIENT_SESSIONS_MAX};
use crate::mail::tls_policy::{Dane, TlsResult, Tlsa};
use crate::order;
use ::ring::digest;
pub use authority::{Authority, Names, Serial, pem_block, to_pem};
pub use facts::{CertificateFacts, covers, read_facts};
use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
pub use server::{Identity, Protocol, ServerTls, server_config};
use std::io;
use std::sync::Arc;

/// The hash of the signature on a certificate, SHA-256 where that is weaker (RFC 5929 section 4.1). `None`: the signature has
/// none of its own (Ed25519), or names it where this does not look (RSASSA-PSS).
fn signature_hash(certificate: &[u8]) -> Option<&'static digest::Algorithm> {
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, ... }, ... }
    let (certificate, _) = take_der(0x30, certificate)?;
    let (_, rest) = take_der(0x30, certificate)?;
    let (algorithm, _) = take_der(0x30, rest)?;
    let (name, _) = take_der(0x06, algorithm)?;
    match name {
        // RSA (PKCS #1 v1.5) with MD5, SHA-1, SHA-256, SHA-384, SHA-512
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 4 | 5 | 11] => Some(&digest::SHA256),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 12] => Some(&digest::SHA384),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 13] => Some(&digest::SHA512),
        // ECDSA with SHA-1; with SHA-256, SHA-384, SHA-512
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 1] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 2] => Some(&digest::SHA256),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 3] => Some(&digest::SHA384),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 4] => Some(&digest::SHA512),
        _ => None,
    }
}

/// The content of a DER element with this tag, and what follows it.
pub(super) fn take_der(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length).filter(|_| *found == tag)
}

/// Configuration for servers whose certificate must be good: chain to a public root (or to one in `extra_roots_pem`),
/// right name, right time.
///
/// # Errors
/// A sentence for the owner: the extra roots are not PEM certificates.
pub fn client_verified(extra_roots_pem: Option<&[u8]>, clock: &Clock) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_roots_pem {
        let extra = certificates(pem)?;
        if extra.is_empty() {
            return Err("no certificate found in the file of extra roots".to_owned());
        }
        for root in extra {
            roots.add(root).map_err(|error| format!("an extra root cannot be used: {error}"))?;
        }
    }
    let mut config = client_builder(clock)?.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(TLS_CLIENT_SESSIONS_MAX);
    Ok(Arc::new(config))
}

/// Configuration for opportunistic TLS (RFC 7435): any certificate is taken, because the choice is not between this
/// certificate and a better one but between this session and plain text. Handshake signatures are still checked.
///
/// # Errors
/// A sentence; does not happen with this provider.
pub fn client_any(clock: &Clock) -> Result<Arc<ClientConfig>, String> {
    let verifier = Arc::new(AnyCertificate(provider()));
    let mut config =
        client_builder(clock)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(TLS_CLIENT_SESSIONS_MAX);
    Ok(Arc::new(config))
}

/// Configuration for one server whose certificate its TLSA records must vouch for (RFC 7672).
///
/// # Errors
/// A sentence; does not happen with this provider.
pub fn client_dane(dane: &Dane, clock: &Clock) -> Result<Arc<ClientConfig>, String> {
    let verifier = Arc::new(DaneVerifier::new(dane, provider()));
    let mut config =
        client_builder(clock)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    // It serves one connection.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The TLSA record by which a certificate proves itself (RFC 6698 section 2.1); of several in the PEM text, the first.
///
/// # Errors
/// A sentence: there is no certificate, or no such selector or matching type.
pub fn tlsa_of(certificate_pem: &[u8], usage: u8, selector: u8, matching: u8) -> Result<Tlsa, String> {
    let all = certificates(certificate_pem)?;
    let first = all.first().ok_or("no certificate found")?;
    let data = associate(first, selector, matching).ok_or("no such selector or matching type of TLSA")?;
    Ok(Tlsa { usage, selector, matching, data })
}

/// What a handshake that failed says about the server (RFC 8460 section 4.3.1).
pub fn failure_of(error: &io::Error) -> TlsResult {
    match refused_certificate(error) {
        None => TlsResult::ValidationFailure,
        Some(reason) => kind_of(reason),
    }
}

/// Why the server's certificate was refused, in plain words, when that was it: a clause after the server's name.
pub fn refusal_of(error: &io::Error) -> Option<String> {
    let reason = refused_certificate(error)?;
    Some(match kind_of(reason) {
        TlsResult::CertificateExpired => "its certificate has expired".to_owned(),
        TlsResult::CertificateHostMismatch => "its certificate is for another name".to_owned(),
        TlsResult::TlsaInvalid => NoMatch.to_string(),
        _ if *reason == CertificateError::UnknownIssuer => {
            "its certificate is by no authority that is known here".to_owned()
        }
        _ => format!("its certificate is not valid ({reason})"),
    })
}

fn refused_certificate(error: &io::Error) -> Option<&CertificateError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(reason) => Some(reason),
        _ => None,
    }
}

fn kind_of(reason: &CertificateError) -> TlsResult {
    match reason {
        CertificateError::Other(other) if other.0.is::<NoMatch>() => TlsResult::TlsaInvalid,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsResult::CertificateExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsResult::CertificateHostMismatch
        }
        _ => TlsResult::CertificateNotTrusted,
    }
}

/// A certificate and its private key, as PEM text.
pub struct SelfSigned {
    /// The certificate, to be shown to anybody.
    pub certificate_pem: String,
    /// The key: readable by the owner alone.
    pub key_pem: String,
}

/// Makes a self-signed certificate with a fresh ECDSA P-256 key for these names and IP addresses (at least one).
///
/// It is back-dated, because the clock of a board without a battery may be behind when it is made, and valid no longer
/// than Apple's devices accept.
///
/// # Errors
/// A sentence for the owner: a name cannot stand in a certificate.
pub fn self_signed(names: &[String], clock: &Clock) -> Result<SelfSigned, String> {
    let first = names.first().ok_or("a certificate needs at least one name")?;
    let mut params = CertificateParams::new(names).map_err(|error| format!("a name cannot be used: {error}"))?;
    (params.not_before, params.not_after) = authority::validity(clock.now(), CERTIFICATE_VALID_DAYS)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, first.as_str());
    params.use_authority_key_identifier_extension = false;
    params.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let key = authority::make_key()?;
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    Ok(SelfSigned { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

/// The certificates of a PEM text, in order.
///
/// # Errors
/// A sentence: the text has a damaged block.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("a certificate cannot be read: {error}"))
}

fn client_builder(clock: &Clock) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

/// ring, with ChaCha20 first on machines that would have to compute AES in software (Raspberry Pi 3 and 4 among them).
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if !has_aes_hardware() {
        order::sort_by_key(&mut provider.cipher_suites, |suite| !format!("{:?}", suite.suite()).contains("CHACHA20"));
        // A stable sort: TLS 1.3 stays before 1.2 within each kind.
    }
    Arc::new(provider)
}

fn has_aes_hardware() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

/// Accepts every certificate; checks that the peer holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::twin::Twin;
    use crate::net::{Stream, TlsFacts};
    use crate::wire::date::Timestamp;
    use std::net::SocketAddr;
    use std::time::Duration;

    const WAIT: Duration = Duration::from_secs(10);

    fn names() -> Vec<String> {
        vec!["mail.home.test".into(), "127.0.0.1".into()]
    }

    fn handshake(
        twin: &Arc<Twin>,
        server: &Arc<ServerTls>,
        client: &Arc<ClientConfig>,
        host: &str,
    ) -> (io::Result<Stream>, io::Result<Stream>) {
        let ends = [SocketAddr::from(([127, 0, 0, 1], 50000)), SocketAddr::from(([127, 0, 0, 1], 993))];
        let (near, far) = twin.pair(ends[0], ends[1]);
        smol::block_on(smol::future::zip(
            near.start_tls(client.clone(), host, WAIT),
            far.accept_tls(server.clone(), WAIT),
        ))
    }

    #[test]
    fn a_verified_client_and_our_server_talk_and_tell_what_they_agreed_on() {
        let twin = Twin::new(1);
        let own = self_signed(&names(), &twin.clock()).unwrap();
        let server = server_config(own.certificate_pem.as_bytes(), own.key_pem.as_bytes(), &twin.clock()).unwrap();
        let client = client_verified(Some(own.certificate_pem.as_bytes()), &twin.clock()).unwrap();
        let (near, far) = handshake(&twin, &server, &client, "mail.home.test");
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        let TlsFacts { version, cipher, server_name } = far.tls().unwrap();
        assert_eq!((version, server_name.as_deref()), ("TLSv1.3", Some("mail.home.test")));
        assert!(cipher.starts_with("TLS13_"), "{cipher}");
        let long = vec![b'x'; 100_000];
        let write = async {
            near.write_all(&long, WAIT).await.unwrap();
            near.close(WAIT).await.unwrap();
        };
        let read = async {
            let (mut got, mut buffer) = (0, [0u8; 4096]);
            loop {
                match far.read(&mut buffer, WAIT).await.unwrap() {
                    0 => return got,
                    read => got += read,
                }
            }
        };
        assert_eq!(smol::block_on(smol::future::zip(write, read)).1, long.len());
        // By address, too.
        let (near, _far) = handshake(&twin, &server, &client, "127.0.0.1");
        assert!(near.is_ok());
    }

    #[test]
    fn both_ends_know_the_channel_by_the_same_data() {
        let twin = Twin::new(1);
        let own = self_signed(&names(), &twin.clock()).unwrap();
        let server = server_config(own.certificate_pem.as_bytes(), own.key_pem.as_bytes(), &twin.clock()).unwrap();
        let client = client_any(&twin.clock()).unwrap();
        let (near, far) = handshake(&twin, &server, &client, "mail.home.test");
        let (near, far) = (near.unwrap().channel_bindings(), far.unwrap().channel_bindings());
        assert!(near.exporter.is_some());
        assert_eq!(near.exporter, far.exporter);
        let certificate = certificates(own.certificate_pem.as_bytes()).unwrap().remove(0);
        assert_eq!(far.end_point.as_deref(), Some(digest::digest(&digest::SHA256, &certificate).as_ref()));
        let (other, _) = handshake(&twin, &server, &client, "mail.home.test");
        assert_ne!(other.unwrap().channel_bindings().exporter, near.exporter);
    }

    #[test]
    fn no_certificate_is_too_strange_to_be_looked_at() {
        for bytes in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0], &[0x30, 2, 0x30, 0]] {
            assert!(signature_hash(bytes).is_none());
        }
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = CertificateParams::new(names()).unwrap().self_signed(&key).unwrap();
        assert!(signature_hash(certificate.der()).is_none());
    }

    #[test]
    fn a_verified_client_refuses_strangers_wrong_names_and_wrong_times() {
        let twin = Twin::new(1);
        let own = self_signed(&names(), &twin.clock()).unwrap();
        let server = server_config(own.certificate_pem.as_bytes(), own.key_pem.as_bytes(), &twin.clock()).unwrap();
        let trusting = client_verified(Some(own.certificate_pem.as_bytes()), &twin.clock()).unwrap();
        let strict = client_verified(None, &twin.clock()).unwrap();
        let refused = |client: &Arc<ClientConfig>, host: &str| handshake(&twin, &server, client, host).0.is_err();
        assert!(refused(&strict, "mail.home.test"));
        assert!(refused(&trusting, "other.home.test"));
        assert!(!refused(&trusting, "mail.home.test"));
        twin.hand().set_wall(Timestamp(0));
        assert!(refused(&trusting, "mail.home.test"));
        let any = client_any(&twin.clock()).unwrap();
        assert!(!refused(&any, "other.home.test"));
    }

    #[test]
    fn a_session_is_resumed_without_memory_on_the_server() {
        let twin = Twin::new(1);
        let own = self_signed(&names(), &twin.clock()).unwrap();
        let server = server_config(own.certificate_pem.as_bytes(), own.key_pem.as_bytes(), &twin.clock()).unwrap();
        let client = client_any(&twin.clock()).unwrap();
        let mut resumed = Vec::new();
        for _ in 0..2 {
            let (near, far) = handshake(&twin, &server, &client, "mail.home.test");
            let (mut near, mut far) = (near.unwrap(), far.unwrap());
            // The ticket comes with the first bytes read.
            smol::block_on(far.write_all(b"x", WAIT)).unwrap();
            smol::block_on(near.read(&mut [0], WAIT)).unwrap();
            resumed.push(near.resumed());
        }
        assert_eq!(resumed, [false, true]);
    }

    #[test]
    fn says_what_is_wrong_with_certificate_files() {
        let clock = Twin::new(1).clock();
        let (own, other) = (self_signed(&names(), &clock).unwrap(), self_signed(&names(), &clock).unwrap());
        let (certificate, key) = (own.certificate_pem.as_bytes(), own.key_pem.as_bytes());
        let sentence = |certificate: &[u8], key: &[u8]| server_config(certificate, key, &clock).err().unwrap();
        assert!(sentence(b"", key).contains("no certificate found"));
        assert!(sentence(certificate, b"").contains("no private key"));
        assert!(sentence(certificate, other.key_pem.as_bytes()).contains("cannot be used"));
        assert!(self_signed(&[], &clock).is_err());
        assert!(client_verified(Some(b"nothing"), &clock).is_err());
    }

    #[test]
    fn a_peer_that_says_nothing_runs_into_the_deadline() {
        let twin = Twin::new(1);
        let own = self_signed(&names(), &twin.clock()).unwrap();
        let server = server_config(own.certificate_pem.as_bytes(), own.key_pem.as_bytes(), &twin.clock()).unwrap();
        let ends = SocketAddr::from(([127, 0, 0, 1], 993));
        let (_near, far) = twin.pair(ends, ends);
        let mut accepting = std::pin::pin!(far.accept_tls(server, WAIT));
        assert!(smol::block_on(smol::future::poll_once(&mut accepting)).is_none());
        twin.hand().advance(WAIT);
        assert_eq!(smol::block_on(accepting).err().unwrap().kind(), io::ErrorKind::TimedOut);
    }
}
