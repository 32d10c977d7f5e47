//! Components that are made to do harm, on a real node: each is contained and named, and the others
//! are served meanwhile. An endless loop, a memory bomb, deep recursion and too many calls at once
//! are in `limits.rs`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wattle_tests::manifest::ManifestText;
use wattle_tests::{TestMesh, TestNode};

/// No call of somebody who means no harm takes so long. What does harm has two seconds more, so
/// that whoever had to wait for its end would be noticed.
const SERVED: Duration = Duration::from_secs(10);

/// Writes a component and has it signed.
async fn guest(mesh: &TestMesh, name: &str, text: &str) -> PathBuf {
    let plain = mesh.write(&format!("{name}-plain.wasm"), wat::parse_str(text).unwrap());
    let signed = mesh.folder().join(format!("{name}.wasm"));
    mesh.publisher().sign(&plain, &signed).await;
    signed
}

async fn echo(mesh: &TestMesh, node: &TestNode) {
    let text = "app = \"echo\"\n\n[component.echo]\nwasm = \"echo.wasm\"\n";
    let manifest = ManifestText::new(text).write(mesh, "echo.toml").await;
    node.run(&manifest, "echo/echo", node).await;
}

/// The longest of some calls of somebody who means no harm.
async fn longest(node: &TestNode, calls: usize) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..calls {
        let begun = Instant::now();
        assert_eq!(node.call("echo/echo", "echo", "[1]").await.unwrap(), "[1]");
        longest = longest.max(begun.elapsed());
    }
    longest
}

/// One function, which takes a compiler a minute: it has more to do for each step the more there are.
fn slow_to_compile() -> String {
    let mut body = String::new();
    for step in 0u32..100_000 {
        let (from, to) = (step % 997, step.wrapping_mul(7919) % 997);
        let _ = write!(
            body,
            "(local.set {to} (i64.mul (i64.add (local.get {from}) (local.get {to})) (i64.load \
             (i32.wrap_i64 (local.get {from})))))"
        );
    }
    let locals = "i64 ".repeat(1000);
    format!(
        "(component (core module $m (memory 1) (func (export \"f\") (local {locals}) {body}))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\")))
            (export \"f\" (func $f)))"
    )
}

#[tokio::test]
async fn a_component_that_is_slow_to_compile_is_given_up_and_others_are_served_meanwhile() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").args(["--compile-time", "12"]).start().await;
    echo(&mesh, &node).await;
    let slow = guest(&mesh, "slow", &slow_to_compile()).await;
    let text = format!("app = \"slow\"\n\n[component.slow]\nwasm = {slow:?}\n");
    let manifest = mesh.write("slow.toml", text);
    let begun = Instant::now();
    let (answer, longest) = tokio::join!(node.apply(&manifest), longest(&node, 5));
    let said = answer.refused();
    assert!(said.contains("longer than 12s") && said.contains("`slow`"), "{said}");
    assert!(longest < SERVED, "{longest:?}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    // Nobody pays for it twice.
    let said = node.apply(&manifest).await.refused();
    assert!(said.contains("longer than 12s"), "{said}");
}

const HOSTILE: &str = r#"(component
    (import "wasi:logging/logging" (instance $logging
        (type $l (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $l)))
        (export "log" (func (param "level" $level) (param "context" string)
            (param "message" string)))))
    (core module $memory (memory (export "memory") 600))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $m))
    (core func $log (canon lower (func $logging "log") (memory $m)))
    (core module $code
        (import "" "memory" (memory 600))
        (import "" "log" (func $log (param i32 i32 i32 i32 i32)))
        (func (export "list") (result i32)
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const 4000000))
            (i32.const 0))
        (func (export "flood") (param $left i32)
            (loop $again
                (call $log (i32.const 2) (i32.const 64) (i32.const 4) (i32.const 64)
                    (i32.const 1000))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left)))))
    (core instance $code (instantiate $code (with "" (instance
        (export "memory" (memory $m)) (export "log" (func $log))))))
    (func $list (result (list string))
        (canon lift (core func $code "list") (memory $m)))
    (func $flood (param "lines" u32) (canon lift (core func $code "flood")))
    (export "list" (func $list))
    (export "flood" (func $flood)))"#;

#[tokio::test]
async fn a_huge_list_and_a_flood_of_lines_end_where_they_are_to_end() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    echo(&mesh, &node).await;
    let hostile = guest(&mesh, "hostile", HOSTILE).await;
    let text = format!(
        "app = \"bad\"\n\n[component.hostile]\nwasm = {hostile:?}\nlimits = {{ time = \"12s\" }}\n"
    );
    let manifest = mesh.write("bad.toml", text);
    node.run(&manifest, "bad/hostile", &node).await;

    // 32 MB there, and many times that here.
    let error = node.call("bad/hostile", "list", "").await.unwrap_err();
    assert_eq!(error.kind, "trapped", "{error:?}");
    assert!(error.error.contains("at once, its limit"), "{error:?}");

    // The last second may end before it is full, and the log is short: it is asked again then.
    for attempt in 1.. {
        let flood = node.call("bad/hostile", "flood", "4000000000");
        let (flood, longest) = tokio::join!(flood, longest(&node, 5));
        let error = flood.unwrap_err();
        assert!(["deadline", "trapped"].contains(&&*error.kind), "{error:?}");
        assert!(longest < SERVED, "{longest:?}");
        let log = node.verb(["logs", "bad/hostile", "--lines", "2000"]).await.ok();
        if log.contains("lines in a second, its limit") {
            break;
        }
        assert!(attempt < 5, "{} bytes of log", log.len());
    }
    assert!(longest(&node, 3).await < SERVED);
}
