//! What is wrong with a manifest is told by file, line and column, and nothing of it is applied.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

use wattle_tests::manifest::ManifestText;
use wattle_tests::{TestMesh, TestNode};

/// Applies the counter's manifest with one change, and gives back what is said of it after the
/// file's name.
async fn refusal(mesh: &TestMesh, node: &TestNode, from: &str, to: &str) -> String {
    let manifest = ManifestText::of_example("counter").with(from, to).write(mesh, "app.toml").await;
    said_of(node, &manifest).await
}

async fn said_of(node: &TestNode, manifest: &Path) -> String {
    let said = node.apply(manifest).await.refused();
    let name = format!("wattle: {}:", manifest.display());
    let rest = said.strip_prefix(&name);
    rest.unwrap_or_else(|| panic!("it does not begin with `{name}`: {said}")).to_owned()
}

#[tokio::test]
async fn an_error_in_a_manifest_is_told_with_its_place_and_nothing_is_applied() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    let cases = [
        // A wrong type.
        ("replicas = 1", "replicas = \"one\"", "6:12: ", "expected u32"),
        ("to = \"counts\"", "to = 7", "15:6: ", "expected a string"),
        // An unknown key, at each level.
        ("replicas = 1", "replica = 1", "6:1: ", "`replica`"),
        ("app = \"counter\"", "app = \"counter\"\nversion = 2", "3:1: ", "`version`"),
        ("path = \"/\"", "paths = \"/\"", "19:1: ", "`paths`"),
        // A reference to nothing.
        ("to = \"counts\"", "to = \"count\"", "15:6: ", "`counts`"),
        ("component = \"counter\"", "component = \"web\"", "18:13: ", "`counter`"),
        ("from = \"counter\"", "from = \"count\"", "13:8: ", "`counter`"),
        // Bad values.
        ("app = \"counter\"", "app = \"Counter\"", "2:7: ", "lower-case"),
        ("replicas = 1", "replicas = 0", "6:12: ", "from 1"),
        ("path = \"/\"", "path = \"x\"", "19:8: ", "starts with `/`"),
        ("contract = \"wasi:keyvalue\"", "contract = \"wasi:sql\"", "10:12: ", "wasi:keyvalue"),
        // No TOML at all.
        ("[provider.counts]", "[provider.counts", "9:", ""),
    ];
    for (from, to, place, part) in cases {
        let said = refusal(&mesh, &node, from, to).await;
        assert!(said.starts_with(place), "`{to}` is at {place}, not {said}");
        assert!(said.contains(part), "no `{part}` in {said}");
        // The line itself is shown, with a finger on the place.
        assert!(said.contains(" | ") && said.contains('^'), "{said}");
    }
    assert!(node.apps().await.apps.is_empty());
    // Nor was anything sent along.
    let artifacts = std::fs::read_dir(node.data().join("artifacts")).unwrap();
    assert_eq!(artifacts.count(), 0);
}

#[tokio::test]
async fn what_a_manifest_names_must_be_a_component() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    let text = "app = \"x\"\n\n[component.x]\nwasm = \"x.wasm\"\n";
    let manifest = mesh.write("app.toml", text);

    let said = said_of(&node, &manifest).await;
    assert!(said.starts_with("4:8: ") && said.contains("x.wasm"), "{said}");
    assert!(said.contains("No such file"), "{said}");

    for (content, part) in [
        (b"\0asm\x01\0\0\0".as_slice(), "core module"),
        (b"hello", "not a WebAssembly component"),
        (b"", "not a WebAssembly component"),
    ] {
        mesh.write("x.wasm", content);
        let said = node.apply(&manifest).await.refused();
        assert!(said.contains("x.wasm") && said.contains(part), "{said}");
    }
    // Nor can it be signed.
    let mut args = vec!["sign".into(), mesh.folder().join("x.wasm").into_os_string()];
    args.extend(["--key".into(), mesh.folder().join("publisher.key").into()]);
    wattle_tests::command::wattle(args).await.refused_in_one_line();

    // One that is signed, and does not compile: its text is cut in the middle.
    let whole = std::fs::read(wattle_tests::paths::guest("echo")).unwrap();
    let half = mesh.write("half.wasm", &whole[..whole.len() / 2]);
    let signed = mesh.folder().join("x.wasm");
    let mut args = vec!["sign".into(), half.into_os_string(), "--out".into(), signed.into()];
    args.extend(["--key".into(), mesh.folder().join("publisher.key").into()]);
    wattle_tests::command::wattle(args).await.ok();
    let said = said_of(&node, &manifest).await;
    assert!(said.starts_with("4:8: ") && said.contains("`x`"), "{said}");

    let missing = mesh.folder().join("missing.toml");
    let said = node.apply(&missing).await.refused_in_one_line();
    assert!(said.contains("missing.toml") && said.contains("No such file"), "{said}");

    assert!(node.apps().await.apps.is_empty());
}
