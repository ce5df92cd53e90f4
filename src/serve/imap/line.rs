//! The connection of one session: a stream and what is to be said next.
//!
//! Responses gather in [`Line::out`] and leave together: when the session is about to wait, or when there are more than
//! [`IMAP_OUT_BYTES_MAX`]. What a client does not take within [`IMAP_WRITE_SECONDS_MAX`] ends the session.

use crate::limits::{IMAP_OUT_BYTES_KEPT, IMAP_OUT_BYTES_MAX, IMAP_WRITE_SECONDS_MAX};
use crate::net::Stream;
use crate::wire::imap::Out;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

const WRITE_WAIT: Duration = Duration::from_secs(IMAP_WRITE_SECONDS_MAX);
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// See the file's head.
pub(super) struct Line {
    /// `None` only while TLS is being started.
    stream: Option<Stream>,
    pub peer: SocketAddr,
    /// Responses not sent yet.
    pub out: Out,
    /// Bytes sent so far, for the log.
    pub sent_bytes: u64,
}

impl Line {
    pub fn new(stream: Stream) -> Line {
        Line { peer: stream.peer(), stream: Some(stream), out: Out::default(), sent_bytes: 0 }
    }

    /// The same connection as it was at its beginning, what was counted kept. This one is of no use afterwards.
    pub fn renewed(&mut self) -> io::Result<Line> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Line { sent_bytes: self.sent_bytes, ..Line::new(stream) })
    }

    pub fn is_tls(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.tls().is_some())
    }

    pub fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Sends everything.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = self.out.take();
        self.send(&out).await?;
        // An idle session keeps a small buffer for the next answer, not the largest it ever needed.
        if out.capacity() <= IMAP_OUT_BYTES_KEPT {
            self.out.reuse(out);
        }
        Ok(())
    }

    /// Sends when a good deal has gathered: bounds what an answer of any length costs.
    pub async fn flush_when_full(&mut self) -> io::Result<()> {
        match self.out.len() >= IMAP_OUT_BYTES_MAX {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Says `bytes`: gathers few, sends many without copying them.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.out.len() + bytes.len() < IMAP_OUT_BYTES_MAX {
            self.out.extend_from_slice(bytes);
            return Ok(());
        }
        self.flush().await?;
        self.send(bytes).await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent_bytes += bytes.len() as u64;
        self.stream()?.write_all(bytes, WRITE_WAIT).await
    }

    /// Speaks TLS from here on.
    pub async fn start_tls(
        &mut self,
        config: std::sync::Arc<crate::net::tls::ServerTls>,
        wait: Duration,
    ) -> io::Result<()> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        self.stream = Some(stream.accept_tls(config, wait).await?);
        Ok(())
    }

    /// Sends what is left and ends the connection. The client may be gone already: that is no error any more.
    pub async fn close(mut self) -> u64 {
        if self.flush().await.is_ok()
            && let Some(stream) = &mut self.stream
        {
            let _ = stream.close(CLOSE_WAIT).await;
        }
        self.sent_bytes
    }
}
