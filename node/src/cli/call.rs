//! `wattle call`.

use anyhow::Result;
use clap::Args;
use wattle_contracts::id::ComponentId;

use super::NodeArgs;
use super::output::{print, print_json};
use crate::api::{CallReply, CallRequest};

#[derive(Args)]
pub(super) struct Call {
    /// The component: app/component.
    #[arg(value_name = "APP/COMPONENT")]
    target: ComponentId,
    /// The function: its name, or contract#name where the name alone is not enough.
    function: String,
    /// The arguments in WAVE (WebAssembly Value Encoding), each by itself or separated by commas:
    /// '"text"' 7 '{sku: "a", quantity: 2}'.
    arguments: Vec<String>,
    /// How long it may take, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    timeout: u64,
    #[command(flatten)]
    node: NodeArgs,
}

impl Call {
    pub(super) async fn run(self) -> Result<()> {
        let request = CallRequest {
            target: self.target,
            function: self.function,
            arguments: self.arguments.join(", "),
            timeout_millis: self.timeout,
        };
        let reply: Result<CallReply, _> = self.node.client().post("/v1/calls", &request).await;
        match reply {
            Ok(reply) if self.node.json => print_json(&reply),
            Ok(reply) => print(&format!("{}\n", reply.result)),
            Err(error) => self.node.failed(error),
        }
    }
}
