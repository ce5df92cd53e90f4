//! A byte stream with deadlines: TCP or memory, plain or TLS.
//!
//! One type for every session and every test; an enum, not a trait, because there are exactly these four. It knows
//! no protocol: where a line ends is decided above.

use super::clock::{Alarm, Clock};
use super::tls::{Protocol, ServerTls};
use super::twin::Pipe;
use crate::limits::CLOSE_DISCARD_BYTES_MAX;
use crate::wire::sasl::ChannelBindings;
use async_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// RFC 9266 section 2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// A byte stream with deadlines: TCP or memory, plain or TLS. Owned by one session.
///
/// Reads are cancel-safe: a dropped read has taken nothing. A dropped write may have sent a part. Waits are given per
/// call; a call that takes longer fails with [`io::ErrorKind::TimedOut`]. Dropping the stream closes the connection
/// without a word; see [`Stream::close`] for the polite way.
pub struct Stream {
    channel: Channel,
    clock: Clock,
    alarm: Alarm,
    peer: SocketAddr,
    local: SocketAddr,
    /// As a TLS server: what names our certificate (RFC 5929 section 4).
    end_point: Option<Vec<u8>>,
}

enum Channel {
    Plain(Socket),
    /// Boxed: a TLS session is large, and streams move through the futures that use them.
    Tls(Box<TlsStream<Socket>>),
}

/// When a call gives up: at a moment on the steady clock, or so long after it first had to wait.
#[derive(Clone, Copy)]
enum Deadline {
    At(Duration),
    In(Duration),
}

/// What carries the bytes.
pub(super) enum Socket {
    Tcp(Async<TcpStream>),
    Memory(Pipe),
}

impl Stream {
    pub(super) fn over_tcp(socket: Async<TcpStream>, clock: Clock) -> io::Result<Stream> {
        // Replies are written whole; waiting for more to send would only delay them.
        socket.get_ref().set_nodelay(true)?;
        let (peer, local) = (socket.get_ref().peer_addr()?, socket.get_ref().local_addr()?);
        Ok(Stream::over(Socket::Tcp(socket), clock, canonical(peer), canonical(local)))
    }

    pub(super) fn over(socket: Socket, clock: Clock, peer: SocketAddr, local: SocketAddr) -> Stream {
        Stream { channel: Channel::Plain(socket), clock, alarm: Alarm::default(), peer, local, end_point: None }
    }

    /// Reads at least one byte, or 0 at the end of the stream.
    ///
    /// A peer that ends a TLS session without close_notify (many do) has ended the stream, too: 0, not an error. The
    /// protocols above mark the end of what they send themselves, so that a cut is never taken for an end.
    pub async fn read(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<usize> {
        self.read_by(buffer, Deadline::In(wait)).await
    }

    /// As [`Stream::read`], until a moment on the steady clock.
    pub async fn read_until(&mut self, buffer: &mut [u8], deadline: Duration) -> io::Result<usize> {
        self.read_by(buffer, Deadline::At(deadline)).await
    }

    async fn read_by(&mut self, buffer: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        match self.by(deadline, |channel, task| channel.poll_read(task, buffer)).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }

    /// As [`Stream::read`], but over TLS an end without close_notify is [`io::ErrorKind::UnexpectedEof`]: for protocols in
    /// which nothing but the end says where something ends.
    pub async fn read_to_true_end(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<usize> {
        self.within(wait, |channel, task| channel.poll_read(task, buffer)).await
    }

    /// Writes and flushes everything.
    pub async fn write_all(&mut self, bytes: &[u8], wait: Duration) -> io::Result<()> {
        let mut rest = bytes;
        self.within(wait, |channel, task| {
            while !rest.is_empty() {
                let written = ready!(channel.poll_write(task, rest))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                rest = rest.get(written..).unwrap_or_default();
            }
            channel.poll_flush(task)
        })
        .await
    }

    /// Ends the sending side (TLS close_notify, then FIN), then drops what the peer has sent and nobody will read:
    /// closing a TCP socket over unread bytes would reset the connection and could take our last reply with it.
    pub async fn close(&mut self, wait: Duration) -> io::Result<()> {
        self.within(wait, |channel, task| channel.poll_close(task)).await?;
        let mut waste = [0u8; 512];
        let mut dropped = 0;
        poll_fn(|task| {
            while dropped < CLOSE_DISCARD_BYTES_MAX {
                match Pin::new(self.channel.socket()).poll_read(task, &mut waste) {
                    Poll::Ready(Ok(read)) if read > 0 => dropped += read,
                    _ => break,
                }
            }
            Poll::Ready(())
        })
        .await;
        Ok(())
    }

    /// Ends the connection without a word, both ways: what is under way is lost and the peer gets a reset.
    pub fn abort(mut self) {
        match self.channel.socket() {
            // The socket is closed either way; without the option the peer reads an end instead of a reset.
            Socket::Tcp(socket) => drop(socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO))),
            Socket::Memory(pipe) => pipe.cut(),
        }
    }

