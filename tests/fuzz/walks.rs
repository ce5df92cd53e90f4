//! Whole conversations with a peer that says anything: each walk takes fuzzer bytes, drives one machine of `wire` (or
//! the reading of one message) as its driver would, and checks what must hold whatever comes.
//!
//! The first bytes are the dice of our side (answers, sizes of reads), the rest is what the peer says. Every walk is
//! done twice, with the input cut into different reads: what is answered must not depend on how bytes arrive.

use hauspost::limits::*;
use hauspost::mail::index::Indexer;
use hauspost::mail::sts;
use hauspost::wire::address::{Address, Domain, ReversePath};
use hauspost::wire::date::Timestamp;
use hauspost::wire::http::client as http;
use hauspost::wire::http::request::{self, Method};
use hauspost::wire::imap::{Code, Command, Conversation, Out, Status, Step, Terms, response};
use hauspost::wire::pop3;
use hauspost::wire::sasl::{ChannelBindings, SaslTrouble};
use hauspost::wire::smtp::client::{self, Client, LoginMeans, Manner, TlsUse};
use hauspost::wire::smtp::{
    Body, HoldBounds, LoginAnswer, MailParameters, Notify, RcptParameters, Recipient, Reply, Role, Server, Settings,
    Want, replies,
};
use std::time::Duration;

/// Numbers that repeat with their seed.
struct Dice(u64);

impl Dice {
    fn new(seed: &[u8]) -> Dice {
        Dice(
            seed.iter().fold(0x9e37_79b9_7f4a_7c15, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
                | 1,
        )
    }
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// How the peer's bytes arrive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// All at once.
    Whole,
    /// One byte at a time.
    Bytes,
    /// In pieces of changing size.
    Pieces,
}

/// The bytes of one read, from `at`.
fn read<'i>(input: &'i [u8], at: usize, reads: Reads, dice: &mut Dice) -> &'i [u8] {
    let rest = &input[at..];
    let count = match reads {
        Reads::Whole => rest.len(),
        Reads::Bytes => 1,
        Reads::Pieces => 1 + dice.roll(40) as usize,
    };
    &rest[..count.min(rest.len())]
}

/// Splits fuzzer bytes into our side's dice and the peer's words.
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    data.split_at(data.len().min(4))
}

/// What must not depend on how bytes arrive.
#[derive(PartialEq)]
struct Outcome {
    /// All that was said, and what was wanted as far as it is text.
    said: Vec<u8>,
    /// What an IMAP client wanted. Kept as it is: to write it down takes longer than the walk.
    commands: Vec<Command>,
}

/// Takes our side's dice, the peer's words and how they arrive; hands on all that was said and wanted, or nothing where the
/// cut of reads matters.
type Walk = fn(&[u8], &[u8], Reads) -> Option<Outcome>;

/// Does a walk with the input in one piece, in single bytes and in odd pieces; all must come to the same.
fn every_way(data: &[u8], walk: Walk) {
    let (seed, input) = split(data);
    let whole = walk(seed, input, Reads::Whole);
    for reads in [Reads::Bytes, Reads::Pieces] {
        let other = walk(seed, input, reads);
        if let (Some(whole), Some(other)) = (&whole, &other)
            && whole != other
        {
            assert_eq!(whole.said.escape_ascii().to_string(), other.said.escape_ascii().to_string());
            assert_eq!(whole.commands, other.commands);
        }
    }
}

/// Both roles of the SMTP server.
pub fn smtp(data: &[u8]) {
    every_way(data, |seed, input, reads| {
        let role = if seed.first().is_some_and(|byte| byte & 1 == 1) { Role::Submission } else { Role::Mx };
        smtp_walk(role, seed, input, reads)
    });
}

