//! APPEND and REPLACE: what stands around the bytes of their messages (RFC 4466 section 6, RFC 3502, RFC 4469, RFC 8508).
//!
//! Such a command is longer than memory: between one literal and the next stands one line, which is read here into
//! [`Piece`]s. A [`Place`] remembers where in the command the line begins.

use super::super::command::{Append, AppendMessage, Replaced, Tag};
use super::super::flag::Flags;
use super::super::framing::Announced;
use super::super::response::Code;
use super::Verb;
use super::cursor::{Cursor, Parsed, Trouble};
use crate::limits::IMAP_CATENATE_PARTS_MAX;
use crate::wire::date::{Timestamp, parse_internal_date};

/// What one line says, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A message begins. If its size is known its bytes follow, else its parts.
    Message(AppendMessage),
    /// CATENATE: a part of this many bytes that the client sends.
    Text(u64),
    /// CATENATE: a part that is here already.
    Url(String),
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// With the command.
    Command,
    /// With the literal of the last piece.
    Piece,
    /// With a literal that is a string and belongs to the line: read it again once that is there.
    Line,
}

/// Where in a command a line begins.
#[derive(Clone, Debug)]
pub struct Place {
    at: At,
    messages: u32,
    /// REPLACE takes one message (RFC 8508 section 4.7).
    one_only: bool,
    /// Largest message in bytes.
    bytes_max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Behind the mailbox or a message.
    Message,
    /// Inside the parentheses of CATENATE, before a part.
    Part,
    /// Behind a part.
    AfterPart,
    /// Behind the literal of `UTF8 (`: a message, or a part (RFC 6855 section 4).
    InUtf8 { part: bool },
}

impl Place {
    /// Behind the mailbox.
    pub fn new(append: &Append, bytes_max: u64) -> Place {
        Place { at: At::Message, messages: 0, one_only: append.replaced.is_some(), bytes_max }
    }
}

/// Whether such a command begins: REPLACE also behind UID, which is then passed over.
pub fn append_verb(verb: Verb, cursor: &mut Cursor<'_>) -> Option<(Verb, bool)> {
    let mut ahead = *cursor;
    match verb {
        Verb::Append | Verb::Replace => Some((verb, false)),
        Verb::Uid if ahead.eat(b' ') && ahead.eat_word("REPLACE") => {
            *cursor = ahead;
            Some((Verb::Replace, true))
        }
        _ => None,
    }
}

/// `SP mailbox`, for REPLACE `SP seq-number SP mailbox`. `None`: the mailbox is the literal at the end of the line.
pub fn append_head(verb: Verb, uid: bool, cursor: &mut Cursor<'_>, tag: &Tag) -> Parsed<Option<Append>> {
    cursor.space()?;
    let mut replaced = None;
    if verb == Verb::Replace {
        if cursor.dialect().uid_only && !uid {
            return Err(Trouble::UidRequired);
        }
        replaced = Some(Replaced { uid, message: cursor.sequence_number()? });
        cursor.space()?;
    }
    if cursor.is_at_end() {
        return Ok(None);
    }
    Ok(Some(Append { tag: tag.clone(), mailbox: cursor.mailbox()?, replaced }))
}

/// Reads a line, cut off before the literal announced at its end.
pub fn append_pieces(
    cursor: &mut Cursor<'_>,
    place: &mut Place,
    announced: Option<Announced>,
) -> Parsed<(Vec<Piece>, Ends)> {
    let mut pieces = Vec::new();
    loop {
        if pieces.len() > IMAP_CATENATE_PARTS_MAX {
            return Err(Trouble::No(Code::Limit, "Too many parts in a line"));
        }
        match place.at {
            At::Message if announced.is_none() && place.messages > 0 && cursor.end().is_ok() => {
                return Ok((pieces, Ends::Command));
            }
            At::Message => {
                let message = message(cursor, place, announced)?;
                let ends = message.bytes.is_some();
                pieces.push(Piece::Message(message));
                if ends {
                    return Ok((pieces, Ends::Piece));
                }
            }
            At::Part => match part(cursor, place, announced)? {
                None => return Ok((pieces, Ends::Line)),
                Some(part) => {
                    let ends = matches!(part, Piece::Text(_));
                    pieces.push(part);
                    if ends {
                        return Ok((pieces, Ends::Piece));
                    }
                }
            },
            At::InUtf8 { part } => {
                cursor.expect(b')', "A closing parenthesis is missing")?;
                place.at = if part { At::AfterPart } else { At::Message };
            }
            At::AfterPart if cursor.eat(b')') => place.at = At::Message,
            At::AfterPart => {
                cursor.expect(b' ', "A closing parenthesis is missing")?;
                place.at = At::Part;
            }
        }
    }
}

