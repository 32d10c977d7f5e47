//! `wattle nodes`.

use anyhow::Result;
use clap::Args;

use super::NodeArgs;
use super::output::{labels, print, print_json, table, when};
use crate::api::{Difference, NodeInfo, NodesReply};

#[derive(Args)]
pub(super) struct Nodes {
    #[command(flatten)]
    node: NodeArgs,
}

impl Nodes {
    pub(super) async fn run(self) -> Result<()> {
        let reply: NodesReply = self.node.client()?.get("/v1/nodes").await?;
        if self.node.json {
            return print_json(&reply);
        }
        let rows: Vec<_> = reply.nodes.iter().map(row).collect();
        let header = ["NODE", "CELL", "STANDING", "RTT", "LABELS", "RUNS", "HTTP", "ADDRESS"];
        let (table, reach, papers) = (table(header, &rows), reach(&reply), papers(&reply));
        print(&format!("{}\n{table}{reach}{papers}", reply.mesh))
    }
}

/// Whose paper runs out soon, and what is to be done.
fn papers(reply: &NodesReply) -> String {
    let mut text = String::new();
    for node in &reply.nodes {
        let Some(paper) = node.paper.as_ref().filter(|paper| paper.late) else { continue };
        let (id, until) = (node.id, when(paper.until));
        text.push_str(&format!("the paper of {id} is valid until {until} only: "));
        let whoever = "whoever keeps the mesh's key gives a new one: wattle mesh renew";
        text.push_str(&match reply.renewers.is_empty() {
            true => format!("{whoever} {id} (or lets a node do it: wattle mesh renewer)\n"),
            false => {
                let names: Vec<String> = reply.renewers.iter().map(ToString::to_string).collect();
                let names = names.join(", ");
                format!("is one of those that renew it up ({names})? Else {whoever} {id}\n")
            }
        });
    }
    text
}

/// Who reaches whom, and where others see something else than this node, unless all is well.
fn reach(reply: &NodesReply) -> String {
    let own = reply.nodes.iter().find(|node| node.is_self).map(|node| &node.cell);
    let is_near = |node: &&NodeInfo| Some(&node.cell) == own;
    let members = || reply.nodes.iter().filter(|n| n.standing != "left").filter(is_near);
    let whole = members().all(|from| {
        let reaches = |to: &NodeInfo| from.sees.get(&to.id).is_some_and(|seen| seen == "direct");
        from.sees.is_empty() || members().all(|to| to.id == from.id || reaches(to))
    });
    let mut text = String::new();
    if !whole {
        text.push_str("\nwho reaches whom:\n");
        for from in members().filter(|node| !node.sees.is_empty()) {
            let seen = from.sees.iter().map(|(to, seen)| format!("{} {seen}", to.short()));
            let seen: Vec<String> = seen.collect();
            text.push_str(&format!("  {}: {}\n", from.id.short(), seen.join(", ")));
        }
    }
    for Difference { by, of, here, there } in &reply.differs {
        let (by, of) = (by.short(), of.short());
        text.push_str(&format!("{by} sees {of} as {there}, this node as {here}\n"));
    }
    text
}

fn row(node: &NodeInfo) -> [String; 8] {
    let standing = match (&node.via, node.connected) {
        _ if node.is_self => "this node".to_string(),
        (None, false) if node.told => format!("{} (by its cell's summary)", node.standing),
        (Some(via), _) => format!("{} (via {})", node.standing, via.short()),
        _ if node.one_way => format!("{} (it does not hear this node)", node.standing),
        (None, true) => node.standing.clone(),
        (None, false) => format!("{} (not connected)", node.standing),
    };
    let rtt = node.rtt_micros.map_or("-".into(), |rtt| match rtt {
        0..1000 => format!("{rtt} µs"),
        _ => format!("{}.{} ms", rtt / 1000, rtt % 1000 / 100),
    });
    let runs: Vec<String> = node.runs.iter().map(ToString::to_string).collect();
    let dash = |text: String| if text.is_empty() { "-".to_string() } else { text };
    [
        node.id.to_string(),
        match node.ambassador {
            true => format!("{} (ambassador)", node.cell),
            false => node.cell.to_string(),
        },
        standing,
        rtt,
        labels(&node.labels),
        dash(runs.join(",")),
        dash(node.http.clone().unwrap_or_default()),
        dash(node.addresses.first().cloned().unwrap_or_default()),
    ]
}
