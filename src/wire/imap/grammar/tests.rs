//! Every production: what it accepts, and what it refuses.

use super::super::*;
use super::*;
use crate::limits::*;
use SequenceNumber::{Largest, Number};
use proptest::prelude::*;

fn parse(command: &[u8]) -> Parsed<Command> {
    let mut cursor = Cursor::new(command);
    let (verb, _) = parse_verb(&mut cursor)?;
    parse_arguments(verb, &mut cursor)
}

fn good(command: &str) -> Command {
    parse(command.as_bytes()).unwrap_or_else(|trouble| panic!("{command}: {trouble:?}"))
}

fn all_bad(commands: &[&str]) {
    for command in commands {
        let got = parse(command.as_bytes());
        assert!(matches!(got, Err(Trouble::Bad(_))), "{command}: {got:?}");
    }
}

fn refused(command: &str) -> Code<'static> {
    match parse(command.as_bytes()) {
        Err(Trouble::No(code, _)) => code,
        other => panic!("{command}: {other:?}"),
    }
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

fn set(ranges: &[(SequenceNumber, SequenceNumber)]) -> SequenceSet {
    SequenceSet { ranges: ranges.to_vec(), saved: false }
}

#[test]
fn tags() {
    let tag = |line: &str| parse_tag(&mut Cursor::new(line.as_bytes())).map(|tag| tag.as_str().to_owned());
    assert_eq!(tag("a.1-_]~ NOOP").as_deref(), Some("a.1-_]~"));
    assert_eq!(tag("alone").as_deref(), Some("alone"));
    for line in ["", " NOOP", "+ NOOP", "a+b NOOP", "a(b NOOP", "ä NOOP", "a\tNOOP"] {
        assert_eq!(tag(line), None, "{line}");
    }
    assert!(tag(&format!("{} NOOP", "t".repeat(IMAP_TAG_BYTES_MAX))).is_some());
    assert!(tag(&format!("{} NOOP", "t".repeat(IMAP_TAG_BYTES_MAX + 1))).is_none());
}

#[test]
fn commands_without_arguments() {
    for (text, command) in [
        ("capability", Command::Capability),
        ("NOOP ", Command::Noop),
        ("Logout", Command::Logout),
        ("STARTTLS", Command::StartTls),
        ("NAMESPACE", Command::Namespace),
        ("IDLE", Command::Idle),
        ("COMPRESS Deflate", Command::Compress),
        ("CHECK", Command::Check),
        ("CLOSE", Command::Close),
        ("UNSELECT", Command::Unselect),
        ("EXPUNGE", Command::Expunge),
    ] {
        assert_eq!(good(text), command);
    }
    all_bad(&["NOOP x", "FROB", "", "NOOP(", "IDLE 1", "COMPRESS", "COMPRESS LZMA", "COMPRESS DEFLATE 9"]);
}

#[test]
fn login_and_authenticate() {
    let login = |user: &str, password: &str| Command::Login { user: user.into(), password: Secret(password.into()) };
    assert_eq!(good("LOGIN alice@home.test \"p\\\"w\\\\ \""), login("alice@home.test", "p\"w\\ "));
    assert_eq!(good("LOGIN \"\" {6+}\r\np\r\nw x"), login("", "p\r\nw x"));
    assert_eq!(good("LOGIN {3}\r\nbob ]"), login("bob", "]"));
    all_bad(&["LOGIN", "LOGIN a", "LOGIN a b c", "LOGIN a \"b", "LOGIN a \"\\x\"", "LOGIN a {3}\r\nbc", "LOGIN a  b"]);
    all_bad(&["LOGIN a {1}\r\n\0", "LOGIN a {1}\r\n\u{fc}b"]);
    let plain = |initial: Option<&str>| Command::Authenticate {
        mechanism: "PLAIN".into(),
        initial: initial.map(|text| Secret(text.as_bytes().to_vec())),
    };
    assert_eq!(good("AUTHENTICATE plain"), plain(None));
    assert_eq!(good("AUTHENTICATE PLAIN AGEAYg=="), plain(Some("AGEAYg==")));
    assert_eq!(good("AUTHENTICATE PLAIN ="), plain(Some("=")));
    all_bad(&["AUTHENTICATE", "AUTHENTICATE PLAIN AGE*", "AUTHENTICATE PLAIN a b"]);
}

