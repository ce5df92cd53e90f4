//! `hauspost try`.

use crate::process::{Node, PASSWORD, free_base, refused, run, try_command};
use std::net::TcpListener;
use std::process::Stdio;

#[test]
fn every_port_greets_and_mail_goes_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::try_in(&folder.path().join("data"));
    for (port, greeting) in [(25, "220 "), (587, "220 "), (110, "+OK"), (143, "* OK")] {
        let line = node.plain(port).line();
        assert!(line.starts_with(greeting), "port {port} says {line:?}");
    }
    for (port, greeting) in [(465, "220 "), (995, "+OK"), (993, "* OK")] {
        let line = node.tls(port).line();
        assert!(line.starts_with(greeting), "port {port} says {line:?}");
    }
    node.deliver("first-of-all");
    for peer in [node.plain(143), node.tls(993)] {
        let mut imap = peer.imap_login();
        let selected = imap.imap("SELECT INBOX");
        assert!(selected.contains("* 2 EXISTS"), "{selected}");
        let message = imap.imap("FETCH 2 (BODY.PEEK[])");
        assert!(message.contains("Subject: first-of-all\r\n") && message.contains("body of first-of-all\r\n"));
        imap.imap("LOGOUT");
    }
    for peer in [node.plain(110), node.tls(995)] {
        let mut pop3 = peer.pop3_login();
        assert!(pop3.ask("RETR 2").starts_with("+OK"));
        assert!(pop3.read_until("\r\n.\r\n").contains("body of first-of-all"));
        assert!(pop3.ask("QUIT").starts_with("+OK"));
    }
    node.stop();
}

#[test]
fn a_new_store_has_a_welcome_and_an_old_one_no_second() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for _ in 0..2 {
        let node = Node::try_in(&data);
        let inbox = node.inbox();
        assert_eq!(inbox.len(), 1);
        for field in ["Date: ", "From: ", "To: <me@home.test>", "Subject: Welcome", "Message-ID: <"] {
            assert!(inbox[0].contains(field), "{field} is missing in {}", inbox[0]);
        }
        node.stop();
    }
}

#[test]
fn a_new_password_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Node::try_in(&data).stop();
    let base = free_base();
    let mut command = try_command(&data, base);
    command.args(["--log-level", "off"]);
    let command = {
        let mut other = std::process::Command::new(command.get_program());
        other.args(
            command.get_args().map(|argument| if argument == PASSWORD { "another one".as_ref() } else { argument }),
        );
        other
    };
    let node = Node::start(command, base, &data);
    let mut imap = node.plain(143);
    imap.line();
    assert!(imap.imap(&format!("LOGIN me \"{PASSWORD}\"")).contains("t NO"));
    assert!(imap.imap("LOGIN me@home.test \"another one\"").contains("t OK"));
    node.stop();
}

#[test]
fn what_it_prints_is_enough_to_log_in_and_its_folder_goes_with_it() {
    let base = free_base();
    let mut command = std::process::Command::new(crate::process::PROGRAM);
    command.args(["try", "--port-base", &base.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut node = Node { child: command.spawn().unwrap(), base, data: Default::default() };
    let mut out = std::io::BufReader::new(node.child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("curl ") {
        assert!(std::io::BufRead::read_line(&mut out, &mut text).unwrap() > 0);
    }
    let value = |name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.trim_start().strip_prefix(name).unwrap().trim().to_string()
    };
    let password = value("password");
    let data = value("mail is in").replace(" (removed at the end)", "");
    assert!(std::path::Path::new(&data).is_dir());
    let mut imap = node.plain(143);
    imap.line();
    assert!(imap.imap(&format!("LOGIN me {password}")).contains("t OK"));
    assert!(text.contains(&format!("swaks --server 127.0.0.1:{}", base + 25)));
    node.signal("INT");
    assert!(node.await_end(std::time::Duration::from_secs(5)).success());
    assert!(!std::path::Path::new(&data).exists());
}

#[test]
fn its_folder_goes_too_when_it_is_ended_while_it_starts() {
    let temporary = tempfile::tempdir().unwrap();
    let base = free_base();
    let mut command = std::process::Command::new(crate::process::PROGRAM);
    command.args(["try", "--port-base", &base.to_string()]).env("TMPDIR", temporary.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let mut node = Node { child, base, data: Default::default() };
    let is_empty = || std::fs::read_dir(temporary.path()).unwrap().next().is_none();
    while is_empty() {
        assert!(node.child.try_wait().unwrap().is_none(), "it ended early");
    }
    node.signal("INT");
    assert!(node.await_end(std::time::Duration::from_secs(30)).success());
    assert!(is_empty());
}

#[test]
fn a_port_in_use_is_named_and_another_base_suggested() {
    let base = free_base();
    let _taken = TcpListener::bind(("127.0.0.1", base + 143)).unwrap();
    let (sentence, exit) = refused(&["try", "--port-base", &base.to_string()]);
    assert_eq!(exit, 69);
    assert!(sentence.contains(&format!("port {} on 127.0.0.1", base + 143)), "{sentence}");
    assert!(sentence.contains("--port-base"), "{sentence}");
}

#[test]
fn without_the_port_for_pages_everything_else_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let base = free_base();
    let _taken = TcpListener::bind(("127.0.0.1", base + 443)).unwrap();
    let node = Node::start(try_command(&data, base), base, &data);
    let said = run(&["status", "--data", data.to_str().unwrap()], "");
    let said = String::from_utf8(said.stdout).unwrap();
    let missing =
        format!("https        does not: port {} on 127.0.0.1 (for https) is in use by another program", base + 443);
    assert!(said.contains(&missing), "{said}");
    assert_eq!(said.matches("event=not-listening service=https").count(), 1, "{said}");
    node.deliver("mail-goes-on");
    node.stop();
}

#[test]
fn a_link_leads_to_the_port_that_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::try_in(&data);
    let said = run(&["device", "add", "phone", "--data", data.to_str().unwrap()], "");
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains(&format!("link      https://localhost:{}/d/", node.base + 443)), "{said}");
    node.stop();
    let said = run(&["device", "link", "phone", "--data", data.to_str().unwrap()], "");
    assert!(String::from_utf8(said.stderr).unwrap().contains("the server does not run"));
}

#[test]
fn one_folder_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::try_in(&data);
    let base = free_base();
    let (sentence, exit) =
        refused(&["try", "--password", PASSWORD, "--port-base", &base.to_string(), "--data", data.to_str().unwrap()]);
    assert_eq!(exit, 74, "{sentence}");
    assert!(sentence.contains("in use by another process"), "{sentence}");
    node.deliver("still-alive");
    node.stop();
}

#[test]
fn wrong_arguments_are_one_sentence_and_64() {
    for arguments in [&["fly"][..], &["try", "--port-base", "65000"], &["try", "--password", ""], &["serve"]] {
        assert_eq!(refused(arguments).1, 64, "{arguments:?}");
    }
    assert!(run(&["--version"], "").status.success());
    assert!(run(&["--help"], "").status.success());
}
