//! What signatures are made of, and that they hold.

use super::*;
use crate::wire::header::fields;
use crate::wire::smtp::client::ContentEncoder;
use proptest::prelude::*;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey, VerificationAlgorithm,
};

const RSA_PEM: &[u8] = include_bytes!("../../../tests/dialogues/keys/home-rsa.pem");
const ED25519_PEM: &[u8] = include_bytes!("../../../tests/dialogues/keys/home-ed25519.pem");

fn hash(message: &[u8], piece: usize) -> Option<Digest> {
    let mut hasher = Hasher::default();
    message.chunks(piece).for_each(|piece| hasher.push(piece));
    hasher.finish()
}

fn hashed(message: &str) -> Digest {
    hash(message.as_bytes(), usize::MAX).expect("a message to sign")
}

fn body_of(body: &str) -> [u8; 32] {
    hashed(&format!("From: a@home.example\r\n\r\n{body}")).body
}

fn sha256(bytes: &str) -> [u8; 32] {
    digest(&SHA256, bytes.as_bytes()).as_ref().try_into().expect("32 bytes")
}

/// The value of a tag of a signature or record, without white space.
fn tag(text: &str, name: &str) -> String {
    let plain: String = text.split_whitespace().collect();
    let (_, list) = plain.split_once("DKIM-Signature:").unwrap_or(("", &plain));
    let tag = list.split(';').find_map(|tag| tag.strip_prefix(&format!("{name}=")));
    tag.unwrap_or_default().to_owned()
}

/// What a receiver does (RFC 6376 section 6.1), written once more and without haste.
fn verifies(message: &str, signature: &str, record: &str) -> bool {
    let (header, body) = message.split_once("\r\n\r\n").expect("a header and a body");
    let mut lines: Vec<String> = body.split("\r\n").map(relax_line).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let body: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let mut there: Vec<&[u8]> = fields(header.as_bytes()).map(|field| field.raw).collect();
    let mut signed = Vec::new();
    for name in tag(signature, "h").split(':') {
        let last = there.iter().rposition(|raw| crate::wire::header::Field::parse(raw).is(name.as_bytes()));
        last.map(|at| write_relaxed(there.remove(at), &mut signed)).unwrap_or_default();
    }
    let at = signature.rfind("b=").expect("a signature") + 2;
    write_relaxed(&signature.as_bytes()[..at], &mut signed);
    let signed = signed.strip_suffix(b"\r\n").expect("a line end");
    let bytes = STANDARD.decode(tag(signature, "b")).expect("base64");
    let public = STANDARD.decode(tag(record, "p")).expect("base64");
    let (algorithm, public, signed): (&dyn VerificationAlgorithm, _, _) = match tag(record, "k").as_str() {
        "rsa" => (&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, public[24..].to_vec(), signed.to_vec()),
        _ => (&ED25519, public, digest(&SHA256, signed).as_ref().to_vec()),
    };
    STANDARD.encode(sha256(&body)) == tag(signature, "bh")
        && UnparsedPublicKey::new(algorithm, public).verify(&signed, &bytes).is_ok()
}

fn relax_line(line: &str) -> String {
    let mut relaxed = String::new();
    for part in line.split([' ', '\t']).enumerate() {
        match part {
            (0, text) => relaxed.push_str(text),
            (_, "") => {}
            (_, text) => relaxed.push_str(&format!(" {text}")),
        }
    }
    relaxed
}

/// RFC 8463 appendix A; its RSA key and its message are those of RFC 6376 appendices A and C.
#[test]
fn the_examples_of_the_rfcs() {
    let message = "From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n\
                   Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
                   Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n\
                   Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
    let head = |algorithm, selector, names| {
        format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n d=football.example.com; \
             i=@football.example.com;\r\n q=dns/txt; s={selector}; t=1528637909; {names};\r\n \
             bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
        )
    };
    let names = "h=from : to :\r\n subject : date : message-id : from : subject : date";
    let by_ed25519 = head("ed25519-sha256", "brisbane", names);
    let signature = "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n";
    let record = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    assert!(verifies(message, &format!("{by_ed25519}{signature}"), record));
    let by_rsa = head("rsa-sha256", "test", "h=from : to : subject :\r\n date : message-id : from : subject : date");
    let rsa_signature = "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n \
                         DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n \
                         dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n";
    let rsa_record = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR\
                      iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC\
                      DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3\
                      Ip3G+2kryOTIKT+l/K4w3QIDAQAB";
    // The prefix of SubjectPublicKeyInfo is shorter for 1024 bits: 22 bytes and not 24.
    let (key, value) = rsa_record.split_once("p=").expect("a key");
    let longer = STANDARD.encode([&[0, 0][..], &STANDARD.decode(value).expect("base64")].concat());
    assert!(verifies(message, &format!("{by_rsa}{rsa_signature}"), &format!("{key}p={longer}")));

    // And made here, with the secret key of appendix A.1: Ed25519 always gives the same.
    let seed = STANDARD.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").expect("base64");
    let der = [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..], &seed].concat();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    let key = Key::from_pem("brisbane", pem.as_bytes()).expect("a key");
    assert_eq!(key.record(), record);
    let digest = hashed(message);
    assert_eq!(STANDARD.encode(digest.body), "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    let mut signed = Vec::new();
    for name in ["from", "to", "subject", "date", "message-id"] {
        let field = crate::wire::header::find(message.as_bytes(), name.as_bytes()).expect("a field");
        write_relaxed(field.raw, &mut signed);
    }
    write_relaxed(by_ed25519.as_bytes(), &mut signed);
    signed.truncate(signed.len() - 2);
    let made = key.sign(&signed, &SystemRandom::new()).expect("a signature");
    assert_eq!(STANDARD.encode(made), signature.split_whitespace().collect::<String>());
}

