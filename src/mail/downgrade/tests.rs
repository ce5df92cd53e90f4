//! A message for a server of 7 bits says the same as before, whatever its structure and however it is cut.

use super::*;
use crate::mail::index::Indexer;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

fn parts(message: &[u8]) -> Vec<Part> {
    let mut indexer = Indexer::new();
    indexer.push(message);
    indexer.finish().parts
}

/// The message as a server of 7 bits gets it. `None`: as it is.
fn converted(message: &[u8], piece: usize) -> Option<Vec<u8>> {
    let parts = parts(message);
    let mut survey = Survey::new(&parts, 0);
    message.chunks(piece).for_each(|piece| survey.push(piece));
    let mut converter = survey.finish()?.converter();
    let mut out = Vec::new();
    message.chunks(piece).for_each(|piece| converter.push(piece, &mut out));
    converter.finish(&mut out);
    Some(out)
}

/// The same, however it is cut.
fn text(message: &str) -> String {
    let whole = converted(message.as_bytes(), usize::MAX).expect("something to convert");
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(converted(message.as_bytes(), piece).as_deref(), Some(whole.as_slice()), "pieces of {piece}");
    }
    String::from_utf8(whole).unwrap()
}

/// What others decode of it, part by part.
fn decoded(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    fn collect(message: &Message<'_>, found: &mut Vec<(String, Vec<u8>)>) {
        for part in &message.parts {
            match &part.body {
                PartType::Message(inner) => collect(inner, found),
                PartType::Multipart(_) => {}
                _ => {
                    let kind = part.content_type().map(|kind| format!("{}/{:?}", kind.ctype(), kind.subtype()));
                    found.push((kind.unwrap_or_default(), part.contents().to_vec()));
                }
            }
        }
    }
    let mut found = Vec::new();
    collect(&MessageParser::default().parse(message).unwrap(), &mut found);
    found
}

const NESTED: &str = "From: a@b\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=out\r\n\
    Content-Transfer-Encoding: 8bit\r\nSubject: x\r\n\r\npreamble\r\n--out\r\nContent-Type: multipart/alternative;\r\n boundary=\"in\"\r\n\
    Content-transfer-encoding: 8BIT\r\n\r\n--in\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\
    Content-Disposition: inline\r\n\r\n.Grüße \r\n..\r\n=3D\t\r\n--not\r\n\r\n--in\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <p>Grüße\r\n--in--\r\n\r\n--out\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nw7w=\r\n\
    --out\r\nContent-Type: application/x-thing\r\nContent-Transfer-Encoding: binary\r\n\r\nä\r\n\
    --out\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: inner\r\n\r\ninnen äh\r\n\
    --out\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nascii = \r\n--out--\r\nepilogue\r\n";

#[test]
fn every_body_of_a_nested_message_is_converted_by_itself() {
    let wanted = "From: a@b\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=out\r\n\
        Subject: x\r\nContent-Transfer-Encoding: 7bit\r\n\r\npreamble\r\n--out\r\nContent-Type: multipart/alternative;\r\n boundary=\"in\"\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\n--in\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: inline\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\n.Gr=C3=BC=C3=9Fe=20\r\n..\r\n=3D3D=09\r\n--not\r\n\r\n\
        --in\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        <p>Gr=C3=BC=C3=9Fe\r\n--in--\r\n\r\n--out\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nw7w=\r\n\
        --out\r\nContent-Type: application/x-thing\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n\
        --out\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: inner\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ninnen =C3=A4h\r\n\
        --out\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\nascii = \r\n--out--\r\nepilogue\r\n";
    assert_eq!(text(NESTED), wanted);
    let theirs = decoded(wanted.as_bytes());
    assert_eq!(theirs.len(), 6);
    // The type of the inner message is the only thing that is new.
    let bodies = |found: Vec<(String, Vec<u8>)>| found.into_iter().map(|(_, body)| body).collect::<Vec<_>>();
    assert_eq!(bodies(theirs), bodies(decoded(NESTED.as_bytes())));
}

#[test]
fn a_global_message_is_encoded_as_a_whole() {
    // RFC 6532 section 3.7: its header has UTF-8 that only this makes 7 bits of.
    let message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
        --b\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: ü\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nß\r\n--b\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\nä\r\n--b--\r\n";
    let wanted = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
        --b\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSubject: =C3=BC\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=3Dutf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n=C3=9F\r\n--b\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n--b--\r\n";
    assert_eq!(text(message), wanted);
}

#[test]
fn a_message_that_is_no_mime_message_becomes_one() {
    let message = "From: a@b\r\nSubject: x\r\n\r\nGr\u{fc}n \r\n";
    assert_eq!(
        text(message),
        "From: a@b\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BCn=20\r\n"
    );
    let typed = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding:\r\n 7bit (really)\r\n\r\nü";
    assert_eq!(
        text(typed),
        "Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC"
    );
    let bare = "\r\nü\r\n";
    assert!(text(bare).ends_with("quoted-printable\r\n\r\n=C3=BC\r\n"));
}

