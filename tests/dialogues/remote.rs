//! Another mail server of the world, played: accepts everything unless told otherwise, and keeps what it got.

use hauspost::mail::credential::Verifier;
use hauspost::net::Stream;
use hauspost::store::MemoryDisk;
use hauspost::wire::sasl::{ChannelBindings, Exchange, Mechanism, Question, Step};
use smol::channel::Receiver;
use smol::{LocalExecutor, Task};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(600);
/// The answer to a message.
const TAKEN: &str = "250 2.0.0 accepted";
pub const PORTS: [u16; 3] = [25, 465, 587];

pub struct Remote {
    pub address: IpAddr,
    pub rules: Rc<RefCell<Rules>>,
    listening: Vec<Task<()>>,
}

/// How it behaves, and what came of it.
#[derive(Default)]
pub struct Rules {
    pub host: String,
    pub replies: Vec<Rule>,
    /// EHLO keywords besides the usual.
    pub offers: Vec<String>,
    /// Offers STARTTLS, and speaks TLS at once on port 465.
    pub tls: Option<Arc<hauspost::net::tls::ServerTls>>,
    /// What it shows in a TLS handshake.
    pub certificate_pem: String,
    pub received: Vec<Received>,
    /// The disk of the node, by whose events it is told when something was received.
    pub disk: Option<MemoryDisk>,
    /// Every command line of every connection, for `mx HOST heard "text"`.
    pub heard: Vec<String>,
    /// The logins it lets in.
    pub logins: Logins,
    /// Where connections came from.
    pub callers: Vec<IpAddr>,
}

/// Whom it lets in.
#[derive(Clone, Default)]
pub enum Logins {
    /// Whatever is said, and without listening further.
    #[default]
    All,
    /// By this password, with exchanges done as they should be.
    Know(String),
    /// All, with exchanges done as they should be by somebody who does not know the password.
    Pretend,
}

/// What it answers to a verb: CONNECT, EHLO, MAIL, RCPT, DATA, DOT (after the message), ...
pub struct Rule {
    pub verb: String,
    /// Only when the command line holds this.
    pub about: Option<String>,
    pub action: Action,
    pub once: bool,
}

#[derive(Clone)]
pub enum Action {
    /// Lines parted by `\n`.
    Reply(String),
    /// The connection is lost.
    Drop,
    /// Nothing, for ever.
    Hang,
}

#[derive(Clone, Default)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    pub bytes: Vec<u8>,
    pub tls: bool,
    /// So many events of the node's disk lay behind.
    pub at_event: usize,
}

impl Remote {
    pub fn new(host: &str, address: IpAddr) -> Remote {
        let rules = Rules {
            host: host.to_owned(),
            offers: ["PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES"].map(str::to_owned).to_vec(),
            ..Rules::default()
        };
        Remote { address, rules: Rc::new(RefCell::new(rules)), listening: Vec::new() }
    }

    /// Serves the connections that come out of these listeners, until the next call.
    pub fn serve(&mut self, executor: &Rc<LocalExecutor<'static>>, listeners: Vec<Receiver<Stream>>) {
        self.listening.clear();
        for incoming in listeners {
            let (spawner, rules) = (executor.clone(), self.rules.clone());
            self.listening.push(executor.spawn(async move {
                while let Ok(stream) = incoming.recv().await {
                    spawner.spawn(run_session(stream, rules.clone())).detach();
                }
            }));
        }
    }

    pub fn stop(&mut self) {
        self.listening.clear();
    }

    pub fn places(&self) -> impl Iterator<Item = SocketAddr> {
        let address = self.address;
        PORTS.into_iter().map(move |port| SocketAddr::new(address, port))
    }
}

impl Rules {
    fn receive(&mut self, mail: Received) {
        let at_event = self.disk.as_ref().map_or(0, MemoryDisk::events);
        self.received.push(Received { at_event, ..mail });
    }

    /// What to do about a verb; the latest matching rule wins.
    fn action(&mut self, verb: &str, line: &str, default: &str) -> Action {
        let fits = |rule: &Rule| {
            rule.verb.eq_ignore_ascii_case(verb)
                && rule.about.as_ref().is_none_or(|about| line.contains(about.as_str()))
        };
        match self.replies.iter().rposition(fits) {
            None => Action::Reply(default.to_owned()),
            Some(at) if self.replies[at].once => self.replies.remove(at).action,
            Some(at) => self.replies[at].action.clone(),
        }
    }
}

