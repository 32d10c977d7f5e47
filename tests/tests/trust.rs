//! Whose components run, and who belongs to a mesh.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::ffi::OsStr;
use std::fs;
use std::time::SystemTime;

use wattle_contracts::id::{InviteKey, MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::Labels;
use wattle_contracts::trust::{Invitation, InvitationBody, Invited, Paper, Token, UnixMillis};
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::publisher::Publisher;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, Up, command, paths, ports};

const ECHO: &str = "app = \"echo\"\n\n[component.echo]\nwasm = \"echo.wasm\"\n";

#[tokio::test]
async fn only_what_a_trusted_publisher_signed_and_nobody_changed_is_taken() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    let expected = mesh.publisher().public();
    let foreign = Publisher::new(mesh.folder().join("foreign.key")).await;
    let manifest = mesh.write("app.toml", ECHO);
    let wasm = mesh.folder().join("echo.wasm");

    fs::copy(paths::guest("echo"), &wasm).unwrap();
    let said = node.apply(&manifest).await.refused();
    assert!(said.contains("not signed") && said.contains(expected), "{said}");
    assert!(said.contains("echo.wasm"), "{said}");

    foreign.sign(&paths::guest("echo"), &wasm).await;
    let said = node.apply(&manifest).await.refused();
    assert!(said.contains(foreign.public()) && said.contains(expected), "{said}");

    mesh.publisher().sign(&paths::guest("echo"), &wasm).await;
    let signed = fs::read(&wasm).unwrap();
    let mut altered = signed.clone();
    *altered.last_mut().unwrap() ^= 1;
    fs::write(&wasm, &altered).unwrap();
    let said = node.apply(&manifest).await.refused();
    assert!(said.contains("changed after it was signed") && said.contains(expected), "{said}");

    // A foreign signature that calls itself the trusted one.
    foreign.sign(&paths::guest("echo"), &wasm).await;
    let mut forged = fs::read(&wasm).unwrap();
    let key = signer(&signed, &forged);
    forged[key.clone()].copy_from_slice(&signed[key]);
    fs::write(&wasm, &forged).unwrap();
    let said = node.apply(&manifest).await.refused();
    assert!(said.contains("does not fit") && said.contains(expected), "{said}");

    assert!(node.apps().await.apps.is_empty());
    fs::write(&wasm, &signed).unwrap();
    node.run(&manifest, "echo/echo", &node).await;
}

/// Where the signer's key is: two files that differ in their signer alone differ first there.
fn signer(one: &[u8], other: &[u8]) -> std::ops::Range<usize> {
    let start = one.iter().zip(other).position(|(one, other)| one != other).unwrap();
    start..start + 32
}

#[tokio::test]
async fn a_node_that_does_not_trust_the_publisher_does_not_run_what_is_placed_on_it() {
    let mesh = TestMesh::new().await;
    let nodes = [mesh.node("a"), mesh.node("b").trusting_nobody()];
    let [a, mut b] = Up::start_all(nodes).await;
    meet(&[&a, &b], PATIENCE).await;
    let manifest = ManifestText::new(ECHO).on("component.echo", "b").write(&mesh, "app.toml").await;
    // Who declares it is told, wherever that is.
    let said = a.apply(&manifest).await.refused_in_one_line();
    let publisher = mesh.publisher().public();
    assert!(said.contains("echo/echo") && said.contains(publisher), "{said}");
    for node in [&a, &b] {
        eventually("every node knows that it does not run, and why", PATIENCE, async || {
            let apps = node.apps().await;
            let echo = apps.component("echo/echo").unwrap();
            assert!(echo.running.is_empty(), "{apps:#?}");
            let why = echo.failing.get(b.id());
            let told =
                why.is_some_and(|why| why.contains(publisher) && why.contains("not trusted"));
            holds(told && echo.placed == [b.id()], &apps)
        })
        .await;
        let table = node.verb(["apps"]).await.ok();
        assert!(table.contains("fails on") && table.contains("0/1"), "{table}");
    }
    let here = b.apps().await.component("echo/echo").unwrap().here.clone().unwrap();
    assert_eq!(here.state, "failed", "{here:?}");
    let error = a.call("echo/echo", "echo", "[1]").await.unwrap_err();
    assert_eq!(error.kind, "unreachable", "{error:?}");

    // As soon as it does trust that publisher, it runs what was declared.
    b.trust(mesh.publisher());
    b.restart().await;
    a.sees_running("echo/echo", &[&b]).await;
    assert_eq!(a.call("echo/echo", "echo", "[1]").await.unwrap(), "[1]");
}

