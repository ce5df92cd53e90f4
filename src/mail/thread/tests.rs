//! Threads of messages written as headers, as the RFC would have them.

use super::*;
use crate::mail::index::Indexer;
use crate::mail::message::{BodyId, ModSeq, SystemFlags};
use crate::wire::date::Timestamp;
use crate::wire::imap::order::ThreadWriter;
use proptest::prelude::*;

fn row(uid: u32) -> MessageRow {
    MessageRow {
        uid: Uid(uid),
        modseq: ModSeq(1),
        flags: SystemFlags::default(),
        keywords: 0,
        internal_date: Timestamp(i64::from(uid) * 1000),
        saved: Timestamp(0),
        bytes: 1,
        form: crate::mail::message::Form::UNKNOWN,
        body: BodyId(1),
    }
}

fn index(header: &str) -> BodyIndex {
    let mut indexer = Indexer::new();
    indexer.push(format!("{header}\r\n\r\n").as_bytes());
    indexer.finish()
}

fn written(threads: &Threads) -> String {
    let mut out = Vec::new();
    let mut writer = ThreadWriter::begin(&mut out);
    for piece in threads.pieces() {
        match piece {
            Piece::Open => writer.open(&mut out),
            Piece::Close => writer.close(&mut out),
            Piece::Message(uid) => writer.number(&mut out, uid.0),
        }
    }
    writer.end(&mut out);
    String::from_utf8(out).unwrap().trim_end().trim_start_matches("* THREAD").trim_start().to_owned()
}

/// The threads of messages with these headers, numbered from 1.
fn threads<H: AsRef<str>>(algorithm: ThreadAlgorithm, headers: &[H]) -> String {
    let mut threader = Threader::new(algorithm);
    for (uid, header) in (1..).zip(headers) {
        threader.add(&row(uid), &index(header.as_ref()));
    }
    written(&threader.finish())
}

/// (own id, References), each letter an id; `*` for none.
fn refs(algorithm: ThreadAlgorithm, messages: &[(&str, &str)]) -> String {
    let ids = |letters: &str| letters.chars().map(|c| format!("<{c}@x>")).collect::<Vec<_>>().join(" ");
    let header = |(own, references): &(&str, &str)| match *own {
        "*" => format!("References: {}", ids(references)),
        own => format!("Message-ID: {}\r\nReferences: {}", ids(own), ids(references)),
    };
    threads(algorithm, &messages.iter().map(header).collect::<Vec<_>>())
}

#[test]
fn ordered_by_subject() {
    let headers = [
        "Subject: b\r\nDate: 3 Jan 2001 00:00:00 +0000",
        "Subject: a\r\nDate: 2 Jan 2001 00:00:00 +0000",
        "Subject: Re: B\r\nDate: 1 Jan 2001 00:00:00 +0000",
        "Subject: [x] b (fwd)\r\nDate: 4 Jan 2001 00:00:00 +0000",
        "X: no subject\r\nDate: 5 Jan 2001 00:00:00 +0000",
        "Subject: Re:\r\nDate: 6 Jan 2001 00:00:00 +0000",
    ];
    assert_eq!(threads(ThreadAlgorithm::OrderedSubject, &headers), "(3 (1)(4))(2)(5 6)");
    assert_eq!(threads::<&str>(ThreadAlgorithm::OrderedSubject, &[]), "");
}

