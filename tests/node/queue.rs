//! `hauspost queue` and the control socket it speaks over.

use crate::process::{Node, PROGRAM, run};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// What a command says, what it complains of, and its exit code.
struct Said {
    text: String,
    sentence: String,
    exit: i32,
}

fn queue(data: &Path, words: &[&str]) -> Said {
    let mut arguments = vec!["queue", words[0], "--data", data.to_str().unwrap()];
    arguments.extend(&words[1..]);
    said(run(&arguments, ""))
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { text: text(output.stdout), sentence: text(output.stderr), exit: output.status.code().unwrap() }
}

fn done(data: &Path, words: &[&str]) -> String {
    let said = queue(data, words);
    assert_eq!((said.exit, said.sentence.as_str()), (0, ""), "{words:?}: {}", said.text);
    said.text
}

const EMPTY: &str = "The queue is empty: nothing waits to be sent.\n";

#[test]
fn the_socket_is_for_the_nodes_user_alone_and_goes_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::try_in(&data);
    let socket = data.join("control");
    let there = std::fs::symlink_metadata(&socket).unwrap();
    assert!(there.file_type().is_socket());
    assert_eq!((there.permissions().mode() & 0o777, there.uid()), (0o600, nix::unistd::geteuid().as_raw()));
    assert_eq!(done(&data, &["list"]), EMPTY);
    node.stop();
    assert!(!socket.exists() && !data.join("control.new").exists());
    // And the same on the store.
    assert_eq!(done(&data, &["list"]), EMPTY);
    assert_eq!(done(&data, &["list", "--json"]), "[\n]\n");
}

#[test]
fn a_killed_nodes_socket_is_passed_over_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut node = Node::try_in(&data);
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    assert!(data.join("control").exists());
    assert_eq!(done(&data, &["list"]), EMPTY);
    let node = Node::try_in(&data);
    assert_eq!(done(&data, &["list"]), EMPTY);
    node.stop();
}

#[test]
fn a_store_in_use_by_something_that_does_not_answer_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::try_in(&data);
    std::fs::remove_file(data.join("control")).unwrap();
    let said = queue(&data, &["list"]);
    assert_eq!((said.exit, said.text.as_str()), (74, ""));
    assert!(said.sentence.contains("another process uses") && said.sentence.contains("/control"), "{}", said.sentence);
    node.stop();
}

#[test]
fn what_is_no_data_folder_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let said = queue(folder.path(), &["list"]);
    assert_eq!(said.exit, 78);
    assert!(said.sentence.contains("is it the data folder?"), "{}", said.sentence);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    for words in [&["retry"][..], &["retry", "x"], &["retry", "--all", "3"], &["show", "1,2"], &["fly"]] {
        assert_eq!(queue(folder.path(), words).exit, 64, "{words:?}");
    }
}

/// Sends bytes to the socket and returns all that comes back until the node closes it.
fn send(data: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut socket = UnixStream::connect(data.join("control")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut back = Vec::new();
    let _ = socket.read_to_end(&mut back);
    back
}

#[test]
fn garbage_and_floods_are_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::try_in(&data);
    let framed = |words: &[u8]| [&u32::try_from(words.len()).unwrap().to_be_bytes()[..], words].concat();
    for bytes in [
        &b""[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 100_000],
        &framed(b""),
        &framed(b"0\0queue\0list"),
        &framed(b"x\0queue\0list\0"),
        &framed(b"0\0queue\0fly\0"),
        &framed(b"0\0fly\0"),
        &framed(b"0\0\xff\0"),
        &framed(b"0\0"),
    ] {
        let back = send(&data, bytes);
        // A failure, exit code 64, or nothing for what has gone already.
        assert!(back.is_empty() || (back[0] == b'f' && back[5] == 64), "{bytes:?}: {back:?}");
    }
    // Silent clients take all places; who comes then is told, and when they have had their time it goes on.
    let silent: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(data.join("control")).unwrap()).collect();
    let said = queue(&data, &["list"]);
    assert_eq!(said.exit, 69, "{}", said.sentence);
    node.deliver("mail goes on");
    let mut first = &silent[0];
    first.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut told = Vec::new();
    first.read_to_end(&mut told).unwrap();
    assert!(told.ends_with(b"in time"), "{told:?}");
    drop(silent);
    assert_eq!(done(&data, &["list"]), EMPTY);
    node.stop();
}

#[test]
fn a_folder_with_a_long_name_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(150));
    std::fs::create_dir(&deep).unwrap();
    let data = deep.join("data");
    let node = Node::try_in(&data);
    assert_eq!(done(&data, &["list"]), EMPTY);
    assert_eq!(
        said(Command::new(PROGRAM).args(["queue", "list", "--data", "data"]).current_dir(&deep).output().unwrap()).text,
        EMPTY
    );
    node.stop();
}
