//! What was decided: the steps of an Op, and their bytes in the journal.
//!
//! An Op becomes steps, each complete in itself: every UID, modseq and time is inside, nothing is left to decide. The
//! same steps are applied when the Op runs and when the journal is replayed. They decide nothing and touch no table.

use super::code::*;
use super::tables::{
    decode_credential, decode_queue_entry, encode_credential, encode_queue_entry, join_size, split_size,
};
use super::{Credential, QueueEntry};
use crate::mail::message::*;
use crate::wire::date::Timestamp;

/// The sealed rows of a body, before their seals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRows {
    /// A [`super::body::BodyRow`].
    pub body: Vec<u8>,
    /// See [`super::facts`].
    pub facts: Vec<u8>,
    /// For SEARCH; empty: none.
    pub signature: Vec<u8>,
}

/// One decided change to the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new body with its compressed bytes; nothing refers to it yet.
    Body { id: BodyId, rows: BodyRows, stored: Vec<u8> },
    /// A new body whose pieces are in the tables already. Has no bytes in the journal: a checkpoint makes it durable.
    StagedBody { id: BodyId, rows: BodyRows },
    /// A new message; refers to its body.
    Place { mailbox: MailboxId, row: MessageRow },
    /// Gives the next keyword bit a name.
    Keyword { mailbox: MailboxId, name: String },
    /// New flags of messages that are there.
    Flags { mailbox: MailboxId, modseq: ModSeq, rows: Vec<(Uid, SystemFlags, u64)> },
    /// What was found out of messages that are there. Nobody is told: it is not a change of them.
    Forms { mailbox: MailboxId, rows: Vec<(Uid, Form)> },
    /// Messages that are there go.
    Expunge { mailbox: MailboxId, modseq: ModSeq, uids: Vec<Uid> },
    /// Messages that are there are copied and get the UIDs from `first` on. Without `saved` they keep theirs.
    Copy { from: MailboxId, to: MailboxId, uids: Vec<Uid>, first: Uid, modseq: ModSeq, saved: Option<Timestamp> },
    /// The same, and they leave the first mailbox with the modseq `removed`.
    Move {
        from: MailboxId,
        to: MailboxId,
        uids: Vec<Uid>,
        first: Uid,
        modseq: ModSeq,
        saved: Option<Timestamp>,
        removed: ModSeq,
    },
    /// A new, empty mailbox.
    Create { id: MailboxId, name: String, uid_validity: UidValidity, special_use: Option<SpecialUse>, subscribed: bool },
    /// Another name for one mailbox.
    Rename { id: MailboxId, name: String },
    /// A mailbox goes with everything in it.
    Delete { id: MailboxId },
    /// Subscribed or not.
    Subscribe { id: MailboxId, subscribed: bool },
    /// A queue entry is made, or takes another's place. A new one refers to its body.
    Queue(QueueEntry),
    /// A queue entry goes.
    Unqueue(QueueId),
    /// Another time for a queue entry, and whether it is held.
    Schedule { id: QueueId, due: Timestamp, held: bool },
    /// Another special use for one mailbox.
    SpecialUse { id: MailboxId, special_use: Option<SpecialUse> },
    /// A credential is made or replaced.
    SetCredential(Credential),
    /// A credential goes.
    RemoveCredential(String),
    /// A setting is made, replaced or removed.
    Setting { key: String, value: Option<Vec<u8>> },
    /// The clock was there.
    Time(Timestamp),
}

impl Step {
    /// Whether the step can be replayed from the journal.
    pub fn is_journaled(&self) -> bool {
        !matches!(self, Step::StagedBody { .. })
    }

    /// Messages that it names one by one or in ranges: what it costs to apply may have nothing to do with its bytes.
    pub fn listed_rows(&self) -> usize {
        match self {
            Step::Flags { rows, .. } => rows.len(),
            Step::Forms { rows, .. } => rows.len(),
            Step::Expunge { uids, .. } | Step::Copy { uids, .. } | Step::Move { uids, .. } => uids.len(),
            _ => 0,
        }
    }

