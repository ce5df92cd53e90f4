//! Reads what a server says, as strictly as the grammar is: anything not known here is a mistake.

use std::collections::BTreeSet;

/// Flags of a message, in lower case.
pub type Flags = BTreeSet<String>;
/// Inclusive ranges, as they were said.
pub type Ranges = Vec<(u32, u32)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    GoOn,
    /// `tag OK|NO|BAD [code] text`
    Done {
        tag: String,
        word: String,
        code: Code,
    },
    /// `* OK|NO|BAD|BYE [code] text`
    Notice {
        word: String,
        code: Code,
    },
    Exists(u32),
    Recent(u32),
    Expunge(u32),
    Vanished {
        earlier: bool,
        uids: Ranges,
    },
    Fetch(Row),
    Flags(Flags),
    Search {
        found: Vec<u32>,
        modseq: Option<u64>,
    },
    Esearch(Esearch),
    Status {
        mailbox: String,
        items: Vec<(String, u64)>,
    },
    List(String),
    /// CAPABILITY, ENABLED, ID, NAMESPACE.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Esearch {
    pub tag: String,
    pub uid: bool,
    pub min: Option<u32>,
    pub max: Option<u32>,
    pub count: Option<u32>,
    pub all: Ranges,
    pub modseq: Option<u64>,
    /// The part as it was asked for, and what is in it.
    pub partial: Option<(String, Ranges)>,
    /// What comes into a result that is kept up to date (`true`), and what leaves it (RFC 5267), in this order.
    pub changes: Vec<(bool, Ranges)>,
}

/// `* number FETCH (...)`
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Row {
    pub number: u32,
    /// UIDFETCH: the number is a UID.
    pub by_uid: bool,
    pub uid: Option<u32>,
    pub flags: Option<Flags>,
    pub modseq: Option<u64>,
    pub bytes: Option<u64>,
    /// What `BODY[...]` brought.
    pub body: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    None,
    HighestModSeq(u64),
    UidValidity(u32),
    UidNext(u32),
    Unseen(u32),
    AppendUid(u32, u32),
    CopyUid(u32, Ranges, Ranges),
    Modified(Ranges),
    PermanentFlags(Flags),
    NoUpdate(String),
    Word(String),
}

/// Takes one whole response from the front of `bytes`; `None`: not all of it is there yet.
pub fn take(bytes: &mut Vec<u8>) -> Result<Option<(Response, String)>, String> {
    let mut end = 0;
    loop {
        let Some(line) = bytes[end..].windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let line_end = end + line;
        match literal(&bytes[end..line_end]) {
            Some(length) => end = line_end + 2 + length,
            None => {
                let whole: Vec<u8> = bytes.drain(..line_end + 2).collect();
                let shown = String::from_utf8_lossy(&whole[..line_end]).into_owned();
                let mut reader = Reader { bytes: &whole[..line_end], at: 0 };
                let response = reader.response().map_err(|why| format!("{why}, in: {shown}"))?;
                return match reader.at == reader.bytes.len() {
                    true => Ok(Some((response, shown))),
                    false => Err(format!("something is left after {}, in: {shown}", reader.at)),
                };
            }
        }
        if end > bytes.len() {
            return Ok(None);
        }
    }
}