struct Session {
    stream: Stream,
    input: Vec<u8>,
}

impl Session {
    async fn read_more(&mut self) -> Option<()> {
        let mut buffer = [0u8; 4096];
        match self.stream.read(&mut buffer, PATIENCE).await {
            Ok(count) if count > 0 => self.input.extend(&buffer[..count]),
            _ => return None,
        }
        Some(())
    }

    async fn read_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.read_more().await?;
        }
    }

    /// A chunk of a message (RFC 3030 section 2).
    async fn read_octets(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.input.len() < count {
            self.read_more().await?;
        }
        Some(self.input.drain(..count).collect())
    }

    /// A message up to its final dot, dots unstuffed (RFC 5321 section 4.5.2).
    async fn read_message(&mut self) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let end = loop {
                match self.input.windows(2).position(|pair| pair == b"\r\n") {
                    Some(end) => break end,
                    None => self.read_more().await?,
                }
            };
            let line: Vec<u8> = self.input.drain(..end + 2).collect();
            if line == b".\r\n" {
                return Some(message);
            }
            message.extend(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    async fn answer(&mut self, action: Action) -> Option<bool> {
        match action {
            Action::Reply(text) => {
                let lines: Vec<&str> = text.split("\\n").collect();
                let text = format!("{}\r\n", lines.join("\r\n"));
                self.stream.write_all(text.as_bytes(), PATIENCE).await.ok()?;
                Some(text.starts_with(['2', '3']))
            }
            Action::Drop => None,
            Action::Hang => std::future::pending().await,
        }
    }
}

async fn run_session(mut stream: Stream, rules: Rc<RefCell<Rules>>) {
    let tls = rules.borrow().tls.clone();
    if stream.local().port() == 465 {
        let Some(config) = tls.clone() else { return };
        stream = match stream.accept_tls(config, PATIENCE).await {
            Ok(stream) => stream,
            Err(_) => return,
        };
    }
    rules.borrow_mut().callers.push(stream.peer().ip());
    let mut session = Session { stream, input: Vec::new() };
    let host = rules.borrow().host.clone();
    let greeting = rules.borrow_mut().action("CONNECT", "", &format!("220 {host} ESMTP"));
    if session.answer(greeting).await != Some(true) {
        return;
    }
    let mut mail = Received::default();
    let mut failed = false;
    while let Some(line) = session.read_line().await {
        rules.borrow_mut().heard.push(line.clone());
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let default = match verb.as_str() {
            // RFC 5321 section 3.3: there is nobody to send it to.
            "DATA" if mail.to.is_empty() => "554 5.5.1 no valid recipients".to_owned(),
            "AUTH" => match log_in(&mut session, &rules, &line).await {
                Some(answer) => answer,
                None => return,
            },
            _ => default_reply(&verb, &host, &rules.borrow(), &session.stream),
        };
        let action = rules.borrow_mut().action(&verb, &line, &default);
        let accepted = match (verb.as_str(), &action) {
            // RFC 3030 section 2: the answer to BDAT comes after its octets. A connection is lost in the middle of them.
            ("BDAT", Action::Reply(_)) => true,
            _ => match session.answer(action.clone()).await {
                Some(accepted) => accepted,
                None => return,
            },
        };
        match verb.as_str() {
            "RSET" => failed = false,
            "MAIL" if accepted => mail = Received { from: path(&line), ..Received::default() },
            "RCPT" if accepted => mail.to.push(path(&line)),
            "DATA" if accepted => {
                let Some(bytes) = session.read_message().await else { return };
                let action = rules.borrow_mut().action("DOT", "", TAKEN);
                let Some(accepted) = session.answer(action).await else { return };
                mail.bytes = bytes;
                mail.tls = session.stream.tls().is_some();
                let whole = std::mem::take(&mut mail);
                if accepted {
                    rules.borrow_mut().receive(whole);
                }
            }
            "BDAT" => {
                let words: Vec<&str> = line.split(' ').collect();
                let (count, last) = (words.get(1).and_then(|count| count.parse().ok()), words.get(2) == Some(&"LAST"));
                let Some(chunk) = session.read_octets(count.unwrap_or(0)).await else { return };
                mail.bytes.extend(chunk);
                // The end of the message is answered as after DATA, unless there is a rule for BDAT itself.
                let action = match (action, last) {
                    (Action::Reply(text), true) if text == default => rules.borrow_mut().action("DOT", "", TAKEN),
                    (action, _) => action,
                };
                // RFC 3030 section 2: what comes behind a refused chunk is out of sequence.
                let action = if failed { Action::Reply("503 5.5.1 no".to_owned()) } else { action };
                let Some(accepted) = session.answer(action).await else { return };
                failed = !accepted;
                mail.tls = session.stream.tls().is_some();
                if accepted && last {
                    rules.borrow_mut().receive(std::mem::take(&mut mail));
                }
            }
            "STARTTLS" if accepted => {
                let (Some(config), Session { stream, .. }) = (tls.clone(), session) else { return };
                let Ok(stream) = stream.accept_tls(config, PATIENCE).await else { return };
                session = Session { stream, input: Vec::new() };
            }
            "QUIT" => return drop(session.stream.close(PATIENCE).await),
            _ => {}
        }
    }
}

