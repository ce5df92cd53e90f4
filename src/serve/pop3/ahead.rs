//! Messages that are read before they are asked for, for a client that takes one after the other.
//!
//! Receives the messages that will be asked for next; hands on those that are asked for, whole. While some wait to be asked for, the
//! next are read, so that the client does not wait for the store. Never holds more than twice [`POP3_AHEAD_BYTES`], nor reads what
//! the client has not come near.

use super::maildrop::read_ahead;
use crate::limits::POP3_AHEAD_BYTES;
use crate::mail::message::MailboxId;
use crate::store::Store;
use std::collections::VecDeque;
use std::pin::Pin;

/// Whole messages by UID.
type Messages = Vec<(u32, Vec<u8>)>;

/// See the module.
#[derive(Default)]
pub(super) struct Ahead {
    /// At most [`POP3_AHEAD_BYTES`], in the order of the maildrop.
    read: VecDeque<(u32, Vec<u8>)>,
    /// Those behind them, as much again.
    coming: Option<Pin<Box<dyn Future<Output = Messages> + Send>>>,
}

const _: () = assert!(POP3_AHEAD_BYTES <= 128 << 10, "a session holds two of them");

impl Ahead {
    /// A message, if it was read; those before it are not wanted. Nothing is known afterwards when it was not.
    pub(super) async fn take(&mut self, uid: u32) -> Option<Vec<u8>> {
        loop {
            while let Some((known, bytes)) = self.read.pop_front() {
                if known == uid {
                    return Some(bytes);
                }
            }
            self.read = self.coming.take()?.await.into();
        }
    }

    /// Has the messages behind those that are known read, once few are left; `next` are those that will be asked for next.
    pub(super) async fn go_on(&mut self, store: &Store, place: (MailboxId, bool), next: &[u32]) {
        let behind = next.get(self.read.len()..).unwrap_or_default();
        if self.coming.is_some() || behind.len() < next.len() / 2 || behind.is_empty() {
            return;
        }
        let (store, behind) = (store.clone(), behind.to_vec());
        let mut coming: Pin<Box<dyn Future<Output = Messages> + Send>> = Box::pin(async move {
            let read = store.read(move |snapshot| Ok(read_ahead(snapshot, place, &behind)));
            // What cannot be read will say so when it is asked for.
            read.await.unwrap_or_default()
        });
        // The store begins with what it was asked; the answer is fetched when it is wanted.
        match smol::future::poll_once(&mut coming).await {
            Some(read) => self.read.extend(read),
            None => self.coming = Some(coming),
        }
    }
}
