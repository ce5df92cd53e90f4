//! What the index says of messages, sound and not.

use super::*;
use crate::limits::{MIME_DEPTH_MAX, MIME_FACTS_BYTES_MAX, MIME_FIELD_BYTES_MAX, MIME_PARTS_MAX};
use proptest::prelude::*;

fn index_of(message: &[u8], cut: usize) -> BodyIndex {
    let mut indexer = Indexer::new();
    message.chunks(cut.max(1)).for_each(|piece| indexer.push(piece));
    indexer.finish()
}

/// Indexed whole, byte by byte and in small pieces, which must agree.
fn index(message: &[u8]) -> BodyIndex {
    let whole = index_of(message, message.len());
    for cut in [1, 2, 3, 7, 85] {
        assert_eq!(index_of(message, cut), whole, "cut {cut}");
    }
    assert_consistent(&whole, message.len() as u64);
    whole
}

/// BODYSTRUCTURE of a message whose lines end with LF here and with CRLF there.
fn structure(message: &str) -> String {
    String::from_utf8(index(message.replace('\n', "\r\n").as_bytes()).body_structure).unwrap()
}

/// The bodies of all parts, depth first.
fn bodies(message: &str) -> Vec<String> {
    let message = message.replace('\n', "\r\n");
    let parts = index(message.as_bytes()).parts;
    let body = |part: &Part| message[part.body_start as usize..part.body_end as usize].to_owned();
    parts.iter().map(body).collect()
}

/// Parts nest, siblings follow each other, nothing reaches beyond the message.
fn assert_consistent(index: &BodyIndex, bytes: u64) {
    let parts = &index.parts;
    assert_eq!((parts[0].header_start, parts[0].body_end), (0, bytes));
    assert_eq!(parts[0].descendants as usize, parts.len() - 1);
    for (at, part) in parts.iter().enumerate() {
        assert!(part.header_start <= part.body_start && part.body_start <= part.body_end, "{parts:?}");
        let (mut child, end) = (at + 1, at + 1 + part.descendants as usize);
        let mut from = part.body_start;
        while child < end {
            assert!(from <= parts[child].header_start && parts[child].body_end <= part.body_end, "{parts:?}");
            from = parts[child].body_end;
            child += 1 + parts[child].descendants as usize;
        }
        assert_eq!(child, end);
        match part.kind {
            PartKind::Multipart => {}
            PartKind::Message | PartKind::GlobalMessage => assert!(part.descendants > 0),
            _ => assert_eq!(part.descendants, 0),
        }
    }
    for bytes in [&index.envelope, &index.body_structure, &index.body] {
        assert_eq!(after_value(bytes), Some(&b""[..]), "{:?}", String::from_utf8_lossy(bytes));
    }
    for structure in [&index.body_structure, &index.body] {
        let [rev1, rev2] = [false, true].map(|nests_global| global::shown(structure, nests_global));
        assert_eq!([after_value(&rev1), after_value(&rev2)], [Some(&b""[..]); 2]);
        // Who does not look inside still sees as much as there was, and nothing there is told twice.
        assert!(rev1.len() <= structure.len());
        assert_eq!(global::shown(&rev1, false), rev1);
        assert_eq!(global::shown(&rev2, true), rev2);
        if !parts.iter().any(|part| part.kind == PartKind::GlobalMessage) {
            assert_eq!(&rev1[..], &structure[..]);
        }
    }
}

/// Reads one IMAP value (list, string, literal, number, NIL); what follows it.
fn after_value(bytes: &[u8]) -> Option<&[u8]> {
    let mut depth = 0usize;
    let mut rest = bytes;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            b'"' => loop {
                let (&byte, after) = rest.split_first()?;
                rest = after;
                match byte {
                    b'"' => break,
                    b'\\' => rest = rest.get(1..)?,
                    b'\r' | b'\n' | 0 | 128.. => return None,
                    _ => {}
                }
            },
            b'{' => {
                let digits = rest.iter().position(|byte| *byte == b'}')?;
                let length: usize = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
                rest = rest.get(digits..)?.strip_prefix(b"}\r\n")?.get(length..)?;
            }
            b' ' | b'0'..=b'9' | b'N' | b'I' | b'L' => {}
            _ => return None,
        }
        if depth == 0 {
            return Some(rest);
        }
    }
}

