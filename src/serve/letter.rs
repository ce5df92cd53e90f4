//! Letters: what the node has to say to its owner, in their inbox.

use crate::mail::message::{Flags, INBOX};
use crate::net::Net;
use crate::serve::Intake;
use crate::store::{Deliver, Op, Store, Target, Trouble};
use crate::wire::address::{Address, Domain};
use crate::wire::date::{DateTime, encode_date_time};

/// One message of the node's own.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Of the node.
    pub hostname: &'a Domain,
    /// The owner's.
    pub address: &'a Address,
    /// In ASCII.
    pub subject: &'a str,
    /// In UTF-8, with LF at the ends of its lines.
    pub text: &'a str,
}

impl Letter<'_> {
    /// Puts it into INBOX.
    ///
    /// # Errors
    /// What the store says.
    pub async fn deliver(&self, store: &Store, net: &Net) -> Result<(), Trouble> {
        let Letter { hostname, address, subject, text } = self;
        let now = net.clock().now();
        let id = net.random::<12>().map_err(|error| Trouble::Failed(error.to_string()))?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let date = encode_date_time(DateTime { seconds: now.seconds(), zone_minutes: 0 });
        let message = format!(
            "Date: {date}\r\nFrom: Hauspost <postmaster@{domain}>\r\nTo: <{address}>\r\nSubject: {subject}\r\nMessage-ID: \
             <{id}@{hostname}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: \
             8bit\r\nAuto-Submitted: auto-generated\r\n\r\n{body}",
            domain = address.domain,
            body = text.replace('\n', "\r\n"),
        );
        let mut intake = Intake::new(store);
        intake.write(message.as_bytes()).await?;
        let body = intake.finish().await?;
        let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
        store.apply(Op::Deliver(Deliver { body, targets, internal_date: now, now })).await.map(drop)
    }
}
