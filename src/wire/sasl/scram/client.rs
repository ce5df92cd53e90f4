//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the client's side, as a value.
//!
//! Receives login, password, a nonce and what the channel can be bound to, then the server's challenges; hands on the
//! responses, and whether the server has proved that it knows the password. No framing: challenges and responses are base64
//! without their line ends. What always holds: the password itself is in no message; a server signature is compared in
//! constant time; no server makes this side hash more than [`SCRAM_ITERATIONS_MAX`] rounds, once per login.

use super::super::Mechanism;
use super::{BASE64, is_attribute, is_printable, prepare, sign};
use crate::limits::{SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN};
use base64::Engine;
use ring::{digest, pbkdf2};
use std::num::NonZeroU32;
use subtle::ConstantTimeEq;

/// What a login says about its channel (`gs2-cbind-flag`, RFC 5802 section 6).
#[derive(Clone, PartialEq, Eq)]
pub enum Binding {
    /// `n`: this side cannot bind.
    Impossible,
    /// `y`: this side could, and the server has not offered to. If it had, somebody in between took the offer away.
    NotOffered,
    /// `p=tls-exporter` (RFC 9266).
    Exporter([u8; 32]),
    /// `p=tls-server-end-point` (RFC 5929 section 4).
    EndPoint(Vec<u8>),
}

impl Binding {
    /// The `gs2-header`, without an `authzid`, and the channel's own data.
    fn parts(&self) -> (&'static str, &[u8]) {
        match self {
            Binding::Impossible => ("n,,", &[]),
            Binding::NotOffered => ("y,,", &[]),
            Binding::Exporter(data) => ("p=tls-exporter,,", data),
            Binding::EndPoint(data) => ("p=tls-server-end-point,,", data),
        }
    }

    /// Whether it takes SCRAM-SHA-256-PLUS.
    pub fn is_bound(&self) -> bool {
        matches!(self, Binding::Exporter(_) | Binding::EndPoint(_))
    }
}

/// One login. Has no Debug output: it holds the password.
pub struct Prover {
    binding: Binding,
    nonce: String,
    /// `client-first-message-bare`.
    bare: String,
    /// In its prepared form.
    password: String,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitFirst,
    /// The server's proof, which is to come.
    AwaitFinal([u8; 32]),
    /// The server has proved itself.
    Proven,
    /// The server has said `e=`; whether because it does not bind to such a channel.
    Refused {
        by_binding: bool,
    },
}

/// What is wrong with a server's message; reads on after "the server".
const MALFORMED: &str = "sent a login challenge that is not SCRAM's";
const OTHER_NONCE: &str = "sent a login challenge that belongs to another login";
const TOO_FEW_ROUNDS: &str = "asks for fewer rounds of password hashing than RFC 7677 demands";
const TOO_MANY_ROUNDS: &str = "asks for more rounds of password hashing than are done here";
/// The signature is wrong, or there is none.
pub const NOT_PROVEN: &str = "could not prove that it knows the password";

impl Prover {
    /// Begins. `nonce`: random bytes, new for each login. `None` when login or password cannot be prepared (RFC 4013): such
    /// a login can only go by another mechanism.
    pub fn new(login: &str, password: &str, nonce: &[u8; 18], binding: Binding) -> Option<Prover> {
        Prover::new_by(login, password, BASE64.encode(nonce), binding)
    }

    fn new_by(login: &str, password: &str, nonce: String, binding: Binding) -> Option<Prover> {
        // `saslname`: commas and equal signs are written `=2C` and `=3D`.
        let name = prepare(login).filter(|name| !name.is_empty())?.replace('=', "=3D").replace(',', "=2C");
        let password = prepare(password)?.into_owned();
        let bare = format!("n={name},r={nonce}");
        Some(Prover { binding, nonce, bare, password, state: State::AwaitFirst })
    }

    /// Which of the two mechanisms it is.
    pub fn mechanism(&self) -> Mechanism {
        match self.binding.is_bound() {
            true => Mechanism::ScramSha256Plus,
            false => Mechanism::ScramSha256,
        }
    }

    /// The `client-first-message`, in base64.
    pub fn first(&self) -> String {
        BASE64.encode(format!("{}{}", self.binding.parts().0, self.bare))
    }

