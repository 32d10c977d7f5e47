//! What a node says of itself is known everywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use net_common::*;
use wattle_contracts::id::Digest;
use wattle_contracts::record::Hlc;
use wattle_mesh::net::{About, Declaration, Load, Mesh, Runs, SayError};

fn runs(component: &str) -> Runs {
    let declaration = Declaration { app: Hlc { millis: 1, counter: 2 }, config: 3 };
    Runs {
        components: [(component.parse().unwrap(), declaration)].into(),
        artifacts: vec![Digest::of(b"wasm")],
        ..Runs::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_hears_what_every_node_says() {
    let world = World::new();
    let hub = start(world.config(1)).await;
    let mut meshes = vec![hub.clone()];
    for number in 2..=5 {
        meshes.push(start(world.joining(number, &hub)).await);
    }
    for (nth, mesh) in meshes.iter().enumerate() {
        let labels = [("nth".to_owned(), nth.to_string())].into();
        let about = About { labels, version: "1.0".into(), http: Some("127.0.0.1:80".into()) };
        mesh.say_about(about).unwrap();
        mesh.say_runs(&runs(&format!("shop/c{nth}"))).unwrap();
        mesh.say_load(&Load { busy: nth as u32, ..Load::default() }).unwrap();
    }
    for mesh in &meshes {
        for (nth, other) in meshes.iter().enumerate() {
            until(mesh, "all is known", |view| {
                view.node(other.node_id()).is_some_and(|node| {
                    node.about.labels.get("nth") == Some(&nth.to_string())
                        && node.runs == runs(&format!("shop/c{nth}"))
                        && node.load.busy == nth as u32
                })
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_is_believed_again() {
    let world = World::new();
    let two = start(world.config(2)).await;
    let one = start(world.joining(1, &two)).await;
    one.say_load(&Load { busy: 7, ..Load::default() }).unwrap();
    let id = one.node_id();
    let busy = |mesh: &Mesh| mesh.view().node(id).map(|node| node.load.busy);
    until(&two, "heard", |_| busy(&two) == Some(7)).await;
    drop(one);
    let one = start(world.joining(1, &two)).await;
    one.say_load(&Load { busy: 8, ..Load::default() }).unwrap();
    until(&two, "heard again", |view| view.node(id).is_some_and(|node| node.load.busy == 8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_too_much_is_told() {
    let world = World::new();
    let one = start(world.config(1)).await;
    let artifacts = (0..10_000u32).map(|nth| Digest::of(&nth.to_le_bytes())).collect();
    let said = one.say_runs(&Runs { artifacts, ..Runs::default() });
    assert!(matches!(said, Err(SayError::TooLong { .. })));
}
