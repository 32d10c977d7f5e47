//! What the API says, in both directions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::{
    AppName, CellName, ComponentId, ContractId, Digest, LinkName, NodeId, PublisherKey, Subject,
};
use wattle_contracts::message::Group;
use wattle_contracts::record::{HttpRoute, Labels, LinkOptions, Publisher};

use crate::daemon::Status;

/// The answer to anything that failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApiError {
    /// For a person.
    pub(crate) error: String,
    /// Where a call failed: how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<ErrorKind>,
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        Self { kind: Some(error.kind), error: error.message }
    }
}

/// This node and all that it knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodesReply {
    pub(crate) mesh: String,
    pub(crate) nodes: Vec<NodeInfo>,
    /// Where another node sees one otherwise than the node that answers.
    pub(crate) differs: Vec<Difference>,
    /// The nodes that may renew papers.
    pub(crate) renewers: Vec<NodeId>,
}

/// How long a node belongs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PaperInfo {
    /// Until when its paper is valid, in milliseconds since 1970.
    pub(crate) until: u64,
    /// The node that renewed it last.
    pub(crate) renewed_by: Option<NodeId>,
    /// Whether it runs out soon, and should have been renewed.
    pub(crate) late: bool,
}

/// Two nodes that don't see a third alike.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Difference {
    /// The node that sees it otherwise.
    pub(crate) by: NodeId,
    /// The node that is seen.
    pub(crate) of: NodeId,
    /// How the node that answers sees it.
    pub(crate) here: String,
    /// How the other does.
    pub(crate) there: String,
}

/// One node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeInfo {
    pub(crate) id: NodeId,
    /// Whether it is the node that answers.
    #[serde(rename = "self")]
    pub(crate) is_self: bool,
    /// The cell that it is in.
    pub(crate) cell: CellName,
    /// Whether it is told of by the summary of its cell, another one than that of the node that
    /// answers.
    pub(crate) told: bool,
    /// Whether it is an ambassador of its cell.
    pub(crate) ambassador: bool,
    /// `alive`, `suspect`, `unreachable` or `left`.
    pub(crate) standing: String,
    pub(crate) connected: bool,
    /// Through whom calls to it go, where it is not reached directly.
    pub(crate) via: Option<NodeId>,
    /// Whether its packets arrive while it does not hear the answers.
    pub(crate) one_way: bool,
    /// How it says that it sees the others: `direct`, `relayed`, `one-way`, `heard-of`, `suspect`,
    /// `unreachable` or `left`.
    pub(crate) sees: BTreeMap<NodeId, String>,
    /// The measured round trip, in microseconds.
    pub(crate) rtt_micros: Option<u64>,
    pub(crate) addresses: Vec<String>,
    /// How the answering node first heard of it.
    pub(crate) found_by: String,
    pub(crate) labels: Labels,
    pub(crate) version: String,
    /// Where it serves HTTP.
    pub(crate) http: Option<String>,
    /// The components and providers that it serves.
    pub(crate) runs: Vec<ComponentId>,
    /// Calls under way.
    pub(crate) busy: u32,
    /// Resident memory, in bytes.
    pub(crate) memory_bytes: u64,
    /// Its paper, if that is known and runs out.
    pub(crate) paper: Option<PaperInfo>,
}

/// The nodes that a secret is to be sealed to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SecretNodes {
    pub(crate) nodes: Vec<NodeId>,
}

/// The secrets that there are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SecretsReply {
    pub(crate) secrets: Vec<SecretInfo>,
}

/// One secret, without its value.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SecretInfo {
    pub(crate) component: ComponentId,
    pub(crate) name: String,
    /// The node through which it was put.
    pub(crate) writer: NodeId,
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at: u64,
    /// The nodes that it was sealed to.
    pub(crate) sealed_to: Vec<NodeId>,
    /// Those that may run its component since, and are handed it when that asks.
    pub(crate) not_sealed_to: Vec<NodeId>,
}

/// The declared apps.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AppsReply {
    pub(crate) apps: Vec<AppInfo>,
}

/// One app.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AppInfo {
    pub(crate) name: AppName,
    pub(crate) components: Vec<ComponentInfo>,
    pub(crate) providers: Vec<ProviderInfo>,
    pub(crate) http: Vec<HttpRoute>,
}

/// One component.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ComponentInfo {
    pub(crate) id: ComponentId,
    pub(crate) digest: Digest,
    pub(crate) publisher: PublisherKey,
    pub(crate) replicas: u32,
    pub(crate) on: Labels,
    /// Where it belongs by the view of the node that answers.
    pub(crate) placed: Vec<NodeId>,
    /// Where it runs, by what the nodes say.
    pub(crate) running: Vec<NodeId>,
    /// Why it does not run as often as it should.
    pub(crate) shortfall: Option<String>,
    /// The nodes that should run it and can't, and why.
    pub(crate) failing: BTreeMap<NodeId, String>,
    /// How it does on the node that answers, where it belongs there.
    pub(crate) here: Option<Status>,
}

/// One provider.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProviderInfo {
    pub(crate) id: ComponentId,
    pub(crate) contract: String,
    /// The node that holds its state.
    pub(crate) home: Option<NodeId>,
    pub(crate) on: Labels,
}

/// Where imports go.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LinksReply {
    pub(crate) links: Vec<LinkInfo>,
}

