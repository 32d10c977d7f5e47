//! `wattle call`.

use anyhow::Result;
use clap::Args;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use wattle_contracts::call::{PersonAsks, PersonProof};
use wattle_contracts::id::ComponentId;
use wattle_contracts::key::SigningKey;
use wattle_mesh::net::WallClock;

use super::NodeArgs;
use super::output::{print, print_json};
use crate::api::{
    CallReply, CallRequest, CallWay, CallWayReply, Client, ClientError, SignedCallRequest, Wired,
};
use crate::daemon::addressed;
use crate::home;

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
        let mut request = CallRequest {
            target: self.target,
            function: self.function,
            arguments: self.arguments.join(", "),
            timeout_millis: self.timeout,
            signed: None,
        };
        let key = self.node.operator_key().map(|path| home::read_key(&path)).transpose()?;
        let client = self.node.client()?;
        let reply = async {
            if let Some(key) = &key {
                request.signed = sign(&client, key, &request).await?;
            }
            client.post::<CallReply>("/v1/calls", &request).await
        };
        match reply.await {
            Ok(reply) if self.node.json => print_json(&reply),
            Ok(reply) => print(&format!("{}\n", reply.result)),
            Err(error) => self.node.failed(error),
        }
    }
}

/// Signs a call for the node that is to answer it, where another one does than the one that is
/// asked.
async fn sign(
    client: &Client,
    key: &SigningKey,
    request: &CallRequest,
) -> Result<Option<SignedCallRequest>, ClientError> {
    let reply: CallWayReply = client.get(&format!("/v1/calls/{}", request.target)).await?;
    let Some(CallWay { mesh, to }) = reply.sign else { return Ok(None) };
    let unsigned = |error: String| ClientError::Unsigned(error);
    let (contract, function) =
        addressed(&request.function).map_err(|error| unsigned(error.to_string()))?;
    let asks = PersonAsks {
        mesh,
        to,
        target: &request.target,
        contract: &contract,
        function,
        arguments: &request.arguments,
    };
    let proof =
        PersonProof::sign(key, SmallRng::from_os_rng().random(), WallClock::default().now(), &asks)
            .map_err(|error| unsigned(error.to_string()))?;
    let proof = Wired::of(&proof).map_err(|error| unsigned(error.to_string()))?;
    Ok(Some(SignedCallRequest { to, proof }))
}
