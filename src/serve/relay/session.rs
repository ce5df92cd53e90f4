//! One connection to one server: carries out what the SMTP client machine wants.
//!
//! Receives an address and messages; hands on verdicts. Bodies are read from the store in pieces of at most
//! [`RELAY_BODY_READ_BYTES`] while the piece before is sent; a body that cannot be read to its end is cut off without the
//! final dot, never shortened.

use crate::limits::*;
use crate::mail::bounce::Reason;
use crate::mail::downgrade::{Converter, Plan, Survey};
use crate::mail::message::BodyId;
use crate::mail::tls_policy::{TlsFailure, TlsResult};
use crate::net::tls::{failure_of, refusal_of};
use crate::net::{Net, Stream};
use crate::store::{Store, Trouble};
use crate::wire::address::{Address, Domain};
use crate::wire::smtp::client::{Client, Ended, Envelope, LoginMeans, Manner, Verb, Verdict, Want};
use rustls::ClientConfig;
use smol::future::zip;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long a server that takes no more from us may say why.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(RELAY_LAST_WORDS_SECONDS);

/// A server to talk to, and how.
#[derive(Clone)]
pub(super) struct Server {
    /// Its name, for logs and bounces.
    pub host: Domain,
    /// The name asked for in the TLS handshake: mostly the same.
    pub tls_name: Domain,
    pub address: SocketAddr,
    /// Where the connection goes out from; `None`: the system chooses.
    pub source: Option<IpAddr>,
    pub manner: Manner,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    pub tls: Arc<ClientConfig>,
}

/// Why there is no session.
pub(super) struct NoSession {
    pub reason: Reason,
    /// There is no TLS that is needed, or it broke during the handshake or right after it.
    pub tls: Option<TlsFailure>,
    /// The server does not take our login.
    pub by_login: bool,
    /// The other end is this machine.
    pub is_own: bool,
    /// There is no way to any such address.
    pub no_way: bool,
    /// Nothing answered, or somebody on the way said no.
    pub is_unreached: bool,
    /// This end, when there was a connection.
    pub local: Option<IpAddr>,
}

impl NoSession {
    fn happened(text: String) -> NoSession {
        let (tls, by_login, is_own, no_way, is_unreached) = (None, false, false, false, false);
        NoSession { reason: Reason::Happened(text), tls, by_login, is_own, no_way, is_unreached, local: None }
    }
}

/// A connection on which messages can be sent.
pub(super) struct Session {
    stream: Stream,
    client: Client,
    net: Net,
    pub host: String,
    out: Vec<u8>,
    input: Vec<u8>,
    /// When patience with the server ends, whatever it says, by the steady clock.
    ends: Duration,
}

/// A body piece by piece.
struct BodyPieces<'a> {
    store: &'a Store,
    body: BodyId,
    bytes: u64,
    at: u64,
    /// What it goes through on its way to a server of 7 bits.
    converter: Option<Converter>,
}

