//! Whole sessions, given at once and byte by byte.

use super::*;
use crate::wire::sasl::{Exchange, Question, Step};

/// Answers wants as a server with two messages would, and the password `pa ss`.
struct Fake {
    bodies: Vec<&'static [u8]>,
    expunged: Vec<u32>,
    settings: Settings,
}

const PLAIN: Settings = Settings {
    hostname: String::new(),
    stls: true,
    tls: false,
    plaintext_login: true,
    channel_binding: true,
    timestamp: None,
    login_delay_seconds: 0,
};

impl Fake {
    fn new() -> Fake {
        let bodies: Vec<&[u8]> = vec![b"A: 1\r\n\r\n.one\r\ntwo\r\nthree\r\n", b"B: 2\r\n\r\nno end"];
        Fake { bodies, expunged: Vec::new(), settings: PLAIN }
    }

    fn maildrop(&self) -> Maildrop {
        let mut maildrop = Maildrop::new(7, self.bodies.len());
        for (body, uid) in self.bodies.iter().zip(1..) {
            let missing = if body.ends_with(b"\r\n") { 0 } else { 2 };
            maildrop.push(Message { uid: uid * 10, bytes: body.len() as u64 + missing });
        }
        maildrop
    }

    fn opened(&self) -> LoginAnswer {
        LoginAnswer::Opened { maildrop: self.maildrop(), login_delay_seconds: 60 }
    }

    /// All replies to `input`, cut into pieces of this many bytes.
    fn talk(&mut self, input: &str, cut: usize) -> String {
        let mut server = Server::new(self.settings.clone());
        let (mut out, mut closed, mut exchange) = (Vec::new(), false, None::<Exchange>);
        'input: for piece in input.as_bytes().chunks(cut) {
            let mut rest = piece;
            loop {
                let (used, want) = server.step(rest, &mut out);
                rest = &rest[used..];
                match want {
                    Want::Input => break,
                    Want::Flush => out = std::mem::take(&mut out),
                    Want::Login(given) => {
                        let right = given.login == "me" && given.password == "pa ss";
                        let answer = if right { self.opened() } else { LoginAnswer::Wrong };
                        server.answer_login(answer, &mut out);
                    }
                    Want::Sasl(input) => {
                        let step = match input {
                            Input::Begin { mechanism, initial } => {
                                let (begun, step) = Exchange::begin(mechanism, initial.as_deref(), Default::default());
                                exchange = Some(begun);
                                step
                            }
                            Input::Line(line) => exchange.as_mut().expect("an exchange").respond(&line),
                        };
                        let right = |given: &Password| given.login == "me" && given.password == "pa ss";
                        let answer = match step {
                            Step::Challenge(challenge) => LoginAnswer::Challenge(challenge),
                            Step::Refused(trouble) => LoginAnswer::Refused(trouble),
                            Step::Ask(Question::Password(given)) if right(&given) => self.opened(),
                            _ => LoginAnswer::Wrong,
                        };
                        server.answer_login(answer, &mut out);
                    }
                    Want::Apop { login, digest } => {
                        let right = login == "me" && digest == [0xab; 16];
                        let answer = if right { self.opened() } else { LoginAnswer::Wrong };
                        server.answer_login(answer, &mut out);
                    }
                    Want::Piece { uid, start, bytes, .. } => {
                        let body = self.bodies[uid as usize / 10 - 1];
                        // As little as the store may give at a time.
                        let end = body.len().min((start + bytes.min(3)) as usize);
                        let piece = Piece { bytes: &body[start as usize..end], is_last: end == body.len() };
                        server.answer_piece(Ok(piece), &mut out);
                    }
                    Want::Expunge(uids) => {
                        self.expunged = uids;
                        server.answer_expunge(true, &mut out);
                    }
                    Want::StartTls => {
                        out.extend_from_slice(b"<TLS>\r\n");
                        rest = &[];
                        server.tls_started();
                    }
                    Want::Close => {
                        closed = true;
                        break 'input;
                    }
                }
            }
        }
        if closed {
            out.extend_from_slice(b"<closed>");
        }
        String::from_utf8(out).unwrap()
    }

    fn says(&mut self, input: &str, expected: &[&str]) {
        for cut in [input.len(), 1, 3] {
            let replies = self.talk(input, cut);
            assert_eq!(replies.split_terminator("\r\n").collect::<Vec<_>>(), expected, "cut {cut}");
        }
    }
}

