//! Supervision: from an open store and bound sockets to the end of the process.
//!
//! Starts the cores, listeners and the relay; answers signals; sees to it that the node ends within five seconds with
//! everything durable, whatever its peers do. Store errors at the end are the only failure it reports.

use crate::limits::DRAIN_SECONDS_MAX;
use crate::net::Net;
use crate::net::mdns::answer_for;
use crate::node::accept::run_listener;
use crate::node::certificates::{Certificates, put_in_force};
use crate::node::control::Running;
use crate::node::control::listener::run_control;
use crate::node::control::socket::ControlSocket;
use crate::node::cores::Cores;
use crate::node::failure::{Exit, Failure};
use crate::node::sockets::Sockets;
use crate::node::watch::FileWatch;
use crate::node::watchdog::{Watchdog, all_answer, greeting_listeners};
use crate::serve::relay::run_relay;
use crate::serve::{Admission, Context, Logins, Seat, Site, Stopping, run_sightings};
use crate::store::Store;
use crate::wire::address::Domain;
use async_signal::{Signal, Signals};
use sd_notify::NotifyState;
use smol::channel::Sender;
use smol::stream::StreamExt;
use smol::{Async, LocalExecutor, Task, Timer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// A node that is ready to run.
pub struct Node {
    /// What sessions work with.
    pub context: Context,
    /// Its listening sockets.
    pub sockets: Sockets,
    /// Where commands come from.
    pub control: Option<ControlSocket>,
    /// Sessions of all services together.
    pub sessions_max: usize,
    /// Reads the configuration and the files that it names again.
    pub reload: Box<dyn Fn() -> Result<Read, Failure>>,
    /// Files that make it do so when they change.
    pub watched: Vec<PathBuf>,
    /// Its certificates.
    pub certificates: Certificates,
    /// The signals that end it or make it reload, from [`listen_to_signals`].
    pub signals: Signals,
    /// Name in the home network that is answered for.
    pub mdns_name: Option<Domain>,
    /// The board's, armed.
    pub watchdog: Option<Watchdog>,
    /// SIGHUP means that the terminal it was started from has gone, and ends it.
    pub ends_with_terminal: bool,
}

/// What was read.
pub struct Read {
    /// Without the certificates that the store keeps.
    pub site: Site,
    /// See [`Node::watched`].
    pub watched: Vec<PathBuf>,
}

/// What makes a node do something beside its work.
enum Call {
    Signal(Option<std::io::Result<Signal>>),
    FilesChanged,
}

/// Puts together what sessions work with.
pub fn make_context(store: Store, net: Net, site: Site) -> Context {
    Context {
        store,
        net,
        current_site: Arc::new(RwLock::new(Arc::new(site))),
        logins: Arc::new(Logins::default()),
        sent: Arc::default(),
        inquiries: Arc::default(),
        maildrops: Arc::default(),
        destinations: Arc::default(),
        handling: Arc::default(),
        links: Arc::default(),
        compressing: Arc::default(),
        seat: Seat::default(),
        stopping: Stopping::default(),
    }
}

/// From here on the signals do not end the process but wait for [`run`], which then ends it in good order.
pub fn listen_to_signals() -> Result<Signals, Failure> {
    Signals::new([Signal::Int, Signal::Term, Signal::Hup]).map_err(|e| system("signals", &e))
}

fn system(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::System, format!("{what}: {error}"))
}

/// Runs the node until a signal ends it, and closes the store. `ready` is called once all sockets are served.
pub fn run(node: Node, ready: impl FnOnce()) -> Result<(), Failure> {
    let store = node.context.store.clone();
    let executor = Rc::new(LocalExecutor::new());
    let (serves, is_served) = smol::channel::bounded(1);
    // A task of its own: otherwise whatever wakes this thread looks at signals and files as well, with three system calls.
    let serving = executor.spawn(serve_until_signal(node, executor.clone(), serves));
    let outcome = smol::block_on(executor.run(async {
        if is_served.recv().await.is_ok() {
            ready();
        }
        serving.await
    }));
    let closed = store.close().map_err(|e| {
        Failure::new(
            Exit::Store,
            format!("the store did not close well; its journal is read again at the next start: {e:?}"),
        )
    });
    log::info!("event=stopped");
    outcome.and(closed)
}

/// Devices are told the ports that were opened.
fn note_ports(context: &Context, sockets: &Sockets) {
    let mut site = Site::clone(&context.site());
    site.entrances.ports = sockets.bound.iter().map(|bound| (bound.port.name, bound.address.port())).collect();
    put_in_force(context, site);
}

