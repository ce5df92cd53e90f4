//! APPEND and REPLACE: messages from the client straight into the store, however large.
//!
//! Receives the steps of one command; hands on one Op for all its messages. What is large, and what comes behind a few small
//! ones, waits on the disk for the Op.

use super::access::{Allowed, named, target};
use super::failure::{Failure, bad, no, words};
use super::{Next, Session};
use crate::limits::{APPEND_HELD_BYTES_MAX, APPEND_WAITING_BYTES_MAX};
use crate::mail::access::{Access, Rights};
use crate::mail::message::{Flags, MailboxId, SpecialUse, Uid, UidValidity};
use crate::serve::sent::{Fingerprint, Found, Hand, sent_mailbox};
use crate::serve::{Intake, Whole};
use crate::store::{self, Bell, Done, FlagChange, NewBody, NewMessage, Op, SetFlags, Snapshot, Trouble, Watched};
use crate::wire::date::Timestamp;
use crate::wire::imap::command::{Append, AppendMessage, Replaced, Tag};
use crate::wire::imap::sequence::NumberSet;
use crate::wire::imap::{Code, MailboxName, SequenceNumber, Status, response};
use std::sync::Arc;

/// A mailbox that messages come into.
#[derive(Clone, Copy)]
struct Place {
    mailbox: MailboxId,
    uid_validity: UidValidity,
    rights: Rights,
    is_outbox: bool,
    /// It is where sent mail is filed.
    is_sent: bool,
}

/// The place that was asked for last: who files many messages names it each time.
pub(super) struct LastPlace {
    name: MailboxName,
    access: Arc<Access>,
    place: Place,
    /// Of the list of mailboxes, hung up before the place was looked for.
    bell: Bell,
}

/// A command whose messages are on their way in.
pub(super) struct Arriving {
    place: Place,
    /// REPLACE: what goes.
    replaced: Option<(MailboxId, Uid)>,
    /// Those that are complete.
    messages: Vec<Arrived>,
    /// Bytes of memory that they wait in.
    waiting_bytes: usize,
    /// The one that is coming.
    open: Option<Open>,
}

struct Arrived {
    body: NewBody,
    fingerprint: Option<Fingerprint>,
    flags: Flags,
    date: Option<Timestamp>,
}

pub(super) struct Open {
    message: AppendMessage,
    pub intake: Intake,
    /// Bytes so far, those announced included.
    pub bytes: u64,
}

impl Session {
    /// The beginning of APPEND (RFC 3501 section 6.3.11) or REPLACE (RFC 8508): a message is asked for only when there is a place for
    /// it.
    pub(super) async fn begin_append(&mut self, append: Append) -> Result<(), Failure> {
        self.arriving = None;
        let replaced = match append.replaced.map(|replaced| self.replaced(replaced)).transpose() {
            Ok(replaced) => replaced,
            Err(failure) => return self.refuse_arriving(failure),
        };
        match self.place_of(append.mailbox).await {
            // Before the message has come all the way.
            Ok(Place { is_outbox: true, .. }) => {
                let text = "What is sent comes into Outbox, and nothing else does";
                self.refuse_arriving(no(Code::Cannot, text))
            }
            Ok(place) => {
                let arriving = Arriving { place, replaced, messages: Vec::new(), waiting_bytes: 0, open: None };
                self.arriving = Some(Box::new(arriving));
                self.conversation.accept_append(&mut self.line.out);
                Ok(())
            }
            Err(failure) => self.refuse_arriving(failure),
        }
    }

    async fn place_of(&mut self, name: MailboxName) -> Result<Place, Failure> {
        let last = self.last_place.take();
        let stands = |last: &mut LastPlace| {
            last.name == name && Arc::ptr_eq(&last.access, &self.access) && !last.bell.take_ring()
        };
        let last = match last.and_then(|mut last| stands(&mut last).then_some(last)) {
            Some(last) => last,
            None => Box::new(self.look_for_place(name).await?),
        };
        Ok(self.last_place.insert(last).place)
    }

    async fn look_for_place(&self, name: MailboxName) -> Result<LastPlace, Failure> {
        let bell = self.context.store.bell(Watched::MailboxList);
        let (access, asked, sent_copy) = (self.access.clone(), name.clone(), self.site.sent_copy);
        let look = move |snapshot: &Snapshot| {
            let found = named(snapshot, &access, asked.as_str())?;
            let is_sent =
                sent_copy && found.is_some() && sent_mailbox(snapshot)? == found.as_ref().map(|f| f.mailbox.id);
            Ok((found, is_sent))
        };
        let (found, is_sent) = self.context.store.read(look).await?;
        let Allowed { mailbox, rights } = target(found)?;
        let is_outbox = mailbox.special_use == Some(SpecialUse::Outbox);
        let place = Place { mailbox: mailbox.id, uid_validity: mailbox.uid_validity, rights, is_outbox, is_sent };
        Ok(LastPlace { name, access: self.access.clone(), place, bell })
    }

