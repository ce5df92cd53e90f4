//! Writes every response of the server except the items of FETCH ([`super::fetch_row`]) and ESEARCH
//! ([`super::esearch`]).
//!
//! All functions append whole lines (CRLF included, unless said otherwise) to an [`Out`] and allocate nothing else. Those that
//! every client is told alike take its bytes.
//! Always: a quoted string holds printable US-ASCII only, and what does not fit goes into a literal; mailbox names leave in
//! modified UTF-7, or quoted in UTF-8 to clients that have enabled it; texts for people are cut to one line of printable
//! ASCII.

pub use super::code::Code;
use super::code::push_code;
use super::command::{StatusItem, Tag};
use super::flag::SystemFlags;
use super::language::Language;
use super::mailbox::{DELIMITER, encode_utf7, read_as_utf7};
use super::object_id::ObjectId;
use super::out::Out;
use super::sequence::NumberSet;
use crate::limits::IMAP_REPLY_TEXT_CHARACTERS_MAX;

/// The word of a status response (RFC 3501 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Success.
    Ok,
    /// *No* or *ours*: the command failed.
    No,
    /// *Theirs*: the command was not understood.
    Bad,
}

/// `tag OK|NO|BAD [code] text`.
pub fn tagged(out: &mut Out, tag: &Tag, status: Status, code: Code<'_>, text: &str) {
    push(out, tag.as_str());
    out.push(b' ');
    status_rest(out, status_word(status), code, text);
}

/// `* OK|NO|BAD [code] text`.
pub fn untagged(out: &mut Out, status: Status, code: Code<'_>, text: &str) {
    push(out, "* ");
    status_rest(out, status_word(status), code, text);
}

/// `* BYE [code] text`: the connection is closed after it.
pub fn bye(out: &mut Out, code: Code<'_>, text: &str) {
    push(out, "* ");
    status_rest(out, "BYE", code, text);
}

/// `+ text`: the client may go on.
pub fn continuation(out: &mut Out, text: &str) {
    push(out, "+ ");
    text_line(out, text);
}

/// `+ base64`: a SASL challenge, given in base64, maybe empty.
pub fn challenge(out: &mut Vec<u8>, challenge: &str) {
    push(out, "+ ");
    push(out, challenge);
    crlf(out);
}

/// `* CAPABILITY ...`; take the list from [`super::Conversation::capabilities`].
pub fn capability(out: &mut Vec<u8>, list: &str) {
    push(out, "* CAPABILITY ");
    push(out, list);
    crlf(out);
}

/// `* LANGUAGE (...)` (RFC 5255 section 3.3): one tag says what is spoken from here on, several what can be.
pub fn language(out: &mut Vec<u8>, tags: &[&str]) {
    push(out, "* LANGUAGE (");
    push_words(out, tags);
    push(out, ")\r\n");
}

/// `* ENABLED ...`.
pub fn enabled(out: &mut Vec<u8>, names: &[&str]) {
    push(out, "* ENABLED");
    for name in names {
        out.push(b' ');
        push(out, name);
    }
    crlf(out);
}

/// `* ID (...)` (RFC 2971); empty: NIL.
pub fn id(out: &mut Vec<u8>, fields: &[(&str, &str)]) {
    push(out, "* ID ");
    if fields.is_empty() {
        push(out, "NIL");
    } else {
        for (at, (field, value)) in fields.iter().enumerate() {
            out.push(if at == 0 { b'(' } else { b' ' });
            push_string(out, field.as_bytes());
            out.push(b' ');
            push_string(out, value.as_bytes());
        }
        out.push(b')');
    }
    crlf(out);
}

