//! `hauspost selftest`, against nodes that work and nodes that do not; `hauspost update` where there are no slots.

use crate::process::{Node, free_base, refused, run};
use crate::serve::{configure, init, serve_command};
use std::path::Path;

#[test]
fn a_node_that_works_writes_to_itself_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = data.to_str().unwrap();
    let node = Node::try_in(&data);
    node.deliver("of somebody else");
    let before = node.inbox();
    for _ in 0..2 {
        let output = run(&["selftest", "--data", path], "");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        for (service, port) in [("SMTP", 25), ("IMAP", 993), ("POP3", 995)] {
            assert!(said.contains(&format!("{service}  127.0.0.1:{}", node.base + port)), "{said}");
        }
        assert!(said.ends_with("The server delivers mail and gives it back.\n"), "{said}");
    }
    assert_eq!(node.inbox(), before);
    let devices = run(&["device", "list", "--data", path], "");
    assert_eq!(
        String::from_utf8(devices.stdout).unwrap(),
        "There are no devices: every login uses your own password.\n"
    );
    node.stop();
    let (sentence, exit) = refused(&["selftest", "--data", path]);
    assert_eq!((exit, sentence.contains("no server runs in")), (1, true), "{sentence}");
}

/// A node with these listeners, each with its port above the base.
fn serve_with(folder: &Path, listen: &[(&str, u16)]) -> Node {
    let (data, base) = (init(folder, &[]), free_base());
    let all = ["mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "https"];
    let line = |name: &&str| match listen.iter().find(|(known, _)| known == name) {
        Some((_, port)) => format!("{name} = [\"127.0.0.1:{}\"]\n", base + port),
        None => format!("{name} = []\n"),
    };
    configure(&data, "listen", &all.iter().map(line).collect::<String>());
    Node::start(serve_command(&data), base, &data)
}

#[test]
fn tls_is_begun_by_a_command_where_it_is_not_there_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let node = serve_with(folder.path(), &[("mx", 25), ("imap", 143), ("pop3", 110)]);
    let output = run(&["selftest", "--data", node.data.to_str().unwrap()], "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("POP3  127.0.0.1:{}  gave it back\n", node.base + 110)), "{said}");
}

#[test]
fn a_node_that_gives_nothing_back_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let node = serve_with(folder.path(), &[("mx", 25), ("pop3s", 995)]);
    let (sentence, exit) = refused(&["selftest", "--data", node.data.to_str().unwrap()]);
    assert_eq!((exit, sentence.contains("nothing listens for IMAP")), (1, true), "{sentence}");
}

#[test]
fn updates_come_as_packages_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    let (sentence, exit) = refused(&["update", "--root", root.path().to_str().unwrap(), "hauspost.update"]);
    assert_eq!(exit, 78);
    assert!(sentence.contains("as a package"), "{sentence}");
}

#[test]
fn an_update_comes_from_a_file_or_stdin() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    for folder in ["etc", "boot/b"] {
        std::fs::create_dir_all(path(folder)).unwrap();
    }
    let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    for (name, text) in [
        ("etc/hauspost-board", "pi"),
        ("etc/build-time", "1"),
        ("etc/hauspost-update.pub", key),
        ("boot/select.txt", "os_prefix=a/\ncmdline=cmdline.txt\n#trial=none\n"),
        ("update", "no update at all, but long enough for one"),
    ] {
        std::fs::write(path(name), text).unwrap();
    }
    let (folder, file) = (root.path().to_str().unwrap(), path("update"));
    let (sentence, exit) = refused(&["update", "--root", folder, file.to_str().unwrap()]);
    assert_eq!((exit, sentence.contains("it is no update")), (1, true), "{sentence}");
    // Nothing comes.
    let (sentence, exit) = refused(&["update", "--root", folder, "--stdin"]);
    assert_eq!((exit, sentence.contains("it is cut off")), (1, true), "{sentence}");
    for arguments in [&["update", "--root", folder][..], &["update", "--root", folder, "--stdin", "x"]] {
        let (sentence, exit) = refused(arguments);
        assert_eq!((exit, sentence.contains("--stdin")), (64, true), "{sentence}");
    }
}