/// `None`: TLS was begun, after which the cut of reads does matter.
fn smtp_walk(role: Role, seed: &[u8], input: &[u8], reads: Reads) -> Option<Outcome> {
    let (mut dice, mut cut) = (Dice::new(seed), Dice::new(seed));
    let settings = Settings {
        role,
        hostname: "mail.home.example".into(),
        message_bytes_max: 2_000,
        starttls: dice.roll(2) == 0,
        tls: dice.roll(2) == 0,
        plaintext_login: dice.roll(2) == 0,
        channel_binding: true,
        hold: (role == Role::Submission)
            .then_some(HoldBounds { interval: Duration::from_secs(1_000), latest: Timestamp(4_000_000_000_000) }),
    };
    let login_possible = settings.tls || settings.plaintext_login;
    let mut server = Server::new(settings);
    let (mut out, mut said, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut at, mut steps, mut tls) = (0, 0, false);
    let mut content = Vec::new();
    server.greet(&mut out);
    let mut window: &[u8] = b"";
    loop {
        let (used, want) = server.step(window, &mut out);
        assert!(used <= window.len());
        window = &window[used..];
        steps += 1;
        assert!(steps < 4 * input.len() + 1_000, "no step without progress");
        assert!(out.len() <= SMTP_REPLIES_BYTES + 4_096, "replies are bounded");
        match want {
            Want::Input => {
                assert!(window.is_empty(), "all input was used");
                said.append(&mut out);
                if at == input.len() {
                    break;
                }
                window = read(input, at, reads, &mut cut);
                at += window.len();
            }
            Want::Flush => said.append(&mut out),
            Want::Bytes(bytes) => {
                content.extend_from_slice(bytes);
                assert!(content.len() <= input.len());
            }
            Want::Sender => {
                assert!(role == Role::Mx || server.is_logged_in());
                let answer = if dice.roll(8) == 0 { Err(refusal()) } else { Ok(()) };
                server.answer_sender(answer, &mut out);
            }
            Want::Recipient(_) => {
                let answer = if dice.roll(4) == 0 { Err(refusal()) } else { Ok(someone()) };
                server.answer_recipient(answer, &mut out);
                assert!(server.envelope().is_none_or(|envelope| envelope.recipients.len() <= SMTP_RECIPIENTS_MAX));
            }
            Want::Data => {
                let answer = if dice.roll(8) == 0 { Err(refusal()) } else { Ok(()) };
                server.answer_data(answer, &mut out);
            }
            Want::Message => {
                assert!(server.envelope().is_some_and(|envelope| !envelope.recipients.is_empty()));
                wanted.append(&mut content);
                wanted.extend_from_slice(b"[message]");
                let answer = if dice.roll(4) == 0 { refusal() } else { Reply::new(250, "2.0.0", "stored") };
                server.answer_message(answer, &mut out);
            }
            Want::Forget => {
                wanted.extend_from_slice(b"forget\n");
                content.clear();
            }
            Want::Refused(envelope, reply) => {
                assert!(!envelope.recipients.is_empty() && reply.code >= 400);
                // How much of it was handed on before it was found wrong does not matter.
                content.clear();
                wanted.extend_from_slice(b"[refused]");
            }
            Want::Login(_) => {
                assert!(role == Role::Submission && (login_possible || tls), "no password in the clear");
                let answer = match dice.roll(6) {
                    0 => LoginAnswer::Wrong,
                    1 => LoginAnswer::Unavailable,
                    2 => LoginAnswer::Challenge("Y2hhbGxlbmdl".into()),
                    3 => LoginAnswer::Refused(SaslTrouble::Malformed),
                    _ => LoginAnswer::Welcome,
                };
                server.answer_login(answer, &mut out);
            }
            Want::StartTls => {
                assert!(window.is_empty(), "nothing said before TLS is left");
                server.tls_begun();
                assert!(server.hello().is_none() && server.envelope().is_none() && !server.is_logged_in());
                tls = true;
            }
            Want::Close => {
                said.append(&mut out);
                break;
            }
        }
    }
    // What came in one read with STARTTLS is refused; what comes in the next is TLS.
    let Reply { text, .. } = replies::STARTTLS_NOT_LAST;
    let pipelined_tls = said.windows(text.len()).any(|words| words == text.as_bytes());
    (!tls && !pipelined_tls).then(|| together(said, out, &wanted, Vec::new()))
}

