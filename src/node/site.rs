//! From settings and files to the configuration that sessions see.

use crate::limits::{DKIM_KEY_FILE_BYTES_MAX, DKIM_KEYS_MAX};
use crate::mail::dkim::Key;
use crate::net::{Net, tls};
use crate::node::directory::make_book;
use crate::node::failure::{Exit, Failure};
use crate::node::settings::Settings;
use crate::node::smarthosts::{make_smarthosts, make_sources, read_bounded, read_trust, route_policy};
use crate::serve::{AdmissionLimits, Entrances, RelayPolicy, Site};
use std::path::Path;
use std::sync::Arc;

/// Size of a PEM file in bytes: a chain of ten large certificates is a fifth of it.
const PEM_BYTES_MAX: u64 = 256 << 10;

/// The network as these settings want it.
pub fn make_net(settings: &Settings, base: &Path) -> Result<Net, Failure> {
    if !settings.dnssec {
        let net = Net::system(settings.dns_server);
        return net.map_err(|e| Failure::new(Exit::System, format!("the network: {e}")));
    }
    if settings.trust_anchor_file.as_os_str().is_empty() {
        let net = Net::validating(settings.dns_server, None);
        return net.map_err(|e| Failure::new(Exit::System, format!("the network: {e}")));
    }
    let path = base.join(&settings.trust_anchor_file);
    let in_file = |e: String| Failure::new(Exit::Configuration, format!("{}: {e}", path.display()));
    let keys =
        String::from_utf8(read_bounded(&path, PEM_BYTES_MAX)?).map_err(|_| in_file("it is no text".to_owned()))?;
    Net::validating(settings.dns_server, Some(&keys)).map_err(in_file)
}

/// Makes the site of these settings. Relative file names start at `base`. Without a certificate in files it has no TLS yet.
pub fn make_site(settings: &Settings, base: &Path, net: &Net) -> Result<Site, Failure> {
    let relay = &settings.relay;
    let tls_verified = read_trust(&[&relay.server.ca_file], base, net)?;
    let smarthosts = make_smarthosts(settings, base, net, &tls_verified)?;
    Ok(Site {
        hostname: settings.hostname.clone(),
        domains: settings.local_domains(),
        addresses: settings.addresses.clone(),
        book: make_book(settings),
        login: settings.login()?,
        message_bytes_max: settings.message_bytes_max,
        tls: read_tls(&base.join(&settings.tls_cert), &base.join(&settings.tls_key), net)?,
        keeps_certificates: false,
        plaintext_login_on_loopback: settings.plaintext_login_on_loopback,
        channel_binding: settings.channel_binding,
        owner_login: settings.owner_login,
        sent_copy: settings.sent_copy,
        undo_send: settings.undo_send,
        submission_shows_client: settings.submission_shows_client,
        signing_keys: read_signing_keys(settings, base)?.into(),
        imap_keepalive: Some(settings.imap_keepalive).filter(|every| !every.is_zero()),
        relay: RelayPolicy {
            route: route_policy(settings),
            smarthost: smarthosts.default,
            scoped: smarthosts.scoped,
            hello: relay.hello.clone().unwrap_or_else(|| settings.hostname.clone()),
            source: make_sources(settings)?,
            private_targets: relay.private_targets,
            same_machine_targets: false,
            mx_port: 25,
            https_port: 443,
            tls_verified,
            tls_any: tls::client_any(net.clock()).map_err(in_tls)?,
            tls_reports: relay.tls_reports,
            retry_after: relay.retry_after.clone(),
            give_up_after: relay.give_up_after,
            delay_notice_after: Some(relay.delay_notice_after).filter(|after| !after.is_zero()),
        },
        proxy_from: settings.listen.proxy_from.clone(),
        entrances: Entrances {
            host: settings.hostname.to_string(),
            ports: settings
                .listen
                .services()
                .iter()
                .filter_map(|(port, sockets)| Some((port.name, sockets.first()?.port())))
                .collect(),
        },
        admission: AdmissionLimits {
            sessions_per_service: usize::try_from(settings.sessions).unwrap_or(usize::MAX),
            sessions_per_peer: usize::try_from(settings.sessions_per_peer).unwrap_or(usize::MAX),
        },
    })
}

/// The certificate and key of the configuration as sessions use them. `None`: neither is there, and the node has its own.
fn read_tls(certificate: &Path, key: &Path, net: &Net) -> Result<Option<Arc<tls::ServerTls>>, Failure> {
    // A trial names no files.
    if !certificate.is_file() && !key.is_file() {
        return Ok(None);
    }
    let pem = (read_bounded(certificate, PEM_BYTES_MAX)?, read_bounded(key, PEM_BYTES_MAX)?);
    let made = tls::server_config(&pem.0, &pem.1, net.clock());
    made.map(Some)
        .map_err(|e| Failure::new(Exit::Configuration, format!("{} and {}: {e}", certificate.display(), key.display())))
}

/// The keys that sign outgoing mail.
pub fn read_signing_keys(settings: &Settings, base: &Path) -> Result<Vec<Key>, Failure> {
    let mut keys: Vec<Key> = Vec::new();
    if settings.dkim_keys.len() > DKIM_KEYS_MAX {
        let sentence = format!("dkim.keys: at most {DKIM_KEYS_MAX} keys sign a message");
        return Err(Failure::new(Exit::Configuration, sentence));
    }
    for name in &settings.dkim_keys {
        let key = read_signing_key(&base.join(name))?;
        if keys.iter().any(|known| known.selector() == key.selector()) {
            let sentence = format!("dkim.keys: two keys have the selector {}", key.selector());
            return Err(Failure::new(Exit::Configuration, sentence));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// One such key. In a file `dkim-NAME.pem`, or `NAME.pem`, its selector is NAME.
pub fn read_signing_key(path: &Path) -> Result<Key, Failure> {
    let wrong = |why: String| Failure::new(Exit::Configuration, format!("dkim.keys: {}: {why}", path.display()));
    let pem = read_bounded(path, DKIM_KEY_FILE_BYTES_MAX)
        .map_err(|failure| Failure::new(Exit::Configuration, format!("dkim.keys: {}", failure.sentence)))?;
    let selector = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".pem"));
    let selector = selector.ok_or_else(|| wrong("the file of a key is called dkim-NAME.pem".to_owned()))?;
    Key::from_pem(selector.strip_prefix("dkim-").unwrap_or(selector), &pem).map_err(wrong)
}

fn in_tls(sentence: String) -> Failure {
    Failure::new(Exit::System, format!("TLS: {sentence}"))
}
