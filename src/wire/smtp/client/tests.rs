//! Conversations of the sending side with a scripted server, whole and one byte at a time.

use super::*;
use crate::wire::address::Address;
use crate::wire::sasl::ChannelBindings;
use crate::wire::smtp::{Notify, RcptParameters};

mod chunks;
mod login;

const PLAIN_EHLO: &str = "250-mx.far.example hello\r\n250-SIZE 1000\r\n250 8BITMIME\r\n";
const PIPELINED_EHLO: &str =
    "250-mx.far.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n";

const MODERN_EHLO: &str = "250-mx.far.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n\
250-CHUNKING\r\n250-BINARYMIME\r\n250 REQUIRETLS\r\n";

fn manner(tls: TlsUse, login: bool) -> Manner {
    let login = login.then(|| ("anna".to_owned(), "secret".to_owned()));
    Manner { hostname: Domain::new("mail.home.example"), tls, login, no_chunks: false }
}

fn address(local: &str) -> Address {
    Address { local: local.to_owned(), domain: Domain::new("far.example") }
}

fn envelope(locals: &[&str]) -> Envelope {
    let sender = Address { local: "anna".into(), domain: Domain::new("home.example") };
    Envelope {
        reverse_path: ReversePath::Address(sender),
        parameters: MailParameters::default(),
        recipients: locals.iter().map(|local| recipient(address(local))).collect(),
        bytes: 12,
        eight_bit: true,
        eight_bit_header: true,
    }
}

fn recipient(address: Address) -> Recipient {
    Recipient { address, parameters: RcptParameters::default() }
}

/// A client and how its server's bytes are cut.
struct Line {
    client: Client,
    byte_at_a_time: bool,
}

impl Line {
    /// The server says this; returns what the client says then.
    fn hear(&mut self, bytes: &str) -> String {
        let mut out = Vec::new();
        let pieces = if self.byte_at_a_time { 1 } else { bytes.len().max(1) };
        for piece in bytes.as_bytes().chunks(pieces) {
            self.client.receive(piece, &mut out);
        }
        String::from_utf8(out).unwrap()
    }
    fn begin(&mut self, envelope: Envelope) -> String {
        let mut out = Vec::new();
        self.client.begin(envelope, &mut out);
        String::from_utf8(out).unwrap()
    }
    fn content(&mut self, body: &str) -> String {
        let mut out = Vec::new();
        assert_eq!(self.client.want(), Want::Content);
        self.client.content(body.as_bytes(), true, &mut out);
        String::from_utf8(out).unwrap()
    }
    fn verdicts(&mut self) -> Vec<String> {
        let show = |verdict| match verdict {
            Verdict::Delivered(answer) => format!("delivered {answer}"),
            Verdict::Permanent(answer, verb) => format!("permanent {verb:?} {answer}"),
            Verdict::Temporary(answer, verb) => format!("temporary {verb:?} {answer}"),
            Verdict::Cut { after_dot } => format!("cut {after_dot}"),
        };
        self.client.take_verdicts().expect("verdicts").into_iter().map(show).collect()
    }
}

fn both_ways(manner: Manner, story: impl Fn(&mut Line)) {
    for byte_at_a_time in [false, true] {
        story(&mut Line { client: Client::new(manner.clone()), byte_at_a_time });
    }
}

fn ready(ehlo: &'static str, story: impl Fn(&mut Line)) {
    both_ways(manner(TlsUse::Never, false), |line| {
        assert_eq!(line.hear("220-mx\r\n220 hello\r\n"), "EHLO mail.home.example\r\n");
        assert_eq!(line.hear(ehlo), "");
        assert_eq!(line.client.want(), Want::Envelope);
        story(line);
    });
}

#[test]
fn one_message_step_by_step_and_goodbye() {
    ready(PLAIN_EHLO, |line| {
        assert_eq!(line.begin(envelope(&["bob"])), "MAIL FROM:<anna@home.example> SIZE=12 BODY=8BITMIME\r\n");
        assert_eq!(line.hear("250 2.1.0 ok\r\n"), "RCPT TO:<bob@far.example>\r\n");
        assert_eq!(line.hear("250 2.1.5 ok\r\n"), "DATA\r\n");
        assert_eq!(line.client.want(), Want::Reply(Duration::from_secs(RELAY_DATA_SECONDS)));
        assert_eq!(line.hear("354 go\r\n"), "");
        assert_eq!(line.content("a: b\r\n\r\n.x\r\n"), "a: b\r\n\r\n..x\r\n.\r\n");
        assert_eq!(line.client.want(), Want::Reply(Duration::from_secs(RELAY_CONTENT_SECONDS)));
        assert_eq!(line.hear("250 2.0.0 queued as 7\r\n"), "");
        assert_eq!(line.verdicts(), ["delivered 250 2.0.0 queued as 7"]);
        let mut out = Vec::new();
        line.client.quit(&mut out);
        assert_eq!(out, b"QUIT\r\n");
        line.hear("221 bye\r\n");
        assert_eq!((line.client.want(), line.client.ended()), (Want::Close, None));
    });
}

