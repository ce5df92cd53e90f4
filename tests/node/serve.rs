//! `hauspost init` and `hauspost serve`.

use crate::peer::Peer;
use crate::process::{Node, PASSWORD, PROGRAM, free_base, refused, run};
use hauspost::net::{Clock, tls};
use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "mail.example.org";

/// Makes a node of example.org.
pub fn init(folder: &Path, more: &[&str]) -> PathBuf {
    let data = folder.join("data");
    let path = data.to_str().unwrap();
    let mut arguments = vec!["init", "--data", path, "--hostname", NAME];
    arguments.extend(["--address", "me@example.org", "--password-stdin"]);
    arguments.extend(more);
    let output = run(&arguments, &format!("{PASSWORD}\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8(output.stdout).unwrap().contains(PASSWORD));
    data
}

/// Puts lines at the end of a configuration's table, or at its start for no table.
pub fn configure(data: &Path, table: &str, lines: &str) {
    let path = data.join("hauspost.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = match table {
        "" => format!("{lines}\n{text}"),
        table => text.replace(&format!("[{table}]\n"), &format!("[{table}]\n{lines}\n")),
    };
    std::fs::write(&path, text).unwrap();
}

fn configure_ports(data: &Path, base: u16) {
    let lines: String = [
        ("mx", 25),
        ("submission", 587),
        ("submissions", 465),
        ("imap", 143),
        ("imaps", 993),
        ("pop3", 110),
        ("pop3s", 995),
        ("https", 443),
    ]
    .iter()
    .map(|(name, port)| format!("{name} = [\"127.0.0.1:{}\"]\n", base + port))
    .collect();
    configure(data, "listen", &lines);
}

pub fn serve_command(data: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--stay-root", "--log-level", "warn", "--data"]).arg(data);
    command
}

/// Whether mail for an address is taken.
fn takes(node: &Node, address: &str) -> bool {
    let mut smtp = node.plain(25);
    smtp.line();
    assert!(smtp.ask("HELO a.example").starts_with("250"));
    assert!(smtp.ask("MAIL FROM:<>").starts_with("250"));
    smtp.ask(&format!("RCPT TO:<{address}>")).starts_with("250")
}

#[test]
fn a_made_node_serves_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    for (file, mode) in [("", 0o700), ("hauspost.toml", 0o600), ("ca.pem", 0o644), ("tls.pem", 0o644)] {
        assert_eq!(std::fs::metadata(data.join(file)).unwrap().permissions().mode() & 0o777, mode, "{file}");
    }
    let base = free_base();
    configure_ports(&data, base);
    let node = Node::start(serve_command(&data), base, &data);
    assert!(takes(&node, "me@example.org") && !takes(&node, "me@home.test"));
    node.tls_as(993, NAME).imap_login();
    // No login without TLS here.
    let mut imap = node.plain(143);
    imap.line();
    assert!(imap.imap(&format!("LOGIN me \"{PASSWORD}\"")).contains("t NO"));
    node.stop();
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    let before = std::fs::read(data.join("hauspost.toml")).unwrap();
    let path = data.to_str().unwrap();
    let again = ["init", "--data", path, "--hostname", "b.example.org", "--address", "b@example.org"];
    let (sentence, exit) = refused(&again);
    assert_eq!(exit, 73);
    assert!(sentence.contains("not empty"), "{sentence}");
    assert_eq!(std::fs::read(data.join("hauspost.toml")).unwrap(), before);
    let (sentence, exit) = refused(&["try", "--data", path, "--port-base", &free_base().to_string()]);
    assert_eq!(exit, 64);
    assert!(sentence.contains("hauspost serve"), "{sentence}");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    configure(&data, "", "hostnam = \"x\"");
    let file = data.join("hauspost.toml");
    let (sentence, exit) = refused(&["serve", "--data", data.to_str().unwrap()]);
    assert_eq!(exit, 78);
    assert!(sentence.contains("hauspost.toml:1: unknown key hostnam; do you mean hostname?"), "{sentence}");
    assert_eq!(refused(&["config", "--check", file.to_str().unwrap()]).1, 78);
}

#[test]
fn the_sample_passes_its_own_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.toml");
    std::fs::write(&file, run(&["config"], "").stdout).unwrap();
    assert!(run(&["config", "--check", file.to_str().unwrap()], "").status.success());
}

