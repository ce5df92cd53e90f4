//! `hauspost queue` and the control socket it speaks over.

use crate::process::{Node, PROGRAM, run};
use crate::remote::Remote;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

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

/// The owner sends a message; returns its number.
fn submit(node: &Node, subject: &str) -> String {
    let mut smtp = node.plain(587);
    smtp.line();
    smtp.say("EHLO client.example");
    smtp.read_until("\n250 ");
    smtp.line();
    // \0me\0PASSWORD
    assert!(smtp.ask("AUTH PLAIN AG1lAGNvcnJlY3QgaG9yc2UgYmF0dGVyeQ==").starts_with("235"));
    for (line, code) in [("MAIL FROM:<me@home.test>", "250"), ("RCPT TO:<bob@far.example>", "250"), ("DATA", "354")] {
        let reply = smtp.ask(line);
        assert!(reply.starts_with(code), "{line}: {reply}");
    }
    let reply =
        smtp.ask(&format!("From: <me@home.test>\r\nTo: <bob@far.example>\r\nSubject: {subject}\r\n\r\nbody\r\n."));
    reply.strip_prefix("250 2.0.0 Queued as ").expect(&reply).to_owned()
}

/// A node whose mail goes to a server that puts it off.
fn relaying(data: &Path) -> (Node, Remote) {
    let remote = Remote::start();
    let node = Node::try_with(data, &["--relay", &format!("127.0.0.1:{}", remote.port)]);
    (node, remote)
}

