//! Two cells: gossip stays within each, records and calls cross.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use net_common::*;
use wattle_contracts::id::{CellName, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{App, RecordBody, RecordKey};
use wattle_mesh::core::cells::ranked;
use wattle_mesh::net::{Load, Mesh, MeshConfig, NodeView, Runs, Standing, View};

fn id(number: u8) -> NodeId {
    NodeId::from_bytes(SigningKey::from_seed([number; 32]).unwrap().public())
}

fn in_cell(mut config: MeshConfig, cell: &str) -> MeshConfig {
    config.about.labels.insert("cell".into(), cell.into());
    config
}

/// Three nodes in each of two cells, by rank in their cell, and the service that all share.
struct Cells {
    north: Vec<Mesh>,
    south: Vec<Mesh>,
    service: Arc<Echo>,
}

fn by_rank(cell: &str, numbers: [u8; 3]) -> Vec<u8> {
    let name: CellName = cell.parse().unwrap();
    let ranked = ranked(&name, numbers.map(id));
    ranked.iter().map(|node| *numbers.iter().find(|n| id(**n) == *node).unwrap()).collect()
}

impl Cells {
    /// Each cell's nodes join at its first ambassador; that of the south at that of the north.
    /// `hidden`: the nodes that are no ambassadors can't be dialled.
    async fn start(world: &World, hidden: bool) -> Self {
        let service = Arc::<Echo>::default();
        let nowhere = |port: u16| format!("/ip4/127.0.0.1/udp/{port}/quic-v1").parse().unwrap();
        let mut cells = Self { north: Vec::new(), south: Vec::new(), service };
        for (cell, numbers) in [("north", [1, 2, 3]), ("south", [4, 5, 6])] {
            let mut meshes: Vec<Mesh> = Vec::new();
            for (place, number) in by_rank(cell, numbers).into_iter().enumerate() {
                let mut config = match (meshes.first(), cells.north.first()) {
                    (Some(first), _) | (None, Some(first)) => world.joining(number, first),
                    (None, None) => world.config(number),
                };
                if hidden && place == 2 {
                    config.advertise = vec![nowhere(u16::from(number))];
                }
                let config = in_cell(config, cell);
                let service = cells.service.clone();
                meshes.push(Mesh::start(config, Arc::<Disk>::default(), service).await.unwrap());
            }
            match cell {
                "north" => cells.north = meshes,
                _ => cells.south = meshes,
            }
        }
        for mesh in cells.all() {
            until(mesh, "all are known", |view| {
                let known = |cell: &str| {
                    let of = |node: &&NodeView| node.cell.as_str() == cell;
                    let up = |node: &&NodeView| {
                        node.standing == Standing::Alive && node.about.labels.contains_key("cell")
                    };
                    view.nodes.values().filter(of).filter(up).count()
                };
                known("north") == 3 && known("south") == 3
            })
            .await;
        }
        cells
    }

    fn all(&self) -> impl Iterator<Item = &Mesh> {
        self.north.iter().chain(&self.south)
    }
}

/// The nodes of the other cell to which `view` shows connections.
fn abroad(view: &View) -> Vec<NodeId> {
    let own = view.nodes.values().find(|node| node.is_self).unwrap().cell.clone();
    let far = view.nodes.values().filter(|node| node.cell != own && node.connected);
    far.map(|node| node.id).collect()
}

async fn declare(mesh: &Mesh, name: &str) -> RecordKey {
    let name = name.parse::<wattle_contracts::id::AppName>().unwrap();
    let key = RecordKey::App(name.clone());
    mesh.put_record(key.clone(), RecordBody::App(Box::new(App::new(name)))).await.unwrap();
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_stays_in_its_cell_and_records_cross() {
    let world = World::new();
    let cells = Cells::start(&world, false).await;
    for (mesh, place) in cells.all().zip([0, 1, 2, 0, 1, 2]) {
        let links = if place < 2 { 1 } else { 0 };
        until(mesh, "ambassadors alone are connected", |view| abroad(view).len() == links).await;
    }
    // What is gossiped is known in the cell only, but for what a summary holds.
    let runs = Runs {
        components: BTreeMap::from([("shop/basket".parse().unwrap(), Default::default())]),
        ..Runs::default()
    };
    let speaker = &cells.north[2];
    speaker.say_runs(&runs).unwrap();
    speaker.say_load(&Load { busy: 7, ..Load::default() }).unwrap();
    let me = speaker.node_id();
    for mesh in cells.all() {
        until(mesh, "what it runs", |view| {
            view.node(me).unwrap().runs.components == runs.components
        })
        .await;
    }
    until(&cells.north[0], "its load", |view| view.node(me).unwrap().load.busy == 7).await;
    for mesh in &cells.south {
        assert_eq!(mesh.view().node(me).unwrap().load.busy, 0);
        assert!(mesh.view().node(me).unwrap().told);
    }
    // Records cross in both directions.
    for (writer, name) in [(&cells.north[2], "from-north"), (&cells.south[2], "from-south")] {
        let key = declare(writer, name).await;
        for mesh in cells.all() {
            let mut records = mesh.watch_records();
            let here = records.wait_for(|records| records.get(&key).is_some());
            tokio::time::timeout(PATIENCE, here).await.expect("the record crosses").unwrap();
        }
    }
    let written: u64 = cells.all().map(|mesh| mesh.metrics().summaries_written).sum();
    println!("summaries written: {written}");
    assert_eq!(cells.all().map(|mesh| mesh.metrics().gossip_refused).sum::<u64>(), 0);
    assert!(cells.north[0].metrics().cell_bytes_sent > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_called_in_another_cell_is_connected_to() {
    let world = World::new();
    let cells = Cells::start(&world, false).await;
    let (caller, callee) = (&cells.north[2], &cells.south[2]);
    let to = callee.node_id();
    until(caller, "it can be called", |view| view.node(to).unwrap().is_reachable()).await;
    let reply = caller.call(to, header("echo"), "hello".into(), None).await.unwrap();
    assert_eq!(reply.payload, "hello");
    until(caller, "straight", |view| view.node(to).unwrap().connected).await;
    let detoured = caller.metrics().calls_detoured;
    let who = caller.call(to, header("who"), Bytes::new(), None).await.unwrap();
    assert_eq!(who.payload, caller.node_id().to_string());
    assert_eq!(caller.metrics().calls_detoured, detoured);
    // That makes neither an ambassador.
    assert_eq!(caller.metrics().ambassador_terms + callee.metrics().ambassador_terms, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_through_ambassadors_where_there_is_no_straight_way() {
    let world = World::new();
    let cells = Cells::start(&world, true).await;
    let (caller, callee) = (&cells.north[2], &cells.south[2]);
    let to = callee.node_id();
    until(caller, "it can be called", |view| view.node(to).unwrap().via.is_some()).await;
    for _ in 0..10 {
        let reply = caller.call(to, header("echo"), "hello".into(), None).await.unwrap();
        assert_eq!(reply.payload, "hello");
    }
    let path = cells.service.path.lock().unwrap().clone();
    assert_eq!(path.len(), 2, "{path:?}");
    assert_eq!(path[0], caller.node_id());
    assert_eq!(caller.metrics().calls_detoured, 10);
    let relayed: u64 = cells.all().map(|mesh| mesh.metrics().calls_relayed).sum();
    assert_eq!(relayed, 20);
    assert!(!caller.view().node(to).unwrap().connected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambassador_that_dies_is_replaced() {
    let world = World::new();
    let mut cells = Cells::start(&world, false).await;
    until(&cells.north[0], "they are joined", |view| abroad(view).len() == 1).await;
    until(&cells.north[1], "they are joined", |view| abroad(view).len() == 1).await;
    // The first of both cells: the one that writes the summary, and its opposite.
    let dead = [cells.north.remove(0), cells.south.remove(0)].map(|mesh| mesh.node_id());
    let key = declare(&cells.north[1], "after").await;
    for mesh in cells.all() {
        let mut records = mesh.watch_records();
        let here = records.wait_for(|records| records.get(&key).is_some());
        tokio::time::timeout(PATIENCE, here).await.expect("the record crosses").unwrap();
    }
    for mesh in cells.all() {
        until(mesh, "all are ambassadors now", |view| abroad(view).len() == 1).await;
        assert_eq!(mesh.metrics().ambassador_terms, 1);
        until(mesh, "the dead are told of no more", |view| {
            let gone = |id| view.node(id).is_none_or(|node| node.standing != Standing::Alive);
            dead.into_iter().all(gone)
        })
        .await;
    }
}
