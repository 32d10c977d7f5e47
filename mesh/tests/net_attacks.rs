//! Frames made by hand against a real node, by somebody who was a member, or would like to be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::time::Duration;

use futures::AsyncReadExt as _;
use net_common::raw::{self, Raw, hello, say};
use net_common::*;
use wattle_contracts::control::{Control, RecordMessage};
use wattle_contracts::id::{InviteKey, NodeId, OperatorKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{
    Admin, Admitted, App, Charter, Hlc, Labels, Operator, Record, RecordBody, RecordKey,
    Revocation, Revoked,
};
use wattle_contracts::trust::{Invitation, InvitationBody, Invited, Paper, UnixMillis};
use wattle_contracts::wire::{Greeting, Hello};
use wattle_mesh::net::{Mesh, Standing, WallClock};

const CONTROL: &str = "/wattle/control/1";

fn now() -> u64 {
    WallClock::default().now().0
}

fn write(writer: &SigningKey, millis: u64, about: RecordKey, body: RecordBody) -> Record {
    Record::sign(writer, about, Hlc { millis, counter: 0 }, body).unwrap()
}

fn app(writer: &SigningKey, millis: u64, name: &str) -> Record {
    let app = App::new(name.parse().unwrap());
    write(writer, millis, RecordKey::App(app.name.clone()), RecordBody::App(Box::new(app)))
}

fn revocation(world: &World, what: Revoked) -> Record {
    let body = RecordBody::Revocation(Revocation::default());
    write(&world.authority, now(), RecordKey::Revocation(what), body)
}

async fn push(control: &mut libp2p::quic::Stream, current: Vec<Record>) {
    let message = RecordMessage::Push { current, lost: vec![] };
    raw::say(control, &Control::Records(message)).await.unwrap();
}

/// Shows a greeting, and expects to be refused for this reason.
async fn is_refused(number: u8, mesh: &Mesh, shown: &Hello, why: &str) {
    let raw = Raw::connect(number, mesh).await;
    raw.expect_refused(mesh.mesh_id(), mesh.node_id(), shown.clone(), why).await;
}

/// Waits until the other side has closed a connection, whatever it opened before.
async fn is_closed(mut stream: libp2p::quic::Stream) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    let _ = ended.expect("the connection still stands");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_was_listened_to_is_worth_nothing_to_anybody_else() {
    let world = World::new();
    let mesh = start(world.config(1)).await;
    // What an honest member says, and what the node itself answers.
    let honest = hello(paper(&world.authority, Raw::id(8), now(), None));
    let mut raw = Raw::connect(8, &mesh).await;
    let (mut door, answer) = raw.show(world.mesh(), mesh.node_id(), honest.clone()).await;
    let Greeting::Hello(answered) = answer else { panic!("{answer:?}") };
    say(&mut door, &Greeting::Admitted).await.unwrap();
    eventually("it is in", || mesh.metrics().connections_opened == 1).await;
    for overheard in [honest, *answered] {
        is_refused(9, &mesh, &overheard, "its bearer is").await;
    }
    assert_eq!(mesh.metrics().connections_opened, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_revoked_is_cut_off_and_whatever_it_had_signed_is_void() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let shown = paper(&world.authority, Raw::id(9), now(), None);
    let mut raw = Raw::admitted(9, &two, shown.clone()).await;
    let mut control = raw.open_for(CONTROL).await;
    push(&mut control, vec![app(&Raw::key(9), now(), "theirs")]).await;
    let theirs = RecordKey::App("theirs".parse().unwrap());
    eventually("all have it", || one.records().get(&theirs).is_some()).await;

    one.take_record(revocation(&world, Revoked::Node(Raw::id(9)))).await.unwrap();
    is_closed(control).await;
    for mesh in [&one, &two] {
        eventually("nobody has it", || mesh.records().get(&theirs).is_none()).await;
    }
    assert_eq!(two.metrics().cut_off, 1);
    is_refused(9, &two, &hello(shown), "was revoked").await;
    until(&two, "it is gone", |view| view.node(Raw::id(9)).is_none()).await;

    // Another member brings what the revoked one signed: before, now, and for later.
    let shown = paper(&world.authority, Raw::id(8), now(), None);
    let mut friend = Raw::admitted(8, &two, shown).await;
    let mut control = friend.open_for(CONTROL).await;
    let refused = two.metrics().records_refused;
    let late = [now() - 86_400_000, now(), now() + 1000];
    push(&mut control, late.map(|millis| app(&Raw::key(9), millis, "theirs")).to_vec()).await;
    push(&mut control, vec![app(&Raw::key(8), now(), "fine")]).await;
    let fine = RecordKey::App("fine".parse().unwrap());
    eventually("the friend is listened to", || two.records().get(&fine).is_some()).await;
    assert_eq!(two.metrics().records_refused, refused + 3);
    assert!(two.records().get(&theirs).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_node_key_declares_nothing_where_there_are_operators() {
    let world = World::new();
    let two = start(world.config(2)).await;
    let admin = SigningKey::from_seed([70; 32]).unwrap();
    let operator = SigningKey::from_seed([71; 32]).unwrap();
    let id = |key: &SigningKey| OperatorKey::from_bytes(key.public());
    let named = RecordBody::Admin(Admin { name: "ops".into() });
    let closed = RecordBody::Charter(Charter::default());
    two.take_record(write(&world.authority, now(), RecordKey::Admin(id(&admin)), named.clone()))
        .await
        .unwrap();
    two.take_record(write(&world.authority, now(), RecordKey::Charter, closed)).await.unwrap();
    let apps = ["shop".parse().unwrap()].into();
    let of_shop = RecordBody::Operator(Operator { apps, name: "ann".into(), invitation: None });
    two.take_record(write(&admin, now(), RecordKey::Operator(id(&operator)), of_shop))
        .await
        .unwrap();

    let shown = paper(&world.authority, Raw::id(9), now(), None);
    let mut raw = Raw::admitted(9, &two, shown).await;
    let mut control = raw.open_for(CONTROL).await;
    let node = Raw::key(9);
    let mut beyond = vec![
        // The node declares by itself; makes itself admin; revokes; opens the mesh again.
        app(&node, now(), "shop"),
        write(&node, now(), RecordKey::Admin(id(&node)), named),
        write(
            &node,
            now(),
            RecordKey::Revocation(Revoked::Node(two.node_id())),
            RecordBody::Revocation(Revocation::default()),
        ),
        write(&node, now(), RecordKey::Charter, RecordBody::Charter(Charter::default())),
        // The operator of one app declares another, and revokes.
        app(&operator, now(), "bank"),
        write(
            &operator,
            now(),
            RecordKey::Revocation(Revoked::Operator(id(&admin))),
            RecordBody::Revocation(Revocation::default()),
        ),
    ];
    // Signed by the thief in the operator's name.
    let mut forged = app(&node, now(), "shop");
    forged.version.writer = NodeId::from_bytes(operator.public());
    beyond.push(forged);
    let count = beyond.len() as u64;
    push(&mut control, beyond).await;
    push(&mut control, vec![app(&operator, now(), "shop")]).await;
    let shop = RecordKey::App("shop".parse().unwrap());
    eventually("what the operator may is taken", || two.records().get(&shop).is_some()).await;
    let records = two.records();
    assert_eq!(records.get(&shop).unwrap().version.writer.as_bytes(), &operator.public());
    assert!(records.get(&RecordKey::App("bank".parse().unwrap())).is_none());
    assert_eq!(two.metrics().records_refused, count);
    assert!(!two.rights().is_revoked(two.node_id()));
}

fn invitation(world: &World, key: &SigningKey, uses: u32, labels: Labels) -> Invitation {
    let issued = UnixMillis(now());
    let body = InvitationBody {
        mesh: world.mesh(),
        key: InviteKey::from_bytes(key.public()),
        invited: Invited::Node,
        labels,
        uses,
        issued,
        expires: issued.plus(Duration::from_secs(3600)),
        papers: None,
    };
    Invitation::sign(&world.authority, body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_by_an_invitation_is_written_down_and_is_what_that_says() {
    let world = World::new();
    let key = SigningKey::from_seed([60; 32]).unwrap();
    let labels = Labels::from([("role".into(), "store".into())]);
    let invited = |number| {
        let invitation = invitation(&world, &key, 1, labels.clone());
        Paper::by_invitation(invitation, &key, Raw::id(number), UnixMillis(now())).unwrap()
    };
    let one = start(world.config(1)).await;
    let mut config = world.joining(2, &one);
    config.paper = Paper::by_invitation(
        invitation(&world, &key, 1, labels.clone()),
        &key,
        config.node(),
        UnixMillis(now()),
    )
    .unwrap();
    // It says another thing of itself.
    config.about.labels = Labels::from([("role".into(), "compute".into())]);
    let two = start(config).await;
    all_connected(&[&one, &two]).await;
    let written = RecordKey::Admitted(two.node_id());
    eventually("it is written down", || one.records().get(&written).is_some()).await;
    until(&one, "it is what its invitation says", |view| {
        let said = view.node(two.node_id()).map(|node| &node.about.labels);
        said.is_some_and(|labels| labels.get("role").map(String::as_str) == Some("store"))
    })
    .await;
    // One who has the token and another key comes too late.
    is_refused(9, &one, &hello(invited(9)), "used up").await;
    // Nor does it help to have it written down by a member.
    let forged = Admitted { came: invited(8) };
    let body = RecordBody::Admitted(Box::new(forged));
    let refused = one.put_record(RecordKey::Admitted(Raw::id(8)), body).await.unwrap_err();
    assert!(refused.to_string().contains("used up"), "{refused}");
    is_refused(8, &one, &hello(invited(8)), "used up").await;
    assert!(one.view().node(two.node_id()).is_some_and(|node| node.connected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paper_that_runs_out_ends_the_connection_and_a_new_one_in_time_keeps_it() {
    let world = World::new();
    let one = start(world.config(1)).await;
    // It runs out in ten seconds, with what clocks may be apart.
    let until_then = now() + 10_000;
    let over = UnixMillis(until_then - Paper::CLOCK_TOLERANCE.as_millis() as u64);
    let short = |number| {
        let issued = UnixMillis(over.0 - 1000);
        Paper::issue(&world.authority, Raw::id(number), issued, Some(over)).unwrap()
    };
    let mut config = world.joining(2, &one);
    config.paper = short(2);
    let two = start(config).await;
    let mut config = world.joining(3, &one);
    config.paper = short(3);
    let three = start(config).await;
    for mesh in [&two, &three] {
        until_standing(&one, mesh.node_id(), Standing::Alive).await;
    }
    let new = paper(&world.authority, three.node_id(), now(), None);
    let (key, body) =
        (RecordKey::Renewed(three.node_id()), RecordBody::Renewed(new.clone().into()));
    one.put_record(key, body).await.unwrap();
    let mut own = three.watch_paper();
    // What is borrowed of a channel keeps the node from writing to it: not for longer than this.
    let came = tokio::time::timeout(PATIENCE, own.wait_for(|paper| *paper == new)).await.is_ok();
    assert!(came, "the new paper did not come");

    eventually("the one is cut off", || one.metrics().cut_off > 0).await;
    assert!(now() >= until_then, "too early");
    until(&one, "it is gone", |view| view.node(two.node_id()).is_none_or(|node| !node.connected))
        .await;
    assert!(one.view().node(three.node_id()).is_some_and(|node| node.connected));
    eventually("it does not come back", || {
        one.metrics().papers_refused > 0 || two.metrics().refused_by_peers > 0
    })
    .await;
    assert!(one.view().node(three.node_id()).is_some_and(|node| node.connected));
}
