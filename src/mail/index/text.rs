//! Strings of IMAP responses (RFC 3501 section 4.3), as they stand in a finished ENVELOPE or BODYSTRUCTURE.

use crate::wire::imap::response::push_quoted;

/// Appends a `string`: quoted where the bytes allow it, else a literal. The bytes hold no NUL.
pub fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.iter().all(|byte| byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0)) {
        push_quoted(out, bytes);
    } else {
        out.extend_from_slice(format!("{{{}}}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
    }
}

/// Appends an `nstring`.
pub fn write_nstring(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => write_string(bytes, out),
        None => out.extend_from_slice(b"NIL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_where_possible_else_literal() {
        let written = |bytes: Option<&[u8]>| {
            let mut out = Vec::new();
            write_nstring(bytes, &mut out);
            out
        };
        assert_eq!(written(Some(b"a \"b\" \\c")), b"\"a \\\"b\\\" \\\\c\"");
        assert_eq!(written(Some(b"")), b"\"\"");
        assert_eq!(written(Some("ü".as_bytes())), [&b"{2}\r\n"[..], "ü".as_bytes()].concat());
        assert_eq!(written(Some(b"a\rb")), b"{3}\r\na\rb");
        assert_eq!(written(None), b"NIL");
    }
}
