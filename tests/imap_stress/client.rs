//! One client: its connection, what it has asked, and what it believes; every response is judged as it comes.

use crate::belief::{Belief, By, Message};
use crate::doing::Doing;
use crate::imap_session::{Node, OWNER, PASSWORD, read_now, write_now};
use crate::order::{Change, Memory, Order};
use crate::response::{Code, Response, Row, take};
use hauspost::net::Stream;
use smol::Task;
use std::collections::{BTreeMap, VecDeque};

/// Lines of what was said that are shown after a failure.
const TRANSCRIPT_LINES: usize = 60;

pub struct Client {
    pub name: char,
    stream: Option<Stream>,
    session: Option<Task<()>>,
    unread: Vec<u8>,
    /// Sent, and not yet begun to be answered.
    pub waiting: VecDeque<(String, Order)>,
    pub doing: Option<Doing>,
    pub selected: Option<Belief>,
    pub condstore: bool,
    pub qresync: bool,
    /// Messages have no numbers but UIDs (RFC 9586).
    pub uid_only: bool,
    /// In IDLE, and told so.
    pub idling: bool,
    /// By UIDVALIDITY: what it knew when it left.
    pub memories: BTreeMap<u32, (String, Memory)>,
    next_tag: u64,
    pub transcript: VecDeque<String>,
    /// Commands that have ended, for those who check more.
    pub done: Vec<Doing>,
    /// UIDs that were said to be gone, or not told where they should be if they were there.
    pub said_gone: Vec<(u32, u32, String)>,
    /// Untagged responses since this was emptied.
    pub unasked: usize,
    pub bye: bool,
    /// The server has closed the connection.
    ended: bool,
}

