//! From linked messages to threads in their order: ORDEREDSUBJECT, and steps 2 to 6 of REFERENCES (RFC 5256 section 3).

use super::{DUMMY, NONE, Node, Place, Threads};
use std::collections::BTreeMap;

/// What siblings are sorted by: sent date, then sequence number (RFC 5256 section 2.2).
type Age = (i64, u32);

/// ORDEREDSUBJECT: the first message of each subject is the parent of all others that have it.
pub fn by_subject(mut nodes: Vec<Node>) -> Threads {
    let mut order: Vec<(u64, Age, Place)> =
        nodes.iter().zip(0..).map(|(node, place)| (node.subject, (node.sent, node.uid), place)).collect();
    order.sort_unstable();
    for same in order.chunk_by(|one, other| one.0 == other.0) {
        let Some(((_, _, first), others)) = same.split_first() else { continue };
        for (_, _, other) in others {
            if let Some(node) = nodes.get_mut(*other as usize) {
                node.parent = *first;
            }
        }
    }
    let roots = roots(&nodes);
    Forest { nodes }.finish(roots, |forest, place| forest.age(place))
}

/// REFERENCES when `by_subject` is set, else REFS: without the gathering by subject, the threads by their newest message.
pub fn by_references(nodes: Vec<Node>, by_subject: bool) -> Threads {
    let mut forest = Forest { nodes };
    forest.prune();
    let roots = forest.remaining_roots();
    if !by_subject {
        let newest = forest.newest();
        return forest.finish(roots, |_, place| newest.get(place as usize).copied().unwrap_or_default());
    }
    let first = forest.first_children();
    let roots = forest.gather(forest.sorted(roots, &first), &first);
    let first = forest.first_children();
    forest.finish(roots, |forest, place| forest.age_of_thread(place, &first))
}

struct Forest {
    nodes: Vec<Node>,
}

fn roots(nodes: &[Node]) -> Vec<Place> {
    nodes.iter().zip(0..).filter(|(node, _)| node.parent == NONE).map(|(_, place)| place).collect()
}

impl Forest {
    fn node(&self, place: Place) -> Node {
        self.nodes.get(place as usize).copied().unwrap_or(DUMMY)
    }

    fn set_parent(&mut self, place: Place, parent: Place) {
        if let Some(node) = self.nodes.get_mut(place as usize) {
            node.parent = parent;
        }
    }

    fn age(&self, place: Place) -> Age {
        let node = self.node(place);
        (node.sent, node.uid)
    }

    /// Step 3. Dummies go, their children take their places. One at the top stays as long as it holds several together.
    fn prune(&mut self) {
        let tops = self.tops();
        let mut held: Vec<u32> = vec![0; self.nodes.len()];
        let under_dummy = |forest: &Forest, place: Place| {
            let top = tops.get(place as usize).copied().unwrap_or(NONE);
            (top != NONE && forest.node(top).is_dummy()).then_some(top)
        };
        for place in 0..self.nodes.len() as Place {
            if let (false, Some(top)) = (self.node(place).is_dummy(), under_dummy(self, place))
                && let Some(count) = held.get_mut(top as usize)
            {
                *count += 1;
            }
        }
        for (place, top) in (0..).zip(&tops) {
            let lonely = under_dummy(self, place).is_some_and(|top| held.get(top as usize) == Some(&1));
            self.set_parent(place, if lonely { NONE } else { *top });
        }
    }

    /// For each node the next message above it, else the dummy at the top of its thread, else none. Walks up without
    /// recursion, and no part of a way twice.
    fn tops(&self) -> Vec<Place> {
        const UNKNOWN: Place = NONE - 1;
        let mut tops = vec![UNKNOWN; self.nodes.len()];
        let mut way = Vec::new();
        for start in 0..self.nodes.len() as Place {
            let mut at = start;
            while tops.get(at as usize) == Some(&UNKNOWN) {
                way.push(at);
                at = self.node(at).parent;
            }
            while let Some(place) = way.pop() {
                let parent = self.node(place).parent;
                let above = tops.get(parent as usize).copied().unwrap_or(NONE);
                let top = if parent == NONE || !self.node(parent).is_dummy() || above == NONE { parent } else { above };
                if let Some(slot) = tops.get_mut(place as usize) {
                    *slot = top;
                }
            }
        }
        tops
    }

    /// The roots after pruning: messages without a parent, and dummies that something still hangs from.
    fn remaining_roots(&self) -> Vec<Place> {
        let mut has_child = vec![false; self.nodes.len()];
        for node in self.nodes.iter().filter(|node| !node.is_dummy()) {
            if let Some(slot) = has_child.get_mut(node.parent as usize) {
                *slot = true;
            }
        }
        let stays = |place: &Place| !self.node(*place).is_dummy() || has_child.get(*place as usize) == Some(&true);
        roots(&self.nodes).into_iter().filter(stays).collect()
    }

