//! What POP3 does with its maildrop: deletions that are kept elsewhere, and what it has found out of messages.

use super::super::step::Step;
use super::super::{Copy, Done, Expunge, Expungeable, Trouble};
use super::Draft;
use crate::mail::message::{Form, Mailbox, MailboxId, SpecialUse, Uid, UidValidity};
use crate::wire::date::Timestamp;
use redb::ReadableTable;

impl Draft<'_, '_> {
    /// Messages go to the mailbox that has this use now, whatever its name. One that has been deleted is made again: the owner has
    /// said that nothing is to be lost.
    pub(super) fn discard(
        &mut self,
        from: MailboxId,
        uids: Vec<Uid>,
        to: SpecialUse,
        now: Timestamp,
    ) -> Result<Done, Trouble> {
        let to = match self.mailbox_with_use(to)? {
            Some(mailbox) if mailbox.id == from => {
                return self.expunge(Expunge { mailbox: from, which: Expungeable::These(uids) });
            }
            Some(mailbox) => mailbox.id,
            None => self.make_again(to)?,
        };
        self.copy(Copy { from, uids, to, remove: true, now })
    }

    /// A mailbox for this use: a new one, by its usual name or, when another mailbox has that, with a number behind it.
    fn make_again(&mut self, special_use: SpecialUse) -> Result<MailboxId, Trouble> {
        let usual = if special_use == SpecialUse::Archive { "Archive" } else { "Trash" };
        let mut name = usual.to_owned();
        let mut number = 1;
        while self.tables.names.get(&name[..])?.is_some() {
            number += 1;
            name = format!("{usual} {number}");
        }
        let uid_validity = UidValidity(self.next_uid_validity);
        let id = self.create(name.clone(), Some(special_use))?;
        // The steps that follow in the same Op look for it.
        self.mailboxes.push(Mailbox { special_use: Some(special_use), ..Mailbox::new(id, &name, uid_validity) });
        Ok(id)
    }

    pub(super) fn note_forms(&mut self, mailbox: MailboxId, mut forms: Vec<(Uid, Form)>) -> Result<Done, Trouble> {
        forms.sort_unstable_by_key(|(uid, _)| *uid);
        forms.dedup_by_key(|(uid, _)| *uid);
        let mut rows = Vec::with_capacity(forms.len());
        for (uid, form) in forms {
            if self.tables.message(mailbox, uid)?.is_some_and(|row| row.form != form) {
                rows.push((uid, form));
            }
        }
        if !rows.is_empty() {
            self.steps.push(Step::Forms { mailbox, rows });
        }
        Ok(Done::Applied)
    }
}

#[cfg(test)]
mod tests {
    use crate::mail::index::Indexer;
    use crate::mail::message::*;
    use crate::store::{Copy, Deliver, Op, Store, Target};
    use crate::wire::date::Timestamp;
    use smol::block_on;

    fn deliver(store: &Store, text: &[u8], cut: usize) {
        let mut indexer = Indexer::new();
        let mut writer = store.body_writer();
        for piece in text.chunks(cut) {
            indexer.push(piece);
            block_on(writer.write(piece)).expect("written");
        }
        let body = block_on(writer.finish(indexer.finish())).expect("finished");
        let targets = vec![Target { mailbox: INBOX, flags: Flags::default() }];
        let (internal_date, now) = (Timestamp(1), Timestamp(1));
        block_on(store.apply(Op::Deliver(Deliver { body, targets, internal_date, now }))).expect("delivered");
    }

    fn forms(store: &Store, mailbox: MailboxId) -> Vec<Form> {
        let rows = move |snapshot: &crate::store::Snapshot| snapshot.messages(mailbox, Uid(1), Uid(u32::MAX), 99);
        block_on(store.read(rows)).expect("readable").into_iter().map(|row| row.form).collect()
    }

    #[test]
    fn forms_are_noted_when_mail_comes_and_found_by_a_look() {
        let store = Store::in_memory().expect("a store");
        let part = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
                    Content-Disposition: attachment; filename=\u{fc}.txt\r\n\r\nx\r\n--b--\r\n";
        let body = "Subject: plain\r\n\r\nbody \u{fc}\r";
        let texts = ["Subject: x\r\n\r\nwhole\r\n", body, "Subject: \u{fc}\n\nlf\n", part, "", "Subject: \u{fc}"];
        for cut in [1, 7, 1000] {
            texts.iter().for_each(|text| deliver(&store, text.as_bytes(), cut));
        }
        let wanted = [("\r\n", false), ("\r", false), ("\n", true), ("\r\n", true), ("", false), ("x", true)];
        let wanted: Vec<Form> = wanted.iter().map(|(end, beyond)| Form::new(end.as_bytes(), *beyond)).collect();
        assert_eq!(forms(&store, INBOX), wanted.repeat(3));
        let looked = block_on(store.read(|snapshot| {
            let rows = snapshot.messages(INBOX, Uid(1), Uid(u32::MAX), 99)?;
            rows.iter().map(|row| snapshot.body_form(row.body)).collect::<Result<Vec<_>, _>>()
        }));
        assert_eq!(looked, Ok(wanted.repeat(3)));
    }

