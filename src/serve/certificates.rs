//! The certificates that the store keeps: the node's own authority and what it vouches for, and those that the owner has brought.
//!
//! Receives the names that the node has; hands on TLS for the listeners. What is made is kept before it is shown, so that a restart
//! changes nothing that a device has learned to trust. Nothing here reads files.

mod policy;

use crate::limits::CERTIFICATES_IMPORTED_MAX;
use crate::net::Net;
use crate::net::tls::{Authority, CertificateFacts, Identity, Names, Serial, ServerTls, covers, read_facts};
use crate::serve::{Letter, Site};
use crate::store::{Op, Store, Trouble};
use crate::wire::date::{Timestamp, encode_utc};
use policy::{Turn, believed, is_due, turn, warning};
use rustls_pki_types::CertificateDer;
use std::net::IpAddr;
use std::sync::Arc;

/// Names among the settings. Their values are PEM text with the private key.
const AUTHORITY: &str = "tls/authority";
const AUTHORITY_NEXT: &str = "tls/authority-next";
const SERVER: &str = "tls/server";
const SERVER_NEXT: &str = "tls/server-next";
const IMPORTED: &str = "tls/imported/";
/// With the first bytes of a certificate's hash: how many days before its end its owner was told.
const WARNED: &str = "tls/warned/";

/// How devices reach the node, beside the names that its configuration gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Host names.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// The certificates that there are.
pub struct Kept {
    /// What the owner has brought, by the name it is kept under.
    pub imported: Vec<(String, Identity)>,
    /// The authority in force with the server's certificate, then the one that comes after it, if there is one.
    pub own: Vec<(Authority, Identity)>,
}

impl Kept {
    /// TLS with all of them: each name has what the owner has brought for it, else the node's own. Clients that ask for no name ask for
    /// this one.
    ///
    /// # Errors
    /// A sentence: one of them cannot be used.
    pub fn serve(self, hostname: &str, net: &Net) -> Result<Arc<ServerTls>, String> {
        let imported = self.imported.into_iter().map(|(_, identity)| identity);
        let own = self.own.into_iter().map(|(_, identity)| identity);
        ServerTls::new(imported.chain(own).collect(), hostname, net.clock())
    }

    /// The certificates that devices are told to trust, as PEM text: the authority's in force first.
    pub fn authorities_pem(&self) -> String {
        self.own.iter().map(|(authority, _)| authority.certificate_pem()).collect()
    }
}

/// The names that certificates are for.
pub fn names_of(site: &Site, reach: &Reach) -> Names {
    let hostname = site.hostname.to_string();
    let mut hosts = vec![hostname.clone()];
    // Where mail programs look for settings.
    for domain in &site.domains {
        hosts.extend(["autoconfig", "autodiscover"].map(|label| format!("{label}.{domain}")));
    }
    hosts.extend(reach.hosts.iter().cloned());
    let domains = site.domains.iter().map(ToString::to_string).chain([hostname]).collect();
    Names { hosts, addresses: reach.addresses.clone(), domains }
}

/// Sees to it that there is an authority and a server's certificate for these names that will last, and says what there is. The owner is
/// told when devices will have to trust another authority.
///
/// # Errors
/// What the store says, and `Failed` with a sentence when a name cannot stand in a certificate.
pub async fn ensure(store: &Store, net: &Net, site: &Site, reach: &Reach) -> Result<Kept, Trouble> {
    let maker = Maker::new(store, net, site, reach).await?;
    let mut current = match maker.read_authority(AUTHORITY).await? {
        Some(authority) => authority,
        None => maker.make_first().await?,
    };
    // A crash between the two steps of taking leaves it in both places.
    let next = maker.read_authority(AUTHORITY_NEXT).await?;
    let mut next = next.filter(|next| next.certificate() != current.certificate());
    match turn(&current, next.as_ref(), &maker.names, maker.now) {
        Turn::Stay => {}
        Turn::Announce => next = Some(maker.announce(&current).await?),
        Turn::Take => {
            if let Some(next) = next.take() {
                maker.take(&next).await?;
                current = next;
            }
        }
    }
    let mut own = Vec::new();
    for (authority, setting) in [(Some(current), SERVER), (next, SERVER_NEXT)] {
        if let Some(authority) = authority
            && let Some(identity) = maker.server(&authority, setting).await?
        {
            own.push((authority, identity));
        }
    }
    Ok(Kept { imported: imported(store).await?, own })
}

