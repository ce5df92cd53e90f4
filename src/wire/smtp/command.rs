//! Command lines to commands: RFC 5321 section 4.1.1 with the parameters of the extensions spoken.
//!
//! Receives one framed line; hands on a verb, then its argument parsed. Not the order of commands: that is the server's
//! table. Kinder than the grammar in two places that honest clients need: spaces after `FROM:` and `TO:`, and spaces at
//! the end of a line.

use super::reply::{Reply, replies};
use crate::wire::address::{self, AddressTrouble, ForwardPath, ReversePath};

/// The verbs known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Helo,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
    Auth,
}

const VERBS: [(&str, Verb); 13] = [
    ("HELO", Verb::Helo),
    ("EHLO", Verb::Ehlo),
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("RSET", Verb::Rset),
    ("NOOP", Verb::Noop),
    ("QUIT", Verb::Quit),
    ("VRFY", Verb::Vrfy),
    ("EXPN", Verb::Expn),
    ("HELP", Verb::Help),
    ("STARTTLS", Verb::StartTls),
    ("AUTH", Verb::Auth),
];

/// What browsers and worms say to any open port (the first word of an HTTP request).
const HTTP_METHODS: [&str; 6] = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT"];

/// Splits a line into its verb and its argument (without surrounding spaces).
pub(super) fn parse_verb(line: &[u8]) -> Option<(Verb, &[u8])> {
    let (word, argument) = split_word(line);
    let (_, verb) = VERBS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))?;
    Some((*verb, argument.trim_ascii()))
}

/// Whether the line is the beginning of an HTTP request.
pub(super) fn is_http(line: &[u8]) -> bool {
    let (word, argument) = split_word(line);
    !argument.is_empty() && HTTP_METHODS.iter().any(|method| word == method.as_bytes())
}

/// The first word, and what follows the spaces after it.
pub(super) fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    (word, rest.trim_ascii_start())
}

/// BODY of RFC 6152: what the sender says about the message's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing, or `7BIT`.
    #[default]
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
    /// `BINARYMIME` (RFC 3030); not offered.
    BinaryMime,
}

/// The argument of MAIL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MailArgument {
    pub(super) reverse_path: ReversePath,
    /// SIZE (RFC 1870); a number too large to hold is the largest.
    pub(super) declared_bytes: Option<u64>,
    pub(super) body: Body,
}

/// Parses `FROM:<reverse-path> [parameters]`. `auth`: the AUTH parameter (RFC 4954 section 5) is offered; its value is
/// checked and passed over, because every message here is the owner's.
pub(super) fn parse_mail(argument: &[u8], auth: bool) -> Result<MailArgument, Reply> {
    let path = after_keyword(argument, b"FROM:").ok_or(replies::BAD_SENDER)?;
    let (reverse_path, rest) =
        address::parse_reverse_path(path).map_err(|trouble| path_reply(trouble, replies::BAD_SENDER))?;
    let mut mail = MailArgument { reverse_path, declared_bytes: None, body: Body::SevenBit };
    let (mut seen_body, mut seen_auth) = (false, false);
    for parameter in parameters(rest, replies::BAD_SENDER)? {
        let (keyword, value) = parameter?;
        let first = match keyword.to_ascii_uppercase().as_slice() {
            b"SIZE" => mail.declared_bytes.replace(parse_size(value)?).is_none(),
            b"BODY" => {
                mail.body = parse_body(value)?;
                !std::mem::replace(&mut seen_body, true)
            }
            b"AUTH" if auth => {
                check_auth(value)?;
                !std::mem::replace(&mut seen_auth, true)
            }
            _ => return Err(unknown_parameter(keyword)),
        };
        if !first {
            return Err(replies::BAD_PARAMETER);
        }
    }
    Ok(mail)
}

