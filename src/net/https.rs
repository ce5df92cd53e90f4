//! One exchange with a web server over TLS: a policy is fetched, or a report is handed in.
//!
//! Receives a host and its addresses in the order to try; hands on the answer. One request per connection, no redirects, a
//! bound on everything. Which addresses may be connected to is decided above.

use super::{Net, Stream};
use crate::limits::{HTTPS_CONNECT_SECONDS, HTTPS_SECONDS_MAX, READ_BUFFER_BYTES};
use crate::wire::address::Domain;
use crate::wire::http::client::{Answer, Method, Reading, encode_request};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A request to a web server.
pub struct HttpsRequest<'a> {
    /// Whose certificate it must be.
    pub host: &'a Domain,
    /// 443 in the world.
    pub port: u16,
    /// Path and query, beginning with `/`, nothing but visible ASCII.
    pub target: &'a str,
    /// GET or POST.
    pub method: Method<'a>,
    /// Bytes of content that are taken, for GET.
    pub content_bytes_max: usize,
}

/// Why there is no answer; the text is a plain sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpsTrouble {
    /// The certificate does not prove that it is the host.
    Certificate(String),
    /// No connection, no TLS, no answer in time, or none that is HTTP.
    Other(String),
}

impl std::fmt::Display for HttpsTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HttpsTrouble::Certificate(text) | HttpsTrouble::Other(text) => f.write_str(text),
        }
    }
}

