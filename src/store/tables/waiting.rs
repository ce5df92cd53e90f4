//! The rows of the queue: entries that wait for their time or for other servers.
//!
//! Receives entries and hands on their bytes, and back. What is read is hostile; what does not fit is [`Malformed`].

use super::super::code::*;
use super::super::{QueueEntry, QueueRecipient};
use super::{VERSION, versioned};
use crate::mail::message::*;
use crate::wire::address::{Address, Domain, ReversePath};
use crate::wire::date::Timestamp;
use crate::wire::smtp::{Body, Hold, MailParameters, Notify, RcptParameters};
use std::time::Duration;

/// Appends an address.
fn put_address(out: &mut Vec<u8>, address: &Address) {
    put_bytes(out, address.local.as_bytes());
    put_bytes(out, address.domain.as_str().as_bytes());
}

/// Reads an address.
pub fn read_address(decoder: &mut Decoder<'_>) -> Result<Address, Malformed> {
    Ok(Address { local: decoder.text()?, domain: Domain::new(&decoder.text()?) })
}

fn put_recipient(out: &mut Vec<u8>, recipient: &QueueRecipient) {
    let QueueRecipient { address, parameters, attempts, last_attempt, last_reply } = recipient;
    put_address(out, address);
    out.push(parameters.notify.0 | u8::from(last_attempt.is_some()) << 7);
    put_optional_text(out, parameters.original.as_deref());
    put_varint(out, (*attempts).into());
    if let Some(time) = last_attempt {
        put_signed(out, time.0);
    }
    put_bytes(out, last_reply.as_bytes());
}

/// As row bytes, its id left out.
pub fn encode_queue_entry(entry: &QueueEntry) -> Vec<u8> {
    let QueueEntry {
        id: _,
        body,
        bytes,
        reverse_path,
        parameters,
        recipients,
        queued,
        due,
        held,
        signatures,
        delay_told,
        outbox,
        sent_copy,
    } = entry;
    let mut out = vec![VERSION];
    put_varint(&mut out, body.0);
    put_varint(&mut out, *bytes);
    put_signed(&mut out, queued.0);
    put_signed(&mut out, due.0);
    match reverse_path {
        ReversePath::Null => out.push(0),
        ReversePath::Address(address) => {
            out.push(1);
            put_address(&mut out, address);
        }
    }
    let MailParameters { envelope_id, return_full, smtp_utf8, body, require_tls, tls_optional, hold } = parameters;
    let body = match body {
        Body::SevenBit => 0,
        Body::EightBitMime => 1,
        Body::BinaryMime => 2,
    };
    let returned = return_full.map_or(0, |full| 1 + u8::from(full));
    let bits = u8::from(*held) | u8::from(*smtp_utf8) << 1 | u8::from(*require_tls) << 2;
    out.push(bits | returned << 3 | body << 5 | u8::from(hold.is_some()) << 7);
    put_optional_text(&mut out, envelope_id.as_deref());
    match hold {
        Some(Hold::For(wait)) => {
            out.push(0);
            put_varint(&mut out, wait.as_secs());
        }
        Some(Hold::Until(at)) => {
            out.push(1);
            put_signed(&mut out, at.0);
        }
        None => {}
    }
    put_varint(&mut out, recipients.len() as u64);
    recipients.iter().for_each(|recipient| put_recipient(&mut out, recipient));
    let shown = u8::from(outbox.is_some()) << 1 | u8::from(sent_copy.is_some()) << 2;
    out.push(u8::from(*delay_told) | shown | u8::from(*tls_optional) << 3);
    put_bytes(&mut out, signatures);
    if let Some(uid) = outbox {
        put_varint(&mut out, uid.0.into());
    }
    if let Some((mailbox, uid)) = sent_copy {
        put_varint(&mut out, mailbox.0.into());
        put_varint(&mut out, uid.0.into());
    }
    out
}

/// From row bytes.
pub fn decode_queue_entry(id: QueueId, bytes: &[u8]) -> Result<QueueEntry, Malformed> {
    let mut decoder = versioned(bytes)?;
    let body = BodyId(decoder.varint()?);
    let size = decoder.varint()?;
    let queued = Timestamp(decoder.signed()?);
    let due = Timestamp(decoder.signed()?);
    let reverse_path = match decoder.byte()? {
        0 => ReversePath::Null,
        1 => ReversePath::Address(read_address(&mut decoder)?),
        _ => return Err(Malformed),
    };
    let bits = decoder.byte()?;
    let parameters = MailParameters {
        envelope_id: read_optional_text(&mut decoder)?,
        return_full: match bits >> 3 & 3 {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return Err(Malformed),
        },
        smtp_utf8: bits & 2 != 0,
        body: match bits >> 5 & 3 {
            0 => Body::SevenBit,
            1 => Body::EightBitMime,
            2 => Body::BinaryMime,
            _ => return Err(Malformed),
        },
        require_tls: bits & 4 != 0,
        tls_optional: false,
        hold: if bits & 0x80 != 0 { Some(read_hold(&mut decoder)?) } else { None },
    };
    let recipients = (0..decoder.count()?).map(|_| read_recipient(&mut decoder)).collect::<Result<_, Malformed>>()?;
    let held = bits & 1 != 0;
    let mut entry = QueueEntry {
        id,
        body,
        bytes: size,
        reverse_path,
        parameters,
        recipients,
        queued,
        due,
        held,
        signatures: Vec::new(),
        delay_told: false,
        outbox: None,
        sent_copy: None,
    };
    // Rows that were written before there was more to say end here.
    if !decoder.is_empty() {
        read_later_fields(&mut decoder, &mut entry)?;
    }
    Ok(entry)
}