    /// Answers a challenge; both are base64. An `e=` of the server's is answered with an empty line, as its last word is:
    /// what follows is the protocol's own refusal.
    ///
    /// # Errors
    /// What is wrong with the challenge, in words that go on after "the server". The login is of no use then.
    pub fn respond(&mut self, challenge: &str) -> Result<String, &'static str> {
        let message = BASE64.decode(challenge).map_err(|_| MALFORMED)?;
        let message = String::from_utf8(message).map_err(|_| MALFORMED)?;
        if let (State::AwaitFirst | State::AwaitFinal(_), Some(error)) = (self.state, message.strip_prefix("e=")) {
            let value = error.split(',').next().unwrap_or_default();
            let by_binding = matches!(value, "unsupported-channel-binding-type" | "channel-binding-not-supported");
            self.state = State::Refused { by_binding };
            return Ok(String::new());
        }
        match self.state {
            State::AwaitFirst => self.take_first(&message).map(|response| BASE64.encode(response)),
            State::AwaitFinal(signature) => {
                self.state = State::Refused { by_binding: false };
                self.take_final(&message, &signature)?;
                Ok(String::new())
            }
            State::Proven | State::Refused { .. } => Err(MALFORMED),
        }
    }

    /// Whether the server has proved that it knows the password. Without that it is not the one that is meant.
    pub fn is_proven(&self) -> bool {
        self.state == State::Proven
    }

    /// Whether the server has said that it does not bind to such a channel, of its own or at all.
    pub fn is_refused_by_binding(&self) -> bool {
        self.state == State::Refused { by_binding: true }
    }

    /// `server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]`
    fn take_first(&mut self, said: &str) -> Result<String, &'static str> {
        let mut attributes = said.split(',');
        let mut next = |letter: &str| attributes.next().and_then(|word| word.strip_prefix(letter)).ok_or(MALFORMED);
        let (nonce, salt, rounds) = (next("r=")?, next("s=")?, next("i=")?);
        if !attributes.all(is_attribute) || !is_printable(nonce) {
            return Err(MALFORMED);
        }
        // RFC 5802 section 5.1: "the client MUST verify"; a server adds something of its own.
        if nonce.strip_prefix(self.nonce.as_str()).is_none_or(str::is_empty) {
            return Err(OTHER_NONCE);
        }
        let salt = BASE64.decode(salt).ok().filter(|salt| !salt.is_empty()).ok_or(MALFORMED)?;
        let rounds = read_rounds(rounds)?;
        // The one costly step: some 2 microseconds a round on a small board, 8 ms for the usual 4096, 1.2 s at the bound.
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, self.password.as_bytes(), &mut salted);
        let (header, data) = self.binding.parts();
        let cover = BASE64.encode([header.as_bytes(), data].concat());
        let without_proof = format!("c={cover},r={nonce}");
        let exchanged = format!("{},{said},{without_proof}", self.bare);
        let mut proof = sign(&salted, b"Client Key");
        let mut stored_key = [0; 32];
        stored_key.copy_from_slice(digest::digest(&digest::SHA256, &proof).as_ref());
        let signature = sign(&stored_key, exchanged.as_bytes());
        proof.iter_mut().zip(signature).for_each(|(byte, with)| *byte ^= with);
        let server_key = sign(&salted, b"Server Key");
        self.state = State::AwaitFinal(sign(&server_key, exchanged.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
    }

    /// `server-final-message = (server-error / verifier) ["," extensions]`
    fn take_final(&mut self, said: &str, signature: &[u8; 32]) -> Result<(), &'static str> {
        let mut attributes = said.split(',');
        let proof = attributes.next().and_then(|word| word.strip_prefix("v=")).ok_or(NOT_PROVEN)?;
        let proof = BASE64.decode(proof).map_err(|_| NOT_PROVEN)?;
        if !attributes.all(is_attribute) {
            return Err(MALFORMED);
        }
        if !bool::from(proof.as_slice().ct_eq(signature)) {
            return Err(NOT_PROVEN);
        }
        self.state = State::Proven;
        Ok(())
    }
}

