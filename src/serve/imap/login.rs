//! STARTTLS, LOGIN and AUTHENTICATE: who is it?
//!
//! Passwords go to [`crate::serve::Logins`], which counts, delays and remembers; nothing of them is kept or logged here.

use super::failure::{Failure, bad, no};
use super::{Next, Session};
use crate::limits::TLS_HANDSHAKE_SECONDS_MAX;
use crate::serve::{Progress, Service, Verdict, Visitor, authenticate};
use crate::wire::imap::command::{Secret, Tag};
use crate::wire::imap::{Code, Dialect, Status, response};
use crate::wire::sasl::{Input, Mechanism, Password, SaslTrouble};
use std::time::Duration;

impl Session {
    /// STARTTLS (RFC 3501 section 6.2.1): what the client sent along with it is thrown away.
    pub(super) async fn start_tls(&mut self, tag: &Tag) -> Result<Next, Failure> {
        let Some(config) = self.site.tls.clone() else { return Err(bad("TLS is not available")) };
        response::tagged(&mut self.line.out, tag, Status::Ok, Code::None, "Begin TLS now");
        self.line.flush().await?;
        self.line.start_tls(config, Duration::from_secs(TLS_HANDSHAKE_SECONDS_MAX)).await?;
        self.conversation.tls_started();
        // RFC 5255 section 3.1: what was asked for in the clear may have been somebody else's wish.
        self.line.out.dialect = Dialect::default();
        Ok(Next::ForgetInput)
    }

    /// UNAUTHENTICATE (RFC 8437): everything but the connection begins anew. What was sent along with it is for the next login.
    pub(super) async fn unauthenticate(&mut self, tag: &Tag) -> Result<(), Failure> {
        self.line.flush().await?;
        let line = self.line.renewed()?;
        *self = Session::new(self.context.clone(), line);
        let list = self.conversation.capabilities();
        let (code, text) = (Code::Capability(&list), "UNAUTHENTICATE completed");
        response::tagged(&mut self.line.out, tag, Status::Ok, code, text);
        self.line.flush().await?;
        self.line.end_compression();
        Ok(())
    }

    /// LOGIN (RFC 3501 section 6.2.3).
    pub(super) async fn login(&mut self, tag: &Tag, user: &str, password: &str) -> Result<(), Failure> {
        let given = Password { login: user.to_owned(), password: password.to_owned() };
        let visitor = self.visitor()?;
        let verdict = self.context.logins.check(&self.context, &visitor, "LOGIN", &given).await;
        self.answer_verdict(tag, verdict, "LOGIN completed").await
    }

    /// AUTHENTICATE (RFC 3501 section 6.2.2) with an initial response (RFC 4959) or without.
    pub(super) async fn authenticate(
        &mut self,
        tag: &Tag,
        mechanism: &str,
        initial: Option<Secret<Vec<u8>>>,
    ) -> Result<(), Failure> {
        let binding = self.site.channel_binding && self.line.stream()?.tls().is_some();
        let Some(mechanism) = Mechanism::parse(mechanism.as_bytes(), binding) else {
            return Err(no(Code::Cannot, "This mechanism is not offered"));
        };
        self.go_on(tag, Input::Begin { mechanism, initial: initial.map(|Secret(line)| line) }).await
    }

    /// The client's answer to a challenge.
    pub(super) async fn auth_line(&mut self, tag: &Tag, Secret(line): Secret<Vec<u8>>) -> Result<(), Failure> {
        self.go_on(tag, Input::Line(line)).await
    }

    async fn go_on(&mut self, tag: &Tag, input: Input) -> Result<(), Failure> {
        let (visitor, bindings) = (self.visitor()?, self.site.bindings_of(self.line.stream()?));
        match authenticate(&self.context, &visitor, bindings, &mut self.authentication, input).await {
            Progress::Challenge(challenge) => {
                self.conversation.challenge(tag, &challenge, &mut self.line.out);
                Ok(())
            }
            Progress::Verdict(verdict) => self.answer_verdict(tag, verdict, "AUTHENTICATE completed").await,
            Progress::Refused(SaslTrouble::OtherIdentity) => {
                Err(no(Code::AuthorizationFailed, "Acting as somebody else is not supported"))
            }
            Progress::Refused(SaslTrouble::NotAgreed) => {
                Err(no(Code::AuthenticationFailed, "Bound to another connection, or in a way not known here"))
            }
            Progress::Refused(SaslTrouble::Cancelled) => Err(bad("AUTHENTICATE was cancelled")),
            Progress::Refused(_) => Err(bad("Not a message of this mechanism")),
        }
    }

    fn visitor(&mut self) -> Result<Visitor, Failure> {
        let tls = self.line.stream()?.tls().map_or("none", |facts| facts.version);
        Ok(Visitor { service: Service::Imap, peer: self.peer, tls })
    }

    async fn answer_verdict(&mut self, tag: &Tag, verdict: Verdict, text: &str) -> Result<(), Failure> {
        match verdict {
            Verdict::Welcome(who) => {
                self.be(who).await?;
                self.conversation.logged_in();
                let list = self.conversation.capabilities();
                response::tagged(&mut self.line.out, tag, Status::Ok, Code::Capability(&list), text);
                Ok(())
            }
            Verdict::Wrong => Err(no(Code::AuthenticationFailed, "Login or password is wrong")),
            Verdict::NotAllowed => Err(no(Code::AuthorizationFailed, "This device may not read mail")),
            Verdict::TooMany => Err(Failure::Bye(Code::Unavailable, "Too many failed logins; try again later")),
            Verdict::Unavailable => Err(no(Code::Unavailable, "Passwords cannot be checked now; try again later")),
        }
    }
}
