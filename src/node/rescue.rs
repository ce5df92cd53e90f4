//! `hauspost check --salvage`: what can still be read of a damaged data folder, as a new one.
//!
//! The damaged folder is only read. The new one gets a store, the configuration and certificates, what can be read of
//! damaged messages, and a list of what is lost.

use crate::net::Clock;
use crate::node::check::{describe_counts, lock, show_progress};
use crate::node::command::print;
use crate::node::failure::{Exit, Failure};
use crate::node::folder::{Folder, write_new_file};
use crate::node::owner::in_store;
use crate::store::{FileDisk, Inspected, Partial, ReadOnlyDisk, Salvaged, Trouble, inspect, salvage};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Losses that are printed; all of them stand in the list.
const LOST_SHOWN_MAX: usize = 40;
/// Largest configuration or certificate file that is copied, in bytes.
const COPIED_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a mailbox's name in the name of a file.
const NAME_CHARACTERS_MAX: usize = 60;

/// Saves what can be saved, and says what is lost and what to do next.
pub fn run(data: &Path, out: &Path) -> Result<(), Failure> {
    let damaged = lock(data)?;
    let owner = std::fs::metadata(data).map_err(|e| cannot(data, &e))?;
    let folder = take_new(out)?;
    let mut report = format!("{} -> {}\n", data.display(), folder.0.display());
    for sentence in copy_files(data, &folder)? {
        let _ = writeln!(report, "  {sentence}");
    }
    let salvaged = save(&damaged, &folder)?;
    if !salvaged.lost.is_empty() {
        let list: String = salvaged.lost.iter().map(|lost| format!("{}\n", lost.sentence)).collect();
        write_new_file(&folder.0.join("lost.txt"), list.as_bytes(), 0o600)?;
    }
    let new = ReadOnlyDisk::new(&folder.0).map_err(|sentence| in_store(&Trouble::Failed(sentence)))?;
    let inspected = inspect(Arc::new(new), show_progress("messages checked")).map_err(|e| in_store(&e))?;
    hand_over(&folder.0, &owner).map_err(|e| cannot(&folder.0, &e))?;
    report.push_str(&describe(&folder, &salvaged, &inspected));
    print(&report)?;
    match (inspected.findings.first(), salvaged.lost.len()) {
        (Some(finding), _) => Err(Failure::new(Exit::Store, format!("the new store is not sound: {finding}"))),
        (None, 0) => Ok(()),
        (None, _) => Err(Failure::new(Exit::Findings, "something is lost")),
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::CannotCreate, format!("{}: {error}", path.display()))
}

fn take_new(out: &Path) -> Result<Folder, Failure> {
    let folder = Folder::take(out)?;
    match folder.first_entry().map_err(|e| cannot(out, &e))? {
        None => Ok(folder),
        Some(name) => Err(Failure::new(
            Exit::CannotCreate,
            format!("{} is not empty (it has {name:?} in it): nothing was changed", out.display()),
        )),
    }
}

/// Copies configuration, certificates and keys with their modes. Returns what could not be copied.
fn copy_files(data: &Path, folder: &Folder) -> Result<Vec<String>, Failure> {
    let mut missing = Vec::new();
    let entries = std::fs::read_dir(data).map_err(|e| cannot(data, &e))?;
    for entry in entries {
        let Ok(name) = entry.map(|entry| entry.file_name()) else {
            missing.push("not all names in the folder can be read".into());
            continue;
        };
        let is_wanted = name == "hauspost.toml" || Path::new(&name).extension() == Some(OsStr::new("pem"));
        let path = data.join(&name);
        if !is_wanted {
            continue;
        }
        let read = || -> std::io::Result<(Metadata, Vec<u8>)> {
            let facts = std::fs::metadata(&path)?;
            if !facts.is_file() || facts.len() > COPIED_BYTES_MAX {
                return Err(std::io::Error::other("it is no file of that kind"));
            }
            Ok((facts, std::fs::read(&path)?))
        };
        match read() {
            Ok((facts, bytes)) => {
                write_new_file(&folder.0.join(&name), &bytes, facts.permissions().mode() & 0o777)?;
            }
            Err(error) => missing.push(format!("{} was not copied: {error}", path.display())),
        }
    }
    Ok(missing)
}

