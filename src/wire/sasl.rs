//! SASL (RFC 4422), the server's side: PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login).
//!
//! The exchange between an AUTH command and its answer, the same for SMTP, IMAP and POP3: base64 lines in, base64
//! challenges out, at the end a login and a password to check. Not a password check, and no line framing: a line comes in
//! without its CRLF and bounded by its protocol. Always holds: the password appears in no Debug output.

use crate::limits::{SASL_LINE_BYTES_MAX, SASL_NAME_BYTES_MAX, SASL_PASSWORD_BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The mechanisms spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Obsolete, still what some mail programs choose first.
    Login,
}

impl Mechanism {
    /// By its name, in any case.
    pub fn parse(name: &[u8]) -> Option<Mechanism> {
        [Mechanism::Plain, Mechanism::Login]
            .into_iter()
            .find(|known| known.name().as_bytes().eq_ignore_ascii_case(name))
    }
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
        }
    }
}

/// A login and its password, to be checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// As given: an address or a local part; at most [`SASL_NAME_BYTES_MAX`] bytes, no control characters.
    pub login: String,
    /// As given; at most [`SASL_PASSWORD_BYTES_MAX`] bytes, no NUL.
    pub password: String,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Password(login {:?})", self.login)
    }
}

/// What comes next in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this challenge (base64, may be empty) and call [`Exchange::respond`] with the line that comes back.
    Challenge(&'static str),
    /// The exchange is over: check this.
    Check(Password),
    /// The exchange is over: refuse it.
    Refused(SaslTrouble),
}

/// Why an exchange failed before there was a password to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslTrouble {
    /// The client sent `*`.
    Cancelled,
    /// Not base64 (RFC 4648 section 4, padding required, nothing ignored).
    NotBase64,
    /// Longer than [`SASL_LINE_BYTES_MAX`], or a name or password longer than its bound.
    TooLong,
    /// Base64 of something that is not this mechanism's message.
    Malformed,
    /// A PLAIN message that asks to act as somebody else.
    OtherIdentity,
}

/// One exchange.
#[derive(Debug)]
pub enum Exchange {
    /// The PLAIN message is awaited.
    AwaitPlain,
    /// LOGIN: the login name is awaited.
    AwaitLogin,
    /// LOGIN: the password is awaited.
    AwaitPassword {
        /// What came first.
        login: String,
    },
}

/// `Username:` and `Password:`, the words that old clients insist on.
const USERNAME_CHALLENGE: &str = "VXNlcm5hbWU6";
const PASSWORD_CHALLENGE: &str = "UGFzc3dvcmQ6";

impl Exchange {
    /// Begins. `initial` is the initial response as it stood on the command line (base64, or `=` for an empty one).
    ///
    /// LOGIN is a mechanism in which the server speaks first, but clients that send the name along are common and
    /// unmistakable: it is taken as the answer to the first challenge.
    pub fn begin(mechanism: Mechanism, initial: Option<&[u8]>) -> (Exchange, Step) {
        let mut exchange = match mechanism {
            Mechanism::Plain => Exchange::AwaitPlain,
            Mechanism::Login => Exchange::AwaitLogin,
        };
        let step = match (initial, mechanism) {
            (Some(b"="), _) => exchange.respond(b""),
            (Some(initial), _) => exchange.respond(initial),
            (None, Mechanism::Plain) => Step::Challenge(""),
            (None, Mechanism::Login) => Step::Challenge(USERNAME_CHALLENGE),
        };
        (exchange, step)
    }

    /// Goes on with the client's line, without its CRLF.
    pub fn respond(&mut self, line: &[u8]) -> Step {
        match self.step(line) {
            Ok(step) => step,
            Err(trouble) => Step::Refused(trouble),
        }
    }

    fn step(&mut self, line: &[u8]) -> Result<Step, SaslTrouble> {
        if line == b"*" {
            return Err(SaslTrouble::Cancelled);
        }
        if line.len() > SASL_LINE_BYTES_MAX {
            return Err(SaslTrouble::TooLong);
        }
        let response = BASE64.decode(line).map_err(|_| SaslTrouble::NotBase64)?;
        match self {
            Exchange::AwaitPlain => parse_plain(&response).map(Step::Check),
            Exchange::AwaitLogin => {
                let login = parse_name(&response)?;
                *self = Exchange::AwaitPassword { login };
                Ok(Step::Challenge(PASSWORD_CHALLENGE))
            }
            Exchange::AwaitPassword { login } => {
                let password = parse_password(&response)?;
                Ok(Step::Check(Password { login: std::mem::take(login), password }))
            }
        }
    }
}

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 section 2).
fn parse_plain(message: &[u8]) -> Result<Password, SaslTrouble> {
    let mut parts = message.split(|&byte| byte == 0);
    let (Some(identity), Some(login), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslTrouble::Malformed);
    };
    let login = parse_name(login)?;
    if !identity.is_empty() && !identity.eq_ignore_ascii_case(login.as_bytes()) {
        return Err(SaslTrouble::OtherIdentity);
    }
    Ok(Password { login, password: parse_password(password)? })
}