#[test]
fn pipelined_with_some_refused_then_another_message() {
    ready(PIPELINED_EHLO, |line| {
        let said = line.begin(envelope(&["bob", "eve", "joe"]));
        assert_eq!(
            said,
            "MAIL FROM:<anna@home.example> BODY=8BITMIME\r\nRCPT TO:<bob@far.example>\r\nRCPT TO:<eve@far.example>\r\n\
             RCPT TO:<joe@far.example>\r\nDATA\r\n"
        );
        line.hear("250 ok\r\n250 ok\r\n550 5.1.1 no eve\r\n451 4.7.1 later\r\n354 go\r\n");
        line.content("x\r\n");
        line.hear("250 taken\r\n");
        assert_eq!(
            line.verdicts(),
            ["delivered 250 taken", "permanent Rcpt 550 5.1.1 no eve", "temporary Rcpt 451 4.7.1 later"]
        );
        assert!(line.begin(envelope(&["bob"])).starts_with("MAIL"));
        line.hear("250 ok\r\n250 ok\r\n354 go\r\n");
        line.content("y");
        line.hear("554 5.6.0 content refused\r\n");
        assert_eq!(line.verdicts(), ["permanent Content 554 5.6.0 content refused"]);
        assert_eq!(line.client.want(), Want::Envelope);
    });
}

#[test]
fn nobody_left_but_data_granted() {
    ready(PIPELINED_EHLO, |line| {
        line.begin(envelope(&["bob"]));
        assert_eq!(line.hear("250 ok\r\n550 no\r\n354 go\r\n"), ".\r\n");
        assert_eq!(line.verdicts(), ["permanent Rcpt 550 no"]);
        assert!(matches!(line.client.want(), Want::Reply(_)));
        line.hear("554 no valid recipients\r\n");
        assert_eq!(line.client.want(), Want::Envelope);
    });
}

#[test]
fn nobody_left_and_data_refused() {
    ready(PIPELINED_EHLO, |line| {
        line.begin(envelope(&["bob", "eve"]));
        assert_eq!(line.hear("250 ok\r\n550 no\r\n450 later\r\n503 no\r\n"), "RSET\r\n");
        assert_eq!(line.verdicts(), ["permanent Rcpt 550 no", "temporary Rcpt 450 later"]);
        line.hear("250 ok\r\n");
        assert_eq!(line.client.want(), Want::Envelope);
    });
    ready(PLAIN_EHLO, |line| {
        line.begin(envelope(&["bob"]));
        line.hear("250 ok\r\n");
        assert_eq!(line.hear("553 no\r\n"), "RSET\r\n");
        assert_eq!(line.verdicts(), ["permanent Rcpt 553 no"]);
    });
}

#[test]
fn mail_refused_decides_for_all() {
    ready(PIPELINED_EHLO, |line| {
        line.begin(envelope(&["bob", "eve"]));
        line.hear("452 4.3.1 full\r\n503 mail first\r\n503 mail first\r\n503 mail first\r\n");
        assert_eq!(line.verdicts(), ["temporary Mail 452 4.3.1 full", "temporary Mail 452 4.3.1 full"]);
        assert_eq!(line.client.want(), Want::Envelope);
    });
    ready(PLAIN_EHLO, |line| {
        line.begin(envelope(&["bob"]));
        assert_eq!(line.hear("550 5.7.1 not you\r\n"), "");
        assert_eq!(line.verdicts(), ["permanent Mail 550 5.7.1 not you"]);
    });
}

#[test]
fn data_refused_decides_for_those_who_were_taken() {
    ready(PLAIN_EHLO, |line| {
        line.begin(envelope(&["bob", "eve"]));
        line.hear("250 ok\r\n");
        assert_eq!(line.hear("250 ok\r\n"), "RCPT TO:<eve@far.example>\r\n");
        assert_eq!(line.hear("550 no eve\r\n"), "DATA\r\n");
        assert_eq!(line.hear("451 busy\r\n"), "RSET\r\n");
        assert_eq!(line.verdicts(), ["temporary Data 451 busy", "permanent Rcpt 550 no eve"]);
    });
}

