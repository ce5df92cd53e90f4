//! MIME (RFC 2045, 2046, 2183, 2231): where the parts of a message lie, what they say of themselves, their decoding.
//!
//! Receives the bytes of messages, cut anywhere; hands on offsets, parameters and decoded bytes. Never needs a whole
//! message in memory, never refuses one: what is malformed is read as the common IMAP servers read it.

pub mod content;
pub mod decode;
pub mod encode;
pub mod fact;
pub mod scan;

/// How a body is encoded (RFC 2045 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary, and anything unknown.
    #[default]
    Identity,
    /// `base64`
    Base64,
    /// `quoted-printable`
    QuotedPrintable,
}

impl TransferEncoding {
    /// Whether the token of a Content-Transfer-Encoding field names an encoding that RFC 2045 section 6.1 knows.
    pub fn is_known(token: &[u8]) -> bool {
        [&b"7bit"[..], b"8bit", b"binary", b"base64", b"quoted-printable"]
            .iter()
            .any(|known| token.eq_ignore_ascii_case(known))
    }

    /// The encoding a Content-Transfer-Encoding token names; unknown ones count as identity.
    pub fn named(token: &[u8]) -> TransferEncoding {
        if token.eq_ignore_ascii_case(b"base64") {
            TransferEncoding::Base64
        } else if token.eq_ignore_ascii_case(b"quoted-printable") {
            TransferEncoding::QuotedPrintable
        } else {
            TransferEncoding::Identity
        }
    }
}