/// One link.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LinkInfo {
    pub(crate) from: ComponentId,
    pub(crate) contract: ContractId,
    /// Tells apart several links of one import.
    pub(crate) name: LinkName,
    pub(crate) to: ComponentId,
    pub(crate) options: LinkOptions,
    /// `manifest`, or `record` for one of its own.
    pub(crate) origin: String,
    /// The node through which it was written.
    pub(crate) writer: NodeId,
    /// When, by that node's clock, in milliseconds since the Unix epoch.
    pub(crate) at: u64,
    /// Where the app's own link of this name would go.
    pub(crate) instead_of: Option<ComponentId>,
    /// The nodes that serve it now.
    pub(crate) served_by: Vec<NodeId>,
}

/// What components read as their configuration.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConfigReply {
    pub(crate) values: Vec<ConfigInfo>,
}

/// One value.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConfigInfo {
    pub(crate) component: ComponentId,
    pub(crate) name: String,
    pub(crate) value: String,
    /// `manifest`, or `record` for one of its own.
    pub(crate) origin: String,
    /// The node through which it was written.
    pub(crate) writer: NodeId,
    /// When, by that node's clock, in milliseconds since the Unix epoch.
    pub(crate) at: u64,
    /// What the app says in its place.
    pub(crate) instead_of: Option<String>,
}

/// What a change of links or configuration values answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChangeReply {
    /// What was put or taken back, by its whole name.
    pub(crate) changed: Vec<String>,
    /// What whoever changed it should know.
    pub(crate) notes: Vec<String>,
}

/// What `PUT /v1/artifacts/DIGEST` answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ArtifactReply {
    pub(crate) digest: Digest,
    /// Who is trusted and has signed it.
    pub(crate) publishers: Vec<PublisherKey>,
}

/// Whose components may run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PublishersReply {
    pub(crate) publishers: Vec<PublisherInfo>,
    /// Whom the node that answers trusts by itself.
    pub(crate) own: Vec<PublisherKey>,
}

/// A publisher that a record names.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PublisherInfo {
    pub(crate) key: PublisherKey,
    pub(crate) publisher: Publisher,
    /// The node through which it was written.
    pub(crate) writer: NodeId,
    /// When, by that node's clock, in milliseconds since the Unix epoch.
    pub(crate) at: u64,
}

/// What `POST /v1/apps` answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApplyReply {
    pub(crate) app: AppName,
    /// What whoever applied it should know.
    pub(crate) notes: Vec<String>,
}

/// What `POST /v1/leave` answers: the node finishes the calls under way, says goodbye and ends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeaveReply {
    pub(crate) node: NodeId,
}

/// What is counted on a node since it started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetricsReply {
    pub(crate) uptime_seconds: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) allocator: String,
    pub(crate) counters: BTreeMap<String, u64>,
}

/// A message to be published.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PublishRequest {
    pub(crate) subject: String,
    /// In base64 (RFC 4648, section 4).
    pub(crate) body: String,
    pub(crate) durable: bool,
}

/// What `POST /v1/messages` answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PublishReply {
    /// The name of a durable message, which is on disk.
    pub(crate) id: Option<String>,
}

/// What waits in this node's outbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OutboxReply {
    pub(crate) groups: Vec<OutboxGroup>,
}

/// What waits for one group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OutboxGroup {
    pub(crate) group: Group,
    pub(crate) waiting: u64,
    pub(crate) bytes: u64,
    /// How old the oldest one is.
    pub(crate) oldest_millis: Option<u64>,
    /// How many wait for a person, because their handler failed too often.
    pub(crate) parked: u64,
    /// How many became too old, ever.
    pub(crate) expired: u64,
    /// The node to which they go.
    pub(crate) node: Option<NodeId>,
    /// What went wrong last.
    pub(crate) problem: Option<String>,
}

/// The messages that wait for a person.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParkedReply {
    pub(crate) messages: Vec<ParkedInfo>,
}

/// One of them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParkedInfo {
    pub(crate) group: Group,
    pub(crate) sequence: u64,
    pub(crate) subject: Subject,
    pub(crate) age_millis: u64,
    /// How its handler failed last.
    pub(crate) why: String,
}

/// What was done with the messages that were parked for a group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParkedChange {
    pub(crate) group: Group,
    pub(crate) messages: u64,
}

/// What is known of the changes of one key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HistoryReply {
    pub(crate) key: String,
    /// What holds now.
    pub(crate) current: Option<Change>,
    /// What lost against a change made at the same time, the oldest first.
    pub(crate) lost: Vec<Change>,
    /// What is from the future, and is held back until then.
    pub(crate) held_back: Vec<Change>,
}

/// One change.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    /// When, by its writer's clock: milliseconds since the Unix epoch.
    pub(crate) at_millis: u64,
    /// Orders changes within one millisecond.
    pub(crate) counter: u32,
    /// The key that signed it: that of the node on which it was made, or an operator's.
    pub(crate) writer: NodeId,
    /// Who that is: `the authority`, an operator's name, or else the node's id.
    pub(crate) by: String,
    /// Whether it deleted what the key names.
    pub(crate) is_delete: bool,
    /// What it declared.
    pub(crate) body: Option<serde_json::Value>,
}
