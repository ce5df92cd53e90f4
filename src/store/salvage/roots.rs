//! Where the trees of the tables begin: from the header of the redb file, or without it.
//!
//! Receives a file; hands on the root of every table. The header's two slots name the last two commits, each by the root
//! of the tree of tables; a slot and every page have checksums, so that what is found by them is certain. Without a
//! header the file is searched for the root of that tree itself: it is a single leaf that names all tables.

use super::super::code::Decoder;
use super::super::tables::{META, Meta};
use super::pages::{Known, Leaf, PageRef, Shape, sweep, verify, walk};
use super::source::Source;
use crate::order;
use std::collections::BTreeMap;

/// Where the slots begin, and how long they are.
const SLOTS_AT: [u64; 2] = [64, 192];
const SLOT_BYTES: usize = 128;
const SLOT_SUMMED_BYTES: usize = SLOT_BYTES - 16;
const FLAGS_AT: u64 = 9;
const FLAG_SECOND_IS_PRIMARY: u8 = 1;
/// redb's version of slots that it writes.
const SLOT_VERSION: u8 = 3;
/// Kind of a table with one value for a key.
const NORMAL_TABLE: u8 = 3;
/// Tables of tables that are looked at when the header is lost; a file has a few old ones.
const CANDIDATES_MAX: usize = 1_000;

/// The tree of tables: names to definitions.
const TABLES: Shape = Shape { name: "tables", key: None, value: None };

/// How the roots were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// By the header: the last commit.
    Newest,
    /// By the header, but only the commit before the last.
    Older,
    /// By searching the file: the newest commit that is whole.
    Searched,
    /// Not at all.
    Nothing,
}

/// The root of every table that is named, with its number of rows; without a root it is empty.
pub type Tables = BTreeMap<String, (Option<PageRef>, u64)>;

/// Finds the roots. `store`: the id of the store when the journal knows it; others are not ours.
pub fn find(source: &Source, known: &mut Known, store: Option<u64>) -> (Tables, Found) {
    let header = source.read(0, SLOT_BYTES + SLOTS_AT[1] as usize);
    let second = source.read(FLAGS_AT, 1).first().is_some_and(|flags| flags & FLAG_SECOND_IS_PRIMARY != 0);
    let order = if second { [1, 0] } else { [0, 1] };
    let mut found = Found::Newest;
    for slot in order.into_iter().filter_map(|slot: usize| SLOTS_AT.get(slot)) {
        let slot = header.get(*slot as usize..*slot as usize + SLOT_BYTES).unwrap_or_default();
        if let Some(tables) = read_slot(slot).and_then(|root| read_tables(source, known, root)) {
            return (tables, found);
        }
        found = Found::Older;
    }
    match search(source, store) {
        Some(tables) => (tables, Found::Searched),
        None => (Tables::new(), Found::Nothing),
    }
}

/// The root of the tree of tables, if the slot is what it was.
fn read_slot(slot: &[u8]) -> Option<PageRef> {
    let (summed, checksum) = slot.split_at_checked(SLOT_SUMMED_BYTES)?;
    let right = twox_hash::XxHash3_128::oneshot(summed).to_le_bytes() == *checksum;
    let has_tables = slot.first() == Some(&SLOT_VERSION) && slot.get(1) != Some(&0);
    let (root, _) = PageRef::of_root(slot.get(8..)?)?;
    (right && has_tables).then_some(root)
}

fn read_tables(source: &Source, known: &mut Known, root: PageRef) -> Option<Tables> {
    let mut tables = Tables::new();
    let walked = walk(source, root, TABLES, known, |name, definition, _| {
        tables.extend(read_definition(name, definition));
    });
    (walked.damaged == 0 && tables.contains_key(Shape::of(&META.table).name)).then_some(tables)
}

/// A table's definition: kind, rows, whether it has a root, root, checksum, rows again, widths, names of its types.
fn read_definition(name: &[u8], definition: &[u8]) -> Option<(String, (Option<PageRef>, u64))> {
    let mut decoder = Decoder::new(definition);
    let kind = decoder.byte().ok()?;
    let rows = decoder.u64().ok()?;
    let has_root = decoder.byte().ok()? != 0;
    let root = if has_root { Some(PageRef::of_root(decoder.take(32).ok()?)?.0) } else { None };
    let name = std::str::from_utf8(name).ok()?;
    (kind == NORMAL_TABLE).then(|| (name.to_owned(), (root, rows)))
}

/// Searches the file for a tree of tables whose own trees are whole at their roots.
fn search(source: &Source, store: Option<u64>) -> Option<Tables> {
    let mut pages = Vec::new();
    let meta = Shape::of(&META.table).name;
    sweep(source, &Known::new(source), &[TABLES], |_, name, definition, at| {
        if name == meta.as_bytes() && pages.len() < CANDIDATES_MAX && read_definition(name, definition).is_some() {
            pages.push(at - at % super::source::PAGE_BYTES);
        }
    });
    let mut best: Option<((u64, u64), Tables)> = None;
    for at in pages {
        let page = source.read(at, super::source::PAGE_BYTES as usize);
        let Some(leaf) = Leaf::parse(&page, TABLES) else { continue };
        let tables: Tables = order::map(leaf.rows().filter_map(|(name, value, _)| read_definition(name, value)));
        let Some(batch) = read_batch(source, &tables, store) else { continue };
        let broken = super::gather::SHAPES.iter().filter(|shape| !root_is_whole(source, &tables, shape())).count();
        // A state with one broken root still beats one that is older; one with more of them was written over.
        let score = (u64::from(broken <= 1), batch);
        if best.as_ref().is_none_or(|(other, _)| *other < score) {
            best = Some((score, tables));
        }
    }
    best.map(|(_, tables)| tables)
}

fn root_is_whole(source: &Source, tables: &Tables, shape: Shape) -> bool {
    match tables.get(shape.name) {
        Some((Some(root), _)) => verify(source, root, shape).is_some(),
        Some((None, _)) => true,
        None => false,
    }
}

/// The number of the next batch in the state that these tables are of.
fn read_batch(source: &Source, tables: &Tables, store: Option<u64>) -> Option<u64> {
    let shape = Shape::of(&META.table);
    let (root, _) = tables.get(shape.name)?;
    let mut batch = None;
    walk(source, (*root)?, shape, &mut Known::new(source), |key, row, _| {
        let meta = super::gather::read_meta(key, row);
        batch = meta.filter(|meta| store.is_none_or(|store| store == meta.store)).map(|meta: Meta| meta.batch);
    });
    batch
}
