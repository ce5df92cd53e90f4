//! A client of a dialogue: sends what it is told, keeps what it gets until the dialogue asks for it.

use super::pattern::show;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use hauspost::net::Stream;
use smol::channel::{Receiver, Sender};
use smol::{LocalExecutor, Task};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any dialogue.
const PATIENCE: Duration = Duration::from_secs(10 * 365 * 86_400);

pub struct Client {
    orders: Sender<Order>,
    seen: Rc<RefCell<Seen>>,
    /// After `...`: lines that do not fit the next pattern are passed over.
    pub skipping: bool,
    _task: Task<()>,
}

#[derive(Default)]
struct Seen {
    unread: Vec<u8>,
    /// How the connection ended.
    end: Option<String>,
}

enum Order {
    Write(Vec<u8>),
    StartTls(Arc<rustls::ClientConfig>),
    Compress(bool),
    Take(bool),
    Abort,
}

/// DEFLATE both ways, each write ended by a flush.
struct Layer {
    compress: Compress,
    decompress: Decompress,
}

impl Layer {
    fn deflate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() * 2 + 256);
        self.compress.compress_vec(bytes, &mut out, FlushCompress::Sync).expect("compressed");
        assert!(out.len() < out.capacity(), "room for all of it");
        out
    }

    /// What these bytes say; `None` when they are no DEFLATE, or end it.
    fn inflate(&mut self, mut bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            out.reserve(64 << 10);
            let before = (self.decompress.total_in(), out.len());
            let status = self.decompress.decompress_vec(bytes, &mut out, FlushDecompress::None).ok()?;
            bytes = &bytes[(self.decompress.total_in() - before.0) as usize..];
            if status == flate2::Status::StreamEnd {
                return None;
            }
            if bytes.is_empty() && out.len() == before.1 {
                return Some(out);
            }
        }
    }
}

enum Event {
    Order(Order),
    Read(std::io::Result<usize>),
}

impl Client {
    pub fn start(executor: &LocalExecutor<'static>, stream: Stream, tls: Option<Arc<rustls::ClientConfig>>) -> Client {
        let (orders, receiver) = smol::channel::unbounded();
        let seen = Rc::new(RefCell::new(Seen::default()));
        let task = executor.spawn(run_client(stream, tls, receiver, seen.clone()));
        Client { orders, seen, skipping: false, _task: task }
    }

    /// Sends bytes, as soon as the connection takes them. A connection that has ended takes none; that is seen later.
    pub fn write(&self, bytes: &[u8]) {
        let _ = self.orders.try_send(Order::Write(bytes.to_vec()));
    }

    /// Begins TLS.
    pub fn start_tls(&self, config: Arc<rustls::ClientConfig>) {
        let _ = self.orders.try_send(Order::StartTls(config));
    }

    /// Both sides compress from here on, or do not any more.
    pub fn compress(&self, on: bool) {
        let _ = self.orders.try_send(Order::Compress(on));
    }

    /// Nothing is read any more; or all is again.
    pub fn take(&self, all: bool) {
        let _ = self.orders.try_send(Order::Take(all));
    }

    /// The connection is lost.
    pub fn abort(&self) {
        let _ = self.orders.try_send(Order::Abort);
    }

    /// The next line, without its CRLF.
    pub fn take_line(&mut self) -> Option<String> {
        let mut seen = self.seen.borrow_mut();
        let end = seen.unread.windows(2).position(|pair| pair == b"\r\n")?;
        let line: Vec<u8> = seen.unread.drain(..end + 2).collect();
        Some(show(&line[..end]))
    }

    /// What has come and was not asked for yet.
    pub fn unread(&self) -> String {
        let text = show(&self.seen.borrow().unread);
        text.replace("\\r\\n", "\n")
    }

    /// How the connection ended, if it did.
    pub fn end(&self) -> Option<String> {
        self.seen.borrow().end.clone()
    }
}

async fn run_client(
    mut stream: Stream,
    tls: Option<Arc<rustls::ClientConfig>>,
    orders: Receiver<Order>,
    seen: Rc<RefCell<Seen>>,
) {
    let end = |how: String| seen.borrow_mut().end = Some(how);
    if let Some(config) = tls {
        stream = match stream.start_tls(config, "mail.home.test", PATIENCE).await {
            Ok(stream) => stream,
            Err(error) => return end(format!("TLS failed: {error}")),
        };
    }
    let mut buffer = vec![0u8; 16 << 10];
    let mut layer: Option<Layer> = None;
    let mut takes = true;
    loop {
        let order = async { orders.recv().await.ok().map(Event::Order) };
        let read = async {
            match takes {
                true => Some(Event::Read(stream.read(&mut buffer, PATIENCE).await)),
                false => smol::future::pending().await,
            }
        };
        match smol::future::or(order, read).await {
            None => return,
            Some(Event::Read(Ok(0))) => return end("closed".to_owned()),
            Some(Event::Read(Ok(count))) => match &mut layer {
                None => seen.borrow_mut().unread.extend(&buffer[..count]),
                Some(layer) => match layer.inflate(&buffer[..count]) {
                    Some(bytes) => seen.borrow_mut().unread.extend(bytes),
                    None => return end("what the server sent is no DEFLATE".to_owned()),
                },
            },
            Some(Event::Read(Err(error))) => return end(format!("{error}")),
            // A failed write means that the other end is gone; what it said before is still to be read.
            Some(Event::Order(Order::Write(bytes))) => {
                let bytes = layer.as_mut().map_or(bytes.clone(), |layer| layer.deflate(&bytes));
                let _ = stream.write_all(&bytes, PATIENCE).await;
            }
            Some(Event::Order(Order::Compress(false))) => layer = None,
            Some(Event::Order(Order::Compress(true))) => {
                let compress = Compress::new(Compression::default(), false);
                layer = Some(Layer { compress, decompress: Decompress::new(false) });
            }
            Some(Event::Order(Order::Take(all))) => takes = all,
            Some(Event::Order(Order::Abort)) => {
                stream.abort();
                return end("dropped".to_owned());
            }
            Some(Event::Order(Order::StartTls(config))) => {
                stream = match stream.start_tls(config, "mail.home.test", PATIENCE).await {
                    Ok(stream) => stream,
                    Err(error) => return end(format!("TLS failed: {error}")),
                };
            }
        }
    }
}
