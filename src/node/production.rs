//! `hauspost serve`: the real thing, in the order that safety asks for.
//!
//! Ports first (as root, when started so), then the rights are given up, then everything else: no byte from the
//! network or the configuration's files is read with root's rights, except the configuration itself.

use crate::net::Net;
use crate::node::certificates::Certificates;
use crate::node::command::Serve;
use crate::node::configuration::{needing_restart, read_file};
use crate::node::control;
use crate::node::failure::{Exit, Failure};
use crate::node::folder::Folder;
use crate::node::owner;
use crate::node::privilege;
use crate::node::settings::Settings;
use crate::node::site::{make_net, make_site};
use crate::node::sockets;
use crate::node::supervise::{self, Node, Read};
use crate::node::watchdog::Watchdog;
use crate::serve::Site;
use crate::store::{Options, Store};
use log::LevelFilter;
use std::path::{Path, PathBuf};

/// Runs the node until a signal ends it.
pub fn run(arguments: &Serve) -> Result<(), Failure> {
    // Passed sockets are taken before anything else opens a descriptor.
    let passed = sockets::take_passed()?;
    let folder = existing_folder(&arguments.data)?;
    let file = match &arguments.config {
        None => folder.configuration(),
        Some(path) => std::path::absolute(path)
            .map_err(|e| Failure::new(Exit::Configuration, format!("{}: {e}", path.display())))?,
    };
    let settings = read_file(&file)?;
    super::log::set_level(arguments.log_level.unwrap_or(settings.log_level));
    let sockets = sockets::bind_all(&settings.listen, passed)?;
    let sessions_max = sockets::sessions_max();
    let mdns_name = settings.mdns_name.clone();
    let watchdog = match settings.watchdog.as_os_str().is_empty() {
        true => None,
        // Mail goes on without.
        false => {
            Watchdog::arm(&settings.watchdog).map_err(|f| log::error!("event=no-watchdog reason={:?}", f.sentence)).ok()
        }
    };
    give_up_root(arguments, &settings, &folder)?;
    let base = file.parent().unwrap_or(Path::new("/")).to_path_buf();
    let net = make_net(&settings, &base)?;
    let site = make_site(&settings, &base, &net)?;
    let store = open_store(&settings, &folder)?;
    let certificates = Certificates::new(&folder, settings.listen.addresses());
    let site = match smol::block_on(certificates.complete(&store, &net, site)) {
        Ok(site) => site,
        Err(failure) => {
            let _ = store.close();
            return Err(failure);
        }
    };
    warn_without_password(&store, &site);
    warn_without_keys(&site);
    let watched = files_of(&settings, &base);
    let reload = make_reload(settings, file, base, net.clone(), arguments.log_level);
    let context = supervise::make_context(store, net, site);
    let signals = supervise::listen_to_signals()?;
    let control = control::socket::make_for(&folder);
    let node = Node {
        context,
        sockets,
        control,
        sessions_max,
        reload,
        watched,
        certificates,
        signals,
        watchdog,
        mdns_name,
        ends_with_terminal: false,
    };
    supervise::run(node, || {})
}

/// The data folder, which must be there.
pub fn existing_folder(path: &Path) -> Result<Folder, Failure> {
    if !path.is_dir() {
        let sentence = format!("there is no folder {}: make one with `hauspost init`", path.display());
        return Err(Failure::new(Exit::Configuration, sentence));
    }
    Folder::take(path)
}

/// Opens the store of a folder as configured.
pub fn open_store(settings: &Settings, folder: &Folder) -> Result<Store, Failure> {
    let options = Options {
        ring_bytes: settings.journal_bytes,
        cache_bytes: usize::try_from(settings.cache_bytes).unwrap_or(usize::MAX),
        checkpoint_after: settings.checkpoint_after,
        ..Options::new(&folder.0)
    };
    Store::open(options).map_err(|e| owner::in_store(&e))
}

fn give_up_root(arguments: &Serve, settings: &Settings, folder: &Folder) -> Result<(), Failure> {
    if settings.user.is_empty() {
        if privilege::is_root() && !arguments.stay_root {
            let sentence =
                "started as root without a user to become: set `user` in the configuration, or give --stay-root";
            return Err(Failure::new(Exit::Configuration, sentence));
        }
        return Ok(());
    }
    if !privilege::is_root() {
        // The service manager has chosen somebody already; that is as good.
        return Ok(());
    }
    let identity = privilege::find_identity(&settings.user, &settings.group)?;
    privilege::hand_over(folder, &identity)?;
    privilege::become_identity(&identity)
}

/// A node that lets nobody in should say so where the owner will look.
fn warn_without_password(store: &Store, site: &Site) {
    let login = site.login.clone();
    if let Ok(None) = smol::block_on(store.read(move |snapshot| snapshot.credential(&login))) {
        log::warn!(
            "event=no-password login={} reason=\"nobody can log in; the login is the first of addresses\"",
            site.login
        );
    }
}

/// Said once, at the start: mail goes out without signatures, and some take it for junk.
fn warn_without_keys(site: &Site) {
    if site.signing_keys.is_empty() {
        log::warn!("event=unsigned reason=\"no dkim.keys: mail is not signed; `hauspost dkim` makes keys\"");
    }
}

/// The files that something else may renew.
fn files_of(settings: &Settings, base: &Path) -> Vec<PathBuf> {
    [&settings.tls_cert, &settings.tls_key].map(|file| base.join(file)).to_vec()
}

fn make_reload(
    running: Settings,
    file: PathBuf,
    base: PathBuf,
    net: Net,
    level: Option<LevelFilter>,
) -> Box<dyn Fn() -> Result<Read, Failure>> {
    Box::new(move || {
        let settings = read_file(&file)?;
        let site = make_site(&settings, &base, &net)?;
        for key in needing_restart(&running, &settings) {
            log::warn!("event=needs-restart key={key}");
        }
        super::log::set_level(level.unwrap_or(settings.log_level));
        Ok(Read { site, watched: files_of(&settings, &base) })
    })
}