#[test]
fn references_link_and_dummies_hold_together() {
    for (messages, wanted) in [
        (&[("a", ""), ("b", "a"), ("c", "ab"), ("d", "a")][..], "(1 (2 3)(4))"),
        // Answers of a message that is not there; one alone stands for itself.
        (&[("b", "a"), ("c", "a")], "((1)(2))"),
        (&[("b", "a"), ("c", "x")], "(1)(2)"),
        // Dummies between messages go.
        (&[("a", ""), ("d", "abc"), ("e", "abc")], "(1 (2)(3))"),
        (&[("d", "abc"), ("e", "abf")], "((1)(2))"),
        // The answer came first.
        (&[("c", "b"), ("b", "a"), ("a", "")], "(3 2 1)"),
        // A truncated list does not undo what is known; the message itself knows its parent best.
        (&[("a", ""), ("b", "a"), ("c", "ab"), ("d", "bc"), ("e", "ac")], "(1 2 3 (4)(5))"),
        (&[("d", "ac"), ("c", "ab"), ("b", "a"), ("a", "")], "(4 3 2 1)"),
        // Without references it has no parent, whatever others said.
        (&[("c", "ab"), ("b", ""), ("a", "")], "(2 1)(3)"),
        // The second message with an id gets another.
        (&[("a", ""), ("b", "a"), ("b", "a"), ("c", "b")], "(1 (2 4)(3))"),
        // No Message-ID.
        (&[("*", "a"), ("a", ""), ("*", "")], "(2 1)(3)"),
    ] {
        assert_eq!(refs(ThreadAlgorithm::Refs, messages), wanted, "{messages:?}");
    }
}

#[test]
fn loops_are_refused() {
    assert_eq!(refs(ThreadAlgorithm::Refs, &[("a", "b"), ("b", "a")]), "(2 1)");
    assert_eq!(refs(ThreadAlgorithm::Refs, &[("a", "a"), ("b", "ba")]), "(2 1)");
    assert_eq!(refs(ThreadAlgorithm::Refs, &[("a", "c"), ("b", "a"), ("c", "b")]), "(3 1 2)");
    assert_eq!(refs(ThreadAlgorithm::Refs, &[("a", "aba")]), "(1)");
}

#[test]
fn in_reply_to_counts_without_references() {
    let headers = [
        "Message-ID: <a@x>",
        "Message-ID: <b@x>",
        "In-Reply-To: <b@x> <a@x>",
        "References: none\r\nIn-Reply-To: your message of yesterday <a@x>",
        "References: <b@x>\r\nIn-Reply-To: <a@x>",
    ];
    assert_eq!(threads(ThreadAlgorithm::Refs, &headers), "(1 4)(2 (3)(5))");
}

#[test]
fn subjects_gather_threads() {
    let headers = |subjects: &[&str]| subjects.iter().map(|s| format!("Subject: {s}")).collect::<Vec<_>>();
    for (subjects, wanted) in [
        // A reply below what it answers; two that are no replies side by side.
        (&["Re: a", "a", "Re: a"][..], "(2 (1)(3))"),
        (&["a", "a", "A"], "((1)(2)(3))"),
        (&["Re: a", "Re: a"], "((1)(2))"),
        (&["a", "Re: a", "a"], "((1 2)(3))"),
        (&["", "Re:", "b"], "(1)(2)(3)"),
    ] {
        assert_eq!(threads(ThreadAlgorithm::References, &headers(subjects)), wanted, "{subjects:?}");
        assert!(!threads(ThreadAlgorithm::Refs, &headers(subjects)).contains(' '));
    }
    // Two dummies become one; a dummy takes a single message in.
    let headers = ["a", "b", "c", "d"].map(|parent| format!("Subject: Re: s\r\nReferences: <{}@x>", parent));
    let twice: Vec<String> = [&headers[..2], &headers[..2], &headers[2..3]].concat();
    assert_eq!(threads(ThreadAlgorithm::References, &twice), "((1)(2)(3)(4)(5))");
}

#[test]
fn siblings_stand_in_the_order_of_their_dates() {
    let date = |day: u32, header: &str| format!("{header}Date: {day} Jan 2001 00:00:00 +0000");
    let headers = [
        date(9, "Message-ID: <a@x>\r\n"),
        date(5, "References: <a@x>\r\n"),
        date(4, "References: <a@x>\r\n"),
        date(7, "References: <z@x>\r\n"),
        date(6, "References: <z@x>\r\n"),
    ];
    assert_eq!(threads(ThreadAlgorithm::References, &headers), "((5)(4))(1 (3)(2))");
    // REFS: the thread in which something came last is last.
    let headers = [date(9, "Message-ID: <a@x>\r\n"), date(8, ""), date(1, "References: <a@x>\r\n")];
    assert_eq!(threads(ThreadAlgorithm::Refs, &headers), "(2)(1 3)");
    assert_eq!(threads(ThreadAlgorithm::References, &headers), "(2)(1 3)");
}