/// `[SP flag-list] [SP date-time] SP (literal / literal8 / utf8-literal / "CATENATE" SP "(")`.
fn message(cursor: &mut Cursor<'_>, place: &mut Place, announced: Option<Announced>) -> Parsed<AppendMessage> {
    if place.one_only && place.messages > 0 {
        return Err(Trouble::Bad("REPLACE takes one message"));
    }
    place.messages += 1;
    if cursor.is_at_end() {
        return Err(Trouble::Bad("A message is missing"));
    }
    cursor.space()?;
    let mut message = AppendMessage { flags: Flags::default(), date: None, bytes: None };
    if cursor.peek() == Some(b'(') {
        message.flags = cursor.flags()?;
        cursor.space()?;
    }
    if cursor.peek() == Some(b'"') {
        let date = parse_internal_date(&cursor.string()?).ok_or(Trouble::Bad("The date-time is not valid"))?;
        message.date = Some(Timestamp(date.seconds.saturating_mul(1000)));
        cursor.space()?;
    }
    if cursor.eat_word("CATENATE") {
        cursor.space()?;
        cursor.expect(b'(', "CATENATE needs a list")?;
        place.at = At::Part;
        return Ok(message);
    }
    if cursor.eat_word("UTF8") {
        utf8_literal(cursor)?;
        place.at = At::InUtf8 { part: false };
    }
    match announced {
        Some(literal) if cursor.is_at_end() => {
            // RFC 3502 section 6.3.11: so a client can give up what it has begun.
            if literal.bytes == 0 {
                return Err(Trouble::No(Code::Cannot, "The message is empty"));
            }
            message.bytes = Some(within(literal, place)?);
            Ok(message)
        }
        _ => Err(Trouble::Bad("A message is a literal or CATENATE, behind its flags and its date-time")),
    }
}

/// `"UTF8" SP "("`, in front of a literal (RFC 6855 section 4).
fn utf8_literal(cursor: &mut Cursor<'_>) -> Parsed<()> {
    if !cursor.dialect().no_charset {
        return Err(Trouble::Bad("UTF8 needs ENABLE UTF8=ACCEPT"));
    }
    cursor.space()?;
    cursor.expect(b'(', "UTF8 needs a literal in parentheses")
}

/// `"TEXT" SP literal`, `"UTF8" SP "(" literal8 ")"` or `"URL" SP astring`. `None`: the URL is the literal.
fn part(cursor: &mut Cursor<'_>, place: &mut Place, announced: Option<Announced>) -> Parsed<Option<Piece>> {
    let word = cursor.word();
    if word == "UTF8" {
        utf8_literal(cursor)?;
        return match announced {
            Some(literal) if cursor.is_at_end() => {
                place.at = At::InUtf8 { part: true };
                Ok(Some(Piece::Text(within(literal, place)?)))
            }
            _ => Err(Trouble::Bad("UTF8 needs a literal in parentheses")),
        };
    }
    cursor.space()?;
    let part = match (&word[..], announced) {
        ("TEXT", Some(literal)) if cursor.is_at_end() => Piece::Text(within(literal, place)?),
        ("URL", Some(_)) if cursor.is_at_end() => return Ok(None),
        ("URL", _) => Piece::Url(cursor.text()?),
        _ => return Err(Trouble::Bad("CATENATE takes URL and TEXT")),
    };
    place.at = At::AfterPart;
    Ok(Some(part))
}

