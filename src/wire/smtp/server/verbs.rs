//! What each verb does once the table allows it.

use super::{Body, Envelope, Hello, LoginAnswer, Offered, Role, Server, State, Want};
use crate::limits::*;
use crate::wire::sasl::{Input, Mechanism, SaslTrouble};
use crate::wire::smtp::command::{self, Verb};
use crate::wire::smtp::reply::{Reply, replies};
use std::borrow::Cow;

impl Server {
    /// Runs a verb that may be obeyed in this state.
    pub(super) fn run<'i>(&mut self, verb: Verb, argument: &[u8], out: &mut Vec<u8>) -> Option<Want<'i>> {
        let chunks_begun = matches!(self.state, State::AwaitChunk(..));
        let outcome = match verb {
            Verb::Mail => self.mail(argument),
            Verb::Rcpt => self.rcpt(argument, out),
            Verb::Data => self.data(argument),
            Verb::Bdat => return self.bdat(argument, out),
            Verb::Quit if argument.is_empty() => return self.close_with(replies::BYE, out),
            Verb::Quit => Err(replies::NO_ARGUMENT),
            _ => {
                self.idle_commands += 1;
                if self.idle_commands > SMTP_IDLE_COMMANDS_MAX {
                    return self.close_with(replies::TOO_MUCH_IDLE_TALK, out);
                }
                match verb {
                    Verb::Helo => self.greeted(argument, false, out).map(|()| None),
                    Verb::Ehlo => self.greeted(argument, true, out).map(|()| None),
                    Verb::StartTls => self.starttls(argument, out).map(Some),
                    Verb::Auth => return self.auth(argument, out),
                    _ => self.small_talk(verb, argument, out).map(|()| None),
                }
            }
        };
        match outcome {
            Ok(None) if chunks_begun && !matches!(self.state, State::AwaitChunk(..)) => Some(Want::Forget),
            Ok(want) => want,
            Err(refusal) => {
                self.refuse(refusal, out);
                None
            }
        }
    }

