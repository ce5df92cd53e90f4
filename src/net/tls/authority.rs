//! A node's own small certificate authority (RFC 5280): what the owner's devices are told to trust, once.
//!
//! Receives names and times; hands on certificates. It can vouch for the node's own names and addresses in private networks only
//! (name constraints, section 4.2.1.10): a stolen key opens nothing else to whoever has installed it. Who keeps it and when a
//! certificate is made anew is not known here.

use super::facts::{CertificateFacts, read_facts};
use super::{Identity, certificates};
use crate::limits::{AUTHORITY_VALID_DAYS, CERTIFICATE_BACKDATED_DAYS, CERTIFICATE_NAMES_MAX, CERTIFICATE_VALID_DAYS};
use crate::wire::date::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use time::{Duration, OffsetDateTime};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;

/// Characters of a host name that stand in the title of an authority: a common name has at most 64 (X.520).
const TITLE_HOST_CHARACTERS: usize = 40;

/// Networks that are nobody's in particular (RFC 1918, RFC 3927, RFC 4193, RFC 4291): an authority may vouch for addresses there.
const PRIVATE_NETWORKS: [(&str, u8); 8] = [
    ("127.0.0.0", 8),
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("169.254.0.0", 16),
    ("::1", 128),
    ("fc00::", 7),
    ("fe80::", 10),
];

/// What certificates are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Host names; the first is the node's own.
    pub hosts: Vec<String>,
    /// Addresses by which devices reach it.
    pub addresses: Vec<IpAddr>,
    /// Domains: an authority may vouch for all that is below them.
    pub domains: Vec<String>,
}

/// Random bytes of a serial number (RFC 5280 section 4.1.2.2: at most 20).
pub type Serial = [u8; 16];

/// An authority with its private key.
pub struct Authority {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    /// By the authority before it, so that whoever trusts that one trusts this one too.
    vouched_for: Option<CertificateDer<'static>>,
    title: String,
    facts: CertificateFacts,
    domains: Vec<String>,
    networks: Vec<CidrSubnet>,
}

