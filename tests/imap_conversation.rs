//! The IMAP conversation fed with bytes as a client sends them: whole, one byte at a time, and broken.

use hauspost::limits::*;
use hauspost::wire::imap::response::{self, tagged};
use hauspost::wire::imap::*;
use proptest::prelude::*;

const OPEN: Terms =
    Terms { tls: true, starttls: true, plaintext_login: false, channel_binding: true, append_bytes_max: 1_000_000 };

/// A driver that says yes to everything and writes down what it was asked.
struct Session {
    conversation: Conversation,
    out: Out,
    seen: Vec<String>,
    message: Vec<u8>,
    closed: bool,
}

impl Session {
    fn new(terms: Terms) -> Session {
        let conversation = Conversation::new(terms);
        Session { conversation, out: Out::default(), seen: Vec::new(), message: Vec::new(), closed: false }
    }

    fn logged_in() -> Session {
        let mut session = Session::new(OPEN);
        session.conversation.logged_in();
        session
    }

    fn selected() -> Session {
        let mut session = Session::logged_in();
        session.conversation.selected(false);
        session
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut input = bytes;
        while !self.closed {
            let step = self.conversation.step(&mut input, &mut self.out);
            match step {
                Step::Read => return assert!(input.is_empty()),
                Step::Command { tag, command } => self.carry_out(&tag, command),
                Step::AppendBegin(append) => {
                    let Append { mailbox, replaced, .. } = append;
                    self.seen.push(format!("append {mailbox} {replaced:?}"));
                    match mailbox.as_str() {
                        "Missing" => self.refuse_append(Code::TryCreate, "No such mailbox"),
                        _ => self.conversation.accept_append(&mut self.out),
                    }
                }
                Step::AppendMessage(AppendMessage { flags, date, bytes }) => {
                    self.seen.push(format!("message {flags:?} {date:?} {bytes:?}"));
                    self.conversation.accept_append(&mut self.out);
                }
                Step::AppendText(bytes) => {
                    self.seen.push(format!("text {bytes}"));
                    self.conversation.accept_append(&mut self.out);
                }
                Step::AppendUrl(url) => {
                    self.seen.push(format!("url {url}"));
                    match &url[..] {
                        "bad" => self.refuse_append(Code::BadUrl(&url), "Nothing there"),
                        _ => self.conversation.accept_append(&mut self.out),
                    }
                }
                Step::AppendBytes(bytes) => {
                    self.message.extend_from_slice(bytes);
                    if bytes.contains(&b'!') {
                        self.refuse_append(Code::OverQuota, "Disk is full");
                    }
                }
                Step::AppendEnd { tag } => {
                    self.seen.push("appended".into());
                    self.say(&tag, "APPEND done");
                }
                Step::AppendBroken => self.seen.push("append broken".into()),
                Step::Auth { tag, line } => {
                    self.seen.push(format!("auth {}", String::from_utf8_lossy(&line.0)));
                    self.conversation.logged_in();
                    self.say(&tag, "AUTHENTICATE done");
                }
                Step::IdleDone { tag } => self.say(&tag, "IDLE done"),
                Step::IdleBroken => self.seen.push("idle broken".into()),
                Step::Close => self.closed = true,
            }
        }
    }

    fn refuse_append(&mut self, code: Code<'_>, text: &str) {
        self.conversation.refuse_append(Status::No, code, text, &mut self.out);
    }

    fn carry_out(&mut self, tag: &Tag, command: Command) {
        self.seen.push(format!("{command:?}"));
        match command {
            Command::Login { .. } => self.conversation.logged_in(),
            Command::Select(select) => self.conversation.selected(select.read_only),
            Command::Close | Command::Unselect => self.conversation.unselected(),
            Command::Idle => return self.conversation.begin_idle(tag, &mut self.out),
            Command::Authenticate { initial: None, .. } => {
                return self.conversation.challenge(tag, "", &mut self.out);
            }
            Command::StartTls => self.conversation.tls_started(),
            Command::Logout => self.closed = true,
            _ => {}
        }
        self.say(tag, "done");
    }

    fn say(&mut self, tag: &Tag, text: &str) {
        tagged(&mut self.out, tag, Status::Ok, Code::None, text);
    }

