//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the server's side; the client's is in [`client`].
//!
//! Receives the client's messages, decoded, what is kept of its password, and a nonce; hands on challenges and the
//! question whether a client that has proved itself may in. What always holds: a proof is compared in constant time; a
//! client that could have bound the channel and was made to believe that we cannot is refused (RFC 5802 section 6); a
//! wrong password and an unknown login get the same words.

pub(super) mod client;

use super::{BASE64, ChannelBindings, Question, SaslTrouble, Step, parse_name, prepare};
use crate::limits::SCRAM_CLIENT_NONCE_BYTES_MAX;
use base64::Engine;
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

/// What is kept instead of a password (RFC 5802 section 3), or what stands for it when the login is unknown. Debug output
/// hides the keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Of the password hash.
    pub salt: [u8; 16],
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// Of each password that is right, at least one: an account may have several, hashed with the same salt.
    pub keys: Vec<Keys>,
}

/// Of one password. Debug output hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// H(ClientKey).
    pub stored_key: [u8; 32],
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: [u8; 32],
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret(iterations {})", self.iterations)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// One exchange.
#[derive(Debug)]
pub struct Scram {
    /// SCRAM-SHA-256-PLUS.
    plus: bool,
    bindings: ChannelBindings,
    state: State,
}

#[derive(Debug)]
enum State {
    AwaitFirst,
    SecretAsked(First),
    AwaitFinal {
        first: First,
        secret: Secret,
        /// `server-first-message`.
        said: String,
    },
    /// [`Scram::judged`] is awaited; then the client is told our own proof.
    ProofAsked {
        server_signature: [u8; 32],
    },
    /// The last word has been said: an empty line is awaited, and then it is as it was judged, or this.
    AwaitEnd(Option<SaslTrouble>),
}

/// What the client said first.
#[derive(Debug)]
struct First {
    login: String,
    nonce: String,
    /// `client-first-message-bare`.
    bare: String,
    /// What `c=` must be: the GS2 header and the channel's own data.
    binding: Vec<u8>,
}

/// `server-error-value`s (RFC 5802 section 7).
const INVALID_PROOF: &str = "invalid-proof";
const NOT_THE_SAME_CHANNEL: &str = "channel-bindings-dont-match";
const BINDING_IS_SUPPORTED: &str = "server-does-support-channel-binding";
const BINDING_TYPE_UNKNOWN: &str = "unsupported-channel-binding-type";
const EXTENSIONS_UNKNOWN: &str = "extensions-not-supported";
const NAME_MALFORMED: &str = "invalid-username-encoding";

/// Why a message is not gone on with.
enum Halt {
    /// At once.
    Trouble(SaslTrouble),
    /// Told by `server-error`.
    Error(&'static str),
}

impl From<SaslTrouble> for Halt {
    fn from(trouble: SaslTrouble) -> Halt {
        Halt::Trouble(trouble)
    }
}

const MALFORMED: Halt = Halt::Trouble(SaslTrouble::Malformed);

impl Scram {
    pub(super) fn new(plus: bool, bindings: ChannelBindings) -> Scram {
        Scram { plus, bindings, state: State::AwaitFirst }
    }

    pub(super) fn respond(&mut self, message: &[u8]) -> Result<Step, SaslTrouble> {
        let taken = match std::mem::replace(&mut self.state, State::AwaitEnd(Some(SaslTrouble::Malformed))) {
            State::AwaitFirst => self.take_first(message),
            State::AwaitFinal { first, secret, said } => self.take_final(message, first, &secret, &said),
            State::AwaitEnd(_) if !message.is_empty() => Err(MALFORMED),
            State::AwaitEnd(None) => Ok(Step::Over),
            State::AwaitEnd(Some(trouble)) => Err(trouble.into()),
            State::SecretAsked(_) | State::ProofAsked { .. } => Err(MALFORMED),
        };
        match taken {
            Ok(step) => Ok(step),
            Err(Halt::Trouble(trouble)) => Err(trouble),
            Err(Halt::Error(value)) => Ok(self.say_last(&format!("e={value}"), Some(SaslTrouble::NotAgreed))),
        }
    }