impl Authority {
    /// Makes one for these names.
    ///
    /// # Errors
    /// A sentence for the owner: a name cannot stand in a certificate, or there is none.
    pub fn make(names: &Names, serial: Serial, now: Timestamp) -> Result<Authority, String> {
        let host = names.hosts.first().ok_or("a certificate needs at least one name")?;
        let mark: String = serial.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
        let title = format!("Hauspost {} {mark}", host.chars().take(TITLE_HOST_CHARACTERS).collect::<String>());
        let (mut params, key) = (params_of(&title, constraints(names)), make_key()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        (params.not_before, params.not_after) = validity(now, AUTHORITY_VALID_DAYS)?;
        params.serial_number = Some(SerialNumber::from_slice(&positive(serial)));
        let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
        Authority::from_parts(key, certificate.der().clone(), None)
    }

    fn from_parts(
        key: KeyPair,
        certificate: CertificateDer<'static>,
        vouched_for: Option<CertificateDer<'static>>,
    ) -> Result<Authority, String> {
        let facts = read_facts(&certificate)?;
        let title = facts.subject.strip_prefix("CN=").ok_or("it is not an authority of ours")?.to_owned();
        let (domains, networks) = read_constraints(&certificate)?;
        Ok(Authority { key, certificate, vouched_for, title, facts, domains, networks })
    }

    /// As it is kept: PEM text with the private key.
    pub fn to_pem(&self) -> String {
        let mut text = self.key.serialize_pem();
        text.push_str(&to_pem(&self.certificate));
        self.vouched_for.iter().for_each(|other| text.push_str(&to_pem(other)));
        text
    }

    /// From what [`Authority::to_pem`] made.
    ///
    /// # Errors
    /// A sentence: it is not that.
    pub fn from_pem(text: &[u8]) -> Result<Authority, String> {
        let key = KeyPair::from_pem(std::str::from_utf8(text).map_err(|_| "it is no text")?);
        let mut found = certificates(text)?.into_iter();
        let certificate = found.next().ok_or("it has no certificate")?;
        Authority::from_parts(key.map_err(|error| error.to_string())?, certificate, found.next())
    }

    /// Its certificate as PEM text, for devices that shall trust it.
    pub fn certificate_pem(&self) -> String {
        to_pem(&self.certificate)
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What its certificate says.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// Whether it may vouch for this host.
    pub fn may_name(&self, host: &str) -> bool {
        self.domains.iter().any(|domain| is_within_domain(host, domain))
    }

    /// Whether it may vouch for this address.
    pub fn may_address(&self, address: IpAddr) -> bool {
        is_within(&self.networks, address)
    }

    /// Whether it may vouch for all of them.
    pub fn may_vouch_for(&self, names: &Names) -> bool {
        names.hosts.iter().all(|host| self.may_name(host))
            && names.addresses.iter().all(|address| self.may_address(*address))
    }

    /// Makes a server's certificate for those of the names that it may vouch for, at most [`CERTIFICATE_NAMES_MAX`]. `key`: the one of
    /// before, so that TLSA records stay true; `None` makes one. Back-dated, because the clock of a board without a battery may be behind,
    /// and valid no longer than Apple's devices accept.
    ///
    /// # Errors
    /// A sentence: it may vouch for none of them.
    pub fn issue(
        &self,
        names: &Names,
        key: Option<&PrivateKeyDer<'_>>,
        serial: Serial,
        now: Timestamp,
    ) -> Result<Identity, String> {
        let addresses = names.addresses.iter().filter(|address| self.may_address(**address)).map(IpAddr::to_string);
        let hosts = names.hosts.iter().filter(|host| self.may_name(host)).cloned();
        let all: Vec<String> = hosts.chain(addresses).take(CERTIFICATE_NAMES_MAX).collect();
        let first = all.first().ok_or("the authority may vouch for none of the names")?.clone();
        let mut params = CertificateParams::new(all).map_err(|error| format!("a name cannot be used: {error}"))?;
        (params.not_before, params.not_after) = validity(now, CERTIFICATE_VALID_DAYS)?;
        params.not_after = params.not_after.min(from_timestamp(self.facts.until)?);
        params.serial_number = Some(SerialNumber::from_slice(&positive(serial)));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, first.chars().take(64).collect::<String>());
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        let key = match key {
            Some(key) => KeyPair::try_from(key).map_err(|error| error.to_string())?,
            None => make_key()?,
        };
        let certificate = self.sign(&params, &key)?;
        let mut chain = vec![certificate];
        chain.extend(self.vouched_for.iter().cloned());
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
        Ok(Identity { chain, key })
    }

    /// Takes its place after this authority, which vouches for it: whoever trusts the old one trusts the new one as long as the old one
    /// lives.
    ///
    /// # Errors
    /// A sentence; does not happen with keys of our own making.
    pub fn succeed(self, before: &Authority, serial: Serial) -> Result<Authority, String> {
        let mut params = params_of(&self.title, constraints_of(&self.domains, &self.networks));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.not_before = from_timestamp(self.facts.from)?;
        params.not_after = from_timestamp(self.facts.until.min(before.facts.until))?;
        params.serial_number = Some(SerialNumber::from_slice(&positive(serial)));
        params.use_authority_key_identifier_extension = true;
        let certificate = before.sign(&params, &self.key)?;
        Ok(Authority { vouched_for: Some(certificate), ..self })
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Result<CertificateDer<'static>, String> {
        let own = params_of(&self.title, constraints_of(&[], &[]));
        let signed = params.signed_by(key, &Issuer::from_params(&own, &self.key));
        Ok(signed.map_err(|error| error.to_string())?.der().clone())
    }
}

impl Identity {
    /// What its own certificate says; `None`: it cannot be read.
    pub fn facts(&self) -> Option<CertificateFacts> {
        read_facts(self.chain.first()?).ok()
    }

    /// As it is kept: PEM text with the private key.
    pub fn to_pem(&self) -> String {
        let mut text = match &self.key {
            PrivateKeyDer::Pkcs8(key) => pem_block("PRIVATE KEY", key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => pem_block("RSA PRIVATE KEY", key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(key) => pem_block("EC PRIVATE KEY", key.secret_sec1_der()),
            // Not yet known to this program: never read either.
            _ => String::new(),
        };
        self.chain.iter().for_each(|certificate| text.push_str(&to_pem(certificate)));
        text
    }

    /// From what [`Identity::to_pem`] made.
    ///
    /// # Errors
    /// A sentence: there is no key or no certificate in the text.
    pub fn from_bundle(text: &[u8]) -> Result<Identity, String> {
        Identity::from_pem(text, text)
    }
}

pub(super) fn make_key() -> Result<KeyPair, String> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())
}

fn params_of(title: &str, constraints: NameConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, title);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.name_constraints = Some(constraints);
    params
}

/// What an authority of these names may vouch for.
fn constraints(names: &Names) -> NameConstraints {
    let mut domains: Vec<String> = Vec::new();
    for name in names.domains.iter().chain(&names.hosts) {
        if !domains.iter().any(|domain| is_within_domain(name, domain)) {
            domains.push(name.clone());
        }
    }
    let private = PRIVATE_NETWORKS.iter().filter_map(|(base, bits)| Some((base.parse::<IpAddr>().ok()?, *bits)));
    let mut networks: Vec<CidrSubnet> = private.map(|(base, bits)| CidrSubnet::from_addr_prefix(base, bits)).collect();
    for address in &names.addresses {
        if !is_within(&networks, *address) {
            networks.push(CidrSubnet::from_addr_prefix(*address, if address.is_ipv4() { 32 } else { 128 }));
        }
    }
    constraints_of(&domains, &networks)
}

