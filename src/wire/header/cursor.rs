//! The words that structured fields are made of: atoms, quoted strings, tokens, comments (RFC 5322 section 3.2,
//! RFC 2045 section 5.1), read leniently.
//!
//! Every step answers whether more follows, or that it met something broken; after either the cursor stands behind what
//! it could read. Nothing recurses, so nesting costs nothing.

/// What was being read is not well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// `Ok(true)`: read, and more follows. `Ok(false)`: read, and the value ends here.
pub type Step = Result<bool, Broken>;

/// Reads a field's value from left to right.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    /// The last comment passed over, without its outer parentheses; empty if it was never closed. A slice, because the
    /// cursor is copied wherever something else may have to be tried.
    comment: &'a [u8],
}

/// `atext` of RFC 5322 section 3.2.3, and everything outside ASCII.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// A character of `token` of RFC 2045 section 5.1, and everything outside ASCII.
fn is_token(byte: u8) -> bool {
    byte == b'.' || is_atext(byte) && !b"/?=".contains(&byte)
}

impl<'a> Cursor<'a> {
    /// Stands at the start of a value.
    pub fn new(value: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: value, comment: b"" }
    }

    /// The next byte.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Passes over the next byte if it is this one.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.skip();
        }
        found
    }

    /// Passes over one byte, whatever it is.
    pub fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// Passes over white space and comments (`CFWS`).
    pub fn space(&mut self) -> Step {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.skip(),
                b'(' => self.pass_comment()?,
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Takes the text of the last comment passed over, with quoted pairs undone.
    pub fn take_comment(&mut self) -> Vec<u8> {
        let mut escaped = false;
        let plain = |byte: &&u8| {
            escaped = **byte == b'\\' && !escaped;
            !escaped
        };
        std::mem::take(&mut self.comment).iter().filter(plain).copied().collect()
    }

    fn pass_comment(&mut self) -> Result<(), Broken> {
        self.skip();
        let (mut depth, mut escaped) = (1usize, false);
        let end = self.rest.iter().position(|&byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let (comment, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.comment = if end.is_some() { comment } else { b"" };
        self.rest = rest.get(1..).unwrap_or_default();
        end.map(|_| ()).ok_or(Broken)
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool, out: &mut Vec<u8>) -> usize {
        let end = self.rest.iter().position(|&byte| !belongs(byte)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        out.extend_from_slice(run);
        self.rest = rest;
        end
    }

    /// `atom`, and the space after it. At least one character.
    pub fn atom(&mut self, out: &mut Vec<u8>) -> Step {
        if self.run(is_atext, out) == 0 {
            return Err(Broken);
        }
        self.space()
    }

    /// `dot-atom`, with the space around dots that RFC 822 allowed, and the space after it.
    pub fn dot_atom(&mut self, out: &mut Vec<u8>) -> Step {
        if !self.peek().is_some_and(is_atext) {
            return Err(Broken);
        }
        loop {
            self.run(is_atext, out);
            if !self.space()? || self.peek() != Some(b'.') {
                return Ok(self.peek().is_some());
            }
            self.skip();
            out.push(b'.');
            if !self.space()? {
                return Ok(false);
            }
        }
    }

    /// `token` of MIME, possibly empty, and the space after it.
    pub fn token(&mut self, out: &mut Vec<u8>) -> Step {
        self.run(is_token, out);
        self.space()
    }

    /// `quoted-string` without its quotes, unescaped and unfolded, and the space after it. Without a closing quote
    /// nothing is appended that was not closed by a line end or an escape.
    pub fn quoted_string(&mut self, out: &mut Vec<u8>) -> Step {
        self.skip();
        let mut open = Vec::new();
        while let Some(byte) = self.peek() {
            self.skip();
            match byte {
                b'"' => {
                    out.append(&mut open);
                    return self.space();
                }
                b'\n' => {
                    open.pop_if(|last| *last == b'\r');
                }
                b'\\' => {
                    open.push(self.peek().ok_or(Broken)?);
                    self.skip();
                }
                _ => open.push(byte),
            }
        }
        Err(Broken)
    }

    /// `phrase`: atoms, dots and quoted strings joined by single spaces, and the space after it.
    pub fn phrase(&mut self, out: &mut Vec<u8>) -> Step {
        match self.peek() {
            None => return Ok(false),
            Some(b'.') => return Err(Broken),
            Some(_) => {}
        }
        loop {
            let more = if self.peek() == Some(b'"') {
                self.quoted_string(out)?
            } else {
                self.run(|byte| is_atext(byte) || byte == b'.', out);
                self.space()?
            };
            if !more {
                return Ok(false);
            }
            if !self.peek().is_some_and(|byte| is_atext(byte) || byte == b'"' || byte == b'.') {
                return Ok(true);
            }
            out.push(b' ');
        }
    }

    /// The `domain` after an `@` (which is passed over), or a domain literal with its brackets.
    pub fn domain(&mut self, out: &mut Vec<u8>) -> Step {
        self.skip();
        if !self.space()? {
            return Err(Broken);
        }
        if self.peek() != Some(b'[') {
            return self.dot_atom(out);
        }
        let mut escaped = false;
        let end = self.rest.iter().position(|&byte| {
            let closes = byte == b']' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        let (literal, rest) = self.rest.split_at(end.ok_or(Broken)? + 1);
        out.extend_from_slice(literal);
        self.rest = rest;
        self.space()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, what: impl Fn(&mut Cursor, &mut Vec<u8>) -> Step) -> (Step, String, String) {
        let mut cursor = Cursor::new(text.as_bytes());
        let mut out = Vec::new();
        let step = what(&mut cursor, &mut out);
        (step, String::from_utf8(out).unwrap(), String::from_utf8(cursor.rest.to_vec()).unwrap())
    }

    fn is(step: Step, out: &str, rest: &str) -> (Step, String, String) {
        (step, out.to_owned(), rest.to_owned())
    }

    #[test]
    fn words_and_what_follows_them() {
        assert_eq!(read("joe (x (y) \\) z) <", |c, out| c.atom(out)), is(Ok(true), "joe", "<"));
        assert_eq!(read("a . b.c ", |c, out| c.dot_atom(out)), is(Ok(false), "a.b.c", ""));
        assert_eq!(read("a. @", |c, out| c.dot_atom(out)), is(Ok(true), "a.", "@"));
        assert_eq!(read("\"a \\\"b\\\"\r\n c\" ,", |c, out| c.quoted_string(out)), is(Ok(true), "a \"b\" c", ","));
        assert_eq!(read("\"a", |c, out| c.quoted_string(out)), is(Err(Broken), "", ""));
        assert_eq!(read("J. \"Q.\"  Public <", |c, out| c.phrase(out)), is(Ok(true), "J. Q. Public", "<"));
        assert_eq!(read("@ [1.2.3.4] >", |c, out| c.domain(out)), is(Ok(true), "[1.2.3.4]", ">"));
        assert_eq!(read("@[1.2", |c, out| c.domain(out)), is(Err(Broken), "", "[1.2"));
        assert_eq!(read("text/plain", |c, out| c.token(out)), is(Ok(true), "text", "/plain"));
        assert_eq!(read("(never closed", |c, _| c.space()), is(Err(Broken), "", ""));
        let deep = "(".repeat(100_000);
        assert_eq!(read(&deep, |c, _| c.space()).0, Err(Broken));
    }
}
