//! Messages in chunks (RFC 3030).

use super::*;

/// RFC 3030 section 2: no dots, counted octets, CRLF line ends; small mail in one chunk that is the last.
#[test]
fn chunks_carry_what_data_would() {
    ready(MODERN_EHLO, |line| {
        assert!(line.begin(envelope(&["a", "b"])).ends_with("RCPT TO:<b@far.example>\r\n"));
        assert_eq!(line.hear("250 ok\r\n550 5.1.1 no\r\n250 ok\r\n"), "");
        assert_eq!(line.content("a: b\r\n\r\n.x\nend"), "BDAT 17 LAST\r\na: b\r\n\r\n.x\r\nend\r\n");
        line.hear("250 2.0.0 taken\r\n");
        assert_eq!(line.verdicts(), ["permanent Rcpt 550 5.1.1 no", "delivered 250 2.0.0 taken"]);
        line.begin(envelope(&["a"]));
        line.hear("250 ok\r\n250 ok\r\n");
        assert_eq!(line.content(""), "BDAT 0 LAST\r\n");
        // The state after a refusal is reset before anything else is said.
        assert_eq!(line.hear("554 5.6.0 empty\r\n"), "RSET\r\n");
        assert_eq!(line.verdicts(), ["permanent Content 554 5.6.0 empty"]);
        line.hear("250 ok\r\n");
        assert_eq!(line.begin(envelope(&["a"])).matches("DATA").count(), 0);
        line.hear("452 4.3.1 full\r\n503 no\r\n");
        assert_eq!(line.verdicts(), ["temporary Mail 452 4.3.1 full"]);
        assert_eq!(line.client.want(), Want::Envelope);
        line.begin(envelope(&["a"]));
        assert_eq!(line.hear("250 ok\r\n550 no\r\n"), "RSET\r\n");
    });
}

#[test]
fn chunks_are_under_way_before_their_answers() {
    const STEPWISE: &str = "250-mx.far.example\r\n250 CHUNKING\r\n";
    ready(MODERN_EHLO, |line| {
        line.begin(envelope(&["a"]));
        line.hear("250 ok\r\n250 ok\r\n");
        let mut out = Vec::new();
        for _ in 0..RELAY_CHUNKS_UNANSWERED_MAX {
            assert_eq!(line.client.want(), Want::Content);
            line.client.content(b"x\r\n", false, &mut out);
        }
        assert!(matches!(line.client.want(), Want::Reply(_)));
        line.hear("250 ok\r\n");
        line.client.content(b"\r", false, &mut out);
        assert_eq!(line.client.want(), Want::Content, "a piece without octets is no chunk");
        line.client.content(b"", true, &mut out);
        assert!(out.ends_with(b"BDAT 3\r\nx\r\nBDAT 2 LAST\r\n\r\n"), "{}", out.escape_ascii());
        assert_eq!(line.hear("250 ok\r\n452 4.3.1 full\r\n"), "RSET\r\n");
        assert_eq!(line.verdicts(), ["temporary Content 452 4.3.1 full"]);
        line.hear("503 no\r\n503 no\r\n");
        assert!(matches!(line.client.want(), Want::Reply(_)), "the answer to RSET is still to come");
        line.hear("250 ok\r\n");
        assert_eq!(line.client.want(), Want::Envelope);
    });
    ready(STEPWISE, |line| {
        line.begin(envelope(&["a"]));
        line.hear("250 ok\r\n");
        line.hear("250 ok\r\n");
        line.client.content(b"x\r\n", false, &mut Vec::new());
        assert!(matches!(line.client.want(), Want::Reply(_)), "nothing may be pipelined");
        line.client.lost("reset");
        assert_eq!(line.verdicts(), ["cut false"]);
    });
    ready(MODERN_EHLO, |line| {
        line.begin(envelope(&["a"]));
        line.hear("250 ok\r\n250 ok\r\n");
        line.client.content(b"x\r\n", false, &mut Vec::new());
        line.client.content(b"y\r\n", true, &mut Vec::new());
        line.client.lost("reset");
        assert_eq!(line.verdicts(), ["cut true"]);
    });
}

#[test]
fn a_server_that_does_not_know_its_own_command_is_left() {
    for last in [true, false] {
        ready(MODERN_EHLO, |line| {
            line.begin(envelope(&["a", "b"]));
            line.hear("250 ok\r\n550 5.1.1 no\r\n250 ok\r\n");
            line.client.content(b"x\r\n", last, &mut Vec::new());
            if !last {
                line.client.content(b"y\r\n", true, &mut Vec::new());
            }
            assert_eq!(line.hear("502 5.5.1 what\r\n500 5.5.2 what\r\n"), "");
            assert_eq!(line.verdicts(), ["permanent Rcpt 550 5.1.1 no", "cut false"]);
            assert!(line.client.knows_no_chunks() && line.client.want() == Want::Close);
        });
    }
    both_ways(Manner { no_chunks: true, ..manner(TlsUse::Never, false) }, |line| {
        line.hear("220 hi\r\n");
        line.hear(MODERN_EHLO);
        assert!(line.begin(envelope(&["a"])).ends_with("DATA\r\n"));
    });
}

#[test]
fn binary_mail_goes_in_chunks_or_not_at_all() {
    let mut binary = envelope(&["a", "b"]);
    binary.parameters.body = Body::BinaryMime;
    ready(PIPELINED_EHLO, |line| {
        assert_eq!(line.begin(binary.clone()), "");
        assert!(line.verdicts()[1].starts_with("permanent Mail 554 5.6.3 "));
    });
    ready(MODERN_EHLO, |line| {
        let wanted =
            "MAIL FROM:<anna@home.example> BODY=BINARYMIME\r\nRCPT TO:<a@far.example>\r\nRCPT TO:<b@far.example>\r\n";
        assert_eq!(line.begin(binary.clone()), wanted);
        assert_eq!(line.hear("250 ok\r\n550 5.1.1 no\r\n250 ok\r\n"), "");
        assert_eq!(line.client.want(), Want::Content);
        let mut out = Vec::new();
        line.client.content(b"a\n.\n", false, &mut out);
        line.client.content(b"\0", true, &mut out);
        assert_eq!(out, b"BDAT 4\r\na\n.\nBDAT 1 LAST\r\n\0");
        line.hear("250 4 octets\r\n");
        assert_eq!(line.client.want(), Want::Reply(Duration::from_secs(RELAY_CONTENT_SECONDS)));
        line.hear("250 2.0.0 taken\r\n");
        assert_eq!(line.verdicts(), ["permanent Rcpt 550 5.1.1 no", "delivered 250 2.0.0 taken"]);
        assert_eq!(line.client.want(), Want::Envelope);
    });
    ready(MODERN_EHLO, |line| {
        line.begin(binary.clone());
        line.hear("250 ok\r\n250 ok\r\n250 ok\r\n");
        line.client.content(b"x", false, &mut Vec::new());
        assert_eq!(line.hear("452 4.3.1 full\r\n"), "RSET\r\n");
        assert_eq!(line.verdicts(), ["temporary Content 452 4.3.1 full"; 2]);
        line.hear("250 ok\r\n");
        assert_eq!(line.client.want(), Want::Envelope);
        line.begin(binary.clone());
        assert_eq!(line.hear("250 ok\r\n550 no\r\n550 no\r\n"), "RSET\r\n");
    });
}
