//! TLS as our own listeners speak it: which certificate for which name, which protocol.
//!
//! Receives [`Identity`]s: certificate chains with their keys; hands on a [`ServerTls`] for [`Stream::accept_tls`](crate::net::Stream).

use super::facts::{CertificateFacts, covers, read_facts};
use super::{certificates, has_aes_hardware, provider, signature_hash};
use crate::net::Clock;
use ::ring::digest;
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;

/// What is spoken inside TLS from its first byte, for ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `imap` (RFC 2595 as IANA's registry has it).
    Imap,
    /// `pop3`, the same.
    Pop3,
    /// `http/1.1` (RFC 7301 section 6).
    Http,
    /// SMTP has no name of its own: whatever is asked for, nothing is chosen.
    Unnamed,
}

/// A certificate chain, its own certificate first, and the private key.
pub struct Identity {
    /// In order.
    pub chain: Vec<CertificateDer<'static>>,
    /// Of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From PEM texts: PKCS #8, PKCS #1 and SEC 1 keys (RFC 5958, RFC 8017, RFC 5915).
    ///
    /// # Errors
    /// A sentence for the owner: no certificate or key in the text.
    pub fn from_pem(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Identity, String> {
        let chain = certificates(certificate_pem)?;
        if chain.is_empty() {
            return Err("no certificate found in the certificate file".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| format!("no private key found: {error}"))?;
        Ok(Identity { chain, key })
    }
}

/// A certificate as it is shown to clients.
struct Served {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    /// `tls-server-end-point` (RFC 5929 section 4), when the certificate's signature names one hash.
    end_point: Option<Vec<u8>>,
}

impl Served {
    fn new(identity: Identity) -> Result<Served, String> {
        let Identity { chain, key } = identity;
        let own = chain.first().ok_or("no certificate found in the certificate file")?;
        // One that is odd is shown to those who ask for no name of another.
        let names = read_facts(own).map(|facts| facts.names).unwrap_or_default();
        let end_point = signature_hash(own).map(|hash| digest::digest(hash, own).as_ref().to_vec());
        let signing = ring::sign::any_supported_type(&key)
            .map_err(|_| "the private key is of a kind that cannot be used: RSA, ECDSA and Ed25519 can".to_owned())?;
        let key = CertifiedKey::new(chain, signing);
        match key.keys_match() {
            // A key that does not tell its public half is believed.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(_) => return Err("certificate and key cannot be used: they do not belong together".to_owned()),
        }
        Ok(Served { key: Arc::new(key), names, end_point })
    }
}

/// See the module.
pub struct ServerTls {
    plain: Arc<ServerConfig>,
    imap: Arc<ServerConfig>,
    pop3: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    shown: Arc<ByName>,
}

impl ServerTls {
    /// Of several identities that have a name the first is shown. Who asks for no name, or for one that none has, is shown what is shown
    /// as this host; the last identity, if none is this host.
    ///
    /// Resumption is by tickets alone (RFC 9846, RFC 5077): the keys rotate and the server remembers no session.
    ///
    /// # Errors
    /// A sentence for the owner: there is none, or one cannot be used.
    pub fn new(identities: Vec<Identity>, hostname: &str, clock: &Clock) -> Result<Arc<ServerTls>, String> {
        let served = identities.into_iter().map(Served::new).collect::<Result<Vec<_>, _>>()?;
        if served.is_empty() {
            return Err("there is no certificate".to_owned());
        }
        let shown = Arc::new(ByName { served, hostname: hostname.to_owned() });
        let mut config = ServerConfig::builder_with_details(provider(), Arc::new(clock.clone()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
        // Phones have AES hardware when we have not: the slower side chooses.
        config.ignore_client_order = !has_aes_hardware();
        let speaking = |name: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![name.to_vec()];
            Arc::new(config)
        };
        Ok(Arc::new(ServerTls {
            imap: speaking(b"imap"),
            pop3: speaking(b"pop3"),
            http: speaking(b"http/1.1"),
            plain: Arc::new(config.clone()),
            shown,
        }))
    }

    /// The certificates that are shown, without their chains.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.shown.served.iter().filter_map(|served| served.key.cert.first().cloned()).collect()
    }

    /// What is shown to those who ask for no name: the certificate, then its chain.
    pub fn shown_to_all(&self) -> &[CertificateDer<'static>] {
        self.shown.choose(None).map_or(&[], |served| &served.key.cert)
    }

    /// Content signed as CMS SignedData by what is shown to those who ask for no name, with its chain and these authorities put in: whoever
    /// trusts one of those sees that the content is this server's. `None`: see [`super::cms::sign`].
    pub fn sign(&self, content: &[u8], authorities: &[CertificateDer<'_>]) -> Option<Vec<u8>> {
        super::cms::sign(content, &self.shown.choose(None)?.key, authorities)
    }

    /// What they say; those that are odd are left out.
    pub fn facts(&self) -> Vec<CertificateFacts> {
        self.certificates().iter().filter_map(|shown| read_facts(shown).ok()).collect()
    }

    /// How this protocol is spoken.
    pub(in crate::net) fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        match protocol {
            Protocol::Imap => self.imap.clone(),
            Protocol::Pop3 => self.pop3.clone(),
            Protocol::Http => self.http.clone(),
            Protocol::Unnamed => self.plain.clone(),
        }
    }

    /// See [`Served::end_point`], of what was shown to a client that asked for this name.
    pub(in crate::net) fn end_point(&self, server_name: Option<&str>) -> Option<Vec<u8>> {
        self.shown.choose(server_name)?.end_point.clone()
    }
}

/// Configuration with one certificate, see [`Identity::from_pem`] and [`ServerTls::new`].
///
/// # Errors
/// As theirs.
pub fn server_config(certificate_pem: &[u8], key_pem: &[u8], clock: &Clock) -> Result<Arc<ServerTls>, String> {
    ServerTls::new(vec![Identity::from_pem(certificate_pem, key_pem)?], "", clock)
}

/// Chooses by the name that the client asks for (RFC 6066 section 3).
struct ByName {
    served: Vec<Served>,
    /// Asked for by those who ask for nothing.
    hostname: String,
}

impl ByName {
    fn choose(&self, server_name: Option<&str>) -> Option<&Served> {
        let of = |name: &str| self.served.iter().find(|served| covers(&served.names, name));
        server_name.and_then(of).or_else(|| of(&self.hostname)).or(self.served.last())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(hello.server_name())?.key.clone())
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.served.iter().map(|served| &served.names)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::{client_any, self_signed};
    use crate::net::twin::Twin;
    use rustls::ClientConfig;
    use std::net::SocketAddr;
    use std::time::Duration;

    const WAIT: Duration = Duration::from_secs(10);

    fn identity(names: &[&str], clock: &Clock) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let own = self_signed(&names, clock).unwrap();
        Identity::from_pem(own.certificate_pem.as_bytes(), own.key_pem.as_bytes()).unwrap()
    }

    /// What a client that asks for this host sees, and what the server says the channel is bound to.
    fn look(twin: &Arc<Twin>, server: &Arc<ServerTls>, host: &str) -> (CertificateFacts, Option<Vec<u8>>) {
        let ends = [SocketAddr::from(([127, 0, 0, 1], 50000)), SocketAddr::from(([127, 0, 0, 1], 993))];
        let (near, far) = twin.pair(ends[0], ends[1]);
        let client = client_any(&twin.clock()).unwrap();
        let shaken = smol::future::zip(near.start_tls(client, host, WAIT), far.accept_tls(server.clone(), WAIT));
        let (near, far) = smol::block_on(shaken);
        let shown = near.unwrap().peer_certificate().unwrap();
        (read_facts(&shown).unwrap(), far.unwrap().channel_bindings().end_point)
    }

    #[test]
    fn each_name_has_its_certificate() {
        let twin = Twin::new(1);
        let clock = twin.clock();
        let names = [&["www.home.test"][..], &["*.other.test"], &["mail.home.test", "www.home.test"]];
        let identities: Vec<Identity> = names.iter().map(|names| identity(names, &clock)).collect();
        let own = identities[2].chain.clone();
        let server = ServerTls::new(identities, "mail.home.test", &clock).unwrap();
        assert_eq!(server.shown_to_all(), own);
        for (host, shown) in [
            ("mail.home.test", "mail.home.test"),
            ("mail.other.test", "*.other.test"),
            ("www.home.test", "www.home.test"),
            ("nobody.test", "mail.home.test"),
            // No name is asked for by address (RFC 6066 section 3).
            ("192.0.2.1", "mail.home.test"),
        ] {
            let (facts, end_point) = look(&twin, &server, host);
            assert_eq!(facts.names[0], shown, "{host}");
            assert_eq!(end_point.as_ref(), Some(&facts.sha256), "{host}");
        }
        assert!(ServerTls::new(Vec::new(), "", &clock).is_err());
    }

    #[test]
    fn a_client_that_wants_another_protocol_is_refused() {
        let twin = Twin::new(1);
        let server = ServerTls::new(vec![identity(&["mail.home.test"], &twin.clock())], "", &twin.clock()).unwrap();
        let try_with = |asked: &[&str], protocol: Protocol| {
            let ends = [SocketAddr::from(([127, 0, 0, 1], 50000)), SocketAddr::from(([127, 0, 0, 1], 993))];
            let (near, far) = twin.pair(ends[0], ends[1]);
            let mut client = ClientConfig::clone(&client_any(&twin.clock()).unwrap());
            client.alpn_protocols = asked.iter().map(|name| name.as_bytes().to_vec()).collect();
            let shaken = smol::future::zip(
                near.start_tls(Arc::new(client), "mail.home.test", WAIT),
                far.accept_tls_for(protocol, server.clone(), WAIT),
            );
            smol::block_on(shaken).1.is_ok()
        };
        assert!(try_with(&[], Protocol::Imap) && try_with(&["x", "imap"], Protocol::Imap));
        assert!(try_with(&["pop3"], Protocol::Pop3) && try_with(&["smtp"], Protocol::Unnamed));
        assert!(try_with(&["h2", "http/1.1"], Protocol::Http) && !try_with(&["h2"], Protocol::Http));
        assert!(!try_with(&["http/1.1"], Protocol::Imap) && !try_with(&["imap"], Protocol::Pop3));
    }
}