#[test]
fn too_large_is_refused_without_asking() {
    ready(PLAIN_EHLO, |line| {
        let mut large = envelope(&["bob"]);
        large.bytes = 1001;
        assert_eq!(line.begin(large), "");
        assert!(line.verdicts()[0].starts_with("permanent Mail 552 5.3.4 the message has 1001 bytes"));
        assert_eq!(line.client.want(), Want::Envelope);
    });
}

#[test]
fn addresses_outside_ascii_need_the_extension() {
    ready(PLAIN_EHLO, |line| {
        assert_eq!(line.begin(envelope(&["b\u{f6}b"])), "");
        assert!(line.verdicts()[0].starts_with("permanent Mail 553 5.6.7"));
    });
    ready(PIPELINED_EHLO, |line| {
        assert!(
            line.begin(envelope(&["b\u{f6}b"])).starts_with("MAIL FROM:<anna@home.example> BODY=8BITMIME SMTPUTF8\r\n")
        );
    });
    ready(PIPELINED_EHLO, |line| {
        assert_eq!(line.begin(envelope(&["bob>\r\nQUIT"])), "");
        assert!(line.verdicts()[0].starts_with("permanent Mail 553 5.1.3"));
    });
}

#[test]
fn connection_lost_before_and_after_the_dot() {
    ready(PIPELINED_EHLO, |line| {
        line.begin(envelope(&["bob", "eve"]));
        line.hear("250 ok\r\n550 no\r\n");
        line.client.lost("reset");
        assert_eq!(line.verdicts(), ["permanent Rcpt 550 no", "cut false"]);
        assert_eq!(line.client.ended(), Some(&Ended::Lost("reset".into())));
    });
    ready(PIPELINED_EHLO, |line| {
        line.begin(envelope(&["bob"]));
        line.hear("250 ok\r\n250 ok\r\n354 go\r\n");
        line.content("x");
        line.client.lost("reset");
        assert_eq!(line.verdicts(), ["cut true"]);
        assert_eq!(line.client.want(), Want::Close);
    });
}

#[test]
fn closing_the_channel_is_no_verdict_on_the_message() {
    ready(PIPELINED_EHLO, |line| {
        line.begin(envelope(&["bob", "eve"]));
        line.hear("250 ok\r\n421 4.3.2 shutting down\r\n");
        assert_eq!(line.verdicts(), ["cut false", "cut false"]);
        assert!(matches!(line.client.ended(), Some(Ended::Refused(answer, Verb::Rcpt)) if answer.code == 421));
    });
    ready(PIPELINED_EHLO, |line| {
        line.hear("421 4.4.2 idle too long\r\n");
        assert_eq!(line.client.want(), Want::Close);
        line.begin(envelope(&["bob"]));
        assert_eq!(line.verdicts(), ["cut false"]);
    });
}

#[test]
fn an_answer_before_the_final_dot_counts_and_ends_the_connection() {
    ready(PIPELINED_EHLO, |line| {
        line.begin(envelope(&["bob"]));
        line.hear("250 ok\r\n250 ok\r\n354 go\r\n");
        line.hear("552 5.3.4 too big\r\n");
        assert_eq!(line.verdicts(), ["permanent Content 552 5.3.4 too big"]);
        assert_eq!(line.client.want(), Want::Close);
    });
    ready(PIPELINED_EHLO, |line| {
        line.begin(envelope(&["bob"]));
        line.hear("250 ok\r\n250 ok\r\n354 go\r\n");
        line.hear("250 all mine\r\n");
        assert_eq!(line.verdicts(), ["cut false"], "a yes before the end is no yes");
    });
}

#[test]
fn greeting_and_ehlo_refused() {
    both_ways(manner(TlsUse::IfOffered, false), |line| {
        assert_eq!(line.hear("554 5.7.1 go away\r\n"), "");
        assert!(matches!(line.client.ended(), Some(Ended::Refused(answer, Verb::Greeting)) if answer.code == 554));
    });
    both_ways(manner(TlsUse::IfOffered, false), |line| {
        line.hear("220 old\r\n");
        assert_eq!(line.hear("502 what\r\n"), "HELO mail.home.example\r\n");
        line.hear("250 hello\r\n");
        assert_eq!(line.client.want(), Want::Envelope);
    });
    both_ways(manner(TlsUse::Required, false), |line| {
        line.hear("220 old\r\n");
        assert_eq!(line.hear("502 what\r\n"), "");
        assert_eq!(line.client.want(), Want::Close);
    });
    both_ways(manner(TlsUse::IfOffered, false), |line| {
        line.hear("HTTP/1.1 400 Bad Request\r\n");
        assert!(matches!(line.client.ended(), Some(Ended::Breach(_))));
    });
}

