//! Bounds of the web pages that set devices up.

// ---- requests

/// Bytes of the head of a request: a browser's has some hundred, without cookies.
pub const WEB_HEAD_BYTES_MAX: usize = 8 << 10;
/// Bytes of a request line without its end: the longest target that there is has an address in it.
pub const WEB_REQUEST_LINE_BYTES_MAX: usize = 1024;
/// Header fields of a request: browsers send some twenty.
pub const WEB_FIELDS_MAX: usize = 64;
/// Bytes of the content of a request: nobody but Outlook sends any.
pub const WEB_CONTENT_BYTES_MAX: usize = AUTODISCOVER_REQUEST_BYTES_MAX;
/// Seconds for a request to come, from its first byte to its last, however slowly it drips.
pub const WEB_REQUEST_SECONDS_MAX: u64 = 15;
/// Seconds that a connection waits for the first or the next request: a person reads longer, and their browser connects anew.
pub const WEB_IDLE_SECONDS: u64 = 20;
/// Seconds for an answer to be taken: the largest is a page of some 15 KB.
pub const WEB_WRITE_SECONDS: u64 = 30;
/// Requests of one connection. A page and what it leads to are a handful.
pub const WEB_REQUESTS_MAX: u32 = 50;
/// Connections at once; whoever was there longest without a link makes room for others.
pub const WEB_SESSIONS_MAX: usize = 32;
/// Connections at once from one IPv4 address or one IPv6 /64 network: browsers open six.
pub const WEB_SESSIONS_PER_PEER_MAX: usize = 12;

// ---- links

/// Seconds that a link lives, and the page that it opened with it: enough to find the phone and to go through its settings.
pub const WEB_LINK_SECONDS: u64 = 15 * 60;
/// Random bytes of a link: nobody guesses 128 bits, and the QR code stays small.
pub const WEB_LINK_BYTES: usize = 16;
/// Links at once; with one more the oldest ends. One person sets few devices up at a time.
pub const WEB_LINKS_MAX: usize = 8;
/// Wrong links that a network may ask for in [`WEB_WRONG_LINKS_SECONDS`]; then it is not looked at what it asks for. A person
/// who scans an old code again and again has done so.
pub const WEB_WRONG_LINKS_MAX: u32 = 10;
/// Seconds after the last wrong link that was looked at until a network's are forgiven.
pub const WEB_WRONG_LINKS_SECONDS: u64 = 15 * 60;
/// Networks whose wrong links are remembered, about 40 bytes each; the one longest silent is forgotten first.
pub const WEB_WRONG_LINK_NETWORKS_MAX: usize = 512;

// ---- settings for mail programs

/// Bytes of what Outlook posts to ask for settings: it sends some 400; the address may take 320 of more.
pub const AUTODISCOVER_REQUEST_BYTES_MAX: usize = 4096;
/// Elements within elements of such a request: three are needed.
pub const AUTODISCOVER_DEPTH_MAX: usize = 8;
