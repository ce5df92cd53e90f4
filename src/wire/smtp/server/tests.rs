//! Conversations with the machine alone: every verb, parameter and refusal, each run whole and one byte at a time.

use super::*;
use crate::wire::date::Timestamp;
use crate::wire::sasl::{Exchange, Question, Step};
use proptest::prelude::*;
use std::time::Duration;

fn mx() -> Settings {
    Settings {
        role: Role::Mx,
        hostname: "mx.home.example".into(),
        message_bytes_max: 1000,
        starttls: true,
        tls: false,
        plaintext_login: false,
        channel_binding: true,
        hold: None,
    }
}

fn submission() -> Settings {
    Settings { role: Role::Submission, tls: true, ..mx() }
}

/// What the driver would answer: the password is `secret`.
fn answer_of(step: Step) -> LoginAnswer {
    match step {
        Step::Challenge(challenge) => LoginAnswer::Challenge(challenge),
        Step::Refused(trouble) => LoginAnswer::Refused(trouble),
        Step::Ask(Question::Password(given)) => match (given.login.as_str(), given.password.as_str()) {
            ("me", "secret") => LoginAnswer::Welcome,
            ("later", _) => LoginAnswer::Unavailable,
            ("flood", _) => LoginAnswer::TooMany,
            _ => LoginAnswer::Wrong,
        },
        _ => LoginAnswer::Wrong,
    }
}

/// Runs input in pieces; answers as a host of home.example would. Gives replies, and what was wanted in `{}`.
fn talk(settings: Settings, input: &[u8], piece: usize) -> String {
    let mut server = Server::new(settings);
    let (mut out, mut said, mut message) = (Vec::new(), String::new(), Vec::new());
    let mut exchange: Option<Exchange> = None;
    for piece in input.chunks(piece.max(1)) {
        let mut rest = piece;
        loop {
            let (used, want) = server.step(rest, &mut out);
            rest = &rest[used..];
            assert!(out.len() < SMTP_REPLIES_BYTES + 4 * SMTP_REPLY_LINE_BYTES_MAX);
            said.push_str(&String::from_utf8(std::mem::take(&mut out)).expect("replies are ASCII"));
            match want {
                Want::Input => {
                    assert!(rest.is_empty());
                    break;
                }
                Want::Flush => {}
                Want::Sender => {
                    let envelope = server.envelope().expect("an envelope");
                    let bad = envelope.reverse_path.to_string().starts_with("bad@");
                    server.answer_sender(if bad { Err(replies::NOT_YOUR_ADDRESS) } else { Ok(()) }, &mut out);
                }
                Want::Recipient(ForwardPath::Postmaster) => {
                    server.answer_recipient(Ok("me@home.example".parse().expect("an address")), &mut out)
                }
                Want::Recipient(ForwardPath::Address(address)) => {
                    let local = address.domain.as_str() == "home.example";
                    server.answer_recipient(if local { Ok(address) } else { Err(replies::RELAYING_DENIED) }, &mut out)
                }
                Want::Data => server.answer_data(Ok(()), &mut out),
                Want::Bytes(bytes) => message.extend_from_slice(bytes),
                Want::Message => {
                    let to: Vec<String> = server
                        .envelope()
                        .expect("an envelope")
                        .recipients
                        .iter()
                        .map(|to| to.address.to_string())
                        .collect();
                    let text = String::from_utf8_lossy(&std::mem::take(&mut message)).into_owned();
                    said.push_str(&format!("{{{} {text:?}}}\n", to.join(",")));
                    server.answer_message(replies::DELIVERED, &mut out);
                }
                Want::Forget => {
                    message.clear();
                    said.push_str("{forget}\n");
                }
                Want::Refused(_, reply) => said.push_str(&format!("{{refused {}}}\n", reply.code)),
                Want::Login(input) => {
                    let step = match input {
                        Input::Begin { mechanism, initial } => {
                            let (begun, step) = Exchange::begin(mechanism, initial.as_deref(), Default::default());
                            exchange = Some(begun);
                            step
                        }
                        Input::Line(line) => exchange.as_mut().expect("an exchange").respond(&line),
                    };
                    server.answer_login(answer_of(step), &mut out);
                }
                Want::StartTls => {
                    said.push_str("{tls}\n");
                    server.tls_begun();
                }
                Want::Close => return said + "{closed}\n",
            }
            said.push_str(&String::from_utf8(std::mem::take(&mut out)).expect("replies are ASCII"));
        }
    }
    said
}

