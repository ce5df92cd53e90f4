//! The connection of one session: a stream and what is to be said next.
//!
//! Responses gather in [`Line::out`] and leave together: when the session is about to wait, or when there are more than
//! [`IMAP_OUT_BYTES_MAX`]; compressed, once the client has asked for it. What a client does not take within
//! [`IMAP_WRITE_SECONDS_MAX`] ends the session.

use super::compress::{Layer, Place};
use crate::limits::{IMAP_OUT_BYTES_KEPT, IMAP_OUT_BYTES_MAX, IMAP_WRITE_SECONDS_MAX};
use crate::net::Stream;
use crate::net::tls::{Protocol, ServerTls};
use crate::wire::deflate::Garbled;
use crate::wire::imap::Out;
use smol::future;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
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
    /// Both sides compress.
    layer: Option<Box<Layer>>,
    /// Read already, and to be read again: what came behind the end of compression.
    unread: Vec<u8>,
}

impl Line {
    pub fn new(stream: Stream) -> Line {
        Line {
            peer: stream.peer(),
            stream: Some(stream),
            out: Out::default(),
            sent_bytes: 0,
            layer: None,
            unread: Vec::new(),
        }
    }

    /// The same connection as it was at its beginning, what was counted and the compression kept. This one is of no use
    /// afterwards.
    pub fn renewed(&mut self) -> io::Result<Line> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Line { sent_bytes: self.sent_bytes, layer: self.layer.take(), ..Line::new(stream) })
    }

    pub fn is_tls(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.tls().is_some())
    }

    pub fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads at least one byte, or 0 at the end, until a moment on the steady clock; cancel-safe.
    /// [`io::ErrorKind::InvalidData`]: it cannot be decompressed.
    pub async fn read(&mut self, buffer: &mut [u8], until: Duration) -> io::Result<usize> {
        let Some(layer) = &mut self.layer else {
            if self.unread.is_empty() {
                return self.stream()?.read_until(buffer, until).await;
            }
            let count = self.unread.len().min(buffer.len());
            let again = self.unread.drain(..count);
            buffer.iter_mut().zip(again).for_each(|(to, from)| *to = from);
            return Ok(count);
        };
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        if layer.inflow.may_have_more() {
            // Little that comes may become much: others get their turn between.
            future::yield_now().await;
        }
        loop {
            match layer.inflow.take(buffer) {
                Ok(0) if layer.inflow.has_ended() => return Ok(0),
                Ok(0) => {}
                Ok(read) => return Ok(read),
                Err(Garbled) => return Err(io::ErrorKind::InvalidData.into()),
            }
            let read = stream.read_until(layer.inflow.room(), until).await?;
            layer.inflow.came(read);
            if read == 0 {
                return Ok(0);
            }
        }
    }

    /// Compresses from here on. `read`: what was read already and is compressed.
    pub fn compress(&mut self, place: Place, read: &[u8]) {
        self.layer = Some(Box::new(Layer::new(place, read)));
    }

    /// Neither side compresses any more (RFC 8437 section 4.1).
    pub fn end_compression(&mut self) {
        if let Some(layer) = self.layer.take() {
            self.unread = layer.inflow.into_rest();
        }
    }

    /// Whether both sides compress.
    pub fn compresses(&self) -> bool {
        self.layer.is_some()
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

    /// The same with bytes that in these ranges are compressed already, if the session compresses.
    pub async fn write_spliced(&mut self, bytes: &[u8], deflated: &[Range<usize>]) -> io::Result<()> {
        let (Some(layer), Some(last)) = (&mut self.layer, deflated.last()) else { return self.write(bytes).await };
        let mut compressed = Vec::with_capacity(bytes.len() + self.out.len());
        let mut said = self.out.take();
        let mut at = 0;
        for range in deflated {
            said.extend_from_slice(bytes.get(at..range.start).unwrap_or_default());
            layer.push(&said, &mut compressed);
            layer.push_as_it_is(bytes.get(range.clone()).unwrap_or_default(), &mut compressed);
            said.clear();
            at = range.end;
        }
        self.out.reuse(said);
        // What ends one literal goes with what begins the next.
        self.out.extend_from_slice(bytes.get(last.end..).unwrap_or_default());
        self.send_as_it_is(&compressed).await?;
        self.flush_when_full().await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(layer) = &mut self.layer else { return self.send_as_it_is(bytes).await };
        let mut compressed = Vec::new();
        layer.push(bytes, &mut compressed);
        self.send_as_it_is(&compressed).await
    }

    async fn send_as_it_is(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent_bytes += bytes.len() as u64;
        self.stream()?.write_all(bytes, WRITE_WAIT).await
    }

    /// Speaks TLS from here on.
    pub async fn start_tls(&mut self, config: std::sync::Arc<ServerTls>, wait: Duration) -> io::Result<()> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        self.stream = Some(stream.accept_tls_for(Protocol::Imap, config, wait).await?);
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