/// `posit-number`, within the bounds: fewer rounds than RFC 7677 section 4 names would let whoever plays the server try
/// passwords cheaply, more would hold this side up.
fn read_rounds(text: &str) -> Result<NonZeroU32, &'static str> {
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MALFORMED);
    }
    let rounds: u32 = text.parse().map_err(|_| TOO_MANY_ROUNDS)?;
    match rounds {
        ..SCRAM_ITERATIONS_MIN => Err(TOO_FEW_ROUNDS),
        SCRAM_ITERATIONS_MIN..=SCRAM_ITERATIONS_MAX => NonZeroU32::new(rounds).ok_or(MALFORMED),
        _ => Err(TOO_MANY_ROUNDS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sasl::{ChannelBindings, Exchange, Keys, Question, Secret, Step};
    use proptest::prelude::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn decoded(text: &str) -> String {
        String::from_utf8(BASE64.decode(text).unwrap()).unwrap()
    }

    fn user() -> Prover {
        Prover::new_by("user", "pencil", NONCE.to_owned(), Binding::Impossible).unwrap()
    }

    fn hear(prover: &mut Prover, message: &str) -> Result<String, &'static str> {
        prover.respond(&BASE64.encode(message)).map(|response| decoded(&response))
    }

    #[test]
    fn the_example_of_rfc_7677_section_3() {
        let mut prover = user();
        assert_eq!(prover.mechanism(), Mechanism::ScramSha256);
        assert_eq!(decoded(&prover.first()), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(
            hear(&mut prover, SERVER_FIRST).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(!prover.is_proven());
        assert_eq!(hear(&mut prover, SERVER_FINAL).unwrap(), "");
        assert!(prover.is_proven());
        assert_eq!(hear(&mut prover, SERVER_FINAL), Err(MALFORMED));
    }

    #[test]
    fn first_messages_that_are_not_gone_on_with() {
        for (said, trouble) in [
            ("", MALFORMED),
            ("r=rOprNGfwEbeRWgbNEkqOx", MALFORMED),
            ("m=x,r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=4096", MALFORMED),
            ("s=QUJD,r=rOprNGfwEbeRWgbNEkqOx,i=4096", MALFORMED),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096", MALFORMED),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJ,i=4096", MALFORMED),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=", MALFORMED),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=-4096", MALFORMED),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=+4096", MALFORMED),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=04096", MALFORMED),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=4096,more", MALFORMED),
            ("r=rOprNGfwEbeRWgbNEkqO x,s=QUJD,i=4096", MALFORMED),
            // Only ours, somebody else's, ours not in front.
            ("r=rOprNGfwEbeRWgbNEkqO,s=QUJD,i=4096", OTHER_NONCE),
            ("r=ROprNGfwEbeRWgbNEkqOx,s=QUJD,i=4096", OTHER_NONCE),
            ("r=xrOprNGfwEbeRWgbNEkqO,s=QUJD,i=4096", OTHER_NONCE),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=1", TOO_FEW_ROUNDS),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=4095", TOO_FEW_ROUNDS),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=600001", TOO_MANY_ROUNDS),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=99999999999999999999", TOO_MANY_ROUNDS),
        ] {
            assert_eq!(hear(&mut user(), said), Err(trouble), "{said}");
        }
        assert!(hear(&mut user(), "r=rOprNGfwEbeRWgbNEkqOx,s=QUJD,i=4096,x=later").is_ok());
        assert_eq!(user().respond("not base64"), Err(MALFORMED));
        assert_eq!(user().respond(&BASE64.encode([0xff])), Err(MALFORMED));
    }

    #[test]
    fn a_server_that_proves_nothing_is_not_believed() {
        for said in [
            "",
            "v=",
            "v=6rri",
            "v=not base64",
            "x=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            "x=y,v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ] {
            let mut prover = user();
            hear(&mut prover, SERVER_FIRST).unwrap();
            assert_eq!(hear(&mut prover, said), Err(NOT_PROVEN), "{said}");
            assert!(!prover.is_proven());
            // There is no second try.
            assert_eq!(hear(&mut prover, SERVER_FINAL), Err(MALFORMED));
            assert!(!prover.is_proven());
        }
        // The proof before the question.
        let mut prover = user();
        assert_eq!(hear(&mut prover, SERVER_FINAL), Err(MALFORMED));
        assert!(!prover.is_proven());
    }

    #[test]
    fn what_the_server_refuses_is_no_proof() {
        for (error, by_binding) in [
            ("e=invalid-proof", false),
            ("e=other-error,x=y", false),
            ("e=unsupported-channel-binding-type", true),
            ("e=channel-binding-not-supported", true),
        ] {
            for begins in [false, true] {
                let mut prover = user();
                if begins {
                    hear(&mut prover, SERVER_FIRST).unwrap();
                }
                assert_eq!(hear(&mut prover, error).unwrap(), "");
                assert_eq!((prover.is_proven(), prover.is_refused_by_binding()), (false, by_binding));
                assert_eq!(hear(&mut prover, SERVER_FINAL), Err(MALFORMED));
            }
        }
    }

    #[test]
    fn names_and_passwords_are_prepared() {
        let first = |login: &str| {
            let prover = Prover::new_by(login, "x", "abc".into(), Binding::NotOffered);
            prover.map(|prover| decoded(&prover.first()))
        };
        assert_eq!(first("a,b=c").as_deref(), Some("y,,n=a=2Cb=3Dc,r=abc"));
        assert_eq!(first("u\u{aa}").as_deref(), Some("y,,n=ua,r=abc"));
        assert_eq!(first("\u{ad}"), None);
        assert_eq!(first("a\u{7}"), None);
        assert!(Prover::new("user", "\u{e000}", &[0; 18], Binding::Impossible).is_none());
    }

    fn kept_of(password: &str) -> Secret {
        let (salt, iterations) = ([3; 16], SCRAM_ITERATIONS_MIN);
        let (rounds, password) = (NonZeroU32::new(iterations).unwrap(), prepare(password).unwrap());
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
        let mut stored_key = [0; 32];
        let client_key = sign(&salted, b"Client Key");
        stored_key.copy_from_slice(digest::digest(&digest::SHA256, &client_key).as_ref());
        Secret { salt, iterations, keys: vec![Keys { stored_key, server_key: sign(&salted, b"Server Key") }] }
    }

    /// Both sides of this product; whether the server lets in, and whether the client believes it.
    fn meet(login: &str, typed: &str, kept: &str, binding: Binding, bindings: ChannelBindings) -> (bool, bool) {
        let mut prover = Prover::new(login, typed, &[5; 18], binding).expect("can be prepared");
        let secret = kept_of(kept);
        let (mut server, mut step) = Exchange::begin(prover.mechanism(), Some(prover.first().as_bytes()), bindings);
        let mut welcome = false;
        loop {
            step = match step {
                Step::Challenge(challenge) => match prover.respond(&challenge) {
                    Ok(response) => server.respond(response.as_bytes()),
                    Err(_) => break,
                },
                Step::Ask(Question::Secret { .. }) => server.knows(secret.clone(), &[9; 18]),
                Step::Ask(Question::Proof { right, .. }) => {
                    welcome = right.is_some();
                    server.judged(welcome)
                }
                Step::Ask(Question::Password(_)) | Step::Over | Step::Refused(_) => break,
            };
        }
        (welcome, prover.is_proven())
    }

    #[test]
    fn both_sides_meet() {
        let none = ChannelBindings::default;
        let bound = || ChannelBindings { exporter: Some([7; 32]), end_point: Some(vec![9; 32]) };
        assert_eq!(meet("me", "secret", "secret", Binding::Impossible, none()), (true, true));
        assert_eq!(meet("me", "secret", "secret", Binding::NotOffered, none()), (true, true));
        assert_eq!(meet("me", "secret", "secret", Binding::Exporter([7; 32]), bound()), (true, true));
        assert_eq!(meet("me", "secret", "secret", Binding::EndPoint(vec![9; 32]), bound()), (true, true));
        assert_eq!(meet("me", "wrong", "secret", Binding::Impossible, none()), (false, false));
        // Somebody between us: another channel, or an offer that was taken away.
        assert_eq!(meet("me", "secret", "secret", Binding::Exporter([8; 32]), bound()), (false, false));
        assert_eq!(meet("me", "secret", "secret", Binding::NotOffered, bound()), (false, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_login_and_password_that_can_be_prepared_gets_in(login in "\\PC{1,20}", password in "\\PC{1,20}") {
            prop_assume!(Prover::new(&login, &password, &[5; 18], Binding::Impossible).is_some());
            prop_assert_eq!(
                meet(&login, &password, &password, Binding::Impossible, ChannelBindings::default()),
                (true, true)
            );
        }

        #[test]
        fn any_challenges_are_survived_and_prove_nothing(words in prop::collection::vec("[revsim]=[a-zA-Z0-9,=]{0,60}", 1..4)) {
            let mut prover = user();
            for word in &words {
                let _ = prover.respond(word);
                let _ = hear(&mut prover, word);
                let _ = hear(&mut prover, &format!("r={NONCE}{word}"));
            }
            prop_assert!(!prover.is_proven());
        }
    }
}
