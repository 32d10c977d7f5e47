//! Which node a verb speaks to.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use wattle_contracts::id::NodeId;

use super::{output, token};
use crate::api::{ApiError, Client, ClientError, NetworkAddress, Way};
use crate::home::{Home, OPERATOR_KEY};

/// Which node a verb speaks to, and how it answers.
#[derive(Args)]
pub(super) struct NodeArgs {
    /// The node's data folder.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Home::default_root())]
    pub(super) data: PathBuf,
    /// A node elsewhere, in the place of that one: https://HOST:PORT#NODE-ID, where it was started
    /// with --api. Needs a token.
    #[arg(id = "api_address", long = "node", value_name = "URL", env = "WATTLE_NODE")]
    address: Option<NetworkAddress>,
    /// The node that is to answer there, where the URL does not say it. Nobody else is believed.
    #[arg(id = "api_node", long = "node-id", value_name = "NODE-ID", requires = "api_address")]
    node: Option<NodeId>,
    /// The token for it (wattle token), or a file with it; `-` reads it from standard input.
    #[arg(
        id = "api_token",
        long = "token",
        value_name = "TOKEN",
        env = "WATTLE_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// The private key of the operator who asks. If it is left out, `operator.key` in the data
    /// folder, where there is one.
    #[arg(long, value_name = "FILE", env = "WATTLE_OPERATOR_KEY")]
    operator_key: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl NodeArgs {
    /// The client of that node.
    pub(super) fn client(&self) -> Result<Client> {
        Ok(Client::through(self.way()?, self.operator_key()))
    }

    fn way(&self) -> Result<Way> {
        let Some(at) = &self.address else {
            return Ok(Way::Socket(self.data.join("api.sock")));
        };
        let node = self.node.or(at.node).with_context(|| {
            format!(
                "which node is to answer at {at}? Say {at}#NODE-ID, or --node-id (wattle id on that \
                 machine, or wattle nodes, shows it)"
            )
        })?;
        let token = self.token.as_deref().with_context(|| {
            format!(
                "{at} wants a token: make one (wattle token --operator-key KEY), and give it with \
                 --token or $WATTLE_TOKEN"
            )
        })?;
        Ok(Way::Network { at: at.clone(), node, token: token::read(token)? })
    }

    /// Where the key is of the operator who asks, if one does.
    pub(super) fn operator_key(&self) -> Option<PathBuf> {
        let own = || Some(self.data.join(OPERATOR_KEY)).filter(|path| path.exists());
        self.operator_key.clone().or_else(own)
    }

    /// The end of a verb whose request failed: a refusal is told with its kind, and in JSON if asked.
    pub(super) fn failed(&self, error: ClientError) -> Result<()> {
        let ClientError::Refused(error) = error else { return Err(error.into()) };
        if self.json {
            output::print_json(&error)?;
        }
        let ApiError { error, kind } = error;
        let kind = kind.map(|kind| format!("{kind}: ")).unwrap_or_default();
        Err(anyhow::anyhow!("{kind}{error}"))
    }
}
