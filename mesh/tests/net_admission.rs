//! Who has no good papers gets nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::time::Duration;

use futures::AsyncWriteExt as _;
use net_common::raw::{Host, Raw, framed, hear, hello, rest, say};
use net_common::*;
use wattle_contracts::id::{MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::Paper;
use wattle_contracts::wire::{self, Greeting, Hello, Knock};
use wattle_mesh::net::{Mesh, MeshConfig, WallClock};

const DAY: u64 = 24 * 3600 * 1000;

fn now() -> u64 {
    WallClock::default().now().0
}

/// What nobody outside is told.
struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Gives a node something to say of itself, which is not said.
    fn of(config: &mut MeshConfig) -> Self {
        let labels = [("cell", "vault"), ("role", "treasury")];
        config.about.labels = labels.map(|(name, is)| (name.to_string(), is.to_string())).into();
        config.about.version = "9.8.7".into();
        let (mesh, paper) = (config.mesh(), wire::encode(&config.paper).unwrap());
        let mut secrets: Vec<Vec<u8>> = paper.windows(16).map(<[u8]>::to_vec).collect();
        secrets.push(mesh.as_bytes().to_vec());
        let id = mesh.to_string();
        let texts = [&id["mesh:".len()..], "vault", "treasury", "9.8.7"];
        secrets.extend(texts.map(|text| text.as_bytes().to_vec()));
        Self(secrets)
    }

    fn are_kept(&self, heard: &[u8]) {
        for secret in &self.0 {
            let tells = heard.windows(secret.len()).any(|part| part == secret);
            let (secret, heard) = (String::from_utf8_lossy(secret), String::from_utf8_lossy(heard));
            assert!(!tells, "{secret:?} is told: {heard:?}");
        }
    }
}

/// Somebody else's mesh.
fn elsewhere() -> MeshId {
    MeshId::from_bytes(Raw::key(50).public())
}

