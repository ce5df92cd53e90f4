//! The data folder: who may see it, and what it holds.
//!
//! Not the store, which keeps its own files there. Everything in the folder is for its owner's eyes only, except the
//! certificates, which are public.

use crate::node::failure::{Exit, Failure};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// One node's folder.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// Takes a folder, or makes it when it is not there, and closes it to everybody but its owner. A folder that is open
    /// to others and holds other things than ours stays as it is and is refused.
    pub fn take(path: &Path) -> Result<Folder, Failure> {
        let refuse =
            |why: String| Failure::new(Exit::CannotCreate, format!("cannot use the folder {}: {why}", path.display()));
        let cannot = |e: std::io::Error| refuse(e.to_string());
        match DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made.map_err(cannot)?,
        }
        // Absolute, so that what is said about it is true wherever it is read.
        let folder = Folder(std::fs::canonicalize(path).map_err(cannot)?);
        if std::fs::metadata(&folder.0).map_err(cannot)?.permissions().mode() & 0o077 != 0 {
            if folder.first_entry().map_err(cannot)?.is_some() && !folder.is_ours() {
                return Err(refuse("it is open to other users and holds other things".into()));
            }
            std::fs::set_permissions(&folder.0, Permissions::from_mode(0o700)).map_err(cannot)?;
        }
        Ok(folder)
    }

    /// Something that is in the folder; `None` when it is as good as new.
    pub fn first_entry(&self) -> std::io::Result<Option<OsString>> {
        for entry in std::fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            // A freshly made file system has this folder and is empty all the same.
            if name != "lost+found" {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn is_ours(&self) -> bool {
        self.configuration().exists() || self.has_store()
    }

    /// Whether a node has ever kept anything in it.
    pub fn has_store(&self) -> bool {
        self.0.join("hauspost.redb").exists()
    }

    /// Makes a new folder among the system's temporary ones. `random` makes its name unguessable.
    pub fn make_temporary(random: u64) -> Result<Folder, Failure> {
        let path = std::env::temp_dir().join(format!("hauspost-try-{random:016x}"));
        DirBuilder::new().mode(0o700).create(&path).map_err(|e| {
            Failure::new(Exit::CannotCreate, format!("cannot make the temporary folder {}: {e}", path.display()))
        })?;
        Ok(Folder(path))
    }

    /// The configuration file that `init` writes.
    pub fn configuration(&self) -> PathBuf {
        self.0.join("hauspost.toml")
    }

    /// What devices may trust, readable by all.
    pub fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// The certificate that the server shows, with its chain, readable by all.
    pub fn shown(&self) -> PathBuf {
        self.0.join("tls.pem")
    }

    /// The certificate that the owner puts there, readable by all.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    /// Its private key, readable by the owner alone.
    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// The key of this name that signs mail, readable by the owner alone.
    pub fn signing_key(&self, selector: &str) -> PathBuf {
        self.0.join(format!("dkim-{selector}.pem"))
    }
}

/// Writes a file that must not be there yet, durably, with exactly this mode.
pub fn write_new_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        sync_folder_of(path)
    };
    write().map_err(|e| Failure::new(Exit::CannotCreate, format!("cannot write {}: {e}", path.display())))
}

/// Writes a file whether it is there or not; whoever reads it sees the old or the new one, whole.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    write_new_file(&fresh, bytes, mode)?;
    std::fs::rename(&fresh, path)
        .and_then(|()| sync_folder_of(path))
        .map_err(|e| Failure::new(Exit::CannotCreate, format!("cannot write {}: {e}", path.display())))
}

fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_closed_to_others() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let folder = Folder::take(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        replace_file(&folder.authority(), b"first", 0o644).unwrap();
        replace_file(&folder.authority(), b"second", 0o644).unwrap();
        assert_eq!(
            (mode(&folder.authority()), std::fs::read(folder.authority()).unwrap()),
            (0o644, b"second".to_vec())
        );
    }

    #[test]
    fn a_folder_of_others_stays_as_it_is() {
        let temporary = tempfile::tempdir().unwrap();
        std::fs::write(temporary.path().join("theirs"), b"").unwrap();
        std::fs::set_permissions(temporary.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(Folder::take(temporary.path()).unwrap_err().sentence.contains("other things"));
        assert_eq!(mode(temporary.path()), 0o755);
    }

    #[test]
    fn nothing_is_overwritten() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("file");
        write_new_file(&path, b"first", 0o600).unwrap();
        assert_eq!(write_new_file(&path, b"second", 0o600).unwrap_err().exit, Exit::CannotCreate);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }
}