/// `* NAMESPACE`: one personal namespace, no others (RFC 2342).
pub fn namespace(out: &mut Vec<u8>) {
    push(out, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
}

/// `* n EXISTS`.
pub fn exists(out: &mut Vec<u8>, messages: u32) {
    numbered(out, messages, "EXISTS");
}

/// `* n RECENT`.
pub fn recent(out: &mut Vec<u8>, messages: u32) {
    numbered(out, messages, "RECENT");
}

/// `* n EXPUNGE`.
pub fn expunge(out: &mut Vec<u8>, sequence_number: u32) {
    numbered(out, sequence_number, "EXPUNGE");
}

/// `* VANISHED [(EARLIER)] uids` (RFC 7162 section 3.2.10). Nothing is written for an empty set.
pub fn vanished(out: &mut Vec<u8>, earlier: bool, uids: &NumberSet) {
    if uids.is_empty() {
        return;
    }
    push(out, if earlier { "* VANISHED (EARLIER) " } else { "* VANISHED " });
    uids.encode(out);
    crlf(out);
}

/// `* FLAGS (...)`: all system flags and the keywords in use.
pub fn flags(out: &mut Vec<u8>, keywords: &[String]) {
    push(out, "* FLAGS ");
    push_defined_flags(out, SystemFlags::EVERY, keywords, false);
    crlf(out);
}

/// What LIST tells of one mailbox.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListRow<'a> {
    /// UTF-8 name.
    pub name: &'a str,
    /// Attributes with their backslash, in order: `\HasChildren`, `\Subscribed`, `\Sent`, ...
    pub attributes: &'a [&'a str],
    /// CHILDINFO: the selection options that children meet (RFC 5258 section 3.5), for example `SUBSCRIBED`.
    pub child_info: &'a [&'a str],
}

/// `* LIST (...) "/" name [(CHILDINFO (...))]`.
pub fn list(out: &mut Out, row: ListRow<'_>) {
    list_row(out, "* LIST (", row);
}

/// `* LIST (...) "/" name ("OLDNAME" (old-name))` (RFC 5465 section 5.4).
pub fn list_renamed(out: &mut Out, row: ListRow<'_>, old_name: &str) {
    list_row(out, "* LIST (", ListRow { child_info: &[], ..row });
    // In front of the end of the line.
    let end = out.len().saturating_sub(2);
    out.truncate(end);
    push(out, " (\"OLDNAME\" (");
    push_mailbox(out, old_name);
    push(out, "))\r\n");
}

/// `* LSUB (...) "/" name`.
pub fn lsub(out: &mut Out, row: ListRow<'_>) {
    list_row(out, "* LSUB (", row);
}

/// `* LIST (\Noselect) "/" ""`: the answer to LIST with an empty pattern (RFC 3501 section 6.3.8).
pub fn list_delimiter(out: &mut Vec<u8>) {
    push(out, "* LIST (\\Noselect) \"/\" \"\"\r\n");
}

/// What STATUS tells of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusValue {
    /// A number.
    Number(u64),
    /// `(id)` (RFC 8474 section 4.3)
    Id(ObjectId),
    /// `NIL` (APPENDLIMIT)
    Nil,
}

/// `* STATUS name (...)`.
pub fn status(out: &mut Out, mailbox: &str, items: &[(StatusItem, StatusValue)]) {
    push(out, "* STATUS ");
    push_mailbox(out, mailbox);
    push(out, " (");
    for (at, (item, value)) in items.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        push(out, item.name());
        out.push(b' ');
        match value {
            StatusValue::Number(value) => push_number(out, *value),
            StatusValue::Id(id) => {
                out.push(b'(');
                id.push(out);
                out.push(b')');
            }
            StatusValue::Nil => push(out, "NIL"),
        }
    }
    push(out, ")\r\n");
}

/// `* SEARCH 2 84 882 [(MODSEQ 917162500)]`, also when nothing was found.
pub fn search(out: &mut Vec<u8>, found: impl Iterator<Item = u32>, highest_modseq: Option<u64>) {
    push(out, "* SEARCH");
    let mut any = false;
    for number in found {
        out.push(b' ');
        push_number(out, u64::from(number));
        any = true;
    }
    // RFC 7162 section 3.1.5: no MODSEQ when nothing was found.
    if let (Some(modseq), true) = (highest_modseq, any) {
        push(out, " (MODSEQ ");
        push_number(out, modseq);
        out.push(b')');
    }
    crlf(out);
}

// ---- pieces, for this room and for lines that the driver completes itself

/// A number in decimal digits.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut rest = number;
    let mut length = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

/// A `string`: quoted when it holds only printable ASCII and is short, else a literal (RFC 3501 section 4.3). NUL, which
/// even a literal cannot hold, is left out.
pub fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() <= 1024 && text.iter().all(|b| matches!(b, b' '..=b'~')) {
        return push_quoted(out, text);
    }
    let nuls = text.iter().filter(|b| **b == 0).count();
    push_literal_head(out, (text.len() - nuls) as u64);
    match nuls {
        0 => out.extend_from_slice(text),
        _ => out.extend(text.iter().copied().filter(|b| *b != 0)),
    }
}