fn parse_name(bytes: &[u8]) -> Result<String, SaslTrouble> {
    if bytes.len() > SASL_NAME_BYTES_MAX {
        return Err(SaslTrouble::TooLong);
    }
    let name = std::str::from_utf8(bytes).map_err(|_| SaslTrouble::Malformed)?;
    if name.is_empty() || name.chars().any(char::is_control) { Err(SaslTrouble::Malformed) } else { Ok(name.into()) }
}

fn parse_password(bytes: &[u8]) -> Result<String, SaslTrouble> {
    if bytes.len() > SASL_PASSWORD_BYTES_MAX {
        return Err(SaslTrouble::TooLong);
    }
    let password = std::str::from_utf8(bytes).map_err(|_| SaslTrouble::Malformed)?;
    if password.contains('\0') { Err(SaslTrouble::Malformed) } else { Ok(password.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(login: &str, password: &str) -> Step {
        Step::Check(Password { login: login.into(), password: password.into() })
    }

    #[test]
    fn plain_with_and_without_initial_response() {
        let (_, step) = Exchange::begin(Mechanism::Plain, Some(b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm"));
        assert_eq!(step, check("tim", "tanstaaftanstaaf"));
        let (mut exchange, step) = Exchange::begin(Mechanism::Plain, None);
        assert_eq!(step, Step::Challenge(""));
        assert_eq!(exchange.respond(b"dGVzdAB0ZXN0ADEyMzQ="), check("test", "1234"));
    }

    #[test]
    fn login_in_both_forms() {
        let (mut exchange, step) = Exchange::begin(Mechanism::Login, None);
        assert_eq!(step, Step::Challenge("VXNlcm5hbWU6"));
        assert_eq!(exchange.respond(b"dGlt"), Step::Challenge("UGFzc3dvcmQ6"));
        assert_eq!(exchange.respond(b"dGFuc3RhYWZ0YW5zdGFhZg=="), check("tim", "tanstaaftanstaaf"));
        let (mut exchange, step) = Exchange::begin(Mechanism::Login, Some(b"dGlt"));
        assert_eq!(step, Step::Challenge("UGFzc3dvcmQ6"));
        assert_eq!(exchange.respond(b""), check("tim", ""));
    }

    #[test]
    fn refusals() {
        let plain = |text: &[u8]| Exchange::begin(Mechanism::Plain, Some(BASE64.encode(text).as_bytes())).1;
        let raw = |line: &[u8]| Exchange::begin(Mechanism::Plain, None).0.respond(line);
        for (step, trouble) in [
            (raw(b"*"), SaslTrouble::Cancelled),
            (raw(b"=AAA"), SaslTrouble::NotBase64),
            (raw(b"AAA=BBB="), SaslTrouble::NotBase64),
            (raw(b"dGl t"), SaslTrouble::NotBase64),
            (raw(b"dGVzdAB0ZXN0ADEyMzQ"), SaslTrouble::NotBase64),
            (raw(&vec![b'A'; SASL_LINE_BYTES_MAX + 4]), SaslTrouble::TooLong),
            (raw(b""), SaslTrouble::Malformed),
            (plain(b"\0tim"), SaslTrouble::Malformed),
            (plain(b"\0tim\0a\0b"), SaslTrouble::Malformed),
            (plain(b"\0\0secret"), SaslTrouble::Malformed),
            (plain(b"\0ti\nm\0secret"), SaslTrouble::Malformed),
            (plain(b"\0tim\0\xff"), SaslTrouble::Malformed),
            (plain(b"tom\0tim\0secret"), SaslTrouble::OtherIdentity),
            (plain(&[&[0][..], &[b'a'; SASL_NAME_BYTES_MAX + 1], b"\0x"].concat()), SaslTrouble::TooLong),
            (Exchange::begin(Mechanism::Plain, Some(b"=")).1, SaslTrouble::Malformed),
            (Exchange::begin(Mechanism::Login, Some(b"=")).1, SaslTrouble::Malformed),
        ] {
            assert_eq!(step, Step::Refused(trouble));
        }
        assert_eq!(plain(b"TIM\0tim\0secret"), check("tim", "secret"));
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(!format!("{:?}", check("tim", "secret")).contains("secret"));
    }

    #[test]
    fn names() {
        assert_eq!(Mechanism::parse(b"plain"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::parse(b"CRAM-MD5"), None);
    }

    proptest! {
        #[test]
        fn any_lines_are_survived(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
            for mechanism in [Mechanism::Plain, Mechanism::Login] {
                let (mut exchange, _) = Exchange::begin(mechanism, None);
                for line in &lines {
                    let _ = exchange.respond(line);
                    let _ = exchange.respond(BASE64.encode(line).as_bytes());
                }
            }
        }
    }
}
