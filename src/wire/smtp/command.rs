//! Command lines to commands: RFC 5321 section 4.1.1 with the parameters of the extensions spoken.
//!
//! Receives one framed line; hands on a verb, then its argument parsed. Not the order of commands: that is the server's
//! table. Kinder than the grammar in two places that honest clients need: spaces after `FROM:` and `TO:`, and spaces at
//! the end of a line.

use super::dsn;
use super::hold::{HoldBounds, parse_hold_for, parse_hold_until};
use super::parameters::{MailParameters, RcptParameters};
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
    Bdat,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
    Auth,
}

const VERBS: [(&str, Verb); 14] = [
    ("HELO", Verb::Helo),
    ("EHLO", Verb::Ehlo),
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("BDAT", Verb::Bdat),
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

/// BODY: what the sender says about the message's bytes (RFC 6152, RFC 3030).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing, or `7BIT`.
    #[default]
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
    /// `BINARYMIME` (RFC 3030 section 3).
    BinaryMime,
}

/// The extensions with parameters of MAIL that are not offered to everybody.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offered {
    /// AUTH (RFC 4954).
    pub(super) auth: bool,
    /// BINARYMIME (RFC 3030).
    pub(super) binary: bool,
    /// REQUIRETLS (RFC 8689).
    pub(super) require_tls: bool,
    /// FUTURERELEASE (RFC 4865).
    pub(super) hold: Option<HoldBounds>,
}

/// The argument of MAIL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MailArgument {
    pub(super) reverse_path: ReversePath,
    /// SIZE (RFC 1870); a number too large to hold is the largest.
    pub(super) declared_bytes: Option<u64>,
    pub(super) parameters: MailParameters,
}

/// Parses `FROM:<reverse-path> [parameters]`. The AUTH parameter (RFC 4954 section 5) is checked and passed over, because
/// every message here is the owner's.
pub(super) fn parse_mail(argument: &[u8], offered: Offered) -> Result<MailArgument, Reply> {
    let path = after_keyword(argument, b"FROM:").ok_or(replies::BAD_SENDER)?;
    let (reverse_path, rest) =
        address::parse_reverse_path(path).map_err(|trouble| path_reply(trouble, replies::BAD_SENDER))?;
    let parameters = MailParameters::default();
    let mut mail = MailArgument { reverse_path, declared_bytes: None, parameters };
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for parameter in parameters_of(rest, replies::BAD_SENDER)? {
        let (keyword, value) = parameter?;
        let name = keyword.to_ascii_uppercase();
        // RFC 5321 section 4.1.1.11 leaves no sense in one parameter twice; HOLDFOR and HOLDUNTIL exclude each other
        // (RFC 4865 section 4.2).
        let what = if name == b"HOLDUNTIL" { b"HOLDFOR".to_vec() } else { name.clone() };
        if seen.contains(&what) {
            return Err(replies::BAD_PARAMETER);
        }
        seen.push(what);
        mail.take(&name, keyword, value, offered)?;
    }
    if !mail.parameters.smtp_utf8 && !is_ascii_before(path, rest) {
        return Err(replies::NOT_ASCII);
    }
    Ok(mail)
}

impl MailArgument {
    fn take(&mut self, name: &[u8], keyword: &[u8], value: Option<&[u8]>, offered: Offered) -> Result<(), Reply> {
        let parameters = &mut self.parameters;
        let bad = || replies::BAD_PARAMETER;
        match (name, value) {
            (b"SIZE", Some(value)) => self.declared_bytes = Some(parse_size(value)?),
            (b"BODY", Some(value)) => parameters.body = parse_body(value, offered.binary)?,
            (b"AUTH", Some(value)) if offered.auth => check_auth(value)?,
            (b"RET", Some(value)) => parameters.return_full = Some(dsn::parse_return_full(value).ok_or_else(bad)?),
            (b"ENVID", Some(value)) => parameters.envelope_id = Some(dsn::parse_envelope_id(value).ok_or_else(bad)?),
            (b"SMTPUTF8", None) => parameters.smtp_utf8 = true,
            (b"REQUIRETLS", None) if offered.require_tls => parameters.require_tls = true,
            (b"HOLDFOR" | b"HOLDUNTIL", Some(value)) if offered.hold.is_some() => {
                let hold = if name == b"HOLDFOR" { parse_hold_for(value) } else { parse_hold_until(value) };
                let hold = hold.ok_or_else(bad)?;
                if !offered.hold.is_some_and(|bounds| hold.is_within(bounds)) {
                    return Err(replies::HELD_TOO_LONG);
                }
                parameters.hold = Some(hold);
            }
            (b"SIZE" | b"BODY" | b"RET" | b"ENVID" | b"SMTPUTF8", _) => return Err(bad()),
            (b"AUTH", _) if offered.auth => return Err(bad()),
            (b"REQUIRETLS", _) if offered.require_tls => return Err(bad()),
            (b"HOLDFOR" | b"HOLDUNTIL", _) if offered.hold.is_some() => return Err(bad()),
            _ => return Err(unknown_parameter(keyword)),
        }
        Ok(())
    }
}

