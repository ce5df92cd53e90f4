//! HTTP/1.1 as a client that asks one thing and hangs up (RFC 9110, RFC 9112): a request written, an answer read.
//!
//! Receives bytes however they are cut; hands on the answer when it is whole. Follows no redirect, keeps no cookie, asks for
//! no compression and takes none. Heads are read by the `httparse` crate.

use crate::limits::*;
use std::fmt::Write;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Method<'a> {
    /// A resource; its content is kept when the answer is 200.
    Get,
    /// Something is sent; of the answer only the status is looked at.
    Post {
        /// Media type of what is sent.
        media_type: &'a str,
        /// What is sent.
        content: &'a [u8],
    },
}

/// Writes a request for a resource. `host` with the port unless it is that of the scheme; `target` begins with `/` and has
/// nothing but visible ASCII, and neither of them came from anywhere without being checked for that.
pub fn encode_request(method: Method<'_>, host: &str, target: &str) -> Vec<u8> {
    let mut text = String::new();
    let (verb, content) = match method {
        Method::Get => ("GET", None),
        Method::Post { media_type, content } => ("POST", Some((media_type, content))),
    };
    let _ = write!(text, "{verb} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Hauspost\r\nConnection: close\r\n");
    match content {
        // RFC 8461 section 3.3: no HTTP caching; that of others on the way neither.
        None => text.push_str("Accept: text/plain\r\nAccept-Encoding: identity\r\nCache-Control: no-cache\r\n\r\n"),
        Some((media_type, content)) => {
            let _ = write!(text, "Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n", content.len());
        }
    }
    let mut request = text.into_bytes();
    request.extend_from_slice(content.map_or(&[], |(_, content)| content));
    request
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// Type and subtype of `Content-Type`, in lower case and without parameters.
    pub media_type: Option<String>,
    /// The content, at most as much as was asked for.
    pub content: Vec<u8>,
}

/// What is wrong with an answer, as a plain sentence without a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// It is not HTTP as it should be.
    Malformed(&'static str),
    /// It is larger than anybody needs.
    TooLarge,
    /// It ended in the middle.
    CutShort,
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Breach::Malformed(what) => what,
            Breach::TooLarge => "it sent more than is taken",
            Breach::CutShort => "its answer broke off in the middle",
        })
    }
}

/// Reads an answer.
pub struct Reading {
    /// Bytes not looked at yet.
    input: Vec<u8>,
    /// Content is kept of an answer 200, so much; `None`: of none.
    content_bytes_max: Option<usize>,
    interim_left: usize,
    answer: Answer,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The head has been searched for its end up to here.
    Head {
        searched: usize,
    },
    /// So many bytes of content are to come.
    Length(usize),
    /// Content goes on until the connection is closed in the proper way.
    UntilEnd,
    ChunkLine,
    ChunkData(usize),
    ChunkEnd,
    /// So many bytes of trailer fields were dropped.
    Trailer(usize),
    Whole,
}

impl Reading {
    /// Begins with nothing read. `content_bytes_max`: the content of an answer 200 is kept, and is not larger than this;
    /// `None`: the status alone is of interest, and the answer is whole after its head.
    pub fn new(content_bytes_max: Option<usize>) -> Reading {
        Reading {
            input: Vec::new(),
            content_bytes_max,
            interim_left: HTTPS_INTERIM_MAX,
            answer: Answer::default(),
            state: State::Head { searched: 0 },
        }
    }

