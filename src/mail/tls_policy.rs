//! What TLS to a mail server must be, and why it was not good enough: DANE (RFC 7672), MTA-STS (RFC 8461), REQUIRETLS (RFC 8689).
//!
//! Receives what DNS, a domain's policy and the message itself ask for; hands on one demand per host. Asks nobody, opens nothing
//! and judges no certificate. What always holds: a host whose TLSA records could not be found out about is not used at all, and
//! nothing a weaker policy says makes up for DANE that fails (RFC 8461 section 2).

use crate::wire::address::Domain;
use crate::wire::smtp::client::{Answer, Status};
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

/// Whether an answer of DNS is proved to be what its zone says (RFC 4035 section 4.3). Bogus answers are no answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Security {
    /// Signed from the root on, and the signatures are right.
    Secure,
    /// Anybody on the way can have written it.
    #[default]
    Insecure,
}

/// A TLSA record (RFC 6698 section 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tlsa {
    /// 2: a trust anchor (DANE-TA). 3: the server's own certificate (DANE-EE). Others are not used for mail.
    pub usage: u8,
    /// 0: the whole certificate. 1: its SubjectPublicKeyInfo.
    pub selector: u8,
    /// 0: as it is. 1: its SHA-256. 2: its SHA-512.
    pub matching: u8,
    /// What is compared.
    pub data: Vec<u8>,
}

impl Tlsa {
    /// Whether a certificate can be compared with it. PKIX-TA and PKIX-EE are not for mail (RFC 7672 section 3.1.3).
    pub fn is_usable(&self) -> bool {
        let bytes_right = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        matches!(self.usage, 2 | 3) && matches!(self.selector, 0 | 1) && bytes_right
    }
}

impl Display for Tlsa {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The MTA-STS policy of a domain (RFC 8461 section 3.2), when it has one that says anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StsPolicy {
    /// What is done when a host does not satisfy it.
    pub mode: StsMode,
    /// Names of the domain's servers, lower case; the first label may be `*`.
    pub mx: Vec<String>,
}

/// What an MTA-STS policy asks for (RFC 8461 section 5). A policy of mode `none` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StsMode {
    /// Mail is not sent to a host that does not satisfy it.
    Enforce,
    /// Mail is sent all the same, and the failure reported.
    Testing,
}

impl StsPolicy {
    /// Whether the host is one of the domain's servers: `*` stands for exactly one label (RFC 8461 section 4.1).
    pub fn names(&self, host: &Domain) -> bool {
        let host = host.as_str();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
            None => host == pattern,
        })
    }
}

/// What TLS to the hosts of a domain depends on, the host itself left aside. Messages with the same demands share connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Demands {
    /// The message requires TLS (RFC 8689).
    pub require_tls: bool,
    /// The message is to arrive whatever is wrong with TLS (RFC 8689 section 4.2.2): nothing else counts.
    pub tls_optional: bool,
    /// How sure it is that the hosts are those of the domain: the security of its MX records, or of there being none.
    pub mx: Security,
    /// The domain, and the name it is an alias of; empty where nothing depends on them, so that domains share connections.
    pub names: Vec<Domain>,
    /// Its MTA-STS policy.
    pub sts: Option<Arc<StsPolicy>>,
}

/// What was found out about the TLSA records of a host (RFC 7672 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsaAnswer {
    /// It has none, or none that are secure.
    None,
    /// Secure ones, usable or not, at least one.
    Found {
        /// The TLSA base domain: the host, or the name it is an alias of.
        base: Domain,
        /// In the order of the answer.
        records: Vec<Tlsa>,
    },
    /// It could not be found out: no answer, or a bogus one. The text says why.
    Failed(String),
}

/// What TLS to one host must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostTls {
    /// Any certificate; plain where there is no TLS or it breaks (RFC 7435).
    Opportunistic,
    /// As the one before, but a failure of what [`HostTls::Verified`] asks for is told (MTA-STS in testing mode).
    Tested,
    /// TLS, with any certificate: TLSA records of which none is usable (RFC 7672 section 2.2).
    Encrypted(Vec<Tlsa>),
    /// TLS with a certificate by a known authority for the host's name (MTA-STS, REQUIRETLS).
    Verified,
    /// TLS with a certificate that the TLSA records vouch for.
    Dane(Dane),
}

