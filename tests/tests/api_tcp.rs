//! The API over the network: who is let in, to what, and what is written down of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod raw_tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use raw_tls::{answer, ask, ask_with, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use wattle_contracts::id::{MeshId, NodeId, OperatorKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::{AccessBody, AccessToken, UnixMillis};
use wattle_mesh::net::WallClock;
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds, within};
use wattle_tests::{Operator, TestMesh, TestNode, Up, ports};

const ECHO: &str = "app = \"echo\"\n\n[component.echo]\nwasm = \"echo.wasm\"\n";

/// A mesh of one node, whose API is served at an address, with an admin.
struct Site {
    mesh: TestMesh,
    node: TestNode,
    at: SocketAddr,
    admin: PathBuf,
}

impl Site {
    async fn new() -> Self {
        let (mesh, at) = (TestMesh::new().await, ports::tcp());
        let node = with_api(mesh.node("a"), at).start().await;
        let admin = mesh.admin(&node).await;
        Self { mesh, node, at, admin }
    }

    fn url(&self) -> String {
        format!("https://{}#{}", self.at, self.node.id())
    }

    async fn operator(&self, name: &str, flags: &[&str]) -> Operator {
        Operator::added(&self.mesh, (&self.node, &self.admin), name, flags).await
    }

    fn mesh_id(&self) -> MeshId {
        let key = std::fs::read_to_string(self.mesh.key()).unwrap();
        MeshId::from_bytes(SigningKey::from_text(&key).unwrap().public())
    }

    /// A token of this key, for this mesh, changed at will.
    fn token(&self, key: &SigningKey, change: impl FnOnce(&mut AccessBody)) -> String {
        let now = WallClock::default().now();
        let mut body = AccessBody {
            mesh: self.mesh_id(),
            key: OperatorKey::from_bytes(key.public()),
            issued: now,
            expires: now.plus(Duration::from_secs(600)),
            read_only: false,
            node: None,
        };
        change(&mut body);
        AccessToken::sign(key, body).unwrap().to_text().unwrap()
    }
}

fn with_api(up: Up, at: SocketAddr) -> Up {
    up.args(["--api", &at.to_string()])
}

#[tokio::test]
async fn a_viewer_looks_over_the_network_and_changes_nothing_anywhere() {
    let site = Site::new().await;
    let echo = ManifestText::new(ECHO).write(&site.mesh, "echo.toml").await;
    let with = ["--operator-key".as_ref(), site.admin.as_os_str()];
    let apply = ["apply".as_ref(), echo.as_os_str()];
    site.node.verb(apply.into_iter().chain(with)).await.ok();
    let viewer = site.operator("vera", &["--role", "viewer"]).await;
    let token = viewer.token(&site.node, &[]).await;
    let ask = async |args: &[&str]| viewer.verb(&site.url(), &token, args).await;

    let nodes: serde_json::Value = ask(&["nodes", "--json"]).await.json();
    assert_eq!(nodes["nodes"][0]["id"], site.node.id(), "{nodes}");
    let apps = ask(&["apps"]).await.ok();
    assert!(apps.contains("echo/echo"), "{apps}");
    let ls = ask(&["operator", "ls"]).await.ok();
    assert!(ls.contains("vera") && ls.contains("viewer"), "{ls}");
    for args in
        [&["link", "ls"][..], &["config", "ls"], &["secret", "ls"], &["metrics"], &["outbox"]]
    {
        ask(args).await.ok();
    }

    for (args, wanted) in [
        (&["config", "put", "echo/echo", "x=1"][..], "needs a deployer"),
        (&["rm", "echo"], "needs a deployer"),
        (&["call", "echo/echo", "echo", "[1]"], "needs a deployer of `echo`"),
        (&["logs"], "needs a deployer"),
        (&["publish", "x", "y"], "needs an admin"),
        (&["leave"], "needs an admin"),
        (&["revoke", site.node.id()], "needs a deployer"),
    ] {
        let said = ask(args).await.refused();
        assert!(said.contains(wanted) && said.contains("viewer"), "{args:?}: {said}");
    }
    // Through the node's own socket its signature is worth as little.
    let put = ["config", "put", "echo/echo", "x=1", "--operator-key"];
    let put = put.map(Into::into).into_iter().chain([viewer.file().into_os_string()]);
    let said = site.node.verb(put).await.refused();
    assert!(said.contains("is a viewer, who declares nothing"), "{said}");
    // A token that only looks makes no more of an admin.
    let ops = site.operator("ops2", &["--app", "echo"]).await;
    let looking = ops.token(&site.node, &["--read-only"]).await;
    ops.verb(&site.url(), &looking, &["nodes"]).await.ok();
    let said = ops.verb(&site.url(), &looking, &["rm", "echo"]).await.refused();
    assert!(said.contains("this token is one of a viewer"), "{said}");

    let refused =
        site.node.written("api-refused", |entry| entry["request"] == "POST /v1/leave").await;
    assert_eq!(refused["operator"], viewer.public(), "{refused}");
    assert!(site.node.apps().await.component("echo/echo").is_some());
}