    /// Takes bytes; `true`: the answer is whole.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<bool, Breach> {
        self.input.extend_from_slice(bytes);
        while self.state != State::Whole && self.step()? {}
        Ok(self.state == State::Whole)
    }

    /// The connection was closed; `properly`: the peer said so (TLS close_notify), and nobody cut it.
    pub fn end(&mut self, properly: bool) -> Result<(), Breach> {
        match self.state {
            State::Whole => Ok(()),
            State::UntilEnd if properly => Ok(()),
            _ => Err(Breach::CutShort),
        }
    }

    /// The answer, which must be whole.
    pub fn into_answer(self) -> Answer {
        self.answer
    }

    /// Goes on by one step; `false`: more bytes are needed.
    fn step(&mut self) -> Result<bool, Breach> {
        match self.state {
            State::Head { searched } => self.read_head(searched),
            State::Length(left) => {
                let left = left.saturating_sub(self.take_content(left)?);
                self.state = if left == 0 { State::Whole } else { State::Length(left) };
                Ok(left == 0)
            }
            State::UntilEnd => self.take_content(usize::MAX).map(|_| false),
            State::ChunkLine => self.read_chunk_line(),
            State::ChunkData(left) => {
                let left = left.saturating_sub(self.take_content(left)?);
                self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                Ok(left == 0)
            }
            State::ChunkEnd => match self.take_line(2)? {
                Some(line) if line.is_empty() => {
                    self.state = State::ChunkLine;
                    Ok(true)
                }
                Some(_) => Err(Breach::Malformed("its answer has a chunk without an end")),
                None => Ok(false),
            },
            State::Trailer(dropped) => match self.take_line(HTTPS_HEAD_BYTES_MAX.saturating_sub(dropped))? {
                Some(line) => {
                    self.state = if line.is_empty() { State::Whole } else { State::Trailer(dropped + line.len() + 2) };
                    Ok(true)
                }
                None => Ok(false),
            },
            State::Whole => Ok(false),
        }
    }

    fn read_head(&mut self, searched: usize) -> Result<bool, Breach> {
        let from = searched.saturating_sub(3);
        let unseen = self.input.get(from..).unwrap_or_default();
        let Some(end) = memchr::memmem::find(unseen, b"\r\n\r\n").map(|end| from + end + 4) else {
            self.state = State::Head { searched: self.input.len() };
            return if self.input.len() > HTTPS_HEAD_BYTES_MAX { Err(Breach::TooLarge) } else { Ok(false) };
        };
        if end > HTTPS_HEAD_BYTES_MAX {
            return Err(Breach::TooLarge);
        }
        let head = self.input.drain(..end).collect::<Vec<u8>>();
        let mut fields = [httparse::EMPTY_HEADER; HTTPS_FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let status = match response.parse(&head) {
            Ok(httparse::Status::Complete(_)) => response.code.unwrap_or(0),
            _ => return Err(Breach::Malformed("its answer is not HTTP")),
        };
        // RFC 9110 section 15.2: answers before the answer. 101 would change the protocol, which nobody has asked for.
        if (100..200).contains(&status) && status != 101 && self.interim_left > 0 {
            self.interim_left -= 1;
            self.state = State::Head { searched: 0 };
            return Ok(true);
        }
        if !(200..600).contains(&status) {
            return Err(Breach::Malformed("its answer has no status that is one"));
        }
        self.answer.status = status;
        self.answer.media_type = media_type(response.headers);
        self.state = match self.content_bytes_max {
            Some(bytes_max) if status == 200 => framing(response.headers, bytes_max)?,
            _ => State::Whole,
        };
        Ok(true)
    }

    fn read_chunk_line(&mut self) -> Result<bool, Breach> {
        let Some(mut line) = self.take_line(HTTPS_CHUNK_LINE_BYTES_MAX)? else { return Ok(false) };
        line.extend_from_slice(b"\r\n");
        let wrong = Breach::Malformed("its answer has a chunk without a length");
        let Ok(httparse::Status::Complete((_, length))) = httparse::parse_chunk_size(&line) else { return Err(wrong) };
        let length = usize::try_from(length).map_err(|_| Breach::TooLarge)?;
        self.state = if length == 0 { State::Trailer(0) } else { State::ChunkData(length) };
        Ok(true)
    }

    /// A line without its CRLF, when it is there; it is at most so long.
    fn take_line(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, Breach> {
        let Some(end) = memchr::memmem::find(&self.input, b"\r\n").filter(|end| *end <= bytes_max) else {
            // The CR may be there already.
            return if self.input.len() > bytes_max + 1 { Err(Breach::TooLarge) } else { Ok(None) };
        };
        let mut line: Vec<u8> = self.input.drain(..end + 2).collect();
        line.truncate(end);
        Ok(Some(line))
    }

    /// Moves content from the input to the answer, at most so much; how much that was.
    fn take_content(&mut self, bytes_max: usize) -> Result<usize, Breach> {
        let taken = self.input.len().min(bytes_max);
        let room = self.content_bytes_max.unwrap_or(0).saturating_sub(self.answer.content.len());
        if taken > room {
            return Err(Breach::TooLarge);
        }
        self.answer.content.extend(self.input.drain(..taken));
        Ok(taken)
    }
}

/// How the content ends (RFC 9112 section 6.3).
fn framing(fields: &[httparse::Header<'_>], bytes_max: usize) -> Result<State, Breach> {
    let named = |name: &'static str| {
        let those = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        those.map(|field| field.value.trim_ascii())
    };
    if named("Content-Encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Breach::Malformed("its answer is compressed, which was not asked for"));
    }
    let mut codings = named("Transfer-Encoding");
    let mut lengths = named("Content-Length");
    match (codings.next(), lengths.next()) {
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
            Ok(State::ChunkLine)
        }
        (None, Some(length)) if lengths.all(|other| other == length) => {
            let digits = std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let length = digits.and_then(|text| text.parse::<u64>().ok());
            let length = length.ok_or(Breach::Malformed("its answer has no length that is one"))?;
            let length = usize::try_from(length).ok().filter(|length| *length <= bytes_max).ok_or(Breach::TooLarge)?;
            Ok(if length == 0 { State::Whole } else { State::Length(length) })
        }
        (None, None) => Ok(State::UntilEnd),
        _ => Err(Breach::Malformed("its answer does not say where it ends")),
    }
}

