//! Somebody who tries: each against real nodes. Frames made by hand are in `mesh/tests/net_attacks`.
//! What happens and where it is tested: docs/security.md.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use wattle_tests::manifest::ManifestText;
use wattle_tests::mesh::Invite;
use wattle_tests::network::Network;
use wattle_tests::node::{counts, meet};
use wattle_tests::requirement::networks;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up, command};

const ECHO: &str = "app = \"echo\"\n\n[component.echo]\nwasm = \"echo.wasm\"\n";

/// Waits until `node` knows nothing of a node any more.
async fn has_forgotten(node: &TestNode, gone: &str) {
    eventually(&format!("{} has cut it off", node.name()), PATIENCE, async || {
        let nodes = node.nodes().await;
        holds(nodes.get(gone).is_none(), nodes)
    })
    .await;
}

/// Waits until `node` holds a record of `key`.
async fn has_heard(node: &TestNode, key: &str) {
    eventually(&format!("{} has {key}", node.name()), PATIENCE, async || {
        let said = node.verb(["history", key]).await.ok();
        holds(!said.contains("nothing is known"), said)
    })
    .await;
}

async fn revoke(node: &TestNode, what: &str, key: &Path) {
    node.verb([OsStr::new("revoke"), what.as_ref(), "--key".as_ref(), key.as_os_str()]).await.ok();
}

/// Two nodes that came by one invitation, which is used up by that.
async fn two_invited(mesh: &TestMesh) -> ([TestNode; 2], Invite) {
    let flags = ["--uses", "2", "--labels", "role=store,site=north"];
    let invite = mesh.invite(flags).await;
    let nodes = ["a", "b"].map(|name| mesh.node(name).invited(&invite.token));
    let [a, b] = Up::start_all(nodes).await;
    meet(&[&a, &b], PATIENCE).await;
    for (node, other) in [(&a, &b), (&b, &a)] {
        for who in [node, other] {
            has_heard(node, &format!("admitted/{}", who.id())).await;
        }
    }
    ([a, b], invite)
}

#[tokio::test]
async fn by_an_invitation_nodes_come_without_the_authority_and_no_more_than_it_has_uses() {
    let mesh = TestMesh::new().await;
    let ([a, mut b], invite) = two_invited(&mesh).await;
    // Nobody who knows the mesh's key is there.
    let away = mesh.folder().join("away");
    fs::rename(mesh.key(), &away).unwrap();
    for (node, other) in [(&a, &b), (&b, &a)] {
        let nodes = node.nodes().await;
        let labels = &nodes.get(other.id()).unwrap().labels;
        assert_eq!(labels.get("role").map(String::as_str), Some("store"), "{nodes:#?}");
        assert_eq!(labels.get("site").map(String::as_str), Some("north"), "{nodes:#?}");
    }
    // What it says of itself can't be another thing.
    let data = mesh.folder().join("liar");
    let lie = ["--invite", &invite.token, "--label", "role=compute", "--data"];
    let said = command::failing_up(lie.map(OsStr::new).into_iter().chain([data.as_os_str()])).await;
    let said = said.refused();
    assert!(said.contains("role=store") && said.contains("role=compute"), "{said}");

    // Somebody has stolen the token, after its last use.
    let thief = mesh.node("thief").invited(&invite.token).start().await;
    counts(&[&thief], "refused_by_peers").await;
    counts(&[&a, &b], "papers_refused").await;
    thief.has_logged("used up").await;
    for node in [&a, &b] {
        assert!(node.nodes().await.get(thief.id()).is_none());
    }
    // Those who came come back, and need no token for that.
    b.restart().await;
    eventually("both are together again", PATIENCE, async || {
        let nodes = a.nodes().await;
        holds(nodes.get(b.id()).is_some_and(|node| node.connected), nodes)
    })
    .await;
}

#[tokio::test]
async fn an_invitation_that_was_changed_or_is_of_another_kind_is_refused_with_words() {
    let mesh = TestMesh::new().await;
    let invite = mesh.invite(["--uses", "1"]).await;
    let data = mesh.folder().join("x");
    let up = async |token: &str| {
        let args = [OsStr::new("--data"), data.as_os_str(), "--invite".as_ref(), token.as_ref()];
        command::failing_up(args).await.refused()
    };
    let mut changed = invite.token.clone().into_bytes();
    let at = changed.len() / 2;
    changed[at] = if changed[at] == b'2' { b'3' } else { b'2' };
    let said = up(&String::from_utf8(changed).unwrap()).await;
    assert!(said.contains("checksum"), "{said}");
    let operators = mesh.invite(["--role", "operator", "--app", "echo"]).await;
    let said = up(&operators.token).await;
    assert!(said.contains("wattle operator accept"), "{said}");
    // One key for two meshes.
    let elsewhere = TestMesh::new().await.invite(["--uses", "1"]).await;
    let mut node = mesh.node("x").invited(&invite.token).start().await;
    node.kill();
    let said = up(&elsewhere.token).await;
    assert!(said.contains("belongs to one mesh"), "{said}");
}

