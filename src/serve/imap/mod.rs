//! IMAP sessions: one connection, one [`Session`], from greeting to goodbye.
//!
//! Receives the steps of [`Conversation`] and the rings of the selected mailbox's bell; hands on Ops, snapshot reads and
//! responses. Parses nothing and decides no grammar. What always holds:
//!
//! - A change is answered OK only after the store said it is durable.
//! - What happened to the selected mailbox is told before the tagged answer of the next command, expunges only where
//!   RFC 3501 section 7.4.1 allows them.
//! - No snapshot is held while waiting; answers of any length leave in pieces of bounded size.
//!
//! | file | commands |
//! | --- | --- |
//! | [`access`] | which mailboxes there are for whoever is logged in |
//! | [`acl`] | SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS |
//! | [`dispatch`] | which part of the session carries out which command; ENABLE, ID |
//! | [`login`] | STARTTLS, LOGIN, AUTHENTICATE |
//! | [`select`] | SELECT, EXAMINE, CLOSE, UNSELECT |
//! | [`list`] | LIST, LSUB, STATUS |
//! | [`mailbox`] | CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE |
//! | [`compress`] | COMPRESS |
//! | [`watch`] | NOTIFY: what is told between commands |
//! | [`rest`] | what is said, and how long is waited, while nothing happens |
//! | [`quota`] | GETQUOTA, GETQUOTAROOT |
//! | [`metadata`] | GETMETADATA, SETMETADATA |
//! | [`append`], [`catenate`] | APPEND, REPLACE |
//! | [`fetch`], [`pages`], [`page`], [`onward`], [`binary`], [`body`] | FETCH |
//! | [`flags`] | STORE |
//! | [`transfer`] | COPY, MOVE, EXPUNGE |
//! | [`search`], [`multisearch`] | SEARCH, ESEARCH |
//! | [`updates`] | CANCELUPDATE, results of SEARCH kept up to date |
//! | [`progress`] | what is said while a command takes long |
//! | [`sort`] | SORT |
//! | [`thread`] | THREAD |
//! | [`rows`] | how SEARCH, SORT and THREAD read a mailbox in pages |
//! | [`news`] | what is told of the selected mailbox unasked |

mod access;
mod acl;
mod append;
mod binary;
mod body;
mod catenate;
mod compress;
mod dispatch;
mod failure;
mod fetch;
mod flags;
mod line;
mod list;
mod login;
mod mailbox;
mod metadata;
mod multisearch;
mod news;
mod onward;
mod page;
mod pages;
mod progress;
mod quota;
mod rest;
mod rows;
mod search;
mod select;
mod sort;
mod thread;
mod transfer;
mod updates;
mod watch;

use crate::limits::*;
use crate::mail::access::Access;
use crate::net::Stream;
use crate::serve::{Authentication, Context, Site, Standing};
use crate::wire::imap::command::{Command, Tag};
use crate::wire::imap::{Code, Conversation, Enabled, Status, Step, Terms, response};
pub use compress::Compressing;
use failure::{Failure, words};
use line::Line;
use select::Selected;
use smol::future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Speaks IMAP with one client until it is done, gone, idle for too long, or the node stops.
pub async fn run_imap(context: Context, stream: Stream) {
    let peer = stream.peer();
    let began = context.net.clock().steady();
    let mut session = Session::new(context, Line::new(stream));
    let ended = session.run().await;
    let Session { context, line, login, .. } = session;
    let sent_bytes = line.close().await;
    let seconds = context.net.clock().steady().saturating_sub(began).as_secs();
    let login = login.map(|login| login.who().name()).unwrap_or_default();
    match ended {
        Ok(why) => {
            log::info!("event=imap-end peer={peer} login={login:?} seconds={seconds} sent_bytes={sent_bytes} why={why}")
        }
        Err(error) => log::info!(
            "event=imap-end peer={peer} login={login:?} seconds={seconds} sent_bytes={sent_bytes} why=lost error={:?}",
            error.to_string()
        ),
    }
}

