//! A node in the in-memory world, and the clients and servers around it: carries out the steps of one dialogue.
//!
//! One thread runs everything but the store's and the password hash's own threads. Between steps it waits until nothing
//! can happen any more without a new step: then an answer that is not there will never come, and silence is silence.

use super::client::Client;
use super::pattern::{Words, fill, matches_and_learns};
use super::pipeline::pipeline;
use super::remote::Remote;
use super::script::{Mode, Script, Service, Step, What};
use super::stored::read_mail;
use super::web::Web;
use hauspost::net::twin::Twin;
use hauspost::net::{Net, tls};
use hauspost::node::{configuration, site};
use hauspost::serve::reception::receive;
use hauspost::serve::{self, Admission, Context, Site, Stopping};
use hauspost::store::{MemoryDisk, Options, Store};
use hauspost::wire::date::Timestamp;
use smol::{LocalExecutor, Task, Timer};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::Permissions;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

pub const OWNER: &str = "me@home.test";
pub const PASSWORD: &str = "password";
/// Real time after which a dialogue counts as hanging. Nothing else depends on it.
const HANG: Duration = Duration::from_secs(60);
/// What a connection holds when a client sends byte by byte: every write of the node is a partial one, then.
const NARROW_PIPE_BYTES: usize = 61;
/// Small, so that a dialogue starts at once and long ones meet its end.
const RING_BYTES: u64 = 1 << 20;
/// How often the gauges are looked at while the store works and nothing has woken us.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// What is shown of a line that a client says.
const TRANSCRIPT_LINE_CHARS_MAX: usize = 300;
/// Sessions of one dialogue.
const SESSIONS_MAX: usize = 1_000;

pub type Outcome = Result<(), String>;

/// What went wrong, where, and all that was said.
pub struct Mishap {
    pub line: usize,
    pub step: String,
    pub why: String,
    pub transcript: String,
}

pub struct World {
    mode: Mode,
    pub executor: Rc<LocalExecutor<'static>>,
    pub twin: Arc<Twin>,
    pub net: Net,
    pub disk: MemoryDisk,
    node: Option<Running>,
    admission: Admission,
    settings: BTreeMap<String, String>,
    settings_changed: bool,
    tls_off: bool,
    folder: tempfile::TempDir,
    /// Trusts our certificate, and is what clients use.
    client_tls: Arc<rustls::ClientConfig>,
    /// Certificate of the other servers of the world, good in the eyes of the relay.
    pub remote_pem: tls::SelfSigned,
    clients: BTreeMap<String, Client>,
    pub remotes: BTreeMap<String, Remote>,
    pub webs: BTreeMap<String, Web>,
    next_client_port: u16,
    pub words: Words,
    transcript: String,
}

/// The node while its power is on.
struct Running {
    context: Context,
    sessions: Vec<Task<()>>,
}

/// Runs a dialogue in a new world.
pub fn run(script: &Script, mode: Mode, mail: &Path) -> Result<(), Box<Mishap>> {
    if let Some(at) = script.steps.iter().position(|step| matches!(step.what, What::CutAnywhere)) {
        return super::cuts::run(script, at, mail);
    }
    let wants_cuts = script.steps.iter().any(|step| matches!(step.what, What::CutPower));
    let mut world = World::new(mode, wants_cuts)
        .map_err(|why| Box::new(Mishap { line: 0, step: "starting".into(), why, transcript: String::new() }))?;
    let mut said = vec![false; script.steps.len()];
    for (at, step) in script.steps.iter().enumerate() {
        let outcome = match &step.what {
            What::Say { .. } if said[at] => Ok(()),
            What::Say { client, .. } => {
                let group = match mode {
                    Mode::Pipelined => pipeline(&script.steps, at),
                    Mode::Whole | Mode::Bytes => vec![at],
                };
                group.iter().for_each(|index| said[*index] = true);
                let bytes = group.iter().map(|index| match &script.steps[*index].what {
                    What::Say { bytes, .. } => bytes.as_slice(),
                    _ => &[],
                });
                world.say(client, &bytes.collect::<Vec<_>>().concat())
            }
            _ => world.carry_out(step, mail),
        };
        outcome.map_err(|why| world.mishap(step, why))?;
    }
    match (world.finish(), script.steps.last()) {
        (Err(why), Some(step)) => Err(world.mishap(step, why)),
        _ => Ok(()),
    }
}

impl World {
    fn new(mode: Mode, wants_cuts: bool) -> Result<World, String> {
        let mut world = World::off(mode, if wants_cuts { MemoryDisk::remembering() } else { MemoryDisk::new() })?;
        world.start()?;
        world.make_owner()?;
        Ok(world)
    }

