//! A started program, its ports and its folder.

use crate::peer::Peer;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_hauspost");
pub const PASSWORD: &str = "correct horse battery";
/// A debug build on a busy machine; a healthy node needs a hundredth of it.
const START: Duration = Duration::from_secs(30);

/// A running node. Killed when dropped.
pub struct Node {
    pub child: Child,
    pub base: u16,
    pub data: PathBuf,
}

impl Node {
    /// `hauspost try` with its data in `data`.
    pub fn try_in(data: &Path) -> Node {
        Node::try_with(data, &[])
    }

    pub fn try_with(data: &Path, options: &[&str]) -> Node {
        let base = free_base();
        let mut command = try_command(data, base);
        command.args(options);
        Node::start(command, base, data)
    }

    /// Any command that ends in a node whose SMTP port is `base` + 25.
    pub fn start(mut command: Command, base: u16, data: &Path) -> Node {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut node = Node { child, base, data: data.to_path_buf() };
        node.await_greeting();
        node
    }

    fn await_greeting(&mut self) {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the node ended: {status}");
            }
            let mut byte = [0];
            let greeted = TcpStream::connect(self.address(25)).is_ok_and(|mut socket| socket.read(&mut byte).is_ok());
            if greeted && byte[0] == b'2' {
                return;
            }
            assert!(begin.elapsed() < START, "no greeting in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.base + port))
    }

    /// A plain connection to a service, by its usual port.
    pub fn plain(&self, port: u16) -> Peer {
        Peer::plain(self.address(port))
    }

    /// A TLS connection that trusts the certificate in the folder, or the node's own authority.
    pub fn tls(&self, port: u16) -> Peer {
        self.tls_as(port, "localhost")
    }

    /// The same for a node of another name.
    pub fn tls_as(&self, port: u16, name: &'static str) -> Peer {
        let trusted = ["cert.pem", "ca.pem"].iter().find_map(|file| std::fs::read(self.data.join(file)).ok());
        Peer::tls(self.address(port), &trusted.unwrap(), name)
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end; panics when it takes longer than promised.
    pub fn await_end(&mut self, longest: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < longest, "the node did not end within {longest:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn stop(mut self) {
        self.signal("TERM");
        assert!(self.await_end(Duration::from_secs(5)).success());
    }

    /// Brings a message in by SMTP; panics unless it is acknowledged.
    pub fn deliver(&self, id: &str) {
        assert!(try_deliver(self.address(25), id), "not acknowledged");
    }

    /// Everything in INBOX, by POP3.
    pub fn inbox(&self) -> Vec<String> {
        let mut pop3 = self.plain(110).pop3_login();
        let count: usize = pop3.ask("STAT").split(' ').nth(1).unwrap().parse().unwrap();
        let messages = (1..=count)
            .map(|number| {
                assert!(pop3.ask(&format!("RETR {number}")).starts_with("+OK"));
                pop3.read_until("\r\n.\r\n")
            })
            .collect();
        pop3.ask("QUIT");
        messages
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn try_command(data: &Path, base: u16) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["try", "--port-base", &base.to_string(), "--password", PASSWORD, "--data"]).arg(data);
    command
}

/// Sends one message; whether it was acknowledged. Any trouble on the way is a no.
pub fn try_deliver(address: SocketAddr, id: &str) -> bool {
    let Ok(mut socket) = TcpStream::connect(address) else { return false };
    let message = format!("From: <a@far.example>\r\nTo: <me@home.test>\r\nSubject: {id}\r\n\r\nbody of {id}\r\n.\r\n");
    let steps: [(&[u8], &[u8]); 6] = [
        (b"", b"220"),
        (b"EHLO far.example\r\n", b"250"),
        (b"MAIL FROM:<a@far.example>\r\n", b"250"),
        (b"RCPT TO:<me@home.test>\r\n", b"250"),
        (b"DATA\r\n", b"354"),
        (message.as_bytes(), b"250"),
    ];
    steps.iter().all(|(say, expect)| {
        socket.write_all(say).is_ok() && read_reply(&mut socket).is_some_and(|reply| reply.starts_with(expect))
    })
}

/// One SMTP reply, all its lines.
fn read_reply(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut reply = Vec::new();
    let mut byte = [0];
    let mut line = 0;
    while socket.read(&mut byte).ok()? == 1 {
        reply.push(byte[0]);
        if byte[0] == b'\n' {
            if reply.get(line + 3) == Some(&b' ') {
                return Some(reply);
            }
            line = reply.len();
        }
    }
    None
}

/// Runs the program to its end.
pub fn run(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// The one sentence on stderr, and the exit code.
pub fn refused(arguments: &[&str]) -> (String, i32) {
    let output = run(arguments, "");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "not one sentence: {text}");
    (text.trim().to_string(), output.status.code().unwrap())
}

/// A base on which all ports are free now. Steps of 13 never bring two services of different bases to one port, so the
/// tests of this process, and with luck those of others, stay apart.
pub fn free_base() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 1_300) as u16;
    for _ in 0..1_300 {
        let base = 11_000 + 13 * ((start + NEXT.fetch_add(1, Ordering::Relaxed)) % 1_300);
        if [25, 110, 143, 443, 465, 587, 993, 995]
            .iter()
            .all(|port| TcpListener::bind(("127.0.0.1", base + port)).is_ok())
        {
            return base;
        }
    }
    panic!("no free ports");
}