/// Parses `TO:<forward-path>`. No parameter of RCPT is spoken (DSN is not offered).
pub(super) fn parse_rcpt(argument: &[u8]) -> Result<ForwardPath, Reply> {
    let path = after_keyword(argument, b"TO:").ok_or(replies::BAD_RECIPIENT)?;
    let (forward_path, rest) =
        address::parse_forward_path(path).map_err(|trouble| path_reply(trouble, replies::BAD_RECIPIENT))?;
    match parameters(rest, replies::BAD_RECIPIENT)?.next() {
        None => Ok(forward_path),
        Some(parameter) => Err(unknown_parameter(parameter?.0)),
    }
}

fn after_keyword<'l>(argument: &'l [u8], keyword: &[u8]) -> Option<&'l [u8]> {
    let (word, rest) = argument.split_at_checked(keyword.len())?;
    word.eq_ignore_ascii_case(keyword).then(|| rest.trim_ascii_start())
}

fn path_reply(trouble: AddressTrouble, syntax: Reply) -> Reply {
    match trouble {
        AddressTrouble::Syntax => syntax,
        AddressTrouble::NotAscii => replies::NOT_ASCII,
        AddressTrouble::TooLong => replies::PATH_TOO_LONG,
    }
}

fn unknown_parameter(keyword: &[u8]) -> Reply {
    replies::UNKNOWN_PARAMETER.saying(format!("Parameter {} not supported", String::from_utf8_lossy(keyword)))
}

/// A keyword and its value, if it has one.
type Parameter<'l> = (&'l [u8], Option<&'l [u8]>);

/// `esmtp-param *(SP esmtp-param)` (RFC 5321 section 4.1.2). What follows a path without a space is no parameter.
fn parameters(rest: &[u8], bad_path: Reply) -> Result<impl Iterator<Item = Result<Parameter<'_>, Reply>>, Reply> {
    if !rest.is_empty() && !rest.starts_with(b" ") {
        return Err(bad_path);
    }
    Ok(rest.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).map(parse_parameter))
}

fn parse_parameter(word: &[u8]) -> Result<Parameter<'_>, Reply> {
    let (keyword, value) = match word.iter().position(|&byte| byte == b'=') {
        Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..)),
        None => (word, None),
    };
    let keyword_ok = keyword.first().is_some_and(u8::is_ascii_alphanumeric)
        && keyword.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let value_ok = value
        .is_none_or(|value| !value.is_empty() && value.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'='));
    if keyword_ok && value_ok { Ok((keyword, value)) } else { Err(replies::BAD_PARAMETER) }
}

/// `size-value = 1*20DIGIT` (RFC 1870 section 5).
fn parse_size(value: Option<&[u8]>) -> Result<u64, Reply> {
    let digits = value.ok_or(replies::BAD_PARAMETER)?;
    if digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(replies::BAD_PARAMETER);
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Ok(digits.iter().fold(0, add))
}

fn parse_body(value: Option<&[u8]>) -> Result<Body, Reply> {
    match value.ok_or(replies::BAD_PARAMETER)?.to_ascii_uppercase().as_slice() {
        b"7BIT" => Ok(Body::SevenBit),
        b"8BITMIME" => Ok(Body::EightBitMime),
        _ => Err(replies::BAD_PARAMETER),
    }
}

