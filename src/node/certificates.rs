//! The certificates of a node: those in files that the configuration names, or those that the store keeps.
//!
//! Receives a site as the configuration makes it; hands on one with TLS, and does so again while the node runs: every hour, and when a
//! file that the configuration names changes. The data folder gets copies for everybody to read: `ca.pem` (`cert.pem` of a trial), which devices may trust, and
//! `tls.pem`, which the server shows.

use crate::limits::{CERTIFICATE_CHECK_SECONDS, CERTIFICATE_FIRST_CHECK_SECONDS, CERTIFICATE_FIRST_CHECKS};
use crate::net::Net;
use crate::net::tls::to_pem;
use crate::node::failure::{Exit, Failure};
use crate::node::folder::{Folder, replace_file};
use crate::order;
use crate::serve::certificates::{Reach, ensure, warn_of_ends};
use crate::serve::{Context, Site};
use crate::store::{Store, Trouble};
use nix::ifaddrs::getifaddrs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Sees to the certificates of one node.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The file that devices may trust.
    trusted: PathBuf,
    folder: Folder,
    /// Addresses that services listen on.
    listen: Vec<IpAddr>,
    /// The machine's addresses in private networks are names of the node too.
    in_its_network: bool,
}

impl Certificates {
    /// Of a node that its network can reach.
    pub fn new(folder: &Folder, listen: Vec<IpAddr>) -> Certificates {
        Certificates { trusted: folder.authority(), folder: folder.clone(), listen, in_its_network: true }
    }

    /// Of a node that only this machine can reach. Nobody puts a certificate into its folder: `cert.pem` there is the one to trust.
    pub fn of_this_machine(folder: &Folder) -> Certificates {
        Certificates {
            trusted: folder.certificate(),
            folder: folder.clone(),
            listen: Vec::new(),
            in_its_network: false,
        }
    }

    /// The site with TLS. One that has it from files stays as it is.
    pub async fn complete(&self, store: &Store, net: &Net, site: Site) -> Result<Site, Failure> {
        if site.tls.is_some() {
            return Ok(site);
        }
        let kept = ensure(store, net, &site, &self.reach()).await.map_err(|trouble| in_certificate(&trouble))?;
        let authorities = kept.authorities_pem();
        let tls = kept
            .serve(&site.hostname.to_string(), net)
            .map_err(|why| Failure::new(Exit::Configuration, format!("a certificate: {why}")))?;
        write_when_new(&self.trusted, &authorities)?;
        write_when_new(&self.folder.shown(), &tls.shown_to_all().iter().map(to_pem).collect::<String>())?;
        Ok(Site { tls: Some(tls), keeps_certificates: true, ..site })
    }

    fn reach(&self) -> Reach {
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        addresses.extend(self.listen.iter().filter(|address| !address.is_unspecified()));
        if self.in_its_network {
            addresses.extend(private_addresses());
        }
        order::sort(&mut addresses);
        addresses.dedup();
        Reach { hosts: vec!["localhost".to_owned()], addresses }
    }

    /// Looks after them until the node ends. The first minutes it looks often: that is when a board without a battery learns the time.
    pub async fn look_after(self, context: Context) {
        let mut early = 0;
        loop {
            let wait = if early < CERTIFICATE_FIRST_CHECKS {
                CERTIFICATE_FIRST_CHECK_SECONDS
            } else {
                CERTIFICATE_CHECK_SECONDS
            };
            context.net.clock().sleep(Duration::from_secs(wait)).await;
            early = (early + 1).min(CERTIFICATE_FIRST_CHECKS);
            self.look(&context).await;
        }
    }

    /// Renews what is due, and warns of what ends. Sessions that run keep what they began with.
    pub async fn look(&self, context: &Context) {
        let site = context.site();
        if site.keeps_certificates
            && let Err(failure) = self.renew(context, &site).await
        {
            log::error!("event=certificate-not-renewed reason={:?}", failure.sentence);
        }
        if let Err(trouble) = warn_of_ends(&context.store, &context.net, &context.site()).await {
            log::error!("event=certificate-warning-failed reason={trouble:?}");
        }
    }

    async fn renew(&self, context: &Context, site: &Arc<Site>) -> Result<(), Failure> {
        let bare = Site { tls: None, ..Site::clone(site) };
        let renewed = self.complete(&context.store, &context.net, bare).await?;
        let shown = |site: &Site| site.tls.as_ref().map(|tls| tls.facts());
        if shown(&renewed) != shown(site) {
            put_in_force(context, renewed);
            log::info!("event=certificates-renewed");
        }
        Ok(())
    }
}

/// New sessions take this site.
pub fn put_in_force(context: &Context, site: Site) {
    let mut current = context.current_site.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    *current = Arc::new(site);
}

/// IPv4 only: those of IPv6 change every day, and nobody types them.
fn private_addresses() -> Vec<IpAddr> {
    let all = getifaddrs().into_iter().flatten().filter_map(|interface| interface.address);
    let v4 = all.filter_map(|address| address.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::ip));
    v4.filter(Ipv4Addr::is_private).map(IpAddr::V4).collect()
}

fn write_when_new(path: &Path, text: &str) -> Result<(), Failure> {
    match std::fs::read(path) {
        Ok(there) if there == text.as_bytes() => Ok(()),
        _ => replace_file(path, text.as_bytes(), 0o644),
    }
}

fn in_certificate(trouble: &Trouble) -> Failure {
    match trouble {
        Trouble::Failed(why) => Failure::new(Exit::Configuration, format!("cannot make a certificate: {why}")),
        trouble => crate::node::owner::in_store(trouble),
    }
}