/// A `string` of text, which must hold no control characters: in UTF-8 quoted where the client has enabled that, else as
/// [`push_string`].
pub fn push_text(out: &mut Out, text: &str) {
    if !out.dialect.utf8 || text.len() > 1024 {
        return push_string(out, text.as_bytes());
    }
    push_quoted(out, text.as_bytes());
}

/// `quoted` (RFC 3501 section 9). Whether the text may stand in one is the caller's to know.
pub fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// `{n}` and CRLF; n bytes must follow.
pub fn push_literal_head(out: &mut Vec<u8>, bytes: u64) {
    out.push(b'{');
    push_number(out, bytes);
    push(out, "}\r\n");
}

/// A mailbox name as `astring`, in modified UTF-7 or in the UTF-8 that the client has enabled: bare when it is an atom, else
/// quoted.
pub fn push_mailbox(out: &mut Out, name: &str) {
    let start = out.len();
    let dialect = out.dialect;
    match dialect.utf8 && !(dialect.utf7_too && read_as_utf7(name).is_some()) {
        true => push(out, name),
        false => encode_utf7(name, out),
    }
    let written = out.get(start..).unwrap_or_default();
    let bare = |b: &u8| b.is_ascii_alphanumeric() || b"!#$&'+,-./:;<=>?@[^_`|}~".contains(b);
    // NIL would be read as nothing at all.
    if !written.is_empty() && written.iter().all(bare) && !written.eq_ignore_ascii_case(b"NIL") {
        return;
    }
    let written = out.split_off(start);
    push_quoted(out, &written);
}

/// The flags set on one message, in parentheses: bit n of `keyword_bits` is `keywords[n]`.
pub fn push_flags(out: &mut Vec<u8>, system: SystemFlags, keywords: &[String], keyword_bits: u64, recent: bool) {
    out.push(b'(');
    let start = out.len();
    let next = |out: &mut Vec<u8>| {
        if out.len() > start {
            out.push(b' ');
        }
    };
    for (flag, name) in SystemFlags::ALL {
        if system.contains(flag) {
            next(out);
            push(out, name);
        }
    }
    if recent {
        next(out);
        push(out, "\\Recent");
    }
    if keyword_bits != 0 {
        for (bit, name) in keywords.iter().take(64).enumerate() {
            if keyword_bits >> bit & 1 == 1 {
                next(out);
                push(out, name);
            }
        }
    }
    out.push(b')');
}

pub(super) fn push_defined_flags(out: &mut Vec<u8>, system: SystemFlags, keywords: &[String], new_keywords: bool) {
    let system = SystemFlags::ALL.iter().filter(|(flag, _)| system.contains(*flag)).map(|(_, name)| *name);
    let names = system.chain(keywords.iter().map(String::as_str)).chain(new_keywords.then_some("\\*"));
    out.push(b'(');
    for (at, name) in names.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        push(out, name);
    }
    out.push(b')');
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Ok => "OK",
        Status::No => "NO",
        Status::Bad => "BAD",
    }
}

fn status_rest(out: &mut Out, word: &str, code: Code<'_>, text: &str) {
    push(out, word);
    out.push(b' ');
    push_code(out, code);
    text_line(out, text);
}

fn list_row(out: &mut Out, head: &str, row: ListRow<'_>) {
    push(out, head);
    push_words(out, row.attributes);
    push(out, ") \"");
    out.push(DELIMITER as u8);
    push(out, "\" ");
    push_mailbox(out, row.name);
    if !row.child_info.is_empty() {
        push(out, " (\"CHILDINFO\" (");
        for (at, option) in row.child_info.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            push_string(out, option.as_bytes());
        }
        push(out, "))");
    }
    crlf(out);
}

fn push_words(out: &mut Vec<u8>, words: &[&str]) {
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        push(out, word);
    }
}

fn numbered(out: &mut Vec<u8>, number: u32, word: &str) {
    push(out, "* ");
    push_number(out, u64::from(number));
    out.push(b' ');
    push(out, word);
    crlf(out);
}