#[test]
fn id_and_enable() {
    let fields = vec![("name".to_owned(), Some("x".to_owned())), ("os".to_owned(), None)];
    assert_eq!(good("ID (\"name\" \"x\" \"os\" NIL)"), Command::Id(fields));
    assert_eq!(good("ID nil"), Command::Id(vec![]));
    assert_eq!(good("ID ()"), Command::Id(vec![]));
    all_bad(&["ID", "ID x", "ID (\"a\")", "ID (\"a\" b)", "ID (\"a\" \"b\""]);
    assert_eq!(good("ENABLE condstore QRESYNC"), Command::Enable(vec!["CONDSTORE".into(), "QRESYNC".into()]));
    all_bad(&["ENABLE", "ENABLE (X)"]);
}

#[test]
fn select_and_its_parameters() {
    let select = |command: &str| match good(command) {
        Command::Select(select) => select,
        other => panic!("{other:?}"),
    };
    let plain = Select { mailbox: name("INBOX"), read_only: false, condstore: false, qresync: None };
    assert_eq!(select("SELECT inbox"), plain);
    assert_eq!(select("EXAMINE \"INBOX\""), Select { read_only: true, ..plain.clone() });
    assert_eq!(select("SELECT INBOX (CONDSTORE)"), Select { condstore: true, ..plain.clone() });
    let qresync =
        QResync { uid_validity: 67_890_007, modseq: 20_050_715_194_045_000, known_uids: None, sequence_match: None };
    let with = |qresync: QResync| Select { qresync: Some(qresync), ..plain.clone() };
    assert_eq!(select("SELECT INBOX (QRESYNC (67890007 20050715194045000))"), with(qresync.clone()));
    let known = set(&[(Number(41), Number(41)), (Number(43), Number(211))]);
    let known = QResync { known_uids: Some(known), ..qresync };
    assert_eq!(select("SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211))"), with(known.clone()));
    let pairs = (
        set(&[(Number(1), Number(1)), (Number(5), Number(5))]),
        set(&[(Number(9), Number(9)), (Number(13), Number(13))]),
    );
    assert_eq!(
        select("SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211 (1,5 9,13)))"),
        with(QResync { sequence_match: Some(pairs.clone()), ..known.clone() })
    );
    assert_eq!(
        select("SELECT INBOX (QRESYNC (67890007 20050715194045000 (1,5 9,13)))"),
        with(QResync { sequence_match: Some(pairs), known_uids: None, ..known })
    );
    all_bad(&["SELECT", "SELECT a (X)", "SELECT a (QRESYNC)", "SELECT a (QRESYNC (0 1))", "SELECT a (QRESYNC (1 0))"]);
    all_bad(&["SELECT a (QRESYNC (1 1 1:*))", "SELECT a (QRESYNC (1 1 (1 2))", "SELECT a b", "SELECT (", "SELECT ä"]);
    assert_eq!(refused("SELECT \"\""), Code::Cannot);
    assert_eq!(refused("SELECT \"&AGE-\""), Code::Cannot);
    assert_eq!(refused("SELECT \"ä\""), Code::Cannot);
}

