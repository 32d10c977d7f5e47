//! Papers that run out, and who renews them while the mesh's key is in its drawer.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::ffi::{OsStr, OsString};
use std::path::Path;

use serde_json::Value;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up};

/// Long enough to be renewed in time on a busy machine, short enough to wait for.
const PAPERS: &str = "24s";

/// What `by` knows of the paper of `node`: until when it is valid, and who renewed it.
async fn paper(by: &TestNode, node: &TestNode) -> (u64, Option<String>) {
    let nodes: Value = by.verb(["nodes", "--json"]).await.json();
    let all = nodes["nodes"].as_array().unwrap();
    let paper = all.iter().find(|one| one["id"] == node.id()).map(|one| &one["paper"]);
    let until = paper.and_then(|paper| paper["until"].as_u64()).unwrap_or_default();
    let renewed_by = paper.and_then(|paper| paper["renewed_by"].as_str());
    (until, renewed_by.map(str::to_owned))
}

async fn make_renewer(mesh: &TestMesh, node: &TestNode) {
    let args = ["mesh", "renewer", node.id(), "--papers", PAPERS, "--expires", "1h", "--key"];
    let args = args.map(OsStr::new).into_iter().chain([mesh.key().as_os_str()]);
    node.verb(args).await.ok();
}

/// Waits until the paper of `node` is valid for longer than `before`, in its own eyes and in those
/// of `other`. Gives back until when, and who renewed it.
async fn is_renewed(node: &TestNode, other: &TestNode, before: u64) -> (u64, String) {
    eventually(&format!("{} is renewed", node.name()), PATIENCE, async || {
        let (own, theirs) = (paper(node, node).await, paper(other, node).await);
        holds(own.0 > before && theirs.0 > before, (before, &own, &theirs))
    })
    .await;
    let (until, by) = paper(node, node).await;
    (until, by.unwrap())
}

#[tokio::test]
async fn papers_are_renewed_again_and_again_without_the_authority_while_nodes_stay_connected() {
    let mesh = TestMesh::new().await;
    let invite = mesh.invite(["--papers", PAPERS]).await;
    let nodes = [mesh.node("a"), mesh.node("b").invited(&invite.token), mesh.node("c")];
    let [mut a, mut b, mut c] = Up::start_all(nodes).await;
    meet(&[&a, &b, &c], PATIENCE).await;
    make_renewer(&mesh, &a).await;
    make_renewer(&mesh, &c).await;
    std::fs::rename(mesh.key(), mesh.folder().join("away")).unwrap();

    let (mut until, mut by) = (paper(&b, &b).await.0, String::new());
    assert!(until > 0);
    for _ in 0..2 {
        (until, by) = is_renewed(&b, &a, until).await;
        assert!(by == a.id() || by == c.id(), "{by}");
    }
    for node in [&a, &b, &c] {
        let metrics = node.metrics().await;
        assert_eq!(metrics.counter("cut_off"), 0);
        assert_eq!(metrics.counter("papers_refused"), 0);
    }
    // Where the one that did it is gone, the other does, as a cut would have it.
    let (gone, left) = if by == a.id() { (&mut a, &c) } else { (&mut c, &a) };
    gone.kill();
    let (_, by) = is_renewed(&b, left, until).await;
    assert_eq!(by, left.id());
    // It is on the disk: what the node came with has run out by now, or soon will.
    b.restart().await;
    eventually("it is back", PATIENCE, async || {
        let nodes = left.nodes().await;
        holds(nodes.get(b.id()).is_some_and(|node| node.connected), nodes)
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_paper_runs_out_and_which_nobody_renews_says_so_in_time_and_what_to_do() {
    let mesh = TestMesh::new().await;
    let invite = mesh.invite(["--papers", PAPERS]).await;
    let nodes = [mesh.node("a"), mesh.node("b").invited(&invite.token)];
    let [a, b] = Up::start_all(nodes).await;
    meet(&[&a, &b], PATIENCE).await;
    let advice = format!("wattle mesh renew {}", b.id());
    eventually("it says so", PATIENCE, async || {
        let log = b.process().log();
        holds(log.contains("runs out soon") && log.contains(&advice), log)
    })
    .await;
    for node in [&a, &b] {
        let table = node.verb(["nodes"]).await.ok();
        assert!(table.contains(&format!("the paper of {}", b.id())), "{table}");
        assert!(table.contains(&advice), "{table}");
    }
    let said = b.verb(["id"]).await;
    assert!(said.stderr.contains(&advice), "{said:?}");
    assert_eq!(said.stdout.trim(), b.id());
}

#[tokio::test]
async fn a_revoked_renewer_renews_nothing_and_a_revoked_node_is_not_renewed() {
    let mesh = TestMesh::new().await;
    let invite = mesh.invite(["--papers", PAPERS, "--uses", "2"]).await;
    let [b, c] = ["b", "c"].map(|name| mesh.node(name).invited(&invite.token));
    let [a, b, c] = Up::start_all([mesh.node("a"), b, c]).await;
    meet(&[&a, &b, &c], PATIENCE).await;
    let revoke = async |what: &str| {
        let args: [&OsStr; 4] = [
            OsStr::new("revoke"),
            what.as_ref(),
            "--key".as_ref(),
            Path::new(mesh.key()).as_os_str(),
        ];
        a.verb(args.map(OsString::from)).await.ok()
    };
    // Before there is anybody who could renew it.
    revoke(c.id()).await;
    let before = paper(&b, &b).await.0;
    make_renewer(&mesh, &a).await;
    is_renewed(&b, &a, before).await;
    let renewed = a.verb(["history", &format!("renewed/{}", c.id())]).await.ok();
    assert!(renewed.contains("nothing is known"), "{renewed}");
    // What it had renewed stays, where the revocation does not say otherwise.
    let said = revoke(&format!("renewer/{}", a.id())).await;
    assert!(said.contains("1 papers that it had renewed stay"), "{said}");
    // It is in force at the node that was told of it; from here on nothing may be renewed.
    let (until, _) = paper(&a, &b).await;
    eventually("the other knows that it renews no more", PATIENCE, async || {
        let ls = b.verb(["operator", "ls"]).await.ok();
        holds(!ls.contains("renews papers"), ls)
    })
    .await;
    eventually("nobody renews", PATIENCE, async || {
        let table = b.verb(["nodes"]).await.ok();
        holds(table.contains("(or lets a node do it: wattle mesh renewer)"), table)
    })
    .await;
    assert_eq!(paper(&b, &b).await.0, until);
    assert_eq!(paper(&a, &b).await.0, until);
}
