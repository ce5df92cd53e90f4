//! A login that goes on: it holds as long as its device is there, with the rights that the device has now.
//!
//! Sessions look at it before each command, and wait for its bell beside the client: a device that is removed is sent away at once.
//! The owner's own login always holds, and costs nothing.

use super::Who;
use crate::serve::Context;
use crate::store::{Bell, Trouble, Watched};

/// Who is logged in, and whether they still are.
pub struct Standing {
    who: Who,
    /// Rings when anybody's rights change; only of devices.
    bell: Option<Bell>,
    /// It has rung, and the rights have not been looked up since.
    stale: bool,
}

/// What has become of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heeded {
    /// It is as it was.
    Same,
    /// It has other rights now, or collects otherwise.
    Changed,
    /// The device has been removed, or has another password.
    Gone,
}

impl Standing {
    /// Of whoever has just logged in. To be looked at once more at once: the password may have waited to be judged.
    pub fn new(context: &Context, who: Who) -> Standing {
        let bell = who.device.as_ref().map(|_| context.store.bell(Watched::Logins));
        let stale = bell.is_some();
        Standing { who, bell, stale }
    }

    /// Who it is, with the rights as they were last seen.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Returns when [`Standing::heed`] may have something to say. Cancel-safe.
    pub async fn rung(&mut self) {
        match &mut self.bell {
            Some(bell) => bell.rung().await,
            None => smol::future::pending().await,
        }
        self.stale = true;
    }

    /// Looks the rights up again if they may have changed.
    ///
    /// # Errors
    /// The store could not be asked; it is asked again the next time.
    pub async fn heed(&mut self, context: &Context) -> Result<Heeded, Trouble> {
        self.stale |= self.bell.as_mut().is_some_and(Bell::take_ring);
        if !self.stale {
            return Ok(Heeded::Same);
        }
        let Some(now) = self.who.renewed(context).await? else { return Ok(Heeded::Gone) };
        self.stale = false;
        let before = std::mem::replace(&mut self.who, now);
        let same = before.access == self.who.access && before.collecting == self.who.collecting;
        Ok(if same { Heeded::Same } else { Heeded::Changed })
    }
}
