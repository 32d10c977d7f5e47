//! What this node's components reach beyond themselves, bound while they run.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use http::{Request, Response};
use wattle_contracts::call::{CallError, Encoding, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId};
use wattle_contracts::record::ProviderKind;
use wattle_runtime::{
    CallContext, Destination, HttpBody, HttpOutError, HttpTimeouts, KeyValue, KeyValueError,
    LogLevel, Outside, Remote,
};

use super::node::Node;
use super::table::Target;
use crate::providers::http_message::OUTGOING;
use crate::providers::keyvalue::{self, LinkedStore};

/// The way out of every component on this node. Holds the node weakly: the node holds the
/// components.
pub(crate) struct NodeOutside {
    pub(crate) node: Weak<Node>,
}

impl NodeOutside {
    fn node(&self) -> Result<Arc<Node>, CallError> {
        let stopping = || CallError::new(ErrorKind::Unreachable, "this node is shutting down");
        self.node.upgrade().ok_or_else(stopping)
    }

    fn store(&self, source: &ComponentId) -> Result<Arc<dyn KeyValue>, CallError> {
        let node = self.node()?;
        let table = node.table();
        let provider = table.link(source, &parsed(keyvalue::CONTRACT)?)?;
        let not_linked = |message| CallError::new(ErrorKind::NotLinked, message);
        let Target::Provider(spec) = table.target(&provider)? else {
            return Err(not_linked(format!("`{provider}` is a component, not a key-value store")));
        };
        let home = spec.node.ok_or_else(|| not_linked(format!("`{provider}` has no home yet")))?;
        Ok(Arc::new(LinkedStore { node: Weak::clone(&self.node), provider, home }))
    }
}

fn parsed(contract: &str) -> Result<ContractId, CallError> {
    contract.parse().map_err(|error| CallError::new(ErrorKind::Internal, format!("{error}")))
}

#[async_trait]
impl Outside for NodeOutside {
    fn resolve(
        &self,
        source: &ComponentId,
        contract: &ContractId,
    ) -> Result<Destination, CallError> {
        let node = self.node()?;
        let target = node.table().link(source, contract)?;
        Ok(match node.running().actor(&target) {
            Some(actor) => Destination::Local(actor),
            None => Destination::Remote(Arc::new(Elsewhere { node, target })),
        })
    }

    fn key_value(
        &self,
        source: &ComponentId,
        _bucket: &str,
    ) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        self.store(source).map_err(KeyValueError::from)
    }

    fn log(&self, source: &ComponentId, level: LogLevel, context: &str, message: &str) {
        let Some(node) = self.node.upgrade() else { return };
        let level = match level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Critical => "critical",
        };
        tracing::debug!(component = %source, level, context, message, "component log");
        node.logs().push(source, level, context, message);
    }

    async fn send_http(
        &self,
        context: CallContext,
        source: &ComponentId,
        request: Request<HttpBody>,
        timeouts: HttpTimeouts,
    ) -> Result<Response<HttpBody>, HttpOutError> {
        let node = self.node()?;
        let provider = node.table().link(source, &parsed(OUTGOING)?)?;
        node.http_out(context, &provider, request, timeouts).await
    }
}

/// A component that does not run here.
struct Elsewhere {
    node: Arc<Node>,
    target: ComponentId,
}

#[async_trait]
impl Remote for Elsewhere {
    async fn call(
        &self,
        context: CallContext,
        _source: &ComponentId,
        contract: &ContractId,
        function: &str,
        arguments: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let header = self.node.header(&context, &self.target, contract, function, Encoding::Values);
        let reply = self.node.send(header, arguments.into(), None).await?;
        Ok(reply.payload.into())
    }
}

impl Node {
    /// Sends a request out of the mesh through `provider`: from here, where this node may serve
    /// it, or from one that may.
    pub(crate) async fn http_out(
        self: &Arc<Self>,
        context: CallContext,
        provider: &ComponentId,
        request: Request<HttpBody>,
        timeouts: HttpTimeouts,
    ) -> Result<Response<HttpBody>, HttpOutError> {
        let table = self.table();
        let Target::Provider(spec) = table.target(provider)? else {
            return Err(HttpOutError::NotFound);
        };
        let ProviderKind::HttpClient { hosts } = &spec.kind else {
            return Err(HttpOutError::NotFound);
        };
        if self.carries(&spec.on) {
            return self.http_client().send(request, hosts, timeouts).await;
        }
        let contract = parsed(OUTGOING)?;
        let header = self.header(&context, provider, &contract, "handle", Encoding::Message);
        Ok(self.http_over_mesh(header, request).await?)
    }
}
