//! What a node weighs and how fast it stands up: the size of the program, memory (PSS) idle, with 20 idle TLS IMAP
//! connections and while a 25 MB message arrives, what 100 of them add and how often the node wakes with them, the time from
//! exec to the first greeting, and how soon IDLE tells.
//!
//! `cargo bench --bench footprint`: one line per figure: name, value, unit, goal. Linux only (`/proc`). `HAUSPOST` names another
//! program than the one just built.

use hauspost::mail::index::BodyIndex;
use hauspost::mail::message::{Flags, INBOX};
use hauspost::net::{Clock, tls};
use hauspost::store::{Deliver, Op, Options, Store, Target};
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PASSWORD: &str = "benchpass";
const PORT_BASE: u16 = 41_000;
const IDLE_SESSIONS: usize = 100;
const STORED_MESSAGES: usize = 100_000;
const BIG_MESSAGE_BYTES: usize = 25_000_000;
const CHECKPOINT_AFTER: Duration = Duration::from_secs(300);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    figure("program size", std::fs::metadata(program())?.len() as f64 / 1048576.0, "MiB", "< 6");
    let folder = tempfile::tempdir()?;
    first_start(&folder.path().join("fresh"))?;
    memory(&folder.path().join("fresh"))?;
    wake(&folder.path().join("fresh"))?;
    at_rest(&folder.path().join("fresh"))?;
    with_many_messages(&folder.path().join("many"))
}

fn figure(name: &str, value: f64, unit: &str, goal: &str) {
    println!("{name:<44} {value:>10.2} {unit:<4} goal {goal}");
}

fn program() -> PathBuf {
    std::env::var_os("HAUSPOST").unwrap_or_else(|| env!("CARGO_BIN_EXE_hauspost").into()).into()
}

/// A running `hauspost try`, killed when dropped.
struct Node {
    child: Child,
    greeting: Duration,
}

