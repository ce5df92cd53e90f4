//! What is asked, and what must not be.

use super::*;
use proptest::prelude::*;

/// All requests in these bytes and how it ended: at once, and byte by byte, which must come to the same.
fn read(bytes: &[u8]) -> (Vec<Request>, Option<Status>) {
    let cut = |piece: usize| {
        let (mut reading, mut requests) = (Reading::default(), Vec::new());
        for bytes in bytes.chunks(piece.max(1)) {
            reading.receive(bytes);
            loop {
                match reading.step() {
                    Ok(Want::Answer(request)) => requests.push(*request),
                    Ok(Want::Input | Want::InputAfterContinue) => break,
                    Err(status) => return (requests, Some(status)),
                }
            }
        }
        (requests, None)
    };
    let whole = cut(bytes.len());
    assert_eq!(cut(1), whole);
    whole
}

fn one(text: &str) -> Request {
    let (mut requests, refused) = read(text.as_bytes());
    assert_eq!((requests.len(), refused), (1, None), "{text:?}");
    requests.remove(0)
}

fn refused(text: &str) -> Status {
    let (requests, refused) = read(text.as_bytes());
    assert!(requests.is_empty(), "{text:?}");
    refused.unwrap_or_else(|| panic!("nothing was refused of {text:?}"))
}