/// One connection.
struct Session {
    context: Context,
    site: Arc<Site>,
    line: Line,
    conversation: Conversation,
    peer: IpAddr,
    /// Who is logged in.
    login: Option<Standing>,
    /// What that login may do.
    access: Arc<Access>,
    /// Name and version that the client gave itself (ID); before a login they are of nobody yet.
    program: Option<Box<(String, String)>>,
    /// When a client that has not logged in is sent away, on the steady clock.
    login_until: Duration,
    rest: rest::Rest,
    selected: Option<Selected>,
    enabled: Enabled,
    /// What was said of being told unasked.
    notified: watch::Notified,
    /// IDLE is going on.
    idling: bool,
    /// AUTHENTICATE is going on.
    authentication: Option<Authentication>,
    /// The messages of an APPEND.
    arriving: Option<Box<append::Arriving>>,
    last_place: Option<Box<append::LastPlace>>,
    /// The message that was fetched by itself last.
    onward: Option<Box<onward::Onward>>,
    /// The part that BINARY decoded last.
    decoded: Option<Box<binary::Decoded>>,
}

/// What ended a wait.
enum Woken {
    Input(usize),
    /// What came is no DEFLATE.
    Garbled,
    /// Something happened to the selected mailbox.
    News,
    /// The rights of somebody who may log in have changed.
    Rights,
    /// Something happened elsewhere.
    NewsElsewhere,
    Stopping,
    /// It is time to say that the connection still stands.
    Quiet,
    TooLate,
}

/// Whether the session goes on after a step.
enum Next {
    Step,
    /// What was read and not used yet must not be read as commands.
    ForgetInput,
    /// What was read and not used yet is compressed, like all that follows.
    Compress(compress::Place),
    End(&'static str),
}

impl Session {
    fn new(context: Context, line: Line) -> Session {
        let site = context.site();
        let peer = line.peer.ip();
        let terms = Terms {
            tls: line.is_tls(),
            starttls: site.tls.is_some(),
            plaintext_login: site.plaintext_login(peer),
            channel_binding: site.channel_binding,
            append_bytes_max: site.message_bytes_max,
        };
        let now = context.net.clock().steady();
        let login_until = now + Duration::from_secs(IMAP_LOGIN_SECONDS_MAX);
        Session {
            conversation: Conversation::new(terms),
            line,
            context,
            site,
            peer,
            login: None,
            access: Arc::new(Access::none()),
            program: None,
            login_until,
            rest: rest::Rest::new(now),
            selected: None,
            enabled: Enabled::default(),
            notified: watch::Notified::default(),
            idling: false,
            authentication: None,
            arriving: None,
            last_place: None,
            onward: None,
            decoded: None,
        }
    }

    /// The whole session. `Ok` says why it ended; `Err` that the connection was lost.
    async fn run(&mut self) -> io::Result<&'static str> {
        self.conversation.greet(&mut self.line.out, self.site.hostname.as_str());
        let mut buffer = [0u8; READ_BUFFER_BYTES];
        loop {
            self.line.flush().await?;
            let woken = self.wait(&mut buffer).await?;
            let read = match woken {
                Woken::Input(0) => return Ok("client"),
                Woken::Input(read) => read,
                Woken::News | Woken::NewsElsewhere | Woken::Rights => match self.heed(&woken).await? {
                    Some(why) => return Ok(why),
                    None => continue,
                },
                Woken::Quiet => {
                    self.say_still_here();
                    continue;
                }
                Woken::Garbled => {
                    response::bye(&mut self.line.out, Code::ClientBug, "This cannot be decompressed");
                    return Ok("garbled");
                }
                Woken::Stopping => {
                    response::bye(&mut self.line.out, Code::Unavailable, "Server is shutting down");
                    return Ok("stopping");
                }
                Woken::TooLate => {
                    response::bye(&mut self.line.out, Code::None, "Nothing heard for too long");
                    return Ok("timeout");
                }
            };
            let mut input = buffer.get(..read).unwrap_or_default();
            loop {
                let step = self.conversation.step(&mut input, &mut self.line.out);
                if matches!(step, Step::Read) {
                    break;
                }
                // Commands live in a box of their own, so that waiting for the next one holds no memory for them.
                match Box::pin(self.take(step)).await? {
                    Next::Step => self.line.flush_when_full().await?,
                    Next::ForgetInput => break,
                    Next::Compress(place) => {
                        self.line.compress(place, input);
                        break;
                    }
                    Next::End(why) => return Ok(why),
                }
            }
            self.rest = rest::Rest::new(self.context.net.clock().steady());
        }
    }

