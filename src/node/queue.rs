//! `hauspost queue`: what is said about the mail that waits, and what is done with it.
//!
//! Receives the words of the command; hands on text. What can be done with the queue is known by `serve::queue`.

mod list;
mod show;

use crate::mail::message::QueueId;
use crate::node::control::Errand;
use crate::node::control::answer::Answer;
use crate::node::control::wording::count;
use crate::node::failure::{Exit, Failure};
use crate::node::owner::in_store;
use crate::serve::queue::{Change, Changed, change, read_ids};
use crate::store::Trouble;

/// What the owner wants of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueOrder {
    /// Everything in it.
    List {
        /// For programs.
        json: bool,
    },
    /// All of one message.
    Show(QueueId),
    /// Something else shall become of some messages.
    Change(Change, Which),
}

/// Which messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All for which it makes sense.
    All,
    /// These.
    These(Vec<QueueId>),
}

/// Each change that can be named, and its word.
const CHANGES: [(&str, Change); 5] = [
    ("retry", Change::Retry),
    ("hold", Change::Hold),
    ("release", Change::Release),
    ("remove", Change::Remove),
    ("bounce", Change::Bounce),
];

impl QueueOrder {
    /// The words of the command, as they go over the control socket.
    pub fn to_words(&self) -> Vec<String> {
        let mut words = vec!["queue".to_owned()];
        match self {
            QueueOrder::List { json } => {
                words.push("list".into());
                words.extend(json.then(|| "json".to_owned()));
            }
            QueueOrder::Show(id) => words.extend(["show".into(), id.0.to_string()]),
            QueueOrder::Change(change, which) => {
                let word = CHANGES.iter().find(|(_, known)| known == change).map_or("", |(word, _)| word);
                words.push(word.to_owned());
                match which {
                    Which::All => words.push("all".into()),
                    Which::These(ids) => words.extend(ids.iter().map(|id| id.0.to_string())),
                }
            }
        }
        words
    }

    /// Reads the words behind `queue`.
    pub fn from_words(words: &[&str]) -> Option<QueueOrder> {
        let id = |word: &&str| word.parse().ok().map(QueueId);
        match words {
            ["list"] => Some(QueueOrder::List { json: false }),
            ["list", "json"] => Some(QueueOrder::List { json: true }),
            ["show", word] => id(word).map(QueueOrder::Show),
            [word, rest @ ..] => {
                let (_, change) = CHANGES.into_iter().find(|(known, _)| known == word)?;
                let which = match rest {
                    [] => return None,
                    ["all"] => Which::All,
                    ids => Which::These(ids.iter().map(id).collect::<Option<_>>()?),
                };
                Some(QueueOrder::Change(change, which))
            }
            [] => None,
        }
    }
}

