//! Whether a certificate that the owner brings will do, said so that they know what to change.

use super::facts::{CertificateFacts, covers, read_facts};
use super::{Identity, kind_of, provider};
use crate::mail::tls_policy::TlsResult;
use crate::wire::date::{Timestamp, encode_utc};
use rustls::client::{WebPkiServerVerifier, danger::ServerCertVerifier};
use rustls::crypto::ring;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;

/// Certificates in one file that are looked at.
const CERTIFICATES_MAX: usize = 16;

impl Identity {
    /// With the certificate of the key first and those behind it that vouch for it, in order; others are left out.
    ///
    /// # Errors
    /// A sentence for the owner: the key belongs to none of the certificates, the chain has a gap, it is not valid now, or it is for none of
    /// these hosts.
    pub fn checked(self, hosts: &[String], now: Timestamp) -> Result<Identity, String> {
        let Identity { chain: given, key } = self;
        if given.len() > CERTIFICATES_MAX {
            return Err(format!("the file has more than {CERTIFICATES_MAX} certificates: leave out those of others"));
        }
        let mut given =
            given.into_iter().map(|one| read_facts(&one).map(|facts| (one, facts))).collect::<Result<Vec<_>, _>>()?;
        let signing = ring::sign::any_supported_type(&key).map_err(|_| {
            "the private key is of a kind that cannot be used: RSA (2048 bits or more), ECDSA and Ed25519 can"
                .to_owned()
        })?;
        let belongs = |one: &CertificateDer<'static>| {
            let pair = rustls::sign::CertifiedKey::new(vec![one.clone()], signing.clone());
            pair.keys_match().is_ok()
        };
        let own = given.iter().position(|(one, _)| belongs(one));
        let (own, facts) = given.remove(own.ok_or("the private key belongs to none of the certificates in the file")?);
        check_times(&facts, now)?;
        if !hosts.iter().any(|host| covers(&facts.names, host)) {
            let (names, hosts) = (facts.names.join(", "), hosts.join(", "));
            return Err(match names.is_empty() {
                true => format!(
                    "the certificate has no names that programs look at (subject alternative names); it should have {hosts}"
                ),
                false => format!("the certificate is for {names}, but this server is {hosts}"),
            });
        }
        let chain = order(own, facts, given, now)?;
        verify(&chain, now)?;
        Ok(Identity { chain: chain.into_iter().map(|(one, _)| one).collect(), key })
    }
}

