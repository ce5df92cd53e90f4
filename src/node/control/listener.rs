//! The node's side of the control socket.
//!
//! Receives connections; carries out one command of each. Only the node's own user and root are listened to, at most
//! [`CONTROL_CLIENTS_MAX`] at once, and for bounded times: whatever comes over this socket costs no more than that.

use crate::limits::{
    ACCEPT_PAUSE_MILLISECONDS, CONTROL_CLIENTS_MAX, CONTROL_REQUEST_BYTES_MAX, CONTROL_REQUEST_SECONDS_MAX,
    REFUSAL_LOG_SECONDS,
};
use crate::node::control::answer::Answer;
use crate::node::control::frame::{REQUEST_HEAD_BYTES, Request};
use crate::node::control::socket::ControlSocket;
use crate::node::control::{Errand, Running, carry_out};
use crate::node::failure::{Exit, Failure};
use crate::serve::Context;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use smol::io::AsyncReadExt;
use smol::{Async, LocalExecutor, Timer};
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Takes connections until it is dropped; the socket goes with it.
pub async fn run_control(
    context: Context,
    running: Running,
    executor: Rc<LocalExecutor<'static>>,
    socket: ControlSocket,
) {
    let taken = socket.listener.try_clone().and_then(Async::<UnixListener>::new);
    let listener = match taken {
        Ok(listener) => listener,
        Err(error) => return log::error!("event=control-failed reason={:?}", error.to_string()),
    };
    // Counts the clients: each has a clone.
    let clients = Rc::new(());
    let mut said: Option<Instant> = None;
    loop {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                log::warn!("event=control-paused reason={:?}", error.to_string());
                Timer::after(Duration::from_millis(ACCEPT_PAUSE_MILLISECONDS)).await;
                continue;
            }
        };
        if let Err(who) = check_known(&client) {
            if said.is_none_or(|said| said.elapsed() >= Duration::from_secs(REFUSAL_LOG_SECONDS)) {
                log::warn!("event=control-refused {who}");
                said = Some(Instant::now());
            }
            continue;
        }
        let place = clients.clone();
        let (context, running) = (context.clone(), running.clone());
        let is_full = Rc::strong_count(&clients) > CONTROL_CLIENTS_MAX + 1;
        let work = async move {
            let stopping = context.stopping.clone();
            let answer = async {
                let outcome = if is_full { refuse(client).await } else { receive(&context, running, client).await };
                if let Err(failure) = outcome {
                    log::debug!("event=control-unanswered reason={:?}", failure.sentence);
                }
            };
            // A command that is cut has done what it has said, and perhaps a little more.
            smol::future::or(answer, stopping.asked()).await;
            drop(place);
        };
        executor.spawn(work).detach();
    }
}

/// The other process belongs to the node's own user or root, who could do everything anyway; or else who it is, for the log.
fn check_known(client: &Async<UnixStream>) -> Result<(), String> {
    match getsockopt(client, PeerCredentials) {
        Ok(peer) if peer.uid() == 0 || peer.uid() == geteuid().as_raw() => Ok(()),
        Ok(peer) => Err(format!("uid={} pid={}", peer.uid(), peer.pid())),
        Err(error) => Err(format!("reason={:?}", error.to_string())),
    }
}

async fn refuse(client: Async<UnixStream>) -> Result<(), Failure> {
    let why = format!("{CONTROL_CLIENTS_MAX} commands are being answered already: try again later");
    Answer::to_client(client).end(Err(Failure::new(Exit::InUse, why))).await
}

/// One client from its request to the end of its answer.
async fn receive(context: &Context, running: Running, mut client: Async<UnixStream>) -> Result<(), Failure> {
    let late = async {
        Timer::after(Duration::from_secs(CONTROL_REQUEST_SECONDS_MAX)).await;
        Err("the request did not come in time".to_owned())
    };
    let request = smol::future::or(read_request(&mut client), late).await;
    let mut answer = Answer::to_client(client);
    let outcome = match request {
        Ok(request) => {
            // Only what it is about: the rest may be a private key.
            log::debug!("event=control words={:?}", request.words.get(..2).unwrap_or_default());
            let errand =
                Errand { context: context.clone(), running: Some(running), zone_minutes: request.zone_minutes };
            carry_out(&errand, &request, &mut answer).await
        }
        Err(why) => Err(Failure::new(Exit::Usage, why)),
    };
    answer.end(outcome).await
}

async fn read_request(client: &mut Async<UnixStream>) -> Result<Request, String> {
    let cut = |error: io::Error| format!("the request broke off: {error}");
    let mut head = [0; REQUEST_HEAD_BYTES];
    client.read_exact(&mut head).await.map_err(cut)?;
    let mut words = vec![0; Request::length(head)?.min(CONTROL_REQUEST_BYTES_MAX)];
    client.read_exact(&mut words).await.map_err(cut)?;
    Ok(Request::decode(&words)?)
}
