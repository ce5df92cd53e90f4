//! One message on its way from a session into the store.
//!
//! The header is kept until it is complete, judged, mended and written with our fields on top; the rest streams through.
//! A refusal found on the way is kept until the message ends, because only then can it be said.

use super::delivery::{self, Failing, Taken};
use super::filing::Filing;
use crate::limits::{BOUNCE_HEADER_BYTES, SMTP_HEADER_BYTES_MAX};
use crate::mail::bounce::tells_success;
use crate::mail::received::{self, Origin, Received};
use crate::mail::submitted::{self, HeaderTrouble, Mending};
use crate::net::TlsFacts;
use crate::serve::{Context, Intake, Site, Whole};
use crate::store::{Done, Trouble};
use crate::wire::header::fields;
use crate::wire::smtp::{Body, Envelope, Recipient, Reply, Role, Server, replies};
use std::net::IpAddr;

/// A message being received.
pub(super) struct Incoming {
    role: Role,
    peer: IpAddr,
    tls: Option<TlsFacts>,
    /// Our name for it, in Received and in the log.
    id: String,
    intake: Intake,
    stage: Stage,
    /// The beginning of its header, when somebody wants to be told of its delivery.
    header: Vec<u8>,
    /// Its author wants it sent although no TLS can be had (RFC 8689 section 3).
    tls_optional: bool,
}

enum Stage {
    /// The header block so far.
    Header(Vec<u8>),
    /// The header has been written.
    Body,
    /// The message will be refused at its end.
    Refused(Reply),
}

impl Incoming {
    /// Begins a message.
    pub(super) fn begin(
        context: &Context,
        site: &Site,
        role: Role,
        peer: IpAddr,
        tls: Option<TlsFacts>,
    ) -> Result<Incoming, Reply> {
        let number = context.net.random::<8>().map_err(|error| {
            log::error!("event=no-random error={error}");
            replies::FAILED
        })?;
        let id = format!("{:016x}", u64::from_be_bytes(number));
        let intake = match role {
            Role::Mx => Intake::new(&context.store),
            Role::Submission if site.signing_keys.is_empty() => Intake::fingerprinting(&context.store),
            Role::Submission => Intake::fingerprinting(&context.store).hashing(),
        };
        Ok(Incoming {
            role,
            peer,
            tls,
            id,
            intake,
            stage: Stage::Header(Vec::new()),
            header: Vec::new(),
            tls_optional: false,
        })
    }

    /// Takes bytes of the message. Troubles wait for the end of the message.
    pub(super) async fn write(&mut self, context: &Context, site: &Site, server: &Server, bytes: &[u8]) {
        let written = match &mut self.stage {
            Stage::Refused(_) => Ok(()),
            Stage::Body => self.intake.write(bytes).await.map_err(reply_of),
            Stage::Header(header) => {
                // The empty line may have begun in what is there already: its CRLF, and the one before.
                let searched = header.len().saturating_sub(3);
                header.extend_from_slice(bytes);
                match header_end(header, searched) {
                    Some(end) => self.begin_body(context, site, server, end).await,
                    None if header.len() > SMTP_HEADER_BYTES_MAX => Err(replies::HEADER_TOO_LARGE),
                    None => Ok(()),
                }
            }
        };
        if let Err(refusal) = written {
            self.stage = Stage::Refused(refusal);
        }
    }

    /// The header is complete, `end` bytes of what is kept: judges and writes it, and what came with it.
    async fn begin_body(&mut self, context: &Context, site: &Site, server: &Server, end: usize) -> Result<(), Reply> {
        let Stage::Header(kept) = std::mem::replace(&mut self.stage, Stage::Body) else { return Ok(()) };
        let (header, rest) = kept.split_at_checked(end).unwrap_or((&kept, &[]));
        let header = unfolded_start(header);
        let Some(envelope) = server.envelope() else { return Err(replies::FAILED) };
        let mut out = Vec::with_capacity(header.len() + 1024);
        match self.role {
            Role::Mx => self.receive(context, site, server, envelope, header, &mut out)?,
            Role::Submission => self.submit(context, site, server, envelope, header, &mut out)?,
        }
        self.tls_optional = !envelope.parameters.require_tls && asks_for_no_tls(header);
        if envelope.recipients.iter().any(|recipient| tells_success(recipient.parameters.notify)) {
            self.header = header.get(..BOUNCE_HEADER_BYTES).unwrap_or(header).to_vec();
        }
        self.intake.write(&out).await.map_err(reply_of)?;
        self.intake.write(rest).await.map_err(reply_of)
    }