/// Waits until what the list says holds a text.
fn await_list(data: &Path, wanted: &str) -> String {
    let begin = Instant::now();
    loop {
        let text = done(data, &["list"]);
        if text.contains(wanted) {
            return text;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "never {wanted:?} in\n{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_owner_sees_and_decides_what_becomes_of_mail_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (node, remote) = relaying(&data);
    let one = submit(&node, "number one \x1b[31mred");
    let text = await_list(&data, "tried once");
    assert!(text.starts_with(&format!("{one}  from me@home.test, ")), "{text}");
    for wanted in [
        "to       bob@far.example\n",
        "next     in ",
        "subject  number one \\u{1b}[31mred\n",
        "451 4.7.1 greylisted, come again\n",
        "greylisting",
        "1 message in the queue, ",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
    let text = done(&data, &["show", &one]);
    for wanted in ["subject    number one \\u{1b}[31mred\n", "bob@far.example\n", "tried    once, at ", "greylisting"] {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
    let json = done(&data, &["list", "--json"]);
    assert!(json.starts_with("[\n{\"id\":1,\"from\":\"me@home.test\",") && json.ends_with("}\n]\n"), "{json}");

    // Held, it stays although the server would take it now and everything else goes out.
    assert_eq!(done(&data, &["hold", &one]), format!("{one}: is held until you release it\n"));
    assert_eq!(done(&data, &["hold", &one]), format!("{one}: was held already\n"));
    remote.take();
    let two = submit(&node, "number two");
    remote.await_messages(1);
    assert!(await_list(&data, "1 held").contains("held: not before you release it; tried once"));
    let said = queue(&data, &["retry", &one]);
    assert_eq!((said.exit, said.text), (1, format!("{one}: is held, so it is not tried: release it first\n")));
    assert!(done(&data, &["retry", "--all"]).ends_with("1 message was held before and not changed\n"));
    assert_eq!(done(&data, &["release", "--all"]), "1 message: released\n");
    assert!(remote.await_messages(2)[1].contains("number one"));
    await_list(&data, "empty");

    // What is not there is said so.
    for word in ["show", "retry", "hold", "release", "remove", "bounce"] {
        let said = queue(&data, &[word, &two]);
        assert_eq!((said.exit, said.text.as_str()), (1, ""), "{word}");
        assert!(said.sentence.contains(&format!("there is no message {two} in the queue")), "{}", said.sentence);
    }
    node.stop();
}

#[test]
fn mail_is_tried_now_removed_or_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (node, remote) = relaying(&data);
    let ids: Vec<String> = ["retried", "removed", "given up"].iter().map(|subject| submit(&node, subject)).collect();
    let begin = Instant::now();
    while done(&data, &["list"]).matches("tried once").count() < 3 {
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
    let both = done(&data, &["remove", &ids[1], &ids[1]]);
    assert_eq!(both, format!("{}: removed; nobody is told\n", ids[1]));
    assert_eq!(done(&data, &["bounce", &ids[2]]), format!("{}: given up; whoever wrote it is told\n", ids[2]));
    remote.take();
    let said = queue(&data, &["retry", &ids[0], &ids[1], "99"]);
    assert_eq!((said.exit, said.text), (1, format!("{}: is tried now\n", ids[0])));
    assert!(said.sentence.contains(&format!("there are no messages {}, 99", ids[1])), "{}", said.sentence);
    assert!(remote.await_messages(1)[0].contains("Subject: retried"));
    await_list(&data, "empty");
    let inbox = node.inbox();
    let bounces: Vec<&String> = inbox.iter().filter(|message| message.contains("MAILER-DAEMON")).collect();
    assert_eq!(bounces.len(), 1);
    for wanted in ["Subject: Not delivered: given up", "has given it", "greylisted, come again", "Action: failed"] {
        assert!(bounces[0].contains(wanted), "{wanted} is missing in\n{}", bounces[0]);
    }
    node.stop();
    assert_eq!(remote.messages().len(), 1);
}

#[test]
fn nobody_is_told_of_a_failure_that_is_a_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (node, remote) = relaying(&data);
    remote.take();
    remote.ponder(true);
    let one = submit(&node, "on its way");
    remote.await_messages(1);
    assert!(done(&data, &["hold", &one]).contains("is being sent at this moment"));
    let asked = std::thread::spawn({
        let (data, one) = (data.clone(), one.clone());
        move || queue(&data, &["bounce", &one])
    });
    // It waits for the answer; had it not, it would have done its harm by now.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!asked.is_finished() && done(&data, &["show", &one]).contains("on its way"));
    remote.ponder(false);
    let said = asked.join().unwrap();
    assert_eq!((said.exit, said.text.as_str()), (1, ""), "{}", said.sentence);
    assert_eq!(done(&data, &["list"]), EMPTY);
    assert!(!node.inbox().iter().any(|message| message.contains("MAILER-DAEMON")));
    node.stop();
}

#[test]
fn without_a_running_node_the_same_is_done_on_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (node, remote) = relaying(&data);
    let ids: Vec<String> = (0..4).map(|number| submit(&node, &format!("number {number}"))).collect();
    await_list(&data, "4 messages in the queue");
    // Also after a kill: the journal has what was acknowledged.
    drop(node);
    assert!(done(&data, &["list"]).contains("4 messages in the queue"));
    assert!(done(&data, &["show", &ids[0]]).contains("subject    number 0"));
    assert!(done(&data, &["hold", &ids[0]]).contains("is held"));
    assert_eq!(done(&data, &["retry", &ids[1]]), format!("{}: is tried as soon as the server runs\n", ids[1]));
    assert!(done(&data, &["remove", &ids[2]]).contains("removed"));
    assert!(done(&data, &["bounce", &ids[3]]).contains("whoever wrote it is told"));
    assert_eq!(queue(&data, &["remove", &ids[2]]).exit, 1);
    assert!(done(&data, &["list"]).contains("2 messages in the queue, "));
    remote.take();
    let node = Node::try_with(&data, &["--relay", &format!("127.0.0.1:{}", remote.port)]);
    assert!(remote.await_messages(1)[0].contains("number 1"));
    await_list(&data, "1 message in the queue, ");
    assert!(node.inbox().iter().any(|message| message.contains("Subject: Not delivered: number 3")));
    node.stop();
    assert_eq!(remote.messages().len(), 1);
}