async fn serve_until_signal(
    node: Node,
    executor: Rc<LocalExecutor<'static>>,
    serves: Sender<()>,
) -> Result<(), Failure> {
    let mut signals = node.signals;
    note_ports(&node.context, &node.sockets);
    let admission = Admission::new(node.sessions_max);
    let greeting = greeting_listeners(&node.sockets.bound, &node.context.site());
    let cores = Rc::new(Cores::start(&node.context, executor.clone())?);
    let running = Running {
        certificates: node.certificates.clone(),
        listeners: node.sockets.bound.iter().map(|bound| (bound.port.name, bound.address)).collect(),
        missing: node.sockets.missing.into(),
        admission: admission.clone(),
        started: node.context.net.clock().steady(),
    };
    let mut listeners: Vec<Task<()>> = Vec::new();
    for bound in node.sockets.bound {
        log::info!("event=listening service={} address={}", bound.port.name, bound.address);
        let listener = Async::new_nonblocking(bound.socket).map_err(|e| system("listening socket", &e))?;
        let (context, admission, cores) = (node.context.clone(), admission.clone(), cores.clone());
        listeners.push(executor.spawn(run_listener(context, admission, cores, bound.port, listener)));
    }
    let relay = executor.spawn(run_relay(node.context.clone()));
    let control =
        node.control.map(|socket| executor.spawn(run_control(node.context.clone(), running, executor.clone(), socket)));
    let sightings = executor.spawn(run_sightings(node.context.clone()));
    let _board = look_after_board(&executor, &node.context, &greeting, node.mdns_name, node.watchdog);
    let _service_manager = executor.spawn(tell_service_manager());
    let links = node.context.links.clone();
    let clock = node.context.net.clock().clone();
    let _links = executor.spawn(async move { links.look_after(&clock).await });
    let _certificates = executor.spawn(node.certificates.clone().look_after(node.context.clone()));
    notify(&[NotifyState::Ready]);
    let _ = serves.try_send(());
    let mut watch = FileWatch::new(&node.watched);
    loop {
        let signal = async { Call::Signal(signals.next().await) };
        let files = async {
            watch.changed().await;
            Call::FilesChanged
        };
        let call = match smol::future::or(signal, files).await {
            Call::Signal(Some(Ok(Signal::Hup))) if !node.ends_with_terminal => None,
            Call::FilesChanged => None,
            Call::Signal(signal) => Some(signal),
        };
        match call {
            None => {
                if let Some(files) = reload(&node.context, &node.reload, &node.certificates).await {
                    watch = FileWatch::new(&files);
                }
            }
            Some(Some(Ok(signal))) => {
                log::info!("event=stopping signal={signal:?} sessions={}", admission.sessions());
                break;
            }
            Some(Some(Err(e))) => return Err(system("signals", &e)),
            Some(None) => return Err(Failure::new(Exit::System, "signals no longer arrive")),
        }
    }
    notify(&[NotifyState::Stopping]);
    // New connections are refused by the kernel from here on: a peer tries again elsewhere or later.
    drop((listeners, control));
    node.context.stopping.set();
    drain(&admission, [relay, sightings], &mut signals).await;
    Ok(())
}

/// Waits for the sessions, the relay and what keeps sightings to end: until all have, the time is up, or a second signal comes.
async fn drain(admission: &Admission, others: [Task<()>; 2], signals: &mut Signals) {
    let emptied = async {
        for other in others {
            other.await;
        }
        while admission.sessions() > 0 {
            Timer::after(Duration::from_millis(5)).await;
        }
    };
    let late = async {
        Timer::after(Duration::from_secs(DRAIN_SECONDS_MAX)).await;
    };
    let hurried = async {
        loop {
            match signals.next().await {
                Some(Ok(Signal::Hup)) => {}
                _ => return,
            }
        }
    };
    smol::future::or(smol::future::or(emptied, late), hurried).await;
    let left = admission.sessions();
    if left > 0 {
        log::warn!("event=sessions-cut sessions={left}");
    }
}

/// Swaps in a new site and says which files to watch now. Sessions that run keep theirs; when anything is wrong, everything stays as it
/// was.
async fn reload(
    context: &Context,
    read: &dyn Fn() -> Result<Read, Failure>,
    certificates: &Certificates,
) -> Option<Vec<PathBuf>> {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
    let read = async {
        let Read { mut site, watched } = read()?;
        // Other ports need a restart: devices go on being told those that were opened.
        site.entrances.ports = context.site().entrances.ports.clone();
        Ok::<_, Failure>((certificates.complete(&context.store, &context.net, site).await?, watched))
    };
    let watched = match read.await {
        Ok((site, watched)) => {
            put_in_force(context, site);
            log::info!("event=reloaded");
            Some(watched)
        }
        Err(failure) => {
            log::error!("event=reload-refused reason={:?}", failure.sentence);
            None
        }
    };
    notify(&[NotifyState::Ready]);
    watched
}

/// What a system that consists of the node alone leaves to it: its name in the home network, and the watchdog, which is fed until the
/// tasks are dropped.
fn look_after_board(
    executor: &LocalExecutor<'static>,
    context: &Context,
    greeting: &[SocketAddr],
    mdns_name: Option<Domain>,
    watchdog: Option<Watchdog>,
) -> Vec<Task<()>> {
    let name = mdns_name.map(|name| {
        let net = context.net.clone();
        executor.spawn(async move { answer_for(name.as_str(), net.clock(), net.changes()).await })
    });
    let watchdog = watchdog.map(|watchdog| {
        let (context, clock, greeting) = (context.clone(), context.net.clock().clone(), greeting.to_vec());
        executor.spawn(watchdog.run(clock, async move || all_answer(&context, &greeting).await))
    });
    name.into_iter().chain(watchdog).collect()
}

/// Tells the service manager twice per period that core 0 is alive, when it asks for that (sd_watchdog_enabled(3)).
async fn tell_service_manager() {
    let mut period_micros = 0;
    if !sd_notify::watchdog_enabled(false, &mut period_micros) {
        return;
    }
    loop {
        notify(&[NotifyState::Watchdog]);
        Timer::after(Duration::from_micros(period_micros / 2)).await;
    }
}

/// Tells the service manager, when there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(false, state) {
        log::debug!("event=not-notified reason={:?}", e.to_string());
    }
}