#[test]
fn what_need_not_or_must_not_be_converted_is_sent_as_it_is() {
    for message in [
        "Subject: x\r\n\r\nascii = \r\n",
        "Subject: ü\r\n\r\nascii\r\n",
        "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\nascii\r\n",
        "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nw7w=ü\r\n",
        "MIME-Version: 1.0\r\nContent-Transfer-Encoding: x-own\r\n\r\nü\r\n",
        "Content-Type: message/delivery-status\r\n\r\nü\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\nü\r\n--b\r\n\r\na\r\n--b--\r\n",
        "Content-Type: multipart/signed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\nü\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
        "Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\nü\r\n--b--\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b\r\n\r\nü\r\n--b--\r\n",
        "",
        "ü",
    ] {
        for piece in [1, 1000] {
            assert_eq!(converted(message.as_bytes(), piece), None, "{message}");
        }
    }
    let long = format!("X: {}\r\n\r\nü\r\n", "x".repeat(DOWNGRADE_HEADER_BYTES_MAX));
    assert_eq!(converted(long.as_bytes(), 1000), None);
}

#[test]
fn beside_what_is_signed_only_the_rest_is_converted() {
    let signed = "--b\r\nContent-Type: multipart/signed; boundary=s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
        --s\r\nContent-Transfer-Encoding: 8bit\r\n\r\nsigniert \u{fc}\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n";
    let head = "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    let message = format!("{head}{signed}--b\r\n\r\nfrei ü\r\n--b--\r\n");
    let wanted = "--b\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nfrei =C3=BC\r\n--b--\r\n";
    // The whole still has bytes above 127 and goes on saying so.
    assert_eq!(text(&message), format!("{head}{signed}{wanted}"));
}

#[test]
fn a_broken_index_is_no_panic() {
    let part = |kind, descendants, header_start, body_start, body_end| Part {
        kind,
        descendants,
        header_start,
        body_start,
        body_end,
        ..Part::default()
    };
    let broken = [part(PartKind::Multipart, 9, 0, 50, 4), part(PartKind::Text, u32::MAX, 3, 2, u64::MAX)];
    let mut survey = Survey::new(&broken, 1);
    survey.push("ü: ü\r\n\r\nü".as_bytes());
    assert!(survey.finish().is_none());
}

#[test]
fn what_stands_before_the_start_is_not_missed() {
    let message = "Return-Path: <>\r\nSubject: x\r\n\r\nü\r\n";
    let parts = parts(message.as_bytes());
    let mut survey = Survey::new(&parts, 17);
    survey.push(&message.as_bytes()[17..]);
    let mut converter = survey.finish().unwrap().converter();
    let mut out = Vec::new();
    converter.push(&message.as_bytes()[17..], &mut out);
    converter.finish(&mut out);
    assert!(out.starts_with(b"Subject: x\r\nMIME-Version") && out.ends_with(b"\r\n\r\n=C3=BC\r\n"));
}

fn leaf() -> impl Strategy<Value = String> {
    let head = prop_oneof![
        Just("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"),
        Just("Content-Type: text/html; charset=utf-8\r\n"),
        Just("Content-Transfer-Encoding: 7bit\r\nContent-Type: text/plain; charset=utf-8\r\n"),
        Just("Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n"),
    ];
    (head, "([ -,.-~äß\t]{0,200}\r\n){0,4}[ -,.-~äß\t]{0,100}").prop_map(|(head, body)| format!("{head}\r\n{body}"))
}

fn entity() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (any::<u32>(), proptest::collection::vec(inner.clone(), 1..4)).prop_map(|(number, parts)| {
                let parts: String = parts.iter().map(|part| format!("--={number}\r\n{part}\r\n")).collect();
                format!(
                    "Content-Type: multipart/mixed; boundary=\"={number}\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{parts}--={number}--\r\n"
                )
            }),
            // Others panic at a message that is nothing but another message.
            inner.prop_map(|inner| match inner.starts_with("Content-Type: message") {
                true => inner,
                false => format!("Content-Type: message/rfc822\r\n\r\nFrom: x@y.z\r\nMIME-Version: 1.0\r\n{inner}"),
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_message_is_ascii_afterwards_and_says_the_same(entity in entity(), piece in 1usize..200) {
        let message = format!("From: a@b.c\r\nMIME-Version: 1.0\r\n{entity}");
        let whole = converted(message.as_bytes(), usize::MAX);
        prop_assert_eq!(whole.is_none(), message.is_ascii());
        prop_assert_eq!(&converted(message.as_bytes(), piece), &whole);
        let Some(whole) = whole else { return Ok(()) };
        prop_assert!(whole.is_ascii());
        // What was ASCII already keeps its lines.
        let longest = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').map(<[u8]>::len).max();
        prop_assert!(longest(&whole) <= longest(message.as_bytes()).max(Some(77)));
        prop_assert_eq!(decoded(&whole), decoded(message.as_bytes()));
        // All that is left to do has been done.
        prop_assert_eq!(converted(&whole, piece), None);
    }
}
