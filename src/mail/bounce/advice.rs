//! The one sentence of a notice that its reader needs: what happened, and what to do.

use super::{Delay, Failure, Reason, date};
use crate::wire::address::Domain;
use crate::wire::smtp::client::{Answer, Status};
use std::time::Duration;

/// `Your message to ... was not delivered: ...; ... .` without line breaks.
pub(super) fn sentence(failure: &Failure) -> String {
    let domain = &failure.recipient.domain;
    let (what, what_to_do) = match (failure.gave_up_after, &failure.reason) {
        (_, Reason::LineBlocked(_)) => (
            "your line seems to block outgoing mail (port 25), so that no other mail server can be reached".to_owned(),
            "name your provider's mail server as host under [relay] in hauspost.toml, and send it again",
        ),
        (Some(age), reason) => (
            format!("for {} every attempt has failed, the last one because {}", span(age), for_now(reason, domain)),
            "send it again later, or reach the recipient in another way",
        ),
        (None, Reason::Answered(answer)) if answer.said_by_peer => refused(answer, failure),
        (None, Reason::Answered(answer)) => decided(answer),
        (None, Reason::Happened(text) | Reason::Unreachable(text)) => (text.clone(), "send it again later"),
    };
    format!("Your message to {} was not delivered, because {what}; {what_to_do}.", failure.recipient)
}

/// `Your message to ... has not been delivered yet, because ...; you need not do anything: ... .`
pub(super) fn delay_sentence(delay: &Delay) -> String {
    let Delay { recipient, reason, until, .. } = delay;
    let (what, until) = (for_now(reason, &recipient.domain), date(*until));
    if wants_login(reason) {
        return format!(
            "Your message to {recipient} has not been delivered yet, because {what}; look at [relay] in hauspost.toml: it is \
             tried again and again until {until}."
        );
    }
    format!(
        "Your message to {recipient} has not been delivered yet, because {what}; you need not do anything: it is tried \
         again and again until {until}."
    )
}

/// A server that wants another login than it got (RFC 4954 section 6): that is about this node's settings.
fn wants_login(reason: &Reason) -> bool {
    matches!(reason, Reason::Answered(answer) if answer.said_by_peer && matches!(answer.code, 530 | 534 | 535 | 538))
}

/// Why an attempt failed that is made again.
fn for_now(reason: &Reason, domain: &Domain) -> String {
    let answer = match reason {
        Reason::Happened(text) | Reason::Unreachable(text) => return text.clone(),
        Reason::LineBlocked(_) => {
            return "your line seems to block outgoing mail (port 25); unless that ends by itself, your provider's mail server \
                    has to be named as host under [relay] in hauspost.toml"
                .to_owned();
        }
        Reason::Answered(answer) if !answer.said_by_peer => return answer.text.clone(),
        Reason::Answered(answer) => answer,
    };
    if wants_login(reason) {
        return "your provider's mail server does not take the login of this one".to_owned();
    }
    let words = answer.text.to_ascii_lowercase();
    if ["greylist", "graylist", "grey list", "gray list"].iter().any(|word| words.contains(word)) {
        return format!("the server of {domain} lets senders that it does not know wait (greylisting)");
    }
    match answer.status_or_class() {
        Status(_, 1, 8) => format!("the server of {domain} could not look up your address as the sender"),
        Status(_, 2, 2) => "the recipient's mailbox is full".to_owned(),
        Status(_, 2, _) => "the recipient's mailbox takes nothing for now".to_owned(),
        Status(_, 3, 1) => format!("the server of {domain} has no room for it"),
        Status(_, 3 | 4, _) => format!("the server of {domain} is busy or in trouble"),
        Status(_, 7, _) if is_about_address(&words) => {
            format!("the server of {domain} does not accept mail from your network address for now")
        }
        Status(_, 7, _) => format!("the server of {domain} holds it up by its rules"),
        _ => format!("the server of {domain} does not take it for now"),
    }
}

