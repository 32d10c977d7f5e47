//! What a node does with what a peer says of records.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use wattle_contracts::control::{
    ElementId, ElementRange, MAX_CONTROL, NOTHING, RangeHashes, RangeTags, RecordMessage,
};
use wattle_contracts::record::{App, Hlc, Record, RecordBody, RecordKey};
use wattle_contracts::trust::UnixMillis;
use wattle_contracts::wire;
use wattle_mesh::core::records::{Limits, Output, Records, Stored, Write};
use wattle_mesh::core::time::Time;

const WALL: UnixMillis = UnixMillis(1_800_000_000_000);

const LIMITS: Limits = Limits {
    records: 200,
    bytes: 128 * 1024,
    message_bytes: 2 * 1024,
    answer_bytes: 8 * 1024,
    history: 16,
    history_per_key: 4,
};

/// The most messages of one input.
const MESSAGES: usize = 16;

/// Whatever a peer says: what is kept was signed, in bounds, and made durable before anything is
/// said of it; answers are messages, and no longer than they may be; and what was known is still
/// there, or something newer.
pub fn holds(data: &[u8]) {
    let Ok(messages) = wire::decode::<Vec<RecordMessage>>(data) else { return };
    let mut records = holding();
    let before: Vec<(RecordKey, _)> =
        records.iter().map(|record| (record.key.clone(), record.version)).collect();
    let mut rng = SmallRng::seed_from_u64(3);
    for message in messages.into_iter().take(MESSAGES) {
        let mut out = Vec::new();
        records.handle(Time::ZERO, WALL, super::node(7), message, &mut rng, &mut out);
        is_sound(&out);
        let (count, bytes) = records.size();
        assert!(count <= LIMITS.records, "{count} records");
        // A tombstone is always taken, also where it is longer than what it deletes.
        assert!(bytes <= LIMITS.bytes + count * 1024, "{bytes} bytes");
        assert!(records.lost().count() <= LIMITS.history);
        assert!(records.held_back().count() <= 256);
    }
    for (key, version) in before {
        assert!(records.version(&key).is_some_and(|now| now >= version), "{key} went backwards");
    }
}

fn is_sound(out: &[Output]) {
    let (mut said, mut sent) = (0, BTreeSet::new());
    for output in out {
        match output {
            Output::Send { message, .. } => {
                let bytes = wire::encode(message).unwrap();
                assert!(bytes.len() <= MAX_CONTROL, "{} bytes", bytes.len());
                said += bytes.len();
                sent.insert(bytes);
            }
            Output::Persist(Write::Current(record) | Write::Lost(record)) => {
                record.verify().unwrap();
                assert!(sent.is_empty(), "said before it was durable");
            }
            _ => {}
        }
    }
    // What is cut to fit into an answer are three lists: hashes, tags, and lines with records.
    assert!(said <= 4 * LIMITS.answer_bytes, "{said} bytes of answer");
}

/// A node with so many records that comparing has something to cut.
fn holding() -> Records {
    thread_local! {
        static RECORDS: OnceCell<Vec<Record>> = const { OnceCell::new() };
    }
    let records = RECORDS.with(|made| made.get_or_init(|| (0..150).map(record).collect()).clone());
    let stored =
        records.into_iter().map(|record| Stored { record, is_lost: false, is_verified: true });
    let mut out = Vec::new();
    let records = Records::load(super::node(0), LIMITS, stored, &mut out);
    assert!(out.is_empty(), "{out:?}");
    records
}

fn record(number: u64) -> Record {
    let name = format!("app-{number}").parse().unwrap();
    let key = RecordKey::App(name);
    let RecordKey::App(name) = &key else { unreachable!() };
    let body = match number % 4 {
        3 => RecordBody::Tombstone,
        _ => RecordBody::App(Box::new(App::new(name.clone()))),
    };
    let at = Hlc { millis: WALL.0 - 1000 + number, counter: 0 };
    Record::sign(&super::member(), key, at, body).unwrap()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let all = ElementRange { digits: 0, path: 0 };
    let part = ElementRange { digits: 1, path: 0xa << 60 };
    let hashes = |range| RangeHashes { range, parts: [[1; 16]; 16] };
    let tags = |range| RangeTags { range, tags: vec![[1; 8], [2; 8]] };
    let lines = vec![(ElementId([5; 16]), Hlc { millis: WALL.0, counter: 1 })];
    let newer = {
        let at = Hlc { millis: WALL.0 + 5, counter: 0 };
        let (old, key) = (record(0), RecordKey::App("app-0".parse().unwrap()));
        Record::sign_after(&super::member(), key, at, Some(&old), RecordBody::Tombstone).unwrap()
    };
    // Of another writer, who did not know the first.
    let aside = {
        let other = wattle_contracts::key::SigningKey::from_seed([5; 32]).unwrap();
        let at = Hlc { millis: WALL.0 - 2000, counter: 0 };
        let key = RecordKey::App("app-1".parse().unwrap());
        Record::sign(&other, key, at, RecordBody::Tombstone).unwrap()
    };
    let far = {
        let at = Hlc { millis: WALL.0 + 86_400_000, counter: 0 };
        let key = RecordKey::App("far".parse().unwrap());
        Record::sign(&super::member(), key, at, RecordBody::Tombstone).unwrap()
    };
    let differ = RecordMessage::Differ {
        salt: 7,
        lines: lines.clone(),
        unknown: vec![tags(all)],
        current: vec![record(200)],
        lost: vec![aside.clone()],
    };
    let messages = [
        vec![RecordMessage::Root([7; 32])],
        vec![RecordMessage::Ranges(vec![hashes(all)]), RecordMessage::Ranges(vec![hashes(part)])],
        vec![RecordMessage::Ranges(vec![RangeHashes { range: all, parts: [NOTHING; 16] }])],
        vec![RecordMessage::Tags { salt: 7, ranges: vec![tags(all)] }],
        vec![RecordMessage::Tags { salt: 7, ranges: vec![tags(part)] }, differ],
        vec![RecordMessage::Push { current: vec![record(200), newer.clone()], lost: vec![aside] }],
        vec![RecordMessage::Push { current: vec![far], lost: vec![newer] }],
        vec![RecordMessage::Have(lines), RecordMessage::Want(vec![ElementId([5; 16])])],
    ];
    messages.iter().map(|messages| wire::encode(messages).unwrap()).collect()
}