    /// One whose node is not started yet.
    pub fn off(mode: Mode, disk: MemoryDisk) -> Result<World, String> {
        let twin = Twin::new(0x4861_7573_706f_7374);
        let net = twin.net();
        if mode == Mode::Bytes {
            twin.set_node_pipe_bytes(NARROW_PIPE_BYTES);
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let own = tls::self_signed(&["mail.home.test".to_owned()], net.clock())?;
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).map_err(|e| e.to_string());
        write("cert.pem", &own.certificate_pem)?;
        write("key.pem", &own.key_pem)?;
        write("dkim-rsa1.pem", include_str!("keys/home-rsa.pem"))?;
        write("dkim-ed1.pem", include_str!("keys/home-ed25519.pem"))?;
        let remotes = ["example", "test"].iter().flat_map(|top| [format!("*.{top}"), format!("*.far.{top}")]);
        let remotes =
            remotes.chain(["one", "two", "three", "four", "five", "six"].map(|name| format!("*.{name}.example")));
        let remote_pem = tls::self_signed(&remotes.collect::<Vec<_>>(), net.clock())?;
        write("world.pem", &remote_pem.certificate_pem)?;
        let mut world = World {
            mode,
            executor: Rc::new(LocalExecutor::new()),
            client_tls: tls::client_verified(Some(own.certificate_pem.as_bytes()), net.clock())?,
            remote_pem,
            twin,
            net,
            disk,
            node: None,
            admission: Admission::new(SESSIONS_MAX),
            settings: BTreeMap::new(),
            settings_changed: false,
            tls_off: false,
            folder,
            clients: BTreeMap::new(),
            remotes: BTreeMap::new(),
            webs: BTreeMap::new(),
            next_client_port: 40_000,
            words: Words::new(),
            transcript: String::new(),
        };
        world.set("relay.ca_file", "\"world.pem\"")?;
        world.set("hostname", "\"mail.home.test\"")?;
        world.set("addresses", &format!("[\"{OWNER}\"]"))?;
        world.set("plaintext_login_on_loopback", "true")?;
        Ok(world)
    }

