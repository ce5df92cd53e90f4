//! SORT, THREAD and what they answer (RFC 5256, RFC 5957): arguments as values, results as lines. With RETURN (RFC 5267 section 3)
//! it answers as [`super::esearch`] writes.
//!
//! Results have an order of their own, so that they are no [`super::NumberSet`]; they are written in pieces, because they
//! are as long as the mailbox.

use super::command::SearchKey;
use super::esearch::SearchReturn;
use super::response::{push, push_number};

/// SORT and UID SORT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// UID SORT: results are UIDs.
    pub uid: bool,
    /// `RETURN (...)`: answer with ESEARCH (RFC 5267 section 3.1). `None`: answer with SORT.
    pub returns: Option<SearchReturn>,
    /// At least one, the first decides first.
    pub criteria: Vec<SortCriterion>,
    /// Which messages.
    pub key: SearchKey,
}

/// One criterion of SORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortCriterion {
    /// What is compared.
    pub key: SortKey,
    /// `REVERSE`: descending.
    pub reverse: bool,
}

/// What SORT can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// `ARRIVAL`: INTERNALDATE.
    Arrival,
    /// `CC`: mailbox of the first address.
    Cc,
    /// `DATE`: Date field, else INTERNALDATE.
    Date,
    /// `DISPLAYFROM`: name of the first address (RFC 5957).
    DisplayFrom,
    /// `DISPLAYTO`
    DisplayTo,
    /// `FROM`
    From,
    /// `RELEVANCY`: the best match first; needs a FUZZY key (RFC 6203 section 6).
    Relevancy,
    /// `SIZE`
    Size,
    /// `SUBJECT`: base subject.
    Subject,
    /// `TO`
    To,
}

impl SortKey {
    /// Each key with its spelling.
    pub const ALL: [(SortKey, &'static str); 10] = [
        (SortKey::Arrival, "ARRIVAL"),
        (SortKey::Cc, "CC"),
        (SortKey::Date, "DATE"),
        (SortKey::DisplayFrom, "DISPLAYFROM"),
        (SortKey::DisplayTo, "DISPLAYTO"),
        (SortKey::From, "FROM"),
        (SortKey::Relevancy, "RELEVANCY"),
        (SortKey::Size, "SIZE"),
        (SortKey::Subject, "SUBJECT"),
        (SortKey::To, "TO"),
    ];
}

/// THREAD and UID THREAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// UID THREAD: results are UIDs.
    pub uid: bool,
    /// How.
    pub algorithm: ThreadAlgorithm,
    /// Which messages.
    pub key: SearchKey,
}

/// The ways to find out what belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// `ORDEREDSUBJECT`
    OrderedSubject,
    /// `REFERENCES`
    References,
    /// `REFS` (draft-ietf-morg-inthread): REFERENCES without subjects, the thread with the newest message last.
    Refs,
}

impl ThreadAlgorithm {
    /// Each algorithm with its spelling.
    pub const ALL: [(ThreadAlgorithm, &'static str); 3] = [
        (ThreadAlgorithm::OrderedSubject, "ORDEREDSUBJECT"),
        (ThreadAlgorithm::References, "REFERENCES"),
        (ThreadAlgorithm::Refs, "REFS"),
    ];
}

/// Writes a THREAD response piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct ThreadWriter {
    space: bool,
}

impl ThreadWriter {
    /// `* THREAD`
    pub fn begin(out: &mut Vec<u8>) -> ThreadWriter {
        push(out, "* THREAD");
        ThreadWriter { space: true }
    }

    /// `(`
    pub fn open(&mut self, out: &mut Vec<u8>) {
        push(out, if self.space { " (" } else { "(" });
        self.space = false;
    }

    /// A message.
    pub fn number(&mut self, out: &mut Vec<u8>, number: u32) {
        push(out, if self.space { " " } else { "" });
        push_number(out, u64::from(number));
        self.space = true;
    }

    /// `)`
    pub fn close(&mut self, out: &mut Vec<u8>) {
        out.push(b')');
        self.space = false;
    }

    /// The end of the line.
    pub fn end(self, out: &mut Vec<u8>) {
        push(out, "\r\n");
    }
}

/// `* SORT`; [`push_numbers`] and [`end_sort`] follow.
pub fn begin_sort(out: &mut Vec<u8>) {
    push(out, "* SORT");
}

/// ` 5 3 4`: the next results in their order.
pub fn push_numbers(out: &mut Vec<u8>, numbers: &[u32]) {
    for number in numbers {
        out.push(b' ');
        push_number(out, u64::from(*number));
    }
}

/// `[ (MODSEQ 917162500)]` and the end of the line (RFC 7162 section 3.1.5: no MODSEQ when nothing was found).
pub fn end_sort(out: &mut Vec<u8>, modseq: Option<u64>) {
    if let Some(modseq) = modseq {
        push(out, " (MODSEQ ");
        push_number(out, modseq);
        out.push(b')');
    }
    push(out, "\r\n");
}

impl Sort {
    /// Whether scores are asked for (RFC 6203 section 6).
    pub fn is_scored(&self) -> bool {
        self.returns.is_some_and(|returns| returns.relevancy)
            || self.criteria.iter().any(|criterion| criterion.key == SortKey::Relevancy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        let mut out = Vec::new();
        begin_sort(&mut out);
        push_numbers(&mut out, &[5, 3, 4]);
        end_sort(&mut out, Some(9));
        assert_eq!(out, b"* SORT 5 3 4 (MODSEQ 9)\r\n");
    }
}
