//! SASL (RFC 4422), the server's side: SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), PLAIN (RFC 4616) and
//! LOGIN (draft-murchison-sasl-login). Of the client's side SCRAM alone, [`Prover`]: PLAIN and LOGIN are a line each.
//!
//! The exchange between an AUTH command and its answer, the same for SMTP, IMAP and POP3: base64 lines in, base64
//! challenges out, and [`Question`]s to whoever knows the passwords. Not a password store, and no line framing: a line
//! comes in without its CRLF and bounded by its protocol. Always holds: passwords and proofs appear in no Debug output.

mod prep;
mod scram;

pub use prep::prepare;
pub use scram::client::{Binding, NOT_PROVEN, Prover};
pub use scram::{Keys, Secret};

use crate::limits::{SASL_LINE_BYTES_MAX, SASL_NAME_BYTES_MAX, SASL_PASSWORD_BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use scram::Scram;

/// The mechanisms spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 7677, bound to the TLS channel it runs in.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 4616.
    Plain,
    /// Obsolete, still what some mail programs choose first.
    Login,
}

impl Mechanism {
    /// By its name, in any case, if it is offered now.
    pub fn parse(name: &[u8], binding: bool) -> Option<Mechanism> {
        Mechanism::offered(binding).find(|known| known.name().as_bytes().eq_ignore_ascii_case(name))
    }
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
        }
    }
    /// What is offered where login is allowed, strongest first. `binding`: there is a TLS channel to bind to, and it is wanted.
    pub fn offered(binding: bool) -> impl Iterator<Item = Mechanism> {
        [Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login]
            .into_iter()
            .filter(move |mechanism| binding || *mechanism != Mechanism::ScramSha256Plus)
    }
    /// The names of [`Mechanism::offered`], each with this before it.
    pub fn names_offered(binding: bool, before: &str) -> String {
        Mechanism::offered(binding).fold(String::new(), |list, mechanism| list + before + mechanism.name())
    }
}

/// What a TLS connection can prove to be the same at both ends (RFC 5056). Nothing without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// `tls-exporter` (RFC 9266): TLS 1.3 alone.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` (RFC 5929 section 4): a hash of the server's certificate.
    pub end_point: Option<Vec<u8>>,
}

/// What a client says in an exchange, as its protocol hands it on. Debug output hides it.
#[derive(Clone, PartialEq, Eq)]
pub enum Input {
    /// The exchange begins.
    Begin {
        /// With this mechanism.
        mechanism: Mechanism,
        /// The initial response as it stood on the command line: base64, or `=` for an empty one.
        initial: Option<Vec<u8>>,
    },
    /// The answer to a challenge, without its CRLF: base64, or `*` to give up.
    Line(Vec<u8>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::Begin { mechanism, .. } => write!(f, "Begin({})", mechanism.name()),
            Input::Line(_) => write!(f, "Line"),
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

/// What only the keeper of the passwords can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is this password right? [`Exchange::judged`]
    Password(Password),
    /// What is kept of this login's password? [`Exchange::knows`]
    Secret {
        /// As given, prepared (RFC 4013); at most [`SASL_NAME_BYTES_MAX`] bytes, no control characters.
        login: String,
    },
    /// May a client in that has proved to know the password, or has failed to? [`Exchange::judged`]
    Proof {
        /// As in [`Question::Secret`].
        login: String,
        /// Which of the passwords it proves, by its stored key; `None`: none of them.
        right: Option<[u8; 32]>,
    },
}

/// What comes next in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this challenge (base64, may be empty) and call [`Exchange::respond`] with the line that comes back.
    Challenge(String),
    /// Answer this.
    Ask(Question),
    /// The exchange is over, as it was [`Exchange::judged`].
    Over,
    /// The exchange is over: refuse it.
    Refused(SaslTrouble),
}

/// Why an exchange failed before there was anything to judge.
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
    /// A message that asks to act as somebody else.
    OtherIdentity,
    /// The channel is not the one that the client means, or it asks for what is not spoken here; it has been told by SCRAM's
    /// `server-error`.
    NotAgreed,
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
    /// SCRAM.
    Scram(Box<Scram>),
}

/// `Username:` and `Password:`, the words that old clients insist on.
const USERNAME_CHALLENGE: &str = "VXNlcm5hbWU6";
const PASSWORD_CHALLENGE: &str = "UGFzc3dvcmQ6";

