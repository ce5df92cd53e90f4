//! One client: its connection, what it has asked, and what it believes; every response is judged as it comes.

#[path = "beginning.rs"]
mod beginning;
#[path = "ending.rs"]
mod ending;
#[path = "told.rs"]
mod told;

use crate::belief::{Arrival, Belief, By, Message};
use crate::doing::Doing;
use crate::imap_session::{Node, OWNER, PASSWORD, read_now, write_now};
use crate::kept::Kept;
use crate::order::{Change, Memory, Order};
use crate::response::{Code, Response, Row, take};
use crate::watch::{Elsewhere, SelectedWish, Wish};
use hauspost::net::Stream;
use smol::Task;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// What it has asked for last.
    pub last: Option<Order>,
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
    /// What `$` means: handles of messages; `None`: that is not known.
    pub saved: Option<BTreeSet<u64>>,
    /// Searches that are kept up to date, by tag.
    pub kept: BTreeMap<String, Kept>,
    /// What NOTIFY was last asked for.
    pub wish: Option<Wish>,
    pub elsewhere: Option<Elsewhere>,
    /// What was told between commands and is not counted yet.
    between: Doing,
    /// UIDVALIDITY and UID of messages that this client has put there.
    pub own: BTreeSet<(u32, u32)>,
    /// Others act at the same time: what is told between commands may come after the next command was sent.
    pub crowded: bool,
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
            last: None,
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
            saved: Some(BTreeSet::new()),
            kept: BTreeMap::new(),
            wish: None,
            elsewhere: None,
            between: Doing::new(String::new(), Order::Between),
            own: BTreeSet::new(),
            crowded: false,
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
        (self.wish, self.elsewhere) = (None, None);
        self.unread.clear();
        self.waiting.clear();
    }

    /// Keeps what is known of the selected mailbox, which is not selected any more.
    fn remember(&mut self) {
        self.kept.clear();
        self.between = Doing::new(String::new(), Order::Between);
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
        let Some(mut doing) = self.doing.take() else { return self.hear_between(response) };
        let closes = matches!(&response, Response::Notice { code: Code::Word(word), .. } if word == "CLOSED");
        let is_old = matches!(doing.order, Order::Select { .. }) && self.selected.is_some() && !doing.opening.is_open;
        if is_old && !closes && self.selected_wish().is_some() {
            // News of the mailbox that is still selected, from before the command was read.
            self.doing = Some(doing);
            return self.hear_between(response);
        }
        let is_idle = self.idling && !matches!(response, Response::Status { .. });
        if is_idle && !self.is_told() {
            return Err("this was not to be told in IDLE".to_owned());
        }
        let heard = self.hear_untagged(response, &mut doing);
        self.reconsider(&mut doing);
        self.doing = Some(doing);
        heard
    }

    fn hear_untagged(&mut self, response: Response, doing: &mut Doing) -> Result<(), String> {
        let opens = matches!(doing.order, Order::Select { .. });
        let twice = twice_said;
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
                let fetch = self.selected_wish().is_some_and(|wish| wish.fetch.is_some());
                let fetch = fetch || doing.fetched_before.is_some();
                let belief = self.belief()?;
                if exists <= belief.len() {
                    return Err(format!("EXISTS where {} are believed", belief.len()));
                }
                let arrival = match (&fetch, &doing.order) {
                    (true, Order::Notify(_)) => Arrival::Maybe,
                    (true, _) => Arrival::Next,
                    (false, _) => Arrival::No,
                };
                belief.grow(exists, arrival);
            }
            Response::Recent(recent) if opens => twice(doing.opening.recent.replace(recent).is_some())?,
            Response::Recent(_) => return Err("RECENT, of which there are never any".to_owned()),
            Response::Expunge(number) => {
                if self.qresync || self.uid_only || !self.may_expunge(doing) {
                    return Err("EXPUNGE must not be said now".to_owned());
                }
                let goes = self.belief()?.messages.get(number as usize - 1);
                let (uid, handle) = (goes.and_then(|message| message.uid), goes.map(|message| message.handle));
                self.kept.values().try_for_each(|kept| kept.check_gone(uid.unwrap_or(0), handle))?;
                self.belief()?.expunge(number)?;
            }
            Response::Vanished { earlier: true, uids } => match &doing.order {
                Order::Select { memory: Some(_), .. } => {
                    twice(!std::mem::replace(&mut doing.opening.vanished, uids).is_empty())?;
                }
                // Rows that may be news of before the command was read are no answer yet.
                Order::Fetch { vanished: true, set, .. } if doing.answered.is_subset(&doing.doubtful) => {
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
                if !(self.qresync || self.uid_only) || !self.may_expunge(doing) {
                    return Err("VANISHED must not be said now".to_owned());
                }
                for uid in uids.iter().flat_map(|(first, last)| *first..=*last) {
                    self.vanish(uid)?;
                }
            }
            Response::Fetch(row) => self.row(&row, doing)?,
            Response::Search { found, modseq } => match doing.order {
                Order::Search { returns, .. } if !returns.extended() => {
                    twice(doing.found.replace((found, modseq)).is_some())?
                }
                _ => return Err("nobody searched".to_owned()),
            },
            Response::Esearch(answer) => self.esearch(answer, doing)?,
            Response::Status { mailbox, items } => self.status(mailbox, items, doing)?,
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
            Code::HighestModSeq(modseq) if self.condstore => {
                (doing.highest, doing.may_lack_modseqs) = (Some(modseq), false);
            }
            Code::UidValidity(number) if opens => opening.uid_validity = Some(number),
            Code::UidNext(number) if opens => opening.uid_next = Some(number),
            Code::Unseen(number) if opens => opening.unseen = Some(number),
            Code::NoUpdate(tag) if tag == doing.tag => twice_said(std::mem::replace(&mut doing.is_not_kept, true))?,
            Code::AppendUid(validity, uid) if matches!(doing.order, Order::Replace { .. }) => {
                doing.appended = Some((validity, uid));
            }
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
            belief.blind = self.selected_wish().is_some_and(|wish| !wish.flags);
            self.selected = Some(belief);
            doing.uid_validity = doing.opening.uid_validity;
        }
        let (condstore, qresync, early_news) = (self.condstore, self.qresync, self.must_name_uids());
        if row.by_uid != self.uid_only {
            return Err("a message is named in the other way".to_owned());
        }
        let fetch = self.selected_wish().and_then(|wish| wish.fetch);
        let is_between = matches!(doing.order, Order::Between) && self.doing.is_none();
        doing.may_lack_modseqs &= row.modseq.is_none();
        let may_lack_modseq = self.doing.as_ref().unwrap_or(doing).may_lack_modseqs;
        let belief = self.belief()?;
        if is_between && condstore && row.modseq.is_none() {
            return Err("news without a modseq".to_owned());
        }
        let arrives = |items| told::is_arrival(row, items, condstore);
        let arrives = [&fetch, &doing.fetched_before].into_iter().flatten().any(arrives);
        let at = belief.place(row, arrives)?;
        if arrives && matches!(belief.messages[at].arrival, Arrival::Maybe | Arrival::Next) {
            belief.messages[at].arrival = Arrival::No;
            belief.learn(at, row, false)?;
            doing.modseq_max = doing.modseq_max.max(row.modseq.unwrap_or(0));
            return Ok(());
        }
        let handle = belief.messages[at].handle;
        let is_answer = doing.targets.contains(&handle)
            && !doing.answered.contains(&handle)
            && (at >= doing.last_answer || !doing.certain || matches!(doing.order, Order::Store { .. }))
            && doing.wants(row, condstore);
        let message = &belief.messages[at];
        let is_same = row.modseq.is_some() && (message.modseq, &message.flags) == (row.modseq, &row.flags);
        if is_answer {
            doing.answered.insert(handle);
            doing.last_answer = at;
            if early_news && told::is_news(row, condstore) && !(is_same && message.by == By::News) {
                doing.doubtful.insert(handle);
            }
            if let Order::Store { silent: true, since: Some(_), change, flags, .. } = &doing.order {
                let message = &mut belief.messages[at];
                message.flags = match (change, &message.flags) {
                    (Change::Replace, _) => Some(flags.clone()),
                    (_, Some(known)) if !belief.blind => Some(change.on(known, flags)),
                    _ => None,
                };
            }
        } else {
            let told_modseq = row.modseq.is_some() == condstore || may_lack_modseq;
            if row.flags.is_none() || !told_modseq || (qresync && row.uid.is_none()) {
                return Err("news without all that it should tell".to_owned());
            }
            if row.bytes.is_some() || row.body.is_some() {
                return Err("more than was asked for".to_owned());
            }
            let opens = matches!(doing.order, Order::Select { .. });
            let is_needless = is_same && !opens;
            // News may have come before the command was read: one of those rows was the answer then.
            let is_answered = is_needless && doing.wants(row, condstore) && doing.doubtful.remove(&handle);
            if is_needless && message.by == By::News && !is_answered {
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
}

fn twice_said(is: bool) -> Result<(), String> {
    if is { Err("said twice".to_owned()) } else { Ok(()) }
}

/// The number in `Subject: m17.`
fn serial_of(body: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(body);
    text.split_once("Subject: m")?.1.split_once('.')?.0.parse().ok()
}
