//! Receives mail: the driver of one SMTP session, MX or submission.
//!
//! Receives a connection that a listener has let in; hands on Ops. The conversation itself is [`wire::smtp::Server`],
//! who may send what to whom is in [`policy`], a message's way into the store in [`incoming`].
//!
//! What always holds: 250 for a message is written after its Op is durable; nobody's mail is relayed without a login;
//! a session keeps [`READ_BUFFER_BYTES`] of input, [`SMTP_REPLIES_BYTES`] of replies and, while a header comes in,
//! [`SMTP_HEADER_BYTES_MAX`] of it, whatever the size of the message.
//!
//! What a restart does with half-done work: a message without 250 is gone from here and comes again from its sender; one
//! with 250 is in the store.
//!
//! [`wire::smtp::Server`]: crate::wire::smtp::Server

mod delivery;
mod filing;
mod incoming;
mod policy;

use crate::limits::*;
use crate::net::{Stream, TlsFacts};
use crate::serve::{
    Authentication, Context, Heeded, Progress, Service, Site, Standing, Verdict, Visitor, authenticate,
};
use crate::wire::address::{Address, ForwardPath};
use crate::wire::sasl::Input;
use crate::wire::smtp::{Envelope, HoldBounds, LoginAnswer, Reply, Role, Server, Settings, Want, replies};
pub(in crate::serve) use delivery::release;
use incoming::Incoming;
use smol::future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Serves one SMTP connection until it ends. `service` is [`Service::Mx`] or [`Service::Submission`].
pub async fn run_smtp(context: Context, service: Service, stream: Stream) {
    let peer = stream.peer();
    let mut session = Session::new(context, service, &stream);
    match session.run(stream).await {
        Ok(()) => log::debug!("event=session-end service={service:?} peer={peer}"),
        Err(error) => log::debug!("event=session-end service={service:?} peer={peer} error={error}"),
    }
}

/// What one session knows besides its stream.
struct Session {
    context: Context,
    /// As it was when the session began; a reload is for the next one.
    site: Arc<Site>,
    role: Role,
    peer: std::net::SocketAddr,
    tls: Option<TlsFacts>,
    server: Server,
    /// AUTH is going on.
    authentication: Option<Authentication>,
    /// Who has logged in.
    login: Option<Standing>,
    incoming: Option<Box<Incoming>>,
    /// On the steady clock.
    began: Duration,
    waiting: Waiting,
    /// Replies not written yet.
    out: Vec<u8>,
}

/// How long the peer has been waited for: a command and each piece of a message have their time, however slowly their bytes
/// come.
#[derive(Default)]
struct Waiting {
    /// On the steady clock: when the last reply was given, or the last piece of a message was whole.
    since: Duration,
    /// For a piece of a message, not for a command.
    for_message: bool,
    /// Of the piece, so far.
    bytes: usize,
}

/// Why nothing was read.
enum NotRead {
    Stopping,
    /// The rights of a device have changed, of this one perhaps.
    Rights,
    Failed(io::Error),
}

/// Why a conversation on one stream is over.
enum End {
    /// The stream has been closed, by us or by the peer.
    Closed,
    /// It goes on over TLS.
    Tls,
}

impl Session {
    fn new(context: Context, service: Service, stream: &Stream) -> Session {
        let site = context.site();
        let role = if service == Service::Submission { Role::Submission } else { Role::Mx };
        let server = Server::new(Settings {
            role,
            hostname: site.hostname.to_string(),
            message_bytes_max: site.message_bytes_max,
            starttls: site.tls.is_some(),
            tls: stream.tls().is_some(),
            plaintext_login: site.plaintext_login(stream.peer().ip()),
            channel_binding: site.channel_binding,
            hold: (role == Role::Submission).then(|| {
                let interval = Duration::from_secs(SMTP_HOLD_SECONDS_MAX);
                HoldBounds { interval, latest: context.net.clock().now().plus(interval) }
            }),
        });
        let began = context.net.clock().steady();
        let (peer, tls) = (stream.peer(), stream.tls());
        Session {
            context,
            site,
            role,
            peer,
            tls,
            server,
            authentication: None,
            login: None,
            incoming: None,
            began,
            waiting: Waiting::default(),
            out: Vec::new(),
        }
    }

    async fn run(&mut self, mut stream: Stream) -> io::Result<()> {
        let mut input = vec![0; READ_BUFFER_BYTES];
        if self.role == Role::Mx && speaks_early(&mut stream, &mut input).await {
            log::info!("event=refused service=mx peer={} reason=\"spoke before the greeting\"", self.peer);
            self.server.close(replies::EARLY_TALKER, &mut self.out);
        } else {
            self.server.greet(&mut self.out);
        }
        while let End::Tls = self.converse(&mut stream, &mut input).await? {
            let Some(config) = self.site.tls.clone() else { return Ok(()) };
            stream = stream.accept_tls(config, Duration::from_secs(SMTP_TLS_SECONDS)).await?;
            self.tls = stream.tls();
            self.server.tls_begun();
        }
        Ok(())
    }