/// Text for people and the end of the line. Never empty: RFC 3501 wants at least one character.
fn text_line(out: &mut Out, text: &str) {
    let start = out.len();
    let language = out.dialect.language;
    // RFC 5255 section 3.5: UTF-8 only for a client that has chosen a language.
    let sayable = |c: &char| matches!(c, ' '..='~') || (language != Language::Default && *c > '~' && !c.is_control());
    for c in language.say(text).chars().filter(sayable).take(IMAP_REPLY_TEXT_CHARACTERS_MAX) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    if out.len() == start {
        out.push(b'-');
    }
    crlf(out);
}

pub(super) fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn crlf(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::{FetchRow, SpecialUse};
    use super::*;
    use crate::wire::date::Timestamp;

    fn written(write: impl FnOnce(&mut Out)) -> String {
        let mut out = Out::default();
        write(&mut out);
        String::from_utf8(out.take()).unwrap()
    }

    fn set(numbers: &[u32]) -> NumberSet {
        numbers.iter().copied().collect()
    }

    #[test]
    fn status_lines_and_their_codes() {
        let tag = Tag("a1".into());
        let line = |code: Code<'_>| written(|out| tagged(out, &tag, Status::Ok, code, "done"));
        assert_eq!(line(Code::None), "a1 OK done\r\n");
        let keywords = ["$Junk".to_owned()];
        for (code, text) in [
            (Code::ReadWrite, "READ-WRITE"),
            (Code::AppendUid { uid_validity: 38_505, uids: &set(&[3955]) }, "APPENDUID 38505 3955"),
            (Code::AppendUid { uid_validity: 38_505, uids: &set(&[3955, 3956]) }, "APPENDUID 38505 3955:3956"),
            (Code::BadUrl("/a;UID=1]\r\nä"), "BADURL \"/a;UID=1%5D%0D%0A%C3%A4\""),
            (
                Code::CopyUid { uid_validity: 38_505, from: &set(&[304, 319, 320]), to: &set(&[3956, 3957, 3958]) },
                "COPYUID 38505 304,319:320 3956:3958",
            ),
            (Code::HighestModSeq(u64::MAX >> 1), "HIGHESTMODSEQ 9223372036854775807"),
            (Code::Modified(&set(&[7, 9])), "MODIFIED 7,9"),
            (Code::UidNext(4392), "UIDNEXT 4392"),
            (Code::NoUpdate("B\"02"), "NOUPDATE \"B\\\"02\""),
            (Code::InProgress { tag: "A1", done: Some(175), goal: Some(454) }, "INPROGRESS (\"A1\" 175 454)"),
            (Code::BadCharset, "BADCHARSET (US-ASCII UTF-8)"),
            (
                Code::PermanentFlags { system: SystemFlags::EVERY, keywords: &keywords, new_keywords: true },
                "PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk \\*)",
            ),
            (Code::PermanentFlags { system: SystemFlags(0), keywords: &[], new_keywords: false }, "PERMANENTFLAGS ()"),
            (Code::Capability("IMAP4rev1 ID"), "CAPABILITY IMAP4rev1 ID"),
        ] {
            assert_eq!(line(code), format!("a1 OK [{text}] done\r\n"));
        }
        let nothing = NumberSet::default();
        assert_eq!(line(Code::CopyUid { uid_validity: 1, from: &nothing, to: &nothing }), "a1 OK done\r\n");
        assert_eq!(written(|out| bye(out, Code::Unavailable, "Stopping")), "* BYE [UNAVAILABLE] Stopping\r\n");
    }

    #[test]
    fn texts_cannot_break_the_line() {
        let tag = Tag("a1".into());
        assert_eq!(written(|out| tagged(out, &tag, Status::No, Code::None, "x\r\n* BYE \u{fc}")), "a1 NO x* BYE \r\n");
        assert_eq!(written(|out| continuation(out, "\n")), "+ -\r\n");
        assert_eq!(written(|out| push_string(out, b"a\r\nb")), "{4}\r\na\r\nb");
        assert_eq!(written(|out| push_string(out, b"a\0b\xc3\xbc")), "{4}\r\nab\u{fc}");
        assert_eq!(written(|out| push_string(out, b"a\"b\\")), "\"a\\\"b\\\\\"");
        let text = |utf8: bool| {
            written(|out| {
                out.dialect.utf8 = utf8;
                push_text(out, r#"ü"\"#);
            })
        };
        assert_eq!([text(true), text(false)], [r#""ü\"\\""#, "{4}\r\nü\"\\"]);
    }

    #[test]
    fn mailboxes() {
        for (name, wire) in
            [("INBOX", "INBOX"), ("a b", "\"a b\""), ("Entwürfe", "Entw&APw-rfe"), ("", "\"\""), ("nil", "\"nil\"")]
        {
            assert_eq!(written(|out| push_mailbox(out, name)), wire);
        }
        let after_another = written(|out| {
            push_mailbox(out, "a\"b\"\\");
            push_mailbox(out, "c d");
        });
        assert_eq!(after_another, r#""a\"b\"\\""c d""#);
        let row = ListRow {
            name: "Sent",
            attributes: &["\\HasNoChildren", SpecialUse::Sent.attribute().unwrap()],
            child_info: &[],
        };
        assert_eq!(written(|out| list(out, row)), "* LIST (\\HasNoChildren \\Sent) \"/\" Sent\r\n");
        let row = ListRow { name: "a", attributes: &[], child_info: &["SUBSCRIBED"] };
        assert_eq!(written(|out| list(out, row)), "* LIST () \"/\" a (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
        assert_eq!(written(|out| lsub(out, ListRow { child_info: &[], ..row })), "* LSUB () \"/\" a\r\n");
        let items = [(StatusItem::Messages, StatusValue::Number(231)), (StatusItem::AppendLimit, StatusValue::Nil)];
        assert_eq!(written(|out| status(out, "a", &items)), "* STATUS a (MESSAGES 231 APPENDLIMIT NIL)\r\n");
    }

    #[test]
    fn search_results() {
        assert_eq!(written(|out| search(out, [2, 84].into_iter(), Some(9))), "* SEARCH 2 84 (MODSEQ 9)\r\n");
        assert_eq!(written(|out| search(out, [].into_iter(), Some(9))), "* SEARCH\r\n");
    }

    #[test]
    fn untagged_lines() {
        let text = written(|out| {
            exists(out, 23);
            recent(out, 0);
            expunge(out, u32::MAX);
            vanished(out, true, &set(&[41, 43, 44]));
            vanished(out, false, &NumberSet::default());
            enabled(out, &["CONDSTORE", "QRESYNC"]);
            id(out, &[("name", "Hauspost")]);
            id(out, &[]);
        });
        assert_eq!(
            text,
            "* 23 EXISTS\r\n* 0 RECENT\r\n* 4294967295 EXPUNGE\r\n* VANISHED (EARLIER) 41,43:44\r\n\
             * ENABLED CONDSTORE QRESYNC\r\n* ID (\"name\" \"Hauspost\")\r\n* ID NIL\r\n"
        );
    }

    #[test]
    fn a_fetch_row() {
        let keywords = ["$A".to_owned(), "$B".to_owned()];
        let text = written(|out| {
            let mut row = FetchRow::begin(out, 12, 7);
            row.uid(out, 4827);
            row.flags(out, SystemFlags::SEEN.union(SystemFlags::ANSWERED), &keywords, 0b10, true);
            row.modseq(out, 7);
            row.internal_date(out, Timestamp(0));
            row.size(out, 44_827);
            row.envelope(out, b"(NIL)");
            row.literal(out, b"BODY[HEADER]", 3);
            out.extend_from_slice(b"a:b");
            row.nil(out, b"BODY[9]");
            row.end(out);
        });
        assert_eq!(
            text,
            "* 12 FETCH (UID 4827 FLAGS (\\Answered \\Seen \\Recent $B) MODSEQ (7) INTERNALDATE \
             \" 1-Jan-1970 00:00:00 +0000\" RFC822.SIZE 44827 ENVELOPE (NIL) BODY[HEADER] {3}\r\na:b BODY[9] NIL)\r\n"
        );
    }

    #[test]
    fn numbers() {
        for number in [0, 9, 10, 99, 4_294_967_295, u64::MAX] {
            assert_eq!(written(|out| push_number(out, number)), number.to_string());
        }
    }
}