#[tokio::test]
async fn a_deployer_declares_with_its_own_signature_and_all_of_it_is_written_down() {
    let site = Site::new().await;
    let ann = site.operator("ann", &["--app", "echo"]).await;
    let token = ann.token(&site.node, &["--for", "10m"]).await;
    let ask = async |args: &[&str]| ann.verb(&site.url(), &token, args).await;
    let echo = ManifestText::new(ECHO).write(&site.mesh, "echo.toml").await;
    let other = ManifestText::new(ECHO).named("other").write(&site.mesh, "other.toml").await;

    ask(&["apply", echo.to_str().unwrap()]).await.ok();
    let history: serde_json::Value = ask(&["history", "app/echo", "--json"]).await.json();
    let by = history["current"]["by"].as_str().unwrap();
    assert!(by.contains("ann") && by.contains(ann.public()), "{history}");
    assert_eq!(ask(&["call", "echo/echo", "echo", "[1]"]).await.ok().trim(), "[1]");
    ask(&["config", "put", "echo/echo", "x=1"]).await.ok();
    ask(&["logs"]).await.ok();

    // What is another app's is refused as everywhere, and what is the node's is for admins.
    let said = ask(&["apply", other.to_str().unwrap(), "--wait", "0"]).await.refused();
    assert!(said.contains("is an operator of echo, and of nothing else"), "{said}");
    let said = ask(&["call", "other/echo", "echo", "[1]"]).await.refused();
    assert!(said.contains("needs a deployer of `other`"), "{said}");
    let said = ask(&["leave"]).await.refused();
    assert!(said.contains("needs an admin"), "{said}");
    // The node signs nothing for whoever only shows a token: it drafts.
    let (status, said) = ask_with(site.at, "DELETE /v1/apps/echo", &token).await;
    assert_eq!(status, 202, "{said}");
    assert!(site.node.apps().await.component("echo/echo").is_some());

    let used = site.node.written("api-used", |entry| entry["request"] == "POST /v1/records").await;
    assert_eq!(used["operator"], ann.public(), "{used}");
    assert_eq!(used["from"], "127.0.0.1", "{used}");
    assert_eq!(used["status"], 200, "{used}");
    site.node.written("api-used", |entry| entry["request"] == "POST /v1/calls").await;
    let taken = site.node.written("record-taken", |entry| entry["key"] == "app/echo").await;
    let writer = NodeId::from_bytes(ann.key().public()).to_string();
    assert_eq!(taken["writer"], writer, "{taken}");

    // An admin may end it.
    let boss = Operator::added(&site.mesh, (&site.node, site.mesh.key()), "boss", &["--admin"]);
    let boss = boss.await;
    let token = boss.token(&site.node, &["--at", site.node.id()]).await;
    boss.verb(&site.url(), &token, &["rm", "echo"]).await.ok();
    boss.verb(&site.url(), &token, &["leave"]).await.ok();
}

#[tokio::test]
async fn only_the_node_that_was_asked_for_is_believed() {
    let site = Site::new().await;
    let viewer = site.operator("vera", &["--role", "viewer"]).await;
    let token = viewer.token(&site.node, &[]).await;
    let other = NodeId::from_bytes(SigningKey::generate().unwrap().public()).to_string();
    let said = viewer
        .verb(&format!("https://{}#{other}", site.at), &token, &["nodes"])
        .await
        .refused_in_one_line();
    assert!(said.contains(site.node.id()) && said.contains(&other), "{said}");
    // It never said its token, so there is nothing to be refused.
    let entries = site.node.audit("api-refused").await;
    assert!(entries.is_empty(), "{entries:?}");
    let said = viewer.verb(&format!("https://{}", site.at), &token, &["nodes"]).await.refused();
    assert!(said.contains("which node is to answer"), "{said}");
    let away = ports::tcp();
    let said = viewer.verb(&format!("https://{away}#{other}"), &token, &["nodes"]).await.refused();
    assert!(said.contains(&away.to_string()), "{said}");
}

