//! The hash of a body in its relaxed form (RFC 6376 section 3.4.4).
//!
//! Receives lines, in pieces; hands on SHA-256. White space within a line counts as one space, at its end not at all; empty
//! lines at the end of the body do not count; an empty body is nothing, any other ends with CRLF.

use ring::digest::{self, Context};

/// Bytes that gather before they are hashed: a call for every word would cost more than the hash.
const GATHERED_BYTES: usize = 4096;

/// Takes a body and ends as its hash.
pub(super) struct BodyHash {
    digest: Context,
    gathered: Vec<u8>,
    /// Line ends that count only when a line that is not empty follows.
    line_ends: u64,
    /// White space that counts only when text follows on the same line.
    space: bool,
    /// The body has text.
    begun: bool,
}

impl Default for BodyHash {
    fn default() -> BodyHash {
        let digest = Context::new(&digest::SHA256);
        BodyHash { digest, gathered: Vec::new(), line_ends: 0, space: false, begun: false }
    }
}

impl BodyHash {
    /// Takes text without line ends.
    pub fn push(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(&first) = rest.first() {
            if matches!(first, b' ' | b'\t') {
                self.space = true;
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let (word, from_space) = rest.split_at(memchr::memchr2(b' ', b'\t', rest).unwrap_or(rest.len()));
            for _ in 0..std::mem::take(&mut self.line_ends) {
                self.gather(b"\r\n");
            }
            if std::mem::take(&mut self.space) {
                self.gather(b" ");
            }
            self.gather(word);
            self.begun = true;
            rest = from_space;
        }
    }

    /// A line ends.
    pub fn end_line(&mut self) {
        self.space = false;
        self.line_ends = self.line_ends.saturating_add(1);
    }

    /// Ends the body.
    pub fn finish(mut self) -> [u8; 32] {
        if self.begun {
            self.gather(b"\r\n");
        }
        self.digest.update(&self.gathered);
        let mut hash = [0; 32];
        hash.iter_mut().zip(self.digest.finish().as_ref()).for_each(|(to, from)| *to = *from);
        hash
    }

    fn gather(&mut self, bytes: &[u8]) {
        if self.gathered.len() + bytes.len() > GATHERED_BYTES {
            self.digest.update(&self.gathered);
            self.gathered.clear();
        }
        match bytes.len() > GATHERED_BYTES {
            true => self.digest.update(bytes),
            false => self.gathered.extend_from_slice(bytes),
        }
    }
}