    /// The other end. IPv4 addresses are never given in their IPv6 form.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// This end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The same connection with other ends: a front has said whose it is and where it was made to.
    pub fn on_behalf_of(self, client: SocketAddr, server: SocketAddr) -> Stream {
        Stream { peer: canonical(client), local: canonical(server), ..self }
    }

    /// Speaks TLS from here on as the server. Bytes that the peer sent before belong to the caller, who must have refused
    /// or dropped them (RFC 3207 section 4.2).
    pub async fn accept_tls(self, tls: Arc<ServerTls>, wait: Duration) -> io::Result<Stream> {
        self.accept_tls_for(Protocol::Unnamed, tls, wait).await
    }

    /// The same for this protocol: a client that asks for others only, by ALPN, is refused (RFC 7301 section 3.2).
    pub async fn accept_tls_for(self, protocol: Protocol, tls: Arc<ServerTls>, wait: Duration) -> io::Result<Stream> {
        let Stream { channel, clock, alarm, peer, local, .. } = self;
        let handshake = Box::pin(TlsAcceptor::from(tls.config(protocol)).accept(channel.plain()?));
        let session = clock.within(wait, handshake).await.ok_or(io::ErrorKind::TimedOut)??;
        let end_point = tls.end_point(session.get_ref().1.server_name());
        let channel = Channel::Tls(Box::new(TlsStream::Server(session)));
        Ok(Stream { channel, clock, alarm, peer, local, end_point })
    }

    /// Speaks TLS from here on as a client of `host` (a name or an IP address without brackets).
    pub async fn start_tls(self, config: Arc<rustls::ClientConfig>, host: &str, wait: Duration) -> io::Result<Stream> {
        let Stream { channel, clock, alarm, peer, local, .. } = self;
        let name = rustls_pki_types::ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let handshake = Box::pin(TlsConnector::from(config).connect(name, channel.plain()?));
        let session = clock.within(wait, handshake).await.ok_or(io::ErrorKind::TimedOut)??;
        let channel = Channel::Tls(Box::new(TlsStream::Client(session)));
        Ok(Stream { channel, clock, alarm, peer, local, end_point: None })
    }

