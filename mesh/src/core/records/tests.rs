mod bounds;
mod cells;
mod clocks;
mod heal;
mod history;
mod neighbours;
mod rights;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use wattle_contracts::control::{ElementRange, RangeHashes, RangeTags};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::App;
use wattle_contracts::wire;

use super::*;

const WALL: UnixMillis = UnixMillis(1_800_000_000_000);

fn key(writer: u8) -> SigningKey {
    SigningKey::from_seed([writer; 32]).unwrap()
}

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}

fn about(app: u16) -> RecordKey {
    RecordKey::App(format!("app-{app}").parse().unwrap())
}

/// A record of `app`, written so many milliseconds after [`WALL`]. Every fourth is a tombstone.
fn record(writer: u8, app: u16, millis: u64) -> Record {
    let at = Hlc { millis: WALL.0 + millis, counter: 0 };
    let RecordKey::App(name) = about(app) else { unreachable!() };
    let body = match millis % 4 {
        3 => RecordBody::Tombstone,
        _ => RecordBody::App(Box::new(App::new(name))),
    };
    Record::sign(&key(writer), about(app), at, body).unwrap()
}

fn push(current: Vec<Record>) -> RecordMessage {
    RecordMessage::Push { current, lost: vec![] }
}

fn push_lost(lost: Vec<Record>) -> RecordMessage {
    RecordMessage::Push { current: vec![], lost }
}

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(3)
}

fn empty(limits: Limits) -> Records {
    Records::load(node(0), limits, [], &mut Vec::new())
}

fn stored(record: Record) -> Stored {
    Stored { record, is_lost: false, is_verified: false }
}

fn holding(me: u8, records: impl IntoIterator<Item = Record>) -> Records {
    let mut out = Vec::new();
    let records = records.into_iter().map(stored);
    let records = Records::load(node(me), Limits::default(), records, &mut out);
    assert!(out.is_empty(), "{out:?}");
    records
}

fn hear(records: &mut Records, message: RecordMessage) -> Vec<Output> {
    let mut out = Vec::new();
    records.handle(Time::ZERO, WALL, node(7), message, &mut rng(), &mut out);
    check_batch(&out);
    out
}

/// What holds for every batch of outputs.
fn check_batch(out: &[Output]) {
    let sends = |output: &Output| matches!(output, Output::Send { .. });
    let first_send = out.iter().position(sends).unwrap_or(out.len());
    for output in &out[first_send..] {
        assert!(!matches!(output, Output::Persist(_)), "sent before it was persisted");
    }
    for output in out {
        if let Output::Send { message, .. } = output {
            let length = wire::encode(message).unwrap().len();
            assert!(length <= wattle_contracts::control::MAX_CONTROL, "{length}");
        }
    }
}

fn refusals(out: &[Output]) -> Vec<&Refusal> {
    out.iter()
        .filter_map(|output| match output {
            Output::Refused { reason, .. } => Some(reason),
            _ => None,
        })
        .collect()
}

fn sent(out: &[Output]) -> Vec<(NodeId, &RecordMessage)> {
    out.iter()
        .filter_map(|output| match output {
            Output::Send { to, message } => Some((*to, message)),
            _ => None,
        })
        .collect()
}

/// Lets `here` begin an exchange with `there` and delivers everything. True if anything came of it.
fn exchange(here: &mut Records, there: &mut Records, now: Time) -> bool {
    let mut changed = false;
    let mut wire = vec![(false, RecordMessage::Root(here.root()))];
    while let Some((to_here, message)) = wire.pop() {
        let (me, peer) = if to_here { (&mut *here, node(2)) } else { (&mut *there, node(1)) };
        let mut out = Vec::new();
        me.handle(now, WALL, peer, message, &mut rng(), &mut out);
        check_batch(&out);
        for output in out {
            match output {
                Output::Send { message, .. } => wire.push((!to_here, message)),
                Output::Changed { .. } | Output::Lost { .. } => changed = true,
                Output::Persist(_) => {}
                _ => panic!("{output:?}"),
            }
        }
    }
    changed
}

fn some_records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec((0u8..4, 0u16..40, 0u64..30), 0..25).prop_map(|list| {
        list.into_iter().map(|(writer, app, millis)| record(writer + 1, app, millis)).collect()
    })
}

fn newest_of(lists: &[&Vec<Record>]) -> BTreeMap<RecordKey, Version> {
    let mut newest = BTreeMap::new();
    for record in lists.iter().copied().flatten() {
        let known = newest.entry(record.key.clone()).or_insert(record.version);
        *known = record.version.max(*known);
    }
    newest
}

