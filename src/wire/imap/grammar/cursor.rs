//! The tokens of RFC 3501 section 9, read one after the other from a complete command.
//!
//! Always: a token either is read whole or is a [`Trouble`]; nothing is read twice.

use super::super::flag::{Flags, SystemFlags};
use super::super::mailbox::{MailboxName, decode_utf7, normalized, read_as_utf7};
use super::super::out::Dialect;
use super::super::response::Code;
use super::super::sequence::{SequenceNumber, SequenceSet};
use crate::limits::{IMAP_KEYWORD_BYTES_MAX, IMAP_LIST_ITEMS_MAX, IMAP_SET_RANGES_MAX};
use std::borrow::Cow;

/// Why a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// *Theirs*: BAD, with a sentence.
    Bad(&'static str),
    /// *Theirs*: message numbers after ENABLE UIDONLY: BAD `[UIDREQUIRED]` (RFC 9586 section 3).
    UidRequired,
    /// *No*: understood and refused.
    No(Code<'static>, &'static str),
}

pub type Parsed<T> = Result<T, Trouble>;

/// What is left to read of a command. Literals stand in it as they came: `{n}`, CRLF, n bytes.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    /// What the client has enabled for its commands too.
    dialect: Dialect,
}

/// `ATOM-CHAR`: printable ASCII without the atom-specials.
pub fn is_atom_byte(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !b"(){%*\"\\]".contains(&byte)
}

impl<'a> Cursor<'a> {
    /// A command of a client that has enabled nothing.
    pub fn new(command: &'a [u8]) -> Cursor<'a> {
        Cursor::in_dialect(command, Dialect::default())
    }

    pub fn in_dialect(command: &'a [u8], dialect: Dialect) -> Cursor<'a> {
        Cursor { rest: command, dialect }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes one byte if it is this one.
    pub fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    pub fn expect(&mut self, byte: u8, otherwise: &'static str) -> Parsed<()> {
        if self.eat(byte) { Ok(()) } else { Err(Trouble::Bad(otherwise)) }
    }

    pub fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "A space and an argument are missing")
    }

    /// The end of the command. Spaces before it, which some clients leave, are passed over.
    pub fn end(&mut self) -> Parsed<()> {
        while self.eat(b' ') {}
        if self.rest.is_empty() { Ok(()) } else { Err(Trouble::Bad("Too many arguments")) }
    }

    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The longest run of such bytes, maybe empty.
    pub fn run(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|b| !wanted(*b)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(length);
        self.rest = rest;
        run
    }

    pub fn atom(&mut self) -> Parsed<&'a str> {
        let atom = self.run(is_atom_byte);
        match std::str::from_utf8(atom) {
            Ok(atom) if !atom.is_empty() => Ok(atom),
            _ => Err(Trouble::Bad("An atom is missing")),
        }
    }

    /// A word of the protocol in capitals: letters, digits and `. - _ =` (names of commands, items, keys).
    pub fn word(&mut self) -> String {
        let word = self.run(|b| b.is_ascii_alphanumeric() || b".-_=".contains(&b));
        String::from_utf8_lossy(word).to_ascii_uppercase()
    }

    /// Takes the next word if it is this one, given in capitals.
    pub fn eat_word(&mut self, wanted: &str) -> bool {
        let mut ahead = *self;
        let same = ahead.word() == wanted;
        if same {
            *self = ahead;
        }
        same
    }