    /// Waits for the client, and in IDLE and after NOTIFY for news too.
    async fn wait(&mut self, buffer: &mut [u8]) -> io::Result<Woken> {
        let tells = self.arriving.is_none() && self.notified.tells_selected(self.idling);
        if tells
            && self.notified.tells_expunges(self.idling)
            && self.selected.as_ref().is_some_and(|selected| selected.view.has_gone())
        {
            // What a command could not tell.
            return Ok(Woken::News);
        }
        if self.arriving.is_none() && self.notified.owes(self.selected.as_ref().map(|selected| selected.mailbox)) {
            return Ok(Woken::NewsElsewhere);
        }
        let (until, late) = self.rest_until();
        if self.login.is_none() && self.context.net.clock().steady() >= until {
            // A read of what is there already takes no time, however often.
            return Ok(Woken::TooLate);
        }
        let read = async {
            match self.line.read(buffer, until).await {
                Ok(read) => Ok(Woken::Input(read)),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(late),
                Err(error) if error.kind() == io::ErrorKind::InvalidData && self.line.compresses() => {
                    Ok(Woken::Garbled)
                }
                Err(error) => Err(error),
            }
        };
        let stopping = async {
            self.context.stopping.asked().await;
            Ok(Woken::Stopping)
        };
        let selected = self.selected.as_mut().filter(|_| tells).map(|selected| &mut selected.bell);
        let others = if self.arriving.is_none() { self.notified.bell() } else { None };
        let news = async {
            match watch::first_rung(selected, others).await {
                true => Ok(Woken::News),
                false => Ok(Woken::NewsElsewhere),
            }
        };
        let login = self.login.as_mut().filter(|_| self.arriving.is_none());
        let rights = async {
            match login {
                Some(login) => login.rung().await,
                None => future::pending().await,
            }
            Ok(Woken::Rights)
        };
        future::or(read, future::or(future::or(rights, news), stopping)).await
    }