#[test]
fn a_thread_of_any_depth_needs_no_stack() {
    let messages = 100_000u32;
    let mut threader = Threader::new(ThreadAlgorithm::References);
    for uid in 1..=messages {
        let ancestors = (uid.saturating_sub(8)..uid).filter(|id| *id > 0).map(|id| MessageIdHash(id.into())).collect();
        let index = BodyIndex { message_id: Some(MessageIdHash(uid.into())), ancestors, ..BodyIndex::default() };
        threader.add(&row(uid), &index);
    }
    let threads = threader.finish();
    assert_eq!(threads.pieces().count() as u32, messages + 2);
    assert!(written(&threads).starts_with("(1 2 3 4 "));
    // Each with two answers: as deep as the mailbox in parentheses.
    let mut threader = Threader::new(ThreadAlgorithm::Refs);
    for uid in 1..=messages {
        let ancestors = vec![MessageIdHash(u64::from(uid.saturating_sub(2) | 1))];
        let index = BodyIndex { message_id: Some(MessageIdHash(uid.into())), ancestors, ..BodyIndex::default() };
        threader.add(&row(uid), &index);
    }
    let opened = threader.finish().pieces().filter(|piece| *piece == Piece::Open).count() as u32;
    assert!(opened > messages / 2);
}

#[test]
fn what_others_name_is_bounded() {
    let mut threader = Threader::new(ThreadAlgorithm::Refs);
    threader.absent = THREAD_ABSENT_MAX - 1;
    for (uid, ancestors) in [(1, vec![7, 8]), (2, vec![8]), (3, vec![7])] {
        let ancestors = ancestors.into_iter().map(MessageIdHash).collect();
        threader.add(&row(uid), &BodyIndex { ancestors, ..BodyIndex::default() });
    }
    assert_eq!(written(&threader.finish()), "(2)((1)(3))");
    let mut threader = Threader::new(ThreadAlgorithm::Refs);
    threader.steps_left = 0;
    for (uid, (own, ancestor)) in (1..).zip([(1, 2), (2, 3), (3, 1)]) {
        let (message_id, ancestors) = (Some(MessageIdHash(own)), vec![MessageIdHash(ancestor)]);
        threader.add(&row(uid), &BodyIndex { message_id, ancestors, ..BodyIndex::default() });
    }
    assert_eq!(threader.finish().pieces().filter(|piece| matches!(piece, Piece::Message(_))).count(), 3);
}

proptest! {
    #[test]
    fn every_message_stands_in_the_threads_once(
        messages in proptest::collection::vec((0u64..12, proptest::collection::vec(0u64..12, 0..5), 0u8..4, any::<bool>()), 0..24),
        which in 0usize..3,
    ) {
        let mut threader = Threader::new(ThreadAlgorithm::ALL[which].0);
        for (uid, (own, ancestors, subject, reply)) in (1..).zip(&messages) {
            let mut index = index(&format!("Subject: {}{}", if *reply { "Re: " } else { "" }, "s".repeat((*subject).into())));
            index.message_id = Some(MessageIdHash(*own)).filter(|id| id.0 > 0);
            index.ancestors = ancestors.iter().copied().map(MessageIdHash).collect();
            threader.add(&row(uid), &index);
        }
        let threads = threader.finish();
        let (mut told, mut depth) = (Vec::new(), 0i32);
        for piece in threads.pieces() {
            match piece {
                Piece::Open => depth += 1,
                Piece::Close => depth -= 1,
                Piece::Message(uid) => told.push(uid.0),
            }
            prop_assert!(depth >= 0);
        }
        told.sort_unstable();
        prop_assert_eq!(told, (1..=messages.len() as u32).collect::<Vec<_>>());
        // No parentheses around nothing, and none with a single thing in them inside others' place.
        prop_assert!(!written(&threads).contains("()") && !written(&threads).contains("(("  ) || written(&threads).contains(")("));
    }
}