/// The exchange after AUTH up to its last answer, which is returned (RFC 4954).
async fn log_in(session: &mut Session, rules: &Rc<RefCell<Rules>>, line: &str) -> Option<String> {
    let logins = rules.borrow().logins.clone();
    let (password, all) = match &logins {
        Logins::All => return Some("235 2.7.0 welcome".to_owned()),
        Logins::Know(password) => (password.as_str(), false),
        Logins::Pretend => ("something else", true),
    };
    let words: Vec<&str> = line.split(' ').collect();
    let name = words.get(1).copied().unwrap_or_default();
    // A server that could bind and does not say so would take a client that could for deceived.
    let binds = rules.borrow().offers.iter().any(|offer| offer.contains("SCRAM-SHA-256-PLUS"));
    let Some(mechanism) = Mechanism::parse(name.as_bytes(), binds) else {
        return Some("504 5.5.4 no such mechanism".to_owned());
    };
    let initial = words.get(2).map(|word| word.as_bytes());
    let bindings = if binds { session.stream.channel_bindings() } else { ChannelBindings::default() };
    let (mut exchange, mut step) = Exchange::begin(mechanism, initial, bindings);
    let mut welcome = false;
    loop {
        step = match step {
            Step::Challenge(challenge) => {
                session.answer(Action::Reply(format!("334 {challenge}"))).await?;
                let response = session.read_line().await?;
                exchange.respond(response.as_bytes())
            }
            Step::Ask(Question::Password(given)) => {
                welcome = all || given.password == password;
                exchange.judged(welcome)
            }
            Step::Ask(Question::Secret { .. }) => {
                exchange.knows(Verifier::new(password, *b"salt and pepper.", 4096).secret(), &[9; 18])
            }
            Step::Ask(Question::Proof { right, .. }) => {
                welcome = all || right.is_some();
                exchange.judged(welcome)
            }
            Step::Over if welcome => return Some("235 2.7.0 welcome".to_owned()),
            Step::Over | Step::Refused(_) => return Some("535 5.7.8 wrong login or password".to_owned()),
        };
    }
}

fn default_reply(verb: &str, host: &str, rules: &Rules, stream: &Stream) -> String {
    match verb {
        "EHLO" => {
            let mut lines = vec![host.to_owned()];
            lines.extend(rules.offers.iter().cloned());
            if rules.tls.is_some() && stream.tls().is_none() {
                lines.push("STARTTLS".to_owned());
            }
            let last = lines.pop().unwrap_or_default();
            let lines: String = lines.iter().map(|line| format!("250-{line}\\n")).collect();
            format!("{lines}250 {last}")
        }
        "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 2.0.0 fine".to_owned(),
        "DATA" => "354 go on".to_owned(),
        "BDAT" => "250 2.0.0 octets taken".to_owned(),
        "STARTTLS" => match rules.tls {
            Some(_) => "220 2.0.0 go on".to_owned(),
            None => "502 5.5.1 no".to_owned(),
        },
        "QUIT" => "221 2.0.0 bye".to_owned(),
        _ => "500 5.5.2 what".to_owned(),
    }
}

/// What stands between the angle brackets.
fn path(line: &str) -> String {
    let inside = line.split_once('<').map_or("", |(_, rest)| rest);
    inside.split_once('>').map_or(inside, |(path, _)| path).to_owned()
}
