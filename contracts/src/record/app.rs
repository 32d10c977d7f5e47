//! An app as it is replicated: what a manifest becomes once every file it names is read and
//! every choice that must not be made twice is made.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::LinkOptions;
use crate::id::{
    AppName, ContractId, Digest, LinkName, LocalName, NodeId, PublisherKey, Subject, SubjectPattern,
};

/// Words that a node carries and a placement asks for: `region = "north"`.
pub type Labels = BTreeMap<String, String>;

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its name in the mesh.
    pub name: AppName,
    /// Its components, by name.
    pub components: BTreeMap<LocalName, ComponentSpec>,
    /// Its providers, by name.
    pub providers: BTreeMap<LocalName, ProviderSpec>,
    /// Where its components' imports go.
    pub links: Vec<LinkSpec>,
    /// What its HTTP gateway serves.
    pub http: Vec<HttpRoute>,
    /// Which messages its components handle.
    pub subscriptions: Vec<SubscriptionSpec>,
}

/// A component that shall run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentSpec {
    /// The artifact: the SHA-256 of the signed file.
    pub digest: Digest,
    /// Who signed it.
    pub publisher: PublisherKey,
    /// Its size in bytes, so that a node knows what it fetches.
    pub size: u64,
    /// The contracts it exports, so that a node without it can route to it.
    pub exports: Vec<ContractId>,
    /// The interfaces it imports for which there must be links, so that a link can be checked on
    /// a node without it.
    pub imports: Vec<ImportSpec>,
    /// On how many nodes.
    pub replicas: u32,
    /// The labels that such a node must carry.
    pub on: Labels,
    /// What its `wasi:config` says.
    pub config: BTreeMap<String, String>,
    /// What one call of it may use.
    pub limits: LimitSpec,
}

/// An interface that a component imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSpec {
    /// Its contract.
    pub contract: ContractId,
    /// The names of the functions that the component knows of it.
    pub functions: Vec<String>,
}

/// What one call may use. What is left out has the node's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimitSpec {
    /// Linear memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Time.
    pub time: Option<Duration>,
    /// How many calls at once, on one node.
    pub concurrency: Option<u32>,
    /// How many calls one instance may serve, one after the other.
    pub reuse: Option<u32>,
}

impl LimitSpec {
    /// The longest that one call may take, whatever is declared: it holds a place on its node,
    /// and its memory, all that time.
    pub const MAX_TIME: Duration = Duration::from_secs(3600);
}

/// A capability provider that an app declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSpec {
    /// What it provides.
    pub kind: ProviderKind,
    /// The node that holds its state. Chosen once, when the app is declared, and never by
    /// silence: a store that moved because a cable was out would be two stores.
    pub node: Option<NodeId>,
    /// The labels that a node must carry to serve it, where it has no state.
    pub on: Labels,
}

/// What a provider provides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ProviderKind {
    /// `wasi:keyvalue` on the embedded database of one node.
    KeyValue,
    /// `wasi:http/outgoing-handler`: requests to hosts outside the mesh.
    HttpClient {
        /// The hosts that may be asked, as `name` or `name:port`; `*.name` for all below a name.
        hosts: Vec<String>,
    },
    /// `wattle:messaging/producer` on the outbox of the node where the publisher runs.
    Messaging {
        /// The subjects that may be published to.
        subjects: Vec<SubjectPattern>,
    },
}

impl ProviderKind {
    /// Whether it keeps something that must stay where it is.
    pub fn is_stateful(&self) -> bool {
        matches!(self, ProviderKind::KeyValue)
    }

    /// The contract as a manifest names it.
    pub fn contract(&self) -> &'static str {
        match self {
            ProviderKind::KeyValue => "wasi:keyvalue",
            ProviderKind::HttpClient { .. } => "wasi:http/outgoing-handler",
            ProviderKind::Messaging { .. } => "wattle:messaging",
        }
    }
}

/// Where an import goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// The component that imports.
    pub from: LocalName,
    /// The contract imported.
    pub contract: ContractId,
    /// Tells apart several links of one import.
    pub name: LinkName,
    /// The component or provider, of the same app, that serves it.
    pub to: LocalName,
    /// How calls along it are made.
    pub options: LinkOptions,
}

/// What an HTTP gateway does with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRoute {
    /// The host asked for, without port; `None` for any.
    pub host: Option<String>,
    /// The path, or the start of it up to a `/`.
    pub path: String,
    /// The component that answers.
    pub component: LocalName,
}

/// Which messages a component handles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionSpec {
    /// The component.
    pub component: LocalName,
    /// The subjects.
    pub subjects: Vec<SubjectPattern>,
    /// Who shares the messages. A group has one component, on as many nodes as that runs on.
    pub group: LocalName,
}

impl SubscriptionSpec {
    /// Whether messages about `subject` are meant.
    pub fn matches(&self, subject: &Subject) -> bool {
        self.subjects.iter().any(|pattern| pattern.matches(subject))
    }
}

impl App {
    /// An app with nothing in it.
    pub fn new(name: AppName) -> Self {
        Self {
            name,
            components: BTreeMap::new(),
            providers: BTreeMap::new(),
            links: Vec::new(),
            http: Vec::new(),
            subscriptions: Vec::new(),
        }
    }
}

impl HttpRoute {
    /// Whether a request for `path` at `host` is for this route.
    pub fn matches(&self, host: &str, path: &str) -> bool {
        let prefix = self.path.trim_end_matches('/');
        let below = path.strip_prefix(prefix);
        self.host.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host))
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Of two routes that match, the one that is more exact is taken: one with a host before one
    /// without, then the longer path.
    pub fn exactness(&self) -> (bool, usize) {
        (self.host.is_some(), self.path.trim_end_matches('/').len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_matches_whole_segments() {
        let route = |host: Option<&str>, path: &str| HttpRoute {
            host: host.map(Into::into),
            path: path.into(),
            component: "web".parse().unwrap(),
        };
        assert!(route(None, "/").matches("a", "/"));
        assert!(route(None, "/").matches("a", "/x/y"));
        assert!(route(None, "/api").matches("a", "/api"));
        assert!(route(None, "/api/").matches("a", "/api/x"));
        assert!(!route(None, "/api").matches("a", "/apix"));
        assert!(route(Some("Shop.example"), "/").matches("shop.example", "/"));
        assert!(!route(Some("shop.example"), "/").matches("other.example", "/"));
        assert!(route(Some("h"), "/").exactness() > route(None, "/long").exactness());
        assert!(route(None, "/long").exactness() > route(None, "/").exactness());
    }
}