    /// Appends the step's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Step::Body { id, rows: BodyRows { body, facts, signature }, stored } => {
                out.push(1);
                put_varint(out, id.0);
                for bytes in [body, facts, signature, stored] {
                    put_bytes(out, bytes);
                }
            }
            // Never reaches the journal; read back it is an error, not a guess.
            Step::StagedBody { .. } => out.push(0),
            Step::Place { mailbox, row } => {
                out.push(2);
                put_ids(out, &[*mailbox]);
                put_row(out, row);
            }
            Step::Keyword { mailbox, name } => {
                out.push(3);
                put_ids(out, &[*mailbox]);
                put_bytes(out, name.as_bytes());
            }
            Step::Flags { mailbox, modseq, rows } => {
                out.push(4);
                put_ids(out, &[*mailbox]);
                put_varint(out, modseq.0);
                put_varint(out, rows.len() as u64);
                let mut before = 0;
                for (uid, flags, keywords) in rows {
                    put_varint(out, u64::from(uid.0.wrapping_sub(before)));
                    before = uid.0;
                    out.push(flags.0);
                    put_varint(out, *keywords);
                }
            }
            Step::Expunge { mailbox, modseq, uids } => {
                out.push(5);
                put_ids(out, &[*mailbox]);
                put_varint(out, modseq.0);
                put_uids(out, uids);
            }
            Step::Copy { from, to, uids, first, modseq, saved } => {
                out.push(6);
                put_copy(out, [*from, *to], uids, *first, *modseq, *saved);
            }
            Step::Move { from, to, uids, first, modseq, saved, removed } => {
                out.push(7);
                put_copy(out, [*from, *to], uids, *first, *modseq, *saved);
                put_varint(out, removed.0);
            }
            Step::Forms { mailbox, rows } => {
                out.push(21);
                put_ids(out, &[*mailbox]);
                put_uids(out, &rows.iter().map(|(uid, _)| *uid).collect::<Vec<_>>());
                out.extend(rows.iter().map(|(_, form)| form.bits()));
            }
            step => step.encode_rare(out),
        }
    }

    /// The steps that are not about messages.
    fn encode_rare(&self, out: &mut Vec<u8>) {
        match self {
            Step::Create { id, name, uid_validity, special_use, subscribed } => {
                out.push(8);
                put_ids(out, &[*id]);
                put_bytes(out, name.as_bytes());
                put_varint(out, uid_validity.0.into());
                out.push(super::tables::encode_use(*special_use));
                out.push((*subscribed).into());
            }
            Step::Rename { id, name } => {
                out.push(9);
                put_ids(out, &[*id]);
                put_bytes(out, name.as_bytes());
            }
            Step::Delete { id } => {
                out.push(10);
                put_ids(out, &[*id]);
            }
            Step::Subscribe { id, subscribed } => {
                out.push(11);
                put_ids(out, &[*id]);
                out.push((*subscribed).into());
            }
            Step::Queue(entry) => {
                out.push(12);
                put_varint(out, entry.id.0);
                put_bytes(out, &encode_queue_entry(entry));
            }
            Step::Unqueue(id) => {
                out.push(13);
                put_varint(out, id.0);
            }
            Step::SetCredential(credential) => {
                out.push(14);
                put_bytes(out, &encode_credential(credential));
            }
            Step::RemoveCredential(login) => {
                out.push(15);
                put_bytes(out, login.as_bytes());
            }
            Step::Setting { key, value } => {
                out.push(16 + u8::from(value.is_some()));
                put_bytes(out, key.as_bytes());
                if let Some(value) = value {
                    put_bytes(out, value);
                }
            }
            Step::Time(time) => {
                out.push(18);
                put_signed(out, time.0);
            }
            Step::Schedule { id, due, held } => {
                out.push(19);
                put_varint(out, id.0);
                put_signed(out, due.0);
                out.push((*held).into());
            }
            Step::SpecialUse { id, special_use } => {
                out.push(20);
                put_ids(out, &[*id]);
                out.push(super::tables::encode_use(*special_use));
            }
            _ => out.push(0),
        }
    }

    /// Reads one step.
    pub fn decode(decoder: &mut Decoder<'_>) -> Result<Step, Malformed> {
        let kind = decoder.byte()?;
        Ok(match kind {
            1 => Step::Body {
                id: BodyId(decoder.varint()?),
                rows: BodyRows {
                    body: decoder.bytes()?.to_vec(),
                    facts: decoder.bytes()?.to_vec(),
                    signature: decoder.bytes()?.to_vec(),
                },
                stored: decoder.bytes()?.to_vec(),
            },
            2 => Step::Place { mailbox: read_id(decoder)?, row: read_row(decoder)? },
            3 => Step::Keyword { mailbox: read_id(decoder)?, name: decoder.text()? },
            4 => {
                let (mailbox, modseq) = (read_id(decoder)?, ModSeq(decoder.varint()?));
                let mut before = 0u32;
                let rows = (0..decoder.count()?)
                    .map(|_| {
                        before = before.wrapping_add(decoder.varint32()?);
                        Ok((Uid(before), SystemFlags(decoder.byte()?), decoder.varint()?))
                    })
                    .collect::<Result<_, Malformed>>()?;
                Step::Flags { mailbox, modseq, rows }
            }
            5 => Step::Expunge {
                mailbox: read_id(decoder)?,
                modseq: ModSeq(decoder.varint()?),
                uids: read_uids(decoder)?,
            },
            6 | 7 => {
                let (from, to) = (read_id(decoder)?, read_id(decoder)?);
                let (first, modseq) = (Uid(decoder.varint32()?), ModSeq(decoder.varint()?));
                let saved = (decoder.byte()? != 0, Timestamp(decoder.signed()?));
                let (saved, uids) = (saved.0.then_some(saved.1), read_uids(decoder)?);
                if kind == 6 {
                    Step::Copy { from, to, uids, first, modseq, saved }
                } else {
                    let removed = ModSeq(decoder.varint()?);
                    Step::Move { from, to, uids, first, modseq, saved, removed }
                }
            }
            kind => Step::decode_rare(kind, decoder)?,
        })
    }

    /// The steps that are not about messages.
    fn decode_rare(kind: u8, decoder: &mut Decoder<'_>) -> Result<Step, Malformed> {
        Ok(match kind {
            8 => Step::Create {
                id: read_id(decoder)?,
                name: decoder.text()?,
                uid_validity: UidValidity(decoder.varint32()?),
                special_use: super::tables::decode_use(decoder.byte()?)?,
                subscribed: decoder.byte()? != 0,
            },
            9 => Step::Rename { id: read_id(decoder)?, name: decoder.text()? },
            10 => Step::Delete { id: read_id(decoder)? },
            11 => Step::Subscribe { id: read_id(decoder)?, subscribed: decoder.byte()? != 0 },
            12 => Step::Queue(decode_queue_entry(QueueId(decoder.varint()?), decoder.bytes()?)?),
            13 => Step::Unqueue(QueueId(decoder.varint()?)),
            14 => Step::SetCredential(decode_credential(decoder.bytes()?)?),
            15 => Step::RemoveCredential(decoder.text()?),
            16 => Step::Setting { key: decoder.text()?, value: None },
            17 => Step::Setting { key: decoder.text()?, value: Some(decoder.bytes()?.to_vec()) },
            18 => Step::Time(Timestamp(decoder.signed()?)),
            19 => Step::Schedule {
                id: QueueId(decoder.varint()?),
                due: Timestamp(decoder.signed()?),
                held: decoder.byte()? != 0,
            },
            20 => Step::SpecialUse { id: read_id(decoder)?, special_use: super::tables::decode_use(decoder.byte()?)? },
            21 => {
                let (mailbox, uids) = (read_id(decoder)?, read_uids(decoder)?);
                let rows = uids.into_iter().map(|uid| Ok((uid, Form::from_bits(decoder.byte()?))));
                Step::Forms { mailbox, rows: rows.collect::<Result<_, Malformed>>()? }
            }
            _ => return Err(Malformed),
        })
    }
}

