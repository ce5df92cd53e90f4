//! HTTP/1.1 (RFC 9110, RFC 9112): what a client asks and is answered.
//!
//! Receives bytes however they are cut; hands on what they mean, and bytes again. Heads are read by the `httparse` crate.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`client`] | asks one thing of another server and reads the answer |
//! | [`request`] | reads what is asked of us, and refuses all that two readers could understand in two ways |
//! | [`answer`] | writes what we answer |

pub mod answer;
pub mod client;
pub mod request;

/// What became of a request, as far as we ever say (RFC 9110 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Here it is.
    Ok,
    /// It is there instead.
    SeeOther,
    /// It is no request, or could be read in two ways.
    BadRequest,
    /// There is nothing.
    NotFound,
    /// Not by this method.
    MethodNotAllowed,
    /// It took too long to come.
    RequestTimeout,
    /// It was there once.
    Gone,
    /// It has content and does not say first how much.
    LengthRequired,
    /// It has more content than is taken.
    ContentTooLarge,
    /// Its target is too long.
    UriTooLong,
    /// It expects what is not done.
    ExpectationFailed,
    /// It is for another server.
    MisdirectedRequest,
    /// Too many were wrong.
    TooManyRequests,
    /// Its head is too long.
    HeaderFieldsTooLarge,
    /// The trouble is ours.
    InternalServerError,
    /// Nobody here knows this method or coding.
    NotImplemented,
    /// Not now.
    ServiceUnavailable,
    /// It is another HTTP.
    VersionNotSupported,
}

impl Status {
    /// Code and reason.
    pub fn line(self) -> (u16, &'static str) {
        match self {
            Status::Ok => (200, "OK"),
            Status::SeeOther => (303, "See Other"),
            Status::BadRequest => (400, "Bad Request"),
            Status::NotFound => (404, "Not Found"),
            Status::MethodNotAllowed => (405, "Method Not Allowed"),
            Status::RequestTimeout => (408, "Request Timeout"),
            Status::Gone => (410, "Gone"),
            Status::LengthRequired => (411, "Length Required"),
            Status::ContentTooLarge => (413, "Content Too Large"),
            Status::UriTooLong => (414, "URI Too Long"),
            Status::ExpectationFailed => (417, "Expectation Failed"),
            Status::MisdirectedRequest => (421, "Misdirected Request"),
            Status::TooManyRequests => (429, "Too Many Requests"),
            Status::HeaderFieldsTooLarge => (431, "Request Header Fields Too Large"),
            Status::InternalServerError => (500, "Internal Server Error"),
            Status::NotImplemented => (501, "Not Implemented"),
            Status::ServiceUnavailable => (503, "Service Unavailable"),
            Status::VersionNotSupported => (505, "HTTP Version Not Supported"),
        }
    }
}