/// RFC 6376 section 3.4.5.
#[test]
fn the_relaxed_form() {
    let mut out = Vec::new();
    fields(b"A: X\r\nB : Y\t\r\n\tZ  \r\n").for_each(|field| write_relaxed(field.raw, &mut out));
    assert_eq!(out, b"a:X\r\nb:Y Z\r\n");
    for (body, wanted) in [
        (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
        ("", ""),
        ("\r\n", ""),
        (" \t\r\n \r\n\r\n", ""),
        ("\r\n \r\na", "\r\n\r\na\r\n"),
        ("a \t", "a\r\n"),
        ("a\n.\nb\rc\r\r\nd\r", "a\r\n.\r\nb\r\nc\r\n\r\nd\r\n"),
        ("a\n\n \n", "a\r\n"),
        ("a\u{a0}\u{b} b\r\n", "a\u{a0}\u{b} b\r\n"),
        (".\r\n..\r\n", ".\r\n..\r\n"),
    ] {
        assert_eq!(body_of(body), sha256(wanted), "{body:?}");
    }
    for (field, wanted) in [
        ("SubJect :\r\n  \t\r\n\ta\t b \r\n", "subject:a b\r\n"),
        ("To:\r\n", "to:\r\n"),
        ("To: \r\n \r\n", "to:\r\n"),
        ("Cc:a:b", "cc:a:b\r\n"),
    ] {
        let mut out = Vec::new();
        write_relaxed(field.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), wanted, "{field:?}");
    }
}

const MESSAGE: &str = "Received: by home.example; Sat, 21 Nov 2026 12:00:00 +0000\r\nFROM: Me <me@home.example>,\r\n\
                       \tYou <you@far.example>\r\nTo: a@far.example,\r\n b@far.example\r\nSubject:  Two \t words\r\n\
                       Sender: me@home.example\r\nX-Other: 1\r\n\r\nText  with   space \r\n\r\n.\r\nend\r\n\r\n\r\n";

#[test]
fn what_is_signed_verifies_and_what_is_changed_does_not() {
    let digest = hashed(MESSAGE);
    assert_eq!(digest.author().as_str(), "home.example");
    for pem in [RSA_PEM, ED25519_PEM] {
        let key = Key::from_pem("one", pem).expect("a key");
        let at = Some(Timestamp((1_795_262_400) * 1000));
        let made = digest.sign(digest.author(), &key, at, &SystemRandom::new()).expect("a signature");
        let made = String::from_utf8(made).expect("text");
        let record = key.record();
        assert!(verifies(MESSAGE, &made, &record), "{made}");
        for (from, to) in [
            ("Text", "text"),
            ("end\r\n", "end\r\n\r\nmore\r\n"),
            ("Two", "Too"),
            ("\r\nX-Other: 1", "\r\nFrom: me@home.example"),
            ("FROM:", "From: me@home.example\r\nFROM:"),
            ("X-Other: 1", "Cc: c@far.example"),
            ("X-Other: 1", "Content-Type: text/html"),
            ("X-Other: 1", "Sender: other@home.example"),
            ("Sender: me@home.example\r\n", ""),
        ] {
            assert!(MESSAGE.contains(from));
            assert!(!verifies(&MESSAGE.replace(from, to), &made, &record), "{from} to {to}");
        }
        for (from, to) in [
            ("X-Other: 1", "X-Other: 2\r\nList-Id: <x.far.example>"),
            ("Two \t words", "Two\r\n words"),
            ("space \r\n", "space\r\n"),
            ("\r\n\r\n\r\n", "\r\n"),
        ] {
            assert!(verifies(&MESSAGE.replace(from, to), &made, &record), "{from} to {to}");
        }
        assert!(made.lines().all(|line| line.len() < 78), "{made}");
        assert!(made.starts_with("DKIM-Signature: v=1; a=") && made.ends_with("\r\n") && !made.contains("\n\r"));
        assert_eq!(
            (tag(&made, "d"), tag(&made, "s"), tag(&made, "t")),
            ("home.example".into(), "one".into(), "1795262400".into())
        );
        assert!(tag(&made, "h").starts_with("from:from:to:to:cc:subject:subject:date:"), "{made}");
        assert!(tag(&made, "h").ends_with(":sender:sender") && tag(&made, "l").is_empty());
    }
}

