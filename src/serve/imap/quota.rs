//! GETQUOTA, GETQUOTAROOT: how much room the disk has, which no client can change.

use super::Session;
use super::failure::{Failure, no};
use crate::limits::SEARCH_PAGE_ROWS;
use crate::mail::access::Rights;
use crate::mail::message::{Mailbox, SystemFlags, Uid};
use crate::wire::imap::command::Tag;
use crate::wire::imap::quota::{QUOTA_ROOT, quota, quota_root};
use crate::wire::imap::{Code, MailboxName};

impl Session {
    /// GETQUOTA (RFC 9208 section 4.1.1).
    pub(super) async fn get_quota(&mut self, tag: &Tag, root: &str) -> Result<(), Failure> {
        if root != QUOTA_ROOT {
            return Err(no(Code::Nonexistent, "There is no such quota root"));
        }
        self.tell_quota().await?;
        self.finish(tag, true, Code::None, "GETQUOTA completed").await
    }

    /// GETQUOTAROOT (RFC 9208 section 4.1.2): also of mailboxes that are not there; of those that are, the right to read is needed
    /// (section 6).
    pub(super) async fn get_quota_root(&mut self, tag: &Tag, mailbox: &MailboxName) -> Result<(), Failure> {
        match self.mailbox_named(mailbox, Rights::READ).await {
            Ok(_) | Err(Failure::Refused(_, Code::Nonexistent, _)) => {}
            Err(failure) => return Err(failure),
        }
        quota_root(&mut self.line.out, mailbox.as_str());
        self.tell_quota().await?;
        self.finish(tag, true, Code::None, "GETQUOTAROOT completed").await
    }

    async fn tell_quota(&mut self) -> Result<(), Failure> {
        let space = self.context.store.space().await?;
        quota(&mut self.line.out, space.used_bytes, space.left_bytes);
        Ok(())
    }

    /// Bytes of the messages marked deleted (RFC 9208 section 4.1.4), in pages: a mailbox may have many.
    pub(super) async fn deleted_bytes(&self, mailbox: &Mailbox) -> Result<u64, Failure> {
        let (id, mut left, mut next, mut bytes) = (mailbox.id, mailbox.deleted, Uid(1), 0);
        while left > 0 {
            let page =
                self.context.store.read(move |snapshot| snapshot.messages(id, next, Uid(u32::MAX), SEARCH_PAGE_ROWS));
            let page = page.await?;
            let Some(last) = page.last() else { break };
            next = Uid(last.uid.0.saturating_add(1));
            for row in page.iter().filter(|row| row.flags.contains(SystemFlags::DELETED)) {
                bytes += row.bytes;
                left = left.saturating_sub(1);
            }
        }
        Ok(bytes)
    }
}