    /// What TLS agreed on; `None` while plain.
    pub fn tls(&self) -> Option<TlsFacts> {
        let Channel::Tls(session) = &self.channel else { return None };
        let (_, common) = session.get_ref();
        let server_name = match &**session {
            TlsStream::Server(server) => server.get_ref().1.server_name().map(str::to_owned),
            TlsStream::Client(_) => None,
        };
        Some(TlsFacts {
            version: match common.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLS",
            },
            cipher: common.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default(),
            server_name,
        })
    }

    /// What a login can be bound to; nothing without TLS. The exporter needs TLS 1.3: older sessions need an extension to be
    /// unique (RFC 9266 section 4.2), and their clients have the other one.
    pub fn channel_bindings(&self) -> ChannelBindings {
        let Channel::Tls(session) = &self.channel else { return ChannelBindings::default() };
        let (exported, version) = match &**session {
            TlsStream::Server(server) => {
                let session = server.get_ref().1;
                (session.export_keying_material([0; 32], EXPORTER_LABEL, Some(&[])), session.protocol_version())
            }
            TlsStream::Client(client) => {
                let session = client.get_ref().1;
                (session.export_keying_material([0; 32], EXPORTER_LABEL, Some(&[])), session.protocol_version())
            }
        };
        let unique = version == Some(rustls::ProtocolVersion::TLSv1_3);
        ChannelBindings { exporter: exported.ok().filter(|_| unique), end_point: self.end_point.clone() }
    }

    /// What the other end has shown first.
    #[cfg(test)]
    pub(super) fn peer_certificate(&self) -> Option<rustls_pki_types::CertificateDer<'static>> {
        let Channel::Tls(session) = &self.channel else { return None };
        session.get_ref().1.peer_certificates()?.first().cloned()
    }

    /// Whether TLS continued an earlier session by ticket instead of a full handshake.
    #[cfg(test)]
    pub(super) fn resumed(&self) -> bool {
        match &self.channel {
            Channel::Tls(session) => session.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            Channel::Plain(_) => false,
        }
    }

    async fn within<T>(
        &mut self,
        wait: Duration,
        work: impl FnMut(&mut Channel, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        self.by(Deadline::In(wait), work).await
    }

    /// Runs one poll function under a deadline. The work is polled first: a call that need not wait costs no timer.
    async fn by<T>(
        &mut self,
        mut deadline: Deadline,
        mut work: impl FnMut(&mut Channel, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let Stream { channel, clock, alarm, .. } = self;
        let outcome = poll_fn(|task| {
            if let Poll::Ready(done) = work(channel, task) {
                return Poll::Ready(done);
            }
            let at = match deadline {
                Deadline::At(at) => at,
                Deadline::In(wait) => clock.steady().saturating_add(wait),
            };
            deadline = Deadline::At(at);
            ready!(alarm.poll(clock, at, task));
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        });
        let result = outcome.await;
        alarm.stand_down();
        result
    }
}

impl Channel {
    fn plain(self) -> io::Result<Socket> {
        match self {
            Channel::Plain(socket) => Ok(socket),
            Channel::Tls(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS is spoken already")),
        }
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Channel::Plain(socket) => socket,
            Channel::Tls(session) => session.get_mut().0,
        }
    }

    fn poll_read(&mut self, task: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Channel::Plain(socket) => Pin::new(socket).poll_read(task, buffer),
            Channel::Tls(session) => Pin::new(session).poll_read(task, buffer),
        }
    }

    fn poll_write(&mut self, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Channel::Plain(socket) => Pin::new(socket).poll_write(task, bytes),
            Channel::Tls(session) => Pin::new(session).poll_write(task, bytes),
        }
    }

    fn poll_flush(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Channel::Plain(socket) => Pin::new(socket).poll_flush(task),
            Channel::Tls(session) => Pin::new(session).poll_flush(task),
        }
    }

    fn poll_close(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Channel::Plain(socket) => Pin::new(socket).poll_close(task),
            Channel::Tls(session) => Pin::new(session).poll_close(task),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(task, buffer),
            Socket::Memory(pipe) => Pin::new(pipe).poll_read(task, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(task, bytes),
            Socket::Memory(pipe) => Pin::new(pipe).poll_write(task, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_flush(task),
            Socket::Memory(pipe) => Pin::new(pipe).poll_flush(task),
        }
    }

    fn poll_close(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // `Async` only flushes here; the FIN has to be asked for.
            Socket::Tcp(socket) => Poll::Ready(socket.get_ref().shutdown(Shutdown::Write)),
            Socket::Memory(pipe) => Pin::new(pipe).poll_close(task),
        }
    }
}

/// IPv4 addresses that came in through an IPv6 socket, as what they are.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::to_canonical(&address.ip()), address.port())
}