/// Reads the numbers of messages; several may stand in one word with commas, as in `Queued as 12,13`.
pub fn parse_ids(words: &[String]) -> Result<Vec<QueueId>, Failure> {
    let mut ids = Vec::new();
    for word in words.iter().flat_map(|word| word.split(',')) {
        let id = word.strip_prefix("queue=").unwrap_or(word).parse().map(QueueId).map_err(|_| {
            let sentence = format!("{word:?} is not the number of a message: the list shows them");
            Failure::new(Exit::Usage, sentence)
        })?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Carries out what the words say.
pub async fn carry_out(errand: &Errand, words: &[&str], answer: &mut Answer) -> Result<(), Failure> {
    match QueueOrder::from_words(words) {
        Some(QueueOrder::List { json: false }) => list::list(errand, answer).await,
        Some(QueueOrder::List { json: true }) => list::list_json(errand, answer).await,
        Some(QueueOrder::Show(id)) => show::show(errand, id, answer).await,
        Some(QueueOrder::Change(what, Which::These(ids))) => change_these(errand, what, &ids, answer).await,
        Some(QueueOrder::Change(what, Which::All)) => change_all(errand, what, answer).await,
        None => Err(Failure::new(Exit::Usage, "the node that runs does not know this command: restart it")),
    }
}

/// What is said where a message is named that is not in the queue.
fn not_there(ids: &[QueueId]) -> Failure {
    let numbers: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
    let sentence = match numbers.as_slice() {
        [number] => format!("there is no message {number} in the queue: it was delivered, given up or removed"),
        numbers => format!("there are no messages {} in the queue", numbers.join(", ")),
    };
    Failure::new(Exit::Findings, sentence)
}

async fn change_these(errand: &Errand, what: Change, ids: &[QueueId], answer: &mut Answer) -> Result<(), Failure> {
    let (mut missing, mut undone, mut failed) = (Vec::new(), Vec::new(), None);
    for (id, changed) in change(&errand.context, ids, what).await {
        match changed {
            Ok(Changed::NotThere) => missing.push(id),
            Ok(changed) => {
                if matches!(changed, Changed::IsHeld | Changed::UnderWay) {
                    undone.push(id.0.to_string());
                }
                answer.say(&format!("{}: {}\n", id.0, outcome(changed, errand.running.is_some()))).await?;
            }
            Err(trouble) => {
                let failure = in_store(&trouble);
                answer.say(&format!("{}: nothing was done: {failure}\n", id.0)).await?;
                failed = Some(failure);
            }
        }
    }
    match (failed, missing.is_empty(), undone.is_empty()) {
        (Some(failure), ..) => Err(failure),
        (None, false, _) => Err(not_there(&missing)),
        (None, true, false) => Err(Failure::new(Exit::Findings, format!("not done for {}", undone.join(", ")))),
        (None, true, true) => Ok(()),
    }
}

/// What has become of a message, in words.
fn outcome(changed: Changed, is_running: bool) -> &'static str {
    match changed {
        Changed::Due if is_running => "is tried now",
        Changed::Due => "is tried as soon as the server runs",
        Changed::DueLater => "is held no more; it is sent when its own time comes",
        Changed::NotYet => "was not tried yet, and waits for its own time",
        Changed::Held => "is held until you release it",
        Changed::HeldBefore => "was held already",
        Changed::HeldLate => "is held; but it is being sent at this moment, and whom it goes to may still get it",
        Changed::UnderWay => "is being sent at this moment; ask again to see what came of that",
        Changed::NotHeld => "was not held",
        Changed::IsHeld => "is held, so it is not tried: release it first",
        Changed::Removed => "removed; nobody is told",
        Changed::Bounced => "given up; whoever wrote it is told",
        Changed::BouncedUntold => "given up; nobody is told, because it has no sender or the sender wants no report",
        Changed::NotThere => "is not in the queue",
    }
}

async fn change_all(errand: &Errand, what: Change, answer: &mut Answer) -> Result<(), Failure> {
    let word = what;
    // What is to be sent at a time of its own is not hurried by this.
    let what = if what == Change::Retry { Change::RetryFailed } else { what };
    let mut after = QueueId(0);
    let (mut done, mut held, mut waiting, mut failed) = (0, 0, 0, None::<Trouble>);
    loop {
        let ids = read_ids(&errand.context, after).await.map_err(|e| in_store(&e))?;
        let Some(last) = ids.last() else { break };
        after = *last;
        for (_, changed) in change(&errand.context, &ids, what).await {
            match changed {
                Ok(Changed::NotThere | Changed::NotHeld) => {}
                Ok(Changed::IsHeld | Changed::HeldBefore | Changed::UnderWay) => held += 1,
                Ok(Changed::NotYet) => waiting += 1,
                Ok(_) => done += 1,
                Err(trouble) => failed = Some(trouble),
            }
        }
    }
    let outcome = match word {
        Change::Retry | Change::RetryFailed if errand.running.is_some() => "tried now",
        Change::Retry | Change::RetryFailed => "tried as soon as the server runs",
        Change::Hold => "held until you release them",
        Change::Release => "released",
        Change::Remove => "removed",
        Change::Bounce => "given up",
    };
    let mut text = format!("{}: {outcome}\n", count(done, "message", "messages"));
    if held > 0 {
        text.push_str(&format!("{} held before and not changed\n", count(held, "message was", "messages were")));
    }
    if waiting > 0 {
        text.push_str(&format!("{} for a time of its own\n", count(waiting, "message waits", "messages wait, each")));
    }
    answer.say(&text).await?;
    failed.map_or(Ok(()), |trouble| Err(in_store(&trouble)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_return() {
        let ids = || Which::These(vec![QueueId(3), QueueId(u64::MAX)]);
        let mut orders = vec![QueueOrder::List { json: false }, QueueOrder::List { json: true }];
        orders.push(QueueOrder::Show(QueueId(7)));
        for (_, change) in CHANGES {
            orders.extend([Which::All, ids()].map(|which| QueueOrder::Change(change, which)));
        }
        for order in orders {
            let words = order.to_words();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!((words[0], QueueOrder::from_words(&words[1..])), ("queue", Some(order)));
        }
        for words in [&[][..], &["fly"], &["hold"], &["hold", "x"], &["show"], &["show", "-1"], &["list", "3"]] {
            assert_eq!(QueueOrder::from_words(words), None, "{words:?}");
        }
    }

    #[test]
    fn ids_are_read_as_they_are_printed_elsewhere() {
        let read = |words: &[&str]| parse_ids(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&["12,13", "queue=14", "12"]).unwrap(), [12, 13, 14].map(QueueId));
        for word in ["", "x", "-1", "1,", "0x1"] {
            assert_eq!(read(&[word]).unwrap_err().exit, Exit::Usage, "{word}");
        }
    }
}