impl Client {
    pub fn new(name: char) -> Client {
        Client {
            name,
            stream: None,
            session: None,
            unread: Vec::new(),
            waiting: VecDeque::new(),
            doing: None,
            selected: None,
            condstore: false,
            qresync: false,
            uid_only: false,
            idling: false,
            memories: BTreeMap::new(),
            next_tag: 0,
            transcript: VecDeque::new(),
            done: Vec::new(),
            said_gone: Vec::new(),
            unasked: 0,
            bye: false,
            ended: false,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Nothing of what it asked is unanswered; in IDLE or not.
    pub fn is_at_rest(&self) -> bool {
        self.waiting.is_empty() && (self.doing.is_none() || self.idling)
    }

    pub fn connect(&mut self, node: &mut Node, pipe_bytes: usize, puts_off: usize) -> Result<(), String> {
        self.leave();
        let (stream, session, reluctance) = node.connect(pipe_bytes);
        (self.stream, self.session) = (Some(stream), Some(session));
        self.say(&format!("login LOGIN {OWNER} {PASSWORD}\r\n"))?;
        for _ in 0..1_000 {
            node.settle();
            self.read()?;
            while let Some((response, shown)) = take(&mut self.unread)? {
                self.note(&format!("< {shown}"));
                if let Response::Done { tag, word, .. } = response {
                    return match (tag.as_str(), word.as_str()) {
                        ("login", "OK") => {
                            // How often a password check is asked for is no matter of the seed.
                            reluctance.set(puts_off);
                            Ok(())
                        }
                        _ => Err(format!("logging in: {shown}")),
                    };
                }
            }
        }
        Err("the login is not answered".to_owned())
    }

    /// The connection is lost; what is known is remembered.
    pub fn drop_connection(&mut self) {
        self.note("-- the connection is lost");
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
        self.leave();
    }

    fn leave(&mut self) {
        // Whether a change was made that nobody has answered is not known.
        if let (Some(Doing { order: Order::Store { .. }, targets, .. }), Some(belief)) =
            (&self.doing, &mut self.selected)
        {
            let is_meant = |message: &&mut Message| targets.contains(&message.handle);
            belief.messages.iter_mut().filter(is_meant).for_each(|message| message.flags = None);
        }
        self.remember();
        (self.stream, self.session, self.selected, self.doing) = (None, None, None, None);
        (self.condstore, self.qresync, self.idling, self.bye, self.ended) = (false, false, false, false, false);
        self.uid_only = false;
        self.unread.clear();
        self.waiting.clear();
    }

    fn remember(&mut self) {
        if let Some(belief) = &self.selected
            && self.condstore
            && let Some(memory) = belief.memory()
        {
            self.memories.insert(memory.uid_validity, (belief.mailbox.clone(), memory));
        }
    }

    pub fn note(&mut self, line: &str) {
        if self.transcript.len() >= TRANSCRIPT_LINES {
            self.transcript.pop_front();
        }
        self.transcript.push_back(format!("{}{}", self.name, line.escape_debug()));
    }

    fn say(&mut self, text: &str) -> Result<(), String> {
        self.note(&format!("> {}", text.trim_end()));
        let Some(stream) = &mut self.stream else { return Err("not connected".to_owned()) };
        // The server may have said BYE and gone: that is heard next, or it is missed.
        write_now(stream, text.as_bytes());
        Ok(())
    }

    /// Sends these commands in one write.
    pub fn ask(&mut self, orders: Vec<Order>) -> Result<(), String> {
        let mut text = String::new();
        for order in orders {
            self.next_tag += 1;
            let tag = format!("{}{}", self.name.to_ascii_lowercase(), self.next_tag);
            text.push_str(&format!("{tag} {}\r\n", order.text()));
            self.waiting.push_back((tag, order));
        }
        self.say(&text)?;
        self.begin();
        Ok(())
    }

    pub fn end_idle(&mut self) -> Result<(), String> {
        self.idling = false;
        self.say("DONE\r\n")
    }

    /// The server turns to the next command: what it means is settled now, by what the client believes.
    fn begin(&mut self) {
        if self.doing.is_some() {
            return;
        }
        let Some((tag, order)) = self.waiting.pop_front() else { return };
        let mut doing = Doing::new(tag, order);
        let needs_qresync = match &doing.order {
            Order::Select { memory, .. } => memory.is_some(),
            Order::Fetch { vanished, .. } => *vanished,
            _ => false,
        };
        doing.must_be_bad = doing.order.needs_mailbox() && self.selected.is_none() || needs_qresync && !self.qresync;
        // A command that is refused as a whole enables nothing.
        let is_refused = self.selected.as_ref().is_some_and(|belief| belief.read_only) && doing.order.writes();
        if doing.order.enables_condstore() && !doing.must_be_bad && !is_refused {
            self.condstore = true;
        }
        match doing.order {
            Order::Enable("QRESYNC") => self.qresync = true,
            Order::Enable("UIDONLY") => self.uid_only = true,
            _ => {}
        }
        doing.must_be_bad |= self.uid_only && doing.order.counts_messages();
        doing.uid_only = self.uid_only;
        if let Some(belief) = &mut self.selected {
            belief.uid_only = self.uid_only;
            doing.uid_validity = Some(belief.uid_validity);
            doing.read_only = belief.read_only;
            if let Some(set) = doing.order.set() {
                let (targets, certain) = belief.targets(set);
                doing.must_be_bad |= targets.is_empty() && !set.uid && set.is_beyond(belief.len());
                (doing.targets, doing.certain) = (targets.into_iter().collect(), certain);
            }
            // What the grammar forbids is refused before what the mailbox forbids.
            let is_numbered = self.uid_only && doing.order.counts_messages();
            doing.must_be_bad &= is_numbered || !(belief.read_only && doing.order.writes());
            if let Order::Store { silent: true, since: None, change, flags, .. } = &doing.order
                && !(doing.must_be_bad || doing.read_only)
                && doing.certain
            {
                for message in belief.messages.iter_mut().filter(|m| doing.targets.contains(&m.handle)) {
                    message.flags = match (change, &message.flags) {
                        (Change::Replace, _) => Some(flags.clone()),
                        (_, Some(known)) => Some(change.on(known, flags)),
                        (_, None) => None,
                    };
                }
            }
            if let Order::Store { silent: true, since: None, .. } = &doing.order
                && !doing.certain
            {
                belief.messages.iter_mut().filter(|m| doing.targets.contains(&m.handle)).for_each(|m| m.flags = None);
            }
        }
        self.doing = Some(doing);
    }

    /// Reads what has come; does not look at it yet.
    pub fn read(&mut self) -> Result<bool, String> {
        let (mut buffer, mut any) = ([0u8; 8192], false);
        while let Some(stream) = &mut self.stream {
            match read_now(stream, &mut buffer) {
                None => break,
                Some(Ok(0) | Err(_)) => {
                    (self.stream, self.ended) = (None, true);
                    break;
                }
                Some(Ok(read)) => {
                    any = true;
                    self.unread.extend_from_slice(&buffer[..read]);
                }
            }
        }
        Ok(any)
    }

    /// Judges everything that has come whole.
    pub fn listen(&mut self) -> Result<(), String> {
        while let Some((response, shown)) = take(&mut self.unread)? {
            self.note(&format!("< {shown}"));
            self.hear(response).map_err(|why| format!("{}: {why}, at: {shown}", self.name))?;
        }
        if std::mem::take(&mut self.ended) && !self.bye {
            return Err(format!("{}: the connection ended without BYE", self.name));
        }
        Ok(())
    }

    fn hear(&mut self, response: Response) -> Result<(), String> {
        match response {
            Response::Done { tag, word, code } => return self.finish(&tag, word, code),
            Response::Notice { word, code } if word == "BYE" => {
                self.bye = true;
                // Only a mailbox that is gone ends a session here.
                return match code == Code::Word("NONEXISTENT".to_owned()) {
                    true => Ok(()),
                    false => Err("BYE".to_owned()),
                };
            }
            _ => {}
        }
        self.unasked += 1;
        let Some(mut doing) = self.doing.take() else { return Err("no command is in progress".to_owned()) };
        let heard = self.hear_untagged(response, &mut doing);
        self.doing = Some(doing);
        heard
    }

    fn hear_untagged(&mut self, response: Response, doing: &mut Doing) -> Result<(), String> {
        let opens = matches!(doing.order, Order::Select { .. });
        let twice = |is: bool| if is { Err("said twice".to_owned()) } else { Ok(()) };
        match response {
            Response::GoOn => match doing.order {
                Order::Idle if !self.idling => self.idling = true,
                _ => return Err("nothing is to go on".to_owned()),
            },
            Response::Notice { word, code } => self.notice(&word, code, doing)?,
            Response::Flags(flags) if opens && !doing.opening.is_open => {
                let before = doing.opening.flags.replace(flags);
                twice(before.is_some() && before == doing.opening.flags)?;
            }
            Response::Flags(flags) => self.belief()?.defined = flags,
            Response::Exists(exists) if opens => twice(doing.opening.exists.replace(exists).is_some())?,
            Response::Exists(exists) => {
                let belief = self.belief()?;
                if exists <= belief.len() {
                    return Err(format!("EXISTS where {} are believed", belief.len()));
                }
                belief.grow(exists);
            }
            Response::Recent(recent) if opens => twice(doing.opening.recent.replace(recent).is_some())?,
            Response::Recent(_) => return Err("RECENT, of which there are never any".to_owned()),
            Response::Expunge(number) => {
                if self.qresync || self.uid_only || !doing.order.allows_expunge() {
                    return Err("EXPUNGE must not be said now".to_owned());
                }
                self.belief()?.expunge(number)?;
            }
            Response::Vanished { earlier: true, uids } => match &doing.order {
                Order::Select { memory: Some(_), .. } => {
                    twice(!std::mem::replace(&mut doing.opening.vanished, uids).is_empty())?;
                }
                Order::Fetch { vanished: true, set, .. } if doing.answered.is_empty() => {
                    let validity = self.belief()?.uid_validity;
                    for uid in uids.iter().flat_map(|(first, last)| *first..=*last) {
                        // The server takes `*` for the UID that was given last, though its message may be gone.
                        if !set.has(uid, u32::MAX) && !set.has(uid, uid) {
                            return Err(format!("UID {uid} was not asked for"));
                        }
                        self.said_gone.push((validity, uid, doing.tag.clone()));
                    }
                }
                _ => return Err("nobody asked what has vanished".to_owned()),
            },
            Response::Vanished { earlier: false, uids } => {
                if !(self.qresync || self.uid_only) || !doing.order.allows_expunge() {
                    return Err("VANISHED must not be said now".to_owned());
                }
                let belief = self.belief()?;
                uids.iter().flat_map(|(first, last)| *first..=*last).try_for_each(|uid| belief.vanish(uid))?;
            }
            Response::Fetch(row) => self.row(&row, doing)?,
            Response::Search { found, modseq } => match doing.order {
                Order::Search { extended: false, .. } => twice(doing.found.replace((found, modseq)).is_some())?,
                _ => return Err("nobody searched".to_owned()),
            },
            Response::Esearch(answer) => match doing.order {
                Order::Search { extended: true, uid, .. } if answer.tag == doing.tag && answer.uid == uid => {
                    twice(doing.esearch.replace(answer).is_some())?;
                }
                _ => return Err("nobody searched so".to_owned()),
            },
            Response::Status { mailbox, items } => match &doing.order {
                Order::Status(asked) if mailbox == *asked => twice(doing.status.replace((mailbox, items)).is_some())?,
                _ => return Err("nobody asked for a status".to_owned()),
            },
            Response::Other(_) if matches!(doing.order, Order::Enable(_)) => {}
            Response::List(_) | Response::Other(_) | Response::Done { .. } => return Err("not asked for".to_owned()),
        }
        Ok(())
    }

    fn belief(&mut self) -> Result<&mut Belief, String> {
        self.selected.as_mut().ok_or_else(|| "no mailbox is selected".to_owned())
    }

    fn notice(&mut self, word: &str, code: Code, doing: &mut Doing) -> Result<(), String> {
        let opens = matches!(doing.order, Order::Select { .. });
        let opening = &mut doing.opening;
        match code {
            _ if word != "OK" => return Err("a warning".to_owned()),
            Code::Word(word) if word == "CLOSED" && opening.closed => return Err("closed twice".to_owned()),
            Code::Word(word) if word == "CLOSED" => {
                opening.closed = true;
                self.remember();
                self.selected = None;
            }
            Code::None if matches!(doing.order, Order::Transfer { remove: true, .. }) => {}
            Code::Word(word) if opens && word == "MAILBOXID" => {}
            Code::PermanentFlags(_) => {}
            Code::HighestModSeq(modseq) if opens => opening.highest = Some(modseq),
            Code::HighestModSeq(modseq) if self.condstore => doing.highest = Some(modseq),
            Code::UidValidity(number) if opens => opening.uid_validity = Some(number),
            Code::UidNext(number) if opens => opening.uid_next = Some(number),
            Code::Unseen(number) if opens => opening.unseen = Some(number),
            Code::CopyUid(validity, from, to) => match doing.order {
                Order::Transfer { remove: true, .. } => doing.copied = Some((validity, from, to)),
                _ => return Err("nothing was moved".to_owned()),
            },
            code => return Err(format!("{code:?}")),
        }
        Ok(())
    }

    fn row(&mut self, row: &Row, doing: &mut Doing) -> Result<(), String> {
        if let Order::Select { mailbox, read_only, memory: Some(memory), .. } = &doing.order
            && !doing.opening.is_open
        {
            // The first row of what was missed: the list stands now.
            if self.selected.is_some() {
                return Err("the mailbox before was not said to be closed".to_owned());
            }
            doing.opening.is_open = true;
            let mut belief = doing.opening.belief(mailbox, *read_only, Some(memory))?;
            // Not before all of it has been told (RFC 7162 section 6).
            belief.modseq = memory.modseq;
            belief.uid_only = self.uid_only;
            self.selected = Some(belief);
            doing.uid_validity = doing.opening.uid_validity;
        }
        let (condstore, qresync) = (self.condstore, self.qresync);
        if row.by_uid != self.uid_only {
            return Err("a message is named in the other way".to_owned());
        }
        let belief = self.belief()?;
        let at = belief.place(row)?;
        let handle = belief.messages[at].handle;
        let is_answer = doing.targets.contains(&handle)
            && !doing.answered.contains(&handle)
            && (at >= doing.last_answer || matches!(doing.order, Order::Store { .. }))
            && doing.wants(row, condstore);
        if is_answer {
            doing.answered.insert(handle);
            doing.last_answer = at;
            if let Order::Store { silent: true, since: Some(_), change, flags, .. } = &doing.order {
                let message = &mut belief.messages[at];
                message.flags = match (change, &message.flags) {
                    (Change::Replace, _) => Some(flags.clone()),
                    (_, Some(known)) => Some(change.on(known, flags)),
                    (_, None) => None,
                };
            }
        } else {
            if row.flags.is_none() || row.modseq.is_some() != condstore || (qresync && row.uid.is_none()) {
                return Err("news without all that it should tell".to_owned());
            }
            if row.bytes.is_some() || row.body.is_some() {
                return Err("more than was asked for".to_owned());
            }
            let message = &belief.messages[at];
            let opens = matches!(doing.order, Order::Select { .. });
            if condstore
                && !opens
                && message.by == By::News
                && (message.modseq, &message.flags) == (row.modseq, &row.flags)
            {
                return Err("told once more, and nothing has changed".to_owned());
            }
        }
        let stores = matches!(doing.order, Order::Store { .. });
        belief.learn(at, row, is_answer && stores)?;
        let message = &mut belief.messages[at];
        match is_answer {
            true if row.flags.is_some() => message.by = By::Asking,
            true => {}
            // What was missed is told as it is by then, and once more as news if that is later than what SELECT has promised.
            false if matches!(doing.order, Order::Select { .. }) => message.by = By::Asking,
            false => message.by = By::News,
        }
        if let Some(modseq) = row.modseq {
            doing.modseq_max = doing.modseq_max.max(modseq);
        }
        if let (Some(body), Some(uid)) = (&row.body, message.uid)
            && let Some(serial) = serial_of(body)
        {
            doing.subjects.push((uid, serial));
        }
        Ok(())
    }

    fn finish(&mut self, tag: &str, word: String, code: Code) -> Result<(), String> {
        let Some(mut doing) = self.doing.take() else { return Err("no command is in progress".to_owned()) };
        if doing.tag != tag {
            return Err(format!("the command in progress is {}", doing.tag));
        }
        if matches!(doing.order, Order::Idle) && self.idling {
            return Err("IDLE has not been ended".to_owned());
        }
        match (&code, &doing.order) {
            (Code::HighestModSeq(modseq), _) if self.condstore => doing.highest = Some(*modseq),
            (Code::AppendUid(validity, uid), Order::Append { .. }) => doing.appended = Some((*validity, *uid)),
            (Code::CopyUid(validity, from, to), Order::Transfer { remove: false, .. }) => {
                doing.copied = Some((*validity, from.clone(), to.clone()));
            }
            (Code::Modified(set), Order::Store { since: Some(_), .. }) => doing.modified = set.clone(),
            (Code::Word(_) | Code::None, _) => {}
            (code, _) => return Err(format!("{code:?}")),
        }
        if (word == "BAD") != doing.must_be_bad {
            return Err(format!("BAD was {}to be expected", if doing.must_be_bad { "" } else { "not " }));
        }
        (doing.word, doing.code) = (word, code);
        self.end(&mut doing)?;
        if let Some(belief) = &mut self.selected {
            belief.uid_only = self.uid_only;
        }
        if let Some(belief) = &mut self.selected
            && self.condstore
        {
            belief.modseq = match doing.highest {
                Some(modseq) => modseq,
                None => belief.modseq.max(doing.modseq_max),
            };
        }
        self.done.push(doing);
        self.begin();
        Ok(())
    }

    /// What the end of a command means for what is believed.
    fn end(&mut self, doing: &mut Doing) -> Result<(), String> {
        let ok = doing.word == "OK";
        if doing.code == Code::Word("NONEXISTENT".to_owned()) && doing.order.needs_mailbox() {
            // Then the mailbox must be gone, with all in it.
            self.said_gone.push((doing.uid_validity.unwrap_or(0), 0, doing.tag.clone()));
            return Ok(());
        }
        match &doing.order {
            Order::Select { mailbox, read_only, memory, .. } if ok => {
                if !doing.opening.is_open {
                    if self.selected.is_some() {
                        return Err("the mailbox before was not said to be closed".to_owned());
                    }
                    self.selected = Some(doing.opening.belief(mailbox, *read_only, memory.as_deref())?);
                }
                doing.uid_validity = doing.opening.uid_validity;
                // What was missed is in the modseq that was told before it.
                doing.modseq_max = 0;
                doing.highest = doing.opening.highest;
            }
            Order::Select { .. } if !doing.must_be_bad && self.selected.is_some() => {
                return Err("a mailbox stays selected".to_owned());
            }
            Order::Close | Order::Unselect if ok => {
                self.remember();
                self.selected = None;
            }
            Order::Fetch { since, set, .. } if !doing.must_be_bad => {
                let untold = doing.untold(self.selected.as_ref());
                if !ok && (set.uid || untold == Some(0) || doing.code != Code::Word("EXPUNGEISSUED".to_owned())) {
                    return Err("refused for no reason".to_owned());
                }
                if ok && !set.uid && since.is_none() && untold.is_some_and(|untold| untold > 0) {
                    return Err(format!("{untold:?} messages were not told"));
                }
                if since.is_none() {
                    self.believe_gone(doing);
                }
            }
            Order::Store { silent: false, .. } if ok && doing.modified.is_empty() => self.believe_gone(doing),
            Order::Store { .. } if !ok && !doing.must_be_bad && !doing.read_only => {
                return Err("refused for no reason".to_owned());
            }
            Order::Transfer { remove: true, .. } if ok => {
                if let (Some((_, from, _)), Some(belief)) = (&doing.copied, &self.selected)
                    && let Some(stays) = from
                        .iter()
                        .flat_map(|(first, last)| *first..=*last)
                        .find(|uid| belief.messages.iter().any(|message| message.uid == Some(*uid)))
                {
                    return Err(format!("UID {stays} was moved and is still there"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Messages that were to be told and were not are gone.
    fn believe_gone(&mut self, doing: &Doing) {
        let Some(belief) = &self.selected else { return };
        if !doing.certain {
            return;
        }
        let untold = doing.targets.difference(&doing.answered).filter_map(|handle| belief.find(*handle)?.uid);
        self.said_gone.extend(untold.map(|uid| (belief.uid_validity, uid, doing.tag.clone())));
    }
}

/// The number in `Subject: m17.`
fn serial_of(body: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(body);
    text.split_once("Subject: m")?.1.split_once('.')?.0.parse().ok()
}
