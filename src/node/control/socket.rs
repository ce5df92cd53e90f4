//! The socket `control` in the data folder: made, found, removed.
//!
//! What must always hold: nobody but the node's user and root can connect, from the first moment on. The folder is closed to
//! others (0700), new files are (umask), and the socket gets its name only when its mode is 0600. Whoever makes it has the lock of the
//! store, so a socket that is there already is a dead node's and is replaced.

use crate::node::folder::Folder;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Its name in the folder.
const NAME: &str = "control";
/// Its name until it may be found.
const NEW_NAME: &str = "control.new";
/// Bytes of a path that every system takes in a socket's address (unix(7)), the zero at its end left out.
const ADDRESS_BYTES_MAX: usize = 107;

/// The listening socket. Dropped, it is gone from the folder.
pub struct ControlSocket {
    /// Connections come here.
    pub listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket in a folder that only we may enter, in place of any that is there.
    ///
    /// # Errors
    /// As the system gives them, for example on a file system without sockets.
    pub fn make(folder: &Path) -> io::Result<ControlSocket> {
        let (fresh, path) = (folder.join(NEW_NAME), folder.join(NAME));
        match std::fs::remove_file(&fresh) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = within(folder, NEW_NAME, UnixListener::bind)?;
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
        std::fs::rename(&fresh, &path)?;
        Ok(ControlSocket { listener, path })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes the socket of a node. One that cannot be made is no reason not to serve mail.
pub fn make_for(folder: &Folder) -> Option<ControlSocket> {
    match ControlSocket::make(&folder.0) {
        Ok(socket) => Some(socket),
        Err(error) => {
            let path = path_of(&folder.0).display().to_string();
            log::warn!("event=no-control path={path:?} reason={:?}", error.to_string());
            None
        }
    }
}

/// Connects to the node of a folder.
///
/// # Errors
/// [`ErrorKind::NotFound`] and [`ErrorKind::ConnectionRefused`]: no node runs there. Others as the system gives them.
pub fn connect(folder: &Path) -> io::Result<UnixStream> {
    within(folder, NAME, UnixStream::connect)
}

/// Where the socket of a folder is.
pub fn path_of(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Does it with the path of a name in a folder. A path that is too long for an address goes by way of the open folder.
fn within<T>(folder: &Path, name: &str, act: impl Fn(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let path = folder.join(name);
    if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
        return act(path);
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let folder: File = OpenOptions::new().read(true).custom_flags(flags.bits()).open(folder)?;
    act(PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::FileTypeExt;

    fn check(folder: &Path) {
        assert_eq!(connect(folder).unwrap_err().kind(), ErrorKind::NotFound);
        let socket = ControlSocket::make(folder).unwrap();
        let there = std::fs::symlink_metadata(path_of(folder)).unwrap();
        assert!(there.file_type().is_socket() && there.permissions().mode() & 0o777 == 0o600);
        assert!(!folder.join(NEW_NAME).exists());
        let mut client = connect(folder).unwrap();
        let (mut server, _) = socket.listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        drop(socket);
        assert_eq!(connect(folder).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn it_is_there_for_its_user_alone_and_goes_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path());
    }

    #[test]
    fn a_folder_with_a_long_name_has_one_too() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120)).join("e".repeat(200));
        std::fs::create_dir_all(&deep).unwrap();
        check(&deep);
    }

    #[test]
    fn a_dead_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        // As a killed node leaves it: the name without anybody behind it.
        drop(UnixListener::bind(path_of(folder.path())).unwrap());
        drop(UnixListener::bind(folder.path().join(NEW_NAME)).unwrap());
        assert_eq!(connect(folder.path()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let _socket = ControlSocket::make(folder.path()).unwrap();
        connect(folder.path()).unwrap();
    }
}
