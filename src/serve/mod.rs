//! Drivers: a conversation wants something, the driver gets it from `store` or `net` and answers.
//!
//! Receives accepted connections and bells; hands on replies, Ops and relayed mail. Never parses bytes itself.

pub mod admission;
pub mod certificates;
mod destinations;
pub mod devices;
pub mod imap;
mod inquiries;
mod intake;
mod letter;
mod login;
mod notice;
pub mod pop3;
pub mod queue;
pub mod reception;
pub mod relay;
pub mod selftest;
mod sent;
mod signing;
mod site;
pub mod smtp;
mod srs;
pub mod web;

pub use admission::{AddressRange, Admission, Network, Refusal, Seat, Ticket};
pub use destinations::{Destinations, Seen};
pub use inquiries::Inquiries;
pub use intake::{Intake, Whole};
pub use letter::Letter;
pub use login::{
    Authentication, Heeded, Logins, Named, Progress, Sighting, Standing, Verdict, Visitor, Who, authenticate,
    device_login, run_sightings,
};
pub use sent::SentCopies;
pub use signing::sign_message;
pub use site::*;

use crate::net::Net;
use crate::store::Store;
use std::sync::{Arc, RwLock};

/// What every session works with. Cheap to clone; shared by all cores.
#[derive(Clone)]
pub struct Context {
    /// What is remembered.
    pub store: Store,
    /// The world.
    pub net: Net,
    /// The configuration in force; sessions take [`Context::site`] when they start and keep it.
    pub current_site: Arc<RwLock<Arc<Site>>>,
    /// Password checks.
    pub logins: Arc<Logins>,
    /// What has been filed as sent lately.
    pub sent: Arc<SentCopies>,
    /// What servers inside have said about recipients.
    pub inquiries: Arc<Inquiries>,
    /// What is known of the places that mail goes to.
    pub destinations: Arc<Destinations>,
    /// What the relay and those who change its queue tell each other.
    pub handling: Arc<queue::Handling>,
    /// Which devices have their maildrops open.
    pub maildrops: Arc<pop3::Maildrops>,
    /// Links that open the pages of devices.
    pub links: Arc<web::Links>,
    /// What the IMAP sessions share that compress.
    pub compressing: Arc<imap::Compressing>,
    /// The place of this session.
    pub seat: Seat,
    /// Set when the node is stopping: idle sessions say goodbye, busy ones finish their command.
    pub stopping: Stopping,
}

impl Context {
    /// The configuration in force now.
    pub fn site(&self) -> Arc<Site> {
        match self.current_site.read() {
            Ok(site) => site.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }
}

/// A latch that tells all sessions that the node is stopping.
#[derive(Clone, Default)]
pub struct Stopping {
    asked: Arc<std::sync::atomic::AtomicBool>,
    event: Arc<event_listener::Event>,
}

impl Stopping {
    /// Whether the node is stopping.
    pub fn is_set(&self) -> bool {
        self.asked.load(std::sync::atomic::Ordering::Acquire)
    }
    /// Asks everybody to stop.
    pub fn set(&self) {
        self.asked.store(true, std::sync::atomic::Ordering::Release);
        self.event.notify(usize::MAX);
    }
    /// Returns once the node is stopping. Cancel-safe.
    pub async fn asked(&self) {
        loop {
            let listener = self.event.listen();
            if self.is_set() {
                return;
            }
            listener.await;
        }
    }
}
