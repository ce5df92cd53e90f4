//! HTTP/1.1 as a server reads it: one request after the other, each wholly there before it is handed on.
//!
//! Receives bytes however they are cut; hands on [`Request`]s, or the status of a refusal, after which nothing more is read. What always
//! holds: nothing is kept beyond the bounds, and whatever another reader of the same bytes could end elsewhere is refused (request
//! smuggling, RFC 9112 section 11.2): lengths said twice or oddly, transfer codings, folded fields, line ends without CR.

use crate::limits::*;
use crate::wire::http::Status;

/// How it is asked. Others are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// For a resource.
    Get,
    /// For the head of the answer that GET would get.
    Head,
    /// With content that is to be answered.
    Post,
}

/// Methods that others know (RFC 9110 section 9.1, RFC 5789).
const OTHER_METHODS: [&str; 6] = ["PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// What for: begins with `/`, as it was sent, visible ASCII.
    pub path: String,
    /// What stands behind the first `?`.
    pub query: String,
    /// The host that is asked, in lower case and without a port; IPv6 addresses without brackets. `None`: HTTP/1.0 need not say.
    pub host: Option<String>,
    /// The languages that are understood, as they were sent; empty: any.
    pub languages: String,
    /// Of POST; at most [`WEB_CONTENT_BYTES_MAX`].
    pub content: Vec<u8>,
    /// The client may ask more on this connection.
    pub goes_on: bool,
}

/// What a reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// More bytes.
    Input,
    /// More bytes, which the client sends when it hears [`super::answer::CONTINUE`].
    InputAfterContinue,
    /// Nothing: here is a request.
    Answer(Box<Request>),
}

/// Reads the requests of one connection.
#[derive(Default)]
pub struct Reading {
    /// Bytes not used yet: at most a head, a content, and what one read brings.
    input: Vec<u8>,
    /// An empty line before the request line was passed over.
    passed_over: bool,
    state: State,
}

enum State {
    /// Lines of the head were looked at up to `line`, where one begins; its end was searched up to `searched`.
    Head {
        line: usize,
        searched: usize,
    },
    /// The content is to come. `expects`: the client waits for a word before it sends it.
    Content {
        request: Box<Request>,
        length: usize,
        expects: bool,
    },
    Refused(Status),
}

impl Default for State {
    fn default() -> State {
        State::Head { line: 0, searched: 0 }
    }
}

impl Reading {
    /// Takes bytes.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Whether a request has begun to come.
    pub fn is_under_way(&self) -> bool {
        !self.input.is_empty() || matches!(self.state, State::Content { .. })
    }

    /// Goes on with what has been received.
    ///
    /// # Errors
    /// The status of the refusal, for ever: nobody can say where the next request would begin.
    pub fn step(&mut self) -> Result<Want, Status> {
        if let State::Head { line, searched } = self.state {
            match self.find_end(line, searched) {
                Ok(Some(end)) => self.end_head(end)?,
                Ok(None) => return Ok(Want::Input),
                Err(status) => return Err(self.refuse(status)),
            }
        }
        match std::mem::take(&mut self.state) {
            State::Content { mut request, length, .. } if self.input.len() >= length => {
                request.content = self.input.drain(..length).collect();
                // An idle connection keeps no large buffer.
                self.input.shrink_to(READ_BUFFER_BYTES);
                Ok(Want::Answer(request))
            }
            State::Content { request, length, expects } => {
                self.state = State::Content { request, length, expects: false };
                Ok(if expects && self.input.is_empty() { Want::InputAfterContinue } else { Want::Input })
            }
            State::Refused(status) => Err(self.refuse(status)),
            State::Head { .. } => Ok(Want::Input),
        }
    }

    fn refuse(&mut self, status: Status) -> Status {
        self.state = State::Refused(status);
        self.input = Vec::new();
        status
    }

    fn end_head(&mut self, end: usize) -> Result<(), Status> {
        let read = self.input.get(..end).map_or(Err(Status::InternalServerError), read_head);
        match read {
            Ok((request, length, expects)) => {
                self.input.drain(..end);
                self.passed_over = false;
                self.state = State::Content { request: Box::new(request), length, expects };
                Ok(())
            }
            Err(status) => Err(self.refuse(status)),
        }
    }

    /// Where the head ends. Looks at each line once: it ends with CRLF, is not too long, and continues none before it.
    fn find_end(&mut self, mut line: usize, mut searched: usize) -> Result<Option<usize>, Status> {
        loop {
            let rest = self.input.get(searched..).unwrap_or_default();
            let found = memchr::memchr(b'\n', rest).map(|at| searched + at);
            let reached = found.map_or(self.input.len(), |end| end + 1);
            if line == 0 && reached > WEB_REQUEST_LINE_BYTES_MAX + 2 {
                return Err(Status::UriTooLong);
            }
            if reached > WEB_HEAD_BYTES_MAX {
                return Err(Status::HeaderFieldsTooLarge);
            }
            let Some(end) = found else {
                self.state = State::Head { line, searched: self.input.len() };
                return Ok(None);
            };
            match self.input.get(line..end).unwrap_or_default() {
                // RFC 9112 section 2.2: one empty line before a request line is passed over.
                b"\r" if line == 0 && !self.passed_over => {
                    self.passed_over = true;
                    self.input.drain(..=end);
                    (line, searched) = (0, 0);
                }
                b"\r" if line > 0 => return Ok(Some(end + 1)),
                b"\r" | [b' ' | b'\t', ..] => return Err(Status::BadRequest),
                [.., b'\r'] => (line, searched) = (end + 1, end + 1),
                _ => return Err(Status::BadRequest),
            }
        }
    }
}

