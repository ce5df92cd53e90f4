//! Logins for every protocol: one place, bounded, delayed after failures.
//!
//! Receives a login and a password, or SCRAM's proof of one, as a protocol got them; hands on who it is. Not SASL (that is
//! `wire::sasl`) and not a list of accounts: there is one owner, with devices (`doors`). What always holds:
//!
//! - A password that was right before and still is, is welcome at once, however many guess: nobody can lock the owner's phone
//!   out. Only from a network that has been refused [`LOGIN_REFUSALS_MAX`] times, and an address that the owner is not known by,
//!   it takes its turn like others: otherwise whoever is refused could go on guessing at it.
//! - A network that has tried several different wrong passwords waits longer and longer; after [`LOGIN_FAILURES_MAX`] of them
//!   it is refused for a while, unless the owner has logged in from that address before. The same wrong password again (a device
//!   that still has the old one) counts once and costs no hash.
//! - Two wrong SCRAM proofs cannot be told to be of the same password: each is made with a new nonce. So they make only SCRAM
//!   wait, one after the other, and never get a network refused; and they cost us no hash.
//! - One login guessed at from many networks is guessed at slowly: unknown addresses take turns.
//! - The password of a device is right at once too: it is random, and nobody finds it by guessing.
//! - Unknown logins cost the same, wait the same and get the same answers as known ones.
//! - Hashing is done by one thread, so it takes at most one core however many ask.
//! - The log names source and mechanism, no password, and no login but the owner's and their devices': what else is typed
//!   there may be a password.

mod digest;
mod doors;
mod exchange;
mod memory;
mod sightings;
mod standing;

pub use doors::{Named, Who, device_login};
pub use exchange::{Authentication, Progress, authenticate};
pub use sightings::{Sighting, run_sightings};
pub use standing::{Heeded, Standing};

use crate::limits::*;
use crate::mail::credential::Verifier;
use crate::net::Net;
use crate::serve::{Context, Service, Site};
use crate::store::Trouble;
use crate::wire::sasl::{Password, Secret};
use doors::{Doors, canonical};
use memory::{Attempt, Caller, Memory, Tag};
use ring::hmac;
use sightings::Sightings;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Remembers recent successes (keyed hashes, so that phones that reconnect cost nothing), where they came from, and failures.
/// Only of the [`Sightings`] something survives a restart.
#[derive(Default)]
pub struct Logins {
    key: OnceLock<hmac::Key>,
    memory: Mutex<Memory>,
    hashing: OnceLock<smol::channel::Sender<Check>>,
    in_flight: AtomicUsize,
    /// When each device was here last.
    pub sightings: Sightings,
}

/// The answer to a login attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Who it is.
    Welcome(Who),
    /// Wrong login or password. The delay has already been served.
    Wrong,
    /// A password without the right to use this service: see [`Site::owner_login`] for the owner's.
    NotAllowed,
    /// Not looked at: this network, or all that guess at this login, have tried too much. May work later.
    TooMany,
    /// The store could not be asked, or the node is stopping; may work later.
    Unavailable,
}

/// Who wants in, and how.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// By this protocol.
    pub service: Service,
    /// From this address.
    pub peer: IpAddr,
    /// Over this version of TLS, or `none`.
    pub tls: &'static str,
}

impl Logins {
    /// Checks a password. The login is the owner's or a device's, see [`doors`], in any case. Waits after failures before it
    /// answers, at most [`LOGIN_DELAY_MILLIS_MAX`]. Cancel-safe: an attempt that is given up half-way counts as failed.
    /// `mechanism` is for the log.
    pub async fn check(&self, context: &Context, visitor: &Visitor, mechanism: &str, given: &Password) -> Verdict {
        let site = context.site();
        let doors = match Doors::read(context, &site).await {
            Ok(doors) => doors,
            Err(verdict) => return verdict,
        };
        let Some(key) = self.key(&context.net) else { return Verdict::Unavailable };
        let (caller, tag) = (caller(key, &site, visitor, &given.login), tag(key, &doors.owner, given));
        let clock = context.net.clock();
        let device = doors.device_with(given);
        if let Some(device) = &device
            && self.memory().is_welcome_at_once(&caller, clock.steady())
        {
            return self.welcome(context, device.clone(), visitor, mechanism);
        }
        if self.memory().is_known_success(&caller, &tag, clock.steady()) {
            return self.welcome(context, doors.who_owns(), visitor, mechanism);
        }
        let attempt = self.memory().begin_password(&caller, &tag, clock.steady());
        let waited = match self.serve_delay(context, &attempt).await {
            Ok(waited) => waited,
            Err(verdict) => return refused(&site, visitor, mechanism, &given.login, verdict, &attempt),
        };
        if let Some(device) = device {
            self.memory().uncount(&caller, Some(&tag), clock.steady());
            return self.welcome(context, device, visitor, mechanism);
        }
        let right = match attempt.repeated {
            true => Some(false),
            false => self.hash(doors.owner.clone(), &given.password).await,
        };
        match right {
            Some(right) if right && Named::read(&site, &given.login) == Named::Owner => {
                self.memory().succeeded(&caller, Some(tag), clock.steady());
                self.welcome(context, doors.who_owns(), visitor, mechanism)
            }
            Some(_) => {
                self.memory().failed(&caller, &tag);
                log::debug!("event=login-waited peer={} waited_ms={}", visitor.peer, waited.as_millis());
                refused(&site, visitor, mechanism, &given.login, Verdict::Wrong, &attempt)
            }
            None => Verdict::Unavailable,
        }
    }

