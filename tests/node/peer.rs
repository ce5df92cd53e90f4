//! The other end of a conversation: plain or TLS, line by line.

use crate::process::PASSWORD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

/// A connection with what has been read and not yet used.
pub struct Peer {
    socket: Box<dyn Socket>,
    waiting: Vec<u8>,
}

impl Peer {
    pub fn plain(address: SocketAddr) -> Peer {
        Peer { socket: Box::new(connect(address)), waiting: Vec::new() }
    }

    /// Trusts only this certificate, and only under this name.
    pub fn tls(address: SocketAddr, certificate_pem: &[u8], name: &'static str) -> Peer {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(certificate_pem) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name).unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        Peer { socket: Box::new(StreamOwned::new(session, connect(address))), waiting: Vec::new() }
    }

    /// Sends a line.
    pub fn say(&mut self, line: &str) {
        self.socket.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.socket.flush().unwrap();
    }

    /// Reads a line, without its end. Empty at the end of the connection.
    pub fn line(&mut self) -> String {
        self.read_until("\r\n").trim_end().to_string()
    }

    /// Sends a line, reads one.
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.line()
    }

    /// Reads up to and with `end`, or to the end of the connection.
    pub fn read_until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.waiting.windows(end.len()).position(|bytes| bytes == end.as_bytes()) {
                let rest = self.waiting.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.waiting, rest)).unwrap();
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) | Err(_) => return String::from_utf8(std::mem::take(&mut self.waiting)).unwrap(),
                Ok(count) => self.waiting.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// An IMAP command and everything up to its tagged reply.
    pub fn imap(&mut self, command: &str) -> String {
        self.say(&format!("t {command}"));
        let mut all = String::new();
        loop {
            let line = self.read_until("\r\n");
            all.push_str(&line);
            if line.is_empty() || line.starts_with("t ") {
                return all;
            }
        }
    }

    /// Greeted and logged in.
    pub fn imap_login(mut self) -> Peer {
        assert!(self.line().starts_with("* OK"));
        let reply = self.imap(&format!("LOGIN me \"{PASSWORD}\""));
        assert!(reply.contains("t OK"), "{reply}");
        self
    }

    /// Greeted and logged in.
    pub fn pop3_login(mut self) -> Peer {
        assert!(self.line().starts_with("+OK"));
        assert!(self.ask("USER me").starts_with("+OK"));
        let reply = self.ask(&format!("PASS {PASSWORD}"));
        assert!(reply.starts_with("+OK"), "{reply}");
        self
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}