fn put_ids(out: &mut Vec<u8>, ids: &[MailboxId]) {
    for id in ids {
        put_varint(out, id.0.into());
    }
}

fn read_id(decoder: &mut Decoder<'_>) -> Result<MailboxId, Malformed> {
    Ok(MailboxId(decoder.varint32()?))
}

/// UIDs as differences: mostly a byte each.
fn put_uids(out: &mut Vec<u8>, uids: &[Uid]) {
    put_varint(out, uids.len() as u64);
    let mut before = 0;
    for uid in uids {
        put_varint(out, u64::from(uid.0.wrapping_sub(before)));
        before = uid.0;
    }
}

fn read_uids(decoder: &mut Decoder<'_>) -> Result<Vec<Uid>, Malformed> {
    let mut before = 0u32;
    (0..decoder.count()?)
        .map(|_| {
            before = before.wrapping_add(decoder.varint32()?);
            Ok(Uid(before))
        })
        .collect()
}

fn put_copy(
    out: &mut Vec<u8>,
    ids: [MailboxId; 2],
    uids: &[Uid],
    first: Uid,
    modseq: ModSeq,
    saved: Option<Timestamp>,
) {
    put_ids(out, &ids);
    put_varint(out, first.0.into());
    put_varint(out, modseq.0);
    out.push(saved.is_some().into());
    put_signed(out, saved.unwrap_or_default().0);
    put_uids(out, uids);
}

fn put_row(out: &mut Vec<u8>, row: &MessageRow) {
    put_varint(out, row.uid.0.into());
    put_varint(out, row.modseq.0);
    out.push(row.flags.0);
    put_varint(out, row.keywords);
    put_signed(out, row.internal_date.0);
    put_signed(out, row.saved.0);
    put_varint(out, join_size(row.bytes, row.form));
    put_varint(out, row.body.0);
}

