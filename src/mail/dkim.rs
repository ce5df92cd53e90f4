//! DKIM signatures of what goes out (RFC 6376): relaxed/relaxed, SHA-256, RSA and Ed25519 (RFC 8463).
//!
//! Receives a message in pieces of any size and the node's keys; hands on the header fields that go ahead of the message. What
//! is hashed is the form that leaves over the wire, where every stray CR or LF is a CRLF: see
//! [`crate::wire::smtp::client`]. Not here: who may sign what, and when. What always holds: a message without exactly one From
//! field gets no signature, the fields that readers see cannot be added to without breaking it, and no part of the body is left
//! out (no `l=`).

mod body;
mod header;
mod key;
#[cfg(test)]
mod tests;

pub use key::{Algorithm, Key};

use crate::limits::*;
use crate::wire::address::Domain;
use crate::wire::date::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use body::BodyHash;
use header::{SignedFields, write_relaxed};
use ring::rand::SecureRandom;

/// Takes a message, header and body, and ends as what signatures are made of.
#[derive(Default)]
pub struct Hasher {
    /// The header block so far; `None` behind it.
    header: Stage,
    body: BodyHash,
    /// The last byte was CR, whose line end is still to be counted.
    after_cr: bool,
}

enum Stage {
    Header(Vec<u8>),
    Body(SignedFields),
    /// There is nothing to sign.
    Unfit,
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::Header(Vec::new())
    }
}

impl Hasher {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_cr) {
                self.end_line();
                if first == b'\n' {
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
            }
            let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            let (text, from_end) = rest.split_at(end);
            self.take_text(text);
            match from_end.first() {
                Some(b'\r') => self.after_cr = true,
                Some(_) => self.end_line(),
                None => {}
            }
            rest = from_end.get(1..).unwrap_or_default();
        }
    }

    fn take_text(&mut self, text: &[u8]) {
        match &mut self.header {
            Stage::Header(header) if header.len() + text.len() > DKIM_HEADER_BYTES_MAX => self.header = Stage::Unfit,
            Stage::Header(header) => header.extend_from_slice(text),
            Stage::Body(_) => self.body.push(text),
            Stage::Unfit => {}
        }
    }

    fn end_line(&mut self) {
        match &mut self.header {
            Stage::Header(header) if header.is_empty() || header.ends_with(b"\r\n") => {
                self.header = SignedFields::choose(header).map_or(Stage::Unfit, Stage::Body);
            }
            Stage::Header(header) => header.extend_from_slice(b"\r\n"),
            Stage::Body(_) => self.body.end_line(),
            Stage::Unfit => {}
        }
    }

    /// Ends the message. `None`: it cannot be signed, because it has not exactly one author field, more fields than
    /// [`DKIM_FIELDS_MAX`] of what is signed, or a header of more than [`DKIM_HEADER_BYTES_MAX`].
    pub fn finish(mut self) -> Option<Digest> {
        if self.after_cr {
            self.end_line();
        }
        let fields = match self.header {
            Stage::Body(fields) => fields,
            // A last line without an end gets one, and there is no body.
            Stage::Header(mut header) => {
                if !header.ends_with(b"\r\n") {
                    header.extend_from_slice(b"\r\n");
                }
                SignedFields::choose(&header)?
            }
            Stage::Unfit => return None,
        };
        Some(Digest { fields, body: self.body.finish() })
    }
}

/// What is signed of one message.
pub struct Digest {
    fields: SignedFields,
    /// SHA-256 of the body.
    body: [u8; 32],
}

impl Digest {
    /// The domain of the (first) author.
    pub fn author(&self) -> &Domain {
        &self.fields.author
    }

    /// One signature: a header field in lines below 78 columns where its words allow that, with its line end. `domain` answers
    /// for the message (`d=`); `at`: the time, when it is known. `None`: the key failed.
    pub fn sign(
        &self,
        domain: &Domain,
        key: &Key,
        at: Option<Timestamp>,
        random: &dyn SecureRandom,
    ) -> Option<Vec<u8>> {
        let mut field = Folding::default();
        field.text.push_str("DKIM-Signature: v=1;");
        field.column = field.text.len();
        field.word(&format!("a={};", key.algorithm().tag()));
        field.word("c=relaxed/relaxed;");
        field.word(&format!("d={domain};"));
        field.line(&format!("s={};", key.selector()));
        if let Some(at) = at.filter(|at| at.seconds() > 0) {
            field.word(&format!("t={};", at.seconds()));
        }
        let mut before = "h=";
        for name in &self.fields.names {
            match before {
                "h=" => field.line(&format!("h={name}")),
                _ => field.glue(&format!(":{name}")),
            }
            before = ":";
        }
        field.glue(";");
        field.line(&format!("bh={};", STANDARD.encode(self.body)));
        field.line("b=");
        // RFC 6376 section 3.7: this field too, with an empty signature and without its line end.
        let mut signed = Vec::with_capacity(self.fields.canonical.len() + field.text.len());
        signed.extend_from_slice(&self.fields.canonical);
        write_relaxed(field.text.as_bytes(), &mut signed);
        let signed = signed.strip_suffix(b"\r\n").unwrap_or(&signed);
        let signature = STANDARD.encode(key.sign(signed, random)?);
        signature.as_bytes().chunks(SIGNATURE_PIECE_BYTES).for_each(|piece| {
            field.glue(&String::from_utf8_lossy(piece));
        });
        field.text.push_str("\r\n");
        Some(field.text.into_bytes())
    }
}

/// Columns of a line, below the 78 of RFC 5322 section 2.1.1: some servers count generously.
const COLUMNS_MAX: usize = 74;
/// Letters of the signature that stay together.
const SIGNATURE_PIECE_BYTES: usize = 8;

/// A field that is folded as it is written.
#[derive(Default)]
struct Folding {
    text: String,
    column: usize,
}

impl Folding {
    /// Adds a word, behind a space or on a new line.
    fn word(&mut self, word: &str) {
        let between = if self.column + 1 + word.len() > COLUMNS_MAX { "\r\n " } else { " " };
        self.add(between, word);
    }

    /// Adds a word on a new line.
    fn line(&mut self, word: &str) {
        self.add("\r\n ", word);
    }

    /// Adds what belongs to the word before, on a new line if need be.
    fn glue(&mut self, piece: &str) {
        let between = if self.column + piece.len() > COLUMNS_MAX { "\r\n " } else { "" };
        self.add(between, piece);
    }

    fn add(&mut self, between: &str, text: &str) {
        self.column = if between.len() > 1 { 1 } else { self.column + between.len() } + text.len();
        self.text.push_str(between);
        self.text.push_str(text);
    }
}
