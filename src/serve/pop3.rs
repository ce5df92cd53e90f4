//! One POP3 connection: carries the conversation of [`crate::wire::pop3`] out with the store and the network.
//!
//! A maildrop is INBOX, or the mailbox that the device is set to, as it was at login. Deleting waits for QUIT and is one Op,
//! [`Op::Expunge`] or [`Op::Discard`]; a lost connection deletes nothing. Sessions of several devices may be open at once and beside
//! IMAP: nothing here depends on what others do, messages that they take away meanwhile are answered with an error, and at QUIT
//! passed over, wherever they went. Of one device there is one session at a time, see [`Maildrops`].

mod ahead;
mod maildrop;
mod occupied;

pub use occupied::Maildrops;

use crate::limits::*;
use crate::mail::access::Rights;
use crate::mail::message::{INBOX, MailboxId, Uid};
use crate::mail::surrogate::TooLong;
use crate::net::Stream;
use crate::net::tls::Protocol;
use crate::serve::{
    Authentication, Context, Heeded, Progress, Service, Site, Standing, Verdict, Visitor, Who, authenticate,
};
use crate::store::{Expunge, Expungeable, Op, Trouble};
use crate::wire::pop3::{LoginAnswer, NotSent, Piece, Server, Settings, Want};
use crate::wire::sasl::{Input, Password};
use ahead::Ahead;
use maildrop::Sent;
use occupied::{Held, Occupied};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Serves POP3 until the client goes, is idle for too long, or the node stops.
pub async fn run_pop3(context: Context, stream: Stream) {
    let peer = stream.peer();
    let mut session = Session::begin(context, stream).await;
    let end = session.run().await;
    let Counts { sent, deleted } = session.counts;
    match end {
        Ok(()) => log::info!("event=pop3-end peer={peer} sent={sent} deleted={deleted}"),
        Err(error) => log::info!("event=pop3-lost peer={peer} sent={sent} deleted={deleted} error={error}"),
    }
}

/// What the log says at the end.
#[derive(Clone, Copy, Default)]
struct Counts {
    sent: u64,
    deleted: usize,
}

struct Session {
    context: Context,
    site: Arc<Site>,
    /// Not there only while it changes to TLS.
    stream: Option<Stream>,
    server: Server,
    /// AUTH is going on.
    authentication: Option<Authentication>,
    login: Option<Standing>,
    /// The lock on the maildrop of a device.
    held: Option<Held>,
    /// What digests of APOP are made of, as it was in the greeting.
    timestamp: Option<String>,
    /// What the maildrop is of.
    mailbox: MailboxId,
    /// The message that is being sent.
    sending: Option<Sent>,
    ahead: Ahead,
    /// When a client that has not logged in is sent away, on the steady clock.
    login_until: Duration,
    out: Vec<u8>,
    counts: Counts,
}

