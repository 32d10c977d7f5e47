//! Papers that are renewed without the authority, and who tries more than that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::time::Duration;

use net_common::raw::{Raw, hello};
use net_common::*;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Hlc, Record, RecordBody, RecordKey, Revocation, Revoked};
use wattle_contracts::trust::{Delegation, DelegationBody, Paper, UnixMillis};
use wattle_mesh::net::{Mesh, MeshConfig, WallClock};

const TOLERANCE: u64 = Paper::CLOCK_TOLERANCE.as_millis() as u64;

/// Long enough to be renewed on a busy machine, in milliseconds.
const LEFT: u64 = 15_000;

fn now() -> u64 {
    WallClock::default().now().0
}

fn delegation(world: &World, renewer: NodeId, papers: Duration) -> Delegation {
    let issued = UnixMillis(now());
    let expires = issued.plus(Duration::from_secs(3600));
    let body = DelegationBody { mesh: world.mesh(), renewer, papers, issued, expires };
    Delegation::sign(&world.authority, body).unwrap()
}

/// What the authority says.
async fn say_so(world: &World, mesh: &Mesh, about: RecordKey, body: RecordBody) {
    let at = Hlc { millis: now(), counter: 0 };
    mesh.take_record(Record::sign(&world.authority, about, at, body).unwrap()).await.unwrap();
}

async fn make_renewer(world: &World, mesh: &Mesh, renewer: NodeId, papers: Duration) {
    let body = RecordBody::Renewer(Box::new(delegation(world, renewer, papers)));
    say_so(world, mesh, RecordKey::Renewer(renewer), body).await;
}

/// With a paper that ends, with what clocks may be apart, `left` from now.
fn ending(world: &World, mut config: MeshConfig, left: u64) -> MeshConfig {
    let end = now() + left - TOLERANCE;
    config.paper = paper(&world.authority, config.node(), end - 60_000, Some(end));
    config
}

async fn is_refused(number: u8, mesh: &Mesh, paper: Paper, why: &str) {
    let raw = Raw::connect(number, mesh).await;
    raw.expect_refused(mesh.mesh_id(), mesh.node_id(), hello(paper), why).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_renewed_stays_when_the_old_paper_has_run_out_and_who_is_revoked_is_not_renewed() {
    let world = World::new();
    let one = start(world.config(1)).await;
    // Both papers are over, but for what clocks may be apart.
    let two = start(ending(&world, world.joining(2, &one), LEFT)).await;
    let end = now() + LEFT;
    let thief = paper(&world.authority, Raw::id(9), end - TOLERANCE - 1, Some(end - TOLERANCE));
    let admitted = Raw::admitted(9, &one, thief.clone()).await;
    all_connected(&[&one, &two]).await;
    say_so(
        &world,
        &one,
        RecordKey::Revocation(Revoked::Node(Raw::id(9))),
        RecordBody::Revocation(Revocation::default()),
    )
    .await;
    make_renewer(&world, &one, one.node_id(), Duration::from_secs(3600)).await;
    let mut own = two.watch_paper();
    let came = own.wait_for(|paper| paper.renewal.is_some());
    tokio::time::timeout(PATIENCE, came).await.expect("it is renewed").unwrap();
    assert!(one.records().get(&RecordKey::Renewed(two.node_id())).is_some());
    assert_eq!(one.metrics().papers_renewed, 1);
    eventually("the old paper is over", || now() > end + 500).await;
    assert!(one.view().node(two.node_id()).is_some_and(|node| node.connected));
    assert!(one.records().get(&RecordKey::Renewed(Raw::id(9))).is_none());
    assert_eq!(one.metrics().papers_renewed, 1);
    drop(admitted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewer_admits_nobody_and_brings_no_revoked_node_back() {
    let world = World::new();
    let one = start(world.config(1)).await;
    let renewer = Raw::key(7);
    let hour = Duration::from_secs(3600);
    make_renewer(&world, &one, Raw::id(7), hour).await;
    let right = delegation(&world, Raw::id(7), hour);
    let at = UnixMillis(now());
    let renew = |paper: &Paper| paper.renew(right.clone(), &renewer, at).unwrap();

    // A paper that it signs itself, and one of its own with another name.
    let mut forged = paper(&renewer, Raw::id(9), now(), None);
    forged.body.mesh = world.mesh();
    is_refused(9, &one, renew(&forged), "not signed by the authority").await;
    let mut renamed = paper(&world.authority, Raw::id(7), now(), None);
    renamed.body.node = Raw::id(9);
    is_refused(9, &one, renew(&renamed), "not signed by the authority").await;
    // Whom a member is said to know is not known by that.
    let body = RecordBody::Renewed(Box::new(renew(&forged)));
    let refused = one.put_record(RecordKey::Renewed(Raw::id(9)), body).await.unwrap_err();
    assert!(refused.to_string().contains("not signed by the authority"), "{refused}");

    // A member that is revoked, its old paper over, with a renewal of it.
    let old =
        paper(&world.authority, Raw::id(8), now() - 2 * TOLERANCE - 9, Some(now() - TOLERANCE - 9));
    drop(Raw::admitted(8, &one, renew(&old)).await);
    let what = Revoked::Node(Raw::id(8));
    let body = RecordBody::Revocation(Revocation::default());
    say_so(&world, &one, RecordKey::Revocation(what), body).await;
    is_refused(8, &one, renew(&old), "the node was revoked").await;
    let body = RecordBody::Renewed(Box::new(renew(&old)));
    let refused = one.put_record(RecordKey::Renewed(Raw::id(8)), body).await.unwrap_err();
    assert!(refused.to_string().contains("was revoked"), "{refused}");

    // From the moment on that the renewer itself is revoked, nothing that it renewed counts.
    let old =
        paper(&world.authority, Raw::id(6), now() - 2 * TOLERANCE - 9, Some(now() - TOLERANCE - 9));
    drop(Raw::admitted(6, &one, renew(&old)).await);
    let what = Revoked::Renewer(Raw::id(7));
    let body = RecordBody::Revocation(Revocation::default());
    say_so(&world, &one, RecordKey::Revocation(what), body).await;
    is_refused(6, &one, renew(&old), "the paper ran out").await;
}