impl Session {
    /// Connects and says hello, with TLS and login as the manner asks. `loops`: a connection to this very machine is given up.
    pub async fn open(net: &Net, server: &Server, loops: bool) -> Result<Session, NoSession> {
        let wait = Duration::from_secs(RELAY_CONNECT_SECONDS);
        let stream = net.connect_from(server.source, server.address, wait).await.map_err(|error| {
            let text = format!("could not connect to {} ({}): {}", server.host, server.address, plain(&error));
            let no_way = matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown);
            let is_unreached = is_unreached(&error);
            NoSession { reason: Reason::Unreachable(text), no_way, is_unreached, ..NoSession::happened(String::new()) }
        })?;
        // A connection to this machine has the same address at both ends, unless the source was chosen.
        let peer = stream.peer().ip();
        if loops && (peer == stream.local().ip() || (server.source.is_some() && net.is_own(peer))) {
            let text = format!("{} ({}) is this server itself", server.host, server.address);
            return Err(NoSession { is_own: true, ..NoSession::happened(text) });
        }
        let local = Some(stream.local().ip());
        Session::greet(net, server, stream).await.map_err(|refused| NoSession { local, ..refused })
    }

    async fn greet(net: &Net, server: &Server, mut stream: Stream) -> Result<Session, NoSession> {
        if server.implicit_tls {
            stream = shake_hands(stream, server).await?;
        }
        let mut session = Session {
            stream,
            client: Client::new(server.manner.clone()),
            net: net.clone(),
            host: server.host.to_string(),
            out: Vec::new(),
            input: vec![0; READ_BUFFER_BYTES],
            ends: net.clock().steady() + Duration::from_secs(RELAY_TRANSACTION_SECONDS),
        };
        let mut by_tls = false;
        session.arm(server)?;
        loop {
            session.hear().await;
            match session.client.want() {
                Want::Envelope => return Ok(session),
                Want::Tls => {
                    by_tls = true;
                    session.stream = shake_hands(session.stream, server).await?;
                    session.arm(server)?;
                    session.client.tls_started(&mut session.out);
                }
                _ => return Err(session.no_session(by_tls)),
            }
        }
    }

    /// Gives the machine what it needs to log in by SCRAM over the channel as it is.
    fn arm(&mut self, server: &Server) -> Result<(), NoSession> {
        if server.manner.login.is_none() {
            return Ok(());
        }
        let no_random = |error| NoSession::happened(format!("this system has no random numbers for a login: {error}"));
        let nonce = self.net.random::<18>().map_err(no_random)?;
        self.client.may_prove(LoginMeans { nonce, bindings: self.stream.channel_bindings() });
        Ok(())
    }

    /// Whether another message can be sent.
    pub fn is_ready(&self) -> bool {
        self.client.want() == Want::Envelope
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.stream.peer()
    }

    /// Where it goes out from.
    pub fn local(&self) -> IpAddr {
        self.stream.local().ip()
    }

    /// Whether the server takes over the reports that were asked for (RFC 3461 section 5.2.1).
    pub fn offers_dsn(&self) -> bool {
        self.client.offers_dsn()
    }

    /// Whether it ended because the server offers CHUNKING and does not know it.
    pub fn knows_no_chunks(&self) -> bool {
        self.client.knows_no_chunks()
    }

    /// Why it ended, when it ended.
    pub fn end_reason(&self) -> Option<Reason> {
        self.client.ended().map(|ended| match ended {
            Ended::Refused(answer, _) => Reason::Answered(answer.clone()),
            Ended::Unfit(text) | Ended::Breach(text) | Ended::Unproven(text) => {
                Reason::Happened(format!("the server {} {text}", self.host))
            }
            Ended::Lost(text) => Reason::Unreachable(format!("the connection to {} was lost: {text}", self.host)),
        })
    }

    /// Sends one message, with its signatures ahead of it, to the recipients in its envelope. One verdict each.
    pub async fn send(
        &mut self,
        store: &Store,
        body: BodyId,
        mut envelope: Envelope,
        signatures: &[u8],
    ) -> Vec<Verdict> {
        let recipients = envelope.recipients.len();
        let mut pieces = BodyPieces { store, body, bytes: envelope.bytes, at: 0, converter: None };
        let mut piece = match self.first_piece(&mut pieces, &mut envelope, signatures).await {
            Ok(piece) => piece,
            Err(trouble) => {
                self.fail_ours(body, &trouble);
                return vec![Verdict::Cut { after_dot: false }; recipients];
            }
        };
        self.ends = self.net.clock().steady() + patience(envelope.bytes);
        self.client.begin(envelope, &mut self.out);
        self.hear().await;
        while self.client.want() == Want::Content {
            let last = pieces.is_over();
            self.client.content(&piece, last, &mut self.out);
            if last {
                // What the server does with a message that it has takes its own time (RFC 5321 section 4.5.3.2.6).
                let answer =
                    self.net.clock().steady() + Duration::from_secs(RELAY_BLOCK_SECONDS + RELAY_CONTENT_SECONDS);
                self.ends = self.ends.max(answer);
            }
            if !last {
                let (_, next) = zip(self.say(), pieces.next()).await;
                match next {
                    Ok(next) => piece = next,
                    Err(trouble) => self.fail_ours(body, &trouble),
                }
            }
            self.hear().await;
        }
        self.client.take_verdicts().unwrap_or_else(|| vec![Verdict::Cut { after_dot: false }; recipients])
    }

    /// The first piece of the content as this server gets it; the envelope learns what it has to say of the whole.
    async fn first_piece(
        &self,
        pieces: &mut BodyPieces<'_>,
        envelope: &mut Envelope,
        signatures: &[u8],
    ) -> Result<Vec<u8>, Trouble> {
        let mut piece = pieces.next().await?;
        let cut = cut_return_path(&mut piece);
        // Of a longer body only the beginning is known here; then 8BITMIME covers what may follow.
        envelope.eight_bit = !pieces.is_over() || !piece.is_ascii();
        envelope.eight_bit_header = !header_of(&piece).is_ascii();
        if !self.client.takes_content(envelope)
            && let Some(plan) = pieces.survey(cut).await?
        {
            log::info!("event=converted-to-7bit body={} host={}", pieces.body.0, self.host);
            // Its signatures are of what it was.
            envelope.bytes = pieces.converted_bytes(&plan, cut).await?;
            *pieces = pieces.from(cut, Some(&plan));
            return pieces.next().await;
        }
        // The receiver counts all that it gets.
        let signatures_bytes = u64::try_from(signatures.len()).unwrap_or(0);
        envelope.bytes = envelope.bytes.saturating_sub(cut).saturating_add(signatures_bytes);
        piece.splice(0..0, signatures.iter().copied());
        Ok(piece)
    }

    /// Asks whether mail for a recipient is taken, on behalf of nobody: `Delivered` means yes.
    pub async fn ask(&mut self, recipient: Address) -> Verdict {
        self.ends = self.net.clock().steady() + patience(0);
        self.client.ask(recipient.into(), &mut self.out);
        self.hear().await;
        let verdict = self.client.take_verdicts().and_then(|mut verdicts| verdicts.pop());
        verdict.unwrap_or(Verdict::Cut { after_dot: false })
    }

    /// Says goodbye and waits a moment for the answer.
    pub async fn quit(mut self) {
        self.ends = self.net.clock().steady() + Duration::from_secs(RELAY_QUIT_SECONDS);
        self.client.quit(&mut self.out);
        self.hear().await;
        // The message went through or not; how the connection ends changes nothing.
        let _ = self.stream.close(Duration::from_secs(1)).await;
    }

    /// Says what there is to say, then reads until the machine wants something else than an answer. Each answer has its own
    /// time, however slowly its bytes come.
    async fn hear(&mut self) {
        self.say().await;
        let mut answers = self.client.answers_read();
        let mut since = self.net.clock().steady();
        while let Want::Reply(wait) = self.client.want() {
            if self.client.answers_read() != answers {
                answers = self.client.answers_read();
                since = self.net.clock().steady();
            }
            let left = wait.saturating_sub(self.net.clock().steady().saturating_sub(since)).min(self.patience_left());
            self.read_some(left).await;
            self.say().await;
        }
    }

    fn patience_left(&self) -> Duration {
        self.ends.saturating_sub(self.net.clock().steady())
    }

    async fn read_some(&mut self, wait: Duration) {
        match self.stream.read(&mut self.input, wait).await {
            Ok(0) => self.client.lost("the server closed it"),
            Ok(read) => self.client.receive(self.input.get(..read).unwrap_or_default(), &mut self.out),
            Err(error) => self.client.lost(&plain(&error)),
        }
    }

    /// Writes what waits to be written. When that fails, the server's last words are read: it often says why it hangs up.
    async fn say(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let out = std::mem::take(&mut self.out);
        let wait = Duration::from_secs(RELAY_BLOCK_SECONDS).min(self.patience_left());
        let Err(error) = self.stream.write_all(&out, wait).await else {
            self.keep_buffer(out);
            return;
        };
        let Session { stream, client, input, out, net, .. } = self;
        // A moment in all: a server that goes on talking must not keep the message and the connection for ever.
        let last_words = async {
            while client.want() != Want::Close
                && let Ok(read @ 1..) = stream.read(input, LAST_WORDS_WAIT).await
            {
                client.receive(input.get(..read).unwrap_or_default(), out);
            }
        };
        net.clock().within(LAST_WORDS_WAIT, last_words).await;
        self.out.clear();
        self.client.lost(&plain(&error));
    }

    /// The buffer serves again, but one message does not make it large for the rest of the connection.
    fn keep_buffer(&mut self, mut out: Vec<u8>) {
        if out.capacity() <= 2 * RELAY_BODY_READ_BYTES {
            out.clear();
            self.out = out;
        }
    }

    fn fail_ours(&mut self, body: BodyId, trouble: &Trouble) {
        log::error!("event=body-unreadable body={} trouble={trouble:?}", body.0);
        self.out.clear();
        self.client.lost("this server could not read the message from its store");
    }

    fn no_session(&self, by_tls: bool) -> NoSession {
        let reason = self.end_reason().unwrap_or(Reason::Happened("the server did not go on".to_owned()));
        let result = match self.client.ended() {
            Some(Ended::Lost(_) | Ended::Breach(_)) => by_tls.then_some(TlsResult::ValidationFailure),
            Some(Ended::Refused(answer, verb)) => {
                (*verb == Verb::StartTls && answer.is_permanent()).then_some(TlsResult::StarttlsNotSupported)
            }
            Some(Ended::Unfit(_)) => (!self.client.is_over_tls()).then_some(TlsResult::StarttlsNotSupported),
            Some(Ended::Unproven(_)) | None => None,
        };
        let tls = result.map(|result| TlsFailure { result, text: reason.to_string() });
        let by_login = matches!(self.client.ended(), Some(Ended::Refused(_, Verb::Auth) | Ended::Unproven(_)));
        NoSession { reason, tls, by_login, is_own: false, no_way: false, is_unreached: false, local: None }
    }

    /// Whether what is said cannot be read on the way.
    pub fn is_over_tls(&self) -> bool {
        self.stream.tls().is_some()
    }
}

