//! A publisher's key is replaced as docs/security.md says: the new one is trusted too, the component
//! is signed anew and applied, and the old key is revoked. The app goes on all the while.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::cell::Cell;
use std::ffi::OsStr;

use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::publisher::Publisher;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, Up, paths};

#[tokio::test]
async fn an_app_goes_on_while_the_key_of_its_publisher_is_replaced() {
    let mesh = TestMesh::new().await;
    let [a, mut b] = Up::start_all([mesh.node("a"), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let text = "app = \"echo\"\n\n[component.echo]\nwasm = \"echo.wasm\"\n";
    let manifest = ManifestText::new(text).on("component.echo", "b").write(&mesh, "e.toml").await;
    a.run(&manifest, "echo/echo", &b).await;
    let (old, wasm) = (mesh.publisher(), mesh.folder().join("echo.wasm"));
    let next = Publisher::new(mesh.folder().join("next.key")).await;

    let is_over = Cell::new(false);
    let calls = async {
        let mut answered = 0;
        while !is_over.get() {
            assert_eq!(a.call("echo/echo", "echo", "[1]").await.unwrap(), "[1]");
            answered += 1;
        }
        answered
    };
    let steps = async {
        a.verb(["publisher", "add", next.public(), "--name", "next"]).await.ok();
        eventually("the other trusts it too", PATIENCE, async || {
            let listed = b.verb(["publisher", "ls"]).await.ok();
            holds(listed.contains(next.public()), listed)
        })
        .await;
        next.sign(&paths::guest("echo"), &wasm).await;
        a.apply(&manifest).await.ok();
        b.written("component-started", |entry| entry["publisher"] == next.public()).await;
        let revoke = ["revoke", old.public(), "--key"].map(OsStr::new);
        a.verb(revoke.into_iter().chain([mesh.key().as_os_str()])).await.ok();
        b.written("record-taken", |entry| {
            let key = entry["key"].as_str().unwrap_or_default();
            key.starts_with("revocation/") && key.contains(old.public())
        })
        .await;
        // What was stopped for it would have been by now.
        a.sees_running("echo/echo", &[&b]).await;
        is_over.set(true);
    };
    let (answered, ()) = tokio::join!(calls, steps);
    assert!(answered > 0);
    assert!(b.audit("component-forbidden").await.is_empty());

    // The old key signs nothing any more that is taken, although the nodes were started with it.
    old.sign(&paths::guest("echo"), &wasm).await;
    let said = a.apply(&manifest).await.refused();
    assert!(said.contains("was revoked"), "{said}");
    b.restart().await;
    a.sees_running("echo/echo", &[&b]).await;
    assert_eq!(a.call("echo/echo", "echo", "[1]").await.unwrap(), "[1]");
}