    /// What a SCRAM exchange needs to know of a login, and a nonce for it. Unknown logins get something that looks the same.
    ///
    /// # Errors
    /// Any verdict but [`Verdict::Welcome`].
    pub async fn secret(
        &self,
        context: &Context,
        visitor: &Visitor,
        mechanism: &str,
        login: &str,
    ) -> Result<(Secret, [u8; 18]), Verdict> {
        let site = context.site();
        let doors = Doors::read(context, &site).await?;
        let key = self.key(&context.net).ok_or(Verdict::Unavailable)?;
        let caller = caller(key, &site, visitor, login);
        let refusal = self.memory().refuse(&caller, context.net.clock().steady());
        if let Some(attempt) = refusal {
            return Err(refused(&site, visitor, mechanism, login, Verdict::TooMany, &attempt));
        }
        let nonce = context.net.random::<18>().map_err(|error| no_random(&error))?;
        Ok((doors.secret(login), nonce))
    }

    /// Judges a proof: which stored key it was good for, if any. Waits as [`Logins::check`] does, whatever the proof.
    pub async fn judge(
        &self,
        context: &Context,
        visitor: &Visitor,
        mechanism: &str,
        login: &str,
        right: Option<[u8; 32]>,
    ) -> Verdict {
        let site = context.site();
        let Some(key) = self.key(&context.net) else { return Verdict::Unavailable };
        let caller = caller(key, &site, visitor, login);
        let clock = context.net.clock();
        let attempt = self.memory().begin_proof(&caller, clock.steady());
        if let Err(verdict) = self.serve_delay(context, &attempt).await {
            return refused(&site, visitor, mechanism, login, verdict, &attempt);
        }
        // Asked again: a device may have been removed since the exchange began.
        let doors = match Doors::read(context, &site).await {
            Ok(doors) => doors,
            Err(verdict) => return verdict,
        };
        match right.and_then(|stored_key| doors.proved(login, &stored_key)) {
            Some(who) => {
                self.memory().succeeded(&caller, None, clock.steady());
                self.welcome(context, who, visitor, mechanism)
            }
            None => refused(&site, visitor, mechanism, login, Verdict::Wrong, &attempt),
        }
    }

    /// The password was right: whoever it is comes in, unless it is a device that has no business with this service, or the owner, who
    /// lets only devices in.
    fn welcome(&self, context: &Context, who: Who, visitor: &Visitor, mechanism: &str) -> Verdict {
        let Visitor { service, peer, tls } = visitor;
        let may = match service {
            _ if who.device.is_none() && !context.site().owner_login => false,
            Service::Submission => who.access.sends,
            Service::Imap | Service::Pop3 => who.access.reads(),
            Service::Mx | Service::Web => true,
        };
        let (service, name) = (service.name(), who.name());
        if !may {
            log::info!(
                "event=login-refused service={service} mechanism={mechanism} peer={peer} login={name:?} reason=no-right"
            );
            return Verdict::NotAllowed;
        }
        context.seat.keep();
        log::info!("event=login service={service} mechanism={mechanism} peer={peer} login={name:?} tls={tls}");
        if let Some(device) = &who.device {
            self.sightings.note(device, *peer, context.net.clock().now());
        }
        Verdict::Welcome(who)
    }

    /// Whether an address is not to be greeted, because its network goes on guessing while it is refused. Not for other mail
    /// servers: who guesses passwords may still bring mail. Not for the pages: a phone that goes on with a password that it once had is
    /// set up anew there.
    pub fn turns_away(&self, service: Service, peer: IpAddr, now: Duration) -> bool {
        !matches!(service, Service::Mx | Service::Web) && self.memory().turns_away(peer, now)
    }

    /// Serves the wait of an attempt.
    async fn serve_delay(&self, context: &Context, attempt: &Attempt) -> Result<Duration, Verdict> {
        let wait = attempt.wait.ok_or(Verdict::TooMany)?;
        if !wait.is_zero() {
            let waited = async {
                context.net.clock().sleep(wait).await;
                Ok(())
            };
            let stopped = async {
                context.stopping.asked().await;
                Err(Verdict::Unavailable)
            };
            smol::future::or(waited, stopped).await?;
        }
        Ok(wait)
    }