#[test]
fn sighup_brings_a_new_configuration_and_certificate_into_force() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    let base = free_base();
    configure_ports(&data, base);
    let file = data.join("hauspost.toml");
    let node = Node::start(serve_command(&data), base, &data);
    assert!(!takes(&node, "second@example.org"));

    let good = std::fs::read_to_string(&file).unwrap();
    let changed = good.replace("[\"me@example.org\"]", "[\"me@example.org\", \"second@example.org\"]");
    std::fs::write(&file, &changed).unwrap();
    assert!(node.tls_as(993, NAME).line().starts_with("* OK"), "its own authority does not vouch for it");
    let other = tls::self_signed(&[NAME.to_owned()], &Clock::system()).unwrap();
    std::fs::write(data.join("key.pem"), other.key_pem).unwrap();
    std::fs::write(data.join("cert.pem"), other.certificate_pem).unwrap();
    node.signal("HUP");
    let begin = Instant::now();
    while !takes(&node, "second@example.org") {
        assert!(begin.elapsed() < Duration::from_secs(10), "never reloaded");
    }
    assert!(node.tls_as(993, NAME).line().starts_with("* OK"), "the old certificate is still shown");
    // A wrong one changes nothing.
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"\nnonsense\n").unwrap();
    node.signal("HUP");
    for _ in 0..20 {
        assert!(takes(&node, "second@example.org"));
    }
    node.stop();
}

#[test]
fn certificates_are_shown_when_they_come_and_owners_bring_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    let base = free_base();
    configure_ports(&data, base);
    let node = Node::start(serve_command(&data), base, &data);
    let path = data.to_str().unwrap();
    let authority = std::fs::read(data.join("ca.pem")).unwrap();
    assert_eq!(run(&["tls", "show", "--ca", "--data", path], "").stdout, authority);

    // Brought over the control socket: shown at once, kept in the store, gone when it is removed.
    let brought = tls::self_signed(&[NAME.to_owned()], &Clock::system()).unwrap();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&cert, &brought.certificate_pem).unwrap();
    std::fs::write(&key, &brought.key_pem).unwrap();
    let import = |name: &str, cert: &Path, key: &Path| {
        let (cert, key) = (cert.to_str().unwrap().to_owned(), key.to_str().unwrap().to_owned());
        let output = run(&["tls", "import", "--data", name, "--cert", &cert, "--key", &key], "");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(import(path, &cert, &key), (Some(0), String::new()));
    let greets = |pem: &[u8]| Peer::tls(node.address(993), pem, NAME).line().starts_with("* OK");
    assert!(greets(brought.certificate_pem.as_bytes()) && !greets(&authority));
    let shown = String::from_utf8(run(&["tls", "show", "--data", path], "").stdout).unwrap();
    assert!(shown.starts_with(&format!("Shown, brought in as {NAME}\n    names       {NAME}\n")), "{shown}");
    let other = tls::self_signed(&["other.example".to_owned()], &Clock::system()).unwrap();
    std::fs::write(&cert, &other.certificate_pem).unwrap();
    let (code, why) = import(path, &cert, &key);
    assert!(code == Some(78) && why.contains("belongs to none"), "{why}");
    std::fs::write(&key, &other.key_pem).unwrap();
    let (code, why) = import(path, &cert, &key);
    assert!(code == Some(78) && why.contains("is for other.example, but this server is mail.example.org"), "{why}");
    assert!(run(&["tls", "remove", NAME, "--data", path], "").status.success());
    assert_eq!(run(&["tls", "remove", NAME, "--data", path], "").status.code(), Some(1));
    assert!(greets(&authority));

    // Put into the folder: shown soon, without a signal.
    let (mut open, put) = (node.tls_as(993, NAME), tls::self_signed(&[NAME.to_owned()], &Clock::system()).unwrap());
    open.line();
    std::fs::write(data.join("key.pem"), &put.key_pem).unwrap();
    std::fs::write(data.join("cert.pem"), &put.certificate_pem).unwrap();
    let begin = Instant::now();
    while !greets(put.certificate_pem.as_bytes()) {
        assert!(begin.elapsed() < Duration::from_secs(30), "never read");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(open.ask("a NOOP").starts_with("a OK"), "a session was dropped");
    let (code, why) = import(path, &cert, &key);
    assert!(code == Some(78) && why.contains("names files"), "{why}");
    node.stop();
}

#[test]
fn a_passed_socket_is_used_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    let base = free_base();
    configure_ports(&data, base);
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = passed.local_addr().unwrap();
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=imap exec \"$@\"";
    let serve = serve_command(&data);
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(serve.get_program()).args(serve.get_args());
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(passed))).stdout(Stdio::null());
    let node = Node { child: command.spawn().unwrap(), base, data: data.clone() };
    assert!(Peer::plain(address).line().starts_with("* OK"));
    assert!(Peer::plain(node.address(25)).line().starts_with("220 "));
    assert!(std::net::TcpStream::connect(node.address(143)).is_err(), "its list was bound too");
    node.stop();
}

#[test]
fn root_is_refused_without_a_user_and_given_up_with_one() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can give up being root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    let (sentence, exit) = refused(&["serve", "--data", data.to_str().unwrap()]);
    assert!(exit == 78 && sentence.contains("root"), "{sentence}");

    // The user must be able to walk to the folder.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let base = free_base();
    configure_ports(&data, base);
    configure(&data, "", "user = \"nobody\"");
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--log-level", "warn", "--data"]).arg(&data);
    let node = Node::start(command, base, &data);
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let ids = |name: &str| -> Vec<u32> {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(|id| id.parse().unwrap()).collect()
    };
    assert_eq!(ids("Uid:"), [nobody.uid.as_raw(); 4]);
    assert_eq!(ids("Gid:"), [nobody.gid.as_raw(); 4]);
    assert_eq!(ids("Groups:"), [nobody.gid.as_raw()]);
    assert!(status.lines().any(|line| line == "CapEff:\t0000000000000000"));
    assert_eq!(std::fs::metadata(data.join("dkim-ed1.pem")).unwrap().uid(), nobody.uid.as_raw());
    assert!(takes(&node, "me@example.org"));
    node.stop();
}