    /// `astring`: an atom (in which `]` is allowed), a quoted string or a literal.
    pub fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string();
        }
        match self.run(|b| is_atom_byte(b) || b == b']') {
            [] => Err(Trouble::Bad("A string is missing")),
            atom => Ok(Cow::Borrowed(atom)),
        }
    }

    /// `string`: quoted or literal.
    pub fn string(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => Err(Trouble::Bad("A quoted string or literal is missing")),
        }
    }

    /// `nstring`.
    pub fn nstring(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string().map(Some);
        }
        match self.atom()?.eq_ignore_ascii_case("NIL") {
            true => Ok(None),
            false => Err(Trouble::Bad("A string or NIL is missing")),
        }
    }

    /// `quoted`. Bytes above 127 are let through: clients send UTF-8 in search strings without having enabled it. Whoever has
    /// must keep to it (RFC 6855 section 3).
    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        let text = self.quoted_bytes()?;
        match self.dialect.utf8 && std::str::from_utf8(&text).is_err() {
            true => Err(Trouble::Bad("A quoted string is not UTF-8")),
            false => Ok(text),
        }
    }

    fn quoted_bytes(&mut self) -> Parsed<Cow<'a, [u8]>> {
        const BAD: Trouble = Trouble::Bad("A quoted string is broken");
        self.expect(b'"', "A quoted string is missing")?;
        let plain = |b| !matches!(b, b'"' | b'\\' | b'\r' | b'\n' | 0);
        let first = self.run(plain);
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(first));
        }
        let mut text = first.to_vec();
        while self.eat(b'\\') {
            match self.peek() {
                Some(byte @ (b'"' | b'\\')) => {
                    self.eat(byte);
                    text.push(byte);
                }
                _ => return Err(BAD),
            }
            text.extend_from_slice(self.run(plain));
        }
        self.expect(b'"', "A quoted string does not end")?;
        Ok(Cow::Owned(text))
    }

    /// `nstring / literal8` (RFC 5464 section 5): what may have any octets in it.
    pub fn value(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if self.eat(b'~') {
            return self.octets().map(|octets| Some(Cow::Borrowed(octets)));
        }
        self.nstring()
    }

    fn literal(&mut self) -> Parsed<&'a [u8]> {
        let text = self.octets()?;
        // CHAR8: a literal may hold anything but NUL (RFC 3501 section 4.3).
        if text.contains(&0) { Err(Trouble::Bad("A literal has a NUL")) } else { Ok(text) }
    }

    fn octets(&mut self) -> Parsed<&'a [u8]> {
        const BAD: Trouble = Trouble::Bad("A literal is broken");
        self.expect(b'{', "A literal is missing")?;
        let length = usize::try_from(self.number64()?).map_err(|_| BAD)?;
        self.eat(b'+');
        self.rest = self.rest.strip_prefix(b"}\r\n").ok_or(BAD)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(BAD)?;
        self.rest = rest;
        Ok(text)
    }

    /// An `astring` that must be UTF-8.
    pub fn text(&mut self) -> Parsed<String> {
        utf8(self.astring()?)
    }

    /// `number64` of at most 63 bits.
    pub fn number64(&mut self) -> Parsed<u64> {
        const BAD: Trouble = Trouble::Bad("A number is missing or too large");
        let digits = std::str::from_utf8(self.run(|b| b.is_ascii_digit())).map_err(|_| BAD)?;
        digits.parse::<u64>().ok().filter(|n| *n <= i64::MAX as u64).ok_or(BAD)
    }

    /// `number`.
    pub fn number(&mut self) -> Parsed<u32> {
        u32::try_from(self.number64()?).map_err(|_| Trouble::Bad("A number is too large"))
    }

    /// `nz-number`.
    pub fn nz_number(&mut self) -> Parsed<u32> {
        self.number().and_then(|n| if n > 0 { Ok(n) } else { Err(Trouble::Bad("A number must not be 0")) })
    }

    /// `(` items parted by spaces `)`; at most [`IMAP_LIST_ITEMS_MAX`].
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Cursor<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect(b'(', "A parenthesis is missing")?;
        let mut items = Vec::new();
        if self.eat(b')') {
            return Ok(items);
        }
        loop {
            if items.len() >= IMAP_LIST_ITEMS_MAX {
                return Err(Trouble::No(Code::Limit, "Too many items in a list"));
            }
            items.push(item(self)?);
            if self.eat(b')') {
                return Ok(items);
            }
            self.expect(b' ', "A closing parenthesis is missing")?;
        }
    }

    /// `mailbox`: in modified UTF-7, or in UTF-8 by a client that has enabled it (RFC 9051 section 5.1, RFC 6855 section 3).
    pub fn mailbox(&mut self) -> Parsed<MailboxName> {
        let wire = self.astring()?;
        let name = match self.dialect.utf8 {
            true => MailboxName::new(&self.name_in_utf8(wire)?),
            false => MailboxName::decode(&wire),
        };
        name.map_err(|bad| Trouble::No(Code::Cannot, bad.0))
    }

    /// A name or pattern of a client that has enabled UTF-8.
    fn name_in_utf8(&self, wire: Cow<'_, [u8]>) -> Parsed<String> {
        let text = utf8(wire)?;
        let decoded = if self.dialect.utf7_too { read_as_utf7(&text) } else { None };
        Ok(decoded.unwrap_or(text))
    }

    /// `mailbox` of CREATE and RENAME.
    pub fn new_mailbox(&mut self) -> Parsed<MailboxName> {
        self.mailbox()?.to_create().map_err(|bad| Trouble::No(Code::Cannot, bad.0))
    }

    /// `list-mailbox`, or the reference before it: a pattern as UTF-8, maybe empty.
    pub fn pattern(&mut self) -> Parsed<String> {
        let wire = match self.peek() {
            Some(b'"' | b'{') => self.string()?,
            _ => match self.run(|b| is_atom_byte(b) || b"]%*".contains(&b)) {
                [] => return Err(Trouble::Bad("A mailbox pattern is missing")),
                pattern => Cow::Borrowed(pattern),
            },
        };
        if wire.len() > crate::limits::IMAP_MAILBOX_NAME_BYTES_MAX {
            return Err(Trouble::No(Code::Limit, "Mailbox pattern is too long"));
        }
        let pattern = match self.dialect.utf8 {
            true => self.name_in_utf8(wire)?,
            false => decode_utf7(&wire).map_err(|bad| Trouble::No(Code::Cannot, bad.0))?,
        };
        Ok(normalized(&pattern).into_owned())
    }

    /// `sequence-set`. Ranges of plain numbers that touch are joined as they are read.
    pub fn sequence_set(&mut self) -> Parsed<SequenceSet> {
        let mut set = SequenceSet::default();
        loop {
            match self.eat(b'$') {
                true => set.saved = true,
                false => self.sequence_range(&mut set.ranges)?,
            }
            if !self.eat(b',') {
                return Ok(set);
            }
        }
    }

    fn sequence_range(&mut self, ranges: &mut Vec<(SequenceNumber, SequenceNumber)>) -> Parsed<()> {
        let first = self.sequence_number()?;
        let last = if self.eat(b':') { self.sequence_number()? } else { first };
        match (ranges.last(), first, last) {
            (
                Some((SequenceNumber::Number(start), SequenceNumber::Number(end))),
                SequenceNumber::Number(first),
                SequenceNumber::Number(next),
            ) if start <= end && first <= next && end.checked_add(1) == Some(first) => {
                let start = *start;
                ranges.pop();
                ranges.push((SequenceNumber::Number(start), last));
            }
            _ => ranges.push((first, last)),
        }
        match ranges.len() > IMAP_SET_RANGES_MAX {
            true => Err(Trouble::No(Code::Limit, "Too many ranges in a sequence set")),
            false => Ok(()),
        }
    }

    pub fn sequence_number(&mut self) -> Parsed<SequenceNumber> {
        if self.eat(b'*') {
            return Ok(SequenceNumber::Largest);
        }
        match self.peek() {
            Some(b'0'..=b'9') => self.nz_number().map(SequenceNumber::Number),
            _ => Err(Trouble::Bad("A message set is missing or broken")),
        }
    }

    /// A `sequence-set` without `*` and `$`, as QRESYNC wants it (RFC 7162 section 7).
    pub fn known_set(&mut self) -> Parsed<SequenceSet> {
        let set = self.sequence_set()?;
        if set.saved {
            return Err(Trouble::Bad("$ is not allowed here"));
        }
        let plain = |(one, other): &(SequenceNumber, SequenceNumber)| {
            !matches!(one, SequenceNumber::Largest) && !matches!(other, SequenceNumber::Largest)
        };
        if set.ranges.iter().all(plain) { Ok(set) } else { Err(Trouble::Bad("* is not allowed here")) }
    }

    /// `flag-list`, or the flags of STORE without parentheses.
    pub fn flags(&mut self) -> Parsed<Flags> {
        let mut flags = Flags::default();
        if self.peek() == Some(b'(') {
            self.list(|cursor| cursor.flag(&mut flags))?;
            return Ok(flags);
        }
        self.flag(&mut flags)?;
        while self.rest.first() == Some(&b' ') && self.rest.get(1).is_some_and(|b| *b != b' ') {
            self.eat(b' ');
            self.flag(&mut flags)?;
        }
        Ok(flags)
    }

    /// One flag. `\Recent` is dropped: clients hand back what FETCH gave them, and only the server sets it.
    fn flag(&mut self, flags: &mut Flags) -> Parsed<()> {
        if self.eat(b'\\') {
            let name = self.atom()?;
            if name.eq_ignore_ascii_case("Recent") {
                return Ok(());
            }
            let known = SystemFlags::ALL.iter().find(|(_, known)| {
                known.as_bytes().get(1..).is_some_and(|known| known.eq_ignore_ascii_case(name.as_bytes()))
            });
            let (flag, _) = known.ok_or(Trouble::Bad("Unknown system flag"))?;
            flags.system = flags.system.union(*flag);
            return Ok(());
        }
        let keyword = self.keyword()?;
        if !flags.keywords.iter().any(|known| known.eq_ignore_ascii_case(keyword)) {
            if flags.keywords.len() >= IMAP_LIST_ITEMS_MAX {
                return Err(Trouble::No(Code::Limit, "Too many keywords"));
            }
            flags.keywords.push(keyword.to_owned());
        }
        Ok(())
    }

    /// `flag-keyword`.
    pub fn keyword(&mut self) -> Parsed<&'a str> {
        let keyword = self.atom()?;
        match keyword.len() <= IMAP_KEYWORD_BYTES_MAX {
            true => Ok(keyword),
            false => Err(Trouble::No(Code::Limit, "Keyword is too long")),
        }
    }
}

/// Bytes that must be UTF-8.
pub fn utf8(bytes: Cow<'_, [u8]>) -> Parsed<String> {
    String::from_utf8(bytes.into_owned()).map_err(|_| Trouble::Bad("A string is not UTF-8"))
}
