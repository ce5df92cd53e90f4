//! Reception: from an accepted connection to its session.
//!
//! Receives a stream and the place it was given; hands on a stream that knows its true client, speaks TLS where TLS comes
//! first, and is not from a network that only guesses passwords. What always holds: a PROXY header is read from the
//! configured fronts and required there; from everybody else it is what any other nonsense is.

use crate::limits::*;
use crate::net::Stream;
use crate::net::tls::Protocol;
use crate::serve::imap::run_imap;
use crate::serve::pop3::run_pop3;
use crate::serve::smtp::run_smtp;
use crate::serve::web::run_web;
use crate::serve::{Context, Refusal, Service, Ticket};
use crate::wire::proxy::{self, Header, Look};
use std::io;
use std::time::Duration;

/// Serves one connection until it ends, or does not. `implicit_tls`: TLS from the first byte (after a front's header).
pub async fn receive(context: Context, mut ticket: Ticket, service: Service, implicit_tls: bool, stream: Stream) {
    let peer = stream.peer();
    let seat = ticket.seat();
    let context = Context { seat: seat.clone(), ..context };
    let turned_out = async {
        seat.turned_out().await;
        Err(io::Error::other("others needed the place"))
    };
    let served = smol::future::or(seat_at(context, &mut ticket, service, implicit_tls, stream), turned_out).await;
    if let Err(error) = served {
        let service = service.name();
        log::debug!("event=session-not-started service={service} peer={peer} reason={:?}", error.to_string());
    }
}

async fn seat_at(
    context: Context,
    ticket: &mut Ticket,
    service: Service,
    implicit_tls: bool,
    mut stream: Stream,
) -> io::Result<()> {
    let site = context.site();
    if site.is_front(stream.peer().ip()) {
        let front = stream.peer().ip();
        if let Header::Client { client, server } = read_header(&context, &mut stream).await? {
            stream = stream.on_behalf_of(client, server);
            if let Err(refusal) = ticket.pass_on(client.ip(), site.admission.of(service)) {
                log::warn!(
                    "event=refused service={} peer={} front={front} reason={refusal:?}",
                    service.name(),
                    client.ip()
                );
                return refuse(&mut stream, refusal, service, implicit_tls).await;
            }
        }
    }
    if context.logins.turns_away(service, stream.peer().ip(), context.net.clock().steady()) {
        log::debug!("event=turned-away service={} peer={}", service.name(), stream.peer().ip());
        return refuse(&mut stream, Refusal::Guessing, service, implicit_tls).await;
    }
    if implicit_tls {
        let tls = site.tls.clone().ok_or_else(|| io::Error::other("no certificate is configured"))?;
        let protocol = match service {
            Service::Imap => Protocol::Imap,
            Service::Pop3 => Protocol::Pop3,
            Service::Web => Protocol::Http,
            Service::Mx | Service::Submission => Protocol::Unnamed,
        };
        let handshake = stream.accept_tls_for(protocol, tls, Duration::from_secs(TLS_HANDSHAKE_SECONDS_MAX));
        let stopped = async {
            context.stopping.asked().await;
            Err(io::Error::other("the node is stopping"))
        };
        stream = smol::future::or(handshake, stopped).await?;
    }
    drop(site);
    // Boxed each, so that a session takes the memory of its own protocol and not of the largest one.
    match service {
        Service::Mx | Service::Submission => Box::pin(run_smtp(context, service, stream)).await,
        Service::Imap => Box::pin(run_imap(context, stream)).await,
        Service::Pop3 => Box::pin(run_pop3(context, stream)).await,
        Service::Web => Box::pin(run_web(context, stream)).await,
    }
    Ok(())
}

/// Reads a front's header and not a byte more.
async fn read_header(context: &Context, stream: &mut Stream) -> io::Result<Header> {
    let clock = context.net.clock();
    let until = clock.steady() + Duration::from_secs(PROXY_HEADER_SECONDS_MAX);
    let mut bytes = Vec::new();
    loop {
        let more = match proxy::look(&bytes) {
            Ok(Look::Done(header)) => return Ok(header),
            Ok(Look::More(more)) => more,
            Err(proxy::Malformed) => return Err(io::Error::other("no PROXY header from a front")),
        };
        let had = bytes.len();
        bytes.resize(had + more, 0);
        let wait = until.saturating_sub(clock.steady());
        let read = stream.read(bytes.get_mut(had..).unwrap_or_default(), wait).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(had + read);
    }
}

/// Says why in one line and closes. Before a TLS handshake no word can be understood, and a handshake is what a flood must not
/// get. The line fits the empty send buffer, so this does not wait for the peer.
pub async fn refuse(stream: &mut Stream, refusal: Refusal, service: Service, implicit_tls: bool) -> io::Result<()> {
    let wait = Duration::from_millis(REFUSAL_MILLISECONDS_MAX);
    if !implicit_tls {
        stream.write_all(refusal.line(service), wait).await?;
    }
    stream.close(wait).await
}
