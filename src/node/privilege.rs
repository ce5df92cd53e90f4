//! Rights: what root may do is done first, then root is given up for good.
//!
//! Called before any thread starts, because the kernel keeps user and group per thread.

use crate::node::failure::{Exit, Failure};
use crate::node::folder::Folder;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgroups, getresgid, getresuid, setgid, setgroups, setuid};
use std::os::unix::fs::MetadataExt;

/// The user and group to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: Uid,
    group: Gid,
    name: String,
}

/// New files are for their owner alone.
pub fn close_new_files() {
    umask(Mode::from_bits_truncate(0o077));
}

/// No way to more rights than we have now, not even by a program that carries them (prctl(2), PR_SET_NO_NEW_PRIVS).
/// We start no programs; whoever breaks in should not gain by it either. A kernel that lacks it is no reason to stop.
pub fn renounce_new_privileges() {
    if let Err(e) = nix::sys::prctl::set_no_new_privs() {
        log::debug!("event=no-new-privileges-unavailable reason={e}");
    }
}

/// Whether this process has root's rights.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Finds the user and group by name; an empty group is the user's own.
pub fn find_identity(user: &str, group: &str) -> Result<Identity, Failure> {
    let unknown = |what: &str, name: &str| Failure::new(Exit::Configuration, format!("there is no {what} {name:?}"));
    let found = User::from_name(user).ok().flatten().ok_or_else(|| unknown("user", user))?;
    let gid = match group {
        "" => found.gid,
        name => Group::from_name(name).ok().flatten().ok_or_else(|| unknown("group", name))?.gid,
    };
    if found.uid.is_root() || gid.as_raw() == 0 {
        return Err(Failure::new(Exit::Configuration, format!("user {user:?} has root's rights; choose another one")));
    }
    Ok(Identity { user: found.uid, group: gid, name: user.to_string() })
}

/// Gives a folder that root made, with everything directly in it, to the user who will serve it. A folder that
/// belongs to anybody else is left alone. Links are not followed.
pub fn hand_over(folder: &Folder, identity: &Identity) -> Result<(), Failure> {
    let hand = || -> std::io::Result<()> {
        if std::fs::symlink_metadata(&folder.0)?.uid() != 0 {
            return Ok(());
        }
        let (user, group) = (Some(identity.user.as_raw()), Some(identity.group.as_raw()));
        for entry in std::fs::read_dir(&folder.0)? {
            let path = entry?.path();
            // Two names for one file: it may be somebody else's, so it stays whose it is.
            if std::fs::symlink_metadata(&path)?.nlink() == 1 {
                std::os::unix::fs::lchown(path, user, group)?;
            }
        }
        // The folder last: a run that was cut short starts over.
        std::os::unix::fs::lchown(&folder.0, user, group)
    };
    hand().map_err(|e| {
        let sentence = format!("cannot give {} to user {:?}: {e}", folder.0.display(), identity.name);
        Failure::new(Exit::System, sentence)
    })
}

/// Root that works in somebody else's folder becomes that user; everybody else stays who they are.
pub fn become_owner_of(folder: &Folder) -> Result<(), Failure> {
    let found = std::fs::metadata(&folder.0)
        .map_err(|e| Failure::new(Exit::System, format!("cannot look at {}: {e}", folder.0.display())))?;
    if !is_root() || found.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    become_identity(&Identity { user, group, name: user.to_string() })
}

/// Becomes that user for ever, and makes sure that there is no way back.
pub fn become_identity(identity: &Identity) -> Result<(), Failure> {
    let failed = |what: &str| Failure::new(Exit::System, format!("cannot give up root's rights: {what}"));
    setgroups(&[identity.group]).map_err(|e| failed(&format!("setgroups: {e}")))?;
    setgid(identity.group).map_err(|e| failed(&format!("setgid: {e}")))?;
    setuid(identity.user).map_err(|e| failed(&format!("setuid: {e}")))?;
    let (users, groups) = (getresuid(), getresgid());
    let users_gone = users.is_ok_and(|u| [u.real, u.effective, u.saved].iter().all(|uid| *uid == identity.user));
    let groups_gone = groups.is_ok_and(|g| [g.real, g.effective, g.saved].iter().all(|gid| *gid == identity.group));
    let others_gone = getgroups().is_ok_and(|groups| groups.iter().all(|gid| *gid == identity.group));
    if !users_gone || !groups_gone || !others_gone {
        return Err(failed("some of them are still there"));
    }
    if setuid(Uid::from_raw(0)).is_ok() || setgid(Gid::from_raw(0)).is_ok() {
        return Err(failed("they could be taken back"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_users_and_root_are_refused() {
        assert!(find_identity("no-such-user-here", "").unwrap_err().sentence.contains("no-such-user-here"));
        assert!(find_identity("root", "").unwrap_err().sentence.contains("choose another"));
    }
}