    /// Answers [`Question::Secret`]: says the `server-first-message`.
    pub(super) fn knows(&mut self, secret: Secret, nonce: &[u8; 18]) -> Step {
        self.knows_by(secret, &BASE64.encode(nonce))
    }

    fn knows_by(&mut self, secret: Secret, nonce: &str) -> Step {
        let first = match std::mem::replace(&mut self.state, State::AwaitEnd(Some(SaslTrouble::Malformed))) {
            State::SecretAsked(first) => first,
            _ => return Step::Refused(SaslTrouble::Malformed),
        };
        let (salt, iterations) = (BASE64.encode(secret.salt), secret.iterations);
        let said = format!("r={}{nonce},s={salt},i={iterations}", first.nonce);
        let challenge = BASE64.encode(&said);
        self.state = State::AwaitFinal { first, secret, said };
        Step::Challenge(challenge)
    }

    /// Answers [`Question::Proof`]: says the `server-final-message`.
    pub(super) fn judged(&mut self, welcome: bool) -> Step {
        match &self.state {
            State::ProofAsked { server_signature } if welcome => {
                let word = format!("v={}", BASE64.encode(server_signature));
                self.say_last(&word, None)
            }
            // How it was judged is known to who has judged.
            _ => self.say_last(&format!("e={INVALID_PROOF}"), None),
        }
    }

    fn say_last(&mut self, word: &str, then: Option<SaslTrouble>) -> Step {
        self.state = State::AwaitEnd(then);
        Step::Challenge(BASE64.encode(word))
    }

    /// `client-first-message = gs2-header client-first-message-bare`
    fn take_first(&mut self, message: &[u8]) -> Result<Step, Halt> {
        let text = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
        let (flag, rest) = text.split_once(',').ok_or(MALFORMED)?;
        let (identity, bare) = rest.split_once(',').ok_or(MALFORMED)?;
        let header = text.len() - bare.len();
        let mut binding = text.as_bytes().get(..header).unwrap_or_default().to_vec();
        binding.extend_from_slice(self.binding(flag)?);
        if bare.starts_with("m=") {
            return Err(Halt::Error(EXTENSIONS_UNKNOWN));
        }
        let mut attributes = bare.split(',');
        let name = attributes.next().and_then(|attribute| attribute.strip_prefix("n=")).ok_or(MALFORMED)?;
        let nonce = attributes.next().and_then(|attribute| attribute.strip_prefix("r=")).ok_or(MALFORMED)?;
        if !attributes.all(is_attribute) || !is_printable(nonce) {
            return Err(MALFORMED);
        }
        if nonce.len() > SCRAM_CLIENT_NONCE_BYTES_MAX {
            return Err(SaslTrouble::TooLong.into());
        }
        let login = decode_name(name)?;
        // `a=` alone is not in the grammar, and what GNU SASL sends when it is told to act as nobody else.
        if !matches!(identity, "" | "a=") {
            let identity = decode_name(identity.strip_prefix("a=").ok_or(MALFORMED)?)?;
            if identity.to_lowercase() != login.to_lowercase() {
                return Err(SaslTrouble::OtherIdentity.into());
            }
        }
        let first = First { login: login.clone(), nonce: nonce.into(), bare: bare.into(), binding };
        self.state = State::SecretAsked(first);
        Ok(Step::Ask(Question::Secret { login }))
    }

    /// The data that a channel binding flag asks for (RFC 5802 sections 5.1 and 6).
    fn binding(&self, flag: &str) -> Result<&[u8], Halt> {
        let data = match (flag.strip_prefix("p="), flag) {
            (Some("tls-exporter"), _) if self.plus => self.bindings.exporter.as_ref().map(|data| &data[..]),
            (Some("tls-server-end-point"), _) if self.plus => self.bindings.end_point.as_deref(),
            (Some(_), _) if self.plus => None,
            (None, "n") if !self.plus => Some(&[][..]),
            // The client could have, and was told that we cannot: somebody between us has said so.
            (None, "y") if !self.plus && self.bindings != ChannelBindings::default() => {
                return Err(Halt::Error(BINDING_IS_SUPPORTED));
            }
            (None, "y") if !self.plus => Some(&[][..]),
            _ => return Err(MALFORMED),
        };
        data.ok_or(Halt::Error(BINDING_TYPE_UNKNOWN))
    }