fn save(damaged: &ReadOnlyDisk, folder: &Folder) -> Result<Salvaged, Failure> {
    let disk = FileDisk::new(&folder.0).map_err(|sentence| in_store(&Trouble::Failed(sentence)))?;
    let now = u64::try_from(Clock::system().now().seconds()).unwrap_or(0);
    let parts = folder.0.join("damaged");
    let mut keep = |partial: &Partial| {
        let failed = |error: std::io::Error| Trouble::Failed(format!("cannot write to {}: {error}", parts.display()));
        if !parts.exists() {
            DirBuilder::new().mode(0o700).create(&parts).map_err(failed)?;
        }
        let path = free_path(&parts, partial);
        write_new_file(&path, &partial.bytes, 0o600).map_err(|failure| Trouble::Failed(failure.sentence))
    };
    salvage(damaged, &disk, now, &mut show_progress("messages saved"), &mut keep).map_err(|e| in_store(&e))
}

/// UID, mailbox, and a number where mailboxes differ only in what a file's name cannot say.
fn free_path(folder: &Path, partial: &Partial) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = partial.mailbox.chars().take(NAME_CHARACTERS_MAX).map(plain).collect();
    let mut path = folder.join(format!("{}-{name}.partial.eml", partial.uid.0));
    for number in 2.. {
        if !path.exists() {
            break;
        }
        path = folder.join(format!("{}-{name}-{number}.partial.eml", partial.uid.0));
    }
    path
}

/// Whoever had the damaged folder has the new one.
fn hand_over(folder: &Path, owner: &Metadata) -> std::io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            hand_over(&path, owner)?;
        } else {
            chown(&path, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    chown(folder, Some(owner.uid()), Some(owner.gid()))
}

fn describe(folder: &Folder, salvaged: &Salvaged, inspected: &Inspected) -> String {
    let path = folder.0.display();
    let mut text = format!("\nIn the new folder, read and checked once more:\n{}", describe_counts(inspected));
    for note in &salvaged.notes {
        let _ = writeln!(text, "  {note}");
    }
    if salvaged.lost.is_empty() {
        text.push_str("\nNothing is lost.\n");
    } else {
        text.push_str("\nWhat is lost:\n");
        for lost in salvaged.lost.iter().take(LOST_SHOWN_MAX) {
            let _ = writeln!(text, "  - {}", lost.sentence);
        }
        if let Some(more @ 1..) = salvaged.lost.len().checked_sub(LOST_SHOWN_MAX) {
            let _ = writeln!(text, "  - and {more} more");
        }
        let _ = writeln!(text, "All of it is listed in {path}/lost.txt.");
        if folder.0.join("damaged").exists() {
            let _ = writeln!(text, "Readable parts of damaged messages are in {path}/damaged.");
        }
    }
    let _ = write!(
        text,
        "
What to do now:
  1. hauspost serve --data {path}
     (or move the folder to where the server looks for it).
  2. Keep the old folder until you have looked around in the new one.
"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Lost;

    #[test]
    fn losses_are_listed_as_far_as_they_can_be_read() {
        let lost = |number| Lost { message: None, sentence: format!("loss {number}") };
        let salvaged = Salvaged { notes: vec!["a note".into()], lost: (0..50).map(lost).collect() };
        let folder = Folder("/new".into());
        let text = describe(&folder, &salvaged, &Inspected::default());
        assert!(text.contains("a note\n") && text.contains("loss 39\n  - and 10 more\n"), "{text}");
        assert!(text.contains("/new/lost.txt"), "{text}");
        let text = describe(&folder, &Salvaged::default(), &Inspected::default());
        assert!(text.contains("Nothing is lost"), "{text}");
    }

    #[test]
    fn only_new_or_empty_folders_are_filled() {
        let temporary = tempfile::tempdir().unwrap();
        let out = temporary.path().join("out");
        take_new(&out).unwrap();
        std::fs::write(out.join("file"), b"").unwrap();
        assert_eq!(take_new(&out).unwrap_err().exit, Exit::CannotCreate);
    }
}