impl Session {
    async fn begin(context: Context, stream: Stream) -> Session {
        let site = context.site();
        let (wants_apop, login_delay_seconds) = offers(&context).await;
        let timestamp = if wants_apop { timestamp(&context, &site) } else { None };
        let settings = Settings {
            hostname: site.hostname.to_string(),
            stls: site.tls.is_some(),
            tls: stream.tls().is_some(),
            plaintext_login: site.plaintext_login(stream.peer().ip()),
            channel_binding: site.channel_binding,
            timestamp: timestamp.clone(),
            login_delay_seconds,
        };
        let login_until = context.net.clock().steady() + Duration::from_secs(POP3_LOGIN_SECONDS_MAX);
        Session {
            context,
            site,
            stream: Some(stream),
            server: Server::new(settings),
            authentication: None,
            login: None,
            held: None,
            timestamp,
            mailbox: INBOX,
            sending: None,
            ahead: Ahead::default(),
            login_until,
            out: Vec::new(),
            counts: Counts::default(),
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        self.server.greet(&mut self.out);
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        let (mut start, mut end) = (0, 0);
        loop {
            let input = buffer.get(start..end).unwrap_or_default();
            let (used, want) = self.server.step(input, &mut self.out);
            start += used;
            match want {
                Want::Input => {
                    self.flush().await?;
                    (start, end) = (0, self.read(&mut buffer).await?);
                    if end == 0 {
                        return self.close().await;
                    }
                }
                Want::Flush => self.flush().await?,
                Want::Login(password) => self.log_in(password).await?,
                Want::Sasl(input) => self.authenticate(input).await?,
                Want::Piece { uid, start, bytes, ahead } => self.send_piece(uid, start, bytes, ahead).await,
                Want::Apop { login, digest } => self.judge_digest(&login, digest).await?,
                Want::Expunge(uids) => self.expunge(uids).await?,
                Want::StartTls => {
                    (start, end) = (0, 0);
                    self.start_tls().await?;
                }
                Want::Close => {
                    // A client that has its answer to QUIT may come again at once.
                    self.held = None;
                    self.flush().await?;
                    return self.close().await;
                }
            }
        }
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    async fn close(&mut self) -> io::Result<()> {
        self.stream()?.close(Duration::from_secs(POP3_WRITE_SECONDS)).await
    }

    /// 0 when the client has gone or the node stops: POP3 has no word for that.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wait = match &self.login {
            Some(_) => Duration::from_secs(POP3_IDLE_SECONDS),
            None => self.login_until.saturating_sub(self.context.net.clock().steady()),
        };
        if wait.is_zero() {
            // A read of what is there already takes no time, however often.
            return Err(io::ErrorKind::TimedOut.into());
        }
        loop {
            let stopping = self.context.stopping.clone();
            let stopped = async {
                stopping.asked().await;
                Ok(Some(0))
            };
            let (login, stream, held) = (self.login.as_mut(), self.stream.as_mut(), self.held.as_ref());
            let stream = stream.ok_or(io::ErrorKind::NotConnected)?;
            let reading = async { stream.read(buffer, wait).await.map(Some) };
            let rung = async {
                match login {
                    Some(login) => login.rung().await,
                    None => smol::future::pending().await,
                }
                Ok(None)
            };
            // Said first: what a client sends that has been put out is not heard any more.
            let read =
                smol::future::or(put_out(held), smol::future::or(reading, smol::future::or(rung, stopped))).await?;
            if !self.is_welcome().await {
                return Ok(0);
            }
            self.note_heard();
            if let Some(read) = read {
                return Ok(read);
            }
        }
    }

