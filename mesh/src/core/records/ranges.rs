//! The hashes by which two nodes compare what they hold, range by range.
//!
//! Range-based set reconciliation (Meyer, "Range-Based Set Reconciliation", 2022) over elements in
//! the order of their names. A name is a hash, so names are spread evenly, and the ranges are
//! those that share their first hexadecimal digits: every node cuts at the same places, and a
//! range's hash can be that of its parts' hashes, SHA-256 all the way up (a Merkle tree over a
//! trie). Sums or XORs of hashes would allow ranges cut anywhere, but whoever may write records
//! can make two sets with one sum (Wagner, "A generalized birthday problem", 2002: about 2^32
//! steps for sums of 256 bits, none to speak of for XOR) and so hide a difference for ever. Here
//! that takes a collision of SHA-256.
//!
//! The tree's shape, and with it every hash, follows from the elements alone and not from the
//! order in which they came: a range with more than [`LEAF`] elements is cut. A change costs the
//! hashes on one path, and they are worked out when somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use wattle_contracts::control::{ElementId, ElementRange, NOTHING, RangeHashes};
use wattle_contracts::id::Digest;
use wattle_contracts::record::Record;

/// A range of up to so many elements is hashed as a whole.
const LEAF: usize = 16;

/// Ranges are not cut further than this many digits.
const MAX_DIGITS: u8 = 15;

/// What an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The current record of its key.
    Current,
    /// A change that lost.
    Lost,
}

/// A record, and its hash together with its kind.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) kind: Kind,
    pub(super) record: Arc<Record>,
    pub(super) hash: [u8; 32],
}

/// All elements of a node.
#[derive(Debug)]
pub(super) struct Ranges {
    root: Part,
}

#[derive(Debug)]
enum Part {
    Whole { elements: BTreeMap<ElementId, Element>, hash: Option<[u8; 32]> },
    Cut { parts: Vec<Part>, count: usize, hash: Option<[u8; 32]> },
}

/// Everything.
pub(super) const ALL: ElementRange = ElementRange { digits: 0, path: 0 };

/// Whether this is a range at all, and not something that a peer made up.
pub(super) fn is_sound(range: ElementRange) -> bool {
    range.digits <= MAX_DIGITS && range.path & !mask(range.digits) == 0
}

/// The sixteen parts of a range; none of one that can't be cut.
pub(super) fn parts(range: ElementRange) -> impl Iterator<Item = ElementRange> {
    let last = if range.digits < MAX_DIGITS { 16 } else { 0 };
    (0..last).map(move |digit: u64| ElementRange {
        digits: range.digits + 1,
        path: range.path | (digit << 60u32.saturating_sub(4 * u32::from(range.digits))),
    })
}

/// Whether all of `inner` is in `outer`.
pub(super) fn contains(outer: ElementRange, inner: ElementRange) -> bool {
    outer.digits <= inner.digits && inner.path & mask(outer.digits) == outer.path
}

fn mask(digits: u8) -> u64 {
    // No shift by the whole width.
    if digits == 0 { 0 } else { u64::MAX << (64 - 4 * u32::from(digits.min(16))) }
}

fn start(id: &ElementId) -> u64 {
    id.0.first_chunk().map_or(0, |start| u64::from_be_bytes(*start))
}

fn holds(range: ElementRange, id: &ElementId) -> bool {
    start(id) & mask(range.digits) == range.path
}

fn digit(path: u64, at: u8) -> usize {
    ((path >> (60 - 4 * u32::from(at))) & 0xF) as usize
}

impl Default for Ranges {
    fn default() -> Self {
        Self { root: Part::empty() }
    }
}

impl Ranges {
    pub(super) fn insert(&mut self, id: ElementId, element: Element) -> Option<Element> {
        self.root.insert(0, id, element)
    }

    pub(super) fn remove(&mut self, id: &ElementId) -> Option<Element> {
        self.root.remove(0, id)
    }

    pub(super) fn get(&self, id: &ElementId) -> Option<&Element> {
        let (mut part, mut depth) = (&self.root, 0);
        loop {
            match part {
                Part::Whole { elements, .. } => return elements.get(id),
                Part::Cut { parts, .. } => part = parts.get(digit(start(id), depth))?,
            }
            depth += 1;
        }
    }

    /// The hash of everything: equal on two nodes exactly when they hold the same.
    pub(super) fn root(&mut self) -> [u8; 32] {
        self.root.hash()
    }

    /// How many elements a range holds.
    pub(super) fn count(&self, range: ElementRange) -> usize {
        match self.find(range) {
            Part::Cut { count, .. } => *count,
            Part::Whole { elements, .. } => elements.keys().filter(|id| holds(range, id)).count(),
        }
    }

    /// What a range holds, in the order of the names.
    pub(super) fn elements(&self, range: ElementRange) -> Vec<(ElementId, &Element)> {
        let mut all = Vec::new();
        self.find(range).collect(range, &mut all);
        all
    }

    /// The hashes of a range's parts, shortened.
    pub(super) fn hashes(&mut self, range: ElementRange) -> RangeHashes {
        let mut hashes = RangeHashes { range, parts: [NOTHING; 16] };
        for (to, part) in hashes.parts.iter_mut().zip(parts(range)) {
            *to = self.hash(part);
        }
        hashes
    }