#[test]
fn tls_opportunistic_and_required() {
    both_ways(manner(TlsUse::IfOffered, false), |line| {
        line.hear("220 hi\r\n");
        assert_eq!(line.hear("250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n"), "STARTTLS\r\n");
        line.hear("220 go\r\n");
        assert_eq!(line.client.want(), Want::Tls);
        let mut out = Vec::new();
        line.client.tls_started(&mut out);
        assert_eq!(out, b"EHLO mail.home.example\r\n");
        line.hear("250-mx\r\n250 STARTTLS\r\n");
        assert_eq!(line.client.want(), Want::Envelope);
        assert_eq!(line.begin(envelope(&["bob"])), "MAIL FROM:<anna@home.example>\r\n", "what was said before is void");
    });
    both_ways(manner(TlsUse::IfOffered, false), |line| {
        line.hear("220 hi\r\n");
        line.hear("250-mx\r\n250 STARTTLS\r\n");
        line.hear("454 4.7.0 not now\r\n");
        assert_eq!(line.client.want(), Want::Envelope);
    });
    both_ways(manner(TlsUse::Required, false), |line| {
        line.hear("220 hi\r\n");
        line.hear("250 mx\r\n");
        assert!(matches!(line.client.ended(), Some(Ended::Unfit(_))));
    });
    both_ways(manner(TlsUse::Required, false), |line| {
        line.hear("220 hi\r\n");
        line.hear("250-mx\r\n250 STARTTLS\r\n");
        line.hear("220 go\r\n250 injected\r\n");
        assert!(matches!(line.client.ended(), Some(Ended::Breach(_))));
    });
}

mod any_server {
    use super::*;
    use proptest::prelude::*;

    const WORDS: [&str; 20] = [
        "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
        "220 hi\r\n",
        "250 ok\r\n",
        "250-mx\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 100\r\n",
        "250-mx\r\n250 AUTH LOGIN\r\n",
        "250-mx\r\n250 AUTH SCRAM-SHA-256\r\n",
        "334 cj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUF4LHM9UVVKRCxpPTQwOTY=\r\n",
        "334 dj02cnJp\r\n",
        "354 go\r\n",
        "334 VXNlcm5hbWU6\r\n",
        "235 in\r\n",
        "450 4.2.0 later\r\n",
        "550 5.1.1 no\r\n",
        "421 bye\r\n",
        "503 what\r\n",
        "250-half\r\n",
        "999 x\r\n",
        "garbage",
        "\n",
        "221 bye\r\n",
    ];

    fn asking() -> Envelope {
        let mut asking = envelope(&["a", "b"]);
        asking.parameters.envelope_id = Some("a b".into());
        asking.parameters.return_full = Some(false);
        asking.recipients[0].parameters =
            RcptParameters { notify: Notify(6), original: Some("rfc822;x+y@far.example".into()) };
        asking
    }

    #[test]
    fn reports_are_asked_of_servers_that_promise_them() {
        ready(MODERN_EHLO, |line| {
            assert!(line.client.offers_dsn());
            assert_eq!(
                line.begin(asking()),
                "MAIL FROM:<anna@home.example> BODY=8BITMIME RET=HDRS ENVID=a+20b\r\n\
             RCPT TO:<a@far.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2By@far.example\r\n\
             RCPT TO:<b@far.example>\r\n"
            );
        });
        ready(PIPELINED_EHLO, |line| {
            assert!(!line.client.offers_dsn());
            let wanted = "MAIL FROM:<anna@home.example> BODY=8BITMIME\r\nRCPT TO:<a@far.example>\r\n\
                      RCPT TO:<b@far.example>\r\nDATA\r\n";
            assert_eq!(line.begin(asking()), wanted);
        });
    }

