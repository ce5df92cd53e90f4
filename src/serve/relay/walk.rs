//! One job to its end: over the connection in hand, or server by server until one decides (RFC 5321 section 5.1).
//!
//! Receives a job; hands on a report for each of its recipients. What decides: an answer to RCPT, DATA or the content, a
//! permanent one to MAIL, and a connection that broke after the final dot, where another try at once might make a
//! duplicate. Everything before that (no connection, no greeting, no TLS, a temporary answer to MAIL, a cut) sends the job
//! on to the next address, also a permanent refusal in the greeting, since it speaks for that host alone, as other mailers
//! take it.

use super::Relay;
use super::backoff::{Waits, Whose};
use super::desk::{Connection, Destination, GivenUp, Job, Place};
use super::detour::{Signs, blame_line, may_go_round};
use super::policy::{TlsAttempt, find_tlsa, tell};
use super::round::{Fate, Report, Unsettled};
use super::session::{NoSession, Server, Session};
use crate::limits::*;
use crate::mail::addressbook::GatewayTls;
use crate::mail::bounce::Reason;
use crate::mail::route::{Blocked, Looked, order_addresses, order_hosts};
use crate::mail::tls_policy::{HostTls, TlsFailure, TlsResult, TlsaAnswer, Unfit, decide_tls};
use crate::mail::unwelcome::is_about_our_address;
use crate::net::tls::client_dane;
use crate::net::{Clock, DnsTrouble, Secured};
use crate::serve::queue::UnderWay;
use crate::serve::{Site, SmarthostSecurity};
use crate::store::{QueueEntry, QueueRecipient};
use crate::wire::address::Domain;
use crate::wire::smtp::Recipient;
use crate::wire::smtp::client::{Answer, Envelope, Manner, Status, TlsUse, Verb, Verdict, cut};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// Brings a job to its end and reports it; leaves in `session` a connection that can be used again, or none.
pub(super) async fn attempt(
    relay: &Rc<Relay>,
    connection: &Connection,
    destination: &Destination,
    (session, job): (&mut Option<Session>, &Job),
) {
    // The configuration by which the job was routed, also when a new one has come since.
    let site = &*job.round.site;
    let mut open = job.recipients.clone();
    let mut walk = Walk::new(relay, site, destination, job);
    // A connection that has waited may be dead without anybody's fault: it is not counted as a server that was tried.
    if let Some(used) = session {
        let Some(under_way) = permit(relay, job).await else { return };
        at_work(relay, transact(relay, used, (job, &under_way), &mut open, &mut walk)).await;
    }
    while !open.is_empty() && walk.signs.refused.is_none() {
        let left = session.take();
        if let Some(left) = left.filter(Session::is_ready) {
            left.quit().await;
        }
        let mut next = match connection.open(job, walk.next(relay, site)).await {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(GivenUp) => {
                walk.give_up(relay, site);
                break;
            }
        };
        let Some(under_way) = permit(relay, job).await else {
            *session = Some(next);
            return;
        };
        at_work(relay, transact(relay, &mut next, (job, &under_way), &mut open, &mut walk)).await;
        drop(under_way);
        walk.try_again_without_chunks(&next);
        *session = Some(next);
    }
    if session.as_ref().is_some_and(|session| !session.is_ready()) {
        *session = None;
    }
    if open.is_empty() {
        return;
    }
    let Err(is_line_blocked) = walk.signs.go_round(relay, (destination, &walk.domain), job, &open) else { return };
    let (reason, host) = walk.last.take().unwrap_or((Reason::Happened("no server could be tried".to_owned()), None));
    let reason = if is_line_blocked { blame_line(reason) } else { reason };
    for recipient in open {
        let fate = match &reason {
            Reason::Answered(answer) if !answer.said_by_peer && answer.is_permanent() => {
                Fate::Permanent(reason.clone())
            }
            other => Fate::Temporary(other.clone()),
        };
        walk.report(relay, job, Report { recipient, fate, host: host.clone(), will_report: false, unsettled: None });
    }
}