/// A head with its end: the request without its content, the length of that, and whether the client waits for a word first.
fn read_head(head: &[u8]) -> Result<(Request, usize, bool), Status> {
    let mut fields = [httparse::EMPTY_HEADER; WEB_FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeaderFieldsTooLarge),
        Err(httparse::Error::Version) => return Err(Status::VersionNotSupported),
        _ => return Err(Status::BadRequest),
    }
    let fields = Fields(parsed.headers);
    let is_1_1 = parsed.version == Some(1);
    let method = read_method(parsed.method.unwrap_or_default())?;
    let (of_target, path, query) = read_target(parsed.path.unwrap_or_default()).ok_or(Status::BadRequest)?;
    let host = match fields.one("Host")? {
        Some(host) => Some(read_host(host).ok_or(Status::BadRequest)?),
        // RFC 9112 section 3.2.
        None if is_1_1 => return Err(Status::BadRequest),
        None => None,
    };
    let length = fields.length(is_1_1)?;
    if length > WEB_CONTENT_BYTES_MAX {
        return Err(Status::ContentTooLarge);
    }
    // RFC 9110 section 9.3.1: such content means nothing, and some close the connection because it may be an attack.
    if length > 0 && method != Method::Post {
        return Err(Status::BadRequest);
    }
    let expects = match fields.one("Expect")? {
        Some(what) if what.eq_ignore_ascii_case("100-continue") => is_1_1,
        Some(_) => return Err(Status::ExpectationFailed),
        None => false,
    };
    let request = Request {
        method,
        path,
        query,
        host: of_target.or(host),
        languages: fields.all("Accept-Language").collect::<Vec<_>>().join(","),
        content: Vec::new(),
        goes_on: is_1_1 && !fields.items("Connection").any(|option| option.eq_ignore_ascii_case("close")),
    };
    Ok((request, length, expects))
}

fn read_method(name: &str) -> Result<Method, Status> {
    match name {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        "POST" => Ok(Method::Post),
        known if OTHER_METHODS.contains(&known) => Err(Status::MethodNotAllowed),
        _ => Err(Status::NotImplemented),
    }
}

/// The host in it, the path and the query of a target (RFC 9112 section 3.2): in origin form, or in absolute form as proxies send it.
fn read_target(target: &str) -> Option<(Option<String>, String, String)> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) || target.contains('#') {
        return None;
    }
    let absolute = ["https://", "http://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let (host, rest) = match absolute {
        None => (None, target),
        Some(rest) => {
            let (host, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (Some(read_host(host)?), if rest.is_empty() { "/" } else { rest })
        }
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    path.starts_with('/').then(|| (host, path.to_owned(), query.to_owned()))
}

/// A host without its port, in lower case.
fn read_host(text: &str) -> Option<String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':').or(port.is_empty().then_some(""))))?
        }
        None => text.split_once(':').map_or((text, Some("")), |(host, port)| (host, Some(port))),
    };
    let is_named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fits = if text.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        !host.is_empty() && host.len() <= DOMAIN_BYTES_MAX && host.chars().all(is_named)
    };
    let port_fits = port?.len() <= 5 && port?.bytes().all(|byte| byte.is_ascii_digit());
    (fits && port_fits).then(|| host.trim_end_matches('.').to_ascii_lowercase())
}

struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    /// The values of the fields of this name. One that is no ASCII is none.
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| {
            std::str::from_utf8(field.value.trim_ascii()).ok().filter(|text| text.is_ascii()).unwrap_or("\0")
        })
    }

    /// Their items, which stand between commas.
    fn items(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim)
    }

    /// The value of a field that may stand there once.
    fn one(&self, name: &'static str) -> Result<Option<&'a str>, Status> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (first, None) => Ok(first),
            _ => Err(Status::BadRequest),
        }
    }

    /// How long the content is (RFC 9112 section 6). Lengths that are said twice are refused even where they agree, and so is every
    /// transfer coding: without chunks a request must say how long it is, which RFC 9110 section 15.5.12 lets us ask for.
    fn length(&self, is_1_1: bool) -> Result<usize, Status> {
        let length = self.one("Content-Length")?;
        let codings: Vec<&str> = self.items("Transfer-Encoding").collect();
        match (length, codings.as_slice()) {
            (None, []) => Ok(0),
            (Some(length), []) => {
                let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                // A number that is too large for us is too large.
                let length = is_number.then(|| length.parse().unwrap_or(usize::MAX));
                length.ok_or(Status::BadRequest)
            }
            (None, [coding]) if is_1_1 && coding.eq_ignore_ascii_case("chunked") => Err(Status::LengthRequired),
            (None, _) if is_1_1 => Err(Status::NotImplemented),
            _ => Err(Status::BadRequest),
        }
    }
}

/// Which of these languages (`en`, `de`) a client prefers (RFC 9110 section 12.5.4): of those that it names, alone or with a region, the one
/// with the highest weight, the first of equals; else the first that there is.
pub fn choose_language(asked: &str, offered: &[&str]) -> usize {
    let mut best = (0, 0u32);
    for item in asked.split(',') {
        let (range, weight) = item.split_once(';').map_or((item, "q=1"), |(range, weight)| (range, weight));
        let primary = range.trim().split('-').next().unwrap_or_default();
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).unwrap_or(0.0);
        let weight = (weight.clamp(0.0, 1.0) * 1000.0) as u32;
        let found = offered.iter().position(|offer| offer.eq_ignore_ascii_case(primary));
        if let Some(found) = found.filter(|_| weight > best.1) {
            best = (found, weight);
        }
    }
    best.0
}

#[cfg(test)]
mod tests;
