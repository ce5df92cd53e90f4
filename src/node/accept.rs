//! Accepting: from a listening socket to an admitted guest, or to a polite refusal.
//!
//! Nothing a peer does ends the loop, and no want of the system makes it spin.

use crate::limits::{
    ACCEPT_PAUSE_MILLISECONDS, ADMISSION_WAIT_MILLISECONDS, ADMISSION_WAITS_MAX, REFUSAL_LOG_SECONDS,
    REFUSAL_MILLISECONDS_MAX,
};
use crate::node::cores::{Cores, Guest};
use crate::node::settings::Port;
use crate::serve::{Admission, Context, Refusal, Site, Ticket};
use nix::errno::Errno;
use smol::io::AsyncWriteExt;
use smol::{Async, Timer};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Takes connections until it is dropped.
pub async fn run_listener(
    context: Context,
    admission: Admission,
    cores: Rc<Cores>,
    port: Port,
    listener: Async<TcpListener>,
) {
    let mut refusals = Refusals::default();
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => match admit(&admission, &context.site(), port, peer).await {
                Ok(ticket) => {
                    log::debug!("event=connected service={} peer={}", port.name, peer.ip().to_canonical());
                    cores.seat(Guest { socket, port, ticket });
                }
                Err(refusal) => {
                    refusals.count(port, peer, refusal);
                    // Before a TLS handshake no word can be understood, and a handshake is what a flood must not get.
                    if !port.implicit_tls {
                        refuse(socket, refusal.line(port.service)).await;
                    }
                }
            },
            Err(error) if is_want(&error) => {
                log::warn!("event=accept-paused service={} reason={:?}", port.name, error.to_string());
                Timer::after(Duration::from_millis(ACCEPT_PAUSE_MILLISECONDS)).await;
            }
            // The connection died while it waited, or a network error belongs to it (accept(2)): the next one is well.
            Err(error) => log::debug!("event=accept-failed service={} reason={:?}", port.name, error.to_string()),
        }
    }
}

/// Finds a place. Those who are turned out for others go as soon as their core looks at them: in a rush that moment is waited
/// for, and whoever comes next waits in the kernel's queue meanwhile.
async fn admit(admission: &Admission, site: &Site, port: Port, peer: SocketAddr) -> Result<Ticket, Refusal> {
    let mut waits = 0;
    loop {
        let place = match site.is_front(peer.ip()) {
            true => admission.admit_front(port.service, peer.ip(), site.admission.of(port.service)),
            false => admission.admit(port.service, peer.ip(), site.admission.of(port.service)),
        };
        let is_full = matches!(place, Err(Refusal::Full | Refusal::ServiceFull));
        if !is_full || !admission.is_anyone_leaving() || waits == ADMISSION_WAITS_MAX {
            return place;
        }
        waits += 1;
        Timer::after(Duration::from_millis(ADMISSION_WAIT_MILLISECONDS)).await;
    }
}

/// Refusals since the last one that was logged: a flood of connections must not become a flood of lines on the card.
#[derive(Default)]
struct Refusals {
    unsaid: u64,
    said: Option<Instant>,
}

impl Refusals {
    fn count(&mut self, port: Port, peer: SocketAddr, refusal: Refusal) {
        self.unsaid += 1;
        if self.said.is_some_and(|said| said.elapsed() < Duration::from_secs(REFUSAL_LOG_SECONDS)) {
            return;
        }
        let (name, ip, count) = (port.name, peer.ip().to_canonical(), self.unsaid);
        log::warn!("event=refused service={name} peer={ip} reason={refusal:?} count={count}");
        *self = Refusals { unsaid: 0, said: Some(Instant::now()) };
    }
}

/// Says one line and closes. The line fits the empty send buffer, so this does not wait for the peer.
async fn refuse(mut socket: Async<TcpStream>, line: &[u8]) {
    let say = async {
        let _ = socket.write_all(line).await;
        let _ = socket.close().await;
    };
    let give_up = async {
        Timer::after(Duration::from_millis(REFUSAL_MILLISECONDS_MAX)).await;
    };
    smol::future::or(say, give_up).await;
}

/// Errors that come back at once, because the system lacks descriptors or memory.
fn is_want(error: &std::io::Error) -> bool {
    let wants = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
    error.raw_os_error().is_some_and(|code| wants.contains(&Errno::from_raw(code)))
}
