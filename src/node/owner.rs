//! The owner's things in the store: the password, the folders, the first message.

use crate::limits::{PASSWORD_BYTES_MAX, PBKDF2_ITERATIONS};
use crate::mail::credential::Verifier;
use crate::mail::message::{INBOX, Uid};
use crate::net::Net;
use crate::node::failure::{Exit, Failure};
use crate::serve::Letter;
use crate::serve::devices::make_password;
use crate::store::{Credential, Op, Store, Trouble};
use crate::wire::address::{Address, Domain};

/// Makes up a password, see [`make_password`].
pub fn generate_password(net: &Net) -> Result<String, Failure> {
    let made = make_password(net).map(|password| String::clone(&password));
    made.map_err(|e| Failure::new(Exit::System, format!("no random bytes: {e}")))
}

/// Refuses what no mail program could send, or what is longer than a login may be.
pub fn check_password(password: &str) -> Result<(), Failure> {
    let wrong = |why: &str| Err(Failure::new(Exit::Usage, format!("the password {why}")));
    match password {
        "" => wrong("is empty"),
        long if long.len() > PASSWORD_BYTES_MAX => wrong(&format!("is longer than {PASSWORD_BYTES_MAX} bytes")),
        odd if odd.contains(char::is_control) => wrong("has a control character in it"),
        _ => Ok(()),
    }
}

/// Stores the password of a login unless it is stored already.
pub async fn set_password(store: &Store, net: &Net, login: &str, password: &str) -> Result<(), Failure> {
    let name = login.to_string();
    let stored = store.read(move |snapshot| snapshot.credential(&name)).await.map_err(|e| in_store(&e))?;
    if stored.as_ref().is_some_and(|credential| credential.verifier.matches(password)) {
        return Ok(());
    }
    let salt = net.random::<16>().map_err(|e| Failure::new(Exit::System, format!("no random bytes: {e}")))?;
    // Devices keep what their passwords were hashed with: one exchange of SCRAM must be able to try all of them.
    let devices = store.read(|snapshot| snapshot.devices()).await.map_err(|e| in_store(&e))?;
    let verifier = match (&stored, devices.is_empty()) {
        (Some(old), false) => Verifier::new(password, old.verifier.salt, old.verifier.iterations),
        _ => Verifier::new(password, salt, PBKDF2_ITERATIONS),
    };
    let change = Op::SetCredential(Credential { login: login.to_string(), verifier, device: None });
    store.apply(change).await.map_err(|e| in_store(&e))?;
    Ok(())
}

/// Delivers the first message when no message has ever been in INBOX.
pub async fn welcome(
    store: &Store,
    net: &Net,
    hostname: &Domain,
    address: &Address,
    text: &str,
) -> Result<(), Failure> {
    let inbox = store.read(|snapshot| snapshot.mailbox(INBOX)).await.map_err(|e| in_store(&e))?;
    if inbox.is_some_and(|inbox| inbox.uid_next > Uid(1)) {
        return Ok(());
    }
    let letter = Letter { hostname, address, subject: "Welcome to your own mail server", text };
    letter.deliver(store, net).await.map_err(|e| in_store(&e))
}

/// A store's trouble as a sentence.
pub fn in_store(trouble: &Trouble) -> Failure {
    let why = match trouble {
        Trouble::Full => "there is no room left on the disk".to_string(),
        Trouble::Failed(why) => why.clone(),
        Trouble::NotFound => "something is missing in it".to_string(),
        Trouble::Exists => "something is there already".to_string(),
        Trouble::Refused(why) => (*why).to_string(),
    };
    Failure::new(Exit::Store, format!("the store: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_can_be_typed_and_differ() {
        let net = Net::system(None).unwrap();
        let (first, second) = (generate_password(&net).unwrap(), generate_password(&net).unwrap());
        assert_ne!(first, second);
        assert_eq!(first.len(), 24);
        assert!(
            first.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric())
                && !first.contains(['l', 'o', '0', '1'])
        );
        check_password(&first).unwrap();
    }

    #[test]
    fn passwords_that_cannot_be_sent_are_refused() {
        for password in ["", "a\nb", "a\0b", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
            assert_eq!(check_password(password).unwrap_err().exit, Exit::Usage);
        }
        check_password("correct horse battery ä").unwrap();
    }
}
