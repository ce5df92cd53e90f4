//! Files that are read again when they change: those of a certificate, which something else renews.
//!
//! Receives their paths; tells that one of them has changed. Their folders are watched (inotify(7)), because programs put a new file
//! in the place of the old one. Waits without waking up.

use crate::limits::FILE_SETTLE_SECONDS;
use crate::order;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use smol::{Async, Timer};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// See the module.
pub struct FileWatch {
    /// `None`: the system does not tell. SIGHUP works all the same.
    inotify: Option<Async<Inotify>>,
    names: BTreeSet<OsString>,
}

impl FileWatch {
    /// Watches these files, whether they are there or not.
    pub fn new(files: &[PathBuf]) -> FileWatch {
        let names = files.iter().filter_map(|file| file.file_name().map(OsString::from)).collect();
        let folders: BTreeSet<&Path> = order::set(files.iter().filter_map(|file| file.parent()));
        let opened = open(&folders);
        if let Err(error) = &opened {
            log::warn!("event=files-not-watched reason={:?}", error.to_string());
        }
        FileWatch { inotify: opened.ok(), names }
    }

    /// One of them has changed, and for a moment nothing has since: a certificate and its key come one after the other. Cancel-safe.
    pub async fn changed(&self) {
        let Some(inotify) = &self.inotify else { return smol::future::pending().await };
        self.event(inotify).await;
        loop {
            let more = async {
                self.event(inotify).await;
                true
            };
            let quiet = async {
                Timer::after(Duration::from_secs(FILE_SETTLE_SECONDS)).await;
                false
            };
            if !smol::future::or(more, quiet).await {
                return;
            }
        }
    }

    async fn event(&self, inotify: &Async<Inotify>) {
        loop {
            let read = inotify.read_with(|inotify| Ok(inotify.read_events()?)).await;
            let Ok(events) = read else { return smol::future::pending().await };
            let is_ours = |name: &Option<OsString>| name.as_ref().is_none_or(|name| self.names.contains(name));
            if events.iter().any(|event| is_ours(&event.name)) {
                return;
            }
        }
    }
}

fn open(folders: &BTreeSet<&Path>) -> std::io::Result<Async<Inotify>> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let changes = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
    for folder in folders {
        inotify.add_watch(*folder, changes)?;
    }
    Async::new_nonblocking(inotify)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::block_on;
    use smol::future::poll_once;

    #[test]
    fn a_new_file_in_its_place_is_told_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("cert.pem"), folder.path().join("other"));
        let watch = FileWatch::new(&[file.clone(), folder.path().join("key.pem")]);
        std::fs::write(&other, "x").unwrap();
        assert!(block_on(poll_once(watch.changed())).is_none());
        std::fs::write(&other, "y").unwrap();
        std::fs::rename(&other, &file).unwrap();
        block_on(watch.changed());
        assert!(block_on(poll_once(watch.changed())).is_none());
        std::os::unix::fs::symlink("elsewhere", folder.path().join("key.pem")).unwrap();
        block_on(watch.changed());
        // A folder that is not there is none to be watched, and no failure.
        assert!(block_on(poll_once(FileWatch::new(&["/nowhere/cert.pem".into()]).changed())).is_none());
    }
}