    /// The message that REPLACE means.
    fn replaced(&self, replaced: Replaced) -> Result<(MailboxId, Uid), Failure> {
        // RFC 8508 section 4.1.
        let mailbox = self.changeable(Rights::REMOVING)?;
        let Some(selected) = &self.selected else { return Err(no(Code::ClientBug, "No mailbox is selected")) };
        let map = selected.view.map();
        let found = match (replaced.message, replaced.uid) {
            (SequenceNumber::Largest, _) => map.last(),
            (SequenceNumber::Number(uid), true) => Some(Uid(uid)).filter(|uid| map.seq_of(*uid).is_some()),
            (SequenceNumber::Number(number), false) => map.uid_of(number),
        };
        match found {
            Some(uid) => Ok((mailbox, uid)),
            None if replaced.uid => Err(no(Code::None, "There is no message of that UID")),
            None => Err(bad("There is no message of that number")),
        }
    }

    /// A message of the command is about to come.
    pub(super) async fn append_message(&mut self, message: AppendMessage) -> Result<(), Failure> {
        let begun = match &mut self.arriving {
            Some(arriving) => {
                arriving.end_message().await.map(|()| arriving.begin_message(&self.context.store, message))
            }
            None => return Ok(()),
        };
        match begun {
            Ok(()) => {
                self.conversation.accept_append(&mut self.line.out);
                Ok(())
            }
            Err(failure) => self.refuse_arriving(failure),
        }
    }

