//! How a node begins and ends, and what it says when it can't begin.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use tokio::net::TcpStream;
use wattle_tests::command::{Answer, failing_up, wattle};
use wattle_tests::disk::SmallDisk;
use wattle_tests::http::{HttpConnection, Pieces};
use wattle_tests::manifest::ManifestText;
use wattle_tests::requirement::mounts;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode};

const STREAMER: &str = r#"app = "streamer"

[component.streamer]
wasm = "streamer.wasm"

[[http]]
component = "streamer"
"#;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn id(data: &Path) -> String {
    let args = ["id".into(), "--data".into(), data.as_os_str().to_owned()];
    wattle(args).await.ok().trim().to_owned()
}

/// `wattle up` on loopback with the mesh's key, where it is to fail.
async fn up(mesh: &TestMesh, data: &Path, more: &[&str]) -> Answer {
    let mut args: Vec<OsString> = vec!["--mesh-key".into(), mesh.key().into()];
    args.extend(["--data".into(), data.into()]);
    args.extend(["--no-mdns", "--host-directory", "off"].map(Into::into));
    if !more.contains(&"--listen") {
        args.extend(["--listen", "127.0.0.1:0"].map(Into::into));
    }
    args.extend(more.iter().map(Into::into));
    failing_up(args).await
}

#[tokio::test]
async fn a_node_makes_its_identity_once_and_keeps_it_to_itself() {
    let mesh = TestMesh::new().await;
    let data = mesh.folder().join("a");
    let made = id(&data).await;
    assert_eq!(id(&data).await, made);
    assert_eq!(mode(&data.join("node.key")), 0o600);
    assert_eq!(mode(&data), 0o700);

    let mut node = mesh.node("a").start().await;
    assert_eq!(node.id(), made);
    assert_eq!(mode(&data.join("api.sock")), 0o600);
    // The mesh's key was needed once: the paper is kept.
    node.restart().await;
    assert_eq!(node.id(), made);
    assert_eq!(node.nodes().await.nodes.len(), 1);
}

