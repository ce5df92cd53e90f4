//! SASL exchanges, carried out: what a client says goes to `wire::sasl`, what that asks goes to [`Logins`](super::Logins).

use super::{Verdict, Visitor};
use crate::serve::Context;
use crate::wire::sasl::{ChannelBindings, Exchange, Input, Mechanism, Question, SaslTrouble, Step};

/// One exchange between two lines of the client.
pub struct Authentication {
    mechanism: Mechanism,
    exchange: Exchange,
    /// What it will come to when the client has heard our last word.
    verdict: Verdict,
}

/// What came of a line.
#[derive(Debug)]
pub enum Progress {
    /// Say this; another line is to come.
    Challenge(String),
    /// It is over.
    Verdict(Verdict),
    /// It is over before there was anything to judge.
    Refused(SaslTrouble),
}

/// Takes an exchange one line further. `going` keeps it in between; `bindings` are those of the connection.
pub async fn authenticate(
    context: &Context,
    visitor: &Visitor,
    bindings: ChannelBindings,
    going: &mut Option<Authentication>,
    input: Input,
) -> Progress {
    let (mut authentication, mut step) = match (input, going.take()) {
        (Input::Begin { mechanism, initial }, _) => {
            let (exchange, step) = Exchange::begin(mechanism, initial.as_deref(), bindings);
            (Authentication { mechanism, exchange, verdict: Verdict::Wrong }, step)
        }
        (Input::Line(line), Some(mut authentication)) => {
            let step = authentication.exchange.respond(&line);
            (authentication, step)
        }
        (Input::Line(_), None) => return Progress::Refused(SaslTrouble::Malformed),
    };
    let (logins, mechanism) = (&context.logins, authentication.mechanism.name());
    loop {
        let verdict = match step {
            Step::Challenge(challenge) => {
                *going = Some(authentication);
                return Progress::Challenge(challenge);
            }
            Step::Over => return Progress::Verdict(authentication.verdict),
            Step::Refused(trouble) => return Progress::Refused(trouble),
            Step::Ask(Question::Secret { login }) => match logins.secret(context, visitor, mechanism, &login).await {
                Ok((secret, nonce)) => {
                    step = authentication.exchange.knows(secret, &nonce);
                    continue;
                }
                Err(verdict) => return Progress::Verdict(verdict),
            },
            Step::Ask(Question::Password(given)) => logins.check(context, visitor, mechanism, &given).await,
            Step::Ask(Question::Proof { login, right }) => {
                logins.judge(context, visitor, mechanism, &login, right).await
            }
        };
        match &verdict {
            Verdict::Welcome(_) => step = authentication.exchange.judged(true),
            Verdict::Wrong => step = authentication.exchange.judged(false),
            Verdict::TooMany | Verdict::NotAllowed | Verdict::Unavailable => return Progress::Verdict(verdict),
        }
        authentication.verdict = verdict;
    }
}
