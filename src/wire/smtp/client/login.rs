//! Logging in at a server (RFC 4954): SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN or LOGIN, the first of these that both know.

use super::{Answer, BASE64, Client, Ended, State, Verb};
use crate::wire::sasl::{Binding, ChannelBindings, NOT_PROVEN, Prover};
use base64::Engine;

/// What SCRAM needs of the world.
#[derive(Clone)]
pub struct LoginMeans {
    /// Random bytes, new for each connection.
    pub nonce: [u8; 18],
    /// Of the channel as it is now.
    pub bindings: ChannelBindings,
}

/// A login under way.
pub(super) enum Login {
    /// PLAIN or LOGIN; the answers to 334 challenges, the last first.
    Password(Vec<String>),
    /// SCRAM, and its first message when that did not fit the command.
    Scram(Box<Prover>, Option<String>),
}

impl Client {
    /// What SCRAM needs, before the login begins: on a new connection, and again when TLS was started on it. Without it the
    /// login goes by PLAIN or LOGIN.
    pub fn may_prove(&mut self, means: LoginMeans) {
        self.means = Some(means);
    }

    /// The session stands; log in when that is asked for.
    pub(super) fn on_session(&mut self, out: &mut Vec<u8>) {
        let Some((login, password)) = &self.manner.login else {
            self.state = State::Ready;
            return;
        };
        let login_state = if let Some(prover) = self.prover(login, password) {
            let first = prover.first();
            let later = say_auth(prover.mechanism().name(), first, out);
            Login::Scram(Box::new(prover), later)
        } else if self.offers.auth_plain {
            let later = say_auth("PLAIN", BASE64.encode(format!("\0{login}\0{password}")), out);
            Login::Password(later.into_iter().collect())
        } else if self.offers.auth_login {
            out.extend_from_slice(b"AUTH LOGIN\r\n");
            Login::Password(vec![BASE64.encode(password), BASE64.encode(login)])
        } else {
            return self.end(Ended::Unfit("offers no login by SCRAM-SHA-256, PLAIN or LOGIN"));
        };
        self.state = State::AwaitAuth(login_state);
    }

    /// SCRAM, when both sides know it.
    fn prover(&self, login: &str, password: &str) -> Option<Prover> {
        let LoginMeans { nonce, bindings } = self.means.as_ref()?;
        let possible = match bindings {
            ChannelBindings { exporter: Some(data), .. } => Binding::Exporter(*data),
            ChannelBindings { end_point: Some(data), .. } => Binding::EndPoint(data.clone()),
            ChannelBindings { exporter: None, end_point: None } => Binding::Impossible,
        };
        let binding = match (self.offers.auth_scram_plus, possible) {
            (true, possible) if possible.is_bound() => possible,
            _ if !self.offers.auth_scram => return None,
            (false, possible) if possible.is_bound() => Binding::NotOffered,
            _ => Binding::Impossible,
        };
        Prover::new(login, password, nonce, binding)
    }

    /// Answers a 334.
    pub(super) fn on_challenge(&mut self, login: Login, challenge: &Answer, out: &mut Vec<u8>) {
        let (login, response) = match login {
            Login::Password(mut responses) => {
                let Some(response) = responses.pop() else {
                    return self.end(Ended::Breach("asked for more than the login and password"));
                };
                (Login::Password(responses), response)
            }
            Login::Scram(prover, Some(first)) => (Login::Scram(prover, None), first),
            Login::Scram(mut prover, None) => {
                // The whole line: the text of an answer is cut to what a log can bear.
                let challenge = challenge.lines.first().map_or("", |line| line.trim());
                match prover.respond(challenge) {
                    Ok(response) => (Login::Scram(prover, None), response),
                    Err(trouble) => return self.end(Ended::Unproven(trouble)),
                }
            }
        };
        out.extend_from_slice(response.as_bytes());
        out.extend_from_slice(b"\r\n");
        self.state = State::AwaitAuth(login);
    }

    /// Takes the 235. By SCRAM the server has to have proved itself; its proof may come here too, last in the text, as servers
    /// send it that spare the empty line between.
    pub(super) fn on_welcome(&mut self, login: Login, welcome: &Answer) {
        if let Login::Scram(mut prover, _) = login {
            let last = welcome.lines.last().and_then(|line| line.split_ascii_whitespace().last());
            if !prover.is_proven() && !last.is_some_and(|word| prover.respond(word).is_ok() && prover.is_proven()) {
                return self.end(Ended::Unproven(NOT_PROVEN));
            }
        }
        self.state = State::Ready;
    }

    /// Takes a 4xx or 5xx. A server that offers to bind, but not to such a channel, is logged in to without that: its TLS is as
    /// good as with the servers that offer PLAIN alone, and who could have forged this answer could have offered that alone.
    pub(super) fn on_login_refused(&mut self, login: Login, refusal: Answer, out: &mut Vec<u8>) {
        match (login, &mut self.means) {
            (Login::Scram(prover, _), Some(means)) if prover.is_refused_by_binding() && self.offers.auth_scram_plus => {
                means.bindings = ChannelBindings::default();
                // No nonce serves twice; the random part of the new one is as good.
                means.nonce.rotate_left(1);
                self.offers.auth_scram_plus = false;
                self.on_session(out);
            }
            _ => self.end(Ended::Refused(refusal, Verb::Auth)),
        }
    }
}

/// AUTH with its initial response. RFC 4954 section 4: one that makes the line longer than 512 octets has to wait; it is
/// returned.
fn say_auth(mechanism: &str, initial: String, out: &mut Vec<u8>) -> Option<String> {
    out.extend_from_slice(b"AUTH ");
    out.extend_from_slice(mechanism.as_bytes());
    let inline = "AUTH  \r\n".len() + mechanism.len() + initial.len() <= 512;
    if inline {
        out.push(b' ');
        out.extend_from_slice(initial.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    (!inline).then_some(initial)
}
