//! A message to oneself: brought in over SMTP, read by IMAP and POP3, and taken away again, over the node's own listeners.
//!
//! Receives where they are; hands on what came of each step. The login is a device's that lives as long as the test: its password is
//! made here and goes nowhere but over these connections. Certificates are not judged: devices do that, and a board does not know
//! the time yet when it asks this of itself.

use crate::limits::{
    SELFTEST_ANSWER_BYTES_MAX, SELFTEST_ANSWER_SECONDS_MAX, SELFTEST_MESSAGES_MAX, SMTP_LINE_BYTES_MAX,
};
use crate::net::Stream;
use crate::serve::devices::{Grant, NotDone, add, make_password, remove};
use crate::serve::{Context, Site};
use crate::store::Trouble;
use crate::wire::date::{DateTime, encode_date_time};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The device of the test. One that a power cut has left opens nothing that anybody knows a password for, and goes with the next test.
const DEVICE: &str = "hauspost-selftest";
const WAIT: Duration = Duration::from_secs(SELFTEST_ANSWER_SECONDS_MAX);

/// A service and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its listener, on this machine.
    pub address: SocketAddr,
    /// TLS from the first byte; otherwise it is begun by a command.
    pub implicit_tls: bool,
}

/// A test that runs.
pub struct Selftest<'a> {
    context: &'a Context,
    site: Arc<Site>,
    password: Zeroizing<String>,
    /// Stands in the message, and nowhere else.
    token: String,
}

