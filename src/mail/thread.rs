//! THREAD: which message answers which? (RFC 5256 section 3; THREAD=REFS of draft-ietf-morg-inthread)
//!
//! Receives, in the order of sequence numbers, the row of each message and what was decided about its body; hands on the
//! threads as a row of pieces. Message-IDs are known by their hashes. Nothing here calls itself: a thread of any depth needs
//! no stack. Always: every message that came in stands in the threads exactly once, whatever the messages say of each other.

mod grow;

use crate::limits::{THREAD_ABSENT_MAX, THREAD_STEPS_MAX};
use crate::mail::casemap::casemap;
use crate::mail::index::{BodyIndex, MessageIdHash};
use crate::mail::message::{MessageRow, Uid};
use crate::mail::search::envelope_subject;
use crate::mail::sort::sent_seconds;
use crate::mail::subject::base_subject;
use crate::wire::imap::order::ThreadAlgorithm;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

/// The place of a node; [`NONE`] is none.
type Place = u32;
const NONE: Place = u32::MAX;

/// A message, or the place of one that is only named (a dummy: its `uid` is 0).
#[derive(Clone, Copy, Debug)]
struct Node {
    uid: u32,
    parent: Place,
    /// How many nodes have it as their parent.
    children: u32,
    /// Sent date, seconds since the epoch.
    sent: i64,
    /// Hash of the base subject; 0: it is empty.
    subject: u64,
    /// A reply or forward, by its subject.
    is_reply: bool,
}

const DUMMY: Node = Node { uid: 0, parent: NONE, children: 0, sent: 0, subject: 0, is_reply: false };

impl Node {
    fn is_dummy(&self) -> bool {
        self.uid == 0
    }
}

/// Takes in messages and links them.
#[derive(Debug)]
pub struct Threader {
    algorithm: ThreadAlgorithm,
    nodes: Vec<Node>,
    by_id: BTreeMap<MessageIdHash, Place>,
    absent: usize,
    steps_left: u32,
}

impl Threader {
    /// No messages yet.
    pub fn new(algorithm: ThreadAlgorithm) -> Threader {
        Threader { algorithm, nodes: Vec::new(), by_id: BTreeMap::new(), absent: 0, steps_left: THREAD_STEPS_MAX }
    }

    /// Takes in a message; UIDs ascend.
    pub fn add(&mut self, row: &MessageRow, index: &BodyIndex) {
        let mut node = DUMMY;
        (node.uid, node.sent) = (row.uid.0, sent_seconds(row, index));
        if self.algorithm != ThreadAlgorithm::Refs {
            let base = envelope_subject(&index.envelope).map(|subject| base_subject(&subject)).unwrap_or_default();
            (node.subject, node.is_reply) = (subject_hash(&casemap(&base.text)), base.is_reply);
        }
        match self.algorithm {
            ThreadAlgorithm::OrderedSubject => self.nodes.push(node),
            ThreadAlgorithm::References | ThreadAlgorithm::Refs => self.link(node, index),
        }
    }

    /// The threads of all that was taken in.
    pub fn finish(self) -> Threads {
        match self.algorithm {
            ThreadAlgorithm::OrderedSubject => grow::by_subject(self.nodes),
            ThreadAlgorithm::References => grow::by_references(self.nodes, true),
            ThreadAlgorithm::Refs => grow::by_references(self.nodes, false),
        }
    }

    /// Step 1 of REFERENCES.
    fn link(&mut self, node: Node, index: &BodyIndex) {
        // Step 1.A: what References names, each the parent of the next, except where a parent is known already.
        let mut before = NONE;
        for id in &index.ancestors {
            let Some(place) = self.place_of(*id) else { continue };
            if before != NONE && self.parent(place) == NONE && self.may_link(before, place) {
                self.set_parent(place, before);
            }
            before = place;
        }
        // Step 1.B: the last one is the parent of this message, whatever was believed.
        let place = self.admit(node, index.message_id);
        if self.parent(place) != before {
            self.set_parent(place, NONE);
            if before != NONE && self.may_link(before, place) {
                self.set_parent(place, before);
            }
        }
    }