#[tokio::test]
async fn a_node_with_the_paper_of_another_mesh_is_not_admitted() {
    let (ours, theirs) = (TestMesh::new().await, TestMesh::new().await);
    let address = ports::udp();
    let node = ours.node("a").listen(address).start().await;
    let join = ["--no-mdns".to_owned(), "--join".to_owned(), address.to_string()];
    let stranger = theirs.node("x").discovery(join).start().await;
    eventually("the stranger is refused", PATIENCE, async || {
        let (here, there) = (node.metrics().await, stranger.metrics().await);
        let refused = here.counter("papers_refused") > 0 && there.counter("refused_by_peers") > 0;
        holds(refused, (&here, &there))
    })
    .await;
    for node in [&node, &stranger] {
        let nodes = node.nodes().await;
        assert_eq!(nodes.nodes.len(), 1, "{nodes:#?}");
    }
    // Both say so where people look, and ours lets its own in as ever.
    eventually("it says so", PATIENCE, async || {
        let log = node.process().log();
        holds(log.contains(stranger.id()) || log.contains("refused peer"), log)
    })
    .await;
    let friend = ours.node("b").start().await;
    meet(&[&node, &friend], PATIENCE).await;
}

/// Who is not let in because of a clock is told that it may be one.
#[tokio::test]
async fn papers_and_invitations_out_of_their_time_are_refused_with_a_word_about_clocks() {
    let mesh = TestMesh::new().await;
    let authority = SigningKey::from_text(&fs::read_to_string(mesh.key()).unwrap()).unwrap();
    let data = mesh.folder().join("x");
    let id = [OsStr::new("id"), "--data".as_ref(), data.as_os_str()];
    let id: NodeId = command::wattle(id).await.ok().trim().parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at = |hours: i64| {
        let millis = i64::try_from(now.as_millis()).unwrap() + hours * 3_600_000;
        UnixMillis(u64::try_from(millis).unwrap())
    };
    let up = async |flag: &str, value: &OsStr| {
        let args = [OsStr::new("--data"), data.as_os_str(), flag.as_ref(), value];
        command::failing_up(args).await.refused()
    };
    for (issued, expires, part) in [
        (at(1), None, "only valid in"),
        (at(-9), Some(at(-1)), "by this node's clock; if the clock is right"),
    ] {
        let paper = Paper::issue(&authority, id, issued, expires).unwrap();
        let file = mesh.write("node.paper", paper.to_text().unwrap());
        let said = up("--paper", file.as_os_str()).await;
        assert!(
            said.contains(part) && said.contains("clock") && said.contains("node.paper"),
            "{said}"
        );
    }
    let key = SigningKey::generate().unwrap();
    let mut body = InvitationBody {
        mesh: MeshId::from_bytes(authority.public()),
        key: InviteKey::from_bytes(key.public()),
        invited: Invited::Node,
        labels: Labels::new(),
        uses: 1,
        issued: at(-9),
        expires: at(-1),
        papers: None,
    };
    for _ in 0..2 {
        let invitation = Invitation::sign(&authority, body.clone()).unwrap();
        let token = Token::new(invitation, &key, Vec::new()).unwrap().to_text().unwrap();
        let said = up("--invite", token.as_ref()).await;
        assert!(said.contains("is the clock right?"), "{said}");
        (body.issued, body.expires) = (at(1), at(9));
    }
    // With the clocks as they should be, the same node comes in.
    let paper = Paper::issue(&authority, id, at(0), Some(at(9))).unwrap();
    let file = mesh.write("node.paper", paper.to_text().unwrap());
    let node = mesh.node("x").paper(file).start().await;
    assert_eq!(node.id(), id.to_string());
}