impl Exchange {
    /// Begins. `initial` is the initial response as it stood on the command line (base64, or `=` for an empty one);
    /// `bindings` are those of the connection.
    ///
    /// LOGIN is a mechanism in which the server speaks first, but clients that send the name along are common and
    /// unmistakable: it is taken as the answer to the first challenge.
    pub fn begin(mechanism: Mechanism, initial: Option<&[u8]>, bindings: ChannelBindings) -> (Exchange, Step) {
        let mut exchange = match mechanism {
            Mechanism::Plain => Exchange::AwaitPlain,
            Mechanism::Login => Exchange::AwaitLogin,
            Mechanism::ScramSha256 => Exchange::Scram(Box::new(Scram::new(false, bindings))),
            Mechanism::ScramSha256Plus => Exchange::Scram(Box::new(Scram::new(true, bindings))),
        };
        let step = match (initial, mechanism) {
            (Some(b"="), _) => exchange.respond(b""),
            (Some(initial), _) => exchange.respond(initial),
            (None, Mechanism::Login) => Step::Challenge(USERNAME_CHALLENGE.into()),
            (None, _) => Step::Challenge(String::new()),
        };
        (exchange, step)
    }

    /// Goes on with the client's line, without its CRLF.
    pub fn respond(&mut self, line: &[u8]) -> Step {
        self.step(line).unwrap_or_else(Step::Refused)
    }

    /// Answers [`Question::Secret`]. `nonce`: random bytes, new for each exchange.
    pub fn knows(&mut self, secret: Secret, nonce: &[u8; 18]) -> Step {
        match self {
            Exchange::Scram(scram) => scram.knows(secret, nonce),
            _ => Step::Refused(SaslTrouble::Malformed),
        }
    }

    /// Answers the other questions: whether the client may in. SCRAM has a last word to say about it.
    pub fn judged(&mut self, welcome: bool) -> Step {
        match self {
            Exchange::Scram(scram) => scram.judged(welcome),
            _ => Step::Over,
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
            Exchange::AwaitPlain => parse_plain(&response).map(|given| Step::Ask(Question::Password(given))),
            Exchange::AwaitLogin => {
                let login = parse_name(&response)?;
                *self = Exchange::AwaitPassword { login };
                Ok(Step::Challenge(PASSWORD_CHALLENGE.into()))
            }
            Exchange::AwaitPassword { login } => {
                let password = parse_password(&response)?;
                Ok(Step::Ask(Question::Password(Password { login: std::mem::take(login), password })))
            }
            Exchange::Scram(scram) => scram.respond(&response),
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

    fn begin(mechanism: Mechanism, initial: Option<&[u8]>) -> (Exchange, Step) {
        Exchange::begin(mechanism, initial, ChannelBindings::default())
    }

    fn challenge(text: &str) -> Step {
        Step::Challenge(text.into())
    }

    fn check(login: &str, password: &str) -> Step {
        Step::Ask(Question::Password(Password { login: login.into(), password: password.into() }))
    }

    #[test]
    fn plain_with_and_without_initial_response() {
        let (_, step) = begin(Mechanism::Plain, Some(b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm"));
        assert_eq!(step, check("tim", "tanstaaftanstaaf"));
        let (mut exchange, step) = begin(Mechanism::Plain, None);
        assert_eq!(step, challenge(""));
        assert_eq!(exchange.respond(b"dGVzdAB0ZXN0ADEyMzQ="), check("test", "1234"));
    }

    #[test]
    fn login_in_both_forms() {
        let (mut exchange, step) = begin(Mechanism::Login, None);
        assert_eq!(step, challenge("VXNlcm5hbWU6"));
        assert_eq!(exchange.respond(b"dGlt"), challenge("UGFzc3dvcmQ6"));
        assert_eq!(exchange.respond(b"dGFuc3RhYWZ0YW5zdGFhZg=="), check("tim", "tanstaaftanstaaf"));
        let (mut exchange, step) = begin(Mechanism::Login, Some(b"dGlt"));
        assert_eq!(step, challenge("UGFzc3dvcmQ6"));
        assert_eq!(exchange.respond(b""), check("tim", ""));
    }

    #[test]
    fn refusals() {
        let plain = |text: &[u8]| begin(Mechanism::Plain, Some(BASE64.encode(text).as_bytes())).1;
        let raw = |line: &[u8]| begin(Mechanism::Plain, None).0.respond(line);
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
            (begin(Mechanism::Plain, Some(b"=")).1, SaslTrouble::Malformed),
            (begin(Mechanism::Login, Some(b"=")).1, SaslTrouble::Malformed),
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
        assert_eq!(Mechanism::parse(b"plain", false), Some(Mechanism::Plain));
        assert_eq!(Mechanism::parse(b"CRAM-MD5", true), None);
        assert_eq!(Mechanism::parse(b"scram-sha-256-plus", true), Some(Mechanism::ScramSha256Plus));
        assert_eq!(Mechanism::parse(b"SCRAM-SHA-256-PLUS", false), None);
        assert_eq!(Mechanism::names_offered(false, " "), " SCRAM-SHA-256 PLAIN LOGIN");
    }

    proptest! {
        #[test]
        fn any_lines_are_survived(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
            for mechanism in Mechanism::offered(true) {
                let (mut exchange, _) = begin(mechanism, None);
                for line in &lines {
                    let _ = exchange.respond(line);
                    let _ = exchange.respond(BASE64.encode(line).as_bytes());
                }
            }
        }
    }
}