/// How a server proves itself by DANE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dane {
    /// The TLSA base domain: asked for in the handshake (SNI), and the first reference name.
    pub base: Domain,
    /// Other names that the certificate may bear, where names matter (RFC 7672 section 3.2.2).
    pub names: Vec<Domain>,
    /// The usable records, at least one.
    pub records: Vec<Tlsa>,
}

/// Where a demand comes from, as reports name it (RFC 8460 section 4.4, `policy-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// TLSA records.
    Tlsa,
    /// An MTA-STS policy.
    Sts,
    /// None.
    NoPolicyFound,
}

impl PolicyKind {
    /// As reports spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            PolicyKind::Tlsa => "tlsa",
            PolicyKind::Sts => "sts",
            PolicyKind::NoPolicyFound => "no-policy-found",
        }
    }
}

/// What is wrong with a host's TLS (RFC 8460 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsResult {
    /// The host offers no STARTTLS, or refuses it.
    StarttlsNotSupported,
    /// The certificate bears none of the right names.
    CertificateHostMismatch,
    /// The certificate has expired.
    CertificateExpired,
    /// Nobody known vouches for the certificate.
    CertificateNotTrusted,
    /// Something else about TLS.
    ValidationFailure,
    /// The TLSA records match nothing that the host showed.
    TlsaInvalid,
    /// What DNS said about the host is not validly signed, or could not be had.
    DnssecInvalid,
    /// DANE is asked for and the host has none.
    DaneRequired,
    /// The MTA-STS policy could not be fetched.
    StsPolicyFetchError,
    /// The MTA-STS policy cannot be read.
    StsPolicyInvalid,
    /// The host of the MTA-STS policy has no valid certificate.
    StsWebpkiInvalid,
}

impl TlsResult {
    /// As reports spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsResult::StarttlsNotSupported => "starttls-not-supported",
            TlsResult::CertificateHostMismatch => "certificate-host-mismatch",
            TlsResult::CertificateExpired => "certificate-expired",
            TlsResult::CertificateNotTrusted => "certificate-not-trusted",
            TlsResult::ValidationFailure => "validation-failure",
            TlsResult::TlsaInvalid => "tlsa-invalid",
            TlsResult::DnssecInvalid => "dnssec-invalid",
            TlsResult::DaneRequired => "dane-required",
            TlsResult::StsPolicyFetchError => "sts-policy-fetch-error",
            TlsResult::StsPolicyInvalid => "sts-policy-invalid",
            TlsResult::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}

/// A failure of a host's TLS, with its reason in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFailure {
    /// Its kind.
    pub result: TlsResult,
    /// A clause that goes on after the host's name or stands alone.
    pub text: String,
}

/// Why a host may not even be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Not now: a policy of its domain forbids it, or could not be found out.
    Later(TlsFailure),
    /// Not this message ever.
    Never(Answer),
}

