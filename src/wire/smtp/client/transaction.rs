//! One message over a connection: MAIL, RCPT, then DATA (RFC 5321 section 3.3) or chunks (RFC 3030), and its verdicts.
//!
//! With CHUNKING the chunks begin once the recipients are answered for, so that nothing is sent for nobody; with PIPELINING
//! some of them are on their way before the first is answered (RFC 3030 section 4.2). The last chunk carries the end of the
//! message. What the receiver gets is the same either way.

use super::content::ContentEncoder;
use super::{Answer, Client, Ended, Envelope, State, Verb, Verdict, is_binary, refusal};
use crate::limits::RELAY_CHUNKS_UNANSWERED_MAX;

/// A message under way.
pub(super) struct Transaction {
    pub envelope: Envelope,
    verdicts: Vec<Option<Verdict>>,
    mail_refused: bool,
    /// A chunk has been taken, so the server knows the command.
    chunk_taken: bool,
}

/// What has been sent of a message in chunks.
pub(super) struct Chunks {
    /// `None`: the content is binary and goes octet for octet.
    encoder: Option<ContentEncoder>,
    pub unanswered: u32,
    unanswered_max: u32,
}

impl Chunks {
    /// Whether another chunk can be sent before the next answer.
    pub fn has_room(&self) -> bool {
        self.unanswered < self.unanswered_max
    }
}

impl Client {
    /// Begins a transaction; only when [`super::Want::Envelope`] and without verdicts waiting. What the server's offers rule out
    /// is refused here and now, without a word to it.
    pub fn begin(&mut self, envelope: Envelope, out: &mut Vec<u8>) {
        if !matches!(self.state, State::Ready) || envelope.recipients.is_empty() {
            self.verdicts = Some(vec![Verdict::Cut { after_dot: false }; envelope.recipients.len()]);
            return;
        }
        if let Some(refusal) = self.offers.refuse(&envelope) {
            self.verdicts = Some(vec![Verdict::Permanent(refusal, Verb::Mail); envelope.recipients.len()]);
            return;
        }
        out.extend_from_slice(self.offers.mail_command(&envelope).as_bytes());
        if self.offers.pipelining {
            for recipient in &envelope.recipients {
                out.extend_from_slice(self.offers.rcpt_command(&envelope, recipient).as_bytes());
            }
            if !self.in_chunks(&envelope) {
                out.extend_from_slice(b"DATA\r\n");
            }
        }
        let verdicts = vec![None; envelope.recipients.len()];
        self.state = State::AwaitMail(Transaction { envelope, verdicts, mail_refused: false, chunk_taken: false });
    }

