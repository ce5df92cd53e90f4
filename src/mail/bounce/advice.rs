//! The one sentence of a bounce that its reader needs: what happened, and what to do.

use super::{Failure, Reason};
use crate::wire::smtp::client::{Answer, Status};
use std::time::Duration;

/// `Your message to ... was not delivered: ...; ... .` without line breaks.
pub(super) fn sentence(failure: &Failure) -> String {
    let (what, what_to_do) = match (failure.gave_up_after, &failure.reason) {
        (Some(age), _) => (
            format!("for {} every attempt has failed", span(age)),
            "the technical details below say why; send it again later, or reach the recipient in another way",
        ),
        (None, Reason::Answered(answer)) if answer.said_by_peer => refused(answer, failure),
        (None, Reason::Answered(answer)) => decided(answer),
        (None, Reason::Happened(text)) => (text.clone(), "send it again later"),
    };
    format!("Your message to {} was not delivered, because {what}; {what_to_do}.", failure.recipient)
}

/// A refusal by the other server. RFC 3463 says what the numbers mean; 550 to 554 are the old ones (RFC 5321 section
/// 4.2.3) of servers that give no other.
fn refused(answer: &Answer, failure: &Failure) -> (String, &'static str) {
    let domain = &failure.recipient.domain;
    match (answer.status_or_class(), answer.code) {
        (Status(_, 1, 1 | 3 | 6), _) | (Status(_, 0, 0), 553) => (
            format!("{domain} knows no mailbox of that name"),
            "check the address for a typing mistake and send it again",
        ),
        (Status(_, 1, 2 | 10), _) => {
            (format!("{domain} takes no mail"), "check the part of the address after the @ and send it again")
        }
        (Status(_, 1, 7 | 8), _) => {
            (format!("the server of {domain} does not accept your address as the sender"), "check your sender address")
        }
        (Status(_, 2, 1), _) => ("the recipient's mailbox is closed".to_owned(), "reach the recipient in another way"),
        (Status(_, 2, 2), _) | (Status(_, 0, 0), 552) => {
            ("the recipient's mailbox is full".to_owned(), "tell the recipient, and send it again later")
        }
        (Status(_, 2 | 3, 3 | 4), _) => (
            format!("it is too large for the server of {domain}"),
            "send it in smaller parts or without the attachment",
        ),
        (Status(_, 4, 6), _) => {
            (format!("mail for {domain} goes round in a circle"), "tell the recipient in another way")
        }
        (Status(_, 6, _), _) => {
            (format!("the server of {domain} cannot handle its form"), "send it as plain text without attachments")
        }
        (Status(_, 7, 25 | 27), _) => (
            format!("the server of {domain} does not accept mail from your network address"),
            "send through your provider's server (a smarthost)",
        ),
        (Status(_, 7, _), _) => (
            format!("the server of {domain} refuses it by its rules"),
            "its answer below says more; if it names your network address or a block list, send through your provider's \
             server (a smarthost)",
        ),
        _ => (
            format!("the server of {domain} refused it for good"),
            "its answer below says more; check the address, or reach the recipient in another way",
        ),
    }
}

/// A decision of this side, in which the text already is the plain reason.
fn decided(answer: &Answer) -> (String, &'static str) {
    let what_to_do = match answer.status_or_class() {
        Status(_, 1, 2 | 10) => "check the part of the address after the @ and send it again",
        Status(_, 1, _) => "check the address and send it again",
        Status(_, 3, 4) => "send it in smaller parts or without the attachment",
        Status(_, 4, 6) => "check the part of the address after the @, and the MX record in the DNS if it is yours",
        Status(_, 7, 10 | 30) => "send it without requiring TLS, or reach the recipient in another way",
        Status(_, 6, 7) => "use an address of plain letters if the recipient has one",
        _ => "check the address, or reach the recipient in another way",
    };
    (answer.text.clone(), what_to_do)
}

/// `5 days`, `4 hours`, `10 minutes`: whole units, rounded down.
fn span(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    let (count, unit) = match minutes {
        0..120 => (minutes, "minute"),
        120..2880 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::address::{Address, Domain};

    fn failure(code: u16, status: Option<Status>, said_by_peer: bool) -> Failure {
        let mut answer = Answer::ours(code, Status(5, 0, 0), "the domain far.example does not exist");
        (answer.status, answer.said_by_peer) = (status, said_by_peer);
        let recipient = Address { local: "bob".into(), domain: Domain::new("far.example") };
        Failure { recipient, original: None, host: None, reason: Reason::Answered(answer), gave_up_after: None }
    }

    #[test]
    fn each_kind_has_its_advice() {
        let said = |code, status| sentence(&failure(code, status, true));
        assert!(said(550, Some(Status(5, 1, 1))).contains("knows no mailbox of that name; check the address"));
        assert!(said(552, Some(Status(5, 2, 2))).contains("mailbox is full"));
        assert!(said(552, Some(Status(5, 3, 4))).contains("too large"));
        assert!(said(554, Some(Status(5, 7, 1))).contains("refuses it by its rules"));
        assert!(said(550, None).contains("refused it for good"));
        assert_eq!(
            sentence(&failure(550, Some(Status(5, 1, 2)), false)),
            "Your message to bob@far.example was not delivered, because the domain far.example does not exist; check the \
             part of the address after the @ and send it again."
        );
    }

    #[test]
    fn time_in_plain_units() {
        let spans = [60, 3600, 3 * 3600, 47 * 3600, 5 * 86400].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["1 minute", "60 minutes", "3 hours", "47 hours", "5 days"]);
    }
}