#[test]
fn a_time_that_is_not_known_is_not_told() {
    let key = Key::from_pem("one", ED25519_PEM).expect("a key");
    let made = hashed(MESSAGE).sign(&Domain::new("home.example"), &key, None, &SystemRandom::new()).expect("signed");
    assert!(!String::from_utf8_lossy(&made).contains("t="));
}

#[test]
fn a_long_domain_and_four_keys_keep_to_the_bound() {
    let domain = Domain::new(&["x".repeat(60).as_str(); 4].join("."));
    let mut message = format!("From: me@{domain}\r\n");
    for name in ["List-Unsubscribe-Post", "Disposition-Notification-To", "Resent-Message-ID"] {
        (0..15).for_each(|_| message.push_str(&format!("{name}: x\r\n")));
    }
    let key = Key::from_pem("a-selector-that-somebody-found-to-be-funny", RSA_PEM).expect("a key");
    let made = hashed(&message).sign(&domain, &key, Some(Timestamp((1 << 40) * 1000)), &SystemRandom::new());
    assert!(made.expect("signed").len() * DKIM_KEYS_MAX <= DKIM_SIGNATURES_BYTES_MAX);
    (0..40).for_each(|_| message.push_str("Resent-Message-ID: x\r\n"));
    assert!(hash(message.as_bytes(), 1000).is_none(), "more fields than anybody needs");
}

#[test]
fn not_everything_can_be_signed() {
    for message in [
        "",
        "\r\n",
        "To: a@far.example\r\n\r\nbody\r\n",
        "From:\r\n\r\n",
        "From: group:;\r\n\r\n",
        "From: a@home.example\r\nfrom : b@home.example\r\n\r\n",
        // The second of these is a field to whoever gets it.
        "From: a@home.example\nFrom: b@far.example\r\n\r\n",
        "From: a@home.example\rFrom: b@far.example\r\n\r\n",
    ] {
        assert!(hash(message.as_bytes(), 1).is_none(), "{message:?}");
    }
    // As it goes over the wire, the header ends here.
    let ends = hashed("From: a@home.example\n\nFrom: b@far.example\r\n\r\n");
    assert_eq!((ends.author().as_str(), ends.body), ("home.example", sha256("From: b@far.example\r\n")));
    assert_eq!(hashed("From: a@home.example").body, sha256(""));
    assert_eq!(hashed("From: a@b\u{fc}cher.example\r\n").author().as_str(), "xn--bcher-kva.example");
    let long = format!("From: a@home.example\r\nX: {}\r\n\r\n", "x".repeat(DKIM_HEADER_BYTES_MAX));
    assert!(hash(long.as_bytes(), 10_000).is_none());
}

#[test]
fn keys_that_are_none_are_refused() {
    let refused = |selector: &str, pem: &[u8]| Key::from_pem(selector, pem).expect_err("refused");
    assert!(refused("one", b"").contains("no private key"));
    assert!(
        refused("one", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").contains("no private key")
    );
    for selector in ["", "A", "a.b", "-a", "a-", "a_b", &"x".repeat(64)] {
        assert!(refused(selector, RSA_PEM).contains("selector"), "{selector}");
    }
    let broken = String::from_utf8_lossy(RSA_PEM).replacen("MII", "MIJ", 1);
    assert!(refused("one", broken.as_bytes()).contains("2048"), "{}", refused("one", broken.as_bytes()));
    let elliptic = "-----BEGIN PRIVATE KEY-----\n\
                    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n\
                    OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n\
                    1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n-----END PRIVATE KEY-----\n";
    assert!(refused("one", elliptic.as_bytes()).contains("neither"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However a message is cut, and against what really leaves over the wire.
    #[test]
    fn pieces_of_any_size_and_the_wire_give_the_same(
        body in "[ab. \t\r\n]{0,60}",
        piece in 1usize..12,
    ) {
        let header = "From: a@home.example\r\nSubject: x\r\n";
        let whole = hashed(&format!("{header}\r\n{body}"));
        let message = format!("{header}\r\n{body}");
        let pieces = hash(message.as_bytes(), piece).expect("a message to sign");
        prop_assert_eq!(whole.body, pieces.body);
        prop_assert_eq!(&whole.fields.canonical, &pieces.fields.canonical);
        let mut wire = Vec::new();
        let mut encoder = ContentEncoder::with_dots();
        encoder.encode(message.as_bytes(), &mut wire);
        encoder.finish(&mut wire);
        let wire = String::from_utf8(wire).expect("text");
        let lines = wire.strip_suffix(".\r\n").expect("an end");
        let arrived: String = lines.split_inclusive('\n').map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
        let key = Key::from_pem("one", ED25519_PEM).expect("a key");
        let made = pieces.sign(pieces.author(), &key, None, &SystemRandom::new()).expect("signed");
        prop_assert!(verifies(&arrived, &String::from_utf8_lossy(&made), &key.record()), "{:?}", arrived);
    }
}
