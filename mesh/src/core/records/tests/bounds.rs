//! What members may fill, and what always finds a place.

use wattle_contracts::id::MeshId;
use wattle_contracts::record::{
    Admitted, CellMember, Print, Revocation, Revoked, Succeeded, Summary,
};
use wattle_contracts::trust::{Handovers, Paper, Succession};

use super::*;
use crate::core::records::rights::MAX_UNANCHORED;
use crate::core::records::take::MAX_SUMMARIES;
use crate::core::rights::MOST_SUCCESSIONS;

const AUTHORITY: u8 = 1;

fn mesh() -> MeshId {
    MeshId::from_bytes(key(AUTHORITY).public())
}

fn governed(limits: Limits) -> Records {
    let mut records = empty(limits);
    records.govern(mesh(), Handovers::default(), &mut Vec::new());
    records
}

fn id(number: u8) -> NodeId {
    NodeId::from_bytes(key(number).public())
}

fn sign(writer: u8, millis: u64, about: RecordKey, body: RecordBody) -> Record {
    let at = Hlc { millis: WALL.0 + millis, counter: 0 };
    Record::sign(&key(writer), about, at, body).unwrap()
}

/// It is written down that `who` was admitted by the authority.
fn admitted(who: u8) -> Record {
    let came = Paper::issue(&key(AUTHORITY), id(who), WALL, None).unwrap();
    let body = RecordBody::Admitted(Box::new(Admitted { came }));
    sign(9, 0, RecordKey::Admitted(id(who)), body)
}

fn summary(writer: u8, millis: u64, cell: u16) -> Record {
    let member = CellMember {
        node: id(writer),
        addresses: vec![],
        labels: Default::default(),
        serves: Default::default(),
    };
    let body = RecordBody::Cell(Summary { members: vec![member] });
    let name = format!("cell-{cell:04}").parse().unwrap();
    sign(writer, millis, RecordKey::Cell(name), body)
}

/// The key that `former` is the seed of is followed by another.
fn followed(former: [u8; 32], millis: u64) -> Record {
    let mut next = former;
    next[31] ^= 0xff;
    follow(former, next, millis, BTreeSet::new())
}

fn follow(former: [u8; 32], next: [u8; 32], millis: u64, kept: BTreeSet<Print>) -> Record {
    let [former, next] = [former, next].map(|seed| SigningKey::from_seed(seed).unwrap());
    let succession = Succession::sign(mesh(), &former, &next, WALL, &kept).unwrap();
    let about = RecordKey::Succession(NodeId::from_bytes(former.public()));
    let body = RecordBody::Succession(Box::new(Succeeded { succession, kept }));
    Record::sign(&next, about, Hlc { millis: WALL.0 + millis, counter: 0 }, body).unwrap()
}

fn compute_anew(records: &mut Records) {
    if records.doubted < Time::NEVER {
        records.tick(records.doubted, WALL, &mut rng(), &mut Vec::new());
    }
}

fn cells(records: &Records) -> Vec<String> {
    let cells = records.iter().filter(|record| matches!(record.key, RecordKey::Cell(_)));
    cells.map(|record| record.key.to_string()).collect()
}

#[test]
fn who_has_no_paper_sums_up_no_cell() {
    let mut records = governed(Limits::default());
    hear(&mut records, push(vec![summary(2, 1, 1)]));
    assert!(cells(&records).is_empty());
    // It comes again, once that is known.
    hear(&mut records, push(vec![admitted(2), summary(2, 1, 1)]));
    assert_eq!(cells(&records).len(), 1);
}

#[test]
fn a_member_that_sums_up_a_thousand_cells_keeps_the_last_few_whatever_the_order() {
    let all: Vec<Record> = (0..40).map(|cell| summary(2, u64::from(cell) * 7 % 40, cell)).collect();
    let mut orders = vec![all.clone(), all.iter().rev().cloned().collect()];
    let mut mixed = all;
    mixed.rotate_left(17);
    orders.push(mixed);
    let kept: Vec<Vec<String>> = orders
        .into_iter()
        .map(|order| {
            let mut records = governed(Limits::default());
            hear(&mut records, push(vec![admitted(2), admitted(3), summary(3, 5, 99)]));
            for record in order {
                hear(&mut records, push(vec![record]));
            }
            cells(&records)
        })
        .collect();
    assert_eq!(kept[0].len(), MAX_SUMMARIES + 1, "and the other's");
    assert!(kept.iter().all(|cells| *cells == kept[0]), "{kept:?}");
    assert!(kept[0].iter().any(|cell| cell.contains("cell-0099")));
}

#[test]
fn successions_of_keys_that_nobody_has_heard_of_have_a_few_places() {
    let mut records = governed(Limits::default());
    for number in 0..100 {
        hear(&mut records, push(vec![followed([number + 100; 32], 1)]));
        assert!(successions(&records) <= 2 * MAX_UNANCHORED);
    }
    compute_anew(&mut records);
    assert_eq!(successions(&records), MAX_UNANCHORED);
    // A member's finds its place all the same.
    let own = followed(*key(2).seed(), 2);
    hear(&mut records, push(vec![own.clone()]));
    assert_eq!(successions(&records), MAX_UNANCHORED);
    hear(&mut records, push(vec![admitted(2)]));
    hear(&mut records, push(vec![own]));
    assert_eq!(successions(&records), MAX_UNANCHORED + 1);
}

