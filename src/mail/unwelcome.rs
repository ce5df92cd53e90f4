//! Whether a server refuses mail because of the network address that it comes from, so that another way may help.
//!
//! Receives an answer and what it answers; hands on yes or no. Yes has to be clear: a refusal of the content, of a recipient, of
//! the sender's address or domain, or of too many messages to one mailbox would be the same by any way.

use crate::wire::smtp::client::{Answer, Status, Verb};

/// What servers say of addresses they take no mail from, in small letters, with who says it.
const ABOUT_ADDRESSES: &[&str] = &[
    // Lists, as Postfix's reject_rbl_client, Exim's dnslists and Microsoft, Apple, Proofpoint and many others name them.
    "blocked using",
    "blocked by zen.spamhaus",
    "zen.spamhaus.org",
    "pbl.spamhaus.org",
    "xbl.spamhaus.org",
    "sbl.spamhaus.org",
    "spamhaus.org/query/ip",
    "spamhaus.org/sbl",
    "spamhaus.org/pbl",
    "check.spamhaus.org",
    "listed by spamhaus",
    "listed at spamhaus",
    "policy block list",
    "bl.spamcop.net",
    "b.barracudacentral.org",
    "barracudanetworks.com/reputation",
    "dnsbl",
    "dns-based block",
    "ip address is block listed",
    "ip address is blocklisted",
    "ip address is blacklisted",
    "ip is blacklisted",
    "ip is blocklisted",
    "ip is listed",
    "blacklisted ip",
    "banned sending ip",
    "sending ip address is",
    "sender ip ",
    "your ip address has been",
    "your ip has been",
    "mail from ip ",
    "blocked ip",
    // What kind of line it is.
    "dynamic ip",
    "dynamically assigned",
    "dynamic/",
    "dynamic address",
    "dynamic range",
    "dialup",
    "dial-up",
    "transient ip",
    "residential",
    "consumer ip",
    "use a mailgateway/smarthost",
    // Reverse DNS: RFC 7372 section 3.3 in words; Gmail, GMX and WEB.DE ("Bad DNS PTR resource record"), Postfix
    // (reject_unknown_client_hostname), Comcast, AT&T.
    "reverse dns",
    "reverse hostname",
    "cannot find your hostname",
    "ptr record",
    "ptr resource record",
    "dns ptr",
    "rdns",
    // Reputation: Gmail, Cisco and others.
    "poor reputation",
    "low reputation of the sending ip",
    "reputation of the sending ip",
    "reputation of your ip",
    "bad reputation ip",
    // Gmail: 5.7.1 "The IP you're using to send mail is not authorized to send email directly to our servers."
    "not authorized to send email directly",
    "unsolicited mail originating from your ip",
    // Microsoft: "part of their network is on our block list (S3140)", "(S3150)".
    "network is on our block list",
    "(s3140)",
    "(s3150)",
    // Yahoo and AOL: "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints".
    "[tss04]",
    "[tss05]",
    "[ts03]",
    // Proofpoint and others.
    "client host rejected",
    "client host blocked",
    "host is blocked",
];

/// Whatever else is said: these are about something other than the address.
const ABOUT_OTHER_THINGS: &[&str] = &[
    "url",
    "uri",
    "dbl.spamhaus",
    "surbl",
    "rhsbl",
    "sender address",
    "sender domain",
    "recipient address",
    "user unknown",
    "no such user",
    "mailbox",
    "virus",
    "attachment",
    "message content",
    "content of the message",
    "dmarc",
    "spf",
    "dkim",
    "helo command",
    "greylist",
    "graylist",
];

/// Whether the answer speaks of the address that we come from. It may be for good or for now.
pub fn is_about_our_address(answer: &Answer, verb: Verb) -> bool {
    if !answer.said_by_peer || !matches!(answer.code, 400..=599) {
        return false;
    }
    // 530, 534, 535, 538: a login or TLS is missing (RFC 4954 section 6). 552, 553: size and names.
    if matches!(answer.code, 452 | 530 | 534 | 535 | 538 | 552) || matches!(verb, Verb::Auth | Verb::StartTls) {
        return false;
    }
    match answer.status {
        // RFC 7372 section 3.3: reverse DNS validation failed.
        Some(Status(_, 7, 25)) => return true,
        // RFC 3463 sections 3.2 to 3.7: addresses, mailboxes, sizes, content. RFC 7372: DKIM, SPF, several of them.
        Some(Status(_, 1..=3 | 6, _) | Status(_, 7, 20..=24 | 26)) => return false,
        _ => {}
    }
    let text = answer.text.to_lowercase();
    if ABOUT_OTHER_THINGS.iter().any(|other| says(&text, other)) {
        return false;
    }
    // t-online.de: "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help ...)".
    let by_number = verb == Verb::Greeting && text.starts_with("ip=");
    by_number || ABOUT_ADDRESSES.iter().any(|phrase| says(&text, phrase))
}