/// What the owner has brought, at most [`CERTIFICATES_IMPORTED_MAX`], in order of the names that they are kept under. What cannot be read is
/// left out and said in the log.
///
/// # Errors
/// What the store says.
pub async fn imported(store: &Store) -> Result<Vec<(String, Identity)>, Trouble> {
    let rows = store.read(|snapshot| snapshot.settings_under(IMPORTED, CERTIFICATES_IMPORTED_MAX)).await?;
    let read = |(key, text): (String, Vec<u8>)| match Identity::from_bundle(&text) {
        Ok(identity) => Some((key.strip_prefix(IMPORTED).unwrap_or(&key).to_owned(), identity)),
        Err(why) => {
            log::error!("event=certificate-unreadable key={key} reason={why:?}");
            None
        }
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Tells the owner of certificates that end soon and that nobody here can renew, once for each warning.
///
/// # Errors
/// What the store says.
pub async fn warn_of_ends(store: &Store, net: &Net, site: &Site) -> Result<(), Trouble> {
    let now = net.clock().now();
    let mark = |facts: &CertificateFacts| -> String {
        let bytes = facts.sha256.iter().take(8).map(|byte| format!("{byte:02x}"));
        format!("{WARNED}{}", bytes.collect::<String>())
    };
    let is_brought = |one: &Standing| matches!(one.origin, Origin::File | Origin::Imported(_));
    let brought: Vec<_> = standing(store, site).await?.into_iter().filter(is_brought).map(|one| one.facts).collect();
    let old = store.read(|snapshot| snapshot.settings_under(WARNED, CERTIFICATES_IMPORTED_MAX)).await?;
    for (key, _) in old.into_iter().filter(|(key, _)| !brought.iter().any(|facts| mark(facts) == *key)) {
        store.apply(Op::SetSetting { key, value: None }).await?;
    }
    for facts in brought {
        let key = mark(&facts);
        let asked = key.clone();
        let told = store.read(move |snapshot| snapshot.setting(&asked)).await?;
        let told = told.and_then(|days| std::str::from_utf8(&days).ok()?.parse().ok());
        let Some(days) = warning(facts.until, told, now) else { continue };
        let name = facts.names.first().unwrap_or(&facts.subject);
        let until = encode_utc(facts.until);
        log::warn!("event=certificate-ends name={name:?} until={until:?}");
        let text = format!(
            "The certificate for {name} is valid until {until}. After that mail programs refuse to talk to this server.\n\n\
             It is one that you have brought, so this server cannot renew it. Bring a new one with\n\n    \
             hauspost tls import --cert FILE --key FILE\n\nor replace the files that the configuration names.\n"
        );
        let ended = facts.until < now;
        let subject = if ended { "The certificate has ended" } else { "The certificate ends soon" };
        tell(store, net, site, subject, &text).await?;
        store.apply(Op::SetSetting { key, value: Some(days.to_string().into_bytes()) }).await?;
    }
    Ok(())
}

async fn tell(store: &Store, net: &Net, site: &Site, subject: &str, text: &str) -> Result<(), Trouble> {
    let Some(address) = site.addresses.first() else { return Ok(()) };
    Letter { hostname: &site.hostname, address, subject, text }.deliver(store, net).await
}

/// A setting of that name.
async fn read_setting(store: &Store, setting: &'static str) -> Result<Option<Vec<u8>>, Trouble> {
    store.read(move |snapshot| snapshot.setting(setting)).await
}

/// Makes what is missing.
struct Maker<'a> {
    store: &'a Store,
    net: &'a Net,
    site: &'a Site,
    names: Names,
    now: Timestamp,
}

impl<'a> Maker<'a> {
    async fn new(store: &'a Store, net: &'a Net, site: &'a Site, reach: &Reach) -> Result<Maker<'a>, Trouble> {
        let latest = store.read(|snapshot| snapshot.latest_time()).await?;
        let now = believed(net.clock().now(), latest);
        Ok(Maker { store, net, site, names: names_of(site, reach), now })
    }

    fn serial(&self) -> Result<Serial, Trouble> {
        self.net.random().map_err(|error| Trouble::Failed(error.to_string()))
    }

    async fn keep(&self, setting: &str, value: Option<String>) -> Result<(), Trouble> {
        let value = value.map(String::into_bytes);
        self.store.apply(Op::SetSetting { key: setting.to_owned(), value }).await.map(drop)
    }

    /// One that cannot be read is as good as none: without it no device could connect.
    async fn read_authority(&self, setting: &'static str) -> Result<Option<Authority>, Trouble> {
        let Some(text) = read_setting(self.store, setting).await? else { return Ok(None) };
        let read = Authority::from_pem(&text);
        Ok(read.map_err(|why| log::error!("event=authority-unreadable key={setting} reason={why:?}")).ok())
    }

    fn make(&self) -> Result<Authority, Trouble> {
        Authority::make(&self.names, self.serial()?, self.now).map_err(Trouble::Failed)
    }

    async fn make_first(&self) -> Result<Authority, Trouble> {
        let made = self.make()?;
        self.keep(AUTHORITY, Some(made.to_pem())).await?;
        log::info!("event=authority-made name={:?}", made.facts().subject);
        Ok(made)
    }

    async fn announce(&self, current: &Authority) -> Result<Authority, Trouble> {
        let next = self.make()?.succeed(current, self.serial()?).map_err(Trouble::Failed)?;
        self.keep(AUTHORITY_NEXT, Some(next.to_pem())).await?;
        log::info!("event=authority-announced name={:?}", next.facts().subject);
        let text = format!(
            "The certificate that your devices trust is going to be followed by a new one, because it ends or because this server has \
             got other names. Nothing has to be done today: the old one vouches for the new one, and devices that check that go on by \
             themselves. A device that complains in some months has to trust the new one, whose fingerprint (SHA-256) is\n\n    \
             {}\n\n`hauspost tls show` prints it too.\n",
            fingerprint(&next.facts().sha256)
        );
        tell(self.store, self.net, self.site, "A new certificate for your devices", &text).await?;
        Ok(next)
    }

    /// In an order in which a crash loses nothing.
    async fn take(&self, next: &Authority) -> Result<(), Trouble> {
        self.keep(AUTHORITY, Some(next.to_pem())).await?;
        self.keep(AUTHORITY_NEXT, None).await?;
        self.keep(SERVER_NEXT, None).await?;
        log::info!("event=authority-taken name={:?}", next.facts().subject);
        Ok(())
    }

    /// The server's certificate by this authority, made anew where that is due; `None`: it may vouch for none of the names.
    async fn server(&self, authority: &Authority, setting: &'static str) -> Result<Option<Identity>, Trouble> {
        let text = read_setting(self.store, setting).await?;
        let kept = text.and_then(|text| Identity::from_bundle(&text).ok());
        let due = |kept: &Identity| kept.facts().is_none_or(|facts| is_due(&facts, authority, &self.names, self.now));
        let key = match kept {
            Some(kept) if !due(&kept) => return Ok(Some(kept)),
            kept => kept.map(|kept| kept.key),
        };
        if !self.names.hosts.iter().any(|host| authority.may_name(host)) {
            return Ok(None);
        }
        let issued = authority.issue(&self.names, key.as_ref(), self.serial()?, self.now).map_err(Trouble::Failed)?;
        self.keep(setting, Some(issued.to_pem())).await?;
        let names = issued.facts().map(|facts| facts.names.join(" ")).unwrap_or_default();
        log::info!("event=certificate-made names={names:?}");
        Ok(Some(issued))
    }
}

/// A hash as people compare it.
pub fn fingerprint(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// Where a certificate is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Files that the configuration names.
    File,
    /// The owner, under this name.
    Imported(String),
    /// The authority in force.
    Own,
    /// The authority after it.
    OwnNext,
    /// It is the authority in force.
    Authority,
    /// It is the authority after it.
    AuthorityNext,
}

/// A certificate that there is.
pub struct Standing {
    /// Where it is from.
    pub origin: Origin,
    /// Itself.
    pub certificate: CertificateDer<'static>,
    /// What it says.
    pub facts: CertificateFacts,
}

impl Standing {
    fn new(origin: Origin, certificate: &CertificateDer<'static>) -> Option<Standing> {
        let facts = read_facts(certificate).ok()?;
        Some(Standing { origin, certificate: certificate.clone(), facts })
    }

    /// It vouches for the server's.
    pub fn is_authority(&self) -> bool {
        matches!(self.origin, Origin::Authority | Origin::AuthorityNext)
    }
}

/// All certificates: those that are shown first. Makes nothing.
///
/// # Errors
/// What the store says.
pub async fn standing(store: &Store, site: &Site) -> Result<Vec<Standing>, Trouble> {
    if let Some(tls) = site.tls.as_ref().filter(|_| !site.keeps_certificates) {
        return Ok(tls.certificates().iter().filter_map(|shown| Standing::new(Origin::File, shown)).collect());
    }
    let mut all: Vec<Standing> = Vec::new();
    for (name, identity) in imported(store).await? {
        all.extend(identity.chain.first().and_then(|own| Standing::new(Origin::Imported(name), own)));
    }
    for (setting, origin) in [(SERVER, Origin::Own), (SERVER_NEXT, Origin::OwnNext)] {
        let text = read_setting(store, setting).await?;
        let identity = text.and_then(|text| Identity::from_bundle(&text).ok());
        all.extend(identity.and_then(|identity| Standing::new(origin, identity.chain.first()?)));
    }
    for (setting, origin) in [(AUTHORITY, Origin::Authority), (AUTHORITY_NEXT, Origin::AuthorityNext)] {
        let text = read_setting(store, setting).await?;
        let authority = text.and_then(|text| Authority::from_pem(&text).ok());
        all.extend(authority.and_then(|authority| Standing::new(origin, authority.certificate())));
    }
    Ok(all)
}

/// The authority that a device has to trust to believe the server under the name that devices use; `None`: what is shown under that name was
/// brought by the owner, and devices know who vouches for it.
///
/// # Errors
/// What the store says.
pub async fn authority_to_trust(store: &Store, site: &Site) -> Result<Option<Standing>, Trouble> {
    let all = standing(store, site).await?;
    let is_brought = |one: &Standing| matches!(one.origin, Origin::Imported(_) | Origin::File);
    if all.iter().any(|one| is_brought(one) && covers(&one.facts.names, &site.entrances.host)) {
        return Ok(None);
    }
    Ok(all.into_iter().find(|one| one.origin == Origin::Authority))
}

/// Keeps what the owner brings, under its first name, which is returned.
///
/// # Errors
/// `Refused` when there are [`CERTIFICATES_IMPORTED_MAX`] others, and what the store says.
pub async fn bring(store: &Store, identity: Identity) -> Result<String, Trouble> {
    let unreadable = || Trouble::Failed("the certificate cannot be read".to_owned());
    let facts = identity.facts().ok_or_else(unreadable)?;
    let name = facts.names.into_iter().next().ok_or_else(unreadable)?;
    let there = imported(store).await?;
    if there.len() >= CERTIFICATES_IMPORTED_MAX && !there.iter().any(|(other, _)| *other == name) {
        return Err(Trouble::Refused("there are too many certificates: remove one first"));
    }
    let key = format!("{IMPORTED}{name}");
    store.apply(Op::SetSetting { key, value: Some(identity.to_pem().into_bytes()) }).await?;
    log::info!("event=certificate-imported name={name:?}");
    Ok(name)
}

/// Forgets what the owner has brought under this name; false: there is nothing.
///
/// # Errors
/// What the store says.
pub async fn forget(store: &Store, name: &str) -> Result<bool, Trouble> {
    if !imported(store).await?.iter().any(|(other, _)| other == name) {
        return Ok(false);
    }
    store.apply(Op::SetSetting { key: format!("{IMPORTED}{name}"), value: None }).await?;
    log::info!("event=certificate-removed name={name:?}");
    Ok(true)
}
