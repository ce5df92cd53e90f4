//! Texts beyond ASCII in ASCII: encoded words (RFC 2047), parameters (RFC 2231), and what stands plain, within lines.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Bytes of a text in one encoded word: with its frame and in base64 at most 75 (RFC 2047 section 2).
const WORD_BYTES: usize = 45;
/// Where a line is folded if it has white space (RFC 5322 section 2.1.1); a word that is longer than all lines may be is cut.
const LINE_BYTES: usize = 76;
const LINE_BYTES_MAX: usize = 900;

/// Appends a text behind the colon of an unstructured field: as encoded words, each on a line of its own.
pub fn push_words(text: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    push_encoded(text, out);
}

fn push_encoded(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    let mut is_first = true;
    while !rest.is_empty() {
        let end = rest.floor_char_boundary(WORD_BYTES);
        let (word, after) = rest.split_at(end);
        if !is_first {
            out.extend_from_slice(b"\r\n ");
        }
        out.extend_from_slice(b"=?UTF-8?B?");
        out.extend_from_slice(BASE64.encode(word).as_bytes());
        out.extend_from_slice(b"?=");
        (rest, is_first) = (after, false);
    }
}

/// Appends a display name or the name of a group: as it is if it is made of atoms (or was encoded already), in quotes if it is short
/// ASCII, else encoded.
pub fn push_phrase(name: &[u8], out: &mut Vec<u8>) {
    let is_atom = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~ ".contains(byte);
    let text = String::from_utf8_lossy(name);
    let fits = name.len() <= LINE_BYTES && !name.is_empty();
    if fits && name.iter().all(is_atom) && name.trim_ascii() == name {
        out.extend_from_slice(name);
    } else if fits && name.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        push_quoted(name, out);
    } else {
        push_encoded(&text.replace(char::is_control, " "), out);
    }
}

/// Appends a local part, in quotes unless it is a dot-atom (RFC 5322 section 3.2.3).
pub fn push_local_part(local: &[u8], out: &mut Vec<u8>) {
    let is_atom = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(byte);
    if !local.is_empty() && local.iter().all(is_atom) {
        out.extend_from_slice(local);
    } else {
        push_quoted(local, out);
    }
}

fn push_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Appends `name=value`, or `name*=UTF-8''value` (RFC 2231 section 4), in sections (section 3) when it is long. A value that is no UTF-8
/// loses what is none.
pub fn push_parameter(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let name: Vec<u8> =
        name.iter().copied().filter(|byte| byte.is_ascii_graphic() && !b";,\"".contains(byte)).collect();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(byte);
    if !value.is_empty() && value.len() <= LINE_BYTES && value.iter().all(is_token) {
        out.extend_from_slice(&name);
        out.push(b'=');
        out.extend_from_slice(value);
        return;
    }
    if value.len() <= LINE_BYTES && value.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        out.extend_from_slice(&name);
        out.push(b'=');
        push_quoted(value, out);
        return;
    }
    let base = name.strip_suffix(b"*").unwrap_or(&name);
    let text = String::from_utf8_lossy(value);
    let is_long = text.len() > WORD_BYTES;
    let mut rest = &text[..];
    let mut section = 0;
    while !rest.is_empty() {
        let (now, after) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        if section > 0 {
            out.extend_from_slice(b";\r\n ");
        }
        out.extend_from_slice(base);
        if is_long {
            out.extend_from_slice(format!("*{section}").as_bytes());
        }
        out.extend_from_slice(if section == 0 { b"*=UTF-8''" } else { b"*=" });
        for byte in now.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(byte);
            } else {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
        }
        (rest, section) = (after, section + 1);
    }
}

/// Appends ASCII behind the colon of a field, folded at white space; what has none is cut where a line would get too long.
pub fn push_folded(text: &[u8], out: &mut Vec<u8>) {
    let mut column = 0;
    for word in text.split(|byte| byte.is_ascii_whitespace() || *byte == 0).filter(|word| !word.is_empty()) {
        for piece in word.chunks(LINE_BYTES_MAX) {
            if column > 0 && column + piece.len() > LINE_BYTES {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            out.push(b' ');
            out.extend_from_slice(piece);
            column += 1 + piece.len();
        }
    }
}