const LOGIN: &str = "USER me\r\nPASS pa ss\r\n";
const WELCOME: [&str; 2] = ["+OK send PASS", "+OK maildrop has 2 messages (42 octets)"];

#[test]
fn the_session_of_the_rfc() {
    // RFC 1939 section 10, with USER and PASS.
    let mut fake = Fake::new();
    let input = format!("{LOGIN}STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nRETR 2\r\nDELE 2\r\nQUIT\r\n");
    let rest = [
        "+OK 2 42",
        "+OK 2 messages (42 octets)",
        "1 26",
        "2 16",
        ".",
        "+OK 26 octets",
        "A: 1",
        "",
        "..one",
        "two",
        "three",
        ".",
        "+OK deleted",
        "+OK 16 octets",
        "B: 2",
        "",
        "no end",
        ".",
        "+OK deleted",
        "+OK deleted, good bye",
        "<closed>",
    ];
    fake.says(&input, &[&WELCOME[..], &rest].concat());
    assert_eq!(fake.expunged, [10, 20]);
}

#[test]
fn listings_leave_out_what_is_deleted_and_rset_brings_it_back() {
    let mut fake = Fake::new();
    let input = format!(
        "{LOGIN}UIDL\r\nDELE 1\r\nLIST\r\nUIDL 2\r\nLIST 1\r\nRETR 1\r\nDELE 1\r\nSTAT\r\nRSET\r\nlist 1\r\nQUIT\r\n"
    );
    let rest = [
        "+OK 2 messages (42 octets)",
        "1 7.10",
        "2 7.20",
        ".",
        "+OK deleted",
        "+OK 1 messages (16 octets)",
        "2 16",
        ".",
        "+OK 2 7.20",
        "-ERR this message is deleted",
        "-ERR this message is deleted",
        "-ERR this message is deleted",
        "+OK 1 16",
        "+OK maildrop has 2 messages (42 octets)",
        "+OK 1 26",
        "+OK good bye",
        "<closed>",
    ];
    fake.says(&input, &[&WELCOME[..], &rest].concat());
    assert_eq!(fake.expunged, [0; 0]);
}

#[test]
fn top_sends_the_header_and_so_many_lines() {
    let mut fake = Fake::new();
    let input = format!("{LOGIN}TOP 1 0\r\nTOP 1 1\r\nTOP 2 9\r\nTOP 1\r\nTOP 3 1\r\nNOOP\r\n");
    let top = "+OK top of message follows";
    let rest = [
        top,
        "A: 1",
        "",
        ".",
        top,
        "A: 1",
        "",
        "..one",
        ".",
        top,
        "B: 2",
        "",
        "no end",
        ".",
        "-ERR say how many lines",
        "-ERR no such message",
        "+OK nothing done",
    ];
    fake.says(&input, &[&WELCOME[..], &rest].concat());
}

#[test]
fn sasl_with_and_without_initial_response() {
    // NUL me NUL pa ss; me; pa ss.
    let mut fake = Fake::new();
    let welcome = WELCOME[1];
    fake.says("AUTH PLAIN AG1lAHBhIHNz\r\n", &[welcome]);
    fake.says("auth plain\r\nAG1lAHBhIHNz\r\n", &["+ ", welcome]);
    fake.says("AUTH LOGIN\r\nbWU=\r\ncGEgc3M=\r\n", &["+ VXNlcm5hbWU6", "+ UGFzc3dvcmQ6", welcome]);
    fake.says("AUTH PLAIN AG1lAHg=\r\n", &["-ERR [AUTH] wrong login or password"]);
    fake.says("AUTH PLAIN\r\n*\r\n", &["+ ", "-ERR cancelled"]);
    fake.says(
        "AUTH PLAIN\r\n!\r\nAUTH\r\n",
        &["+ ", "-ERR not base64", "+OK mechanisms follow", "SCRAM-SHA-256", "PLAIN", "LOGIN", "."],
    );
    fake.says("AUTH CRAM-MD5\r\n", &["-ERR no such mechanism"]);
}

#[test]
fn nothing_but_tls_without_tls() {
    let mut fake = Fake::new();
    fake.settings.plaintext_login = false;
    let refused = "-ERR [AUTH] use TLS before you log in";
    fake.says("USER me\r\nPASS x\r\nAUTH PLAIN AG1lAHBhIHNz\r\n", &[refused; 3]);
    let capabilities = fake.talk("CAPA\r\n", 1);
    assert!(
        capabilities.contains("\r\nSTLS\r\n") && !capabilities.contains("\r\nUSER") && !capabilities.contains("SASL")
    );
}

