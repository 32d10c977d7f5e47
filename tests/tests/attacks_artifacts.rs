//! What is not, or not any more, what a trusted publisher has signed does not run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::publisher::Publisher;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up, command, paths};

fn app(name: &str) -> ManifestText {
    let text = "app = \"x\"\n\n[component.echo]\nwasm = \"echo.wasm\"\n";
    ManifestText::new(text).named(name)
}

async fn trust(node: &TestNode, publisher: &Publisher, name: &str, rules: &[&str]) -> String {
    let add = ["publisher", "add", publisher.public(), "--name", name];
    node.verb(add.iter().chain(rules)).await.ok()
}

/// Waits until `node` does not run `component`, and `asked` says why.
async fn refused(asked: &TestNode, component: &str, node: &TestNode, why: &[&str]) {
    eventually("it is refused, and that is said", PATIENCE, async || {
        let apps = asked.apps().await;
        let found = apps.component(component).unwrap();
        let said = found.failing.get(node.id());
        let told = said.is_some_and(|said| why.iter().all(|part| said.contains(part)));
        holds(told && found.running.is_empty(), apps)
    })
    .await;
}

#[tokio::test]
async fn what_runs_stops_when_its_publisher_or_a_rule_goes() {
    let mesh = TestMesh::new().await;
    let nodes = [mesh.node("a").trusting_nobody(), mesh.node("b").trusting_nobody()];
    let [a, b] = Up::start_all(nodes).await;
    meet(&[&a, &b], PATIENCE).await;
    let publisher = mesh.publisher().clone();
    let manifest = app("store").on("component.echo", "b").write(&mesh, "store.toml").await;
    let said = a.apply(&manifest).await.refused();
    assert!(said.contains("not trusted"), "{said}");

    // Trusted by a record, on all nodes.
    trust(&a, &publisher, "acme", &[]).await;
    a.run(&manifest, "store/echo", &b).await;
    assert_eq!(a.call("store/echo", "echo", "[1]").await.unwrap(), "[1]");
    let listed = b.verb(["publisher", "ls"]).await.ok();
    assert!(listed.contains("acme") && listed.contains("everything"), "{listed}");

    // A narrower rule: it stops, and every node says why.
    let said = trust(&b, &publisher, "acme", &["--app", "shop-*"]).await;
    assert!(said.contains("store/echo") && said.contains("rule: app"), "{said}");
    refused(&a, "store/echo", &b, &["`acme`", "rule: app"]).await;
    let table = a.verb(["apps"]).await.ok();
    assert!(table.contains("fails on") && table.contains("rule: app"), "{table}");
    assert!(a.call("store/echo", "echo", "[1]").await.is_err());

    // One that leaves out what the component exports.
    let said = trust(&b, &publisher, "acme", &["--contract", "example:other"]).await;
    assert!(said.contains("store/echo") && said.contains("rule: contract"), "{said}");
    refused(&a, "store/echo", &b, &["`acme`", "rule: contract"]).await;
    let said = a.apply(&manifest).await.refused();
    assert!(said.contains("rule: contract"), "{said}");

    // Back again; then somebody else has it for itself; then the publisher goes.
    trust(&a, &publisher, "acme", &["--app", "store"]).await;
    a.sees_running("store/echo", &[&b]).await;
    let other = Publisher::new(mesh.folder().join("other.key")).await;
    trust(&a, &other, "other", &["--app", "store", "--exclusive"]).await;
    refused(&a, "store/echo", &b, &["`other` only"]).await;
    let said = a.apply(&manifest).await.refused();
    assert!(said.contains("`other` only"), "{said}");
    a.verb(["publisher", "rm", "other"]).await.ok();
    a.sees_running("store/echo", &[&b]).await;
    a.verb(["publisher", "rm", publisher.public()]).await.ok();
    refused(&a, "store/echo", &b, &[publisher.public(), "not trusted"]).await;
    let said = a.verb(["publisher", "rm", publisher.public()]).await.refused_in_one_line();
    assert!(said.contains("no publisher"), "{said}");
}