impl Net {
    /// Asks a web server. The first of the addresses that a connection can be made to decides.
    ///
    /// # Errors
    /// See [`HttpsTrouble`]. Takes at most [`HTTPS_SECONDS_MAX`].
    pub async fn https(
        &self,
        request: &HttpsRequest<'_>,
        addresses: &[IpAddr],
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Answer, HttpsTrouble> {
        let wait = Duration::from_secs(HTTPS_SECONDS_MAX);
        let exchange = Box::pin(self.exchange(request, addresses, tls));
        let late = || HttpsTrouble::Other(format!("the web server {} took too long", request.host));
        self.clock().within(wait, exchange).await.unwrap_or_else(|| Err(late()))
    }

    async fn exchange(
        &self,
        request: &HttpsRequest<'_>,
        addresses: &[IpAddr],
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Answer, HttpsTrouble> {
        let host = request.host;
        let mut last = HttpsTrouble::Other(format!("the web server {host} has no address"));
        for ip in addresses {
            let wait = Duration::from_secs(HTTPS_CONNECT_SECONDS);
            match self.connect(SocketAddr::new(*ip, request.port), wait).await {
                Ok(stream) => return talk(stream, request, tls).await,
                Err(error) => last = HttpsTrouble::Other(format!("could not connect to {host} ({ip}): {error}")),
            }
        }
        Err(last)
    }
}

async fn talk(
    stream: Stream,
    request: &HttpsRequest<'_>,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Answer, HttpsTrouble> {
    let (host, port) = (request.host, request.port);
    // The whole exchange has a bound; each piece needs none of its own.
    let wait = Duration::from_secs(HTTPS_SECONDS_MAX);
    let mut stream = stream.start_tls(tls.clone(), host.as_str(), wait).await.map_err(|error| {
        let text = format!("no TLS with the web server {host}: {error}");
        if is_about_certificate(&error) { HttpsTrouble::Certificate(text) } else { HttpsTrouble::Other(text) }
    })?;
    let other = |what: &dyn std::fmt::Display| HttpsTrouble::Other(format!("the web server {host}: {what}"));
    let named = if port == 443 { host.to_string() } else { format!("{host}:{port}") };
    let bytes = encode_request(request.method, &named, request.target);
    stream.write_all(&bytes, wait).await.map_err(|error| other(&error))?;
    let keeps = matches!(request.method, Method::Get).then_some(request.content_bytes_max);
    let mut reading = Reading::new(keeps);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    loop {
        let read = match stream.read_to_true_end(&mut buffer, wait).await {
            Ok(0) => {
                reading.end(true).map_err(|breach| other(&breach))?;
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                reading.end(false).map_err(|breach| other(&breach))?;
                break;
            }
            read => read.map_err(|error| other(&error))?,
        };
        if reading.receive(buffer.get(..read).unwrap_or_default()).map_err(|breach| other(&breach))? {
            break;
        }
    }
    Ok(reading.into_answer())
}

/// Whether TLS failed because of the certificate that the server has shown.
pub fn is_about_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls;
    use crate::net::twin::Twin;

    /// What comes of a GET from a server with a certificate for this name that answers these bytes.
    fn get(name: &str, answer: &'static [u8], cut: bool) -> Result<Answer, HttpsTrouble> {
        let twin = Twin::new(1);
        let net = twin.net();
        let signed = tls::self_signed(&[name.to_owned()], net.clock()).unwrap();
        let served =
            tls::server_config(signed.certificate_pem.as_bytes(), signed.key_pem.as_bytes(), net.clock()).unwrap();
        let trusting = tls::client_verified(Some(signed.certificate_pem.as_bytes()), net.clock()).unwrap();
        let at: IpAddr = "198.51.100.1".parse().unwrap();
        let incoming = twin.listen(SocketAddr::new(at, 443));
        let serve = async {
            let wait = Duration::from_secs(5);
            let Ok(mut stream) = incoming.recv().await.unwrap().accept_tls(served, wait).await else { return };
            let mut buffer = [0; 1000];
            let read = stream.read(&mut buffer, wait).await.unwrap();
            assert!(buffer[..read].starts_with(b"GET /x HTTP/1.1\r\nHost: web.far.example\r\n"));
            stream.write_all(answer, wait).await.unwrap();
            if !cut {
                stream.close(wait).await.unwrap();
            }
        };
        let host = Domain::new("web.far.example");
        let request =
            HttpsRequest { host: &host, port: 443, target: "/x", method: Method::Get, content_bytes_max: 100 };
        let refusing = "198.51.100.2".parse().unwrap();
        let addresses = [refusing, at];
        let ask = net.https(&request, &addresses, &trusting);
        smol::block_on(smol::future::zip(ask, serve)).0
    }

    #[test]
    fn an_answer_comes_from_whoever_proves_its_name() {
        let hello = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
        let answer = get("web.far.example", hello, false).unwrap();
        assert_eq!((answer.status, answer.content.as_slice()), (200, &b"hello"[..]));
        assert_eq!(get("*.far.example", hello, false).map(|answer| answer.status), Ok(200));
        for name in ["far.example", "*.web.far.example", "other.example"] {
            assert!(matches!(get(name, hello, false), Err(HttpsTrouble::Certificate(_))), "{name}");
        }
    }

    #[test]
    fn an_answer_until_the_end_must_end_properly() {
        let hello = b"HTTP/1.0 200 OK\r\n\r\nhello";
        assert_eq!(get("web.far.example", hello, false).unwrap().content, b"hello");
        assert!(matches!(get("web.far.example", hello, true), Err(HttpsTrouble::Other(_))));
    }

    #[test]
    fn a_silent_server_is_left() {
        let twin = Twin::new(1);
        let net = twin.net();
        let tls = tls::client_verified(None, net.clock()).unwrap();
        let host = Domain::new("web.far.example");
        let request = HttpsRequest { host: &host, port: 443, target: "/", method: Method::Get, content_bytes_max: 100 };
        let addresses: Vec<IpAddr> = vec!["198.51.100.1".parse().unwrap()];
        let listening = twin.listen(SocketAddr::new(addresses[0], 443));
        let mut asking = Box::pin(net.https(&request, &addresses, &tls));
        assert!(smol::block_on(smol::future::poll_once(&mut asking)).is_none());
        twin.hand().advance(Duration::from_secs(HTTPS_SECONDS_MAX));
        assert!(matches!(smol::block_on(asking), Err(HttpsTrouble::Other(_))));
        drop(listening);
    }
}
