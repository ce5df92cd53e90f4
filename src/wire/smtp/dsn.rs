//! The parameters of delivery status notifications, read and written: RET, ENVID, NOTIFY and ORCPT (RFC 3461 section 4,
//! RFC 6533 section 3).
//!
//! Receives the values of parameters as they stand on the line; hands on what they mean, and the values again for the next
//! server. What comes out is printable, so that it can stand in a report.

use super::Notify;
use crate::limits::{ENVELOPE_ID_BYTES_MAX, ORIGINAL_RECIPIENT_BYTES_MAX};
use std::fmt::Write;

/// The address type of addresses in UTF-8 (RFC 6533 section 3).
pub const UTF8_ADDRESS_TYPE: &str = "utf-8";

/// RET: `FULL` or `HDRS`.
pub(super) fn parse_return_full(value: &[u8]) -> Option<bool> {
    match value.to_ascii_uppercase().as_slice() {
        b"FULL" => Some(true),
        b"HDRS" => Some(false),
        _ => None,
    }
}

/// ENVID: xtext of at most [`ENVELOPE_ID_BYTES_MAX`].
pub(super) fn parse_envelope_id(value: &[u8]) -> Option<String> {
    if value.len() > ENVELOPE_ID_BYTES_MAX { None } else { parse_xtext(value) }
}

/// NOTIFY: `NEVER` alone, or some of the others.
pub(super) fn parse_notify(value: &[u8]) -> Option<Notify> {
    let mut notify = Notify::default();
    for word in value.split(|&byte| byte == b',') {
        let asked = match word.to_ascii_uppercase().as_slice() {
            b"NEVER" => Notify::NEVER,
            b"SUCCESS" => Notify::SUCCESS,
            b"FAILURE" => Notify::FAILURE,
            b"DELAY" => Notify::DELAY,
            _ => return None,
        };
        notify.0 |= asked.0;
    }
    notify.is_well_formed().then_some(notify)
}

/// NOTIFY again; `None` when nothing was asked.
pub(super) fn encode_notify(notify: Notify) -> Option<String> {
    let names = [
        (Notify::NEVER, "NEVER"),
        (Notify::SUCCESS, "SUCCESS"),
        (Notify::FAILURE, "FAILURE"),
        (Notify::DELAY, "DELAY"),
    ];
    let asked: Vec<&str> = names.iter().filter(|(one, _)| notify.contains(*one)).map(|(_, name)| *name).collect();
    (!asked.is_empty()).then(|| asked.join(","))
}

/// ORCPT: `addr-type ";" xtext` of at most [`ORIGINAL_RECIPIENT_BYTES_MAX`], decoded. The address itself may be anything
/// (RFC 3461 section 4.2).
pub(super) fn parse_original(value: &[u8]) -> Option<String> {
    if value.len() > ORIGINAL_RECIPIENT_BYTES_MAX {
        return None;
    }
    let (kind, address) = value.split_at_checked(value.iter().position(|&byte| byte == b';')?)?;
    let address = address.get(1..).filter(|address| !address.is_empty())?;
    let atom = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(byte);
    if kind.is_empty() || !kind.iter().all(atom) {
        return None;
    }
    let kind = std::str::from_utf8(kind).ok()?;
    let address = match kind.eq_ignore_ascii_case(UTF8_ADDRESS_TYPE) {
        true => parse_unitext(std::str::from_utf8(address).ok()?)?,
        false => parse_xtext(address)?,
    };
    Some(format!("{kind};{address}"))
}

/// ORCPT again, from its decoded form. `utf8`: the next server takes UTF-8 in it.
pub(super) fn encode_original(original: &str, utf8: bool) -> String {
    let (kind, address) = original.split_once(';').unwrap_or(("rfc822", original));
    let address = match kind.eq_ignore_ascii_case(UTF8_ADDRESS_TYPE) {
        true => encode_unitext(address, utf8),
        false => encode_xtext(address),
    };
    format!("{kind};{address}")
}

/// `xtext` (RFC 3461 section 4) of printable ASCII: `+` and two upper-case hexadecimal digits stand for a character.
pub(super) fn parse_xtext(value: &[u8]) -> Option<String> {
    let hex = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let mut text = String::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'+' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'!'..=b'~' if byte != b'=' => byte,
            _ => return None,
        };
        text.push(char::from(Some(decoded).filter(|byte| matches!(byte, b' '..=b'~'))?));
    }
    Some(text)
}

