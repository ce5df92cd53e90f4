//! Logins: by SCRAM with the server's side of this product, PLAIN, LOGIN.

use super::*;
use crate::wire::sasl::{Exchange, Keys, Mechanism, Question, Secret, Step};
use base64::Engine;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

const BOTH: &str = "250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256 LOGIN\r\n";
const ALL: &str = "250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS LOGIN\r\n";

#[test]
fn login_plain_and_login() {
    both_ways(manner(TlsUse::Never, true), |line| {
        line.hear("220 hi\r\n");
        assert_eq!(line.hear("250-mx\r\n250 AUTH LOGIN PLAIN\r\n"), "AUTH PLAIN AGFubmEAc2VjcmV0\r\n");
        line.hear("235 2.7.0 welcome\r\n");
        assert_eq!(line.client.want(), Want::Envelope);
    });
    both_ways(manner(TlsUse::Never, true), |line| {
        line.hear("220 hi\r\n");
        assert_eq!(line.hear("250-mx\r\n250 AUTH=LOGIN\r\n"), "AUTH LOGIN\r\n");
        assert_eq!(line.hear("334 VXNlcm5hbWU6\r\n"), "YW5uYQ==\r\n");
        assert_eq!(line.hear("334 UGFzc3dvcmQ6\r\n"), "c2VjcmV0\r\n");
        assert_eq!(line.hear("535 5.7.8 wrong\r\n"), "");
        assert!(matches!(line.client.ended(), Some(Ended::Refused(answer, Verb::Auth)) if answer.code == 535));
    });
    both_ways(manner(TlsUse::Never, true), |line| {
        line.hear("220 hi\r\n");
        line.hear("250-mx\r\n250 AUTH CRAM-MD5\r\n");
        assert!(matches!(line.client.ended(), Some(Ended::Unfit(_))));
    });
}

#[test]
fn a_long_login_waits_for_its_challenge() {
    let long = Manner { login: Some(("a".repeat(300), "b".repeat(100))), ..manner(TlsUse::Never, false) };
    both_ways(long.clone(), |line| {
        line.hear("220 hi\r\n");
        assert_eq!(line.hear("250-mx\r\n250 AUTH PLAIN\r\n"), "AUTH PLAIN\r\n");
        assert_eq!(line.hear("334 \r\n").len(), (300usize + 100 + 2).div_ceil(3) * 4 + 2);
        line.hear("235 in\r\n");
        assert_eq!(line.client.want(), Want::Envelope);
    });
    let longer = Manner { login: Some(("a".repeat(500), "b".repeat(100))), ..long };
    both_ways(longer, |line| {
        line.client.may_prove(unbound());
        line.hear("220 hi\r\n");
        assert_eq!(line.hear(BOTH), "AUTH SCRAM-SHA-256\r\n");
        let first = line.hear("334 \r\n");
        let first = BASE64.decode(first.trim_end()).unwrap();
        assert!(first.starts_with(b"n,,n=aaaa"));
    });
}

fn unbound() -> LoginMeans {
    LoginMeans { nonce: [0; 18], bindings: ChannelBindings::default() }
}

fn bound() -> LoginMeans {
    LoginMeans { bindings: ChannelBindings { exporter: Some([7; 32]), end_point: None }, ..unbound() }
}

/// What a server keeps of a password.
fn kept_of(password: &str) -> Secret {
    let (salt, iterations) = ([3; 16], SCRAM_ITERATIONS_MIN);
    let (rounds, mut salted) = (NonZeroU32::new(iterations).unwrap(), [0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let keyed = |name: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), name);
    let (mut stored_key, mut server_key) = ([0; 32], [0; 32]);
    stored_key.copy_from_slice(digest::digest(&digest::SHA256, keyed(b"Client Key").as_ref()).as_ref());
    server_key.copy_from_slice(keyed(b"Server Key").as_ref());
    Secret { salt, iterations, keys: vec![Keys { stored_key, server_key }] }
}

/// How a server takes a login.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    /// Its proof has a line of its own.
    Proper,
    /// Its proof stands in the text of its welcome.
    Terse,
    /// Lets everybody in, whether it knows the password or not.
    Gullible,
    /// Says nothing about itself.
    Silent,
}

/// The server takes the login that the client begins with these lines; what the client says at the end of it.
fn log_in(line: &mut Line, command: &str, kept: &str, bindings: ChannelBindings, server: Server) -> String {
    let words: Vec<&str> = command.trim_end().split(' ').collect();
    let mechanism = Mechanism::parse(words[1].as_bytes(), true).unwrap();
    let (mut exchange, mut step) = Exchange::begin(mechanism, words.get(2).map(|word| word.as_bytes()), bindings);
    let mut welcome = false;
    loop {
        step = match step {
            Step::Challenge(proof) if welcome && server == Server::Terse => {
                return line.hear(&format!("235 2.7.0 welcome {proof}\r\n"));
            }
            Step::Challenge(_) if welcome && server == Server::Silent => return line.hear("235 2.7.0 welcome\r\n"),
            Step::Challenge(challenge) => {
                let response = line.hear(&format!("334 {challenge}\r\n"));
                let Some(response) = response.strip_suffix("\r\n") else { return response };
                exchange.respond(response.as_bytes())
            }
            Step::Ask(Question::Secret { login }) => {
                assert_eq!(login, "anna");
                exchange.knows(kept_of(kept), &[9; 18])
            }
            Step::Ask(Question::Proof { right, .. }) => {
                welcome = right.is_some() || server == Server::Gullible;
                exchange.judged(welcome)
            }
            Step::Over if welcome => return line.hear("235 2.7.0 welcome\r\n"),
            Step::Over | Step::Refused(_) => return line.hear("535 5.7.8 wrong\r\n"),
            Step::Ask(Question::Password(_)) => panic!("a password was sent"),
        }
    }
}

