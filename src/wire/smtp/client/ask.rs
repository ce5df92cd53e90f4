//! A question instead of a message: MAIL and RCPT, then RSET.
//!
//! Receives a recipient; the verdict is the server's answer to RCPT, or to MAIL when it does not get that far. Never sends DATA.

use super::{Answer, Client, Envelope, State, Verb, Verdict, refusal};
use crate::wire::address::ReversePath;
use crate::wire::smtp::{MailParameters, Recipient};

impl Client {
    /// Asks whether mail for the recipient is taken, on behalf of nobody; only when [`super::Want::Envelope`] and without verdicts
    /// waiting. [`Verdict::Delivered`] means yes; nothing has been sent.
    pub fn ask(&mut self, recipient: Recipient, out: &mut Vec<u8>) {
        if !matches!(self.state, State::Ready) {
            self.verdicts = Some(vec![Verdict::Cut { after_dot: false }]);
            return;
        }
        let question = Envelope {
            reverse_path: ReversePath::Null,
            parameters: MailParameters::default(),
            recipients: vec![recipient],
            bytes: 0,
            eight_bit: false,
            eight_bit_header: false,
        };
        if let Some(refusal) = self.offers.refuse(&question) {
            self.verdicts = Some(vec![Verdict::Permanent(refusal, Verb::Mail)]);
            return;
        }
        out.extend_from_slice(self.offers.mail_command(&question).as_bytes());
        self.state = State::AsksMail(question);
    }

    pub(super) fn on_asked_mail(&mut self, question: &Envelope, answer: Answer, out: &mut Vec<u8>) {
        match question.recipients.first() {
            Some(recipient) if answer.is_positive() => {
                out.extend_from_slice(self.offers.rcpt_command(question, recipient).as_bytes());
                self.state = State::AsksRcpt;
            }
            _ => {
                self.verdicts = Some(vec![refusal(answer, Verb::Mail)]);
                self.state = State::Ready;
            }
        }
    }

    pub(super) fn on_asked_rcpt(&mut self, answer: Answer, out: &mut Vec<u8>) {
        let verdict = if answer.is_positive() { Verdict::Delivered(answer) } else { refusal(answer, Verb::Rcpt) };
        self.verdicts = Some(vec![verdict]);
        out.extend_from_slice(b"RSET\r\n");
        self.state = State::AwaitReset(0);
    }
}