    fn out(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// What comes out when the bytes come whole; checked to be the same when they come one by one.
fn run(make: impl Fn() -> Session, bytes: &[u8]) -> Session {
    let mut whole = make();
    whole.feed(bytes);
    let mut single = make();
    for byte in bytes.chunks(1) {
        single.feed(byte);
    }
    assert_eq!(single.out(), whole.out());
    assert_eq!(single.seen, whole.seen);
    assert_eq!(single.message, whole.message);
    assert_eq!(single.closed, whole.closed);
    whole
}

#[test]
fn a_classic_conversation() {
    let session = run(
        || Session::new(OPEN),
        b"a001 login mrc secret\r\na002 select inbox\r\na003 fetch 12 full\r\na004 fetch 12 body[header]\r\n\
          a005 store 12 +flags \\deleted\r\na006 logout\r\n",
    );
    let tags: Vec<_> = session.out().lines().map(str::to_owned).collect();
    assert_eq!(tags.len(), 6);
    assert!(tags.iter().zip(1..).all(|(line, n)| *line == format!("a{n:03} OK done")), "{tags:?}");
    assert!(!session.seen[0].contains("secret)\"") && session.seen[0].contains("(secret)"), "{}", session.seen[0]);
}

#[test]
fn literals_are_asked_for_or_come_by_themselves() {
    let session = run(|| Session::new(OPEN), b"a LOGIN {5}\r\nalice {6+}\r\np{5+}w \r\nb NOOP\r\n");
    assert_eq!(session.out(), "+ OK\r\na OK done\r\nb OK done\r\n");
    assert_eq!(session.seen[0], "Login { user: \"alice\", password: (secret) }");
    // A literal that looks like the announcement of another, and one that ends in CR.
    let session = run(Session::selected, b"a SEARCH SUBJECT {4+}\r\n{9+}\r\nb SEARCH SUBJECT {2+}\r\nx\r\r\n");
    assert_eq!(session.out(), "a OK done\r\nb OK done\r\n");
    assert!(session.seen[0].contains("Subject(\"{9+}\")"), "{:?}", session.seen);
    assert!(session.seen[1].contains("Subject(\"x\\r\")"), "{:?}", session.seen);
}

#[test]
fn literal_bytes_never_run_as_a_command() {
    for refused in
        ["a BOGUS {16+}", "a FETCH {16+}", "{16+}", "a APPEND \"x {16+}", "a APPEND x y~{16+}", "a LOGIN x {16+}"]
    {
        let bytes = format!("{refused}\r\nb DELETE INBOX\r\n\r\nc NOOP\r\n");
        let session = run(Session::logged_in, bytes.as_bytes());
        assert_eq!(session.seen, ["Noop"], "{refused}");
        assert!(session.out().contains("BAD "), "{refused}");
    }
    // The rest of a refused line is skipped with all its literals, and a new command begins after it.
    let line = format!("a SEARCH {}{{8+}}\r\nb NOOP\r\n {{9+}}\r\nc LOGOUT\r\n\r\nd CHECK\r\n", "x".repeat(70_000));
    let session = run(Session::selected, line.as_bytes());
    assert_eq!(session.out(), "a BAD [TOOBIG] The command is too long\r\nd OK done\r\n");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_asked_for() {
    let session = run(Session::selected, b"a SEARCH TEXT {16385}\r\nb NOOP\r\n");
    assert_eq!(session.out(), "a NO [TOOBIG] The literal is too large\r\nb OK done\r\n");
    let session =
        run(Session::selected, b"a APPEND INBOX {1000001}\r\nb APPEND INBOX {99999999999999999999+}\r\nc NOOP\r\n");
    let out = session.out();
    assert!(out.starts_with("a NO [TOOBIG] The message is too large\r\nb NO [TOOBIG]"), "{out}");
    assert!(out.ends_with("* BYE [TOOBIG] The literal is too large\r\n") && session.closed, "{out}");
    let session = run(|| Session::new(OPEN), format!("a LOGIN x {}", "y".repeat(9000)).as_bytes());
    assert_eq!(session.out(), "* BYE [TOOBIG] The line is too long\r\n");
    // Literals count towards the whole command.
    let literals = "{16000+}\r\n".to_owned() + &"x".repeat(16_000) + " TEXT ";
    let session = run(Session::selected, format!("a SEARCH TEXT {}x\r\nb NOOP\r\n", literals.repeat(6)).as_bytes());
    assert!(
        session.out().starts_with("a NO [TOOBIG]") && session.out().ends_with("b OK done\r\n"),
        "{}",
        session.out()
    );
}

#[test]
fn a_message_is_handed_on_and_not_collected() {
    let date = "\" 1-Nov-2026 10:00:00 +0000\"";
    let bytes = format!("a APPEND iflow-&APw- (\\Flagged $custom) {date} {{10+}}\r\nab\r\ncd\r\nef\r\nb NOOP\r\n");
    let session = run(Session::logged_in, bytes.as_bytes());
    assert_eq!(session.message, b"ab\r\ncd\r\nef");
    assert_eq!(session.seen[0], "append iflow-ü None");
    assert!(session.seen[1].contains("Timestamp(1793527200000)") && session.seen[1].contains("$custom"));
    assert_eq!(session.out(), "a OK APPEND done\r\nb OK done\r\n");

    let session = run(Session::logged_in, b"a append {5}\r\ninbox {3}\r\nxyz\r\n");
    assert_eq!(session.out(), "+ OK\r\n+ OK\r\na OK APPEND done\r\n");
    assert_eq!(session.message, b"xyz");
}

#[test]
fn a_refused_message_is_skipped() {
    let session = run(Session::logged_in, b"a APPEND Missing {3}\r\nb NOOP\r\n");
    assert_eq!(session.out(), "a NO [TRYCREATE] No such mailbox\r\nb OK done\r\n");
    let session = run(Session::logged_in, b"a APPEND Missing {8+}\r\nb NOOP\r\n\r\nc NOOP\r\n");
    assert_eq!(session.out(), "a NO [TRYCREATE] No such mailbox\r\nc OK done\r\n");
    let mut session = Session::logged_in();
    session.feed(b"a APPEND INBOX {9}\r\nfull!");
    session.feed(b"more\r\nb NOOP\r\n");
    assert_eq!(session.out(), "+ OK\r\na NO [OVERQUOTA] Disk is full\r\nb OK done\r\n");
    let session = run(Session::logged_in, b"a APPEND INBOX {0}\r\nb NOOP\r\n");
    assert_eq!(session.out(), "a NO [CANNOT] The message is empty\r\nb OK done\r\n");
    let session = run(Session::logged_in, b"a APPEND INBOX {1+}\r\nx (\\X) {10+}\r\nb LOGOUT\r\n\r\nc NOOP\r\n");
    assert_eq!(session.out(), "a BAD Unknown system flag\r\nc OK done\r\n");
    assert_eq!(session.seen[2..], ["append broken", "Noop"]);
}

#[test]
fn messages_and_parts_of_one_command() {
    let bytes = b"a APPEND x {2+}\r\nab (\\Seen) CATENATE (URL u TEXT {3}\r\ncde URL {1+}\r\nv TEXT {0}\r\n) ~{1+}\r\nf\r\nb NOOP\r\n";
    let session = run(Session::logged_in, bytes);
    assert_eq!(session.out(), "+ OK\r\n+ OK\r\na OK APPEND done\r\nb OK done\r\n");
    assert_eq!(session.message, b"abcdef");
    let kinds: Vec<_> = session.seen.iter().map(|seen| seen.split(" Flags").next().unwrap_or_default()).collect();
    let wanted =
        ["append x None", "message", "message", "url u", "text 3", "url v", "text 0", "message", "appended", "Noop"];
    assert_eq!(kinds, wanted);
    // What is refused takes the rest along, and a literal that was announced is neither asked for nor read.
    let session = run(Session::logged_in, b"a APPEND x CATENATE (URL bad TEXT {3}\r\nb NOOP\r\n");
    assert_eq!(session.out(), "a NO [BADURL \"bad\"] Nothing there\r\nb OK done\r\n");
    let session = run(Session::logged_in, b"a APPEND x CATENATE (URL bad TEXT {8+}\r\nb NOOP\r\n URL u)\r\nc NOOP\r\n");
    assert_eq!(session.out(), "a NO [BADURL \"bad\"] Nothing there\r\nc OK done\r\n");
    let session = run(Session::logged_in, b"a APPEND x {1+}\r\nx {0}\r\nb APPEND x {1+}\r\nx {9999999}\r\nc NOOP\r\n");
    assert_eq!(
        session.out(),
        "a NO [CANNOT] The message is empty\r\nb NO [TOOBIG] The message is too large\r\nc OK done\r\n"
    );
    let long = format!("a APPEND x {{1+}}\r\nx ({})\r\nb NOOP\r\n", "k ".repeat(IMAP_COMMAND_BYTES_MAX / 2));
    assert_eq!(
        run(Session::logged_in, long.as_bytes()).out(),
        "a BAD [TOOBIG] The command is too long\r\nb OK done\r\n"
    );
}

#[test]
fn messages_are_replaced_where_one_is_selected() {
    let session = run(Session::selected, b"a REPLACE 4 x {1+}\r\ny\r\nb UID REPLACE * {1}\r\nx {1+}\r\ny\r\n");
    assert_eq!(session.out(), "a OK APPEND done\r\n+ OK\r\nb OK APPEND done\r\n");
    assert_eq!(session.seen[0], "append x Some(Replaced { uid: false, message: Number(4) })");
    assert_eq!(session.seen[3], "append x Some(Replaced { uid: true, message: Largest })");
    let session = run(Session::logged_in, b"a REPLACE 4 x {1+}\r\ny\r\nb UID REPLACE 4 x {1+}\r\ny\r\n");
    assert_eq!(session.out(), "a BAD No mailbox is selected\r\nb BAD No mailbox is selected\r\n");
    let session = run(Session::selected, b"a REPLACE 4 x {1+}\r\ny {1+}\r\nz\r\nb REPLACE 4 x\r\n");
    assert_eq!(session.out(), "a BAD REPLACE takes one message\r\nb BAD A message is missing\r\n");
}

#[test]
fn each_state_has_its_verbs() {
    let session = run(|| Session::new(OPEN), b"a SELECT INBOX\r\nb LOGIN u p\r\nc LOGIN u p\r\nd FETCH 1 UID\r\n");
    assert_eq!(
        session.out(),
        "a BAD Log in first\r\nb OK done\r\nc BAD Already logged in\r\nd BAD No mailbox is selected\r\n"
    );
    let session = run(Session::selected, b"a EXAMINE x\r\nb STORE 1 FLAGS ()\r\nc EXPUNGE\r\nd CLOSE\r\ne CLOSE\r\n");
    assert_eq!(
        session.out(),
        "a OK done\r\nb NO [READ-ONLY] The mailbox is open for reading only\r\n\
         c NO [READ-ONLY] The mailbox is open for reading only\r\nd OK done\r\ne BAD No mailbox is selected\r\n"
    );
}

#[test]
fn passwords_wait_for_tls_and_nothing_passes_through_starttls() {
    let plain = Terms { tls: false, ..OPEN };
    let bytes = b"a LOGIN {4}\r\nb AUTHENTICATE PLAIN AGEAYg==\r\nc STARTTLS\r\nd LOGIN u p\r\n";
    let mut session = Session::new(plain);
    session.feed(bytes);
    assert_eq!(
        session.out(),
        "a NO [PRIVACYREQUIRED] Start TLS before you log in\r\n\
         b NO [PRIVACYREQUIRED] Start TLS before you log in\r\nc OK done\r\n"
    );
    assert!(session.conversation.capabilities().contains("AUTH=PLAIN"));
    session.feed(b"e STARTTLS\r\n");
    assert!(session.out().ends_with("e BAD TLS is on already\r\n"));
    assert!(Conversation::new(plain).capabilities().ends_with("STARTTLS LOGINDISABLED"));
}

#[test]
fn sasl_lines_and_idle() {
    let session = run(|| Session::new(OPEN), b"a AUTHENTICATE PLAIN\r\nAGEAYg==\r\nb NOOP\r\n");
    assert_eq!(session.out(), "+ \r\na OK AUTHENTICATE done\r\nb OK done\r\n");
    assert_eq!(session.seen[1], "auth AGEAYg==");
    let session = run(Session::selected, b"a IDLE\r\ndone\r\nb IDLE\r\nc NOOP\r\nd NOOP\r\n");
    assert_eq!(session.out(), "+ idling\r\na OK IDLE done\r\n+ idling\r\nb BAD IDLE ends with DONE\r\nd OK done\r\n");
}

#[test]
fn who_is_never_understood_is_sent_away() {
    let session = run(|| Session::new(OPEN), &b"GET / HTTP/1.1\r\nHost: x\r\n".repeat(9));
    assert!(session.closed && session.out().ends_with("* BYE Too many bad commands\r\n"));
    let session = run(Session::logged_in, &b"a X\r\nb NOOP\r\n".repeat(50));
    assert!(!session.closed);
    let session = run(Session::logged_in, &b"a X\r\n".repeat(IMAP_BAD_COMMANDS_MAX as usize + 1));
    assert!(session.closed);
}

#[test]
fn the_greeting_and_the_capabilities() {
    let mut out = Out::default();
    let mut conversation = Conversation::new(OPEN);
    conversation.greet(&mut out, "mail.home.test");
    let greeting = String::from_utf8(out.take()).unwrap();
    assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 ") && greeting.ends_with("] mail.home.test ready\r\n"));
    assert!(!greeting.contains("STARTTLS") && greeting.contains("SASL-IR"));
    conversation.logged_in();
    assert!(conversation.capabilities().contains(" QRESYNC ") && !conversation.capabilities().contains("AUTH="));
    assert!(conversation.capabilities().ends_with("APPENDLIMIT=1000000"));
}

/// Commands that real clients sent, each of which must be understood. One connection; tags are put before them.
const CLIENT_COMMANDS: &[&str] = &[
    // mbsync
    "NAMESPACE",
    "LIST \"\" \"*\"",
    "UID FETCH 1:201 (UID FLAGS)",
    "UID FETCH 1 (BODY.PEEK[])",
    "UID STORE 3:4,9 +FLAGS.SILENT (\\Deleted)",
    // mutt, neomutt
    "CAPABILITY",
    "ENABLE UTF8=ACCEPT",
    "LIST \"\" \"\"",
    "FETCH 1:201 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM SENDER SUBJECT TO CC \
     MESSAGE-ID REFERENCES CONTENT-TYPE IN-REPLY-TO REPLY-TO LINES LIST-POST X-LABEL)])",
    "UID FETCH 201 BODY.PEEK[]",
    // aerc
    "LIST \"\" \"*\" RETURN (STATUS (MESSAGES RECENT UNSEEN))",
    "UID SEARCH CHARSET UTF-8 ALL",
    "UID FETCH 174:201 (BODYSTRUCTURE ENVELOPE INTERNALDATE FLAGS UID BODY.PEEK[HEADER])",
    // Thunderbird
    "namespace",
    "ID (\"name\" \"Thunderbird\" \"version\" \"153.7.0\")",
    "list (subscribed) \"\" \"*\" return (special-use)",
    "create \"Trash\"",
    "UID fetch 1:* (FLAGS)",
    "UID fetch 202:* (FLAGS)",
    // imapflow
    "ENABLE CONDSTORE",
    "LIST \"\" \"*\" RETURN (STATUS (MESSAGES UNSEEN UIDNEXT UIDVALIDITY HIGHESTMODSEQ) SPECIAL-USE)",
    "LSUB \"\" \"*\"",
    "CREATE iflow-&APw-&-&AN8-",
    "UID SEARCH YOUNGER 0",
    // JavaMail
    "FETCH 28 (BODY[TEXT]<16384.340>)",
    // offlineimap
    "FETCH 1:* (FLAGS UID INTERNALDATE)",
    "EXAMINE Archive",
    "SELECT INBOX",
];

#[test]
fn commands_of_real_clients_are_understood() {
    let mut bytes = Vec::new();
    for (tag, command) in CLIENT_COMMANDS.iter().enumerate() {
        bytes.extend_from_slice(format!("EPIB{tag} {command}\r\n").as_bytes());
    }
    let session = run(Session::selected, &bytes);
    for line in session.out().lines() {
        assert!(line.ends_with(" OK done"), "{line}");
    }
    assert_eq!(session.seen.len(), CLIENT_COMMANDS.len());
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        proptest::sample::select(CLIENT_COMMANDS).prop_map(|command| format!("a {command}\r\n").into_bytes()),
        proptest::sample::select(
            &[
                "a1 ",
                "UID ",
                "SEARCH ",
                "FETCH ",
                "APPEND INBOX ",
                "{3}\r\n",
                "{4+}\r\n",
                "{99999}\r\n",
                "(",
                ")",
                "\"",
                "OR ",
                "NOT ",
                "BODY[",
                "1.2.",
                "HEADER.FIELDS ",
                "]",
                "<0.",
                "\r\n",
                "\n",
                " ",
                "*",
                ":",
                ",",
                "4294967295",
                "DONE\r\n",
                "IDLE\r\n",
                "AUTHENTICATE PLAIN\r\n",
                "\\Seen",
                "&",
                "&AGE-",
                "QRESYNC ",
                "18446744073709551616",
            ][..]
        )
        .prop_map(|word| word.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_are_taken_in_any_cut(bytes in hostile(), known in any::<bool>()) {
        run(|| if known { Session::selected() } else { Session::new(OPEN) }, &bytes);
    }

    #[test]
    fn a_command_with_a_wrong_byte_is_understood_or_refused(
        command in proptest::sample::select(CLIENT_COMMANDS),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = command.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let session = run(Session::selected, &[b"a ", &bytes[..], b"\r\nb NOOP\r\n"].concat());
        prop_assert!(session.out().contains("b OK done") || session.out().contains('+') || session.out().contains("idling"));
    }

    #[test]
    fn quoted_and_literal_strings_come_back(text in proptest::collection::vec(1u8..=255, 0..40)) {
        let mut bytes = b"a SEARCH CHARSET ISO-8859-1 TEXT ".to_vec();
        response::push_string(&mut bytes, &text);
        bytes.extend_from_slice(b"\r\n");
        let session = run(Session::selected, &bytes);
        prop_assert_eq!(session.seen.len(), 1, "{}", session.out());
    }
}
