//! APOP: a password proved by its MD5 with the greeting's timestamp (RFC 1939 section 7).
//!
//! Only passwords that the owner wanted to be kept readable are looked at. What it is worth: who listens on the line learns no
//! password, because these are random. Who can stand in the line can: with greetings of their own making, some hundred logins long, they
//! find the password letter by letter (Leurent 2007), and in a session without TLS they can read and change everything anyway. So a
//! device gets APOP one by one, by the owner's word, and its password opens no more than the device may.

use super::doors::{Doors, Named, Who};
use super::{Logins, Verdict, Visitor, caller, refused};
use crate::serve::Context;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// As it stands in the log.
const MECHANISM: &str = "APOP";

impl Logins {
    /// Judges a digest. Whoever is wrong waits as after a wrong proof of SCRAM, and is counted with these: two wrong digests cannot
    /// be told to be of the same password. The password of a device is right at once, see [`Logins`].
    pub async fn judge_digest(
        &self,
        context: &Context,
        visitor: &Visitor,
        login: &str,
        timestamp: &str,
        digest: [u8; 16],
    ) -> Verdict {
        let site = context.site();
        let doors = match Doors::read(context, &site).await {
            Ok(doors) => doors,
            Err(verdict) => return verdict,
        };
        let Some(key) = self.key(&context.net) else { return Verdict::Unavailable };
        let (caller, clock) = (caller(key, &site, visitor, login), context.net.clock());
        let found = doors.device_with_digest(&Named::read(&site, login), timestamp, &digest);
        if let Some(device) = &found
            && self.memory().is_welcome_at_once(&caller, clock.steady())
        {
            return self.welcome(context, device.clone(), visitor, MECHANISM);
        }
        let refusal = self.memory().refuse(&caller, clock.steady());
        if let Some(attempt) = refusal {
            return refused(&site, visitor, MECHANISM, login, Verdict::TooMany, &attempt);
        }
        let attempt = self.memory().begin_proof(&caller, clock.steady());
        if let Err(verdict) = self.serve_delay(context, &attempt).await {
            return refused(&site, visitor, MECHANISM, login, verdict, &attempt);
        }
        match found {
            Some(device) => {
                self.memory().succeeded(&caller, None, clock.steady());
                self.welcome(context, device, visitor, MECHANISM)
            }
            None => refused(&site, visitor, MECHANISM, login, Verdict::Wrong, &attempt),
        }
    }
}

impl Doors {
    /// The device whose readable password makes that digest, if the login name means it. All are looked at.
    fn device_with_digest(&self, named: &Named, timestamp: &str, digest: &[u8; 16]) -> Option<Who> {
        let mut found = None;
        for (credential, device) in self.devices() {
            let Some(secret) = &device.readable else { continue };
            let right: bool = digest_of(timestamp, secret).ct_eq(digest).into();
            if right && named.means(device) {
                found = Some(self.who_is(credential, device));
            }
        }
        found
    }
}

fn digest_of(timestamp: &str, secret: &str) -> [u8; 16] {
    Md5::new().chain_update(timestamp).chain_update(secret).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let digest = digest_of("<1896.697170952@dbc.mtview.ca.us>", "tanstaaf");
        assert_eq!(format!("{:032x}", u128::from_be_bytes(digest)), "c4c9334bac560ecc979e58001b3e22fb");
    }
}
