//! Records between cells.

use wattle_contracts::record::{CellMember, Summary};

use super::*;

/// A summary of cell `north` by `writer`.
fn summary(writer: u8, millis: u64) -> Record {
    let me = NodeId::from_bytes(key(writer).public());
    let member = CellMember {
        node: me,
        addresses: vec![],
        labels: Default::default(),
        serves: Default::default(),
    };
    let body = RecordBody::Cell(Summary { members: vec![member] });
    let at = Hlc { millis: WALL.0 + millis, counter: 0 };
    Record::sign(&key(writer), RecordKey::Cell("north".parse().unwrap()), at, body).unwrap()
}

/// Whom the node has told by then what it hears.
fn told(records: &mut Records, heard: Record, by: Time) -> Vec<NodeId> {
    let mut out = hear(records, push(vec![heard]));
    records.tick(by, WALL, &mut rng(), &mut out);
    let pushes = sent(&out).into_iter();
    let pushes = pushes.filter(|(_, message)| matches!(message, RecordMessage::Push { .. }));
    pushes.map(|(to, _)| to).collect()
}

#[test]
fn news_go_to_peers_here_and_to_envoys_as_well() {
    let mut records = empty(Limits::default());
    let mut out = Vec::new();
    for near in 10..60 {
        records.peer_up(Time::ZERO, node(near), &mut out);
    }
    for far in [100, 101] {
        records.envoy_up(Time::ZERO, node(far), &mut out);
    }
    let is_far = |to: &NodeId| *to >= node(100);
    let to = told(&mut records, record(1, 1, 0), Time::ZERO.plus(GATHER));
    assert!(to.contains(&node(100)) && to.contains(&node(101)), "{to:?}");
    let far = to.iter().filter(|to| is_far(to)).count();
    assert_eq!(far * 2, to.len(), "as many there as here");
    // One that is gone is told no more.
    records.peer_down(node(100));
    let to = told(&mut records, record(1, 2, 0), Time::ZERO.plus(10 * ROUND));
    assert!(!to.contains(&node(100)) && to.contains(&node(101)), "{to:?}");
}

#[test]
fn envoys_are_compared_with_now_and_then() {
    let mut records = holding(0, [record(1, 1, 0)]);
    let mut out = Vec::new();
    for near in 10..60 {
        records.peer_up(Time::ZERO, node(near), &mut out);
    }
    records.envoy_up(Time::ZERO, node(100), &mut out);
    let (mut asked, mut now) = (0, Time::ZERO);
    let end = Time::ZERO.plus(160 * ROUND);
    while now < end {
        now = records.wake_at().max(now);
        let mut out = Vec::new();
        records.tick(now, WALL, &mut rng(), &mut out);
        asked += sent(&out).iter().filter(|(to, _)| *to == node(100)).count();
        now = now.plus(Duration::from_millis(1));
    }
    // Every four seconds, however many peers there are here, and none else.
    assert!((20..=50).contains(&asked), "{asked}");
}

#[test]
fn a_summary_is_offered_and_travels_to_who_lacks_it() {
    let mut records = empty(Limits::default());
    records.peer_up(Time::ZERO, node(8), &mut Vec::new());
    let out = hear(&mut records, push(vec![summary(1, 0)]));
    let offers: Vec<_> = sent(&out);
    let [(_, RecordMessage::Have(lines))] = offers.as_slice() else { panic!("{offers:?}") };
    let offer = |lines: &[(ElementId, Hlc)]| RecordMessage::Have(lines.to_vec());
    // Who has it, or a later one, does not ask.
    let mut same = holding(9, [summary(1, 0)]);
    assert!(sent(&hear(&mut same, offer(lines))).is_empty());
    let mut later = holding(9, [summary(1, 8)]);
    assert!(sent(&hear(&mut later, offer(lines))).is_empty());
    let mut lacks = empty(Limits::default());
    let asked = hear(&mut lacks, offer(lines));
    let asked = sent(&asked);
    let [(to, RecordMessage::Want(ids))] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((*to, ids.len()), (node(7), 1));
    let brought = hear(&mut records, RecordMessage::Want(ids.clone()));
    assert!(matches!(sent(&brought).as_slice(), [(_, RecordMessage::Push { .. })]));
}

#[test]
fn a_summary_that_loses_leaves_no_history() {
    let mut records = empty(Limits::default());
    hear(&mut records, push(vec![summary(1, 0)]));
    // Made at the same time, by one that did not know it.
    hear(&mut records, push(vec![summary(2, 8)]));
    hear(&mut records, push(vec![summary(3, 4)]));
    assert_eq!(records.lost().count(), 0);
    assert_eq!(records.size().0, 1);
    let key = RecordKey::Cell("north".parse().unwrap());
    assert_eq!(records.get(&key).unwrap().version, summary(2, 8).version);
}