    /// The header of a message from another server, as it is delivered.
    fn receive(
        &self,
        context: &Context,
        site: &Site,
        server: &Server,
        envelope: &Envelope,
        header: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Reply> {
        // Only the body may be binary: what reads headers goes by lines.
        if envelope.parameters.body == Body::BinaryMime && !is_lines(header) {
            return Err(replies::HEADER_BINARY);
        }
        if received::is_looping(header, envelope.recipients.iter().map(|recipient| &recipient.address)) {
            return Err(replies::LOOP);
        }
        received::encode_return_path(&envelope.reverse_path, out);
        for address in delivery::traced(site, envelope) {
            received::encode_delivered_to(address, out);
        }
        self.encode_received(context, site, server, envelope, out);
        received::copy_without_return_path(header, out);
        Ok(())
    }

    /// The header of a message from the owner, as it goes out. No Return-Path and no Delivered-To: the owner's own copies
    /// share their bytes with what is relayed.
    fn submit(
        &self,
        context: &Context,
        site: &Site,
        server: &Server,
        envelope: &Envelope,
        header: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Reply> {
        self.encode_received(context, site, server, envelope, out);
        let now = context.net.clock().now();
        let mending = Mending { reverse_path: &envelope.reverse_path, now, id: &self.id, hostname: &site.hostname };
        submitted::mend(header, &mending, |author| site.book.is_own(author), out).map_err(|trouble| match trouble {
            HeaderTrouble::BadFrom => replies::BAD_FROM,
            HeaderTrouble::NotYourFrom => replies::NOT_YOUR_FROM,
            HeaderTrouble::NotYourSender => replies::NOT_YOUR_SENDER,
        })
    }

    fn encode_received(&self, context: &Context, site: &Site, server: &Server, envelope: &Envelope, out: &mut Vec<u8>) {
        let hello = server.hello();
        let hidden = self.role == Role::Submission && !site.submission_shows_client;
        let trace = Received {
            origin: hello.filter(|_| !hidden).map(|hello| Origin { hello: &hello.name, address: self.peer }),
            by: &site.hostname,
            extended: hello.is_some_and(|hello| hello.extended),
            smtp_utf8: envelope.parameters.smtp_utf8,
            tls: self.tls.as_ref().map(|tls| (tls.version, tls.cipher.as_str())),
            authenticated: server.is_logged_in(),
            id: &self.id,
            recipient: match envelope.recipients.as_slice() {
                [recipient] => Some(&recipient.address),
                _ => None,
            },
            at: context.net.clock().now(),
        };
        trace.encode(out);
    }

    /// Makes the message durable; the reply says what became of it, and the log as well when it was taken.
    pub(super) async fn finish(
        mut self: Box<Incoming>,
        context: &Context,
        site: &Site,
        server: &Server,
    ) -> Result<Reply, Reply> {
        if let Stage::Header(header) = &self.stage {
            // A header without the empty line after it: all of the message is header.
            let end = header.len();
            self.begin_body(context, site, server, end).await?;
        }
        let Incoming { role, peer, tls, id, intake, stage, header, tls_optional } = *self;
        if let Stage::Refused(refusal) = stage {
            return Err(refusal);
        }
        let Some(mut envelope) = server.envelope().cloned() else { return Err(replies::FAILED) };
        envelope.parameters.tls_optional = tls_optional;
        let envelope = &envelope;
        let Whole { body, fingerprint, digest } = intake.finish_whole().await.map_err(reply_of)?;
        let bytes = body.bytes();
        let files = role == Role::Submission && site.sent_copy;
        let _turn = if files { Some(context.sent.turn().await) } else { None };
        let filing = if files { Filing::plan(context, fingerprint).await.map_err(reply_of)? } else { None };
        let taken = Taken { body, filing: filing.as_ref(), digest, header: &header };
        let op = delivery::make_op(context, site, role, envelope, taken).await;
        let op = op.map_err(Failing::reply)?;
        let done = context.store.apply(op).await.map_err(reply_of)?;
        if let Some(filing) = filing {
            filing.done(context);
        }
        let (reply, place) = match done {
            Done::Enqueued(entries) => {
                let ids: Vec<String> = entries.iter().map(|entry| entry.0.to_string()).collect();
                let ids = ids.join(",");
                (replies::QUEUED.saying(format!("Queued as {ids}")), format!("queue={ids}"))
            }
            Done::Delivered(copies) => {
                let uid = copies.first().map_or(0, |copy| copy.uid.0);
                (replies::DELIVERED.saying(format!("Delivered as {id}")), format!("uid={uid}"))
            }
            _ => (replies::OK, String::new()),
        };
        let (from, to) = names(envelope);
        let tls = tls.map_or("none", |tls| tls.version);
        log::info!(
            "event=accepted service={} peer={peer} from={from:?} to={to:?} bytes={bytes} tls={tls} id={id} {place}",
            service(role)
        );
        Ok(reply)
    }
}

/// `TLS-Required: No`, once (RFC 8689 section 3).
fn asks_for_no_tls(header: &[u8]) -> bool {
    let mut asked = fields(header).filter(|field| field.is(b"TLS-Required"));
    let first = asked.next().is_some_and(|field| field.value.trim_ascii().eq_ignore_ascii_case(b"No"));
    first && asked.next().is_none()
}

/// Sender and recipients for the log.
pub(super) fn names(envelope: &Envelope) -> (String, String) {
    let to: Vec<String> = envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect();
    (envelope.reverse_path.to_string(), to.join(","))
}

/// The service's name for the log.
pub(super) fn service(role: Role) -> &'static str {
    match role {
        Role::Mx => "mx",
        Role::Submission => "submission",
    }
}

/// Where the header ends, its empty line included. `searched` bytes are known not to hold the beginning of that line.
fn header_end(bytes: &[u8], searched: usize) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    let fresh = bytes.get(searched..).unwrap_or_default();
    let found = memchr::memmem::find(fresh, b"\r\n\r\n")?;
    Some(searched + found + 4)
}