/// `<>` or a mailbox, in xtext (RFC 3461 section 4: `+` and two upper-case hexadecimal digits stand for an octet).
fn check_auth(value: Option<&[u8]>) -> Result<(), Reply> {
    let mut rest = value.ok_or(replies::BAD_PARAMETER)?;
    while let Some((byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'+', [b'0'..=b'9' | b'A'..=b'F', b'0'..=b'9' | b'A'..=b'F', after @ ..]) => after,
            (b'+', _) => return Err(replies::BAD_PARAMETER),
            _ => after,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn verbs() {
        assert_eq!(parse_verb(b"MAIL FROM:<>"), Some((Verb::Mail, &b"FROM:<>"[..])));
        assert_eq!(parse_verb(b"quit  "), Some((Verb::Quit, &b""[..])));
        assert_eq!(parse_verb(b"NOOP  what ever "), Some((Verb::Noop, &b"what ever"[..])));
        for line in ["", " NOOP", "NOOPX", "MAILFROM:<>", "DATA\tx", "\u{fc}"] {
            assert_eq!(parse_verb(line.as_bytes()), None, "{line:?}");
        }
        assert!(is_http(b"GET / HTTP/1.1") && !is_http(b"GET") && !is_http(b"get / HTTP/1.1"));
    }

    fn mail(text: &str) -> Result<(String, Option<u64>, Body), u16> {
        let parsed = parse_mail(text.as_bytes(), true).map_err(|reply| reply.code)?;
        Ok((parsed.reverse_path.to_string(), parsed.declared_bytes, parsed.body))
    }

    #[test]
    fn mail_arguments() {
        for (text, path, size, body) in [
            ("FROM:<>", "", None, Body::SevenBit),
            ("from:<a@b.example>", "a@b.example", None, Body::SevenBit),
            ("FROM: <a@b.example>", "a@b.example", None, Body::SevenBit),
            ("FROM:<a@b.example> SIZE=1000", "a@b.example", Some(1000), Body::SevenBit),
            ("FROM:<a@b.example> size=0 body=8bitmime", "a@b.example", Some(0), Body::EightBitMime),
            ("FROM:<a@b.example> BODY=7BIT AUTH=<>", "a@b.example", None, Body::SevenBit),
            ("FROM:<a@b.example>  AUTH=e+3Dmc2@example.com", "a@b.example", None, Body::SevenBit),
            ("FROM:<a@b.example> SIZE=99999999999999999999", "a@b.example", Some(u64::MAX), Body::SevenBit),
        ] {
            assert_eq!(mail(text), Ok((path.into(), size, body)), "{text}");
        }
        for (text, code) in [
            ("", 501),
            ("<a@b.example>", 501),
            ("TO:<a@b.example>", 501),
            ("FROM:a@b.example", 501),
            ("FROM:<a@b.example>SIZE=1", 501),
            ("FROM:<a@b.example> SIZE", 501),
            ("FROM:<a@b.example> SIZE=", 501),
            ("FROM:<a@b.example> SIZE=-1", 501),
            ("FROM:<a@b.example> SIZE=1e3", 501),
            ("FROM:<a@b.example> SIZE=111111111111111111111", 501),
            ("FROM:<a@b.example> SIZE=1 SIZE=2", 501),
            ("FROM:<a@b.example> BODY=7BIT BODY=7BIT", 501),
            ("FROM:<a@b.example> BODY=BINARYMIME", 501),
            ("FROM:<a@b.example> BODY", 501),
            ("FROM:<a@b.example> =x", 501),
            ("FROM:<a@b.example> A=b=c", 501),
            ("FROM:<a@b.example> AUTH=a+zz", 501),
            ("FROM:<a@b.example> AUTH=a+", 501),
            ("FROM:<a@b.example> RET=HDRS", 555),
            ("FROM:<a@b.example> SMTPUTF8", 555),
            ("FROM:<\u{fc}@b.example>", 553),
        ] {
            assert_eq!(mail(text), Err(code), "{text}");
        }
        assert_eq!(parse_mail(b"FROM:<> AUTH=<>", false).map_err(|reply| reply.code), Err(555));
    }

    #[test]
    fn rcpt_arguments() {
        let rcpt = |text: &str| parse_rcpt(text.as_bytes()).map_err(|reply| (reply.code, reply.enhanced));
        assert_eq!(rcpt("TO:<Postmaster>"), Ok(ForwardPath::Postmaster));
        assert!(matches!(rcpt("to: <@x.example:a@b.example>"), Ok(ForwardPath::Address(_))));
        for (text, code) in [
            ("TO:<>", (501, "5.1.3")),
            ("TO:<a>", (501, "5.1.3")),
            ("TO:<a@b.example> NOTIFY=NEVER", (555, "5.5.4")),
            ("TO:<a@\u{fc}.example>", (553, "5.6.7")),
        ] {
            assert_eq!(rcpt(text), Err(code), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse_verb(&bytes);
            let _ = parse_mail(&bytes, true);
            let _ = parse_mail(&[b"FROM:<>", &bytes[..]].concat(), true);
            let _ = parse_rcpt(&bytes);
        }
    }
}
