//! A web server of the world, played: serves what it was told to, over TLS, and keeps what it was sent.

use super::script::unescape;
use super::world::{Outcome, World};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hauspost::net::tls::{self, ServerTls};
use hauspost::net::{Stream, twin};
use hauspost::wire::address::Domain;
use smol::channel::Receiver;
use smol::{LocalExecutor, Task};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(600);

pub struct Web {
    place: SocketAddr,
    rules: Rc<RefCell<Rules>>,
    listening: Option<Task<()>>,
}

struct Rules {
    tls: Arc<ServerTls>,
    /// Media type and content, by path.
    pages: BTreeMap<String, (String, Vec<u8>)>,
    /// Status and more header lines of every answer.
    replies: Option<String>,
    /// Bodies are sent in chunks, without a length.
    in_chunks: bool,
    /// Heads of requests, and bodies as they were before they were compressed.
    asked: Vec<(String, Vec<u8>)>,
}

impl World {
    /// `web HOST ...`; the server comes into being, up and in DNS, when it is first mentioned.
    pub fn script_web(&mut self, words: &[String]) -> Outcome {
        let [host, rest @ ..] = words else { return Err("web HOST ...".to_owned()) };
        if !self.webs.contains_key(host) {
            let last = u8::try_from(self.webs.len() + 1).map_err(|_| "too many servers")?;
            let address = IpAddr::V4(Ipv4Addr::new(203, 0, 114, last));
            self.twin.add_address(&Domain::new(host), address);
            let rules = Rules {
                tls: self.server_tls(&self.remote_pem)?,
                pages: BTreeMap::new(),
                replies: None,
                in_chunks: false,
                asked: Vec::new(),
            };
            let mut web =
                Web { place: SocketAddr::new(address, 443), rules: Rc::new(RefCell::new(rules)), listening: None };
            web.bring_up(&self.executor, &self.twin);
            self.webs.insert(host.clone(), web);
        }
        self.settle()?;
        let texts: Vec<&str> = rest.iter().map(String::as_str).collect();
        let strange = match texts.as_slice() {
            ["certificate", "for", name] => {
                // Nobody trusts it, whatever its name.
                Some(self.server_tls(&tls::self_signed(&[name.to_string()], self.net.clock())?)?)
            }
            ["certificate", "good"] => Some(self.server_tls(&self.remote_pem)?),
            _ => None,
        };
        let web = self.webs.get_mut(host).ok_or("no such server")?;
        match texts.as_slice() {
            [] | ["up"] => web.bring_up(&self.executor, &self.twin),
            ["down"] => {
                web.listening = None;
                self.twin.refuse(web.place);
            }
            ["silent"] => {
                web.listening = None;
                self.twin.swallow(web.place);
            }
            ["certificate", ..] => {
                web.rules.borrow_mut().tls = strange.ok_or("web HOST certificate for NAME | good")?;
            }
            ["serves", path, text] => web.serve(path, "text/plain; charset=utf-8", text)?,
            ["serves", path, "as", media_type, text] => web.serve(path, media_type, text)?,
            ["replies", status] => web.rules.borrow_mut().replies = Some(status.to_string()),
            ["replies", "200", "in", "chunks"] => web.rules.borrow_mut().in_chunks = true,
            ["works"] => web.rules.borrow_mut().replies = None,
            ["asked" | "received" | "lacks", ..] => return web.check(&texts),
            _ => {
                return Err(
                    "up | down | silent | certificate for NAME | certificate good | serves PATH [as TYPE] TEXT | \
                            replies STATUS | replies 200 in chunks | works | asked N times | received TEXT | lacks TEXT"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    fn server_tls(&self, signed: &tls::SelfSigned) -> Result<Arc<ServerTls>, String> {
        tls::server_config(signed.certificate_pem.as_bytes(), signed.key_pem.as_bytes(), self.net.clock())
    }
}

impl Web {
    fn bring_up(&mut self, executor: &Rc<LocalExecutor<'static>>, twin: &Arc<twin::Twin>) {
        let (incoming, rules, spawner) = (twin.listen(self.place), self.rules.clone(), executor.clone());
        self.listening = Some(executor.spawn(run(incoming, rules, spawner)));
    }

    fn serve(&mut self, path: &str, media_type: &str, text: &str) -> Outcome {
        let page = (media_type.to_owned(), unescape(text)?);
        self.rules.borrow_mut().pages.insert(path.to_owned(), page);
        Ok(())
    }

    fn check(&self, words: &[&str]) -> Outcome {
        let asked = &self.rules.borrow().asked;
        let holds = |text: &str| -> Result<bool, String> {
            let text = unescape(text)?;
            let has = |bytes: &[u8]| bytes.windows(text.len().max(1)).any(|window| window == text);
            Ok(asked.iter().any(|(head, body)| has(head.as_bytes()) || has(body)))
        };
        let fits = match words {
            ["asked", "once"] => asked.len() == 1,
            ["asked", count, "times"] => asked.len() == count.parse::<usize>().map_err(|_| "web HOST asked N times")?,
            ["received", text] => holds(text)?,
            ["lacks", text] => !holds(text)?,
            _ => return Err("asked once | asked N times | received TEXT | lacks TEXT".to_owned()),
        };
        let show = |(head, body): &(String, Vec<u8>)| format!("{head}\n{}", String::from_utf8_lossy(body));
        match fits {
            true => Ok(()),
            false => Err(format!(
                "expected: {}\n  got:      {}",
                words.join(" "),
                asked.iter().map(show).collect::<Vec<_>>().join("\n---\n")
            )),
        }
    }
}

async fn run(incoming: Receiver<Stream>, rules: Rc<RefCell<Rules>>, spawner: Rc<LocalExecutor<'static>>) {
    while let Ok(stream) = incoming.recv().await {
        let rules = rules.clone();
        spawner
            .spawn(async move {
                drop(answer(stream, rules).await);
            })
            .detach();
    }
}

async fn answer(stream: Stream, rules: Rc<RefCell<Rules>>) -> std::io::Result<()> {
    let tls = rules.borrow().tls.clone();
    let mut stream = stream.accept_tls(tls, PATIENCE).await?;
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    let (head, body) = loop {
        let read = stream.read(&mut buffer, PATIENCE).await?;
        if read == 0 {
            return Ok(());
        }
        input.extend_from_slice(&buffer[..read]);
        let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&input[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
        if input.len() >= end + 4 + length.unwrap_or(0) {
            break (head, input.split_off(end + 4));
        }
    };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (page, replies, in_chunks) = {
        let mut rules = rules.borrow_mut();
        rules.asked.push((head.clone(), gunzip(&body).unwrap_or(body)));
        (rules.pages.get(&path).cloned(), rules.replies.clone(), rules.in_chunks)
    };
    let mut out = match (replies, page) {
        (Some(status), _) => format!("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", status.replace("\\n", "\r\n")).into(),
        (None, Some((media_type, content))) if in_chunks => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n");
            let mut out = head.into_bytes();
            for chunk in content.chunks(7) {
                out.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
            }
            out.extend(b"0\r\n\r\n");
            out
        }
        (None, Some((media_type, content))) => {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n", content.len());
            [head.into_bytes(), content].concat()
        }
        (None, None) if head.starts_with("POST") => b"HTTP/1.1 201 Created\r\n\r\n".to_vec(),
        (None, None) => b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec(),
    };
    out.shrink_to_fit();
    stream.write_all(&out, PATIENCE).await?;
    stream.close(PATIENCE).await
}

fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).ok().map(|_| plain)
}

/// What a mail has attached in gzip and base64.
pub fn read_attached(mail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(mail);
    let (_, part) = text.split_once("Content-Type: application/tlsrpt+gzip")?;
    let (_, content) = part.split_once("\r\n\r\n")?;
    let (content, _) = content.split_once("\r\n--")?;
    let packed = STANDARD.decode(content.replace("\r\n", "")).ok()?;
    gunzip(&packed).and_then(|plain| String::from_utf8(plain).ok())
}