#[tokio::test]
async fn a_revoked_node_is_cut_off_at_once_and_stays_so_across_restarts() {
    let mesh = TestMesh::new().await;
    let nodes = ["a", "b", "c"].map(|name| mesh.node(name));
    let [mut a, b, mut c] = Up::start_all(nodes).await;
    meet(&[&a, &b, &c], PATIENCE).await;
    let gone = c.id().to_owned();
    revoke(&a, &gone, mesh.key()).await;
    for node in [&a, &b] {
        has_forgotten(node, &gone).await;
    }
    counts(&[&a, &b], "cut_off").await;
    eventually("it is written down who was cut off, and why", PATIENCE, async || {
        let mut written = String::new();
        for node in [&a, &b] {
            written += &node.verb(["audit", "query", "--json", "--what", "cut-off"]).await.ok();
        }
        holds(written.contains(&gone) && written.contains("revoked"), written)
    })
    .await;
    c.restart().await;
    counts(&[&c], "refused_by_peers").await;
    c.has_logged("the node was revoked").await;
    a.restart().await;
    meet(&[&a, &b], PATIENCE).await;
    counts(&[&c], "refused_by_peers").await;
    // A node can't take it back, nor anybody else.
    let said = b.verb(["revoke", b.id(), "--key", "/nowhere"]).await.refused();
    assert!(said.contains("/nowhere"), "{said}");
    let ls = b.verb(["operator", "ls"]).await.ok();
    assert!(ls.contains(&gone), "{ls}");
}

