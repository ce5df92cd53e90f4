//! How a node ends, and what is there afterwards.

use crate::process::{Node, free_base, try_command, try_deliver};
use std::collections::HashMap;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn sessions_are_told_and_mail_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut node = Node::try_in(&data);
    node.deliver("kept");
    let mut idle = node.plain(143).imap_login();
    idle.imap("SELECT INBOX");
    idle.say("t IDLE");
    let mut smtp = node.plain(25);
    smtp.line();
    node.signal("TERM");
    assert!(idle.read_until("* BYE").contains("* BYE"));
    assert!(smtp.line().starts_with("421 "));
    assert!(node.await_end(Duration::from_secs(5)).success());
    let node = Node::try_in(&data);
    assert!(node.inbox().iter().any(|message| message.contains("Subject: kept\r\n")));
    node.stop();
}

#[test]
fn a_peer_that_holds_a_session_does_not_delay_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::try_in(&folder.path().join("data"));
    // One in the middle of DATA, one that never began its TLS handshake, one that said nothing at all.
    let mut smtp = node.plain(25);
    smtp.line();
    for line in ["HELO a.example", "MAIL FROM:<>", "RCPT TO:<me@home.test>", "DATA", "Subject: half"] {
        smtp.say(line);
    }
    let _mute_tls = std::net::TcpStream::connect(node.address(993)).unwrap();
    let _mute = std::net::TcpStream::connect(node.address(110)).unwrap();
    smtp.read_until("354");
    let begin = Instant::now();
    node.signal("TERM");
    assert!(node.await_end(Duration::from_millis(5_500)).success());
    assert!(begin.elapsed() < Duration::from_millis(5_500));
}

#[test]
fn a_second_interrupt_ends_at_once_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut node = Node::try_in(&data);
    node.deliver("kept");
    let mut smtp = node.plain(25);
    for line in ["HELO a.example", "MAIL FROM:<>", "RCPT TO:<me@home.test>", "DATA", "Subject: half"] {
        smtp.say(line);
    }
    smtp.read_until("354");
    node.signal("INT");
    std::thread::sleep(Duration::from_millis(200));
    node.signal("INT");
    assert!(node.await_end(Duration::from_secs(3)).success());
    let node = Node::try_in(&data);
    assert_eq!(node.inbox().len(), 2);
}

#[test]
fn killed_while_delivering_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..3 {
        let mut node = Node::try_in(&data);
        let address = node.address(25);
        let killed = AtomicBool::new(false);
        let killed = &killed;
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..4)
                .map(|sender| {
                    scope.spawn(move || {
                        let mut sent = Vec::new();
                        for number in 0.. {
                            let id = format!("id-{round}-{sender}-{number}-");
                            if killed.load(Ordering::Relaxed) {
                                break;
                            }
                            if try_deliver(address, &id) {
                                sent.push(id);
                            }
                        }
                        sent
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(700));
            node.child.kill().unwrap();
            killed.store(true, Ordering::Relaxed);
            node.child.wait().unwrap();
            acknowledged.extend(senders.into_iter().flat_map(|sender| sender.join().unwrap()));
        });
    }
    assert!(acknowledged.len() > 20, "too few messages to prove anything: {}", acknowledged.len());
    let mut copies: HashMap<String, u32> = HashMap::new();
    for message in Node::try_in(&data).inbox() {
        let subject = message.lines().find_map(|line| line.strip_prefix("Subject: "));
        *copies.entry(subject.unwrap_or("").to_string()).or_default() += 1;
    }
    for id in &acknowledged {
        assert_eq!(copies.get(id), Some(&1), "{id}");
    }
}

#[test]
fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hear = || {
        let mut buffer = [0; 512];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    };
    let (data, base) = (folder.path().join("data"), free_base());
    let mut command = try_command(&data, base);
    command.env("NOTIFY_SOCKET", &path);
    let mut node = Node::start(command, base, &data);
    assert_eq!(hear(), "READY=1\n");
    node.signal("HUP");
    let reloading = hear();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(hear(), "READY=1\n");
    node.signal("TERM");
    assert_eq!(hear(), "STOPPING=1\n");
    assert!(node.await_end(Duration::from_secs(5)).success());
}
