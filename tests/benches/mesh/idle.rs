//! What a node costs that has nothing to do.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::commands::Options;
use crate::node::{Node, Site};
use crate::places;
use crate::report::Report;

/// What a node does when it starts is over by then.
const REST: Duration = Duration::from_secs(10);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    eprintln!("idle node");
    let (alone, pair) = (Site::new()?, Site::new()?);
    let lonely = alone.start("a", false).await?;
    let (first, second) = (pair.start("a", false).await?, pair.start("b", false).await?);
    first.sees(1).await?;
    tokio::time::sleep(options.pick(REST, Duration::from_secs(1))).await;
    let time = options.pick(Duration::from_secs(60), Duration::from_secs(3));
    let nodes = [("alone in its mesh", &lonely), ("connected to another", &first)];
    let before = nodes.map(|(_, node)| node.cpu());
    tokio::time::sleep(time).await;
    for ((what, node), before) in nodes.into_iter().zip(before) {
        let used = node.cpu()?.saturating_sub(before?);
        let share = 100.0 * used.as_secs_f64() / time.as_secs_f64();
        let resident = status(node, "VmRSS")? as f64 / f64::from(1 << 10);
        let threads = status(node, "Threads")?;
        let seconds = time.as_secs();
        let used = used.as_millis();
        report.print(
            format!("idle node, {what}"),
            format!(
                "{resident:.1} MiB resident, {threads} threads, {used} ms of CPU in {seconds} s ({share:.2} %)"
            ),
        );
    }
    drop(second);
    let size = fs::metadata(places::wattle()?)?.len() as f64 / f64::from(1 << 20);
    report.print("stripped binary", format!("{size:.1} MiB"));
    Ok(())
}

/// A number in the node's `/proc/PID/status`.
fn status(node: &Node, key: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", node.process_id()))
        .context("the node is gone")?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("no {key} in its status"))?.parse()?)
}