/// The first words of each reply line: code, and enhanced code where there is one.
fn codes(said: &str) -> String {
    let code = |line: &str| match line.as_bytes() {
        [b'{', ..] => line.to_string(),
        [_, _, _, b'-', ..] => String::new(),
        _ => {
            let mut words = line.split(' ');
            let code = words.next().unwrap_or_default();
            let enhanced = words.next().filter(|word| word.len() >= 5 && word.as_bytes()[1] == b'.');
            enhanced.map_or(code.to_string(), |enhanced| format!("{code} {enhanced}"))
        }
    };
    said.lines().map(code).filter(|code| !code.is_empty()).collect::<Vec<_>>().join(" | ")
}

/// Checks the codes of a conversation, run whole, by bytes, and in odd pieces.
#[track_caller]
fn expect(settings: Settings, input: &str, wanted: &str) {
    for piece in [input.len(), 1, 3] {
        assert_eq!(codes(&talk(settings.clone(), input.as_bytes(), piece)), wanted, "{input:?} in pieces of {piece}");
    }
}

const HELLO: &str = "EHLO far.example\r\n";
const BEGUN: &str = "EHLO far.example\r\nMAIL FROM:<a@far.example>\r\n";

#[test]
fn a_whole_conversation() {
    expect(
        mx(),
        "EHLO far.example\r\nMAIL FROM:<a@far.example> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<me@home.example>\r\n\
         RCPT TO:<Postmaster>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\nNOOP\r\n",
        "250 | 250 2.1.0 | 250 2.1.5 | 250 2.1.5 | 354 | \
         {me@home.example,me@home.example \"Subject: x\\r\\n\\r\\n.dot\\r\\n\"} | 250 2.0.0 | 250 2.1.0 | 250 2.0.0 | \
         221 2.0.0 | {closed}",
    );
}

#[test]
fn what_is_announced_is_what_works() {
    let said = |settings| talk(settings, HELLO.as_bytes(), 100);
    assert_eq!(
        said(mx()),
        "250-mx.home.example greets far.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n\
         250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-BINARYMIME\r\n\
         250-LIMITS MAILMAX=20000 RCPTMAX=100\r\n250 STARTTLS\r\n"
    );
    assert!(said(Settings { starttls: false, ..mx() }).ends_with("250 LIMITS MAILMAX=20000 RCPTMAX=100\r\n"));
    assert!(said(Settings { tls: true, ..mx() }).ends_with("250 REQUIRETLS\r\n"));
    let bounds = HoldBounds { interval: Duration::from_secs(60), latest: Timestamp(0) };
    let held = said(Settings { hold: Some(bounds), ..submission() });
    assert!(held.contains("\r\n250-FUTURERELEASE 60 1970-01-01T00:00:00Z\r\n"), "{held}");
    assert!(!said(submission()).contains("BINARYMIME"));
    assert!(
        said(submission()).ends_with("250-REQUIRETLS\r\n250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\r\n")
    );
    assert!(said(Settings { tls: false, ..submission() }).ends_with("250 STARTTLS\r\n"));
    let local = Settings { tls: false, plaintext_login: true, ..submission() };
    assert!(said(local).ends_with("250-STARTTLS\r\n250 AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n"));
    assert_eq!(talk(mx(), b"HELO far.example\r\n", 100), "250 mx.home.example greets far.example\r\n");
    let mut greeting = Vec::new();
    Server::new(mx()).greet(&mut greeting);
    assert_eq!(greeting, b"220 mx.home.example ESMTP Hauspost\r\n");
}