    /// Talks until the stream closes or TLS begins.
    async fn converse(&mut self, stream: &mut Stream, input: &mut [u8]) -> io::Result<End> {
        let (mut from, mut to) = (0, 0);
        loop {
            let (used, want) = self.server.step(input.get(from..to).unwrap_or_default(), &mut self.out);
            from += used;
            match want {
                Want::Input => {
                    let replied = !self.out.is_empty();
                    self.flush(stream).await?;
                    (from, to) = (0, self.read(stream, input, replied).await?);
                    if to == 0 {
                        return Ok(End::Closed);
                    }
                }
                Want::Flush => self.flush(stream).await?,
                Want::Bytes(bytes) => {
                    if let Some(incoming) = &mut self.incoming {
                        incoming.write(&self.context, &self.site, &self.server, bytes).await;
                    }
                }
                Want::Sender if !self.is_welcome().await => {
                    self.server.close(replies::LOGIN_ENDED, &mut self.out);
                }
                Want::Sender => {
                    let sender = self.server.envelope().map(|envelope| &envelope.reverse_path);
                    let answer = sender.map_or(Ok(()), |sender| policy::may_send(&self.site, self.role, sender));
                    self.server.answer_sender(answer, &mut self.out);
                }
                Want::Recipient(forward_path) => {
                    if policy::asks_inside(&self.site, &forward_path) {
                        self.flush(stream).await?;
                    }
                    let answer = self.judge_recipient(forward_path).await;
                    if let Err(refusal) = &answer {
                        log::debug!("event=recipient-refused peer={} reply={:?}", self.peer, refusal.to_string());
                    }
                    self.server.answer_recipient(answer, &mut self.out);
                }
                Want::Data => self.begin_message(),
                Want::Message => self.finish_message(stream).await?,
                Want::Refused(envelope, reply) => {
                    self.incoming = None;
                    self.log_refused(&envelope, &reply);
                }
                Want::Forget => self.incoming = None,
                Want::Login(input) => self.login(stream, input).await?,
                Want::StartTls => {
                    self.flush(stream).await?;
                    return Ok(End::Tls);
                }
                Want::Close => {
                    self.incoming = None;
                    self.flush(stream).await?;
                    stream.close(Duration::from_secs(SMTP_WRITE_SECONDS)).await?;
                    return Ok(End::Closed);
                }
            }
        }
    }

    async fn judge_recipient(&self, forward_path: ForwardPath) -> Result<Address, Reply> {
        let sender = self.server.envelope().map(|envelope| envelope.reverse_path.clone()).ok_or(replies::FAILED)?;
        policy::may_receive(&self.context, &self.site, self.role, &sender, forward_path).await
    }

    /// Whether the login, if there is one, may still send.
    async fn is_welcome(&mut self) -> bool {
        let Some(login) = &mut self.login else { return true };
        let heeded = login.heed(&self.context).await;
        matches!(heeded, Ok(Heeded::Same | Heeded::Changed)) && login.who().access.sends
    }