    /// `client-final-message = channel-binding "," nonce ["," extensions] "," proof`
    fn take_final(&mut self, message: &[u8], first: First, secret: &Secret, said: &str) -> Result<Step, Halt> {
        let text = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|attribute| attribute.strip_prefix("c=")).ok_or(MALFORMED)?;
        let nonce = attributes.next().and_then(|attribute| attribute.strip_prefix("r=")).ok_or(MALFORMED)?;
        if !attributes.all(is_attribute) {
            return Err(MALFORMED);
        }
        let decode = |text: &str| BASE64.decode(text).map_err(|_| MALFORMED);
        let (binding, proof) = (decode(binding)?, decode(proof)?);
        let proof: [u8; 32] = proof.try_into().map_err(|_| MALFORMED)?;
        if said.strip_prefix("r=").and_then(|said| said.split_once(',')).is_none_or(|(own, _)| own != nonce) {
            return Err(MALFORMED);
        }
        if binding != first.binding {
            return Err(Halt::Error(NOT_THE_SAME_CHANNEL));
        }
        let exchanged = format!("{},{said},{without_proof}", first.bare);
        // All are looked at, whichever it is: how long it takes tells nothing.
        let mut found = secret.keys.first().ok_or(MALFORMED)?;
        let mut right = None;
        for keys in &secret.keys {
            if is_proof(&proof, &keys.stored_key, exchanged.as_bytes()) {
                (found, right) = (keys, Some(keys.stored_key));
            }
        }
        let server_signature = sign(&found.server_key, exchanged.as_bytes());
        self.state = State::ProofAsked { server_signature };
        Ok(Step::Ask(Question::Proof { login: first.login, right }))
    }
}

/// Whether `proof` = ClientKey XOR HMAC(StoredKey, AuthMessage) and H(ClientKey) = StoredKey.
fn is_proof(proof: &[u8; 32], stored_key: &[u8; 32], exchanged: &[u8]) -> bool {
    let mut client_key = sign(stored_key, exchanged);
    client_key.iter_mut().zip(proof).for_each(|(byte, with)| *byte ^= with);
    digest::digest(&digest::SHA256, &client_key).as_ref().ct_eq(stored_key).into()
}

fn sign(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut signature = [0; 32];
    signature.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref());
    signature
}

/// `saslname`: commas and equal signs are written `=2C` and `=3D`, nothing else is.
fn decode_name(text: &str) -> Result<String, Halt> {
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (letter, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Halt::Error(NAME_MALFORMED)),
        };
        name.push(letter);
        name.push_str(rest);
    }
    let name = prepare(&name).ok_or(Halt::Error(NAME_MALFORMED))?;
    Ok(parse_name(name.as_bytes())?)
}

/// `attr-val`: a letter, `=`, and something.
fn is_attribute(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b'=', _, ..] if letter.is_ascii_alphabetic()) && !text.contains('\0')
}