    /// Whether the login still stands. Other rights end the session too: what a maildrop is for is said when it is opened.
    async fn is_welcome(&mut self) -> bool {
        match &mut self.login {
            Some(login) => login.heed(&self.context).await == Ok(Heeded::Same),
            None => true,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let mut out = std::mem::take(&mut self.out);
        let (stream, held) = (self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?, self.held.as_ref());
        let writing = async { stream.write_all(&out, Duration::from_secs(POP3_WRITE_SECONDS)).await.map(Some) };
        if smol::future::or(writing, put_out(held)).await?.is_none() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.note_heard();
        out.clear();
        // An idle session keeps no large buffer.
        out.shrink_to(READ_BUFFER_BYTES);
        self.out = out;
        Ok(())
    }

    /// The client is there.
    fn note_heard(&self) {
        if let Some(held) = &self.held {
            held.heard(self.context.net.clock().steady());
        }
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        self.flush().await?;
        let (Some(config), Some(stream)) = (self.site.tls.clone(), self.stream.take()) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.stream = Some(stream.accept_tls_for(Protocol::Pop3, config, Duration::from_secs(POP3_TLS_SECONDS)).await?);
        self.server.tls_started();
        Ok(())
    }

    fn visitor(&mut self) -> io::Result<Visitor> {
        let stream = self.stream()?;
        let tls = stream.tls().map_or("none", |facts| facts.version);
        Ok(Visitor { service: Service::Pop3, peer: stream.peer().ip(), tls })
    }

    /// USER and PASS.
    async fn log_in(&mut self, given: Password) -> io::Result<()> {
        let (context, visitor) = (self.context.clone(), self.visitor()?);
        let verdict = context.logins.check(&context, &visitor, "USER", &given).await;
        self.answer_verdict(verdict).await;
        Ok(())
    }

    /// AUTH.
    async fn authenticate(&mut self, input: Input) -> io::Result<()> {
        self.flush().await?;
        let (context, visitor, bindings) =
            (self.context.clone(), self.visitor()?, self.site.clone().bindings_of(self.stream()?));
        match authenticate(&context, &visitor, bindings, &mut self.authentication, input).await {
            Progress::Challenge(challenge) => {
                self.server.answer_login(LoginAnswer::Challenge(challenge), &mut self.out);
            }
            Progress::Refused(trouble) => self.server.answer_login(LoginAnswer::Refused(trouble), &mut self.out),
            Progress::Verdict(verdict) => self.answer_verdict(verdict).await,
        }
        Ok(())
    }

    /// APOP.
    async fn judge_digest(&mut self, login: &str, digest: [u8; 16]) -> io::Result<()> {
        let (context, visitor) = (self.context.clone(), self.visitor()?);
        let timestamp = self.timestamp.clone().unwrap_or_default();
        let verdict = context.logins.judge_digest(&context, &visitor, login, &timestamp, digest).await;
        self.answer_verdict(verdict).await;
        Ok(())
    }

    async fn answer_verdict(&mut self, verdict: Verdict) {
        let answer = match verdict {
            Verdict::Welcome(who) => self.open_maildrop(who).await.unwrap_or_else(|trouble| {
                log::error!("event=maildrop-unavailable trouble={trouble:?}");
                LoginAnswer::Unavailable
            }),
            Verdict::Wrong => LoginAnswer::Wrong,
            Verdict::NotAllowed => LoginAnswer::NotAllowed,
            Verdict::TooMany => LoginAnswer::TooMany,
            Verdict::Unavailable => LoginAnswer::Unavailable,
        };
        self.server.answer_login(answer, &mut self.out);
    }

    async fn open_maildrop(&mut self, who: Who) -> Result<LoginAnswer, Trouble> {
        let (mailbox, delay) = (who.collecting.mailbox, who.collecting.login_delay_seconds);
        let access = who.access.clone();
        let rights = self.context.store.read(move |snapshot| {
            let Some(there) = snapshot.mailbox(mailbox)? else { return Ok(None) };
            let id_of = |name: &str| Ok::<_, Trouble>(snapshot.mailbox_named(name)?.map(|mailbox| mailbox.id));
            access.on(mailbox, &there.name, id_of).map(Some)
        });
        let Some(rights) = rights.await? else { return Ok(LoginAnswer::NoMailbox) };
        if !rights.contains(Rights::READ) {
            return Ok(LoginAnswer::NotAllowed);
        }
        let clock = self.context.net.clock().clone();
        let held = who.device.as_ref().map(|device| self.context.maildrops.enter(device, delay, clock.steady()));
        let held = match held.transpose() {
            Ok(held) => held,
            Err(why) => {
                log::info!("event=maildrop-refused login={:?} reason={why:?}", who.name());
                return Ok(match why {
                    Occupied::InUse => LoginAnswer::InUse,
                    Occupied::TooSoon(seconds) => LoginAnswer::TooSoon(seconds),
                });
            }
        };
        let maildrop = maildrop::open(&self.context.store, mailbox, self.server.is_utf8()).await?;
        if let Some(held) = &held {
            held.begun(clock.steady());
        }
        (self.held, self.mailbox) = (held, mailbox);
        self.login = Some(Standing::new(&self.context, who));
        let maildrop = if rights.contains(Rights::REMOVING) { maildrop } else { maildrop.for_reading() };
        Ok(LoginAnswer::Opened { maildrop, login_delay_seconds: delay })
    }

    async fn send_piece(&mut self, uid: u32, start: u64, bytes: u64, ahead: Vec<u32>) {
        let place = (self.mailbox, self.server.is_utf8());
        if start == 0
            && let Some(bytes) = self.ahead.take(uid).await
        {
            self.counts.sent += 1;
            self.server.answer_piece(Ok(Piece { bytes: &bytes, is_last: true }), &mut self.out);
            return self.ahead.go_on(&self.context.store, place, &ahead).await;
        }
        let known = self.sending.take().filter(|sent| start > 0 && sent.uid == uid);
        let read = self.context.store.read(move |snapshot| {
            let sent = match known {
                Some(sent) => sent,
                None => match Sent::find(snapshot, place, uid)? {
                    Ok(sent) => sent,
                    Err(TooLong) => return Ok(None),
                },
            };
            let (piece, is_last) = sent.read(snapshot, start, bytes)?;
            Ok(Some((sent, piece, is_last)))
        });
        let piece = match read.await {
            Ok(Some((sent, bytes, is_last))) => {
                self.counts.sent += u64::from(start == 0);
                self.sending = Some(sent).filter(|_| !is_last);
                self.server.answer_piece(Ok(Piece { bytes: &bytes, is_last }), &mut self.out);
                return self.ahead.go_on(&self.context.store, place, &ahead).await;
            }
            Ok(None) => NotSent::NeedsUtf8,
            // Somebody else has deleted the message.
            Err(Trouble::NotFound) => NotSent::Gone,
            Err(trouble) => {
                log::error!("event=body-unreadable uid={uid} trouble={trouble:?}");
                NotSent::Unreadable
            }
        };
        self.server.answer_piece(Err(piece), &mut self.out);
    }

    /// UPDATE: all of it or nothing.
    async fn expunge(&mut self, uids: Vec<u32>) -> io::Result<()> {
        if self.held.as_ref().is_some_and(|held| !held.begin_update()) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let (count, from) = (uids.len(), self.mailbox);
        let uids = uids.into_iter().map(Uid).collect();
        let kept = self.login.as_ref().and_then(|login| login.who().collecting.on_delete.goes_to());
        let op = match kept {
            Some(to) => Op::Discard { from, uids, to, now: self.context.net.clock().now() },
            None => Op::Expunge(Expunge { mailbox: from, which: Expungeable::These(uids) }),
        };
        let done = self.context.store.apply(op).await;
        match &done {
            Ok(_) => self.counts.deleted = count,
            Err(trouble) => log::error!("event=expunge-failed trouble={trouble:?}"),
        }
        self.server.answer_expunge(done.is_ok(), &mut self.out);
        Ok(())
    }
}

/// Whether there is a device that uses APOP, and the longest time that any has to wait between sessions. A store that cannot be
/// asked offers neither; it lets nobody in either.
async fn offers(context: &Context) -> (bool, u32) {
    let devices = context.store.read(|snapshot| snapshot.devices()).await.unwrap_or_default();
    let devices = devices.iter().filter_map(|credential| credential.device.as_ref());
    devices.fold((false, 0), |(apop, delay), device| {
        (apop || device.readable.is_some(), delay.max(device.collecting.login_delay_seconds))
    })
}

/// RFC 1939 section 7: never the same twice, whatever the clock says, and nothing that could be foretold.
fn timestamp(context: &Context, site: &Site) -> Option<String> {
    let random = context.net.random::<16>().inspect_err(|error| log::error!("event=no-random error={error}")).ok()?;
    Some(format!("<{:032x}@{}>", u128::from_be_bytes(random), site.hostname))
}

/// Returns once the session has lost its maildrop to another of the same device.
async fn put_out<T>(held: Option<&Held>) -> io::Result<Option<T>> {
    match held {
        Some(held) => held.put_out().await,
        None => smol::future::pending().await,
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}
