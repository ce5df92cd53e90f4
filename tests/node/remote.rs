//! Another mail server, as far as the relay needs one: puts mail off until it is told to take it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub struct Remote {
    pub port: u16,
    takes: Arc<AtomicBool>,
    ponders: Arc<AtomicBool>,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Remote {
    /// Answers every RCPT with 451 at first.
    pub fn start() -> Remote {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let remote = Remote { port, takes: Arc::default(), ponders: Arc::default(), messages: Arc::default() };
        let (takes, ponders, messages) = (remote.takes.clone(), remote.ponders.clone(), remote.messages.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (takes, ponders, messages) = (takes.clone(), ponders.clone(), messages.clone());
                std::thread::spawn(move || converse(socket.unwrap(), &takes, &ponders, &messages));
            }
        });
        remote
    }

    /// From now on it takes mail.
    pub fn take(&self) {
        self.takes.store(true, Ordering::SeqCst);
    }

    /// Whether it takes its time for the answer to a message that it has.
    pub fn ponder(&self, ponders: bool) {
        self.ponders.store(ponders, Ordering::SeqCst);
    }

    /// Messages it has taken so far.
    pub fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }

    /// Waits for so many messages.
    pub fn await_messages(&self, count: usize) -> Vec<String> {
        let begin = Instant::now();
        loop {
            let messages = self.messages();
            if messages.len() >= count {
                return messages;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "only {} messages came", messages.len());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn converse(socket: TcpStream, takes: &AtomicBool, ponders: &AtomicBool, messages: &Mutex<Vec<String>>) -> Option<()> {
    let mut out = socket.try_clone().ok()?;
    let mut lines = BufReader::new(socket).lines();
    out.write_all(b"220 mx.far.example\r\n").ok()?;
    loop {
        let line = lines.next()?.ok()?.to_ascii_uppercase();
        let reply = match line.split([' ', ':']).next()? {
            "EHLO" => "250 mx.far.example\r\n",
            "RCPT" if !takes.load(Ordering::SeqCst) => "451 4.7.1 greylisted, come again\r\n",
            "DATA" => {
                out.write_all(b"354 go on\r\n").ok()?;
                let mut message = String::new();
                loop {
                    match lines.next()?.ok()?.as_str() {
                        "." => break,
                        line => message.push_str(&format!("{line}\n")),
                    }
                }
                messages.lock().unwrap().push(message);
                while ponders.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                "250 2.0.0 taken\r\n"
            }
            "QUIT" => {
                let _ = out.write_all(b"221 bye\r\n");
                return None;
            }
            _ => "250 fine\r\n",
        };
        out.write_all(reply.as_bytes()).ok()?;
    }
}