#[test]
fn mailboxes_made_and_unmade() {
    let create = |mailbox: &str, special_use: &[SpecialUse]| Command::Create {
        mailbox: name(mailbox),
        special_use: special_use.to_vec(),
    };
    assert_eq!(good("CREATE Lists/rust/"), create("Lists/rust", &[]));
    assert_eq!(good("CREATE Entw&APw-rfe (USE (\\drafts))"), create("Entwürfe", &[SpecialUse::Drafts]));
    assert_eq!(refused("CREATE x (USE (\\All))"), Code::UseAttr);
    for bad in ["/x", "a//b", "\"a*\"", "\"50%\"", "/"] {
        assert_eq!(refused(&format!("CREATE {bad}")), Code::Cannot, "{bad}");
    }
    assert_eq!(good("RENAME a b/"), Command::Rename { from: name("a"), to: name("b") });
    assert_eq!(good("DELETE \"a b\""), Command::Delete(name("a b")));
    assert_eq!(good("SUBSCRIBE a"), Command::Subscribe(name("a")));
    assert_eq!(good("UNSUBSCRIBE {1}\r\na"), Command::Unsubscribe(name("a")));
    all_bad(&["CREATE", "CREATE a b", "CREATE a (X)", "RENAME a", "DELETE", "DELETE a b", "CREATE a (USE \\Sent)"]);
}

#[test]
fn list_in_its_forms() {
    let list = |command: &str| match good(command) {
        Command::List(list) => list,
        other => panic!("{other:?}"),
    };
    let basic = |pattern: &str| List { patterns: vec![pattern.into()], ..List::default() };
    assert_eq!(list("LIST \"\" *"), basic("*"));
    assert_eq!(list("LIST \"\" \"\""), basic(""));
    assert_eq!(list("LIST \"\" Entw&APw-%"), basic("Entwü%"));
    assert_eq!(list("LIST Lists/ %/x"), List { reference: "Lists/".into(), ..basic("%/x") });
    let extended =
        list("LIST (SUBSCRIBED RECURSIVEMATCH REMOTE) \"\" (INBOX \"Sent\" a%) RETURN (CHILDREN STATUS (UNSEEN SIZE))");
    assert_eq!(
        extended,
        List {
            extended: true,
            patterns: vec!["INBOX".into(), "Sent".into(), "a%".into()],
            select_subscribed: true,
            recursive_match: true,
            return_subscribed: true,
            return_children: true,
            return_status: vec![StatusItem::Unseen, StatusItem::Size],
            ..List::default()
        }
    );
    assert!(list("LIST (SPECIAL-USE) \"\" *").select_special_use);
    assert!(list("LIST \"\" * RETURN (SPECIAL-USE SUBSCRIBED)").return_special_use);
    assert!(list("LIST \"\" * RETURN ()").extended);
    all_bad(&["LIST", "LIST \"\"", "LIST (RECURSIVEMATCH) \"\" *", "LIST (X) \"\" *", "LIST \"\" ()", "LIST \"\" * X"]);
    all_bad(&[
        "LIST \"\" * RETURN",
        "LIST \"\" * RETURN (X)",
        "LIST \"\" * RETURN (STATUS ())",
        "LIST \"\" * RETURN () x",
    ]);
    assert_eq!(good("LSUB \"\" inb*"), Command::Lsub { reference: "".into(), pattern: "inb*".into() });
    all_bad(&["LSUB \"\"", "LSUB a b c"]);
}

#[test]
fn status_items() {
    let all = "STATUS a (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED DELETED-STORAGE SIZE HIGHESTMODSEQ APPENDLIMIT MAILBOXID messages)";
    let items = StatusItem::ALL.map(|(item, _)| item).to_vec();
    assert_eq!(good(all), Command::Status { mailbox: name("a"), items });
    all_bad(&["STATUS a", "STATUS a ()", "STATUS a (X)", "STATUS a MESSAGES", "STATUS a (MESSAGES"]);
}