#[tokio::test]
async fn without_a_paper_a_node_says_how_to_come_by_one() {
    let mesh = TestMesh::new().await;
    let data = mesh.folder().join("a");
    let said = failing_up(["--data".as_ref(), data.as_os_str()]).await.refused();
    let id = id(&data).await;
    for part in ["no paper", "wattle mesh init", "--mesh-key", "wattle mesh admit", &id, "--paper"]
    {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
}

#[tokio::test]
async fn a_node_can_be_admitted_by_a_paper_made_elsewhere() {
    let mesh = TestMesh::new().await;
    let id = id(&mesh.folder().join("a")).await;
    let paper = mesh.folder().join("a.paper");
    let mut args: Vec<PathBuf> = vec!["mesh".into(), "admit".into(), id.clone().into()];
    args.extend(["--key".into(), mesh.key().into(), "--out".into(), paper.clone()]);
    wattle(args).await.ok();
    let mut node = mesh.node("a").paper(paper.clone()).start().await;
    assert_eq!(node.id(), id);
    node.restart().await;

    // Nobody else can use it.
    let other = mesh.folder().join("b");
    let args = ["--data".as_ref(), other.as_os_str(), "--paper".as_ref(), paper.as_os_str()];
    let said = failing_up(args).await.refused_in_one_line();
    assert!(said.contains(&id), "{said}");
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_a_node_stops() {
    let mesh = TestMesh::new().await;
    // A node that waited for the end of the drain would be late.
    let mut node = mesh.node("a").http().args(["--drain", "60"]).start().await;
    let manifest = ManifestText::new(STREAMER).write(&mesh, "app.toml").await;
    node.run(&manifest, "streamer/streamer", &node).await;
    let http = node.http().await;

    let (body, pieces) = Pieces::new();
    body.send("before ".into()).await.unwrap();
    let mut connection = HttpConnection::open(http).await;
    let mut answer = connection.send("POST", "a", "/", pieces).await.into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "before ");

    node.process().terminate();
    eventually("new requests are refused", PATIENCE, async || {
        match TcpStream::connect(http).await {
            Ok(_) => Err("they are taken".into()),
            Err(_) => Ok(()),
        }
    })
    .await;
    body.send("after".into()).await.unwrap();
    drop(body);
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "after");
    let begun = Instant::now();
    let status = node.stop(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(15), "it had nothing to wait for");
    assert!(!node.data().join("api.sock").exists());
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_after_the_drain() {
    let mesh = TestMesh::new().await;
    let mut node = mesh.node("a").http().args(["--drain", "1"]).start().await;
    let manifest = ManifestText::new(STREAMER).write(&mesh, "app.toml").await;
    node.run(&manifest, "streamer/streamer", &node).await;

    let (body, pieces) = Pieces::new();
    body.send("before".into()).await.unwrap();
    let mut connection = HttpConnection::open(node.http().await).await;
    let mut answer = connection.send("POST", "a", "/", pieces).await.into_body();
    answer.frame().await.unwrap().unwrap();

    let begun = Instant::now();
    let status = node.stop(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{status}");
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(15), "{took:?}");
    // What came is not taken for the whole.
    assert!(answer.collect().await.is_err());
    drop(body);
}

#[tokio::test]
async fn a_node_that_is_interrupted_stops_as_one_that_is_asked_to() {
    let mesh = TestMesh::new().await;
    let mut node = mesh.node("a").start().await;
    node.process().interrupt();
    let status = node.end(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn a_port_in_use_is_told_in_one_line() {
    let mesh = TestMesh::new().await;
    let data = mesh.folder().join("a");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = taken.local_addr().unwrap();
    let port = udp.port().to_string();
    let said = up(&mesh, &data, &["--listen", &udp.to_string()]).await.refused_in_one_line();
    assert!(said.contains("in use") && said.contains(&port), "{said}");
    drop(taken);

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let said = up(&mesh, &data, &["--http", &address]).await.refused_in_one_line();
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}

#[tokio::test]
async fn an_unreadable_key_is_told_in_one_line() {
    let mesh = TestMesh::new().await;
    let data = mesh.folder().join("a");
    id(&data).await;
    let key = data.join("node.key");
    let good = fs::read(&key).unwrap();

    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let said = up(&mesh, &data, &[]).await.refused_in_one_line();
    assert!(said.contains("node.key") && said.contains("chmod 600"), "{said}");

    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    for damaged in [b"".as_slice(), b"\xff\xfe", &good[..good.len() - 4], b"wattle-private-key:1"] {
        fs::write(&key, damaged).unwrap();
        let said = up(&mesh, &data, &[]).await.refused_in_one_line();
        assert!(said.contains("node.key"), "{said}");
        // A damaged identity is never silently replaced by a new one.
        assert_eq!(fs::read(&key).unwrap(), damaged);
    }

    fs::write(&key, &good).unwrap();
    fs::write(data.join("node.paper"), "wattle-paper:abc").unwrap();
    let args = ["--data".as_ref(), data.as_os_str(), "--no-mdns".as_ref()];
    let said = failing_up(args).await.refused_in_one_line();
    assert!(said.contains("node.paper"), "{said}");
}

#[tokio::test]
async fn two_nodes_do_not_share_a_data_folder() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    let said = up(&mesh, node.data(), &[]).await.refused_in_one_line();
    assert!(said.contains("another node") && said.contains("--data"), "{said}");
    // And the first one was not disturbed.
    assert_eq!(node.nodes().await.nodes.len(), 1);
}

#[tokio::test]
async fn a_verb_without_a_node_says_that_none_answers() {
    let mesh = TestMesh::new().await;
    let data = mesh.folder().join("a");
    for verb in [["nodes"].as_slice(), &["apps"], &["link", "ls"], &["metrics"], &["logs"]] {
        let args = verb.iter().map(OsString::from).chain(["--data".into(), data.clone().into()]);
        let said = wattle(args).await.refused_in_one_line();
        assert!(said.contains("no node answers") && said.contains("wattle up"), "{said}");
    }
}

#[tokio::test]
async fn a_disk_that_can_not_be_written_to_is_told_in_one_line() {
    let test = "a_disk_that_can_not_be_written_to_is_told_in_one_line";
    if !mounts(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let disk = SmallDisk::new(&mesh, "read-only", 1024);
    let data = disk.folder().join("a");
    disk.make_read_only();
    let said = up(&mesh, &data, &[]).await.refused_in_one_line();
    assert!(said.contains("Read-only file system") && said.contains("read-only/a"), "{said}");
}

#[tokio::test]
async fn a_full_disk_is_told_in_one_line_and_a_start_after_it_finds_nothing_half_done() {
    let test = "a_full_disk_is_told_in_one_line_and_a_start_after_it_finds_nothing_half_done";
    if !mounts(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let disk = SmallDisk::new(&mesh, "full", 16 * 1024);
    let data = disk.folder().join("a");
    disk.fill();
    let said = up(&mesh, &data, &[]).await.refused_in_one_line();
    assert!(said.contains("No space left") && said.contains("full/a"), "{said}");

    // Its key fits, and nothing else. What could not be written before is not in the way.
    disk.empty();
    let made = id(&data).await;
    disk.fill();
    let said = up(&mesh, &data, &[]).await.refused_in_one_line();
    assert!(said.contains("No space left") && said.contains("full/a"), "{said}");

    disk.empty();
    let node = mesh.node("a").data(data).start().await;
    assert_eq!(node.id(), made);
}

#[tokio::test]
async fn a_disk_that_fills_up_under_a_node_fails_what_needs_it_and_nothing_else() {
    let test = "a_disk_that_fills_up_under_a_node_fails_what_needs_it_and_nothing_else";
    if !mounts(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let disk = SmallDisk::new(&mesh, "filling", 32 * 1024);
    let node: TestNode = mesh.node("a").http().data(disk.folder().join("a")).start().await;
    let counter = ManifestText::of_example("counter").write(&mesh, "counter.toml").await;
    node.run(&counter, "counter/counter", &node).await;
    let mut connection = HttpConnection::open(node.http().await).await;
    assert_eq!(connection.get("a", "/").await.number(), 1);

    disk.fill();
    let streamer = ManifestText::new(STREAMER).write(&mesh, "streamer.toml").await;
    let said = node.apply(&streamer).await.refused();
    assert!(said.contains("No space left"), "{said}");
    assert!(node.apps().await.component("streamer/streamer").is_none());
    // What can't be stored is not acknowledged, and what is stored can be read.
    let mut acknowledged = 1;
    for _ in 0..20 {
        let answer = connection.get("a", "/").await;
        match answer.status {
            200 => acknowledged = answer.number(),
            _ => assert_eq!(answer.status, 503, "{answer:?}"),
        }
        assert_eq!(connection.get("a", "/peek").await.number(), acknowledged);
    }

    disk.empty();
    eventually("the count goes on", PATIENCE, async || {
        let answer = connection.get("a", "/").await;
        holds(answer.status == 200, &answer)?;
        assert_eq!(answer.number(), acknowledged + 1);
        Ok(())
    })
    .await;
    node.apply(&streamer).await.ok();
}

#[tokio::test]
async fn the_binary_under_test_knows_its_version() {
    let said = wattle(["--version"]).await.ok();
    assert_eq!(said.trim(), format!("wattle {}", env!("CARGO_PKG_VERSION")));
    // Wrong usage is told by another code than failure.
    assert_eq!(wattle(["no-such-verb"]).await.code, Some(2));
}
