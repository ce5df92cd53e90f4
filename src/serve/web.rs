//! One connection to the pages that set a device up: HTTP/1.1 inside TLS.
//!
//! Receives a stream; carries out the requests that come over it, one after the other, within bounds of size, number and time. It serves
//! what stands below and no file: there is no directory, no cookie, no login. Whoever has a link sees the page of one device;
//! to everybody else there is nothing.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`links`] | the links of the node: made, opened once, wiped |
//! | `routes` | from a request to its answer |
//! | `page`, `html`, `words` | the pages, their mark-up and their texts |

mod html;
pub mod links;
mod page;
mod routes;
mod words;

pub use links::{Links, Offer};

use crate::limits::*;
use crate::net::Stream;
use crate::serve::Context;
use crate::wire::http::Status;
use crate::wire::http::answer::{Answer, CONTINUE};
use crate::wire::http::request::{Method, Reading, Request, Want};
use std::io;
use std::time::Duration;

/// Serves requests until the client goes, asks for no more, is idle for too long, or the node stops.
pub async fn run_web(context: Context, stream: Stream) {
    let peer = stream.peer();
    let mut session = Session { context, stream, reading: Reading::default() };
    if let Err(error) = session.run().await {
        log::debug!("event=web-lost peer={peer} reason={:?}", error.to_string());
    }
}

struct Session {
    context: Context,
    stream: Stream,
    reading: Reading,
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        let peer = self.stream.peer().ip();
        for left in (0..WEB_REQUESTS_MAX).rev() {
            let (answer, is_head, goes_on) = match self.receive().await? {
                Some(Ok(request)) => {
                    let answer = routes::answer(&self.context, peer, &request).await;
                    (answer, request.method == Method::Head, request.goes_on)
                }
                Some(Err(status)) => {
                    log::debug!("event=web-refused peer={peer} status={status:?}");
                    (refusal(status), false, false)
                }
                None => break,
            };
            let is_last = left == 0 || !goes_on || self.context.stopping.is_set();
            let bytes = answer.encode(is_head, is_last, self.context.net.clock().now());
            self.stream.write_all(&bytes, Duration::from_secs(WEB_WRITE_SECONDS)).await?;
            if is_last {
                break;
            }
        }
        self.stream.close(Duration::from_secs(WEB_WRITE_SECONDS)).await
    }

    /// The next request, or the status of its refusal. `None`: there is none any more.
    async fn receive(&mut self) -> io::Result<Option<Result<Request, Status>>> {
        let clock = self.context.net.clock().clone();
        let idle_until = clock.steady() + Duration::from_secs(WEB_IDLE_SECONDS);
        let mut whole_until: Option<Duration> = None;
        let mut buffer = [0u8; READ_BUFFER_BYTES];
        loop {
            match self.reading.step() {
                Ok(Want::Answer(request)) => return Ok(Some(Ok(*request))),
                Ok(Want::InputAfterContinue) => {
                    self.stream.write_all(CONTINUE, Duration::from_secs(WEB_WRITE_SECONDS)).await?;
                }
                Ok(Want::Input) => {}
                Err(status) => return Ok(Some(Err(status))),
            }
            let is_under_way = self.reading.is_under_way();
            if is_under_way && whole_until.is_none() {
                whole_until = Some(clock.steady() + Duration::from_secs(WEB_REQUEST_SECONDS_MAX));
            }
            let stopping = self.context.stopping.clone();
            let stopped = async {
                stopping.asked().await;
                Ok(0)
            };
            let until = whole_until.unwrap_or(idle_until);
            if clock.steady() >= until {
                // A read of what is there already takes no time, however often.
                return Ok(is_under_way.then_some(Err(Status::RequestTimeout)));
            }
            match smol::future::or(self.stream.read_until(&mut buffer, until), stopped).await {
                Ok(0) => return Ok(None),
                Ok(read) => self.reading.receive(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Ok(is_under_way.then_some(Err(Status::RequestTimeout)));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is said of a request that cannot be read.
fn refusal(status: Status) -> Answer {
    let answer = Answer::plain(status);
    match status {
        Status::MethodNotAllowed => answer.with("Allow", "GET, HEAD, POST"),
        _ => answer,
    }
}