#[test]
fn a_text_and_an_attachment() {
    let message = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b 1\"\nContent-Language: de\n\npreamble\n\
        --b 1\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\none\ntwo\n\
        --b 1  \nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\nContent-ID: <1@x>\n\
        Content-Description: a \"b\"\nContent-MD5: x==\nContent-Disposition: attachment; filename=a.pdf\n\
        Content-Location: http://x/\n\nQUJD\n\n--b 1--\nepilogue\n";
    assert_eq!(
        structure(message),
        "((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"quoted-printable\" 8 1 NIL NIL NIL NIL)\
         (\"application\" \"pdf\" (\"name\" \"a.pdf\") \"<1@x>\" \"a \\\"b\\\"\" \"base64\" 6 \"x==\" \
         (\"attachment\" (\"filename\" \"a.pdf\")) NIL \"http://x/\") \
         \"mixed\" (\"boundary\" \"b 1\") NIL (\"de\") NIL)"
    );
    assert_eq!(bodies(message)[1..], ["one\r\ntwo", "QUJD\r\n"]);
    let parts = index(message.as_bytes()).parts;
    let kinds: Vec<_> = parts.iter().map(|part| (part.kind, part.encoding, part.charset.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (PartKind::Multipart, TransferEncoding::Identity, ""),
            (PartKind::Text, TransferEncoding::QuotedPrintable, "utf-8"),
            (PartKind::Leaf, TransferEncoding::Base64, ""),
        ]
    );
}

#[test]
fn a_message_in_a_message_shows_its_envelope() {
    let message = "Content-Type: message/rfc822\n\nSubject: inner\nFrom: a@b\n\nbody\n";
    let envelope =
        "(NIL \"inner\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL)";
    let text = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 6 1 NIL NIL NIL NIL)";
    assert_eq!(
        structure(message),
        format!("(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 35 {envelope} {text} 4 NIL NIL NIL NIL)")
    );
}

#[test]
fn a_global_message_is_looked_into_unless_it_is_encoded() {
    let message = |encoding: &str| {
        format!(
            "Content-Type: message/global\r\nContent-Transfer-Encoding: {encoding}\r\n\r\nSubject: grüße\r\n\
             Content-Type: text/html\r\n\r\n<p>x</p>\r\n"
        )
    };
    for encoding in ["7bit", "8BIT", "binary"] {
        let BodyIndex { parts, beyond_ascii, preview, .. } = index(message(encoding).as_bytes());
        let kinds: Vec<_> = parts.iter().map(|part| (part.kind, part.descendants)).collect();
        assert_eq!(kinds, [(PartKind::GlobalMessage, 1), (PartKind::Html, 0)]);
        assert_eq!((beyond_ascii, preview.as_deref()), (false, Some("x")), "{encoding}");
    }
    for encoding in ["base64", "quoted-printable", "x-own"] {
        let BodyIndex { parts, beyond_ascii, preview, .. } = index(message(encoding).as_bytes());
        assert_eq!((parts.len(), parts[0].kind), (1, PartKind::OtherMessage));
        assert_eq!((beyond_ascii, preview.as_deref()), (false, Some("")), "{encoding}");
    }
}

#[test]
fn headers_inside_a_global_message_are_not_the_messages() {
    let part = "Subject: x\r\n\r\n";
    let message = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/global\r\n\r\n\
         Subject: ü\r\nContent-Type: message/rfc822\r\n\r\nSubject: ü\r\n\r\n--b\r\n{part}x\r\n--b--\r\n"
    );
    let facts = index(message.as_bytes());
    assert_eq!((facts.parts.len(), facts.beyond_ascii), (5, false));
    let outside: Vec<_> = facts.parts_outside_global().map(|part| (part.kind, part.descendants)).collect();
    assert_eq!(outside, [(PartKind::Multipart, 4), (PartKind::GlobalMessage, 2), (PartKind::Text, 0)]);
    // Behind it and around it they are.
    for other in [message.replace(part, "Subject: ü\r\n\r\n"), format!("Subject: ü\r\n{message}")] {
        assert!(index(other.as_bytes()).beyond_ascii);
    }
    // Cut where a header may end, and nothing but that is known of it.
    assert!(index("Content-Type: message/rfc822\r\n\r\n\u{fc}".as_bytes()).beyond_ascii);
    assert!(!index("Content-Type: message/global\r\n\r\n\u{fc}".as_bytes()).beyond_ascii);
}

#[test]
fn the_line_end_before_a_boundary_is_the_boundarys() {
    let message = "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n\
        --i\n\nx\n--o\n\ny\n--o--\n";
    // The outer boundary ends the inner multipart too, which was never closed.
    assert_eq!(bodies(message)[1..], ["--i\r\n\r\nx", "x", "y"]);
}

#[test]
fn a_boundary_may_cut_a_header() {
    // Three servers agree that the part ends there, and that the line end goes to the boundary.
    let message = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n--b\n\nx\n--b--\n";
    assert_eq!(bodies(message)[1..], ["", "x"]);
    assert!(structure(message).starts_with("((\"text\" \"html\" "));
}

