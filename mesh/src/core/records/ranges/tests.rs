//! Hashes of ranges, whatever is in them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Hlc, RecordBody, RecordKey};

use super::*;

fn element(number: u16) -> Element {
    let key = SigningKey::from_seed([1; 32]).unwrap();
    let about = RecordKey::App("a".parse().unwrap());
    let at = Hlc { millis: 1, counter: 0 };
    let record = Record::sign(&key, about, at, RecordBody::Tombstone).unwrap();
    let hash = *Digest::of(&number.to_le_bytes()).as_bytes();
    Element { kind: Kind::Current, record: Arc::new(record), hash }
}

/// Names that are close to each other, so that the tree gets deep.
fn id(number: u16) -> ElementId {
    let mut bytes = [0; 16];
    bytes[0] = (number % 3) as u8;
    bytes[6..8].copy_from_slice(&number.to_be_bytes());
    ElementId(bytes)
}

fn all_ranges(ranges: &Ranges) -> Vec<ElementRange> {
    let mut all = vec![ALL];
    let mut next = 0;
    while let Some(range) = all.get(next).copied() {
        next += 1;
        if ranges.count(range) > 0 {
            all.extend(parts(range));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_hash_follows_from_the_elements_and_not_from_how_they_came(
        steps in prop::collection::vec((0u16..60, any::<bool>()), 0..200),
    ) {
        let template = element(0);
        let make = |number| Element { hash: *Digest::of(&u16::to_le_bytes(number)).as_bytes(), ..template.clone() };
        let (mut one, mut held) = (Ranges::default(), BTreeSet::new());
        for (number, puts) in steps {
            if puts {
                prop_assert_eq!(one.insert(id(number), make(number)).is_none(), held.insert(number));
            } else {
                prop_assert_eq!(one.remove(&id(number)).is_some(), held.remove(&number));
            }
            one.root();
        }
        let mut other = Ranges::default();
        for number in &held {
            other.insert(id(*number), make(*number));
        }
        prop_assert_eq!(one.root(), other.root());
        prop_assert_eq!(one.count(ALL), held.len());
        for range in all_ranges(&one) {
            prop_assert!(is_sound(range));
            let inside: Vec<u16> = held.iter().copied().filter(|n| holds(range, &id(*n))).collect();
            prop_assert_eq!(one.count(range), inside.len());
            prop_assert_eq!(one.elements(range).len(), inside.len());
            prop_assert_eq!(one.hash(range), other.hash(range));
            prop_assert_eq!(one.hash(range) == NOTHING, inside.is_empty());
        }
    }

    #[test]
    fn one_difference_changes_the_hash_of_every_range_that_holds_it_and_of_no_other(
        numbers in prop::collection::btree_set(0u16..400, 1..200),
        which in any::<prop::sample::Index>(),
    ) {
        let template = element(0);
        let make = |number: u16| Element { hash: *Digest::of(&number.to_le_bytes()).as_bytes(), ..template.clone() };
        let (mut one, mut other) = (Ranges::default(), Ranges::default());
        for number in &numbers {
            one.insert(id(*number), make(*number));
            other.insert(id(*number), make(*number));
        }
        let changed = *numbers.iter().nth(which.index(numbers.len())).unwrap();
        other.insert(id(changed), make(9999));
        for range in all_ranges(&one) {
            prop_assert_eq!(one.hash(range) != other.hash(range), holds(range, &id(changed)));
        }
    }
}

#[test]
fn a_change_costs_the_hashes_on_one_path() {
    let template = element(0);
    let mut ranges = Ranges::default();
    for number in 0..20_000u32 {
        let hash = *Digest::of(&number.to_le_bytes()).as_bytes();
        let id = ElementId(*hash.first_chunk().unwrap());
        ranges.insert(id, Element { hash, ..template.clone() });
    }
    ranges.root();
    let name = ElementId([7; 16]);
    ranges.insert(name, Element { hash: [7; 32], ..template });
    fn stale(part: &Part) -> usize {
        match part {
            Part::Whole { elements, hash } => usize::from(hash.is_none() && !elements.is_empty()),
            Part::Cut { parts, hash, .. } => {
                usize::from(hash.is_none()) + parts.iter().map(stale).sum::<usize>()
            }
        }
    }
    let stale = stale(&ranges.root);
    assert!((3..=16).contains(&stale), "{stale} hashes are worked out anew");
}

#[test]
fn what_is_no_range_is_told() {
    assert!(is_sound(ALL));
    assert!(!is_sound(ElementRange { digits: 16, path: 0 }));
    assert!(!is_sound(ElementRange { digits: 1, path: 1 }));
    assert!(is_sound(ElementRange { digits: 1, path: 0xF << 60 }));
    assert_eq!(parts(ElementRange { digits: 15, path: 0 }).count(), 0);
}