/// The size of a literal that is not larger than a message may be (RFC 7889 section 4).
fn within(literal: Announced, place: &Place) -> Parsed<u64> {
    match literal.bytes <= place.bytes_max {
        true => Ok(literal.bytes),
        false => Err(Trouble::No(Code::TooBig, "The message is too large")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::flag::SystemFlags;
    use super::super::super::sequence::SequenceNumber;
    use super::*;

    fn append() -> Append {
        Append { tag: Tag("a".into()), mailbox: super::super::super::MailboxName::new("x").unwrap(), replaced: None }
    }

    fn read(place: &mut Place, line: &str) -> Parsed<(Vec<Piece>, Ends)> {
        let announced = super::super::super::framing::announced(line.as_bytes());
        let cut = announced.map_or(line.len(), |literal| literal.at);
        append_pieces(&mut Cursor::new(&line.as_bytes()[..cut]), place, announced)
    }

    fn fresh(line: &str) -> Parsed<(Vec<Piece>, Ends)> {
        read(&mut Place::new(&append(), 1000), line)
    }

    fn plain(bytes: Option<u64>) -> Piece {
        Piece::Message(AppendMessage { flags: Flags::default(), date: None, bytes })
    }

    #[test]
    fn messages_one_after_the_other() {
        let mut place = Place::new(&append(), 1000);
        let (pieces, ends) = read(&mut place, " (\\Seen x) \"17-Jul-1996 02:44:25 -0700\" {5}").unwrap();
        let [Piece::Message(message)] = &pieces[..] else { panic!("{pieces:?}") };
        assert_eq!(message.flags, Flags { system: SystemFlags::SEEN, keywords: vec!["x".into()] });
        assert_eq!(message.date.map(|date| date.seconds()), Some(837_596_665));
        assert_eq!((message.bytes, ends), (Some(5), Ends::Piece));
        assert_eq!(read(&mut place, " ~{7+}"), Ok((vec![plain(Some(7))], Ends::Piece)));
        assert_eq!(read(&mut place.clone(), ""), Ok((Vec::new(), Ends::Command)));
        assert_eq!(read(&mut place, "  "), Ok((Vec::new(), Ends::Command)));
        for bad in ["{5}", " ~", " (x)", " x ", " (\\X) {5}", " \"x\" {5}", " () () {5}", "", " x{5}", " (x){5}", " )"]
        {
            assert!(matches!(fresh(bad), Err(Trouble::Bad(_))), "{bad}");
        }
        assert_eq!(fresh(" {0}"), Err(Trouble::No(Code::Cannot, "The message is empty")));
        assert_eq!(fresh(" {1001+}"), Err(Trouble::No(Code::TooBig, "The message is too large")));
    }

    #[test]
    fn messages_of_parts() {
        let mut place = Place::new(&append(), 1000);
        let url = |url: &str| Piece::Url(url.into());
        assert_eq!(
            read(&mut place, " catenate (url \"/a;UID=1\" URL b TEXT {0}"),
            Ok((vec![plain(None), url("/a;UID=1"), url("b"), Piece::Text(0)], Ends::Piece))
        );
        assert_eq!(read(&mut place.clone(), " URL {4}").map(|read| read.1), Ok(Ends::Line));
        assert_eq!(read(&mut place.clone(), " URL {2}\r\nab)"), Ok((vec![url("ab")], Ends::Command)));
        assert_eq!(read(&mut place.clone(), ") {3}"), Ok((vec![plain(Some(3))], Ends::Piece)));
        assert_eq!(read(&mut place, ")"), Ok((Vec::new(), Ends::Command)));
        for bad in [
            " CATENATE",
            " CATENATE ()",
            " CATENATE (X y)",
            " CATENATE (TEXT x)",
            " CATENATE (URL x",
            " CATENATE (URL)",
        ] {
            assert!(matches!(fresh(bad), Err(Trouble::Bad(_))), "{bad}");
        }
        assert!(matches!(fresh(" CATENATE (URL x))"), Err(Trouble::Bad(_))));
        assert!(matches!(fresh(" CATENATE (TEXT {1001}"), Err(Trouble::No(Code::TooBig, _))));
        let many = format!(" CATENATE ({}URL x)", "URL x ".repeat(IMAP_CATENATE_PARTS_MAX));
        assert!(matches!(fresh(&many), Err(Trouble::No(Code::Limit, _))));
    }

    #[test]
    fn what_is_replaced() {
        let head = |verb: &str, text: &str| {
            let mut cursor = Cursor::new(text.as_bytes());
            let verb = if verb == "UID" { Verb::Uid } else { Verb::Replace };
            let (verb, uid) = append_verb(verb, &mut cursor).expect("such a command");
            append_head(verb, uid, &mut cursor, &Tag("a".into())).map(|append| append.map(|append| append.replaced))
        };
        let replaced = |uid, message| Ok(Some(Some(Replaced { uid, message })));
        assert_eq!(head("", " 4 Drafts"), replaced(false, SequenceNumber::Number(4)));
        assert_eq!(head("UID", " replace * Drafts"), replaced(true, SequenceNumber::Largest));
        assert_eq!(head("", " 4 "), Ok(None));
        for bad in [" 0 x", " 1:2 x", " x y", " 4", ""] {
            assert!(matches!(head("", bad), Err(Trouble::Bad(_))), "{bad}");
        }
        assert_eq!(append_verb(Verb::Uid, &mut Cursor::new(b" FETCH 1")), None);
        let replacing =
            Append { replaced: Some(Replaced { uid: true, message: SequenceNumber::Number(1) }), ..append() };
        let mut place = Place::new(&replacing, 1000);
        assert!(read(&mut place, " {5}").is_ok());
        assert_eq!(read(&mut place, " {5}"), Err(Trouble::Bad("REPLACE takes one message")));
    }
}
