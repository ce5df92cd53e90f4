//! Changes of the network that may have brought it back: the kernel tells of links and routes (rtnetlink(7)).
//!
//! Receives nothing; hands on that something has come up. Never says that something has gone, which whoever uses it notices.

use event_listener::{Event, EventListener};
use nix::libc;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};
use smol::Async;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// Bytes of messages read at once: the kernel sends a page at most, some messages of a hundred bytes in practice.
const MESSAGES_BYTES: usize = 8192;

/// Tells when the network may be back.
pub struct NetworkChanges(Source);

enum Source {
    Kernel(Async<OwnedFd>),
    Told(Arc<Event>, EventListener),
    /// The kernel does not say.
    Silent,
}

impl NetworkChanges {
    /// Those of this machine. A kernel that tells nothing is said in the log, once; there are no changes then.
    pub(super) fn of_kernel() -> NetworkChanges {
        match open() {
            Ok(socket) => NetworkChanges(Source::Kernel(socket)),
            Err(error) => {
                log::info!("event=network-changes-unknown error={:?}", error.to_string());
                NetworkChanges(Source::Silent)
            }
        }
    }

    /// Those that somebody tells of.
    pub(super) fn told(event: &Arc<Event>) -> NetworkChanges {
        NetworkChanges(Source::Told(event.clone(), event.listen()))
    }

    /// Waits until a link has come up or there is a new default route. Cancel-safe.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Source::Kernel(socket) => loop {
                match heard(socket).await {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => {
                        log::info!("event=network-changes-unknown error={:?}", error.to_string());
                        self.0 = Source::Silent;
                        return;
                    }
                }
            },
            Source::Told(event, told) => {
                (&mut *told).await;
                *told = event.listen();
            }
            Source::Silent => std::future::pending().await,
        }
    }
}

fn open() -> io::Result<Async<OwnedFd>> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE;
    let groups = u32::try_from(groups).map_err(io::Error::other)?;
    socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Async::new(socket)
}

async fn heard(socket: &Async<OwnedFd>) -> io::Result<bool> {
    socket.readable().await?;
    let mut messages = [0u8; MESSAGES_BYTES];
    match socket::recv(socket.as_raw_fd(), &mut messages, MsgFlags::MSG_DONTWAIT) {
        Ok(bytes) => Ok(brings_network(messages.get(..bytes).unwrap_or_default())),
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(false),
        // Some were lost because there were so many.
        Err(nix::Error::ENOBUFS) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Whether one of the messages tells of a link that runs, or of a default route. Addresses are not looked at: routers repeat
/// them every few minutes, and one that is of use brings a route.
fn brings_network(mut messages: &[u8]) -> bool {
    const HEADER_BYTES: usize = 16;
    while let Some((header, rest)) = messages.split_at_checked(HEADER_BYTES) {
        let &[a, b, c, d, kind_low, kind_high, ..] = header else { return false };
        let bytes = u32::from_ne_bytes([a, b, c, d]) as usize;
        let Some(body) = bytes.checked_sub(HEADER_BYTES).and_then(|bytes| rest.get(..bytes)) else { return false };
        let brings = match u16::from_ne_bytes([kind_low, kind_high]) {
            // struct ifinfomsg: the flags stand behind family, type and index.
            libc::RTM_NEWLINK => {
                let flags = body.get(8..12).and_then(|flags| flags.try_into().ok()).map_or(0, u32::from_ne_bytes);
                let has = |flag: libc::c_int| u32::try_from(flag).is_ok_and(|flag| flags & flag != 0);
                has(libc::IFF_RUNNING) && !has(libc::IFF_LOOPBACK)
            }
            // struct rtmsg: family, then the length of the destination's prefix.
            libc::RTM_NEWROUTE => body.get(1) == Some(&0),
            _ => false,
        };
        if brings {
            return true;
        }
        messages = rest.get(body.len().next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let bytes = u32::try_from(16 + body.len()).unwrap();
        let mut message = [&bytes.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat();
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn link(flags: libc::c_int) -> Vec<u8> {
        message(libc::RTM_NEWLINK, &[&[0; 8][..], &flags.to_ne_bytes(), &[0; 5]].concat())
    }

    #[test]
    fn only_what_brings_the_network_counts() {
        let default = message(libc::RTM_NEWROUTE, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let other = message(libc::RTM_NEWROUTE, &[2, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let gone = message(libc::RTM_DELROUTE, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(brings_network(&default));
        assert!(brings_network(&link(libc::IFF_UP | libc::IFF_RUNNING)));
        let quiet =
            [other, gone, link(libc::IFF_UP), link(libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_LOOPBACK)].concat();
        assert!(!brings_network(&quiet));
        assert!(brings_network(&[quiet.clone(), default.clone()].concat()));
        for end in 0..default.len() {
            assert!(!brings_network(&default[..end]));
        }
        assert!(!brings_network(&[0; 64]), "no message has no length");
        assert!(!brings_network(&[255; 64]));
    }

    #[test]
    fn the_kernel_can_be_listened_to() {
        let mut changes = NetworkChanges::of_kernel();
        // Nothing changes here, as a rule: what matters is that it neither fails nor spins.
        let _maybe = smol::block_on(smol::future::poll_once(std::pin::pin!(changes.next())));
        let event = Arc::new(Event::new());
        let mut told = NetworkChanges::told(&event);
        event.notify(usize::MAX);
        smol::block_on(told.next());
        assert!(smol::block_on(smol::future::poll_once(std::pin::pin!(told.next()))).is_none());
    }
}