#[tokio::test]
async fn what_is_revoked_while_it_is_cut_off_is_refused_on_both_sides_after_the_heal() {
    let test = "what_is_revoked_while_it_is_cut_off_is_refused_on_both_sides_after_the_heal";
    if !networks(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let mut network = Network::new();
    let places = [network.place(), network.place(), network.place()];
    let [a, b, x] = ["a", "b", "x"].map(|name| mesh.node(name));
    let nodes = [a.at(&places[0]), b.at(&places[1]), x.at(&places[2])];
    let [a, b, x] = Up::start_all(nodes).await;
    meet(&[&a, &b, &x], PATIENCE).await;
    let admin = mesh.admin(&a).await;
    let manifest = ManifestText::new(ECHO).write(&mesh, "echo.toml").await;
    let by = |who: &Path| [manifest.clone().into_os_string(), "--operator-key".into(), who.into()];
    // Two operators of the app; one of them has it declared.
    let mut keys = Vec::new();
    for name in ["good", "bad"] {
        let invite = mesh.invite(["--role", "operator", "--app", "echo"]).await;
        let key = mesh.folder().join(format!("{name}.key"));
        let accept = ["operator", "accept", &invite.token, "--name", name, "--out"];
        a.verb(accept.map(OsStr::new).into_iter().chain([key.as_os_str()])).await.ok();
        keys.push(key);
    }
    let apply = |who: &Path| {
        let verb = ["apply", "--wait", "0"].map(OsString::from);
        verb.into_iter().chain(by(who))
    };
    a.verb(apply(&keys[0])).await.ok();
    has_heard(&b, "app/echo").await;
    let current = async |node: &TestNode| {
        let said: serde_json::Value = node.verb(["history", "app/echo", "--json"]).await.json();
        said["current"]["writer"].as_str().unwrap().to_owned()
    };
    let good = current(&a).await;
    // The far side has to know the one who is busy there later.
    let operators: serde_json::Value = a.verb(["operator", "ls", "--json"]).await.json();
    let all = operators["operators"].as_array().unwrap();
    let bad = all.iter().find(|one| one["name"] == "bad").unwrap()["key"].as_str().unwrap();
    has_heard(&b, &format!("operator/{bad}")).await;

    places[0].unplug();
    eventually("the cut is seen", PATIENCE, async || {
        let nodes = a.nodes().await;
        holds(nodes.get(x.id()).is_none_or(|node| !node.connected), nodes)
    })
    .await;
    // On the one side, a node and an operator are revoked.
    revoke(&a, x.id(), &admin).await;
    revoke(&a, bad, &admin).await;
    // On the other, nobody knows, and the revoked operator is busy.
    b.verb(apply(&keys[1])).await.ok();
    has_heard(&x, "app/echo").await;
    let theirs = current(&b).await;
    assert_ne!(theirs, good);
    assert!(b.nodes().await.get(x.id()).is_some_and(|node| node.connected));

    places[0].plug();
    has_forgotten(&b, x.id()).await;
    has_forgotten(&a, x.id()).await;
    for node in [&a, &b] {
        eventually(&format!("{} holds what counts", node.name()), PATIENCE, async || {
            let writer = current(node).await;
            holds(writer == good, (&writer, &good))
        })
        .await;
    }
    assert!(b.metrics().await.counter("records_voided") > 0);
    let said = a.verb(apply(&keys[1])).await.refused();
    assert!(said.contains("was revoked"), "{said}");
    meet(&[&a, &b], PATIENCE).await;
    drop(x);
}

#[tokio::test]
async fn a_member_declares_what_its_role_allows_and_a_node_alone_nothing() {
    let mesh = TestMesh::new().await;
    let nodes = ["a", "b"].map(|name| mesh.node(name));
    let [a, b] = Up::start_all(nodes).await;
    meet(&[&a, &b], PATIENCE).await;
    let echo = ManifestText::new(ECHO).write(&mesh, "echo.toml").await;
    let other = ManifestText::new(ECHO).named("other").on("component.echo", "a");
    let other = other.write(&mesh, "other.toml").await;
    // Before there are operators, whoever can use a node declares, and what was declared stays.
    a.run(&other, "other/echo", &a).await;
    let admin = mesh.admin(&a).await;
    has_heard(&b, "charter/operators").await;
    for node in [&a, &b] {
        let said = node.apply(&echo).await.refused();
        assert!(said.contains("this mesh has operators"), "{said}");
    }
    let said = b.verb(["config", "put", "other/echo", "x=1"]).await.refused();
    assert!(said.contains("this mesh has operators"), "{said}");
    b.sees_running("other/echo", &[&a]).await;
    // It goes on where it runs; to call it there from elsewhere is for people with a key.
    assert_eq!(a.call("other/echo", "echo", "[1]").await.unwrap(), "[1]");
    let error = b.call("other/echo", "echo", "[1]").await.unwrap_err();
    assert_eq!(error.kind, "not-allowed", "{error:?}");

    // An operator of one app, by an invitation, with its key in the folder of the node it uses.
    let invite = mesh.invite(["--role", "operator", "--app", "echo"]).await;
    b.verb(["operator", "accept", &invite.token, "--name", "ann"]).await.ok();
    b.apply(&echo).await.ok();
    let said = b.verb(["config", "put", "other/echo", "x=1"]).await.refused();
    assert!(said.contains("is an operator of echo, and of nothing else"), "{said}");
    let third = ManifestText::new(ECHO).named("third").write(&mesh, "third.toml").await;
    let said = b.apply(&third).await.refused();
    assert!(said.contains("is an operator of echo, and of nothing else"), "{said}");
    // What its own component would be given belongs to somebody else.
    let opens = ["link", "put", "echo/echo", "wattle:bench/echo", "other/echo", "--ahead"];
    let said = b.verb(opens).await.refused();
    assert!(said.contains("a link to something of `other`"), "{said}");
    let said = b.verb(["revoke", a.id()]).await.refused();
    assert!(said.contains("only an admin may say this"), "{said}");
    let said = b.verb(["rm", "other"]).await.refused();
    assert!(said.contains("nothing else"), "{said}");
    // Somebody else with the same invitation comes too late, wherever the first is known.
    eventually("the first is known there", PATIENCE, async || {
        let ls: serde_json::Value = a.verb(["operator", "ls", "--json"]).await.json();
        let mut operators = ls["operators"].as_array().unwrap().iter();
        holds(operators.any(|one| one["name"] == "ann"), &ls)
    })
    .await;
    let said = a.verb(["operator", "accept", &invite.token, "--name", "eve"]).await.refused();
    assert!(said.contains("used up"), "{said}");
    assert!(!a.data().join("operator.key").exists());

    // An admin may all of that, but make no other admin.
    let as_admin = |args: &[&str]| {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        args.into_iter().chain(["--operator-key".into(), admin.clone().into_os_string()])
    };
    a.verb(as_admin(&["config", "put", "other/echo", "x=1"])).await.ok();
    let file = mesh.folder().join("eve.key");
    let new = [OsStr::new("operator"), "new".as_ref(), "--out".as_ref(), file.as_os_str()];
    let eve = command::wattle(new).await.ok();
    let add = ["operator", "add", eve.trim(), "--name", "eve", "--admin", "--key"];
    let said = a.verb(add.map(OsStr::new).into_iter().chain([admin.as_os_str()])).await.refused();
    assert!(said.contains("only the mesh's authority"), "{said}");
    a.verb(as_admin(&["rm", "other"])).await.ok();
}

#[tokio::test]
async fn a_mesh_for_development_is_one_node_on_loopback_whose_owner_is_its_admin() {
    let mesh = TestMesh::new().await;
    let mut dev = mesh.node("dev").dev().start().await;
    let echo = ManifestText::new(ECHO).write(&mesh, "echo.toml").await;
    dev.run(&echo, "echo/echo", &dev).await;
    let nodes = dev.nodes().await;
    let addresses = &nodes.get(dev.id()).unwrap().addresses;
    assert!(
        !addresses.is_empty() && addresses.iter().all(|at| at.starts_with("/ip4/127.0.0.1/")),
        "{addresses:?}"
    );
    // Its owner is told what it is.
    dev.has_logged("a mesh for development: this node alone, on loopback").await;
    dev.has_logged("Its authority's key was thrown away").await;
    let ls = dev.verb(["operator", "ls"]).await.ok();
    assert!(ls.contains("admin"), "{ls}");
    // The node itself can't declare: only the key of its owner can.
    let key = dev.data().join("operator.key");
    let aside = dev.data().join("aside.key");
    fs::rename(&key, &aside).unwrap();
    let said = dev.verb(["rm", "echo"]).await.refused();
    assert!(said.contains("this mesh has operators"), "{said}");
    fs::rename(&aside, &key).unwrap();
    dev.restart().await;
    dev.verb(["rm", "echo"]).await.ok();

    // What is no such mesh is not taken for one, whatever flag it is started with.
    let mut real = mesh.node("real").start().await;
    assert!(real.stop(PATIENCE).await.success());
    let up = [OsStr::new("up"), "--dev".as_ref(), "--data".as_ref(), real.data().as_os_str()];
    let answer = command::wattle(up).await;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stderr.contains("which is none for development"), "{answer:?}");
}