/// `printable`: what a nonce is made of.
fn is_printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::pbkdf2;
    use std::num::NonZeroU32;

    const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn salted(password: &str, secret: &Secret) -> [u8; 32] {
        let mut salted = [0; 32];
        let rounds = NonZeroU32::new(secret.iterations).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &secret.salt, password.as_bytes(), &mut salted);
        salted
    }

    fn stored_key() -> [u8; 32] {
        pencil().keys[0].stored_key
    }

    /// Of the password `pencil`, with the salt of RFC 7677 section 3.
    fn pencil() -> Secret {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let keys = vec![Keys { stored_key: [0; 32], server_key: [0; 32] }];
        let mut secret = Secret { salt, iterations: 4096, keys };
        let salted = salted("pencil", &secret);
        let client_key = sign(&salted, b"Client Key");
        secret.keys[0].stored_key.copy_from_slice(digest::digest(&digest::SHA256, &client_key).as_ref());
        secret.keys[0].server_key = sign(&salted, b"Server Key");
        secret
    }

    fn bound() -> ChannelBindings {
        ChannelBindings { exporter: Some([7; 32]), end_point: Some(vec![9; 32]) }
    }

    fn text(step: &Step) -> String {
        match step {
            Step::Challenge(challenge) => String::from_utf8(BASE64.decode(challenge).unwrap()).unwrap(),
            other => format!("{other:?}"),
        }
    }

    /// What comes of the first message.
    fn begin(plus: bool, bindings: ChannelBindings, first: &str) -> Result<Step, SaslTrouble> {
        Scram::new(plus, bindings).respond(first.as_bytes())
    }

    fn asked(login: &str) -> Result<Step, SaslTrouble> {
        Ok(Step::Ask(Question::Secret { login: login.into() }))
    }

    #[test]
    fn the_example_of_rfc_7677_section_3() {
        let mut scram = Scram::new(false, ChannelBindings::default());
        assert_eq!(scram.respond(FIRST.as_bytes()), asked("user"));
        let said = text(&scram.knows_by(pencil(), NONCE));
        assert_eq!(said, format!("r=rOprNGfwEbeRWgbNEkqO{NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        let proved = scram.respond(FINAL.as_bytes());
        assert_eq!(proved, Ok(Step::Ask(Question::Proof { login: "user".into(), right: Some(stored_key()) })));
        assert_eq!(text(&scram.judged(true)), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(scram.respond(b""), Ok(Step::Over));
        assert_eq!(scram.respond(b""), Err(SaslTrouble::Malformed));
    }

    #[test]
    fn a_wrong_proof_is_told_and_ends_the_exchange() {
        let mut scram = Scram::new(false, ChannelBindings::default());
        scram.respond(FIRST.as_bytes()).unwrap();
        let keys = vec![Keys { stored_key: [1; 32], server_key: [2; 32] }];
        scram.knows_by(Secret { keys, ..pencil() }, NONCE);
        let proved = scram.respond(FINAL.as_bytes());
        assert_eq!(proved, Ok(Step::Ask(Question::Proof { login: "user".into(), right: None })));
        assert_eq!(text(&scram.judged(false)), "e=invalid-proof");
        assert_eq!(scram.respond(b""), Ok(Step::Over));
    }

    #[test]
    fn names_and_identities() {
        let none = ChannelBindings::default;
        assert_eq!(begin(false, none(), "n,,n=a=2Cb=3Dc,r=x"), asked("a,b=c"));
        assert_eq!(begin(false, none(), "n,a=USER,n=user,r=x,t=later"), asked("user"));
        assert_eq!(begin(false, none(), "n,a=other,n=user,r=x"), Err(SaslTrouble::OtherIdentity));
        assert_eq!(begin(false, none(), "n,,n=u\u{aa},r=x"), asked("ua"));
        for name in ["a=2cb", "a=", "a==", "a\u{7}"] {
            let step = begin(false, none(), &format!("n,,n={name},r=x")).unwrap();
            assert_eq!(text(&step), "e=invalid-username-encoding", "{name}");
        }
    }

    #[test]
    fn malformed_messages() {
        let long = format!("n,,n=user,r={}", "x".repeat(SCRAM_CLIENT_NONCE_BYTES_MAX + 1));
        assert_eq!(begin(false, ChannelBindings::default(), &long), Err(SaslTrouble::TooLong));
        for first in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=user",
            "n,,n=user,r=",
            "n,,r=x,n=user",
            "n,user,n=user,r=x",
            "x,,n=u,r=x",
            "n,,n=,r=x",
            "n,,n=user,r=a b",
            "n,,n=user,r=x,1=2",
            "p=tls-exporter,,n=user,r=x",
            " n,,n=user,r=x",
        ] {
            assert_eq!(begin(false, bound(), first), Err(SaslTrouble::Malformed), "{first}");
        }
        let step = begin(false, ChannelBindings::default(), "n,,m=x,n=user,r=x").unwrap();
        assert_eq!(text(&step), "e=extensions-not-supported");
        for last in [
            "",
            "c=biws",
            "c=biws,r=x,p=",
            &FINAL.replace("biws", "biw"),
            &FINAL.replace("k0,p", "k1,p"),
            &FINAL.replace("r=rOpr", "r=xOpr"),
            &FINAL.replace("Q=", "=="),
            &format!("{FINAL},x=y"),
        ] {
            let mut scram = Scram::new(false, ChannelBindings::default());
            scram.respond(FIRST.as_bytes()).unwrap();
            scram.knows_by(pencil(), NONCE);
            assert_eq!(scram.respond(last.as_bytes()), Err(SaslTrouble::Malformed), "{last}");
        }
    }

    #[test]
    fn downgrades_and_other_channels_are_refused() {
        let told = |plus, bindings, first: &str| {
            let mut scram = Scram::new(plus, bindings);
            let told = text(&scram.respond(first.as_bytes()).unwrap());
            assert_eq!(scram.respond(b""), Err(SaslTrouble::NotAgreed));
            told
        };
        assert_eq!(told(false, bound(), "y,,n=user,r=x"), "e=server-does-support-channel-binding");
        assert_eq!(told(true, bound(), "p=tls-unique,,n=user,r=x"), "e=unsupported-channel-binding-type");
        let old_tls = ChannelBindings { exporter: None, ..bound() };
        assert_eq!(told(true, old_tls, "p=tls-exporter,,n=user,r=x"), "e=unsupported-channel-binding-type");
        assert_eq!(begin(false, ChannelBindings::default(), "y,,n=user,r=x"), asked("user"));
        assert_eq!(begin(true, bound(), "n,,n=user,r=x"), Err(SaslTrouble::Malformed));
        assert_eq!(begin(true, bound(), "y,,n=user,r=x"), Err(SaslTrouble::Malformed));
    }

    #[test]
    fn a_channel_is_bound_by_its_own_data() {
        for (kind, data, good) in [
            ("tls-exporter", vec![7; 32], true),
            ("tls-server-end-point", vec![9; 32], true),
            ("tls-exporter", vec![8; 32], false),
            ("tls-exporter", vec![], false),
        ] {
            let mut scram = Scram::new(true, bound());
            let (header, bare) = (format!("p={kind},,"), "n=user,r=abc");
            scram.respond(format!("{header}{bare}").as_bytes()).unwrap();
            let said = text(&scram.knows(pencil(), &[0; 18]));
            let nonce = said.split(',').next().unwrap();
            let cover = BASE64.encode([header.as_bytes(), &data].concat());
            let without_proof = format!("c={cover},{nonce}");
            let mut proof = sign(&salted("pencil", &pencil()), b"Client Key");
            let signature = sign(&stored_key(), format!("{bare},{said},{without_proof}").as_bytes());
            proof.iter_mut().zip(signature).for_each(|(byte, with)| *byte ^= with);
            let step = scram.respond(format!("{without_proof},p={}", BASE64.encode(proof)).as_bytes()).unwrap();
            match good {
                true => {
                    assert_eq!(step, Step::Ask(Question::Proof { login: "user".into(), right: Some(stored_key()) }))
                }
                false => assert_eq!(text(&step), "e=channel-bindings-dont-match"),
            }
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", pencil()), "Secret(iterations 4096)");
    }

    proptest! {
        #[test]
        fn any_messages_are_survived(first in "[npy],[a=u]{0,3},[nm]=[u,=2C]{0,9},r=[a-c,=]{0,9}", last in "[crp=,a-z]{0,40}") {
            let mut scram = Scram::new(false, bound());
            if let Ok(Step::Ask(_)) = scram.respond(first.as_bytes()) {
                scram.knows(pencil(), &[1; 18]);
                let _ = scram.respond(last.as_bytes());
            }
        }
    }
}