#[test]
fn stls_forgets_everything_and_drops_what_was_pipelined() {
    let mut fake = Fake::new();
    let whole = fake.talk("USER me\r\nSTLS\r\nPASS pa ss\r\nCAPA\r\n", 99);
    assert_eq!(whole, "+OK send PASS\r\n+OK begin TLS now\r\n<TLS>\r\n");
    let later = fake.talk("USER me\r\nSTLS\r\nPASS pa ss\r\nSTLS\r\nCAPA\r\n", 1);
    let later = later.strip_prefix("+OK send PASS\r\n+OK begin TLS now\r\n<TLS>\r\n").unwrap();
    let later = later.strip_prefix("-ERR send USER first\r\n-ERR TLS cannot be begun here\r\n").unwrap();
    assert!(later.contains("SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN") && !later.contains("STLS"));
}

#[test]
fn verbs_out_of_place_and_too_many_errors() {
    let mut fake = Fake::new();
    fake.says(
        "STAT\r\nPASS x\r\nHELO\r\nQUIT\r\n",
        &["-ERR log in first", "-ERR send USER first", "-ERR unknown command", "+OK good bye", "<closed>"],
    );
    let input = format!("{LOGIN}USER you\r\nRETR\r\nRETR x\r\nRETR 0\r\nSTLS\r\n");
    let again = "-ERR you have logged in already";
    let rest = [again, "-ERR say which message", "-ERR not a message number", "-ERR no such message", again];
    fake.says(&input, &[&WELCOME[..], &rest].concat());
    let many = fake.talk(&"X\r\n".repeat(1000), 99);
    assert_eq!(many.matches("-ERR").count(), POP3_ERRORS_MAX as usize);
    let guesses = fake.talk(&"USER me\r\nPASS x\r\n".repeat(100), 99);
    assert_eq!(guesses.matches("[AUTH]").count(), POP3_LOGINS_FAILED_MAX as usize);
    assert!(many.ends_with("<closed>") && guesses.ends_with("<closed>"));
    let long = format!("USER {}\r\nNOOP\r\n", "x".repeat(100_000));
    fake.says(&long, &["-ERR line too long", "-ERR log in first"]);
}

#[test]
fn a_body_that_cannot_be_read_is_an_error_and_later_a_lost_connection() {
    let mut server = Server::new(PLAIN);
    let mut out = Vec::new();
    server.step(LOGIN.as_bytes(), &mut out);
    server.answer_login(Fake::new().opened(), &mut out);
    for (why, said) in [
        (NotSent::Unreadable, "-ERR [SYS/TEMP] this message cannot be read now\r\n"),
        (NotSent::Gone, "-ERR this message is gone: somebody else has deleted or moved it\r\n"),
        (NotSent::NeedsUtf8, "-ERR [UTF8] this message needs UTF8 mode\r\n"),
    ] {
        out.clear();
        assert!(matches!(server.step(b"RETR 1\r\n", &mut out), (8, Want::Piece { uid: 10, start: 0, .. })));
        server.answer_piece(Err(why), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), said);
    }
    assert!(matches!(server.step(b"RETR 1\r\n", &mut out), (8, Want::Piece { .. })));
    server.answer_piece(Ok(Piece { bytes: b"A: 1\r\n", is_last: false }), &mut out);
    assert!(matches!(server.step(b"", &mut out), (0, Want::Piece { start: 6, .. })));
    server.answer_piece(Err(NotSent::Gone), &mut out);
    assert_eq!(server.step(b"", &mut out), (0, Want::Close));
    assert!(out.ends_with(b"A: 1\r\n"));
}

#[test]
fn a_long_listing_is_written_in_pieces() {
    let mut server = Server::new(PLAIN);
    let mut out = Vec::new();
    server.step(LOGIN.as_bytes(), &mut out);
    let mut maildrop = Maildrop::new(1, 20_000);
    (1..=20_000).for_each(|uid| assert!(maildrop.push(Message { uid, bytes: 1 })));
    server.answer_login(LoginAnswer::Opened { maildrop, login_delay_seconds: 0 }, &mut out);
    let (mut input, mut lines) = (&b"UIDL\r\n"[..], 0);
    loop {
        let (used, want) = server.step(input, &mut out);
        input = &input[used..];
        lines += out.iter().filter(|byte| **byte == b'\n').count();
        assert!(out.len() < POP3_REPLIES_BYTES + 100);
        out.clear();
        if want == Want::Input {
            break;
        }
        assert_eq!(want, Want::Flush);
    }
    assert_eq!(lines, 20_000 + 4);
}