fn by_scram(means: LoginMeans, ehlo: &'static str, story: impl Fn(&mut Line, &str)) {
    both_ways(manner(TlsUse::Never, true), |line| {
        line.client.may_prove(means.clone());
        line.hear("220 hi\r\n");
        let command = line.hear(ehlo);
        story(line, &command);
    });
}

#[test]
fn login_by_scram_comes_first() {
    for server in [Server::Proper, Server::Terse, Server::Gullible] {
        by_scram(unbound(), BOTH, |line, command| {
            assert!(command.starts_with("AUTH SCRAM-SHA-256 biws"), "{command}");
            assert_eq!(log_in(line, command, "secret", ChannelBindings::default(), server), "");
            assert_eq!((line.client.want(), line.client.ended()), (Want::Envelope, None));
        });
    }
}

#[test]
fn a_server_that_does_not_know_the_password_gets_no_mail() {
    for (kept, server) in [("other", Server::Gullible), ("secret", Server::Silent)] {
        by_scram(unbound(), BOTH, |line, command| {
            assert_eq!(log_in(line, command, kept, ChannelBindings::default(), server), "");
            let ended = Some(&Ended::Unproven("could not prove that it knows the password"));
            assert_eq!((line.client.want(), line.client.ended()), (Want::Close, ended));
        });
    }
    // Nothing at all was asked.
    by_scram(unbound(), BOTH, |line, _| {
        assert_eq!(line.hear("235 2.7.0 welcome\r\n"), "");
        assert!(matches!(line.client.ended(), Some(Ended::Unproven(_))));
    });
    by_scram(unbound(), BOTH, |line, _| {
        assert_eq!(line.hear("334 VXNlcm5hbWU6\r\n"), "");
        let trouble = "sent a login challenge that is not SCRAM's";
        assert_eq!(line.client.ended(), Some(&Ended::Unproven(trouble)));
    });
}

#[test]
fn a_wrong_password_is_refused_by_the_server() {
    by_scram(unbound(), BOTH, |line, command| {
        assert_eq!(log_in(line, command, "other", ChannelBindings::default(), Server::Proper), "");
        assert!(matches!(line.client.ended(), Some(Ended::Refused(answer, Verb::Auth)) if answer.code == 535));
    });
}

#[test]
fn logins_are_bound_where_both_can() {
    by_scram(bound(), ALL, |line, command| {
        assert!(command.starts_with("AUTH SCRAM-SHA-256-PLUS "), "{command}");
        assert_eq!(log_in(line, command, "secret", bound().bindings, Server::Proper), "");
        assert_eq!(line.client.want(), Want::Envelope);
    });
    // Somebody in between, with a TLS of its own on each side.
    let elsewhere = ChannelBindings { exporter: Some([8; 32]), end_point: None };
    by_scram(bound(), ALL, |line, command| {
        assert_eq!(log_in(line, command, "secret", elsewhere.clone(), Server::Proper), "");
        assert!(matches!(line.client.ended(), Some(Ended::Refused(_, Verb::Auth))));
    });
    // Who takes the offer away is found out by the server.
    by_scram(bound(), BOTH, |line, command| {
        assert!(command.starts_with("AUTH SCRAM-SHA-256 eSws"), "{command}");
        assert_eq!(log_in(line, command, "secret", bound().bindings, Server::Proper), "");
        assert!(matches!(line.client.ended(), Some(Ended::Refused(_, Verb::Auth))));
    });
    by_scram(bound(), BOTH, |line, command| {
        assert_eq!(log_in(line, command, "secret", ChannelBindings::default(), Server::Proper), "");
        assert_eq!(line.client.want(), Want::Envelope);
    });
    by_scram(unbound(), ALL, |_, command| assert!(command.starts_with("AUTH SCRAM-SHA-256 biws"), "{command}"));
    by_scram(unbound(), "250-mx\r\n250 AUTH SCRAM-SHA-256-PLUS\r\n", |line, command| {
        assert_eq!(command, "");
        assert!(matches!(line.client.ended(), Some(Ended::Unfit(_))));
    });
}

#[test]
fn a_server_that_binds_in_other_ways_is_logged_in_to_without() {
    let other = ChannelBindings { exporter: None, end_point: Some(vec![1; 32]) };
    by_scram(bound(), ALL, |line, command| {
        let again = log_in(line, command, "secret", other.clone(), Server::Proper);
        assert!(again.starts_with("AUTH SCRAM-SHA-256 biws"), "{again}");
        assert_ne!(again.split(' ').nth(2), command.split(' ').nth(2));
        assert_eq!(log_in(line, &again, "secret", other.clone(), Server::Proper), "");
        assert_eq!(line.client.want(), Want::Envelope);
    });
}

#[test]
fn what_cannot_be_prepared_goes_by_plain() {
    let odd = Manner { login: Some(("anna".into(), "se\u{e000}cret".into())), ..manner(TlsUse::Never, false) };
    both_ways(odd, |line| {
        line.client.may_prove(unbound());
        line.hear("220 hi\r\n");
        assert!(line.hear(BOTH).starts_with("AUTH PLAIN "));
    });
}