/// A member's key is followed by another, and that by another, which lets stay what the one before
/// has signed, or does not.
fn chain(member: u8, length: u8, keeps: bool) -> Vec<Record> {
    let seed = |at: u8| {
        let mut seed = [member; 32];
        seed[31] ^= at;
        seed
    };
    let mut links: Vec<Record> = Vec::new();
    for at in 0..length {
        let kept = links.last().filter(|_| keeps).map(|last| Print::of_record(last).unwrap());
        links.push(follow(seed(at), seed(at + 1), u64::from(at), kept.into_iter().collect()));
    }
    links
}

fn successions(records: &Records) -> usize {
    records.iter().filter(|record| matches!(record.key, RecordKey::Succession(_))).count()
}

#[test]
fn a_member_that_goes_on_with_key_after_key_has_a_bounded_number_of_places() {
    for keeps in [true, false] {
        let links = chain(2, 100, keeps);
        let mut backwards = links.clone();
        backwards.reverse();
        for order in [links, backwards] {
            let mut records = governed(Limits::default());
            hear(&mut records, push(vec![admitted(2), admitted(3)]));
            // As often as anti-entropy brings them.
            for at in 0..100 {
                for record in &order {
                    hear(&mut records, push(vec![record.clone()]));
                }
                let now = Time::ZERO.plus(Duration::from_secs(at));
                records.tick(now, WALL, &mut rng(), &mut Vec::new());
            }
            let kept = successions(&records);
            assert!(kept <= MOST_SUCCESSIONS + MAX_UNANCHORED, "{kept}");
            assert!(!keeps || kept >= MOST_SUCCESSIONS, "{kept}");
            // And everybody else has theirs.
            hear(&mut records, push(chain(3, 1, true)));
            assert_eq!(successions(&records), kept + 1);
        }
    }
}

#[test]
fn of_successions_of_keys_of_nobody_known_the_same_ones_stay_whatever_the_order() {
    let all: Vec<Record> =
        (0..60).map(|n| followed([n + 100; 32], u64::from(n) * 7 % 60)).collect();
    let mut orders = vec![all.clone(), all.iter().rev().cloned().collect()];
    let mut mixed = all;
    mixed.rotate_left(23);
    orders.push(mixed);
    let kept: Vec<Vec<Record>> = orders
        .into_iter()
        .map(|order| {
            let mut records = governed(Limits::default());
            // As often as anti-entropy brings them.
            for record in order.iter().chain(&order).chain(&order) {
                hear(&mut records, push(vec![record.clone()]));
                compute_anew(&mut records);
            }
            records.iter().map(|record| Record::clone(record)).collect()
        })
        .collect();
    assert_eq!(kept[0].len(), MAX_UNANCHORED);
    assert!(kept.iter().all(|records| *records == kept[0]));
}

#[test]
fn what_one_member_writes_again_and_again_has_the_rights_computed_anew_now_and_then() {
    let mut records = governed(Limits::default());
    let by_the_old_key = record(2, 1, 0);
    hear(&mut records, push(vec![admitted(2), admitted(3), by_the_old_key]));
    hear(&mut records, push(chain(3, 1, true)));
    let first = records.reconsidered;
    assert!(first.is_some() && records.doubted == Time::NEVER, "at once, where it is the only one");
    for millis in 1..100 {
        hear(&mut records, push(vec![followed(*key(2).seed(), millis)]));
    }
    // The old key has no say any more, and what it said goes when it is time.
    assert!(records.rights().unwrap().is_revoked(id(2)));
    hear(&mut records, push(vec![record(2, 2, 0)]));
    assert!(records.get(&about(2)).is_none());
    assert!(records.get(&about(1)).is_some());
    let due = records.doubted;
    assert!(due > Time::ZERO && due <= Time::ZERO.plus(Duration::from_millis(200)), "{due:?}");
    assert!(records.wake_at() <= due);
    records.tick(due, WALL, &mut rng(), &mut Vec::new());
    assert!(records.get(&about(1)).is_none());
    assert_eq!((records.reconsidered, records.doubted), (Some(due), Time::NEVER));
}

#[test]
fn a_revocation_finds_a_place_also_where_those_who_belong_have_all_others() {
    let limits = Limits { records: 64, ..Limits::default() };
    let mut records = governed(limits);
    for who in 10..110 {
        hear(&mut records, push(vec![admitted(who)]));
    }
    assert_eq!(records.size().0, limits.records - 1);
    let about = RecordKey::Revocation(Revoked::Node(id(10)));
    let body = RecordBody::Revocation(Revocation::default());
    hear(&mut records, push(vec![sign(AUTHORITY, 1, about.clone(), body)]));
    assert!(records.get(&about).is_some());
}

#[test]
fn a_revocation_finds_a_place_where_nothing_else_does() {
    let limits = Limits { records: 64, ..Limits::default() };
    let mut records = governed(limits);
    for app in 0..100 {
        hear(&mut records, push(vec![record(2, app, 0)]));
    }
    let full = records.size().0;
    assert!(full < limits.records, "{full}");
    let what = Revoked::Node(id(3));
    let body = RecordBody::Revocation(Revocation::default());
    let about = RecordKey::Revocation(what);
    hear(&mut records, push(vec![sign(AUTHORITY, 1, about.clone(), body)]));
    assert!(records.get(&about).is_some());
    assert!(records.rights().unwrap().is_revoked(id(3)));
}