/// What TLS to this host must be.
///
/// # Errors
/// The host may not be used; another of the domain may be.
pub fn decide_tls(demands: &Demands, host: &Domain, tlsa: TlsaAnswer) -> Result<HostTls, Unfit> {
    if demands.tls_optional {
        return Ok(HostTls::Opportunistic);
    }
    let sts = demands.sts.as_deref();
    let enforced = sts.is_some_and(|policy| policy.mode == StsMode::Enforce);
    let named = sts.is_some_and(|policy| policy.names(host));
    let (base, records) = match tlsa {
        // RFC 7672 section 2.1.2, whatever else there is.
        TlsaAnswer::Failed(why) => {
            let text = format!("it could not be found out how {host} proves itself (TLSA): {why}");
            return Err(Unfit::Later(TlsFailure { result: TlsResult::DnssecInvalid, text }));
        }
        TlsaAnswer::None => (host.clone(), Vec::new()),
        TlsaAnswer::Found { base, records } => (base, records),
    };
    let is_secure = demands.mx == Security::Secure;
    // RFC 8689 section 4.2.1: DNSSEC or MTA-STS says that the host is one of the domain's, or it is the domain itself.
    if demands.require_tls && !(is_secure || named || demands.names.contains(host)) {
        let domain = demands.names.first().unwrap_or(host);
        let text =
            format!("the message requires TLS all the way, and nothing proves which servers are those of {domain}");
        return Err(Unfit::Never(Answer::ours(550, Status(5, 7, 10), text)));
    }
    // RFC 8461 section 4.1. Secure MX records are proved better than by a list (RFC 7672 section 2.2.1).
    let is_dane = records.iter().any(Tlsa::is_usable);
    if enforced && !named && !(is_dane && is_secure) {
        let text = format!("{host} is none of the servers in the policy of its domain (MTA-STS)");
        return Err(Unfit::Later(TlsFailure { result: TlsResult::ValidationFailure, text }));
    }
    if is_dane {
        // RFC 7672 section 3.2.2: the domain's own name counts only where DNSSEC leads from it to the host.
        let others = demands.names.iter().filter(|name| is_secure && **name != base);
        let names = others.cloned().collect();
        return Ok(HostTls::Dane(Dane { base, names, records: records.into_iter().filter(Tlsa::is_usable).collect() }));
    }
    Ok(match (demands.require_tls || enforced, records.is_empty()) {
        (true, _) => HostTls::Verified,
        (false, false) => HostTls::Encrypted(records),
        (false, true) if sts.is_some() => HostTls::Tested,
        (false, true) => HostTls::Opportunistic,
    })
}

