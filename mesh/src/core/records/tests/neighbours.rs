//! What peers do that no honest peer does.

use super::*;

fn forged(app: u16) -> Record {
    let mut forged = record(1, app, 0);
    forged.version.writer = NodeId::from_bytes(key(2).public());
    forged
}

/// What `from` says at a time.
fn says(records: &mut Records, from: u8, now: Time, message: RecordMessage) -> Vec<Output> {
    let mut out = Vec::new();
    records.handle(now, WALL, node(from), message, &mut rng(), &mut out);
    out
}

#[test]
fn who_sends_many_bad_records_is_not_listened_to_for_a_while_and_others_are() {
    let mut records = empty(Limits::default());
    let flood: Vec<Record> = (0..MAX_FAULTS as u16).map(forged).collect();
    let out = says(&mut records, 7, Time::ZERO, push(flood));
    assert_eq!(refusals(&out).len(), MAX_FAULTS);
    let good = || push(vec![record(1, 500, 0)]);
    let soon = Time::ZERO.plus(SILENCED / 2);
    assert_eq!(says(&mut records, 7, soon, good()), [Output::Ignored { from: node(7) }]);
    assert!(!says(&mut records, 8, soon, good()).is_empty());
    // One mistake now and then is none of a flood.
    let later = Time::ZERO.plus(SILENCED);
    assert_eq!(refusals(&says(&mut records, 7, later, push(vec![forged(1)]))).len(), 1);
    assert_eq!(records.faults.len(), 1);
}

#[test]
fn frames_of_yesterday_change_nothing_and_are_not_checked_again() {
    let mut records = empty(Limits::default());
    let old: Vec<Record> = (0..50).map(|app| record(1, app, 0)).collect();
    let new: Vec<Record> = (0..50).map(|app| record(1, app, 8)).collect();
    hear(&mut records, push(old.clone()));
    hear(&mut records, push(new.clone()));
    let root = records.root();
    for _ in 0..3 {
        let out = hear(&mut records, push(old.clone()));
        let changes = |output: &&Output| {
            matches!(output, Output::Persist(_) | Output::Changed { .. } | Output::Refused { .. })
        };
        assert_eq!(out.iter().filter(changes).count(), 0, "{out:?}");
        hear(&mut records, push(new.clone()));
    }
    assert_eq!((records.root(), records.lost().count()), (root, 0));
}

#[test]
fn a_record_that_is_too_large_is_refused() {
    let route = wattle_contracts::record::HttpRoute {
        component: "a".parse().unwrap(),
        host: None,
        path: format!("/{}", "x".repeat(Record::MAX_SIZE)),
    };
    let mut app = App::new("app-1".parse().unwrap());
    app.http.push(route);
    let body = RecordBody::App(Box::new(app));
    // Nobody can sign one; so it is one that was signed small, and was blown up on the way.
    let at = Hlc { millis: WALL.0, counter: 0 };
    let signed = Record::sign(&key(1), about(1), at, body.clone());
    assert!(matches!(signed, Err(RecordError::TooLarge { .. })));
    let mut record = record(1, 1, 0);
    record.body = body;
    let out = hear(&mut empty(Limits::default()), push(vec![record]));
    assert!(matches!(refusals(&out)[..], [Refusal::Record(RecordError::TooLarge { .. })]));
}

#[test]
fn false_histories_are_bounded_and_change_nothing_that_holds() {
    let limits = Limits { history: 20, history_per_key: 5, ..Limits::default() };
    let mut records = empty(limits);
    hear(&mut records, push((0..10).map(|app| record(1, app, 400)).collect()));
    let before = versions(&records);
    let flood: Vec<Record> = (0..200u64).map(|nth| record(2, (nth % 50) as u16, nth)).collect();
    hear(&mut records, push_lost(flood));
    assert_eq!(versions(&records), before);
    assert_eq!(records.lost().count(), 20);
    let out = hear(&mut records, push_lost(vec![record(2, 1, 100_000), forged(1)]));
    let reasons = refusals(&out);
    assert!(
        matches!(reasons[..], [Refusal::TooFarAhead { .. }, Refusal::Record(_)]),
        "{reasons:?}"
    );
}

#[test]
fn a_peer_that_wants_everything_again_and_again_gets_one_bounded_answer_each_time() {
    let limits = Limits { message_bytes: 2_000, answer_bytes: 5_000, ..Limits::default() };
    let ours = (0..150).map(|app| stored(record(1, app, 0)));
    let mut records = Records::load(node(0), limits, ours, &mut Vec::new());
    let all = (0..150).map(|app| set::current_id(&about(app)).unwrap());
    let all: Vec<ElementId> = all.chain((0..20_000).map(|_| ElementId([1; 16]))).collect();
    let bytes = |out: &[Output]| -> usize {
        sent(out).iter().map(|(_, message)| wire::encode(message).unwrap().len()).sum()
    };
    for _ in 0..3 {
        assert!(bytes(&hear(&mut records, RecordMessage::Want(all.clone()))) < 6_000);
        assert!(bytes(&hear(&mut records, RecordMessage::Root([1; 32]))) < 6_000);
    }
    assert!(records.wanted.is_empty());
    let lines = (0..100_000u32).map(|nth| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&nth.to_le_bytes());
        (ElementId(id), Hlc { millis: WALL.0, counter: 0 })
    });
    let lines: Vec<_> = lines.collect();
    hear(
        &mut records,
        RecordMessage::Differ { salt: 0, lines, unknown: vec![], current: vec![], lost: vec![] },
    );
    assert_eq!(records.wanted.len(), MAX_WANTED);
}