#[test]
fn sets_of_messages() {
    let copy = |text: &str| match good(&format!("COPY {text} x")) {
        Command::Copy(transfer) => transfer.set,
        other => panic!("{other:?}"),
    };
    assert_eq!(copy("1"), set(&[(Number(1), Number(1))]));
    assert_eq!(copy("*:4,9"), set(&[(Largest, Number(4)), (Number(9), Number(9))]));
    assert_eq!(copy("4294967295:1"), set(&[(Number(u32::MAX), Number(1))]));
    assert_eq!(copy("1,2,3:5,7"), set(&[(Number(1), Number(5)), (Number(7), Number(7))]));
    all_bad(&["COPY 0 x", "COPY 1: x", "COPY ,1 x", "COPY 1, x", "COPY $x x", "COPY 4294967296 x", "COPY 1:2:3 x"]);
    let many: Vec<String> = (1..=IMAP_SET_RANGES_MAX as u32 + 1).map(|n| (2 * n).to_string()).collect();
    assert_eq!(refused(&format!("COPY {} x", many.join(","))), Code::Limit);
}

#[test]
fn copy_move_and_expunge() {
    let transfer = |uid| Transfer { uid, set: set(&[(Number(2), Number(4))]), mailbox: name("Trash") };
    assert_eq!(good("COPY 2:4 Trash"), Command::Copy(transfer(false)));
    assert_eq!(good("uid copy 2:4 Trash"), Command::Copy(transfer(true)));
    assert_eq!(good("MOVE 2:4 Trash"), Command::Move(transfer(false)));
    assert_eq!(good("UID MOVE 2:4 Trash"), Command::Move(transfer(true)));
    assert_eq!(good("UID EXPUNGE 2:4"), Command::UidExpunge(set(&[(Number(2), Number(4))])));
    all_bad(&["COPY 1", "UID", "UID NOOP", "UID EXPUNGE", "EXPUNGE 1", "UID MOVE x Trash"]);
}