/// Whether a text holds a phrase, not as the middle of a word.
fn says(text: &str, phrase: &str) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    memchr::memmem::find_iter(text.as_bytes(), phrase.as_bytes()).any(|at| {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        let starts_with_letter = phrase.starts_with(|c: char| c.is_ascii_alphanumeric());
        !(starts_with_letter && is_letter(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::smtp::client::AnswerReader;

    fn answer(line: &str) -> Answer {
        let (_, answer) = AnswerReader::default().read(format!("{line}\r\n").as_bytes());
        answer.expect("whole").expect("an answer")
    }

    #[test]
    fn refusals_of_the_line_are_known() {
        use Verb::*;
        for (verb, line) in [
            (
                Greeting,
                "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact tosa@rx.t-online.de to clarify.)",
            ),
            (
                Greeting,
                "554 IP=192.0.2.1 - Dialup/transient IP not allowed. Use a mailgateway/smarthost or contact tobr@rx.t-online.de to clarify.",
            ),
            (
                Greeting,
                "554-gmx.net (mxgmx017) Nemesis ESMTP Service not available\r\n554-No SMTP service\r\n554-IP address is block listed.\r\n554 For explanation visit https://postmaster.gmx.net/en/case?c=r0201",
            ),
            (
                Greeting,
                "554-web.de (mxweb113) Nemesis ESMTP Service not available\r\n554-No SMTP service\r\n554-Bad DNS PTR resource record.\r\n554 For explanation visit https://postmaster.web.de/en/case?c=rdns1",
            ),
            (
                Greeting,
                "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
            ),
            (
                Greeting,
                "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1",
            ),
            (
                Mail,
                "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150). You can also refer your provider to http://mail.live.com/mail/troubleshooting.aspx#errors. [AM6EUR05FT006.eop-eur05.prod.protection.outlook.com]",
            ),
            (
                Rcpt,
                "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit https://sender.office.com/",
            ),
            (Rcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using pbl.spamhaus.org"),
            (Rcpt, "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"),
            (Rcpt, "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]"),
            (
                Content,
                "550-5.7.1 [192.0.2.1] The IP you're using to send mail is not authorized to\r\n550-5.7.1 send email directly to our servers. Please use the SMTP relay at your\r\n550 5.7.1 service provider instead. Learn more at https://support.google.com/mail/?p=NotAuthorizedError",
            ),
            (
                Content,
                "550-5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR\r\n550 5.7.25 record setup, or the corresponding forward DNS entry does not match the sending IP.",
            ),
            (
                Content,
                "421-4.7.0 [192.0.2.1 15] Our system has detected an unusual rate of\r\n421-4.7.0 unsolicited mail originating from your IP address. To protect our\r\n421 4.7.0 users from spam, mail sent from your IP address has been temporarily",
            ),
            (
                Content,
                "550-5.7.1 [192.0.2.1 19] Our system has detected that this message is likely suspicious due to the very low reputation of the sending IP\r\n550 5.7.1 address.",
            ),
            (Ehlo, "521 5.7.1 Service unavailable; client [192.0.2.1] is in a dynamic IP range"),
            (
                Greeting,
                "554 resimta-po-14v.sys.comcast.net comcast 192.0.2.1 found on one or more DNSBLs, see http://postmaster.comcast.net/smtp-error-codes.php#BL000001",
            ),
            (
                Greeting,
                "554 Your access to this mail system has been rejected due to the sending MTA's poor reputation. If you believe that this failure is in error, please contact the intended recipient via alternate means.",
            ),
        ] {
            assert!(is_about_our_address(&answer(line), verb), "{line}");
        }
    }

    #[test]
    fn refusals_of_anything_else_are_not() {
        use Verb::*;
        for (verb, line) in [
            (Rcpt, "550 5.1.1 <bob@far.example>: Recipient address rejected: User unknown in virtual mailbox table"),
            (
                Rcpt,
                "550-5.1.1 The email account that you tried to reach does not exist.\r\n550 5.1.1 https://support.google.com/mail/?p=NoSuchUser",
            ),
            (
                Rcpt,
                "450 4.2.0 <bob@far.example>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/far.example.html",
            ),
            (Rcpt, "451 4.7.1 Please try again later"),
            (Rcpt, "452 4.2.2 The recipient's inbox is out of storage space"),
            (Content, "554 5.7.1 Message contains spam or virus. blocked using our filter"),
            (Content, "550 5.7.1 Message rejected: a URL in it is listed by Spamhaus, see dbl.spamhaus.org"),
            (
                Content,
                "550-5.7.26 This mail has been blocked because the sender is unauthenticated.\r\n550 5.7.26 SPF [home.example] with ip: [192.0.2.1] = did not pass",
            ),
            (
                Mail,
                "554 5.7.1 <me@home.example>: Sender address rejected: Access denied; blocked using rhsbl.far.example",
            ),
            (Mail, "553 5.1.8 Sender domain home.example does not exist"),
            (Content, "554 5.7.1 Delivery not authorized, message refused"),
            (Greeting, "421 4.3.2 Too many connections from your host, try again later"),
            (Greeting, "554 5.3.2 This system takes no mail"),
            (Mail, "530 5.7.0 Must issue a STARTTLS command first"),
            (Auth, "535 5.7.8 your IP address has been blocked after too many wrong passwords"),
            (Ehlo, "550 5.7.1 <host>: Helo command rejected: dynamic IP names are not allowed"),
            (Content, "552 5.3.4 Message size exceeds fixed limit"),
            (Rcpt, "250 2.1.5 blocked using nothing"),
        ] {
            assert!(!is_about_our_address(&answer(line), verb), "{line}");
        }
        let mut ours = answer("550 5.7.25 no PTR record");
        ours.said_by_peer = false;
        assert!(!is_about_our_address(&ours, Verb::Mail));
    }
}
