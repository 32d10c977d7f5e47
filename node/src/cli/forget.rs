//! `wattle forget`.

use anyhow::Result;
use clap::Args;
use wattle_contracts::id::NodeId;

use super::NodeArgs;
use super::output::{print, print_json};
use crate::api::ForgetReply;

#[derive(Args)]
pub(super) struct Forget {
    /// The node that is gone for good. Nobody waits for it any more before the traces of what was
    /// deleted go. If it comes back all the same, it takes over what the others hold.
    #[arg(value_name = "NODE-ID")]
    gone: NodeId,
    #[command(flatten)]
    node: NodeArgs,
}

impl Forget {
    pub(super) async fn run(self) -> Result<()> {
        let path = format!("/v1/members/{}", self.gone);
        let reply: ForgetReply = self.node.client().delete(&path).await?;
        if self.node.json {
            return print_json(&reply);
        }
        print(&format!("{} is no longer waited for\n", reply.node))
    }
}