fn fetch(text: &str) -> Fetch {
    match good(text) {
        Command::Fetch(fetch) => fetch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fetch_items_and_macros() {
    use FetchItem::*;
    assert_eq!(fetch("FETCH 1 FAST").items, [Flags, InternalDate, Rfc822Size]);
    assert_eq!(fetch("FETCH 1 all").items, [Flags, InternalDate, Rfc822Size, Envelope]);
    assert_eq!(fetch("FETCH 1 FULL").items, [Flags, InternalDate, Rfc822Size, Envelope, Body]);
    assert_eq!(
        fetch(
            "FETCH 1 (UID FLAGS BODY BODYSTRUCTURE RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE MODSEQ ENVELOPE UID)"
        )
        .items,
        [Uid, Flags, Body, BodyStructure, Rfc822, Rfc822Header, Rfc822Text, Rfc822Size, ModSeq, Envelope]
    );
    let changed = fetch("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)");
    assert!(changed.uid && changed.vanished && changed.changed_since == Some(12345));
    all_bad(&["FETCH 1", "FETCH 1 ()", "FETCH 1 X", "FETCH 1 (UID", "FETCH 1 UID FLAGS", "FETCH 1 BODY.PEEK"]);
    all_bad(&["FETCH 1 UID (X 1)", "UID FETCH 1 UID (VANISHED)", "FETCH 1 UID (CHANGEDSINCE 1 VANISHED)"]);
    all_bad(&["FETCH 1 UID (CHANGEDSINCE 9223372036854775808)", "FETCH 1 UID ()x"]);
}

#[test]
fn previews() {
    use FetchItem::*;
    assert_eq!(fetch("FETCH 1 PREVIEW").items, [Preview { lazy: false }]);
    assert_eq!(fetch("FETCH 1 preview (lazy)").items, [Preview { lazy: true }]);
    assert_eq!(fetch("FETCH 1 (PREVIEW (LAZY LAZY) UID)").items, [Preview { lazy: true }, Uid]);
    for asked in ["FETCH 1 PREVIEW (CHANGEDSINCE 5)", "FETCH 1 PREVIEW (LAZY) (CHANGEDSINCE 5)"] {
        assert_eq!(fetch(asked).changed_since, Some(5), "{asked}");
    }
    all_bad(&[
        "FETCH 1 PREVIEW (FOO)",
        "FETCH 1 (PREVIEW (FOO))",
        "FETCH 1 (PREVIEW ())",
        "FETCH 1 PREVIEW (LAZY FOO)",
    ]);
    all_bad(&["FETCH 1 PREVIEW LAZY", "FETCH 1 (PREVIEW (LAZY)", "FETCH 1 PREVIEW(LAZY)", "FETCH 1 PREVIEW (LAZYX)"]);
}

#[test]
fn body_sections() {
    // (as asked, as answered, whether it sets \Seen)
    for (asked, answered, seen) in [
        ("BODY[]", "BODY[]", true),
        ("body.peek[]<0.1024>", "BODY[]<0>", false),
        ("BODY[1]", "BODY[1]", true),
        ("BODY[1.2.3]<77.5>", "BODY[1.2.3]<77>", true),
        ("BODY.PEEK[header]", "BODY[HEADER]", false),
        ("BODY.PEEK[2.HEADER]", "BODY[2.HEADER]", false),
        ("BODY[TEXT]", "BODY[TEXT]", true),
        ("BODY[4.1.MIME]", "BODY[4.1.MIME]", true),
        ("BODY.PEEK[HEADER.FIELDS (DATE \"From\")]", "BODY[HEADER.FIELDS (DATE From)]", false),
        ("BODY.PEEK[1.HEADER.FIELDS.NOT (X-a]b)]", "BODY[1.HEADER.FIELDS.NOT (\"X-a]b\")]", false),
    ] {
        let items = fetch(&format!("FETCH 1 {asked}")).items;
        let [item] = &items[..] else { panic!("{asked}: {items:?}") };
        let FetchItem::Section(section) = item else { panic!("{asked}: {item:?}") };
        let mut out = Vec::new();
        push_section_name(&mut out, section);
        assert_eq!(String::from_utf8_lossy(&out), answered);
        assert_eq!(item.sets_seen(), seen, "{asked}");
    }
    all_bad(&["FETCH 1 BODY[", "FETCH 1 BODY[MIME]", "FETCH 1 BODY[0]", "FETCH 1 BODY[1.]", "FETCH 1 BODY[X]"]);
    all_bad(&[
        "FETCH 1 BODY[1]<0>",
        "FETCH 1 BODY[1]<0.1",
        "FETCH 1 BODY[HEADER.FIELDS]",
        "FETCH 1 BODY[HEADER.FIELDS ()]",
    ]);
    all_bad(&["FETCH 1 BODY[HEADER.FIELDS (a:b)]", "FETCH 1 BODY[HEADER.FIELDS (\"\")]", "FETCH 1 BODY[1x]"]);
    assert_eq!(refused(&format!("FETCH 1 BODY[{}1]", "1.".repeat(IMAP_SECTION_DEPTH_MAX))), Code::Limit);
}

#[test]
fn binary_sections() {
    for (asked, answered, seen) in [
        ("BINARY[]", "BINARY[]", true),
        ("binary.peek[1.2]<0.1024>", "BINARY[1.2]<0>", false),
        ("BINARY[3]<7.5>", "BINARY[3]<7>", true),
        ("BINARY.SIZE[1.2]", "BINARY.SIZE[1.2]", false),
    ] {
        let items = fetch(&format!("FETCH 1 {asked}")).items;
        let [item] = &items[..] else { panic!("{asked}: {items:?}") };
        let mut out = Vec::new();
        match item {
            FetchItem::Binary(section) => push_binary_name(&mut out, section),
            FetchItem::BinarySize(path) => push_binary_size_name(&mut out, path),
            other => panic!("{asked}: {other:?}"),
        }
        assert_eq!(String::from_utf8_lossy(&out), answered);
        assert_eq!(item.sets_seen(), seen, "{asked}");
    }
    all_bad(&["FETCH 1 BINARY", "FETCH 1 BINARY[", "FETCH 1 BINARY[TEXT]", "FETCH 1 BINARY[1.]", "FETCH 1 BINARY[0]"]);
    all_bad(&["FETCH 1 BINARY[1.MIME]", "FETCH 1 BINARY.SIZE[1]<0.1>", "FETCH 1 BINARY.SIZE[HEADER]"]);
    all_bad(&["FETCH 1 BINARY[1]<0>", "FETCH 1 BINARY.PEEK", "FETCH 1 BINARY.SIZE"]);
    assert_eq!(refused(&format!("FETCH 1 BINARY[{}1]", "1.".repeat(IMAP_SECTION_DEPTH_MAX))), Code::Limit);
}

#[test]
fn store_and_its_flags() {
    let store = |text: &str| match good(text) {
        Command::Store(store) => store,
        other => panic!("{other:?}"),
    };
    let flags = |system: SystemFlags, keywords: &[&str]| Flags {
        system,
        keywords: keywords.iter().map(|keyword| (*keyword).to_owned()).collect(),
    };
    let first = store("STORE 1 +FLAGS (\\Seen \\deleted $Forwarded $forwarded \\Recent)");
    let system = SystemFlags::SEEN.union(SystemFlags::DELETED);
    assert_eq!((first.change, first.silent, first.flags), (StoreChange::Add, false, flags(system, &["$Forwarded"])));
    let second = store("UID STORE 1:* (UNCHANGEDSINCE 12) -flags.silent NonJunk \\Draft");
    assert_eq!(second.unchanged_since, Some(12));
    assert!(second.uid && second.silent && second.change == StoreChange::Remove);
    assert_eq!(second.flags, flags(SystemFlags::DRAFT, &["NonJunk"]));
    assert_eq!(store("STORE 1 FLAGS ()").flags, Flags::default());
    assert_eq!(store("STORE 1 FLAGS ()").change, StoreChange::Replace);
    all_bad(&["STORE 1", "STORE 1 FLAGS", "STORE 1 FLAGS (\\X)", "STORE 1 FLAGS \\*", "STORE 1 *FLAGS ()"]);
    all_bad(&["STORE 1 +-FLAGS ()", "STORE 1 (X 1) FLAGS ()", "STORE 1 FLAGS (a", "STORE 1 FLAGS () x"]);
    assert_eq!(refused(&format!("STORE 1 FLAGS {}", "k".repeat(IMAP_KEYWORD_BYTES_MAX + 1))), Code::Limit);
}

fn key(text: &str) -> SearchKey {
    match good(&format!("SEARCH {text}")) {
        Command::Search(search) => search.key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn search_keys() {
    use SearchKey::*;
    assert_eq!(key("ALL"), All);
    assert_eq!(key("unseen"), Lacks(SystemFlags::SEEN));
    assert_eq!(key("NEW"), And(vec![Recent, Lacks(SystemFlags::SEEN)]));
    assert_eq!(key("OLD"), Not(Box::new(Recent)));
    for (word, flag) in [
        ("ANSWERED", SystemFlags::ANSWERED),
        ("DELETED", SystemFlags::DELETED),
        ("DRAFT", SystemFlags::DRAFT),
        ("FLAGGED", SystemFlags::FLAGGED),
        ("SEEN", SystemFlags::SEEN),
    ] {
        assert_eq!(key(word), Has(flag));
        assert_eq!(key(&format!("UN{word}")), Lacks(flag));
    }
    assert_eq!(
        key("2:4,* UID 7"),
        And(vec![Sequence(set(&[(Number(2), Number(4)), (Largest, Largest)])), Uid(set(&[(Number(7), Number(7))])),])
    );
    assert_eq!(key("OR FROM a NOT TO b"), Or(Box::new(From("a".into())), Box::new(Not(Box::new(To("b".into()))))));
    assert_eq!(
        key("(SUBJECT x (CC y BCC z))"),
        And(vec![Subject("x".into()), And(vec![Cc("y".into()), Bcc("z".into())]),])
    );
    assert_eq!(key("HEADER Message-ID \"\""), Header { name: "Message-ID".into(), value: "".into() });
    assert_eq!(
        key("BODY {3}\r\na b TEXT grün"[..].replace("grün", "\"grün\"").as_str()),
        And(vec![Body("a b".into()), Text("grün".into())])
    );
    let days = [("BEFORE", Before as fn(Day) -> SearchKey), ("ON", On), ("SINCE", Since)];
    for (word, made) in days.into_iter().chain([
        ("SENTBEFORE", SentBefore as fn(Day) -> SearchKey),
        ("SENTON", SentOn),
        ("SENTSINCE", SentSince),
    ]) {
        assert_eq!(key(&format!("{word} 1-Feb-1994")), made(Day(8797)));
        assert_eq!(key(&format!("{word} \"01-Feb-1994\"")), made(Day(8797)));
    }
    assert_eq!(key("LARGER 5000000000"), Larger(5_000_000_000));
    assert_eq!(key("SMALLER 1"), Smaller(1));
    assert_eq!(key("YOUNGER 0 OLDER 86400"), And(vec![Younger(0), Older(86_400)]));
    assert_eq!(key("KEYWORD $x UNKEYWORD y"), And(vec![Keyword("$x".into()), Unkeyword("y".into())]));
    assert_eq!(key("MODSEQ 620162338"), ModSeq(620_162_338));
    assert_eq!(key("MODSEQ \"/flags/\\\\draft\" all 12"), ModSeq(12));
    assert!(key("OR SEEN (NOT MODSEQ 1)").mentions_modseq() && !key("SEEN").mentions_modseq());
    all_bad(&[
        "SEARCH",
        "SEARCH X",
        "SEARCH NOT",
        "SEARCH OR SEEN",
        "SEARCH (SEEN",
        "SEARCH ()",
        "SEARCH SEEN)",
        "SEARCH $x",
    ]);
    all_bad(&[
        "SEARCH ON x",
        "SEARCH ON 31-Feb-2000",
        "SEARCH FROM",
        "SEARCH LARGER x",
        "SEARCH UID x",
        "SEARCH FROM \"a",
    ]);
}

#[test]
fn search_options_and_charsets() {
    let search = |text: &str| match good(text) {
        Command::Search(search) => search,
        other => panic!("{other:?}"),
    };
    assert_eq!(search("SEARCH ALL").returns, None);
    let all = SearchReturn::ALL;
    assert_eq!(search("UID SEARCH RETURN () ALL").returns, Some(all));
    let some = SearchReturn { min: true, max: true, count: true, ..SearchReturn::default() };
    assert_eq!(search("SEARCH RETURN (MIN MAX count) CHARSET UTF-8 ALL").returns, Some(some));
    assert_eq!(search("SEARCH CHARSET utf-8 TEXT {3}\r\n\u{fc}x").key, SearchKey::Text("üx".into()));
    let latin = parse(b"SEARCH CHARSET ISO-8859-1 TEXT \"gr\xfc\xdfe\"");
    assert!(matches!(latin, Ok(Command::Search(Search { key: SearchKey::Text(text), .. })) if text == "grüße"));
    assert!(matches!(parse(b"SEARCH TEXT \"gr\xfc\""), Err(Trouble::Bad(_))));
    assert_eq!(refused("SEARCH CHARSET KLINGON ALL"), Code::BadCharset);
    all_bad(&[
        "SEARCH RETURN ALL",
        "SEARCH RETURN (X) ALL",
        "SEARCH CHARSET",
        "SEARCH CHARSET UTF-8",
        "SEARCH RETURN ()",
    ]);
}

#[test]
fn searches_are_bounded() {
    let deep = |depth: usize| format!("SEARCH {}SEEN{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(deep(IMAP_SEARCH_DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(refused(&deep(IMAP_SEARCH_DEPTH_MAX + 1)), Code::Limit);
    assert_eq!(refused(&format!("SEARCH {}SEEN", "NOT ".repeat(20_000))), Code::Limit);
    assert_eq!(refused(&format!("SEARCH {}SEEN", "SEEN ".repeat(IMAP_SEARCH_KEYS_MAX))), Code::Limit);
}

proptest! {
    #[test]
    fn strings_come_back_as_they_were_written(text in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut wire = Vec::new();
        response::push_string(&mut wire, &text);
        let mut cursor = Cursor::new(&wire);
        let kept: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
        prop_assert_eq!(cursor.string().unwrap().into_owned(), kept);
        prop_assert!(cursor.is_at_end());
    }

    #[test]
    fn mailbox_names_come_back_as_they_were_written(text in "[ -~äöü台😀/&\"\\\\]{1,40}") {
        let mut wire = Out::default();
        response::push_mailbox(&mut wire, &text);
        let mut cursor = Cursor::new(&wire);
        prop_assert_eq!(cursor.mailbox().unwrap(), name(&text));
        prop_assert!(cursor.is_at_end());
    }

    #[test]
    fn number_sets_come_back_as_they_were_written(numbers in proptest::collection::btree_set(1u32..400, 1..60)) {
        let mut wire = Vec::new();
        let numbers: NumberSet = numbers.into_iter().collect();
        numbers.encode(&mut wire);
        prop_assert_eq!(Cursor::new(&wire).sequence_set().unwrap().resolve(1), numbers);
    }

    #[test]
    fn any_arguments_are_read_or_refused(verb in proptest::sample::select(VERBS), rest in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&[verb.0.as_bytes(), b" ", &rest].concat());
    }
}

#[test]
fn uid_only_knows_no_numbers() {
    let dialect = Dialect { uid_only: true, ..Dialect::default() };
    let parse = |command: &'static str| {
        let mut cursor = Cursor::in_dialect(command.as_bytes(), dialect);
        let (verb, _) = parse_verb(&mut cursor)?;
        parse_arguments(verb, &mut cursor)
    };
    for command in ["FETCH 1 FLAGS", "STORE 1 FLAGS ()", "SEARCH ALL", "COPY 1 x", "MOVE 1 x", "UID SEARCH (NOT 1)"] {
        assert_eq!(parse(command), Err(Trouble::UidRequired), "{command}");
    }
    for command in
        ["UID FETCH 1 FLAGS", "UID SEARCH UID 1", "EXPUNGE", "UID EXPUNGE 1:*", "SELECT x (QRESYNC (1 1 1:2))"]
    {
        assert!(parse(command).is_ok(), "{command}");
    }
}

#[test]
fn names_in_utf_8() {
    let dialect = Dialect { utf8: true, ..Dialect::default() };
    let mailbox = |wire: &[u8]| Cursor::in_dialect(wire, dialect).mailbox();
    assert_eq!(mailbox("\"Entwürfe\"".as_bytes()), Ok(name("Entwürfe")));
    assert_eq!(mailbox(b"Entw&APw-rfe"), Ok(name("Entw&APw-rfe")));
    assert_eq!(mailbox(b"&"), Ok(name("&")));
    let both = Dialect { utf7_too: true, ..dialect };
    let lenient = |wire: &[u8]| Cursor::in_dialect(wire, both).mailbox();
    assert_eq!(lenient(b"Entw&APw-rfe"), Ok(name("Entwürfe")));
    assert_eq!(lenient("\"Entwürfe\"".as_bytes()), Ok(name("Entwürfe")));
    assert_eq!(lenient(b"R&D"), Ok(name("R&D")));
    assert_eq!(Cursor::in_dialect(b"Entw&APw-%", both).pattern(), Ok("Entwü%".to_owned()));
    assert!(matches!(mailbox(b"\"\xfc\""), Err(Trouble::Bad(_))));
    assert!(matches!(mailbox(b"{1}\r\n\xfc"), Err(Trouble::Bad(_))));
    assert!(matches!(Cursor::new("\"Entwürfe\"".as_bytes()).mailbox(), Err(Trouble::No(Code::Cannot, _))));
}
