//! Another key for a mesh's authority, while the mesh runs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wattle_tests::node::meet;
use wattle_tests::operator::Operator;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up, command};

fn args<const N: usize>(words: [&str; N], key: &Path) -> Vec<OsString> {
    let words = words.map(OsString::from).into_iter();
    words.chain([OsString::from("--key"), key.into()]).collect()
}

async fn rotate(mesh: &TestMesh, by: &TestNode, grace: &str) -> PathBuf {
    let out = mesh.folder().join("next.key");
    let mut all = args(["mesh", "rotate", "--grace", grace], mesh.key());
    all.extend([OsString::from("--out"), out.clone().into()]);
    let said = by.verb(all).await.ok();
    assert!(said.contains("nodes have a paper by it"), "{said}");
    out
}

/// The authority's key, as this node knows it.
async fn authority(node: &TestNode) -> String {
    let reply: Value = node.verb(["operator", "ls", "--json"]).await.json();
    reply["authority"].as_str().unwrap().to_owned()
}

async fn agree(nodes: &[&TestNode], other_than: &str) {
    eventually("all know the new key", PATIENCE, async || {
        let mut known = Vec::new();
        for node in nodes {
            known.push(authority(node).await);
        }
        holds(known.iter().all(|key| key == &known[0] && key != other_than), known)
    })
    .await;
}

async fn is_back(by: &TestNode, node: &TestNode) {
    eventually("it is back", PATIENCE, async || {
        let nodes = by.nodes().await;
        holds(nodes.get(node.id()).is_some_and(|one| one.connected), nodes)
    })
    .await;
}

#[tokio::test]
async fn a_mesh_goes_on_under_another_key_and_the_old_one_opens_nothing_any_more() {
    let mesh = TestMesh::new().await;
    let invite = mesh.invite(["--uses", "2"]).await;
    let b = mesh.node("b").invited(&invite.token);
    let [a, mut b, mut c] = Up::start_all([mesh.node("a"), b, mesh.node("c")]).await;
    meet(&[&a, &b, &c], PATIENCE).await;
    let before = authority(&a).await;
    // One is away while it happens, for longer than the old key counts.
    c.kill();
    let next = rotate(&mesh, &a, "0").await;
    agree(&[&a, &b], &before).await;

    // Nobody was cut off, and who was away comes back: the records have a paper for it.
    c.restart().await;
    is_back(&a, &c).await;
    agree(&[&a, &b, &c], &before).await;
    b.restart().await;
    is_back(&a, &b).await;
    for node in [&a, &b, &c] {
        assert_eq!(node.metrics().await.counter("cut_off"), 0, "{}", node.name());
    }

    // What the old key says does not count, whoever has it; what the new one says does.
    let eve = Operator::new(&mesh, "eve").await;
    let add = ["operator", "add", eve.public(), "--name", "eve", "--role", "admin"];
    let refused = b.verb(args(add, mesh.key())).await.refused();
    assert!(refused.contains("has another key now"), "{refused}");
    b.verb(args(add, &next)).await.ok();

    // Nor does it let anybody in, with the invitation that it signed or one of today.
    let late = mesh.node("late").invited(&invite.token).start().await;
    late.has_logged("a key that the mesh's authority had before").await;
    let nodes = a.nodes().await;
    assert!(nodes.get(late.id()).is_none_or(|node| !node.connected), "{nodes:?}");

    // The new one does: directly and by an invitation. Both are of the same mesh.
    let token = command::wattle(args(["invite"], &next)).await.ok();
    let token = token.lines().next().unwrap().to_owned();
    let new = mesh.node("new").invited(&token).start().await;
    is_back(&a, &new).await;
    // It can be run again, and changes nothing.
    let known = authority(&a).await;
    rotate(&mesh, &b, "0").await;
    assert_eq!(authority(&a).await, known);
    let mut wrong = args(["mesh", "rotate"], mesh.key());
    wrong.extend([OsString::from("--out"), eve.file().into()]);
    let refused = a.verb(wrong).await.refused();
    assert!(refused.contains("is there already"), "{refused}");
}

/// Who renews papers goes on renewing them, and an invitation by the old key lets in for as long as
/// that was said.
#[tokio::test]
async fn within_the_time_that_is_given_the_old_key_s_invitations_count_and_papers_are_renewed() {
    const PAPERS: &str = "24s";
    let mesh = TestMesh::new().await;
    let invite = mesh.invite(["--papers", PAPERS, "--uses", "2"]).await;
    let b = mesh.node("b").invited(&invite.token);
    let [a, b] = Up::start_all([mesh.node("a"), b]).await;
    meet(&[&a, &b], PATIENCE).await;
    let renewer = ["mesh", "renewer", a.id(), "--papers", PAPERS, "--expires", "1h"];
    a.verb(args(renewer, mesh.key())).await.ok();
    let before = authority(&b).await;
    rotate(&mesh, &a, "1h").await;
    agree(&[&a, &b], &before).await;
    let listed = b.verb(["operator", "ls"]).await.ok();
    assert!(listed.contains(&format!("before: {before}")), "{listed}");

    let c = mesh.node("c").invited(&invite.token).start().await;
    is_back(&a, &c).await;
    // The old invitation is good for that alone: its paper goes on once the new key has signed it.
    rotate(&mesh, &a, "1h").await;
    // Both outlive what they came with, by renewals on the right that the new key signed.
    let until = async |node: &TestNode| {
        let nodes: Value = a.verb(["nodes", "--json"]).await.json();
        let all = nodes["nodes"].as_array().unwrap();
        let paper = all.iter().find(|one| one["id"] == node.id()).map(|one| &one["paper"]);
        paper.and_then(|paper| paper["until"].as_u64()).unwrap_or_default()
    };
    let came = (until(&b).await, until(&c).await);
    eventually("both are renewed", PATIENCE, async || {
        let now = (until(&b).await, until(&c).await);
        holds(now.0 > came.0 && now.1 > came.1, (came, now))
    })
    .await;
    for node in [&a, &b, &c] {
        assert_eq!(node.metrics().await.counter("cut_off"), 0, "{}", node.name());
    }
}