#[test]
fn only_the_longest_of_two_boundaries_with_the_same_beginning_counts() {
    // RFC 2046 section 5.1.2 forbids it; mail programs derive inner boundaries from outer ones all the same.
    let message = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b2\n\n\
        --b2\n\nx\n--b2--\n--b\n\ny\n--b--\n";
    assert_eq!(bodies(message)[2..], ["x", "y"]);
    // A boundary that itself ends with hyphens is not the end of a shorter one.
    let message = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b--\n\n\
        --b--\n\nx\n--b----\n--b--\n";
    assert_eq!(bodies(message)[2..], ["x"]);
}

#[test]
fn a_multipart_that_is_none_is_text() {
    // RFC 2045 section 5.2: a Content-Type that makes no sense counts as none; so people can read what there is.
    let text = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 1 NIL NIL NIL NIL)";
    assert_eq!(structure("Content-Type: multipart/mixed\n\nx\n"), text);
    assert_eq!(structure("Content-Type:\n\nx\n"), text);
    assert_eq!(structure("Content-Type: text\n\nx\n"), text);
    assert_eq!(structure("\nx\n"), text);
    // One with a boundary that never comes has to show a part (RFC 3501: 1*body).
    assert!(structure("Content-Type: multipart/mixed; boundary=b\n\nx\n").starts_with("((\"text\" \"plain\" "));
}

#[test]
fn content_fields_of_a_message_that_is_not_mime_do_not_count() {
    let encoded = "Content-Transfer-Encoding: base64\n\nQUJD\n";
    assert!(structure(encoded).contains("\"7bit\""));
    assert!(structure(&format!("MIME-Version: 1.0\n{encoded}")).contains("\"base64\""));
    assert!(structure(&format!("Content-Type: text/plain\n{encoded}")).contains("\"base64\""));
}

#[test]
fn parts_of_a_digest_are_messages() {
    // RFC 2046 section 5.1.5.
    let message = "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\nx\n--b\nContent-Type: text/plain\n\ny\n--b--\n";
    let structure = structure(message);
    assert!(structure.starts_with("((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 17 (NIL \"one\" "), "{structure}");
    assert_eq!(bodies(message)[1..], ["Subject: one\r\n\r\nx", "x", "y"]);
}

#[test]
fn the_date_is_read_and_bytes_outside_ascii_are_literals() {
    let facts = index("Date: Thu, 13 Feb 1997 23:30:00 -0800\r\nSubject: grüße\r\n\r\n".as_bytes());
    assert_eq!((facts.sent_seconds, facts.sent_zone_minutes), (Some(855_905_400), -480));
    let envelope = String::from_utf8(facts.envelope).unwrap();
    assert!(envelope.starts_with("(\"Thu, 13 Feb 1997 23:30:00 -0800\" {7}\r\ngrüße NIL"), "{envelope}");
}

#[test]
fn depth_is_bounded() {
    let mut message = String::new();
    for level in 0..10 * MIME_DEPTH_MAX {
        message += &format!("Content-Type: multipart/mixed; boundary=b{level}b\r\n\r\n--b{level}b\r\n");
    }
    let parts = index_of(message.as_bytes(), 4096).parts;
    assert_eq!((parts.len(), parts.last().map(|part| part.kind)), (MIME_DEPTH_MAX, Some(PartKind::Leaf)));
    let messages = index_of("Content-Type: message/rfc822\r\n\r\n".repeat(10 * MIME_DEPTH_MAX).as_bytes(), 4096);
    assert_eq!(messages.parts.len(), MIME_DEPTH_MAX);
    assert_consistent(&messages, messages.parts[0].body_end);
    assert!(messages.body_structure.windows(14).any(|window| window == b"\"octet-stream\""));
}

#[test]
fn the_number_of_parts_is_bounded() {
    let header = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    for part in ["--b\r\n", "--b\r\n\r\nx\r\n", "--b\r\nContent-Type: message/rfc822\r\n\r\n"] {
        let message = header.to_owned() + &part.repeat(100_000);
        let facts = index_of(message.as_bytes(), 4096);
        assert!(facts.parts.len() <= MIME_PARTS_MAX, "{}", facts.parts.len());
        // Every piece read of the message reads this along: at 740 KB a search took ten times as long as its decoding.
        assert!(facts.body_structure.len() <= 384 << 10, "{}", facts.body_structure.len());
        assert_consistent(&facts, message.len() as u64);
    }
}