/// How long one message may take in all, however a server spins out each answer.
fn patience(bytes: u64) -> Duration {
    Duration::from_secs(RELAY_TRANSACTION_SECONDS.saturating_add(bytes / RELAY_BYTES_PER_SECOND_MIN))
}

/// Takes away the Return-Path that stands above a message that is kept here too: it belongs to the last server alone (RFC 5321
/// section 4.4), and those of others have been removed. Returns how many bytes that were.
fn cut_return_path(beginning: &mut Vec<u8>) -> u64 {
    if !beginning.starts_with(b"Return-Path: ") {
        return 0;
    }
    let line_bytes = memchr::memchr(b'\n', beginning).map_or(0, |end| end + 1);
    beginning.drain(..line_bytes);
    u64::try_from(line_bytes).unwrap_or(0)
}

async fn shake_hands(stream: Stream, server: &Server) -> Result<Stream, NoSession> {
    let wait = Duration::from_secs(RELAY_TLS_SECONDS);
    stream.start_tls(server.tls.clone(), server.tls_name.as_str(), wait).await.map_err(|error| {
        let why = refusal_of(&error).unwrap_or_else(|| plain(&error));
        let text = format!("no TLS with {} ({}): {why}", server.host, server.address);
        let tls = Some(TlsFailure { result: failure_of(&error), text: text.clone() });
        NoSession { tls, ..NoSession::happened(text) }
    })
}