    pub fn carry_out(&mut self, step: &Step, mail: &Path) -> Outcome {
        if !matches!(step.what, What::Expect { .. }) {
            let _ = writeln!(self.transcript, "{}", step.text);
        }
        if !matches!(step.what, What::Set(_)) {
            self.reload()?;
        }
        match &step.what {
            What::Mail { mailbox, files, flags, inline } => {
                let messages = match inline {
                    Some(text) => vec![text.clone()],
                    None => files.iter().map(|file| read_mail(&mail.join(file))).collect::<Result<_, _>>()?,
                };
                messages.iter().try_for_each(|message| self.preload(mailbox, message, flags))
            }
            What::Open { client, service, login, from } => self.open(client, *service, *login, from.as_deref()),
            What::Say { client, bytes } => self.say(client, bytes),
            What::Expect { client, pattern } => self.expect(client, pattern),
            What::Silent(client) => self.expect_silence(client),
            What::Closed(client) => self.expect_closed(client),
            What::StartTls(client) => {
                let config = self.client_tls.clone();
                self.client(client)?.start_tls(config);
                self.settle()
            }
            What::Compress { client, on } => {
                self.client(client)?.compress(*on);
                self.settle()
            }
            What::Takes { client, all } => {
                self.client(client)?.take(*all);
                self.settle()
            }
            What::Drop(client) => {
                self.client(client)?.abort();
                self.settle()
            }
            What::Advance(wait) => self.advance(*wait),
            What::Jump { by, back } => {
                let (now, millis) = (self.net.clock().now(), i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
                let now = if *back { now.0.saturating_sub(millis) } else { now.0.saturating_add(millis) };
                self.twin.hand().set_wall(Timestamp(now));
                self.settle()
            }
            What::Disk(words) => self.set_disk(words),
            What::NetworkBack => {
                self.twin.network_changes();
                self.settle()
            }
            What::CutPower => self.cut_power(),
            What::CutAnywhere => Err("cut anywhere may stand there once, and no other cut with it".to_owned()),
            What::Restart => self.restart(),
            What::Dns(words) => self.script_dns(words),
            What::Mx(words) => self.script_mx(words),
            What::Web(words) => self.script_web(words),
            What::Set(words) => match words.as_slice() {
                [key, ..] => {
                    let value = step.text.split_once(key.as_str()).map_or("", |(_, value)| value.trim());
                    self.set(key, value)
                }
                [] => Err("set KEY VALUE".to_owned()),
            },
            What::Mailbox { name, check } => self.check_mailbox(name, check),
            What::Queue(words) => self.check_queue(words),
            What::Device(words) => self.change_device(words),
        }
    }

    // ---- the node

    pub fn start(&mut self) -> Outcome {
        // The store counts by the real clock, of which hardly any passes here.
        let options = Options { ring_bytes: RING_BYTES, reopen_after: Duration::ZERO, ..Options::new("") };
        let store = Store::open_on(Arc::new(self.disk.clone()), options)
            .map_err(|trouble| format!("the store: {trouble:?}"))?;
        let site = self.make_site()?;
        let context = Context {
            store,
            net: self.net.clone(),
            current_site: Arc::new(RwLock::new(Arc::new(site))),
            logins: Arc::default(),
            sent: Arc::default(),
            inquiries: Arc::default(),
            maildrops: Arc::default(),
            destinations: Arc::default(),
            handling: Arc::default(),
            links: Arc::default(),
            compressing: Arc::default(),
            seat: serve::Seat::default(),
            stopping: Stopping::default(),
        };
        let relay = self.executor.spawn(hauspost::serve::relay::run_relay(context.clone()));
        self.node = Some(Running { context, sessions: vec![relay] });
        Ok(())
    }

    /// The site that the node itself would make of these settings.
    fn make_site(&self) -> Result<Site, String> {
        let text: String = self.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let settings = configuration::parse("dialogue", &text).map_err(|failure| failure.to_string())?;
        let mut site =
            site::make_site(&settings, self.folder.path(), &self.net).map_err(|failure| failure.to_string())?;
        site.relay.private_targets |= !self.settings.contains_key("relay.private_targets");
        site.relay.same_machine_targets = true;
        if self.tls_off {
            site.tls = None;
        }
        Ok(site)
    }

    /// A key of the configuration file with its TOML value; or `tls off`, or `relay.password TEXT`.
    fn set(&mut self, key: &str, value: &str) -> Outcome {
        match key {
            "tls" => self.tls_off = value == "off",
            "relay.password" => {
                let file = self.folder.path().join("relay-password");
                std::fs::write(&file, value)
                    .and_then(|()| std::fs::set_permissions(&file, Permissions::from_mode(0o600)))
                    .map_err(|error| error.to_string())?;
                self.settings.insert("relay.password_file".to_owned(), "\"relay-password\"".to_owned());
            }
            _ => drop(self.settings.insert(key.to_owned(), value.to_owned())),
        }
        self.settings_changed = true;
        Ok(())
    }

    /// Reloads the configuration, once all `set` in a row have been read: together they must make sense.
    fn reload(&mut self) -> Outcome {
        if let (true, Some(node)) = (self.settings_changed, &self.node) {
            let site = Arc::new(self.make_site()?);
            *node.context.current_site.write().map_err(|error| error.to_string())? = site;
        }
        self.settings_changed = false;
        Ok(())
    }

    pub fn make_owner(&mut self) -> Outcome {
        let (context, net) = (self.context()?, self.net.clone());
        let made = async move { hauspost::node::owner::set_password(&context.store, &net, OWNER, PASSWORD).await };
        self.wait_for(made)?.map_err(|failure| failure.to_string())
    }

    fn restart(&mut self) -> Outcome {
        if let Some(node) = self.node.take() {
            node.context.stopping.set();
            self.settle_with(Some(&node.context))?;
            let store = node.context.store.clone();
            drop(node);
            store.close().map_err(|trouble| format!("closing: {trouble:?}"))?;
        }
        self.start()?;
        self.settle()
    }

    /// Everything stops where it is; what the disk had not been asked to keep is lost.
    fn cut_power(&mut self) -> Outcome {
        self.disk = self.disk.cut(self.disk.events(), || false);
        self.disk.remember();
        self.node = None;
        self.start()?;
        self.settle()
    }

    fn set_disk(&mut self, words: &[String]) -> Outcome {
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["full"] => self.disk.set_free_bytes(0),
            ["has", "room"] => self.disk.set_free_bytes(1 << 40),
            ["fails"] => self.disk.fail_after(0, std::io::ErrorKind::Other),
            ["works"] => self.disk.heal(),
            _ => return Err("disk full | has room | fails | works".to_owned()),
        }
        self.settle()
    }

    pub fn context(&self) -> Result<Context, String> {
        self.node.as_ref().map(|node| node.context.clone()).ok_or_else(|| "the node is off".to_owned())
    }