    /// HELO and EHLO (RFC 5321 section 4.1.1.1); both give up a message begun.
    fn greeted(&mut self, argument: &[u8], extended: bool, out: &mut Vec<u8>) -> Result<(), Reply> {
        let (name, _) = command::split_word(argument);
        if !crate::wire::address::is_helo_name(name) {
            return Err(replies::BAD_HELO);
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let greeting = format!("{} greets {name}", self.settings.hostname);
        self.hello = Some(Hello { name, extended });
        self.state = State::AwaitMail;
        if !extended {
            Reply::new(250, "", "").saying(greeting).encode(out);
            return Ok(());
        }
        let size = format!("SIZE {}", self.settings.message_bytes_max);
        let mut lines: Vec<Cow<str>> = vec![greeting.into(), "PIPELINING".into(), size.into(), "8BITMIME".into()];
        lines.extend(["ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", "CHUNKING"].map(Cow::from));
        let offered = self.offered();
        if offered.binary {
            lines.push("BINARYMIME".into());
        }
        // RFC 9422 section 4: what this server refuses beyond.
        lines.push(format!("LIMITS MAILMAX={SMTP_MESSAGES_MAX} RCPTMAX={SMTP_RECIPIENTS_MAX}").into());
        lines.extend(offered.hold.map(|bounds| bounds.keyword().into()));
        if self.settings.starttls && !self.settings.tls {
            lines.push("STARTTLS".into());
        }
        if offered.require_tls {
            lines.push("REQUIRETLS".into());
        }
        if self.offers_login() {
            lines.push(format!("AUTH{}", Mechanism::names_offered(self.binding(), " ")).into());
        }
        Reply::encode_lines(250, lines, out);
        Ok(())
    }

    fn binding(&self) -> bool {
        self.settings.tls && self.settings.channel_binding
    }

    fn offers_login(&self) -> bool {
        self.settings.role == Role::Submission && (self.settings.tls || self.settings.plaintext_login)
    }

    /// The extensions that depend on who is asking, and how.
    fn offered(&self) -> Offered {
        Offered {
            auth: self.offers_login(),
            // What the owner sends must be fit to be relayed, and few servers take binary mail.
            binary: self.settings.role == Role::Mx,
            // RFC 8689 section 2: only over TLS.
            require_tls: self.settings.tls,
            hold: self.settings.hold,
        }
    }

    fn mail<'i>(&mut self, argument: &[u8]) -> Result<Option<Want<'i>>, Reply> {
        if self.settings.role == Role::Submission && !self.logged_in {
            return Err(if self.offers_login() { replies::LOGIN_FIRST } else { replies::TLS_FIRST });
        }
        if self.messages >= SMTP_MESSAGES_MAX {
            return Err(replies::TOO_MANY_MESSAGES);
        }
        let mail = command::parse_mail(argument, self.offered())?;
        if mail.declared_bytes.is_some_and(|bytes| bytes > self.settings.message_bytes_max) {
            let max = self.settings.message_bytes_max;
            return Err(replies::TOO_LARGE.saying(format!("Message too large, the limit is {max} bytes")));
        }
        self.state = State::SenderAsked(Envelope {
            reverse_path: mail.reverse_path,
            declared_bytes: mail.declared_bytes,
            parameters: mail.parameters,
            recipients: Vec::new(),
        });
        Ok(Some(Want::Sender))
    }

    fn rcpt<'i>(&mut self, argument: &[u8], out: &mut Vec<u8>) -> Result<Option<Want<'i>>, Reply> {
        let smtp_utf8 = self.envelope().is_some_and(|envelope| envelope.parameters.smtp_utf8);
        let (forward_path, parameters) = command::parse_rcpt(argument, smtp_utf8)?;
        match std::mem::replace(&mut self.state, State::AwaitMail) {
            State::AwaitData(envelope) if envelope.recipients.len() >= SMTP_RECIPIENTS_MAX => {
                self.state = State::AwaitData(envelope);
                self.recipients_beyond += 1;
                if self.recipients_beyond > SMTP_RECIPIENTS_BEYOND_MAX {
                    return Err(replies::TOO_MANY_ERRORS);
                }
                // RFC 5321 section 4.5.3.1.10: the others must get the message, so this counts as no error.
                replies::TOO_MANY_RECIPIENTS.encode(out);
                Ok(None)
            }
            State::AwaitRecipient(envelope) | State::AwaitData(envelope) => {
                self.state = State::RecipientAsked(envelope, parameters);
                Ok(Some(Want::Recipient(forward_path)))
            }
            other => {
                self.state = other;
                Err(replies::MAIL_FIRST)
            }
        }
    }

    fn data<'i>(&mut self, argument: &[u8]) -> Result<Option<Want<'i>>, Reply> {
        if !argument.is_empty() {
            return Err(replies::NO_ARGUMENT);
        }
        match std::mem::replace(&mut self.state, State::AwaitMail) {
            State::AwaitData(envelope) if envelope.parameters.body == Body::BinaryMime => {
                self.state = State::AwaitData(envelope);
                Err(replies::BINARY_NEEDS_CHUNKS)
            }
            State::AwaitData(envelope) => {
                self.state = State::DataAsked(envelope, None);
                Ok(Some(Want::Data))
            }
            other => {
                self.state = other;
                Err(replies::RECIPIENT_FIRST)
            }
        }
    }

    /// BDAT (RFC 3030 section 2): its octets come at once.
    fn bdat<'i>(&mut self, argument: &[u8], out: &mut Vec<u8>) -> Option<Want<'i>> {
        let Some(chunk) = command::parse_bdat(argument) else { return self.close_with(replies::BAD_CHUNK, out) };
        match std::mem::replace(&mut self.state, State::AwaitMail) {
            State::AwaitData(envelope) => {
                self.state = State::DataAsked(envelope, Some(chunk));
                Some(Want::Data)
            }
            State::AwaitChunk(envelope, mut chunks) => {
                // An empty chunk brings the message no further than a NOOP does.
                self.idle_commands += u32::from(chunk.bytes == 0);
                if self.idle_commands > SMTP_IDLE_COMMANDS_MAX {
                    return self.close_with(replies::TOO_MUCH_IDLE_TALK, out);
                }
                chunks.begin(chunk);
                self.state = State::ReceivingChunk(envelope, chunks);
                None
            }
            other => {
                self.state = other;
                self.close_with(replies::OUT_OF_STEP, out)
            }
        }
    }

    /// BDAT where it may not stand: its octets come all the same.
    pub(super) fn refuse_chunk<'i>(&mut self, argument: &[u8], refusal: Reply, out: &mut Vec<u8>) -> Option<Want<'i>> {
        let Some(chunk) = command::parse_bdat(argument) else { return self.close_with(replies::BAD_CHUNK, out) };
        let then = std::mem::replace(&mut self.state, State::AwaitMail);
        self.discard(chunk, refusal, then);
        None
    }

    /// RSET, NOOP, VRFY, EXPN, HELP.
    fn small_talk(&mut self, verb: Verb, argument: &[u8], out: &mut Vec<u8>) -> Result<(), Reply> {
        match verb {
            Verb::Rset if !argument.is_empty() => return Err(replies::NO_ARGUMENT),
            Verb::Rset => {
                if !matches!(self.state, State::AwaitHello) {
                    self.state = State::AwaitMail;
                }
                replies::OK.encode(out);
            }
            Verb::Noop => replies::OK.encode(out),
            Verb::Vrfy => {
                command::check_vrfy(argument)?;
                replies::CANNOT_VERIFY.encode(out);
            }
            Verb::Expn => return Err(replies::NO_EXPN),
            _ => {
                // RFC 2034 section 4: the code stands in every line.
                let lines = [
                    "2.0.0 Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH HELP QUIT",
                    "2.0.0 See RFC 5321",
                ];
                Reply::encode_lines(214, lines.map(Cow::from), out);
            }
        }
        Ok(())
    }

    fn starttls<'i>(&mut self, argument: &[u8], out: &mut Vec<u8>) -> Result<Want<'i>, Reply> {
        if self.settings.tls {
            return Err(replies::TLS_ALREADY);
        }
        if !self.settings.starttls {
            return Err(replies::NO_STARTTLS);
        }
        if !argument.is_empty() {
            return Err(replies::NO_ARGUMENT);
        }
        self.state = State::TlsAsked;
        replies::START_TLS.encode(out);
        Ok(Want::StartTls)
    }

    /// AUTH (RFC 4954 section 4).
    fn auth<'i>(&mut self, argument: &[u8], out: &mut Vec<u8>) -> Option<Want<'i>> {
        let (name, initial) = command::split_word(argument);
        let refusal = if self.settings.role == Role::Mx {
            replies::AUTH_NOT_HERE
        } else if self.logged_in {
            replies::AUTH_ALREADY
        } else if !self.offers_login() {
            replies::AUTH_NEEDS_TLS
        } else if name.is_empty() {
            replies::NEEDS_ARGUMENT
        } else if let Some(mechanism) = Mechanism::parse(name, self.binding()) {
            self.state = State::LoginAsked;
            let initial = (!initial.is_empty()).then(|| initial.to_vec());
            return Some(Want::Login(Input::Begin { mechanism, initial }));
        } else {
            replies::AUTH_UNKNOWN
        };
        self.refuse(refusal, out);
        None
    }

    /// Answers [`Want::Login`].
    pub fn answer_login(&mut self, answer: LoginAnswer, out: &mut Vec<u8>) {
        if !matches!(std::mem::replace(&mut self.state, State::AwaitMail), State::LoginAsked) {
            return self.close(replies::OUT_OF_STEP, out);
        }
        match answer {
            LoginAnswer::Challenge(challenge) => {
                self.state = State::AwaitSasl;
                Reply::new(334, "", "").saying(challenge).encode(out);
            }
            LoginAnswer::Welcome => {
                self.logged_in = true;
                replies::WELCOME.encode(out);
            }
            LoginAnswer::NotAllowed => {
                self.logins_failed += 1;
                replies::AUTH_NOT_ALLOWED.encode(out);
                if self.logins_failed >= SMTP_LOGINS_FAILED_MAX {
                    self.close(replies::TOO_MANY_LOGINS, out);
                }
            }
            LoginAnswer::Unavailable => replies::AUTH_UNAVAILABLE.encode(out),
            LoginAnswer::TooMany => self.close(replies::TOO_MANY_LOGINS, out),
            LoginAnswer::Wrong => {
                self.logins_failed += 1;
                replies::AUTH_WRONG.encode(out);
                if self.logins_failed >= SMTP_LOGINS_FAILED_MAX {
                    self.close(replies::TOO_MANY_LOGINS, out);
                }
            }
            LoginAnswer::Refused(trouble) => {
                let refusal = match trouble {
                    SaslTrouble::Cancelled => replies::AUTH_CANCELLED,
                    SaslTrouble::NotBase64 => replies::AUTH_NOT_BASE64,
                    SaslTrouble::TooLong => replies::AUTH_LINE_TOO_LONG,
                    SaslTrouble::Malformed => replies::AUTH_MALFORMED,
                    SaslTrouble::OtherIdentity => replies::AUTH_WRONG,
                    SaslTrouble::NotAgreed => replies::AUTH_NOT_AGREED,
                };
                self.refuse(refusal, out);
            }
        }
    }
}