    /// Appends the next piece of the content as it goes over the wire; only when [`super::Want::Content`]. `last`: it ends the
    /// message.
    pub fn content(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Content(transaction, mut encoder) => {
                encoder.encode(bytes, out);
                self.state = if last {
                    encoder.finish(out);
                    State::AwaitContent(transaction, 0)
                } else {
                    State::Content(transaction, encoder)
                };
            }
            State::Chunks(transaction, chunks) => self.chunk(transaction, chunks, (bytes, last), out),
            other => self.state = other,
        }
    }

    /// RFC 3030 section 2: `BDAT <octets> [LAST]`, and the octets.
    fn chunk(&mut self, transaction: Transaction, mut chunks: Chunks, (bytes, last): (&[u8], bool), out: &mut Vec<u8>) {
        let start = out.len();
        match &mut chunks.encoder {
            None => out.extend_from_slice(bytes),
            Some(encoder) => encoder.encode(bytes, out),
        }
        if let Some(encoder) = chunks.encoder.take_if(|_| last) {
            encoder.finish(out);
        }
        let octets = out.len() - start;
        if octets > 0 || last {
            let command = format!("BDAT {octets}{}\r\n", if last { " LAST" } else { "" });
            out.splice(start..start, command.into_bytes());
        }
        self.state = match last {
            true => State::AwaitContent(transaction, chunks.unanswered),
            false => {
                chunks.unanswered += u32::from(octets > 0);
                State::Chunks(transaction, chunks)
            }
        };
    }

    fn in_chunks(&self, envelope: &Envelope) -> bool {
        is_binary(envelope) || (self.offers.chunking && !self.manner.no_chunks)
    }

    pub(super) fn on_mail(&mut self, mut transaction: Transaction, answer: Answer, out: &mut Vec<u8>) {
        if !answer.is_positive() {
            transaction.mail_refused = true;
            transaction.decide_rest(&answer, Verb::Mail);
            if !self.offers.pipelining {
                return self.finish(transaction, State::Ready);
            }
        } else if let (false, Some(first)) = (self.offers.pipelining, transaction.envelope.recipients.first()) {
            out.extend_from_slice(self.offers.rcpt_command(&transaction.envelope, first).as_bytes());
        }
        self.state = State::AwaitRcpt(transaction, 0);
    }

    pub(super) fn on_rcpt(&mut self, mut transaction: Transaction, at: usize, answer: Answer, out: &mut Vec<u8>) {
        if !answer.is_positive()
            && let Some(verdict @ None) = transaction.verdicts.get_mut(at)
        {
            *verdict = Some(refusal(answer, Verb::Rcpt));
        }
        let next = at + 1;
        let in_chunks = self.in_chunks(&transaction.envelope);
        match transaction.envelope.recipients.get(next) {
            Some(recipient) => {
                if !self.offers.pipelining {
                    out.extend_from_slice(self.offers.rcpt_command(&transaction.envelope, recipient).as_bytes());
                }
                self.state = State::AwaitRcpt(transaction, next);
            }
            None if self.offers.pipelining && !in_chunks => self.state = State::AwaitData(transaction),
            // A transaction that MAIL refused was never opened.
            None if transaction.mail_refused => self.finish(transaction, State::Ready),
            None if transaction.is_decided() => self.reset(transaction, 0, out),
            None if in_chunks => {
                let encoder = (!is_binary(&transaction.envelope)).then(ContentEncoder::without_dots);
                let unanswered_max = if self.offers.pipelining { RELAY_CHUNKS_UNANSWERED_MAX } else { 1 };
                self.state = State::Chunks(transaction, Chunks { encoder, unanswered: 0, unanswered_max });
            }
            None => {
                out.extend_from_slice(b"DATA\r\n");
                self.state = State::AwaitData(transaction);
            }
        }
    }

    pub(super) fn on_data(&mut self, mut transaction: Transaction, answer: Answer, out: &mut Vec<u8>) {
        match (answer.code, transaction.is_decided()) {
            (354, false) => self.state = State::Content(transaction, ContentEncoder::with_dots()),
            (354, true) => {
                out.extend_from_slice(b".\r\n");
                self.finish(transaction, State::AwaitVoid);
            }
            _ => {
                transaction.decide_rest(&answer, Verb::Data);
                // A transaction that MAIL refused was never opened; any other is still open at the server.
                if transaction.mail_refused {
                    return self.finish(transaction, State::Ready);
                }
                self.reset(transaction, 0, out);
            }
        }
    }

    /// The answer to a chunk, the last one not being sent yet.
    pub(super) fn on_chunk(
        &mut self,
        mut transaction: Transaction,
        mut chunks: Chunks,
        answer: Answer,
        out: &mut Vec<u8>,
    ) {
        chunks.unanswered -= 1;
        match answer.is_positive() {
            true => {
                transaction.chunk_taken = true;
                self.state = State::Chunks(transaction, chunks);
            }
            false => self.refuse_chunk(transaction, chunks.unanswered, answer, out),
        }
    }

    /// The answer to a chunk before the last one, which has been sent.
    pub(super) fn on_chunk_before(
        &mut self,
        mut transaction: Transaction,
        unanswered: u32,
        answer: Answer,
        out: &mut Vec<u8>,
    ) {
        match answer.is_positive() {
            true => {
                transaction.chunk_taken = true;
                self.state = State::AwaitContent(transaction, unanswered - 1);
            }
            false => self.refuse_chunk(transaction, unanswered, answer, out),
        }
    }

    /// A refused chunk decides for all; those behind it are refused too, whatever they are answered, and the transaction has
    /// to be reset (RFC 3030 section 2).
    fn refuse_chunk(&mut self, mut transaction: Transaction, unanswered: u32, answer: Answer, out: &mut Vec<u8>) {
        // The command is offered but not known: a filter on the way may have taken it out. What follows is out of step, for
        // the octets are read as commands, so the connection is over.
        if matches!(answer.code, 500..=504) && !transaction.chunk_taken && !is_binary(&transaction.envelope) {
            self.knows_no_chunks = true;
            self.verdicts = Some(transaction.into_verdicts(false));
            self.ended = Some(Ended::Unfit("offers CHUNKING and does not know BDAT"));
            self.state = State::Closed;
            return;
        }
        transaction.decide_rest(&answer, Verb::Content);
        if answer.code == 421 {
            self.verdicts = Some(transaction.into_verdicts(false));
            self.ended = Some(Ended::Refused(answer, Verb::Content));
            self.state = State::Closed;
            return;
        }
        self.reset(transaction, unanswered, out);
    }

    /// The answer to the content; `early` when it came before the final dot: then both sides are out of step and the
    /// connection is over, but the answer counts.
    pub(super) fn on_content(&mut self, mut transaction: Transaction, answer: Answer, early: bool, out: &mut Vec<u8>) {
        if answer.is_positive() && !early {
            for verdict in transaction.verdicts.iter_mut().filter(|verdict| verdict.is_none()) {
                *verdict = Some(Verdict::Delivered(answer.clone()));
            }
            return self.finish(transaction, State::Ready);
        }
        if !early && self.in_chunks(&transaction.envelope) {
            return self.refuse_chunk(transaction, 0, answer, out);
        }
        transaction.decide_rest(&answer, Verb::Content);
        if early || answer.code == 421 {
            self.verdicts = Some(transaction.into_verdicts(false));
            self.ended = Some(Ended::Refused(answer, Verb::Content));
            self.state = State::Closed;
            return;
        }
        self.finish(transaction, State::Ready);
    }

    fn reset(&mut self, transaction: Transaction, unanswered: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"RSET\r\n");
        self.finish(transaction, State::AwaitReset(unanswered));
    }

    fn finish(&mut self, transaction: Transaction, next: State) {
        self.verdicts = Some(transaction.into_verdicts(false));
        self.state = next;
    }
}

impl Transaction {
    fn is_decided(&self) -> bool {
        self.verdicts.iter().all(Option::is_some)
    }

    fn decide_rest(&mut self, answer: &Answer, verb: Verb) {
        for verdict in self.verdicts.iter_mut().filter(|verdict| verdict.is_none()) {
            *verdict = Some(refusal(answer.clone(), verb));
        }
    }

    pub fn into_verdicts(self, after_dot: bool) -> Vec<Verdict> {
        self.verdicts.into_iter().map(|verdict| verdict.unwrap_or(Verdict::Cut { after_dot })).collect()
    }
}