#[test]
fn lines_and_fields_of_any_length_are_bounded() {
    let long = "x".repeat(4 * MIME_FIELD_BYTES_MAX);
    let message = format!(
        "{long}\r\nSubject: {long}\r\nContent-Type: multipart/mixed; boundary={long}\r\n\r\n--{long}\r\n\r\n{long}"
    );
    let facts = index_of(message.as_bytes(), 4096);
    assert!(facts.envelope.len() < MIME_FIELD_BYTES_MAX + 100);
    assert_eq!(facts.parts.len(), 2);
    let many = index_of(format!("Subject: {long}\r\n").repeat(100).as_bytes(), 4096);
    assert!(many.envelope.len() < MIME_FACTS_BYTES_MAX + 100);
}

/// Readers that look ahead and start again must not do so over and over: this ends at once or not in a lifetime.
#[test]
fn fields_made_to_be_read_again_and_again_are_read_once() {
    let long_comment = format!("({})", "x".repeat(MIME_FIELD_BYTES_MAX / 2));
    for piece in
        ["(", "a,", "\"", "<@a,", "a b ", "(x)a,", "a:b,;", ":", "<", "\\", "a@b(", ";a*0=b", ";a=\"", "=?a?q?"]
    {
        let field = long_comment.clone() + &piece.repeat(MIME_FIELD_BYTES_MAX / 2 / piece.len() - 100);
        let message = format!("From: {field}\r\nContent-Type: a/b {field}\r\n\r\n");
        assert_consistent(&index_of(message.as_bytes(), 4096), message.len() as u64);
        let shown = crate::wire::header::encoded_word::decode_text(field.as_bytes());
        assert!(!shown.is_empty() && shown.len() <= field.len());
    }
}

/// Lines that mean something to the scanner, well formed and not.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "--(a|b|ab|a--|)(--)?[ -]{0,2}",
        "Content-Type: (multipart/(mixed|digest)|message/(rfc822|global)|text/html|text|)(; boundary=\"?(a|b|ab|a--)\"?)?",
        "(content-disposition|Subject|From|Content-Language|MIME-Version): ?[ a-z\"(;,@<=*\u{e9}\\\\]{0,12}",
        "Content-Transfer-Encoding: (8bit|base64|x)",
        "[ \t][a-z;=\"]{0,6}",
        "[-a-z: \r\0]{0,9}",
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let ended = (line(), prop_oneof![4 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("")]);
    proptest::collection::vec(ended, 0..30)
        .prop_map(|lines| lines.into_iter().flat_map(|(line, end)| (line + end).into_bytes()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_cut_of_any_message_is_indexed_alike(message in message(), cut in 1usize..200) {
        let whole = index_of(&message, message.len());
        prop_assert_eq!(&index_of(&message, cut), &whole);
        prop_assert_eq!(&index_of(&message, 1), &whole);
        assert_consistent(&whole, message.len() as u64);
    }

    #[test]
    fn any_bytes_are_indexed(message in proptest::collection::vec(any::<u8>(), 0..300), cut in 1usize..50) {
        let whole = index_of(&message, message.len());
        prop_assert_eq!(&index_of(&message, cut), &whole);
        assert_consistent(&whole, message.len() as u64);
    }

    /// Another reader of MIME finds the same parts in messages as people send them.
    #[test]
    fn sound_messages_are_read_as_others_read_them(texts in proptest::collection::vec("([a-z .-]{0,20}\r\n){1,4}", 1..5)) {
        let mut message = "From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n".to_owned();
        for (at, text) in texts.iter().enumerate() {
            let kind = ["text/plain", "text/html", "application/octet-stream"][at % 3];
            message += &format!("--=_x\r\nContent-Type: {kind}\r\n\r\n{text}\r\n");
        }
        message += "--=_x--\r\n";
        let parsed = mail_parser::MessageParser::default().parse(&message).unwrap();
        let theirs: Vec<_> = parsed.parts.iter().skip(1).map(|part| (u64::from(part.offset_body), u64::from(part.offset_end))).collect();
        let ours: Vec<_> = index_of(message.as_bytes(), 64).parts.iter().skip(1).map(|part| (part.body_start, part.body_end)).collect();
        prop_assert_eq!(ours, theirs);
    }
}

#[test]
fn unknown_encodings_are_told_from_none() {
    let unknown = |field: &str, in_multipart| {
        names_unknown_encoding(format!("Subject: x\r\n{field}\r\n\r\n").as_bytes(), in_multipart)
    };
    for known in ["7bit", "8BIT", "binary", "Base64", "quoted-printable"] {
        assert!(!unknown(&format!("Content-Transfer-Encoding: {known}"), true), "{known}");
    }
    assert!(unknown("Content-Transfer-Encoding: x-uuencode", true));
    assert!(!unknown("Content-Transfer-Encoding: x-uuencode", false), "not a MIME message");
    assert!(unknown("MIME-Version: 1.0\r\nContent-Transfer-Encoding: x-uuencode", false));
    assert!(!unknown("Subject: again", true));
}