    /// Tells the news, or keeps to other rights; says why the session is over if it is.
    async fn heed(&mut self, woken: &Woken) -> io::Result<Option<&'static str>> {
        let heeded = match woken {
            Woken::Rights => Box::pin(self.heed_rights()).await,
            Woken::NewsElsewhere => Box::pin(self.tell_others()).await,
            _ => Box::pin(self.tell_news(self.notified.tells_expunges(self.idling), true)).await,
        };
        match heeded {
            Ok(()) => Ok(None),
            Err(failure) => self.said_goodbye(failure),
        }
    }

    /// Does what the conversation asks for.
    async fn take(&mut self, step: Step<'_>) -> io::Result<Next> {
        let done = match step {
            Step::Read => Ok(Next::Step),
            Step::Command { tag, command } => return self.answer(tag, command).await,
            Step::AppendBegin(append) => match self.heed_rights().await {
                Ok(()) => self.begin_append(append).await.map(|()| Next::Step),
                Err(failure) => Err(failure),
            },
            Step::AppendMessage(message) => self.append_message(message).await.map(|()| Next::Step),
            Step::AppendText(bytes) => self.append_text(bytes).await.map(|()| Next::Step),
            Step::AppendUrl(url) => self.append_url(url).await.map(|()| Next::Step),
            Step::AppendBytes(bytes) => self.append_bytes(bytes).await.map(|()| Next::Step),
            Step::AppendEnd { tag } => {
                let ended = match self.heed_rights().await {
                    Ok(()) => self.end_append(&tag).await,
                    Err(failure) => Err(failure),
                };
                return self.answered(&tag, ended);
            }
            Step::AppendBroken => {
                self.arriving = None;
                Ok(Next::Step)
            }
            Step::Auth { tag, line } => {
                let done = self.auth_line(&tag, line).await;
                return self.answered(&tag, done.map(|()| Next::Step));
            }
            Step::IdleDone { tag } => {
                self.idling = false;
                let told = self.finish(&tag, true, Code::None, "IDLE completed").await;
                return self.answered(&tag, told.map(|()| Next::Step));
            }
            Step::IdleBroken => {
                self.idling = false;
                Ok(Next::Step)
            }
            Step::Close => Ok(Next::End("refused")),
        };
        match done {
            Ok(next) => Ok(next),
            Err(failure) => Ok(self.said_goodbye(failure)?.map_or(Next::Step, Next::End)),
        }
    }

    /// Carries out one command and answers it.
    async fn answer(&mut self, tag: Tag, command: Command) -> io::Result<Next> {
        if self.conversation.take_save_refused() {
            self.forget_saved();
        }
        if !matches!(command, Command::Fetch(_)) {
            self.onward = None;
        }
        let done = match self.heed_rights().await {
            Ok(()) => self.carry_out(&tag, command).await,
            Err(failure) => Err(failure),
        };
        self.answered(&tag, done)
    }

    /// Says the tagged answer of a command that failed.
    fn answered(&mut self, tag: &Tag, done: Result<Next, Failure>) -> io::Result<Next> {
        match done {
            Ok(next) => return Ok(next),
            Err(Failure::Lost(error)) => return Err(error),
            Err(Failure::Refused(status, code, text)) => {
                response::tagged(&mut self.line.out, tag, status, code, text);
            }
            Err(Failure::Store(trouble)) => {
                let (code, text) = words(&trouble);
                response::tagged(&mut self.line.out, tag, Status::No, code, text);
            }
            Err(Failure::Bye(code, text)) => {
                response::bye(&mut self.line.out, code, text);
                return Ok(Next::End("sent-away"));
            }
        }
        Ok(Next::Step)
    }

    /// What a failure outside any command means: goodbye (and why), or nothing that must be said now.
    fn said_goodbye(&mut self, failure: Failure) -> io::Result<Option<&'static str>> {
        match failure {
            Failure::Lost(error) => Err(error),
            Failure::Bye(code, text) => {
                response::bye(&mut self.line.out, code, text);
                Ok(Some("sent-away"))
            }
            Failure::Store(trouble) => {
                words(&trouble);
                Ok(None)
            }
            Failure::Refused(..) => Ok(None),
        }
    }

    /// Tells the news and then the tagged OK.
    async fn finish(&mut self, tag: &Tag, expunge_allowed: bool, code: Code<'_>, text: &str) -> Result<(), Failure> {
        self.tell_news(expunge_allowed, false).await?;
        response::tagged(&mut self.line.out, tag, Status::Ok, code, text);
        Ok(())
    }

    /// The end of REPLACE: what it has done is said even when the news cannot be told, and with it up to where all is told (RFC 7162
    /// section 3.2.9).
    async fn finish_replaced(&mut self, tag: &Tag) -> Result<(), Failure> {
        let told = self.tell_news(true, false).await;
        let code = self.highest_modseq();
        response::tagged(&mut self.line.out, tag, Status::Ok, code, "REPLACE completed");
        match told {
            Err(Failure::Store(trouble)) => {
                words(&trouble);
                Ok(())
            }
            other => other,
        }
    }

    /// The same after a message has been added: that is said even when the news cannot be told, or the client adds it again.
    async fn finish_added(&mut self, tag: &Tag, code: Code<'_>, text: &str) -> Result<(), Failure> {
        let told = self.tell_news(true, false).await;
        response::tagged(&mut self.line.out, tag, Status::Ok, code, text);
        match told {
            Err(Failure::Store(trouble)) => {
                words(&trouble);
                Ok(())
            }
            other => other,
        }
    }
}