fn media_type(fields: &[httparse::Header<'_>]) -> Option<String> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case("Content-Type"))?;
    let value = std::str::from_utf8(field.value).ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whole, and byte by byte, which must come to the same.
    fn read(answer: &[u8], bytes_max: Option<usize>) -> Result<Answer, Breach> {
        let once = |piece: usize| {
            let mut reading = Reading::new(bytes_max);
            for bytes in answer.chunks(piece.max(1)) {
                if reading.receive(bytes)? {
                    return Ok(reading.into_answer());
                }
            }
            reading.end(true)?;
            Ok(reading.into_answer())
        };
        let whole = once(answer.len());
        assert_eq!(once(1), whole);
        whole
    }

    fn get(answer: &str) -> Result<String, Breach> {
        read(answer.as_bytes(), Some(100)).map(|answer| String::from_utf8_lossy(&answer.content).into_owned())
    }

    #[test]
    fn requests() {
        let get = encode_request(Method::Get, "mta-sts.far.example", "/.well-known/mta-sts.txt");
        let get = String::from_utf8(get).unwrap();
        assert!(get.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.far.example\r\n"));
        assert!(get.ends_with("\r\n\r\n"));
        let post = Method::Post { media_type: "application/tlsrpt+gzip", content: b"\x1f\x8b" };
        let post = encode_request(post, "far.example:8443", "/v1");
        assert!(post.ends_with(b"Content-Type: application/tlsrpt+gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"));
    }

    #[test]
    fn answers_with_a_length() {
        let answer = read(
            b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\ncontent-length: 5\r\n\r\nhello",
            Some(5),
        );
        let wanted = Answer { status: 200, media_type: Some("text/plain".into()), content: b"hello".to_vec() };
        assert_eq!(answer, Ok(wanted));
        assert_eq!(get("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").as_deref(), Ok(""));
        assert_eq!(get("HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab").as_deref(), Ok("ab"));
        assert_eq!(get("HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").as_deref(), Ok("x"));
        assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), Err(Breach::CutShort));
        assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"), Err(Breach::TooLarge));
    }

    #[test]
    fn answers_in_chunks() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(get(&format!("{head}5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n")).as_deref(), Ok("hello world"));
        assert_eq!(get(&format!("{head}1\r\nx\r\n0\r\nTrailer: yes\r\n\r\n")).as_deref(), Ok("x"));
        assert_eq!(get(&format!("{head}5\r\nhel")), Err(Breach::CutShort));
        assert_eq!(get(&format!("{head}5\r\nhello\r\n0\r\n")), Err(Breach::CutShort));
        assert_eq!(get(&format!("{head}ff\r\n{}", "x".repeat(101))), Err(Breach::TooLarge));
        assert!(matches!(get(&format!("{head}5\r\nhelloXX0\r\n\r\n")), Err(Breach::Malformed(_) | Breach::TooLarge)));
        assert!(matches!(get(&format!("{head}zz\r\n")), Err(Breach::Malformed(_))));
        // Byte by byte this once was another breach than at once.
        assert!(matches!(get(&format!("{head}1\r\nxXX\r\n0\r\n\r\n")), Err(Breach::Malformed(_))));
        assert_eq!(get(&format!("{head}ffffffffffffffff\r\nx")), Err(Breach::CutShort));
        assert_eq!(get(&format!("{head}1;{}", "x".repeat(400))), Err(Breach::TooLarge));
    }

    #[test]
    fn answers_until_the_end() {
        assert_eq!(get("HTTP/1.0 200 OK\r\n\r\nall of it").as_deref(), Ok("all of it"));
        let mut cut = Reading::new(Some(100));
        assert_eq!(cut.receive(b"HTTP/1.0 200 OK\r\n\r\nhalf of"), Ok(false));
        assert_eq!(cut.end(false), Err(Breach::CutShort), "nobody said that this is the end");
        assert_eq!(get(&format!("HTTP/1.0 200 OK\r\n\r\n{}", "x".repeat(101))), Err(Breach::TooLarge));
    }

    #[test]
    fn other_statuses_have_no_content() {
        for status in ["301 Moved", "404 Not Found", "201 Created", "204 No Content", "500 Oh"] {
            let answer =
                read(format!("HTTP/1.1 {status}\r\nLocation: /x\r\n\r\nnobody reads this").as_bytes(), Some(3));
            assert_eq!(answer.map(|answer| answer.content.len()), Ok(0), "{status}");
        }
        let posted = read(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", None);
        assert_eq!(posted.map(|answer| answer.status), Ok(200));
    }

    #[test]
    fn what_is_no_answer() {
        for bad in [
            "220 mail ESMTP\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 99 x\r\n\r\n",
            "HTTP/1.1 999 x\r\n\r\n",
            "HTTP/1.1 101 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nbad field\r\n\r\n",
        ] {
            assert!(matches!(get(bad), Err(Breach::Malformed(_))), "{bad}");
        }
        let interim = "HTTP/1.1 102 wait\r\n\r\n".repeat(HTTPS_INTERIM_MAX + 1);
        assert!(matches!(get(&interim), Err(Breach::Malformed(_))));
        assert_eq!(get(&format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HTTPS_HEAD_BYTES_MAX))), Err(Breach::TooLarge));
        let fields = "X: y\r\n".repeat(HTTPS_FIELDS_MAX + 1);
        assert!(matches!(get(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")), Err(Breach::Malformed(_))));
        assert_eq!(get(""), Err(Breach::CutShort));
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
            let head = if head { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { "" };
            let _ = read(&[head.as_bytes(), &bytes].concat(), Some(50));
        }

        #[test]
        fn chunks_are_put_together(pieces in prop::collection::vec("[a-z\\r\\n]{1,20}", 0..5)) {
            let chunks: String = pieces.iter().map(|piece| format!("{:X}\r\n{piece}\r\n", piece.len())).collect();
            let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n{chunks}0\r\n\r\n");
            prop_assert_eq!(get(&answer), Ok(pieces.concat()));
        }
    }
}
