//! `wattle leave`.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::NodeArgs;
use super::output::{print, print_json};
use crate::api::{LeaveReply, NodesReply};

/// Between two looks whether it is gone.
const STEP: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(super) struct Leave {
    #[command(flatten)]
    node: NodeArgs,
    /// How long to wait until it has left, in seconds. It goes on leaving after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

impl Leave {
    pub(super) async fn run(self) -> Result<()> {
        let client = self.node.client()?;
        let reply: LeaveReply = client.post("/v1/leave", &()).await?;
        let gone = async {
            // Its socket goes last.
            while !client.get::<NodesReply>("/v1/nodes").await.is_err_and(|error| error.is_nobody())
            {
                tokio::time::sleep(STEP).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(self.timeout), gone).await.is_err() {
            bail!("{} is still finishing calls after {} s", reply.node, self.timeout);
        }
        if self.node.json {
            return print_json(&reply);
        }
        print(&format!("{} has left\n", reply.node))
    }
}
