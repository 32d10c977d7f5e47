//! What members may fill, and what always finds a place.

use wattle_contracts::id::MeshId;
use wattle_contracts::record::{Admitted, CellMember, Revocation, Revoked, Succeeded, Summary};
use wattle_contracts::trust::{Handovers, Paper, Succession};

use super::*;
use crate::core::records::rights::MAX_UNANCHORED;
use crate::core::records::take::MAX_SUMMARIES;

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
    let former = wattle_contracts::key::SigningKey::from_seed(former).unwrap();
    let mut next = *former.seed();
    next[31] ^= 0xff;
    let next = wattle_contracts::key::SigningKey::from_seed(next).unwrap();
    let kept = Default::default();
    let succession = Succession::sign(mesh(), &former, &next, WALL, &kept).unwrap();
    let about = RecordKey::Succession(NodeId::from_bytes(former.public()));
    let body = RecordBody::Succession(Box::new(Succeeded { succession, kept }));
    Record::sign(&next, about, Hlc { millis: WALL.0 + millis, counter: 0 }, body).unwrap()
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
    }
    let successions = |records: &Records| {
        records.iter().filter(|record| matches!(record.key, RecordKey::Succession(_))).count()
    };
    assert_eq!(successions(&records), MAX_UNANCHORED);
    // A member's finds its place all the same.
    let own = followed(*key(2).seed(), 1);
    hear(&mut records, push(vec![own.clone()]));
    assert_eq!(successions(&records), MAX_UNANCHORED);
    hear(&mut records, push(vec![admitted(2)]));
    hear(&mut records, push(vec![own]));
    assert_eq!(successions(&records), MAX_UNANCHORED + 1);
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