    /// The key of everything that is remembered; `None` when the system has no random bytes for it.
    fn key(&self, net: &Net) -> Option<&hmac::Key> {
        if let Some(key) = self.key.get() {
            return Some(key);
        }
        let secret = net.random::<32>().map_err(|error| no_random(&error)).ok()?;
        Some(self.key.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }

    /// Has the hashing thread compare; `None` when there is no such thread (any more).
    async fn hash(&self, verifier: Verifier, password: &str) -> Option<bool> {
        let hashing = match self.hashing.get() {
            Some(hashing) => hashing,
            None => {
                let started = start_hashing_thread()?;
                self.hashing.get_or_init(|| started)
            }
        };
        let _counted = InFlight::new(&self.in_flight);
        let (answer, answered) = smol::channel::bounded(1);
        hashing.send(Check { verifier, password: password.into(), answer }).await.ok()?;
        answered.recv().await.ok()
    }

    /// Checks that wait for the hashing thread; 0 means that no answer is under way. A check counts itself out only when
    /// its session has the answer in hand.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(trouble: &Trouble) -> Verdict {
    log::error!("event=login-unavailable trouble={trouble:?}");
    Verdict::Unavailable
}

fn no_random(error: &std::io::Error) -> Verdict {
    log::error!("event=no-random error={error}");
    Verdict::Unavailable
}

/// Logs a refusal. Of those that were not looked at only some, so that a flood of attempts is none of lines.
fn refused(
    site: &Site,
    visitor: &Visitor,
    mechanism: &str,
    login: &str,
    verdict: Verdict,
    attempt: &Attempt,
) -> Verdict {
    let Visitor { service, peer, .. } = visitor;
    let service = service.name();
    let login = match Named::read(site, login) {
        Named::Owner => "owner",
        Named::Device(_) => "device",
        Named::Nobody => "unknown",
    };
    match &verdict {
        Verdict::TooMany if attempt.refusals.is_power_of_two() => log::warn!(
            "event=login-refused service={service} mechanism={mechanism} peer={peer} login={login} reason=too-many count={}",
            attempt.refusals
        ),
        Verdict::Wrong => log::info!(
            "event=login-refused service={service} mechanism={mechanism} peer={peer} login={login} reason=wrong repeated={}",
            attempt.repeated
        ),
        _ => {}
    }
    verdict
}

fn caller(key: &hmac::Key, site: &Site, visitor: &Visitor, login: &str) -> Caller {
    let name = hmac::sign(key, canonical(site, login).as_bytes());
    let mut mark = [0; 8];
    mark.iter_mut().zip(name.as_ref()).for_each(|(to, from)| *to = *from);
    Caller::new(visitor.peer, u64::from_be_bytes(mark))
}

/// A keyed hash of the attempt: equal exactly when verifier, login and password are. A new password of the owner makes every
/// earlier tag void.
fn tag(key: &hmac::Key, verifier: &Verifier, given: &Password) -> Tag {
    let mut signing = hmac::Context::with_key(key);
    signing.update(&verifier.stored_key);
    signing.update(given.login.to_lowercase().as_bytes());
    signing.update(b"\0");
    signing.update(given.password.as_bytes());
    let mut tag = [0u8; 32];
    tag.copy_from_slice(signing.sign().as_ref());
    tag
}

/// Counts one check, as long as it lives.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn new(gauge: &'a AtomicUsize) -> InFlight<'a> {
        gauge.fetch_add(1, Ordering::AcqRel);
        InFlight(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One comparison for the hashing thread.
struct Check {
    verifier: Verifier,
    password: String,
    answer: smol::channel::Sender<bool>,
}

/// Ends when the [`Logins`] that hold its sender are gone.
fn start_hashing_thread() -> Option<smol::channel::Sender<Check>> {
    let (sender, checks) = smol::channel::bounded::<Check>(LOGIN_CHECKS_WAITING_MAX);
    let work = move || {
        while let Ok(check) = checks.recv_blocking() {
            // Nobody waits any more when the session has gone meanwhile: that is fine.
            let _ = check.answer.try_send(check.verifier.matches(&check.password));
        }
    };
    let started = std::thread::Builder::new().name("hauspost-hash".into()).spawn(work);
    started.inspect_err(|e| log::error!("event=no-hashing-thread error={e}")).ok().map(|_| sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashing_thread_tells_right_from_wrong() {
        let logins = Logins::default();
        let verifier = Verifier::new("right", [3; 16], 4096);
        let ask = |password: &'static str| smol::future::block_on(logins.hash(verifier.clone(), password));
        assert_eq!(ask("right"), Some(true));
        assert_eq!(ask("wrong"), Some(false));
    }
}