/// Which policy a demand comes from.
pub fn policy_kind(demands: &Demands, tls: &HostTls) -> PolicyKind {
    match tls {
        HostTls::Dane(_) | HostTls::Encrypted(_) => PolicyKind::Tlsa,
        _ if demands.sts.is_some() => PolicyKind::Sts,
        _ => PolicyKind::NoPolicyFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::new(text)
    }

    fn key(usage: u8) -> Tlsa {
        Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] }
    }

    fn found(records: &[Tlsa]) -> TlsaAnswer {
        TlsaAnswer::Found { base: domain("mx.far.example"), records: records.to_vec() }
    }

    fn sts(mode: StsMode, mx: &str) -> Option<Arc<StsPolicy>> {
        Some(Arc::new(StsPolicy { mode, mx: vec![mx.to_owned()] }))
    }

    fn demands(mx: Security) -> Demands {
        Demands { mx, names: vec![domain("far.example")], ..Demands::default() }
    }

    fn decided(demands: &Demands, tlsa: TlsaAnswer) -> Result<HostTls, Unfit> {
        decide_tls(demands, &domain("mx.far.example"), tlsa)
    }

    fn result(decided: Result<HostTls, Unfit>) -> TlsResult {
        match decided {
            Err(Unfit::Later(failure)) => failure.result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn dane_where_there_is_a_usable_record_and_never_less_when_it_is_unknown() {
        let secure = demands(Security::Secure);
        assert_eq!(decided(&secure, TlsaAnswer::None), Ok(HostTls::Opportunistic));
        assert_eq!(decided(&secure, found(&[key(0), key(1)])), Ok(HostTls::Encrypted(vec![key(0), key(1)])));
        let dane = |names: &[Domain]| {
            let (base, records) = (domain("mx.far.example"), vec![key(3)]);
            Ok(HostTls::Dane(Dane { base, names: names.to_vec(), records }))
        };
        assert_eq!(decided(&secure, found(&[key(1), key(3)])), dane(&[domain("far.example")]));
        // The domain's name counts only when the MX records are sure.
        assert_eq!(decided(&demands(Security::Insecure), found(&[key(3)])), dane(&[]));
        assert_eq!(result(decided(&secure, TlsaAnswer::Failed("SERVFAIL".into()))), TlsResult::DnssecInvalid);
    }

    #[test]
    fn sts_is_no_way_around_dane() {
        let with = |mx, mode, pattern| Demands { sts: sts(mode, pattern), ..demands(mx) };
        let own = "*.far.example";
        let enforce = with(Security::Insecure, StsMode::Enforce, own);
        assert_eq!(decided(&enforce, TlsaAnswer::None), Ok(HostTls::Verified));
        assert_eq!(decided(&enforce, found(&[key(0)])), Ok(HostTls::Verified));
        assert!(matches!(decided(&enforce, found(&[key(3)])), Ok(HostTls::Dane(_))));
        assert_eq!(result(decided(&enforce, TlsaAnswer::Failed("x".into()))), TlsResult::DnssecInvalid);
        let other = with(Security::Insecure, StsMode::Enforce, "mx.other.example");
        assert_eq!(result(decided(&other, TlsaAnswer::None)), TlsResult::ValidationFailure);
        assert_eq!(result(decided(&other, found(&[key(3)]))), TlsResult::ValidationFailure);
        let other = with(Security::Secure, StsMode::Enforce, "mx.other.example");
        assert!(matches!(decided(&other, found(&[key(3)])), Ok(HostTls::Dane(_))));
        let testing = with(Security::Insecure, StsMode::Testing, own);
        assert_eq!(decided(&testing, TlsaAnswer::None), Ok(HostTls::Tested));
        assert_eq!(policy_kind(&testing, &HostTls::Tested), PolicyKind::Sts);
    }

    #[test]
    fn what_may_go_in_plain_is_held_up_by_nothing() {
        let sts = sts(StsMode::Enforce, "mx.other.example");
        let optional = Demands { tls_optional: true, sts, ..demands(Security::Secure) };
        for tlsa in [TlsaAnswer::None, found(&[key(3)]), TlsaAnswer::Failed("SERVFAIL".into())] {
            assert_eq!(decided(&optional, tlsa), Ok(HostTls::Opportunistic));
        }
    }

    #[test]
    fn required_tls_wants_the_host_proved() {
        let required = |mx| Demands { require_tls: true, ..demands(mx) };
        assert_eq!(decided(&required(Security::Secure), TlsaAnswer::None), Ok(HostTls::Verified));
        assert!(matches!(decided(&required(Security::Secure), found(&[key(2)])), Ok(HostTls::Dane(_))));
        let insecure = required(Security::Insecure);
        assert!(matches!(decided(&insecure, TlsaAnswer::None), Err(Unfit::Never(_))));
        // DANE proves who the host is, not whose it is.
        assert!(matches!(decided(&insecure, found(&[key(3)])), Err(Unfit::Never(_))));
        assert_eq!(decide_tls(&insecure, &domain("far.example"), TlsaAnswer::None), Ok(HostTls::Verified));
        let vouched = Demands { sts: sts(StsMode::Enforce, "mx.far.example"), ..insecure };
        assert_eq!(decided(&vouched, TlsaAnswer::None), Ok(HostTls::Verified));
    }

    #[test]
    fn a_star_is_one_label() {
        let policy = StsPolicy { mode: StsMode::Enforce, mx: vec!["*.far.example".into(), "mx.other.example".into()] };
        for (host, wanted) in [
            ("mx.far.example", true),
            ("far.example", false),
            ("a.mx.far.example", false),
            (".far.example", false),
            ("mx.other.example", true),
            ("mxx.other.example", false),
        ] {
            assert_eq!(policy.names(&domain(host)), wanted, "{host}");
        }
    }

    #[test]
    fn records_of_the_wrong_length_are_not_usable() {
        let tlsa = |usage, selector, matching, bytes| Tlsa { usage, selector, matching, data: vec![0; bytes] };
        assert!(tlsa(3, 1, 1, 32).is_usable() && tlsa(2, 0, 2, 64).is_usable() && tlsa(3, 0, 0, 500).is_usable());
        for odd in [tlsa(3, 1, 1, 31), tlsa(3, 1, 2, 32), tlsa(3, 1, 0, 0), tlsa(3, 2, 1, 32), tlsa(4, 1, 1, 32)] {
            assert!(!odd.is_usable(), "{odd}");
        }
        assert_eq!(Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab, 1] }.to_string(), "3 1 1 ab01");
    }
}