fn read_row(decoder: &mut Decoder<'_>) -> Result<MessageRow, Malformed> {
    let (uid, modseq) = (Uid(decoder.varint32()?), ModSeq(decoder.varint()?));
    let (flags, keywords) = (SystemFlags(decoder.byte()?), decoder.varint()?);
    let (internal_date, saved) = (Timestamp(decoder.signed()?), Timestamp(decoder.signed()?));
    let (bytes, form) = split_size(decoder.varint()?);
    let body = BodyId(decoder.varint()?);
    Ok(MessageRow { uid, modseq, flags, keywords, internal_date, saved, bytes, form, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::credential::Verifier;
    use crate::wire::address::ReversePath;
    use proptest::prelude::*;

    fn rows() -> BodyRows {
        BodyRows { body: vec![1, 2], facts: vec![3], signature: Vec::new() }
    }

    fn steps() -> Vec<Step> {
        let (a, b) = (MailboxId(1), MailboxId(300));
        let (uids, first, modseq) = (vec![Uid(3), Uid(4), Uid(90_000)], Uid(7), ModSeq(1 << 40));
        let saved = Timestamp(-1);
        vec![
            Step::Body { id: BodyId(9), rows: rows(), stored: vec![0; 300] },
            Step::Place {
                mailbox: a,
                row: MessageRow {
                    uid: Uid(5),
                    modseq,
                    flags: SystemFlags::SEEN,
                    keywords: u64::MAX,
                    internal_date: Timestamp(i64::MIN),
                    saved,
                    bytes: 6,
                    form: Form::new(b"", true),
                    body: BodyId(u64::MAX),
                },
            },
            Step::Keyword { mailbox: b, name: "$Junk".into() },
            Step::Flags {
                mailbox: a,
                modseq,
                rows: vec![(Uid(2), SystemFlags::DRAFT, 0), (Uid(900), SystemFlags(0), 1)],
            },
            Step::Forms { mailbox: a, rows: vec![(Uid(2), Form::new(b"x", false)), (Uid(900), Form::UNKNOWN)] },
            Step::Expunge { mailbox: a, modseq, uids: uids.clone() },
            Step::Copy { from: a, to: b, uids: uids.clone(), first, modseq, saved: None },
            Step::Move { from: a, to: b, uids, first, modseq, saved: Some(saved), removed: ModSeq(2) },
            Step::Create {
                id: b,
                name: "Ä".into(),
                uid_validity: UidValidity(u32::MAX),
                special_use: Some(SpecialUse::Junk),
                subscribed: true,
            },
            Step::Rename { id: b, name: "B/c".into() },
            Step::Delete { id: b },
            Step::Subscribe { id: b, subscribed: true },
            Step::Queue(QueueEntry {
                id: QueueId(8),
                body: BodyId(9),
                bytes: 10,
                reverse_path: ReversePath::Null,
                parameters: Default::default(),
                recipients: Vec::new(),
                queued: saved,
                due: saved,
                held: true,
                signatures: vec![1, 2],
                delay_told: true,
                outbox: Some(Uid(3)),
                sent_copy: Some((b, Uid(4))),
            }),
            Step::Schedule { id: QueueId(8), due: saved, held: true },
            Step::SpecialUse { id: b, special_use: Some(SpecialUse::Sent) },
            Step::SpecialUse { id: b, special_use: None },
            Step::Unqueue(QueueId(8)),
            Step::SetCredential(Credential {
                login: "me".into(),
                verifier: Verifier::new("x", [1; 16], 1),
                device: None,
            }),
            Step::RemoveCredential("me".into()),
            Step::Setting { key: "k".into(), value: Some(vec![9; 200]) },
            Step::Setting { key: "k".into(), value: None },
            Step::Time(Timestamp(1_800_000_000_000)),
        ]
    }

    #[test]
    fn every_step_returns() {
        let mut bytes = Vec::new();
        for step in steps() {
            assert!(step.is_journaled());
            step.encode(&mut bytes);
        }
        let mut decoder = Decoder::new(&bytes);
        for step in steps() {
            assert_eq!(Step::decode(&mut decoder), Ok(step));
        }
        assert!(decoder.is_empty());
    }

    #[test]
    fn a_staged_body_cannot_be_replayed() {
        let step = Step::StagedBody { id: BodyId(1), rows: rows() };
        let mut bytes = Vec::new();
        step.encode(&mut bytes);
        assert!(!step.is_journaled());
        assert_eq!(Step::decode(&mut Decoder::new(&bytes)), Err(Malformed));
    }

    proptest! {
        #[test]
        fn damaged_steps_are_survived(bytes: Vec<u8>) {
            let _ = Step::decode(&mut Decoder::new(&bytes));
        }
    }
}