/// The header at the beginning of a message, as much of it as is there.
fn header_of(beginning: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(beginning, b"\r\n\r\n").unwrap_or(beginning.len());
    beginning.get(..end).unwrap_or(beginning)
}

impl<'a> BodyPieces<'a> {
    /// The same body once more, from an offset.
    fn from(&self, at: u64, plan: Option<&Plan>) -> BodyPieces<'a> {
        BodyPieces { at, converter: plan.map(Plan::converter), ..*self }
    }

    /// Reads the body through for what has to be converted.
    async fn survey(&self, start: u64) -> Result<Option<Plan>, Trouble> {
        let body = self.body;
        let parts = self.store.read(move |snapshot| snapshot.body_index(body)).await?.parts;
        let mut survey = Survey::new(&parts, start);
        let mut pieces = self.from(start, None);
        while !pieces.is_over() {
            survey.push(&pieces.next().await?);
        }
        Ok(survey.finish())
    }

    /// How many bytes it will be: the server is told before it gets them.
    async fn converted_bytes(&self, plan: &Plan, start: u64) -> Result<u64, Trouble> {
        let mut bytes = 0;
        let mut pieces = self.from(start, Some(plan));
        while !pieces.is_over() {
            bytes += u64::try_from(pieces.next().await?.len()).unwrap_or(0);
        }
        Ok(bytes)
    }

    fn is_over(&self) -> bool {
        self.at >= self.bytes
    }

    async fn next(&mut self) -> Result<Vec<u8>, Trouble> {
        let (body, start) = (self.body, self.at);
        let end = self.bytes.min(start.saturating_add(u64::try_from(RELAY_BODY_READ_BYTES).unwrap_or(u64::MAX)));
        let piece = self.store.read(move |snapshot| snapshot.body_range(body, start..end)).await?;
        if u64::try_from(piece.len()) != Ok(end.saturating_sub(start)) {
            return Err(Trouble::Failed(format!("bytes {start}..{end} of the body are not all there")));
        }
        self.at = end;
        let Some(mut converter) = self.converter.take() else { return Ok(piece) };
        let mut converted = Vec::with_capacity(2 * piece.len());
        converter.push(&piece, &mut converted);
        match self.is_over() {
            true => converter.finish(&mut converted),
            false => self.converter = Some(converter),
        }
        Ok(converted)
    }
}

