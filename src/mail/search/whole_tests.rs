//! Whole messages, from their bytes to the answer: by signature and by reading all of it SEARCH finds the same, and what was written
//! into a message is found, in whatever charset and encoding, as deep as it lies. FUZZY finds that, too.

use super::*;
use crate::mail::index::Indexer;
use crate::mail::message::{SystemFlags, Uid};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use proptest::prelude::*;

/// Charsets with letters that they have, and some that others have, too.
const CHARSETS: [(&str, &str); 10] = [
    ("us-ascii", "abEz 1.;\"+-=<>&?_"),
    ("utf-8", "aBz üßÄéñİΣς日本Ж😀\u{308}ﬁ ."),
    ("iso-8859-1", "aBz üßÄéñ +."),
    ("windows-1252", "aB €„“ü."),
    ("koi8-r", "aB приветЖЁё."),
    ("shift_jis", "aB 日本テスト."),
    ("iso-2022-jp", "aB 日本テスト."),
    ("gb18030", "aB 日本ü中文😀."),
    ("utf-16be", "aB ü日😀."),
    ("utf-7", "aB ü日😀+-/."),
];

/// Text and how it is written: charset, transfer encoding, type.
#[derive(Clone, Debug)]
struct Written {
    text: String,
    charset: usize,
    encoding: usize,
    kind: usize,
}

#[derive(Clone, Debug)]
enum Piece {
    Leaf(Written),
    Multipart(Vec<Piece>),
    Message(String, Box<Piece>),
}

fn in_charset(name: &str, text: &str) -> Vec<u8> {
    let units = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    match name {
        "utf-16be" => units(text),
        "utf-7" => {
            let mut out = String::new();
            for c in text.chars() {
                match c {
                    '+' => out.push_str("+-"),
                    _ if c.is_ascii() => out.push(c),
                    _ => out.push_str(&format!("+{}-", STANDARD_NO_PAD.encode(units(&c.to_string())))),
                }
            }
            out.into_bytes()
        }
        _ => encoding_rs::Encoding::for_label(name.as_bytes()).expect("known").encode(text).0.into_owned(),
    }
}

fn quoted(bytes: &[u8], soft: &str) -> String {
    let mut out = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if at % 20 == 19 {
            out.push_str(soft);
        }
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("={byte:02X}")),
        }
    }
    out
}

impl Written {
    fn part(&self) -> Vec<u8> {
        let (charset, _) = CHARSETS[self.charset];
        let raw = in_charset(charset, &self.text);
        let (encoding, body) = match self.encoding {
            0 => ("quoted-printable", quoted(&raw, "=\r\n").into_bytes()),
            1 => {
                let coded = STANDARD.encode(&raw).into_bytes();
                ("base64", coded.chunks(11).collect::<Vec<_>>().join(&b"\r\n"[..]))
            }
            // Lines that would be boundaries, or wide characters with line ends in them, are not written as they are.
            _ if charset == "utf-16be" => ("base64", STANDARD.encode(&raw).into_bytes()),
            _ => ("8bit", raw),
        };
        let kind = ["text/plain", "text/html", "message/global-delivery-status"][self.kind];
        let header =
            format!("Content-Type: {kind}; charset=\"{charset}\"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
        [header.as_bytes(), &body, b"\r\n"].concat()
    }

    /// As words of a header field, one to three characters each.
    fn field(&self) -> String {
        let (charset, _) = CHARSETS[self.charset];
        let chars: Vec<char> = self.text.chars().collect();
        let word = |chars: &[char]| {
            let raw = in_charset(charset, &chars.iter().collect::<String>());
            match self.encoding {
                0 => format!("=?{charset}?Q?{}?=", quoted(&raw, "")),
                _ => format!("=?{charset}?B?{}?=", STANDARD.encode(raw)),
            }
        };
        chars.chunks(3).map(word).collect::<Vec<_>>().join("\r\n ")
    }
}

impl Piece {
    /// Its bytes, a header and a body; `number` makes its boundary its own.
    fn bytes(&self, number: &mut u32) -> Vec<u8> {
        *number += 1;
        match self {
            Piece::Leaf(written) => written.part(),
            Piece::Multipart(pieces) => {
                let boundary = format!("cut{number}cut");
                let mut out =
                    format!("Content-Type: multipart/mixed; boundary={boundary}\r\n\r\npreamble\r\n").into_bytes();
                for piece in pieces {
                    out.extend(format!("--{boundary}\r\n").bytes());
                    out.extend(piece.bytes(number));
                }
                out.extend(format!("--{boundary}--\r\nepilogue\r\n").bytes());
                out
            }
            Piece::Message(field, piece) => {
                let mut out = format!("Content-Type: message/rfc822\r\n\r\nX-Inner: {field}\r\nMIME-Version: 1.0\r\n")
                    .into_bytes();
                out.extend(piece.bytes(number));
                out
            }
        }
    }

    fn texts<'p>(&'p self, out: &mut Vec<&'p str>) {
        match self {
            Piece::Leaf(written) => out.push(&written.text),
            Piece::Multipart(pieces) => pieces.iter().for_each(|piece| piece.texts(out)),
            Piece::Message(field, piece) => {
                out.push(field);
                piece.texts(out);
            }
        }
    }
}