/// All that was said, then all that was wanted: how they interleave depends on the reads.
fn together(mut said: Vec<u8>, mut out: Vec<u8>, wanted: &[u8], commands: Vec<Command>) -> Outcome {
    said.append(&mut out);
    said.extend_from_slice(b" | ");
    said.extend_from_slice(wanted);
    Outcome { said, commands }
}

fn refusal() -> Reply {
    Reply::new(451, "4.3.0", "not now")
}

fn someone() -> Address {
    Address { local: "me".into(), domain: Domain::new("home.example") }
}

/// The answer of a web server, and the policy in it.
pub fn web(data: &[u8]) {
    every_way(data, web_walk);
}

fn web_walk(seed: &[u8], input: &[u8], reads: Reads) -> Option<Outcome> {
    const CONTENT_BYTES_MAX: usize = 300;
    let mut cut = Dice::new(seed);
    let mut reading = http::Reading::new(Some(CONTENT_BYTES_MAX));
    let mut at = 0;
    let breach = loop {
        if at == input.len() {
            break reading.end(true).err();
        }
        let piece = read(input, at, reads, &mut cut);
        at += piece.len();
        match reading.receive(piece) {
            Ok(true) => break None,
            Ok(false) => {}
            Err(breach) => break Some(breach),
        }
    };
    let Some(breach) = breach else {
        let answer = reading.into_answer();
        assert!(answer.content.len() <= CONTENT_BYTES_MAX && (200..600).contains(&answer.status));
        let policy = sts::parse_policy(&answer.content);
        if let Ok(policy) = &policy {
            assert_eq!(sts::parse_policy(policy.lines().join("\n").as_bytes()).as_ref(), Ok(policy));
        }
        return Some(Outcome { said: format!("{answer:?} {policy:?}").into_bytes(), commands: Vec::new() });
    };
    Some(Outcome { said: format!("{breach:?}").into_bytes(), commands: Vec::new() })
}

/// What a browser asks the pages for.
pub fn request(data: &[u8]) {
    every_way(data, |seed, input, reads| {
        let mut cut = Dice::new(seed);
        let (mut reading, mut requests, mut at) = (request::Reading::default(), Vec::new(), 0);
        loop {
            match reading.step() {
                Ok(request::Want::Answer(request)) => {
                    assert!(request.path.starts_with('/') && (request.host.is_some() || !request.goes_on));
                    assert!(request.content.is_empty() || request.method == Method::Post);
                    assert!(request.content.len() <= WEB_CONTENT_BYTES_MAX);
                    requests.push(format!("{request:?}\n"));
                }
                Ok(_) if at == input.len() => break,
                Ok(_) => {
                    let piece = read(input, at, reads, &mut cut);
                    reading.receive(piece);
                    at += piece.len();
                }
                Err(status) => {
                    assert_eq!(reading.step(), Err(status), "a refusal stands");
                    requests.push(format!("{status:?}"));
                    break;
                }
            }
        }
        Some(Outcome { said: requests.concat().into_bytes(), commands: Vec::new() })
    });
}

/// The POP3 server, with a maildrop of messages that have dots and lines of all kinds.
pub fn pop3(data: &[u8]) {
    every_way(data, pop3_walk);
}