impl Node {
    fn start(data: &Path) -> Outcome<Node> {
        let begin = Instant::now();
        let child = Command::new(program())
            .args(["try", "--port-base", &PORT_BASE.to_string(), "--password", PASSWORD, "--data"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut node = Node { child, greeting: Duration::ZERO };
        loop {
            if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", PORT_BASE + 25))
                && socket.read(&mut [0; 256])? > 0
            {
                node.greeting = begin.elapsed();
                return Ok(node);
            }
            if let Some(status) = node.child.try_wait()? {
                return Err(format!("the node ended: {status}").into());
            }
            if begin.elapsed() > Duration::from_secs(30) {
                return Err("no greeting within 30 s".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn pss_kib(&self) -> u64 {
        pss_kib(self.child.id())
    }

    /// How often its threads have been given a core in a minute.
    fn runs_in_a_minute(&self) -> Outcome<f64> {
        let before = runs(self.child.id())?;
        std::thread::sleep(Duration::from_secs(60));
        Ok(runs(self.child.id())?.saturating_sub(before) as f64)
    }

    fn stop(mut self) -> Outcome<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pss_kib(pid: u32) -> u64 {
    std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .ok()
        .and_then(|text| text.lines().find(|line| line.starts_with("Pss:")).map(str::to_owned))
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

/// Context switches of all threads of a process so far.
fn runs(pid: u32) -> Outcome<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok());
        sum += counts.sum::<u64>();
    }
    Ok(sum)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn first_start(data: &Path) -> Outcome<()> {
    let node = Node::start(data)?;
    figure("exec to greeting, very first start", ms(node.greeting), "ms", "(makes store and certificate)");
    node.stop()?;
    let mut starts = Vec::new();
    for _ in 0..9 {
        let node = Node::start(data)?;
        starts.push(ms(node.greeting));
        node.stop()?;
    }
    figure("exec to greeting, empty store", median(starts), "ms", "<= 50");
    Ok(())
}

fn ms(wait: Duration) -> f64 {
    wait.as_secs_f64() * 1e3
}

fn memory(data: &Path) -> Outcome<()> {
    let node = Node::start(data)?;
    std::thread::sleep(Duration::from_secs(3));
    figure("PSS idle", node.pss_kib() as f64 / 1024.0, "MiB", "<= 8");
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(Imaps::idle()?);
    }
    std::thread::sleep(Duration::from_secs(2));
    figure("PSS with 20 idle TLS IMAP connections", node.pss_kib() as f64 / 1024.0, "MiB", "<= 10");
    drop(held);
    node.stop()?;

    let node = Node::start(data)?;
    std::thread::sleep(Duration::from_secs(1));
    let (pid, peak, over) = (node.child.id(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let sampler = std::thread::spawn({
        let (peak, over) = (peak.clone(), over.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(pss_kib(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let mut smtp = Smtp::connect()?;
    smtp.deliver(&big_message())?;
    over.store(true, Ordering::Relaxed);
    let _ = sampler.join();
    figure("PSS while a 25 MB message arrives (peak)", peak.load(Ordering::Relaxed) as f64 / 1024.0, "MiB", "<= 14");
    node.stop()
}

/// 25 MB of base64 that does not compress below three quarters, as attachments do.
fn big_message() -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = b"Subject: big\r\n\r\n".to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while text.len() < BIG_MESSAGE_BYTES {
        for _ in 0..76 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(ALPHABET[(state >> 58) as usize]);
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// Milliseconds from the 250 to the EXISTS that an idling session is told.
fn wake(data: &Path) -> Outcome<()> {
    let node = Node::start(data)?;
    let mut imap = Imaps::idle()?;
    let mut smtp = Smtp::connect()?;
    let mut waits = Vec::new();
    for _ in 0..50 {
        smtp.deliver(b"Subject: wake\r\n\r\nup\r\n")?;
        let told = Instant::now();
        while !imap.line()?.contains(" EXISTS") {}
        waits.push(ms(told.elapsed()));
    }
    figure("IDLE: 250 reply to EXISTS, median of 50", median(waits), "ms", "<= 10");
    node.stop()
}

/// What 100 sessions add that have selected INBOX and idle, and how often the kernel lets a thread of the node run in a minute
/// without news, and without sessions.
fn at_rest(data: &Path) -> Outcome<()> {
    let node = Node::start(data)?;
    std::thread::sleep(Duration::from_secs(3));
    let alone = node.pss_kib();
    figure("threads run in a minute, no session", node.runs_in_a_minute()?, "", "(no goal)");
    let mut held = Vec::new();
    for i in 0..IDLE_SESSIONS {
        // One address may have 50 of them.
        held.push(Imaps::idle_from(if i % 2 == 0 { [127, 0, 0, 1] } else { [127, 0, 0, 2] }.into())?);
    }
    std::thread::sleep(Duration::from_secs(3));
    let added = node.pss_kib().saturating_sub(alone) as f64 / 1024.0;
    figure("PSS that 100 idle TLS IMAP connections add", added, "MiB", "<= 6");
    figure("threads run in a minute, 100 idle sessions", node.runs_in_a_minute()?, "", "as without");
    drop(held);
    node.stop()
}

fn with_many_messages(data: &Path) -> Outcome<()> {
    let node = Node::start(data)?;
    node.stop()?;
    fill(data)?;
    let mut starts = Vec::new();
    for _ in 0..5 {
        let node = Node::start(data)?;
        starts.push(ms(node.greeting));
        node.stop()?;
    }
    figure("exec to greeting, 100,000 messages", median(starts), "ms", "<= 100");
    let node = Node::start(data)?;
    let _session = Imaps::idle()?;
    figure("PSS with 100,000 messages selected", node.pss_kib() as f64 / 1024.0, "MiB", "(no goal)");
    drop(node); // killed, as by a pulled plug
    let node = Node::start(data)?;
    figure("exec to greeting, 100,000 messages, after kill", ms(node.greeting), "ms", "<= 100");
    node.stop()
}

fn fill(data: &Path) -> Outcome<()> {
    let options = Options { checkpoint_after: CHECKPOINT_AFTER, ..Options::new(data.to_owned()) };
    let store = Store::open(options).map_err(|trouble| format!("{trouble:?}"))?;
    let now = Clock::system().now();
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        for round in 0..STORED_MESSAGES / 100 {
            let mut tasks = Vec::new();
            for i in 0..100 {
                let store = store.clone();
                tasks.push(executor.spawn(async move {
                    let mut writer = store.body_writer();
                    let text = format!("Subject: message {round} {i}\r\nFrom: a@far.example\r\n\r\nHello.\r\n");
                    writer.write(text.as_bytes()).await?;
                    let body = writer.finish(BodyIndex { envelope: vec![b'x'; 200], ..BodyIndex::default() }).await?;
                    let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
                    store.apply(Op::Deliver(Deliver { body, targets, internal_date: now, now })).await
                }));
            }
            for task in tasks {
                task.await?;
            }
        }
        Ok::<(), hauspost::store::Trouble>(())
    }))
    .map_err(|trouble| format!("{trouble:?}"))?;
    store.close().map_err(|trouble| format!("{trouble:?}").into())
}

/// A session on the MX port.
struct Smtp {
    stream: BufReader<TcpStream>,
}

impl Smtp {
    fn connect() -> Outcome<Smtp> {
        let mut smtp = Smtp { stream: BufReader::new(TcpStream::connect(("127.0.0.1", PORT_BASE + 25))?) };
        smtp.stream.get_ref().set_nodelay(true)?;
        smtp.expect('2')?;
        smtp.say(b"EHLO client.example.org\r\n")?;
        smtp.expect('2')?;
        Ok(smtp)
    }

    fn say(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    fn expect(&mut self, class: char) -> Outcome<()> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 || !line.starts_with(class) {
                return Err(format!("SMTP said {line:?}").into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }

    fn deliver(&mut self, message: &[u8]) -> Outcome<()> {
        for (command, class) in
            [("MAIL FROM:<a@far.example>\r\n", '2'), ("RCPT TO:<me@home.test>\r\n", '2'), ("DATA\r\n", '3')]
        {
            self.say(command.as_bytes())?;
            self.expect(class)?;
        }
        self.say(message)?;
        self.say(b".\r\n")?;
        self.expect('2')
    }
}

/// An IMAP session over TLS that has selected INBOX and idles.
struct Imaps {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Imaps {
    fn idle() -> Outcome<Imaps> {
        Imaps::idle_from(Ipv4Addr::LOCALHOST)
    }

    fn idle_from(source: Ipv4Addr) -> Outcome<Imaps> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source.into(), 0).into())?;
        socket.connect(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT_BASE + 993).into())?;
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        let connection = ClientConnection::new(tls::client_any(&Clock::system())?, "localhost".try_into()?)?;
        let mut imap = Imaps { stream: BufReader::new(StreamOwned::new(connection, socket)) };
        imap.line()?;
        imap.command(&format!("a LOGIN me {PASSWORD}"), "a OK")?;
        imap.command("b SELECT INBOX", "b OK")?;
        imap.command("c IDLE", "+")?;
        Ok(imap)
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("IMAP connection closed".into());
        }
        Ok(line)
    }

    fn command(&mut self, text: &str, end: &str) -> Outcome<()> {
        self.stream.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
        self.stream.get_mut().flush()?;
        loop {
            let line = self.line()?;
            if line.starts_with(end) {
                return Ok(());
            }
            if !line.starts_with('*') {
                return Err(format!("IMAP said {line:?}").into());
            }
        }
    }
}