#[tokio::test]
async fn without_a_good_token_nobody_is_told_anything() {
    let site = Site::new().await;
    let ann = site.operator("ann", &["--app", "echo"]).await;
    let key = ann.key();
    let good = site.token(&key, |_| {});
    let look = "GET /v1/nodes";
    assert_eq!(ask_with(site.at, look, &good).await.0, 200);

    let host = site.at.to_string();
    let (status, said) = ask(site.at, look, &[("host", &host)]).await;
    assert_eq!(status, 401, "{said}");
    assert!(
        said.contains("no token was shown") && said.contains("www-authenticate: Bearer"),
        "{said}"
    );
    assert!(!said.contains(site.node.id()) && !said.contains("mesh:"), "{said}");

    let now = WallClock::default().now();
    let ago = |seconds: u64| UnixMillis(now.0 - seconds * 1000);
    let stranger = SigningKey::generate().unwrap();
    let node = NodeId::from_bytes(stranger.public());
    for (token, why) in [
        ("wattle-token:rubbish".into(), "checksum"),
        (site.token(&key, |body| (body.issued, body.expires) = (ago(60), ago(1))), "it ran out"),
        (
            site.token(&key, |body| body.issued = now.plus(Duration::from_secs(3600))),
            "only valid in",
        ),
        (
            site.token(&key, |body| body.mesh = MeshId::from_bytes([7; 32])),
            "belongs to another mesh",
        ),
        (site.token(&key, |body| body.node = Some(node)), "alone"),
        (site.token(&stranger, |_| {}), "is no operator of this mesh"),
    ] {
        let (status, said) = ask_with(site.at, look, &token).await;
        assert_eq!(status, 401, "{token}: {said}");
        assert!(said.contains(why), "{why}: {said}");
    }
    // A node's own key is none of an operator.
    let node_key = std::fs::read_to_string(site.node.data().join("node.key")).unwrap();
    let node_key = SigningKey::from_text(&node_key).unwrap();
    assert_eq!(ask_with(site.at, look, &site.token(&node_key, |_| {})).await.0, 401);

    site.node
        .verb(["revoke".as_ref(), ann.public().as_ref(), "--key".as_ref(), site.admin.as_os_str()])
        .await
        .ok();
    let (status, said) = ask_with(site.at, look, &good).await;
    assert_eq!(status, 401, "{said}");
    assert!(said.contains("any more"), "{said}");
    let refused = site.node.written("api-refused", |entry| entry["operator"] == ann.public()).await;
    assert_eq!(refused["from"], "127.0.0.1", "{refused}");
    assert_eq!(refused["request"], look, "{refused}");

    // Whoever goes on guessing is not looked at for a while, and nobody else there is.
    let again = eventually("it is enough", PATIENCE, async || {
        let (status, said) = ask_with(site.at, look, "wattle-token:rubbish").await;
        holds(status == 429, status).map(|()| said)
    })
    .await;
    assert!(again.contains("none is looked at"), "{again}");
}

#[tokio::test]
async fn what_is_streamed_goes_on_as_long_as_the_right_to_it_and_ends_with_that() {
    let site = Site::new().await;
    let ann = site.operator("ann", &["--app", "echo"]).await;
    let token = site.token(&ann.key(), |_| {});
    let follows = async {
        let (status, _) = ask_with(site.at, "GET /v1/logs?follow=true", &token).await;
        (status, Instant::now())
    };
    let revoked = async {
        // Longer than it takes to look again.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let begun = Instant::now();
        let key = site.admin.as_os_str();
        let revoke = ["revoke".as_ref(), ann.public().as_ref(), "--key".as_ref(), key];
        site.node.verb(revoke).await.ok();
        begun
    };
    let ((status, ended), revoked) = tokio::join!(follows, revoked);
    assert_eq!(status, 200);
    assert!(ended > revoked, "it ended before");
}

#[tokio::test]
async fn in_a_mesh_without_an_admin_only_its_own_key_opens_the_door() {
    let (mesh, at) = (TestMesh::new().await, ports::tcp());
    let node = with_api(mesh.node("a"), at).start().await;
    let ann = Operator::added(&mesh, (&node, mesh.key()), "ann", &["--app", "echo"]).await;
    let url = format!("https://{at}#{}", node.id());
    let token = ann.token(&node, &[]).await;
    let said = ann.verb(&url, &token, &["nodes"]).await.refused();
    assert!(said.contains("has no admin yet"), "{said}");
    let own = ["token".as_ref(), "--operator-key".as_ref(), mesh.key().as_os_str()];
    let own = node.verb(own).await.ok();
    ann.verb(&url, own.trim(), &["nodes"]).await.ok();
}