    #[test]
    fn letters_of_all_scripts_go_where_they_are_taken() {
        let mut wide = envelope(&["j\u{fc}rgen"]);
        wide.recipients[0].parameters.original = Some("utf-8;j\u{fc}rgen@far.example".into());
        let mut header = envelope(&["a"]);
        header.parameters.smtp_utf8 = true;
        let plain = Envelope { eight_bit_header: false, ..header.clone() };
        ready(MODERN_EHLO, |line| {
            let said = line.begin(wide.clone());
            assert!(
                said.contains("8BITMIME SMTPUTF8\r\nRCPT TO:<j\u{fc}rgen@far.example> ORCPT=utf-8;j\u{fc}rgen@"),
                "{said}"
            );
        });
        ready(MODERN_EHLO, |line| assert!(line.begin(header.clone()).contains(" SMTPUTF8\r\n")));
        ready(MODERN_EHLO, |line| assert!(!line.begin(plain.clone()).contains("SMTPUTF8")));
        for (envelope, refused) in [(&wide, true), (&header, true), (&plain, false)] {
            ready(PLAIN_EHLO, |line| {
                assert_eq!(line.begin(envelope.clone()).is_empty(), refused);
                if refused {
                    assert!(line.verdicts()[0].starts_with("permanent Mail 553 5.6.7 "));
                }
            });
        }
    }

    #[test]
    fn what_needs_tls_goes_where_it_is_promised() {
        let mut secret = envelope(&["a"]);
        secret.parameters.require_tls = true;
        let report = Envelope { reverse_path: ReversePath::Null, ..secret.clone() };
        ready(MODERN_EHLO, |line| assert!(line.begin(secret.clone()).contains(" REQUIRETLS\r\n")));
        ready(PLAIN_EHLO, |line| {
            assert_eq!(line.begin(secret.clone()), "");
            assert!(line.verdicts()[0].starts_with("permanent Mail 550 5.7.30 "));
            assert_eq!(line.begin(report.clone()), "MAIL FROM:<> SIZE=12 BODY=8BITMIME\r\n");
        });
    }

    proptest! {
        /// Whatever a server says, in pieces of any size: each recipient gets one verdict, nobody counts as delivered
        /// whose message was not sent to its end, and a password leaves only over TLS when that is demanded.
        #[test]
        fn verdicts_are_complete_and_secrets_kept(
            polite in 0usize..5,
            said in prop::collection::vec(0..WORDS.len(), 0..40),
            piece in 1usize..40,
            recipients in 1usize..4,
            tls in prop::sample::select(vec![TlsUse::Never, TlsUse::IfOffered, TlsUse::Required]),
            login: bool,
            chunks: bool,
        ) {
            let mut client = Client::new(manner(tls, login));
            client.may_prove(LoginMeans { nonce: [0; 18], bindings: ChannelBindings::default() });
            // Without some good words first most servers would not come far.
            let beginning = [1, if chunks { 0 } else { 3 }, 2, 2, 5].into_iter().take(polite);
            let stream: String = beginning.chain(said).map(|word| WORDS[word]).collect();
            let mut pieces = stream.as_bytes().chunks(piece);
            let (mut open, mut sent_whole, mut over_tls) = (false, false, false);
            loop {
                let mut out = Vec::new();
                if let Some(verdicts) = client.take_verdicts() {
                    prop_assert!(open);
                    prop_assert_eq!(verdicts.len(), recipients);
                    let delivered = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Delivered(_)));
                    prop_assert!(!delivered || sent_whole);
                    (open, sent_whole) = (false, false);
                }
                match client.want() {
                    Want::Reply(_) => match pieces.next() {
                        Some(bytes) => client.receive(bytes, &mut out),
                        None => client.lost("over"),
                    },
                    Want::Tls => {
                        over_tls = true;
                        client.tls_started(&mut out);
                    }
                    Want::Envelope => {
                        // No word is a right signature.
                        prop_assert!(!login || !client.offers.auth_scram);
                        client.begin(envelope(&["a", "b", "c"][..recipients]), &mut out);
                        open = true;
                    }
                    Want::Content => {
                        // In chunks the dots stay as they are.
                        let dotted = client.offers.chunking;
                        client.content(if dotted { b"text\r\n" } else { b"text\r\n.\r\n" }, true, &mut out);
                        sent_whole = true;
                    }
                    Want::Close => break,
                }
                let out = String::from_utf8_lossy(&out).into_owned();
                prop_assert!(tls != TlsUse::Required || over_tls || !(out.contains("AUTH") || out.contains("MAIL")));
                prop_assert!(!out.contains("text\r\n.\r\n.\r\n"), "dots are doubled");
                if !open && pieces.len() == 0 && client.want() == Want::Envelope {
                    break;
                }
            }
            prop_assert!(!open || client.take_verdicts().is_some());
        }
    }
}