    async fn flush(&mut self, stream: &mut Stream) -> io::Result<()> {
        if !self.out.is_empty() {
            stream.write_all(&self.out, Duration::from_secs(SMTP_WRITE_SECONDS)).await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Reads more input. 0: the peer has gone; or it was silent or slow for too long, its login has ended, or the node is stopping,
    /// and goodbye has been said.
    async fn read(&mut self, stream: &mut Stream, input: &mut [u8], replied: bool) -> io::Result<usize> {
        let receiving = self.server.is_receiving();
        let now = self.context.net.clock().steady();
        let whole = receiving && self.waiting.bytes >= SMTP_DATA_PIECE_BYTES;
        if replied || whole || receiving != self.waiting.for_message {
            self.waiting = Waiting { since: now, for_message: receiving, bytes: 0 };
        }
        let goodbye = loop {
            let (patience, left) = self.patience(receiving);
            match self.read_within(stream, input, patience.min(left)).await {
                Ok(bytes) => {
                    self.waiting.bytes = self.waiting.bytes.saturating_add(bytes);
                    return Ok(bytes);
                }
                Err(NotRead::Rights) if self.is_welcome().await => {}
                Err(NotRead::Rights) => break replies::LOGIN_ENDED,
                Err(NotRead::Stopping) => break replies::STOPPING,
                Err(NotRead::Failed(error)) if error.kind() != io::ErrorKind::TimedOut => return Err(error),
                Err(NotRead::Failed(_)) if left < patience => break replies::SESSION_TOO_LONG,
                Err(NotRead::Failed(_)) => break replies::TIMED_OUT,
            }
        };
        self.incoming = None;
        self.server.close(goodbye, &mut self.out);
        self.flush(stream).await?;
        stream.close(Duration::from_secs(SMTP_WRITE_SECONDS)).await?;
        Ok(0)
    }

    /// How long the peer may be silent from now on, and how long the session may last.
    fn patience(&self, receiving: bool) -> (Duration, Duration) {
        let now = self.context.net.clock().steady();
        let patience = Duration::from_secs(if receiving { SMTP_DATA_SECONDS } else { SMTP_COMMAND_SECONDS });
        let left = Duration::from_secs(SMTP_SESSION_SECONDS_MAX).saturating_sub(now.saturating_sub(self.began));
        (patience.saturating_sub(now.saturating_sub(self.waiting.since)), left)
    }

    async fn read_within(&mut self, stream: &mut Stream, input: &mut [u8], wait: Duration) -> Result<usize, NotRead> {
        let reading = async {
            if wait.is_zero() {
                return Err(NotRead::Failed(io::ErrorKind::TimedOut.into()));
            }
            stream.read(input, wait).await.map_err(NotRead::Failed)
        };
        if self.server.is_receiving() {
            return reading.await;
        }
        let stopping = async {
            self.context.stopping.asked().await;
            Err(NotRead::Stopping)
        };
        let login = self.login.as_mut();
        let rung = async {
            match login {
                Some(login) => login.rung().await,
                None => future::pending().await,
            }
            Err(NotRead::Rights)
        };
        future::or(stopping, future::or(reading, rung)).await
    }

    fn begin_message(&mut self) {
        let begun = Incoming::begin(&self.context, &self.site, self.role, self.peer.ip(), self.tls.clone());
        let answer = begun.map(|incoming| self.incoming = Some(Box::new(incoming)));
        self.server.answer_data(answer, &mut self.out);
    }

    /// Makes the message durable, then says so. Only who has brought one whole keeps the place: to begin one and let it trickle
    /// costs nothing.
    async fn finish_message(&mut self, stream: &mut Stream) -> io::Result<()> {
        self.context.seat.keep();
        self.flush(stream).await?;
        let welcome = self.is_welcome().await;
        let answer = match self.incoming.take() {
            _ if !welcome => Err(replies::MAY_NOT_SEND),
            Some(incoming) => incoming.finish(&self.context, &self.site, &self.server).await,
            None => Err(replies::FAILED),
        };
        if let (Err(refusal), Some(envelope)) = (&answer, self.server.envelope()) {
            self.log_refused(envelope, refusal);
        }
        self.server.answer_message(answer.unwrap_or_else(|refusal| refusal), &mut self.out);
        Ok(())
    }

    fn log_refused(&self, envelope: &Envelope, reply: &Reply) {
        let (from, to) = incoming::names(envelope);
        let (service, peer) = (incoming::service(self.role), self.peer.ip());
        let reply = reply.to_string();
        log::info!("event=refused service={service} peer={peer} from={from:?} to={to:?} reply={reply:?}");
    }

    async fn login(&mut self, stream: &mut Stream, input: Input) -> io::Result<()> {
        self.flush(stream).await?;
        let tls = self.tls.as_ref().map_or("none", |facts| facts.version);
        let visitor = Visitor { service: Service::Submission, peer: self.peer.ip(), tls };
        let bindings = self.site.bindings_of(stream);
        let answer = match authenticate(&self.context, &visitor, bindings, &mut self.authentication, input).await {
            Progress::Challenge(challenge) => LoginAnswer::Challenge(challenge),
            Progress::Refused(trouble) => LoginAnswer::Refused(trouble),
            Progress::Verdict(Verdict::Welcome(who)) => {
                self.login = Some(Standing::new(&self.context, who));
                LoginAnswer::Welcome
            }
            Progress::Verdict(Verdict::NotAllowed) => LoginAnswer::NotAllowed,
            Progress::Verdict(Verdict::Wrong) => LoginAnswer::Wrong,
            Progress::Verdict(Verdict::TooMany) => LoginAnswer::TooMany,
            Progress::Verdict(Verdict::Unavailable) => LoginAnswer::Unavailable,
        };
        self.server.answer_login(answer, &mut self.out);
        Ok(())
    }
}

/// Whether the peer has spoken before it was greeted, as only programs do that do not listen (RFC 5321 section 3.1:
/// the client waits for the greeting). Costs no waiting: what is not there yet is not waited for.
async fn speaks_early(stream: &mut Stream, input: &mut [u8]) -> bool {
    let read = future::poll_once(stream.read(input, Duration::from_secs(SMTP_COMMAND_SECONDS))).await;
    matches!(read, Some(Ok(bytes)) if bytes > 0)
}
