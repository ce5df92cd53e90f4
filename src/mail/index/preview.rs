//! The preview of a message (RFC 8970): the first words that a person would read of it.
//!
//! Receives the parts of a message and its first bytes; hands on at most [`PREVIEW_CHARACTERS_MAX`] characters of plain text: those
//! of the first part that has any. Markup is left out, white space becomes single spaces. Must always hold: it takes time in
//! proportion to the bytes given, whatever they say.
//!
//! It decodes for itself what the signature has decoded, too: mostly a kilobyte, a twentieth of what indexing costs. One pass for both would
//! tie it to a reader that gives up where there is too much text, and messages whose preview was not kept would need a second way.

use super::{Part, PartKind, TransferEncoding, names_unknown_encoding};
use crate::limits::{PREVIEW_CHARACTERS_MAX, PREVIEW_READ_BYTES};
use crate::mail::text::TextDecoder;

/// Raw bytes of plain text decoded at once: mostly these are enough.
const PIECE_BYTES: usize = 1 << 10;
/// Bytes of the longest reference to a character that is known, `&` and `;` not counted.
const REFERENCE_BYTES_MAX: usize = 8;
/// Elements whose content is nothing to read.
const UNREAD_ELEMENTS: [&str; 4] = ["script", "style", "title", "template"];
/// Elements that may stand in the middle of a word.
#[rustfmt::skip]
const INLINE_ELEMENTS: [&str; 24] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "em", "font", "i", "ins", "kbd", "mark", "s", "small",
    "span", "strong", "sub", "sup", "tt", "u", "wbr",
];
/// References to characters that mail has, beside numbers.
#[rustfmt::skip]
const REFERENCES: [(&str, char); 31] = [
    ("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\''), ("nbsp", ' '), ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'), ("shy", '\u{ad}'), ("ndash", '–'), ("mdash", '—'), ("lsquo", '‘'), ("rsquo", '’'), ("ldquo", '“'),
    ("rdquo", '”'), ("bdquo", '„'), ("laquo", '«'), ("raquo", '»'), ("hellip", '…'), ("bull", '•'), ("middot", '·'),
    ("euro", '€'), ("copy", '©'), ("reg", '®'), ("auml", 'ä'), ("ouml", 'ö'), ("uuml", 'ü'), ("Auml", 'Ä'), ("Ouml", 'Ö'),
    ("Uuml", 'Ü'), ("szlig", 'ß'),
];
/// How a text begins that only its reader can decrypt (RFC 9580 section 6.2).
const ENCRYPTED: &str = "-----BEGIN PGP MESSAGE-----";

/// Keeps the first bytes of a message, [`PREVIEW_READ_BYTES`] at most, until its parts are known.
#[derive(Default)]
pub struct Head(Vec<u8>);

impl Head {
    /// Takes the next bytes of the message.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = (PREVIEW_READ_BYTES as usize).saturating_sub(self.0.len());
        self.0.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The preview of the message that has these parts.
    pub fn preview(&self, parts: &[Part]) -> String {
        preview(parts, &self.0)
    }
}

/// The preview of a message of these parts that begins with the bytes of `head`; nothing when there is no text in them, or none that
/// can be read. Of a message the same head has the same preview.
pub fn preview(parts: &[Part], head: &[u8]) -> String {
    let head = head.get(..PREVIEW_READ_BYTES as usize).unwrap_or(head);
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(head.len());
    let between = |from: u64, to: u64| head.get(at(from)..at(to)).unwrap_or_default();
    for (place, part) in parts.iter().enumerate() {
        if part.body_start >= head.len() as u64 {
            break;
        }
        let header = between(part.header_start, part.body_start);
        // The one child of a message is a message itself, and what is not inside anything is one, too.
        let parent = place.checked_sub(1).and_then(|before| parts.get(before));
        let in_multipart = parent.is_some_and(|parent| !parent.kind.holds_message());
        let is_text = matches!(part.kind, PartKind::Text | PartKind::Html);
        // An unknown encoding counts as none.
        let is_readable = part.encoding != TransferEncoding::Identity || !names_unknown_encoding(header, in_multipart);
        if !is_text || !is_readable {
            continue;
        }
        let whole = part.body_end <= head.len() as u64;
        let gist = gist_of(part, between(part.body_start, part.body_end), whole);
        if gist.text.starts_with(ENCRYPTED) {
            return String::new();
        }
        if !gist.text.is_empty() {
            return gist.text;
        }
    }
    String::new()
}

fn gist_of(part: &Part, raw: &[u8], whole: bool) -> Gist {
    let (mut gist, mut text) = (Gist::default(), String::new());
    let mut decoder = TextDecoder::unfolded(part.encoding, &part.charset);
    for piece in raw.chunks(PIECE_BYTES) {
        decoder.decode(piece, &mut text);
        if part.kind != PartKind::Html {
            gist.push_text(&text);
            text.clear();
            if gist.is_full() {
                return gist;
            }
        }
    }
    if whole {
        decoder.finish(&mut text);
    }
    match part.kind {
        PartKind::Html => push_html(&text, &mut gist),
        _ => gist.push_text(&text),
    }
    gist
}

/// Text in which white space became single spaces, as far as it may be told.
#[derive(Default)]
struct Gist {
    text: String,
    characters: usize,
    /// White space was met behind it.
    space: bool,
}

impl Gist {
    fn is_full(&self) -> bool {
        self.characters >= PREVIEW_CHARACTERS_MAX
    }

    fn push_text(&mut self, text: &str) {
        for c in text.chars() {
            if self.is_full() {
                return;
            }
            self.push(c);
        }
    }

    fn push(&mut self, c: char) {
        if c.is_whitespace() {
            self.space = true;
            return;
        }
        let is_invisible = match c {
            // Joiners belong between letters, or into pictures made of several.
            '\u{200c}' | '\u{200d}' => self.space || self.text.is_empty(),
            // Fillers, and marks of direction that would go on behind a preview that was cut.
            '\u{ad}' | '\u{34f}' | '\u{200b}' | '\u{2060}' | '\u{feff}' => true,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
            _ => c.is_control(),
        };
        let wanted = 1 + usize::from(self.space && !self.text.is_empty());
        if is_invisible {
            return;
        }
        if self.characters + wanted > PREVIEW_CHARACTERS_MAX {
            self.characters = PREVIEW_CHARACTERS_MAX;
            return;
        }
        if wanted > 1 {
            self.text.push(' ');
        }
        self.space = false;
        self.text.push(c);
        self.characters += wanted;
    }
}

/// Appends what a browser would show of HTML, without its form. A tag or an element that is nothing to read and does not end hides all
/// that follows.
fn push_html(html: &str, gist: &mut Gist) {
    let mut rest = html;
    while !gist.is_full() {
        let Some(found) = rest.find(['<', '&']) else { return gist.push_text(rest) };
        let (text, mark) = rest.split_at(found);
        gist.push_text(text);
        let after = mark.get(1..).unwrap_or_default();
        if mark.starts_with('&') {
            let (c, behind) = reference(after).unwrap_or(('&', after));
            gist.push(c);
            rest = behind;
            continue;
        }
        if let Some(comment) = after.strip_prefix("!--") {
            let Some((_, behind)) = comment.split_once("-->") else { return };
            rest = behind;
            continue;
        }
        if !after.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
            gist.push('<');
            rest = after;
            continue;
        }
        let inner = after.strip_prefix('/').unwrap_or(after);
        let length = inner.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
        let name = inner.get(..length).unwrap_or_default();
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if !is(&INLINE_ELEMENTS) {
            gist.push(' ');
        }
        let Some(behind) = behind_tag(inner) else { return };
        rest = behind;
        if after.len() == inner.len() && is(&UNREAD_ELEMENTS) {
            let Some(behind) = behind_element(rest, name) else { return };
            rest = behind;
        }
    }
}