fn pop3_walk(seed: &[u8], input: &[u8], reads: Reads) -> Option<Outcome> {
    const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.\r\n..two\r\nbare\nlf\rcr\r\nno end of line.";
    const SENT_BYTES: u64 = MESSAGE.len() as u64 + 2;
    let (mut dice, mut cut) = (Dice::new(seed), Dice::new(seed));
    let settings = pop3::Settings {
        hostname: "mail.home.example".into(),
        stls: dice.roll(2) == 0,
        tls: dice.roll(2) == 0,
        plaintext_login: dice.roll(2) == 0,
        channel_binding: true,
        timestamp: (dice.roll(2) == 0).then(|| "<0123456789abcdef@mail.home.example>".into()),
        login_delay_seconds: dice.roll(2) as u32 * 60,
    };
    let login_possible = settings.tls || settings.plaintext_login;
    let apop_possible = settings.timestamp.is_some();
    let mut server = pop3::Server::new(settings);
    let (mut out, mut said) = (Vec::new(), Vec::new());
    let (mut at, mut steps, mut tls) = (0, 0, false);
    server.greet(&mut out);
    let mut window: &[u8] = b"";
    loop {
        let (used, want) = server.step(window, &mut out);
        window = &window[used..];
        steps += 1;
        assert!(steps < 60 * input.len() + 1_000, "no step without progress");
        assert!(out.len() <= POP3_REPLIES_BYTES + 4_096);
        match want {
            pop3::Want::Input => {
                assert!(window.is_empty());
                said.append(&mut out);
                if at == input.len() {
                    break;
                }
                window = read(input, at, reads, &mut cut);
                at += window.len();
            }
            pop3::Want::Flush => said.append(&mut out),
            want @ (pop3::Want::Login(_) | pop3::Want::Sasl(_) | pop3::Want::Apop { .. }) => {
                let is_apop = matches!(want, pop3::Want::Apop { .. });
                assert!(if is_apop { apop_possible } else { login_possible || tls }, "no password in the clear");
                let answer = match dice.roll(10) {
                    0 => pop3::LoginAnswer::Wrong,
                    1 => pop3::LoginAnswer::Unavailable,
                    2 if !is_apop => pop3::LoginAnswer::Challenge("Y2hhbGxlbmdl".into()),
                    3 => pop3::LoginAnswer::Refused(SaslTrouble::Malformed),
                    4 => pop3::LoginAnswer::InUse,
                    5 => pop3::LoginAnswer::TooSoon(dice.roll(100)),
                    6 => pop3::LoginAnswer::NoMailbox,
                    _ => {
                        let mut maildrop = pop3::Maildrop::new(9, 20);
                        (1..20).for_each(|uid| assert!(maildrop.push(pop3::Message { uid, bytes: SENT_BYTES })));
                        pop3::LoginAnswer::Opened { maildrop, login_delay_seconds: 0 }
                    }
                };
                server.answer_login(answer, &mut out);
            }
            pop3::Want::Piece { uid, start, bytes, ahead } => {
                assert!(ahead.is_sorted() && ahead.iter().all(|next| (uid + 1..20).contains(next)));
                assert!((1..20).contains(&uid) && start <= MESSAGE.len() as u64 && bytes > 0);
                let rest = &MESSAGE[start as usize..];
                let piece = &rest[..rest.len().min(1 + dice.roll(bytes) as usize)];
                let is_last = start as usize + piece.len() == MESSAGE.len();
                let answer = match dice.roll(24) {
                    0 => Err(pop3::NotSent::Gone),
                    1 => Err(pop3::NotSent::NeedsUtf8),
                    _ => Ok(pop3::Piece { bytes: piece, is_last }),
                };
                server.answer_piece(answer, &mut out);
            }
            pop3::Want::Expunge(uids) => {
                assert!(!uids.is_empty() && uids.is_sorted() && uids.iter().all(|uid| (1..20).contains(uid)));
                server.answer_expunge(dice.roll(2) == 0, &mut out);
            }
            pop3::Want::StartTls => {
                window = b"";
                server.tls_started();
                tls = true;
            }
            pop3::Want::Close => {
                said.append(&mut out);
                break;
            }
        }
    }
    (!tls).then(|| together(said, out, b"", Vec::new()))
}

/// The IMAP server's grammar and states.
pub fn imap(data: &[u8]) {
    every_way(data, imap_walk);
}