type Read = (CertificateDer<'static>, CertificateFacts);

/// The chain upwards, as far as the file has it.
fn order(
    own: CertificateDer<'static>,
    facts: CertificateFacts,
    mut rest: Vec<Read>,
    now: Timestamp,
) -> Result<Vec<Read>, String> {
    let mut chain = vec![(own, facts)];
    while let Some((_, last)) = chain.last().filter(|(_, last)| !last.is_self_issued()) {
        let Some(at) = rest.iter().position(|(_, facts)| facts.subject == last.issuer) else { break };
        let next = rest.remove(at);
        check_times(&next.1, now)?;
        chain.push(next);
    }
    Ok(chain)
}

fn check_times(facts: &CertificateFacts, now: Timestamp) -> Result<(), String> {
    let whose = || facts.names.first().unwrap_or(&facts.subject).clone();
    if facts.until < now {
        return Err(format!("the certificate for {} has expired on {}", whose(), encode_utc(facts.until)));
    }
    if now < facts.from {
        return Err(format!(
            "the certificate for {} is not valid before {}: is the clock of this machine right?",
            whose(),
            encode_utc(facts.from)
        ));
    }
    Ok(())
}

/// Each vouches for the one before it, and the last is by itself or by an authority that everybody knows.
fn verify(chain: &[Read], now: Timestamp) -> Result<(), String> {
    let [(own, facts), others @ ..] = chain else { return Err("there is no certificate".to_owned()) };
    if facts.is_self_issued() {
        // Whoever trusts it trusts it as it is.
        return Ok(());
    }
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let top = chain.last().filter(|(_, top)| top.is_self_issued());
    if let Some((root, _)) = top {
        roots
            .add(root.clone())
            .map_err(|error| format!("the last certificate of the chain cannot be used: {error}"))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier.build().map_err(|error| error.to_string())?;
    let name = facts.names.iter().find_map(|name| ServerName::try_from(name.replacen('*', "x", 1)).ok());
    let name = name.ok_or("the certificate has no name that can be looked at")?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.seconds()).unwrap_or(0)));
    let between: Vec<CertificateDer<'static>> = others.iter().map(|(one, _)| one.clone()).collect();
    match verifier.verify_server_cert(own, &between, &name, &[], at) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            let missing = chain.last().map(|(_, last)| last.issuer.clone()).unwrap_or_default();
            Err(format!(
                "the chain is not complete: the certificate of {missing} is missing. Use the file that has the whole chain (fullchain.pem), \
                 or with an authority of your own put its certificate at the end"
            ))
        }
        Err(rustls::Error::InvalidCertificate(reason)) if kind_of(&reason) == TlsResult::CertificateExpired => {
            Err("a certificate of the chain is not valid now".to_owned())
        }
        Err(error) => Err(format!("the chain does not hold: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::VIRTUAL_START;
    use crate::net::tls::{Authority, Names, self_signed};
    use crate::net::twin::Twin;

    fn hosts() -> Vec<String> {
        vec!["mail.home.test".to_owned()]
    }

    fn issued(authority: &Authority) -> Identity {
        authority.issue(&names(), None, [2; 16], VIRTUAL_START).unwrap()
    }

    fn names() -> Names {
        Names { hosts: hosts(), domains: hosts(), ..Names::default() }
    }

    fn refused(identity: Identity, now: Timestamp) -> String {
        identity.checked(&hosts(), now).err().unwrap()
    }

    #[test]
    fn what_is_good_is_taken_in_any_order() {
        let authority = Authority::make(&names(), [1; 16], VIRTUAL_START).unwrap();
        let Identity { chain, key } = issued(&authority);
        let stranger = issued(&authority).chain.remove(0);
        let mixed = vec![authority.certificate().clone(), stranger, chain[0].clone()];
        let checked = Identity { chain: mixed, key }.checked(&hosts(), VIRTUAL_START).unwrap();
        assert_eq!(checked.chain, [chain[0].clone(), authority.certificate().clone()]);
        let own = self_signed(&["*.home.test".to_owned()], &Twin::new(1).clock()).unwrap();
        let own = Identity::from_pem(own.certificate_pem.as_bytes(), own.key_pem.as_bytes()).unwrap();
        assert!(own.checked(&hosts(), VIRTUAL_START).is_ok());
    }

    #[test]
    fn each_fault_has_its_sentence() {
        let authority = Authority::make(&names(), [1; 16], VIRTUAL_START).unwrap();
        let day = Duration::from_secs(86400);
        let later = VIRTUAL_START.plus(day * 400);
        let before = Timestamp(VIRTUAL_START.0 - 86_400_000 * 30);
        assert!(
            refused(issued(&authority), VIRTUAL_START)
                .contains("is not complete: the certificate of CN=Hauspost mail.home.test")
        );
        assert!(refused(issued(&authority), later).contains("has expired on"));
        assert!(refused(issued(&authority), before).contains("is not valid before"));
        let Identity { chain, .. } = issued(&authority);
        let other = Identity { chain, key: issued(&authority).key };
        assert!(refused(other, VIRTUAL_START).contains("belongs to none"));
        let elsewhere = issued(&authority).checked(&["post.home.test".to_owned()], VIRTUAL_START).err().unwrap();
        assert!(elsewhere.contains("is for mail.home.test, but this server is post.home.test"), "{elsewhere}");
        // A chain whose top did not sign what is below it.
        let forger = Authority::make(&names(), [1; 16], VIRTUAL_START).unwrap();
        let Identity { mut chain, key } = issued(&authority);
        chain.push(forger.certificate().clone());
        assert!(refused(Identity { chain, key }, VIRTUAL_START).contains("does not hold"));
    }
}