/// Shows this to `mesh`, as one who knows its id, and expects to be refused, for this reason, with
/// nothing else said.
async fn is_refused(mesh: &Mesh, secrets: &Secrets, shown: Hello, reason: &str) {
    let refused = mesh.metrics().papers_refused;
    let mut raw = Raw::connect(9, mesh).await;
    let (mut door, answer) = raw.show(mesh.mesh_id(), mesh.node_id(), shown).await;
    let Greeting::Refused { reason: given } = &answer else {
        panic!("{answer:?}, where refused was expected: {reason}");
    };
    assert!(given.contains(reason), "{given}");
    secrets.are_kept(&framed(&answer));
    assert_eq!(rest(&mut door).await, b"", "more than the verdict");
    let _ = door.close().await;
    raw.until_closed().await;
    eventually("it is counted", || mesh.metrics().papers_refused == refused + 1).await;
    assert!(mesh.view().node(raw.node).is_none());
    assert_eq!(mesh.metrics().connections_opened, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_papers_are_refused_and_nothing_else_is_exchanged() {
    let world = World::new();
    let mut config = world.config(1);
    let secrets = Secrets::of(&mut config);
    let mesh = start(config).await;
    let rogue = SigningKey::generate().unwrap();
    let id: NodeId = Raw::id(9);

    let foreign = paper(&rogue, id, now(), None);
    is_refused(&mesh, &secrets, hello(foreign.clone()), "the paper is for mesh:").await;

    let mut forged: Paper = foreign;
    forged.body.mesh = world.mesh();
    is_refused(&mesh, &secrets, hello(forged), "not signed by the authority").await;

    let expired = paper(&world.authority, id, now() - 2 * DAY, Some(now() - DAY));
    is_refused(&mesh, &secrets, hello(expired), "ran out").await;

    let somebodys = paper(&world.authority, Raw::id(8), now(), None);
    is_refused(&mesh, &secrets, hello(somebodys), "its bearer is").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_told_one_word_whatever_it_says() {
    let world = World::new();
    let mut config = world.config(1);
    let secrets = Secrets::of(&mut config);
    let mesh = start(config).await;
    let (ours, node, stranger) = (world.mesh(), mesh.node_id(), Raw::id(9));
    let good = paper(&world.authority, stranger, now(), None);
    let knock = |mesh, from, to| framed(&Greeting::Knock(Knock::new(mesh, from, to)));
    let refusal = |reason: &str| framed(&Greeting::Refused { reason: reason.into() });
    let said = [
        ("a knock of another mesh", knock(elsewhere(), stranger, node)),
        ("what another node said to this one", knock(ours, Raw::id(8), node)),
        ("what was meant for another node", knock(ours, stranger, Raw::id(8))),
        ("what this node would say", knock(ours, node, stranger)),
        ("a good paper", framed(&Greeting::Hello(Box::new(hello(good.clone()))))),
        ("a bare paper", framed(&good)),
        ("a verdict", framed(&Greeting::Admitted)),
        ("a refusal", refusal("because")),
        ("a long refusal", refusal(&"because".repeat(1000))),
        ("rubbish", vec![0xff; 1000]),
    ];
    for (what, bytes) in said {
        let refused = mesh.metrics().papers_refused;
        let mut raw = Raw::connect(9, &mesh).await;
        let mut door = raw.open().await;
        door.write_all(&bytes).await.unwrap();
        door.flush().await.unwrap();
        let heard = rest(&mut door).await;
        assert_eq!(heard, framed(&Greeting::stranger()), "{what}");
        secrets.are_kept(&heard);
        let _ = door.close().await;
        raw.until_closed().await;
        eventually(what, || mesh.metrics().papers_refused == refused + 1).await;
    }
    assert_eq!(mesh.metrics().connections_opened, 0);
    assert_eq!(mesh.view().nodes.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_without_knowing_the_mesh_never_sees_a_paper() {
    let world = World::new();
    let mut host = Host::listen(9).await;
    let mut config = world.config(1);
    let secrets = Secrets::of(&mut config);
    config.join = vec![host.address.to_string().parse().unwrap()];
    let mesh = start(config).await;
    let good = paper(&world.authority, host.node, now(), None);
    for turn in 0..5 {
        let next = tokio::time::timeout(PATIENCE, host.next()).await;
        let (node, connection, mut stream) = next.expect("it does not dial again");
        let Greeting::Knock(knock) = hear(&mut stream).await.unwrap() else {
            panic!("it does not knock first");
        };
        assert_eq!(node, mesh.node_id());
        assert!(knock.is_of(world.mesh(), node, host.node));
        secrets.are_kept(&framed(&Greeting::Knock(knock.clone())));
        let answer = match turn {
            0 => Greeting::Knock(knock),
            1 => Greeting::Knock(Knock::new(elsewhere(), host.node, node)),
            2 => Greeting::Admitted,
            3 => Greeting::Hello(Box::new(hello(good.clone()))),
            _ => Greeting::Refused { reason: "not today".into() },
        };
        say(&mut stream, &answer).await.unwrap();
        let heard = rest(&mut stream).await;
        match answer {
            Greeting::Refused { .. } => assert_eq!(heard, b""),
            _ => assert_eq!(heard, framed(&Greeting::stranger()), "{answer:?}"),
        }
        drop((stream, connection));
    }
    eventually("all is counted", || {
        let metrics = mesh.metrics();
        metrics.papers_refused >= 4 && metrics.refused_by_peers >= 1
    })
    .await;
    assert_eq!(mesh.metrics().connections_opened, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_the_mesh_is_told_of_another_version() {
    let world = World::new();
    let mut config = world.config(1);
    let secrets = Secrets::of(&mut config);
    let mesh = start(config).await;
    let mut raw = Raw::connect(9, &mesh).await;
    let mut door = raw.open().await;
    let knock = Knock::new(world.mesh(), raw.node, mesh.node_id());
    say(&mut door, &Greeting::Knock(Knock { version: 99, ..knock })).await.unwrap();
    let answer: Greeting = hear(&mut door).await.unwrap();
    let Greeting::Refused { reason } = &answer else { panic!("{answer:?}") };
    assert!(reason.contains("version 99"), "{reason}");
    assert!(reason.contains(&format!("version {}", wire::VERSION)), "{reason}");
    secrets.are_kept(&framed(&answer));
    assert_eq!(rest(&mut door).await, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_stream_before_the_paper_ends_the_connection() {
    let world = World::new();
    let mut config = world.config(1);
    // It is not for being slow that it is closed.
    config.timing.admission = 4 * PATIENCE;
    let mesh = start(config).await;
    let mut raw = Raw::connect(9, &mesh).await;
    let mut door = raw.open().await;
    let knock = Knock::new(world.mesh(), raw.node, mesh.node_id());
    say(&mut door, &Greeting::Knock(knock)).await.unwrap();
    let answer: Greeting = hear(&mut door).await.unwrap();
    assert!(matches!(answer, Greeting::Knock(_)), "{answer:?}");
    let mut another = raw.open().await;
    another.write_all(b"?").await.unwrap();
    another.flush().await.unwrap();
    let closed = tokio::time::timeout(PATIENCE, raw.until_closed()).await;
    closed.expect("the connection still stands");
    eventually("it is counted", || mesh.metrics().admissions_failed == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_and_silence_at_the_door_end_soon() {
    let world = World::new();
    let mut config = world.config(1);
    config.timing.admission = Duration::from_millis(300);
    let mesh = start(config).await;

    let mut rubbish = Raw::connect(9, &mesh).await;
    let mut door = rubbish.open().await;
    door.write_all(&[0xff; 1000]).await.unwrap();
    assert!(matches!(hear(&mut door).await.unwrap(), Greeting::Refused { .. }));
    drop(door);
    rubbish.until_closed().await;

    let mut silent = Raw::connect(8, &mesh).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), silent.until_closed()).await;
    ended.expect("the silent one is still there");
    eventually("it is counted", || mesh.metrics().papers_refused == 1).await;
    assert_eq!(mesh.metrics().admissions_failed, 1);
    assert_eq!(mesh.view().nodes.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_papers_are_enough() {
    let world = World::new();
    let mesh = start(world.config(1)).await;
    let paper = paper(&world.authority, Raw::id(9), now(), None);
    let raw = Raw::admitted(9, &mesh, paper).await;
    eventually("it is a connection", || mesh.metrics().connections_opened == 1).await;
    drop(raw);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_two_meshes_stay_apart_and_both_know_why() {
    let (world, elsewhere) = (World::new(), World::new());
    let one = start(world.config(1)).await;
    let two = start(elsewhere.joining(2, &one)).await;
    eventually("both have counted it", || {
        one.metrics().papers_refused > 0 && two.metrics().refused_by_peers > 0
    })
    .await;
    assert_eq!(one.view().nodes.len(), 1);
    assert_eq!(two.view().nodes.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialler_is_as_strict_as_a_listener() {
    let world = World::new();
    let mut config = world.config(1);
    config.paper = paper(&world.authority, config.node(), now(), Some(now() + DAY));
    let one = start(config).await;
    // By this one's clock, the other's paper has run out.
    let mut config = world.joining(2, &one);
    config.clock = WallClock { ahead_millis: 2 * DAY as i64 };
    let two = start(config).await;
    eventually("both have counted it", || {
        two.metrics().papers_refused > 0 && one.metrics().refused_by_peers > 0
    })
    .await;
    assert_eq!(one.view().nodes.len(), 1);
    assert_eq!(one.metrics().connections_opened, 0);
}