fn imap_walk(seed: &[u8], input: &[u8], reads: Reads) -> Option<Outcome> {
    let (mut dice, mut cut) = (Dice::new(seed), Dice::new(seed));
    let terms = Terms {
        tls: dice.roll(2) == 0,
        starttls: dice.roll(2) == 0,
        plaintext_login: dice.roll(2) == 0,
        channel_binding: true,
        append_bytes_max: 2_000,
    };
    let mut conversation = Conversation::new(terms);
    let (mut out, mut said, mut wanted, mut commands) = (Out::default(), Vec::new(), Vec::new(), Vec::new());
    let (mut at, mut steps, mut tls, mut refused) = (0, 0, false, false);
    let mut window: &[u8] = b"";
    loop {
        let step = conversation.step(&mut window, &mut out);
        steps += 1;
        assert!(steps < 4 * input.len() + 1_000, "no step without progress");
        match step {
            Step::Read => {
                assert!(window.is_empty());
                said.append(&mut out);
                if at == input.len() {
                    break;
                }
                window = read(input, at, reads, &mut cut);
                at += window.len();
            }
            Step::Command { tag, command } => {
                let secret = matches!(command, Command::Login { .. } | Command::Authenticate { .. });
                assert!(!secret || terms.login_allowed() || tls, "no password in the clear");
                if !secret {
                    commands.push(command.clone());
                }
                match command {
                    Command::Login { .. } | Command::Authenticate { .. } if dice.roll(4) > 0 => {
                        conversation.logged_in()
                    }
                    Command::Authenticate { .. } => {
                        conversation.challenge(&tag, "", &mut out);
                        continue;
                    }
                    Command::Select { .. } => conversation.selected(dice.roll(2) == 0),
                    Command::Idle => {
                        conversation.begin_idle(&tag, &mut out);
                        continue;
                    }
                    Command::StartTls => {
                        assert!(window.is_empty(), "nothing said before TLS is left");
                        conversation.tls_started();
                        tls = true;
                        continue;
                    }
                    Command::Logout => break,
                    _ => {}
                }
                response::tagged(&mut out, &tag, Status::Ok, Code::None, "done");
            }
            Step::AppendBegin(append) => {
                refused = decide(&mut conversation, &mut dice, &mut out, &mut wanted, &format!("[{append:?}]"));
            }
            Step::AppendMessage(message) => {
                assert!(!refused);
                refused = decide(&mut conversation, &mut dice, &mut out, &mut wanted, &format!("[{message:?}]"));
            }
            Step::AppendText(bytes) => {
                assert!(!refused);
                refused = decide(&mut conversation, &mut dice, &mut out, &mut wanted, &format!("[text {bytes}]"));
            }
            Step::AppendUrl(url) => {
                assert!(!refused);
                refused = decide(&mut conversation, &mut dice, &mut out, &mut wanted, &format!("[{url}]"));
            }
            Step::AppendBytes(bytes) => {
                assert!(!refused && !bytes.is_empty());
                wanted.extend_from_slice(bytes);
            }
            Step::AppendEnd { tag } => response::tagged(&mut out, &tag, Status::Ok, Code::None, "done"),
            Step::AppendBroken => wanted.extend_from_slice(b"[broken]"),
            Step::Auth { tag, .. } => response::tagged(&mut out, &tag, Status::No, Code::None, "no"),
            Step::IdleDone { tag } => response::tagged(&mut out, &tag, Status::Ok, Code::None, "done"),
            Step::IdleBroken => {}
            Step::Close => {
                said.append(&mut out);
                break;
            }
        }
    }
    (!tls).then(|| together(said, out.take(), &wanted, commands))
}

/// Takes or refuses what a client offers to append; returns whether it was refused.
fn decide(conversation: &mut Conversation, dice: &mut Dice, out: &mut Out, wanted: &mut Vec<u8>, what: &str) -> bool {
    wanted.extend_from_slice(what.as_bytes());
    let refused = dice.roll(4) == 0;
    match refused {
        true => conversation.refuse_append(Status::No, Code::None, "no", out),
        false => conversation.accept_append(out),
    }
    refused
}

/// The relay's side: a server that answers anything.
pub fn relay(data: &[u8]) {
    let (seed, input) = split(data);
    let ways = [Reads::Whole, Reads::Bytes, Reads::Pieces].map(|reads| relay_walk(seed, input, reads));
    let [whole, bytes, pieces] = &ways;
    if !whole.0 && !bytes.0 && !pieces.0 {
        assert_eq!(whole.1, bytes.1);
        assert_eq!(whole.1, pieces.1);
    }
}

