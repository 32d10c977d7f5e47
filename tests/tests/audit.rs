//! What a node has written down, and who notices when it was changed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wattle_tests::command::{Answer, wattle};
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up, ports};

const ECHO: &str = "app = \"echo\"\n\n[component.echo]\nwasm = \"echo.wasm\"\n";

/// A node tells how far its log reaches every ten seconds, and looks as often; a witness writes it
/// down every thirty.
const WITNESSED: Duration = Duration::from_secs(90);

async fn verify(data: &Path) -> Answer {
    wattle(["audit".as_ref(), "verify".as_ref(), "--data".as_ref(), data.as_os_str()]).await
}

fn files(data: &Path) -> Vec<PathBuf> {
    let folder = fs::read_dir(data.join("audit")).unwrap();
    folder.map(|file| file.unwrap().path()).collect()
}

fn log(data: &Path) -> PathBuf {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    files(data).into_iter().find(is_log).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files(from) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn what_is_let_in_declared_run_and_refused_is_written_down_and_a_change_of_it_shows() {
    let (mesh, theirs) = (TestMesh::new().await, TestMesh::new().await);
    let address = ports::udp();
    let mut node = mesh.node("a").listen(address).start().await;
    let friend = mesh.node("b").start().await;
    meet(&[&node, &friend], PATIENCE).await;
    let manifest = ManifestText::new(ECHO).on("component.echo", "a").write(&mesh, "app.toml").await;
    node.run(&manifest, "echo/echo", &node).await;
    let join = ["--no-mdns".to_owned(), "--join".to_owned(), address.to_string()];
    let stranger = theirs.node("x").discovery(join).start().await;

    let refused = node.written("refused", |_| true).await;
    assert!(refused["why"].as_str().unwrap().contains("it belongs to another mesh"), "{refused}");
    let told = stranger.written("refused-by-peer", |entry| entry["peer"] == node.id()).await;
    assert!(told["why"].as_str().unwrap().contains("do not know the same mesh"), "{told}");
    let admitted = node.written("admitted", |_| true).await;
    assert_eq!(admitted["node"], friend.id(), "{admitted}");
    node.written("record-taken", |entry| entry["key"] == "app/echo").await;
    let started = node.written("component-started", |_| true).await;
    assert_eq!(started["component"], "echo/echo", "{started}");
    assert_eq!(started["publisher"], mesh.publisher().public(), "{started}");
    node.verb(["rm", "echo"]).await.ok();
    node.written("component-stopped", |entry| entry["component"] == "echo/echo").await;

    // While it runs, and after.
    verify(node.data()).await.ok();
    assert_eq!(node.stop(PATIENCE).await.code(), Some(0));
    let said = verify(node.data()).await.ok();
    assert!(said.contains("whole") && said.contains(node.id()), "{said}");

    let path = log(node.data());
    let good = fs::read_to_string(&path).unwrap();
    let changed = good.replacen("it belongs to another mesh", "it belonged to another mesh", 1);
    fs::write(&path, changed).unwrap();
    let answer = verify(node.data()).await;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stdout.contains("was changed"), "{answer:?}");

    let cut: String = good.lines().take(3).map(|line| format!("{line}\n")).collect();
    fs::write(&path, cut).unwrap();
    let answer = verify(node.data()).await;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stdout.contains("taken out at its end"), "{answer:?}");
    // The node says so itself, and goes on.
    node.restart_without_flags().await;
    let damaged = entries_of_damaged(&node).await;
    assert!(damaged.contains("taken out at its end"), "{damaged}");
}

/// What a node that was started on a log that is not whole has written into it.
async fn entries_of_damaged(node: &TestNode) -> String {
    node.verb(["audit", "query", "--json", "--what", "damaged"]).await.stdout
}

#[tokio::test]
async fn a_log_that_was_cut_short_with_its_signature_is_noticed_by_the_others() {
    let mesh = TestMesh::new().await;
    let [mut a, b] = Up::start_all([mesh.node("a"), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    // All of it as it is now, made good for by the node itself.
    let old = mesh.folder().join("old");
    copy(a.data(), &old);
    for value in ["1", "2", "3"] {
        a.verb(["config", "put", "shop/basket", &format!("rate={value}"), "--ahead"]).await.ok();
    }
    let reached = eventually("all three are written down", PATIENCE, async || {
        let taken = a.audit("record-taken").await;
        let is_rate = |entry: &&serde_json::Value| entry["key"] == "config/shop/basket/rate";
        let third = taken.iter().filter(is_rate).nth(2).and_then(|entry| entry["n"].as_u64());
        third.ok_or_else(|| format!("{taken:#?}"))
    })
    .await;
    eventually("the other has witnessed it", WITNESSED, async || {
        let seen = b.audit("witnessed").await;
        let seen: Vec<_> = seen.iter().filter(|entry| entry["node"] == a.id()).collect();
        let so_far = seen.iter().any(|entry| entry["number"].as_u64().unwrap() >= reached);
        holds(so_far, format!("{seen:?}"))
    })
    .await;
    let export = mesh.folder().join("b.export");
    b.verb(["audit", "export", "--out", export.to_str().unwrap()]).await.ok();

    a.kill();
    for file in files(a.data()) {
        fs::remove_file(file).unwrap();
    }
    for file in fs::read_dir(&old).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, a.data().join("audit").join(file.file_name().unwrap())).unwrap();
    }
    // By itself it is whole; held against the other's it is not.
    verify(a.data()).await.ok();
    let alone = mesh.folder().join("a.export");
    a.verb(["audit", "export", "--out", alone.to_str().unwrap()]).await.ok();
    let answer =
        wattle(["audit".as_ref(), "verify".as_ref(), export.as_os_str(), alone.as_os_str()]).await;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stdout.contains("has seen that it reached entry"), "{answer:?}");

    a.restart_without_flags().await;
    eventually("the other notices", WITNESSED, async || {
        let failed = b.audit("witness-failed").await;
        holds(failed.iter().any(|entry| entry["node"] == a.id()), format!("{failed:?}"))
    })
    .await;
}