    /// The place of a message that is named, made for it if need be; `None` when there are too many.
    fn place_of(&mut self, id: MessageIdHash) -> Option<Place> {
        if let Some(place) = self.by_id.get(&id) {
            return Some(*place);
        }
        if self.absent >= THREAD_ABSENT_MAX {
            return None;
        }
        self.absent += 1;
        let place = self.push(DUMMY);
        self.by_id.insert(id, place);
        Some(place)
    }

    /// Puts a message where it was expected, or into a place of its own: without a Message-ID, and when another has the same.
    fn admit(&mut self, node: Node, id: Option<MessageIdHash>) -> Place {
        let Some(id) = id else { return self.push(node) };
        let Some(place) = self.by_id.get(&id).copied() else {
            let place = self.push(node);
            self.by_id.insert(id, place);
            return place;
        };
        match self.nodes.get_mut(place as usize).filter(|known| known.is_dummy()) {
            Some(known) => {
                self.absent = self.absent.saturating_sub(1);
                *known = Node { parent: known.parent, children: known.children, ..node };
                place
            }
            None => self.push(node),
        }
    }

    fn push(&mut self, node: Node) -> Place {
        self.nodes.push(node);
        // UIDs and absent messages together are below this type's end.
        (self.nodes.len() - 1) as Place
    }

    fn parent(&self, place: Place) -> Place {
        self.nodes.get(place as usize).map_or(NONE, |node| node.parent)
    }

    fn set_parent(&mut self, place: Place, parent: Place) {
        let Some(node) = self.nodes.get_mut(place as usize) else { return };
        let before = std::mem::replace(&mut node.parent, parent);
        if let Some(before) = self.nodes.get_mut(before as usize) {
            before.children -= 1;
        }
        if let Some(parent) = self.nodes.get_mut(parent as usize) {
            parent.children += 1;
        }
    }

    /// Whether `parent` is neither `child` nor below it. What takes too many steps to find out may not.
    fn may_link(&mut self, parent: Place, child: Place) -> bool {
        if self.nodes.get(child as usize).is_none_or(|child| child.children == 0) {
            return parent != child;
        }
        let mut at = parent;
        while at != NONE {
            if at == child || self.steps_left == 0 {
                return false;
            }
            self.steps_left -= 1;
            at = self.parent(at);
        }
        true
    }
}

/// 0 for no subject; else never 0.
fn subject_hash(subject: &str) -> u64 {
    if subject.is_empty() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(subject.as_bytes());
    hasher.finish().max(1)
}

/// Finished threads.
#[derive(Debug, Default)]
pub struct Threads {
    /// UID of each node; 0: a dummy.
    uids: Vec<u32>,
    /// The children of all nodes, one node's behind the other's.
    children: Vec<Place>,
    /// Where the children of each node begin; one more at the end.
    starts: Vec<u32>,
    roots: Vec<Place>,
}

/// A piece of the written form of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// `(`
    Open,
    /// A message.
    Message(Uid),
    /// `)`
    Close,
}

impl Threads {
    /// All threads, as `thread-list` of RFC 5256 section 5 has them: an only child follows its parent, several stand in
    /// parentheses of their own.
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces { threads: self, roots: self.roots.iter(), left: Vec::new() }
    }

    fn children(&self, place: Place) -> &[Place] {
        let start = |at: usize| self.starts.get(at).map_or(0, |start| *start as usize);
        self.children.get(start(place as usize)..start(place as usize + 1)).unwrap_or_default()
    }
}

/// See [`Threads::pieces`].
#[derive(Debug)]
pub struct Pieces<'t> {
    threads: &'t Threads,
    roots: std::slice::Iter<'t, Place>,
    /// What is left to write, last first.
    left: Vec<Left>,
}

#[derive(Clone, Copy, Debug)]
enum Left {
    List(Place),
    Node(Place),
    Close,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            let next = match self.left.pop() {
                Some(next) => next,
                None => Left::List(*self.roots.next()?),
            };
            match next {
                Left::Close => return Some(Piece::Close),
                Left::List(place) => {
                    self.left.extend([Left::Close, Left::Node(place)]);
                    return Some(Piece::Open);
                }
                Left::Node(place) => {
                    match self.threads.children(place) {
                        [only] => self.left.push(Left::Node(*only)),
                        children => self.left.extend(children.iter().rev().map(|child| Left::List(*child))),
                    }
                    match self.threads.uids.get(place as usize) {
                        Some(0) | None => {}
                        Some(uid) => return Some(Piece::Message(Uid(*uid))),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
