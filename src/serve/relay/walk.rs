//! One job to its end: over the connection in hand, or server by server until one decides (RFC 5321 section 5.1).
//!
//! Receives a job; hands on a report for each of its recipients. What decides: an answer to RCPT, DATA or the content, a
//! permanent one to MAIL, and a connection that broke after the final dot, where another try at once might make a
//! duplicate. Everything before that (no connection, no greeting, no TLS, a temporary answer to MAIL, a cut) sends the job
//! on to the next address, also a permanent refusal in the greeting, since it speaks for that host alone, as other mailers
//! take it.

use super::Relay;
use super::desk::{Destination, Job};
use super::round::{Fate, Report, Unsettled};
use super::session::{NoSession, Server, Session};
use crate::limits::*;
use crate::mail::addressbook::GatewayTls;
use crate::mail::bounce::Reason;
use crate::mail::route::{Blocked, Looked, order_addresses, order_hosts};
use crate::net::DnsTrouble;
use crate::serve::{Site, SmarthostSecurity};
use crate::store::QueueRecipient;
use crate::wire::address::Domain;
use crate::wire::smtp::Recipient;
use crate::wire::smtp::client::{Answer, Envelope, Manner, Status, TlsUse, Verb, Verdict};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Brings a job to its end and reports it; leaves in `session` a connection that can be used again, or none.
pub(super) async fn attempt(relay: &Rc<Relay>, destination: &Destination, session: &mut Option<Session>, job: &Job) {
    // The configuration by which the job was routed, also when a new one has come since.
    let site = &*job.round.site;
    let mut open = job.recipients.clone();
    let mut walk = Walk::new(relay, site, destination);
    // A connection that has waited may be dead without anybody's fault: it is not counted as a server that was tried.
    if let Some(used) = session {
        transact(relay, used, (destination, job), &mut open, &mut walk.last).await;
    }
    while !open.is_empty() {
        let left = session.take();
        if let Some(left) = left.filter(Session::is_ready) {
            left.quit().await;
        }
        let Some(mut next) = walk.next(relay, site).await else { break };
        transact(relay, &mut next, (destination, job), &mut open, &mut walk.last).await;
        *session = Some(next);
    }
    if session.as_ref().is_some_and(|session| !session.is_ready()) {
        *session = None;
    }
    let (reason, host) = walk.last.take().unwrap_or((Reason::Happened("no server could be tried".to_owned()), None));
    for recipient in open {
        let fate = match &reason {
            Reason::Answered(answer) if !answer.said_by_peer && answer.is_permanent() => {
                Fate::Permanent(reason.clone())
            }
            other => Fate::Temporary(other.clone()),
        };
        report(job, Report { recipient, fate, host: host.clone(), will_report: false, unsettled: None });
    }
}

/// Why the last server did not decide, and its name.
type Last = Option<(Reason, Option<String>)>;

/// Sends the job's message to those still open; those it decides leave `open` and are reported.
async fn transact(
    relay: &Rc<Relay>,
    session: &mut Session,
    (destination, job): (&Destination, &Job),
    open: &mut Vec<usize>,
    last: &mut Last,
) {
    let entry = &job.round.entry;
    let recipient = |recipient: &QueueRecipient| Recipient {
        address: recipient.address.clone(),
        parameters: recipient.parameters.clone(),
    };
    let envelope = Envelope {
        reverse_path: entry.reverse_path.clone(),
        parameters: entry.parameters.clone(),
        recipients: open.iter().filter_map(|&at| entry.recipients.get(at)).map(recipient).collect(),
        bytes: entry.bytes,
        eight_bit: false,
        eight_bit_header: false,
    };
    let verdicts = session.send(&relay.context.store, entry.body, envelope).await;
    let host = session.host.clone();
    let mut undecided = Vec::new();
    for (recipient, verdict) in open.drain(..).zip(verdicts) {
        let fate = match verdict {
            Verdict::Delivered(answer) => Fate::Delivered(Reason::Answered(answer)),
            // 530 and 538 say that this session lacks TLS or a login: our settings are wrong, not the message.
            Verdict::Permanent(answer, Verb::Mail)
                if destination.is_named() && matches!(answer.code, 530 | 535 | 538) =>
            {
                Fate::Temporary(Reason::Answered(answer))
            }
            // RFC 8689 section 4.2.1: another server of the domain may be able to.
            Verdict::Permanent(answer, Verb::Mail)
                if !answer.said_by_peer && answer.status == Some(Status(5, 7, 30)) =>
            {
                last.get_or_insert((Reason::Answered(answer), Some(host.clone())));
                undecided.push(recipient);
                continue;
            }
            Verdict::Permanent(answer, _) => Fate::Permanent(Reason::Answered(answer)),
            Verdict::Temporary(answer, Verb::Mail) => {
                *last = Some((Reason::Answered(answer), Some(host.clone())));
                undecided.push(recipient);
                continue;
            }
            Verdict::Temporary(answer, _) => Fate::Temporary(Reason::Answered(answer)),
            Verdict::Cut { after_dot: true } => {
                let why = session.end_reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
                let text = format!("{host} was sent the whole message and gave no answer to it{why}");
                Fate::Temporary(Reason::Happened(text))
            }
            Verdict::Cut { after_dot: false } => {
                *last = session.end_reason().map(|reason| (reason, Some(host.clone())));
                undecided.push(recipient);
                continue;
            }
        };
        let unsettled = matches!(fate, Fate::Delivered(_)).then(|| Unsettled::new(relay));
        let will_report = session.offers_dsn();
        report(job, Report { recipient, fate, host: Some(host.clone()), will_report, unsettled });
    }
    *open = undecided;
}