/// Writes xtext.
pub(super) fn encode_xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'+' | b'=') => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "+{byte:02X}");
            }
        }
    }
    out
}

/// `utf-8-enc-addr` (RFC 6533 section 3): `\x{...}` stands for a character.
fn parse_unitext(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..)?;
        let (decoded, after) = match first {
            '\\' => {
                let (digits, after) = after.strip_prefix("x{")?.split_once('}')?;
                let hex = (2..=6).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| hex)?;
                (char::from_u32(code)?, after)
            }
            ' ' | '+' | '=' => return None,
            plain => (plain, after),
        };
        if decoded.is_control() {
            return None;
        }
        text.push(decoded);
        rest = after;
    }
    Some(text)
}

fn encode_unitext(text: &str, utf8: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let plain = if c.is_ascii() { c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=') } else { utf8 };
        if plain {
            out.push(c);
        } else {
            let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn notify() {
        let parsed = |text: &str| parse_notify(text.as_bytes()).map(|notify| notify.0);
        assert_eq!(parsed("NEVER"), Some(1));
        assert_eq!(parsed("success,Failure,DELAY"), Some(14));
        assert_eq!(parsed("SUCCESS,SUCCESS"), Some(2));
        for text in ["", "NEVER,SUCCESS", "SUCCESS,", ",DELAY", "SUCCESS DELAY", "ALWAYS"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(encode_notify(Notify::default()), None);
        assert_eq!(encode_notify(Notify(14)).as_deref(), Some("SUCCESS,FAILURE,DELAY"));
    }

    #[test]
    fn envelope_ids() {
        let parsed = |text: &str| parse_envelope_id(text.as_bytes());
        assert_eq!(parsed("QQ314159").as_deref(), Some("QQ314159"));
        assert_eq!(parsed("a+20b+2B+3D").as_deref(), Some("a b+="));
        for text in ["a+", "a+2", "a+2b", "a+0D+0A", "a+C3+BC", "a=b", "\u{fc}", &"x".repeat(101)] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert!(parsed(&"x".repeat(100)).is_some());
    }

    #[test]
    fn original_recipients() {
        let parsed = |text: &str| parse_original(text.as_bytes());
        assert_eq!(parsed("rfc822;Bob+2Btag@far.example").as_deref(), Some("rfc822;Bob+tag@far.example"));
        assert_eq!(parsed("x400;/C=no").as_deref(), None);
        assert_eq!(parsed("x400;/C+3Dno").as_deref(), Some("x400;/C=no"));
        assert_eq!(parsed("UTF-8;j\\x{FC}rgen@far.example").as_deref(), Some("UTF-8;j\u{fc}rgen@far.example"));
        assert_eq!(parsed("utf-8;j\u{fc}rgen\\x{2B}x@far.example").as_deref(), Some("utf-8;j\u{fc}rgen+x@far.example"));
        for text in ["", "rfc822", "rfc822;", ";bob@far.example", "rf c;bob", "rfc822;a+0Ab", "rfc822;\u{fc}"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        for text in ["utf-8;\\x{A}", "utf-8;\\x{0A}", "utf-8;\\x{D800}", "utf-8;\\xfc", "utf-8;\\x{FC", "utf-8;a+b"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert!(parsed(&format!("rfc822;{}", "x".repeat(493))).is_some());
        assert!(parsed(&format!("rfc822;{}", "x".repeat(494))).is_none());
        assert_eq!(encode_original("utf-8;j\u{fc}+@x", true), "utf-8;j\u{fc}\\x{2B}@x");
        assert_eq!(encode_original("utf-8;j\u{fc}+@x", false), "utf-8;j\\x{FC}\\x{2B}@x");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in "[ -~]{1,30}", wide in "\\PC{1,30}", utf8: bool) {
            prop_assert_eq!(parse_xtext(encode_xtext(&text).as_bytes()), Some(text.clone()));
            for original in [format!("rfc822;{text}"), format!("utf-8;{wide}")] {
                prop_assert_eq!(parse_original(encode_original(&original, utf8).as_bytes()), Some(original));
            }
            let bits = Notify(text.len() as u8 % 8 * 2);
            prop_assert_eq!(encode_notify(bits).and_then(|value| parse_notify(value.as_bytes())).unwrap_or_default(), bits);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (parse_notify(&bytes), parse_envelope_id(&bytes), parse_original(&bytes));
            let _ = parse_original(&[b"utf-8;", &bytes[..]].concat());
        }
    }
}