/// Parses `TO:<forward-path> [parameters]`. `smtp_utf8`: MAIL has asked for SMTPUTF8.
pub(super) fn parse_rcpt(argument: &[u8], smtp_utf8: bool) -> Result<(ForwardPath, RcptParameters), Reply> {
    let path = after_keyword(argument, b"TO:").ok_or(replies::BAD_RECIPIENT)?;
    let (forward_path, rest) =
        address::parse_forward_path(path).map_err(|trouble| path_reply(trouble, replies::BAD_RECIPIENT))?;
    if !smtp_utf8 && !is_ascii_before(path, rest) {
        return Err(replies::NOT_ASCII);
    }
    let mut parameters = RcptParameters::default();
    let mut notify = None;
    for parameter in parameters_of(rest, replies::BAD_RECIPIENT)? {
        let (keyword, value) = parameter?;
        let first = match (keyword.to_ascii_uppercase().as_slice(), value) {
            (b"NOTIFY", Some(value)) => {
                notify.replace(dsn::parse_notify(value).ok_or(replies::BAD_PARAMETER)?).is_none()
            }
            (b"ORCPT", Some(value)) if smtp_utf8 || value.is_ascii() => {
                parameters.original.replace(dsn::parse_original(value).ok_or(replies::BAD_PARAMETER)?).is_none()
            }
            (b"NOTIFY" | b"ORCPT", _) => return Err(replies::BAD_PARAMETER),
            _ => return Err(unknown_parameter(keyword)),
        };
        if !first {
            return Err(replies::BAD_PARAMETER);
        }
    }
    parameters.notify = notify.unwrap_or_default();
    Ok((forward_path, parameters))
}

/// Checks the argument of VRFY: a string, and SMTPUTF8 where it is outside ASCII (RFC 6531 section 3.7.4.2).
pub(super) fn check_vrfy(argument: &[u8]) -> Result<(), Reply> {
    let asked = argument.len().checked_sub(b" SMTPUTF8".len()).and_then(|at| argument.split_at_checked(at));
    match asked {
        Some((_, last)) if last.eq_ignore_ascii_case(b" SMTPUTF8") => Ok(()),
        _ if argument.is_empty() => Err(replies::NEEDS_ARGUMENT),
        _ if !argument.is_ascii() => Err(replies::NOT_ASCII),
        _ => Ok(()),
    }
}

/// The argument of BDAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Octets that follow the command; a number too large to hold is the largest.
    pub(super) bytes: u64,
    /// It ends the message.
    pub(super) last: bool,
}

/// Parses `chunk-size [ SP "LAST" ]` (RFC 3030 section 2). Without it nobody knows where the next command begins.
pub(super) fn parse_bdat(argument: &[u8]) -> Option<Chunk> {
    let (size, end) = split_word(argument);
    let last = match end {
        b"" => false,
        word if word.eq_ignore_ascii_case(b"LAST") => true,
        _ => return None,
    };
    (!size.is_empty()).then_some(Chunk { bytes: parse_number(size)?, last })
}

/// Whether the part of a command that was read, up to `rest`, is ASCII.
fn is_ascii_before(start: &[u8], rest: &[u8]) -> bool {
    start.get(..start.len().saturating_sub(rest.len())).is_some_and(<[u8]>::is_ascii)
}

fn after_keyword<'l>(argument: &'l [u8], keyword: &[u8]) -> Option<&'l [u8]> {
    let (word, rest) = argument.split_at_checked(keyword.len())?;
    word.eq_ignore_ascii_case(keyword).then(|| rest.trim_ascii_start())
}

fn path_reply(trouble: AddressTrouble, syntax: Reply) -> Reply {
    match trouble {
        AddressTrouble::Syntax => syntax,
        AddressTrouble::NotUtf8 => replies::NOT_ASCII,
        AddressTrouble::TooLong => replies::PATH_TOO_LONG,
    }
}

fn unknown_parameter(keyword: &[u8]) -> Reply {
    replies::UNKNOWN_PARAMETER.saying(format!("Parameter {} not supported", String::from_utf8_lossy(keyword)))
}