/// What follows the `>` that ends this tag: values of attributes may hold others.
fn behind_tag(tag: &str) -> Option<&str> {
    let (mut quote, mut before) = (None, b' ');
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') if before == b'=' => quote = Some(byte),
            (None, b'>') => return tag.get(at + 1..),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
    None
}

/// The end tag of this element and what follows.
fn behind_element<'a>(content: &'a str, name: &str) -> Option<&'a str> {
    let ends = |at: &usize| {
        let found = content.get(at + 2..at + 2 + name.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    content.match_indices("</").map(|(at, _)| at).find(ends).and_then(|at| content.get(at..))
}

/// The character that a reference stands for, and what follows; `text` begins behind the `&`.
fn reference(text: &str) -> Option<(char, &str)> {
    let end = text.bytes().take(REFERENCE_BYTES_MAX + 1).position(|byte| byte == b';')?;
    let (name, behind) = (text.get(..end)?, text.get(end + 1..)?);
    let c = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
        None => REFERENCES.iter().find(|(known, _)| *known == name)?.1,
    };
    Some((c, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::index::Indexer;
    use proptest::prelude::*;

    fn preview_of(message: &[u8]) -> String {
        let mut indexer = Indexer::new();
        message.chunks(7).for_each(|piece| indexer.push(piece));
        let index = indexer.finish();
        assert_eq!(index.preview, Some(preview(&index.parts, message)));
        index.preview.unwrap_or_default()
    }

    fn html(text: &str) -> String {
        let mut gist = Gist::default();
        push_html(text, &mut gist);
        gist.text
    }

    #[test]
    fn the_first_words_that_can_be_read() {
        for (header, body, wanted) in [
            ("", "\r\n Hello,\r\n\tworld \u{a0}! \r\n", "Hello, world !"),
            ("MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n", "R3LDvMOfZQ==", "Grüße"),
            ("Content-Type: text/plain; charset=utf-8\r\n", "\u{feff}A\0B\u{202e}C\u{7}", "ABC"),
            ("Content-Type: image/png\r\n", "abc", ""),
            ("MIME-Version: 1.0\r\nContent-Transfer-Encoding: x-none\r\n", "abc", ""),
            ("", "-----BEGIN PGP MESSAGE-----\r\n\r\nabc\r\n", ""),
            ("", "", ""),
        ] {
            assert_eq!(preview_of(format!("{header}\r\n{body}").as_bytes()), wanted);
        }
        let multipart = "Content-Type: multipart/alternative; boundary=a\r\n\r\npreamble\r\n--a\r\n\r\n \r\n--a\r\n\
            Content-Type: text/html\r\n\r\n<p>Hi <b>you</b></p>\r\n--a--\r\n";
        assert_eq!(preview_of(multipart.as_bytes()), "Hi you");
    }

    #[test]
    fn so_many_characters_and_no_more() {
        let body = |body: &str| preview_of(format!("\r\n{body}").as_bytes());
        assert_eq!(body(&"ü".repeat(300)), "ü".repeat(PREVIEW_CHARACTERS_MAX));
        let words = format!("{} b", "a".repeat(PREVIEW_CHARACTERS_MAX - 1));
        assert_eq!(body(&words), "a".repeat(PREVIEW_CHARACTERS_MAX - 1));
        // Text that begins behind the bytes looked at is not found.
        assert_eq!(body(&format!("{}x", " ".repeat(PREVIEW_READ_BYTES as usize))), "");
    }

    #[test]
    fn html_is_read_without_its_markup() {
        for (text, wanted) in [
            ("<html><head><title>T</title><STYLE type=a>b{}</Style></head><body>Hi<br>you</body>", "Hi you"),
            ("a<!-- > b -->c <a href=\"x>y\" title=it's>d</a>e", "ac de"),
            ("1 < 2 &amp;&lt; 3&nbsp;&nbsp;&#228;&#x1F600;&bogus; &#xD800; & &", "1 < 2 &< 3 ä😀&bogus; &#xD800; & &"),
            ("<p>one</p><p>two</p>&zwnj;&nbsp;&zwnj;&nbsp;three", "one two three"),
            ("a<style>b", "a"),
            ("a<b", "a"),
        ] {
            assert_eq!(html(text), wanted);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_a_preview_is_short_plain_text(
            raw: Vec<u8>,
            marks in "([<>&;\"'=/!-]|style|é|a| |\u{200d}){0,60}",
            kind in 0usize..3,
        ) {
            let kind = ["text/plain", "text/html", "text/html; charset=utf-16"][kind];
            let header = format!("MIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n").into_bytes();
            for body in [raw, marks.into_bytes()] {
                let text = preview_of(&[&header[..], &body].concat());
                prop_assert!(text.chars().count() <= PREVIEW_CHARACTERS_MAX);
                prop_assert!(text.trim() == text && !text.contains("  ") && !text.contains(char::is_control), "{text:?}");
            }
        }
    }
}
