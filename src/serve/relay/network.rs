//! The relay and the network: what becomes of the queue when the network is back.
//!
//! Receives what the kernel tells and what becomes of attempts; hands on entries that are due at once. What follows from what is
//! decided in [`super::outage`]. While nobody waits for the network, nothing is asked.

use super::Relay;
use crate::limits::*;
use crate::mail::message::QueueId;
use crate::net::DnsTrouble;
use crate::store::{Op, QueueEntry};
use crate::wire::address::Domain;
use smol::future::FutureExt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Watches as long as the relay lives.
pub(super) fn watch(relay: &Rc<Relay>) {
    let (kernel, names, past, brought) = (relay.clone(), relay.clone(), relay.clone(), relay.clone());
    relay.spawn(async move { kernel.watch_kernel().or(kernel.context.stopping.asked()).await });
    relay.spawn(async move { names.watch_names().or(names.context.stopping.asked()).await });
    relay.spawn(async move { brought.schedule_anew().or(brought.context.stopping.asked()).await });
    relay.spawn(async move { past.remember_who_waits().await });
}

impl Relay {
    async fn watch_kernel(&self) {
        let mut changes = self.context.net.changes();
        let clock = self.context.net.clock();
        loop {
            changes.next().await;
            // Addresses, routes and name servers come one after the other.
            clock.sleep(Duration::from_secs(RELAY_NETWORK_SETTLES_SECONDS)).await;
            // A sign that comes too soon after another counts later: the link may have come long before the route.
            let deaf = self.outage.borrow().deaf_for(clock.steady());
            clock.sleep(deaf).await;
            let brought = self.outage.borrow_mut().network_may_be_back(clock.steady());
            self.bring_forward(brought);
        }
    }

    /// Asks about a name that was not answered for, at growing intervals, until it is.
    async fn watch_names(&self) {
        let clock = self.context.net.clock();
        let mut wait = Duration::from_secs(RELAY_PROBE_SECONDS);
        loop {
            let lost = self.lost_name.listen();
            let name = self.outage.borrow().name().cloned();
            let Some(name) = name else {
                wait = Duration::from_secs(RELAY_PROBE_SECONDS);
                lost.await;
                continue;
            };
            clock.sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(RELAY_PROBE_SECONDS_MAX));
            // It may have been found out otherwise meanwhile.
            if self.outage.borrow().name() != Some(&name) {
                continue;
            }
            self.context.net.forget_names();
            if !matches!(self.context.net.mx(&name).await, Err(DnsTrouble::Temporary(_))) {
                let brought = self.outage.borrow_mut().network_may_be_back(clock.steady());
                self.bring_forward(brought);
            }
        }
    }

    /// Those that were put off before this start, as far as their reasons tell.
    async fn remember_who_waits(self: Rc<Self>) {
        let mut after = QueueId(0);
        loop {
            let page = self.context.store.read(move |snapshot| snapshot.queue(after, RELAY_LOOK_PAGE)).await;
            let Ok(page) = page else { return };
            let Some(last) = page.last() else { return };
            after = last.id;
            let mut outage = self.outage.borrow_mut();
            page.iter().filter(|entry| waits_for_network(entry)).for_each(|entry| outage.put_off(entry.id));
        }
    }

    pub(super) fn server_reached(&self) {
        let brought = self.outage.borrow_mut().server_reached();
        self.bring_forward(brought);
    }

    pub(super) fn server_unreachable(&self, server: IpAddr, no_way: bool) {
        self.outage.borrow_mut().server_unreachable(server, no_way);
    }

    pub(super) fn name_unanswered(&self, name: &Domain) {
        self.outage.borrow_mut().name_unanswered(name);
        self.lost_name.notify(usize::MAX);
    }

    /// A round has ended. `by_network`: all who wait again do so because nothing could be reached.
    pub(super) fn note_end(&self, entry: QueueId, by_network: bool) {
        match by_network {
            true => self.outage.borrow_mut().put_off(entry),
            false => self.outage.borrow_mut().decided(entry),
        }
        self.lost_name.notify(usize::MAX);
    }

    fn bring_forward(&self, entries: Vec<QueueId>) {
        if entries.is_empty() {
            return;
        }
        log::info!("event=network-back entries={}", entries.len());
        self.backoff.borrow_mut().network_is_back();
        self.context.net.forget_names();
        // The task that waits for them lives as long as the relay.
        let _ = self.brought_forward.0.try_send(entries);
    }

    /// Makes entries due at once.
    async fn schedule_anew(&self) {
        while let Ok(brought) = self.brought_forward.1.recv().await {
            for entries in brought.chunks(RELAY_BROUGHT_FORWARD_AT_ONCE) {
                let (entries, due) = (entries.to_vec(), self.now());
                if let Err(trouble) = self.context.store.apply(Op::RetryThese { entries, due }).await {
                    // They are tried at their time.
                    log::error!("event=not-brought-forward trouble={trouble:?}");
                }
            }
        }
    }
}

/// An answer begins with its code; anything else happened on the way.
fn waits_for_network(entry: &QueueEntry) -> bool {
    let by_network = |reply: &str| !reply.is_empty() && !reply.bytes().take(3).all(|byte| byte.is_ascii_digit());
    !entry.held && entry.recipients.iter().all(|recipient| by_network(&recipient.last_reply))
}
