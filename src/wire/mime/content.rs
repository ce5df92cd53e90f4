//! What a part says of itself in its Content fields: type, parameters, disposition, languages (RFC 2045 section 5,
//! RFC 2183, RFC 3282), with the continuations of RFC 2231 joined. Read leniently.

use crate::order;
use crate::wire::header::cursor::Cursor;

/// A parameter's name and value, as written.
pub type Parameter = (Vec<u8>, Vec<u8>);

/// The value of a Content-Type field.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ContentType {
    /// `text`; possibly empty.
    pub main: Vec<u8>,
    /// `plain`; `None` when there is no slash.
    pub sub: Option<Vec<u8>>,
    /// Without those of a field that is broken before its first semicolon.
    pub parameters: Vec<Parameter>,
}

impl ContentType {
    /// Reads the value of a Content-Type field.
    pub fn parse(value: &[u8]) -> ContentType {
        let mut cursor = Cursor::new(value);
        let mut content = ContentType::default();
        if cursor.space() != Ok(true) || cursor.token(&mut content.main) != Ok(true) || !cursor.take(b'/') {
            return content;
        }
        if cursor.space() != Ok(true) {
            return content;
        }
        let mut sub = Vec::new();
        let step = cursor.token(&mut sub);
        content.sub = Some(sub);
        if step.is_ok() {
            content.parameters = parameters(&mut cursor);
        }
        content
    }

    /// Whether it is this type, both in lower case.
    pub fn is(&self, main: &[u8], sub: &[u8]) -> bool {
        self.main.eq_ignore_ascii_case(main) && self.sub.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(sub))
    }

    /// Whether it is that of a message whose headers may be in UTF-8 (RFC 6532 section 3.7).
    pub fn is_global_message(&self) -> bool {
        self.is(b"message", b"global")
    }

    /// The value of the first parameter of that name.
    pub fn parameter(&self, name: &[u8]) -> Option<&[u8]> {
        self.parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }
}

/// The value of a Content-Disposition field (RFC 2183): its type and parameters.
pub fn parse_disposition(value: &[u8]) -> Option<(Vec<u8>, Vec<Parameter>)> {
    let mut cursor = Cursor::new(value);
    let mut kind = Vec::new();
    cursor.space().ok()?;
    cursor.token(&mut kind).ok()?;
    Some((kind, parameters(&mut cursor)))
}

/// The token of a Content-Transfer-Encoding field. `None` when there is none or something follows it.
pub fn parse_encoding(value: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(value);
    let mut token = Vec::new();
    cursor.space().ok()?;
    let more = cursor.token(&mut token).ok()?;
    Some(token).filter(|token| !more && !token.is_empty())
}

/// The tags of a Content-Language field (RFC 3282).
pub fn parse_languages(value: &[u8]) -> Vec<Vec<u8>> {
    let mut cursor = Cursor::new(value);
    let mut tags = Vec::new();
    loop {
        let mut tag = Vec::new();
        if cursor.space().is_err() || cursor.atom(&mut tag).is_err() {
            return tags;
        }
        tags.push(tag);
        if !cursor.take(b',') {
            return tags;
        }
    }
}

/// Reads `*(";" parameter)`, passing over what is none.
fn parameters(cursor: &mut Cursor<'_>) -> Vec<Parameter> {
    let mut found = Vec::new();
    while cursor.peek().is_some() {
        match parameter(cursor) {
            Some(parameter) => found.push(parameter),
            None => cursor.skip(),
        }
    }
    join_continuations(found)
}

fn parameter(cursor: &mut Cursor<'_>) -> Option<Parameter> {
    let (mut name, mut value) = (Vec::new(), Vec::new());
    if !cursor.take(b';') || cursor.space() != Ok(true) || cursor.token(&mut name) != Ok(true) || !cursor.take(b'=') {
        return None;
    }
    let step = match cursor.space() {
        Ok(true) if cursor.peek() == Some(b'"') => cursor.quoted_string(&mut value),
        Ok(true) if cursor.peek() == Some(b'=') => {
            // An encoded word where none may stand: name==?utf-8?b?...?=
            while let Some(byte) = cursor.peek().filter(|byte| !b"; \t\r\n".contains(byte)) {
                value.push(byte);
                cursor.skip();
            }
            Ok(true)
        }
        Ok(true) => cursor.token(&mut value),
        other => other,
    };
    step.ok().map(|_| (name, value))
}

/// A piece of a parameter that RFC 2231 section 3 cut: `name*index` or `name*index*`.
struct Piece {
    name: Vec<u8>,
    index: u32,
    extended: bool,
    value: Vec<u8>,
}