    /// Sessions that are admitted and have not ended.
    #[allow(dead_code)] // for tests/soak.rs
    pub fn sessions(&self) -> usize {
        self.admission.sessions()
    }

    /// Where the files lie that the configuration names.
    #[allow(dead_code)] // for tests/soak.rs
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    // ---- time

    /// Runs until nothing more happens by itself.
    pub fn settle(&self) -> Outcome {
        self.settle_with(self.node.as_ref().map(|node| &node.context))
    }

    fn settle_with(&self, context: Option<&Context>) -> Outcome {
        let busy = || context.map_or(0, |context| context.store.in_flight() + context.logins.in_flight());
        let began = Instant::now();
        loop {
            while self.executor.try_tick() {
                if began.elapsed() > HANG {
                    return Err("it never comes to rest".to_owned());
                }
            }
            // Whoever works for a session on another thread wakes the session first and then counts itself out: if the
            // gauge says zero and nothing is runnable after that, nothing will be.
            if busy() == 0 && !self.executor.try_tick() {
                return Ok(());
            }
            let woken = async {
                self.executor.tick().await;
            };
            let again = async {
                Timer::after(LOOK_AGAIN).await;
            };
            smol::block_on(smol::future::or(woken, again));
            if began.elapsed() > HANG {
                return Err(format!("the store or a password check has been busy for {} s", HANG.as_secs()));
            }
        }
    }

    /// Drives everything until this is done.
    pub fn wait_for<T>(&self, work: impl Future<Output = T>) -> Result<T, String> {
        let hang = async {
            Timer::after(HANG).await;
            None
        };
        let done = smol::future::or(async { Some(work.await) }, hang);
        smol::block_on(self.executor.run(done)).ok_or_else(|| "the store does not answer".to_owned())
    }

    // ---- clients

    fn client(&mut self, name: &str) -> Result<&mut Client, String> {
        self.clients.get_mut(name).ok_or_else(|| format!("{name} is not open"))
    }

    fn open(&mut self, name: &str, service: Service, login: bool, from: Option<&str>) -> Outcome {
        let (port, home) = match service {
            Service::Smtp => (25, Ipv4Addr::new(203, 0, 113, 7)),
            Service::Submission => (587, Ipv4Addr::LOCALHOST),
            Service::Submissions => (465, Ipv4Addr::LOCALHOST),
            Service::Imap => (143, Ipv4Addr::LOCALHOST),
            Service::Imaps => (993, Ipv4Addr::LOCALHOST),
            Service::Pop3 => (110, Ipv4Addr::LOCALHOST),
            Service::Pop3s => (995, Ipv4Addr::LOCALHOST),
            Service::Https => (443, Ipv4Addr::LOCALHOST),
        };
        let from: IpAddr = match from {
            Some(address) => address.parse().map_err(|_| "from needs an IP address")?,
            None => IpAddr::V4(home),
        };
        self.next_client_port += 1;
        let here = if from.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { "::1".parse().map_err(|_| "")? };
        let ends = (SocketAddr::new(from, self.next_client_port), SocketAddr::new(here, port));
        let (near, far) = self.twin.pair(ends.0, ends.1);
        let context = self.context()?;
        let kind = match service {
            Service::Smtp => serve::Service::Mx,
            Service::Submission | Service::Submissions => serve::Service::Submission,
            Service::Imap | Service::Imaps => serve::Service::Imap,
            Service::Pop3 | Service::Pop3s => serve::Service::Pop3,
            Service::Https => serve::Service::Web,
        };
        let site = context.site();
        let ticket = match site.is_front(from) {
            true => self.admission.admit_front(kind, from, site.admission.of(kind)),
            false => self.admission.admit(kind, from, site.admission.of(kind)),
        };
        let ticket = ticket.map_err(|refusal| format!("not admitted: {refusal:?}"))?;
        let session = self.executor.spawn(receive(context, ticket, kind, service.implicit_tls(), far));
        if let Some(node) = &mut self.node {
            node.sessions.retain(|session| !session.is_finished());
            node.sessions.push(session);
        }
        let tls = service.implicit_tls().then(|| self.client_tls.clone());
        self.clients.insert(name.to_owned(), Client::start(&self.executor, near, tls));
        self.settle()?;
        if login { self.log_in(name, service) } else { Ok(()) }
    }