/// Mail addresses in the same domains are permitted too, and so no others are.
fn constraints_of(domains: &[String], networks: &[CidrSubnet]) -> NameConstraints {
    let hosts = domains.iter().cloned().map(GeneralSubtree::DnsName);
    let mail = domains.iter().cloned().map(GeneralSubtree::Rfc822Name);
    let addresses = networks.iter().copied().map(GeneralSubtree::IpAddress);
    NameConstraints { permitted_subtrees: hosts.chain(mail).chain(addresses).collect(), excluded_subtrees: Vec::new() }
}

fn read_constraints(certificate: &CertificateDer<'_>) -> Result<(Vec<String>, Vec<CidrSubnet>), String> {
    let wrong = |error: x509_cert::der::Error| format!("a certificate cannot be read: {error}");
    let read = Certificate::from_der(certificate).map_err(wrong)?;
    let found = read.tbs_certificate.get::<x509_cert::ext::pkix::NameConstraints>().map_err(wrong)?;
    let (_, found) = found.ok_or("it is not an authority of ours")?;
    let (mut domains, mut networks) = (Vec::new(), Vec::new());
    for subtree in found.permitted_subtrees.unwrap_or_default() {
        match &subtree.base {
            GeneralName::DnsName(name) => domains.push(name.as_str().to_owned()),
            GeneralName::IpAddress(bytes) => networks.extend(network(bytes.as_bytes())),
            _ => {}
        }
    }
    Ok((domains, networks))
}

/// An address and its mask, end to end.
fn network(bytes: &[u8]) -> Option<CidrSubnet> {
    let (base, mask) = bytes.split_at_checked(bytes.len() / 2)?;
    match bytes.len() {
        8 => Some(CidrSubnet::V4(base.try_into().ok()?, mask.try_into().ok()?)),
        32 => Some(CidrSubnet::V6(base.try_into().ok()?, mask.try_into().ok()?)),
        _ => None,
    }
}

