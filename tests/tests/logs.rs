//! What components log, where they run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use wattle_tests::TestMesh;
use wattle_tests::http::get;
use wattle_tests::manifest::ManifestText;
use wattle_tests::view::LogLine;
use wattle_tests::wait::{PATIENCE, within};

#[tokio::test]
async fn lines_are_shown_as_they_are_logged() {
    let mesh = TestMesh::new().await;
    let mut node = mesh.node("a").http().start().await;
    let counter = ManifestText::of_example("counter").write(&mesh, "app.toml").await;
    node.run(&counter, "counter/counter", &node).await;
    let http = node.http().await;
    get(http, "a", "/old").await;

    let mut command = node.command(["logs", "-f", "--json"]);
    let mut follower = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = async || -> LogLine {
        let line = within("a line", PATIENCE, lines.next_line()).await.unwrap();
        serde_json::from_str(&line.expect("the log goes on")).unwrap()
    };
    let old = next().await;
    assert_eq!(old.message, "old is now 1");
    get(http, "a", "/new").await;
    let new = next().await;
    assert_eq!(new.component, "counter/counter");
    assert_eq!((&*new.level, &*new.context), ("debug", "counter"));
    assert_eq!(new.message, "new is now 1");
    assert!(new.at >= old.at && old.at > 1_700_000_000_000);

    // For people, and not of others.
    let said = node.verb(["logs", "counter"]).await.ok();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("counter/counter [counter] new is now 1"), "{said}");
    assert_eq!(node.verb(["logs", "-n", "1"]).await.ok().lines().count(), 1);
    assert_eq!(node.verb(["logs", "other"]).await.ok(), "");

    // The follower does not hold the node up, and ends with it.
    assert!(node.stop(PATIENCE).await.success());
    within("the follower's end", PATIENCE, follower.wait()).await.unwrap();
}
