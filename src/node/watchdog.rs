//! The board's watchdog: fed as long as the store's writer and the listeners answer, so that a node that hangs costs a restart of
//! the board, and not the mail of a week.
//!
//! The device (`watchdog` in the configuration) is opened before root's rights are given up. From then on the board starts again
//! when nothing is written to it for as long as the hardware says, some 15 s. A node that ends in good order disarms it; one that
//! dies, or hangs until it is killed, does not. What is slow is not dead: all have [`WATCHDOG_PATIENCE_SECONDS`] to answer.

use crate::limits::{WATCHDOG_FEED_SECONDS, WATCHDOG_LOOK_SECONDS, WATCHDOG_PATIENCE_SECONDS, WATCHDOG_RETRY_SECONDS};
use crate::net::Clock;
use crate::node::failure::{Exit, Failure};
use crate::node::sockets::Bound;
use crate::serve::{Context, Site};
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

/// What tells the kernel that the device is closed on purpose (Linux, Documentation/watchdog/watchdog-api.rst).
const DISARM: &[u8] = b"V";
const FOOD: &[u8] = b"\0";

/// An armed watchdog. Dropped, it is disarmed, unless something did not answer.
pub struct Watchdog {
    device: File,
    has_given_up: bool,
}

impl Watchdog {
    /// Opens it, which arms it.
    ///
    /// # Errors
    /// There is no such device, or another program feeds it.
    pub fn arm(path: &Path) -> Result<Watchdog, Failure> {
        let opened = OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
        let device = opened
            .map_err(|e| Failure::new(Exit::System, format!("cannot open the watchdog {}: {e}", path.display())))?;
        log::info!("event=watchdog-armed device={:?}", path.display().to_string());
        Ok(Watchdog { device, has_given_up: false })
    }

    /// Feeds it until dropped, or until `all_answer` takes longer than they have; from then on it waits for the end.
    pub async fn run(mut self, clock: Clock, all_answer: impl AsyncFn()) {
        loop {
            let look = clock.within(Duration::from_secs(WATCHDOG_PATIENCE_SECONDS), all_answer());
            if self.feed_during(&clock, look).await.is_none() {
                log::error!("event=watchdog-starves reason=\"the writer or a listener does not answer\"");
                self.has_given_up = true;
                return std::future::pending().await;
            }
            self.feed_during(&clock, clock.sleep(Duration::from_secs(WATCHDOG_LOOK_SECONDS))).await;
        }
    }

    async fn feed_during<T>(&mut self, clock: &Clock, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Err(error) = self.device.write_all(FOOD) {
                log::warn!("event=watchdog-not-fed reason={:?}", error.to_string());
            }
            if let Some(done) = clock.within(Duration::from_secs(WATCHDOG_FEED_SECONDS), &mut work).await {
                return done;
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if !self.has_given_up {
            let _ = self.device.write_all(DISARM);
        }
    }
}

/// Returns once the writer has come to a question and each of these listeners has greeted.
pub async fn all_answer(context: &Context, listeners: &[SocketAddr]) {
    let retry = Duration::from_secs(WATCHDOG_RETRY_SECONDS);
    while context.store.pulse().await.is_err() {
        context.net.clock().sleep(retry).await;
    }
    for listener in listeners {
        while let Err(error) = greets(context, *listener).await {
            log::debug!("event=does-not-greet address={listener} reason={:?}", error.to_string());
            context.net.clock().sleep(retry).await;
        }
    }
}

async fn greets(context: &Context, listener: SocketAddr) -> io::Result<()> {
    let wait = Duration::from_secs(WATCHDOG_PATIENCE_SECONDS);
    let mut stream = context.net.connect(listener, wait).await?;
    match stream.read(&mut [0; 64], wait).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Where this machine reaches a listener.
pub fn near(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

/// Where this machine reaches the listeners that greet: those without TLS from the first byte, unless a front has to speak first.
pub fn greeting_listeners(sockets: &[Bound], site: &Site) -> Vec<SocketAddr> {
    let plain = sockets.iter().filter(|bound| !bound.port.implicit_tls).map(|bound| near(bound.address));
    plain.filter(|address| !site.is_front(address.ip())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::VirtualClock;
    use smol::LocalExecutor;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Runs a watchdog over a file for a virtual time; returns what was written while all answered, and then.
    fn fed(seconds_well: u64, seconds_hung: u64) -> (Vec<u8>, Vec<u8>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hand = VirtualClock::new();
        let clock = Clock::moved_by(hand.clone());
        let hangs = Arc::new(AtomicBool::new(false));
        let watchdog = Watchdog::arm(file.path()).unwrap();
        let executor = LocalExecutor::new();
        let asked = hangs.clone();
        let task = executor.spawn(watchdog.run(clock, async move || {
            if asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        }));
        let pass = |seconds: u64| {
            for _ in 0..seconds {
                while executor.try_tick() {}
                hand.advance(Duration::from_secs(1));
            }
            while executor.try_tick() {}
        };
        pass(seconds_well);
        let well = std::fs::read(file.path()).unwrap();
        hangs.store(true, Ordering::Relaxed);
        pass(seconds_hung);
        drop(task);
        drop(executor);
        let all = std::fs::read(file.path()).unwrap();
        (well.clone(), all[well.len()..].to_vec())
    }

    #[test]
    fn it_is_fed_while_all_answer_and_disarmed_in_the_end() {
        let (well, end) = fed(100, 0);
        assert!(well.len() as u64 >= 100 / WATCHDOG_FEED_SECONDS && well.iter().all(|byte| *byte == 0), "{well:?}");
        assert_eq!(end, DISARM);
    }

    #[test]
    fn it_starves_once_something_has_not_answered_for_too_long() {
        let (_, end) = fed(20, 1_000);
        assert!(!end.contains(&b'V'));
        let most = (WATCHDOG_LOOK_SECONDS + WATCHDOG_PATIENCE_SECONDS) / WATCHDOG_FEED_SECONDS + 3;
        assert!((10..=most).contains(&(end.len() as u64)), "{}", end.len());
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let failure = Watchdog::arm(Path::new("/nowhere/watchdog")).err().unwrap();
        assert!(failure.sentence.contains("/nowhere/watchdog"));
    }
}