/// Whether TLS was begun or the server spoke out of turn, and everything said and decided.
fn relay_walk(seed: &[u8], input: &[u8], reads: Reads) -> (bool, String) {
    let (mut dice, mut cut) = (Dice::new(seed), Dice::new(seed));
    let tls = [TlsUse::Never, TlsUse::IfOffered, TlsUse::Required][dice.roll(3) as usize];
    let login = (dice.roll(2) == 0).then(|| ("me".to_owned(), "secret".to_owned()));
    let mut client =
        Client::new(Manner { hostname: Domain::new("home.example"), tls, login, no_chunks: dice.roll(4) == 0 });
    let exporter = (dice.roll(2) == 0).then_some([7; 32]);
    client.may_prove(LoginMeans { nonce: [0; 18], bindings: ChannelBindings { exporter, end_point: None } });
    let (mut out, mut trace) = (Vec::new(), String::new());
    let (mut at, mut sent, mut pieces, mut odd) = (0, 0, 0, false);
    for _ in 0..input.len() + 64 {
        match client.want() {
            client::Want::Reply(_) => {
                if at == input.len() {
                    client.lost("the input ended");
                    break;
                }
                let piece = read(input, at, reads, &mut cut);
                at += piece.len();
                client.receive(piece, &mut out);
            }
            client::Want::Tls => {
                // What a server says behind its answer is a breach only if it is there already.
                odd = true;
                client.tls_started(&mut out);
            }
            client::Want::Envelope => {
                if let Some(verdicts) = client.take_verdicts() {
                    assert_eq!(verdicts.len(), 2, "one verdict for each recipient");
                    trace.push_str(&format!("{verdicts:?}"));
                }
                sent += 1;
                if sent > 3 {
                    client.quit(&mut out);
                } else {
                    pieces = 1 + dice.roll(6);
                    client.begin(envelope(&mut dice), &mut out);
                }
            }
            client::Want::Content => {
                pieces -= 1;
                client.content(b"Subject: x\r\n\r\n.dot\r\nbare\nlf\r\n", pieces == 0, &mut out);
            }
            client::Want::Close => break,
        }
        assert!(out.len() < 1 << 20);
    }
    if let Some(verdicts) = client.take_verdicts() {
        assert_eq!(verdicts.len(), 2);
        trace.push_str(&format!("{verdicts:?}"));
    }
    let said = out.escape_ascii().to_string();
    assert!(said.split("\\r\\n").all(|line| !line.contains("\\n") || line.starts_with("bare\\nlf")), "{said}");
    trace.push_str(&said);
    // A server that speaks before it is asked is judged by when its bytes come.
    (odd || at < input.len() || client.ended().is_some(), trace)
}

fn envelope(dice: &mut Dice) -> client::Envelope {
    let mut yes = || dice.roll(2) == 0;
    let notify = if yes() { Notify::SUCCESS } else { Notify::default() };
    let original = yes().then(|| "rfc822;so+me=one@far.example".to_owned());
    let recipient = Recipient { address: someone(), parameters: RcptParameters { notify, original } };
    let parameters = MailParameters {
        envelope_id: yes().then(|| "a b".to_owned()),
        return_full: yes().then_some(true),
        smtp_utf8: yes(),
        body: if yes() { Body::BinaryMime } else { Body::SevenBit },
        require_tls: yes(),
        tls_optional: false,
        hold: None,
    };
    client::Envelope {
        reverse_path: if yes() { ReversePath::Null } else { ReversePath::Address(someone()) },
        parameters,
        recipients: vec![recipient.clone(), recipient],
        bytes: 28,
        eight_bit: yes(),
        eight_bit_header: yes(),
    }
}

/// The facts of a message, however it is cut.
pub fn message(data: &[u8]) {
    let (seed, input) = split(data);
    let mut whole = Indexer::new();
    whole.push(input);
    let whole = whole.finish();
    assert!(!whole.parts.is_empty() && whole.parts.len() <= MIME_PARTS_MAX);
    for part in &whole.parts {
        assert!(part.header_start <= part.body_start && part.body_start <= part.body_end);
        assert!(part.body_end <= input.len() as u64);
    }
    for reads in [Reads::Bytes, Reads::Pieces] {
        let (mut dice, mut at, mut indexer) = (Dice::new(seed), 0, Indexer::new());
        while at < input.len() {
            let piece = read(input, at, reads, &mut dice);
            at += piece.len();
            indexer.push(piece);
        }
        assert_eq!(indexer.finish(), whole);
    }
}