#[tokio::test]
async fn a_signature_beside_the_file_counts_and_one_byte_changed_does_not_run() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    let wasm = mesh.folder().join("plain.wasm");
    fs::copy(paths::guest("echo"), &wasm).unwrap();
    let key = mesh.folder().join("publisher.key");
    let sign: Vec<PathBuf> =
        vec!["sign".into(), wasm.clone(), "--key".into(), key, "--detached".into()];
    command::wattle(sign).await.ok();
    assert_eq!(fs::read(&wasm).unwrap(), fs::read(paths::guest("echo")).unwrap());
    let text = format!("app = \"plain\"\n\n[component.echo]\nwasm = {wasm:?}\n");
    let manifest = mesh.write("plain.toml", text);
    node.run(&manifest, "plain/echo", &node).await;
    let inspect = || [PathBuf::from("inspect"), wasm.clone()].into_iter();
    let inspected = command::wattle(inspect()).await.ok();
    let signed = format!("signed by {}", mesh.publisher().public());
    assert!(inspected.contains(&signed) && !inspected.contains("BAD"), "{inspected}");
    // With each contract what it is made of, the beginning of it at least.
    let json: Value = command::wattle(inspect().chain(["--json".into()])).await.json();
    let echo = &json["exports"][0];
    let (_, digits) = echo["fingerprint"].as_str().unwrap().split_once("sha256:").unwrap();
    let shown = format!("\n  {} {}\n", echo["contract"].as_str().unwrap(), &digits[..16]);
    assert!(inspected.contains(&shown), "no `{shown}` in\n{inspected}");

    let mut bytes = fs::read(&wasm).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&wasm, &bytes).unwrap();
    let said = node.apply(&manifest).await.refused();
    assert!(said.contains("changed after it was signed"), "{said}");
}

#[tokio::test]
async fn a_file_of_the_code_cache_that_was_swapped_is_not_run() {
    let mesh = TestMesh::new().await;
    let mut node = mesh.node("a").start().await;
    let text = r#"app = "two"

[component.echo]
wasm = "echo.wasm"

[component.misbehave]
wasm = "misbehave.wasm"
"#;
    let manifest = ManifestText::new(text).write(&mesh, "two.toml").await;
    node.apply(&manifest).await.ok();
    let code = || {
        let files = fs::read_dir(node_data(&node).join("code")).unwrap();
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "code"));
        files.sort();
        files
    };
    let files = code();
    let [one, other] = &files[..] else { panic!("two files of code: {files:?}") };
    let (first, second) = (fs::read(one).unwrap(), fs::read(other).unwrap());
    node.kill();
    // Both are genuine, each under the other's name.
    fs::write(one, &second).unwrap();
    fs::write(other, &first).unwrap();
    node.restart().await;
    node.sees_running("two/echo", &[&node]).await;
    node.sees_running("two/misbehave", &[&node]).await;
    assert_eq!(node.call("two/echo", "echo", "[1, 2]").await.unwrap(), "[1, 2]");
    assert_eq!(node.call("two/misbehave", "recurse", "0").await.unwrap(), "1");
    let log = node.process().log();
    assert!(log.matches("compiling again").count() >= 2, "{log}");
    // What stands there now is what was compiled anew: each under its own name.
    assert_ne!(fs::read(one).unwrap(), second);

    // And one byte of an artifact: it is not what was asked for any more.
    node.kill();
    let artifacts = fs::read_dir(node.data().join("artifacts")).unwrap();
    for file in artifacts.map(|file| file.unwrap().path()) {
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    node.restart().await;
    eventually("nothing runs, and the node says why", PATIENCE, async || {
        let apps = node.apps().await;
        let echo = apps.component("two/echo").unwrap().here.clone();
        holds(echo.is_some_and(|here| here.state == "failed"), apps)
    })
    .await;
    assert!(node.process().log().contains("damaged artifact"), "{}", node.process().log());
    let failed = node.written("component-failed", |entry| entry["component"] == "two/echo").await;
    assert!(failed["why"].as_str().is_some_and(|why| !why.is_empty()), "{failed}");
}

fn node_data(node: &TestNode) -> &std::path::Path {
    node.data()
}

/// Names become parts of paths and of addresses: nothing but a name is taken for one.
#[tokio::test]
async fn names_that_lead_elsewhere_are_no_names() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    let before = fs::read_dir(mesh.folder()).unwrap().count();
    for bad in ["../up", "..", "a/../../b", "/etc/passwd", "a\\0b", "a%2f..%2fb"] {
        for text in [
            format!("app = {bad:?}\n\n[component.echo]\nwasm = \"echo.wasm\"\n"),
            format!("app = \"x\"\n\n[component.{bad:?}]\nwasm = \"echo.wasm\"\n"),
        ] {
            let manifest = mesh.write("bad.toml", text);
            let said = node.apply(&manifest).await.refused();
            assert!(said.contains("lower-case") || said.contains("name"), "{said}");
        }
        node.verb(["rm", bad]).await;
        node.verb(["link", "put", bad, "a:b", bad, "--ahead"]).await;
        node.verb(["history", &format!("app/{bad}")]).await;
        node.verb(["publisher", "rm", bad]).await;
    }
    assert!(node.apps().await.apps.is_empty() && node.links().await.links.is_empty());
    let after = fs::read_dir(mesh.folder()).unwrap().count();
    assert_eq!(after, before + 1, "only the manifest was written");
    // The node is as well as before.
    let manifest = app("fine").write(&mesh, "fine.toml").await;
    node.run(&manifest, "fine/echo", &node).await;
}
