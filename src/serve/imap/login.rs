//! STARTTLS, LOGIN and AUTHENTICATE: who is it?
//!
//! Passwords go to [`crate::serve::Logins`], which counts, delays and remembers; nothing of them is kept or logged here.

use super::failure::{Failure, bad, no};
use super::{Next, Session};
use crate::limits::TLS_HANDSHAKE_SECONDS_MAX;
use crate::serve::Verdict;
use crate::wire::imap::command::{Secret, Tag};
use crate::wire::imap::{Code, Status, response};
use crate::wire::sasl::{Exchange, Mechanism, SaslTrouble, Step};
use std::time::Duration;

impl Session {
    /// STARTTLS (RFC 3501 section 6.2.1): what the client sent along with it is thrown away.
    pub(super) async fn start_tls(&mut self, tag: &Tag) -> Result<Next, Failure> {
        let Some(config) = self.site.tls.clone() else { return Err(bad("TLS is not available")) };
        response::tagged(&mut self.line.out, tag, Status::Ok, Code::None, "Begin TLS now");
        self.line.flush().await?;
        self.line.start_tls(config, Duration::from_secs(TLS_HANDSHAKE_SECONDS_MAX)).await?;
        self.conversation.tls_started();
        Ok(Next::ForgetInput)
    }

    /// LOGIN (RFC 3501 section 6.2.3).
    pub(super) async fn login(&mut self, tag: &Tag, user: &str, password: &str) -> Result<(), Failure> {
        self.check_password(tag, user, password, "LOGIN completed").await
    }

    /// AUTHENTICATE (RFC 3501 section 6.2.2) with an initial response (RFC 4959) or without.
    pub(super) async fn authenticate(
        &mut self,
        tag: &Tag,
        mechanism: &str,
        initial: Option<Secret<Vec<u8>>>,
    ) -> Result<(), Failure> {
        let Some(mechanism) = Mechanism::parse(mechanism.as_bytes()) else {
            return Err(no(Code::Cannot, "This mechanism is not supported"));
        };
        let (exchange, step) = Exchange::begin(mechanism, initial.as_ref().map(|Secret(line)| line.as_slice()));
        self.go_on(tag, exchange, step).await
    }

    /// The client's answer to a challenge.
    pub(super) async fn auth_line(&mut self, tag: &Tag, Secret(line): Secret<Vec<u8>>) -> Result<(), Failure> {
        let Some(mut exchange) = self.exchange.take() else { return Err(bad("No exchange is going on")) };
        let step = exchange.respond(&line);
        self.go_on(tag, exchange, step).await
    }

    async fn go_on(&mut self, tag: &Tag, exchange: Exchange, step: Step) -> Result<(), Failure> {
        match step {
            Step::Challenge(challenge) => {
                self.conversation.challenge(tag, challenge, &mut self.line.out);
                self.exchange = Some(exchange);
                Ok(())
            }
            Step::Check(given) => {
                self.check_password(tag, &given.login, &given.password, "AUTHENTICATE completed").await
            }
            Step::Refused(SaslTrouble::OtherIdentity) => {
                Err(no(Code::AuthorizationFailed, "Acting as somebody else is not supported"))
            }
            Step::Refused(SaslTrouble::Cancelled) => Err(bad("AUTHENTICATE was cancelled")),
            Step::Refused(_) => Err(bad("Not a message of this mechanism")),
        }
    }

    async fn check_password(&mut self, tag: &Tag, login: &str, password: &str, text: &str) -> Result<(), Failure> {
        match self.context.logins.check(&self.context, self.peer, login, password).await {
            Verdict::Welcome(owner) => {
                self.conversation.logged_in();
                let tls = self.line.stream()?.tls().map_or("none", |facts| facts.version);
                log::info!("event=imap-login peer={} login={owner:?} tls={tls}", self.peer);
                self.login = Some(owner);
                let list = self.conversation.capabilities();
                response::tagged(&mut self.line.out, tag, Status::Ok, Code::Capability(&list), text);
                Ok(())
            }
            Verdict::Wrong => Err(no(Code::AuthenticationFailed, "Login or password is wrong")),
            Verdict::Unavailable => Err(no(Code::Unavailable, "Passwords cannot be checked now; try again later")),
        }
    }
}