#[test]
fn commands_in_the_wrong_order() {
    for command in ["MAIL FROM:<a@far.example>", "RCPT TO:<me@home.example>", "DATA", "STARTTLS", "AUTH PLAIN"] {
        expect(mx(), &format!("{command}\r\n"), "503 5.5.1");
    }
    for command in ["RCPT TO:<me@home.example>", "DATA"] {
        expect(mx(), &format!("{HELLO}{command}\r\n"), "250 | 503 5.5.1");
    }
    for command in ["MAIL FROM:<b@far.example>", "DATA", "STARTTLS", "AUTH PLAIN"] {
        expect(mx(), &format!("{BEGUN}{command}\r\n"), "250 | 250 2.1.0 | 503 5.5.1");
    }
    for command in ["MAIL FROM:<b@far.example>", "STARTTLS", "AUTH PLAIN"] {
        let input = format!("{BEGUN}RCPT TO:<me@home.example>\r\n{command}\r\n");
        expect(mx(), &input, "250 | 250 2.1.0 | 250 2.1.5 | 503 5.5.1");
    }
}

#[test]
fn small_talk_works_at_any_time() {
    let before = "NOOP\r\nNOOP x\r\nRSET\r\nHELP\r\nHELP MAIL\r\nVRFY me\r\nEXPN list\r\n";
    let answers = "250 2.0.0 | 250 2.0.0 | 250 2.0.0 | 214 2.0.0 | 214 2.0.0 | 252 2.0.0 | 502 5.5.1";
    expect(mx(), before, answers);
    expect(mx(), &format!("{HELLO}{before}"), &format!("250 | {answers}"));
    expect(mx(), "RSET x\r\nVRFY\r\nQUIT x\r\nquit\r\n", "501 5.5.4 | 501 5.5.4 | 501 5.5.4 | 221 2.0.0 | {closed}");
    expect(mx(), "RSET\r\nMAIL FROM:<>\r\n", "250 2.0.0 | 503 5.5.1");
}

#[test]
fn reset_and_a_new_hello_give_up_a_message() {
    for command in ["RSET", "EHLO far.example", "HELO far.example"] {
        let said = talk(mx(), format!("{BEGUN}{command}\r\nRCPT TO:<me@home.example>\r\n").as_bytes(), 1000);
        assert!(codes(&said).ends_with("| 503 5.5.1"), "{command}: {said}");
    }
    expect(mx(), &format!("{BEGUN}EHLO\r\nRCPT TO:<me@home.example>\r\n"), "250 | 250 2.1.0 | 501 5.5.2 | 250 2.1.5");
    expect(mx(), "EHLO (x)\r\nHELO <\r\nEHLO [192.0.2.1]\r\n", "501 5.5.2 | 501 5.5.2 | 250");
}