/// A header without the white space that it begins with: there is nothing of the sender's that it could continue, and it must
/// not continue the field that is written above it.
fn unfolded_start(header: &[u8]) -> &[u8] {
    let mut rest = header;
    while matches!(rest, [b' ' | b'\t', ..]) {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, after) = rest.split_at(end);
        if !line.trim_ascii().is_empty() {
            return rest.trim_ascii_start();
        }
        rest = after;
    }
    rest
}

/// *Ours*, in the words of SMTP; the log has the cause.
pub(super) fn reply_of(trouble: Trouble) -> Reply {
    match trouble {
        Trouble::Full => replies::FULL,
        other => {
            log::error!("event=store-trouble trouble={other:?}");
            replies::FAILED
        }
    }
}

/// Whether every line ends with CRLF and nothing has a NUL.
fn is_lines(header: &[u8]) -> bool {
    header.split_inclusive(|&byte| byte == b'\n').all(|line| {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        memchr::memchr3(b'\r', b'\n', 0, text).is_none()
    })
}

/// Recipients without repetitions.
pub(super) fn distinct(recipients: &[Recipient]) -> Vec<&Recipient> {
    let mut seen: Vec<&Recipient> = Vec::new();
    for recipient in recipients {
        if !seen.iter().any(|known| known.address.same_as(&recipient.address)) {
            seen.push(recipient);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::smtp::RcptParameters;

    #[test]
    fn the_end_of_a_header_is_found_however_it_is_cut() {
        let message = b"A: b\r\nC: d\r\n\r\nbody\r\n\r\n";
        for came_before in 0..14 {
            assert_eq!(header_end(&message[..came_before], 0), None);
            assert_eq!(header_end(message, came_before.saturating_sub(3)), Some(14), "after {came_before}");
        }
        assert_eq!(header_end(b"\r\nbody", 0), Some(2));
        assert_eq!(header_end(b"A: b\r\n", 0), None);
    }

    #[test]
    fn a_header_continues_nothing() {
        for (header, wanted) in [
            ("A: b\r\n c\r\n\r\n", "A: b\r\n c\r\n\r\n"),
            (" \tA: b\r\n\r\n", "A: b\r\n\r\n"),
            (" \r\n\t\r\n b\r\n c\r\n\r\n", "b\r\n c\r\n\r\n"),
            (" \r\n\r\n", "\r\n"),
            ("\r\n", "\r\n"),
            (" \r\n", ""),
            ("", ""),
        ] {
            assert_eq!(unfolded_start(header.as_bytes()), wanted.as_bytes(), "{header:?}");
        }
    }

    #[test]
    fn repeated_recipients_count_once() {
        let recipients = ["me@home.example", "ME@home.example", "me+x@home.example"].map(|text| Recipient {
            address: text.parse().expect("an address"),
            parameters: RcptParameters::default(),
        });
        assert_eq!(distinct(&recipients), [&recipients[0], &recipients[2]]);
    }

    #[test]
    fn headers_are_lines() {
        for (header, wanted) in [
            ("A: b\r\n c\r\n\r\n", true),
            ("A: b", true),
            ("A: b\n\r\n", false),
            ("A: b\r", false),
            ("A:\0\r\n", false),
        ] {
            assert_eq!(is_lines(header.as_bytes()), wanted, "{header:?}");
        }
    }
}