/// A keyword and its value, if it has one.
type Parameter<'l> = (&'l [u8], Option<&'l [u8]>);

/// `esmtp-param *(SP esmtp-param)` (RFC 5321 section 4.1.2). What follows a path without a space is no parameter.
fn parameters_of(rest: &[u8], bad_path: Reply) -> Result<impl Iterator<Item = Result<Parameter<'_>, Reply>>, Reply> {
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
        .is_none_or(|value| !value.is_empty() && value.iter().all(|&byte| byte > b' ' && byte != b'=' && byte != 0x7f));
    if keyword_ok && value_ok { Ok((keyword, value)) } else { Err(replies::BAD_PARAMETER) }
}

/// `size-value = 1*20DIGIT` (RFC 1870 section 5).
fn parse_size(value: &[u8]) -> Result<u64, Reply> {
    Some(value).filter(|digits| digits.len() <= 20).and_then(parse_number).ok_or(replies::BAD_PARAMETER)
}

/// A decimal number; one too large to hold is the largest.
fn parse_number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, add))
}

fn parse_body(value: &[u8], binary: bool) -> Result<Body, Reply> {
    match value.to_ascii_uppercase().as_slice() {
        b"7BIT" => Ok(Body::SevenBit),
        b"8BITMIME" => Ok(Body::EightBitMime),
        b"BINARYMIME" if binary => Ok(Body::BinaryMime),
        _ => Err(replies::BAD_PARAMETER),
    }
}