#[test]
fn senders_and_recipients_refused() {
    for (command, code) in [
        ("MAIL FROM:<bad@far.example>", "553 5.7.1"),
        ("MAIL FROM:<a@far.example> SIZE=1001", "552 5.3.4"),
        ("MAIL FROM:<a@far.example> SIZE=99999999999999999999", "552 5.3.4"),
        ("MAIL FROM:<a@far.example> SMTPUTF8=x", "501 5.5.4"),
        ("MAIL FROM:<a@far.example> ENVID=a=b", "501 5.5.4"),
        ("MAIL FROM:<a@far.example> AUTH=<>", "555 5.5.4"),
        ("MAIL FROM:<a@far.example> BODY=BINARY", "501 5.5.4"),
        ("MAIL FROM:<\u{fc}@far.example>", "553 5.6.7"),
        ("MAIL FROM:a@far.example", "501 5.1.7"),
        ("MAIL", "501 5.1.7"),
    ] {
        expect(mx(), &format!("{HELLO}{command}\r\nMAIL FROM:<>\r\n"), &format!("250 | {code} | 250 2.1.0"));
    }
    for (command, code) in [
        ("RCPT TO:<you@far.example>", "550 5.7.1"),
        ("RCPT TO:<me@home.example> NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
        ("RCPT TO:<me@home.example> X=y", "555 5.5.4"),
        ("RCPT TO:<me@hom\u{e9}.example>", "553 5.6.7"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("RCPT", "501 5.1.3"),
    ] {
        let input = format!("{BEGUN}{command}\r\nDATA\r\nRCPT TO:<me@home.example>\r\n{command}\r\nDATA\r\n.\r\n");
        let wanted = format!(
            "250 | 250 2.1.0 | {code} | 503 5.5.1 | 250 2.1.5 | {code} | 354 | {{me@home.example \"\"}} | 250 2.0.0"
        );
        expect(mx(), &input, &wanted);
    }
    expect(mx(), &format!("{BEGUN}RCPT TO:<me@home.example>\r\nDATA x\r\n"), "250 | 250 2.1.0 | 250 2.1.5 | 501 5.5.4");
}

#[test]
fn recipients_beyond_the_bound_are_for_another_message_and_no_errors() {
    let mut input = "EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n".to_owned();
    let rcpt = |count: usize| "RCPT TO:<me@home.example>\r\n".repeat(count);
    input.push_str(&rcpt(SMTP_RECIPIENTS_MAX + 3 * SMTP_ERRORS_MAX as usize));
    input.push_str("DATA\r\nx\r\n.\r\n");
    let said = talk(mx(), input.as_bytes(), 4096);
    assert_eq!(said.matches("452 4.5.3").count(), 3 * SMTP_ERRORS_MAX as usize);
    assert!(said.ends_with("250 2.0.0 Delivered\r\n"), "{said}");
    let endless = talk(mx(), format!("{input}MAIL FROM:<a@b.example>\r\n{}", rcpt(5000)).as_bytes(), 4096);
    assert!(endless.ends_with("{closed}\n"));
}

#[test]
fn recipients_are_bounded() {
    let mut input = BEGUN.to_string();
    (0..SMTP_RECIPIENTS_MAX + 1).for_each(|_| input.push_str("RCPT TO:<me@home.example>\r\n"));
    let said = codes(&talk(mx(), format!("{input}DATA\r\n").as_bytes(), 4096));
    assert_eq!(said.matches("250 2.1.5").count(), SMTP_RECIPIENTS_MAX);
    assert!(said.ends_with("452 4.5.3 | 354"), "{said}");
}

#[test]
fn messages_refused_for_their_bytes() {
    let start = format!("{BEGUN}RCPT TO:<me@home.example>\r\nDATA\r\n");
    let begun = "250 | 250 2.1.0 | 250 2.1.5 | 354";
    for (message, code) in [
        ("a\nb\r\n".to_string(), "550 5.6.0"),
        ("a\rb\r\n".to_string(), "550 5.6.0"),
        ("a\n.\nMAIL FROM:<smuggled@far.example>\r\n".to_string(), "550 5.6.0"),
        ("a\r\n.\nMAIL FROM:<smuggled@far.example>\r\n".to_string(), "550 5.6.0"),
        ("a\n.\r\nMAIL FROM:<smuggled@far.example>\r\n".to_string(), "550 5.6.0"),
        ("a\r.\r\nMAIL FROM:<smuggled@far.example>\r\n".to_string(), "550 5.6.0"),
        ("a\0\r\n".to_string(), "554 5.6.0"),
        (format!("{}\r\n", "x".repeat(999)), "552 5.3.4"),
    ] {
        let wanted = format!("{begun} | {code} | {{refused {}}} | 250 2.1.0", &code[..3]);
        expect(mx(), &format!("{start}{message}.\r\nMAIL FROM:<>\r\n"), &wanted);
    }
    let message = format!("{}\r\n", "x".repeat(998));
    expect(mx(), &format!("{start}{message}.\r\n"), &format!("{begun} | {{me@home.example {message:?}}} | 250 2.0.0"));
    let endless = format!("{start}{}", "x".repeat(SMTP_DISCARDED_BYTES_MAX as usize + 8192));
    assert_eq!(codes(&talk(mx(), endless.as_bytes(), 4096)), format!("{begun} | 552 5.3.4 | {{closed}}"));
}

const CHUNKING: &str = "EHLO far.example\r\nMAIL FROM:<a@far.example>\r\nRCPT TO:<me@home.example>\r\n";
const CHUNKING_BEGUN: &str = "250 | 250 2.1.0 | 250 2.1.5";

#[test]
fn messages_in_chunks() {
    let taken = "250 2.0.0";
    for (chunks, wanted) in [
        ("BDAT 3 LAST\r\na\r\n", format!("{{me@home.example \"a\\r\\n\"}} | {taken}")),
        ("bdat 2\r\na\rBDAT 3\r\n\nb\rBDAT 1 last\r\n\n", {
            format!("{taken} | {taken} | {{me@home.example \"a\\r\\nb\\r\\n\"}} | {taken}")
        }),
        ("BDAT 0\r\nBDAT 5\r\nA\r\n.\rBDAT 1\r\n\nBDAT 0\r\nBDAT 0 LAST\r\n", {
            format!("{taken} | {taken} | {taken} | {taken} | {{me@home.example \"A\\r\\n.\\r\\n\"}} | {taken}")
        }),
        ("BDAT 0 LAST\r\n", format!("{{me@home.example \"\"}} | {taken}")),
        // What looks like the end of DATA, or like a command, is part of the message.
        ("BDAT 18 LAST\r\na\r\n.\r\nRSET\r\nQUIT\r\n", {
            format!("{{me@home.example \"a\\r\\n.\\r\\nRSET\\r\\nQUIT\\r\\n\"}} | {taken}")
        }),
    ] {
        expect(mx(), &format!("{CHUNKING}{chunks}NOOP\r\n"), &format!("{CHUNKING_BEGUN} | {wanted} | {taken}"));
    }
    let binary = "EHLO a.example\r\nMAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<me@home.example>\r\n";
    let input = format!("{binary}DATA\r\nBDAT 4\r\n\n\0\r.BDAT 1 LAST\r\n\r");
    let wanted =
        format!("{CHUNKING_BEGUN} | 503 5.5.1 | 250 2.0.0 | {{me@home.example \"\\n\\0\\r.\\r\"}} | 250 2.0.0");
    expect(mx(), &input, &wanted);
}

#[test]
fn chunks_refused_are_read_to_their_end() {
    let after = "MAIL FROM:<>\r\n";
    for (chunks, wanted) in [
        // Data in a chunk is never a command, whatever becomes of the chunk.
        ("BDAT 7\r\na\nb\r\n\r\nBDAT 6 LAST\r\nQUIT\r\n", "550 5.6.0 | {refused 550} | 503 5.5.1 | 250 2.1.0"),
        ("BDAT 2 LAST\r\na\r", "550 5.6.0 | {refused 550} | 250 2.1.0"),
        ("BDAT 2\r\na\rBDAT 0 LAST\r\n", "250 2.0.0 | 550 5.6.0 | {refused 550} | 250 2.1.0"),
        ("BDAT 1\r\n\nBDAT 0 LAST\r\n", "550 5.6.0 | {refused 550} | 503 5.5.1 | 250 2.1.0"),
        ("BDAT 1\r\n\0", "554 5.6.0 | {refused 554} | 250 2.1.0"),
        ("BDAT 3\r\nx\r\nDATA\r\nRCPT TO:<me@home.example>\r\nMAIL FROM:<>\r\nSTARTTLS\r\nRSET\r\n", {
            "250 2.0.0 | 503 5.5.1 | 503 5.5.1 | 503 5.5.1 | 503 5.5.1 | 250 2.0.0 | {forget} | 250 2.1.0"
        }),
        ("BDAT 3\r\nx\r\nEHLO far.example\r\n", "250 2.0.0 | 250 | {forget} | 250 2.1.0"),
        ("BDAT 3\r\nx\r\nEHLO\r\nBDAT 0 LAST\r\n", {
            "250 2.0.0 | 501 5.5.2 | {me@home.example \"x\\r\\n\"} | 250 2.0.0 | 250 2.1.0"
        }),
        ("BDAT 0 LAST\r\nBDAT 6 LAST\r\nQUIT\r\n", { "{me@home.example \"\"} | 250 2.0.0 | 503 5.5.1 | 250 2.1.0" }),
    ] {
        expect(mx(), &format!("{CHUNKING}{chunks}{after}"), &format!("{CHUNKING_BEGUN} | {wanted}"));
    }
    expect(mx(), "BDAT 6\r\nQUIT\r\nNOOP\r\n", "503 5.5.1 | 250 2.0.0");
    expect(mx(), &format!("{HELLO}BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "250 | 503 5.5.1 | 250 2.0.0");
    expect(mx(), &format!("{BEGUN}BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "250 | 250 2.1.0 | 503 5.5.1 | 250 2.0.0");
    for bad in ["BDAT", "BDAT x", "BDAT -1", "BDAT 1 END", "BDAT LAST"] {
        expect(mx(), &format!("{CHUNKING}{bad}\r\nNOOP\r\n"), &format!("{CHUNKING_BEGUN} | 554 5.5.4 | {{closed}}"));
        expect(mx(), &format!("{bad}\r\nNOOP\r\n"), "554 5.5.4 | {closed}");
    }
}

#[test]
fn chunks_too_large() {
    let octets = "x".repeat(1001);
    let wanted = format!("{CHUNKING_BEGUN} | 552 5.3.4 | {{refused 552}} | 250 2.0.0");
    expect(mx(), &format!("{CHUNKING}BDAT 1001 LAST\r\n{octets}NOOP\r\n"), &wanted);
    let wanted = format!("{CHUNKING_BEGUN} | 250 2.0.0 | 552 5.3.4 | {{refused 552}} | 250 2.0.0");
    expect(mx(), &format!("{CHUNKING}BDAT 1000\r\n{}BDAT 1\r\nxNOOP\r\n", &octets[1..]), &wanted);
    let endless =
        format!("{CHUNKING}BDAT 99999999999999999999\r\n{}", "x".repeat(SMTP_DISCARDED_BYTES_MAX as usize + 8192));
    assert_eq!(codes(&talk(mx(), endless.as_bytes(), 4096)), format!("{CHUNKING_BEGUN} | 552 5.3.4 | {{closed}}"));
}

#[test]
fn lines_that_are_none() {
    expect(mx(), "NOOP\nQUIT\r\nNOOP\r\n", "500 5.5.2 | 250 2.0.0");
    expect(mx(), "NOOP\rQUIT\r\nNOOP\r\n", "500 5.5.2 | 250 2.0.0");
    expect(mx(), "\r\n", "500 5.5.1");
    let long = format!("NOOP {}\r\n", "x".repeat(SMTP_LINE_BYTES_MAX - 7));
    expect(mx(), &long, "250 2.0.0");
    expect(mx(), &format!("NOOP {long}NOOP\r\n"), "500 5.5.2 | 250 2.0.0");
    expect(mx(), "GET / HTTP/1.1\r\nHost: x\r\n", "554 5.5.1 | {closed}");
}

#[test]
fn errors_are_counted() {
    let said = |input: &str| codes(&talk(mx(), input.as_bytes(), 4096));
    assert_eq!(said(&"X\r\n".repeat(100)).matches("500 5.5.1").count(), SMTP_UNKNOWN_COMMANDS_MAX as usize);
    assert!(said(&"X\r\n".repeat(100)).ends_with("421 4.7.0 | {closed}"));
    let guesses = format!("{BEGUN}{}", "RCPT TO:<guess@far.example>\r\n".repeat(100));
    assert_eq!(said(&guesses).matches("550 5.7.1").count(), SMTP_ERRORS_MAX as usize);
    assert!(said(&guesses).ends_with("421 4.7.0 | {closed}"));
    let noops = said(&"NOOP\r\n".repeat(1000));
    assert_eq!(noops.matches("250 2.0.0").count(), SMTP_IDLE_COMMANDS_MAX as usize);
    assert!(noops.ends_with("421 4.7.0 | {closed}"));
    let chunks = said(&format!("{CHUNKING}{}", "BDAT 0\r\n".repeat(1000)));
    assert!(chunks.ends_with("421 4.7.0 | {closed}") && chunks.matches("250 2.0.0").count() <= 101, "{chunks}");
    let message = "MAIL FROM:<>\r\nRCPT TO:<me@home.example>\r\nDATA\r\n.\r\nNOOP\r\n";
    let many = said(&format!("{HELLO}{}", message.repeat(SMTP_IDLE_COMMANDS_MAX as usize + 50)));
    assert!(!many.contains("421"), "messages between make it honest talk");
}

#[test]
fn nothing_from_before_tls_is_known_after_it() {
    let input = format!("{HELLO}STARTTLS\r\n");
    let wanted = "250 | 220 2.0.0 | {tls}";
    expect(mx(), &input, wanted);
    // By single bytes, so that nothing comes along with STARTTLS.
    let said = talk(mx(), format!("{input}MAIL FROM:<>\r\n{input}").as_bytes(), 1);
    assert_eq!(codes(&said), format!("{wanted} | 503 5.5.1 | 250 | 503 5.5.1"));
    assert!(said.ends_with("TLS is already in use\r\n"));
    expect(Settings { starttls: false, ..mx() }, &input, "250 | 502 5.5.1");
    expect(mx(), &format!("{HELLO}STARTTLS x\r\n"), "250 | 501 5.5.4");
}

#[test]
fn commands_injected_before_tls_are_refused() {
    let input = format!("{HELLO}NOOP\r\nSTARTTLS\r\n{BEGUN}");
    let said = codes(&talk(mx(), input.as_bytes(), input.len()));
    assert_eq!(said, "250 | 250 2.0.0 | 554 5.5.1 | {closed}");
    let said = codes(&talk(mx(), format!("{HELLO}STARTTLS\r\nR").as_bytes(), 1000));
    assert_eq!(said, "250 | 554 5.5.1 | {closed}");
}

const LOGGED_IN: &str = "EHLO phone.example\r\nAUTH PLAIN AG1lAHNlY3JldA==\r\n";

#[test]
fn submission_needs_a_login() {
    let plain = Settings { tls: false, ..submission() };
    expect(submission(), &format!("{HELLO}MAIL FROM:<me@home.example>\r\n"), "250 | 530 5.7.0");
    expect(plain.clone(), &format!("{HELLO}MAIL FROM:<me@home.example>\r\n"), "250 | 530 5.7.0");
    expect(plain.clone(), &format!("{HELLO}AUTH PLAIN AG1lAHNlY3JldA==\r\n"), "250 | 538 5.7.11");
    expect(mx(), &format!("{HELLO}AUTH PLAIN AG1lAHNlY3JldA==\r\n"), "250 | 502 5.5.1");
    let wanted = "250 | 235 2.7.0 | 250 2.1.0";
    expect(submission(), &format!("{LOGGED_IN}MAIL FROM:<me@home.example> AUTH=<>\r\n"), wanted);
    expect(Settings { plaintext_login: true, ..plain }, &format!("{LOGGED_IN}MAIL FROM:<>\r\n"), wanted);
    expect(submission(), &format!("{LOGGED_IN}AUTH PLAIN\r\n"), "250 | 235 2.7.0 | 503 5.5.1");
}

#[test]
fn logins() {
    let auth = |lines: &str, wanted: &str| {
        expect(submission(), &format!("{HELLO}{lines}\r\nNOOP\r\n"), &format!("250 | {wanted} | 250 2.0.0"))
    };
    auth("AUTH PLAIN\r\nAG1lAHNlY3JldA==", "334 | 235 2.7.0");
    auth("auth login\r\nbWU=\r\nc2VjcmV0", "334 | 334 | 235 2.7.0");
    auth("AUTH LOGIN bWU=\r\nc2VjcmV0", "334 | 235 2.7.0");
    auth("AUTH LOGIN bWU=\r\n*", "334 | 501 5.7.0");
    auth("AUTH PLAIN\r\n*", "334 | 501 5.7.0");
    auth("AUTH PLAIN\r\n=AAA", "334 | 501 5.5.2");
    auth("AUTH PLAIN AAAA", "501 5.5.2");
    auth("AUTH PLAIN =", "501 5.5.2");
    auth("AUTH PLAIN AG1lAHdyb25n", "535 5.7.8");
    auth("AUTH PLAIN b3RoZXIAbWUAc2VjcmV0", "535 5.7.8");
    auth("AUTH PLAIN AGxhdGVyAHg=", "454 4.7.0");
    auth("AUTH CRAM-MD5", "504 5.5.4");
    auth("AUTH", "501 5.5.4");
    auth(&format!("AUTH PLAIN\r\n{}", "A".repeat(SASL_LINE_BYTES_MAX + 1)), "334 | 500 5.5.6");
    auth("AUTH PLAIN\r\nAG1lAHN\nlY3JldA==", "334 | 500 5.5.2");
    expect(submission(), &format!("{HELLO}AUTH PLAIN AGZsb29kAHg=\r\n"), "250 | 421 4.7.0 | {closed}");
    let guesses = format!("{HELLO}{}", "AUTH PLAIN AG1lAHdyb25n\r\n".repeat(9));
    let said = codes(&talk(submission(), guesses.as_bytes(), 4096));
    assert_eq!(said.matches("535 5.7.8").count(), SMTP_LOGINS_FAILED_MAX as usize);
    assert!(said.ends_with("421 4.7.0 | {closed}"));
}

#[test]
fn an_answer_out_of_place_ends_the_session() {
    let mut server = Server::new(mx());
    let mut out = Vec::new();
    server.answer_message(replies::DELIVERED, &mut out);
    assert_eq!(server.step(b"NOOP\r\n", &mut out), (0, Want::Close));
    assert!(out.starts_with(b"421 4.3.0 "));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1usize..50) {
        talk(mx(), &bytes, piece);
        talk(submission(), &bytes, piece);
    }

    #[test]
    fn pieces_do_not_matter(
        lines in proptest::collection::vec(prop_oneof![
            Just("EHLO a.example\r\n"), Just("MAIL FROM:<a@b.example>\r\n"), Just("RCPT TO:<me@home.example>\r\n"),
            Just("DATA\r\n"), Just(".\r\n"), Just("..x\r\n"), Just("RSET\r\n"), Just("NOOP\n"), Just("\r"), Just("\n"),
            Just("BDAT 3\r\n"), Just("BDAT 5 LAST\r\n"), Just("BDAT 0\r\n"), Just("BDAT\r\n"),
            Just("AUTH LOGIN\r\n"), Just("bWU=\r\n"), Just("*\r\n"), Just("X\r\n"), Just("\r\n"), Just("\0"),
        ], 0..30),
        piece in 1usize..20,
    ) {
        let input = lines.concat();
        for settings in [mx(), submission()] {
            let whole = talk(settings.clone(), input.as_bytes(), 10_000);
            prop_assert_eq!(talk(settings, input.as_bytes(), piece), whole);
        }
    }
}
