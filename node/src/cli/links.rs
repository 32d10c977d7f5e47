//! `wattle link ls`.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::NodeArgs;
use super::output::{print, print_json, short_ids, table};
use crate::api::LinksReply;

#[derive(Subcommand)]
pub(super) enum LinkVerb {
    /// Lists where imports go.
    Ls(Ls),
}

#[derive(Args)]
pub(super) struct Ls {
    #[command(flatten)]
    node: NodeArgs,
}

impl LinkVerb {
    pub(super) async fn run(self) -> Result<()> {
        let Self::Ls(verb) = self;
        let reply: LinksReply = verb.node.client().get("/v1/links").await?;
        if verb.node.json {
            return print_json(&reply);
        }
        if reply.links.is_empty() {
            return print("no links\n");
        }
        let rows: Vec<_> = reply
            .links
            .iter()
            .map(|link| {
                [
                    link.from.to_string(),
                    link.contract.to_string(),
                    link.to.to_string(),
                    short_ids(&link.served_by),
                ]
            })
            .collect();
        print(&table(["FROM", "CONTRACT", "TO", "SERVED BY"], &rows))
    }
}
