//! What nodes say with `--json`. A field that is missing or of another type fails the test.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `wattle nodes`.
#[derive(Debug, Clone, Deserialize)]
pub struct Nodes {
    /// The mesh's id.
    pub mesh: String,
    /// Every known node, the one that answers among them.
    pub nodes: Vec<Node>,
    /// Where others see a node otherwise than the one that answers.
    pub differs: Vec<Difference>,
}

/// Two nodes that don't see a third alike.
#[derive(Debug, Clone, Deserialize)]
pub struct Difference {
    /// Who sees it otherwise.
    pub by: String,
    /// Who is seen.
    pub of: String,
    /// How the one that answers sees it.
    pub here: String,
    /// How the other does.
    pub there: String,
}

/// A node as another sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Whether it is the one that answers.
    #[serde(rename = "self")]
    pub is_self: bool,
    /// The cell that it is in.
    pub cell: String,
    /// Whether it is told of by its cell's summary.
    pub told: bool,
    /// Whether it is an ambassador of its cell.
    pub ambassador: bool,
    /// `alive`, `suspect`, `unreachable` or `left`.
    pub standing: String,
    /// Whether there is a connection to it.
    pub connected: bool,
    /// Through whom calls to it go.
    pub via: Option<String>,
    /// Whether it is heard and does not hear.
    pub one_way: bool,
    /// How it says that it sees the others.
    pub sees: BTreeMap<String, String>,
    /// How it was found first.
    pub found_by: String,
    /// Its labels, which only come by gossip.
    pub labels: BTreeMap<String, String>,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// Where it serves HTTP.
    pub http: Option<String>,
    /// What it serves, as `app/name`.
    pub runs: Vec<String>,
    /// Calls under way.
    pub busy: u32,
}

impl Nodes {
    /// The node `id`, if it is known.
    pub fn get(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// How the node `id` stands; `unknown` where nobody has heard of it.
    pub fn standing(&self, id: &str) -> &str {
        self.get(id).map_or("unknown", |node| &node.standing)
    }
}

impl Node {
    /// Whether it can be worked with: connected, alive, and heard what it says of itself.
    pub fn is_up(&self) -> bool {
        let heard = self.labels.contains_key("name");
        self.standing == "alive" && heard && (self.connected || self.is_self)
    }
}

/// `wattle apps`.
#[derive(Debug, Clone, Deserialize)]
pub struct Apps {
    /// Every declared app.
    pub apps: Vec<App>,
}

/// An app.
#[derive(Debug, Clone, Deserialize)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Its components.
    pub components: Vec<Component>,
    /// Its providers.
    pub providers: Vec<Provider>,
}

/// A component of an app.
#[derive(Debug, Clone, Deserialize)]
pub struct Component {
    /// `app/name`.
    pub id: String,
    /// Who signed it.
    pub publisher: String,
    /// Where it belongs.
    pub placed: Vec<String>,
    /// Where it runs.
    pub running: Vec<String>,
    /// Where it belongs and can't start, and why.
    pub failing: BTreeMap<String, String>,
    /// How it does on the node that answers.
    pub here: Option<Status>,
}

/// How a component does on the node where it belongs.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// `starting`, `running` or `failed`.
    pub state: String,
    /// Why it failed.
    #[serde(default)]
    pub why: String,
}

/// A provider of an app.
#[derive(Debug, Clone, Deserialize)]
pub struct Provider {
    /// `app/name`.
    pub id: String,
    /// The node that holds its state.
    pub home: Option<String>,
}

impl Apps {
    /// Every component of every app.
    pub fn components(&self) -> impl Iterator<Item = &Component> {
        self.apps.iter().flat_map(|app| &app.components)
    }

    /// The component `id`, if it is declared.
    pub fn component(&self, id: &str) -> Option<&Component> {
        self.components().find(|component| component.id == id)
    }

    /// The provider `id`, if it is declared.
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        let mut providers = self.apps.iter().flat_map(|app| &app.providers);
        providers.find(|provider| provider.id == id)
    }
}

/// `wattle link ls`.
#[derive(Debug, Clone, Deserialize)]
pub struct Links {
    /// Every link of every app.
    pub links: Vec<Link>,
}

/// How calls along a link are made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LinkOptions {
    /// What may be called more than once.
    pub idempotent: Vec<String>,
    /// After how long it is hedged.
    pub hedge_millis: Option<u32>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Link {
    /// Who imports.
    pub from: String,
    /// What.
    pub contract: String,
    /// Its name.
    pub name: String,
    /// Who serves it.
    pub to: String,
    /// `manifest` or `record`.
    pub origin: String,
    /// The node through which it was written.
    pub writer: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// Where the app's own link would go.
    pub instead_of: Option<String>,
    /// On which nodes.
    pub served_by: Vec<String>,
    /// How calls along it are made.
    pub options: LinkOptions,
}

/// `wattle config ls`.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Every value of every component.
    pub values: Vec<Value>,
}

/// A configuration value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Value {
    /// Who reads it.
    pub component: String,
    /// Under which name.
    pub name: String,
    /// What it is.
    pub value: String,
    /// `manifest` or `record`.
    pub origin: String,
    /// The node through which it was written.
    pub writer: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What the app says in its place.
    pub instead_of: Option<String>,
}

/// `wattle metrics`.
#[derive(Debug, Clone, Deserialize)]
pub struct Metrics {
    /// What was counted since the node started.
    pub counters: BTreeMap<String, u64>,
}

impl Metrics {
    /// One of the counters, which must be there.
    pub fn counter(&self, name: &str) -> u64 {
        let value = self.counters.get(name).copied();
        value.unwrap_or_else(|| panic!("there is no counter `{name}` in {self:#?}"))
    }
}

/// A line of `wattle logs`.
#[derive(Debug, Clone, Deserialize)]
pub struct LogLine {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// Who logged it, as `app/name`.
    pub component: String,
    /// `info` and the like.
    pub level: String,
    /// What the component gave as such, or `stderr`.
    pub context: String,
    /// What it said.
    pub message: String,
}

/// The result of `wattle call`.
#[derive(Debug, Clone, Deserialize)]
pub struct CallResult {
    /// In WAVE.
    pub result: String,
}

/// A failed `wattle call`.
#[derive(Debug, Clone, Deserialize)]
pub struct CallFailure {
    /// For people.
    pub error: String,
    /// `trapped` and the like.
    pub kind: String,
}

/// `wattle outbox`.
#[derive(Debug, Clone, Deserialize)]
pub struct Outbox {
    /// Every group for which something waits or waited.
    pub groups: Vec<OutboxGroup>,
}

/// What waits for a group.
#[derive(Debug, Clone, Deserialize)]
pub struct OutboxGroup {
    /// `app/group`.
    pub group: String,
    /// How many messages.
    pub waiting: u64,
    /// What they take, in bytes.
    pub bytes: u64,
    /// How old the oldest is.
    pub oldest_millis: Option<u64>,
    /// How many are parked.
    pub parked: u64,
}

/// `wattle outbox parked`.
#[derive(Debug, Clone, Deserialize)]
pub struct Parked {
    /// Every parked message.
    pub messages: Vec<ParkedMessage>,
}

/// A message whose handler failed too often.
#[derive(Debug, Clone, Deserialize)]
pub struct ParkedMessage {
    /// `app/group`.
    pub group: String,
    /// Its sequence.
    pub sequence: u64,
    /// What it is about.
    pub subject: String,
    /// How its handler failed last.
    pub why: String,
}