/// `<>` or a mailbox, in xtext (RFC 3461 section 4: `+` and two upper-case hexadecimal digits stand for an octet).
fn check_auth(value: &[u8]) -> Result<(), Reply> {
    dsn::parse_xtext(value).map(|_| ()).ok_or(replies::BAD_PARAMETER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::date::Timestamp;
    use crate::wire::smtp::{Hold, Notify};
    use proptest::prelude::*;
    use std::time::Duration;

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

    fn everything() -> Offered {
        let bounds = HoldBounds { interval: Duration::from_secs(1000), latest: Timestamp(1_795_262_400_000) };
        Offered { auth: true, binary: true, require_tls: true, hold: Some(bounds) }
    }

    fn mail(text: &str) -> Result<(String, Option<u64>, Body), u16> {
        let parsed = parse_mail(text.as_bytes(), everything()).map_err(|reply| reply.code)?;
        Ok((parsed.reverse_path.to_string(), parsed.declared_bytes, parsed.parameters.body))
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
            ("FROM:<a@b.example> BODY=BINARY", 501),
            ("FROM:<a@b.example> BODY", 501),
            ("FROM:<a@b.example> =x", 501),
            ("FROM:<a@b.example> A=b=c", 501),
            ("FROM:<a@b.example> AUTH=a+zz", 501),
            ("FROM:<a@b.example> AUTH=a+", 501),
            ("FROM:<a@b.example> AUTH", 501),
            ("FROM:<a@b.example> RET=HEADERS", 501),
            ("FROM:<a@b.example> RET", 501),
            ("FROM:<a@b.example> RET=FULL RET=FULL", 501),
            ("FROM:<a@b.example> ENVID=a+zz", 501),
            ("FROM:<a@b.example> ENVID=1 ENVID=1", 501),
            ("FROM:<a@b.example> SMTPUTF8=yes", 501),
            ("FROM:<a@b.example> REQUIRETLS=yes", 501),
            ("FROM:<a@b.example> HOLDFOR=1001", 501),
            ("FROM:<a@b.example> HOLDFOR=0", 501),
            ("FROM:<a@b.example> HOLDFOR", 501),
            ("FROM:<a@b.example> HOLDUNTIL=2026-11-21T12:00:01Z", 501),
            ("FROM:<a@b.example> HOLDFOR=1 HOLDUNTIL=2026-11-21T12:00:00Z", 501),
            ("FROM:<a@b.example> BY=120;R", 555),
            ("FROM:<\u{fc}@b.example>", 553),
            ("FROM:<a@\u{fc}.example> SIZE=1", 553),
        ] {
            assert_eq!(mail(text), Err(code), "{text}");
        }
        assert_eq!(parse_mail(b"FROM:<\xfc@b.example> SMTPUTF8", everything()).map_err(|reply| reply.code), Err(553));
        for (text, code) in [
            ("AUTH=<>", 555),
            ("REQUIRETLS", 555),
            ("HOLDFOR=1", 555),
            ("HOLDUNTIL=2026-11-21T12:00:00Z", 555),
            ("BODY=BINARYMIME", 501),
        ] {
            let parsed = parse_mail(format!("FROM:<> {text}").as_bytes(), Offered::default());
            assert_eq!(parsed.map_err(|reply| reply.code), Err(code), "{text}");
        }
    }

    #[test]
    fn parameters_that_travel_with_a_message() {
        let text =
            "FROM:<j\u{fc}rgen@b\u{fc}cher.example> smtputf8 ret=full ENVID=a+20b body=BINARYMIME REQUIRETLS HOLDFOR=7";
        let mail = parse_mail(text.as_bytes(), everything()).expect("parameters");
        assert_eq!(mail.reverse_path.to_string(), "j\u{fc}rgen@xn--bcher-kva.example");
        let wanted = MailParameters {
            envelope_id: Some("a b".into()),
            return_full: Some(true),
            smtp_utf8: true,
            body: Body::BinaryMime,
            require_tls: true,
            tls_optional: false,
            hold: Some(Hold::For(Duration::from_secs(7))),
        };
        assert_eq!(mail.parameters, wanted);
    }

    #[test]
    fn chunks() {
        let parsed = |text: &str| parse_bdat(text.as_bytes()).map(|chunk| (chunk.bytes, chunk.last));
        assert_eq!(parsed("0"), Some((0, false)));
        assert_eq!(parsed("86 last"), Some((86, true)));
        assert_eq!(parsed("0000000000000000000000000000010 LAST"), Some((10, true)));
        assert_eq!(parsed("99999999999999999999999999999"), Some((u64::MAX, false)));
        for text in ["", "LAST", "-1", "1x", "1 2", "1 LAST LAST", "0x10", "\u{661}"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn vrfy_arguments() {
        let checked = |text: &str| check_vrfy(text.as_bytes()).map_err(|reply| reply.code);
        assert_eq!(checked("me"), Ok(()));
        assert_eq!(checked("j\u{fc}rgen SMTPUTF8"), Ok(()));
        assert_eq!(checked("j\u{fc}rgen"), Err(553));
        assert_eq!(checked(""), Err(501));
    }

    #[test]
    fn rcpt_arguments() {
        let rcpt = |text: &str| parse_rcpt(text.as_bytes(), false).map_err(|reply| (reply.code, reply.enhanced));
        assert_eq!(rcpt("TO:<Postmaster>"), Ok((ForwardPath::Postmaster, RcptParameters::default())));
        assert!(matches!(rcpt("to: <@x.example:a@b.example>"), Ok((ForwardPath::Address(_), _))));
        let (_, parameters) =
            rcpt("TO:<a@b.example> notify=Success,delay ORCPT=rfc822;a+2Bb@b.example").expect("parameters");
        assert_eq!(parameters, RcptParameters { notify: Notify(10), original: Some("rfc822;a+b@b.example".into()) });
        for (text, code) in [
            ("TO:<>", (501, "5.1.3")),
            ("TO:<a>", (501, "5.1.3")),
            ("TO:<a@b.example> NOTIFY=NEVER,DELAY", (501, "5.5.4")),
            ("TO:<a@b.example> NOTIFY=NEVER NOTIFY=NEVER", (501, "5.5.4")),
            ("TO:<a@b.example> NOTIFY", (501, "5.5.4")),
            ("TO:<a@b.example> ORCPT=a@b.example", (501, "5.5.4")),
            ("TO:<a@b.example> ORCPT=utf-8;\u{fc}@b.example", (501, "5.5.4")),
            ("TO:<a@b.example> ORCPT=rfc822;a ORCPT=rfc822;a", (501, "5.5.4")),
            ("TO:<a@b.example> X=y", (555, "5.5.4")),
            ("TO:<a@\u{fc}.example>", (553, "5.6.7")),
        ] {
            assert_eq!(rcpt(text), Err(code), "{text}");
        }
        let (path, parameters) =
            parse_rcpt("TO:<\u{fc}@b.example> ORCPT=utf-8;\u{fc}@b.example".as_bytes(), true).expect("parameters");
        assert!(matches!(path, ForwardPath::Address(address) if address.local == "\u{fc}"));
        assert_eq!(parameters.original.as_deref(), Some("utf-8;\u{fc}@b.example"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse_verb(&bytes);
            let _ = parse_mail(&bytes, everything());
            let _ = parse_mail(&[b"FROM:<>", &bytes[..]].concat(), everything());
            let _ = parse_rcpt(&bytes, true);
            let _ = parse_rcpt(&[b"TO:<a@b.example>", &bytes[..]].concat(), true);
            let _ = (parse_bdat(&bytes), check_vrfy(&bytes));
        }
    }
}