#[tokio::test]
async fn what_speaks_no_tls_or_says_nothing_gets_no_answer() {
    let site = Site::new().await;
    let mut plain = TcpStream::connect(site.at).await.unwrap();
    let text = format!("GET /v1/nodes HTTP/1.1\r\nhost: {}\r\n\r\n", site.at);
    plain.write_all(text.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let _ = within("the end", PATIENCE, plain.read_to_end(&mut said)).await;
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");
    // Whoever says nothing at all is sent away, before and after the handshake.
    let begun = Instant::now();
    let mut silent = TcpStream::connect(site.at).await.unwrap();
    let mut idle = tls(site.at).await;
    let end = async {
        let _ = silent.read_to_end(&mut Vec::new()).await;
        let _ = idle.read_to_end(&mut Vec::new()).await;
    };
    within("the end of those who are silent", PATIENCE, end).await;
    assert!(begun.elapsed() > Duration::from_secs(4));
}

#[tokio::test]
async fn a_page_of_somebody_else_gets_nothing_out_of_a_browser() {
    let (mesh, at) = (TestMesh::new().await, ports::tcp());
    let node = with_api(mesh.node("a"), at).args(["--api-host", "node.example"]).start().await;
    let own = ["token".as_ref(), "--operator-key".as_ref(), mesh.key().as_os_str()];
    let bearer = format!("Bearer {}", node.verb(own).await.ok().trim());
    let host = at.to_string();
    let port = at.port();
    let look = async |headers: &[(&str, &str)]| {
        let all = headers.iter().copied().chain([("authorization", bearer.as_str())]);
        ask(at, "GET /v1/nodes", &all.collect::<Vec<_>>()).await
    };
    let (named, evil) = (format!("node.example:{port}"), format!("evil.example:{port}"));
    let here = format!("https://{host}");
    for headers in [
        &[("host", host.as_str())][..],
        &[("host", &named)],
        &[("host", "node.example")],
        &[("host", &host), ("origin", &here)],
    ] {
        assert_eq!(look(headers).await.0, 200, "{headers:?}");
    }
    for (headers, status) in [
        (&[("host", evil.as_str())][..], 421),
        (&[("host", "192.0.2.1")], 421),
        (&[], 400),
        (&[("host", &host), ("host", &evil)], 400),
        (&[("host", &host), ("origin", "https://evil.example")], 403),
        (&[("host", &host), ("origin", "null")], 403),
    ] {
        let (said, text) = look(headers).await;
        assert_eq!(said, status, "{headers:?}: {text}");
        assert!(!text.contains(node.id()), "{text}");
    }

    // On the socket, nobody has business from a page at all.
    let ask = async |headers: &str| {
        let mut stream = UnixStream::connect(node.data().join("api.sock")).await.unwrap();
        let text =
            format!("GET /v1/nodes HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        answer(&mut stream).await.0
    };
    assert_eq!(ask("").await, 200);
    assert_eq!(ask("origin: http://localhost\r\n").await, 403);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_read_to_its_end() {
    let site = Site::new().await;
    let mut stream = tls(site.at).await;
    let head = format!("GET /v1/nodes HTTP/1.1\r\nhost: {}\r\n", site.at);
    stream.write_all(head.as_bytes()).await.unwrap();
    let line = format!("x: {}\r\n", "y".repeat(1000));
    let mut sent = 0;
    let flood = async {
        while stream.write_all(line.as_bytes()).await.is_ok() && stream.flush().await.is_ok() {
            sent += line.len();
            assert!(sent < 16 << 20, "so much was read of one head");
        }
    };
    within("the end of the flood", PATIENCE, flood).await;
    // Others are answered as ever.
    let ann = site.operator("ann", &["--app", "echo"]).await;
    let token = ann.token(&site.node, &[]).await;
    ann.verb(&site.url(), &token, &["nodes"]).await.ok();
}

#[tokio::test]
async fn a_call_over_the_network_to_another_node_is_signed_by_the_person_to_the_end() {
    let (mesh, at) = (TestMesh::new().await, ports::tcp());
    let [a, b] = Up::start_all([with_api(mesh.node("a"), at), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let admin = mesh.admin(&a).await;
    let ann = Operator::added(&mesh, (&a, &admin), "ann", &["--app", "echo"]).await;
    let echo = ManifestText::new(ECHO).on("component.echo", "b").write(&mesh, "echo.toml").await;
    let (url, token) = (format!("https://{at}#{}", a.id()), ann.token(&a, &[]).await);
    // The other node only hears by gossip who holds the code: its first try may be too early.
    ann.verb(&url, &token, &["apply", echo.to_str().unwrap(), "--wait", "0"]).await.ok();
    a.sees_running("echo/echo", &[&b]).await;
    let said = ann.verb(&url, &token, &["call", "echo/echo", "echo", "[1]"]).await.ok();
    assert_eq!(said.trim(), "[1]");
}