fn written(length: std::ops::Range<usize>) -> impl Strategy<Value = Written> {
    let letters = proptest::collection::vec(any::<prop::sample::Index>(), length);
    (0..CHARSETS.len(), letters, 0usize..3, 0usize..3).prop_map(|(charset, letters, encoding, kind)| {
        let known: Vec<char> = CHARSETS[charset].1.chars().collect();
        let text = letters.iter().map(|letter| *letter.get(&known)).collect::<String>();
        Written { text: text.trim().to_owned(), charset, encoding, kind }
    })
}

fn piece() -> impl Strategy<Value = Piece> {
    written(0..60).prop_map(Piece::Leaf).prop_recursive(3, 8, 3, |piece| {
        prop_oneof![
            proptest::collection::vec(piece.clone(), 1..4).prop_map(Piece::Multipart),
            ("[a-z]{1,9}", piece).prop_map(|(field, piece)| Piece::Message(field, Box::new(piece))),
        ]
    })
}

/// Whether the message matches, with this signature; all else is given as it is asked for.
fn matches(key: &SearchKey, message: &[u8], index: &BodyIndex, signature: &[u8]) -> bool {
    let (map, saved) = (UidMap::new([Uid(1)]), NumberSet::default());
    let query = Query::new(key, Sight { map: &map, saved: &saved, keywords: &[], store: 0 }, Timestamp(0))
        .expect("few strings");
    let header = &message[..index.parts[0].body_start as usize];
    let row = MessageRow {
        uid: Uid(1),
        modseq: ModSeq(1),
        flags: SystemFlags::default(),
        keywords: 0,
        internal_date: Timestamp(0),
        saved: Timestamp(0),
        bytes: message.len() as u64,
        body: BodyId(1),
        form: Default::default(),
    };
    let mut facts = Facts { row: &row, thread: None, index: None, signature: None, header: None, hits: None };
    for _ in 0..6 {
        match query.decide(&facts) {
            Answer::Yes => return true,
            Answer::No => return false,
            Answer::NeedThread => facts.thread = Some(ThreadId(1)),
            Answer::NeedIndex => facts.index = Some(index),
            Answer::NeedSignature => facts.signature = Some(signature),
            Answer::NeedHeader => facts.header = Some(header),
            Answer::NeedHits => {
                let mut scan = TextScan::new(&query);
                for stretch in stretches(index) {
                    let bytes = &message[stretch.bytes.start as usize..stretch.bytes.end as usize];
                    bytes.chunks(9).for_each(|piece| scan.scan(index, &stretch, piece, false));
                    scan.scan(index, &stretch, b"", true);
                }
                facts.hits = Some(scan.hits());
            }
        }
    }
    panic!("a search never had enough");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn by_signature_and_by_reading_the_same_is_found(
        subject in written(1..20),
        piece in piece(),
        of in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        length in 1usize..12,
        other in "(\\PC{1,5}|[a-zA-Z]{3,6})",
        upper: bool,
    ) {
        let mut message = format!("Subject: {0}\r\nX-Field: {0}\r\nMIME-Version: 1.0\r\n", subject.field()).into_bytes();
        message.extend(piece.bytes(&mut 0));
        let mut indexer = Indexer::new();
        message.chunks(61).for_each(|bytes| indexer.push(bytes));
        let index = indexer.finish();
        prop_assert!(!index.signature.is_empty() && signature::is_current(&index.signature));
        let (mut texts, subject) = (vec![&subject.text[..]], &subject.text);
        piece.texts(&mut texts);
        let text = *of.get(&texts);
        let chars: Vec<char> = text.chars().collect();
        let start = if chars.is_empty() { 0 } else { from.index(chars.len()) };
        let taken: String = chars.iter().skip(start).take(length).collect();
        // Capitals of one letter, and only where that changes nothing but the case.
        let spelled = |c: char| {
            let mut capitals = c.to_uppercase();
            let capital = capitals.next().filter(|capital| upper && capitals.next().is_none() && fold(&capital.to_string()) == fold(&c.to_string()));
            capital.unwrap_or(c)
        };
        let needle: String = taken.chars().map(spelled).collect();
        let in_subject = std::ptr::eq(text, &**subject);
        for string in [&needle, &other] {
            let header = || SearchKey::Header { name: "x-field".to_owned(), value: string.clone() };
            let keys = [SearchKey::Text(string.clone()), SearchKey::Body(string.clone()), SearchKey::Subject(string.clone()), header()];
            for key in keys {
                let by_reading = matches(&key, &message, &index, b"");
                prop_assert_eq!(matches(&key, &message, &index, &index.signature), by_reading, "{:?}", key);
                let fuzzy = SearchKey::Fuzzy(Box::new(key.clone()));
                let fuzzily = matches(&fuzzy, &message, &index, b"");
                prop_assert_eq!(matches(&fuzzy, &message, &index, &index.signature), fuzzily, "{:?}", fuzzy);
                prop_assert!(fuzzily || !by_reading, "{:?}", fuzzy);
                let holds = match key {
                    SearchKey::Text(_) => true,
                    SearchKey::Body(_) => !in_subject,
                    _ => in_subject,
                };
                if holds && std::ptr::eq(string, &needle) {
                    prop_assert!(by_reading, "{:?} is not found in {:?}", key, String::from_utf8_lossy(&message));
                }
            }
        }
    }
}
