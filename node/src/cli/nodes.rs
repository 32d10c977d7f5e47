//! `wattle nodes`.

use anyhow::Result;
use clap::Args;

use super::NodeArgs;
use super::output::{labels, print, print_json, table};
use crate::api::{NodeInfo, NodesReply};

#[derive(Args)]
pub(super) struct Nodes {
    #[command(flatten)]
    node: NodeArgs,
}

impl Nodes {
    pub(super) async fn run(self) -> Result<()> {
        let reply: NodesReply = self.node.client().get("/v1/nodes").await?;
        if self.node.json {
            return print_json(&reply);
        }
        let rows: Vec<_> = reply.nodes.iter().map(row).collect();
        let header = ["NODE", "STANDING", "RTT", "LABELS", "RUNS", "HTTP", "ADDRESS"];
        print(&format!("{}\n{}", reply.mesh, table(header, &rows)))
    }
}

fn row(node: &NodeInfo) -> [String; 7] {
    let standing = match (node.is_self, node.connected) {
        (true, _) => "this node".to_string(),
        (false, true) => node.standing.clone(),
        (false, false) => format!("{} (not connected)", node.standing),
    };
    let rtt = node.rtt_micros.map_or("-".into(), |rtt| match rtt {
        0..1000 => format!("{rtt} µs"),
        _ => format!("{}.{} ms", rtt / 1000, rtt % 1000 / 100),
    });
    let runs: Vec<String> = node.runs.iter().map(ToString::to_string).collect();
    let dash = |text: String| if text.is_empty() { "-".to_string() } else { text };
    [
        node.id.to_string(),
        standing,
        rtt,
        labels(&node.labels),
        dash(runs.join(",")),
        dash(node.http.clone().unwrap_or_default()),
        dash(node.addresses.first().cloned().unwrap_or_default()),
    ]
}