fn report(job: &Job, report: Report) {
    // The round waits for it, unless the node stops; then it is not needed.
    let _ = job.reports.try_send(report);
}

/// The servers of a destination, one after the other.
struct Walk<'a> {
    destination: &'a Destination,
    hosts: VecDeque<Domain>,
    addresses: VecDeque<IpAddr>,
    host: Option<Domain>,
    addresses_left: usize,
    servers_left: usize,
    last: Last,
}

impl Walk<'_> {
    fn new<'a>(relay: &Relay, site: &Site, destination: &'a Destination) -> Walk<'a> {
        let hosts = match destination.place() {
            Destination::Smarthost(host, _) => VecDeque::from([Domain::new(host.trim_matches(['[', ']']))]),
            Destination::Gateway(gateway) => VecDeque::from([Domain::new(&gateway.host)]),
            Destination::Exchanges(exchanges) => order_hosts(exchanges, relay.random()).into(),
            Destination::Address(_) | Destination::Verified(_) => VecDeque::new(),
        };
        let mut walk = Walk {
            destination,
            hosts,
            addresses: VecDeque::new(),
            host: None,
            addresses_left: RELAY_ADDRESSES_TRIED_MAX,
            servers_left: RELAY_SERVERS_TRIED_MAX,
            last: None,
        };
        if let Destination::Address(ip) = destination.place() {
            let host = Domain::new(&ip.to_string());
            walk.take_addresses(host, Looked::Found(vec![*ip]), site);
        }
        walk
    }

    /// The next server that lets us in.
    async fn next(&mut self, relay: &Relay, site: &Site) -> Option<Session> {
        while self.addresses_left > 0 && self.servers_left > 0 {
            let Some(ip) = self.addresses.pop_front() else {
                let host = self.hosts.pop_front()?;
                let looked = look_up(relay, &host).await;
                self.take_addresses(host, looked, site);
                continue;
            };
            let host = self.host.clone()?;
            self.addresses_left -= 1;
            let server = server(site, self.destination, &host, ip);
            if let Some(session) = self.open(relay, site, server).await {
                self.servers_left -= 1;
                return Some(session);
            }
        }
        None
    }

    async fn open(&mut self, relay: &Relay, site: &Site, mut server: Server) -> Option<Session> {
        let clock = relay.context.net.clock();
        if let Some(reason) = relay.backoff.borrow().reason(server.address, clock.steady()) {
            self.last = Some((reason.clone(), Some(server.host)));
            return None;
        }
        let loops = gives_up_loops(site, self.destination);
        let mut opened = Session::open(&relay.context.net, &server, loops).await;
        if let (Err(NoSession { by_tls: true, reason, .. }), TlsUse::IfOffered) = (&opened, server.manner.tls) {
            // RFC 7435: an attacker who can break TLS could as well have taken the offer away.
            log::info!("event=tls-failed host={:?} reason={:?} then=plain", server.host, reason.to_string());
            server.manner.tls = TlsUse::Never;
            opened = Session::open(&relay.context.net, &server, loops).await;
        }
        match opened {
            Ok(session) => Some(session),
            Err(refused) => {
                self.note(relay, site, server, refused);
                None
            }
        }
    }

    /// Remembers why a server could not be used: for this job, and for a while for others.
    fn note(&mut self, relay: &Relay, site: &Site, server: Server, refused: NoSession) {
        if refused.is_own {
            let text = format!("mail for it would come back here: {}", refused.reason);
            self.last_resort(Reason::Answered(Answer::ours(554, Status(5, 4, 6), text)), &server.host);
            return;
        }
        if self.destination.is_verified() && refused.by_tls {
            // RFC 8689 section 4.2.1. Other messages may go there all the same, so it is not remembered.
            let text = format!("the message requires TLS, and {}", refused.reason);
            self.last_resort(Reason::Answered(Answer::ours(550, Status(5, 7, 10), text)), &server.host);
            return;
        }
        let seconds = if refused.by_login { RELAY_LOGIN_BACKOFF_SECONDS } else { RELAY_BACKOFF_SECONDS };
        let first_wait = site.relay.retry_after.first().copied().unwrap_or(Duration::MAX);
        let wait = Duration::from_secs(seconds).min(first_wait / 2);
        let now = relay.context.net.clock().steady();
        log::info!(
            "event=unusable host={:?} address={} reason={:?}",
            server.host,
            server.address,
            refused.reason.to_string()
        );
        relay.backoff.borrow_mut().add(server.address, now + wait, refused.reason.clone(), now);
        self.last = Some((refused.reason, Some(server.host)));
    }

    fn take_addresses(&mut self, host: Domain, looked: Looked<IpAddr>, site: &Site) {
        let private = site.relay.private_targets || self.destination.is_named();
        match order_addresses(host.as_str(), looked, private) {
            Ok(addresses) => self.addresses = addresses.into(),
            Err(Blocked::Never(answer)) => self.last_resort(Reason::Answered(answer), host.as_str()),
            Err(Blocked::Later(why)) => self.last = Some((Reason::Happened(why), Some(host.to_string()))),
        }
        self.host = Some(host);
    }

    /// A permanent reason of one host counts only when no other host had a temporary one.
    fn last_resort(&mut self, reason: Reason, host: &str) {
        if self.last.is_none() {
            self.last = Some((reason, Some(host.to_owned())));
        }
    }
}