#[test]
fn requests_are_read() {
    let request =
        one("GET /d/abc?lang=de HTTP/1.1\r\nHost: Mail.Home.Example:42443\r\nAccept-Language: de, en;q=0.5\r\n\r\n");
    let wanted = Request {
        method: Method::Get,
        path: "/d/abc".into(),
        query: "lang=de".into(),
        host: Some("mail.home.example".into()),
        languages: "de, en;q=0.5".into(),
        content: Vec::new(),
        goes_on: true,
    };
    assert_eq!(request, wanted);
    let post = one("POST /x HTTP/1.1\r\nhost: a\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((post.method, post.content.as_slice(), post.goes_on), (Method::Post, &b"hi"[..], false));
    let old = one("HEAD / HTTP/1.0\r\n\r\n");
    assert_eq!((old.method, old.host, old.goes_on), (Method::Head, None, false));
    assert_eq!(one("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
    let proxied = one("GET https://Mail.Example:443/p?q HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(
        (proxied.host.as_deref(), proxied.path.as_str(), proxied.query.as_str()),
        (Some("mail.example"), "/p", "q")
    );
    assert_eq!(one("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
}

#[test]
fn requests_follow_each_other() {
    let two = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGETGET /b HTTP/1.1\r\nHost: a\r\n\r\nGET";
    let (requests, refused) = read(two);
    assert_eq!(requests.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(), ["/a", "/b"]);
    assert_eq!(refused, None);
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let post = |fields: &str| {
        refused(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    };
    for (fields, status) in [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked", Status::BadRequest),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4", Status::BadRequest),
        ("Transfer-Encoding: chunked", Status::LengthRequired),
        ("Transfer-Encoding: gzip, chunked", Status::NotImplemented),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Status::NotImplemented),
        ("Transfer-Encoding: \x0bchunked", Status::BadRequest),
        ("Transfer-Encoding : chunked", Status::BadRequest),
        ("Content-Length: 4\r\nContent-Length: 4", Status::BadRequest),
        ("Content-Length: 4, 4", Status::BadRequest),
        ("Content-Length: +4", Status::BadRequest),
        ("Content-Length: -1", Status::BadRequest),
        ("Content-Length: 0x4", Status::BadRequest),
        ("Content-Length:", Status::BadRequest),
        ("Content-Length: 4\r\n folded", Status::BadRequest),
        ("X: a\r\n\tContent-Length: 4", Status::BadRequest),
        ("X: a\nContent-Length: 4", Status::BadRequest),
        ("X: a\rContent-Length: 4", Status::BadRequest),
        ("X: a\0b", Status::BadRequest),
        ("Host: b", Status::BadRequest),
        ("Expect: 200-maybe", Status::ExpectationFailed),
        ("Content-Length: 4097", Status::ContentTooLarge),
        ("Content-Length: 99999999999999999999999999", Status::ContentTooLarge),
    ] {
        assert_eq!(post(fields), status, "{fields:?}");
    }
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"), Status::BadRequest);
    assert_eq!(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Status::BadRequest);
    assert_eq!(refused("GET / HTTP/1.1\nHost: a\n\n"), Status::BadRequest);
    assert_eq!(refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Status::BadRequest);
}

#[test]
fn request_lines_are_of_one_form() {
    for (line, status) in [
        ("get / HTTP/1.1", Status::NotImplemented),
        ("BREW / HTTP/1.1", Status::NotImplemented),
        ("DELETE / HTTP/1.1", Status::MethodNotAllowed),
        ("OPTIONS / HTTP/1.1", Status::MethodNotAllowed),
        ("GET * HTTP/1.1", Status::BadRequest),
        ("GET a HTTP/1.1", Status::BadRequest),
        ("GET  / HTTP/1.1", Status::BadRequest),
        ("GET / / HTTP/1.1", Status::VersionNotSupported),
        ("GET /#x HTTP/1.1", Status::BadRequest),
        ("GET /\u{e4} HTTP/1.1", Status::BadRequest),
        ("GET https:///x HTTP/1.1", Status::BadRequest),
        ("GET / HTTP/2.0", Status::VersionNotSupported),
        ("GET / HTTP/1.1 ", Status::BadRequest),
        ("PRI * HTTP/2.0", Status::VersionNotSupported),
        ("\x16\x03\x01", Status::BadRequest),
    ] {
        assert_eq!(refused(&format!("{line}\r\nHost: a\r\n\r\n")), status, "{line:?}");
    }
}

#[test]
fn hosts_are_names_or_addresses() {
    let host = |text: &str| read_host(text);
    for (text, wanted) in [
        ("a.Example.", "a.example"),
        ("a:443", "a"),
        ("a:", "a"),
        ("192.0.2.1:42443", "192.0.2.1"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("[::1]", "::1"),
    ] {
        assert_eq!(host(text).as_deref(), Some(wanted), "{text}");
    }
    for text in ["", ":443", "a:b", "a b", "a/b", "a@b", "[::1", "[::1]x", "[a]", "::1", "a:123456", "a,b"] {
        assert_eq!(host(text), None, "{text}");
    }
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), Status::BadRequest);
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), Status::BadRequest);
}

#[test]
fn nothing_is_kept_beyond_the_bounds() {
    let long = "x".repeat(WEB_REQUEST_LINE_BYTES_MAX);
    assert_eq!(refused(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")), Status::UriTooLong);
    assert_eq!(refused(&long.repeat(2)), Status::UriTooLong);
    let head = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(refused(&head(&format!("X: {}\r\n", "y".repeat(WEB_HEAD_BYTES_MAX)))), Status::HeaderFieldsTooLarge);
    assert_eq!(refused(&head(&"X: y\r\n".repeat(WEB_FIELDS_MAX))), Status::HeaderFieldsTooLarge);
    one(&head(&"X: y\r\n".repeat(WEB_FIELDS_MAX - 1)));
}

#[test]
fn who_waits_for_a_word_gets_it_once() {
    let mut reading = Reading::default();
    reading.receive(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(reading.step(), Ok(Want::InputAfterContinue));
    assert_eq!(reading.step(), Ok(Want::Input));
    assert!(reading.is_under_way());
    reading.receive(b"hi");
    assert!(matches!(reading.step(), Ok(Want::Answer(request)) if request.content == b"hi"));
    assert!(!reading.is_under_way());
}

#[test]
fn languages_are_chosen_by_weight() {
    for (asked, wanted) in [
        ("", "en"),
        ("de", "de"),
        ("DE-at,en;q=0.9", "de"),
        ("en, de", "en"),
        ("fr, de;q=0.2", "de"),
        ("de;q=0, en;q=0.1", "en"),
        ("de;q=0", "en"),
        ("en;q=0.3,de;q=0.4", "de"),
        ("*;q=1,de;q=x", "en"),
        ("den", "en"),
        ("de;q=NaN", "en"),
    ] {
        assert_eq!(["en", "de"][choose_language(asked, &["en", "de"])], wanted, "{asked}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_the_same_however_it_is_cut(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "GET ", "POST ", "/", "x", " HTTP/1.1", "\r\n", "\n", "\r", " ", "Host: a", "Content-Length: ", "1", "3",
            "Transfer-Encoding: chunked", "Expect: 100-continue", ":", "\0", "\t", "?", "https://",
        ]), 0..40)
    ) {
        let (requests, _) = read(pieces.concat().as_bytes());
        for request in requests {
            prop_assert!(request.path.starts_with('/') && (request.host.is_some() || !request.goes_on));
        }
    }
}
