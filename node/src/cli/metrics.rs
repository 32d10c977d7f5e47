//! `wattle metrics`.

use anyhow::Result;
use clap::Args;

use super::NodeArgs;
use super::output::{print, print_json};
use crate::api::MetricsReply;

#[derive(Args)]
pub(super) struct Metrics {
    #[command(flatten)]
    node: NodeArgs,
}

impl Metrics {
    pub(super) async fn run(self) -> Result<()> {
        let reply: MetricsReply = self.node.client()?.get("/v1/metrics").await?;
        if self.node.json {
            return print_json(&reply);
        }
        let mut text = format!(
            "uptime_seconds {}\nmemory_bytes {}\nallocator {}\n",
            reply.uptime_seconds, reply.memory_bytes, reply.allocator
        );
        for (name, value) in &reply.counters {
            text.push_str(&format!("{name} {value}\n"));
        }
        print(&text)
    }
}
