//! What a server's answer to EHLO offers (RFC 5321 section 4.1.1.1), and what follows for MAIL.

use super::{Answer, Envelope, Status, is_binary};
use crate::wire::address::{Address, ReversePath};
use crate::wire::smtp::{Recipient, dsn};
use std::fmt::Write;

#[derive(Default)]
pub(super) struct Offers {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 7677, bound to the channel.
    pub auth_scram_plus: bool,
    /// RFC 7677.
    pub auth_scram: bool,
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
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 3030.
    binary_mime: bool,
    /// RFC 8689.
    require_tls: bool,
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
                Some("DSN") => offers.dsn = true,
                Some("CHUNKING") => offers.chunking = true,
                Some("BINARYMIME") => offers.binary_mime = true,
                Some("REQUIRETLS") => offers.require_tls = true,
                // RFC 1870 section 4: no number or 0 says that there is no fixed limit.
                Some("SIZE") => {
                    offers.size = Some(words.next().and_then(|limit| limit.parse().ok()).filter(|&limit| limit > 0));
                }
                Some("AUTH") => {
                    for mechanism in words {
                        offers.auth_scram_plus |= mechanism == "SCRAM-SHA-256-PLUS";
                        offers.auth_scram |= mechanism == "SCRAM-SHA-256";
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
            let text = "the server cannot take addresses or headers with letters outside ASCII";
            return Some(Answer::ours(553, Status(5, 6, 7), text));
        }
        if is_binary(envelope) && !(self.chunking && self.binary_mime) {
            let text = "the message is binary, which the server cannot take";
            return Some(Answer::ours(554, Status(5, 6, 3), text));
        }
        // RFC 8689 section 4.2.1; a message without a sender goes all the same (section 5).
        if envelope.parameters.require_tls && envelope.reverse_path != ReversePath::Null && !self.require_tls {
            let text = "the message may only go to servers that promise to send it on by TLS, and this one does not";
            return Some(Answer::ours(550, Status(5, 7, 30), text));
        }
        None
    }

    /// Whether bytes above 127 may stand in the content.
    pub fn takes_eight_bit(&self) -> bool {
        self.eight_bit_mime || self.smtputf8
    }

    /// MAIL with the parameters that the server knows. Content with bytes above 127 has been converted before it comes here
    /// for a server without 8BITMIME; what must not be converted, because it is signed as a whole, goes as it is all the same:
    /// most servers that do not say so take it too.
    pub fn mail_command(&self, envelope: &Envelope) -> String {
        let parameters = &envelope.parameters;
        let mut command = format!("MAIL FROM:<{}>", envelope.reverse_path);
        if self.size.is_some() {
            let _ = write!(command, " SIZE={}", envelope.bytes);
        }
        if is_binary(envelope) {
            command.push_str(" BODY=BINARYMIME");
        } else if self.eight_bit_mime && envelope.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        if needs_smtputf8(envelope) {
            command.push_str(" SMTPUTF8");
        }
        if self.require_tls && parameters.require_tls {
            command.push_str(" REQUIRETLS");
        }
        if self.dsn {
            if let Some(full) = parameters.return_full {
                command.push_str(if full { " RET=FULL" } else { " RET=HDRS" });
            }
            if let Some(id) = &parameters.envelope_id {
                let _ = write!(command, " ENVID={}", dsn::encode_xtext(id));
            }
        }
        command.push_str("\r\n");
        command
    }

    /// RCPT with the parameters that the server knows (RFC 3461 section 5.2.1).
    pub fn rcpt_command(&self, envelope: &Envelope, recipient: &Recipient) -> String {
        let mut command = format!("RCPT TO:<{}>", recipient.address);
        if self.dsn {
            if let Some(notify) = dsn::encode_notify(recipient.parameters.notify) {
                let _ = write!(command, " NOTIFY={notify}");
            }
            if let Some(original) = &recipient.parameters.original {
                let _ = write!(command, " ORCPT={}", dsn::encode_original(original, needs_smtputf8(envelope)));
            }
        }
        command.push_str("\r\n");
        command
    }
}

/// An address outside ASCII in the envelope needs it (RFC 6531 section 3.4), and so does a header that was announced to be.
/// A message that nothing of it needs goes without, and so to servers that cannot.
fn needs_smtputf8(envelope: &Envelope) -> bool {
    let header = envelope.parameters.smtp_utf8 && envelope.eight_bit_header;
    header || addresses(envelope).any(|address| !address.local.is_ascii())
}

fn addresses(envelope: &Envelope) -> impl Iterator<Item = &Address> {
    let sender = match &envelope.reverse_path {
        ReversePath::Null => None,
        ReversePath::Address(address) => Some(address),
    };
    envelope.recipients.iter().map(|recipient| &recipient.address).chain(sender)
}
