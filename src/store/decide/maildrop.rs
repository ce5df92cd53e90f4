//! What POP3 finds out of its maildrop.

use super::super::Done;
use super::super::Trouble;
use super::super::step::Step;
use super::Draft;
use crate::mail::message::{Form, MailboxId, Uid};

impl Draft<'_, '_> {
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