/// Leave to send the message now. `None`: it was held or taken out since its round began, and nobody is reported.
async fn permit(relay: &Relay, job: &Job) -> Option<UnderWay> {
    let id = job.round.entry.id;
    let under_way = relay.context.handling.begin(id).await;
    let entry = relay.context.store.read(move |snapshot| snapshot.queue_entry(id)).await;
    let may = match entry {
        Ok(entry) => entry.is_some_and(|entry| !entry.held),
        // A store in trouble says nothing about the message.
        Err(_) => true,
    };
    if !may {
        log::info!("event=withdrawn queue={}", id.0);
    }
    may.then_some(under_way)
}

/// Waits for a place among those that transfer, and works. Who takes long leaves it to others, as far as there is room for more.
async fn at_work(relay: &Relay, work: impl Future<Output = ()>) {
    let place = relay.working.acquire().await;
    let mut work = pin!(work);
    let patience = Duration::from_secs(RELAY_WORK_SECONDS);
    if relay.context.net.clock().within(patience, work.as_mut()).await.is_some() {
        return;
    }
    let _slow = relay.working_slowly.try_acquire();
    let _place = if _slow.is_some() { None } else { Some(place) };
    work.await;
}

/// Why the last server did not decide, and its name.
type Last = Option<(Reason, Option<String>)>;

/// Of an entry for some of its recipients.
fn envelope(entry: &QueueEntry, open: &[usize]) -> Envelope {
    let recipient = |recipient: &QueueRecipient| Recipient {
        address: recipient.address.clone(),
        parameters: recipient.parameters.clone(),
    };
    Envelope {
        reverse_path: entry.reverse_path.clone(),
        parameters: entry.parameters.clone(),
        recipients: open.iter().filter_map(|&at| entry.recipients.get(at)).map(recipient).collect(),
        bytes: entry.bytes,
        eight_bit: false,
        eight_bit_header: false,
    }
}

/// Sends the job's message to those still open; those it decides leave `open` and are reported.
async fn transact(
    relay: &Rc<Relay>,
    session: &mut Session,
    (job, under_way): (&Job, &UnderWay),
    open: &mut Vec<usize>,
    walk: &mut Walk<'_>,
) {
    let entry = &job.round.entry;
    let verdicts = session.send(&relay.context.store, entry.body, envelope(entry, open), &entry.signatures).await;
    if session.knows_no_chunks() {
        relay.backoff.borrow_mut().note_no_chunks(session.address());
    }
    let host = session.host.clone();
    let place = &walk.destination.place;
    let may_go_round = may_go_round(&job.round.site, place);
    let mut undecided = Vec::new();
    for (recipient, verdict) in open.drain(..).zip(verdicts) {
        let fate = match verdict {
            Verdict::Delivered(answer) => Fate::Delivered(Reason::Answered(answer)),
            // The address we come from is not wanted: the smarthost has another.
            Verdict::Permanent(answer, verb) | Verdict::Temporary(answer, verb)
                if may_go_round && is_about_our_address(&answer, verb) =>
            {
                walk.signs.refused.get_or_insert((host.clone(), answer.to_string()));
                undecided.push(recipient);
                continue;
            }
            // 530 and 538 say that this session lacks TLS or a login: our settings are wrong, not the message.
            Verdict::Permanent(answer, Verb::Mail) if place.is_named() && matches!(answer.code, 530 | 535 | 538) => {
                Fate::Temporary(Reason::Answered(answer))
            }
            // RFC 8689 section 4.2.1: another server of the domain may be able to.
            Verdict::Permanent(answer, Verb::Mail)
                if !answer.said_by_peer && answer.status == Some(Status(5, 7, 30)) =>
            {
                walk.last.get_or_insert((Reason::Answered(answer), Some(host.clone())));
                undecided.push(recipient);
                continue;
            }
            Verdict::Permanent(answer, _) => Fate::Permanent(Reason::Answered(answer)),
            Verdict::Temporary(answer, Verb::Mail) => {
                walk.last = Some((Reason::Answered(answer), Some(host.clone())));
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
                walk.last = session.end_reason().map(|reason| (reason, Some(host.clone())));
                undecided.push(recipient);
                continue;
            }
        };
        let unsettled = matches!(fate, Fate::Delivered(_)).then(|| Unsettled::new(relay, under_way));
        let will_report = session.offers_dsn();
        walk.report(relay, job, Report { recipient, fate, host: Some(host.clone()), will_report, unsettled });
    }
    *open = undecided;
}

