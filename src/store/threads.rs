//! Which thread a body belongs to: decided once, when it is admitted (RFC 8474 section 5.2).
//!
//! Receives what a body names, itself and the messages it answers, and who knows the threads so far; hands on its thread
//! and the hashes under which later bodies find it. It touches no table.
//!
//! A body stands in the table of threads under its own Message-ID. When it names a message that is not there, it stands
//! under the first of its references too, the root: so a reply that arrives before the message it answers is found by
//! that message, and by its siblings.

use crate::mail::index::MessageIdHash;
use crate::mail::message::{BodyId, ThreadId};

/// What was decided about a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Threaded {
    /// Its thread.
    pub thread: ThreadId,
    /// Where it stands in the table of threads; at most two.
    pub keys: Vec<MessageIdHash>,
}

/// Decides: the thread of the same message if it is there (a copy that came by another way), else that of the last of
/// its references that is known, else a new one.
pub fn thread_of<E>(
    body: BodyId,
    message_id: Option<MessageIdHash>,
    references: &[MessageIdHash],
    known: impl Fn(MessageIdHash) -> Result<Option<ThreadId>, E>,
) -> Result<Threaded, E> {
    let mut found = match message_id {
        Some(own) => known(own)?,
        None => None,
    };
    let mut all_known = true;
    for reference in references.iter().rev() {
        if found.is_some() && !all_known {
            break;
        }
        let thread = known(*reference)?;
        all_known &= thread.is_some();
        found = found.or(thread);
    }
    let root = references.first().copied().filter(|root| !all_known && Some(*root) != message_id);
    let keys = message_id.into_iter().chain(root).collect();
    Ok(Threaded { thread: found.unwrap_or(ThreadId(body.0)), keys })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    /// Admits bodies in that order, each as (own hash, references); returns their threads.
    fn threads(bodies: &[(u64, &[u64])]) -> Vec<u64> {
        let mut table: BTreeMap<(u64, u64), ThreadId> = BTreeMap::new();
        let admit = |(id, (own, references)): (u64, &(u64, &[u64]))| {
            let references: Vec<_> = references.iter().copied().map(MessageIdHash).collect();
            let known = |hash: MessageIdHash| {
                Ok::<_, Infallible>(table.range((hash.0, 0)..=(hash.0, u64::MAX)).next().map(|(_, thread)| *thread))
            };
            let own = (*own > 0).then_some(MessageIdHash(*own));
            let Ok(threaded) = thread_of(BodyId(id), own, &references, known);
            assert!(threaded.keys.len() <= 2);
            table.extend(threaded.keys.iter().map(|hash| ((hash.0, id), threaded.thread)));
            threaded.thread.0
        };
        (1..).zip(bodies).map(admit).collect()
    }

    #[test]
    fn answers_join_what_they_answer() {
        assert_eq!(threads(&[(10, &[]), (11, &[10]), (12, &[10, 11]), (20, &[]), (0, &[])]), [1, 1, 1, 4, 5]);
        assert_eq!(threads(&[(10, &[]), (20, &[]), (30, &[10, 20])]), [1, 2, 2], "the last reference decides");
        assert_eq!(threads(&[(10, &[]), (10, &[])]), [1, 1], "the same message again");
    }

    #[test]
    fn a_reply_that_arrives_first_is_found_by_its_root_and_its_siblings() {
        assert_eq!(threads(&[(12, &[10, 11]), (10, &[]), (11, &[10])]), [1, 1, 1]);
        assert_eq!(threads(&[(12, &[10, 11]), (13, &[10, 14])]), [1, 1]);
        assert_eq!(threads(&[(10, &[10])]), [1], "a message that answers itself");
    }
}
