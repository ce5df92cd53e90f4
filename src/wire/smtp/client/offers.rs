//! What a server's answer to EHLO offers (RFC 5321 section 4.1.1.1), and what follows for MAIL.

use super::{Answer, Envelope, Status};
use crate::wire::address::{Address, ReversePath};

#[derive(Default)]
pub(super) struct Offers {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 4616.
    pub auth_plain: bool,
    /// draft-murchison-sasl-login.
    pub auth_login: bool,
    /// RFC 1870: offered, and the limit in bytes when it is fixed.
    size: Option<Option<u64>>,
    /// RFC 6152.
    eight_bit_mime: bool,
    /// RFC 6531.
    smtputf8: bool,
}

impl Offers {
    /// Reads the lines of a 250 answer to EHLO. The first names the server. Unknown keywords are passed over.
    pub fn read(lines: &[String]) -> Offers {
        let mut offers = Offers::default();
        for line in lines.iter().skip(1) {
            // `AUTH=PLAIN` is how servers before RFC 4954 wrote it.
            let upper = line.to_ascii_uppercase().replacen("AUTH=", "AUTH ", 1);
            let mut words = upper.split_ascii_whitespace();
            match words.next() {
                Some("PIPELINING") => offers.pipelining = true,
                Some("STARTTLS") => offers.starttls = true,
                Some("8BITMIME") => offers.eight_bit_mime = true,
                Some("SMTPUTF8") => offers.smtputf8 = true,
                // RFC 1870 section 4: no number or 0 says that there is no fixed limit.
                Some("SIZE") => {
                    offers.size = Some(words.next().and_then(|limit| limit.parse().ok()).filter(|&limit| limit > 0));
                }
                Some("AUTH") => {
                    for mechanism in words {
                        offers.auth_plain |= mechanism == "PLAIN";
                        offers.auth_login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        offers
    }

    /// What need not be asked because the offers already rule it out.
    pub fn refuse(&self, envelope: &Envelope) -> Option<Answer> {
        if addresses(envelope).any(|address| address.to_string().chars().any(char::is_control)) {
            return Some(Answer::ours(553, Status(5, 1, 3), "the address has control characters"));
        }
        if let Some(Some(limit)) = self.size
            && envelope.bytes > limit
        {
            let text = format!("the message has {} bytes, the server takes at most {limit}", envelope.bytes);
            return Some(Answer::ours(552, Status(5, 3, 4), text));
        }
        if needs_smtputf8(envelope) && !self.smtputf8 {
            let text = "the server cannot take addresses with letters outside ASCII";
            return Some(Answer::ours(553, Status(5, 6, 7), text));
        }
        None
    }

    /// MAIL with the parameters that the server knows. Content with bytes above 127 for a server without 8BITMIME is sent
    /// as it is: servers that do not say so take it too, and rewriting the body would break its signatures.
    pub fn mail_command(&self, envelope: &Envelope) -> String {
        let mut command = format!("MAIL FROM:<{}>", envelope.reverse_path);
        if self.size.is_some() {
            command.push_str(&format!(" SIZE={}", envelope.bytes));
        }
        if self.eight_bit_mime && envelope.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        if self.smtputf8 && needs_smtputf8(envelope) {
            command.push_str(" SMTPUTF8");
        }
        command.push_str("\r\n");
        command
    }
}

/// RFC 6531 section 3.4: an address outside ASCII in the envelope needs it.
fn needs_smtputf8(envelope: &Envelope) -> bool {
    addresses(envelope).any(|address| !address.local.is_ascii() || !address.domain.as_str().is_ascii())
}

fn addresses(envelope: &Envelope) -> impl Iterator<Item = &Address> {
    let sender = match &envelope.reverse_path {
        ReversePath::Null => None,
        ReversePath::Address(address) => Some(address),
    };
    envelope.recipients.iter().chain(sender)
}
