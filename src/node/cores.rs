//! Cores: one thread per processor core, each with its own executor; a session lives and dies on one of them.
//!
//! Core 0 is the main thread, which also accepts and supervises. A connection goes to the core with the fewest
//! sessions: one thread wakes per connection, and long IMAP sessions spread evenly.

use crate::limits::{CORE_STACK_BYTES, CORE_THREADS_MAX};
use crate::node::failure::{Exit, Failure};
use crate::node::settings::Port;
use crate::serve::reception::receive;
use crate::serve::{Context, Ticket};
use smol::channel::Sender;
use smol::{Async, LocalExecutor};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An admitted connection on its way to its core.
pub struct Guest {
    /// The connection.
    pub socket: Async<TcpStream>,
    /// What it came to.
    pub port: Port,
    /// Its place.
    pub ticket: Ticket,
}

/// All cores, as core 0 sees them.
pub struct Cores {
    context: Context,
    own: Rc<LocalExecutor<'static>>,
    own_load: Load,
    others: Vec<Core>,
}

struct Core {
    guests: Sender<Guest>,
    load: Load,
}

/// Sessions on one core.
type Load = Arc<AtomicUsize>;

impl Cores {
    /// Starts the other cores' threads. They end with the process, or when [`Cores`] is dropped and idle.
    pub fn start(context: &Context, own: Rc<LocalExecutor<'static>>) -> Result<Cores, Failure> {
        let count = std::thread::available_parallelism().map_or(1, |count| count.get()).min(CORE_THREADS_MAX);
        let mut others = Vec::new();
        for number in 1..count {
            // Holds no more than the admitted sessions.
            let (guests, arriving) = smol::channel::unbounded::<Guest>();
            let load = Load::default();
            let (context, core_load) = (context.clone(), load.clone());
            let run = move || {
                let executor = LocalExecutor::new();
                smol::block_on(executor.run(async {
                    while let Ok(guest) = arriving.recv().await {
                        executor.spawn(run_session(context.clone(), guest, Visit::of(&core_load))).detach();
                    }
                }));
            };
            std::thread::Builder::new()
                .name(format!("core-{number}"))
                .stack_size(CORE_STACK_BYTES)
                .spawn(run)
                .map_err(|e| Failure::new(Exit::System, format!("cannot start a thread: {e}")))?;
            others.push(Core { guests, load });
        }
        Ok(Cores { context: context.clone(), own, own_load: Load::default(), others })
    }

    /// Gives a connection to the core with the fewest sessions.
    pub fn seat(&self, guest: Guest) {
        let own = self.own_load.load(Ordering::Relaxed);
        let calmest = self.others.iter().map(|core| (core.load.load(Ordering::Relaxed), core));
        let guest = match calmest.min_by_key(|(load, _)| *load) {
            // Core 0 has more to do than sessions: at a tie another core takes it.
            Some((load, core)) if load <= own => match core.guests.try_send(guest) {
                Ok(()) => return,
                Err(refused) => refused.into_inner(),
            },
            _ => guest,
        };
        self.own.spawn(run_session(self.context.clone(), guest, Visit::of(&self.own_load))).detach();
    }
}

/// Counts one session on its core while it lives.
struct Visit(Load);

impl Visit {
    fn of(load: &Load) -> Visit {
        load.fetch_add(1, Ordering::Relaxed);
        Visit(load.clone())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn run_session(context: Context, guest: Guest, _visit: Visit) {
    let Guest { socket, port, ticket } = guest;
    match context.net.accepted(socket) {
        Ok(stream) => receive(context, ticket, port.service, port.implicit_tls, stream).await,
        Err(error) => log::debug!("event=session-not-started service={} reason={:?}", port.name, error.to_string()),
    }
}