    /// The hash of a range, shortened; [`NOTHING`] for an empty one.
    fn hash(&mut self, range: ElementRange) -> [u8; 16] {
        let whole = self.root.hash_of(0, range);
        whole.first_chunk().copied().unwrap_or(NOTHING)
    }

    /// The smallest part that has all of a range.
    fn find(&self, range: ElementRange) -> &Part {
        let (mut part, mut depth) = (&self.root, 0);
        while let Part::Cut { parts, .. } = part
            && depth < range.digits
            && let Some(next) = parts.get(digit(range.path, depth))
        {
            part = next;
            depth += 1;
        }
        part
    }
}

impl Part {
    fn empty() -> Self {
        Part::Whole { elements: BTreeMap::new(), hash: None }
    }

    fn count(&self) -> usize {
        match self {
            Part::Whole { elements, .. } => elements.len(),
            Part::Cut { count, .. } => *count,
        }
    }

    fn insert(&mut self, depth: u8, id: ElementId, element: Element) -> Option<Element> {
        match self {
            Part::Whole { elements, hash } => {
                *hash = None;
                let old = elements.insert(id, element);
                if elements.len() > LEAF && depth < MAX_DIGITS {
                    let elements = std::mem::take(elements);
                    *self = Part::cut(depth, elements);
                }
                old
            }
            Part::Cut { parts, count, hash } => {
                *hash = None;
                let part = parts.get_mut(digit(start(&id), depth))?;
                let old = part.insert(depth + 1, id, element);
                *count += usize::from(old.is_none());
                old
            }
        }
    }

    fn cut(depth: u8, elements: BTreeMap<ElementId, Element>) -> Self {
        let count = elements.len();
        let mut parts: Vec<Part> = std::iter::repeat_with(Part::empty).take(16).collect();
        for (id, element) in elements {
            if let Some(part) = parts.get_mut(digit(start(&id), depth)) {
                part.insert(depth + 1, id, element);
            }
        }
        Part::Cut { parts, count, hash: None }
    }

    fn remove(&mut self, depth: u8, id: &ElementId) -> Option<Element> {
        match self {
            Part::Whole { elements, hash } => {
                *hash = None;
                elements.remove(id)
            }
            Part::Cut { parts, count, hash } => {
                *hash = None;
                let part = parts.get_mut(digit(start(id), depth))?;
                let old = part.remove(depth + 1, id)?;
                *count -= 1;
                if *count <= LEAF {
                    let mut elements = BTreeMap::new();
                    parts.drain(..).for_each(|part| part.drain(&mut elements));
                    *self = Part::Whole { elements, hash: None };
                }
                Some(old)
            }
        }
    }

    fn drain(self, into: &mut BTreeMap<ElementId, Element>) {
        match self {
            Part::Whole { elements, .. } => into.extend(elements),
            Part::Cut { parts, .. } => parts.into_iter().for_each(|part| part.drain(into)),
        }
    }

    fn collect<'a>(&'a self, range: ElementRange, into: &mut Vec<(ElementId, &'a Element)>) {
        match self {
            Part::Whole { elements, .. } => {
                let held = elements.iter().filter(|(id, _)| holds(range, id));
                into.extend(held.map(|(id, element)| (*id, element)));
            }
            Part::Cut { parts, .. } => parts.iter().for_each(|part| part.collect(range, into)),
        }
    }

    /// The hash of a range within this part, which is `depth` digits down.
    fn hash_of(&mut self, depth: u8, range: ElementRange) -> [u8; 32] {
        match self {
            Part::Cut { parts, .. } if depth < range.digits => parts
                .get_mut(digit(range.path, depth))
                .map_or([0; 32], |part| part.hash_of(depth + 1, range)),
            // The range is smaller than what is hashed as a whole here.
            Part::Whole { elements, .. } if depth < range.digits => {
                let held = elements.iter().filter(|(id, _)| holds(range, id));
                whole_hash(held.map(|(_, element)| element))
            }
            _ if self.count() == 0 => [0; 32],
            _ => self.hash(),
        }
    }

    fn hash(&mut self) -> [u8; 32] {
        match self {
            Part::Whole { elements, hash } => {
                *hash.get_or_insert_with(|| whole_hash(elements.values()))
            }
            Part::Cut { parts, hash, .. } => *hash.get_or_insert_with(|| {
                let mut bytes = vec![1];
                for part in parts {
                    let hash = if part.count() == 0 { [0; 32] } else { part.hash() };
                    bytes.extend_from_slice(&hash);
                }
                *Digest::of(&bytes).as_bytes()
            }),
        }
    }
}

fn whole_hash<'a>(elements: impl Iterator<Item = &'a Element>) -> [u8; 32] {
    let mut bytes = vec![0];
    for element in elements {
        bytes.extend_from_slice(&element.hash);
    }
    if bytes.len() == 1 { [0; 32] } else { *Digest::of(&bytes).as_bytes() }
}

#[cfg(test)]
mod tests;