async fn look_up(relay: &Relay, host: &Domain) -> Looked<IpAddr> {
    let _turn = relay.lookups.acquire().await;
    match relay.context.net.addresses(host).await {
        Ok(found) => Looked::Found(found),
        Err(DnsTrouble::NoSuchName) => Looked::NoSuchName,
        Err(DnsTrouble::Temporary(why)) => Looked::Temporary(why),
    }
}

/// Whether a connection to this very machine is given up: mail would come back.
pub(super) fn gives_up_loops(site: &Site, destination: &Destination) -> bool {
    !site.relay.private_targets
        && match destination.place() {
            Destination::Smarthost(..) => false,
            // Another server may run on this machine, but not on our own port.
            Destination::Gateway(gateway) => gateway.port == site.relay.mx_port,
            Destination::Exchanges(_) | Destination::Address(_) | Destination::Verified(_) => true,
        }
}

/// How this host is spoken to.
pub(super) fn server(site: &Site, destination: &Destination, host: &Domain, ip: IpAddr) -> Server {
    let relay = &site.relay;
    let any_tls = (TlsUse::IfOffered, false, &relay.tls_any);
    let no_login = None;
    let (port, (mut tls, implicit_tls, mut config), login) = match (destination.place(), &relay.smarthost) {
        (Destination::Gateway(gateway), _) => {
            let tls = match gateway.tls {
                GatewayTls::IfOffered => any_tls,
                GatewayTls::Plain => (TlsUse::Never, false, &relay.tls_any),
                GatewayTls::StartTls => (TlsUse::Required, false, &relay.tls_verified),
                GatewayTls::Implicit => (TlsUse::Never, true, &relay.tls_verified),
            };
            (gateway.port, tls, no_login)
        }
        (Destination::Smarthost(..), Some(smarthost)) => {
            let tls = match smarthost.security {
                SmarthostSecurity::StartTls => (TlsUse::Required, false, &relay.tls_verified),
                SmarthostSecurity::Implicit => (TlsUse::Never, true, &relay.tls_verified),
                SmarthostSecurity::Plain => (TlsUse::Never, false, &relay.tls_verified),
            };
            (smarthost.port, tls, smarthost.login.clone())
        }
        _ => (relay.mx_port, any_tls, no_login),
    };
    if destination.is_verified() {
        config = &relay.tls_verified;
        if !implicit_tls {
            tls = TlsUse::Required;
        }
    }
    Server {
        host: host.to_string(),
        address: SocketAddr::new(ip, port),
        manner: Manner { hostname: site.hostname.clone(), tls, login },
        implicit_tls,
        tls: config.clone(),
    }
}