/// What TLS agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`
    pub version: &'static str,
    /// `TLS13_CHACHA20_POLY1305_SHA256`
    pub cipher: String,
    /// Name the client asked for.
    pub server_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Net, tls};
    use std::net::TcpListener;

    const WAIT: Duration = Duration::from_secs(10);

    /// Both ends of a TCP connection over loopback.
    fn loopback() -> (Stream, Stream) {
        let net = Net::system(None).unwrap();
        smol::block_on(async {
            let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
            let near = net.connect(listener.get_ref().local_addr().unwrap(), WAIT).await.unwrap();
            let (socket, _) = listener.accept().await.unwrap();
            (near, net.accepted(socket).unwrap())
        })
    }

    #[test]
    fn tcp_carries_bytes_and_ends() {
        let (mut near, mut far) = loopback();
        assert_eq!((near.peer(), near.local()), (far.local(), far.peer()));
        assert_eq!(near.tls(), None);
        smol::block_on(async {
            let mut buffer = [0u8; 16];
            near.write_all(b"EHLO there\r\n", WAIT).await.unwrap();
            let read = far.read(&mut buffer, WAIT).await.unwrap();
            assert_eq!(&buffer[..read], b"EHLO there\r\n");
            near.close(WAIT).await.unwrap();
            assert_eq!(far.read(&mut buffer, WAIT).await.unwrap(), 0);
            far.write_all(b"still", WAIT).await.unwrap();
            assert_eq!(near.read(&mut buffer, WAIT).await.unwrap(), 5);
        });
    }

    #[test]
    fn tcp_reads_and_writes_give_up_after_their_wait() {
        let (mut near, mut far) = loopback();
        let short = Duration::from_millis(1);
        smol::block_on(async {
            let late = near.read(&mut [0u8; 16], short).await.unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            // The alarm armed for the long wait must not make the short one late, nor the other way round.
            let mut buffer = [0u8; 16];
            {
                let long = near.read(&mut buffer, WAIT);
                assert!(smol::future::poll_once(std::pin::pin!(long)).await.is_none());
            }
            assert_eq!(near.read(&mut buffer, short).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            far.write_all(b"now", WAIT).await.unwrap();
            assert_eq!(near.read(&mut buffer, WAIT).await.unwrap(), 3);
            // Nobody reads: the buffers of the system are full some time.
            let flood = vec![0u8; 64 << 20];
            assert_eq!(near.write_all(&flood, short).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn closing_over_unread_bytes_does_not_take_the_last_reply_with_it() {
        let (mut near, mut far) = loopback();
        smol::block_on(async {
            near.write_all(&[b'x'; 20_000], WAIT).await.unwrap();
            far.read(&mut [0u8; 1], WAIT).await.unwrap();
            far.write_all(b"500 bye\r\n", WAIT).await.unwrap();
            far.close(WAIT).await.unwrap();
            drop(far);
            let mut buffer = [0u8; 16];
            assert_eq!(near.read(&mut buffer, WAIT).await.unwrap(), 9);
            assert_eq!(near.read(&mut buffer, WAIT).await.unwrap(), 0);
        });
    }

    #[test]
    fn an_aborted_connection_is_reset() {
        let (near, mut far) = loopback();
        near.abort();
        let error = smol::block_on(far.read(&mut [0u8; 1], WAIT)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn tls_over_tcp_carries_bytes_and_ends() {
        let clock = Clock::system();
        let own = tls::self_signed(&["localhost".into()], &clock).unwrap();
        let server = tls::server_config(own.certificate_pem.as_bytes(), own.key_pem.as_bytes(), &clock).unwrap();
        let client = tls::client_verified(Some(own.certificate_pem.as_bytes()), &clock).unwrap();
        let (near, far) = loopback();
        smol::block_on(async {
            let both = smol::future::zip(
                near.start_tls(client, "localhost", WAIT), //
                far.accept_tls(server, WAIT),
            );
            let (near, far) = both.await;
            let (mut near, mut far) = (near.unwrap(), far.unwrap());
            far.write_all(b"* OK ready\r\n", WAIT).await.unwrap();
            let mut buffer = [0u8; 16];
            let late = far.read(&mut buffer, Duration::from_millis(1)).await.unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            assert_eq!(near.read(&mut buffer, WAIT).await.unwrap(), 12);
            far.close(WAIT).await.unwrap();
            assert_eq!(near.read(&mut buffer, WAIT).await.unwrap(), 0);
            // Without close_notify it is an end, too.
            drop(near);
            assert_eq!(far.read(&mut buffer, WAIT).await.unwrap(), 0);
        });
    }
}