    /// Logs the owner in as any client would, and forgets what was said.
    fn log_in(&mut self, name: &str, service: Service) -> Outcome {
        let before = self.transcript.len();
        let talk: &[(&str, &str)] = match service {
            Service::Smtp | Service::Https => return Err("nobody logs in there".to_owned()),
            Service::Submission | Service::Submissions => &[
                ("", "220 *"),
                ("EHLO client.home.test", "250 *"),
                ("AUTH PLAIN AG1lQGhvbWUudGVzdABwYXNzd29yZA==", "235 *"),
            ],
            Service::Imap | Service::Imaps => &[("", "* OK *"), ("login LOGIN me@home.test password", "login OK *")],
            Service::Pop3 | Service::Pop3s => {
                &[("", "+OK *"), ("USER me@home.test", "+OK*"), ("PASS password", "+OK*")]
            }
        };
        for (line, answer) in talk {
            if !line.is_empty() {
                self.client(name)?.write(format!("{line}\r\n").as_bytes());
                self.settle()?;
            }
            self.expect(name, "...")?;
            self.expect(name, answer).map_err(|why| format!("logging in: {why}"))?;
        }
        self.transcript.truncate(before);
        Ok(())
    }

    fn say(&mut self, name: &str, bytes: &[u8]) -> Outcome {
        let filled = match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("$(") => {
                fill(text, &self.words).ok_or("a word that was never seen")?.into_bytes()
            }
            _ => bytes.to_vec(),
        };
        let bytes = filled.as_slice();
        for line in super::pattern::show(bytes).split_inclusive("\\r\\n") {
            let line = line.strip_suffix("\\r\\n").unwrap_or(line);
            let shown: String = line.chars().take(TRANSCRIPT_LINE_CHARS_MAX).collect();
            let more = if shown.len() < line.len() { "..." } else { "" };
            let _ = writeln!(self.transcript, "{name}> {shown}{more}");
        }
        let mode = self.mode;
        let client = self.client(name)?;
        match mode {
            Mode::Whole | Mode::Pipelined => client.write(bytes),
            Mode::Bytes => {
                for byte in bytes {
                    self.client(name)?.write(std::slice::from_ref(byte));
                    while self.executor.try_tick() {}
                }
            }
        }
        self.settle()
    }

    fn expect(&mut self, name: &str, pattern: &str) -> Outcome {
        self.settle()?;
        if pattern == "..." {
            self.client(name)?.skipping = true;
            return Ok(());
        }
        loop {
            let client = self.clients.get_mut(name).ok_or_else(|| format!("{name} is not open"))?;
            let Some(line) = client.take_line() else {
                let end = client.end().map(|end| format!(" (the connection is {end})")).unwrap_or_default();
                let left = client.unread();
                let got = if left.is_empty() { "nothing".to_owned() } else { format!("an unfinished line {left:?}") };
                return Err(format!("expected: {pattern}\n  got:      {got}{end}"));
            };
            let fits = matches_and_learns(pattern, &line, &mut self.words);
            let passed_over = !fits && client.skipping;
            if fits {
                client.skipping = false;
            }
            let _ = writeln!(self.transcript, "{name}< {line}");
            if fits {
                return Ok(());
            }
            if !passed_over {
                return Err(format!("expected: {pattern}\n  got:      {line}"));
            }
        }
    }

    fn expect_silence(&mut self, name: &str) -> Outcome {
        self.settle()?;
        let client = self.client(name)?;
        match (client.unread().as_str(), client.end()) {
            ("", None) => Ok(()),
            ("", Some(end)) => Err(format!("the connection is {end}")),
            (unread, _) => Err(format!("expected: silence\n  got:      {unread}")),
        }
    }

    fn expect_closed(&mut self, name: &str) -> Outcome {
        self.settle()?;
        let client = self.client(name)?;
        let unread = client.unread();
        match client.end() {
            _ if !unread.is_empty() && !client.skipping => Err(format!("expected: the end\n  got:      {unread}")),
            None => Err("expected: the end\n  got:      a connection that is still open".to_owned()),
            Some(_) => {
                self.clients.remove(name);
                Ok(())
            }
        }
    }

    /// What was sent and never asked for is a mistake, of the node or of the dialogue.
    fn finish(&mut self) -> Outcome {
        self.settle()?;
        for (name, client) in &self.clients {
            let unread = client.unread();
            if !unread.is_empty() && !client.skipping {
                return Err(format!("{name} got more than was asked for: {unread}"));
            }
        }
        Ok(())
    }

    pub fn mishap(&self, step: &Step, why: String) -> Box<Mishap> {
        let mut transcript = self.transcript.clone();
        for (name, client) in &self.clients {
            for line in client.unread().lines() {
                let _ = writeln!(transcript, "{name}< {line}    (not yet asked for)");
            }
        }
        Box::new(Mishap { line: step.line, step: step.text.clone(), why, transcript })
    }
}
