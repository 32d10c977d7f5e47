//! A component that goes over its limits ends, and nothing else does.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use wattle_tests::http::{HttpConnection, Pieces, get};
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds, within};
use wattle_tests::{TestMesh, TestNode, Up};

/// The time is long enough for several verbs on a busy machine, each of which is a process.
const MANIFEST: &str = r#"app = "bad"

[component.misbehave]
wasm = "misbehave.wasm"
on = { name = "far" }
limits = { memory = "16MiB", time = "5s", concurrency = 2 }

[component.echo]
wasm = "echo.wasm"
on = { name = "far" }
"#;

async fn site() -> (TestMesh, [TestNode; 2]) {
    let mesh = TestMesh::new().await;
    let [near, far] = Up::start_all([mesh.node("near"), mesh.node("far")]).await;
    meet(&[&near, &far], PATIENCE).await;
    let manifest = ManifestText::new(MANIFEST).write(&mesh, "app.toml").await;
    near.apply(&manifest).await.ok();
    near.sees_running("bad/misbehave", &[&far]).await;
    near.sees_running("bad/echo", &[&far]).await;
    (mesh, [near, far])
}

#[tokio::test]
async fn an_endless_loop_ends_by_its_deadline_and_others_are_served_meanwhile() {
    let (_mesh, [near, far]) = site().await;
    for asked in [&near, &far] {
        let begun = Instant::now();
        let spin = asked.call("bad/misbehave", "spin", "");
        let others = async {
            for _ in 0..5 {
                assert_eq!(near.call("bad/echo", "echo", "[1, 2]").await.unwrap(), "[1, 2]");
            }
            begun.elapsed()
        };
        let (spun, done) = tokio::join!(spin, others);
        let error = spun.unwrap_err();
        assert!(["deadline", "trapped"].contains(&&*error.kind), "{error:?}");
        let spun = begun.elapsed();
        assert!(spun >= Duration::from_secs(5) && spun < Duration::from_secs(15), "{spun:?}");
        assert!(done < spun, "the others waited for the loop: {done:?}, {spun:?}");
    }

    // The caller's own deadline holds too, where it is earlier.
    let begun = Instant::now();
    let answer = near.verb(["call", "bad/misbehave", "spin", "--timeout", "300"]).await;
    let said = answer.refused_in_one_line();
    assert!(said.contains("deadline"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    idle(&far).await;
}

#[tokio::test]
async fn more_calls_than_a_component_may_have_are_refused_as_overloaded() {
    let (_mesh, [near, _far]) = site().await;
    let spin = || near.call("bad/misbehave", "spin", "");
    // The load is told every other second, so who is refused is not known before: of three at
    // once, one is.
    let begun = Instant::now();
    let (one, two, three) = tokio::join!(spin(), spin(), spin());
    let took = begun.elapsed();
    let mut kinds: Vec<String> =
        [one, two, three].map(|outcome| outcome.unwrap_err().kind).into_iter().collect();
    kinds.sort();
    assert_eq!(kinds, ["deadline", "deadline", "overloaded"]);
    assert!(took < Duration::from_secs(15), "{took:?}");
    // And after that it is as good as new.
    assert_eq!(near.call("bad/misbehave", "recurse", "0").await.unwrap(), "1");
}

#[tokio::test]
async fn memory_and_stack_end_where_they_are_to_end() {
    let (_mesh, [near, far]) = site().await;
    let process = far.process().id();
    for asked in [&near, &far] {
        let got = asked.call("bad/misbehave", "grow", "200").await.unwrap();
        let got: u32 = got.parse().unwrap();
        assert!((8..16).contains(&got), "{got} MiB of 16");

        let error = asked.call("bad/misbehave", "recurse", "4000000000").await.unwrap_err();
        assert_eq!(error.kind, "trapped", "{error:?}");
        assert!(error.error.contains("stack"), "{error:?}");

        let error = asked.call("bad/misbehave", "panic", "\"on purpose\"").await.unwrap_err();
        assert_eq!(error.kind, "trapped", "{error:?}");
        assert!(error.error.contains("bad/misbehave"), "{error:?}");
    }
    // What it said last is in the log of the node where it ran.
    let said = far.verb(["logs", "bad/misbehave"]).await.ok();
    assert!(said.contains("[stderr]") && said.contains("on purpose"), "{said}");
    assert_eq!(far.call("bad/echo", "echo", "[7]").await.unwrap(), "[7]");
    assert_eq!(far.process().id(), process);
    idle(&far).await;
}

#[tokio::test]
async fn over_http_the_kind_of_an_error_is_in_a_header() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").http().start().await;
    let text = r#"app = "one"

[component.streamer]
wasm = "streamer.wasm"
limits = { concurrency = 1, time = "5s" }

[[http]]
component = "streamer"
"#;
    let manifest = ManifestText::new(text).write(&mesh, "app.toml").await;
    node.run(&manifest, "one/streamer", &node).await;
    let http = node.http().await;
    let (body, pieces) = Pieces::new();
    body.send("x".into()).await.unwrap();
    let mut first = HttpConnection::open(http).await;
    let response = first.send("POST", "a", "/", pieces).await;
    assert_eq!(response.status(), 200);

    let answer = get(http, "a", "/bytes/1").await;
    assert_eq!((answer.status, answer.error.as_deref()), (503, Some("overloaded")), "{answer:?}");
    assert!(answer.text.contains("one/streamer"), "{answer:?}");
    // The time limit ends the first, in the middle of its body, and the next finds room. (The
    // gateway would end it after 30 seconds.)
    let end = within("the deadline", Duration::from_secs(15), response.into_body().collect()).await;
    assert!(end.is_err());
    drop(body);
    assert_eq!(get(http, "a", "/bytes/1").await.status, 200);
}

/// Waits until no call is under way on a node.
async fn idle(node: &TestNode) {
    eventually("nothing is under way", PATIENCE, async || {
        let nodes = node.nodes().await;
        holds(nodes.get(node.id()).unwrap().busy == 0, nodes)
    })
    .await;
}