/// Whether it may be that something on the way lets no mail through. No route at all is this machine's own trouble.
fn is_unreached(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, TimedOut};
    matches!(error.kind(), ConnectionRefused | TimedOut | HostUnreachable)
}

/// What went wrong on the network, in words for the owner.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        io::ErrorKind::TimedOut => "it took too long".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the server broke it off".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "there is no way to that network".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::twin::Twin;
    use crate::wire::address::Domain;
    use crate::wire::smtp::client::TlsUse;
    use smol::future;
    use std::net::Ipv4Addr;

    #[test]
    fn only_our_own_return_path_is_cut() {
        for (message, wanted) in [
            ("Return-Path: <>\r\nA: b\r\n", "A: b\r\n"),
            ("A: b\r\nReturn-Path: <>\r\n", "A: b\r\nReturn-Path: <>\r\n"),
            ("Return-Path: <", "Return-Path: <"),
        ] {
            let mut bytes = message.as_bytes().to_vec();
            let cut = cut_return_path(&mut bytes);
            assert_eq!(bytes, wanted.as_bytes());
            assert_eq!(cut, u64::try_from(message.len() - wanted.len()).expect("small"));
        }
    }

    /// A server took no bytes any more but sent one now and then: each was waited for anew, and the connection, its
    /// place and its message were held for as long as the server liked.
    #[test]
    fn a_server_that_only_drips_is_left() {
        let twin = Twin::new(1);
        twin.set_node_pipe_bytes(1);
        let ends = (SocketAddr::from((Ipv4Addr::LOCALHOST, 50000)), SocketAddr::from((Ipv4Addr::LOCALHOST, 25)));
        let (mut server, stream) = twin.pair(ends.0, ends.1);
        let manner =
            Manner { hostname: Domain::new("home.example"), tls: TlsUse::Never, login: None, no_chunks: false };
        let mut session = Session {
            stream,
            client: Client::new(manner),
            net: twin.net(),
            host: "far.example".into(),
            out: b"more than one byte".to_vec(),
            input: vec![0; 100],
            ends: Duration::MAX,
        };
        let mut say = Box::pin(session.say());
        let dripped_seconds = 2 * (RELAY_BLOCK_SECONDS + RELAY_LAST_WORDS_SECONDS);
        let said = (0..dripped_seconds * 2).any(|_| {
            let said = smol::block_on(future::poll_once(&mut say)).is_some();
            twin.hand().advance(Duration::from_millis(500));
            smol::block_on(server.write_all(b"2", Duration::from_secs(1))).expect("room for a byte");
            said
        });
        drop(say);
        assert!(said, "still listening after {dripped_seconds} seconds");
        assert!(matches!(session.client.ended(), Some(Ended::Lost(_) | Ended::Breach(_))));
    }
}
