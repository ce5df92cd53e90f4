//! Asks a server inside whether it takes mail for a recipient, before mail for them is taken here.
//!
//! Receives a gateway and an address; hands on the server's answer. Says MAIL and RCPT and then takes it back, so that no message
//! is ever sent by this. Whoever asks bounds the time.

use super::desk::{Destination, Place};
use super::session::Session;
use super::walk::{gives_up_loops, server};
use crate::mail::addressbook::Gateway;
use crate::mail::bounce::Reason;
use crate::mail::route::{Blocked, Looked, order_addresses};
use crate::mail::tls_policy::{Demands, HostTls};
use crate::net::{DnsTrouble, Net};
use crate::serve::Site;
use crate::wire::address::{Address, Domain};
use crate::wire::smtp::client::{Answer, Verb, Verdict};

/// What the server says about the recipient; `Err`: it could not be asked, and why. Its addresses are tried in turn.
pub async fn ask(net: &Net, site: &Site, gateway: &Gateway, recipient: &Address) -> Result<Answer, String> {
    let host = Domain::new(&gateway.host);
    let looked = match net.addresses(&host).await {
        Ok(found) => Looked::Found(found),
        Err(DnsTrouble::NoSuchName) => Looked::NoSuchName,
        Err(DnsTrouble::Temporary(why)) => Looked::Temporary(why),
    };
    let addresses = order_addresses(host.as_str(), looked, true).map_err(|blocked| match blocked {
        Blocked::Never(answer) => answer.to_string(),
        Blocked::Later(reason) => reason.to_string(),
    })?;
    let destination = Destination { place: Place::Gateway(gateway.clone()), demands: Demands::default() };
    let mut last = "it has no address".to_owned();
    for ip in addresses {
        let server = server(net.clock(), site, &destination, (&host, &HostTls::Opportunistic), ip);
        match Session::open(net, &server, gives_up_loops(site, &destination)).await {
            Err(refused) => last = refused.reason.to_string(),
            Ok(mut session) => {
                let verdict = session.ask(recipient.clone()).await;
                let reason = session.end_reason();
                session.quit().await;
                match verdict {
                    Verdict::Delivered(answer)
                    | Verdict::Permanent(answer, Verb::Rcpt)
                    | Verdict::Temporary(answer, Verb::Rcpt) => return Ok(answer),
                    // Not about the recipient.
                    Verdict::Permanent(answer, _) | Verdict::Temporary(answer, _) => last = answer.to_string(),
                    Verdict::Cut { .. } => last = reason.as_ref().map_or_else(String::new, Reason::to_string),
                }
            }
        }
    }
    Err(last)
}