fn lost(records: &Records, app: u16) -> Vec<Version> {
    records.lost_of(&about(app)).map(|record| record.version).collect()
}

fn versions(records: &Records) -> BTreeMap<RecordKey, Version> {
    records.iter().map(|record| (record.key.clone(), record.version)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_exchange_makes_two_nodes_equal(ours in some_records(), theirs in some_records()) {
        let (mut here, mut there) = (holding(1, ours.clone()), holding(2, theirs.clone()));
        let differed = here.root() != there.root();
        prop_assert_eq!(exchange(&mut here, &mut there, Time::ZERO), differed);
        let newest = newest_of(&[&ours, &theirs]);
        prop_assert_eq!(versions(&here), newest.clone());
        prop_assert_eq!(versions(&there), newest);
        prop_assert_eq!(here.root(), there.root());
    }

    #[test]
    fn hashes_are_equal_exactly_when_the_sets_are(ours in some_records(), theirs in some_records()) {
        let (mut here, mut there) = (holding(1, ours), holding(2, theirs));
        let equal = versions(&here) == versions(&there);
        prop_assert_eq!(here.root() == there.root(), equal);
    }

    #[test]
    fn the_order_in_which_records_come_does_not_matter(
        list in some_records(),
        order in any::<prop::sample::Index>(),
    ) {
        let mut turned = list.clone();
        if !turned.is_empty() {
            let by = order.index(turned.len());
            turned.rotate_left(by);
        }
        let (mut one, mut other) = (empty(Limits::default()), empty(Limits::default()));
        for record in list.clone() {
            hear(&mut one, push(vec![record]));
        }
        for record in turned {
            hear(&mut other, push(vec![record]));
        }
        prop_assert_eq!(versions(&one), versions(&other));
        // In between, one of them may have taken a replaced record for one that lost.
        let differed = one.root() != other.root();
        prop_assert_eq!(exchange(&mut one, &mut other, Time::ZERO), differed);
        prop_assert_eq!(one.root(), other.root());
        // The cached hashes are those of a set loaded anew.
        let with = |is_lost| move |record: &Arc<Record>| {
            Stored { record: Record::clone(record), is_lost, is_verified: true }
        };
        let all = other.iter().map(with(false)).chain(other.lost().map(with(true)));
        let all: Vec<Stored> = all.collect();
        let mut again = Records::load(node(9), Limits::default(), all, &mut Vec::new());
        prop_assert_eq!(again.root(), other.root());
    }
}

#[test]
fn a_new_record_is_persisted_then_pushed_and_an_old_one_is_not_pushed_again() {
    let mut records = empty(Limits::default());
    for peer in 1..=9 {
        records.peer_up(Time::ZERO, node(peer), &mut Vec::new());
    }
    // Not just after a cut.
    records.fresh.clear();
    let out = hear(&mut records, push(vec![record(1, 1, 0)]));
    assert!(matches!(out[0], Output::Persist(_)));
    assert!(matches!(&out[1], Output::Changed { previous: None, .. }));
    let to: BTreeSet<NodeId> = sent(&out).into_iter().map(|(to, _)| to).collect();
    assert_eq!(to.len(), rumours::BURST as usize);
    assert!(!to.contains(&node(7)), "not to where it came from");
    assert!(hear(&mut records, push(vec![record(1, 1, 0)])).is_empty());
}

#[test]
fn who_pushes_an_old_record_is_told_the_new_one() {
    let new = record(1, 1, 8);
    let mut records = holding(1, [new.clone()]);
    let out = hear(&mut records, push(vec![record(2, 1, 4)]));
    assert!(sent(&out).contains(&(node(7), &push(vec![new]))));
}

#[test]
fn a_tombstone_beats_what_a_node_that_was_away_brings_back() {
    let mut records = holding(1, [record(1, 1, 7)]);
    hear(&mut records, push(vec![record(1, 1, 0)]));
    assert!(records.get(&about(1)).unwrap().is_tombstone());
}

#[test]
fn a_record_that_its_writer_did_not_sign_is_refused_and_the_rest_of_the_message_is_not() {
    let mut forged = record(1, 1, 0);
    forged.version.writer = NodeId::from_bytes(key(2).public());
    let mut records = empty(Limits::default());
    let out = hear(&mut records, push(vec![forged, record(1, 2, 0)]));
    assert!(matches!(refusals(&out)[..], [Refusal::Record(RecordError::BadSignature(_))]));
    assert!(records.get(&about(1)).is_none() && records.get(&about(2)).is_some());
}

#[test]
fn a_record_from_the_future_is_reported_once_and_taken_when_its_time_has_come() {
    let mut records = empty(Limits::default());
    records.peer_up(Time::ZERO, node(3), &mut Vec::new());
    let future = record(1, 1, 100_000);
    let out = hear(&mut records, push(vec![future.clone()]));
    assert!(matches!(refusals(&out)[..], [Refusal::TooFarAhead { .. }]));
    assert_eq!(out.len(), 1);
    assert!(hear(&mut records, push(vec![future.clone()])).is_empty());
    assert_eq!(records.held_back().count(), 1);
    assert!(records.get(&about(1)).is_none());
    let mut out = Vec::new();
    let later = UnixMillis(WALL.0 + 50_000);
    records.tick(Time::ZERO.plus(Duration::from_secs(50)), later, &mut rng(), &mut out);
    assert_eq!(**records.get(&about(1)).unwrap(), future);
    assert!(matches!(out[0], Output::Persist(_)));
    assert_eq!(records.held_back().count(), 0);
    // What this node writes now is after it.
    let own = records.sign(later, &key(1), about(9), RecordBody::Tombstone).unwrap();
    assert!(own.version.at > future.version.at);
}

#[test]
fn what_is_held_back_is_bounded_and_does_not_move_the_clock() {
    let mut records = empty(Limits::default());
    let flood = (0..300).map(|app| record(1, app, 80_000_000_000)).collect();
    let out = hear(&mut records, push(flood));
    assert_eq!(refusals(&out).len(), 300);
    assert_eq!(records.held_back().count(), MAX_HELD_BACK);
    assert_eq!(records.size().0, 0);
    let own = records.sign(WALL, &key(1), about(9), RecordBody::Tombstone).unwrap();
    assert_eq!(own.version.at, Hlc { millis: WALL.0, counter: 0 });
}

#[test]
fn a_full_node_refuses_new_keys_but_takes_changes_and_deletes() {
    let mut records = empty(Limits { records: 2, ..Limits::default() });
    let out = hear(&mut records, push(vec![record(1, 1, 0), record(1, 2, 0), record(1, 3, 0)]));
    assert!(matches!(refusals(&out)[..], [Refusal::Full { records: 2, .. }]));
    let out = hear(&mut records, push(vec![record(1, 1, 4), record(1, 2, 7)]));
    assert!(refusals(&out).is_empty());
    let (_, bytes) = records.size();
    let sum: usize = records.iter().map(|record| set::size(record).unwrap()).sum();
    assert_eq!(bytes, sum);
    let mut full = empty(Limits { bytes: 300, ..Limits::default() });
    let many = (0..9).map(|app| record(1, app, 0)).collect();
    hear(&mut full, push(many));
    assert!(full.size().1 <= 300 && full.size().0 >= 1);
}

#[test]
fn two_records_with_one_version_end_alike_everywhere() {
    let at = Hlc { millis: WALL.0, counter: 0 };
    let app = RecordBody::App(Box::new(App::new("app-1".parse().unwrap())));
    let one = Record::sign(&key(1), about(1), at, app).unwrap();
    let other = Record::sign(&key(1), about(1), at, RecordBody::Tombstone).unwrap();
    let end = |first: &Record, second: &Record| {
        let mut records = empty(Limits::default());
        hear(&mut records, push(vec![first.clone()]));
        let out = hear(&mut records, push(vec![second.clone()]));
        assert!(matches!(refusals(&out)[..], [Refusal::Ambiguous { .. }]));
        records.get(&about(1)).unwrap().body.clone()
    };
    assert_eq!(end(&one, &other), end(&other, &one));
}

#[test]
fn messages_that_make_no_sense_change_nothing() {
    let range = |digits, path| ElementRange { digits, path };
    let hashes = |range| RangeHashes { range, parts: [[7; 16]; 16] };
    let tags = |range| RangeTags { range, tags: vec![[7; 8]] };
    let mut records = holding(1, [record(1, 1, 0)]);
    let root = records.root();
    for message in [
        RecordMessage::Ranges(vec![hashes(range(16, 0))]),
        RecordMessage::Ranges(vec![hashes(range(1, 1))]),
        RecordMessage::Ranges(vec![hashes(range(0, 0)), hashes(range(1, 1 << 60))]),
        RecordMessage::Tags { salt: 1, ranges: vec![tags(range(255, 0))] },
        RecordMessage::Tags { salt: 1, ranges: vec![tags(range(0, 0)), tags(range(0, 0))] },
        RecordMessage::Differ {
            salt: 1,
            lines: vec![],
            unknown: vec![tags(range(200, 3))],
            current: vec![],
            lost: vec![],
        },
    ] {
        let out = hear(&mut records, message);
        assert!(matches!(refusals(&out)[..], [Refusal::Malformed(_)]), "{out:?}");
        assert!(sent(&out).is_empty());
    }
    let nobody = set::current_id(&about(9)).unwrap();
    assert!(hear(&mut records, RecordMessage::Want(vec![nobody])).is_empty());
    assert!(hear(&mut records, RecordMessage::Root(root)).is_empty());
}

#[test]
fn a_record_is_asked_for_once_at_a_time() {
    let theirs = record(1, 1, 0);
    let id = set::current_id(&about(1)).unwrap();
    let lines = vec![(id, theirs.version.at)];
    let message =
        RecordMessage::Differ { salt: 0, lines, unknown: vec![], current: vec![], lost: vec![] };
    let mut records = empty(Limits::default());
    let out = hear(&mut records, message.clone());
    assert_eq!(sent(&out), [(node(7), &RecordMessage::Want(vec![id]))]);
    assert!(hear(&mut records, message.clone()).is_empty());
    let mut out = Vec::new();
    let later = Time::ZERO.plus(PATIENCE);
    records.handle(later, WALL, node(8), message, &mut rng(), &mut out);
    assert_eq!(sent(&out), [(node(8), &RecordMessage::Want(vec![id]))]);
}

#[test]
fn answers_are_cut_and_the_next_rounds_bring_the_rest() {
    let limits = Limits { message_bytes: 2000, answer_bytes: 6000, ..Limits::default() };
    let ours = (0..150).map(|app| stored(record(1, app, 0)));
    let mut here = Records::load(node(1), limits, ours, &mut Vec::new());
    let mut there = Records::load(node(2), limits, [], &mut Vec::new());
    let all = (0..150).map(|app| set::current_id(&about(app)).unwrap()).collect();
    let out = hear(&mut here, RecordMessage::Want(all));
    let lengths: Vec<usize> =
        sent(&out).iter().map(|(_, message)| wire::encode(message).unwrap().len()).collect();
    assert!(lengths.iter().all(|length| *length <= 2100), "{lengths:?}");
    assert!(lengths.len() > 1 && lengths.iter().sum::<usize>() <= 6300, "{lengths:?}");
    let mut rounds = 0;
    let mut now = Time::ZERO;
    while here.root() != there.root() {
        exchange(&mut here, &mut there, now);
        now = now.plus(ROUND);
        rounds += 1;
        assert!(rounds < 30, "{:?} of 150", there.size());
    }
    assert!(rounds > 1);
}

#[test]
fn a_damaged_record_in_the_store_is_reported_and_comes_back_from_a_peer() {
    let mut damaged = record(1, 1, 0);
    damaged.version.at.counter += 1;
    let mut out = Vec::new();
    let on_disk = [damaged, record(1, 2, 0)].map(stored);
    let mut here = Records::load(node(1), Limits::default(), on_disk, &mut out);
    assert!(matches!(refusals(&out)[..], [Refusal::Record(RecordError::BadSignature(_))]));
    assert_eq!(here.size().0, 1);
    let mut there = holding(2, [record(1, 1, 0)]);
    exchange(&mut here, &mut there, Time::ZERO);
    assert_eq!(here.size().0, 2);
}

#[test]
fn a_local_record_must_be_newer_than_what_is_known() {
    let mut records = holding(1, [record(9, 1, 500)]);
    let mut put = |record| records.put(Time::ZERO, WALL, record, &mut rng(), &mut Vec::new());
    assert!(matches!(put(record(1, 1, 400)), Err(Refusal::Older { .. })));
    let mine = records.sign(WALL, &key(1), about(1), RecordBody::Tombstone).unwrap();
    assert!(mine.version.at > record(9, 1, 500).version.at && mine.knew(record(9, 1, 500).version));
    let mut out = Vec::new();
    records.put(Time::ZERO, WALL, mine, &mut rng(), &mut out).unwrap();
    assert!(matches!(&out[1], Output::Changed { previous: Some(_), .. }));
}

#[test]
fn an_idle_round_is_one_short_message() {
    let mut records = holding(1, (0..50).map(|app| record(1, app, 0)));
    for peer in 2..9 {
        records.peer_up(Time::ZERO, node(peer), &mut Vec::new());
    }
    let mut rng = rng();
    let (mut now, mut bytes) = (Time::ZERO, 0);
    for _ in 0..10 {
        now = now.max(records.wake_at());
        let mut out = Vec::new();
        records.tick(now, WALL, &mut rng, &mut out);
        bytes += sent(&out).iter().map(|(_, m)| wire::encode(m).unwrap().len()).sum::<usize>();
        assert_eq!(out.len(), 1);
    }
    assert!(now.elapsed() > Duration::from_secs(8) && bytes < 400, "{bytes} in {now:?}");
}