/// It is the domain, or below it.
fn is_within_domain(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_within(networks: &[CidrSubnet], address: IpAddr) -> bool {
    networks.iter().any(|network| match (network, address) {
        (CidrSubnet::V4(base, mask), IpAddr::V4(address)) => matches(base, mask, &address.octets()),
        (CidrSubnet::V6(base, mask), IpAddr::V6(address)) => matches(base, mask, &address.octets()),
        _ => false,
    })
}

fn matches(base: &[u8], mask: &[u8], address: &[u8]) -> bool {
    base.iter().zip(mask).zip(address).all(|((base, mask), address)| base & mask == address & mask)
}

/// From some days before now on.
pub(super) fn validity(now: Timestamp, days: i64) -> Result<(OffsetDateTime, OffsetDateTime), String> {
    let from = from_timestamp(now)?.saturating_sub(Duration::days(CERTIFICATE_BACKDATED_DAYS));
    Ok((from, from.saturating_add(Duration::days(days))))
}

fn from_timestamp(time: Timestamp) -> Result<OffsetDateTime, String> {
    OffsetDateTime::from_unix_timestamp(time.seconds()).map_err(|error| error.to_string())
}

/// A serial number is positive: the topmost bit must not be set.
fn positive(mut serial: Serial) -> Serial {
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    serial
}

/// A certificate as PEM text (RFC 7468 section 5).
pub fn to_pem(certificate: &CertificateDer<'_>) -> String {
    pem_block("CERTIFICATE", certificate)
}

/// Bytes under a label as PEM text.
pub fn pem_block(label: &str, bytes: &[u8]) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines = encoded.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line));
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::{ServerTls, client_verified};
    use crate::net::twin::Twin;
    use std::net::SocketAddr;
    use std::sync::Arc;

    const WAIT: std::time::Duration = std::time::Duration::from_secs(10);
    const DAY: std::time::Duration = std::time::Duration::from_secs(86400);

    fn names() -> Names {
        Names {
            hosts: vec!["mail.home.test".into(), "autoconfig.other.test".into()],
            addresses: vec!["192.168.1.9".parse().unwrap(), "203.0.113.7".parse().unwrap()],
            domains: vec!["home.test".into(), "other.test".into()],
        }
    }

    /// Whether a client that trusts this authority takes what the server shows as this host.
    fn trusts(twin: &Arc<Twin>, authority: &Authority, shown: Identity, host: &str) -> bool {
        let client = client_verified(Some(authority.certificate_pem().as_bytes()), &twin.clock()).unwrap();
        let server = ServerTls::new(vec![shown], "", &twin.clock()).unwrap();
        let ends = [SocketAddr::from(([127, 0, 0, 1], 50000)), SocketAddr::from(([127, 0, 0, 1], 993))];
        let (near, far) = twin.pair(ends[0], ends[1]);
        let shaken = smol::future::zip(near.start_tls(client, host, WAIT), far.accept_tls(server, WAIT));
        smol::block_on(shaken).0.is_ok()
    }

    #[test]
    fn whoever_trusts_the_authority_trusts_the_server() {
        let twin = Twin::new(1);
        let now = twin.clock().now();
        let authority = Authority::make(&names(), [1; 16], now).unwrap();
        let issue = || authority.issue(&names(), None, [2; 16], now).unwrap();
        for host in ["mail.home.test", "autoconfig.other.test", "192.168.1.9", "203.0.113.7"] {
            assert!(trusts(&twin, &authority, issue(), host), "{host}");
        }
        assert!(!trusts(&twin, &authority, issue(), "home.test"));
        let facts = read_facts(&issue().chain[0]).unwrap();
        let days = (facts.until.seconds() - facts.from.seconds()) / 86400;
        assert!(facts.from < now && days <= 397 && !facts.is_authority, "{days} days");
        twin.hand().set_wall(now.plus(DAY * 400));
        assert!(!trusts(&twin, &authority, issue(), "mail.home.test"));
    }

    #[test]
    fn it_comes_back_as_it_was_kept() {
        let now = Twin::new(1).clock().now();
        let made = Authority::make(&names(), [1; 16], now).unwrap();
        let read = Authority::from_pem(made.to_pem().as_bytes()).unwrap();
        assert_eq!((read.to_pem(), &read.title), (made.to_pem(), &made.title));
        assert!(made.title.eq("Hauspost mail.home.test 010101"));
        assert_eq!((&read.domains, &read.networks), (&made.domains, &made.networks));
        let identity = read.issue(&names(), None, [3; 16], now).unwrap();
        let again = Identity::from_bundle(identity.to_pem().as_bytes()).unwrap();
        assert_eq!((&again.chain, again.to_pem()), (&identity.chain, identity.to_pem()));
        let renewed = read.issue(&names(), Some(&identity.key), [4; 16], now).unwrap();
        let key = |identity: &Identity| read_facts(&identity.chain[0]).unwrap().key_sha256;
        assert_eq!(key(&renewed), key(&identity));
        assert!(Authority::from_pem(identity.to_pem().as_bytes()).is_err());
        assert!(Authority::from_pem(b"").is_err());
    }

    #[test]
    fn it_vouches_for_nothing_else() {
        let twin = Twin::new(1);
        let now = twin.clock().now();
        let authority = Authority::make(&names(), [1; 16], now).unwrap();
        for host in ["home.test", "mail.home.test", "a.b.other.test"] {
            assert!(authority.may_name(host), "{host}");
        }
        for host in ["test", "xhome.test", "bank.example"] {
            assert!(!authority.may_name(host), "{host}");
        }
        let private =
            ["10.1.2.3", "172.31.0.1", "192.168.255.1", "127.0.0.1", "::1", "fd12::1", "fe80::1", "203.0.113.7"];
        for address in private {
            assert!(authority.may_address(address.parse().unwrap()), "{address}");
        }
        for address in ["203.0.113.8", "8.8.8.8", "172.32.0.1", "2001:db8::1"] {
            assert!(!authority.may_address(address.parse().unwrap()), "{address}");
        }
        // What it must not do it does not even when its key is abused: clients refuse it.
        let strange = Names { hosts: vec!["bank.example".into()], ..Names::default() };
        assert!(authority.issue(&strange, None, [2; 16], now).is_err());
        let abused = Authority { domains: vec!["example".into()], ..authority };
        let forged = abused.issue(&strange, None, [2; 16], now).unwrap();
        assert!(!trusts(&twin, &abused, forged, "bank.example"));
    }

    #[test]
    fn the_next_one_is_trusted_by_whoever_trusts_the_one_before() {
        let twin = Twin::new(1);
        let now = twin.clock().now();
        let old = Authority::make(&names(), [1; 16], now).unwrap();
        twin.hand().set_wall(now.plus(DAY * 3000));
        let later = twin.clock().now();
        let new = Authority::make(&names(), [2; 16], later).unwrap().succeed(&old, [3; 16]).unwrap();
        let new = Authority::from_pem(new.to_pem().as_bytes()).unwrap();
        let issue = || new.issue(&names(), None, [4; 16], later).unwrap();
        assert_eq!(issue().chain.len(), 2);
        assert!(trusts(&twin, &new, issue(), "mail.home.test"));
        assert!(trusts(&twin, &old, issue(), "mail.home.test"));
        let stranger = Authority::make(&names(), [5; 16], later).unwrap();
        assert!(!trusts(&twin, &stranger, issue(), "mail.home.test"));
    }
}