/// Whether the text of a refusal, in small letters, is about where the mail comes from: names of block lists, and what large
/// providers say.
fn is_about_address(words: &str) -> bool {
    const SIGNS: [&str; 13] = [
        "spamhaus",
        "spamcop",
        "barracuda",
        "blocklist",
        "block list",
        "blacklist",
        "black list",
        "dnsbl",
        "rbl",
        "dynamic",
        "residential",
        "reverse dns",
        "ptr",
    ];
    let whole = |sign: &str| words.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == sign);
    SIGNS.iter().any(|sign| if sign.len() <= 3 { whole(sign) } else { words.contains(sign) })
}

/// A refusal by the other server. RFC 3463 says what the numbers mean; 550 to 554 are the old ones (RFC 5321 section
/// 4.2.3) of servers that give no other.
fn refused(answer: &Answer, failure: &Failure) -> (String, &'static str) {
    let domain = &failure.recipient.domain;
    let words = answer.text.to_ascii_lowercase();
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
        // RFC 7372: no name for the address, or no sign of who the sender is.
        (Status(_, 7, 25), _) => away(domain),
        (Status(_, 5 | 7 | 0, 0 | 1), _) if is_about_address(&words) => away(domain),
        (Status(_, 7, 20..=24 | 26 | 27), _) => (
            format!("the server of {domain} could not prove that it comes from you"),
            "check the DNS records of your domain (SPF, DKIM and DMARC)",
        ),
        (Status(_, 7, _) | Status(_, 0, 0), _) if words.contains("spam") => (
            format!("the server of {domain} takes it for spam"),
            "write it differently and with fewer links, or reach the recipient in another way",
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

fn away(domain: &Domain) -> (String, &'static str) {
    (
        format!("the server of {domain} does not accept mail from your network address"),
        "send through your provider's server (a smarthost)",
    )
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
    use crate::wire::address::Address;

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
    fn what_servers_say_of_addresses_and_of_spam() {
        let said = |code, status, text: &str| {
            let mut failure = failure(code, status, true);
            failure.reason = Reason::Answered(Answer {
                text: text.into(),
                ..match failure.reason {
                    Reason::Answered(answer) => answer,
                    _ => panic!("an answer"),
                }
            });
            sentence(&failure)
        };
        let smarthost = "does not accept mail from your network address; send through your provider's server";
        for (status, text) in [
            (Some(Status(5, 7, 1)), "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
            (Some(Status(5, 7, 25)), "no PTR record"),
            (None, "Dynamic IP range, see our policy"),
            (None, "rejected by RBL"),
        ] {
            assert!(said(554, status, text).contains(smarthost), "{text}");
        }
        assert!(!said(550, Some(Status(5, 7, 1)), "interrblish").contains(smarthost));
        assert!(said(550, Some(Status(5, 7, 26)), "DMARC").contains("could not prove that it comes from you"));
        assert!(said(554, Some(Status(5, 7, 1)), "Message contains SPAM").contains("takes it for spam"));
    }

    #[test]
    fn waiting_has_its_reasons() {
        let domain = Domain::new("far.example");
        let for_now = |code, status, text: &str| {
            let answer = Answer { said_by_peer: true, status, ..Answer::ours(code, Status(4, 0, 0), text) };
            super::for_now(&Reason::Answered(answer), &domain)
        };
        assert!(for_now(451, Some(Status(4, 7, 1)), "Greylisted, come back").contains("(greylisting)"));
        assert!(for_now(452, Some(Status(4, 2, 2)), "over quota").contains("mailbox is full"));
        assert!(
            for_now(421, Some(Status(4, 7, 0)), "[192.0.2.1] listed at DNSBL").contains("from your network address")
        );
        assert!(for_now(450, None, "later").ends_with("does not take it for now"));
        let late = Failure { gave_up_after: Some(Duration::from_secs(5 * 86400)), ..failure(450, None, true) };
        assert!(sentence(&late).contains(
            "because for 5 days every attempt has failed, the last one because the server of far.example does not take it for \
             now; send it again later"
        ));
    }

    #[test]
    fn time_in_plain_units() {
        let spans = [60, 3600, 3 * 3600, 47 * 3600, 5 * 86400].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["1 minute", "60 minutes", "3 hours", "47 hours", "5 days"]);
    }
}