#[test]
fn too_many_sessions_of_one_peer_are_refused_politely_and_places_are_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    let base = free_base();
    configure_ports(&data, base);
    configure(&data, "limits", "sessions_per_peer = 2");
    let node = Node::start(serve_command(&data), base, &data);
    for (port, greeting, refusal) in
        [(25, "220 ", "421 4.7.0 "), (143, "* OK", "* BYE "), (110, "+OK", "-ERR [SYS/TEMP] ")]
    {
        let begin = Instant::now();
        // The place of an earlier connection may take a moment to become free.
        let greeted = || loop {
            let mut peer = node.plain(port);
            if peer.line().starts_with(greeting) {
                return peer;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "port {port}: places are not given back");
        };
        let held = [greeted(), greeted()];
        let mut third = node.plain(port);
        let line = third.line();
        assert!(line.starts_with(refusal), "port {port} says {line:?}");
        assert_eq!(third.line(), "", "not closed");
        drop(held);
        greeted();
    }
    node.stop();
}

#[test]
fn with_few_descriptors_it_turns_away_and_lives() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    let base = free_base();
    configure_ports(&data, base);
    let serve = serve_command(&data);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(serve.get_program()).args(serve.get_args());
    let node = Node::start(command, base, &data);
    let mut flood: Vec<Peer> = (0..100).map(|_| node.plain(143)).collect();
    let lines: Vec<String> = flood.iter_mut().map(Peer::line).collect();
    let welcome = lines.iter().filter(|line| line.starts_with("* OK")).count();
    let refused = lines.iter().filter(|line| line.starts_with("* BYE")).count();
    // Those who made room for others may have been greeted or not.
    let cut = lines.iter().filter(|line| line.is_empty()).count();
    assert!(welcome >= 20 && welcome + refused + cut == 100, "{welcome} {refused} {cut}");
    drop(flood);
    let begin = Instant::now();
    while !node.plain(110).line().starts_with("+OK") {
        assert!(begin.elapsed() < Duration::from_secs(10), "it never recovers");
    }
    node.stop();
}

#[test]
fn a_forgotten_password_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    let base = free_base();
    configure_ports(&data, base);
    configure(&data, "", "plaintext_login_on_loopback = true");
    let path = data.to_str().unwrap();
    assert!(run(&["password", "--data", path, "--stdin"], "a new one\n").status.success());
    let node = Node::start(serve_command(&data), base, &data);
    let (sentence, exit) = refused(&["password", "--data", path]);
    assert!(exit == 74 && sentence.contains("in use by another process"), "{sentence}");
    let mut imap = node.plain(143);
    imap.line();
    assert!(imap.imap(&format!("LOGIN me \"{PASSWORD}\"")).contains("t NO"));
    assert!(imap.imap("LOGIN me \"a new one\"").contains("t OK"));
    node.stop();
}

#[test]
fn mail_of_a_trial_goes_to_its_relay_and_comes_back_when_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = init(folder.path(), &[]);
    let base = free_base();
    configure_ports(&data, base);
    configure(&data, "", "plaintext_login_on_loopback = true");
    let other = Node::start(serve_command(&data), base, &data);
    let relay = format!("127.0.0.1:{}", base + 25);
    let node = Node::try_with(&folder.path().join("trial"), &["--relay", &relay]);
    let mut smtp = node.tls(465);
    smtp.line();
    smtp.say("EHLO [127.0.0.1]");
    smtp.read_until("250 ");
    smtp.line();
    let plain = "AG1lAGNvcnJlY3QgaG9yc2UgYmF0dGVyeQ==";
    assert!(smtp.ask(&format!("AUTH PLAIN {plain}")).starts_with("235 "));
    assert!(smtp.ask("MAIL FROM:<me@home.test>").starts_with("250 "));
    for recipient in ["me@example.org", "nobody@example.org"] {
        assert!(smtp.ask(&format!("RCPT TO:<{recipient}>")).starts_with("250 "));
    }
    assert!(smtp.ask("DATA").starts_with("354 "));
    assert!(smtp.ask("From: <me@home.test>\r\nSubject: outward\r\n\r\nhello\r\n.").starts_with("250 "));
    let await_in = |node: &Node, text: &str| {
        let begin = Instant::now();
        while !node.inbox().iter().any(|message| message.contains(text)) {
            assert!(begin.elapsed() < Duration::from_secs(20), "never arrived: {text}");
        }
    };
    await_in(&other, "Subject: outward\r\n");
    await_in(&node, "nobody@example.org");
    node.stop();
    other.stop();
}
