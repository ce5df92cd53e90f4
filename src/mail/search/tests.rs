//! What SEARCH finds, and what it reads for that.

use super::*;
use crate::limits::{FUZZY_STRING_WORDS_MAX, SEARCH_NEEDLES_MAX};
use crate::mail::index::{Indexer, Part, PartKind, TransferEncoding};
use crate::mail::message::{BodyId, SystemFlags, Uid};
use crate::wire::imap::command::Day;
use crate::wire::imap::sequence::SequenceNumber::{Largest, Number};
use proptest::prelude::*;

const HEADER: &str = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Berlin\r\nX-Spam-Status: No,\r\n score=1\r\n\r\n";
const TEXT: &str = "Der Zug f=C3=A4hrt um Acht.\r\n";

fn index() -> BodyIndex {
    let envelope = b"(\"Tue, 1 Jul 2003 23:30:00 -0200\" \"=?utf-8?q?Gr=C3=BC=C3=9Fe?= aus \\\"Berlin\\\"\" \
        ((\"=?iso-8859-1?q?J=FCrgen?=\" NIL \"juergen\" \"example.org\")) NIL NIL \
        ((NIL NIL {5}\r\nalice \"home.test\")(NIL NIL \"bob\" \"home.test\")) NIL \
        ((NIL NIL \"friends\" NIL)(\"C\" NIL \"c\" \"d.test\")(NIL NIL NIL NIL)) NIL \"<1@x>\")";
    let header_bytes = HEADER.len() as u64;
    let part = Part {
        kind: PartKind::Text,
        encoding: TransferEncoding::QuotedPrintable,
        charset: "utf-8".to_owned(),
        body_start: header_bytes,
        body_end: header_bytes + TEXT.len() as u64,
        ..Part::default()
    };
    BodyIndex {
        envelope: envelope.to_vec(),
        parts: vec![part],
        // 2003-07-02 01:30:00 UTC
        sent_seconds: Some(1_057_109_400),
        sent_zone_minutes: -120,
        ..BodyIndex::default()
    }
}

fn row() -> MessageRow {
    MessageRow {
        uid: Uid(30),
        modseq: ModSeq(77),
        flags: SystemFlags::SEEN.union(SystemFlags::FLAGGED),
        keywords: 0b10,
        // 2003-07-02 01:31:00 UTC
        internal_date: Timestamp(1_057_109_460_000),
        saved: Timestamp(0),
        bytes: 4096,
        form: crate::mail::message::Form::UNKNOWN,
        body: BodyId(1),
    }
}

fn query(key: &SearchKey) -> Query {
    let map = UidMap::new([10, 20, 30, 31].map(Uid));
    let keywords = ["$Junk", "$Forwarded"].map(str::to_owned);
    let saved = [10, 30, 40].into_iter().collect();
    let sight = Sight { map: &map, saved: &saved, keywords: &keywords, store: 9 };
    Query::new(key, sight, Timestamp(1_057_109_460_000 + 3_600_000)).unwrap()
}

/// Gives every fact that is asked for, and tells which.
fn search(key: &SearchKey) -> (bool, Vec<Answer>) {
    let query = query(key);
    let (index, row, message) = (index(), row(), [HEADER, TEXT].concat());
    let mut facts = Facts { row: &row, thread: None, index: None, signature: None, header: None, hits: None };
    let mut asked = Vec::new();
    loop {
        let answer = query.decide(&facts);
        match answer {
            Answer::Yes => return (true, asked),
            Answer::No => return (false, asked),
            Answer::NeedThread => facts.thread = Some(ThreadId(3)),
            Answer::NeedIndex => facts.index = Some(&index),
            Answer::NeedSignature => facts.signature = Some(b""),
            Answer::NeedHeader => facts.header = Some(HEADER.as_bytes()),
            Answer::NeedHits => facts.hits = Some(scan(&query, &index, message.as_bytes(), 7)),
        }
        asked.push(answer);
        assert!(asked.len() < 5);
    }
}

