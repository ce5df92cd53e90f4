//! `hauspost check`, `check --salvage` and `compact`: what the owner has when the card fails.

use crate::process::{Node, refused, run};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

const PAGE_BYTES: usize = 4096;

fn command(arguments: &[&str], data: &Path) -> Output {
    run(&[arguments, &["--data", data.to_str().unwrap()]].concat(), "")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder with some mail; its node was killed, so the last of it is in the journal.
fn used_folder(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    let mut node = Node::try_in(&data);
    (0..40).for_each(|number| node.deliver(&format!("number {number}")));
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    data
}

/// All files with their contents; a killed node's socket has none.
fn contents(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: &Path| if path.ends_with("control") { Vec::new() } else { std::fs::read(path).unwrap() };
    files.map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn a_sound_folder_is_said_to_be_sound_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = used_folder(folder.path());
    let before = contents(&data);
    let output = command(&["check"], &data);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    // The first message and those that were delivered.
    assert!(text(&output).contains("messages               41\n"), "{}", text(&output));
    assert!(contents(&data) == before, "check wrote to the folder");
}

#[test]
fn a_damaged_folder_is_saved_into_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = used_folder(folder.path());
    let redb = data.join("hauspost.redb");
    let mut bytes = std::fs::read(&redb).unwrap();
    bytes[..PAGE_BYTES].fill(0);
    std::fs::write(&redb, bytes).unwrap();
    let before = contents(&data);
    let output = command(&["check"], &data);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("cannot be opened") && text(&output).contains("--salvage"), "{}", text(&output));

    let out = folder.path().join("out");
    let output = command(&["check", "--salvage", out.to_str().unwrap()], &data);
    assert_eq!(output.status.code(), Some(0), "{} {}", text(&output), String::from_utf8_lossy(&output.stderr));
    assert!(text(&output).contains("Nothing is lost"), "{}", text(&output));
    assert!(contents(&data) == before, "the damaged folder was written to");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&out), 0o700);
    assert_eq!(mode(&out.join("hauspost.redb")), 0o600);
    assert_eq!((mode(&out.join("dkim-try1.pem")), mode(&out.join("cert.pem"))), (0o600, 0o644));
    let trusted = |folder: &Path| std::fs::read(folder.join("cert.pem")).unwrap();
    assert_eq!(trusted(&out), trusted(&data));

    let node = Node::try_in(&out);
    assert_eq!(trusted(&out), trusted(&data), "devices would have to trust another authority");
    let inbox = node.inbox();
    assert!((0..40).all(|number| inbox.iter().any(|message| message.contains(&format!("number {number}\r\n")))));
    node.stop();
    assert_eq!(command(&["check"], &out).status.code(), Some(0));
}

#[test]
fn what_is_lost_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let data = used_folder(folder.path());
    // Whoever cannot open the redb file has the journal.
    std::fs::write(data.join("hauspost.redb"), [7; 50_000]).unwrap();
    let out = folder.path().join("out");
    let output = command(&["check", "--salvage", out.to_str().unwrap()], &data);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let list = std::fs::read_to_string(out.join("lost.txt")).unwrap();
    assert!(list.contains("passwords"), "{list}");
    assert_eq!(std::fs::metadata(out.join("lost.txt")).unwrap().permissions().mode() & 0o777, 0o600);
    let again = command(&["check", "--salvage", out.to_str().unwrap()], &data);
    assert_eq!(again.status.code(), Some(73), "a folder with something in it is left alone");
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut node = Node::try_in(&data);
    let path = data.to_str().unwrap();
    let out = folder.path().join("out");
    for arguments in [
        &["check", "--data", path][..],
        &["check", "--data", path, "--salvage", out.to_str().unwrap()],
        &["compact", "--data", path],
    ] {
        let (sentence, code) = refused(arguments);
        assert_eq!(code, 74, "{arguments:?}");
        assert!(sentence.contains("in use by another process"), "{sentence}");
    }
    assert!(!out.exists());
    node.signal("TERM");
    assert!(node.await_end(Duration::from_secs(5)).success());
}

#[test]
fn a_folder_that_is_not_there_cannot_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    assert_eq!(refused(&["check", "--data", nowhere.to_str().unwrap()]).1, 74);
    assert!(!nowhere.exists());
    assert_eq!(refused(&["check", "--data", folder.path().to_str().unwrap()]).1, 74, "no store in it");
    assert_eq!(refused(&["compact", "--data", nowhere.to_str().unwrap()]).1, 78);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was made");
}

#[test]
fn compacting_gives_space_back_and_keeps_the_mail() {
    let folder = tempfile::tempdir().unwrap();
    let data = used_folder(folder.path());
    let before = std::fs::metadata(data.join("hauspost.redb")).unwrap().len();
    let output = command(&["compact"], &data);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let after = std::fs::metadata(data.join("hauspost.redb")).unwrap().len();
    assert!(text(&output).contains(&format!("{after} bytes after")) && after <= before, "{}", text(&output));
    assert_eq!(command(&["check"], &data).status.code(), Some(0));
    let node = Node::try_in(&data);
    assert_eq!(node.inbox().len(), 41);
    node.stop();
}