/// The length of the literal that this line announces at its end.
fn literal(line: &[u8]) -> Option<usize> {
    let digits = line.strip_suffix(b"}")?;
    let start = digits.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&digits[start + 1..]).ok()?.parse().ok()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn response(&mut self) -> Result<Response, String> {
        if self.skip("+ ") {
            self.rest();
            return Ok(Response::GoOn);
        }
        if !self.skip("* ") {
            let tag = self.word();
            self.need(" ")?;
            let word = self.word();
            self.need(" ")?;
            return match word.as_str() {
                "OK" | "NO" | "BAD" => Ok(Response::Done { tag, word, code: self.code_and_text()? }),
                _ => Err(format!("{word} ends no command")),
            };
        }
        if self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            let number = self.number()?;
            self.need(" ")?;
            return Ok(match self.word().as_str() {
                "EXISTS" => Response::Exists(number),
                "RECENT" => Response::Recent(number),
                "EXPUNGE" if number > 0 => Response::Expunge(number),
                "FETCH" if number > 0 => Response::Fetch(self.row(number, false)?),
                "UIDFETCH" if number > 0 => Response::Fetch(self.row(number, true)?),
                word => return Err(format!("{number} {word}")),
            });
        }
        let word = self.word();
        Ok(match word.as_str() {
            "OK" | "NO" | "BAD" | "BYE" => {
                self.need(" ")?;
                Response::Notice { word, code: self.code_and_text()? }
            }
            "VANISHED" => {
                let earlier = self.skip(" (EARLIER)");
                self.need(" ")?;
                Response::Vanished { earlier, uids: self.ranges()? }
            }
            "FLAGS" => {
                self.need(" ")?;
                Response::Flags(self.flags()?)
            }
            "SEARCH" => self.search()?,
            "ESEARCH" => Response::Esearch(self.esearch()?),
            "STATUS" => self.status()?,
            "LIST" | "LSUB" => Response::List(self.rest()),
            "CAPABILITY" | "ENABLED" | "ID" | "NAMESPACE" => Response::Other(word + &self.rest()),
            _ => return Err(format!("{word:?} is not known")),
        })
    }

    fn row(&mut self, number: u32, by_uid: bool) -> Result<Row, String> {
        let mut row = Row { number, by_uid, ..Row::default() };
        self.need(" (")?;
        loop {
            let twice = match self.until(|byte| b" [)".contains(&byte)).as_str() {
                "UID" => {
                    self.need(" ")?;
                    row.uid.replace(self.number()?).is_some()
                }
                "FLAGS" => {
                    self.need(" ")?;
                    row.flags.replace(self.flags()?).is_some()
                }
                "MODSEQ" => {
                    self.need(" (")?;
                    let twice = row.modseq.replace(self.long()?).is_some();
                    self.need(")")?;
                    twice
                }
                "RFC822.SIZE" => {
                    self.need(" ")?;
                    row.bytes.replace(self.long()?).is_some()
                }
                "BODY" => {
                    self.until(|byte| byte == b']');
                    self.need("] ")?;
                    row.body.replace(self.string()?).is_some()
                }
                other => return Err(format!("item {other:?}")),
            };
            if twice {
                return Err("an item that stands there twice".to_owned());
            }
            if self.skip(")") {
                // RFC 9586: the UID is said before all items.
                row.uid = row.uid.or(by_uid.then_some(number));
                return Ok(row);
            }
            self.need(" ")?;
        }
    }

    fn search(&mut self) -> Result<Response, String> {
        let (mut found, mut modseq) = (Vec::new(), None);
        while self.at < self.bytes.len() {
            if self.skip(" (MODSEQ ") {
                modseq = Some(self.long()?);
                self.need(")")?;
                break;
            }
            self.need(" ")?;
            found.push(self.number()?);
        }
        Ok(Response::Search { found, modseq })
    }

    fn esearch(&mut self) -> Result<Esearch, String> {
        self.need(" (TAG ")?;
        let tag = String::from_utf8_lossy(&self.string()?).into_owned();
        self.need(")")?;
        let mut answer = Esearch { tag, uid: self.skip(" UID"), ..Esearch::default() };
        while self.skip(" ") {
            let word = self.word();
            self.need(" ")?;
            match word.as_str() {
                "MIN" => answer.min = Some(self.number()?),
                "MAX" => answer.max = Some(self.number()?),
                "COUNT" => answer.count = Some(self.number()?),
                "ALL" => answer.all = self.ranges()?,
                "MODSEQ" => answer.modseq = Some(self.long()?),
                "PARTIAL" => {
                    self.need("(")?;
                    let part = self.word();
                    self.need(" ")?;
                    let ranges = if self.skip("NIL") { Ranges::new() } else { self.ranges()? };
                    self.need(")")?;
                    answer.partial = Some((part, ranges));
                }
                "ADDTO" | "REMOVEFROM" => {
                    self.need("(0 ")?;
                    let ranges = self.ranges()?;
                    self.need(")")?;
                    answer.changes.push((word == "ADDTO", ranges));
                }
                _ => return Err(format!("{word} in ESEARCH")),
            }
        }
        Ok(answer)
    }

    fn status(&mut self) -> Result<Response, String> {
        self.need(" ")?;
        let mailbox = self.mailbox()?;
        self.need(" (")?;
        let mut items = Vec::new();
        while !self.skip(")") {
            if !items.is_empty() {
                self.need(" ")?;
            }
            let item = self.word();
            self.need(" ")?;
            items.push((item, self.long()?));
        }
        Ok(Response::Status { mailbox, items })
    }

    fn code_and_text(&mut self) -> Result<Code, String> {
        let code = match self.skip("[") {
            true => self.code()?,
            false => Code::None,
        };
        match self.rest().is_empty() {
            true => Err("no text for people".to_owned()),
            false => Ok(code),
        }
    }

    fn code(&mut self) -> Result<Code, String> {
        let word = self.until(|byte| b" ]".contains(&byte));
        let code = match word.as_str() {
            "HIGHESTMODSEQ" => Code::HighestModSeq(self.after_space(Reader::long)?),
            "UIDVALIDITY" => Code::UidValidity(self.after_space(Reader::number)?),
            "UIDNEXT" => Code::UidNext(self.after_space(Reader::number)?),
            "UNSEEN" => Code::Unseen(self.after_space(Reader::number)?),
            "MODIFIED" => Code::Modified(self.after_space(Reader::ranges)?),
            "PERMANENTFLAGS" => Code::PermanentFlags(self.after_space(Reader::flags)?),
            "NOUPDATE" => {
                self.need(" ")?;
                Code::NoUpdate(String::from_utf8_lossy(&self.string()?).into_owned())
            }
            "APPENDUID" => Code::AppendUid(self.after_space(Reader::number)?, self.after_space(Reader::number)?),
            "COPYUID" => {
                let validity = self.after_space(Reader::number)?;
                Code::CopyUid(validity, self.after_space(Reader::ranges)?, self.after_space(Reader::ranges)?)
            }
            _ => {
                self.until(|byte| byte == b']');
                Code::Word(word)
            }
        };
        self.need("] ")?;
        Ok(code)
    }

    fn after_space<T>(&mut self, read: fn(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.need(" ")?;
        read(self)
    }

    fn flags(&mut self) -> Result<Flags, String> {
        self.need("(")?;
        let mut flags = Flags::new();
        while !self.skip(")") {
            if !flags.is_empty() {
                self.need(" ")?;
            }
            let flag = self.until(|byte| b" ()".contains(&byte)).to_ascii_lowercase();
            if flag.is_empty() || !flags.insert(flag) {
                return Err("a flag that is empty or stands there twice".to_owned());
            }
        }
        Ok(flags)
    }

    fn ranges(&mut self) -> Result<Ranges, String> {
        let mut ranges = Ranges::new();
        loop {
            let first = self.number()?;
            let last = if self.skip(":") { self.number()? } else { first };
            if first == 0 || first > last {
                return Err(format!("a range {first}:{last}"));
            }
            ranges.push((first, last));
            if !self.skip(",") {
                return Ok(ranges);
            }
        }
    }

    fn string(&mut self) -> Result<Vec<u8>, String> {
        if self.skip("\"") {
            let text = self.until(|byte| byte == b'"');
            self.need("\"")?;
            return Ok(text.into_bytes());
        }
        self.need("{")?;
        let length = self.number()? as usize;
        self.need("}\r\n")?;
        let bytes = self.bytes.get(self.at..self.at + length).ok_or("a literal that is too short")?;
        self.at += length;
        Ok(bytes.to_vec())
    }

    fn mailbox(&mut self) -> Result<String, String> {
        match self.bytes.get(self.at) {
            Some(b'"' | b'{') => Ok(String::from_utf8_lossy(&self.string()?).into_owned()),
            _ => Ok(self.word()),
        }
    }

    fn number(&mut self) -> Result<u32, String> {
        u32::try_from(self.long()?).map_err(|_| "a number that is too large".to_owned())
    }

    fn long(&mut self) -> Result<u64, String> {
        let digits = self.until(|byte| !byte.is_ascii_digit());
        match digits.len() > 1 && digits.starts_with('0') {
            true => Err("a number with zeros before it".to_owned()),
            false => digits.parse().map_err(|_| format!("no number at {}", self.at)),
        }
    }

    fn word(&mut self) -> String {
        self.until(|byte| byte == b' ')
    }

    fn until(&mut self, ends: impl Fn(u8) -> bool) -> String {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len());
        self.at += length;
        String::from_utf8_lossy(&rest[..length]).into_owned()
    }

    fn rest(&mut self) -> String {
        self.until(|_| false)
    }

    fn skip(&mut self, text: &str) -> bool {
        let is_there = self.bytes[self.at..].starts_with(text.as_bytes());
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    fn need(&mut self, text: &str) -> Result<(), String> {
        match self.skip(text) {
            true => Ok(()),
            false => Err(format!("{text:?} is missing at {}", self.at)),
        }
    }
}