    pub(super) async fn append_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(open) = self.arriving.as_mut().and_then(|arriving| arriving.open.as_mut()) else { return Ok(()) };
        match open.intake.write(bytes).await {
            Ok(()) => Ok(()),
            Err(trouble) => self.refuse_arriving(trouble.into()),
        }
    }

    /// Refuses the command and gives up what has come of it.
    pub(super) fn refuse_arriving(&mut self, failure: Failure) -> Result<(), Failure> {
        self.arriving = None;
        let (status, code, text) = match failure {
            Failure::Refused(status, code, text) => (status, code, text),
            Failure::Store(trouble) => {
                let (code, text) = words(&trouble);
                (Status::No, code, text)
            }
            other => return Err(other),
        };
        self.conversation.refuse_append(status, code, text, &mut self.line.out);
        Ok(())
    }

    /// The command is complete: durable, then said.
    pub(super) async fn end_append(&mut self, tag: &Tag) -> Result<Next, Failure> {
        let Some(mut arriving) = self.arriving.take() else {
            return Err(Trouble::Failed("an APPEND ended that had not begun".to_owned()).into());
        };
        arriving.end_message().await?;
        let Place { mailbox, uid_validity: UidValidity(uid_validity), is_sent, .. } = arriving.place;
        let replaces = arriving.replaced.is_some();
        let uids = match is_sent {
            false => self.deliver(*arriving, Vec::new()).await?,
            true => self.file_as_sent(*arriving).await?,
        };
        if let Some(selected) = self.selected.as_mut().filter(|selected| selected.mailbox == mailbox) {
            uids.iter().for_each(|uid| selected.made.push(uid.0));
        }
        let uids: NumberSet = uids.iter().map(|uid| uid.0).collect();
        let code = Code::AppendUid { uid_validity, uids: &uids };
        if !replaces {
            self.finish_added(tag, code, "APPEND completed").await?;
            return Ok(Next::Step);
        }
        // RFC 8508 section 4.3: before the expunge, so that a client knows where the new message is.
        response::untagged(&mut self.line.out, Status::Ok, code, "The new message is there");
        self.finish_replaced(tag).await?;
        Ok(Next::Step)
    }

    async fn deliver(&self, arriving: Arriving, superseded: Vec<Uid>) -> Result<Vec<Uid>, Failure> {
        let now = self.context.net.clock().now();
        let Arriving { place: Place { mailbox, .. }, replaced, messages, .. } = arriving;
        let message =
            |Arrived { body, flags, date, .. }| NewMessage { body, flags, internal_date: date.unwrap_or(now) };
        let messages = messages.into_iter().map(message).collect();
        let append = store::Append { mailbox, messages, replaced, superseded, now };
        match self.context.store.apply(Op::Append(append)).await {
            Ok(Done::Appended { uids, .. }) => Ok(uids),
            Ok(_) => Err(Trouble::Failed("the store answered another question".to_owned()).into()),
            Err(Trouble::NotFound) if replaced.is_some() => {
                Err(no(Code::ExpungeIssued, "The message or the mailbox no longer exists"))
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// Copies of what has been sent. One that submission has filed already stays and gets the flags of the one that comes, or
    /// gives way to it when that alone has Bcc, or when more than this one message comes or goes by the command: then all of it is
    /// one Op.
    async fn file_as_sent(&self, arriving: Arriving) -> Result<Vec<Uid>, Failure> {
        let (store, sent, now) = (&self.context.store, &self.context.sent, self.context.net.clock().steady());
        let mailbox = arriving.place.mailbox;
        let alone = arriving.messages.len() == 1 && arriving.replaced.is_none();
        let _turn = sent.turn().await;
        let mut superseded = Vec::new();
        for message in &arriving.messages {
            let Some(fingerprint) = &message.fingerprint else { continue };
            let found = sent.find(store, fingerprint, Hand::Submission, mailbox, now).await?;
            let Some(Found { row, lacks_bcc }) = found else { continue };
            if alone && !lacks_bcc {
                let (uids, change, flags) = (vec![row.uid], FlagChange::Add, message.flags.clone());
                store.apply(Op::SetFlags(SetFlags { mailbox, uids, change, flags, unchanged_since: None })).await?;
                log::info!("event=sent-copy-absorbed peer={} uid={}", self.peer, row.uid.0);
                return Ok(vec![row.uid]);
            }
            superseded.push((*fingerprint, row.uid));
        }
        let fingerprints: Vec<_> = arriving.messages.iter().map(|message| message.fingerprint).collect();
        let uids = self.deliver(arriving, superseded.iter().map(|(_, uid)| *uid).collect()).await?;
        for (fingerprint, uid) in fingerprints.into_iter().zip(&uids) {
            let Some(fingerprint) = fingerprint else { continue };
            if let Some((_, old)) = superseded.iter().find(|(one, _)| *one == fingerprint) {
                sent.remember(fingerprint, Hand::Submission, mailbox, *uid, now);
                log::info!("event=sent-copy-replaced peer={} uid={} by={}", self.peer, old.0, uid.0);
            }
            sent.remember(fingerprint, Hand::Append, mailbox, *uid, now);
        }
        Ok(uids)
    }
}

impl Arriving {
    fn begin_message(&mut self, store: &store::Store, message: AppendMessage) {
        let mut intake = if self.place.is_sent { Intake::fingerprinting(store) } else { Intake::new(store) };
        if self.waiting_bytes > APPEND_HELD_BYTES_MAX {
            intake = intake.staged();
        }
        let bytes = message.bytes.unwrap_or(0);
        // RFC 4314 section 4: other flags are not stored, and that is no failure.
        let message = AppendMessage { flags: self.place.rights.allowed(message.flags), ..message };
        self.open = Some(Open { message, intake, bytes });
    }

    /// The one that is coming is complete, if there is one.
    async fn end_message(&mut self) -> Result<(), Failure> {
        let Some(Open { message: AppendMessage { flags, date, .. }, intake, bytes }) = self.open.take() else {
            return Ok(());
        };
        if bytes == 0 {
            return Err(no(Code::Cannot, "The message is empty"));
        }
        let Whole { body, fingerprint, .. } = intake.finish_whole().await?;
        self.waiting_bytes += body.held_bytes();
        self.messages.push(Arrived { body, fingerprint, flags, date });
        match self.waiting_bytes > APPEND_WAITING_BYTES_MAX {
            true => Err(no(Code::Limit, "Too many messages at once")),
            false => Ok(()),
        }
    }

    /// Makes room for a part of the message that is coming.
    pub(super) fn add_part(&mut self, bytes: u64, bytes_max: u64) -> Result<(), Failure> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.bytes = open.bytes.saturating_add(bytes);
        // RFC 4469 section 4.2.
        if open.bytes > bytes_max { Err(no(Code::TooBig, "The message is too large")) } else { Ok(()) }
    }

    /// What takes its bytes in.
    pub(super) fn intake(&mut self) -> Option<&mut Intake> {
        self.open.as_mut().map(|open| &mut open.intake)
    }
}
