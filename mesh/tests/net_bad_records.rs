//! A peer with good papers that sends bad records, or never reads: it is refused and counted, and
//! the others do not notice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::sync::{Arc, Mutex};

use net_common::raw::{self, Raw};
use net_common::*;
use wattle_contracts::audit::Happening;
use wattle_contracts::control::{Control, ElementId, RecordMessage};
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::record::{App, Hlc, HttpRoute, Record, RecordBody, RecordKey};
use wattle_mesh::net::{Audit, Mesh, WallClock};

const CONTROL: &str = "/wattle/control/1";

/// What a node wants written down.
#[derive(Debug, Default)]
struct Written(Mutex<Vec<Happening>>);

impl Audit for Written {
    fn note(&self, happening: Happening) {
        self.0.lock().unwrap().push(happening);
    }
}

fn key(name: &str) -> RecordKey {
    RecordKey::App(name.parse().unwrap())
}

fn app(name: &str, bytes: usize) -> RecordBody {
    let mut app = App::new(name.parse().unwrap());
    let path = format!("/{}", "x".repeat(bytes));
    app.http.push(HttpRoute { component: "a".parse().unwrap(), host: None, path });
    RecordBody::App(Box::new(app))
}

fn now() -> u64 {
    WallClock::default().now().0
}

fn signed(number: u8, name: &str, millis: u64) -> Record {
    let at = Hlc { millis, counter: 0 };
    Record::sign(&Raw::key(number), key(name), at, app(name, 10)).unwrap()
}

async fn stranger(world: &World, to: &Mesh) -> (Raw, libp2p::quic::Stream) {
    let paper = paper(&world.authority, Raw::id(9), now(), None);
    let mut raw = Raw::admitted(9, to, paper).await;
    let control = raw.open_for(CONTROL).await;
    (raw, control)
}

async fn push(control: &mut libp2p::quic::Stream, records: Vec<Record>) {
    let message = RecordMessage::Push { current: records, lost: vec![] };
    raw::say(control, &Control::Records(message)).await.unwrap();
}

/// The name of the current record of a key, as a peer works it out.
fn element(key: &RecordKey) -> ElementId {
    let digest = Digest::of(&wattle_contracts::wire::encode(&(0u8, key)).unwrap());
    ElementId(digest.as_bytes()[..16].try_into().unwrap())
}

async fn until_holds(mesh: &Mesh, name: &str) {
    let mut records = mesh.watch_records();
    let held = records.wait_for(|records| records.get(&key(name)).is_some());
    tokio::time::timeout(PATIENCE, held).await.expect("it did not come").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_are_refused_and_counted_and_what_is_good_goes_on() {
    let world = World::new();
    let written = Arc::<Written>::default();
    let mut config = world.config(2);
    config.audit = written.clone();
    let two = start(config).await;
    let one = start(world.joining(1, &two)).await;
    all_connected(&[&one, &two]).await;
    let (_raw, mut control) = stranger(&world, &two).await;
    // Not signed by whom it names; from the year 2100.
    let mut forged = signed(9, "forged", now());
    forged.version.writer = Raw::id(8);
    let future = signed(9, "future", 4_102_444_800_000);
    push(&mut control, vec![forged, future, signed(9, "good", now())]).await;
    until_holds(&one, "good").await;
    eventually("both are counted", || two.metrics().records_refused == 2).await;
    assert_eq!(two.metrics().records_held_back, 1);
    eventually("both are written down, with who brought them", || {
        let written = written.0.lock().unwrap();
        let brought = |from: &Option<NodeId>| *from == Some(Raw::id(9));
        let of = |one: &&Happening| {
            matches!(one, Happening::RecordRefused { from, why } if brought(from) && !why.is_empty())
        };
        written.iter().filter(of).count() == 2
    })
    .await;
    assert!(two.records().get(&key("forged")).is_none());
    assert!(two.records().get(&key("future")).is_none());
    let held = |mesh: &Mesh| mesh.records().held_back().map(|r| r.key.clone()).collect::<Vec<_>>();
    eventually("it is shown", || held(&two) == [key("future")]).await;
    // The clocks of the others have not moved.
    let put = one.put_record(key("mine"), app("mine", 10)).await.unwrap();
    assert!(put.version.at.millis <= now());

    // A flood of forgeries: after a hundred, nothing of this peer is looked at.
    let mut forged = signed(9, "forged", now());
    forged.version.at.counter = 1;
    push(&mut control, vec![forged; 200]).await;
    push(&mut control, vec![signed(9, "late", now())]).await;
    eventually("it is ignored", || two.metrics().records_ignored == 1).await;
    one.put_record(key("still"), app("still", 10)).await.unwrap();
    until_holds(&two, "still").await;
    assert!(two.records().get(&key("late")).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_too_long_or_a_message_that_is_too_large_closes_the_stream() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let (_raw, mut control) = stranger(&world, &two).await;
    // A name is checked where it is read, so the message as a whole is malformed.
    let message = RecordMessage::Push { current: vec![signed(9, "short", now())], lost: vec![] };
    let honest = Control::Records(message);
    let bytes = wattle_contracts::wire::encode(&honest).unwrap();
    let at = bytes.windows(5).position(|name| name == b"short").unwrap();
    let long = [&bytes[..at - 1], &[251, 0x00, 0x04], &[b'a'; 1024], &bytes[at + 5..]].concat();
    use futures::AsyncWriteExt as _;
    control.write_all(&(long.len() as u32).to_le_bytes()).await.unwrap();
    control.write_all(&long).await.unwrap();
    eventually("it is counted", || two.metrics().malformed_streams == 1).await;
    one.put_record(key("still"), app("still", 10)).await.unwrap();
    until_holds(&two, "still").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_reads_holds_up_nobody() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let (mut raw, mut control) = stranger(&world, &two).await;
    let _calls = raw.open_for("/wattle/call/1").await;
    until(&two, "it is connected", |view| view.connected() == 2).await;
    let names: Vec<String> = (0..200).map(|number| format!("app-{number}")).collect();
    for name in &names {
        two.put_record(key(name), app(name, 200_000)).await.unwrap();
    }
    // It asks for far more than the stream and the queue take.
    let ids: Vec<ElementId> = names.iter().map(|name| element(&key(name))).collect();
    for _ in 0..40 {
        let want = Control::Records(RecordMessage::Want(ids.clone()));
        raw::say(&mut control, &want).await.unwrap();
    }
    for number in [0, 100, 199] {
        until_holds(&one, &format!("app-{number}")).await;
    }
    eventually("what it did not read is dropped", || two.metrics().control_dropped > 0).await;
}