fn scan(query: &Query, index: &BodyIndex, message: &[u8], piece: usize) -> Hits {
    let mut scan = TextScan::new(query);
    for stretch in stretches(index) {
        let bytes = &message[stretch.bytes.start as usize..stretch.bytes.end as usize];
        let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
        for (at, bytes) in pieces.iter().enumerate() {
            scan.scan(index, &stretch, bytes, at + 1 == pieces.len());
        }
    }
    scan.hits()
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn matches(key: SearchKey) -> bool {
    search(&key).0
}

#[test]
fn keys_on_the_row() {
    use SearchKey::*;
    let set = |ranges: &[_]| SequenceSet { ranges: ranges.to_vec(), saved: false };
    assert!(matches(Has(SystemFlags::SEEN)) && matches(Lacks(SystemFlags::DELETED)));
    assert!(!matches(Has(SystemFlags::DELETED)) && !matches(Lacks(SystemFlags::SEEN)));
    assert!(matches(Keyword(text("$forwarded"))) && matches(Unkeyword(text("$Junk"))));
    assert!(!matches(Keyword(text("$Never"))) && matches(Unkeyword(text("$Never"))));
    assert!(matches(Sequence(set(&[(Number(3), Number(3))]))));
    assert!(matches(Sequence(set(&[(Largest, Number(2))]))) && !matches(Sequence(set(&[(Number(4), Largest)]))));
    assert!(matches(Uid(set(&[(Number(25), Number(30))]))) && !matches(Uid(set(&[(Number(31), Largest)]))));
    assert!(matches(Larger(4095)) && !matches(Larger(4096)) && matches(Smaller(4097)) && !matches(Smaller(4096)));
    assert!(matches(ModSeq(77)) && !matches(ModSeq(78)));
    assert!(!matches(Recent) && matches(All));
    let day = Day(12_235); // 2003-07-02
    assert!(matches(On(day)) && matches(Since(day)) && !matches(Before(day)));
    assert!(matches(Before(Day(12_236))) && !matches(Since(Day(12_236))) && !matches(On(Day(12_236))));
    assert!(matches(Younger(3600)) && !matches(Younger(3599)) && matches(Older(3600)) && !matches(Older(3601)));
}

#[test]
fn keys_on_the_envelope_never_read_the_message() {
    use SearchKey::*;
    for (key, wanted) in [
        (Subject(text("grÜßE AUS \"berlin")), true),
        (Subject(text("hamburg")), false),
        (From(text("jürgen <juergen@EXAMPLE")), true),
        (From(text("alice")), false),
        (To(text("alice@home")), true),
        (To(text("bob")), true),
        (Cc(text("")), false),
        (Bcc(text("friends")), true),
        (Bcc(text("c@d.test")), true),
        // The writer's calendar says 1 July.
        (SentOn(Day(12_234)), true),
        (SentOn(Day(12_235)), false),
        (SentBefore(Day(12_235)), true),
        (SentSince(Day(12_235)), false),
    ] {
        let (found, asked) = search(&key);
        assert_eq!(found, wanted, "{key:?}");
        let by_signature = matches!(key, Subject(_)).then_some(Answer::NeedSignature);
        assert_eq!(asked, by_signature.into_iter().chain([Answer::NeedIndex]).collect::<Vec<_>>());
    }
}

#[test]
fn keys_on_header_and_texts() {
    use SearchKey::*;
    let header = |name: &str, value: &str| Header { name: text(name), value: text(value) };
    assert!(matches(header("x-spam-status", "no, SCORE")) && matches(header("X-Spam-Status", "")));
    assert!(!matches(header("X-Spam", "")) && !matches(header("subject", "score")));
    assert!(matches(Body(text("FÄHRT um"))) && matches(Text(text("fährt"))));
    assert!(!matches(Body(text("Grüße"))) && matches(Text(text("GRÜßE aus"))) && !matches(Text(text("GRÜSSE aus"))));
    assert!(matches(Text(text("score=1"))) && matches(Body(text(""))) && !matches(Body(text("zzz"))));
}

#[test]
fn the_cheapest_keys_decide_first() {
    use SearchKey::*;
    let body = || Body(text("zug"));
    assert_eq!(search(&And(vec![body(), Has(SystemFlags::DELETED)])), (false, vec![]));
    assert_eq!(search(&Or(Box::new(body()), Box::new(All))), (true, vec![]));
    assert_eq!(
        search(&And(vec![body(), Subject(text("nein"))])),
        (false, vec![Answer::NeedSignature, Answer::NeedIndex])
    );
    assert_eq!(search(&And(vec![body(), From(text("nein"))])), (false, vec![Answer::NeedIndex]));
    assert_eq!(search(&Not(Box::new(And(vec![body(), All])))), (false, vec![Answer::NeedSignature, Answer::NeedHits]));
}

#[test]
fn what_the_signature_rules_out_is_not_read() {
    use SearchKey::*;
    let message = [HEADER, TEXT].concat();
    let mut indexer = Indexer::new();
    indexer.push(message.as_bytes());
    let signature = indexer.finish().signature;
    let row = row();
    let answer = |key: &SearchKey| {
        let facts =
            Facts { row: &row, thread: None, index: None, signature: Some(&signature), header: None, hits: None };
        query(key).decide(&facts)
    };
    let header = |name: &str, value: &str| Header { name: text(name), value: text(value) };
    for (key, wanted) in [
        (Text(text("Zanzibarite")), Answer::No),
        (Body(text("zanzibarite")), Answer::No),
        (Not(Box::new(Body(text("zanzibarite")))), Answer::Yes),
        (Text(text("UM acht.")), Answer::NeedHits),
        (Text(text("zz")), Answer::NeedHits),
        (And(vec![Text(text("GRÜßE")), Body(text("zanzibarite"))]), Answer::No),
        (Or(Box::new(Text(text("zanzibarite"))), Box::new(Body(text("GRÜßE")))), Answer::NeedHits),
        (header("X-Spam-Status", "SCORE=1"), Answer::NeedHeader),
        (header("X-Spam-Status", "zanzibarite"), Answer::No),
        (header("X-Quokka", ""), Answer::No),
        (header("X-Quokkä", ""), Answer::NeedHeader),
        (Subject(text("zanzibarite")), Answer::No),
        (Subject(text("GRÜßE")), Answer::NeedIndex),
        (From(text("zanzibarite")), Answer::NeedIndex),
    ] {
        assert_eq!(answer(&key), wanted, "{key:?}");
    }
}

#[test]
fn what_was_no_text_when_the_signature_was_made_is_looked_for() {
    let message = b"Content-Type: multipart/report; boundary=a\r\n\r\n--a\r\nContent-Type: message/delivery-status\r\n\r\n\
        Final-Recipient: rfc822; quokka@far.example\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: wombat\r\n--a--\r\n";
    let mut indexer = Indexer::new();
    indexer.push(message);
    let now = indexer.finish();
    // As rows were before: the report a leaf like others, the signature of the version before and without its text.
    let mut before = now.clone();
    before.parts[1].kind = PartKind::Leaf;
    let plain =
        BodyIndex { body_structure: b"(\"text\" \"plain\" (\"a\" \"(\\\"message\\\" \\\"\"))".to_vec(), ..index() };
    assert_eq!([&now, &before, &plain].map(BodyIndex::lacks_texts), [false, true, false]);
    let mut utf7 = plain.clone();
    utf7.parts[0].charset = "unicode-1-1-utf-7".to_owned();
    let word = BodyIndex { envelope: b"(NIL \"=?UTF-7?Q?M+APw-?=\" NIL)".to_vec(), ..plain.clone() };
    assert_eq!([&plain, &utf7, &word].map(BodyIndex::was_read_otherwise), [false, true, true]);
    let mut signature = vec![0; now.signature.len()];
    signature[0] = now.signature[0] - 1;
    let row = row();
    let answer = |key: SearchKey, index: Option<&BodyIndex>, signature: &[u8]| {
        let facts = Facts { row: &row, thread: None, index, signature: Some(signature), header: None, hits: None };
        query(&key).decide(&facts)
    };
    let keys = [SearchKey::Body(text("quokka")), SearchKey::Fuzzy(Box::new(SearchKey::Body(text("quokka"))))];
    for key in keys {
        assert_eq!(answer(key.clone(), None, &signature), Answer::NeedIndex);
        assert_eq!(answer(key.clone(), Some(&before), &signature), Answer::NeedHits);
        assert_eq!(answer(key.clone(), Some(&plain), &signature), Answer::No);
        signature[0] += 1;
        assert_eq!(answer(key, None, &signature), Answer::No);
        signature[0] -= 1;
    }
}

#[test]
fn fuzzy_finds_words_in_any_order_and_spelling() {
    use SearchKey::*;
    let fuzzy = |key: SearchKey| matches(Fuzzy(Box::new(key)));
    assert!(fuzzy(Subject(text("berlin GRÜSSE"))) && fuzzy(Subject(text("grusse, BERLIM"))));
    assert!(!fuzzy(Subject(text("berlin hamburg"))) && !matches(Subject(text("berlin grüsse"))));
    assert!(fuzzy(From(text("Jurgen example"))) && fuzzy(Text(text("acht zug"))) && fuzzy(Text(text("fahrt"))));
    assert!(fuzzy(Text(text("Jurgem fährt"))) && !fuzzy(Body(text("Jurgen"))) && !fuzzy(Body(text("fahrd"))));
    assert!(fuzzy(Body(text(""))) && fuzzy(Text(text("."))) && !fuzzy(Text(text("#"))));
    let header = |value: &str| Header { name: text("x-spam-STATUS"), value: text(value) };
    assert!(fuzzy(header("scoer no")) && fuzzy(header("")) && !fuzzy(header("yes")));
    assert!(!matches(Fuzzy(Box::new(Not(Box::new(Subject(text("berlim"))))))));
    // Outside of FUZZY nothing changes.
    assert!(!matches(And(vec![Fuzzy(Box::new(Subject(text("berlim")))), Subject(text("berlim"))])));
    let many = Fuzzy(Box::new(Subject("a ".repeat(FUZZY_STRING_WORDS_MAX + 1))));
    let (map, saved) = (UidMap::default(), NumberSet::default());
    let sight = Sight { map: &map, saved: &saved, keywords: &[], store: 0 };
    assert_eq!(Query::new(&many, sight, Timestamp(0)).map(|_| ()), Err(TooManyStrings));
}

#[test]
fn what_stands_where_people_look_scores_higher() {
    use SearchKey::*;
    let score = |key: SearchKey| {
        let (map, saved) = (UidMap::default(), NumberSet::default());
        let sight = Sight { map: &map, saved: &saved, keywords: &[], store: 0 };
        let query = Query::scored(&Fuzzy(Box::new(key)), sight, Timestamp(0)).unwrap();
        let (index, row) = (index(), row());
        let hits = scan(&query, &index, [HEADER, TEXT].concat().as_bytes(), 7);
        let facts = Facts {
            thread: None,
            row: &row,
            index: Some(&index),
            signature: None,
            header: Some(HEADER.as_bytes()),
            hits: Some(hits),
        };
        query.relevancy(&facts).unwrap()
    };
    let scores = [
        score(Text(text("aus \"berlin\""))),
        score(Text(text("berlin aus"))),
        score(Text(text("fährt um"))),
        score(Text(text("berlim"))),
        score(Text(text("acht fahrt"))),
    ];
    assert!(scores.windows(2).all(|pair| pair[0] > pair[1]), "{scores:?}");
    assert_eq!(score(All), 100);
}

#[test]
fn only_candidates_need_to_be_read() {
    let set = SequenceSet { ranges: vec![(Number(2), Number(3))], saved: false };
    let key = SearchKey::And(vec![SearchKey::Sequence(set.clone()), SearchKey::Body(text("x"))]);
    assert_eq!(query(&key).candidates().map(|set| set.ranges().to_vec()), Some(vec![(20, 20), (30, 30)]));
    assert_eq!(query(&SearchKey::Not(Box::new(SearchKey::Uid(set)))).candidates(), None);
}

#[test]
fn what_was_saved_is_a_set_like_others() {
    let saved = |ranges: &[_]| SequenceSet { ranges: ranges.to_vec(), saved: true };
    let candidates = |key: SearchKey| query(&key).candidates().map(|set| set.ranges().to_vec());
    assert_eq!(candidates(SearchKey::Sequence(saved(&[]))), Some(vec![(10, 10), (30, 30)]));
    assert_eq!(candidates(SearchKey::Uid(saved(&[]))), Some(vec![(10, 10), (30, 30)]));
    assert_eq!(candidates(SearchKey::Sequence(saved(&[(Number(4), Number(9))]))), Some(vec![(10, 10), (30, 31)]));
}

#[test]
fn more_strings_than_the_bound_are_refused() {
    let keys = |n: usize| SearchKey::And((0..n).map(|n| SearchKey::Body(n.to_string())).collect());
    let (map, saved) = (UidMap::default(), NumberSet::default());
    let sight = Sight { map: &map, saved: &saved, keywords: &[], store: 0 };
    let ready = |n| Query::new(&keys(n), sight, Timestamp(0)).map(|_| ());
    assert_eq!((ready(SEARCH_NEEDLES_MAX), ready(SEARCH_NEEDLES_MAX + 1)), (Ok(()), Err(TooManyStrings)));
}

#[test]
fn a_scan_ends_when_nothing_more_can_be_found() {
    let index = index();
    let key = SearchKey::And(vec![SearchKey::Text(text("berlin")), SearchKey::Text(text("grüße"))]);
    let query = query(&key);
    let mut scan = TextScan::new(&query);
    assert!(!scan.is_complete());
    scan.scan(&index, &stretches(&index)[0], HEADER.as_bytes(), true);
    assert!(scan.is_complete());
}

proptest! {
    #[test]
    fn what_is_found_does_not_depend_on_the_cut(piece in 1usize..60, start in 0usize..20, length in 1usize..8) {
        let needle: String = "Der Zug fährt um Acht.".chars().skip(start).take(length).collect();
        let query = query(&SearchKey::Body(needle.clone()));
        let found = scan(&query, &index(), [HEADER, TEXT].concat().as_bytes(), piece);
        prop_assert_eq!(found.body & 1 == 1, true, "{}", needle);
    }
}