fn read_later_fields(decoder: &mut Decoder<'_>, entry: &mut QueueEntry) -> Result<(), Malformed> {
    let bits = decoder.byte()?;
    entry.delay_told = bits & 1 != 0;
    entry.parameters.tls_optional = bits & 8 != 0;
    entry.signatures = decoder.bytes()?.to_vec();
    if bits & 2 != 0 {
        entry.outbox = Some(Uid(decoder.varint32()?));
    }
    if bits & 4 != 0 {
        entry.sent_copy = Some((MailboxId(decoder.varint32()?), Uid(decoder.varint32()?)));
    }
    Ok(())
}

fn read_hold(decoder: &mut Decoder<'_>) -> Result<Hold, Malformed> {
    match decoder.byte()? {
        0 => Ok(Hold::For(Duration::from_secs(decoder.varint()?))),
        1 => Ok(Hold::Until(Timestamp(decoder.signed()?))),
        _ => Err(Malformed),
    }
}

fn read_recipient(decoder: &mut Decoder<'_>) -> Result<QueueRecipient, Malformed> {
    let address = read_address(decoder)?;
    let bits = decoder.byte()?;
    let notify = Notify(bits & 0x7f);
    if !notify.is_well_formed() {
        return Err(Malformed);
    }
    let original = read_optional_text(decoder)?;
    let attempts = decoder.varint32()?;
    let last_attempt = if bits & 0x80 != 0 { Some(Timestamp(decoder.signed()?)) } else { None };
    let last_reply = decoder.text()?;
    Ok(QueueRecipient { address, parameters: RcptParameters { notify, original }, attempts, last_attempt, last_reply })
}

fn put_optional_text(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(text.is_some().into());
    if let Some(text) = text {
        put_bytes(out, text.as_bytes());
    }
}

fn read_optional_text(decoder: &mut Decoder<'_>) -> Result<Option<String>, Malformed> {
    match decoder.byte()? {
        0 => Ok(None),
        1 => decoder.text().map(Some),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Recipient;
    use super::*;

    #[test]
    fn entries_return() {
        let plain = Recipient::from(Address { local: "a b".into(), domain: Domain::new("Example.org") });
        let plain = QueueRecipient::from(plain);
        let told = QueueRecipient {
            parameters: RcptParameters { notify: Notify(14), original: Some("rfc822;x@y".into()) },
            attempts: 2,
            last_attempt: Some(Timestamp(-9)),
            last_reply: "451 later".into(),
            ..plain.clone()
        };
        let entry = QueueEntry {
            id: QueueId(3),
            body: BodyId(4),
            bytes: 5,
            reverse_path: ReversePath::Null,
            parameters: MailParameters {
                envelope_id: Some("QQ314159".into()),
                return_full: Some(true),
                smtp_utf8: true,
                body: Body::BinaryMime,
                require_tls: false,
                tls_optional: true,
                hold: Some(Hold::Until(Timestamp(-8))),
            },
            recipients: vec![plain, told],
            queued: Timestamp(6),
            due: Timestamp(-7),
            held: true,
            signatures: b"DKIM-Signature: v=1\r\n".to_vec(),
            delay_told: true,
            outbox: Some(Uid(9)),
            sent_copy: Some((MailboxId(7), Uid(8))),
        };
        let mut waiting = entry.clone();
        waiting.parameters.hold = Some(Hold::For(Duration::from_secs(3600)));
        waiting.outbox = None;
        waiting.sent_copy = None;
        for entry in [entry, waiting] {
            assert_eq!(decode_queue_entry(QueueId(3), &encode_queue_entry(&entry)), Ok(entry));
        }
    }

    #[test]
    fn rows_without_the_later_fields_are_read() {
        let address = Address { local: "a".into(), domain: Domain::new("b.example") };
        let entry = QueueEntry {
            id: QueueId(3),
            body: BodyId(4),
            bytes: 5,
            reverse_path: ReversePath::Null,
            parameters: MailParameters::default(),
            recipients: vec![QueueRecipient::from(Recipient::from(address))],
            queued: Timestamp(6),
            due: Timestamp(7),
            held: false,
            signatures: Vec::new(),
            delay_told: false,
            outbox: None,
            sent_copy: None,
        };
        let row = encode_queue_entry(&entry);
        assert_eq!(decode_queue_entry(QueueId(3), &row[..row.len() - 2]), Ok(entry));
    }
}
