//! A node in memory that serves nothing but IMAP, and one thread that decides the order of everything in it: for the stress of
//! `imap_stress.rs` and the walk of `fuzz/session.rs`.
//!
//! After each poll of a task the store gives all its answers before the next task is polled. So the same seed gives the same
//! run, whatever the threads of the store do.
#![allow(dead_code)] // each test uses its part

use hauspost::mail::credential::Verifier;
use hauspost::net::twin::Twin;
use hauspost::net::{Net, Stream};
use hauspost::node::{configuration, site};
use hauspost::serve::imap::run_imap;
use hauspost::serve::{self, Context, Stopping};
use hauspost::store::{Credential, MemoryDisk, Op, Options, Snapshot, Store, Trouble};
use smol::future::{block_on, poll_once};
use smol::{LocalExecutor, Task};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, RwLock};
use std::task::Poll;
use std::time::Duration;

pub const OWNER: &str = "me@home.test";
pub const PASSWORD: &str = "password";
/// Longer than any run.
pub const PATIENCE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Of the password's hash: sessions begin often here, and what a guess costs is no matter.
const ITERATIONS: u32 = 1;

/// Numbers that repeat with their seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        chance.below(2);
        chance
    }
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound.max(1)
    }
    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

pub struct Node {
    pub executor: LocalExecutor<'static>,
    pub twin: Arc<Twin>,
    pub net: Net,
    pub context: Context,
    /// Decides when a task is put off.
    chance: Rc<RefCell<Chance>>,
    next_port: u16,
    _folder: tempfile::TempDir,
}

impl Node {
    /// A node with the owner and no mail. `ring_bytes`: of its journal.
    pub fn new(seed: u64, ring_bytes: u64) -> Node {
        let twin = Twin::new(seed);
        let net = twin.net();
        let folder = tempfile::tempdir().expect("a folder");
        let text =
            format!("hostname = \"mail.home.test\"\naddresses = [\"{OWNER}\"]\nplaintext_login_on_loopback = true\n");
        let settings = configuration::parse("stress", &text).expect("a configuration");
        let own = hauspost::net::tls::self_signed(&["mail.home.test".to_owned()], net.clock()).expect("a certificate");
        std::fs::write(folder.path().join("cert.pem"), own.certificate_pem).expect("written");
        std::fs::write(folder.path().join("key.pem"), own.key_pem).expect("written");
        let site = site::make_site(&settings, folder.path(), &net).expect("a site");
        let options = Options { ring_bytes, reopen_after: Duration::ZERO, ..Options::new("") };
        let store = Store::open_on(Arc::new(MemoryDisk::new()), options).expect("a store");
        let verifier = Verifier::new(PASSWORD, [7; 16], ITERATIONS);
        let credential = Credential { login: OWNER.to_owned(), verifier, device: None };
        block_on(store.apply(Op::SetCredential(credential))).expect("an owner");
        let context = Context {
            store,
            net: net.clone(),
            current_site: Arc::new(RwLock::new(Arc::new(site))),
            logins: Arc::default(),
            sent: Arc::default(),
            inquiries: Arc::default(),
            maildrops: Arc::default(),
            destinations: Arc::default(),
            links: Arc::default(),
            compressing: Arc::default(),
            handling: Arc::default(),
            seat: serve::Seat::default(),
            stopping: Stopping::default(),
        };
        let chance = Rc::new(RefCell::new(Chance::new(seed ^ 0x5eed)));
        let executor = LocalExecutor::new();
        Node { executor, twin, net, context, chance, next_port: 40_000, _folder: folder }
    }

    /// The store as it is, from outside any session.
    pub fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Snapshot) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, String> {
        block_on(self.context.store.read(ask)).map_err(|trouble| format!("the store: {trouble:?}"))
    }

    /// A new connection with its session. Of what the session says, `pipe_bytes` are under way at most. With `puts_off` above
    /// 0, once in so many polls the session waits a turn: others get in between.
    pub fn connect(&mut self, pipe_bytes: usize) -> (Stream, Task<()>, Rc<Cell<usize>>) {
        self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
        self.twin.set_node_pipe_bytes(pipe_bytes);
        let ends = (
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.next_port),
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 143),
        );
        let (near, far) = self.twin.pair(ends.0, ends.1);
        let puts_off = Rc::new(Cell::new(0));
        let (inner, chance) = (Box::pin(run_imap(self.context.clone(), far)), self.chance.clone());
        let session = Reluctant { inner, chance, puts_off: puts_off.clone() };
        (near, self.executor.spawn(session), puts_off)
    }

    /// Polls one task, if one can go on, and lets the store finish what it was asked.
    pub fn tick(&self) -> bool {
        let ticked = self.executor.try_tick();
        while self.context.store.in_flight() > 0 {
            std::thread::yield_now();
        }
        // A password check is counted until its session has the answer in hand.
        while self.context.logins.in_flight() > 0 && !self.executor.try_tick() {
            std::thread::yield_now();
        }
        ticked
    }

    /// Runs until nothing happens any more.
    pub fn settle(&self) {
        while self.tick() {}
    }
}

/// Reads what has come; `None`: nothing has.
pub fn read_now(stream: &mut Stream, buffer: &mut [u8]) -> Option<std::io::Result<usize>> {
    block_on(poll_once(stream.read(buffer, PATIENCE)))
}

/// Writes all of it at once; `false`: the other end takes no more.
pub fn write_now(stream: &mut Stream, bytes: &[u8]) -> bool {
    matches!(block_on(poll_once(stream.write_all(bytes, PATIENCE))), Some(Ok(())))
}

/// A task that is not always done when it could go on.
struct Reluctant<F> {
    inner: Pin<Box<F>>,
    chance: Rc<RefCell<Chance>>,
    puts_off: Rc<Cell<usize>>,
}

impl<F: Future<Output = ()>> Future for Reluctant<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<()> {
        let puts_off = self.puts_off.get();
        if puts_off > 0 && self.chance.borrow_mut().once_in(puts_off) {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.inner.as_mut().poll(task)
    }
}