    #[test]
    fn what_is_discarded_goes_to_the_mailbox_of_that_use_or_to_a_new_one() {
        let store = Store::in_memory().expect("a store");
        let apply = |op| block_on(store.apply(op));
        let named =
            |name: &'static str| block_on(store.read(move |snapshot| snapshot.mailbox_named(name))).expect("readable");
        let discard = |from, uid, to| apply(Op::Discard { from, uids: vec![Uid(uid), Uid(99)], to, now: Timestamp(3) });
        (0..5).for_each(|_| deliver(&store, b"Subject: x\r\n\r\nx", 9));
        let keyword = Flags { system: SystemFlags::FLAGGED, keywords: vec!["$Mine".into()] };
        let (change, unchanged_since) = (crate::store::FlagChange::Add, None);
        let set =
            crate::store::SetFlags { mailbox: INBOX, uids: vec![Uid(3)], change, flags: keyword, unchanged_since };
        apply(Op::SetFlags(set)).expect("set");
        if named("Trash").is_none() {
            let special_use = Some(SpecialUse::Trash);
            apply(Op::CreateMailbox { name: "Trash".into(), special_use }).expect("made");
        }
        apply(Op::RenameMailbox { from: "Trash".into(), to: "Bin".into() }).expect("renamed");
        discard(INBOX, 1, SpecialUse::Trash).expect("discarded");
        assert_eq!(named("Bin").map(|mailbox| mailbox.messages), Some(1));
        apply(Op::DeleteMailbox { name: "Bin".into() }).expect("deleted");
        apply(Op::CreateMailbox { name: "Trash".into(), special_use: None }).expect("made");
        discard(INBOX, 2, SpecialUse::Trash).expect("discarded");
        discard(INBOX, 3, SpecialUse::Trash).expect("discarded");
        let made = named("Trash 2").expect("made again");
        assert_eq!(
            (made.special_use, made.messages, &made.keywords[..]),
            (Some(SpecialUse::Trash), 2, &["$Mine".to_owned()][..])
        );
        discard(made.id, 1, SpecialUse::Trash).expect("expunged");
        assert_eq!(named("Trash 2").map(|mailbox| mailbox.messages), Some(1));
        assert_eq!(named("INBOX").map(|mailbox| mailbox.messages), Some(2));
        discard(INBOX, 77, SpecialUse::Archive).expect("nothing to do");
        assert_eq!(block_on(store.read(|snapshot| snapshot.check())), Ok(Vec::new()));
    }

    #[test]
    fn what_is_noted_stays_and_changes_nothing_else() {
        let store = Store::in_memory().expect("a store");
        (0..3).for_each(|_| deliver(&store, b"Subject: x\r\n\r\nx", 9));
        let rows = || block_on(store.read(|snapshot| snapshot.messages(INBOX, Uid(1), Uid(9), 9))).expect("readable");
        let before = rows();
        let note = |forms| block_on(store.apply(Op::NoteForms { mailbox: INBOX, forms })).expect("noted");
        note(vec![(Uid(2), Form::UNKNOWN), (Uid(77), Form::UNKNOWN)]);
        let mut wanted = before.clone();
        wanted[1].form = Form::UNKNOWN;
        assert_eq!(rows(), wanted);
        note(vec![(Uid(2), before[1].form)]);
        assert_eq!(rows(), before);
        block_on(store.apply(Op::CreateMailbox { name: "A".into(), special_use: None })).expect("made");
        let there = block_on(store.read(|snapshot| snapshot.mailbox_named("A"))).expect("readable").expect("there").id;
        let (uids, now) = (vec![Uid(1), Uid(2)], Timestamp(2));
        let copy = Copy { from: INBOX, uids, to: there, remove: true, now };
        block_on(store.apply(Op::Copy(copy))).expect("moved");
        assert_eq!(forms(&store, there), [before[0].form; 2]);
        assert_eq!(block_on(store.read(|snapshot| snapshot.check())), Ok(Vec::new()));
    }
}
