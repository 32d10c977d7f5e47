//! Secrets: sealed to the nodes that may run their component, and opened nowhere else.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up, paths};

const APP: &str = r#"app = "vault"

[component.keeper]
wasm = "keeper.wasm"
on = { role = "vault" }
replicas = 2
"#;

const FIRST: &str = "correct horse battery staple";
const SECOND: &str = "Tr0ub4dor&3";

/// What the component says of a secret: how long it is, and its FNV-1a hash.
fn fingerprint(secret: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = secret.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("ok(some(\"{} {hash:016x}\"))", secret.len())
}

/// `wattle secret put`, with the secret on standard input.
async fn put(node: &TestNode, secret: &str) -> String {
    let mut command = node.command(["secret", "put", "vault/keeper", "token"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{secret}\n").as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn says(node: &TestNode, expected: &str) {
    eventually(&format!("{} gets {expected}", node.name()), PATIENCE, async || {
        let said = node.call("vault/keeper", "fingerprint", "\"token\"").await;
        holds(said.as_ref().is_ok_and(|said| said == expected), said)
    })
    .await;
}

async fn secrets(node: &TestNode) -> Value {
    node.verb(["secret", "ls", "--json"]).await.json()
}

/// The files below `folder` that hold `text`.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(text.len()).any(|window| window == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_secret_is_opened_where_its_component_runs_and_follows_a_rotation() {
    let mesh = TestMesh::new().await;
    let vault = mesh.node("vault").label("role", "vault");
    let [vault, other] = Up::start_all([vault, mesh.node("other")]).await;
    meet(&[&vault, &other], PATIENCE).await;
    mesh.publisher().sign(&paths::guest("keeper"), &mesh.folder().join("keeper.wasm")).await;
    let manifest = mesh.write("app.toml", APP);
    other.verb(["apply".as_ref(), "--wait".as_ref(), "0".as_ref(), manifest.as_os_str()]).await;
    other.sees_running("vault/keeper", &[&vault]).await;
    says(&other, "ok(none)").await;

    // Put through a node that can't open it.
    put(&other, FIRST).await;
    says(&other, &fingerprint(FIRST)).await;
    let listed = secrets(&other).await;
    assert_eq!(listed["secrets"][0]["sealed_to"], serde_json::json!([vault.id()]), "{listed}");
    put(&other, SECOND).await;
    says(&other, &fingerprint(SECOND)).await;

    // A node that comes later is handed it by one that can open it.
    let late = mesh.node("late").label("role", "vault").start().await;
    late.sees_running("vault/keeper", &[&late, &vault]).await;
    says(&late, &fingerprint(SECOND)).await;
    let listed = secrets(&late).await;
    assert_eq!(listed["secrets"][0]["not_sealed_to"], serde_json::json!([late.id()]), "{listed}");
    let handed = vault.written("secret-handed-over", |_| true).await;
    assert_eq!((&handed["to"], &handed["name"]), (&late.id().into(), &"token".into()));
    late.written("secret-used", |entry| entry["component"] == "vault/keeper").await;

    // It stands nowhere in the open: no file, no log, no answer.
    for secret in [FIRST, SECOND] {
        assert_eq!(files_with(mesh.folder(), secret), Vec::<String>::new());
        for node in [&vault, &other, &late] {
            assert!(!node.process().log().contains(secret));
            assert!(!secrets(node).await.to_string().contains(secret));
        }
    }

    other.verb(["secret", "rm", "vault/keeper", "token"]).await.ok();
    says(&other, "ok(none)").await;
    let said = other.verb(["secret", "rm", "vault/keeper", "token"]).await.refused_in_one_line();
    assert!(said.contains("there is no secret `vault/keeper/token`"), "{said}");
}

#[tokio::test]
async fn what_can_not_be_put_is_refused_with_the_reason() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    let file = mesh.write("secret.txt", FIRST);
    let put = async |component: &str| {
        let args = ["secret", "put", component, "token", "--file", file.to_str().unwrap()];
        node.verb(args).await.refused_in_one_line()
    };
    let said = put("vault/keeper").await;
    assert!(said.contains("no app `vault`"), "{said}");
    mesh.publisher().sign(&paths::guest("keeper"), &mesh.folder().join("keeper.wasm")).await;
    let manifest = mesh.write("app.toml", APP);
    node.verb(["apply".as_ref(), "--wait".as_ref(), "0".as_ref(), manifest.as_os_str()]).await;
    let said = put("vault/keeper").await;
    assert!(said.contains("nobody to seal a secret to"), "{said}");
}