#[test]
fn apop_is_there_only_with_a_timestamp() {
    let mut fake = Fake::new();
    fake.settings.plaintext_login = false;
    let right = "APOP me abababababababababababababababab\r\n";
    fake.says(right, &["-ERR APOP is not offered here"]);
    fake.settings.timestamp = Some("<1@x>".to_owned());
    let server = Server::new(fake.settings.clone());
    let mut greeting = Vec::new();
    server.greet(&mut greeting);
    assert_eq!(greeting, b"+OK  POP3 server ready <1@x>\r\n");
    fake.says(right, &[WELCOME[1]]);
    fake.says("APOP me 00000000000000000000000000000000\r\n", &["-ERR [AUTH] wrong login or password"]);
    fake.says("APOP me\r\n", &["-ERR APOP is a name and a digest of 32 hexadecimal digits"]);
    fake.says("USER me\r\n", &["-ERR [AUTH] use TLS before you log in"]);
}

#[test]
fn languages_are_chosen_in_both_states() {
    let mut fake = Fake::new();
    let input = format!("LANG\r\nLANG de-AT\r\nNOOP\r\n{LOGIN}LANG mul\r\nSTAT\r\nLANG *\r\nNOOP\r\n");
    fake.says(
        &input,
        &[
            "+OK languages follow",
            "en English",
            "de Deutsch",
            ".",
            "+OK de ab hier auf Deutsch",
            "-ERR zuerst anmelden",
            "+OK jetzt PASS",
            "+OK das Postfach hat 2 Nachrichten (42 Oktette)",
            "-ERR diese Sprache gibt es nicht",
            "+OK 2 42",
            "+OK en this is English",
            "+OK nothing done",
        ],
    );
}

#[test]
fn utf8_is_chosen_before_login_and_after_tls() {
    let mut fake = Fake::new();
    let input = format!("UTF8 x\r\nUTF8\r\nSTLS\r\n{LOGIN}UTF8\r\n");
    let rest = ["-ERR this command takes no arguments", "+OK messages come in UTF-8", "-ERR STLS comes before UTF8"];
    fake.says(&input, &[&rest[..], &WELCOME, &["-ERR you have logged in already"]].concat());
}

#[test]
fn capabilities_say_what_holds_for_whom() {
    let mut fake = Fake::new();
    fake.settings.login_delay_seconds = 600;
    let before = fake.talk("CAPA\r\n", 99);
    assert!(before.contains("\r\nLOGIN-DELAY 600 USER\r\n") && before.contains("\r\nIMPLEMENTATION Hauspost\r\n"));
    let after = fake.talk(&format!("{LOGIN}CAPA\r\n"), 99);
    assert!(after.contains("\r\nLOGIN-DELAY 60\r\n") && after.contains("\r\nIMPLEMENTATION Hauspost-"), "{after}");
    for always in
        ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER", "LANG", "USER"]
    {
        assert!([&before, &after].iter().all(|told| told.contains(&format!("\r\n{always}\r\n"))), "{always}");
    }
}

#[test]
fn who_takes_one_after_the_other_is_read_ahead_for() {
    let mut server = Server::new(PLAIN);
    let mut out = Vec::new();
    server.step(LOGIN.as_bytes(), &mut out);
    let mut maildrop = Maildrop::new(1, 100);
    (1..=100).for_each(|uid| assert!(maildrop.push(Message { uid, bytes: 1 })));
    server.answer_login(LoginAnswer::Opened { maildrop, login_delay_seconds: 0 }, &mut out);
    let mut ahead_of = |line: &str| match server.step(line.as_bytes(), &mut out).1 {
        Want::Piece { ahead, .. } => {
            server.answer_piece(Ok(Piece { bytes: b"x", is_last: true }), &mut out);
            (ahead.first().copied(), ahead.len())
        }
        want => panic!("{want:?}"),
    };
    assert_eq!(ahead_of("RETR 1\r\n"), (None, 0));
    assert_eq!(ahead_of("DELE 1\r\nRETR 2\r\n"), (Some(3), POP3_AHEAD_MESSAGES));
    assert_eq!(ahead_of("TOP 3 0\r\n"), (None, 0));
    assert_eq!(ahead_of("RETR 99\r\n"), (None, 0));
    assert_eq!(ahead_of("RETR 100\r\n"), (None, 0));
}
