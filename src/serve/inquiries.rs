//! What servers inside have said about recipients, so that each is not asked for every message.
//!
//! Receives a gateway and an address; hands on whether mail for it is taken. What always holds: an answer that is not about the
//! recipient refuses nobody for good; whatever strangers ask for, few questions are under way and few answers are remembered.

use crate::limits::*;
use crate::mail::addressbook::Gateway;
use crate::serve::{Context, Site, relay};
use crate::wire::address::Address;
use crate::wire::smtp::{Reply, replies};
use smol::lock::Semaphore;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The answers of a node.
pub struct Inquiries {
    answers: Mutex<HashMap<Asked, Remembered>>,
    turns: Semaphore,
}

/// A gateway, and an address in lower case; none stands for all, of a gateway that could not be asked.
type Asked = (Gateway, String);

struct Remembered {
    /// On the steady clock.
    until: Duration,
    answer: Result<(), Reply>,
}

impl Default for Inquiries {
    fn default() -> Inquiries {
        Inquiries { answers: Mutex::default(), turns: Semaphore::new(INQUIRIES_AT_ONCE_MAX) }
    }
}

impl Inquiries {
    /// Whether the gateway takes mail for the recipient.
    pub async fn ask(
        &self,
        context: &Context,
        site: &Site,
        gateway: &Gateway,
        recipient: &Address,
    ) -> Result<(), Reply> {
        let mut asked = (gateway.clone(), recipient.to_string().to_lowercase());
        let server = (gateway.clone(), String::new());
        let known = || {
            let now = context.net.clock().steady();
            self.known(&asked, now).or_else(|| self.known(&server, now))
        };
        if let Some(known) = known() {
            return known;
        }
        let _turn = self.turns.acquire().await;
        // Somebody may have asked the same while this one waited.
        if let Some(known) = known() {
            return known;
        }
        let patience = Duration::from_secs(INQUIRY_SECONDS_MAX);
        let asking = relay::ask(&context.net, site, gateway, recipient);
        let said = context.net.clock().within(patience, asking).await;
        let said = said.unwrap_or_else(|| Err("it took too long".to_owned()));
        let (answer, seconds) = match said {
            Ok(answer) if answer.is_positive() => (Ok(()), INQUIRY_YES_SECONDS),
            Ok(answer) if answer.is_permanent() => (
                Err(replies::REFUSED_INSIDE.saying(format!("The server of this address says: {answer}"))),
                INQUIRY_NO_SECONDS,
            ),
            Ok(answer) => (
                Err(replies::LATER_INSIDE.saying(format!("The server of this address says: {answer}"))),
                INQUIRY_LATER_SECONDS,
            ),
            Err(why) => {
                log::warn!("event=not-asked gateway={:?} recipient={:?} reason={why:?}", gateway.host, asked.1);
                // Those who wait to ask it about others need not try: each would wait as long, and others for all of them.
                asked = server;
                (Err(replies::LATER_INSIDE), INQUIRY_LATER_SECONDS)
            }
        };
        let now = context.net.clock().steady();
        self.remember(asked, answer.clone(), now, now + Duration::from_secs(seconds));
        answer
    }

    fn known(&self, asked: &Asked, now: Duration) -> Option<Result<(), Reply>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(asked).filter(|known| known.until > now).map(|known| known.answer.clone())
    }

    /// Full of fresh answers, it forgets them all: that costs questions, nothing else.
    fn remember(&self, asked: Asked, answer: Result<(), Reply>, now: Duration, until: Duration) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= INQUIRY_ANSWERS_MAX {
            answers.retain(|_, known| known.until > now);
        }
        if answers.len() >= INQUIRY_ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(asked, Remembered { until, answer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::addressbook::GatewayTls;

    #[test]
    fn answers_fade_and_memory_is_bounded() {
        let inquiries = Inquiries::default();
        let seconds = Duration::from_secs;
        let gateway = Gateway { host: "in".into(), port: 25, tls: GatewayTls::Plain, verify: true };
        let asked = |n: usize| (gateway.clone(), format!("{n}@home.example"));
        inquiries.remember(asked(0), Err(replies::REFUSED_INSIDE), seconds(0), seconds(30));
        assert_eq!(inquiries.known(&asked(0), seconds(29)), Some(Err(replies::REFUSED_INSIDE)));
        assert_eq!(inquiries.known(&asked(0), seconds(30)), None);
        assert_eq!(inquiries.known(&asked(1), seconds(0)), None);
        for n in 0..5 * INQUIRY_ANSWERS_MAX {
            inquiries.remember(asked(n), Ok(()), seconds(1), seconds(100));
        }
        assert!(inquiries.answers.lock().expect("whole").len() <= INQUIRY_ANSWERS_MAX);
        assert_eq!(inquiries.known(&asked(5 * INQUIRY_ANSWERS_MAX - 1), seconds(2)), Some(Ok(())));
    }
}
