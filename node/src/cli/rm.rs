//! `wattle rm`.

use anyhow::Result;
use clap::Args;
use wattle_contracts::id::AppName;

use super::NodeArgs;
use super::output::{print, print_json};
use crate::api::ApplyReply;

#[derive(Args)]
pub(super) struct Rm {
    /// The app. What its stores hold stays on disk, and is there again if the app is.
    app: AppName,
    #[command(flatten)]
    node: NodeArgs,
}

impl Rm {
    pub(super) async fn run(self) -> Result<()> {
        let path = format!("/v1/apps/{}", self.app);
        let reply: ApplyReply = self.node.client()?.delete(&path).await?;
        if self.node.json {
            return print_json(&reply);
        }
        print(&format!("removed {}\n", reply.app))
    }
}