impl<'a> Selftest<'a> {
    /// Makes the login. Only one test at a time.
    ///
    /// # Errors
    /// See [`NotDone`].
    pub async fn begin(context: &'a Context) -> Result<Selftest<'a>, NotDone> {
        let failed = |error: std::io::Error| Trouble::Failed(error.to_string());
        let random = context.net.random::<16>().map_err(failed)?;
        let token = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let password = make_password(&context.net).map_err(failed)?;
        match remove(context, DEVICE).await {
            Ok(()) | Err(Trouble::NotFound) => {}
            Err(trouble) => return Err(trouble.into()),
        }
        let grant = Grant::parse("mail").ok_or_else(|| Trouble::Failed("no such grant".into()))?;
        add(context, DEVICE, &password, grant, &[], false).await?;
        Ok(Selftest { context, site: context.site(), password, token })
    }

    /// Takes the login away.
    ///
    /// # Errors
    /// What the store says.
    pub async fn end(self) -> Result<(), Trouble> {
        remove(self.context, DEVICE).await
    }

    /// Brings the message in, as any server does.
    ///
    /// # Errors
    /// What was answered, for people.
    pub async fn deliver(&self, mx: Place) -> Result<(), String> {
        let Site { hostname, addresses, .. } = &*self.site;
        let to = addresses.first().ok_or("there is no address")?;
        let mut smtp = self.connect(mx.address).await?;
        smtp.ask("", "220").await?;
        smtp.ask(&format!("EHLO {hostname}\r\n"), "250").await?;
        smtp.ask("MAIL FROM:<>\r\n", "250").await?;
        smtp.ask(&format!("RCPT TO:<{to}>\r\n"), "250").await?;
        smtp.ask("DATA\r\n", "354").await?;
        let now = self.context.net.clock().now();
        let date = encode_date_time(DateTime { seconds: now.seconds(), zone_minutes: 0 });
        let message = format!(
            "Date: {date}\r\nFrom: Hauspost <postmaster@{hostname}>\r\nTo: <{to}>\r\nSubject: A test of the server's own\r\n\
             Message-ID: <{token}@{hostname}>\r\nAuto-Submitted: auto-generated\r\n\r\n\
             The server has written this to itself and takes it away again: {token}\r\n.\r\n",
            token = self.token,
        );
        smtp.ask(&message, "250").await?;
        smtp.ask("QUIT\r\n", "221").await.map(drop)
    }

    /// Finds the message by IMAP and reads it; returns its UID.
    ///
    /// # Errors
    /// What was answered, or that it is not there, for people.
    pub async fn read_by_imap(&self, place: Place) -> Result<u32, String> {
        let mut imap = self.log_in_by_imap(place).await?;
        let found = imap.ask(&format!("s UID SEARCH HEADER Message-ID \"{}\"\r\n", self.token), "s OK").await?;
        let uid = found.lines().find_map(|line| line.strip_prefix("* SEARCH ")?.split(' ').next()?.parse().ok());
        let uid: u32 = uid.ok_or("the message is not in INBOX")?;
        let read = imap.ask(&format!("s UID FETCH {uid} BODY.PEEK[]\r\n"), "s OK").await?;
        if !self.is_in(&read) {
            return Err("the message is not what was sent".into());
        }
        imap.ask("s LOGOUT\r\n", "s OK").await.map(|_| uid)
    }

    /// Finds the message by POP3, among the newest, and reads it.
    ///
    /// # Errors
    /// What was answered, or that it is not there, for people.
    pub async fn read_by_pop3(&self, place: Place) -> Result<(), String> {
        let mut pop3 = self.connect(place.address).await?;
        if place.implicit_tls {
            pop3 = pop3.start_tls().await?;
        }
        pop3.ask("", "+OK").await?;
        if !place.implicit_tls {
            pop3.ask("STLS\r\n", "+OK").await?;
            pop3 = pop3.start_tls().await?;
        }
        pop3.ask(&format!("USER {}\r\n", self.site.login), "+OK").await?;
        pop3.ask(&Zeroizing::new(format!("PASS {}\r\n", *self.password)), "+OK").await?;
        let count = pop3.ask("STAT\r\n", "+OK").await?;
        let count: u32 = count.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or(0);
        for number in (1..=count).rev().take(usize::try_from(SELFTEST_MESSAGES_MAX).unwrap_or(usize::MAX)) {
            // One that is too large to be ours is not read.
            let size = pop3.ask(&format!("LIST {number}\r\n"), "+OK").await?;
            let size: usize = size.trim().rsplit(' ').next().and_then(|size| size.parse().ok()).unwrap_or(usize::MAX);
            if size > SELFTEST_ANSWER_BYTES_MAX / 2 {
                continue;
            }
            let mut read = pop3.ask(&format!("RETR {number}\r\n"), "+OK").await?;
            while !read.ends_with("\r\n.\r\n") {
                read.push_str(&pop3.line().await?);
            }
            if self.is_in(&read) {
                return pop3.ask("QUIT\r\n", "+OK").await.map(drop);
            }
        }
        Err("the message is not among the newest".into())
    }

    /// Takes the message away by IMAP.
    ///
    /// # Errors
    /// What was answered, for people.
    pub async fn take_away(&self, place: Place, uid: u32) -> Result<(), String> {
        let mut imap = self.log_in_by_imap(place).await?;
        imap.ask(&format!("s UID STORE {uid} +FLAGS.SILENT (\\Deleted)\r\n"), "s OK").await?;
        imap.ask(&format!("s UID EXPUNGE {uid}\r\n"), "s OK").await?;
        imap.ask("s LOGOUT\r\n", "s OK").await.map(drop)
    }

    fn is_in(&self, text: &str) -> bool {
        text.contains(&format!("again: {}\r\n", self.token))
    }

    /// Logged in, with INBOX open.
    async fn log_in_by_imap(&self, place: Place) -> Result<Dialogue, String> {
        let mut imap = self.connect(place.address).await?;
        if place.implicit_tls {
            imap = imap.start_tls().await?;
        }
        imap.ask("", "* OK").await?;
        if !place.implicit_tls {
            imap.ask("s STARTTLS\r\n", "s OK").await?;
            imap = imap.start_tls().await?;
        }
        let login = Zeroizing::new(format!("s LOGIN \"{}\" \"{}\"\r\n", self.site.login, *self.password));
        imap.ask(&login, "s OK").await?;
        imap.ask("s SELECT INBOX\r\n", "s OK").await?;
        Ok(imap)
    }

    async fn connect(&self, address: SocketAddr) -> Result<Dialogue, String> {
        let connected = self.context.net.connect(address, WAIT).await;
        let stream = connected.map_err(|e| format!("cannot connect to {address}: {e}"))?;
        let mut dialogue = Dialogue { stream, tls: self.site.relay.tls_any.clone(), waiting: Vec::new() };
        if self.site.is_front(address.ip()) {
            // Whoever comes from here has to say for whom (the PROXY protocol, version 1, section 2.1).
            dialogue.say("PROXY UNKNOWN\r\n").await?;
        }
        Ok(dialogue)
    }
}

/// A connection on which one asks and the other answers in lines.
struct Dialogue {
    stream: Stream,
    tls: Arc<rustls::ClientConfig>,
    /// Read and not yet looked at.
    waiting: Vec<u8>,
}

impl Dialogue {
    /// Says something, and reads on to the last line of the answer, which has to begin like this. For SMTP the lines before it have a
    /// hyphen behind the code; for IMAP they begin otherwise; POP3 has one line.
    async fn ask(&mut self, what: &str, start: &str) -> Result<String, String> {
        self.say(what).await?;
        let tag = start.split(' ').next().unwrap_or_default();
        let mut answer = String::new();
        loop {
            let line = self.line().await?;
            answer.push_str(&line);
            if answer.len() > SELFTEST_ANSWER_BYTES_MAX {
                return Err("the answer is too long".into());
            }
            let is_last = match tag {
                // The tag of every command above.
                "s" => line.starts_with("s "),
                _ => line.as_bytes().get(3) != Some(&b'-'),
            };
            if is_last {
                return match line.starts_with(start) {
                    true => Ok(answer),
                    false => Err(format!("the answer was {:?}", line.trim_end())),
                };
            }
        }
    }

    async fn say(&mut self, what: &str) -> Result<(), String> {
        self.stream.write_all(what.as_bytes(), WAIT).await.map_err(|e| format!("nothing can be said: {e}"))
    }

    /// A line with its end.
    async fn line(&mut self) -> Result<String, String> {
        let mut buffer = [0; SMTP_LINE_BYTES_MAX];
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.waiting) {
                let line: Vec<u8> = self.waiting.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.waiting.len() > SELFTEST_ANSWER_BYTES_MAX {
                return Err("a line does not end".into());
            }
            match self.stream.read(&mut buffer, WAIT).await {
                Ok(0) => return Err("the connection was closed".into()),
                Ok(length) => self.waiting.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(e) => return Err(format!("no answer: {e}")),
            }
        }
    }

    async fn start_tls(self) -> Result<Dialogue, String> {
        let name = self.stream.peer().ip().to_string();
        let secured = self.stream.start_tls(self.tls.clone(), &name, WAIT).await;
        let stream = secured.map_err(|e| format!("TLS: {e}"))?;
        Ok(Dialogue { stream, tls: self.tls, waiting: Vec::new() })
    }
}