/// The servers of a destination, one after the other.
struct Walk<'a> {
    destination: &'a Destination,
    /// The domain of the recipients.
    domain: Domain,
    hosts: VecDeque<Domain>,
    addresses: VecDeque<IpAddr>,
    host: Option<Domain>,
    /// What TLS to the host must be, where it is found by MX.
    tls: HostTls,
    addresses_left: usize,
    servers_left: usize,
    /// The server that is being connected to.
    trying: Option<(SocketAddr, Domain)>,
    last: Last,
    signs: Signs,
}

impl Walk<'_> {
    fn new<'a>(relay: &Relay, site: &Site, destination: &'a Destination, job: &Job) -> Walk<'a> {
        let hosts = match &destination.place {
            Place::Smarthost(smarthost) => VecDeque::from([Domain::new(smarthost.host.trim_matches(['[', ']']))]),
            Place::Gateway(gateway) => VecDeque::from([Domain::new(&gateway.host)]),
            Place::Exchanges(exchanges) => order_hosts(exchanges, relay.random()).into(),
            Place::Address(_) => VecDeque::new(),
        };
        // Jobs that go by MX have recipients of one domain only.
        let recipient = job.recipients.first().and_then(|&at| job.round.entry.recipients.get(at));
        let domain = recipient.map_or_else(|| Domain::new(""), |recipient| recipient.address.domain.clone());
        let tls = if destination.demands.require_tls { HostTls::Verified } else { HostTls::Opportunistic };
        let mut walk = Walk {
            destination,
            domain,
            hosts,
            addresses: VecDeque::new(),
            host: None,
            tls,
            addresses_left: RELAY_ADDRESSES_TRIED_MAX,
            servers_left: RELAY_SERVERS_TRIED_MAX,
            trying: None,
            last: None,
            signs: Signs::default(),
        };
        if let Place::Address(ip) = &destination.place {
            let host = Domain::new(&ip.to_string());
            walk.take_addresses(host, Looked::Found(vec![*ip]), site);
        }
        walk
    }

    /// Tells the round what became of a recipient, and whoever looks how it went.
    fn report(&self, relay: &Relay, job: &Job, report: Report) {
        if let Some(recipient) = job.round.entry.recipients.get(report.recipient) {
            let host = report.host.as_deref().unwrap_or("no server");
            let way = match &self.destination.place {
                Place::Smarthost(_) => format!("through the smarthost {host}"),
                Place::Gateway(_) => format!("to the server inside, {host}"),
                Place::Exchanges(_) | Place::Address(_) => format!("directly to {host}"),
            };
            let trouble = match &report.fate {
                Fate::Delivered(_) => None,
                Fate::Permanent(reason) | Fate::Temporary(reason) => Some(cut(&reason.to_string(), 512).to_owned()),
            };
            let domain = &recipient.address.domain;
            relay.context.destinations.note(domain, relay.now(), |seen| (seen.way, seen.trouble) = (way, trouble));
        }
        // The round waits for it, unless the node stops; then it is not needed.
        let _ = job.reports.try_send(report);
    }

    /// The next server that lets us in.
    async fn next(&mut self, relay: &Rc<Relay>, site: &Site) -> Option<Session> {
        while self.addresses_left > 0 && self.servers_left > 0 {
            let Some(ip) = self.addresses.pop_front() else {
                let host = self.hosts.pop_front()?;
                self.arrive_at(host, relay, site).await;
                continue;
            };
            let host = self.host.clone()?;
            self.addresses_left -= 1;
            let server = server(relay.context.net.clock(), site, self.destination, (&host, &self.tls), ip);
            if let Some(session) = self.open(relay, site, server).await {
                self.servers_left -= 1;
                return Some(session);
            }
        }
        None
    }

    /// A server that offers CHUNKING and does not know it gets the message once more, by DATA over a fresh connection.
    fn try_again_without_chunks(&mut self, session: &Session) {
        if session.knows_no_chunks() {
            self.addresses.push_front(session.address().ip());
            (self.addresses_left, self.servers_left) = (self.addresses_left + 1, self.servers_left + 1);
        }
    }

    async fn open(&mut self, relay: &Rc<Relay>, site: &Site, mut server: Server) -> Option<Session> {
        let clock = relay.context.net.clock();
        server.manner.no_chunks = relay.backoff.borrow().knows_no_chunks(server.address);
        if let Some(reason) = relay.backoff.borrow().reason(server.address, &self.tls, clock.steady()) {
            self.signs_of(site, reason, &server.host);
            self.last = Some((reason.clone(), Some(server.host.to_string())));
            return None;
        }
        let loops = gives_up_loops(site, self.destination);
        self.trying = Some((server.address, server.host.clone()));
        let mut opened = Session::open(&relay.context.net, &server, loops).await;
        self.tell_opened(relay, &server, &opened);
        if self.tls == HostTls::Tested && by_tls(&opened) {
            // RFC 8461 section 5: the failure is told, and the mail goes as if there were no policy.
            server.manner.tls = TlsUse::IfOffered;
            server.tls = site.relay.tls_any.clone();
            opened = Session::open(&relay.context.net, &server, loops).await;
        }
        if server.manner.tls == TlsUse::IfOffered && by_tls(&opened) {
            // RFC 7435: an attacker who can break TLS could as well have taken the offer away.
            server.manner.tls = TlsUse::Never;
            opened = Session::open(&relay.context.net, &server, loops).await;
        }
        self.trying = None;
        self.signs.heard(relay, self.destination, server.address.ip(), &opened);
        match opened {
            Ok(session) => {
                relay.backoff.borrow_mut().works(server.address);
                relay.server_reached();
                Some(session)
            }
            Err(refused) => {
                match refused.reason {
                    Reason::Unreachable(_) => relay.server_unreachable(server.address.ip(), refused.no_way),
                    Reason::Answered(_) | Reason::Happened(_) | Reason::LineBlocked(_) => relay.server_reached(),
                }
                self.note(relay, site, server, refused);
                None
            }
        }
    }

    /// Tells what became of TLS, once per connection: what is done about it afterwards changes nothing.
    fn tell_opened(&self, relay: &Relay, server: &Server, opened: &Result<Session, NoSession>) {
        let missing = || {
            let text = format!("the server {} offers no STARTTLS", server.host);
            TlsFailure { result: TlsResult::StarttlsNotSupported, text }
        };
        let local = opened.as_ref().map_or_else(|refused| refused.local, |session| Some(session.local()));
        let failure = match opened {
            Ok(session) if session.is_over_tls() => None,
            Ok(_) if server.manner.tls == TlsUse::Never => return,
            Ok(_) => Some(missing()),
            // It did not come to TLS.
            Err(NoSession { tls: None, .. }) => return,
            Err(NoSession { tls: Some(failure), .. }) => Some(failure.clone()),
        };
        tell(
            relay,
            &TlsAttempt {
                domain: &self.domain,
                destination: self.destination,
                host: &server.host,
                address: Some(server.address),
                local,
                tls: Some(&self.tls),
                result: failure.as_ref().map_or(Ok(()), Err),
            },
        );
    }

    /// Others were waiting, and this took longest.
    fn give_up(&mut self, relay: &Relay, site: &Site) {
        let Some((address, host)) = self.trying.take() else {
            self.last = Some((Reason::Unreachable("too many servers are slow at once".to_owned()), None));
            return;
        };
        let reason = Reason::Unreachable(format!("could not connect to {host} ({address}): it took too long"));
        let (waits, now) = (waits(site, RELAY_BACKOFF_SECONDS), relay.context.net.clock().steady());
        relay.server_unreachable(address.ip(), false);
        relay.backoff.borrow_mut().add(Whose::Server(address, None), waits, reason.clone(), now);
        self.last = Some((reason, Some(host.to_string())));
    }

    /// A server that refuses every connection because of our address.
    fn signs_of(&mut self, site: &Site, reason: &Reason, host: &Domain) {
        if let Reason::Answered(answer) = reason
            && may_go_round(site, &self.destination.place)
            && is_about_our_address(answer, Verb::Greeting)
        {
            self.signs.refused.get_or_insert((host.to_string(), answer.to_string()));
        }
    }

    /// Remembers why a server could not be used: for this job, and for a while for others.
    fn note(&mut self, relay: &Relay, site: &Site, server: Server, refused: NoSession) {
        if refused.is_own {
            let text = format!("mail for it would come back here: {}", refused.reason);
            self.last_resort(Reason::Answered(Answer::ours(554, Status(5, 4, 6), text)), server.host.as_str());
            return;
        }
        if self.destination.demands.require_tls && refused.tls.is_some() {
            // RFC 8689 section 4.2.1. Other messages may go there all the same, so it is not remembered.
            let text = format!("the message requires TLS, and {}", refused.reason);
            self.last_resort(Reason::Answered(Answer::ours(550, Status(5, 7, 10), text)), server.host.as_str());
            return;
        }
        let seconds = if refused.by_login { RELAY_LOGIN_BACKOFF_SECONDS } else { RELAY_BACKOFF_SECONDS };
        let waits = waits(site, seconds);
        let now = relay.context.net.clock().steady();
        log::info!(
            "event=unusable host={:?} address={} reason={:?}",
            server.host.as_str(),
            server.address,
            refused.reason.to_string()
        );
        if refused.tls.is_none() && !refused.by_login {
            self.signs_of(site, &refused.reason, &server.host);
        }
        let way = Whose::Server(server.address, refused.tls.is_some().then(|| self.tls.clone()));
        relay.backoff.borrow_mut().add(way, waits, refused.reason.clone(), now);
        self.last = Some((refused.reason, Some(server.host.to_string())));
    }

    /// Finds out the addresses of a host, and what TLS to it must be.
    async fn arrive_at(&mut self, host: Domain, relay: &Relay, site: &Site) {
        let looked = look_up(relay, &host, self.destination.place.is_named()).await;
        let found = match looked {
            Ok(found) => found,
            Err(looked) => return self.take_addresses(host, looked, site),
        };
        self.take_addresses(host.clone(), Looked::Found(found.found.clone()), site);
        if self.addresses.is_empty() || self.destination.place.is_named() || self.destination.demands.tls_optional {
            return;
        }
        let asking = find_tlsa(relay, &host, site.relay.mx_port, &found);
        let tlsa = relay.lookups.run(relay.context.net.clock(), asking).await;
        let tlsa = tlsa.unwrap_or_else(|| TlsaAnswer::Failed("too many name servers are slow at once".to_owned()));
        match decide_tls(&self.destination.demands, &host, tlsa) {
            Ok(tls) => self.tls = tls,
            Err(Unfit::Never(answer)) => {
                self.addresses.clear();
                self.last_resort(Reason::Answered(answer), host.as_str());
            }
            Err(Unfit::Later(failure)) => {
                self.addresses.clear();
                let (domain, destination) = (&self.domain, self.destination);
                let result = Err(&failure);
                let attempt =
                    TlsAttempt { domain, destination, host: &host, address: None, local: None, tls: None, result };
                tell(relay, &attempt);
                self.last = Some((Reason::Happened(failure.text), Some(host.to_string())));
            }
        }
    }

    fn take_addresses(&mut self, host: Domain, looked: Looked<IpAddr>, site: &Site) {
        let private = site.relay.private_targets || self.destination.place.is_named();
        match order_addresses(host.as_str(), looked, private) {
            Ok(addresses) => self.addresses = addresses.into(),
            Err(Blocked::Never(answer)) => self.last_resort(Reason::Answered(answer), host.as_str()),
            Err(Blocked::Later(reason)) => self.last = Some((reason, Some(host.to_string()))),
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

/// How long a server is left alone, the message being tried again before it would be.
fn waits(site: &Site, first_seconds: u64) -> Waits {
    let first_wait = site.relay.retry_after.first().copied().unwrap_or(Duration::MAX);
    let longest = Duration::from_secs(RELAY_BACKOFF_SECONDS_MAX).min(first_wait / 2);
    Waits { first: Duration::from_secs(first_seconds).min(longest), longest }
}

/// A host that the owner has named is asked for without proof: its name may be one that only the router of the house knows.
async fn look_up(relay: &Relay, host: &Domain, is_named: bool) -> Result<Secured<IpAddr>, Looked<IpAddr>> {
    let net = &relay.context.net;
    let asking = async {
        match is_named {
            true => net.addresses(host).await.map(|found| Secured::unproved(host, found)),
            false => net.addresses_secured(host).await,
        }
    };
    let found = relay.look_up(host, asking).await;
    found.map_err(|trouble| match trouble {
        DnsTrouble::NoSuchName => Looked::NoSuchName,
        DnsTrouble::Temporary(why) => Looked::Temporary(why),
    })
}

fn by_tls(opened: &Result<Session, NoSession>) -> bool {
    matches!(opened, Err(NoSession { tls: Some(_), .. }))
}

/// Whether a connection to this very machine is given up: mail would come back.
pub(super) fn gives_up_loops(site: &Site, destination: &Destination) -> bool {
    !site.relay.same_machine_targets
        && match &destination.place {
            Place::Smarthost(_) => false,
            // Another server may run on this machine, but not on our own port.
            Place::Gateway(gateway) => gateway.port == site.relay.mx_port,
            Place::Exchanges(_) | Place::Address(_) => true,
        }
}

/// How this host is spoken to. What TLS must be counts where the owner has not said it.
pub(super) fn server(
    clock: &Clock,
    site: &Site,
    destination: &Destination,
    (host, host_tls): (&Domain, &HostTls),
    ip: IpAddr,
) -> Server {
    let relay = &site.relay;
    let any_tls = (TlsUse::IfOffered, false, &relay.tls_any);
    let by_dane;
    let mut tls_name = host;
    let no_login = None;
    let (port, (mut tls, implicit_tls, mut config), login) = match &destination.place {
        Place::Gateway(gateway) => {
            let tls = match gateway.tls {
                GatewayTls::IfOffered => any_tls,
                GatewayTls::Plain => (TlsUse::Never, false, &relay.tls_any),
                GatewayTls::StartTls => (TlsUse::Required, false, &relay.tls_verified),
                GatewayTls::Implicit => (TlsUse::Never, true, &relay.tls_verified),
            };
            (gateway.port, tls, no_login)
        }
        Place::Smarthost(smarthost) => {
            let tls = match smarthost.security {
                SmarthostSecurity::StartTls => (TlsUse::Required, false, &smarthost.tls),
                SmarthostSecurity::Implicit => (TlsUse::Never, true, &smarthost.tls),
                SmarthostSecurity::Plain => (TlsUse::Never, false, &smarthost.tls),
            };
            (smarthost.port, tls, smarthost.login.clone())
        }
        _ => {
            let tls = match host_tls {
                HostTls::Opportunistic => any_tls,
                HostTls::Encrypted(_) => (TlsUse::Required, false, &relay.tls_any),
                HostTls::Tested | HostTls::Verified => (TlsUse::Required, false, &relay.tls_verified),
                HostTls::Dane(dane) => {
                    tls_name = &dane.base;
                    // It cannot fail; if it did, the certificate would have to be good in another way.
                    by_dane = client_dane(dane, clock).unwrap_or_else(|_| relay.tls_verified.clone());
                    (TlsUse::Required, false, &by_dane)
                }
            };
            (relay.mx_port, tls, no_login)
        }
    };
    if destination.demands.require_tls && destination.place.is_named() {
        config = match &destination.place {
            Place::Smarthost(smarthost) => &smarthost.tls,
            _ => &relay.tls_verified,
        };
        if !implicit_tls {
            tls = TlsUse::Required;
        }
    }
    Server {
        host: host.clone(),
        tls_name: tls_name.clone(),
        address: SocketAddr::new(ip, port),
        source: relay.source.towards(ip),
        manner: Manner { hostname: relay.hello.clone(), tls, login, no_chunks: false },
        implicit_tls,
        tls: config.clone(),
    }
}