#[tokio::test]
async fn a_paper_that_runs_out_is_renewed_over_the_mesh_and_kept() {
    let mesh = TestMesh::new().await;
    let invite = mesh.invite(["--papers", "30d"]).await;
    let nodes = [mesh.node("a"), mesh.node("b").invited(&invite.token)];
    let [a, mut b] = Up::start_all(nodes).await;
    meet(&[&a, &b], PATIENCE).await;
    let paper = b.data().join("node.paper");
    let before = fs::read(&paper).unwrap();
    let renew = ["mesh", "renew", b.id(), "--days", "60", "--key"];
    a.verb(renew.map(OsStr::new).into_iter().chain([mesh.key().as_os_str()])).await.ok();
    eventually("the new paper is on its disk", PATIENCE, async || {
        holds(fs::read(&paper).unwrap() != before, "the old one")
    })
    .await;
    b.restart().await;
    meet(&[&a, &b], PATIENCE).await;
}

#[tokio::test]
async fn what_a_revoked_publisher_signed_stops_everywhere_and_is_not_taken_again() {
    let mesh = TestMesh::new().await;
    let nodes = ["a", "b"].map(|name| mesh.node(name));
    let [a, b] = Up::start_all(nodes).await;
    meet(&[&a, &b], PATIENCE).await;
    let echo = ManifestText::new(ECHO).on("component.echo", "b").write(&mesh, "echo.toml").await;
    a.run(&echo, "echo/echo", &b).await;
    revoke(&a, mesh.publisher().public(), mesh.key()).await;
    a.sees_running("echo/echo", &[]).await;
    eventually("it is told why", PATIENCE, async || {
        let apps = a.apps().await;
        let why = apps.component("echo/echo").and_then(|echo| echo.failing.get(b.id()).cloned());
        holds(why.is_some_and(|why| why.contains("was revoked")), apps)
    })
    .await;
    let said = a.apply(&echo).await.refused();
    assert!(said.contains("was revoked"), "{said}");
    let forbidden = b.written("component-forbidden", |one| one["component"] == "echo/echo").await;
    assert!(forbidden["why"].as_str().unwrap().contains("was revoked"), "{forbidden}");
}