    /// For each dummy the first of its children by age.
    fn first_children(&self) -> BTreeMap<Place, Place> {
        let mut first: BTreeMap<Place, Place> = BTreeMap::new();
        for (node, place) in self.nodes.iter().zip(0..) {
            if node.parent != NONE && !node.is_dummy() && self.node(node.parent).is_dummy() {
                let known = first.entry(node.parent).or_insert(place);
                if self.age(place) < self.age(*known) {
                    *known = place;
                }
            }
        }
        first
    }

    fn age_of_thread(&self, place: Place, first: &BTreeMap<Place, Place>) -> Age {
        self.age(*first.get(&place).unwrap_or(&place))
    }

    /// Step 4.
    fn sorted(&self, mut roots: Vec<Place>, first: &BTreeMap<Place, Place>) -> Vec<Place> {
        roots.sort_unstable_by_key(|place| self.age_of_thread(*place, first));
        roots
    }

    /// Step 5: joins threads that have the same subject. Returns the roots that are left.
    fn gather(&mut self, roots: Vec<Place>, first: &BTreeMap<Place, Place>) -> Vec<Place> {
        // Steps 5.A and 5.B.
        let mut table: BTreeMap<u64, Place> = BTreeMap::new();
        let subject = |forest: &Forest, place: Place| forest.node(*first.get(&place).unwrap_or(&place)).subject;
        for &current in &roots {
            let key = subject(self, current);
            if key == 0 {
                continue;
            }
            let known = table.entry(key).or_insert(current);
            let (have, new) = (self.node(*known), self.node(current));
            if !have.is_dummy() && (new.is_dummy() || (have.is_reply && !new.is_reply)) {
                *known = current;
            }
        }
        // Step 5.C.
        let mut dissolved: BTreeMap<Place, Place> = BTreeMap::new();
        for &current in &roots {
            let Some(known) = table.get_mut(&subject(self, current)) else { continue };
            if *known == current {
                continue;
            }
            let (have, new) = (self.node(*known), self.node(current));
            match (have.is_dummy(), new.is_dummy()) {
                (true, true) => {
                    dissolved.insert(current, *known);
                }
                (true, false) => self.set_parent(current, *known),
                (false, false) if new.is_reply && !have.is_reply => self.set_parent(current, *known),
                (false, _) => {
                    let dummy = self.nodes.len() as Place;
                    self.nodes.push(DUMMY);
                    self.set_parent(current, dummy);
                    self.set_parent(*known, dummy);
                    *known = dummy;
                }
            }
        }
        for node in &mut self.nodes {
            if let Some(place) = dissolved.get(&node.parent) {
                node.parent = *place;
            }
        }
        self.remaining_roots()
    }

    /// For each root the age of the newest message in its thread.
    fn newest(&self) -> Vec<Age> {
        let mut newest: Vec<Age> = vec![(i64::MIN, 0); self.nodes.len()];
        let mut root_of: Vec<Place> = vec![NONE; self.nodes.len()];
        let mut way = Vec::new();
        for start in 0..self.nodes.len() as Place {
            let mut at = start;
            while root_of.get(at as usize) == Some(&NONE) && self.node(at).parent != NONE {
                way.push(at);
                at = self.node(at).parent;
            }
            let root = root_of.get(at as usize).copied().filter(|root| *root != NONE).unwrap_or(at);
            for place in way.drain(..).chain([at]) {
                if let Some(slot) = root_of.get_mut(place as usize) {
                    *slot = root;
                }
            }
            if let (false, Some(slot)) = (self.node(start).is_dummy(), newest.get_mut(root as usize)) {
                *slot = self.age(start).max(*slot);
            }
        }
        newest
    }

    /// Step 6, for siblings of any generation, and the roots by that age.
    fn finish(self, mut roots: Vec<Place>, age: impl Fn(&Forest, Place) -> Age) -> Threads {
        roots.sort_unstable_by_key(|place| age(&self, *place));
        let mut order: Vec<(Place, Age, Place)> = Vec::new();
        for (node, place) in self.nodes.iter().zip(0..) {
            if node.parent != NONE && !node.is_dummy() {
                order.push((node.parent, (node.sent, node.uid), place));
            }
        }
        order.sort_unstable();
        let mut starts = vec![0u32; self.nodes.len() + 1];
        for (parent, ..) in &order {
            if let Some(count) = starts.get_mut(*parent as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        Threads {
            uids: self.nodes.iter().map(|node| node.uid).collect(),
            children: order.into_iter().map(|(_, _, place)| place).collect(),
            starts,
            roots,
        }
    }
}