impl Piece {
    /// `Err` gives the parameter back when it is no piece.
    fn of((name, value): Parameter) -> Result<Piece, Parameter> {
        let parsed = memchr::memchr(b'*', &name).and_then(|star| {
            let (base, suffix) = name.split_at(star);
            let suffix = suffix.get(1..)?;
            let digits = suffix.strip_suffix(b"*").unwrap_or(suffix);
            if digits.is_empty() || digits.len() > 4 || !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let index = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
            Some((base.to_vec(), index, digits.len() < suffix.len()))
        });
        match parsed {
            Some((name, index, extended)) => Ok(Piece { name, index, extended, value }),
            None => Err((name, value)),
        }
    }
}

/// Joins the pieces of each parameter into one, `name` or (if a piece was percent-encoded) `name*`. Pieces of which one
/// is missing stay as they are.
fn join_continuations(parameters: Vec<Parameter>) -> Vec<Parameter> {
    let mut whole = Vec::with_capacity(parameters.len());
    let mut pieces = Vec::new();
    for parameter in parameters {
        match Piece::of(parameter) {
            Ok(piece) => pieces.push(piece),
            Err(parameter) => whole.push(parameter),
        }
    }
    order::sort_by(&mut pieces, |a, b| a.name.cmp(&b.name).then(a.index.cmp(&b.index)));
    for group in pieces.chunk_by(|a, b| a.name.eq_ignore_ascii_case(&b.name)) {
        let complete = group.iter().zip(0..).all(|(piece, index)| piece.index == index);
        if complete {
            whole.push(join(group));
        } else {
            whole.extend(group.iter().map(|piece| {
                let star = if piece.extended { "*" } else { "" };
                let name = [&piece.name[..], format!("*{}{star}", piece.index).as_bytes()].concat();
                (name, piece.value.clone())
            }));
        }
    }
    whole
}

fn join(pieces: &[Piece]) -> Parameter {
    let extended = pieces.iter().any(|piece| piece.extended);
    let mut name = pieces.first().map(|piece| piece.name.clone()).unwrap_or_default();
    let mut value = Vec::new();
    if extended {
        name.push(b'*');
        if pieces.first().is_some_and(|piece| !piece.extended) {
            // Neither charset nor language was named.
            value.extend_from_slice(b"''");
        }
    }
    for piece in pieces {
        for &byte in &piece.value {
            if byte == b'%' && extended && !piece.extended {
                value.extend_from_slice(b"%25");
            } else {
                value.push(byte);
            }
        }
    }
    (name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(value: &str) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let content = ContentType::parse(value.as_bytes());
        let mut shown = format!("{}/{}", text(&content.main), content.sub.as_deref().map_or("-".to_owned(), text));
        for (name, value) in &content.parameters {
            shown += &format!(" {}={}", text(name), text(value));
        }
        shown
    }

    #[test]
    fn types_and_parameters() {
        assert_eq!(typed("text/plain; charset=us-ascii (Plain text)"), "text/plain charset=us-ascii");
        assert_eq!(typed(" Text / HTML ;charset=\"utf-8\";format=flowed"), "Text/HTML charset=utf-8 format=flowed");
        assert_eq!(typed("multipart/mixed; boundary=\"a b\\\"c\"; x"), "multipart/mixed boundary=a b\"c");
        assert_eq!(typed("text"), "text/-");
        assert_eq!(typed(""), "/-");
        assert_eq!(typed("text/plain charset=x; name=y"), "text/plain name=y");
        assert_eq!(typed("a/b; name==?utf-8?b?w6k=?=; c=d"), "a/b name==?utf-8?b?w6k=?= c=d");
        assert_eq!(typed("a/b; ; =x; c=; d=e"), "a/b c= d=e");
        assert_eq!(typed("a/b; c=\"never closed"), "a/b");
    }

    #[test]
    fn continuations_are_joined() {
        // RFC 2231 sections 3 and 4.1.
        assert_eq!(
            typed("message/external-body; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub\""),
            "message/external-body access-type=URL URL=ftp://cs.utk.edu/pub"
        );
        assert_eq!(
            typed(
                "application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\""
            ),
            "application/x-stuff title*=us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn't it!"
        );
        assert_eq!(typed("a/b; n*=utf-8''%C3%A9"), "a/b n*=utf-8''%C3%A9");
        assert_eq!(typed("a/b; n*1=y; n*0=x; m*1=z"), "a/b m*1=z n=xy");
        assert_eq!(typed("a/b; n*0=1%; n*1*=x"), "a/b n*=''1%25x");
    }

    #[test]
    fn other_content_fields() {
        let (kind, parameters) = parse_disposition(b"attachment; filename=\"a.txt\"; size=3").unwrap();
        assert_eq!((&kind[..], parameters.len(), &parameters[0].1[..]), (&b"attachment"[..], 2, &b"a.txt"[..]));
        assert_eq!(parse_encoding(b" base64 (yes)"), Some(b"base64".to_vec()));
        assert_eq!(parse_encoding(b"8bit; x"), None);
        assert_eq!(parse_encoding(b""), None);
        assert_eq!(parse_languages(b"de, en (English)"), [b"de".to_vec(), b"en".to_vec()]);
        assert_eq!(parse_languages(b""), Vec::<Vec<u8>>::new());
    }
}
